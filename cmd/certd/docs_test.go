package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity/cert"
)

// TestCodesAreDocumented: the table of docs/certificates.md has every code with its sentences, and no other.
func TestCodesAreDocumented(t *testing.T) {
	const file = "../../docs/certificates.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "\n## Codes\n")
	_, table, _ = strings.Cut(table, "|---|---|---|\n")
	var want []string
	for code, s := range cert.Codes() {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |\n", code, s[0], s[1]))
	}
	slices.Sort(want)
	if joined := strings.Join(want, ""); table != joined {
		t.Errorf("%s: the table of codes must be:\n%s", file, joined)
	}
}
