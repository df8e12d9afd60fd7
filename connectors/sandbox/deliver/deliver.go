package deliver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// The faults that a hook may plant.
const (
	FaultDrop         = "drop"          // the message is never sent
	FaultDuplicate    = "duplicate"     // the message is sent twice
	FaultReorder      = "reorder"       // the message is sent after the one that follows it
	FaultBadSignature = "bad_signature" // one try carries a signature that is wrong
)

// FaultKinds lists the faults.
func FaultKinds() []string {
	return []string{FaultDrop, FaultDuplicate, FaultReorder, FaultBadSignature}
}

// Failure is why a try failed; "" is success.
type Failure string

// The failures.
const (
	FailureTimeout    Failure = "timeout"    // no answer within Policy.Timeout
	FailureConnection Failure = "connection" // no connection, or it broke
	FailureTLS        Failure = "tls"        // certificate or handshake
	FailureRedirects  Failure = "redirects"  // more than Policy.MaxRedirects
	FailureStatus     Failure = "status"     // an answer, but not 2xx
)

// Message is one webhook. It must not be changed once sent.
type Message struct {
	ID          string // the vendor's event id, the same for all tries and copies
	Event       string // the vendor's event name, for faults and records
	URL         string // where to, http or https
	ContentType string
	Body        []byte
	// Header makes a try's further headers, for instance its signature with the time of that try; nil: none.
	Header func(Try) http.Header
	// SignatureHeader is the header whose last character FaultBadSignature changes.
	SignatureHeader string
}

// Try says which attempt at a message is made.
type Try struct {
	Number     int       // 0 is the first, 1 the first retry
	At         time.Time // by the queue's clock
	Last       Failure   // why the try before failed; "" for the first
	LastStatus int       // the status of the try before, 0 if there was none
}

// Answer is what the receiver said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // at most MaxAnswer bytes
}

// MaxAnswer bounds how much of an answer is read.
const MaxAnswer = 64 << 10

// Policy is how a vendor delivers.
type Policy struct {
	Timeout      time.Duration   // for one try, redirects included; required
	Retries      []time.Duration // how long to wait before each retry, from the end of the try before; empty: none
	MaxRedirects int             // that are followed
	// Retry says whether a failed try is worth another (status 0 without an answer); nil: always.
	Retry func(f Failure, answer Answer) bool
}

// Record is one try, or a dropped message.
type Record struct {
	ID      string    `json:"id"`
	Event   string    `json:"event"`
	Try     int       `json:"try"`
	At      time.Time `json:"at"`
	Status  int       `json:"status,omitempty"`
	Failure Failure   `json:"failure,omitempty"`
	Fault   string    `json:"fault,omitempty"` // what was planted: drop, duplicate (on the copy), reorder, bad_signature
	Retry   bool      `json:"retry"`           // another try follows
}

// Options configure a queue.
type Options struct {
	Transport http.RoundTripper                    // required
	Now       func() time.Time                     // required
	After     func(time.Duration) <-chan time.Time // how to wait by that clock; nil: time.After
	Policy    Policy
	// Fault says whether a fault of this kind hits m; nil: none. Asked once a message for drop, duplicate and reorder, once a try
	// for bad_signature. Must not call the queue.
	Fault func(kind string, m Message) bool
	// Done is told each record, one at a time in the order of the tries' ends; nil: nobody. Must not call the queue.
	Done     func(Record)
	Parallel int           // tries at once; 0: 1, which keeps the order
	Capacity int           // messages that wait at most; 0: 10,000
	Hold     time.Duration // how long FaultReorder waits for a following message; 0: 5 s
}

// What Send refuses.
var (
	ErrFull   = errors.New("deliver: too many messages wait")
	ErrClosed = errors.New("deliver: the queue is closed")
)

// keptRecords is how many records Records remembers.
const keptRecords = 500

// Queue sends messages. Its methods may be called at once from many goroutines.
type Queue struct {
	opt    Options
	client http.Client
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	group  sync.WaitGroup
	report sync.Mutex // held while Done is told

	mu       sync.Mutex
	waiting  []*entry // sorted by due, then seq
	held     []*entry // reordered, until the next message to the same URL
	seq      int64
	epoch    int64 // counts Clear
	workers  int
	inFlight int
	closed   bool
	changed  chan struct{} // closed and replaced whenever something above changes
	records  []Record
}

// entry is a message that waits for its next try.
type entry struct {
	m     Message
	try   Try
	due   time.Time
	seq   int64
	epoch int64
	fault string
}

// New makes a queue. It starts nothing and opens no connection.
func New(opt Options) (*Queue, error) {
	switch {
	case opt.Transport == nil:
		return nil, errors.New("deliver: no Transport")
	case opt.Now == nil:
		return nil, errors.New("deliver: no clock; set Now")
	case opt.Policy.Timeout <= 0:
		return nil, fmt.Errorf("deliver: Policy.Timeout %v must be positive", opt.Policy.Timeout)
	case opt.Parallel < 0 || opt.Capacity < 0 || opt.Hold < 0 || opt.Policy.MaxRedirects < 0:
		return nil, errors.New("deliver: Parallel, Capacity, Hold and MaxRedirects must not be negative")
	}
	if opt.After == nil {
		opt.After = time.After
	}
	if opt.Parallel == 0 {
		opt.Parallel = 1
	}
	if opt.Capacity == 0 {
		opt.Capacity = 10_000
	}
	if opt.Hold == 0 {
		opt.Hold = 5 * time.Second
	}
	q := &Queue{opt: opt, changed: make(chan struct{})}
	q.ctx, q.stop = context.WithCancel(context.Background())
	q.client = http.Client{Transport: opt.Transport, CheckRedirect: q.checkRedirect}
	return q, nil
}

// CheckURL refuses an address that no webhook can be sent to.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(address) > 2000 {
		return errors.New("deliver: the address must be http or https with a host, without a user or a fragment, of at most 2000 characters")
	}
	return nil
}

// Send takes a message for delivery and returns at once.
func (q *Queue) Send(m Message) error {
	if err := CheckURL(m.URL); err != nil {
		return err
	}
	fault := func(kind string) bool { return q.opt.Fault != nil && q.opt.Fault(kind, m) }
	drop := fault(FaultDrop)
	double := !drop && fault(FaultDuplicate)
	swap := !drop && fault(FaultReorder)
	now := q.opt.Now()
	if drop {
		q.tell(Record{ID: m.ID, Event: m.Event, At: now, Fault: FaultDrop})
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case len(q.waiting)+len(q.held)+q.inFlight >= q.opt.Capacity:
		return ErrFull
	}
	first := &entry{m: m, due: now, epoch: q.epoch}
	if swap {
		first.due, first.fault = now.Add(q.opt.Hold), FaultReorder
		q.held = append(q.held, first)
	}
	q.push(first)
	if double {
		q.push(&entry{m: m, due: first.due, epoch: q.epoch, fault: FaultDuplicate})
	}
	if !swap {
		q.releaseHeld(m.URL, now)
	}
	q.start()
	q.notify()
	return nil
}

// releaseHeld lets what was held go, behind the message that was just pushed. The caller holds the lock.
func (q *Queue) releaseHeld(target string, now time.Time) {
	q.held = slices.DeleteFunc(q.held, func(e *entry) bool {
		if e.m.URL != target {
			return false
		}
		if i := slices.Index(q.waiting, e); i >= 0 { // else its time came already
			q.waiting = slices.Delete(q.waiting, i, i+1)
			e.due = now
			q.push(e)
		}
		return true
	})
}

// push queues e behind everything that is due by then. The caller holds the lock.
func (q *Queue) push(e *entry) {
	q.seq++
	e.seq = q.seq
	i, _ := slices.BinarySearchFunc(q.waiting, e, func(a, b *entry) int {
		if c := a.due.Compare(b.due); c != 0 {
			return c
		}
		return int(a.seq - b.seq)
	})
	q.waiting = slices.Insert(q.waiting, i, e)
}

// start adds a worker if there may be one more. The caller holds the lock.
func (q *Queue) start() {
	if q.workers < q.opt.Parallel && !q.closed {
		q.workers++
		q.group.Go(q.work)
	}
}

// notify wakes all who wait for a change. The caller holds the lock.
func (q *Queue) notify() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Wake looks again at what is due, for a clock that was set.
func (q *Queue) Wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notify()
}

// Settle waits until nothing is due and no try is under way. Retries that are due later don't count.
func (q *Queue) Settle(ctx context.Context) error {
	for {
		q.mu.Lock()
		now := q.opt.Now()
		settled := q.inFlight == 0 && (len(q.waiting) == 0 || q.waiting[0].due.After(now))
		changed := q.changed
		q.mu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("deliver: messages are still due: %w", ctx.Err())
		}
	}
}

// Waiting counts the messages that wait, retries included.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) + q.inFlight
}

// Records gives the newest records, oldest first.
func (q *Queue) Records() []Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.records)
}

// Clear forgets what waits and the records. A try under way ends, and isn't repeated.
func (q *Queue) Clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting, q.held, q.records = nil, nil, nil
	q.epoch++
	q.notify()
}

// Close forgets what waits, breaks off what is under way and waits for its end.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.closed = true
	q.waiting, q.held = nil, nil
	q.notify()
	q.mu.Unlock()
	q.stop()
	q.group.Wait()
	return nil
}

func (q *Queue) tell(r Record) {
	q.report.Lock()
	defer q.report.Unlock()
	q.mu.Lock()
	if q.records = append(q.records, r); len(q.records) > keptRecords {
		q.records = slices.Delete(q.records, 0, len(q.records)-keptRecords)
	}
	q.mu.Unlock()
	if q.opt.Done != nil {
		q.opt.Done(r)
	}
}
