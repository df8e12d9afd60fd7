// Package logout delivers logouts to relying parties without a browser, OpenID's by the back channel and SAML's by SOAP: the jobs behind
// access.LogoutEnqueuer. It also reads the receipts of both as one list.
//
// The job is enqueued in the transaction that ends a session, and calls the issuer's Deliver until it succeeds. A relying party that doesn't
// answer is asked by one delivery at a time, ever more seldom, and the others wait uncounted, so that it holds up nobody else's. After a day
// a logout is given up: the issuer keeps it as failed and the job is a dead letter. A person can have it delivered anew.
//
// What a logout says, and what an answer means, identity/oidcop and identity/samlidp know. Called by cmd, which wires it.
package logout
