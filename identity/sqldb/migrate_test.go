package sqldb_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// steps makes the migrations of one owner, one file per statement list.
func steps(ups ...string) fs.FS {
	m := fstest.MapFS{}
	for i, up := range ups {
		m[fmt.Sprintf("%05d_step.sql", i+1)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + up + "\n")}
	}
	return m
}

const (
	makeTown  = "CREATE TABLE town (id TEXT PRIMARY KEY, name TEXT NOT NULL);"
	addKana   = "ALTER TABLE town ADD COLUMN kana TEXT NOT NULL DEFAULT '';"
	makeCard  = "CREATE TABLE card (id BIGINT PRIMARY KEY, town TEXT NOT NULL REFERENCES town (id));"
	breaksOff = "CREATE TABLE half (id BIGINT PRIMARY KEY);\nINSERT INTO nowhere VALUES (1);"
)

func TestMigrate(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		old := []sqldb.Migration{{"town", steps(makeTown)}, {"card", steps(makeCard)}}
		for range 2 { // the second time there is nothing to do
			if err := db.Migrate(ctx, old...); err != nil {
				t.Fatal(err)
			}
		}
		mustExec(t, db, "INSERT INTO town (id, name) VALUES ('011002', '札幌市')")
		mustExec(t, db, "INSERT INTO card (id, town) VALUES (1, '011002')")
		if _, err := db.Writer().ExecContext(ctx, "INSERT INTO card (id, town) VALUES (2, 'none')"); err == nil {
			t.Error("foreign keys aren't held")
		}
		current := []sqldb.Migration{{"town", steps(makeTown, addKana)}, {"card", steps(makeCard)}}
		if err := db.Migrate(ctx, current...); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "UPDATE town SET kana = 'サッポロシ'")

		err := db.Migrate(ctx, append([]sqldb.Migration{{"other", steps("CREATE TABLE other (id BIGINT);")}}, old...)...)
		if !errors.Is(err, identity.ErrNewer) {
			t.Fatalf("an older program on a newer database: %v", err)
		}
		if !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "up to 1") || !strings.Contains(err.Error(), `"town"`) {
			t.Errorf("the error doesn't name both versions and the owner: %v", err)
		}
		if _, err := db.Writer().ExecContext(ctx, "SELECT id FROM other"); err == nil {
			t.Error("the older program changed a newer database")
		}
	})
}

func TestMigrateUndoesABrokenStep(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		if err := db.Migrate(ctx, sqldb.Migration{Owner: "town", FS: steps(makeTown, breaksOff)}); err == nil {
			t.Fatal("a broken migration passed")
		}
		if _, err := db.Writer().ExecContext(ctx, "SELECT id FROM half"); err == nil {
			t.Error("half of the broken step stayed")
		}
		if err := db.Migrate(ctx, sqldb.Migration{Owner: "town", FS: steps(makeTown, addKana)}); err != nil {
			t.Errorf("after the repair: %v", err)
		}
	})
}

func TestMigrateRefuses(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	for _, m := range []sqldb.Migration{
		{"Town", steps(makeTown)},
		{"town; --", steps(makeTown)},
		{"town", fstest.MapFS{}},
		{"town", fstest.MapFS{"00001_x.sql": &fstest.MapFile{Data: []byte("CREATE TABLE x (id BIGINT);")}}},
	} {
		if err := db.Migrate(t.Context(), m); err == nil {
			t.Errorf("%q: accepted", m.Owner)
		}
	}
}

func TestMigrateAtOnce(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for range 4 {
			db := sqldbtest.Open(t, url)
			wg.Go(func() {
				err := db.Migrate(t.Context(), sqldb.Migration{"town", steps(makeTown, addKana)}, sqldb.Migration{"card", steps(makeCard)})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}
