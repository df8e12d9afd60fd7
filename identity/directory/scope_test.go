package directory

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// probe calls one method with a scope minted for one organization and reports which organizations' data came back, or was changed.
// Arguments draw from both organizations, so a method that trusts its arguments more than its scope is caught.
type probe struct {
	actions []policies.Action // that the method takes
	call    func(ctx context.Context, f *fixture, scope policies.Scope, by Author, a args) ([]policies.OrgID, error)
}

// args are the drawn arguments.
type args struct {
	org    policies.OrgID
	person identity.Person
	query  string
	fresh  string // a value that is used nowhere yet
}

func (a args) newPerson() identity.Person {
	return identity.Person{
		Org: a.org, StaffNumber: a.fresh, FamilyName: "新", Email: a.fresh + "@new.example.lg.jp", Role: policies.RoleGeneral,
	}
}

func orgsOf(people []identity.Person) []policies.OrgID {
	var orgs []policies.OrgID
	for _, p := range people {
		orgs = append(orgs, p.Org)
	}
	return orgs
}

// wrote gives the organizations of the changes after a number.
func wrote(ctx context.Context, f *fixture, after int64) ([]policies.OrgID, error) {
	list, err := f.Changes(ctx, everything, after, MaxPage)
	var orgs []policies.OrgID
	for _, c := range list {
		orgs = append(orgs, c.Org)
	}
	return orgs, err
}

func last(ctx context.Context, f *fixture) (n int64, err error) {
	err = f.db.Reader().QueryRowContext(ctx, "SELECT last_number FROM feed_head").Scan(&n)
	return n, err
}

// writing runs a change and tells whose data it changed, whatever it answered.
func writing(ctx context.Context, f *fixture, do func() error) ([]policies.OrgID, error) {
	before, err := last(ctx, f)
	if err != nil {
		return nil, err
	}
	answer := do()
	orgs, err := wrote(ctx, f, before)
	return orgs, errors.Join(answer, err)
}

// planned records a transfer of the drawn person to come.
func (f *fixture) planned(ctx context.Context, a args) (identity.Transfer, error) {
	x, err := f.AddTransfer(ctx, everything, identity.Transfer{Person: a.person.ID, Kind: identity.TransferMove, Section: a.fresh, At: f.micros() + day("2000-01-01") + int64(len(a.fresh))}, tester)
	if errors.Is(err, ErrEnded) || errors.Is(err, identity.ErrExists) {
		err = nil
	}
	return x, err
}

// busy tells whether the person has left or has such a transfer meanwhile.
func (f *fixture) busy(ctx context.Context, p identity.Person) bool {
	now, err := f.Person(ctx, everything, p.ID)
	list, e := f.Transfers(ctx, everything, TransferFilter{Person: p.ID, States: []identity.TransferState{identity.TransferPlanned}})
	return err != nil || e != nil || !now.Active() || len(list) > 0
}

// appointment makes somebody of elsewhere caretaker of the drawn organization.
func (f *fixture) appointment(a args) identity.Appointment {
	kind := identity.AppointmentCaretaker
	if a.person.Org == a.org {
		kind = identity.AppointmentApprover
	}
	return identity.Appointment{Org: a.org, Kind: kind, Person: a.person.ID}
}

// contractor serves both towns. The number is synthetic; its check digit is right.
const contractor = policies.OrgID("7700150000012")

var probes = map[string]probe{
	"Organizations": {[]policies.Action{policies.ActionOrgRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		list, err := f.Organizations(ctx, s, OrgFilter{Query: a.query})
		var orgs []policies.OrgID
		for _, o := range list {
			orgs = append(orgs, o.ID)
		}
		return orgs, err
	}},
	"Organization": {[]policies.Action{policies.ActionOrgRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		o, err := f.Organization(ctx, s, a.org)
		return []policies.OrgID{o.ID}, err
	}},
	"AddOrganization": {[]policies.Action{policies.ActionOrgWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		return writing(ctx, f, func() error {
			_, err := f.AddOrganization(ctx, s, identity.Organization{ID: "012041", Kind: policies.KindMunicipality, Name: "旭川市"}, by)
			return err
		})
	}},
	"EditOrganization": {[]policies.Action{policies.ActionOrgWrite, policies.ActionOrgContact}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		return writing(ctx, f, func() error {
			_, err := f.EditOrganization(ctx, s, a.org, by, func(o *identity.Organization) error { o.Duty.Name = a.fresh; return nil })
			return err
		})
	}},
	"EditPerson": {[]policies.Action{policies.ActionPeopleWrite, policies.ActionSelfWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		return writing(ctx, f, func() error {
			_, err := f.EditPerson(ctx, s, a.person.ID, by, func(p *identity.Person) error { p.Section = a.fresh; return nil })
			return err
		})
	}},
	"Services": {[]policies.Action{policies.ActionOrgRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		list, err := f.Services(ctx, s, ServiceFilter{})
		if err != nil {
			return nil, err
		}
		more, err := f.Services(ctx, s, ServiceFilter{Org: a.org})
		var orgs []policies.OrgID
		for _, v := range append(list, more...) {
			orgs = append(orgs, v.Org)
		}
		return orgs, err
	}},
	"AddService": {[]policies.Action{policies.ActionServiceWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		orgs, err := writing(ctx, f, func() error {
			return f.AddService(ctx, s, identity.Service{Contractor: contractor, Org: a.org, From: f.micros()}, by)
		})
		if errors.Is(err, identity.ErrExists) {
			err = nil
		}
		return orgs, err
	}},
	"EndService": {[]policies.Action{policies.ActionServiceWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		return writing(ctx, f, func() error { return f.EndService(ctx, s, contractor, a.org, f.micros()+1, by) })
	}},
	"People": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		list, err := f.People(ctx, s, PeopleFilter{Query: a.query, IncludeEnded: true})
		if err != nil {
			return nil, err
		}
		more, err := f.People(ctx, s, PeopleFilter{Org: a.org})
		return orgsOf(append(list, more...)), err
	}},
	"ErasePerson": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		orgs, err := writing(ctx, f, func() error { return f.ErasePerson(ctx, s, a.person.ID, by) })
		if errors.Is(err, ErrInService) {
			err = nil
		}
		return orgs, err
	}},
	"ExportPeople": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		var orgs []policies.OrgID
		err := f.ExportPeople(ctx, s, PeopleFilter{Query: a.query, IncludeEnded: true, After: a.person.ID}, func(p identity.Person) error {
			orgs = append(orgs, p.Org)
			return nil
		})
		return orgs, err
	}},
	"EachPerson": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, _ args) ([]policies.OrgID, error) {
		var orgs []policies.OrgID
		err := f.EachPerson(ctx, s, func(p identity.Person) error {
			orgs = append(orgs, p.Org)
			return nil
		})
		return orgs, err
	}},
	"Person": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		p, err := f.Person(ctx, s, a.person.ID)
		return []policies.OrgID{p.Org}, err
	}},
	"FindPerson": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		p, err := f.FindPerson(ctx, s, a.person.Org, a.person.StaffNumber)
		return []policies.OrgID{p.Org}, err
	}},
	"AddPerson": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		return writing(ctx, f, func() error { _, err := f.AddPerson(ctx, s, a.newPerson(), by); return err })
	}},
	"EndPerson": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		return writing(ctx, f, func() error { return f.EndPerson(ctx, s, a.person.ID, by) })
	}},
	"Changes": {[]policies.Action{policies.ActionOrgRead, policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, _ args) ([]policies.OrgID, error) {
		list, err := f.Changes(ctx, s, 0, MaxPage)
		var orgs []policies.OrgID
		for _, c := range list {
			orgs = append(orgs, c.Org)
			ofOrganizations := strings.HasPrefix(string(c.Kind), "org.") || strings.HasPrefix(string(c.Kind), "service.")
			if ofOrganizations != (s.Action() == policies.ActionOrgRead) {
				return nil, fmt.Errorf("a scope for %s saw %s", s.Action(), c.Kind)
			}
		}
		return orgs, err
	}},
	"LastChange": {[]policies.Action{policies.ActionOrgRead, policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, _ args) ([]policies.OrgID, error) {
		number, err := f.LastChange(ctx, s)
		if err != nil || number == 0 {
			return nil, err
		}
		var org string
		err = f.db.Reader().QueryRowContext(ctx, "SELECT org FROM feed WHERE number = $1", number).Scan(&org)
		return []policies.OrgID{policies.OrgID(org)}, err
	}},
	"Counts": {[]policies.Action{policies.ActionOrgRead, policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, _ args) ([]policies.OrgID, error) {
		c, err := f.Counts(ctx, s)
		if err != nil {
			return nil, err
		}
		full, err := f.Counts(ctx, everything)
		if c.Organizations > 1 || c.People+c.Ended >= full.People+full.Ended || s.Action() == policies.ActionOrgRead && c.People > 0 {
			return nil, fmt.Errorf("counted beyond the scope: %+v of %+v", c, full)
		}
		return nil, err
	}},
	"PeoplePerOrg": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, _ args) ([]policies.OrgID, error) {
		per, err := f.PeoplePerOrg(ctx, s)
		var orgs []policies.OrgID
		for id := range per {
			orgs = append(orgs, id)
		}
		return orgs, err
	}},
	"AddTransfer": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		return writing(ctx, f, func() error {
			_, err := f.AddTransfer(ctx, s, identity.Transfer{Person: a.person.ID, Kind: identity.TransferMove, Section: a.fresh, At: f.micros() - 10}, by)
			return err
		})
	}},
	"ImportTransfers": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		rows, _ := TransferRowsOf("f", func(yield func(TransferRow) bool) {
			yield(TransferRow{Line: 2, Org: a.person.Org, StaffNumber: a.person.StaffNumber, Transfer: identity.Transfer{Kind: identity.TransferMove, Section: a.fresh, At: f.micros() + 5}})
		})
		return writing(ctx, f, func() error {
			_, report, err := f.ImportTransfers(ctx, s, rows, by, nil, TransferImport{})
			if err == nil && !report.OK() && s.Covers(a.person.Org) && a.person.Active() && !f.busy(ctx, a.person) {
				err = fmt.Errorf("%v", report.Faults())
			}
			return err
		})
	}},
	"ExportTransfers": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		if _, err := f.planned(ctx, a); err != nil {
			return nil, err
		}
		var orgs []policies.OrgID
		_, err := f.ExportTransfers(ctx, s, "", func(r TransferRow) error { orgs = append(orgs, r.Org, r.Transfer.From); return nil })
		return orgs, err
	}},
	"AcceptTransfer": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		x, err := f.planned(ctx, a)
		if err != nil {
			return nil, err
		}
		return writing(ctx, f, func() error { _, err := f.AcceptTransfer(ctx, s, x.ID, Arrival{StaffNumber: a.fresh}, by); return err })
	}},
	"CancelTransfer": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		x, err := f.planned(ctx, a)
		if err != nil {
			return nil, err
		}
		return writing(ctx, f, func() error { return f.CancelTransfer(ctx, s, x.ID, by) })
	}},
	"Transfers": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		if _, err := f.planned(ctx, a); err != nil {
			return nil, err
		}
		list, err := f.Transfers(ctx, s, TransferFilter{Org: a.org})
		var orgs []policies.OrgID
		for _, t := range list {
			orgs = append(orgs, t.From)
		}
		return orgs, err
	}},
	"Transfer": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		x, err := f.planned(ctx, a)
		if err != nil {
			return nil, err
		}
		t, err := f.Transfer(ctx, s, x.ID)
		return []policies.OrgID{t.From}, err
	}},
	"PeopleAt": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		var orgs []policies.OrgID
		err := f.PeopleAt(ctx, s, f.micros()+day("2030-01-01"), func(p identity.Person) error { orgs = append(orgs, p.Org); return nil })
		return orgs, err
	}},
	"PersonAt": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		p, _, err := f.PersonAt(ctx, s, a.person.ID, f.micros()+day("2030-01-01"))
		return []policies.OrgID{p.Org}, err
	}},
	"PostsAt": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		x := identity.Transfer{Person: a.person.ID, Kind: identity.TransferConcurrent, To: a.person.Org, Section: a.fresh, At: f.micros() + day("2030-01-01")}
		if _, err := f.AddTransfer(ctx, everything, x, tester); err != nil && !errors.Is(err, ErrEnded) {
			return nil, err
		}
		list, err := f.PostsAt(ctx, s, x.At)
		var orgs []policies.OrgID
		for _, p := range list {
			if p.Person == a.person.ID {
				orgs = append(orgs, p.Org)
			}
		}
		return orgs, err
	}},
	"These": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		list, err := f.These(ctx, s, a.person.ID, "p-nobody")
		var orgs []policies.OrgID
		for _, p := range list {
			orgs = append(orgs, p.Org)
		}
		return orgs, err
	}},
	"Posts": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		x, err := f.AddTransfer(ctx, everything, identity.Transfer{Person: a.person.ID, Kind: identity.TransferConcurrent, To: a.person.Org, Section: a.fresh, At: f.micros() - 10}, tester)
		if err != nil && !errors.Is(err, ErrEnded) {
			return nil, err
		}
		list, err := f.Posts(ctx, s, a.person.ID)
		var orgs []policies.OrgID
		for _, p := range list {
			orgs = append(orgs, p.Org)
		}
		if x.ID != "" && err == nil && s.Covers(a.person.Org) && len(list) == 0 {
			err = errors.New("the post isn't shown")
		}
		return orgs, err
	}},
	"Appoint": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		return writing(ctx, f, func() error { return f.Appoint(ctx, s, f.appointment(a), by) })
	}},
	"EndAppointment": {[]policies.Action{policies.ActionPeopleWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		p := f.appointment(a)
		if err := f.Appoint(ctx, everything, p, tester); err != nil && !errors.Is(err, identity.ErrNotFound) && !errors.Is(err, identity.ErrExists) {
			return nil, err
		}
		return writing(ctx, f, func() error { return f.EndAppointment(ctx, s, p.Org, p.Kind, p.Person, by) })
	}},
	"Appointments": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		if err := f.Appoint(ctx, everything, f.appointment(a), tester); err != nil && !errors.Is(err, identity.ErrNotFound) && !errors.Is(err, identity.ErrExists) {
			return nil, err
		}
		list, err := f.Appointments(ctx, s, AppointmentFilter{})
		var orgs []policies.OrgID
		for _, p := range list {
			orgs = append(orgs, p.Org)
		}
		return orgs, err
	}},
	"Vacancies": {[]policies.Action{policies.ActionPeopleRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, a args) ([]policies.OrgID, error) {
		p := a.newPerson()
		p.Role = policies.RoleAdministrator
		p, err := f.AddPerson(ctx, everything, p, tester)
		if err == nil {
			err = f.EndPerson(ctx, everything, p.ID, tester)
		}
		if err != nil {
			return nil, err
		}
		list, err := f.Vacancies(ctx, s)
		var orgs []policies.OrgID
		for _, v := range list {
			orgs = append(orgs, v.Org)
		}
		return orgs, err
	}},
	"Notices": {[]policies.Action{policies.ActionJobsRead}, func(ctx context.Context, f *fixture, s policies.Scope, _ Author, _ args) ([]policies.OrgID, error) {
		if err := f.KeepNotice(ctx, identity.Notice{ID: "n1", At: 1, Kind: identity.NoticeVacancy, Org: "011002"}); err != nil {
			return nil, err
		}
		list, err := f.Notices(ctx, s, 0)
		if len(list) > 0 {
			err = errors.New("a town read the system administrator's notices")
		}
		return nil, err
	}},
	"Import": {[]policies.Action{policies.ActionOrgWrite, policies.ActionPeopleWrite, policies.ActionServiceWrite}, func(ctx context.Context, f *fixture, s policies.Scope, by Author, a args) ([]policies.OrgID, error) {
		if s.For(policies.ActionOrgWrite) || s.Denied() {
			rows, _ := ReadOrganizations(strings.NewReader("code,kind,name,kana,parent\n"+string(a.org)+",municipality,"+a.fresh+",,\n"), "f")
			orgs, err := writing(ctx, f, func() error { _, _, err := f.Import(ctx, s, rows, by, ImportOptions{}); return err })
			if err != nil || s.For(policies.ActionOrgWrite) {
				return orgs, err
			}
		}
		if s.For(policies.ActionServiceWrite) || s.Denied() {
			day := jst.Date(day("1990-01-01") + int64(crc32.ChecksumIEEE([]byte(a.fresh))%10_000)*oneDay) // another day for each
			rows, _ := ReadServices(strings.NewReader("contractor,org,from,last_day\n"+string(contractor)+","+string(a.org)+","+day+","+day+"\n"), "f")
			orgs, err := writing(ctx, f, func() error { _, _, err := f.Import(ctx, s, rows, by, ImportOptions{}); return err })
			if err != nil || s.For(policies.ActionServiceWrite) {
				return orgs, err
			}
		}
		changed, added := a.person, a.newPerson()
		changed.FamilyName = a.fresh
		rows, _ := PeopleRows("f", func(yield func(identity.Person) bool) {
			if yield(changed) {
				yield(added)
			}
		})
		return writing(ctx, f, func() error {
			_, report, err := f.Import(ctx, s, rows, by, ImportOptions{})
			for _, fault := range report.Faults() {
				if strings.Contains(fmt.Sprint(fault.Reason), "太郎") {
					err = errors.New("the report tells about a person outside the scope")
				}
			}
			return err
		})
	}},
}

// Every method that takes a scope has a probe, and every exported method that doesn't is listed with its reason.
func TestEveryMethodIsProbed(t *testing.T) {
	without := map[string]string{
		"Actor":       "authentication comes before any scope",
		"Activate":    "does what was recorded within scopes, and gives counts only",
		"Held":        "scopes are minted from what it gives",
		"KeepNotice":  "writes what the hub tells the system administrator; returns nothing",
		"PersonNamed": "login asks before anybody is known, and tells nobody the answer",
		"Relations":   "scopes are minted from what it gives",
		"Settle":      "moves what is published already; tells a number of rows and changes no answer",
		"Sweep":       "drops dead staging; returns nothing and touches no organization's data",
	}
	store, scope := reflect.TypeFor[*Store](), reflect.TypeFor[policies.Scope]()
	for m := range store.Methods() {
		takes := false
		for in := range m.Type.Ins() {
			takes = takes || in == scope
		}
		_, probed := probes[m.Name]
		_, excused := without[m.Name]
		if takes != probed || takes == excused {
			t.Errorf("%s: takes a scope %v, has a probe %v, is excused %v", m.Name, takes, probed, excused)
		}
	}
}

// With the scope of one town, no method reads or changes anything of the other, whatever it is asked; with a scope minted for another
// action, or none, it does nothing at all.
func TestNoCrossing(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, "code,kind,name,kana,parent\n010006,prefecture,北海道,,\n011002,municipality,札幌市,,\n012025,municipality,函館市,,\n", "")
		towns := []policies.OrgID{"011002", "012025"}
		f.load(t, someOrgs, peopleHeader+`011002,A1,佐藤,花子,,,a1@x.example.lg.jp,general
011002,A2,佐藤,太郎,,,a2@x.example.lg.jp,general
012025,B1,鈴木,太郎,,,b1@x.example.lg.jp,general
012025,B2,鈴木,花子,,,b2@x.example.lg.jp,general
`)
		f.load(t, "code,kind,name,kana,parent\n"+string(contractor)+",contractor,例示システム株式会社,,\n", "")
		for _, town := range towns {
			if err := f.AddService(t.Context(), everything, identity.Service{Contractor: contractor, Org: town, From: 1}, tester); err != nil {
				t.Fatal(err)
			}
		}
		people, err := f.People(t.Context(), everything, PeopleFilter{})
		if err != nil {
			t.Fatal(err)
		}
		scopes := map[policies.OrgID]map[policies.Action]policies.Scope{}
		for _, id := range towns {
			scopes[id] = map[policies.Action]policies.Scope{}
			for _, action := range policies.Actions() {
				if action != policies.ActionPlanApprove { // asks who made the plan
					scopes[id][action] = townScope(t, id, action)
				}
			}
		}
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			name := rapid.SampledFrom(sortedNames()).Draw(r, "method")
			mine := rapid.SampledFrom(towns).Draw(r, "town")
			action := rapid.SampledFrom(policies.Actions()).Draw(r, "action")
			n++
			a := args{
				org:    rapid.SampledFrom(towns).Draw(r, "org"),
				person: rapid.SampledFrom(people).Draw(r, "person"),
				query:  rapid.SampledFrom([]string{"", "太郎", "市", "佐", "%", "' OR '1'='1"}).Draw(r, "query"),
				fresh:  fmt.Sprintf("n%d", n),
			}
			p := probes[name]
			scope := scopes[mine][action] // the zero scope for plan.approve
			right := false
			for _, takes := range p.actions {
				right = right || scope.For(takes) && !scope.Denied()
			}
			orgs, err := p.call(t.Context(), f, scope, Author{Actor: scope.Actor(), Source: "test"}, a)
			if !right && !errors.Is(err, identity.ErrRefused) {
				r.Fatalf("%s with a scope for %q: %v, %v", name, action, orgs, err)
			}
			if err != nil && !errors.Is(err, identity.ErrRefused) && !errors.Is(err, identity.ErrNotFound) && !errors.Is(err, ErrEnded) && !errors.Is(err, identity.ErrExists) {
				r.Fatalf("%s: %v", name, err)
			}
			for _, org := range orgs {
				if org != mine && org != "" {
					r.Fatalf("%s with the scope of %s reached %s", name, mine, org)
				}
			}
			if name == "Person" && err == nil && a.person.Org != mine {
				r.Fatalf("%s of %s was shown to %s", a.person.ID, a.person.Org, mine)
			}
		})
	})
}

func sortedNames() []string { return slices.Sorted(maps.Keys(probes)) }

// The zero scope reads and writes nothing, by every method.
func TestZeroScope(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		p := f.find(t, "011002", "S1")
		for name, probe := range probes {
			orgs, err := probe.call(t.Context(), f, policies.Scope{}, Author{}, args{org: "011002", person: p, fresh: "zero"})
			for _, o := range orgs {
				if o != "" {
					t.Errorf("%s: %v", name, orgs)
				}
			}
			if !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
