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

// commits measures how many one-row transactions the database takes a second, one after the other: the limit that the jobs/s
// are compared with.
func commits(b *testing.B, db *sqldb.DB) float64 {
	b.Helper()
	if _, err := db.Writer().ExecContext(b.Context(), "CREATE TABLE bench_commit (n BIGINT PRIMARY KEY)"); err != nil {
		b.Fatal(err)
	}
	const n = 300
	began := time.Now()
	for i := range n {
		err := db.WithTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO bench_commit (n) VALUES ($1)", i)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(began).Seconds()
}

// benchWork works b.N jobs with 64 workers. Each was inserted in the transaction that made its row.
func benchWork(b *testing.B, db *sqldb.DB, work func(ctx context.Context, n noop) error) {
	b.Helper()
	if err := jobs.Migrate(b.Context(), db); err != nil {
		b.Fatal(err)
	}
	if _, err := db.Writer().ExecContext(b.Context(), "CREATE TABLE bench_state (n TEXT PRIMARY KEY, times BIGINT NOT NULL)"); err != nil {
		b.Fatal(err)
	}
	var done atomic.Int64
	all := make(chan struct{})
	w := jobs.NewWorkers()
	jobs.Register(w, jobs.KindOptions{}, func(ctx context.Context, job jobs.Job[noop]) error {
		if err := work(ctx, job.Args); err != nil {
			return err
		}
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
	for from := 0; from < b.N; from += 500 {
		err := db.WithTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			ins := noops(from, min(from+500, b.N))
			for _, in := range ins {
				if _, err := tx.ExecContext(ctx, "INSERT INTO bench_state (n, times) VALUES ($1, 0)", in.Args.Key()); err != nil {
					return err
				}
			}
			_, err := c.InsertTx(ctx, tx, ins...)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	limit := commits(b, db)
	b.ResetTimer()
	if err := c.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	<-all
	b.StopTimer()
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "jobs/s")
	b.ReportMetric(rate/limit, "jobs/commit")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWork works jobs that do nothing. jobs/commit compares with one-row transactions, one after the other.
func BenchmarkWork(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		benchWork(b, db, func(context.Context, noop) error { return nil })
	})
}

// BenchmarkWorkState works jobs that change one row each, in a transaction that concurrent workers share, as provisioning does.
func BenchmarkWorkState(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		benchWork(b, db, func(ctx context.Context, n noop) error {
			return db.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "UPDATE bench_state SET times = times + 1 WHERE n = $1", n.N)
				return err
			})
		})
	})
}

// BenchmarkInsertState inserts one job together with one changed row, in a transaction of its own each.
func BenchmarkInsertState(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		if err := jobs.Migrate(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		if _, err := db.Writer().ExecContext(b.Context(), "CREATE TABLE bench_state (n TEXT PRIMARY KEY, times BIGINT NOT NULL)"); err != nil {
			b.Fatal(err)
		}
		w := jobs.NewWorkers()
		jobs.Declare[noop](w, jobs.KindOptions{})
		c, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: w})
		if err != nil {
			b.Fatal(err)
		}
		limit := commits(b, db)
		b.ResetTimer()
		for i := range b.N {
			err := db.WithTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
				in := noops(i, i+1)
				if _, err := tx.ExecContext(ctx, "INSERT INTO bench_state (n, times) VALUES ($1, 0)", in[0].Args.Key()); err != nil {
					return err
				}
				_, err := c.InsertTx(ctx, tx, in...)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		rate := float64(b.N) / b.Elapsed().Seconds()
		b.ReportMetric(rate, "jobs/s")
		b.ReportMetric(rate/limit, "jobs/commit")
	})
}
