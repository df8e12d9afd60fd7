package directory

import (
	"context"
	"database/sql"
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

// fewer is how many random sequences of a property PostgreSQL gets, where each takes several times as long. SQLite gets all 100, and the code
// under test is the same but for what the database makes of one statement.
const fewer = 40

// world drives a store and a model of it side by side.
type world struct {
	*fixture
	t       *rapid.T
	people  map[string]identity.Person // by organization and staff number; without ids and times
	cursor  int64                      // of a reader of the feed
	read    []Change
	leavers int
}

func modelKey(org policies.OrgID, number string) string { return string(org) + "/" + number }

func modelled(p identity.Person) identity.Person {
	p.ID, p.UpdatedAt = "", 0
	if p.EndedAt != 0 {
		p.EndedAt = 1
	}
	return p
}

// Any interleaving of imports, single writes, settling and reading gives what a model gives that has no staging: the people, at every step; a
// feed that a cursor reads without a gap, in order, nothing twice; a leaver each for those who leave.
func TestGenerations(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := killStore(t, db, nil)
		f.load(t, someOrgs, "")
		runs := 0
		rapid.Check(t, func(t *rapid.T) {
			if runs++; runs > fewer && db.Engine() == sqldb.PostgreSQL {
				return
			}
			w := &world{fixture: f, t: t, people: map[string]identity.Person{}}
			w.reset()
			t.Repeat(map[string]func(*rapid.T){
				"add":    func(t *rapid.T) { w.t = t; w.add() },
				"edit":   func(t *rapid.T) { w.t = t; w.edit() },
				"end":    func(t *rapid.T) { w.t = t; w.end() },
				"import": func(t *rapid.T) { w.t = t; w.publishSome() },
				"settle": func(t *rapid.T) { w.t = t; w.settleSome() },
				"read":   func(t *rapid.T) { w.t = t; w.follow() },
				"":       func(t *rapid.T) { w.t = t; w.check() },
			})
			w.must(w.Store.settleAll(context.Background(), func(int64, int64, string) {}))
			w.check()
			for before := -1; before != len(w.read); {
				before = len(w.read)
				w.follow()
			}
			w.checkFeed()
		})
	})
}

func (w *world) must(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// reset empties the directory of people, and the feed.
func (w *world) reset() {
	for _, text := range []string{
		"DELETE FROM staged_person", "DELETE FROM staged_batch", "UPDATE staged_head SET live = 0", "DELETE FROM person", "DELETE FROM feed",
		"UPDATE feed_head SET last_number = 0", "DELETE FROM test_leaver",
	} {
		w.must(w.db.Writer().ExecContext(context.Background(), text))
	}
}

func (w *world) person(n int) identity.Person {
	org := policies.OrgID(rapid.SampledFrom([]string{"011002", "131016"}).Draw(w.t, "org"))
	return identity.Person{
		Org: org, StaffNumber: fmt.Sprintf("N%d", n), FamilyName: rapid.SampledFrom([]string{"佐藤", "鈴木", "森"}).Draw(w.t, "name"),
		Email: fmt.Sprintf("m%d@example.lg.jp", rapid.IntRange(0, 7).Draw(w.t, "address")), Role: policies.RoleGeneral,
	}
}

func (w *world) addressTaken(email, except string) bool {
	for key, p := range w.people {
		if key != except && p.Active() && p.Email == email {
			return true
		}
	}
	return false
}

func (w *world) add() {
	p := w.person(rapid.IntRange(0, 5).Draw(w.t, "number"))
	key := modelKey(p.Org, p.StaffNumber)
	_, taken := w.people[key]
	taken = taken || w.addressTaken(p.Email, "")
	switch _, err := w.AddPerson(context.Background(), everything, p, tester); {
	case taken != errors.Is(err, identity.ErrExists), !taken && err != nil:
		w.t.Fatalf("%+v: taken %v, %v", p, taken, err)
	case !taken:
		w.people[key] = p
	}
}

func (w *world) any(active bool) (string, identity.Person) {
	var keys []string
	for key, p := range w.people {
		if p.Active() == active {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		w.t.Skip("nobody")
	}
	slices.Sort(keys)
	key := rapid.SampledFrom(keys).Draw(w.t, "who")
	p, err := w.FindPerson(context.Background(), everything, w.people[key].Org, w.people[key].StaffNumber)
	w.must(nil, err)
	return key, p
}

func (w *world) edit() {
	key, p := w.any(true)
	to := w.person(0)
	taken := w.addressTaken(to.Email, key)
	_, err := w.EditPerson(context.Background(), everything, p.ID, tester, func(p *identity.Person) error {
		p.FamilyName, p.Email = to.FamilyName, to.Email
		return nil
	})
	switch {
	case taken != errors.Is(err, identity.ErrExists), !taken && err != nil:
		w.t.Fatalf("%s to %+v: taken %v, %v", key, to, taken, err)
	case !taken:
		m := w.people[key]
		m.FamilyName, m.Email = to.FamilyName, to.Email
		w.people[key] = m
	}
}

func (w *world) end() {
	key, p := w.any(true)
	w.must(nil, w.EndPerson(context.Background(), everything, p.ID, tester))
	w.ends(key)
}

func (w *world) ends(key string) {
	m := w.people[key]
	m.EndedAt = 1
	w.people[key] = m
	w.leavers++
}

// publishSome imports a random file as far as its publication: nothing of it is settled.
func (w *world) publishSome() {
	var b strings.Builder
	b.WriteString(peopleHeader)
	file := map[string]identity.Person{}
	addresses := map[string]bool{}
	for _, n := range rapid.Permutation([]int{0, 1, 2, 3, 4, 5}).Draw(w.t, "numbers")[:rapid.IntRange(1, 6).Draw(w.t, "rows")] {
		p := w.person(n)
		if addresses[p.Email] {
			continue
		}
		addresses[p.Email], file[modelKey(p.Org, p.StaffNumber)] = true, p
		fmt.Fprintf(&b, "%s,%s,%s,,,,%s,general\n", p.Org, p.StaffNumber, p.FamilyName, p.Email)
	}
	rows, _ := ReadPeople(strings.NewReader(b.String()), "people.csv")
	opt := ImportOptions{Complete: rapid.Bool().Draw(w.t, "complete"), Progress: func(int64, int64, string) {}}
	report := rows.Report.Clone()
	c, err := w.place(context.Background(), everything, rows, opt, report)
	w.must(nil, err)
	w.must(nil, w.compare(context.Background(), everything, c, report))
	if !report.OK() {
		w.refusedRightly(file, opt.Complete)
		return
	}
	if opt.Complete && w.endsTooMany(file) {
		w.t.Fatalf("taken without a confirmation: %+v", file)
	}
	if len(c.leavers)+len(c.changes) > 0 {
		w.must(nil, w.bringLive(context.Background(), c, rows, tester))
	}
	orgs := map[policies.OrgID]bool{}
	for _, p := range file {
		orgs[p.Org] = true
	}
	for key, p := range w.people {
		if _, there := file[key]; !there && opt.Complete && orgs[p.Org] && p.Active() {
			w.ends(key)
		}
	}
	for key, p := range file {
		if m := w.people[key]; m.EndedAt == 0 {
			w.people[key] = p
		}
	}
}

// endsTooMany: a complete list that ends removalFew or more of an organization's people, and more than the share that may end unasked.
func (w *world) endsTooMany(file map[string]identity.Person) bool {
	orgs := map[policies.OrgID]bool{}
	for _, p := range file {
		orgs[p.Org] = true
	}
	active, ended := map[policies.OrgID]int{}, map[policies.OrgID]int{}
	for key, p := range w.people {
		if !p.Active() || !orgs[p.Org] {
			continue
		}
		active[p.Org]++
		if _, written := file[key]; !written {
			ended[p.Org]++
		}
	}
	for org, n := range ended {
		if n >= removalFew && float64(n) > removalShare*float64(active[org]) {
			return true
		}
	}
	return false
}

// refusedRightly: a file is refused for an address that stays somebody else's, a staff number of somebody who left, or for ending too many.
func (w *world) refusedRightly(file map[string]identity.Person, complete bool) {
	if complete && w.endsTooMany(file) {
		return
	}
	orgs := map[policies.OrgID]bool{}
	for _, p := range file {
		orgs[p.Org] = true
	}
	for key, p := range file {
		if m, there := w.people[key]; there && !m.Active() {
			return
		}
		for other, m := range w.people {
			row, written := file[other]
			leaves := complete && orgs[m.Org] && !written
			if other != key && m.Active() && m.Email == p.Email && !leaves && (!written || row.Email == m.Email) {
				return
			}
		}
	}
	w.t.Fatalf("refused for nothing: %+v", file)
}

func (w *world) settleSome() {
	err := w.db.WithTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
		g, err := w.live(ctx, tx)
		if err != nil {
			return err
		}
		from := rapid.Int64Range(0, 5).Draw(w.t, "from")
		_, _, err = w.settleChunk(ctx, tx, g.batch, from, from+rapid.Int64Range(0, 3).Draw(w.t, "many"))
		return err
	})
	w.must(nil, err)
}

// follow reads a page of the feed after the cursor.
func (w *world) follow() {
	page, err := w.Changes(context.Background(), everything, w.cursor, rapid.IntRange(1, 7).Draw(w.t, "page"))
	w.must(nil, err)
	for _, c := range page {
		if c.Number != w.cursor+1 {
			w.t.Fatalf("after %d comes %d", w.cursor, c.Number)
		}
		w.cursor = c.Number
	}
	w.read = append(w.read, page...)
}

func (w *world) check() {
	have := map[string]identity.Person{}
	last := policies.PersonID("")
	err := w.EachPerson(context.Background(), everything, func(p identity.Person) error {
		if p.ID <= last {
			return fmt.Errorf("%s after %s", p.ID, last)
		}
		last = p.ID
		have[modelKey(p.Org, p.StaffNumber)] = modelled(p)
		return nil
	})
	w.must(nil, err)
	if !maps.Equal(have, w.people) {
		w.t.Fatalf("the directory has\n%+v\nthe model\n%+v", have, w.people)
	}
	active := 0
	for _, p := range w.people {
		if p.Active() {
			active++
		}
	}
	c, err := w.Counts(context.Background(), everything)
	if err != nil || c.People != active || c.Ended != len(w.people)-active {
		w.t.Fatalf("%+v, %v; the model has %d of %d in service", c, err, active, len(w.people))
	}
}

// checkFeed replays the feed that the cursor read, once all is settled.
func (w *world) checkFeed() {
	replayed, before := map[string]identity.Person{}, map[string]string{}
	for _, c := range w.read {
		p, err := PersonOf(policies.PersonID(c.Object), c.After)
		w.must(nil, err)
		if before[c.Object] != string(c.Before) {
			w.t.Fatalf("change %d: before is\n%s\nlast after was\n%s", c.Number, c.Before, before[c.Object])
		}
		before[c.Object] = string(c.After)
		replayed[modelKey(p.Org, p.StaffNumber)] = modelled(p)
	}
	if !maps.Equal(replayed, w.people) {
		w.t.Fatalf("the feed gives\n%+v\nthe model is\n%+v", replayed, w.people)
	}
	var staged, leavers int
	w.must(nil, w.db.Reader().QueryRowContext(context.Background(), "SELECT COUNT(*) FROM staged_batch").Scan(&staged))
	w.must(nil, w.db.Reader().QueryRowContext(context.Background(), "SELECT COUNT(DISTINCT person) * 1000 + COUNT(*) FROM test_leaver").Scan(&leavers))
	if staged != 0 || leavers != w.leavers*1001 {
		w.t.Fatalf("%d batches, %d leavers; the model has %d", staged, leavers, w.leavers)
	}
}
