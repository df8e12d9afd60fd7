// Package policies holds the nouns that every access decision is made of (organization, person, role, action, product, seat),
// and the engine that evaluates Cedar policies over them.
//
// It is pure: no network, database, clock or log, and it imports nothing first-party. Everything is denied unless a policy
// permits it, and a forbid always wins. Each decision names the policies that made it (their @id) and the hash of the whole
// policy set, so that an auditor can recompute it.
//
// A Scope, the right of one actor to act on a closed set of organizations, can be minted here alone; every store method on
// organization data requires one. The zero Scope denies.
//
// Called by identity/access, identity/directory, sync/provision and cmd. The policies themselves are in rules/*.cedar, their
// schema in schema.cedarschema; policies/load reads and validates them.
package policies
