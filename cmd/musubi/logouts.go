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
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/policies"
)

func newLogouts(e *env) *cobra.Command {
	var f oidcop.ReceiptFilter
	var failed, pending, late bool
	var party, session string
	cmd := &cobra.Command{
		Use:   "logouts",
		Short: "SaaS へのログアウトの通知と、その受領 / logouts told to the SaaS, and their receipts",
		Long: `ログインが終わると、ハブは、その職員が入っていた SaaS に知らせます (OpenID Connect バックチャネルログアウト)。届いたもの、届いていないもの、あきらめたものを、
新しい順に見せます。あきらめたもの (failed) では、SaaS の側にログインが残っているおそれがあります。SaaS の管理者に確かめるか、やり直してください。
When a session ends the hub tells the SaaS in which the person was (OpenID Connect Back-Channel Logout). It shows what was delivered, what wasn't yet
and what was given up, newest first. Where it failed the SaaS may still hold the session: ask its administrator, or retry.

States: pending (being tried), delivered, failed. Why: refused (the SaaS doesn't take it: 400), given_up (no answer for a day), party_removed and
address_removed (nobody to tell any more), unreachable, status.`,
		Example: `  musubi logouts --as planner.cred
  musubi logouts --failed --rp jira --as planner.cred
  musubi logouts retry 5f2c0a... --as planner.cred`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case failed && pending || late && (failed || pending):
				return boot.Usage(errors.New("give one of --failed, --pending, --late"))
			case failed:
				f.State = oidcop.LogoutFailed
			case pending:
				f.State = oidcop.LogoutPending
			}
			f.Late, f.RelyingParty, f.Session = late, policies.RelyingPartyID(party), identity.SessionID(session)
			if f.Limit < 1 || f.Limit > oidcop.MaxReceipts {
				return boot.Usage(fmt.Errorf("--limit: %d isn't between 1 and %d", f.Limit, oidcop.MaxReceipts))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.listLogouts(ctx, h, f) })
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&failed, "failed", false, "only those that were given up or refused")
	fl.BoolVar(&pending, "pending", false, "only those that aren't delivered yet")
	fl.BoolVar(&late, "late", false, "those that were tried and aren't delivered: failed, or pending after a first try")
	fl.StringVar(&party, "rp", "", "only this relying party's")
	fl.StringVar(&session, "session", "", "only this session's")
	fl.IntVar(&f.Limit, "limit", 50, "length of a page, 1 to 1000")
	fl.StringVar(&f.Before, "before", "", "the page before this logout: older ones")
	cmd.AddCommand(newLogoutsRetry(e))
	return cmd
}

// logoutView is a logout in --json answers.
type logoutView struct {
	ID           string                  `json:"id"`
	RelyingParty policies.RelyingPartyID `json:"relying_party"`
	Network      policies.Network        `json:"network"`
	Session      identity.SessionID      `json:"session"`
	State        oidcop.LogoutState      `json:"state"`
	Tries        int                     `json:"tries"`
	Status       int                     `json:"status,omitempty"` // HTTP, of the newest try
	Why          string                  `json:"why,omitempty"`
	CreatedAt    string                  `json:"created_at"`
	SettledAt    string                  `json:"settled_at,omitempty"`
}

func viewLogout(l oidcop.Logout) logoutView {
	v := logoutView{l.ID, l.RelyingParty, l.Network, l.Session, l.State, l.Tries, l.Status, l.Why, showTime(time.UnixMicro(l.CreatedAt)), ""}
	if l.State != oidcop.LogoutPending {
		v.SettledAt = showTime(time.UnixMicro(l.SettledAt))
	}
	return v
}

// logoutsDocument is the --json answer of logouts. Before is the next page's --before; empty: this is the last one.
type logoutsDocument struct {
	Logouts []logoutView `json:"logouts"`
	Before  string       `json:"before"`
}

func (e *env) listLogouts(ctx context.Context, h *boot.Hub, f oidcop.ReceiptFilter) error {
	if _, err := e.mayOnJobs(ctx, h, policies.ActionJobsRead); err != nil {
		return err
	}
	list, err := oidcop.Receipts{DB: h.DB}.List(ctx, f)
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
	c := newColumns("ID", "SAAS", "網 / NETWORK", "状態 / STATE", "回数 / TRIES", "応答 / STATUS", "理由 / WHY", "終了 / ENDED", "決着 / SETTLED")
	names := map[oidcop.LogoutState]string{
		oidcop.LogoutPending: "未達 / pending", oidcop.LogoutDelivered: "受領 / delivered", oidcop.LogoutFailed: "失敗 / failed",
	}
	for _, v := range doc.Logouts {
		status := ""
		if v.Status > 0 {
			status = fmt.Sprint(v.Status)
		}
		c.row(v.ID, string(v.RelyingParty), string(v.Network), names[v.State], fmt.Sprint(v.Tries), status, v.Why, v.CreatedAt, v.SettledAt)
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
			if len(args) > oidcop.MaxReceipts {
				return boot.Usage(fmt.Errorf("at most %d at a time", oidcop.MaxReceipts))
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
	list, err := oidcop.Receipts{DB: h.DB}.List(ctx, oidcop.ReceiptFilter{State: oidcop.LogoutFailed, RelyingParty: party, Limit: oidcop.MaxReceipts})
	ids := make([]string, len(list))
	for i, l := range list {
		ids[i] = l.ID
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
			if _, err := (oidcop.Receipts{DB: h.DB}).Reopen(ctx, tx, actor, scope, id, at); err != nil {
				return err
			}
			return h.Logouts.Again(ctx, tx, id, at)
		})
		v := retriedView{ID: id, Retried: err == nil}
		switch {
		case err == nil:
			done++
		case errors.Is(err, identity.ErrNotFound), errors.Is(err, oidcop.ErrNotFailed):
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
