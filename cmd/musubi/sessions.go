package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

func newSessions(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "職員のログインを見る・終了する / see and end a person's sessions",
		Long: `職員のブラウザがハブと各 SaaS に開いているログインです。退職、カードの認証解除、パスワードのリセットでは、自動的に終了します。
These are the sessions that a person's browsers have with the hub, and through it with the SaaS. The end of service, the release of the card and a
reset of the password end them by themselves.`,
		Args: cobra.NoArgs, RunE: help,
	}
	cmd.AddCommand(newSessionsList(e), newSessionsEnd(e))
	return cmd
}

// sessionView is a session in the --json answer.
type sessionView struct {
	ID             identity.SessionID `json:"id"`
	Org            policies.OrgID     `json:"org"` // of the post in which the person acts
	Network        policies.Network   `json:"network"`
	Method         identity.MethodID  `json:"method"`
	ACR            string             `json:"acr"`
	AuthAt         string             `json:"auth_at"`
	SeenAt         string             `json:"seen_at"`
	Agent          string             `json:"agent"`
	RelyingParties []string           `json:"relying_parties"`
}

// sessionsDocument is the --json answer of sessions list.
type sessionsDocument struct {
	accountView
	Sessions []sessionView `json:"sessions"`
}

func newSessionsList(e *env) *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:   "list PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "職員の開いているログイン / the sessions that stand",
		Long: `いつ、どの網から、何でログインし、どの SaaS に入っているかを、新しい順に見せます。
Shows when, from which network and by what the person logged in, and which SaaS were told, newest first.`,
		Example: "  musubi sessions list --org 011002 S00002 --as town.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				a, err := e.account(ctx, h, args[0], org)
				if err != nil {
					return err
				}
				return e.listSessions(ctx, h, a)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	return cmd
}

func (e *env) listSessions(ctx context.Context, h *boot.Hub, a account) error {
	list, err := a.stores.Sessions.ListOf(ctx, a.read, a.Person, h.Now())
	if err != nil {
		return err
	}
	doc := sessionsDocument{a.view(), []sessionView{}}
	for _, s := range list {
		v := sessionView{
			s.ID, s.Org, s.Network, s.Method, s.Assurance.ACR(), showTime(time.UnixMicro(s.AuthAt)), showTime(time.UnixMicro(s.SeenAt)), s.Agent, []string{},
		}
		for _, p := range s.Parties {
			v.RelyingParties = append(v.RelyingParties, string(p.RelyingParty))
		}
		doc.Sessions = append(doc.Sessions, v)
	}
	if e.json {
		return e.printJSON("musubi.sessions.v1", doc)
	}
	say(e.stdout, "職員 / person  %s", a.who())
	if len(list) == 0 {
		say(e.stdout, "ログインしていません。 / They aren't logged in.")
		return nil
	}
	c := newColumns("ログイン / LOGIN", "最後 / LAST SEEN", "網 / NETWORK", "方法 / METHOD", "組織 / ORG", "SAAS", "ブラウザ / BROWSER")
	for _, v := range doc.Sessions {
		c.row(v.AuthAt, v.SeenAt, string(v.Network), methodName(v.Method), string(v.Org), strings.Join(v.RelyingParties, ", "), v.Agent)
	}
	c.print(e.stdout)
	return nil
}

func methodName(m identity.MethodID) string {
	if text := map[identity.MethodID]string{
		identity.MethodCard: "カード / card", identity.MethodPassword: "パスワード / password", identity.MethodBreakGlass: "非常用 / break-glass", identity.MethodInvitation: "招待 / invitation",
	}[m]; text != "" {
		return text
	}
	return string(m)
}

func newSessionsEnd(e *env) *cobra.Command {
	var org, reason string
	cmd := &cobra.Command{
		Use:   "end PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "職員のログインをすべて終了する / end all sessions of a person",
		Long: `その職員のログインを、すべての端末と SaaS で終了し、本人に知らせます。カードはそのままなので、もう一度ログインできます。
SaaS への通知は稼働中のハブが行います (musubi logouts)。組織の管理者は、自分の組織の職員にだけ行えます。
Ends all sessions of the person, on every device and in every SaaS, and tells them. The card stays: they can log in again. A serving hub tells the
SaaS (musubi logouts). An organization's administrator may do this for their own people.`,
		Example: "  musubi sessions end --org 011002 S00002 --reason 端末の紛失 --as town.cred",
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
				return e.endSessions(ctx, h, a, reason)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	cmd.Flags().StringVar(&reason, "reason", "", reasonFlagText)
	return cmd
}

func (e *env) endSessions(ctx context.Context, h *boot.Hub, a account, reason string) error {
	scope, err := e.writing(ctx, h, a)
	if err != nil {
		return err
	}
	now := h.Now()
	list, err := a.stores.Sessions.ListOf(ctx, a.read, a.Person, now)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("ログインしていません / %s isn't logged in: %w", a.Person.ID, identity.ErrNotFound)
	}
	err = h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := a.stores.Sessions.EndByAdministrator(ctx, tx, a.actor, scope, a.Person, session.WhyAdmin, now); err != nil {
			return err
		}
		if err := a.because(ctx, tx, scope, "sessions", reason, now.UnixMicro()); err != nil {
			return err
		}
		return h.TellPerson(ctx, tx, a.Person, "sessions", now.UnixMicro())
	})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.sessions.end.v1", endedDocument{a.view(), len(list), h.Mails()})
	}
	say(e.stdout, "ログイン %d 件を終了しました: %s\nThe sessions have ended. The SaaS are being told (musubi logouts).\n%s", len(list), a.who(), e.told(h))
	return nil
}
