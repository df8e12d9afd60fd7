package provision

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/classes"
	"github.com/musubi-hub/musubi/policies/load"
)

var (
	everything = policies.System(policies.TaskTest)
	tester     = directory.Author{Source: "test"}
)

// hub is a directory, a ledger and a planner by the shipped policies, without any SaaS.
type hub struct {
	dir     *directory.Store
	store   *Store
	planner *Planner
	now     func() time.Time
}

// queue hands leavers to the ledger; transfers are activated by the test.
type queue struct{ *Store }

func (queue) EnqueueActivation(context.Context, *sql.Tx, access.Activation) error { return nil }
func (queue) EnqueueNotice(context.Context, *sql.Tx, identity.Notice) error       { return nil }

func newHub(t testing.TB, db *sqldb.DB, now func() time.Time) *hub {
	t.Helper()
	s, _ := openStore(t, db, now)
	if err := db.Migrate(t.Context(), sqldb.Tables(), directory.Migration()); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	dir := directory.New(db, directory.Options{Now: now, Enqueuer: queue{s}, NewID: func() policies.PersonID {
		return policies.PersonID(fmt.Sprintf("p%08d", n.Add(1)))
	}})
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	return &hub{dir: dir, store: s, planner: NewPlanner(s, dir, classes.New(engine)), now: now}
}

// settle writes a plan into the ledger as if every SaaS had done it.
func (h *hub) settle(t testing.TB, p Plan) {
	t.Helper()
	for i, o := range p.Objects {
		op, e := Op{Run: "test", Seq: i, Product: o.Product, Org: o.Org, Person: o.Person}, Effect{Outcome: OutcomeDone}
		switch {
		case o.Kind == ObjectGroup:
			e.Group = &GroupRow{Product: o.Product, Org: o.Org, GroupID: "g" + string(o.Org), Name: o.Name}
		case o.Kind == ObjectAccount:
			state := StateActive
			if !o.After.Active {
				state = StateDisabled
			}
			e.Account = &AccountRow{Product: o.Product, Person: o.Person, Org: o.Org, Seat: o.Seat, AccountID: "a" + string(o.Person), State: state, Attributes: *o.After}
		case o.Action == ActionAdd:
			e.Added = o.Members
		default:
			e.Removed = o.Members
		}
		if err := h.store.Finish(t.Context(), op, e); err != nil {
			t.Fatal(err)
		}
	}
}

// only keeps the objects of a plan that are about some people; groups stay where one of them enters them.
func only(p Plan, people []policies.PersonID) (mine, others []Object) {
	entered := map[team]bool{}
	in := func(id policies.PersonID) bool { return slices.Contains(people, id) }
	for _, o := range p.Objects {
		if o.Kind == ObjectMembers && slices.ContainsFunc(o.Members, in) {
			entered[team{o.Product, o.Org}] = true
		}
	}
	for _, o := range p.Objects {
		switch {
		case o.Kind == ObjectMembers:
			part := o
			part.Members = slices.DeleteFunc(slices.Clone(o.Members), func(id policies.PersonID) bool { return !in(id) })
			if len(part.Members) > 0 {
				mine = append(mine, part)
			}
			if len(part.Members) < len(o.Members) {
				others = append(others, o)
			}
		case o.Kind == ObjectGroup && entered[team{o.Product, o.Org}], o.Kind == ObjectAccount && in(o.Person):
			mine = append(mine, o)
		default:
			others = append(others, o)
		}
	}
	return mine, others
}

// However the directory changes, the feed names everybody for whom a whole plan would do something, and the partial plan does just that.
func TestPartIsTheWholePlanOfTheAffected(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		h := newHub(t, db, func() time.Time { return now })
		ctx, rng := t.Context(), rand.New(rand.NewPCG(6, 1))
		orgs := []identity.Organization{
			{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁"},
			{ID: "130001", Kind: policies.KindPrefecture, Name: "東京都"},
			{ID: "131016", Kind: policies.KindMunicipality, Name: "千代田区", Parent: "130001"},
			{ID: "131024", Kind: policies.KindMunicipality, Name: "中央区", Parent: "130001"},
			{ID: "2000012020001", Kind: policies.KindMinistry, Name: "総務省"},
		}
		for _, o := range orgs {
			if _, err := h.dir.AddOrganization(ctx, everything, o, tester); err != nil {
				t.Fatal(err)
			}
		}
		var people []identity.Person
		add := func(n int) {
			p, err := h.dir.AddPerson(ctx, everything, identity.Person{
				Org: orgs[1+rng.IntN(4)].ID, StaffNumber: fmt.Sprintf("S%d", n), FamilyName: "見本", Email: fmt.Sprintf("s%d@t.example.lg.jp", n),
				Role: []policies.Role{policies.RoleAdministrator, policies.RoleGeneral}[rng.IntN(2)],
			}, tester)
			if err != nil {
				t.Fatal(err)
			}
			people = append(people, p)
		}
		for n := range 12 {
			add(n)
		}
		last, planned, moves := int64(0), 0, 0
		for round := range 150 {
			who := &people[rng.IntN(len(people))]
			switch kind := rng.IntN(6); {
			case round == 0:
			case kind == 0:
				add(100 + round)
			case kind == 1 && who.Active():
				if err := h.dir.EndPerson(ctx, everything, who.ID, tester); err != nil {
					t.Fatal(err)
				}
				who.EndedAt = now.UnixMicro()
			case kind == 2 && who.Active():
				if _, err := h.dir.EditPerson(ctx, everything, who.ID, tester, func(p *identity.Person) error { p.FamilyName = fmt.Sprintf("改名%d", round); return nil }); err != nil {
					t.Fatal(err)
				}
			case kind == 3:
				o := orgs[rng.IntN(len(orgs))]
				if _, err := h.dir.EditOrganization(ctx, everything, o.ID, tester, func(o *identity.Organization) error { o.Name = fmt.Sprintf("改称%d", round); return nil }); err != nil {
					t.Fatal(err)
				}
			case who.Active():
				to := orgs[1+rng.IntN(4)].ID
				x := identity.Transfer{Person: who.ID, Kind: identity.TransferMove, From: who.Org, To: to, StaffNumber: fmt.Sprintf("T%d", round), At: now.UnixMicro()}
				if kind == 5 {
					x.Kind, x.StaffNumber = identity.TransferConcurrent, ""
				}
				if _, err := h.dir.AddTransfer(ctx, everything, x, tester); err != nil {
					continue // refused: the same organization, the last administrator
				}
				moves++
				if _, err := h.dir.Activate(ctx); err != nil {
					t.Fatal(err)
				}
				p, err := h.dir.Person(ctx, everything, who.ID)
				if err != nil {
					t.Fatal(err)
				}
				*who = p
			}
			affected, err := h.planner.Affected(ctx, last)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := h.planner.Current(ctx, "maker")
			if err != nil {
				t.Fatal(err)
			}
			if affected.Whole {
				t.Fatalf("round %d: a whole plan for %d people", round, len(people))
			}
			part, err := h.planner.Part(ctx, "maker", affected.People)
			if err != nil {
				t.Fatal(err)
			}
			mine, others := only(whole, affected.People)
			if len(others) > 0 {
				t.Fatalf("round %d: the feed names %v, and the whole plan does more: %+v", round, affected.People, others)
			}
			if diff := cmp.Diff(mine, part.Objects, cmp.Transformer("nil", func(o []Object) []Object { return append([]Object{}, o...) })); diff != "" {
				t.Fatalf("round %d: the partial plan (-whole +part):\n%s", round, diff)
			}
			if keep, drops := Compare(part, whole); len(drops) > 0 || len(keep) != len(part.Objects) {
				t.Fatalf("round %d: the whole plan doesn't keep the partial one: %+v", round, drops)
			}
			planned += len(part.Objects)
			if rng.IntN(3) > 0 { // else the changes add up
				h.settle(t, part)
				last = affected.Last
			}
		}
		if planned < 60 || moves < 10 {
			t.Errorf("only %d objects were planned, %d transfers recorded: the test changes too little", planned, moves)
		}
	})
}
