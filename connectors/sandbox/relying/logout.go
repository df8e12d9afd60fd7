package relying

import (
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

const maxForm = 64 << 10

// logout ends the person's session here, and then at the provider (OpenID Connect RP-Initiated Logout 1.0).
func (p *Party) logout(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	x, ok := p.Current(r)
	if !ok {
		p.Pages.LoggedOut(w, r, visitor.HereAlone)
		return
	}
	if !p.CheckForm(w, r, x) {
		return
	}
	p.Drop(w, r)
	m, err := p.provider(r.Context())
	if err != nil || m.endSession == "" {
		p.Pages.LoggedOut(w, r, visitor.HereAlone)
		return
	}
	to, err := url.Parse(m.endSession)
	state, none := p.Secret()
	if err != nil || none != nil {
		p.Pages.LoggedOut(w, r, visitor.HereAlone)
		return
	}
	p.store.begin(state, pending{logout: true, browser: visitor.DigestOf(p.Cookie(r, visitor.BrowserCookie)), begun: p.Now()})
	q := to.Query()
	q.Set("state", state)
	q.Set("id_token_hint", x.Proof)
	q.Set("client_id", p.opt.ClientID)
	q.Set("post_logout_redirect_uri", p.endpoints.PostLogout)
	to.RawQuery = q.Encode()
	p.Leave(w, r, to.String())
}

// done is where the provider sends the browser after a logout. Who just opens the address is told nothing of the kind.
func (p *Party) done(w http.ResponseWriter, r *http.Request) {
	state, ok := one(r.URL.Query(), "state", maxShort)
	if ok {
		_, no := p.store.take(state, p.Cookie(r, visitor.BrowserCookie), true, p.Now())
		ok = no == ""
	}
	if _, in := p.Current(r); !ok || in {
		http.Redirect(w, r, p.Home, http.StatusSeeOther)
		return
	}
	p.Pages.LoggedOut(w, r, visitor.Everywhere)
}

// backchannel ends sessions at the provider's word (OpenID Connect Back-Channel Logout 1.0, sections 2.5 to 2.8). 200 says that they are
// over, 400 that the token isn't taken, 503 that it couldn't be judged now.
func (p *Party) backchannel(w http.ResponseWriter, r *http.Request) {
	n, no := p.endByToken(w, r)
	if no == nil {
		p.Logger.InfoContext(r.Context(), "sessions ended by the provider", slog.String("site", p.Name), slog.Int("sessions", n))
		w.WriteHeader(http.StatusOK)
		return
	}
	p.Log(r.Context(), "logout refused", no)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(no.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request", "error_description": string(no.Reason)}) // who went away can't be told
}

func (p *Party) endByToken(w http.ResponseWriter, r *http.Request) (int, *Refusal) {
	bad := func(reason Reason) (int, *Refusal) { return 0, &Refusal{Status: http.StatusBadRequest, Reason: reason} }
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
		return bad(LogoutMalformed)
	}
	token, ok := one(r.PostForm, "logout_token", maxToken)
	if !ok || token == "" {
		return bad(LogoutMalformed)
	}
	payload, typ, err := p.keys.verify(r.Context(), token)
	switch {
	case errors.Is(err, errKeys):
		return 0, &Refusal{Status: http.StatusServiceUnavailable, Reason: visitor.ProviderUnreachable}
	case err != nil:
		return bad(LogoutSignature)
	}
	claims, err := readClaims(payload)
	if err != nil {
		return bad(LogoutMalformed)
	}
	now := p.Now()
	e, reason := judgeLogout(claims, typ, p.opt.Issuer, p.opt.ClientID, now)
	if reason != "" {
		return bad(reason)
	}
	if _, err := p.verifier().VerifyLogout(r.Context(), token); err != nil {
		return bad(LogoutRejected)
	}
	n, reason := p.store.end(e, now)
	if reason != "" {
		return bad(reason)
	}
	return n, nil
}

// frontchannel ends the session that a page of the provider names (OpenID Connect Front-Channel Logout 1.0, section 3). In the provider's
// frame the browser sends no cookie of ours; the sid, which only browser and provider know, is proof enough.
func (p *Party) frontchannel(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	iss, ok1 := one(q, "iss", maxShort)
	sid, ok2 := one(q, "sid", maxShort)
	if !ok1 || !ok2 || iss != p.opt.Issuer || sid == "" {
		http.Error(w, "iss and sid are needed", http.StatusBadRequest)
		return
	}
	p.store.endSession(sid)
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+p.issuerOrigin())
	h.Del("X-Frame-Options")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte("<!DOCTYPE html>\n<html lang=\"ja\"><title>ログアウト / Logged out</title><p>ログアウトしました。<span lang=\"en\">Logged out.</span></p></html>\n"))
}
