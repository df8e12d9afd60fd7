package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// holdWriter keeps SQLite's one writer busy until the returned function is called, so that Group calls pile up.
func holdWriter(t *testing.T, db *sqldb.DB) (release func()) {
	t.Helper()
	held, free, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := db.WithTx(t.Context(), func(context.Context, *sql.Tx) error { close(held); <-free; return nil }); err != nil {
			t.Error(err)
		}
	}()
	<-held
	return func() { close(free); <-done }
}

func TestGroupSharesOneCommit(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	makeItems(t, db)
	var wg sync.WaitGroup
	release := holdWriter(t, db)
	var mu sync.Mutex
	txs := map[*sql.Tx]bool{}
	for i := range 100 {
		wg.Go(func() {
			err := db.Group(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				mu.Lock()
				txs[tx] = true
				mu.Unlock()
				return insert(ctx, tx, i)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond) // most of them are queued now; the bound below leaves room for the rest
	release()
	wg.Wait()
	if n := count(t, db, "1=1"); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
	if len(txs) > 20 {
		t.Errorf("%d transactions for 100 calls", len(txs))
	}
}

func TestGroupFailuresStayWithTheirCaller(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		makeItems(t, db)
		rapid.Check(t, func(rt *rapid.T) {
			mustExec(t, db, "DELETE FROM item")
			// What each call does after its insert: nothing, an error, a bad statement, a panic, or the same key as call 0.
			plan := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 40).Draw(rt, "plan")
			want := 0
			boom := errors.New("boom")
			var failures atomic.Int64
			var wg sync.WaitGroup
			for i, what := range plan {
				if what == 0 {
					want++
				}
				wg.Go(func() {
					defer func() {
						if v := recover(); v != nil {
							if text, ok := v.(string); !ok || what != 3 || !strings.Contains(text, "out of call") {
								t.Errorf("call %d: panic %v", i, v)
							}
							failures.Add(1)
						}
					}()
					err := db.Group(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
						if err := insert(ctx, tx, i+1); err != nil {
							return err
						}
						switch what {
						case 1:
							return boom
						case 2:
							_, err := tx.ExecContext(ctx, "INSERT INTO nowhere (id) VALUES (1)")
							return err
						case 3:
							panic("out of call")
						case 4:
							return insert(ctx, tx, i+1)
						}
						return nil
					})
					switch {
					case what == 0 && err != nil, what != 0 && err == nil:
						t.Errorf("call %d of kind %d: %v", i, what, err)
					case what == 1 && !errors.Is(err, boom), what == 4 && !sqldb.UniqueViolation(err):
						t.Errorf("call %d of kind %d got another's error: %v", i, what, err)
					case err != nil:
						failures.Add(1)
					}
				})
			}
			wg.Wait()
			if n := count(t, db, "1=1"); n != want {
				rt.Fatalf("%d rows, want %d", n, want)
			}
			if n := int(failures.Load()); n != len(plan)-want {
				rt.Fatalf("%d failures, want %d", n, len(plan)-want)
			}
		})
	})
}

func TestGroupDropsACancelledCall(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	makeItems(t, db)
	release := holdWriter(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			use := t.Context()
			if i%2 == 0 {
				use = ctx
			}
			err := db.Group(use, func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, i) })
			if i%2 == 0 && !errors.Is(err, context.Canceled) {
				t.Errorf("call %d: %v", i, err)
			}
			if i%2 == 1 && err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	cancel()
	time.Sleep(10 * time.Millisecond)
	release()
	wg.Wait()
	if n := count(t, db, "1=1"); n != 10 {
		t.Errorf("%d rows, want the 10 that weren't cancelled", n)
	}
}

func TestGroupSurvivesAnAbandonedGoroutine(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	makeItems(t, db)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = db.Group(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_ = insert(ctx, tx, 1)
			runtime.Goexit()
			return nil
		})
	}()
	<-gone
	if err := db.Group(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, 2) }); err != nil {
		t.Fatal(err)
	}
	if count(t, db, "id = 1") != 0 || count(t, db, "id = 2") != 1 {
		t.Error("the abandoned write stayed, or the next one is missing")
	}
}

func TestGroupTellsEverybodyWhenTheTransactionIsLost(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	makeItems(t, db)
	release := holdWriter(t, db)
	var wg sync.WaitGroup
	var ok atomic.Int64
	for i := range 10 {
		wg.Go(func() {
			err := db.Group(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				if i == 5 {
					return tx.Rollback() // what no caller may do
				}
				return insert(ctx, tx, i)
			})
			if err == nil {
				ok.Add(1)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	release()
	wg.Wait()
	if n := count(t, db, "1=1"); n != int(ok.Load()) {
		t.Errorf("%d rows, but %d callers were told that they wrote", n, ok.Load())
	}
}

func TestCloseDrainsTheGroup(t *testing.T) {
	url := sqldbtest.SQLiteURL(t)
	db, err := sqldb.Open(t.Context(), url, sqldb.Options{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	makeItems(t, db)
	var wg sync.WaitGroup
	var wrote atomic.Int64
	for i := range 200 {
		wg.Go(func() {
			err := db.Group(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, i) })
			switch {
			case err == nil:
				wrote.Add(1)
			case !errors.Is(err, sqldb.ErrClosed):
				t.Error(err)
			}
		})
	}
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := count(t, sqldbtest.Open(t, url), "1=1"); n != int(wrote.Load()) {
		t.Errorf("%d rows, but %d callers were told that they wrote", n, wrote.Load())
	}
}
