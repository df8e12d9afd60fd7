package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// fakeJobs remembers what was put into transactions that committed.
type fakeJobs struct {
	mu   sync.Mutex
	keys []string
}

func (f *fakeJobs) InsertTx(_ context.Context, _ *sql.Tx, ins ...jobs.Insert) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range ins {
		f.keys = append(f.keys, i.Args.Kind()+" "+i.Args.Key())
	}
	return len(ins), nil
}

func openStore(t testing.TB, db *sqldb.DB, now func() time.Time) (*Store, *fakeJobs) {
	t.Helper()
	if err := db.Migrate(t.Context(), audit.Migration(db.Engine()), Migration()); err != nil {
		t.Fatal(err)
	}
	s, f := NewStore(db, now), &fakeJobs{}
	s.Bind(f)
	return s, f
}

// administrators gives scopes of two system administrators for an action, minted by the shipped policies.
func scopeOf(t testing.TB, id policies.PersonID, action policies.Action, maker policies.PersonID) policies.Scope {
	t.Helper()
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	agency := policies.Organization{ID: "8000012010038", Kind: policies.KindAgency}
	scope, err := engine.ScopeWith(policies.Person{ID: id, Org: agency, Role: policies.RoleSystemAdministrator, Active: true}, action,
		[]policies.Organization{agency}, policies.Context{PlanMaker: maker})
	if err != nil {
		t.Fatal(err)
	}
	return scope
}

func testPlan(t *testing.T, hash string, people ...identity.Person) Plan {
	t.Helper()
	return Make(mustWant(t, people), Known{}, "maker", hash)
}

func TestApprovalIsBoundAndPersonal(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		s, _ := openStore(t, db, func() time.Time { return now })
		ctx := t.Context()
		make1 := scopeOf(t, "maker", policies.ActionPlanMake, "")
		plan := testPlan(t, make1.Hash(), testPerson(1, "131016"))
		rec, err := s.Save(ctx, make1, plan)
		if err != nil {
			t.Fatal(err)
		}
		apply := scopeOf(t, "maker", policies.ActionPlanApply, "")
		if _, err := s.Approved(ctx, apply, rec.Hash); !errors.Is(err, ErrNotApproved) {
			t.Errorf("an unapproved plan: %v", err)
		}
		if err := s.Apply(ctx, apply, Approved{}); !errors.Is(err, ErrNotApproved) {
			t.Errorf("the zero token: %v", err)
		}
		own := scopeOf(t, "maker", policies.ActionPlanApprove, "somebody else") // even with a scope that lies about the maker
		if _, err := s.Approve(ctx, own, rec.Hash); !errors.Is(err, ErrOwnPlan) {
			t.Errorf("the maker approves: %v", err)
		}
		if _, err := s.Approve(ctx, policies.System(policies.TaskTest), rec.Hash); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("the system approves: %v", err)
		}
		if _, err := s.Approve(ctx, make1, rec.Hash); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("a scope for another action approves: %v", err)
		}
		other := scopeOf(t, "approver", policies.ActionPlanApprove, "maker")
		if rec, err = s.Approve(ctx, other, rec.Hash); err != nil || rec.State != PlanApproved || rec.Approver != "approver" {
			t.Fatalf("approve: %+v %v", rec, err)
		}
		now = now.Add(approvalLife)
		if _, err := s.Approved(ctx, apply, rec.Hash); !errors.Is(err, ErrExpired) {
			t.Errorf("an expired approval: %v", err)
		}
		now = now.Add(-time.Hour)
		token, err := s.Approved(ctx, apply, rec.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(ctx, apply, token); err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(ctx, apply, token); !errors.Is(err, ErrBusy) {
			t.Errorf("the same token twice: %v", err)
		}
		rows, err := audit.Find(ctx, db.Reader(), scopeOf(t, "maker", policies.ActionAuditRead, ""), audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		var acts []string
		for _, r := range rows {
			acts = append(acts, r.Actor+" "+r.Action+" "+string(r.Outcome))
		}
		slices.Sort(acts)
		if diff := cmp.Diff([]string{"approver plan.approve done", "maker plan.apply done", "maker plan.make done"}, acts); diff != "" {
			t.Errorf("audit rows (-want +got):\n%s", diff)
		}
	})
}

func TestChangedDocumentIsRefused(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, _ := openStore(t, db, time.Now)
		scope := scopeOf(t, "maker", policies.ActionPlanMake, "")
		rec, err := s.Save(t.Context(), scope, testPlan(t, scope.Hash(), testPerson(1, "131016")))
		if err != nil {
			t.Fatal(err)
		}
		other, err := s.Save(t.Context(), scope, testPlan(t, scope.Hash(), testPerson(1, "131016"), testPerson(2, "131016")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Writer().ExecContext(t.Context(), `UPDATE provision_plan SET document=(SELECT document FROM provision_plan WHERE hash=$1) WHERE hash=$2`, other.Hash, rec.Hash); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Approve(t.Context(), scopeOf(t, "approver", policies.ActionPlanApprove, "maker"), rec.Hash); err == nil || !strings.Contains(err.Error(), "changed after it was made") {
			t.Errorf("a document that was swapped is approved: %v", err)
		}
	})
}

func TestOnlyScopesOverAllSeePlans(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, _ := openStore(t, db, time.Now)
		scope := scopeOf(t, "maker", policies.ActionPlanMake, "")
		rec, err := s.Save(t.Context(), scope, testPlan(t, scope.Hash(), testPerson(1, "131016")))
		if err != nil {
			t.Fatal(err)
		}
		engine, err := load.Default()
		if err != nil {
			t.Fatal(err)
		}
		town := policies.Organization{ID: "131016", Kind: policies.KindMunicipality}
		clerk, err := engine.Scope(policies.Person{ID: "clerk", Org: town, Role: policies.RoleAdministrator, Active: true}, policies.ActionPlanRead, []policies.Organization{town})
		if err != nil {
			t.Fatal(err)
		}
		for name, sc := range map[string]policies.Scope{"zero": {}, "a town's": clerk, "other action": scopeOf(t, "maker", policies.ActionOrgRead, "")} {
			if _, err := s.Load(t.Context(), sc, rec.Hash); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s scope loads a plan: %v", name, err)
			}
			if _, err := s.Record(t.Context(), sc, rec.Hash); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s scope reads a record: %v", name, err)
			}
			if _, err := s.Troubles(t.Context(), sc, rec.Hash, 10); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s scope reads troubles: %v", name, err)
			}
		}
	})
}

// model runs the same random life on the SQL ledger and on the one in memory: after each step both must know the same.
func TestStoreAgreesWithModel(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		clock := func() time.Time { return now }
		s, f := openStore(t, db, clock)
		for seed := range uint64(12) {
			rng := rand.New(rand.NewPCG(seed, 3))
			wipe(t, db)
			var people []identity.Person
			for i := range 6 {
				people = append(people, testPerson(i, testOrgs()[rng.IntN(3)].ID))
			}
			run := fmt.Sprintf("run%d", seed)
			steps, err := Steps(run, Make(mustWant(t, people), Known{}, "maker", "h").Objects, func(policies.Product) int { return 2 })
			if err != nil {
				t.Fatal(err)
			}
			stageForTest(t, s, run, steps)
			m := newMemLedger(clock, steps)
			for range 150 {
				now = now.Add(time.Duration(rng.IntN(2000)) * time.Millisecond)
				randomStep(t, rng, s, m, run, people, f)
				got, err := s.Known(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				sortKnown(&got)
				want := m.known()
				sortKnown(&want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d: the SQL ledger differs from the model (-model +SQL):\n%s", seed, diff)
				}
			}
		}
	})
}

func sortKnown(k *Known) {
	slices.SortFunc(k.Accounts, func(a, b KnownAccount) int {
		return strings.Compare(string(a.Product)+string(a.Person), string(b.Product)+string(b.Person))
	})
}

func wipe(t *testing.T, db *sqldb.DB) {
	t.Helper()
	for _, table := range []string{"provision_plan", "provision_op", "provision_edge", "provision_person", "provision_account", "provision_group", "provision_member", "provision_leaver"} {
		if _, err := db.Writer().ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
}

func stageForTest(t *testing.T, s *Store, run string, steps []Step) {
	t.Helper()
	if _, err := s.db.Writer().ExecContext(t.Context(), `INSERT INTO provision_plan (hash, maker, made_at, policy_hash, document, objects, state, run)
		VALUES ($1,'maker',1,'h',$2,0,'staging',$1)`, run, []byte{0}); err != nil {
		t.Fatal(err)
	}
	if err := s.stageRun(t.Context(), run, steps, nil); err != nil {
		t.Fatal(err)
	}
}

// randomStep begins an open operation or release on both ledgers, compares what they see, and finishes both with one effect. Now
// and then somebody leaves.
func randomStep(t *testing.T, rng *rand.Rand, s *Store, m *memLedger, run string, people []identity.Person, _ *fakeJobs) {
	t.Helper()
	ctx := t.Context()
	if rng.IntN(40) == 0 {
		p := people[rng.IntN(len(people))].ID
		if m.left[p] {
			return
		}
		m.leave(p)
		if err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return s.EnqueueLeaver(ctx, tx, access.Leaver{Person: p, At: 5})
		}); err != nil {
			t.Fatal(err)
		}
		// The model calls the first cause "left".
		for _, product := range policies.Products() {
			key := string(product) + "/" + string(p) + "/left"
			if r := m.releases[key]; r != nil {
				delete(m.releases, key)
				r.cause = "left 5"
				m.releases[string(product)+"/"+string(p)+"/left 5"] = r
			}
		}
		return
	}
	var open []func(Ledger) (View, error)
	for seq := range m.steps {
		if m.waits[seq] <= 0 {
			open = append(open, func(l Ledger) (View, error) { return l.Begin(ctx, run, seq) })
		}
	}
	for _, r := range m.releases {
		open = append(open, func(l Ledger) (View, error) { return l.BeginRelease(ctx, r.product, r.person, r.cause) })
	}
	begin := open[rng.IntN(len(open))]
	want, err := begin(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := begin(s)
	if err != nil {
		t.Fatal(err)
	}
	want.Rival, got.Rival = nil, nil
	want.Began = got.Began              // of the SQL ledger alone
	for id, row := range got.Accounts { // PostgreSQL and SQLite keep microseconds
		if model := want.Accounts[id]; row.TriedAt.Equal(model.TriedAt) {
			row.TriedAt = model.TriedAt
			got.Accounts[id] = row
		}
	}
	if got.Group != nil && want.Group != nil && got.Group.TriedAt.Equal(want.Group.TriedAt) {
		got.Group.TriedAt = want.Group.TriedAt
	}
	if want.Standing == StandingFinal && got.Standing == StandingFinal {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("what an operation sees (-model +SQL):\n%s", diff)
	}
	if rng.IntN(5) == 0 {
		return // the process died
	}
	e := randomEffect(rng, want)
	if err := m.Finish(ctx, want.Op, e); err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(ctx, got.Op, e); err != nil {
		t.Fatal(err)
	}
}

func randomEffect(rng *rand.Rand, v View) Effect {
	switch rng.IntN(5) {
	case 0:
		e := Effect{Outcome: OutcomeRetry, Reason: "try again", Untried: rng.IntN(2) == 0}
		if rng.IntN(2) == 0 {
			e.Tried = time.UnixMicro(1 + rng.Int64N(1e15)).UTC()
		}
		return e
	case 1:
		if v.Op.Kind != OpRelease {
			return Effect{Outcome: OutcomeQuarantined, Reason: "no"}
		}
	}
	e := Effect{Outcome: OutcomeDone}
	row := AccountRow{Product: v.Op.Product, Person: v.Op.Person, Org: v.Op.Org, Seat: v.Op.Seat, AccountID: "id-" + string(v.Op.Person), State: StateActive}
	switch v.Op.Kind {
	case OpGroup:
		e.Group = &GroupRow{Product: v.Op.Product, Org: v.Op.Org, Name: v.Op.Name, GroupID: "g-" + string(v.Op.Org)}
	case OpAccount:
		row.Attributes = *v.Op.After
		e.Account = &row
	case OpAdd:
		e.Added = v.Op.Members
	case OpRemove:
		e.Removed = v.Op.Members
	case OpRelease:
		for _, g := range v.Groups {
			e.Out = append(e.Out, g.Org)
		}
		if old, ok := v.Accounts[v.Op.Person]; ok {
			if rng.IntN(4) == 0 {
				old.AccountID = "replaced-meanwhile"
			}
			old.State, old.Attributes.Active = StateDisabled, false
			e.Account, e.Receipt = &old, Receipt{How: "disabled", AccountID: old.AccountID}
		}
	}
	return e
}

func TestRunnerAppliesThroughRiver(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		s, _ := openStore(t, db, time.Now)
		if err := jobs.Migrate(ctx, db); err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, 1)
		src := &fixedSource{}
		workers := jobs.NewWorkers()
		NewRunner(workers, s, src, w.open, slog.New(slog.DiscardHandler))
		client, err := jobs.New(jobs.Config{DB: db, Workers: workers, NodeID: "node-test", Queues: Queues()})
		if err != nil {
			t.Fatal(err)
		}
		s.Bind(client)
		if err := client.Start(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Stop(context.Background()) }()

		makeScope := scopeOf(t, "maker", policies.ActionPlanMake, "")
		people := []identity.Person{testPerson(1, "131016"), testPerson(2, "131016"), testPerson(3, "131024"), testPerson(4, "2000012020001")}
		people[3].Email = "p4@c2000012020001.example.lg.jp"
		src.set(Make(mustWant(t, people), Known{}, "maker", makeScope.Hash()))
		rec, err := s.Save(ctx, makeScope, src.plan)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Approve(ctx, scopeOf(t, "approver", policies.ActionPlanApprove, "maker"), rec.Hash); err != nil {
			t.Fatal(err)
		}
		apply := scopeOf(t, "maker", policies.ActionPlanApply, "")
		token, err := s.Approved(ctx, apply, rec.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(ctx, apply, token); err != nil {
			t.Fatal(err)
		}
		until(t, "the plan is done", func() bool {
			p, err := s.Progress(ctx, apply, rec.Hash)
			return err == nil && p.Plan.State == PlanDone
		})
		if got, want := w.truth(t), wantedTruth(mustWant(t, people), map[team]bool{}); !slices.Equal(got, want) {
			t.Fatalf("ground truth (-want +got):\n%s", cmp.Diff(want, got))
		}
		// A leaver, without plan and approval.
		if err := db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return s.EnqueueLeaver(ctx, tx, access.Leaver{Person: people[0].ID, At: time.Now().UnixMicro()})
		}); err != nil {
			t.Fatal(err)
		}
		people[0].EndedAt = 1
		until(t, "the leaver is gone", func() bool { return w.present(t, people) == "" })
		until(t, "the ledger counts it", func() bool { // its result is written after the vendor's answer
			seats, err := s.Seats(ctx, scopeOf(t, "maker", policies.ActionPeopleRead, ""))
			return err == nil && slices.ContainsFunc(seats, func(c SeatCount) bool { return c.Product == policies.ProductJira && c.Active == 2 && c.Leavers == 0 })
		})
	})
}

type fixedSource struct {
	mu   sync.Mutex
	plan Plan
}

func (f *fixedSource) set(p Plan) { f.mu.Lock(); f.plan = p; f.mu.Unlock() }

func (f *fixedSource) Current(context.Context, policies.PersonID) (Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plan, nil
}

func (f *fixedSource) Part(ctx context.Context, maker policies.PersonID, _ []policies.PersonID) (Plan, error) {
	return f.Current(ctx, maker)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: not %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
