package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/musubi-hub/musubi/identity"
)

// Migration is one owner's schema: goose files NNNNN_name.sql at the root of FS, in SQL that both engines take. The versions
// applied are kept in the table goose_OWNER, so that owners don't know of each other.
type Migration struct {
	Owner string
	FS    fs.FS
}

var owner = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// migrateLock is the key of the PostgreSQL advisory lock under which migrations run: "musubi" in ASCII.
const migrateLock = 0x6d7573756269

// migrateWait is the longest wait for another process that migrates.
const migrateWait = 30 * time.Second

// Migrate brings every owner's tables to the version that this program knows, in the order given, under a lock that other
// processes respect. Where any owner's tables are newer, nothing at all is changed and the error wraps identity.ErrNewer.
func (d *DB) Migrate(ctx context.Context, ms ...Migration) (err error) {
	return d.migrate(ctx, nil, ms)
}

// MigrateTo is Migrate up to the versions given, for rows that were written at them; an owner that isn't named keeps its version.
// identity.ErrNewer: a version is one that this program doesn't know.
func (d *DB) MigrateTo(ctx context.Context, versions map[string]int64, ms ...Migration) error {
	if versions == nil {
		versions = map[string]int64{}
	}
	return d.migrate(ctx, versions, ms)
}

// Versions tells of each owner's tables which version they have and which this program knows. It changes nothing.
func (d *DB) Versions(ctx context.Context, ms ...Migration) (current, known map[string]int64, err error) {
	current, known = map[string]int64{}, map[string]int64{}
	for _, m := range ms {
		p, err := d.provider(m)
		if err != nil {
			return nil, nil, fmt.Errorf("versions of %q: %w", m.Owner, err)
		}
		for _, s := range p.ListSources() {
			known[m.Owner] = max(known[m.Owner], s.Version)
		}
		there, err := d.hasTable(ctx, "goose_"+m.Owner)
		if err != nil {
			return nil, nil, fmt.Errorf("versions of %q: %w", m.Owner, err)
		}
		if !there {
			current[m.Owner] = 0
			continue
		}
		if current[m.Owner], err = p.GetDBVersion(ctx); err != nil {
			return nil, nil, fmt.Errorf("versions of %q: %w", m.Owner, err)
		}
	}
	return current, known, nil
}

func (d *DB) hasTable(ctx context.Context, name string) (bool, error) {
	q := "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1"
	if d.engine == PostgreSQL {
		q = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1"
	}
	var n int
	err := d.reader.QueryRowContext(ctx, q, name).Scan(&n)
	return n > 0, err
}

// migrate brings the owners to the versions named, or with nil all to the newest.
func (d *DB) migrate(ctx context.Context, versions map[string]int64, ms []Migration) (err error) {
	unlock, err := d.LockMigrations(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()

	providers := make([]*goose.Provider, len(ms))
	for i, m := range ms {
		if providers[i], err = d.provider(m); err != nil {
			return fmt.Errorf("migrate %q: %w", m.Owner, err)
		}
		current, known, err := providers[i].GetVersions(ctx)
		if err != nil {
			return fmt.Errorf("migrate %q: %w", m.Owner, err)
		}
		if current = max(current, versions[m.Owner]); current > known {
			return fmt.Errorf("%w: the tables of %q are of version %d, this program knows up to %d; run the newer program",
				identity.ErrNewer, m.Owner, current, known)
		}
	}
	for i, p := range providers {
		results, err := up(ctx, p, versions, ms[i].Owner)
		if err != nil {
			return fmt.Errorf("migrate %q: %w", ms[i].Owner, err)
		}
		for _, r := range results {
			d.opt.Logger.InfoContext(ctx, "migrated", "owner", ms[i].Owner, "version", r.Source.Version, "took", r.Duration)
		}
	}
	return nil
}

func up(ctx context.Context, p *goose.Provider, versions map[string]int64, owner string) ([]*goose.MigrationResult, error) {
	version, named := versions[owner]
	switch {
	case versions == nil:
		return p.Up(ctx)
	case !named || version == 0:
		return nil, nil
	}
	return p.UpTo(ctx, version)
}

func (d *DB) provider(m Migration) (*goose.Provider, error) {
	if !owner.MatchString(m.Owner) {
		return nil, errors.New("an owner's name has lower-case letters, digits and _ only")
	}
	dialect := goose.DialectSQLite3
	if d.engine == PostgreSQL {
		dialect = goose.DialectPostgres
	}
	store, err := database.NewStore(dialect, "goose_"+m.Owner)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider("", d.writer, m.FS,
		goose.WithStore(store), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

// LockMigrations keeps other processes from changing the schema until unlock. Migrate takes it itself; it is for schemas that a
// library migrates on its own.
func (d *DB) LockMigrations(ctx context.Context) (unlock func() error, err error) {
	if d.engine == SQLite {
		return lockFileWait(ctx, d.path+".migrate.lock", migrateWait)
	}
	conn, err := d.writer.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrateLock)); err != nil {
		return nil, errors.Join(fmt.Errorf("another process migrates this database: %w", err), conn.Close())
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrateLock))
		return errors.Join(err, conn.Close())
	}, nil
}

// lockFileWait takes an exclusive flock on path, trying until wait is over.
func lockFileWait(ctx context.Context, path string, wait time.Duration) (unlock func() error, err error) {
	deadline := time.Now().Add(wait)
	for {
		f, err := lockFile(path)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another process holds %s for more than %s", path, wait)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lockFile opens path and takes an exclusive flock without waiting. The kernel drops it when the process ends, however it
// ends; the file itself stays, because removing it would let two processes lock two files of one name.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- beside the database file
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
