package oidcop_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/policies"
)

// TestIntrospection follows RFC 7662: a party learns of its own tokens alone.
func TestIntrospection(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		got := h.tokens("app")
		a := h.post("/oidc/introspect", "app", url.Values{"token": {got.text("access_token")}})
		id := h.idToken(got.text("id_token"), jose.ES256)
		now := float64(start.Unix())
		want := map[string]any{
			"active": true, "scope": "email openid profile", "client_id": "app", "sub": id["sub"], "iss": issuer, "aud": "app", "exp": now + 300, "iat": now,
			"token_type": "Bearer", "acr": "urn:musubi:acr:aal3", "amr": []any{"hwk", "mfa", "pin", "sc"}, "auth_time": now - 60, "sid": id["sid"],
		}
		if diff := cmp.Diff(want, a.body); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for name, c := range map[string]struct{ reason, who, token string }{
			"another party's": {"token_of_another", "other", got.text("access_token")},
			"unknown":         {"token_unknown", "app", "x"},
			"an ID token":     {"token_unknown", "app", got.text("id_token")},
		} {
			h.refused(t, c.reason, func() {
				a := h.post("/oidc/introspect", c.who, url.Values{"token": {c.token}})
				if diff := cmp.Diff(map[string]any{"active": false}, a.body); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			})
		}
	})
}

// TestLeaver: what ends a person or a session ends every token at the next use, with nothing in between.
func TestLeaver(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, what := range []string{"person p1", "session s1"} {
			got := h.tokens("app")
			access, refresh := got.text("access_token"), got.text("refresh_token")
			if !h.active("app", access) || !h.active("app", refresh) || h.userinfo(access).status != http.StatusOK {
				t.Fatal("the tokens don't count to begin with")
			}
			h.end(what, "gone")
			h.refused(t, "gone", func() {
				if h.active("app", access) || h.active("app", refresh) {
					t.Errorf("%s: active", what)
				}
			})
			if a := h.userinfo(access); a.status != http.StatusUnauthorized || a.text("email") != "" {
				t.Errorf("%s: userinfo %d %s", what, a.status, a.raw)
			}
			h.end(what, "")
			h.end("broken", "yes")
			if a := h.userinfo(access); a.status != http.StatusInternalServerError {
				t.Errorf("without an answer of the directory: %d", a.status)
			}
			if a := h.post("/oidc/introspect", "app", url.Values{"token": {access}}); a.status != http.StatusInternalServerError {
				t.Errorf("without an answer of the directory: %d %s", a.status, a.raw)
			}
			h.end("broken", "")
		}
	})
}

func TestUserinfoToken(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		got := h.tokens("app")
		for name, c := range map[string]struct{ reason, header string }{
			"none":            {"token_missing", ""},
			"basic":           {"token_missing", basic("app", "x")},
			"unknown":         {"token_unknown", "Bearer x"},
			"empty":           {"token_malformed", "Bearer "},
			"a refresh token": {"token_kind", "Bearer " + got.text("refresh_token")},
		} {
			h.refused(t, c.reason, func() {
				r := httptest.NewRequest(http.MethodGet, "/oidc/userinfo?access_token="+got.text("access_token"), nil)
				if c.header != "" {
					r.Header.Set("Authorization", c.header)
				}
				if a := h.send(policies.NetworkInternet, r); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s: %d %s", name, a.status, a.raw)
				}
			})
		}
	})
}

// TestRevocation follows RFC 7009.
func TestRevocation(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		revoke := func(who, token string) answer {
			return h.post("/oidc/revoke", who, url.Values{"token": {token}, "token_type_hint": {"nonsense"}})
		}
		got := h.tokens("app")
		access, refresh := got.text("access_token"), got.text("refresh_token")
		h.refused(t, "token_of_another", func() {
			if a := revoke("other", access); a.status != http.StatusBadRequest || !h.active("app", access) {
				t.Errorf("another party revokes: %d", a.status)
			}
		})
		if a := revoke("app", access); a.status != http.StatusOK || h.active("app", access) || !h.active("app", refresh) {
			t.Errorf("of an access token: %d", a.status)
		}
		if a := revoke("app", access); a.status != http.StatusOK {
			t.Errorf("again: %d", a.status)
		}
		got = h.tokens("app")
		access, refresh = got.text("access_token"), got.text("refresh_token")
		if a := revoke("app", refresh); a.status != http.StatusOK || h.active("app", access) || h.active("app", refresh) {
			t.Errorf("of a refresh token: %d", a.status)
		}
	})
}

var update = flag.Bool("update", false, "write the golden files anew")

// TestDiscovery compares the documents with what relying parties have read until now.
func TestDiscovery(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.get("/.well-known/openid-configuration", nil)
		b := h.get("/.well-known/oauth-authorization-server", nil)
		if a.raw != b.raw {
			t.Error("the two documents differ")
		}
		got, err := json.MarshalIndent(a.body, "", "  ")
		must(t, err)
		golden := filepath.Join("testdata", "discovery.json")
		if *update {
			must(t, os.MkdirAll("testdata", 0o750))
			must(t, os.WriteFile(golden, append(got, '\n'), 0o600))
		}
		want, err := os.ReadFile(golden)
		must(t, err)
		if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		lgwan := h.send(policies.NetworkLGWAN, httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil))
		if lgwan.text("issuer") != issuerLGWAN || lgwan.text("token_endpoint") != issuerLGWAN+"/oidc/token" {
			t.Errorf("in another network: %s", lgwan.raw)
		}
		r := httptest.NewRequest(http.MethodOptions, "/oidc/token", nil)
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		if a := h.send(policies.NetworkInternet, r); a.status != http.StatusMethodNotAllowed { // send looks for CORS headers
			t.Errorf("a preflight: %d", a.status)
		}
	})
}

// TestRotation: keys are published before they sign and after they have; a token outlives the key that signed it.
func TestRotation(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		note := func(context.Context, *sql.Tx, string, keys.Key) error { return nil }
		kids := func() map[string]bool {
			var set jose.JSONWebKeySet
			must(t, json.Unmarshal([]byte(h.get("/oidc/keys", nil).raw), &set))
			out := map[string]bool{}
			for _, k := range set.Keys {
				if !k.IsPublic() {
					t.Fatal("a private key is published")
				}
				out[k.KeyID] = true
			}
			return out
		}
		kid := func(token string) string {
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
			must(t, err)
			return jws.Signatures[0].Protected.KeyID
		}
		before := h.tokens("app").text("id_token")
		early := kids()
		h.forward(25 * time.Hour)
		_, err := h.ring.Rotate(t.Context(), oidcop.PurposeES256, keys.Turn{}, note)
		must(t, err)
		after := h.tokens("app").text("id_token")
		if kid(before) == kid(after) {
			t.Fatal("the old key still signs")
		}
		if !early[kid(after)] {
			t.Error("the new key wasn't published before it signed")
		}
		h.idToken(before, jose.ES256)
		h.idToken(after, jose.ES256)
		h.forward(49 * time.Hour)
		if kids()[kid(before)] {
			t.Error("the old key is published after its overlap")
		}
		// As a hint its token still says who is meant.
		q := request("app")
		q.Set("id_token_hint", before)
		if a := h.get("/oidc/authorize", q); a.query("code") == "" {
			t.Errorf("an old token as a hint: %v", a.location)
		}
	})
}

// TestSweep: what has expired goes, what counts stays.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		old := h.tokens("app")
		h.post("/oidc/par", "pushing", request("pushing"))
		h.forward(6 * time.Hour)
		young := h.tokens("app")
		count := func() (n int) {
			must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT (SELECT COUNT(*) FROM oidc_pushed) + (SELECT COUNT(*) FROM oidc_assertion) + (SELECT COUNT(*) FROM oidc_code)
				+ (SELECT COUNT(*) FROM oidc_token) + (SELECT COUNT(*) FROM oidc_grant)`).Scan(&n))
			return n
		}
		sweep := func() int64 {
			n, err := h.provider.Sweep(t.Context(), 1000, time.Hour.Microseconds())
			must(t, err)
			return n
		}
		if n := sweep(); n != 3 { // the pushed request, an access token, the assertion of the first redemption
			t.Errorf("%d rows went", n)
		}
		if !h.active("app", young.text("access_token")) || !h.active("app", old.text("refresh_token")) {
			t.Error("what counts was swept")
		}
		h.forward(20 * time.Hour)
		sweep()
		sweep()
		if n := count(); n != 0 {
			t.Errorf("%d rows stay", n)
		}
	})
}
