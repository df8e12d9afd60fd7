package provision

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/classes"
	"github.com/musubi-hub/musubi/policies/load"
)

// TestWantByClasses holds that asking for all people who are alike at once wants exactly the accounts that asking one by one does.
func TestWantByClasses(t *testing.T) {
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	byClass := classes.New(engine)
	rapid.Check(t, func(t *rapid.T) {
		var orgs []identity.Organization
		for i, kind := range policies.OrgKinds() {
			orgs = append(orgs, identity.Organization{ID: policies.OrgID(fmt.Sprintf("org-%d", i)), Kind: kind, Name: "org"})
		}
		var people []identity.Person
		for i := range rapid.IntRange(0, 20).Draw(t, "people") {
			id := fmt.Sprintf("p%d", i)
			people = append(people, identity.Person{
				ID: policies.PersonID(id), Org: rapid.SampledFrom(orgs).Draw(t, "org").ID, Email: id + "@example.jp",
				Role: rapid.SampledFrom(policies.Roles()).Draw(t, "role"), EndedAt: rapid.SampledFrom([]int64{0, 1}).Draw(t, "ended"),
			})
		}
		one, err := Want(people, orgs, engine)
		if err != nil {
			t.Fatal(err)
		}
		many, err := Want(people, orgs, byClass)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(one, many, cmp.AllowUnexported(Wanted{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
