package mail

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"github.com/musubi-hub/musubi/connectors"
)

// maxLine is the longest line of text, in octets. Base64 carries any, but gateways that decode it for an old mail system write the
// lines out again, and SMTP takes 998 (RFC 5321 section 4.5.3.1.6).
const maxLine = 900

// jst dates the mail as its readers write the time.
var jst = time.FixedZone("JST", 9*60*60)

// letter is a message ready to be sent.
type letter struct {
	id   string // Message-ID without brackets
	root string // what answers give as Thread
	to   []string
	raw  []byte
}

// compose makes the mail of m. Its errors repeat neither text nor addresses.
func (c *Connector) compose(m connectors.Message) (letter, error) {
	if err := c.checkMessage(m); err != nil {
		return letter{}, err
	}
	l := letter{id: MessageID(c.cfg.IDKey, m.Key, c.domain)}
	l.root = l.id
	msg := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingB64), gomail.WithNoDefaultUserAgent(),
		gomail.WithBoundary("musubi-"+l.id[:24]))
	msg.FromMailAddress(&netmail.Address{Name: c.cfg.FromName, Address: c.cfg.From})
	if c.cfg.ReplyTo != "" {
		msg.ReplyToMailAddress(&netmail.Address{Address: c.cfg.ReplyTo})
	}
	var to []*netmail.Address
	for _, r := range m.To {
		to = append(to, &netmail.Address{Name: r.Name, Address: r.Address})
		l.to = append(l.to, r.Address)
	}
	msg.ToMailAddress(to...)
	msg.SetDateWithValue(c.cfg.Now().In(jst))
	msg.SetMessageIDWithValue(l.id)
	msg.SetGenHeaderPreformatted(gomail.HeaderSubject, encodeHeader(m.Subject))
	if m.Thread != "" {
		l.root = m.Thread
		msg.SetGenHeaderPreformatted(gomail.HeaderInReplyTo, "<"+m.Thread+">")
		msg.SetGenHeaderPreformatted(gomail.HeaderReferences, "<"+m.Thread+">")
	}
	// RFC 3834: no robot answers this. Exchange listens to its own header alone; the word All would suppress bounces too.
	msg.SetGenHeaderPreformatted("Auto-Submitted", "auto-generated")
	msg.SetGenHeaderPreformatted(gomail.HeaderXAutoResponseSuppress, "RN, NRN, OOF, AutoReply")
	text := plainText(m)
	msg.SetBodyString(gomail.TypeTextPlain, strings.ReplaceAll(text, "\n", "\r\n"))
	if c.cfg.HTML {
		msg.AddAlternativeString(gomail.TypeTextHTML, htmlText(m))
	}
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		return letter{}, fmt.Errorf("the mail can't be written: %w", err)
	}
	l.raw = raw.Bytes()
	return l, nil
}

// checkMessage refuses what mail can't carry.
func (c *Connector) checkMessage(m connectors.Message) error {
	if err := m.Check(); err != nil {
		return err
	}
	switch {
	case len(m.To) == 0:
		return errors.New("mail has no conversations: name the recipients")
	case len(m.To) > c.cfg.MaxRecipients:
		return fmt.Errorf("the message has %d recipients, the relay takes %d", len(m.To), c.cfg.MaxRecipients)
	case strings.TrimSpace(m.Subject) == "":
		return errors.New("the mail has no subject: people and filters take it for spam")
	case m.Thread != "" && !c.ownID(m.Thread):
		return errors.New("the thread isn't the receipt of a mail of ours")
	}
	if err := checkHeader(m.Subject); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	seen := map[string]bool{}
	for i, r := range m.To {
		err := checkAddress(r.Address)
		if err == nil {
			err = checkName(r.Name)
		}
		if lower := strings.ToLower(r.Address); err == nil && seen[lower] {
			err = errors.New("the address stands there twice")
		} else {
			seen[lower] = true
		}
		if err != nil {
			return fmt.Errorf("recipient %d: %w", i+1, err)
		}
	}
	if strings.ContainsFunc(m.Text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		return errors.New("the text holds a control character other than a line break or a tab")
	}
	return nil
}

// plainText is the text with the actions that have an address below it, in lines of bounded length.
func plainText(m connectors.Message) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(m.Text, "\n") + "\n") {
		line = strings.TrimSuffix(line, "\n")
		for len(line) > maxLine {
			n := cut(line, maxLine)
			if blank := strings.LastIndexAny(line[:n], " \t\u3000"); blank > maxLine/2 {
				n = cut(line, blank+1)
			}
			b.WriteString(line[:n] + "\n")
			line = line[n:]
		}
		b.WriteString(line + "\n")
	}
	for _, a := range m.Actions {
		if a.URL != "" {
			b.WriteString("\n" + a.Label + ":\n" + a.URL + "\n")
		}
	}
	return b.String()
}

// htmlText says the same for programs that show HTML alone. Nothing in it is fetched, and nothing of the text is taken for markup.
func htmlText(m connectors.Message) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\r\n<html lang=\"ja\"><head><meta charset=\"utf-8\"></head><body>\r\n")
	for line := range strings.Lines(strings.TrimRight(m.Text, "\n") + "\n") {
		line = strings.TrimSuffix(line, "\n")
		b.WriteString(html.EscapeString(line) + "<br>\r\n")
	}
	for _, a := range m.Actions {
		if a.URL != "" {
			fmt.Fprintf(&b, "<p><a href=\"%s\">%s</a></p>\r\n", html.EscapeString(a.URL), html.EscapeString(a.Label))
		}
	}
	b.WriteString("</body></html>\r\n")
	return b.String()
}
