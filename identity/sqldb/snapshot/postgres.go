package snapshot

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}

// transaction runs fn in one transaction on one connection, which COPY needs bare. It has no time limit but ctx's.
func transaction(ctx context.Context, pool *sql.DB, begin string, fn func(conn *sql.Conn, raw *pgconn.PgConn) error) (err error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var raw *pgconn.PgConn
	err = conn.Raw(func(c any) error {
		std, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver's connection is a %T", c)
		}
		raw = std.Conn().PgConn()
		return nil
	})
	if err != nil {
		return err
	}
	for _, q := range []string{begin, "SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0"} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	if err := fn(conn, raw); err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // the first error is the one to tell
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

func writePostgres(ctx context.Context, db *sqldb.DB, dir string, versionTables []string) (c Contents, err error) {
	c.Engine = sqldb.PostgreSQL
	err = transaction(ctx, db.Reader(), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", func(conn *sql.Conn, raw *pgconn.PgConn) error {
		names, err := tablesInOrder(ctx, conn)
		if err != nil {
			return err
		}
		for _, name := range names {
			if versionTable(name, versionTables) {
				continue
			}
			t, err := copyOut(ctx, conn, raw, dir, name)
			if err != nil {
				return fmt.Errorf("table %s: %w", name, err)
			}
			c.Tables = append(c.Tables, t)
		}
		c.Sequences, err = sequences(ctx, conn)
		return err
	})
	return c, err
}

// tablesInOrder lists the permanent tables, each after those that it refers to.
func tablesInOrder(ctx context.Context, conn *sql.Conn) ([]string, error) {
	names, err := list(ctx, conn, `SELECT relname FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relpersistence = 'p' ORDER BY relname`)
	if err != nil {
		return nil, err
	}
	links, err := list(ctx, conn, `SELECT f.relname || chr(1) || t.relname FROM pg_constraint k
		JOIN pg_class f ON f.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid
		WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace AND f.oid <> t.oid`)
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	for _, l := range links {
		from, to, _ := strings.Cut(l, "\x01")
		needs[from] = append(needs[from], to)
	}
	var order []string
	var add func(name string, depth int) error
	add = func(name string, depth int) error {
		if slices.Contains(order, name) {
			return nil
		}
		if depth > len(names) {
			return fmt.Errorf("tables refer to each other in a circle, among them %s", name)
		}
		for _, n := range needs[name] {
			if err := add(n, depth+1); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := add(name, 0); err != nil {
			return nil, err
		}
	}
	return order, nil
}

func columns(ctx context.Context, conn *sql.Conn, table string) ([]string, error) {
	return list(ctx, conn, `SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
		ORDER BY attnum`, quote(table))
}

func copyOut(ctx context.Context, conn *sql.Conn, raw *pgconn.PgConn, dir, name string) (t Table, err error) {
	t = Table{Name: name, File: name + ".copy"}
	if t.Columns, err = columns(ctx, conn, name); err != nil {
		return t, err
	}
	f, err := os.OpenFile(filepath.Join(dir, t.File), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304 -- the caller's own folder
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tag, err := raw.CopyTo(ctx, f, "COPY "+quote(name)+" ("+quoteAll(t.Columns)+") TO STDOUT")
	t.Rows = tag.RowsAffected()
	return t, err
}

func sequences(ctx context.Context, conn *sql.Conn) ([]Sequence, error) {
	names, err := list(ctx, conn, `SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'S' ORDER BY relname`)
	if err != nil {
		return nil, err
	}
	var out []Sequence
	for _, name := range names {
		if versionTable(name, nil) {
			continue
		}
		s := Sequence{Name: name}
		if err := conn.QueryRowContext(ctx, "SELECT last_value, is_called FROM "+quote(name)).Scan(&s.Last, &s.Called); err != nil { // #nosec G202 -- a name of the schema, quoted
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func loadPostgres(ctx context.Context, db *sqldb.DB, dir string, c Contents) error {
	return transaction(ctx, db.Writer(), "BEGIN", func(conn *sql.Conn, raw *pgconn.PgConn) error {
		there, err := tablesInOrder(ctx, conn)
		if err != nil {
			return err
		}
		for _, t := range c.Tables {
			if !slices.Contains(there, t.Name) {
				return fmt.Errorf("%w: the database has no table %s at the copy's version", ErrDiffers, t.Name)
			}
		}
		enable, err := disableTriggers(ctx, conn, c.Tables)
		if err != nil {
			return err
		}
		for _, t := range slices.Backward(c.Tables) { // rows that migrations put there
			if _, err := conn.ExecContext(ctx, "DELETE FROM "+quote(t.Name)); err != nil { // #nosec G202 -- a name of the schema, quoted
				return err
			}
		}
		for _, t := range c.Tables {
			if err := copyIn(ctx, raw, dir, t); err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
		}
		for _, s := range c.Sequences {
			if _, err := conn.ExecContext(ctx, "SELECT setval($1::regclass, $2, $3)", quote(s.Name), s.Last, s.Called); err != nil {
				return fmt.Errorf("sequence %s: %w", s.Name, err)
			}
		}
		for _, q := range enable {
			if _, err := conn.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// disableTriggers keeps triggers from taking the copy's rows for new ones, and gives the statements that set them as they were.
func disableTriggers(ctx context.Context, conn *sql.Conn, tables []Table) (enable []string, err error) {
	for _, t := range tables {
		triggers, err := list(ctx, conn, `SELECT tgenabled::text || tgname FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgenabled <> 'D'`, quote(t.Name))
		if err != nil {
			return nil, err
		}
		for _, tg := range triggers {
			mode := map[byte]string{'O': "", 'A': "ALWAYS ", 'R': "REPLICA "}[tg[0]]
			on := "TRIGGER " + quote(tg[1:])
			if _, err := conn.ExecContext(ctx, "ALTER TABLE "+quote(t.Name)+" DISABLE "+on); err != nil {
				return nil, err
			}
			enable = append(enable, "ALTER TABLE "+quote(t.Name)+" ENABLE "+mode+on)
		}
	}
	return enable, nil
}

func copyIn(ctx context.Context, raw *pgconn.PgConn, dir string, t Table) (err error) {
	if t.File != t.Name+".copy" || strings.ContainsAny(t.Name, "/\\") || len(t.Columns) == 0 {
		return fmt.Errorf("%w: its entry is malformed", ErrDiffers)
	}
	f, err := os.Open(filepath.Join(dir, t.File)) // #nosec G304 -- checked above
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tag, err := raw.CopyFrom(ctx, io.Reader(f), "COPY "+quote(t.Name)+" ("+quoteAll(t.Columns)+") FROM STDIN")
	if err != nil {
		return err
	}
	if tag.RowsAffected() != t.Rows {
		return fmt.Errorf("%w: %d rows instead of %d", ErrDiffers, tag.RowsAffected(), t.Rows)
	}
	return nil
}
