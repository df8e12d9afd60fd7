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
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

func newLogouts(e *env) *cobra.Command {
	var f logout.Filter
	var failed, pending, late, unproven bool
	var party, session string
	cmd := &cobra.Command{
		Use:   "logouts",
		Short: "SaaS へのログアウトの通知と、その受領 / logouts told to the SaaS, and their receipts",
		Long: `ログインが終わると、ハブは、その職員が入っていた SaaS に知らせます (OpenID Connect バックチャネルログアウト、SAML シングルログアウト)。届いたもの、届いていない
もの、あきらめたもの、確かめられないものを、新しい順に見せます。届いていない (failed, unconfirmed, untold) ときは、SaaS の側にログインが残っているおそれがあります。
SaaS の管理者に確かめるか、やり直してください。SAML では、遅くともいつ終わるか (UNTIL) も見せます。
When a session ends the hub tells the SaaS in which the person was (OpenID Connect Back-Channel Logout, SAML single logout). It shows what was delivered,
what wasn't yet, what was given up and what nobody can prove, newest first. Where it failed, or isn't proven, the SaaS may still hold the session: ask its
administrator, or retry. For SAML it shows when that session ends by itself.

States: pending (being tried), delivered, failed; of SAML also partial (it says that somebody behind it wasn't told), unconfirmed (told, no signed answer),
untold (no way to tell it). Why: refused (the SaaS doesn't take it), given_up (no answer for a day), party_removed and address_removed (nobody to tell
any more), unreachable, status, answer_unsigned and answer_invalid (what it answered proves nothing), no_endpoint, no_browser (only the person's browser could
tell it, and didn't come by), unanswered (the browser went there), unknown_there (it holds no such session), asked (the logout was its own wish).`,
		Example: `  musubi logouts --as planner.cred
  musubi logouts --failed --rp jira --as planner.cred
  musubi logouts --unproven --as planner.cred
  musubi logouts retry 5f2c0a... --as planner.cred`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case given(failed, pending, late, unproven) > 1:
				return boot.Usage(errors.New("give one of --failed, --pending, --late, --unproven"))
			case failed:
				f.States = []logout.State{logout.Failed}
			case pending:
				f.States = []logout.State{logout.Pending}
			case unproven:
				f.States = []logout.State{logout.Unconfirmed, logout.Untold}
			}
			f.Late, f.RelyingParty, f.Session = late, policies.RelyingPartyID(party), identity.SessionID(session)
			if f.Limit < 1 || f.Limit > logout.MaxReceipts {
				return boot.Usage(fmt.Errorf("--limit: %d isn't between 1 and %d", f.Limit, logout.MaxReceipts))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.listLogouts(ctx, h, f) })
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&failed, "failed", false, "only those that were given up or refused")
	fl.BoolVar(&pending, "pending", false, "only those that aren't delivered yet")
	fl.BoolVar(&late, "late", false, "those that were tried and aren't delivered: failed, or pending after a first try")
	fl.BoolVar(&unproven, "unproven", false, "only those that nobody could tell, or that weren't confirmed by a signed answer")
	fl.StringVar(&party, "rp", "", "only this relying party's")
	fl.StringVar(&session, "session", "", "only this session's")
	fl.IntVar(&f.Limit, "limit", 50, "length of a page, 1 to 1000")
	fl.StringVar(&f.Before, "before", "", "the page before this logout: older ones")
	cmd.AddCommand(newLogoutsRetry(e))
	return cmd
}

func given(all ...bool) (n int) {
	for _, x := range all {
		if x {
			n++
		}
	}
	return n
}

// logoutView is a logout in --json answers.
type logoutView struct {
	ID           string                  `json:"id"`
	RelyingParty policies.RelyingPartyID `json:"relying_party"`
	Network      policies.Network        `json:"network"`
	Session      identity.SessionID      `json:"session"`
	Protocol     logout.Protocol         `json:"protocol"`
	Channel      string                  `json:"channel"`
	State        logout.State            `json:"state"`
	Tries        int                     `json:"tries"`
	Status       int                     `json:"status,omitempty"` // HTTP, of the newest try
	Why          string                  `json:"why,omitempty"`
	Until        string                  `json:"until,omitempty"` // SAML: the session there ends then at the latest
	CreatedAt    string                  `json:"created_at"`
	SettledAt    string                  `json:"settled_at,omitempty"`
}

func viewLogout(l logout.Receipt) logoutView {
	v := logoutView{
		ID: l.ID, RelyingParty: l.RelyingParty, Network: l.Network, Session: l.Session, Protocol: l.Protocol, Channel: l.Channel, State: l.State, Tries: l.Tries,
		Status: l.Status, Why: l.Why, CreatedAt: showTime(time.UnixMicro(l.CreatedAt)),
	}
	if l.Until != 0 {
		v.Until = showTime(time.UnixMicro(l.Until))
	}
	if l.State != logout.Pending && l.SettledAt != 0 {
		v.SettledAt = showTime(time.UnixMicro(l.SettledAt))
	}
	return v
}

// logoutsDocument is the --json answer of logouts. Before is the next page's --before; empty: this is the last one.
type logoutsDocument struct {
	Logouts []logoutView `json:"logouts"`
	Before  string       `json:"before"`
}

func (e *env) listLogouts(ctx context.Context, h *boot.Hub, f logout.Filter) error {
	if _, err := e.mayOnJobs(ctx, h, policies.ActionJobsRead); err != nil {
		return err
	}
	list, err := logout.Receipts{DB: h.DB}.List(ctx, f)
	if err != nil {
		return err
	}
	doc := logoutsDocument{Logouts: []logoutView{}}
	for _, l := range list {
		doc.Logouts = append(doc.Logouts, viewLogout(l))
	}
	if len(list) == f.Limit {
		doc.Before = list[len(list)-1].ID
	}
	if e.json {
		return e.printJSON("musubi.logouts.v1", doc)
	}
	if len(list) == 0 {
		say(e.stdout, "該当するログアウトはありません。 / No logout matches.")
		return nil
	}
	c := newColumns("ID", "SAAS", "網 / NETWORK", "状態 / STATE", "回数 / TRIES", "応答 / STATUS", "理由 / WHY", "終了 / ENDED", "決着 / SETTLED", "遅くとも / UNTIL")
	names := map[logout.State]string{
		logout.Pending: "未達 / pending", logout.Delivered: "受領 / delivered", logout.Failed: "失敗 / failed", logout.Partial: "一部 / partial",
		logout.Unconfirmed: "未確認 / unconfirmed", logout.Untold: "通知不可 / untold",
	}
	for _, v := range doc.Logouts {
		status := ""
		if v.Status > 0 {
			status = fmt.Sprint(v.Status)
		}
		c.row(v.ID, string(v.RelyingParty), string(v.Network), names[v.State], fmt.Sprint(v.Tries), status, v.Why, v.CreatedAt, v.SettledAt, v.Until)
	}
	c.print(e.stdout)
	if doc.Before != "" {
		say(e.stdout, "次のページ / next page: --before %s", doc.Before)
	}
	return nil
}

func newLogoutsRetry(e *env) *cobra.Command {
	var all bool
	var party string
	cmd := &cobra.Command{
		Use:   "retry ID... | --all-failed [--rp ID]",
		Short: "失敗したログアウトの通知をやり直す / have failed logouts delivered anew",
		Long: `失敗したログアウトを、もう一度届けます。稼働中のハブが行い、届くまで一日の間試みます。一部だけやり直せたときは終了コード 4 です。
A serving hub delivers them anew, and tries for a day. Where only some could be taken up again, the exit code is 4.`,
		Example: "  musubi logouts retry 5f2c0a... --as planner.cred\n  musubi logouts retry --all-failed --rp jira --as planner.cred",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) || party != "" && !all {
				return boot.Usage(errors.New("give the logouts' ids, or --all-failed with or without --rp"))
			}
			if len(args) > logout.MaxReceipts {
				return boot.Usage(fmt.Errorf("at most %d at a time", logout.MaxReceipts))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				ids, err := e.failedLogouts(ctx, h, args, policies.RelyingPartyID(party))
				if err != nil {
					return err
				}
				return e.retryLogouts(ctx, h, ids)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all-failed", false, "all that failed, up to 1000 at a time")
	cmd.Flags().StringVar(&party, "rp", "", "with --all-failed: only this relying party's")
	return cmd
}

func (e *env) failedLogouts(ctx context.Context, h *boot.Hub, args []string, party policies.RelyingPartyID) ([]string, error) {
	if len(args) > 0 {
		return args, nil
	}
	if _, err := e.mayOnJobs(ctx, h, policies.ActionJobsRead); err != nil {
		return nil, err
	}
	list, err := logout.Receipts{DB: h.DB}.List(ctx, logout.Filter{States: []logout.State{logout.Failed}, RelyingParty: party, Limit: logout.MaxReceipts})
	var ids []string
	for _, l := range list {
		if l.Channel != string(samlidp.ChannelFront) { // nothing tells it without the person's browser
			ids = append(ids, l.ID)
		}
	}
	return ids, err
}

// retriedView is what came of one logout that was to be retried.
type retriedView struct {
	ID      string `json:"id"`
	Retried bool   `json:"retried"`
	Error   string `json:"error,omitempty"`
}

// retryDocument is the --json answer of logouts retry.
type retryDocument struct {
	Logouts []retriedView `json:"logouts"`
}

func (e *env) retryLogouts(ctx context.Context, h *boot.Hub, ids []string) error {
	scope, actor, err := e.scope(ctx, h, policies.ActionJobsWrite)
	if err != nil {
		return err
	}
	doc := retryDocument{Logouts: []retriedView{}}
	done := 0
	var first error
	for _, id := range ids {
		at := h.Now().UnixMicro()
		err := h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := logout.Receipts{DB: h.DB}.Reopen(ctx, tx, h.Logouts, actor, scope, id, at)
			return err
		})
		v := retriedView{ID: id, Retried: err == nil}
		switch {
		case err == nil:
			done++
		case errors.Is(err, identity.ErrNotFound), errors.Is(err, logout.ErrNotFailed):
			v.Error = err.Error()
			if first == nil {
				first = err
			}
		default:
			return err
		}
		doc.Logouts = append(doc.Logouts, v)
		h.DB.Yield(ctx)
	}
	if e.json {
		if err := e.printJSON("musubi.logouts.retry.v1", doc); err != nil {
			return err
		}
	} else {
		for _, v := range doc.Logouts {
			if v.Error != "" {
				say(e.stdout, "%s  %s", v.ID, v.Error)
			}
		}
		say(e.stdout, "%s 件をやり直します。稼働中のハブが届けます。 / %s of %s are taken up again; a serving hub delivers them.", group(done), group(done), group(len(ids)))
	}
	switch {
	case first == nil:
		return nil
	case done == 0:
		return boot.Refused(first)
	}
	return boot.Partial(first)
}
