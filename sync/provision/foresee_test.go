package provision

import (
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

// readerOf mints a scope for people.read.
func readerOf(t *testing.T, id policies.PersonID, role policies.Role, org policies.Organization) policies.Scope {
	t.Helper()
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	s, err := engine.ScopeWith(policies.Person{ID: id, Org: org, Role: role, Active: true}, policies.ActionPeopleRead, []policies.Organization{org}, policies.Context{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is foreseen for a date has the transfers until then; one under embargo shows before its date to those whom it names alone, and an
// organization's administrator sees no more than what happens in their own.
func TestForeseeKeepsTheEmbargo(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		h := newHub(t, db, func() time.Time { return now })
		ctx := t.Context()
		agency := policies.Organization{ID: "8000012010038", Kind: policies.KindAgency}
		town := policies.Organization{ID: "131016", Kind: policies.KindMunicipality}
		for _, o := range []identity.Organization{
			{ID: agency.ID, Kind: agency.Kind, Name: "デジタル庁"},
			{ID: "130001", Kind: policies.KindPrefecture, Name: "東京都"},
			{ID: town.ID, Kind: town.Kind, Name: "千代田区"},
			{ID: "131024", Kind: policies.KindMunicipality, Name: "中央区"},
		} {
			if _, err := h.dir.AddOrganization(ctx, everything, o, tester); err != nil {
				t.Fatal(err)
			}
		}
		person := func(org policies.OrgID, number string, role policies.Role) identity.Person {
			p, err := h.dir.AddPerson(ctx, everything, identity.Person{Org: org, StaffNumber: number, FamilyName: "見本", Email: number + "@t.example.lg.jp", Role: role}, tester)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		planner, named := person(agency.ID, "a1", policies.RoleSystemAdministrator), person(agency.ID, "a2", policies.RoleSystemAdministrator)
		admin, _ := person(town.ID, "s1", policies.RoleAdministrator), person("131024", "s2", policies.RoleAdministrator)
		open, secret := person(town.ID, "s3", policies.RoleGeneral), person(town.ID, "s4", policies.RoleGeneral)
		first, err := h.planner.Current(ctx, planner.ID)
		if err != nil {
			t.Fatal(err)
		}
		h.settle(t, first)
		day, err := jst.ParseDate("2027-04-01")
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []identity.Transfer{
			{Person: open.ID, Kind: identity.TransferMove, From: town.ID, To: "131024", StaffNumber: "n3", At: day.UnixMicro()},
			{Person: secret.ID, Kind: identity.TransferMove, From: town.ID, To: "131024", StaffNumber: "n4", At: day.UnixMicro(), Embargo: true, Named: []policies.PersonID{named.ID}},
		} {
			if _, err := h.dir.AddTransfer(ctx, everything, x, tester); err != nil {
				t.Fatal(err)
			}
		}
		sees := func(scope policies.Scope, at time.Time, org policies.OrgID) (about []policies.PersonID, accounts int) {
			p, err := h.planner.Foresee(ctx, scope, at, org)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range p.Objects {
				if o.Kind == ObjectAccount {
					accounts++
				}
				if !scope.Covers(o.Org) || org != "" && o.Org != org {
					t.Errorf("an object of %s is shown", o.Org)
				}
			}
			return p.People(), accounts
		}
		want := func(name string, scope policies.Scope, at time.Time, org policies.OrgID, accounts int, people ...policies.PersonID) {
			t.Helper()
			slices.Sort(people)
			if got, n := sees(scope, at, org); !slices.Equal(got, people) || n != accounts {
				t.Errorf("%s: %v with %d accounts, want %v with %d", name, got, n, people, accounts)
			}
		}
		all := readerOf(t, planner.ID, policies.RoleSystemAdministrator, agency)
		insider := readerOf(t, named.ID, policies.RoleSystemAdministrator, agency)
		own := readerOf(t, admin.ID, policies.RoleAdministrator, town)
		want("nobody, the day before", all, day.Add(-time.Second), "", 0)
		want("a system administrator", all, day, "", 1, open.ID)
		want("a named one", insider, day, "", 2, open.ID, secret.ID)
		want("a named one, in the town that they come to", insider, day, "131024", 2, open.ID, secret.ID)
		want("the town's administrator", own, day, "", 0, open.ID)
		now = day.Add(time.Minute)
		if _, err := h.dir.Activate(ctx); err != nil {
			t.Fatal(err)
		}
		want("everybody on the day", all, now, "", 2, open.ID, secret.ID)
	})
}
