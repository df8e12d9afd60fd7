package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// TestFolderOfTestpki: what `musubi testpki` promises of each card is what a batch says, and a production profile refuses all of them.
func TestFolderOfTestpki(t *testing.T) {
	random := testpki.Seeded("certd")
	pki, err := testpki.New(random, testpki.Options{Now: time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC), Kind: testpki.P256})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := testpki.NewFolder(random, pki)
	if err != nil {
		t.Fatal(err)
	}
	var lines []byte
	for _, f := range folder.Files {
		if f.Path == "batch.jsonl" {
			lines = f.Data
		}
	}
	expected := map[string]string{}
	for _, s := range folder.Samples {
		expected[s.Name+"/crl"], expected[s.Name+"/ocsp"] = s.Expected, s.Expected
	}
	got := codes(t, lines)
	for id, want := range expected {
		if got[id] != want {
			t.Errorf("%s: %q, want %q", id, got[id], want)
		}
	}
	if len(got) != len(expected) {
		t.Errorf("%d results for %d lines", len(got), len(expected))
	}
	production := bytes.ReplaceAll(bytes.ReplaceAll(lines, []byte(`"jpki-auth-test"`), []byte(`"jpki-auth"`)), []byte(`"jpki-sign-test"`), []byte(`"jpki-sign"`))
	for id, code := range codes(t, production) {
		if code != "wrong-tree" {
			t.Errorf("%s under a production profile: %s", id, code)
		}
	}
}

func codes(t *testing.T, lines []byte) map[string]string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"verify", "--batch"}, bytes.NewReader(lines), &out, &errs); code > 3 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	got := map[string]string{}
	for line := range strings.Lines(out.String()) {
		var r struct {
			ID    string
			Valid bool
			Code  string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Valid != (r.Code == "ok") {
			t.Errorf("%s: valid %v and %s", r.ID, r.Valid, r.Code)
		}
		got[r.ID] = r.Code
	}
	return got
}
