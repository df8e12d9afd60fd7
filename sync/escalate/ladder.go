package escalate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/sync/bizcal"
)

// Who is whom a rung tells.
type Who string

// The audiences, in the order of a usual ladder.
const (
	WhoAssignee              Who = "assignee"               // 担当者
	WhoTeam                  Who = "team"                   // 担当チーム
	WhoTeamAdministrator     Who = "team_administrator"     // チームの管理者
	WhoMinistryAdministrator Who = "ministry_administrator" // 府省庁の管理ユーザ
	WhoSystemAdministrator   Who = "system_administrator"   // システム管理者
)

// Whos lists them.
func Whos() []Who {
	return []Who{WhoAssignee, WhoTeam, WhoTeamAdministrator, WhoMinistryAdministrator, WhoSystemAdministrator}
}

// Channel is how somebody is told.
type Channel string

// The channels.
const (
	ChannelSlack  Channel = "slack"
	ChannelMail   Channel = "mail"
	ChannelTicket Channel = "ticket" // a comment on the ticket, which its readers are told of by the ticketing product
)

// Channels lists them.
func Channels() []Channel { return []Channel{ChannelSlack, ChannelMail, ChannelTicket} }

// Anchor is since when a rung's time is counted.
type Anchor string

// The anchors. A rung whose anchor hasn't happened waits for it.
const (
	SinceCreated  Anchor = "created"  // the inquiry came, was reopened, or was moved here
	SinceAssigned Anchor = "assigned" // it got its present assignee
	SinceAsked    Anchor = "asked"    // the asker wrote first without a reply since
	SinceDue      Anchor = "due"      // the ladder's answer_within was over
)

// Anchors lists them.
func Anchors() []Anchor { return []Anchor{SinceCreated, SinceAssigned, SinceAsked, SinceDue} }

// Priority is an inquiry's priority.
type Priority string

// The priorities.
const (
	PriorityUrgent Priority = "urgent"
	PriorityHigh   Priority = "high"
	PriorityNormal Priority = "normal"
	PriorityLow    Priority = "low"
)

// Priorities lists them, most urgent first.
func Priorities() []Priority {
	return []Priority{PriorityUrgent, PriorityHigh, PriorityNormal, PriorityLow}
}

// Wait is a length of time: working days, or a time that runs in working hours or by the clock. The zero value is no time at all.
type Wait struct {
	Days  int           // working days; Time is 0 then
	Time  time.Duration // working time, or by the clock
	Clock bool          // Time runs at night and on holidays too
}

// MaxWait bounds a Wait, in working days or in days by the clock.
const MaxWait = 400

// ParseWait reads "2 working days", "4 working hours", "30 working minutes"; by the clock: "3 days", "72 hours", "45 minutes".
func ParseWait(text string) (Wait, error) {
	words := strings.Split(text, " ")
	working := len(words) == 3 && words[1] == "working"
	if len(words) != 2 && !working || len(words[0]) > 6 || strings.Trim(words[0], "0123456789") != "" || words[0] == "" {
		return Wait{}, fmt.Errorf("%.40q: 「2 working days」「4 working hours」「72 hours」のように書く / write it like 2 working days, 4 working hours, 30 working minutes, or by the clock 72 hours, 45 minutes", text)
	}
	n, _ := strconv.Atoi(words[0]) // digits alone
	w := Wait{Clock: !working}
	switch unit := strings.TrimSuffix(words[len(words)-1], "s"); {
	case unit == "day" && working:
		w.Days = n
	case unit == "day":
		w.Time = time.Duration(n) * 24 * time.Hour
	case unit == "hour":
		w.Time = time.Duration(n) * time.Hour
	case unit == "minute":
		w.Time = time.Duration(n) * time.Minute
	default:
		return Wait{}, fmt.Errorf("%.40q: 単位は days, hours, minutes / the unit is days, hours or minutes", words[len(words)-1])
	}
	if w.Days > MaxWait || w.Time > MaxWait*24*time.Hour {
		return Wait{}, fmt.Errorf("%.40q: 長すぎる（上限 %d 日） / at most %d days", text, MaxWait, MaxWait)
	}
	return w, nil
}

// String writes the wait as ParseWait reads it.
func (w Wait) String() string {
	working := " working"
	if w.Clock {
		working = ""
	}
	n, unit := int64(w.Days), "day"
	switch {
	case w.Days > 0:
	case w.Clock && w.Time > 0 && w.Time%(24*time.Hour) == 0:
		n = int64(w.Time / (24 * time.Hour))
	case w.Time%time.Hour == 0:
		n, unit = int64(w.Time/time.Hour), "hour"
	default:
		n, unit = int64(w.Time/time.Minute), "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d%s %s", n, working, unit)
}

// kind tells waits apart that can't be compared: working days, working time, clock.
func (w Wait) kind() int {
	switch {
	case w.Clock:
		return 2
	case w.Days > 0:
		return 1
	}
	return 0
}

// after gives the instant at which the wait that began at an instant is over. Working time is over when the office is open: what would end with the last
// hour of a day ends with the first one of the next.
func (w Wait) after(c *bizcal.Calendar, t time.Time) (time.Time, error) {
	if w.Clock {
		return t.Add(w.Time), nil
	}
	var err error
	if w.Days > 0 {
		t, err = c.Add(t, w.Days)
	} else {
		t, err = c.AddHours(t, w.Time)
	}
	if err != nil {
		return time.Time{}, err
	}
	return c.NextOpen(t)
}

// Rung is one step of a ladder.
type Rung struct {
	Name      string
	After     Wait
	Since     Anchor // empty: the rung is told only where another one finds nobody
	Tell      Who
	By        []Channel
	Otherwise string // the rung to climb to where nobody is found; empty: the next one
	At        Place  // in a file
}

// Ladder says how an inquiry climbs while nobody answers it.
type Ladder struct {
	Name         string
	Title        string // what staff see
	Topics       []string
	Priorities   []Priority
	AnswerWithin Wait // the due date
	ToldWithin   Wait // the promise: by then a person who is on duty was told
	MaxMoves     int  // moves to another desk before the system administrators are told (たらい回し)
	Thanks       bool // a comment of the asker after the answer doesn't reopen the inquiry
	Rungs        []Rung
	At           Place
}

// rung finds a rung by its name; -1 if there is none.
func (l *Ladder) rung(name string) int {
	return slices.IndexFunc(l.Rungs, func(r Rung) bool { return r.Name == name })
}

// otherwise gives the rung to climb to from one that finds nobody; -1 at the ladder's end.
func (l *Ladder) otherwise(i int) int {
	if name := l.Rungs[i].Otherwise; name != "" {
		return l.rung(name)
	}
	if i+1 < len(l.Rungs) {
		return i + 1
	}
	return -1
}

// chain gives the rungs that are tried, one after the other, where the i-th is due; loop is the rung that came again, or -1.
func (l *Ladder) chain(i int) (rungs []int, loop int) {
	for ; i >= 0; i = l.otherwise(i) {
		if slices.Contains(rungs, i) {
			return rungs, i
		}
		rungs = append(rungs, i)
	}
	return rungs, -1
}

// due gives when a rung is due that counts from an instant; the calendar's error where it ends before.
func (l *Ladder) due(r *Rung, c *bizcal.Calendar, since Moment) (time.Time, error) {
	if r.Since == SinceDue {
		due, err := l.answerBy(c, since)
		if err != nil {
			return time.Time{}, err
		}
		return r.After.after(c, due)
	}
	return r.After.after(c, since.of(r.After))
}

// answerBy gives the due date of an inquiry that counts from an instant: with working days the end of the last one.
func (l *Ladder) answerBy(c *bizcal.Calendar, since Moment) (time.Time, error) {
	if l.AnswerWithin.Days > 0 {
		return c.Due(since.Working, l.AnswerWithin.Days)
	}
	return l.AnswerWithin.after(c, since.of(l.AnswerWithin))
}

// Moment is since when time is counted. While an inquiry waits for its asker both clocks stand, and are set on when it goes on: the one by as much working
// time, the other by as much time.
type Moment struct {
	Working time.Time `json:"working"`
	Clock   time.Time `json:"clock"`
}

func moment(t time.Time) Moment { return Moment{t, t} }

func (m Moment) zero() bool { return m.Clock.IsZero() }

func (m Moment) of(w Wait) time.Time {
	if w.Clock {
		return m.Clock
	}
	return m.Working
}

// Pick gives the first ladder that is for an inquiry's topic and priority.
func Pick(ladders []*Ladder, topic string, p Priority) (*Ladder, bool) {
	for _, l := range ladders {
		if (len(l.Topics) == 0 || slices.Contains(l.Topics, topic)) && (len(l.Priorities) == 0 || slices.Contains(l.Priorities, p)) {
			return l, true
		}
	}
	return nil, false
}

// Place is where something stands in a file. The zero value is nowhere.
type Place struct {
	File         string
	Line, Column int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}
