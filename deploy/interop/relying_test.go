//go:build interop

package interop_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying/providertest"
)

// portOf gives the port of a server that isn't started yet.
func portOf(t *testing.T, s *httptest.Server) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startSites serves a sandbox with Jira and Slack behind a login, and an OpenID provider that knows one person.
func startSites(t *testing.T) (box *sandbox.Sandbox, provider *providertest.Provider, jiraSite, slackSite string) {
	t.Helper()
	login, sites := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	issuer := "https://login.localhost:" + portOf(t, login)
	jiraSite, slackSite = "https://jira.localhost:"+portOf(t, sites), "https://slack.localhost:"+portOf(t, sites)
	provider, err := providertest.New(issuer, time.Now)
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
	for product, site := range map[string]string{sandbox.Jira: jiraSite, sandbox.Slack: slackSite} {
		at, err := sandbox.LoginEndpointsOf(product, site)
		if err != nil {
			t.Fatal(err)
		}
		c := providertest.Client{ID: product, Secret: "secret of " + product, Redirect: at.Redirect, PostLogout: at.PostLogout, Algorithm: jose.ES256}
		if product == sandbox.Jira {
			c.Secret, c.Keys = "", keys
		}
		provider.Clients = append(provider.Clients, c)
	}
	box, err = sandbox.New(sandbox.Options{
		Now: time.Now, Seed: 1, Jira: sandbox.JiraOptions{Email: jiraEmail, Token: jiraToken, WorkflowTime: -1},
		Slack:      sandbox.SlackOptions{Token: slackToken, AdminToken: slackToken, UpdateTime: -1},
		JiraLogin:  &sandbox.LoginOptions{Issuer: issuer, ClientID: sandbox.Jira, BaseURL: jiraSite, Key: key, Transport: provider, Random: rand.Reader},
		SlackLogin: &sandbox.LoginOptions{Issuer: issuer, ClientID: sandbox.Slack, BaseURL: slackSite, Secret: "secret of slack", Transport: provider, Random: rand.Reader},
	})
	if err != nil {
		t.Fatal(err)
	}
	login.Config.Handler, sites.Config.Handler = provider, box
	login.StartTLS()
	sites.StartTLS()
	t.Cleanup(func() { login.Close(); sites.Close(); _ = box.Close() })
	return box, provider, jiraSite, slackSite
}

// product calls a product's API in process.
func product(t *testing.T, box *sandbox.Sandbox, method, path, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://sandbox.localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if r.SetBasicAuth(jiraEmail, jiraToken); strings.HasPrefix(path, "/slack") {
		r.Header.Set("Authorization", "Bearer "+slackToken)
	}
	a, err := box.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	raw, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s %v", method, path, a.StatusCode, raw, err)
	}
	var doc map[string]any
	_ = json.Unmarshal(raw, &doc) // some answers are empty
	return doc
}

// The pages behind the login in a real browser: its cookies, its Content-Security-Policy through login and logout, and axe-core.
func TestLoginPagesInChromium(t *testing.T) {
	needChromium(t)
	box, provider, jiraSite, slackSite := startSites(t)
	const email = "hanako@c131016.example.lg.jp"
	provider.Person = &providertest.Person{Subject: "hanako", Session: "s1", Email: email}
	const desk = "/jira/rest/servicedeskapi"
	hanako, _ := product(t, box, "POST", desk+"/customer", `{"email":"`+email+`","displayName":"見本 花子"}`)["accountId"].(string)
	taro, _ := product(t, box, "POST", desk+"/customer", `{"email":"taro@c131016.example.lg.jp","displayName":"見本 太郎"}`)["accountId"].(string)
	product(t, box, "POST", desk+"/organization", `{"name":"131016 千代田区"}`)
	product(t, box, "POST", desk+"/servicedesk/1/organization", `{"organizationId":1}`)
	product(t, box, "POST", desk+"/organization/1/user", `{"accountIds":["`+hanako+`","`+taro+`"]}`)
	ask := func(who, summary, more string) string {
		key, _ := product(t, box, "POST", desk+"/request", `{"serviceDeskId":"1","requestTypeId":"1","raiseOnBehalfOf":"`+who+`","requestFieldValues":{"summary":"`+summary+`","description":"第 3 期の報告様式について、提出期限と記入例を教えてください。"`+more+`}}`)["issueKey"].(string)
		return key
	}
	key := ask(hanako, "報告様式の記入例について", "")
	ask(taro, "評価書の公表時期について", `,"customfield_10002":[1]`)
	ask(taro, "自分だけの依頼", "")
	product(t, box, "POST", desk+"/request/"+key+"/comment", `{"body":"記入例を添付しました。提出期限は 12 月 25 日です。","public":true}`)
	user, _ := product(t, box, "POST", "/slack/scim/v2/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"hanako","displayName":"見本 花子","name":{"familyName":"見本","givenName":"花子"},"emails":[{"value":"`+email+`","primary":true}],
		"urn:ietf:params:scim:schemas:extension:slack:guest:2.0:User":{"type":"multi","expiration":"2099-03-31T00:00:00Z"}}`)["id"].(string)
	made, _ := product(t, box, "POST", "/slack/api/conversations.create", `{"name":"至急-障害連絡"}`)["channel"].(map[string]any)
	channel, _ := made["id"].(string)
	product(t, box, "POST", "/slack/api/conversations.invite", `{"channel":"`+channel+`","users":"`+user+`"}`)
	product(t, box, "POST", "/slack/api/chat.postMessage", `{"channel":"`+channel+`","text":"確認","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"連絡網の確認です。受け取ったら押してください。"}},{"type":"actions","elements":[{"type":"button","action_id":"ack","text":{"type":"plain_text","text":"確認した"}}]}]}`)

	var walk struct {
		Reports []struct {
			pageReport
			URL    string
			Status int
		}
		Foreign, Complaints []string
	}
	steps := []struct {
		step, title string
		status      int
	}{
		{jiraSite + "/", "依頼", 200},
		{jiraSite + "/jira/requests/" + key, "報告様式の記入例について", 200},
		{jiraSite + "/jira/organizations", "所属する組織", 200},
		{jiraSite + "/jira/organizations/1", "131016 千代田区", 200},
		{jiraSite + "/jira/requests/HELP-3", "見つかりません", 404},
		{slackSite + "/", "チャンネル", 200},
		{slackSite + "/slack/channels/" + channel, "至急-障害連絡", 200},
		{"click:form.who button", "ログアウトしました", 200},
		{slackSite + "/", "ログインは認められませんでした", 403},
		{jiraSite + "/slack/", "見つかりません", 404},
	}
	arguments := []string{cmp.Or(os.Getenv("SCREENSHOTS"), t.TempDir()), "--through", provider.Issuer}
	for _, s := range steps {
		arguments = append(arguments, s.step)
	}
	if code := runScript(t, nil, &walk, "relying.mjs", arguments...); code != 0 || len(walk.Reports) != len(steps) {
		t.Fatalf("the walk ended with %d after %d steps", code, len(walk.Reports))
	}
	for i, r := range walk.Reports {
		if r.Status != steps[i].status || !strings.Contains(r.Title, steps[i].title) || r.Language != "ja" {
			t.Errorf("%s: %d %q (%s) at %s, want %d %q", steps[i].step, r.Status, r.Title, r.Language, r.URL, steps[i].status, steps[i].title)
		}
		for _, v := range r.Violations {
			t.Errorf("%s: %s (%s): %s at %q", r.URL, v.ID, v.Impact, v.Help, v.Nodes)
		}
	}
	for _, origin := range walk.Foreign {
		t.Errorf("the pages ask %s for something", origin)
	}
	for _, complaint := range walk.Complaints {
		if !strings.Contains(complaint, "the server responded with a status of 40") { // the refusals of the walk
			t.Errorf("the browser complains: %s", complaint)
		}
	}
	if len(provider.Wrong) > 0 || len(provider.Left) != 1 {
		t.Errorf("the provider saw %d logouts and complains %q", len(provider.Left), provider.Wrong)
	}
}
