package directory

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// traces asks every reading method as the viewer and gives all that comes back, without the numbers of the feed, which may have holes.
func traces(t *rapid.T, f *fixture, read, write policies.Scope, people []identity.Person, at int64) string {
	var b strings.Builder
	ctx := f.ctx
	tell := func(what string, v any, err error) { fmt.Fprintf(&b, "%s: %+v, %v\n", what, v, err) }
	list, err := f.Transfers(ctx, read, TransferFilter{})
	tell("transfers", list, err)
	for _, id := range []identity.TransferID{"tsecret0001", "tsecret0002", "tsecret0003"} {
		x, err := f.Transfer(ctx, read, id)
		tell("transfer", x, err)
		tell("cancel", nil, f.CancelTransfer(ctx, write, id, Author{Actor: write.Actor()}))
		_, err = f.AcceptTransfer(ctx, write, id, Arrival{StaffNumber: "N"}, Author{Actor: write.Actor()})
		tell("accept", nil, err)
	}
	changes, err := f.Changes(ctx, read, 0, MaxPage)
	for i := range changes {
		changes[i].Number = int64(i)
		tell("change", fmt.Sprintf("%+v %s %s", changes[i].Author, changes[i].Before, changes[i].After), err)
		tell("change", []any{changes[i].Kind, changes[i].Org, changes[i].Object}, err)
	}
	left, err := f.ExportTransfers(ctx, read, "", func(r TransferRow) error { tell("exported", r, nil); return nil })
	tell("export leaves out", left, err)
	counts, err := f.Counts(ctx, read)
	tell("counts", counts, err)
	per, err := f.PeoplePerOrg(ctx, read)
	tell("per", per, err)
	who, err := f.People(ctx, read, PeopleFilter{IncludeEnded: true})
	tell("people", who, err)
	for _, p := range people {
		posts, err := f.Posts(ctx, read, p.ID)
		tell("posts", posts, err)
	}
	vacant, err := f.Vacancies(ctx, read)
	tell("vacant", vacant, err)
	appointed, err := f.Appointments(ctx, read, AppointmentFilter{})
	tell("appointed", appointed, err)
	for _, p := range people {
		then, posts, err := f.PersonAt(ctx, read, p.ID, at+1)
		tell("then one", []any{then, posts}, err)
	}
	err = f.PeopleAt(ctx, read, at+1, func(p identity.Person) error { tell("then", p, nil); return nil })
	tell("then", nil, err)
	return b.String()
}

// Non-interference: two directories in which the same happens, but for transfers under embargo that only one of them has, can't be told apart
// by anybody who isn't named: not a town's administrator on either side, not a system administrator, not break-glass; by no method,
// no refusal and no error text, and not by what happens to their own work either.
func TestEmbargoIsNotToBeFoundOut(t *testing.T) {
	eachTransfer(t, func(t *testing.T, with *fixture) {
		without := newFixture(t, openTwin(t, with))
		without.load(t, someOrgs, transferPeople)
		without.to(day("2027-03-01"))
		at := day("2027-04-01")
		n := 0
		for _, f := range []*fixture{with, without} {
			if _, err := f.AddPerson(t.Context(), everything, identity.Person{ID: "padmin", Org: townA, StaffNumber: "A8", FamilyName: "副", Email: "a8@a.example.lg.jp", Role: policies.RoleAdministrator}, tester); err != nil {
				t.Fatal(err)
			}
		}
		rapid.Check(t, func(r *rapid.T) {
			if n++; n > fewer && with.db.Engine() == sqldb.PostgreSQL {
				return
			}
			people := []identity.Person{with.find(t, townA, "A1"), with.find(t, townA, "A2"), with.find(t, townA, "A0"), with.find(t, townB, "B1"), with.find(t, townB, "B0"), with.find(t, townA, "A8")}
			with.ctx, without.ctx = t.Context(), t.Context()
			// The secret ones, in one of the two worlds, named to nobody who looks.
			with.Store.newID = func() policies.PersonID { return policies.PersonID(fmt.Sprintf("psecret%04d", n)) }
			p := rapid.SampledFrom(people).Draw(r, "secret person")
			secret := identity.Transfer{Person: p.ID, At: at, Embargo: true, Kind: rapid.SampledFrom([]identity.TransferKind{identity.TransferMove, identity.TransferLeave, identity.TransferRole}).Draw(r, "secret kind")}
			switch secret.Kind {
			case identity.TransferMove:
				if rapid.Bool().Draw(r, "secret crossing") {
					secret.To = map[policies.OrgID]policies.OrgID{townA: townB, townB: townA}[p.Org]
				}
				secret.StaffNumber = "SECRET" + fmt.Sprint(n%3)
				secret.Section = "極秘課"
			case identity.TransferRole:
				secret.Role = rapid.SampledFrom([]policies.Role{policies.RoleAdministrator, policies.RoleGeneral}).Draw(r, "secret role")
			}
			_, err := with.AddTransfer(with.ctx, everything, secret, tester)
			if err != nil && !errors.Is(err, ErrLastAdministrator) && !errors.Is(err, identity.ErrExists) {
				r.Fatal(err)
			}
			with.Store.newID = func() policies.PersonID { return policies.PersonID(fmt.Sprintf("popen%05d", n)) }
			without.Store.newID = with.Store.newID
			// What the unnamed viewer does in both worlds.
			who := rapid.SampledFrom([]string{"a", "b", "sys", "glass"}).Draw(r, "viewer")
			var read, write policies.Scope
			switch who {
			case "a":
				read, write = with.actor(t, people[2], policies.ActionPeopleRead, townA), with.actor(t, people[2], policies.ActionPeopleWrite, townA)
			case "b":
				read, write = with.actor(t, people[4], policies.ActionPeopleRead, townB), with.actor(t, people[4], policies.ActionPeopleWrite, townB)
			case "sys":
				d := with.find(t, "8000012010038", "D0")
				read, write = with.actor(t, d, policies.ActionPeopleRead, townA, townB), with.actor(t, d, policies.ActionPeopleWrite, townA, townB)
			default:
				read, write = breakGlass(t, policies.ActionPeopleRead), breakGlass(t, policies.ActionPeopleWrite)
			}
			own := identity.Transfer{
				Person: rapid.SampledFrom(people).Draw(r, "person").ID, At: at + int64(rapid.IntRange(-5, 5).Draw(r, "at")),
				Kind:        rapid.SampledFrom(append(identity.TransferKinds(), identity.TransferRole, identity.TransferRole)).Draw(r, "kind"),
				To:          rapid.SampledFrom([]policies.OrgID{"", townA, townB}).Draw(r, "to"),
				StaffNumber: rapid.SampledFrom([]string{"", "SECRET0", "SECRET1", "B1"}).Draw(r, "number"),
				Role:        rapid.SampledFrom([]policies.Role{"", policies.RoleGeneral, policies.RoleAdministrator}).Draw(r, "role"),
			}
			var seen [2]string
			for i, f := range []*fixture{with, without} {
				x, err := f.AddTransfer(f.ctx, write, own, Author{Actor: write.Actor(), Source: "test"})
				seen[i] = fmt.Sprintf("%+v, %v\n", x, err) + traces(r, f, read, write, people, at)
			}
			if seen[0] != seen[1] {
				a, b := strings.Split(seen[0], "\n"), strings.Split(seen[1], "\n")
				for i := range a {
					if i >= len(b) || a[i] != b[i] {
						r.Fatalf("%s can tell:\nwith    %s\nwithout %s", who, a[i], b[min(i, len(b)-1)])
					}
				}
			}
			if strings.Contains(seen[0], "極秘課") {
				r.Fatal("the secret is out")
			}
		})
	})
}

// model is what transfers inside one town do, said as simply as can be.
type model struct {
	number map[policies.PersonID]string
	state  map[identity.TransferID]identity.TransferState
	all    []identity.Transfer
}

// run lets everything take effect that is due, instant by instant.
func (m *model) run(now int64) {
	for {
		var batch []identity.Transfer
		for _, t := range m.all {
			if m.state[t.ID] == identity.TransferPlanned && t.At <= now && (batch == nil || t.At <= batch[0].At) {
				if batch != nil && t.At < batch[0].At {
					batch = nil
				}
				batch = append(batch, t)
			}
		}
		if batch == nil {
			return
		}
		m.instant(batch)
	}
}

// instant: the largest set of moves in which nobody gets a number that somebody keeps; of rivals the first.
func (m *model) instant(batch []identity.Transfer) {
	for again := true; again; {
		again = false
		claimed := map[string]bool{}
		leaving := map[policies.PersonID]bool{}
		for _, t := range batch {
			leaving[t.Person] = t.StaffNumber != m.number[t.Person]
		}
		drop := -1
		for i, t := range batch {
			for p, n := range m.number {
				if n == t.StaffNumber && p != t.Person && !leaving[p] {
					drop = i
				}
			}
			if drop >= 0 {
				break
			}
		}
		if drop < 0 {
			for i, t := range batch {
				if claimed[t.StaffNumber] {
					drop = i
					break
				}
				claimed[t.StaffNumber] = true
			}
		}
		if drop >= 0 {
			m.state[batch[drop].ID] = identity.TransferBlocked
			batch = slices.Delete(slices.Clone(batch), drop, drop+1)
			again = true
		}
	}
	for _, t := range batch {
		m.number[t.Person] = t.StaffNumber
		m.state[t.ID] = identity.TransferDone
	}
}

// Any interleaving of recording, cancelling, time and activation, cut off at any transaction, comes to what the model says, and each transfer
// is effective at most once.
func TestTransfersFollowTheModel(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		var people []identity.Person
		for i := range 5 {
			p, err := f.AddPerson(t.Context(), everything, identity.Person{Org: townB, StaffNumber: fmt.Sprint("M", i), FamilyName: "模", Email: fmt.Sprintf("m%d@b.example.lg.jp", i), Role: policies.RoleGeneral}, tester)
			if err != nil {
				t.Fatal(err)
			}
			people = append(people, p)
		}
		runs := 0
		m := &model{number: map[policies.PersonID]string{}, state: map[identity.TransferID]identity.TransferState{}}
		rapid.Check(t, func(r *rapid.T) {
			if runs++; runs > fewer && f.db.Engine() == sqldb.PostgreSQL {
				return
			}
			f.activate(t) // what a failed check has left
			for _, p := range people {
				q, err := f.Person(t.Context(), everything, p.ID)
				if err != nil {
					r.Fatal(err)
				}
				m.number[p.ID] = q.StaffNumber
			}
			m.all = nil
			for range rapid.IntRange(1, 12).Draw(r, "steps") {
				switch rapid.SampledFrom([]string{"add", "add", "add", "cancel", "time", "crash"}).Draw(r, "do") {
				case "add":
					p := rapid.SampledFrom(people).Draw(r, "person")
					x, err := f.AddTransfer(t.Context(), everything, identity.Transfer{
						Person: p.ID, Kind: identity.TransferMove, At: f.micros() + int64(rapid.IntRange(1, 3).Draw(r, "in")),
						StaffNumber: fmt.Sprint("M", rapid.IntRange(0, 5).Draw(r, "number")),
					}, tester)
					if errors.Is(err, identity.ErrExists) {
						continue
					}
					if err != nil {
						r.Fatal(err)
					}
					m.all = append(m.all, x)
					m.state[x.ID] = identity.TransferPlanned
				case "cancel":
					if len(m.all) == 0 {
						continue
					}
					x := rapid.SampledFrom(m.all[max(0, len(m.all)-10):]).Draw(r, "transfer")
					err := f.CancelTransfer(t.Context(), everything, x.ID, tester)
					if open := m.state[x.ID] == identity.TransferPlanned || m.state[x.ID] == identity.TransferBlocked; open != (err == nil) {
						r.Fatalf("cancel %s, which is %s: %v", x.ID, m.state[x.ID], err)
					} else if open {
						m.state[x.ID] = identity.TransferCancelled
					}
				case "crash": // in the middle of an activation: the queue fails, or the process is cut off
					f.clock.micros.Add(1)
					f.queue.mu.Lock()
					f.queue.fail = errors.New("cut off")
					f.queue.mu.Unlock()
					_, _ = f.Activate(t.Context())
					f.queue.mu.Lock()
					f.queue.fail = nil
					f.queue.mu.Unlock()
					f.activate(t)
					m.run(f.micros())
				default:
					f.clock.micros.Add(int64(rapid.IntRange(1, 2).Draw(r, "by")))
					f.activate(t)
					m.run(f.micros())
				}
			}
			f.clock.micros.Add(10)
			f.activate(t)
			m.run(f.micros())
			got := map[policies.PersonID]string{}
			for _, p := range people {
				q, err := f.Person(t.Context(), everything, p.ID)
				if err != nil {
					r.Fatal(err)
				}
				got[p.ID] = q.StaffNumber
			}
			if !maps.Equal(got, m.number) {
				r.Fatalf("numbers %v, want %v", got, m.number)
			}
			for _, x := range m.all {
				y, err := f.Transfer(t.Context(), everything, x.ID)
				if err != nil || y.State != m.state[x.ID] {
					r.Fatalf("%+v, want %s, %v", y, m.state[x.ID], err)
				}
			}
			m.all = nil
			var twice int
			err := f.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM (SELECT object FROM feed WHERE kind = 'transfer.done' GROUP BY object HAVING COUNT(*) > 1) d").Scan(&twice)
			if err != nil || twice != 0 {
				r.Fatalf("%d took effect twice, %v", twice, err)
			}
		})
		assertGapless(t, f)
	})
}
