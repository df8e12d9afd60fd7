package scim_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors/sandbox/slack/scim"
)

const enterprise = scim.SchemaEnterprise

func TestParsePath(t *testing.T) {
	for text, want := range map[string]*scim.Path{
		"active":                           {Attr: "active"},
		"name.givenName":                   {Attr: "name", Sub: "givenname"},
		"members[value eq U123ABC456]":     {Attr: "members", Key: "value", Literal: "U123ABC456"},
		`members[value eq "U1"]`:           {Attr: "members", Key: "value", Literal: "U1", Quoted: true},
		"emails[primary eq false]":         {Attr: "emails", Key: "primary", Literal: "false"},
		`emails[ value  EQ  "a b" ].value`: {Attr: "emails", Key: "value", Literal: "a b", Quoted: true, Sub: "value"},
		enterprise:                         {Schema: enterprise},
		enterprise + ":employeeNumber":     {Schema: enterprise, Attr: "employeenumber"},
		enterprise + ".manager.managerId":  {Schema: enterprise, Attr: "manager", Sub: "managerid"},
		strings.ToUpper(scim.SchemaGuest):  {Schema: scim.SchemaGuest},
		scim.SchemaUser + ":title":         {Attr: "title"},
		"":                                 nil,
		".":                                nil,
		"a.":                               nil,
		"a b":                              nil,
		"members[value eq U1":              nil,
		"members[value eq]":                nil,
		"members[value ne U1]":             nil,
		"members[value eq U1 U2]":          nil,
		`members[value eq "U1]`:            nil,
		"members[eq eq eq]x":               nil,
		scim.SchemaUser:                    nil,
		enterprise + "x":                   nil,
		strings.Repeat("a", 2000):          nil,
	} {
		if diff := cmp.Diff(want, scim.ParsePath(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

var storedName = regexp.MustCompile(`^[a-z0-9._-]{1,21}$`)

// TestWhatIsStoredIsAllowed: whatever text comes, it is refused or stored in the vendor's form.
func TestWhatIsStoredIsAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name, display := rapid.String().Draw(t, "userName"), rapid.String().Draw(t, "displayName")
		raw, err := json.Marshal(map[string]any{
			"schemas": []string{scim.SchemaUser}, "userName": name, "displayName": display,
			"emails": []map[string]any{{"value": "a@example.go.jp", "primary": true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		u, no := scim.DecodeUser(raw)
		if no != nil {
			if no.Status != 400 || no.Detail == "" {
				t.Fatalf("refused with %+v", no)
			}
			return
		}
		if !storedName.MatchString(u.UserName) || utf8.RuneCountInString(u.DisplayName) > 80 || strings.Contains(u.DisplayName, "@") {
			t.Fatalf("stored %q and %q", u.UserName, u.DisplayName)
		}
	})
}

// TestGroupPatchesAgreeWithASet compares sequences of operations with the plain meaning of each.
func TestGroupPatchesAgreeWithASet(t *testing.T) {
	people := []string{"U1", "U2", "U3", "U4", "U5"}
	known := func(id string) bool { return slices.Contains(people, id) }
	rapid.Check(t, func(t *rapid.T) {
		g := scim.Group{DisplayName: "g", Members: rapid.SliceOfDistinct(rapid.SampledFrom(people), func(s string) string { return s }).Draw(t, "members")}
		want := map[string]bool{}
		for _, id := range g.Members {
			want[id] = true
		}
		var ops []map[string]any
		for range rapid.IntRange(1, 6).Draw(t, "operations") {
			ids := rapid.SliceOfN(rapid.SampledFrom(people), 0, 4).Draw(t, "ids")
			refs := []map[string]string{}
			for _, id := range ids {
				refs = append(refs, map[string]string{"value": id})
			}
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				ops = append(ops, map[string]any{"op": "add", "path": "members", "value": refs})
				for _, id := range ids {
					want[id] = true
				}
			case 1:
				ops = append(ops, map[string]any{"op": "Replace", "path": "members", "value": refs})
				clear(want)
				for _, id := range ids {
					want[id] = true
				}
			case 2:
				ops = append(ops, map[string]any{"op": "remove", "path": "members", "value": refs})
				clear(want)
			case 3:
				id := rapid.SampledFrom(people).Draw(t, "one")
				ops = append(ops, map[string]any{"op": "remove", "path": "members[value eq " + id + "]"})
				delete(want, id)
			}
		}
		raw, err := json.Marshal(map[string]any{"schemas": []string{scim.SchemaPatch}, "Operations": ops})
		if err != nil {
			t.Fatal(err)
		}
		decoded, no := scim.DecodePatch(raw)
		if no != nil {
			t.Fatal(no)
		}
		got, no := scim.PatchGroup(g, decoded, known)
		if no != nil {
			t.Fatal(no)
		}
		has := map[string]bool{}
		for _, id := range got.Members {
			if has[id] {
				t.Fatalf("twice in: %v", got.Members)
			}
			has[id] = true
		}
		if diff := cmp.Diff(want, has); diff != "" {
			t.Fatalf("%s", diff)
		}
	})
}

func TestActiveAt(t *testing.T) {
	end := time.Date(2027, 3, 31, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		u    scim.User
		at   time.Time
		want bool
	}{
		"member":        {scim.User{Active: true}, end, true},
		"off":           {scim.User{}, end, false},
		"before":        {scim.User{Active: true, Guest: &scim.Guest{Type: "multi", Expiration: end.Format(time.RFC3339)}}, end.Add(-time.Second), true},
		"at the end":    {scim.User{Active: true, Guest: &scim.Guest{Type: "multi", Expiration: end.Format(time.RFC3339)}}, end, false},
		"without end":   {scim.User{Active: true, Guest: &scim.Guest{Type: "multi"}}, end, true},
		"unreadable":    {scim.User{Active: true, Guest: &scim.Guest{Type: "multi", Expiration: "soon"}}, end, false},
		"off and guest": {scim.User{Guest: &scim.Guest{Type: "multi"}}, end, false},
	} {
		if got := c.u.ActiveAt(c.at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzPatchUser: no body breaks a user, and what is refused changes nothing.
func FuzzPatchUser(f *testing.F) {
	for _, ops := range []string{
		`[{"op":"replace","path":"active","value":false}]`,
		`[{"op":"remove","path":"emails[primary eq false]"}]`,
		`[{"op":"add","path":"phoneNumbers[value eq \"x\"].value","value":"y"}]`,
		`[{"op":"replace","value":{"name.givenName":"a","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"managerId":"U1"}}}}]`,
		`[{"op":"remove","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.managerId"}]`,
		`[{"op":"add","path":"emails","value":{"value":"b@example.go.jp","primary":true}}]`,
		`[{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:slack:guest:2.0:User","value":{"type":"multi"}}]`,
	} {
		f.Add([]byte(`{"schemas":["` + scim.SchemaPatch + `"],"Operations":` + ops + `}`))
	}
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ops, no := scim.DecodePatch(raw)
		if no != nil {
			return
		}
		before := scim.User{
			UserName: "a", Active: true, Emails: []scim.Value{{Value: "a@example.go.jp", Primary: true}, {Value: "c@example.go.jp"}},
			PhoneNumbers: []scim.Value{{Value: "x"}}, Enterprise: &scim.Enterprise{Manager: &scim.Manager{ManagerID: "U1"}}, Guest: &scim.Guest{Type: "multi"},
		}
		copied, err := json.Marshal(before)
		if err != nil {
			t.Fatal(err)
		}
		after, no := scim.PatchUser(before, ops)
		if again, _ := json.Marshal(before); string(again) != string(copied) {
			t.Fatalf("the user itself was changed: %s", again)
		}
		if no != nil {
			return
		}
		if !storedName.MatchString(after.UserName) || after.Email() == "" || len(after.Emails) > 2 {
			t.Fatalf("made %+v", after)
		}
	})
}

// FuzzDecodeUser: no body makes a user that the vendor couldn't have.
func FuzzDecodeUser(f *testing.F) {
	f.Add([]byte(`{"schemas":["` + scim.SchemaUser + `"],"userName":"a","emails":[{"value":"a@example.go.jp"}]}`))
	f.Add([]byte(`{"schemas":["` + scim.SchemaUser + `"],"userName":"` + strings.Repeat("あ", 21) + `","emails":[{"value":"a@b.jp","primary":true},{"value":"c@b.jp"},{"value":"d@b.jp"}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		u, no := scim.DecodeUser(raw)
		if no == nil && (!storedName.MatchString(u.UserName) || u.Email() == "" || len(u.Emails) > 2) {
			t.Fatalf("made %+v", u)
		}
	})
}
