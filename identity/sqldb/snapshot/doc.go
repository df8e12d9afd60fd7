// Package snapshot copies a whole database into files while others write to it, and back. Every copy is of one moment: SQLite makes
// it by VACUUM INTO, PostgreSQL by COPY of every table in one REPEATABLE READ transaction, so that no client program is needed.
//
// It knows no table by name and reads no row's meaning. What is not copied: version tables (the caller migrates to the versions
// that it noted) and unlogged tables, which hold nothing that a crash wouldn't drop too.
//
// It never writes over anything: a copy goes into an empty folder, and back only into an empty database. Called by
// cmd/internal/backup.
package snapshot
