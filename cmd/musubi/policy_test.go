package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/policies"
)

// invoke runs a command and gives its exit code and what it wrote.
func invoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(t.TempDir(), "out")
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
	}
	code = run(t.Context(), newEnv(files[0], files[1]), args)
	var text [2]string
	for i, f := range files {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		text[i] = string(raw)
	}
	return code, text[0], text[1]
}

// policyDir writes a folder with our schema and the rules given.
func policyDir(t *testing.T, rules string) string {
	t.Helper()
	dir := t.TempDir()
	schema, err := fs.ReadFile(policies.Files, "schema.cedarschema")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"schema.cedarschema": string(schema), "rules/ours.cedar": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	oneRule = `@id("all") permit (principal, action, resource);`
	faulty  = `@id("a")
permit (principal, action, resource) when { principal.rol == 1 };
permit (principal, action, resource);
@id("b")
forbid (principle, action, resource);`
)

func TestPolicyCheck(t *testing.T) {
	good, bad := policyDir(t, oneRule), policyDir(t, faulty)
	file := filepath.Join(bad, "rules", "ours.cedar")
	for _, tc := range []struct {
		name string
		args []string
		code int
		want []string // in this order
	}{
		{"the policies built in", nil, boot.ExitOK, []string{"permit  administrator-reads-own-organization", "rules/admin.cedar:", "誤りはありません", "hash "}},
		{"a folder", []string{good}, boot.ExitOK, []string{"permit  all", "No fault in 1 policies"}},
		{"all faults at once, by place", []string{bad}, boot.ExitRefused, []string{
			file + ":1:1: policy \"a\": attribute `rol`", file + ":3:1: the policy has no @id", file + ":5:9: found `principle`", "誤りが 3 件",
		}},
		{"no folder of policies", []string{t.TempDir()}, boot.ExitUsage, []string{"a policy set is a folder with schema.cedarschema and rules/*.cedar"}},
		{"two folders", []string{good, bad}, boot.ExitUsage, []string{"musubi policy check --help"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := invoke(t, append([]string{"policy", "check"}, tc.args...)...)
			rest := stdout + stderr
			for _, want := range tc.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Errorf("%q is missing or out of order in\n%s%s", want, stdout, stderr)
				}
				rest = after
			}
			if code != tc.code {
				t.Errorf("exit code %d, want %d\n%s", code, tc.code, stderr)
			}
		})
	}
}

func TestPolicyCheckJSON(t *testing.T) {
	for dir, ok := range map[string]bool{policyDir(t, oneRule): true, policyDir(t, faulty): false} {
		code, stdout, stderr := invoke(t, "policy", "check", dir, "--json")
		var doc struct {
			Schema string `json:"schema"`
			policyCheck
		}
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
			t.Fatalf("%v\n%s", err, stdout)
		}
		if doc.Schema != "musubi.policy-check.v1" || doc.OK != ok || doc.Dir != dir || (code == boot.ExitOK) != ok || stderr != "" {
			t.Errorf("exit code %d, %+v\n%s", code, doc, stderr)
		}
		if ok && (len(doc.Policies) != 1 || len(doc.Hash) != 64 || len(doc.Faults) > 0) {
			t.Errorf("%+v", doc)
		}
		if !ok && (len(doc.Faults) != 3 || doc.Faults[2].Line != 5 || doc.Faults[2].Column != 9 || doc.Hash != "" || len(doc.Policies) > 0) {
			t.Errorf("%+v", doc)
		}
	}
}

func TestPolicyExplain(t *testing.T) {
	data := t.TempDir()
	if code, _, stderr := invoke(t, "init", "--data", data, "--agency", "8000012010038", "--name", "デジタル庁",
		"--email", "taro@digital.example.go.jp", "--email", "hanako@digital.example.go.jp"); code != 0 {
		t.Fatal(stderr)
	}
	as := []string{"--data", data, "--as", filepath.Join(data, "credentials", "planner.cred")}
	proposed := policyDir(t, `@id("local") permit (principal, action == Musubi::Action::"org.write", resource is Musubi::Organization)
when { principal.kind == Musubi::Kind::"prefecture" };`)
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"permitted", append([]string{"people.write", "8000012010038"}, as...), boot.ExitOK, "Decided by: system-administrator-administers-workspace"},
		{"somebody else's plan", append([]string{"plan.approve", "workspace"}, as...), boot.ExitOK, "Answer: yes."},
		{"one's own plan", append([]string{"plan.approve", "workspace", "--own-plan"}, as...), boot.ExitOK, "Decided by: maker-never-approves"},
		{"a key", append([]string{"key.rotate", "workspace"}, as...), boot.ExitOK, "署名鍵を替える"},
		{"contacts", append([]string{"contact.read", "8000012010038"}, as...), boot.ExitOK, "Decided by: everyone-finds-own-colleagues"},
		{"a seat", append([]string{"seat.licensed_member", "atlassian"}, as...), boot.ExitOK, "決め手の方針: system-administrator-holds-no-seat"},
		{
			"what a proposal would say",
			append([]string{"org.write", "8000012010038", "--policies", proposed}, as...),
			boot.ExitOK, "× 所属組織の種別が都道府県であること … 実際は、所属組織の種別は運営機関",
		},
		{"a proposal with faults", append([]string{"org.write", "workspace", "--policies", policyDir(t, faulty)}, as...), boot.ExitRefused, "3 faults"},
		{"an unknown action", append([]string{"people.destroy", "workspace"}, as...), boot.ExitUsage, "ACTION: org.read"},
		{"an unknown seat", append([]string{"seat.throne", "jira"}, as...), boot.ExitUsage, `unknown seat "throne"`},
		{"an unknown organization", append([]string{"org.read", "131016"}, as...), boot.ExitRefused, "organization 131016: not found"},
		{"an unknown person", append([]string{"org.read", "workspace", "--person", "p-nobody"}, as...), boot.ExitRefused, "not found"},
		{"nobody", []string{"org.read", "workspace", "--data", data}, boot.ExitUsage, "about whom?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := invoke(t, append([]string{"policy", "explain"}, tc.args...)...)
			if code != tc.code || !strings.Contains(stdout+stderr, tc.want) {
				t.Errorf("exit code %d, want %d; %q is missing in\n%s%s", code, tc.code, tc.want, stdout, stderr)
			}
		})
	}
	code, stdout, _ := invoke(t, append([]string{"policy", "explain", "seat.portal_customer", "jira", "--json"}, as...)...)
	var doc explanation
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != boot.ExitOK {
		t.Fatalf("%d, %v\n%s", code, err, stdout)
	}
	if doc.Allow || doc.Person == "" || len(doc.Hash) != 64 || len(doc.Decisive) != 1 || len(doc.Nearest) != policies.MaxNearest || len(doc.Nearest[0].Missing) != 2 {
		t.Errorf("%+v", doc)
	}
}
