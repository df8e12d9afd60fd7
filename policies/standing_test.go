package policies_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
)

const standingHead = `# 常設の承認の真理値表 Truth table of standing approval

この表は方針から自動で作られ、方針が変わると試験が失敗して差分を示します。各行は一つの計画で、書かれていない数は 0 です。
**承認**とある計画だけが、人の承認を待たずに適用されます。
Generated from the policies; a test fails and shows the difference when they change. Each row is a plan; what it doesn't name is 0. Only what says
**承認** is applied without waiting for a person.

`

// small is a plan that the hub made by itself.
func small(change func(*policies.PlanFacts)) policies.PlanFacts {
	f := policies.PlanFacts{MadeByHub: true, Organizations: 1}
	change(&f)
	return f
}

func standingTable(t *testing.T, e *policies.Engine) (table string, used []string) {
	t.Helper()
	type row struct {
		what string
		f    policies.PlanFacts
	}
	rows := []row{{"何も失わない計画 nothing is lost", small(func(*policies.PlanFacts) {})}}
	for _, c := range []struct {
		ja, en string
		set    func(*policies.PlanFacts, int)
	}{
		{"アカウントの作成・再開", "accounts made or enabled", func(f *policies.PlanFacts, n int) { f.AccountsGained = n }},
		{"アカウントの変更", "accounts changed", func(f *policies.PlanFacts, n int) { f.AccountsChanged = n }},
		{"アカウントの停止", "accounts disabled", func(f *policies.PlanFacts, n int) { f.AccountsDisabled = n }},
		{"予告のない所属の解除", "memberships lost unannounced", func(f *policies.PlanFacts, n int) { f.MembershipsLost = n }},
		{"所属の追加", "memberships given", func(f *policies.PlanFacts, n int) { f.MembershipsGiven = n }},
		{"対象の組織", "organizations", func(f *policies.PlanFacts, n int) { f.Organizations = n }},
	} {
		for _, n := range []int{1, 5, 6, 10, 11, 20, 21, 50, 51, 200, 201, 1_000_000} {
			rows = append(rows, row{fmt.Sprintf("%s %s %d", c.ja, c.en, n), small(func(f *policies.PlanFacts) { c.set(f, n) })})
		}
	}
	rows = append(rows,
		row{"人が作った計画 made by a person", small(func(f *policies.PlanFacts) { f.MadeByHub = false })},
		row{"方針が変わって最初の計画 first under changed policies", small(func(f *policies.PlanFacts) { f.PoliciesChanged = true })},
		row{"運営機関の職員に関わる計画 concerns the operating agency", small(func(f *policies.PlanFacts) { f.ConcernsAgency = true })},
	)
	var b strings.Builder
	b.WriteString("| 計画 plan | 判断 | 方針 policy |\n|---|---|---|\n")
	for _, r := range rows {
		d, err := e.Standing(r.f)
		if err != nil {
			t.Fatal(err)
		}
		used = append(used, d.Policies...)
		answer := "人を待つ waits"
		if d.Allow {
			answer = "**承認** stands"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.what, answer, strings.Join(d.Policies, ", "))
	}
	return b.String(), used
}

// Whatever the numbers, what stands approved is small, made by the hub, under policies that somebody has seen at work, and not about the agency.
func TestStandingApprovalIsSmall(t *testing.T) {
	e := engine(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 60), rapid.IntRange(-5, 1<<40))
		f := policies.PlanFacts{
			MadeByHub: rapid.Bool().Draw(t, "hub"), PoliciesChanged: rapid.Bool().Draw(t, "changed"), ConcernsAgency: rapid.Bool().Draw(t, "agency"),
			AccountsGained: n.Draw(t, "gained"), AccountsChanged: n.Draw(t, "changed accounts"), AccountsDisabled: n.Draw(t, "disabled"),
			MembershipsLost: n.Draw(t, "lost"), MembershipsGiven: n.Draw(t, "given"), Organizations: n.Draw(t, "organizations"),
		}
		d, err := e.Standing(f)
		if err != nil {
			t.Fatal(err)
		}
		if d.Allow && (!f.MadeByHub || f.PoliciesChanged || f.ConcernsAgency || f.AccountsGained > 50 || f.AccountsDisabled > 5 || f.MembershipsLost > 10 || f.Organizations > 20) {
			t.Fatalf("%+v stands approved by %v", f, d.Policies)
		}
		if d.Hash == "" {
			t.Fatal("a decision without the hash of its policies")
		}
	})
}
