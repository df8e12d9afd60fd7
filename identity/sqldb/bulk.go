package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
)

// The bounds of a bulk statement. PostgreSQL's protocol takes at most 65,535 parameters.
const (
	bulkColumns  = 100
	bulkRows     = 500
	bulkParams   = 60000
	bulkCtxEvery = 256 // rows between two looks at ctx on SQLite
)

var identifier = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Bulk inserts rows into table within tx and returns how many rows were written. suffix is appended to the statement, e.g.
// "ON CONFLICT (id) DO NOTHING". Each row has one value per column. SQLite takes them one by one through a prepared
// statement, PostgreSQL many per statement, which is what each does fastest; so with ON CONFLICT DO UPDATE a key must not
// come twice within one call.
func (d *DB) Bulk(ctx context.Context, tx *sql.Tx, table string, columns []string, suffix string, rows iter.Seq[[]any]) (int64, error) {
	if !identifier.MatchString(table) {
		return 0, fmt.Errorf("bulk insert: %q is no table name", table)
	}
	if len(columns) == 0 || len(columns) > bulkColumns {
		return 0, fmt.Errorf("bulk insert into %s: %d columns, want 1 to %d", table, len(columns), bulkColumns)
	}
	for _, c := range columns {
		if !identifier.MatchString(c) {
			return 0, fmt.Errorf("bulk insert into %s: %q is no column name", table, c)
		}
	}
	if d.engine == SQLite {
		return bulkSQLite(ctx, tx, table, columns, suffix, rows)
	}
	return bulkPostgres(ctx, tx, table, columns, suffix, rows)
}

func bulkSQLite(ctx context.Context, tx *sql.Tx, table string, columns []string, suffix string, rows iter.Seq[[]any]) (n int64, err error) {
	stmt, err := tx.PrepareContext(ctx, bulkStatement(table, columns, suffix, 1))
	if err != nil {
		return 0, fmt.Errorf("bulk insert into %s: %w", table, err)
	}
	defer func() { _ = stmt.Close() }()
	// The driver starts a goroutine per statement under a ctx that can be cancelled; looking now and then is much cheaper.
	quiet := context.WithoutCancel(ctx)
	i := 0
	for row := range rows {
		if i%bulkCtxEvery == 0 && ctx.Err() != nil {
			return n, ctx.Err()
		}
		i++
		if len(row) != len(columns) {
			return n, fmt.Errorf("bulk insert into %s: row %d has %d values for %d columns", table, i, len(row), len(columns))
		}
		res, err := stmt.ExecContext(quiet, row...)
		if err != nil && ctx.Err() != nil { // the transaction ends with ctx, and its statements with it
			return n, ctx.Err()
		}
		if err != nil {
			return n, fmt.Errorf("bulk insert into %s: row %d: %w", table, i, err)
		}
		k, err := res.RowsAffected()
		if err != nil {
			return n, fmt.Errorf("bulk insert into %s: row %d: %w", table, i, err)
		}
		n += k
	}
	return n, nil
}

func bulkPostgres(ctx context.Context, tx *sql.Tx, table string, columns []string, suffix string, rows iter.Seq[[]any]) (n int64, err error) {
	size := min(bulkRows, bulkParams/len(columns))
	full := bulkStatement(table, columns, suffix, size)
	args := make([]any, 0, size*len(columns))
	i := 0
	flush := func() error {
		count := len(args) / len(columns)
		if count == 0 {
			return nil
		}
		q := full
		if count < size {
			q = bulkStatement(table, columns, suffix, count)
		}
		res, err := tx.ExecContext(ctx, q, args...)
		if err != nil {
			return fmt.Errorf("bulk insert into %s: rows %d to %d: %w", table, i-count+1, i, err)
		}
		k, err := res.RowsAffected()
		n += k
		args = args[:0]
		return err
	}
	for row := range rows {
		i++
		if len(row) != len(columns) {
			return n, fmt.Errorf("bulk insert into %s: row %d has %d values for %d columns", table, i, len(row), len(columns))
		}
		args = append(args, row...)
		if len(args) == size*len(columns) {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	return n, flush()
}

func bulkStatement(table string, columns []string, suffix string, rows int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ")
	p := 1
	for r := range rows {
		if r > 0 {
			b.WriteString(", ")
		}
		for c := range columns {
			if c == 0 {
				b.WriteByte('(')
			} else {
				b.WriteString(", ")
			}
			b.WriteString("$" + strconv.Itoa(p))
			p++
		}
		b.WriteByte(')')
	}
	if suffix != "" {
		b.WriteString(" " + suffix)
	}
	return b.String()
}

// Analyze tells PostgreSQL's planner about a table that was just filled, and so makes it plan anew what reads the table. SQLite, whose
// plans follow the indexes alone, needs nothing.
func (d *DB) Analyze(ctx context.Context, table string) error {
	if !identifier.MatchString(table) {
		return fmt.Errorf("analyze: %q is no table name", table)
	}
	if d.engine == SQLite {
		return nil
	}
	if _, err := d.writer.ExecContext(ctx, "ANALYZE "+table); err != nil {
		return fmt.Errorf("analyze %s: %w", table, err)
	}
	return nil
}
