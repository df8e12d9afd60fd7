package load

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/policies"
)

func ourSchema(t testing.TB) string {
	t.Helper()
	b, err := fs.ReadFile(policies.Files, SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func set(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range files {
		m[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

func TestDefaultLoads(t *testing.T) {
	e, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Hash()) != 64 {
		t.Errorf("hash %q isn't SHA-256 in hex", e.Hash())
	}
	for _, p := range e.Policies() {
		got := p.Cedar.Position()
		if got.Filename != p.File || got.Line != p.Line || got.Column != p.Column || p.Column != 1 {
			t.Errorf("policy %s: Cedar's place %v isn't ours %s:%d:%d", p.ID, got, p.File, p.Line, p.Column)
		}
	}
}

const good = "@id(\"a\")\npermit (principal, action, resource);\n"

func TestFaults(t *testing.T) {
	schema := ourSchema(t)
	long := strings.Repeat("x", MaxIDLength+1)
	for _, tc := range []struct {
		name  string
		rules map[string]string
		want  []string
	}{
		{
			"a semicolon is missing",
			map[string]string{"a": "@id(\"a\")\npermit (principal, action, resource)"},
			[]string{"rules/a.cedar:2:37: the policy ends here, but `;` is missing"},
		},
		{
			"a misspelled effect, and the next policy is still read",
			map[string]string{"a": "@id(\"a\")\npermitt (principal, action, resource);\n\n@id(\"b\")\nforbid (principle, action, resource);"},
			[]string{
				"rules/a.cedar:2:1: unexpected effect: permitt at `permitt`",
				"rules/a.cedar:5:9: found `principle` where `principal` belongs",
			},
		},
		{
			"columns count characters",
			map[string]string{"a": "/* 方針 */ permit (principal, 行動, resource);"},
			[]string{"rules/a.cedar:1:29: found `行` where `action` belongs"},
		},
		{
			"a string isn't closed",
			map[string]string{"a": "@id(\"a)\npermit (principal, action, resource);"},
			[]string{"rules/a.cedar:1:5: literal not terminated"},
		},
		{
			"a condition without a value",
			map[string]string{"a": "@id(\"a\")\npermit (principal, action, resource)\nwhen { principal.active && };"},
			[]string{"rules/a.cedar:3:28: invalid primary at `}`"},
		},
		{
			"no id",
			map[string]string{"a": "// text\npermit (principal, action, resource);"},
			[]string{"rules/a.cedar:2:1: the policy has no @id; write @id(\"what-it-says\") before it"},
		},
		{
			"one id twice, over two files",
			map[string]string{"a": good, "b": "\n" + good},
			[]string{"rules/b.cedar:2:1: the @id \"a\" is taken by the policy at rules/a.cedar:1:1"},
		},
		{
			"ill-formed ids",
			map[string]string{"a": strings.ReplaceAll(good, "\"a\"", "\"A b\"") + strings.ReplaceAll(good, "\"a\"", "\""+long+"\"")},
			[]string{
				"rules/a.cedar:1:1: the @id \"A b\" isn't lower-case words joined by hyphens, at most 64 characters",
				"rules/a.cedar:3:1: the @id \"" + long + "\" isn't lower-case words joined by hyphens, at most 64 characters",
			},
		},
		{
			"an annotation that nobody reads",
			map[string]string{"a": "@unless(\"x\")" + good},
			[]string{"rules/a.cedar:1:1: unknown annotation @unless; a policy has @id(\"...\") and no other"},
		},
		{
			"a misspelled role",
			map[string]string{"a": "@id(\"a\")\npermit (principal, action, resource) when { principal.role == Musubi::Role::\"adminstrator\" };"},
			[]string{"rules/a.cedar:1:1: policy \"a\": Musubi::Role::\"adminstrator\" isn't one of the values that the schema lists"},
		},
		{
			"misspellings inside a set and in the scope",
			map[string]string{"a": "@id(\"a\")\npermit (principal, action, resource) unless { [Musubi::Kind::\"agency\", Musubi::Kind::\"minstry\"].contains(principal.kind) };\n" +
				"@id(\"b\") permit (principal, action, resource in Musubi::Workspace::\"JP\");"},
			[]string{
				"rules/a.cedar:1:1: policy \"a\": Musubi::Kind::\"minstry\" isn't one",
				"rules/a.cedar:3:1: policy \"b\": Musubi::Workspace::\"JP\" isn't one",
			},
		},
		{
			"an unknown attribute",
			map[string]string{"a": "\n  @id(\"a\")\npermit (principal, action, resource) when { principal.salary > 3 };"},
			[]string{"rules/a.cedar:2:3: policy \"a\": attribute"},
		},
		{
			"an unknown action",
			map[string]string{"a": "@id(\"a\")\npermit (principal, action == Musubi::Action::\"org.raed\", resource);"},
			[]string{"rules/a.cedar:1:1: policy \"a\": unrecognized action", "rules/a.cedar:1:1: policy \"a\": unable to find an applicable action"},
		},
		{
			"a file that isn't a policy file",
			map[string]string{"a": good, "../rules/b.txt": "x"},
			[]string{"rules/b.txt: isn't called *.cedar"},
		},
		{
			"a folder in the folder",
			map[string]string{"a": good, "sub/b": good},
			[]string{"rules/sub: is no regular file"},
		},
		{
			"too deep",
			map[string]string{"a": "@id(\"a\")\npermit (principal, action, resource) when { " + strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000) + " };"},
			[]string{"rules/a.cedar: brackets stand 5001 deep; at most 64 are read"},
		},
		{
			"too large",
			map[string]string{"a": good + strings.Repeat(" ", MaxFileBytes)},
			[]string{"rules/a.cedar: is larger than 256 KiB"},
		},
		{
			"not UTF-8",
			map[string]string{"a": good + "// \x8e\xa9"},
			[]string{"rules/a.cedar:3:4: the byte 0x8e isn't UTF-8"},
		},
		{
			"text that reads in another order than it is",
			map[string]string{"a": good + "// \u202e"},
			[]string{"rules/a.cedar:3:4: the character U+202E can't be seen by a reviewer"},
		},
		{"nothing", map[string]string{"a": "// no policy\n"}, []string{"rules: holds no policy"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{SchemaFile: schema}
			for name, text := range tc.rules {
				if !strings.Contains(name, ".txt") {
					name += ".cedar"
				}
				files["rules/"+strings.TrimPrefix(name, "../rules/")] = text
			}
			_, err := Load(set(files))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Load gave %v, not an *Error", err)
			}
			if len(e.Faults) != len(tc.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(e.Faults), len(tc.want), err)
			}
			for i, want := range tc.want {
				if got := e.Faults[i].String(); !strings.HasPrefix(got, want) {
					t.Errorf("fault %d:\n got %s\nwant %s", i, got, want)
				}
			}
		})
	}
}

func TestSchemaFaults(t *testing.T) {
	schema := ourSchema(t)
	for _, tc := range []struct{ name, old, new, want string }{
		{"syntax", "enum [\"jp\"];", "enum [\"jp\"]", "schema.cedarschema:"},
		{"a type that isn't declared", "parent?: Organization", "parent?: Organisation", "schema.cedarschema: "},
		{"an action that the hub asks about is missing", "\"people.write\", ", "", "schema.cedarschema: doesn't describe what the hub asks about people.write on a Musubi::Workspace"},
		{"an attribute has another type", "active: Bool", "active: String", "schema.cedarschema: doesn't describe what the hub asks about org.read"},
		{"the engine doesn't fill an attribute", "active: Bool,", "active: Bool, rank: Long,", "schema.cedarschema: doesn't describe what the hub asks about org.read"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(schema, tc.old) {
				t.Fatalf("the schema no longer holds %q", tc.old)
			}
			_, err := Load(set(map[string]string{SchemaFile: strings.Replace(schema, tc.old, tc.new, 1), "rules/a.cedar": good}))
			var e *Error
			if !errors.As(err, &e) || !strings.HasPrefix(e.Faults[0].String(), tc.want) {
				t.Errorf("Load gave %v, want %s...", err, tc.want)
			}
		})
	}
}

func TestSetThatIsNoSet(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"empty": {}, "no schema": {"rules/a.cedar": good}, "no rules": {SchemaFile: ourSchema(t)},
	} {
		if _, err := Load(set(files)); err == nil || !strings.Contains(err.Error(), "the policies can't be read") {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := map[string]string{SchemaFile: ourSchema(t)}
	for i := range MaxFiles {
		many[fmt.Sprintf("rules/r%03d.cedar", i)] = good
	}
	if _, err := Load(set(many)); err == nil || !strings.Contains(err.Error(), "at most 63") {
		t.Errorf("too many files: %v", err)
	}
	crowd := map[string]string{SchemaFile: ourSchema(t), "rules/a.cedar": strings.Repeat(good, MaxPolicies+1)}
	if _, err := Load(set(crowd)); err == nil || !strings.Contains(err.Error(), "1001 policies; at most 1000") {
		t.Errorf("too many policies: %v", err)
	}
}

func TestHash(t *testing.T) {
	base := map[string]string{SchemaFile: ourSchema(t), "rules/a.cedar": good, "rules/b.cedar": strings.Replace(good, `"a"`, `"b"`, 1)}
	hash := func(change func(map[string]string)) string {
		files := maps.Clone(base)
		change(files)
		s, err := Load(set(files))
		if err != nil {
			t.Fatal(err)
		}
		return s.Hash()
	}
	plain := hash(func(map[string]string) {})
	crlf := hash(func(f map[string]string) { f["rules/a.cedar"] = strings.ReplaceAll(good, "\n", "\r\n") })
	if diff := cmp.Diff(plain, crlf); diff != "" {
		t.Errorf("line endings change the hash: %s", diff)
	}
	for name, change := range map[string]func(map[string]string){
		"comment": func(f map[string]string) { f["rules/a.cedar"] += "// reviewed" },
		"schema":  func(f map[string]string) { f[SchemaFile] += "// reviewed" },
		"name":    func(f map[string]string) { f["rules/c.cedar"] = f["rules/b.cedar"]; delete(f, "rules/b.cedar") },
		"border": func(f map[string]string) {
			f["rules/a.cedar"] += f["rules/b.cedar"]
			f["rules/b.cedar"] = ""
		},
	} {
		if hash(change) == plain {
			t.Errorf("a change of the %s leaves the hash", name)
		}
	}
}

func FuzzLoad(f *testing.F) {
	schema := ourSchema(f)
	rules, err := fs.Glob(policies.Files, "rules/*.cedar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range rules {
		text, err := fs.ReadFile(policies.Files, name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), schema)
	}
	for _, s := range []string{
		good, "@id(\"a)", "permit(", "/*", ";;;", "\"\\", "@id(\"a\") permit (principal, action, resource) when { if if };",
		"permit (principal, action in [], resource);", "permit (principal == X::\"\", action, resource) unless { context[\"\n\"] };",
	} {
		f.Add(s, schema)
	}
	f.Add(good, "namespace A { entity B in [B]; type C = C; }")
	f.Fuzz(func(t *testing.T, text, schema string) {
		s, err := Load(set(map[string]string{SchemaFile: schema, "rules/a.cedar": text}))
		if err == nil {
			if len(s.Policies()) == 0 || s.Hash() == "" {
				t.Fatal("a set without policies or hash was accepted")
			}
			if _, err := policies.NewEngine(s); err != nil {
				t.Fatal(err)
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) || len(e.Faults) == 0 {
			t.Fatalf("not an *Error with faults: %v", err)
		}
		lines := strings.Count(text, "\n") + strings.Count(schema, "\n") + 2
		for _, fault := range e.Faults {
			if fault.Message == "" || fault.Line < 0 || fault.Line > lines || (fault.Line > 0 && fault.Column < 1) {
				t.Fatalf("a fault that points nowhere: %+v", fault)
			}
		}
	})
}
