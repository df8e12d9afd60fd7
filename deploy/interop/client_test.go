//go:build interop

package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// openIDClient registers a relying party with the hub as an operator does, and has openid-client, a certified implementation, be that party: pushed
// request, PKCE, private_key_jwt, a person who logs in with a card in Chromium, tokens renewed, introspected and revoked, logout, and the logout token
// on the back channel.
func openIDClient(t *testing.T, d *demonstration) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	noError(t, err)
	private, err := jose.JSONWebKey{Key: key, KeyID: "k1", Algorithm: "ES256"}.MarshalJSON()
	noError(t, err)
	keys := filepath.Join(t.TempDir(), "jwks.json")
	noError(t, os.WriteFile(keys, public, 0o600))

	told := make(chan string, 4)
	certificate, err := tls.LoadX509KeyPair(d.server, d.server)
	noError(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	noError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /backchannel", func(w http.ResponseWriter, r *http.Request) {
		told <- r.PostFormValue("logout_token")
		w.WriteHeader(http.StatusNoContent)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	app := "https://sandbox.localhost:" + listener.Addr().String()[len("127.0.0.1:"):]
	d.musubi(t, "rp", "add", "app", "--name", "試験アプリ", "--auth", "private_key_jwt", "--jwks", keys, "--alg", "ES256", "--par", "--refresh", "--network", "internet",
		"--sector", "app.example", "--least", "card", "--function", "inquiries", "--scope", "profile,email", "--redirect", app+"/callback", "--post-logout", app+"/bye",
		"--backchannel", app+"/backchannel")

	env := []string{
		"ISSUER=" + d.hub, "HUB=" + d.hub, "HOME_DIR=" + browserHome(t, d.authority, d.card("city"), testpki.Password), "NODE_EXTRA_CA_CERTS=" + d.authority,
		"NODE_OPTIONS=--import ./localhost-names.mjs", "CLIENT=app", "CALLBACK=" + app + "/callback", "BYE=" + app + "/bye", "PAR=yes", "ALG=ES256", "KEY=" + string(private),
	}
	var got struct {
		seen
		Pages []string `json:"pages"`
	}
	if code := runScript(t, env, &got, "oidc-client.mjs"); code != 0 {
		t.Fatalf("exit %d: %s: %s", code, got.Failed, got.Cause)
	}
	if len(got.Sub) != 32 {
		t.Errorf("sub %q", got.Sub)
	}
	want := seen{
		Pushed: true, Iss: d.hub, Sub: got.Sub, ACR: "urn:musubi:acr:aal3", AMR: []string{"hwk", "mfa", "pin", "sc"},
		Userinfo: map[string]any{
			"sub": got.Sub, "name": "石井 真由美", "family_name": "石井", "given_name": "真由美", "family_name#ja-Kana-JP": "イシイ", "given_name#ja-Kana-JP": "マユミ",
			"family_name#ja-Latn-JP": "Ishii", "given_name#ja-Latn-JP": "Mayumi", "email": "mayumi.ishii.3@c011002.example.lg.jp",
		},
		Active: true, Rotated: true, SameSubject: true, Revoked: true, Reuse: "invalid_grant", Family: "invalid_grant", Bye: app + "/bye?state=good+bye",
	}
	if diff := cmp.Diff(want, got.seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(got.Pages, []string{"login", "card", "oidc"}) { // and none for the requests in between
		t.Errorf("a person saw the pages %q; want those of login, the card and logout", got.Pages)
	}
	select {
	case token := <-told:
		var logout struct {
			Failed string         `json:"failed"`
			Sub    string         `json:"sub"`
			Events map[string]any `json:"events"`
			Nonce  bool           `json:"nonce"`
			Alg    string         `json:"alg"`
		}
		if code := runScript(t, append(env, "LOGOUT_TOKEN="+token), &logout, "oidc-client.mjs"); code != 0 {
			t.Fatalf("the logout token: %s", logout.Failed)
		}
		if _, ok := logout.Events["http://schemas.openid.net/event/backchannel-logout"]; !ok || logout.Sub != got.Sub || logout.Nonce || logout.Alg != "ES256" {
			t.Errorf("%+v", logout)
		}
	case <-time.After(peerTimeout):
		t.Error("no logout token came on the back channel")
	}
}
