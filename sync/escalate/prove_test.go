package escalate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/bizcal"
)

func at(text string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", text, jst.Zone)
	if err != nil {
		panic(err)
	}
	return t
}

func wait(text string) Wait {
	w, err := ParseWait(text)
	if err != nil {
		panic(err)
	}
	return w
}

func national(t testing.TB, until int) *bizcal.National {
	t.Helper()
	n, err := bizcal.NewNational(bizcal.Known(), until)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func calendar(t testing.TB, until int) *bizcal.Calendar {
	t.Helper()
	c, err := national(t, until).Calendar(bizcal.Ministry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func member(id string) Member {
	return Member{ID: policies.PersonID(id), Reach: Channels()}
}

func group(c *bizcal.Calendar, members ...Member) *Group { return &Group{c, members} }

var all = Channels()

// usual is a ladder as a ministry would have it.
func usual() *Ladder {
	return &Ladder{
		Name: "usual", AnswerWithin: wait("5 working days"), ToldWithin: wait("1 working day"), MaxMoves: 3,
		Rungs: []Rung{
			{Name: "assignee", After: wait("4 working hours"), Since: SinceCreated, Tell: WhoAssignee, By: all},
			{Name: "team", After: wait("1 working day"), Since: SinceCreated, Tell: WhoTeam, By: all},
			{Name: "admin", After: wait("3 working days"), Since: SinceCreated, Tell: WhoTeamAdministrator, By: all},
			{Name: "ministry", After: wait("0 working hours"), Since: SinceDue, Tell: WhoMinistryAdministrator, By: all},
			{Name: "system", After: wait("10 working days"), Since: SinceCreated, Tell: WhoSystemAdministrator, By: all},
		},
	}
}

func staffed(c *bizcal.Calendar) *Team {
	return &Team{
		ID: "desk", People: group(c, member("a"), member("b")), Admins: group(c, member("c")),
		Ministry: group(c, member("d")), System: group(c, member("e"), member("f")),
	}
}

func prove(t testing.TB, from string, days int, teams []*Team, ladders ...*Ladder) *Proof {
	t.Helper()
	p, err := Prove(Input{Ladders: ladders, Teams: teams, From: at(from), Days: days, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProveHolds(t *testing.T) {
	p := prove(t, "2026-12-01 00:00", 400, []*Team{staffed(calendar(t, 2030))}, usual())
	if !p.Holds() || len(p.Gaps) > 0 {
		t.Errorf("%+v", p)
	}
}

// A team whose only member leaves on 31 March: from the next morning on its rungs climb; nobody above it is missing, so the promise holds.
func TestProveOnlyMemberLeaves(t *testing.T) {
	team := staffed(calendar(t, 2030))
	team.People.Members = team.People.Members[:1]
	team.People.Members[0].Until = at("2027-04-01 00:00")
	p := prove(t, "2026-12-01 00:00", 400, []*Team{team}, usual())
	if len(p.Gaps) != 1 || !p.Gaps[0].From.Equal(at("2027-04-01 08:30")) || !p.Gaps[0].Open || p.Gaps[0].Why != ReasonLeft || p.Gaps[0].Tell != WhoTeam {
		t.Errorf("gaps: %+v", p.Gaps)
	}
	if !p.Holds() {
		t.Errorf("%+v", p)
	}
	// Where nobody stands above them until later, the promise is broken: for what comes so late in March that it is due in April.
	gone := team.People
	team.Admins, team.Ministry, team.System = gone, gone, gone
	p = prove(t, "2026-12-01 00:00", 400, []*Team{team}, usual())
	if len(p.Late) != 1 || !p.Late[0].Told.IsZero() || !p.Late[0].From.Equal(at("2027-03-31 13:15")) || !p.Late[0].Until.Equal(p.Until) {
		t.Errorf("late: %+v", p.Late)
	}
}

// A clock that runs over New Year, and offices that don't.
func TestProveNewYear(t *testing.T) {
	l := usual()
	l.ToldWithin = wait("120 hours")
	p := prove(t, "2026-12-01 00:00", 60, []*Team{staffed(calendar(t, 2030))}, l)
	if len(p.Late) != 1 {
		t.Fatalf("late: %+v", p.Late)
	}
	// What comes on Monday 28 December after 12:15 is due four working hours later: on 4 January. So is what comes until 30 December 08:30, too
	// early for 120 hours to reach 4 January 12:30... and 09:30 is due at 13:30.
	for text, want := range map[string]bool{
		"2026-12-28 12:00": false, "2026-12-28 13:16": true, "2026-12-28 17:15": true, "2026-12-30 12:00": true, "2026-12-30 13:30": false, "2027-01-04 09:00": false,
	} {
		if got := !at(text).Before(p.Late[0].From) && at(text).Before(p.Late[0].Until); got != want {
			t.Errorf("%s: late %t, in %+v", text, got, p.Late[0])
		}
	}
	// Everybody away on the first working day.
	team := staffed(calendar(t, 2030))
	for _, g := range []*Group{team.People, team.Admins, team.Ministry, team.System} {
		for i := range g.Members {
			g.Members[i].Absent = []Absence{{at("2026-12-29 00:00"), at("2027-01-05 00:00")}}
		}
	}
	p = prove(t, "2026-12-01 00:00", 60, []*Team{team}, usual())
	if len(p.Late) == 0 || len(p.Gaps) != 4 || !p.Gaps[0].From.Equal(at("2027-01-04 08:30")) || !p.Gaps[0].Until.Equal(at("2027-01-05 08:30")) || p.Gaps[0].Why != ReasonAbsent {
		t.Errorf("%+v", p)
	}
}

func TestProveLoop(t *testing.T) {
	l := usual()
	l.Rungs[4].Otherwise = "team"
	p := prove(t, "2026-12-01 00:00", 30, []*Team{staffed(calendar(t, 2030))}, l)
	if p.Holds() || len(p.Faults) == 0 || !strings.Contains(p.Faults[0].What, "loop") {
		t.Errorf("%+v", p.Faults)
	}
}

func TestProveDead(t *testing.T) {
	l := usual()
	l.Rungs[0].Otherwise = "system"
	l.Rungs = append(l.Rungs[:4:4], Rung{Name: "aside", Tell: WhoTeam, By: all}, l.Rungs[4])
	l.Rungs[3].Otherwise = "system"
	team := staffed(calendar(t, 2030))
	team.Admins.Members[0].Reach = nil
	p := prove(t, "2026-12-01 00:00", 30, []*Team{team}, l)
	want := []Dead{{l.Name, "", "aside", ""}, {l.Name, "desk", "admin", ReasonUnreachable}}
	if !slices.Equal(p.Dead, want) {
		t.Errorf("%+v", p.Dead)
	}
}

// A calendar that ends is a fault from the first inquiry on whose rungs lie beyond it.
func TestProveCalendarEnds(t *testing.T) {
	p := prove(t, "2026-12-01 00:00", 60, []*Team{staffed(calendar(t, 2026))}, usual())
	if len(p.Faults) != 1 || !p.Faults[0].From.Equal(at("2026-12-14 17:15")) || !strings.Contains(p.Faults[0].What, "2026-12-31") {
		t.Errorf("%+v", p.Faults)
	}
}

// draw makes a ladder and a team that have everything that can go wrong.
func draw(r *rand.Rand, n *bizcal.National) (*Ladder, *Team, time.Time, int) {
	start := at("2026-11-15 00:00").Add(time.Duration(r.IntN(150*1440)) * time.Minute)
	days := 3 + r.IntN(18)
	offices := []bizcal.Office{bizcal.Ministry(), bizcal.Ministry(), bizcal.Ministry()}
	offices[1].Closed = []bizcal.Own{{Day: bizcal.DayOf(start) + bizcal.Day(r.IntN(20))}}
	offices[2].Week[time.Saturday] = []bizcal.Span{{From: 9 * 60, To: 12 * 60}}
	offices[2].Week[time.Wednesday] = []bizcal.Span{{From: 10*60 + 7, To: 11 * 60}, {From: 11 * 60, To: 15 * 60}, {From: 20 * 60, To: 24 * 60}}
	var calendars []*bizcal.Calendar
	for _, o := range offices {
		c, err := n.Calendar(o)
		if err != nil {
			panic(err)
		}
		calendars = append(calendars, c)
	}
	when := func() time.Time { return start.Add(time.Duration(r.IntN((days+15)*1440)) * time.Minute) }
	draw := func(most int) *Group {
		g := &Group{Calendar: calendars[[]int{0, 0, 0, 1, 2}[r.IntN(5)]]}
		for i := range r.IntN(most + 1) {
			m := member(fmt.Sprint(i))
			if r.IntN(4) == 0 {
				m.Reach = []Channel{Channels()[r.IntN(3)]}
			}
			if r.IntN(4) == 0 {
				m.From = when()
			}
			if r.IntN(3) == 0 {
				m.Until = when()
			}
			for range r.IntN(3) {
				from := when()
				m.Absent = append(m.Absent, Absence{from, from.Add(time.Duration(r.IntN(9*1440)) * time.Minute)})
			}
			m.OnCall = r.IntN(6) == 0
			g.Members = append(g.Members, m)
		}
		return g
	}
	t := &Team{ID: "t", People: draw(2), Admins: draw(1), Ministry: draw(1), System: draw(1)}
	staffed := r.IntN(2) == 0
	if staffed {
		t.System.Members = append(t.System.Members, member("s"))
	}
	waits := []string{
		"0 working hours", "30 working minutes", "1 working hour", "4 working hours", "8 working hours", "1 working day", "2 working days", "4 working days", "0 minutes", "90 minutes",
		"20 hours", "3 days",
	}
	wait := func() Wait { return wait(waits[r.IntN(len(waits))]) }
	l := &Ladder{Name: "l", AnswerWithin: wait(), ToldWithin: wait()}
	for i := range 1 + r.IntN(5) {
		rung := Rung{Name: fmt.Sprint("r", i), After: wait(), Since: Anchors()[r.IntN(4)], Tell: Whos()[r.IntN(5)], By: Channels()[:1+r.IntN(3)]}
		if r.IntN(8) == 0 {
			rung.Since = ""
		}
		if r.IntN(4) == 0 {
			rung.Otherwise = fmt.Sprint("r", r.IntN(5))
		}
		l.Rungs = append(l.Rungs, rung)
	}
	for i := range l.Rungs {
		if l.rung(l.Rungs[i].Otherwise) < 0 || staffed {
			l.Rungs[i].Otherwise = ""
		}
	}
	if staffed {
		l.Rungs = append(l.Rungs, Rung{Name: "last", After: wait(), Since: SinceCreated, Tell: WhoSystemAdministrator, By: all})
	}
	return l, t, start, days
}

// told runs Next until somebody is told of an inquiry that nobody takes; zero if nobody is by the end.
func told(w *World, l *Ladder, t *Team, came, end time.Time) time.Time {
	s, effects, due := w.Next(State{}, Event{Kind: EventCreated, Ladder: l.Name, Team: t.ID}, came)
	for now := came; ; s, effects, due = w.Next(s, Event{Kind: EventRungDue}, now) {
		if slices.ContainsFunc(effects, func(e Effect) bool { return e.Kind == EffectTell }) {
			return now
		}
		if due.IsZero() || due.After(end) {
			return time.Time{}
		}
		if !due.After(now) {
			panic(fmt.Sprintf("due at %s, asked at %s", due, now))
		}
		now = due
	}
}

// The prover says what the simulation of one inquiry after the other says: at the edges of what it lists, to the nanosecond, and all over.
func TestProverAgreesWithSimulation(t *testing.T) {
	n := national(t, 2028)
	counts := map[string]int{}
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 10))
		l, team, start, days := draw(r, n)
		p, err := Prove(Input{Ladders: []*Ladder{l}, Teams: []*Team{team}, From: start, Days: days})
		if err != nil {
			t.Fatal(err)
		}
		w := &World{map[string]*Ladder{l.Name: l}, map[TeamID]*Team{team.ID: team}}
		check := agreement{t, seed, p, l, team, w}
		var moments []time.Time
		edge := func(x time.Time) { moments = append(moments, x.Add(-1), x, x.Add(1)) }
		for _, late := range p.Late {
			edge(late.From)
			edge(late.Until)
		}
		for range 12 {
			moments = append(moments, start.Add(time.Duration(r.Int64N(int64(days)*24*int64(time.Hour)))))
		}
		for _, m := range moments {
			if !m.Before(p.From) && m.Before(p.Until) && p.Left == 0 {
				check.late(m)
			}
		}
		check.gaps(r)
		check.dead(moments)
		counts["late"] += len(p.Late)
		counts["gaps"] += len(p.Gaps)
		counts["dead"] += len(p.Dead)
		if p.Holds() {
			counts["holds"]++
		}
		if len(p.Late) == 0 {
			counts["kept"]++
		}
	}
	t.Log(counts)
	for _, what := range []string{"late", "gaps", "dead", "holds", "kept"} {
		if counts[what] < 50 {
			t.Errorf("only %d %s among 1,000 rosters: the comparison says little", counts[what], what)
		}
	}
}

type agreement struct {
	t    *testing.T
	seed uint64
	p    *Proof
	l    *Ladder
	team *Team
	w    *World
}

func (a agreement) late(came time.Time) {
	a.t.Helper()
	promised, err := a.l.ToldWithin.after(a.team.People.Calendar, came)
	if err != nil {
		a.t.Fatal(err)
	}
	when := told(a.w, a.l, a.team, came, promised)
	want := when.IsZero() || when.After(promised)
	i := slices.IndexFunc(a.p.Late, func(l Late) bool { return !came.Before(l.From) && came.Before(l.Until) })
	if got := i >= 0; got != want {
		a.t.Fatalf("seed %d: what comes at %s is promised by %s and told at %s; the prover's late: %t\n%+v\n%+v", a.seed, came.In(jst.Zone), promised, when, got, a.l, a.p.Late)
	}
	if i >= 0 && came.Equal(a.p.Late[i].From) {
		long := came.Add(30 * 24 * time.Hour)
		if a.p.Late[i].Told.After(long) {
			long = a.p.Late[i].Told
		}
		if when := told(a.w, a.l, a.team, came, long); !when.Equal(a.p.Late[i].Told) && !(a.p.Late[i].Told.IsZero() && when.After(promised)) {
			a.t.Fatalf("seed %d: told at %s, the prover says %s", a.seed, when.In(jst.Zone), a.p.Late[i].Told.In(jst.Zone))
		}
	}
}

// gaps: while its own office is open, an audience has nobody exactly in its gaps.
func (a agreement) gaps(r *rand.Rand) {
	a.t.Helper()
	for i := range a.l.Rungs {
		rung := a.l.Rungs[i]
		if rung.Tell == WhoAssignee {
			rung.Tell = WhoTeam
		}
		for range 6 {
			m := a.p.From.Add(time.Duration(r.Int64N(int64(a.p.Until.Sub(a.p.From)))))
			open, err := a.team.group(rung.Tell).Calendar.Open(m)
			if err != nil || !open {
				continue
			}
			res := Resolve(&rung, a.team, "", m)
			in := slices.ContainsFunc(a.p.Gaps, func(g Gap) bool {
				return a.team.group(g.Tell) == a.team.group(rung.Tell) && mask(g.By) == mask(rung.By) && !m.Before(g.From) && m.Before(g.Until)
			})
			if in != (len(res.People) == 0) {
				a.t.Fatalf("seed %d: %s at %s: %+v, in a gap: %t\n%+v", a.seed, rung.Tell, m.In(jst.Zone), res, in, a.p.Gaps)
			}
		}
	}
}

// dead: no rung that finds somebody at a time at which it is tried is called dead, and one that isn't called dead finds somebody at some time.
func (a agreement) dead(moments []time.Time) {
	a.t.Helper()
	for i := range a.l.Rungs {
		rung := a.l.Rungs[i]
		dead := slices.ContainsFunc(a.p.Dead, func(d Dead) bool { return d.Rung == rung.Name })
		if rung.Tell == WhoAssignee {
			rung.Tell = WhoTeam
		}
		alive := false
		for j := range a.l.Rungs {
			chain, _ := a.l.chain(j)
			if a.l.Rungs[j].Since == "" || !slices.Contains(chain, i) {
				continue
			}
			try := func(came time.Time) {
				if came.Before(a.p.From) || !came.Before(a.p.Until) {
					return
				}
				due, err := a.l.due(&a.l.Rungs[j], a.team.People.Calendar, moment(came))
				if err == nil && len(Resolve(&rung, a.team, "", due).People) > 0 {
					alive = true
				}
			}
			for _, m := range moments {
				try(m)
			}
			for _, step := range []time.Duration{97 * time.Minute, time.Minute} { // mostly the first one finds it
				for m := a.p.From; !alive && !dead && m.Before(a.p.Until); m = m.Add(step) {
					try(m)
				}
			}
		}
		if alive == dead {
			a.t.Fatalf("seed %d: rung %s finds somebody: %t, called dead: %t\n%+v", a.seed, rung.Name, alive, dead, a.l)
		}
	}
}
