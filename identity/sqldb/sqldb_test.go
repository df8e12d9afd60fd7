package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// makeItems makes the table that most tests here write to.
func makeItems(tb testing.TB, db *sqldb.DB) {
	tb.Helper()
	mustExec(tb, db, "CREATE TABLE item (id BIGINT PRIMARY KEY, name TEXT NOT NULL, note TEXT)")
}

func mustExec(tb testing.TB, db *sqldb.DB, q string, args ...any) {
	tb.Helper()
	if _, err := db.Writer().ExecContext(context.Background(), q, args...); err != nil {
		tb.Fatalf("%s: %v", q, err)
	}
}

func count(tb testing.TB, db *sqldb.DB, where string) (n int) {
	tb.Helper()
	if err := db.Reader().QueryRowContext(context.Background(), "SELECT count(*) FROM item WHERE "+where).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func insert(ctx context.Context, tx *sql.Tx, id int) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO item (id, name) VALUES ($1, $2)", id, "結び")
	return err
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	notDB := filepath.Join(t.TempDir(), "plain.txt")
	if err := os.WriteFile(notDB, []byte(strings.Repeat("this is a letter, not a database\n", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, url, want string }{
		{"empty", "", "database URL: want"},
		{"no path", "sqlite:", "database URL: want"},
		{"another scheme", "mysql://root:pass-word-1@localhost/x", "database URL: want"},
		{"a folder", "sqlite:" + t.TempDir(), "is a directory"},
		{"no database", "sqlite:" + notDB, "it is no SQLite database"},
		{"a URL that can't be read", "postgres://musubi:pass-word-1@local host:port/x", "can't be read"},
		{"nobody listens", "postgres://musubi:pass-word-1@127.0.0.1:1/musubi", `127.0.0.1:1, database "musubi", user "musubi"`},
		{"no socket", "postgres:///musubi?host=/nonexistent&user=u&password=pass-word-1", "can't be reached"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			db, err := sqldb.Open(t.Context(), tc.url, sqldb.Options{ConnectTimeout: 2 * time.Second})
			if err == nil {
				t.Fatalf("opened: %v", db.Close())
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, want it to say %q", err, tc.want)
			}
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "pass-word-1") {
				t.Errorf("the error shows the password: %q", text)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %q", err)
			}
		})
	}
}

func TestOpenTellsUnreachableApart(t *testing.T) {
	_, err := sqldb.Open(t.Context(), "postgres://u:p@127.0.0.1:1/d", sqldb.Options{ConnectTimeout: 2 * time.Second})
	if !errors.Is(err, sqldb.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
}

func TestOpenKeepsTheFileToItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data # ?", "結び.db")
	db := sqldbtest.Open(t, "sqlite:"+path)
	makeItems(t, db)
	for name, want := range map[string]os.FileMode{filepath.Dir(path): 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", name, got, want)
		}
	}
	if db.Engine() != sqldb.SQLite || db.Path() != path {
		t.Errorf("engine %q, path %q", db.Engine(), db.Path())
	}
}

func TestSQLiteServesWithFullSync(t *testing.T) {
	db, err := sqldb.Open(t.Context(), sqldbtest.SQLiteURL(t), sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
		var got string
		if err := db.Writer().QueryRow("PRAGMA " + pragma).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("PRAGMA %s is %s, want %s", pragma, got, want)
		}
	}
}

func TestReaderRefusesToWrite(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		makeItems(t, db)
		if _, err := db.Reader().Exec("INSERT INTO item (id, name) VALUES (1, 'x')"); err == nil {
			t.Error("a reader connection wrote")
		}
		if n := count(t, db, "1=1"); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestWithTx(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		makeItems(t, db)
		ctx := t.Context()
		if err := db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, 1) }); err != nil {
			t.Fatal(err)
		}
		boom := errors.New("boom")
		err := db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return errors.Join(insert(ctx, tx, 2), boom) })
		if !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
		func() {
			defer func() {
				if v := recover(); v != "out" {
					t.Errorf("recovered %v", v)
				}
			}()
			_ = db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { _ = insert(ctx, tx, 3); panic("out") })
		}()
		err = db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, 1) })
		if !sqldb.UniqueViolation(err) {
			t.Errorf("got %v, want a unique violation", err)
		}
		if sqldb.UniqueViolation(boom) {
			t.Error("any error counts as a unique violation")
		}
		for name, nested := range map[string]func(ctx context.Context) error{
			"WithTx": func(ctx context.Context) error {
				return db.WithTx(ctx, func(context.Context, *sql.Tx) error { return nil })
			},
			"Group": func(ctx context.Context) error {
				return db.Group(ctx, func(context.Context, *sql.Tx) error { return nil })
			},
		} {
			err := db.WithTx(ctx, func(ctx context.Context, _ *sql.Tx) error { return nested(ctx) })
			if !errors.Is(err, sqldb.ErrNested) {
				t.Errorf("%s inside a transaction: %v", name, err)
			}
		}
		if got := count(t, db, "1=1"); got != 1 {
			t.Errorf("%d rows, want 1", got)
		}
	})
}

func TestWithTxCancelled(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		makeItems(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		err := db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			defer cancel()
			return insert(ctx, tx, 1)
		})
		if err == nil {
			t.Error("a cancelled transaction committed")
		}
		// The writer is free again.
		if err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, 2) }); err != nil {
			t.Error(err)
		}
		if count(t, db, "id = 1") != 0 || count(t, db, "id = 2") != 1 {
			t.Error("the cancelled transaction left its row, or the next one didn't write")
		}
	})
}

func TestTwoProgramsOnOneFile(t *testing.T) {
	url := sqldbtest.SQLiteURL(t)
	hub, cli := sqldbtest.Open(t, url), sqldbtest.Open(t, url)
	makeItems(t, hub)
	var wg sync.WaitGroup
	for i, db := range []*sqldb.DB{hub, cli} {
		wg.Go(func() {
			for k := range 50 {
				err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, i*1000+k) })
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := count(t, cli, "1=1"); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
}

func TestBusyFileIsAClearError(t *testing.T) {
	url := sqldbtest.SQLiteURL(t)
	hub := sqldbtest.Open(t, url)
	cli, err := sqldb.Open(t.Context(), url, sqldb.Options{BusyTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cli.Close() }()
	err = hub.WithTx(t.Context(), func(context.Context, *sql.Tx) error {
		return cli.WithTx(t.Context(), func(context.Context, *sql.Tx) error { return nil })
	})
	if err == nil || !strings.Contains(err.Error(), "another process held the write lock for more than 20ms") {
		t.Errorf("got %v", err)
	}
}

func TestLockServing(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		one, two := sqldbtest.Open(t, url), sqldbtest.Open(t, url)
		release, err := one.LockServing()
		if err != nil {
			t.Fatal(err)
		}
		releaseTwo, err := two.LockServing()
		if one.Engine() == sqldb.PostgreSQL {
			if err != nil {
				t.Fatalf("PostgreSQL takes many nodes: %v", err)
			}
			if err := errors.Join(release(), releaseTwo()); err != nil {
				t.Error(err)
			}
			return
		}
		if !errors.Is(err, identity.ErrLocked) {
			t.Fatalf("two hubs on one file: %v", err)
		}
		if want := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(err.Error(), want) {
			t.Errorf("%q doesn't name %s", err, want)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		if releaseTwo, err = two.LockServing(); err != nil {
			t.Fatalf("after release: %v", err)
		}
		if err := releaseTwo(); err != nil {
			t.Error(err)
		}
	})
}

// A process that writes one transaction after another leaves the others their turn.
func TestYield(t *testing.T) {
	url := sqldbtest.SQLiteURL(t)
	busy, other := sqldbtest.Open(t, url), sqldbtest.Open(t, url)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	begun := make(chan struct{}, 1000)
	wg.Go(func() {
		for ctx.Err() == nil {
			err := busy.WithTx(t.Context(), func(context.Context, *sql.Tx) error {
				begun <- struct{}{}
				time.Sleep(60 * time.Millisecond)
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
			busy.Yield(ctx)
		}
	})
	var longest time.Duration
	for range 10 {
		<-begun
		began := time.Now()
		if err := other.WithTx(t.Context(), func(context.Context, *sql.Tx) error { return nil }); err != nil {
			t.Error(err)
		}
		longest = max(longest, time.Since(began))
	}
	stop()
	wg.Wait()
	if longest > time.Second { // without gaps, or with SQLite's own intervals, it is several; here some 80 ms
		t.Errorf("another process waited %s", longest)
	}
}
