package atlassian

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func flag(b bool) *bool { return &b }

func TestParsePath(t *testing.T) {
	cases := map[string]attrPath{
		"userName":                         {attr: "username"},
		"name.familyName":                  {attr: "name", sub: "familyname"},
		`emails[type eq "work"].value`:     {attr: "emails", match: &equality{attr: "type", text: "work"}, sub: "value"},
		`emails[ primary  EQ true ]`:       {attr: "emails", match: &equality{attr: "primary", flag: flag(true)}},
		`members[value eq "a\"]b"]`:        {attr: "members", match: &equality{attr: "value", text: `a"]b`}},
		schemaUser + ":title":              {attr: "title"},
		schemaEnterprise + ":department":   {extension: true, attr: "department"},
		schemaEnterprise + ".Department":   {extension: true, attr: "department"},
		schemaEnterprise:                   {extension: true},
		strings.ToUpper(schemaEnterprise):  {extension: true},
		"groups.$ref":                      {attr: "groups", sub: "$ref"},
		strings.ToLower(schemaUser) + ":x": {attr: "x"},
	}
	for text, want := range cases {
		if got, err := parsePath(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{
		"", " ", "1x", "a.", "a..b", "a[", "a[]", `a[b eq]`, `a[b eq "x"`, `a[b eq "x]`, `a[b co "x"]`, `a[b eq x]`, `a[b eq "x"]y`, "a b", schemaUser, schemaUser + "title",
		`a[b eq "x" and c eq "y"]`, strings.Repeat("a", maxFilter+1),
	} {
		if got, err := parsePath(bad); err == nil {
			t.Errorf("%q was taken: %+v", bad, got)
		}
	}
}

func TestParseFilter(t *testing.T) {
	for _, text := range []string{`userName eq "あ@b"`, ` username  Eq  "あ@b" `, `USERNAME EQ "\u3042@b"`} {
		if got, err := parseFilter(text, "userName"); err != nil || got.attr != "username" || got.text != "あ@b" {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{`userName eq "x"`, `externalId eq "\""`, `emails[type eq "work"].value eq "a"`, `userName eq true`, `a eq "b" or c eq "d"`, "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseFilter(s, "userName", "externalId")
		if err != nil {
			return
		}
		quoted, err := json.Marshal(e.text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseFilter(e.attr+" eq "+string(quoted), "userName", "externalId"); err != nil || again.text != e.text || again.attr != e.attr {
			t.Errorf("%q gave %+v, written again it gives %+v, %v", s, e, again, err)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"userName", `emails[type eq "work"].value`, schemaEnterprise + ":department", "a[b eq true].c", "a.b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePath(s)
		if err == nil && p.attr == "" && !p.extension {
			t.Errorf("%q names nothing", s)
		}
	})
}

// FuzzPatchUser looks for a PATCH that breaks the rules of a record, or its original.
func FuzzPatchUser(f *testing.F) {
	f.Add("replace", "active", `false`)
	f.Add("add", `emails[primary eq true].value`, `"b@example.go.jp"`)
	f.Add("add", "emails", `[{"value":"c@example.go.jp","primary":true}]`)
	f.Add("remove", "name", ``)
	f.Add("replace", "", `{"name":{"familyName":"x"},"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"d"}}`)
	f.Fuzz(func(t *testing.T, op, path, value string) {
		a := attrs{UserName: "u", Active: true, Name: &name{GivenName: "g"}, Emails: []multi{{Value: "a@example.go.jp", Type: "work", Primary: true}}}
		before, _ := json.Marshal(a)
		if op != "add" && op != "remove" && op != "replace" || op != "remove" && absent(json.RawMessage(value)) || op == "remove" && path == "" || !json.Valid([]byte(value)) && value != "" {
			return
		}
		got, no := patchUser(a, []patchOperation{{op, path, json.RawMessage(value)}})
		if after, _ := json.Marshal(a); string(after) != string(before) {
			t.Errorf("the original changed to %s", after)
		}
		if no == nil && got.check() != nil {
			t.Errorf("the result breaks the rules: %+v", got)
		}
	})
}
