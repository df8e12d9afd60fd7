package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

const at = int64(1_790_000_000_000_000)

func row(change func(*audit.Row)) audit.Row {
	r := audit.Row{
		At: at, Actor: "p1", ActorKind: audit.ActorPerson, Action: "people.write", Org: "011002", Object: "p2",
		Outcome: audit.Done, Reason: "administrator-writes-own-people", PolicyHash: strings.Repeat("a", 64),
	}
	if change != nil {
		change(&r)
	}
	return r
}

func migrated(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if err := db.Migrate(t.Context(), audit.Migration(db.Engine())); err != nil {
		t.Fatal(err)
	}
}

func appendRows(t *testing.T, db *sqldb.DB, rows ...audit.Row) {
	t.Helper()
	err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range rows {
			if err := audit.Append(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAppendAndFind(t *testing.T) {
	all := policies.System(policies.TaskTest)
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrated(t, db)
		full := row(func(r *audit.Row) {
			r.ID, r.Detail = "b", map[string]any{"rows": float64(3), "note": "取込"}
		})
		appendRows(t, db, full,
			row(func(r *audit.Row) { r.ID = "a" }), // same time as "b": the id decides
			row(func(r *audit.Row) { r.ID, r.At, r.Org, r.Outcome = "c", at+1, "131016", audit.Refused }),
			row(func(r *audit.Row) {
				r.ID, r.At, r.Org, r.Actor, r.ActorKind = "d", at+2, "", "root", audit.ActorBreakGlass
			}),
		)
		find := func(scope policies.Scope, f audit.Filter) string {
			t.Helper()
			rows, err := audit.Find(t.Context(), db.Reader(), scope, f)
			if err != nil {
				t.Fatal(err)
			}
			var ids strings.Builder
			for _, r := range rows {
				ids.WriteString(r.ID)
			}
			return ids.String()
		}
		for _, tc := range []struct {
			filter audit.Filter
			want   string
		}{
			{audit.Filter{}, "dcba"},
			{audit.Filter{Limit: 2}, "dc"},
			{audit.Filter{From: at + 1}, "dc"},
			{audit.Filter{Until: at + 1}, "ba"},
			{audit.Filter{Org: "131016"}, "c"},
			{audit.Filter{Outcome: audit.Refused}, "c"},
			{audit.Filter{Actor: "root"}, "d"},
			{audit.Filter{Action: "people.write", Object: "p2", Org: "011002"}, "ba"},
			{audit.Filter{Before: &full}, "a"},
			{audit.Filter{Action: "plan.make"}, ""},
		} {
			if got := find(all, tc.filter); got != tc.want {
				t.Errorf("%+v: %s, want %s", tc.filter, got, tc.want)
			}
		}
		rows, err := audit.Find(t.Context(), db.Reader(), all, audit.Filter{Until: at + 1, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]audit.Row{full}, rows); diff != "" {
			t.Error(diff)
		}
	})
}

// TestFindKeepsTheScope holds that a closed scope sees its own organizations alone, and nothing of the whole workspace.
func TestFindKeepsTheScope(t *testing.T) {
	schema, err := fs.ReadFile(policies.Files, load.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	set, err := load.Load(fstest.MapFS{load.SchemaFile: {Data: schema}, "rules/t.cedar": {Data: []byte(
		`@id("own") permit (principal, action == Musubi::Action::"audit.read", resource is Musubi::Organization) when { resource == principal.org };`,
	)}})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := policies.NewEngine(set)
	if err != nil {
		t.Fatal(err)
	}
	own := policies.Organization{ID: "011002", Kind: policies.KindMunicipality}
	person := policies.Person{ID: "p1", Org: own, Role: policies.RoleAdministrator, Active: true}
	closed, err := engine.Scope(person, policies.ActionAuditRead, []policies.Organization{own, {ID: "131016", Kind: policies.KindMunicipality}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := engine.Scope(person, policies.ActionPeopleRead, nil)
	if err != nil {
		t.Fatal(err)
	}
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrated(t, db)
		appendRows(t, db,
			row(func(r *audit.Row) { r.ID = "a" }),
			row(func(r *audit.Row) { r.ID, r.Org = "b", "131016" }),
			row(func(r *audit.Row) { r.ID, r.Org = "c", "" }))
		rows, err := audit.Find(t.Context(), db.Reader(), closed, audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 1 || rows[0].ID != "a" {
			t.Errorf("found %+v", rows)
		}
		for name, scope := range map[string]policies.Scope{"zero": {}, "of another action": other} {
			if _, err := audit.Find(t.Context(), db.Reader(), scope, audit.Filter{}); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("a scope that is %s: %v", name, err)
			}
		}
		if _, err := audit.Find(t.Context(), db.Reader(), closed, audit.Filter{Limit: audit.MaxPage + 1}); err == nil {
			t.Error("a page without bounds was given")
		}
	})
}

func TestRowsNeverChange(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		migrated(t, db)
		original := row(func(r *audit.Row) { r.ID = "a" })
		appendRows(t, db, original)
		statements := []string{
			"UPDATE audit_row SET actor = 'p9'", "UPDATE audit_row SET outcome = 'refused' WHERE id = 'a'", "DELETE FROM audit_row",
		}
		values := `(id, at, actor, actor_kind, action, org, object, outcome, reason, policy_hash, detail)
			VALUES ('a', 1, 'p9', 'person', 'x', '', '', 'done', '', '', '{}')`
		switch db.Engine() {
		case sqldb.SQLite:
			statements = append(statements, "INSERT OR REPLACE INTO audit_row "+values, "REPLACE INTO audit_row "+values)
		case sqldb.PostgreSQL:
			statements = append(statements, "TRUNCATE audit_row", "INSERT INTO audit_row "+values+" ON CONFLICT (id) DO UPDATE SET actor = 'p9'")
		}
		for _, s := range statements {
			if _, err := db.Writer().ExecContext(t.Context(), s); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", s, err)
			}
		}
		rows, err := audit.Find(t.Context(), db.Reader(), policies.System(policies.TaskTest), audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]audit.Row{original}, rows); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRowsThatCantBeKept(t *testing.T) {
	db := tables.Open(t, sqldb.SQLite)
	migrated(t, db)
	for want, change := range map[string]func(*audit.Row){
		"no time":                 func(r *audit.Row) { r.At = 0 },
		"no actor":                func(r *audit.Row) { r.Actor = "" },
		"unknown actor kind":      func(r *audit.Row) { r.ActorKind = "robot" },
		"no action":               func(r *audit.Row) { r.Action = "" },
		"unknown outcome":         func(r *audit.Row) { r.Outcome = "perhaps" },
		"bytes of actor":          func(r *audit.Row) { r.Actor = strings.Repeat("x", audit.MaxName+1) },
		"bytes of object":         func(r *audit.Row) { r.Object = strings.Repeat("x", audit.MaxObject+1) },
		"bytes of reason":         func(r *audit.Row) { r.Reason = strings.Repeat("x", audit.MaxReason+1) },
		"bytes of detail":         func(r *audit.Row) { r.Detail = map[string]any{"x": strings.Repeat("x", audit.MaxDetail)} },
		"isn't JSON":              func(r *audit.Row) { r.Detail = map[string]any{"x": func() {}} },
		"e-mail address in its d": func(r *audit.Row) { r.Detail = map[string]any{"who": []string{"taro@city.example.jp"}} },
		"e-mail address in its o": func(r *audit.Row) { r.Object = "taro@city.example.jp" },
		"isn't UTF-8":             func(r *audit.Row) { r.Reason = "\xff" },
		"NUL":                     func(r *audit.Row) { r.Reason = "a\x00" },
	} {
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row(change)) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestIDsAreUniqueAndInTimeOrder(t *testing.T) {
	db := tables.Open(t, sqldb.SQLite)
	migrated(t, db)
	var rows []audit.Row
	for i := range 50 {
		rows = append(rows, row(func(r *audit.Row) { r.At = at + int64(i)*1000; r.Object = fmt.Sprint(i) }))
	}
	appendRows(t, db, rows...)
	found, err := audit.Find(t.Context(), db.Reader(), policies.System(policies.TaskTest), audit.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(rows) {
		t.Fatalf("%d rows of %d", len(found), len(rows))
	}
	for i := 1; i < len(found); i++ {
		if found[i].ID >= found[i-1].ID {
			t.Errorf("ids %s and %s aren't in the order of time", found[i].ID, found[i-1].ID)
		}
	}
}
