package slack_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/slack"
)

const (
	base    = "http://sandbox.invalid"
	signing = "signing-secret-0123456789abcdef"
)

func account(n int) connectors.Account {
	return connectors.Account{
		Key: fmt.Sprintf("Person-%03d", n), Email: fmt.Sprintf("taro.sample%03d@ministry.example", n),
		DisplayName: fmt.Sprintf("見本 太郎 %03d", n), FamilyName: "見本", GivenName: fmt.Sprintf("太郎%03d", n),
		Title: "係長", Organization: "見本省", Department: "情報課", Language: "ja-JP", TimeZone: "Asia/Tokyo", Active: true,
	}
}

func options(now func() time.Time) sandbox.Options {
	return sandbox.Options{
		Now: now, Seed: 7, QuotaScale: 1000, BaseURL: base,
		Slack: sandbox.SlackOptions{Token: connectortest.Token, AdminToken: connectortest.Token, SigningSecret: signing, OwnerEmail: "owner@ministry.example"},
	}
}

func config(transport http.RoundTripper) slack.Config {
	return slack.Config{
		BaseURL: base + "/slack", Token: outbound.NewSecret(connectortest.Token), SCIMToken: outbound.NewSecret(connectortest.Token),
		SigningSecret: outbound.NewSecret(signing), Transport: transport, Quota: connectortest.Unlimited{}, Now: time.Now,
		MemberBatch: 100, PageSize: 50, // so that a whole batch and a second page cost the suite little
	}
}

// harness builds the connector over a fresh sandbox; box is the one made last. change edits the sandbox's options.
func harness(t *testing.T, change ...func(*sandbox.Options)) connectortest.Harness {
	var box *sandbox.Sandbox
	is := func(method string) func(*http.Request) bool {
		return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/"+method) }
	}
	return connectortest.Harness{
		New: func(env connectortest.Env) (connectors.Connector, error) {
			var err error
			opt := options(env.Now)
			for _, f := range change {
				f(&opt)
			}
			if box, err = sandbox.New(opt); err != nil {
				return nil, err
			}
			t.Cleanup(func() { box.Close() })
			cfg := config(env.Wire(box.Transport()))
			cfg.Quota, cfg.Now, cfg.Logger = env.Quota, env.Now, env.Logger
			return slack.New(cfg)
		},
		Account: account,
		Change: func(a connectors.Account) connectors.Account {
			a.DisplayName, a.FamilyName, a.Title = "改姓 太郎", "改姓", ""
			return a
		},
		Restores:  true,
		MissingID: "U0NOBODY001",
		Posts:     is("chat.postMessage"),
		Makes:     is("conversations.create"),
		Copies:    func(m connectors.Message) int { return len(held(t, box, m.Key)) },
		Shown: func(m connectors.Message) string {
			all := held(t, box, m.Key)
			if len(all) != 1 {
				return fmt.Sprintf("%d messages", len(all))
			}
			return strings.TrimPrefix(shown(t, all[0].Blocks), m.Subject+"\n")
		},
		Deliver: func(now time.Time) (first, retry connectors.Delivery) {
			body := `{"token":"x","team_id":"T1","api_app_id":"A1","event":{"type":"app_mention","user":"U1","text":"<@U9> 了解","ts":"1795316400.000100","channel":"C1","event_ts":"1795316400.000100"},"type":"event_callback","event_id":"Ev1","event_time":1795316400}`
			first, retry = sign(now, body), sign(now, body)
			retry.Header.Set("X-Slack-Retry-Num", "1")
			retry.Header.Set("X-Slack-Retry-Reason", "http_timeout")
			return first, retry
		},
		Forge: func(now time.Time, _ connectors.Delivery, body []byte) connectors.Delivery {
			return sign(now, string(body))
		},
	}
}

func sign(now time.Time, body string) connectors.Delivery {
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(signing))
	mac.Write([]byte("v0:" + stamp + ":" + body))
	return connectors.Delivery{Body: []byte(body), Header: http.Header{
		"Content-Type": {"application/json"}, "X-Slack-Request-Timestamp": {stamp}, "X-Slack-Signature": {"v0=" + hex.EncodeToString(mac.Sum(nil))},
	}}
}

// said is a message as the sandbox's ground truth has it.
type said struct {
	TS, ThreadTS, Text string
	Blocks             json.RawMessage
}

// held gives the messages with our key.
func held(t testing.TB, box *sandbox.Sandbox, key string) (list []said) {
	t.Helper()
	state, err := box.State(sandbox.Slack)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range state.Channels {
		for _, m := range c.Messages {
			var meta struct {
				EventType string            `json:"event_type"`
				Payload   map[string]string `json:"event_payload"`
			}
			if m.Metadata != nil && json.Unmarshal(m.Metadata, &meta) == nil && meta.EventType == "musubi_message" && meta.Payload["key"] == key {
				list = append(list, said{m.TS, m.ThreadTS, m.Text, m.Blocks})
			}
		}
	}
	return list
}

// shown gives what a person reads in rich text.
func shown(t testing.TB, blocks json.RawMessage) string {
	t.Helper()
	var list []struct {
		Type     string `json:"type"`
		Elements []struct {
			Type     string `json:"type"`
			Elements []struct{ Type, Text, URL, UserID, UsergroupID string }
		} `json:"elements"`
	}
	if err := json.Unmarshal(blocks, &list); err != nil {
		t.Fatalf("blocks %s: %v", blocks, err)
	}
	var b strings.Builder
	for _, block := range list {
		if block.Type != "rich_text" {
			continue
		}
		for _, section := range block.Elements {
			for _, e := range section.Elements {
				b.WriteString(e.Text + e.URL)
			}
		}
	}
	return b.String()
}

func TestConformance(t *testing.T) { connectortest.Run(t, harness(t)) }

// TestConformanceWithoutExternalIDs: Slack may keep the key that it was given to itself.
func TestConformanceWithoutExternalIDs(t *testing.T) {
	connectortest.Run(t, harness(t, func(o *sandbox.Options) { o.Slack.HideExternalID = true }))
}

func TestConformanceNoticesPlantedBugs(t *testing.T) { connectortest.RunPlanted(t, harness(t)) }
