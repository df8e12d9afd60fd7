package jobs_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// task is the kind that most tests here work. What it does is the test's business.
type task struct {
	Name   string `json:"name"`
	Secret string `json:"secret,omitempty"`
}

func (task) Kind() string  { return "test.task.v1" }
func (t task) Key() string { return t.Name }

// diary records what workers did.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.lines...)
}

func (d *diary) count(line string) (n int) {
	for _, l := range d.all() {
		if l == line {
			n++
		}
	}
	return n
}

func fast(int, error) time.Duration { return 10 * time.Millisecond }

func migrate(tb testing.TB, db *sqldb.DB) {
	tb.Helper()
	if err := jobs.Migrate(context.Background(), db); err != nil {
		tb.Fatal(err)
	}
}

func config(db *sqldb.DB, w *jobs.Workers) jobs.Config {
	return jobs.Config{DB: db, Workers: w, NodeID: "node-test", Queues: map[string]jobs.Queue{
		jobs.DefaultQueue: {MaxWorkers: 8, Urgent: true},
	}}
}

// start migrates, makes a client that works tasks with work, and starts it until the test ends.
func start(t *testing.T, db *sqldb.DB, opt jobs.KindOptions, work func(ctx context.Context, job jobs.Job[task]) error) *jobs.Client {
	t.Helper()
	migrate(t, db)
	w := jobs.NewWorkers()
	jobs.Register(w, opt, work)
	return run(t, config(db, w))
}

func run(t *testing.T, cfg jobs.Config) *jobs.Client {
	t.Helper()
	c, err := jobs.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *jobs.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func insert(t *testing.T, db *sqldb.DB, c *jobs.Client, ins ...jobs.Insert) (n int) {
	t.Helper()
	err := db.WithTx(context.Background(), func(ctx context.Context, tx *sql.Tx) (err error) {
		n, err = c.InsertTx(ctx, tx, ins...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15s: %s", what)
		}
	}
}

func deadLetters(t *testing.T, c *jobs.Client, f jobs.DeadLetterFilter) []jobs.DeadLetter {
	t.Helper()
	dead, err := c.DeadLetters(t.Context(), f, jobs.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return dead
}

func depth(t *testing.T, c *jobs.Client, state string) (n int64) {
	t.Helper()
	all, err := c.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.State == state {
			n += d.Jobs
		}
	}
	return n
}

func TestInsertAndWork(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var d diary
		c := start(t, db, jobs.KindOptions{MaxAttempts: 7}, func(_ context.Context, job jobs.Job[task]) error {
			d.add("%s %d/%d", job.Args.Name, job.Attempt, job.MaxAttempts)
			return nil
		})
		undone := errors.New("undone")
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			n, err := c.InsertTx(ctx, tx, jobs.Insert{Args: task{Name: "a"}}, jobs.Insert{Args: task{Name: "b"}})
			if n != 2 {
				t.Errorf("%d inserted, want 2", n)
			}
			return errors.Join(err, undone)
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		// The rollback took the keys back too.
		if n := insert(t, db, c, jobs.Insert{Args: task{Name: "a"}}, jobs.Insert{Args: task{Name: "a"}}); n != 1 {
			t.Errorf("%d inserted, want 1", n)
		}
		eventually(t, "a is worked", func() bool { return d.count("a 1/7") == 1 })
		eventually(t, "a is completed", func() bool { return depth(t, c, "completed") == 1 })
		if n := insert(t, db, c, jobs.Insert{Args: task{Name: "a"}}); n != 0 {
			t.Error("a job that is done was inserted again")
		}
		// River cleans finished rows up after an hour; the key holds on.
		if _, err := db.Writer().ExecContext(t.Context(), "DELETE FROM river_job"); err != nil {
			t.Fatal(err)
		}
		if n := insert(t, db, c, jobs.Insert{Args: task{Name: "a"}}, jobs.Insert{Args: task{Name: "c"}}); n != 1 {
			t.Errorf("%d inserted, want c alone", n)
		}
		eventually(t, "c is worked", func() bool { return d.count("c 1/7") == 1 })
		if got := d.all(); len(got) != 2 {
			t.Errorf("worked %q, want a and c once", got)
		}
	})
}

func TestRetriesThenDeadLetter(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var d diary
		broken := true
		c := start(t, db, jobs.KindOptions{MaxAttempts: 3, Backoff: func(attempt int, err error) time.Duration {
			d.add("backoff %d %v", attempt, err)
			return time.Millisecond
		}}, func(_ context.Context, job jobs.Job[task]) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.lines = append(d.lines, fmt.Sprintf("attempt %d", job.Attempt))
			if broken {
				return errors.New("the SaaS says \x00 no")
			}
			return nil
		})
		insert(t, db, c, jobs.Insert{Args: task{Name: "x"}})
		eventually(t, "a dead letter", func() bool { return len(deadLetters(t, c, jobs.DeadLetterFilter{})) == 1 })
		want := "attempt 1|backoff 1 the SaaS says \x00 no|attempt 2|backoff 2 the SaaS says \x00 no|attempt 3"
		if got := strings.Join(d.all(), "|"); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		dead := deadLetters(t, c, jobs.DeadLetterFilter{Kind: "test.task.v1", Queue: jobs.DefaultQueue})[0]
		if dead.Kind != "test.task.v1" || dead.Attempts != 3 || dead.LastError != "the SaaS says � no" || string(dead.Args) == "" || dead.EndedAt.IsZero() {
			t.Errorf("dead letter %+v", dead)
		}
		if n := insert(t, db, c, jobs.Insert{Args: task{Name: "x"}}); n != 0 {
			t.Error("a dead letter's key was taken again")
		}
		d.mu.Lock()
		broken = false
		d.mu.Unlock()
		if err := c.Retry(t.Context(), dead.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the retry completes", func() bool { return depth(t, c, "completed") == 1 })
		if n := len(deadLetters(t, c, jobs.DeadLetterFilter{})); n != 0 {
			t.Errorf("%d dead letters after the retry", n)
		}
	})
}

func TestDiscardAndPanic(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var d diary
		c := start(t, db, jobs.KindOptions{MaxAttempts: 2, Backoff: fast}, func(_ context.Context, job jobs.Job[task]) error {
			d.add("%s %d", job.Args.Name, job.Attempt)
			switch job.Args.Name {
			case "refused":
				return fmt.Errorf("plan: %w", jobs.Discard(errors.New("refused for good")))
			case "bug":
				panic("a bug in the work")
			}
			return nil
		})
		insert(t, db, c, jobs.Insert{Args: task{Name: "refused"}}, jobs.Insert{Args: task{Name: "bug"}}, jobs.Insert{Args: task{Name: "fine"}})
		insert(t, db, c, jobs.Insert{Args: task{Name: "later"}, At: time.Now().Add(time.Hour)})
		eventually(t, "two dead letters and one done", func() bool {
			return len(deadLetters(t, c, jobs.DeadLetterFilter{})) == 2 && depth(t, c, "completed") == 1
		})
		texts := ""
		for _, l := range deadLetters(t, c, jobs.DeadLetterFilter{}) {
			texts += fmt.Sprintf("%d %s\n", l.Attempts, l.LastError)
		}
		if !strings.Contains(texts, "1 plan: refused for good") || !strings.Contains(texts, "2 panic in the worker: a bug in the work") {
			t.Errorf("dead letters:\n%s", texts)
		}
		// An administrator gives up the one that waits.
		var id int64
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT id FROM river_job WHERE state = 'scheduled'").Scan(&id); err != nil {
			t.Fatal(err)
		}
		if err := c.DiscardJob(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		page, err := c.DeadLetters(t.Context(), jobs.DeadLetterFilter{}, jobs.Page{Limit: 2})
		if err != nil || len(page) != 2 || page[0].ID != id || page[0].LastError != "" {
			t.Fatalf("first page %+v, %v", page, err)
		}
		page, err = c.DeadLetters(t.Context(), jobs.DeadLetterFilter{}, jobs.Page{Limit: 2, Before: page[1].ID})
		if err != nil || len(page) != 1 {
			t.Fatalf("second page %+v, %v", page, err)
		}
		if page, err = c.DeadLetters(t.Context(), jobs.DeadLetterFilter{Kind: "other.kind.v1"}, jobs.Page{}); err != nil || len(page) != 0 {
			t.Errorf("another kind's dead letters: %+v, %v", page, err)
		}
		if _, err := c.DeadLetters(t.Context(), jobs.DeadLetterFilter{}, jobs.Page{Limit: 5000}); err == nil {
			t.Error("a page of 5000 was given")
		}
		for what, err := range map[string]error{"retry": c.Retry(t.Context(), 999_999), "discard": c.DiscardJob(t.Context(), 999_999)} {
			if !errors.Is(err, identity.ErrNotFound) {
				t.Errorf("%s a job that isn't there: %v", what, err)
			}
		}
	})
}

func TestSnoozeIsNotCounted(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var d diary
		c := start(t, db, jobs.KindOptions{MaxAttempts: 2}, func(_ context.Context, job jobs.Job[task]) error {
			d.add("attempt %d", job.Attempt)
			if len(d.all()) < 5 {
				return jobs.Snooze(5 * time.Millisecond)
			}
			return nil
		})
		insert(t, db, c, jobs.Insert{Args: task{Name: "x"}})
		eventually(t, "completed", func() bool { return depth(t, c, "completed") == 1 })
		if n := d.count("attempt 1"); n != 5 {
			t.Errorf("%q: want the first attempt five times", d.all())
		}
	})
}

func TestTimeoutAndStop(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var d diary
		opt := jobs.KindOptions{MaxAttempts: 1, Timeout: time.Minute}
		w := jobs.NewWorkers()
		jobs.Register(w, opt, func(ctx context.Context, job jobs.Job[task]) error {
			d.add("%s begins %d", job.Args.Name, job.Attempt)
			<-ctx.Done()
			return ctx.Err()
		})
		jobs.Register(w, jobs.KindOptions{MaxAttempts: 1, Timeout: 20 * time.Millisecond}, func(ctx context.Context, _ jobs.Job[noop]) error {
			<-ctx.Done()
			return ctx.Err()
		})
		migrate(t, db)
		c, err := jobs.New(config(db, w))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert(t, db, c, jobs.Insert{Args: task{Name: "long"}}, jobs.Insert{Args: noop{"times out"}})
		eventually(t, "the short one timed out", func() bool {
			dead := deadLetters(t, c, jobs.DeadLetterFilter{})
			return len(dead) == 1 && dead[0].LastError == context.DeadlineExceeded.Error()
		})
		eventually(t, "the long one began", func() bool { return d.count("long begins 1") == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := c.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("stop took %s", took)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("stopping twice: %v", err)
		}
		// Its only attempt was cut short by the stop, which isn't its fault: it waits for the next start.
		if a, r := depth(t, c, "available"), depth(t, c, "running"); a != 1 || r != 0 {
			t.Errorf("%d available, %d running after the stop", a, r)
		}
		if n := len(deadLetters(t, c, jobs.DeadLetterFilter{Kind: "test.task.v1"})); n != 0 {
			t.Error("the job that was stopped is a dead letter")
		}
	})
}

func TestLogsShowNoArguments(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	migrate(t, db)
	var (
		mu  sync.Mutex
		buf bytes.Buffer
	)
	w := jobs.NewWorkers()
	jobs.Register(w, jobs.KindOptions{MaxAttempts: 2, Backoff: fast}, func(_ context.Context, job jobs.Job[task]) error {
		if job.Args.Name == "panics" {
			panic("out")
		}
		return errors.New("failed")
	})
	cfg := config(db, w)
	cfg.Logger = slog.New(slog.NewJSONHandler(lockedWriter{&mu, &buf}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := run(t, cfg)
	insert(t, db, c, jobs.Insert{Args: task{"fails", "田中さんの秘密"}}, jobs.Insert{Args: task{"panics", "田中さんの秘密"}})
	eventually(t, "both are dead letters", func() bool { return len(deadLetters(t, c, jobs.DeadLetterFilter{})) == 2 })
	mu.Lock()
	defer mu.Unlock()
	log := buf.String()
	if strings.Contains(log, "秘密") || strings.Contains(log, `"fails"`) {
		t.Errorf("arguments are in the log:\n%s", log)
	}
	for _, want := range []string{`"job failed and will be tried again"`, `"job is a dead letter: no attempt is left"`, `"job panicked"`, `"kind":"test.task.v1"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func TestExponential(t *testing.T) {
	b := jobs.Exponential(time.Second, time.Minute)
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 7: time.Minute, 1000: time.Minute} {
		if got := b(attempt, nil); got != want {
			t.Errorf("attempt %d: %s, want %s", attempt, got, want)
		}
	}
	busy := fmt.Errorf("create user: %w", &connectors.Error{Kind: connectors.KindThrottled, RetryAfter: 3 * time.Minute})
	if got := b(1, busy); got != 3*time.Minute {
		t.Errorf("with Retry-After of 3m: %s", got)
	}
}
