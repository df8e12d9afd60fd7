package site

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Change is one journalled change of a product's state.
type Change struct {
	Kind string          `json:"k"`
	Data json.RawMessage `json:"d"`
}

// NewChange encodes a change.
func NewChange(kind string, data any) (Change, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return Change{}, fmt.Errorf("site: encode change %s: %w", kind, err)
	}
	return Change{Kind: kind, Data: raw}, nil
}

// Account is an account in the ground truth.
type Account struct {
	ID          string   `json:"id"`
	AccountID   string   `json:"account_id"`
	ExternalID  string   `json:"external_id"`
	UserName    string   `json:"user_name"`
	Email       string   `json:"email"`
	DisplayName string   `json:"display_name"`
	Active      bool     `json:"active"`
	Guest       bool     `json:"guest,omitempty"` // Slack: reaches only what it is invited to
	Owner       bool     `json:"owner,omitempty"` // Slack: was there before anybody was provisioned, and can't be changed
	Groups      []string `json:"groups"`          // names
}

// Group is a group in the ground truth.
type Group struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Members []string `json:"members"` // Account.ID
}

// Counts are the ground truth's numbers.
type Counts struct {
	Accounts    int `json:"accounts"`
	Active      int `json:"active"`
	Groups      int `json:"groups"`
	Memberships int `json:"memberships"`
	Tickets     int `json:"tickets,omitempty"`
	Duplicates  int `json:"duplicates"` // active accounts that share their e-mail or external id with another active one
	Mails       int `json:"mails,omitempty"`
}

// State is the ground truth of one product.
type State struct {
	App      string    `json:"app"`
	Accounts []Account `json:"accounts"`
	Groups   []Group   `json:"groups"`
	Tickets  []Ticket  `json:"tickets,omitempty"`
	Channels []Channel `json:"channels,omitempty"` // of products that have some
	Mails    []Mail    `json:"mails,omitempty"`
	Counts   Counts    `json:"counts"`
}

// Channel is a conversation in the ground truth.
type Channel struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Private  bool      `json:"private"`
	Direct   bool      `json:"direct"` // between people, without a name
	Archived bool      `json:"archived"`
	Topic    string    `json:"topic"`
	Purpose  string    `json:"purpose"`
	Members  []string  `json:"members"` // Account.ID, and the application's own user
	Messages []Message `json:"messages"`
}

// Message is what somebody said in a channel, in the order of TS.
type Message struct {
	TS       string   `json:"ts"`
	ThreadTS string   `json:"thread_ts,omitempty"` // of the thread's first message
	User     string   `json:"user"`
	Text     string   `json:"text"`
	Subtype  string   `json:"subtype,omitempty"`
	Edited   bool     `json:"edited,omitempty"`
	Reacted  []string `json:"reacted,omitempty"` // "name:user"
	OnlyTo   string   `json:"only_to,omitempty"` // the only one who sees it

	Blocks   json.RawMessage `json:"blocks,omitempty"`   // what people see where it isn't the text
	Metadata json.RawMessage `json:"metadata,omitempty"` // what an application hung on it
}

// Mail is a mail in the ground truth, as a mail program reads it.
type Mail struct {
	ID            int64    `json:"id"`
	At            int64    `json:"at"` // UTC microseconds
	EnvelopeFrom  string   `json:"envelope_from"`
	EnvelopeTo    []string `json:"envelope_to"`
	TLS           bool     `json:"tls"`
	MessageID     string   `json:"message_id"`
	InReplyTo     string   `json:"in_reply_to,omitempty"`
	References    string   `json:"references,omitempty"`
	From          string   `json:"from"`
	To            []string `json:"to"`
	Subject       string   `json:"subject"`
	Text          string   `json:"text"`
	HTML          string   `json:"html,omitempty"`
	AutoSubmitted string   `json:"auto_submitted,omitempty"`
	Faults        []string `json:"faults,omitempty"` // what the mail's form lacks
	Duplicate     bool     `json:"duplicate"`        // an earlier mail has the same Message-ID
	Replies       int      `json:"replies"`
	Bounces       int      `json:"bounces"`
}

// Finish sorts the state and counts it.
func (s *State) Finish() {
	s.Counts = CountAccounts(slices.Values(s.Accounts))
	s.Counts.Groups, s.Counts.Tickets, s.Counts.Mails = len(s.Groups), len(s.Tickets), len(s.Mails)
	for i := range s.Accounts {
		slices.Sort(s.Accounts[i].Groups)
	}
	for i := range s.Groups {
		slices.Sort(s.Groups[i].Members)
		s.Counts.Memberships += len(s.Groups[i].Members)
	}
	slices.SortFunc(s.Accounts, func(a, b Account) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Groups, func(a, b Group) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
}

// CountAccounts counts accounts, those active and those doubled. It looks at e-mail, external id and activity only.
func CountAccounts(accounts iter.Seq[Account]) Counts {
	var c Counts
	emails, externals := map[string]int{}, map[string]int{}
	for a := range accounts {
		c.Accounts++
		if !a.Active {
			continue
		}
		c.Active++
		emails[strings.ToLower(a.Email)]++
		if a.ExternalID != "" {
			externals[a.ExternalID]++
		}
	}
	if c.Active == len(emails) && allOnce(externals) {
		return c
	}
	for a := range accounts {
		if a.Active && (emails[strings.ToLower(a.Email)] > 1 || externals[a.ExternalID] > 1) {
			c.Duplicates++
		}
	}
	return c
}

func allOnce(m map[string]int) bool {
	for _, n := range m {
		if n > 1 {
			return false
		}
	}
	return true
}

// DeriveUUID gives an identifier in UUID form that depends on its arguments alone, so that a run can be repeated.
func DeriveUUID(seed uint64, parts ...string) string {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, seed)
	for _, p := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(p)))
		h.Write([]byte(p))
	}
	b := h.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	x := hex.EncodeToString(b)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// Person is a licensed Atlassian account, as the site's other products see it.
type Person struct {
	AccountID, Email, DisplayName, TimeZone string
	Active                                  bool
}
