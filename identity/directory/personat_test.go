package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// TestPersonAt: one person of a day to come is as among all of that day, and as the day makes them.
func TestPersonAt(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		ctx, april, may := t.Context(), day("2027-04-01"), day("2027-05-01")
		a0, a1, a2, b1 := f.find(t, townA, "A0"), f.find(t, townA, "A1"), f.find(t, townA, "A2"), f.find(t, townB, "B1")
		for _, x := range []identity.Transfer{
			{Person: a0.ID, Kind: identity.TransferLeave, At: april, Successor: a1.ID},
			{Person: b1.ID, Kind: identity.TransferConcurrent, To: townA, Section: "防災", At: april},
			{Person: a2.ID, Kind: identity.TransferMove, Section: "税務", At: may},
		} {
			if _, err := f.AddTransfer(ctx, everything, x, tester); err != nil {
				t.Fatal(err)
			}
		}
		ids := []policies.PersonID{a0.ID, a1.ID, a2.ID, b1.ID}
		slices.Sort(ids)
		all := func(at int64) (people []identity.Person, posts []identity.Post) {
			t.Helper()
			err := f.PeopleAt(ctx, everything, at, func(p identity.Person) error {
				if slices.Contains(ids, p.ID) {
					people = append(people, p)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if posts, err = f.PostsAt(ctx, everything, at); err != nil {
				t.Fatal(err)
			}
			return people, posts
		}
		for _, at := range []int64{april - 1, april, may} {
			people, posts := all(at)
			var one []identity.Person
			var held []identity.Post
			for _, id := range ids {
				p, more, err := f.PersonAt(ctx, everything, id, at)
				if err != nil {
					t.Fatal(err)
				}
				one, held = append(one, p), append(held, more...)
			}
			if diff := cmp.Diff(people, one); diff != "" {
				t.Errorf("at %d (-all +one):\n%s", at, diff)
			}
			if diff := cmp.Diff(posts, held); diff != "" {
				t.Errorf("posts at %d (-all +one):\n%s", at, diff)
			}
		}
		boss, _, err := f.PersonAt(ctx, everything, a1.ID, april)
		if err != nil || boss.Role != policies.RoleAdministrator {
			t.Errorf("the successor: %+v, %v", boss, err)
		}
		gone, _, err := f.PersonAt(ctx, everything, a0.ID, april)
		if err != nil || gone.Active() {
			t.Errorf("who leaves: %+v, %v", gone, err)
		}
		scope := f.actor(t, a0, policies.ActionPeopleRead, townA)
		if _, _, err := f.PersonAt(ctx, scope, b1.ID, april); !errors.Is(err, identity.ErrNotFound) || strings.Contains(err.Error(), "refused") {
			t.Errorf("somebody of another town: %v", err)
		}
	})
}
