package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

func with(d doc, changes doc) doc {
	out := doc{}
	for k, v := range d {
		out[k] = v
	}
	for k, v := range changes {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

func TestScimRefusals(t *testing.T) {
	const core = "urn:ietf:params:scim:schemas:core:2.0:User"
	cases := []struct {
		name, method, path string
		body               any
		status             int
		scimType, detail   string
	}{
		{"unverified domain", "POST", "/Users", with(userDoc(9), doc{"emails": []doc{{"value": "a@city.example.lg.jp", "primary": true}}}), 400, "invalidValue", "verified"},
		{"a subdomain is not verified with its parent", "POST", "/Users", with(userDoc(9), doc{"emails": []doc{{"value": "a@sub.example.go.jp", "primary": true}}}), 400, "invalidValue", "verified"},
		{"duplicate e-mail", "POST", "/Users", with(userDoc(1), doc{"userName": "other"}), 409, "uniqueness", "Resource [USER]: with email[user001@example.go.jp] already exists."},
		{"duplicate userName in other case", "POST", "/Users", with(userDoc(9), doc{"userName": "USER001@example.go.jp"}), 409, "uniqueness", "userName"},
		{"no primary e-mail", "POST", "/Users", with(userDoc(9), doc{"emails": []doc{{"value": "a@example.go.jp"}}}), 400, "invalidValue", "primary"},
		{"two primary e-mails", "POST", "/Users", with(userDoc(9), doc{"emails": []doc{{"value": "a@example.go.jp", "primary": true}, {"value": "b@example.go.jp", "primary": true}}}), 400, "invalidValue", "primary"},
		{"no e-mail", "POST", "/Users", with(userDoc(9), doc{"emails": nil}), 400, "invalidValue", "emails"},
		{"bad e-mail", "POST", "/Users", with(userDoc(9), doc{"emails": []doc{{"value": "A <a@example.go.jp>", "primary": true}}}), 400, "invalidValue", "email"},
		{"no userName", "POST", "/Users", with(userDoc(9), doc{"userName": " "}), 400, "invalidValue", "userName"},
		{"no schemas", "POST", "/Users", with(userDoc(9), doc{"schemas": nil}), 400, "invalidSyntax", core},
		{"foreign schema", "POST", "/Users", with(userDoc(9), doc{"schemas": []string{core, "urn:x"}}), 400, "invalidSyntax", "urn:x"},
		{"active as text", "POST", "/Users", with(userDoc(9), doc{"active": "False"}), 400, "invalidValue", "active"},
		{"not JSON", "POST", "/Users", `{"schemas":`, 400, "invalidSyntax", "JSON"},
		{"two values", "POST", "/Users", `{} {}`, 400, "invalidSyntax", "JSON"},
		{"filter on another attribute", "GET", "/Users?filter=" + url.QueryEscape(`displayName eq "x"`), nil, 400, "invalidFilter", "userName and externalId"},
		{"filter with and", "GET", "/Users?filter=" + url.QueryEscape(`userName eq "a" and externalId eq "b"`), nil, 400, "invalidFilter", "single eq"},
		{"filter with co", "GET", "/Users?filter=" + url.QueryEscape(`userName co "a"`), nil, 400, "invalidFilter", "eq"},
		{"unquoted filter", "GET", "/Users?filter=" + url.QueryEscape(`userName eq a`), nil, 400, "invalidFilter", "quoted"},
		{"count is no number", "GET", "/Users?count=x", nil, 400, "invalidValue", "count"},
		{"both selections", "GET", "/Users?attributes=userName&excludedAttributes=title", nil, 400, "invalidValue", "mutually exclusive"},
		{"group filter on members", "GET", "/Groups?filter=" + url.QueryEscape(`members eq "x"`), nil, 400, "invalidFilter", "displayName"},
		{"unknown user", "GET", "/Users/nobody", nil, 404, "", "nobody"},
		{"unknown group", "GET", "/Groups/nothing", nil, 404, "", "nothing"},
		{"group without a name", "POST", "/Groups", groupDoc(""), 400, "invalidValue", "displayName"},
		{"group with an unknown member", "POST", "/Groups", groupDoc("g9", "nobody"), 400, "invalidValue", "nobody"},
		{"duplicate group", "POST", "/Groups", groupDoc("g1"), 409, "uniqueness", "displayName[g1]"},
		{"bulk", "POST", "/Bulk", doc{}, 404, "", ""},
		{"delete of all", "DELETE", "/Users", nil, 405, "", ""},
	}
	f := newFixture(t)
	f.user(1)
	f.scim(201, "POST", "/Groups", groupDoc("g1"))
	before, _ := f.s.State("atlassian")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := f.scim(c.status, c.method, c.path, c.body)
			if a.str("scimType") != c.scimType || !strings.Contains(a.str("detail"), c.detail) {
				t.Errorf("got %s", a.body)
			}
			if a.str("status") != fmt.Sprint(c.status) || !strings.HasPrefix(a.header.Get("Content-Type"), "application/scim+json") {
				t.Errorf("not a ScimError: %s %s", a.header.Get("Content-Type"), a.body)
			}
		})
	}
	if after, _ := f.s.State("atlassian"); !reflect.DeepEqual(before, after) {
		t.Errorf("refused requests changed the state: %+v", after)
	}
}

func TestScimPatchRefusals(t *testing.T) {
	f := newFixture(t)
	id := f.user(1)
	f.user(2)
	gid := f.scim(201, "POST", "/Groups", groupDoc("g1", id)).str("id")
	cases := []struct {
		name, path string
		op         doc
		status     int
		scimType   string
	}{
		{"unknown operation", "/Users/" + id, doc{"op": "move", "path": "title", "value": "x"}, 400, "invalidSyntax"},
		{"no value", "/Users/" + id, doc{"op": "replace", "path": "title"}, 400, "invalidValue"},
		{"remove without path", "/Users/" + id, doc{"op": "remove"}, 400, "noTarget"},
		{"unknown attribute", "/Users/" + id, doc{"op": "replace", "path": "shoeSize", "value": "x"}, 400, "invalidPath"},
		{"read-only externalId", "/Users/" + id, doc{"op": "replace", "path": "externalId", "value": "x"}, 400, "mutability"},
		{"read-only id", "/Users/" + id, doc{"op": "replace", "value": doc{"id": "x"}}, 400, "mutability"},
		{"boolean as text", "/Users/" + id, doc{"op": "replace", "path": "active", "value": "False"}, 400, "invalidValue"},
		{"text as number", "/Users/" + id, doc{"op": "replace", "path": "title", "value": 3}, 400, "invalidValue"},
		{"removing userName", "/Users/" + id, doc{"op": "remove", "path": "userName"}, 400, "invalidValue"},
		{"removing e-mails", "/Users/" + id, doc{"op": "remove", "path": "emails"}, 400, "invalidValue"},
		{"no such e-mail", "/Users/" + id, doc{"op": "replace", "path": `emails[type eq "home"].value`, "value": "x@example.go.jp"}, 400, "noTarget"},
		{"e-mail outside", "/Users/" + id, doc{"op": "replace", "path": `emails[type eq "work"].value`, "value": "x@elsewhere.example"}, 400, "invalidValue"},
		{"e-mail of another", "/Users/" + id, doc{"op": "replace", "path": `emails[primary eq true].value`, "value": "USER002@example.go.jp"}, 409, "uniqueness"},
		{"group rename", "/Groups/" + gid, doc{"op": "replace", "path": "displayName", "value": "new"}, 400, "mutability"},
		{"group rename without path", "/Groups/" + gid, doc{"op": "replace", "value": doc{"displayName": "new"}}, 400, "mutability"},
		{"unknown member", "/Groups/" + gid, doc{"op": "add", "path": "members", "value": []doc{{"value": "nobody"}}}, 404, ""},
		{"unquoted member filter", "/Groups/" + gid, doc{"op": "remove", "path": "members[value eq U1]"}, 400, "invalidPath"},
		{"members as text", "/Groups/" + gid, doc{"op": "add", "path": "members", "value": id}, 400, "invalidValue"},
	}
	before, _ := f.s.State("atlassian")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			good := doc{"op": "add", "path": "members", "value": []doc{{"value": id}}}
			if strings.HasPrefix(c.path, "/Users") {
				good = doc{"op": "replace", "path": "title", "value": "changed"}
			}
			if a := f.scim(c.status, "PATCH", c.path, patchDoc(good, c.op)); a.str("scimType") != c.scimType {
				t.Errorf("got %s", a.body)
			}
		})
	}
	if after, _ := f.s.State("atlassian"); !reflect.DeepEqual(before, after) {
		t.Errorf("a refused PATCH changed the state")
	}
	if got := f.scim(200, "GET", "/Users/"+id, nil).str("title"); got != "係長" {
		t.Errorf("a refused PATCH was half applied: title %q", got)
	}
}

func TestScimCredentials(t *testing.T) {
	f := newFixture(t)
	for name, change := range map[string]func(*http.Request){
		"missing": func(r *http.Request) { r.Header.Del("Authorization") },
		"wrong":   func(r *http.Request) { r.Header.Set("Authorization", "Bearer nonsense") },
		"basic":   func(r *http.Request) { r.SetBasicAuth("a", scimToken) },
	} {
		a := f.scim(401, "GET", "/Users", nil, change)
		if a.str("error") == "" || a.str("traceId") == "" || a.at("schemas") != nil {
			t.Errorf("%s: not the Failure shape: %s", name, a.body)
		}
	}
	f.clock.forward(24 * time.Hour)
	if a := f.scim(401, "GET", "/Users", nil); !strings.Contains(a.str("error"), "expired") {
		t.Errorf("expired: %s", a.body)
	}
	f = newFixture(t)
	f.call(404, "GET", "/atlassian/scim/directory/other/Users", nil)
	f.call(415, "POST", scimRoot+"/Users", userDoc(1), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	f.call(413, "POST", scimRoot+"/Users", `{"x":"`+strings.Repeat("a", 9<<20)+`"}`)
	f.scim(201, "POST", "/Users", userDoc(1), func(r *http.Request) { r.Header.Set("Content-Type", "application/scim+json; charset=utf-8") })
}

func TestScimUserLife(t *testing.T) {
	f := newFixture(t)
	created := f.scim(201, "POST", "/Users", with(userDoc(1), doc{"id": "ours", "meta": doc{"x": 1}, "timezone": "Asia/Tokyo"}))
	id := created.str("id")
	account := created.str("urn:scim:schemas:extension:atlassian-external:1.0", "atlassianAccountId")
	if id == "ours" || account == "" || created.header.Get("Location") != base+scimRoot+"/Users/"+id {
		t.Fatalf("created: %s", created.body)
	}
	// PUT clears what isn't given, but externalId is read-only.
	put := f.scim(200, "PUT", "/Users/"+id, with(userDoc(1), doc{"title": nil, "externalId": "changed"}))
	if put.str("title") != "" || put.str("timezone") != "" || put.str("externalId") != "P001" {
		t.Errorf("after PUT: %s", put.body)
	}
	// PATCH changes only what it names.
	patched := f.scim(200, "PATCH", "/Users/"+id, patchDoc(
		doc{"op": "Replace", "path": "active", "value": false},
		doc{"op": "add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "総務課"},
		doc{"op": "replace", "value": doc{"name": doc{"familyName": "試験"}, "name.givenName": "太郎"}},
	))
	if patched.at("active") != false || patched.str("name", "givenName") != "太郎" || patched.str("name", "familyName") != "試験" ||
		patched.str("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "department") != "総務課" ||
		patched.str("displayName") != "試験 001" {
		t.Errorf("after PATCH: %s", patched.body)
	}
	// A deactivated record is still found.
	found := f.scim(200, "GET", "/Users?filter="+url.QueryEscape(`externalId eq "P001"`), nil)
	if found.at("totalResults") != 1.0 || found.str("Resources", 0, "id") != id {
		t.Errorf("filter: %s", found.body)
	}
	gid := f.scim(201, "POST", "/Groups", groupDoc("g", id)).str("id")
	f.scim(204, "DELETE", "/Users/"+id, nil)
	for _, m := range []string{"GET", "DELETE"} {
		f.scim(404, m, "/Users/"+id, nil)
	}
	f.scim(404, "PATCH", "/Users/"+id, patchDoc(doc{"op": "replace", "path": "active", "value": true}))
	if ids := memberIDs(f.scim(200, "GET", "/Groups/"+gid, nil)); len(ids) != 0 {
		t.Errorf("a deleted record is still a member: %v", ids)
	}
	if c, _ := f.s.Counts("atlassian"); c.Accounts != 1 || c.Active != 0 {
		t.Errorf("the account must live on, deactivated: %+v", c)
	}
	// Created again, it is a new record of the same account.
	again := f.scim(201, "POST", "/Users", userDoc(1))
	if again.str("id") == id || again.str("urn:scim:schemas:extension:atlassian-external:1.0", "atlassianAccountId") != account {
		t.Errorf("created again: %s", again.body)
	}
	if c, _ := f.s.Counts("atlassian"); c.Accounts != 1 || c.Active != 1 || c.Duplicates != 0 {
		t.Errorf("%+v", c)
	}
	// A deactivated account keeps its e-mail: another record can't take it.
	other := f.user(2)
	f.scim(204, "DELETE", "/Users/"+again.str("id"), nil)
	f.scim(409, "PATCH", "/Users/"+other, patchDoc(doc{"op": "replace", "path": "emails[primary eq true].value", "value": "user001@example.go.jp"}))
}

func TestScimDuplicateExternalIDsAreCounted(t *testing.T) {
	f := newFixture(t)
	f.user(1)
	f.scim(201, "POST", "/Users", with(userDoc(2), doc{"externalId": "P001"}))
	found := f.scim(200, "GET", "/Users?filter="+url.QueryEscape(`externalId eq "P001"`), nil)
	if len(found.list("Resources")) != 2 {
		t.Errorf("filter: %s", found.body)
	}
	if c, _ := f.s.Counts("atlassian"); c.Duplicates != 2 {
		t.Errorf("%+v", c)
	}
}

func TestScimUnverifiedMode(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.Atlassian.AllowUnverified = true })
	f.scim(201, "POST", "/Users", with(userDoc(1), doc{"emails": []doc{{"value": "a@city.example.lg.jp", "primary": true}}}))
}

func TestScimPagesAndSelection(t *testing.T) {
	f := newFixture(t)
	for n := range 120 {
		f.user(n)
	}
	first := f.scim(200, "GET", "/Users?count=500", nil)
	if len(first.list("Resources")) != 100 || first.at("totalResults") != 120.0 || first.at("itemsPerPage") != 100.0 {
		t.Errorf("page: %d of %v", len(first.list("Resources")), first.at("totalResults"))
	}
	second := f.scim(200, "GET", "/Users?startIndex=101", nil)
	if len(second.list("Resources")) != 20 || second.str("Resources", 0, "userName") != "user100@example.go.jp" {
		t.Errorf("second page begins with %s", second.str("Resources", 0, "userName"))
	}
	for query, want := range map[string]int{"count=0": 0, "startIndex=0&count=3": 3, "startIndex=500": 0, "count=-4": 0} {
		if got := f.scim(200, "GET", "/Users?"+query, nil).list("Resources"); got == nil || len(got) != want {
			t.Errorf("%s: %d resources", query, len(got))
		}
	}
	only := f.scim(200, "GET", "/Users?count=1&attributes=userName,emails.value,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", nil)
	got, _ := only.at("Resources", 0).(map[string]any)
	want := map[string]any{
		"schemas": got["schemas"], "id": got["id"], "userName": "user000@example.go.jp",
		"emails": []any{map[string]any{"value": "user000@example.go.jp"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("attributes: %v", got)
	}
	less := f.scim(200, "GET", "/Users?count=1&excludedAttributes=emails.type,title", nil)
	if less.str("Resources", 0, "title") != "" || less.str("Resources", 0, "emails", 0, "type") != "" || less.str("Resources", 0, "emails", 0, "value") == "" {
		t.Errorf("excludedAttributes: %s", less.body)
	}
}

func TestScimGroupMembers(t *testing.T) {
	f := newFixture(t)
	ids := []string{f.user(1), f.user(2), f.user(3), f.user(4)}
	g := f.scim(201, "POST", "/Groups", groupDoc("課"))
	path := "/Groups/" + g.str("id")
	refs := func(ids ...string) []doc { return groupDoc("", ids...)["members"].([]doc) }
	steps := []struct {
		name string
		op   doc
		want []string
	}{
		{"several at once, one twice", doc{"op": "add", "path": "members", "value": refs(ids[0], ids[1], ids[2], ids[0])}, ids[:3]},
		{"again", doc{"op": "add", "path": "members", "value": refs(ids[1])}, ids[:3]},
		{"a single object", doc{"op": "add", "path": "members", "value": refs(ids[3])[0]}, ids},
		{"remove by value path", doc{"op": "remove", "path": `members[value eq "` + ids[1] + `"]`}, []string{ids[0], ids[2], ids[3]}},
		{"remove by value removes only those", doc{"op": "Remove", "path": "members", "value": refs(ids[0], ids[1])}, ids[2:]},
		{"replace", doc{"op": "replace", "path": "members", "value": refs(ids[0], ids[2])}, []string{ids[2], ids[0]}},
		{"without path", doc{"op": "add", "value": doc{"members": refs(ids[1])}}, []string{ids[2], ids[0], ids[1]}},
		{"same name is no rename", doc{"op": "replace", "value": doc{"id": g.str("id"), "displayName": "課"}}, []string{ids[2], ids[0], ids[1]}},
		{"remove all", doc{"op": "remove", "path": "members"}, []string{}},
	}
	for _, s := range steps {
		a := f.scim(200, "PATCH", path, patchDoc(s.op))
		if got := memberIDs(a); !reflect.DeepEqual(got, s.want) && !sameSet(got, s.want) {
			t.Errorf("%s: %v, want %v", s.name, got, s.want)
		}
		if again := memberIDs(f.scim(200, "GET", path, nil)); !reflect.DeepEqual(again, memberIDs(a)) {
			t.Errorf("%s: PATCH answered %v, GET %v", s.name, memberIDs(a), again)
		}
	}
	f.scim(200, "PUT", path, groupDoc("課", ids[0], ids[1]))
	if a := f.scim(200, "GET", "/Users/"+ids[0], nil); a.str("groups", 0, "display") != "課" {
		t.Errorf("groups of a member: %s", a.body)
	}
	java := f.scim(400, "PUT", path, groupDoc("課", "nobody"))
	if java.str("responseStatus") != "BAD_REQUEST" || java.list("stackTrace") == nil || java.at("schemas") != nil {
		t.Errorf("PUT must refuse with a BadRequestException: %s", java.body)
	}
	f.scim(204, "DELETE", path, nil)
	f.scim(404, "DELETE", path, nil)
	if a := f.scim(200, "GET", "/Users/"+ids[0], nil); len(a.list("groups")) != 0 {
		t.Errorf("groups after delete: %s", a.body)
	}
	next := f.scim(201, "POST", "/Groups", groupDoc("課"))
	if next.str("id") == g.str("id") {
		t.Error("a deleted group's id came back")
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
