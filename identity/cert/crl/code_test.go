package crl

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The page lists every code, and none that there isn't.
func TestCodesAreDocumented(t *testing.T) {
	source, err := os.ReadFile("code.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/revocation-lists.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := func(text []byte, form string) []string {
		var out []string
		for _, m := range regexp.MustCompile(form).FindAllSubmatch(text, -1) {
			out = append(out, string(m[1]))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	there, described := codes(source, `"(crl_[a-z_]+)"`), codes(page, "`(crl_[a-z_]+)`")
	if len(there) < 20 || !slices.Equal(there, described) {
		t.Errorf("codes:\n%q\ndocumented:\n%q", there, described)
	}
}
