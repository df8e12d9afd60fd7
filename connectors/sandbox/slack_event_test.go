package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack"
)

// hub is the application's end: it checks each signature, notes what comes and answers as told.
type hub struct {
	t      *testing.T
	mu     sync.Mutex
	got    []delivery
	answer func(n int, d delivery) (status int, header map[string]string, body string, wait time.Duration)
}

type delivery struct {
	at      time.Time
	valid   bool
	header  http.Header
	path    string
	doc     doc // the JSON body, or the payload of a form
	raw     []byte
	eventID string
	event   string
}

func (h *hub) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	d := delivery{at: time.Now(), header: r.Header.Clone(), path: r.URL.Path, raw: raw}
	d.valid = r.Header.Get("X-Slack-Signature") == slack.Sign(slackSigning, r.Header.Get("X-Slack-Request-Timestamp"), raw)
	text := raw
	if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			h.t.Error(err)
		}
		text = []byte(form.Get("payload"))
	}
	if err := json.Unmarshal(text, &d.doc); err != nil {
		h.t.Errorf("%s: %v", text, err)
	}
	d.eventID, _ = d.doc["event_id"].(string)
	if e, ok := d.doc["event"].(doc); ok {
		d.event, _ = e["type"].(string)
	}
	h.mu.Lock()
	n := len(h.got)
	h.got = append(h.got, d)
	answer := h.answer
	h.mu.Unlock()
	status, header, body, wait := 200, map[string]string{}, "", time.Duration(0)
	if word, ok := d.doc["challenge"].(string); ok {
		body = word
	}
	if answer != nil {
		status, header, body, wait = answer(n, d)
	}
	select {
	case <-time.After(wait):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
	for k, v := range header {
		resp.Header.Set(k, v)
	}
	return resp, nil
}

func (h *hub) all() []delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

func (h *hub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = nil
}

func (h *hub) events() (names []string) {
	for _, d := range h.all() {
		names = append(names, d.event)
	}
	return names
}

// withHub runs a test in a bubble with simulated time, a sandbox in it and a hub that it sends to.
func withHub(t *testing.T, test func(t *testing.T, f *fixture, h *hub), change ...func(*sandbox.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &hub{t: t}
		f := newFixture(t, append([]func(*sandbox.Options){func(o *sandbox.Options) {
			o.Now, o.Outgoing = time.Now, h
			o.Slack.TokenExpires, o.Slack.AdminTokenExpires = time.Time{}, time.Time{}
			o.Slack.EventsURL, o.Slack.InteractivityURL = "https://hub.example.go.jp/slack/events", "https://hub.example.go.jp/slack/interactive"
		}}, change...)...)
		test(t, f, h)
	})
}

func TestSlackSignatureIsTheVendors(t *testing.T) {
	var vectors struct {
		Slack struct {
			Secret, Timestamp, Body string
			Signature               string `json:"x_slack_signature"`
		}
	}
	if err := json.Unmarshal(shared(t, "specs/webhook_signature_vectors.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	v := vectors.Slack
	if got := slack.Sign(v.Secret, v.Timestamp, []byte(v.Body)); got != v.Signature || v.Signature == "" {
		t.Errorf("signed %s, the vendor's example is %s", got, v.Signature)
	}
}

func TestSlackEvents(t *testing.T) {
	withHub(t, func(t *testing.T, f *fixture, h *hub) {
		compiled := eventSchema(t)
		user := f.slackUser(1)
		id := f.channel("incident", user)
		ts := f.web("chat.postMessage", doc{"channel": id, "text": "応答してください"}).str("ts")
		bot := f.web("auth.test", nil).str("user_id")
		reply, err := f.s.Workspace().Say(id, user, "<@"+bot+"> 確認しました", ts)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.s.Workspace().React(id, user, ts, "eyes"); err != nil {
			t.Fatal(err)
		}
		f.sscim(204, "DELETE", "/Users/"+user, nil)
		if err := f.s.Workspace().Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"team_join", "channel_created", "member_joined_channel", "member_joined_channel", "message", "message", "message", "app_mention", "reaction_added", "user_change",
		}
		if got := h.events(); !slices.Equal(got, want) {
			t.Errorf("events %v\nwant   %v", got, want)
		}
		ids := map[string]bool{}
		for _, d := range h.all() {
			if !d.valid || d.header.Get("X-Slack-Retry-Num") != "" || ids[d.eventID] || d.eventID == "" || d.path != "/slack/events" {
				t.Errorf("%s %q: valid %v, %v", d.event, d.eventID, d.valid, d.header)
			}
			ids[d.eventID] = true
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled.Validate(v); err != nil {
				t.Errorf("%s: %v", d.event, err)
			}
		}
		said := h.all()[6].doc["event"].(doc)
		if said["ts"] != reply || said["thread_ts"] != ts || said["user"] != user || said["channel"] != id || said["channel_type"] != "channel" || said["text"] != "<@"+bot+"> 確認しました" {
			t.Errorf("message: %v", said)
		}
		if change := h.all()[9].doc["event"].(doc)["user"].(doc); change["id"] != user || change["deleted"] != true {
			t.Errorf("user_change: %v", change)
		}
	})
}

func eventSchema(t *testing.T) *jsonschema.Schema {
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(shared(t, "specs/slack_common_event_wrapper_schema.json")))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("wrapper.json", raw); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("wrapper.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// one makes a single event: a channel is created.
func (f *fixture) oneEvent(name string) { f.web("conversations.create", doc{"name": name}) }

func onlyCreated(o *sandbox.Options) { o.Slack.Events = []string{"channel_created"} }

func TestSlackEventRetries(t *testing.T) {
	withHub(t, func(t *testing.T, f *fixture, h *hub) {
		start := time.Now()
		h.answer = func(n int, _ delivery) (int, map[string]string, string, time.Duration) {
			return []int{500, 200, 302, 200}[n], nil, "", []time.Duration{0, 20 * time.Second, 0, 0}[n]
		}
		f.oneEvent("a")
		time.Sleep(30 * time.Minute)
		var lines []string
		ids := map[string]bool{}
		for _, d := range h.all() {
			lines = append(lines, fmt.Sprintf("%v %s %s %v", d.at.Sub(start), d.header.Get("X-Slack-Retry-Num"), d.header.Get("X-Slack-Retry-Reason"), d.valid))
			ids[d.eventID] = true
		}
		// Three more tries: at once, after a minute, after five; each is signed anew, the event's id stays.
		want := "0s   true|0s 1 http_error true|1m3s 2 http_timeout true|6m3s 3 http_error true"
		if got := strings.Join(lines, "|"); got != want || len(ids) != 1 {
			t.Errorf("tries %s\nwant  %s", got, want)
		}
		if stamps := h.all(); stamps[0].header.Get("X-Slack-Request-Timestamp") == stamps[3].header.Get("X-Slack-Request-Timestamp") {
			t.Error("the retry carries the first try's time")
		}
		if _, health := f.s.Workspace().Subscription(); health.Succeeded != 1 || health.Failed != 3 || health.Sent != 1 {
			t.Errorf("health %+v", health)
		}
	}, onlyCreated)
}

func TestSlackNoRetryIsHonoured(t *testing.T) {
	withHub(t, func(t *testing.T, f *fixture, h *hub) {
		h.answer = func(int, delivery) (int, map[string]string, string, time.Duration) {
			return 500, map[string]string{"X-Slack-No-Retry": "1"}, "", 0
		}
		f.oneEvent("a")
		time.Sleep(time.Hour)
		if len(h.all()) != 1 {
			t.Errorf("%d tries", len(h.all()))
		}
	}, onlyCreated)
}

func TestSlackEventFaults(t *testing.T) {
	withHub(t, func(t *testing.T, f *fixture, h *hub) {
		h.answer = func(_ int, d delivery) (int, map[string]string, string, time.Duration) {
			if !d.valid {
				return 401, nil, "", 0
			}
			return 200, nil, "", 0
		}
		names := func() (list []string) {
			time.Sleep(time.Minute)
			for _, d := range h.all() {
				list = append(list, d.doc["event"].(doc)["channel"].(doc)["name"].(string))
			}
			h.forget()
			return list
		}
		f.plant(sandbox.Fault{Target: "slack", Kind: "duplicate", Op: "channel_created", Count: 1})
		f.oneEvent("a")
		if all := func() []delivery { time.Sleep(time.Second); return h.all() }(); len(all) != 2 || all[0].eventID != all[1].eventID || !bytes.Equal(all[0].raw, all[1].raw) {
			t.Errorf("duplicate: %d", len(all))
		}
		names()
		f.plant(sandbox.Fault{Target: "slack", Kind: "reorder", Count: 1})
		f.oneEvent("b")
		f.oneEvent("c")
		if got := names(); !slices.Equal(got, []string{"c", "b"}) {
			t.Errorf("reorder: %v", got)
		}
		f.plant(sandbox.Fault{Target: "slack", Kind: "drop", Count: 1})
		f.oneEvent("d")
		f.oneEvent("e")
		if got := names(); !slices.Equal(got, []string{"e"}) {
			t.Errorf("drop: %v", got)
		}
		f.plant(sandbox.Fault{Target: "slack", Kind: "bad_signature", Count: 1})
		f.oneEvent("f")
		time.Sleep(time.Minute)
		if all := h.all(); len(all) != 2 || all[0].valid || !all[1].valid {
			t.Errorf("bad_signature: %d tries", len(all))
		}
		f.plant(sandbox.Fault{Target: "slack", Kind: "drop", Op: "message"}) // another event's
		h.forget()
		f.oneEvent("g")
		if got := names(); !slices.Equal(got, []string{"g"}) {
			t.Errorf("a rule of another event: %v", got)
		}
	}, onlyCreated)
}

func TestSlackSubscription(t *testing.T) {
	withHub(t, func(t *testing.T, f *fixture, h *hub) {
		set := func(sent string) (int, string) {
			r := f.browse("POST", "/_control/subscription?app=slack", sent, jsonBody)
			return r.StatusCode, body(t, r)
		}
		status, text := set(`{"events_url":"https://hub.example.go.jp/e","interactivity_url":"https://hub.example.go.jp/i","events":["team_join"]}`)
		if status != 200 || !strings.Contains(text, "hub.example.go.jp/e") {
			t.Fatalf("%d %s", status, text)
		}
		all := h.all()
		if len(all) != 1 || all[0].doc["type"] != "url_verification" || !all[0].valid || all[0].doc["challenge"] == "" {
			t.Errorf("challenge: %+v", all)
		}
		h.forget()
		f.slackUser(1)
		f.oneEvent("x")
		time.Sleep(time.Second)
		if got := h.events(); !slices.Equal(got, []string{"team_join"}) {
			t.Errorf("events %v", got)
		}
		// The challenge may also be echoed as JSON or as a form.
		for _, echo := range []string{`{"challenge":"%s"}`, "challenge=%s"} {
			h.answer = func(_ int, d delivery) (int, map[string]string, string, time.Duration) {
				return 200, nil, fmt.Sprintf(echo, d.doc["challenge"]), 0
			}
			if status, text := set(`{"events_url":"https://hub.example.go.jp/e"}`); status != 200 {
				t.Errorf("%s: %d %s", echo, status, text)
			}
		}
		for name, answer := range map[string]func(int, delivery) (int, map[string]string, string, time.Duration){
			"wrong word": func(int, delivery) (int, map[string]string, string, time.Duration) { return 200, nil, "ok", 0 },
			"an error": func(_ int, d delivery) (int, map[string]string, string, time.Duration) {
				return 500, nil, d.doc["challenge"].(string), 0
			},
			"too late": func(_ int, d delivery) (int, map[string]string, string, time.Duration) {
				return 200, nil, d.doc["challenge"].(string), 4 * time.Second
			},
		} {
			h.answer = answer
			if status, text := set(`{"events_url":"https://hub.example.go.jp/other"}`); status != 502 {
				t.Errorf("%s: %d %s", name, status, text)
			}
		}
		if sub, _ := f.s.Workspace().Subscription(); sub.EventsURL != "https://hub.example.go.jp/e" {
			t.Errorf("a refused URL was taken: %+v", sub)
		}
		for _, bad := range []string{`{"events_url":"ftp://x"}`, `{"colour":1}`, `[]`, `{} {}`, `{"events":["nothing"]}`, ``} {
			if status, text := set(bad); status != 400 {
				t.Errorf("%s: %d %s", bad, status, text)
			}
		}
		if r := f.browse("GET", "/_control/subscription?app=jira", "", nil); r.StatusCode != 400 {
			t.Errorf("another product: %d", r.StatusCode)
		}
		if text := body(t, f.browse("GET", "/_control/deliveries?app=slack", "", nil)); !strings.Contains(text, `"event":"team_join"`) {
			t.Errorf("deliveries: %s", text)
		}
		if r := f.browse("DELETE", "/_control/subscription?app=slack", "", nil); r.StatusCode != 204 {
			t.Errorf("delete: %d", r.StatusCode)
		}
		h.forget()
		f.slackUser(2)
		time.Sleep(time.Minute)
		if len(h.all()) != 0 {
			t.Error("nobody is subscribed any more")
		}
		if err := f.s.Reset(); err != nil {
			t.Fatal(err)
		}
		if sub, _ := f.s.Workspace().Subscription(); sub.EventsURL != "https://hub.example.go.jp/slack/events" {
			t.Errorf("a reset gives the options' subscription back: %+v", sub)
		}
	})
	f := newFixture(t)
	if err := f.s.Workspace().Subscribe(t.Context(), slack.Subscription{EventsURL: "http://hub.example/"}); !errors.Is(err, slack.ErrNoSender) {
		t.Errorf("without a way out: %v", err)
	}
}

func TestSlackSubscriptionSurvives(t *testing.T) {
	dir := t.TempDir()
	inDir := func(o *sandbox.Options) { o.Dir = dir }
	want := slack.Subscription{EventsURL: "https://hub.example.go.jp/kept", Events: []string{"message"}}
	withHub(t, func(t *testing.T, f *fixture, _ *hub) {
		if err := f.s.Workspace().Subscribe(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}, inDir)
	withHub(t, func(t *testing.T, f *fixture, h *hub) {
		if got, _ := f.s.Workspace().Subscription(); got.EventsURL != want.EventsURL || !slices.Equal(got.Events, want.Events) {
			t.Errorf("after a restart %+v", got)
		}
		time.Sleep(time.Second)
		if len(h.all()) != 0 {
			t.Error("a restart sent something")
		}
	}, inDir)
}

var buttons = []doc{
	{"type": "section", "text": doc{"type": "mrkdwn", "text": "要請を確認してください"}},
	{"type": "actions", "elements": []doc{
		{"type": "button", "action_id": "ack", "text": doc{"type": "plain_text", "text": "確認した"}, "value": "incident-1"},
		{"type": "button", "text": doc{"type": "plain_text", "text": "手伝いが要る"}},
	}},
}

func TestSlackButtonsAndViews(t *testing.T) {
	withHub(t, func(t *testing.T, f *fixture, h *hub) {
		user := f.slackUser(1)
		id := f.channel("incident", user)
		posted := f.web("chat.postMessage", doc{"channel": id, "text": "確認", "blocks": buttons})
		ts := posted.str("ts")
		if posted.str("message", "blocks", 1, "block_id") == "" {
			t.Errorf("no block_id was given: %s", posted.body)
		}
		h.forget()
		press := func(action string) error { return f.s.Workspace().Press(t.Context(), id, user, ts, action, "") }
		if err := press("ack"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var d delivery
		for _, x := range h.all() {
			if x.path == "/slack/interactive" {
				d = x
			}
		}
		action := d.doc["actions"].([]any)[0].(doc)
		if !d.valid || d.doc["type"] != "block_actions" || action["action_id"] != "ack" || action["value"] != "incident-1" || d.doc["user"].(doc)["id"] != user ||
			d.doc["channel"].(doc)["id"] != id || d.doc["container"].(doc)["message_ts"] != ts || action["block_id"] != posted.str("message", "blocks", 1, "block_id") {
			t.Errorf("payload %v", d.doc)
		}
		// A trigger opens one view, within 3 s.
		trigger := d.doc["trigger_id"].(string)
		modal := doc{"type": "modal", "title": doc{"type": "plain_text", "text": "記録"}, "blocks": []doc{}, "external_id": "x"}
		f.webError("invalid_trigger_id", "views.open", doc{"trigger_id": "none", "view": modal})
		f.webError("invalid_arguments", "views.open", doc{"trigger_id": trigger, "view": doc{}})
		v := f.web("views.open", doc{"trigger_id": trigger, "view": modal})
		f.webError("exchanged_trigger_id", "views.open", doc{"trigger_id": trigger, "view": modal})
		u := f.web("views.update", doc{"view_id": v.str("view", "id"), "hash": v.str("view", "hash"), "view": modal})
		f.webError("hash_conflict", "views.update", doc{"view_id": v.str("view", "id"), "hash": v.str("view", "hash"), "view": modal})
		f.web("views.update", doc{"external_id": "x", "hash": u.str("view", "hash"), "view": modal})
		f.webError("not_found", "views.update", doc{"view_id": "V0NONE", "view": modal})
		h.forget()
		if err := press("a1_1"); err != nil { // the vendor names an action that has no name
			t.Fatal(err)
		}
		late := h.all()[0].doc["trigger_id"].(string)
		time.Sleep(4 * time.Second)
		f.webError("expired_trigger_id", "views.open", doc{"trigger_id": late, "view": modal})
		// No second try where the application doesn't acknowledge.
		h.forget()
		h.answer = func(int, delivery) (int, map[string]string, string, time.Duration) {
			return 200, nil, "", 5 * time.Second
		}
		if err := press("ack"); !errors.Is(err, slack.ErrNotTold) {
			t.Errorf("a slow application: %v", err)
		}
		time.Sleep(time.Hour)
		if len(h.all()) != 1 {
			t.Errorf("%d tries of a payload", len(h.all()))
		}
		for _, err := range []error{press("none"), f.s.Workspace().Press(t.Context(), "C0NONE", user, ts, "ack", ""), f.s.Workspace().Press(t.Context(), id, "U0NOBODY", ts, "ack", "")} {
			if err == nil {
				t.Error("a button that isn't there was pressed")
			}
		}
	})
}

func TestSlackPeopleActByControl(t *testing.T) {
	f := newFixture(t)
	user, other := f.slackUser(1), f.slackUser(2)
	id := f.channel("c")
	act := func(want int, sent string) string {
		t.Helper()
		r := f.browse("POST", "/_control/act?app=slack", sent, jsonBody)
		text := body(t, r)
		if r.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", sent, r.StatusCode, text, want)
		}
		return text
	}
	on := func(a, u string) string {
		return fmt.Sprintf(`{"act":%q,"user":%q,"channel":%q,"text":"やあ"}`, a, u, id)
	}
	act(400, on("say", user)) // not in it
	act(200, on("join", user))
	var said struct{ TS string }
	if err := json.Unmarshal([]byte(act(200, on("say", user))), &said); err != nil || said.TS == "" {
		t.Fatal(err)
	}
	act(200, fmt.Sprintf(`{"act":"react","user":%q,"channel":%q,"ts":%q,"name":"eyes"}`, user, id, said.TS))
	act(400, fmt.Sprintf(`{"act":"react","user":%q,"channel":%q,"ts":%q,"name":"eyes"}`, user, id, said.TS))
	act(200, fmt.Sprintf(`{"act":"say","user":%q,"text":"個別に"}`, other))
	act(400, fmt.Sprintf(`{"act":"press","user":%q,"channel":%q,"ts":%q,"action_id":"x"}`, user, id, said.TS))
	act(200, on("leave", user))
	act(400, on("dance", user))
	act(400, `{"act":"say","colour":1}`)
	act(400, on("restrict", user)) // no guest
	st, err := f.s.State("slack")
	if err != nil {
		t.Fatal(err)
	}
	var c, dm int
	for _, ch := range st.Channels {
		switch {
		case ch.ID == id:
			c = len(ch.Messages)
			last := ch.Messages[len(ch.Messages)-1]
			if last.Text != "やあ" || last.User != user || !slices.Equal(last.Reacted, []string{"eyes:" + user}) || slices.Contains(ch.Members, user) {
				t.Errorf("ground truth: %+v", ch)
			}
		case ch.Direct:
			dm = len(ch.Messages)
		}
	}
	if c != 2 || dm != 1 { // joined, said; said
		t.Errorf("%d messages in the channel, %d in the direct one", c, dm)
	}
}

func TestSlackPages(t *testing.T) {
	f := newFixture(t)
	evil := `<script>alert(1)</script>`
	user := f.sscim(201, "POST", "/Users", with(slackUserDoc(1), doc{"displayName": evil})).str("id")
	f.slackGuest(2, "2027-03-31T00:00:00Z")
	gid := f.sscim(201, "POST", "/Groups", groupDoc("広報", user)).str("id")
	id := f.channel("incident", user)
	ts := f.web("chat.postMessage", doc{"channel": id, "text": "<@" + user + "> " + evil, "blocks": buttons}).str("ts")
	f.web("chat.postMessage", doc{"channel": id, "text": evil + " &lt;返信&gt;", "thread_ts": ts})
	for path, want := range map[string]string{
		"/": "Slack", "/slack/": "user001@example.go.jp", "/slack/?q=user002": "マルチチャンネルゲスト", "/slack/guests": "全 1 件中", "/slack/groups": "広報",
		"/slack/groups/" + gid: "user001@example.go.jp", "/slack/channels": "#incident", "/slack/channels/" + id: "確認した",
	} {
		r := f.browse("GET", path, "", nil)
		page := body(t, r)
		if r.StatusCode != 200 || !strings.Contains(page, want) {
			t.Errorf("%s: %d, without %q", path, r.StatusCode, want)
		}
		if strings.Contains(page, evil) || strings.Contains(page, "<script") || strings.Contains(page, " style=") || strings.Contains(page, "http://") || strings.Contains(page, "https://") {
			t.Errorf("%s holds a script, an inline style or an outside address", path)
		}
		if !strings.Contains(page, `<html lang="ja">`) || strings.Count(page, "<h1") != 1 || strings.Count(page, "<main") != 1 {
			t.Errorf("%s: not one heading and main in Japanese", path)
		}
	}
	for path, status := range map[string]int{
		"/slack": 301, "/slack/none": 404, "/slack/channels/C0": 404, "/slack/groups/S0": 404, "/slack/archives/" + id + "/p" + strings.ReplaceAll(ts, ".", ""): 303,
	} {
		if r := f.browse("GET", path, "", nil); r.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, status)
		}
	}
	asForm := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://127.0.0.1:8081"}
	send := func(path string, values url.Values, header map[string]string) (int, string) {
		r := f.browse("POST", path, values.Encode(), header)
		return r.StatusCode, r.Header.Get("Location")
	}
	if status, to := send("/slack/channels/"+id+"/say", url.Values{"as": {user}, "text": {"ページから"}, "thread_ts": {ts}}, asForm); status != 303 || !strings.Contains(to, "result=said") {
		t.Errorf("say: %d %s", status, to)
	}
	if r := f.web("conversations.replies", doc{"channel": id, "ts": ts}); r.str("messages", 2, "text") != "ページから" || r.str("messages", 2, "user") != user {
		t.Errorf("%s", r.body)
	}
	if status, to := send("/slack/channels/"+id+"/press?block_id=b1", url.Values{"as": {user}, "ts": {ts}, "action_id": {"ack"}}, asForm); status != 303 || !strings.Contains(to, "result=nobody") {
		t.Errorf("press: %d %s", status, to)
	}
	if _, to := send("/slack/channels/"+id+"/say", url.Values{"as": {"U0"}, "text": {"x"}}, asForm); !strings.Contains(to, "result=refused") {
		t.Errorf("nobody says: %s", to)
	}
	for path, header := range map[string]map[string]string{
		"/slack/channels/" + id + "/say": {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://evil.example"},
	} {
		if status, _ := send(path, url.Values{"as": {user}, "text": {"x"}}, header); status != 403 {
			t.Errorf("another site's form: %d", status)
		}
	}
	if status, _ := send("/slack/channels/"+id+"/dance", nil, asForm); status != 404 {
		t.Errorf("unknown form: %d", status)
	}
}
