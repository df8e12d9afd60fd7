package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

func newInvite(e *env) *cobra.Command {
	var org, reason, letter, link string
	cmd := &cobra.Command{
		Use:   "invite PERSON-ID | --org CODE [STAFF-NUMBER]",
		Short: "組織の管理者を招待する: 最初の管理者、後任、復旧 / invite an organization's administrator: the first, a successor, recovery",
		Long: `管理者の招待は、2 つの経路に分けて届けます。リンクは本人にメールで、コードは所属組織に手紙で。両方がそろうと、30 日以内に一度、本人のカードを登録できます。
手紙の文面は、--letter のファイル (0600) に書きます。印刷して郵送し、ファイルは消してください。コードがメールで送られることはありません。
メールの中継がないとき、または別の方法でリンクを渡すときは、--link FILE を指定します。
その組織の前の招待はすべて無効になります。名簿に登録されている管理者だけを招待できます。システム管理者が行います。

唯一の管理者が退職したときは、名簿で後任を管理者にしてから招待します (musubi people change --role administrator)。カードを失くしたときは、
musubi card release のあとで招待します。

An invitation leaves on two ways: the link to the person by mail, the code to the organization by letter. Both together link the person's card,
once, within 30 days. The letter is written to --letter FILE (mode 0600): print and post it, then delete the file. The code never goes by mail.
Where there is no mail relay, or to hand the link over otherwise, give --link FILE. The organization's earlier invitations are void. Only who stands
in the directory as an administrator can be invited. It takes a system administrator.`,
		Example: `  musubi invite --org 011002 --reason 初回 --letter letter.txt --as planner.cred
  musubi invite --org 011002 S00001 --reason 後任 --letter letter.txt --link link.txt --as planner.cred
  musubi invite list --as planner.cred`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && org == "" {
				return boot.Usage(errors.New("say whom: a person, or --org CODE"))
			}
			reason, err := reasonOf(reason)
			if err != nil {
				return err
			}
			if err := placeSecret("--letter", letter); err != nil {
				return err
			}
			if link != "" {
				if err := placeSecret("--link", link); err != nil {
					return err
				}
				if link == letter {
					return boot.Usage(errors.New("link and letter go on different ways: give two files"))
				}
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				var staff string
				if len(args) == 1 {
					staff = args[0]
				} else if staff, err = e.onlyAdministrator(ctx, h, policies.OrgID(org)); err != nil {
					return err
				}
				return e.invite(ctx, h, staff, org, reason, letter, link)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "number of the organization; without a staff number its only administrator is invited")
	cmd.Flags().StringVar(&reason, "reason", "", reasonFlagText)
	cmd.Flags().StringVar(&letter, "letter", "", "the new file of mode 0600 for the letter with the code; required")
	cmd.Flags().StringVar(&link, "link", "", "write the link to this new file of mode 0600 instead of mailing it")
	cmd.AddCommand(newInviteList(e))
	return cmd
}

// onlyAdministrator gives the staff number of an organization's administrator, where there is one.
func (e *env) onlyAdministrator(ctx context.Context, h *boot.Hub, org policies.OrgID) (string, error) {
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return "", err
	}
	orgs, _, err := e.scope(ctx, h, policies.ActionOrgRead)
	if err != nil {
		return "", err
	}
	if _, err := h.Directory.Organization(ctx, orgs, org); err != nil {
		return "", err
	}
	var found []identity.Person
	filter := directory.PeopleFilter{Org: org, Limit: directory.MaxPage}
	for {
		page, err := h.Directory.People(ctx, scope, filter)
		if err != nil {
			return "", err
		}
		for _, p := range page {
			if p.Role != policies.RoleGeneral {
				found = append(found, p)
			}
		}
		if len(page) < filter.Limit {
			break
		}
		filter.After = page[len(page)-1].ID
	}
	switch len(found) {
	case 1:
		return found[0].StaffNumber, nil
	case 0:
		return "", boot.Refused(fmt.Errorf("組織 %s の管理者が名簿にいません。先に登録してください / organization %s has no administrator in the directory: make somebody one first "+
			"(musubi people add --role administrator, or people change)", org, org))
	}
	text := ""
	for i, p := range found {
		if i == 10 {
			text += ", …"
			break
		}
		if i > 0 {
			text += ", "
		}
		text += p.StaffNumber + " " + p.DisplayName()
	}
	return "", boot.Usage(fmt.Errorf("組織 %s に管理者が %d 人います。職員番号を指定してください / organization %s has %d administrators: say which: %s", org, len(found), org, len(found), text))
}

// inviteDocument is the --json answer of invite. Neither secret is in it.
type inviteDocument struct {
	accountView
	Invitation string `json:"invitation"`
	Until      string `json:"until"`
	Letter     string `json:"letter"`
	Link       string `json:"link,omitempty"` // the file; empty: it goes by mail
	Mailed     bool   `json:"mailed"`
}

func (e *env) invite(ctx context.Context, h *boot.Hub, id, org, reason, letter, link string) error {
	a, err := e.account(ctx, h, id, org)
	if err != nil {
		return err
	}
	if link == "" && !h.Mails() {
		return boot.Usage(errors.New("メールの中継が設定されていないので、リンクを送れません / no mail relay is configured, so the link can't be sent: give --link FILE and hand it over"))
	}
	if len(h.InvitationLinks("x")) == 0 {
		return boot.Usage(errors.New("どのネットワークにもログインがないので、招待の使い道がありません / no network has a login, so nobody could use an invitation: configure one first (docs/login.md)"))
	}
	scope, err := e.writing(ctx, h, a)
	if err != nil {
		return err
	}
	now := h.Now()
	until := now.Add(invitation.Life)
	doc := inviteDocument{accountView: a.view(), Until: showTime(until), Letter: letter, Link: link, Mailed: link == ""}
	var files secretFiles
	err = h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		sent, err := a.stores.Invitations.Invite(ctx, tx, a.actor, scope, a.Person, now)
		if err != nil {
			return err
		}
		doc.Invitation = sent.ID
		if err := a.because(ctx, tx, scope, "invitation", reason, now.UnixMicro()); err != nil {
			return err
		}
		if link == "" {
			if err := h.Persons.Invite(ctx, tx, a.Person, sent.Path, until.UnixMicro(), now.UnixMicro()); err != nil {
				return err
			}
		} else if err := files.write(link, linkText(a, h, sent.Path, until)); err != nil {
			return err
		}
		return files.write(letter, letterText(a, sent, now, until))
	})
	if err := files.keep(err); err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.invite.v1", doc)
	}
	say(e.stdout, "管理者を招待しました。この組織の前の招待は無効です。 / The administrator is invited. The organization's earlier invitations are void.\n")
	say(e.stdout, "職員 / person    %s", a.who())
	say(e.stdout, "招待 / id        %s", doc.Invitation)
	say(e.stdout, "期限 / until     %s", doc.Until)
	say(e.stdout, "手紙 / letter    %s  印刷して %s へ郵送し、ファイルは消してください。 / print it, post it to the organization, delete the file", letter, a.of.Name)
	if link == "" {
		say(e.stdout, "リンク / link    本人へメールで送ります / goes to the person by mail")
	} else {
		say(e.stdout, "リンク / link    %s  本人へ渡し、手紙と一緒にしないでください。 / hand it to the person, never together with the letter", link)
	}
	return nil
}

// linkText is the file with the link, for who hands it over.
func linkText(a account, h *boot.Hub, path string, until time.Time) string {
	text := fmt.Sprintf("%s\n%s 様\n\n結びの管理者の招待リンクです。一度だけ使えます。期限: %s\n手紙のコードと一緒に使います。\n"+
		"The link of your invitation to Musubi. It works once, together with the code of the letter.\n", a.of.Name, a.DisplayName(), showTime(until))
	for _, l := range h.InvitationLinks(path) {
		text += fmt.Sprintf("\n%s:\n%s\n", l.Network, l.Address)
	}
	return text
}

// letterText is the letter with the code, ready to be printed. The path isn't in it.
func letterText(a account, sent invitation.Sent, now, until time.Time) string {
	return fmt.Sprintf(`%s

%s 御中
管理者 %s 様

結び (行政 SaaS 統合ハブ) 管理者の招待について

貴組織の管理者として、%s 様を結びに招待しました。
次のコードを、%s 様がメールなどで受け取ったリンクのページに入力してください。
マイナンバーカードと、カードリーダーまたは対応する端末が必要です。

    コード:  %s
    期限  :  %s

・コードは一度だけ使えます。5 回間違えると無効になります。
・このコードを、メールや電話でほかの人に伝えないでください。結びの担当者がコードを尋ねることはありません。
・リンクが届いていない場合や、招待に心当たりがない場合は、この手紙の差出人へ連絡してください。

招待番号: %s

----
To the administrator of %s

You are invited as an administrator of your organization in Musubi, the hub of the government workspace. Type this code on the page
of the link that was sent to %s. You need the My Number Card and a card reader.

    Code :  %s
    Until:  %s

The code works once; after five wrong codes it is void. Tell it to nobody: we never ask for it.
Invitation: %s
`, now.In(jst.Zone).Format("2006年1月2日"), a.of.Name, a.DisplayName(), a.DisplayName(), a.DisplayName(), sent.Code, showTime(until), sent.ID,
		a.of.Name, a.DisplayName(), sent.Code, showTime(until), sent.ID)
}

// invitationView is an invitation in the --json answer.
type invitationView struct {
	ID     string            `json:"id"`
	Person policies.PersonID `json:"person"`
	Org    policies.OrgID    `json:"org"`
	SentAt string            `json:"sent_at"`
	Until  string            `json:"until"`
	State  invitation.State  `json:"state"`
	Tries  int               `json:"tries"`
}

// invitationsDocument is the --json answer of invite list.
type invitationsDocument struct {
	Invitations []invitationView `json:"invitations"`
}

func newInviteList(e *env) *cobra.Command {
	var org string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "招待の状況を見る / what became of invitations",
		Long: `招待を新しい順に見せます。状態: open (使える)、used (使われた)、voided (新しい招待で無効)、expired (期限切れ)、spoiled (コードを 5 回間違えた)。
Shows invitations, newest first. The states are open, used, voided by a newer one, expired, and spoiled by five wrong codes.`,
		Example: "  musubi invite list --org 011002 --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > invitation.MaxList {
				return boot.Usage(fmt.Errorf("--limit: %d isn't between 1 and %d", limit, invitation.MaxList))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				return e.listInvitations(ctx, h, policies.OrgID(org), limit)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "only this organization's")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most, 1 to 1000")
	return cmd
}

func (e *env) listInvitations(ctx context.Context, h *boot.Hub, org policies.OrgID, limit int) error {
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return err
	}
	stores, err := h.Accounts(ctx)
	if err != nil {
		return err
	}
	list, err := stores.Invitations.List(ctx, scope, org, limit)
	if err != nil {
		return err
	}
	doc := invitationsDocument{Invitations: []invitationView{}}
	for _, r := range list {
		doc.Invitations = append(doc.Invitations, invitationView{
			r.ID, r.Person, r.Org, showTime(time.UnixMicro(r.CreatedAt)), showTime(time.UnixMicro(r.ExpiresAt)), r.State(h.Now()), r.Tries,
		})
	}
	if e.json {
		return e.printJSON("musubi.invite.list.v1", doc)
	}
	if len(list) == 0 {
		say(e.stdout, "招待はありません。 / There are no invitations.")
		return nil
	}
	c := newColumns("組織 / ORG", "職員 / PERSON", "招待 / SENT", "期限 / UNTIL", "状態 / STATE", "誤り / TRIES")
	names := map[invitation.State]string{
		invitation.StateOpen: "有効 / open", invitation.StateUsed: "使用済み / used", invitation.StateVoided: "無効 / voided",
		invitation.StateExpired: "期限切れ / expired", invitation.StateSpoiled: "コード誤り / spoiled",
	}
	for _, v := range doc.Invitations {
		c.row(string(v.Org), string(v.Person), v.SentAt, v.Until, names[v.State], fmt.Sprint(v.Tries))
	}
	c.print(e.stdout)
	return nil
}
