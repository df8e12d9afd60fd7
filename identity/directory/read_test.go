package directory

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each testdata/{orgs,people,services}-*.csv is a case: what was read and what the report says stand in the .golden file beside it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.csv")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".csv"), func(t *testing.T) {
			in, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			read := ReadPeople
			switch kind, _, _ := strings.Cut(filepath.Base(path), "-"); kind {
			case "orgs":
				read = ReadOrganizations
			case "services":
				read = ReadServices
			}
			rows, report := read(bytes.NewReader(in), filepath.Base(path))
			var b strings.Builder
			for row := range rows.People() {
				fmt.Fprintf(&b, "%d: %s\n", row.Line, personJSON(&row.Person))
			}
			for _, row := range rows.Orgs {
				fmt.Fprintf(&b, "%d: %s %s derived=%v\n", row.Line, row.Organization.ID, orgJSON(&row.Organization), row.Derived)
			}
			for _, row := range rows.Services {
				fmt.Fprintf(&b, "%d: %s\n", row.Line, strings.Join(ServiceCells(row.Service), ","))
			}
			fmt.Fprintf(&b, "-- %d good, %d refused, %d faults\n", rows.Len(), report.Refused(), report.Total())
			n, err := report.WriteTo(&b)
			if err != nil || n == 0 && !report.OK() {
				t.Errorf("%d bytes written, %v", n, err)
			}
			golden := strings.TrimSuffix(path, ".csv") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != b.String() {
				t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	for _, c := range []struct {
		subject Subject
		read    func(io.Reader, string) (*Rows, *review.Report)
		locale  review.Locale
	}{
		{SubjectOrganizations, ReadOrganizations, review.English},
		{SubjectOrganizations, ReadOrganizations, review.Japanese},
		{SubjectPeople, ReadPeople, review.English},
		{SubjectPeople, ReadPeople, review.Japanese},
		{SubjectServices, ReadServices, review.English},
		{SubjectServices, ReadServices, review.Japanese},
	} {
		subject, read := c.subject, c.read
		text, err := Template(subject, c.locale)
		if err != nil {
			t.Fatal(err)
		}
		if rows, report := read(bytes.NewReader(text), "template"); !report.OK() || rows.Len() != 0 {
			t.Errorf("%s: %v", subject, report.Faults())
		}
		page, err := os.ReadFile("../../docs/import.md")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))) {
			t.Errorf("docs/import.md doesn't have the header of %s", subject)
		}
	}
	if _, err := Template("cats", review.English); err == nil {
		t.Error("there is a template for cats")
	}
}

func TestNationalListIsReadWhole(t *testing.T) {
	f, err := os.Open(shared(t, "data/localgov.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, report := ReadOrganizations(f, "localgov.csv")
	count := map[policies.OrgKind]int{}
	for _, row := range rows.Orgs {
		count[row.Organization.Kind]++
	}
	if !report.OK() || count[policies.KindPrefecture] != 47 || count[policies.KindMunicipality] != 1741 || count[policies.KindWard] != 175 {
		t.Error(count, report.Faults())
	}
}

// All bad rows are counted, a bounded number is kept.
func TestReportIsBounded(t *testing.T) {
	text := peopleHeader + strings.Repeat("011003,S,,,,,,\n", review.MaxFaults+500)
	rows, report := ReadPeople(strings.NewReader(text), "p.csv")
	if rows.Len() != 0 || report.Refused() != review.MaxFaults+500 || len(report.Faults()) != review.MaxFaults || report.Total() < 4*(review.MaxFaults+500) {
		t.Errorf("%d rows, %d refused, %d faults of %d", rows.Len(), report.Refused(), len(report.Faults()), report.Total())
	}
	var b strings.Builder
	if _, err := report.WriteTo(&b); err != nil || !strings.Contains(b.String(), fmt.Sprintf("And %d more faults.", report.Total()-review.MaxFaults)) {
		t.Error(err)
	}
	j, err := json.Marshal(report.Faults()[0])
	if err != nil || !strings.Contains(string(j), `"reason":{"ja":"`) {
		t.Error(string(j), err)
	}
}

func TestUnreadable(t *testing.T) {
	broken := errors.New("input/output error")
	_, report := ReadPeople(io.MultiReader(strings.NewReader(peopleHeader), &failing{broken}), "p.csv")
	if f := report.Faults(); len(f) != 1 || !strings.Contains(f[0].Reason.EN, "input/output error") {
		t.Error(f)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"札幌市":            "札幌市",
		"葛\U000e0100城":   "葛\U000e0100城",
		"a\x00\n\u202eb": `a\u{0000}\u{000a}\u{202e}b`,
		"a\xffb":         `a\xffb`,
		"あいうえおかきくけこさ":    "あいうえおかきくけこ…",
	} {
		if got := review.Visible(in, 10); got != want {
			t.Errorf("%q: %q", got, want)
		}
	}
}

func TestPeopleRows(t *testing.T) {
	good := identity.Person{Org: "011002", StaffNumber: "S1", FamilyName: "佐藤", Email: "a@b.jp", Role: policies.RoleGeneral}
	twin := good
	rows, report := PeopleRows("made", slices.Values([]identity.Person{good, {}, twin}))
	if rows.Len() != 1 || report.Refused() != 2 || slices.Collect(rows.People())[0].Line != 2 {
		t.Errorf("%+v, %v", rows, report.Faults())
	}
}

func fuzzSeeds(f *testing.F, prefix string) {
	files, err := filepath.Glob("testdata/" + prefix + "*.csv")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 8<<10 {
			f.Add(b)
		}
	}
}

// checkRows holds what must be true of any input: nothing good is unprintable, no fault is mute, and reading twice says the same.
func checkRows(t *testing.T, read func(io.Reader, string) (*Rows, *review.Report), in []byte) (*Rows, *review.Report) {
	rows, report := read(bytes.NewReader(in), "fuzz.csv")
	again, twice := read(bytes.NewReader(in), "fuzz.csv")
	if !slices.Equal(rows.Orgs, again.Orgs) || !slices.Equal(rows.Services, again.Services) || !slices.Equal(slices.Collect(rows.People()), slices.Collect(again.People())) || !slices.Equal(report.Faults(), twice.Faults()) {
		t.Fatal("reading twice gives two answers")
	}
	if report.OK() != (len(report.Faults()) == 0) || report.Refused() > report.Total() {
		t.Fatalf("%d refused, %d faults", report.Refused(), report.Total())
	}
	for _, f := range report.Faults() {
		if f.Reason.JA == "" || f.Reason.EN == "" || f.Remedy.JA == "" || f.Remedy.EN == "" || strings.ContainsAny(f.Value, "\x00\n\r\x1b") {
			t.Fatalf("%+v", f)
		}
	}
	return rows, report
}

func FuzzReadPeople(f *testing.F) {
	fuzzSeeds(f, "people-")
	f.Fuzz(func(t *testing.T, in []byte) {
		rows, _ := checkRows(t, ReadPeople, in)
		staff := map[[2]string]bool{}
		for row := range rows.People() {
			p := row.Person
			k := [2]string{string(p.Org), p.StaffNumber}
			if checkPerson(&p) != nil || staff[k] || row.Line < 2 {
				t.Fatalf("%+v is accepted", row)
			}
			staff[k] = true
		}
	})
}

func FuzzReadOrganizations(f *testing.F) {
	fuzzSeeds(f, "orgs-")
	f.Fuzz(func(t *testing.T, in []byte) {
		rows, _ := checkRows(t, ReadOrganizations, in)
		seen := map[policies.OrgID]bool{}
		for _, row := range rows.Orgs {
			o := row.Organization
			if checkOrganization(&o) != nil || seen[o.ID] || row.Line < 2 {
				t.Fatalf("%+v is accepted", row)
			}
			seen[o.ID] = true
		}
	})
}

func FuzzReadServices(f *testing.F) {
	fuzzSeeds(f, "services-")
	f.Fuzz(func(t *testing.T, in []byte) {
		rows, _ := checkRows(t, ReadServices, in)
		seen := map[identity.Service]bool{}
		for _, row := range rows.Services {
			v := row.Service
			k := identity.Service{Contractor: v.Contractor, Org: v.Org, From: v.From}
			if checkService(v) != nil || v.Contractor == "" || v.Org == "" || seen[k] || row.Line < 2 {
				t.Fatalf("%+v is accepted", row)
			}
			seen[k] = true
			if again, report := ReadServices(strings.NewReader(strings.Join(ServiceHeader(review.English), ",")+"\n"+strings.Join(ServiceCells(v), ",")+"\n"), "again"); !report.OK() || again.Services[0].Service != v {
				t.Fatalf("%+v is written as %v", v, ServiceCells(v))
			}
		}
	})
}
