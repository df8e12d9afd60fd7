package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity/login/why"
	"github.com/musubi-hub/musubi/policies"
)

func newWhy(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "why", Short: "なぜ入れるか、なぜ入れないかを一文で / why somebody can log in or can't, in one sentence", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newWhyLogin(e))
	return cmd
}

func newWhyLogin(e *env) *cobra.Command {
	var q whyQuestion
	var org, rp, network, day, assurance string
	cmd := &cobra.Command{
		Use:   "login PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "この人はログインできるか、できないなら何が足りないか / can this person log in, and if not, what is missing",
		Long: `この人がログイン先 (SaaS) に入れるかを、一文で示します。入れないときは、足りないものを一つと、どうすればよいかを示します。
判断は、ログインのときと同じものです。--rp を省くと、すべてのログイン先を一行ずつ示します。
--network を省くと、入れるネットワークがあればそこから、なければ最も近いところからの答えです。
--at は先の日付で、登録済みの異動を反映します。カードの状態は、いまのものです。
その人の情報を見る権限が必要です。終了コードは、入れても入れなくても 0 です。

Tells in one sentence whether the person can log in to a relying party; if not, the one thing that is missing and what to do about it.
It decides by the very rules of the login itself. Without --rp every relying party has its line. Without --network the answer is for a network from
which the person gets in, or else for the one from where they come closest. --at takes a day to come, with the planned transfers applied;
cards are as they stand today. It takes the right to see the person's data. The exit code is 0 whatever the answer is.`,
		Example: "  musubi why login --org 011002 S00001 --rp jira --as planner.cred\n" +
			"  musubi why login pabc... --network lgwan --as planner.cred\n" +
			"  musubi why login pabc... --rp jira --at 令和9年4月1日 --json --as planner.cred",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.party, q.network, q.who, q.org = policies.RelyingPartyID(rp), policies.Network(network), args[0], policies.OrgID(org)
			if network != "" && !slices.Contains(policies.Networks(), q.network) {
				return boot.Usage(fmt.Errorf("--network %q: write one of %q", network, policies.Networks()))
			}
			var err error
			if q.assurance, err = parseAssurance("--assurance", assurance); err != nil {
				return err
			}
			if day != "" {
				at, err := parseDay("--at", day)
				if err != nil {
					return err
				}
				if at < e.now().UnixMicro()-24*time.Hour.Microseconds() {
					return boot.Usage(fmt.Errorf("--at %s: is past; what was then is in the audit log (musubi audit find)", day))
				}
				if at > e.now().UnixMicro() {
					q.at = at
				}
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.whyLogin(ctx, h, q) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&org, "org", "", orgFlagText)
	f.StringVar(&rp, "rp", "", "id of the relying party (musubi rp list); without it all of them")
	f.StringVar(&network, "network", "", "from where the person comes: internet, lgwan, government")
	f.StringVar(&day, "at", "", "a day to come, e.g. 2027-04-01 or 令和9年4月1日; without it now")
	f.StringVar(&assurance, "assurance", "card", "how the person proves themselves: "+assuranceWords())
	return cmd
}

func assuranceWords() string { return "card, aal2, aal1, identifier, or an acr value" }

func parseAssurance(flag, word string) (policies.Assurance, error) {
	if a, ok := registration.Levels()[word]; ok {
		return a, nil
	}
	if a, ok := policies.AssuranceOf(word); ok {
		return a, nil
	}
	return 0, boot.Usage(fmt.Errorf("%s %q: write one of %s", flag, word, assuranceWords()))
}

// whyDocument is the --json answer of why login.
type whyDocument struct {
	Person  policies.PersonID `json:"person,omitempty"`
	At      time.Time         `json:"at"`
	Answers []why.Answer      `json:"answers"`
}

func (e *env) whyLogin(ctx context.Context, h *boot.Hub, q whyQuestion) error {
	g, err := e.gather(ctx, h, q)
	if err != nil {
		return err
	}
	doc := whyDocument{Person: g.base.Person.ID, At: time.UnixMicro(g.base.At).UTC(), Answers: []why.Answer{}}
	for _, p := range g.parties {
		a, err := g.best(ctx, q.network, p)
		if err != nil {
			return err
		}
		doc.Answers = append(doc.Answers, a)
	}
	if e.json {
		return e.printJSON("musubi.why-login.v1", doc)
	}
	for i, a := range doc.Answers {
		mark := "×"
		if a.Enters {
			mark = "○"
		}
		if i > 0 {
			say(e.stdout, "")
		}
		say(e.stdout, "%s %s\n  %s", mark, oneLine(a.Sentence.JA, 2000), oneLine(a.Sentence.EN, 2000))
	}
	return nil
}

// whyQuestion is what was asked.
type whyQuestion struct {
	who       string
	org       policies.OrgID // empty: who is an id
	party     policies.RelyingPartyID
	network   policies.Network
	assurance policies.Assurance
	at        int64 // 0: now
}
