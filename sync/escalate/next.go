package escalate

import (
	"fmt"
	"slices"
	"time"
)

// World is what Next knows beside the inquiry: the ladders and teams as they are now. It isn't changed.
type World struct {
	Ladders map[string]*Ladder
	Teams   map[TeamID]*Team
}

const (
	// MaxSkew is how far another clock may be ahead of ours; what claims to happen later happened now.
	MaxSkew = 10 * time.Minute
	// recheck is when to look again at what can't be decided: a ladder or team that isn't there, a calendar that ends, mail that failed.
	recheck = time.Hour
)

// Next gives what an inquiry's state becomes by an event, what is to be done, in order, and when to ask again with EventRungDue (zero: not before another
// event). It is pure and total. Events may come twice, late and in any order: the later word about phase, assignee and desk counts, by Event.At.
// What is due is found at every event, so a lost EventRungDue delays and loses nothing; one that comes early does nothing.
func (w *World) Next(s State, e Event, now time.Time) (State, []Effect, time.Time) {
	n := next{w: w, s: s.clone(), now: now}
	at := e.At
	if at.IsZero() || at.After(now.Add(MaxSkew)) {
		at = now
	}
	n.apply(e, at)
	if n.s.Phase != PhaseOpen {
		return n.s, n.effects, time.Time{}
	}
	due := n.climb()
	return n.s, n.effects, due
}

// next is one step.
type next struct {
	w       *World
	s       State
	now     time.Time
	effects []Effect
}

func (n *next) ladder() *Ladder { return n.w.Ladders[n.s.Ladder] }
func (n *next) team() *Team     { return n.w.Teams[n.s.Team] }

// live begins a life.
func (n *next) live(at time.Time) {
	s := &n.s
	s.Life++
	s.Created, s.Asked = moment(at), moment(at)
	s.Marks, s.Stranded, s.Alarms = nil, nil, nil
	s.Acknowledged, s.RepliedAt = time.Time{}, time.Time{}
	if !s.Assigned.zero() {
		s.Assigned = moment(at)
	}
	if s.Phase == PhaseWaiting {
		s.Paused = at
	}
}

func (n *next) apply(e Event, at time.Time) {
	s := &n.s
	if e.Kind != EventRungDue {
		s.Retry = time.Time{}
	}
	if s.Life == 0 {
		if e.Kind == EventRungDue || e.Kind == EventUndelivered || e.Kind == EventRosterChanged {
			return // of an inquiry of which nothing was heard
		}
		s.Phase = PhaseOpen
		n.live(at)
	}
	switch e.Kind {
	case EventCreated:
		n.created(e, at)
	case EventAssigned:
		n.assigned(e, at)
	case EventAskerCommented:
		n.askerCommented(at)
	case EventAnswererCommented:
		if at.After(s.RepliedAt) {
			s.RepliedAt = at
		}
		if !s.Asked.Clock.After(at) {
			s.Asked = Moment{}
		}
	case EventWaiting, EventResumed, EventAnswered, EventReopened:
		n.phase(e.Kind, at)
	case EventAcknowledged:
		if s.Acknowledged.IsZero() {
			s.Acknowledged = at
		}
	case EventMoved:
		n.moved(e, at)
	case EventUndelivered:
		n.undelivered(e)
	}
}

func (n *next) created(e Event, at time.Time) {
	s := &n.s
	if s.MovedAt.IsZero() && s.Ladder == "" {
		s.Ladder = e.Ladder
	}
	if s.MovedAt.IsZero() && s.Team == "" {
		s.Team = e.Team
	}
	if s.Life == 1 && at.Before(s.Created.Clock) { // something that happened later came first
		s.Created, s.Asked = moment(at), moment(at)
		if !s.RepliedAt.IsZero() {
			s.Asked = Moment{}
		}
	}
	if e.Person != "" {
		n.assigned(e, at)
	}
}

func (n *next) assigned(e Event, at time.Time) {
	s := &n.s
	if at.Before(s.AssignedAt) {
		return
	}
	s.AssignedAt = at
	if e.Person != s.Assignee {
		s.Assignee, s.Assigned = e.Person, Moment{}
		if e.Person != "" {
			s.Assigned = moment(at)
		}
	}
	if e.Team != "" && e.Kind == EventAssigned && !at.Before(s.MovedAt) {
		s.Team = e.Team
	}
}

func (n *next) askerCommented(at time.Time) {
	s := &n.s
	if at.After(s.CommentedAt) {
		s.CommentedAt = at
	}
	if s.Asked.zero() && at.After(s.RepliedAt) {
		s.Asked = moment(at)
	}
	switch {
	case s.Phase == PhaseWaiting:
		n.follow(EventResumed, at)
	case s.Phase == PhaseDone:
		if l := n.ladder(); l == nil || !l.Thanks {
			n.follow(EventReopened, at)
		}
	}
}

// follow changes the phase because the asker wrote. That isn't a word about the phase: one that was said before, and is heard later, still counts.
func (n *next) follow(kind EventKind, at time.Time) {
	said := n.s.PhaseAt
	n.phase(kind, at)
	n.s.PhaseAt = said
}

// phase changes the phase, unless a later change is known. What keeps the inquiry open counts where two happened at the same instant.
func (n *next) phase(kind EventKind, at time.Time) {
	s := &n.s
	if at.Before(s.PhaseAt) || at.Equal(s.PhaseAt) && s.Phase == PhaseOpen {
		return
	}
	switch {
	case kind == EventAnswered:
		s.Phase, s.Paused, s.Moves = PhaseDone, time.Time{}, 0
	case kind == EventWaiting && s.Phase == PhaseWaiting:
		s.PhaseAt = at // and waits since the first time
		return
	case kind == EventResumed && s.Phase == PhaseWaiting:
		n.resume(at)
	case kind == EventReopened && !at.Equal(s.PhaseAt), s.Phase == PhaseDone:
		s.Phase, s.Paused = PhaseOpen, time.Time{}
		n.live(at)
	}
	if kind == EventWaiting {
		s.Phase, s.Paused = PhaseWaiting, at
	}
	s.PhaseAt = at
	if s.Phase != PhaseOpen && s.CommentedAt.After(at) { // the asker's word came before this, and was later
		n.askerCommented(s.CommentedAt)
	}
}

// resume lets the clocks go on where they stood.
func (n *next) resume(at time.Time) {
	s := &n.s
	paused := s.Paused
	s.Phase, s.Paused = PhaseOpen, time.Time{}
	team := n.team()
	for _, m := range []*Moment{&s.Created, &s.Assigned, &s.Asked} {
		if m.zero() {
			continue
		}
		from := paused
		if m.Clock.After(from) {
			from = m.Clock // it began during the pause
		}
		m.Clock = m.Clock.Add(max(0, at.Sub(from)))
		if team == nil || team.People == nil {
			continue
		}
		// A calendar that ends leaves the working clock as it is: rather too early than never.
		used, err := team.People.Calendar.HoursBetween(m.Working, paused)
		if err != nil {
			continue
		}
		if back, err := team.People.Calendar.Back(at, used); err == nil && back.After(m.Working) {
			m.Working = back
		}
	}
}

func (n *next) moved(e Event, at time.Time) {
	s := &n.s
	if at.Before(s.MovedAt) || at.Equal(s.MovedAt) && e.Ladder == s.Ladder && e.Team == s.Team {
		return
	}
	s.MovedAt = at // to where it stands, too: it was elsewhere, and the word of that is late
	s.Ladder, s.Team = e.Ladder, e.Team
	if s.AssignedAt.Before(at) {
		s.Assignee, s.Assigned, s.AssignedAt = "", Moment{}, at
	}
	if s.Phase == PhaseDone {
		return
	}
	moves := s.Moves + 1
	n.live(at)
	s.Moves = moves
	if l := n.ladder(); l != nil && l.MaxMoves > 0 && moves > l.MaxMoves {
		n.alarm(AlarmMoves, "", ReasonNone)
	}
}

// undelivered makes a rung that nobody received climb, as if nobody had been there.
func (n *next) undelivered(e Event) {
	s := &n.s
	m := s.mark(e.Rung)
	if e.Life != s.Life || m == nil || m.Told == 0 {
		return
	}
	m.Told = 0
	m.Failed++
	l, t := n.ladder(), n.team()
	if s.Phase != PhaseOpen || l == nil || t == nil || l.rung(e.Rung) < 0 {
		return
	}
	n.try(l, t, l.rung(e.Rung), ReasonUndelivered)
}

// climb does what is due and says when more will be.
func (n *next) climb() (due time.Time) {
	consider := func(at time.Time) {
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	s := &n.s
	l, t := n.ladder(), n.team()
	if l == nil || t == nil || t.People == nil {
		alarm := AlarmTeam
		if l == nil {
			alarm = AlarmLadder
		}
		n.alarm(alarm, "", ReasonNone)
		return n.now.Add(recheck)
	}
	rest := n.now.Before(s.Retry) // what is stranded: all of it is tried at the same time
	for i := range l.Rungs {
		r := &l.Rungs[i]
		since, runs := s.since(r.Since)
		if !runs || s.done(r.Name) {
			continue
		}
		at, err := l.due(r, t.People.Calendar, since)
		switch {
		case err != nil:
			n.alarm(AlarmCalendar, r.Name, ReasonCalendar)
			consider(n.now.Add(recheck))
			continue
		case at.After(n.now):
			consider(at)
			continue
		case rest && slices.Contains(s.Stranded, r.Name):
		default:
			n.try(l, t, i, ReasonNone)
		}
		if !s.done(r.Name) {
			consider(s.Retry)
		}
	}
	return due
}

// since gives when a rung's time began, and whether it runs.
func (s *State) since(a Anchor) (Moment, bool) {
	switch a {
	case SinceCreated, SinceDue:
		return s.Created, true
	case SinceAssigned:
		return s.Assigned, !s.Assigned.zero()
	case SinceAsked:
		return s.Asked, !s.Asked.zero()
	}
	return Moment{}, false
}

// try tells the people of a rung, or those of the first above it who are found. failed is why the rung itself can't be told, if that is known.
func (n *next) try(l *Ladder, t *Team, i int, failed Reason) {
	s, origin := &n.s, &l.Rungs[i]
	chain, _ := l.chain(i)
	for _, j := range chain {
		r := &l.Rungs[j]
		if m := s.mark(r.Name); j != i && m != nil && m.done() {
			if m.Told > 0 { // somebody above knows already
				n.pass(origin.Name, r.Name, failed)
				return
			}
			continue
		}
		if j == i && failed != ReasonNone {
			continue
		}
		res := Resolve(r, t, s.Assignee, n.now)
		if len(res.People) == 0 {
			if failed == ReasonNone {
				failed = res.Reason
			}
			continue
		}
		if j != i {
			n.pass(origin.Name, r.Name, failed)
		}
		n.tell(r, res)
		return
	}
	n.alarm(AlarmNobody, origin.Name, failed)
	if !slices.Contains(s.Stranded, origin.Name) {
		s.Stranded = append(s.Stranded, origin.Name)
	}
	retry := t.change(n.now)
	if limit := n.now.Add(recheck); failed == ReasonUndelivered || retry.IsZero() || failed == ReasonCalendar && retry.After(limit) {
		retry = limit
	}
	if !s.Retry.After(n.now) || retry.Before(s.Retry) {
		s.Retry = retry
	}
}

// pass marks a rung as told by another one.
func (n *next) pass(rung, to string, why Reason) {
	m := n.marked(rung)
	m.To = to
	n.effects = append(n.effects, Effect{Kind: EffectClimb, Key: n.key("climb", rung, m.Failed), Rung: rung, To: to, Reason: why})
}

func (n *next) tell(r *Rung, res Resolution) {
	m := n.marked(r.Name)
	m.Told = len(res.People)
	n.effects = append(n.effects, Effect{Kind: EffectTell, Key: n.key("tell", r.Name, m.Failed), Rung: r.Name, People: res.People, By: r.By})
}

func (n *next) marked(rung string) *Mark {
	s := &n.s
	s.Stranded = slices.DeleteFunc(s.Stranded, func(name string) bool { return name == rung })
	if s.mark(rung) == nil {
		s.Marks = append(s.Marks, Mark{Rung: rung})
	}
	m := s.mark(rung)
	m.At = n.now
	return m
}

func (n *next) alarm(a Alarm, rung string, why Reason) {
	name := string(a) + " " + rung
	if slices.Contains(n.s.Alarms, name) {
		return
	}
	n.s.Alarms = append(n.s.Alarms, name)
	n.effects = append(n.effects, Effect{Kind: EffectAlarm, Key: n.key(string(a), rung, 0), Rung: rung, Reason: why, Alarm: a})
}

func (n *next) key(what, rung string, try int) string {
	return fmt.Sprintf("%d/%s/%s/%d", n.s.Life, what, rung, try)
}
