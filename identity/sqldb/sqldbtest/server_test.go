package sqldbtest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// ending stands in for a test and records how it was ended.
type ending struct {
	testing.TB
	how string
}

func (e *ending) Helper()                      {}
func (e *ending) Skipf(f string, args ...any)  { e.how = "skipped: " + fmt.Sprintf(f, args...) }
func (e *ending) Fatalf(f string, args ...any) { e.how = "failed: " + fmt.Sprintf(f, args...) }

func TestMissingServerSkipsExceptInCI(t *testing.T) {
	for ci, want := range map[string]string{"": "skipped: ", "true": "failed: "} {
		t.Setenv("CI", ci)
		e := &ending{}
		missing(e, "postgres is not installed")
		if !strings.HasPrefix(e.how, want) || !strings.Contains(e.how, "apt-get install postgresql") {
			t.Errorf("with CI=%q: %s", ci, e.how)
		}
	}
}

const childFlag = "MUSUBI_SQLDBTEST_CHILD"

// TestChild isn't a test by itself: TestServerEndsWithItsProcess runs this binary again with only it, and kills it.
func TestChild(t *testing.T) {
	if os.Getenv(childFlag) == "" {
		t.Skip("run by TestServerEndsWithItsProcess")
	}
	Start(t)
	fmt.Printf("dir %s\n", shared.dir)
	time.Sleep(time.Minute)
}

func TestServerEndsWithItsProcess(t *testing.T) {
	Start(t)                                                              // skips where PostgreSQL is missing
	child := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v") // #nosec G204 -- this very binary
	child.Env = append(os.Environ(), childFlag+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	dir := ""
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		dir, _ = strings.CutPrefix(lines.Text(), "dir ")
		if !strings.HasPrefix(dir, "/") {
			dir = ""
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed, as we know
	if dir == "" {
		t.Fatal("the child started no server")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s outlived the process that started it", dir)
		}
	}
}

func TestOwnServerCrashesAndComesBack(t *testing.T) {
	srv := Own(t, "")
	db := Open(t, srv.URL())
	ctx := t.Context()
	if _, err := db.Writer().ExecContext(ctx, "CREATE TABLE kept (n BIGINT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer().ExecContext(ctx, "INSERT INTO kept VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	srv.Crash(t)
	var n int64
	if err := db.Reader().QueryRowContext(ctx, "SELECT n FROM kept").Scan(&n); err == nil {
		t.Error("a server that is down answers")
	}
	srv.Up(t)
	if err := db.Reader().QueryRowContext(ctx, "SELECT n FROM kept").Scan(&n); err != nil || n != 7 {
		t.Errorf("after the crash: %d, %v", n, err)
	}
}
