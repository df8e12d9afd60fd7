package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// These hold what keeping SQLite's prepared statements must not change. They run on PostgreSQL too, as the measure.

func TestOneQueryOpenTwice(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		makeItems(t, db)
		for i := range 10 {
			mustExec(t, db, "INSERT INTO item (id, name) VALUES ($1, 'x')", i)
		}
		const q = "SELECT id FROM item WHERE id >= $1 ORDER BY id"
		conn, err := db.Reader().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		ids := func(from int) (out []int) {
			rows, err := conn.QueryContext(t.Context(), q, from)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rows.Close() }()
			for rows.Next() {
				var id int
				if err := rows.Scan(&id); err != nil {
					t.Fatal(err)
				}
				out = append(out, id)
				if db.Engine() == sqldb.SQLite && id == from && from < 8 { // PostgreSQL has one query open per connection
					var inner int
					if err := conn.QueryRowContext(t.Context(), q, from+2).Scan(&inner); err != nil || inner != from+2 {
						t.Fatalf("inside %d: %d, %v", from, inner, err)
					}
				}
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			return out
		}
		for range 3 {
			if got := fmt.Sprint(ids(5)); got != "[5 6 7 8 9]" {
				t.Fatalf("got %s", got)
			}
		}
		if got := fmt.Sprint(ids(8)); got != "[8 9]" {
			t.Fatalf("got %s", got)
		}
	})
}

func TestStatementsSurviveWhatHappensToThem(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	makeItems(t, db)
	add := func(id int) error {
		_, err := db.Writer().ExecContext(t.Context(), "INSERT INTO item (id, name) VALUES ($1, $2)", id, "x")
		return err
	}
	for range 3 {
		if err := add(1); err != nil && !sqldb.UniqueViolation(err) {
			t.Fatal(err)
		}
	}
	if err := add(2); err != nil {
		t.Errorf("after the same statement failed: %v", err)
	}
	columns := func() int {
		rows, err := db.Reader().QueryContext(t.Context(), "SELECT * FROM item")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	if n := columns(); n != 3 {
		t.Fatalf("%d columns", n)
	}
	mustExec(t, db, "ALTER TABLE item ADD COLUMN extra TEXT; UPDATE item SET extra = 'e'")
	if n := columns(); n != 4 {
		t.Errorf("%d columns after the table got one more, want 4", n)
	}
	if n := count(t, db, "extra = 'e'"); n != 2 {
		t.Errorf("the second statement of a script reached %d rows, want 2", n)
	}
	// More statements than a connection keeps, twice over.
	for range 2 {
		for i := range 600 {
			var got int
			if err := db.Reader().QueryRowContext(t.Context(), fmt.Sprintf("SELECT %d + $1", i), 1).Scan(&got); err != nil || got != i+1 {
				t.Fatalf("statement %d: %d, %v", i, got, err)
			}
		}
	}
	// A cancelled statement takes its connection along, not the next caller.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Writer().ExecContext(ctx, "INSERT INTO item (id, name) VALUES ($1, $2)", 3, "x"); err == nil {
		t.Error("a cancelled statement ran")
	}
	if err := add(4); err != nil {
		t.Errorf("after a cancelled statement: %v", err)
	}
	mustExec(t, db, "DROP TABLE item")
	if err := add(5); err == nil {
		t.Error("a statement outlived its table")
	}
}

func TestReturningIsWrittenEvenIfNobodyReads(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		makeItems(t, db)
		for i := range 3 {
			err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				var id int
				return tx.QueryRowContext(ctx, "INSERT INTO item (id, name) VALUES ($1, 'a'), ($2, 'b') RETURNING id", 2*i, 2*i+1).Scan(&id)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, db, "1=1"); n != 6 {
			t.Errorf("%d rows, want 6", n)
		}
	})
}
