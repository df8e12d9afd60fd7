package connectortest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// Relay tells the suite what a product is like that messages are handed to and that can't be asked afterwards: mail. It isn't
// reached by HTTP, so the harness breaks it in the suite's stead.
type Relay struct {
	// Break sets what is wrong with every conversation from now on; RelayWell: nothing.
	Break func(RelayFault)
	// Dials counts the conversations begun.
	Dials func() int
	// Held gives the messages that the relay took with this key, in the order in which they came.
	Held func(key string) []HeldMail
	// Recipient gives the n-th address that the relay takes.
	Recipient func(n int) connectors.Recipient
}

// HeldMail is a message in the relay's ground truth.
type HeldMail struct {
	ID, Answers, Text string // Answers is the ID of the message that it answers
	To                []string
}

// RelayFault is what is wrong with a relay.
type RelayFault string

// The faults of a relay.
const (
	RelayWell      RelayFault = ""
	RelayGone      RelayFault = "no connection"
	RelayBreaks    RelayFault = "a connection that breaks before the text"
	RelayLoses     RelayFault = "an answer that is lost"
	RelayHangs     RelayFault = "a relay that hangs"
	RelayBusy      RelayFault = "a relay that asks to come back later"
	RelayNoAccess  RelayFault = "a wrong password"
	RelayEchoes    RelayFault = "an echo of the secret"
	RelayWebPage   RelayFault = "a web page"
	RelayEndless   RelayFault = "an answer of fifty megabytes"
	RelayElsewhere RelayFault = "a recipient who is said to be elsewhere"
	RelayRefusesB  RelayFault = "a refused second recipient"
)

// relayPatience is how long a relay may keep a conversation whose client is gone, before it ends by itself.
const relayPatience = 15 * time.Minute

// posts says whether the product takes messages and can't be asked for them.
func posts(o connectors.Opened) bool { return o.Sender != nil && o.SentFinder == nil }

func mailCases() []testCase {
	return []testCase{
		{name: "mail", run: mailed, needs: posts},
		{name: "lost answer of a mail", run: lostMail, needs: posts},
		{name: "mail that never left", run: failedMail, needs: posts},
		{name: "answer in a thread of mails", run: mailThread, needs: posts},
		{name: "mails that are refused", run: refusedMails, needs: posts},
		{name: "recipients together or not at all", run: mailForAll, needs: posts},
		{name: "mail and faults", run: mailFaults, needs: posts},
		{name: "mail without quota, mail for nobody", run: mailUnsent, needs: posts},
	}
}

// letter is the n-th sample mail, to two people.
func (r *run) letter(n int) connectors.Message {
	m := sample("", n)
	m.Channel, m.Actions = "", nil
	m.To = []connectors.Recipient{r.h.Relay.Recipient(1), r.h.Relay.Recipient(2)}
	return m
}

func (r *run) mail(m connectors.Message) connectors.Sent {
	sent, err := r.Sender.SendMessage(r.ctx, m)
	r.must(err, "SendMessage")
	if sent.ID == "" || sent.Thread == "" || sent.At.IsZero() {
		r.fatalf("the receipt is %+v", sent)
	}
	return sent
}

func (r *run) held(m connectors.Message, want int) []HeldMail {
	list := r.h.Relay.Held(m.Key)
	if len(list) != want {
		r.fatalf("the relay took %d mails with the key %s, want %d", len(list), m.Key, want)
	}
	return list
}

func mailed(r *run) {
	m := r.letter(1)
	sent, other := r.mail(m), r.mail(r.letter(2))
	if sent.ID == other.ID || sent.Thread == other.Thread {
		r.errorf("two mails have one id or one thread: %+v, %+v", sent, other)
	}
	got := r.held(m, 1)[0]
	want := []string{m.To[0].Address, m.To[1].Address}
	if got.ID != sent.ID || strings.TrimRight(got.Text, "\n") != m.Text || !slices.Equal(got.To, want) || got.Answers != "" {
		r.errorf("the relay took %+v of %+v", got, m)
	}
	r.held(r.letter(2), 1)
}

// lostMail: nobody sends the mail again by itself; the copy that the caller sends carries the same id, by which readers know it.
func lostMail(r *run) {
	m := r.letter(1)
	r.h.Relay.Break(RelayLoses)
	_, err := r.Sender.SendMessage(r.ctx, m)
	r.want(err, "SendMessage whose answer is lost", connectors.KindAmbiguous)
	r.h.Relay.Break(RelayWell)
	first := r.held(m, 1)[0]
	again := r.mail(m)
	copies := r.held(m, 2)
	if again.ID != first.ID || copies[1].ID != first.ID {
		r.errorf("the copy has the id %q, the first mail %q", again.ID, first.ID)
	}
}

func failedMail(r *run) {
	m := r.letter(1)
	for _, fault := range []RelayFault{RelayGone, RelayBreaks, RelayHangs} {
		r.h.Relay.Break(fault)
		before := r.h.Relay.Dials()
		_, err := r.Sender.SendMessage(r.ctx, m)
		r.want(err, "SendMessage with "+string(fault), connectors.KindUnavailable)
		if n := r.h.Relay.Dials() - before; n != 1 {
			r.errorf("%s: %d conversations for one call", fault, n)
		}
	}
	r.h.Relay.Break(RelayWell)
	r.held(m, 0)
	r.mail(m)
	r.held(m, 1)
}

func mailThread(r *run) {
	first := r.mail(r.letter(1))
	for n := 2; n < 4; n++ {
		m := r.letter(n)
		m.Thread = first.Thread
		sent := r.mail(m)
		if sent.Thread != first.Thread || sent.ID == first.ID {
			r.errorf("the answer went out as %+v, the thread is %q", sent, first.Thread)
		}
		if got := r.held(m, 1)[0]; got.Answers != first.ID {
			r.errorf("the answer names %q, want %q", got.Answers, first.ID)
		}
	}
}

func refusedMails(r *run) {
	for name, change := range map[string]func(*connectors.Message){
		"no key":          func(m *connectors.Message) { m.Key = "" },
		"no recipient":    func(m *connectors.Message) { m.To = nil },
		"a conversation":  func(m *connectors.Message) { m.Channel = "C1" },
		"no text":         func(m *connectors.Message) { m.Text = " " },
		"a second header": func(m *connectors.Message) { m.Subject = "x\r\nBcc: eve@evil.example" },
		"a second line in a name": func(m *connectors.Message) {
			m.To[0].Name = "x\nBcc: eve@evil.example"
		},
		"a command in an address": func(m *connectors.Message) { m.To[0].Address = "a@b.example>\r\nDATA" },
		"an address of no mail":   func(m *connectors.Message) { m.To[0].Address = "U0123456789" },
		"a recipient twice":       func(m *connectors.Message) { m.To[1] = m.To[0] },
		"too many": func(m *connectors.Message) {
			for n := range connectors.MaxRecipients {
				m.To = append(m.To, r.h.Relay.Recipient(10+n))
			}
		},
	} {
		m := r.letter(1)
		change(&m)
		_, err := r.Sender.SendMessage(r.ctx, m)
		r.want(err, "SendMessage, "+name, connectors.KindInvalid)
	}
	if n := r.h.Relay.Dials(); n != 0 {
		r.errorf("%d conversations were begun over mails that no relay takes", n)
	}
}

func mailForAll(r *run) {
	m := r.letter(1)
	r.h.Relay.Break(RelayRefusesB)
	_, err := r.Sender.SendMessage(r.ctx, m)
	r.want(err, "SendMessage with "+string(RelayRefusesB), connectors.KindInvalid)
	r.h.Relay.Break(RelayWell)
	r.held(m, 0)
}

func mailFaults(r *run) {
	for _, f := range []struct {
		fault RelayFault
		kinds []connectors.Kind
	}{
		{RelayBusy, []connectors.Kind{connectors.KindThrottled}},
		{RelayNoAccess, []connectors.Kind{connectors.KindAuth}},
		{RelayEchoes, []connectors.Kind{connectors.KindAuth, connectors.KindInvalid}},
		{RelayWebPage, []connectors.Kind{connectors.KindProtocol, connectors.KindUnavailable}},
		{RelayEndless, []connectors.Kind{connectors.KindTooLarge}},
		{RelayElsewhere, []connectors.Kind{connectors.KindInvalid}},
	} {
		m := r.letter(1)
		before := r.h.Relay.Dials()
		r.h.Relay.Break(f.fault)
		start := time.Now()
		_, err := r.Sender.SendMessage(r.ctx, m)
		r.want(err, "SendMessage with "+string(f.fault), f.kinds...)
		if f.fault == RelayBusy && connectors.RetryAfterOf(err) <= 0 {
			r.errorf("it isn't said when to come back")
		}
		if n := r.h.Relay.Dials() - before; n != 1 {
			r.errorf("%s: %d conversations for one call that fails", f.fault, n)
		}
		if took := time.Since(start); took > time.Minute {
			r.errorf("%s held the caller for %v", f.fault, took)
		}
		r.h.Relay.Break(RelayWell)
		r.held(m, 0)
	}
}

func mailUnsent(r *run) {
	whole := r.ctx
	ctx, cancel := context.WithCancel(whole)
	cancel()
	_, err := r.Sender.SendMessage(ctx, r.letter(1))
	r.want(err, "SendMessage for a caller who gave up", connectors.KindCanceled)
	r.quota.refuse = 12 * time.Second
	_, err = r.Sender.SendMessage(whole, r.letter(1))
	if r.want(err, "SendMessage without quota", connectors.KindThrottled) && connectors.RetryAfterOf(err) != 12*time.Second {
		r.errorf("without quota: retry after %v", connectors.RetryAfterOf(err))
	}
	if n := r.h.Relay.Dials(); n != 0 {
		r.errorf("%d conversations were begun without quota, or for a caller who had given up", n)
	}
	r.quota.refuse = 0
	r.mail(r.letter(1))
	for class, n := range r.quota.taken {
		if n != 1 || !slices.ContainsFunc(r.Limits.Budgets, func(b connectors.Budget) bool { return b.Class == class }) {
			r.errorf("%d tokens of %q were reserved for one mail; declared: %v", n, class, r.Limits.Budgets)
		}
	}
	if len(r.quota.taken) != 1 {
		r.errorf("a mail reserved in %d classes", len(r.quota.taken))
	}
}
