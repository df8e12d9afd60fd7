package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login/why"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// surroundings is what a party's registration is looked at in.
func surroundings(ctx context.Context, h *boot.Hub, p relyingParty) (s registration.Surroundings, err error) {
	s = registration.Surroundings{At: h.Now().UnixMicro(), Own: map[policies.Network][]string{}}
	for n, g := range h.Config.Gates {
		for _, host := range []string{g.LoginHost, g.CardHost} {
			if host != "" {
				s.Own[n] = append(s.Own[n], host)
			}
		}
	}
	if s.Others, err = h.Parties.List(ctx); err != nil {
		return s, err
	}
	if s.SPs, err = h.SPs.List(ctx); err != nil {
		return s, err
	}
	s.Released, err = releasedAtAll(h.Engine, p.policy())
	return s, err
}

// releasedAtAll gives the attributes that the party is told of anybody: of some kind of organization, in some role.
func releasedAtAll(engine *policies.Engine, rp policies.RelyingParty) ([]policies.Attribute, error) {
	all := []policies.Attribute{}
	var t policyTable
	if err := t.party(engine, rp); err != nil {
		return nil, err
	}
	for _, a := range policies.Attributes() {
		if slices.ContainsFunc(t.Rows, func(r tableRow) bool { return slices.Contains(r.Released, a) }) {
			all = append(all, a)
		}
	}
	return all, nil
}

func newRPCheck(e *env) *cobra.Command {
	var q whyQuestion
	var person, org, network, assurance string
	var xml bool
	cmd := &cobra.Command{
		Use: "check ID", Short: "登録を確認し、ログインを試算する / check a registration; a dry login", Args: cobra.ExactArgs(1),
		Long: `登録そのもの (宛先、鍵、シークレット、機能) を確認します。--person を付けると、その人がログインしたら何が起きるかを、何も起こさずに示します。
入れるか、どの所属でか、どの acr か、何が値とともに伝わり、何がなぜ伝わらないか。SAML では、NameID、AuthnContext、どの鍵で何に署名し、
どう暗号化するか、いつ切れるかも示します。変わらない名前 (persistent) は、あるかどうかだけを示し、作りません。--xml は、その応答を XML で示します。
署名がなく、SAML の名前空間でもないので、どこでも使えません。本人の情報を見る権限も必要です。
登録に誤りがあれば、終了コードは 3 です。人が入れなくても、終了コードは変わりません。

Checks the registration itself: addresses, keys, secrets, functions. With --person it tells what would happen at this person's login, and nothing does:
whether they enter, in which post, with which acr, what is sent with its values, and what isn't and why; for SAML also NameID, AuthnContext, what is signed
by which key, how it is encrypted, when it ends. Of a persistent name it says whether there is one, and makes none. --xml shows the response as XML: it is
signed by nobody and in no namespace of SAML, so that it is good for nothing. It takes the right to see the person's data.
The exit code is 3 where the registration is wrong; whether the person enters doesn't change it.`,
		Example: "  musubi rp check jira --as planner.cred\n" +
			"  musubi rp check jira --org 011002 --person S00001 --network lgwan --as planner.cred\n" +
			"  musubi rp check jira --person pabc... --assurance aal1 --json --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if xml && person == "" {
				return boot.Usage(fmt.Errorf("--xml is about a person's login: add --person"))
			}
			if person == "" && (org != "" || cmd.Flags().Changed("network") || cmd.Flags().Changed("assurance")) {
				return boot.Usage(fmt.Errorf("--org, --network and --assurance are about a person: add --person"))
			}
			if network != "" && !slices.Contains(policies.Networks(), policies.Network(network)) {
				return boot.Usage(fmt.Errorf("--network %q: write one of %q", network, policies.Networks()))
			}
			var err error
			if q.assurance, err = parseAssurance("--assurance", assurance); err != nil {
				return err
			}
			q.who, q.org, q.network = person, policies.OrgID(org), policies.Network(network)
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.checkParty(ctx, h, args[0], q, xml) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&person, "person", "", "who would log in: id, or with --org the staff number")
	f.StringVar(&org, "org", "", orgFlagText)
	f.StringVar(&network, "network", "", "from where: internet, lgwan, government (default: from where the person gets in)")
	f.BoolVar(&xml, "xml", false, "for SAML: show the response, which is good for nothing")
	f.StringVar(&assurance, "assurance", "card", "how the person would prove themselves: "+assuranceWords())
	return cmd
}

// claimView is a claim that would be sent, or wouldn't.
type claimView struct {
	Scope     string             `json:"scope"`
	Attribute policies.Attribute `json:"attribute"`
	Claims    map[string]any     `json:"claims,omitempty"` // with their values, as they would be sent
	Sent      bool               `json:"sent"`             // once the person is in
	Because   policies.Text      `json:"because"`
	Policies  []string           `json:"policies,omitempty"`
}

// rpCheck is the --json answer of rp check.
type rpCheck struct {
	ID       policies.RelyingPartyID `json:"id"`
	OK       bool                    `json:"ok"` // no finding is an error
	Findings []registration.Finding  `json:"findings"`
	Login    *why.Answer             `json:"login,omitempty"`
	Subject  string                  `json:"subject,omitempty"` // how sub comes about
	Claims   []claimView             `json:"claims,omitempty"`
	Answer   *answerView             `json:"saml,omitempty"` // what a SAML party would be sent
}

func (e *env) checkParty(ctx context.Context, h *boot.Hub, id string, q whyQuestion, xml bool) error {
	if _, _, err := e.workspace(ctx, h, policies.ActionPartyRead); err != nil {
		return err
	}
	p, err := partyOf(ctx, h, id)
	if err != nil {
		return err
	}
	if xml && p.saml == nil {
		return boot.Usage(fmt.Errorf("--xml: %s speaks OpenID", p.id()))
	}
	around, err := surroundings(ctx, h, p)
	if err != nil {
		return err
	}
	doc := rpCheck{ID: p.id(), Findings: p.review(around)}
	doc.OK = !registration.Failed(doc.Findings)
	if doc.Findings == nil {
		doc.Findings = []registration.Finding{}
	}
	if q.who != "" {
		if err := e.dryLogin(ctx, h, p, q, &doc); err != nil {
			return err
		}
		if doc.Answer != nil && !xml {
			doc.Answer.XML = ""
		}
	}
	if e.json {
		err = e.printJSON("musubi.rp-check.v1", doc)
	} else {
		e.tellCheck(p, doc, xml)
	}
	if err == nil && !doc.OK {
		err = boot.Refused(errShown)
	}
	return err
}

// dryLogin tells what would happen, by what the login itself asks and sends.
func (e *env) dryLogin(ctx context.Context, h *boot.Hub, p relyingParty, q whyQuestion, doc *rpCheck) error {
	q.party = p.id()
	g, err := e.gather(ctx, h, q)
	if err != nil {
		return err
	}
	a, err := g.best(ctx, q.network, g.parties[0])
	if err != nil {
		return err
	}
	doc.Login = &a
	if len(g.base.Posts) == 0 {
		return nil
	}
	post := g.base.Posts[0]
	for _, x := range g.base.Posts {
		if x.Org.ID == a.Org || len(a.Choice) > 0 && x.Org.ID == a.Choice[0] {
			post = x
			break
		}
	}
	doc.Subject = fmt.Sprintf("pairwise, sector %s", p.sector())
	enters := a.Enters || a.Cause.Proof()
	if p.saml != nil {
		doc.Answer, err = answerFor(ctx, h, *p.saml, post, a.Network, q.assurance, enters)
		return err
	}
	doc.Claims, err = claimsFor(h.Engine, *p.oidc, post, enters)
	return err
}

// claimsFor tells of each attribute whether the party would be told it of somebody in a post.
func claimsFor(engine *policies.Engine, p party.Party, post access.Actor, enters bool) (all []claimView, err error) {
	released, _, err := engine.Release(post.Policy(), p.Policy())
	if err != nil {
		return nil, err
	}
	for _, a := range policies.Attributes() {
		x, err := engine.ExplainRelease(post.Policy(), p.Policy(), a)
		if err != nil {
			return nil, err
		}
		v := claimView{Scope: oidcop.ScopeOf(a), Attribute: a, Policies: x.Decision.Policies}
		claims := oidcop.Claims([]string{v.Scope}, []policies.Attribute{a}, post.Person, post.Org)
		registered, told := slices.Contains(p.Scopes, v.Scope), slices.Contains(released, a)
		v.Sent = enters && registered && told && len(claims) > 0
		switch {
		case !told:
			v.Because = withheld(x)
		case !registered:
			v.Because = policies.Text{JA: "scope " + v.Scope + " が登録されていない", EN: "the scope " + v.Scope + " isn't registered"}
		case len(claims) == 0:
			v.Because = notKnown
		case !enters:
			v.Because = notEntered
		default:
			v.Claims, v.Because = claims, releasedBy(x)
		}
		all = append(all, v)
	}
	return all, nil
}

// The reasons why something isn't told, or is.
var (
	notKnown   = policies.Text{JA: "名簿に値がない", EN: "the directory doesn't know it"}
	notEntered = policies.Text{JA: "この人は入れない", EN: "the person doesn't enter"}
)

func releasedBy(x policies.Explanation) policies.Text {
	ids := strings.Join(x.Decision.Policies, ", ")
	return policies.Text{JA: "方針 " + ids, EN: "by the policy " + ids}
}

// withheld says why the policies don't release something.
func withheld(x policies.Explanation) policies.Text {
	if len(x.Decision.Policies) > 0 {
		ids := strings.Join(x.Decision.Policies, ", ")
		return policies.Text{JA: "方針 " + ids + " が禁じている", EN: "the policy " + ids + " forbids it"}
	}
	if text := x.Closest(); text != (policies.Text{}) {
		return text
	}
	return policies.Text{JA: "許可する方針がない", EN: "no policy releases it"}
}

func (e *env) tellFindings(all []registration.Finding) {
	for _, f := range all {
		mark := "注意 / warning"
		if f.Severity == registration.Wrong {
			mark = "誤り / error"
		}
		say(e.stdout, "%s  [%s] %s\n  %s", mark, f.Code, oneLine(f.Says.JA, 1000), oneLine(f.Says.EN, 1000))
	}
}

func (e *env) tellCheck(p relyingParty, doc rpCheck, xml bool) {
	say(e.stdout, "%s (%s)", p.id(), oneLine(p.name(), 200))
	e.tellFindings(doc.Findings)
	if len(doc.Findings) == 0 {
		say(e.stdout, "登録に問題はありません。 / Nothing is wrong with the registration.")
	}
	if doc.Login == nil {
		return
	}
	mark := "×"
	if doc.Login.Enters {
		mark = "○"
	}
	say(e.stdout, "\nログインの試算 / dry login\n%s %s\n  %s", mark, oneLine(doc.Login.Sentence.JA, 2000), oneLine(doc.Login.Sentence.EN, 2000))
	if doc.Answer != nil {
		e.tellAnswer(*doc.Answer, xml)
		return
	}
	if doc.Login.Enters {
		say(e.stdout, "acr %s\nsub %s", doc.Login.ACR, doc.Subject)
	}
	if len(doc.Claims) > 0 {
		say(e.stdout, "\n入ったときに伝わるもの / what is sent once they are in")
	}
	for _, c := range doc.Claims {
		if !c.Sent {
			continue
		}
		say(e.stdout, "○ %-12s %s / %s  (%s)", c.Scope, c.Attribute.Name().JA, c.Attribute.Name().EN, strings.Join(c.Policies, ", "))
		for _, name := range sorted(c.Claims) {
			say(e.stdout, "    %s = %s", name, oneLine(fmt.Sprint(c.Claims[name]), 300))
		}
	}
	for _, c := range doc.Claims {
		if !c.Sent {
			say(e.stdout, "× %-12s %s / %s\n    %s\n    %s", c.Scope, c.Attribute.Name().JA, c.Attribute.Name().EN, oneLine(c.Because.JA, 500), oneLine(c.Because.EN, 500))
		}
	}
}
