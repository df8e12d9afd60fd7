package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// Organizations that the tests name.
const (
	ministry = policies.OrgID("2000012020001") // 総務省
	hokkaido = policies.OrgID("010006")
	sapporo  = policies.OrgID("011002")
	aomori   = policies.OrgID("020001")
)

// eachEngine runs fn on a fresh installation on each engine.
func eachEngine(t *testing.T, fn func(t *testing.T, i *install)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, &install{data: t.TempDir()})
	})
	t.Run("postgres", func(t *testing.T) {
		url := sqldbtest.Start(t)
		t.Parallel()
		fn(t, &install{data: t.TempDir(), database: url})
	})
}

// begin registers the operating agency and its administrators.
func (i *install) begin(t *testing.T) {
	t.Helper()
	i.must(t, "init", "--agency", "8000012010038", "--name", "デジタル庁", "--email", "keikaku@digital.example.go.jp", "--email", "shonin@digital.example.go.jp")
}

// fill imports some of the sample's organizations, all if none is named, and this many people each.
func (i *install) fill(t *testing.T, perOrg int, which ...policies.OrgID) {
	t.Helper()
	orgs, people := sampleFiles(t, perOrg, which...)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "orgs.csv"), orgs)
	write(t, filepath.Join(dir, "people.csv"), people)
	i.must(t, "import", "orgs", filepath.Join(dir, "orgs.csv"), "--as", i.planner())
	i.must(t, "import", "people", filepath.Join(dir, "people.csv"), "--as", i.planner())
}

func sampleFiles(t *testing.T, perOrg int, which ...policies.OrgID) (orgs, people []byte) {
	t.Helper()
	rows, report := sample.Orgs()
	if !report.OK() {
		t.Fatal("the sample is wrong")
	}
	lines := strings.SplitAfter(string(sample.OrgsCSV()), "\n")
	file := lines[0]
	var chosen []identity.Organization
	for _, r := range rows.Orgs {
		if len(which) == 0 || slices.Contains(which, r.Organization.ID) {
			file += lines[r.Line-1]
			chosen = append(chosen, r.Organization)
		}
	}
	var b bytes.Buffer
	if err := sample.WritePeople(&b, sample.People(chosen, perOrg, sample.Seed)); err != nil {
		t.Fatal(err)
	}
	return []byte(file), b.Bytes()
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// credential issues a credential to somebody, by the planner, and gives its file.
func (i *install) credential(t *testing.T, org policies.OrgID, staff string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.cred")
	i.must(t, "credential", "--org", string(org), staff, "--out", file, "--as", i.planner())
	return file
}

// plan makes a plan and gives its hash, "" where there is nothing to do.
func (i *install) plan(t *testing.T) string {
	t.Helper()
	var doc planDocument
	i.document(t, 0, "musubi.plan.v1", &doc, "plan", "--as", i.planner())
	if doc.Empty != (doc.Record.Hash == "") || (!doc.Empty && doc.Plan.Hash() != doc.Record.Hash) {
		t.Fatalf("%+v", doc.Record)
	}
	return doc.Record.Hash
}

// approved makes a plan and has it approved.
func (i *install) approved(t *testing.T) string {
	t.Helper()
	hash := i.plan(t)
	i.must(t, "approve", hash, "--as", i.approver())
	return hash
}

// box starts a sandbox of the product's own making, in this process, and configures the hub to use it. It scales the vendors'
// quotas as the demonstration does.
func (i *install) box(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	site := sandboxSite{dir: i.data, scale: demoScale, domains: []string{"somu.example.go.jp", "mhlw.example.go.jp", "mext.example.go.jp"}}
	box, f, err := site.open(t.Context(), "127.0.0.1:0", time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.close()
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	i.configure(t, site, f.address)
	return box
}

// configure writes the hub's configuration towards a sandbox at address.
func (i *install) configure(t *testing.T, site sandboxSite, address string) {
	t.Helper()
	cfg := site.config("sqlite:musubi.db", "127.0.0.1:0", address)
	if !i.plansItself { // on a slow machine a hub would make the plan that the test makes
		cfg["live.quiet"], cfg["live.longest"] = "600", "600"
	}
	if i.database != "" {
		cfg["database"] = i.database
	}
	if err := config.Save(i.data, cfg); err != nil {
		t.Fatal(err)
	}
}

// content is what the database holds of everything that a command may change, and that a refused one must not: counts, the end of
// the feed, and the state of each plan. What is refused is audited, so the audit log is not in it.
func (i *install) content(t *testing.T) map[string]int {
	t.Helper()
	db := i.open(t)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	found := map[string]int{}
	count := func(key, query string) {
		var n int
		if err := db.Reader().QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		found[key] = n
	}
	for _, table := range []string{
		"org", "person", "feed", "staged_person", "staged_batch", "access_credential", "console_ticket",
		"provision_plan", "provision_op", "provision_edge", "provision_account", "provision_group", "provision_member", "provision_leaver",
	} {
		count(table, "SELECT count(*) FROM "+table)
	}
	// A serving hub looks for what is due by itself, whatever is commanded.
	for _, table := range []string{"river_job", "job_key"} {
		count(table, "SELECT count(*) FROM "+table+" WHERE kind NOT LIKE 'saml.metadata%'")
	}
	count("feed's end", "SELECT COALESCE(max(number), 0) FROM feed")
	count("people in service", "SELECT count(*) FROM person WHERE ended_at = 0")
	for _, state := range []string{"made", "approved", "staging", "running", "done", "cancelled"} {
		count("plans "+state, "SELECT count(*) FROM provision_plan WHERE state = '"+state+"'")
	}
	return found
}

// refusals counts the audited refusals.
func (i *install) refusals(t *testing.T) (n int) {
	t.Helper()
	db := i.open(t)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM audit_row WHERE outcome = 'refused'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// staff is the number of the n-th of an organization's sample people, from 1; the first is its administrator.
func staff(n int) string { return fmt.Sprintf("S%05d", n) }
