package sqldb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/musubi-hub/musubi/identity"
)

// LockServing makes this process the one hub that serves the SQLite file, until release or the end of the process. Where
// another serves it, the error wraps identity.ErrLocked and names that process. On PostgreSQL many nodes serve together, and
// it does nothing. The command line beside a serving hub doesn't call it.
func (d *DB) LockServing() (release func() error, err error) {
	if d.engine == PostgreSQL {
		return func() error { return nil }, nil
	}
	path := d.path + ".lock"
	f, err := lockFile(path)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %s serves %s; stop it first", identity.ErrLocked, lockHolder(path), d.path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := writePID(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// lockHolder names the process that the lock file tells of. The holder may be writing it just now.
func lockHolder(path string) string {
	f, err := os.Open(path) // #nosec G304 -- beside the database file
	if err != nil {
		return "another process"
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return "another process"
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}
