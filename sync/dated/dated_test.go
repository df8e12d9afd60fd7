package dated_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/dated"
	"github.com/musubi-hub/musubi/sync/jobs"
)

var (
	everything = policies.System(policies.TaskTest)
	tester     = directory.Author{Source: "test"}
)

// leavers remembers who left.
type leavers struct{ n atomic.Int64 }

func (l *leavers) EnqueueLeaver(_ context.Context, _ *sql.Tx, list ...access.Leaver) error {
	l.n.Add(int64(len(list)))
	return nil
}

// world is a directory with its jobs.
type world struct {
	db    *sqldb.DB
	store *directory.Store
	jobs  *jobs.Client
	left  leavers
}

// tables is a database with all tables, copied for each test.
var tables = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	if err := db.Migrate(ctx, sqldb.Tables(), directory.Migration()); err != nil {
		return err
	}
	return jobs.Migrate(ctx, db)
})

func newWorld(t testing.TB, db *sqldb.DB, now func() time.Time, node string, register func(w *jobs.Workers, s *directory.Store)) *world {
	t.Helper()
	if err := db.Migrate(t.Context(), sqldb.Tables(), directory.Migration()); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	w := &world{db: db}
	var n atomic.Int64
	q := dated.New(&w.left)
	w.store = directory.New(db, directory.Options{Now: now, Enqueuer: q, NewID: func() policies.PersonID {
		return policies.PersonID(fmt.Sprintf("p%s%06d", node, n.Add(1)))
	}})
	kinds := jobs.NewWorkers()
	register(kinds, w.store)
	c, err := jobs.New(jobs.Config{DB: db, Workers: kinds, NodeID: node, Queues: dated.Queues(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	w.jobs = c
	q.Bind(c)
	return w
}

func register(w *jobs.Workers, s *directory.Store) {
	dated.Register(w, s, dated.Mail{}, slog.New(slog.DiscardHandler))
}

func (w *world) people(t testing.TB, n int) []identity.Person {
	t.Helper()
	org := identity.Organization{ID: "131016", Kind: policies.KindMunicipality, Name: "千代田区"}
	if _, err := w.store.AddOrganization(t.Context(), everything, identity.Organization{ID: "130001", Kind: policies.KindPrefecture, Name: "東京都"}, tester); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.AddOrganization(t.Context(), everything, org, tester); err != nil {
		t.Fatal(err)
	}
	rows, _ := directory.PeopleRows("people", func(yield func(identity.Person) bool) {
		for i := range n {
			role := policies.RoleGeneral
			if i == 0 {
				role = policies.RoleAdministrator
			}
			if !yield(identity.Person{Org: "131016", StaffNumber: fmt.Sprintf("S%05d", i), FamilyName: "試験", Email: fmt.Sprintf("s%d@t.example.lg.jp", i), Role: role}) {
				return
			}
		}
	})
	if _, report, err := w.store.Import(t.Context(), everything, rows, tester, directory.ImportOptions{}); err != nil || !report.OK() {
		t.Fatal(err, report.Faults())
	}
	var list []identity.Person
	if err := w.store.EachPerson(t.Context(), everything, func(p identity.Person) error { list = append(list, p); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func (w *world) transfer(t testing.TB, x identity.Transfer) identity.Transfer {
	t.Helper()
	got, err := w.store.AddTransfer(t.Context(), everything, x, tester)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// Midnight in simulated time: nothing before, everything at 00:00 JST, once, one job per instant; the leaver is handed over and the vacancy told.
func TestMidnight(t *testing.T) {
	url := sqldbtest.SQLiteURL(t)
	synctest.Test(t, func(t *testing.T) {
		db, err := sqldb.Open(t.Context(), url, sqldb.Options{Unsynced: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		w := newWorld(t, db, time.Now, "node-a", register)
		people := w.people(t, 3)
		at := time.Date(2000, 1, 2, 0, 0, 0, 0, jst.Zone) // the bubble's time begins at midnight UTC, nine hours after one of Japan
		for i, p := range people[1:] {
			w.transfer(t, identity.Transfer{Person: p.ID, Kind: identity.TransferMove, Section: fmt.Sprint("課", i), At: at.UnixMicro()})
		}
		w.transfer(t, identity.Transfer{Person: people[0].ID, Kind: identity.TransferLeave, At: at.UnixMicro()})
		var kind, args string
		var jobID int64
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT id, kind, CAST(args AS TEXT) FROM river_job").Scan(&jobID, &kind, &args); err != nil || // one row
			kind != "directory.activate.v1" || strings.Contains(args, string(people[0].ID)) {
			t.Fatalf("%s %s, %v", kind, args, err)
		}
		// Nobody sees it before its date: it may be that of a transfer under embargo.
		list, err := w.jobs.List(t.Context(), jobs.Filter{}, jobs.Page{})
		depth, err2 := w.jobs.Depth(t.Context())
		_, err3 := w.jobs.Job(t.Context(), jobID)
		if err := errors.Join(err, err2); err != nil || len(list) != 0 || len(depth) != 0 || !errors.Is(err3, identity.ErrNotFound) {
			t.Errorf("%v, %v, %v, %v", err, list, depth, err3)
		}
		done := func() int {
			l, err := w.store.Transfers(t.Context(), everything, directory.TransferFilter{States: []identity.TransferState{identity.TransferDone}})
			if err != nil {
				t.Fatal(err)
			}
			return len(l)
		}
		time.Sleep(time.Until(at) - time.Minute)
		if err := w.jobs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(at) - time.Second)
		if done() != 0 {
			t.Error("effective before midnight")
		}
		time.Sleep(30 * time.Second)
		if done() != 3 || w.left.n.Load() != 1 {
			t.Errorf("%d of 3 are effective half a minute after midnight, %d left", done(), w.left.n.Load())
		}
		time.Sleep(30 * time.Second)
		n, err := w.store.Notices(t.Context(), everything, 0)
		if err != nil || len(n) != 1 || n[0].Kind != identity.NoticeVacancy || n[0].Org != "131016" {
			t.Errorf("%+v, %v", n, err)
		}
		if err := w.jobs.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// The hub was down at midnight: its start does what midnight would have done.
func TestDownAtMidnight(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		var ahead atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		w := newWorld(t, db, now, "node-a", register)
		p := w.people(t, 2)[1]
		w.transfer(t, identity.Transfer{Person: p.ID, Kind: identity.TransferMove, Section: "税務課", At: now().Add(time.Hour).UnixMicro()})
		ahead.Store(int64(7 * time.Hour))
		if err := w.jobs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.jobs.Stop(context.WithoutCancel(t.Context())) }()
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			q := dated.New(&w.left)
			q.Bind(w.jobs)
			return q.EnqueueActivation(ctx, tx, access.Activation{At: now().UnixMicro()})
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the move is effective", func() bool {
			q, err := w.store.Person(t.Context(), everything, p.ID)
			return err == nil && q.Section == "税務課"
		})
	})
}

// What fails at every attempt is a dead letter that a person sees; nothing is lost, and the next activation does it.
func TestDeadLetter(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		broken := func(w *jobs.Workers, _ *directory.Store) {
			opt := jobs.KindOptions{Queue: dated.Queue, MaxAttempts: 2, Backoff: func(int, error) time.Duration { return 10 * time.Millisecond }}
			jobs.Register(w, opt, func(context.Context, jobs.Job[dated.ActivateArgs]) error { return errors.New("the disk is full") })
			jobs.Declare[dated.NoticeArgs](w, jobs.KindOptions{Queue: dated.Queue})
		}
		w := newWorld(t, db, time.Now, "node-a", broken)
		p := w.people(t, 2)[1]
		// Far enough ahead that a slow machine doesn't record it after its date, which would let it take effect at once.
		x := w.transfer(t, identity.Transfer{Person: p.ID, Kind: identity.TransferMove, Section: "税務課", At: time.Now().Add(3 * time.Second).UnixMicro()})
		if err := w.jobs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a dead letter", func() bool {
			dead, err := w.jobs.List(t.Context(), jobs.Filter{States: jobs.DeadLetters()}, jobs.Page{})
			return err == nil && len(dead) == 1 && dead[0].Kind == "directory.activate.v1" && dead[0].LastError == "the disk is full"
		})
		if err := w.jobs.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		if x, err := w.store.Transfer(t.Context(), everything, x.ID); err != nil || x.State != identity.TransferPlanned {
			t.Fatalf("%+v, %v", x, err)
		}
		if done, err := w.store.Activate(t.Context()); err != nil || done.Done != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
	})
}

// A notice that can't be kept is a dead letter too, and is kept once however often it is tried.
func TestNoticeDeadLetter(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		failing := func(w *jobs.Workers, _ *directory.Store) {
			jobs.Declare[dated.ActivateArgs](w, jobs.KindOptions{Queue: dated.Queue})
			jobs.Declare[dated.MailArgs](w, jobs.KindOptions{Queue: dated.MailQueue})
			jobs.Register(w, jobs.KindOptions{Queue: dated.Queue, MaxAttempts: 1}, func(context.Context, jobs.Job[dated.NoticeArgs]) error { return errors.New("no") })
		}
		w := newWorld(t, db, time.Now, "node-a", failing)
		p := w.people(t, 1)[0]
		if err := w.jobs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.store.EndPerson(t.Context(), everything, p.ID, tester); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a dead letter", func() bool {
			dead, err := w.jobs.List(t.Context(), jobs.Filter{States: jobs.DeadLetters()}, jobs.Page{})
			return err == nil && len(dead) == 1 && dead[0].Kind == "directory.notice.v1"
		})
		if err := w.jobs.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		// The vacancy itself doesn't depend on the telling.
		if v, err := w.store.Vacancies(t.Context(), everything); err != nil || len(v) != 1 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestUnbound(t *testing.T) {
	q := dated.New(&leavers{})
	if err := q.EnqueueActivation(t.Context(), nil, access.Activation{At: 1}); err == nil {
		t.Error("an unbound enqueuer took an activation")
	}
	if err := q.EnqueueActivation(t.Context(), nil, access.Activation{}); err == nil {
		t.Error("an activation without an instant")
	}
	if err := q.EnqueueNotice(t.Context(), nil, identity.Notice{ID: "x"}); err == nil {
		t.Error("an unbound enqueuer took a notice")
	}
}

const childURL = "MUSUBI_TEST_ACTIVATE_URL"

// TestKilledChild is the child of TestKill: it activates, and is killed by its parent.
func TestKilledChild(t *testing.T) {
	url := os.Getenv(childURL)
	if url == "" {
		t.Skip("the child of TestKill")
	}
	w := newWorld(t, sqldbtest.Open(t, url), func() time.Time { return time.Now().Add(48 * time.Hour) }, "node-child", register)
	fmt.Println("activating")
	if _, err := w.store.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("through")
}

// kill -9 in the middle of a midnight, again and again, with a second process that activates at the same time: every transfer takes effect exactly once.
func TestKill(t *testing.T) {
	tables.EachURL(t, func(t *testing.T, url string) {
		db := sqldbtest.Open(t, url)
		w := newWorld(t, db, time.Now, "node-a", register)
		people := w.people(t, 3000)
		at := time.Now().Add(24 * time.Hour).UnixMicro()
		rows, report := directory.TransferRowsOf("midnight", func(yield func(directory.TransferRow) bool) {
			for i, p := range people {
				// Everybody gets the next one's number: one circle through the whole town, with the number of the first for the last.
				x := identity.Transfer{Person: p.ID, Kind: identity.TransferMove, Section: fmt.Sprint("課", i), At: at}
				if i%3 == 0 && i+2 < len(people) {
					x.StaffNumber = people[i+1].StaffNumber
				} else if i%3 == 1 && i+1 < len(people) {
					x.StaffNumber = people[i-1].StaffNumber
				}
				if !yield(directory.TransferRow{Line: i + 2, Transfer: x}) {
					return
				}
			}
		})
		if _, report, err := w.store.ImportTransfers(t.Context(), everything, rows, tester, nil, directory.TransferImport{}); err != nil || !report.OK() {
			t.Fatal(err, report.Faults())
		}
		_ = report
		killed := 0
		for try := range 6 {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
			child.Env = append(os.Environ(), childURL+"="+url)
			out := &strings.Builder{}
			child.Stdout, child.Stderr = out, out
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			before := w.count(t)
			eventually(t, "the child makes a move", func() bool { return w.count(t) > before || child.ProcessState != nil || w.count(t) == len(people) })
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = child.Wait()
			if n := w.count(t); n > before && n < len(people) {
				killed++
			}
			if try > 1 && killed > 0 {
				break
			}
		}
		if killed == 0 {
			t.Error("no child was killed in the middle: the test proves nothing")
		}
		later := newWorld(t, db, func() time.Time { return time.Now().Add(48 * time.Hour) }, "node-b", register)
		rival := newWorld(t, db, func() time.Time { return time.Now().Add(48 * time.Hour) }, "node-c", register)
		errs := make(chan error, 1)
		go func() { _, err := rival.store.Activate(t.Context()); errs <- err }()
		if _, err := later.store.Activate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		if n := w.count(t); n != len(people) {
			t.Fatalf("%d of %d took effect", n, len(people))
		}
		var rowsOf, twice int
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM feed WHERE kind = 'transfer.done'").Scan(&rowsOf); err != nil || rowsOf != len(people) {
			t.Errorf("%d rows of transfers done, %v", rowsOf, err)
		}
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM (SELECT object FROM feed WHERE kind = 'person.changed' GROUP BY object HAVING COUNT(*) > 1) d").Scan(&twice); err != nil || twice != 0 {
			t.Errorf("%d people were changed twice, %v", twice, err)
		}
		for i, p := range people {
			q, err := w.store.Person(t.Context(), everything, p.ID)
			if err != nil || q.Section != fmt.Sprint("課", i) {
				t.Fatalf("%+v, %v", q, err)
			}
		}
	})
}

func (w *world) count(t testing.TB) (n int) {
	t.Helper()
	if err := w.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM transfer WHERE state = 'done'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
