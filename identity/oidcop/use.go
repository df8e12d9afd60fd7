package oidcop

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// live gives a token that counts at this moment; why is a machine-readable reason where it doesn't.
func (c *call) live(text string) (t token, why string, err error) {
	if text == "" || len(text) > maxShort {
		return t, "token_malformed", nil
	}
	t, err = c.p.kept(c.r.Context(), text)
	switch {
	case errors.Is(err, identity.ErrNotFound):
		return t, "token_unknown", nil
	case err != nil:
		return t, "", err
	case t.Grant.Network != c.network:
		return t, "token_network", nil
	case t.UsedAt != 0:
		return t, "token_used", nil
	case c.at >= t.ExpiresAt:
		return t, "token_expired", nil
	}
	why, err = c.p.counts(c.r.Context(), t.Grant, c.at)
	return t, why, err
}

// userinfo serves the userinfo end point. The token comes in the header alone (RFC 6750, section 2.1).
func (c *call) userinfo() {
	const action = "oidc.userinfo"
	scheme, text, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		c.record("", action, invalidRequest("token_missing", ""))
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="musubi"`)
		c.w.WriteHeader(http.StatusUnauthorized)
		return
	}
	t, why, err := c.live(strings.TrimSpace(text))
	if err == nil && why == "" && t.Kind != kindAccess {
		why = "token_kind"
	}
	if err == nil && why == "" {
		_, _, f := c.known(string(t.Grant.RelyingParty))
		if f != nil {
			why, err = f.reason, f.err
		}
	}
	if err != nil {
		c.refuse(t.Grant.RelyingParty, action, broken(err))
		return
	}
	if why != "" {
		c.record(t.Grant.RelyingParty, action, invalidRequest(why, ""))
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="musubi", error="invalid_token"`)
		c.answer(http.StatusUnauthorized, map[string]string{"error": "invalid_token", "error_description": "the token doesn't count, or not any more"})
		return
	}
	person, org, err := c.p.opt.People.Person(c.r.Context(), t.Grant.Person, t.Grant.Org)
	if err != nil {
		c.refuse(t.Grant.RelyingParty, action, broken(err))
		return
	}
	body := claimsOf(t.Grant, t.Scope, person, org)
	body["sub"] = t.Grant.Sub
	c.answer(http.StatusOK, body)
}

// introspect serves token introspection (RFC 7662). A party learns of its own tokens alone, and of access tokens for a resource that it serves.
func (c *call) introspect() {
	const action = "oidc.introspect"
	p, face, text, ok := c.aboutToken(action)
	if !ok {
		return
	}
	if p.Auth == party.AuthNone {
		c.refuse(p.ID, action, invalidClient("auth_method")) // section 2.1: the caller proves who it is
		return
	}
	if signed(text) {
		c.introspectAccess(p, face, text, action)
		return
	}
	t, why, err := c.live(text)
	if err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	if why == "" && t.Grant.RelyingParty != p.ID {
		why = "token_of_another"
	}
	if why != "" {
		c.inactive(p.ID, action, why)
		return
	}
	body := map[string]any{
		"active": true, "scope": strings.Join(t.Scope, " "), "client_id": string(p.ID), "sub": t.Grant.Sub, "iss": c.issuer, "aud": string(p.ID),
		"exp": t.ExpiresAt / 1_000_000, "iat": t.CreatedAt / 1_000_000,
		"acr": t.Grant.Assurance.ACR(), "amr": t.Grant.AMR, "auth_time": t.Grant.AuthAt / 1_000_000, "sid": t.Grant.SID,
	}
	if t.Kind == kindAccess {
		body["token_type"] = "Bearer"
	}
	c.answer(http.StatusOK, body)
}

// inactive answers about a token that doesn't count: nothing but that (RFC 7662, section 2.2).
func (c *call) inactive(id policies.RelyingPartyID, action, why string) {
	c.record(id, action, invalidRequest(why, ""))
	c.answer(http.StatusOK, map[string]bool{"active": false})
}

// revoke serves token revocation (RFC 7009): of an access token this one, of a refresh token everything that the login gave.
func (c *call) revoke() {
	const action = "oidc.revoke"
	p, _, text, ok := c.aboutToken(action)
	if !ok {
		return
	}
	if signed(text) {
		c.revokeAccess(p, text, action)
		return
	}
	t, err := c.p.kept(c.r.Context(), text)
	switch {
	case errors.Is(err, identity.ErrNotFound):
		c.w.WriteHeader(http.StatusOK) // section 2.2: there is nothing to do
		return
	case err != nil:
		c.refuse(p.ID, action, broken(err))
		return
	case t.Grant.RelyingParty != p.ID || t.Grant.Network != c.network:
		c.refuse(p.ID, action, invalidGrant("token_of_another"))
		return
	}
	err = c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		if t.Kind == kindRefresh {
			if err := endGrant(ctx, tx, t.Grant.ID, "revoked", c.at); err != nil {
				return err
			}
		} else if _, err := tx.ExecContext(ctx, `DELETE FROM oidc_token WHERE hash = $1`, t.Hash); err != nil {
			return err
		}
		row := c.row(p.ID, action, audit.Done)
		row.Org = t.Grant.Org
		row.Detail["grant"], row.Detail["kind"] = t.Grant.ID, t.Kind
		return audit.Append(ctx, tx, row)
	})
	if err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	c.w.WriteHeader(http.StatusOK)
}

// aboutToken reads a request about a token by a party that has proven who it is.
func (c *call) aboutToken(action string) (p party.Party, face party.Face, text string, ok bool) {
	in, f := c.form()
	if f != nil {
		c.refuse("", action, f)
		return p, face, "", false
	}
	p, face, f = c.authenticate(in)
	if f == nil && in["token"] == "" {
		f = invalidRequest("token_missing", "token is needed")
	}
	if f != nil {
		c.refuse(p.ID, action, f)
		return p, face, "", false
	}
	return p, face, in["token"], true
}
