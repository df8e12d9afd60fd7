package classes

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
	"github.com/musubi-hub/musubi/policies/policytest"
)

// asked are the actions of the property: between them, every kind of random policy applies.
var asked = []policies.Action{policies.ActionPeopleRead, policies.ActionPlanApprove}

// disagreement tells where the classes answer otherwise than the engine does one by one; empty where they never do. It
// reports how many questions were answered without asking the engine.
func disagreement(w policytest.World, e *policies.Engine, c *Classes) (difference string, shared int) {
	differ := func(what string, one, many any, errOne, errMany error) {
		difference = fmt.Sprintf("%s: one by one %+v, %v; by classes %+v, %v", what, one, errOne, many, errMany)
	}
	w.EachQuestion(asked, func(p policies.Person, a policies.Action, org *policies.Organization, ctx policies.Context) bool {
		before := c.Len()
		many, errMany := c.Decide(p, a, org, ctx)
		if errMany == nil && c.Len() == before {
			shared++
		}
		one, errOne := oneByOne(e, p, a, org, ctx)
		if !sameError(errOne, errMany) || !sameDecision(one, many) {
			differ(fmt.Sprintf("%s of %s on %v", a, p.ID, org), one, many, errOne, errMany)
		}
		return difference == ""
	})
	for _, p := range w.People {
		if difference != "" {
			break
		}
		one, errOne := e.Seats(p)
		many, errMany := c.Seats(p)
		if !sameError(errOne, errMany) || !slices.EqualFunc(one, many, sameSeat) {
			differ("seats of "+string(p.ID), one, many, errOne, errMany)
		}
	}
	return difference, shared
}

func oneByOne(e *policies.Engine, p policies.Person, a policies.Action, org *policies.Organization, ctx policies.Context) (policies.Decision, error) {
	if org == nil {
		return e.EvaluateWorkspace(p, a, ctx)
	}
	return e.EvaluateWith(p, a, *org, ctx)
}

func sameError(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

func sameDecision(a, b policies.Decision) bool {
	return a.Allow == b.Allow && a.Hash == b.Hash && slices.Equal(a.Policies, b.Policies)
}

func sameSeat(a, b policies.SeatDecision) bool {
	return a.Product == b.Product && a.Seat == b.Seat && slices.Equal(a.Policies, b.Policies)
}

// TestClassesAgree holds the classes against one-by-one evaluation on 10,000 random policy sets and directories.
func TestClassesAgree(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if usual := checks.Value.String(); usual == checks.DefValue { // whoever asks for another number gets it
		number := "5000" // of each half
		if testing.Short() {
			number = "250"
		}
		if err := flag.Set("rapid.checks", number); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = flag.Set("rapid.checks", usual) }()
	}
	var sharedInAll atomic.Int64
	t.Run("halves", func(t *testing.T) {
		for half := range 2 {
			t.Run(fmt.Sprint(half), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					w := policytest.AnyWorld().Draw(t, "world")
					e := policytest.Engine(t, w.Rules)
					difference, shared := disagreement(w, e, New(e))
					if difference != "" {
						t.Fatalf("%s\n%s", difference, w)
					}
					sharedInAll.Add(int64(shared))
				})
			})
		}
	})
	if sharedInAll.Load() == 0 {
		t.Error("no two questions ever shared a class: nothing was tested")
	}
	t.Logf("%d answers came from a class that another pair had asked for", sharedInAll.Load())
}

// TestPlantedFaults takes one thing after another out of what makes a class: the property must notice each.
func TestPlantedFaults(t *testing.T) {
	for name, forget := range map[string]func(*policies.Reads){
		"the kind":                         func(r *policies.Reads) { r.Kind = false },
		"the role":                         func(r *policies.Reads) { r.Role = false },
		"whether in service":               func(r *policies.Reads) { r.Active = false },
		"whether the maker":                func(r *policies.Reads) { r.Maker = false },
		"the target's kind":                func(r *policies.Reads) { r.ThingKind = false },
		"who the person is":                func(r *policies.Reads) { r.Person = false },
		"which organization":               func(r *policies.Reads) { r.Org = false },
		"which organization is above":      func(r *policies.Reads) { r.OrgParent = false },
		"whether one is above":             func(r *policies.Reads) { r.OrgParent, r.HasOrgParent = false, false },
		"which target":                     func(r *policies.Reads) { r.Thing = false },
		"which is above the target":        func(r *policies.Reads) { r.ThingParent = false },
		"whether one is above the target":  func(r *policies.Reads) { r.ThingParent, r.HasParent = false, false },
		"whom the contractor serves":       func(r *policies.Reads) { r.Serves = policies.SetReads{All: r.Serves.All} },
		"whom the person takes care of":    func(r *policies.Reads) { r.Caretakes = policies.SetReads{All: r.Caretakes.All} },
		"all whom the contractor serves":   func(r *policies.Reads) { r.Serves.All = false },
		"all under the person's care":      func(r *policies.Reads) { r.Caretakes.All = false },
		"the people that policies name":    func(r *policies.Reads) { r.People = nil },
		"the organizations that they name": func(r *policies.Reads) { r.Orgs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range 5000 {
				w := policytest.AnyWorld().Example(seed)
				e := policytest.Engine(t, w.Rules)
				forgetful := func(a policies.Action) policies.Reads {
					r := e.Reads(a)
					forget(&r)
					return r
				}
				seats := e.SeatReads()
				forget(&seats)
				if difference, _ := disagreement(w, e, over(e, forgetful, seats)); difference != "" {
					t.Logf("noticed in world %d: %s", seed, difference)
					return
				}
			}
			t.Error("5,000 worlds, and nobody noticed")
		})
	}
}

// TestAnswersAreTheCallersOwn holds that what one caller does to its answer, no other sees, also at the same time.
func TestAnswersAreTheCallersOwn(t *testing.T) {
	e, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	c := New(e)
	everybody := func(fn func(policies.Person)) {
		for _, kind := range policies.OrgKinds() {
			for _, role := range policies.Roles() {
				fn(policies.Person{ID: "p", Org: policies.Organization{ID: "o", Kind: kind}, Role: role, Active: true})
			}
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			everybody(func(p policies.Person) {
				p.ID = policies.PersonID(fmt.Sprint(i))
				ds, err := c.Seats(p)
				if err != nil {
					t.Error(err)
					return
				}
				for j := range ds {
					ds[j].Seat = "spoiled"
					for k := range ds[j].Policies {
						ds[j].Policies[k] = "spoiled"
					}
				}
				d, err := c.Decide(p, policies.ActionPeopleRead, &p.Org, policies.Context{})
				if err != nil {
					t.Error(err)
				}
				for k := range d.Policies {
					d.Policies[k] = "spoiled"
				}
			})
		})
	}
	wg.Wait()
	asked := c.Len()
	everybody(func(p policies.Person) {
		ds, err := c.Seats(p)
		one, errOne := e.Seats(p)
		if err != nil || errOne != nil || !slices.EqualFunc(ds, one, sameSeat) {
			t.Errorf("a caller changed another's answer: %+v, %v, %v", ds, err, errOne)
		}
		d, err := c.Decide(p, policies.ActionPeopleRead, &p.Org, policies.Context{})
		alone, errOne := e.Evaluate(p, policies.ActionPeopleRead, p.Org)
		if err != nil || errOne != nil || !sameDecision(d, alone) {
			t.Errorf("a caller changed another's answer: %+v, %v, %v", d, err, errOne)
		}
	})
	if c.Len() != asked {
		t.Error("the same questions made new classes")
	}
}

// TestClassesAreFew holds that our own policies make few classes of a nation: the ids of people and organizations aren't in
// them, only how they stand to each other.
func TestClassesAreFew(t *testing.T) {
	e, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	c := New(e)
	city := func(i int) policies.Organization {
		return policies.Organization{ID: policies.OrgID(fmt.Sprintf("%06d", i)), Kind: policies.KindMunicipality, Parent: "130001"}
	}
	ask := func(person, org int) Key {
		p := policies.Person{ID: policies.PersonID(fmt.Sprint(person)), Org: city(person), Role: policies.RoleAdministrator, Active: true}
		o := city(org)
		if _, err := c.Decide(p, policies.ActionPeopleWrite, &o, policies.Context{}); err != nil {
			t.Fatal(err)
		}
		k, err := c.Class(p, policies.ActionPeopleWrite, &o, policies.Context{})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for i := range 100 {
		ask(i, i)
		ask(i, i+1)
	}
	if c.Len() != 2 {
		t.Errorf("%d classes; there are two: one's own organization, and another", c.Len())
	}
	const own, other = "people.write on organization kind=municipality role=administrator active=true target.kind=municipality org=A target=A",
		"people.write on organization kind=municipality role=administrator active=true target.kind=municipality org=A target=B"
	if got := ask(7, 7).String(); got != own {
		t.Errorf("class %q, want %q", got, own)
	}
	if got := ask(7, 8).String(); got != other {
		t.Errorf("class %q, want %q", got, other)
	}
}

// TestSetsMakeFewClasses holds that it doesn't matter to a class whom else a contractor serves or a caretaker takes care of.
func TestSetsMakeFewClasses(t *testing.T) {
	e, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	c := New(e)
	city := func(i int) policies.Organization {
		return policies.Organization{ID: policies.OrgID(fmt.Sprintf("%06d", i)), Kind: policies.KindMunicipality}
	}
	cities := func(from, n int) (ids []policies.OrgID) {
		for i := range n {
			ids = append(ids, city(from+i).ID)
		}
		return ids
	}
	want := map[policies.Action]map[bool]string{ // by whether the target is in the set
		policies.ActionContactRead: {
			true:  "contact.read on organization kind=contractor role=general active=true target.kind=municipality org=A target=B serves=target",
			false: "contact.read on organization kind=contractor role=general active=true target.kind=municipality org=A target=B",
		},
		policies.ActionPeopleWrite: {
			true:  "people.write on organization kind=contractor role=general active=true target.kind=municipality org=A target=B caretakes=target",
			false: "people.write on organization kind=contractor role=general active=true target.kind=municipality org=A target=B",
		},
	}
	for i := range 50 {
		for n := range 20 {
			p := policies.Person{
				ID: policies.PersonID(fmt.Sprint(i)), Role: policies.RoleGeneral, Active: true, Serves: cities(i, n), Caretakes: cities(i, n),
				Org: policies.Organization{ID: policies.OrgID(fmt.Sprintf("contractor%d", i)), Kind: policies.KindContractor},
			}
			for action, classes := range want {
				for _, o := range []policies.Organization{city(i), city(i + 10), city(i + 30)} {
					in := slices.Contains(p.Serves, o.ID)
					d, err := c.Decide(p, action, &o, policies.Context{})
					if err != nil || d.Allow != in {
						t.Fatalf("%s on %s, in the set %v: %+v, %v", action, o.ID, in, d, err)
					}
					if k, err := c.Class(p, action, &o, policies.Context{}); err != nil || k.String() != classes[in] {
						t.Fatalf("class %q, want %q; %v", k, classes[in], err)
					}
				}
			}
		}
	}
	if c.Len() != 4 {
		t.Errorf("%d classes; there are two for each action: in the set, and not", c.Len())
	}
}

// TestUnansweredQuestionsAreNoClass holds that a question which the engine refuses stays refused, whatever was asked before.
func TestUnansweredQuestionsAreNoClass(t *testing.T) {
	e := policytest.Engine(t, `@id("open") permit (principal, action, resource);`)
	c := New(e)
	good := policies.Person{ID: "p", Org: policies.Organization{ID: "o", Kind: policies.KindWard}, Role: policies.RoleGeneral, Active: true}
	if d, err := c.Decide(good, policies.ActionOrgRead, &good.Org, policies.Context{}); err != nil || !d.Allow {
		t.Fatalf("%+v, %v", d, err)
	}
	for name, p := range map[string]policies.Person{
		"nobody": {}, "a role that isn't": {ID: "p", Org: good.Org, Role: "root"}, "no organization": {ID: "p", Role: good.Role},
	} {
		if d, err := c.Decide(p, policies.ActionOrgRead, &good.Org, policies.Context{}); err == nil {
			t.Errorf("%s: %+v", name, d)
		}
		if ds, err := c.Seats(p); err == nil {
			t.Errorf("%s: %+v", name, ds)
		}
	}
	twoWays := good.Org
	twoWays.Parent = "elsewhere"
	if d, err := c.Decide(good, policies.ActionOrgRead, &twoWays, policies.Context{}); err == nil {
		t.Errorf("an organization described in two ways: %+v", d)
	}
	if d, err := c.Decide(good, "org.destroy", &good.Org, policies.Context{}); err == nil {
		t.Errorf("an unknown action: %+v", d)
	}
	if d, err := c.Decide(good, policies.ActionPlanApprove, nil, policies.Context{}); err == nil {
		t.Errorf("an approval without the plan's maker: %+v", d)
	}
}
