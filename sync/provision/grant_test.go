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
				conn := w.open[c.product]
				do := func(v View) Effect { return Execute(t.Context(), time.Now(), conn, v) }
				finish := func(v View, e Effect) {
					t.Helper()
					if e.Outcome != OutcomeDone {
						t.Fatalf("%s: %s %s", v.Op.Kind, e.Outcome, e.Reason)
					}
					e.Began = v.Began
					if err := s.Finish(t.Context(), v.Op, e); err != nil {
						t.Fatal(err)
					}
				}
				// run walks through a plan up to the grant, and gives that one begun.
				run := func(name string, p identity.Person, grants func(Op) bool) (begun View) {
					t.Helper()
					known, err := s.Known(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					plan := Make(mustWant(t, []identity.Person{p}), known, "m", "h")
					plan.Objects = slices.DeleteFunc(plan.Objects, func(o Object) bool { return o.Product != c.product })
					steps, err := Steps(name, plan.Objects, func(policies.Product) int { return 10 })
					if err != nil {
						t.Fatal(err)
					}
					stageForTest(t, s, name, steps)
					for _, st := range steps {
						v, err := s.Begin(t.Context(), name, st.Op.Seq)
						if err != nil {
							t.Fatal(err)
						}
						if grants(v.Op) {
							return v
						}
						finish(v, do(v))
					}
					return View{}
				}
				var grant View
				if c.next == nil {
					grant = run("first", person, c.grants)
				} else {
					run("first", person, func(Op) bool { return false })
					grant = run("second", *c.next, c.grants)
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
				ended := do(old)
				finish(grant, do(grant))
				finish(early, ended)
				again, err := s.BeginRelease(t.Context(), c.product, person.ID, grantCause(grant.Op))
				if err != nil || again.Standing != StandingOpen {
					t.Fatalf("the grant started no release: %v %v", again.Standing, err)
				}
				finish(again, do(again))
				for _, line := range w.truth(t) {
					if strings.HasPrefix(line, string(c.product)) && strings.Contains(line, "account ") {
						t.Errorf("left, but: %s", line)
					}
				}
			})
		})
	}
}
