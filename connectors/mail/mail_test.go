package mail_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/mail"
	"github.com/musubi-hub/musubi/connectors/mail/inbound"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

func TestArrivesAsWritten(t *testing.T) {
	f := newFixture(t, nil, nil)
	subjects := []string{
		"照会", "【至急】令和８年台風第１２号に伴う避難所の開設状況及び被害状況の報告について（照会・三回目・総務課経由）",
		"ﾊﾝｶｸｶﾞｷﾞｸﾞｹﾞｺﾞﾊﾟﾋﾟﾌﾟﾍﾟﾎﾟﾊﾟﾋﾟﾌﾟﾍﾟﾎﾟ", strings.Repeat("葛\U000E0100城市", 20), "か\u3099き\u3099 👨‍👩‍👧‍👦 ①㈱髙﨑", "plain ASCII subject",
		"=?UTF-8?B?5YGl?= as typed", "two  blanks", " blanks around ", strings.Repeat("a", 250), "改行なし: ; , \"quoted\" <x@y>",
	}
	text := "一行目 ｶﾞｷﾞ 葛\U000E0100\n.点で始まる行\n\n> 引用\n" + strings.Repeat("長い行です。", 200) + "\nFrom here\ttab\n"
	root := ""
	for i, subject := range subjects {
		m := message(fmt.Sprintf("order-%d", i))
		m.Subject, m.Text, m.Thread = subject, text, root
		sent, err := f.send(m)
		if err != nil {
			t.Fatal(err)
		}
		got := f.mails()[i]
		if got.subject != subject || len(got.faults) != 0 || got.from != "結び 連絡窓口 <musubi@"+domain+">" || !slices.Equal(got.to, []string{"見本 花子 <hanako@city.example.lg.jp>"}) {
			t.Errorf("%q arrived as %+v", subject, got)
		}
		if want := strings.ReplaceAll(text, "\n", ""); strings.ReplaceAll(got.text, "\n", "") != want {
			t.Errorf("the text arrived as %q", got.text)
		}
		for line := range strings.SplitSeq(got.text, "\n") {
			if len(line) > 900 {
				t.Errorf("a line of %d octets", len(line))
			}
		}
		if got.messageID != sent.ID || got.inReplyTo != root || got.references != root || got.auto != "auto-generated" || got.duplicate {
			t.Errorf("headers %+v, receipt %+v, root %q", got, sent, root)
		}
		if root == "" {
			root = sent.Thread
		} else if sent.Thread != root {
			t.Errorf("an answer's thread is %q, want %q", sent.Thread, root)
		}
	}
}

// TestAnySubjectArrives also holds that no encoded word begins with what belongs to the character before it.
func TestAnySubjectArrives(t *testing.T) {
	f := newFixture(t, nil, nil)
	word := regexp.MustCompile(`=\?UTF-8\?B\?[A-Za-z0-9+/=]*\?=`)
	runes := rapid.OneOf(rapid.SampledFrom([]rune("aZ 葛󠄀がカﾞﾟ☎️👩‍💻=?_\"<>,あ")), rapid.Rune().Filter(func(r rune) bool {
		return !unicode.IsControl(r) && r != 0x2028 && r != 0x2029 && !(r >= 0x202a && r <= 0x202e) && !(r >= 0x2066 && r <= 0x2069)
	}))
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		subject := string(rapid.SliceOfN(runes, 1, 120).Draw(rt, "subject"))
		if strings.TrimSpace(subject) == "" {
			return
		}
		m := message(fmt.Sprintf("s-%d", n))
		m.Subject = subject
		if _, err := f.send(m); err != nil {
			rt.Fatal(err)
		}
		mails := f.mails()
		n++
		if got := mails[len(mails)-1]; got.subject != subject || len(got.faults) != 0 {
			rt.Fatalf("%q arrived as %q, %v", subject, got.subject, got.faults)
		}
		raw := mail.EncodeHeader(subject)
		for i, w := range word.FindAllString(raw, -1) {
			text, err := new(mime.WordDecoder).Decode(w)
			if err != nil || len(w) > 75 || !utf8.ValidString(text) {
				rt.Fatalf("word %q: %v", w, err)
			}
			if r, _ := utf8.DecodeRuneInString(text); i > 0 && unicode.Is(unicode.M, r) && utf8.RuneCountInString(text) < 8 && !longCluster(subject) {
				rt.Fatalf("%q is divided before a mark", subject)
			}
		}
	})
}

// longCluster says whether s has a character of more octets than a word holds.
func longCluster(s string) bool {
	run := 0
	for _, r := range s {
		if run += utf8.RuneLen(r); !unicode.Is(unicode.M, r) && r != 0x200d && r != 0xff9e && r != 0xff9f {
			run = utf8.RuneLen(r)
		}
		if run > 30 {
			return true
		}
	}
	return false
}

func TestHTMLStandsNeverAlone(t *testing.T) {
	f := newFixture(t, nil, func(c *mail.Config) { c.HTML = true })
	m := message("html")
	m.Text = "<script>alert(1)</script> & 本文\n二行目\n"
	m.Actions = []connectors.Action{{ID: "a", Label: "回答する", URL: "https://hub.example.go.jp/a?x=1&y=2"}, {ID: "b", Label: "押す"}}
	if _, err := f.send(m); err != nil {
		t.Fatal(err)
	}
	got := f.mails()[0]
	if len(got.faults) != 0 || !strings.HasPrefix(got.text, m.Text) || !strings.Contains(got.text, "回答する:\nhttps://hub.example.go.jp/a?x=1&y=2\n") || strings.Contains(got.text, "押す") {
		t.Errorf("text %q, faults %v", got.text, got.faults)
	}
	if strings.Contains(got.html, "<script>") || !strings.Contains(got.html, "&lt;script&gt;") || !strings.Contains(got.html, `href="https://hub.example.go.jp/a?x=1&amp;y=2"`) {
		t.Errorf("html %q", got.html)
	}
}

func TestBadMessagesCostNothing(t *testing.T) {
	dialled := 0
	f := newFixture(t, nil, func(c *mail.Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context, n, a string) (net.Conn, error) { dialled++; return dial(ctx, n, a) }
		c.MaxRecipients = 2
	})
	to := func(a, n string) []connectors.Recipient { return []connectors.Recipient{{Address: a, Name: n}} }
	for name, change := range map[string]func(*connectors.Message){
		"subject with a header":    func(m *connectors.Message) { m.Subject = "x\r\nBcc: evil@example.jp" },
		"subject with LF":          func(m *connectors.Message) { m.Subject = "x\nBcc: evil@example.jp" },
		"subject turned around":    func(m *connectors.Message) { m.Subject = "x\u202eexe" },
		"no subject":               func(m *connectors.Message) { m.Subject = "\u3000" },
		"name with a header":       func(m *connectors.Message) { m.To = to("a@city.example.lg.jp", "x\r\nBcc: y") },
		"name as an encoded word":  func(m *connectors.Message) { m.To = to("a@city.example.lg.jp", "=?UTF-8?B?QQ==?=") },
		"address with a header":    func(m *connectors.Message) { m.To = to("a@city.example.lg.jp\r\nRCPT TO:<x@y.example>", "") },
		"address with a parameter": func(m *connectors.Message) { m.To = to("a@city.example.lg.jp> NOTIFY=NEVER", "") },
		"two addresses":            func(m *connectors.Message) { m.To = to("a@city.example.lg.jp,b@city.example.lg.jp", "") },
		"quoted address":           func(m *connectors.Message) { m.To = to(`"a b"@city.example.lg.jp`, "") },
		"name and address":         func(m *connectors.Message) { m.To = to("A <a@city.example.lg.jp>", "") },
		"Japanese address":         func(m *connectors.Message) { m.To = to("花子@city.example.lg.jp", "") },
		"Japanese domain":          func(m *connectors.Message) { m.To = to("a@見本.jp", "") },
		"long local part":          func(m *connectors.Message) { m.To = to(strings.Repeat("a", 65)+"@city.example.lg.jp", "") },
		"no host":                  func(m *connectors.Message) { m.To = to("a@-x", "") },
		"twice": func(m *connectors.Message) {
			m.To = append(to("a@city.example.lg.jp", ""), to("A@city.example.lg.jp", "")...)
		},
		"three recipients": func(m *connectors.Message) {
			m.To = slices.Concat(to("a@city.example.lg.jp", ""), to("b@city.example.lg.jp", ""), to("c@city.example.lg.jp", ""))
		},
		"a channel":         func(m *connectors.Message) { m.To, m.Channel = nil, "C1" },
		"a foreign thread":  func(m *connectors.Message) { m.Thread = "x@y>\r\nBcc: z" },
		"escape in text":    func(m *connectors.Message) { m.Text = "\x1b$B" },
		"CR in text":        func(m *connectors.Message) { m.Text = "a\r.\r\nb" },
		"no text":           func(m *connectors.Message) { m.Text = " " },
		"bad key":           func(m *connectors.Message) { m.Key = "a b" },
		"subject not UTF-8": func(m *connectors.Message) { m.Subject = "\xff" },
	} {
		m := message("bad")
		change(&m)
		_, err := f.send(m)
		if connectors.KindOf(err) != connectors.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "@") {
			t.Errorf("%s: an address is in %v", name, err)
		}
	}
	if dialled != 0 || len(f.mails()) != 0 {
		t.Errorf("%d connections, %d mails", dialled, len(f.mails()))
	}
}

func TestAnswers(t *testing.T) {
	const minutes = 5 * time.Minute
	for _, c := range []struct {
		verb, answer string
		want         connectors.Kind
		code         string
		after        time.Duration
	}{
		{"CONNECT", "421 4.3.2 busy", connectors.KindUnavailable, "4.3.2", 0},
		{"CONNECT", "554 no service", connectors.KindProtocol, "", 0},
		{"CONNECT", "<html>", connectors.KindUnavailable, "", 0},
		{"EHLO", "500 what", connectors.KindUnknown, "", 0}, // HELO follows and succeeds
		{"MAIL", "450 4.7.1 slow down", connectors.KindThrottled, "4.7.1", minutes},
		{"MAIL", "451 4.3.0 disk", connectors.KindUnavailable, "4.3.0", 0},
		{"MAIL", "552 5.3.4 too big", connectors.KindTooLarge, "5.3.4", 0},
		{"MAIL", "530 5.7.0 authenticate", connectors.KindAuth, "5.7.0", 0},
		{"MAIL", "503 bad sequence", connectors.KindProtocol, "", 0},
		{"MAIL", "553 5.1.8 sender", connectors.KindInvalid, "5.1.8", 0},
		{"RCPT", "450 greylisted", connectors.KindThrottled, "", minutes},
		{"RCPT", "451 4.7.1 <hanako@city.example.lg.jp>: greylisted", connectors.KindThrottled, "4.7.1", minutes},
		{"RCPT", "450 4.2.1 mailbox busy", connectors.KindUnavailable, "4.2.1", 0},
		{"RCPT", "452 4.5.3 too many recipients", connectors.KindThrottled, "4.5.3", minutes},
		{"RCPT", "550 5.1.1 <hanako@city.example.lg.jp>: User unknown", connectors.KindInvalid, "5.1.1", 0},
		{"RCPT", "552 5.2.2 mailbox full", connectors.KindInvalid, "5.2.2", 0},
		{"RCPT", "421 4.3.2 going down", connectors.KindUnavailable, "4.3.2", 0},
		{"RCPT", "", connectors.KindUnavailable, "", 0}, // the connection breaks
		{"DATA", "554 5.5.1 no recipients", connectors.KindInvalid, "5.5.1", 0},
		{"DATA", "250 what", connectors.KindProtocol, "", 0},
		{"END", "554 5.6.0 spam", connectors.KindInvalid, "5.6.0", 0},
		{"END", "552 message too large", connectors.KindTooLarge, "", 0},
		{"END", "451 4.7.1 greylisted", connectors.KindThrottled, "4.7.1", minutes},
		{"END", "421 4.4.2 going down", connectors.KindUnavailable, "4.4.2", 0},
		{"END", "", connectors.KindAmbiguous, "", 0},
		{"END", "<html>", connectors.KindAmbiguous, "", 0},
		{"QUIT", "", connectors.KindUnknown, "", 0}, // accepted is accepted
	} {
		answers := map[string]string{c.verb: c.answer}
		conn, err := mail.New(config(scripted(answers)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.SendMessage(t.Context(), message("k"))
		if c.want == connectors.KindUnknown {
			if err != nil {
				t.Errorf("%s %q: %v", c.verb, c.answer, err)
			}
			continue
		}
		code := ""
		if len(c.answer) > 3 && c.answer[0] != '<' {
			code = strings.TrimSpace(c.answer[:3] + " " + c.code)
		}
		var e *connectors.Error
		if !errors.As(err, &e) || e.Kind != c.want || e.Code != code || e.RetryAfter != c.after || e.Vendor != "mail" || e.Op == "" {
			t.Errorf("%s %q: %v (%#v)", c.verb, c.answer, err, e)
			continue
		}
		if strings.Contains(err.Error(), "hanako") {
			t.Errorf("an address is in %v", err)
		}
	}
}

// TestOneRefusedRecipientSendsNothing: who got the mail must never be unknown in part.
func TestOneRefusedRecipientSendsNothing(t *testing.T) {
	f := newFixture(t, nil, nil)
	m := message("two")
	m.To = append(m.To, connectors.Recipient{Address: "taro@nowhere.invalid"})
	_, err := f.send(m)
	if connectors.KindOf(err) != connectors.KindInvalid || !strings.Contains(err.Error(), "recipient 2 of 2") || strings.Contains(err.Error(), "taro") {
		t.Errorf("%v", err)
	}
	if n := len(f.mails()); n != 0 {
		t.Errorf("%d mails", n)
	}
}

func TestRelayFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		for _, c := range []struct {
			fault sandbox.Fault
			want  connectors.Kind
			mails int // that the relay took
		}{
			{sandbox.Fault{Kind: sandbox.FaultStatus, Op: "RCPT", Status: 450}, connectors.KindThrottled, 0},
			{sandbox.Fault{Kind: sandbox.FaultStatus, Op: "END", Status: 552}, connectors.KindTooLarge, 0},
			{sandbox.Fault{Kind: sandbox.FaultReset, Op: "CONNECT"}, connectors.KindUnavailable, 0},
			{sandbox.Fault{Kind: sandbox.FaultReset, Op: "DATA"}, connectors.KindUnavailable, 0},
			{sandbox.Fault{Kind: sandbox.FaultReset, Op: "END"}, connectors.KindAmbiguous, 0},
			{sandbox.Fault{Kind: sandbox.FaultHTML, Op: "MAIL"}, connectors.KindUnavailable, 0},
			{sandbox.Fault{Kind: sandbox.FaultLatency, Op: "RCPT", DelayMS: 60_000}, connectors.KindUnavailable, 0},
			{sandbox.Fault{Kind: sandbox.FaultSwallow, Op: "END", DelayMS: 10}, connectors.KindAmbiguous, 1},
			{sandbox.Fault{Kind: sandbox.FaultSwallow, Op: "END"}, connectors.KindAmbiguous, 1},
		} {
			before := len(f.mails())
			c.fault.Target = sandbox.Mail
			if err := f.box.AddFaults(c.fault); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err := f.send(message("fault"))
			if connectors.KindOf(err) != c.want {
				t.Errorf("%+v: %v, want %v", c.fault, err, c.want)
			}
			if took := time.Since(start); took > mail.DefaultTimeout {
				t.Errorf("%+v held the caller for %v", c.fault, took)
			}
			f.box.ClearFaults()
			synctest.Wait()
			if got := len(f.mails()) - before; got != c.mails {
				t.Errorf("%+v: the relay took %d mails, want %d", c.fault, got, c.mails)
			}
		}
		// Sent again under its key, the copy is known by its Message-ID.
		sent, err := f.send(message("fault"))
		if err != nil {
			t.Fatal(err)
		}
		mails := f.mails()
		last := mails[len(mails)-1]
		if !last.duplicate || last.messageID != sent.ID || mails[0].messageID != sent.ID {
			t.Errorf("%+v", last)
		}
		time.Sleep(15 * time.Minute) // the relay's sessions end
	})
}

func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.c.SendMessage(ctx, message("k")); connectors.KindOf(err) != connectors.KindCanceled {
			t.Errorf("before: %v", err)
		}
		for op, want := range map[string]connectors.Kind{"CONNECT": connectors.KindCanceled, "RCPT": connectors.KindCanceled, "END": connectors.KindAmbiguous} {
			if err := f.box.AddFaults(sandbox.Fault{Target: sandbox.Mail, Kind: sandbox.FaultLatency, Op: op, DelayMS: 5000}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			if _, err := f.c.SendMessage(ctx, message("k")); connectors.KindOf(err) != want || time.Since(start) != time.Second {
				t.Errorf("during %s: %v after %v", op, err, time.Since(start))
			}
			cancel()
			f.box.ClearFaults()
		}
		time.Sleep(15 * time.Minute)
	})
}

func TestNoQuotaSendsNothing(t *testing.T) {
	f := newFixture(t, nil, func(c *mail.Config) { c.Quota = refusing{} })
	_, err := f.send(message("k"))
	if connectors.KindOf(err) != connectors.KindThrottled || connectors.RetryAfterOf(err) != 7*time.Second || len(f.mails()) != 0 {
		t.Errorf("%v", err)
	}
}

type refusing struct{}

func (refusing) Reserve(context.Context, connectors.Class, int) error {
	return &connectors.Error{Kind: connectors.KindThrottled, Vendor: "quota", RetryAfter: 7 * time.Second}
}

func TestSecurity(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	server := ca.server(t, "relay.sandbox.invalid")
	demanding := server.Clone()
	demanding.ClientAuth, demanding.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool()
	clientCert, clientKey := ca.issue(t, "hub")
	login := func(c *mail.Config) { c.User, c.Password = "hub", outbound.NewSecret(password) }
	for name, c := range map[string]struct {
		relay  func(*sandbox.MailOptions)
		change func(*mail.Config)
		want   connectors.Kind // KindUnknown: it is sent
	}{
		"STARTTLS": {
			func(o *sandbox.MailOptions) { o.TLS = server },
			func(c *mail.Config) { c.Security, c.TLS.ExtraCA = mail.StartTLS, ca.pem }, connectors.KindUnknown,
		},
		"STARTTLS with password": {
			func(o *sandbox.MailOptions) { o.TLS, o.User, o.Password = server, "hub", password },
			func(c *mail.Config) { c.Security, c.TLS.ExtraCA = mail.StartTLS, ca.pem; login(c) }, connectors.KindUnknown,
		},
		"wrong password": {
			func(o *sandbox.MailOptions) { o.TLS, o.User, o.Password = server, "hub", "another" },
			func(c *mail.Config) { c.Security, c.TLS.ExtraCA = mail.StartTLS, ca.pem; login(c) }, connectors.KindAuth,
		},
		"password wanted": {
			func(o *sandbox.MailOptions) { o.TLS, o.User, o.Password = server, "hub", password },
			func(c *mail.Config) { c.Security, c.TLS.ExtraCA = mail.StartTLS, ca.pem }, connectors.KindAuth,
		},
		"password not wanted": {
			func(o *sandbox.MailOptions) { o.TLS = server },
			func(c *mail.Config) { c.Security, c.TLS.ExtraCA = mail.StartTLS, ca.pem; login(c) }, connectors.KindAuth,
		},
		"not offered": {
			nil, func(c *mail.Config) { c.Security = mail.StartTLS }, connectors.KindProtocol,
		},
		"not offered, with password": {
			func(o *sandbox.MailOptions) { o.User, o.Password = "hub", password },
			func(c *mail.Config) { c.Security = mail.StartTLS; login(c) }, connectors.KindProtocol,
		},
		"unknown authority": {
			func(o *sandbox.MailOptions) { o.TLS = server },
			func(c *mail.Config) { c.Security, c.TLS.ExtraCA = mail.StartTLS, other.pem }, connectors.KindProtocol,
		},
		"another name": {
			func(o *sandbox.MailOptions) { o.TLS = ca.server(t, "other.invalid") },
			func(c *mail.Config) { c.Security, c.TLS.ExtraCA = mail.StartTLS, ca.pem }, connectors.KindProtocol,
		},
		"client certificate": {
			func(o *sandbox.MailOptions) { o.TLS = demanding },
			func(c *mail.Config) {
				c.Security, c.TLS = mail.StartTLS, outbound.TLS{ExtraCA: ca.pem, ClientCert: clientCert, ClientKey: outbound.NewSecret(string(clientKey)), MinVersion: "1.3"}
			}, connectors.KindUnknown,
		},
	} {
		f := newFixture(t, c.relay, c.change)
		_, err := f.send(message("k"))
		if c.want == connectors.KindUnknown && err != nil || c.want != connectors.KindUnknown && connectors.KindOf(err) != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		mails := f.mails()
		if (len(mails) == 1) != (c.want == connectors.KindUnknown) || len(mails) == 1 && !mails[0].tls {
			t.Errorf("%s: %d mails", name, len(mails))
		}
		noSecret(t, f.log.String(), err)
	}
}

func TestImplicitTLS(t *testing.T) {
	ca := newAuthority(t)
	server := ca.server(t, "relay.sandbox.invalid")
	f := newFixture(t, func(o *sandbox.MailOptions) { o.User, o.Password = "hub", password }, nil)
	cfg := config(nil)
	cfg.Security, cfg.User, cfg.Password, cfg.TLS.ExtraCA = mail.TLS, "hub", outbound.NewSecret(password), ca.pem
	dial := f.socket(server)
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "relay.sandbox.invalid:465" {
			t.Errorf("dials %s", address)
		}
		return dial(ctx, network, address)
	}
	c, err := mail.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SendMessage(t.Context(), message("k")); err != nil || len(f.mails()) != 1 {
		t.Errorf("%v, %d mails", err, len(f.mails()))
	}
	cfg.TLS.ExtraCA = newAuthority(t).pem
	if c, err = mail.New(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SendMessage(t.Context(), message("k")); connectors.KindOf(err) != connectors.KindProtocol || len(f.mails()) != 1 {
		t.Errorf("unknown authority: %v, %d mails", err, len(f.mails()))
	}
}

// noSecret searches a log and every text of an error.
func noSecret(t *testing.T, log string, err error) {
	t.Helper()
	texts := []string{log}
	for e := err; e != nil; e = errors.Unwrap(e) {
		texts = append(texts, e.Error(), fmt.Sprintf("%+v %#v", e, e))
	}
	for _, text := range texts {
		for _, secret := range []string{password, idKey, base64.RawStdEncoding.EncodeToString([]byte(password)), base64.StdEncoding.EncodeToString([]byte("\x00hub\x00" + password)), "hanako", "被害状況"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
}

// TestRelayThatEchoesSecrets: a relay that repeats what it was told must not bring it into an error.
func TestRelayThatEchoesSecrets(t *testing.T) {
	ca := newAuthority(t)
	server := ca.server(t, "relay.sandbox.invalid")
	plain := base64.StdEncoding.EncodeToString([]byte("\x00hub\x00" + password))
	echo := "550 5.7.1 you said " + password + " and " + base64.StdEncoding.EncodeToString([]byte(password)) + " and " + plain + " and " + idKey + " to <hanako@city.example.lg.jp>"
	for _, verb := range []string{"CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "END"} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", server)
		if err != nil {
			t.Fatal(err)
		}
		relay := scripted(map[string]string{verb: echo, "HELO": echo})
		if verb != "EHLO" {
			relay = scripted(map[string]string{verb: echo, "EHLO": "250-relay\n250 AUTH PLAIN", "AUTH": "235 ok"})
			if verb == "AUTH" {
				relay = scripted(map[string]string{verb: echo, "EHLO": "250-relay\n250 AUTH PLAIN"})
			}
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			behind, _ := relay(t.Context(), "", "")
			go func() { _, _ = io.Copy(behind, conn); behind.Close() }()
			_, _ = io.Copy(conn, behind)
			conn.Close()
		}()
		var log bytes.Buffer
		cfg := config(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
		})
		cfg.Security, cfg.User, cfg.Password, cfg.TLS.ExtraCA = mail.TLS, "hub", outbound.NewSecret(password), ca.pem
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c, err := mail.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.SendMessage(t.Context(), message("k"))
		var e *connectors.Error
		if !errors.As(err, &e) || !strings.Contains(e.Detail, "[redacted]") || log.Len() == 0 {
			t.Errorf("%s: %v, log %q", verb, err, log.String())
		}
		noSecret(t, log.String()+fmt.Sprintf("%+v %#v", cfg, cfg.Password), err)
		l.Close()
	}
}

// TestThereAndBack goes through the whole circle: sent, answered by a person and by the mail system, read, matched.
func TestThereAndBack(t *testing.T) {
	f := newFixture(t, nil, nil)
	first, err := f.send(message("circle"))
	if err != nil {
		t.Fatal(err)
	}
	gone := message("gone")
	gone.To = []connectors.Recipient{{Address: sandbox.NoSuchMailUser + "@town.example.lg.jp"}}
	second, err := f.send(gone)
	if err != nil {
		t.Fatal(err)
	}
	for _, charset := range []string{"", "ISO-2022-JP", "Shift_JIS"} {
		if err := f.box.ReplyMail(f.mails()[0].id, "被害はありません。\n見本市 総務課", charset); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.box.BounceMail(f.mails()[0].id, "", "delayed"); err != nil {
		t.Fatal(err)
	}
	box, err := inbound.Open(f.dir, domain, inbound.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	counts, keys := map[string]int{}, map[string]bool{}
	taken, more, err := box.Drain(t.Context(), func(_ context.Context, e inbound.Event) error {
		keys[e.Key] = true
		about := strings.Join(e.About, " ")
		counts[string(e.Kind)+" "+about]++
		if e.Kind == inbound.KindReply && (e.Text != "被害はありません。\n見本市 総務課" || e.Subject != "Re: 【至急】被害状況の照会" || e.From != "hanako@city.example.lg.jp") {
			t.Errorf("%+v", e)
		}
		if e.Kind == inbound.KindBounce && (len(e.Recipients) != 1 || e.Recipients[0].Status != "5.1.1") {
			t.Errorf("%+v", e)
		}
		return nil
	})
	if err != nil || more || taken != 5 || len(keys) != 5 {
		t.Errorf("taken %d, %d keys, more %v, %v", taken, len(keys), more, err)
	}
	if counts["reply "+first.ID] != 3 || counts["bounce "+second.ID] != 1 || counts["delay "+first.ID] != 1 {
		t.Errorf("%v", counts)
	}
}

func TestMessageID(t *testing.T) {
	one := mail.MessageID(outbound.NewSecret(idKey), "k", domain)
	if one != mail.MessageID(outbound.NewSecret(idKey), "k", domain) || one == mail.MessageID(outbound.NewSecret(idKey), "l", domain) ||
		one == mail.MessageID(outbound.NewSecret(idKey+"x"), "k", domain) || !strings.HasSuffix(one, "@"+domain) {
		t.Errorf("%s", one)
	}
}

func TestNewRefuses(t *testing.T) {
	dial := scripted(nil)
	for name, change := range map[string]func(*mail.Config){
		"no host":            func(c *mail.Config) { c.Host = "" },
		"host with a path":   func(c *mail.Config) { c.Host = "a/b" },
		"port":               func(c *mail.Config) { c.Port = 70_000 },
		"security":           func(c *mail.Config) { c.Security = "ssl" },
		"plaintext password": func(c *mail.Config) { c.User, c.Password = "u", outbound.NewSecret(password) },
		"user alone":         func(c *mail.Config) { c.Security, c.User = mail.TLS, "u" },
		"password with CR": func(c *mail.Config) {
			c.Security, c.User, c.Password = mail.TLS, "u", outbound.NewSecret(password+"\r")
		},
		"no sender":           func(c *mail.Config) { c.From = "" },
		"sender with a name":  func(c *mail.Config) { c.From = "A <a@b.example>" },
		"reply address":       func(c *mail.Config) { c.ReplyTo = "x" },
		"return path":         func(c *mail.Config) { c.ReturnPath = "x\r\n@y.example" },
		"name with a newline": func(c *mail.Config) { c.FromName = "a\nb" },
		"short key":           func(c *mail.Config) { c.IDKey = outbound.NewSecret("short") },
		"HELO":                func(c *mail.Config) { c.HELO = "a b" },
		"size":                func(c *mail.Config) { c.MaxSize = 1 },
		"recipients":          func(c *mail.Config) { c.MaxRecipients = 101 },
		"rate":                func(c *mail.Config) { c.Rate = -1 },
		"timeout":             func(c *mail.Config) { c.Timeout = time.Hour },
		"authorities":         func(c *mail.Config) { c.TLS.ExtraCA = []byte("x") },
		"TLS version":         func(c *mail.Config) { c.TLS.MinVersion = "1.1" },
		"half a certificate":  func(c *mail.Config) { c.TLS.ClientCert = []byte("x") },
		"no dial":             func(c *mail.Config) { c.Dial = nil },
		"no quota":            func(c *mail.Config) { c.Quota = nil },
		"no clock":            func(c *mail.Config) { c.Now = nil },
	} {
		cfg := config(dial)
		change(&cfg)
		if _, err := mail.New(cfg); err == nil || !strings.HasPrefix(err.Error(), "mail: ") || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := mail.New(config(dial))
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := connectors.NewCatalog(c)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := catalog.Open(mail.Name)
	if err != nil || opened.Sender == nil || opened.SentFinder != nil || opened.Accounts != nil || len(opened.Limits.Budgets) != 1 {
		t.Errorf("%+v, %v", opened, err)
	}
}
