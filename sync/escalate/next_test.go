package escalate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// story plays events to one inquiry and writes down what is done.
type story struct {
	t   *testing.T
	w   *World
	s   State
	due time.Time
	log []string
}

func newStory(t *testing.T, l *Ladder, team *Team) *story {
	return &story{t: t, w: &World{map[string]*Ladder{l.Name: l}, map[TeamID]*Team{team.ID: team}}}
}

// until lets time pass, with a look whenever one is due.
func (s *story) until(text string) {
	for !s.due.IsZero() && !s.due.After(at(text)) {
		s.happens(s.due.In(at(text).Location()).Format("2006-01-02 15:04"), Event{Kind: EventRungDue})
	}
}

func (s *story) at(text string, e Event) {
	s.t.Helper()
	s.until(text)
	s.happens(text, e)
}

func (s *story) happens(text string, e Event) {
	s.t.Helper()
	now := at(text)
	var effects []Effect
	s.s, effects, s.due = s.w.Next(s.s, e, now)
	if !s.due.IsZero() && !s.due.After(now) {
		s.t.Fatalf("at %s: due at %s already", text, s.due)
	}
	for _, e := range effects {
		line := text[5:] + " " + string(e.Kind) + " " + e.Rung
		switch e.Kind {
		case EffectTell:
			line += fmt.Sprint(" ", e.People)
		case EffectClimb:
			line += " > " + e.To + ": " + string(e.Reason)
		case EffectAlarm:
			line = text[5:] + " alarm " + string(e.Alarm) + " " + e.Rung + ": " + string(e.Reason)
		}
		s.log = append(s.log, line)
	}
}

func (s *story) wants(lines ...string) {
	s.t.Helper()
	if diff := cmp.Diff(lines, s.log); diff != "" {
		s.t.Error(diff)
	}
}

var comes = Event{Kind: EventCreated, Ladder: "usual", Team: "desk", Person: "a"}

func TestClimbs(t *testing.T) {
	s := newStory(t, usual(), staffed(calendar(t, 2030)))
	s.at("2026-12-01 10:00", comes)
	s.at("2026-12-01 14:00", Event{Kind: EventAcknowledged, Person: "a"}) // climbs all the same
	s.until("2027-01-31 00:00")
	s.wants(
		"12-01 15:00 tell assignee [a]",
		"12-02 10:00 tell team [a b]",
		"12-04 10:00 tell admin [c]",
		"12-09 08:30 tell ministry [d]", // the due date is the end of the 8th
		"12-15 10:00 tell system [e f]",
	)
	if !s.due.IsZero() {
		t.Errorf("due again at %s", s.due)
	}
}

func TestAnswerStops(t *testing.T) {
	s := newStory(t, usual(), staffed(calendar(t, 2030)))
	s.at("2026-12-01 10:00", comes)
	s.at("2026-12-01 16:00", Event{Kind: EventAnswered})
	s.at("2026-12-02 16:00", Event{Kind: EventRungDue})
	s.at("2026-12-03 09:00", Event{Kind: EventReopened}) // a new life: all rungs again
	s.at("2026-12-03 14:00", Event{Kind: EventAnswered})
	s.at("2026-12-04 09:00", Event{Kind: EventAskerCommented}) // asks again
	s.at("2026-12-07 09:30", Event{Kind: EventAnswered})
	s.wants("12-01 15:00 tell assignee [a]", "12-03 14:00 tell assignee [a]", "12-04 14:00 tell assignee [a]", "12-07 09:00 tell team [a b]")
	s.w.Ladders["usual"].Thanks = true
	s.at("2026-12-08 09:00", Event{Kind: EventAskerCommented})
	if s.s.Phase != PhaseDone {
		t.Error("thanks reopened it")
	}
}

func TestPauses(t *testing.T) {
	s := newStory(t, usual(), staffed(calendar(t, 2030)))
	s.at("2026-12-01 10:00", comes)
	s.at("2026-12-01 14:00", Event{Kind: EventWaiting}) // three of four hours are used
	s.at("2026-12-10 17:00", Event{Kind: EventAskerCommented})
	s.until("2026-12-11 17:00")
	// What was asked on the 1st at 10:00 counts as asked three working hours before 17:00 on the 10th: at 14:00.
	s.wants("12-11 09:15 tell assignee [a]", "12-11 14:00 tell team [a b]")
}

// A question that got a word, if no answer, isn't one without a reply; the next question is.
func TestAsked(t *testing.T) {
	l := usual()
	l.Rungs = []Rung{
		{Name: "reply", After: wait("2 working hours"), Since: SinceAsked, Tell: WhoTeam, By: all},
		{Name: "system", After: wait("10 working days"), Since: SinceCreated, Tell: WhoSystemAdministrator, By: all},
	}
	s := newStory(t, l, staffed(calendar(t, 2030)))
	s.at("2026-12-01 10:00", comes)
	s.at("2026-12-01 11:00", Event{Kind: EventAnswererCommented})
	s.at("2026-12-02 09:30", Event{Kind: EventAskerCommented})
	s.at("2026-12-02 10:00", Event{Kind: EventAskerCommented}) // asks again: counted from the first time
	s.until("2026-12-03 10:00")
	s.wants("12-02 11:30 tell reply [a b]")
}

func TestNobody(t *testing.T) {
	team := staffed(calendar(t, 2030))
	team.People.Members[0].Until = at("2026-12-01 00:00")
	team.People.Members[1].Absent = []Absence{{at("2026-12-01 00:00"), at("2026-12-03 00:00")}}
	team.Admins.Members = nil
	s := newStory(t, usual(), team)
	s.at("2026-12-01 10:00", comes)
	s.until("2027-01-31 00:00")
	s.wants(
		"12-01 15:00 climb assignee > ministry: left",
		"12-01 15:00 tell ministry [d]", // before its time, and not again at it
		"12-02 10:00 climb team > ministry: absent",
		"12-04 10:00 climb admin > ministry: empty",
		"12-15 10:00 tell system [e f]",
	)
}

func TestNobodyAtAll(t *testing.T) {
	team := staffed(calendar(t, 2030))
	team.Admins.Members, team.Ministry.Members, team.System.Members = nil, nil, nil
	team.People.Members = team.People.Members[:1]
	team.People.Members[0].Absent = []Absence{{at("2026-12-01 00:00"), at("2026-12-02 10:30")}}
	s := newStory(t, usual(), team)
	s.at("2026-12-01 10:00", comes)
	s.at("2026-12-01 16:00", Event{Kind: EventRosterChanged}) // still nobody: no second alarm
	s.until("2026-12-15 10:30")
	team.System.Members = []Member{member("e")}
	s.at("2026-12-15 11:00", Event{Kind: EventRosterChanged})
	s.wants(
		"12-01 15:00 alarm nobody assignee: absent",
		"12-02 10:00 alarm nobody team: absent",
		"12-02 10:30 tell assignee [a]", // at the minute at which somebody is back
		"12-02 10:30 tell team [a]",
		"12-04 10:00 alarm nobody admin: empty",
		"12-09 08:30 alarm nobody ministry: empty",
		"12-15 10:00 alarm nobody system: empty",
		"12-15 11:00 climb admin > system: empty",
		"12-15 11:00 tell system [e]",
		"12-15 11:00 climb ministry > system: empty",
	)
}

func TestUndelivered(t *testing.T) {
	s := newStory(t, usual(), staffed(calendar(t, 2030)))
	s.at("2026-12-01 10:00", comes)
	s.at("2026-12-01 15:05", Event{Kind: EventUndelivered, Rung: "assignee", Life: 1})
	s.at("2026-12-01 15:06", Event{Kind: EventUndelivered, Rung: "assignee", Life: 1}) // told twice
	s.at("2026-12-01 15:07", Event{Kind: EventUndelivered, Rung: "team", Life: 2})     // of another life
	s.at("2026-12-15 10:05", Event{Kind: EventUndelivered, Rung: "system", Life: 1})
	s.until("2026-12-15 12:00")
	s.wants(
		"12-01 15:00 tell assignee [a]",
		"12-01 15:05 climb assignee > team: undelivered",
		"12-01 15:05 tell team [a b]",
		"12-04 10:00 tell admin [c]",
		"12-09 08:30 tell ministry [d]",
		"12-15 10:00 tell system [e f]",
		"12-15 10:05 alarm nobody system: undelivered",
		"12-15 11:05 tell system [e f]", // tried again
	)
}

func TestMoves(t *testing.T) {
	l, team := usual(), staffed(calendar(t, 2030))
	s := newStory(t, l, team)
	other := *staffed(calendar(t, 2030))
	other.ID = "other"
	other.People = group(calendar(t, 2030), member("x"))
	s.w.Teams["other"] = &other
	s.at("2026-12-01 10:00", comes)
	s.at("2026-12-01 16:00", Event{Kind: EventMoved, Ladder: "usual", Team: "other"})
	s.at("2026-12-02 12:00", Event{Kind: EventMoved, Ladder: "usual", Team: "desk"})
	s.at("2026-12-02 13:00", Event{Kind: EventMoved, Ladder: "usual", Team: "other"})
	s.at("2026-12-02 14:00", Event{Kind: EventMoved, Ladder: "usual", Team: "desk"})
	s.at("2026-12-02 15:00", Event{Kind: EventMoved, Ladder: "gone", Team: "desk"})
	s.w.Ladders["gone"] = l // the cause is gone
	s.until("2026-12-03 13:00")
	s.wants(
		"12-01 15:00 tell assignee [a]",
		"12-02 11:15 climb assignee > team: unassigned",
		"12-02 11:15 tell team [x]",
		"12-02 14:00 alarm passed_around : ",
		"12-02 15:00 alarm no_ladder : ",
		"12-03 10:15 climb assignee > team: unassigned",
		"12-03 10:15 tell team [a b]",
	)
}

func TestCalendarEnds(t *testing.T) {
	l, short := usual(), staffed(calendar(t, 2026))
	l.Rungs = append(l.Rungs, Rung{Name: "clock", After: wait("5 days"), Since: SinceCreated, Tell: WhoSystemAdministrator, By: all})
	for i := range short.System.Members {
		short.System.Members[i].OnCall = true
	}
	s := newStory(t, l, short)
	s.at("2026-12-28 10:00", comes)
	s.until("2027-01-03 00:00")
	s.wants(
		"12-28 10:00 alarm calendar_ends team: calendar",
		"12-28 10:00 alarm calendar_ends admin: calendar",
		"12-28 10:00 alarm calendar_ends ministry: calendar",
		"12-28 10:00 alarm calendar_ends system: calendar",
		"12-28 15:00 tell assignee [a]",
		"01-02 10:00 tell clock [e f]", // those on call are told without a calendar
	)
	s.w.Teams["desk"] = staffed(calendar(t, 2030)) // a newer one is loaded
	s.until("2027-01-04 11:00")
	if s.log[len(s.log)-1] != "01-04 10:00 tell team [a b]" {
		t.Errorf("%v", s.log)
	}
}

// A clock that jumps back asks too early, which does nothing; one that jumps forward finds what is due.
func TestClockJumps(t *testing.T) {
	s := newStory(t, usual(), staffed(calendar(t, 2030)))
	s.at("2026-12-01 10:00", comes)
	for _, now := range []string{"2026-12-01 12:00", "2026-11-20 09:00", "2026-12-01 14:59", "1990-01-01 00:00"} {
		s.happens(now, Event{Kind: EventRungDue})
	}
	s.wants()
	s.happens("2026-12-02 10:30", Event{Kind: EventRungDue})
	s.happens("2026-12-01 09:00", Event{Kind: EventRungDue})
	s.happens("2026-12-02 10:30", Event{Kind: EventRungDue})
	s.wants("12-02 10:30 tell assignee [a]", "12-02 10:30 tell team [a b]")
}

// What claims to come from the future, came now.
func TestOtherClockAhead(t *testing.T) {
	s := newStory(t, usual(), staffed(calendar(t, 2030)))
	e := comes
	e.At = at("2027-06-01 10:00")
	s.at("2026-12-01 10:00", e)
	s.until("2026-12-01 16:00")
	s.wants("12-01 15:00 tell assignee [a]")
}

func TestUnknown(t *testing.T) {
	w := &World{}
	for _, kind := range append(EventKinds(), "what") {
		s, effects, due := w.Next(State{}, Event{Kind: kind, Rung: "r"}, at("2026-12-01 10:00"))
		if kind == EventRungDue || kind == EventUndelivered || kind == EventRosterChanged {
			if s.Life != 0 || len(effects) > 0 || !due.IsZero() {
				t.Errorf("%s: %+v %v %s", kind, s, effects, due)
			}
			continue
		}
		if s.Life == 0 {
			t.Errorf("%s: nothing is known", kind)
		}
		if open := s.Phase == PhaseOpen; open != (len(effects) > 0 && effects[0].Alarm == AlarmLadder && !due.IsZero()) {
			t.Errorf("%s: %s %v %s", kind, s.Phase, effects, due)
		}
	}
}

func TestResolve(t *testing.T) {
	c := calendar(t, 2026)
	noon, morning := at("2026-12-01 12:30"), at("2026-12-01 09:00")
	away := member("away")
	away.Absent = []Absence{{at("2026-12-01 00:00"), at("2026-12-02 00:00")}}
	left := member("left")
	left.Until = at("2026-12-01 00:00")
	later := member("later")
	later.From = at("2026-12-01 09:01")
	mail := member("mail")
	mail.Reach = []Channel{ChannelMail}
	call := member("call")
	call.OnCall = true
	slack := []Channel{ChannelSlack}
	for _, row := range []struct {
		name   string
		tell   Who
		by     []Channel
		whom   string
		now    time.Time
		people []Member
		want   string
	}{
		{"there", WhoTeam, all, "", morning, []Member{away, member("b"), left, member("a")}, "b a"},
		{"empty", WhoTeam, all, "", morning, nil, "empty"},
		{"left", WhoTeam, all, "", morning, []Member{left, later}, "left"},
		{"absent", WhoTeam, all, "", morning, []Member{left, away}, "absent"},
		{"back", WhoTeam, all, "", at("2026-12-02 08:30"), []Member{left, away}, "away"},
		{"no channel", WhoTeam, slack, "", morning, []Member{mail, away}, "unreachable"},
		{"noon", WhoTeam, all, "", noon, []Member{member("a"), away}, "closed"},
		{"on call at noon", WhoTeam, all, "", noon, []Member{member("a"), call}, "call"},
		{"the calendar ended", WhoTeam, all, "", at("2027-01-04 09:00"), []Member{member("a"), away}, "calendar"},
		{"on call without a calendar", WhoTeam, all, "", at("2027-01-04 09:00"), []Member{call}, "call"},
		{"nobody assigned", WhoAssignee, all, "", morning, []Member{member("a")}, "unassigned"},
		{"assignee", WhoAssignee, all, "a", morning, []Member{member("b"), member("a")}, "a"},
		{"assignee away", WhoAssignee, all, "away", morning, []Member{away, member("a")}, "absent"},
		{"assignee not of the team", WhoAssignee, all, "z", morning, []Member{member("a")}, "left"},
		{"unknown", "president", all, "", morning, []Member{member("a")}, "unknown_role"},
	} {
		team := staffed(c)
		team.People.Members = row.people
		res := Resolve(&Rung{Tell: row.tell, By: row.by}, team, policiesID(row.whom), row.now)
		got := string(res.Reason)
		if len(res.People) > 0 {
			var names []string
			for _, p := range res.People {
				names = append(names, string(p))
			}
			got += strings.Join(names, " ")
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestPick(t *testing.T) {
	urgent := &Ladder{Name: "urgent", Priorities: []Priority{PriorityUrgent}}
	cards := &Ladder{Name: "cards", Topics: []string{"card"}}
	rest := &Ladder{Name: "rest"}
	for _, row := range []struct {
		topic string
		p     Priority
		want  string
	}{{"card", PriorityUrgent, "urgent"}, {"card", PriorityLow, "cards"}, {"tax", PriorityLow, "rest"}} {
		if l, ok := Pick([]*Ladder{urgent, cards, rest}, row.topic, row.p); !ok || l.Name != row.want {
			t.Errorf("%s %s: %+v", row.topic, row.p, l)
		}
	}
	if l, ok := Pick([]*Ladder{urgent}, "tax", PriorityLow); ok {
		t.Errorf("%+v", l)
	}
}

func TestParseWait(t *testing.T) {
	for _, text := range []string{"1 working day", "2 working days", "4 working hours", "1 working hour", "30 working minutes", "72 hours", "3 days", "1 day", "45 minutes", "90 working minutes"} {
		w, err := ParseWait(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseWait(w.String())
		if err != nil || again != w {
			t.Errorf("%s is written as %s", text, w)
		}
	}
	for _, text := range []string{"", "4", "4h", "working days", "-1 days", "1.5 hours", "4  hours", "4 calendar days", "401 working days", "9999999 days", "2 weeks", "2 working weeks", "４ days"} {
		if w, err := ParseWait(text); err == nil {
			t.Errorf("%q is %s", text, w)
		}
	}
	if !slices.Equal(Whos(), slices.Compact(Whos())) {
		t.Error("twice")
	}
}
