package escalate

import (
	"slices"
	"time"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/bizcal"
)

// Absence is a time in which somebody isn't there: From belongs to it, Until doesn't.
type Absence struct{ From, Until time.Time }

// Member is somebody of a group, as far as it matters who can be told.
type Member struct {
	ID     policies.PersonID
	From   time.Time // first instant in this post; zero: always
	Until  time.Time // first instant after it (00:00 JST of the day after the last one); zero: stays
	Absent []Absence
	OnCall bool      // reached when the office is closed too
	Reach  []Channel // by which they can be told
}

func (m *Member) serves(t time.Time) bool {
	return !t.Before(m.From) && (m.Until.IsZero() || t.Before(m.Until))
}

func (m *Member) absent(t time.Time) bool {
	return slices.ContainsFunc(m.Absent, func(a Absence) bool { return !t.Before(a.From) && t.Before(a.Until) })
}

func (m *Member) reached(by []Channel) bool {
	return slices.ContainsFunc(by, func(c Channel) bool { return slices.Contains(m.Reach, c) })
}

// Group is people who are told together, with the calendar of their office.
type Group struct {
	Calendar *bizcal.Calendar
	Members  []Member
}

// TeamID names a team.
type TeamID string

// Team is who answers an inquiry, and who stands above them. Time is counted by the calendar of People. Groups may be shared between teams.
type Team struct {
	ID       TeamID
	Org      policies.OrgID
	People   *Group
	Admins   *Group
	Ministry *Group
	System   *Group
	At       Place
}

// group gives whom a rung may tell; an assignee is one of the team.
func (t *Team) group(w Who) *Group {
	switch w {
	case WhoAssignee, WhoTeam:
		return t.People
	case WhoTeamAdministrator:
		return t.Admins
	case WhoMinistryAdministrator:
		return t.Ministry
	case WhoSystemAdministrator:
		return t.System
	}
	return nil
}

// Reason is why nobody was told.
type Reason string

// The reasons.
const (
	ReasonNone        Reason = ""             // somebody was
	ReasonEmpty       Reason = "empty"        // the group has nobody
	ReasonUnassigned  Reason = "unassigned"   // nobody was assigned
	ReasonLeft        Reason = "left"         // all have left, or haven't begun
	ReasonAbsent      Reason = "absent"       // all who are left are absent
	ReasonUnreachable Reason = "unreachable"  // those who are there can't be reached by the rung's channels
	ReasonClosed      Reason = "closed"       // the office is closed, and nobody who is there is on call
	ReasonCalendar    Reason = "calendar"     // the office's calendar ends
	ReasonUndelivered Reason = "undelivered"  // nobody received it
	ReasonUnknown     Reason = "unknown_role" // there is no such audience
)

// Resolution is who is told by a rung at an instant, or why nobody is.
type Resolution struct {
	People []policies.PersonID // in the group's order
	Reason Reason              // where there is nobody
}

// Resolve gives whom a rung tells at an instant: those of its audience who are in their post, not absent, on duty (the office is open, or they are on
// call) and within reach of one of its channels.
func Resolve(r *Rung, team *Team, assignee policies.PersonID, now time.Time) Resolution {
	g := team.group(r.Tell)
	switch {
	case g == nil && !slices.Contains(Whos(), r.Tell):
		return Resolution{Reason: ReasonUnknown}
	case r.Tell == WhoAssignee && assignee == "":
		return Resolution{Reason: ReasonUnassigned}
	case g == nil || len(g.Members) == 0:
		return Resolution{Reason: ReasonEmpty}
	}
	open, err := g.Calendar.Open(now)
	var found Resolution
	best := 0 // how near the nearest was to being told
	for i := range g.Members {
		m := &g.Members[i]
		if r.Tell == WhoAssignee && m.ID != assignee {
			continue
		}
		near := m.near(now, r.By, open, err != nil)
		if near == len(nearness)-1 {
			found.People = append(found.People, m.ID)
		}
		best = max(best, near)
	}
	found.Reason = nearness[best]
	return found
}

// nearness orders the reasons by how little was missing.
var nearness = []Reason{ReasonLeft, ReasonAbsent, ReasonUnreachable, ReasonCalendar, ReasonClosed, ReasonNone}

func (m *Member) near(now time.Time, by []Channel, open, ended bool) int {
	reason := ReasonNone
	switch {
	case !m.serves(now):
		reason = ReasonLeft
	case m.absent(now):
		reason = ReasonAbsent
	case !m.reached(by):
		reason = ReasonUnreachable
	case ended && !m.OnCall:
		reason = ReasonCalendar
	case !open && !m.OnCall:
		reason = ReasonClosed
	}
	return slices.Index(nearness, reason)
}

// change gives the next instant after now at which Resolve may answer otherwise; zero if there is none, or the calendars end before.
func (t *Team) change(now time.Time) (next time.Time) {
	consider := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, g := range []*Group{t.People, t.Admins, t.Ministry, t.System} {
		if g == nil {
			continue
		}
		for i := range g.Members {
			m := &g.Members[i]
			consider(m.From)
			consider(m.Until)
			for _, a := range m.Absent {
				consider(a.From)
				consider(a.Until)
			}
		}
		if at, err := g.Calendar.Change(now); err == nil {
			consider(at)
		}
	}
	return next
}
