// Package sqldb opens the hub's one database, SQLite (embedded, the default) or PostgreSQL, behind database/sql.
//
// It owns the two pools (Writer and Reader), write transactions (WithTx), group commit of small writes (Group), bulk inserts
// (Bulk), schema migrations per owner (Migrate, by goose), the lock that keeps a second hub off one SQLite file (LockServing)
// and leases for work that one process at a time may do (Lease). SQL is portable, with $1 placeholders and times passed in as
// integers; only this package and River's own drivers know which engine runs.
//
// On SQLite there is exactly one writer connection per process. Nobody calls another store or the network while holding it:
// a nested WithTx or Group is refused instead of waiting for itself for ever.
//
// It never reads the clock for data, never logs SQL arguments, and never shows a password. It knows no table but goose's and
// its own, sqldb_lease.
//
// Called by every store under identity/ and sync/, and by cmd. Tests use sqldbtest.Each to run on both engines.
package sqldb
