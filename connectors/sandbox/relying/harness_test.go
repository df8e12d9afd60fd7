package relying_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/connectors/sandbox/relying"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying/providertest"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

const (
	issuer   = "https://login.localhost:8443"
	base     = "https://shop.localhost:8444"
	clientID = "shop one" // a space: names are form-encoded in client_secret_basic
	strong   = "urn:example:acr:strong"
	weak     = "urn:example:acr:weak"
	email    = "hanako@city.example.lg.jp"
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) forward(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// shop is a site with one account, whose pages say what happened in headers.
type shop struct {
	mu     sync.Mutex
	links  site.Links
	active bool
	party  *relying.Party
}

func (s *shop) Admit(iss, subject, address string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found site.Candidate
	if strings.EqualFold(address, email) {
		found = site.Candidate{Account: "a1", Active: s.active}
	}
	who := site.Subject{Issuer: iss, ID: subject}
	account, tie, err := s.links.Admit(who, found, func(string) bool { return s.active })
	if tie {
		s.links.Put(site.Link{Subject: who, Account: account})
	}
	return account, err
}

func (s *shop) Active(string) bool { s.mu.Lock(); defer s.mu.Unlock(); return s.active }

func (s *shop) Refused(w http.ResponseWriter, _ *http.Request, no visitor.Refusal) {
	w.Header().Set("Reason", string(no.Reason))
	w.Header().Set("Code", no.Code)
	w.Header().Set("Incident", no.Incident)
	w.WriteHeader(no.Status)
}

func (s *shop) LoggedOut(w http.ResponseWriter, _ *http.Request, how visitor.Leaving) {
	w.Header().Set("Reason", "out "+string(how))
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.party.Handle(w, r) {
		return
	}
	x, ok := s.party.Require(w, r)
	if !ok {
		return
	}
	if r.Method == http.MethodPost && !s.party.CheckForm(w, r, x) {
		return
	}
	w.Header().Set("Account", x.Account)
	w.Header().Set("Form", x.Form)
	w.Header().Set("Path", r.URL.RequestURI())
}

// house is a shop, its provider, and the network between them.
type house struct {
	t        testing.TB
	clock    *clock
	provider *providertest.Provider
	shop     *shop
	key      *ecdsa.PrivateKey
}

// proof says how the shop proves who it is.
type proof int

const (
	byKey proof = iota
	bySecret
)

func newHouse(t testing.TB, how proof, change ...func(*relying.Options)) *house {
	t.Helper()
	h := &house{t: t, clock: &clock{t: time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)}, shop: &shop{active: true}}
	var err error
	if h.provider, err = providertest.New(issuer, h.clock.now); err != nil {
		t.Fatal(err)
	}
	if h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	at, err := relying.EndpointsOf("shop", base)
	if err != nil {
		t.Fatal(err)
	}
	c := providertest.Client{ID: clientID, Redirect: at.Redirect, PostLogout: at.PostLogout, Algorithm: jose.ES256}
	opt := relying.Options{Issuer: issuer, ClientID: clientID, BaseURL: base, ACR: []string{strong}, Transport: h.provider, Random: rand.Reader}
	if how == byKey {
		opt.Key = h.key
		if c.Keys, err = relying.JWKS(h.key); err != nil {
			t.Fatal(err)
		}
	} else {
		opt.Secret, opt.Algorithm, c.Secret, c.Algorithm = "s3cret+/ &", "RS256", "s3cret+/ &", jose.RS256
	}
	for _, f := range change {
		f(&opt)
	}
	h.provider.Clients = []providertest.Client{c, {ID: "somebody else", Secret: "x", Redirect: "https://other.localhost/cb", Algorithm: jose.ES256}}
	h.provider.Person = &providertest.Person{Subject: "sub-1", Session: "sid-1", Email: email, ACR: strong}
	h.shop.party, err = relying.New(opt, visitor.Place{Name: "shop", Home: "/shop/home", Now: h.clock.now, Accounts: h.shop, Pages: h.shop})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// RoundTrip carries a browser's requests to the host that they name.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == strings.TrimPrefix(issuer, "https://") {
		return h.provider.RoundTrip(r)
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.Host = r.URL.Host
	w := httptest.NewRecorder()
	h.shop.ServeHTTP(w, r)
	return w.Result(), nil
}

// browser follows redirects and keeps cookies. stop, if set, ends before a redirect to an address that begins so.
type browser struct {
	h    *house
	c    *http.Client
	stop string
	last *url.URL // where it stopped, or ended
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	b := &browser{h: h}
	b.c = &http.Client{Transport: h, Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		b.last = r.URL
		if b.stop != "" && strings.HasPrefix(r.URL.String(), b.stop) || len(via) > 10 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

func (b *browser) do(r *http.Request, err error) *http.Response {
	b.h.t.Helper()
	if err != nil {
		b.h.t.Fatal(err)
	}
	b.last = r.URL
	a, err := b.c.Do(r)
	if err != nil {
		b.h.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, a.Body)
	_ = a.Body.Close()
	if _, to, ok := strings.Cut(a.Header.Get("Refresh"), "url="); ok {
		return b.open(to)
	}
	return a
}

func (b *browser) open(address string) *http.Response {
	b.h.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = base + address
	}
	return b.do(http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, address, http.NoBody))
}

func (b *browser) post(path string, form url.Values, header ...string) *http.Response {
	b.h.t.Helper()
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodPost, base+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
	}
	return b.do(r, err)
}

// in says whether the browser is logged in, without beginning a login.
func (b *browser) in() bool {
	b.h.t.Helper()
	b.stop = base + "/shop/login"
	defer func() { b.stop = "" }()
	return b.open("/shop/home").Header.Get("Account") != ""
}

func (b *browser) logIn() *http.Response {
	b.h.t.Helper()
	a := b.open("/shop/home")
	if a.StatusCode != http.StatusOK || a.Header.Get("Account") != "a1" {
		b.h.t.Fatalf("login: status %d, reason %q; the provider says %q", a.StatusCode, a.Header.Get("Reason"), b.h.provider.Wrong)
	}
	return a
}

// backchannel sends a logout token as the provider does.
func (h *house) backchannel(token string) (status int) {
	h.t.Helper()
	return h.browser().post("/shop/logout/backchannel", url.Values{"logout_token": {token}}).StatusCode
}

// send posts to the back channel.
func (h *house) send(form url.Values, media string) (a *http.Response, body string) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodPost, base+"/shop/logout/backchannel", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", media)
	w := httptest.NewRecorder()
	h.shop.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}
