package provision

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

func TestPace(t *testing.T) {
	const second = int64(1e6)
	pace := Pace{Quiet: 5 * time.Second, Longest: 60 * time.Second}
	p := position{}
	if p = p.looked(10*second, 0, false); p.due(10*second, pace) {
		t.Fatal("nothing changed, and a plan is due")
	}
	p = p.looked(20*second, 7, false)
	for _, c := range []struct {
		at  int64
		due bool
	}{{20, false}, {24, false}, {25, true}} {
		if got := p.due(c.at*second, pace); got != c.due {
			t.Errorf("one change at 20 s: at %d s due is %v", c.at, got)
		}
	}
	for at := int64(21); at < 80; at++ { // a change every second
		if p = p.looked(at*second, at, false); p.due(at*second, pace) {
			t.Fatalf("in the middle of changes a plan is due at %d s", at)
		}
	}
	if p = p.looked(80*second, 80, false); !p.due(80*second, pace) {
		t.Error("changes without end put the plan off without end")
	}
	q := position{cursor: 5, seen: 5}.looked(100*second, 5, true)
	if q.due(104*second, pace) || !q.due(105*second, pace) {
		t.Error("what is planned again isn't planned after the quiet time")
	}
}

// following is a hub with a follower, without any SaaS.
type following struct {
	*hub
	told  *told
	jobs  *fakeJobs
	nodes []*Follower
	at    time.Time
}

func startFollowing(t *testing.T, db *sqldb.DB, nodes int) *following {
	t.Helper()
	f := &following{told: &told{}, at: time.Date(2027, 4, 5, 0, 0, 0, 0, time.UTC)}
	f.hub = newHub(t, db, func() time.Time { return f.at })
	f.jobs = &fakeJobs{}
	f.store.Bind(f.jobs)
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	for n := range nodes {
		f.nodes = append(f.nodes, NewFollower(f.store, f.planner, engine, f.told, fmt.Sprintf("node-%d", n), Pace{Quiet: 5 * time.Second, Longest: time.Minute}, slog.New(slog.DiscardHandler)))
	}
	for _, o := range []identity.Organization{
		{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁"}, {ID: "130001", Kind: policies.KindPrefecture, Name: "東京都"}, {ID: "131016", Kind: policies.KindMunicipality, Name: "千代田区"}, {ID: "131024", Kind: policies.KindMunicipality, Name: "中央区"},
	} {
		if _, err := f.dir.AddOrganization(t.Context(), everything, o, tester); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *following) add(t *testing.T, org policies.OrgID, from, n int) (ids []policies.PersonID) {
	t.Helper()
	for i := range n {
		p, err := f.dir.AddPerson(t.Context(), everything, identity.Person{
			Org: org, StaffNumber: fmt.Sprintf("S%05d", from+i), FamilyName: "試験", GivenName: fmt.Sprint(from + i), Email: fmt.Sprintf("s%d@c%s.example.lg.jp", from+i, org), Role: policies.RoleGeneral,
		}, tester)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
	}
	return ids
}

// look lets every node look, as it does each second, for so long, and gives what they did.
func (f *following) look(t *testing.T, d time.Duration) (done []Followed) {
	t.Helper()
	for end := f.at.Add(d); f.at.Before(end); f.at = f.at.Add(time.Second) {
		for _, n := range f.nodes {
			got, err := n.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Plan != "" {
				done = append(done, got)
			}
		}
	}
	return done
}

// finish ends a plan as if every SaaS had done it.
func (f *following) finish(t *testing.T, hash string) Plan {
	t.Helper()
	p, err := f.store.load(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	f.settle(t, p)
	if _, err := f.store.db.Writer().ExecContext(t.Context(), `UPDATE provision_plan SET state='done', started_at=$2, finished_at=$2 WHERE hash=$1`, hash, f.at.UnixMicro()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *following) state(t *testing.T, hash string) (s PlanState) {
	t.Helper()
	if err := f.store.db.Reader().QueryRowContext(t.Context(), `SELECT state FROM provision_plan WHERE hash=$1`, hash).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAChangeBecomesAPlanByItself(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := startFollowing(t, db, 2)
		f.add(t, "131016", 0, 10)
		f.add(t, "8000012010038", 5000, 2)
		first := f.look(t, 30*time.Second)
		if len(first) != 1 || first[0].Standing {
			t.Fatalf("the first plan: %+v", first)
		}
		if f.state(t, first[0].Plan) != PlanMade || len(f.told.list) != 1 || f.told.list[0].Kind != identity.NoticePlan || f.told.list[0].Object != first[0].Plan {
			t.Errorf("nobody is told that it waits: %+v", f.told.list)
		}
		if again := f.look(t, time.Minute); len(again) != 0 {
			t.Errorf("without a change: %+v", again)
		}
		f.finish(t, first[0].Plan)

		// A small change is applied by standing approval.
		ids := f.add(t, "131016", 100, 2)
		small := f.look(t, 10*time.Second)
		if len(small) != 1 || !small[0].Standing || f.state(t, small[0].Plan) != PlanStaging {
			t.Fatalf("a small change: %+v", small)
		}
		p := f.finish(t, small[0].Plan)
		if got := p.People(); !slices.Equal(got, sorted(ids)) || p.Maker != policies.HubActor {
			t.Errorf("the plan is about %v, by %s", got, p.Maker)
		}
		if n := len(f.jobs.keys); n != 1 || !strings.HasPrefix(f.jobs.keys[0], ApplyArgs{}.Kind()) {
			t.Errorf("jobs %v", f.jobs.keys)
		}
		rows, err := audit.Find(t.Context(), db.Reader(), scopeOf(t, "x", policies.ActionAuditRead, ""), audit.Filter{Action: "plan.standing"})
		if err != nil || len(rows) != 1 || rows[0].Object != small[0].Plan || !strings.Contains(rows[0].Reason, "small-plan-of-the-hub-stands-approved") {
			t.Errorf("audit: %+v %v", rows, err)
		}

		// A large one waits for a person, and so does one about the operating agency.
		f.add(t, "131024", 200, 60)
		large := f.look(t, 10*time.Second)
		if len(large) != 1 || large[0].Standing || f.state(t, large[0].Plan) != PlanMade {
			t.Fatalf("a large change: %+v", large)
		}
		f.finish(t, large[0].Plan)
		f.add(t, "8000012010038", 6000, 1)
		if agency := f.look(t, 10*time.Second); len(agency) != 1 || agency[0].Standing {
			t.Errorf("a change of the agency's: %+v", agency)
		}
	})
}

func sorted(ids []policies.PersonID) []policies.PersonID {
	return slices.Sorted(slices.Values(ids))
}

// The hub is down for a day: what changed meanwhile is one plan after it is back, on another node.
func TestADayOff(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := startFollowing(t, db, 2)
		f.add(t, "131016", 0, 10)
		f.finish(t, f.look(t, 10*time.Second)[0].Plan)
		f.nodes = f.nodes[1:]
		ids := f.add(t, "131016", 100, 3)
		f.at = f.at.Add(24 * time.Hour)
		name := "改姓"
		if _, err := f.dir.EditPerson(t.Context(), everything, ids[0], directory.Author{Source: "test"}, func(p *identity.Person) error { p.FamilyName = name; return nil }); err != nil {
			t.Fatal(err)
		}
		done := f.look(t, 40*time.Second) // the lease of the dead node has to run out
		if len(done) != 1 || !done[0].Standing {
			t.Fatalf("after a day: %+v", done)
		}
		if p := f.finish(t, done[0].Plan); !slices.Equal(p.People(), sorted(ids)) {
			t.Errorf("planned for %v, changed %v", p.People(), ids)
		}
		if more := f.look(t, time.Minute); len(more) != 0 {
			t.Errorf("done twice: %+v", more)
		}
	})
}

// What the vendor refused isn't tried again and again by the hub; what a person retries is.
func TestTheHubLeavesQuarantineAlone(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := startFollowing(t, db, 1)
		f.add(t, "131016", 0, 10)
		f.finish(t, f.look(t, 10*time.Second)[0].Plan)
		bad := f.add(t, "131016", 100, 1)
		plan := f.look(t, 10*time.Second)[0].Plan
		p, err := f.store.load(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range p.Objects {
			if o.Kind != ObjectAccount {
				continue
			}
			op := Op{Run: "r", Seq: i, Product: o.Product, Kind: OpAccount, Org: o.Org, Person: o.Person, After: o.After}
			stageForTest(t, f.store, "r", []Step{{Op: Op{Seq: 0, Product: o.Product, Kind: OpAccount}}, {Op: Op{Seq: 1, Product: o.Product, Kind: OpAccount}}, {Op: Op{Seq: 2, Product: o.Product, Kind: OpAccount}}})
			if err := f.store.Finish(t.Context(), op, quarantine(fmt.Errorf("no"), "correct it")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Writer().ExecContext(t.Context(), `UPDATE provision_plan SET state='done', started_at=$1 WHERE state IN ('staging','running')`, f.at.UnixMicro()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.dir.EditPerson(t.Context(), everything, bad[0], tester, func(p *identity.Person) error { p.Section = "別の課"; return nil }); err != nil {
			t.Fatal(err)
		}
		for _, d := range f.look(t, 20*time.Second) {
			again, err := f.store.load(t.Context(), d.Plan)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range again.Objects {
				if o.Kind == ObjectAccount {
					t.Errorf("a refused account is planned again: %+v", o)
				}
			}
			if _, err := db.Writer().ExecContext(t.Context(), `UPDATE provision_plan SET state='done', started_at=$1 WHERE hash=$2`, f.at.UnixMicro(), d.Plan); err != nil {
				t.Fatal(err)
			}
		}
		list, err := f.store.Quarantine(t.Context(), scopeOf(t, "m", policies.ActionPlanRead, ""), QuarantineFilter{})
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v %v", list, err)
		}
		if _, err := f.store.Decide(t.Context(), scopeOf(t, "m", policies.ActionJobsWrite, ""), list[0].ID, QuarantineRetry, ""); err != nil {
			t.Fatal(err)
		}
		done := f.look(t, 20*time.Second)
		if len(done) != 1 || !done[0].Standing {
			t.Errorf("what a person retries: %+v", done)
		}
	})
}
