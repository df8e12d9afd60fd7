package directory

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
)

func day(date string) int64 {
	at, err := time.Parse(time.DateOnly+" MST", date+" JST")
	if err != nil {
		panic(err)
	}
	return at.Add(-9 * time.Hour).UnixMicro()
}

// A merger 廃置分合: the town ceases, its successor stands there, its people have to go first.
func TestEndOrganization(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		edit := func(change func(*identity.Organization)) (identity.Organization, error) {
			return f.EditOrganization(t.Context(), everything, "131016", tester, func(o *identity.Organization) error { change(o); return nil })
		}
		for name, c := range map[string]struct {
			change func(*identity.Organization)
			say    string
		}{
			"people in service":       {func(o *identity.Organization) { o.Until = day("2027-03-01") }, "people in service"},
			"successor without a day": {func(o *identity.Organization) { o.Successor = "011002" }, "no day"},
			"its own successor":       {func(o *identity.Organization) { o.Until, o.Successor = day("2028-04-01"), "131016" }, "succeed itself"},
			"unknown successor":       {func(o *identity.Organization) { o.Until, o.Successor = day("2028-04-01"), "012041" }, "not found"},
			"before it began":         {func(o *identity.Organization) { o.From, o.Until = day("2028-04-01"), day("2028-03-01") }, "before it exists"},
			"another kind":            {func(o *identity.Organization) { o.Kind = policies.KindPrefecture }, "never change"},
			"unknown state":           {func(o *identity.Organization) { o.State = "asleep" }, "state"},
			"no telephone number":     {func(o *identity.Organization) { o.Duty.Phone = "call me" }, "duty_phone"},
			"no mail address":         {func(o *identity.Organization) { o.Night.Email = "bousai" }, "night_email"},
		} {
			before := len(f.changes(t))
			if _, err := edit(c.change); err == nil || !strings.Contains(err.Error(), c.say) || len(f.changes(t)) != before {
				t.Errorf("%s: %v", name, err)
			}
		}
		o, err := edit(func(o *identity.Organization) {
			o.Until, o.Successor, o.State = day("2028-04-01"), "011002", identity.OnboardingInvited
			o.Duty = identity.Contact{Name: "総務課", Phone: "03-1234-5678 (内線 12)", Email: "soumu@c131016.example.lg.jp"}
		})
		if err != nil || !o.Exists(day("2028-03-31")) || o.Exists(day("2028-04-01")) {
			t.Fatalf("%+v, %v", o, err)
		}
		stored, err := f.Organization(t.Context(), everything, "131016")
		if err != nil || stored != o {
			t.Fatalf("%+v, %v", stored, err)
		}
		all := f.changes(t)
		last := all[len(all)-1]
		if last.Kind != OrgChanged || last.Org != "131016" || !strings.Contains(string(last.After), `"successor":"011002"`) || strings.Contains(string(last.Before), "successor") {
			t.Errorf("%+v", last)
		}
		if again, err := edit(func(*identity.Organization) {}); err != nil || again != o || len(f.changes(t)) != len(all) {
			t.Errorf("an edit that changes nothing: %+v, %v", again, err)
		}
		// An import of a file without these columns leaves them as they are.
		f.load(t, strings.Replace(someOrgs, "千代田区,ちよだく", "千代田区,チヨダク", 1), "")
		o.Kana, o.UpdatedAt = "チヨダク", f.micros()
		if stored, err := f.Organization(t.Context(), everything, "131016"); err != nil || stored != o {
			t.Errorf("%+v, %v", stored, err)
		}
	})
}

func TestServices(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs+string(contractor)+",contractor,例示システム株式会社,,\n", "")
		at := day("2027-04-01")
		add := func(org policies.OrgID, from, until int64) error {
			return f.AddService(t.Context(), everything, identity.Service{Contractor: contractor, Org: org, From: from, Until: until}, tester)
		}
		if err := errors.Join(add("011002", at, day("2028-04-01")), add("011002", day("2028-04-01"), 0), add("131016", at, 0)); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			org         policies.OrgID
			from, until int64
			want        error
		}{
			{"011002", day("2027-05-01"), day("2027-06-01"), identity.ErrExists},
			{"011002", day("2029-05-01"), 0, identity.ErrExists},
			{"131016", day("2026-04-01"), 0, identity.ErrExists},
			{"012041", at, 0, identity.ErrNotFound},
		} {
			if err := add(c.org, c.from, c.until); !errors.Is(err, c.want) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if err := add("131016", day("2026-04-01"), at); err != nil {
			t.Errorf("a period that ends when the other begins: %v", err)
		}
		for _, bad := range []policies.OrgID{"011011", contractor} {
			if err := add(bad, at, 0); err == nil {
				t.Errorf("%s is served", bad)
			}
		}
		if err := f.AddService(t.Context(), everything, identity.Service{Contractor: "2000012020001", Org: "011002", From: at}, tester); err == nil {
			t.Error("a ministry serves a town")
		}
		list := func(filter ServiceFilter) int {
			t.Helper()
			found, err := f.Services(t.Context(), everything, filter)
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		}
		if n := list(ServiceFilter{}); n != 4 {
			t.Errorf("%d services", n)
		}
		if n := list(ServiceFilter{At: day("2027-12-01")}); n != 2 {
			t.Errorf("%d services in force", n)
		}
		if n := list(ServiceFilter{Org: "011002", After: 1}); n != 1 {
			t.Errorf("%d on the second page", n)
		}
		if err := f.EndService(t.Context(), everything, contractor, "131016", day("2027-07-01"), tester); err != nil {
			t.Fatal(err)
		}
		if n := list(ServiceFilter{Org: "131016", At: day("2027-07-01")}); n != 0 {
			t.Errorf("%d services after the end", n)
		}
		// One that hasn't begun is taken back.
		if err := f.EndService(t.Context(), everything, contractor, "011002", day("2028-04-01"), tester); err != nil {
			t.Fatal(err)
		}
		if n := list(ServiceFilter{Org: "011002"}); n != 1 {
			t.Errorf("%d services", n)
		}
		if err := f.EndService(t.Context(), everything, contractor, "131016", day("2027-07-01"), tester); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("ended twice: %v", err)
		}
		kinds := map[ChangeKind]int{}
		for _, c := range f.changes(t) {
			kinds[c.Kind]++
		}
		if kinds[ServiceAdded] != 4 || kinds[ServiceEnded] != 2 {
			t.Errorf("%v", kinds)
		}
	})
}

func TestEditPerson(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		p := f.find(t, "011002", "S2")
		edit := func(change func(*identity.Person)) (identity.Person, error) {
			actor, err := access.BreakGlass("root")
			if err != nil {
				t.Fatal(err)
			}
			by := Author{Source: "test", Why: "a test", By: actor}
			return f.EditPerson(t.Context(), everything, p.ID, by, func(p *identity.Person) error { change(p); return nil })
		}
		for name, c := range map[string]struct {
			change func(*identity.Person)
			say    string
		}{
			"organization": {func(p *identity.Person) { p.Org = "131016" }, "transfer"},
			"end":          {func(p *identity.Person) { p.EndedAt = 1 }, "ending"},
			"number taken": {func(p *identity.Person) { p.StaffNumber = "S1" }, "staff number is taken"},
			"mail taken":   {func(p *identity.Person) { p.Email = "HANAKO@c011002.example.lg.jp" }, "address is taken"},
			"rank":         {func(p *identity.Person) { p.Role = policies.RoleSystemAdministrator }, "agency"},
			"absence":      {func(p *identity.Person) { p.AbsentUntil = 5 }, "absence"},
			"phone":        {func(p *identity.Person) { p.Phone = "x" }, "telephone"},
		} {
			if _, err := edit(c.change); err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("%s: %v", name, err)
			}
		}
		want := p
		change := func(p *identity.Person) {
			p.FamilyName, p.FamilyRomaji, p.GivenRomaji = "﨑葛\U000e0100", "Suzuki", "Taro"
			p.Section, p.Title, p.Duties, p.Phone, p.Extension, p.Fax = "情報政策課", "主査", "番号制度", "011-000-0000", "1234", "011-000-0001"
			p.AbsentFrom, p.AbsentUntil = day("2027-05-01"), day("2027-06-01")
		}
		change(&want)
		got, err := edit(change)
		want.UpdatedAt = got.UpdatedAt
		if err != nil || got != want || f.find(t, "011002", "S2") != want {
			t.Fatalf("%+v, %v", got, err)
		}
		all := f.changes(t)
		after, err := PersonOf(p.ID, all[len(all)-1].After)
		after.UpdatedAt = want.UpdatedAt
		if err != nil || after != want {
			t.Errorf("in the feed: %+v, %v", after, err)
		}
		if !want.Absent(day("2027-05-31")) || want.Absent(day("2027-06-01")) || want.Absent(day("2027-04-30")) {
			t.Error("absent at the wrong time")
		}
		var rows int
		if err := f.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM audit_row WHERE action = 'person.change'").Scan(&rows); err != nil || rows != 1 {
			t.Errorf("%d audit rows: %v", rows, err)
		}
	})
}

// A page that begins after somebody outside the scope is empty, whichever side of the scope their organization sorts to.
func TestCursorStaysInScope(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople+"010006,S1,北,,,,kita@c010006.example.lg.jp,general\n")
		scope := townScope(t, "011002", policies.ActionPeopleRead)
		for _, org := range []policies.OrgID{"010006", "131016"} {
			list, err := f.People(t.Context(), scope, PeopleFilter{After: f.find(t, org, "S1").ID})
			if err != nil || len(list) != 0 {
				t.Errorf("after somebody of %s: %v, %v", org, list, err)
			}
		}
		if list, err := f.People(t.Context(), scope, PeopleFilter{After: f.find(t, "011002", "S1").ID}); err != nil || len(list) != 1 {
			t.Errorf("after one's own: %v, %v", list, err)
		}
	})
}
