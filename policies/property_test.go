package policies_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/policytest"
)

func anyOrg() *rapid.Generator[policies.Organization] {
	return rapid.Custom(func(t *rapid.T) policies.Organization {
		return policies.Organization{
			ID:     policies.OrgID(rapid.SampledFrom([]string{"a", "b", "c", "d", "jp"}).Draw(t, "org")),
			Kind:   rapid.SampledFrom(policies.OrgKinds()).Draw(t, "kind"),
			Parent: policies.OrgID(rapid.SampledFrom([]string{"", "a", "b", "z"}).Draw(t, "parent")),
		}
	})
}

func anyPerson() *rapid.Generator[policies.Person] {
	return rapid.Custom(func(t *rapid.T) policies.Person {
		return policies.Person{
			ID: policies.PersonID(rapid.StringN(1, 12, 24).Draw(t, "id")), Org: anyOrg().Draw(t, "home"),
			Role: rapid.SampledFrom(policies.Roles()).Draw(t, "role"), Active: rapid.Bool().Draw(t, "active"),
			Serves: anySet().Draw(t, "serves"), Caretakes: anySet().Draw(t, "caretakes"),
		}
	})
}

func anySet() *rapid.Generator[[]policies.OrgID] {
	return rapid.Custom(func(t *rapid.T) []policies.OrgID {
		var set []policies.OrgID
		for _, id := range []policies.OrgID{"a", "b", "c", "d", "jp"} {
			if rapid.IntRange(0, 2).Draw(t, "member") == 0 {
				set = append(set, id)
			}
		}
		return set
	})
}

// TestProperties states what must hold whatever the policies come to say about details.
func TestProperties(t *testing.T) {
	e := engine(t)
	rapid.Check(t, func(t *rapid.T) {
		actor := anyPerson().Draw(t, "actor")
		action := rapid.SampledFrom(policies.Actions()).Draw(t, "action")
		maker := rapid.SampledFrom([]policies.PersonID{actor.ID, "somebody-else"}).Draw(t, "maker")
		byID := map[policies.OrgID]policies.Organization{actor.Org.ID: actor.Org}
		var orgs []policies.Organization
		for _, o := range rapid.SliceOfN(anyOrg(), 0, 8).Draw(t, "orgs") {
			if _, known := byID[o.ID]; !known {
				byID[o.ID] = o
			}
			orgs = append(orgs, byID[o.ID])
		}
		c := policies.Context{PlanMaker: maker}
		s, err := e.ScopeWith(actor, action, orgs, c)
		if err != nil {
			t.Fatal(err)
		}
		sysadmin := actor.Role == policies.RoleSystemAdministrator && actor.Org.Kind == policies.KindAgency

		if !actor.Active && !s.Denied() {
			t.Fatal("a person whose service has ended may do something")
		}
		if people := action == policies.ActionPeopleRead || action == policies.ActionPeopleWrite; people && !sysadmin {
			beyond := func(o policies.OrgID) bool {
				caretaken := slices.Contains(actor.Caretakes, o) && byID[o].Kind != policies.KindAgency
				return o != actor.Org.ID && !caretaken
			}
			if s.All() || slices.ContainsFunc(s.Orgs(), beyond) {
				t.Fatalf("%s of %s reaches the people of %v", actor.Role, actor.Org.ID, s.Orgs())
			}
			if action == policies.ActionPeopleWrite && slices.ContainsFunc(s.Orgs(), func(o policies.OrgID) bool { return byID[o].Kind == policies.KindAgency }) {
				t.Fatalf("%s of %s changes the operating agency's people", actor.Role, actor.Org.ID)
			}
		}
		home := []policies.Action{policies.ActionSelfWrite, policies.ActionOrgContact, policies.ActionServiceWrite}
		if slices.Contains(home, action) && !sysadmin && (s.All() || slices.ContainsFunc(s.Orgs(), func(o policies.OrgID) bool { return o != actor.Org.ID })) {
			t.Fatalf("%s of %s may %s in %v", actor.Role, actor.Org.ID, action, s.Orgs())
		}
		if action == policies.ActionContactRead && !sysadmin {
			for _, o := range s.Orgs() {
				government := []policies.OrgKind{policies.KindAgency, policies.KindMinistry, policies.KindPrefecture, policies.KindMunicipality}
				served := actor.Org.Kind == policies.KindContractor && slices.Contains(actor.Serves, o)
				if o != actor.Org.ID && !slices.Contains(government, byID[o].Kind) && !served {
					t.Fatalf("a %s finds contacts of a %s", actor.Org.Kind, byID[o].Kind)
				}
			}
		}
		if action == policies.ActionPlanApprove && maker == actor.ID && !s.Denied() {
			t.Fatal("the maker of a plan may approve it")
		}
		writes := slices.Contains([]policies.Action{
			policies.ActionOrgWrite, policies.ActionPlanMake, policies.ActionPlanApprove, policies.ActionPlanApply, policies.ActionAuditRead,
			policies.ActionJobsRead, policies.ActionJobsWrite, policies.ActionBreakerRelease, policies.ActionKeyRotate,
			policies.ActionPartyRead, policies.ActionPartyWrite,
		}, action)
		if writes && !sysadmin && !s.Denied() {
			t.Fatalf("%s of a %s may %s", actor.Role, actor.Org.Kind, action)
		}
		for _, o := range orgs { // a scope and a single decision never disagree
			d, err := e.EvaluateWith(actor, action, o, c)
			if err != nil {
				t.Fatal(err)
			}
			if d.Allow != s.Covers(o.ID) {
				t.Fatalf("%s on %s: decision %v, scope %v", action, o.ID, d.Allow, s.Covers(o.ID))
			}
		}
		seats, err := e.Seats(actor)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range seats {
			if d.Seat != policies.SeatNone && (!actor.Active || actor.Role == policies.RoleSystemAdministrator) {
				t.Fatalf("%+v holds %+v", actor, d)
			}
			licensed := actor.Org.Kind == policies.KindAgency || actor.Org.Kind == policies.KindMinistry
			if d.Seat == policies.SeatLicensedMember && !licensed {
				t.Fatalf("%+v costs a licence", actor)
			}
		}
	})
}

// TestScopesOfRandomPolicies holds that a scope and single decisions never disagree, whatever the policies are: a scope asks once
// for organizations that are alike.
func TestScopesOfRandomPolicies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := policytest.AnyWorld().Draw(t, "world")
		e := policytest.Engine(t, w.Rules)
		for i := range 12 { // strangers, so that many are alike
			o := w.Orgs[i%len(w.Orgs)]
			o.ID = policies.OrgID(fmt.Sprintf("x%d", i))
			o.Parent = []policies.OrgID{o.Parent, o.ID, "", "x1"}[i/4]
			w.Orgs = append(w.Orgs, o)
		}
		for _, p := range w.People {
			for _, set := range []*[]policies.OrgID{&p.Serves, &p.Caretakes} {
				*set = append(slices.Clone(*set), "x1", "x2", "x7")
			}
			for _, a := range []policies.Action{policies.ActionPeopleRead, policies.ActionPlanApprove} {
				c := policies.Context{PlanMaker: "p9"}
				s, err := e.ScopeWith(p, a, w.Orgs, c)
				failed := err != nil
				for _, o := range w.Orgs {
					d, err := e.EvaluateWith(p, a, o, c)
					switch {
					case err != nil:
						// A scope over everything was minted on the workspace, where the policy had an answer.
						if !failed && !s.All() {
							t.Fatalf("%s of %s on %s: the scope answers what no decision does: %v\n%s", a, p.ID, o.ID, err, w)
						}
					case !failed && d.Allow != s.Covers(o.ID):
						t.Fatalf("%s of %s on %+v: decision %v, scope %v\n%s", a, p.ID, o, d.Allow, s.Covers(o.ID), w)
					}
				}
			}
		}
	})
}
