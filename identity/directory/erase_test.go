package directory

import (
	"errors"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
)

// After an erasure no table holds a name, number or address of the person; the rows of the feed are all there.
func TestErasePerson(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		p := f.find(t, "011002", "S2")
		if err := f.ErasePerson(t.Context(), everything, p.ID, tester); !errors.Is(err, ErrInService) {
			t.Fatalf("in service: %v", err)
		}
		_, err := f.EditPerson(t.Context(), everything, p.ID, tester, func(p *identity.Person) error {
			p.Section, p.Phone, p.Duties = "秘匿課", "011-999-9999", "秘匿業務"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.EndPerson(t.Context(), everything, p.ID, tester); err != nil {
			t.Fatal(err)
		}
		before := f.changes(t)
		for range 2 { // the second changes nothing
			if err := f.ErasePerson(t.Context(), everything, p.ID, tester); err != nil {
				t.Fatal(err)
			}
		}
		after := f.changes(t)
		if len(after) != len(before)+1 || after[len(after)-1].Kind != PersonErased {
			t.Fatalf("%d rows, then %d", len(before), len(after))
		}
		for i, c := range before {
			if a := after[i]; a.Number != c.Number || a.At != c.At || a.Kind != c.Kind || a.Org != c.Org || a.Object != c.Object {
				t.Errorf("%+v became %+v", c, a)
			}
		}
		for _, c := range after {
			for _, secret := range []string{"鈴木", "太郎", "スズキ", "Taro@", "S2\"", "秘匿", "011-999"} {
				if strings.Contains(string(c.Before)+string(c.After), secret) {
					t.Errorf("row %d still says %s", c.Number, secret)
				}
			}
		}
		got, err := f.Person(t.Context(), everything, p.ID)
		want := identity.Person{ID: p.ID, Org: p.Org, StaffNumber: "erased-" + string(p.ID), FamilyName: erasedName, Role: p.Role, EndedAt: got.EndedAt, UpdatedAt: got.UpdatedAt}
		if err != nil || got != want || got.EndedAt == 0 {
			t.Errorf("%+v, %v", got, err)
		}
		// Others are as they were, and what was the person's may be used again.
		if f.find(t, "011002", "S1").FamilyName != "佐藤" {
			t.Error("somebody else was erased")
		}
		again := p
		again.ID, again.EndedAt = "", 0
		if _, err := f.AddPerson(t.Context(), everything, again, tester); err != nil {
			t.Errorf("the number isn't free: %v", err)
		}
	})
}
