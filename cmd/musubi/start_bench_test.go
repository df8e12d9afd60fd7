package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The bounds that `serve` is held to.
const (
	readyBound = time.Second
	idleBound  = 100.0 // MB
)

// BenchmarkServe starts the hub as a process of its own on a SQLite folder and measures the time until /readyz says so, and the
// memory that the process holds two seconds later.
func BenchmarkServe(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	program := func(args ...string) *exec.Cmd {
		cmd := exec.Command(self, append(args, "--data", dir)...)
		cmd.Env = append(os.Environ(), childFlag+"=1")
		if _, err := cmd.StdinPipe(); err != nil { // held open: the child ends with us
			b.Fatal(err)
		}
		return cmd
	}
	if err := program("init", "--agency", "8000012010038", "--name", "デジタル庁", "--email", "a@digital.example.go.jp", "--email", "b@digital.example.go.jp").Run(); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Timeout: time.Second}
	var took time.Duration
	var memory float64
	for b.Loop() {
		l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		address := l.Addr().String()
		_ = l.Close()
		hub := program("serve", "--listen", address)
		began := time.Now()
		if err := hub.Start(); err != nil {
			b.Fatal(err)
		}
		for {
			resp, err := client.Get("http://" + address + "/readyz")
			if err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					break
				}
			}
			if time.Since(began) > 30*time.Second {
				b.Fatal("never ready")
			}
			time.Sleep(2 * time.Millisecond)
		}
		took = max(took, time.Since(began))
		time.Sleep(2 * time.Second)
		memory = max(memory, resident(b, hub.Process.Pid))
		_ = hub.Process.Signal(os.Interrupt)
		if err := hub.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(took.Milliseconds()), "ms-to-ready")
	b.ReportMetric(float64(took)/float64(readyBound), "of-1s-bound")
	b.ReportMetric(memory, "idle-MB")
	b.ReportMetric(memory/idleBound, "of-100MB-bound")
}

// resident is the process's memory in MB, as Linux counts it.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		b.Skip("only Linux tells a process's memory in /proc")
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1000
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
