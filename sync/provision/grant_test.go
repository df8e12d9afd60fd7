package provision

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// A leaver's work begins while a grant is on its way, and ends after the grant was written down: what it took away came too early, but it takes
// that out of the ledger. The work that the grant starts anew must end it all the same.
func TestAGrantLandsWithinALeaversWork(t *testing.T) {
	add := func(o Op) bool { return o.Kind == OpAdd }
	person, named, renamed := testPerson(1, "131016"), testPerson(1, "131016"), testPerson(1, "131016")
	named.FamilyName += "新"
	renamed.Email = "renamed@c131016.example.lg.jp"
	for name, c := range map[string]struct {
		product policies.Product
		next    *identity.Person // what the second plan is about; nil: the grant is of the first
		grants  func(Op) bool
	}{
		"membership":  {policies.ProductJira, nil, add},
		"account":     {policies.ProductSlack, &named, func(o Op) bool { return o.Kind == OpAccount }},
		"replacement": {policies.ProductJira, &renamed, func(o Op) bool { return o.Kind == OpReplace }},
	} {
		t.Run(name, func(t *testing.T) {
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				s, _ := openStore(t, db, time.Now)
				wipe(t, db)
				w := newWorld(t, 1)
				k := &byHand{t: t, s: s, w: w, product: c.product}
				var grant View
				if c.next == nil {
					grant = k.run("first", person, c.grants)
				} else {
					k.run("first", person, func(Op) bool { return false })
					grant = k.run("second", *c.next, c.grants)
				}
				if grant.Op.Kind == "" {
					t.Fatal("the plan has no such grant")
				}
				if err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
					return s.EnqueueLeaver(ctx, tx, access.Leaver{Person: person.ID, At: 7})
				}); err != nil {
					t.Fatal(err)
				}
				early, err := s.BeginRelease(t.Context(), c.product, person.ID, "left 7")
				if err != nil {
					t.Fatal(err)
				}
				old := early
				old.Heir = Heir{} // looked for before it was there
				ended := k.do(old)
				k.finish(grant, k.do(grant))
				k.finish(early, ended)
				again, err := s.BeginRelease(t.Context(), c.product, person.ID, grantCause(grant.Op))
				if err != nil || again.Standing != StandingOpen {
					t.Fatalf("the grant started no release: %v %v", again.Standing, err)
				}
				k.finish(again, k.do(again))
				for _, line := range w.truth(t) {
					if strings.HasPrefix(line, string(c.product)) && strings.Contains(line, "account ") {
						t.Errorf("left, but: %s", line)
					}
				}
			})
		})
	}
}

// byHand goes through plans of one person and one product by hand, so that a test can let two calls overlap.
type byHand struct {
	t       *testing.T
	s       *Store
	w       *world
	product policies.Product
}

func (k *byHand) do(v View) Effect { return Execute(k.t.Context(), time.Now(), k.w.open[k.product], v) }

func (k *byHand) finish(v View, e Effect) {
	k.t.Helper()
	if e.Outcome != OutcomeDone {
		k.t.Fatalf("%s: %s %s", v.Op.Kind, e.Outcome, e.Reason)
	}
	e.Began, e.Stamps = v.Began, v.Stamps
	if err := k.s.Finish(k.t.Context(), v.Op, e); err != nil {
		k.t.Fatal(err)
	}
}

// run walks through a plan up to the operation asked for, and gives that one begun.
func (k *byHand) run(name string, p identity.Person, until func(Op) bool) (begun View) {
	k.t.Helper()
	known, err := k.s.Known(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	plan := Make(mustWant(k.t, []identity.Person{p}), known, "m", "h")
	plan.Objects = slices.DeleteFunc(plan.Objects, func(o Object) bool { return o.Product != k.product })
	steps, err := Steps(name, plan.Objects, func(policies.Product) int { return 10 })
	if err != nil {
		k.t.Fatal(err)
	}
	stageForTest(k.t, k.s, name, steps)
	for _, st := range steps {
		v, err := k.s.Begin(k.t.Context(), name, st.Op.Seq)
		if err != nil {
			k.t.Fatal(err)
		}
		if until(v.Op) {
			return v
		}
		k.finish(v, k.do(v))
	}
	return View{}
}

// An addition of a plan that was stopped lands after the call of the removal that takes a transferred person out of the old town, and is written
// down before the removal's end. The ledger must know that the person is in again, so that the next plan takes the person out.
func TestAnAdditionLandsWithinARemoval(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, _ := openStore(t, db, time.Now)
		wipe(t, db)
		k := &byHand{t: t, s: s, w: newWorld(t, 1), product: policies.ProductJira}
		add, remove, none := func(o Op) bool { return o.Kind == OpAdd }, func(o Op) bool { return o.Kind == OpRemove }, func(Op) bool { return false }
		here, moved := testPerson(1, "131016"), testPerson(1, "131024")
		moved.Email = here.Email
		grant := k.run("first", here, add)
		removal := k.run("second", moved, remove)
		if grant.Op.Kind == "" || removal.Op.Kind == "" {
			t.Fatalf("the plans have no such operations: %q, %q", grant.Op.Kind, removal.Op.Kind)
		}
		ended := k.do(removal)
		k.finish(grant, k.do(grant))
		k.finish(removal, ended)
		k.run("third", moved, none)
		for _, line := range k.w.truth(t) {
			if strings.HasPrefix(line, "jira account") && strings.Contains(line, "(131016)") {
				t.Errorf("transferred, but: %s", line)
			}
		}
		if again := k.run("fourth", moved, remove); again.Op.Kind != "" {
			t.Error("the person is taken out time and again")
		}
	})
}
