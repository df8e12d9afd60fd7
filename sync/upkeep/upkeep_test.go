package upkeep_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/upkeep"
)

// simulated runs fn in simulated time on SQLite.
func simulated(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	url := sqldbtest.SQLiteURL(t)
	synctest.Test(t, func(t *testing.T) {
		db, err := sqldb.Open(t.Context(), url, sqldb.Options{Unsynced: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := db.Migrate(t.Context(), sqldb.Tables()); err != nil {
			t.Fatal(err)
		}
		fn(t, db)
	})
}

func keeper(t *testing.T, db *sqldb.DB, node string, log *slog.Logger, sweeps ...upkeep.Sweep) *upkeep.Keeper {
	t.Helper()
	k, err := upkeep.New(db, node, time.Now, log, sweeps...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// running runs a keeper until stop.
func running(t *testing.T, k *upkeep.Keeper) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { k.Run(ctx) })
	return func() { cancel(); done.Wait() }
}

func sweep(name string, every time.Duration, do func(ctx context.Context) (bool, error)) upkeep.Sweep {
	return upkeep.Sweep{Name: name, Why: "for the test", Every: every, Do: do}
}

var silent = slog.New(slog.DiscardHandler)

// What is small runs at its times; what has much to do keeps nobody waiting, and never has the writer for more than half of the time.
func TestTurns(t *testing.T) {
	simulated(t, func(t *testing.T, db *sqldb.DB) {
		const batch = 50 * time.Millisecond
		left, busy, small := 4000, time.Duration(0), 0
		k := keeper(t, db, "a", silent,
			sweep("much", time.Hour, func(context.Context) (bool, error) {
				time.Sleep(batch)
				busy += batch
				left--
				return left > 0, nil
			}),
			sweep("small", time.Minute, func(context.Context) (bool, error) { small++; return false, nil }),
		)
		began := time.Now()
		stop := running(t, k)
		time.Sleep(10 * time.Minute)
		stop()
		if left != 0 {
			t.Errorf("%d batches are left", left)
		}
		if small < 9 || small > 11 {
			t.Errorf("a sweep of every minute had %d turns in ten", small)
		}
		all := k.Status()
		if len(all) != 2 || all[0].Batches != 4000 || all[0].Left || all[0].Err != "" || all[1].Batches != int64(small) || all[0].Busy != busy {
			t.Errorf("%+v", all)
		}
		if took := all[0].LastAt.Sub(began); took < 2*busy-batch {
			t.Errorf("%s of work in %s", busy, took)
		}
	})
}

// A fault is told once, tried again, and keeps no other from its turn; so do a panic and what hangs.
func TestFaults(t *testing.T) {
	simulated(t, func(t *testing.T, db *sqldb.DB) {
		var log bytes.Buffer
		broken, panics, well := 0, 0, 0
		k := keeper(t, db, "a", slog.New(slog.NewTextHandler(&log, nil)),
			sweep("broken", time.Hour, func(context.Context) (bool, error) {
				if broken++; broken > 3 {
					return false, nil
				}
				return true, errors.New("the disk is full")
			}),
			sweep("panics", 2*time.Second, func(context.Context) (bool, error) { panics++; panic("no") }),
			sweep("hangs", time.Hour, func(ctx context.Context) (bool, error) { <-ctx.Done(); return false, nil }),
			sweep("well", time.Minute, func(context.Context) (bool, error) { well++; return false, nil }),
		)
		stop := running(t, k)
		time.Sleep(10 * time.Minute)
		stop()
		if broken != 4 || well < 8 || panics < 20 {
			t.Errorf("%d, %d, %d", broken, well, panics)
		}
		if n := strings.Count(log.String(), "the disk is full"); n != 1 || !strings.Contains(log.String(), "for the test") {
			t.Errorf("a fault is told %d times:\n%s", n, log.String())
		}
		all := k.Status()
		if all[0].Faults != 3 || all[0].Err != "" || all[1].Err != "panic: no" || all[2].Faults == 0 || all[2].Err == "" {
			t.Errorf("%+v", all)
		}
	})
}

// One node works; another takes over when it has gone, at once where it has said so.
func TestOneLeader(t *testing.T) {
	simulated(t, func(t *testing.T, db *sqldb.DB) {
		var n [2]atomic.Int64
		var both, at atomic.Int64
		make := func(i int, node string) *upkeep.Keeper {
			return keeper(t, db, node, silent, sweep("some", 10*time.Second, func(context.Context) (bool, error) {
				n[i].Add(1)
				if at.Add(1) > 1 {
					both.Add(1)
				}
				time.Sleep(time.Second)
				at.Add(-1)
				return false, nil
			}))
		}
		stopA := running(t, make(0, "a"))
		time.Sleep(time.Second)
		stopB := running(t, make(1, "b"))
		time.Sleep(10 * time.Minute)
		if n[0].Load() < 35 || n[1].Load() != 0 {
			t.Errorf("%d and %d turns", n[0].Load(), n[1].Load())
		}
		stopA()
		before := n[0].Load()
		time.Sleep(15 * time.Second)
		if n[1].Load() == 0 {
			t.Error("nobody took over from one that had stopped")
		}
		time.Sleep(10 * time.Minute)
		stopB()
		if n[0].Load() != before || n[1].Load() < 35 || both.Load() != 0 {
			t.Errorf("%d and %d turns, %d at once", n[0].Load(), n[1].Load(), both.Load())
		}
	})
}

// A node that was killed is replaced after the lease's term, on both databases.
func TestKilledLeader(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), sqldb.Tables()); err != nil {
			t.Fatal(err)
		}
		var ahead atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		done := map[string]int{}
		node := func(name string) *upkeep.Keeper {
			k, err := upkeep.New(db, name, now, silent, sweep("some", time.Second, func(context.Context) (bool, error) { done[name]++; return false, nil }))
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		a, b := node("a"), node("b")
		tick := func(k *upkeep.Keeper) {
			t.Helper()
			if err := k.Tick(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		tick(a)
		tick(b) // it sees a's beat
		ahead.Add(int64(50 * time.Second))
		tick(b)
		if done["a"] != 1 || done["b"] != 0 {
			t.Fatalf("%v", done)
		}
		ahead.Add(int64(11 * time.Second)) // a is dead
		tick(b)
		tick(a) // and comes back
		if done["a"] != 1 || done["b"] != 1 {
			t.Fatalf("%v", done)
		}
	})
}

// Without the table of leases nothing is done, and that is told.
func TestNoLease(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	k := keeper(t, db, "a", silent, sweep("some", time.Second, func(context.Context) (bool, error) { t.Error("done"); return false, nil }))
	if err := k.Tick(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestWrongSweeps(t *testing.T) {
	ok := func(context.Context) (bool, error) { return false, nil }
	for name, s := range map[string][]upkeep.Sweep{
		"no name":   {sweep("", time.Second, ok)},
		"a name":    {sweep("A b", time.Second, ok)},
		"too often": {sweep("some", time.Millisecond, ok)},
		"no work":   {sweep("some", time.Second, nil)},
		"no reason": {{Name: "some", Every: time.Second, Do: ok}},
		"twice":     {sweep("some", time.Second, ok), sweep("some", time.Second, ok)},
	} {
		if _, err := upkeep.New(nil, "a", time.Now, silent, s...); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// owner stands in for the owners of tables and notes what it was asked for.
type owner struct {
	now   time.Time
	keep  time.Duration
	limit int
	more  bool
	rows  int64
}

func (o *owner) sweep(now time.Time, keep time.Duration, limit int) (bool, error) {
	o.now, o.keep, o.limit = now, keep, limit
	return o.more, nil
}

type (
	requests  struct{ *owner }
	sessions  struct{ *owner }
	openid    struct{ *owner }
	saml      struct{ *owner }
	passwords struct{ *owner }
)

func (o requests) Sweep(_ context.Context, limit int) (bool, error) {
	return o.sweep(time.Time{}, 0, limit)
}

func (o sessions) Sweep(_ context.Context, now time.Time, keep time.Duration, limit int) (bool, error) {
	return o.sweep(now, keep, limit)
}

func (o openid) Sweep(_ context.Context, limit int, keep int64) (int64, error) {
	_, err := o.sweep(time.Time{}, time.Duration(keep)*time.Microsecond, limit)
	return o.rows, err
}

func (o saml) Sweep(_ context.Context, limit int) (int64, error) {
	_, err := o.sweep(time.Time{}, 0, limit)
	return o.rows, err
}

func (o passwords) Sweep(_ context.Context, now time.Time, limit int) (bool, error) {
	return o.sweep(now, 0, limit)
}

func (o *owner) Prune(_ context.Context, before time.Time, limit int) (bool, error) {
	return o.sweep(before, 0, limit)
}

// The owners are asked with their own measures, and what they leave over is passed on.
func TestSweeps(t *testing.T) {
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	now := func() time.Time { return at }
	o := &owner{}
	day := 24 * time.Hour
	list := []upkeep.Sweep{
		upkeep.LoginRequests(requests{o}), upkeep.Sessions(sessions{o}, now), upkeep.OpenID(openid{o}), upkeep.Passwords(passwords{o}, now),
		upkeep.Challenges(o, now), upkeep.Logouts(func(context.Context) (bool, error) { return o.sweep(time.Time{}, 0, 50) }), upkeep.Notices(sessions{o}, now), upkeep.SAML(saml{o}),
	}
	if _, err := upkeep.New(nil, "a", now, silent, list...); err != nil {
		t.Fatal(err)
	}
	for i, want := range []owner{
		{time.Time{}, 0, 200, false, 0},
		{at, 30 * day, 25, false, 0},
		{time.Time{}, 90 * day, 200, false, 0},
		{at, 0, 200, false, 0},
		{at.Add(-time.Hour), 0, 200, false, 0},
		{time.Time{}, 0, 50, false, 0},
		{at, 90 * day, 200, false, 0},
		{time.Time{}, 0, 200, false, 0},
	} {
		for _, more := range []bool{false, true} {
			*o = owner{more: more}
			if more {
				o.rows = 500
			}
			got, err := list[i].Do(t.Context())
			if err != nil || got != more || o.now != want.now || o.keep != want.keep || o.limit != want.limit {
				t.Errorf("%s: %t, %v, asked for %+v, want %+v", list[i].Name, got, err, *o, want)
			}
		}
	}
}
