// Package backup keeps a hub in one file and brings it back: the database as of one moment (identity/sqldb/snapshot), the
// configuration, the keys folder, and the tokens of the SaaS only where they are asked for. A manifest with the SHA-256 of every
// part comes first in the file.
//
// Making one needs neither a stopped hub nor a SaaS. Restoring goes into an empty folder and an empty database only, and checks
// every sum and row count before anything is in its place; it never merges and never overwrites.
//
// It doesn't decide who may: cmd/musubi, which calls it, does, and writes the audit rows.
package backup
