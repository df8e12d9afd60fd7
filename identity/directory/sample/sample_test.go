package sample

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
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
	if count[policies.KindPrefecture] != 47 || count[policies.KindMunicipality] != 20 || count[policies.KindMinistry] != 3 || len(count) != 3 {
		t.Error(count)
	}
}

// The shipped people are what the generator makes today. After a change of the generator: go test ./identity/directory/sample -update.
func TestPeopleFile(t *testing.T) {
	var b bytes.Buffer
	if err := WritePeople(&b, People(organizations(t), PeoplePerOrg, Seed)); err != nil {
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
	if !report.OK() || rows.Len() != 70*PeoplePerOrg {
		t.Error(rows.Len(), report.Faults())
	}
}

func TestPeople(t *testing.T) {
	orgs := []identity.Organization{
		{ID: "011002", Kind: policies.KindMunicipality, Name: "札幌市"},
		{ID: "011011", Kind: policies.KindWard, Name: "札幌市 中央区"},
		{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁"},
		{ID: "7000012050002", Kind: policies.KindMinistry, Name: "国税庁"},
	}
	people := slices.Collect(People(orgs, 500, 1))
	if len(people) != 1500 {
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
		if _, domain, _ := strings.Cut(p.Email, "@"); !strings.HasSuffix(domain, ".example.lg.jp") && !strings.HasSuffix(domain, ".example.go.jp") {
			t.Fatalf("%s is not at an example domain", p.Email)
		}
	}
	if administrators != 3 {
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
