package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

func newPolicy(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "方針を検査し、判断の理由を示す / check the policies, explain a decision",
		Long: `方針 (だれが何をできるか、だれがどの利用席を持つか) を検査し、一つの判断の理由を示します。
Checks the policies and tells why a decision is as it is. How to read both: docs/ja/policies.md`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyCheck(e), newPolicyExplain(e), newPolicyTable(e))
	return cmd
}

func newPolicyCheck(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "check [DIR]",
		Short: "方針のフォルダを検査する / check a folder of policies",
		Long: `DIR には schema.cedarschema と rules/*.cedar を置きます。省くと、このプログラムに組み込まれた方針を検査します。
DIR holds schema.cedarschema and rules/*.cedar; without it the policies built into this program are checked. All faults
are told at once as FILE:LINE:COLUMN: MESSAGE, and the exit code is 3. Nothing is changed and no database is opened.`,
		Example: "  musubi policy check\n  musubi policy check ./policies --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := ""
			if len(args) == 1 {
				dir = args[0]
			}
			return e.checkPolicies(dir)
		},
	}
}

// policyCheck is the --json answer of policy check.
type policyCheck struct {
	Dir      string        `json:"dir,omitempty"` // empty: the policies built in
	OK       bool          `json:"ok"`
	Hash     string        `json:"hash,omitempty"`
	Policies []policyLine  `json:"policies,omitempty"`
	Faults   []policyFault `json:"faults,omitempty"`
}

type policyLine struct {
	ID     string `json:"id"`
	Effect string `json:"effect"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

type policyFault struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"` // 0: the whole file's fault
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

func (e *env) checkPolicies(dir string) error {
	set, err := policySet(dir)
	var faulty *load.Error
	if err != nil && !errors.As(err, &faulty) {
		return err
	}
	doc := policyCheck{Dir: dir, OK: err == nil, Hash: set.Hash()}
	for _, p := range set.Policies() {
		doc.Policies = append(doc.Policies, policyLine{ID: p.ID, Effect: effect(p), File: inDir(dir, p.File), Line: p.Line, Column: p.Column})
	}
	if faulty != nil {
		for _, f := range faulty.Faults {
			doc.Faults = append(doc.Faults, policyFault{File: inDir(dir, f.File), Line: f.Line, Column: f.Column, Message: f.Message})
		}
	}
	if e.json {
		if err := e.printJSON("musubi.policy-check.v1", doc); err != nil {
			return err
		}
	} else {
		e.showCheck(doc)
	}
	if faulty != nil {
		return boot.Refused(errShown)
	}
	return nil
}

func (e *env) showCheck(doc policyCheck) {
	if !doc.OK {
		for _, f := range doc.Faults {
			say(e.stdout, "%s", load.Fault(f))
		}
		say(e.stdout, "誤りが %d 件あり、この方針は使えません。 / %d found; none of these policies can be used.", len(doc.Faults), len(doc.Faults))
		return
	}
	for _, p := range doc.Policies {
		say(e.stdout, "%-6s  %-42s %s:%d", p.Effect, p.ID, p.File, p.Line)
	}
	say(e.stdout, "誤りはありません。方針 %d 件。 / No fault in %d policies.\nハッシュ / hash %s", len(doc.Policies), len(doc.Policies), doc.Hash)
}

func effect(p policies.Policy) string {
	if p.Permit {
		return "permit"
	}
	return "forbid"
}

// inDir gives a path that an editor can open.
func inDir(dir, file string) string {
	if dir == "" {
		return file
	}
	return filepath.Join(dir, filepath.FromSlash(file))
}

// policySet loads the policies of the folder, or those built in. Faults in them are a refusal, a folder that can't be read a
// fault of the command line.
func policySet(dir string) (policies.Set, error) {
	if dir == "" {
		return load.Load(policies.Files)
	}
	set, err := load.Load(os.DirFS(dir))
	var faulty *load.Error
	switch {
	case err == nil:
		return set, nil
	case errors.As(err, &faulty):
		return set, boot.Refused(fmt.Errorf("%s: %w", dir, err))
	}
	return set, boot.Usage(fmt.Errorf("%s: %w", dir, err))
}

func newPolicyExplain(e *env) *cobra.Command {
	var person, dir, network, assurance string
	var ownPlan, sealed bool
	cmd := &cobra.Command{
		Use:   "explain ACTION ORG | ACTION workspace | SEAT PRODUCT | function.USE FUNCTION | network.enter NETWORK | login.enter RP | release.ATTRIBUTE RP",
		Short: "なぜできるのか、なぜできないのかを示す / tell why somebody may or may not do something",
		Long: `--as の本人、または --person の職員について、判断とその理由を示します。許可がないときは、最も近い許可の方針と、
足りなかった条件を示します。login.enter では、伝わる属性も示します。ほかの人について尋ねるには、その人の情報を見る権限が必要です。
兼務の所属は見ません。ログインできるかどうかの全体は musubi why login が、種別ごとの一覧は musubi policy table が示します。
Tells the decision about the acting person, or about --person, and why. Where nothing permits it, the closest permit is
shown with the conditions that don't hold. login.enter tells the attributes that are released, too. Asking about somebody else needs the right to
see that person's data. It is about the main post alone: musubi why login tells whether somebody can log in, musubi policy table who can at all.

` + explainWords(),
		Example: "  musubi policy explain people.write 131016 --as planner.cred\n" +
			"  musubi policy explain seat.portal_customer jira --person pabc... --as planner.cred\n" +
			"  musubi policy explain plan.approve workspace --own-plan --as planner.cred\n" +
			"  musubi policy explain login.enter jira --network lgwan --person pabc... --as planner.cred\n" +
			"  musubi policy explain function.answer questionnaire --as town.cred",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				engine := h.Engine
				if dir != "" {
					set, err := policySet(dir)
					if err != nil {
						return err
					}
					if engine, err = policies.NewEngine(set); err != nil {
						return err
					}
				}
				q := explainQuestion{action: args[0], thing: args[1], person: policies.PersonID(person), ownPlan: ownPlan}
				q.entry = policies.Entry{Network: policies.Network(network), Sealed: sealed}
				var err error
				if q.entry.Assurance, err = parseAssurance("--assurance", assurance); err != nil {
					return err
				}
				return e.explainDecision(ctx, h, engine, q)
			})
		},
	}
	cmd.Flags().StringVar(&person, "person", "", "id of the person to ask about, instead of the acting person")
	cmd.Flags().BoolVar(&ownPlan, "own-plan", false, "for plan.approve: ask about a plan that the person made; otherwise somebody else made it")
	cmd.Flags().StringVar(&network, "network", string(policies.NetworkInternet), "for login.enter: from where the person comes")
	cmd.Flags().StringVar(&assurance, "assurance", "card", "for login.enter: how the person is proven: "+assuranceWords())
	cmd.Flags().BoolVar(&sealed, "sealed", false, "for login.enter: by a sealed break-glass account")
	cmd.Flags().StringVar(&dir, "policies", "", "ask the policies of this folder, instead of those in force")
	return cmd
}

const seatPrefix = "seat."

// explainWords lists what can be asked about.
func explainWords() string {
	var actions, products, seats []string
	for _, a := range policies.Actions() {
		actions = append(actions, string(a))
	}
	for _, p := range policies.Reached() {
		products = append(products, string(p))
	}
	for _, s := range policies.Seats() {
		seats = append(seats, seatPrefix+string(s))
	}
	return fmt.Sprintf("ACTION: %s\nSEAT: %s; PRODUCT: %s\nUSE: %s; FUNCTION: %s\nNETWORK: %s\nATTRIBUTE: %s; RP: %s, musubi rp list",
		strings.Join(actions, ", "), strings.Join(seats, ", "), strings.Join(products, ", "), joinedBy(policies.Uses(), ", "), joinedBy(policies.Functions(), ", "),
		joinedBy(policies.Networks(), ", "), joinedBy(policies.Attributes(), ", "), party.HubID)
}

type explainQuestion struct {
	action, thing string
	person        policies.PersonID
	ownPlan       bool
	entry         policies.Entry // for login.enter
}

// explanation is the --json answer of policy explain.
type explanation struct {
	Person   policies.PersonID  `json:"person"`
	Allow    bool               `json:"allow"`
	Hash     string             `json:"policy_hash"`
	Question policies.Text      `json:"question"`
	Decisive []policies.Account `json:"decisive,omitempty"`
	Nearest  []policies.Account `json:"nearest,omitempty"`
	Release  []releaseView      `json:"release,omitempty"` // for login.enter: each attribute
}

// releaseView says whether a relying party is told an attribute of somebody who is in.
type releaseView struct {
	Attribute policies.Attribute `json:"attribute"`
	Told      bool               `json:"told"`
	Policies  []string           `json:"policies,omitempty"`
	Closest   policies.Text      `json:"closest,omitzero"` // what the nearest permit would need, where it isn't told
}

func (e *env) explainDecision(ctx context.Context, h *boot.Hub, engine *policies.Engine, q explainQuestion) error {
	p, err := e.explained(ctx, h, q.person)
	if err != nil {
		return err
	}
	x, err := explain(ctx, e, h, engine, p, q)
	if err != nil {
		return err
	}
	var release []releaseView
	if q.action == actionEnter {
		if release, err = releases(ctx, h, engine, p, q.thing); err != nil {
			return err
		}
	}
	if e.json {
		return e.printJSON("musubi.policy-explain.v1", explanation{
			Person: p.ID, Allow: x.Decision.Allow, Hash: x.Decision.Hash, Question: x.Question, Decisive: x.Decisive, Nearest: x.Nearest, Release: release,
		})
	}
	text := x.Text()
	say(e.stdout, "%s\n%s", text.JA, strings.TrimSuffix(text.EN, "\n"))
	e.tellRelease(release)
	say(e.stdout, "ハッシュ / hash %s", x.Decision.Hash)
	return nil
}

// explained gives the person to be asked about: the acting person, or another whose data the acting person may see.
func (e *env) explained(ctx context.Context, h *boot.Hub, id policies.PersonID) (policies.Person, error) {
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return policies.Person{}, err
	}
	if actor.Kind == access.KindPerson && (id == "" || id == actor.Person.ID) {
		return actor.Policy(), nil
	}
	if id == "" {
		return policies.Person{}, boot.Usage(errors.New("about whom? act as a person (--as FILE), or name one (--person ID)"))
	}
	scope, err := h.Scope(ctx, actor, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return policies.Person{}, err
	}
	p, err := h.Directory.Person(ctx, scope, id)
	if err != nil {
		return policies.Person{}, err
	}
	org, err := e.organization(ctx, h, actor, p.Org)
	if err != nil {
		return policies.Person{}, err
	}
	related, err := h.Directory.Relations(ctx, p, org)
	if err != nil {
		return policies.Person{}, err
	}
	return access.Actor{Kind: access.KindPerson, Person: p, Org: org, Relations: &related}.Policy(), nil
}

func (e *env) organization(ctx context.Context, h *boot.Hub, actor access.Actor, id policies.OrgID) (identity.Organization, error) {
	scope, err := h.Scope(ctx, actor, policies.ActionOrgRead, policies.Context{})
	if err != nil {
		return identity.Organization{}, err
	}
	return h.Directory.Organization(ctx, scope, id)
}

func explain(ctx context.Context, e *env, h *boot.Hub, engine *policies.Engine, p policies.Person, q explainQuestion) (policies.Explanation, error) {
	if seat, ok := strings.CutPrefix(q.action, seatPrefix); ok {
		x, err := engine.ExplainSeat(p, policies.Seat(seat), policies.Product(q.thing))
		if err != nil {
			return x, boot.Usage(err)
		}
		return x, nil
	}
	if x, ok, err := explainEntrance(ctx, h, engine, p, q); ok {
		return x, err
	}
	action := policies.Action(q.action)
	if !slices.Contains(policies.Actions(), action) {
		return policies.Explanation{}, boot.Usage(fmt.Errorf("unknown action %q\n%s", q.action, explainWords()))
	}
	c := policies.Context{PlanMaker: "somebody-else"}
	if q.ownPlan {
		c.PlanMaker = p.ID
	}
	if q.thing == "workspace" {
		return engine.Explain(p, action, nil, c)
	}
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return policies.Explanation{}, err
	}
	org, err := e.organization(ctx, h, actor, policies.OrgID(q.thing))
	if err != nil {
		return policies.Explanation{}, err
	}
	resource := org.Policy()
	return engine.Explain(p, action, &resource, c)
}
