package jobs_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// The chaos tests work orders: an order is wanted by a row that is committed together with its job, its first step commits a
// second job together with its own effect, and the second step makes a call to a vendor outside. What happened is in a journal
// outside the database, one write a line, which survives a kill.

// firm is the world that the chaos tests break: the database under test, and a folder with the journal and the vendor.
type firm struct {
	t      testing.TB
	db     *sqldb.DB
	client *jobs.Client
	dir    string
	think  time.Duration // how long a step takes
}

type order struct {
	N string `json:"n"`
}

func (order) Kind() string  { return "chaos.order.v1" }
func (o order) Key() string { return o.N }

type delivery struct {
	N string `json:"n"`
}

func (delivery) Kind() string  { return "chaos.delivery.v1" }
func (d delivery) Key() string { return d.N }

// openFirm opens the database, which may hold the work of a firm that was killed.
func openFirm(tb testing.TB, url, dir string, change func(*jobs.Config)) *firm {
	tb.Helper()
	f := &firm{t: tb, db: sqldbtest.Open(tb, url), dir: dir, think: 20 * time.Millisecond}
	migrate(tb, f.db)
	for _, q := range []string{
		"CREATE TABLE IF NOT EXISTS chaos_want (n TEXT PRIMARY KEY)",
		"CREATE TABLE IF NOT EXISTS chaos_packed (n TEXT PRIMARY KEY, times BIGINT NOT NULL)",
	} {
		if _, err := f.db.Writer().ExecContext(context.Background(), q); err != nil {
			tb.Fatal(err)
		}
	}
	w := jobs.NewWorkers()
	opt := jobs.KindOptions{MaxAttempts: 1000, Backoff: func(int, error) time.Duration { return 500 * time.Millisecond }}
	jobs.Register(w, opt, f.pack)
	jobs.Register(w, opt, f.deliver)
	cfg := config(f.db, w)
	if change != nil {
		change(&cfg)
	}
	var err error
	if f.client, err = jobs.New(cfg); err != nil {
		tb.Fatal(err)
	}
	return f
}

// note appends a line to the journal. A single write to a file opened for appending is whole or not there.
func (f *firm) note(format string, args ...any) {
	j, err := os.OpenFile(filepath.Join(f.dir, "journal"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(j, format+"\n", args...)
		_ = j.Close()
	}
	if err != nil {
		f.t.Errorf("journal: %v", err)
	}
}

// step notes how an attempt at a step goes.
func (f *firm) step(ctx context.Context, what string, do func() error) error {
	f.note("begin %s", what)
	select {
	case <-ctx.Done():
		f.note("fail %s", what)
		return ctx.Err()
	case <-time.After(f.think):
	}
	if err := do(); err != nil {
		f.note("fail %s", what)
		return err
	}
	f.note("end %s", what)
	return nil
}

// pack is the first step: its effect and the next job, in one transaction.
func (f *firm) pack(ctx context.Context, job jobs.Job[order]) error {
	return f.step(ctx, "pack "+job.Args.N, func() error {
		return f.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			n, err := f.client.InsertTx(ctx, tx, jobs.Insert{Args: delivery(job.Args)})
			if err != nil || n == 0 { // packed by an earlier attempt: the key says so
				return err
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO chaos_packed (n, times) VALUES ($1, 1) ON CONFLICT (n) DO UPDATE SET times = chaos_packed.times + 1", job.Args.N)
			return err
		})
	})
}

// deliver calls the vendor, who knows a call by its key: a second one changes nothing.
func (f *firm) deliver(ctx context.Context, job jobs.Job[delivery]) error {
	return f.step(ctx, "deliver "+job.Args.N, func() error {
		return os.WriteFile(filepath.Join(f.dir, "vendor-"+job.Args.N), nil, 0o600)
	})
}

// orders takes n orders, each with its job in the transaction that wants it.
func (f *firm) orders(prefix string, n int) error {
	for i := range n {
		name := fmt.Sprintf("%s.%d", prefix, i)
		err := f.db.WithTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "INSERT INTO chaos_want (n) VALUES ($1)", name); err != nil {
				return err
			}
			_, err := f.client.InsertTx(ctx, tx, jobs.Insert{Args: order{name}})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *firm) start() {
	f.t.Helper()
	if err := f.client.Start(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *firm) stop() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := f.client.Stop(ctx); err != nil {
		f.t.Error(err)
	}
}

func (f *firm) strings(query string) (out []string) {
	f.t.Helper()
	rows, err := f.db.Reader().QueryContext(context.Background(), query)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			f.t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
	return out
}

// idle waits until no job is left to do.
func (f *firm) idle(within time.Duration) {
	f.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		left := f.strings("SELECT CAST(state AS TEXT) || ' ' || kind || ' ' || CAST(args AS TEXT) FROM river_job WHERE state NOT IN ('completed', 'discarded', 'cancelled')")
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("not done within %s: %d jobs, first %s", within, len(left), left[0])
		}
	}
}

// journal reads the journal's lines from the given one on.
func (f *firm) journal(from int) (lines []string) {
	f.t.Helper()
	file, err := os.Open(filepath.Join(f.dir, "journal"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for s := bufio.NewScanner(file); s.Scan(); {
		if from--; from < 0 {
			lines = append(lines, s.Text())
		}
	}
	return lines
}

// audit is the balance: every order that was committed is packed and delivered, no other one is, no effect came twice, and no
// step was done again that had been done, unless the process was killed in between (then its result may not have been stored,
// and the key makes the repetition harmless). It gives the number of orders and of repetitions.
func (f *firm) audit() (orders, repeated int) {
	f.t.Helper()
	if dead := f.strings("SELECT kind FROM river_job WHERE state IN ('discarded', 'cancelled')"); len(dead) > 0 {
		f.t.Errorf("%d dead letters", len(dead))
	}
	want := map[string]bool{}
	for _, n := range f.strings("SELECT n FROM chaos_want") {
		want[n] = true
	}
	packed := f.strings("SELECT n FROM chaos_packed WHERE times = 1")
	for _, n := range packed {
		if !want[n] {
			f.t.Errorf("order %s was packed though nobody wants it", n)
		}
	}
	if len(packed) != len(want) {
		f.t.Errorf("%d orders are wanted, %d packed once", len(want), len(packed))
	}
	delivered, err := filepath.Glob(filepath.Join(f.dir, "vendor-*"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, path := range delivered {
		if n := strings.TrimPrefix(filepath.Base(path), "vendor-"); !want[n] {
			f.t.Errorf("order %s was delivered though nobody wants it", n)
		}
	}
	if len(delivered) != len(want) {
		f.t.Errorf("%d orders are wanted, %d delivered", len(want), len(delivered))
	}
	open, done := map[string]bool{}, map[string]bool{} // since the last kill
	for _, line := range f.journal(0) {
		verb, what, _ := strings.Cut(line, " ")
		switch verb {
		case "kill":
			clear(open)
			clear(done)
		case "begin":
			if open[what] {
				f.t.Errorf("%s: two attempts ran at once", what)
			}
			if done[what] {
				f.t.Errorf("%s: done again though it was done and nobody was killed", what)
			}
			open[what] = true
		case "end":
			done[what] = true
			delete(open, what)
		case "fail":
			delete(open, what)
		}
	}
	ends := map[string]int{}
	for _, line := range f.journal(0) {
		if what, ok := strings.CutPrefix(line, "end "); ok {
			if ends[what]++; ends[what] > 1 {
				repeated++
			}
		}
	}
	return len(want), repeated
}

// moves waits until a step ends that isn't in the journal's first lines, and gives how long that took.
func (f *firm) moves(after int, within time.Duration) time.Duration {
	f.t.Helper()
	began := time.Now()
	for ; time.Since(began) < within; time.Sleep(10 * time.Millisecond) {
		for _, l := range f.journal(after) {
			if strings.HasPrefix(l, "end ") {
				return time.Since(began)
			}
		}
	}
	f.t.Fatalf("nothing was done within %s", within)
	return 0
}

// resumed is the promise: work goes on within this time after what stopped it has gone.
const resumed = 5 * time.Second

// TestChaosClock sets the clock forward and back by an hour, twice, under jobs that run, wait for another attempt and sleep.
// Jobs go on within seconds, each is done once, and none is taken for lost.
func TestChaosClock(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		var offset atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		f := openFirm(t, url, t.TempDir(), func(c *jobs.Config) {
			c.Now = now
			c.JobTimeout, c.RescueAfter = 2*time.Second, 3*time.Second
		})
		f.think = 200 * time.Millisecond
		f.start()
		defer f.stop()
		// The appointment is in an hour and a half: the clock passes it at the last jump, and not before.
		appointment := now().Add(90 * time.Minute)
		if err := f.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "INSERT INTO chaos_want (n) VALUES ('appointment')"); err != nil {
				return err
			}
			_, err := f.client.InsertTx(ctx, tx, jobs.Insert{Args: order{"appointment"}, At: appointment})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for i, jump := range []time.Duration{time.Hour, -time.Hour, -time.Hour, time.Hour, time.Hour, time.Hour} {
			if err := f.orders(fmt.Sprintf("before%d", i), 16); err != nil {
				t.Fatal(err)
			}
			f.breakSome(i)
			f.moves(len(f.journal(0)), resumed)
			offset.Add(int64(jump))
			at := len(f.journal(0))
			if err := f.orders(fmt.Sprintf("after%d", i), 4); err != nil {
				t.Fatal(err)
			}
			took := f.moves(at, resumed)
			f.idleBut(now().Before(appointment), resumed)
			t.Logf("clock set by %s: next step done after %s", jump, took.Round(time.Millisecond))
		}
		f.idle(resumed)
		orders, repeated := f.audit()
		if orders != 121 || repeated != 0 {
			t.Errorf("%d orders, %d steps repeated; want 121 and none", orders, repeated)
		}
	})
}

// breakSome lets some deliveries fail once, so that they wait for their next attempt when the clock jumps: where the vendor's
// file should be there is a folder for a while.
func (f *firm) breakSome(round int) {
	f.t.Helper()
	for k := range 4 {
		path := filepath.Join(f.dir, fmt.Sprintf("vendor-before%d.%d", round, 12+k))
		if err := os.Mkdir(path, 0o700); err != nil {
			continue // delivered already
		}
		time.AfterFunc(900*time.Millisecond, func() { _ = os.Remove(path) })
	}
}

// idleBut waits until nothing is left to do, but for one order if it still waits for its day.
func (f *firm) idleBut(waits bool, within time.Duration) {
	f.t.Helper()
	want := 0
	if waits {
		want = 1
	}
	var left []string
	for began := time.Now(); time.Since(began) < within; time.Sleep(20 * time.Millisecond) {
		left = f.strings("SELECT CAST(state AS TEXT) FROM river_job WHERE state <> 'completed'")
		if len(left) == want {
			return
		}
	}
	f.t.Fatalf("within %s: %d jobs aren't done (%q), want %d", within, len(left), left, want)
}
