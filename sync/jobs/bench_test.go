package jobs_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// noop is the smallest job.
type noop struct {
	N string `json:"n"`
}

func (noop) Kind() string  { return "bench.noop.v1" }
func (n noop) Key() string { return n.N }

func noops(from, to int) []jobs.Insert {
	ins := make([]jobs.Insert, 0, to-from)
	for i := from; i < to; i++ {
		ins = append(ins, jobs.Insert{Args: noop{fmt.Sprintf("operation-%08d", i)}})
	}
	return ins
}

func insertAll(tb testing.TB, db *sqldb.DB, c *jobs.Client, n int) {
	tb.Helper()
	for from := 0; from < n; from += 500 {
		err := db.WithTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			want := min(from+500, n) - from
			got, err := c.InsertTx(ctx, tx, noops(from, from+want)...)
			if err == nil && got != want {
				err = fmt.Errorf("%d of %d inserted", got, want)
			}
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkInsert inserts jobs, 500 a transaction.
func BenchmarkInsert(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		if err := jobs.Migrate(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		w := jobs.NewWorkers()
		jobs.Declare[noop](w, jobs.KindOptions{})
		c, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: w})
		if err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		insertAll(b, db, c, b.N)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	})
}

// BenchmarkWork works jobs that do nothing with 64 workers.
func BenchmarkWork(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		if err := jobs.Migrate(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		var done atomic.Int64
		all := make(chan struct{})
		w := jobs.NewWorkers()
		jobs.Register(w, jobs.KindOptions{}, func(context.Context, jobs.Job[noop]) error {
			if done.Add(1) == int64(b.N) {
				close(all)
			}
			return nil
		})
		c, err := jobs.New(jobs.Config{
			DB: db, Workers: w, NodeID: "bench", Queues: map[string]jobs.Queue{jobs.DefaultQueue: {MaxWorkers: 64}},
		})
		if err != nil {
			b.Fatal(err)
		}
		insertAll(b, db, c, b.N)
		b.ResetTimer()
		if err := c.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		<-all
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			b.Fatal(err)
		}
	})
}
