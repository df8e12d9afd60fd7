package policies_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/classes"
)

var update = flag.Bool("update", false, "rewrite the golden tables")

const (
	seatsHead = "# 利用席の真理値表 Truth table of seats\n\n" +
		"この表は方針から自動で作られ、方針が変わると試験が失敗して差分を示します。すべての組み合わせを載せています。\n" +
		"Generated from the policies; a test fails and shows the difference when they change. Every combination is here.\n\n"
	accessHead = `# 管理操作の真理値表 Truth table of administration

この表は方針から自動で作られ、方針が変わると試験が失敗して差分を示します。操作ごとに、だれが、どの組織に対して行えるかを載せています。
扱いの同じ種別は、一行にまとめています。**欄に書かれていない組織に対しては、行えません。**
システム管理者は運営機関にしか登録できません。ほかの種別のシステム管理者の欄は、方針だけを見た結果です。
Generated from the policies; a test fails and shows the difference when they change. For each action: who may do it to which
organizations. Kinds that are treated alike share a row. **What a cell doesn't name is denied.**
System administrators can be registered in the operating agency alone; elsewhere their cells show what the policies say by themselves.

| 欄の言葉 | 意味 |
|---|---|
| **全体** | すべての組織と、ワークスペース全体 everything |
| 自組織 | 本人の所属する組織 one's own organization |
| 組織の種別 (例: 市区町村) | その種別の、どの組織でも any organization of the kind |
| 担当先 | 本人の所属する事業者が、いま担当している組織 organizations that the person's contractor serves today |
| 代行先 | 本人が、いま管理を代行している組織 organizations that the person is caretaker of today |
| 下位組織・上位組織 | 都道府県と市区町村、市と行政区の関係にある組織 below and above one's own |
| × | 行えない nobody |
`
)

func TestTruthTables(t *testing.T) {
	e := engine(t)
	seats, usedBySeats := seatTable(t, e)
	_, access, usedByAccess := accessTables(t, e, policies.Actions()...)
	golden(t, filepath.Join("testdata", "seats.md"), seatsHead+seats)
	golden(t, filepath.Join("testdata", "access.md"), accessHead+access)

	standing, usedByStanding := standingTable(t, e)
	golden(t, filepath.Join("testdata", "standing.md"), standingHead+standing)

	usedByEntrance := entranceTables(t, e)
	golden(t, filepath.Join("testdata", "entrance.md"), entranceText(t, usedByEntrance))

	used := slices.Concat(usedBySeats, usedByAccess, usedByStanding, usedByEntrance.used)
	for _, p := range e.Policies() {
		if !slices.Contains(used, p.ID) {
			t.Errorf("%s:%d: policy %s decides nothing in the tables: is it needed, and are the tables complete?", p.File, p.Line, p.ID)
		}
	}
}

// TestTablesShowEveryClass holds that the table of administration leaves nobody out: whatever person and organization there may
// be, some decision that a cell was made of stands for just such a pair. A policy that comes to read more needs more targets.
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
		for _, q := range questions() {
			fn(class(p, q.action, org, policies.Context{PlanMaker: q.maker(p)}))
		}
	}
	everyPerson(func(p policies.Person) {
		each(p, nil, func(k classes.Key) { shown[k] = true })
		for _, x := range everyTarget() {
			if actor, org, ok := x.of(p); ok {
				each(actor, &org, func(k classes.Key) { shown[k] = true })
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
					t.Fatalf("no cell of access.md shows the class %q: add a target to the tables", k)
				}
			})
		}
	})
	if len(shown) > maxClassesShown {
		t.Errorf("the policies tell %d classes apart, more than %d: is what they newly read worth it?", len(shown), maxClassesShown)
	}
}

// maxClassesShown keeps an eye on what a population costs: every class is evaluated once in each process.
const maxClassesShown = 12_000

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

// TestReviewersGuide holds that the guide for reviewers shows the tables that are in force, and names every policy and action.
func TestReviewersGuide(t *testing.T) {
	path := filepath.Join("..", "docs", "ja", "policies.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	e := engine(t)
	seats, _ := seatTable(t, e)
	tables, _, _ := accessTables(t, e, policies.ActionContactRead)
	entrance := entranceTables(t, e)
	for name, table := range map[string]string{
		"seats": seats, "contact.read": tables[policies.ActionContactRead],
		"functions": entrance.functions, "networks": entrance.networks, "entrance": entrance.entrance,
	} {
		from, to := "<!-- "+name+": generated by go test ./policies -update -->\n", "<!-- /"+name+" -->"
		start, end := strings.Index(text, from), strings.Index(text, to)
		if start < 0 || end < start {
			t.Fatalf("%s lost its marks %q and %q", path, from, to)
		}
		start += len(from)
		if *update {
			text = text[:start] + table + text[end:]
		} else if diff := cmp.Diff(strings.Split(text[start:end], "\n"), strings.Split(table, "\n")); diff != "" {
			t.Errorf("%s: the table %s isn't the one in force; run: go test ./policies -update\n%s", path, name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range e.Policies() {
		if !strings.Contains(text, "`"+p.ID+"`") {
			t.Errorf("%s doesn't explain policy %s", path, p.ID)
		}
	}
	for _, a := range policies.Actions() {
		if !strings.Contains(text, "`"+string(a)+"`") {
			t.Errorf("%s doesn't explain action %s", path, a)
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
