package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

func newRP(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rp", Short: "ログイン先 (SaaS): 一覧、登録、確認、削除 / relying parties: list, add, check, remove", Args: cobra.NoArgs,
		Long: `ログイン先 (OpenID Connect の relying party) は、職員がハブでログインして入る SaaS です。登録が決めるのは、答えを返す宛先 (戻り先)、相手の
証明のしかた、求められる情報、載せる機能です。だれが入れるか、何を伝えるかは、方針が決めます (musubi policy)。
登録・変更・削除はシステム管理者だけができ、監査記録に残ります。

A relying party is a SaaS that people enter by logging in at the hub (OpenID Connect). Its registration says where answers are sent, how it proves who
it is, what it may ask for, and which functions it carries. Who enters, and what it is told, the policies decide (musubi policy).
System administrators alone change registrations; each change is audited.

  musubi rp profiles                                     ready registrations
  musubi rp add jira --profile atlassian-portal --set host=jira.example.jp --jwks jira.json --as planner.cred
  musubi rp check jira --org 011002 --person S00001 --as planner.cred     a dry login`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRPList(e), newRPShow(e), newRPProfiles(e), newRPAdd(e), newRPCheck(e), newRPSecret(e), newRPMetadata(e), newRPRemove(e))
	return cmd
}

// workspace gives the acting person's right over the whole workspace, or refuses.
func (e *env) workspace(ctx context.Context, h *boot.Hub, action policies.Action) (policies.Scope, access.Actor, error) {
	scope, actor, err := e.scope(ctx, h, action)
	if err == nil && !scope.All() {
		err = fmt.Errorf("%s: %w: relying parties are the whole workspace's; ask a system administrator", action, identity.ErrRefused)
	}
	return scope, actor, err
}

// partyOf reads one relying party. An id that there isn't comes with those that may have been meant.
func partyOf(ctx context.Context, h *boot.Hub, id string) (party.Party, error) {
	if policies.RelyingPartyID(id) == party.HubID {
		return party.Party{}, boot.Refused(fmt.Errorf("%s: the hub's own pages aren't registered; they are there wherever login is served (musubi config show)", id))
	}
	p, err := h.Parties.Party(ctx, h.DB.Reader(), policies.RelyingPartyID(id))
	if !errors.Is(err, identity.ErrNotFound) {
		return p, err
	}
	all, lerr := h.Parties.List(ctx)
	if lerr != nil {
		return p, lerr
	}
	var known []string
	for _, o := range all {
		known = append(known, string(o.ID))
	}
	if near := config.Near(id, known); len(near) > 0 {
		return p, fmt.Errorf("relying party %q: %w: did you mean %s?", oneLine(id, 80), identity.ErrNotFound, strings.Join(near, ", "))
	}
	return p, fmt.Errorf("relying party %q: %w: `musubi rp list` shows those that there are", oneLine(id, 80), identity.ErrNotFound)
}

// rpView is a relying party in --json answers: as a file for rp add, with what a file can't hold.
type rpView struct {
	registration.Registration
	Reached []policies.Network `json:"reached"` // where people log in
	Secrets []secretView       `json:"secrets,omitempty"`
}

type secretView struct {
	Until  string `json:"until,omitempty"` // JST; empty: until it is replaced
	Counts bool   `json:"counts"`
}

func viewParty(p party.Party, at int64) rpView {
	v := rpView{Registration: registration.Of(p), Reached: p.Policy().Networks}
	if v.Reached == nil {
		v.Reached = []policies.Network{}
	}
	for _, s := range p.Secrets {
		x := secretView{Counts: s.Until == 0 || at < s.Until}
		if s.Until != 0 {
			x.Until = showTime(time.UnixMicro(s.Until))
		}
		v.Secrets = append(v.Secrets, x)
	}
	return v
}

func newRPList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "ログイン先の一覧 / list the relying parties", Args: cobra.NoArgs,
		Long:    "番号 (client_id) の順に並べます。 / Ordered by id (client_id).",
		Example: "  musubi rp list --as planner.cred\n  musubi rp list --json --as planner.cred",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if _, _, err := e.workspace(ctx, h, policies.ActionPartyRead); err != nil {
					return err
				}
				list, err := h.Parties.List(ctx)
				if err != nil {
					return err
				}
				if e.json {
					doc := struct {
						Parties []rpView `json:"relying_parties"`
					}{[]rpView{}}
					for _, p := range list {
						doc.Parties = append(doc.Parties, viewParty(p, h.Now().UnixMicro()))
					}
					return e.printJSON("musubi.rps.v1", doc)
				}
				if len(list) == 0 {
					say(e.stdout, "ログイン先はまだ登録されていません。 / No relying party is registered yet: musubi rp profiles, musubi rp add")
					return nil
				}
				c := newColumns("ID", "名前 / NAME", "ネットワーク / NETWORKS", "機能 / FUNCTIONS", "利用席 / SEATS", "証明 / AUTH", "確認 / LEAST")
				for _, p := range list {
					rp := p.Policy()
					c.row(string(p.ID), p.Name, joined(rp.Networks), joined(rp.Functions), joined(rp.Products), string(p.Auth), registration.LevelName(p.Least))
				}
				c.print(e.stdout)
				return nil
			})
		},
	}
}

func newRPShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "一つのログイン先を見る / one relying party", Args: cobra.ExactArgs(1),
		Long: `rp add --from で読める形 (YAML) で表示します。シークレットは、だれにも見えません。相手の側に入れる値も示します。
Written as rp add --from reads it (YAML). Nobody can see a secret. What the other side has to be told stands in the comments.`,
		Example: "  musubi rp show jira --as planner.cred\n  musubi rp show jira --as planner.cred > jira.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if _, _, err := e.workspace(ctx, h, policies.ActionPartyRead); err != nil {
					return err
				}
				p, err := partyOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.rp.v1", viewParty(p, h.Now().UnixMicro()))
				}
				e.tellOtherSide(h, p, "# ")
				for _, s := range viewParty(p, h.Now().UnixMicro()).Secrets {
					say(e.stdout, "# シークレット / secret: %s", secretLine(s))
				}
				text, err := registration.Write(registration.Of(p))
				if err != nil {
					return err
				}
				say(e.stdout, "%s", strings.TrimSuffix(string(text), "\n"))
				return nil
			})
		},
	}
}

func secretLine(s secretView) string {
	switch {
	case s.Until == "":
		return "無期限 / without an end"
	case s.Counts:
		return "期限 / until " + s.Until
	}
	return "期限切れ / expired " + s.Until
}

// tellOtherSide says what the relying party's own configuration needs.
func (e *env) tellOtherSide(h *boot.Hub, p party.Party, lead string) {
	say(e.stdout, "%s相手に入れる値 / for the other side: client_id %s, 認証 / authentication %s, 署名 / signatures %s", lead, p.ID, p.Auth, p.Alg)
	for _, f := range p.Faces {
		g := h.Config.Gates[f.Network]
		if g == nil {
			say(e.stdout, "%s  %-10s (ログインの受付がまだありません / no login is served there yet)", lead, f.Network)
			continue
		}
		say(e.stdout, "%s  %-10s issuer https://%s  discovery https://%s/.well-known/openid-configuration", lead, f.Network, g.LoginHost, g.LoginHost)
	}
}

func newRPProfiles(e *env) *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use: "profiles [NAME]", Short: "登録のひな形 / ready registrations", Args: cobra.MaximumNArgs(1),
		Long: `ひな形の一覧か、一つの中身を示します。ひな形の {名前} には、rp add の --set 名前=値 で値を入れます。
Lists the ready registrations, or shows one. Its {gaps} are filled by --set NAME=VALUE of rp add. --schema prints the JSON schema of registration files.`,
		Example: "  musubi rp profiles\n  musubi rp profiles atlassian-portal\n  musubi rp profiles --schema > registration.schema.json",
		RunE: func(_ *cobra.Command, args []string) error {
			if schema {
				say(e.stdout, "%s", strings.TrimSuffix(string(registration.Schema), "\n"))
				return nil
			}
			all, err := registration.Profiles()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				p, err := registration.Find(args[0])
				if err != nil {
					return boot.Usage(err)
				}
				all = []registration.Profile{p}
			}
			if e.json {
				return e.printJSON("musubi.rp-profiles.v1", struct {
					Profiles []registration.Profile `json:"profiles"`
				}{all})
			}
			for _, p := range all {
				say(e.stdout, "%s  %s / %s", p.Name, p.Title.JA, p.Title.EN)
				if len(args) == 0 {
					continue
				}
				say(e.stdout, "\n%s\n%s\n", p.Note.JA, p.Note.EN)
				for _, gap := range sorted(p.Asks) {
					say(e.stdout, "--set %s=...  %s", gap, p.Asks[gap])
				}
				text, err := registration.Write(p.In(nil))
				if err != nil {
					return err
				}
				say(e.stdout, "\n%s", strings.TrimSuffix(string(text), "\n"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of registration files")
	return cmd
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

func newRPRemove(e *env) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "remove ID --why TEXT", Short: "ログイン先を削除する / remove a relying party", Args: cobra.ExactArgs(1),
		Long: `登録を消します。そのログイン先へのログインも、渡したトークンも、すぐに使えなくなります。SaaS の中のアカウントはそのままです。理由は監査記録に残ります。
Takes the registration out. Logins to it, and the tokens that it was given, count no more from now on. Accounts in the SaaS stay. The reason is audited.`,
		Example: "  musubi rp remove survey --why 契約終了 --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkWhy(why); err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				_, actor, err := e.workspace(ctx, h, policies.ActionPartyWrite)
				if err != nil {
					return err
				}
				p, err := partyOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				if err := h.Parties.Remove(ctx, actor, p.ID, why, h.Now().UnixMicro()); err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.rp-removed.v1", struct {
						ID policies.RelyingPartyID `json:"id"`
					}{p.ID})
				}
				say(e.stdout, "削除しました / removed %s (%s)", p.ID, p.Name)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, kept in the audit log; without personal data")
	return cmd
}

// checkWhy refuses a reason that the audit log wouldn't keep.
func checkWhy(why string) error {
	switch {
	case strings.TrimSpace(why) == "":
		return boot.Usage(errors.New("say why: --why TEXT (without personal data: it stays in the log)"))
	case len(why) > audit.MaxReason || !utf8.ValidString(why):
		return boot.Usage(fmt.Errorf("--why: %d bytes; at most %d, in UTF-8", len(why), audit.MaxReason))
	}
	return nil
}
