package internal

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/musubi-hub/musubi"

// source is one parsed Go file.
type source struct {
	name    string // base name
	test    bool   // _test.go
	syntax  *ast.File
	fileset *token.FileSet
	imports map[string]string // import path -> local name ("." and "_" included)
}

// pkg is a folder with Go files. Files of every build tag are in it, so that a rule can't be escaped by a tag.
type pkg struct {
	path  string // relative to the module, with slashes: "sync/jobs"
	files []source
}

// production reports whether anything but tests is in the package.
func (p pkg) production() bool {
	return slices.ContainsFunc(p.files, func(f source) bool { return !f.test })
}

// testOnly reports whether f serves tests alone: a _test.go file, or a file of a package that is made for tests (sqldbtest).
func (p pkg) testOnly(f source) bool { return f.test || strings.HasSuffix(p.path, "test") }

// repositoryRoot walks up to go.mod.
func repositoryRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

// loadPackages parses all first-party Go files below root. Nested modules, testdata, hidden folders and node_modules are left out.
func loadPackages(root string) ([]pkg, error) {
	found := map[string]*pkg{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(root, name, entry.Name())
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parseSource(entry.Name(), text)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		where := filepath.ToSlash(relative)
		if found[where] == nil {
			found[where] = &pkg{path: where}
		}
		found[where].files = append(found[where].files, file)
		return nil
	})
	packages := make([]pkg, 0, len(found))
	for _, p := range found {
		packages = append(packages, *p)
	}
	slices.SortFunc(packages, func(a, b pkg) int { return strings.Compare(a.path, b.path) })
	return packages, err
}

func skipFolder(root, name, base string) error {
	if name == root {
		return nil
	}
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

func parseSource(name string, text []byte) (source, error) {
	fileset := token.NewFileSet()
	syntax, err := parser.ParseFile(fileset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, fmt.Errorf("parse: %w", err)
	}
	file := source{
		name: name, test: strings.HasSuffix(name, "_test.go"), syntax: syntax, fileset: fileset, imports: map[string]string{},
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, err
		}
		local := localName(imported)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		file.imports[imported] = local
	}
	return file, nil
}

// localName guesses the name of an imported package from its path: right for the standard library and for our own.
func localName(imported string) string {
	base := path.Base(imported)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(imported))
	}
	return base
}

// uses calls found for each mention of imported.name in f (a call, or the bare function or variable).
func (f source) uses(imported string, found func(name string, node *ast.SelectorExpr)) {
	local, ok := f.imports[imported]
	if !ok || local == "_" {
		return
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := selector.X.(*ast.Ident); ok && id.Name == local {
			found(selector.Sel.Name, selector)
		}
		return true
	})
}

// at says where node is, e.g. "sync/jobs/client.go:12".
func (f source) at(p pkg, node ast.Node) string {
	return fmt.Sprintf("%s/%s:%d", p.path, f.name, f.fileset.Position(node.Pos()).Line)
}
