package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

const entranceHead = `# ログインの真理値表 Truth tables of login

この表は方針から自動で作られ、方針が変わると試験が失敗して差分を示します。書かれていないことは、できません。
Generated from the policies; a test fails and shows the difference when they change. Whatever isn't written is denied.
`

var functionNames = map[policies.Function]string{
	policies.FunctionQuestionnaire: "1 照会", policies.FunctionDocuments: "2 ドキュメント", policies.FunctionSharing: "5 情報共有",
	policies.FunctionForms: "7 データ標準レイアウト", policies.FunctionInquiries: "9 お問い合わせ", policies.FunctionIncident: "10 異常時連絡等",
	policies.FunctionFAQ: "11 FAQ", policies.FunctionContacts: "13 連絡先検索", policies.FunctionReports: "14 レポート",
}

var useNames = map[policies.Use]string{
	policies.UseRead: "見る", policies.UsePost: "**出す**", policies.UseAnswer: "**答える**", policies.UseNotify: "**災害時連絡**",
}

var attributeNames = map[policies.Attribute]string{
	policies.AttributeName: "氏名", policies.AttributeEmail: "メールアドレス", policies.AttributeOrganization: "所属組織",
	policies.AttributeSection: "部署・役職", policies.AttributeRole: "役割", policies.AttributePhone: "仕事用の電話",
}

// parties are the relying parties of the tables.
var parties = []struct {
	name string
	rp   policies.RelyingParty
}{
	{"ハブの画面", policies.RelyingParty{ID: "hub", Hub: true, Networks: policies.Networks()}},
	{"問合せ窓口 (Jira)", policies.RelyingParty{
		ID: "jira", Products: []policies.Product{policies.ProductJira, policies.ProductAtlassian}, Networks: policies.Networks(),
		Functions: []policies.Function{policies.FunctionInquiries, policies.FunctionIncident, policies.FunctionFAQ},
	}},
	{"文書 (Confluence)", policies.RelyingParty{
		ID: "confluence", Products: []policies.Product{policies.ProductAtlassian}, Networks: policies.Networks(),
		Functions: []policies.Function{policies.FunctionDocuments, policies.FunctionForms, policies.FunctionSharing},
	}},
	{"緊急連絡 (Slack)", policies.RelyingParty{
		ID: "slack", Products: []policies.Product{policies.ProductSlack}, Networks: []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN},
		Functions: []policies.Function{policies.FunctionIncident},
	}},
	{"照会", policies.RelyingParty{
		ID: "survey", Networks: policies.Networks(), Functions: []policies.Function{policies.FunctionQuestionnaire},
	}},
}

type entrance struct {
	functions, networks, entrance, release, stay string
	used                                         []string
}

func staff(kind policies.OrgKind, role policies.Role, active bool) policies.Person {
	return policies.Person{ID: "person", Org: sample[kind], Role: role, Active: active}
}

func entranceTables(t *testing.T, e *policies.Engine) (x entrance) {
	t.Helper()
	must := func(d policies.Decision, err error) bool {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		x.used = append(x.used, d.Policies...)
		return d.Allow
	}
	head := func(first string, columns []string) string {
		return "| " + first + " | " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat("---|", len(columns)+1) + "\n"
	}
	table := func(first string, columns []string, cells func(policies.OrgKind) []string) string {
		var rows grouped
		for _, kind := range policies.OrgKinds() {
			rows.add(kind, strings.Join(cells(kind), " | "))
		}
		text := head(first, columns)
		for _, row := range rows {
			text += fmt.Sprintf("| %s | %s |\n", row.name(kindName), row.cells)
		}
		return text
	}

	var columns []string
	for _, f := range policies.Functions() {
		columns = append(columns, functionNames[f])
	}
	x.functions = table("所属組織の種別", columns, func(kind policies.OrgKind) (cells []string) {
		for _, f := range policies.Functions() {
			var words []string
			for _, u := range policies.Uses() {
				allowed := must(e.MayUse(staff(kind, policies.RoleGeneral, true), u, f))
				for _, role := range policies.Roles() { // the table has one column for all roles
					if must(e.MayUse(staff(kind, role, true), u, f)) != allowed {
						t.Errorf("%s of %s: the role %s differs: give the table a column for it", u, f, role)
					}
					if must(e.MayUse(staff(kind, role, false), u, f)) {
						t.Errorf("an ended %s of a %s may %s %s", role, kind, u, f)
					}
				}
				if allowed {
					words = append(words, useNames[u])
				}
			}
			cells = append(cells, orNone(words))
		}
		return cells
	})

	columns = nil
	for _, n := range policies.Networks() {
		columns = append(columns, n.Name().JA)
	}
	x.networks = table("所属組織の種別", columns, func(kind policies.OrgKind) (cells []string) {
		for _, n := range policies.Networks() {
			allowed := must(e.MayComeFrom(staff(kind, policies.RoleGeneral, true), n))
			for _, role := range policies.Roles() {
				if must(e.MayComeFrom(staff(kind, role, true), n)) != allowed || must(e.MayComeFrom(staff(kind, role, false), n)) {
					t.Errorf("%s of a %s from %s: the table doesn't say it", role, kind, n)
				}
			}
			cells = append(cells, map[bool]string{true: "○", false: "×"}[allowed])
		}
		return cells
	})

	columns = nil
	for _, p := range parties {
		columns = append(columns, p.name)
	}
	for _, role := range policies.Roles() {
		x.entrance += "\n" + roleName(role) + "\n\n" + table("所属組織の種別", columns, func(kind policies.OrgKind) (cells []string) {
			for _, p := range parties {
				cells = append(cells, entryCell(t, e, staff(kind, role, true), p.rp, must))
				for _, in := range entries() {
					if must(e.MayEnter(staff(kind, role, false), p.rp, in)) {
						t.Errorf("an ended %s of a %s enters %s by %+v", role, kind, p.rp.ID, in)
					}
				}
			}
			return cells
		})
	}

	x.release = table("所属組織の種別", columns, func(kind policies.OrgKind) (cells []string) {
		for _, p := range parties {
			told, by, err := e.Release(staff(kind, policies.RoleGeneral, true), p.rp)
			if err != nil {
				t.Fatal(err)
			}
			x.used = append(x.used, by...)
			var words []string
			for _, a := range told {
				words = append(words, attributeNames[a])
			}
			cells = append(cells, orNone(words))
		}
		return cells
	})
	x.stay = stayTable(t, e, must)
	return x
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "×"
	}
	return strings.Join(words, "・")
}

func entries() []policies.Entry {
	var all []policies.Entry
	for _, n := range policies.Networks() {
		for a := policies.AssuranceNone; a <= policies.AssuranceCard; a++ {
			all = append(all, policies.Entry{Network: n, Assurance: a}, policies.Entry{Network: n, Assurance: a, Sealed: true})
		}
	}
	return all
}

// entryCell says from which networks somebody enters with the card, and fails where that isn't all there is to say but for the sealed account.
func entryCell(t *testing.T, e *policies.Engine, p policies.Person, rp policies.RelyingParty, must func(policies.Decision, error) bool) string {
	t.Helper()
	var words []string
	sealed := false
	for _, in := range entries() {
		allowed := must(e.MayEnter(p, rp, in))
		switch {
		case allowed && in.Sealed:
			sealed = true
		case allowed && in.Assurance == policies.AssuranceCard:
			words = append(words, in.Network.Name().JA)
		case allowed:
			t.Errorf("a %s of a %s enters %s by %+v: without the card", p.Role, p.Org.Kind, rp.ID, in)
		}
	}
	cell := orNone(words)
	if sealed {
		cell += " (非常用アカウントも)"
	}
	return cell
}

func stayTable(t *testing.T, e *policies.Engine, must func(policies.Decision, error) bool) string {
	t.Helper()
	longest := func(p policies.Person, sealed bool, of func(minutes int) policies.Stay) int {
		n := 0
		for ; n < 24*60; n++ {
			s := of(n)
			s.Network, s.Sealed = policies.NetworkInternet, sealed
			if !must(e.MayStay(p, s)) {
				break
			}
		}
		return n
	}
	text := "| だれの | 操作のない時間 (分) | ログインから (分) |\n|---|---|---|\n"
	row := func(name string, p policies.Person, sealed bool) {
		idle := longest(p, sealed, func(m int) policies.Stay { return policies.Stay{Idle: time.Duration(m) * time.Minute} })
		age := longest(p, sealed, func(m int) policies.Stay { return policies.Stay{Age: time.Duration(m) * time.Minute} })
		text += fmt.Sprintf("| %s | %d | %d |\n", name, idle, age)
	}
	for _, role := range policies.Roles() {
		row(roleName(role), staff(policies.KindAgency, role, true), false)
	}
	row("封印された非常用アカウント", staff(policies.KindAgency, policies.RoleSystemAdministrator, true), true)
	row("在職を終えた人", staff(policies.KindAgency, policies.RoleGeneral, false), false)
	return text
}

func entranceText(t *testing.T, x entrance) string {
	t.Helper()
	return entranceHead +
		"\n## 機能と利用者 Functions and actors\n\n公開された表による。終了した人は、何も使えません。\n\n" + x.functions +
		"\n## 接続元と利用者 Networks and actors (仮定 assumption)\n\n" + x.networks +
		"\n## ログイン先 Relying parties\n\nマイナンバーカードで入れるネットワーク。カードなしでは入れません。\n" + x.entrance +
		"\n## 伝える属性 Attributes released (一般ユーザ)\n\n" + x.release +
		"\n## ログイン状態の長さ Sessions\n\n" + x.stay
}

func TestEntranceRefusesNonsense(t *testing.T) {
	e := engine(t)
	p := staff(policies.KindMinistry, policies.RoleGeneral, true)
	hub := parties[0].rp
	for name, ask := range map[string]func() error{
		"no network": func() error {
			_, err := e.MayEnter(p, hub, policies.Entry{Assurance: policies.AssuranceCard})
			return err
		},
		"unknown network": func() error { _, err := e.MayComeFrom(p, "wifi"); return err },
		"assurance": func() error {
			_, err := e.MayEnter(p, hub, policies.Entry{Network: "internet", Assurance: 9})
			return err
		},
		"no party": func() error {
			_, err := e.MayEnter(p, policies.RelyingParty{}, policies.Entry{Network: "internet"})
			return err
		},
		"unknown function": func() error { _, err := e.MayUse(p, policies.UseRead, "gossip"); return err },
		"unknown use":      func() error { _, err := e.MayUse(p, "burn", policies.FunctionFAQ); return err },
		"nobody": func() error {
			_, err := e.MayEnter(policies.Person{}, hub, policies.Entry{Network: "internet"})
			return err
		},
		"the future": func() error {
			_, err := e.MayStay(p, policies.Stay{Network: "internet", Age: -time.Minute})
			return err
		},
	} {
		if ask() == nil {
			t.Errorf("%s: answered", name)
		}
	}
}

func TestACR(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range policies.Assurances() {
		back, ok := policies.AssuranceOf(a.ACR())
		if !ok || back != a || seen[a.ACR()] {
			t.Errorf("%d: %q gives %d", a, a.ACR(), back)
		}
		seen[a.ACR()] = true
	}
	if _, ok := policies.AssuranceOf(""); ok || policies.AssuranceNone.ACR() != "" {
		t.Error("nobody has an acr")
	}
	if !slices.IsSorted(policies.Assurances()) {
		t.Error("the levels aren't in their order")
	}
}
