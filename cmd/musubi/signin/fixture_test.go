package signin_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/cmd/internal/gate"
	"github.com/musubi-hub/musubi/cmd/musubi/signin"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const callback = "https://app.localhost/callback"

// maxPage is the most that a page may weigh, with its style.
const maxPage = 30_000

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// pki and the keys of houses are made once: they are slow.
var pki = sync.OnceValue(func() *testpki.PKI {
	return must(testpki.New(testpki.Seeded("signin"), testpki.Options{Now: logintest.Start, Generations: 1}))
})

var cards = sync.OnceValue(func() []*testpki.Card {
	var all []*testpki.Card
	for i := range 5 {
		h := testpki.Holder{}
		if i > 0 {
			h.Key = all[0].Key
		}
		all = append(all, must(pki().Newest(testpki.AuthTree).Issue(h, logintest.Start)))
	}
	return all
})

var seal = sync.OnceValue(func() *keys.SealingKey { return must(keys.NewSealingKey(rand.Reader)) })

func specs() map[keys.Purpose]keys.Spec {
	all := oidcop.Specs()
	maps.Copy(all, samlidp.Specs())
	return all
}

func ring(db *sqldb.DB, now func() time.Time) *keys.Ring {
	return must(keys.New(db, keys.Options{Sealing: seal(), Specs: specs(), Now: now, Random: rand.Reader}))
}

// tables is a database with all tables and keys, copied for each test.
var tables = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	err := db.Migrate(ctx, mynumber.Migration(), login.Migration(), access.Migration(), audit.Migration(db.Engine()), session.Migration(), keys.Migration(),
		ppid.Migration(), party.Migration(), oidcop.Migration(), password.Migration(), invitation.Migration(), sp.Migration(), samlidp.Migration())
	if err != nil {
		return err
	}
	return ring(db, func() time.Time { return logintest.Start }).Ensure(ctx, func(context.Context, *sql.Tx, string, keys.Key) error { return nil })
})

// people gives the world's people names, and their organizations.
type people struct{ *logintest.World }

var orgNames = map[policies.OrgID]string{
	logintest.Agency: "例示庁", logintest.MinistryA: "例示省", logintest.CityA: "例示市", logintest.CityB: "見本市", logintest.VendorA: "例示システムズ株式会社",
}

func named(a access.Actor) access.Actor {
	a.Person.FamilyName, a.Person.GivenName, a.Org.Name = "例示", "太郎", orgNames[a.Org.ID]
	if a.Person.Section == "" {
		a.Person.Section, a.Person.Title = "総務課", "主任"
	}
	return a
}

func (p people) Person(ctx context.Context, id policies.PersonID) (access.Actor, error) {
	a, err := p.Resolver.Person(ctx, id)
	return named(a), err
}

func (p people) Choices(ctx context.Context, a access.Actor, at int64) ([]access.Actor, error) {
	all, err := p.Posts.Choices(ctx, a, at)
	for i := range all {
		all[i] = named(all[i])
	}
	return all, err
}

func (p people) ActIn(ctx context.Context, a access.Actor, org policies.OrgID, at int64) (access.Actor, error) {
	x, err := p.Posts.ActIn(ctx, a, org, at)
	return named(x), err
}

// told is what the provider reads of people.
type told struct{}

func (told) Person(_ context.Context, id policies.PersonID, org policies.OrgID) (identity.Person, identity.Organization, error) {
	return identity.Person{ID: id, Org: org, FamilyName: "例示", GivenName: "太郎"}, identity.Organization{ID: org, Kind: "municipality", Name: orgNames[org]}, nil
}

type mailNames map[string]policies.PersonID

func (n mailNames) PersonNamed(_ context.Context, email string) (policies.PersonID, error) {
	if p, ok := n[strings.ToLower(email)]; ok {
		return p, nil
	}
	return "", identity.ErrNotFound
}

type nothingBreached struct{}

func (nothingBreached) Contains(string) (bool, error) { return false, nil }

// queue takes notices and logouts.
type queue struct {
	access.Enqueuer
	mu      sync.Mutex
	notices []identity.Notice
	logouts []string
}

func (q *queue) EnqueueNotice(_ context.Context, _ *sql.Tx, n identity.Notice) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notices = append(q.notices, n)
	return nil
}

func (q *queue) EnqueueLogout(_ context.Context, _ *sql.Tx, id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.logouts = append(q.logouts, id)
	return nil
}

func (q *queue) counts() (notices, logouts int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.notices), len(q.logouts)
}

// house is a hub's logins as they are served, by TLS, with everything real but the directory.
type house struct {
	*logintest.World
	t        testing.TB
	site     *signin.Site
	sessions *session.Store
	links    *mynumber.Links
	provider *oidcop.Provider
	saml     *samlidp.Provider
	words    *password.Store
	invites  *invitation.Store
	queue    *queue
	table    *network.Table
	gates    map[string]string // addresses, by host name
	roots    *x509.CertPool
	login    string // origin of the internet's login host
	card     string
	lgwan    string
	log      *lockedBuffer
	callback string
	beyond   []string // where "saml" leads on to
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var names = []string{"login.localhost", "card.localhost", "login-lgwan.localhost", "card-lgwan.localhost", "app.localhost", "sandbox.localhost"}

var webPair = sync.OnceValue(func() tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
})

// lazy is a handler that is given after its listener.
type lazy struct{ atomic.Pointer[http.Handler] }

func (l *lazy) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*l.Load()).ServeHTTP(w, r) }

func (l *lazy) set(h http.Handler) { l.Store(&h) }

// each runs on both engines.
func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	tables.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, newHouse(t, db, nil)) })
}

// one is for what the engine doesn't matter to.
// A relying party that is really served has another address than callback.
func one(t testing.TB, change func(*signin.Config), relying ...string) *house {
	t.Helper()
	return newHouse(t, tables.Open(t, sqldb.SQLite), change, relying...)
}

// relying is the callback of "app", and the origins to which "saml" leads on from beside it.
func newHouse(t testing.TB, db *sqldb.DB, change func(*signin.Config), relying ...string) *house {
	t.Helper()
	relying = append(relying, callback)
	h := &house{callback: relying[0], beyond: relying[1:max(1, len(relying)-1)], World: logintest.New(t, db), t: t, gates: map[string]string{}, queue: &queue{}, roots: x509.NewCertPool(), log: &lockedBuffer{}}
	h.roots.AddCert(webPair().Leaf)
	log := slog.New(slog.NewTextHandler(h.log, nil))
	handlers := map[policies.Network]*lazy{policies.NetworkInternet: {}, policies.NetworkLGWAN: {}}
	hosts := map[policies.Network]network.Hosts{}
	open := func(n policies.Network, loginName, cardName string) {
		g := must(gate.Open(t.Context(), gate.Config{
			Address: "127.0.0.1:0", LoginHost: loginName, CardHost: cardName, Certificate: func() (tls.Certificate, error) { return webPair(), nil },
			Handler: handlers[n], Log: log,
		}))
		t.Cleanup(g.Close)
		_, port, _ := net.SplitHostPort(g.Address().String())
		h.gates[loginName], h.gates[cardName] = g.Address().String(), g.Address().String()
		hosts[n] = network.Hosts{Login: loginName + ":" + port, Card: cardName + ":" + port}
	}
	open(policies.NetworkInternet, names[0], names[1])
	open(policies.NetworkLGWAN, names[2], names[3])
	h.login, h.card, h.lgwan = "https://"+hosts[policies.NetworkInternet].Login, "https://"+hosts[policies.NetworkInternet].Card, "https://"+hosts[policies.NetworkLGWAN].Login
	h.table = must(network.New(network.Config{Networks: hosts, Listeners: map[string]network.Listener{
		"internet": {Network: policies.NetworkInternet}, "lgwan": {Network: policies.NetworkLGWAN},
	}}))

	registry, who := party.NewRegistry(db), people{h.World}
	h.sessions = session.New(db, who, who, h.Engine, oidcop.Endings{Parties: registry, Enqueue: h.queue, Now: h.Now, Random: rand.Reader},
		samlidp.Endings{Parties: sp.NewRegistry(db), Enqueue: h.queue, Now: h.Now, Random: rand.Reader})
	cfg := signin.Config{
		DB: db, Table: h.table, People: who, Posts: who, Policy: h.Engine, Now: h.Now, Random: rand.Reader, Logger: log,
		PartyName: func(_ context.Context, id policies.RelyingPartyID) (page.Label, bool) {
			if name := outName(id); name != "" {
				return page.Label{JA: name}, true
			}
			return page.Label{JA: "例示アプリ"}, id == "app" || id == "saml"
		},
		Parties: registry,
		Leave: func(w http.ResponseWriter, r *http.Request, n policies.Network, l samlidp.Leaving) (string, bool, error) {
			return h.saml.Leave(w, r, n, l)
		},
		Open: func(n policies.Network) map[string]http.Handler {
			p := must(h.provider.Handler(n))
			return map[string]http.Handler{"/oidc/": p, "/.well-known/": p, "/saml/": must(h.saml.Handler(n))}
		},
		Home: func(policies.Network) http.Handler {
			mux := http.NewServeMux()
			mux.HandleFunc("/", home)
			mux.Handle("/fresh", h.site.RequireFresh(policies.AssuranceCard, 5*time.Minute, http.HandlerFunc(home)))
			return mux
		},
	}
	if change != nil {
		change(&cfg)
	}
	h.site = must(signin.New(cfg))
	issuers := map[policies.Network]string{policies.NetworkInternet: h.login, policies.NetworkLGWAN: h.lgwan}
	h.provider = must(oidcop.New(oidcop.Options{
		DB: db, Keys: ring(db, h.Now), Parties: registry, Subjects: must(ppid.New(seal(), rand.Reader)), People: told{},
		Standing: &oidcop.Sessions{Store: h.sessions, Parties: parties{h.site}, Policy: h.Engine, Now: h.Now},
		Browser:  h.site.Browser(), Pages: h.site.Pages(), Start: h.site.Start, Enqueue: h.queue,
		Transport: http.NewFileTransport(http.Dir(t.TempDir())), Issuers: issuers, Now: h.Now, Random: rand.Reader, Logger: log,
	}))
	h.register(registry)
	sps := sp.NewRegistry(db)
	h.saml = must(samlidp.New(samlidp.Options{
		DB: db, Keys: ring(db, h.Now), Sealing: seal(), Parties: sps, Subjects: must(ppid.New(seal(), rand.Reader)), People: told{}, Browser: h.site.Browser(),
		Pages: h.site.SAMLPages(), Start: h.site.Start, Sessions: h.sessions, Others: oidcop.Receipts{DB: db}, Enqueue: h.queue,
		Transport: http.NewFileTransport(http.Dir(t.TempDir())), Origins: issuers, Now: h.Now, Random: rand.Reader, Logger: log,
	}))
	h.registerSAML(sps)
	h.registerOuts(sps)
	h.site.Bind(h.dispatcher(db, who, cfg.Posts), h.sessions)
	handlers[policies.NetworkInternet].set(h.site.Listener("internet"))
	handlers[policies.NetworkLGWAN].set(h.site.Listener("lgwan"))
	return h
}

// home is the console's place: it says who is there, and has one page that takes a fresh proof.
func home(w http.ResponseWriter, r *http.Request) {
	a, s, ok := signin.Present(r)
	if !ok {
		http.Error(w, "nobody", http.StatusTeapot)
		return
	}
	_, _ = fmt.Fprintf(w, "home %s of %s %s as %s by %s", r.URL.RequestURI(), a.Person.ID, s.ID, a.Org.ID, r.Method)
}

func (h *house) register(registry *party.Registry) {
	operator := must(access.BreakGlass("operator"))
	_, secret, err := party.NewSecret(rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	var faces []party.Face
	app := strings.TrimSuffix(h.callback, "/callback")
	for _, n := range []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN} {
		faces = append(faces, party.Face{
			Network: n, Redirects: []string{h.callback}, PostLogout: []string{app + "/bye"}, Backchannel: app + "/back", Frontchannel: app + "/front",
		})
	}
	for _, id := range []policies.RelyingPartyID{"app", "closed", "quiet"} {
		if id == "quiet" { // it can't be told of anything
			for i := range faces {
				faces[i].Backchannel, faces[i].Frontchannel = "", ""
			}
		}
		err := registry.Put(h.t.Context(), operator, party.Party{
			ID: id, Name: "例示アプリ", Faces: faces, Sector: "app.localhost", Auth: party.AuthSecretBasic, Secrets: []party.Secret{secret}, Alg: jose.ES256,
			Least: policies.AssuranceTwo, Scopes: party.Scopes(),
		}, false, h.Now().UnixMicro())
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// registerSAML registers "saml", which is answered beside "app" and leads on to another host.
func (h *house) registerSAML(registry *sp.Registry) {
	p := sp.SP{
		ID: "saml", Name: "例示アプリ", EntityID: "https://app.localhost/saml", Sector: "app.localhost", Sign: sp.SignBoth, NameID: sp.NameIDTransient,
		Least: policies.AssuranceTwo, Beyond: h.beyond,
	}
	for _, n := range []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN} {
		p.Faces = append(p.Faces, sp.Face{Network: n, Consumers: []sp.Consumer{{Location: strings.TrimSuffix(h.callback, "/callback") + "/acs"}}})
	}
	if err := registry.Add(h.t.Context(), must(access.BreakGlass("operator")), p, h.Now().UnixMicro()); err != nil {
		h.t.Fatal(err)
	}
}

// samlRequest is a request of "saml", each with an ID of its own.
func (h *house) samlRequest() string {
	return `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_` + rand.Text() + `" Version="2.0" IssueInstant="` +
		h.Now().UTC().Format(time.RFC3339) + `" Destination="` + h.login + `/saml/sso"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` +
		`https://app.localhost/saml</saml:Issuer></samlp:AuthnRequest>`
}

// samlForm is what "saml" posts.
func (h *house) samlForm() url.Values {
	return url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(h.samlRequest()))}, "RelayState": {"relay"}}
}

// parties are what policies read: "app" carries questionnaires, "closed" nothing that anybody may use.
type parties struct{ site *signin.Site }

func (p parties) Party(_ context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	both := []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN}
	switch id {
	case signin.HubParty:
		return p.site.Hub(), nil
	case "app", "saml", "quiet", "wiki", "chat", "board":
		return policies.RelyingParty{ID: id, Functions: []policies.Function{policies.FunctionQuestionnaire}, Networks: both}, nil
	case "closed":
		return policies.RelyingParty{ID: id, Networks: both}, nil
	}
	return policies.RelyingParty{}, identity.ErrNotFound
}

func (h *house) dispatcher(db *sqldb.DB, who people, posts login.Posts) *login.Dispatcher {
	h.links = must(mynumber.NewLinks(db, bytes.Repeat([]byte{7}, 32), who))
	var profile *cert.Profile
	for _, c := range cert.Profiles() {
		if c.Name == cert.JPKIAuthTest {
			profile = must(cert.NewProfile(c))
		}
	}
	ca := pki().Newest(testpki.AuthTree)
	anchors := must(cert.ParseAnchors([][]byte{ca.Raw}))
	lists := must(mynumber.NewLists(profile, anchors))
	revoked := ca.List(1, h.Now())
	revoked.Entries = []testpki.Entry{cards()[4].Entry(h.Now(), testpki.KeyCompromise)}
	must(lists.Poll(h.t.Context(), fstest.MapFS{"list.crl": {Data: revoked.Der(ca.Key), ModTime: time.Now()}}, h.Now()))
	card := must(mynumber.New(mynumber.Config{
		Verifier: must(mynumber.NewLocal(profile, anchors, lists, mynumber.NewChallenges(db, rand.Reader))), Links: h.links, Path: signin.CardPath,
		Hosts: map[policies.Network]string{
			policies.NetworkInternet: h.card, policies.NetworkLGWAN: h.table.URL(policies.NetworkLGWAN, network.RoleCard, ""),
		},
	}))
	h.words = must(password.New(password.Config{
		DB: db, Sessions: h.sessions, Random: rand.Reader, Cost: password.Cost{Time: 1, Memory: 8, Threads: 1}, Breached: nothingBreached{},
		Names: mailNames{"taro@city.example": logintest.Local, "boss@city.example": logintest.LocalBoss, "system@agency.example": logintest.System},
	}))
	h.invites = invitation.New(db, rand.Reader)
	both := []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN}
	return must(login.New(login.Config{
		DB: db, Now: h.Now, Random: rand.Reader, People: who, Posts: posts, Policy: h.Engine, Sessions: h.sessions, Parties: parties{h.site},
		Offers: map[identity.MethodID]login.Offer{
			identity.MethodCard:       {Method: card, Reach: policies.AssuranceCard, Networks: both, Use: login.UseLogin},
			identity.MethodPassword:   {Method: must(password.NewMethod(h.words, password.KindLink, nil)), Reach: policies.AssuranceSingle, Networks: both, Use: login.UseLink},
			identity.MethodInvitation: {Method: invitation.NewMethod(h.invites), Reach: policies.AssuranceSingle, Networks: both, Use: login.UseLink},
			identity.MethodBreakGlass: {Method: must(password.NewMethod(h.words, password.KindSealed, h.queue)), Reach: policies.AssuranceSingle, Networks: both[:1], Use: login.UseLogin},
		},
		Issuers:  map[identity.IssuerID]login.Issuer{identity.IssuerOIDC: h.provider, identity.IssuerSAML: h.saml, identity.IssuerHub: h.site.Issuer()},
		ReturnTo: h.site.ReturnTo,
	}))
}

// linked makes a card a person's.
func (h *house) linked(i int, who policies.PersonID) *testpki.Card {
	h.t.Helper()
	c := cards()[i]
	parsed := must(x509Card(c))
	err := h.DB.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return h.links.Link(ctx, tx, who, h.links.Credential(parsed), h.Now().UnixMicro())
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// newPassword is what an administrator hands over.
func (h *house) newPassword(who policies.PersonID, org policies.OrgID) string {
	h.t.Helper()
	a, scope := h.right(logintest.System, policies.ActionPeopleWrite)
	var text string
	err := h.DB.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		text, err = h.words.Reset(ctx, tx, a, scope, identity.Person{ID: who, Org: org}, h.Now())
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

func (h *house) right(who policies.PersonID, action policies.Action) (access.Actor, policies.Scope) {
	h.t.Helper()
	a := must(h.Resolver.Person(h.t.Context(), who))
	return a, must(h.Resolver.Scope(h.t.Context(), a, action, nil, policies.Context{}))
}

// invite sends an invitation to an administrator of the city.
func (h *house) invite(who policies.PersonID) (sent invitation.Sent) {
	h.t.Helper()
	a, scope := h.right(logintest.System, policies.ActionPeopleWrite)
	err := h.DB.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		sent, err = h.invites.Invite(ctx, tx, a, scope, identity.Person{ID: who, Org: logintest.CityA, Role: policies.RoleAdministrator}, h.Now())
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return sent
}

// browser is one of a person's, with or without a card on the reader. It follows no redirect by itself.
type browser struct {
	h   *house
	c   *http.Client
	tls *tls.Config
}

func certificate(card *testpki.Card) []tls.Certificate {
	return []tls.Certificate{{Certificate: [][]byte{card.Raw}, PrivateKey: card.Key}}
}

func (h *house) browser(card *testpki.Card) *browser {
	b := &browser{h: h, tls: &tls.Config{RootCAs: h.roots}}
	if card != nil {
		b.tls.Certificates = certificate(card)
	}
	tr := &http.Transport{TLSClientConfig: b.tls, DialContext: func(ctx context.Context, n, address string) (net.Conn, error) {
		name, _, _ := net.SplitHostPort(address)
		if at, ok := h.gates[name]; ok {
			address = at
		}
		return (&net.Dialer{}).DialContext(ctx, n, address)
	}}
	h.t.Cleanup(tr.CloseIdleConnections)
	b.c = &http.Client{Transport: tr, Jar: must(cookiejar.New(nil)), Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return b
}

// seen is a page as the browser has it.
type seen struct {
	*http.Response
	body string
	at   string
}

func (b *browser) do(r *http.Request) seen {
	b.h.t.Helper()
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36")
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "text/html")
	}
	a, err := b.c.Do(r)
	if err != nil {
		b.h.t.Fatal(err)
	}
	defer a.Body.Close()
	body := must(io.ReadAll(a.Body))
	return seen{a, string(body), r.URL.String()}
}

// open gets a page and follows redirects as far as the hub's hosts go.
func (b *browser) open(address string) seen {
	b.h.t.Helper()
	for range 12 {
		s := b.do(must(http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, address, http.NoBody)))
		to := s.to()
		if to == "" || !b.ours(to) {
			return s
		}
		address = to
	}
	b.h.t.Fatalf("redirects without end at %s", address)
	return seen{}
}

func (b *browser) ours(address string) bool {
	u, err := url.Parse(address)
	_, ok := b.h.gates[u.Hostname()]
	return err == nil && ok
}

var onward = regexp.MustCompile(`<meta http-equiv="refresh" content="0;url=([^"]*)">`)

// to is where the answer leads a browser by itself: absolute, or empty.
func (s seen) to() string {
	to := s.Header.Get("Location")
	if m := onward.FindStringSubmatch(s.body); m != nil {
		to = html.UnescapeString(m[1])
	}
	if to == "" {
		return ""
	}
	return must(must(url.Parse(s.at)).Parse(to)).String()
}

// go on as a browser does.
func (b *browser) follow(s seen) seen {
	b.h.t.Helper()
	if to := s.to(); to != "" && b.ours(to) {
		return b.open(to)
	}
	return s
}

// post sends a form without following.
func (b *browser) post(address string, form url.Values) seen {
	b.h.t.Helper()
	r := must(http.NewRequestWithContext(b.h.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

var (
	forms  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)"[^>]*>(.*?)</form>`)
	inputs = regexp.MustCompile(`<input[^>]*>`)
	attr   = func(name string) *regexp.Regexp { return regexp.MustCompile(` ` + name + `="([^"]*)"`) }
	isName = attr("name")
	value  = attr("value")
)

// form reads a form of the page whose action ends in suffix.
func (s seen) form(t testing.TB, suffix string) (action string, fields url.Values) {
	t.Helper()
	for _, m := range forms.FindAllStringSubmatch(s.body, -1) {
		if !strings.HasSuffix(html.UnescapeString(m[1]), suffix) {
			continue
		}
		fields = url.Values{}
		for _, in := range inputs.FindAllString(m[2], -1) {
			name := isName.FindStringSubmatch(in)
			if name == nil || strings.Contains(in, `type="radio"`) && !strings.Contains(in, " checked") {
				continue
			}
			v := ""
			if x := value.FindStringSubmatch(in); x != nil {
				v = html.UnescapeString(x[1])
			}
			fields.Set(name[1], v)
		}
		return must(must(url.Parse(s.at)).Parse(html.UnescapeString(m[1]))).String(), fields
	}
	t.Fatalf("%s has no form to %s:\n%s", s.at, suffix, s.text())
	return "", nil
}

// press fills a form in, presses its button and follows.
func (b *browser) press(s seen, suffix string, change url.Values) seen {
	b.h.t.Helper()
	action, fields := s.form(b.h.t, suffix)
	for k, v := range change {
		fields[k] = v
	}
	return b.follow(b.post(action, fields))
}

// link follows a link whose address ends in suffix.
func (b *browser) link(s seen, suffix string) seen {
	b.h.t.Helper()
	for _, m := range regexp.MustCompile(`<a [^>]*href="([^"]*)"`).FindAllStringSubmatch(s.body, -1) {
		if to := html.UnescapeString(m[1]); strings.HasSuffix(to, suffix) {
			return b.open(must(must(url.Parse(s.at)).Parse(to)).String())
		}
	}
	b.h.t.Fatalf("%s has no link to %s:\n%s", s.at, suffix, s.text())
	return seen{}
}

// authorize is a relying party's request.
func (h *house) authorize(party string, more ...string) string {
	q := url.Values{
		"client_id": {party}, "redirect_uri": {h.callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"st"}, "nonce": {"n"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return h.login + "/oidc/authorize?" + q.Encode()
}

// says holds that a page has the text.
func (s seen) says(t testing.TB, what string, status int, texts ...string) {
	t.Helper()
	if s.StatusCode != status {
		t.Errorf("%s: status %d at %s, want %d:\n%s", what, s.StatusCode, s.at, status, s.text())
	}
	for _, text := range texts {
		if !strings.Contains(s.body, text) {
			t.Errorf("%s: the page at %s doesn't say %q:\n%s", what, s.at, text, s.text())
		}
	}
}

var incidentForm = regexp.MustCompile(`<code>([0-9A-Za-z-]{19,40})</code>`)

// incident holds that the page's incident number finds a row that says why.
func (h *house) incident(t testing.TB, s seen, reason string) audit.Row {
	t.Helper()
	m := incidentForm.FindStringSubmatch(s.body)
	if m == nil {
		t.Errorf("no incident number at %s:\n%s", s.at, s.text())
		return audit.Row{}
	}
	rows := h.Audit(t, audit.Filter{ID: m[1]})
	if len(rows) != 1 || !strings.HasPrefix(rows[0].Reason, reason) || rows[0].Outcome != audit.Refused {
		t.Errorf("incident %s finds %+v, want %s", m[1], rows, reason)
		return audit.Row{}
	}
	return rows[0]
}

// in reports whether the browser is logged in, and as whom.
func (b *browser) in() string {
	b.h.t.Helper()
	r := must(http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, b.h.login+"/who", http.NoBody))
	r.Header.Set("Accept", "application/json") // which begins no login
	s := b.do(r)
	if s.StatusCode != http.StatusOK {
		return ""
	}
	return strings.Fields(s.body)[3]
}

// code is what the relying party gets.
func code(t testing.TB, s seen) url.Values {
	t.Helper()
	to := s.to()
	u, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, callback+"?") {
		t.Fatalf("the browser isn't led to the relying party but to %q from %s:\n%s", to, s.at, s.text())
	}
	return u.Query()
}

// text is the page without its style, for reading.
func (s seen) text() string {
	return regexp.MustCompile(`(?s)<style>.*</style>|<svg.*?</svg>|<link [^>]*>`).ReplaceAllString(s.body, "")
}

func idOf(s seen) string {
	_, rest, _ := strings.Cut(s.at, "/login/")
	id, _, _ := strings.Cut(rest, "/")
	return id
}
