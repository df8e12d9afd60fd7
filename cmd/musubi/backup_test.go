package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// answered is how a command ended.
type answered struct {
	code     int
	out, err string
}

// command runs one command in this process.
func command(ctx context.Context, t *testing.T, args ...string) answered {
	t.Helper()
	dir := t.TempDir()
	var files [2]*os.File
	for i, name := range []string{"out", "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	a := answered{code: run(ctx, newEnv(files[0], files[1]), args)}
	for i, to := range []*string{&a.out, &a.err} {
		b, err := os.ReadFile(files[i].Name())
		if err != nil {
			t.Fatal(err)
		}
		*to = string(b)
	}
	return a
}

// must runs one command that has to succeed.
func must(t *testing.T, args ...string) answered {
	t.Helper()
	a := command(t.Context(), t, args...)
	if a.code != boot.ExitOK {
		t.Fatalf("musubi %s: exit %d\n%s%s", strings.Join(args, " "), a.code, a.out, a.err)
	}
	return a
}

// child starts the program as a process of its own, which ends with this one.
func child(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), childFlag+"=1")
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// database opens a hub's database beside it. It must be there.
func database(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		eventually(t, "a database file", func() bool { _, err := os.Stat(path); return err == nil })
	}
	return sqldbtest.Open(t, url)
}

// count gives the number that a query answers; -1 while the tables aren't there.
func count(t *testing.T, db *sqldb.DB, query string) int {
	t.Helper()
	n := sql.NullInt64{}
	if err := db.Reader().QueryRow(query).Scan(&n); err != nil {
		return -1
	}
	return int(n.Int64)
}

const (
	finished = "SELECT COUNT(*) FROM provision_op WHERE state <> 'pending'"
	pending  = "SELECT COUNT(*) FROM provision_op WHERE state = 'pending'"
	open     = "SELECT COUNT(*) FROM provision_plan WHERE state IN ('staging', 'running')"
	done     = "SELECT COUNT(*) FROM provision_plan WHERE state = 'done'"
)

func eventually(t *testing.T, what string, fn func() bool) {
	t.Helper()
	// Under the race detector, beside all other tests, minutes pass; this bounds a test that fails and is no measure of anything.
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if fn() {
			return
		}
	}
	t.Fatalf("no %s within ten minutes", what)
}

// background runs a command in this process until stop, which gives how it ended.
func background(t *testing.T, args ...string) (stop func() answered) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan answered, 1)
	go func() { ended <- command(ctx, t, args...) }()
	var last *answered
	stop = func() answered {
		if last == nil {
			cancel()
			a := <-ended
			last = &a
		}
		return *last
	}
	t.Cleanup(func() { stop() })
	return stop
}

// A backup is made in the middle of an apply and brought back into an empty folder; a hub serves it, is told to stop in the middle
// of the work by SIGTERM, serves again and ends the work: nothing lost, nothing done twice, the same plan as where it came from.
func TestBackupWhileApplyingRestoreAndGoOn(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		from, to, file := filepath.Join(dir, "from"), filepath.Join(dir, "to"), filepath.Join(dir, "mid.backup")
		fromURL, toURL := "sqlite:"+filepath.Join(from, "musubi.db"), "sqlite:"+filepath.Join(to, "musubi.db")
		var there, back []string
		if strings.HasPrefix(url, "postgres") {
			fromURL, toURL = url, sqldbtest.Start(t)
			there, back = []string{"--database", fromURL}, []string{"--database", toURL}
		}
		at := func(data string, database []string, args ...string) []string {
			return append(append(args, "--data", data), database...)
		}
		stopDemo := background(t, at(from, there, "demo", "--headless", "--json", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0", "--hold", "10m")...)
		origin := database(t, fromURL)
		eventually(t, "apply in progress", func() bool { return count(t, origin, finished) > 50 })

		var made backupDocument
		if err := json.Unmarshal([]byte(must(t, at(from, there, "backup", "--to", file, "--with-secrets", "--json")...).out), &made); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		must(t, at(to, back, "restore", file)...)
		t.Logf("backup of %d rows in %.2f s while applying, %d bytes; restore in %.2f s", made.Rows, made.Seconds, made.Bytes, time.Since(began).Seconds())

		copied := database(t, toURL)
		left := count(t, copied, pending)
		if count(t, copied, open) != 1 || left == 0 {
			t.Fatalf("the backup isn't of the middle of an apply: %d left", left)
		}
		if n := count(t, copied, "SELECT COUNT(*) FROM audit_row WHERE action = 'backup.restore'"); n != 1 {
			t.Errorf("%d audit rows of the restore", n)
		}
		if n := count(t, origin, "SELECT COUNT(*) FROM audit_row WHERE action = 'backup.make'"); n != 1 {
			t.Errorf("%d audit rows of the backup", n)
		}
		eventually(t, "end of the first apply", func() bool { return count(t, origin, done) == 1 })

		before := count(t, copied, finished)
		t.Setenv("MUSUBI_INTERNET_LISTEN", "127.0.0.1:0") // the demonstration has the port
		hub := child(t, at(to, back, "serve", "--listen", "127.0.0.1:0")...)
		eventually(t, "going on", func() bool { return count(t, copied, finished) >= before+min(100, left/4) })
		asked := time.Now()
		if err := hub.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := hub.Wait(); err != nil {
			t.Errorf("SIGTERM in the middle of an apply: %v, want exit 0", err)
		}
		if took := time.Since(asked); took > 10*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		if count(t, copied, pending) == 0 {
			t.Error("the work ended before the signal: nothing was proved")
		}
		if n := count(t, copied, "SELECT COUNT(*) FROM river_job WHERE state = 'running'"); n != 0 {
			t.Errorf("%d jobs were left running by a stop in order", n)
		}

		spans := collect(t)
		stop := background(t, at(to, back, "serve", "--listen", "127.0.0.1:0")...)
		eventually(t, "end of the restored apply", func() bool { return count(t, copied, done) == 1 && count(t, copied, open) == 0 })
		if a := stop(); a.code != boot.ExitOK {
			t.Errorf("serve ended with %d: %s", a.code, a.err)
		}
		spans(t, "job provision.op.v1", "call jira ")
		samePlans(t, at(from, there), at(to, back), filepath.Join(from, "credentials", "planner.cred"))
		noDuplicates(t, from)
		stopDemo()
	})
}

// collect makes a collector the configured one, and gives a check that it was sent spans of these names and nobody's address.
func collect(t *testing.T) func(t *testing.T, names ...string) {
	t.Helper()
	var mu sync.Mutex
	var got bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.Copy(&got, r.Body) // protobuf, where text stands as it is
	}))
	t.Cleanup(server.Close)
	t.Setenv("MUSUBI_TRACE_ENDPOINT", server.URL)
	return func(t *testing.T, names ...string) {
		t.Helper()
		_ = os.Unsetenv("MUSUBI_TRACE_ENDPOINT")
		mu.Lock()
		defer mu.Unlock()
		for _, name := range names {
			if !bytes.Contains(got.Bytes(), []byte(name)) {
				t.Errorf("no span %q in %d bytes", name, got.Len())
			}
		}
		if bytes.ContainsRune(got.Bytes(), '@') && bytes.Contains(got.Bytes(), []byte("example")) {
			t.Error("spans hold an e-mail address")
		}
	}
}

// samePlans compares what both hubs plan now, and the plan that was applied.
func samePlans(t *testing.T, from, to []string, cred string) {
	t.Helper()
	read := func(where []string, args ...string) planDocument {
		var doc planDocument
		if err := json.Unmarshal([]byte(must(t, append(append(args, "--json", "--as", cred), where...)...).out), &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	var plans struct {
		Plans []struct{ Hash string }
	}
	if err := json.Unmarshal([]byte(must(t, append([]string{"plan", "--list", "--json", "--as", cred}, from...)...).out), &plans); err != nil || len(plans.Plans) != 1 {
		t.Fatalf("%v, %v", plans, err)
	}
	hash := plans.Plans[0].Hash
	a, b := read(from, "plan", hash), read(to, "plan", hash)
	if diff := cmp.Diff(a.Plan, b.Plan); diff != "" || len(a.Plan.Objects) == 0 {
		t.Errorf("the applied plan differs: %s", diff)
	}
	a, b = read(from, "plan"), read(to, "plan")
	if diff := cmp.Diff(a.Plan, b.Plan); diff != "" || !a.Empty || !b.Empty {
		t.Errorf("left to do: %v and %v; %s", a.Empty, b.Empty, diff)
	}
}

// noDuplicates asks the sandbox itself.
func noDuplicates(t *testing.T, data string) {
	t.Helper()
	l, err := config.Load(config.Source{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(l.Jira.BaseURL, "/jira")
	client := &http.Client{Timeout: 10 * time.Second}
	for _, app := range []string{"jira", "atlassian"} {
		resp, err := client.Get(base + "/_control/state?app=" + app)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var state struct {
			Counts   struct{ Duplicates int } `json:"counts"`
			Accounts []struct{}               `json:"accounts"`
		}
		if err := json.Unmarshal(body, &state); err != nil {
			t.Fatal(err)
		}
		if state.Counts.Duplicates != 0 || len(state.Accounts) == 0 {
			t.Errorf("%s: %d accounts, %d duplicates", app, len(state.Accounts), state.Counts.Duplicates)
		}
	}
}

func TestBackupAndRestoreRefuse(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "a.backup")
	must(t, "init", "--data", data, "--agency", "8000012010038", "--name", "デジタル庁", "--email", "a@digital.example.go.jp", "--email", "b@digital.example.go.jp")
	must(t, "backup", "--data", data, "--to", file)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged, full := filepath.Join(dir, "damaged.backup"), filepath.Join(dir, "full")
	for i := range text[len(text)/2:][:64] { // more than one bit: a single one may be of those that pad a block and mean nothing
		text[len(text)/2+i] ^= 0xff
	}
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no --to", []string{"backup", "--data", data}, 2, "give --to"},
		{"over a file", []string{"backup", "--data", data, "--to", file}, 2, "file already exists; name another file"},
		{"no database", []string{"backup", "--data", filepath.Join(dir, "nothing"), "--to", filepath.Join(dir, "b")}, 2, "there is no database to keep"},
		{"full folder", []string{"restore", file, "--data", full}, 3, "isn't empty: name an empty one with --data"},
		{"serving folder", []string{"restore", file, "--data", data}, 3, "isn't empty"},
		{"database there", []string{"restore", file, "--data", filepath.Join(dir, "r1"), "--database", "sqlite:" + filepath.Join(data, "musubi.db")}, 3, "exists: nothing is ever overwritten"},
		{"other engine", []string{"restore", file, "--data", filepath.Join(dir, "r2"), "--database", "postgres:///nowhere"}, 3, "is a copy of sqlite, and the configuration names another kind"},
		{"damaged", []string{"restore", damaged, "--data", filepath.Join(dir, "r3")}, 3, "the backup is damaged"},
		{"no backup", []string{"restore", filepath.Join(data, "musubi.db"), "--data", filepath.Join(dir, "r4")}, 3, "it is no backup of Musubi"},
		{"no file", []string{"restore", filepath.Join(dir, "absent"), "--data", filepath.Join(dir, "r5")}, 2, "no such file"},
		{"as somebody", []string{"restore", file, "--as", "x.cred", "--data", filepath.Join(dir, "r6")}, 2, "restore as break-glass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := command(t.Context(), t, c.args...)
			if a.code != c.code || !strings.Contains(a.err, c.want) {
				t.Errorf("exit %d: %s, want %d: %s", a.code, a.err, c.code, c.want)
			}
			for i, arg := range c.args {
				if arg == "--data" && c.args[0] == "restore" && !strings.HasSuffix(c.args[i+1], "full") && c.args[i+1] != data {
					if left, _ := os.ReadDir(c.args[i+1]); len(left) > 0 {
						t.Errorf("left behind: %v", left)
					}
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "nothing")); err == nil {
		t.Error("looking for a database made its folder")
	}
}

// A backup of a database whose audit log was tampered with comes back, and says so.
func TestRestoreVerifiesTheAuditLog(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "a.backup")
	must(t, "init", "--data", data, "--agency", "8000012010038", "--name", "デジタル庁", "--email", "a@digital.example.go.jp", "--email", "b@digital.example.go.jp")
	db := database(t, "sqlite:"+filepath.Join(data, "musubi.db"))
	stop := background(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
	eventually(t, "signed rows", func() bool {
		return count(t, db, "SELECT COUNT(*) FROM audit_unsequenced") == 0 && count(t, db, "SELECT COUNT(*) FROM audit_checkpoint") > 0
	})
	stop()
	for _, q := range []string{"DROP TRIGGER audit_row_no_update", "UPDATE audit_row SET reason = 'another' WHERE id = (SELECT MIN(id) FROM audit_row)"} {
		if _, err := db.Writer().Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "backup", "--data", data, "--to", file)
	a := command(t.Context(), t, "restore", file, "--data", filepath.Join(dir, "back"))
	if a.code != boot.ExitPartial || !strings.Contains(a.err, "isn't what was signed: 1 faults") {
		t.Errorf("exit %d: %s", a.code, a.err)
	}
}

// A database of another version isn't kept: the rows would be told to be of a version that they aren't of.
func TestBackupOfAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	must(t, "init", "--data", dir, "--agency", "8000012010038", "--name", "デジタル庁", "--email", "a@digital.example.go.jp", "--email", "b@digital.example.go.jp")
	db := database(t, "sqlite:"+filepath.Join(dir, "musubi.db"))
	for _, c := range []struct{ change, want string }{
		{"UPDATE goose_quota SET version_id = version_id + 1 WHERE version_id > 0", "written by a newer version"},
		{"DELETE FROM goose_quota WHERE version_id > 0", "start this one once"},
	} {
		if _, err := db.Writer().Exec(c.change); err != nil {
			t.Fatal(err)
		}
		a := command(t.Context(), t, "backup", "--data", dir, "--to", filepath.Join(dir, "x.backup"))
		if a.code != boot.ExitRefused || !strings.Contains(a.err, c.want) {
			t.Errorf("%s: exit %d: %s", c.change, a.code, a.err)
		}
	}
}
