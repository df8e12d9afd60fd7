package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Engine is the kind of database.
type Engine string

// The engines.
const (
	SQLite     Engine = "sqlite"
	PostgreSQL Engine = "postgres"
)

// ErrUnreachable is wrapped by Open where the database can't be reached or refuses the credential.
var ErrUnreachable = errors.New("the database can't be reached")

// ErrClosed is returned by Group after Close.
var ErrClosed = errors.New("sqldb: the database is closed")

// Options tune an open database. The zero value is right for a serving hub.
type Options struct {
	Application      string        // application_name on PostgreSQL; "musubi" where empty
	MaxReaders       int           // connections for reading; 0 = 4 on SQLite, 12 on PostgreSQL
	MaxWriters       int           // connections for writing on PostgreSQL; 0 = 12; SQLite has always one
	BusyTimeout      time.Duration // how long a SQLite write waits for another process; 0 = 10 s
	StatementTimeout time.Duration // longest statement on PostgreSQL; 0 = 30 s
	ConnectTimeout   time.Duration // longest wait for PostgreSQL to answer at all; 0 = 10 s
	Unsynced         bool          // SQLite: don't wait for the disk at commit. Survives kill -9 but not a power cut: for tests
	ReadOnly         bool          // change nothing, not even make a missing file: for looking at a copy. Writer and Migrate fail
	Logger           *slog.Logger  // nil: silent
}

func (o Options) withDefaults(e Engine) Options {
	if o.Application == "" {
		o.Application = "musubi"
	}
	if o.MaxReaders <= 0 {
		o.MaxReaders = 12
		if e == SQLite {
			o.MaxReaders = 4
		}
	}
	if o.MaxWriters <= 0 {
		o.MaxWriters = 12
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 10 * time.Second
	}
	if o.StatementTimeout <= 0 {
		o.StatementTimeout = 30 * time.Second
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// DB is one open database. It is safe for concurrent use.
type DB struct {
	engine Engine
	path   string // SQLite file; empty on PostgreSQL
	opt    Options
	writer *sql.DB
	reader *sql.DB
	group  group

	closeOnce sync.Once
	closeErr  error
}

// Open opens "sqlite:PATH" or "postgres://USER:PASSWORD@HOST:PORT/DATABASE" and checks that it answers. It makes the SQLite
// file (0600) and its folder (0700) where they are missing; it migrates nothing. A PostgreSQL password may come from the
// PGPASSWORD variable or a passfile instead of the URL, as libpq does it. No error of Open shows a password.
func Open(ctx context.Context, url string, opt Options) (*DB, error) {
	scheme, rest, ok := strings.Cut(url, ":")
	if !ok {
		return nil, ErrURL
	}
	var (
		d   *DB
		err error
	)
	switch scheme {
	case "sqlite":
		d, err = openSQLite(ctx, rest, opt.withDefaults(SQLite))
	case "postgres", "postgresql":
		d, err = openPostgres(ctx, url, opt.withDefaults(PostgreSQL))
	default:
		return nil, ErrURL
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// ErrURL is wrapped by Open where the URL can't be read. It never quotes the URL: it may hold a password in a place where one isn't expected.
var ErrURL = errors.New(`database URL: want "sqlite:PATH" or "postgres://USER:PASSWORD@HOST:PORT/DATABASE"`)

// Engine tells which engine runs.
func (d *DB) Engine() Engine { return d.engine }

// Path is the SQLite file's absolute path; empty on PostgreSQL.
func (d *DB) Path() string { return d.path }

// Writer is the pool for writing. On SQLite it has exactly one connection: hold it briefly.
func (d *DB) Writer() *sql.DB { return d.writer }

// Reader is the pool for reading. Its connections refuse to write.
func (d *DB) Reader() *sql.DB { return d.reader }

// Ping checks that the database still answers, for readiness.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	if err := d.reader.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}

// Close refuses new Group calls, lets the queued ones commit, and closes both pools. Closing twice is harmless.
func (d *DB) Close() error {
	d.closeOnce.Do(func() {
		d.group.drain()
		d.closeErr = d.reader.Close()
		if d.writer != d.reader {
			d.closeErr = errors.Join(d.closeErr, d.writer.Close())
		}
	})
	return d.closeErr
}
