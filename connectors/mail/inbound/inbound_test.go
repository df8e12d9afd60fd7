package inbound

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

const (
	ours  = "hub.example.go.jp"
	idOne = "abcdefghijklmnopqrstuvwxyz234567@" + ours
	idTwo = "zyxwvutsrqponmlkjihgfedcba765432@" + ours
)

func jis(s string) string {
	out, err := japanese.ISO2022JP.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return out
}

func sjis(s string) string {
	out, err := japanese.ShiftJIS.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return out
}

func word(charset, s string) string {
	return "=?" + charset + "?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}

// letter writes a mail with LF ends, as a Maildir has them.
func letter(fields []string, body string) []byte {
	return []byte(strings.Join(fields, "\n") + "\n\n" + body)
}

var person = []string{
	"Return-Path: <hanako@city.example.lg.jp>", "Message-ID: <r1@city.example.lg.jp>", "Date: Wed, 1 Apr 2026 10:00:00 +0900",
	"In-Reply-To: <" + idOne + ">", "References: <" + idTwo + "> <" + idOne + ">",
}

func TestReplyInEveryCharset(t *testing.T) {
	const text, subject, name = "承知しました。\n見本市 総務課 ｶﾅ ①㈱\n", "Re: 【照会】台風第１２号の被害状況について", "見本 花子"
	for _, c := range []struct {
		name, charset, cte string
		encode             func(string) string
	}{
		{"UTF-8", "UTF-8", "8bit", func(s string) string { return s }},
		{"UTF-8 base64", "utf-8", "base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }},
		{"ISO-2022-JP", "ISO-2022-JP", "7bit", func(s string) string { return jis(strings.ReplaceAll(norm.NFKC.String(s), "(株)", "")) }},
		{"Shift_JIS", "Shift_JIS", "8bit", sjis},
		{"CP932", "cp932", "base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(sjis(s))) }},
		{"no charset, JIS", "", "7bit", func(s string) string { return jis(strings.ReplaceAll(norm.NFKC.String(s), "(株)", "")) }},
		{"no charset, Shift_JIS", "", "8bit", sjis},
		{"no charset, UTF-8", "us-ascii", "8bit", func(s string) string { return s }},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := slices.Concat(person, []string{
				"From: " + word("ISO-2022-JP", jis(name)) + " <hanako@city.example.lg.jp>",
				"Subject: " + word("UTF-8", subject[:15]) + "\n " + word("UTF-8", subject[15:]),
				"Content-Type: text/plain; charset=" + c.charset, "Content-Transfer-Encoding: " + c.cte,
			})
			if c.charset == "" {
				header = slices.DeleteFunc(header, func(s string) bool { return strings.HasPrefix(s, "Content-Type") })
			}
			e := parse(letter(header, c.encode(text)), ours, DefaultLimits)
			got, want := norm.NFKC.String(e.Text), strings.TrimSpace(norm.NFKC.String(text))
			if c.cte == "7bit" {
				want = strings.ReplaceAll(want, "(株)", "")
			}
			if e.Kind != KindReply || got != want || e.Subject != subject || e.FromName != name || e.From != "hanako@city.example.lg.jp" {
				t.Errorf("%+v", e)
			}
			if !slices.Equal(e.About, []string{idOne, idTwo}) || e.MessageID != "r1@city.example.lg.jp" || len(e.Problems) != 0 {
				t.Errorf("about %v, id %q, problems %v", e.About, e.MessageID, e.Problems)
			}
			if want := time.Date(2026, 4, 1, 1, 0, 0, 0, time.UTC); !e.Date.Equal(want) {
				t.Errorf("date %v", e.Date)
			}
		})
	}
}

// TestCharacterDividedBetweenWords holds that what some programs do to long subjects is undone.
func TestCharacterDividedBetweenWords(t *testing.T) {
	text := "避難所開設の状況"
	for i := 3; i < len(text)-3; i += 3 {
		one, two := text[:i+1], text[i+1:] // in the middle of a character
		for len(one)%3 != 0 {              // no padding between: the only way in which it can be undone
			one, two = text[:len(one)+1], text[len(one)+1:]
		}
		raw := letter([]string{"From: a@b.example", "Subject: " + word("UTF-8", one) + "\n " + word("UTF-8", two)}, "x")
		if e := parse(raw, ours, DefaultLimits); e.Subject != text {
			t.Errorf("%d: %q", i, e.Subject)
		}
	}
	raw := letter([]string{"From: a@b.example", "Subject: " + word("UTF-8", "あ\xe3\x81") + " " + word("UTF-8", "\x84う")}, "x")
	if e := parse(raw, ours, DefaultLimits); !strings.HasPrefix(e.Subject, "あ") {
		t.Errorf("%q", e.Subject)
	}
}

func TestQuotations(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"none":         {"了解しました。", "了解しました。"},
		"below":        {"了解しました。\n\n2026年4月1日(水) 10:00 結び <hub@example.go.jp>:\n\n> 確認してください。\n> 以上\n", "了解しました。"},
		"wrote":        {"OK.\n\nOn Wed, Apr 1, 2026 at 10:00 AM Hub <hub@example.go.jp>\nwrote:\n> Please confirm.\n", "OK."},
		"Outlook":      {"対応済みです。\n\n-----Original Message-----\nFrom: 結び\nSent: 2026年4月1日\n\n本文", "対応済みです。"},
		"Outlook ja":   {"対応済みです。\n\n________________________________\n差出人: 結び <hub@example.go.jp>\n送信日時: 2026年4月1日 10:00\n宛先: x\n件名: y\n\n本文", "対応済みです。"},
		"between":      {"> 被害はありますか。\nありません。\n> 避難所は。\n開設しました。", "> 被害はありますか。\nありません。\n> 避難所は。\n開設しました。"},
		"below quote":  {"2026/04/01 10:00、結びのメール:\n> 確認してください。\n\n確認しました。", "2026/04/01 10:00、結びのメール:\n> 確認してください。\n\n確認しました。"},
		"only quoted":  {"> 確認してください。\n", ""},
		"a rule":       {"一つ目\n----------\n二つ目", "一つ目\n----------\n二つ目"},
		"a From":       {"From: 駅\nこちらです", "From: 駅\nこちらです"},
		"wide mark":    {"はい\n＞確認してください", "はい"},
		"attribution?": {"打合せは 10:00 です:\n議題は二つです", "打合せは 10:00 です:\n議題は二つです"},
	} {
		if got := withoutQuotation(tidy(c.text)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

const report = `--b
Content-Type: text/plain; charset=us-ascii

This is the mail system.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.go.jp
Arrival-Date: Wed, 1 Apr 2026 10:00:00 +0900

Original-Recipient: rfc822;taro@town.example.lg.jp
Final-Recipient: rfc822; taro2@town.example.lg.jp
Action: %s
Status: %s
Diagnostic-Code: smtp; 550 5.1.1 User
 unknown

--b
Content-Type: text/rfc822-headers

Message-ID: <` + idOne + `>
References: <` + idTwo + `>
Subject: x

--b--
`

func TestReports(t *testing.T) {
	header := []string{
		"Return-Path: <>", "From: MAILER-DAEMON@relay.example.go.jp (Mail Delivery System)", "Subject: Undelivered Mail", "Auto-Submitted: auto-replied",
		`Content-Type: multipart/report; report-type=delivery-status; boundary="b"`, "Message-ID: <d1@relay.example.go.jp>",
	}
	for _, c := range []struct {
		action, status string
		want           Kind
	}{{"failed", "5.1.1", KindBounce}, {"delayed", "4.4.1", KindDelay}, {"delivered", "2.0.0", KindReport}, {"", "5.2.2", KindBounce}, {"Failed (bad)", "x", KindBounce}} {
		e := parse(letter(header, fmt.Sprintf(report, c.action, c.status)), ours, DefaultLimits)
		if e.Kind != c.want || len(e.Recipients) != 1 || !slices.Equal(e.About, []string{idOne, idTwo}) {
			t.Errorf("%s %s: %+v", c.action, c.status, e)
			continue
		}
		if d := e.Recipients[0]; d.Recipient != "taro@town.example.lg.jp" || d.Reason != "550 5.1.1 User unknown" {
			t.Errorf("%+v", d)
		}
	}
	old := letter([]string{"Return-Path: <>", "From: MAILER-DAEMON@old.example.lg.jp", "Subject: failure notice"},
		"Hi. This is the qmail-send program.\n<taro@town.example.lg.jp>:\nSorry.\n\n--- Below this line is a copy of the message.\n\nMessage-ID: <"+idOne+">\n")
	if e := parse(old, ours, DefaultLimits); e.Kind != KindBounce || !slices.Equal(e.About, []string{idOne}) {
		t.Errorf("an old bounce: %+v", e)
	}
	receipt := letter([]string{"Return-Path: <>", "From: x@y.example", `Content-Type: multipart/report; report-type=disposition-notification; boundary=b`},
		"--b\n\nread\n--b\nContent-Type: message/disposition-notification\n\nOriginal-Message-ID: <"+idOne+">\n--b--\n")
	if e := parse(receipt, ours, DefaultLimits); e.Kind != KindReport {
		t.Errorf("a read receipt: %+v", e)
	}
	away := letter([]string{"Return-Path: <>", "From: x@y.example", "Auto-Submitted: auto-replied (vacation)", "In-Reply-To: <" + idOne + ">"}, "不在です")
	if e := parse(away, ours, DefaultLimits); e.Kind != KindAutoReply || len(e.About) != 1 || e.Text != "不在です" {
		t.Errorf("an absence notice: %+v", e)
	}
}

func TestForgedOrForeignIDsAreNotOurs(t *testing.T) {
	for _, id := range []string{"abc@" + ours, strings.ToUpper(idOne), idOne + ".evil.example", "abcdefghijklmnopqrstuvwxyz234567@evil.example"} {
		raw := letter([]string{"From: a@b.example", "In-Reply-To: <" + id + ">"}, "x")
		if e := parse(raw, ours, DefaultLimits); len(e.About) != 0 {
			t.Errorf("%s: about %v", id, e.About)
		}
	}
}

func TestPartsAndAttachments(t *testing.T) {
	raw := letter(slices.Concat(person, []string{"From: a@b.example", `Content-Type: multipart/mixed; boundary="o"`}), `--o
Content-Type: multipart/alternative; boundary=i

--i
Content-Type: text/plain; charset=UTF-8

本文です
--i
Content-Type: text/html

<p>HTML</p>
--i--
--o
Content-Type: application/pdf; name="=?UTF-8?B?`+base64.StdEncoding.EncodeToString([]byte("被害.pdf"))+`?="
Content-Disposition: attachment; filename*=UTF-8''%E8%A2%AB%E5%AE%B3.pdf
Content-Transfer-Encoding: base64

AAAA
--o--
`)
	e := parse(raw, ours, DefaultLimits)
	if e.Text != "本文です" || len(e.Attachments) != 1 || e.Attachments[0].Name != "被害.pdf" || e.Attachments[0].Type != "application/pdf" {
		t.Errorf("%+v", e)
	}
	only := letter([]string{"From: a@b.example", "Content-Type: text/html; charset=Shift_JIS"},
		sjis("<html><head><style>x{}</style><title>t</title></head><body><div>見ました&amp;&lt;了解&gt;</div><br><blockquote>元の文</blockquote><script>alert(1)</script></body>"))
	if e := parse(only, ours, DefaultLimits); e.Text != "見ました&<了解>" || !strings.Contains(e.Whole, "> 元の文") || strings.Contains(e.Whole, "alert") {
		t.Errorf("HTML alone: %q, whole %q", e.Text, e.Whole)
	}
}

// TestHostile holds the bounds: each of these must end quickly, and say what was left out.
func TestHostile(t *testing.T) {
	nested := "From: a@b.example\nContent-Type: multipart/mixed; boundary=b0\n\n"
	for i := range 500 {
		nested += fmt.Sprintf("--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n", i, i+1)
	}
	limits := DefaultLimits
	limits.File = 1 << 20
	for name, raw := range map[string]string{
		"nested":        nested,
		"many parts":    "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 5000),
		"many fields":   strings.Repeat("X: y\n", 100_000) + "\nbody",
		"long field":    "From: a@b.example\nSubject: " + strings.Repeat("x", 900_000) + "\n\nbody",
		"many folds":    "From: a@b.example\nSubject: x\n" + strings.Repeat(" y\n", 300_000) + "\nbody",
		"too large":     "From: a@b.example\n\n" + strings.Repeat("x", 2<<20),
		"no end":        "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\ntext",
		"no boundary":   "From: a@b.example\nContent-Type: multipart/mixed\n\nx",
		"bad base64":    "From: a@b.example\nContent-Transfer-Encoding: base64\n\nQUJD=QUJD",
		"long text":     "From: a@b.example\n\n" + strings.Repeat("あ", 200_000),
		"many statuses": "From: a@b.example\nContent-Type: message/delivery-status\n\n" + strings.Repeat("\nFinal-Recipient: rfc822;a@b.example\nAction: failed\n", 10_000),
		"not a mail":    "\x7fELF\x00\x00\x00" + strings.Repeat("\x00", 1000),
		"empty":         "",
	} {
		start := time.Now()
		e := parse([]byte(raw), ours, limits)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if len(e.Problems) == 0 || len(e.Key) != 64 || len(e.Whole) > limits.Text || len(e.Subject) > 2*maxHeaderText {
			t.Errorf("%s: %d problems, %d octets of text", name, len(e.Problems), len(e.Whole))
		}
		if (name == "empty" || name == "not a mail") != (e.Kind == KindUnreadable) && name != "too large" && name != "many fields" {
			t.Errorf("%s: %s", name, e.Kind)
		}
	}
	spoof := parse(letter([]string{"From: a@b.example", "Subject: " + word("UTF-8", "件名\r\nBcc: x\u202e")}, "本文\x00\x1b[31m\u202e"), ours, DefaultLimits)
	if strings.ContainsAny(spoof.Subject+spoof.Text, "\r\n\x00\x1b\u202e") {
		t.Errorf("%q %q", spoof.Subject, spoof.Text)
	}
}

func TestKeyKnowsCopies(t *testing.T) {
	mail := slices.Concat(person, []string{"From: a@b.example"})
	one := parse(letter(mail, "はい"), ours, DefaultLimits)
	again := parse(letter(append([]string{"Received: from x by y", "Delivered-To: z@b.example"}, mail...), "はい"), ours, DefaultLimits)
	other := parse(letter(mail, "いいえ"), ours, DefaultLimits)
	if one.Key != again.Key || one.Key == other.Key {
		t.Errorf("keys %s, %s, %s", one.Key, again.Key, other.Key)
	}
}

func maildir(t testing.TB, mails ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range mails {
		if err := os.WriteFile(filepath.Join(dir, "new", fmt.Sprintf("%010d.M1.host", i)), m, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func count(t testing.TB, dir, sub string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, sub))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestEachMailIsTakenOnce kills the reader at every point between reading and moving: what is stored has each mail once.
func TestEachMailIsTakenOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(rt, "mails")
		var mails [][]byte
		for i := range n {
			mails = append(mails, letter([]string{"From: a@b.example", fmt.Sprintf("Message-ID: <%d@b.example>", i)}, "x"))
		}
		dir := maildir(t, mails...)
		stored, seen := map[string]int{}, []string{}
		killed := errors.New("killed")
		for round := 0; count(t, dir, "new") > 0; round++ {
			if round > 100 {
				rt.Fatal("no progress")
			}
			box, err := Open(dir, ours, Limits{})
			if err != nil {
				rt.Fatal(err)
			}
			left, when := rapid.IntRange(0, n).Draw(rt, "after"), rapid.SampledFrom([]string{"before", "after"}).Draw(rt, "when")
			_, _, err = box.Drain(t.Context(), func(_ context.Context, e Event) error {
				if left == 0 && when == "before" {
					return killed
				}
				if stored[e.Key] == 0 {
					seen = append(seen, e.MessageID)
				}
				stored[e.Key]++ // a store that knows keys
				if left == 0 {
					return killed // stored, and the process died before the move
				}
				left--
				return nil
			})
			if err != nil && !errors.Is(err, killed) {
				rt.Fatal(err)
			}
		}
		if len(stored) != n || count(t, dir, "cur") != n || !slices.IsSortedFunc(seen, strings.Compare) && n < 10 {
			rt.Fatalf("%d mails, %d stored, %d in cur, order %v", n, len(stored), count(t, dir, "cur"), seen)
		}
	})
}

func TestMaildirOddities(t *testing.T) {
	dir := maildir(t, letter([]string{"From: a@b.example"}, "x"))
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("From: a@b.example\n\nsecret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "new", "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "new", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "new", "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new", ".hidden"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	box, err := Open(dir, ours, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[Kind]int{}
	taken, more, err := box.Drain(t.Context(), func(_ context.Context, e Event) error {
		kinds[e.Kind]++
		if strings.Contains(e.Whole, "secret") {
			t.Error("a link was followed")
		}
		return nil
	})
	if err != nil || more || taken != 4 || kinds[KindUnreadable] != 3 || kinds[KindReply] != 1 {
		t.Errorf("taken %d, more %v, %v, %v", taken, more, kinds, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := os.WriteFile(filepath.Join(dir, "new", "z"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, more, err := box.Drain(ctx, func(context.Context, Event) error { return nil }); n != 0 || !more || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %d, %v, %v", n, more, err)
	}
	if _, err := Open(t.TempDir(), ours, Limits{}); err == nil || !strings.Contains(err.Error(), "Maildir") {
		t.Errorf("no Maildir: %v", err)
	}
	if _, err := Open(dir, "", Limits{}); err == nil {
		t.Error("no domain was accepted")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(letter(slices.Concat(person, []string{"From: " + word("ISO-2022-JP", jis("見本")) + " <a@b.example>"}), "はい\n> 確認"))
	f.Add(letter([]string{"Return-Path: <>", "From: MAILER-DAEMON@x", `Content-Type: multipart/report; boundary="b"`}, fmt.Sprintf(report, "failed", "5.1.1")))
	f.Add(letter([]string{"From: a", "Content-Type: text/html; charset=shift_jis", "Content-Transfer-Encoding: quoted-printable"}, "=82=A0<blockquote>"))
	f.Add([]byte("From: a\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n--b--"))
	f.Add([]byte("Subject: =?UTF-8?B?44?= =?UTF-8?B?gYI=?=\n\n"))
	limits := Limits{File: 64 << 10, Header: 8 << 10, Fields: 100, Depth: 4, Parts: 20, Text: 8 << 10}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := Read(bytes.NewReader(raw), ours, limits)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Read(bytes.NewReader(raw), ours, limits)
		if e.Key != again.Key || len(e.Key) != 64 || e.Kind == "" {
			t.Fatalf("%+v, %+v", e, again)
		}
		if len(e.Whole) > limits.Text+4 || len(e.Text) > len(e.Whole) || len(e.Subject) > maxHeaderText || len(e.From) > 254 || len(e.FromName) > 200 {
			t.Fatalf("a bound is broken: %d %d %d", len(e.Whole), len(e.Text), len(e.Subject))
		}
		if len(e.Attachments) > maxAttachments || len(e.Recipients) > maxDeliveries || len(e.About) > maxIDs || len(e.Problems) > maxProblems {
			t.Fatal("a list is too long")
		}
		for _, s := range []string{e.Subject, e.From, e.FromName} {
			if strings.ContainsAny(s, "\r\n\x00") {
				t.Fatalf("%q", s)
			}
		}
	})
}
