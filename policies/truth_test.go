package policies_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/classes"
	"github.com/musubi-hub/musubi/policies/load"
)

var update = flag.Bool("update", false, "rewrite the golden tables")

// The tables are read by people who review the policies and needn't read code: Japanese first, English beside it.
var (
	kindNames = map[policies.OrgKind]string{
		policies.KindAgency: "運営機関 agency", policies.KindMinistry: "関連府省庁 ministry", policies.KindPrefecture: "都道府県 prefecture",
		policies.KindMunicipality: "市区町村 municipality", policies.KindWard: "行政区 ward",
	}
	roleNames = map[policies.Role]string{
		policies.RoleSystemAdministrator: "システム管理者 system_administrator", policies.RoleAdministrator: "管理ユーザ administrator",
		policies.RoleGeneral: "一般ユーザ general",
	}
	seatNames = map[policies.Seat]string{
		policies.SeatNone: "なし", policies.SeatLicensedMember: "**ライセンス利用者** licensed_member",
		policies.SeatPortalCustomer: "**窓口利用者** portal_customer",
	}
	activeNames = map[bool]string{true: "在職", false: "終了"}
)

func engine(t testing.TB) *policies.Engine {
	t.Helper()
	e, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The organizations of the tables. Each kind has one of its own, one below it, one above it and a stranger of the same kind.
var sample = map[policies.OrgKind]policies.Organization{
	policies.KindAgency:       {ID: "agency", Kind: policies.KindAgency},
	policies.KindMinistry:     {ID: "ministry", Kind: policies.KindMinistry},
	policies.KindPrefecture:   {ID: "prefecture", Kind: policies.KindPrefecture},
	policies.KindMunicipality: {ID: "city", Kind: policies.KindMunicipality, Parent: "prefecture"},
	policies.KindWard:         {ID: "ward", Kind: policies.KindWard, Parent: "city"},
}

// relation is how the organization acted upon stands to that of the actor.
type relation struct {
	name string
	org  func(own policies.Organization) (policies.Organization, bool)
}

func relations() []relation {
	return []relation{
		{"自組織 own", func(own policies.Organization) (policies.Organization, bool) { return own, true }},
		{"下位組織 below", func(own policies.Organization) (policies.Organization, bool) {
			for _, kind := range policies.OrgKinds() {
				if sample[kind].Parent == own.ID {
					return sample[kind], true
				}
			}
			return policies.Organization{}, false
		}},
		{"上位組織 above", func(own policies.Organization) (policies.Organization, bool) {
			for _, kind := range policies.OrgKinds() {
				if own.Parent != "" && sample[kind].ID == own.Parent {
					return sample[kind], true
				}
			}
			return policies.Organization{}, false
		}},
		{"同種の他組織 other, same kind", func(own policies.Organization) (policies.Organization, bool) {
			own.ID += "-other"
			return own, true
		}},
		{"別種の他組織 other kind", func(own policies.Organization) (policies.Organization, bool) {
			if own.Kind == policies.KindMinistry {
				return sample[policies.KindAgency], true
			}
			return sample[policies.KindMinistry], true
		}},
	}
}

// everyPerson calls fn for each kind x role x state.
func everyPerson(fn func(policies.Person)) {
	for _, kind := range policies.OrgKinds() {
		for _, role := range policies.Roles() {
			for _, active := range []bool{true, false} {
				fn(policies.Person{ID: "person", Org: sample[kind], Role: role, Active: active})
			}
		}
	}
}

func seatTable(t *testing.T, e *policies.Engine) (table string, used []string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| 組織の種別 | 役割 | 在職 |")
	for _, p := range policies.Products() {
		fmt.Fprintf(&b, " %s |", p)
	}
	b.WriteString(" 決めた方針 (@id) |\n|---|---|---|---|---|---|\n")
	everyPerson(func(p policies.Person) {
		ds, err := e.Seats(p)
		if err != nil {
			t.Fatal(err)
		}
		var cells, ids []string
		for _, d := range ds {
			cells = append(cells, seatNames[d.Seat])
			ids = append(ids, d.Policies...)
		}
		used = append(used, ids...)
		slices.Sort(ids)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", kindNames[p.Org.Kind], roleNames[p.Role], activeNames[p.Active],
			strings.Join(cells, " | "), codes(slices.Compact(ids)))
	})
	return b.String(), used
}

func codes(ids []string) string {
	if len(ids) == 0 {
		return "(該当なし = 禁止)"
	}
	return "`" + strings.Join(ids, "` `") + "`"
}

func accessTable(t *testing.T, e *policies.Engine) (table string, used []string) {
	t.Helper()
	var b strings.Builder
	for _, kind := range policies.OrgKinds() {
		fmt.Fprintf(&b, "\n## %s の職員\n\n| 役割 | 在職 | 対象 |", kindNames[kind])
		for _, a := range policies.Actions() {
			if a == policies.ActionPlanApprove {
				b.WriteString(" plan.approve (他人の計画) | plan.approve (自分の計画) |")
				continue
			}
			fmt.Fprintf(&b, " %s |", a)
		}
		b.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(policies.Actions())+1) + "\n")
		everyPerson(func(p policies.Person) {
			if p.Org.Kind != kind {
				return
			}
			row := func(name string, ask func(policies.Action, policies.Context) (policies.Decision, error)) {
				fmt.Fprintf(&b, "| %s | %s | %s |", roleNames[p.Role], activeNames[p.Active], name)
				for _, a := range policies.Actions() {
					contexts := []policies.Context{{}}
					if a == policies.ActionPlanApprove {
						contexts = []policies.Context{{PlanMaker: "somebody-else"}, {PlanMaker: p.ID}}
					}
					for _, c := range contexts {
						d, err := ask(a, c)
						if err != nil {
							t.Fatal(err)
						}
						used = append(used, d.Policies...)
						b.WriteString(map[bool]string{true: " ○ |", false: " × |"}[d.Allow])
					}
				}
				b.WriteByte('\n')
			}
			for _, r := range relations() {
				if org, ok := r.org(p.Org); ok {
					row(r.name, func(a policies.Action, c policies.Context) (policies.Decision, error) {
						return e.EvaluateWith(p, a, org, c)
					})
				}
			}
			row("全体 workspace", func(a policies.Action, c policies.Context) (policies.Decision, error) {
				return e.EvaluateWorkspace(p, a, c)
			})
		})
	}
	b.WriteString("\n## 非常時の操作 break-glass\n\n名簿の人としてではなく、サーバの OS 利用者として行う場合 (方針では広げられない)。" +
		"An operating system user who is no person of the directory; no policy can widen this.\n\n|")
	for _, a := range policies.Actions() {
		fmt.Fprintf(&b, " %s |", a)
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(policies.Actions())) + "\n|")
	for _, a := range policies.Actions() {
		s, _ := policies.BreakGlass(a) // an error is a refusal, and the scope denies
		b.WriteString(map[bool]string{true: " ○ |", false: " × |"}[s.All()])
	}
	b.WriteByte('\n')
	return b.String(), used
}

const (
	seatsHead = "# 利用席の真理値表 Truth table of seats\n\n" +
		"この表は方針から自動で作られ、方針が変わると試験が失敗して差分を示します。すべての組み合わせを載せています。\n" +
		"Generated from the policies; a test fails and shows the difference when they change. Every combination is here.\n\n"
	accessHead = "# 管理操作の真理値表 Truth table of administration\n\n" +
		"○ = 許可 permitted、× = 禁止 denied。この表は方針から自動で作られ、方針が変わると試験が失敗して差分を示します。\n" +
		"Generated from the policies; a test fails and shows the difference when they change. Every combination is here.\n"
)

func TestTruthTables(t *testing.T) {
	e := engine(t)
	seats, usedBySeats := seatTable(t, e)
	access, usedByAccess := accessTable(t, e)
	golden(t, filepath.Join("testdata", "seats.md"), seatsHead+seats)
	golden(t, filepath.Join("testdata", "access.md"), accessHead+access)

	used := append(usedBySeats, usedByAccess...)
	for _, p := range e.Policies() {
		if !slices.Contains(used, p.ID) {
			t.Errorf("%s:%d: policy %s decides no row of the tables: is it needed, and are the tables complete?", p.File, p.Line, p.ID)
		}
	}
}

// TestTablesShowEveryClass holds that the table of administration leaves nobody out: whatever person and organization there may
// be, some row stands for just such a pair. A policy that comes to read more needs more rows.
func TestTablesShowEveryClass(t *testing.T) {
	c := classes.New(engine(t))
	shown := map[classes.Key]bool{}
	class := func(p policies.Person, a policies.Action, org *policies.Organization, ctx policies.Context) classes.Key {
		k, err := c.Class(p, a, org, ctx)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	each := func(p policies.Person, org *policies.Organization, fn func(classes.Key)) {
		for _, a := range policies.Actions() {
			for _, maker := range []policies.PersonID{p.ID, "somebody-else"} {
				fn(class(p, a, org, policies.Context{PlanMaker: maker}))
			}
		}
	}
	everyPerson(func(p policies.Person) {
		each(p, nil, func(k classes.Key) { shown[k] = true })
		for _, r := range relations() {
			if org, ok := r.org(p.Org); ok {
				each(p, &org, func(k classes.Key) { shown[k] = true })
			}
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		p, org := anyPerson().Draw(t, "person"), anyOrg().Draw(t, "organization")
		if org.ID == p.Org.ID {
			org = p.Org
		}
		for _, resource := range []*policies.Organization{nil, &org} {
			each(p, resource, func(k classes.Key) {
				if !shown[k] {
					t.Fatalf("no row of access.md shows the class %q: add a relation to the table", k)
				}
			})
		}
	})
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (- as agreed, + as the policies now say); after review run: go test ./policies -update\n%s", path, diff)
	}
}

// TestReviewersGuide holds that the guide for reviewers shows the table that is in force, and names every policy.
func TestReviewersGuide(t *testing.T) {
	const from, to = "<!-- seats: generated by go test ./policies -update -->\n", "<!-- /seats -->"
	path := filepath.Join("..", "docs", "ja", "policies.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	start, end := strings.Index(text, from), strings.Index(text, to)
	if start < 0 || end < start {
		t.Fatalf("%s lost its marks %q and %q", path, from, to)
	}
	start += len(from)
	e := engine(t)
	table, _ := seatTable(t, e)
	if *update {
		text = text[:start] + table + text[end:]
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(strings.Split(text[start:end], "\n"), strings.Split(table, "\n")); diff != "" {
		t.Errorf("%s: the table isn't the one in force; run: go test ./policies -update\n%s", path, diff)
	}
	for _, p := range e.Policies() {
		if !strings.Contains(text, "`"+p.ID+"`") {
			t.Errorf("%s doesn't explain policy %s", path, p.ID)
		}
	}
}

// TestPoliciesAreExplained holds that each policy has a comment right before it, in Japanese and then in English.
func TestPoliciesAreExplained(t *testing.T) {
	for _, p := range engine(t).Policies() {
		raw, err := policies.Files.ReadFile(p.File)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(raw), "\n")
		var japanese, english bool
		for i := p.Line - 2; i >= 0 && strings.HasPrefix(lines[i], "//"); i-- {
			ascii := strings.IndexFunc(lines[i], func(r rune) bool { return r > 0x7f }) < 0
			english = english || (ascii && !japanese)
			japanese = japanese || (!ascii && english)
		}
		if !japanese || !english {
			t.Errorf("%s:%d: policy %s has no comment in Japanese and then in English", p.File, p.Line, p.ID)
		}
	}
}
