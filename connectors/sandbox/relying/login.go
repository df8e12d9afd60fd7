package relying

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLife = time.Minute
	maxCode       = 2048
)

// login begins a login (OpenID Connect Core 1.0, sections 3.1.2.1 and 4). "return" is where it ends, "prompt=login" asks for a new proof.
func (p *Party) login(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if iss := q.Get("iss"); iss != "" && iss != p.opt.Issuer {
		p.Refuse(w, r, visitor.Refuse(ResponseIssuer))
		return
	}
	m, err := p.provider(r.Context())
	if err != nil {
		p.Refuse(w, r, unreachable())
		return
	}
	var drawn [3]string
	for i := range drawn {
		if drawn[i], err = p.Secret(); err != nil {
			p.Refuse(w, r, visitor.Broken())
			return
		}
	}
	state, nonce, verifier := drawn[0], drawn[1], drawn[2]
	browser, err := p.Browser(w, r, visitor.BrowserCookie)
	if err != nil {
		p.Refuse(w, r, visitor.Broken())
		return
	}
	p.store.begin(state, pending{browser: visitor.DigestOf(browser), nonce: nonce, verifier: verifier, target: p.Target(q.Get("return")), begun: p.Now()})
	ask := []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	if len(p.opt.ACR) > 0 {
		ask = append(ask, oauth2.SetAuthURLParam("acr_values", strings.Join(p.opt.ACR, " ")))
	}
	if q.Get("prompt") == "login" {
		ask = append(ask, oauth2.SetAuthURLParam("prompt", "login"))
	}
	http.Redirect(w, r, m.oauth.AuthCodeURL(state, ask...), http.StatusFound)
}

// one gives a parameter that is there once at most and isn't too long.
func one(q url.Values, name string, most int) (string, bool) {
	switch v := q[name]; len(v) {
	case 0:
		return "", true
	case 1:
		return v[0], len(v[0]) <= most
	}
	return "", false
}

// callback takes the provider's answer (sections 3.1.2.5 to 3.1.3.8, 5.3.2; RFC 9207, section 2.4).
func (p *Party) callback(w http.ResponseWriter, r *http.Request) {
	session, target, no := p.enter(r)
	if no == nil {
		if no = p.store.open(w, r, session); no == nil {
			// Not a redirect that keeps the method: the address with the code is left behind.
			http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // Visitors.Target lets only paths of the site through
			return
		}
	}
	p.Refuse(w, r, no)
}

// enter goes from the provider's answer to a session that isn't kept yet, and where it begins.
func (p *Party) enter(r *http.Request) (*visitor.Session, string, *Refusal) {
	q := r.URL.Query()
	state, ok1 := one(q, "state", maxShort)
	iss, ok2 := one(q, "iss", maxShort)
	code, ok3 := one(q, "code", maxCode)
	wrong, ok4 := one(q, "error", maxShort)
	why, ok5 := one(q, "error_description", maxCode)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || state == "" || (code == "") == (wrong == "") {
		return nil, "", &Refusal{Status: http.StatusBadRequest, Reason: ResponseMalformed}
	}
	begun, reason := p.store.take(state, p.Cookie(r, visitor.BrowserCookie), false, p.Now())
	if reason != "" {
		return nil, "", visitor.Refuse(reason)
	}
	if iss != p.opt.Issuer {
		return nil, "", visitor.Refuse(ResponseIssuer)
	}
	if wrong != "" {
		return nil, "", saidNo(visitor.ProviderError, wrong, why)
	}
	m, err := p.provider(r.Context())
	if err != nil {
		return nil, "", unreachable()
	}
	ctx := oidc.ClientContext(r.Context(), p.client)
	token, no := p.redeem(ctx, m, code, begun.verifier)
	if no != nil {
		return nil, "", no
	}
	session, no := p.identify(ctx, token, begun.nonce)
	if no != nil {
		return nil, "", no
	}
	email, told, no := p.userinfo(ctx, m, token, session.Subject)
	if no != nil {
		return nil, "", no
	}
	session.Facts = append(session.Facts, told...)
	session.Account, err = p.Accounts.Admit(p.opt.Issuer, session.Subject, email)
	switch {
	case errors.Is(err, site.ErrInactive):
		return nil, "", visitor.Refuse(visitor.AccountInactive)
	case errors.Is(err, site.ErrLinked):
		return nil, "", visitor.Refuse(visitor.AccountLinked)
	case errors.Is(err, site.ErrNoAccount) && email == "":
		return nil, "", visitor.Refuse(visitor.NoEmail)
	case errors.Is(err, site.ErrNoAccount):
		return nil, "", visitor.Refuse(visitor.NoAccount)
	case err != nil:
		return nil, "", visitor.Broken()
	}
	return session, begun.target, nil
}

// redeem exchanges the code.
func (p *Party) redeem(ctx context.Context, m *metadata, code, verifier string) (*oauth2.Token, *Refusal) {
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
	if p.opt.Key != nil {
		assertion, err := p.assertion()
		if err != nil {
			return nil, visitor.Broken()
		}
		options = append(options, oauth2.SetAuthURLParam("client_assertion_type", assertionType), oauth2.SetAuthURLParam("client_assertion", assertion))
	}
	token, err := m.oauth.Exchange(ctx, code, options...)
	if err != nil {
		return nil, exchangeFailed(err)
	}
	if !strings.EqualFold(token.TokenType, "Bearer") || token.AccessToken == "" {
		return nil, visitor.Refuse(TokenResponse)
	}
	return token, nil
}

// assertion proves who the site is (RFC 7523, section 3). Its audience is the issuer alone, so that nobody else can use it.
func (p *Party) assertion() (string, error) {
	id, err := p.Secret()
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", p.opt.KeyID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: cryptosigner.Opaque(p.opt.Key)}, options)
	if err != nil {
		return "", fmt.Errorf("relying: %w", err)
	}
	now := p.Now()
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: p.opt.ClientID, Subject: p.opt.ClientID, Audience: jwt.Audience{p.opt.Issuer}, ID: id,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
}

// identify judges the ID token.
func (p *Party) identify(ctx context.Context, token *oauth2.Token, nonce string) (*visitor.Session, *Refusal) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, visitor.Refuse(TokenResponse)
	}
	payload, typ, err := p.keys.verify(ctx, raw)
	switch {
	case errors.Is(err, errKeys):
		return nil, unreachable()
	case err != nil:
		return nil, visitor.Refuse(IDTokenSignature)
	}
	claims, err := readClaims(payload)
	if err != nil {
		return nil, visitor.Refuse(IDTokenMalformed)
	}
	now := p.Now()
	want := expected{issuer: p.opt.Issuer, client: p.opt.ClientID, nonce: nonce, acr: p.opt.ACR}
	if reason := judgeID(claims, typ, want, now); reason != "" {
		return nil, visitor.Refuse(reason)
	}
	// The library reads the token too: of two readings both must find it good.
	read, err := p.verifier().Verify(ctx, raw)
	if err != nil || read.Nonce != nonce {
		return nil, visitor.Refuse(IDTokenRejected)
	}
	if _, there := claims["at_hash"]; there {
		if err := read.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, visitor.Refuse(IDTokenAccessHash)
		}
	}
	x := &visitor.Session{Protocol: "OpenID Connect", Proof: raw}
	x.Subject, _ = claims.text("sub")
	x.Index, _ = claims.text("sid")
	x.ACR, _ = claims.text("acr")
	x.Issued, _, _ = claims.instant("iat")
	x.Facts = claims.facts("sub", "acr", "sid", "auth_time")
	return x, nil
}

func (p *Party) verifier() *oidc.IDTokenVerifier {
	return oidc.NewVerifier(p.opt.Issuer, p.keys, &oidc.Config{ClientID: p.opt.ClientID, SupportedSigningAlgs: []string{p.opt.Algorithm}, Now: p.Now})
}

// userinfo asks for the person's address, and what else is told. An address that the provider says it hasn't verified names nobody.
func (p *Party) userinfo(ctx context.Context, m *metadata, token *oauth2.Token, subject string) (email string, told []visitor.Fact, no *Refusal) {
	info, err := m.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return "", nil, &Refusal{Status: http.StatusBadGateway, Reason: UserinfoRefused}
	}
	if info.Subject != subject {
		return "", nil, visitor.Refuse(UserinfoSubject)
	}
	var c claimSet
	if err := info.Claims(&c); err != nil {
		return "", nil, visitor.Refuse(UserinfoRefused)
	}
	delete(c, "sub")
	told = c.facts(slices.Sorted(maps.Keys(c))...)
	if _, says := c["email_verified"]; says && !info.EmailVerified {
		return "", told, nil
	}
	if email, _ = c.text("email"); len(email) > maxShort {
		return "", told, nil
	}
	return email, told, nil
}
