package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

func newRPMetadata(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "metadata", Short: "SAML のメタデータ: 取得元、違いの確認、期限 / SAML metadata: sources, differences, what ends soon", Args: cobra.NoArgs,
		Long: `SAML のログイン先は、宛先や鍵をメタデータという XML で公開します。ハブは、決めたアドレスから毎日読み直し、登録との違いを示します。違いは、人が確かめて受け入れるまで、
何にも効きません。受け入れるときは、見た内容のハッシュを書きます。見たあとで入れ替わったものは受け入れられません。

 1. 取得元を決める    musubi rp metadata source jira --address https://... --signer signer.pem
 2. 違いを見る        musubi rp metadata show jira
 3. 相手に確かめて、受け入れるか断る

署名者の証明書を固定 (--signer) すると、その署名のあるものだけを読みます。固定しなければ TLS だけで読みますが、違いはどれも人が確かめます。
取得に失敗しても、期限が切れても、受け入れた内容でログインは続きます。期限 (証明書とメタデータ) の 90、30、7 日前に管理者へ知らせます。

A SAML service provider publishes its addresses and keys as an XML document, its metadata. The hub reads it anew each day from the address that you
set, and shows how it differs from the registration. A difference counts for nothing until a person accepts it, naming the hash of what was
seen: what was swapped in between isn't accepted. With a pinned signer (--signer) only what that one signed is read; without, TLS is all there is, and a
person looks at every difference. Where fetching fails, or metadata expires, logins go on with what was accepted. Administrators are told 90, 30 and 7
days before a certificate or metadata ends.`,
		Example: "  musubi rp metadata list --as planner.cred\n  musubi rp metadata fetch jira --as planner.cred\n  musubi rp metadata accept jira 5f2c0a9b31de --as planner.cred",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMetadataList(e), newMetadataShow(e), newMetadataSource(e), newMetadataFetch(e), newMetadataDiff(e), newMetadataAccept(e), newMetadataReject(e))
	return cmd
}

// publishedOf gives what is known of a provider's metadata. An id that there isn't comes with those that may have been meant.
func publishedOf(ctx context.Context, h *boot.Hub, id string) (sp.Overview, error) {
	o, err := h.Metadata.Of(ctx, policies.RelyingPartyID(id))
	if !errors.Is(err, identity.ErrNotFound) {
		return o, err
	}
	if _, perr := h.Parties.Party(ctx, h.DB.Reader(), policies.RelyingPartyID(id)); perr == nil {
		return o, boot.Refused(fmt.Errorf("%s: OpenID Connect のログイン先には SAML のメタデータがありません / an OpenID Connect relying party has no SAML metadata", id))
	}
	all, lerr := h.SPs.List(ctx)
	if lerr != nil {
		return o, lerr
	}
	var known []string
	for _, p := range all {
		known = append(known, string(p.ID))
	}
	hint := "`musubi rp list` shows those that there are"
	if near := config.Near(id, known); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return o, fmt.Errorf("service provider %q: %w: %s", oneLine(id, 80), identity.ErrNotFound, hint)
}

// changeView is a difference in --json answers.
type changeView struct {
	sp.Change
	JA        string `json:"ja"`
	EN        string `json:"en"`
	WarningJA string `json:"warning_ja,omitempty"`
	WarningEN string `json:"warning_en,omitempty"`
}

// proposalView is what a document would change, in --json answers.
type proposalView struct {
	Hash       string       `json:"hash"`
	State      string       `json:"state,omitempty"`
	Stale      bool         `json:"stale"` // the registration changed since: it is made anew at the next fetch
	Document   string       `json:"document"`
	From       string       `json:"from"`
	Verified   bool         `json:"verified"` // signed by the pinned signer
	Person     bool         `json:"needs_person"`
	Changes    []changeView `json:"changes"`
	Notices    []string     `json:"notices,omitempty"`
	ValidUntil string       `json:"valid_until,omitempty"`
	CreatedAt  string       `json:"created_at,omitempty"`
	DecidedAt  string       `json:"decided_at,omitempty"`
	DecidedBy  string       `json:"decided_by,omitempty"`
	Why        string       `json:"why,omitempty"`
}

// instantText shows an instant; nothing for none.
func instantText(at int64) string {
	if at == 0 {
		return ""
	}
	return showTime(time.UnixMicro(at))
}

func viewProposal(p sp.Proposal, stale bool) *proposalView {
	v := &proposalView{
		Hash: p.Hash, State: string(p.State), Stale: stale, Document: p.Document, From: p.From, Verified: p.Verified, Person: sp.NeedsPerson(p.Changes),
		Changes: []changeView{}, Notices: p.Notices, ValidUntil: instantText(p.ValidUntil), CreatedAt: instantText(p.CreatedAt),
		DecidedAt: instantText(p.DecidedAt), DecidedBy: p.DecidedBy, Why: p.Why,
	}
	for _, c := range p.Changes {
		text, warning := c.Text(), c.Warning()
		v.Changes = append(v.Changes, changeView{c, text.JA, text.EN, warning.JA, warning.EN})
	}
	return v
}

// expiryView is what ends soon, in --json answers.
type expiryView struct {
	sp.Expiry
	Until string `json:"until"`
	Days  int    `json:"days"` // left; negative: since
}

// metadataView is what is known of a provider's metadata, in --json answers.
type metadataView struct {
	ID         policies.RelyingPartyID `json:"id"`
	Name       string                  `json:"name"`
	EntityID   string                  `json:"entity_id"`
	State      string                  `json:"state"` // current, waits, failing, unread, file
	Address    string                  `json:"address,omitempty"`
	Networks   []policies.Network      `json:"networks,omitempty"`
	Signers    []string                `json:"signers,omitempty"` // SHA-256 of their certificates
	Harmless   bool                    `json:"harmless"`          // what is harmless and signed is taken without a person
	ReadAt     string                  `json:"read_at,omitempty"`
	TriedAt    string                  `json:"tried_at,omitempty"`
	NextAt     string                  `json:"next_at,omitempty"`
	ValidUntil string                  `json:"valid_until,omitempty"`
	Why        string                  `json:"why,omitempty"`
	Error      string                  `json:"error,omitempty"`
	Fails      int                     `json:"fails,omitempty"`
	Pending    *proposalView           `json:"pending,omitempty"`
	Expiring   []expiryView            `json:"expiring"`
}

func viewMetadata(o sp.Overview, now int64) metadataView {
	s := o.Status
	v := metadataView{
		ID: o.SP.ID, Name: o.SP.Name, EntityID: o.SP.EntityID, State: "current", Address: s.Source.Address, Networks: s.Source.Networks, Harmless: s.Source.Harmless,
		ReadAt: instantText(s.ReadAt), TriedAt: instantText(s.TriedAt), NextAt: instantText(s.NextAt), ValidUntil: instantText(s.ValidUntil), Why: s.Why, Error: s.Error, Fails: s.Fails,
		Expiring: []expiryView{},
	}
	for _, der := range s.Source.Signers {
		v.Signers = append(v.Signers, sp.Fingerprint(der))
	}
	switch {
	case o.Pending != nil:
		v.State, v.Pending = "waits", viewProposal(*o.Pending, o.Stale)
	case s.Why != "":
		v.State = "failing"
	case s.Source.Address == "":
		v.State = "file"
	case s.ReadAt == 0:
		v.State = "unread"
	}
	for _, x := range sp.Expiring(o.SP, s.ValidUntil, now) {
		v.Expiring = append(v.Expiring, expiryView{x, jst.Date(x.Until), daysTo(x.Until, now)})
	}
	return v
}

// daysTo counts whole days, towards the end.
func daysTo(until, now int64) int {
	const day = int64(24 * time.Hour / time.Microsecond)
	if until < now {
		return -int((now - until) / day)
	}
	return int((until - now) / day)
}

var metadataStates = map[string]string{
	"current": "最新 / current", "waits": "確認待ち / waits", "failing": "取得できない / failing", "file": "ファイル / file", "unread": "未取得 / unread",
}

var expiryNames = map[sp.Use]string{
	sp.UseSigning: "署名の証明書 / signing certificate", sp.UseEncryption: "暗号化の証明書 / encryption certificate", sp.UseMetadata: "メタデータ / metadata",
}

func newMetadataList(e *env) *cobra.Command {
	var attention bool
	cmd := &cobra.Command{
		Use: "list", Short: "メタデータの取得元と状態の一覧 / sources of metadata and their state", Args: cobra.NoArgs,
		Long: `ログイン先ごとに、取得元、確かめ方、最後に読んだ時刻、確認を待つ違い、90 日以内に切れる期限を示します。--attention は、手当てが要るものだけです。
For each service provider: where its metadata comes from, who vouches for it, when it was read, what waits for a person, and what ends within 90 days.
--attention shows those alone about which something has to be done.`,
		Example: "  musubi rp metadata list --as planner.cred\n  musubi rp metadata list --attention --json --as planner.cred",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if _, _, err := e.workspace(ctx, h, policies.ActionPartyRead); err != nil {
					return err
				}
				all, err := h.Metadata.All(ctx)
				if err != nil {
					return err
				}
				doc := struct {
					Providers []metadataView `json:"providers"`
				}{[]metadataView{}}
				for _, o := range all {
					v := viewMetadata(o, h.Now().UnixMicro())
					if !attention || v.State == "waits" || v.State == "failing" || len(v.Expiring) > 0 {
						doc.Providers = append(doc.Providers, v)
					}
				}
				if e.json {
					return e.printJSON("musubi.rp-metadata-list.v1", doc)
				}
				e.tellMetadata(doc.Providers, len(all))
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&attention, "attention", false, "only those that wait, fail, or end soon")
	return cmd
}

func (e *env) tellMetadata(list []metadataView, all int) {
	switch {
	case all == 0:
		say(e.stdout, "SAML のログイン先はまだ登録されていません。 / No SAML service provider is registered yet: musubi rp add")
		return
	case len(list) == 0:
		say(e.stdout, "手当ての要るものはありません。 / Nothing needs attention.")
		return
	}
	c := newColumns("ID", "状態 / STATE", "署名者 / SIGNER", "読んだ時刻 / READ", "期限 / VALID UNTIL", "取得元 / SOURCE")
	for _, v := range list {
		signer := "なし / none"
		if len(v.Signers) > 0 {
			signer = "固定 / pinned"
		}
		c.row(string(v.ID), metadataStates[v.State], signer, dashed(v.ReadAt), dashed(v.ValidUntil), dashed(v.Address))
	}
	c.print(e.stdout)
	for _, v := range list {
		e.tellExpiring(v, string(v.ID)+": ")
	}
}

func dashed(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (e *env) tellExpiring(v metadataView, lead string) {
	for _, x := range v.Expiring {
		left := fmt.Sprintf("あと %d 日 / %d days left", x.Days, x.Days)
		if x.Threshold == 0 {
			left = "期限切れ / ended"
		}
		if x.Succeeded {
			left += "、次のものがあります / a successor is there"
		}
		line := fmt.Sprintf("%s期限 / ends: %s %s (%s)", lead, expiryNames[x.Use], x.Until, left)
		if x.Fingerprint != "" {
			line += "  SHA-256 " + x.Fingerprint
		}
		say(e.stdout, "%s", line)
	}
}

func newMetadataShow(e *env) *cobra.Command {
	var history int
	cmd := &cobra.Command{
		Use: "show ID", Short: "一つのログイン先のメタデータと、確認を待つ違い / one provider's metadata, and what waits", Args: cobra.ExactArgs(1),
		Long: `取得元、最後の取得、期限、確認を待つ違いを示します。--history N は、これまでの決定を新しい順に N 件示します。
Shows the source, the last fetch, what ends soon, and the differences that wait. --history N adds the last N decisions.`,
		Example: "  musubi rp metadata show jira --as planner.cred\n  musubi rp metadata show jira --history 10 --json --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if history < 0 || history > 1000 {
				return boot.Usage(fmt.Errorf("--history: %d isn't between 0 and 1000", history))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if _, _, err := e.workspace(ctx, h, policies.ActionPartyRead); err != nil {
					return err
				}
				o, err := publishedOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				doc := struct {
					metadataView
					History []*proposalView `json:"history,omitempty"`
				}{metadataView: viewMetadata(o, h.Now().UnixMicro())}
				if history > 0 {
					decided, err := h.Metadata.Decided(ctx, o.SP.ID, history)
					if err != nil {
						return err
					}
					for _, p := range decided {
						doc.History = append(doc.History, viewProposal(p, false))
					}
				}
				if e.json {
					return e.printJSON("musubi.rp-metadata.v1", doc)
				}
				e.tellProvider(doc.metadataView, h.Now().UnixMicro(), o.Status.ValidUntil)
				for _, p := range doc.History {
					say(e.stdout, "\n%s  %s  %s  %.12s  %s", p.DecidedAt, decisionNames[p.State], p.DecidedBy, p.Hash, p.Why)
					e.tellChanges(p.Changes)
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&history, "history", 0, "how many decisions to show, newest first")
	return cmd
}

var decisionNames = map[string]string{string(sp.ProposalAccepted): "受け入れ / accepted", string(sp.ProposalRejected): "却下 / rejected"}

func (e *env) tellProvider(v metadataView, now, validUntil int64) {
	say(e.stdout, "%s  %s  %s", v.ID, v.Name, v.EntityID)
	say(e.stdout, "状態 / state          %s", metadataStates[v.State])
	e.tellSource(v)
	if v.ReadAt != "" {
		say(e.stdout, "読んだ時刻 / read     %s", v.ReadAt)
	}
	if v.NextAt != "" {
		say(e.stdout, "次の取得 / next       %s", v.NextAt)
	}
	if v.ValidUntil != "" {
		say(e.stdout, "期限 / valid until    %s", v.ValidUntil)
	}
	if validUntil != 0 && validUntil <= now {
		say(e.stdout, "! メタデータの期限が切れています。受け入れた内容でログインは続きます。相手に新しいメタデータを求めてください。")
		say(e.stdout, "! The metadata has expired. Logins go on with what was accepted; ask the provider for new metadata.")
	}
	if v.Why != "" {
		say(e.stdout, "! 取得できていません / not taken (%s, %d): %s", v.Why, v.Fails, untakenText(v.Why, v.Error))
		say(e.stdout, "  受け入れた内容はそのまま有効です。 / What was accepted stays in force.")
	}
	e.tellExpiring(v, "! ")
	if v.Pending != nil {
		say(e.stdout, "")
		e.tellProposal(v.ID, *v.Pending)
	}
}

func (e *env) tellSource(v metadataView) {
	say(e.stdout, "取得元 / source       %s", dashed(v.Address))
	if len(v.Signers) == 0 && v.Address != "" {
		say(e.stdout, "署名者 / signer       固定していません。違いはどれも人が確かめます。 / none is pinned: a person looks at every difference")
	}
	for _, s := range v.Signers {
		say(e.stdout, "署名者 / signer       SHA-256 %s", s)
	}
	if v.Harmless {
		say(e.stdout, "自動 / by itself      無害で署名されたもの / what is harmless and signed")
	}
	if len(v.Networks) > 0 {
		say(e.stdout, "ネットワーク / for    %s", joined(v.Networks))
	}
}

// tellProposal shows what a document would change, and what to do.
func (e *env) tellProposal(id policies.RelyingPartyID, p proposalView) {
	vouched := "署名なし: TLS だけ / nobody signed for it: TLS alone"
	switch {
	case p.Verified:
		vouched = "固定した署名者の署名 / signed by the pinned signer"
	case p.From == "file":
		vouched = "署名なし: ファイル / nobody signed for it: a file"
	}
	say(e.stdout, "登録との違い / differences from the registration  (%s)", vouched)
	e.tellChanges(p.Changes)
	for _, n := range p.Notices {
		say(e.stdout, "  読まなかったもの / left out: %s", oneLine(n, 500))
	}
	say(e.stdout, "文書 / document SHA-256 %s", p.Document)
	if p.Stale {
		say(e.stdout, "登録がそのあと変わったので、受け入れられません。次の取得で作り直します (musubi rp metadata fetch %s)。", id)
		say(e.stdout, "The registration was changed since: it can't be accepted, and is made anew at the next fetch.")
		return
	}
	if p.State == string(sp.ProposalPending) && p.CreatedAt != "" {
		say(e.stdout, "確認待ち / waits since %s", p.CreatedAt)
		say(e.stdout, "  受け入れる / accept: musubi rp metadata accept %s %.12s --as FILE", id, p.Hash)
		say(e.stdout, "  断る / reject:       musubi rp metadata reject %s %.12s --why TEXT --as FILE", id, p.Hash)
	}
}

func (e *env) tellChanges(changes []changeView) {
	for _, c := range changes {
		mark := "要確認 / person  "
		if c.Class == sp.ClassHarmless {
			mark = "無害 / harmless  "
		}
		where := ""
		if c.Network != "" {
			where = " [" + string(c.Network) + "]"
		}
		say(e.stdout, "  %s%s / %s%s", mark, c.JA, c.EN, where)
		if c.Old != "" {
			say(e.stdout, "      - %s", changedValue(c.Kind, c.Old))
		}
		if c.New != "" {
			say(e.stdout, "      + %s", changedValue(c.Kind, c.New))
		}
		if c.WarningJA != "" {
			say(e.stdout, "      ! %s / %s", c.WarningJA, c.WarningEN)
		}
	}
}

// changedValue shows a side of a difference: times as staff read them.
func changedValue(kind sp.ChangeKind, text string) string {
	if at, err := time.Parse(time.RFC3339, text); kind == sp.ChangeValidUntil && err == nil {
		return showTime(at)
	}
	return oneLine(text, 1200)
}

// untakenNames say in Japanese why a document isn't taken; the faults of reaching the other side say so themselves.
var untakenNames = map[string]string{
	"signature_missing": "署名がありません", "signature_invalid": "固定した署名者の署名ではありません", "signature_shape": "署名の形が受け入れられません",
	"signature_algorithm": "署名の方式が受け入れられません", "metadata": "このメタデータは受け入れられません", "unregistrable": "このままでは登録できません",
}

func untakenText(why, text string) string {
	ja, ok := untakenNames[why]
	if !ok && strings.HasPrefix(why, "xml_") {
		ja, ok = "XML として受け入れられません", true
	}
	if !ok {
		return oneLine(text, 1000)
	}
	return ja + " / " + oneLine(text, 1000)
}
