package directory

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

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
)

// TestKilledChild is the child of TestKill: it imports, and kills itself with SIGKILL at the point asked for.
func TestKilledChild(t *testing.T) {
	url, point := os.Getenv(childURL), os.Getenv(childPoint)
	if url == "" {
		t.Skip("the child of TestKill")
	}
	f := newFixture(t, sqldbtest.Open(t, url))
	die := func() {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		t.Log(err)
		select {}
	}
	ids, publishing, times := 0, false, 0
	newID := f.newID
	s := New(f.db, Options{
		NewID: func() policies.PersonID {
			if ids++; point == dieStaging && ids == 3 {
				die()
			}
			return newID()
		},
		Now: func() time.Time {
			// The first time in publishing is the batch's beat, the second that of the rows: numbers are taken by then.
			if publishing {
				if times++; point == diePublishing && times == 2 {
					die()
				}
			}
			return f.clock.now()
		},
	})
	rows, _ := ReadPeople(strings.NewReader(somePeople), "people.csv")
	_, _, err := s.Import(t.Context(), everything, rows, tester, func(_, _ int64, stage string) {
		publishing = stage == StagePublish && point != dieStaging
		if publishing && point == dieStaged {
			die()
		}
	}, false)
	t.Fatalf("the child lived: %v", err)
}

// A process killed at any point before the commit leaves the directory as it was, the next import does the whole job, and the dead
// one's staging goes.
func TestKill(t *testing.T) {
	for _, point := range []string{dieStaging, dieStaged, diePublishing} {
		t.Run(point, func(t *testing.T) {
			sqldbtest.EachURL(t, func(t *testing.T, url string) {
				f := newFixture(t, sqldbtest.Open(t, url))
				f.load(t, someOrgs, "")
				before := len(f.changes(t))
				child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
				child.Env = append(os.Environ(), childURL+"="+url, childPoint+"="+point)
				out, err := child.CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Exited() {
					t.Fatalf("the child wasn't killed: %v\n%s", err, out)
				}
				c, err := f.Counts(t.Context(), everything)
				if err != nil || c.People != 0 || len(f.changes(t)) != before {
					t.Fatalf("%+v, %v, %d changes", c, err, len(f.changes(t)))
				}
				if f.staged(t) == 0 {
					t.Fatal("the child died before it staged anything: the test proves nothing")
				}
				f.clock.advance(staleBeat + time.Second)
				if r, report := f.importPeopleText(t, everything, somePeople, false); r != (Result{Added: 4, Published: true}) {
					t.Fatalf("%+v, %v", r, report.Faults())
				}
				if f.staged(t) != 0 {
					t.Errorf("%d rows left in staging", f.staged(t))
				}
				assertGapless(t, f)
			})
		})
	}
}
