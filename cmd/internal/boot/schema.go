package boot

import (
	"context"
	"fmt"
	"maps"

	"github.com/musubi-hub/musubi/cmd/musubi/console"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/entrance"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/notice"
	"github.com/musubi-hub/musubi/sync/provision"
	"github.com/musubi-hub/musubi/sync/quota"
)

// owners are all who have tables, but for the jobs, whose library has a way of its own.
func owners(e sqldb.Engine) []sqldb.Migration {
	return []sqldb.Migration{
		sqldb.Tables(), keys.Migration(), directory.Migration(), audit.Migration(e), access.Migration(), quota.Migration(), provision.Migration(), breaker.Migration(), console.Migration(),
		login.Migration(), session.Migration(), password.Migration(), invitation.Migration(), ppid.Migration(), party.Migration(), oidcop.Migration(), mynumber.Migration(), notice.Migration(),
		sp.Migration(), samlidp.Migration(), entrance.Migration(), // the last takes in what the registries hold
	}
}

// Migrate brings every table to the version that this program knows.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	if err := db.Migrate(ctx, owners(db.Engine())...); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := jobs.Migrate(ctx, db); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// MigrateTo makes the tables as they were at the versions given, for rows of that time.
func MigrateTo(ctx context.Context, db *sqldb.DB, versions map[string]int64) error {
	_, known, err := Versions(ctx, db)
	if err != nil {
		return err
	}
	for owner, v := range versions {
		if n, ok := known[owner]; !ok || v > n {
			return fmt.Errorf("%w: the tables of %q are of version %d, this program knows up to %d; run the newer program", identity.ErrNewer, owner, v, n)
		}
	}
	if err := db.MigrateTo(ctx, versions, owners(db.Engine())...); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := jobs.MigrateTo(ctx, db, versions); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// Versions tells every owner's version in the database, and the one that this program knows.
func Versions(ctx context.Context, db *sqldb.DB) (current, known map[string]int64, err error) {
	if current, known, err = db.Versions(ctx, owners(db.Engine())...); err != nil {
		return nil, nil, fmt.Errorf("database: %w", err)
	}
	c, k, err := jobs.Versions(ctx, db)
	if err != nil {
		return nil, nil, fmt.Errorf("database: %w", err)
	}
	maps.Copy(current, c)
	maps.Copy(known, k)
	return current, known, nil
}

// checkVersions refuses a database that isn't exactly of this program's version.
func checkVersions(ctx context.Context, db *sqldb.DB) error {
	current, known, err := Versions(ctx, db)
	if err != nil {
		return err
	}
	for owner, n := range known {
		switch v := current[owner]; {
		case v > n:
			return fmt.Errorf("database: %w: the tables of %q are of version %d, this program knows up to %d; run the newer program", identity.ErrNewer, owner, v, n)
		case v < n:
			return Refused(fmt.Errorf("database: the tables of %q are of version %d, this program's are of %d: use the program that serves this database, or start this one once (it migrates)", owner, v, n))
		}
	}
	return nil
}
