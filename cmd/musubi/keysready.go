package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// seenView is the newest thing that is known of a provider and keys.
type seenView struct {
	Key     string           `json:"key"`
	At      string           `json:"at"`
	How     rollover.Kind    `json:"how"`
	Network policies.Network `json:"network,omitempty"`
	Note    string           `json:"note,omitempty"` // the program that fetched, or who says so
}

func viewSeen(s rollover.Seen) *seenView {
	if s.At == 0 {
		return nil
	}
	return &seenView{s.Key, rfc3339(s.At), s.Kind, s.Network, s.Note}
}

// placeView is where a provider finds the hub in one network.
type placeView struct {
	Network  policies.Network `json:"network"`
	EntityID string           `json:"entity_id"`
	Metadata string           `json:"metadata"`
}

// standingView is how a relying party stands towards the next key.
type standingView struct {
	ID       policies.RelyingPartyID `json:"id"`
	Name     string                  `json:"name"`
	Owner    policies.OrgID          `json:"owner,omitempty"`
	Intake   sp.Intake               `json:"intake,omitempty"`
	State    rollover.State          `json:"state"`
	Reason   rollover.Reason         `json:"reason"`
	Network  policies.Network        `json:"network,omitempty"` // that the reason is about, where there are several
	Because  rollover.Text           `json:"because"`
	Signs    string                  `json:"signs"`              // the key by which it is answered now
	Fetched  *seenView               `json:"fetched,omitempty"`  // the metadata that it fetched last
	Accepted *seenView               `json:"accepted,omitempty"` // the key that it took last, as far as is known
	Places   []placeView             `json:"places,omitempty"`
}

// readinessView is who is ready for the next key of a purpose.
type readinessView struct {
	Purpose keys.Purpose   `json:"purpose"`
	Active  string         `json:"active"`
	Next    string         `json:"next"`
	From    string         `json:"from"`  // the next key may sign from then on
	Early   bool           `json:"early"` // and that isn't yet
	Ready   bool           `json:"ready"` // everybody is
	Parties []standingView `json:"parties"`
	Letters []string       `json:"letters,omitempty"` // files
}

func viewReadiness(r rollover.Report) readinessView {
	v := readinessView{
		Purpose: r.Purpose, Active: r.Active.ID, Next: r.Next.ID, From: rfc3339(r.From), Early: r.Early(), Ready: len(r.Waiting()) == 0, Parties: []standingView{},
	}
	for _, s := range r.Standings {
		v.Parties = append(v.Parties, standingView{
			ID: s.ID, Name: s.Name, Owner: s.Owner, Intake: s.Intake, State: s.State, Reason: s.Reason, Network: s.Network, Because: s.Reason.Text(), Signs: s.Signs,
			Fetched: viewSeen(s.Fetched), Accepted: viewSeen(s.Accepted),
		})
	}
	return v
}

var stateNames = map[rollover.State]string{rollover.Late: "未了 / late", rollover.Unknown: "不明 / unknown", rollover.Ready: "完了 / ready"}

// keyName says which of the three a key is, in the words of keys list.
func keyName(r rollover.Report, id string) string {
	switch id {
	case "":
		return "-"
	case r.Next.ID:
		return "次 / next"
	case r.Active.ID:
		return "今 / active"
	}
	return fmt.Sprintf("旧 / old %.8s", id)
}

// showReadiness prints a report for people. names are those of organizations.
func (e *env) showReadiness(r rollover.Report, names map[policies.OrgID]string) {
	say(e.stdout, "%s: 今の鍵 / active %s  次の鍵 / next %s", r.Purpose, r.Active.ID, r.Next.ID)
	if r.Early() {
		say(e.stdout, "次の鍵が署名できるのは %s からです (公開期間)。 / The next key may sign from then on: it is published until then.", rfc3339(r.From))
	}
	if len(r.Standings) == 0 {
		say(e.stdout, "この鍵を確かめる相手は登録されていません。 / No relying party verifies by this key.")
		return
	}
	c := newColumns("ID", "組織 / ORG", "状態 / STATE", "署名 / SIGNS", "最後の取得 / FETCHED", "最後の受入 / ACCEPTED")
	for _, s := range r.Standings {
		c.row(string(s.ID), orgName(names, s.Owner), stateNames[s.State], keyName(r, s.Signs), seenLine(r, s.Fetched), seenLine(r, s.Accepted))
	}
	c.print(e.stdout)
	ready := len(r.Standings) - len(r.Waiting())
	say(e.stdout, "準備完了 / ready: %s / %s", group(ready), group(len(r.Standings)))
	for _, o := range rollover.ByOwner(r.Waiting()) {
		say(e.stdout, "%s", orgName(names, o.Org))
		for _, s := range o.Standings {
			network := ""
			if s.Network != "" {
				network = " (" + string(s.Network) + ")"
			}
			say(e.stdout, "  %s %s: %s%s / %s", s.ID, s.Name, s.Reason.Text().JA, network, s.Reason.Text().EN)
		}
	}
}

func seenLine(r rollover.Report, s rollover.Seen) string {
	if s.At == 0 {
		return "-"
	}
	return fmt.Sprintf("%s %.10s", keyName(r, s.Key), rfc3339(s.At))
}

func orgName(names map[policies.OrgID]string, id policies.OrgID) string {
	switch {
	case id == "":
		return "(組織の登録なし / no organization)"
	case names[id] != "":
		return string(id) + " " + names[id]
	}
	return string(id)
}

// ownerNames reads the names of organizations that own relying parties, as far as the acting person may see them.
func (e *env) ownerNames(ctx context.Context, h *boot.Hub, r rollover.Report) (map[policies.OrgID]string, error) {
	names := map[policies.OrgID]string{}
	scope, _, err := e.scope(ctx, h, policies.ActionOrgRead)
	if isRefusal(err) {
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	for _, s := range r.Standings {
		if _, done := names[s.Owner]; done || s.Owner == "" {
			continue
		}
		o, err := h.Directory.Organization(ctx, scope, s.Owner)
		if err != nil && !isRefusal(err) {
			return nil, err
		}
		names[s.Owner] = o.Name // "" where it isn't there: the number is shown
	}
	return names, nil
}

// readiness gives the report of a purpose.
func readiness(ctx context.Context, h *boot.Hub, p keys.Purpose) (rollover.Report, []rollover.Counterparty, error) {
	if _, err := h.Keys.Spec(p); err != nil {
		return rollover.Report{}, nil, err
	}
	all, err := h.Counterparties(ctx, p)
	if err != nil {
		return rollover.Report{}, nil, err
	}
	r, err := h.Rollover(p).Report(ctx, h.DB.Reader(), all, h.Now().UnixMicro())
	return r, all, err
}

func newKeysReadiness(e *env) *cobra.Command {
	var addresses bool
	var l letterFlags
	cmd := &cobra.Command{
		Use: "readiness [PURPOSE]", Short: "次の鍵への準備: だれが、どこまで / who is ready for the next key", Args: cobra.MaximumNArgs(1),
		Long: `次の鍵に替えても、どの接続先でログインが失敗しないかを示します (何も変えません)。PURPOSE は saml-rs256 (省略時)、oidc-es256、oidc-rs256、audit です。
Shows at whom a login would fail if the next key signed (changes nothing). PURPOSE is saml-rs256 (default), oidc-es256, oidc-rs256 or audit.

  完了 / ready     次の鍵の署名を受け入れた、または受け入れると分かっている / it took what the next key signed, or is known to take it
  未了 / late      受け入れない / it wouldn't
  不明 / unknown   分からない (未了と同じに扱う) / nothing is known (counts as late)

分かること、分からないこと / what is known, and what isn't:
  * 専用のアドレス (--addresses) から取得すれば、だれが読んだか分かります。読んだだけでは使っている証拠にならないので、自分で読み直す相手
    (intake: metadata) だけが、取得から 6 時間で「完了」になります。取得から 7 日を過ぎると、また「未了」です。
    A fetch at a provider's own address is known to be its own. Reading proves no use: it counts only for a provider that is registered to read by
    itself (intake: metadata), six hours later and for seven days.
  * 手で証明書を入れる相手は、ログアウトの応答、試しのログイン (keys rehearse, keys accepted)、管理者の言葉 (keys accepted --told) で「完了」になります。
    One where a person enters certificates is ready after a logout message, a rehearsal, or an administrator's word.
  * OpenID Connect の相手は、知らない鍵を見ると自分で取りに来ます。だれが取ったかは分かりません。
    An OpenID relying party fetches keys that it doesn't know by itself; which one did isn't known.`,
		Example: "  musubi keys readiness --as planner.cred\n  musubi keys readiness --addresses --as planner.cred\n" +
			"  musubi keys readiness --letters letters --from '統合基盤係 内線 1234' --by 2027-01-31 --as planner.cred\n  musubi keys readiness oidc-es256 --json --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.check(); err != nil {
				return err
			}
			p := samlidp.Purpose
			if len(args) == 1 {
				p = keys.Purpose(args[0])
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if _, _, err := e.workspace(ctx, h, policies.ActionPartyRead); err != nil {
					return err
				}
				if addresses || l.dir != "" {
					if err := h.Unseal(ctx); err != nil {
						return err
					}
				}
				r, _, err := readiness(ctx, h, p)
				if err != nil {
					return err
				}
				return e.tellReadiness(ctx, h, r, addresses, l)
			})
		},
	}
	cmd.Flags().BoolVar(&addresses, "addresses", false, "show each provider's own address of our metadata (takes the sealing key)")
	l.add(cmd)
	return cmd
}

func (e *env) tellReadiness(ctx context.Context, h *boot.Hub, r rollover.Report, addresses bool, l letterFlags) error {
	names, err := e.ownerNames(ctx, h, r)
	if err != nil {
		return err
	}
	v := viewReadiness(r)
	if v.Letters, err = l.write(ctx, h, r, names, false); err != nil {
		return err
	}
	if addresses {
		for i, s := range r.Standings {
			places, err := h.Places(s.Counterparty)
			if err != nil {
				return err
			}
			for _, p := range places {
				v.Parties[i].Places = append(v.Parties[i].Places, placeView(p))
			}
		}
	}
	if e.json {
		return e.printJSON("musubi.keys.readiness.v1", v)
	}
	e.showReadiness(r, names)
	for _, s := range v.Parties {
		for _, p := range s.Places {
			say(e.stdout, "%s  %s  %s", s.ID, p.Network, p.Metadata)
		}
	}
	e.sayLetters(v.Letters)
	return nil
}

func (e *env) sayLetters(files []string) {
	if len(files) > 0 {
		say(e.stdout, "手紙を書きました / letters written: %s", strings.Join(files, ", "))
	}
}
