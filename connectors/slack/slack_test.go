package slack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/slack"
)

// open gives a connector over a sandbox whose options are changed.
func open(t *testing.T, change func(*sandbox.Options)) (connectors.Opened, *sandbox.Sandbox) {
	t.Helper()
	opt := options(time.Now)
	if change != nil {
		change(&opt)
	}
	box, err := sandbox.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	return resolve(t, config(box.Transport())), box
}

func resolve(t *testing.T, cfg slack.Config) connectors.Opened {
	t.Helper()
	c, err := slack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := connectors.NewCatalog(c)
	if err != nil {
		t.Fatal(err)
	}
	o, err := catalog.Open(slack.Name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func create(t *testing.T, o connectors.Opened, n int) connectors.Account {
	t.Helper()
	a, err := o.AccountWriter.CreateAccount(t.Context(), account(n))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// scripted answers each Web API method and SCIM path with a fixed text, and keeps the forms that were sent.
type scripted struct {
	answers map[string]string // by the path's end
	status  int
	header  http.Header

	mu   sync.Mutex
	sent []string
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		body = string(b)
	}
	s.mu.Lock()
	s.sent = append(s.sent, r.Method+" "+r.URL.Path+" "+body)
	s.mu.Unlock()
	_, method, _ := strings.Cut(r.URL.Path, "/api/")
	text, ok := s.answers[method]
	if !ok {
		text = `{"ok":false,"error":"unknown_method"}`
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for k, v := range s.header {
		header[k] = v
	}
	return &http.Response{StatusCode: max(s.status, 200), Header: header, Body: io.NopCloser(strings.NewReader(text)), ContentLength: -1, Request: r}, nil
}

func TestUserNames(t *testing.T) {
	o, _ := open(t, nil)
	made := create(t, o, 1)
	if made.Key != "Person-001" || len(made.UserName) != 21 || strings.Trim(made.UserName, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		t.Errorf("made %+v", made)
	}
	again, _ := open(t, nil)
	if other := create(t, again, 1); other.UserName != made.UserName {
		t.Errorf("one key has two user names: %q and %q", made.UserName, other.UserName)
	}
}

func TestUserNamesDiffer(t *testing.T) {
	s := &scripted{}
	o := resolve(t, config(s))
	names := map[string]string{}
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.String().Draw(r, "key")
		if key == "" {
			return
		}
		s.mu.Lock()
		s.sent = nil
		s.mu.Unlock()
		_, _ = o.AccountWriter.CreateAccount(t.Context(), connectors.Account{Key: key, Email: "a@b.example"})
		if len(s.sent) == 0 {
			return // a key that no server would take
		}
		_, rest, _ := strings.Cut(s.sent[0], `"userName":"`)
		name, _, _ := strings.Cut(rest, `"`)
		if old, seen := names[name]; len(name) != 21 || seen && old != key {
			r.Fatalf("%q and %q are both called %q", key, old, name)
		}
		names[name] = key
	})
}

func TestAttributesRoundTrip(t *testing.T) {
	o, _ := open(t, nil)
	made := create(t, o, 1)
	want := account(1)
	want.ID, want.UserName = made.ID, made.UserName
	got, err := o.Accounts.FindAccount(t.Context(), connectors.Account{Key: "Person-001"})
	if err != nil || got != want {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	byMail, err := o.Accounts.FindAccount(t.Context(), connectors.Account{Email: "TARO.sample001@ministry.example"})
	if err != nil || byMail.ID != made.ID {
		t.Errorf("by address: %+v, %v", byMail, err)
	}
	if _, err := o.Accounts.FindAccount(t.Context(), connectors.Account{Key: "person-001"}); connectors.KindOf(err) != connectors.KindNotFound {
		t.Errorf("a key in other letters: %v", err)
	}
	want.Email, want.Title, want.Department, want.Organization = "moved@ministry.example", "", "", ""
	if got, err = o.AccountWriter.UpdateAccount(t.Context(), want); err != nil || got != want {
		t.Errorf("changed: %v\ngot  %+v\nwant %+v", err, got, want)
	}
	if _, err := o.Accounts.FindAccount(t.Context(), connectors.Account{Email: "taro.sample001@ministry.example"}); connectors.KindOf(err) != connectors.KindNotFound {
		t.Errorf("by the old address: %v", err)
	}
	want.Key = "Person-999"
	if _, err := o.AccountWriter.UpdateAccount(t.Context(), want); connectors.KindOf(err) != connectors.KindInvalid {
		t.Errorf("another person's key: %v", err)
	}
}

// An address that an account of somebody else's making has can't be provisioned; nobody must look for it for ever.
func TestForeignAddressIsAConflict(t *testing.T) {
	o, _ := open(t, nil)
	foreign := account(1)
	foreign.Email = "OWNER@ministry.example"
	if _, err := o.Accounts.FindAccount(t.Context(), foreign); connectors.KindOf(err) != connectors.KindConflict {
		t.Errorf("found: %v", err)
	}
	_, err := o.AccountWriter.CreateAccount(t.Context(), foreign)
	var e *connectors.Error
	if !errors.As(err, &e) || e.Kind != connectors.KindConflict || e.Code != "email_taken" {
		t.Errorf("created: %v", err)
	}
}

func TestOwnerCannotBeDisabled(t *testing.T) {
	o, box := open(t, nil)
	state, err := box.State(sandbox.Slack)
	if err != nil || len(state.Accounts) != 1 {
		t.Fatalf("%+v, %v", state.Accounts, err)
	}
	if err := o.AccountWriter.DisableAccount(t.Context(), state.Accounts[0].ID); err == nil || !strings.Contains(err.Error(), "cannot_modify_owner") {
		t.Errorf("the owner was disabled: %v", err)
	}
}

// Slack refuses a second update of one user while it works on the first: ours wait for each other.
func TestUpdatesOfOneUserWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := open(t, func(opt *sandbox.Options) { opt.Slack.UpdateTime = time.Second })
		a := create(t, o, 1)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				want := account(1)
				want.ID, want.Title = a.ID, fmt.Sprintf("係長 %d", i)
				if _, err := o.AccountWriter.UpdateAccount(t.Context(), want); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("four updates of one second each took %v", took)
		}
	})
}

func TestSilentlyDroppedMemberIsNoticed(t *testing.T) {
	o, box := open(t, nil)
	g, err := o.GroupWriter.CreateGroup(t.Context(), connectors.Group{Name: "見本省"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for n := range 3 {
		ids = append(ids, create(t, o, n).ID)
	}
	if err := box.AddFaults(sandbox.Fault{Target: sandbox.Slack, Kind: sandbox.FaultDropMember, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if err := o.GroupWriter.AddMembers(t.Context(), g.ID, ids); connectors.KindOf(err) != connectors.KindAmbiguous {
		t.Errorf("Slack left one out: %v", err)
	}
	if err := o.GroupWriter.AddMembers(t.Context(), g.ID, ids); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestCredentialsAsState(t *testing.T) {
	check := func(change func(*sandbox.Options)) []connectors.CredentialState {
		t.Helper()
		o, _ := open(t, change)
		states, err := o.CredentialChecker.CheckCredentials(t.Context())
		if err != nil || len(states) != 2 {
			t.Fatalf("%+v, %v", states, err)
		}
		return states
	}
	if s := check(func(o *sandbox.Options) { o.Slack.TokenExpires = time.Now().Add(-time.Hour) }); s[0].Valid || s[0].Problem != "token_expired" || !s[1].Valid {
		t.Errorf("an expired bot token: %+v", s)
	}
	if s := check(func(o *sandbox.Options) { o.Slack.AdminTokenExpires = time.Now().Add(-time.Hour) }); !s[0].Valid || s[1].Valid || s[1].Problem != "token_expired" {
		t.Errorf("an expired SCIM token: %+v", s)
	}
	few := func(o *sandbox.Options) { o.Slack.Scopes = []string{"chat:write", "users:read"} }
	s := check(few)
	if !s[0].Valid || !slices.Contains(s[0].Missing, "usergroups:write") || slices.Contains(s[0].Missing, "chat:write") {
		t.Errorf("few scopes: %+v", s)
	}
	o, _ := open(t, few)
	_, err := o.ChannelWriter.CreateChannel(t.Context(), connectors.WantedChannel{Name: "x", Key: "1"})
	if connectors.KindOf(err) != connectors.KindAuth || !strings.Contains(err.Error(), "channels:manage") {
		t.Errorf("the error doesn't say which scope is missing: %v", err)
	}
}

// What a person wrote is never markup, and addresses are links.
func TestRichText(t *testing.T) {
	o, box := open(t, nil)
	c, err := o.ChannelWriter.CreateChannel(t.Context(), connectors.WantedChannel{Name: "x", Key: "1"})
	if err != nil {
		t.Fatal(err)
	}
	a := create(t, o, 1)
	if _, err := o.ChannelMembers.InviteToChannel(t.Context(), c.ID, []string{a.ID}); err != nil {
		t.Fatal(err)
	}
	m := connectors.Message{
		Key: "k1", Channel: c.ID, Subject: "障害 <@U1>", Text: "詳細はhttps://hub.example.jp/i/7?a=1&b=2。<!channel> *至急*",
		Mentions: []connectors.Mention{{AccountID: a.ID}},
		Actions: []connectors.Action{
			{ID: "ack", Label: "確認した", Value: "7", Style: connectors.StylePrimary}, {ID: "open", Label: "開く", URL: "https://hub.example.jp/i/7", Style: connectors.StyleDanger},
		},
	}
	if _, err := o.Sender.SendMessage(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	all := held(t, box, "k1")
	if len(all) != 1 {
		t.Fatalf("%d messages", len(all))
	}
	var blocks bytes.Buffer
	for line := range strings.SplitSeq(strings.ReplaceAll(string(all[0].Blocks), `},{`, "},\n{"), "\n") {
		fmt.Fprintln(&blocks, line)
	}
	for _, want := range []string{
		`"type":"user","user_id":"` + a.ID + `"`, `"text":"障害 \u003c@U1\u003e","style":{"bold":true`,
		`"type":"link","url":"https://hub.example.jp/i/7?a=1\u0026b=2"`, `"text":"。\u003c!channel\u003e *至急*"`,
		`"action_id":"ack"`, `"style":"primary"`, `"style":"danger"`, `"url":"https://hub.example.jp/i/7"`,
	} {
		if !strings.Contains(blocks.String(), want) {
			t.Errorf("%s isn't in:\n%s", want, blocks.String())
		}
	}
	if strings.Contains(all[0].Text, "<") || !strings.Contains(all[0].Text, "&lt;!channel&gt;") {
		t.Errorf("the text for notifications is %q", all[0].Text)
	}
	m.Key, m.Text = "k2", strings.Repeat("長", 12_001)
	if _, err := o.Sender.SendMessage(t.Context(), m); connectors.KindOf(err) != connectors.KindTooLarge {
		t.Errorf("12,001 characters: %v", err)
	}
}

func TestDirectMessage(t *testing.T) {
	o, box := open(t, nil)
	start := time.Now()
	a := create(t, o, 1)
	m := connectors.Message{Key: "dm", To: []connectors.Recipient{{Address: a.ID}}, Text: "確認してください"}
	sent, err := o.Sender.SendMessage(t.Context(), m)
	if err != nil || sent.Channel == "" || len(held(t, box, "dm")) != 1 {
		t.Fatalf("%+v, %v", sent, err)
	}
	found, err := o.SentFinder.FindSent(t.Context(), m, start)
	if err != nil || found != sent {
		t.Errorf("found %+v, %v; sent %+v", found, err, sent)
	}
	many := m
	for range 9 {
		many.To = append(many.To, m.To[0])
	}
	if _, err := o.Sender.SendMessage(t.Context(), many); connectors.KindOf(err) != connectors.KindInvalid {
		t.Errorf("ten people: %v", err)
	}
}

// Where the workspace takes one message a second in a channel, ours keeps to it; two channels don't wait for each other's lane.
func TestPostingReservesItsLane(t *testing.T) {
	taken := map[connectors.Class]int{}
	s := &scripted{answers: map[string]string{"chat.postMessage": `{"ok":true,"channel":"C1","ts":"1795316400.000100","message":{"ts":"1795316400.000100"}}`}}
	cfg := config(s)
	cfg.Quota = counting{taken}
	o := resolve(t, cfg)
	lanes := map[connectors.Class]bool{}
	for n := range 200 {
		clear(taken)
		if _, err := o.Sender.SendMessage(t.Context(), connectors.Message{Key: "k", Channel: fmt.Sprintf("C%d", n), Text: "x"}); err != nil {
			t.Fatal(err)
		}
		if len(taken) != 2 || taken["slack.chat.postMessage"] != 1 {
			t.Fatalf("reserved %v", taken)
		}
		for class := range taken {
			if strings.HasPrefix(string(class), "slack.post.") {
				lanes[class] = true
			}
		}
	}
	if len(lanes) != 16 {
		t.Errorf("%d lanes are used", len(lanes))
	}
	declared := map[connectors.Class]connectors.Budget{}
	for _, b := range o.Limits.Budgets {
		declared[b.Class] = b
	}
	for class := range lanes {
		if b := declared[class]; b.Rate != 1 || b.Burst != 1 {
			t.Errorf("%s: %+v, want 1 a second", class, b)
		}
	}
	if b := declared["slack.scim.user.write"]; b.Rate != 3 || b.Burst != 20 {
		t.Errorf("user writes: %+v, want 180 a minute, 20 at once", b)
	}
	for class, b := range declared { // no minute sees more than its tier
		if strings.HasPrefix(string(class), "slack.conversations.create") && b.Rate*60+float64(b.Burst) > 20 {
			t.Errorf("%s: %+v", class, b)
		}
	}
}

type counting struct{ taken map[connectors.Class]int }

func (c counting) Reserve(_ context.Context, class connectors.Class, n int) error {
	c.taken[class] += n
	return nil
}

func TestSlackGosTokenIsNeverSent(t *testing.T) {
	s := &scripted{answers: map[string]string{"conversations.create": `{"ok":true,"channel":{"id":"C1","name":"x"}}`, "chat.getPermalink": `{"ok":true,"permalink":"https://x.invalid"}`}}
	o := resolve(t, config(s))
	if _, err := o.ChannelWriter.CreateChannel(t.Context(), connectors.WantedChannel{Name: "x", Key: "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.MessageLinker.MessageLink(t.Context(), connectors.Sent{ID: "1795316400.000100", Channel: "C1"}); err != nil {
		t.Fatal(err)
	}
	for _, sent := range s.sent {
		if strings.Contains(sent, "token") || strings.Contains(sent, "held-by") || strings.Contains(sent, connectortest.Token) {
			t.Errorf("sent %s", sent)
		}
	}
	if len(s.sent) != 2 {
		t.Errorf("%d requests", len(s.sent))
	}
}

// Every code of a refusal comes back as an error of its kind, and no error or log line holds a secret, whatever Slack echoes.
func TestRefusalsAndSecrets(t *testing.T) {
	var log bytes.Buffer
	secrets := []string{connectortest.Token, signing}
	var texts []string
	for _, tt := range []struct {
		body   string
		status int
		kind   connectors.Kind // of a request that must not be repeated
	}{
		{`{"ok":false,"error":"channel_not_found"}`, 200, connectors.KindNotFound},
		{`{"ok":false,"error":"not_in_channel"}`, 200, connectors.KindInvalid},
		{`{"ok":false,"error":"never_heard_of"}`, 200, connectors.KindInvalid},
		{`{"ok":false,"error":"token_expired"}`, 200, connectors.KindAuth},
		{`{"ok":false,"error":"missing_scope","needed":"chat:write","provided":"x"}`, 200, connectors.KindAuth},
		{`{"ok":false,"error":"msg_too_long"}`, 200, connectors.KindTooLarge},
		{`{"ok":false,"error":"ratelimited"}`, 200, connectors.KindThrottled},
		{`{"ok":false,"error":"ratelimited"}`, 429, connectors.KindThrottled},
		{`{"ok":false,"error":"fatal_error"}`, 200, connectors.KindAmbiguous},
		{`{"ok":false,"error":"internal_error"}`, 200, connectors.KindAmbiguous},
		{`{"ok":false,"error":"service_unavailable"}`, 200, connectors.KindUnavailable},
		{`{"ok":false,"error":"unknown_method"}`, 200, connectors.KindProtocol},
		{`{"ok":false}`, 200, connectors.KindProtocol},
		{`{}`, 200, connectors.KindProtocol},
		{`[]`, 200, connectors.KindProtocol},
		{`null`, 200, connectors.KindProtocol},
		{``, 200, connectors.KindProtocol},
		{`{"ok":"yes"}`, 200, connectors.KindProtocol},
		{`{"ok":true}`, 200, connectors.KindProtocol}, // without what was asked for
		{`{"ok":true,"channel":"C1","ts":"soon"}`, 200, connectors.KindProtocol},
		{`{"ok":false,"error":"` + connectortest.Token + `","response_metadata":{"messages":["` + connectortest.Token + ` ` + signing + `"]}}`, 200, connectors.KindInvalid},
		{`{"ok":false,"error":"x"}`, 500, connectors.KindAmbiguous},
	} {
		s := &scripted{status: tt.status, answers: map[string]string{"chat.postMessage": tt.body}}
		cfg := config(s)
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		_, err := resolve(t, cfg).Sender.SendMessage(t.Context(), connectors.Message{Key: "k", Channel: "C1", Text: "x"})
		if connectors.KindOf(err) != tt.kind || len(s.sent) != 1 {
			t.Errorf("%d %s: %v after %d requests, want %v", tt.status, tt.body, err, len(s.sent), tt.kind)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			texts = append(texts, e.Error(), fmt.Sprintf("%+v %#v", e, e))
		}
		texts = append(texts, fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg))
	}
	if log.Len() == 0 {
		t.Error("nothing was logged, so nothing was looked at")
	}
	for _, text := range append(texts, log.String()) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Fatalf("a secret is in: %s", text)
			}
		}
	}
}

// A repeatable request is tried again where Slack says that it failed by itself, and never where it says no.
func TestRepeatedWhereSlackFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for body, tries := range map[string]int{
			`{"ok":false,"error":"internal_error"}`:    3,
			`{"ok":false,"error":"channel_not_found"}`: 1,
		} {
			s := &scripted{answers: map[string]string{"conversations.setTopic": body}}
			err := resolve(t, config(s)).ChannelWriter.SetTopic(t.Context(), "C1", "x")
			if err == nil || len(s.sent) != tries {
				t.Errorf("%s: %v after %d tries, want %d", body, err, len(s.sent), tries)
			}
		}
	})
}

// An older Slack names nobody: the batch is halved until the bad ones stand alone.
func TestInviteWithoutNames(t *testing.T) {
	bad := map[string]bool{"U003": true, "U077": true}
	var sizes []int
	wire := roundTrip(func(r *http.Request) (*http.Response, error) {
		if err := r.ParseForm(); err != nil {
			return nil, err
		}
		users := strings.Split(r.PostForm.Get("users"), ",")
		sizes = append(sizes, len(users))
		text := `{"ok":true,"channel":{"id":"C1"}}`
		if slices.ContainsFunc(users, func(u string) bool { return bad[u] }) {
			text = `{"ok":false,"error":"user_is_ultra_restricted"}`
		}
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
	})
	var ids []string
	for n := range 100 {
		ids = append(ids, fmt.Sprintf("U%03d", n))
	}
	refused, err := resolve(t, config(wire)).ChannelMembers.InviteToChannel(t.Context(), "C1", ids)
	if err != nil || len(refused) != 2 || refused[0] != (connectors.Refused{AccountID: "U003", Reason: "user_is_ultra_restricted"}) || refused[1].AccountID != "U077" {
		t.Errorf("%v, %v", refused, err)
	}
	if len(sizes) > 30 {
		t.Errorf("%d requests for two bad ones among a hundred", len(sizes))
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHosts(t *testing.T) {
	for base, want := range map[string][2]string{
		"":                              {"slack.com/api/auth.test", "api.slack.com/scim/v2/ServiceProviderConfig"},
		"https://slack-gov.com":         {"slack-gov.com/api/auth.test", "api.slack-gov.com/scim/v2/ServiceProviderConfig"},
		"https://relay.example/slack/":  {"relay.example/slack/api/auth.test", "relay.example/slack/scim/v2/ServiceProviderConfig"},
		"http://sandbox.invalid/slack/": {"sandbox.invalid/slack/api/auth.test", "sandbox.invalid/slack/scim/v2/ServiceProviderConfig"},
	} {
		var asked []string
		cfg := config(roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.Host+r.URL.Path)
			text := `{"ok":true,"user_id":"U1","patch":{"supported":true}}`
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
		}))
		cfg.BaseURL = base
		if _, err := resolve(t, cfg).CredentialChecker.CheckCredentials(t.Context()); err != nil || !slices.Equal(asked, want[:]) {
			t.Errorf("%q: asked %v (%v), want %v", base, asked, err, want)
		}
	}
}

func TestWithoutSCIM(t *testing.T) {
	cfg := config(&scripted{})
	cfg.SCIMToken = outbound.Secret{}
	o := resolve(t, cfg)
	if o.Accounts != nil || o.AccountWriter != nil || o.Groups != nil || o.GroupWriter != nil || o.Guests != nil || o.Limits.MemberBatch != 0 {
		t.Errorf("accounts without a SCIM token: %+v", o)
	}
	if o.Sender == nil || o.MentionGroupWriter == nil || o.EventReader == nil || o.CredentialChecker == nil || len(o.Limits.Budgets) == 0 {
		t.Errorf("the Web API is missing: %+v", o)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*slack.Config){
		"token":     func(c *slack.Config) { c.Token = outbound.Secret{} },
		"signing":   func(c *slack.Config) { c.SigningSecret = outbound.NewSecret("") },
		"transport": func(c *slack.Config) { c.Transport = nil },
		"quota":     func(c *slack.Config) { c.Quota = nil },
		"clock":     func(c *slack.Config) { c.Now = nil },
		"scale":     func(c *slack.Config) { c.QuotaScale = -1 },
		"trust":     func(c *slack.Config) { c.Trust = 2 * time.Hour },
		"batch":     func(c *slack.Config) { c.MemberBatch = 5001 },
		"page":      func(c *slack.Config) { c.PageSize = 1001 },
		"plaintext": func(c *slack.Config) { c.BaseURL = "http://slack.com" },
		"no URL":    func(c *slack.Config) { c.BaseURL = "slack" },
	} {
		cfg := config(&scripted{})
		change(&cfg)
		if _, err := slack.New(cfg); err == nil || !strings.HasPrefix(err.Error(), "slack: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// held locks of another node end in an error that may be tried again.
func TestLockOfAnotherNode(t *testing.T) {
	cfg := config(&scripted{})
	cfg.Locks = stuck{}
	_, err := resolve(t, cfg).MentionGroupWriter.ChangeMentionMembers(t.Context(), "S1", []string{"U1"}, nil)
	if connectors.KindOf(err) != connectors.KindUnavailable || !connectors.KindOf(err).Retriable() {
		t.Errorf("%v", err)
	}
}

type stuck struct{}

func (stuck) Lock(context.Context, string) (func(), error) { return nil, errors.New("held by node 2") }
