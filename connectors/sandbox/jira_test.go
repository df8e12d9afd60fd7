package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestDeskRefusals(t *testing.T) {
	f := newFixture(t)
	id := f.customer(1)
	licensed := f.scim(201, "POST", "/Users", userDoc(1)).str("urn:scim:schemas:extension:atlassian-external:1.0", "atlassianAccountId")
	f.desk(201, "POST", "/organization", doc{"name": "例示市"})
	many := make([]string, 51)
	for i := range many {
		many[i] = id
	}
	cases := []struct {
		name, method, path string
		body               any
		status             int
		message            string
	}{
		{"customer exists", "POST", "/customer", doc{"email": "TOWN001@city.example.lg.jp", "displayName": "x"}, 400, "already exists"},
		{"customer exists, strictly", "POST", "/customer?strictConflictStatusCode=true", doc{"email": "town001@city.example.lg.jp", "displayName": "x"}, 409, "already exists"},
		{"e-mail of a licensed account", "POST", "/customer?strictConflictStatusCode=true", doc{"email": "user001@example.go.jp", "displayName": "x"}, 409, "already exists"},
		{"bad e-mail", "POST", "/customer", doc{"email": "nobody", "displayName": "x"}, 400, "email"},
		{"strictness is no boolean", "POST", "/customer?strictConflictStatusCode=maybe", doc{"email": "a@b.example", "displayName": "x"}, 400, "strictConflictStatusCode"},
		{"name too long", "POST", "/customer", doc{"email": "a@b.example", "displayName": strings.Repeat("長", 201)}, 400, "200"},
		{"not JSON", "POST", "/customer", `{`, 400, "JSON"},
		{"wrong type", "POST", "/customer", doc{"email": 3}, 400, "email"},
		{"revoke of nobody", "PUT", "/customer/user/none/revoke-portal-only-access", nil, 400, "portal-only"},
		{"revoke of a licensed account", "PUT", "/customer/user/" + licensed + "/revoke-portal-only-access", nil, 400, "portal-only"},
		{"organization without name", "POST", "/organization", doc{"name": "  "}, 400, "200"},
		{"organization name too long", "POST", "/organization", doc{"name": strings.Repeat("市", 201)}, 400, "200"},
		{"unknown organization", "GET", "/organization/99", nil, 404, "organization"},
		{"organization id is no number", "GET", "/organization/x", nil, 404, "organization"},
		{"members of unknown organization", "POST", "/organization/99/user", doc{"accountIds": []string{id}}, 404, "organization"},
		{"unknown member", "POST", "/organization/1/user", doc{"accountIds": []string{id, "none"}}, 400, "none"},
		{"unknown member to remove", "DELETE", "/organization/1/user", doc{"accountIds": []string{"none"}}, 400, "none"},
		{"no members", "POST", "/organization/1/user", doc{"accountIds": []string{}}, 400, "at least one"},
		{"too many members", "POST", "/organization/1/user", doc{"accountIds": many}, 400, "50"},
		{"user names", "POST", "/organization/1/user", doc{"usernames": []string{"x"}}, 400, "accountIds"},
		{"bad page", "GET", "/organization?start=-1", nil, 400, "start"},
		{"organizations of nobody", "GET", "/organization?accountId=none", nil, 404, "user"},
		{"unknown property", "GET", "/organization/1/property/none", nil, 404, "property"},
		{"property too large", "PUT", "/organization/1/property/k", `"` + strings.Repeat("a", 32768) + `"`, 400, "32768"},
		{"property is not JSON", "PUT", "/organization/1/property/k", `x`, 400, "JSON"},
		{"unknown desk", "GET", "/servicedesk/9", nil, 404, "service desk"},
		{"unknown organization for the desk", "POST", "/servicedesk/1/organization", doc{"organizationId": 99}, 404, "organization"},
		{"no organization for the desk", "POST", "/servicedesk/1/organization", doc{}, 400, "organizationId"},
		{"customers without opting in", "GET", "/servicedesk/1/customer", nil, 412, "experimental"},
		{"unknown path", "GET", "/nothing", nil, 404, "No such"},
		{"wrong method", "PUT", "/organization", doc{}, 405, "Method"},
	}
	before, _ := f.s.State("jira")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := f.desk(c.status, c.method, c.path, c.body)
			if !strings.Contains(a.str("errorMessage"), c.message) || a.at("i18nErrorMessage", "i18nKey") == nil {
				t.Errorf("got %s", a.body)
			}
		})
	}
	after, _ := f.s.State("jira")
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("refused requests changed the state: %+v", after)
	}
	for name, change := range map[string]func(*http.Request){
		"wrong token":  func(r *http.Request) { r.SetBasicAuth(jiraEmail, "wrong") },
		"wrong person": func(r *http.Request) { r.SetBasicAuth("other@example.go.jp", jiraToken) },
		"none":         func(r *http.Request) { r.Header.Del("Authorization") },
	} {
		if a := f.desk(401, "GET", "/organization", nil, change); a.str("errorMessage") == "" {
			t.Errorf("%s: %s", name, a.body)
		}
		if name != "none" {
			f.call(401, "GET", "/jira/rest/api/3/user/search?query=t", nil, change)
		}
	}
	f.clock.forward(24 * time.Hour)
	f.desk(401, "GET", "/organization", nil)
}

func TestDeskCustomerLife(t *testing.T) {
	f := newFixture(t)
	id := f.customer(1)
	f.desk(201, "POST", "/organization", doc{"name": "例示市"})
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{id}})
	find := func(want int) {
		t.Helper()
		var people []doc
		a := f.call(200, "GET", "/jira/rest/api/3/user/search?query=town001%40city.example.lg.jp", nil)
		if err := json.Unmarshal(a.body, &people); err != nil || len(people) != want {
			t.Errorf("search found %s", a.body)
		}
	}
	find(1)
	// Revoking is idempotent; the account stays, inactive, and isn't searched any more; nor is its place in an organization lost.
	for range 2 {
		f.desk(204, "PUT", "/customer/user/"+id+"/revoke-portal-only-access", nil)
	}
	find(0)
	if a := f.call(200, "GET", "/jira/rest/api/3/user?accountId="+url.QueryEscape(id), nil); a.at("active") != false || a.str("accountType") != "customer" {
		t.Errorf("revoked: %s", a.body)
	}
	if a := f.desk(200, "GET", "/organization/1/user", nil); a.at("values", 0, "active") != false {
		t.Errorf("revoked member: %s", a.body)
	}
	if c, _ := f.s.Counts("jira"); c.Accounts != 1 || c.Active != 0 || c.Memberships != 1 {
		t.Errorf("%+v", c)
	}
	f.desk(409, "POST", "/customer?strictConflictStatusCode=true", doc{"email": "town001@city.example.lg.jp", "displayName": "x"})
	// Added to the service desk again, it is back.
	f.desk(204, "POST", "/servicedesk/1/customer", doc{"accountIds": []string{id}})
	find(1)
	f.desk(204, "DELETE", "/servicedesk/1/customer", doc{"accountIds": []string{id}}, experimental)
	f.desk(204, "DELETE", "/organization/1/user", doc{"accountIds": []string{id}})
	f.desk(204, "DELETE", "/organization/1/user", doc{"accountIds": []string{id}})
	if a := f.desk(200, "GET", "/organization/1/user", nil); a.at("size") != 0.0 || a.at("isLastPage") != true || a.list("values") == nil {
		t.Errorf("empty organization: %s", a.body)
	}
}

func TestDeskOrganizations(t *testing.T) {
	f := newFixture(t)
	a := f.desk(201, "POST", "/organization", doc{"name": "例示市"})
	if b := f.desk(201, "POST", "/organization", doc{"name": " 例示市 "}); b.str("id") != a.str("id") {
		t.Errorf("the same name must give the organization that exists: %s", b.body)
	}
	for n := range 119 {
		f.desk(201, "POST", "/organization", doc{"name": fmt.Sprintf("町 %03d", n)})
	}
	// 300 people of one organization come in pages.
	var ids []string
	for n := range 300 {
		ids = append(ids, f.customer(n))
	}
	for i := 0; i < len(ids); i += 50 {
		f.desk(204, "POST", "/organization/1/user", doc{"accountIds": ids[i : i+50]})
	}
	var got []string
	path := deskRoot + "/organization/1/user?limit=500"
	pages := 0
	for path != "" {
		page := f.call(200, "GET", path, nil)
		for _, v := range page.list("values") {
			got = append(got, v.(map[string]any)["accountId"].(string))
		}
		if pages++; page.at("limit") != 50.0 || page.at("isLastPage") != (page.str("_links", "next") == "") {
			t.Fatalf("page: %s", page.body)
		}
		path = strings.TrimPrefix(page.str("_links", "next"), base)
	}
	if pages != 6 || fmt.Sprint(got) != fmt.Sprint(ids) {
		t.Errorf("%d pages, %d people", pages, len(got))
	}
	if list := f.desk(200, "GET", "/organization?start=100", nil); list.at("size") != 20.0 || list.at("isLastPage") != true || list.str("_links", "prev") == "" {
		t.Errorf("organizations: size %v", list.at("size"))
	}
	if mine := f.desk(200, "GET", "/organization?accountId="+url.QueryEscape(ids[0]), nil); mine.at("size") != 1.0 {
		t.Errorf("organizations of a customer: %s", mine.body)
	}
	f.desk(204, "POST", "/servicedesk/HELP/organization", doc{"organizationId": 1})
	f.desk(204, "POST", "/servicedesk/1/organization", doc{"organizationId": 1})
	if on := f.desk(200, "GET", "/servicedesk/1/organization", nil); on.at("size") != 1.0 {
		t.Errorf("organizations of the desk: %s", on.body)
	}
	if on := f.desk(200, "GET", "/servicedesk/1/customer?query=town29", nil, experimental); on.at("size") != 10.0 {
		t.Errorf("customers of the desk: %s", on.body)
	}
	f.desk(204, "DELETE", "/servicedesk/1/organization", doc{"organizationId": 1})
	f.desk(204, "DELETE", "/servicedesk/1/organization", doc{"organizationId": 1})
	f.desk(204, "DELETE", "/organization/1", nil)
	f.desk(404, "DELETE", "/organization/1", nil)
	if next := f.desk(201, "POST", "/organization", doc{"name": "例示市"}); next.str("id") != "121" {
		t.Errorf("an organization's number came back: %s", next.str("id"))
	}
	if c, _ := f.s.Counts("jira"); c.Memberships != 0 {
		t.Errorf("%+v", c)
	}
}

func TestDeskProperties(t *testing.T) {
	f := newFixture(t)
	f.desk(201, "POST", "/organization", doc{"name": "例示市"})
	f.desk(201, "PUT", "/organization/1/property/musubi", `{"code":"011002"}`)
	f.desk(200, "PUT", "/organization/1/property/musubi", `{"code":"012025"}`)
	if a := f.desk(200, "GET", "/organization/1/property/musubi", nil); a.str("value", "code") != "012025" {
		t.Errorf("%s", a.body)
	}
	f.desk(204, "DELETE", "/organization/1/property/musubi", nil)
	f.desk(404, "DELETE", "/organization/1/property/musubi", nil)
}

func TestPlatformSearch(t *testing.T) {
	f := newFixture(t)
	f.customer(1)
	f.desk(201, "POST", "/customer", doc{"email": "b@city.example.lg.jp", "displayName": "役場 二郎"})
	f.user(1)
	people := func(query string, change ...func(*http.Request)) []doc {
		t.Helper()
		var found []doc
		if err := json.Unmarshal(f.call(200, "GET", "/jira/rest/api/3/user/search?"+query, nil, change...).body, &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	if p := people("query=" + url.QueryEscape("二郎")); len(p) != 1 || p[0]["emailAddress"] != "b@city.example.lg.jp" {
		t.Errorf("by the second word: %v", p)
	}
	if p := people("query=USER001"); len(p) != 1 || p[0]["accountType"] != "atlassian" {
		t.Errorf("licensed: %v", p)
	}
	if p := people("query=own001"); len(p) != 0 {
		t.Errorf("the middle of an address must not match: %v", p)
	}
	if p := people("query=t", func(r *http.Request) { r.Header.Del("Authorization") }); len(p) != 0 {
		t.Errorf("anonymous calls find nobody: %v", p)
	}
	if p := people("query=town&maxResults=0"); len(p) != 0 {
		t.Errorf("maxResults: %v", p)
	}
	for _, bad := range []string{"", "query=a&accountId=b", "property=x", "query=a&startAt=-1"} {
		f.call(400, "GET", "/jira/rest/api/3/user/search?"+bad, nil)
	}
	f.call(404, "GET", "/jira/rest/api/3/user", nil)
}
