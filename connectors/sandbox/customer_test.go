package sandbox_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

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
