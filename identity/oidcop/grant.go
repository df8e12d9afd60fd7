package oidcop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// grant is what one login gave one relying party.
type grant struct {
	ID string
	Holder
	SID        string
	Sub        string
	Scope      []string
	Nonce      string
	Assurance  policies.Assurance
	AMR        []string
	AuthAt     int64
	Released   []policies.Attribute
	PolicyHash string
	CreatedAt  int64
	ExpiresAt  int64
	EndedAt    int64
}

const grantColumns = `g.id, g.party, g.network, g.session, g.sid, g.person, g.org, g.sub, g.scope, g.nonce, g.assurance, g.amr, g.auth_at,
	g.released, g.policy_hash, g.created_at, g.expires_at, g.ended_at`

// fields gives where a row of grantColumns is read to, and what to call afterwards.
func (g *grant) fields() (to []any, finish func()) {
	var scope, amr, released string
	to = []any{
		&g.ID, &g.RelyingParty, &g.Network, &g.Session, &g.SID, &g.Person, &g.Org, &g.Sub, &scope, &g.Nonce, &g.Assurance, &amr, &g.AuthAt,
		&released, &g.PolicyHash, &g.CreatedAt, &g.ExpiresAt, &g.EndedAt,
	}
	return to, func() {
		g.Scope, g.AMR = strings.Fields(scope), strings.Fields(amr)
		for _, a := range strings.Fields(released) {
			g.Released = append(g.Released, policies.Attribute(a))
		}
	}
}

func (g *grant) insert(ctx context.Context, tx *sql.Tx) error {
	released := make([]string, len(g.Released))
	for i, a := range g.Released {
		released[i] = string(a)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO oidc_grant (id, party, network, session, sid, person, org, sub, scope, nonce, assurance, amr, auth_at,
			released, policy_hash, created_at, expires_at, ended_at, ended_why)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0, '')`,
		g.ID, string(g.RelyingParty), string(g.Network), string(g.Session), g.SID, string(g.Person), string(g.Org), g.Sub, strings.Join(g.Scope, " "), g.Nonce,
		int(g.Assurance), strings.Join(g.AMR, " "), g.AuthAt, strings.Join(released, " "), g.PolicyHash, g.CreatedAt, g.ExpiresAt)
	if err != nil {
		return fmt.Errorf("oidcop: keep a grant: %w", err)
	}
	return nil
}

// endGrant ends a grant and with it its code and tokens.
func endGrant(ctx context.Context, tx *sql.Tx, id, why string, at int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE oidc_grant SET ended_at = $2, ended_why = $3 WHERE id = $1 AND ended_at = 0`, id, at, why)
	if err != nil {
		return fmt.Errorf("oidcop: end a grant: %w", err)
	}
	return nil
}

// code is a kept authorization code.
type code struct {
	Hash      string
	Redirect  string
	Challenge string
	ExpiresAt int64
	UsedAt    int64
	Grant     grant
}

func (p *Provider) code(ctx context.Context, text string) (code, error) {
	c := code{Hash: hashOf(text)}
	to, finish := c.Grant.fields()
	err := p.opt.DB.Reader().QueryRowContext(ctx, `SELECT c.redirect_uri, c.challenge, c.expires_at, c.used_at, `+grantColumns+`
		FROM oidc_code c JOIN oidc_grant g ON g.id = c.grant_id WHERE c.hash = $1`, c.Hash).
		Scan(append([]any{&c.Redirect, &c.Challenge, &c.ExpiresAt, &c.UsedAt}, to...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return c, identity.ErrNotFound
	}
	finish()
	return c, err
}

// token is a kept access or refresh token.
type token struct {
	Hash      string
	Kind      string
	Scope     []string
	CreatedAt int64
	ExpiresAt int64
	UsedAt    int64
	Grant     grant
}

// The kinds of token.
const (
	kindAccess  = "access"
	kindRefresh = "refresh"
)

func (p *Provider) kept(ctx context.Context, text string) (token, error) {
	t := token{Hash: hashOf(text)}
	to, finish := t.Grant.fields()
	var scope string
	err := p.opt.DB.Reader().QueryRowContext(ctx, `SELECT t.kind, t.scope, t.created_at, t.expires_at, t.used_at, `+grantColumns+`
		FROM oidc_token t JOIN oidc_grant g ON g.id = t.grant_id WHERE t.hash = $1`, t.Hash).
		Scan(append([]any{&t.Kind, &scope, &t.CreatedAt, &t.ExpiresAt, &t.UsedAt}, to...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return t, identity.ErrNotFound
	}
	finish()
	t.Scope = strings.Fields(scope)
	return t, err
}

func insertToken(ctx context.Context, tx *sql.Tx, hash, grantID, kind string, scope []string, at, until int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO oidc_token (hash, grant_id, kind, scope, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, 0)`,
		hash, grantID, kind, strings.Join(scope, " "), at, until)
	if err != nil {
		return fmt.Errorf("oidcop: keep a token: %w", err)
	}
	return nil
}

// counts tells why a grant doesn't count any more; empty where it does. It asks the directory and the sessions, each time.
func (p *Provider) counts(ctx context.Context, g grant, at int64) (why string, err error) {
	switch {
	case g.EndedAt != 0:
		return "grant_ended", nil
	case at >= g.ExpiresAt:
		return "grant_expired", nil
	}
	return p.opt.Standing.Standing(ctx, g.Holder)
}

// Sweep deletes what has expired, at most limit rows of a kind, and says how many rows went. Receipts of logouts are kept for keep (in
// microseconds).
func (p *Provider) Sweep(ctx context.Context, limit int, keep int64) (n int64, err error) {
	at := p.now()
	for _, s := range []struct {
		statement string
		before    int64
	}{
		{`DELETE FROM oidc_pushed WHERE hash IN (SELECT hash FROM oidc_pushed WHERE expires_at < $1 LIMIT $2)`, at},
		{`DELETE FROM oidc_assertion WHERE hash IN (SELECT hash FROM oidc_assertion WHERE expires_at < $1 LIMIT $2)`, at},
		{`DELETE FROM oidc_revoked WHERE hash IN (SELECT hash FROM oidc_revoked WHERE expires_at < $1 LIMIT $2)`, at},
		{`DELETE FROM oidc_confirm WHERE hash IN (SELECT hash FROM oidc_confirm WHERE expires_at < $1 LIMIT $2)`, at},
		// Used refresh tokens expire with their grant, so that their reuse is noticed until then.
		{`DELETE FROM oidc_token WHERE hash IN (SELECT hash FROM oidc_token WHERE expires_at < $1 LIMIT $2)`, at},
		{`DELETE FROM oidc_code WHERE hash IN (SELECT c.hash FROM oidc_code c JOIN oidc_grant g ON g.id = c.grant_id WHERE g.expires_at < $1 LIMIT $2)`, at - keepUsed.Microseconds()},
		{`DELETE FROM oidc_grant WHERE id IN (SELECT id FROM oidc_grant WHERE expires_at < $1
			AND NOT EXISTS (SELECT 1 FROM oidc_code c WHERE c.grant_id = oidc_grant.id) LIMIT $2)`, at - keepUsed.Microseconds()},
		{`DELETE FROM oidc_logout WHERE id IN (SELECT id FROM oidc_logout WHERE state <> 'pending' AND created_at < $1 LIMIT $2)`, at - keep},
	} {
		err := p.opt.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			res, err := tx.ExecContext(ctx, s.statement, s.before, limit)
			if err != nil {
				return err
			}
			gone, err := res.RowsAffected()
			n += gone
			return err
		})
		if err != nil {
			return n, fmt.Errorf("oidcop: sweep: %w", err)
		}
	}
	return n, nil
}
