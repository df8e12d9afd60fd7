package directory

import (
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
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const (
	childURL   = "MUSUBI_TEST_IMPORT_URL"
	childPoint = "MUSUBI_TEST_IMPORT_POINT"
)

// points at which the child process dies.
const (
	dieStaging    = "in a staging transaction"
	dieStaged     = "between staging and publishing"
	diePublishing = "in the publishing transaction"
	diePublished  = "between publishing and settling"
	dieLeavers    = "in a settling transaction"
	dieSettling   = "in the middle of settling"
)

// storedQueue keeps leavers in the database, as the job engine does: a transaction that doesn't commit leaves none.
type storedQueue struct{ before func() }

func (q storedQueue) EnqueueLeaver(ctx context.Context, tx *sql.Tx, list ...access.Leaver) error {
	for _, l := range list {
		if q.before != nil {
			q.before()
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO test_leaver (person, at) VALUES ($1, $2)", string(l.Person), l.At); err != nil {
			return err
		}
	}
	return nil
}

func (q storedQueue) EnqueueActivation(context.Context, *sql.Tx, access.Activation) error { return nil }

func (q storedQueue) EnqueueNotice(context.Context, *sql.Tx, identity.Notice) error { return nil }

// killStore is a store on the database whose leavers are kept in it.
func killStore(t testing.TB, db *sqldb.DB, opt func(*Options, *fixture)) *fixture {
	t.Helper()
	f := newFixture(t, db)
	if _, err := db.Writer().ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS test_leaver (person TEXT NOT NULL, at BIGINT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	o := Options{Now: f.clock.now, NewID: f.newID, Enqueuer: storedQueue{}}
	if opt != nil {
		opt(&o, f)
	}
	f.Store = New(db, o)
	return f
}

const (
	killStaff   = 30  // in service before
	killLeavers = 12  // of them not in the file
	killPeople  = 800 // in the file: several chunks
)

func killText(from, to int) string {
	var b strings.Builder
	b.WriteString(peopleHeader)
	for n := from; n < to; n++ {
		fmt.Fprintf(&b, "011002,K%05d,試験,%d,シケン,,k%d@c011002.example.lg.jp,%s\n", n, n, n, map[bool]string{true: "administrator", false: "general"}[n == 20])
	}
	return b.String()
}

var killOptions = ImportOptions{Complete: true, Confirm: map[policies.OrgID]int{"011002": killLeavers}}

// TestKilledChild is the child of TestKill: it imports, and kills itself with SIGKILL at the point asked for.
func TestKilledChild(t *testing.T) {
	url, point := os.Getenv(childURL), os.Getenv(childPoint)
	if url == "" {
		t.Skip("the child of TestKill")
	}
	die := func() {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		t.Log(err)
		select {}
	}
	ids, leavers, times, publishing := 0, 0, 0, false
	f := killStore(t, sqldbtest.Open(t, url), func(o *Options, f *fixture) {
		newID := o.NewID
		o.NewID = func() policies.PersonID {
			if ids++; point == dieStaging && ids == 700 {
				die()
			}
			return "c" + newID()
		}
		o.Now = func() time.Time {
			// The first time in publishing is the batch's beat, the second that of the publication: numbers are taken by then.
			if publishing {
				if times++; point == diePublishing && times == 2 {
					die()
				}
			}
			return f.clock.now()
		}
		o.Enqueuer = storedQueue{before: func() {
			if leavers++; point == dieLeavers && leavers == 5 {
				die()
			}
		}}
	})
	rows, _ := ReadPeople(strings.NewReader(killText(killLeavers, killPeople)), "people.csv")
	opt := killOptions
	opt.Progress = func(done, _ int64, stage string) {
		publishing = stage == StagePublish && done == 0
		switch {
		case publishing && point == dieStaged, stage == StageSettle && done == 0 && point == diePublished,
			stage == StageSettle && done > 0 && point == dieSettling:
			die()
		}
	}
	_, report, err := f.Import(t.Context(), everything, rows, tester, opt)
	t.Fatalf("the child lived: %v, %v", err, report.Faults())
}

// A process killed at any point before the publication's commit leaves the directory as it was, the next import does the whole job, and the
// dead one's staging goes. A process killed at any point after it has done the whole job: nothing is lost, nothing comes twice, and
// nobody can tell before from after settling.
func TestKill(t *testing.T) {
	for _, point := range []string{dieStaging, dieStaged, diePublishing, diePublished, dieLeavers, dieSettling} {
		t.Run(point, func(t *testing.T) {
			migrated.EachURL(t, func(t *testing.T, url string) {
				f := killStore(t, sqldbtest.Open(t, url), nil)
				f.load(t, someOrgs, killText(0, killStaff))
				before := len(f.changes(t))
				child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
				child.Env = append(os.Environ(), childURL+"="+url, childPoint+"="+point)
				out, err := child.CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Exited() {
					t.Fatalf("the child wasn't killed: %v\n%s", err, out)
				}
				if f.staged(t) == 0 {
					t.Fatal("the child died when nothing was staged: the test proves nothing")
				}
				switch point {
				case dieStaging, dieStaged, diePublishing:
					c, err := f.Counts(t.Context(), everything)
					if err != nil || c.People != killStaff || c.Ended != 0 || len(f.changes(t)) != before || f.leavers(t) != 0 {
						t.Fatalf("%+v, %v, %d changes", c, err, len(f.changes(t)))
					}
					f.clock.advance(staleBeat + time.Second)
					rows, _ := ReadPeople(strings.NewReader(killText(killLeavers, killPeople)), "people.csv")
					r, report, err := f.Import(t.Context(), everything, rows, tester, killOptions)
					want := Result{Added: killPeople - killStaff, Leavers: killLeavers, Unchanged: killStaff - killLeavers, Published: true}
					if err != nil || r != want {
						t.Fatalf("%+v, %v, %v", r, report.Faults(), err)
					}
				default:
					killCheck(t, f, before)
					// A single write meets somebody who isn't settled.
					last := f.find(t, "011002", fmt.Sprintf("K%05d", killPeople-1))
					if err := f.EndPerson(t.Context(), everything, last.ID, tester); err != nil {
						t.Fatal(err)
					}
					if n, err := f.Settle(t.Context()); err != nil || n == 0 {
						t.Fatal(n, err)
					}
					c, err := f.Counts(t.Context(), everything)
					if err != nil || c.People != killPeople-killLeavers-1 || c.Ended != killLeavers+1 || f.leavers(t) != killLeavers+1 {
						t.Fatalf("%+v, %v, %d leavers", c, err, f.leavers(t))
					}
					assertGapless(t, f)
					if f.staged(t) != 0 {
						t.Errorf("%d rows left in staging", f.staged(t))
					}
					return
				}
				killCheck(t, f, before)
				if f.staged(t) != 0 || f.leavers(t) != killLeavers {
					t.Errorf("%d rows left in staging, %d leavers", f.staged(t), f.leavers(t))
				}
			})
		})
	}
}

// killCheck holds what is true after the publication.
func killCheck(t *testing.T, f *fixture, before int) {
	t.Helper()
	c, err := f.Counts(t.Context(), everything)
	if err != nil || c.People != killPeople-killLeavers || c.Ended != killLeavers {
		t.Fatalf("%+v, %v", c, err)
	}
	feed := f.changes(t)[before:]
	kinds, objects := map[ChangeKind]int{}, map[string]bool{}
	for _, c := range feed {
		kinds[c.Kind]++
		objects[c.Object] = true
		if (c.Kind == PersonEnded) != (len(c.Before) != 0) || len(c.After) == 0 {
			t.Errorf("%+v", c)
		}
	}
	if kinds[PersonAdded] != killPeople-killStaff || kinds[PersonEnded] != killLeavers || len(objects) != len(feed) {
		t.Errorf("%v, %d objects", kinds, len(objects))
	}
	assertGapless(t, f)
}

func (f *fixture) leavers(t testing.TB) (n int) {
	t.Helper()
	if err := f.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM test_leaver").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
