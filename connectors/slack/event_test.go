package slack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	slackgo "github.com/slack-go/slack"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

const signingSecret = "8f742231b10e8888abcd99yyyzzz85a5" // of Slack's published example

var instant = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

// reader is a workspace that can do nothing but read events.
func reader(t testing.TB, secret string) *Workspace {
	t.Helper()
	out, err := outbound.New(outbound.Config{
		Vendor: Name, BaseURL: "https://slack.invalid/api", Transport: http.NewFileTransport(http.Dir(os.DevNull)), Quota: connectortest.Unlimited{},
		Authorize: outbound.Bearer(outbound.NewSecret("xoxb-test")), Secrets: []outbound.Secret{outbound.NewSecret(secret)}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Workspace{out: out, signing: outbound.NewSecret(secret)}
}

func signed(at time.Time, mediaType, body string) connectors.Delivery {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(signingSecret))
	mac.Write([]byte("v0:" + stamp + ":" + body))
	return connectors.Delivery{Body: []byte(body), Header: http.Header{
		"Content-Type": {mediaType}, "X-Slack-Request-Timestamp": {stamp}, "X-Slack-Signature": {"v0=" + hex.EncodeToString(mac.Sum(nil))},
	}}
}

func callback(event string) string {
	return `{"token":"old","team_id":"T1","api_app_id":"A1","type":"event_callback","event_id":"Ev1","event_time":1795316400,"event":` + event + `}`
}

// The example that Slack publishes: https://docs.slack.dev/authentication/verifying-requests-from-slack
func TestVendorsSignature(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "specs", "webhook_signature_vectors.json"))
	if err != nil {
		t.Skipf("the vendor's example isn't here: %v", err)
	}
	var vectors struct {
		Slack struct {
			Secret    string `json:"secret"`
			Timestamp string `json:"timestamp"`
			Body      string `json:"body"`
			Signature string `json:"x_slack_signature"`
		} `json:"slack"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	v := vectors.Slack
	seconds, _ := strconv.ParseInt(v.Timestamp, 10, 64)
	d := connectors.Delivery{Body: []byte(v.Body), Header: http.Header{"X-Slack-Request-Timestamp": {v.Timestamp}, "X-Slack-Signature": {v.Signature}}}
	w := reader(t, v.Secret)
	if problem := w.verify(time.Unix(seconds, 0).Add(299*time.Second), d); problem != "" {
		t.Error(problem)
	}
	d.Body = append(d.Body, ' ')
	if problem := w.verify(time.Unix(seconds, 0), d); problem == "" {
		t.Error("a changed body passes")
	}
}

// Ours and slack-go's verifier agree; slack-go's reads the machine's clock.
func TestVerifiersAgree(t *testing.T) {
	w := reader(t, signingSecret)
	for name, change := range map[string]func(d *connectors.Delivery){
		"good":      func(*connectors.Delivery) {},
		"body":      func(d *connectors.Delivery) { d.Body = append(d.Body, 'x') },
		"signature": func(d *connectors.Delivery) { d.Header["X-Slack-Signature"][0] = "v0=" + strings.Repeat("0", 64) },
		"short":     func(d *connectors.Delivery) { d.Header["X-Slack-Signature"][0] = d.Header["X-Slack-Signature"][0][:20] },
		"version": func(d *connectors.Delivery) {
			d.Header["X-Slack-Signature"][0] = "v1" + d.Header["X-Slack-Signature"][0][2:]
		},
		"no signature":  func(d *connectors.Delivery) { d.Header.Del("X-Slack-Signature") },
		"no time stamp": func(d *connectors.Delivery) { d.Header.Del("X-Slack-Request-Timestamp") },
		"old":           func(d *connectors.Delivery) { *d = signed(time.Now().Add(-6*time.Minute), "application/json", "{}") },
		"early":         func(d *connectors.Delivery) { *d = signed(time.Now().Add(6*time.Minute), "application/json", "{}") },
		"moved":         func(d *connectors.Delivery) { d.Header["X-Slack-Request-Timestamp"][0] += "0" },
	} {
		d := signed(time.Now(), "application/json", `{"a":1}`)
		change(&d)
		ours := w.verify(time.Now(), d) == ""
		theirs := false
		if v, err := slackgo.NewSecretsVerifier(d.Header, signingSecret); err == nil {
			_, _ = v.Write(d.Body)
			theirs = v.Ensure() == nil
		}
		if ours != theirs || ours != (name == "good") {
			t.Errorf("%s: ours %v, slack-go's %v", name, ours, theirs)
		}
	}
}

func TestDeliveriesThatAreRefused(t *testing.T) {
	w := reader(t, signingSecret)
	const j, form = "application/json", "application/x-www-form-urlencoded"
	for name, tt := range map[string]struct {
		d      connectors.Delivery
		kind   connectors.Kind
		status int
	}{
		"unsigned":             {connectors.Delivery{Body: []byte(`{}`), Header: http.Header{"Content-Type": {j}}}, connectors.KindAuth, 401},
		"301 s old":            {signed(instant.Add(-301*time.Second), j, callback(`{"type":"x"}`)), connectors.KindAuth, 401},
		"301 s early":          {signed(instant.Add(301*time.Second), j, callback(`{"type":"x"}`)), connectors.KindAuth, 401},
		"two signatures":       {two(signed(instant, j, callback(`{"type":"x"}`))), connectors.KindAuth, 401},
		"huge":                 {signed(instant, j, strings.Repeat(" ", 1<<20)+"{}"), connectors.KindTooLarge, 413},
		"no content type":      {signed(instant, "", `{}`), connectors.KindInvalid, 415},
		"text":                 {signed(instant, "text/plain", `{}`), connectors.KindInvalid, 415},
		"not JSON":             {signed(instant, j, `{`), connectors.KindInvalid, 400},
		"not UTF-8":            {signed(instant, j, callback(`{"type":"`+"\xff"+`"}`)), connectors.KindInvalid, 400},
		"another type":         {signed(instant, j, `{"type":"surprise"}`), connectors.KindInvalid, 400},
		"no event id":          {signed(instant, j, `{"type":"event_callback","event":{"type":"x"}}`), connectors.KindInvalid, 400},
		"no event":             {signed(instant, j, `{"type":"event_callback","event_id":"E"}`), connectors.KindInvalid, 400},
		"event without a type": {signed(instant, j, callback(`{}`)), connectors.KindInvalid, 400},
		"message without a ts": {signed(instant, j, callback(`{"type":"message","channel":"C1","text":"x"}`)), connectors.KindInvalid, 400},
		"empty challenge":      {signed(instant, j, `{"type":"url_verification"}`), connectors.KindInvalid, 400},
		"challenge with HTML":  {signed(instant, j, `{"type":"url_verification","challenge":"a b"}`), connectors.KindInvalid, 400},
		"no payload":           {signed(instant, form, `x=1`), connectors.KindInvalid, 400},
		"two payloads":         {signed(instant, form, `payload={}&payload={}`), connectors.KindInvalid, 400},
		"payload, no JSON":     {signed(instant, form, `payload=x`), connectors.KindInvalid, 400},
		"press by nobody":      {signed(instant, form, `payload=`+url.QueryEscape(`{"type":"block_actions","actions":[{"action_id":"a"}]}`)), connectors.KindInvalid, 400},
	} {
		got, err := w.ReadEvent(instant, tt.d)
		if connectors.KindOf(err) != tt.kind || got.Reply.Status != tt.status || got.Key != "" || len(got.Events) != 0 {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
		if got.Reply.Header.Get("X-Slack-No-Retry") != "1" {
			t.Errorf("%s: Slack is asked to come back with what can never pass", name)
		}
		if err != nil && strings.Contains(err.Error(), signingSecret) {
			t.Errorf("%s: the secret is in %v", name, err)
		}
	}
}

func two(d connectors.Delivery) connectors.Delivery {
	d.Header["X-Slack-Signature"] = append(d.Header["X-Slack-Signature"], d.Header["X-Slack-Signature"][0])
	return d
}

func TestChallenge(t *testing.T) {
	got, err := reader(t, signingSecret).ReadEvent(instant, signed(instant, "application/json", `{"token":"x","challenge":"3eZbrw1aB","type":"url_verification"}`))
	if err != nil || string(got.Reply.Body) != "3eZbrw1aB" || got.Reply.Status != 200 || len(got.Events) != 0 || got.Key != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Reply.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the challenge goes back as %q", got.Reply.Header.Get("Content-Type"))
	}
}

func TestRetriesKeepTheirKey(t *testing.T) {
	w := reader(t, signingSecret)
	body := callback(`{"type":"reaction_added","user":"U1","reaction":"eyes","item":{"type":"message","channel":"C1","ts":"1795316400.000100"},"event_ts":"1795316401.000200"}`)
	for _, tt := range []struct {
		num, reason string
		attempt     int
		want        string
	}{
		{"", "", 1, ""},
		{"1", "http_timeout", 2, "http_timeout"},
		{"3", "http_error", 4, "http_error"},
		{"-1", "x", 1, ""},
		{"2", "<script>", 3, "unknown_error"},
	} {
		d := signed(instant, "application/json; charset=utf-8", body)
		if tt.num != "" {
			d.Header.Set("X-Slack-Retry-Num", tt.num)
			d.Header.Set("X-Slack-Retry-Reason", tt.reason)
		}
		got, err := w.ReadEvent(instant, d)
		if err != nil || got.Key != "Ev1" || got.Attempt != tt.attempt || got.Reason != tt.want || got.Tenant != "T1" || got.Reply.Status != 200 {
			t.Errorf("%+v: %+v, %v", tt, got, err)
		}
	}
}

func TestEventsAreTyped(t *testing.T) {
	const ts = "1795316400.000100"
	at := time.Unix(1795316400, 100_000).UTC()
	for event, want := range map[string]connectors.Event{
		`{"type":"message","channel":"C1","channel_type":"channel","user":"U1","text":"了解 &lt;3 <https://a.example|様式>","ts":"` + ts + `","event_ts":"` + ts + `"}`: connectors.MessagePosted{
			At: at, Channel: "C1", ID: ts, Thread: ts, Account: "U1", Text: "了解 <3 様式 (https://a.example)", Original: "了解 &lt;3 <https://a.example|様式>",
		},
		`{"type":"message","subtype":"bot_message","channel":"C1","bot_id":"B1","text":"x","ts":"` + ts + `","thread_ts":"1795316300.000000","event_ts":"` + ts + `"}`: connectors.MessagePosted{
			At: at, Channel: "C1", ID: ts, Thread: "1795316300.000000", App: true, Text: "x", Original: "x",
		},
		`{"type":"message","channel":"D1","channel_type":"im","user":"U1","text":"x","ts":"` + ts + `","event_ts":"` + ts + `"}`: connectors.MessagePosted{
			At: at, Channel: "D1", ID: ts, Thread: ts, Account: "U1", Direct: true, Text: "x", Original: "x",
		},
		`{"type":"app_mention","channel":"C1","user":"U1","text":"<@U9> x","ts":"` + ts + `","event_ts":"` + ts + `"}`: connectors.MessagePosted{
			At: at, Channel: "C1", ID: ts, Thread: ts, Account: "U1", Mention: true, Text: "@U9 x", Original: "<@U9> x",
		},
		`{"type":"message","subtype":"message_changed","channel":"C1","message":{"user":"U1","text":"neu","ts":"` + ts + `","thread_ts":"` + ts + `"},"event_ts":"` + ts + `"}`: connectors.MessageChanged{
			At: at, Channel: "C1", ID: ts, Thread: ts, Account: "U1", Text: "neu", Original: "neu",
		},
		`{"type":"message","subtype":"message_deleted","channel":"C1","deleted_ts":"` + ts + `","event_ts":"` + ts + `"}`: connectors.MessageDeleted{At: at, Channel: "C1", ID: ts},
		`{"type":"message","subtype":"channel_topic","channel":"C1","user":"U1","text":"x","ts":"` + ts + `"}`:            connectors.OtherEvent{At: instant, Type: "message.channel_topic"},
		`{"type":"reaction_removed","user":"U1","reaction":"eyes","item":{"channel":"C1","ts":"` + ts + `"},"event_ts":"` + ts + `"}`: connectors.Reaction{
			At: at, Channel: "C1", ID: ts, Account: "U1", Name: "eyes", Removed: true,
		},
		`{"type":"reaction_added","user":"U1","reaction":"eyes","item":{"type":"file","file":"F1"},"event_ts":"` + ts + `"}`: connectors.OtherEvent{At: at, Type: "reaction_added"},
		`{"type":"member_joined_channel","user":"U1","channel":"C1","channel_type":"C","team":"T1","event_ts":"` + ts + `"}`: connectors.Membership{At: at, Channel: "C1", Account: "U1"},
		`{"type":"member_left_channel","user":"U1","channel":"C1","event_ts":"` + ts + `"}`:                                  connectors.Membership{At: at, Channel: "C1", Account: "U1", Left: true},
		`{"type":"team_join","user":{"id":"U1","deleted":false},"event_ts":"` + ts + `"}`:                                    connectors.AccountChanged{At: at, Account: "U1", Joined: true, Active: true},
		`{"type":"user_change","user":{"id":"U1","deleted":true},"event_ts":"` + ts + `"}`:                                   connectors.AccountChanged{At: at, Account: "U1"},
		`{"type":"channel_created","channel":{"id":"C1","name":"n","created":1},"event_ts":"` + ts + `"}`:                    connectors.ChannelChanged{At: at, Channel: "C1", Name: "n", Change: "created"},
		`{"type":"channel_archive","channel":"C1","user":"U1","event_ts":"` + ts + `"}`:                                      connectors.ChannelChanged{At: at, Channel: "C1", Change: "archived"},
		`{"type":"tokens_revoked","tokens":{"bot":["U9"]},"event_ts":"` + ts + `"}`:                                          connectors.AccessEnded{At: at, Reason: "tokens_revoked"},
		`{"type":"pin_added","user":"U1"}`: connectors.OtherEvent{At: instant, Type: "pin_added"},
	} {
		body := strings.Replace(callback(event), "1795316400,", strconv.FormatInt(instant.Unix(), 10)+",", 1)
		got, err := reader(t, signingSecret).ReadEvent(instant, signed(instant, "application/json", body))
		if err != nil || len(got.Events) != 1 {
			t.Errorf("%s: %v", event, err)
			continue
		}
		if diff := cmp.Diff(want, got.Events[0]); diff != "" {
			t.Errorf("%s:\n%s", event, diff)
		}
	}
	limited, err := reader(t, signingSecret).ReadEvent(instant, signed(instant, "application/json", `{"type":"app_rate_limited","team_id":"T1","minute_rate_limited":1795316400}`))
	want := []connectors.Event{connectors.DeliveriesLost{At: time.Unix(1795316400, 0).UTC(), Reason: "app_rate_limited"}}
	if err != nil || !cmp.Equal(limited.Events, want) || limited.Key == "" {
		t.Errorf("%+v, %v", limited, err)
	}
}

func TestPress(t *testing.T) {
	payload := `{"type":"block_actions","team":{"id":"T1"},"user":{"id":"U1","username":"x"},"trigger_id":"13345224609.738474920.8088930838d88f008e0",
		"response_url":"https://hooks.slack.invalid/actions/secret","container":{"type":"message","message_ts":"1795316400.000100","channel_id":"C1"},
		"actions":[{"type":"button","action_id":"ack","block_id":"b","value":"incident-7","action_ts":"1795316402.000300"}]}`
	w := reader(t, signingSecret)
	d := signed(instant, "application/x-www-form-urlencoded", "payload="+url.QueryEscape(payload))
	got, err := w.ReadEvent(instant, d)
	want := connectors.Received{
		Key: "press 13345224609.738474920.8088930838d88f008e0", Tenant: "T1", Attempt: 1, Reply: connectors.Reply{Status: 200},
		Events: []connectors.Event{connectors.Interaction{
			At: time.Unix(1795316402, 300_000).UTC(), Channel: "C1", Message: "1795316400.000100", Thread: "1795316400.000100",
			Account: "U1", Action: "ack", Value: "incident-7",
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	again, _ := w.ReadEvent(instant.Add(time.Second), d)
	if again.Key != got.Key {
		t.Errorf("a repetition has another key: %q", again.Key)
	}
	other, err := w.ReadEvent(instant, signed(instant, "application/x-www-form-urlencoded", "payload="+url.QueryEscape(`{"type":"view_submission","team":{"id":"T1"}}`)))
	if err != nil || !cmp.Equal(other.Events, []connectors.Event{connectors.OtherEvent{Type: "view_submission"}}) || other.Key == "" {
		t.Errorf("%+v, %v", other, err)
	}
}

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "",
		"a &amp;lt; b":                     "a &lt; b",
		"<https://x.example>":              "https://x.example",
		"<https://x.example|様式>を見て":        "様式 (https://x.example)を見て",
		"<mailto:a@b.example|a@b.example>": "a@b.example",
		"<@U1> <@U1|taro> <#C1|general>":   "@U1 @taro #general",
		"<!here> <!subteam^S1|@kiki> <!date^1^x|昨日>": "@here @kiki @昨日",
		"1 < 2 <b <c>":        "1 < 2 <b c",
		"<> <|x>":             "<> <|x>",
		"*bold* _i_ `c`":      "*bold* _i_ `c`",
		"unclosed <https://x": "unclosed <https://x",
	} {
		if got := plainText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(callback(`{"type":"message","channel":"C1","user":"U1","text":"<@U1> x","ts":"1795316400.000100"}`))
	f.Add(callback(`{"type":"message","subtype":"message_changed","channel":{"id":"C1"},"message":{"ts":"1795316400.000100","user":{"id":"U1"}}}`))
	f.Add(callback(`{"type":"team_join","user":{"id":"U1"}}`))
	f.Add(`{"type":"url_verification","challenge":"x"}`)
	f.Add(`{"type":"app_rate_limited","minute_rate_limited":1}`)
	f.Fuzz(func(t *testing.T, body string) {
		r, problem := parseEvent([]byte(body))
		checkReceived(t, r, problem)
	})
}

func FuzzInteraction(f *testing.F) {
	f.Add("payload=" + url.QueryEscape(`{"type":"block_actions","user":{"id":"U1"},"actions":[{"action_id":"a","value":"v","action_ts":"1.000000"}]}`))
	f.Add("payload=%7B%22type%22%3A%22shortcut%22%7D")
	f.Add("payload=%zz")
	f.Fuzz(func(t *testing.T, body string) {
		r, problem := parseInteraction([]byte(body))
		checkReceived(t, r, problem)
	})
}

// checkReceived: either a problem and nothing else, or an answer, and a key wherever there is an event to store.
func checkReceived(t *testing.T, r connectors.Received, problem string) {
	t.Helper()
	if problem != "" {
		if r.Key != "" || len(r.Events) != 0 || r.Reply.Status != 0 {
			t.Errorf("refused (%s), yet %+v", problem, r)
		}
		return
	}
	if r.Reply.Status != 200 || (len(r.Events) > 0) != (r.Key != "") || len(r.Events) > maxActions || strings.ContainsAny(string(r.Reply.Body), "<> \r\n") && len(r.Reply.Body) > 0 && r.Reply.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%+v", r)
	}
	for _, e := range r.Events {
		if m, ok := e.(connectors.MessagePosted); ok && (m.ID == "" || m.Channel == "" || m.Thread == "") {
			t.Errorf("a message that can't be answered: %+v", m)
		}
	}
}
