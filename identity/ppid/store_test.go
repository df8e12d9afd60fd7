package ppid_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const at = int64(1_790_000_000_000_000)

func open(t *testing.T, db *sqldb.DB) (*ppid.Store, *keys.SealingKey) {
	t.Helper()
	if err := db.Migrate(t.Context(), ppid.Migration()); err != nil {
		t.Fatal(err)
	}
	seal, err := keys.NewSealingKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ppid.New(seal, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s, seal
}

func issue(t *testing.T, db *sqldb.DB, s *ppid.Store, person policies.PersonID, sector ppid.Sector) string {
	t.Helper()
	var id string
	err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		id, err = s.Issue(ctx, tx, person, sector, at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIssueAndFind(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, _ := open(t, db)
		ctx, q := t.Context(), db.Reader()
		if _, err := s.Find(ctx, q, "p1", "a.example"); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("before it is issued: %v", err)
		}
		ids := map[string]string{}
		for _, person := range []policies.PersonID{"p1", "p2", "p1a"} {
			for _, sector := range []ppid.Sector{"a.example", "b.example", ".example"} {
				id := issue(t, db, s, person, sector)
				pair := fmt.Sprint(person, " ", sector)
				if other, ok := ids[id]; ok {
					t.Errorf("%s and %s have one identifier", pair, other)
				}
				ids[id] = pair
				if again := issue(t, db, s, person, sector); again != id {
					t.Errorf("%s: issued again: %s, before %s", pair, again, id)
				}
				if found, err := s.Find(ctx, q, person, sector); err != nil || found != id {
					t.Errorf("%s: found %s: %v", pair, found, err)
				}
				if who, err := s.Person(ctx, q, sector, id); err != nil || who != person {
					t.Errorf("%s: stands for %s: %v", pair, who, err)
				}
				if who, err := s.Person(ctx, q, "c.example", id); !errors.Is(err, identity.ErrNotFound) {
					t.Errorf("%s: another sector learns that it is %s: %v", pair, who, err)
				}
			}
		}
		for _, bad := range []string{"", "x", strings.Repeat("a", 32), strings.Repeat("a", 1<<16)} {
			if _, err := s.Person(ctx, q, "a.example", bad); !errors.Is(err, identity.ErrNotFound) {
				t.Errorf("%.40q: %v", bad, err)
			}
		}
		for _, bad := range []string{"", "a\x00b", "\xff", strings.Repeat("a", 257)} {
			if _, err := s.Find(ctx, q, policies.PersonID(bad), "a.example"); err == nil || errors.Is(err, identity.ErrNotFound) {
				t.Errorf("person %.40q: %v", bad, err)
			}
			if _, err := s.Find(ctx, q, "p1", ppid.Sector(bad)); err == nil || errors.Is(err, identity.ErrNotFound) {
				t.Errorf("sector %.40q: %v", bad, err)
			}
		}
	})
}

// TestAtRest reads the table as a thief of the database does.
func TestAtRest(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, seal := open(t, db)
		id := issue(t, db, s, "person-one", "a.example")
		other := issue(t, db, s, "person-one", "b.example")
		rows, err := db.Reader().QueryContext(t.Context(), `SELECT name, pair, sealed FROM ppid`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		pairs := map[string]bool{}
		for rows.Next() {
			var name, pair, sealed string
			if err := rows.Scan(&name, &pair, &sealed); err != nil {
				t.Fatal(err)
			}
			pairs[pair] = true
			for _, clear := range []string{id, other, "person-one", "a.example", "b.example"} {
				if strings.Contains(name+pair+sealed, clear) {
					t.Errorf("the table holds %s", clear)
				}
			}
		}
		if err := rows.Err(); err != nil || len(pairs) != 2 {
			t.Errorf("%d pairs: %v", len(pairs), err)
		}
		thief, err := keys.NewSealingKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		without, err := ppid.New(thief, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if who, err := without.Person(t.Context(), db.Reader(), "a.example", id); err == nil {
			t.Errorf("without the sealing key it is known to be %s", who)
		}
		// Another process with the same sealing key reads everything.
		second, err := ppid.New(seal, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if who, err := second.Person(t.Context(), db.Reader(), "a.example", id); err != nil || who != "person-one" {
			t.Errorf("another node: %s: %v", who, err)
		}
		// Rows that changed places open for nobody.
		if _, err := db.Writer().ExecContext(t.Context(), `UPDATE ppid SET sealed = (SELECT o.sealed FROM ppid o WHERE o.name <> ppid.name)`); err != nil {
			t.Fatal(err)
		}
		if who, err := s.Person(t.Context(), db.Reader(), "a.example", id); !errors.Is(err, keys.ErrUnreadable) {
			t.Errorf("swapped rows: %s, %v", who, err)
		}
	})
}

// TestOneIDForAPair has many callers ask for the same pairs at the same moment.
func TestOneIDForAPair(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, _ := open(t, db)
		const callers, people = 12, 6
		got := make([][people]string, callers)
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for p := range people {
					err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
						got[c][p], err = s.Issue(ctx, tx, policies.PersonID(fmt.Sprint("p", p)), "a.example", at)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for c := range callers {
			if got[c] != got[0] {
				t.Errorf("caller %d got %v, another %v", c, got[c], got[0])
			}
		}
		var n int
		if err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM ppid`).Scan(&n); err != nil || n != people {
			t.Errorf("%d rows for %d pairs: %v", n, people, err)
		}
	})
}

// TestUndoneWithItsTransaction: an identifier that wasn't committed was never issued.
func TestUndoneWithItsTransaction(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	s, _ := open(t, db)
	undo := errors.New("undo")
	err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		if _, err := s.Issue(ctx, tx, "p1", "a.example", at); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	if _, err := s.Find(t.Context(), db.Reader(), "p1", "a.example"); !errors.Is(err, identity.ErrNotFound) {
		t.Error(err)
	}
}
