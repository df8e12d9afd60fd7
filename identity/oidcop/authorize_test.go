package oidcop_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/policies"
)

// badRequests are authorization requests that are refused. Those with a page answer no address that the request names.
var badRequests = []struct {
	name, reason, code string // code is empty for a page
	change             func(url.Values)
}{
	{"no redirect_uri", "redirect_missing", "", func(v url.Values) { v.Del("redirect_uri") }},
	{"another host", "redirect_unregistered", "", set("redirect_uri", "https://evil.example/callback")},
	{"another scheme", "redirect_unregistered", "", set("redirect_uri", "http://app.example/callback")},
	{"a longer path", "redirect_unregistered", "", set("redirect_uri", callback+"/more")},
	{"a path that climbs", "redirect_unregistered", "", set("redirect_uri", callback+"/../evil")},
	{"a query more", "redirect_unregistered", "", set("redirect_uri", callback+"?x=1")},
	{"an empty query", "redirect_unregistered", "", set("redirect_uri", callback+"?")},
	{"a fragment", "redirect_unregistered", "", set("redirect_uri", callback+"#x")},
	{"a user before the host", "redirect_unregistered", "", set("redirect_uri", "https://app.example@evil.example/callback")},
	{"a backslash", "redirect_unregistered", "", set("redirect_uri", `https://app.example\@evil.example/callback`)},
	{"a port", "redirect_unregistered", "", set("redirect_uri", "https://app.example:443/callback")},
	{"large letters", "redirect_unregistered", "", set("redirect_uri", "https://APP.example/callback")},
	{"an encoded path", "redirect_unregistered", "", set("redirect_uri", "https://app.example/%63allback")},
	{"a host that begins alike", "redirect_unregistered", "", set("redirect_uri", "https://app.example.evil.example/callback")},
	{"a tab", "redirect_unregistered", "", set("redirect_uri", callback+"\t")},
	{"a line break", "redirect_unregistered", "", set("redirect_uri", callback+"\r\nLocation: https://evil.example/")},
	{"javascript", "redirect_unregistered", "", set("redirect_uri", "javascript:alert(1)")},
	{"no port matters but loopback's", "redirect_unregistered", "", set("redirect_uri", "http://127.0.0.1:8080/callback")},
	{"another party's", "redirect_unregistered", "", set("redirect_uri", "http://127.0.0.1/cb")},
	{"two redirect_uri", "params_repeated", "", func(v url.Values) { v.Add("redirect_uri", "https://evil.example/") }},
	{"two client_id", "params_repeated", "", func(v url.Values) { v.Add("client_id", "other") }},
	{"not UTF-8", "params_malformed", "", set("state", "\xff")},
	{"NUL", "params_malformed", "", set("state", "a\x00b")},

	{"PKCE missing", "pkce_missing", "invalid_request", func(v url.Values) { v.Del("code_challenge"); v.Del("code_challenge_method") }},
	{"PKCE plain", "pkce_method", "invalid_request", set("code_challenge_method", "plain")},
	{"PKCE downgraded by leaving the method out", "pkce_method", "invalid_request", func(v url.Values) { v.Del("code_challenge_method") }},
	{"PKCE with a small s", "pkce_method", "invalid_request", set("code_challenge_method", "s256")},
	{"PKCE too short", "pkce_malformed", "invalid_request", set("code_challenge", "abc")},
	{"PKCE padded", "pkce_malformed", "invalid_request", set("code_challenge", challenge(verifier)+"=")},
	{"implicit", "response_type", "unsupported_response_type", set("response_type", "id_token token")},
	{"hybrid", "response_type", "unsupported_response_type", set("response_type", "code id_token")},
	{"no response_type", "response_type", "unsupported_response_type", func(v url.Values) { v.Del("response_type") }},
	{"fragment mode", "response_mode", "invalid_request", set("response_mode", "fragment")},
	{"no openid", "scope_openid", "invalid_scope", set("scope", "profile")},
	{"a request object", "request_unsupported", "request_not_supported", set("request", "eyJhbGciOiJub25lIn0.e30.")},
	{"a registration", "registration_unsupported", "registration_not_supported", set("registration", "{}")},
	{"prompt none and login", "prompt", "invalid_request", set("prompt", "none login")},
	{"an unknown prompt", "prompt", "invalid_request", set("prompt", "dance")},
	{"max_age not a number", "max_age", "invalid_request", set("max_age", "-1")},
	{"a long nonce", "nonce_long", "invalid_request", set("nonce", strings.Repeat("n", 513))},
	{"a long state", "state_long", "invalid_request", set("state", strings.Repeat("s", 2049))},
	{"a forged hint", "hint_invalid", "invalid_request", set("id_token_hint", "eyJhbGciOiJub25lIn0.e30.")},
}

func set(name, value string) func(url.Values) { return func(v url.Values) { v.Set(name, value) } }

// TestBadRequests sends each by GET, by POST, and pushed.
func TestBadRequests(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, c := range badRequests {
			q := request("app")
			c.change(q)
			check := func(how string, a answer) {
				t.Helper()
				if a.query("code") != "" {
					t.Errorf("%s by %s: a code", c.name, how)
				}
				if c.code == "" {
					if a.status != http.StatusBadRequest || a.location != nil || a.text("Incident") == "" || a.text("Reason") != c.reason {
						t.Errorf("%s by %s: %d %v %s", c.name, how, a.status, a.location, a.raw)
					}
					return
				}
				if a.status != http.StatusSeeOther || a.query("error") != c.code || a.query("iss") != issuer || !strings.HasPrefix(a.location.String(), callback+"?") ||
					a.query("state") != q.Get("state") && len(q.Get("state")) < 2048 || !strings.Contains(a.query("error_description"), "incident ") {
					t.Errorf("%s by %s: %d %v", c.name, how, a.status, a.location)
				}
			}
			h.refused(t, c.reason, func() { check("GET", h.get("/oidc/authorize", q)) })
			h.refused(t, c.reason, func() { check("POST", h.post("/oidc/authorize", "", q)) })
			h.refused(t, c.reason, func() {
				pushed := clone(q)
				if c.reason != "params_repeated" {
					pushed.Del("client_id")
				}
				want := c.code
				if want == "" {
					want = "invalid_request"
				}
				if a := h.post("/oidc/par", "app", pushed); a.status != http.StatusBadRequest || a.text("error") != want || a.text("request_uri") != "" {
					t.Errorf("%s pushed: %d %s", c.name, a.status, a.raw)
				}
			})
		}
		if len(h.asks) != 0 {
			t.Errorf("%d bad requests came as far as the login", len(h.asks))
		}
		for name, id := range map[string]string{"unknown": "nobody", "none": "", "an injection": "app' OR '1'='1", "long": strings.Repeat("a", 5000)} {
			h.refused(t, "party_unknown", func() {
				q := request("app")
				q.Set("client_id", id)
				if a := h.get("/oidc/authorize", q); a.status != http.StatusBadRequest || a.location != nil {
					t.Errorf("client_id %s: %d %v", name, a.status, a.location)
				}
			})
		}
		h.refused(t, "party_network", func() { // native isn't reached from LGWAN
			if a := h.send(policies.NetworkLGWAN, httptest.NewRequest(http.MethodGet, "/oidc/authorize?"+request("native").Encode(), nil)); a.status != http.StatusBadRequest {
				t.Errorf("another network: %d", a.status)
			}
		})
		h.refused(t, "request_uri_unsupported", func() {
			q := request("app")
			q.Set("request_uri", "https://evil.example/request.jwt")
			if a := h.get("/oidc/authorize", q); a.query("error") != "request_uri_not_supported" {
				t.Errorf("request_uri: %v", a.location)
			}
		})
	})
}

// TestHost: a Host header that isn't the issuer's is served nothing, and no answer depends on it.
func TestHost(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, host := range []string{"evil.example", "login.musubi.example:8443", "login.musubi.lgwan.example", "", "login.musubi.example.evil.example"} {
			for _, path := range []string{"/.well-known/openid-configuration", "/oidc/authorize?" + request("app").Encode(), "/oidc/keys"} {
				h.refused(t, "host", func() {
					r := httptest.NewRequest(http.MethodGet, path, nil)
					r.Host = host
					r.Header.Set("X-Forwarded-Host", "login.musubi.example")
					rec := httptest.NewRecorder()
					h.handler[policies.NetworkInternet].ServeHTTP(rec, r)
					if rec.Code != http.StatusMisdirectedRequest || rec.Header().Get("Location") != "" {
						t.Errorf("%q %s: %d", host, path, rec.Code)
					}
				})
			}
		}
	})
}

// TestAsk says what of a request reaches the login.
func TestAsk(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		hint := h.tokens("app").text("id_token")
		other := h.tokens("other").text("id_token")
		for _, c := range []struct {
			name   string
			change func(url.Values)
			want   func(login.Ask) bool
		}{
			{"plain", func(url.Values) {}, func(a login.Ask) bool {
				return a.Required == policies.AssuranceTwo && !a.Force && !a.Passive && !a.Choose && !a.HasMaxAge && a.Person == "" && a.Network == policies.NetworkInternet
			}},
			{"prompt=login", set("prompt", "login"), func(a login.Ask) bool { return a.Force }},
			{"prompt=none", set("prompt", "none"), func(a login.Ask) bool { return a.Passive }},
			{"prompt=select_account consent", set("prompt", "select_account consent"), func(a login.Ask) bool { return a.Choose && !a.Passive }},
			{"max_age=0", set("max_age", "0"), func(a login.Ask) bool { return a.HasMaxAge && a.MaxAge == 0 }},
			{"max_age=60", set("max_age", "60"), func(a login.Ask) bool { return a.HasMaxAge && a.MaxAge == time.Minute }},
			{"acr_values: the lowest that would do", set("acr_values", "urn:musubi:acr:aal3 unknown"), func(a login.Ask) bool { return a.Required == policies.AssuranceCard }},
			{"acr_values never lower what is registered", set("acr_values", "urn:musubi:acr:aal1"), func(a login.Ask) bool { return a.Required == policies.AssuranceTwo }},
			{"id_token_hint", set("id_token_hint", hint), func(a login.Ask) bool { return a.Person == "p1" }},
		} {
			q := request("app")
			c.change(q)
			before := len(h.asks)
			if a := h.get("/oidc/authorize", q); a.query("code") == "" || len(h.asks) != before+1 || !c.want(h.asks[before]) {
				t.Errorf("%s: %d %v: %+v", c.name, a.status, a.location, h.asks[before:])
			}
		}
		h.refused(t, "hint_of_another", func() {
			q := request("app")
			q.Set("id_token_hint", other)
			if a := h.get("/oidc/authorize", q); a.query("error") != "invalid_request" {
				t.Errorf("another party's hint: %v", a.location)
			}
		})
		q := request("app")
		q.Set("response_mode", "form_post")
		if a := h.get("/oidc/authorize", q); a.status != http.StatusOK || !strings.Contains(a.raw, `["iss","`+issuer+`"]`) || !strings.Contains(a.raw, `["code",`) {
			t.Errorf("form_post: %d %s", a.status, a.raw)
		}
		q.Set("prompt", "dance")
		if a := h.get("/oidc/authorize", q); a.location != nil || !strings.Contains(a.raw, `["error","invalid_request"]`) {
			t.Errorf("form_post of an error: %d %s", a.status, a.raw)
		}
		q = request("app")
		q.Set("redirect_uri", callback+"?tenant=1")
		if a := h.get("/oidc/authorize", q); !strings.HasPrefix(a.location.String(), callback+"?tenant=1&code=") {
			t.Errorf("a registered query: %v", a.location)
		}
		if a := h.get("/oidc/authorize", request("native")); !strings.HasPrefix(a.location.String(), "http://127.0.0.1:49152/cb?code=") {
			t.Errorf("a loopback port: %v", a.location)
		}
	})
}

// TestPushed follows RFC 9126.
func TestPushed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		push := func(who string) string {
			t.Helper()
			q := request(who)
			q.Del("client_id")
			a := h.post("/oidc/par", who, q)
			if a.status != http.StatusCreated || a.body["expires_in"] != 60.0 || !strings.HasPrefix(a.text("request_uri"), "urn:ietf:params:oauth:request_uri:") {
				t.Fatalf("%d %s", a.status, a.raw)
			}
			return a.text("request_uri")
		}
		use := func(who, uri string, more ...string) answer {
			q := url.Values{"client_id": {who}, "request_uri": {uri}}
			for i := 0; i+1 < len(more); i += 2 {
				q.Set(more[i], more[i+1])
			}
			return h.get("/oidc/authorize", q)
		}
		uri := push("pushing")
		// What stands beside it in the address counts for nothing (section 4).
		a := use("pushing", uri, "redirect_uri", "https://evil.example/", "scope", "openid phone", "state", "evil")
		if a.query("code") == "" || a.query("state") != "st&a te" || !strings.HasPrefix(a.location.String(), callback) {
			t.Fatalf("%d %v %s", a.status, a.location, a.raw)
		}
		if got := h.post("/oidc/token", "pushing", exchange("pushing", a.query("code"))); got.status != http.StatusOK || got.text("scope") != "email openid profile" {
			t.Errorf("%d %s", got.status, got.raw)
		}
		for _, c := range []struct {
			name, reason string
			do           func() answer
		}{
			{"used twice", "pushed_unknown", func() answer { return use("pushing", uri) }},
			{"another party's", "pushed_unknown", func() answer { return use("app", push("pushing")) }},
			{"unknown", "pushed_unknown", func() answer { return use("pushing", "urn:ietf:params:oauth:request_uri:x") }},
			{"expired", "pushed_expired", func() answer {
				uri := push("pushing")
				h.forward(61 * time.Second)
				return use("pushing", uri)
			}},
			{"not pushed", "par_required", func() answer { return h.get("/oidc/authorize", request("pushing")) }},
			{"another network", "pushed_network", func() answer {
				q := url.Values{"client_id": {"pushing"}, "request_uri": {push("pushing")}}
				return h.send(policies.NetworkLGWAN, httptest.NewRequest(http.MethodGet, "/oidc/authorize?"+q.Encode(), nil))
			}},
		} {
			h.refused(t, c.reason, func() {
				if a := c.do(); a.status != http.StatusBadRequest || a.location != nil {
					t.Errorf("%s: %d %v", c.name, a.status, a.location)
				}
			})
		}
		h.refused(t, "request_uri_pushed", func() {
			q := request("app")
			q.Set("request_uri", "urn:ietf:params:oauth:request_uri:x")
			if a := h.post("/oidc/par", "app", q); a.text("error") != "invalid_request" {
				t.Errorf("a pushed request_uri: %d %s", a.status, a.raw)
			}
		})
		var kept int
		must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM oidc_pushed WHERE params LIKE '%assertion%'`).Scan(&kept))
		if kept != 0 {
			t.Error("a client assertion is kept with the pushed request")
		}
	})
}

// TestMixUp: each answer names its issuer (RFC 9207), and what one issuer gave another doesn't take.
func TestMixUp(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		lgwan := func(who string) answer {
			return h.send(policies.NetworkLGWAN, httptest.NewRequest(http.MethodGet, "/oidc/authorize?"+request(who).Encode(), nil))
		}
		a := lgwan("app")
		if a.query("iss") != issuerLGWAN || a.query("code") == "" {
			t.Fatalf("%v", a.location)
		}
		h.refused(t, "code_network", func() {
			if b := h.post("/oidc/token", "app", exchange("app", a.query("code"))); b.text("error") != "invalid_grant" {
				t.Errorf("%d %s", b.status, b.raw)
			}
		})
		b := h.postIn(policies.NetworkLGWAN, "/oidc/token", "app", exchange("app", a.query("code")))
		if b.status != http.StatusOK {
			t.Fatalf("its own issuer: %d %s", b.status, b.raw)
		}
		if got := h.idToken(b.text("id_token"), jose.ES256); got["iss"] != issuerLGWAN {
			t.Errorf("iss %v", got["iss"])
		}
		h.refused(t, "token_network", func() {
			if h.active("app", b.text("access_token")) {
				t.Error("a token counts in another network")
			}
		})
		h.refused(t, "hint_invalid", func() {
			q := request("app")
			q.Set("id_token_hint", b.text("id_token"))
			if a := h.get("/oidc/authorize", q); a.query("error") != "invalid_request" {
				t.Errorf("another issuer's hint: %v", a.location)
			}
		})
	})
}

// TestChangedParty: what was taken out of the registry after the request was checked isn't answered.
func TestChangedParty(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tokens := h.tokens("other")
		code := h.code("other")
		p, err := h.registry.Party(t.Context(), h.db.Reader(), "other")
		must(t, err)
		p.Faces[0].Redirects = []string{"https://app.example/new"}
		ask := h.asks[len(h.asks)-1]
		must(t, h.registry.Put(t.Context(), operator, p, true, h.now().UnixMicro()))
		rec := httptest.NewRecorder()
		if h.begin(rec, httptest.NewRequest(http.MethodGet, "/", nil), ask); rec.Code != http.StatusTeapot || rec.Header().Get("Location") != "" {
			t.Errorf("answered at %s", rec.Header().Get("Location"))
		}
		must(t, h.registry.Remove(t.Context(), operator, "other", "試験", h.now().UnixMicro()))
		if a := h.post("/oidc/token", "other", exchange("other", code)); a.status != http.StatusUnauthorized {
			t.Errorf("a removed party: %d %s", a.status, a.raw)
		}
		if a := h.userinfo(tokens.text("access_token")); a.status != http.StatusUnauthorized {
			t.Errorf("a removed party's token: %d %s", a.status, a.raw)
		}
	})
}

// TestRefuse maps the dispatcher's reasons.
func TestRefuse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.code("app")
		r := login.Request{Ask: h.asks[0]}
		tx := h.begun(t)
		for reason, want := range map[login.Reason]string{
			login.ReasonLogin: "login_required", login.ReasonInteraction: "interaction_required", login.ReasonPolicy: "access_denied",
			login.ReasonPerson: "access_denied", login.ReasonCancelled: "access_denied", login.ReasonAssurance: "unmet_authentication_requirements",
		} {
			a, err := h.provider.Refuse(t.Context(), tx, r, login.Refusal{Reason: reason, Incident: "i-1"})
			must(t, err)
			u, err := url.Parse(a.Location)
			must(t, err)
			q := u.Query()
			if q.Get("error") != want || q.Get("iss") != issuer || q.Get("state") != "st&a te" || q.Get("error_description") != "incident i-1" {
				t.Errorf("%s: %s", reason, a.Location)
			}
		}
	})
}

// TestThrottle: who sends rubbish fills no disk, and what wasn't recorded is counted.
func TestThrottle(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for range 200 {
			if a := h.get("/oidc/authorize", url.Values{"client_id": {"nobody"}}); a.status != http.StatusBadRequest {
				t.Fatal(a.status)
			}
		}
		if n := h.refusals("party_unknown"); n != 20 {
			t.Errorf("%d rows for 200 refusals in one second", n)
		}
		h.forward(time.Second)
		h.get("/oidc/authorize", url.Values{"client_id": {"nobody"}})
		var detail string
		must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT detail FROM audit_row WHERE reason = 'party_unknown' ORDER BY at DESC LIMIT 1`).Scan(&detail))
		if !strings.Contains(detail, fmt.Sprint(`"not_recorded_before":`, 180)) {
			t.Error(detail)
		}
	})
}
