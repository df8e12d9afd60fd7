package provision

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// A portal-only customer with a new address: a new customer in the same organization, and the old one out of it without access.
func TestANewAddressReplacesACustomer(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := startLive(t, db)
		people := []identity.Person{testPerson(1, "131016"), testPerson(2, "131016"), testPerson(3, "2000012020001")}
		l.apply(t, people)
		people[0].Email = "renamed@c131016.example.lg.jp"
		people[2].Email = "renamed@c2000012020001.example.lg.jp" // a licensed member's address can be changed
		known, err := l.Known(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range Make(mustWant(t, people), known, "maker", "h").Objects {
			got = append(got, fmt.Sprint(o.Product, " ", o.Action, " ", o.Person))
		}
		if want := []string{"atlassian update p0003", "jira replace p0001", "slack update p0001"}; !slices.Equal(got, want) {
			t.Fatalf("the plan is %q", got)
		}
		if p := l.apply(t, people); p.Total != 3 || p.Products[0].Done+p.Products[1].Done+p.Products[2].Done != 3 {
			t.Fatalf("%+v", p)
		}
		if diff := cmp.Diff(wantedTruth(mustWant(t, people), map[team]bool{}), l.world.truth(t)); diff != "" {
			t.Errorf("ground truth (-want +got):\n%s", diff)
		}
		known, err = l.Known(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if again := Make(mustWant(t, people), known, "maker", "h"); !again.Empty() {
			t.Errorf("planned again: %+v", again.Objects)
		}
		var heirs int
		if err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM provision_heir`).Scan(&heirs); err != nil || heirs != 0 {
			t.Errorf("%d heirs are left %v", heirs, err)
		}
	})
}

// The process dies anywhere in a replacement, again and again, and somebody may leave meanwhile: in the end there is one account with access, or
// none of a leaver.
func TestReplacementsThatDie(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for seed := range uint64(12) {
			rng := rand.New(rand.NewPCG(seed, 3))
			s, _ := openStore(t, db, time.Now)
			wipe(t, db)
			if _, err := db.Writer().ExecContext(t.Context(), `DELETE FROM provision_heir`); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, seed)
			conn := w.open[policies.ProductJira]
			inJira := func(p Plan) []Object {
				return slices.DeleteFunc(p.Objects, func(o Object) bool { return o.Product != policies.ProductJira })
			}
			run := func(name string, p Plan) {
				steps, err := Steps(name, inJira(p), func(policies.Product) int { return 10 })
				if err != nil {
					t.Fatal(err)
				}
				stageForTest(t, s, name, steps)
				for _, st := range steps {
					for tries := 0; ; tries++ {
						v, err := s.Begin(t.Context(), name, st.Op.Seq)
						if err != nil || tries > 30 {
							t.Fatal(tries, err)
						}
						if v.Standing != StandingOpen {
							break
						}
						open := conn
						if st.Op.Kind == OpReplace && tries < 4 {
							open.GroupWriter, open.AccountWriter = dying{open.GroupWriter, rng}, dyingAccounts{open.AccountWriter, rng}
						}
						e := Execute(t.Context(), time.Now(), open, v)
						if st.Op.Kind == OpReplace && tries < 4 && rng.IntN(2) == 0 {
							continue // killed before the result was written down
						}
						e.Began = v.Began
						if err := s.Finish(t.Context(), v.Op, e); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			person := testPerson(1, "131016")
			run("first", Make(mustWant(t, []identity.Person{person}), Known{}, "m", "h"))
			person.Email = "renamed@c131016.example.lg.jp"
			known, err := s.Known(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			plan := Make(mustWant(t, []identity.Person{person}), known, "m", "h")
			leaves := seed%3 == 0
			if leaves { // in the middle: the new account is there, and nobody wrote it down
				steps, err := Steps("second", inJira(plan), func(policies.Product) int { return 10 })
				if err != nil {
					t.Fatal(err)
				}
				stageForTest(t, s, "second", steps)
				v, err := s.Begin(t.Context(), "second", 0)
				if err != nil {
					t.Fatal(err)
				}
				Execute(t.Context(), time.Now(), conn, v)
				if err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
					return s.EnqueueLeaver(ctx, tx, access.Leaver{Person: person.ID, At: 7})
				}); err != nil {
					t.Fatal(err)
				}
				rv, err := s.BeginRelease(t.Context(), policies.ProductJira, person.ID, "left 7")
				if err != nil || rv.Heir.Email != person.Email {
					t.Fatalf("the release doesn't know of the heir: %+v %v", rv.Heir, err)
				}
				if err := s.Finish(t.Context(), rv.Op, Execute(t.Context(), time.Now(), conn, rv)); err != nil {
					t.Fatal(err)
				}
			} else {
				run("second", plan)
			}
			for _, line := range w.truth(t) {
				if strings.Contains(line, "disabled account") || leaves && strings.Contains(line, "account") || !leaves && strings.Contains(line, "account") && !strings.Contains(line, person.Email) {
					t.Errorf("seed %d, leaves %v: %s", seed, leaves, line)
				}
			}
			if !leaves && !slices.ContainsFunc(w.truth(t), func(line string) bool { return strings.Contains(line, person.Email) }) {
				t.Errorf("seed %d: no account has the new address: %v", seed, w.truth(t))
			}
		}
	})
}
