//go:build interop

package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// peerTimeout bounds how long a script may take to start or to finish, on a slow machine under load.
const peerTimeout = 5 * time.Minute

// unlimited is a Quota without a limit: these tests are about the protocol.
type unlimited struct{}

func (unlimited) Reserve(context.Context, connectors.Class, int) error { return nil }

// startPeer starts a node script that prints one line of JSON when it is ready, and reads that line into ready. The script ends
// when the test does, or when this process dies: it watches its standard input.
func startPeer(t *testing.T, script string, environment []string, ready any) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, "node", script)
	command.Env = append(os.Environ(), environment...)
	var stderr lockedBuffer
	command.Stderr = &stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cancel()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", script, stderr.String())
		}
	})
	line := make(chan []byte, 1)
	go func() {
		scanner := bufio.NewScanner(stdout)
		scanner.Scan()
		line <- bytes.Clone(scanner.Bytes())
	}()
	select {
	case first := <-line:
		if err := json.Unmarshal(first, ready); err != nil {
			t.Fatalf("%s printed %q instead of its address: %v\n%s", script, first, err, stderr.String())
		}
	case <-time.After(peerTimeout):
		t.Fatalf("%s didn't start within %v\n%s", script, peerTimeout, stderr.String())
	}
}

// runScript runs a node script to its end and reads the line of JSON that it prints into result. It gives the exit code.
func runScript(t *testing.T, environment []string, result any, script string, arguments ...string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), peerTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, "node", append([]string{script}, arguments...)...)
	command.Env = append(os.Environ(), environment...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", script, err)
	}
	if err := json.Unmarshal(out, result); err != nil {
		t.Fatalf("%s printed %q: %v\n%s", script, out, err, stderr.String())
	}
	return command.ProcessState.ExitCode()
}

// lossy is a transport that loses answers: the request reaches the server and is carried out, and the caller sees a broken
// connection.
type lossy struct {
	mu   sync.Mutex
	lose func(*http.Request) bool // nil: nothing is lost
	lost int
}

// loseNext lets the answer of the next request with this method get lost.
func (l *lossy) loseNext(method string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = func(r *http.Request) bool { return r.Method == method }
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.lose == nil || !l.lose(r) {
		return answer, err
	}
	l.lose = nil
	l.lost++
	answer.Body.Close()
	return nil, errors.New("connection reset by peer")
}

// lockedBuffer may be written by a process while a test reads it.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
