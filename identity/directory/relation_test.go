package directory

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// A service or an appointment counts from its first moment to the moment before its end, and only while the organizations exist.
func TestRelations(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		const vendor, other = policies.OrgID("9876543210987"), policies.OrgID("9876543210988")
		day := func(n int) int64 { return f.clock.now().Add(time.Duration(n) * 24 * time.Hour).UnixMicro() }
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := f.db.Writer().ExecContext(t.Context(), query, args...); err != nil {
				t.Fatal(err)
			}
		}
		f.load(t, someOrgs, somePeople)
		addOrg := func(id policies.OrgID, kind policies.OrgKind, from, until int64) {
			t.Helper()
			o := identity.Organization{ID: id, Kind: kind, Name: "例示 " + string(id), From: from, Until: until, State: identity.OnboardingListed}
			values := append(orgValues(&o), day(0), 1)
			exec(fmt.Sprintf("INSERT INTO org (id, kind, name, kana, parent, valid_from, valid_until, successor, state, duty_name, duty_phone, duty_email, "+
				"night_name, night_phone, night_email, updated_at, change) VALUES (%s)", placeholders(1, len(values))), values...)
		}
		addOrg(vendor, policies.KindContractor, 0, day(8))
		addOrg(other, policies.KindContractor, 0, 0)
		addOrg("012025", policies.KindMunicipality, 0, day(3)) // 廃置分合
		addOrg("012041", policies.KindMunicipality, day(3), 0) // its successor
		service := func(contractor, org policies.OrgID, from, until int64) {
			t.Helper()
			exec("INSERT INTO service (contractor, org, valid_from, valid_until) VALUES ($1, $2, $3, $4)", string(contractor), string(org), from, until)
		}
		service(vendor, "011002", day(1), day(5))
		service(vendor, "011002", day(6), 0)
		service(vendor, "131016", day(2), day(4))
		service(vendor, "131016", day(3), 0) // two periods that overlap are one
		service(vendor, "012025", 1, 0)
		service(vendor, "012041", 1, 0)
		service(other, "2000012020001", 1, 0)

		p := f.find(t, "2000012020001", "S1")
		appoint := func(org policies.OrgID, kind identity.AppointmentKind, person policies.PersonID, from, until int64) {
			t.Helper()
			exec("INSERT INTO appointment (org, kind, person, valid_from, valid_until) VALUES ($1, $2, $3, $4, $5)", string(org), string(kind), string(person), from, until)
		}
		appoint("011002", identity.AppointmentCaretaker, p.ID, day(1), day(2))
		appoint("012025", identity.AppointmentCaretaker, p.ID, day(1), 0)
		appoint("131016", identity.AppointmentApprover, p.ID, 1, 0)
		appoint("131016", identity.AppointmentCaretaker, f.find(t, "011002", "S1").ID, 1, 0)

		ids := func(orgs []identity.Organization) string {
			var list []policies.OrgID
			for _, o := range orgs {
				if o.Kind == "" || o.Name == "" {
					t.Errorf("half an organization: %+v", o)
				}
				list = append(list, o.ID)
			}
			if !slices.IsSorted(list) {
				t.Errorf("not in order: %v", list)
			}
			return fmt.Sprint(list)
		}
		ministry, err := f.Organization(t.Context(), everything, p.Org)
		if err != nil {
			t.Fatal(err)
		}
		contractor, err := f.Organization(t.Context(), everything, vendor)
		if err != nil {
			t.Fatal(err)
		}
		begin := f.clock.now()
		for _, tc := range []struct {
			at                time.Duration
			serves, caretakes string
		}{
			{0, "[012025]", "[]"},
			{24*time.Hour - time.Microsecond, "[012025]", "[]"},
			{24 * time.Hour, "[011002 012025]", "[011002 012025]"},
			{48*time.Hour - time.Microsecond, "[011002 012025]", "[011002 012025]"},
			{48 * time.Hour, "[011002 012025 131016]", "[012025]"},
			{72 * time.Hour, "[011002 012041 131016]", "[]"},
			{5 * 24 * time.Hour, "[012041 131016]", "[]"},
			{6 * 24 * time.Hour, "[011002 012041 131016]", "[]"},
			{8 * 24 * time.Hour, "[]", "[]"}, // the contractor is no more
		} {
			f.clock.micros.Store(begin.Add(tc.at).UnixMicro())
			r, err := f.Relations(t.Context(), identity.Person{ID: "somebody", Org: vendor}, contractor)
			if err != nil || ids(r.Serves) != tc.serves || r.Caretakes != nil {
				t.Errorf("after %v the contractor serves %s, want %s; %v", tc.at, ids(r.Serves), tc.serves, err)
			}
			r, err = f.Relations(t.Context(), p, ministry)
			if err != nil || ids(r.Caretakes) != tc.caretakes || r.Serves != nil {
				t.Errorf("after %v the person takes care of %s, want %s; %v", tc.at, ids(r.Caretakes), tc.caretakes, err)
			}
		}
		// What isn't a contractor serves nobody, whatever the table says.
		exec("UPDATE service SET contractor = $1 WHERE contractor = $2", "2000012020001", string(vendor))
		if r, err := f.Relations(t.Context(), p, ministry); err != nil || r.Serves != nil {
			t.Errorf("a ministry serves %v, %v", r.Serves, err)
		}
	})
}
