package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

//go:embed migrations
var migrations embed.FS

// Tables is the schema of what sqldb keeps for itself: the leases.
func Tables() Migration {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(fmt.Sprintf("sqldb: %v", err)) // the folder is embedded
	}
	return Migration{Owner: "sqldb", FS: dir}
}

// Lease is one candidate for work that only one process at a time may do. The row in the database holds no time at all: a
// candidate takes a lease over when it has seen the holder's beat stand still for the whole term on its own clock. So clocks
// that differ or jump can at worst make a takeover early or late, and an early one is safe, because everything that a leader
// writes is in the transaction of Hold, which locks the row and fails once the fence has moved on.
//
// It is safe for concurrent use.
type Lease struct {
	db     *DB
	name   string
	holder string
	term   time.Duration
	now    func() time.Time

	mu      sync.Mutex
	fence   int64 // of our holding; 0: we don't hold it, as far as we know
	renewed time.Time
	seen    leaseRow // as last observed in another's hands
	since   time.Time
}

type leaseRow struct {
	holder string
	fence  int64
	beat   int64
}

// NewLease makes a candidate that calls itself holder (a node's id) for the lease name. A holder renews three times a term;
// another takes over when it has seen no renewal for a term. A holder of the same id takes over at once: it is what is left of
// ourselves before a restart.
func NewLease(db *DB, name, holder string, term time.Duration, now func() time.Time) *Lease {
	return &Lease{db: db, name: name, holder: holder, term: term, now: now}
}

// Due reports whether Hold has something to do even where no work waits: a renewal, or a lease that seems free. It reads only.
func (l *Lease) Due(ctx context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fence != 0 {
		passed := l.now().Sub(l.renewed)
		return passed < 0 || passed >= l.term/3, nil
	}
	row, err := l.read(ctx, l.db.Reader())
	if err != nil {
		return false, err
	}
	return l.free(row), nil
}

// Held reports whether this candidate was the holder when it last looked. What may only be done by the holder belongs into the
// transaction of Hold.
func (l *Lease) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fence != 0
}

// free reports whether the lease may be taken: nobody's, our own from before a restart, or not renewed for a term.
func (l *Lease) free(row leaseRow) bool {
	now := l.now()
	if row != l.seen || l.since.IsZero() || now.Before(l.since) {
		l.seen, l.since = row, now
	}
	return row.holder == "" || row.holder == l.holder || now.Sub(l.since) >= l.term
}

type queryRower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (l *Lease) read(ctx context.Context, q queryRower) (leaseRow, error) {
	var row leaseRow
	err := q.QueryRowContext(ctx, `SELECT holder, fence, beat FROM sqldb_lease WHERE name = $1`, l.name).Scan(&row.holder, &row.fence, &row.beat)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return row, fmt.Errorf("lease %s: %w", l.name, err)
	}
	return row, nil
}

// Hold renews the lease, or takes it where it is free, in the caller's write transaction. Where held is true nobody else can
// hold it until the transaction ends, and the writes of one fence come after all writes of lower ones. Where it is false the
// caller must write nothing that belongs to the holder.
func (l *Lease) Hold(ctx context.Context, tx *sql.Tx) (fence int64, held bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fence != 0 {
		ok, err := l.change(ctx, tx, `UPDATE sqldb_lease SET beat = beat + 1 WHERE name = $1 AND holder = $2 AND fence = $3`, l.name, l.holder, l.fence)
		if err != nil {
			return 0, false, err
		}
		if ok {
			l.renewed = l.now()
			return l.fence, true, nil
		}
		l.fence, l.since = 0, time.Time{} // lost: another has taken it over
	}
	row, err := l.read(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	if !l.free(row) {
		return 0, false, nil
	}
	var ok bool
	if row.fence == 0 {
		ok, err = l.change(ctx, tx, `INSERT INTO sqldb_lease (name, holder, fence, beat) VALUES ($1, $2, 1, 1) ON CONFLICT (name) DO NOTHING`, l.name, l.holder)
	} else {
		ok, err = l.change(ctx, tx, `UPDATE sqldb_lease SET holder = $2, fence = fence + 1, beat = beat + 1 WHERE name = $1 AND fence = $3 AND beat = $4`,
			l.name, l.holder, row.fence, row.beat)
	}
	if err != nil || !ok {
		return 0, false, err
	}
	// Should the transaction be rolled back, the fence isn't in the database, and the next Hold finds that out.
	l.fence, l.renewed = row.fence+1, l.now()
	return l.fence, true, nil
}

func (l *Lease) change(ctx context.Context, tx *sql.Tx, statement string, args ...any) (bool, error) {
	res, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", l.name, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", l.name, err)
	}
	return n == 1, nil
}

// Release gives the lease back, so that another needn't wait for a term. It does nothing where the lease isn't held.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fence == 0 {
		return nil
	}
	fence := l.fence
	l.fence, l.since = 0, time.Time{}
	return l.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := l.change(ctx, tx, `UPDATE sqldb_lease SET holder = '', beat = beat + 1 WHERE name = $1 AND holder = $2 AND fence = $3`, l.name, l.holder, fence)
		return err
	})
}
