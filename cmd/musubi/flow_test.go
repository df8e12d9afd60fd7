package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// A few organizations of the sample, and how many people each has in these tests.
var few = []policies.OrgID{ministry, "6000012070001", hokkaido, sapporo, aomori, "030007", "040002", "041009"}

const (
	perOrg     = 3
	ministries = 2 // of few
)

// soon is within how long a leaver is gone from every SaaS: "seconds". A test that fails waits this long.
const soon = 10 * time.Second

// vendor starts `musubi sandbox` as a process, configures the hub to use it, and gives its control.
func (i *install) vendor(t *testing.T) *control {
	t.Helper()
	box := &install{data: t.TempDir()}
	args := []string{"sandbox", "--listen", "127.0.0.1:0", "--smtp", "127.0.0.1:0", "--quota-scale", strconv.Itoa(demoScale)}
	for _, domain := range []string{"somu.example.go.jp", "mhlw.example.go.jp", "mext.example.go.jp"} {
		args = append(args, "--domain", domain)
	}
	address := box.start(t, args...).match(t, `sandbox: http://([0-9.:]+)/`)
	i.configure(t, sandboxSite{dir: box.data, scale: demoScale}, address)
	return newControl(t, address)
}

// hub starts `musubi serve` and gives its address.
func (i *install) hub(t *testing.T) (*proc, string) {
	t.Helper()
	p := i.start(t, "serve", "--listen", "127.0.0.1:0")
	return p, p.match(t, `serving on http://([0-9.:]+)`)
}

// get reads a page of the hub.
func get(t *testing.T, c *http.Client, address string) string {
	t.Helper()
	resp, err := c.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %.500s", address, resp.Status, err, body)
	}
	return string(body)
}

// calls is how many answers of SaaS the serving hub counted.
func calls(t *testing.T, c *http.Client, address string) (n int) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^musubi_outbound_requests_total\{.*\} (\d+)$`).FindAllStringSubmatch(get(t, c, address+"/metrics"), -1) {
		count, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		n += count
	}
	return n
}

// TestFlow does the main job by the separate commands: beside a serving hub, which does the work, and without one.
func TestFlow(t *testing.T) {
	t.Parallel()
	for _, served := range []bool{true, false} {
		name := "alone"
		if served {
			name = "served"
		}
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, i *install) {
				c := i.vendor(t)
				i.begin(t)
				var address string
				if served {
					_, address = i.hub(t)
				}
				hash := i.prepare(t)
				i.applies(t, hash, c)
				if served {
					made, err := c.requests()
					if n := calls(t, c.client, address); err != nil || int64(n) != made || n == 0 {
						t.Errorf("the hub made %d of %d calls, %v: apply was to watch", n, made, err)
					}
					for _, probe := range []string{"/healthz", "/readyz"} {
						get(t, c.client, address+probe)
					}
				}
				i.leaves(t, c, served)
			})
		})
	}
}

// prepare imports, plans and approves, with a dry run and a repetition of each step, and gives the plan's hash.
func (i *install) prepare(t *testing.T) string {
	t.Helper()
	orgs, people := sampleFiles(t, perOrg, few...)
	dir := t.TempDir()
	var total int
	for _, file := range []struct {
		subject string
		text    []byte
	}{{"orgs", orgs}, {"people", people}} {
		path := filepath.Join(dir, file.subject+".csv")
		write(t, path, file.text)
		rows := bytes.Count(file.text, []byte("\n")) - 1
		total += rows
		command := []string{"import", file.subject, path, "--as", i.planner()}
		for _, step := range []struct {
			dry  bool
			want importDocument
		}{
			{true, importDocument{DryRun: true, Added: rows}},
			{false, importDocument{Published: true, Added: rows}},
			{false, importDocument{Published: true, Unchanged: rows}},
		} {
			before := i.content(t)
			args := command
			if step.dry {
				args = append(args[:len(args):len(args)], "--dry-run")
			}
			var got importDocument
			i.document(t, 0, "musubi.import.v1", &got, args...)
			if got.DryRun != step.dry || got.Published != step.want.Published || got.Added != step.want.Added || got.Unchanged != step.want.Unchanged || got.Faults == nil {
				t.Errorf("%s: %+v, want %+v", file.subject, got, step.want)
			}
			if after := i.content(t); step.want.Added == 0 || step.dry {
				if !maps.Equal(before, after) {
					t.Errorf("an import that changes nothing wrote: %v, then %v", before, after)
				}
			}
		}
	}
	if c := i.content(t); c["org"] != len(few)+1 || c["person"] != len(few)*perOrg+2 || c["feed"] != total+3 {
		t.Errorf("%v", c)
	}
	hash := i.plan(t)
	before := i.content(t)
	if again := i.plan(t); again != hash {
		t.Errorf("the same plan has the hashes %s and %s", hash, again)
	}
	i.shownPlan(t, hash)
	if after := i.content(t); !maps.Equal(before, after) {
		t.Errorf("planning twice and showing wrote: %v, then %v", before, after)
	}
	var rec provision.PlanRecord
	i.document(t, 0, "musubi.approval.v1", &rec, "approve", hash[:12], "--as", i.approver())
	if rec.Hash != hash || rec.State != provision.PlanApproved || rec.Approver == "" || rec.Approver == rec.Maker {
		t.Errorf("%+v", rec)
	}
	return hash
}

// shownPlan looks at a stored plan in each of the ways there are.
func (i *install) shownPlan(t *testing.T, hash string) {
	t.Helper()
	var doc planDocument
	i.document(t, 0, "musubi.plan.v1", &doc, "plan", hash[:8], "--as", i.approver())
	if doc.Plan.Hash() != hash || doc.Record.Objects != len(doc.Plan.Objects) || doc.Record.State != provision.PlanMade {
		t.Errorf("%+v", doc.Record)
	}
	var list struct {
		Plans []provision.PlanRecord `json:"plans"`
	}
	i.document(t, 0, "musubi.plans.v1", &list, "plan", "--list", "--as", i.approver())
	if len(list.Plans) != 1 || list.Plans[0] != doc.Record {
		t.Errorf("%+v, want %+v", list.Plans, doc.Record)
	}
	text := i.must(t, "plan", hash, "--rows", "2", "--as", i.approver())
	for _, want := range []string{hash, "アカウントの作成 / accounts created", "government-staff-licensed-atlassian", fmt.Sprintf("%d more", len(few)-2)} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't shown: %s", want, text)
		}
	}
}

// applies applies the plan and checks the SaaS, and that nothing is left to do then.
func (i *install) applies(t *testing.T, hash string, c *control) {
	t.Helper()
	for range 2 { // the second time there is nothing to do, and the same answer
		var doc applyDocument
		i.document(t, 0, "musubi.apply.v1", &doc, "apply", hash, "--as", i.planner())
		if doc.Progress.Plan.State != provision.PlanDone || doc.Progress.Final != doc.Progress.Total || doc.Progress.Total == 0 || len(doc.Troubles) != 0 {
			t.Fatalf("%+v", doc)
		}
	}
	chat := ministries*perOrg + len(few) - ministries // of the others the administrators alone
	for product, want := range map[policies.Product]sandbox.Counts{
		policies.ProductAtlassian: {Accounts: ministries * perOrg, Active: ministries * perOrg, Groups: ministries, Memberships: ministries * perOrg},
		policies.ProductJira: {
			Accounts: (len(few) - ministries) * perOrg, Active: (len(few) - ministries) * perOrg, Groups: len(few) - ministries, Memberships: (len(few) - ministries) * perOrg,
		},
		policies.ProductSlack: {Accounts: chat + 1, Active: chat + 1, Groups: len(few), Memberships: chat}, // and the workspace's owner
	} {
		if got := c.state(t, product).Counts; got != want {
			t.Errorf("%s: %+v, want %+v", product, got, want)
		}
	}
	i.nothingLeft(t)
}

func (i *install) nothingLeft(t *testing.T) {
	t.Helper()
	before := i.content(t)
	if hash := i.plan(t); hash != "" {
		t.Errorf("something is left to do: %s", hash)
	}
	if text := i.must(t, "plan", "--as", i.planner()); !strings.Contains(text, "変更はありません") || !strings.Contains(text, "Nothing to do") {
		t.Errorf("%s", text)
	}
	if after := i.content(t); !maps.Equal(before, after) {
		t.Errorf("planning nothing wrote: %v, then %v", before, after)
	}
}

// leaves ends two people's service: their accounts are gone soon, by the serving hub, or by the next one that serves.
func (i *install) leaves(t *testing.T, c *control, served bool) {
	t.Helper()
	gone := map[policies.Product]string{}
	for product, org := range map[policies.Product]policies.OrgID{policies.ProductAtlassian: ministry, policies.ProductJira: sapporo} {
		gone[product] = emailOf(t, org, 2)
		if !active(t, c, product, gone[product]) {
			t.Fatalf("%s has no account in %s", gone[product], product)
		}
		var doc struct {
			Person policies.PersonID `json:"person"`
		}
		i.document(t, 0, "musubi.people.end.v1", &doc, "people", "end", "--org", string(org), staff(2), "--why", "退職", "--as", i.planner())
		if doc.Person == "" {
			t.Errorf("%+v", doc)
		}
	}
	if r := i.musubi(t, "people", "end", "--org", string(sapporo), staff(2), "--as", i.planner()); r.code != 3 {
		t.Errorf("ended twice: %v", r)
	}
	if !served {
		for product, email := range gone {
			if !active(t, c, product, email) {
				t.Errorf("%s lost the account in %s without a hub", email, product)
			}
		}
		i.hub(t)
	}
	began := time.Now()
	for product, email := range gone {
		for active(t, c, product, email) {
			if time.Since(began) > soon {
				t.Fatalf("%s is still in %s after %v", email, product, soon)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	t.Logf("both are gone %v after", time.Since(began).Round(time.Millisecond))
	// The receipts follow the calls.
	for deadline := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
		r := i.musubi(t, "plan", "--as", i.planner())
		if strings.Contains(r.out, "Nothing to do") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the leavers something is left to do: %v", r)
		}
	}
}

// emailOf is the address of an organization's n-th sample person.
func emailOf(t *testing.T, org policies.OrgID, n int) string {
	t.Helper()
	people, report := sample.Staff()
	if !report.OK() {
		t.Fatal("the sample is wrong")
	}
	for r := range people.People() {
		if r.Person.Org == org && r.Person.StaffNumber == staff(n) {
			return r.Person.Email
		}
	}
	t.Fatalf("%s has nobody with the number %s", org, staff(n))
	return ""
}

// active tells whether the SaaS has an account with this address that still gives anything: access, or a group.
func active(t *testing.T, c *control, product policies.Product, email string) bool {
	t.Helper()
	for _, a := range c.state(t, product).Accounts {
		if strings.EqualFold(a.Email, email) && (a.Active || len(a.Groups) > 0) {
			return true
		}
	}
	return false
}

// TestServeKilled kills the serving hub alone, while the SaaS live on, so that calls are done whose answers nobody heard. The next
// hub goes on in time, and an apply that only watches sees the end.
func TestServeKilled(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		const many = 30 // people of each organization
		c := i.vendor(t)
		i.begin(t)
		i.fill(t, many, few...)
		hash := i.approved(t)
		p, _ := i.hub(t)
		i.must(t, "apply", hash, "--detach", "--as", i.planner())
		seats := func() int {
			n, err := c.seats()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		p.until(t, "accounts", func() bool { return seats() >= 20 })
		p.kill()
		time.Sleep(200 * time.Millisecond) // calls that were on the way may still be done
		left := seats()
		again, _ := i.hub(t)
		began := again.began
		if raceDetector {
			began = time.Now() // with the detector starting alone may take as long; TestKill measures the program as it is shipped
		}
		again.until(t, "more accounts", func() bool {
			if spent := time.Since(began); spent > resumeBound {
				t.Fatalf("no job within %v of the restart", spent)
			}
			return seats() > left
		})
		t.Logf("killed with %d accounts; the first more %v after the restart", left, time.Since(began).Round(time.Millisecond))
		i.must(t, "apply", hash, "--as", i.planner())
		for _, product := range policies.Products() {
			emails := map[string]bool{}
			for _, a := range c.state(t, product).Accounts {
				if a.Owner {
					continue
				}
				if key := strings.ToLower(a.Email); emails[key] || !a.Active || len(a.Groups) != 1 {
					t.Errorf("%s: doubled or wrong: %+v", product, a)
				} else {
					emails[key] = true
				}
			}
		}
		if n, want := seats(), len(few)*many+ministries*many+len(few)-ministries; n != want { // one each, and those of Slack
			t.Errorf("%d accounts, want %d", n, want)
		}
		i.nothingLeft(t)
	})
}
