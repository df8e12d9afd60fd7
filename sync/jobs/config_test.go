package jobs_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

type unversioned struct{}

func (unversioned) Kind() string { return "test.task" }
func (unversioned) Key() string  { return "k" }

type stranger struct{ K string }

func (stranger) Kind() string  { return "test.stranger.v1" }
func (s stranger) Key() string { return s.K }

func nothing[A jobs.Args](context.Context, jobs.Job[A]) error { return nil }

func TestNewRefuses(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	for _, tc := range []struct {
		name   string
		want   string
		change func(*jobs.Config)
	}{
		{"no database", "no database", func(c *jobs.Config) { c.DB = nil }},
		{"no node id", "node id of 0 bytes", func(c *jobs.Config) { c.NodeID = "" }},
		{"no queues", "no queues", func(c *jobs.Config) { c.Queues = nil }},
		{"queue name", `queue "a b"`, func(c *jobs.Config) { c.Queues["a b"] = jobs.Queue{MaxWorkers: 1} }},
		{"no workers", "0 workers", func(c *jobs.Config) { c.Queues["x"] = jobs.Queue{} }},
		{"rescue before time-out", "taken for lost", func(c *jobs.Config) { c.RescueAfter = 10 * time.Second }},
		{"too eager a schedule", "ScheduleEvery", func(c *jobs.Config) { c.ScheduleEvery = time.Millisecond }},
		{"no kind", "no kind is registered", func(c *jobs.Config) { c.Workers = jobs.NewWorkers() }},
		{"kind without a version", `kind "test.task": want`, func(c *jobs.Config) { jobs.Register(c.Workers, jobs.KindOptions{}, nothing[unversioned]) }},
		{"kind twice", "registered twice", func(c *jobs.Config) { jobs.Register(c.Workers, jobs.KindOptions{}, nothing[task]) }},
		{"priority", "priority 5", func(c *jobs.Config) { jobs.Register(c.Workers, jobs.KindOptions{Priority: 5}, nothing[noop]) }},
		{"attempts", "-1 attempts", func(c *jobs.Config) { jobs.Register(c.Workers, jobs.KindOptions{MaxAttempts: -1}, nothing[noop]) }},
		{"time-out", "time-out 2h", func(c *jobs.Config) {
			jobs.Register(c.Workers, jobs.KindOptions{Timeout: 2 * time.Hour}, nothing[noop])
		}},
		{"queue not worked", `queue "elsewhere"`, func(c *jobs.Config) { jobs.Register(c.Workers, jobs.KindOptions{Queue: "elsewhere"}, nothing[noop]) }},
		{"periodic", "periodic job every 1ms", func(c *jobs.Config) { c.Periodic = []jobs.Periodic{{Every: time.Millisecond}} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := jobs.NewWorkers()
			jobs.Register(w, jobs.KindOptions{}, nothing[task])
			cfg := config(db, w)
			tc.change(&cfg)
			if _, err := jobs.New(cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
		})
	}
}

func TestInsertRefuses(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		w := jobs.NewWorkers()
		jobs.Register(w, jobs.KindOptions{}, nothing[task])
		c, err := jobs.New(config(db, w))
		if err != nil {
			t.Fatal(err)
		}
		for want, in := range map[string]jobs.Insert{
			"no arguments":                          {},
			`no kind "test.stranger.v1"`:            {Args: stranger{"k"}},
			"key of 0 bytes":                        {Args: task{}},
			"key of 201 bytes":                      {Args: task{Name: strings.Repeat("k", 201)}},
			"arguments of 70":                       {Args: task{Name: "k", Secret: strings.Repeat("s", 70_000)}},
			"priority 9":                            {Args: task{Name: "k"}, Priority: 9},
			`no queue "elsewhere" is worked here`:   {Args: task{Name: "k"}, Queue: "elsewhere"},
			`queue "no such": want letters, digits`: {Args: task{Name: "k"}, Queue: "no such"},
		} {
			err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				_, err := c.InsertTx(ctx, tx, in)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want it to say %q", err, want)
			}
		}
		if n := insert(t, db, c); n != 0 {
			t.Errorf("%d of no jobs inserted", n)
		}
	})
}

func TestInsertOnlyBesideAServingHub(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		var d diary
		hub := sqldbtest.Open(t, url)
		start(t, hub, jobs.KindOptions{}, func(_ context.Context, job jobs.Job[task]) error {
			d.add("%s", job.Args.Name)
			return nil
		})
		db := sqldbtest.Open(t, url)
		w := jobs.NewWorkers()
		jobs.Declare[task](w, jobs.KindOptions{})
		cli, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: w})
		if err != nil {
			t.Fatal(err)
		}
		if err := cli.Start(t.Context()); err == nil {
			t.Error("an insert-only client started")
		}
		insert(t, db, cli, jobs.Insert{Args: task{Name: "from the command line"}})
		eventually(t, "the hub works it", func() bool { return d.count("from the command line") == 1 })
	})
}

func TestManyAtOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		w := jobs.NewWorkers()
		jobs.Declare[noop](w, jobs.KindOptions{})
		c, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: w})
		if err != nil {
			t.Fatal(err)
		}
		// Four writers insert the same 600 keys in different orders: each key once, and nobody locks anybody out.
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			total int
		)
		for i := range 4 {
			wg.Go(func() {
				for k := range 3 {
					from := (i + k) % 3 * 200
					n := insert(t, db, c, noops(from, from+300)...)
					mu.Lock()
					total += n
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if total != 700 {
			t.Errorf("%d inserted, want 700", total)
		}
		if n := depth(t, c, "available"); n != 700 {
			t.Errorf("%d jobs, want 700", n)
		}
	})
}

func TestPruneKeys(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		w := jobs.NewWorkers()
		jobs.Declare[noop](w, jobs.KindOptions{})
		now := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
		c, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: w, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		insert(t, db, c, noops(0, 1200)...)
		insert(t, db, c, jobs.Insert{Args: noop{"next year"}, At: now.AddDate(1, 0, 0)})
		now = now.AddDate(0, 1, 0)
		insert(t, db, c, noops(2000, 2010)...)
		if n, err := c.PruneKeys(t.Context(), now.AddDate(0, 0, -1)); err != nil || n != 1200 {
			t.Fatalf("%d forgotten, want 1200: %v", n, err)
		}
		// A job of a later date keeps its key until after that date.
		if n := insert(t, db, c, jobs.Insert{Args: noop{"next year"}}, noops(2000, 2001)[0], noops(0, 1)[0]); n != 1 {
			t.Errorf("%d inserted, want only the one whose key was forgotten", n)
		}
	})
}

func TestMigrateRefusesANewerDatabase(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		migrate(t, db)
		if _, err := db.Writer().ExecContext(t.Context(), "INSERT INTO river_migration (line, version) VALUES ('main', 99)"); err != nil {
			t.Fatal(err)
		}
		err := jobs.Migrate(t.Context(), db)
		if !errors.Is(err, identity.ErrNewer) || !strings.Contains(err.Error(), "version 99") {
			t.Errorf("got %v", err)
		}
	})
}

// A kill between two of River's migrations leaves its tables at a version in the middle; below 5 they have no column for the line.
func TestMigrateGoesOnFromTheMiddle(t *testing.T) {
	for between := int64(1); between <= 6; between++ {
		t.Run(fmt.Sprint(between), func(t *testing.T) {
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				if err := jobs.MigrateTo(t.Context(), db, map[string]int64{"jobs": 1, "river": between}); err != nil {
					t.Fatal(err)
				}
				if current, _, err := jobs.Versions(t.Context(), db); err != nil || current["river"] != between {
					t.Errorf("it tells version %d, want %d: %v", current["river"], between, err)
				}
				if err := jobs.MigrateTo(t.Context(), db, map[string]int64{"jobs": 1, "river": between}); err != nil {
					t.Errorf("to where it is already: %v", err)
				}
				migrate(t, db)
				if current, known, err := jobs.Versions(t.Context(), db); err != nil || current["river"] != known["river"] {
					t.Errorf("afterwards version %d, want %d: %v", current["river"], known["river"], err)
				}
			})
		})
	}
}

func TestNodeID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	id, err := jobs.NodeID(dir, bytes.NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 0xff}))
	if err != nil || id != "node-01020304050607ff" {
		t.Fatalf("%q, %v", id, err)
	}
	if again, err := jobs.NodeID(dir, rand.Reader); err != nil || again != id {
		t.Errorf("the second time %q, %v", again, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node-id"), []byte("../../etc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.NodeID(dir, rand.Reader); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("a spoiled file: %v", err)
	}
	if _, err := jobs.NodeID(t.TempDir(), iotest.ErrReader(errors.New("no randomness"))); err == nil {
		t.Error("an id without randomness")
	}
	// Two processes at once agree.
	shared := t.TempDir()
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			id, err := jobs.NodeID(shared, rand.Reader)
			if err != nil {
				t.Error(err)
			}
			got[i] = id
		})
	}
	wg.Wait()
	for _, id := range got {
		if id != got[0] {
			t.Fatal(fmt.Sprint("they disagree: ", got))
		}
	}
}
