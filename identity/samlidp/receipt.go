package samlidp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Receipts reads what became of logouts, and takes up again what failed. It needs no keys, so that the command line beside a serving hub can use it.
type Receipts struct{ DB *sqldb.DB }

// ReceiptFilter narrows a list of logouts; the zero filter is the newest of all.
type ReceiptFilter struct {
	States       []LogoutState // empty: any
	Tried        bool          // only those that were sent at least once
	RelyingParty policies.RelyingPartyID
	Session      identity.SessionID
	BeforeAt     int64 // only those that were created before, or then and with a lower id than Before; 0: any
	Before       string
	Limit        int // 1 to MaxReceipts
}

// MaxReceipts is the longest page of logouts.
const MaxReceipts = 1000

// ErrNotFailed says that only a logout by SOAP that failed, or has no proof, is taken up again.
var ErrNotFailed = errors.New("the logout hasn't failed, or there is no way to tell the provider without a browser")

// List gives logouts, the newest first.
func (r Receipts) List(ctx context.Context, f ReceiptFilter) ([]Logout, error) {
	if f.Limit < 1 || f.Limit > MaxReceipts {
		return nil, fmt.Errorf("samlidp: logouts: a page of %d: want 1 to %d", f.Limit, MaxReceipts)
	}
	where, args := "1 = 1", []any{}
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	for i, s := range f.States {
		if i == 0 {
			where += " AND state IN (" + arg(string(s))
		} else {
			where += ", " + arg(string(s))
		}
		if i == len(f.States)-1 {
			where += ")"
		}
	}
	if f.Tried {
		where += " AND tries > 0"
	}
	if f.RelyingParty != "" {
		where += " AND party = " + arg(string(f.RelyingParty))
	}
	if f.Session != "" {
		where += " AND session = " + arg(string(f.Session))
	}
	if f.BeforeAt != 0 {
		where += " AND (created_at, id) < (" + arg(f.BeforeAt) + ", " + arg(f.Before) + ")"
	}
	return logoutsOf(ctx, r.DB.Reader(), where+" ORDER BY created_at DESC, id DESC LIMIT "+arg(f.Limit), args...)
}

// Logout gives one; the error wraps identity.ErrNotFound where there is none.
func (r Receipts) Logout(ctx context.Context, id string) (Logout, error) {
	return logoutByID(ctx, r.DB.Reader(), id)
}

// Open counts the logouts that providers haven't taken, by state: pending, failed, unconfirmed and untold.
func (r Receipts) Open(ctx context.Context) (map[LogoutState]int, error) {
	open := map[LogoutState]int{LogoutPending: 0, LogoutFailed: 0, LogoutUnconfirmed: 0, LogoutUntold: 0}
	rows, err := r.DB.Reader().QueryContext(ctx, `SELECT state, COUNT(*) FROM saml_logout WHERE state NOT IN ('delivered', 'partial') GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("samlidp: count logouts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state LogoutState
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return nil, fmt.Errorf("samlidp: count logouts: %w", err)
		}
		open[state] = n
	}
	return open, rows.Err()
}

// Addressee gives the provider that a logout goes to; the error wraps identity.ErrNotFound where there is no such logout.
func (r Receipts) Addressee(ctx context.Context, id string) (policies.RelyingPartyID, error) {
	l, err := r.Logout(ctx, id)
	return l.RelyingParty, err
}

// Overdue gives logouts that have been pending since before a time, the oldest first, at most limit.
func (r Receipts) Overdue(ctx context.Context, before time.Time, limit int) (ids []string, err error) {
	all, err := logoutsOf(ctx, r.DB.Reader(), `state = 'pending' AND created_at < $1 AND settled_at < $1 ORDER BY created_at, id LIMIT $2`, before.UnixMicro(), limit)
	for _, l := range all {
		ids = append(ids, l.ID)
	}
	return ids, err
}

// Reopen makes a failed logout by SOAP pending again, in the caller's transaction with its audit row; the caller enqueues its delivery. Logouts are
// nobody's own: scope is the actor's for jobs.write over the whole workspace. ErrNotFailed where it can't be.
func (r Receipts) Reopen(ctx context.Context, tx *sql.Tx, by access.Actor, scope policies.Scope, id string, at int64) (Logout, error) {
	if !scope.For(policies.ActionJobsWrite) || !scope.All() || by.ID() == "" || scope.Actor() != by.ScopeActor() {
		return Logout{}, fmt.Errorf("samlidp: logout %s: %w: it takes one's own right to %s in the whole workspace", id, identity.ErrRefused, policies.ActionJobsWrite)
	}
	l, err := logoutByID(ctx, tx, id)
	if err != nil {
		return l, err
	}
	// settled_at of a pending one says since when it waits anew: Overdue counts from there.
	res, err := tx.ExecContext(ctx, `UPDATE saml_logout SET state = 'pending', why = '', settled_at = $2
		WHERE id = $1 AND channel = 'soap' AND state IN ('failed', 'unconfirmed')`, id, at)
	if err != nil {
		return l, fmt.Errorf("samlidp: logout %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		if err == nil {
			err = fmt.Errorf("samlidp: logout %s is %s by %s: %w", id, l.State, l.Channel, ErrNotFailed)
		}
		return l, err
	}
	row := by.AuditRow(at, "saml.logout.retry", audit.Done)
	row.Object, row.Reason, row.PolicyHash = string(l.RelyingParty), scope.Reason(), scope.Hash()
	if row.Detail == nil {
		row.Detail = map[string]any{}
	}
	row.Detail["logout"], row.Detail["was"] = l.ID, l.Why
	l.State, l.Why, l.SettledAt = LogoutPending, "", at
	return l, audit.Append(ctx, tx, row)
}
