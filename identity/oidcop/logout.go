package oidcop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// leaving is a checked request to log out.
type leaving struct {
	party    policies.RelyingPartyID // who asks; empty where nobody says
	location string                  // where the browser goes afterwards; empty for nowhere
	sid      string                  // of a verified hint; empty for none
}

// logout serves RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0). Without proof that the request is about this very session the
// person is asked: a link on somebody's page must log nobody out.
func (c *call) logout() {
	const action = "oidc.logout"
	in, f := c.sent()
	if f != nil {
		c.page("", action, f)
		return
	}
	l, f := c.leaving(in)
	if f != nil {
		c.page(l.party, action, f)
		return
	}
	s, ok, err := c.p.opt.Browser.Current(c.r)
	if err != nil {
		c.page(l.party, action, broken(err))
		return
	}
	if !ok {
		c.nobody(l.location)
		return
	}
	own, err := c.own(l, s)
	if err != nil {
		c.page(l.party, action, broken(err))
		return
	}
	if own {
		c.end(s, l.location)
		return
	}
	text, err := c.p.secret()
	if err == nil {
		err = c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO oidc_confirm (hash, session, location, expires_at) VALUES ($1, $2, $3, $4)`,
				hashOf(text), string(s.ID), l.location, c.after(confirmLife))
			return err
		})
	}
	if err != nil {
		c.page(l.party, action, broken(err))
		return
	}
	c.p.opt.Pages.Confirm(c.w, c.r, Confirmation{Action: pathConfirm, Token: text})
}

// leaving checks who asks and where the browser may go.
func (c *call) leaving(in params) (leaving, *fault) {
	var l leaving
	id := in["client_id"]
	if text := in["id_token_hint"]; text != "" {
		cl, err := c.hint(text)
		switch {
		case errors.Is(err, errHint):
			return l, invalidRequest("hint_invalid", errHint.Error())
		case err != nil:
			return l, broken(err)
		case id != "" && id != cl.Audience[0]:
			return l, invalidRequest("hint_of_another", "id_token_hint is another relying party's")
		}
		id, l.sid = cl.Audience[0], cl.Session
	}
	target := in["post_logout_redirect_uri"]
	if id == "" {
		if target != "" {
			return l, invalidRequest("logout_party_missing", "post_logout_redirect_uri needs id_token_hint or client_id")
		}
		return l, nil
	}
	p, face, f := c.known(id)
	if f != nil {
		if f.status == http.StatusUnauthorized {
			f.status = http.StatusBadRequest
		}
		return l, f
	}
	l.party = p.ID
	if target == "" {
		return l, nil
	}
	if !slices.Contains(face.PostLogout, target) {
		return l, invalidRequest("logout_redirect_unregistered", "post_logout_redirect_uri isn't registered, octet by octet")
	}
	state := in["state"]
	if len(state) > maxShort {
		return l, invalidRequest("state_long", "state is too long")
	}
	l.location = target
	if state != "" {
		sep := "?"
		if strings.Contains(target, "?") {
			sep = "&"
		}
		l.location += sep + "state=" + url.QueryEscape(state)
	}
	return l, nil
}

// own reports whether the request's hint is of this session.
func (c *call) own(l leaving, s session.Session) (bool, error) {
	if l.sid == "" {
		return false, nil
	}
	var n int
	err := c.p.opt.DB.Reader().QueryRowContext(c.r.Context(), `SELECT COUNT(*) FROM oidc_grant WHERE session = $1 AND party = $2 AND sid = $3`,
		string(s.ID), string(l.party), l.sid).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("oidcop: %w", err)
	}
	return n > 0, nil
}

// confirm takes the person's answer to the question whether to log out.
func (c *call) confirm() {
	const action = "oidc.logout.confirm"
	in, f := c.form()
	if f != nil {
		c.page("", action, f)
		return
	}
	if origin := c.r.Header.Get("Origin"); origin != "" && origin != c.issuer {
		c.page("", action, &fault{status: http.StatusForbidden, reason: "csrf"})
		return
	}
	s, ok, err := c.p.opt.Browser.Current(c.r)
	if err != nil {
		c.page("", action, broken(err))
		return
	}
	if !ok {
		c.nobody("")
		return
	}
	var location string
	err = c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `DELETE FROM oidc_confirm WHERE hash = $1 AND session = $2 AND expires_at > $3 RETURNING location`,
			hashOf(in["token"]), string(s.ID), c.at).Scan(&location)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		c.page("", action, &fault{status: http.StatusForbidden, reason: "csrf"})
	case err != nil:
		c.page("", action, broken(err))
	default:
		c.end(s, location)
	}
}

// end ends the session and takes the browser on.
func (c *call) end(s session.Session, location string) {
	frames, err := c.frames(s)
	if err == nil {
		err = c.p.opt.Browser.End(c.w, c.r, s)
	}
	if err != nil {
		c.page("", "oidc.logout", broken(err))
		return
	}
	c.p.opt.Pages.LoggedOut(c.w, c.r, LoggedOut{Session: s.ID, Frames: frames, Location: location})
}

// nobody answers where no session was to end.
func (c *call) nobody(location string) {
	if location != "" {
		http.Redirect(c.w, c.r, location, http.StatusSeeOther)
		return
	}
	c.p.opt.Pages.LoggedOut(c.w, c.r, LoggedOut{})
}

// told is a relying party that learned of a session.
type told struct {
	party    policies.RelyingPartyID
	network  policies.Network
	sid, sub string
}

type rowsQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func toldOf(ctx context.Context, q rowsQuerier, id identity.SessionID) ([]told, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT party, network, sid, sub FROM oidc_grant WHERE session = $1 ORDER BY party, network, sid, sub`, string(id))
	if err != nil {
		return nil, fmt.Errorf("oidcop: %w", err)
	}
	defer rows.Close()
	var out []told
	for rows.Next() {
		var t told
		if err := rows.Scan(&t.party, &t.network, &t.sid, &t.sub); err != nil {
			return nil, fmt.Errorf("oidcop: %w", err)
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// frames gives the addresses that log the browser out at relying parties (OpenID Connect Front-Channel Logout 1.0, section 2), of this
// network alone.
func (c *call) frames(s session.Session) ([]string, error) {
	all, err := toldOf(c.r.Context(), c.p.opt.DB.Reader(), s.ID)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, t := range all {
		if t.network != c.network {
			continue
		}
		_, face, f := c.known(string(t.party))
		if f != nil && f.err != nil {
			return nil, f.err
		}
		if f != nil || face.Frontchannel == "" {
			continue
		}
		sep := "?"
		if strings.Contains(face.Frontchannel, "?") {
			sep = "&"
		}
		out = append(out, face.Frontchannel+sep+"iss="+url.QueryEscape(c.issuer)+"&sid="+url.QueryEscape(t.sid))
	}
	return out, nil
}

// logoutRow is the audit row of a delivery.
func logoutRow(l Logout, at int64, outcome audit.Outcome) audit.Row {
	return audit.Row{
		At: at, Actor: "oidc", ActorKind: audit.ActorSystem, Action: "oidc.logout.deliver", Outcome: outcome, Object: string(l.RelyingParty), Reason: l.Why,
		Detail: map[string]any{"logout": l.ID, "session": l.Session, "network": l.Network, "status": l.Status, "tries": l.Tries},
	}
}
