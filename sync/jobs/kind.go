package jobs

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/riverqueue/river"
)

// Args are the arguments of one kind of job, stored as JSON. They hold ids, not personal data: workers read the rest anew.
type Args interface {
	// Kind names the kind with its version, e.g. "provision.op.v1". It must not depend on the value.
	Kind() string
	// Key is the idempotency key, unique within the kind: a second insert with the same key is skipped, also when the first job
	// is done long since. 1 to 200 bytes.
	Key() string
}

// Job is one attempt at a job.
type Job[A Args] struct {
	ID          int64
	Args        A
	Attempt     int // 1 for the first
	MaxAttempts int
	CreatedAt   time.Time
}

// KindOptions are the rules of one kind. Zero values mean the defaults named.
type KindOptions struct {
	Queue       string        // "default"
	Priority    int           // 1 (urgent) to 4; 2
	MaxAttempts int           // 10; then the job is a dead letter
	Timeout     time.Duration // 20 s; the attempt's ctx ends then
	// Backoff says how long to wait after a failed attempt (1 for the first); nil: 1 s doubling to 5 min, never less than the
	// vendor's Retry-After.
	Backoff func(attempt int, err error) time.Duration
	// Discreet keeps a job that waits for its date out of every list, count and look-up: that there is one at such a date would tell of
	// something that isn't everybody's to know yet. It can't be retried or discarded until then either.
	Discreet bool
}

// The defaults and bounds of kinds.
const (
	DefaultQueue       = "default"
	defaultPriority    = 2
	defaultMaxAttempts = 10
	maxMaxAttempts     = 1000
	maxTimeout         = time.Hour
	maxKey             = 200
	maxArgs            = 64 << 10
)

func (o KindOptions) withDefaults() KindOptions {
	if o.Queue == "" {
		o.Queue = DefaultQueue
	}
	if o.Priority == 0 {
		o.Priority = defaultPriority
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = defaultMaxAttempts
	}
	if o.Backoff == nil {
		o.Backoff = Exponential(time.Second, 5*time.Minute)
	}
	return o
}

func (o KindOptions) validate() error {
	switch {
	case !queueName.MatchString(o.Queue):
		return fmt.Errorf("queue %q: want letters, digits, - and _, at most 64", o.Queue)
	case o.Priority < 1 || o.Priority > 4:
		return fmt.Errorf("priority %d: want 1 to 4", o.Priority)
	case o.MaxAttempts < 1 || o.MaxAttempts > maxMaxAttempts:
		return fmt.Errorf("%d attempts: want 1 to %d", o.MaxAttempts, maxMaxAttempts)
	case o.Timeout < 0 || o.Timeout > maxTimeout:
		return fmt.Errorf("time-out %s: want at most %s", o.Timeout, maxTimeout)
	}
	return nil
}

var (
	kindName  = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.v[1-9][0-9]*$`)
	queueName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$`)
)

type kind struct {
	opt    KindOptions
	worked bool                          // Register rather than Declare
	add    func(*river.Workers, *Client) // gives River the worker; nil for a declared kind
}

// Workers is the explicit list of the kinds that this program knows, made by cmd.
type Workers struct {
	kinds map[string]*kind
	errs  []error // what Register found wrong; New returns it
}

// NewWorkers makes an empty list.
func NewWorkers() *Workers { return &Workers{kinds: map[string]*kind{}} }

// Register adds a kind and how it is worked. work returns nil (done), Snooze, Discard, or any other error (retried by the
// kind's rule). A panic in work is an error of that attempt. What is wrong with a kind, New reports.
func Register[A Args](w *Workers, opt KindOptions, work func(ctx context.Context, job Job[A]) error) {
	var zero A
	w.put(zero.Kind(), opt, func(rw *river.Workers, c *Client) {
		river.AddWorker(rw, &worker[A]{client: c, opt: opt.withDefaults(), work: work})
	})
}

// Declare adds a kind that this program inserts but doesn't work, for an insert-only client.
func Declare[A Args](w *Workers, opt KindOptions) {
	var zero A
	w.put(zero.Kind(), opt, nil)
}

func (w *Workers) put(name string, opt KindOptions, add func(*river.Workers, *Client)) {
	opt = opt.withDefaults()
	if !kindName.MatchString(name) {
		w.errs = append(w.errs, fmt.Errorf(`jobs: kind %q: want lower-case words with a version, such as "provision.op.v1"`, name))
	}
	if _, dup := w.kinds[name]; dup {
		w.errs = append(w.errs, fmt.Errorf("jobs: kind %q is registered twice", name))
	}
	if err := opt.validate(); err != nil {
		w.errs = append(w.errs, fmt.Errorf("jobs: kind %q: %w", name, err))
	}
	w.kinds[name] = &kind{opt: opt, worked: add != nil, add: add}
}

type snoozeError struct{ d time.Duration }

func (e *snoozeError) Error() string { return "snoozed for " + e.d.String() }

// Snooze is returned by a worker: come back after d (at once if d isn't positive); this attempt isn't counted.
func Snooze(d time.Duration) error { return &snoozeError{max(d, 0)} }

type discardError struct{ err error }

func (e *discardError) Error() string { return e.err.Error() }
func (e *discardError) Unwrap() error { return e.err }

// Discard is returned by a worker: trying again is useless, the job is a dead letter now because of err.
func Discard(err error) error {
	if err == nil {
		err = errors.New("discarded without a reason")
	}
	return &discardError{err}
}
