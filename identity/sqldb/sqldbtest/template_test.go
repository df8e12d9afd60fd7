package sqldbtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// fatal stands in for a test and stops where it fails.
type fatal struct{ testing.TB }

func (f *fatal) Fatalf(text string, args ...any) { panic(fmt.Sprintf(text, args...)) }

func TestTemplate(t *testing.T) {
	var prepared atomic.Int64
	m := NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
		prepared.Add(1)
		_, err := db.Writer().ExecContext(ctx, "CREATE TABLE town (id TEXT PRIMARY KEY)")
		if err == nil {
			_, err = db.Writer().ExecContext(ctx, "INSERT INTO town (id) VALUES ('a'), ('b')")
		}
		return err
	})
	write := func(db *sqldb.DB) (before int) {
		t.Helper()
		row := db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM town")
		_, err := db.Writer().ExecContext(t.Context(), "INSERT INTO town (id) VALUES ('written by a test')")
		if err := errors.Join(row.Scan(&before), err); err != nil {
			t.Fatal(err)
		}
		return before
	}
	// What one copy gets no other has, whether they stand side by side or not.
	for range 2 {
		m.Each(t, func(t *testing.T, db *sqldb.DB) {
			twin := m.Open(t, db.Engine())
			if n, also := write(db), write(twin); n != 2 || also != 2 {
				t.Errorf("%d and %d towns", n, also)
			}
		})
	}
	if n := prepared.Load(); n != 2 && n != 1 { // without PostgreSQL one
		t.Errorf("prepared %d times", n)
	}
}

// What can't be prepared fails every test that wants it.
func TestBrokenTemplate(t *testing.T) {
	m := NewTemplate(func(context.Context, *sqldb.DB) error { return errors.New("no such migration") })
	for _, engine := range []sqldb.Engine{sqldb.SQLite, sqldb.PostgreSQL, sqldb.SQLite, sqldb.PostgreSQL} {
		if engine == sqldb.PostgreSQL {
			shared.need(t)
		}
		func() {
			defer func() {
				if got, want := recover(), "copy the template: no such migration"; got != want {
					t.Errorf("%s: %v", engine, got)
				}
			}()
			m.url(&fatal{t}, engine)
		}()
	}
}
