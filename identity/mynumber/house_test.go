package mynumber_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const (
	origin = "https://card.example.test"
	cardIP = "198.51.100.7:40000"
)

// pki is made once: keys are slow.
var pki = sync.OnceValue(func() *testpki.PKI {
	p, err := testpki.New(testpki.Seeded("mynumber"), testpki.Options{Now: logintest.Start, Generations: 2})
	if err != nil {
		panic(err)
	}
	return p
})

// cards are a few honest ones, made once.
var cards = sync.OnceValue(func() []*testpki.Card {
	var all []*testpki.Card
	for i := range 4 {
		holder := testpki.Holder{}
		if i > 1 { // two keys are enough
			holder.Key = all[i%2].Key
		}
		c, err := pki().Newest(testpki.AuthTree).Issue(holder, logintest.Start)
		if err != nil {
			panic(err)
		}
		all = append(all, c)
	}
	return all
})

// stranger is another authority of the same name.
var stranger = sync.OnceValue(func() *testpki.CA {
	p, err := testpki.New(testpki.Seeded("stranger"), testpki.Options{Now: logintest.Start, Generations: 1})
	if err != nil {
		panic(err)
	}
	return p.Newest(testpki.AuthTree)
})

type notices struct {
	told []policies.PersonID
	err  error
}

func (n *notices) CardReleased(_ context.Context, _ *sql.Tx, p identity.Person, _ int64) error {
	n.told = append(n.told, p.ID)
	return n.err
}

// kept is an evidence store in memory.
type kept struct {
	mu  sync.Mutex
	all [][]byte
	err error
}

func (k *kept) Keep(_ context.Context, _ identity.LoginID, _ string, _ int64, e json.Marshaler) error {
	b, err := e.MarshalJSON()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, b)
	return errors.Join(err, k.err)
}

type house struct {
	*logintest.World
	t        testing.TB
	ca       *testpki.CA
	folder   fstest.MapFS
	lists    *mynumber.Lists
	links    *mynumber.Links
	table    *mynumber.Challenges
	local    *mynumber.Local
	method   *mynumber.Method
	config   mynumber.Config
	notices  *notices
	releases mynumber.Releases
	number   uint64
}

// tables is a database with all tables, copied for each test.
var tables = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	return db.Migrate(ctx, mynumber.Migration(), login.Migration(), access.Migration(), audit.Migration(db.Engine()), session.Migration())
})

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	tables.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, newHouse(t, db, nil)) })
}

// one is for tests that only read a database.
func one(t testing.TB, change func(*cert.Config)) *house {
	t.Helper()
	return newHouse(t, tables.Open(t, sqldb.SQLite), change)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func profileOf(change func(*cert.Config)) *cert.Profile {
	for _, c := range cert.Profiles() {
		if c.Name == cert.JPKIAuthTest {
			if change != nil {
				change(&c)
			}
			return must(cert.NewProfile(c))
		}
	}
	panic("no profile")
}

func newHouse(t testing.TB, db *sqldb.DB, change func(*cert.Config)) *house {
	t.Helper()
	h := &house{World: logintest.New(t, db, mynumber.Migration(), login.Migration()), t: t, ca: pki().Newest(testpki.AuthTree), folder: fstest.MapFS{}, number: 100}
	p := profileOf(change)
	// Both generations of the tree, and the other tree in the same folder of anchors, as it happens.
	var ders [][]byte
	for _, tree := range []testpki.Tree{testpki.AuthTree, testpki.SignTree} {
		for _, ca := range pki().CAs(tree) {
			ders = append(ders, ca.Raw)
		}
	}
	anchors := must(cert.ParseAnchors(ders))
	h.lists = must(mynumber.NewLists(p, anchors))
	h.table = mynumber.NewChallenges(db, rand.Reader)
	h.local = must(mynumber.NewLocal(p, anchors, h.lists, h.table))
	h.links = must(mynumber.NewLinks(db, bytes.Repeat([]byte{7}, 32), h.Resolver))
	h.notices = &notices{}
	h.releases = mynumber.Releases{Links: h.links, Sessions: h.Sessions, Notices: h.notices}
	h.config = mynumber.Config{
		Verifier: h.local, Links: h.links, Path: "/login/card",
		Hosts: map[policies.Network]string{policies.NetworkInternet: origin, policies.NetworkLGWAN: "https://card.lgwan.example.test"},
	}
	h.method = must(mynumber.New(h.config))
	h.publish()
	return h
}

// publish puts the day's lists of both generations into the folder, with what is revoked, and polls.
func (h *house) publish(revoked ...testpki.Entry) mynumber.Report {
	h.t.Helper()
	h.number++
	for i, ca := range pki().CAs(testpki.AuthTree) {
		l := ca.List(h.number, h.Now())
		if ca == h.ca {
			l.Entries = revoked
		}
		h.put([]string{"old.crl", "new.crl"}[i], l.Der(ca.Key))
	}
	return h.poll()
}

func (h *house) put(name string, der []byte) {
	h.folder[name] = &fstest.MapFile{Data: der, ModTime: time.Now()}
}

func (h *house) poll() mynumber.Report {
	h.t.Helper()
	r, err := h.lists.Poll(h.t.Context(), h.folder, h.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) attempt(name string) login.Attempt {
	return login.Attempt{
		Login: identity.LoginID("login-" + name), Network: policies.NetworkInternet, Ticket: "ticket-" + name,
		At: h.Now().UnixMicro(), Until: h.Now().Add(time.Minute).UnixMicro(),
	}
}

// request comes over a connection of its own to the card host, with a handshake by those certificates.
func request(t testing.TB, certs ...[]byte) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, origin+"/login/card", http.NoBody)
	s := &http.Server{ReadHeaderTimeout: time.Second}
	mynumber.Prepare(s)
	r = r.WithContext(s.ConnContext(r.Context(), nil))
	r.RemoteAddr = cardIP
	r.TLS = &tls.ConnectionState{}
	for _, c := range certs {
		parsed, err := x509.ParseCertificate(c)
		if err != nil { // Go's handshake would have ended here; what is tested is behind it
			parsed = &x509.Certificate{Raw: c}
		}
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, parsed)
	}
	return r
}

func posted(t testing.TB, nonce, leaf, signature []byte, scheme pkix.Scheme) *http.Request {
	t.Helper()
	enc := base64.StdEncoding.EncodeToString
	body := url.Values{
		mynumber.FieldNonce: {enc(nonce)}, mynumber.FieldCertificate: {enc(leaf)}, mynumber.FieldSignature: {enc(signature)},
		mynumber.FieldScheme: {string(scheme)},
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, origin+"/login/card", strings.NewReader(body.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr, r.TLS = cardIP, &tls.ConnectionState{}
	return r
}

// sign answers a challenge with a card.
func (h *house) sign(a login.Attempt, c *testpki.Card) *http.Request {
	h.t.Helper()
	challenge, err := h.method.Challenge(h.t.Context(), a)
	if err != nil {
		h.t.Fatal(err)
	}
	return posted(h.t, challenge.Nonce, c.Raw, testpki.Challenge(c.Key, must(challenge.Message())), pkix.RSASHA256)
}

func (h *house) proven(what string, a login.Attempt, r *http.Request) login.Proof {
	h.t.Helper()
	p, err := h.method.Finish(h.t.Context(), a, r)
	if err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
	return p
}

func (h *house) rejected(what string, a login.Attempt, r *http.Request, code string) *login.Rejection {
	h.t.Helper()
	p, err := h.method.Finish(h.t.Context(), a, r)
	var no *login.Rejection
	if !errors.As(err, &no) || p.Method != "" || p.Credential != "" {
		h.t.Errorf("%s: proof %+v, error %v; want a rejection %s", what, p, err, code)
		return &login.Rejection{}
	}
	if no.Code != code {
		h.t.Errorf("%s: rejected as %s, want %s", what, no.Code, code)
	}
	return no
}

func (h *house) tx(fn func(ctx context.Context, tx *sql.Tx) error) error {
	return h.DB.WithTx(h.t.Context(), fn)
}

// link is a first use.
func (h *house) link(p policies.PersonID, credential string) error {
	return h.tx(func(ctx context.Context, tx *sql.Tx) error {
		return h.links.Link(ctx, tx, p, credential, h.Now().UnixMicro())
	})
}

func (h *house) credential(c *testpki.Card) string { return h.links.Credential(cardOf(c)) }

func cardOf(c *testpki.Card) mynumber.Card {
	parsed := must(pkix.ParseCertificate(c.Raw))
	return mynumber.Card{Issuer: parsed.Issuer.Canonical(), IssuerKey: c.CA.SPKI, Serial: parsed.Serial}
}

// boss is the administrator of CityA with their right to change people.
func (h *house) right(id policies.PersonID, action policies.Action, org policies.OrgID) (access.Actor, policies.Scope) {
	h.t.Helper()
	a, err := h.Resolver.Person(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	scope, err := h.Resolver.Scope(h.t.Context(), a, action, []policies.Organization{{ID: org, Kind: policies.KindMunicipality}}, policies.Context{})
	if err != nil {
		h.t.Fatal(err)
	}
	return a, scope
}
