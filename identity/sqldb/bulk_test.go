package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// items gives rows from..to-1, reusing one slice as a careful producer would.
func items(from, to int) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		row := make([]any, 3)
		for i := from; i < to; i++ {
			row[0], row[1], row[2] = i, "名前", nil
			if i%2 == 0 {
				row[2] = "memo"
			}
			if !yield(row) {
				return
			}
		}
	}
}

var itemColumns = []string{"id", "name", "note"}

func TestBulk(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		makeItems(t, db)
		bulk := func(suffix string, rows iter.Seq[[]any]) (n int64, err error) {
			err = db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				n, err = db.Bulk(ctx, tx, "item", itemColumns, suffix, rows)
				return err
			})
			return n, err
		}
		for _, tc := range []struct {
			name     string
			suffix   string
			from, to int
			want     int64
		}{
			{"none", "", 0, 0, 0},
			{"one", "", 0, 1, 1},
			{"several statements and a rest", "", 1, 1301, 1300},
			{"skip what is there", "ON CONFLICT (id) DO NOTHING", 1000, 2000, 699},
			{"bring up to date", "ON CONFLICT (id) DO UPDATE SET note = excluded.note", 0, 500, 500},
		} {
			n, err := bulk(tc.suffix, items(tc.from, tc.to))
			if err != nil || n != tc.want {
				t.Fatalf("%s: %d rows, want %d: %v", tc.name, n, tc.want, err)
			}
		}
		if all, memo := count(t, db, "1=1"), count(t, db, "note = 'memo'"); all != 2000 || memo != 1000 {
			t.Errorf("%d rows, %d with a memo; want 2000 and 1000", all, memo)
		}
		if _, err := bulk("", items(0, 10)); !sqldb.UniqueViolation(err) {
			t.Errorf("rows that are there: %v", err)
		}
		short := func(yield func([]any) bool) { _ = yield([]any{5000, "x", nil}) && yield([]any{5001}) }
		if _, err := bulk("", short); err == nil || !strings.Contains(err.Error(), "row 2 has 1 values for 3 columns") {
			t.Errorf("a short row: %v", err)
		}
		if n := count(t, db, "id >= 5000"); n != 0 {
			t.Error("the short row's transaction left something behind")
		}
	})
}

func TestBulkRefusesNames(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	for _, tc := range []struct {
		table   string
		columns []string
	}{
		{"item; DROP TABLE item", itemColumns},
		{"item", []string{"id", "name) --"}},
		{"item", nil},
		{"item", make([]string, 101)},
	} {
		if _, err := db.Bulk(t.Context(), nil, tc.table, tc.columns, "", items(0, 1)); err == nil {
			t.Errorf("%s %q: accepted", tc.table, tc.columns)
		}
	}
}

func TestBulkStopsWhenCancelled(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		makeItems(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		pulled := 0
		rows := func(yield func([]any) bool) {
			for row := range items(0, 100_000) {
				if pulled++; pulled == 1000 {
					cancel()
				}
				if !yield(row) {
					return
				}
			}
		}
		err := db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := db.Bulk(ctx, tx, "item", itemColumns, "", rows)
			return err
		})
		if !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrTxDone) {
			t.Errorf("got %v", err)
		}
		if pulled > 2000 {
			t.Errorf("pulled %d rows after cancel at 1000", pulled)
		}
		if n := count(t, db, "1=1"); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
	})
}

func BenchmarkBulk(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		makeItems(b, db)
		b.ResetTimer()
		err := db.WithTx(b.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := db.Bulk(ctx, tx, "item", itemColumns, "", items(0, b.N))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

// BenchmarkGroup has 64 callers that each wait for their write to be safe on disk.
func BenchmarkGroup(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		makeItems(b, db)
		ids := make(chan int)
		var wg sync.WaitGroup
		b.ResetTimer()
		for range 64 {
			wg.Go(func() {
				for id := range ids {
					err := db.Group(b.Context(), func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, id) })
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		for i := range b.N {
			ids <- i
		}
		close(ids)
		wg.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	})
}

// BenchmarkWithTx is what BenchmarkGroup is measured against: one caller, one commit each.
func BenchmarkWithTx(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		makeItems(b, db)
		b.ResetTimer()
		for i := range b.N {
			if err := db.WithTx(b.Context(), func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, i) }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	})
}

func TestAnalyze(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if _, err := db.Writer().ExecContext(t.Context(), "CREATE TABLE filled (id BIGINT)"); err != nil {
			t.Fatal(err)
		}
		if err := db.Analyze(t.Context(), "filled"); err != nil {
			t.Error(err)
		}
		if err := db.Analyze(t.Context(), "filled; DROP TABLE filled"); err == nil || !strings.Contains(err.Error(), "no table name") {
			t.Error(err)
		}
	})
}
