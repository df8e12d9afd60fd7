// Package conformance has no code: its tests hold the certificate core to suites that others wrote and that are too large to be linked into the
// tests beside it. Wycheproof's signatures go through the same function as a card's response to a challenge.
//
// It decides nothing and nobody calls it. NIST PKITS is tested in cmd/certd, through its batch; openssl in deploy/interop.
package conformance
