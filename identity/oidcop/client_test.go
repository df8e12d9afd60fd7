package oidcop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// asserted sends a token request with a client assertion and whatever else.
func (h *house) asserted(assertion string, more ...string) answer {
	h.t.Helper()
	form := exchange("app", h.code("app"))
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return h.raw("/oidc/token", "", form.Encode())
}

func (h *house) raw(path, authorization, body string) answer {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return h.send(policies.NetworkInternet, r)
}

func part(v any) string {
	b, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(b)
}

// TestAssertions holds RFC 7523, section 3, and RFC 8725.
func TestAssertions(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		// A party with an RSA key, for the confusion of keys.
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		must(t, err)
		stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: rsaKey.Public(), KeyID: "r1", Algorithm: "RS256"}, {Key: h.key.Public(), KeyID: "k1"}}})
		must(t, err)
		p, err := h.registry.Party(t.Context(), h.db.Reader(), "app")
		must(t, err)
		p.JWKS = set
		must(t, h.registry.Put(t.Context(), operator, p, true, h.now().UnixMicro()))

		claims := func() map[string]any {
			now := h.now().Unix()
			return map[string]any{"iss": "app", "sub": "app", "aud": issuer, "exp": now + 60, "jti": fmt.Sprint("c", h.nextID.Add(1))}
		}
		change := func(f func(map[string]any)) func() string { return func() string { return h.assertion(f) } }
		der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
		must(t, err)
		secretForms := map[string][]byte{
			"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "modulus": rsaKey.N.Bytes(), "JWKS": set,
		}
		type attack struct {
			name, reason string
			make         func() string
		}
		attacks := []attack{
			{"alg none", "assertion_malformed", func() string { return part(map[string]string{"alg": "none"}) + "." + part(claims()) + "." }},
			{"alg None", "assertion_malformed", func() string { return part(map[string]string{"alg": "None"}) + "." + part(claims()) + "." }},
			{"alg none with a good signature", "assertion_malformed", func() string {
				good := strings.Split(h.assertion(nil), ".")
				return part(map[string]string{"alg": "none", "kid": "k1"}) + "." + good[1] + "." + good[2]
			}},
			{"no signature", "assertion_signature", func() string { s := h.assertion(nil); return s[:strings.LastIndex(s, ".")+1] }},
			{"changed claims", "assertion_signature", func() string {
				s := strings.Split(h.assertion(nil), ".")
				return s[0] + "." + part(claims()) + "." + s[2]
			}},
			{"a stranger's key", "assertion_signature", func() string { return signed(t, stranger, jose.ES256, "k1", claims()) }},
			{"a key in the header", "assertion_signature", func() string {
				s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: stranger}, &jose.SignerOptions{EmbedJWK: true})
				must(t, err)
				b, _ := json.Marshal(claims())
				jws, err := s.Sign(b)
				must(t, err)
				text, _ := jws.CompactSerialize()
				return text
			}},
			{"an unknown kid", "assertion_key_unknown", func() string { return signed(t, h.key, jose.ES256, "k9", claims()) }},
			{"the kid of the other kind of key", "assertion_key_unknown", func() string { return signed(t, h.key, jose.ES256, "r1", claims()) }},
			{"PS256", "assertion_malformed", func() string { return signed(t, rsaKey, jose.PS256, "r1", claims()) }},
			{"RS512", "assertion_malformed", func() string { return signed(t, rsaKey, jose.RS512, "r1", claims()) }},
			{"an unknown critical header", "assertion_", func() string {
				s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: h.key}, (&jose.SignerOptions{}).WithHeader("kid", "k1").WithHeader("crit", []string{"x"}).WithHeader("x", 1))
				must(t, err)
				b, _ := json.Marshal(claims())
				jws, err := s.Sign(b)
				must(t, err)
				text, _ := jws.CompactSerialize()
				return text
			}},
			{"JSON serialization", "assertion_malformed", func() string { return `{"payload":"e30","signatures":[]}` }},
			{"five parts", "assertion_malformed", func() string { return "a.b.c.d.e" }},
			{"long", "assertion_malformed", change(func(m map[string]any) { m["x"] = strings.Repeat("x", 9000) })},
			{"another's subject", "assertion_subject", change(func(m map[string]any) { m["iss"] = "other" })},
			{"wrong aud", "assertion_audience", change(func(m map[string]any) { m["aud"] = "https://evil.example" })},
			{"aud of another network", "assertion_audience", change(func(m map[string]any) { m["aud"] = issuerLGWAN })},
			{"aud for another too", "assertion_audience", change(func(m map[string]any) { m["aud"] = []string{issuer, "https://evil.example"} })},
			{"aud with a slash", "assertion_audience", change(func(m map[string]any) { m["aud"] = issuer + "/" })},
			{"no aud", "assertion_audience", change(func(m map[string]any) { delete(m, "aud") })},
			{"aud a number", "assertion_malformed", change(func(m map[string]any) { m["aud"] = 1 })},
			{"no exp", "assertion_no_expiry", change(func(m map[string]any) { delete(m, "exp") })},
			{"expired", "assertion_expired", change(func(m map[string]any) { m["exp"] = h.now().Unix() - 31 })},
			{"good for a day", "assertion_long", change(func(m map[string]any) { m["exp"] = h.now().Unix() + 86_400 })},
			{"exp without end", "assertion_malformed", change(func(m map[string]any) { m["exp"] = 1e300 })},
			{"exp a text", "assertion_malformed", change(func(m map[string]any) { m["exp"] = "tomorrow" })},
			{"not yet good", "assertion_early", change(func(m map[string]any) { m["nbf"] = h.now().Unix() + 40 })},
			{"issued in the future", "assertion_early", change(func(m map[string]any) { m["iat"] = h.now().Unix() + 40 })},
			{"no jti", "assertion_no_jti", change(func(m map[string]any) { delete(m, "jti") })},
			{"a long jti", "assertion_no_jti", change(func(m map[string]any) { m["jti"] = strings.Repeat("j", 257) })},
		}
		for form, secret := range secretForms {
			attacks = append(attacks, attack{"RS256's public key as HS256's secret: " + form, "assertion_malformed", func() string { return signed(t, secret, jose.HS256, "r1", claims()) }})
		}
		for _, c := range attacks {
			reason := c.reason
			h.forward(2 * time.Second)
			if reason == "assertion_" { // which of the two the library says is its own affair
				if a := h.asserted(c.make()); a.status != http.StatusUnauthorized {
					t.Errorf("%s: %d %s", c.name, a.status, a.raw)
				}
				continue
			}
			h.refused(t, reason, func() {
				if a := h.asserted(c.make()); a.status != http.StatusUnauthorized || a.text("error") != "invalid_client" || a.text("access_token") != "" {
					t.Errorf("%s: %d %s", c.name, a.status, a.raw)
				}
			})
		}

		// Good ones, each once.
		for name, make := range map[string]func() string{
			"the issuer":         func() string { return h.assertion(nil) },
			"the token endpoint": change(func(m map[string]any) { m["aud"] = []string{issuer + "/oidc/token"} }),
			"both":               change(func(m map[string]any) { m["aud"] = []string{issuer, issuer + "/oidc/token"} }),
			"RS256":              func() string { return signed(t, rsaKey, jose.RS256, "r1", claims()) },
			"no kid, one key":    func() string { return signed(t, rsaKey, jose.RS256, "", claims()) },
			"a clock behind":     change(func(m map[string]any) { m["exp"] = h.now().Unix() - 20 }),
		} {
			text := make()
			if a := h.asserted(text); a.status != http.StatusOK {
				t.Errorf("%s: %d %s", name, a.status, a.raw)
			}
			if name == "a clock behind" {
				continue // two seconds later it has expired
			}
			h.refused(t, "assertion_replayed", func() {
				if a := h.asserted(text); a.status != http.StatusUnauthorized {
					t.Errorf("%s, replayed: %d %s", name, a.status, a.raw)
				}
			})
		}
		// A replay at another end point is one too, and so is one after the sweep while it could still count.
		text := h.assertion(nil)
		if a := h.asserted(text); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		_, err = h.provider.Sweep(t.Context(), 1000, 0)
		must(t, err)
		h.refused(t, "assertion_replayed", func() {
			form := url.Values{"token": {"x"}, "client_assertion": {text}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
			if a := h.raw("/oidc/introspect", "", form.Encode()); a.status != http.StatusUnauthorized {
				t.Errorf("replayed elsewhere: %d %s", a.status, a.raw)
			}
		})
	})
}

// TestUnknownKidFlood: a thousand unknown keys cost no key fetch and at most twenty rows a second, and the party can still work.
func TestUnknownKidFlood(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for i := range 1000 {
			form := url.Values{"token": {"x"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
			form.Set("client_assertion", part(map[string]string{"alg": "ES256", "kid": fmt.Sprint("flood", i)})+"."+part(map[string]string{"iss": "app", "sub": "app"})+"."+strings.Repeat("A", 86))
			if a := h.raw("/oidc/introspect", "", form.Encode()); a.status != http.StatusUnauthorized {
				t.Fatalf("%d %s", a.status, a.raw)
			}
		}
		if n := h.refusals("assertion_key_unknown"); n != 20 {
			t.Errorf("%d rows", n)
		}
		if len(h.posted) != 0 {
			t.Error("a key was fetched")
		}
		h.tokens("app")
	})
}

// TestCredentials holds RFC 6749, section 2.3.
func TestCredentials(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		// A secret whose characters differ once they are form-encoded, as some clients encode even "-".
		strange := strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(h.secret), "-", "%2D"), "_", "%5F")
		form := func() string { return url.Values{"token": {"x"}}.Encode() }
		b64 := base64.StdEncoding.EncodeToString
		for name, c := range map[string]struct {
			authorization, body, reason string
			status                      int
		}{
			"good":                      {basic("other", h.secret), form(), "token_unknown", 200},
			"good, everything encoded":  {"basic " + b64([]byte("%6Fther:"+strange)), form(), "token_unknown", 200},
			"wrong secret":              {basic("other", "wrong"), form(), "secret_wrong", 401},
			"the stored hash as secret": {basic("other", h.stored()), form(), "secret_wrong", 401},
			"unknown":                   {basic("nobody", h.secret), form(), "party_unknown", 401},
			"not base64":                {"Basic !!", form(), "auth_malformed", 401},
			"no colon":                  {"Basic " + b64([]byte("other")), form(), "auth_malformed", 401},
			"no secret":                 {"Basic " + b64([]byte("other:")), form(), "auth_malformed", 401},
			"broken encoding":           {"Basic " + b64([]byte("other:%zz")), form(), "auth_malformed", 401},
			"bearer":                    {"Bearer x", form(), "auth_scheme", 401},
			"nothing":                   {"", form(), "auth_missing", 401},
			"another client_id beside":  {basic("other", h.secret), form() + "&client_id=app", "auth_mismatch", 401},
			"the secret in the body":    {"", form() + "&client_id=other&client_secret=" + h.secret, "secret_in_body", 401},
			"two methods":               {basic("other", h.secret), form() + "&client_assertion=x", "auth_twice", 400},
			"no proof where one is due": {"", form() + "&client_id=other", "auth_method", 401},
			"a secret where a key is":   {basic("app", h.secret), form(), "auth_method", 401},
			"a public party":            {"", form() + "&client_id=native", "auth_method", 401},
			"JSON":                      {basic("other", h.secret), `{"token":"x"}`, "params_malformed", 400},
		} {
			h.refused(t, c.reason, func() {
				if name == "JSON" {
					r := httptest.NewRequest(http.MethodPost, "/oidc/introspect", strings.NewReader(c.body))
					r.Header.Set("Content-Type", "application/json")
					if a := h.send(policies.NetworkInternet, r); a.status != c.status {
						t.Errorf("%s: %d", name, a.status)
					}
					h.raw("/oidc/introspect", c.authorization, "%zz")
					return
				}
				a := h.raw("/oidc/introspect", c.authorization, c.body)
				if a.status != c.status || a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") {
					t.Errorf("%s: %d %s", name, a.status, a.raw)
				}
			})
		}
		h.refused(t, "params_in_query", func() {
			if a := h.raw("/oidc/token?code=x", basic("other", h.secret), form()); a.status != 400 {
				t.Errorf("in the query: %d", a.status)
			}
		})
		h.refused(t, "body_large", func() {
			if a := h.raw("/oidc/token", basic("other", h.secret), strings.Repeat("a=b&", 20_000)); a.status != http.StatusRequestEntityTooLarge {
				t.Errorf("a large body: %d", a.status)
			}
		})
		h.refused(t, "params_many", func() {
			many := url.Values{}
			for i := range 51 {
				many.Set(fmt.Sprint("p", i), "x")
			}
			if a := h.raw("/oidc/token", basic("other", h.secret), many.Encode()); a.status != 400 {
				t.Errorf("many parameters: %d", a.status)
			}
		})
		if strings.Contains(h.log.String(), h.secret) {
			t.Error("a secret is in the log")
		}
		// One secret replaces another: both count until the old one's end.
		p, err := h.registry.Party(t.Context(), h.db.Reader(), "other")
		must(t, err)
		text, fresh, err := party.NewSecret(rand.Reader)
		must(t, err)
		p.Secrets[0].Until = h.now().Add(time.Hour).UnixMicro()
		p.Secrets = append(p.Secrets, fresh)
		must(t, h.registry.Put(t.Context(), operator, p, true, h.now().UnixMicro()))
		for secret, want := range map[string]int{h.secret: 200, text: 200} {
			if a := h.raw("/oidc/introspect", basic("other", secret), form()); a.status != want {
				t.Errorf("during the change: %d", a.status)
			}
		}
		h.forward(time.Hour)
		if a := h.raw("/oidc/introspect", basic("other", h.secret), form()); a.status != 401 {
			t.Errorf("the old secret after its end: %d", a.status)
		}
		if a := h.raw("/oidc/introspect", basic("other", text), form()); a.status != 200 {
			t.Errorf("the new secret: %d", a.status)
		}
	})
}

// stored gives what the database keeps of the secret.
func (h *house) stored() string {
	h.t.Helper()
	p, err := h.registry.Party(h.t.Context(), h.db.Reader(), "other")
	must(h.t, err)
	return p.Secrets[0].Hash
}
