package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Name is the product's name and the prefix of its pages.
const Name = "mail"

// Options configure the relay.
type Options struct {
	Domains       []string    // to which mail can be sent, subdomains too; none: every domain but those of RFC 2606 that never exist (.invalid)
	User          string      // with Password: nothing is taken without SMTP AUTH
	Password      string      //
	TLS           *tls.Config // nil: STARTTLS isn't offered, and AUTH is over plain loopback
	Hostname      string      // default "relay.sandbox.invalid"
	MaxSize       int         // octets of a mail; default 10 MiB
	MaxRecipients int         // of one mail; default 100
	Rate          float64     // mails a second; default 30
	Maildir       string      // where bounces and answers are put; empty: they can't be
}

// NoSuchUser begins the local parts that are accepted and bounce afterwards, as a relay learns only later who doesn't exist.
const NoSuchUser = "no-such-user"

// maxMails bounds what is kept; beyond it the relay has no room (452).
const maxMails = 10_000

// Gate is what the sandbox decides about a command.
type Gate struct {
	// Fault says what happens to a command: "CONNECT", "MAIL", "RCPT", "DATA" or "END" (the end of the mail's text).
	Fault func(op string) Fault
	// Take uses one token of the relay's quota, or says that there is none.
	Take func(limit site.Limit, now time.Time) bool
}

// Fault is what a planted fault does to one command. The zero value does nothing.
type Fault struct {
	Latency time.Duration
	Reply   int  // answer this code instead of going on
	Garbage bool // answer what no SMTP server says
	Reset   bool // close the connection
	Swallow bool // do the work, and close without an answer after For
	For     time.Duration
}

// Mail is one mail that was accepted.
type Mail struct {
	ID      int64    `json:"id"`
	At      int64    `json:"at"` // UTC microseconds
	From    string   `json:"from"`
	To      []string `json:"to"`
	TLS     bool     `json:"tls"`
	User    string   `json:"user,omitempty"`
	Raw     []byte   `json:"raw"`
	Replies int      `json:"replies"`
	Bounces int      `json:"bounces"`
}

// Log takes what changed, durably, before it is answered.
type Log func(changes []site.Change) error

// Box is the relay's state. All methods may be called at once from many goroutines.
type Box struct {
	opt  Options
	seed uint64
	log  Log
	now  func() time.Time
	gate Gate

	mu    sync.RWMutex
	mails []*Mail // in the order in which they came
	byID  map[int64]*Mail
	next  int64
}

// The kinds of journalled change.
const (
	changeMail = "mail"
	changeSent = "mail.sent" // a bounce or an answer was put into the Maildir
	changeNext = "mail.next"
)

type sentRecord struct {
	ID      int64 `json:"id"`
	Replies int   `json:"replies"`
	Bounces int   `json:"bounces"`
}

// New makes an empty relay.
func New(opt Options, seed uint64, now func() time.Time, gate Gate, log Log) *Box {
	opt.Hostname = cmp.Or(opt.Hostname, "relay.sandbox.invalid")
	opt.MaxSize = cmp.Or(opt.MaxSize, 10<<20)
	opt.MaxRecipients = cmp.Or(opt.MaxRecipients, 100)
	opt.Rate = cmp.Or(opt.Rate, 30)
	b := &Box{opt: opt, seed: seed, log: log, now: now, gate: gate}
	b.ResetLocked()
	return b
}

// Name gives the product's name.
func (b *Box) Name() string { return Name }

// Table is empty: mail has no HTTP interface.
func (b *Box) Table() *site.Table { return site.NewTable(nil) }

// Authenticate refuses: there is nothing to ask over HTTP.
func (b *Box) Authenticate(*site.Call, *site.Route) bool { return false }

// Refuse answers a request over HTTP.
func (b *Box) Refuse(w http.ResponseWriter, _ *http.Request, status int, detail string) {
	http.Error(w, detail, status)
}

// Throttled answers a request over HTTP.
func (b *Box) Throttled(w http.ResponseWriter, r *http.Request, _ site.Limit, _ time.Duration, _ time.Time) {
	b.Refuse(w, r, http.StatusTooManyRequests, "too many requests")
}

// Allowed has nothing to say.
func (b *Box) Allowed(http.ResponseWriter, site.Limit, int) {}

// Unrouted answers a request over HTTP.
func (b *Box) Unrouted(w http.ResponseWriter, r *http.Request, _ []string) {
	b.Refuse(w, r, http.StatusNotFound, "mail is taken by SMTP")
}

// Lock keeps everybody out, for a reset of several products at once.
func (b *Box) Lock() { b.mu.Lock() }

// Unlock lets everybody in again.
func (b *Box) Unlock() { b.mu.Unlock() }

// ResetLocked forgets all mails. The caller holds Lock.
func (b *Box) ResetLocked() { b.mails, b.byID, b.next = nil, map[int64]*Mail{}, 1 }

// Apply replays one journalled change.
func (b *Box) Apply(c site.Change) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.apply(c)
}

func (b *Box) apply(c site.Change) error {
	switch c.Kind {
	case changeMail:
		var m Mail
		if err := json.Unmarshal(c.Data, &m); err != nil {
			return err
		}
		b.mails = append(b.mails, &m)
		b.byID[m.ID] = &m
		b.next = max(b.next, m.ID+1)
	case changeSent:
		var r sentRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		m := b.byID[r.ID]
		if m == nil {
			return fmt.Errorf("mail: answer to unknown mail %d", r.ID)
		}
		m.Replies, m.Bounces = r.Replies, r.Bounces
	case changeNext:
		var r sentRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		b.next = max(b.next, r.ID)
	default:
		return fmt.Errorf("mail: unknown change %q: the journal is of a newer version", c.Kind)
	}
	return nil
}

// commit journals a change and takes it into the state. The caller holds the lock.
func (b *Box) commit(kind string, data any) error {
	c, err := site.NewChange(kind, data)
	if err != nil {
		return err
	}
	if err := b.log([]site.Change{c}); err != nil {
		return err
	}
	return b.apply(c)
}

// errFull says that no more is kept.
var errFull = errors.New("mail: the relay is full")

// accept keeps a mail, durably.
func (b *Box) accept(m Mail) (*Mail, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mails) >= maxMails {
		return nil, errFull
	}
	m.ID = b.next
	if err := b.commit(changeMail, m); err != nil {
		return nil, err
	}
	return b.byID[m.ID], nil
}

// SnapshotLocked gives changes that rebuild the relay. The caller holds Lock.
func (b *Box) SnapshotLocked(emit func([]site.Change) error) error {
	for _, m := range b.mails {
		c, err := site.NewChange(changeMail, m)
		if err != nil {
			return err
		}
		if err := emit([]site.Change{c}); err != nil {
			return err
		}
	}
	if b.next == 1 {
		return nil
	}
	c, err := site.NewChange(changeNext, sentRecord{ID: b.next})
	if err != nil {
		return err
	}
	return emit([]site.Change{c})
}

// State gives the ground truth: what was accepted, as a mail program reads it.
func (b *Box) State() site.State {
	b.mu.RLock()
	defer b.mu.RUnlock()
	st := site.State{App: Name, Accounts: []site.Account{}, Groups: []site.Group{}, Mails: make([]site.Mail, 0, len(b.mails))}
	seen := map[string]bool{}
	for _, m := range b.mails {
		r := Read(m.Raw)
		st.Mails = append(st.Mails, site.Mail{
			ID: m.ID, At: m.At, EnvelopeFrom: m.From, EnvelopeTo: m.To, TLS: m.TLS, MessageID: r.MessageID, InReplyTo: r.InReplyTo,
			References: r.References, From: r.From, To: r.To, Subject: r.Subject, Text: r.Text, HTML: r.HTML, AutoSubmitted: r.AutoSubmitted,
			Faults: r.Faults, Duplicate: seen[r.MessageID], Replies: m.Replies, Bounces: m.Bounces,
		})
		seen[r.MessageID] = true
	}
	st.Finish()
	return st
}

// Counts gives the ground truth's numbers alone.
func (b *Box) Counts() site.Counts {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return site.Counts{Mails: len(b.mails)}
}

// Mails lists mails, the newest first, whose subject, sender or recipients hold query; for a page.
func (b *Box) Mails(query string, offset, limit int) (rows []Row, total int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	query = strings.ToLower(query)
	for _, m := range slices.Backward(b.mails) {
		row := Row{Mail: *m, Reading: Read(m.Raw)}
		if query != "" && !strings.Contains(strings.ToLower(row.Subject+" "+m.From+" "+strings.Join(m.To, " ")), query) {
			continue
		}
		if total >= offset && len(rows) < limit {
			rows = append(rows, row)
		}
		total++
	}
	return rows, total
}

// Mail gives one mail, for a page.
func (b *Box) Mail(id int64) (Row, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	m := b.byID[id]
	if m == nil {
		return Row{}, false
	}
	return Row{Mail: *m, Reading: Read(m.Raw)}, true
}

// Row is a mail as a page shows it.
type Row struct {
	Mail
	Reading
}

// Received gives when the mail was accepted, for people.
func (r Row) Received() string { return time.UnixMicro(r.At).In(jst).Format("2006-01-02 15:04:05 JST") }

// pause waits, and says false where ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
