package search

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

var _ Source = (*directory.Store)(nil)

type noQueue struct{}

func (noQueue) EnqueueLeaver(context.Context, *sql.Tx, ...access.Leaver) error      { return nil }
func (noQueue) EnqueueActivation(context.Context, *sql.Tx, access.Activation) error { return nil }
func (noQueue) EnqueueNotice(context.Context, *sql.Tx, identity.Notice) error       { return nil }

// The index over a real directory: what is imported, added and ended is found or not, and a new index finds the same.
func TestStore(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), directory.Migration()); err != nil {
			t.Fatal(err)
		}
		var n atomic.Int64
		now := func() time.Time { return start }
		store := directory.New(db, directory.Options{Now: now, Enqueuer: noQueue{}, NewID: func() policies.PersonID { return policies.PersonID(fmt.Sprintf("p%09d", n.Add(1))) }})
		by := directory.Author{Source: "test"}
		load := func(rows *directory.Rows) {
			t.Helper()
			if r, report, err := store.Import(t.Context(), everything, rows, by, directory.ImportOptions{}); err != nil || !r.Published {
				t.Fatal(err, report.Faults())
			}
		}
		orgs, _ := directory.ReadOrganizations(strings.NewReader("code,kind,name,kana,parent\n010006,prefecture,北海道,ほっかいどう,\n011002,municipality,札幌市,さっぽろし,\n012025,municipality,函館市,はこだてし,\n"), "o")
		load(orgs)
		x, err := Open(t.Context(), store, everything, now)
		if err != nil {
			t.Fatal(err)
		}
		if x.Len() != 0 || x.Number() != 3 {
			t.Errorf("%d people as of %d", x.Len(), x.Number())
		}
		const header = "org,staff_number,family_name,given_name,family_kana,given_kana,email,role\n"
		people, _ := directory.ReadPeople(strings.NewReader(header+"011002,S1,佐藤,花子,サトウ,ハナコ,a@x.example.lg.jp,general\n012025,S1,髙橋,誠,タカハシ,マコト,b@x.example.lg.jp,general\n"), "p")
		load(people)
		added, err := store.AddPerson(t.Context(), everything, identity.Person{Org: "012025", StaffNumber: "S2", FamilyName: "佐藤", Email: "c@x.example.lg.jp", Role: policies.RoleGeneral}, by)
		if err != nil {
			t.Fatal(err)
		}
		find := func(x *Index, text string) string {
			p, err := x.Search(everything, Query{Text: text})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, c := range p.Contacts {
				names = append(names, c.OrgName+" "+c.Email[:1])
			}
			return strings.Join(names, ", ")
		}
		check := func(want map[string]string) {
			t.Helper()
			catchUp(t, x)
			fresh, err := Open(t.Context(), store, everything, now)
			if err != nil {
				t.Fatal(err)
			}
			for text, w := range want {
				if a, b := find(x, text), find(fresh, text); a != w || b != w {
					t.Errorf("%s: followed %q, opened %q, want %q", text, a, b, w)
				}
			}
			if x.Number() != fresh.Number() || x.Len() != fresh.Len() {
				t.Errorf("followed to %d, %d people; opened at %d, %d people", x.Number(), x.Len(), fresh.Number(), fresh.Len())
			}
		}
		check(map[string]string{"佐藤": "札幌市 a, 函館市 c", "函館": "函館市 b, 函館市 c", "takahashi": "函館市 b", "高橋": "函館市 b"})
		if err := store.EndPerson(t.Context(), everything, added.ID, by); err != nil {
			t.Fatal(err)
		}
		renamed, _ := directory.ReadOrganizations(strings.NewReader("code,kind,name,kana,parent\n012025,municipality,新函館市,しんはこだてし,\n"), "o")
		load(renamed)
		check(map[string]string{"佐藤": "札幌市 a", "新函館": "新函館市 b", "函館": ""})
	})
}
