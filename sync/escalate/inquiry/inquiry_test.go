package inquiry_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/bizcal"
	"github.com/musubi-hub/musubi/sync/escalate"
	"github.com/musubi-hub/musubi/sync/escalate/inquiry"
	"github.com/musubi-hub/musubi/sync/jobs"
)

var start = time.Date(2026, 12, 1, 10, 0, 0, 0, jst.Zone)

// desk is who is told, as a receiver that knows each key sees it.
type desk struct {
	mu     sync.Mutex
	told   []string // effects, in the order in which they came first
	copies map[string]int
	fail   map[string]error // by rung
}

func (d *desk) deliver(_ context.Context, v inquiry.Delivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail[v.Rung]; err != nil {
		return err
	}
	if d.copies[v.Key]++; d.copies[v.Key] == 1 {
		d.told = append(d.told, fmt.Sprintf("%s %s %s%v", v.Inquiry, v.Kind, v.Rung, v.People))
	}
	return nil
}

func (d *desk) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.told)
}

// node is one hub on a database, with a clock that the test sets on.
type node struct {
	t     *testing.T
	db    *sqldb.DB
	store *inquiry.Store
	jobs  *jobs.Client
	desk  *desk
	clock *atomic.Int64 // nanoseconds since 1970
	began time.Time     // real
}

func world(t testing.TB) *escalate.World {
	t.Helper()
	n, err := bizcal.NewNational(bizcal.Known(), 2030)
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Calendar(bizcal.Ministry())
	if err != nil {
		t.Fatal(err)
	}
	group := func(id policies.PersonID) *escalate.Group {
		return &escalate.Group{Calendar: c, Members: []escalate.Member{{ID: id, Reach: escalate.Channels()}}}
	}
	team := &escalate.Team{ID: "desk", People: group("aoi"), Admins: group("akane"), Ministry: group("haru"), System: group("kai")}
	rung := func(name string, hours int, tell escalate.Who) escalate.Rung {
		return escalate.Rung{Name: name, After: escalate.Wait{Time: time.Duration(hours) * time.Hour}, Since: escalate.SinceCreated, Tell: tell, By: escalate.Channels()}
	}
	l := &escalate.Ladder{Name: "usual", Rungs: []escalate.Rung{
		rung("team", 1, escalate.WhoTeam), rung("admin", 2, escalate.WhoTeamAdministrator), rung("system", 4, escalate.WhoSystemAdministrator),
	}}
	return &escalate.World{Ladders: map[string]*escalate.Ladder{"usual": l}, Teams: map[escalate.TeamID]*escalate.Team{"desk": team}}
}

func newNode(t *testing.T, db *sqldb.DB, id string, clock *atomic.Int64, d *desk) *node {
	t.Helper()
	if err := errors.Join(db.Migrate(t.Context(), inquiry.Migration()), jobs.Migrate(t.Context(), db)); err != nil {
		t.Fatal(err)
	}
	h := &node{t: t, db: db, desk: d, clock: clock, began: time.Now()}
	now := func() time.Time { return time.Unix(0, clock.Load()).Add(time.Since(h.began)) }
	w := world(t)
	h.store = inquiry.New(db, func() *escalate.World { return w }, now)
	workers := jobs.NewWorkers()
	inquiry.Register(workers, h.store, d.deliver)
	c, err := jobs.New(jobs.Config{DB: db, Workers: workers, NodeID: id, Queues: inquiry.Queues(), Now: now, ScheduleEvery: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h.jobs = c
	h.store.Bind(c)
	return h
}

func one(t *testing.T, db *sqldb.DB) *node {
	clock := &atomic.Int64{}
	clock.Store(start.UnixNano())
	return newNode(t, db, "a", clock, &desk{copies: map[string]int{}, fail: map[string]error{}})
}

func (h *node) start() {
	h.t.Helper()
	if err := h.jobs.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = h.jobs.Stop(context.Background()) })
}

func (h *node) forward(d time.Duration) { h.clock.Add(int64(d)) }

func (h *node) hear(id, key string, e escalate.Event) (fresh bool) {
	h.t.Helper()
	err := h.db.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		fresh, err = h.store.Hear(ctx, tx, inquiry.Heard{Inquiry: id, Org: "011002", Key: key, Event: e})
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return fresh
}

var created = escalate.Event{Kind: escalate.EventCreated, Ladder: "usual", Team: "desk"}

func (h *node) wants(lines ...string) {
	h.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for len(h.desk.all()) < len(lines) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if diff := cmp.Diff(lines, h.desk.all()); diff != "" {
		h.t.Fatal(diff)
	}
}

func (h *node) count(query string, args ...any) (n int) {
	h.t.Helper()
	if err := h.db.Reader().QueryRowContext(h.t.Context(), query, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// settled waits until nothing is left to do.
func (h *node) settled() {
	h.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); h.count(`SELECT COUNT(*) FROM inquiry_effect WHERE outcome = 'waiting'`) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatal("something is never settled")
		}
	}
}

// An inquiry climbs by jobs alone, each rung once, and stops with the answer.
func TestClimbs(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := one(t, db)
		h.start()
		if !h.hear("Q-1", "d1", created) || h.hear("Q-1", "d1", created) {
			t.Fatal("a delivery counts once")
		}
		h.forward(time.Hour)
		h.wants("Q-1 tell team[aoi]")
		h.forward(2 * time.Hour) // over noon
		h.wants("Q-1 tell team[aoi]", "Q-1 tell admin[akane]")
		h.settled()
		h.hear("Q-1", "d2", escalate.Event{Kind: escalate.EventAnswered})
		h.hear("Q-2", "d1", created) // of another inquiry: the same key is another delivery
		told := []string{"Q-1 tell team[aoi]", "Q-1 tell admin[akane]"}
		for _, next := range []string{"Q-2 tell team[aoi]", "Q-2 tell admin[akane]", "Q-2 tell system[kai]"} {
			h.forward(time.Hour)
			if next == "Q-2 tell system[kai]" {
				h.forward(24 * time.Hour)
			}
			told = append(told, next)
			h.wants(told...)
		}
		h.settled()
		if n := h.count(`SELECT COUNT(*) FROM inquiry_effect WHERE outcome <> 'done'`); n > 0 {
			t.Errorf("%d effects aren't done", n)
		}
	})
}

// What was heard, its state, its effects and its jobs are there together or not at all.
func TestOneTransaction(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := one(t, db)
		undone := errors.New("undone")
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			late := created
			late.At = start.Add(-24 * time.Hour) // two rungs are due at once
			if _, err := h.store.Hear(ctx, tx, inquiry.Heard{Inquiry: "Q-1", Key: "d1", Event: late}); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		for _, table := range []string{"inquiry", "inquiry_event", "inquiry_effect", "river_job"} {
			if n := h.count(`SELECT COUNT(*) FROM ` + table); n > 0 {
				t.Errorf("%d rows are left in %s", n, table)
			}
		}
		if !h.hear("Q-1", "d1", created) {
			t.Error("what was undone counts as heard")
		}
		for _, bad := range []inquiry.Heard{
			{Key: "d", Event: created},
			{Inquiry: "Q", Event: created},
			{Inquiry: "Q", Key: "d", Event: escalate.Event{Kind: escalate.EventRungDue}},
		} {
			err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				_, err := h.store.Hear(ctx, tx, bad)
				return err
			})
			if err == nil {
				t.Errorf("%+v is heard", bad)
			}
		}
	})
}

// Nothing is lost while no hub runs: what came due is told when one does, and what was answered meanwhile isn't.
func TestAfterADowntime(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := one(t, db)
		h.hear("Q-1", "d1", created)
		h.hear("Q-2", "d1", created)
		h.forward(90 * time.Minute)
		h.hear("Q-2", "d2", escalate.Event{Kind: escalate.EventAcknowledged}) // a rung is due, and its effect waits for a worker
		h.hear("Q-2", "d3", escalate.Event{Kind: escalate.EventAnswered})
		h.start()
		h.wants("Q-1 tell team[aoi]")
		h.settled()
		if n := h.count(`SELECT COUNT(*) FROM inquiry_effect WHERE inquiry = 'Q-2' AND outcome = 'dropped'`); n != 1 {
			t.Errorf("%d dropped", n)
		}
	})
}

// What nobody can receive climbs in the transaction that says so, and is a dead letter.
func TestUndelivered(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := one(t, db)
		h.desk.fail["team"] = inquiry.ErrNobody
		h.start()
		h.hear("Q-1", "d1", created)
		h.forward(time.Hour)
		h.wants("Q-1 tell admin[akane]")
		h.settled()
		var body string
		if err := db.Reader().QueryRowContext(t.Context(), `SELECT body FROM inquiry_effect WHERE outcome = 'noted'`).Scan(&body); err != nil {
			t.Fatal(err)
		}
		var climb escalate.Effect
		if err := json.Unmarshal([]byte(body), &climb); err != nil || climb.Rung != "team" || climb.To != "admin" || climb.Reason != escalate.ReasonUndelivered {
			t.Errorf("%+v %v", climb, err)
		}
		dead, err := h.jobs.List(t.Context(), jobs.Filter{States: jobs.DeadLetters(), Kind: "inquiry.do.v1"}, jobs.Page{})
		if err != nil || len(dead) != 1 {
			t.Errorf("%d dead letters %v", len(dead), err)
		}
	})
}

// Two nodes hear of and work the same inquiries: no word is lost, each rung is told once.
func TestTwoNodes(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		db := sqldbtest.Open(t, url)
		a := one(t, db)
		other := db
		if db.Engine() != sqldb.SQLite { // SQLite is one process's
			other = sqldbtest.Open(t, url)
		}
		b := newNode(t, other, "b", a.clock, a.desk)
		b.began = a.began
		var wg sync.WaitGroup
		for i, h := range []*node{a, b} {
			wg.Go(func() {
				for k := range 40 {
					id := fmt.Sprintf("Q-%d", k%5)
					e := escalate.Event{Kind: escalate.EventMoved, Ladder: "usual", Team: "desk", At: start.Add(-time.Duration(100-2*k-i) * time.Second)}
					err := h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
						_, err := h.store.Hear(ctx, tx, inquiry.Heard{Inquiry: id, Key: fmt.Sprintf("%d/%d", i, k), Event: e})
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := a.count(`SELECT COUNT(*) FROM inquiry_event`); n != 80 {
			t.Errorf("%d of 80 events are kept", n)
		}
		if n := a.count(`SELECT SUM(version) FROM inquiry`); n != 80 {
			t.Errorf("%d of 80 events changed a state", n)
		}
		a.start()
		if other != db {
			b.start()
		}
		a.forward(24 * time.Hour)
		deadline := time.Now().Add(60 * time.Second)
		for len(a.desk.all()) < 15 && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		a.settled()
		got := a.desk.all()
		slices.Sort(got)
		var want []string
		for k := range 5 {
			for _, rung := range []string{"admin[akane]", "system[kai]", "team[aoi]"} {
				want = append(want, fmt.Sprintf("Q-%d tell %s", k, rung))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSweep(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := one(t, db)
		for _, id := range []string{"Q-1", "Q-2", "Q-3"} {
			h.hear(id, "d1", created)
		}
		h.hear("Q-1", "d2", escalate.Event{Kind: escalate.EventAnswered})
		h.hear("Q-2", "d2", escalate.Event{Kind: escalate.EventAnswered})
		later := start.Add(48 * time.Hour)
		if more, err := h.store.Sweep(t.Context(), later, 24*time.Hour, 1); err != nil || !more {
			t.Fatal(more, err)
		}
		if more, err := h.store.Sweep(t.Context(), later, 24*time.Hour, 5); err != nil || more {
			t.Fatal(more, err)
		}
		if n := h.count(`SELECT COUNT(*) FROM inquiry`); n != 1 {
			t.Errorf("%d inquiries are left, want the open one", n)
		}
		if n := h.count(`SELECT COUNT(*) FROM inquiry_event WHERE inquiry <> 'Q-3'`); n > 0 {
			t.Errorf("%d events are left", n)
		}
		h.start() // the looks of what was swept find nothing, which is no error
	})
}
