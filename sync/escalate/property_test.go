package escalate

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/policies"
	"pgregory.net/rapid"
)

func policiesID(text string) policies.PersonID { return policies.PersonID(text) }

// world draws two ladders and two teams, in which people come and go. The last one is there at each hour.
func world(t *rapid.T, c *Group) *World {
	w := &World{map[string]*Ladder{}, map[TeamID]*Team{}}
	waits := []string{"1 working hour", "4 working hours", "1 working day", "2 working days", "0 working hours", "5 hours", "2 days"}
	thanks := rapid.Bool().Draw(t, "thanks") // of both: the ladder on which it is heard decides whether a comment reopens
	for _, name := range []string{"one", "two"} {
		l := &Ladder{Name: name, AnswerWithin: wait("3 working days"), MaxMoves: 2, Thanks: thanks}
		for i := range rapid.IntRange(1, 4).Draw(t, "rungs") {
			l.Rungs = append(l.Rungs, Rung{
				Name: string(rune('a' + i)), After: wait(rapid.SampledFrom(waits).Draw(t, "after")), Since: rapid.SampledFrom(Anchors()).Draw(t, "since"),
				Tell: rapid.SampledFrom(Whos()).Draw(t, "tell"), By: all,
			})
		}
		l.Rungs = append(l.Rungs, Rung{Name: "end", After: wait("4 working days"), Since: SinceCreated, Tell: WhoSystemAdministrator, By: all})
		w.Ladders[name] = l
	}
	draw := func(most int) *Group {
		g := group(c.Calendar)
		for i := range rapid.IntRange(0, most).Draw(t, "people") {
			m := member(string(rune('p' + i)))
			if rapid.Bool().Draw(t, "absent") {
				from := at("2026-12-20 00:00").Add(time.Duration(rapid.IntRange(0, 20*24).Draw(t, "from")) * time.Hour)
				m.Absent = []Absence{{from, from.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "hours")) * time.Hour)}}
			}
			g.Members = append(g.Members, m)
		}
		return g
	}
	for _, name := range []TeamID{"one", "two"} {
		w.Teams[name] = &Team{ID: name, People: draw(3), Admins: draw(1), Ministry: draw(1), System: group(c.Calendar, member("s"))}
	}
	return w
}

func event(t *rapid.T) Event {
	e := Event{Kind: rapid.SampledFrom(EventKinds()).Draw(t, "kind")}
	switch e.Kind {
	case EventCreated, EventMoved:
		e.Ladder = rapid.SampledFrom([]string{"one", "two"}).Draw(t, "ladder")
		e.Team = TeamID(rapid.SampledFrom([]string{"one", "two"}).Draw(t, "team"))
	case EventAssigned:
		e.Person = policies.PersonID(rapid.SampledFrom([]string{"", "p", "q", "r"}).Draw(t, "person"))
	case EventUndelivered:
		e.Rung, e.Life = rapid.SampledFrom([]string{"a", "b", "c", "end"}).Draw(t, "rung"), rapid.IntRange(1, 4).Draw(t, "life")
	}
	return e
}

// keeper checks after each step what must hold at all times.
type keeper struct {
	t    *rapid.T
	w    *World
	s    State
	due  time.Time
	keys map[string]bool
}

func (k *keeper) step(e Event, now time.Time) {
	k.t.Helper()
	before := k.s.clone()
	s, effects, due := k.w.Next(k.s, e, now)
	again, effectsAgain, dueAgain := k.w.Next(before, e, now)
	if !equal(s, again) || len(effects) != len(effectsAgain) || !due.Equal(dueAgain) {
		k.t.Fatalf("%s at %s is not a function: %+v, %+v", e.Kind, now, s, again)
	}
	climbed := map[string]bool{}
	for _, f := range effects {
		if k.keys[f.Key] {
			k.t.Fatalf("%s twice", f.Key)
		}
		k.keys[f.Key] = true
		if s.Phase != PhaseOpen && f.Kind != EffectAlarm {
			k.t.Fatalf("%s %s while %s", f.Kind, f.Rung, s.Phase)
		}
		switch f.Kind {
		case EffectClimb:
			climbed[f.To] = true
			if f.Reason == ReasonNone || f.To == "" {
				k.t.Fatalf("climbs without a reason: %+v", f)
			}
		case EffectTell:
			if len(f.People) == 0 || len(f.By) == 0 {
				k.t.Fatalf("tells nobody: %+v", f)
			}
			k.early(s, f, now, climbed)
		}
	}
	if !due.IsZero() && !due.After(now) {
		k.t.Fatalf("%s at %s: asks again at %s", e.Kind, now, due)
	}
	if s.Phase == PhaseOpen && s.Life > 0 && due.IsZero() {
		k.lost(s)
	}
	k.s, k.due = s, due
}

// early: what is told without having been climbed to is due.
func (k *keeper) early(s State, f Effect, now time.Time, climbed map[string]bool) {
	k.t.Helper()
	l := k.w.Ladders[s.Ladder]
	r := &l.Rungs[l.rung(f.Rung)]
	if climbed[r.Name] {
		return
	}
	since, runs := s.since(r.Since)
	if due, err := l.due(r, k.w.Teams[s.Team].People.Calendar, since); !runs || err != nil || due.After(now) {
		k.t.Fatalf("%s is told at %s, due at %s (%v)", r.Name, now, due, err)
	}
}

// lost: an open inquiry that asks for no further look has every rung done whose anchor happened.
func (k *keeper) lost(s State) {
	k.t.Helper()
	l := k.w.Ladders[s.Ladder]
	for i := range l.Rungs {
		if _, runs := s.since(l.Rungs[i].Since); runs && !s.done(l.Rungs[i].Name) {
			k.t.Fatalf("%s is lost: %+v", l.Rungs[i].Name, s)
		}
	}
}

// drain lets time pass until nothing more is to come.
func (k *keeper) drain() {
	k.t.Helper()
	for range 10_000 {
		if k.due.IsZero() {
			return
		}
		k.step(Event{Kind: EventRungDue}, k.due)
	}
	k.t.Fatalf("it never ends: %+v", k.s)
}

func equal(a, b State) bool {
	same := slices.Equal(a.Marks, b.Marks) && slices.Equal(a.Stranded, b.Stranded) && slices.Equal(a.Alarms, b.Alarms)
	a.Marks, a.Stranded, a.Alarms, b.Marks, b.Stranded, b.Alarms = nil, nil, nil, nil, nil, nil
	return same && a.Phase == b.Phase && a.Life == b.Life && a.Created == b.Created && a.Ladder == b.Ladder && a.Team == b.Team
}

func newKeeper(t *rapid.T, w *World) *keeper {
	return &keeper{t: t, w: w, keys: map[string]bool{}}
}

// schedules runs a property 1,000 times, or as often as MUSUBI_SCHEDULES says.
func schedules(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	n := 1000
	if text := os.Getenv("MUSUBI_SCHEDULES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for range max(1, n/100) {
		rapid.Check(t, property) // a hundred each
	}
}

// Any events at any times, looks that come twice, late or never, clocks that jump: nothing twice, nothing early, nothing after the end, nothing lost.
func TestAnySchedule(t *testing.T) {
	c := group(calendar(t, 2030))
	schedules(t, func(t *rapid.T) {
		k := newKeeper(t, world(t, c))
		now := at("2026-12-21 09:00")
		k.step(comesTo("one"), now)
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "time") {
			case 0: // jumps
				now = now.Add(time.Duration(rapid.IntRange(-20*24, 20*24).Draw(t, "jump")) * time.Hour)
			case 1, 2, 3: // asked when it asked for it
				if !k.due.IsZero() {
					now = k.due
					k.step(Event{Kind: EventRungDue}, now)
				}
			default:
				now = now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "minutes")) * time.Minute)
			}
			e := event(t)
			e.At = now.Add(-time.Duration(rapid.IntRange(0, 3000).Draw(t, "late")) * time.Minute)
			k.step(e, now)
			if rapid.IntRange(0, 4).Draw(t, "twice") == 0 {
				k.step(e, now)
			}
		}
		k.drain()
	})
}

func comesTo(name string) Event {
	return Event{Kind: EventCreated, Ladder: name, Team: TeamID(name)}
}

// The same events in any order, some of them twice, end in the same phase, desk and hands; and then the same rungs are told.
func TestAnyOrder(t *testing.T) {
	c := group(calendar(t, 2030))
	schedules(t, func(t *rapid.T) {
		w := world(t, c)
		now := at("2026-12-21 09:00")
		events := []Event{comesTo("one")}
		events[0].At = now
		for i := range rapid.IntRange(1, 12).Draw(t, "events") {
			e := event(t)
			if e.Kind == EventCreated || e.Kind == EventUndelivered {
				continue
			}
			e.At = now.Add(time.Duration(i+1) * time.Minute)
			events = append(events, e)
		}
		now = now.Add(13 * time.Minute)
		straight, mixed := newKeeper(t, w), newKeeper(t, w)
		for _, e := range events {
			straight.step(e, now)
		}
		shuffled := rapid.Permutation(append(slices.Clone(events), events[:rapid.IntRange(0, len(events)).Draw(t, "twice")]...)).Draw(t, "order")
		if w.Ladders["one"].Thanks { // until its ladder is known, a comment after the answer reopens an inquiry
			shuffled = append([]Event{events[0]}, shuffled...)
		}
		for _, e := range shuffled {
			mixed.step(e, now)
		}
		a, b := straight.s, mixed.s
		if a.Phase != b.Phase || a.Ladder != b.Ladder || a.Team != b.Team || a.Assignee != b.Assignee {
			t.Fatalf("in order %s %s %s %q, mixed %s %s %s %q\n%v\n%v", a.Phase, a.Ladder, a.Team, a.Assignee, b.Phase, b.Ladder, b.Team, b.Assignee, events, shuffled)
		}
		straight.drain()
		mixed.drain()
		if straight.s.Phase != PhaseOpen {
			return
		}
		for _, s := range []State{straight.s, mixed.s} {
			if !s.done("end") {
				t.Fatalf("the last rung is lost: %+v", s)
			}
		}
	})
}

// However an inquiry is paused, a rung is told after exactly its working time in which it was open.
func TestPausedTime(t *testing.T) {
	c := calendar(t, 2030)
	schedules(t, func(t *rapid.T) {
		after := time.Duration(rapid.IntRange(1, 2000).Draw(t, "after")) * time.Minute
		l := &Ladder{Name: "one", AnswerWithin: wait("1 working day"), Rungs: []Rung{
			{Name: "end", After: Wait{Time: after}, Since: SinceCreated, Tell: WhoSystemAdministrator, By: all},
			{Name: "clock", After: Wait{Time: after, Clock: true}, Since: SinceCreated, Tell: WhoSystemAdministrator, By: all},
		}}
		s := member("s")
		s.OnCall = true
		g := group(c, s)
		w := &World{map[string]*Ladder{"one": l}, map[TeamID]*Team{"one": {ID: "one", People: g, Admins: g, Ministry: g, System: g}}}
		k := newKeeper(t, w)
		now := at("2026-12-21 00:00").Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "start")) * time.Minute)
		k.step(comesTo("one"), now)
		worked, passed, last, open := time.Duration(0), time.Duration(0), now, true
		pass := func(to time.Time) {
			if open {
				d, err := c.HoursBetween(last, to)
				if err != nil {
					t.Fatal(err)
				}
				worked, passed = worked+d, passed+to.Sub(last)
			}
			last = to
		}
		toldAt := map[string]bool{}
		step := func(e Event) {
			before := map[string]bool{"end": k.s.done("end"), "clock": k.s.done("clock")}
			k.step(e, now)
			for rung, was := range before {
				if !k.s.done(rung) || was {
					continue
				}
				toldAt[rung] = true
				if rung == "clock" && passed != after || rung == "end" && worked != after {
					t.Fatalf("%s told at %s after %s of working time, %s by the clock; it is due after %s", rung, now, worked, passed, after)
				}
			}
		}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			then := now.Add(time.Duration(rapid.IntRange(1, 1500).Draw(t, "minutes")) * time.Minute)
			for !k.due.IsZero() && !k.due.After(then) {
				now = k.due
				pass(now)
				step(Event{Kind: EventRungDue})
			}
			now = then
			pass(now)
			if open {
				step(Event{Kind: EventWaiting})
			} else {
				step(Event{Kind: EventResumed})
			}
			open = !open
		}
		if !open {
			now = now.Add(time.Minute)
			pass(now)
			step(Event{Kind: EventResumed})
			open = true
		}
		for !k.due.IsZero() {
			now = k.due
			pass(now)
			step(Event{Kind: EventRungDue})
		}
		if !toldAt["end"] || !toldAt["clock"] {
			t.Fatalf("told: %v", toldAt)
		}
	})
}
