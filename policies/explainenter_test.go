package policies_test

import (
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/policies"
)

type titled struct {
	title string
	x     policies.Explanation
}

// entranceExplanations are the samples of explain.md about entrances.
func entranceExplanations(t *testing.T, e *policies.Engine) (all []titled) {
	t.Helper()
	add := func(title string, x policies.Explanation, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		all = append(all, titled{title, x})
	}
	byID := map[policies.RelyingPartyID]policies.RelyingParty{}
	for _, p := range parties {
		byID[p.rp.ID] = p.rp
	}
	enter := func(title string, kind policies.OrgKind, role policies.Role, rp policies.RelyingPartyID, n policies.Network, a policies.Assurance, sealed bool) {
		t.Helper()
		x, err := e.ExplainEnter(staff(kind, role, true), byID[rp], policies.Entry{Network: n, Assurance: a, Sealed: sealed})
		add(title, x, err)
	}
	const card, general = policies.AssuranceCard, policies.RoleGeneral
	enter("入れる may enter", policies.KindMunicipality, general, "jira", policies.NetworkLGWAN, card, false)
	enter("カードがない without the card", policies.KindMunicipality, general, "jira", policies.NetworkLGWAN, policies.AssuranceSingle, false)
	enter("利用できないネットワーク not from this network", policies.KindMunicipality, general, "jira", policies.NetworkGovernment, card, false)
	enter("ネットワークに届かないログイン先 not reached from this network", policies.KindMinistry, general, "slack", policies.NetworkGovernment, card, false)
	enter("利用席がない no seat", policies.KindMunicipality, general, "slack", policies.NetworkInternet, card, false)
	enter("機能を利用できない no function", policies.KindContractor, general, "survey", policies.NetworkInternet, card, false)
	enter("非常用アカウントで SaaS へ a sealed account at a SaaS", policies.KindAgency, policies.RoleSystemAdministrator, "survey", policies.NetworkInternet, policies.AssuranceSingle, true)
	x, err := e.ExplainUse(staff(policies.KindContractor, general, true), policies.UsePost, policies.FunctionInquiries)
	add("機能 a function", x, err)
	x, err = e.ExplainUse(staff(policies.KindMunicipality, general, true), policies.UsePost, policies.FunctionQuestionnaire)
	add("照会を出す asking a questionnaire", x, err)
	x, err = e.ExplainNetwork(staff(policies.KindInsurer, general, true), policies.NetworkLGWAN)
	add("接続元 a network", x, err)
	x, err = e.ExplainRelease(staff(policies.KindContractor, general, true), byID["jira"], policies.AttributePhone)
	add("伝えない属性 an attribute that isn't released", x, err)
	x, err = e.ExplainRelease(staff(policies.KindMunicipality, general, true), byID["survey"], policies.AttributeSection)
	add("部署を伝えない section", x, err)
	return all
}

// TestEntranceExplanationsAreTrue holds over everybody and every entrance that an explanation decides as the engine does, that the permit which
// applies misses nothing, and that each condition is in words.
func TestEntranceExplanationsAreTrue(t *testing.T) {
	e := engine(t)
	check := func(d policies.Decision, err error, x policies.Explanation, xerr error) {
		t.Helper()
		if err != nil || xerr != nil {
			t.Fatal(err, xerr)
		}
		if d.Allow != x.Decision.Allow || strings.Join(d.Policies, " ") != strings.Join(x.Decision.Policies, " ") || len(x.Decisive) != len(d.Policies) {
			t.Fatalf("decision %+v, explanation %+v", d, x)
		}
		for _, a := range x.Decisive {
			if len(a.Missing) > 0 {
				t.Errorf("%s decided, and misses %+v", a.ID, a.Missing)
			}
		}
		for _, a := range append(x.Nearest, x.Decisive...) {
			for _, c := range append(a.Missing, a.Met...) {
				if strings.Contains(c.Needs.JA, "`") || strings.Contains(c.Needs.JA+c.Is.JA, "Musubi::") {
					t.Errorf("%s: no words for %s: %s", a.ID, c.Cedar, c.Needs.JA)
				}
			}
		}
	}
	everyPerson(func(p policies.Person) {
		for _, f := range policies.Functions() {
			for _, u := range policies.Uses() {
				d, err := e.MayUse(p, u, f)
				x, xerr := e.ExplainUse(p, u, f)
				check(d, err, x, xerr)
			}
		}
		for _, n := range policies.Networks() {
			d, err := e.MayComeFrom(p, n)
			x, xerr := e.ExplainNetwork(p, n)
			check(d, err, x, xerr)
		}
		for _, rp := range parties {
			for _, in := range entries() {
				d, err := e.MayEnter(p, rp.rp, in)
				x, xerr := e.ExplainEnter(p, rp.rp, in)
				check(d, err, x, xerr)
			}
			told, _, err := e.Release(p, rp.rp)
			if err != nil {
				t.Fatal(err)
			}
			released := map[policies.Attribute]bool{}
			for _, a := range told {
				released[a] = true
			}
			for _, a := range policies.Attributes() {
				x, err := e.ExplainRelease(p, rp.rp, a)
				if err != nil || x.Decision.Allow != released[a] {
					t.Fatalf("%s to %s: %v, explanation %v, %v", a, rp.rp.ID, released[a], x.Decision.Allow, err)
				}
			}
		}
	})
}
