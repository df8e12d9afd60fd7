package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying/providertest"
)

// A leaver is out at the next request: by the product's own list of accounts, and by the provider's word.
func TestSessionsEnd(t *testing.T) {
	f, provider := newSites(t)
	x := f.town()
	user := f.slackUser(1)
	login := func(site, email string) *browser {
		provider.Person = person(email)
		b := f.browser(provider)
		b.open(site+"/").holds(t, 200, nil, nil)
		return b
	}
	carol, member := login(jiraSite, "town003@city.example.lg.jp"), login(slackSite, "user001@example.go.jp")
	provider.Person = nil
	f.desk(204, "PUT", "/customer/user/"+x.carol+"/revoke-portal-only-access", nil)
	f.sscim(204, "DELETE", "/Users/"+user, nil)
	carol.open(jiraSite+"/").holds(t, 403, []string{"access_denied"}, []string{"よその町の依頼"}) // sent to the provider again
	member.open(slackSite+"/").holds(t, 403, []string{"access_denied"}, nil)

	alice := login(jiraSite, "town001@city.example.lg.jp")
	token := alice.open(jiraSite + "/").form(t)
	alice.post(jiraSite+"/jira/logout", url.Values{"form": {token}}).holds(t, 200, []string{"ログアウトしました"}, []string{"ログイン先には伝わっていません", token})
	if len(provider.Left) != 1 || provider.Left[0].Get("client_id") != "jira" {
		t.Errorf("the provider had %v", provider.Left)
	}
	alice.open(jiraSite+"/").holds(t, 403, nil, nil)

	bob := login(jiraSite, "town002@city.example.lg.jp")
	who := *provider.Person
	provider.Person = nil
	logout := provider.Signed(jose.ES256, map[jose.HeaderKey]any{"typ": "logout+jwt"}, provider.LogoutClaims("jira", who))
	for _, site := range []string{slackSite + "/slack", jiraSite + "/jira"} {
		v := f.browser(provider).post(site+"/logout/backchannel", url.Values{"logout_token": {logout}})
		if want := map[bool]int{true: 200, false: 400}[site == jiraSite+"/jira"]; v.status != want {
			t.Errorf("%s: status %d, %s", site, v.status, v.text)
		}
	}
	bob.open(jiraSite+"/").holds(t, 403, []string{"access_denied"}, nil)

	again := login(jiraSite, "town002@city.example.lg.jp")
	if err := f.s.Reset(); err != nil {
		t.Fatal(err)
	}
	provider.Person = nil
	again.open(jiraSite+"/").holds(t, 403, nil, nil)
}

// Whom the provider has named once is known by the subject, also after a restart, until an administrator undoes it.
func TestSubjectsAreKept(t *testing.T) {
	c := newClock()
	provider, with := withSites(t, c)
	dir := t.TempDir()
	open := func() *fixture {
		opt := testOptions(c)
		with(&opt)
		opt.Dir = dir
		s, err := sandbox.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		return &fixture{t, s, c, s.Transport()}
	}
	f := open()
	alice, user := f.customer(1), f.slackUser(1)
	provider.Person = person("town001@city.example.lg.jp")
	f.browser(provider).open(jiraSite+"/").holds(t, 200, nil, nil)
	provider.Person = person("user001@example.go.jp")
	f.browser(provider).open(slackSite+"/").holds(t, 200, nil, nil)
	for range 2 { // from the journal, and from what it is compacted to
		if err := f.s.Close(); err != nil {
			t.Fatal(err)
		}
		f = open()
	}
	check := func(site, email, sub string, status int, want string) {
		t.Helper()
		provider.Person = &providertest.Person{Subject: sub, Session: "s" + sub + email, Email: email, ACR: cardACR}
		f.browser(provider).open(site+"/").holds(t, status, []string{want}, nil)
	}
	check(jiraSite, "renamed@city.example.lg.jp", "sub of town001@city.example.lg.jp", 200, "町役場 001")
	check(jiraSite, "town001@city.example.lg.jp", "another", 403, "account_linked")
	check(slackSite, "", "sub of user001@example.go.jp", 200, "試験 001")
	check(slackSite, "user001@example.go.jp", "another", 403, "account_linked")
	asJSON := map[string]string{"Content-Type": "application/json"}
	for body, status := range map[string]int{
		`{"app":"jira","account":"` + alice + `"}`: 204, `{"app":"slack","account":"` + user + `"}`: 204, `{"app":"jira","account":"x"}`: 404, `{"app":"mail","account":"x"}`: 400, `{"x":1}`: 400,
	} {
		if r := f.browse("POST", "/_control/unlink", body, asJSON); r.StatusCode != status {
			t.Errorf("unlink %s: %d, want %d", body, r.StatusCode, status)
		}
	}
	check(jiraSite, "town001@city.example.lg.jp", "another", 200, "町役場 001")
	check(jiraSite, "town001@city.example.lg.jp", "sub of town001@city.example.lg.jp", 403, "account_linked")
	check(slackSite, "user001@example.go.jp", "another", 200, "試験 001")
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
	f = open()
	defer func() { _ = f.s.Close() }()
	check(jiraSite, "town001@city.example.lg.jp", "another", 200, "町役場 001")
	check(jiraSite, "town001@city.example.lg.jp", "sub of town001@city.example.lg.jp", 403, "account_linked")
}

func TestLicensedPeopleAreCustomersToo(t *testing.T) {
	f, provider := newSites(t)
	x := f.town()
	id := f.user(1)
	provider.Person = person("user001@example.go.jp")
	b := f.browser(provider)
	b.open(jiraSite+"/").holds(t, 200, []string{"まだ依頼がありません", "試験 001"}, nil)
	b.open(jiraSite+"/jira/requests/"+x.own).holds(t, 404, nil, nil)
	f.scim(200, "PATCH", "/Users/"+id, patchDoc(doc{"op": "replace", "path": "active", "value": false}))
	b.open(jiraSite+"/").holds(t, 403, []string{"account_inactive"}, nil)
}

// The sites have the product's own API and nothing else of the sandbox; the sandbox's own name has no customers' pages.
func TestSitesAndTheSandboxAreApart(t *testing.T) {
	f, provider := newSites(t)
	x := f.town()
	b := f.browser(provider)
	provider.Person = nil
	send := func(address string, user string) view {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err == nil && user != "" {
			r.SetBasicAuth(user, jiraToken)
		}
		return b.send(r, err)
	}
	if v := send(jiraSite+deskRoot+"/request/"+x.own, jiraEmail); v.status != 200 || !strings.Contains(v.text, `"self":"`+jiraSite+"/jira/rest/") {
		t.Errorf("Jira's API at its site: %d %s", v.status, v.text)
	}
	if v := send(jiraSite+deskRoot+"/request/"+x.own, ""); v.status != 401 {
		t.Errorf("without a credential: %d", v.status)
	}
	for _, address := range []string{slackSite + deskRoot + "/info", jiraSite + "/slack/api/auth.test", jiraSite + "/_control/faults", jiraSite + "/atlassian/scim/x"} {
		if v := send(address, jiraEmail); v.status != 403 || !strings.Contains(v.text, "access_denied") {
			t.Errorf("%s: %d", address, v.status)
		}
	}
	for _, path := range []string{"/jira/login", "/jira/logout/backchannel", "/slack/login/callback"} {
		f.page(t, path, 404)
	}
	if !strings.Contains(f.page(t, "/jira/requests", 200), "よその町の依頼") {
		t.Error("the sandbox's own pages no longer show the whole world")
	}
	for _, path := range []string{"/sandbox.css", "/avatar.svg"} {
		if v := b.open(jiraSite + path); v.status != 200 {
			t.Errorf("%s: %d", path, v.status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, jiraSite+"/jira/requests", http.NoBody)
	if v := b.send(r, err); v.status != 401 {
		t.Errorf("DELETE without a session: %d", v.status)
	}
}

func TestLoginOptionsAreChecked(t *testing.T) {
	c := newClock()
	_, with := withSites(t, c)
	for name, change := range map[string]func(o *sandbox.LoginOptions){
		"issuer by http":      func(o *sandbox.LoginOptions) { o.Issuer = "http://login.localhost" },
		"no issuer":           func(o *sandbox.LoginOptions) { o.Issuer = "" },
		"site by http":        func(o *sandbox.LoginOptions) { o.BaseURL = "http://jira.localhost:8444" },
		"site with a path":    func(o *sandbox.LoginOptions) { o.BaseURL = "https://jira.localhost/jira" },
		"no client":           func(o *sandbox.LoginOptions) { o.ClientID = "" },
		"key and secret":      func(o *sandbox.LoginOptions) { o.Secret = "x" },
		"neither":             func(o *sandbox.LoginOptions) { o.Key = nil },
		"no transport":        func(o *sandbox.LoginOptions) { o.Transport = nil },
		"no randomness":       func(o *sandbox.LoginOptions) { o.Random = nil },
		"HMAC":                func(o *sandbox.LoginOptions) { o.Algorithm = "HS256" },
		"none":                func(o *sandbox.LoginOptions) { o.Algorithm = "none" },
		"an acr with a space": func(o *sandbox.LoginOptions) { o.ACR = []string{"a b"} },
		"a key of P-384": func(o *sandbox.LoginOptions) {
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			o.Key = key
		},
	} {
		opt := testOptions(c)
		with(&opt)
		change(opt.JiraLogin)
		if s, err := sandbox.New(opt); err == nil {
			_ = s.Close()
			t.Errorf("%s is taken", name)
		}
	}
}
