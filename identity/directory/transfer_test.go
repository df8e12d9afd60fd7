package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

const transferPeople = peopleHeader + `011002,A0,管理,一郎,,,a0@a.example.lg.jp,administrator
011002,A1,佐藤,花子,,,a1@a.example.lg.jp,general
011002,A2,鈴木,太郎,,,a2@a.example.lg.jp,general
131016,B0,管理,二郎,,,b0@b.example.lg.jp,administrator
131016,B1,田中,誠,,,b1@b.example.lg.jp,general
8000012010038,D0,運営,一,,,d0@d.example.go.jp,system_administrator
8000012010038,D1,運営,二,,,d1@d.example.go.jp,system_administrator
`

const (
	townA = policies.OrgID("011002")
	townB = policies.OrgID("131016")
)

// actor mints the scope of a real person of the directory over organizations.
func (f *fixture) actor(t testing.TB, p identity.Person, action policies.Action, orgs ...policies.OrgID) policies.Scope {
	t.Helper()
	var all []policies.Organization
	for _, id := range orgs {
		o, err := f.Organization(t.Context(), everything, id)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Policy())
	}
	return scopeFor(t, policies.Person{ID: p.ID, Org: all[0], Role: policies.RoleAdministrator, Active: true}, action, all...)
}

func (f *fixture) add(t testing.TB, scope policies.Scope, x identity.Transfer) identity.Transfer {
	t.Helper()
	got, err := f.AddTransfer(t.Context(), scope, x, Author{Actor: scope.Actor(), Source: "test", Why: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (f *fixture) transferOf(t testing.TB, id identity.TransferID) identity.Transfer {
	t.Helper()
	x, err := f.Transfer(t.Context(), everything, id)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (f *fixture) activate(t testing.TB) Activated {
	t.Helper()
	a, err := f.Activate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// to moves the clock to a time.
func (f *fixture) to(at int64) { f.clock.micros.Store(at) }

func eachTransfer(t *testing.T, fn func(t *testing.T, f *fixture)) {
	t.Helper()
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, transferPeople)
		f.to(day("2027-03-01"))
		fn(t, f)
	})
}

// A move to another town: proposed by the one, accepted by the other, effective at midnight, once.
func TestTransferBetweenTowns(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		at := day("2027-04-01")
		p := f.find(t, townA, "A1")
		a := f.actor(t, f.find(t, townA, "A0"), policies.ActionPeopleWrite, townA)
		b := f.actor(t, f.find(t, townB, "B0"), policies.ActionPeopleWrite, townB)
		bRead := f.actor(t, f.find(t, townB, "B0"), policies.ActionPeopleRead, townB)
		byB := Author{Actor: b.Actor(), Source: "test"}

		// The giving side gives no role and no number in the other town.
		for _, x := range []identity.Transfer{{StaffNumber: "B9"}, {Role: policies.RoleAdministrator}, {Email: "x@b.example.lg.jp"}} {
			x.Person, x.Kind, x.To, x.At = p.ID, identity.TransferMove, townB, at
			if _, err := f.AddTransfer(t.Context(), a, x, Author{Actor: a.Actor()}); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%+v: %v", x, err)
			}
		}
		// The receiving side can't pull anybody out, nor learn that they exist.
		_, err := f.AddTransfer(t.Context(), b, identity.Transfer{Person: p.ID, Kind: identity.TransferMove, To: townB, At: at, StaffNumber: "B9"}, byB)
		_, none := f.AddTransfer(t.Context(), b, identity.Transfer{Person: "p999", Kind: identity.TransferMove, To: townB, At: at, StaffNumber: "B9"}, byB)
		if !errors.Is(err, identity.ErrNotFound) || strings.ReplaceAll(err.Error(), string(p.ID), "p999") != none.Error() {
			t.Errorf("%v\n%v", err, none)
		}
		x := f.add(t, a, identity.Transfer{Person: p.ID, Kind: identity.TransferMove, To: townB, At: at, Section: "税務課"})
		if x.From != townA || x.State != identity.TransferPlanned || x.AcceptedAt != 0 || x.Late || !slices.Equal(f.queue.activations, []int64{at}) {
			t.Fatalf("%+v, %v", x, f.queue.activations)
		}
		if list, err := f.Transfers(t.Context(), bRead, TransferFilter{}); err != nil || len(list) != 1 || list[0].Name != "佐藤 花子" || list[0].RecordedBy != "" {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := f.AcceptTransfer(t.Context(), b, x.ID, Arrival{}, byB); !errors.Is(err, ErrTransfer) {
			t.Errorf("without a staff number: %v", err)
		}
		if _, err := f.AcceptTransfer(t.Context(), b, x.ID, Arrival{StaffNumber: "B9", Title: "主査", Email: "sato@b.example.lg.jp"}, byB); err != nil {
			t.Fatal(err)
		}
		if got := f.activate(t); got != (Activated{}) || f.find(t, townA, "A1").Org != townA {
			t.Fatal("effective before its date")
		}
		f.to(at)
		if got := f.activate(t); got.Done != 1 {
			t.Fatalf("%+v", got)
		}
		if got := f.activate(t); got != (Activated{}) {
			t.Fatalf("twice: %+v", got)
		}
		q := f.find(t, townB, "B9")
		if q.ID != p.ID || q.Section != "税務課" || q.Title != "主査" || q.Email != "sato@b.example.lg.jp" || q.Role != policies.RoleGeneral {
			t.Errorf("%+v", q)
		}
		// Each town reads its own side of it.
		aRead := f.actor(t, f.find(t, townA, "A0"), policies.ActionPeopleRead, townA)
		for _, side := range []struct {
			scope policies.Scope
			kind  ChangeKind
			other string
		}{{aRead, PersonMovedOut, "税務課"}, {bRead, PersonMovedIn, "a1@a"}} {
			list, err := f.Changes(t.Context(), side.scope, 0, MaxPage)
			if err != nil {
				t.Fatal(err)
			}
			var kinds []ChangeKind
			for _, c := range list {
				kinds = append(kinds, c.Kind)
				if c.Org != townA && c.Org != townB || strings.Contains(string(c.Before)+string(c.After), side.other) && c.Kind != PersonAdded {
					t.Errorf("%+v", c)
				}
			}
			if !slices.Contains(kinds, side.kind) || !slices.Contains(kinds, TransferDone) {
				t.Errorf("%v", kinds)
			}
		}
		assertGapless(t, f)
	})
}

// Secondment keeps the home post, the handover the former one; the planned return brings back what was.
func TestSecondmentAndReturn(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		p := f.find(t, townA, "A1")
		x := f.add(t, everything, identity.Transfer{
			Person: p.ID, Kind: identity.TransferSecond, To: townB, StaffNumber: "B7", At: day("2027-04-01"), ReturnAt: day("2028-04-01"),
			HandoverUntil: day("2027-04-15"), Email: "s@b.example.lg.jp",
		})
		f.to(day("2027-04-02"))
		f.activate(t)
		posts, err := f.Posts(t.Context(), everything, p.ID)
		if err != nil || len(posts) != 2 || posts[0].Until+posts[1].Until != day("2027-04-15") || f.find(t, townB, "B7").ID != p.ID {
			t.Fatalf("%+v, %v", posts, err)
		}
		f.to(day("2028-04-01"))
		if got := f.activate(t); got.Done != 1 {
			t.Fatalf("%+v", got)
		}
		q := f.find(t, townA, "A1")
		q.UpdatedAt = p.UpdatedAt
		if q != p {
			t.Errorf("came back as %+v, was %+v", q, p)
		}
		if posts, err = f.Posts(t.Context(), everything, p.ID); err != nil || slices.ContainsFunc(posts, func(o identity.Post) bool { return o.Until == 0 }) {
			t.Errorf("%+v, %v", posts, err)
		}
		if got := f.transferOf(t, x.ID); got.State != identity.TransferDone {
			t.Errorf("%+v", got)
		}
	})
}

func TestConcurrentPostAndRelease(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		p := f.find(t, townA, "A1")
		f.add(t, everything, identity.Transfer{Person: p.ID, Kind: identity.TransferConcurrent, To: townB, Section: "防災課", At: day("2027-02-01")})
		b := f.actor(t, f.find(t, townB, "B0"), policies.ActionPeopleWrite, townB)
		x := f.add(t, b, identity.Transfer{Person: p.ID, Kind: identity.TransferRelease, To: townB, At: day("2027-04-01")})
		again := f.add(t, b, identity.Transfer{Person: p.ID, Kind: identity.TransferRelease, To: townB, At: day("2027-05-01")})
		f.to(day("2027-06-01"))
		f.activate(t)
		posts, err := f.Posts(t.Context(), everything, p.ID)
		if err != nil || len(posts) != 1 || posts[0].Until != day("2027-04-01") || posts[0].Section != "防災課" {
			t.Errorf("%+v, %v", posts, err)
		}
		if f.transferOf(t, x.ID).State != identity.TransferDone || f.transferOf(t, again.ID).Reason != identity.ReasonNoPost {
			t.Errorf("%+v", f.transferOf(t, again.ID))
		}
	})
}

// PersonNamed finds who logs in: in service, by the address in any case, and nobody by what can't be an address.
func TestPersonNamed(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		p := f.find(t, townA, "A1")
		for _, name := range []string{p.Email, strings.ToUpper(p.Email), " " + p.Email + "\n"} {
			if id, err := f.PersonNamed(t.Context(), name); err != nil || id != p.ID {
				t.Errorf("%q: %s, %v", name, id, err)
			}
		}
		if err := f.EndPerson(t.Context(), everything, p.ID, tester); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{p.Email, "", "\x00", "\xff", "%", "' OR 1=1 --"} {
			if id, err := f.PersonNamed(t.Context(), name); !errors.Is(err, identity.ErrNotFound) || id != "" {
				t.Errorf("%q: %s, %v", name, id, err)
			}
		}
	})
}

// Held is what a login offers to act in: the posts in force at a moment, of organizations that exist, and not the home post of a secondment.
func TestHeldPosts(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		p := f.find(t, townA, "A1")
		f.add(t, everything, identity.Transfer{Person: p.ID, Kind: identity.TransferConcurrent, To: townB, Section: "防災課", At: day("2027-02-01")})
		b := f.actor(t, f.find(t, townB, "B0"), policies.ActionPeopleWrite, townB)
		f.add(t, b, identity.Transfer{Person: p.ID, Kind: identity.TransferRelease, To: townB, At: day("2027-04-01")})
		f.to(day("2027-06-01"))
		f.activate(t)
		for at, want := range map[string]int{"2027-01-31": 0, "2027-02-01": 1, "2027-03-31": 1, "2027-04-01": 0} {
			posts, orgs, err := f.Held(t.Context(), p.ID, day(at))
			if err != nil || len(posts) != want || len(orgs) != want {
				t.Errorf("%s: %+v, %+v, %v", at, posts, orgs, err)
			}
			if want == 1 && (posts[0].Org != townB || orgs[0].ID != townB || posts[0].Section != "防災課" || posts[0].Role != policies.RoleGeneral) {
				t.Errorf("%+v of %+v", posts[0], orgs[0])
			}
		}
		s := f.find(t, townA, "A2")
		f.add(t, everything, identity.Transfer{Person: s.ID, Kind: identity.TransferSecond, To: townB, At: day("2027-06-02"), StaffNumber: "S9", ReturnAt: day("2027-12-01")})
		f.to(day("2027-06-03"))
		f.activate(t)
		if all, err := f.Posts(t.Context(), everything, s.ID); err != nil || len(all) != 1 || all[0].Kind != identity.PostHome {
			t.Fatalf("%+v, %v", all, err)
		}
		if posts, _, err := f.Held(t.Context(), s.ID, day("2027-06-03")); err != nil || len(posts) != 0 {
			t.Errorf("a seconded person may act at home: %+v, %v", posts, err)
		}
	})
}

// Late entries take effect at once and are flagged; one that a later date has overtaken changes only what that left alone.
func TestLateAndBackdated(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		p := f.find(t, townA, "A1")
		f.to(day("2027-04-10"))
		late := f.add(t, everything, identity.Transfer{Person: p.ID, Kind: identity.TransferMove, Section: "福祉課", At: day("2027-04-05")})
		if !late.Late || late.State != identity.TransferDone || f.find(t, townA, "A1").Section != "福祉課" {
			t.Fatalf("%+v", late)
		}
		early := f.add(t, everything, identity.Transfer{Person: p.ID, Kind: identity.TransferMove, Section: "土木課", Title: "係長", At: day("2027-04-01")})
		if q := f.find(t, townA, "A1"); early.State != identity.TransferDone || q.Section != "福祉課" || q.Title != "係長" {
			t.Errorf("%+v, %+v", early, q)
		}
		gone := f.add(t, everything, identity.Transfer{Person: p.ID, Kind: identity.TransferLeave, At: day("2027-04-01")})
		if gone.State != identity.TransferBlocked || gone.Reason != identity.ReasonOvertaken || len(f.queue.notices) != 1 {
			t.Errorf("%+v, %v", gone, f.queue.notices)
		}
	})
}

// Numbers and addresses go round in circles at one midnight, over chunks too; what collides is blocked and nothing of it happens.
func TestSwapsAndCollisions(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		at := day("2027-04-01")
		a1, a2, b1 := f.find(t, townA, "A1"), f.find(t, townA, "A2"), f.find(t, townB, "B1")
		move := func(p identity.Person, to policies.OrgID, number, email string) identity.Transfer {
			return f.add(t, everything, identity.Transfer{Person: p.ID, Kind: identity.TransferMove, To: to, StaffNumber: number, Email: email, At: at})
		}
		move(a1, townB, "B1", b1.Email)
		move(b1, townA, "A2", a2.Email)
		move(a2, townA, "A1", a1.Email)
		lost := move(f.find(t, townA, "A0"), townA, "A1", "")                   // a2 was first
		kept := move(f.find(t, townB, "B0"), townB, "D0", "D0@d.example.go.jp") // somebody keeps the address
		f.to(at)
		if got := f.activate(t); got != (Activated{Done: 3, Blocked: 2}) {
			t.Fatalf("%+v", got)
		}
		if f.find(t, townB, "B1").ID != a1.ID || f.find(t, townA, "A2").ID != b1.ID || f.find(t, townA, "A1").ID != a2.ID {
			t.Error("the circle is broken")
		}
		if x, y := f.transferOf(t, lost.ID), f.transferOf(t, kept.ID); x.Reason != identity.ReasonStaffNumber || y.Reason != identity.ReasonEmail {
			t.Errorf("%+v, %+v", x, y)
		}
		if p := f.find(t, townB, "B0"); p.Email != "b0@b.example.lg.jp" {
			t.Errorf("half applied: %+v", p)
		}
		if len(f.queue.notices) != 2 {
			t.Errorf("%+v", f.queue.notices)
		}
		assertGapless(t, f)
	})
}

func TestTransferToUnknownOrganization(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		p := f.find(t, townA, "A1")
		before := len(f.changes(t))
		for _, x := range []identity.Transfer{{To: "012025"}, {To: "nowhere"}, {To: "011011"}} {
			x.Person, x.Kind, x.At, x.StaffNumber = p.ID, identity.TransferMove, day("2027-04-01"), "N1"
			_, err := f.AddTransfer(t.Context(), everything, x, tester)
			if want := map[bool]error{true: ErrTransfer, false: identity.ErrNotFound}[x.To == "011011"]; !errors.Is(err, want) {
				t.Errorf("%s: %v", x.To, err)
			}
		}
		if len(f.changes(t)) != before || len(f.queue.activations) != 0 {
			t.Error("something was recorded")
		}
	})
}

// The only administrator goes: refused until somebody is named; a leaver never is.
func TestLastAdministrator(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		at := day("2027-04-01")
		a0, a1, b1 := f.find(t, townA, "A0"), f.find(t, townA, "A1"), f.find(t, townB, "B1")
		scope := f.actor(t, a0, policies.ActionPeopleWrite, townA)
		by := Author{Actor: scope.Actor()}
		for _, x := range []identity.Transfer{
			{Kind: identity.TransferMove, To: townB},
			{Kind: identity.TransferSecond, To: townB},
			{Kind: identity.TransferRole, Role: policies.RoleGeneral},
		} {
			x.Person, x.At = a0.ID, at
			if _, err := f.AddTransfer(t.Context(), scope, x, by); !errors.Is(err, ErrLastAdministrator) || !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%+v: %v", x, err)
			}
		}
		x := f.add(t, scope, identity.Transfer{Person: a0.ID, Kind: identity.TransferRole, Role: policies.RoleGeneral, At: at, Successor: a1.ID})
		// The successor is relied on: they can't go either, nor can a stranger be named.
		if _, err := f.AddTransfer(t.Context(), scope, identity.Transfer{Person: a1.ID, Kind: identity.TransferRole, Role: policies.RoleGeneral, At: at + 1}, by); !errors.Is(err, ErrLastAdministrator) {
			t.Error(err)
		}
		f.to(at)
		f.activate(t)
		if f.find(t, townA, "A0").Role != policies.RoleGeneral || f.find(t, townA, "A1").Role != policies.RoleAdministrator || f.transferOf(t, x.ID).State != identity.TransferDone {
			t.Fatal("no succession")
		}
		scope = f.actor(t, a1, policies.ActionPeopleWrite, townA)
		by = Author{Actor: scope.Actor()}
		// A caretaker of another town will do, for as long as they are appointed.
		if err := f.Appoint(t.Context(), scope, identity.Appointment{Org: townA, Kind: identity.AppointmentCaretaker, Person: b1.ID, Until: at + 1000}, by); err != nil {
			t.Fatal(err)
		}
		role := identity.Transfer{Person: a1.ID, Kind: identity.TransferRole, Role: policies.RoleGeneral, At: at + 10}
		if _, err := f.AddTransfer(t.Context(), scope, role, by); !errors.Is(err, ErrLastAdministrator) {
			t.Errorf("a caretaker who goes isn't enough: %v", err)
		}
		if err := f.Appoint(t.Context(), scope, identity.Appointment{Org: townA, Kind: identity.AppointmentCaretaker, Person: f.find(t, townB, "B0").ID, From: at + 500}, by); err != nil {
			t.Fatal(err)
		}
		f.add(t, scope, role)
		f.to(at + 20)
		f.activate(t)
		if v, err := f.Vacancies(t.Context(), everything); err != nil || len(v) != 0 || len(f.queue.notices) != 0 {
			t.Errorf("%+v, %v", v, err)
		}
		// A caretaker leaves the service, and then the other one: the town is alone, and the system administrator told.
		f.to(at + 2000)
		f.activate(t)
		if err := f.EndPerson(t.Context(), everything, f.find(t, townB, "B0").ID, tester); err != nil {
			t.Fatal(err)
		}
		v, err := f.Vacancies(t.Context(), everything)
		if err != nil || len(v) != 2 || len(f.queue.notices) != 2 {
			t.Fatalf("%+v, %v, %+v", v, err, f.queue.notices)
		}
		if err := f.Appoint(t.Context(), everything, identity.Appointment{Org: townA, Kind: identity.AppointmentCaretaker, Person: b1.ID}, tester); err != nil {
			t.Fatal(err)
		}
		f.add(t, everything, identity.Transfer{Person: b1.ID, Kind: identity.TransferRole, Role: policies.RoleAdministrator, At: at + 1})
		if v, err := f.Vacancies(t.Context(), everything); err != nil || len(v) != 0 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// A leaver with a date: never refused; flagged in the transaction that ends them; what was planned for them is cancelled.
func TestLastAdministratorLeaves(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		at := day("2027-03-31")
		a0 := f.find(t, townA, "A0")
		leave := f.add(t, everything, identity.Transfer{Person: a0.ID, Kind: identity.TransferLeave, At: at})
		planned := f.add(t, everything, identity.Transfer{Person: a0.ID, Kind: identity.TransferMove, Section: "再任用", At: at + 5})
		f.to(at + 1)
		f.activate(t)
		if l := f.queue.leavers; len(l) != 1 || l[0].Person != a0.ID || l[0].At != at {
			t.Errorf("%+v", l)
		}
		if p := f.find(t, townA, "A0"); p.EndedAt != at {
			t.Errorf("%+v", p)
		}
		if x, y := f.transferOf(t, leave.ID), f.transferOf(t, planned.ID); x.State != identity.TransferDone || y.State != identity.TransferCancelled || y.Reason != identity.ReasonEnded {
			t.Errorf("%+v %+v", x, y)
		}
		v, err := f.Vacancies(t.Context(), everything)
		if err != nil || len(v) != 1 || v[0].Org != townA || v[0].Since != at || len(f.queue.notices) != 1 || f.queue.notices[0].Kind != identity.NoticeVacancy {
			t.Errorf("%+v, %v, %+v", v, err, f.queue.notices)
		}
		// Told once.
		f.activate(t)
		if len(f.queue.notices) != 1 {
			t.Errorf("%+v", f.queue.notices)
		}
		if _, err := f.AddPerson(t.Context(), everything, identity.Person{Org: townA, StaffNumber: "A9", FamilyName: "新", Email: "a9@a.example.lg.jp", Role: policies.RoleAdministrator}, tester); err != nil {
			t.Fatal(err)
		}
		if v, err = f.Vacancies(t.Context(), everything); err != nil || len(v) != 0 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// The agency needs two system administrators: nobody approves their own plan.
func TestAgencyKeepsTwo(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		d0 := f.find(t, "8000012010038", "D0")
		x := identity.Transfer{Person: d0.ID, Kind: identity.TransferRole, Role: policies.RoleAdministrator, At: day("2027-04-01")}
		if _, err := f.AddTransfer(t.Context(), everything, x, tester); !errors.Is(err, ErrLastAdministrator) {
			t.Error(err)
		}
		if err := f.Appoint(t.Context(), everything, identity.Appointment{Org: d0.Org, Kind: identity.AppointmentCaretaker, Person: f.find(t, townA, "A0").ID}, tester); !errors.Is(err, ErrAppointment) {
			t.Error(err)
		}
		if err := f.EndPerson(t.Context(), everything, d0.ID, tester); err != nil {
			t.Fatal(err)
		}
		if v, err := f.Vacancies(t.Context(), everything); err != nil || len(v) != 1 || v[0].Org != d0.Org {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// Under embargo an unnamed administrator, system administrator or break-glass finds nothing, and is answered as if there were nothing.
func TestEmbargo(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		ctx, at := t.Context(), day("2027-04-01")
		a0, a1, a2 := f.find(t, townA, "A0"), f.find(t, townA, "A1"), f.find(t, townA, "A2")
		write := f.actor(t, a0, policies.ActionPeopleWrite, townA)
		x := f.add(t, write, identity.Transfer{Person: a1.ID, Kind: identity.TransferMove, Section: "内示の課", At: at, Embargo: true, Named: []policies.PersonID{a2.ID}})
		if !slices.Equal(x.Named, []policies.PersonID{a0.ID, a2.ID}) {
			t.Errorf("%v", x.Named)
		}
		see := func(p identity.Person, orgs ...policies.OrgID) (n int) {
			t.Helper()
			scope := f.actor(t, p, policies.ActionPeopleRead, orgs...)
			list, err := f.Transfers(ctx, scope, TransferFilter{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Transfer(ctx, scope, x.ID)
			_, none := f.Transfer(ctx, scope, "tnone")
			if (err == nil) != (len(list) == 1) || err != nil && strings.ReplaceAll(err.Error(), string(x.ID), "tnone") != none.Error() {
				t.Errorf("%v, %v", list, err)
			}
			seen := 0
			changes, err := f.Changes(ctx, scope, 0, MaxPage)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				if c.Object == string(x.ID) {
					seen++
				}
			}
			if err := f.PeopleAt(ctx, scope, at, func(p identity.Person) error {
				if p.Section == "内示の課" {
					seen++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if (seen >= 2) != (len(list) == 1) || seen == 1 {
				t.Errorf("%s saw %d traces", p.ID, seen)
			}
			return len(list)
		}
		d0 := f.find(t, "8000012010038", "D0")
		if see(a0, townA) != 1 || see(a2, townA) != 1 || see(a1, townA) != 0 || see(d0, townA, townB) != 0 {
			t.Error("the embargo is broken, or the named people see nothing")
		}
		other := f.actor(t, d0, policies.ActionPeopleWrite, townA, townB)
		if err := f.CancelTransfer(ctx, other, x.ID, Author{Actor: other.Actor()}); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		glass := breakGlass(t, policies.ActionPeopleRead)
		if list, err := f.Transfers(ctx, glass, TransferFilter{}); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		glass = breakGlass(t, policies.ActionPeopleWrite)
		if _, err := f.AddTransfer(ctx, glass, identity.Transfer{Person: a1.ID, Kind: identity.TransferMove, Title: "x", At: at, Embargo: true}, Author{Actor: glass.Actor()}); !errors.Is(err, identity.ErrRefused) {
			t.Error(err)
		}
		// What is cancelled is never announced; the rest is at its date.
		y := f.add(t, write, identity.Transfer{Person: a2.ID, Kind: identity.TransferMove, Section: "別の課", At: at, Embargo: true})
		if err := f.CancelTransfer(ctx, write, y.ID, Author{Actor: write.Actor()}); err != nil {
			t.Fatal(err)
		}
		f.to(at)
		f.activate(t)
		scope := f.actor(t, a1, policies.ActionPeopleRead, townA)
		list, err := f.Transfers(ctx, scope, TransferFilter{})
		if err != nil || len(list) != 1 || list[0].ID != x.ID {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestTransfersPage(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		p := f.find(t, townA, "A1")
		for i := range 7 {
			kind, role := identity.TransferMove, policies.Role("")
			if i%2 == 1 {
				kind, role = identity.TransferRole, policies.RoleGeneral
			}
			f.add(t, everything, identity.Transfer{Person: p.ID, Kind: kind, Role: role, Title: fmt.Sprint(i), At: day("2027-04-01") + int64(i/2)})
		}
		var got []identity.Transfer
		filter := TransferFilter{Limit: 3}
		for {
			page, err := f.Transfers(t.Context(), everything, filter)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if len(page) < 3 {
				break
			}
			filter.After = TransferCursor(page[len(page)-1])
		}
		if len(got) != 7 || !slices.IsSortedFunc(got, func(a, b identity.Transfer) int { return int(a.At - b.At) }) {
			t.Errorf("%d", len(got))
		}
		for _, after := range []string{"x", "12", ":", "'--"} {
			if _, err := f.Transfers(t.Context(), everything, TransferFilter{After: after}); !errors.Is(err, ErrCursor) {
				t.Errorf("%q: %v", after, err)
			}
		}
		if list, err := f.Transfers(t.Context(), everything, TransferFilter{Org: townB}); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// The number of the newest change doesn't tell of a transfer under embargo, nor, who reads organizations alone, of people.
func TestLastChangeTellsNothing(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		admin := f.actor(t, f.find(t, townA, "A0"), policies.ActionPeopleRead, townA)
		reader := f.actor(t, f.find(t, townA, "A0"), policies.ActionOrgRead, townA)
		newest := func(s policies.Scope) int64 {
			t.Helper()
			n, err := f.LastChange(t.Context(), s)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			return n
		}
		people, orgs, all := newest(admin), newest(reader), newest(everything)
		if orgs >= people {
			t.Errorf("who reads organizations alone is told of change %d, people's last is %d", orgs, people)
		}
		_, err := f.AddTransfer(t.Context(), everything, identity.Transfer{Person: f.find(t, townA, "A1").ID, Kind: identity.TransferLeave, At: day("2027-04-01"), Embargo: true}, tester)
		if err != nil {
			t.Fatal(err)
		}
		if a, b, c := newest(admin), newest(reader), newest(everything); a != people || b != orgs || c <= all {
			t.Errorf("%d, %d, %d; before %d, %d, %d", a, b, c, people, orgs, all)
		}
	})
}
