//go:build interop

package interop_test

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// tour is what tour.mjs finds.
type tour struct {
	Pages []struct {
		pageReport
		URL      string
		Overflow int
	}
	Approved string
	Stories  map[string]struct {
		State, Outcome string
		Lines          []string
	}
}

// buildMusubi builds the program as make build does.
func buildMusubi(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "musubi")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "../../cmd/musubi")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// demonstration is a `musubi demo` that has done its main job and goes on serving.
type demonstration struct {
	binary, data      string
	hub, hubPort      string // https://login.localhost:PORT
	sitesPort         string // of jira.localhost, slack.localhost and sandbox.localhost
	authority, server string // PEM files: what its https is trusted by, and its certificate with the key
}

func startDemonstration(t *testing.T) *demonstration {
	t.Helper()
	d := &demonstration{binary: buildMusubi(t), data: filepath.Join(t.TempDir(), "demo"), sitesPort: freePort(t)}
	d.authority, d.server = filepath.Join(d.data, "card", "web-ca.pem"), filepath.Join(d.data, "card", "server.pem")
	demo := exec.CommandContext(t.Context(), d.binary, "demo", "--headless", "--data", d.data, "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0",
		"--https", "127.0.0.1:0", "--sites", "127.0.0.1:"+d.sitesPort, "--hold", "20m")
	stderr, err := demo.StderrPipe()
	noError(t, err)
	noError(t, demo.Start())
	var said lockedBuffer
	address := make(chan string, 1)
	go func() {
		lines, found := bufio.NewScanner(stderr), ""
		hub := regexp.MustCompile(`hub (https://login\.localhost:[0-9]+)`)
		for lines.Scan() {
			_, _ = said.Write(append(bytes.Clone(lines.Bytes()), '\n'))
			if m := hub.FindStringSubmatch(lines.Text()); m != nil {
				found = m[1]
			}
			if strings.Contains(lines.Text(), "秒 / seconds") {
				address <- found
			}
		}
	}()
	t.Cleanup(func() {
		_ = demo.Process.Signal(os.Interrupt)
		_ = demo.Wait()
		if t.Failed() {
			t.Logf("the demonstration said:\n%s", said.String())
		}
	})
	select {
	case d.hub = <-address:
	case <-time.After(peerTimeout):
		t.Fatal("the demonstration's main job never ended")
	}
	d.hubPort = d.hub[strings.LastIndexByte(d.hub, ':')+1:]
	return d
}

// musubi runs a command beside the demonstration, as its planner.
func (d *demonstration) musubi(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), d.binary, append(args, "--data", d.data, "--as", filepath.Join(d.data, "credentials", "planner.cred"))...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("musubi %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// card is the PKCS #12 file of one of its test cards.
func (d *demonstration) card(id string) string {
	return filepath.Join(d.data, "card", "cards", id+".p12")
}

// freePort is a port of loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	noError(t, err)
	return port
}

// The demonstration, once for all who look at it: people log in, programs do, and a newcomer tries it.
func TestDemonstration(t *testing.T) {
	needChromium(t)
	needNSS(t)
	d := startDemonstration(t)
	t.Run("login", func(t *testing.T) { peopleLogIn(t, d) })
	t.Run("curl with SoftHSM", func(t *testing.T) { curlLogsIn(t, d) })
	t.Run("signed challenge", func(t *testing.T) { signedChallenge(t, d) })
	t.Run("openid-client", func(t *testing.T) { openIDClient(t, d) })
	t.Run("mellon", func(t *testing.T) { samlInChromium(t, d) })
	t.Run("newcomer", func(t *testing.T) { newcomer(t, d) })
}

// newcomer is somebody's first minutes after `make run`: the three things to try happen within seconds, every page is accessible, fits a narrow window,
// fetches nothing from elsewhere and keeps its own Content-Security-Policy.
func newcomer(t *testing.T, d *demonstration) {
	// Somebody new in the operating agency: such a plan waits for a person, however small.
	d.musubi(t, "people", "add", "--org", "8000012010038", "--staff-number", "demo-3", "--family-name", "例示", "--given-name", "三郎",
		"--email", "saburo@digital.example.go.jp", "--role", "general")
	waits := func() bool { return strings.Contains(d.musubi(t, "plan", "--list", "--json"), `"state":"made"`) }
	for deadline := time.Now().Add(peerTimeout); !waits(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the hub never made a plan of the change by itself")
		}
	}
	arguments := []string{browserHome(t, d.authority, "", ""), d.hub}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		arguments = append(arguments, folder)
	}
	var seen tour
	if code := runScript(t, nil, &seen, "tour.mjs", arguments...); code != 0 {
		t.Fatalf("tour.mjs ended with %d", code)
	}
	if len(seen.Pages) < 16 {
		t.Errorf("only %d pages were seen", len(seen.Pages))
	}
	for _, p := range seen.Pages {
		for _, v := range p.Violations {
			t.Errorf("%s: %s (%s): %s at %q", p.URL, v.ID, v.Impact, v.Help, v.Nodes)
		}
		for _, origin := range p.Foreign {
			t.Errorf("%s asks %s for something: nothing may be fetched from elsewhere", p.URL, origin)
		}
		for _, complaint := range p.Complaints {
			t.Errorf("%s: the browser complains: %s", p.URL, complaint)
		}
		if p.Language != "ja" || p.Title == "" {
			t.Errorf("%s: language %q, title %q", p.URL, p.Language, p.Title)
		}
		if p.Overflow > 0 {
			t.Errorf("%s is %d pixels wider than a window of 320", p.URL, p.Overflow)
		}
	}
	if !strings.Contains(seen.Approved, "完了") {
		t.Errorf("the plan that was approved on its page ended as %q", seen.Approved)
	}
	for kind, want := range map[string]string{"leaver": "すべての SaaS から外れました", "transfer": "に移しました", "fault": "アカウントはちょうど 1 件です"} {
		s := seen.Stories[kind]
		if !strings.Contains(s.Outcome, want) || !strings.Contains(s.State, "完了") || len(s.Lines) < 4 {
			t.Errorf("%s: %+v", kind, s)
		}
	}
}
