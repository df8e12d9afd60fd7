package sqldbtest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Server is a PostgreSQL that one test has for itself, to crash it and to fill its disk.
type Server struct{ s *server }

// Own starts a server for this test alone. Its commits survive Crash. data is an empty folder for its cluster, about 40 MB, or
// empty for one of its own. Like systemd it starts the server again when that ends by itself.
func Own(tb testing.TB, data string) *Server {
	tb.Helper()
	o := &Server{&server{data: data, durable: true}}
	err := o.s.run()
	if errors.Is(err, errNotInstalled) {
		missing(tb, err.Error())
	}
	if err != nil {
		tb.Fatalf("start the test's own PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(o.s.admin.Close(), o.s.stdin.Close()); err != nil {
			tb.Errorf("stop the test's own PostgreSQL: %v", err)
		}
		o.wait(tb, "its folder is removed", func() bool {
			_, err := os.Stat(o.s.dir)
			return errors.Is(err, fs.ErrNotExist)
		})
	})
	return o
}

// URL is the URL of the server's only database, which is empty at first.
func (o *Server) URL() string { return o.s.url("postgres") }

// Crash ends the server at once, as a kill would: no client is told, what wasn't committed is lost. It stays down until Up.
func (o *Server) Crash(tb testing.TB) {
	tb.Helper()
	if err := os.WriteFile(o.down(), nil, 0o600); err != nil {
		tb.Fatal(err)
	}
	pidFile := filepath.Join(o.s.data, "postmaster.pid")
	text, err := os.ReadFile(pidFile) // #nosec G304 -- of the server that we started
	if err != nil {
		tb.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		tb.Fatalf("%s: %v", pidFile, err)
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		tb.Fatal(err)
	}
	o.wait(tb, "the server has ended", func() bool {
		_, err := os.Stat(pidFile)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// Up lets the server start again and waits until it takes connections.
func (o *Server) Up(tb testing.TB) {
	tb.Helper()
	if err := os.Remove(o.down()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
	o.wait(tb, "the server takes connections", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		db, err := sqldb.Open(ctx, o.URL(), sqldb.Options{MaxWriters: 1, MaxReaders: 1})
		return err == nil && db.Close() == nil
	})
}

func (o *Server) down() string { return filepath.Join(o.s.dir, "down") }

func (o *Server) wait(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(readyTime); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %s: %s", readyTime, what)
		}
	}
}
