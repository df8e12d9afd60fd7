package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// web calls a method that must succeed.
func (f *fixture) web(method string, body doc) answer {
	f.t.Helper()
	if body == nil {
		body = doc{}
	}
	a := f.call(200, "POST", "/slack/api/"+method, body)
	if a.at("ok") != true {
		f.t.Fatalf("%s %v: %s", method, body, a.body)
	}
	return a
}

// webError calls a method that must be refused with a code, with status 200.
func (f *fixture) webError(code, method string, body doc, change ...func(*http.Request)) answer {
	f.t.Helper()
	a := f.call(200, "POST", "/slack/api/"+method, body, change...)
	if a.at("ok") != false || a.str("error") != code {
		f.t.Errorf("%s %v: %s, want %s", method, body, a.body, code)
	}
	return a
}

// channel makes a channel with people in it.
func (f *fixture) channel(name string, users ...string) string {
	f.t.Helper()
	id := f.web("conversations.create", doc{"name": name}).str("channel", "id")
	if len(users) > 0 {
		f.web("conversations.invite", doc{"channel": id, "users": strings.Join(users, ",")})
	}
	return id
}

func form(values url.Values) (string, func(*http.Request)) {
	return values.Encode(), func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
}

func TestSlackTokensAndArguments(t *testing.T) {
	f := newFixture(t)
	a := f.web("auth.test", nil)
	if !strings.HasPrefix(a.str("user_id"), "U") || a.str("team_id") != "T0MUSUBI01" || a.header.Get("X-OAuth-Scopes") == "" {
		t.Errorf("auth.test: %s %v", a.body, a.header)
	}
	as := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	f.webError("not_authed", "auth.test", doc{}, noCredential)
	f.webError("invalid_auth", "auth.test", doc{}, as("xoxb-wrong"))
	f.webError("invalid_auth", "auth.test", doc{}, as(slackAdmin))
	f.webError("unknown_method", "conversations.nothing", doc{})
	post := func(body string, media string, change ...func(*http.Request)) string {
		return f.call(200, "POST", "/slack/api/users.info", body, append([]func(*http.Request){func(r *http.Request) { r.Header.Set("Content-Type", media) }}, change...)...).str("error")
	}
	for _, c := range []struct{ body, media, want string }{
		{"{", "application/json", "invalid_json"},
		{"[]", "application/json", "json_not_object"},
		{"null", "application/json", "json_not_object"},
		{"x", "", "missing_post_type"},
		{"x", "text/xml", "invalid_post_type"},
		{"user=U1", "application/x-www-form-urlencoded; charset=utf-16", "invalid_charset"},
		{"user=%zz", "application/x-www-form-urlencoded", "invalid_form_data"},
		{"user=U1", "application/x-www-form-urlencoded", "user_not_found"},
		{"{}", "application/json", "invalid_arguments"},
		{strings.Repeat("x", 5<<20), "application/json", "request_too_large"},
	} {
		if got := post(c.body, c.media); got != c.want {
			t.Errorf("%.20q as %q: %s, want %s", c.body, c.media, got, c.want)
		}
	}
	// Form bodies may carry the token, JSON bodies and addresses may not.
	body, asForm := form(url.Values{"token": {slackToken}})
	if got := f.call(200, "POST", "/slack/api/auth.test", body, asForm, noCredential); got.at("ok") != true {
		t.Errorf("token in the form: %s", got.body)
	}
	f.webError("not_authed", "auth.test", doc{"token": slackToken}, noCredential)
	if got := f.call(200, "GET", "/slack/api/auth.test?token="+slackToken, nil, noCredential); got.str("error") != "not_authed" {
		t.Errorf("token in the address: %s", got.body)
	}
	if got := f.call(200, "GET", "/slack/api/users.list?limit=1", nil); len(got.list("members")) != 1 {
		t.Errorf("GET: %s", got.body)
	}
	f.clock.forward(25 * time.Hour)
	f.webError("token_expired", "auth.test", doc{})
}

func TestSlackMissingScope(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.Slack.Scopes = []string{"chat:write", "users:read"} })
	a := f.webError("missing_scope", "conversations.create", doc{"name": "x"})
	if a.str("needed") != "channels:manage,groups:write,im:write,mpim:write" || a.str("provided") != "chat:write,users:read" {
		t.Errorf("%s", a.body)
	}
	id := f.slackUser(1)
	if u := f.web("users.info", doc{"user": id}); u.at("user", "profile", "email") != nil {
		t.Errorf("an e-mail without users:read.email: %s", u.body)
	}
}

func TestSlackPeople(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.Slack.OwnerEmail = "" })
	var want []string
	for n := range 7 {
		want = append(want, f.slackUser(n))
	}
	f.sscim(204, "DELETE", "/Users/"+want[3], nil)
	var got []string
	cursor := ""
	for pages := 0; pages == 0 || cursor != ""; pages++ {
		a := f.web("users.list", doc{"limit": 3, "cursor": cursor})
		for _, m := range a.list("members") {
			if u := m.(doc); u["is_bot"] == false {
				got = append(got, u["id"].(string))
				if u["deleted"] != (u["id"] == want[3]) {
					t.Errorf("deleted: %v", u)
				}
			}
		}
		cursor = a.str("response_metadata", "next_cursor")
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages gave %v, want %v", got, want)
	}
	f.webError("invalid_cursor", "users.list", doc{"cursor": "eA=="})
	f.webError("user_not_found", "users.info", doc{"user": "U0NOBODY"})
	u := f.web("users.lookupByEmail", doc{"email": "USER001@example.go.jp"})
	if u.str("user", "id") != want[1] || u.str("user", "name") != "user001" || u.str("user", "profile", "email") != "user001@example.go.jp" || u.str("user", "real_name") != "試験 001" {
		t.Errorf("%s", u.body)
	}
	f.webError("users_not_found", "users.lookupByEmail", doc{"email": "nobody@example.go.jp"})
}

func TestSlackChannelNames(t *testing.T) {
	f := newFixture(t)
	f.slackUser(1)
	for name, code := range map[string]string{
		"": "invalid_name_required", strings.Repeat("a", 81): "invalid_name_maxlength", "---": "invalid_name_punctuation", "Upper": "invalid_name_specials",
		"with space": "invalid_name_specials", "a.b": "invalid_name_specials", "here": "invalid_name", "general": "name_taken", "user001": "name_taken",
	} {
		f.webError(code, "conversations.create", doc{"name": name})
	}
	id := f.channel("障害-2026")
	f.webError("name_taken", "conversations.create", doc{"name": "障害-2026"})
	f.web("conversations.archive", doc{"channel": id})
	f.webError("name_taken", "conversations.create", doc{"name": "障害-2026"}) // an archived channel keeps its name
	f.webError("already_archived", "conversations.archive", doc{"channel": id})
	f.webError("is_archived", "chat.postMessage", doc{"channel": id, "text": "x"})
	f.webError("is_archived", "conversations.invite", doc{"channel": id, "users": "U1"})
	f.webError("is_archived", "conversations.setTopic", doc{"channel": id, "topic": "x"})
	f.web("conversations.unarchive", doc{"channel": id})
	f.webError("not_archived", "conversations.unarchive", doc{"channel": id})
	f.webError("name_taken", "conversations.rename", doc{"channel": id, "name": "general"})
	if a := f.web("conversations.rename", doc{"channel": id, "name": "障害-済"}); a.str("channel", "name") != "障害-済" || a.str("channel", "previous_names", 0) != "障害-2026" {
		t.Errorf("%s", a.body)
	}
	f.channel("障害-2026") // the old name is free again
	general := f.web("conversations.list", nil).str("channels", 0, "id")
	f.webError("not_authorized", "conversations.rename", doc{"channel": general, "name": "x"})
	f.webError("cant_archive_general", "conversations.archive", doc{"channel": general})
	f.webError("channel_not_found", "conversations.info", doc{"channel": "C0NONE"})
	f.webError("too_long", "conversations.setTopic", doc{"channel": id, "topic": strings.Repeat("あ", 251)})
	if a := f.web("conversations.setPurpose", doc{"channel": id, "purpose": "連絡"}); a.str("channel", "purpose", "value") != "連絡" {
		t.Errorf("%s", a.body)
	}
	if a := f.web("conversations.join", doc{"channel": id}); a.str("warning") != "already_in_channel" {
		t.Errorf("%s", a.body)
	}
}

func TestSlackInvitations(t *testing.T) {
	f := newFixture(t)
	id := f.channel("incident")
	var people []string
	for n := range 101 {
		people = append(people, f.slackUser(n))
	}
	f.webError("too_many_users", "conversations.invite", doc{"channel": id, "users": strings.Join(people, ",")})
	f.webError("no_user", "conversations.invite", doc{"channel": id, "users": ","})
	bot := f.web("auth.test", nil).str("user_id")
	f.webError("cant_invite_self", "conversations.invite", doc{"channel": id, "users": bot})
	a := f.webError("user_not_found", "conversations.invite", doc{"channel": id, "users": people[0] + ",U0NOBODY"})
	if a.str("errors", 0, "user") != "U0NOBODY" || a.str("errors", 0, "error") != "user_not_found" {
		t.Errorf("%s", a.body)
	}
	if m := f.web("conversations.members", doc{"channel": id}); len(m.list("members")) != 1 {
		t.Errorf("one bad user lets nobody in: %s", m.body)
	}
	a = f.web("conversations.invite", doc{"channel": id, "users": people[0] + ",U0NOBODY", "force": true})
	if a.str("errors", 0, "user") != "U0NOBODY" {
		t.Errorf("%s", a.body)
	}
	f.webError("already_in_channel", "conversations.invite", doc{"channel": id, "users": people[0]})
	f.web("conversations.invite", doc{"channel": id, "users": people[1:101]}) // a JSON list works too
	var got []string
	for cursor := ""; ; {
		m := f.web("conversations.members", doc{"channel": id, "limit": 40, "cursor": cursor})
		for _, x := range m.list("members") {
			got = append(got, x.(string))
		}
		if cursor = m.str("response_metadata", "next_cursor"); cursor == "" {
			break
		}
	}
	if len(got) != 102 || !slices.Equal(got[1:], people) {
		t.Errorf("%d members: %v", len(got), got)
	}
	f.web("conversations.kick", doc{"channel": id, "user": people[5]})
	f.webError("not_in_channel", "conversations.kick", doc{"channel": id, "user": people[5]})
	f.webError("cant_kick_self", "conversations.kick", doc{"channel": id, "user": bot})
	f.webError("user_not_found", "conversations.kick", doc{"channel": id, "user": "U0NOBODY"})
	general := f.web("conversations.list", nil).str("channels", 0, "id")
	f.webError("cant_kick_from_general", "conversations.kick", doc{"channel": general, "user": people[5]})
	f.webError("invalid_limit", "conversations.members", doc{"channel": id, "limit": 1001})
	if a := f.web("conversations.info", doc{"channel": id, "include_num_members": true}); a.at("channel", "num_members") != 101.0 {
		t.Errorf("%s", a.body)
	}
}

func TestSlackMessagesAndThreads(t *testing.T) {
	f := newFixture(t)
	user := f.slackUser(1)
	id := f.channel("incident", user)
	first := f.web("chat.postMessage", doc{"channel": id, "text": "始まり"})
	ts := first.str("ts")
	if first.str("message", "bot_id") == "" || first.str("channel") != id {
		t.Errorf("%s", first.body)
	}
	for n := range 5 {
		f.clock.forward(2 * time.Second)
		f.web("chat.postMessage", doc{"channel": "#incident", "text": fmt.Sprint("返信", n), "thread_ts": ts})
	}
	reply, err := f.s.Workspace().Say(id, user, "了解", ts)
	if err != nil {
		t.Fatal(err)
	}
	h := f.web("conversations.history", doc{"channel": id})
	if m := h.list("messages"); len(m) != 2 || h.str("messages", 0, "ts") != ts || h.at("messages", 0, "reply_count") != 6.0 || h.str("messages", 0, "latest_reply") != reply || h.str("messages", 1, "subtype") != "channel_join" {
		t.Errorf("history: %s", h.body)
	}
	var texts []string
	for cursor := ""; ; {
		r := f.web("conversations.replies", doc{"channel": id, "ts": ts, "limit": 3, "cursor": cursor})
		for i := range r.list("messages") {
			texts = append(texts, r.str("messages", i, "text"))
		}
		if cursor = r.str("response_metadata", "next_cursor"); cursor == "" {
			break
		}
	}
	if got := strings.Join(texts, " "); got != "始まり 返信0 返信1 返信2 返信3 返信4 了解" {
		t.Errorf("thread: %s", got)
	}
	f.webError("thread_not_found", "conversations.replies", doc{"channel": id, "ts": "1.0"})
	f.webError("thread_not_found", "chat.postMessage", doc{"channel": id, "text": "x", "thread_ts": "1700000000.000000"})
	if u := f.web("chat.update", doc{"channel": id, "ts": ts, "text": "改"}); u.str("text") != "改" || u.str("message", "edited", "user") == "" {
		t.Errorf("%s", u.body)
	}
	f.webError("cant_update_message", "chat.update", doc{"channel": id, "ts": reply, "text": "x"})
	f.webError("cant_delete_message", "chat.delete", doc{"channel": id, "ts": reply})
	f.webError("message_not_found", "chat.update", doc{"channel": id, "ts": "1700000000.000000", "text": "x"})
	f.web("reactions.add", doc{"channel": id, "timestamp": reply, "name": "eyes"})
	f.webError("already_reacted", "reactions.add", doc{"channel": id, "timestamp": reply, "name": "eyes"})
	f.webError("bad_timestamp", "reactions.add", doc{"channel": id, "timestamp": "now", "name": "eyes"})
	f.webError("invalid_name", "reactions.add", doc{"channel": id, "timestamp": reply, "name": "!"})
	f.webError("no_item_specified", "reactions.add", doc{"name": "eyes"})
	if p := f.web("chat.getPermalink", doc{"channel": id, "message_ts": ts}); p.str("permalink") != base+"/slack/archives/"+id+"/p"+strings.ReplaceAll(ts, ".", "") {
		t.Errorf("%s", p.body)
	}
	f.webError("msg_too_long", "chat.postMessage", doc{"channel": id, "text": strings.Repeat("あ", 40_001)})
	f.webError("no_text", "chat.postMessage", doc{"channel": id})
	f.webError("invalid_blocks", "chat.postMessage", doc{"channel": id, "blocks": "x"})
	f.webError("invalid_blocks", "chat.postMessage", doc{"channel": id, "blocks": []doc{{}}})
	f.webError("too_many_attachments", "chat.postMessage", doc{"channel": id, "attachments": make([]doc, 101)})
	f.webError("channel_not_found", "chat.postMessage", doc{"channel": "C0NONE", "text": "x"})
	f.webError("user_not_in_channel", "chat.postEphemeral", doc{"channel": id, "user": f.slackUser(2), "text": "x"})
	only := f.web("chat.postEphemeral", doc{"channel": id, "user": user, "text": "あなただけ"}).str("message_ts")
	if h := f.web("conversations.history", doc{"channel": id}); strings.Contains(string(h.body), only) {
		t.Error("an ephemeral message is in the history")
	}
	f.web("chat.delete", doc{"channel": id, "ts": ts})
	if r := f.web("conversations.replies", doc{"channel": id, "ts": ts}); r.str("messages", 0, "subtype") != "tombstone" || len(r.list("messages")) != 7 {
		t.Errorf("a deleted thread: %s", r.body)
	}
	// The time window: bounds are outside unless inclusive.
	a := f.web("chat.postMessage", doc{"channel": id, "text": "a"}).str("ts")
	f.clock.forward(3 * time.Second)
	b := f.web("chat.postMessage", doc{"channel": id, "text": "b"}).str("ts")
	if h := f.web("conversations.history", doc{"channel": id, "oldest": a}); len(h.list("messages")) != 1 || h.str("messages", 0, "ts") != b {
		t.Errorf("oldest: %s", h.body)
	}
	if h := f.web("conversations.history", doc{"channel": id, "oldest": a, "latest": b, "inclusive": 1}); len(h.list("messages")) != 2 {
		t.Errorf("inclusive: %s", h.body)
	}
	f.webError("invalid_ts_latest", "conversations.history", doc{"channel": id, "latest": "x"})
	f.webError("invalid_limit", "conversations.history", doc{"channel": id, "limit": 1000})
	if h := f.web("conversations.history", doc{"channel": id, "limit": 1}); h.at("has_more") != true || h.str("response_metadata", "next_cursor") == "" {
		t.Errorf("%s", h.body)
	}
}

func TestSlackOutsideAndDirect(t *testing.T) {
	f := newFixture(t)
	user := f.slackUser(1)
	other := f.slackUser(2)
	general := f.web("conversations.list", nil).str("channels", 0, "id")
	f.web("chat.postMessage", doc{"channel": general, "text": "x"})
	open := f.web("conversations.open", doc{"users": user})
	dm := open.str("channel", "id")
	if !strings.HasPrefix(dm, "D") || open.at("already_open") != nil {
		t.Errorf("%s", open.body)
	}
	if again := f.web("conversations.open", doc{"users": user, "return_im": true}); again.str("channel", "id") != dm || again.at("already_open") != true || again.str("channel", "user") != user {
		t.Errorf("%s", again.body)
	}
	if p := f.web("chat.postMessage", doc{"channel": user, "text": "個別"}); p.str("channel") != dm {
		t.Errorf("%s", p.body)
	}
	if m := f.web("conversations.open", doc{"users": user + "," + other}); !strings.HasPrefix(m.str("channel", "id"), "G") {
		t.Errorf("%s", m.body)
	}
	f.webError("users_list_not_supplied", "conversations.open", doc{})
	f.webError("user_not_found", "conversations.open", doc{"users": "U0NOBODY"})
	f.webError("method_not_supported_for_channel_type", "conversations.invite", doc{"channel": dm, "users": other})
	f.sscim(204, "DELETE", "/Users/"+other, nil)
	f.webError("user_disabled", "conversations.open", doc{"users": other})
	private := f.web("conversations.create", doc{"name": "secret", "is_private": true}).str("channel", "id")
	for types, want := range map[string]int{"": 1, "private_channel": 1, "im,mpim": 2, "public_channel,private_channel": 2} {
		if a := f.web("conversations.list", doc{"types": types}); len(a.list("channels")) != want {
			t.Errorf("types %q: %s", types, a.body)
		}
	}
	f.webError("invalid_types", "conversations.list", doc{"types": "x"})
	f.webError("method_not_supported_for_channel_type", "conversations.join", doc{"channel": private})
	if err := f.s.Workspace().Leave(general, user); err == nil {
		t.Error("somebody left #general")
	}
}

func TestSlackUserGroups(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.slackUser(1), f.slackUser(2), f.slackUser(3)
	g := f.web("usergroups.create", doc{"name": "当番", "handle": "toban", "description": "今日の当番"})
	id := g.str("usergroup", "id")
	f.webError("name_already_exists", "usergroups.create", doc{"name": "当番"})
	f.webError("handle_already_exists", "usergroups.create", doc{"name": "別", "handle": "toban"})
	f.webError("handle_already_exists", "usergroups.create", doc{"name": "別", "handle": "user001"})
	f.webError("invalid_arguments", "usergroups.create", doc{})
	f.web("usergroups.users.update", doc{"usergroup": id, "users": a + "," + b})
	// The list replaces, and one bad user refuses all of it.
	if u := f.web("usergroups.users.update", doc{"usergroup": id, "users": c, "include_count": true}); u.at("usergroup", "user_count") != 1.0 {
		t.Errorf("%s", u.body)
	}
	f.webError("invalid_users", "usergroups.users.update", doc{"usergroup": id, "users": a + ",U0NOBODY"})
	f.sscim(204, "DELETE", "/Users/"+b, nil)
	f.webError("invalid_users", "usergroups.users.update", doc{"usergroup": id, "users": a + "," + b})
	f.webError("no_users_provided", "usergroups.users.update", doc{"usergroup": id, "users": ""})
	f.webError("no_such_subteam", "usergroups.users.update", doc{"usergroup": "S0NONE", "users": a})
	if l := f.web("usergroups.users.list", doc{"usergroup": id}); len(l.list("users")) != 1 || l.str("users", 0) != c {
		t.Errorf("%s", l.body)
	}
	many := make([]string, 5001)
	for i := range many {
		many[i] = fmt.Sprintf("U%09d", i)
	}
	f.webError("subteam_max_users_exceeded", "usergroups.users.update", doc{"usergroup": id, "users": strings.Join(many, ",")})
	f.web("usergroups.update", doc{"usergroup": id, "name": "夜の当番"})
	f.web("usergroups.disable", doc{"usergroup": id})
	if l := f.web("usergroups.list", nil); len(l.list("usergroups")) != 0 {
		t.Errorf("%s", l.body)
	}
	if l := f.web("usergroups.list", doc{"include_disabled": true, "include_users": true}); l.str("usergroups", 0, "name") != "夜の当番" || l.str("usergroups", 0, "users", 0) != c || l.at("usergroups", 0, "date_delete") == 0.0 {
		t.Errorf("%s", l.body)
	}
	f.webError("no_such_subteam", "usergroups.users.list", doc{"usergroup": id})
	f.web("usergroups.enable", doc{"usergroup": id})
	// The identity provider's groups are user groups too.
	if s := f.sscim(200, "GET", "/Groups/"+id, nil); s.str("displayName") != "夜の当番" || !slices.Equal(memberIDs(s), []string{c}) {
		t.Errorf("%s", s.body)
	}
}

func TestSlackWebQuotas(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.QuotaScale = 1 })
	id := f.channel("a")
	burst := func(n int, method string, body doc) (ok int, last answer) {
		for range n {
			last, _ = f.try("POST", "/slack/api/"+method, body)
			if last.status == 200 {
				ok++
			}
		}
		return ok, last
	}
	for method, want := range map[string]int{"users.list": 20, "conversations.info": 50, "conversations.members": 100} {
		ok, last := burst(want+5, method, doc{"channel": id})
		if ok != want || last.status != 429 || last.str("error") != "ratelimited" || last.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d at once, want %d, then %d %s", method, ok, want, last.status, last.body)
		}
	}
	// One message a second in a channel, whatever others get.
	ok, last := burst(6, "chat.postMessage", doc{"channel": id, "text": "x"})
	if ok != 3 || last.status != 429 || last.header.Get("Retry-After") != "1" || last.str("error") != "ratelimited" {
		t.Errorf("%d messages at once, then %d %v %s", ok, last.status, last.header, last.body)
	}
	if ok, _ := burst(1, "chat.postMessage", doc{"channel": f.channel("b"), "text": "x"}); ok != 1 {
		t.Error("another channel has its own")
	}
	f.clock.forward(time.Second)
	if ok, _ := burst(3, "chat.postMessage", doc{"channel": id, "text": "x"}); ok != 1 {
		t.Errorf("%d messages after a second", ok)
	}
}

func TestSlackFaults(t *testing.T) {
	f := newFixture(t)
	f.plant(sandbox.Fault{Target: "slack", Op: "users.list", Kind: "not_ok", Error: "fatal_error", Count: 1})
	f.webError("fatal_error", "users.list", doc{})
	f.plant(sandbox.Fault{Target: "slack", Op: "chat.postMessage", Kind: "html", Status: 503, Count: 1})
	if a := f.call(503, "POST", "/slack/api/chat.postMessage", doc{}); !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Errorf("%v", a.header)
	}
	f.plant(sandbox.Fault{Target: "slack", PathPrefix: "/slack/scim", Kind: "status", Status: 429, DelayMS: 2000, Count: 1})
	f.web("users.list", nil)
	if a := f.refused(429, "too_many_requests", "GET", "/Users", nil); a.header.Get("Retry-After") != "2" {
		t.Errorf("%v", a.header)
	}
	f.plant(sandbox.Fault{Target: "slack", Kind: "no_retry_after", Count: 1})
	if a := f.call(429, "POST", "/slack/api/users.list", doc{}); a.header.Get("Retry-After") != "" || a.str("error") != "ratelimited" {
		t.Errorf("%v %s", a.header, a.body)
	}
	f.plant(sandbox.Fault{Target: "slack", Kind: "drop_member", Count: 1})
	x, y := f.slackUser(1), f.slackUser(2)
	if got := memberIDs(f.sscim(201, "POST", "/Groups", groupDoc("g", x, y))); len(got) != 1 {
		t.Errorf("members %v", got)
	}
	id := f.channel("c")
	f.plant(sandbox.Fault{Target: "slack", Kind: "drop_member", Count: 1})
	f.web("conversations.invite", doc{"channel": id, "users": x + "," + y})
	if m := f.web("conversations.members", doc{"channel": id}); len(m.list("members")) != 2 {
		t.Errorf("%s", m.body)
	}
	// A stale read also meets the Web API's POST.
	f.clock.forward(time.Minute)
	f.plant(sandbox.Fault{Target: "slack", Kind: "stale_read", DelayMS: 5000})
	f.clock.forward(time.Second)
	z := f.slackUser(3)
	f.web("chat.postMessage", doc{"channel": id, "text": "x"})
	f.webError("user_not_found", "users.info", doc{"user": z})
	f.refused(404, "no_such_user", "GET", "/Users/"+z, nil)
	if h := f.web("conversations.history", doc{"channel": id}); strings.Contains(string(h.body), `"text":"x"`) {
		t.Errorf("%s", h.body)
	}
	f.clock.forward(10 * time.Second)
	f.web("users.info", doc{"user": z})
	for _, bad := range []sandbox.Fault{
		{Target: "slack", Kind: "not_ok"},
		{Target: "jira", Kind: "not_ok", Error: "x"},
		{Target: "slack", Kind: "html", Error: "x"},
		{Target: "slack", Kind: "duplicate", Method: "POST"},
		{Target: "slack", Kind: "drop", DelayMS: 5},
	} {
		if f.s.AddFaults(bad) == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestSlackMessageMetadata(t *testing.T) {
	f := newFixture(t)
	c := f.channel("metadata")
	meta := doc{"event_type": "musubi_message", "event_payload": doc{"key": "k1"}}
	ts := f.web("chat.postMessage", doc{"channel": c, "text": "x", "metadata": meta}).str("ts")
	first := func(body doc) any {
		body["channel"] = c
		return f.web("conversations.history", body).at("messages", 0, "metadata")
	}
	if got := first(doc{}); got != nil {
		t.Errorf("shown without being asked for: %v", got)
	}
	if got := first(doc{"include_all_metadata": true}); fmt.Sprint(got) != fmt.Sprint(map[string]any(doc{"event_type": "musubi_message", "event_payload": map[string]any{"key": "k1"}})) {
		t.Errorf("the metadata is %v", got)
	}
	f.web("chat.update", doc{"channel": c, "ts": ts, "text": "y"}) // left out, it stays
	if got := first(doc{"include_all_metadata": true}); got == nil {
		t.Error("an update lost the metadata")
	}
	f.webError("invalid_metadata_format", "chat.postMessage", doc{"channel": c, "text": "x", "metadata": "{"})
	f.webError("invalid_metadata_schema", "chat.postMessage", doc{"channel": c, "text": "x", "metadata": doc{"event_type": "x"}})
	f.webError("metadata_too_large", "chat.postMessage", doc{"channel": c, "text": "x", "metadata": doc{"event_type": "x", "event_payload": doc{"a": strings.Repeat("x", 9000)}}})
}
