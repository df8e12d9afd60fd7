package page

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/network"
)

// parsed gives the files of a package of identity, without its tests.
func parsed(t *testing.T, name string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob("../../../../identity/" + name + "/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no source of %s: %v", name, err)
	}
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// constants gives the string constants of a package whose names begin so.
func constants(t *testing.T, pkg, prefix string) (all []string) {
	t.Helper()
	for _, f := range parsed(t, pkg) {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range spec.Names {
				if i < len(spec.Values) && strings.HasPrefix(name.Name, prefix) {
					if s, ok := text(spec.Values[i]); ok {
						all = append(all, s)
					}
				}
			}
			return true
		})
	}
	return all
}

// arguments gives the first string arguments of calls of a function, and the values of a field of a composite literal.
func arguments(t *testing.T, pkg, function, field string) (all []string) {
	t.Helper()
	for _, f := range parsed(t, pkg) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == function && len(n.Args) > 0 {
					if s, ok := text(n.Args[0]); ok {
						all = append(all, s)
					}
				}
			case *ast.KeyValueExpr:
				if id, ok := n.Key.(*ast.Ident); ok && id.Name == field {
					if s, ok := text(n.Value); ok {
						all = append(all, s)
					}
				}
			}
			return true
		})
	}
	return all
}

func good(t *testing.T, what string, s Sentence) {
	t.Helper()
	japanese := func(text string) bool {
		return strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Hiragana) })
	}
	for _, l := range []Label{s.What, s.Do} {
		if !japanese(l.JA) || l.EN == "" || japanese(l.EN) || strings.Contains(l.JA+l.EN, "_") {
			t.Errorf("%s: %q / %q", what, l.JA, l.EN)
		}
	}
}

// Whoever adds a reason or a code anywhere in login adds what it says to people.
func TestEveryReasonHasItsSentence(t *testing.T) {
	found := constants(t, "login", "Reason")
	if len(found) < 19 || !slices.Contains(found, string(login.ReasonCancelled)) {
		t.Fatalf("only %d reasons were found: %q", len(found), found)
	}
	for _, r := range found {
		s, ok := reasons[login.Reason(r)]
		if !ok {
			t.Errorf("the reason %s has no sentence", r)
			continue
		}
		good(t, r, s)
	}
	if len(found) != len(reasons) {
		t.Errorf("%d reasons, %d sentences", len(found), len(reasons))
	}
}

func TestEveryCodeHasItsSentence(t *testing.T) {
	codes := slices.Concat(
		arguments(t, "mynumber", "reject", "Code"), arguments(t, "login", "reject", "Code"), arguments(t, "password", "reject", "Code"),
		arguments(t, "invitation", "reject", "Code"), constants(t, "password", "Code"), constants(t, "invitation", "Code"),
	)
	for _, must := range []string{"certificate_missing", "client_cert_forged", "credential_released", "wrong_name_or_password", "invitation_code_wrong"} {
		if !slices.Contains(codes, must) {
			t.Fatalf("the walk doesn't find %s", must)
		}
	}
	for c := range cert.Codes() {
		codes = append(codes, mynumber.CodeOf(c))
	}
	if len(codes) < 50 {
		t.Fatalf("only %d codes were found", len(codes))
	}
	for _, c := range codes {
		s, ok := rejection(c)
		if !ok {
			t.Errorf("the code %s has no sentence", c)
			continue
		}
		good(t, c, s)
		if Reason(login.ReasonRejected, c) != s {
			t.Errorf("%s is told by another sentence", c)
		}
	}
	for c := range rejections {
		if !slices.Contains(codes, c) {
			t.Errorf("there is a sentence about %s, which nothing says", c)
		}
	}
}

func TestEveryPlaceHasItsSentence(t *testing.T) {
	found := constants(t, "network", "Reason")
	if len(found) < 6 {
		t.Fatalf("only %q", found)
	}
	for _, r := range found {
		s, ok := places[network.Reason(r)]
		if !ok {
			t.Errorf("%s has no sentence", r)
		}
		good(t, r, s)
	}
}

// What isn't known says something true and nothing of the inside.
func TestUnknownReasons(t *testing.T) {
	for what, s := range map[string]Sentence{
		"reason": Reason("new_reason", ""), "code": Reason("new_reason", "new_code"), "rejection": Reason(login.ReasonRejected, "new_code"), "place": Place("new_place"),
		"party": Party("new_party"), "form": Form(), "broken": Broken(),
	} {
		good(t, what, s)
	}
	if Reason(login.ReasonRejected, "new_code") != reasons[login.ReasonRejected] {
		t.Error("an unknown code isn't told by its reason")
	}
	for r, s := range parties {
		good(t, r, s)
	}
}
