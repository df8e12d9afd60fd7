package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Contents says what a copy holds.
type Contents struct {
	Engine    sqldb.Engine `json:"engine"`
	Tables    []Table      `json:"tables"`
	Sequences []Sequence   `json:"sequences,omitempty"` // PostgreSQL
}

// Table is one table of a copy.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns,omitempty"` // PostgreSQL, in the order of the file
	Rows    int64    `json:"rows"`
	File    string   `json:"file,omitempty"` // PostgreSQL: its rows, as COPY writes text
}

// Sequence is where a sequence of PostgreSQL stands.
type Sequence struct {
	Name   string `json:"name"`
	Last   int64  `json:"last"`
	Called bool   `json:"called"`
}

// Rows counts the rows of all tables.
func (c Contents) Rows() int64 {
	var n int64
	for _, t := range c.Tables {
		n += t.Rows
	}
	return n
}

// SQLiteFile is the one file of a copy of SQLite.
const SQLiteFile = "musubi.db"

// maxTables bounds what a copy may claim to hold.
const maxTables = 1000

// ErrDiffers is wrapped where a copy doesn't hold what it says.
var ErrDiffers = errors.New("the copy doesn't hold what it says")

// Write copies db into the empty folder dir. Tables named in versionTables, and those called goose_..., are left out.
func Write(ctx context.Context, db *sqldb.DB, dir string, versionTables ...string) (Contents, error) {
	write := writeSQLite
	if db.Engine() == sqldb.PostgreSQL {
		write = writePostgres
	}
	c, err := write(ctx, db, dir, versionTables)
	if err != nil {
		return c, fmt.Errorf("snapshot: %w", err)
	}
	return c, nil
}

// Load fills the tables of db, which must have been migrated to the copy's versions and hold nothing but what migrations put
// there, from the files in dir, in one transaction. It is for PostgreSQL; a copy of SQLite is checked (Check) and moved into place.
func Load(ctx context.Context, db *sqldb.DB, dir string, c Contents) error {
	if db.Engine() != sqldb.PostgreSQL || c.Engine != sqldb.PostgreSQL {
		return fmt.Errorf("snapshot: a copy of %s can't be loaded into %s: %w", c.Engine, db.Engine(), identity.ErrRefused)
	}
	if len(c.Tables) > maxTables || len(c.Sequences) > maxTables {
		return fmt.Errorf("snapshot: %w: more than %d tables", ErrDiffers, maxTables)
	}
	if err := loadPostgres(ctx, db, dir, c); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// Empty reports whether the database has no table at all.
func Empty(ctx context.Context, db *sqldb.DB) (bool, error) {
	q := "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'"
	if db.Engine() == sqldb.PostgreSQL {
		q = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema()"
	}
	var n int
	err := db.Reader().QueryRowContext(ctx, q).Scan(&n)
	return n == 0, err
}

func versionTable(name string, named []string) bool {
	return len(name) > 6 && name[:6] == "goose_" || slices.Contains(named, name)
}
