package jobs_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

const childURL = "MUSUBI_JOBS_TEST_CHILD_URL"

// TestChildThatIsKilled isn't a test by itself: TestKillNine runs this binary again with only it, and kills it.
func TestChildThatIsKilled(t *testing.T) {
	url := os.Getenv(childURL)
	if url == "" {
		t.Skip("run by TestKillNine")
	}
	db := sqldbtest.Open(t, url)
	if _, err := db.LockServing(); err != nil {
		t.Fatal(err)
	}
	w := jobs.NewWorkers()
	jobs.Register(w, jobs.KindOptions{}, func(ctx context.Context, job jobs.Job[task]) error {
		fmt.Printf("begun %s\n", job.Args.Name)
		<-ctx.Done()
		return ctx.Err()
	})
	run(t, config(db, w))
	time.Sleep(time.Minute)
}

// TestKillNine kills a process in the middle of its jobs and checks that the next one takes them up within five seconds of its
// start, on both engines.
func TestKillNine(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		db := sqldbtest.Open(t, url)
		migrate(t, db)
		w := jobs.NewWorkers()
		var d diary
		jobs.Register(w, jobs.KindOptions{}, func(_ context.Context, job jobs.Job[task]) error {
			d.add("%s %d", job.Args.Name, job.Attempt)
			return nil
		})
		c, err := jobs.New(config(db, w))
		if err != nil {
			t.Fatal(err)
		}
		var ins []jobs.Insert
		for i := range 12 { // more than the eight workers: some wait, most run
			ins = append(ins, jobs.Insert{Args: task{Name: fmt.Sprintf("job%02d", i)}})
		}
		insert(t, db, c, ins...)

		child := exec.Command(os.Args[0], "-test.run=^TestChildThatIsKilled$", "-test.v") // #nosec G204 -- this very binary
		child.Env = append(os.Environ(), childURL+"="+url)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		begun := 0
		for lines := bufio.NewScanner(out); begun < 8 && lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "begun ") {
				begun++
			}
		}
		if begun < 8 {
			t.Errorf("the child began %d jobs, want 8", begun)
		}
		if _, err := db.LockServing(); db.Engine() == sqldb.SQLite && !errors.Is(err, identity.ErrLocked) {
			t.Errorf("beside the serving child: %v", err)
		}
		time.Sleep(300 * time.Millisecond) // let it win the leadership that it will take to its grave
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed, as we know

		restarted := time.Now()
		release, err := db.LockServing()
		if err != nil {
			t.Fatalf("the dead child still holds the lock: %v", err)
		}
		defer func() { _ = release() }()
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer stop(t, c)
		eventually(t, "an interrupted job is taken up", func() bool {
			for _, l := range d.all() {
				if strings.HasSuffix(l, " 2") {
					return true
				}
			}
			return false
		})
		if took := time.Since(restarted); took > 5*time.Second {
			t.Errorf("resumed after %s, want at most 5s", took)
		}
		eventually(t, "all are completed", func() bool { return depth(t, c, "completed") == 12 })
		if got := d.all(); len(got) != 12 {
			t.Errorf("worked %q, want each of 12 once", got)
		}
	})
}

// fake makes a row that looks as if node had been working it.
func fake(t *testing.T, db *sqldb.DB, name, node string, attempt int) {
	t.Helper()
	by := fmt.Sprintf("ARRAY['older', '%s']", node)
	if db.Engine() == sqldb.SQLite {
		by = fmt.Sprintf(`'["older", "%s"]'`, node)
	}
	res, err := db.Writer().ExecContext(t.Context(), "UPDATE river_job SET state = 'running', attempt = "+fmt.Sprint(attempt)+
		", attempted_at = CURRENT_TIMESTAMP, attempted_by = "+by+" WHERE id = (SELECT max(id) FROM river_job)")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%s: %d rows, %v", name, n, err)
	}
}

func TestRecoverTakesItsOwnJobsOnly(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		w := jobs.NewWorkers()
		jobs.Register(w, jobs.KindOptions{MaxAttempts: 3}, nothing[task])
		c, err := jobs.New(config(db, w))
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range []struct {
			name, node string
			attempt    int
		}{{"mine", "node-test", 1}, {"mine, out of attempts", "node-test", 3}, {"mine, kills its process", "node-test", 8}, {"another's", "node-other", 1}} {
			insert(t, db, c, jobs.Insert{Args: task{Name: j.name}})
			fake(t, db, j.name, j.node, j.attempt)
		}
		err = db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO river_leader (elected_at, expires_at, leader_id) VALUES (CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, 'node-test')")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		n, err := c.Recover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantN, wantRunning := 3, int64(1)
		if db.Engine() == sqldb.SQLite { // one process serves: another name is an older name of this node
			wantN, wantRunning = 4, 0
		}
		if running := depth(t, c, "running"); n != wantN || running != wantRunning {
			t.Errorf("%d recovered, %d still running; want %d and %d", n, running, wantN, wantRunning)
		}
		dead := deadLetters(t, c)
		if len(dead) != 1 || dead[0].Attempt != 8 || !strings.Contains(dead[0].LastError, "interrupted") {
			t.Errorf("dead letters %+v, want the job that kills its process", dead)
		}
		var leaders int
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM river_leader").Scan(&leaders); err != nil || leaders != 0 {
			t.Errorf("%d stale leaders, %v", leaders, err)
		}
		if n, err := c.Recover(t.Context()); err != nil || n != 0 {
			t.Errorf("a second recovery: %d, %v", n, err)
		}
	})
}
