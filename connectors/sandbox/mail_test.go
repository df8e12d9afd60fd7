package sandbox_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// smtp is a client that types commands.
type smtp struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func dialMail(t testing.TB, s *sandbox.Sandbox) *smtp {
	t.Helper()
	c, err := s.DialMail(t.Context(), "tcp", "relay:25")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	x := &smtp{t, c, bufio.NewReader(c)}
	x.want("220")
	return x
}

// answer reads one answer, which may have several lines.
func (x *smtp) answer() string {
	x.t.Helper()
	for all := ""; ; {
		line, err := x.r.ReadString('\n')
		if err != nil {
			return "closed"
		}
		all += line
		if len(line) < 4 || line[3] == ' ' {
			return strings.TrimSpace(all)
		}
	}
}

func (x *smtp) want(begin string) string {
	x.t.Helper()
	got := x.answer()
	last := got[strings.LastIndex(got, "\n")+1:]
	if !strings.HasPrefix(last, begin) {
		x.t.Errorf("got %q, want %s", got, begin)
	}
	return got
}

// say sends a line and wants an answer that begins so.
func (x *smtp) say(line, begin string) string {
	x.t.Helper()
	if _, err := fmt.Fprintf(x.c, "%s\r\n", line); err != nil && begin != "closed" {
		x.t.Fatal(err)
	}
	return x.want(begin)
}

const goodMail = "From: a@hub.example.go.jp\r\nTo: b@city.example.lg.jp\r\nDate: Wed, 1 Apr 2026 10:00:00 +0900\r\nMessage-ID: <1@hub.example.go.jp>\r\n" +
	"Subject: x\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nbody\r\n"

// deliver sends raw and wants an answer that begins so.
func (x *smtp) deliver(raw, begin string) {
	x.t.Helper()
	x.say("MAIL FROM:<a@hub.example.go.jp>", "250")
	x.say("RCPT TO:<b@city.example.lg.jp>", "250")
	x.say("DATA", "354")
	x.say(raw+".", begin)
}

func withMail(change func(*sandbox.MailOptions)) func(*sandbox.Options) {
	return func(o *sandbox.Options) {
		o.Mail = sandbox.MailOptions{Domains: []string{"lg.jp"}, MaxSize: 4096, MaxRecipients: 2}
		if change != nil {
			change(&o.Mail)
		}
	}
}

func TestRelayRefusesWhatRelaysRefuse(t *testing.T) {
	f := newFixture(t, withMail(nil))
	x := dialMail(t, f.s)
	x.say("MAIL FROM:<a@hub.example.go.jp>", "503")
	x.say("EHLO", "501")
	if got := x.say("EHLO hub.example.go.jp", "250"); !strings.Contains(got, "SIZE 4096") || strings.Contains(got, "STARTTLS") || strings.Contains(got, "AUTH") {
		t.Errorf("EHLO: %q", got)
	}
	x.say("WHAT", "500")
	x.say("STARTTLS", "503")
	x.say("AUTH PLAIN AAAA", "503")
	x.say("MAIL FROM:<a b@c>", "553")
	x.say("MAIL FROM:<a@hub.example.go.jp> SIZE=5000", "552")
	x.say("MAIL FROM:<a@hub.example.go.jp> SMTPUTF8", "555")
	x.say("RCPT TO:<b@city.example.lg.jp>", "503")
	x.say("DATA", "503")
	y := dialMail(t, f.s)
	y.say("EHLO hub.example.go.jp", "250")
	y.say("MAIL FROM:<a@hub.example.go.jp> SIZE=100 BODY=8BITMIME RET=HDRS", "250")
	y.say("RCPT TO:<b@unknown.example>", "550 5.1.2")
	y.say("RCPT TO:b@city.example.lg.jp", "501")
	y.say("RCPT TO:<b@city.example.lg.jp> NOTIFY=FAILURE", "250")
	y.say("RCPT TO:<c@city.example.lg.jp>", "250")
	y.say("RCPT TO:<d@city.example.lg.jp>", "452 4.5.3")
	y.say("RSET", "250")
	for raw, want := range map[string]string{
		strings.Replace(goodMail, "Date", "X-Date", 1):                        "550",
		strings.Replace(goodMail, "Message-ID", "X-Id", 1):                    "550",
		strings.Replace(goodMail, "From: ", "From: x@y.example\r\nFrom: ", 1): "550",
		strings.Replace(goodMail, "Subject: x", "Subject: 件名", 1):             "554",
		goodMail + "bare\nline\r\n":                                           "550 5.5.2",
		goodMail + strings.Repeat("x", 999) + "\r\n":                          "500",
		goodMail + strings.Repeat(strings.Repeat("x", 500)+"\r\n", 9):         "552",
	} {
		z := dialMail(t, f.s)
		z.say("EHLO hub.example.go.jp", "250")
		z.deliver(raw, want)
	}
	z := dialMail(t, f.s)
	z.say("EHLO "+strings.Repeat("x", 5000), "500")
	z.say("EHLO hub.example.go.jp", "250")
	z.deliver(goodMail+"..dotted\r\n", "250")
	z.say("QUIT", "221")
	z.say("NOOP", "closed")
	st, err := f.s.State(sandbox.Mail)
	if err != nil || len(st.Mails) != 1 || st.Mails[0].Text != "body\n.dotted\n" || st.Counts.Mails != 1 || len(st.Mails[0].Faults) != 0 {
		t.Errorf("%+v, %v", st.Mails, err)
	}
	many := dialMail(t, f.s)
	for range 9 {
		many.say("WHAT", "500")
	}
	many.say("WHAT", "500")
	many.want("421")
}

func TestRelayAuthenticates(t *testing.T) {
	f := newFixture(t, withMail(func(o *sandbox.MailOptions) { o.User, o.Password = "hub", "pw" }))
	x := dialMail(t, f.s)
	if got := x.say("EHLO hub.example.go.jp", "250"); !strings.Contains(got, "AUTH PLAIN LOGIN") {
		t.Errorf("EHLO: %q", got)
	}
	x.say("MAIL FROM:<a@hub.example.go.jp>", "530")
	x.say("AUTH CRAM-MD5", "504")
	x.say("AUTH PLAIN !", "501")
	x.say("AUTH PLAIN AGh1YgB4", "535") // hub, x
	x.say("AUTH LOGIN", "334")
	x.say("aHVi", "334")
	x.say("cHc=", "235")
	x.say("AUTH PLAIN AGh1YgBwdw==", "503")
	x.deliver(goodMail, "250")
}

func TestRelayThrottles(t *testing.T) {
	f := newFixture(t, withMail(func(o *sandbox.MailOptions) { o.Rate = 1 }), func(o *sandbox.Options) { o.QuotaScale = 1 })
	x := dialMail(t, f.s)
	x.say("EHLO hub.example.go.jp", "250")
	for range 2 {
		x.deliver(goodMail, "250")
	}
	x.say("MAIL FROM:<a@hub.example.go.jp>", "450 4.7.1")
	f.clock.forward(1e9)
	x.deliver(goodMail, "250")
	for _, q := range f.s.Quotas() {
		if q.App == sandbox.Mail && (q.Requests != 4 || q.Rejected != 1) {
			t.Errorf("%+v", q)
		}
	}
}

func TestMailSurvivesARestart(t *testing.T) {
	dir, maildir := t.TempDir(), filepath.Join(t.TempDir(), "Maildir")
	keep := func(o *sandbox.Options) { o.Dir, o.Mail.Maildir = dir, maildir }
	f := newFixture(t, withMail(nil), keep)
	x := dialMail(t, f.s)
	x.say("EHLO hub.example.go.jp", "250")
	x.deliver(goodMail, "250")
	if err := f.s.ReplyMail(1, "返信です", "ISO-2022-JP"); err != nil {
		t.Fatal(err)
	}
	if err := f.s.BounceMail(1, "", "failed"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{f.s.ReplyMail(2, "x", ""), f.s.ReplyMail(1, "", ""), f.s.ReplyMail(1, "x", "koi8-r"), f.s.ReplyMail(1, "👩", "ISO-2022-JP"), f.s.BounceMail(1, "", "maybe")} {
		if err == nil {
			t.Error("accepted")
		}
	}
	before, _ := f.s.State(sandbox.Mail)
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
	f = newFixture(t, withMail(nil), keep)
	after, _ := f.s.State(sandbox.Mail)
	if fmt.Sprint(before) != fmt.Sprint(after) || len(after.Mails) != 1 || after.Mails[0].Replies != 1 || after.Mails[0].Bounces != 1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	x = dialMail(t, f.s)
	x.say("EHLO hub.example.go.jp", "250")
	x.deliver(goodMail, "250")
	if st, _ := f.s.State(sandbox.Mail); len(st.Mails) != 2 || st.Mails[1].ID != 2 || !st.Mails[1].Duplicate {
		t.Errorf("%+v", st.Mails)
	}
	if entries, err := os.ReadDir(filepath.Join(maildir, "new")); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := f.s.Reset(); err != nil {
		t.Fatal(err)
	}
	if st, _ := f.s.State(sandbox.Mail); len(st.Mails) != 0 {
		t.Errorf("%+v", st.Mails)
	}
}

func TestMailFaultsAreChecked(t *testing.T) {
	f := newFixture(t)
	for _, bad := range []sandbox.Fault{
		{Target: sandbox.Mail, Kind: sandbox.FaultDropMember},
		{Target: sandbox.Mail, Kind: sandbox.FaultStaleRead, DelayMS: 1},
		{Target: sandbox.Mail, Kind: sandbox.FaultReset, Method: "POST"},
		{Target: "smtp", Kind: sandbox.FaultReset},
	} {
		if f.s.AddFaults(bad) == nil {
			t.Errorf("accepted %+v", bad)
		}
	}
	if err := f.s.AddFaults(sandbox.Fault{Target: sandbox.Mail, Op: "RCPT", Kind: sandbox.FaultNoRetryAfter, Count: 1}); err != nil {
		t.Fatal(err)
	}
	x := dialMail(t, f.s)
	x.say("EHLO hub.example.go.jp", "250")
	x.say("MAIL FROM:<a@hub.example.go.jp>", "250")
	x.say("RCPT TO:<b@city.example.lg.jp>", "450 4.7.1")
	x.say("RCPT TO:<b@city.example.lg.jp>", "250")
}

// TestMailPages reads a mail as a person does, and answers it by the form.
func TestMailPages(t *testing.T) {
	maildir := t.TempDir()
	f := newFixture(t, withMail(func(o *sandbox.MailOptions) { o.Maildir = maildir }))
	x := dialMail(t, f.s)
	x.say("EHLO hub.example.go.jp", "250")
	x.deliver(strings.Replace(goodMail, "Subject: x", "Subject: =?UTF-8?B?POeFp+S8mj4=?=", 1), "250")
	page := func(method, path, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, base+path, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		f.s.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/mail/", "/mail/?q=city.example", "/mail/1"} {
		if w := page("GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), "&lt;照会&gt;") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := page("GET", "/mail/?q=nothing", ""); strings.Contains(w.Body.String(), "照会") {
		t.Error("the search finds what it shouldn't")
	}
	for path, want := range map[string]int{"/mail/2": 404, "/mail/x": 404, "/mail": 301} {
		if w := page("GET", path, ""); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	reply := url.Values{"text": {"了解しました"}, "charset": {"Shift_JIS"}}.Encode()
	if w := page("POST", "/mail/1/reply", reply, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("a form of another site: %d", w.Code)
	}
	if w := page("POST", "/mail/1/reply", reply, "Origin", "http://evil.example"); w.Code != http.StatusForbidden {
		t.Errorf("a form of another site: %d", w.Code)
	}
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/mail/1/reply", reply, http.StatusSeeOther},
		{"/mail/1/bounce", "action=delayed", http.StatusSeeOther},
		{"/mail/1/bounce", "action=x", http.StatusBadRequest},
		{"/mail/1/reply", "text=", http.StatusBadRequest},
		{"/mail/9/reply", reply, http.StatusNotFound},
		{"/mail/1/delete", "x=y", http.StatusNotFound},
		{"/mail/1/reply", "text=" + strings.Repeat("x", 70_000), http.StatusBadRequest},
	} {
		if w := page("POST", c.path, c.body, "Origin", base, "Sec-Fetch-Site", "same-origin"); w.Code != c.want {
			t.Errorf("%s %.20s: %d %s", c.path, c.body, w.Code, w.Body)
		}
	}
	entries, err := os.ReadDir(filepath.Join(maildir, "new"))
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	raw, err := os.ReadFile(filepath.Join(maildir, "new", entries[0].Name()))
	if err != nil || !bytes.Contains(raw, []byte("In-Reply-To: <1@hub.example.go.jp>")) || !bytes.Contains(raw, []byte("charset=Shift_JIS")) {
		t.Errorf("%s, %v", raw, err)
	}
	if w := page("GET", "/_control/state?app=mail", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"replies":1,"bounces":1`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
