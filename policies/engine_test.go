package policies_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

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

func without(orgs []policies.Organization, id policies.OrgID) []policies.OrgID {
	var ids []policies.OrgID
	for _, o := range orgs {
		if o.ID != id {
			ids = append(ids, o.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestScope(t *testing.T) {
	e := engine(t)
	vendor := policies.Person{
		ID: "p-vendor", Org: sample[policies.KindContractor], Role: policies.RoleGeneral, Active: true,
		Serves: []policies.OrgID{"city", "insurer", "not asked about"},
	}
	caretaker := policies.Person{
		ID: "p-caretaker", Org: sample[policies.KindPrefecture], Role: policies.RoleGeneral, Active: true,
		Caretakes: []policies.OrgID{"agency", "city"},
	}
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
		{
			"a local administrator finds the government", local, policies.ActionContactRead, false,
			[]policies.OrgID{"agency", "city", "ministry", "prefecture"},
			"everyone-finds-own-colleagues, government-finds-government",
		},
		{
			"a contractor finds whom it serves", vendor, policies.ActionContactRead, false,
			[]policies.OrgID{"agency", "city", "contractor", "insurer"},
			"contractor-finds-served-organizations, contractors-find-operating-agency, everyone-finds-own-colleagues",
		},
		{"a contractor sees nobody's record", vendor, policies.ActionPeopleRead, false, nil, ""},
		{"a local administrator registers contractors at home", local, policies.ActionServiceWrite, false, []policies.OrgID{"city"}, "administrator-registers-own-contractors"},
		{"a contractor registers itself nowhere", vendor, policies.ActionServiceWrite, false, nil, ""},
		{"a local administrator changes the contacts at home", local, policies.ActionOrgContact, false, []policies.OrgID{"city"}, "administrator-writes-own-organization-contact"},
		{"everyone changes their own contact data", vendor, policies.ActionSelfWrite, false, []policies.OrgID{"contractor"}, "everyone-writes-own-contact"},
		{"a caretaker writes people, but not the agency's", caretaker, policies.ActionPeopleWrite, false, []policies.OrgID{"city"}, "caretaker-administers-people"},
		{"a caretaker is no administrator of the organization itself", caretaker, policies.ActionOrgContact, false, nil, ""},
		{"a local administrator rotates no key", local, policies.ActionKeyRotate, false, nil, ""},
		{"a local administrator registers no relying party", local, policies.ActionPartyWrite, false, nil, ""},
		{"a system administrator registers relying parties", system, policies.ActionPartyWrite, true, nil, "system-administrator-administers-workspace"},
		{"a system administrator rotates keys", system, policies.ActionKeyRotate, true, nil, "system-administrator-administers-workspace"},
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

func many(n int) []policies.OrgID {
	ids := make([]policies.OrgID, n)
	for i := range ids {
		ids[i] = policies.OrgID(fmt.Sprintf("%06d", i))
	}
	return ids
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

		"serves out of order":     change(func(p *policies.Person) { p.Serves = []policies.OrgID{"b", "a"} }),
		"serves one twice":        change(func(p *policies.Person) { p.Serves = []policies.OrgID{"a", "a"} }),
		"serves nobody in name":   change(func(p *policies.Person) { p.Serves = []policies.OrgID{""} }),
		"cares out of order":      change(func(p *policies.Person) { p.Caretakes = []policies.OrgID{"b", "a"} }),
		"cares for too many":      change(func(p *policies.Person) { p.Caretakes = many(policies.MaxRelated + 1) }),
		"serves more than we ask": change(func(p *policies.Person) { p.Serves = many(policies.MaxRelated + 1) }),
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
			without(everyOrg(), "ministry"),
		},
		{
			"a forbid by condition", permitAll + `@id("b") forbid (principal, action, resource is Musubi::Organization) when { resource.kind == Musubi::Kind::"ward" };`,
			false,
			without(everyOrg(), "ward"),
		},
		{
			"a forbid of another action doesn't matter",
			permitAll + `@id("b") forbid (principal, action == Musubi::Action::"org.write", resource == Musubi::Organization::"ministry");`, true, nil,
		},
		{
			"a permit that looks up an organization by name", `@id("a") permit (principal, action, resource) when { !(Musubi::Organization::"ministry" in Musubi::Workspace::"jp") };`,
			false,
			without(everyOrg(), "ministry"),
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

// TestSeatsReadNoSets holds that nobody's account depends on whom a contractor serves today or who is a caretaker: plans are made
// of people and organizations, and no plan is made because a date has come.
func TestSeatsReadNoSets(t *testing.T) {
	if r := engine(t).SeatReads(); r.Serves != (policies.SetReads{}) || r.Caretakes != (policies.SetReads{}) {
		t.Errorf("seats read %+v and %+v of sets that sync/provision doesn't load", r.Serves, r.Caretakes)
	}
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
	for _, a := range []policies.Action{policies.ActionPlanApprove, policies.ActionPlanApply, policies.ActionAuditRead, policies.ActionJobsWrite} {
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
	vendor := policies.Person{ID: "p-vendor", Org: sample[policies.KindContractor], Role: policies.RoleGeneral, Active: true, Serves: many(len(orgs))}
	for _, bench := range []struct {
		name   string
		actor  policies.Person
		action policies.Action
	}{
		{"people", local, policies.ActionPeopleRead},
		{"contacts", local, policies.ActionContactRead},
		{"contacts-of-a-contractor-of-all", vendor, policies.ActionContactRead},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := e.Scope(bench.actor, bench.action, orgs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
