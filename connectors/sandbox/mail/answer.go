package mail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/text/encoding/japanese"
)

// The charsets in which a person's program answers.
const (
	CharsetUTF8 = "UTF-8"
	CharsetJIS  = "ISO-2022-JP"
	CharsetSJIS = "Shift_JIS"
)

// The actions of a report.
const (
	ActionFailed  = "failed"
	ActionDelayed = "delayed"
)

// maxAnswer bounds what a person writes, in octets.
const maxAnswer = 64 << 10

// Errors of Reply and Bounce.
var (
	ErrNoMaildir = errors.New("mail: no Maildir is configured, so nothing can come back")
	ErrUnknown   = errors.New("mail: there is no such mail")
	ErrText      = errors.New("mail: the text is empty, too long or not in the charset")
)

// Reply answers a mail as its first recipient would, quoting it below, in charset ("" is UTF-8).
func (b *Box) Reply(id int64, text, charset string) error {
	if strings.TrimSpace(text) == "" || len(text) > maxAnswer {
		return ErrText
	}
	return b.answer(id, func(m *Mail, r Reading, n int) ([]byte, error) {
		quoted := text + "\n\n" + b.now().In(jst).Format("2006年1月2日 15:04") + " " + r.From + ":\n\n> " +
			strings.ReplaceAll(strings.TrimRight(r.Text, "\n"), "\n", "\n> ") + "\n"
		body, err := encode(quoted, charset)
		if err != nil {
			return nil, ErrText
		}
		subject, err := encode("Re: "+r.Subject, charset)
		if err != nil {
			return nil, ErrText
		}
		to := r.ReplyTo
		if to == "" {
			to = r.From
		}
		address, err := netmail.ParseAddress(to)
		if err != nil {
			return nil, ErrUnknown
		}
		references := "<" + r.MessageID + ">"
		if r.References != "" {
			references = "<" + r.References + "> " + references
		}
		if charset == "" {
			charset = CharsetUTF8
		}
		var w bytes.Buffer
		fmt.Fprintf(&w, "Return-Path: <%s>\nReceived: from %s by musubi\nFrom: %s\nTo: %s\nDate: %s\n", m.To[0], b.opt.Hostname, m.To[0], address.Address, b.date())
		fmt.Fprintf(&w, "Message-ID: <reply-%d-%d@%s>\nIn-Reply-To: <%s>\nReferences: %s\n", id, n, domainOf(m.To[0]), r.MessageID, references)
		fmt.Fprintf(&w, "Subject: %s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=%s\nContent-Transfer-Encoding: base64\n\n", words(subject, charset), charset)
		writeBase64(&w, body)
		return w.Bytes(), nil
	}, func(m *Mail) sentRecord { return sentRecord{m.ID, m.Replies + 1, m.Bounces} })
}

// Bounce reports to the sender that the mail didn't reach recipient ("" is the first), for good or not yet (RFC 3464).
func (b *Box) Bounce(id int64, recipient, action string) error {
	status, words, subject := "5.1.1", "550 5.1.1 User unknown", "Undelivered Mail Returned to Sender"
	switch action {
	case ActionFailed:
	case ActionDelayed:
		status, words, subject = "4.4.1", "451 4.4.1 Connection timed out", "Delayed Mail (still being retried)"
	default:
		return fmt.Errorf("mail: a report's action is failed or delayed, not %q", action)
	}
	return b.answer(id, func(m *Mail, r Reading, n int) ([]byte, error) {
		if m.From == "" {
			return nil, errors.New("mail: a mail without a sender is never reported on (RFC 5321 section 4.5.5)")
		}
		to := recipient
		if to == "" {
			to = m.To[0]
		}
		head, _, _ := bytes.Cut(m.Raw, []byte("\r\n\r\n"))
		var w bytes.Buffer
		fmt.Fprintf(&w, "Return-Path: <>\nFrom: MAILER-DAEMON@%s (Mail Delivery System)\nTo: %s\nDate: %s\nSubject: %s\n", b.opt.Hostname, m.From, b.date(), subject)
		fmt.Fprintf(&w, "Message-ID: <dsn-%d-%d@%s>\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n", id, n, b.opt.Hostname)
		fmt.Fprintf(&w, "Content-Type: multipart/report; report-type=delivery-status; boundary=\"=_dsn\"\n\n")
		fmt.Fprintf(&w, "--=_dsn\nContent-Type: text/plain; charset=us-ascii\n\nThis is the mail system at host %s.\nYour message could not be delivered.\n\n", b.opt.Hostname)
		fmt.Fprintf(&w, "--=_dsn\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; %s\nArrival-Date: %s\n\n", b.opt.Hostname, time.UnixMicro(m.At).In(jst).Format(time.RFC1123Z))
		fmt.Fprintf(&w, "Final-Recipient: rfc822; %s\nOriginal-Recipient: rfc822;%s\nAction: %s\nStatus: %s\nDiagnostic-Code: smtp; %s\n\n", to, to, action, status, words)
		fmt.Fprintf(&w, "--=_dsn\nContent-Type: text/rfc822-headers\n\n%s\n\n--=_dsn--\n", bytes.ReplaceAll(head, []byte("\r\n"), []byte("\n")))
		return w.Bytes(), nil
	}, func(m *Mail) sentRecord { return sentRecord{m.ID, m.Replies, m.Bounces + 1} })
}

// bounceUnknown reports on the recipients who turn out not to exist.
func (b *Box) bounceUnknown(m *Mail) {
	if b.opt.Maildir == "" {
		return
	}
	for _, to := range m.To {
		if strings.HasPrefix(to, NoSuchUser) {
			_ = b.Bounce(m.ID, to, ActionFailed) // a report that can't be written is lost, as others are
		}
	}
}

// answer makes a mail that comes back, puts it into the Maildir and counts it.
func (b *Box) answer(id int64, make func(m *Mail, r Reading, n int) ([]byte, error), count func(*Mail) sentRecord) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.byID[id]
	switch {
	case m == nil:
		return ErrUnknown
	case b.opt.Maildir == "":
		return ErrNoMaildir
	}
	n := m.Replies + m.Bounces + 1
	raw, err := make(m, Read(m.Raw), n)
	if err != nil {
		return err
	}
	if err := b.drop(fmt.Sprintf("%d.M%dR%d.sandbox", b.now().UnixMicro(), id, n), raw); err != nil {
		return err
	}
	return b.commit(changeSent, count(m))
}

// drop delivers into the Maildir: whole or not at all.
func (b *Box) drop(name string, raw []byte) error {
	if err := PrepareMaildir(b.opt.Maildir); err != nil {
		return err
	}
	tmp := filepath.Join(b.opt.Maildir, "tmp", name)
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(b.opt.Maildir, "new", name)); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}

// PrepareMaildir makes the folders, so that a reader can begin before anything came.
func PrepareMaildir(dir string) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return fmt.Errorf("mail: %w", err)
		}
	}
	return nil
}

var jst = time.FixedZone("JST", 9*60*60)

func (b *Box) date() string { return b.now().In(jst).Format(time.RFC1123Z) }

func domainOf(address string) string {
	_, domain, _ := strings.Cut(address, "@")
	return domain
}

func encode(text, charset string) ([]byte, error) {
	switch charset {
	case "", CharsetUTF8:
		return []byte(text), nil
	case CharsetJIS:
		return japanese.ISO2022JP.NewEncoder().Bytes([]byte(text))
	case CharsetSJIS:
		return japanese.ShiftJIS.NewEncoder().Bytes([]byte(text))
	}
	return nil, ErrText
}

// words writes a subject as one encoded word a piece; ISO-2022-JP is one word, because each must begin and end in ASCII.
func words(raw []byte, charset string) string {
	if charset == CharsetUTF8 {
		return mime.BEncoding.Encode(charset, string(raw))
	}
	return "=?" + charset + "?B?" + base64.StdEncoding.EncodeToString(raw) + "?="
}

func writeBase64(w *bytes.Buffer, raw []byte) {
	text := base64.StdEncoding.EncodeToString(raw)
	for len(text) > 76 {
		w.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	w.WriteString(text + "\n")
}
