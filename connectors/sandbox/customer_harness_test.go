package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying/providertest"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp/idptest"
)

const (
	loginIssuer = "https://login.localhost:8443"
	jiraSite    = "https://jira.localhost:8444"
	slackSite   = "https://slack.localhost:8444"
	cardACR     = "urn:example:acr:card"
)

// withSites puts Jira (private_key_jwt, ES256) and Slack (client_secret_basic, RS256) behind a provider.
func withSites(t testing.TB, c *clock) (*providertest.Provider, func(*sandbox.Options)) {
	t.Helper()
	provider, err := providertest.New(loginIssuer, c.now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := sandbox.LoginJWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	jiraAt, err := sandbox.LoginEndpointsOf(sandbox.Jira, jiraSite)
	if err != nil {
		t.Fatal(err)
	}
	slackAt, err := sandbox.LoginEndpointsOf(sandbox.Slack, slackSite)
	if err != nil {
		t.Fatal(err)
	}
	provider.Clients = []providertest.Client{
		{ID: "jira", Keys: keys, Redirect: jiraAt.Redirect, PostLogout: jiraAt.PostLogout, Algorithm: jose.ES256},
		{ID: "slack", Secret: "s3cret", Redirect: slackAt.Redirect, PostLogout: slackAt.PostLogout, Algorithm: jose.RS256},
	}
	return provider, func(o *sandbox.Options) {
		o.JiraLogin = &sandbox.LoginOptions{
			Issuer: loginIssuer, ClientID: "jira", BaseURL: jiraSite, Key: key, ACR: []string{cardACR}, Transport: provider, Random: rand.Reader,
		}
		o.SlackLogin = &sandbox.LoginOptions{
			Issuer: loginIssuer, ClientID: "slack", BaseURL: slackSite, Secret: "s3cret", Algorithm: "RS256", Transport: provider, Random: rand.Reader,
		}
	}
}

func newSites(t testing.TB) (*fixture, *providertest.Provider) {
	t.Helper()
	c := newClock()
	provider, with := withSites(t, c)
	f := newFixture(t, with, func(o *sandbox.Options) { o.Now = c.now; o.Jira.WorkflowTime = -1 })
	f.clock = c
	return f, provider
}

func person(email string) *providertest.Person {
	return &providertest.Person{Subject: "sub of " + email, Session: rand.Text(), Email: email, ACR: cardACR}
}

// browser is a person's: it keeps cookies and follows redirects between the sites and the provider.
type browser struct {
	t testing.TB
	c *http.Client
}

func (f *fixture) browser(provider http.RoundTripper) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return &browser{f.t, &http.Client{Jar: jar, Transport: carrier(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.String(), loginIssuer) {
			a, err := provider.RoundTrip(r)
			if err == nil {
				a.Request = r
			}
			return a, err
		}
		if r.Body == nil {
			r.Body = http.NoBody
		}
		r.Host = r.URL.Host
		w := httptest.NewRecorder()
		f.s.ServeHTTP(w, r)
		a := w.Result()
		a.Request = r
		return a, nil
	})}}
}

type carrier func(*http.Request) (*http.Response, error)

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) { return c(r) }

// view is a page as the browser has it.
type view struct {
	status int
	at     string
	text   string
	header http.Header
}

// send also posts forms that carry a SAML message, as the page's script does.
func (b *browser) send(r *http.Request, err error) view {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := io.ReadAll(a.Body)
	_ = a.Body.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	if _, to, ok := strings.Cut(a.Header.Get("Refresh"), "url="); ok {
		return b.open(to)
	}
	if to, fields, ok := idptest.Form(string(raw)); ok {
		return b.post(to, fields)
	}
	return view{a.StatusCode, a.Request.URL.String(), string(raw), a.Header}
}

func (b *browser) open(address string) view {
	b.t.Helper()
	return b.send(http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, http.NoBody))
}

func (b *browser) post(address string, form url.Values) view {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return b.send(r, err)
}

var formToken = regexp.MustCompile(`name="form" value="([0-9a-f]{64})"`)

func (v view) form(t testing.TB) string {
	t.Helper()
	found := formToken.FindStringSubmatch(v.text)
	if found == nil {
		t.Fatalf("%s: no form: %s", v.at, v.text)
	}
	return found[1]
}

// holds checks a page: its status, what must be on it and what must not.
func (v view) holds(t testing.TB, status int, want, not []string) {
	t.Helper()
	if v.status != status {
		t.Fatalf("%s: status %d, want %d: %s", v.at, v.status, status, v.text)
	}
	for _, s := range want {
		if !strings.Contains(v.text, s) {
			t.Errorf("%s: without %q", v.at, s)
		}
	}
	for _, s := range not {
		if strings.Contains(v.text, s) {
			t.Errorf("%s: shows %q", v.at, s)
		}
	}
	if strings.Contains(v.text, "<script") || strings.Contains(v.text, " style=") || !strings.Contains(v.text, `<html lang="ja">`) || strings.Count(v.text, "<h1") != 1 {
		t.Errorf("%s: a script, an inline style, another language or not one heading", v.at)
	}
	policy := v.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("%s: policy %q", v.at, policy)
	}
}

// town is a help desk with two towns: what alice of the first one may see, and what not.
type town struct {
	alice, bob, carol                  string
	own, shared, took, private, beyond string // keys of requests
}

func (f *fixture) town() town {
	f.t.Helper()
	x := town{alice: f.customer(1), bob: f.customer(2), carol: f.customer(3)}
	for i, name := range []string{"例示市", "見本町"} {
		f.desk(201, "POST", "/organization", doc{"name": name})
		f.desk(204, "POST", "/servicedesk/1/organization", doc{"organizationId": i + 1})
	}
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{x.alice, x.bob}})
	f.desk(204, "POST", "/organization/2/user", doc{"accountIds": []string{x.carol}})
	share := func(summary, behalf string, org int) string {
		d := requestDoc(summary, behalf)
		d["requestFieldValues"] = doc{"summary": summary, "description": summary + "の本文", "customfield_10002": []int{org}}
		return f.desk(201, "POST", "/request", d).str("issueKey")
	}
	x.own = f.request("自分の依頼", x.alice)
	x.shared = share("同僚の依頼", x.bob, 1)
	x.took = f.request("関係する依頼", x.bob)
	f.desk(200, "POST", "/request/"+x.took+"/participant", doc{"accountIds": []string{x.alice}})
	x.private = f.request("同僚だけの依頼", x.bob)
	x.beyond = share("よその町の依頼", x.carol, 2)
	f.desk(201, "POST", "/request/"+x.own+"/comment", doc{"body": "公開の返事", "public": true})
	f.desk(201, "POST", "/request/"+x.own+"/comment", doc{"body": "内部のメモ", "public": false})
	return x
}
