package samlsp_test

import (
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

	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp/idptest"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

const (
	idp   = "https://login.localhost:8443"
	base  = "https://shop.localhost:8444"
	email = "hanako@city.example.lg.jp"
)

var began = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) forward(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// keys are drawn once: an RSA key takes longer than a test.
var keys = sync.OnceValue(func() (k struct{ provider, party *idptest.Provider }) {
	for _, x := range []**idptest.Provider{&k.provider, &k.party} {
		p, err := idptest.New(idp, func() time.Time { return began })
		if err != nil {
			panic(err)
		}
		*x = p
	}
	return k
})

// shop is a site with one account, whose pages say what happened in headers.
type shop struct {
	mu     sync.Mutex
	links  site.Links
	active bool
	email  string
	party  *samlsp.Party
}

func (s *shop) Admit(iss, subject, address string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found site.Candidate
	if strings.EqualFold(address, s.email) {
		found = site.Candidate{Account: "a1", Active: s.active}
	}
	who := site.Subject{Issuer: iss, ID: subject}
	account, tie, err := s.links.Admit(who, found, func(string) bool { return s.active })
	if tie {
		s.links.Put(site.Link{Subject: who, Account: account})
	}
	return account, err
}

func (s *shop) Active(string) bool  { s.mu.Lock(); defer s.mu.Unlock(); return s.active }
func (s *shop) Email(string) string { s.mu.Lock(); defer s.mu.Unlock(); return s.email }

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
	w.Header().Set("Account", x.Account)
	w.Header().Set("Form", x.Form)
	w.Header().Set("Context", x.ACR)
	w.Header().Set("Path", r.URL.RequestURI())
}

// house is a shop, its provider, and the network between them.
type house struct {
	t        testing.TB
	clock    *clock
	provider *idptest.Provider
	shop     *shop
	consumer string
}

// product is one kind of service provider in the tests.
type product struct {
	habits     samlsp.Habits
	settings   samlsp.Settings
	name       string
	format     string
	attributes [][2]string
}

const (
	given = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname"
	last  = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname"
	inner = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
)

var products = map[string]product{
	"staff":     {samlsp.AtlassianStaff(), samlsp.Settings{}, email, idptest.Email, [][2]string{{given, "花子"}, {last, "見本"}, {inner, "person-1"}}},
	"customers": {samlsp.AtlassianCustomers(), samlsp.Settings{}, email, idptest.Email, nil},
	"slack": {
		samlsp.Slack(),
		samlsp.Settings{ResponseSigned: true, AssertionSigned: true, RequestedContext: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"},
		"p-1", idptest.Persistent,
		[][2]string{{"User.Email", email}, {"first_name", "花子"}},
	},
	"plain": {samlsp.Plain(), samlsp.Settings{AssertionSigned: true, LogoutURL: idp + "/slo"}, email, idptest.Persistent, nil},
}

// newHouse makes a shop of a product. "plain" finds its account by the NameID, which is the address in these tests.
func newHouse(t testing.TB, kind string, change ...func(*samlsp.Options)) *house {
	t.Helper()
	p := products[kind]
	h := &house{t: t, clock: &clock{t: began}, shop: &shop{active: true, email: email}}
	k := keys()
	h.provider = &idptest.Provider{
		Origin: idp, Key: k.provider.Key, Certificate: k.provider.Certificate, Now: h.clock.now, SignResponse: true, SignAssertion: true,
		Person: &idptest.Person{NameID: p.name, Format: p.format, Attributes: p.attributes, Context: idptest.Card, Index: "_s1"},
	}
	s := p.settings
	s.Issuer, s.SSOURL, s.Certificate = h.provider.EntityID(), h.provider.SSO(), h.provider.Base64()
	opt := samlsp.Options{
		Habits: p.habits, BaseURL: base, Connection: "c0ffee", Key: k.party.Key, Certificate: k.party.Certificate.Raw, Settings: &s, Random: rand.Reader,
	}
	if kind == "plain" {
		h.shop.links.Put(site.Link{Subject: site.Subject{Issuer: s.Issuer, ID: p.name}, Account: "a1"})
	}
	for _, f := range change {
		f(&opt)
	}
	var err error
	h.shop.party, err = samlsp.New(opt, visitor.Place{Name: "shop", Home: "/shop/home", Now: h.clock.now, Accounts: h.shop, Pages: h.shop})
	if err != nil {
		t.Fatal(err)
	}
	d := h.shop.party.Describe()
	h.provider.Audience, h.consumer = d.EntityID, d.Consumer
	return h
}

// RoundTrip carries a browser's requests to the host that they name.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == strings.TrimPrefix(idp, "https://") {
		return h.provider.RoundTrip(r)
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.Host = r.URL.Host
	w := httptest.NewRecorder()
	h.shop.ServeHTTP(w, r)
	a := w.Result()
	a.Request = r
	return a, nil
}

// browser follows redirects, submits forms that carry messages, and keeps cookies.
type browser struct {
	h    *house
	c    *http.Client
	stop bool // before a response is posted
	url  string
	form url.Values
	// what it last saw
	header http.Header
	status int
	body   string
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{h: h, c: &http.Client{Transport: h, Jar: jar}}
}

func (b *browser) take(a *http.Response, err error) *browser {
	b.h.t.Helper()
	if err != nil {
		b.h.t.Fatal(err)
	}
	raw, err := io.ReadAll(a.Body)
	_ = a.Body.Close()
	if err != nil {
		b.h.t.Fatal(err)
	}
	b.header, b.status, b.body = a.Header, a.StatusCode, string(raw)
	if _, to, ok := strings.Cut(a.Header.Get("Refresh"), "url="); ok {
		return b.open(to)
	}
	if to, fields, ok := idptest.Form(b.body); ok {
		b.url, b.form = to, fields
		if !b.stop || fields.Get("SAMLRequest") != "" {
			return b.send(to, fields)
		}
	}
	return b
}

func (b *browser) send(to string, form url.Values) *browser {
	b.h.t.Helper()
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		b.h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.take(b.c.Do(r))
}

func (b *browser) open(address string) *browser {
	b.h.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = base + address
	}
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		b.h.t.Fatal(err)
	}
	return b.take(b.c.Do(r))
}

func (b *browser) reason() string  { return b.header.Get("Reason") }
func (b *browser) account() string { return b.header.Get("Account") }

// logIn logs in, or fails the test.
func (b *browser) logIn() *browser {
	b.h.t.Helper()
	if b.open("/shop/home"); b.account() != "a1" {
		b.h.t.Fatalf("login: status %d, reason %q (%s)", b.status, b.reason(), b.header.Get("Code"))
	}
	return b
}

// in says whether the browser is logged in, without logging in.
func (b *browser) in() bool {
	b.h.t.Helper()
	c := *b.c
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, base+"/shop/home", http.NoBody)
	if err != nil {
		b.h.t.Fatal(err)
	}
	a, err := c.Do(r)
	if err != nil {
		b.h.t.Fatal(err)
	}
	_ = a.Body.Close()
	return a.Header.Get("Account") != ""
}
