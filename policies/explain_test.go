package policies_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/policytest"
)

// TestExplanationsRead is a golden file of explanations, for people who judge whether they can be understood.
func TestExplanationsRead(t *testing.T) {
	e := engine(t)
	city, other := sample[policies.KindMunicipality], policies.Organization{ID: "town", Kind: policies.KindMunicipality, Parent: "prefecture"}
	person := func(org policies.Organization, role policies.Role, change ...func(*policies.Person)) policies.Person {
		p := policies.Person{ID: "p-one", Org: org, Role: role, Active: true}
		for _, fn := range change {
			fn(&p)
		}
		return p
	}
	ended := func(p *policies.Person) { p.Active = false }
	general, admin := person(city, policies.RoleGeneral), person(city, policies.RoleAdministrator)
	sysadmin := person(sample[policies.KindAgency], policies.RoleSystemAdministrator)

	var b strings.Builder
	b.WriteString("# 判断の説明の見本 Samples of explanations\n\n" +
		"この文書は方針から自動で作られます。Generated from the policies by go test ./policies -update.\n")
	show := func(title string, x policies.Explanation, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		text := x.Text()
		b.WriteString("\n## " + title + "\n\n```\n" + text.JA + "\n" + text.EN + "```\n")
		if short := x.Closest(); short != (policies.Text{}) {
			b.WriteString("\n" + short.JA + "\n" + short.EN + "\n")
		}
	}
	ask := func(title string, p policies.Person, a policies.Action, org *policies.Organization, c policies.Context) {
		t.Helper()
		x, err := e.Explain(p, a, org, c)
		show(title, x, err)
	}
	none := policies.Context{}
	ask("許可 permitted", admin, policies.ActionPeopleWrite, &city, none)
	ask("役割が足りない the role is missing", general, policies.ActionPeopleWrite, &city, none)
	ask("他の組織 another organization", admin, policies.ActionPeopleRead, &other, none)
	ask("全体には及ばない not on the whole workspace", admin, policies.ActionPeopleRead, nil, none)
	engineer := person(sample[policies.KindContractor], policies.RoleGeneral, func(p *policies.Person) { p.Serves = []policies.OrgID{"city", "insurer"} })
	ask("担当する組織 an organization that the contractor serves", engineer, policies.ActionContactRead, &city, none)
	ask("担当しない組織 one that it doesn't", engineer, policies.ActionContactRead, &other, none)
	caretaker := person(city, policies.RoleAdministrator, func(p *policies.Person) { p.Caretakes = []policies.OrgID{"agency", "town"} })
	ask("管理を代行する組織 an organization taken care of", caretaker, policies.ActionPeopleWrite, &other, none)
	ask("運営機関は代行できない nobody takes care of the operating agency", caretaker, policies.ActionPeopleWrite, &sysadmin.Org, none)
	ask("二つ足りない two things are missing", general, policies.ActionPlanApply, &city, none)
	ask("運営機関の例外 the operating agency's exception", person(sysadmin.Org, policies.RoleAdministrator), policies.ActionPeopleWrite, &sysadmin.Org, none)
	ask("在職終了 service ended", person(city, policies.RoleAdministrator, ended), policies.ActionPeopleRead, &city, none)
	ask("自分の計画の承認 approving one's own plan", sysadmin, policies.ActionPlanApprove, nil, policies.Context{PlanMaker: sysadmin.ID})
	ask("承認できる人ではない not an approver at all", general, policies.ActionPlanApprove, nil, policies.Context{PlanMaker: general.ID})
	seat := func(title string, p policies.Person, s policies.Seat, product policies.Product) {
		t.Helper()
		x, err := e.ExplainSeat(p, s, product)
		show(title, x, err)
	}
	seat("窓口利用者である holds a seat", general, policies.SeatPortalCustomer, policies.ProductJira)
	seat("自治体職員にはライセンスがない no licence for local staff", general, policies.SeatLicensedMember, policies.ProductAtlassian)
	seat("その製品にはその利用席がない no such seat in the product", general, policies.SeatPortalCustomer, policies.ProductAtlassian)
	seat("システム管理者 system administrators", sysadmin, policies.SeatLicensedMember, policies.ProductAtlassian)

	for _, x := range entranceExplanations(t, e) {
		show(x.title, x.x, nil)
	}

	made := policytest.Engine(t, `
@id("or") permit (principal, action == Musubi::Action::"people.read", resource is Musubi::Organization in Musubi::Workspace::"jp")
when { (principal.role == Musubi::Role::"administrator" && resource has parent && resource.parent == principal.org) || principal == Musubi::Person::"p-two" }
unless { principal.kind == Musubi::Kind::"ward" || principal.org in [Musubi::Organization::"city", Musubi::Organization::"town"] };
@id("if") permit (principal, action == Musubi::Action::"people.write", resource)
when { if principal.active then [Musubi::Role::"administrator"].contains(principal.role) else false };
@id("sets") permit (principal, action == Musubi::Action::"people.write", resource is Musubi::Organization)
when { principal.serves.contains(principal.org) } unless { resource in principal.caretakes || principal.serves.contains(Musubi::Organization::"town") };
@id("whole-set") permit (principal, action == Musubi::Action::"people.write", resource) when { !principal.serves.isEmpty() };
@id("words") permit (principal, action == Musubi::Action::"org.write", resource) when { {r: principal.role} == {r: Musubi::Role::"administrator"} };`)
	for _, a := range []policies.Action{policies.ActionPeopleRead, policies.ActionPeopleWrite, policies.ActionOrgWrite, policies.ActionAuditRead} {
		x, err := made.Explain(general, a, &sysadmin.Org, none)
		show("作例 made up: "+string(a), x, err)
	}
	golden(t, filepath.Join("testdata", "explain.md"), b.String())
}

// TestExplanationsAreTrue holds over random policies that an explanation never says anything else than the decision: the
// decisive policies miss nothing, a permit misses nothing if and only if it applies, and every condition is in words.
func TestExplanationsAreTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := policytest.AnyWorld().Draw(t, "world")
		e := policytest.Engine(t, w.Rules)
		w.EachQuestion([]policies.Action{policies.ActionPeopleRead, policies.ActionPlanApprove}, func(p policies.Person, a policies.Action, org *policies.Organization, c policies.Context) bool {
			d, errOne := policies.Decision{}, error(nil)
			if org == nil {
				d, errOne = e.EvaluateWorkspace(p, a, c)
			} else {
				d, errOne = e.EvaluateWith(p, a, *org, c)
			}
			x, err := e.Explain(p, a, org, c)
			if (err == nil) != (errOne == nil) {
				t.Fatalf("decision %v, explanation %v", errOne, err)
			}
			if err != nil {
				return true
			}
			var decisive []string
			for _, account := range x.Decisive {
				decisive = append(decisive, account.ID)
				if len(account.Missing) > 0 {
					t.Fatalf("%s decided, and is said to miss %+v\n%s", account.ID, account.Missing, w)
				}
			}
			slices.Sort(decisive)
			if x.Decision.Allow != d.Allow || !slices.Equal(decisive, d.Policies) {
				t.Fatalf("decision %+v, explanation %+v\n%s", d, x, w)
			}
			for _, account := range x.Nearest {
				if len(account.Missing) == 0 && len(decisive) == 0 {
					t.Fatalf("%s misses nothing, and yet doesn't permit\n%s", account.ID, w)
				}
			}
			for _, account := range slices.Concat(x.Decisive, x.Nearest) {
				for _, condition := range slices.Concat(account.Met, account.Missing) {
					if condition.Cedar == "" || condition.Needs.JA == "" || condition.Needs.EN == "" {
						t.Fatalf("%s: a condition without words: %+v\n%s", account.ID, condition, w)
					}
				}
			}
			return true
		})
	})
}

func TestExplainRefuses(t *testing.T) {
	e := engine(t)
	if _, err := e.Explain(local, policies.ActionPlanApprove, nil, policies.Context{}); err == nil {
		t.Error("an approval was explained without the plan's maker")
	}
	if _, err := e.Explain(policies.Person{}, policies.ActionOrgRead, nil, policies.Context{}); err == nil {
		t.Error("nobody was explained")
	}
	if _, err := e.ExplainSeat(local, "throne", policies.ProductJira); err == nil {
		t.Error("an unknown seat was explained")
	}
	if _, err := e.ExplainSeat(local, policies.SeatPortalCustomer, "fax"); err == nil {
		t.Error("an unknown product was explained")
	}
}
