package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

func names(people []identity.Person) string {
	var s []string
	for _, p := range people {
		s = append(s, p.DisplayName())
	}
	return strings.Join(s, ",")
}

func assertGapless(t testing.TB, f *fixture) {
	t.Helper()
	for i, c := range f.changes(t) {
		if c.Number != int64(i+1) {
			t.Fatalf("change %d has the number %d", i+1, c.Number)
		}
	}
}

func TestPeople(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		for _, c := range []struct {
			filter PeopleFilter
			want   string
		}{
			{PeopleFilter{}, "佐藤 花子,鈴木 太郎,田中,渡邉 誠"},
			{PeopleFilter{Org: "011002"}, "佐藤 花子,鈴木 太郎"},
			{PeopleFilter{Org: "011011"}, ""},
			{PeopleFilter{Query: "藤花"}, "佐藤 花子"},
			{PeopleFilter{Query: "佐藤　花子"}, "佐藤 花子"},
			{PeopleFilter{Query: "ナベ"}, "渡邉 誠"},
			{PeopleFilter{Query: "TARO@"}, "鈴木 太郎"},
			{PeopleFilter{Query: "s1"}, "佐藤 花子,田中,渡邉 誠"},
			{PeopleFilter{Query: "%"}, ""},
			{PeopleFilter{Query: "_"}, ""},
			{PeopleFilter{Query: `\`}, ""},
			{PeopleFilter{Query: "' OR 1=1 --"}, ""},
			{PeopleFilter{Query: "\x00"}, "佐藤 花子,鈴木 太郎,田中,渡邉 誠"},
			{PeopleFilter{Query: "\xff佐藤"}, "佐藤 花子"},
			{PeopleFilter{Org: "\x00"}, ""},
			{PeopleFilter{Limit: 3}, "佐藤 花子,鈴木 太郎,田中"},
		} {
			list, err := f.People(t.Context(), everything, c.filter)
			if err != nil || names(list) != c.want {
				t.Errorf("%+v: %s, %v", c.filter, names(list), err)
			}
		}
		page, err := f.People(t.Context(), everything, PeopleFilter{Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		rest, err := f.People(t.Context(), everything, PeopleFilter{After: page[2].ID})
		if err != nil || names(rest) != "渡邉 誠" {
			t.Error(names(rest), err)
		}
	})
}

func TestOrganizations(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		for _, c := range []struct {
			filter OrgFilter
			want   string
		}{
			{OrgFilter{}, "010006 011002 011011 130001 131016 2000012020001 8000012010038"},
			{OrgFilter{Kinds: []policies.OrgKind{policies.KindPrefecture, policies.KindMinistry}}, "010006 130001 2000012020001"},
			{OrgFilter{Query: "札幌"}, "011002 011011"},
			{OrgFilter{Query: "ちゅうおう"}, "011011"},
			{OrgFilter{Query: "01"}, "010006 011002 011011"},
			{OrgFilter{Query: "札幌", Kinds: []policies.OrgKind{policies.KindWard}}, "011011"},
			{OrgFilter{Limit: 2}, "010006 011002"},
			{OrgFilter{After: "130001", Limit: 2}, "131016 2000012020001"},
		} {
			list, err := f.Organizations(t.Context(), everything, c.filter)
			var ids []string
			for _, o := range list {
				ids = append(ids, string(o.ID))
			}
			if err != nil || strings.Join(ids, " ") != c.want {
				t.Errorf("%+v: %v, %v", c.filter, ids, err)
			}
		}
	})
}

func TestEndPerson(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		ctx, p := t.Context(), f.find(t, "011002", "S1")
		before := len(f.changes(t))

		f.queue.fail = errors.New("the queue is down")
		if err := f.EndPerson(ctx, everything, p.ID, tester); !errors.Is(err, f.queue.fail) {
			t.Fatal(err)
		}
		if !f.find(t, "011002", "S1").Active() || len(f.changes(t)) != before {
			t.Fatal("somebody was ended without a leaver's job")
		}
		f.queue.fail = nil
		town := townScope(t, "011002", policies.ActionPeopleWrite)
		if err := f.EndPerson(ctx, town, p.ID, Author{Actor: town.Actor(), Source: "cli", Why: "retired"}); err != nil {
			t.Fatal(err)
		}
		ended := f.find(t, "011002", "S1")
		if ended.EndedAt != f.micros() || ended.UpdatedAt != f.micros() {
			t.Errorf("%+v", ended)
		}
		if l := f.queue.leavers; len(l) != 1 || l[0].Person != p.ID || l[0].At != ended.EndedAt {
			t.Errorf("%+v", l)
		}
		c := f.changes(t)[before]
		if c.Kind != PersonEnded || c.Object != string(p.ID) || c.Author != (Author{Actor: town.Actor(), Source: "cli", Why: "retired"}) ||
			strings.Contains(string(c.Before), "ended_at") || !strings.Contains(string(c.After), `"ended_at":`) {
			t.Errorf("%+v", c)
		}
		// Twice is no change, and says so.
		if err := f.EndPerson(ctx, everything, p.ID, tester); !errors.Is(err, ErrEnded) {
			t.Error(err)
		}
		if len(f.changes(t)) != before+2 || len(f.queue.leavers) != 1 { // the second row: the town has no administrator now
			t.Error("ending twice did something")
		}
		if err := f.EndPerson(ctx, everything, "nobody", tester); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		counts, err := f.Counts(ctx, everything)
		if err != nil || counts.People != 3 || counts.Ended != 1 {
			t.Errorf("%+v, %v", counts, err)
		}
		list, err := f.People(ctx, everything, PeopleFilter{Org: "011002", IncludeEnded: true})
		if err != nil || len(list) != 2 {
			t.Errorf("%v, %v", list, err)
		}
		if list, err = f.People(ctx, everything, PeopleFilter{Org: "011002"}); err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
		per, err := f.PeoplePerOrg(ctx, everything)
		if err != nil || len(per) != 3 || per["011002"] != 1 {
			t.Errorf("%v, %v", per, err)
		}
		without := New(f.db, Options{Now: f.clock.now})
		if err := without.EndPerson(ctx, everything, f.find(t, "011002", "S2").ID, tester); err == nil {
			t.Error("somebody was ended without a queue")
		}
	})
}

func TestAdd(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		agency := identity.Organization{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁"}
		if _, err := f.AddOrganization(ctx, everything, agency, tester); err != nil {
			t.Fatal(err)
		}
		if _, err := f.AddOrganization(ctx, everything, agency, tester); !errors.Is(err, identity.ErrExists) {
			t.Error(err)
		}
		for _, bad := range []identity.Organization{
			{},
			{ID: "8000012010038", Kind: policies.KindMunicipality, Name: "x"},
			{ID: "7000012010038", Kind: policies.KindMinistry, Name: "x"},
			{ID: "011002", Kind: policies.KindMunicipality, Name: "札幌市"}, // without its prefecture
		} {
			if _, err := f.AddOrganization(ctx, everything, bad, tester); err == nil {
				t.Errorf("%+v is accepted", bad)
			}
		}
		aoi := identity.Person{Org: agency.ID, StaffNumber: "D1", FamilyName: "神田", Email: "Aoi@digital.example.go.jp", Role: policies.RoleSystemAdministrator}
		p, err := f.AddPerson(ctx, everything, aoi, tester)
		if err != nil || p.ID == "" {
			t.Fatal(p, err)
		}
		actor, org, err := f.Actor(ctx, p.ID)
		if err != nil || actor != p || org.ID != agency.ID || org.Kind != policies.KindAgency {
			t.Error(actor, org, err)
		}
		if _, _, err := f.Actor(ctx, "nobody"); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		for name, change := range map[string]func(*identity.Person){
			"id":           func(q *identity.Person) { q.ID, q.StaffNumber, q.Email = p.ID, "D2", "b@b.jp" },
			"staff number": func(q *identity.Person) { q.Email = "b@b.jp" },
			"e-mail":       func(q *identity.Person) { q.StaffNumber, q.Email = "D2", "aoi@DIGITAL.example.go.jp" },
		} {
			q := aoi
			change(&q)
			if _, err := f.AddPerson(ctx, everything, q, tester); !errors.Is(err, identity.ErrExists) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		q := aoi
		q.StaffNumber, q.Email, q.Org = "D3", "c@c.jp", "011002"
		if _, err := f.AddPerson(ctx, everything, q, tester); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		if n := len(f.changes(t)); n != 2 {
			t.Errorf("%d changes", n)
		}
		assertGapless(t, f)
	})
}

// Writers at once: numbers have no gap, and whoever sees a number has seen all before it.
func TestFeedUnderConcurrency(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		const writers, each = 4, 15
		start := len(f.changes(t))
		ctx, stop := context.WithCancel(t.Context())
		var reading, writing sync.WaitGroup
		reading.Add(1)
		go func() {
			defer reading.Done()
			cursor := int64(0)
			for ctx.Err() == nil {
				page, err := f.Changes(t.Context(), everything, cursor, 7)
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range page {
					if c.Number != cursor+1 {
						t.Errorf("after %d the reader saw %d", cursor, c.Number)
						return
					}
					cursor = c.Number
				}
			}
		}()
		for w := range writers {
			writing.Add(1)
			go func() {
				defer writing.Done()
				for i := range each {
					p, err := f.AddPerson(t.Context(), everything, identity.Person{
						Org: "011002", StaffNumber: fmt.Sprintf("W%d-%d", w, i), FamilyName: "森",
						Email: fmt.Sprintf("w%d-%d@c011002.example.lg.jp", w, i), Role: policies.RoleGeneral,
					}, tester)
					if err == nil && i%3 == 0 {
						err = f.EndPerson(t.Context(), everything, p.ID, tester)
					}
					if i%5 == 0 { // a transaction that rolls back gives its number back
						if err := f.EndPerson(t.Context(), everything, "nobody", tester); !errors.Is(err, identity.ErrNotFound) {
							t.Error(err)
						}
					}
					if err != nil {
						t.Error(err)
					}
				}
			}()
		}
		writing.Wait()
		stop()
		reading.Wait()
		assertGapless(t, f)
		if n := len(f.changes(t)) - start; n != writers*(each+each/3) {
			t.Errorf("%d changes", n)
		}
	})
}

func TestEachPerson(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		if err := f.EndPerson(t.Context(), everything, f.find(t, "011002", "S1").ID, tester); err != nil {
			t.Fatal(err)
		}
		var ids []policies.PersonID
		err := f.EachPerson(t.Context(), everything, func(p identity.Person) error {
			ids = append(ids, p.ID)
			return nil
		})
		if err != nil || len(ids) != 4 || !slices.IsSorted(ids) {
			t.Error(ids, err)
		}
		stop := errors.New("stop")
		if err := f.EachPerson(t.Context(), everything, func(identity.Person) error { return stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
	})
}
