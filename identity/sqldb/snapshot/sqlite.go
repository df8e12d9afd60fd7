package snapshot

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

func writeSQLite(ctx context.Context, db *sqldb.DB, dir string, _ []string) (Contents, error) {
	path := filepath.Join(dir, SQLiteFile)
	if _, err := os.Lstat(path); err == nil {
		return Contents{}, fmt.Errorf("%s: %w", path, os.ErrExist)
	}
	if err := vacuumInto(ctx, db, path); err != nil {
		return Contents{}, fmt.Errorf("copy %s: %w", db.Path(), err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return Contents{}, err
	}
	c := Contents{Engine: sqldb.SQLite}
	err := look(ctx, path, func(tx *sql.Tx) (err error) {
		c.Tables, err = countSQLite(ctx, tx)
		return err
	})
	return c, err
}

// vacuumInto copies on a connection for reading, so that writers go on in the write-ahead log. Such a connection refuses to write
// even another file, until it is told that it may.
func vacuumInto(ctx context.Context, db *sqldb.DB, path string) (err error) {
	conn, err := db.Reader().Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if _, back := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA query_only = 1"); back != nil {
			// The pool must not go on with a connection that may write.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		err = errors.Join(err, ignoreBad(conn.Close()))
	}()
	if _, err := conn.ExecContext(ctx, "PRAGMA query_only = 0"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "VACUUM INTO $1", path)
	return err
}

func ignoreBad(err error) error {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// Check opens the copy of a SQLite database in dir and compares it with c, after SQLite's own check of its pages, indexes and
// references.
func Check(ctx context.Context, dir string, c Contents) error {
	err := look(ctx, filepath.Join(dir, SQLiteFile), func(tx *sql.Tx) error {
		var verdict string
		if err := tx.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
			return err
		}
		if verdict != "ok" {
			return fmt.Errorf("%w: SQLite's own check: %s", ErrDiffers, verdict)
		}
		tables, err := countSQLite(ctx, tx)
		if err != nil {
			return err
		}
		return sameCounts(c.Tables, tables)
	})
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

func sameCounts(want, got []Table) error {
	rows := map[string]int64{}
	for _, t := range got {
		rows[t.Name] = t.Rows
	}
	for _, t := range want {
		if n, ok := rows[t.Name]; !ok || n != t.Rows {
			return fmt.Errorf("%w: table %s has %d rows instead of %d", ErrDiffers, t.Name, n, t.Rows)
		}
		delete(rows, t.Name)
	}
	for name := range rows {
		return fmt.Errorf("%w: table %s isn't in its list", ErrDiffers, name)
	}
	return nil
}

// look opens a copy for reading, and leaves nothing beside it.
func look(ctx context.Context, path string, fn func(*sql.Tx) error) (err error) {
	if _, err := os.Stat(path); err != nil { // Open would make it
		return err
	}
	db, err := sqldb.Open(ctx, "sqlite:"+path, sqldb.Options{MaxReaders: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.Reader().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return fn(tx)
}

func countSQLite(ctx context.Context, tx *sql.Tx) ([]Table, error) {
	names, err := list(ctx, tx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	tables := make([]Table, len(names))
	for i, name := range names {
		tables[i].Name = name
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+quoted).Scan(&tables[i].Rows); err != nil { // #nosec G202 -- a name of the schema, quoted
			return nil, err
		}
	}
	return tables, nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// list reads one column of text.
func list(ctx context.Context, q querier, query string, args ...any) ([]string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what matters
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
