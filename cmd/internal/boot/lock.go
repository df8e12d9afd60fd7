package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// lockWork makes this process the one that works jobs here, until release or its end. On SQLite there is one per database; on
// PostgreSQL many nodes work together, but one per data folder: the folder holds the node's id, and a second process under the
// same id would take the first one's running jobs for those that a crash left behind, and do them again.
func lockWork(db *sqldb.DB, data string) (release func() error, err error) {
	if db.Engine() == sqldb.SQLite {
		return db.LockServing()
	}
	path := filepath.Join(data, "node-id.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, Usage(fmt.Errorf("data folder: %w", err))
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("%w from the data folder %s; stop it first, or give this one a folder of its own", identity.ErrLocked, data), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f.Close, nil // the kernel drops the lock with the file
}
