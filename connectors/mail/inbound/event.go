package inbound

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Kind says what a mail is.
type Kind string

// The kinds of mail that come back.
const (
	KindReply      Kind = "reply"      // a person's answer
	KindAutoReply  Kind = "auto_reply" // an absence notice or another robot's answer (RFC 3834)
	KindBounce     Kind = "bounce"     // not delivered, for good (RFC 3464, action failed)
	KindDelay      Kind = "delay"      // not delivered yet (action delayed)
	KindReport     Kind = "report"     // delivered, relayed or expanded: a report that nobody has to act on
	KindUnreadable Kind = "unreadable" // too large, or no mail at all
)

// Event is one mail that came back.
type Event struct {
	Key       string   // the same for every copy of this mail and for no other: 64 hexadecimal digits
	Kind      Kind     //
	About     []string // our Message-IDs that it answers, without brackets, the nearest first; empty: it answers none of ours
	MessageID string   // its own, without brackets; may be empty
	From      string   // the address in From, as claimed; may be empty
	FromName  string
	Subject   string
	Date      time.Time // as claimed; zero where it can't be read

	// Text is what the person wrote, without what is surely a quotation. Whole is all of the text. Both are at most
	// Limits.Text octets, lines ended by "\n".
	Text        string
	Whole       string
	Attachments []Attachment
	Recipients  []Delivery // of a bounce, delay or report
	Problems    []string   // what was cut off or couldn't be read, in plain words
}

// Attachment is named, never opened.
type Attachment struct {
	Name string // as claimed
	Type string // media type as claimed
	Size int    // octets as transferred
}

// Delivery is what a report says of one recipient (RFC 3464 section 2.3).
type Delivery struct {
	Recipient string // the original recipient where it is given, else the final one
	Action    string // failed, delayed, delivered, relayed, expanded
	Status    string // class.subject.detail (RFC 3463)
	Reason    string // the remote system's words, one line
}

// Limits bound what is read of one mail.
type Limits struct {
	File   int64 // octets of the file; larger: the header alone is read
	Header int   // octets of the header
	Fields int   // header fields
	Depth  int   // of parts in parts
	Parts  int   // in all
	Text   int   // octets of text that are kept
}

// DefaultLimits are generous to people and mean to attackers.
var DefaultLimits = Limits{File: 20 << 20, Header: 256 << 10, Fields: 1000, Depth: 8, Parts: 200, Text: 256 << 10}

// Read reads one mail. ours is the domain of our Message-IDs. It always gives an event; only an error of r itself is an error.
func Read(r io.Reader, ours string, limits Limits) (Event, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limits.File+1))
	if err != nil {
		return Event{}, err
	}
	return parse(raw, ours, limits), nil
}

// parse is Read of octets at hand.
func parse(raw []byte, ours string, limits Limits) Event {
	p := &reader{limits: limits}
	if int64(len(raw)) > limits.File {
		raw = raw[:limits.File]
		p.problem("the mail is larger than %d octets", limits.File)
		p.headerOnly = true
	}
	top, body := p.header(raw)
	e := Event{
		MessageID: firstID(top.get("Message-ID")), Subject: oneLine(decodeHeader(top.get("Subject")), maxHeaderText),
		Key: dedupeKey(top, body),
	}
	e.From, e.FromName = sender(top.get("From"))
	if at, err := netmail.ParseDate(strings.TrimSpace(top.get("Date"))); err == nil && at.Year() > 1970 && at.Year() < 10000 {
		e.Date = at.UTC()
	}
	if !top.isMail() {
		e.Kind = KindUnreadable
		p.problem("it has no header of a mail")
		e.Problems = p.problems
		return e
	}
	if !p.headerOnly {
		p.part(top, body, 0)
	}
	e.Whole = p.text.String()
	if e.Whole == "" {
		e.Whole = p.htmlText.String()
	}
	e.Whole = tidy(e.Whole)
	e.Attachments, e.Recipients = p.attachments, p.deliveries
	e.classify(top, p, ours, raw)
	if e.Kind == KindReply || e.Kind == KindAutoReply {
		e.Text = withoutQuotation(e.Whole)
	}
	e.Problems = p.problems
	return e
}

// classify decides what the mail is and which of ours it is about.
func (e *Event) classify(top header, p *reader, ours string, raw []byte) {
	id := ownPattern(ours)
	collect := func(text string) {
		for _, found := range slices.Backward(id.FindAllStringSubmatch(text, maxIDs)) {
			if !slices.Contains(e.About, found[1]) && len(e.About) < maxIDs {
				e.About = append(e.About, found[1])
			}
		}
	}
	collect(top.get("In-Reply-To"))
	collect(top.get("References"))
	switch {
	case len(e.Recipients) > 0:
		e.Kind = reportKind(e.Recipients)
		collect(p.returned)
	case p.receipt:
		e.Kind = KindReport
		collect(p.returned)
	case fromRobot(top, e.From):
		// A bounce from a mail system older than RFC 3464: what it returned holds our Message-ID somewhere in its text.
		collect(p.returned)
		collect(e.Whole)
		collect(string(raw[:min(len(raw), maxScan)]))
		e.Kind = KindBounce
		if len(e.About) == 0 && !daemon(e.From) {
			e.Kind = KindAutoReply
		}
	case automatic(top):
		e.Kind = KindAutoReply
	case p.headerOnly:
		e.Kind = KindUnreadable
	default:
		e.Kind = KindReply
	}
}

const (
	maxIDs        = 20
	maxScan       = 1 << 20
	maxHeaderText = 1000
)

// ownPattern finds Message-IDs of the form that package mail makes, in angle brackets.
func ownPattern(domain string) *regexp.Regexp {
	return regexp.MustCompile(`<([a-z2-7]{32}@` + regexp.QuoteMeta(domain) + `)>`)
}

// fromRobot says whether a mail system wrote this about a mail of ours.
func fromRobot(top header, from string) bool {
	return daemon(from) || strings.TrimSpace(top.get("Return-Path")) == "<>" && !automatic(top)
}

// daemon says whether an address is one that mail systems write from.
func daemon(from string) bool {
	local, _, _ := strings.Cut(strings.ToLower(from), "@")
	return local == "mailer-daemon" || local == "postmaster" || local == "mail-daemon"
}

// automatic says whether a program answered on somebody's behalf.
func automatic(top header) bool {
	value, _, _ := strings.Cut(strings.ToLower(top.get("Auto-Submitted")), ";")
	value = strings.TrimSpace(value)
	precedence := strings.ToLower(strings.TrimSpace(top.get("Precedence")))
	return value != "" && value != "no" || top.get("X-Autoreply") != "" || top.get("X-Autorespond") != "" ||
		precedence == "auto_reply" || strings.TrimSpace(top.get("X-Auto-Response-Suppress")) != "" && strings.Contains(strings.ToLower(top.get("Subject")), "automatic reply")
}

// reportKind is the worst that a report says of any recipient.
func reportKind(list []Delivery) Kind {
	kind := KindReport
	for _, d := range list {
		switch d.Action {
		case "failed":
			return KindBounce
		case "delayed":
			kind = KindDelay
		}
	}
	return kind
}

// dedupeKey is the same for a mail that was delivered twice: what relays add on the way isn't in it. A Message-ID alone wouldn't
// do, because a stranger could send one in advance and so suppress the real mail.
func dedupeKey(top header, body []byte) string {
	h := sha256.New()
	for _, name := range []string{"Message-ID", "From", "Date", "Subject", "In-Reply-To"} {
		value := top.get(name)
		h.Write([]byte(name + "\x00" + value + "\x00"))
	}
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// firstID gives the first Message-ID of a header field, bounded and without brackets.
func firstID(value string) string {
	_, rest, ok := strings.Cut(value, "<")
	id, _, ended := strings.Cut(rest, ">")
	if !ok || !ended || len(id) > 250 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return ""
	}
	return id
}

// sender reads a From field, as far as it can be.
func sender(value string) (address, name string) {
	parser := netmail.AddressParser{WordDecoder: &words}
	list, err := parser.ParseList(decodeRaw(value))
	if err != nil || len(list) == 0 {
		if m := bareAddress.FindString(value); len(m) <= 254 {
			return m, ""
		}
		return "", ""
	}
	if len(list[0].Address) > 254 {
		return "", ""
	}
	return oneLine(list[0].Address, 254), oneLine(list[0].Name, 200)
}

var bareAddress = regexp.MustCompile(`[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}`)
