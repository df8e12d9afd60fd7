package upkeep

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Sweep is one thing to clear away.
type Sweep struct {
	Name  string        // "login_requests": a label of metrics
	Why   string        // what goes, and when: for people who read the log or the metrics
	Every time.Duration // between two turns where nothing was left over; at least a second
	// Do does one small batch and tells whether there is more.
	Do func(ctx context.Context) (more bool, err error)
}

// The bounds of the work.
const (
	leaseName    = "upkeep"
	leaseTerm    = time.Minute
	lookEvery    = 5 * time.Second
	batchTimeout = 20 * time.Second
	turn         = 10 * time.Second // then another sweep has its turn
	retryAfter   = time.Minute      // after a fault, or Every where that is shorter
	lastTime     = 3 * time.Second
)

// Status says how a sweep is doing on this node.
type Status struct {
	Name, Why string
	Batches   int64         // done since the start
	Faults    int64         // batches that failed
	Busy      time.Duration // spent in batches
	LastAt    time.Time     // of the newest batch; zero for none
	Left      bool          // whether there was more
	Err       string        // of the newest batch; empty where it succeeded
}

// Keeper does sweeps while its node holds the lease. It is safe for concurrent use.
type Keeper struct {
	db    *sqldb.DB
	lease *sqldb.Lease
	now   func() time.Time
	log   *slog.Logger

	mu    sync.Mutex
	tasks []*task
}

type task struct {
	Sweep
	due    time.Time
	status Status
}

var sweepName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// New makes a keeper. holder is the node's id.
func New(db *sqldb.DB, holder string, now func() time.Time, log *slog.Logger, sweeps ...Sweep) (*Keeper, error) {
	k := &Keeper{db: db, lease: sqldb.NewLease(db, leaseName, holder, leaseTerm, now), now: now, log: log}
	for _, s := range sweeps {
		if !sweepName.MatchString(s.Name) || s.Why == "" || s.Every < time.Second || s.Do == nil ||
			slices.ContainsFunc(k.tasks, func(t *task) bool { return t.Name == s.Name }) {
			return nil, fmt.Errorf("upkeep: sweep %q: want a name of its own in lower-case words, a reason, at least a second between turns, and work", s.Name)
		}
		k.tasks = append(k.tasks, &task{Sweep: s, status: Status{Name: s.Name, Why: s.Why}})
	}
	return k, nil
}

// Status lists the sweeps as this node knows them. A node that doesn't hold the lease has done none of late.
func (k *Keeper) Status() []Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]Status, len(k.tasks))
	for i, t := range k.tasks {
		all[i] = t.status
	}
	return all
}

// Run works until ctx ends, and gives the lease back.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var complained string
	for {
		// What stands in the way of everything is told when it is new.
		text := ""
		if err := k.Tick(ctx); err != nil && ctx.Err() == nil {
			text = err.Error()
			if text != complained {
				k.log.ErrorContext(ctx, "nothing is cleared away", "error", text)
			}
		}
		complained = text
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
		if err := k.lease.Release(last); err != nil {
			k.log.WarnContext(last, "give the lease of the upkeep back", "error", err)
		}
		cancel()
		return
	}
}

// Tick does what is due, if this node leads or may. The error is of the lease alone; that of a sweep stands in its Status and in the log.
func (k *Keeper) Tick(ctx context.Context) error {
	for ctx.Err() == nil {
		held, err := k.hold(ctx)
		if err != nil || !held {
			return err
		}
		t := k.next()
		if t == nil {
			return nil
		}
		k.do(ctx, t)
	}
	return nil
}

// hold renews the lease where that is due, and reports whether this node has it.
func (k *Keeper) hold(ctx context.Context) (held bool, err error) {
	due, err := k.lease.Due(ctx)
	if err != nil {
		return false, fmt.Errorf("upkeep: %w", err)
	}
	if !due {
		return k.lease.Held(), nil
	}
	err = k.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, held, err = k.lease.Hold(ctx, tx)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("upkeep: %w", err)
	}
	return held, nil
}

// next gives the sweep that has been due for longest; nil for none.
func (k *Keeper) next() *task {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	var found *task
	for _, t := range k.tasks {
		if t.due.Sub(now) > t.Every { // the clock was set back
			t.due = now
		}
		if !t.due.After(now) && (found == nil || t.due.Before(found.due)) {
			found = t
		}
	}
	return found
}

// do does batches of a sweep, until nothing is left or its turn is over.
func (k *Keeper) do(ctx context.Context, t *task) {
	began := k.now()
	batches := int64(0)
	for {
		at := k.now()
		more, err := k.batch(ctx, t)
		took := max(k.now().Sub(at), 0)
		if ctx.Err() != nil {
			return // told to stop; the next start goes on
		}
		batches++
		over := k.note(t, at, took, more, err)
		switch {
		case err != nil:
			if over {
				k.log.ErrorContext(ctx, "a sweep failed and will be tried again", "sweep", t.Name, "why", t.Why, "error", err)
			}
			return
		case !more:
			if batches > 1 {
				k.log.InfoContext(ctx, "cleared away", "sweep", t.Name, "why", t.Why, "batches", batches, "took", k.now().Sub(began))
			}
			return
		}
		k.rest(ctx, took)
		if k.now().Sub(began) >= turn {
			return // it is due again, after the others
		}
	}
}

// batch does one batch; a panic is its error.
func (k *Keeper) batch(ctx context.Context, t *task) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			more, err = false, fmt.Errorf("panic: %v", v)
		}
	}()
	more, err = t.Do(ctx)
	if err == nil && ctx.Err() != nil {
		err = errors.New("it took too long")
	}
	return more, err
}

// note keeps what came of a batch, and reports whether its error is new.
func (k *Keeper) note(t *task, at time.Time, took time.Duration, more bool, err error) (fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &t.status
	s.Batches++
	s.Busy += took
	s.LastAt, s.Left = at, more
	text := ""
	switch now := k.now(); {
	case err != nil:
		text = err.Error()
		s.Faults++
		t.due = now.Add(min(retryAfter, t.Every))
	case more:
		t.due = now
	default:
		t.due = now.Add(t.Every)
	}
	fresh = text != "" && text != s.Err
	s.Err = text
	return fresh
}

// rest leaves the writer to others for as long as the batch had it.
func (k *Keeper) rest(ctx context.Context, took time.Duration) {
	k.db.Yield(ctx)
	timer := time.NewTimer(min(took, time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
