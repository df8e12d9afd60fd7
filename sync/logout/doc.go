// Package logout delivers back-channel logouts to relying parties: the job behind access.LogoutEnqueuer.
//
// The job is enqueued in the transaction that ends a session, and calls the issuer's Deliver until it succeeds. A relying party that doesn't
// answer is asked by one delivery at a time, ever more seldom, and the others wait uncounted, so that it holds up nobody else's. After a day
// a logout is given up: the issuer keeps it as failed and the job is a dead letter. A person can have it delivered anew.
//
// What a logout says, and what an answer means, identity/oidcop knows. Called by cmd, which wires it.
package logout
