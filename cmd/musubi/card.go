package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/password"
)

func newCard(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "card",
		Short: "マイナンバーカードの登録を見る・解除する / see and release a person's My Number Card",
		Long: `職員一人にカードは 1 枚、カード 1 枚に職員一人です。登録するのは本人で、解除するのは組織の管理者です。
One card for a person, one person for a card. The person links it; an administrator of the organization releases it.`,
		Args: cobra.NoArgs, RunE: help,
	}
	cmd.AddCommand(newCardShow(e), newCardRelease(e))
	return cmd
}

// cardView is a card in --json answers. ID tells nobody the card's serial number.
type cardView struct {
	ID       string `json:"id"`
	How      string `json:"how"`
	LinkedAt string `json:"linked_at"`
	EndedAt  string `json:"ended_at,omitempty"`
	Why      string `json:"why,omitempty"`
}

// cardDocument is the --json answer of card show.
type cardDocument struct {
	accountView
	Card          *cardView  `json:"card"` // null: none is linked
	Before        []cardView `json:"before"`
	PasswordUntil string     `json:"password_until,omitempty"` // a password for linking a card stands until then
	Sessions      int        `json:"sessions"`
}

func newCardShow(e *env) *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:   "show PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "職員のカードの登録を見る / whether a person has linked a card, and since when",
		Long: `カードの番号や証明書は、ハブにありません。表示する ID は、カードを見分けるための符号です。
The hub keeps neither the card's number nor its certificate: the id shown tells cards apart and nothing else.`,
		Example: "  musubi card show --org 011002 S00002 --as town.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				a, err := e.account(ctx, h, args[0], org)
				if err != nil {
					return err
				}
				return e.showCard(ctx, h, a)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	return cmd
}

// shortCard is as much of a card's id as a screen needs.
const shortCard = 12

func (e *env) showCard(ctx context.Context, h *boot.Hub, a account) error {
	cards, err := a.stores.Links.History(ctx, a.read, a.Person)
	if err != nil {
		return err
	}
	sessions, err := a.stores.Sessions.ListOf(ctx, a.read, a.Person, h.Now())
	if err != nil {
		return err
	}
	until, err := password.Until(ctx, h.DB.Reader(), a.Person.ID, password.KindLink)
	if err != nil {
		return err
	}
	doc := cardDocument{accountView: a.view(), Before: []cardView{}, Sessions: len(sessions)}
	if until > h.Now().UnixMicro() {
		doc.PasswordUntil = showTime(time.UnixMicro(until))
	}
	for _, c := range cards {
		v := cardView{ID: c.Credential, How: c.How, LinkedAt: showTime(time.UnixMicro(c.LinkedAt))}
		if c.EndedAt == 0 {
			doc.Card = &v
			continue
		}
		v.EndedAt, v.Why = showTime(time.UnixMicro(c.EndedAt)), c.EndedWhy
		doc.Before = append(doc.Before, v)
	}
	if e.json {
		return e.printJSON("musubi.card.v1", doc)
	}
	say(e.stdout, "職員 / person          %s", a.who())
	if doc.Card == nil {
		say(e.stdout, "カード / card          登録されていません / none is linked")
	} else {
		say(e.stdout, "カード / card          %s  %s から / since  (%s)", doc.Card.ID[:shortCard], doc.Card.LinkedAt, howLinked(doc.Card.How))
	}
	for _, v := range doc.Before {
		say(e.stdout, "以前 / before          %s  %s – %s (%s)", v.ID[:shortCard], v.LinkedAt, v.EndedAt, whyUnlinked(v.Why))
	}
	if doc.PasswordUntil != "" {
		say(e.stdout, "パスワード / password  カード登録用、%s まで / for linking a card, until then", doc.PasswordUntil)
	}
	say(e.stdout, "ログイン / sessions    %d", doc.Sessions)
	if doc.Card == nil && doc.PasswordUntil == "" {
		say(e.stdout, "\n次: カードを登録してもらうには、パスワードをリセットして渡します。 / Next, so that they can link a card: musubi password reset %s --reason TEXT --as FILE", a.Person.ID)
	}
	return nil
}

func howLinked(how string) string {
	if text := map[string]string{
		"first_use": "初回登録 / first use", "renewal_record": "更新 (発行者の記録) / renewal by record", "renewal_proof": "更新 (両方のカードで確認) / renewal by both cards",
	}[how]; text != "" {
		return text
	}
	return how
}

func whyUnlinked(why string) string {
	if text := map[string]string{"released": "認証解除 / released", "renewed": "更新 / renewed"}[why]; text != "" {
		return text
	}
	return why
}

func newCardRelease(e *env) *cobra.Command {
	var org, reason string
	cmd := &cobra.Command{
		Use:   "release PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "マイナンバーカードの認証解除 / release a person's My Number Card",
		Long: `カードと職員の結び付きを解き、その職員のログインをすべて終了し、本人に知らせます。カードの紛失や、登録の誤りのときに行います。
もう一度カードを登録するには、パスワードのリセットか招待が要ります。組織の管理者は、自分の組織の職員にだけ行えます。
The card is the person's no more, all their sessions end, and they are told: for a lost card, or one that was linked by mistake. To link a card again
takes a reset of the password or an invitation. An organization's administrator may do this for their own people.`,
		Example: "  musubi card release --org 011002 S00002 --reason 紛失 --as town.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, err := reasonOf(reason)
			if err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				a, err := e.account(ctx, h, args[0], org)
				if err != nil {
					return err
				}
				scope, err := e.writing(ctx, h, a)
				if err != nil {
					return err
				}
				sessions, err := a.stores.Sessions.ListOf(ctx, a.read, a.Person, h.Now())
				if err != nil {
					return err
				}
				if err := a.stores.Releases.Release(ctx, a.actor, scope, a.Person, reason, h.Now()); err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.card.release.v1", endedDocument{a.view(), len(sessions), h.Mails()})
				}
				say(e.stdout, "カードの認証を解除し、ログイン %d 件を終了しました: %s\nThe card is released, and the person's sessions have ended.\n%s", len(sessions), a.who(), e.told(h))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	cmd.Flags().StringVar(&reason, "reason", "", reasonFlagText)
	return cmd
}

// endedDocument is the --json answer of what ends a person's sessions.
type endedDocument struct {
	accountView
	Sessions int  `json:"sessions"` // that stood when it began
	Mailed   bool `json:"mailed"`
}
