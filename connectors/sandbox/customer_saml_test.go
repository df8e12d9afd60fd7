package sandbox_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp/idptest"
)

const (
	staffSite = "https://atlassian.localhost:8444"
	wikiSite  = "https://wiki.localhost:8444"
	claims    = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
)

// samlKeys are drawn once.
var samlKeys = sync.OnceValue(func() (k struct{ idp, sp *idptest.Provider }) {
	now := func() time.Time { return newClock().now() }
	var err1, err2 error
	k.idp, err1 = idptest.New(loginIssuer, now)
	k.sp, err2 = idptest.New(loginIssuer, now)
	if err1 != nil || err2 != nil {
		panic("no keys")
	}
	return k
})

// samlSites are the sites' options, before anything is typed in.
func samlSites(o *sandbox.Options) {
	k := samlKeys()
	at := func(base string) *sandbox.SAMLOptions {
		return &sandbox.SAMLOptions{BaseURL: base, Key: k.sp.Key, Certificate: k.sp.Certificate.Raw, Random: rand.Reader}
	}
	o.JiraSAML, o.StaffSAML, o.SlackSAML = at(jiraSite), at(staffSite), at(slackSite)
	o.Plain = []sandbox.PlainOptions{{Name: "wiki", Title: [2]string{"資料室", "Library"}, SAML: at(wikiSite)}}
	o.Jira.WorkflowTime = -1
}

// settingsOf is what an administrator types in at a site.
func settingsOf(site string, p *idptest.Provider) sandbox.SAMLSettings {
	s := sandbox.SAMLSettings{Issuer: p.EntityID(), SSOURL: p.SSO(), Certificate: p.Base64()}
	switch site {
	case sandbox.Slack:
		s.ResponseSigned, s.AssertionSigned = true, true
	case "wiki":
		s.AssertionSigned, s.LogoutURL = true, p.SLO()
	}
	return s
}

func newSAMLSites(t testing.TB, change ...func(*sandbox.Options)) (*fixture, *idptest.Provider) {
	t.Helper()
	c := newClock()
	f := newFixture(t, append([]func(*sandbox.Options){samlSites, func(o *sandbox.Options) { o.Now = c.now }}, change...)...)
	f.clock = c
	k := samlKeys()
	p := &idptest.Provider{Origin: loginIssuer, Key: k.idp.Key, Certificate: k.idp.Certificate, Now: c.now, SignResponse: true, SignAssertion: true}
	for _, site := range []string{sandbox.Jira, sandbox.Staff, sandbox.Slack, "wiki"} {
		if err := f.s.ConfigureSAML(site, settingsOf(site, p)); err != nil {
			t.Fatal(err)
		}
	}
	return f, p
}

// as makes the provider speak of somebody to a site.
func (f *fixture) as(p *idptest.Provider, site, name string, attributes ...[2]string) {
	f.t.Helper()
	d, err := f.s.SAML(site)
	if err != nil {
		f.t.Fatal(err)
	}
	p.Audience = d.EntityID
	p.Person = &idptest.Person{NameID: name, Format: idptest.Email, Attributes: attributes, Context: idptest.Card, Index: "_s1"}
}

func staffAttributes(id string) [][2]string {
	return [][2]string{{claims + "givenname", "花子"}, {claims + "surname", "見本"}, {claims + "name", id}}
}

// TestSAMLSites: each site lets in whom it knows, and shows who came in with what.
func TestSAMLSites(t *testing.T) {
	f, p := newSAMLSites(t)
	f.town()
	f.user(1)
	f.slackUser(1)
	staff := f.staffMail()
	const town, member = "town001@city.example.lg.jp", "user001@example.go.jp"
	for _, x := range []struct {
		site, at, name, home string
		attributes           [][2]string
		want, not            []string
	}{
		{sandbox.Jira, jiraSite, town, "/jira/requests", nil, []string{"町役場 001", "Jira Service Management の試験用の代役"}, nil},
		{sandbox.Staff, staffSite, staff, "/jira/requests", staffAttributes("person-1"), []string{"Jira (Atlassian Guard) の試験用の代役", "person-1"}, nil},
		{sandbox.Slack, slackSite, "pair-1", "/slack/channels", [][2]string{{"User.Email", member}, {"first_name", "<b>"}}, []string{"User.Email", "&lt;b&gt;", "Slack の試験用の代役"}, []string{"<b>"}},
		{"wiki", wikiSite, "pair-2", "/wiki/me", [][2]string{{"displayName", "見本 花子"}}, []string{"見本 花子", "試験用のサイトです"}, nil},
	} {
		f.as(p, x.site, x.name, x.attributes...)
		b := f.browser(p)
		if v := b.open(x.at + "/"); v.status != 200 || v.at != x.at+x.home {
			t.Fatalf("%s: %d at %s: %s", x.site, v.status, v.at, v.text)
		}
		first, _, _ := strings.Cut(x.home[1:], "/")
		v := b.open(x.at + "/" + first + "/me")
		v.holds(t, 200, append(x.want, "SAML 2.0", "NameID", x.name, "SmartcardPKI", "ログインの情報"), x.not)
	}
	if got := len(p.Asked); got != 4 {
		t.Errorf("%d requests", got)
	}
}

// TestSAMLSeats: without a seat nobody comes in; the portal's connection is for portal-only customers, the staff's for managed accounts.
func TestSAMLSeats(t *testing.T) {
	f, p := newSAMLSites(t)
	x := f.town()
	f.user(1)
	staff := f.staffMail()
	for _, c := range []struct {
		site, at, name string
		attributes     [][2]string
		code           string
	}{
		{sandbox.Jira, jiraSite, "nobody@city.example.lg.jp", nil, "no_account"},
		{sandbox.Jira, jiraSite, staff, nil, "no_account"},
		{sandbox.Staff, staffSite, "town001@city.example.lg.jp", staffAttributes("x"), "no_account"},
		{sandbox.Staff, staffSite, staff, nil, "saml_attribute_missing"},
		{sandbox.Slack, slackSite, "pair-1", [][2]string{{"User.Email", "nobody@example.go.jp"}}, "no_account"},
		{sandbox.Slack, slackSite, "pair-1", nil, "saml_attribute_missing"},
	} {
		f.as(p, c.site, c.name, c.attributes...)
		v := f.browser(p).open(c.at + "/")
		v.holds(t, 403, []string{c.code}, []string{"別の方法や別の人"}) // these products can't ask for a new proof
	}
	f.as(p, sandbox.Jira, "town001@city.example.lg.jp")
	b := f.browser(p)
	b.open(jiraSite+"/").holds(t, 200, nil, nil)
	f.desk(204, "PUT", "/customer/user/"+x.alice+"/revoke-portal-only-access", nil)
	b.open(jiraSite+"/").holds(t, 403, []string{"account_inactive"}, nil)
	p.Person, p.Refusal, p.Message = nil, "urn:oasis:names:tc:SAML:2.0:status:RequestDenied", "incident 261130-ABCD"
	b.open(jiraSite+"/").holds(t, 403, []string{"provider_error", "RequestDenied", "261130-ABCD", "認められませんでした"}, nil)
}

// TestSAMLLogout: Jira and Slack don't tell the provider; the plain site does.
func TestSAMLLogout(t *testing.T) {
	f, p := newSAMLSites(t)
	f.town()
	f.as(p, sandbox.Jira, "town001@city.example.lg.jp")
	b := f.browser(p)
	token := b.open(jiraSite + "/").form(t)
	b.post(jiraSite+"/jira/logout", url.Values{"form": {token}}).holds(t, 200, []string{"ログアウトしました", "ログイン先にログアウトを伝えません"}, nil)
	f.as(p, "wiki", "pair-2")
	v := b.open(wikiSite + "/")
	v.holds(t, 200, nil, nil)
	b.post(wikiSite+"/wiki/logout", url.Values{"form": {v.form(t)}}).holds(t, 200, []string{"ログイン先からもログアウトしました"}, []string{"終了を確認できない"})
	if len(p.Left) != 1 {
		t.Errorf("%d logouts", len(p.Left))
	}
	again := f.browser(p)
	again.open(wikiSite+"/").holds(t, 200, nil, nil)
	f.browser(p).open(p.Redirect(wikiSite+"/saml/slo", "SAMLRequest", p.Logout(wikiSite+"/saml/slo", "pair-2", "_s1"), ""))
	p.Person, p.Refusal = nil, "x"
	again.open(wikiSite+"/").holds(t, 403, nil, nil)
}

// control calls /_control as a test does.
func (f *fixture) control(want int, method, path, body string) map[string]any {
	f.t.Helper()
	a := f.browse(method, "/_control/"+path, body, map[string]string{"Content-Type": "application/json"})
	defer a.Body.Close()
	doc := map[string]any{}
	_ = json.NewDecoder(a.Body).Decode(&doc)
	if a.StatusCode != want {
		f.t.Errorf("%s %s: %d %v, want %d", method, path, a.StatusCode, doc, want)
	}
	return doc
}

// TestSAMLSettings: typed in by the API or on the page, refused as the products refuse, kept over a restart, forgotten by a reset.
func TestSAMLSettings(t *testing.T) {
	dir := t.TempDir()
	f, p := newSAMLSites(t, func(o *sandbox.Options) { o.Dir = dir })
	write := func(change func(*sandbox.SAMLSettings), site string) string {
		s := settingsOf(site, p)
		change(&s)
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	doc := f.control(200, "GET", "saml?site=slack", "")
	what, _ := doc["service_provider"].(map[string]any)
	if what["entity_id"] != "https://slack.com" || what["acs"] != slackSite+"/sso/saml" || what["idp_initiated"] != true || doc["settings"] == nil {
		t.Errorf("%v", doc)
	}
	f.control(404, "GET", "saml?site=mail", "")
	f.control(404, "POST", "saml?site=mail", write(func(*sandbox.SAMLSettings) {}, "slack"))
	f.control(400, "POST", "saml?site=slack", `{"issuer":"x","typo":1}`)
	f.control(400, "POST", "saml?site=slack", write(func(s *sandbox.SAMLSettings) { s.ResponseSigned, s.AssertionSigned = false, false }, "slack"))
	f.control(400, "POST", "saml?site=jira", write(func(s *sandbox.SAMLSettings) { s.LogoutURL = p.SLO() }, "jira"))
	f.control(204, "POST", "saml?site=slack", write(func(s *sandbox.SAMLSettings) { s.ServiceProvider = slackSite }, "slack"))

	form := func(values url.Values, header map[string]string) *http.Response {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, base+"/saml", strings.NewReader(values.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		f.s.ServeHTTP(w, r)
		return w.Result()
	}
	values := url.Values{"site": {"slack"}, "issuer": {p.EntityID()}, "sso_url": {p.SSO()}, "certificate": {p.Base64()}, "response_signed": {"on"}, "service_provider": {slackSite}}
	if a := form(values, map[string]string{"Sec-Fetch-Site": "cross-site"}); a.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %d", a.StatusCode)
	}
	bad := url.Values{}
	for k, v := range values {
		bad[k] = slices.Clone(v)
	}
	bad.Set("certificate", "-----BEGIN PRIVATE KEY-----\n<b>")
	if a := form(bad, nil); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a private key: %d", a.StatusCode)
	}
	if a := form(values, nil); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/saml?done=slack#slack" {
		t.Errorf("%d %s", a.StatusCode, a.Header.Get("Location"))
	}
	page := f.page(t, "/saml?done=slack", 200)
	for _, want := range []string{"設定しました", p.EntityID(), slackSite + "/sso/saml", "https://slack.com", "BEGIN CERTIFICATE", "ヘルプセンター", "職員用 Jira", "資料室"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
	f = newFixture(t, samlSites, func(o *sandbox.Options) { o.Now, o.Dir = f.clock.now, dir })
	doc = f.control(200, "GET", "saml?site=slack", "")
	settings, _ := doc["settings"].(map[string]any)
	if settings["service_provider"] != slackSite || settings["response_signed"] != true || settings["assertion_signed"] != nil {
		t.Errorf("after a restart: %v", settings)
	}
	if err := f.s.Reset(); err != nil {
		t.Fatal(err)
	}
	if doc = f.control(200, "GET", "saml?site=slack", ""); doc["settings"] != nil {
		t.Errorf("after a reset: %v", doc)
	}
	f.browser(p).open(slackSite+"/").holds(t, 503, []string{"saml_not_configured", "設定されていません"}, nil)
}

// TestSAMLOptions: what makes no sites.
func TestSAMLOptions(t *testing.T) {
	k := samlKeys()
	ok := &sandbox.SAMLOptions{BaseURL: wikiSite, Key: k.sp.Key, Certificate: k.sp.Certificate.Raw, Random: rand.Reader}
	for name, change := range map[string]func(*sandbox.Options){
		"both": func(o *sandbox.Options) { o.JiraSAML, o.JiraLogin = ok, &sandbox.LoginOptions{} },
		"a taken name": func(o *sandbox.Options) {
			o.Plain = []sandbox.PlainOptions{{Name: "jira", Title: [2]string{"x", "x"}, SAML: ok}}
		},
		"no name": func(o *sandbox.Options) { o.Plain = []sandbox.PlainOptions{{Title: [2]string{"x", "x"}, SAML: ok}} },
		"twice": func(o *sandbox.Options) {
			o.Plain = []sandbox.PlainOptions{{Name: "ab", Title: [2]string{"x", "x"}, SAML: ok}, {Name: "ab", Title: [2]string{"x", "x"}, SAML: ok}}
		},
		"no protocol":   func(o *sandbox.Options) { o.Plain = []sandbox.PlainOptions{{Name: "ab", Title: [2]string{"x", "x"}}} },
		"no randomness": func(o *sandbox.Options) { o.SlackSAML = &sandbox.SAMLOptions{BaseURL: slackSite} },
	} {
		o := sandbox.Options{Now: newClock().now, Slack: sandbox.SlackOptions{Token: "t"}}
		change(&o)
		if s, err := sandbox.New(o); err == nil {
			_ = s.Close()
			t.Errorf("%s: taken", name)
		}
	}
}

// staffMail is the address of the directory's first user.
func (f *fixture) staffMail() string {
	f.t.Helper()
	state, err := f.s.State(sandbox.Atlassian)
	if err != nil || len(state.Accounts) == 0 {
		f.t.Fatal("no user")
	}
	return state.Accounts[0].Email
}
