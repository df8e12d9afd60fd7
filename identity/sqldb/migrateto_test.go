package sqldb_test

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// A copy of an older version is loaded into tables of that version; the rest of the migrations then sees its rows.
func TestMigrateToOlderVersionThenOn(t *testing.T) {
	file := func(sql string) *fstest.MapFile { return &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)} }
	m := sqldb.Migration{Owner: "shop", FS: fstest.MapFS{
		"00001_item.sql":  file("CREATE TABLE item (id BIGINT PRIMARY KEY);"),
		"00002_price.sql": file("ALTER TABLE item ADD COLUMN price BIGINT; UPDATE item SET price = id * 10;"),
	}}
	other := sqldb.Migration{Owner: "later", FS: fstest.MapFS{"00001_x.sql": file("CREATE TABLE later_x (id BIGINT PRIMARY KEY);")}}
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		versions := func() (current, known map[string]int64) {
			current, known, err := db.Versions(t.Context(), m, other)
			if err != nil {
				t.Fatal(err)
			}
			return current, known
		}
		current, known := versions()
		if diff := cmp.Diff(map[string]int64{"shop": 0, "later": 0}, current); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]int64{"shop": 2, "later": 1}, known); diff != "" {
			t.Error(diff)
		}
		var tables int
		if err := db.Reader().QueryRow("SELECT COUNT(*) FROM goose_shop").Scan(&tables); err == nil {
			t.Error("asking for versions made a table")
		}
		if err := db.MigrateTo(t.Context(), map[string]int64{"shop": 3}, m, other); !errors.Is(err, identity.ErrNewer) {
			t.Errorf("a version that nobody knows: %v", err)
		}
		if err := db.MigrateTo(t.Context(), map[string]int64{"shop": 1}, m, other); err != nil {
			t.Fatal(err)
		}
		if current, _ = versions(); current["shop"] != 1 || current["later"] != 0 {
			t.Errorf("versions %v", current)
		}
		if _, err := db.Writer().Exec("INSERT INTO item (id) VALUES (7)"); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context(), m, other); err != nil {
			t.Fatal(err)
		}
		var price int
		if err := db.Reader().QueryRow("SELECT price FROM item").Scan(&price); err != nil || price != 70 {
			t.Errorf("price %d, %v: the migration didn't see the row", price, err)
		}
		if current, known = versions(); !cmp.Equal(current, known) {
			t.Errorf("versions %v of %v", current, known)
		}
	})
}
