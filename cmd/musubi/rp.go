package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/policies"
)

func newRP(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rp", Short: "ログイン先 (SaaS): 一覧、登録、確認、削除 / relying parties: list, add, check, remove", Args: cobra.NoArgs,
		Long: `ログイン先は、職員がハブでログインして入る SaaS です (SAML 2.0 の service provider か、OpenID Connect の relying party)。登録が決めるのは、
答えを返す宛先、相手の証明のしかた、求められる情報、載せる機能です。だれが入れるか、何を伝えるかは、方針が決めます (musubi policy)。
番号 (ID) は、どちらの方式でも、一つのログイン先だけのものです。登録・変更・削除はシステム管理者だけができ、監査記録に残ります。

A relying party is a SaaS that people enter by logging in at the hub: a service provider of SAML 2.0, or a relying party of OpenID Connect. Its
registration says where answers are sent, how it proves who it is, what it may ask for, and which functions it carries. Who enters, and what it is told,
the policies decide (musubi policy). An id is one party's, whatever it speaks. System administrators alone change registrations; each change is audited.

  musubi rp profiles                                     ready registrations
  musubi rp add slack --profile slack --set host=example.slack.com --as planner.cred
  musubi rp add wiki --metadata wiki.xml --function documents --as planner.cred
  musubi rp show slack --as planner.cred                 with what has to be entered at the other side
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

func newRPList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "ログイン先の一覧 / list the relying parties", Args: cobra.NoArgs,
		Long:    "番号の順に並べます。 / Ordered by id.",
		Example: "  musubi rp list --as planner.cred\n  musubi rp list --json --as planner.cred",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if _, _, err := e.workspace(ctx, h, policies.ActionPartyRead); err != nil {
					return err
				}
				list, err := partiesOf(ctx, h)
				if err != nil {
					return err
				}
				if e.json {
					doc := struct {
						Parties []rpView `json:"relying_parties"`
					}{[]rpView{}}
					for _, p := range list {
						doc.Parties = append(doc.Parties, p.view(h.Now().UnixMicro()))
					}
					return e.printJSON("musubi.rps.v1", doc)
				}
				if len(list) == 0 {
					say(e.stdout, "ログイン先はまだ登録されていません。 / No relying party is registered yet: musubi rp profiles, musubi rp add")
					return nil
				}
				c := newColumns("ID", "方式 / PROTOCOL", "名前 / NAME", "ネットワーク / NETWORKS", "機能 / FUNCTIONS", "利用席 / SEATS", "証明 / AUTH", "確認 / LEAST")
				for _, p := range list {
					rp := p.policy()
					c.row(string(rp.ID), string(p.protocol()), p.name(), joined(rp.Networks), joined(rp.Functions), joined(rp.Products), p.auth(), registration.LevelName(p.least()))
				}
				c.print(e.stdout)
				return nil
			})
		},
	}
}

func newRPShow(e *env) *cobra.Command {
	var certificate bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "一つのログイン先を見る / one relying party", Args: cobra.ExactArgs(1),
		Long: `rp add --from で読める形 (YAML) で表示します。シークレットは、だれにも見えません。相手の側に入れる値 (SAML では証明書も) も示します。
--certificate は、署名の証明書だけを PEM で書きます: 今のもの、次のもの (公開されていれば) の順です。
Written as rp add --from reads it (YAML). Nobody can see a secret. What the other side has to be told, for SAML with the certificates, stands in the
comments. --certificate writes the signing certificates alone, in PEM: that of today, then the next one where it is published.`,
		Example: "  musubi rp show jira --as planner.cred\n  musubi rp show jira --as planner.cred > jira.yaml\n" +
			"  musubi rp show slack --certificate --as planner.cred > hub.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if _, _, err := e.workspace(ctx, h, policies.ActionPartyRead); err != nil {
					return err
				}
				p, err := partyOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				return e.showParty(ctx, h, p, certificate)
			})
		},
	}
	cmd.Flags().BoolVar(&certificate, "certificate", false, "for SAML: the signing certificates alone, in PEM")
	return cmd
}

func (e *env) showParty(ctx context.Context, h *boot.Hub, p relyingParty, certificate bool) error {
	at := h.Now().UnixMicro()
	doc := p.view(at)
	if p.saml != nil {
		own, err := ownSide(ctx, h, *p.saml)
		if err != nil {
			return err
		}
		doc.Hub = &own
	}
	switch {
	case certificate && p.saml == nil:
		return boot.Usage(fmt.Errorf("--certificate: %s speaks OpenID, whose keys are fetched from the issuer", p.id()))
	case certificate && len(doc.Hub.Certificates) == 0:
		return boot.Refused(errNoCertificates)
	case e.json:
		return e.printJSON("musubi.rp.v1", doc)
	case certificate:
		for _, c := range doc.Hub.Certificates {
			if c.State != string(keys.Retired) {
				say(e.stdout, "%s", strings.TrimSuffix(c.PEM, "\n"))
			}
		}
		return nil
	}
	if err := e.tellOtherSide(ctx, h, p, "# "); err != nil {
		return err
	}
	for _, s := range doc.Secrets {
		say(e.stdout, "# シークレット / secret: %s", secretLine(s))
	}
	text, err := registration.Write(p.registration())
	if err != nil {
		return err
	}
	say(e.stdout, "%s", strings.TrimSuffix(string(text), "\n"))
	return nil
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

func newRPProfiles(e *env) *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use: "profiles [NAME]", Short: "登録のひな形 / ready registrations", Args: cobra.MaximumNArgs(1),
		Long: `ひな形の一覧か、一つの中身を示します。ひな形の {名前} には、rp add の --set 名前=値 で値を入れます。
Lists the ready registrations, or shows one. Its {gaps} are filled by --set NAME=VALUE of rp add. --schema prints the JSON schema of registration files.`,
		Example: "  musubi rp profiles\n  musubi rp profiles slack\n  musubi rp profiles --schema > registration.schema.json",
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
				say(e.stdout, "%-22s %-5s %s / %s", p.Name, p.Party.Speaks(), p.Title.JA, p.Title.EN)
				if len(args) == 0 {
					continue
				}
				say(e.stdout, "\n%s\n%s\n", p.Note.JA, p.Note.EN)
				if p.Ends.JA != "" {
					say(e.stdout, "%s\n%s\n", p.Ends.JA, p.Ends.EN)
				}
				for _, x := range p.Enter {
					say(e.stdout, "相手に入れる / enter there: %s <- %s", x.At, x.Put)
				}
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
				if err := p.remove(ctx, h, actor, why); err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.rp-removed.v1", struct {
						ID policies.RelyingPartyID `json:"id"`
					}{p.id()})
				}
				say(e.stdout, "削除しました / removed %s (%s)", p.id(), p.name())
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
