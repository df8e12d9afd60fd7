package oidcop

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// typeAccess is the type of JWT access tokens (RFC 9068, section 2.1). No other token has it.
const typeAccess = "at+jwt"

const actionCredentials = "oidc.credentials"

// accessToken is what a JWT access token says (RFC 9068, section 2.2). Times are seconds since 1970 UTC.
type accessToken struct {
	Issuer   string                  `json:"iss"`
	Subject  string                  `json:"sub"` // the party itself: nobody has logged in
	Audience string                  `json:"aud"` // the resource
	Client   policies.RelyingPartyID `json:"client_id"`
	Issued   int64                   `json:"iat"`
	Expires  int64                   `json:"exp"`
	ID       string                  `json:"jti"`
	Scope    string                  `json:"scope,omitempty"`
}

// checkCredentials judges a client credentials request (RFC 6749, section 4.4; RFC 8707, section 2) of a party that has proven who it is, and
// says what it is given.
func checkCredentials(p party.Party, face party.Face, in params) (r party.Resource, scope []string, f *fault) {
	if p.Auth == party.AuthNone || len(face.Resources) == 0 {
		return r, nil, &fault{http.StatusBadRequest, "unauthorized_client", "credentials_not_allowed", "this relying party may not act in its own name in this network", nil}
	}
	r, ok := face.Resource(in["resource"])
	if !ok {
		return r, nil, &fault{http.StatusBadRequest, "invalid_target", "resource_unknown", "resource is one of those that are registered for this relying party", nil}
	}
	if in["scope"] == "" {
		return r, r.Scopes, nil
	}
	scope = strings.Fields(in["scope"])
	slices.Sort(scope)
	scope = slices.Compact(scope)
	for _, s := range scope {
		switch {
		case slices.Contains(party.Scopes(), s) || s == "offline_access":
			return r, nil, &fault{http.StatusBadRequest, "invalid_scope", "scope_of_people", "nobody logs in here: " + oidc.ScopeOpenID + " and its relatives can't be asked for", nil}
		case !slices.Contains(r.Scopes, s):
			return r, nil, &fault{http.StatusBadRequest, "invalid_scope", "scope_unknown", "scope has what is registered for this resource", nil}
		}
	}
	return r, scope, nil
}

// credentials gives a party an access token in its own name: no ID token, since nobody has logged in, and no refresh token (section 4.4.3).
func (c *call) credentials(p party.Party, face party.Face, in params) {
	body, row, f := c.prepareCredentials(p, face, in)
	if f == nil {
		err := c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if c.spend != nil {
				if err := c.spend(ctx, tx); err != nil {
					return err
				}
			}
			return audit.Append(ctx, tx, row)
		})
		switch {
		case err == nil:
			c.answer(http.StatusOK, body)
			return
		case errors.Is(err, errReplayed):
			f = invalidClient("assertion_replayed")
		default:
			f = broken(err)
		}
	} else if g := c.spent(); g != nil {
		f = g
	}
	c.refuse(p.ID, actionCredentials, f)
}

// prepareCredentials signs a token before anything is written: no transaction waits for a signature.
func (c *call) prepareCredentials(p party.Party, face party.Face, in params) (body map[string]any, row audit.Row, f *fault) {
	r, scope, f := checkCredentials(p, face, in)
	if f != nil {
		return nil, row, f
	}
	now, life := c.at/1_000_000, int64(tokenLife.Seconds())
	id, err := c.p.newID()
	if err != nil {
		return nil, row, broken(err)
	}
	t := accessToken{
		Issuer: c.issuer, Subject: string(p.ID), Audience: r.URI, Client: p.ID, Issued: now, Expires: now + life, ID: id, Scope: strings.Join(scope, " "),
	}
	text, err := c.p.sign(c.r.Context(), p.Alg, typeAccess, t)
	if err != nil {
		return nil, row, broken(err)
	}
	row = c.row(p.ID, actionCredentials, audit.Done)
	row.Detail["jti"], row.Detail["resource"], row.Detail["scope"] = t.ID, t.Audience, t.Scope
	body = map[string]any{"access_token": text, "token_type": oidc.BearerToken, "expires_in": life}
	if t.Scope != "" {
		body["scope"] = t.Scope
	}
	return body, row, nil
}

// signed reports whether a token is of the kind that isn't kept: the others have no dots.
func signed(text string) bool { return strings.Count(text, ".") == 2 }

// readAccess reads a JWT access token of this issuer; why is a machine-readable reason where it isn't one that could count.
func (c *call) readAccess(text string) (t accessToken, why string, err error) {
	payload, key, err := c.ours(text, typeAccess)
	switch {
	case errors.Is(err, errForeign):
		return t, "token_unknown", nil
	case err != nil:
		return t, "", err
	}
	if json.Unmarshal(payload, &t) != nil || t.ID == "" || t.Expires-t.Issued > int64(tokenLife.Seconds()) {
		return accessToken{}, "token_malformed", nil
	}
	switch now := c.at / 1_000_000; {
	case t.Issuer != c.issuer: // the keys are the same in each network
		return t, "token_network", nil
	case now >= t.Expires:
		return t, "token_expired", nil
	case key.State == keys.Retired && t.Issued > key.RetiredAt/1_000_000+skew:
		return t, "token_key_retired", nil // whoever has a key that was taken out of use signs nothing by it
	}
	return t, "", nil
}

// liveAccess is readAccess, and says whether the token counts at this moment: not revoked, and its party may still call what it is for.
func (c *call) liveAccess(text string) (t accessToken, why string, err error) {
	t, why, err = c.readAccess(text)
	if err != nil || why != "" {
		return t, why, err
	}
	_, face, f := c.known(string(t.Client))
	if f != nil {
		return t, f.reason, f.err
	}
	r, ok := face.Resource(t.Audience)
	if !ok || t.Audience == "" {
		return t, "resource_withdrawn", nil
	}
	for _, s := range strings.Fields(t.Scope) {
		if !slices.Contains(r.Scopes, s) {
			return t, "scope_withdrawn", nil
		}
	}
	var n int
	err = c.p.opt.DB.Reader().QueryRowContext(c.r.Context(), `SELECT COUNT(*) FROM oidc_revoked WHERE hash = $1`, hashOf(c.issuer, t.ID)).Scan(&n)
	if err == nil && n > 0 {
		why = "token_revoked"
	}
	return t, why, err
}

// introspectAccess answers about a JWT access token: to the party that has it and to the resource that it is for.
func (c *call) introspectAccess(p party.Party, face party.Face, text, action string) {
	t, why, err := c.liveAccess(text)
	if err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	if why == "" && t.Client != p.ID && !slices.Contains(face.Serves, t.Audience) {
		why = "token_of_another"
	}
	if why != "" {
		c.inactive(p.ID, action, why)
		return
	}
	c.answer(http.StatusOK, struct {
		Active bool   `json:"active"`
		Type   string `json:"token_type"`
		accessToken
	}{true, oidc.BearerToken, t})
}

// revokeAccess revokes a JWT access token. A resource that only verifies the signature takes it until its end; one that introspects doesn't.
func (c *call) revokeAccess(p party.Party, text, action string) {
	t, why, err := c.readAccess(text)
	switch {
	case err != nil:
		c.refuse(p.ID, action, broken(err))
		return
	case why == "token_network", why == "" && t.Client != p.ID:
		c.refuse(p.ID, action, invalidGrant("token_of_another"))
		return
	case why != "":
		c.w.WriteHeader(http.StatusOK) // RFC 7009, section 2.2: there is nothing to do
		return
	}
	err = c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO oidc_revoked (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
			hashOf(c.issuer, t.ID), (t.Expires+skew)*1_000_000)
		if err != nil {
			return err
		}
		row := c.row(p.ID, action, audit.Done)
		row.Detail["jti"], row.Detail["kind"] = t.ID, kindAccess
		return audit.Append(ctx, tx, row)
	})
	if err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	c.w.WriteHeader(http.StatusOK)
}
