package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// What an administrator may expect of a hub that has nothing to do.
const (
	startLimit = time.Second
	idleLimit  = 100 << 20 // bytes
	idleAfter  = 3 * time.Second
)

// BenchmarkServe starts the program as it is shipped: the time from its start to ready, and the memory it holds when it has been
// idle for three seconds. x/limit says how many times faster or smaller than the limit it is.
func BenchmarkServe(b *testing.B) {
	bin := buildMusubi(b)
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			url := sqldbtest.SQLiteURL(b)
			if engine == "postgres" {
				url = sqldbtest.Start(b)
			}
			data := b.TempDir()
			args := []string{"--data", data, "--database", url}
			init := exec.Command(bin, append([]string{
				"init", "--agency", "8000012010038", "--name", "デジタル庁",
				"--email", "taro@digital.example.go.jp", "--email", "hanako@digital.example.go.jp",
			}, args...)...) // #nosec G204 -- the program under test
			if out, err := init.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			var slowest time.Duration
			var idle int64
			b.ResetTimer()
			for i := range b.N {
				took, memory := serveOnce(b, bin, args, i == 0)
				slowest = max(slowest, took)
				idle = max(idle, memory)
			}
			b.ReportMetric(0, "ns/op") // it holds the waiting too
			b.ReportMetric(float64(slowest.Milliseconds()), "ms-to-ready")
			b.ReportMetric(startLimit.Seconds()/slowest.Seconds(), "x/start-limit")
			b.ReportMetric(float64(idle)/(1<<20), "MB-idle")
			b.ReportMetric(float64(idleLimit)/float64(idle), "x/memory-limit")
		})
	}
}

// serveOnce starts the hub, waits until it is ready, and stops it; before that, if wanted, it lets it idle and looks at its memory.
func serveOnce(b *testing.B, bin string, args []string, look bool) (took time.Duration, memory int64) {
	b.Helper()
	hub := exec.Command(bin, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...) // #nosec G204 -- the program under test
	stderr, err := hub.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := hub.Start(); err != nil {
		b.Fatal(err)
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = hub.Process.Kill() })
	defer kill.Stop()
	// It says where it serves when its jobs run, which is after its probes answer.
	address, said := "", ""
	lines := bufio.NewScanner(stderr)
	for address == "" && lines.Scan() {
		said += lines.Text() + "\n"
		if _, rest, ok := strings.Cut(lines.Text(), "serving on http://"); ok {
			address, _, _ = strings.Cut(rest, " ")
		}
	}
	if address == "" || !ready(address) {
		b.Fatalf("not ready on %q:\n%s", address, said)
	}
	took = time.Since(began)
	if look {
		time.Sleep(idleAfter)
		if memory, err = resident(hub.Process.Pid); err != nil {
			b.Error(err)
		}
	}
	if err := hub.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	for lines.Scan() {
		said += lines.Text() + "\n"
	}
	if err := hub.Wait(); err != nil {
		b.Fatalf("stop: %v\n%s", err, said)
	}
	return took, memory
}

func ready(address string) bool {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + address + "/readyz")
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// resident gives a process's resident memory in bytes. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}
