package breaker

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

// nation is 60,000 accounts in 2,000 organizations of 30.
func nation(_ context.Context, _ Querier, level Level, _ string, _ Loss) (int, error) {
	if level == LevelOrganization {
		return 30, nil
	}
	return 60_000, nil
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newClock() *clock { return &clock{at: time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)} }

func open(t *testing.T, db *sqldb.DB, c *clock) *Store {
	t.Helper()
	if err := db.Migrate(t.Context(), audit.Migration(db.Engine()), Migration()); err != nil {
		t.Fatal(err)
	}
	return again(t, db, c)
}

// again is the store after a restart.
func again(t *testing.T, db *sqldb.DB, c *clock) *Store {
	t.Helper()
	s, err := New(db, c.now, Default(), nation)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Store) admit(t *testing.T, ask Ask) Verdict {
	t.Helper()
	var v Verdict
	err := s.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		v, err = s.Admit(ctx, tx, ask)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func person(n int) Item {
	return Item{Product: policies.ProductJira, Org: policies.OrgID(fmt.Sprintf("o%04d", n%2000)), Person: policies.PersonID(fmt.Sprintf("p%06d", n)), Loss: LossAccounts}
}

func people(from, n int, loss Loss) (out []Item) {
	for i := range n {
		item := person(from + i)
		item.Loss = loss
		out = append(out, item)
	}
	return out
}

func scope(t *testing.T, id policies.PersonID, action policies.Action) policies.Scope {
	t.Helper()
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	agency := policies.Organization{ID: "8000012010038", Kind: policies.KindAgency}
	s, err := engine.Scope(policies.Person{ID: id, Org: agency, Role: policies.RoleSystemAdministrator, Active: true}, action, []policies.Organization{agency})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// One disabled account every ten minutes, each in another organization, from sources that look alike: the day's window of the product
// catches it. The hub is restarted between any two.
func TestADripTrips(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		open(t, db, c)
		for n := 0; ; n++ {
			s := again(t, db, c) // a restart
			v := s.admit(t, Ask{Ref: fmt.Sprintf("drip/%d", n), Work: "leaver", Cause: Cause{Kind: CauseInbound, Ref: "scim", Actor: "hr-system", At: c.now().UnixMicro()}, Items: []Item{person(n)}})
			if len(v.Held) > 0 {
				if len(v.Tripped) != 1 || v.Tripped[0].Cause.Actor != "hr-system" {
					t.Fatalf("held without naming the change: %+v", v)
				}
				t.Logf("tripped %s after %d accounts, %s", v.Tripped[0].Level, n, time.Duration(n)*10*time.Minute)
				break
			}
			if n > 144 {
				t.Fatal("a day of one account every ten minutes passed")
			}
			c.add(10 * time.Minute)
		}
		// Two hours of silence, or another file, don't open it.
		c.add(2 * time.Hour)
		s := open(t, db, c)
		if v := s.admit(t, Ask{Ref: "other", Work: "leaver", Cause: Cause{Kind: CauseImport, Ref: "import x.csv"}, Items: []Item{person(99_999)}}); len(v.Held) != 1 || len(v.Tripped) != 0 {
			t.Errorf("a tripped breaker lets pass: %+v", v)
		}
		// A person records one leaver.
		if v := s.admit(t, Ask{Ref: "one", Work: "leaver", Cause: Cause{Kind: CausePerson, Actor: "clerk"}, Items: []Item{person(88_888)}, Passes: true}); len(v.Held) != 0 {
			t.Errorf("a single leaver is held: %+v", v)
		}
	})
}

func TestADripThroughOneOrganizationTrips(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		s := open(t, db, c)
		for n := range 30 {
			item := person(n)
			item.Org = "131016"
			v := s.admit(t, Ask{Ref: fmt.Sprint("d", n), Work: "plan", Cause: Cause{Kind: CausePlan, Plan: fmt.Sprint("plan", n)}, Items: []Item{item}})
			if len(v.Held) > 0 {
				if v.Tripped[0].Level != LevelOrganization || v.Tripped[0].Subject != "131016" || n != 20 {
					t.Fatalf("after %d: %+v", n, v.Tripped)
				}
				// Its neighbours go on.
				if v := s.admit(t, Ask{Ref: "neighbour", Work: "plan", Cause: Cause{Kind: CausePlan, Plan: "q"}, Items: []Item{person(5)}}); len(v.Held) != 0 {
					t.Errorf("a neighbour is held: %+v", v)
				}
				return
			}
			c.add(20 * time.Hour) // so slowly that a day holds one or two
		}
		t.Fatal("an organization lost everybody, drop by drop")
	})
}

func TestThreeHundredMembershipsInOneEditTrip(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := open(t, db, newClock())
		cause := Cause{Kind: CausePolicy, Ref: "aaaa -> bbbb", Actor: "maker", At: 5, Plan: "p1"}
		v := s.admit(t, Ask{Ref: "run", Work: "plan", Cause: cause, Items: people(0, 300, LossMemberships)})
		if len(v.Held) != 300 || len(v.Tripped) != 1 {
			t.Fatalf("%d held, %+v", len(v.Held), v.Tripped)
		}
		list, err := s.List(t.Context(), scope(t, "reader", policies.ActionPlanRead), false, 10)
		if err != nil || len(list) != 1 || list[0].Cause != cause || list[0].Held != 300 {
			t.Fatalf("%+v %v", list, err)
		}
		if v := s.admit(t, Ask{Ref: "run", Work: "plan", Cause: cause, Items: people(0, 300, LossMemberships)}); len(v.Held) != 300 || len(v.Tripped) != 0 {
			t.Errorf("asked again: %d held, %+v", len(v.Held), v.Tripped)
		}
	})
}

func TestReleaseIsPersonal(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		s := open(t, db, c)
		cause := Cause{Kind: CauseImport, Ref: "import people.csv", Actor: "culprit", At: 5}
		v := s.admit(t, Ask{Ref: "run", Work: "leaver", Cause: cause, Items: people(0, 200, LossAccounts)})
		id := v.Tripped[0].ID
		read := scope(t, "reader", policies.ActionPlanRead)
		held := people(0, 200, LossAccounts)[199].Person
		if kept, err := s.Keeps(t.Context(), read, held); err != nil || len(kept) != 1 || kept[policies.ProductJira] != id {
			t.Errorf("what keeps %s: %v, %v", held, kept, err)
		}
		if kept, err := s.Keeps(t.Context(), read, "p-nobody"); err != nil || len(kept) != 0 {
			t.Errorf("what keeps nobody: %v, %v", kept, err)
		}
		if _, err := s.Keeps(t.Context(), scope(t, "reader", policies.ActionPeopleRead), held); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("by another right: %v", err)
		}
		release := func(sc policies.Scope, reason string, another bool) (r Record, err error) {
			err = db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				r, err = s.Release(ctx, tx, sc, id, reason, another)
				return err
			})
			return r, err
		}
		if _, err := release(scope(t, "culprit", policies.ActionBreakerRelease), "it's fine", true); !errors.Is(err, ErrOwnTrip) {
			t.Errorf("who caused it releases it: %v", err)
		}
		if _, err := release(scope(t, "other", policies.ActionBreakerRelease), "  ", true); !errors.Is(err, ErrReason) {
			t.Errorf("without a reason: %v", err)
		}
		for name, sc := range map[string]policies.Scope{"the system": policies.System(policies.TaskTest), "a plan's reader": scope(t, "other", policies.ActionPlanRead), "nobody": {}} {
			if _, err := release(sc, "x", true); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s releases: %v", name, err)
			}
		}
		if r, err := release(scope(t, "other", policies.ActionBreakerRelease), "the list was right", true); err != nil || r.Held != 200 {
			t.Fatalf("%+v %v", r, err)
		}
		if _, err := release(scope(t, "other", policies.ActionBreakerRelease), "again", true); !errors.Is(err, ErrReleased) {
			t.Errorf("twice: %v", err)
		}
		// What was held passes uncounted; the windows begin anew.
		if v := s.admit(t, Ask{Ref: "again", Work: "leaver", Cause: cause, Items: people(0, 200, LossAccounts)}); len(v.Held) != 0 {
			t.Errorf("what was released is held: %d", len(v.Held))
		}
		if v := s.admit(t, Ask{Ref: "new", Work: "leaver", Cause: Cause{Kind: CauseImport, Ref: "other"}, Items: people(5000, 200, LossAccounts)}); len(v.Held) != 200 {
			t.Errorf("the breaker stays open for everything: %d held", len(v.Held))
		}
		rows, err := audit.Find(t.Context(), db.Reader(), scope(t, "x", policies.ActionAuditRead), audit.Filter{Action: string(policies.ActionBreakerRelease)})
		if err != nil || len(rows) != 1 || rows[0].Actor != "other" || !strings.Contains(fmt.Sprint(rows[0].Detail), "the list was right") {
			t.Errorf("audit: %+v %v", rows, err)
		}
		// A release lasts a day.
		c.add(releaseLife + time.Minute)
		if v := s.admit(t, Ask{Ref: "late", Work: "leaver", Cause: cause, Items: people(0, 200, LossAccounts)}); len(v.Held) != 200 {
			t.Errorf("a release without end: %d held", len(v.Held))
		}
	})
}

// The last administrator there is may release what they caused themselves: nobody else could.
func TestTheOnlyAdministratorReleases(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := open(t, db, newClock())
		v := s.admit(t, Ask{Ref: "run", Work: "leaver", Cause: Cause{Kind: CauseImport, Ref: "f", Actor: "only"}, Items: people(0, 200, LossAccounts)})
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := s.Release(ctx, tx, scope(t, "only", policies.ActionBreakerRelease), v.Tripped[0].ID, "I am alone", false)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Two nodes spend one limit: whatever their order, no more passes than one of them alone would let through.
func TestTwoNodesShareALimit(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		nodes := []*Store{open(t, db, c), open(t, db, c)}
		var mu sync.Mutex
		passed, trips := 0, 0
		var wg sync.WaitGroup
		for n, s := range nodes {
			wg.Go(func() {
				for i := range 150 {
					var v Verdict
					err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
						v, err = s.Admit(ctx, tx, Ask{Ref: fmt.Sprintf("%d/%d", n, i), Work: "leaver", Cause: Cause{Kind: CauseInbound, Ref: fmt.Sprint(n, i)}, Items: []Item{person(n*1000 + i)}})
						return err
					})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					passed, trips = passed+1-len(v.Held), trips+len(v.Tripped)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		want := Default().Limits[0].Allowed(60_000) // nation, an hour
		for _, l := range Default().Limits {
			if (l.Level == LevelNation || l.Level == LevelProduct) && l.Loss == LossAccounts && l.Window == time.Hour {
				want = min(want, l.Allowed(60_000))
			}
		}
		if passed > want+1 || passed < want-1 || trips != 1 {
			t.Errorf("%d passed, %d trips; one node lets %d pass", passed, trips, want)
		}
	})
}

// Work that is done again after a crash isn't counted again, and goes the same way.
func TestTheSameWorkCountsOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := open(t, db, newClock())
		for range 10 {
			if v := s.admit(t, Ask{Ref: "run", Work: "plan", Cause: Cause{Kind: CausePlan, Plan: "p"}, Items: people(0, 30, LossAccounts)}); len(v.Held) != 0 {
				t.Fatalf("%+v", v.Tripped)
			}
		}
		n, err := lostSince(t.Context(), db.Reader(), LevelNation, "", LossAccounts, 0)
		if err != nil || n != 30 {
			t.Errorf("counted %d %v", n, err)
		}
	})
}

// What was let pass is held again if a breaker trips before it is done.
func TestOpenIsAskedBeforeEachCall(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := open(t, db, newClock())
		first := people(0, 10, LossAccounts)
		s.admit(t, Ask{Ref: "a", Work: "plan", Cause: Cause{Kind: CausePlan, Plan: "a"}, Items: first})
		if held, err := s.Open(t.Context(), db.Reader(), "a", first...); err != nil || len(held) != 0 {
			t.Fatalf("%v %v", held, err)
		}
		s.admit(t, Ask{Ref: "b", Work: "plan", Cause: Cause{Kind: CausePlan, Plan: "b"}, Items: people(1000, 500, LossAccounts)})
		if held, err := s.Open(t.Context(), db.Reader(), "a", first...); err != nil || len(held) != 10 {
			t.Errorf("a nation's breaker holds %d of 10: %v", len(held), err)
		}
	})
}
