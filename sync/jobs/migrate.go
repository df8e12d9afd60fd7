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
func Migrate(ctx context.Context, db *sqldb.DB) (err error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("jobs: migrate: %w", err)
	}
	if err := db.Migrate(ctx, sqldb.Migration{Owner: "jobs", FS: sub}); err != nil {
		return err
	}
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
	if err := checkNewer(ctx, drv.GetExecutor(), m.AllVersions()); err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("jobs: migrate: %w", err)
	}
	return nil
}

func checkNewer(ctx context.Context, exec riverdriver.Executor, known []rivermigrate.Migration) error {
	there, err := exec.TableExists(ctx, &riverdriver.TableExistsParams{Table: "river_migration"})
	if err != nil {
		return fmt.Errorf("jobs: migrate: %w", err)
	}
	if !there {
		return nil
	}
	applied, err := exec.MigrationGetByLine(ctx, &riverdriver.MigrationGetByLineParams{Line: riverdriver.MigrationLineMain})
	if err != nil {
		return fmt.Errorf("jobs: migrate: %w", err)
	}
	newest := known[len(known)-1].Version
	for _, a := range applied {
		if a.Version > newest {
			return fmt.Errorf("%w: River's tables are of version %d, this program knows up to %d; run the newer program",
				identity.ErrNewer, a.Version, newest)
		}
	}
	return nil
}
