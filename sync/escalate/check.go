package escalate

import (
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/bizcal"
)

// check finds what is wrong with a file whose parts are each well written.
func (s *source) check(f *File, drafts []draftLadder) {
	offices := map[string]bool{}
	for _, o := range f.Offices {
		if offices[o.Name] {
			s.faultAt(o.At, "offices."+o.Name, "同じ名前の庁舎暦が2つある / there are two offices of this name")
		}
		offices[o.Name] = true
	}
	desks := map[TeamID]bool{}
	for _, d := range f.Desks {
		key := "teams." + string(d.Name)
		if desks[d.Name] {
			s.faultAt(d.At, key, "同じ名前のチームが2つある / there are two teams of this name")
		}
		desks[d.Name] = true
		if !offices[d.Office] {
			s.faultAt(d.At, key+".office", "庁舎暦 %s がない / there is no office %s", d.Office, d.Office)
		}
	}
	switch {
	case f.System == "" && len(f.Desks) > 0:
		s.faultAt(f.Desks[0].At, "system", "チームがあるのに system.office がない / lacks system.office: by whose calendar do the system administrators work?")
	case f.System != "" && !offices[f.System]:
		s.faultAt(Place{File: s.file, Line: 1, Column: 1}, "system.office", "庁舎暦 %s がない / there is no office %s", f.System, f.System)
	}
	all := false
	for i, d := range drafts {
		key := "ladders." + d.l.Name
		for _, before := range drafts[:i] {
			switch {
			case before.l.Name == d.l.Name:
				s.faultAt(d.l.At, key, "同じ名前のはしごが2つある / there are two ladders of this name")
			case within(d.l.Topics, before.l.Topics) && within(d.l.Priorities, before.l.Priorities):
				s.faultAt(d.l.At, key+".for", "使われない: %s が先に全部当たる / is never used: %s comes before it and takes all that it is for", before.l.Name, before.l.Name)
			}
		}
		all = all || len(d.l.Topics) == 0 && len(d.l.Priorities) == 0
		s.rungs(d, key)
	}
	if len(drafts) > 0 && !all {
		last := drafts[len(drafts)-1].l
		s.faultAt(last.At, "ladders."+last.Name+".for", "どのはしごにも当たらない問い合わせがある / some inquiries have no ladder: the last one must be for all, without for")
	}
}

// within says whether a choice takes no more than another; an empty one takes all.
func within[T comparable](narrow, wide []T) bool {
	if len(wide) == 0 {
		return true
	}
	return len(narrow) > 0 && !slices.ContainsFunc(narrow, func(v T) bool { return !slices.Contains(wide, v) })
}

// rungs finds what is wrong with one ladder: an end that isn't one, loops, rungs that can never fire.
func (s *source) rungs(d draftLadder, key string) {
	l, before := d.l, len(s.faults)
	for i := range l.Rungs {
		r := &l.Rungs[i]
		rkey := key + ".rungs." + r.Name
		if first := l.rung(r.Name); first != i {
			s.faultAt(r.At, rkey, "同じ名前の段が2つある / there are two rungs of this name")
		}
		if r.Otherwise != "" && l.rung(r.Otherwise) < 0 {
			s.faultAt(d.otherwise[i], rkey+".otherwise", "段 %s がない / there is no rung %s", r.Otherwise, r.Otherwise)
		}
		if r.Since == SinceDue && l.AnswerWithin == (Wait{}) {
			s.faultAt(d.since[i], rkey+".since", "answer_within がないので期限がない / there is no due date: write answer_within")
		}
		for j := range l.Rungs[:i] {
			if o := &l.Rungs[j]; r.Since != "" && o.Since == r.Since && o.After == r.After && o.Tell == r.Tell {
				s.faultAt(r.At, rkey, "段 %s と同じ相手・同じ時 / tells the same people at the same time as %s: make one rung of the two", o.Name, o.Name)
			}
		}
	}
	if len(s.faults) > before {
		return // chains can't be followed
	}
	reached, ends := make([]bool, len(l.Rungs)), false
	for i := range l.Rungs {
		r := &l.Rungs[i]
		rkey := key + ".rungs." + r.Name
		chain, loop := l.chain(i)
		if loop >= 0 {
			last := chain[len(chain)-1]
			if i == loop && l.Rungs[last].Otherwise != "" { // told once, where it closes
				s.faultAt(d.otherwise[last], key+".rungs."+l.Rungs[last].Name+".otherwise", "代わりの段が循環（%s に戻る） / the rungs to climb to go round in a loop: back to %s", l.Rungs[loop].Name, l.Rungs[loop].Name)
			}
			continue
		}
		if end := &l.Rungs[chain[len(chain)-1]]; end.Tell != WhoSystemAdministrator {
			s.faultAt(r.At, rkey, "はしごに終わりがない: %s で止まり、システム管理者に届かない / the ladder has no end: from here it climbs to %s and stops; its last rung must tell system_administrator", end.Name, end.Name)
			continue
		}
		if r.Since != "" {
			for _, j := range chain {
				reached[j] = true
			}
		}
		ends = ends || r.Tell == WhoSystemAdministrator && (r.Since == SinceCreated || r.Since == SinceDue)
	}
	if len(s.faults) > before {
		return
	}
	for i, ok := range reached {
		if !ok {
			s.faultAt(l.Rungs[i].At, key+".rungs."+l.Rungs[i].Name, "鳴らない段: after も since もなく、ここへ登る段もない / can never fire: it has no after and since, and no rung climbs to it")
		}
	}
	if !ends {
		s.faultAt(l.At, key, "はしごに終わりがない: 受付（created か due）から数えてシステム管理者に伝える段が必要 / the ladder has no end: one rung must tell system_administrator, since created or due")
	}
	s.promise(d, key)
}

// promise finds a promise that no rung can keep, where that is plain from the lengths; the rest Prove finds.
func (s *source) promise(d draftLadder, key string) {
	for i := range d.l.Rungs {
		r := &d.l.Rungs[i]
		if r.Since == "" || r.Since == SinceAssigned {
			continue
		}
		w := r.After
		if r.Since == SinceDue {
			w = d.l.AnswerWithin // and more
		}
		if w.kind() != d.l.ToldWithin.kind() || w.Days <= d.l.ToldWithin.Days && w.Time <= d.l.ToldWithin.Time {
			return
		}
	}
	s.faultAt(d.told, key+".told_within", "どの段も間に合わない / no rung is due within %s: promise later, or tell somebody earlier", d.l.ToldWithin)
}

// Staff is what the directory knows of those who can be told.
type Staff struct {
	People   map[policies.PersonID]Member
	Ministry map[policies.OrgID][]Member // administrators of each organization that has a team
	System   []Member
}

// Build makes the teams of a file for inquiries from an instant on. What can't be built is FileFaults: a person whom the directory doesn't know, a team of
// which nobody is there, a calendar that ends within so many days.
func Build(f *File, staff Staff, n *bizcal.National, from time.Time, days int) ([]*Team, error) {
	s := &source{}
	calendars := map[string]*bizcal.Calendar{}
	last := bizcal.DayOf(from) + bizcal.Day(days)
	for _, o := range f.Offices {
		key := "offices." + o.Name
		c, err := n.Calendar(o.Office)
		if err == nil && o.Until != 0 {
			c, err = c.Ending(o.Until)
		}
		if err != nil {
			s.faultAt(o.At, key, "%v", err)
			continue
		}
		if c.Last() < last {
			s.faultAt(o.At, key, "暦が %s で終わる（%s まで必要） / the calendar ends on %s; it is needed to %s", c.Last(), last, c.Last(), last)
		}
		calendars[o.Name] = c
	}
	if len(staff.System) == 0 {
		s.faultAt(Place{}, "system", "システム管理者がいない / there is no system administrator: nobody stands at the ladders' end")
	}
	system := &Group{calendars[f.System], staff.System}
	var teams []*Team
	for _, d := range f.Desks {
		c := calendars[d.Office]
		if c == nil {
			continue
		}
		t := &Team{ID: d.Name, Org: d.Org, Ministry: &Group{c, staff.Ministry[d.Org]}, System: system, At: d.At}
		t.People, t.Admins = s.people(d, "members", d.Members, staff, c), s.people(d, "administrators", d.Administrators, staff, c)
		if !slices.ContainsFunc(t.People.Members, func(m Member) bool { return m.Until.IsZero() || m.Until.After(from) }) {
			s.faultAt(d.At, "teams."+string(d.Name)+".members", "チームに人がいない / the team has no people: all of them have left, or are unknown")
		}
		teams = append(teams, t)
	}
	if len(s.faults) > 0 {
		return nil, s.faults
	}
	return teams, nil
}

func (s *source) people(d Desk, which string, ids []policies.PersonID, staff Staff, c *bizcal.Calendar) *Group {
	g := &Group{Calendar: c}
	for _, id := range ids {
		m, ok := staff.People[id]
		if !ok {
			s.faultAt(d.At, fmt.Sprintf("teams.%s.%s", d.Name, which), "%.60q という人はいない / the directory has nobody of the id %.60q", string(id), string(id))
			continue
		}
		g.Members = append(g.Members, m)
	}
	return g
}
