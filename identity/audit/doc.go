// Package audit keeps the append-only record of who did what: refused attempts, administrators' acts, break-glass.
//
// It owns the table audit_row. A row is appended in the caller's own transaction, so that an act and its record commit
// together; triggers of the database refuse every change and every deletion afterwards. Rows are appended without a sequence
// number: whoever sequences and signs them does it later, in one place.
//
// It never holds personal data beyond ids, decides nothing, and reads no clock. Reading takes a policies.Scope for audit.read.
//
// Called by identity/access (refusals, break-glass, credentials), and by whatever changes organizations, people or plans.
package audit
