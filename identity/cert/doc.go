// Package cert decides about a certificate: (chain, anchors, revocation evidence, time, profile) -> Verdict. It owns path building and validation
// after RFC 5280, the rules of the Individual Number Card's two trees, the revocation decision over lists and answers, and challenges.
//
// It is pure: no network, database, log or clock, and no first-party import except the packages below it. What must be fetched, stored or redeemed
// once is the caller's; bytes, records and the time come in, a Verdict with its Evidence goes out, and the same Evidence gives the same Verdict
// again years later.
//
// Below it: der (strict encoding), pkix (values and signatures), crl (lists), ocsp (answers), testpki (a hierarchy for tests). Called by cmd/certd.
package cert
