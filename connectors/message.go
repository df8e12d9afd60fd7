package connectors

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is something that people read: a chat message, an e-mail.
type Message struct {
	// Key is ours: one for each message, for ever, however often it is sent. 1 to 64 ASCII letters, digits, '.', '_' and '-'. The
	// product carries it where it can (Slack's message metadata, the Message-ID of an e-mail).
	Key string
	// Channel is the vendor's id of the conversation, in products that have conversations. Either it or To is given.
	Channel string
	// To names the recipients: e-mail addresses, or account ids in a chat product (a direct message).
	To []Recipient
	// Thread is Sent.Thread of the message that begins the thread; empty: the message begins one.
	Thread string
	// Subject is a line of its own where the product has subjects; elsewhere it is the text's first line, in bold.
	Subject string
	// Text is plain text, lines ended by "\n". The product's own markup isn't interpreted: what a person wrote stays what it was.
	Text string
	// Mentions call accounts or mention groups at the head of the text, in products that know calling.
	Mentions []Mention
	// Actions are offered below the text. A product without buttons shows those that have a URL as lines of text.
	Actions []Action
}

// Recipient is one of those to whom a message goes.
type Recipient struct {
	Address string // e-mail address, or account id in a chat product
	Name    string // shown beside the address; may be empty
}

// Mention calls one account, or one mention group.
type Mention struct {
	AccountID string
	GroupID   string // MentionGroup.ID; either this or AccountID is given
}

// Action is a button below a message.
type Action struct {
	ID    string // names the action when it comes back as an Interaction; unique in the message
	Label string // what the button says, at most 75 characters
	Value string // comes back with the Interaction, at most 2,000 characters; no secret
	URL   string // https address that the button opens; empty: pressing it sends an Interaction alone
	Style Style
}

// Style is a button's emphasis.
type Style string

// The styles of a button.
const (
	StylePlain   Style = ""
	StylePrimary Style = "primary" // at most one in a message
	StyleDanger  Style = "danger"
)

// Sent is the receipt of a message: what finds it again in the product.
type Sent struct {
	ID      string    // the vendor's id of the message, unique within Channel: Slack's ts, an e-mail's Message-ID
	Channel string    // where it went; the conversation that was opened where the message named recipients
	Thread  string    // what a reply gives as Message.Thread
	At      time.Time // the vendor's time of the message; zero where it gives none
}

// Sender sends messages.
type Sender interface {
	// SendMessage sends m, once. KindAmbiguous: it may have gone out; look for it (SentFinder) before sending it again, and where
	// the product can't look, send it under the same Key, so that the reader's side can tell the copies.
	SendMessage(ctx context.Context, m Message) (Sent, error)
}

// SentFinder finds a message whose receipt was lost.
type SentFinder interface {
	// FindSent looks for the message with m's Key in the conversation and thread of m, among those since the time of the first
	// attempt. KindNotFound: it isn't there, so it may be sent again. May be stale by up to Limits.Staleness.
	FindSent(ctx context.Context, m Message, since time.Time) (Sent, error)
}

// MessageEditor changes messages that were sent. It is idempotent.
type MessageEditor interface {
	// UpdateMessage replaces subject, text and actions of the message at sent by those of m. KindNotFound: it was deleted.
	UpdateMessage(ctx context.Context, sent Sent, m Message) error
}

// MessageLinker gives the address at which a person opens a message.
type MessageLinker interface {
	MessageLink(ctx context.Context, sent Sent) (string, error)
}

// Bounds of a Message that hold for every product; a product's own may be narrower.
const (
	MaxMessageKey     = 64
	MaxMessageSubject = 250     // characters
	MaxMessageText    = 256_000 // octets
	MaxRecipients     = 100
	MaxActions        = 10
	MaxMentions       = 50
)

// Check says what is wrong with m in any product. It doesn't repeat text or addresses.
func (m Message) Check() error {
	switch {
	case !validKey(m.Key):
		return fmt.Errorf("the message's key must be 1 to %d ASCII letters, digits, '.', '_' or '-'", MaxMessageKey)
	case (m.Channel == "") == (len(m.To) == 0):
		return errors.New("the message names neither a conversation nor recipients, or both")
	case len(m.To) > MaxRecipients:
		return fmt.Errorf("the message has %d recipients, more than %d", len(m.To), MaxRecipients)
	case !utf8.ValidString(m.Subject) || strings.ContainsAny(m.Subject, "\r\n\x00"):
		return errors.New("the message's subject isn't one line of UTF-8")
	case utf8.RuneCountInString(m.Subject) > MaxMessageSubject:
		return fmt.Errorf("the message's subject is longer than %d characters", MaxMessageSubject)
	case strings.TrimSpace(m.Text) == "":
		return errors.New("the message has no text")
	case len(m.Text) > MaxMessageText || !utf8.ValidString(m.Text) || strings.Contains(m.Text, "\x00"):
		return fmt.Errorf("the message's text is longer than %d octets or isn't UTF-8", MaxMessageText)
	case len(m.Mentions) > MaxMentions:
		return fmt.Errorf("the message calls %d accounts and groups, more than %d", len(m.Mentions), MaxMentions)
	case len(m.Actions) > MaxActions:
		return fmt.Errorf("the message has %d actions, more than %d", len(m.Actions), MaxActions)
	}
	for i, r := range m.To {
		if r.Address == "" || len(r.Address) > 254 || !oneLine(r.Address) || len(r.Name) > 1000 || !oneLine(r.Name) {
			return fmt.Errorf("recipient %d has no address, or an address or name that is too long or not one line", i+1)
		}
	}
	for i, n := range m.Mentions {
		if (n.AccountID == "") == (n.GroupID == "") {
			return fmt.Errorf("mention %d names neither an account nor a group, or both", i+1)
		}
	}
	return checkActions(m.Actions)
}

func checkActions(actions []Action) error {
	seen, primary := map[string]bool{}, 0
	for i, a := range actions {
		switch {
		case a.ID == "" || len(a.ID) > 255 || !oneLine(a.ID) || seen[a.ID]:
			return fmt.Errorf("action %d has no id of at most 255 octets that is unique in the message", i+1)
		case strings.TrimSpace(a.Label) == "" || utf8.RuneCountInString(a.Label) > 75 || !oneLine(a.Label):
			return fmt.Errorf("action %d has no label of at most 75 characters", i+1)
		case utf8.RuneCountInString(a.Value) > 2000 || !utf8.ValidString(a.Value):
			return fmt.Errorf("action %d has a value longer than 2,000 characters", i+1)
		case a.URL != "" && !webAddress(a.URL):
			return fmt.Errorf("action %d has an address that isn't https://", i+1)
		case a.Style != StylePlain && a.Style != StylePrimary && a.Style != StyleDanger:
			return fmt.Errorf("action %d has an unknown style", i+1)
		}
		seen[a.ID] = true
		if a.Style == StylePrimary {
			primary++
		}
	}
	if primary > 1 {
		return errors.New("more than one action is the primary one")
	}
	return nil
}

func validKey(key string) bool {
	return key != "" && len(key) <= MaxMessageKey && strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 })
}

func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= 3000 && u.Scheme == "https" && u.Host != "" && u.User == nil
}
