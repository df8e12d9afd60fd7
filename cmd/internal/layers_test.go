// Package internal holds the tests of the repository's own shape: who may import whom, what may be called where, what stands at the
// top level. Each rule has a reason; a rule that matches nothing any more fails too.
package internal

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func repository(t *testing.T) (root string, packages []pkg) {
	t.Helper()
	root = repositoryRoot(t)
	packages, err := loadPackages(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 5 {
		t.Fatalf("only %d packages found below %s: the rules would hold of nothing", len(packages), root)
	}
	return root, packages
}

func report(t *testing.T, violations []string) {
	t.Helper()
	for _, v := range violations {
		t.Error(v)
	}
}

func TestImportDirections(t *testing.T) {
	_, packages := repository(t)
	report(t, checkLayers(packages, layers))
}

func TestClosedImports(t *testing.T) {
	_, packages := repository(t)
	report(t, checkClosed(packages, closedImports))
}

func TestBannedNames(t *testing.T) {
	_, packages := repository(t)
	report(t, checkBanned(packages, bannedNames))
}

func TestSystemScopes(t *testing.T) {
	_, packages := repository(t)
	report(t, checkSystemScopes(packages, systemScopes))
}

func TestShape(t *testing.T) {
	_, packages := repository(t)
	report(t, checkShape(packages))
}

// The names that may stand at the top level, apart from dot-files.
var topLevel = []string{
	"connectors", "identity", "sync", "policies", "cmd", "deploy", "docs", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE",
	"bin", "data", // made by make build and make run, ignored by git
}

func TestTopLevel(t *testing.T) {
	root, _ := repository(t)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("%s stands at the top level: the layout is fixed (docs/architecture.md); put it into one of the folders", name)
		}
	}
}

// What is shipped is built without cgo: one file that runs on any machine of its architecture.
func TestShippedWithoutCgo(t *testing.T) {
	root, packages := repository(t)
	for _, p := range packages {
		for _, f := range p.files {
			if _, ok := f.imports["C"]; ok {
				t.Errorf("%s/%s imports C: what is shipped has no cgo; a PKCS#11 module sits behind a signer process of its own", p.path, f.name)
			}
		}
	}
	if testing.Short() {
		t.Skip("go list of all dependencies: left out with -short")
	}
	var commands []string
	for _, p := range packages {
		if strings.HasPrefix(p.path, "cmd/") && p.production() && p.files[0].syntax.Name.Name == "main" {
			commands = append(commands, "./"+p.path)
		}
	}
	if len(commands) == 0 {
		t.Fatal("no command was found: what is shipped can't be checked")
	}
	list := exec.Command("go", append([]string{"list", "-e", "-deps", "-json=ImportPath,Error,DepsErrors"}, commands...)...)
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct {
			ImportPath string
			Error      *struct{ Err string }
		}
		if err := decoder.Decode(&listed); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		if listed.Error != nil {
			t.Errorf("without cgo %s has nothing to build: %s", listed.ImportPath, listed.Error.Err)
		}
		if listed.ImportPath == "runtime/cgo" {
			t.Error("runtime/cgo is among the dependencies of what is shipped")
		}
	}
	if seen < 100 {
		t.Fatalf("go list named %d packages only", seen)
	}
}

// planted is a small repository with one fault.
func planted(t *testing.T, files map[string]string) []pkg {
	t.Helper()
	var packages []pkg
	for name, text := range files {
		slash := strings.LastIndexByte(name, '/')
		file, err := parseSource(name[slash+1:], []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(packages, func(p pkg) bool { return p.path == name[:slash] })
		if at < 0 {
			packages = append(packages, pkg{path: name[:slash]})
			at = len(packages) - 1
		}
		packages[at].files = append(packages[at].files, file)
	}
	slices.SortFunc(packages, func(a, b pkg) int { return strings.Compare(a.path, b.path) })
	return packages
}

func TestPlantedFaultsAreCaught(t *testing.T) {
	const m = `"` + module + `/`
	direction := func(p []pkg) []string {
		return checkLayers(p, []layer{
			{"policies/...", []string{"policies/..."}, nil, "pure"},
			{"connectors/sandbox/...", []string{"connectors/sandbox/..."}, nil, "independent"},
			{"connectors/...", []string{"connectors"}, []string{"connectors/sandbox/..."}, "one vendor"},
			{"sync/...", []string{"sync/...", "connectors/...", "policies/..."}, nil, "ties"},
		})
	}
	onlyJobs := func(p []pkg) []string {
		return checkClosed(p, []closed{{"github.com/riverqueue/river/...", []string{"sync/jobs"}, "one engine"}})
	}
	names := func(rules ...banned) func([]pkg) []string {
		return func(p []pkg) []string { return checkBanned(p, rules) }
	}
	client := names(banned{
		imported: "net/http", names: []string{"Get", "DefaultClient"}, in: []string{"sync/..."}, tests: true, why: "no limits",
	})
	clock := names(banned{imported: "time", names: []string{"Now"}, in: []string{"sync/..."}, files: []string{"plan.go"}, why: "pure"})
	system := func(p []pkg) []string {
		return checkSystemScopes(p, []systemScope{{"sync/jobs", "TaskProvision", "all accounts"}})
	}
	const good = `package jobs; import ` + m + `policies"; var _ = policies.System(policies.TaskProvision)`
	for _, c := range []struct {
		name  string
		check func([]pkg) []string
		files map[string]string
		want  string // part of the one violation; empty for none
	}{
		{"upward import", direction, map[string]string{
			"policies/a.go": `package policies; import _ ` + m + `sync/jobs"`, "sync/jobs/a.go": `package jobs`,
			"connectors/a.go": `package connectors`, "connectors/sandbox/a.go": `package sandbox`,
		}, "policies/a.go imports sync/jobs: pure"},
		{"test file may not look up either", direction, map[string]string{
			"policies/a_test.go": `package policies; import _ ` + m + `sync/jobs"`, "sync/jobs/a.go": `package jobs`,
			"connectors/a.go": `package connectors`, "connectors/sandbox/a.go": `package sandbox`,
		}, "policies/a_test.go imports sync/jobs"},
		{"sandbox borrows from a connector", direction, map[string]string{
			"connectors/sandbox/a.go": `package sandbox; import _ ` + m + `connectors"`, "policies/a.go": `package policies`,
			"connectors/a.go": `package connectors`, "sync/jobs/a.go": `package jobs`,
		}, "connectors/sandbox/a.go imports connectors"},
		{"connector meets the sandbox outside a test", direction, map[string]string{
			"connectors/jira/a.go": `package jira; import _ ` + m + `connectors/sandbox"`, "policies/a.go": `package policies`,
			"connectors/sandbox/a.go": `package sandbox`, "sync/jobs/a.go": `package jobs`,
		}, "connectors/jira/a.go imports connectors/sandbox"},
		{"connector's test meets the sandbox", direction, map[string]string{
			"connectors/jira/a_test.go": `package jira; import _ ` + m + `connectors/sandbox"`, "policies/a.go": `package policies`,
			"connectors/sandbox/a.go": `package sandbox`, "sync/jobs/a.go": `package jobs`,
		}, ""},
		{"package outside all layers", direction, map[string]string{
			"portal/a.go": `package portal`, "policies/a.go": `package policies`, "connectors/a.go": `package connectors`,
			"connectors/sandbox/a.go": `package sandbox`, "sync/jobs/a.go": `package jobs`,
		}, "portal belongs to no layer"},
		{"stale layer", direction, map[string]string{
			"connectors/a.go": `package connectors`, "connectors/sandbox/a.go": `package sandbox`, "sync/jobs/a.go": `package jobs`,
		}, "the layer policies/... matches no package"},
		{"production code imports a package for tests", direction, map[string]string{
			"sync/jobs/a.go": `package jobs; import _ ` + m + `policies/policytest"`, "policies/policytest/a.go": `package policytest`,
			"connectors/a.go": `package connectors`, "connectors/sandbox/a.go": `package sandbox`,
		}, "sync/jobs/a.go imports policies/policytest: a package for tests"},
		{"library outside its wrapper", onlyJobs, map[string]string{
			"sync/jobs/a.go":      `package jobs; import _ "github.com/riverqueue/river"`,
			"sync/provision/a.go": `package provision; import _ "github.com/riverqueue/river/rivertype"`,
		}, "sync/provision/a.go imports github.com/riverqueue/river/rivertype: one engine"},
		{"stale closed import", onlyJobs, map[string]string{"sync/jobs/a.go": `package jobs`}, "nobody imports github.com/riverqueue/river/..."},
		{"http.Get in a test", client, map[string]string{
			"sync/jobs/a_test.go": `package jobs; import "net/http"; var _, _ = http.Get("http://127.0.0.1")`,
		}, "sync/jobs/a_test.go:1 uses net/http.Get: no limits"},
		{"DefaultClient under another name", client, map[string]string{
			"sync/jobs/a.go": `package jobs; import web "net/http"; var _ = web.DefaultClient`,
		}, "uses net/http.DefaultClient"},
		{"a header's Get is no call of the network", client, map[string]string{
			"sync/jobs/a.go": `package jobs; import "net/http"; func f(h http.Header) string { return h.Get("A") }`,
		}, ""},
		{"dot import hides names", client, map[string]string{
			"sync/jobs/a.go": `package jobs; import . "net/http"; var _ = DefaultClient`,
		}, "dot import of net/http"},
		{"clock in a pure file", clock, map[string]string{
			"sync/jobs/plan.go": `package jobs; import "time"; var now = time.Now`,
		}, "sync/jobs/plan.go:1 uses time.Now"},
		{"clock in another file", clock, map[string]string{
			"sync/jobs/run.go": `package jobs; import "time"; var now = time.Now`, "sync/jobs/plan.go": `package jobs`,
		}, ""},
		{"stale ban", clock, map[string]string{"sync/jobs/run.go": `package jobs`}, "the ban on time"},
		{"system scope where it is allowed", system, map[string]string{"sync/jobs/a.go": good}, ""},
		{"system scope elsewhere", system, map[string]string{
			"sync/jobs/a.go": good, "sync/b/a.go": strings.Replace(good, "package jobs", "package b", 1),
		}, "sync/b/a.go:1 mints a system scope for TaskProvision"},
		{"system scope for another task", system, map[string]string{
			"sync/jobs/a.go": good, "sync/jobs/b.go": strings.ReplaceAll(good, "TaskProvision", "TaskBootstrap"),
		}, "sync/jobs/b.go:1 mints a system scope for TaskBootstrap"},
		{"computed system task", system, map[string]string{
			"sync/jobs/a.go": good, "sync/jobs/b.go": `package jobs; import ` + m + `policies"; func f(t policies.SystemTask) { policies.System(t) }`,
		}, "the task must be named on the spot"},
		{"system as a value", system, map[string]string{
			"sync/jobs/a.go": good, "sync/jobs/b.go": `package jobs; import ` + m + `policies"; var mint = policies.System`,
		}, "passes policies.System on"},
		{"stale system scope", system, map[string]string{"sync/jobs/a.go": `package jobs`}, "sync/jobs no longer mints"},
		{"package without doc.go", checkShape, map[string]string{"sync/jobs/a.go": `package jobs`}, "sync/jobs has no doc.go"},
		{"doc.go without prose", checkShape, map[string]string{"sync/jobs/doc.go": `package jobs`}, "says too little"},
		{"Go file in sync itself", checkShape, map[string]string{
			"sync/doc.go": "// Package sync is\n// a\n// b\n// c\n// d\npackage sync",
		}, "sync has Go files"},
		{"package called util", checkShape, map[string]string{
			"sync/util/doc.go": "// Package util is\n// a\n// b\n// c\n// d\npackage util",
		}, "names nothing"},
		{"init", checkShape, map[string]string{
			"sync/jobs/doc.go": "// Package jobs is\n// a\n// b\n// c\n// d\npackage jobs\nfunc init() {}",
		}, "sync/jobs/doc.go:7 has an init function"},
		{"error told by its text", checkShape, map[string]string{
			"sync/jobs/doc.go": "// Package jobs is\n// a\n// b\n// c\n// d\npackage jobs\nimport \"strings\"\n" +
				"func f(err error) bool { return strings.Contains(err.Error(), \"dup\") }",
		}, "sync/jobs/doc.go:8 tells an error by its text"},
		{"connector's type asserted", checkShape, map[string]string{
			"sync/jobs/doc.go": "// Package jobs is\n// a\n// b\n// c\n// d\npackage jobs\nimport " + m + "connectors\"\n" +
				"func f(c connectors.Connector) { _, _ = c.(connectors.AccountReader) }",
		}, "sync/jobs/doc.go:8 asserts a connector's type"},
		{"connector's type switched on", checkShape, map[string]string{
			"sync/jobs/doc.go": "// Package jobs is\n// a\n// b\n// c\n// d\npackage jobs\nimport " + m + "connectors\"\n" +
				"func f(c connectors.Connector) { switch c.(type) {\ncase connectors.AccountReader: } }",
		}, "sync/jobs/doc.go:9 asserts a connector's type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.check(planted(t, c.files))
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("refused: %q", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("got %q, want one violation with %q", got, c.want)
			}
		})
	}
}

// TestUses pins the one piece of syntax that the name rules stand on.
func TestUses(t *testing.T) {
	file, err := parseSource("a.go", []byte(`package a; import j "encoding/json"; func f(j2 int) { j.Marshal(j2); _ = j.NewDecoder }`))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	file.uses("encoding/json", func(name string, _ *ast.SelectorExpr) { names = append(names, name) })
	if want := []string{"Marshal", "NewDecoder"}; !slices.Equal(names, want) {
		t.Errorf("uses found %q, want %q", names, want)
	}
}
