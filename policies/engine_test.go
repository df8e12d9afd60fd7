package policies_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

// engineOf makes an engine of our schema and the rules given.
func engineOf(t *testing.T, rules string) *policies.Engine {
	t.Helper()
	schema, err := fs.ReadFile(policies.Files, load.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	set, err := load.Load(fstest.MapFS{
		load.SchemaFile: {Data: schema}, "rules/test.cedar": {Data: []byte(rules)},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := policies.NewEngine(set)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var (
	system = policies.Person{ID: "p-system", Org: sample[policies.KindAgency], Role: policies.RoleSystemAdministrator, Active: true}
	local  = policies.Person{ID: "p-local", Org: sample[policies.KindMunicipality], Role: policies.RoleAdministrator, Active: true}
)

func everyOrg() []policies.Organization {
	var orgs []policies.Organization
	for _, kind := range policies.OrgKinds() {
		orgs = append(orgs, sample[kind])
	}
	return orgs
}

func TestScope(t *testing.T) {
	e := engine(t)
	for _, tc := range []struct {
		name   string
		actor  policies.Person
		action policies.Action
		all    bool
		orgs   []policies.OrgID
		reason string
	}{
		{"a system administrator writes everywhere, also where nothing is yet", system, policies.ActionOrgWrite, true, nil, "system-administrator-administers-workspace"},
		{"a local administrator reads the contact list", local, policies.ActionOrgRead, true, nil, "everyone-reads-organizations"},
		{"a local administrator writes people at home", local, policies.ActionPeopleWrite, false, []policies.OrgID{"city"}, "administrator-writes-own-people"},
		{"a local administrator sees the plan at home", local, policies.ActionPlanRead, false, []policies.OrgID{"city"}, "administrator-reads-own-organization"},
		{"a local administrator registers no organization", local, policies.ActionOrgWrite, false, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := e.Scope(tc.actor, tc.action, everyOrg())
			if err != nil {
				t.Fatal(err)
			}
			if s.All() != tc.all || s.Reason() != tc.reason || s.Actor() != tc.actor.ID || s.Action() != tc.action || s.Hash() != e.Hash() {
				t.Errorf("scope: all %v, reason %q, actor %q, action %q", s.All(), s.Reason(), s.Actor(), s.Action())
			}
			if diff := cmp.Diff(tc.orgs, s.Orgs()); diff != "" {
				t.Error(diff)
			}
			if s.For(policies.ActionPlanApprove) {
				t.Error("the scope serves another action")
			}
		})
	}
}

func TestApprovalNeedsAnotherPerson(t *testing.T) {
	e := engine(t)
	if _, err := e.Evaluate(system, policies.ActionPlanApprove, sample[policies.KindMinistry]); err == nil {
		t.Error("an approval was decided without the plan's maker")
	}
	if _, err := e.Scope(system, policies.ActionPlanApprove, everyOrg()); err == nil {
		t.Error("a scope of approval was minted without the plan's maker")
	}
	s, err := e.ScopeWith(system, policies.ActionPlanApprove, nil, policies.Context{PlanMaker: "p-planner"})
	if err != nil || !s.All() {
		t.Errorf("another person's plan: %v, all %v", err, s.All())
	}
	s, err = e.ScopeWith(system, policies.ActionPlanApprove, everyOrg(), policies.Context{PlanMaker: system.ID})
	if err != nil || !s.Denied() {
		t.Errorf("one's own plan: %v, denied %v", err, s.Denied())
	}
	d, err := e.EvaluateWorkspace(system, policies.ActionPlanApprove, policies.Context{PlanMaker: system.ID})
	if err != nil || d.Allow || !slices.Equal(d.Policies, []string{"maker-never-approves"}) {
		t.Errorf("one's own plan: %+v, %v", d, err)
	}
}

func TestUnknownInputsAreErrors(t *testing.T) {
	e := engine(t)
	change := func(fn func(*policies.Person)) policies.Person { p := local; fn(&p); return p }
	for name, p := range map[string]policies.Person{
		"no id":   change(func(p *policies.Person) { p.ID = "" }),
		"no role": change(func(p *policies.Person) { p.Role = "" }),
		"role":    change(func(p *policies.Person) { p.Role = "root" }),
		"kind":    change(func(p *policies.Person) { p.Org.Kind = "company" }),
		"no org":  change(func(p *policies.Person) { p.Org.ID = "" }),
		"nobody":  {},
	} {
		if _, err := e.Evaluate(p, policies.ActionOrgRead, sample[policies.KindWard]); err == nil {
			t.Errorf("%s: Evaluate answered", name)
		}
		if _, err := e.Scope(p, policies.ActionOrgRead, nil); err == nil {
			t.Errorf("%s: Scope answered", name)
		}
		if _, err := e.Seats(p); err == nil {
			t.Errorf("%s: Seats answered", name)
		}
	}
	for _, a := range []policies.Action{"", "org.destroy", "seat.licensed_member", "administration"} {
		if _, err := e.Evaluate(local, a, local.Org); err == nil {
			t.Errorf("action %q: Evaluate answered", a)
		}
	}
	if _, err := e.Evaluate(local, policies.ActionOrgRead, policies.Organization{ID: "x", Kind: "company"}); err == nil {
		t.Error("an organization of unknown kind was answered for")
	}
	twoWays := local.Org
	twoWays.Parent = "elsewhere"
	if _, err := e.Evaluate(local, policies.ActionOrgRead, twoWays); err == nil {
		t.Error("one organization, described in two ways, was answered for")
	}
	if _, err := policies.NewEngine(policies.Set{}); err == nil {
		t.Error("an engine was made of nothing")
	}
	if _, err := policies.NewSet(nil, nil); err == nil {
		t.Error("a set was made of nothing")
	}
}

// A policy that permits on the workspace says nothing of its members, or a forbid takes one of them out: then the scope must
// not cover all.
func TestScopeOverAllIsCareful(t *testing.T) {
	const permitAll = `@id("permit-all") permit (principal, action, resource in Musubi::Workspace::"jp");`
	for _, tc := range []struct {
		name, rules string
		all         bool
		want        []policies.OrgID
	}{
		{"permit on the workspace and its members", permitAll, true, nil},
		{"permit without a word about the resource", `@id("a") permit (principal, action, resource);`, true, nil},
		{"permit on the workspace entity alone", `@id("a") permit (principal, action, resource == Musubi::Workspace::"jp");`, false, nil},
		{"permit by condition", `@id("a") permit (principal, action, resource) when { resource == Musubi::Workspace::"jp" };`, false, nil},
		{
			"a forbid of one organization", permitAll + `@id("b") forbid (principal, action, resource == Musubi::Organization::"ministry");`,
			false,
			[]policies.OrgID{"agency", "city", "prefecture", "ward"},
		},
		{
			"a forbid by condition", permitAll + `@id("b") forbid (principal, action, resource is Musubi::Organization) when { resource.kind == Musubi::Kind::"ward" };`,
			false,
			[]policies.OrgID{"agency", "city", "ministry", "prefecture"},
		},
		{
			"a forbid of another action doesn't matter",
			permitAll + `@id("b") forbid (principal, action == Musubi::Action::"org.write", resource == Musubi::Organization::"ministry");`, true, nil,
		},
		{"a forbid that hits everything", permitAll + `@id("b") forbid (principal, action, resource);`, false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := engineOf(t, tc.rules).Scope(local, policies.ActionPeopleRead, everyOrg())
			if err != nil {
				t.Fatal(err)
			}
			if s.All() != tc.all || !slices.Equal(s.Orgs(), tc.want) {
				t.Errorf("all %v, orgs %v; want %v, %v", s.All(), s.Orgs(), tc.all, tc.want)
			}
		})
	}
}

// Cedar skips a policy that can't be evaluated. A skipped forbid would open a door, so the engine gives no answer at all.
func TestPolicyThatFailsGivesNoAnswer(t *testing.T) {
	e := engineOf(t, `@id("open") permit (principal, action, resource);
@id("overflow") forbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };`)
	if d, err := e.Evaluate(local, policies.ActionOrgRead, local.Org); err == nil || d.Allow || !strings.Contains(err.Error(), "overflow (rules/test.cedar:2)") {
		t.Errorf("Evaluate: %+v, %v", d, err)
	}
	if s, err := e.Scope(local, policies.ActionOrgRead, everyOrg()); err == nil || !s.Denied() {
		t.Errorf("Scope: %v", err)
	}
	if _, err := e.Seats(local); err == nil {
		t.Error("Seats answered")
	}
}

func TestTwoSeatsInOneProductAreAnError(t *testing.T) {
	e := engineOf(t, `@id("a") permit (principal, action == Musubi::Action::"seat.licensed_member", resource == Musubi::Product::"jira");
@id("b") permit (principal, action == Musubi::Action::"seat.portal_customer", resource);`)
	_, err := e.Seats(local)
	if err == nil || !strings.Contains(err.Error(), "two seats in jira") {
		t.Errorf("Seats: %v", err)
	}
}

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
		}
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
			if s.All() || slices.ContainsFunc(s.Orgs(), func(o policies.OrgID) bool { return o != actor.Org.ID }) {
				t.Fatalf("%s of %s reaches the people of %v", actor.Role, actor.Org.ID, s.Orgs())
			}
		}
		if action == policies.ActionPlanApprove && maker == actor.ID && !s.Denied() {
			t.Fatal("the maker of a plan may approve it")
		}
		writes := slices.Contains([]policies.Action{
			policies.ActionOrgWrite, policies.ActionPlanMake, policies.ActionPlanApprove, policies.ActionPlanApply, policies.ActionAuditRead,
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
			if d.Seat == policies.SeatLicensedMember && actor.Org.Kind.LocalGovernment() {
				t.Fatalf("%+v costs a licence", actor)
			}
		}
	})
}

func TestBreakGlass(t *testing.T) {
	for _, a := range policies.Actions() {
		s, err := policies.BreakGlass(a)
		if want := slices.Contains(policies.BreakGlassActions(), a); (err == nil) != want {
			t.Errorf("%s: %v", a, err)
		}
		if err != nil {
			if !s.Denied() {
				t.Errorf("%s: refused with a scope that covers something", a)
			}
			continue
		}
		for _, other := range policies.Actions() {
			if s.For(other) != (other == a) {
				t.Errorf("a break-glass scope for %s serves %s: %v", a, other, s.For(other))
			}
		}
	}
	for _, a := range []policies.Action{policies.ActionPlanApprove, policies.ActionPlanApply, policies.ActionAuditRead} {
		if slices.Contains(policies.BreakGlassActions(), a) {
			t.Errorf("%s is open to break-glass", a)
		}
	}
}

func BenchmarkScopeOfNationalList(b *testing.B) {
	e := engine(b)
	var orgs []policies.Organization
	for i := range 1788 {
		orgs = append(orgs, policies.Organization{ID: policies.OrgID(fmt.Sprintf("%06d", i)), Kind: policies.KindMunicipality})
	}
	for b.Loop() {
		if _, err := e.Scope(local, policies.ActionPeopleRead, orgs); err != nil {
			b.Fatal(err)
		}
	}
}
