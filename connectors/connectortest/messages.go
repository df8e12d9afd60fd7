package connectortest

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

func sends(o connectors.Opened) bool {
	return o.Sender != nil && o.SentFinder != nil && o.MessageEditor != nil && o.ChannelWriter != nil
}

func messageCases() []testCase {
	return []testCase{
		{name: "message", run: message, needs: sends},
		{name: "lost answer of a message", run: lostMessage, needs: sends},
		{name: "message that never arrived", run: failedMessage, needs: sends},
		{name: "thread", run: thread, needs: sends},
		{name: "changed message", run: changedMessage, needs: sends},
		{name: "messages that are refused", run: refusedMessages, needs: sends},
		{name: "message and faults", run: messageFaults, needs: sends},
	}
}

// channel makes the n-th sample channel.
func (r *run) channel(n int) connectors.Channel {
	c, err := r.ChannelWriter.CreateChannel(r.ctx, wantedChannel(n))
	r.must(err, "CreateChannel")
	if c.ID == "" || c.Name == "" {
		r.fatalf("CreateChannel gives %+v", c)
	}
	return c
}

func wantedChannel(n int) connectors.WantedChannel {
	return connectors.WantedChannel{Name: fmt.Sprintf("Conformance %03d 試験", n), Key: fmt.Sprintf("case-%03d", n), Topic: "適合試験"}
}

// sample is the n-th sample message. Its text is hostile to every product's markup.
func sample(channel string, n int) connectors.Message {
	return connectors.Message{
		Key: fmt.Sprintf("conformance.%03d", n), Channel: channel, Subject: fmt.Sprintf("件名 %03d", n),
		Text:    "一行目 <!channel> *b* _i_ ~s~ `c` &amp; <https://evil.example|ここ>\n> 二行目 https://hub.example.jp/x。",
		Actions: []connectors.Action{{ID: "ack", Label: "確認した", Value: "7", Style: connectors.StylePrimary}},
	}
}

func (r *run) send(m connectors.Message) connectors.Sent {
	sent, err := r.Sender.SendMessage(r.ctx, m)
	r.must(err, "SendMessage")
	if sent.ID == "" || sent.Channel != m.Channel || sent.Thread == "" {
		r.fatalf("the receipt is %+v", sent)
	}
	return sent
}

func (r *run) copies(m connectors.Message, want int) {
	if got := r.h.Copies(m); got != want {
		r.errorf("the vendor holds %d messages with the key %s, want %d", got, m.Key, want)
	}
}

func message(r *run) {
	start := time.Now()
	c := r.channel(1)
	m := sample(c.ID, 1)
	_, err := r.SentFinder.FindSent(r.ctx, m, start)
	r.want(err, "FindSent before it was sent", connectors.KindNotFound)
	sent := r.send(m)
	other := r.send(sample(c.ID, 2))
	if other.ID == sent.ID {
		r.errorf("two messages have the id %q", sent.ID)
	}
	r.settle()
	found, err := r.SentFinder.FindSent(r.ctx, m, start)
	r.must(err, "FindSent")
	if found.ID != sent.ID || found.Channel != c.ID || found.Thread != sent.Thread {
		r.errorf("found %+v, sent %+v", found, sent)
	}
	r.copies(m, 1)
	if got := r.h.Shown(m); got != m.Text {
		r.errorf("the vendor shows %q for %q", got, m.Text)
	}
	_, err = r.SentFinder.FindSent(r.ctx, sample(c.ID, 3), start)
	r.want(err, "FindSent of one that wasn't sent", connectors.KindNotFound)
	if r.MessageLinker != nil {
		link, err := r.MessageLinker.MessageLink(r.ctx, sent)
		r.must(err, "MessageLink")
		if link == "" {
			r.errorf("the link is empty")
		}
	}
}

func lostMessage(r *run) {
	start := time.Now()
	c := r.channel(1)
	m := sample(c.ID, 1)
	r.tap.Put(LoseAnswer, 1, r.h.Posts)
	_, err := r.Sender.SendMessage(r.ctx, m)
	r.want(err, "SendMessage whose answer is lost", connectors.KindAmbiguous)
	r.settle()
	r.copies(m, 1)
	sent, err := r.SentFinder.FindSent(r.ctx, m, start)
	r.must(err, "FindSent after the lost answer")
	if sent.ID == "" || sent.Channel != c.ID {
		r.errorf("found %+v", sent)
	}
	reply := sample(c.ID, 2)
	reply.Thread = sent.Thread
	r.tap.Put(LoseAnswer, 1, r.h.Posts)
	_, err = r.Sender.SendMessage(r.ctx, reply)
	r.want(err, "a reply whose answer is lost", connectors.KindAmbiguous)
	r.settle()
	again, err := r.SentFinder.FindSent(r.ctx, reply, start)
	r.must(err, "FindSent of the reply")
	if again.Thread != sent.Thread || again.ID == sent.ID {
		r.errorf("found %+v in the thread of %+v", again, sent)
	}
	r.copies(reply, 1)
}

func failedMessage(r *run) {
	start := time.Now()
	c := r.channel(1)
	m := sample(c.ID, 1)
	for _, f := range []struct {
		name  string
		fault Fault
	}{
		{"connection reset", Reset},
		{"500", Answer(http.StatusInternalServerError, "application/json", `{}`)},
		{"502 of a gateway", Answer(http.StatusBadGateway, "text/html", "<html>")},
	} {
		r.tap.Put(f.fault, 1, r.h.Posts)
		_, err := r.Sender.SendMessage(r.ctx, m)
		r.want(err, "SendMessage with "+f.name, connectors.KindAmbiguous)
	}
	r.settle()
	_, err := r.SentFinder.FindSent(r.ctx, m, start)
	r.want(err, "FindSent of what never arrived", connectors.KindNotFound)
	r.send(m)
	r.copies(m, 1)
}

func thread(r *run) {
	start := time.Now()
	c := r.channel(1)
	first := r.send(sample(c.ID, 1))
	reply := sample(c.ID, 2)
	reply.Thread = first.Thread
	sent := r.send(reply)
	if sent.Thread != first.Thread || sent.ID == first.ID {
		r.errorf("the reply went out as %+v, the thread is %q", sent, first.Thread)
	}
	r.settle()
	found, err := r.SentFinder.FindSent(r.ctx, reply, start)
	r.must(err, "FindSent of a reply")
	if found.ID != sent.ID || found.Thread != first.Thread {
		r.errorf("found %+v, sent %+v", found, sent)
	}
	elsewhere := sample(c.ID, 3)
	elsewhere.Thread = first.Thread
	_, err = r.SentFinder.FindSent(r.ctx, elsewhere, start)
	r.want(err, "FindSent of a reply that wasn't sent", connectors.KindNotFound)
}

func changedMessage(r *run) {
	c := r.channel(1)
	m := sample(c.ID, 1)
	sent := r.send(m)
	other := sample(c.ID, 2)
	r.send(other)
	m.Text, m.Actions = "済み: 見本 太郎 (12:30)", nil
	for range 2 {
		r.must(r.MessageEditor.UpdateMessage(r.ctx, sent, m), "UpdateMessage")
	}
	r.tap.Put(LoseAnswer, 1, Any)
	r.must(r.MessageEditor.UpdateMessage(r.ctx, sent, m), "UpdateMessage with one answer lost")
	if got := r.h.Shown(m); got != m.Text {
		r.errorf("after the change the vendor shows %q", got)
	}
	if got := r.h.Shown(other); got != other.Text {
		r.errorf("the other message was changed to %q", got)
	}
	r.copies(m, 1)
	gone := sent
	gone.ID = "1000000000.000001"
	r.want(r.MessageEditor.UpdateMessage(r.ctx, gone, m), "UpdateMessage of one that isn't there", connectors.KindNotFound)
}

func refusedMessages(r *run) {
	c := r.channel(1)
	r.tap.Take()
	for name, change := range map[string]func(*connectors.Message){
		"no key":       func(m *connectors.Message) { m.Key = "" },
		"nowhere":      func(m *connectors.Message) { m.Channel = "" },
		"a path":       func(m *connectors.Message) { m.Channel = "../C1" },
		"no text":      func(m *connectors.Message) { m.Text = "" },
		"thread":       func(m *connectors.Message) { m.Thread = "x\ny" },
		"plain http":   func(m *connectors.Message) { m.Actions[0].URL = "http://hub.example.jp" },
		"mentions <!>": func(m *connectors.Message) { m.Mentions = []connectors.Mention{{AccountID: "<!channel>"}} },
	} {
		m := sample(c.ID, 1)
		change(&m)
		_, err := r.Sender.SendMessage(r.ctx, m)
		r.want(err, "SendMessage, "+name, connectors.KindInvalid)
	}
	if sent := r.tap.Take(); len(sent) != 0 {
		r.errorf("%d requests were sent of messages that no product takes", len(sent))
	}
	m := sample(c.ID, 1)
	m.Channel = "C0NOWHERE1"
	_, err := r.Sender.SendMessage(r.ctx, m)
	r.want(err, "SendMessage to a channel that isn't there", connectors.KindNotFound)
}

// messageFaults tries each call of a product with messages under the faults of every connector.
func messageFaults(r *run) {
	start := time.Now()
	c := r.channel(1)
	m := sample(c.ID, 1)
	sent := r.send(m)
	calls := func(check func(what string, err error)) {
		_, err := r.Sender.SendMessage(r.ctx, sample(c.ID, 2))
		check("SendMessage", err)
		_, err = r.SentFinder.FindSent(r.ctx, m, start)
		check("FindSent", err)
		check("UpdateMessage", r.MessageEditor.UpdateMessage(r.ctx, sent, m))
		_, err = r.ChannelWriter.CreateChannel(r.ctx, wantedChannel(2))
		check("CreateChannel", err)
		check("SetTopic", r.ChannelWriter.SetTopic(r.ctx, c.ID, "x"))
	}
	for _, f := range []struct {
		name  string
		fault Fault
		kind  connectors.Kind
	}{
		{"a wrong token", WrongToken, connectors.KindAuth},
		{"an echo of the token", EchoToken, connectors.KindAuth},
		{"a login page", LoginPage, connectors.KindProtocol},
		{"an empty object", Answer(http.StatusOK, "application/json", `{}`), connectors.KindProtocol},
		{"a redirect", Elsewhere, connectors.KindProtocol},
		{"fifty megabytes", Huge, connectors.KindTooLarge},
		{"429", Answer(http.StatusTooManyRequests, "application/json", `{}`, "Retry-After", "30"), connectors.KindThrottled},
	} {
		r.tap.Put(f.fault, -1, Any)
		calls(func(what string, err error) {
			if r.want(err, what+" with "+f.name, f.kind) && f.kind == connectors.KindThrottled && connectors.RetryAfterOf(err) != 30*time.Second {
				r.errorf("%s: retry after %v, want 30s", what, connectors.RetryAfterOf(err))
			}
		})
	}
	r.tap.Clear()
	r.tap.Take()
	whole := r.ctx
	ctx, cancel := context.WithCancel(whole)
	cancel()
	r.ctx = ctx
	calls(func(what string, err error) { r.want(err, what+" for a caller who gave up", connectors.KindCanceled) })
	r.ctx = whole
	r.quota.refuse = 12 * time.Second
	calls(func(what string, err error) {
		if r.want(err, what+" without quota", connectors.KindThrottled) && connectors.RetryAfterOf(err) != 12*time.Second {
			r.errorf("%s without quota: retry after %v", what, connectors.RetryAfterOf(err))
		}
	})
	if n := len(r.tap.Take()); n != 0 {
		r.errorf("%d requests were sent without quota, or for a caller who had given up", n)
	}
	r.quota.refuse = 0
	r.copies(sample(c.ID, 2), 0)
}
