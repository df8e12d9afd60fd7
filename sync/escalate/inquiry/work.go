package inquiry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/escalate"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// The queues of this package.
const (
	QueueLook = "inquiry_look" // decides
	QueueDo   = "inquiry_do"   // tells
)

// Queues lists the queues of this package.
func Queues() map[string]jobs.Queue {
	return map[string]jobs.Queue{QueueLook: {MaxWorkers: 4}, QueueDo: {MaxWorkers: 4}}
}

// LookArgs is the job that looks whether something is due.
type LookArgs struct {
	ID      string `json:"id"`
	Version int64  `json:"version"` // of the inquiry, when it asked for the look
}

// Kind implements jobs.Args.
func (LookArgs) Kind() string { return "inquiry.look.v1" }

// Key implements jobs.Args.
func (a LookArgs) Key() string { return a.ID + "/" + strconv.FormatInt(a.Version, 10) }

// DoArgs is the job that does one thing.
type DoArgs struct {
	ID     string `json:"id"`
	Effect string `json:"effect"` // its key
}

// Kind implements jobs.Args.
func (DoArgs) Kind() string { return "inquiry.do.v1" }

// Key implements jobs.Args.
func (a DoArgs) Key() string { return a.ID + "/" + a.Effect }

func lookOptions() jobs.KindOptions {
	// It needs nothing but the database, and must not be given up.
	return jobs.KindOptions{Queue: QueueLook, Priority: 1, MaxAttempts: 1000, Backoff: jobs.Exponential(time.Second, time.Minute)}
}

func doOptions() jobs.KindOptions {
	return jobs.KindOptions{Queue: QueueDo, Priority: 1, MaxAttempts: maxTries, Timeout: 20 * time.Second, Backoff: jobs.Exponential(2*time.Second, 2*time.Minute)}
}

// maxTries is after how many tries, within about ten minutes, nobody has received something and the inquiry climbs.
const maxTries = 10

// whileWaiting is how often what was to be told when the inquiry began to wait for its asker is looked at.
const whileWaiting = 15 * time.Minute

// Delivery is something to do.
type Delivery struct {
	Inquiry string
	Org     policies.OrgID // the asker's
	Key     string         // the same at each try: a receiver that knows it does nothing
	escalate.Effect
}

// ErrNobody is what a Deliver returns when no try will ever reach anybody: no account, no address, refused for good.
var ErrNobody = errors.New("nobody can receive it")

// Deliver tells people or raises an alarm. Any error but ErrNobody is tried again.
type Deliver func(ctx context.Context, d Delivery) error

// Register registers the kinds of job of this package and how they are worked.
func Register(w *jobs.Workers, s *Store, deliver Deliver) {
	jobs.Register(w, lookOptions(), s.look)
	jobs.Register(w, doOptions(), func(ctx context.Context, job jobs.Job[DoArgs]) error { return s.do(ctx, job, deliver) })
}

// Declare tells w the kinds of job of this package, for a process that inserts but doesn't work them.
func Declare(w *jobs.Workers) {
	jobs.Declare[LookArgs](w, lookOptions())
	jobs.Declare[DoArgs](w, doOptions())
}

// look takes the step that is due. One that comes twice or too early changes nothing but when it looks again.
func (s *Store) look(ctx context.Context, job jobs.Job[LookArgs]) error {
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row, err := s.lock(ctx, tx, job.Args.ID)
		if err != nil {
			return err
		}
		if row.look == job.Args.Version { // it has come, be it too early: another one must be asked for
			row.lookAt = 0
		}
		return s.step(ctx, tx, row, escalate.Event{Kind: escalate.EventRungDue}, s.now())
	})
	if errors.Is(err, identity.ErrNotFound) { // swept
		return nil
	}
	return err
}

// do does one thing, if it is still wanted.
func (s *Store) do(ctx context.Context, job jobs.Job[DoArgs], deliver Deliver) error {
	d := Delivery{Inquiry: job.Args.ID, Key: job.Args.ID + "/" + job.Args.Effect}
	var body, outcome, phase string
	var made, life int
	err := s.db.Reader().QueryRowContext(ctx, `SELECT e.body, e.outcome, e.life, i.phase, i.life, i.org FROM inquiry_effect e JOIN inquiry i ON i.id = e.inquiry
		WHERE e.inquiry = $1 AND e.key = $2`, job.Args.ID, job.Args.Effect).Scan(&body, &outcome, &made, &phase, &life, &d.Org)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && Outcome(outcome) != OutcomeWaiting:
		return nil
	case err != nil:
		return fmt.Errorf("inquiry: read: %w", err)
	}
	if err := json.Unmarshal([]byte(body), &d.Effect); err != nil {
		return jobs.Discard(fmt.Errorf("inquiry: %s can't be read: %w", d.Key, err))
	}
	if escalate.Phase(phase) == escalate.PhaseDone || life != made {
		return s.settle(ctx, job.Args, d, OutcomeDropped)
	}
	if escalate.Phase(phase) == escalate.PhaseWaiting { // its rung counts as told: it is, if the asker's word doesn't end it
		return jobs.Snooze(whileWaiting)
	}
	err = deliver(ctx, d)
	switch {
	case err == nil:
		return s.settle(ctx, job.Args, d, OutcomeDone)
	case errors.Is(err, ErrNobody), job.Attempt >= job.MaxAttempts:
		if kept := s.settle(ctx, job.Args, d, OutcomeFailed); kept != nil {
			return kept
		}
		return jobs.Discard(err) // a dead letter: somebody should look why
	}
	return err
}

// settle keeps what became of something. That nobody received it is an event of the inquiry, in the same transaction.
func (s *Store) settle(ctx context.Context, args DoArgs, d Delivery, outcome Outcome) error {
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row, err := s.lock(ctx, tx, args.ID) // before the effect's row, as everywhere
		if err != nil {
			return err
		}
		now := s.now()
		var life int
		err = tx.QueryRowContext(ctx, `UPDATE inquiry_effect SET outcome = $3, settled_at = $4 WHERE inquiry = $1 AND key = $2 AND outcome = 'waiting' RETURNING life`,
			args.ID, args.Effect, string(outcome), now.UnixMicro()).Scan(&life)
		if errors.Is(err, sql.ErrNoRows) { // another try has settled it
			return nil
		}
		if err != nil || outcome != OutcomeFailed || d.Kind != escalate.EffectTell {
			return err
		}
		return s.step(ctx, tx, row, escalate.Event{Kind: escalate.EventUndelivered, Rung: d.Rung, Life: life}, now)
	})
	if err != nil {
		return fmt.Errorf("inquiry: keep what became of %s: %w", d.Key, err)
	}
	return nil
}
