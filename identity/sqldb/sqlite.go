package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"modernc.org/sqlite"
)

// SQLite's primary result codes that callers are told about. https://www.sqlite.org/rescode.html
const (
	sqliteBusy             = 5
	sqliteNotADB           = 26
	sqliteConstraintPK     = 1555
	sqliteConstraintUnique = 2067
)

// walLimit bounds the write-ahead log file after a checkpoint, in bytes.
const walLimit = 64 << 20

func openSQLite(ctx context.Context, path string, opt Options) (*DB, error) {
	if path == "" {
		return nil, ErrURL
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database file %s: %w", path, err)
	}
	if opt.ReadOnly {
		return openSQLiteCopy(ctx, abs, opt)
	}
	if err := makeFile(abs); err != nil {
		return nil, err
	}
	d := &DB{engine: SQLite, path: abs, opt: opt}
	d.group.db = d
	writer, err := sqlite.NewConnector(sqliteDSN(abs, opt, false))
	if err != nil {
		return nil, fmt.Errorf("database file %s: %w", abs, err)
	}
	reader, err := sqlite.NewConnector(sqliteDSN(abs, opt, true))
	if err != nil {
		return nil, fmt.Errorf("database file %s: %w", abs, err)
	}
	d.writer = sql.OpenDB(stmtCache{writer, opt.BusyTimeout})
	d.writer.SetMaxOpenConns(1)
	d.writer.SetMaxIdleConns(1)
	// The writer goes first: it turns the file to WAL, so that the readers find it so and never have to.
	if err := d.writer.PingContext(ctx); err != nil {
		return nil, errors.Join(explainSQLite(abs, opt, err), d.writer.Close())
	}
	d.reader = sql.OpenDB(stmtCache{reader, 0})
	d.reader.SetMaxOpenConns(opt.MaxReaders)
	d.reader.SetMaxIdleConns(opt.MaxReaders)
	return d, nil
}

// openSQLiteCopy opens a file that must be there, for reading alone. SQLite itself may make -shm and -wal files beside it while
// it is open, as for every reader of a file in WAL mode.
func openSQLiteCopy(ctx context.Context, path string, opt Options) (*DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("database file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return nil, fmt.Errorf("database file %s: it is empty or not a regular file", path)
	}
	reader, err := sqlite.NewConnector(sqliteDSN(path, opt, true))
	if err != nil {
		return nil, fmt.Errorf("database file %s: %w", path, err)
	}
	d := &DB{engine: SQLite, path: path, opt: opt, reader: sql.OpenDB(stmtCache{reader, 0})}
	d.writer, d.group.db = d.reader, d
	d.reader.SetMaxOpenConns(opt.MaxReaders)
	d.reader.SetMaxIdleConns(opt.MaxReaders)
	var schema int
	if err := d.reader.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&schema); err != nil {
		return nil, errors.Join(explainSQLite(path, opt, err), d.Close())
	}
	return d, nil
}

// makeFile makes the file before SQLite does: SQLite would give it the umask's mode, and its -wal and -shm files take the
// mode of the main file.
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("database file %s: can't make its folder: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the administrator's own choice of file
	if err != nil {
		return fmt.Errorf("database file %s: %w", path, err)
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("database file %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("database file %s: not a regular file", path)
	}
	return nil
}

func sqliteDSN(path string, opt Options, readOnly bool) string {
	q := url.Values{}
	q.Set("_busy_timeout", strconv.FormatInt(opt.BusyTimeout.Milliseconds(), 10))
	q.Set("_defensive", "1")
	q.Set("_time_format", "sqlite") // for River's columns: the hub's own times are integers
	q.Add("_pragma", "foreign_keys(1)")
	q.Add("_pragma", "temp_store(2)")
	q.Add("_pragma", "cache_size(-16384)")
	if opt.ReadOnly {
		q.Set("mode", "ro")
	}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Set("_txlock", "immediate")
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", "FULL")
		if opt.Unsynced {
			q.Set("_synchronous", "OFF")
		}
		q.Add("_pragma", fmt.Sprintf("journal_size_limit(%d)", walLimit))
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// explainSQLite turns what SQLite says at open into what the administrator can act on.
func explainSQLite(path string, opt Options, err error) error {
	switch code := sqliteCode(err); code & 0xff {
	case sqliteNotADB:
		return fmt.Errorf("database file %s: it is no SQLite database; name another file or restore it from a backup", path)
	case sqliteBusy:
		return fmt.Errorf("database file %s: another process held it for more than %s; try again: %w", path, opt.BusyTimeout, err)
	}
	return fmt.Errorf("database file %s: %w", path, err)
}

func sqliteCode(err error) int {
	var se *sqlite.Error
	if errors.As(err, &se) {
		return se.Code()
	}
	return 0
}
