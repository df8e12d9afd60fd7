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
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/slack"
)

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
