package relying

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
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
		p.refused(w, r, refuse(ResponseIssuer))
		return
	}
	m, err := p.provider(r.Context())
	if err != nil {
		p.refused(w, r, unreachable())
		return
	}
	browser := p.cookie(r, browserCookie)
	var drawn [4]string
	for i := range drawn {
		if drawn[i], err = p.secret(); err != nil {
			p.refused(w, r, internal())
			return
		}
	}
	state, nonce, verifier := drawn[0], drawn[1], drawn[2]
	if browser == "" {
		browser = drawn[3]
		p.setCookie(w, browserCookie, browser)
	}
	p.store.begin(state, pending{browser: digestOf(browser), nonce: nonce, verifier: verifier, target: p.target(q.Get("return")), begun: p.place.Now()})
	ask := []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	if len(p.opt.ACR) > 0 {
		ask = append(ask, oauth2.SetAuthURLParam("acr_values", strings.Join(p.opt.ACR, " ")))
	}
	if q.Get("prompt") == "login" {
		ask = append(ask, oauth2.SetAuthURLParam("prompt", "login"))
	}
	http.Redirect(w, r, m.oauth.AuthCodeURL(state, ask...), http.StatusFound)
}

// target is where a login ends: a page of the site that isn't the login itself.
func (p *Party) target(asked string) string {
	prefix := "/" + p.place.Name + "/"
	u, err := url.Parse(asked)
	if err == nil && localPath(asked) && strings.HasPrefix(asked, prefix) && !strings.Contains(u.Path, "/..") && // also where it is written %2e%2e
		!strings.HasPrefix(asked, "/"+p.place.Name+pathLogin) && !strings.HasPrefix(asked, "/"+p.place.Name+pathLogout) {
		return asked
	}
	return p.place.Home
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
		var cookie string
		if cookie, no = p.open(r, session); no == nil {
			p.setCookie(w, sessionCookie, cookie)
			// Not a redirect that keeps the method: the address with the code is left behind.
			http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // Party.target lets only paths of the site through
			return
		}
	}
	p.refused(w, r, no)
}

// enter goes from the provider's answer to a session that isn't kept yet, and where it begins.
func (p *Party) enter(r *http.Request) (*Session, string, *Refusal) {
	q := r.URL.Query()
	state, ok1 := one(q, "state", maxShort)
	iss, ok2 := one(q, "iss", maxShort)
	code, ok3 := one(q, "code", maxCode)
	wrong, ok4 := one(q, "error", maxShort)
	why, ok5 := one(q, "error_description", maxCode)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || state == "" || (code == "") == (wrong == "") {
		return nil, "", &Refusal{Status: http.StatusBadRequest, Reason: ResponseMalformed}
	}
	begun, reason := p.store.take(state, p.cookie(r, browserCookie), false, p.place.Now())
	if reason != "" {
		return nil, "", refuse(reason)
	}
	if iss != p.opt.Issuer {
		return nil, "", refuse(ResponseIssuer)
	}
	if wrong != "" {
		return nil, "", saidNo(ProviderError, wrong, why)
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
	email, no := p.userinfo(ctx, m, token, session.subject)
	if no != nil {
		return nil, "", no
	}
	session.Account, err = p.place.Accounts.Admit(p.opt.Issuer, session.subject, email)
	switch {
	case errors.Is(err, site.ErrInactive):
		return nil, "", refuse(AccountInactive)
	case errors.Is(err, site.ErrLinked):
		return nil, "", refuse(AccountLinked)
	case errors.Is(err, site.ErrNoAccount) && email == "":
		return nil, "", refuse(NoEmail)
	case errors.Is(err, site.ErrNoAccount):
		return nil, "", refuse(NoAccount)
	case err != nil:
		return nil, "", internal()
	}
	return session, begun.target, nil
}

// redeem exchanges the code.
func (p *Party) redeem(ctx context.Context, m *metadata, code, verifier string) (*oauth2.Token, *Refusal) {
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
	if p.opt.Key != nil {
		assertion, err := p.assertion()
		if err != nil {
			return nil, internal()
		}
		options = append(options, oauth2.SetAuthURLParam("client_assertion_type", assertionType), oauth2.SetAuthURLParam("client_assertion", assertion))
	}
	token, err := m.oauth.Exchange(ctx, code, options...)
	if err != nil {
		return nil, exchangeFailed(err)
	}
	if !strings.EqualFold(token.TokenType, "Bearer") || token.AccessToken == "" {
		return nil, refuse(TokenResponse)
	}
	return token, nil
}

// assertion proves who the site is (RFC 7523, section 3). Its audience is the issuer alone, so that nobody else can use it.
func (p *Party) assertion() (string, error) {
	id, err := p.secret()
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", p.opt.KeyID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: cryptosigner.Opaque(p.opt.Key)}, options)
	if err != nil {
		return "", fmt.Errorf("relying: %w", err)
	}
	now := p.place.Now()
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: p.opt.ClientID, Subject: p.opt.ClientID, Audience: jwt.Audience{p.opt.Issuer}, ID: id,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
}

// identify judges the ID token.
func (p *Party) identify(ctx context.Context, token *oauth2.Token, nonce string) (*Session, *Refusal) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, refuse(TokenResponse)
	}
	payload, typ, err := p.keys.verify(ctx, raw)
	switch {
	case errors.Is(err, errKeys):
		return nil, unreachable()
	case err != nil:
		return nil, refuse(IDTokenSignature)
	}
	claims, err := readClaims(payload)
	if err != nil {
		return nil, refuse(IDTokenMalformed)
	}
	now := p.place.Now()
	want := expected{issuer: p.opt.Issuer, client: p.opt.ClientID, nonce: nonce, acr: p.opt.ACR}
	if reason := judgeID(claims, typ, want, now); reason != "" {
		return nil, refuse(reason)
	}
	// The library reads the token too: of two readings both must find it good.
	read, err := p.verifier().Verify(ctx, raw)
	if err != nil || read.Nonce != nonce {
		return nil, refuse(IDTokenRejected)
	}
	if _, there := claims["at_hash"]; there {
		if err := read.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, refuse(IDTokenAccessHash)
		}
	}
	x := &Session{Began: now, seen: now, idToken: raw}
	x.subject, _ = claims.text("sub")
	x.sid, _ = claims.text("sid")
	x.ACR, _ = claims.text("acr")
	x.issued, _, _ = claims.instant("iat")
	return x, nil
}

func (p *Party) verifier() *oidc.IDTokenVerifier {
	return oidc.NewVerifier(p.opt.Issuer, p.keys, &oidc.Config{ClientID: p.opt.ClientID, SupportedSigningAlgs: []string{p.opt.Algorithm}, Now: p.place.Now})
}

// userinfo asks for the person's address. An address that the provider says it hasn't verified names nobody.
func (p *Party) userinfo(ctx context.Context, m *metadata, token *oauth2.Token, subject string) (email string, no *Refusal) {
	info, err := m.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return "", &Refusal{Status: http.StatusBadGateway, Reason: UserinfoRefused}
	}
	if info.Subject != subject {
		return "", refuse(UserinfoSubject)
	}
	var c claimSet
	if err := info.Claims(&c); err != nil {
		return "", refuse(UserinfoRefused)
	}
	if _, says := c["email_verified"]; says && !info.EmailVerified {
		return "", nil
	}
	if email, _ = c.text("email"); len(email) > maxShort {
		return "", nil
	}
	return email, nil
}

// open keeps a session under a new cookie: whatever cookie the browser had before opens nothing any more.
func (p *Party) open(r *http.Request, x *Session) (string, *Refusal) {
	cookie, err := p.secret()
	if err != nil {
		return "", internal()
	}
	x.Form = formToken(cookie)
	if !p.store.open(cookie, p.cookie(r, sessionCookie), x) {
		return "", refuse(SessionEnded)
	}
	return cookie, nil
}
