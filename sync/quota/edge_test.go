package quota_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/quota"
)

func TestNewAndReserveRefuse(t *testing.T) {
	db := open(t, sqldbtest.SQLiteURL(t))
	good := connectors.Budget{Class: "a.x", Rate: 1, Burst: 10}
	for name, make := range map[string]func() error{
		"no class": func() error {
			_, err := quota.New(db, time.Now, []connectors.Budget{{Rate: 1, Burst: 1}}, quota.Options{})
			return err
		},
		"no rate": func() error {
			_, err := quota.New(db, time.Now, []connectors.Budget{{Class: "a", Burst: 1}}, quota.Options{})
			return err
		},
		"no burst": func() error {
			_, err := quota.New(db, time.Now, []connectors.Budget{{Class: "a", Rate: 1}}, quota.Options{})
			return err
		},
		"twice": func() error {
			_, err := quota.New(db, time.Now, []connectors.Budget{good, good}, quota.Options{})
			return err
		},
		"no clock":   func() error { _, err := quota.New(db, nil, nil, quota.Options{}); return err },
		"long lease": func() error { _, err := quota.New(db, time.Now, nil, quota.Options{Lease: time.Second}); return err },
		"long wait":  func() error { _, err := quota.New(db, time.Now, nil, quota.Options{MaxWait: time.Hour}); return err },
		"share":      func() error { _, err := quota.New(db, time.Now, nil, quota.Options{LeaverShare: 0.9}); return err },
		"scale":      func() error { _, err := quota.New(db, time.Now, nil, quota.Options{Scale: -1}); return err },
	} {
		if make() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	q := node(t, db, quota.Options{}, good)
	for name, err := range map[string]error{
		"unknown class": q.Reserve(t.Context(), "b.y", 1),
		"no tokens":     q.Reserve(t.Context(), "a.x", 0),
		"too many":      q.Reserve(t.Context(), "a.x", 11),
		"throttled":     q.Throttled(t.Context(), "b.y", time.Now()),
	} {
		var e *connectors.Error
		if !errors.As(err, &e) || e.Kind != connectors.KindInvalid || !strings.Contains(e.Op, "reserve quota") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := q.Reserve(t.Context(), "a.x", 10); err != nil {
		t.Errorf("the whole burst: %v", err)
	}
}

// TestNodesOnEitherEngine runs two nodes on real time: what is fake elsewhere, the database's own locking, is real here.
func TestNodesOnEitherEngine(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		b := connectors.Budget{Class: "jira.post", Rate: 200, Burst: 50}
		m := newMeter()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 2 {
			q := node(t, open(t, url), quota.Options{}, b)
			for range 8 {
				wg.Go(func() {
					for ctx.Err() == nil {
						if err := q.Reserve(ctx, b.Class, 1); err == nil {
							m.grant(1)
						} else if kind := connectors.KindOf(err); kind == connectors.KindUnavailable || kind == connectors.KindInvalid {
							t.Error(err)
							return
						}
					}
				})
			}
		}
		wg.Wait()
		// The time between a grant and its record is the machine's, so the bound is looked at over the whole run.
		if got, most := len(m.at), 50+200*1.05; float64(got) > most || got < 100 {
			t.Errorf("%d tokens in a second, want 100 to %g", got, most)
		}
	})
}

func TestDatabaseGoneIsARefusal(t *testing.T) {
	db, err := sqldb.Open(t.Context(), sqldbtest.SQLiteURL(t), sqldb.Options{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), quota.Migration()); err != nil {
		t.Fatal(err)
	}
	b := connectors.Budget{Class: "a.x", Rate: 1, Burst: 10}
	q := node(t, db, quota.Options{}, b)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := q.Reserve(t.Context(), b.Class, 1); connectors.KindOf(err) != connectors.KindUnavailable {
			t.Errorf("got %v, want unavailable", err)
		}
	}
}

func TestScaledClock(t *testing.T) {
	db := open(t, sqldbtest.SQLiteURL(t))
	const scale = 100
	began := time.Now()
	now := func() time.Time { return began.Add(time.Since(began) * scale) }
	b := connectors.Budget{Class: "a.x", Rate: 1, Burst: 1}
	q, err := quota.New(db, now, []connectors.Budget{b}, quota.Options{Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 190*time.Millisecond || took > 2*time.Second {
		t.Errorf("20 tokens at 1 a second took %s at %d times real time", took, scale)
	}
}

func BenchmarkReserve(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		if err := db.Migrate(b.Context(), quota.Migration()); err != nil {
			b.Fatal(err)
		}
		q := node(b, db, quota.Options{}, connectors.Budget{Class: "a.x", Rate: 1e6, Burst: 10_000_000})
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := q.Reserve(b.Context(), "a.x", 1); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
