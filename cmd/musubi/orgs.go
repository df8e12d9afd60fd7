package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

func newOrgs(e *env) *cobra.Command {
	orgs := &cobra.Command{
		Use: "orgs", Short: "組織を見る・登録する・変える / organizations: see, register, change",
		Long: `組織は、全国地方公共団体コード (6 桁)、保険者番号 (8 桁)、法人番号 (13 桁) のどれかで特定します。
An organization is named by its official number. Kinds:
` + kindList(), Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	orgs.AddCommand(newOrgsList(e), newOrgsShow(e), newOrgsAdd(e), newOrgsChange(e), newOrgsEnd(e), newOrgsServe(e), newOrgsAppoint(e))
	return orgs
}

func kindList() string {
	var b strings.Builder
	for _, k := range policies.OrgKinds() {
		fmt.Fprintf(&b, "  %-20s %s\n", k, k.Name().JA)
	}
	return strings.TrimRight(b.String(), "\n")
}

// orgView is an organization in --json answers. Times are days in JST.
type orgView struct {
	ID        policies.OrgID      `json:"id"`
	Kind      policies.OrgKind    `json:"kind"`
	Name      string              `json:"name"`
	Kana      string              `json:"kana"`
	Parent    policies.OrgID      `json:"parent,omitempty"`
	From      string              `json:"from,omitempty"`
	Until     string              `json:"until,omitempty"`
	Successor policies.OrgID      `json:"successor,omitempty"`
	State     identity.Onboarding `json:"state"`
	Duty      *contactView        `json:"duty,omitempty"`
	Night     *contactView        `json:"night,omitempty"`
}

type contactView struct {
	Name  string `json:"name,omitempty"`
	Phone string `json:"phone,omitempty"`
	Email string `json:"email,omitempty"`
}

func viewContact(c identity.Contact) *contactView {
	if c == (identity.Contact{}) {
		return nil
	}
	return &contactView{c.Name, c.Phone, c.Email}
}

func viewOrg(o identity.Organization) orgView {
	return orgView{
		ID: o.ID, Kind: o.Kind, Name: o.Name, Kana: o.Kana, Parent: o.Parent, From: jst.Date(o.From), Until: jst.Date(o.Until),
		Successor: o.Successor, State: o.State, Duty: viewContact(o.Duty), Night: viewContact(o.Night),
	}
}

// onboardingName is what people call the state.
func onboardingName(s identity.Onboarding) string {
	switch s {
	case identity.OnboardingListed:
		return "未着手"
	case identity.OnboardingInvited:
		return "招待済み"
	case identity.OnboardingConfirmed:
		return "管理者確認済み"
	case identity.OnboardingLinked:
		return "接続済み"
	case identity.OnboardingLive:
		return "利用中"
	}
	return string(s)
}

func newOrgsList(e *env) *cobra.Command {
	var kinds, states []string
	var f directory.OrgFilter
	var after, parent, at string
	cmd := &cobra.Command{
		Use: "list", Short: "組織の一覧 / list organizations",
		Long:    "番号順に並べます。次のページは --after で続けます。\nOrdered by number; --after goes on where the page before ended.",
		Example: "  musubi orgs list --kind contractor --as planner.cred\n  musubi orgs list --query 札幌 --json\n  musubi orgs list --state listed --parent 010006 --limit 500",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.Kinds, err = parseKinds(kinds); err != nil {
				return boot.Usage(err)
			}
			if f.States, err = parseOnboardings(states); err != nil {
				return boot.Usage(err)
			}
			if f.Limit < 1 || f.Limit > directory.MaxPage {
				return boot.Usage(fmt.Errorf("--limit %d: give 1 to %d", f.Limit, directory.MaxPage))
			}
			if f.At, err = parseDay("--at", at); err != nil {
				return err
			}
			f.After, f.Parent = policies.OrgID(after), policies.OrgID(parent)
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.listOrgs(ctx, h, f) })
		},
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&kinds, "kind", nil, "only these kinds, separated by commas")
	fl.StringSliceVar(&states, "state", nil, "only these states of joining: listed, invited, confirmed, linked, live")
	fl.StringVar(&f.Query, "query", "", "part of the name or kana, or the beginning of the number")
	fl.StringVar(&parent, "parent", "", "only below this organization: municipalities of a prefecture, wards of a city")
	fl.StringVar(&at, "at", "", "only those that exist on this day, e.g. 2027-04-01 or R9.4.1")
	fl.IntVar(&f.Limit, "limit", directory.DefaultPage, "length of a page")
	fl.StringVar(&after, "after", "", "go on after this number")
	return cmd
}

func parseKinds(words []string) ([]policies.OrgKind, error) {
	var kinds []policies.OrgKind
	for _, word := range words {
		found := false
		for _, k := range policies.OrgKinds() {
			if word == string(k) || word == k.Name().JA {
				kinds, found = append(kinds, k), true
			}
		}
		if !found {
			return nil, fmt.Errorf("%q is no kind of organization; there are:\n%s", word, kindList())
		}
	}
	return kinds, nil
}

func parseOnboardings(words []string) ([]identity.Onboarding, error) {
	var states []identity.Onboarding
	for _, word := range words {
		found := false
		for _, s := range identity.Onboardings() {
			if word == string(s) || word == onboardingName(s) {
				states, found = append(states, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("%q is no state of joining; there are %v", word, identity.Onboardings())
		}
	}
	return states, nil
}

// parseDay reads the day of a flag: 00:00 JST, in UTC microseconds; 0 where the flag is empty.
func parseDay(flag, value string) (int64, error) {
	if value == "" {
		return 0, nil
	}
	day, err := jst.ParseDate(value)
	if err != nil {
		return 0, boot.Usage(fmt.Errorf("%s %q: %w", flag, value, err))
	}
	return day.UnixMicro(), nil
}

// orgsDocument is the --json answer of orgs list. After is the next page's --after; empty: this is the last one.
type orgsDocument struct {
	Organizations []orgView      `json:"organizations"`
	After         policies.OrgID `json:"after,omitempty"`
}

func (e *env) listOrgs(ctx context.Context, h *boot.Hub, f directory.OrgFilter) error {
	scope, _, err := e.scope(ctx, h, policies.ActionOrgRead)
	if err != nil {
		return err
	}
	list, err := h.Directory.Organizations(ctx, scope, f)
	if err != nil {
		return err
	}
	doc := orgsDocument{Organizations: []orgView{}}
	for _, o := range list {
		doc.Organizations = append(doc.Organizations, viewOrg(o))
	}
	if len(list) == f.Limit {
		doc.After = list[len(list)-1].ID
	}
	if e.json {
		return e.printJSON("musubi.orgs.v1", doc)
	}
	if len(list) == 0 {
		say(e.stdout, "該当する組織はありません。 / No organization matches.")
		return nil
	}
	t := newColumns("コード / CODE", "種別 / KIND", "名称 / NAME", "状態 / STATE", "廃止 / UNTIL")
	for _, o := range list {
		t.row(string(o.ID), o.Kind.Name().JA, o.Name, onboardingName(o.State), jst.Date(o.Until))
	}
	t.print(e.stdout)
	if doc.After != "" {
		say(e.stdout, "次のページ / next page: --after %s", doc.After)
	}
	return nil
}

// scope gives the acting person and their scope for an action.
func (e *env) scope(ctx context.Context, h *boot.Hub, action policies.Action) (policies.Scope, access.Actor, error) {
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return policies.Scope{}, actor, err
	}
	scope, err := h.Scope(ctx, actor, action, policies.Context{})
	return scope, actor, err
}

func newOrgsShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show CODE", Short: "一つの組織を見る / one organization",
		Example: "  musubi orgs show 011002 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, _, err := e.scope(ctx, h, policies.ActionOrgRead)
				if err != nil {
					return err
				}
				o, err := h.Directory.Organization(ctx, scope, policies.OrgID(args[0]))
				if err != nil {
					return err
				}
				return e.showOrg(ctx, h, scope, o)
			})
		},
	}
}

// orgDocument is the --json answer of the commands about one organization.
type orgDocument struct {
	Organization orgView       `json:"organization"`
	Services     []serviceView `json:"services"`
}

// serviceView is a service in --json answers.
type serviceView struct {
	Contractor policies.OrgID `json:"contractor"`
	Org        policies.OrgID `json:"org"`
	From       string         `json:"from"`
	Until      string         `json:"until,omitempty"`
}

// servicesOf lists the services that an organization takes part in, on either side.
func servicesOf(ctx context.Context, h *boot.Hub, scope policies.Scope, id policies.OrgID) ([]identity.Service, error) {
	serves, err := h.Directory.Services(ctx, scope, directory.ServiceFilter{Contractor: id, Limit: directory.MaxPage})
	if err != nil {
		return nil, err
	}
	served, err := h.Directory.Services(ctx, scope, directory.ServiceFilter{Org: id, Limit: directory.MaxPage})
	return append(serves, served...), err
}

func (e *env) showOrg(ctx context.Context, h *boot.Hub, scope policies.Scope, o identity.Organization) error {
	services, err := servicesOf(ctx, h, scope, o.ID)
	if err != nil {
		return err
	}
	doc := orgDocument{Organization: viewOrg(o), Services: []serviceView{}}
	for _, v := range services {
		doc.Services = append(doc.Services, serviceView{v.Contractor, v.Org, jst.Date(v.From), jst.Date(v.Until)})
	}
	if e.json {
		return e.printJSON("musubi.org.v1", doc)
	}
	line := func(name, value string) {
		if value != "" {
			say(e.stdout, "%s  %s", name, value)
		}
	}
	line("コード / code          ", string(o.ID))
	line("種別 / kind            ", o.Kind.Name().JA+" / "+string(o.Kind))
	line("名称 / name            ", o.Name)
	line("よみ / kana            ", o.Kana)
	line("親組織 / parent        ", string(o.Parent))
	line("設置 / from            ", jst.Date(o.From))
	line("廃止 / until           ", jst.Date(o.Until))
	line("後継 / successor       ", string(o.Successor))
	line("参加状況 / state       ", onboardingName(o.State)+" / "+string(o.State))
	line("連絡先 (日中) / duty   ", contactLine(o.Duty))
	line("連絡先 (夜間) / night  ", contactLine(o.Night))
	if len(services) > 0 {
		say(e.stdout, "\n委託 / services")
		t := newColumns("事業者 / CONTRACTOR", "委託元 / SERVES", "開始 / FROM", "終了 / UNTIL")
		for _, v := range doc.Services {
			t.row(string(v.Contractor), string(v.Org), v.From, v.Until)
		}
		t.print(e.stdout)
	}
	return nil
}

func contactLine(c identity.Contact) string {
	var parts []string
	for _, part := range []string{c.Name, c.Phone, c.Email} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "  ")
}

// orgFlags are the flags that say something of an organization. A flag that isn't given changes nothing.
type orgFlags struct {
	values map[string]*string
	why    string
}

var orgFlagHelp = [][2]string{
	{"name", "name as registered"},
	{"kana", "reading"},
	{"parent", "code of the city of a ward"},
	{"from", "day on which it begins to exist, e.g. 2027-04-01 or R9.4.1; none: always"},
	{"until", "day from which it doesn't exist any more; none: takes the end back"},
	{"successor", "code of the organization that takes over; none: nobody"},
	{"state", "state of joining: listed, invited, confirmed, linked, live"},
	{"duty-name", "contact in working hours: section or person"},
	{"duty-phone", "contact in working hours: telephone"},
	{"duty-email", "contact in working hours: e-mail"},
	{"night-name", "contact at night and on holidays: section or person"},
	{"night-phone", "contact at night and on holidays: telephone"},
	{"night-email", "contact at night and on holidays: e-mail"},
}

func (f *orgFlags) register(cmd *cobra.Command, names ...string) {
	f.values = map[string]*string{}
	for _, flag := range orgFlagHelp {
		for _, name := range names {
			if name == flag[0] {
				f.values[name] = cmd.Flags().String(name, "", flag[1])
			}
		}
	}
	cmd.Flags().StringVar(&f.why, "why", "", "reason, kept in the change feed and in the audit log")
}

// apply sets what was given. "none" clears a field.
func (f *orgFlags) apply(cmd *cobra.Command, o *identity.Organization) error {
	texts := map[string]*string{
		"name": &o.Name, "kana": &o.Kana, "duty-name": &o.Duty.Name, "duty-phone": &o.Duty.Phone, "duty-email": &o.Duty.Email,
		"night-name": &o.Night.Name, "night-phone": &o.Night.Phone, "night-email": &o.Night.Email,
	}
	days := map[string]*int64{"from": &o.From, "until": &o.Until}
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
			*days[name] = at
		case name == "parent":
			o.Parent = policies.OrgID(value)
		case name == "successor":
			o.Successor = policies.OrgID(value)
		case name == "state":
			states, err := parseOnboardings([]string{value})
			if err != nil {
				return boot.Usage(err)
			}
			o.State = states[0]
		}
	}
	return nil
}

func newOrgsAdd(e *env) *cobra.Command {
	var kind string
	var f orgFlags
	cmd := &cobra.Command{
		Use: "add CODE", Short: "組織を一つ登録する / register one organization",
		Example: "  musubi orgs add 7700150000012 --kind contractor --name 例示システム株式会社 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kinds, err := parseKinds([]string{kind})
			if err != nil {
				return boot.Usage(err)
			}
			o := identity.Organization{ID: policies.OrgID(args[0]), Kind: kinds[0]}
			if err := f.apply(cmd, &o); err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, actor, err := e.scope(ctx, h, policies.ActionOrgWrite)
				if err != nil {
					return err
				}
				stored, err := h.Directory.AddOrganization(ctx, scope, o, author(actor, f.why))
				if err != nil {
					return err
				}
				return e.showChangedOrg(ctx, h, stored)
			})
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "", "kind of organization, see `musubi orgs --help`")
	f.register(cmd, "name", "kana", "parent", "from", "state", "duty-name", "duty-phone", "duty-email", "night-name", "night-phone", "night-email")
	return cmd
}

// showChangedOrg shows what was just stored: whoever may write an organization may see it.
func (e *env) showChangedOrg(ctx context.Context, h *boot.Hub, o identity.Organization) error {
	scope, _, err := e.scope(ctx, h, policies.ActionOrgRead)
	if errors.Is(err, identity.ErrRefused) {
		say(e.stdout, "%s %s", o.ID, o.Name)
		return nil
	}
	if err != nil {
		return err
	}
	return e.showOrg(ctx, h, scope, o)
}

func newOrgsChange(e *env) *cobra.Command {
	var f orgFlags
	cmd := &cobra.Command{
		Use: "change CODE", Short: "組織を変える / change one organization",
		Long:    "指定した項目だけを変えます。none は空にします。\nChanges what is given and nothing else; none clears.",
		Example: "  musubi orgs change 011002 --state live --why 利用開始 --as planner.cred\n  musubi orgs change 011002 --night-phone 011-000-0000 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.changeOrg(cmd, args[0], &f)
		},
	}
	f.register(cmd, "name", "kana", "parent", "from", "state", "duty-name", "duty-phone", "duty-email", "night-name", "night-phone", "night-email")
	return cmd
}

func (e *env) changeOrg(cmd *cobra.Command, code string, f *orgFlags) error {
	return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
		action := policies.ActionOrgContact
		for name := range f.values {
			if cmd.Flags().Changed(name) && !strings.HasPrefix(name, "duty-") && !strings.HasPrefix(name, "night-") {
				action = policies.ActionOrgWrite
			}
		}
		scope, actor, err := e.scope(ctx, h, action)
		if err != nil {
			return err
		}
		o, err := h.Directory.EditOrganization(ctx, scope, policies.OrgID(code), author(actor, f.why), func(o *identity.Organization) error {
			return f.apply(cmd, o)
		})
		if err != nil {
			return err
		}
		return e.showChangedOrg(ctx, h, o)
	})
}

func newOrgsEnd(e *env) *cobra.Command {
	var f orgFlags
	cmd := &cobra.Command{
		Use: "end CODE --until DAY", Short: "組織の廃止日と後継を記録する (廃置分合) / record when an organization ceases, and who takes over",
		Long: `廃止日より前に、在職者を異動させてください (musubi transfers add, musubi import transfers)。
Its people have to be transferred by that day. --until none takes the end back.`,
		Example: "  musubi orgs end 221317 --until 2024-01-01 --successor 221384 --why 行政区の再編 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("until") {
				return boot.Usage(errors.New("give --until DAY"))
			}
			return e.changeOrg(cmd, args[0], &f)
		},
	}
	f.register(cmd, "until", "successor")
	return cmd
}

func newOrgsServe(e *env) *cobra.Command {
	var from, until, why string
	var end bool
	cmd := &cobra.Command{
		Use: "serve CONTRACTOR CODE", Short: "事業者の委託元を期間つきで登録する / say that a contractor serves an organization, from and to a date",
		Example: "  musubi orgs serve 7700150000012 011002 --from 2027-04-01 --until 2030-04-01 --as planner.cred\n  musubi orgs serve 7700150000012 011002 --end --until 2028-04-01 --as planner.cred",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			v := identity.Service{Contractor: policies.OrgID(args[0]), Org: policies.OrgID(args[1])}
			var err error
			if v.From, err = parseDay("--from", from); err != nil {
				return err
			}
			if v.Until, err = parseDay("--until", until); err != nil {
				return err
			}
			if end == (v.From != 0) || end && v.Until == 0 {
				return boot.Usage(errors.New("give --from DAY [--until DAY] to begin, or --end --until DAY to end"))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, actor, err := e.scope(ctx, h, policies.ActionServiceWrite)
				if err != nil {
					return err
				}
				if end {
					err = h.Directory.EndService(ctx, scope, v.Contractor, v.Org, v.Until, author(actor, why))
				} else {
					err = h.Directory.AddService(ctx, scope, v, author(actor, why))
				}
				if err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.service.v1", serviceView{v.Contractor, v.Org, jst.Date(v.From), jst.Date(v.Until)})
				}
				say(e.stdout, "%s → %s  %s 〜 %s", v.Contractor, v.Org, jst.Date(v.From), jst.Date(v.Until))
				return nil
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&from, "from", "", "first day of service")
	fl.StringVar(&until, "until", "", "day from which it is over")
	fl.BoolVar(&end, "end", false, "end the service that is in force, at --until")
	fl.StringVar(&why, "why", "", "reason, kept in the change feed and in the audit log")
	return cmd
}
