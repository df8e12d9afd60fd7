package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// TestAuditCommands walks from an empty folder through a signed log to one that was tampered with.
func TestAuditCommands(t *testing.T) {
	data := t.TempDir()
	planner := filepath.Join(data, "credentials", "planner.cred")
	expect := func(want int, text string, args ...string) string {
		t.Helper()
		code, stdout, stderr := invoke(t, append(args, "--data", data)...)
		if code != want || !strings.Contains(stdout+stderr, text) {
			t.Fatalf("musubi %s: exit %d, want %d with %q\n%s%s", strings.Join(args, " "), code, want, text, stdout, stderr)
		}
		return stdout
	}
	serve := func() {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out, err := os.Create(filepath.Join(t.TempDir(), "serve"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		ended := make(chan int)
		go func() {
			ended <- run(ctx, newEnv(out, out), []string{"serve", "--listen", "127.0.0.1:0", "--data", data})
		}()
		for ready := false; ; time.Sleep(5 * time.Millisecond) { // it prints when it serves; what waits is signed at the end
			text, err := os.ReadFile(out.Name())
			if err != nil {
				t.Fatal(err)
			}
			if !ready && strings.Contains(string(text), "serving on") {
				ready = true
				cancel()
			}
			select {
			case code := <-ended:
				if code != 0 || !ready {
					t.Fatalf("serve: exit %d\n%s", code, text)
				}
				return
			default:
			}
		}
	}
	expect(boot.ExitUsage, "no such file", "audit", "verify")
	expect(0, "planner.cred", "init", "--agency", "8000012010038", "--name", "デジタル庁", "--email", "a@digital.example.go.jp", "--email", "b@digital.example.go.jp")
	expect(0, "not signed yet", "audit", "verify")
	expect(0, "There is no key yet", "keys", "list")
	expect(boot.ExitRefused, "not found", "audit", "export", "--as", planner)
	serve()
	if out := expect(0, "agrees with 1 checkpoints", "audit", "verify"); strings.Contains(out, "not signed yet") {
		t.Errorf("after serving:\n%s", out)
	}
	expect(boot.ExitRefused, "never open to a bare operating system user", "audit", "find")
	expect(boot.ExitUsage, "isn't a time", "audit", "find", "--from", "yesterday", "--as", planner)
	expect(boot.ExitUsage, "is not before", "audit", "find", "--from", "2026-11-23", "--to", "2026-11-22", "--as", planner)
	expect(boot.ExitUsage, "isn't allowed, refused or done", "audit", "find", "--outcome", "maybe", "--as", planner)

	// Paging gives every row once.
	seen, before := map[string]bool{}, ""
	for {
		args := []string{"audit", "find", "--json", "--limit", "2", "--as", planner}
		if before != "" {
			args = append(args, "--before", before)
		}
		var page struct {
			Schema string `json:"schema"`
			Rows   []struct {
				ID string `json:"id"`
			} `json:"rows"`
			Next string `json:"next"`
		}
		if err := json.Unmarshal([]byte(expect(0, "", args...)), &page); err != nil || page.Schema != "musubi.audit-rows.v1" {
			t.Fatal(page.Schema, err)
		}
		for _, r := range page.Rows {
			if seen[r.ID] {
				t.Errorf("row %s came twice", r.ID)
			}
			seen[r.ID] = true
		}
		if before = page.Next; before == "" {
			break
		}
	}
	if len(seen) != 16 { // eight keys (two each to sign the log, tokens by ES256 and RS256, and SAML), what init does (two scopes, an organization, two people, two credentials), and the refused look
		t.Errorf("%d rows", len(seen))
	}

	// A rotation signs on; what was exported verifies by keys kept elsewhere.
	var listed struct {
		Keys []struct{ State, Verifier string } `json:"keys"`
	}
	if err := json.Unmarshal([]byte(expect(0, "", "keys", "list", "--json")), &listed); err != nil || len(listed.Keys) != 8 {
		t.Fatal(listed, err)
	}
	expect(boot.ExitRefused, "there are no keys for", "keys", "rotate", "saml", "--as", planner)
	expect(0, "rotated audit", "keys", "rotate", "audit", "--as", planner)
	serve()
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	expect(0, "exported", "audit", "export", "--out", file, "--as", planner)
	expect(boot.ExitUsage, "exists", "audit", "export", "--out", file, "--as", planner)
	args := []string{"audit", "verify", "--export", file}
	for _, k := range listed.Keys {
		if k.Verifier != "" {
			args = append(args, "--key", k.Verifier)
		}
	}
	if len(args) != 8 {
		t.Errorf("keys of the audit log: %q", args)
	}
	expect(0, "are as signed", args...)
	expect(boot.ExitUsage, "is no verifier key", "audit", "verify", "--key", "?")

	tamper(t, data, `DROP TRIGGER audit_row_no_update`, `UPDATE audit_row SET actor = 'nobody' WHERE action = 'key.rotate'`)
	expect(boot.ExitRefused, "changed", "audit", "verify")
	var report struct {
		OK     bool `json:"ok"`
		Faults []struct{ Kind string }
	}
	if err := json.Unmarshal([]byte(expect(boot.ExitRefused, "", "audit", "verify", "--json")), &report); err != nil || report.OK || len(report.Faults) != 1 || report.Faults[0].Kind != "changed" {
		t.Errorf("%+v: %v", report, err)
	}

	// A stolen key is put out of use also when nobody can log in; a credential that the thief has needn't be used. It is recorded.
	expect(0, "rotated audit", "keys", "rotate", "audit", "--emergency", "--why", "lost")
	expect(0, "break_glass", "audit", "find", "--action", "key.rotate", "--as", planner)

	// One clear message for a key that can't be read.
	sealing := filepath.Join(data, "keys", "sealing.key")
	if err := os.Chmod(sealing, 0o644); err != nil {
		t.Fatal(err)
	}
	expect(boot.ExitUsage, "chmod 600", "serve", "--listen", "127.0.0.1:0")
	if err := os.Remove(sealing); err != nil {
		t.Fatal(err)
	}
	expect(boot.ExitUsage, "sealing key "+sealing+" is missing", "serve", "--listen", "127.0.0.1:0")
}

func tamper(t *testing.T, data string, statements ...string) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(data, "musubi.db"), sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Writer().ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}
