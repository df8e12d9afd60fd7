package provision

import (
	"fmt"
	"slices"
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
		var posts []identity.Post
		for range rapid.IntRange(0, 10).Draw(t, "posts") {
			if len(people) > 0 {
				posts = append(posts, identity.Post{
					Person: rapid.SampledFrom(people).Draw(t, "holder").ID, Org: rapid.SampledFrom(orgs).Draw(t, "where").ID,
					Kind: rapid.SampledFrom([]identity.PostKind{identity.PostConcurrent, identity.PostHandover, identity.PostHome}).Draw(t, "kind"),
					Role: rapid.SampledFrom(policies.Roles()).Draw(t, "as"),
				})
			}
		}
		one, err := Want(people, posts, orgs, engine)
		if err != nil {
			t.Fatal(err)
		}
		many, err := Want(people, posts, orgs, byClass)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(one, many, cmp.AllowUnexported(Wanted{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A concurrent post and a declared handover make a member of two organizations; a secondment's home post doesn't, nor does a post in an
// organization that the product doesn't reach. When the post is over, so is the membership.
func TestPostsAreMemberships(t *testing.T) {
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	orgs := []identity.Organization{
		{ID: "011002", Kind: policies.KindMunicipality, Name: "札幌市"},
		{ID: "131016", Kind: policies.KindMunicipality, Name: "千代田区"},
		{ID: "010006", Kind: policies.KindPrefecture, Name: "北海道"},
		{ID: "2000012020001", Kind: policies.KindMinistry, Name: "総務省"},
	}
	people := []identity.Person{{ID: "p", Org: "011002", Email: "p@example.jp", Role: policies.RoleGeneral}}
	post := func(org policies.OrgID, kind identity.PostKind) identity.Post {
		return identity.Post{Person: "p", Org: org, Kind: kind, Role: policies.RoleGeneral}
	}
	for name, c := range map[string]struct {
		posts []identity.Post
		want  []policies.OrgID
	}{
		"none":             {nil, []policies.OrgID{"011002"}},
		"concurrent":       {[]identity.Post{post("131016", identity.PostConcurrent), post("010006", identity.PostHandover)}, []policies.OrgID{"011002", "010006", "131016"}},
		"home":             {[]identity.Post{post("131016", identity.PostHome)}, []policies.OrgID{"011002"}},
		"out of reach":     {[]identity.Post{post("2000012020001", identity.PostConcurrent)}, []policies.OrgID{"011002"}},
		"another section":  {[]identity.Post{post("011002", identity.PostConcurrent)}, []policies.OrgID{"011002"}},
		"twice in one":     {[]identity.Post{post("131016", identity.PostConcurrent), post("131016", identity.PostHandover)}, []policies.OrgID{"011002", "131016"}},
		"nobody's, unused": {[]identity.Post{{Person: "q", Org: "131016", Kind: identity.PostConcurrent, Role: policies.RoleGeneral}}, []policies.OrgID{"011002"}},
	} {
		w, err := Want(people, c.posts, orgs, engine)
		if err != nil || len(w.Accounts) != 1 {
			t.Fatalf("%s: %+v, %v", name, w, err)
		}
		if diff := cmp.Diff(c.want, w.Accounts[0].Orgs()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		known := Known{Members: map[policies.Product]map[policies.PersonID][]policies.OrgID{policies.ProductJira: {"p": {"011002", "131016"}}}}
		var removed, added []policies.OrgID
		for _, o := range Make(w, known, "maker", "hash").Objects {
			switch {
			case o.Kind == ObjectMembers && o.Action == ActionRemove:
				removed = append(removed, o.Org)
			case o.Kind == ObjectMembers:
				added = append(added, o.Org)
			}
		}
		if slices.Contains(removed, "131016") == slices.Contains(c.want, "131016") || slices.Contains(removed, "011002") || slices.Contains(added, "010006") != slices.Contains(c.want, "010006") {
			t.Errorf("%s: removed %v, added %v", name, removed, added)
		}
	}
	if _, err := Want(people, []identity.Post{post("999999", identity.PostConcurrent)}, orgs, engine); err == nil {
		t.Error("a post of an unknown organization is left out in silence")
	}
}
