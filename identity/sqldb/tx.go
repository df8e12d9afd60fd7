package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ErrNested is returned by WithTx and Group inside a transaction of the same database. On SQLite the one writer connection
// would wait for itself; pass the *sql.Tx down instead.
var ErrNested = errors.New("sqldb: a transaction inside a transaction")

type txKey struct{ db *DB }

func (d *DB) inside(ctx context.Context) bool { return ctx.Value(txKey{d}) != nil }

func (d *DB) mark(ctx context.Context) context.Context { return context.WithValue(ctx, txKey{d}, true) }

// WithTx runs fn in one write transaction and commits. An error or a panic of fn rolls everything back; the panic goes on.
// fn runs at most once: a deadlock or serialization failure that PostgreSQL reports is returned, and the job or request that
// called tries again as a whole. Keep fn short (at most 250 ms of SQLite's one writer) and free of network calls.
func (d *DB) WithTx(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if d.inside(ctx) {
		return ErrNested
	}
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return d.explainBegin(err)
	}
	committed := false
	defer func() {
		if !committed {
			_ = tx.Rollback() // the first error is the one to tell; after a panic there is none
		}
	}()
	if err := fn(d.mark(ctx), tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}

func (d *DB) explainBegin(err error) error {
	if sqliteCode(err)&0xff == sqliteBusy {
		return fmt.Errorf("database file %s: another process held the write lock for more than %s; try again: %w", d.path, d.opt.BusyTimeout, err)
	}
	return fmt.Errorf("begin transaction: %w", err)
}

// yieldFor is longer than the intervals at which another process asks for SQLite's write lock (beginWait).
const yieldFor = 12 * time.Millisecond

// Yield leaves a gap between two of many transactions, in which other processes get their turn: SQLite's write lock has no queue. On
// PostgreSQL, where nobody waits for a whole database, it does nothing.
func (d *DB) Yield(ctx context.Context) {
	if d.engine != SQLite {
		return
	}
	timer := time.NewTimer(yieldFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
