package provision

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
)

// herald is a directory with transfers and changes alone.
type herald struct {
	transfers []identity.Transfer
	changes   []directory.Change
}

func (h *herald) Transfers(_ context.Context, _ policies.Scope, f directory.TransferFilter) (out []identity.Transfer, _ error) {
	if f.After != "" {
		return nil, nil
	}
	return h.transfers, nil
}

func (h *herald) Changes(_ context.Context, _ policies.Scope, after int64, _ int) (out []directory.Change, _ error) {
	for _, c := range h.changes {
		if c.Number > after && len(out) < directory.MaxPage {
			out = append(out, c)
		}
	}
	return out, nil
}

func (h *herald) LastChange(context.Context, policies.Scope) (int64, error) {
	return int64(len(h.changes)), nil
}

type told struct {
	mu   sync.Mutex
	list []identity.Notice
}

func (n *told) EnqueueNotice(_ context.Context, _ *sql.Tx, notice identity.Notice) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, notice)
	return nil
}

type guarded struct {
	*Store
	jobs   *fakeJobs
	herald *herald
	told   *told
	now    time.Time
}

func openGuarded(t *testing.T, db *sqldb.DB) *guarded {
	t.Helper()
	g := &guarded{herald: &herald{}, told: &told{}, now: time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)}
	g.Store, g.jobs = openStore(t, db, func() time.Time { return g.now })
	g.restart(t, db)
	return g
}

// restart is another process on the same database.
func (g *guarded) restart(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if err := db.Migrate(t.Context(), breaker.Migration()); err != nil {
		t.Fatal(err)
	}
	b, err := breaker.New(db, func() time.Time { return g.now }, breaker.Default(), Baseline)
	if err != nil {
		t.Fatal(err)
	}
	g.Store = NewStore(db, func() time.Time { return g.now })
	g.Bind(g.jobs)
	g.Guard(b, g.herald, g.told)
}

// seed gives n people an account in Jira and a place in their organization's group; 20 to an organization.
func (g *guarded) seed(t *testing.T, n int) (people []policies.PersonID) {
	t.Helper()
	err := g.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		for i := range n {
			p, org := policies.PersonID(fmt.Sprintf("p%06d", i)), policies.OrgID(fmt.Sprintf("o%04d", i/20))
			people = append(people, p)
			if _, err := tx.ExecContext(ctx, `INSERT INTO provision_account (product, person_id, org_id, seat, account_id, state, attributes, updated_at)
				VALUES ('jira',$1,$2,'portal_customer',$1,'active',$3,1)`, string(p), string(org), encodeJSON(Attributes{Email: string(p) + "@t.example.lg.jp", Active: true})); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO provision_member (product, person_id, org_id, state) VALUES ('jira',$1,$2,'in')`, string(p), string(org)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return people
}

// removals is a plan that takes people out of their organizations' groups.
func removals(people []policies.PersonID) (out []Object) {
	for part := range slices.Chunk(people, 20) {
		var i int
		if _, err := fmt.Sscanf(string(part[0]), "p%06d", &i); err != nil {
			panic(err)
		}
		out = append(out, Object{Product: policies.ProductJira, Kind: ObjectMembers, Action: ActionRemove, Org: policies.OrgID(fmt.Sprintf("o%04d", i/20)), Members: part})
	}
	return out
}

func (g *guarded) leave(t *testing.T, o access.Origin, people ...policies.PersonID) {
	t.Helper()
	var list []access.Leaver
	for _, p := range people {
		list = append(list, access.Leaver{Person: p, At: g.now.UnixMicro(), Origin: o})
	}
	err := g.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return g.EnqueueLeaver(ctx, tx, list...) })
	if err != nil {
		t.Fatal(err)
	}
}

func (g *guarded) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := g.db.Reader().QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAPolicyEditThatTakes300MembershipsIsHeld(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := openGuarded(t, db)
		people := g.seed(t, 6000)
		if _, err := db.Writer().ExecContext(t.Context(), `INSERT INTO provision_plan (hash, maker, made_at, policy_hash, document, objects, state, started_at) VALUES ('before','m',1,'old-policies',$1,0,'done',5)`, []byte{0}); err != nil {
			t.Fatal(err)
		}
		rec := PlanRecord{Hash: "the-plan", Maker: "maker", PolicyHash: "new-policies", MadeAt: g.now}
		var some []policies.PersonID // one of each organization: no organization's own breaker sees it
		for i := 0; i < len(people); i += 20 {
			some = append(some, people[i])
		}
		if len(some) != 300 {
			t.Fatal(len(some))
		}
		var objects []Object
		for _, p := range some {
			objects = append(objects, removals([]policies.PersonID{p})...)
		}
		keep, drops, err := g.admitPlan(t.Context(), "run", rec, objects)
		if err != nil || len(keep) != 0 || len(drops) != 300 {
			t.Fatalf("%d kept, %d held, %v", len(keep), len(drops), err)
		}
		trips, err := g.Breakers().List(t.Context(), scopeOf(t, "reader", policies.ActionPlanRead, ""), false, 10)
		if err != nil || len(trips) != 1 {
			t.Fatalf("%+v %v", trips, err)
		}
		if c := trips[0].Cause; c.Kind != breaker.CausePolicy || c.Actor != "maker" || !strings.Contains(c.Ref, "old-policies") || !strings.Contains(c.Ref, "new-policies") {
			t.Errorf("the trip doesn't name the edit: %+v", c)
		}
		if len(g.told.list) != 1 || g.told.list[0].Kind != identity.NoticeBreaker {
			t.Errorf("told: %+v", g.told.list)
		}
		g.restart(t, db)
		if keep, drops, err := g.admitPlan(t.Context(), "another", rec, objects[:5]); err != nil || len(keep) != 0 || len(drops) != 5 {
			t.Errorf("after a restart: %d kept, %d held, %v", len(keep), len(drops), err)
		}
		if _, err := g.ReleaseBreaker(t.Context(), scopeOf(t, "maker", policies.ActionBreakerRelease, ""), trips[0].ID, "mine", true); err == nil {
			t.Error("the maker of the plan releases it")
		}
		if _, err := g.ReleaseBreaker(t.Context(), scopeOf(t, "other", policies.ActionBreakerRelease, ""), trips[0].ID, "as intended", true); err != nil {
			t.Fatal(err)
		}
		if n := g.count(t, `SELECT COUNT(*) FROM provision_again`); n != 300 {
			t.Errorf("%d people are planned again", n)
		}
		if keep, drops, err := g.admitPlan(t.Context(), "released", rec, objects); err != nil || len(keep) != 300 || len(drops) != 0 {
			t.Errorf("released: %d kept, %d held, %v", len(keep), len(drops), err)
		}
	})
}

// 40 % of a prefecture move on 1 April, as was recorded in March: nothing is held. The same recorded the day itself is.
func TestAnnouncedTransfersArentHeld(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := openGuarded(t, db)
		people := g.seed(t, 2000)
		moving := people[:800]
		announce := func(recorded time.Time) {
			g.herald.transfers = nil
			for i, p := range moving {
				g.herald.transfers = append(g.herald.transfers, identity.Transfer{
					Person: p, Kind: identity.TransferMove, From: policies.OrgID(fmt.Sprintf("o%04d", i/20)), To: "elsewhere", At: g.now.UnixMicro(), RecordedAt: recorded.UnixMicro(),
				})
			}
		}
		announce(g.now.AddDate(0, 0, -14))
		keep, drops, err := g.admitPlan(t.Context(), "run", PlanRecord{Hash: "p", Maker: "m"}, removals(moving))
		if err != nil || len(drops) != 0 || len(keep) != 40 {
			t.Fatalf("%d kept, %d held, %v", len(keep), len(drops), err)
		}
		for _, o := range keep {
			if !o.Announced {
				t.Fatal("an announced removal isn't marked: a breaker that trips later would hold it")
			}
		}
		if n := g.count(t, `SELECT COUNT(*) FROM breaker_loss`); n != 0 {
			t.Errorf("announced transfers were counted: %d", n)
		}
		announce(g.now.Add(-time.Hour))
		if _, drops, err := g.admitPlan(t.Context(), "run2", PlanRecord{Hash: "q", Maker: "m"}, removals(moving)); err != nil || len(drops) != 40 {
			t.Errorf("recorded an hour before: %d held, %v", len(drops), err)
		}
	})
}

func TestAFileThatEndsPeopleIsHeldAndOnePersonPasses(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := openGuarded(t, db)
		people := g.seed(t, 1000)
		file := access.Origin{Source: "import people.csv", Actor: "importer", At: g.now.UnixMicro()}
		g.leave(t, file, people[:200]...)
		if n := g.count(t, `SELECT COUNT(*) FROM provision_leaver WHERE state='held'`); n != 200 || len(g.jobs.keys) != 0 {
			t.Fatalf("%d leavers held, jobs %v", n, g.jobs.keys)
		}
		trips, err := g.Breakers().List(t.Context(), scopeOf(t, "reader", policies.ActionPlanRead, ""), false, 10)
		if err != nil || len(trips) != 1 || trips[0].Cause.Actor != "importer" || trips[0].Cause.Ref != "import people.csv" || trips[0].Cause.Kind != breaker.CauseImport {
			t.Fatalf("%+v %v", trips, err)
		}
		// A person records one leaver: at once.
		g.leave(t, access.Origin{Source: "cli", Actor: "clerk", At: g.now.UnixMicro(), Alone: true}, people[500])
		if len(g.jobs.keys) != 1 {
			t.Errorf("a single leaver waits: %v", g.jobs.keys)
		}
		// So does who leaves by an announced transfer.
		g.leave(t, access.Origin{Source: "transfer", At: g.now.UnixMicro(), RecordedAt: g.now.AddDate(0, -1, 0).UnixMicro()}, people[501])
		if len(g.jobs.keys) != 2 {
			t.Errorf("an announced leaver waits: %v", g.jobs.keys)
		}
		// No plan ends the others behind the breaker's back.
		o := Object{Product: policies.ProductJira, Kind: ObjectAccount, Action: ActionDisable, Org: "o0000", Person: people[3], Leaver: true}
		if keep, drops, err := g.admitPlan(t.Context(), "run", PlanRecord{Hash: "p", Maker: "m"}, []Object{o}); err != nil || len(keep) != 0 || len(drops) != 1 {
			t.Errorf("a plan ends a held leaver: %v %v %v", keep, drops, err)
		}
		if _, err := g.ReleaseBreaker(t.Context(), scopeOf(t, "other", policies.ActionBreakerRelease, ""), trips[0].ID, "the file is right", true); err != nil {
			t.Fatal(err)
		}
		if len(g.jobs.keys) != 202 {
			t.Errorf("released: %d jobs", len(g.jobs.keys))
		}
		if v, err := g.BeginRelease(t.Context(), policies.ProductJira, people[3], fmt.Sprintf("left %d", g.now.UnixMicro())); err != nil || v.Standing != StandingOpen || v.Held != "" {
			t.Errorf("a released leaver: %+v %v", v.Held, err)
		}
		rows, err := audit.Find(t.Context(), db.Reader(), scopeOf(t, "x", policies.ActionAuditRead, ""), audit.Filter{Action: "breaker.trip"})
		if err != nil || len(rows) != 1 {
			t.Errorf("audit: %v %v", rows, err)
		}
	})
}

// What was let pass and waits in the queue is held once a breaker trips, right before its call.
func TestAQueuedLossIsHeldOnceABreakerTrips(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := openGuarded(t, db)
		people := g.seed(t, 1000)
		scim := access.Origin{Source: directory.SourceInbound, At: g.now.UnixMicro()}
		g.leave(t, scim, people[0])
		stageForTest(t, g.Store, "run", mustSteps(t, removals(people[20:25])))
		cause := fmt.Sprintf("left %d", g.now.UnixMicro())
		if v, err := g.BeginRelease(t.Context(), policies.ProductJira, people[0], cause); err != nil || v.Held != "" {
			t.Fatalf("held before anything tripped: %q %v", v.Held, err)
		}
		g.leave(t, access.Origin{Source: "import people.csv", At: 7}, people[100:400]...)
		v, err := g.BeginRelease(t.Context(), policies.ProductJira, people[0], cause)
		if err != nil || v.Held == "" {
			t.Fatalf("not held: %v", err)
		}
		if err := g.Finish(t.Context(), v.Op, Effect{Outcome: OutcomeHeld, Trip: v.Held, Reason: "held"}); err != nil {
			t.Fatal(err)
		}
		op, err := g.Begin(t.Context(), "run", 0)
		if err != nil || op.Held == "" {
			t.Fatalf("a removal isn't held: %v", err)
		}
		if err := g.Finish(t.Context(), op.Op, Effect{Outcome: OutcomeHeld, Trip: op.Held, Reason: "held"}); err != nil {
			t.Fatal(err)
		}
		if n := g.count(t, `SELECT COUNT(*) FROM breaker_hold WHERE trip=$1`, v.Held); n != 300+1+5 {
			t.Errorf("%d are held", n)
		}
		if done, err := g.finishRun(t.Context(), "run"); err != nil || !done {
			t.Errorf("a held operation keeps its plan from ending: %v %v", done, err)
		}
		if _, err := g.ReleaseBreaker(t.Context(), scopeOf(t, "other", policies.ActionBreakerRelease, ""), v.Held, "right", true); err != nil {
			t.Fatal(err)
		}
		if v, err := g.BeginRelease(t.Context(), policies.ProductJira, people[0], cause); err != nil || v.Standing != StandingOpen || v.Held != "" {
			t.Errorf("after the release: %+v %v", v, err)
		}
	})
}

func mustSteps(t *testing.T, objects []Object) []Step {
	t.Helper()
	steps, err := Steps("run", objects, func(policies.Product) int { return 100 })
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// Whose leaving is held enters nothing new, and who isn't concerned goes on.
func TestWithhold(t *testing.T) {
	people := []policies.PersonID{"a", "b", "c", "d"}
	objects := []Object{
		{Product: policies.ProductJira, Kind: ObjectGroup, Action: ActionCreate, Org: "new"},
		{Product: policies.ProductJira, Kind: ObjectAccount, Action: ActionUpdate, Org: "new", Person: "a"},
		{Product: policies.ProductJira, Kind: ObjectAccount, Action: ActionUpdate, Org: "new", Person: "b"},
		{Product: policies.ProductJira, Kind: ObjectMembers, Action: ActionAdd, Org: "new", Members: people},
		{Product: policies.ProductJira, Kind: ObjectMembers, Action: ActionRemove, Org: "old", Members: people},
	}
	held := map[breaker.Item]string{{Product: policies.ProductJira, Org: "old", Person: "a", Loss: breaker.LossMemberships}: "trip"}
	keep, drops := withhold(objects, held, map[loser]bool{{"b", "old"}: true})
	line := func(o Object) string {
		return fmt.Sprintf("%s %s %s%v announced=%v", o.Kind, o.Action, o.Person, o.Members, o.Announced)
	}
	var kept, dropped []string
	for _, o := range keep {
		kept = append(kept, line(o))
	}
	for _, d := range drops {
		dropped = append(dropped, line(d.Object))
	}
	want := []string{
		"group create [] announced=false", "account update b[] announced=false", "members add [b c d] announced=false",
		"members remove [c d] announced=false", "members remove [b] announced=true",
	}
	if !slices.Equal(kept, want) {
		t.Errorf("kept %q", kept)
	}
	if want := []string{"account update a[] announced=false", "members add [a] announced=false", "members remove [a] announced=false"}; !slices.Equal(dropped, want) {
		t.Errorf("held %q", dropped)
	}
}
