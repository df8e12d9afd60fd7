package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/snapshot"
)

// RestoreOptions say what to bring back, and where.
type RestoreOptions struct {
	File   string
	Data   string                                   // an empty folder, or one that isn't there
	Config func(data string) (config.Loaded, error) // reads the configuration as if data were the data folder
	Log    *slog.Logger
}

// Restored is a backup that is in its place again.
type Restored struct {
	Manifest Manifest
	Config   config.Loaded
}

// stageName is the folder, below the data folder, where a backup is checked before anything of it counts.
const stageName = ".restoring"

// Restore checks the backup whole and brings it back. On an error before the last step nothing is left in the data folder; a
// PostgreSQL database into which loading failed must be made anew.
func Restore(ctx context.Context, o RestoreOptions) (r Restored, err error) {
	if err := emptyFolder(o.Data); err != nil {
		return r, err
	}
	stage := filepath.Join(o.Data, stageName)
	if err := os.MkdirAll(stage, 0o700); err != nil {
		return r, fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()

	if r.Manifest, err = unpack(o.File, stage); err != nil {
		return r, fmt.Errorf("restore: %w", err)
	}
	staged := filepath.Join(stage, dataDir)
	if err := os.MkdirAll(staged, 0o700); err != nil {
		return r, err
	}
	if r.Config, err = o.Config(staged); err != nil {
		return r, err
	}
	place := restoreSQLite
	if r.Manifest.Database.Engine == sqldb.PostgreSQL {
		place = restorePostgres
	}
	if err := place(ctx, o, r, filepath.Join(stage, databaseDir)); err != nil {
		return r, fmt.Errorf("restore: %w", err)
	}
	entries, err := os.ReadDir(staged)
	if err != nil {
		return r, err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(staged, e.Name()), filepath.Join(o.Data, e.Name())); err != nil {
			return r, fmt.Errorf("restore: %w", err)
		}
	}
	if r.Config, err = o.Config(o.Data); err != nil {
		return r, err
	}
	return r, syncDir(o.Data)
}

func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return boot.Usage(fmt.Errorf("restore: %w", err))
	case len(entries) > 0:
		return boot.Refused(fmt.Errorf("restore: the folder %s isn't empty: name an empty one with --data; nothing is ever overwritten", dir))
	}
	return nil
}

// otherEngine refuses to bring a copy of one engine into the other.
func otherEngine(r Restored, file string) error {
	want := r.Manifest.Database.Engine
	if strings.HasPrefix(r.Config.Database, "sqlite:") == (want == sqldb.SQLite) {
		return nil
	}
	return boot.Refused(fmt.Errorf("%s is a copy of %s, and the configuration names another kind of database: name one with --database", file, want))
}

func restoreSQLite(ctx context.Context, o RestoreOptions, r Restored, dir string) error {
	if err := otherEngine(r, o.File); err != nil {
		return err
	}
	if err := snapshot.Check(ctx, dir, r.Manifest.Database); err != nil {
		return err
	}
	// The configuration was read with the staging folder as data folder: what it says below that belongs below the real one.
	path := strings.TrimPrefix(r.Config.Database, "sqlite:")
	if name, ok := relative(filepath.Join(o.Data, stageName, dataDir), path); ok {
		path = filepath.Join(o.Data, filepath.FromSlash(strings.TrimPrefix(name, dataDir+"/")))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	from := filepath.Join(dir, snapshot.SQLiteFile)
	if err := os.Link(from, path); err == nil || !errors.Is(err, os.ErrExist) {
		if err == nil {
			return nil
		}
		return copyNew(from, path) // another file system
	}
	return boot.Refused(fmt.Errorf("the database file %s exists: nothing is ever overwritten; name another with --database", path))
}

func copyNew(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return boot.Refused(fmt.Errorf("the database file %s exists: nothing is ever overwritten; name another with --database", to))
	}
	if err := copyFile(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func restorePostgres(ctx context.Context, o RestoreOptions, r Restored, dir string) (err error) {
	if err := otherEngine(r, o.File); err != nil {
		return err
	}
	db, err := boot.OpenDatabase(ctx, r.Config.Config, sqldb.Options{Logger: o.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	empty, err := snapshot.Empty(ctx, db)
	if err != nil {
		return err
	}
	if !empty {
		return boot.Refused(errors.New("the PostgreSQL database isn't empty: make a new one (createdb) and name it with --database; nothing is ever overwritten"))
	}
	if err := boot.MigrateTo(ctx, db, r.Manifest.Versions); err != nil {
		return err
	}
	if err := snapshot.Load(ctx, db, dir, r.Manifest.Database); err != nil {
		return fmt.Errorf("%w\nThe database is half made: drop it, make a new one and try again", err)
	}
	return nil
}
