package oidcop

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/policies"
)

// answerable finds where a persisted request is answered. The party may have changed since the request was checked.
func (p *Provider) answerable(ctx context.Context, tx *sql.Tx, r login.Request) (party.Party, facts, string, error) {
	var fs facts
	issuer, ok := p.opt.Issuers[r.Network]
	if !ok || r.Issuer != identity.IssuerOIDC {
		return party.Party{}, fs, "", fmt.Errorf("oidcop: a request of %q in the network %q isn't answered here: %w", r.Issuer, r.Network, identity.ErrRefused)
	}
	if err := json.Unmarshal(r.Facts, &fs); err != nil {
		return party.Party{}, fs, "", fmt.Errorf("oidcop: the facts of a request are damaged: %w", err)
	}
	rp, err := p.opt.Parties.Party(ctx, tx, r.RelyingParty)
	if err != nil {
		return rp, fs, "", err
	}
	face, ok := rp.Face(r.Network)
	if !ok || !rp.Redirects(face, fs.Redirect) {
		return rp, fs, "", fmt.Errorf("oidcop: %s isn't answered at this address any more: %w", rp.ID, identity.ErrRefused)
	}
	return rp, fs, issuer, nil
}

// Finish writes the grant and its code, and gives the answer that takes the code to the relying party.
func (p *Provider) Finish(ctx context.Context, tx *sql.Tx, r login.Request, l identity.Login) (login.Answer, error) {
	rp, fs, issuer, err := p.answerable(ctx, tx, r)
	if err != nil {
		return login.Answer{}, err
	}
	if l.Network != r.Network || l.RelyingParty != r.RelyingParty || l.Session == "" || l.Person == "" || l.Assurance < r.Required || len(l.AMR) == 0 {
		return login.Answer{}, errors.New("oidcop: the login isn't one for this request")
	}
	at := p.now()
	g := grant{
		Holder: Holder{Session: l.Session, Person: l.Person, Org: l.Org, RelyingParty: rp.ID, Network: l.Network},
		Scope:  fs.Scope, Nonce: fs.Nonce, Assurance: l.Assurance, AMR: l.AMR, AuthAt: l.AuthAt, Released: l.Release, PolicyHash: l.PolicyHash,
		CreatedAt: at, ExpiresAt: at + grantLife.Microseconds(),
	}
	if g.ID, err = p.newID(); err != nil {
		return login.Answer{}, err
	}
	if g.SID, err = p.sid(ctx, tx, g.Holder); err != nil {
		return login.Answer{}, err
	}
	if g.Sub, err = p.opt.Subjects.Issue(ctx, tx, l.Person, ppid.Sector(rp.Sector), at); err != nil {
		return login.Answer{}, err
	}
	if err := g.insert(ctx, tx); err != nil {
		return login.Answer{}, err
	}
	text, err := p.secret()
	if err != nil {
		return login.Answer{}, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO oidc_code (hash, grant_id, redirect_uri, challenge, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, 0)`,
		hashOf(text), g.ID, fs.Redirect, fs.Challenge, at+codeLife.Microseconds()); err != nil {
		return login.Answer{}, fmt.Errorf("oidcop: keep a code: %w", err)
	}
	err = audit.Append(ctx, tx, audit.Row{
		At: at, Actor: string(l.Person), ActorKind: audit.ActorPerson, Action: "oidc.code", Org: l.Org, Object: string(rp.ID), Outcome: audit.Done,
		PolicyHash: l.PolicyHash, Detail: map[string]any{"grant": g.ID, "network": l.Network, "acr": l.Assurance.ACR(), "session": l.Session},
	})
	if err != nil {
		return login.Answer{}, err
	}
	return answerTo(fs, issuer, [][2]string{{"code", text}}), nil
}

// sid names a session towards one party in one network: the same each time, and another for each party, so that no two of them can tell by it
// that they serve the same person.
func (p *Provider) sid(ctx context.Context, tx *sql.Tx, h Holder) (string, error) {
	var sid string
	err := tx.QueryRowContext(ctx, `SELECT sid FROM oidc_grant WHERE session = $1 AND party = $2 ORDER BY created_at, id LIMIT 1`,
		string(h.Session), string(h.RelyingParty)).Scan(&sid)
	if errors.Is(err, sql.ErrNoRows) {
		return p.newID()
	}
	if err != nil {
		return "", fmt.Errorf("oidcop: %w", err)
	}
	return sid, nil
}

// refusals are the protocol's words for why a login was refused (RFC 6749, section 4.1.2.1; Core, section 3.1.2.6; OpenID Connect Core Error
// Code unmet_authentication_requirements 1.0). Everything else is access_denied.
var refusals = map[login.Reason]string{
	login.ReasonLogin:       "login_required",
	login.ReasonInteraction: "interaction_required",
	login.ReasonAssurance:   "unmet_authentication_requirements",
}

// Refuse gives the answer that tells the relying party of a refusal. It writes nothing: the dispatcher's row is the record.
func (p *Provider) Refuse(ctx context.Context, tx *sql.Tx, r login.Request, refusal login.Refusal) (login.Answer, error) {
	_, fs, issuer, err := p.answerable(ctx, tx, r)
	if err != nil {
		return login.Answer{}, err
	}
	word, ok := refusals[refusal.Reason]
	if !ok {
		word = "access_denied"
	}
	return answerTo(fs, issuer, [][2]string{{"error", word}, {"error_description", "incident " + refusal.Incident}}), nil
}

// claimsOf gives the claims about a person that a grant's scope asks for and policy released.
func claimsOf(g grant, scope []string, person identity.Person, org identity.Organization) map[string]any {
	return Claims(scope, g.Released, person, org)
}

// ScopeOf gives the scope value under which an attribute is asked for.
func ScopeOf(a policies.Attribute) string {
	switch a {
	case policies.AttributeName:
		return "profile"
	case policies.AttributeEmail:
		return "email"
	case policies.AttributePhone:
		return "phone"
	case policies.AttributeOrganization, policies.AttributeSection, policies.AttributeRole:
	}
	return "organization"
}

// Claims gives the claims about a person in a post of theirs, for a scope and the attributes that policy released. What the directory doesn't know is
// left out.
func Claims(scope []string, attributes []policies.Attribute, person identity.Person, org identity.Organization) map[string]any {
	out := map[string]any{}
	asked, released := map[string]bool{}, map[policies.Attribute]bool{}
	for _, s := range scope {
		asked[s] = true
	}
	for _, a := range attributes {
		released[a] = true
	}
	put := func(name, value string) {
		if value != "" {
			out[name] = value
		}
	}
	if asked["profile"] && released[policies.AttributeName] {
		put("name", person.DisplayName())
		put("family_name", person.FamilyName)
		put("given_name", person.GivenName)
		put("family_name#ja-Kana-JP", person.FamilyKana)
		put("given_name#ja-Kana-JP", person.GivenKana)
		put("family_name#ja-Latn-JP", person.FamilyRomaji)
		put("given_name#ja-Latn-JP", person.GivenRomaji)
	}
	if asked["email"] && released[policies.AttributeEmail] {
		put("email", person.Email)
	}
	if asked["phone"] && released[policies.AttributePhone] {
		put("phone_number", person.Phone)
		put("phone_extension", person.Extension)
	}
	if asked["organization"] {
		if released[policies.AttributeOrganization] {
			put("organization", string(org.ID))
			put("organization_name", org.Name)
			put("organization_kind", string(org.Kind))
		}
		// Section, title and role are those of the main post: in another post the directory's main record doesn't say them.
		if person.Org == org.ID {
			if released[policies.AttributeSection] {
				put("section", person.Section)
				put("title", person.Title)
			}
			if released[policies.AttributeRole] {
				put("role", string(person.Role))
			}
		}
	}
	return out
}
