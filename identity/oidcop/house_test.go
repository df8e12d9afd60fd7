package oidcop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

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

const (
	issuer      = "https://login.musubi.example"
	issuerLGWAN = "https://login.musubi.lgwan.example"
	callback    = "https://app.example/callback"
)

var start = time.Unix(1_790_000_000, 0)

// house is a provider with a clock that the test moves, and a dispatcher that logs in whom the test names.
type house struct {
	t        testing.TB
	db       *sqldb.DB
	ring     *keys.Ring
	registry *party.Registry
	subjects *ppid.Store
	provider *oidcop.Provider
	handler  map[policies.Network]http.Handler
	seconds  atomic.Int64 // since start

	key    *ecdsa.PrivateKey // of parties with private_key_jwt, kid "k1"
	secret string            // of parties with a secret
	nextID atomic.Int64

	mu      sync.Mutex
	login   identity.Login // whom the dispatcher logs in
	asks    []login.Ask
	ended   map[string]string // "person p1", "session s1": why it doesn't stand
	queue   []string
	browser *session.Session
	answers map[string]func(*http.Request) (int, error) // of relying parties' hosts, for back-channel logout
	posted  []url.Values
	log     strings.Builder
	group   bool                                                  // the dispatcher shares commits, as a busy one does
	open    func(context.Context, *sql.Tx, *identity.Login) error // opens the login's session; nil: h.login names one
}

func newHouse(t testing.TB, db *sqldb.DB) *house {
	t.Helper()
	return newHouseWith(t, db, func(*oidcop.Options) {})
}

func newHouseWith(t testing.TB, db *sqldb.DB, change func(*oidcop.Options)) *house {
	t.Helper()
	for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), keys.Migration(), ppid.Migration(), party.Migration(), oidcop.Migration()} {
		if err := db.Migrate(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	h := &house{t: t, db: db, registry: party.NewRegistry(db), ended: map[string]string{}, handler: map[policies.Network]http.Handler{}, answers: map[string]func(*http.Request) (int, error){}}
	made.once.Do(func() { makeKeys(t) })
	for _, row := range made.rows {
		_, err := db.Writer().ExecContext(t.Context(), `INSERT INTO signing_key (id, purpose, algorithm, state, public, sealed, created_at, activated_at, retired_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, row...)
		must(t, err)
	}
	seal := made.seal
	var err error
	h.ring, err = keys.New(db, keys.Options{Sealing: seal, Specs: oidcop.Specs(), Now: h.now, Random: rand.Reader})
	must(t, err)
	h.subjects, err = ppid.New(seal, rand.Reader)
	must(t, err)
	h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	opt := oidcop.Options{
		DB: db, Keys: h.ring, Parties: h.registry, Subjects: h.subjects, People: h, Standing: h, Browser: h, Pages: pages{}, Start: h.begin, Enqueue: h,
		Transport: h, Issuers: map[policies.Network]string{policies.NetworkInternet: issuer, policies.NetworkLGWAN: issuerLGWAN},
		Now: h.now, Random: rand.Reader, Logger: slog.New(slog.NewTextHandler(h, nil)),
	}
	change(&opt)
	h.provider, err = oidcop.New(opt)
	must(t, err)
	for _, n := range []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN} {
		h.handler[n], err = h.provider.Handler(n)
		must(t, err)
	}
	h.login = identity.Login{
		Session: "s1", Person: "p1", Org: "011002", Assurance: policies.AssuranceCard, AMR: []string{"hwk", "mfa", "pin", "sc"},
		AuthAt: start.Add(-time.Minute).UnixMicro(), Release: policies.Attributes(), PolicyHash: "hash",
	}
	text, s, err := party.NewSecret(rand.Reader)
	must(t, err)
	h.secret = text
	h.register(party.Party{ID: "app", Auth: party.AuthPrivateKeyJWT, Alg: jose.ES256, Refresh: true})
	h.register(party.Party{ID: "other", Auth: party.AuthSecretBasic, Secrets: []party.Secret{s}, Alg: jose.RS256, Sector: "other.example", Refresh: true})
	h.register(party.Party{ID: "pushing", Auth: party.AuthSecretBasic, Secrets: []party.Secret{s}, Alg: jose.ES256, PAR: true})
	h.register(party.Party{ID: "native", Auth: party.AuthNone, Native: true, Alg: jose.ES256, Sector: "app.example", Faces: []party.Face{
		{Network: policies.NetworkInternet, Redirects: []string{"http://127.0.0.1/cb"}},
	}})
	return h
}

// made are the keys of all houses: to draw RSA keys for each takes longer than the tests.
var made struct {
	once sync.Once
	seal *keys.SealingKey
	rows [][]any
}

func makeKeys(t testing.TB) {
	t.Helper()
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	must(t, db.Migrate(t.Context(), keys.Migration()))
	var err error
	made.seal, err = keys.NewSealingKey(rand.Reader)
	must(t, err)
	ring, err := keys.New(db, keys.Options{Sealing: made.seal, Specs: oidcop.Specs(), Now: func() time.Time { return start }, Random: rand.Reader})
	must(t, err)
	must(t, ring.Ensure(t.Context(), func(context.Context, *sql.Tx, string, keys.Key) error { return nil }))
	rows, err := db.Reader().QueryContext(t.Context(), `SELECT id, purpose, algorithm, state, public, sealed, created_at, activated_at, retired_at FROM signing_key`)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var text [6]string
		var at [3]int64
		must(t, rows.Scan(&text[0], &text[1], &text[2], &text[3], &text[4], &text[5], &at[0], &at[1], &at[2]))
		made.rows = append(made.rows, []any{text[0], text[1], text[2], text[3], text[4], text[5], at[0], at[1], at[2]})
	}
	must(t, rows.Err())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var operator, _ = access.BreakGlass("operator")

// register adds a party, with what most of them share.
func (h *house) register(p party.Party) {
	h.t.Helper()
	if p.Name == "" {
		p.Name = "試験アプリ " + string(p.ID)
	}
	if p.Sector == "" {
		p.Sector = "app.example"
	}
	if p.Least == 0 {
		p.Least = policies.AssuranceTwo
	}
	if p.Scopes == nil {
		p.Scopes = party.Scopes()
	}
	if p.Auth == party.AuthPrivateKeyJWT {
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: h.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
		must(h.t, err)
		p.JWKS = set
	}
	if p.Faces == nil {
		for _, n := range []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN} {
			p.Faces = append(p.Faces, party.Face{
				Network: n, Redirects: []string{callback, callback + "?tenant=1"}, PostLogout: []string{"https://app.example/bye", "https://app.example/bye?x=1"},
				Backchannel: "https://" + string(p.ID) + ".example/backchannel", Frontchannel: "https://app.example/front",
			})
		}
	}
	must(h.t, h.registry.Put(h.t.Context(), operator, p, false, h.now().UnixMicro()))
}

func (h *house) now() time.Time          { return start.Add(time.Duration(h.seconds.Load()) * time.Second) }
func (h *house) forward(d time.Duration) { h.seconds.Add(int64(d.Seconds())) }

// Write takes what is logged.
func (h *house) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(b)
}

// Person implements oidcop.People.
func (h *house) Person(_ context.Context, person policies.PersonID, org policies.OrgID) (identity.Person, identity.Organization, error) {
	return identity.Person{
			ID: person, Org: "011002", FamilyName: "試験", GivenName: string(person), FamilyKana: "シケン", Email: string(person) + "@city.example", Phone: "011-000-0000",
			Section: "情報課", Title: "主任", Role: policies.RoleGeneral,
		},
		identity.Organization{ID: org, Kind: "municipality", Name: "試験市"}, nil
}

// Standing implements oidcop.Standing.
func (h *house) Standing(_ context.Context, who oidcop.Holder) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended["broken"] != "" {
		return "", fmt.Errorf("the directory doesn't answer")
	}
	if why := h.ended["person "+string(who.Person)]; why != "" {
		return why, nil
	}
	return h.ended["session "+string(who.Session)], nil
}

// end says that a person or a session doesn't stand any more.
func (h *house) end(what, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended[what] = why
}

// begin stands in for the dispatcher: it logs h.login in at once.
func (h *house) begin(w http.ResponseWriter, r *http.Request, ask login.Ask) {
	h.mu.Lock()
	l := h.login
	h.asks = append(h.asks, ask)
	h.mu.Unlock()
	l.RelyingParty, l.Network = ask.RelyingParty, ask.Network
	var a login.Answer
	write := h.db.WithTx
	if h.group {
		write = h.db.Group
	}
	err := write(r.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		if h.open != nil {
			if err := h.open(ctx, tx, &l); err != nil {
				return err
			}
		}
		a, err = h.provider.Finish(ctx, tx, login.Request{Ask: ask}, l)
		return err
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	if a.Form != nil {
		pages{}.Form(w, r, a)
		return
	}
	http.Redirect(w, r, a.Location, http.StatusSeeOther)
}

// Current implements oidcop.Browser.
func (h *house) Current(*http.Request) (session.Session, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.browser == nil {
		return session.Session{}, false, nil
	}
	return *h.browser, true, nil
}

// End implements oidcop.Browser.
func (h *house) End(_ http.ResponseWriter, r *http.Request, s session.Session) error {
	h.mu.Lock()
	h.browser = nil
	h.mu.Unlock()
	return h.db.WithTx(r.Context(), func(ctx context.Context, tx *sql.Tx) error { return h.provider.SessionEnded(ctx, tx, s, nil) })
}

// EnqueueLogout implements access.LogoutEnqueuer.
func (h *house) EnqueueLogout(_ context.Context, _ *sql.Tx, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(h.queue, id)
	return nil
}

// RoundTrip plays the relying parties.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.posted = append(h.posted, r.PostForm)
	answer := h.answers[r.URL.Host]
	h.mu.Unlock()
	status, err := http.StatusOK, error(nil)
	if answer != nil {
		status, err = answer(r)
	}
	if err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	rec.WriteHeader(status)
	return rec.Result(), nil
}

// refusals counts the audit rows of refusals with this reason.
func (h *house) refusals(reason string) int {
	h.t.Helper()
	var n int
	must(h.t, h.db.Reader().QueryRowContext(h.t.Context(), `SELECT COUNT(*) FROM audit_row WHERE outcome = 'refused' AND reason = $1`, reason).Scan(&n))
	return n
}

// refused runs do and reports whether it left a row with this reason, and a line in the log.
func (h *house) refused(t *testing.T, reason string, do func()) {
	t.Helper()
	h.forward(2 * time.Second) // each try has a second of its own: the throttle isn't what is tested
	before := h.refusals(reason)
	do()
	if got := h.refusals(reason) - before; got < 1 {
		t.Errorf("no audit row says %q", reason)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !strings.Contains(h.log.String(), "reason="+reason) {
		t.Errorf("no log line says %q", reason)
	}
}

// idToken verifies an ID token by the published keys and gives its claims.
func (h *house) idToken(text string, alg jose.SignatureAlgorithm) map[string]any {
	h.t.Helper()
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{alg})
	must(h.t, err)
	a := h.get("/oidc/keys", nil)
	var set jose.JSONWebKeySet
	must(h.t, json.Unmarshal([]byte(a.raw), &set))
	found := set.Key(jws.Signatures[0].Protected.KeyID)
	if len(found) != 1 {
		h.t.Fatalf("%d published keys have the kid of the token", len(found))
	}
	payload, err := jws.Verify(found[0])
	must(h.t, err)
	var m map[string]any
	must(h.t, json.Unmarshal(payload, &m))
	return m
}

// each runs a test on both databases.
func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, newHouse(t, db)) })
}

// begun begins a transaction that is undone when the test ends.
func (h *house) begun(t *testing.T) *sql.Tx {
	t.Helper()
	tx, err := h.db.Writer().BeginTx(t.Context(), nil)
	must(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}
