package jobs

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings River's tables and the key table to the version that this program knows. identity.ErrNewer: the database is
// ahead of it.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	if err := db.Migrate(ctx, ownTables()); err != nil {
		return err
	}
	return migrateRiver(ctx, db, 0)
}

// riverOwner is what River's tables are called among the versions.
const riverOwner = "river"

// MigrateTo is Migrate up to the versions given, as Versions told them, for rows that were written at them.
func MigrateTo(ctx context.Context, db *sqldb.DB, versions map[string]int64) error {
	if err := db.MigrateTo(ctx, versions, ownTables()); err != nil {
		return err
	}
	if versions[riverOwner] == 0 {
		return nil
	}
	return migrateRiver(ctx, db, int(versions[riverOwner]))
}

// Versions tells which versions the tables have, and which this program knows. It changes nothing.
func Versions(ctx context.Context, db *sqldb.DB) (current, known map[string]int64, err error) {
	if current, known, err = db.Versions(ctx, ownTables()); err != nil {
		return nil, nil, err
	}
	drv := driver(db, db.Writer())
	m, err := rivermigrate.New(drv, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, fmt.Errorf("jobs: versions: %w", err)
	}
	all := m.AllVersions()
	there, err := riverVersion(ctx, drv.GetExecutor())
	if err != nil {
		return nil, nil, fmt.Errorf("jobs: versions: %w", err)
	}
	known[riverOwner], current[riverOwner] = int64(all[len(all)-1].Version), int64(there)
	return current, known, nil
}

// VersionTable is where River keeps its version. It is made by Migrate, never copied.
const VersionTable = "river_migration"

func ownTables() sqldb.Migration {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic("jobs: " + err.Error()) // the folder is embedded
	}
	return sqldb.Migration{Owner: "jobs", FS: sub}
}

// migrateRiver brings River's tables to the version; 0: the newest.
func migrateRiver(ctx context.Context, db *sqldb.DB, version int) (err error) {
	unlock, err := db.LockMigrations(ctx)
	if err != nil {
		return fmt.Errorf("jobs: migrate: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()

	drv := driver(db, db.Writer())
	m, err := rivermigrate.New(drv, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("jobs: migrate: %w", err)
	}
	there, err := riverVersion(ctx, drv.GetExecutor())
	if err != nil {
		return fmt.Errorf("jobs: migrate: %w", err)
	}
	all := m.AllVersions()
	if newest := all[len(all)-1].Version; max(there, version) > newest {
		return fmt.Errorf("%w: River's tables are of version %d, this program knows up to %d; run the newer program",
			identity.ErrNewer, max(there, version), newest)
	}
	if version != 0 && version <= there {
		return nil
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: version}); err != nil {
		return fmt.Errorf("jobs: migrate: %w", err)
	}
	return nil
}

// riverVersion tells the version of River's tables, 0 where there are none, also one that this program doesn't know. A migration has
// a line since version 5 only; below it, where a kill in the middle of the first migration leaves the tables, there is but the main line.
func riverVersion(ctx context.Context, exec riverdriver.Executor) (int, error) {
	there, err := exec.TableExists(ctx, &riverdriver.TableExistsParams{Table: VersionTable})
	if err != nil || !there {
		return 0, err
	}
	lines, err := exec.ColumnExists(ctx, &riverdriver.ColumnExistsParams{Table: VersionTable, Column: "line"})
	if err != nil {
		return 0, err
	}
	var applied []*riverdriver.Migration
	if lines {
		applied, err = exec.MigrationGetByLine(ctx, &riverdriver.MigrationGetByLineParams{Line: riverdriver.MigrationLineMain})
	} else {
		applied, err = exec.MigrationGetAllAssumingMain(ctx, &riverdriver.MigrationGetAllAssumingMainParams{})
	}
	if err != nil {
		return 0, err
	}
	version := 0
	for _, a := range applied {
		version = max(version, a.Version)
	}
	return version, nil
}
