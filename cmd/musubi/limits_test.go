package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// served opens the hub's listener with its real limits before a small handler.
func served(t *testing.T) string {
	t.Helper()
	f, err := serveHTTP(t.Context(), "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here")
	}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f.address
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// closedAfter tells how long it takes until the server hangs up.
func closedAfter(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	_ = c.SetReadDeadline(began.Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, c); err != nil && time.Since(began) > 19*time.Second {
		t.Errorf("the server never hangs up: %v", err)
	}
	return time.Since(began)
}

func TestSlowHeaderIsCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a time-out of 5 s")
	}
	t.Parallel()
	c := dial(t, served(t))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if took := closedAfter(t, c); took < 4*time.Second || took > 10*time.Second {
		t.Errorf("a header that never ends was cut off after %s, want about 5 s", took)
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	c := dial(t, served(t))
	go func() {
		_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Big: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	}()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("%q, %v, want 431", line, err)
	}
}

// Whoever opens connections and says nothing can fill the hub's places, but doesn't keep them.
func TestManyConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a time-out of 5 s")
	}
	t.Parallel()
	address := served(t)
	for range maxConnections + 50 {
		dial(t, address)
	}
	client := &http.Client{Timeout: 20 * time.Second}
	began := time.Now()
	resp, err := client.Get("http://" + address)
	if err != nil {
		t.Fatalf("nobody gets through: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "here" {
		t.Errorf("%q, %v", body, err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("answered after %s: the bound on connections isn't in force", took)
	}
}
