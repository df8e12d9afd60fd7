package sqldbtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Each runs fn as one subtest per engine, "sqlite" and "postgres", each with a fresh empty database that is closed and removed
// when the subtest ends.
func Each(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) {
		t.Helper()
		fn(t, Open(t, url))
	})
}

// EachURL is Each for tests that open the database themselves, or let a child process open it.
func EachURL(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Start(t)) })
}

// EachBench is Each for benchmarks. SQLite waits for the disk at each commit, as it does when serving.
func EachBench(b *testing.B, fn func(b *testing.B, db *sqldb.DB)) {
	b.Helper()
	run := func(b *testing.B, url string) {
		b.Helper()
		fn(b, open(b, url, sqldb.Options{}))
	}
	b.Run("sqlite", func(b *testing.B) { run(b, SQLiteURL(b)) })
	b.Run("postgres", func(b *testing.B) { run(b, Start(b)) })
}

// SQLiteURL is the URL of a fresh SQLite file in the test's folder.
func SQLiteURL(tb testing.TB) string {
	tb.Helper()
	return "sqlite:" + filepath.Join(tb.TempDir(), "musubi.db")
}

// Open opens url for a test, without waiting for the disk, and closes it when the test ends.
func Open(tb testing.TB, url string) *sqldb.DB {
	tb.Helper()
	return open(tb, url, sqldb.Options{Unsynced: true})
}

func open(tb testing.TB, url string, opt sqldb.Options) *sqldb.DB {
	tb.Helper()
	opt.Application = "musubi-test"
	db, err := sqldb.Open(context.Background(), url, opt)
	if err != nil {
		tb.Fatalf("open the test's database: %v", err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close the test's database: %v", err)
		}
	})
	return db
}

// missing ends the test: skipped on a developer's machine, failed in CI.
func missing(tb testing.TB, why string) {
	tb.Helper()
	const hint = "install PostgreSQL 14 or newer (on Debian: apt-get install postgresql), or put its binaries in PATH"
	if os.Getenv("CI") == "true" {
		tb.Fatalf("PostgreSQL is required in CI: %s; %s", why, hint)
		return
	}
	tb.Skipf("not tested on PostgreSQL: %s; %s", why, hint)
}
