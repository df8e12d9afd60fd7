package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/notice"
)

func newNoticesPeople(e *env) *cobra.Command {
	var f notice.Filter
	var unsent, waiting bool
	var person, org string
	cmd := &cobra.Command{
		Use:   "people",
		Short: "職員へのメールの知らせを見る / what people were told by mail of their accounts",
		Long: `カードの登録と解除、パスワードのリセット、ログインの終了、招待は、本人にメールで知らせます。送れたか、送れなかったならその理由を、新しい順に見せます。
メールの中継が設定されていないときは 7 日待ち、その間に設定すれば送ります。本文と宛先は、ここにはありません。
People are told by mail when a card is linked or released, a password is reset, their sessions are ended, and of an invitation. Shows whether the mail
left, and if not, why. Without a mail relay it waits for seven days, and leaves when one is configured. It shows neither text nor address.

Why: no_relay, person_ended (service ended first), no_address, expired (what it hands over), refused (by the relay), given_up, unreadable (another sealing key).`,
		Example: "  musubi notices people --unsent --as planner.cred\n  musubi notices people --org 011002 --person S00002 --as town.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case unsent && waiting:
				return boot.Usage(errors.New("give one of --unsent, --waiting"))
			case org != "" && person == "":
				return boot.Usage(errors.New("--org goes with --person STAFF-NUMBER"))
			case f.Limit < 1 || f.Limit > notice.MaxPage:
				return boot.Usage(fmt.Errorf("--limit: %d isn't between 1 and %d", f.Limit, notice.MaxPage))
			case unsent:
				f.State = notice.StateUnsent
			case waiting:
				f.State = notice.StateWaiting
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
				if err != nil {
					return err
				}
				if person != "" {
					p, err := personOf(ctx, h, scope, person, org)
					if err != nil {
						return err
					}
					f.Person = p.ID
				}
				return e.listNoticesToPeople(ctx, h, scope, f)
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&unsent, "unsent", false, "only those whose mail never left")
	fl.BoolVar(&waiting, "waiting", false, "only those whose mail hasn't left yet")
	fl.StringVar(&person, "person", "", "only this person's: an id, or a staff number with --org")
	fl.StringVar(&org, "org", "", orgFlagText)
	fl.IntVar(&f.Limit, "limit", 50, "length of a page, 1 to 1000")
	fl.StringVar(&f.Before, "before", "", "the page before this notice: older ones")
	return cmd
}

// toldView is a notice to a person in the --json answer.
type toldView struct {
	ID        string            `json:"id"`
	At        string            `json:"at"`
	Kind      notice.Kind       `json:"kind"`
	Person    policies.PersonID `json:"person"`
	Org       policies.OrgID    `json:"org"`
	State     notice.State      `json:"state"`
	Why       string            `json:"why,omitempty"`
	SettledAt string            `json:"settled_at,omitempty"`
}

// toldDocument is the --json answer of notices people. Before is the next page's --before; empty: this is the last one.
type toldDocument struct {
	Notices []toldView `json:"notices"`
	Before  string     `json:"before"`
	Relay   bool       `json:"relay"` // whether a mail relay is configured
}

func (e *env) listNoticesToPeople(ctx context.Context, h *boot.Hub, scope policies.Scope, f notice.Filter) error {
	list, err := h.Persons.List(ctx, scope, f)
	if err != nil {
		return err
	}
	doc := toldDocument{Notices: []toldView{}, Relay: h.Mails()}
	for _, n := range list {
		v := toldView{n.ID, showTime(time.UnixMicro(n.At)), n.Kind, n.Person, n.Org, n.State, n.Why, ""}
		if n.SettledAt > 0 {
			v.SettledAt = showTime(time.UnixMicro(n.SettledAt))
		}
		doc.Notices = append(doc.Notices, v)
	}
	if len(list) == f.Limit {
		doc.Before = list[len(list)-1].ID
	}
	if e.json {
		return e.printJSON("musubi.notices.people.v1", doc)
	}
	if !doc.Relay {
		say(e.stdout, "メールの中継が設定されていません。知らせは送られず、7 日待ちます。 / No mail relay is configured: notices wait for seven days and aren't sent.")
	}
	if len(list) == 0 {
		say(e.stdout, "該当する知らせはありません。 / No notice matches.")
		return nil
	}
	c := newColumns("日時 / AT", "知らせ / NOTICE", "職員 / PERSON", "組織 / ORG", "状態 / STATE", "理由 / WHY")
	names := map[notice.State]string{notice.StateWaiting: "未送信 / waiting", notice.StateSent: "送信済み / sent", notice.StateUnsent: "送れず / unsent"}
	for _, v := range doc.Notices {
		c.row(v.At, kindName(v.Kind), string(v.Person), string(v.Org), names[v.State], v.Why)
	}
	c.print(e.stdout)
	if doc.Before != "" {
		say(e.stdout, "次のページ / next page: --before %s", doc.Before)
	}
	return nil
}

func kindName(k notice.Kind) string {
	if text := map[notice.Kind]string{
		notice.CardLinked: "カード登録", notice.CardReleased: "カード認証解除", notice.PasswordReset: "パスワードのリセット", notice.Sealed: "非常用アカウントの封印",
		notice.Unsealed: "非常用アカウントの廃止", notice.SessionsEnded: "ログインの終了", notice.Invited: "招待",
	}[k]; text != "" {
		return text
	}
	return string(k)
}
