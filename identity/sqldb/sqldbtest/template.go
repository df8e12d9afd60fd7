package sqldbtest

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Template is a database that is prepared once per engine and test process, usually migrated, and copied for each test. A copy takes a
// small part of the time that preparing does.
type Template struct {
	prepare func(ctx context.Context, db *sqldb.DB) error
	sqlite  struct {
		once  sync.Once
		err   error
		bytes []byte
	}
	postgres struct {
		once sync.Once
		err  error
		name string
	}
}

// NewTemplate makes a template of what prepare does with an empty database. It does nothing yet: make it a variable of the test's package.
func NewTemplate(prepare func(ctx context.Context, db *sqldb.DB) error) *Template {
	return &Template{prepare: prepare}
}

// Each is the function Each with a copy of the template as the fresh database.
func (m *Template) Each(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	m.EachURL(t, func(t *testing.T, url string) {
		t.Helper()
		fn(t, Open(t, url))
	})
}

// EachURL is the function EachURL with copies of the template.
func (m *Template) EachURL(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	for _, engine := range []sqldb.Engine{sqldb.SQLite, sqldb.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) { fn(t, m.url(t, engine)) })
	}
}

// Open opens a copy, which is closed and removed when the test ends.
func (m *Template) Open(tb testing.TB, engine sqldb.Engine) *sqldb.DB {
	tb.Helper()
	return Open(tb, m.url(tb, engine))
}

func (m *Template) url(tb testing.TB, engine sqldb.Engine) string {
	tb.Helper()
	if engine == sqldb.SQLite {
		s := &m.sqlite
		s.once.Do(func() {
			url := SQLiteURL(tb)
			if s.err = m.fill(tb.Context(), url); s.err == nil {
				s.bytes, s.err = os.ReadFile(file(url))
			}
		})
		url := SQLiteURL(tb)
		if err := errors.Join(s.err, os.WriteFile(file(url), s.bytes, 0o600)); err != nil {
			tb.Fatalf("copy the template: %v", err)
		}
		return url
	}
	shared.need(tb)
	s := &m.postgres
	s.once.Do(func() {
		s.name = "copied" + strconv.FormatInt(shared.made.Add(1), 10)
		if _, s.err = shared.admin.Writer().ExecContext(tb.Context(), "CREATE DATABASE "+s.name); s.err == nil {
			s.err = m.fill(tb.Context(), shared.url(s.name))
		}
	})
	if s.err != nil {
		tb.Fatalf("copy the template: %v", s.err)
	}
	return shared.database(tb, " TEMPLATE "+s.name)
}

// fill prepares the database and closes it: only then is SQLite's file all there is, and may PostgreSQL copy a database.
func (m *Template) fill(ctx context.Context, url string) error {
	db, err := sqldb.Open(ctx, url, sqldb.Options{Unsynced: true, Application: "musubi-test"})
	if err != nil {
		return err
	}
	return errors.Join(m.prepare(ctx, db), db.Close())
}

func file(url string) string { return strings.TrimPrefix(url, "sqlite:") }
