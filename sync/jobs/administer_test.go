package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// TestAdminister retries and discards jobs in every state: what can't be is refused and stays as it is.
func TestAdminister(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		hold := make(chan struct{})
		c := start(t, db, jobs.KindOptions{MaxAttempts: 2, Timeout: time.Minute, Backoff: func(int, error) time.Duration { return time.Hour }},
			func(_ context.Context, job jobs.Job[task]) error {
				switch job.Args.Name {
				case "fails", "fails and is retried":
					return errors.New("the SaaS said no")
				case "runs", "runs and fails":
					<-hold
					if job.Args.Name == "runs and fails" {
						return errors.New("at last")
					}
				case "given up":
					return jobs.Discard(errors.New("useless"))
				}
				return nil
			})
		insert(t, db, c, jobs.Insert{Args: task{Name: "done"}}, jobs.Insert{Args: task{Name: "runs"}}, jobs.Insert{Args: task{Name: "runs and fails"}},
			jobs.Insert{Args: task{Name: "fails"}}, jobs.Insert{Args: task{Name: "fails and is retried"}}, jobs.Insert{Args: task{Name: "given up"}},
			jobs.Insert{Args: task{Name: "dated"}, At: time.Now().Add(time.Hour)})
		eventually(t, "each is where it should be", func() bool {
			return depth(t, c, "completed") == 1 && depth(t, c, "running") == 2 && depth(t, c, "retryable") == 2 && depth(t, c, "cancelled") == 1
		})
		id := func(name string) (id int64) {
			t.Helper()
			row := db.Reader().QueryRowContext(t.Context(), "SELECT id FROM river_job WHERE CAST(args AS TEXT) LIKE $1", `%"`+name+`"%`)
			if err := row.Scan(&id); err != nil {
				t.Fatal(name, err)
			}
			return id
		}
		for _, tc := range []struct {
			name    string
			do      func(ctx context.Context, tx *sql.Tx, id int64) (jobs.Record, error)
			refused bool
			state   jobs.State
		}{
			{"done", c.RetryTx, true, jobs.StateCompleted},
			{"done", c.DiscardTx, true, jobs.StateCompleted},
			{"runs", c.RetryTx, true, jobs.StateRunning},
			{"runs", c.DiscardTx, false, jobs.StateRunning},
			{"runs and fails", c.DiscardTx, false, jobs.StateRunning},
			{"dated", c.RetryTx, true, jobs.StateScheduled},
			{"fails and is retried", c.RetryTx, false, jobs.StateAvailable},
			{"fails", c.DiscardTx, false, jobs.StateCancelled},
			{"fails", c.DiscardTx, true, jobs.StateCancelled},
			{"given up", c.DiscardTx, true, jobs.StateCancelled},
			{"dated", c.DiscardTx, false, jobs.StateCancelled},
		} {
			r, err := administer(t, db, tc.do, id(tc.name))
			if errors.Is(err, jobs.ErrState) != tc.refused || (err != nil) != tc.refused || r.State != tc.state {
				t.Errorf("%s: %s, %v; want %s, refused %v", tc.name, r.State, err, tc.state, tc.refused)
			}
		}
		eventually(t, "the retried one has failed for good", func() bool { return depth(t, c, "discarded") == 1 })
		close(hold)
		eventually(t, "what ran and failed is given up, what ran and did not is done", func() bool {
			return depth(t, c, "completed") == 2 && depth(t, c, "cancelled") == 4
		})
		r, err := c.Job(t.Context(), id("fails and is retried"))
		if err != nil || len(r.Errors) != 2 || r.Errors[1].Attempt != 2 || r.Errors[0].Error != "the SaaS said no" || r.Node != "node-test" {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := c.Job(t.Context(), 999_999); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("show a job that isn't there: %v", err)
		}
		for _, do := range []func(ctx context.Context, tx *sql.Tx, id int64) (jobs.Record, error){c.RetryTx, c.DiscardTx} {
			if _, err := administer(t, db, do, 999_999); !errors.Is(err, identity.ErrNotFound) {
				t.Errorf("a job that isn't there: %v", err)
			}
		}
	})
}

// TestDiscardedWhileItsProcessDied: the administrator's word stands though the attempt never ended.
func TestDiscardedWhileItsProcessDied(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		w := jobs.NewWorkers()
		jobs.Register(w, jobs.KindOptions{}, nothing[task])
		c, err := jobs.New(config(db, w))
		if err != nil {
			t.Fatal(err)
		}
		insert(t, db, c, jobs.Insert{Args: task{Name: "x"}})
		fake(t, db, "x", "node-test", 1)
		list, err := c.List(t.Context(), jobs.Filter{}, jobs.Page{})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if _, err := administer(t, db, c.DiscardTx, list[0].ID); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Recover(t.Context()); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if dead := deadLetters(t, c); len(dead) != 1 {
			t.Errorf("dead letters %+v", dead)
		}
	})
}

// TestDiscreet: until its date a discreet job is in no list and no count, and can't be told from one that isn't there. Then it runs like others.
func TestDiscreet(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		w := jobs.NewWorkers()
		done := make(chan string, 2)
		work := func(_ context.Context, job jobs.Job[task]) error { done <- job.Args.Name; return nil }
		jobs.Register(w, jobs.KindOptions{Discreet: true}, work)
		jobs.Register(w, jobs.KindOptions{}, func(context.Context, jobs.Job[taskV2]) error { return nil })
		c, err := jobs.New(config(db, w))
		if err != nil {
			t.Fatal(err)
		}
		soon := time.Now().Add(2 * time.Second)
		insert(t, db, c, jobs.Insert{Args: task{Name: "secret"}, At: time.Now().Add(time.Hour)}, jobs.Insert{Args: taskV2{Name: "open"}, At: time.Now().Add(time.Hour)},
			jobs.Insert{Args: task{Name: "soon"}, At: soon})
		ids := map[string]int64{}
		for _, name := range []string{"secret", "open", "soon"} {
			var id int64
			err := db.Reader().QueryRowContext(t.Context(), "SELECT id FROM river_job WHERE CAST(args AS TEXT) LIKE $1", `%"`+name+`"%`).Scan(&id)
			if err != nil {
				t.Fatal(err)
			}
			ids[name] = id
		}
		for _, f := range []jobs.Filter{{}, {States: []jobs.State{jobs.StateScheduled}}} {
			list, err := c.List(t.Context(), f, jobs.Page{})
			if err != nil || len(list) != 1 || list[0].ID != ids["open"] {
				t.Errorf("%+v: %+v, %v", f, list, err)
			}
		}
		if list, err := c.List(t.Context(), jobs.Filter{Kind: task{}.Kind()}, jobs.Page{Limit: 1}); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		if depth, err := c.Depth(t.Context()); err != nil || len(depth) != 1 || depth[0].Jobs != 1 {
			t.Errorf("%+v, %v", depth, err)
		}
		if r, err := c.Job(t.Context(), ids["secret"]); !errors.Is(err, identity.ErrNotFound) || r.ID != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		for _, do := range []func(ctx context.Context, tx *sql.Tx, id int64) (jobs.Record, error){c.RetryTx, c.DiscardTx} {
			if r, err := administer(t, db, do, ids["secret"]); !errors.Is(err, identity.ErrNotFound) || r.ID != 0 {
				t.Errorf("%+v, %v", r, err)
			}
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, c) })
		select {
		case name := <-done:
			if name != "soon" || time.Now().Before(soon) {
				t.Errorf("%s ran", name)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("never ran")
		}
		eventually(t, "what has run is seen", func() bool { return depth(t, c, "completed") == 1 })
		if r, err := c.Job(t.Context(), ids["soon"]); err != nil || r.State != jobs.StateCompleted {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
