package oidcop

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
)

// token serves the token end point.
func (c *call) token() {
	const action = "oidc.token"
	in, f := c.form()
	if f != nil {
		c.refuse("", action, f)
		return
	}
	grantType := oidc.GrantType(in["grant_type"])
	p, face, f := c.prove(in)
	if f == nil && grantType != oidc.GrantTypeClientCredentials { // which spends it in its own transaction
		f = c.spent()
	}
	if f != nil {
		c.refuse(p.ID, action, f)
		return
	}
	switch grantType {
	case oidc.GrantTypeCode:
		c.redeem(p, in)
	case oidc.GrantTypeRefreshToken:
		c.refresh(p, in)
	case oidc.GrantTypeClientCredentials:
		c.credentials(p, face, in)
	default:
		c.refuse(p.ID, action, &fault{http.StatusBadRequest, "unsupported_grant_type", "grant_type", "grant_type is authorization_code, refresh_token or client_credentials", nil})
	}
}

// verifies reports whether a verifier is the one of a challenge (RFC 7636, section 4.6), in a time that tells nothing.
func verifies(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// redeem gives tokens for a code.
func (c *call) redeem(p party.Party, in params) {
	const action = "oidc.code.redeem"
	if in["code"] == "" || !verifierForm.MatchString(in["code_verifier"]) {
		reason := "pkce_verifier_malformed"
		if in["code"] == "" {
			reason = "code_missing"
		} else if in["code_verifier"] == "" {
			reason = "pkce_verifier_missing"
		}
		c.refuse(p.ID, action, invalidRequest(reason, "code and code_verifier are needed"))
		return
	}
	kept, err := c.p.code(c.r.Context(), in["code"])
	switch {
	case errors.Is(err, identity.ErrNotFound):
		c.refuse(p.ID, action, invalidGrant("code_unknown"))
		return
	case err != nil:
		c.refuse(p.ID, action, broken(err))
		return
	case kept.Grant.RelyingParty != p.ID:
		// It stays good for its owner: whoever only saw it must not be able to spoil it.
		c.refuse(p.ID, action, invalidGrant("code_of_another"))
		return
	case kept.Grant.Network != c.network:
		c.refuse(p.ID, action, invalidGrant("code_network"))
		return
	}
	reason, err := c.judgeCode(kept, in)
	switch {
	case err != nil:
		c.refuse(p.ID, action, broken(err))
	case reason != "":
		c.spoil(p, kept, action, reason)
	default:
		out, err := c.prepare(p, kept.Grant, kept.Grant.Scope, kept.Grant.Nonce)
		if err != nil {
			c.refuse(p.ID, action, broken(err))
			return
		}
		c.commitCode(p, kept, action, out)
	}
}

// judgeCode says why a code isn't redeemed; empty where it is.
func (c *call) judgeCode(kept code, in params) (reason string, err error) {
	switch {
	case kept.UsedAt != 0:
		return "code_reused", nil
	case c.at >= kept.ExpiresAt:
		return "code_expired", nil
	case in["redirect_uri"] != kept.Redirect:
		return "redirect_mismatch", nil
	case !verifies(kept.Challenge, in["code_verifier"]):
		return "pkce_mismatch", nil
	}
	return c.p.counts(c.r.Context(), kept.Grant, c.at)
}

// spoil refuses a code, and ends what it gave or could have given (RFC 6749, section 4.1.2): the try, its consequence and its record commit
// together.
func (c *call) spoil(p party.Party, kept code, action, reason string) {
	err := c.write(func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE oidc_code SET used_at = $2 WHERE hash = $1 AND used_at = 0`, kept.Hash, c.at); err != nil {
			return err
		}
		return endGrant(ctx, tx, kept.Grant.ID, reason, c.at)
	}, p, action, reason, kept.Grant)
	c.refused(p, action, reason, err)
}

// write runs change and appends the row of a refusal that it belongs to.
func (c *call) write(change func(context.Context, *sql.Tx) error, p party.Party, action, reason string, g grant) error {
	return c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		if err := change(ctx, tx); err != nil {
			return err
		}
		return c.appendRefusal(ctx, tx, p, action, reason, g)
	})
}

func (c *call) appendRefusal(ctx context.Context, tx *sql.Tx, p party.Party, action, reason string, g grant) error {
	row := c.row(p.ID, action, audit.Refused)
	row.Org, row.Reason = g.Org, reason
	row.Detail["grant"], row.Detail["session"], row.Detail["person"] = g.ID, g.Session, g.Person
	return audit.Append(ctx, tx, row)
}

// refused answers a refusal that is recorded already, or says that even that failed.
func (c *call) refused(p party.Party, action, reason string, err error) {
	if err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	c.p.opt.Logger.InfoContext(c.r.Context(), "refused", "action", action, "party", string(p.ID), "network", string(c.network), "reason", reason)
	c.answerFault(invalidGrant(reason), "")
}

// issued is what a token response is made of.
type issued struct {
	access, refresh string   // refresh is empty where none is given
	scope           []string // of the access token
	lasting         []string // of the refresh token
	body            map[string]any
}

// prepare draws tokens and signs the ID token, before anything is written: no transaction waits for a signature.
func (c *call) prepare(p party.Party, g grant, scope []string, nonce string) (out issued, err error) {
	if out.access, err = c.p.secret(); err != nil {
		return out, err
	}
	if p.Refresh {
		if out.refresh, err = c.p.secret(); err != nil {
			return out, err
		}
	}
	hash, err := oidc.ClaimHash(out.access, p.Alg)
	if err != nil {
		return out, err
	}
	now := c.at / 1_000_000
	body := map[string]any{}
	if p.IDClaim {
		person, org, err := c.p.opt.People.Person(c.r.Context(), g.Person, g.Org)
		if err != nil {
			return out, err
		}
		body = claimsOf(g, scope, person, org)
	}
	maps.Copy(body, map[string]any{
		"iss": c.issuer, "sub": g.Sub, "aud": string(p.ID), "azp": string(p.ID), "iat": now, "exp": now + int64(tokenLife.Seconds()),
		"auth_time": g.AuthAt / 1_000_000, "acr": g.Assurance.ACR(), "amr": g.AMR, "sid": g.SID, "at_hash": hash,
	})
	if nonce != "" {
		body["nonce"] = nonce
	}
	signed, err := c.p.sign(c.r.Context(), p.Alg, "JWT", body)
	if err != nil {
		return out, err
	}
	out.scope, out.lasting = scope, scope
	out.body = map[string]any{
		"access_token": out.access, "token_type": oidc.BearerToken, "scope": strings.Join(scope, " "), "id_token": signed,
		"expires_in": (min(c.after(tokenLife), g.ExpiresAt) - c.at) / 1_000_000,
	}
	if out.refresh != "" {
		out.body["refresh_token"] = out.refresh
	}
	return out, nil
}

// insert keeps the tokens, and the record that they were given.
func (c *call) insert(ctx context.Context, tx *sql.Tx, p party.Party, g grant, action string, out issued) error {
	if err := insertToken(ctx, tx, hashOf(out.access), g.ID, kindAccess, out.scope, c.at, min(c.after(tokenLife), g.ExpiresAt)); err != nil {
		return err
	}
	if out.refresh != "" {
		if err := insertToken(ctx, tx, hashOf(out.refresh), g.ID, kindRefresh, out.lasting, c.at, g.ExpiresAt); err != nil {
			return err
		}
	}
	row := c.row(p.ID, action, audit.Done)
	row.Org, row.PolicyHash = g.Org, g.PolicyHash
	row.Detail["grant"], row.Detail["session"] = g.ID, g.Session
	return audit.Append(ctx, tx, row)
}

// claim marks a row as used; only one of all callers does.
func claim(ctx context.Context, tx *sql.Tx, statement, hash string, at int64) (won bool, err error) {
	res, err := tx.ExecContext(ctx, statement, hash, at)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func (c *call) commitCode(p party.Party, kept code, action string, out issued) {
	c.commit(p, kept.Grant, action, out, `UPDATE oidc_code SET used_at = $2 WHERE hash = $1 AND used_at = 0`, kept.Hash, "code_reused")
}

// commit claims what is exchanged and keeps the tokens. Who comes second, even at the same moment, ends the grant instead.
func (c *call) commit(p party.Party, g grant, action string, out issued, statement, hash, again string) {
	won := false
	err := c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		if won, err = claim(ctx, tx, statement, hash, c.at); err != nil {
			return err
		}
		if won {
			return c.insert(ctx, tx, p, g, action, out)
		}
		if err := endGrant(ctx, tx, g.ID, again, c.at); err != nil {
			return err
		}
		return c.appendRefusal(ctx, tx, p, action, again, g)
	})
	if err != nil || !won {
		c.refused(p, action, again, err)
		return
	}
	c.answer(http.StatusOK, out.body)
}

// refresh gives new tokens for a refresh token, which is good once (RFC 9700, section 4.14.2).
func (c *call) refresh(p party.Party, in params) {
	const action = "oidc.refresh"
	kept, err := c.p.kept(c.r.Context(), in["refresh_token"])
	switch {
	case err == nil && kept.Grant.RelyingParty != p.ID:
		c.refuse(p.ID, action, invalidGrant("refresh_of_another"))
		return
	case errors.Is(err, identity.ErrNotFound) || err == nil && kept.Kind != kindRefresh:
		c.refuse(p.ID, action, invalidGrant("refresh_unknown"))
		return
	case err != nil:
		c.refuse(p.ID, action, broken(err))
		return
	case kept.Grant.Network != c.network:
		c.refuse(p.ID, action, invalidGrant("refresh_network"))
		return
	case kept.UsedAt != 0:
		// Two have it, and nobody knows which of them is the thief: both lose it.
		err := c.write(func(ctx context.Context, tx *sql.Tx) error {
			return endGrant(ctx, tx, kept.Grant.ID, "refresh_reused", c.at)
		}, p, action, "refresh_reused", kept.Grant)
		c.refused(p, action, "refresh_reused", err)
		return
	case !p.Refresh:
		c.refuse(p.ID, action, &fault{http.StatusBadRequest, "unauthorized_client", "refresh_not_allowed", "this relying party is given no refresh tokens", nil})
		return
	}
	why, err := c.p.counts(c.r.Context(), kept.Grant, c.at)
	if err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	if why != "" {
		c.refuse(p.ID, action, invalidGrant(why))
		return
	}
	scope := kept.Scope
	if in["scope"] != "" {
		scope = strings.Fields(in["scope"])
		slices.Sort(scope)
		scope = slices.Compact(scope)
		for _, s := range scope {
			if !slices.Contains(kept.Scope, s) {
				c.refuse(p.ID, action, &fault{http.StatusBadRequest, "invalid_scope", "scope_wider", "a refresh can't ask for more than there was", nil})
				return
			}
		}
	}
	out, err := c.prepare(p, kept.Grant, scope, "")
	if err != nil {
		c.refuse(p.ID, action, broken(err))
		return
	}
	out.lasting = kept.Scope // RFC 6749, section 6: a narrower access token doesn't narrow the refresh token
	c.commit(p, kept.Grant, action, out, `UPDATE oidc_token SET used_at = $2 WHERE hash = $1 AND used_at = 0`, kept.Hash, "refresh_reused")
}
