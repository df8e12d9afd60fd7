package snapshot_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/snapshot"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// schema has what a copy could trip over: names that need quotes, references against the alphabet, seeded rows, a sequence, a
// generated column, NULLs, bytes, and a trigger that refuses what a copy must write.
var schema = map[sqldb.Engine][]string{
	sqldb.SQLite: {
		`CREATE TABLE zone (id INTEGER PRIMARY KEY, note TEXT)`,
		`CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT, zone INTEGER NOT NULL REFERENCES zone (id), amount BIGINT NOT NULL, "Odd ""name" TEXT, raw BLOB)`,
		`CREATE TABLE goose_x (id INTEGER PRIMARY KEY, version_id BIGINT)`,
		`INSERT INTO zone VALUES (1, 'seed')`,
	},
	sqldb.PostgreSQL: {
		`CREATE TABLE zone (id BIGINT PRIMARY KEY, note TEXT)`,
		`CREATE TABLE account (id BIGSERIAL PRIMARY KEY, zone BIGINT NOT NULL REFERENCES zone (id), amount BIGINT NOT NULL, "Odd ""name" TEXT, raw BYTEA,
			twice BIGINT GENERATED ALWAYS AS (amount * 2) STORED)`,
		`CREATE TABLE goose_x (id BIGINT PRIMARY KEY, version_id BIGINT)`,
		`CREATE UNLOGGED TABLE lease (id BIGINT PRIMARY KEY)`,
		`INSERT INTO lease VALUES (1)`,
		`INSERT INTO zone VALUES (1, 'seed')`,
		`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.amount > 100 OR TG_OP = 'DELETE' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END; $$`,
		`CREATE TRIGGER no BEFORE INSERT OR DELETE ON account FOR EACH ROW EXECUTE FUNCTION no()`,
		`ALTER TABLE account ENABLE ALWAYS TRIGGER no`,
	},
}

func exec(t *testing.T, db *sqldb.DB, queries ...string) {
	t.Helper()
	for _, q := range queries {
		if _, err := db.Writer().Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func rows(t *testing.T, db *sqldb.DB) []string {
	t.Helper()
	var out []string
	r, err := db.Reader().Query(`SELECT id, zone, amount, "Odd ""name", raw FROM account ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for r.Next() {
		var id, zone, amount int64
		var odd sql.NullString
		var raw []byte
		if err := r.Scan(&id, &zone, &amount, &odd, &raw); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(id, zone, amount, odd, raw))
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

const accounts = 50

func fill(t *testing.T, db *sqldb.DB) {
	t.Helper()
	exec(t, db, schema[db.Engine()]...)
	exec(t, db, `INSERT INTO zone VALUES (2, NULL)`)
	for i := range accounts {
		if _, err := db.Writer().Exec(`INSERT INTO account (zone, amount, "Odd ""name", raw) VALUES ($1, 100, $2, $3)`,
			1+i%2, sql.NullString{String: "行\t\\.\n", Valid: i%3 > 0}, []byte{0, byte(i), 255}); err != nil {
			t.Fatal(err)
		}
	}
}

// back puts the copy into a fresh database of the engine.
func back(t *testing.T, engine sqldb.Engine, dir string, c snapshot.Contents) *sqldb.DB {
	t.Helper()
	if engine == sqldb.SQLite {
		if err := snapshot.Check(t.Context(), dir, c); err != nil {
			t.Fatal(err)
		}
		return sqldbtest.Open(t, "sqlite:"+filepath.Join(dir, snapshot.SQLiteFile))
	}
	db := sqldbtest.Open(t, sqldbtest.Start(t))
	exec(t, db, schema[engine]...)
	if err := snapshot.Load(t.Context(), db, dir, c); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestThereAndBack(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if empty, err := snapshot.Empty(t.Context(), db); err != nil || !empty {
			t.Fatalf("a fresh database is empty: %v, %v", empty, err)
		}
		fill(t, db)
		exec(t, db, "UPDATE account SET amount = 5000 WHERE id = 7")
		dir := t.TempDir()
		c, err := snapshot.Write(t.Context(), db, dir, "none")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := snapshot.Write(t.Context(), db, dir); !errors.Is(err, os.ErrExist) {
			t.Errorf("a copy over a copy: %v", err)
		}
		want := rows(t, db)
		restored := back(t, db.Engine(), dir, c)
		if diff := cmp.Diff(want, rows(t, restored)); diff != "" {
			t.Error(diff)
		}
		if empty, err := snapshot.Empty(t.Context(), restored); err != nil || empty {
			t.Errorf("empty %v, %v", empty, err)
		}
		// The next number follows the copied ones, and the trigger is in force again.
		var id int64
		if err := restored.Writer().QueryRow("INSERT INTO account (zone, amount) VALUES (1, 1) RETURNING id").Scan(&id); err != nil || id != accounts+1 {
			t.Errorf("next id %d, %v", id, err)
		}
		if db.Engine() == sqldb.PostgreSQL {
			if _, err := restored.Writer().Exec("INSERT INTO account (zone, amount) VALUES (1, 101)"); err == nil {
				t.Error("the trigger stayed off")
			}
			for _, table := range c.Tables {
				if table.Name == "goose_x" || table.Name == "lease" {
					t.Errorf("%s was copied", table.Name)
				}
			}
		}
	})
}

// A copy is of one moment: money is moved in transactions all the while, and the sum in every copy is whole.
func TestCopyWhileWriting(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		fill(t, db)
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		moves := 0
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := db.WithTx(context.WithoutCancel(ctx), func(ctx context.Context, tx *sql.Tx) error {
					if _, err := tx.ExecContext(ctx, "UPDATE account SET amount = amount - 3 WHERE id = $1", 1+i%accounts); err != nil {
						return err
					}
					_, err := tx.ExecContext(ctx, "UPDATE account SET amount = amount + 3 WHERE id = $1", 1+(i*7+1)%accounts)
					return err
				})
				if err != nil {
					t.Errorf("a writer was stopped: %v", err)
					return
				}
				moves++
			}
		})
		type made struct {
			dir string
			c   snapshot.Contents
		}
		var copies []made
		for range 5 {
			dir := t.TempDir()
			c, err := snapshot.Write(ctx, db, dir)
			if err != nil {
				t.Error(err)
			}
			copies = append(copies, made{dir, c})
		}
		stop()
		group.Wait()
		if moves < 5 {
			t.Fatalf("only %d moves: nothing was proved", moves)
		}
		for _, m := range copies {
			var sum, n int64
			if err := back(t, db.Engine(), m.dir, m.c).Reader().QueryRow("SELECT SUM(amount), COUNT(*) FROM account").Scan(&sum, &n); err != nil {
				t.Fatal(err)
			}
			if sum != 100*accounts || n != accounts {
				t.Errorf("sum %d of %d accounts", sum, n)
			}
		}
	})
}

func TestWrongCopies(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		fill(t, db)
		dir := t.TempDir()
		c, err := snapshot.Write(t.Context(), db, dir)
		if err != nil {
			t.Fatal(err)
		}
		lie := c
		lie.Tables = append([]snapshot.Table(nil), c.Tables...)
		lie.Tables[0].Rows++
		if db.Engine() == sqldb.SQLite {
			if err := snapshot.Check(t.Context(), dir, lie); !errors.Is(err, snapshot.ErrDiffers) {
				t.Errorf("a wrong count: %v", err)
			}
			lie.Tables = c.Tables[1:]
			if err := snapshot.Check(t.Context(), dir, lie); !errors.Is(err, snapshot.ErrDiffers) {
				t.Errorf("an unlisted table: %v", err)
			}
			if err := snapshot.Load(t.Context(), db, dir, c); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("loading a file: %v", err)
			}
			return
		}
		target := sqldbtest.Open(t, sqldbtest.Start(t))
		exec(t, target, schema[db.Engine()]...)
		if err := snapshot.Load(t.Context(), target, dir, lie); !errors.Is(err, snapshot.ErrDiffers) {
			t.Errorf("a wrong count: %v", err)
		}
		lie.Tables[0] = snapshot.Table{Name: "zone", Columns: []string{"id"}, File: "../zone.copy"}
		if err := snapshot.Load(t.Context(), target, dir, lie); !errors.Is(err, snapshot.ErrDiffers) {
			t.Errorf("a file elsewhere: %v", err)
		}
		if n := len(rows(t, target)); n != 0 {
			t.Errorf("%d rows stayed of a copy that failed", n)
		}
	})
}
