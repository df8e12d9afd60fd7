package logout

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// Queue is the queue of deliveries.
const Queue = "logout"

// The bounds of a delivery.
const (
	GiveUpAfter = 24 * time.Hour // since it was enqueued; longer than a relying party is told that a session may last
	timeout     = 15 * time.Second
	workers     = 24 // most of them wait for an answer
	maxAttempts = 500
)

// Queues lists the queues of this package.
func Queues() map[string]jobs.Queue {
	return map[string]jobs.Queue{Queue: {MaxWorkers: workers, Urgent: true}}
}

// Args is the job that delivers one logout.
type Args struct {
	ID    string `json:"id"`              // of the issuer's logout
	Again int64  `json:"again,omitempty"` // UTC, microseconds: when a person took it up again; 0 for the first time
}

// Kind implements jobs.Args.
func (Args) Kind() string { return "oidc.logout.v1" }

// Key implements jobs.Args: one job for each logout, and one for each time that it is taken up again.
func (a Args) Key() string {
	if a.Again == 0 {
		return a.ID
	}
	return a.ID + " " + strconv.FormatInt(a.Again, 10)
}

// SAMLArgs is the job that delivers one logout to a SAML provider by SOAP. It is Args of another kind: which issuer delivers, the kind says.
type SAMLArgs Args

// Kind implements jobs.Args.
func (SAMLArgs) Kind() string { return "saml.logout.v1" }

// Key implements jobs.Args.
func (a SAMLArgs) Key() string { return Args(a).Key() }

func options() jobs.KindOptions {
	return jobs.KindOptions{
		Queue: Queue, Priority: 1, MaxAttempts: maxAttempts, Timeout: timeout, Backoff: jobs.Exponential(time.Second, maxPause),
	}
}

// Inserter puts jobs into the caller's transaction. Implemented by jobs.Client.
type Inserter interface {
	InsertTx(ctx context.Context, tx *sql.Tx, ins ...jobs.Insert) (int, error)
}

// Enqueuer implements access.LogoutEnqueuer.
type Enqueuer struct{ jobs Inserter }

var _ access.LogoutEnqueuer = (*Enqueuer)(nil)

// New makes an enqueuer. Bind it to a job client before any session ends.
func New() *Enqueuer { return &Enqueuer{} }

// Bind gives the enqueuer the client that puts jobs into transactions. The client knows the kinds of job, whose workers know the issuer, which
// knows the enqueuer: hence the second step.
func (e *Enqueuer) Bind(ins Inserter) { e.jobs = ins }

// EnqueueLogout implements access.LogoutEnqueuer for OpenID relying parties.
func (e *Enqueuer) EnqueueLogout(ctx context.Context, tx *sql.Tx, id string) error {
	return e.insert(ctx, tx, Args{ID: id})
}

// SAML is the enqueuer for SAML providers.
func (e *Enqueuer) SAML() access.LogoutEnqueuer { return samlEnqueuer{e} }

type samlEnqueuer struct{ *Enqueuer }

// EnqueueLogout implements access.LogoutEnqueuer.
func (e samlEnqueuer) EnqueueLogout(ctx context.Context, tx *sql.Tx, id string) error {
	return e.insert(ctx, tx, SAMLArgs{ID: id})
}

// Again enqueues a logout that was given up before and is pending once more.
func (e *Enqueuer) Again(ctx context.Context, tx *sql.Tx, p Protocol, id string, at int64) error {
	if at <= 0 {
		return fmt.Errorf("logout: again at %d: that is no instant", at)
	}
	if p == SAML {
		return e.insert(ctx, tx, SAMLArgs{ID: id, Again: at})
	}
	return e.insert(ctx, tx, Args{ID: id, Again: at})
}

func (e *Enqueuer) insert(ctx context.Context, tx *sql.Tx, a jobs.Args) error {
	if e.jobs == nil {
		return errors.New("logout: the enqueuer isn't bound to a job client")
	}
	if _, err := e.jobs.InsertTx(ctx, tx, jobs.Insert{Args: a}); err != nil {
		return fmt.Errorf("logout: enqueue: %w", err)
	}
	return nil
}

// ErrNoIssuer is wrapped by an Issuer that isn't there yet: what is to be delivered waits for it, uncounted.
var ErrNoIssuer = errors.New("logout: there is no issuer on this node")

// unbound is how long that is, each time.
const unbound = 10 * time.Second

// Issuer delivers logouts. Implemented by oidcop.Provider and samlidp.Provider.
type Issuer interface {
	// Deliver sends a logout and keeps the receipt. What is settled isn't sent again. An error that wraps access.ErrUndelivered says that
	// the relying party didn't take it and trying again may help.
	Deliver(ctx context.Context, id string) error
	// Abandon keeps a logout that is pending as failed.
	Abandon(ctx context.Context, id string) error
}

// Book knows the logouts that there are. Implemented by oidcop.Receipts and samlidp.Receipts.
type Book interface {
	Addressee(ctx context.Context, id string) (policies.RelyingPartyID, error)
	Overdue(ctx context.Context, before time.Time, limit int) ([]string, error)
}

// Register registers the kind of job of OpenID relying parties and how it is worked.
func Register(w *jobs.Workers, issuer Issuer, book Book, now func() time.Time, log *slog.Logger) {
	c := newCourier(issuer, book, now, log)
	jobs.Register(w, options(), func(ctx context.Context, job jobs.Job[Args]) error {
		return c.work(ctx, task{job.Args.ID, job.ID, job.CreatedAt, job.Attempt >= job.MaxAttempts})
	})
}

// RegisterSAML is Register for SAML providers. An id names one relying party over both registries, so each has its own gate there as here.
func RegisterSAML(w *jobs.Workers, issuer Issuer, book Book, now func() time.Time, log *slog.Logger) {
	c := newCourier(issuer, book, now, log)
	jobs.Register(w, options(), func(ctx context.Context, job jobs.Job[SAMLArgs]) error {
		return c.work(ctx, task{job.Args.ID, job.ID, job.CreatedAt, job.Attempt >= job.MaxAttempts})
	})
}

// Declare tells w the kinds of job of this package, for a process that inserts but doesn't work them.
func Declare(w *jobs.Workers) {
	jobs.Declare[Args](w, options())
	jobs.Declare[SAMLArgs](w, options())
}

type courier struct {
	issuer Issuer
	book   Book
	gate   *gate
	now    func() time.Time
	log    *slog.Logger
}

func newCourier(issuer Issuer, book Book, now func() time.Time, log *slog.Logger) *courier {
	return &courier{issuer, book, newGate(now), now, log}
}

// task is a job of either kind.
type task struct {
	id        string // of the logout
	job       int64
	createdAt time.Time
	last      bool // its attempts are used up
}

func (c *courier) work(ctx context.Context, t task) error {
	party, err := c.book.Addressee(ctx, t.id)
	if errors.Is(err, identity.ErrNotFound) {
		return jobs.Discard(err)
	}
	if err != nil {
		return err
	}
	last := t.last || c.now().Sub(t.createdAt) >= GiveUpAfter
	leave, wait, err := c.gate.enter(ctx, party)
	switch {
	case err != nil:
		return err
	case wait > 0 && last:
		return c.giveUp(ctx, t.id, party, errors.New("the relying party didn't answer for a day"))
	case wait > 0:
		return jobs.Snooze(wait + wait*time.Duration(t.job%16)/16) // a thousand that wait don't all come at once
	}
	err = c.deliver(ctx, t.id, leave)
	switch {
	case errors.Is(err, ErrNoIssuer):
		return jobs.Snooze(unbound)
	case errors.Is(err, identity.ErrNotFound):
		return jobs.Discard(err)
	case last && errors.Is(err, access.ErrUndelivered):
		return c.giveUp(ctx, t.id, party, err)
	}
	return err
}

// deliver gives the turn back also where the issuer panics.
func (c *courier) deliver(ctx context.Context, id string, leave func(undelivered bool)) (err error) {
	defer func() { leave(errors.Is(err, access.ErrUndelivered)) }()
	return c.issuer.Deliver(ctx, id)
}

// giveUp lets the issuer keep the logout as failed, and the job be a dead letter.
func (c *courier) giveUp(ctx context.Context, id string, party policies.RelyingPartyID, why error) error {
	if err := c.issuer.Abandon(ctx, id); err != nil {
		return errors.Join(why, err)
	}
	c.log.ErrorContext(ctx, "a logout is given up: the relying party may still hold the session", "logout", id, "relying_party", string(party))
	return jobs.Discard(fmt.Errorf("%w: it is given up; once the relying party answers, run `musubi logouts retry %s`", why, id))
}

// overdueBatch is how many are given up in one step of Sweep.
const overdueBatch = 50

// Sweep lets the issuer give up what no job delivers any more: the job was discarded by hand, or its attempts ended while the database was away.
// It tells whether there was more.
func Sweep(issuer Issuer, book Book, now func() time.Time) func(ctx context.Context) (more bool, err error) {
	return func(ctx context.Context) (more bool, err error) {
		ids, err := book.Overdue(ctx, now().Add(-GiveUpAfter-time.Hour), overdueBatch)
		if err != nil {
			return false, err
		}
		for _, id := range ids {
			if err := issuer.Abandon(ctx, id); err != nil {
				return false, err
			}
		}
		return len(ids) == overdueBatch, nil
	}
}

// Sweeps makes one of several: the first that had more comes again, then the next.
func Sweeps(all ...func(ctx context.Context) (more bool, err error)) func(ctx context.Context) (more bool, err error) {
	return func(ctx context.Context) (bool, error) {
		for _, sweep := range all {
			if more, err := sweep(ctx); more || err != nil {
				return more, err
			}
		}
		return false, nil
	}
}
