package sqldbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// The bounds of starting a server.
const (
	initTime  = 2 * time.Minute // initdb on a busy machine
	readyTime = time.Minute
)

// errNotInstalled says that there is no PostgreSQL to start; anything else that goes wrong is a failure.
var errNotInstalled = errors.New("not installed")

// server is a PostgreSQL of the test process's own. The shared one starts with the first test that wants it.
type server struct {
	start   sync.Once
	dir     string // also the folder of its socket
	data    string // its cluster; empty: in dir
	durable bool   // commits survive a crash of the server, at the price of speed
	err     error
	admin   *sqldb.DB
	// stdin is held open for the life of the process: when the process ends, the watchdog's cat ends and stops the server.
	stdin *os.File
	made  atomic.Int64
}

var shared server

// Start gives the URL of a fresh, empty PostgreSQL database, dropped when the test ends. Child processes may open it too.
func Start(tb testing.TB) string {
	tb.Helper()
	shared.need(tb)
	return shared.database(tb, "")
}

// need starts the server, or ends the test.
func (s *server) need(tb testing.TB) {
	tb.Helper()
	s.start.Do(func() { s.err = s.run() })
	if errors.Is(s.err, errNotInstalled) {
		missing(tb, s.err.Error())
	}
	if s.err != nil {
		tb.Fatalf("start the tests' PostgreSQL: %v", s.err)
	}
}

// database makes a database, which is dropped when the test ends, and gives its URL.
func (s *server) database(tb testing.TB, how string) string {
	tb.Helper()
	name := "t" + strconv.FormatInt(s.made.Add(1), 10)
	ctx := context.Background()
	if _, err := s.admin.Writer().ExecContext(ctx, "CREATE DATABASE "+name+how); err != nil {
		tb.Fatalf("make the test's database: %v", err)
	}
	tb.Cleanup(func() {
		if _, err := s.admin.Writer().ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return s.url(name)
}

func (s *server) url(database string) string {
	q := url.Values{"host": {s.dir}, "user": {"musubi"}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + q.Encode()
}

// watchdog runs the server, again whenever it ends, unless a file "down" forbids it. It stops the server when its own standard
// input ends, which the kernel sees to even after kill -9 of the test process. Then it removes the folder.
const watchdog = `dir=$1; data=$2; bin=$3; shift 3
(
	child=; ended=
	trap 'ended=1; kill -QUIT "$child" 2>/dev/null' TERM
	while [ -z "$ended" ]; do
		if [ ! -e "$dir/down" ]; then
			"$bin/postgres" -D "$data" "$@" </dev/null & child=$!
			wait "$child"
			[ -z "$ended" ] || wait "$child"
		fi
		sleep 0.05
	done
) & loop=$!
cat >/dev/null
kill -TERM "$loop"
wait "$loop"
cd /
rm -rf "$dir"`

func (s *server) run() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	attr, uid, gid, err := unprivileged()
	if err != nil {
		return err
	}
	// A socket's path has at most 107 bytes, so a long TMPDIR won't do.
	parent := os.TempDir()
	if len(parent) > 60 {
		parent = "/tmp"
	}
	if s.dir, err = os.MkdirTemp(parent, "musubi-pg-"); err != nil {
		return err
	}
	if uid >= 0 {
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return err
		}
	}
	if s.data == "" {
		s.data = filepath.Join(s.dir, "data")
	} else if uid >= 0 {
		if err := os.Chown(s.data, uid, gid); err != nil {
			return err
		}
	}
	if err := s.initialize(bin, attr); err != nil {
		return errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.launch(bin, attr); err != nil {
		return errors.Join(err, os.RemoveAll(s.dir))
	}
	return s.connect()
}

func (s *server) initialize(bin string, attr *syscall.SysProcAttr) error {
	ctx, cancel := context.WithTimeout(context.Background(), initTime)
	defer cancel()
	// #nosec G204 -- the binaries that this machine has installed
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--no-sync", "--auth=trust", "--username=musubi",
		"--encoding=UTF8", "--locale=C", "--wal-segsize=4", "--pgdata="+s.data)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *server) launch(bin string, attr *syscall.SysProcAttr) error {
	commit := "off"
	if s.durable {
		commit = "on"
	}
	args := []string{"-c", watchdog, "sh", s.dir, s.data, bin}
	for _, setting := range []string{
		"listen_addresses=", "unix_socket_directories=" + s.dir, "unix_socket_permissions=0777", "fsync=off",
		"synchronous_commit=" + commit, "full_page_writes=off", "max_connections=200", "shared_buffers=64MB",
		"max_wal_size=256MB", "log_min_messages=warning", "jit=off",
	} {
		args = append(args, "-c", setting)
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = read.Close() }()
	cmd := exec.Command("/bin/sh", args...) // #nosec G204 -- our own script
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = attr
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, log, log
	if err := cmd.Start(); err != nil {
		return errors.Join(err, write.Close())
	}
	s.stdin = write
	go func() { _ = cmd.Wait() }() // reaps the watchdog if it ends early; connect then says so from the log
	return nil
}

func (s *server) connect() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTime)
	defer cancel()
	for {
		db, err := sqldb.Open(ctx, s.url("postgres"), sqldb.Options{MaxWriters: 4, MaxReaders: 1})
		if err == nil {
			s.admin = db
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("%w\n%s", err, log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// binaries finds the folder of postgres and initdb: in PATH, or where Debian, Red Hat and Homebrew put the newest.
func binaries() (string, error) {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(p))
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.Reverse(found)
		dirs = append(dirs, found...)
	}
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "postgres")) && executable(filepath.Join(dir, "initdb")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("postgres and initdb are %w", errNotInstalled)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// unprivileged says how to run the server: as ourselves, or, because PostgreSQL refuses root, as the user postgres or nobody.
// The server gets a process group of its own, so that Ctrl-C reaches it only through its watchdog.
func unprivileged() (attr *syscall.SysProcAttr, uid, gid int, err error) {
	attr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return attr, -1, -1, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 31)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 31)
		if err := errors.Join(err1, err2); err != nil {
			return nil, 0, 0, fmt.Errorf("user %s: %w", name, err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr, int(uid), int(gid), nil
	}
	return nil, 0, 0, fmt.Errorf("a user to run PostgreSQL as (postgres or nobody, because we are root) is %w", errNotInstalled)
}
