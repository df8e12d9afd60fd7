package jobs_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// taskV2 is the next version of task, as a newer program has it.
type taskV2 struct {
	Name string `json:"name"`
}

func (taskV2) Kind() string  { return "test.task.v2" }
func (t taskV2) Key() string { return t.Name }

// impatient makes a client take the jobs of dead nodes over soon.
func impatient(cfg jobs.Config, node string) jobs.Config {
	cfg.NodeID = node
	cfg.JobTimeout = time.Second
	cfg.RescueAfter = 1500 * time.Millisecond
	return cfg
}

// TestRollingUpgrade runs an old and a new program together. The old one must leave the new one's kinds alone: no error, no
// attempt, no dead letter, also when they stand before its own jobs in the queue, and also when the new one dies over them.
func TestRollingUpgrade(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		db := sqldbtest.Open(t, url)
		migrate(t, db)
		var d diary
		v1 := func(program string) func(context.Context, jobs.Job[task]) error {
			return func(_ context.Context, job jobs.Job[task]) error {
				d.add("%s works v1", program)
				return nil
			}
		}
		oldKinds := jobs.NewWorkers()
		jobs.Register(oldKinds, jobs.KindOptions{}, v1("old"))
		newKinds := jobs.NewWorkers()
		jobs.Register(newKinds, jobs.KindOptions{}, v1("new"))
		jobs.Register(newKinds, jobs.KindOptions{MaxAttempts: 1, Priority: 1}, func(_ context.Context, job jobs.Job[taskV2]) error {
			d.add("new works v2 %d", job.Attempt)
			return nil
		})
		// The new program's command line inserts before any new node is there: 30 jobs before the old kind's.
		cli, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: newKinds})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			insert(t, db, cli, jobs.Insert{Args: taskV2{fmt.Sprintf("new %d", i)}})
		}
		for i := range 10 {
			insert(t, db, cli, jobs.Insert{Args: task{Name: fmt.Sprintf("old %d", i)}})
		}
		// One of the new kind is left running by a new node that is gone, on its only attempt.
		insert(t, db, cli, jobs.Insert{Args: taskV2{"interrupted"}})
		fake(t, db, "interrupted", "node-gone", 1)

		run(t, impatient(config(db, oldKinds), "node-old"))
		eventually(t, "the old program works its own", func() bool { return d.count("old works v1") == 10 })
		eventually(t, "the interrupted job is available again", func() bool { return depth(t, cli, "running") == 0 })
		time.Sleep(time.Second) // ten rounds in which it could spoil them
		if n := depth(t, cli, "available"); n != 31 {
			t.Errorf("%d jobs wait for the new program, want 31", n)
		}
		var touched int
		// What counts is the attempt: the interrupted one alone has begun any.
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM river_job WHERE kind = 'test.task.v2' AND attempt > 0").Scan(&touched); err != nil || touched != 1 {
			t.Errorf("the old program spent attempts of %d jobs, want only the one interrupted before: %v", touched-1, err)
		}

		run(t, impatient(config(sqldbtest.Open(t, url), newKinds), "node-new"))
		eventually(t, "the new program works them", func() bool { return d.count("new works v2 1") == 30 && d.count("new works v2 2") == 1 })
		for i := range 20 {
			insert(t, db, cli, jobs.Insert{Args: task{Name: fmt.Sprintf("both %d", i)}}, jobs.Insert{Args: taskV2{fmt.Sprintf("both %d", i)}})
		}
		eventually(t, "both work side by side", func() bool {
			return d.count("old works v1")+d.count("new works v1") == 30 && d.count("new works v2 1") == 50
		})
		if dead := deadLetters(t, cli); len(dead) != 0 {
			t.Errorf("dead letters %+v", dead)
		}
	})
}

// TestTwoNodesShare: each job is worked by one of two nodes on one PostgreSQL, once.
func TestTwoNodesShare(t *testing.T) {
	url := sqldbtest.Start(t)
	db := sqldbtest.Open(t, url)
	migrate(t, db)
	var (
		mu   sync.Mutex
		seen = map[string]int{}
		per  = map[string]int{}
	)
	node := func(name string) *jobs.Client {
		w := jobs.NewWorkers()
		jobs.Register(w, jobs.KindOptions{}, func(_ context.Context, job jobs.Job[task]) error {
			time.Sleep(2 * time.Millisecond) // so that neither can take all
			mu.Lock()
			defer mu.Unlock()
			seen[job.Args.Name]++
			per[name]++
			return nil
		})
		return run(t, impatient(config(sqldbtest.Open(t, url), w), name))
	}
	a := node("node-a")
	node("node-b")
	const n = 400
	for i := range n / 10 {
		ins := make([]jobs.Insert, 10)
		for k := range ins {
			ins[k] = jobs.Insert{Args: task{Name: fmt.Sprint(i*10 + k)}}
		}
		insert(t, db, a, ins...)
	}
	eventually(t, "all are done", func() bool { return depth(t, a, "completed") == n })
	mu.Lock()
	defer mu.Unlock()
	for name, times := range seen {
		if times != 1 {
			t.Errorf("job %s was worked %d times", name, times)
		}
	}
	if len(seen) != n || per["node-a"] == 0 || per["node-b"] == 0 {
		t.Errorf("%d jobs, shared %v", len(seen), per)
	}
}

const nodeChildURL = "MUSUBI_JOBS_TEST_NODE_URL"

// TestNodeThatDies isn't a test by itself: TestTakeover runs this binary again with only it, and kills it.
func TestNodeThatDies(t *testing.T) {
	url := os.Getenv(nodeChildURL)
	if url == "" {
		t.Skip("run by TestTakeover")
	}
	w := jobs.NewWorkers()
	jobs.Register(w, jobs.KindOptions{Timeout: time.Minute}, func(ctx context.Context, job jobs.Job[task]) error {
		fmt.Printf("begun %s\n", job.Args.Name)
		<-ctx.Done()
		return ctx.Err()
	})
	run(t, impatient(config(sqldbtest.Open(t, url), w), "node-doomed"))
	time.Sleep(time.Minute)
}

// TestTakeover kills one of two nodes on PostgreSQL. The other one takes its jobs over, though their own time-out is much
// longer, and nobody's else: a third node that lives keeps its job.
func TestTakeover(t *testing.T) {
	url := sqldbtest.Start(t)
	db := sqldbtest.Open(t, url)
	migrate(t, db)
	var d diary
	slowly := jobs.NewWorkers()
	release := make(chan struct{})
	jobs.Register(slowly, jobs.KindOptions{Timeout: time.Minute}, func(_ context.Context, job jobs.Job[noop]) error {
		d.add("slow begins %d", job.Attempt)
		<-release
		d.add("slow ends")
		return nil
	})
	slow := run(t, impatient(config(sqldbtest.Open(t, url), slowly), "node-slow"))
	insert(t, db, slow, jobs.Insert{Args: noop{"takes long"}})
	eventually(t, "the slow one runs", func() bool { return d.count("slow begins 1") == 1 })

	w := jobs.NewWorkers()
	jobs.Register(w, jobs.KindOptions{}, func(_ context.Context, job jobs.Job[task]) error {
		d.add("%s %d", job.Args.Name, job.Attempt)
		return nil
	})
	survivor, err := jobs.New(impatient(config(db, w), "node-survivor"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		insert(t, db, survivor, jobs.Insert{Args: task{Name: fmt.Sprint("job", i)}})
	}
	child := exec.Command(os.Args[0], "-test.run=^TestNodeThatDies$", "-test.v") // #nosec G204 -- this very binary
	child.Env = append(os.Environ(), nodeChildURL+"="+url)
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
	if begun != 8 {
		t.Fatalf("the node began %d jobs, want 8", begun)
	}
	if err := survivor.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer stop(t, survivor)
	time.Sleep(2 * time.Second) // longer than RescueAfter: while both live nothing changes hands
	if got := d.all(); len(got) != 1 {
		t.Fatalf("%q while the node lived", got)
	}
	killed := time.Now()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed, as we know
	eventually(t, "the survivor has done them", func() bool { return depth(t, survivor, "completed") == 8 })
	if took := time.Since(killed); took > 5*time.Second {
		t.Errorf("taken over after %s", took)
	}
	for i := range 8 {
		if d.count(fmt.Sprintf("job%d 2", i)) != 1 {
			t.Errorf("job%d isn't done once, on its second attempt: %q", i, d.all())
		}
	}
	close(release)
	eventually(t, "the slow one ends", func() bool { return depth(t, survivor, "completed") == 9 })
	if d.count("slow begins 1") != 1 || d.count("slow ends") != 1 || len(d.all()) != 10 {
		t.Errorf("%q: the living node's job changed hands", d.all())
	}
}

// TestUrgencyAndPriority: an urgent queue isn't held up by a full normal one, and within a queue the priority decides.
func TestUrgencyAndPriority(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		var d diary
		hold := make(chan struct{})
		w := jobs.NewWorkers()
		jobs.Register(w, jobs.KindOptions{Queue: "normal", Priority: 3, Timeout: time.Minute}, func(_ context.Context, job jobs.Job[task]) error {
			d.add("%s", job.Args.Name)
			if job.Args.Name == "blocks" {
				<-hold
			}
			return nil
		})
		jobs.Register(w, jobs.KindOptions{Queue: "urgent", Priority: 1}, func(_ context.Context, job jobs.Job[noop]) error {
			d.add("urgent %s", job.Args.N)
			return nil
		})
		cfg := config(db, w)
		cfg.Queues = map[string]jobs.Queue{"normal": {MaxWorkers: 1}, "urgent": {MaxWorkers: 1, Urgent: true}}
		c := run(t, cfg)
		insert(t, db, c, jobs.Insert{Args: task{Name: "blocks"}})
		eventually(t, "the only normal worker is taken", func() bool { return d.count("blocks") == 1 })
		for i := range 5 {
			insert(t, db, c, jobs.Insert{Args: task{Name: fmt.Sprintf("later %d", i)}})
		}
		insert(t, db, c, jobs.Insert{Args: task{Name: "first"}, Priority: 1}, jobs.Insert{Args: task{Name: "last"}, Priority: 4},
			jobs.Insert{Args: task{Name: "second"}, Priority: 2})
		asked := time.Now()
		insert(t, db, c, jobs.Insert{Args: noop{"leaver"}})
		eventually(t, "the urgent job is done", func() bool { return d.count("urgent leaver") == 1 })
		if took := time.Since(asked); took > 2*time.Second {
			t.Errorf("the urgent job waited %s", took)
		}
		close(hold)
		eventually(t, "all are done", func() bool { return depth(t, c, "completed") == 10 })
		want := "blocks|urgent leaver|first|second|later 0|later 1|later 2|later 3|later 4|last"
		if got := strings.Join(d.all(), "|"); got != want {
			t.Errorf("order %s\nwant  %s", got, want)
		}
	})
}

// TestAnOutageStopsAndKeepsJobs: while the database is away a result waits to be stored, and a job that would outlive the lease is
// stopped, so that no other node works it at the same time.
func TestAnOutageStopsAndKeepsJobs(t *testing.T) {
	srv := sqldbtest.Own(t, "")
	db := sqldbtest.Open(t, srv.URL())
	migrate(t, db)
	var d diary
	w := jobs.NewWorkers()
	finish := make(chan struct{})
	jobs.Register(w, jobs.KindOptions{MaxAttempts: 1, Timeout: time.Minute}, func(ctx context.Context, job jobs.Job[task]) error {
		d.add("%s begins", job.Args.Name)
		if job.Args.Name == "short" {
			<-finish
			return nil
		}
		if d.count("long begins") > 1 {
			return nil
		}
		<-ctx.Done()
		return errors.Join(errors.New("the long one was cut short"), context.Cause(ctx))
	})
	cfg := impatient(config(db, w), "node-test")
	c := run(t, cfg)
	insert(t, db, c, jobs.Insert{Args: task{Name: "short"}}, jobs.Insert{Args: task{Name: "long"}})
	eventually(t, "both run", func() bool { return len(d.all()) == 2 })
	srv.Crash(t)
	close(finish) // the result comes while there is nowhere to store it
	time.Sleep(cfg.RescueAfter * 3 / 2)
	srv.Up(t)
	eventually(t, "the long one, stopped when the lease ran out, is taken up uncounted", func() bool { return d.count("long begins") == 2 })
	eventually(t, "both results are stored", func() bool { return depth(t, c, "completed") == 2 })
	if n := d.count("short begins"); n != 1 {
		t.Errorf("the short one was done %d times", n)
	}
	if dead := deadLetters(t, c); len(dead) != 0 {
		t.Errorf("dead letters %+v: an outage isn't the jobs' fault", dead)
	}
}
