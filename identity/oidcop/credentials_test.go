package oidcop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

const (
	records = "https://api.example/records"
	search  = "urn:musubi:example:search"
	inside  = "https://api.lgwan.example/records"
)

// act lets "app" (ES256, private_key_jwt) and "other" (RS256, a secret) act in their own name, and adds "api", which serves a resource, and
// "program", which nobody logs in to.
func (h *house) act() {
	h.t.Helper()
	resources := map[policies.Network][]party.Resource{
		policies.NetworkInternet: {{URI: records, Scopes: []string{"records:read", "records:write"}}, {URI: search}},
		policies.NetworkLGWAN:    {{URI: inside, Scopes: []string{"records:read"}}},
	}
	for _, who := range []policies.RelyingPartyID{"app", "other"} {
		h.change(who, func(p *party.Party) {
			for i, f := range p.Faces {
				p.Faces[i].Resources = resources[f.Network]
			}
		})
	}
	other, err := h.registry.Party(h.t.Context(), h.db.Reader(), "other")
	must(h.t, err)
	h.register(party.Party{ID: "api", Auth: party.AuthSecretBasic, Secrets: other.Secrets, Alg: jose.ES256, Faces: []party.Face{
		{Network: policies.NetworkInternet, Serves: []string{records}}, {Network: policies.NetworkLGWAN, Serves: []string{inside}},
	}})
	h.register(party.Party{ID: "program", Auth: party.AuthSecretBasic, Secrets: other.Secrets, Alg: jose.ES256, Faces: []party.Face{
		{Network: policies.NetworkInternet, Resources: []party.Resource{{URI: records, Scopes: []string{"records:read"}}}},
	}})
}

func (h *house) change(who policies.RelyingPartyID, change func(*party.Party)) {
	h.t.Helper()
	p, err := h.registry.Party(h.t.Context(), h.db.Reader(), who)
	must(h.t, err)
	change(&p)
	must(h.t, h.registry.Put(h.t.Context(), operator, p, true, h.now().UnixMicro()))
}

// asks is a client credentials request with parameters in pairs.
func asks(pairs ...string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

// as sends a form as a party with the secret that most have.
func (h *house) as(who, path string, form url.Values) answer {
	h.t.Helper()
	return h.raw(path, basic(who, h.secret), form.Encode())
}

// access gets an access token for a party's own name.
func (h *house) access(who string, pairs ...string) string {
	h.t.Helper()
	a := h.post("/oidc/token", who, asks(pairs...))
	if a.status != http.StatusOK || a.text("access_token") == "" {
		h.t.Fatalf("no access token: %d %s", a.status, a.raw)
	}
	return a.text("access_token")
}

// granted counts the audit rows of access tokens that were given.
func (h *house) granted() (n int) {
	h.t.Helper()
	must(h.t, h.db.Reader().QueryRowContext(h.t.Context(), `SELECT COUNT(*) FROM audit_row WHERE action = 'oidc.credentials' AND outcome = 'done'`).Scan(&n))
	return n
}

// TestClientCredentials holds RFC 6749, section 4.4, RFC 8707, section 2, and RFC 9068, section 2.
func TestClientCredentials(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.act()
		const both = "records:read records:write"
		for name, c := range map[string]struct {
			who, aud, scope string
			pairs           []string
		}{
			"nothing asked for: the first resource, all of its scopes": {"app", records, both, nil},
			"RS256 and a secret":                {"other", records, both, nil},
			"a program that nobody logs in to":  {"program", records, "records:read", nil},
			"a resource by its name":            {"app", records, both, []string{"resource", records}},
			"another resource, without scopes":  {"app", search, "", []string{"resource", search}},
			"one scope":                         {"app", records, "records:write", []string{"scope", "records:write"}},
			"scopes in any order, one twice":    {"app", records, both, []string{"scope", "records:write records:read records:write", "resource", records}},
			"empty is absent (3.1)":             {"app", records, both, []string{"scope", "", "resource", ""}},
			"parameters of other grants beside": {"app", records, both, []string{"code", "x", "redirect_uri", "https://evil.example/", "username", "p1", "nonce", "n"}},
		} {
			before := h.granted()
			var a answer
			if c.who == "program" {
				a = h.as(c.who, "/oidc/token", asks(c.pairs...))
			} else {
				a = h.post("/oidc/token", c.who, asks(c.pairs...))
			}
			text := a.text("access_token")
			want := map[string]any{"access_token": text, "token_type": "Bearer", "expires_in": 300.0}
			if c.scope != "" {
				want["scope"] = c.scope
			}
			if diff := cmp.Diff(want, a.body); diff != "" || a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d (-want +got):\n%s", name, a.status, diff)
				continue
			}
			alg := map[string]jose.SignatureAlgorithm{"app": jose.ES256, "other": jose.RS256, "program": jose.ES256}[c.who]
			jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{alg})
			must(t, err)
			if typ := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType]; typ != "at+jwt" {
				t.Errorf("%s: typ %v", name, typ)
			}
			got, now := h.idToken(text, alg), float64(h.now().Unix())
			jti, _ := got["jti"].(string)
			want = map[string]any{"iss": issuer, "sub": c.who, "aud": c.aud, "client_id": c.who, "iat": now, "exp": now + 300, "jti": jti}
			if c.scope != "" {
				want["scope"] = c.scope
			}
			if diff := cmp.Diff(want, got); diff != "" || len(jti) != 32 {
				t.Errorf("%s: token (-want +got):\n%s", name, diff)
			}
			var detail string
			must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT detail FROM audit_row WHERE action = 'oidc.credentials' AND object = $1 AND detail LIKE $2`, c.who, "%"+jti+"%").Scan(&detail))
			wanted := fmt.Sprintf(`{"jti":%q,"network":"internet","resource":%q,"scope":%q}`, jti, c.aud, c.scope)
			if detail != wanted || h.granted() != before+1 {
				t.Errorf("%s: %d rows, recorded as %s", name, h.granted()-before, detail)
			}
			if strings.Contains(h.log.String(), text) {
				t.Errorf("%s: the token is in the log", name)
			}
		}
		lgwan := h.postIn(policies.NetworkLGWAN, "/oidc/token", "app", asks())
		if lgwan.status != http.StatusOK || lgwan.text("scope") != "records:read" {
			t.Errorf("in another network: %d %s", lgwan.status, lgwan.raw)
		}
	})
}

// TestClientCredentialsRefused: what RFC 6749, section 5.2, and RFC 8707, section 2, say of each wrong request. Nothing is given and nothing
// is recorded as given.
func TestClientCredentialsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.act()
		for name, c := range map[string]struct {
			who, reason, code string
			pairs             []string
		}{
			"a party that wasn't allowed to":          {"pushing", "credentials_not_allowed", "unauthorized_client", nil},
			"a resource alone":                        {"api", "credentials_not_allowed", "unauthorized_client", nil},
			"a public client (4.4)":                   {"native", "credentials_not_allowed", "unauthorized_client", nil},
			"an unknown resource":                     {"app", "resource_unknown", "invalid_target", []string{"resource", "https://evil.example/"}},
			"a resource with a slash more":            {"app", "resource_unknown", "invalid_target", []string{"resource", records + "/"}},
			"a resource that begins as one":           {"app", "resource_unknown", "invalid_target", []string{"resource", records + ".evil.example"}},
			"a part of a resource":                    {"app", "resource_unknown", "invalid_target", []string{"resource", "https://api.example"}},
			"large letters":                           {"app", "resource_unknown", "invalid_target", []string{"resource", strings.ToUpper(records)}},
			"percent-encoded":                         {"app", "resource_unknown", "invalid_target", []string{"resource", "https://api.example/%72ecords"}},
			"a fragment":                              {"app", "resource_unknown", "invalid_target", []string{"resource", records + "#"}},
			"two resources in one":                    {"app", "resource_unknown", "invalid_target", []string{"resource", records + " " + search}},
			"the issuer":                              {"app", "resource_unknown", "invalid_target", []string{"resource", issuer}},
			"a resource of another network":           {"app", "resource_unknown", "invalid_target", []string{"resource", inside}},
			"two resources: one at a time":            {"app", "params_repeated", "invalid_request", []string{"resource", records, "resource", search}},
			"openid":                                  {"app", "scope_of_people", "invalid_scope", []string{"scope", "openid"}},
			"openid beside what is good":              {"app", "scope_of_people", "invalid_scope", []string{"scope", "records:read openid"}},
			"offline_access":                          {"app", "scope_of_people", "invalid_scope", []string{"scope", "offline_access"}},
			"email, which its logins may ask for":     {"app", "scope_of_people", "invalid_scope", []string{"scope", "email"}},
			"an unknown scope":                        {"app", "scope_unknown", "invalid_scope", []string{"scope", "records:read admin"}},
			"a scope of another resource":             {"app", "scope_unknown", "invalid_scope", []string{"scope", "records:read", "resource", search}},
			"a part of a scope":                       {"app", "scope_unknown", "invalid_scope", []string{"scope", "records"}},
			"a scope with a comma, not a space (3.3)": {"app", "scope_unknown", "invalid_scope", []string{"scope", "records:read,records:write"}},
			"the grant type in large letters":         {"app", "grant_type", "unsupported_grant_type", []string{"grant_type", "CLIENT_CREDENTIALS"}},
		} {
			before := h.granted()
			h.refused(t, c.reason, func() {
				form := asks(c.pairs...)
				if name == "the grant type in large letters" {
					form.Set("grant_type", "CLIENT_CREDENTIALS")
				}
				var a answer
				if c.who == "api" {
					a = h.as(c.who, "/oidc/token", form)
				} else {
					a = h.post("/oidc/token", c.who, form)
				}
				if a.status != http.StatusBadRequest || a.text("error") != c.code || a.text("access_token") != "" {
					t.Errorf("%s: %d %s", name, a.status, a.raw)
				}
			})
			if h.granted() != before {
				t.Errorf("%s: a grant is recorded", name)
			}
		}
		// Nobody logs in to a program.
		h.refused(t, "redirect_unregistered", func() {
			if a := h.get("/oidc/authorize", request("program")); a.status != http.StatusBadRequest || a.location != nil {
				t.Errorf("a login to a program: %d %v", a.status, a.location)
			}
		})
		h.refused(t, "party_network", func() {
			r := httptest.NewRequest(http.MethodPost, "/oidc/token", strings.NewReader(asks().Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", basic("program", h.secret))
			if a := h.send(policies.NetworkLGWAN, r); a.status != http.StatusUnauthorized {
				t.Errorf("a party of another network: %d %s", a.status, a.raw)
			}
		})
		// Without its record nothing is given.
		_, err := h.db.Writer().ExecContext(t.Context(), `ALTER TABLE audit_row RENAME TO audit_row_gone`)
		must(t, err)
		if a := h.post("/oidc/token", "other", asks()); a.status != http.StatusInternalServerError || strings.Contains(a.raw, "access_token") {
			t.Errorf("without a record: %d %s", a.status, a.raw)
		}
	})
}

// TestClientCredentialsProof: whoever hasn't proven to be the party gets nothing (RFC 7523, section 3; RFC 8725). The end point shares this
// with the other grants, whose test has the whole list.
func TestClientCredentialsProof(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.act()
		claims := func(change func(map[string]any)) map[string]any {
			now := h.now().Unix()
			m := map[string]any{"iss": "app", "sub": "app", "aud": issuer, "exp": now + 60, "jti": fmt.Sprint("cc", h.nextID.Add(1))}
			if change != nil {
				change(m)
			}
			return m
		}
		der, err := x509.MarshalPKIXPublicKey(h.key.Public())
		must(t, err)
		pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		send := func(assertion string) answer {
			return h.raw("/oidc/token", "", asks("client_assertion", assertion, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer").Encode())
		}
		es := func(key crypto.PrivateKey, kid string, change func(map[string]any)) func() string {
			return func() string { return signed(t, key, jose.ES256, kid, claims(change)) }
		}
		for name, c := range map[string]struct {
			reason string
			make   func() string
		}{
			"alg none": {"assertion_malformed", func() string { return part(map[string]string{"alg": "none"}) + "." + part(claims(nil)) + "." }},
			"alg None": {"assertion_malformed", func() string { return part(map[string]string{"alg": "None"}) + "." + part(claims(nil)) + "." }},
			"the public key as HS256's secret": {"assertion_malformed", func() string {
				return signed(t, pemKey, jose.HS256, "k1", claims(nil))
			}},
			"an unknown kid":         {"assertion_key_unknown", es(h.key, "k2", nil)},
			"another's key":          {"assertion_signature", es(stranger, "k1", nil)},
			"aud of another network": {"assertion_audience", es(h.key, "k1", func(m map[string]any) { m["aud"] = issuerLGWAN })},
			"aud of the resource":    {"assertion_audience", es(h.key, "k1", func(m map[string]any) { m["aud"] = records })},
			"another party's name":   {"auth_method", es(h.key, "k1", func(m map[string]any) { m["iss"], m["sub"] = "other", "other" })},
			"no jti":                 {"assertion_no_jti", es(h.key, "k1", func(m map[string]any) { delete(m, "jti") })},
			"expired":                {"assertion_expired", es(h.key, "k1", func(m map[string]any) { m["exp"] = h.now().Unix() - 31 })},
			"an access token of ours": {"party_unknown", func() string {
				return replaceClaims(t, h.access("other"), map[string]any{"iss": "nobody", "sub": "nobody"})
			}},
			"our own token as it stands": {"auth_method", func() string { return h.access("other") }},
		} {
			h.refused(t, c.reason, func() {
				text := c.make()
				before := h.granted()
				if a := send(text); a.status != http.StatusUnauthorized || a.text("error") != "invalid_client" || h.granted() != before {
					t.Errorf("%s: %d %s", name, a.status, a.raw)
				}
			})
		}
		// One assertion, twenty at a time: one token.
		h.forward(2 * time.Second)
		text, won := h.assertion(nil), atomic.Int64{}
		before := h.granted()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if send(text).status == http.StatusOK {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || h.granted() != before+1 || h.refusals("assertion_replayed") != 19 {
			t.Errorf("%d tokens, %d recorded, %d refusals", won.Load(), h.granted()-before, h.refusals("assertion_replayed"))
		}
		// A request that is refused for another reason has used its assertion, too.
		h.forward(2 * time.Second)
		text = h.assertion(nil)
		form := asks("client_assertion", text, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "scope", "openid")
		if a := h.raw("/oidc/token", "", form.Encode()); a.text("error") != "invalid_scope" {
			t.Errorf("%d %s", a.status, a.raw)
		}
		h.refused(t, "assertion_replayed", func() {
			if a := send(text); a.status != http.StatusUnauthorized {
				t.Errorf("after a refusal: %d %s", a.status, a.raw)
			}
		})
	})
}

// replaceClaims puts other claims into a token and leaves its signature.
func replaceClaims(t testing.TB, token string, claims map[string]any) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q isn't a signed token", token)
	}
	return parts[0] + "." + part(claims) + "." + parts[2]
}

// TestAccessTokenUse: a JWT access token can be introspected by its party and its resource (RFC 7662) and revoked by its party (RFC 7009), and
// is taken for nothing else.
func TestAccessTokenUse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.act()
		token := h.access("app", "scope", "records:read")
		now := float64(start.Unix())
		jti := h.idToken(token, jose.ES256)["jti"]
		want := map[string]any{
			"active": true, "token_type": "Bearer", "scope": "records:read", "client_id": "app", "sub": "app", "iss": issuer, "aud": records,
			"exp": now + 300, "iat": now, "jti": jti,
		}
		for _, who := range []string{"app", "api"} {
			var a answer
			if who == "api" {
				a = h.as(who, "/oidc/introspect", url.Values{"token": {token}})
			} else {
				a = h.post("/oidc/introspect", who, url.Values{"token": {token}})
			}
			if diff := cmp.Diff(want, a.body); diff != "" {
				t.Errorf("%s (-want +got):\n%s", who, diff)
			}
		}
		inactive := func(who, reason, token string) {
			t.Helper()
			h.refused(t, reason, func() {
				a := h.as(who, "/oidc/introspect", url.Values{"token": {token}})
				if diff := cmp.Diff(map[string]any{"active": false}, a.body); diff != "" {
					t.Errorf("%s: %.200s (-want +got):\n%s", reason, token, diff)
				}
			})
		}
		inactive("other", "token_of_another", token)
		inactive("api", "token_of_another", h.access("app", "resource", search)) // a resource that it doesn't serve
		h.refused(t, "token_network", func() {
			r := httptest.NewRequest(http.MethodPost, "/oidc/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", basic("api", h.secret))
			if a := h.send(policies.NetworkLGWAN, r); a.raw != `{"active":false}` {
				t.Errorf("in another network: %d %s", a.status, a.raw)
			}
		})

		// What isn't one.
		id := h.tokens("app").text("id_token")
		forged := h.idToken(token, jose.ES256)
		forged["scope"] = "records:read records:write"
		h.forward(2 * time.Second)
		fresh := func(change func(map[string]any)) map[string]any {
			at := h.now().Unix()
			m := map[string]any{"iss": issuer, "sub": "app", "aud": records, "client_id": "app", "iat": at, "exp": at + 300, "jti": "forged"}
			if change != nil {
				change(m)
			}
			return m
		}
		var spare keys.Key
		all, err := h.ring.List(t.Context(), h.db.Reader(), oidcop.PurposeES256)
		must(t, err)
		for _, k := range all {
			if k.State == keys.Next {
				spare = k
			}
		}
		kid := func() string {
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
			must(t, err)
			return jws.Signatures[0].Protected.KeyID
		}()
		der, err := x509.MarshalPKIXPublicKey(spare.Public)
		must(t, err)
		typed := func(alg jose.SignatureAlgorithm, key any, kid, typ string, m map[string]any) string {
			s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid).WithType(jose.ContentType(typ)))
			must(t, err)
			b, err := json.Marshal(m)
			must(t, err)
			jws, err := s.Sign(b)
			must(t, err)
			text, err := jws.CompactSerialize()
			must(t, err)
			return text
		}
		for _, text := range map[string]string{ // what it is: the token
			"an ID token":                     id,
			"other claims":                    replaceClaims(t, token, forged),
			"alg none":                        part(map[string]string{"alg": "none", "typ": "at+jwt", "kid": kid}) + "." + part(fresh(nil)) + ".",
			"HS256 by a public key":           typed(jose.HS256, der, kid, "at+jwt", fresh(nil)),
			"the party's own key, its kid":    typed(jose.ES256, h.key, "k1", "at+jwt", fresh(nil)),
			"the party's own key, our kid":    typed(jose.ES256, h.key, kid, "at+jwt", fresh(nil)),
			"the kid of the key that is next": typed(jose.ES256, h.key, spare.ID, "at+jwt", fresh(nil)),
			"a path as kid":                   typed(jose.ES256, h.key, "../../etc/passwd", "at+jwt", fresh(nil)),
			"SQL as kid":                      typed(jose.ES256, h.key, "' OR 1=1 --", "at+jwt", fresh(nil)),
			"two dots":                        "..",
			"long":                            strings.Repeat("a", 9000) + ".b.c",
		} {
			inactive("api", "token_unknown", text)
		}
		// By our key, as no code of ours makes them.
		signer, err := h.ring.Signer(t.Context(), h.db.Reader(), oidcop.PurposeES256)
		must(t, err)
		ours := func(typ string, m map[string]any) string { return oidcop.SignForTest(t, signer, typ, m) }
		inactive("api", "token_unknown", ours("JWT", fresh(nil)))
		inactive("api", "token_unknown", ours("logout+jwt", fresh(nil)))
		inactive("api", "token_unknown", ours("", fresh(nil)))
		inactive("api", "token_malformed", ours("at+jwt", fresh(func(m map[string]any) { m["exp"] = h.now().Unix() + 86_400 })))
		inactive("api", "token_malformed", ours("at+jwt", fresh(func(m map[string]any) { delete(m, "jti") })))
		inactive("api", "token_malformed", ours("at+jwt", fresh(func(m map[string]any) { m["aud"] = []string{records} })))
		inactive("api", "token_expired", ours("at+jwt", fresh(func(m map[string]any) { delete(m, "exp") })))
		inactive("api", "token_network", ours("at+jwt", fresh(func(m map[string]any) { m["iss"] = issuerLGWAN })))
		inactive("api", "party_unknown", ours("at+jwt", fresh(func(m map[string]any) { m["client_id"] = "nobody" })))
		inactive("api", "resource_withdrawn", ours("at+jwt", fresh(func(m map[string]any) { m["aud"] = "" })))
		if a := h.as("api", "/oidc/introspect", url.Values{"token": {ours("at+jwt", fresh(nil))}}); a.body["active"] != true {
			t.Errorf("what the cases above are made of isn't good by itself: %s", a.raw)
		}

		// What it isn't good for.
		token = h.access("app")
		if a := h.userinfo(token); a.status != http.StatusUnauthorized {
			t.Errorf("userinfo: %d %s", a.status, a.raw)
		}
		if a := h.post("/oidc/token", "app", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}); a.text("error") != "invalid_grant" {
			t.Errorf("refresh: %d %s", a.status, a.raw)
		}
		if a := h.post("/oidc/token", "app", exchange("app", token)); a.text("error") != "invalid_grant" {
			t.Errorf("as a code: %d %s", a.status, a.raw)
		}
		q := request("app")
		q.Set("id_token_hint", token)
		if a := h.get("/oidc/authorize", q); a.query("code") != "" {
			t.Errorf("as a hint: %v", a.location)
		}

		// Revocation.
		token = h.access("app")
		h.refused(t, "token_of_another", func() {
			for _, who := range []string{"other", "api"} {
				if a := h.as(who, "/oidc/revoke", url.Values{"token": {token}}); a.status != http.StatusBadRequest || !h.active("app", token) {
					t.Errorf("%s revokes: %d %s", who, a.status, a.raw)
				}
			}
		})
		another := h.access("app")
		for range 2 {
			if a := h.post("/oidc/revoke", "app", url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}); a.status != http.StatusOK {
				t.Errorf("revocation: %d %s", a.status, a.raw)
			}
			inactive("api", "token_revoked", token)
		}
		if !h.active("app", another) {
			t.Error("the revocation of one token takes another")
		}
		for _, nothing := range []string{replaceClaims(t, another, forged), id, "..", ours("at+jwt", fresh(func(m map[string]any) { m["exp"] = 1 }))} {
			if a := h.post("/oidc/revoke", "app", url.Values{"token": {nothing}}); a.status != http.StatusOK || !h.active("app", another) {
				t.Errorf("revocation of nothing: %d %s", a.status, a.raw)
			}
		}
		// A revocation is swept only after the token's end.
		_, err = h.provider.Sweep(t.Context(), 1000, 0)
		must(t, err)
		inactive("api", "token_revoked", token)
		h.forward(6 * time.Minute)
		inactive("api", "token_expired", token)
		_, err = h.provider.Sweep(t.Context(), 1000, 0)
		must(t, err)
		var n int
		must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM oidc_revoked`).Scan(&n))
		if n != 0 {
			t.Errorf("%d revocations are kept", n)
		}
	})
}

// TestAccessTokenStanding: what takes the party's right takes its tokens at the next introspection; keys that rotate don't.
func TestAccessTokenStanding(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.act()
		ask := func(token string) bool {
			t.Helper()
			a := h.as("api", "/oidc/introspect", url.Values{"token": {token}})
			on, ok := a.body["active"].(bool)
			if a.status != http.StatusOK || !ok || !on && len(a.body) != 1 {
				t.Errorf("%d %s", a.status, a.raw)
			}
			return on
		}
		withdrawn := func(reason string, take, back func(*party.Party)) {
			t.Helper()
			token := h.access("other")
			h.change("other", take)
			h.refused(t, reason, func() {
				if ask(token) {
					t.Errorf("%s: active", reason)
				}
			})
			h.change("other", back)
			if !ask(token) {
				t.Errorf("%s: not active when it is given back", reason)
			}
		}
		p, err := h.registry.Party(t.Context(), h.db.Reader(), "other")
		must(t, err)
		restore := func(q *party.Party) { *q = p }
		withdrawn("resource_withdrawn", func(q *party.Party) { q.Faces[0].Resources = q.Faces[0].Resources[1:] }, restore)
		withdrawn("scope_withdrawn", func(q *party.Party) {
			q.Faces[0].Resources = []party.Resource{{URI: records, Scopes: []string{"records:read"}}}
		}, restore)
		withdrawn("party_network", func(q *party.Party) { q.Faces = q.Faces[1:] }, restore)

		// It ends by the second, as it says.
		short := h.access("app")
		h.forward(299 * time.Second)
		if !ask(short) {
			t.Error("not active in its last second")
		}
		h.forward(time.Second)
		if ask(short) || h.refusals("token_expired") != 1 {
			t.Error("active after its end")
		}

		// A key that retires has signed what is good until its end, and nothing later.
		stolen, err := h.ring.Signer(t.Context(), h.db.Reader(), oidcop.PurposeES256)
		must(t, err)
		h.forward(25 * time.Hour)
		token, early := h.access("other"), h.access("app")
		for _, purpose := range []keys.Purpose{oidcop.PurposeES256, oidcop.PurposeRS256} {
			_, err := h.ring.Rotate(t.Context(), purpose, keys.Turn{}, func(context.Context, *sql.Tx, string, keys.Key) error { return nil })
			must(t, err)
		}
		if !ask(token) || !ask(early) {
			t.Error("a token ends with the key that signed it")
		}
		h.forward(2 * time.Minute)
		at := h.now().Unix()
		late := oidcop.SignForTest(t, stolen, "at+jwt", map[string]any{"iss": issuer, "sub": "app", "aud": records, "client_id": "app", "iat": at, "exp": at + 300, "jti": "late"})
		h.refused(t, "token_key_retired", func() {
			if ask(late) {
				t.Error("a retired key signs")
			}
		})
		// A key that doesn't sign yet has signed nothing.
		ahead, err := h.ring.Signer(t.Context(), h.db.Reader(), oidcop.PurposeES256)
		must(t, err)
		at = h.now().Unix()
		tooEarly := oidcop.SignForTest(t, ahead, "at+jwt", map[string]any{"iss": issuer, "sub": "app", "aud": records, "client_id": "app", "iat": at, "exp": at + 300, "jti": "early"})
		if !ask(tooEarly) {
			t.Error("the active key's token isn't active")
		}
		_, err = h.db.Writer().ExecContext(t.Context(), `DELETE FROM signing_key WHERE purpose = $1 AND state = 'next'`, string(oidcop.PurposeES256))
		must(t, err)
		_, err = h.db.Writer().ExecContext(t.Context(), `UPDATE signing_key SET state = 'next' WHERE id = $1`, ahead.Key().ID)
		must(t, err)
		h.refused(t, "token_unknown", func() {
			if ask(tooEarly) {
				t.Error("a key signs before it is active")
			}
		})
		token = h.access("other")
		must(t, h.registry.Remove(t.Context(), operator, "other", "試験", h.now().UnixMicro()))
		h.refused(t, "party_unknown", func() {
			if ask(token) {
				t.Error("a removed party's token is active")
			}
		})
	})
}

// TestAccessTokenFlood: a thousand tokens with unknown keys cost at most twenty rows a second and no fetch.
func TestAccessTokenFlood(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.act()
		for i := range 1000 {
			text := part(map[string]string{"alg": "ES256", "typ": "at+jwt", "kid": fmt.Sprint("flood", i)}) + "." + part(map[string]string{"iss": issuer}) + "." + strings.Repeat("A", 86)
			if a := h.as("api", "/oidc/introspect", url.Values{"token": {text}}); a.raw != `{"active":false}` {
				t.Fatalf("%d %s", a.status, a.raw)
			}
		}
		if n := h.refusals("token_unknown"); n != 20 || len(h.posted) != 0 {
			t.Errorf("%d rows, %d requests to others", n, len(h.posted))
		}
	})
}
