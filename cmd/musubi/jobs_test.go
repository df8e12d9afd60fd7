package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// buildMusubi compiles the program as it is shipped.
func buildMusubi(tb testing.TB) string {
	tb.Helper()
	bin := filepath.Join(tb.TempDir(), "musubi")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".") // #nosec G204 -- this package
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// letter is a kind that ends as the test wants.
type letter struct {
	N string `json:"n"`
}

func (letter) Kind() string  { return "test.letter.v1" }
func (l letter) Key() string { return l.N }

// deadLetters leaves n dead letters and one job of a later date in the database.
func deadLetters(t *testing.T, db *sqldb.DB, n int) {
	t.Helper()
	w := jobs.NewWorkers()
	jobs.Register(w, jobs.KindOptions{}, func(_ context.Context, job jobs.Job[letter]) error {
		return jobs.Discard(fmt.Errorf("the SaaS refused %s:\n\x1b[31mred", job.Args.N))
	})
	c, err := jobs.New(jobs.Config{DB: db, Workers: w, NodeID: "node-test", Queues: map[string]jobs.Queue{jobs.DefaultQueue: {MaxWorkers: 4, Urgent: true}}})
	if err != nil {
		t.Fatal(err)
	}
	err = db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		ins := []jobs.Insert{{Args: letter{"dated"}, At: time.Now().Add(24 * time.Hour)}}
		for i := range n {
			ins = append(ins, jobs.Insert{Args: letter{fmt.Sprint("letter ", i)}})
		}
		_, err := c.InsertTx(ctx, tx, ins...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		dead, err := c.List(t.Context(), jobs.Filter{States: jobs.DeadLetters()}, jobs.Page{})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d dead letters, want %d: %v", len(dead), n, err)
		}
		if len(dead) == n {
			break
		}
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestJobsCommands(t *testing.T) {
	bin := buildMusubi(t)
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		data := t.TempDir()
		code := func(args ...string) (stdout, stderr string, code int) {
			t.Helper()
			var o, e bytes.Buffer
			cmd := exec.Command(bin, append(args, "--data", data, "--database", url)...) // #nosec G204 -- the program under test
			cmd.Stdout, cmd.Stderr = &o, &e
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			return o.String(), e.String(), cmd.ProcessState.ExitCode()
		}
		ok := func(args ...string) string {
			t.Helper()
			stdout, stderr, got := code(args...)
			if got != boot.ExitOK {
				t.Fatalf("%v: exit code %d\n%s", args, got, stderr)
			}
			return stdout
		}
		planner := filepath.Join(data, "credentials", "planner.cred")
		ok("init", "--agency", "8000012010038", "--name", "デジタル庁", "--email", "taro@digital.example.go.jp", "--email", "hanako@digital.example.go.jp")
		if got := ok("jobs", "list", "--as", planner); !strings.Contains(got, "There are no jobs") {
			t.Errorf("an empty hub: %s", got)
		}
		db := sqldbtest.Open(t, url)
		deadLetters(t, db, 5)

		text := ok("jobs", "list", "--as", planner)
		for _, want := range []string{"QUEUE", "default  cancelled  5", "default  scheduled  1", "test.letter.v1", " JST ", "the SaaS refused letter 0:  [31mred"} {
			if !strings.Contains(text, want) {
				t.Errorf("the list lacks %q:\n%s", want, text)
			}
		}
		if strings.ContainsRune(text, '\x1b') {
			t.Error("what a SaaS said reaches the terminal as it is")
		}

		// Pages: two, two and one.
		var ids []int64
		before := int64(0)
		for range 3 {
			var doc jobsDocument
			args := []string{"jobs", "list", "--json", "--limit", "2", "--kind", "test.letter.v1", "--as", planner}
			if before > 0 {
				args = append(args, "--before", fmt.Sprint(before))
			}
			if err := json.Unmarshal([]byte(ok(args...)), &doc); err != nil {
				t.Fatal(err)
			}
			for _, j := range doc.Jobs {
				ids = append(ids, j.ID)
			}
			before = doc.Before
		}
		if len(ids) != 5 || before != 0 || !slices.IsSortedFunc(ids, func(a, b int64) int { return int(b - a) }) {
			t.Fatalf("pages gave %v, next %d", ids, before)
		}
		var waiting jobsDocument
		if err := json.Unmarshal([]byte(ok("jobs", "list", "--state", "waiting", "--queue", "default", "--json", "--as", planner)), &waiting); err != nil {
			t.Fatal(err)
		}
		if len(waiting.Jobs) != 1 || waiting.Jobs[0].State != jobs.StateScheduled {
			t.Fatalf("waiting: %+v", waiting.Jobs)
		}

		first, second, dated := fmt.Sprint(ids[0]), fmt.Sprint(ids[1]), fmt.Sprint(waiting.Jobs[0].ID)
		if got := ok("jobs", "show", first, "--as", planner); !strings.Contains(got, "cancelled, queue default, priority 2, attempts 1/10") || !strings.Contains(got, "node-test") {
			t.Errorf("show: %s", got)
		}
		ok("jobs", "retry", second, first, "--as", planner)
		ok("jobs", "discard", first, "--as", planner)
		if got := ok("jobs", "list", "--state", "available", "--as", planner); !strings.Contains(got, second) {
			t.Errorf("after the retry: %s", got)
		}
		var audited int
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM audit_row WHERE action = 'jobs.write' AND outcome = 'done'").Scan(&audited); err != nil || audited != 3 {
			t.Errorf("%d audit rows of what was done, want 3: %v", audited, err)
		}

		// A bare operating system user sees and never acts.
		ok("jobs", "list")
		for _, tc := range []struct {
			want int
			say  string
			args []string
		}{
			{boot.ExitRefused, "never open to a bare operating system user", []string{"jobs", "retry", second}},
			{boot.ExitRefused, "date of its first attempt", []string{"jobs", "retry", fmt.Sprint(ids[2]), dated, "--as", planner}},
			{boot.ExitRefused, "it is cancelled", []string{"jobs", "discard", first, "--as", planner}},
			{boot.ExitRefused, "not found", []string{"jobs", "show", "999999", "--as", planner}},
			{boot.ExitUsage, "isn't the number of a job", []string{"jobs", "retry", "x", "--as", planner}},
			{boot.ExitUsage, "1 to 100 jobs", []string{"jobs", "discard", "--as", planner}},
			{boot.ExitUsage, `"asleep" is none of`, []string{"jobs", "list", "--state", "asleep", "--as", planner}},
			{boot.ExitUsage, "--limit", []string{"jobs", "list", "--limit", "0", "--as", planner}},
		} {
			if _, stderr, got := code(tc.args...); got != tc.want || !strings.Contains(stderr, tc.say) {
				t.Errorf("%v: exit code %d, want %d; it should say %q:\n%s", tc.args, got, tc.want, tc.say, stderr)
			}
		}
		// The one that could have been retried wasn't: all or none.
		if got := ok("jobs", "show", fmt.Sprint(ids[2]), "--as", planner); !strings.Contains(got, "cancelled") {
			t.Errorf("half of a refused command was done: %s", got)
		}
	})
}
