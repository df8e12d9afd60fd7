package provision

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

// guardian looks after every change at a vendor whether somebody is in two organizations at once.
type guardian struct {
	box  *sandbox.Sandbox
	way  http.RoundTripper
	mu   sync.Mutex
	both []string
	seen int
}

func (g *guardian) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.way.RoundTrip(r)
	if r.Method == http.MethodGet {
		return resp, err
	}
	for _, p := range policies.Products() {
		state, serr := g.box.State(string(p))
		if serr != nil {
			continue
		}
		g.mu.Lock()
		g.seen++
		for _, a := range state.Accounts {
			if len(a.Groups) > 1 {
				g.both = append(g.both, fmt.Sprintf("%s: %s is in %v", p, a.Email, a.Groups))
			}
		}
		g.mu.Unlock()
	}
	return resp, err
}

// eager lets people into the new organization before they are out of the old one.
func eager(steps []Step) []Step {
	out := slices.Clone(steps)
	for i := range out {
		if out[i].Op.Kind != OpRemove {
			continue
		}
		for _, next := range out[i].Next {
			out[next].Waits--
		}
		out[i].Next = nil
	}
	return out
}

// On 1 April 40 % of a prefecture's people move between its bodies in one night, administrators among them. It comes out right, also with
// workers that die on the way, and at no moment is anybody in two organizations of one SaaS.
func TestFirstOfApril(t *testing.T) {
	for name, c := range map[string]struct {
		order func([]Step) []Step
		both  bool
	}{
		"as it is":                           {func(s []Step) []Step { return s }, false},
		"a planted bug: grant before revoke": {eager, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				both := firstOfApril(t, c.order)
				if (len(both) > 0) != c.both {
					t.Errorf("%d times somebody was in two organizations: %.200v", len(both), both)
				}
			})
		})
	}
}

func firstOfApril(t *testing.T, order func([]Step) []Step) []string {
	t.Helper()
	rng := rand.New(rand.NewPCG(2027, 4))
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	orgs := []identity.Organization{{ID: "010006", Kind: policies.KindPrefecture, Name: "例示県"}}
	for i := range 24 {
		orgs = append(orgs, identity.Organization{ID: policies.OrgID(fmt.Sprintf("01%04d", 1000+i)), Kind: policies.KindMunicipality, Name: fmt.Sprintf("第%d町", i), Parent: "010006"})
	}
	var people []identity.Person
	for _, o := range orgs {
		for n := range 10 {
			p := testPerson(len(people), o.ID)
			if n < 3 {
				p.Role = policies.RoleAdministrator
			}
			people = append(people, p)
		}
	}
	g := &guardian{}
	w := watchedWorld(t, 1, 100, func(box *sandbox.Sandbox, way http.RoundTripper) http.RoundTripper {
		g.box, g.way = box, way
		return g
	})
	led, groups := newMemLedger(time.Now, nil), map[team]bool{}
	apply := func(c crash) Wanted {
		for range 6 {
			want, err := Want(people, nil, orgs, engine)
			if err != nil {
				t.Fatal(err)
			}
			plan := Make(want, led.known(), "maker", "hash")
			if plan.Empty() {
				return want
			}
			steps, err := Steps("run", plan.Objects, func(policies.Product) int { return 4 })
			if err != nil {
				t.Fatal(err)
			}
			led.load(order(steps))
			drive(t, led, led, w.open, c, func(View, bool) bool { return false })
		}
		t.Fatal("something is always left to do")
		return Wanted{}
	}
	apply(crash{rng: rng})
	moved := 0
	for i := range people {
		if rng.IntN(10) < 4 {
			to := orgs[rng.IntN(len(orgs))].ID
			if to == people[i].Org {
				continue
			}
			people[i].Org, people[i].Role = to, policies.RoleGeneral
			if rng.IntN(5) == 0 {
				people[i].Role = policies.RoleAdministrator
			}
			moved++
		}
	}
	want := apply(crash{rng: rng, chance: 0.03})
	if moved < len(people)/3 || g.seen == 0 {
		t.Errorf("%d of %d moved, %d looks", moved, len(people), g.seen)
	}
	for _, o := range orgs { // groups stay once made
		for _, p := range []policies.Product{policies.ProductJira, policies.ProductSlack} {
			groups[team{p, o.ID}] = true
		}
	}
	if got, wish := w.truth(t), wantedTruth(want, groups); !slices.Equal(got, wish) {
		t.Errorf("the morning after (-want +got):\n%.3000s", cmp.Diff(wish, got))
	}
	return g.both
}
