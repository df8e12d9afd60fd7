package oidcop

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

// Receipts reads what became of back-channel logouts, and takes up again what failed. It needs no keys, so that the command line beside a
// serving hub can use it.
type Receipts struct{ DB *sqldb.DB }

// ReceiptFilter narrows a list of logouts; the zero filter is the newest of all.
type ReceiptFilter struct {
	State        LogoutState   // empty: any
	States       []LogoutState // likewise, of several
	Late         bool          // only those that were tried and aren't delivered: pending, or failed
	RelyingParty policies.RelyingPartyID
	Session      identity.SessionID
	Before       string // the last logout of the page before
	BeforeAt     int64  // when that was created, where it needn't be one of these; 0: it is one
	Limit        int    // 1 to MaxReceipts
}

// MaxReceipts is the longest page of logouts.
const MaxReceipts = 1000

// ErrNotFailed says that only a logout that failed is taken up again.
var ErrNotFailed = errors.New("the logout hasn't failed")

// List gives logouts, the newest first.
func (r Receipts) List(ctx context.Context, f ReceiptFilter) ([]Logout, error) {
	if f.Limit < 1 || f.Limit > MaxReceipts {
		return nil, fmt.Errorf("oidcop: logouts: a page of %d: want 1 to %d", f.Limit, MaxReceipts)
	}
	query, args := `SELECT `+logoutColumns+` FROM oidc_logout WHERE 1=1`, []any{}
	and := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = fmt.Sprintf(condition, len(args))
		}
		query += " AND " + condition
	}
	if f.State != "" {
		and("state = $%d", string(f.State))
	}
	if f.Late {
		and("state <> 'delivered' AND tries > 0")
	}
	if f.RelyingParty != "" {
		and("party = $%d", string(f.RelyingParty))
	}
	if f.Session != "" {
		and("session = $%d", string(f.Session))
	}
	for i, state := range f.States { // (state = a OR state = b)
		open, end := " OR ", ""
		if i == 0 {
			open = " AND ("
		}
		if i == len(f.States)-1 {
			end = ")"
		}
		args = append(args, string(state))
		query += fmt.Sprintf("%sstate = $%d%s", open, len(args), end)
	}
	if f.BeforeAt != 0 {
		args = append(args, f.BeforeAt, f.Before)
		query += fmt.Sprintf(" AND (created_at, id) < ($%d, $%d)", len(args)-1, len(args))
	} else if f.Before != "" {
		and("(created_at, id) < (SELECT b.created_at, b.id FROM oidc_logout b WHERE b.id = $%d)", f.Before)
	}
	args = append(args, f.Limit)
	rows, err := r.DB.Reader().QueryContext(ctx, query+fmt.Sprintf(` ORDER BY created_at DESC, id DESC LIMIT $%d`, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("oidcop: logouts: %w", err)
	}
	defer rows.Close()
	var out []Logout
	for rows.Next() {
		l, err := scanLogout(rows)
		if err != nil {
			return nil, fmt.Errorf("oidcop: logouts: %w", err)
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

// Open counts the logouts that relying parties haven't taken, by state: pending and failed.
func (r Receipts) Open(ctx context.Context) (map[LogoutState]int, error) {
	open := map[LogoutState]int{LogoutPending: 0, LogoutFailed: 0}
	rows, err := r.DB.Reader().QueryContext(ctx, `SELECT state, COUNT(*) FROM oidc_logout WHERE state IN ('pending', 'failed') GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("oidcop: count logouts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state LogoutState
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return nil, fmt.Errorf("oidcop: count logouts: %w", err)
		}
		open[state] = n
	}
	return open, rows.Err()
}

// Logout gives one; the error wraps identity.ErrNotFound where there is none.
func (r Receipts) Logout(ctx context.Context, id string) (Logout, error) {
	l, err := scanLogout(r.DB.Reader().QueryRowContext(ctx, `SELECT `+logoutColumns+` FROM oidc_logout WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return l, fmt.Errorf("oidcop: logout %s: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return l, fmt.Errorf("oidcop: logout %s: %w", id, err)
	}
	return l, nil
}

// Entered is a relying party that a session was used at, for who ends it.
type Entered struct {
	RelyingParty policies.RelyingPartyID
	Until        int64 // what it was given ends then at the latest: UTC, microseconds
	Told         bool  // there is a logout for it: pending, delivered or failed
}

// EnteredBy gives the relying parties that a session was used at and whose grants haven't ended by themselves, by id. One that isn't told has no
// back channel; what its own pages loaded in the browser did, nobody knows.
func (r Receipts) EnteredBy(ctx context.Context, id identity.SessionID, at int64) (all []Entered, err error) {
	rows, err := r.DB.Reader().QueryContext(ctx, `SELECT g.party, MAX(g.expires_at), (SELECT COUNT(*) FROM oidc_logout l WHERE l.session = $1 AND l.party = g.party)
		FROM oidc_grant g WHERE g.session = $1 AND g.expires_at > $2 GROUP BY g.party ORDER BY g.party`, string(id), at)
	if err != nil {
		return nil, fmt.Errorf("oidcop: relying parties of a session: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e Entered
		var n int
		if err := rows.Scan(&e.RelyingParty, &e.Until, &n); err != nil {
			return nil, fmt.Errorf("oidcop: relying parties of a session: %w", err)
		}
		e.Told = n > 0
		all = append(all, e)
	}
	return all, rows.Err()
}

// Untold reports whether a relying party of a session that has ended isn't told, or hasn't taken it: samlidp.Others.
func (r Receipts) Untold(ctx context.Context, id identity.SessionID) (bool, error) {
	var n int
	err := r.DB.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM oidc_grant g WHERE g.session = $1 AND NOT EXISTS (
		SELECT 1 FROM oidc_logout l WHERE l.session = $1 AND l.party = g.party AND l.state <> 'failed')`, string(id)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("oidcop: relying parties of a session: %w", err)
	}
	return n > 0, nil
}

// Addressee gives the relying party that a logout goes to; identity.ErrNotFound where there is no such logout.
func (r Receipts) Addressee(ctx context.Context, id string) (p policies.RelyingPartyID, err error) {
	err = r.DB.Reader().QueryRowContext(ctx, `SELECT party FROM oidc_logout WHERE id = $1`, id).Scan(&p)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("oidcop: logout %s: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("oidcop: logout %s: %w", id, err)
	}
	return p, nil
}

// Overdue gives logouts that have been pending since before a time, the oldest first, at most limit.
func (r Receipts) Overdue(ctx context.Context, before time.Time, limit int) (ids []string, err error) {
	rows, err := r.DB.Reader().QueryContext(ctx, `SELECT id FROM oidc_logout WHERE state = 'pending' AND created_at < $1 AND settled_at < $1
		ORDER BY created_at, id LIMIT $2`, before.UnixMicro(), limit)
	if err != nil {
		return nil, fmt.Errorf("oidcop: overdue logouts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("oidcop: overdue logouts: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Reopen makes a failed logout pending again, in the caller's transaction with its audit row; the caller enqueues its delivery. Logouts are
// nobody's own: scope is the actor's for jobs.write over the whole workspace. ErrNotFailed where it is pending or was delivered.
func (r Receipts) Reopen(ctx context.Context, tx *sql.Tx, by access.Actor, scope policies.Scope, id string, at int64) (Logout, error) {
	if !scope.For(policies.ActionJobsWrite) || !scope.All() || by.ID() == "" || scope.Actor() != by.ScopeActor() {
		return Logout{}, fmt.Errorf("oidcop: logout %s: %w: it takes one's own right to %s in the whole workspace", id, identity.ErrRefused, policies.ActionJobsWrite)
	}
	l, err := scanLogout(tx.QueryRowContext(ctx, `SELECT `+logoutColumns+` FROM oidc_logout WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return l, fmt.Errorf("oidcop: logout %s: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return l, fmt.Errorf("oidcop: logout %s: %w", id, err)
	}
	// settled_at of a pending one says since when it waits anew: Overdue counts from there.
	res, err := tx.ExecContext(ctx, `UPDATE oidc_logout SET state = 'pending', why = '', settled_at = $2 WHERE id = $1 AND state = 'failed'`, id, at)
	if err != nil {
		return l, fmt.Errorf("oidcop: logout %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		if err == nil {
			err = fmt.Errorf("oidcop: logout %s is %s: %w", id, l.State, ErrNotFailed)
		}
		return l, err
	}
	row := by.AuditRow(at, "oidc.logout.retry", audit.Done)
	row.Object, row.Reason, row.PolicyHash = string(l.RelyingParty), scope.Reason(), scope.Hash()
	if row.Detail == nil {
		row.Detail = map[string]any{}
	}
	row.Detail["logout"], row.Detail["was"] = l.ID, l.Why
	l.State, l.Why, l.SettledAt = LogoutPending, "", at
	return l, audit.Append(ctx, tx, row)
}
