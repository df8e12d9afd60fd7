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

func (f *fixture) browser(provider *providertest.Provider) *browser {
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
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' "+loginIssuer+";") || !strings.Contains(policy, "frame-ancestors 'none'") {
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

func TestPortalShowsWhatOneMaySee(t *testing.T) {
	f, provider := newSites(t)
	x := f.town()
	provider.Person = person("town001@city.example.lg.jp")
	b := f.browser(provider)
	list := b.open(jiraSite + "/")
	list.holds(t, 200, []string{"自分の依頼", "同僚の依頼", "関係する依頼", "全 3 件中", "組織で共有", "関係者", "町役場 001", `<td class="num">1</td>`}, []string{"同僚だけの依頼", "よその町の依頼", "見本町"})
	if list.at != jiraSite+"/jira/requests" {
		t.Errorf("ended at %s", list.at)
	}
	b.open(jiraSite+"/jira/requests?q="+url.QueryEscape("よその")).holds(t, 200, []string{"見つかりませんでした"}, []string{x.beyond})
	b.open(jiraSite+"/jira/requests/"+x.own).holds(t, 200, []string{"公開の返事", "一行目"}, []string{"内部のメモ", "Internal", "Time to resolution"})
	for _, key := range []string{x.shared, x.took, strings.ToLower(x.shared)} {
		b.open(jiraSite+"/jira/requests/"+key).holds(t, 200, nil, nil)
	}
	for _, path := range []string{"/jira/requests/" + x.private, "/jira/requests/" + x.beyond, "/jira/requests/HELP-999", "/jira/organizations/2", "/jira/organizations/x", "/jira/none", "/slack/channels", "/mail/", "/atlassian/", "/_control/state", "/x"} {
		b.open(jiraSite+path).holds(t, 404, []string{"見つかりません"}, []string{"よその", "同僚だけ", "見本町"})
	}
	b.open(jiraSite+"/jira/organizations").holds(t, 200, []string{"例示市"}, []string{"見本町"})
	b.open(jiraSite+"/jira/organizations/1").holds(t, 200, []string{"町役場 001", "町役場 002"}, []string{"町役場 003", "@city.example"})
	// A work item that isn't a request has no page in the portal.
	issue := f.call(201, "POST", platform+"/issue", doc{"fields": doc{"summary": "課題", "project": doc{"key": "HELP"}, "issuetype": doc{"id": "10001"}, "reporter": doc{"id": x.alice}}}).str("key")
	b.open(jiraSite+"/jira/requests/"+issue).holds(t, 404, nil, []string{"課題"})
	// Who has left the organization sees what is shared no more, at once.
	f.desk(204, "DELETE", "/organization/1/user", doc{"accountIds": []string{x.alice}})
	b.open(jiraSite+"/jira/requests/"+x.shared).holds(t, 404, nil, nil)
	b.open(jiraSite+"/jira/requests").holds(t, 200, []string{"全 2 件中"}, []string{"同僚の依頼"})
	b.open(jiraSite+"/jira/organizations").holds(t, 200, []string{"どの組織にも所属していません"}, nil)
	if len(provider.Wrong) > 0 {
		t.Errorf("the provider complains: %q", provider.Wrong)
	}
}

func TestDeepLinkComesAfterTheLogin(t *testing.T) {
	f, provider := newSites(t)
	x := f.town()
	links := f.desk(200, "GET", "/request/"+x.shared, nil)
	web := links.str("_links", "web")
	if web != jiraSite+"/jira/requests/"+x.shared || !strings.HasPrefix(links.str("_links", "self"), base) {
		t.Errorf("links %v", links.at("_links"))
	}
	provider.Person = person("town001@city.example.lg.jp")
	if v := f.browser(provider).open(web); v.status != 200 || v.at != web {
		t.Errorf("status %d at %s", v.status, v.at)
	}
	provider.Person = person("town003@city.example.lg.jp")
	f.browser(provider).open(web).holds(t, 404, []string{"見つかりません"}, []string{"同僚の依頼"})
}

func TestPortalComment(t *testing.T) {
	f, provider := newSites(t)
	x := f.town()
	provider.Person = person("town001@city.example.lg.jp")
	b := f.browser(provider)
	page := b.open(jiraSite + "/jira/requests/" + x.own)
	token := page.form(t)
	at := func(key string) string { return jiraSite + "/jira/requests/" + key + "/comment" }
	b.post(at(x.own), url.Values{"form": {token}, "text": {"了解しました <b>"}}).holds(t, 200, []string{"投稿しました", "了解しました &lt;b&gt;"}, nil)
	b.post(at(x.own), url.Values{"form": {token}, "text": {"  "}}).holds(t, 200, []string{"できませんでした"}, nil)
	b.post(at(x.own), url.Values{"form": {token}, "text": {strings.Repeat("あ", 33_000)}}).holds(t, 200, []string{"できませんでした"}, nil)
	b.post(at(x.own), url.Values{"form": {token}, "text": {strings.Repeat("あ", 50_000)}}).holds(t, 413, []string{"大きすぎる"}, nil)
	b.post(at(x.beyond), url.Values{"form": {token}, "text": {"x"}}).holds(t, 404, nil, nil)
	b.post(at(x.own), url.Values{"text": {"x"}}).holds(t, 403, []string{"form_foreign"}, nil)
	state, err := f.s.State(sandbox.Jira)
	if err != nil {
		t.Fatal(err)
	}
	for _, ticket := range state.Tickets {
		n := len(ticket.Comments)
		switch ticket.Key {
		case x.own:
			if n != 3 || ticket.Comments[2].Author != x.alice || !ticket.Comments[2].Public || ticket.Comments[2].Body != "了解しました <b>" {
				t.Errorf("%s: %+v", ticket.Key, ticket.Comments)
			}
		default:
			if n != 0 {
				t.Errorf("%s: %+v", ticket.Key, ticket.Comments)
			}
		}
	}
}

func TestWhoHasNoAccountIsRefused(t *testing.T) {
	f, provider := newSites(t)
	x := f.town()
	f.slackUser(1)
	for name, tc := range map[string]struct {
		site, email string
		prepare     func()
		want        []string
	}{
		"nobody in Jira":             {jiraSite, "nobody@city.example.lg.jp", func() {}, []string{"アカウントがありません", "No account here", "The hub has not provisioned you", "no_account"}},
		"nobody in Slack":            {slackSite, "nobody@city.example.lg.jp", func() {}, []string{"アカウントがありません", "no_account"}},
		"a customer of Jira, Slack":  {slackSite, "town001@city.example.lg.jp", func() {}, []string{"アカウントがありません"}},
		"a member of Slack, in Jira": {jiraSite, "user001@example.go.jp", func() {}, []string{"アカウントがありません"}},
		"revoked in Jira": {jiraSite, "town003@city.example.lg.jp", func() {
			f.desk(204, "PUT", "/customer/user/"+x.carol+"/revoke-portal-only-access", nil)
		}, []string{"アカウントは停止されています", "account_inactive"}},
		"deactivated in Slack": {slackSite, "user002@example.go.jp", func() {
			id := f.slackUser(2)
			f.sscim(204, "DELETE", "/Users/"+id, nil)
		}, []string{"アカウントは停止されています", "account_inactive"}},
		"a guest whose time is over": {slackSite, "user003@example.go.jp", func() { f.slackGuest(3, "2026-11-23T00:00:00Z") }, []string{"アカウントは停止されています"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.prepare()
			provider.Person = person(tc.email)
			b := f.browser(provider)
			b.open(tc.site+"/").holds(t, 403, tc.want, []string{"ログアウト"})
			b.open(tc.site+"/").holds(t, 403, tc.want, nil) // and not the second time either
		})
	}
}

func TestRefusalsOfTheProviderAreShown(t *testing.T) {
	f, provider := newSites(t)
	f.town()
	provider.Person = nil
	f.browser(provider).open(jiraSite+"/").holds(t, 403, []string{"ログインは認められませんでした", "261201-7K2M-9QXD-4RTB", "access_denied", `href="/jira/login"`}, nil)
	provider.Person = person("town001@city.example.lg.jp")
	provider.Person.ACR = "urn:example:acr:password"
	f.browser(provider).open(jiraSite+"/").holds(t, 403, []string{"より確かな本人確認が必要です", "assurance_too_low"}, nil)
	provider.Edit.IDToken = func(_ map[jose.HeaderKey]any, c map[string]any) { c["nonce"] = "x" }
	f.browser(provider).open(jiraSite+"/").holds(t, 403, []string{"応答を確認できませんでした", "id_token_nonce"}, nil)
	provider.Edit.Down = true
	f.clock.forward(2 * 3600e9)
	v := f.browser(provider).open(slackSite + "/")
	v.holds(t, 502, []string{"ログイン先を利用できません", "provider_unreachable"}, nil)
	f.browser(provider).open(slackSite+"/slack/login/callback?state=x&iss=x&error=%3Cscript%3E&error_description=call%200120").holds(t, 403, []string{"ログインをやり直してください"}, []string{"0120"})
}

func TestWorkspaceShowsWhatOneIsIn(t *testing.T) {
	f, provider := newSites(t)
	member, other, guest := f.slackUser(1), f.slackUser(2), f.slackGuest(3, "2027-03-31T00:00:00Z")
	open, secret := f.channel("incident", member, guest), f.channel("others", other)
	ts := f.web("chat.postMessage", doc{"channel": open, "text": "開設しました", "blocks": buttons}).str("ts")
	f.web("chat.postMessage", doc{"channel": secret, "text": "よその話"})
	f.web("chat.postEphemeral", doc{"channel": open, "user": guest, "text": "ゲストだけに"})
	f.web("conversations.open", doc{"users": other})
	link := f.web("chat.getPermalink", doc{"channel": open, "message_ts": ts}).str("permalink")
	if !strings.HasPrefix(link, slackSite+"/slack/archives/"+open+"/p") {
		t.Errorf("permalink %s", link)
	}
	provider.Person = person("user001@example.go.jp")
	b := f.browser(provider)
	list := b.open(slackSite + "/")
	list.holds(t, 200, []string{"#incident", "#general", "試験 001", "メンバー"}, []string{"others", "試験 002"})
	if v := b.open(link); v.status != 200 || !strings.HasPrefix(v.at, slackSite+"/slack/channels/"+open+"#p") {
		t.Errorf("the permalink leads to %s, status %d", v.at, v.status)
	}
	page := b.open(slackSite + "/slack/channels/" + open)
	page.holds(t, 200, []string{"要請を確認してください", "確認した"}, []string{"ゲストだけに"})
	for _, path := range []string{"/slack/channels/" + secret, "/slack/channels/C0", "/slack/guests", "/slack/groups", "/jira/requests", "/_control/quota"} {
		b.open(slackSite+path).holds(t, 404, nil, []string{"よその話", "試験 002"})
	}
	token := page.form(t)
	b.post(slackSite+"/slack/channels/"+open+"/say", url.Values{"form": {token}, "text": {"向かいます"}, "as": {other}, "thread_ts": {ts}}).holds(t, 200, []string{"投稿しました", "向かいます"}, nil)
	said := f.web("conversations.replies", doc{"channel": open, "ts": ts})
	if said.str("messages", 1, "user") != member || said.str("messages", 1, "text") != "向かいます" {
		t.Errorf("said %s", said.body)
	}
	b.post(slackSite+"/slack/channels/"+open+"/press?block_id=b1", url.Values{"form": {token}, "ts": {ts}, "action_id": {"ack"}}).holds(t, 200, []string{"送り先が設定されていません"}, nil)
	b.post(slackSite+"/slack/channels/"+secret+"/say", url.Values{"form": {token}, "text": {"x"}}).holds(t, 404, nil, nil)
	b.post(slackSite+"/slack/channels/"+open+"/dance", url.Values{"form": {token}}).holds(t, 404, nil, nil)
	b.post(slackSite+"/slack/channels/"+open+"/say", url.Values{"text": {"x"}}).holds(t, 403, nil, nil)

	provider.Person = person("user003@example.go.jp")
	g := f.browser(provider)
	g.open(slackSite+"/").holds(t, 200, []string{"#incident", "マルチチャンネルゲスト", "2027-03-31"}, []string{"#general", "others"})
	g.open(slackSite+"/slack/channels/"+open).holds(t, 200, []string{"ゲストだけに"}, nil)
	f.web("conversations.kick", doc{"channel": open, "user": guest})
	g.open(slackSite+"/slack/channels/"+open).holds(t, 404, nil, nil)
	g.open(slackSite+"/").holds(t, 200, []string{"参加しているチャンネルがありません"}, nil)
}

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
