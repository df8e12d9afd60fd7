package oidcop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// LogoutState is where a back-channel logout stands.
type LogoutState string

// The states: pending -> delivered or failed.
const (
	LogoutPending   LogoutState = "pending"
	LogoutDelivered LogoutState = "delivered"
	LogoutFailed    LogoutState = "failed"
)

// Logout is a back-channel logout and its receipt. Times are UTC in microseconds.
type Logout struct {
	ID           string
	RelyingParty policies.RelyingPartyID
	Network      policies.Network
	Session      identity.SessionID
	State        LogoutState
	Tries        int
	Status       int    // HTTP status of the newest try; 0 for no answer
	Why          string // it isn't delivered: "unreachable", "refused", ...
	CreatedAt    int64
	SettledAt    int64 // of a pending one: since when it waits again, where a person took it up again; else 0

	sid, sub string
}

const (
	logoutColumns   = `id, party, network, session, sid, sub, state, tries, status, why, created_at, settled_at`
	deliverTimeout  = 5 * time.Second
	logoutTokenLife = 2 * time.Minute
	logoutEvent     = "http://schemas.openid.net/event/backchannel-logout"
)

// ErrUndelivered says that a relying party didn't take a logout and that trying again may help.
var ErrUndelivered = access.ErrUndelivered

func scanLogout(row interface{ Scan(to ...any) error }) (l Logout, err error) {
	err = row.Scan(&l.ID, &l.RelyingParty, &l.Network, &l.Session, &l.sid, &l.sub, &l.State, &l.Tries, &l.Status, &l.Why, &l.CreatedAt, &l.SettledAt)
	return l, err
}

// Logouts lists logouts in a state, the newest first, at most limit.
func (p *Provider) Logouts(ctx context.Context, state LogoutState, limit int) ([]Logout, error) {
	rows, err := p.opt.DB.Reader().QueryContext(ctx, `SELECT `+logoutColumns+` FROM oidc_logout WHERE state = $1 ORDER BY created_at DESC, id LIMIT $2`, string(state), limit)
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

func (p *Provider) logoutByID(ctx context.Context, id string) (Logout, error) {
	l, err := scanLogout(p.opt.DB.Reader().QueryRowContext(ctx, `SELECT `+logoutColumns+` FROM oidc_logout WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return l, fmt.Errorf("oidcop: logout %s: %w", id, identity.ErrNotFound)
	}
	return l, err
}

// Deliver sends one logout token (OpenID Connect Back-Channel Logout 1.0, section 2.5) and keeps the receipt. What is settled isn't sent
// again. Each try is a token of its own: a relying party takes a jti once, and one whose answer was lost would refuse the same token as a replay
// although it has ended the session; to end it again is no harm. The error wraps ErrUndelivered where
// trying again may help; where it can't, the failure is the receipt.
func (p *Provider) Deliver(ctx context.Context, id string) error {
	l, err := p.logoutByID(ctx, id)
	if err != nil || l.State != LogoutPending {
		return err
	}
	l.Tries++
	rp, err := p.opt.Parties.Party(ctx, p.opt.DB.Reader(), l.RelyingParty)
	if errors.Is(err, identity.ErrNotFound) {
		return p.settle(ctx, l, LogoutFailed, 0, "party_removed")
	}
	if err != nil {
		return err
	}
	face, ok := rp.Face(l.Network)
	issuer := p.opt.Issuers[l.Network]
	if !ok || face.Backchannel == "" || issuer == "" {
		return p.settle(ctx, l, LogoutFailed, 0, "address_removed")
	}
	now := p.now() / 1_000_000
	jti, err := p.newID()
	if err != nil {
		return err
	}
	text, err := p.sign(ctx, rp.Alg, "logout+jwt", map[string]any{
		"iss": issuer, "sub": l.sub, "aud": string(rp.ID), "iat": now, "exp": now + int64(logoutTokenLife.Seconds()), "jti": jti, "sid": l.sid,
		"events": map[string]any{logoutEvent: struct{}{}},
	})
	if err != nil {
		return err
	}
	status, err := p.post(ctx, face.Backchannel, url.Values{"logout_token": {text}}.Encode())
	switch {
	case err != nil:
		// The error may hold the address; what happened is enough.
		return p.settle(ctx, l, LogoutPending, 0, "unreachable")
	case status == http.StatusOK || status == http.StatusNoContent:
		return p.settle(ctx, l, LogoutDelivered, status, "")
	case status == http.StatusBadRequest:
		return p.settle(ctx, l, LogoutFailed, status, "refused") // section 2.8: it won't take this token
	default:
		return p.settle(ctx, l, LogoutPending, status, "status")
	}
}

// Abandon gives a logout up, for the job engine's dead letters.
func (p *Provider) Abandon(ctx context.Context, id string) error {
	l, err := p.logoutByID(ctx, id)
	if err != nil || l.State != LogoutPending {
		return err
	}
	return p.settle(ctx, l, LogoutFailed, l.Status, "given_up")
}

// post sends a form, follows no redirect, and reads little of the answer.
func (p *Provider) post(ctx context.Context, address, form string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := p.opt.Transport.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxBody))
	return answer.StatusCode, nil
}

func (p *Provider) settle(ctx context.Context, l Logout, state LogoutState, status int, why string) error {
	at := p.now()
	l.State, l.Status, l.Why = state, status, why
	if state != LogoutPending {
		l.SettledAt = at
	}
	err := p.opt.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE oidc_logout SET state = $2, tries = $3, status = $4, why = $5, settled_at = $6 WHERE id = $1 AND state = 'pending'`,
			l.ID, string(l.State), l.Tries, l.Status, l.Why, l.SettledAt)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 || state == LogoutPending {
			return err // settled by another worker, or to be tried again
		}
		outcome := audit.Done
		if state == LogoutFailed {
			outcome = audit.Refused
		}
		return audit.Append(ctx, tx, logoutRow(l, at, outcome))
	})
	if err != nil {
		return fmt.Errorf("oidcop: keep the receipt of logout %s: %w", l.ID, err)
	}
	if state == LogoutPending {
		return fmt.Errorf("oidcop: logout %s to %s: %w (%s, status %d)", l.ID, l.RelyingParty, ErrUndelivered, why, status)
	}
	return nil
}
