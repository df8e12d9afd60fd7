package lock

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/keylock"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

const (
	// Term is how long a name stays held by a process that died. The holder renews three times a term.
	Term = 15 * time.Second

	poll        = 100 * time.Millisecond // how often a waiter looks
	writeTime   = 5 * time.Second        // the longest that one renewal or release may take
	maxName     = 200                    // octets
	leasePrefix = "lock "
)

// Locks holds names among all processes on one database. It is safe for concurrent use.
type Locks struct {
	db     *sqldb.DB
	holder string
	now    func() time.Time
	logger *slog.Logger
	local  keylock.Locks
}

var _ connectors.Locker = (*Locks)(nil)

// New makes the locks of one process. holder names the process and must be another for each, also for two on one node: make it
// random. The schema is sqldb.Tables.
func New(db *sqldb.DB, holder string, now func() time.Time, logger *slog.Logger) (*Locks, error) {
	switch {
	case db == nil || now == nil || logger == nil:
		return nil, errors.New("lock: no database, clock or logger is given")
	case len(holder) < 8 || len(holder) > maxName:
		return nil, fmt.Errorf("lock: the holder's name must have 8 to %d octets", maxName)
	}
	return &Locks{db: db, holder: holder, now: now, logger: logger}, nil
}

// Lock waits until nobody holds name, in this process or another, and takes it. The error is that of ctx, or the database's.
// release may be called more than once.
func (l *Locks) Lock(ctx context.Context, name string) (release func(), err error) {
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("lock: a name must have 1 to %d octets", maxName)
	}
	leave, err := l.local.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	lease := sqldb.NewLease(l.db, leasePrefix+name, l.holder, Term, l.now)
	if err := l.await(ctx, lease); err != nil {
		leave()
		return nil, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.renew(renewing, lease, name)
	}()
	var once sync.Once
	return func() {
		once.Do(func() {
			defer leave()
			stop()
			<-done
			giving, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
			defer cancel()
			if err := lease.Release(giving); err != nil {
				l.logger.Warn("a lock couldn't be given back; others wait for its term", "name", name, "error", err)
			}
		})
	}, nil
}

// await takes the lease as soon as it is free. What waits only reads.
func (l *Locks) await(ctx context.Context, lease *sqldb.Lease) error {
	for {
		due, err := lease.Due(ctx)
		if err == nil && due {
			var held bool
			if held, err = l.hold(ctx, lease); held {
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		timer := time.NewTimer(poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// hold takes or renews the lease. A commit that failed is a lease that isn't held as far as this process may believe.
func (l *Locks) hold(ctx context.Context, lease *sqldb.Lease) (held bool, err error) {
	err = l.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var err error
		_, held, err = lease.Hold(ctx, tx)
		return err
	})
	return held && err == nil, err
}

// renew keeps the lease until ctx ends. A renewal that fails is tried again: within the term nobody else takes over.
func (l *Locks) renew(ctx context.Context, lease *sqldb.Lease, name string) {
	ticker := time.NewTicker(Term / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		write, cancel := context.WithTimeout(ctx, writeTime)
		held, err := l.hold(write, lease)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.logger.Warn("a lock couldn't be renewed", "name", name, "error", err)
		case !held:
			l.logger.Error("a lock was lost to another process while it was in use: what both changed is to be compared with the product", "name", name)
			return
		}
	}
}
