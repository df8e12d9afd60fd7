package oidcop_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/policies"
)

// pages shows pages as JSON.
type pages struct{}

func (pages) show(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p pages) Problem(w http.ResponseWriter, _ *http.Request, v oidcop.Problem) {
	p.show(w, v.Status, v)
}

func (p pages) Form(w http.ResponseWriter, _ *http.Request, v login.Answer) {
	p.show(w, 200, struct { // a function is no JSON
		Location string
		Form     [][2]string
	}{v.Location, v.Form})
}

func (p pages) Confirm(w http.ResponseWriter, _ *http.Request, v oidcop.Confirmation) {
	p.show(w, 200, v)
}

func (p pages) LoggedOut(w http.ResponseWriter, r *http.Request, v oidcop.LoggedOut) {
	if v.Location != "" && len(v.Frames) == 0 {
		http.Redirect(w, r, v.Location, http.StatusSeeOther)
		return
	}
	p.show(w, 200, v)
}

// answer is what came back.
type answer struct {
	status   int
	header   http.Header
	location *url.URL // nil for no redirect
	body     map[string]any
	raw      string
}

func (a answer) text(name string) string { s, _ := a.body[name].(string); return s }

func (a answer) query(name string) string {
	if a.location == nil {
		return ""
	}
	return a.location.Query().Get(name)
}

// send sends a request in a network.
func (h *house) send(n policies.Network, r *http.Request) answer {
	h.t.Helper()
	host := map[policies.Network]string{policies.NetworkInternet: issuer, policies.NetworkLGWAN: issuerLGWAN}[n]
	r.Host = strings.TrimPrefix(host, "https://")
	rec := httptest.NewRecorder()
	h.handler[n].ServeHTTP(rec, r)
	a := answer{status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	if l := rec.Header().Get("Location"); l != "" {
		var err error
		a.location, err = url.Parse(l)
		must(h.t, err)
	}
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(rec.Body.Bytes(), &a.body); err != nil {
			h.t.Fatalf("not JSON: %s", a.raw)
		}
	}
	for name := range rec.Header() {
		if strings.HasPrefix(name, "Access-Control-") {
			h.t.Errorf("%s %s answers with %s", r.Method, r.URL.Path, name)
		}
	}
	if strings.Contains(a.raw, "sql: ") || strings.Contains(a.raw, "goroutine") {
		h.t.Errorf("%s %s shows internals: %s", r.Method, r.URL.Path, a.raw)
	}
	return a
}

func (h *house) get(path string, q url.Values) answer {
	h.t.Helper()
	return h.send(policies.NetworkInternet, httptest.NewRequest(http.MethodGet, path+"?"+q.Encode(), nil))
}

// post sends a form as a party: "app" with a fresh assertion, "other" and "pushing" with the secret, "native" by its name.
func (h *house) post(path, who string, form url.Values) answer {
	h.t.Helper()
	return h.postIn(policies.NetworkInternet, path, who, form)
}

func (h *house) postIn(n policies.Network, path, who string, form url.Values) answer {
	h.t.Helper()
	form = clone(form)
	authorization := ""
	switch who {
	case "app":
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", h.assertion(func(m map[string]any) {
			if n == policies.NetworkLGWAN {
				m["aud"] = issuerLGWAN
			}
		}))
	case "other", "pushing":
		authorization = basic(who, h.secret)
	case "native":
		form.Set("client_id", who)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return h.send(n, r)
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func clone(v url.Values) url.Values {
	out := url.Values{}
	for k, s := range v {
		out[k] = slices.Clone(s)
	}
	return out
}

// assertion makes a client assertion of "app"; change may spoil its claims.
func (h *house) assertion(change func(map[string]any)) string {
	h.t.Helper()
	now := h.now().Unix()
	m := map[string]any{"iss": "app", "sub": "app", "aud": issuer, "iat": now, "exp": now + 60, "jti": fmt.Sprint("jti-", h.nextID.Add(1))}
	if change != nil {
		change(m)
	}
	return signed(h.t, h.key, jose.ES256, "k1", m)
}

func signed(t testing.TB, key crypto.PrivateKey, alg jose.SignatureAlgorithm, kid string, m map[string]any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	if kid != "" {
		opts = opts.WithHeader("kid", kid)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	must(t, err)
	payload, err := json.Marshal(m)
	must(t, err)
	jws, err := s.Sign(payload)
	must(t, err)
	text, err := jws.CompactSerialize()
	must(t, err)
	return text
}

const verifier = "synthetic-verifier-of-at-least-43-characters-0"

func challenge(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is a good authorization request of a party.
func request(who string) url.Values {
	v := url.Values{
		"client_id": {who}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile email"}, "state": {"st&a te"},
		"nonce": {"n-1"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	if who == "native" {
		v.Set("redirect_uri", "http://127.0.0.1:49152/cb")
	}
	return v
}

// code logs in and gives the code.
func (h *house) code(who string) string {
	h.t.Helper()
	a := h.get("/oidc/authorize", request(who))
	if a.query("code") == "" {
		h.t.Fatalf("no code: %d %v %s", a.status, a.location, a.raw)
	}
	return a.query("code")
}

func exchange(who, code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {request(who).Get("redirect_uri")}, "code_verifier": {verifier}}
}

// tokens logs in and redeems the code.
func (h *house) tokens(who string) answer {
	h.t.Helper()
	a := h.post("/oidc/token", who, exchange(who, h.code(who)))
	if a.status != http.StatusOK {
		h.t.Fatalf("no tokens: %d %s\n%s", a.status, a.raw, h.log.String())
	}
	return a
}

// active introspects a token.
func (h *house) active(who, token string) bool {
	h.t.Helper()
	a := h.post("/oidc/introspect", who, url.Values{"token": {token}})
	if a.status != http.StatusOK {
		h.t.Fatalf("introspection: %d %s", a.status, a.raw)
	}
	on, _ := a.body["active"].(bool)
	return on
}
