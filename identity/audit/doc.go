// Package audit keeps the append-only record of who did what: refused attempts, administrators' acts, break-glass.
//
// It owns the tables audit_*. A row is appended in the caller's own transaction, so that an act and its record commit together;
// triggers of the database refuse every change and every deletion afterwards. Log, on the one node that holds the lease, gives
// rows their places in a Merkle log and signs its state every second, also to a file outside of the database. Verify says whether
// everything is as it was signed; Export gives rows with proofs. The forms are in docs/audit.md.
//
// Rows hold no personal data beyond ids, but for Row.Personal, which stands beside the log under a salted commitment until Erase.
// The package decides nothing. Reading rows takes a policies.Scope for audit.read; Verify tells ids and places alone.
//
// Called by identity/access (refusals, break-glass, credentials), by whatever changes organizations, people or plans, and by cmd.
package audit
