package access_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// posted is people who may hold posts beside their main one.
type posted struct {
	*people
	held map[policies.PersonID][]identity.Post
}

func (p posted) Held(_ context.Context, id policies.PersonID, _ int64) (posts []identity.Post, orgs []identity.Organization, err error) {
	for _, h := range p.held[id] {
		posts, orgs = append(posts, h), append(orgs, p.orgs[h.Org])
	}
	return posts, orgs, nil
}

// Who acts in a post has the rights of that post and none of the main one, at every decision, and none at all once the post has ended.
func TestPostDecides(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	source := posted{h.source, map[policies.PersonID][]identity.Post{
		"planner": {{Person: "planner", Org: "011002", Role: policies.RoleAdministrator}},
		"local":   {{Person: "local", Org: "agency", Role: policies.RoleSystemAdministrator}},
	}}
	resolver := access.NewResolver(h.db, source, h.engine, h.clock)
	posts := access.NewPosts(source)
	in := func(id policies.PersonID, org policies.OrgID) access.Actor {
		main, err := resolver.Person(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		a, err := posts.ActIn(t.Context(), main, org, h.now.UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, c := range []struct {
		person policies.PersonID
		org    policies.OrgID
		all    bool
		covers policies.OrgID
	}{
		{"planner", "agency", true, "011002"},
		{"planner", "011002", false, "011002"},
		{"local", "011002", false, "011002"},
		{"local", "agency", true, "011002"},
	} {
		s, err := resolver.Scope(t.Context(), in(c.person, c.org), policies.ActionPeopleWrite, nil, policies.Context{})
		if err != nil || s.All() != c.all || !s.Covers(c.covers) || s.Covers("agency") != c.all || s.Actor() != c.person {
			t.Errorf("%s in %s: %+v, %v", c.person, c.org, s, err)
		}
	}
	town := in("planner", "011002")
	if s, err := resolver.Scope(t.Context(), town, policies.ActionPlanMake, nil, policies.Context{}); !errors.Is(err, identity.ErrRefused) || !s.Denied() {
		t.Errorf("the main post's right from another post: %+v, %v", s, err)
	}
	if d, err := resolver.Decide(t.Context(), town, policies.ActionPeopleWrite, town.Org.Policy(), policies.Context{}); err != nil || !d.Allow {
		t.Errorf("the post's own right: %+v, %v", d, err)
	}
	agency := in("local", "agency")
	source.held["planner"], source.held["local"] = nil, nil
	for _, a := range []access.Actor{town, agency} {
		s, err := resolver.Scope(t.Context(), a, policies.ActionPeopleWrite, nil, policies.Context{})
		if !errors.Is(err, access.ErrPostEnded) || !s.Denied() {
			t.Errorf("a post that has ended: %+v, %v", s, err)
		}
		if hint, err := resolver.Hint(t.Context(), a, policies.ActionPeopleWrite, nil, policies.Context{}); !errors.Is(err, access.ErrPostEnded) || hint.Everywhere() || hint.Covers("011002") {
			t.Errorf("a hint from a post that has ended: %+v, %v", hint, err)
		}
	}
	if _, err := h.Scope(t.Context(), town, policies.ActionPeopleWrite, nil, policies.Context{}); err == nil {
		t.Error("a post without a source of posts")
	}
}

// A hint tells what a Scope would, leaves no record, and says nothing where nobody asked.
func TestHint(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	for _, c := range []struct {
		person     policies.PersonID
		action     policies.Action
		everywhere bool
		town       bool
	}{
		{"planner", policies.ActionPlanMake, true, true},
		{"planner", policies.ActionPlanApprove, false, false}, // their own
		{"local", policies.ActionPeopleWrite, false, true},
		{"local", policies.ActionPlanMake, false, false},
	} {
		hint, err := h.Hint(t.Context(), h.person(c.person), c.action, nil, policies.Context{PlanMaker: "planner"})
		if err != nil || hint.Everywhere() != c.everywhere || hint.Covers("011002") != c.town {
			t.Errorf("%s %s: %+v, %v", c.person, c.action, hint, err)
		}
	}
	if (access.Hint{}).Everywhere() || (access.Hint{}).Covers("011002") {
		t.Error("the zero hint shows something")
	}
	h.wantRows()
}

// A refusal carries the number by which its audit row is found.
func TestRefusalHasAnIncident(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	local := h.person("local")
	local.Session = "session-1"
	_, err := h.Scope(t.Context(), local, policies.ActionPlanMake, nil, policies.Context{})
	number := access.Incident(err)
	if !regexp.MustCompile(`^260401(-[0-9A-HJKMNP-TV-Z]{4}){3}$`).MatchString(number) {
		t.Fatalf("%q of %v", number, err)
	}
	rows, err := audit.Find(t.Context(), h.db.Reader(), policies.System(policies.TaskTest), audit.Filter{ID: number})
	if err != nil || len(rows) != 1 || rows[0].Actor != "local" || rows[0].Detail["session"] != "session-1" || strings.Contains(rows[0].Reason, "session") {
		t.Errorf("%+v, %v", rows, err)
	}
	if access.Incident(nil) != "" || access.Incident(errors.New("x")) != "" {
		t.Error("an incident of what wasn't recorded")
	}
}
