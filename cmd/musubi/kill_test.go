package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// resumeBound is how soon after the start of the process the first job must be at work again.
const resumeBound = 5 * time.Second

// What the shipped sample comes to.
const (
	sampleOrgs     = 78
	samplePeople   = 936
	sampleServices = 17
	sampleLicensed = 36  // people of ministries
	sampleChat     = 166 // in Slack: people of ministries, of contractors and of the middleware operator, and the other administrators
)

// moment is when a run is killed: once it printed a line, once the SaaS hold so many accounts, and a random while later.
type moment struct {
	name  string
	line  string // expression over standard error; empty: at once
	seats int
	after time.Duration
}

// moments spreads kills over the whole way: each step has its own, and the longest one, applying, the rest.
func moments(rng *rand.Rand, short bool) []moment {
	within := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
	const going = `|going on with plan` // an earlier kill may have come later in the work than it was meant to
	apply := func(from, to int) moment {
		n := from + rng.IntN(to-from)
		return moment{fmt.Sprintf("apply, %d accounts", n), "", n, within(60 * time.Millisecond)}
	}
	if short {
		return []moment{{"import of people", `people\.csv: 0 /` + going, 0, within(100 * time.Millisecond)}, apply(50, 600)}
	}
	return []moment{
		{"migration", "", 0, within(250 * time.Millisecond)},
		{"bootstrap and import of organizations", `\[1/4\]` + going, 0, within(30 * time.Millisecond)},
		{"import of people", `people\.csv: 0 /` + going, 0, within(100 * time.Millisecond)},
		{"plan", `\[2/4\]` + going, 0, within(60 * time.Millisecond)},
		{"approve", `\[3/4\]` + going, 0, within(10 * time.Millisecond)},
		{"staging", `\[4/4\]` + going, 0, within(100 * time.Millisecond)},
		apply(20, 120), apply(140, 280), apply(300, 440), apply(460, 600),
	}
}

// TestKill kills the demonstration with kill -9 again and again, until a last run ends by itself: nothing is lost, nothing is
// doubled, and work resumes in time. MUSUBI_KILL_SEED repeats the moments of an earlier run.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("MUSUBI_KILL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	binary := shipped(t)
	for i, engine := range []sqldb.Engine{sqldb.SQLite, sqldb.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			k := &killing{install: install{data: t.TempDir()}, binary: binary}
			if engine == sqldb.PostgreSQL {
				k.database = sqldbtest.Start(t)
			}
			t.Parallel()
			t.Logf("MUSUBI_KILL_SEED=%d", seed)
			for _, m := range moments(rand.New(rand.NewPCG(seed, uint64(i))), testing.Short()) {
				k.die(t, m)
			}
			k.finish(t)
		})
	}
}

// killing is a demonstration that is killed again and again.
type killing struct {
	install
	binary string
	left   left // what the last kill left
}

// left is what a killed process left in the database.
type left struct {
	applying bool
	running  map[int64]int // jobs that it was working, with their attempt
}

func (k *killing) demo(t *testing.T) *proc {
	t.Helper()
	return k.startAs(t, k.binary, "demo", "--headless", "--json", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0")
}

// die starts the demonstration and kills it at the moment.
func (k *killing) die(t *testing.T, m moment) {
	t.Helper()
	p := k.demo(t)
	resumed := k.resumes(t, p)
	if m.line != "" {
		line := regexp.MustCompile(m.line)
		p.until(t, m.line, func() bool { return line.MatchString(p.err.String()) })
	}
	if m.seats > 0 {
		c := newControl(t, p.match(t, `sandbox http://([0-9.:]+)/`))
		p.until(t, m.name, func() bool {
			n, err := c.seats()
			return err == nil && n >= m.seats
		})
	}
	time.Sleep(m.after)
	if p.over() {
		t.Fatalf("%s: it ended before it was killed: %v", m.name, p.wait(t))
	}
	p.kill()
	lived := time.Since(p.began)
	k.look(t)
	t.Logf("killed in %s +%v, after %v%s; it left %d running jobs", m.name, m.after, lived.Round(time.Millisecond), resumed, len(k.left.running))
}

// resumes checks, where a kill left a plan on its way, that the SaaS is called again in time after the start of the process, and
// that no interrupted job is still waiting to be found then.
func (k *killing) resumes(t *testing.T, p *proc) string {
	t.Helper()
	if !k.left.applying {
		return ""
	}
	late := func(what string) {
		if spent := time.Since(p.began); spent > resumeBound {
			t.Fatalf("%s: not within %v of the start: %v\n%s", what, resumeBound, spent, p.err.String())
		}
	}
	c := newControl(t, p.match(t, `sandbox http://([0-9.:]+)/`))
	p.until(t, "call of the SaaS", func() bool {
		late("first job")
		n, err := c.requests() // counted since this start
		return err == nil && n > 0
	})
	first := time.Since(p.began)
	if len(k.left.running) > 0 {
		db := k.open(t)
		p.until(t, "end of the interrupted attempts", func() bool {
			late("interrupted jobs")
			return stillRunning(t, db, k.left.running) == 0
		})
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	return fmt.Sprintf("; first job %v after the start, all interrupted ones by %v", first.Round(time.Millisecond), time.Since(p.began).Round(time.Millisecond))
}

func stillRunning(t *testing.T, db *sqldb.DB, jobs map[int64]int) (n int) {
	t.Helper()
	for id, attempt := range runningJobs(t, db) {
		if was, ok := jobs[id]; ok && attempt <= was {
			n++
		}
	}
	return n
}

func runningJobs(t *testing.T, db *sqldb.DB) map[int64]int {
	t.Helper()
	found := map[int64]int{}
	rows, err := db.Reader().QueryContext(t.Context(), `SELECT id, attempt FROM river_job WHERE state = 'running'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var attempt int
		if err := rows.Scan(&id, &attempt); err != nil {
			t.Fatal(err)
		}
		found[id] = attempt
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// look reads what the kill left. Of a SQLite file it reads a copy: opening the file itself would repair it before the program does.
func (k *killing) look(t *testing.T) {
	t.Helper()
	k.left = left{}
	copied := k.install
	if k.database == "" {
		copied.data = t.TempDir()
		for _, name := range []string{"musubi.db", "musubi.db-wal"} {
			text, err := os.ReadFile(k.path(name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := errors.Join(err, os.WriteFile(copied.path(name), text, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	db := copied.open(t)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	var plans int
	err := db.Reader().QueryRowContext(t.Context(), `SELECT count(*) FROM provision_plan WHERE state IN ('staging', 'running')`).Scan(&plans)
	if err != nil || plans == 0 {
		return // killed before there was a plan on its way, or even the table
	}
	k.left = left{true, runningJobs(t, db)}
}

// finish lets a run end by itself and checks that everything is there, once.
func (k *killing) finish(t *testing.T) {
	t.Helper()
	p := k.demo(t)
	resumed := k.resumes(t, p)
	last := k.verdict(t, p)
	t.Logf("ended after %v%s", time.Since(p.began).Round(time.Millisecond), resumed)
	k.verify(t, last)
	if again := k.verdict(t, k.demo(t)); again.Planned != 0 {
		t.Errorf("a further run planned %d objects", again.Planned)
	}
	k.groundTruth(t)
	k.directory(t)
}

// verdict is the closing line of a run that has to end well.
func (k *killing) verdict(t *testing.T, p *proc) demoDocument {
	t.Helper()
	r := p.wait(t)
	lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	var doc demoDocument
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &doc); err != nil || r.code != 0 || len(lines) != 1 {
		t.Fatalf("%v: %v", err, r)
	}
	return doc
}

func (k *killing) verify(t *testing.T, d demoDocument) {
	t.Helper()
	want := map[string]demoSaaS{
		"atlassian": {sampleLicensed, sampleLicensed, sampleLicensed, 0},
		"jira":      {samplePeople - sampleLicensed, samplePeople - sampleLicensed, samplePeople - sampleLicensed, 0},
		"slack":     {sampleChat, sampleChat, sampleChat, 0},
	}
	if !d.OK || d.Organizations != sampleOrgs || d.People != samplePeople || !maps.Equal(d.SaaS, want) {
		t.Errorf("%+v", d)
	}
}

// groundTruth reads what the sandbox kept, and compares it with the sample: everybody once, by the right name and in the right group
// alone, and nobody else, not even a disabled double.
func (k *killing) groundTruth(t *testing.T) {
	t.Helper()
	rows, report := sample.Orgs()
	people, staff := sample.Staff()
	if !report.OK() || !staff.OK() {
		t.Fatal("the sample is wrong")
	}
	names, ministries, firms := map[policies.OrgID]string{}, map[policies.OrgID]bool{}, map[policies.OrgID]bool{}
	for _, r := range rows.Orgs {
		names[r.Organization.ID] = r.Organization.Name
		ministries[r.Organization.ID] = r.Organization.Kind == policies.KindMinistry
		firms[r.Organization.ID] = r.Organization.Kind == policies.KindContractor || r.Organization.Kind == policies.KindMiddleware
	}
	type account struct {
		name, group string
		guest       bool
	}
	want := map[policies.Product]map[string]account{policies.ProductAtlassian: {}, policies.ProductJira: {}, policies.ProductSlack: {}}
	for r := range people.People() {
		product := policies.ProductJira
		if ministries[r.Person.Org] {
			product = policies.ProductAtlassian
		}
		a := account{r.Person.DisplayName(), fmt.Sprintf("%s (%s)", names[r.Person.Org], r.Person.Org), false}
		want[product][strings.ToLower(r.Person.Email)] = a
		if ministries[r.Person.Org] || firms[r.Person.Org] || r.Person.Role == policies.RoleAdministrator {
			a.guest = !ministries[r.Person.Org]
			want[policies.ProductSlack][strings.ToLower(r.Person.Email)] = a
		}
	}
	box, err := sandbox.New(sandbox.Options{Now: time.Now, Seed: 1, Dir: k.path("sandbox"), Jira: sandbox.JiraOptions{Token: "unused"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}()
	for product, accounts := range want {
		state, err := box.State(string(product))
		if err != nil {
			t.Fatal(err)
		}
		groups, wrong := map[string]bool{}, []string(nil)
		for _, g := range state.Groups {
			if groups[g.Name] {
				t.Errorf("%s: two groups are called %s", product, g.Name)
			}
			groups[g.Name] = true
		}
		for _, a := range state.Accounts {
			if a.Owner {
				continue
			}
			key := strings.ToLower(a.Email)
			w, ok := accounts[key]
			if !ok || !a.Active || a.Guest != w.guest || a.DisplayName != w.name || !slices.Equal(a.Groups, []string{w.group}) {
				wrong = append(wrong, fmt.Sprintf("too much, or wrong: %+v, want %+v", a, w))
			}
			delete(accounts, key)
		}
		for email := range accounts {
			wrong = append(wrong, "missing: "+email)
		}
		if len(wrong) > 0 {
			t.Errorf("%s: %d wrong accounts, the first:\n%s", product, len(wrong), strings.Join(wrong[:min(len(wrong), 5)], "\n"))
		}
	}
}

// directory checks that the imports that were repeated over and over left one change for each object, and no staging.
func (k *killing) directory(t *testing.T) {
	t.Helper()
	db := k.open(t)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	const agency, administrators = 1, 2
	for query, want := range map[string]int{
		`SELECT count(*) FROM feed`:                                                               sampleOrgs + samplePeople + sampleServices + agency + administrators,
		`SELECT max(number) FROM feed`:                                                            sampleOrgs + samplePeople + sampleServices + agency + administrators,
		`SELECT count(*) FROM service`:                                                            sampleServices,
		`SELECT count(DISTINCT object) FROM feed`:                                                 sampleOrgs + samplePeople + agency + administrators,
		`SELECT count(*) FROM person`:                                                             samplePeople + administrators,
		`SELECT count(*) FROM org`:                                                                sampleOrgs + agency,
		`SELECT count(*) FROM provision_account WHERE state <> 'active'`:                          0,
		`SELECT count(*) FROM provision_op WHERE state NOT IN ('done', 'dropped')`:                0,
		`SELECT count(*) FROM provision_plan WHERE state <> '` + string(provision.PlanDone) + `'`: 0,
	} {
		var n int
		if err := db.Reader().QueryRowContext(context.WithoutCancel(t.Context()), query).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d, want %d, %v", query, n, want, err)
		}
	}
	if left, err := filepath.Glob(k.path("*.new")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
