package directory

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

const (
	serviceHeader = "contractor,org,from,until\n"
	served        = someOrgs + string(contractor) + ",contractor,例示システム株式会社,,\n"
)

func (f *fixture) importServices(t testing.TB, scope policies.Scope, text string, opt ImportOptions) (Result, *review.Report) {
	t.Helper()
	rows, _ := ReadServices(strings.NewReader(text), "services.csv")
	by := tester
	by.Actor = scope.Actor()
	actor, err := access.BreakGlass("root")
	if err != nil {
		t.Fatal(err)
	}
	by.By = actor
	r, report, err := f.Import(t.Context(), scope, rows, by, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r, report
}

// exported writes all services as the command does.
func (f *fixture) exportedServices(t testing.TB) string {
	t.Helper()
	list, err := f.Services(t.Context(), everything, ServiceFilter{Limit: MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	text := serviceHeader
	for _, v := range list {
		text += strings.Join(ServiceCells(v), ",") + "\n"
	}
	return text
}

func TestImportServices(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, served, "")
		line := func(org, from, until string) string {
			return string(contractor) + "," + org + "," + from + "," + until + "\n"
		}
		first := serviceHeader + line("011002", "2024-04-01", "2027-04-01") + line("011002", "2027-04-01", "") + line("131016", "2024-04-01", "")
		if r, _ := f.importServices(t, everything, first, ImportOptions{DryRun: true}); r != (Result{Added: 3}) || f.exportedServices(t) != serviceHeader {
			t.Fatalf("%+v", r)
		}
		if r, report := f.importServices(t, everything, first, ImportOptions{}); r != (Result{Added: 3, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		// What is exported goes in again without a difference.
		if r, _ := f.importServices(t, everything, f.exportedServices(t), ImportOptions{}); r != (Result{Unchanged: 3, Published: true}) {
			t.Fatalf("%+v", r)
		}
		before := len(f.changes(t))
		for name, c := range map[string]struct{ rows, column, reason string }{
			"registered": {line("011002", "2026-04-01", "2026-05-01"), "from", "2024-04-01 〜 2027-04-01 that is registered"},
			"open":       {line("131016", "2023-04-01", ""), "from", "that is registered"},
			"same file":  {line("010006", "2024-04-01", "2025-04-01") + line("010006", "2025-03-31", ""), "from", "line 2"},
			"unchanged row below": {
				line("131016", "2023-04-01", "") + line("131016", "2024-04-01", ""), "from", "that is registered",
			},
			"extended over the next": {line("011002", "2024-04-01", "2027-04-02"), "from", "2027-04-01 〜  that is registered"},
			"nobody":                 {"8999900000001,011002,2010-04-01,2011-04-01\n", "contractor", "not registered"},
			"nowhere":                {line("012041", "2024-04-01", ""), "org", "not registered"},
			"a ward":                 {line("011011", "2024-04-01", ""), "org", "not served"},
			"a ministry serves":      {"2000012020001,011002,2010-04-01,2011-04-01\n", "contractor", "not a contractor"},
		} {
			r, report := f.importServices(t, everything, serviceHeader+c.rows+line("2000012020001", "2024-04-01", ""), ImportOptions{})
			if r != (Result{Added: r.Added, Unchanged: r.Unchanged, Refused: 1}) || report.Faults()[0].Column != c.column || !strings.Contains(report.Faults()[0].Reason.EN, c.reason) {
				t.Errorf("%s: %+v, %v", name, r, report.Faults())
			}
		}
		if n := len(f.changes(t)); n != before {
			t.Fatalf("refused files made %d changes", n-before)
		}
		// A period may be ended, and the next one begin, in one file, in any order.
		next := serviceHeader + line("131016", "2026-04-01", "2029-04-01") + line("131016", "2024-04-01", "2026-04-01")
		var told []Difference
		dry := ImportOptions{DryRun: true, Difference: func(d Difference) error { told = append(told, d); return nil }}
		if f.importServices(t, everything, next, dry); len(told) != 2 || told[0].Kind != ServiceAdded || told[1].Kind != ServiceChanged ||
			!slices.Equal(told[1].Fields, []FieldDifference{{"until", "委託解除日", "", "2026-04-01"}}) {
			t.Errorf("%+v", told)
		}
		if r, report := f.importServices(t, everything, next, ImportOptions{}); r != (Result{Added: 1, Changed: 1, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		all := f.changes(t)
		c := all[len(all)-1]
		if c.Kind != ServiceChanged || c.Org != "131016" || c.Object != string(contractor) || !strings.Contains(string(c.After), fmt.Sprint(day("2026-04-01"))) || len(c.Before) == 0 {
			t.Errorf("%+v", c)
		}
		// A file without an end leaves the ends as they are.
		if r, _ := f.importServices(t, everything, "contractor,org,from\n"+string(contractor)+",131016,2024-04-01\n", ImportOptions{}); r != (Result{Unchanged: 1, Published: true}) {
			t.Errorf("%+v", r)
		}
	})
}

// What a town may say of itself it may not say of others; the rest is taken where bad rows are skipped, and audited once.
func TestImportServicesOfATown(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, served, somePeople)
		town := townScope(t, "011002", policies.ActionServiceWrite)
		text := serviceHeader + string(contractor) + ",131016,2024-04-01,\n" + string(contractor) + ",011002,2024-04-01,\n" + string(contractor) + ",011002,2020-04-01,2024-04-01\n"
		if r, report := f.importServices(t, town, text, ImportOptions{}); r != (Result{Added: 2, Refused: 1}) || !strings.Contains(report.Faults()[0].Reason.EN, "outside") {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		if r, report := f.importServices(t, town, text, ImportOptions{SkipBad: true}); r != (Result{Added: 2, Refused: 1, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		var rows int
		if err := f.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM audit_row WHERE action = 'service.import'").Scan(&rows); err != nil || rows != 1 {
			t.Errorf("%d audit rows: %v", rows, err)
		}
		if _, _, err := f.Import(t.Context(), townScope(t, "011002", policies.ActionOrgWrite), &Rows{Subject: SubjectServices, Report: review.New("")}, tester, ImportOptions{}); err == nil {
			t.Error("org.write is enough")
		}
		if err := (ImportOptions{Complete: true}).Check(SubjectServices); err == nil {
			t.Error("a list of services can be complete")
		}
	})
}

// Whatever files come, in whatever order and with bad rows skipped or not: no two periods of a pair overlap, what is published is what the
// file said, and the same file again changes nothing.
func TestServicesNeverOverlap(t *testing.T) {
	orgs := map[policies.OrgID]identity.Organization{contractor: {ID: contractor, Kind: policies.KindContractor}, "011002": {ID: "011002", Kind: policies.KindMunicipality}}
	service := rapid.Custom(func(t *rapid.T) identity.Service {
		v := identity.Service{Contractor: contractor, Org: "011002", From: rapid.Int64Range(1, 12).Draw(t, "from")}
		if rapid.Bool().Draw(t, "ends") {
			v.Until = v.From + rapid.Int64Range(1, 6).Draw(t, "for")
		}
		return v
	})
	rapid.Check(t, func(t *rapid.T) {
		have := map[pair]map[int64]identity.Service{}
		k := pair{contractor, "011002"}
		for range rapid.IntRange(1, 4).Draw(t, "files") {
			rows := &Rows{Subject: SubjectServices, serviceEnds: true}
			for i, v := range rapid.SliceOfNDistinct(service, 0, 6, func(v identity.Service) int64 { return v.From }).Draw(t, "rows") {
				rows.Services = append(rows.Services, ServiceRow{i + 2, v})
			}
			skip := rapid.Bool().Draw(t, "skip")
			report := review.New("f")
			changes, result := rows.settleServices(everything, orgs, have, skip, report)
			if result.Added+result.Changed+result.Unchanged+report.Refused() != len(rows.Services) {
				t.Fatalf("%+v, %d refused of %d", result, report.Refused(), len(rows.Services))
			}
			if !skip && !report.OK() {
				continue
			}
			for _, c := range changes {
				put(have, c.after)
			}
			var list []identity.Service
			for _, v := range have[k] {
				list = append(list, v)
			}
			slices.SortFunc(list, func(a, b identity.Service) int { return int(a.From - b.From) })
			for i := range list[:max(0, len(list)-1)] {
				if list[i].Until == 0 || list[i].Until > list[i+1].From {
					t.Fatalf("%v overlap after %v", list, rows.Services)
				}
			}
			good := &Rows{Subject: SubjectServices, serviceEnds: true}
			for _, row := range rows.Services {
				if have[k][row.Service.From] == row.Service {
					good.Services = append(good.Services, row)
				}
			}
			if len(good.Services) < len(rows.Services)-report.Refused() {
				t.Fatalf("%v isn't there: %v", rows.Services, have)
			}
			if changes, again := good.settleServices(everything, orgs, have, false, review.New("f")); len(changes) > 0 || again.Unchanged != len(good.Services) {
				t.Fatalf("again: %v", changes)
			}
		}
	})
}
