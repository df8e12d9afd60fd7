package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

// The tables are read by people who review the policies and needn't read code: Japanese first, English beside it.
var seatNames = map[policies.Seat]string{
	policies.SeatNone: "なし", policies.SeatLicensedMember: "**ライセンス利用者** licensed_member",
	policies.SeatPortalCustomer: "**窓口利用者** portal_customer",
	policies.SeatGuest:          "**ゲスト** guest", policies.SeatContact: "連絡先 contact",
}

func kindName(k policies.OrgKind) string { return k.Name().JA + " " + string(k) }

func roleName(r policies.Role) string { return r.Name().JA + " " + string(r) }

func stateName(active bool) string { return map[bool]string{true: "在職", false: "終了"}[active] }

func kindsShort(ks []policies.OrgKind) string {
	var names []string
	for _, k := range ks {
		names = append(names, k.Name().JA)
	}
	return strings.Join(names, "・")
}

func engine(t testing.TB) *policies.Engine {
	t.Helper()
	e, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The organizations of the tables, one of each kind: whose person acts.
var sample = map[policies.OrgKind]policies.Organization{
	policies.KindAgency:       {ID: "agency", Kind: policies.KindAgency},
	policies.KindMinistry:     {ID: "ministry", Kind: policies.KindMinistry},
	policies.KindIncorporated: {ID: "incorporated", Kind: policies.KindIncorporated},
	policies.KindPrefecture:   {ID: "prefecture", Kind: policies.KindPrefecture},
	policies.KindMunicipality: {ID: "city", Kind: policies.KindMunicipality, Parent: "prefecture"},
	policies.KindWard:         {ID: "ward", Kind: policies.KindWard, Parent: "city"},
	policies.KindUnion:        {ID: "union", Kind: policies.KindUnion},
	policies.KindInsurer:      {ID: "insurer", Kind: policies.KindInsurer},
	policies.KindContractor:   {ID: "contractor", Kind: policies.KindContractor},
	policies.KindMiddleware:   {ID: "middleware", Kind: policies.KindMiddleware},
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

// seatTable has a row for each role and state and all kinds of organization that are treated alike.
func seatTable(t *testing.T, e *policies.Engine) (table string, used []string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| 役割 | 在職 | 組織の種別 |")
	for _, p := range policies.Reached() {
		fmt.Fprintf(&b, " %s |", p)
	}
	b.WriteString(" 決めた方針 (@id) |\n|---|---|---|---|" + strings.Repeat("---|", len(policies.Reached())) + "\n")
	for _, role := range policies.Roles() {
		for _, active := range []bool{true, false} {
			var rows grouped
			for _, kind := range policies.OrgKinds() {
				ds, err := e.Seats(policies.Person{ID: "person", Org: sample[kind], Role: role, Active: active})
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
				rows.add(kind, strings.Join(cells, " | ")+" | "+codes(slices.Compact(ids)))
			}
			for _, row := range rows {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", roleName(role), stateName(active), row.name(kindName), row.cells)
			}
		}
	}
	return b.String(), used
}

// grouped gathers the kinds of organization whose cells are the same, in the order in which they are shown.
type grouped []group

type group struct {
	kinds []policies.OrgKind
	cells string
}

func (g *grouped) add(kind policies.OrgKind, cells string) {
	for i := range *g {
		if (*g)[i].cells == cells {
			(*g)[i].kinds = append((*g)[i].kinds, kind)
			return
		}
	}
	*g = append(*g, group{[]policies.OrgKind{kind}, cells})
}

func (g group) name(of func(policies.OrgKind) string) string {
	if len(g.kinds) == len(policies.OrgKinds()) {
		return "すべての種別 all kinds"
	}
	names := func(ks []policies.OrgKind) string {
		var list []string
		for _, k := range ks {
			list = append(list, of(k))
		}
		return strings.Join(list, "<br>")
	}
	rest := slices.DeleteFunc(policies.OrgKinds(), func(k policies.OrgKind) bool { return slices.Contains(g.kinds, k) })
	if len(rest) < 3 {
		return names(rest) + "<br>を除くすべて all the others"
	}
	return names(g.kinds)
}

func codes(ids []string) string {
	if len(ids) == 0 {
		return "(該当なし = 禁止)"
	}
	return "`" + strings.Join(ids, "` `") + "`"
}

// place is how an organization stands to that of the actor, but for the sets.
type place int

const (
	own   place = iota
	other       // nothing to do with the actor's
	below
	above
)

// target is an organization acted upon, as it stands to the actor.
type target struct {
	place             place
	kind              policies.OrgKind
	served, caretaken bool
}

// of gives the organization, and the person as one to whom it stands so; ok is false where there can be none.
func (x target) of(p policies.Person) (_ policies.Person, org policies.Organization, ok bool) {
	org = policies.Organization{ID: "the-target", Kind: x.kind}
	switch x.place {
	case own:
		org, ok = p.Org, p.Org.Kind == x.kind
	case other:
		ok = true
	case below:
		org.Parent, ok = p.Org.ID, true
	case above:
		org.ID, ok = p.Org.Parent, p.Org.Parent != ""
	}
	if x.served {
		p.Serves = []policies.OrgID{org.ID}
	}
	if x.caretaken {
		p.Caretakes = []policies.OrgID{org.ID}
	}
	return p, org, ok
}

func everyTarget() []target {
	var all []target
	for _, at := range []place{own, other, below, above} {
		for _, kind := range policies.OrgKinds() {
			for _, served := range []bool{false, true} {
				for _, caretaken := range []bool{false, true} {
					all = append(all, target{at, kind, served, caretaken})
				}
			}
		}
	}
	return all
}

// question is a column of decisions: an action, with its circumstances.
type question struct {
	action policies.Action
	title  string
	maker  func(policies.Person) policies.PersonID
}

func questions() []question {
	var all []question
	for _, a := range policies.Actions() {
		name := a.Name()
		title := "`" + string(a) + "` " + name.JA + " — " + name.EN
		somebody := func(policies.Person) policies.PersonID { return "somebody-else" }
		if a != policies.ActionPlanApprove {
			all = append(all, question{a, title, somebody})
			continue
		}
		all = append(
			all,
			question{a, title + " (他人の計画 another's plan)", somebody},
			question{a, title + " (自分の計画 one's own plan)", func(p policies.Person) policies.PersonID { return p.ID }},
		)
	}
	return all
}

// answers is everything that one person may do by one action.
type answers struct {
	workspace bool
	allowed   map[target]bool // the targets that there can be
}

func ask(t *testing.T, e *policies.Engine, q question, p policies.Person) (a answers, used []string) {
	t.Helper()
	c := policies.Context{PlanMaker: q.maker(p)}
	d, err := e.EvaluateWorkspace(p, q.action, c)
	if err != nil {
		t.Fatal(err)
	}
	a, used = answers{d.Allow, map[target]bool{}}, d.Policies
	for _, x := range everyTarget() {
		actor, org, ok := x.of(p)
		if !ok {
			continue
		}
		d, err := e.EvaluateWith(actor, q.action, org, c)
		if err != nil {
			t.Fatal(err)
		}
		a.allowed[x] = d.Allow
		for _, id := range d.Policies {
			if !slices.Contains(used, id) {
				used = append(used, id)
			}
		}
	}
	return a, used
}

// kinds are the kinds of organization that are allowed where they stand to the actor as x says, and those that aren't.
func (a answers) kinds(x target) (allowed, denied []policies.OrgKind) {
	for _, k := range policies.OrgKinds() {
		x.kind = k
		switch permitted, can := a.allowed[x]; {
		case permitted:
			allowed = append(allowed, k)
		case can:
			denied = append(denied, k)
		}
	}
	return allowed, denied
}

// words says in a cell what is allowed, or fails where the words can't say it: whatever the cell doesn't name is denied, and an
// organization that stands to the actor in several ways is allowed if one of them allows it.
func (a answers) words(t *testing.T, what string) string {
	t.Helper()
	everything := a.workspace
	for _, yes := range a.allowed {
		everything = everything && yes
	}
	if everything {
		return "**全体**"
	}
	var parts []string
	if a.workspace {
		parts = append(parts, "全体としての問い")
	}
	if mine, _ := a.kinds(target{place: own}); len(mine) > 0 {
		parts = append(parts, "自組織")
	}
	others, not := a.kinds(target{place: other})
	if len(not) == 0 {
		parts = append(parts, "他の全組織")
	} else if len(others) > 0 {
		parts = append(parts, kindsShort(others))
	}
	for _, r := range []struct {
		name string
		x    target
	}{
		{"下位組織", target{place: below}},
		{"上位組織", target{place: above}},
		{"担当先", target{place: other, served: true}},
		{"代行先", target{place: other, caretaken: true}},
	} {
		yes, no := a.kinds(r.x)
		more := slices.ContainsFunc(yes, func(k policies.OrgKind) bool { return !slices.Contains(others, k) })
		less := slices.ContainsFunc(no, func(k policies.OrgKind) bool { return slices.Contains(others, k) })
		switch {
		case !more && !less:
		case less:
			parts = append(parts, r.name+"では"+kindsShort(yes)+"のみ")
		case len(no) == 0:
			parts = append(parts, r.name)
		case len(no) <= len(yes):
			parts = append(parts, r.name+" ("+kindsShort(no)+"を除く)")
		default:
			parts = append(parts, r.name+" ("+kindsShort(yes)+"のみ)")
		}
	}
	for x, yes := range a.allowed {
		said := a.allowed[target{place: x.place, kind: x.kind}] ||
			x.served && a.allowed[target{place: other, kind: x.kind, served: true}] ||
			x.caretaken && a.allowed[target{place: other, kind: x.kind, caretaken: true}]
		if yes != said {
			t.Errorf("%s: %+v is allowed %v, which the table doesn't say: give it a word of its own", what, x, yes)
		}
	}
	if len(parts) == 0 {
		return "×"
	}
	return strings.Join(parts, "、")
}

// accessTables has a table for each question about the actions: whom which role may do it to, by the kind of the actor's organization.
func accessTables(t *testing.T, e *policies.Engine, actions ...policies.Action) (tables map[policies.Action]string, text string, used []string) {
	t.Helper()
	tables = map[policies.Action]string{}
	var b strings.Builder
	for _, q := range questions() {
		if !slices.Contains(actions, q.action) {
			continue
		}
		table := "| 所属組織の種別 | 在職 |"
		for _, role := range policies.Roles() {
			table += " " + roleName(role) + " |"
		}
		table += "\n|---|---|" + strings.Repeat("---|", len(policies.Roles())) + "\n"
		for _, active := range []bool{true, false} {
			var rows grouped
			for _, kind := range policies.OrgKinds() {
				var cells []string
				for _, role := range policies.Roles() {
					p := policies.Person{ID: "person", Org: sample[kind], Role: role, Active: active}
					a, ids := ask(t, e, q, p)
					used = append(used, ids...)
					cells = append(cells, a.words(t, fmt.Sprintf("%s by a %s of a %s", q.action, role, kind)))
				}
				rows.add(kind, strings.Join(cells, " | "))
			}
			for _, row := range rows {
				table += fmt.Sprintf("| %s | %s | %s |\n", row.name(kindName), stateName(active), row.cells)
			}
		}
		tables[q.action] += table
		fmt.Fprintf(&b, "\n## %s\n\n%s", q.title, table)
	}
	b.WriteString("\n## 非常時の操作 break-glass\n\n名簿の人としてではなく、サーバの OS 利用者として行う場合 (方針では広げられない)。" +
		"An operating system user who is no person of the directory; no policy can widen this.\n\n| 操作 | |\n|---|---|\n")
	for _, a := range policies.Actions() {
		s, _ := policies.BreakGlass(a) // an error is a refusal, and the scope denies
		fmt.Fprintf(&b, "| `%s` %s | %s |\n", a, a.Name().JA, map[bool]string{true: "**全体**", false: "×"}[s.All()])
	}
	return tables, b.String(), used
}
