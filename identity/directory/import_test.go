package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

func (f *fixture) importPeopleText(t testing.TB, scope policies.Scope, text string, dryRun bool) (Result, *review.Report) {
	t.Helper()
	rows, _ := ReadPeople(strings.NewReader(text), "people.csv")
	by := tester
	by.Actor = scope.Actor()
	r, report, err := f.Import(t.Context(), scope, rows, by, ImportOptions{DryRun: dryRun})
	if err != nil {
		t.Fatal(err)
	}
	return r, report
}

// compared makes the comparison that an import of the rows makes.
func (f *fixture) compared(t testing.TB, rows *Rows) *comparison {
	t.Helper()
	c, err := f.place(t.Context(), everything, rows, ImportOptions{Progress: func(int64, int64, string) {}}, rows.Report)
	if err == nil {
		err = f.compare(t.Context(), everything, c, rows.Report)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func noRecord(int64) map[string]any { return nil }

func TestImportPeople(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		before := len(f.changes(t))
		want := Result{Added: 4}
		if r, report := f.importPeopleText(t, everything, somePeople, true); r != want || !report.OK() {
			t.Fatalf("dry run: %+v", r)
		}
		if c, err := f.Counts(t.Context(), everything); err != nil || c.People != 0 || f.staged(t) != 0 || len(f.changes(t)) != before {
			t.Fatalf("a dry run wrote: %+v, %v, %d staged", c, err, f.staged(t))
		}
		want.Published = true
		if r, report := f.importPeopleText(t, everything, somePeople, false); r != want || !report.OK() {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		feed := f.changes(t)[before:]
		if len(feed) != 4 || f.staged(t) != 0 {
			t.Fatalf("%d feed rows, %d staged", len(feed), f.staged(t))
		}
		for i, c := range feed {
			if c.Number != int64(before+i+1) || c.Kind != PersonAdded || c.Author != tester || c.At != f.micros() || len(c.Before) != 0 {
				t.Errorf("%+v", c)
			}
		}
		var after personRecord
		if err := json.Unmarshal(feed[1].After, &after); err != nil || after.Email != "Taro@c011002.example.lg.jp" || after.StaffNumber != "S2" {
			t.Error(err, after)
		}
		hanako := f.find(t, "011002", "S1")
		if hanako.Org != feed[0].Org || string(hanako.ID) != feed[0].Object || hanako.FamilyKana != "サトウ" || hanako.UpdatedAt != f.micros() {
			t.Errorf("%+v", hanako)
		}

		// Again: nothing changes.
		if r, _ := f.importPeopleText(t, everything, somePeople, false); r != (Result{Unchanged: 4, Published: true}) {
			t.Errorf("%+v", r)
		}
		if n := len(f.changes(t)); n != before+4 {
			t.Errorf("%d changes", n)
		}

		// Changed rows keep the person; two may swap their addresses, a newcomer take one that becomes free.
		f.clock.advance(time.Hour)
		swapped := peopleHeader + `011002,S1,佐藤,花子,サトウ,ハナコ,taro@c011002.example.lg.jp,general
011002,S2,鈴木,太郎,スズキ,タロウ,hanako@c011002.example.lg.jp,administrator
131016,S1,田中,,タナカ,,tanaka2@c131016.example.lg.jp,general
131016,S9,田中,新,タナカ,アラタ,tanaka@c131016.example.lg.jp,general
`
		if r, report := f.importPeopleText(t, everything, swapped, false); r != (Result{Added: 1, Changed: 3, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		again := f.find(t, "011002", "S1")
		if again.ID != hanako.ID || again.Email != "taro@c011002.example.lg.jp" || again.Role != policies.RoleGeneral || again.UpdatedAt != f.micros() {
			t.Errorf("%+v", again)
		}
		feed = f.changes(t)[before+4:]
		if feed[0].Kind != PersonChanged || feed[3].Kind != PersonAdded {
			t.Fatalf("%+v", feed)
		}
		var was personRecord
		if err := json.Unmarshal(feed[0].Before, &was); err != nil || was.Email != "hanako@c011002.example.lg.jp" || was.Role != policies.RoleAdministrator {
			t.Error(err, was)
		}
	})
}

func TestImportRefusals(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		hanako := f.find(t, "011002", "S1")
		if err := f.EndPerson(t.Context(), everything, hanako.ID, tester); err != nil {
			t.Fatal(err)
		}
		town := townScope(t, "011002", policies.ActionPeopleWrite)
		for _, c := range []struct {
			name   string
			scope  policies.Scope
			row    string
			column string
			reason string
		}{
			{"unknown organization", everything, "470007,S1,佐藤,,,,a@b.jp,general", "org", "not registered"},
			{"ward", everything, "011011,S1,佐藤,,,,a@b.jp,general", "org", "a ward has no people"},
			{"outside the scope", town, "131016,S1,田中,,タナカ,,tanaka@c131016.example.lg.jp,general", "org", "outside what you administer"},
			{"outside the scope and unknown", town, "470007,S1,田中,,タナカ,,tanaka@x.jp,general", "org", "outside what you administer"},
			{"self-made system administrator", town, "011002,S2,鈴木,太郎,スズキ,タロウ,Taro@c011002.example.lg.jp,system_administrator", "role", "operating agency"},
			{"address of a colleague", town, "011002,S7,佐藤,,,,TARO@c011002.example.lg.jp,general", "email", "011002 / S2"},
			{"address of somebody elsewhere", town, "011002,S7,佐藤,,,,tanaka@c131016.example.lg.jp,general", "email", "in another organization"},
			{"address of somebody else, by a change", town, "011002,S2,鈴木,,,,tanaka@c131016.example.lg.jp,general", "email", "in another organization"},
			{"staff number of somebody ended", everything, "011002,S1,佐藤,次郎,,,jiro@c011002.example.lg.jp,general", "staff_number", "service has ended"},
			{"wrong check digit", everything, "011003,S1,佐藤,,,,a@b.jp,general", "org", "have 2 there"},
		} {
			before := len(f.changes(t))
			good := "\n011002,S100,佐藤,,,,s100@c011002.example.lg.jp,general\n"
			r, report := f.importPeopleText(t, c.scope, peopleHeader+c.row+good, false)
			if r != (Result{Added: 1, Refused: 1}) {
				t.Errorf("%s: %+v", c.name, r)
			}
			faults := report.Faults()
			if len(faults) != 1 || faults[0].Column != c.column || !strings.Contains(faults[0].Reason.EN, c.reason) || faults[0].Line != 2 {
				t.Errorf("%s: %+v", c.name, faults)
			}
			if strings.Contains(c.reason, "another") && strings.Contains(fmt.Sprint(faults[0]), "131016 ") {
				t.Errorf("%s: the other organization is told: %+v", c.name, faults)
			}
			if len(f.changes(t)) != before || f.staged(t) != 0 {
				t.Errorf("%s: something was written", c.name)
			}
		}
		// The file that still lists somebody who ended, as they were: left ended, with a notice.
		r, report := f.importPeopleText(t, everything, somePeople, false)
		if r != (Result{Unchanged: 3, Ended: 1, Published: true}) || len(report.Notices()) != 1 || report.Notices()[0].Line != 2 {
			t.Errorf("%+v, %+v", r, report.Notices())
		}
		if f.find(t, "011002", "S1").Active() {
			t.Error("the import brought somebody back")
		}
		// Somebody who ended leaves the address free.
		if r, _ := f.importPeopleText(t, town, peopleHeader+"011002,S8,佐藤,,,,hanako@c011002.example.lg.jp,general", false); r.Added != 1 || !r.Published {
			t.Errorf("%+v", r)
		}
	})
}

// A sample of the system administrators' own file: the role is theirs alone.
func TestImportAgency(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, peopleHeader+"8000012010038,D1,神田,葵,カンダ,アオイ,aoi@digital.example.go.jp,system_administrator\n")
		if p := f.find(t, "8000012010038", "D1"); p.Role != policies.RoleSystemAdministrator {
			t.Errorf("%+v", p)
		}
	})
}

func TestImportOrganizations(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		text := func(s string, scope policies.Scope, dryRun bool) (Result, *review.Report) {
			t.Helper()
			rows, _ := ReadOrganizations(strings.NewReader(s), "orgs.csv")
			by := tester
			by.Actor = scope.Actor()
			r, report, err := f.Import(t.Context(), scope, rows, by, ImportOptions{DryRun: dryRun})
			if err != nil {
				t.Fatal(err)
			}
			return r, report
		}
		if r, _ := text(someOrgs, everything, true); r != (Result{Added: 7}) || len(f.changes(t)) != 0 {
			t.Fatalf("%+v", r)
		}
		if r, _ := text(someOrgs, everything, false); r != (Result{Added: 7, Published: true}) {
			t.Fatalf("%+v", r)
		}
		if r, _ := text(someOrgs, everything, false); r != (Result{Unchanged: 7, Published: true}) || len(f.changes(t)) != 7 {
			t.Fatalf("%+v", r)
		}
		head := "code,kind,name,kana,parent\n"
		town := townScope(t, "011002", policies.ActionOrgWrite)
		if r, report := text(head+"011002,municipality,新札幌市,さっぽろし,010006\n", town, false); r != (Result{Changed: 1, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		c := f.changes(t)[7]
		if c.Number != 8 || c.Kind != OrgChanged || c.Author.Actor != town.Actor() || !strings.Contains(string(c.Before), `"札幌市"`) || !strings.Contains(string(c.After), `"新札幌市"`) {
			t.Errorf("%+v", c)
		}
		for _, bad := range []struct{ row, reason string }{
			{"131016,municipality,別名,,", "outside"},
			{"012025,municipality,函館市,,", "outside"},
		} {
			if r, report := text(head+bad.row+"\n", town, false); r != (Result{Refused: 1}) || !strings.Contains(report.Faults()[0].Reason.EN, bad.reason) {
				t.Errorf("%s: %+v, %v", bad.row, r, report.Faults())
			}
		}
		for _, bad := range []struct{ row, reason string }{
			{"011002,ward,札幌市,,012025", "registered with the kind municipality"},
			{"272035,municipality,豊中市,,", "not registered"},
			{"011029,ward,札幌市 北区,,012025", "not registered"},
			{"011029,ward,札幌市 北区,,011011", "wrong kind: ward"},
		} {
			if r, report := text(head+bad.row+"\n", everything, false); r != (Result{Refused: 1}) || !strings.Contains(fmt.Sprint(report.Faults()), bad.reason) {
				t.Errorf("%s: %+v, %v", bad.row, r, report.Faults())
			}
		}
		if len(f.changes(t)) != 8 {
			t.Error("a refused file wrote")
		}
	})
}

func TestImportNeedsTheRightScope(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		rows, _ := ReadPeople(strings.NewReader(somePeople), "people.csv")
		town := townScope(t, "011002", policies.ActionPeopleWrite)
		for name, c := range map[string]struct {
			scope policies.Scope
			by    Author
		}{
			"zero":          {policies.Scope{}, tester},
			"reading":       {townScope(t, "011002", policies.ActionPeopleRead), Author{Actor: "admin-011002"}},
			"other subject": {townScope(t, "011002", policies.ActionOrgWrite), Author{Actor: "admin-011002"}},
			"other author":  {town, Author{Actor: "somebody"}},
		} {
			if _, _, err := f.Import(t.Context(), c.scope, rows, c.by, ImportOptions{}); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The national list, as it is: 1,788 local governments, and the wards under their cities. Imported twice without a difference, and over
// organizations that know more than it does (the prefectures' kana).
func TestNationalList(t *testing.T) {
	path := shared(t, "data/localgov.csv")
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		for run, want := range []Result{{Added: 47 + 1741 + 175 - 5, Unchanged: 5, Published: true}, {Unchanged: 47 + 1741 + 175, Published: true}} {
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			rows, _ := ReadOrganizations(file, "localgov.csv")
			_ = file.Close()
			r, report, err := f.Import(t.Context(), everything, rows, tester, ImportOptions{})
			if err != nil || r != want {
				t.Fatalf("run %d: %+v, %v, %v", run, r, report.Faults(), err)
			}
		}
		c, err := f.Counts(t.Context(), everything)
		if err != nil || c.Organizations != 1788+2 || c.Wards != 175 || c.PerKind[policies.KindPrefecture] != 47 || c.PerKind[policies.KindMunicipality] != 1741 {
			t.Errorf("%+v, %v", c, err)
		}
		for id, want := range map[policies.OrgID]identity.Organization{
			"470007": {Kind: policies.KindPrefecture, Name: "沖縄県"},
			"010006": {Kind: policies.KindPrefecture, Name: "北海道", Kana: "ほっかいどう"},
			"131016": {Kind: policies.KindMunicipality, Name: "千代田区", Kana: "ちよだく", Parent: "130001"},
			"221317": {Kind: policies.KindWard, Name: "浜松市 中区", Kana: "はままつし なかく", Parent: "221309"},
		} {
			o, err := f.Organization(t.Context(), everything, id)
			want.ID, want.State, want.UpdatedAt = id, identity.OnboardingListed, o.UpdatedAt
			if err != nil || o != want {
				t.Errorf("%+v, %v", o, err)
			}
		}
		numbers := f.changes(t)
		if len(numbers) != 1958+7 || numbers[len(numbers)-1].Number != int64(len(numbers)) {
			t.Errorf("%d changes", len(numbers))
		}
	})
}

// Another writer gets between comparing and publishing: the import compares again, and reports what that brings.
func TestImportMeetsAnotherWriter(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		taro := f.find(t, "011002", "S2")
		interfere := func(stage string, do func()) Progress {
			done := false
			return func(_, _ int64, at string) {
				if at == stage && !done {
					done = true
					do()
				}
			}
		}
		change := strings.ReplaceAll(somePeople, "鈴木", "鈴樹")
		rows, _ := ReadPeople(strings.NewReader(change), "people.csv")
		r, report, err := f.Import(t.Context(), everything, rows, tester, ImportOptions{Progress: interfere(StagePublish, func() {
			if err := f.EndPerson(t.Context(), everything, taro.ID, tester); err != nil {
				t.Error(err)
			}
		})})
		if err != nil || r.Published || r.Refused != 1 || !strings.Contains(report.Faults()[0].Reason.EN, "service has ended") {
			t.Errorf("%+v, %v, %v", r, report.Faults(), err)
		}
		// The newcomer's address is taken in between.
		rows, _ = ReadPeople(strings.NewReader(peopleHeader+"011002,S5,佐藤,,,,new@c011002.example.lg.jp,general\n011002,S6,佐藤,,,,s6@c011002.example.lg.jp,general\n"), "people.csv")
		r, report, err = f.Import(t.Context(), everything, rows, tester, ImportOptions{Progress: interfere(StagePublish, func() {
			_, err := f.AddPerson(t.Context(), everything, identity.Person{
				Org: "131016", StaffNumber: "S5", FamilyName: "森", Email: "NEW@c011002.example.lg.jp", Role: policies.RoleGeneral,
			}, tester)
			if err != nil {
				t.Error(err)
			}
		})})
		if err != nil || r != (Result{Added: 1, Refused: 1}) || report.Faults()[0].Column != "email" {
			t.Errorf("%+v, %v, %v", r, report.Faults(), err)
		}
		// Something unrelated happens: published all the same.
		rows, _ = ReadPeople(strings.NewReader(peopleHeader+"011002,S6,佐藤,,,,s6@c011002.example.lg.jp,general\n"), "people.csv")
		r, _, err = f.Import(t.Context(), everything, rows, tester, ImportOptions{Progress: interfere(StagePublish, func() {
			if err := f.EndPerson(t.Context(), everything, f.find(t, "131016", "S1").ID, tester); err != nil {
				t.Error(err)
			}
		})})
		if err != nil || r != (Result{Added: 1, Published: true}) {
			t.Errorf("%+v, %v", r, err)
		}
		// The directory doesn't stand still: refused, nothing half done.
		rows, _ = ReadPeople(strings.NewReader(peopleHeader+"011002,S6,佐藤,某,,,s6@c011002.example.lg.jp,general\n"), "people.csv")
		n := 0
		_, _, err = f.Import(t.Context(), everything, rows, tester, ImportOptions{Progress: func(done, _ int64, at string) {
			if at == StagePublish && done == 0 {
				n++
				other, _ := ReadPeople(strings.NewReader(fmt.Sprintf("%s011002,S6,佐藤,%d,,,s6@c011002.example.lg.jp,general\n", peopleHeader, n)), "other.csv")
				if r, _, err := f.Import(t.Context(), everything, other, tester, ImportOptions{}); err != nil || r.Changed != 1 {
					t.Error(r, err)
				}
			}
		}})
		if !errors.Is(err, ErrImportBusy) || f.find(t, "011002", "S6").GivenName != fmt.Sprint(importTries) {
			t.Errorf("%v, %+v", err, f.find(t, "011002", "S6"))
		}
		assertGapless(t, f)
		if f.staged(t) != 0 {
			t.Error("staging is left")
		}
	})
}

// An import that is cancelled at any stage leaves nothing behind.
func TestImportCancelled(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		before := len(f.changes(t))
		for _, stage := range []string{StageCompare, StageStage, StagePublish} {
			ctx, cancel := context.WithCancel(t.Context())
			rows, _ := ReadPeople(strings.NewReader(somePeople), "people.csv")
			_, _, err := f.Import(ctx, everything, rows, tester, ImportOptions{Progress: func(_, _ int64, at string) {
				if at == stage {
					cancel()
				}
			}})
			cancel()
			if !errors.Is(err, context.Canceled) || f.staged(t) != 0 || len(f.changes(t)) != before {
				t.Errorf("cancelled at %s: %v, %d staged, %d changes", stage, err, f.staged(t), len(f.changes(t)))
			}
		}
	})
}

// A process that dies between staging and publishing leaves the directory as it was; the next import drops its rows once they are old,
// and leaves those of a living import alone. One that was taken for dead can't publish any more.
func TestSweep(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		rows, _ := ReadPeople(strings.NewReader(somePeople), "people.csv")
		c := f.compared(t, rows)
		dead, err := f.openBatch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.stage(t.Context(), dead, c); err != nil {
			t.Fatal(err)
		}
		if c, err := f.Counts(t.Context(), everything); err != nil || c.People != 0 || f.staged(t) != 5 {
			t.Fatalf("%+v, %v, %d staged", c, err, f.staged(t))
		}
		one := peopleHeader + "011002,S1,佐藤,花子,,,h@c011002.example.lg.jp,general\n"
		f.importPeopleText(t, everything, one, false)
		if f.staged(t) != 5 {
			t.Fatalf("the staging of a living import was swept: %d", f.staged(t))
		}
		f.clock.advance(staleBeat + time.Second)
		f.importPeopleText(t, everything, one, false)
		if f.staged(t) != 0 {
			t.Fatalf("%d staged", f.staged(t))
		}
		if err := f.publish(t.Context(), dead, c, tester, noRecord); !errors.Is(err, ErrImportDropped) {
			t.Errorf("%v", err)
		}
		if c, err := f.Counts(t.Context(), everything); err != nil || c.People != 1 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// A sweeper may die too, halfway through: the batch that it marked can't be published with what is left of it.
func TestMarkedBatchIsNotPublished(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		rows, _ := ReadPeople(strings.NewReader(somePeople), "people.csv")
		c := f.compared(t, rows)
		batch, err := f.openBatch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.stage(t.Context(), batch, c); err != nil {
			t.Fatal(err)
		}
		if _, err := f.db.Writer().ExecContext(t.Context(), "UPDATE staged_batch SET state = $1 WHERE id = $2", batchDropping, batch); err != nil {
			t.Fatal(err)
		}
		if err := f.publish(t.Context(), batch, c, tester, noRecord); !errors.Is(err, ErrImportDropped) {
			t.Errorf("%v", err)
		}
		if err := f.stage(t.Context(), batch, c); !errors.Is(err, ErrImportDropped) {
			t.Errorf("%v", err)
		}
	})
}

func TestImportBadFile(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		for _, text := range []string{"PK\x03\x04", "", "org\n"} {
			r, report := f.importPeopleText(t, everything, text, false)
			if r != (Result{}) || report.Total() != 1 {
				t.Errorf("%q: %+v, %v", text, r, report.Faults())
			}
		}
		// A header alone is a good file of nobody.
		if r, report := f.importPeopleText(t, everything, peopleHeader, false); r != (Result{Published: true}) || !report.OK() {
			t.Errorf("%+v, %v", r, report.Faults())
		}
	})
}
