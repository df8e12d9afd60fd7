//go:build interop

package interop_test

import (
	"bufio"
	"bytes"
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

// A newcomer's first minutes after `make run`: the page opens, the three things to try happen within seconds, every page is accessible,
// fits a narrow window, fetches nothing from elsewhere and keeps its own Content-Security-Policy.
func TestDemonstrationInChromium(t *testing.T) {
	needChromium(t)
	binary, data := buildMusubi(t), filepath.Join(t.TempDir(), "demo")
	demo := exec.CommandContext(t.Context(), binary, "demo", "--headless", "--data", data, "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0", "--hold", "20m")
	stderr, err := demo.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	var said lockedBuffer
	address := make(chan string, 1)
	go func() {
		lines, found := bufio.NewScanner(stderr), ""
		hub := regexp.MustCompile(`hub (http://[0-9.:]+)`)
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
	var base string
	select {
	case base = <-address:
	case <-time.After(peerTimeout):
		t.Fatal("the demonstration's main job never ended")
	}
	// Somebody new in the operating agency: such a plan waits for a person, however small.
	credential := filepath.Join(data, "credentials", "planner.cred")
	add := exec.CommandContext(t.Context(), binary, "people", "add", "--org", "8000012010038", "--staff-number", "demo-3", "--family-name", "例示", "--given-name", "三郎",
		"--email", "saburo@digital.example.go.jp", "--role", "general", "--data", data, "--as", credential)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("musubi people add: %v\n%s", err, out)
	}
	waits := func() bool {
		list := exec.CommandContext(t.Context(), binary, "plan", "--list", "--json", "--data", data, "--as", credential)
		out, err := list.Output()
		return err == nil && strings.Contains(string(out), `"state":"made"`)
	}
	for deadline := time.Now().Add(peerTimeout); !waits(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the hub never made a plan of the change by itself")
		}
	}
	open := exec.CommandContext(t.Context(), binary, "open", "--data", data, "--as", credential)
	out, err := open.Output()
	if err != nil {
		t.Fatalf("musubi open: %v", err)
	}
	ticket := regexp.MustCompile(`/open/[A-Za-z0-9_-]+`).FindString(string(out))
	arguments := []string{base + ticket}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		arguments = append(arguments, folder)
	}
	var seen tour
	if code := runScript(t, nil, &seen, "tour.mjs", arguments...); code != 0 {
		t.Fatalf("tour.mjs ended with %d", code)
	}
	if len(seen.Pages) < 17 {
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
