//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// hub is an OpenID provider whose dispatcher logs one synthetic person in at once.
type hub struct {
	db       *sqldb.DB
	provider *oidcop.Provider
	issuer   string
	ca       string // file of the server's certificate

	mu    sync.Mutex
	live  bool
	queue []string
	token string // the newest logout token that was posted
}

func startHub(t *testing.T) (*hub, *party.Registry) {
	t.Helper()
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), keys.Migration(), ppid.Migration(), party.Migration(), oidcop.Migration()} {
		noError(t, db.Migrate(t.Context(), m))
	}
	seal, err := keys.NewSealingKey(rand.Reader)
	noError(t, err)
	ring, err := keys.New(db, keys.Options{Sealing: seal, Specs: oidcop.Specs(), Now: time.Now, Random: rand.Reader})
	noError(t, err)
	noError(t, ring.Ensure(t.Context(), func(context.Context, *sql.Tx, string, keys.Key) error { return nil }))
	subjects, err := ppid.New(seal, rand.Reader)
	noError(t, err)

	server := httptest.NewUnstartedServer(nil)
	h := &hub{db: db, issuer: "https://" + server.Listener.Addr().String(), live: true}
	registry := party.NewRegistry(db)
	h.provider, err = oidcop.New(oidcop.Options{
		DB: db, Keys: ring, Parties: registry, Subjects: subjects, People: h, Standing: h, Browser: h, Pages: h, Start: h.start, Enqueue: h, Transport: h,
		Issuers: map[policies.Network]string{policies.NetworkInternet: h.issuer}, Now: time.Now, Random: rand.Reader, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	noError(t, err)
	server.Config.Handler, err = h.provider.Handler(policies.NetworkInternet)
	noError(t, err)
	server.StartTLS()
	t.Cleanup(server.Close)
	h.ca = filepath.Join(t.TempDir(), "ca.pem")
	noError(t, os.WriteFile(h.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	return h, registry
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *hub) Person(_ context.Context, id policies.PersonID, org policies.OrgID) (identity.Person, identity.Organization, error) {
	return identity.Person{ID: id, Org: org, FamilyName: "試験", GivenName: "一郎", Email: "ichiro@city.example"}, identity.Organization{ID: org, Name: "試験市"}, nil
}

func (h *hub) Standing(context.Context, oidcop.Holder) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.live {
		return "session_ended", nil
	}
	return "", nil
}

func (h *hub) start(w http.ResponseWriter, r *http.Request, ask login.Ask) {
	var a login.Answer
	err := h.db.WithTx(r.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		a, err = h.provider.Finish(ctx, tx, login.Request{Ask: ask}, identity.Login{
			Session: "s1", Person: "p1", Org: "011002", RelyingParty: ask.RelyingParty, Network: ask.Network, Assurance: policies.AssuranceCard,
			AMR: []string{"hwk", "mfa", "pin", "sc"}, AuthAt: time.Now().UnixMicro(), Release: policies.Attributes(), PolicyHash: "hash",
		})
		return err
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, a.Location, http.StatusSeeOther)
}

func (h *hub) Current(*http.Request) (session.Session, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return session.Session{ID: "s1", Person: "p1", Network: policies.NetworkInternet}, h.live, nil
}

func (h *hub) End(_ http.ResponseWriter, r *http.Request, s session.Session) error {
	h.mu.Lock()
	h.live = false
	h.mu.Unlock()
	return h.db.WithTx(r.Context(), func(ctx context.Context, tx *sql.Tx) error { return h.provider.SessionEnded(ctx, tx, s, nil) })
}

func (h *hub) EnqueueLogout(_ context.Context, _ *sql.Tx, id string) error {
	h.queue = append(h.queue, id)
	return nil
}

// RoundTrip is the relying party's back-channel end point.
func (h *hub) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	h.token = r.PostForm.Get("logout_token")
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
}

func (h *hub) Problem(w http.ResponseWriter, _ *http.Request, p oidcop.Problem) {
	http.Error(w, p.Reason, p.Status)
}

func (h *hub) Form(w http.ResponseWriter, _ *http.Request, _ login.Answer) {
	http.Error(w, "form", http.StatusNotImplemented)
}

func (h *hub) Confirm(w http.ResponseWriter, _ *http.Request, _ oidcop.Confirmation) {
	http.Error(w, "confirm", http.StatusConflict)
}

func (h *hub) LoggedOut(w http.ResponseWriter, r *http.Request, l oidcop.LoggedOut) {
	http.Redirect(w, r, l.Location, http.StatusSeeOther)
}

// seen is what oidc-client.mjs saw.
type seen struct {
	Failed      string         `json:"failed"`
	Cause       string         `json:"cause"`
	Pushed      bool           `json:"pushed"`
	Iss         string         `json:"iss"`
	Sub         string         `json:"sub"`
	ACR         string         `json:"acr"`
	AMR         []string       `json:"amr"`
	Userinfo    map[string]any `json:"userinfo"`
	Active      bool           `json:"active"`
	Rotated     bool           `json:"rotated"`
	SameSubject bool           `json:"sameSubject"`
	Revoked     bool           `json:"revoked"`
	Mixup       string         `json:"mixup"`
	Reuse       string         `json:"reuse"`
	Family      string         `json:"family"`
	Bye         string         `json:"bye"`
}

// TestOpenIDClient has openid-client, a certified relying party, go through the provider: with private_key_jwt, ES256 and pushed requests, and
// with client_secret_basic, whose every odd character it percent-encodes, and RS256.
func TestOpenIDClient(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	noError(t, err)
	private, err := jose.JSONWebKey{Key: key, KeyID: "k1", Algorithm: "ES256"}.MarshalJSON()
	noError(t, err)
	// A secret that Basic authentication has to encode, beside the bare letters.
	secret, kept, err := party.NewSecret(rand.Reader)
	for err == nil && !bytes.ContainsAny([]byte(secret), "-_") {
		secret, kept, err = party.NewSecret(rand.Reader)
	}
	noError(t, err)
	for _, c := range []struct {
		name  string
		party party.Party
		env   []string
		mixup string
	}{
		{"private_key_jwt", party.Party{Auth: party.AuthPrivateKeyJWT, JWKS: public, Alg: jose.ES256, PAR: true}, []string{"PAR=yes", "ALG=ES256", "KEY=" + string(private)}, ""},
		{"client_secret_basic", party.Party{Auth: party.AuthSecretBasic, Secrets: []party.Secret{kept}, Alg: jose.RS256}, []string{"ALG=RS256", "SECRET=" + secret}, "OAUTH_INVALID_RESPONSE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, registry := startHub(t)
			by, err := access.BreakGlass("operator")
			noError(t, err)
			p := c.party
			p.ID, p.Name, p.Sector, p.Least, p.Refresh, p.Scopes = "app", "試験アプリ", "app.example", policies.AssuranceTwo, true, party.Scopes()
			p.Faces = []party.Face{{
				Network: policies.NetworkInternet, Redirects: []string{"https://app.example/callback"}, PostLogout: []string{"https://app.example/bye"},
				Backchannel: "https://app.example/backchannel", Resources: []party.Resource{{URI: "urn:example:search"}, {URI: "https://api.example/records", Scopes: []string{"records:read", "records:write"}}},
			}}
			noError(t, registry.Put(t.Context(), by, p, false, time.Now().UnixMicro()))
			env := append([]string{"ISSUER=" + h.issuer, "NODE_EXTRA_CA_CERTS=" + h.ca, "CLIENT=app", "CALLBACK=https://app.example/callback", "BYE=https://app.example/bye"}, c.env...)
			var got seen
			if code := runScript(t, env, &got, "oidc-client.mjs"); code != 0 {
				t.Fatalf("exit %d: %s: %s", code, got.Failed, got.Cause)
			}
			type acted struct {
				Failed    string   `json:"failed"`
				Cause     string   `json:"cause"`
				Grants    []string `json:"grants"`
				Type      string   `json:"type"`
				Expires   int      `json:"expires"`
				Others    bool     `json:"others"`
				Sub       string   `json:"sub"`
				Client    string   `json:"client"`
				Scope     string   `json:"scope"`
				Elsewhere string   `json:"elsewhere"`
				Active    bool     `json:"active"`
				Revoked   bool     `json:"revoked"`
				Target    string   `json:"target"`
				OpenID    string   `json:"openid"`
			}
			var own acted
			if code := runScript(t, append(env, "RESOURCE=https://api.example/records"), &own, "oidc-client.mjs"); code != 0 {
				t.Fatalf("in its own name: %s: %s", own.Failed, own.Cause)
			}
			if diff := cmp.Diff(acted{
				Grants: []string{"authorization_code", "refresh_token", "client_credentials"}, Type: "bearer", Expires: 300, Sub: "app", Client: "app", Scope: "records:read",
				Elsewhere: "ERR_JWT_CLAIM_VALIDATION_FAILED", Active: true, Revoked: true, Target: "invalid_target", OpenID: "invalid_scope",
			}, own); diff != "" {
				t.Errorf("in its own name (-want +got):\n%s", diff)
			}
			sub := got.Sub
			if len(sub) != 32 {
				t.Errorf("sub %q", sub)
			}
			want := seen{
				Pushed: p.PAR, Iss: h.issuer, Sub: sub, ACR: "urn:musubi:acr:aal3", AMR: []string{"hwk", "mfa", "pin", "sc"},
				Userinfo: map[string]any{"sub": sub, "name": "試験 一郎", "family_name": "試験", "given_name": "一郎", "email": "ichiro@city.example"},
				Active:   true, Rotated: true, SameSubject: true, Revoked: true, Mixup: c.mixup, Reuse: "invalid_grant", Family: "invalid_grant",
				Bye: "https://app.example/bye?state=good+bye",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(h.queue) != 1 {
				t.Fatalf("%d back-channel logouts", len(h.queue))
			}
			noError(t, h.provider.Deliver(t.Context(), h.queue[0]))
			var logout struct {
				Failed string         `json:"failed"`
				Sub    string         `json:"sub"`
				Events map[string]any `json:"events"`
				Nonce  bool           `json:"nonce"`
				Alg    string         `json:"alg"`
			}
			if code := runScript(t, append(env, "LOGOUT_TOKEN="+h.token), &logout, "oidc-client.mjs"); code != 0 {
				t.Fatalf("the logout token: %s", logout.Failed)
			}
			if _, ok := logout.Events["http://schemas.openid.net/event/backchannel-logout"]; !ok || logout.Sub != sub || logout.Nonce || logout.Alg != string(p.Alg) {
				t.Errorf("%+v", logout)
			}
			done, err := h.provider.Logouts(t.Context(), oidcop.LogoutDelivered, 10)
			if err != nil || len(done) != 1 || done[0].Status != http.StatusNoContent {
				t.Errorf("receipts %+v: %v", done, err)
			}
		})
	}
}
