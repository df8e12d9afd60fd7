package oidcop_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// TestCodeFlow goes through the whole flow for each algorithm and each way of proving who the party is (Core, section 3.1).
func TestCodeFlow(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for who, alg := range map[string]jose.SignatureAlgorithm{"app": jose.ES256, "other": jose.RS256} {
			a := h.get("/oidc/authorize", request(who))
			if a.status != http.StatusSeeOther || a.query("iss") != issuer || a.query("state") != "st&a te" || !strings.HasPrefix(a.location.String(), callback+"?") {
				t.Fatalf("%s: %d %v", who, a.status, a.location)
			}
			a = h.post("/oidc/token", who, exchange(who, a.query("code")))
			if a.status != http.StatusOK || a.text("token_type") != "Bearer" || a.text("refresh_token") == "" || a.text("scope") != "email openid profile" ||
				a.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s: %d %s", who, a.status, a.raw)
			}
			got := h.idToken(a.text("id_token"), alg)
			sub, sid, hash := got["sub"], got["sid"], got["at_hash"]
			if sub == "" || sid == "" || hash == "" || sub == "p1" || sid == "s1" {
				t.Errorf("%s: sub %v, sid %v, at_hash %v", who, sub, sid, hash)
			}
			now := float64(start.Unix())
			want := map[string]any{
				"iss": issuer, "sub": sub, "aud": who, "azp": who, "iat": now, "exp": now + 300, "nonce": "n-1", "sid": sid, "at_hash": hash,
				"auth_time": now - 60, "acr": "urn:musubi:acr:aal3", "amr": []any{"hwk", "mfa", "pin", "sc"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: ID token (-want +got):\n%s", who, diff)
			}
			info := h.userinfo(a.text("access_token"))
			want = map[string]any{"sub": sub, "name": "試験 p1", "family_name": "試験", "given_name": "p1", "family_name#ja-Kana-JP": "シケン", "email": "p1@city.example"}
			if diff := cmp.Diff(want, info.body); diff != "" || info.status != http.StatusOK {
				t.Errorf("%s: userinfo %d (-want +got):\n%s", who, info.status, diff)
			}
			var stored int
			for _, secret := range []string{a.text("access_token"), a.text("refresh_token")} {
				must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM oidc_token WHERE hash = $1`, secret).Scan(&stored))
				if stored != 0 {
					t.Error("a token is stored in clear")
				}
				if strings.Contains(h.log.String(), secret) {
					t.Error("a token is in the log")
				}
			}
		}
	})
}

func (h *house) userinfo(token string) answer {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "/oidc/userinfo", nil)
	must(h.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	return h.send(policies.NetworkInternet, r)
}

// TestSubjects: one sector sees one subject, two sectors two; nobody sees the person's id (Core, section 8.1).
func TestSubjects(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		subject := func(who string, alg jose.SignatureAlgorithm) (sub, sid any) {
			m := h.idToken(h.tokens(who).text("id_token"), alg)
			return m["sub"], m["sid"]
		}
		app, sid := subject("app", jose.ES256)
		again, sidAgain := subject("app", jose.ES256)
		native, sidNative := subject("native", jose.ES256)
		other, sidOther := subject("other", jose.RS256)
		if app != again || app != native || app == other {
			t.Errorf("subjects: app %v and %v, native of the same sector %v, other %v", app, again, native, other)
		}
		if sid != sidAgain || sid == sidOther || sid == sidNative {
			t.Errorf("sid: app %v and %v, native %v, other %v", sid, sidAgain, sidNative, sidOther)
		}
		h.login.Person = "p2"
		if two, _ := subject("app", jose.ES256); two == app {
			t.Error("two people have one subject")
		}
	})
}

// TestReleased: a claim needs both the scope that asks for it and the policy that releases it.
func TestReleased(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register(party.Party{ID: "narrow", Auth: party.AuthPrivateKeyJWT, Alg: jose.ES256, Scopes: []string{"profile"}})
		h.login.Release = []policies.Attribute{policies.AttributeEmail}
		info := h.userinfo(h.tokens("app").text("access_token"))
		if diff := cmp.Diff([]string{"email", "sub"}, names(info.body)); diff != "" {
			t.Errorf("only the address is released (-want +got):\n%s", diff)
		}
		h.login.Release = policies.Attributes()
		q := request("app")
		q.Set("scope", "openid organization phone nonsense")
		code := h.get("/oidc/authorize", q).query("code")
		a := h.post("/oidc/token", "app", exchange("app", code))
		if a.text("scope") != "openid organization phone" {
			t.Errorf("scope %q", a.text("scope"))
		}
		want := []string{"organization", "organization_kind", "organization_name", "phone_number", "role", "section", "sub", "title"}
		if diff := cmp.Diff(want, names(h.userinfo(a.text("access_token")).body)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// In a concurrent post the main post's section isn't told.
		h.login.Org = "012025"
		code = h.get("/oidc/authorize", q).query("code")
		a = h.post("/oidc/token", "app", exchange("app", code))
		want = []string{"organization", "organization_kind", "organization_name", "phone_number", "sub"}
		info = h.userinfo(a.text("access_token"))
		if diff := cmp.Diff(want, names(info.body)); diff != "" || info.text("organization") != "012025" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func names(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// TestCodeAttacks: each is refused with a reason, spoils the code where its owner tried, and leaves nothing that counts.
func TestCodeAttacks(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, c := range []struct {
			name   string
			reason string
			change func(form url.Values)
			who    string
			wait   time.Duration
			code   string // error code; invalid_grant where empty
			good   bool   // the owner can still redeem the code afterwards
		}{
			{name: "no verifier (RFC 7636, 4.5)", reason: "pkce_verifier_missing", change: func(v url.Values) { v.Del("code_verifier") }, code: "invalid_request", good: true},
			{name: "the challenge as verifier: plain", reason: "pkce_mismatch", change: func(v url.Values) { v.Set("code_verifier", challenge(verifier)) }},
			{name: "another verifier", reason: "pkce_mismatch", change: func(v url.Values) { v.Set("code_verifier", strings.Repeat("x", 43)) }},
			{name: "a short verifier (4.1)", reason: "pkce_verifier_malformed", change: func(v url.Values) { v.Set("code_verifier", "short") }, code: "invalid_request", good: true},
			{name: "another redirect_uri (RFC 6749, 4.1.3)", reason: "redirect_mismatch", change: func(v url.Values) { v.Set("redirect_uri", callback+"?tenant=1") }},
			{name: "no redirect_uri", reason: "redirect_mismatch", change: func(v url.Values) { v.Del("redirect_uri") }},
			{name: "another party", reason: "code_of_another", who: "other", good: true},
			{name: "expired", reason: "code_expired", wait: 61 * time.Second},
			{name: "unknown", reason: "code_unknown", change: func(v url.Values) { v.Set("code", strings.Repeat("A", 43)) }, good: true},
			{name: "none", reason: "code_missing", change: func(v url.Values) { v.Del("code") }, code: "invalid_request", good: true},
			{name: "another grant type", reason: "grant_type", change: func(v url.Values) { v.Set("grant_type", "password") }, code: "unsupported_grant_type", good: true},
			{name: "twice the code", reason: "params_repeated", change: func(v url.Values) { v.Add("code", "x") }, code: "invalid_request", good: true},
		} {
			h.refused(t, c.reason, func() {
				code := h.code("app")
				h.forward(c.wait)
				who, form := "app", exchange("app", code)
				if c.who != "" {
					who = c.who
				}
				if c.change != nil {
					c.change(form)
				}
				want := c.code
				if want == "" {
					want = "invalid_grant"
				}
				if a := h.post("/oidc/token", who, form); a.status != http.StatusBadRequest || a.text("error") != want || a.text("access_token") != "" {
					t.Errorf("%s: %d %s", c.name, a.status, a.raw)
				}
				if a := h.post("/oidc/token", "app", exchange("app", code)); (a.status == http.StatusOK) != c.good {
					t.Errorf("%s: afterwards its owner gets %d %s", c.name, a.status, a.raw)
				}
			})
		}
		h.refused(t, "code_network", func() {
			if a := h.postIn(policies.NetworkLGWAN, "/oidc/token", "app", exchange("app", h.code("app"))); a.text("error") != "invalid_grant" {
				t.Errorf("in another network: %d %s", a.status, a.raw)
			}
		})
		for _, what := range []string{"person p1", "session s1"} {
			h.refused(t, "ended", func() {
				code := h.code("app")
				h.end(what, "ended")
				if a := h.post("/oidc/token", "app", exchange("app", code)); a.text("error") != "invalid_grant" {
					t.Errorf("%s ended: %d %s", what, a.status, a.raw)
				}
				h.end(what, "")
			})
		}
		h.refused(t, "internal", func() {
			code := h.code("app")
			h.end("broken", "yes")
			if a := h.post("/oidc/token", "app", exchange("app", code)); a.status != http.StatusInternalServerError || a.text("access_token") != "" {
				t.Errorf("without the directory: %d %s", a.status, a.raw)
			}
			h.end("broken", "")
		})
	})
}

// TestCodeReuse: the second use is refused and takes what the first gave (RFC 6749, section 4.1.2).
func TestCodeReuse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		code := h.code("app")
		first := h.post("/oidc/token", "app", exchange("app", code))
		if first.status != http.StatusOK || !h.active("app", first.text("access_token")) {
			t.Fatalf("%d %s", first.status, first.raw)
		}
		h.refused(t, "code_reused", func() {
			if a := h.post("/oidc/token", "app", exchange("app", code)); a.text("error") != "invalid_grant" {
				t.Errorf("reuse: %d %s", a.status, a.raw)
			}
		})
		if h.active("app", first.text("access_token")) || h.active("app", first.text("refresh_token")) {
			t.Error("the tokens outlive the reuse of their code")
		}
		if a := h.userinfo(first.text("access_token")); a.status != http.StatusUnauthorized {
			t.Errorf("userinfo after the reuse: %d", a.status)
		}
		if a := h.post("/oidc/token", "app", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.text("refresh_token")}}); a.text("error") != "invalid_grant" {
			t.Errorf("refresh after the reuse: %d %s", a.status, a.raw)
		}
	})
}

// TestParallelRedemption: of many at the same moment exactly one gets tokens, and as the code was used more than once they don't count.
func TestParallelRedemption(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for range 5 {
			code := h.code("other")
			answers := make([]answer, 16)
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() { answers[i] = h.post("/oidc/token", "other", exchange("other", code)) })
			}
			wg.Wait()
			won := 0
			for _, a := range answers {
				switch {
				case a.status == http.StatusOK:
					won++
					if h.active("other", a.text("access_token")) {
						t.Error("the tokens count although the code was used again")
					}
				case a.text("error") != "invalid_grant":
					t.Errorf("%d %s", a.status, a.raw)
				}
			}
			if won != 1 {
				t.Errorf("%d of %d got tokens", won, len(answers))
			}
		}
	})
}

// TestRefresh: rotation, narrowing, and the end of the family by reuse (RFC 9700, section 4.14.2).
func TestRefresh(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		refresh := func(who, token string, more ...string) answer {
			v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
			if len(more) > 0 {
				v.Set("scope", more[0])
			}
			return h.post("/oidc/token", who, v)
		}
		first := h.tokens("app")
		before := h.idToken(first.text("id_token"), jose.ES256)
		h.forward(10 * time.Minute)
		if h.active("app", first.text("access_token")) {
			t.Error("an access token outlives its time")
		}
		second := refresh("app", first.text("refresh_token"))
		if second.status != http.StatusOK || second.text("refresh_token") == first.text("refresh_token") || second.text("refresh_token") == "" {
			t.Fatalf("%d %s", second.status, second.raw)
		}
		after := h.idToken(second.text("id_token"), jose.ES256)
		for _, same := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} { // Core, section 12.2
			if before[same] != after[same] {
				t.Errorf("%s was %v and is %v", same, before[same], after[same])
			}
		}
		if _, ok := after["nonce"]; ok {
			t.Error("a refreshed ID token has a nonce")
		}
		third := refresh("app", second.text("refresh_token"), "openid email")
		if third.status != http.StatusOK || third.text("scope") != "email openid" {
			t.Fatalf("narrower: %d %s", third.status, third.raw)
		}
		if info := h.userinfo(third.text("access_token")); info.text("email") == "" || info.text("name") != "" {
			t.Errorf("by the narrower token: %s", info.raw)
		}
		h.refused(t, "scope_wider", func() {
			if a := refresh("app", third.text("refresh_token"), "openid phone"); a.text("error") != "invalid_scope" {
				t.Errorf("wider: %d %s", a.status, a.raw)
			}
		})
		// The refresh token itself isn't narrower (RFC 6749, section 6).
		third = refresh("app", third.text("refresh_token"), "openid profile")
		if third.status != http.StatusOK || third.text("scope") != "openid profile" {
			t.Fatalf("as wide as the login: %d %s", third.status, third.raw)
		}
		h.refused(t, "refresh_of_another", func() {
			if a := refresh("other", third.text("refresh_token")); a.text("error") != "invalid_grant" {
				t.Errorf("another party: %d %s", a.status, a.raw)
			}
		})
		h.refused(t, "refresh_unknown", func() {
			if a := refresh("app", third.text("access_token")); a.text("error") != "invalid_grant" {
				t.Errorf("an access token: %d %s", a.status, a.raw)
			}
		})
		if !h.active("app", third.text("access_token")) {
			t.Fatal("others' tries ended the family")
		}
		h.refused(t, "refresh_reused", func() {
			if a := refresh("app", first.text("refresh_token")); a.text("error") != "invalid_grant" {
				t.Errorf("reuse: %d %s", a.status, a.raw)
			}
		})
		if h.active("app", third.text("access_token")) || refresh("app", third.text("refresh_token")).status == http.StatusOK {
			t.Error("the family lives on after a reuse")
		}
		// A leaver gets no new tokens, and the longest family ends.
		leaver := h.tokens("app")
		h.end("person p1", "person_ended")
		h.refused(t, "person_ended", func() {
			if a := refresh("app", leaver.text("refresh_token")); a.text("error") != "invalid_grant" {
				t.Errorf("a leaver: %d %s", a.status, a.raw)
			}
		})
		h.end("person p1", "")
		old := h.tokens("app")
		h.forward(12*time.Hour + time.Second)
		h.refused(t, "grant_expired", func() {
			if a := refresh("app", old.text("refresh_token")); a.text("error") != "invalid_grant" {
				t.Errorf("after twelve hours: %d %s", a.status, a.raw)
			}
		})
	})
}

// TestParallelRefresh: one of many wins, and the family ends, since the token was used twice.
func TestParallelRefresh(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for range 8 {
			first := h.tokens("other")
			answers := make([]answer, 16)
			begin := make(chan struct{})
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() {
					<-begin
					answers[i] = h.post("/oidc/token", "other", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.text("refresh_token")}})
				})
			}
			close(begin)
			wg.Wait()
			won := 0
			for _, a := range answers {
				if a.status == http.StatusOK {
					won++
					if h.active("other", a.text("access_token")) || h.active("other", a.text("refresh_token")) {
						t.Error("the family lives on")
					}
				}
			}
			if won != 1 {
				t.Errorf("%d of %d got tokens", won, len(answers))
			}
		}
	})
}
