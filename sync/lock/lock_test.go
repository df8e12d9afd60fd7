package lock_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/lock"
)

func open(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db := sqldbtest.Open(t, url)
	if err := db.Migrate(t.Context(), sqldb.Tables()); err != nil {
		t.Fatal(err)
	}
	return db
}

func process(t *testing.T, db *sqldb.DB, n int, log *slog.Logger) *lock.Locks {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l, err := lock.New(db, fmt.Sprintf("process-%d", n), time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTwoNodes: nobody is inside together, nothing that one of them did to the list is lost, and other names don't wait.
func TestTwoNodes(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		const nodes, callers, turns = 2, 3, 4
		var inside, most atomic.Int32
		var list atomic.Int32 // read, changed and replaced, as a vendor's list
		var wg sync.WaitGroup
		var first *lock.Locks
		for n := range nodes {
			l := process(t, open(t, url), n, nil)
			if n == 0 {
				first = l
			}
			for range callers {
				wg.Go(func() {
					for range turns {
						release, err := l.Lock(t.Context(), "slack user group S1")
						if err != nil {
							t.Error(err)
							return
						}
						most.Store(max(most.Load(), inside.Add(1)))
						seen := list.Load()
						time.Sleep(2 * time.Millisecond)
						list.Store(seen + 1)
						inside.Add(-1)
						release()
					}
				})
			}
		}
		release, err := first.Lock(t.Context(), "slack user group S2")
		if err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		release()
		if most.Load() != 1 || list.Load() != nodes*callers*turns {
			t.Errorf("%d inside at once, %d changes of %d are left", most.Load(), list.Load(), nodes*callers*turns)
		}
	})
}

// inBubble runs fn on fake time with two handles of one SQLite database.
func inBubble(t *testing.T, fn func(t *testing.T, a, b *sqldb.DB)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lock.db")
	if err := open(t, "sqlite:"+path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		a, b := sqldbtest.Open(t, "sqlite:"+path), sqldbtest.Open(t, "sqlite:"+path)
		fn(t, a, b)
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestHeldAsLongAsTheWorkTakes(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *sqldb.DB) {
		release, err := process(t, a, 1, nil).Lock(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		other := process(t, b, 2, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*lock.Term)
		defer cancel()
		start := time.Now()
		if _, err := other.Lock(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*lock.Term {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		release()
		release() // a second time does nothing
		start = time.Now()
		again, err := other.Lock(t.Context(), "x")
		if err != nil || time.Since(start) > time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		again()
	})
}

// TestProcessThatDied: its lease is never renewed.
func TestProcessThatDied(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *sqldb.DB) {
		dead := sqldb.NewLease(a, "lock x", "process-1", lock.Term, time.Now)
		err := a.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, held, err := dead.Hold(ctx, tx)
			if !held {
				t.Error("not held")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		release, err := process(t, b, 2, nil).Lock(t.Context(), "x")
		if took := time.Since(start); err != nil || took < lock.Term || took > lock.Term+time.Second {
			t.Fatalf("%v after %v", err, took)
		}
		release()
	})
}

func TestLostLockIsSaid(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *sqldb.DB) {
		var log bytes.Buffer
		release, err := process(t, a, 1, slog.New(slog.NewTextHandler(&log, nil))).Lock(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		err = b.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE sqldb_lease SET holder = 'process-2', fence = fence + 1 WHERE name = 'lock x'")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(lock.Term)
		release()
		if !strings.Contains(log.String(), "lost to another process") {
			t.Errorf("log: %s", log.String())
		}
		ctx, cancel := context.WithTimeout(t.Context(), lock.Term/2)
		defer cancel()
		if _, err := process(t, b, 3, nil).Lock(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the new holder's lock was given back by the old one: %v", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	db := open(t, sqldbtest.SQLiteURL(t))
	if _, err := lock.New(db, "x", time.Now, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a holder without a name of its own is taken")
	}
	if _, err := lock.New(db, "process-1", nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no clock is taken")
	}
	l := process(t, db, 1, nil)
	for _, name := range []string{"", strings.Repeat("x", 201)} {
		if _, err := l.Lock(t.Context(), name); err == nil {
			t.Errorf("a name of %d octets is taken", len(name))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Lock(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who gave up: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first failure must not keep the name
		if _, err := l.Lock(t.Context(), "x"); err == nil || !strings.HasPrefix(err.Error(), "lock: ") {
			t.Errorf("without a database: %v", err)
		}
	}
}
