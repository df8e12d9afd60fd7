package connectortest

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors"
)

// A harness that is wired wrongly must fail, not pass by testing nothing.
func TestBrokenHarnessFails(t *testing.T) {
	for name, build := range map[string]func(Env) (connectors.Connector, error){
		"error":   func(Env) (connectors.Connector, error) { return nil, errors.New("no vendor") },
		"no wire": func(Env) (connectors.Connector, error) { return nil, nil },
	} {
		failures := runCase(t.Context(), Harness{New: build}, testCase{name: "x", run: func(*run) { t.Errorf("%s: the case ran", name) }})
		if len(failures) != 1 {
			t.Errorf("%s: %v", name, failures)
		}
	}
}

func TestCaseNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases() {
		if seen[c.name] {
			t.Errorf("two cases are called %q", c.name)
		}
		seen[c.name] = true
	}
	for _, b := range planted() {
		if seen[b.name] {
			t.Errorf("two things are called %q", b.name)
		}
		seen[b.name] = true
	}
	for bug, by := range caughtBy {
		if !seen[bug] || !seen[by] {
			t.Errorf("caughtBy has %q, caught by %q: one of them isn't there", bug, by)
		}
	}
}

func TestLeaksAreFoundInEveryForm(t *testing.T) {
	tap := NewTap(roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("down") }))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://vendor.invalid/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("hub@agency.example", Token)
	if resp, err := tap.RoundTrip(req); err == nil {
		resp.Body.Close()
	}
	_, encoded, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	for _, text := range []string{"x " + Token + " y", "Basic " + encoded} {
		r := &run{name: "x", tap: tap, texts: []string{text}}
		if found := r.leaks("log line"); len(found) != 1 || strings.Contains(found[0].Message, encoded) || strings.Contains(found[0].Message, Token) {
			t.Errorf("%q: %v", text, found)
		}
	}
	if found := (&run{tap: tap}).leaks("nothing"); len(found) != 0 {
		t.Errorf("found %v in nothing", found)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
