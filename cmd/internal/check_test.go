package internal

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// matches reports whether a path is what the pattern names: itself, or with /... also all below it.
func matches(pattern, path string) bool {
	if root, below := strings.CutSuffix(pattern, "/..."); below {
		return path == root || strings.HasPrefix(path, root+"/")
	}
	return path == pattern
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, path) })
}

// ours gives the path below the module of an import, and whether it is first-party.
func ours(imported string) (string, bool) {
	return strings.CutPrefix(imported, module+"/")
}

func sortedImports(f source) []string {
	imports := make([]string, 0, len(f.imports))
	for imported := range f.imports {
		imports = append(imports, imported)
	}
	slices.Sort(imports)
	return imports
}

// checkLayers holds the import directions, and keeps packages for tests out of production code.
func checkLayers(packages []pkg, layers []layer) []string {
	var violations []string
	used := make([]bool, len(layers))
	for _, p := range packages {
		i := slices.IndexFunc(layers, func(l layer) bool { return matches(l.from, p.path) })
		if i < 0 {
			violations = append(violations, fmt.Sprintf("%s belongs to no layer: put it into one of the folders, or write down its layer", p.path))
			continue
		}
		used[i] = true
		for _, f := range p.files {
			may := layers[i].may
			if p.testOnly(f) {
				may = append(slices.Clone(may), layers[i].tests...)
			}
			for _, imported := range sortedImports(f) {
				target, first := ours(imported)
				switch {
				case !first || target == p.path:
				case !matchesAny(may, target):
					violations = append(violations, fmt.Sprintf("%s/%s imports %s: %s", p.path, f.name, target, layers[i].why))
				case strings.HasSuffix(target, "test") && !p.testOnly(f):
					violations = append(violations, fmt.Sprintf("%s/%s imports %s: a package for tests", p.path, f.name, target))
				}
			}
		}
	}
	for i, l := range layers {
		if !used[i] {
			violations = append(violations, fmt.Sprintf("the layer %s matches no package: remove the rule", l.from))
		}
	}
	return violations
}

// checkClosed keeps wrapped libraries to their wrapper. Tests are free: they may look at a library from outside.
func checkClosed(packages []pkg, rules []closed) []string {
	var violations []string
	for _, rule := range rules {
		found := false
		for _, p := range packages {
			for _, f := range p.files {
				if p.testOnly(f) {
					continue
				}
				for _, imported := range sortedImports(f) {
					target, _ := ours(imported)
					if !matches(rule.what, target) {
						continue
					}
					found = true
					if !matchesAny(rule.by, p.path) {
						violations = append(violations, fmt.Sprintf("%s/%s imports %s: %s", p.path, f.name, target, rule.why))
					}
				}
			}
		}
		if !found {
			violations = append(violations, fmt.Sprintf("nobody imports %s: remove the rule", rule.what))
		}
	}
	return violations
}

// checkBanned holds the list of names and imports that may not be used.
func checkBanned(packages []pkg, rules []banned) []string {
	var violations []string
	for _, rule := range rules {
		about := false
		for _, p := range packages {
			if !matchesAny(rule.in, p.path) || matchesAny(rule.except, p.path) {
				continue
			}
			for _, f := range p.files {
				if len(rule.files) > 0 && !slices.Contains(rule.files, f.name) {
					continue
				}
				about = true
				if rule.tests || !p.testOnly(f) {
					violations = append(violations, usesBanned(p, f, rule)...)
				}
			}
		}
		if !about {
			violations = append(violations, fmt.Sprintf("the ban on %s %v is about no file: remove the rule", rule.imported, rule.names))
		}
	}
	return violations
}

func usesBanned(p pkg, f source, rule banned) []string {
	local, imported := f.imports[rule.imported]
	switch {
	case !imported:
		return nil
	case len(rule.names) == 0:
		return []string{fmt.Sprintf("%s/%s imports %s: %s", p.path, f.name, rule.imported, rule.why)}
	case local == ".":
		return []string{fmt.Sprintf("%s/%s: dot import of %s hides what is used of it", p.path, f.name, rule.imported)}
	}
	var violations []string
	f.uses(rule.imported, func(name string, node *ast.SelectorExpr) {
		if slices.Contains(rule.names, name) {
			violations = append(violations, fmt.Sprintf("%s uses %s.%s: %s", f.at(p, node), rule.imported, name, rule.why))
		}
	})
	return violations
}

// checkSystemScopes keeps policies.System to the list, task by task.
func checkSystemScopes(packages []pkg, allowed []systemScope) []string {
	const imported = module + "/policies"
	var violations []string
	used := make([]bool, len(allowed))
	for _, p := range packages {
		for _, f := range p.files {
			if p.testOnly(f) || matches("policies/...", p.path) {
				continue
			}
			called := map[*ast.SelectorExpr]string{} // policies.System in a call -> the task's constant
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 1 {
					return true
				}
				if function, ok := call.Fun.(*ast.SelectorExpr); ok {
					called[function] = ""
					if task, ok := call.Args[0].(*ast.SelectorExpr); ok && strings.HasPrefix(task.Sel.Name, "Task") {
						called[function] = task.Sel.Name
					}
				}
				return true
			})
			f.uses(imported, func(name string, node *ast.SelectorExpr) {
				if name != "System" {
					return
				}
				task, call := called[node]
				i := slices.IndexFunc(allowed, func(s systemScope) bool { return s.in == p.path && s.task == task })
				switch {
				case !call:
					violations = append(violations, f.at(p, node)+" passes policies.System on as a value: nobody can tell who mints what")
				case task == "":
					violations = append(violations, f.at(p, node)+" mints a system scope: the task must be named on the spot, policies.TaskX")
				case i < 0:
					violations = append(violations, fmt.Sprintf("%s mints a system scope for %s: not on the list in rules_test.go", f.at(p, node), task))
				default:
					used[i] = true
				}
			})
		}
	}
	for i, s := range allowed {
		if !used[i] {
			violations = append(violations, fmt.Sprintf("%s no longer mints a scope for %s: remove it from the list", s.in, s.task))
		}
	}
	return violations
}

// Package names that say nothing about what is inside.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "base", "misc", "shared", "types"}

// checkShape holds what the house style says of every package: prose, names, no init, no error told by its text, no connector's
// type asserted outside the catalog.
func checkShape(packages []pkg) []string {
	var violations []string
	for _, p := range packages {
		if !p.production() {
			continue
		}
		if p.path == "sync" {
			violations = append(violations, "sync has Go files of its own: a package called sync would hide the standard library's")
		}
		if slices.Contains(emptyNames, path.Base(p.path)) {
			violations = append(violations, fmt.Sprintf("%s: the name %q names nothing; call it by what it owns", p.path, path.Base(p.path)))
		}
		if problem := checkProse(p); problem != "" {
			violations = append(violations, problem)
		}
		for _, f := range p.files {
			if !p.testOnly(f) {
				violations = append(violations, checkFile(p, f)...)
			}
		}
	}
	return violations
}

// checkProse wants a doc.go that says what the package owns, what it never does and who calls it.
func checkProse(p pkg) string {
	i := slices.IndexFunc(p.files, func(f source) bool { return f.name == "doc.go" })
	if i < 0 {
		return p.path + " has no doc.go: say in 5 to 15 lines what it owns, what it never does, who calls it"
	}
	file := p.files[i].syntax
	if file.Doc == nil || len(strings.Split(strings.TrimSpace(file.Doc.Text()), "\n")) < 3 {
		return p.path + "/doc.go says too little: what the package owns, what it never does, who calls it"
	}
	want := "Package " + file.Name.Name + " "
	if file.Name.Name == "main" {
		want = "Command " + path.Base(p.path) + " "
	}
	if !strings.HasPrefix(file.Doc.Text(), want) {
		return fmt.Sprintf("%s/doc.go doesn't start with %q", p.path, want)
	}
	return ""
}

func checkFile(p pkg, f source) []string {
	var violations []string
	say := func(node ast.Node, what string) { violations = append(violations, f.at(p, node)+" "+what) }
	catalog := p.path == "connectors" && f.name == "catalog.go"
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				say(n, "has an init function: register explicitly, in cmd")
			}
		case *ast.CallExpr:
			if f.comparesText(n) {
				say(n, "tells an error by its text: use errors.Is, errors.As or its Kind")
			}
		case *ast.TypeAssertExpr:
			if !catalog && f.capability(n.Type) {
				say(n, "asserts a connector's type: capabilities are resolved once, in Catalog.Open")
			}
		case *ast.CaseClause:
			for _, of := range n.List {
				if !catalog && f.capability(of) {
					say(of, "asserts a connector's type: capabilities are resolved once, in Catalog.Open")
				}
			}
		}
		return true
	})
	return violations
}

// comparesText reports whether call is strings.Contains(err.Error(), ...) or one of its kin.
func (f source) comparesText(call *ast.CallExpr) bool {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) < 2 {
		return false
	}
	from, ok := function.X.(*ast.Ident)
	if !ok || from.Name != f.imports["strings"] ||
		!slices.Contains([]string{"Contains", "HasPrefix", "HasSuffix", "EqualFold", "Index"}, function.Sel.Name) {
		return false
	}
	text, ok := call.Args[0].(*ast.CallExpr)
	if !ok || len(text.Args) != 0 {
		return false
	}
	method, ok := text.Fun.(*ast.SelectorExpr)
	return ok && method.Sel.Name == "Error"
}

// capability reports whether expression names one of the connectors' capability interfaces.
func (f source) capability(expression ast.Expr) bool {
	names := []string{"AccountReader", "AccountWriter", "GroupReader", "GroupWriter"}
	selector, ok := expression.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := selector.X.(*ast.Ident)
	return ok && from.Name == f.imports[module+"/connectors"] && slices.Contains(names, selector.Sel.Name)
}
