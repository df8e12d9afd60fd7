package slack_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
)

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
