package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// wallClock is a clock that a test sets.
type wallClock struct {
	mu sync.Mutex
	at time.Time
}

func newWallClock() *wallClock { return &wallClock{at: time.Unix(1_790_000_000, 0)} }

func (c *wallClock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *wallClock) jump(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

func hold(t *testing.T, db *sqldb.DB, l *sqldb.Lease) (fence int64, held bool) {
	t.Helper()
	err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		fence, held, err = l.Hold(ctx, tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fence, held
}

func TestLeaseChangesHands(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), sqldb.Tables()); err != nil {
			t.Fatal(err)
		}
		ca, cb := newWallClock(), newWallClock()
		a := sqldb.NewLease(db, "audit", "a", 6*time.Second, ca.now)
		b := sqldb.NewLease(db, "audit", "b", 6*time.Second, cb.now)
		expect := func(l *sqldb.Lease, wantFence int64, wantHeld bool) {
			t.Helper()
			if fence, held := hold(t, db, l); fence != wantFence || held != wantHeld {
				t.Fatalf("fence %d, held %v; want %d, %v", fence, held, wantFence, wantHeld)
			}
		}
		expect(a, 1, true)
		expect(b, 0, false)
		cb.jump(5 * time.Second)
		expect(b, 0, false)
		expect(a, 1, true) // a beat, so b begins to wait anew
		cb.jump(5 * time.Second)
		expect(b, 0, false)
		cb.jump(6 * time.Second)
		if due, err := b.Due(t.Context()); err != nil || !due {
			t.Fatalf("a lease that stood still for a term isn't due: %v", err)
		}
		expect(b, 2, true)
		expect(a, 0, false)
		if a.Held() || !b.Held() {
			t.Error("who holds it")
		}

		// Nothing that one clock says keeps the other from taking over: no time is stored.
		cb.jump(time.Hour)
		expect(b, 2, true)
		ca.jump(-time.Hour)
		expect(a, 0, false)
		ca.jump(6 * time.Second)
		expect(a, 3, true)
		// A jump forward makes a takeover early; the one who lost it notices at its next write.
		expect(b, 0, false)
		cb.jump(time.Hour)
		expect(b, 4, true)
		expect(a, 0, false)

		// After a restart the same node needn't wait; after a release nobody need.
		expect(sqldb.NewLease(db, "audit", "b", 6*time.Second, cb.now), 5, true)
		expect(b, 6, true)
		if err := b.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(a, 7, true)
		if due, err := a.Due(t.Context()); err != nil || due {
			t.Errorf("due right after a renewal: %v", err)
		}
		ca.jump(2 * time.Second)
		if due, err := a.Due(t.Context()); err != nil || !due {
			t.Errorf("not due after a third of the term: %v", err)
		}
	})
}

// TestLeaseLostInARollback holds that a lease taken in a transaction that is undone isn't taken.
func TestLeaseLostInARollback(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), sqldb.Tables()); err != nil {
			t.Fatal(err)
		}
		clock, undone := newWallClock(), errors.New("undone")
		a := sqldb.NewLease(db, "audit", "a", time.Second, clock.now)
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if _, held, err := a.Hold(ctx, tx); err != nil || !held {
				t.Errorf("held %v: %v", held, err)
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if fence, held := hold(t, db, a); fence != 1 || !held {
			t.Errorf("fence %d, held %v", fence, held)
		}
	})
}

// TestLeaseRace has four candidates with clocks that jump write under their fence, as fast as they can: fences never go back.
func TestLeaseRace(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), sqldb.Tables()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Writer().ExecContext(t.Context(), `CREATE TABLE written (n BIGINT PRIMARY KEY, fence BIGINT NOT NULL, holder TEXT NOT NULL)`); err != nil {
			t.Fatal(err)
		}
		const writes = 60
		var wg sync.WaitGroup
		for i := range 4 {
			holder, clock, random := string(rune('a'+i)), newWallClock(), rand.New(rand.NewPCG(1, uint64(i)))
			lease := sqldb.NewLease(db, "audit", holder, 10*time.Second, clock.now)
			wg.Go(func() {
				// A scheduler may let one candidate finish before the others have begun. So each goes on after its writes, its clock
				// ahead by an hour each time, until it has held the lease once: that it must, at the latest when its clock has
				// passed all the others'.
				once := false
				for n := 0; n < writes || !once; n++ {
					if n == 100*writes {
						t.Errorf("%s never held the lease", holder)
						return
					}
					switch jump := random.IntN(6); {
					case jump == 0 || n >= writes:
						clock.jump(time.Hour)
					case jump == 1:
						clock.jump(-time.Hour)
					default:
						clock.jump(time.Second)
					}
					err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
						fence, held, err := lease.Hold(ctx, tx)
						if err != nil || !held {
							return err
						}
						once = true
						var n int64
						if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(n), 0) FROM written`).Scan(&n); err != nil {
							return err
						}
						// Two holders at once would write the same n.
						_, err = tx.ExecContext(ctx, `INSERT INTO written (n, fence, holder) VALUES ($1, $2, $3)`, n+1, fence, holder)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		rows, err := db.Reader().QueryContext(t.Context(), `SELECT fence, holder FROM written ORDER BY n`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		last, holders, count := int64(0), map[int64]string{}, 0
		for rows.Next() {
			var fence int64
			var holder string
			if err := rows.Scan(&fence, &holder); err != nil {
				t.Fatal(err)
			}
			if fence < last {
				t.Errorf("fence %d wrote after %d", fence, last)
			}
			if was, ok := holders[fence]; ok && was != holder {
				t.Errorf("fence %d was held by %s and %s", fence, was, holder)
			}
			last, holders[fence] = fence, holder
			count++
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if len(holders) < 4 {
			t.Errorf("%d writes under %d fences by four candidates: the race did not happen", count, len(holders))
		}
	})
}

func TestReadOnly(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		if err := sqldbtest.Open(t, url).Migrate(t.Context(), sqldb.Tables()); err != nil {
			t.Fatal(err)
		}
		db, err := sqldb.Open(t.Context(), url, sqldb.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		for _, pool := range []*sql.DB{db.Writer(), db.Reader()} {
			if _, err := pool.ExecContext(t.Context(), `INSERT INTO sqldb_lease VALUES ('x', '', 1, 1)`); err == nil {
				t.Error("a database opened for reading was written")
			}
		}
	})
	missing := filepath.Join(t.TempDir(), "no.db")
	if _, err := sqldb.Open(t.Context(), "sqlite:"+missing, sqldb.Options{ReadOnly: true}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing file: %v", err)
	}
}
