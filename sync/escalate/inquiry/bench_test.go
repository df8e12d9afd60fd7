package inquiry_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/escalate"
	"github.com/musubi-hub/musubi/sync/escalate/inquiry"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// What a new inquiry costs, a transaction each: its row, its event, its state and the job that looks again. The same run's bare insert of a row is what it is
// measured against.
func BenchmarkHear(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		if err := errors.Join(db.Migrate(b.Context(), inquiry.Migration()), jobs.Migrate(b.Context(), db)); err != nil {
			b.Fatal(err)
		}
		w := world(b)
		now := func() time.Time { return start }
		store := inquiry.New(db, func() *escalate.World { return w }, now)
		workers := jobs.NewWorkers()
		inquiry.Declare(workers)
		c, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: workers, NodeID: "bench", Now: now})
		if err != nil {
			b.Fatal(err)
		}
		store.Bind(c)
		each := func(fn func(ctx context.Context, tx *sql.Tx, i int) error) time.Duration {
			began := time.Now()
			for i := range b.N {
				if err := db.WithTx(b.Context(), func(ctx context.Context, tx *sql.Tx) error { return fn(ctx, tx, i) }); err != nil {
					b.Fatal(err)
				}
			}
			return time.Since(began)
		}
		bare := each(func(ctx context.Context, tx *sql.Tx, i int) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO inquiry_event (inquiry, key, kind, at, applied_at) VALUES ($1, 'k', 'k', 0, 0)`, fmt.Sprint("bare-", i))
			return err
		})
		b.ResetTimer()
		took := each(func(ctx context.Context, tx *sql.Tx, i int) error {
			_, err := store.Hear(ctx, tx, inquiry.Heard{Inquiry: fmt.Sprint("Q-", i), Key: "d1", Event: created})
			return err
		})
		b.ReportMetric(float64(b.N)/took.Seconds(), "events/s")
		b.ReportMetric(took.Seconds()/bare.Seconds(), "of-a-bare-insert")
		var size float64
		if err := db.Reader().QueryRowContext(b.Context(), `SELECT AVG(LENGTH(state)) FROM inquiry`).Scan(&size); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(size, "state-bytes")
	})
}
