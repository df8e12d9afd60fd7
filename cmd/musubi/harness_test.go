package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

const (
	childFlag     = "MUSUBI_TEST_CHILD" // set: this binary is musubi itself, with the race detector if the tests have it
	childOrphaned = 97
)

// patient is how long a test waits for what must happen. It bounds a test that fails, and is no measure of anything.
const patient = 90 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(childFlag) != "" {
		// The tests hold our standard input open. When they end, however that is, it ends too, and so do we.
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(childOrphaned)
		}()
		os.Exit(process(newEnv(os.Stdout, os.Stderr), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// install is one installation under test.
type install struct {
	data     string
	database string        // URL; empty: SQLite in the data folder
	patience time.Duration // 0: the command's own
	ahead    time.Duration // how far the clock of commands that run in this process is ahead

	plansItself bool // the serving hub makes plans of changes after seconds; else after ten minutes
}

func (i *install) args(args []string) []string {
	args = append(args, "--data", i.data)
	if i.database != "" {
		args = append(args, "--database", i.database)
	}
	return args
}

// path is a file of the data folder.
func (i *install) path(name ...string) string {
	return filepath.Join(append([]string{i.data}, name...)...)
}

func (i *install) planner() string  { return i.path("credentials", "planner.cred") }
func (i *install) approver() string { return i.path("credentials", "approver.cred") }

// open opens the installation's database beside its commands.
func (i *install) open(t *testing.T) *sqldb.DB {
	t.Helper()
	url := i.database
	if url == "" {
		url = "sqlite:" + i.path("musubi.db")
	}
	db, err := sqldb.Open(t.Context(), url, sqldb.Options{Application: "musubi-test"})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func (r result) String() string { return fmt.Sprintf("exit %d\n%s%s", r.code, r.out, r.err) }

// musubi runs one command in this process.
func (i *install) musubi(t *testing.T, args ...string) result {
	t.Helper()
	return i.run(t, i.args(args))
}

// run runs one command line as it stands.
func (i *install) run(t *testing.T, args []string) result {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	e := newEnv(file("out"), file("err"))
	if i.patience > 0 {
		e.patience = i.patience
	}
	e.now = func() time.Time { return time.Now().Add(i.ahead) }
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	r := result{code: run(ctx, e, args)}
	for _, s := range []struct {
		f    *os.File
		text *string
	}{{e.stdout, &r.out}, {e.stderr, &r.err}} {
		text, err := os.ReadFile(s.f.Name())
		if err := errors.Join(err, s.f.Close()); err != nil {
			t.Fatal(err)
		}
		*s.text = string(text)
	}
	return r
}

// must runs a command that has to end well, and gives what it printed.
func (i *install) must(t *testing.T, args ...string) string {
	t.Helper()
	r := i.musubi(t, args...)
	if r.code != 0 {
		t.Fatalf("musubi %s: %v", strings.Join(args, " "), r)
	}
	return r.out
}

// document runs a command with --json that has to end with this code, checks the schema and decodes the document into v.
func (i *install) document(t *testing.T, code int, schema string, v any, args ...string) {
	t.Helper()
	r := i.musubi(t, append(args, "--json")...)
	if r.code != code {
		t.Fatalf("musubi %s: want exit %d, got %v", strings.Join(args, " "), code, r)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	dec := json.NewDecoder(strings.NewReader(r.out))
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		t.Fatalf("musubi %s: %v in %s", strings.Join(args, " "), err, r.out)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("musubi %s: more than one document: %s", strings.Join(args, " "), r.out)
	}
	if err := errors.Join(json.Unmarshal(raw, &head), json.Unmarshal(raw, v)); err != nil || head.Schema != schema {
		t.Fatalf("musubi %s: %v, schema %q, want %q: %.500s", strings.Join(args, " "), err, head.Schema, schema, r.out)
	}
}

// transcript is what a process printed so far.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// proc is a musubi of its own process.
type proc struct {
	cmd      *exec.Cmd
	began    time.Time
	out, err transcript
	ended    chan struct{}
}

// start starts a command as a process of this very binary. It is killed when the test ends.
func (i *install) start(t *testing.T, args ...string) *proc {
	t.Helper()
	return i.startAs(t, os.Args[0], args...)
}

func (i *install) startAs(t *testing.T, binary string, args ...string) *proc {
	t.Helper()
	p := &proc{cmd: exec.Command(binary, i.args(args)...), ended: make(chan struct{})} // #nosec G204 -- our own binary
	p.cmd.Env = append(os.Environ(), childFlag+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the code is in ProcessState
		_ = stdin.Close()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if text := p.err.String(); strings.Contains(text, "DATA RACE") {
			t.Errorf("musubi %s: %s", strings.Join(args, " "), text)
		}
	})
	return p
}

// shipped is musubi as it is shipped. Where the tests have the race detector it is built without, because a program that is ten
// times slower says nothing about times, and does the kills of one test in minutes; TestServeKilled kills the one with the detector.
func shipped(t *testing.T) (binary string) {
	t.Helper()
	if !raceDetector {
		return os.Args[0]
	}
	binary = filepath.Join(t.TempDir(), "musubi")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".") // #nosec G204 -- a fixed command
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// kill is kill -9, and waits until the process is gone.
func (p *proc) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.ended
}

// wait waits for the process to end by itself.
func (p *proc) wait(t *testing.T) result {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patient):
		p.kill()
		t.Fatalf("it doesn't end:\n%s\n%s", p.out.String(), p.err.String())
	}
	return result{p.cmd.ProcessState.ExitCode(), p.out.String(), p.err.String()}
}

func (p *proc) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// until waits for cond, at short intervals, as long as the process lives.
func (p *proc) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !cond(); time.Sleep(3 * time.Millisecond) {
		if p.over() || time.Now().After(deadline) {
			if cond() { // it may have come with the end
				return
			}
			t.Fatalf("no %s in:\n%s\n%s", what, p.out.String(), p.err.String())
		}
	}
}

// match waits until the process printed what the expression finds, and gives its first group.
func (p *proc) match(t *testing.T, expr string) string {
	t.Helper()
	re := regexp.MustCompile(expr)
	var found []string
	p.until(t, expr, func() bool {
		found = re.FindStringSubmatch(p.out.String() + p.err.String())
		return found != nil
	})
	return found[1]
}

// control asks a sandbox what it really holds.
type control struct {
	base   string
	client *http.Client
}

func newControl(t *testing.T, address string) *control {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 2}
	t.Cleanup(transport.CloseIdleConnections)
	return &control{base: "http://" + address + "/_control/", client: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
}

func (c *control) read(path string, v any) error {
	resp, err := c.client.Get(c.base + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// requests counts the calls with a valid credential since the sandbox started.
func (c *control) requests() (n int64, err error) {
	var doc struct {
		Classes []sandbox.QuotaReport `json:"classes"`
	}
	err = c.read("quota", &doc)
	for _, q := range doc.Classes {
		if q.Class != "scim.writes" && q.Class != "scim.reads" { // Slack's totals over classes that are counted one by one
			n += q.Requests
		}
	}
	return n, err
}

// seats counts the accounts of all products, without the workspace owner, who was there before.
func (c *control) seats() (n int, err error) {
	for _, app := range policies.Products() {
		var doc struct {
			Counts sandbox.Counts `json:"counts"`
		}
		if err := c.read("state?summary=1&app="+string(app), &doc); err != nil {
			return 0, err
		}
		n += doc.Counts.Accounts
		if app == policies.ProductSlack {
			n--
		}
	}
	return n, nil
}

// state is the ground truth of one product.
func (c *control) state(t *testing.T, app policies.Product) sandbox.State {
	t.Helper()
	var s sandbox.State
	if err := c.read("state?app="+string(app), &s); err != nil {
		t.Fatal(err)
	}
	return s
}
