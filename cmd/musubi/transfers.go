package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

func newTransfers(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "transfers", Short: "職員の異動: 一覧、登録、受入れ、取消し / transfers of staff: list, show, add, accept, cancel", Args: cobra.NoArgs,
		Long: `異動は発令日の 0 時 (日本時間) に発効します。ハブが止まっていたときは、次の起動で発効します。
内示 (--embargo) の異動は、発令日まで、登録した人と --named の人にしか見えません。システム管理者にも見えません。
A transfer takes effect at 00:00 JST of its date; if the hub was down then, at its next start. One under embargo is seen by nobody but who
recorded it and who is named, until its date; not by system administrators either.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTransfersList(e), newTransfersShow(e), newTransfersAdd(e), newTransfersAccept(e), newTransfersCancel(e), newTransfersTemplate(e))
	return cmd
}

// transferKindNames and the two below are the words that staff read.
var transferKindNames = map[identity.TransferKind]string{
	identity.TransferMove: "異動", identity.TransferSecond: "出向", identity.TransferReturn: "復帰", identity.TransferConcurrent: "兼務",
	identity.TransferRelease: "兼務解除", identity.TransferRole: "権限変更", identity.TransferLeave: "退職",
}

var transferStateNames = map[identity.TransferState]string{
	identity.TransferPlanned: "予定", identity.TransferDone: "発効", identity.TransferCancelled: "取消し", identity.TransferBlocked: "保留",
}

var transferReasonNames = map[identity.TransferReason]policies.Text{
	identity.ReasonNotAccepted:  {JA: "受入側が受け入れていません (musubi transfers accept)", EN: "the receiving organization hasn't accepted it"},
	identity.ReasonEnded:        {JA: "在職を終えています", EN: "the person's service has ended"},
	identity.ReasonElsewhere:    {JA: "登録時と別の組織にいます", EN: "the person isn't in the organization that was recorded"},
	identity.ReasonStaffNumber:  {JA: "職員番号が使われています", EN: "somebody else has the staff number"},
	identity.ReasonEmail:        {JA: "メールアドレスが使われています", EN: "somebody else has the e-mail address"},
	identity.ReasonOrganization: {JA: "異動先の組織がその日にありません", EN: "the receiving organization doesn't exist on that date"},
	identity.ReasonRank:         {JA: "異動先で許されない権限です", EN: "the receiving organization can't have such a role"},
	identity.ReasonOvertaken:    {JA: "後の日付の異動が先に発効しています", EN: "a transfer of a later date took effect before"},
	identity.ReasonNoPost:       {JA: "戻る職または解く兼務がありません", EN: "there is no such post"},
}

// transferView is a transfer in --json answers. Days are in JST.
type transferView struct {
	ID            identity.TransferID     `json:"id"`
	Person        policies.PersonID       `json:"person"`
	Name          string                  `json:"name"`
	Kind          identity.TransferKind   `json:"kind"`
	From          policies.OrgID          `json:"from"`
	To            policies.OrgID          `json:"to"`
	Date          string                  `json:"date"`
	State         identity.TransferState  `json:"state"`
	Reason        identity.TransferReason `json:"reason,omitempty"`
	Late          bool                    `json:"late,omitempty"`
	Embargo       bool                    `json:"embargo,omitempty"`
	Named         []policies.PersonID     `json:"named,omitempty"`
	Accepted      bool                    `json:"accepted"`
	StaffNumber   string                  `json:"staff_number,omitempty"`
	Section       string                  `json:"section,omitempty"`
	Title         string                  `json:"title,omitempty"`
	Duties        string                  `json:"duties,omitempty"`
	Phone         string                  `json:"phone,omitempty"`
	Extension     string                  `json:"extension,omitempty"`
	Fax           string                  `json:"fax,omitempty"`
	Email         string                  `json:"email,omitempty"`
	Role          policies.Role           `json:"role,omitempty"`
	ReturnDate    string                  `json:"return_date,omitempty"`
	HandoverUntil string                  `json:"handover_until,omitempty"`
	Successor     policies.PersonID       `json:"successor,omitempty"`
	RecordedBy    policies.PersonID       `json:"recorded_by,omitempty"`
	Recorded      string                  `json:"recorded"`
	Settled       string                  `json:"settled,omitempty"`
	Why           string                  `json:"why,omitempty"`
}

func viewTransfer(t identity.Transfer) transferView {
	return transferView{
		ID: t.ID, Person: t.Person, Name: t.Name, Kind: t.Kind, From: t.From, To: t.To, Date: jst.Date(t.At), State: t.State, Reason: t.Reason,
		Late: t.Late, Embargo: t.Embargo, Named: t.Named, Accepted: !t.Crosses() || t.AcceptedAt != 0,
		StaffNumber: t.StaffNumber, Section: t.Section, Title: t.Title, Duties: t.Duties, Phone: t.Phone, Extension: t.Extension, Fax: t.Fax,
		Email: t.Email, Role: t.Role, ReturnDate: jst.Date(t.ReturnAt), HandoverUntil: jst.Date(t.HandoverUntil), Successor: t.Successor,
		RecordedBy: t.RecordedBy, Recorded: jst.Minute(t.RecordedAt), Settled: jst.Minute(t.SettledAt), Why: t.Why,
	}
}

// transfersDocument is the --json answer of transfers list. After is the next page's --after; empty: this is the last one.
type transfersDocument struct {
	Transfers []transferView `json:"transfers"`
	After     string         `json:"after,omitempty"`
}

func newTransfersList(e *env) *cobra.Command {
	var f directory.TransferFilter
	var org, from, until string
	var states, kinds []string
	cmd := &cobra.Command{
		Use: "list", Short: "異動の一覧 / list transfers",
		Long: `発令日の順に並べます。次のページは --after で続けます。内示は、あなたが見てよいものだけが並びます。
Ordered by date; --after goes on where the page before ended. Of those under embargo you see the ones that name you.`,
		Example: "  musubi transfers list --org 011002 --from 2027-04-01 --until R9.4.2 --as planner.cred\n  musubi transfers list --state blocked --json --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if f.Limit < 1 || f.Limit > directory.MaxPage {
				return boot.Usage(fmt.Errorf("--limit %d: give 1 to %d", f.Limit, directory.MaxPage))
			}
			if f.From, err = parseDay("--from", from); err != nil {
				return err
			}
			if f.Until, err = parseDay("--until", until); err != nil {
				return err
			}
			for _, w := range states {
				if !slices.Contains(identity.TransferStates(), identity.TransferState(w)) {
					return boot.Usage(fmt.Errorf("--state %q: write planned, done, cancelled or blocked", w))
				}
				f.States = append(f.States, identity.TransferState(w))
			}
			for _, w := range kinds {
				kind, err := transferKind("--kind", w)
				if err != nil {
					return err
				}
				f.Kinds = append(f.Kinds, kind)
			}
			f.Org = policies.OrgID(org)
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.listTransfers(ctx, h, f) })
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&org, "org", "", "only from or to this organization")
	fl.StringVar(&from, "from", "", "only on this day or later, e.g. 2027-04-01 or R9.4.1")
	fl.StringVar(&until, "until", "", "only before this day")
	fl.StringSliceVar(&states, "state", nil, "planned, done, cancelled, blocked; several with commas (default: all)")
	fl.StringSliceVar(&kinds, "kind", nil, "only these kinds (異動 or move, 出向 or second ...)")
	fl.BoolVar(&f.Embargoed, "embargoed", false, "only those under embargo that you may see")
	fl.IntVar(&f.Limit, "limit", directory.DefaultPage, "length of a page")
	fl.StringVar(&f.After, "after", "", "go on after this place, which the page before printed")
	return cmd
}

// transferKind reads a kind in either language.
func transferKind(flag, word string) (identity.TransferKind, error) {
	for kind, ja := range transferKindNames {
		if word == ja || word == string(kind) {
			return kind, nil
		}
	}
	var words []string
	for _, k := range identity.TransferKinds() {
		words = append(words, transferKindNames[k]+" ("+string(k)+")")
	}
	return "", boot.Usage(fmt.Errorf("%s %q: write one of %s", flag, word, strings.Join(words, ", ")))
}

func (e *env) listTransfers(ctx context.Context, h *boot.Hub, f directory.TransferFilter) error {
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return err
	}
	list, err := h.Directory.Transfers(ctx, scope, f)
	if errors.Is(err, directory.ErrCursor) {
		return boot.Usage(fmt.Errorf("--after: %w", err))
	}
	if err != nil {
		return err
	}
	doc := transfersDocument{Transfers: []transferView{}}
	for _, t := range list {
		doc.Transfers = append(doc.Transfers, viewTransfer(t))
	}
	if len(list) == f.Limit {
		doc.After = directory.TransferCursor(list[len(list)-1])
	}
	if e.json {
		return e.printJSON("musubi.transfers.v1", doc)
	}
	if len(list) == 0 {
		say(e.stdout, "該当する異動はありません。 / No transfer matches.")
		return nil
	}
	c := newColumns("発令日 / DATE", "区分 / KIND", "氏名 / NAME", "異動元 / FROM", "異動先 / TO", "所属 / SECTION", "状態 / STATE", "ID")
	for _, t := range list {
		c.row(jst.Date(t.At), transferKindNames[t.Kind], t.Name, string(t.From), string(t.To), t.Section, e.transferState(t), string(t.ID))
	}
	c.print(e.stdout)
	if doc.After != "" {
		say(e.stdout, "次のページ / next page: --after %s", doc.After)
	}
	return nil
}

// transferState says how the transfer stands, in words.
func (e *env) transferState(t identity.Transfer) string {
	words := []string{transferStateNames[t.State]}
	if t.State == identity.TransferPlanned && t.Crosses() && t.AcceptedAt == 0 {
		words = append(words, "受入れ待ち")
	}
	if t.Late {
		words = append(words, "遡及")
	}
	if t.Embargoed(e.now().UnixMicro()) {
		words = append(words, "内示")
	}
	return strings.Join(words, "・")
}

// transferDocument is the --json answer of the commands about one transfer.
type transferDocument struct {
	Transfer transferView `json:"transfer"`
}

func (e *env) showTransfer(t identity.Transfer) error {
	v := viewTransfer(t)
	if e.json {
		return e.printJSON("musubi.transfer.v1", transferDocument{v})
	}
	reason := transferReasonNames[t.Reason]
	var named []string
	for _, p := range t.Named {
		named = append(named, string(p))
	}
	for _, line := range [][2]string{
		{"ID                    ", string(v.ID)},
		{"区分 / kind           ", transferKindNames[t.Kind] + " / " + string(t.Kind)},
		{"発令日 / date         ", v.Date},
		{"状態 / state          ", e.transferState(t)},
		{"理由 / blocked        ", strings.Trim(reason.JA+" / "+reason.EN, " /")},
		{"氏名 / name           ", v.Name},
		{"職員 / person         ", string(v.Person)},
		{"異動元 / from         ", string(v.From)},
		{"異動先 / to           ", string(v.To)},
		{"職員番号 / number     ", v.StaffNumber},
		{"部署 / section        ", v.Section},
		{"役職 / title          ", v.Title},
		{"担当業務 / duties     ", v.Duties},
		{"電話 / phone          ", v.Phone},
		{"内線 / extension      ", v.Extension},
		{"FAX                   ", v.Fax},
		{"メール / e-mail       ", v.Email},
		{"権限 / role           ", string(v.Role)},
		{"復帰予定 / return     ", v.ReturnDate},
		{"引継ぎ / handover     ", v.HandoverUntil},
		{"後任 / successor      ", string(v.Successor)},
		{"閲覧者 / named        ", strings.Join(named, ", ")},
		{"登録 / recorded       ", v.Recorded},
		{"処理 / settled        ", v.Settled},
		{"事由 / why            ", v.Why},
	} {
		if value := oneLine(line[1], 1000); value != "" {
			say(e.stdout, "%s%s", line[0], value)
		}
	}
	return nil
}

func newTransfersShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show TRANSFER-ID", Short: "一つの異動を見る / one transfer", Example: "  musubi transfers show t1a2b3c --as planner.cred", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
				if err != nil {
					return err
				}
				t, err := h.Directory.Transfer(ctx, scope, identity.TransferID(args[0]))
				if err != nil {
					return err
				}
				return e.showTransfer(t)
			})
		},
	}
}
