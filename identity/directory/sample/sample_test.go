package sample

import (
	"bytes"
	"flag"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

var update = flag.Bool("update", false, "write people.csv anew")

func organizations(t *testing.T) []identity.Organization {
	t.Helper()
	rows, report := Orgs()
	if !report.OK() {
		t.Fatal(report.Faults())
	}
	var orgs []identity.Organization
	for _, row := range rows.Orgs {
		orgs = append(orgs, row.Organization)
	}
	return orgs
}

func TestOrgs(t *testing.T) {
	count := map[policies.OrgKind]int{}
	for _, o := range organizations(t) {
		count[o.Kind]++
		if o.Kana == "" {
			t.Errorf("%s has no kana", o.Name)
		}
	}
	want := map[policies.OrgKind]int{
		policies.KindPrefecture: 47, policies.KindMunicipality: 20, policies.KindMinistry: 3, policies.KindContractor: 4, policies.KindInsurer: 1,
		policies.KindUnion: 1, policies.KindIncorporated: 1, policies.KindMiddleware: 1,
	}
	if !maps.Equal(count, want) {
		t.Error(count)
	}
}

// What doesn't exist says so by its name and its number, and nobody is reached by what stands there.
func TestSynthetic(t *testing.T) {
	states := map[identity.Onboarding]bool{}
	for _, o := range organizations(t) {
		states[o.State] = true
		if public := o.Kind.LocalGovernment() || o.Kind == policies.KindMinistry; !public {
			if !strings.Contains(o.Name, "例示") || !strings.HasPrefix(string(o.ID)[1:], "9999") && !strings.HasPrefix(string(o.ID), "0699") {
				t.Errorf("%s %s looks real", o.ID, o.Name)
			}
		}
		for _, c := range []identity.Contact{o.Duty, o.Night} {
			if c == (identity.Contact{}) && o.Kind == policies.KindInsurer {
				continue // it has none at night
			}
			if c.Name == "" || !strings.HasPrefix(c.Phone, "00-") || !strings.HasSuffix(c.Email, "@"+Domain(o)) {
				t.Errorf("%s: %+v", o.Name, c)
			}
		}
	}
	for _, s := range identity.Onboardings() {
		if !states[s] {
			t.Errorf("nobody is %s", s)
		}
	}
}

func TestServices(t *testing.T) {
	kinds := map[policies.OrgID]policies.OrgKind{}
	for _, o := range organizations(t) {
		kinds[o.ID] = o.Kind
	}
	rows, report := Services()
	if !report.OK() || rows.Len() != 17 {
		t.Fatal(rows.Len(), report.Faults())
	}
	serving := map[policies.OrgID]bool{}
	for _, row := range rows.Services {
		v := row.Service
		serving[v.Contractor] = true
		if kinds[v.Contractor] != policies.KindContractor || kinds[v.Org] == "" || kinds[v.Org] == policies.KindContractor {
			t.Errorf("%+v", v)
		}
	}
	if len(serving) != 4 {
		t.Errorf("%d contractors serve somebody", len(serving))
	}
}

// The shipped people are what the generator makes today. After a change of the generator: go test ./identity/directory/sample -update.
func TestPeopleFile(t *testing.T) {
	var b bytes.Buffer
	if err := WritePeople(&b, Variants(People(organizations(t), PeoplePerOrg, Seed))); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("people.csv", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(b.Bytes(), peopleCSV) {
		t.Error("people.csv is not what the generator makes")
	}
	rows, report := Staff()
	if !report.OK() || rows.Len() != 78*PeoplePerOrg {
		t.Error(rows.Len(), report.Faults())
	}
	absent := 0
	for row := range rows.People() {
		p := row.Person
		if p.AbsentFrom != 0 {
			absent++
		}
		if p.FamilyRomaji == "" || p.GivenRomaji == "" || p.Section == "" || p.Title == "" || p.Duties == "" || !strings.HasPrefix(p.Phone, "00-") || p.Extension == "" {
			t.Fatalf("%+v", p)
		}
	}
	if absent < 5 || absent > 100 {
		t.Errorf("%d are absent", absent)
	}
	for _, name := range []string{"髙", "﨑", "\uFA19", "葛\U000E0100", "𠮷", "ｽｽﾞｷ"} {
		if !bytes.Contains(peopleCSV, []byte(name)) {
			t.Errorf("nobody is called %s", name)
		}
	}
}

// Files for old systems can be written of what is generated, and not of the variants.
func TestCP932(t *testing.T) {
	lacks := func(people iter.Seq[identity.Person]) int {
		report := review.New("people.csv")
		w := table.NewWriter(io.Discard, table.WriterOptions{Encoding: table.CP932}, report)
		for p := range people {
			if err := w.Row(directory.PersonCells(p)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		return report.Refused()
	}
	people := People(organizations(t), 100, 3)
	if n := lacks(people); n != 0 {
		t.Errorf("CP932 can't write %d of the people", n)
	}
	if n := lacks(Variants(people)); n != 78*100/30 {
		t.Errorf("CP932 can't write %d of the variants", n)
	}
}

func BenchmarkPeople(b *testing.B) {
	rows, _ := Orgs()
	var orgs []identity.Organization
	for _, row := range rows.Orgs {
		orgs = append(orgs, row.Organization)
	}
	for b.Loop() {
		n := 0
		for range People(orgs, 250_000/len(orgs)+1, 1) {
			n++
		}
		b.ReportMetric(float64(n), "people/op")
	}
}

func TestPeople(t *testing.T) {
	orgs := []identity.Organization{
		{ID: "011002", Kind: policies.KindMunicipality, Name: "札幌市"},
		{ID: "011011", Kind: policies.KindWard, Name: "札幌市 中央区"},
		{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁"},
		{ID: "7000012050002", Kind: policies.KindMinistry, Name: "国税庁"},
		{ID: "8999900000001", Kind: policies.KindContractor, Name: "例示システム株式会社"},
	}
	people := slices.Collect(People(orgs, 500, 1))
	if len(people) != 2000 {
		t.Fatal(len(people))
	}
	if _, report := directory.PeopleRows("generated", slices.Values(people)); !report.OK() {
		t.Fatal(report.Faults())
	}
	administrators := 0
	for _, p := range people {
		if p.Role == policies.RoleAdministrator {
			administrators++
		}
		if p.Org == "011011" {
			t.Fatal("a ward has people")
		}
		if _, domain, _ := strings.Cut(p.Email, "@"); !strings.HasSuffix(domain, ".example.lg.jp") && !strings.HasSuffix(domain, ".example.go.jp") && !strings.HasSuffix(domain, ".example.co.jp") {
			t.Fatalf("%s is not at an example domain", p.Email)
		}
	}
	if administrators != 4 {
		t.Error(administrators)
	}
	// An organization's people don't depend on its neighbours, and depend on the seed.
	alone := slices.Collect(People(orgs[2:3], 500, 1))
	if !slices.Equal(alone, people[500:1000]) {
		t.Error("the same organization and seed gave other people")
	}
	if slices.Equal(alone, slices.Collect(People(orgs[2:3], 500, 2))) {
		t.Error("another seed gave the same people")
	}
	for range People(orgs, 500, 1) {
		break // stopping early is allowed
	}
}
