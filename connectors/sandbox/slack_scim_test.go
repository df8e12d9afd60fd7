package sandbox_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const slackScim = "/slack/scim/v2"

func (f *fixture) sscim(want int, method, path string, body any, change ...func(*http.Request)) answer {
	f.t.Helper()
	return f.call(want, method, slackScim+path, body, change...)
}

// refused sends a request that must be refused with a code, in the vendor's shape.
func (f *fixture) refused(status int, code, method, path string, body any, change ...func(*http.Request)) answer {
	f.t.Helper()
	a := f.sscim(status, method, path, body, change...)
	if a.str("detail") != code || a.at("status") != float64(status) || a.at("schemas", 0) != "urn:ietf:params:scim:api:messages:2.0:Error" {
		f.t.Errorf("%s %s: %s, want %s", method, path, a.body, code)
	}
	return a
}

const (
	guestSchema      = "urn:ietf:params:scim:schemas:extension:slack:guest:2.0:User"
	enterpriseSchema = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

func slackUserDoc(n int) doc {
	return doc{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": fmt.Sprintf("user%03d", n), "externalId": fmt.Sprintf("P%03d", n),
		"displayName": fmt.Sprintf("試験 %03d", n), "name": doc{"familyName": "試験", "givenName": fmt.Sprintf("%03d", n)},
		"emails": []doc{{"value": fmt.Sprintf("user%03d@example.go.jp", n), "type": "work", "primary": true}},
	}
}

func (f *fixture) slackUser(n int) string {
	f.t.Helper()
	return f.sscim(201, "POST", "/Users", slackUserDoc(n)).str("id")
}

func (f *fixture) slackGuest(n int, expiration string) string {
	f.t.Helper()
	return f.sscim(201, "POST", "/Users", with(slackUserDoc(n), doc{guestSchema: doc{"type": "multi", "expiration": expiration}})).str("id")
}

func TestSlackUserNames(t *testing.T) {
	f := newFixture(t)
	a := f.sscim(201, "POST", "/Users", slackUserDoc(1))
	id := a.str("id")
	if !strings.HasPrefix(id, "U") || a.header.Get("Location") != base+slackScim+"/Users/"+id || a.at("active") != true {
		t.Errorf("made %s, %v", a.body, a.header)
	}
	f.refused(400, "long_username", "POST", "/Users", with(slackUserDoc(2), doc{"userName": strings.Repeat("a", 22)}))
	f.sscim(201, "POST", "/Users", with(slackUserDoc(2), doc{"userName": strings.Repeat("a", 21)}))
	// A character that isn't stored becomes "_", so that two names may fall together.
	if got := f.sscim(201, "POST", "/Users", with(slackUserDoc(3), doc{"userName": "Sato+Hanako"})).str("userName"); got != "sato_hanako" {
		t.Errorf("stored as %s", got)
	}
	f.refused(409, "username_taken", "POST", "/Users", with(slackUserDoc(4), doc{"userName": "sato hanako"}))
	f.refused(400, "username_not_allowed", "POST", "/Users", with(slackUserDoc(4), doc{"userName": "everyone"}))
	f.refused(400, "missing_user_name", "POST", "/Users", with(slackUserDoc(4), doc{"userName": ""}))
	f.refused(409, "username_taken", "POST", "/Users", with(slackUserDoc(4), doc{"userName": "general"})) // a channel's
	f.web("conversations.create", doc{"name": "user005"})
	f.refused(409, "username_taken", "POST", "/Users", slackUserDoc(5))
	f.refused(409, "email_taken", "POST", "/Users", with(slackUserDoc(4), doc{"emails": slackUserDoc(1)["emails"]}))
	f.refused(409, "email_taken", "PATCH", "/Users/"+id, patchDoc(doc{"op": "replace", "path": "emails[primary eq true].value", "value": "USER003@example.go.jp"}))
	f.refused(400, "invalid_display_name", "POST", "/Users", with(slackUserDoc(4), doc{"displayName": strings.Repeat("あ", 81)}))
	f.refused(400, "invalid_name_specials", "POST", "/Users", with(slackUserDoc(4), doc{"displayName": "a@b"}))
	f.sscim(201, "POST", "/Users", with(slackUserDoc(4), doc{"displayName": strings.Repeat("あ", 80)}))
}

func TestSlackUsersHaveNoFilterAndPagesOf10To1000(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.Slack.OwnerEmail = "" })
	var ids []string
	for n := range 25 {
		ids = append(ids, f.slackUser(n))
	}
	if a := f.sscim(200, "GET", "/Users", nil); len(a.list("Resources")) != 10 || a.at("totalResults") != 25.0 || a.at("itemsPerPage") != 10.0 || a.at("startIndex") != 1.0 {
		t.Errorf("default page: %s", a.body)
	}
	var got []string
	for start := 1; len(got) < 25; start += 7 {
		for _, r := range f.sscim(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=7", start), nil).list("Resources") {
			got = append(got, r.(doc)["id"].(string))
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("pages gave %v", got)
	}
	if a := f.sscim(200, "GET", "/Users?count=5000", nil); len(a.list("Resources")) != 25 {
		t.Errorf("a count past 1000: %d", len(a.list("Resources")))
	}
	// A client that trusts a filter here takes the wrong person for the one it looks for.
	if a := f.sscim(200, "GET", "/Users?filter=userName%20eq%20%22user007%22", nil); a.at("totalResults") != 25.0 || a.str("Resources", 0, "userName") != "user000" {
		t.Errorf("with a filter: %s", a.body)
	}
	f.refused(400, "invalid_count", "GET", "/Users?count=x", nil)
}

func TestSlackUserPatches(t *testing.T) {
	f := newFixture(t)
	id := f.slackUser(1)
	boss := f.slackUser(2)
	patch := func(ops ...doc) answer { t.Helper(); return f.sscim(200, "PATCH", "/Users/"+id, patchDoc(ops...)) }
	if a := patch(doc{"op": "replace", "path": "externalId", "value": "other"}, doc{"op": "replace", "path": "profileUrl", "value": "https://x.example"}); a.str("externalId") != "P001" || a.str("profileUrl") != "" {
		t.Errorf("externalId and profileUrl must be ignored: %s", a.body)
	}
	if a := patch(doc{"op": "replace", "value": doc{"externalId": "other", "title": "係長"}}); a.str("externalId") != "P001" || a.str("title") != "係長" {
		t.Errorf("without a path: %s", a.body)
	}
	if a := f.sscim(200, "PUT", "/Users/"+id, with(slackUserDoc(1), doc{"externalId": "by-put"})); a.str("externalId") != "by-put" || a.str("title") != "" {
		t.Errorf("PUT: %s", a.body)
	}
	patch(doc{"op": "add", "path": "emails", "value": []doc{{"value": "second@example.go.jp", "type": "home"}}})
	f.refused(400, "cannot_delete_primary_email", "PATCH", "/Users/"+id, patchDoc(doc{"op": "remove", "path": "emails[primary eq true]"}))
	f.refused(400, "cannot_delete_primary_email", "PATCH", "/Users/"+id, patchDoc(doc{"op": "remove", "path": `emails[value eq "user001@example.go.jp"]`}))
	if a := patch(doc{"op": "add", "path": "emails", "value": []doc{{"value": "third@example.go.jp"}}}); len(a.list("emails")) != 2 {
		t.Errorf("more than two e-mails are kept: %s", a.body)
	}
	if a := patch(doc{"op": "remove", "path": "emails[primary eq false]"}); len(a.list("emails")) != 1 {
		t.Errorf("emails %v", a.list("emails"))
	}
	patch(doc{"op": "add", "path": "phoneNumbers", "value": []doc{{"value": "03-0000-0000", "type": "work"}}})
	if a := patch(doc{"op": "replace", "path": `phoneNumbers[value eq "03-0000-0000"].value`, "value": "03-0000-0001"}); a.str("phoneNumbers", 0, "value") != "03-0000-0001" {
		t.Errorf("phone: %s", a.body)
	}
	if a := patch(doc{"op": "add", "path": enterpriseSchema + ":employeeNumber", "value": "007"}, doc{"op": "add", "path": enterpriseSchema + ":manager", "value": doc{"managerId": boss}}); a.str(enterpriseSchema, "employeeNumber") != "007" || a.str(enterpriseSchema, "manager", "managerId") != boss {
		t.Errorf("enterprise: %s", a.body)
	}
	f.refused(400, "invalid_value", "PATCH", "/Users/"+id, patchDoc(doc{"op": "add", "path": enterpriseSchema + ":manager", "value": boss}))
	f.refused(400, "invalid_manager_id", "PATCH", "/Users/"+id, patchDoc(doc{"op": "add", "path": enterpriseSchema + ":manager", "value": doc{"managerId": "U0NOBODY"}}))
	if a := patch(doc{"op": "remove", "path": enterpriseSchema + ".manager.managerId"}); a.at(enterpriseSchema, "manager") != nil {
		t.Errorf("manager: %s", a.body)
	}
	f.refused(400, "invalid_value", "PATCH", "/Users/"+id, patchDoc(doc{"op": "replace", "path": "active", "value": "False"}))
	f.refused(400, "cannot_set_password", "PATCH", "/Users/"+id, patchDoc(doc{"op": "replace", "path": "password", "value": "x"}))
	f.refused(400, "cannot_set_password", "POST", "/Users", with(slackUserDoc(3), doc{"password": "x"}))
	f.refused(400, "missing_schema_element", "PATCH", "/Users/"+id, doc{"Operations": []doc{{"op": "replace", "path": "active", "value": false}}})
	f.refused(400, "missing_schema_element", "POST", "/Users", with(slackUserDoc(3), doc{"schemas": nil}))
	f.refused(404, "no_such_user", "PATCH", "/Users/U0NOBODY", patchDoc(doc{"op": "replace", "path": "active", "value": false}))
	f.refused(400, "invalid_path", "PATCH", "/Users/"+id, patchDoc(doc{"op": "replace", "path": "colour", "value": "x"}))
}

func TestSlackMayKeepExternalIDsToItself(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.Slack.HideExternalID = true })
	id := f.slackUser(1)
	for _, path := range []string{"/Users/" + id, "/Users?count=10"} {
		a := f.sscim(200, "GET", path, nil)
		if strings.Contains(string(a.body), "P001") || !strings.Contains(string(a.body), `"externalId":""`) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if st, _ := f.s.State("slack"); len(st.Accounts) != 2 || st.Accounts[0].ExternalID+st.Accounts[1].ExternalID != "P001" {
		t.Error("the ground truth has it all the same")
	}
}

func TestSlackDeactivationAndTheWayBack(t *testing.T) {
	f := newFixture(t)
	id := f.slackUser(1)
	gid := f.sscim(201, "POST", "/Groups", groupDoc("係", id)).str("id")
	ch := f.channel("incident", id)
	if a := f.sscim(204, "DELETE", "/Users/"+id, nil); len(a.body) != 0 {
		t.Errorf("DELETE answered %s", a.body)
	}
	if a := f.sscim(200, "GET", "/Users/"+id, nil); a.at("active") != false || len(a.list("groups")) != 0 {
		t.Errorf("the record must stay, inactive and nowhere: %s", a.body)
	}
	if a := f.web("conversations.members", doc{"channel": ch}); slices.Contains(a.list("members"), any(id)) {
		t.Errorf("still in the channel: %s", a.body)
	}
	if got := memberIDs(f.sscim(200, "GET", "/Groups/"+gid, nil)); len(got) != 0 {
		t.Errorf("still in the group: %v", got)
	}
	// Name and address stay taken: the way back is the record, not a new one.
	f.refused(409, "username_taken", "POST", "/Users", slackUserDoc(1))
	f.refused(409, "email_taken", "POST", "/Users", with(slackUserDoc(1), doc{"userName": "other"}))
	f.webError("users_not_found", "users.lookupByEmail", doc{"email": "user001@example.go.jp"})
	f.webError("cant_invite", "conversations.invite", doc{"channel": ch, "users": id})
	f.sscim(204, "DELETE", "/Users/"+id, nil)
	if a := f.sscim(200, "PATCH", "/Users/"+id, patchDoc(doc{"op": "replace", "path": "active", "value": true})); a.at("active") != true {
		t.Errorf("not active again: %s", a.body)
	}
	f.web("users.lookupByEmail", doc{"email": "user001@example.go.jp"})
	if c, _ := f.s.Counts("slack"); c.Active != 2 || c.Accounts != 2 || c.Duplicates != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestSlackOwnerAndTokens(t *testing.T) {
	f := newFixture(t)
	owner := f.sscim(200, "GET", "/Users", nil).str("Resources", 0, "id")
	f.refused(403, "cannot_modify_owner", "DELETE", "/Users/"+owner, nil)
	as := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	f.refused(401, "invalid_authentication", "GET", "/Users", nil, as("wrong"))
	f.refused(401, "invalid_authentication", "GET", "/Users", nil, noCredential)
	f.refused(403, "missing_scope", "GET", "/Users", nil, as(slackToken))
	f.refused(404, "not_found", "GET", "/Nothing", nil)
	f.refused(405, "method_not_allowed", "POST", "/Users/x", doc{})
	f.refused(415, "invalid_content_type", "POST", "/Users", "x", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	f.refused(400, "invalid_json", "POST", "/Users", "{")
	f.clock.forward(25 * time.Hour)
	f.refused(401, "token_expired", "GET", "/Users", nil)
}

func TestSlackGuests(t *testing.T) {
	f := newFixture(t)
	end := f.clock.now().Add(48 * time.Hour).Format(time.RFC3339)
	id := f.slackGuest(1, end)
	a := f.sscim(200, "GET", "/Users/"+id, nil)
	if a.str(guestSchema, "type") != "multi" || a.str(guestSchema, "expiration") != end || !slices.Contains(a.list("schemas"), any(guestSchema)) {
		t.Errorf("guest: %s", a.body)
	}
	u := f.web("users.info", doc{"user": id})
	if u.at("user", "is_restricted") != true || u.at("user", "is_ultra_restricted") != false || u.at("user", "profile", "guest_expiration_ts") != float64(f.clock.now().Add(48*time.Hour).Unix()) {
		t.Errorf("guest: %s", u.body)
	}
	general := f.web("conversations.list", nil).str("channels", 0, "id")
	if m := f.web("conversations.members", doc{"channel": general}); slices.Contains(m.list("members"), any(id)) {
		t.Error("a guest isn't in #general by itself")
	}
	f.refused(400, "invalid_guest_type", "POST", "/Users", with(slackUserDoc(2), doc{guestSchema: doc{"type": "single"}}))
	f.refused(400, "invalid_guest_type", "POST", "/Users", with(slackUserDoc(2), doc{guestSchema: doc{"type": "x"}}))
	f.refused(400, "invalid_guest_expiration", "POST", "/Users", with(slackUserDoc(2), doc{guestSchema: doc{"type": "multi", "expiration": "tomorrow"}}))
	if a := f.sscim(200, "PUT", "/Users/"+id, slackUserDoc(1)); a.str(guestSchema, "type") != "multi" {
		t.Errorf("PUT without the extension made a member of a guest: %s", a.body)
	}
	one, two := f.channel("one", id), f.channel("two", id)
	if one == two {
		t.Fatal("one channel")
	}
	// A single-channel guest is made by hand; it may be in one channel.
	if err := f.s.Workspace().RestrictToOneChannel(id); err != nil {
		t.Fatal(err)
	}
	f.webError("ura_max_channels", "conversations.invite", doc{"channel": f.channel("three"), "users": id})
	f.clock.forward(20 * time.Hour)
	f.sscim(200, "GET", "/Users/"+id, nil)
	f.s.Workspace().Wake()
	g := newFixture(t, func(o *sandbox.Options) { o.Slack.AdminTokenExpires, o.Slack.TokenExpires = time.Time{}, time.Time{} })
	id = g.slackGuest(1, end)
	g.clock.forward(48 * time.Hour)
	if a := g.sscim(200, "GET", "/Users/"+id, nil); a.at("active") != false {
		t.Errorf("the guest's time is over: %s", a.body)
	}
	if c, _ := g.s.Counts("slack"); c.Active != 1 {
		t.Errorf("counts: %+v", c)
	}
}

func TestSlackGroupPatches(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.slackUser(1), f.slackUser(2), f.slackUser(3)
	g := f.sscim(201, "POST", "/Groups", groupDoc("広報", a))
	path := "/Groups/" + g.str("id")
	if !strings.HasPrefix(g.str("id"), "S") {
		t.Errorf("id %s", g.str("id"))
	}
	members := func() []string { return memberIDs(f.sscim(200, "GET", path, nil)) }
	patch := func(ops ...doc) { t.Helper(); f.sscim(204, "PATCH", path, patchDoc(ops...)) }
	patch(doc{"op": "add", "path": "members", "value": []doc{{"value": b}, {"value": c}}})
	if got := members(); !slices.Equal(got, []string{a, b, c}) {
		t.Errorf("added: %v", got)
	}
	patch(doc{"op": "remove", "path": "members[value eq " + b + "]"})
	if got := members(); !slices.Equal(got, []string{a, c}) {
		t.Errorf("one removed: %v", got)
	}
	f.refused(400, "invalid_path", "PATCH", path, patchDoc(doc{"op": "remove", "path": `members[value eq "` + a + `"]`}))
	patch(doc{"op": "replace", "path": "displayName", "value": "広報課"})
	if got := f.sscim(200, "GET", path, nil).str("displayName"); got != "広報課" {
		t.Errorf("name %s", got)
	}
	// Without a filter, everyone goes, whatever the value says.
	patch(doc{"op": "remove", "path": "members", "value": []doc{{"value": a}}})
	if got := members(); len(got) != 0 {
		t.Errorf("removed without a filter: %v", got)
	}
	patch(doc{"op": "replace", "path": "members", "value": []doc{{"value": c}}})
	f.refused(404, "no_such_user", "PATCH", path, patchDoc(doc{"op": "add", "path": "members", "value": []doc{{"value": a}, {"value": "U0NOBODY"}}}))
	if got := memberIDs(f.sscim(200, "PUT", path, groupDoc("広報課", a, b))); !slices.Equal(got, []string{a, b}) {
		t.Errorf("PUT: %v", got)
	}
	f.refused(409, "name_already_exists", "POST", "/Groups", groupDoc("広報課"))
	f.refused(400, "missing_display_name", "POST", "/Groups", groupDoc(" "))
	f.refused(404, "no_such_group", "GET", "/Groups/S0NONE", nil)
	many := make([]doc, 15_001)
	for i := range many {
		many[i] = doc{"value": a}
	}
	f.refused(400, "too_many_users", "PATCH", path, patchDoc(doc{"op": "add", "path": "members", "value": many}))
	f.sscim(204, "PATCH", path, patchDoc(doc{"op": "add", "path": "members", "value": many[:15_000]}))
	f.sscim(204, "DELETE", path, nil)
	f.refused(404, "no_such_group", "DELETE", path, nil)
}

func TestSlackResourceLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *sandbox.Options) {
			o.Now, o.Slack.UpdateTime = time.Now, time.Second
			o.Slack.TokenExpires, o.Slack.AdminTokenExpires = time.Time{}, time.Time{}
		})
		id, other := f.slackUser(1), f.slackUser(2)
		deactivate := patchDoc(doc{"op": "replace", "path": "active", "value": false})
		done := make(chan int)
		go func() {
			a, err := f.try("PATCH", slackScim+"/Users/"+id, deactivate)
			if err != nil {
				t.Error(err)
			}
			done <- a.status
		}()
		synctest.Wait()
		if a := f.refused(429, "resource_locked", "PATCH", "/Users/"+id, deactivate); a.header.Get("Retry-After") != "1" {
			t.Errorf("no Retry-After: %v", a.header)
		}
		f.sscim(200, "GET", "/Users/"+id, nil)             // reads aren't locked out
		f.sscim(200, "PATCH", "/Users/"+other, deactivate) // nor are other users
		if status := <-done; status != 200 {
			t.Errorf("the first: %d", status)
		}
		f.sscim(200, "PATCH", "/Users/"+id, deactivate)
	})
}

func TestSlackScimQuotas(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.QuotaScale = 1 })
	passed := 0
	var last answer
	for n := range 30 {
		last, _ = f.try("POST", slackScim+"/Users", slackUserDoc(n))
		if last.status == 201 {
			passed++
		}
	}
	if passed != 20 || last.status != 429 || last.header.Get("Retry-After") != "1" || last.str("detail") != "too_many_requests" {
		t.Errorf("%d users made at once, then %d %v %s", passed, last.status, last.header, last.body)
	}
	f.clock.forward(10 * time.Second) // 3 a second
	for n := range 30 {
		if last, _ = f.try("POST", slackScim+"/Users", slackUserDoc(100+n)); last.status == 429 {
			break
		}
		passed++
	}
	if passed != 40 {
		t.Errorf("%d after 10 s", passed)
	}
	for _, q := range f.s.Quotas() {
		if q.Class == "POST /scim/v2/Users" && (q.Rate != 3 || q.Burst != 20 || q.Rejected != 11) {
			t.Errorf("%+v", q)
		}
		if q.Class == "scim.writes" && (q.Rate != 10 || q.Burst != 180 || q.Requests != 40) {
			t.Errorf("%+v", q)
		}
	}
	// PUT and PATCH share theirs; all writes of the organization share one more.
	f.clock.forward(time.Minute)
	g := f.sscim(201, "POST", "/Groups", groupDoc("g")).str("id")
	count := func(n int, method, path string, body any) (ok int) {
		for range n {
			if a, _ := f.try(method, slackScim+path, body); a.status < 300 {
				ok++
			}
		}
		return ok
	}
	if a, b := count(50, "PUT", "/Groups/"+g, groupDoc("g")), count(50, "PATCH", "/Groups/"+g, patchDoc(doc{"op": "replace", "path": "displayName", "value": "g"})); a != 50 || b != 30 {
		t.Errorf("%d PUT and %d PATCH of a group at once, want 50 and 30", a, b)
	}
	if a := count(400, "GET", "/Users/"+f.sscim(200, "GET", "/Users", nil).str("Resources", 0, "id"), nil); a != 300 {
		t.Errorf("%d reads of a user at once, want 300", a)
	}
}

func TestSlackDiscovery(t *testing.T) {
	f := newFixture(t)
	c := f.sscim(200, "GET", "/ServiceProviderConfig", nil)
	if c.at("patch", "supported") != true || c.at("filter", "supported") != false || c.at("bulk", "supported") != false {
		t.Errorf("%s", c.body)
	}
	if a := f.sscim(200, "GET", "/ResourceTypes", nil); a.str("Resources", 0, "endpoint") != "/Users" || a.str("Resources", 0, "schemaExtensions", 1, "schema") != guestSchema {
		t.Errorf("%s", a.body)
	}
	for _, path := range []string{"/Schemas", "/Schemas/Users", "/Schemas/Groups", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User"} {
		f.sscim(200, "GET", path, nil)
	}
}
