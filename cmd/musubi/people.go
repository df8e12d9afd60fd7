package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

func newPeople(e *env) *cobra.Command {
	people := &cobra.Command{
		Use: "people", Short: "職員を見る・探す・登録する・変える / people: see, search, register, change", Args: cobra.NoArgs,
		Long: `職員は、内部の番号 (PERSON-ID) か、--org と職員番号で特定します。
A person is named by the hub's own id, or by --org and the staff number.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	people.AddCommand(newPeopleList(e), newPeopleSearch(e), newPeopleShow(e), newPeopleAdd(e), newPeopleChange(e), newPeopleEnd(e), newPeopleErase(e))
	return people
}

// personView is a person in --json answers. Days are in JST.
type personView struct {
	ID           policies.PersonID `json:"id"`
	Org          policies.OrgID    `json:"org"`
	StaffNumber  string            `json:"staff_number"`
	FamilyName   string            `json:"family_name"`
	GivenName    string            `json:"given_name"`
	FamilyKana   string            `json:"family_kana"`
	GivenKana    string            `json:"given_kana"`
	FamilyRomaji string            `json:"family_romaji,omitempty"`
	GivenRomaji  string            `json:"given_romaji,omitempty"`
	Email        string            `json:"email"`
	Mailbox      string            `json:"mailbox,omitempty"`
	Role         policies.Role     `json:"role"`
	Section      string            `json:"section,omitempty"`
	Title        string            `json:"title,omitempty"`
	Duties       string            `json:"duties,omitempty"`
	Phone        string            `json:"phone,omitempty"`
	Extension    string            `json:"extension,omitempty"`
	Fax          string            `json:"fax,omitempty"`
	AbsentFrom   string            `json:"absent_from,omitempty"`
	AbsentUntil  string            `json:"absent_until,omitempty"`
	Ended        string            `json:"ended,omitempty"`
}

func viewPerson(p identity.Person) personView {
	return personView{
		ID: p.ID, Org: p.Org, StaffNumber: p.StaffNumber, FamilyName: p.FamilyName, GivenName: p.GivenName,
		FamilyKana: p.FamilyKana, GivenKana: p.GivenKana, FamilyRomaji: p.FamilyRomaji, GivenRomaji: p.GivenRomaji,
		Email: p.Email, Mailbox: p.Mailbox, Role: p.Role, Section: p.Section, Title: p.Title, Duties: p.Duties,
		Phone: p.Phone, Extension: p.Extension, Fax: p.Fax,
		AbsentFrom: jst.Date(p.AbsentFrom), AbsentUntil: lastDay(p.AbsentUntil), Ended: jst.Minute(p.EndedAt),
	}
}

// lastDay is the day before an end, as files and flags have it: 不在終了日 is the last day of an absence.
func lastDay(until int64) string {
	if until == 0 {
		return ""
	}
	return jst.Date(until - 1)
}

// peopleDocument is the --json answer of people list. After is the next page's --after; empty: this is the last one.
type peopleDocument struct {
	People []personView      `json:"people"`
	After  policies.PersonID `json:"after,omitempty"`
}

func newPeopleList(e *env) *cobra.Command {
	var f directory.PeopleFilter
	var org, after string
	cmd := &cobra.Command{
		Use: "list", Short: "職員の一覧 / list people",
		Long:    "番号順に並べます。次のページは --after で続けます。探すときは musubi people search を使ってください。\nOrdered by id; --after goes on where the page before ended. To look somebody up, `musubi people search` is better.",
		Example: "  musubi people list --org 011002 --as planner.cred\n  musubi people list --query 佐藤 --ended --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 1 || f.Limit > directory.MaxPage {
				return boot.Usage(fmt.Errorf("--limit %d: give 1 to %d", f.Limit, directory.MaxPage))
			}
			f.Org, f.After = policies.OrgID(org), policies.PersonID(after)
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.listPeople(ctx, h, f) })
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&org, "org", "", "only this organization")
	fl.StringVar(&f.Query, "query", "", "part of the name or kana, or the beginning of the e-mail address or staff number")
	fl.BoolVar(&f.IncludeEnded, "ended", false, "also people whose service has ended")
	fl.IntVar(&f.Limit, "limit", directory.DefaultPage, "length of a page")
	fl.StringVar(&after, "after", "", "go on after this id")
	return cmd
}

func (e *env) listPeople(ctx context.Context, h *boot.Hub, f directory.PeopleFilter) error {
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return err
	}
	list, err := h.Directory.People(ctx, scope, f)
	if err != nil {
		return err
	}
	doc := peopleDocument{People: []personView{}}
	for _, p := range list {
		doc.People = append(doc.People, viewPerson(p))
	}
	if len(list) == f.Limit {
		doc.After = list[len(list)-1].ID
	}
	if e.json {
		return e.printJSON("musubi.people.v1", doc)
	}
	if len(list) == 0 {
		say(e.stdout, "該当する職員はいません。 / Nobody matches.")
		return nil
	}
	t := newColumns("組織 / ORG", "職員番号 / NUMBER", "氏名 / NAME", "所属 / SECTION", "役職 / TITLE", "権限 / ROLE", "状態 / STATE", "ID")
	for _, p := range list {
		t.row(string(p.Org), p.StaffNumber, p.DisplayName(), p.Section, p.Title, p.Role.Name().JA, e.service(p), string(p.ID))
	}
	t.print(e.stdout)
	if doc.After != "" {
		say(e.stdout, "次のページ / next page: --after %s", doc.After)
	}
	return nil
}

// service says in a word whether the person is there.
func (e *env) service(p identity.Person) string {
	switch {
	case !p.Active():
		return "終了"
	case p.Absent(e.now().UnixMicro()):
		return "不在"
	}
	return "在職"
}

// personOf finds the person that a command names, inside the scope.
func personOf(ctx context.Context, h *boot.Hub, scope policies.Scope, id, org string) (identity.Person, error) {
	if org != "" {
		return h.Directory.FindPerson(ctx, scope, policies.OrgID(org), id)
	}
	return h.Directory.Person(ctx, scope, policies.PersonID(id))
}

const orgFlagText = "number of the organization, when the argument is a staff number"

func newPeopleShow(e *env) *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use: "show PERSON-ID | --org CODE STAFF-NUMBER", Short: "一人を見る / one person",
		Example: "  musubi people show --org 011002 S00001 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
				if err != nil {
					return err
				}
				p, err := personOf(ctx, h, scope, args[0], org)
				if err != nil {
					return err
				}
				return e.showPerson(p)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	return cmd
}

// personDocument is the --json answer of the commands about one person.
type personDocument struct {
	Person personView `json:"person"`
}

func (e *env) showPerson(p identity.Person) error {
	if e.json {
		return e.printJSON("musubi.person.v1", personDocument{viewPerson(p)})
	}
	v := viewPerson(p)
	for _, line := range [][2]string{
		{"ID                    ", string(v.ID)},
		{"組織 / org            ", string(v.Org)},
		{"職員番号 / number     ", v.StaffNumber},
		{"氏名 / name           ", p.DisplayName()},
		{"カナ / kana           ", v.FamilyKana + " " + v.GivenKana},
		{"ローマ字 / romaji     ", v.FamilyRomaji + " " + v.GivenRomaji},
		{"メール / e-mail       ", v.Email},
		{"配送先 / mailbox      ", v.Mailbox},
		{"権限 / role           ", p.Role.Name().JA + " / " + string(p.Role)},
		{"部署 / section        ", v.Section},
		{"役職 / title          ", v.Title},
		{"担当業務 / duties     ", v.Duties},
		{"電話 / phone          ", v.Phone},
		{"内線 / extension      ", v.Extension},
		{"FAX                   ", v.Fax},
		{"不在 / absent from    ", v.AbsentFrom},
		{"不在 / absent until   ", v.AbsentUntil},
		{"状態 / state          ", e.service(p)},
		{"終了 / ended          ", v.Ended},
	} {
		if value := oneLine(line[1], 1000); value != "" && value != " " {
			say(e.stdout, "%s%s", line[0], value)
		}
	}
	return nil
}

// personFlags are the flags that say something of a person. A flag that isn't given changes nothing.
type personFlags struct {
	values map[string]*string
	why    string
}

var personFlagHelp = [][2]string{
	{"staff-number", "staff number, unique within the organization"},
	{"family-name", "family name as registered"},
	{"given-name", "given name as registered"},
	{"family-kana", "reading of the family name"},
	{"given-kana", "reading of the given name"},
	{"family-romaji", "family name in Latin letters"},
	{"given-romaji", "given name in Latin letters"},
	{"email", "e-mail address, unique among everybody in service"},
	{"role", "administrator (管理ユーザ), general (一般ユーザ), system_administrator (システム管理者)"},
	{"section", "部署"},
	{"title", "役職"},
	{"duties", "担当業務"},
	{"phone", "telephone"},
	{"extension", "内線"},
	{"fax", "FAX"},
	{"absent-from", "first day of absence, e.g. 2027-05-01 or R9.5.1; none: not absent"},
	{"absent-until", "last day of absence; none: not known"},
}

func (f *personFlags) register(cmd *cobra.Command) {
	f.values = map[string]*string{}
	for _, flag := range personFlagHelp {
		f.values[flag[0]] = cmd.Flags().String(flag[0], "", flag[1])
	}
	cmd.Flags().StringVar(&f.why, "why", "", "reason, kept in the change feed and in the audit log")
}

// apply sets what was given. "none" clears a field.
func (f *personFlags) apply(cmd *cobra.Command, p *identity.Person) error {
	texts := map[string]*string{
		"staff-number": &p.StaffNumber, "family-name": &p.FamilyName, "given-name": &p.GivenName, "family-kana": &p.FamilyKana,
		"given-kana": &p.GivenKana, "family-romaji": &p.FamilyRomaji, "given-romaji": &p.GivenRomaji, "email": &p.Email,
		"section": &p.Section, "title": &p.Title, "duties": &p.Duties, "phone": &p.Phone, "extension": &p.Extension, "fax": &p.Fax,
	}
	days := map[string]*int64{"absent-from": &p.AbsentFrom, "absent-until": &p.AbsentUntil}
	for name, given := range f.values {
		if !cmd.Flags().Changed(name) {
			continue
		}
		value := *given
		if value == "none" {
			value = ""
		}
		switch {
		case texts[name] != nil:
			*texts[name] = value
		case days[name] != nil:
			at, err := parseDay("--"+name, value)
			if err != nil {
				return err
			}
			if name == "absent-until" && at != 0 {
				at = time.UnixMicro(at).AddDate(0, 0, 1).UnixMicro() // no day in Japan is longer than another
			}
			*days[name] = at
		case name == "role":
			p.Role = policies.Role(value)
			for _, r := range policies.Roles() {
				if value == r.Name().JA {
					p.Role = r
				}
			}
		}
	}
	if p.AbsentFrom == 0 {
		p.AbsentUntil = 0
	}
	return nil
}

func newPeopleAdd(e *env) *cobra.Command {
	var org string
	var f personFlags
	cmd := &cobra.Command{
		Use: "add --org CODE --staff-number NUMBER --family-name NAME --email ADDRESS --role ROLE", Short: "一人を登録する / register one person",
		Long:    "多くの職員は musubi import people で取り込みます。\nMany people are better imported: musubi import people.",
		Example: "  musubi people add --org 011002 --staff-number S00099 --family-name 例示 --given-name 花子 --email hanako@c011002.example.lg.jp --role general --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := identity.Person{Org: policies.OrgID(org)}
			if err := f.apply(cmd, &p); err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, actor, err := e.scope(ctx, h, policies.ActionPeopleWrite)
				if err != nil {
					return err
				}
				stored, err := h.Directory.AddPerson(ctx, scope, p, author(actor, f.why))
				if err != nil {
					return err
				}
				return e.showPerson(stored)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "number of the organization")
	f.register(cmd)
	return cmd
}

func newPeopleChange(e *env) *cobra.Command {
	var org string
	var self bool
	var f personFlags
	cmd := &cobra.Command{
		Use: "change PERSON-ID | --org CODE STAFF-NUMBER | --self", Short: "一人を変える / change one person",
		Long: `指定した項目だけを変えます。none は空にします。組織を移るときは musubi transfers add を使ってください。
Changes what is given and nothing else; none clears. Whoever goes to another organization is transferred: musubi transfers add.

自分の電話、内線、FAX、不在は、だれでも --self で変えられます。
Everybody changes their own telephone, extension, fax and absence: --self.`,
		Example: "  musubi people change --org 011002 S00001 --section 情報政策課 --extension 1234 --as planner.cred\n  musubi people change --org 011002 S00001 --absent-from R9.5.1 --absent-until R9.5.31 --as planner.cred\n  musubi people change --self --extension 1234 --as hanako.cred",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if self == (len(args) == 1) || self && org != "" {
				return boot.Usage(errors.New("say whom: a person's id, --org and a staff number, or --self"))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, actor, err := e.scope(ctx, h, map[bool]policies.Action{false: policies.ActionPeopleWrite, true: policies.ActionSelfWrite}[self])
				if err != nil {
					return err
				}
				id := actor.Person.ID
				if !self {
					if id, err = e.personID(ctx, h, args[0], org); err != nil {
						return err
					}
				}
				stored, err := h.Directory.EditPerson(ctx, scope, id, author(actor, f.why), func(p *identity.Person) error { return f.apply(cmd, p) })
				if err != nil {
					return err
				}
				return e.showPerson(stored)
			})
		},
	}
	cmd.Flags().BoolVar(&self, "self", false, "the acting person")
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	f.register(cmd)
	return cmd
}

// personID finds whom the arguments name. With a staff number the actor must be allowed to see the organization's people.
func (e *env) personID(ctx context.Context, h *boot.Hub, id, org string) (policies.PersonID, error) {
	if org == "" {
		return policies.PersonID(id), nil
	}
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return "", err
	}
	p, err := personOf(ctx, h, scope, id, org)
	return p.ID, err
}

func newPeopleEnd(e *env) *cobra.Command {
	var why, org string
	end := &cobra.Command{
		Use:   "end PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "退職者のアクセスを直ちに止める / end a person's service, and every account at once",
		Long: `退職・離任した職員の在籍を終えます。承認は要りません。稼働中のハブが、数秒で各 SaaS のアカウントを止めます。
Ends the person's service. No approval is needed: a serving hub ends the person's accounts in every SaaS within seconds.
Without a serving hub the work waits, durably, until one serves this data folder.`,
		Example: "  musubi people end --org 011002 1001 --why 退職 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				return e.endPerson(ctx, h, args[0], org, why)
			})
		},
	}
	end.Flags().StringVar(&org, "org", "", orgFlagText)
	end.Flags().StringVar(&why, "why", "left", "reason, kept in the change feed")
	return end
}

func (e *env) endPerson(ctx context.Context, h *boot.Hub, id, org, why string) error {
	person, err := e.personID(ctx, h, id, org)
	if err != nil {
		return err
	}
	scope, actor, err := e.scope(ctx, h, policies.ActionPeopleWrite)
	if err != nil {
		return err
	}
	if err := h.Directory.EndPerson(ctx, scope, person, author(actor, why)); err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.people.end.v1", struct {
			Person policies.PersonID `json:"person"`
		}{person})
	}
	say(e.stdout, "在籍を終えました。アカウントの停止を始めます。 / Ended %s. Its accounts are being disabled by the serving hub (watch its pages, or run `musubi serve`).", person)
	return nil
}

func newPeopleErase(e *env) *cobra.Command {
	var why, org string
	cmd := &cobra.Command{
		Use:   "erase PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "退職者の個人情報を消す / erase what is known of somebody whose service has ended",
		Long: `氏名・職員番号・連絡先を、名簿、異動、変更履歴から消します。履歴の行 (いつ・だれが・何を) は残り、監査記録の検証は通り続けます。元に戻せません。
書き出したファイル、バックアップ、SaaS に残るものは消えません。
Takes names, numbers and addresses away from the directory, its transfers and its change feed. The rows stay, and the audit log still
verifies. It can't be undone. Exports, backups and what the SaaS keep are beyond it.`,
		Example: "  musubi people erase --org 011002 S00001 --why 保存期間満了 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return boot.Usage(errors.New("say why: --why TEXT (without personal data: it stays in the log)"))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				id, err := e.personID(ctx, h, args[0], org)
				if err != nil {
					return err
				}
				scope, actor, err := e.scope(ctx, h, policies.ActionPeopleWrite)
				if err != nil {
					return err
				}
				if err := h.Directory.ErasePerson(ctx, scope, id, author(actor, why)); err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.people.erase.v1", struct {
						Person policies.PersonID `json:"person"`
					}{id})
				}
				say(e.stdout, "消去しました。 / Erased %s.", id)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	cmd.Flags().StringVar(&why, "why", "", "reason, kept in the change feed and in the audit log")
	return cmd
}
