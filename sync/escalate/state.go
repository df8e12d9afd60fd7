package escalate

import (
	"slices"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// Phase is what an inquiry waits for.
type Phase string

// The phases.
const (
	PhaseOpen    Phase = "open"    // for an answer
	PhaseWaiting Phase = "waiting" // for its asker: the clocks stand
	PhaseDone    Phase = "done"    // for nothing: answered
)

// State is what is known of one inquiry. The zero value is one of which nothing was heard. It holds no text of the inquiry.
type State struct {
	Ladder   string            `json:"ladder"`
	Team     TeamID            `json:"team"`
	Life     int               `json:"life"` // 1, and one more with each reopening or move
	Phase    Phase             `json:"phase"`
	Assignee policies.PersonID `json:"assignee,omitempty"`

	Created  Moment    `json:"created,omitzero"`
	Assigned Moment    `json:"assigned,omitzero"`
	Asked    Moment    `json:"asked,omitzero"`
	Paused   time.Time `json:"paused,omitzero"` // since when it waits for the asker

	// When the last change of its kind happened where it was made: what is older comes too late and changes nothing.
	PhaseAt    time.Time `json:"phase_at,omitzero"`
	AssignedAt time.Time `json:"assigned_at,omitzero"`
	MovedAt    time.Time `json:"moved_at,omitzero"`
	RepliedAt  time.Time `json:"replied_at,omitzero"`
	// CommentedAt is when the asker wrote last.
	CommentedAt time.Time `json:"commented_at,omitzero"`

	Acknowledged time.Time `json:"acknowledged,omitzero"` // shown; it stops nothing
	Moves        int       `json:"moves,omitempty"`       // without an answer
	Marks        []Mark    `json:"marks,omitempty"`       // rungs of this life, as they were done
	Stranded     []string  `json:"stranded,omitempty"`    // rungs that are due and found nobody, nor did those above them
	Retry        time.Time `json:"retry,omitzero"`        // when they are tried again
	Alarms       []string  `json:"alarms,omitempty"`      // raised in this life
}

// Mark says that a rung is done with in this life.
type Mark struct {
	Rung   string    `json:"rung"`
	At     time.Time `json:"at"`
	Told   int       `json:"told"`             // people
	To     string    `json:"to,omitempty"`     // nobody was told: the rung that told somebody instead
	Failed int       `json:"failed,omitempty"` // tries that nobody received; with neither Told nor To it is due again
}

func (m *Mark) done() bool { return m.Told > 0 || m.To != "" }

func (s *State) mark(rung string) *Mark {
	if i := slices.IndexFunc(s.Marks, func(m Mark) bool { return m.Rung == rung }); i >= 0 {
		return &s.Marks[i]
	}
	return nil
}

func (s *State) done(rung string) bool {
	m := s.mark(rung)
	return m != nil && m.done()
}

func (s State) clone() State {
	s.Marks, s.Stranded, s.Alarms = slices.Clone(s.Marks), slices.Clone(s.Stranded), slices.Clone(s.Alarms)
	return s
}

// EventKind is the kind of what happened to an inquiry.
type EventKind string

// The kinds.
const (
	EventCreated           EventKind = "created"
	EventAssigned          EventKind = "assigned"          // or reassigned, or to nobody: Person; Team where another one takes it in the same desk
	EventAskerCommented    EventKind = "asker_commented"   // resumes what waits for the asker
	EventAnswererCommented EventKind = "answer_commented"  // no answer yet
	EventWaiting           EventKind = "waiting_for_asker" // pauses
	EventResumed           EventKind = "resumed"
	EventAcknowledged      EventKind = "acknowledged" // it climbs all the same
	EventAnswered          EventKind = "answered"     // or resolved: stops
	EventReopened          EventKind = "reopened"     // a new life
	EventMoved             EventKind = "moved"        // to another project or organization: Ladder, Team; a new life there
	EventRungDue           EventKind = "rung_due"     // it is time to look
	EventUndelivered       EventKind = "undelivered"  // nobody received what Rung of Life told
	EventRosterChanged     EventKind = "roster_changed"
)

// EventKinds lists them.
func EventKinds() []EventKind {
	return []EventKind{
		EventCreated, EventAssigned, EventAskerCommented, EventAnswererCommented, EventWaiting, EventResumed, EventAcknowledged,
		EventAnswered, EventReopened, EventMoved, EventRungDue, EventUndelivered, EventRosterChanged,
	}
}

// Event is something that happened. At is when, by the clock of where it happened; zero: now.
type Event struct {
	Kind   EventKind         `json:"kind"`
	At     time.Time         `json:"at"`
	Person policies.PersonID `json:"person,omitempty"`
	Ladder string            `json:"ladder,omitempty"` // of a created or moved inquiry
	Team   TeamID            `json:"team,omitempty"`
	Rung   string            `json:"rung,omitempty"`
	Life   int               `json:"life,omitempty"`
}

// EffectKind is the kind of what is to be done.
type EffectKind string

// The kinds.
const (
	EffectTell  EffectKind = "tell"  // People by By, because Rung is due
	EffectClimb EffectKind = "climb" // nobody was found at Rung, for Reason: To tells somebody instead; to be noted
	EffectAlarm EffectKind = "alarm" // the system administrators must know: nobody can be told, or the ladder can't be climbed
)

// Effect is something to do. Key names it for ever within its inquiry: whoever does it twice under the same key has done it once.
type Effect struct {
	Kind   EffectKind          `json:"kind"`
	Key    string              `json:"key"`
	Rung   string              `json:"rung,omitempty"`
	To     string              `json:"to,omitempty"`
	People []policies.PersonID `json:"people,omitempty"`
	By     []Channel           `json:"by,omitempty"`
	Reason Reason              `json:"reason,omitempty"`
	Alarm  Alarm               `json:"alarm,omitempty"`
}

// Alarm is why the system administrators must know.
type Alarm string

// The alarms; each is raised once in a life, for a rung where there is one.
const (
	AlarmNobody   Alarm = "nobody"        // a rung is due, and neither it nor those above find anybody: tried again when the roster changes
	AlarmLadder   Alarm = "no_ladder"     // there is no such ladder: nobody owns the inquiry
	AlarmTeam     Alarm = "no_team"       // there is no such team
	AlarmCalendar Alarm = "calendar_ends" // the team's calendar ends before a rung is due
	AlarmMoves    Alarm = "passed_around" // moved more often than the ladder allows
)
