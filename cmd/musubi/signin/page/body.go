package page

import "time"

// Way is one way to prove oneself, as the choice shows it.
type Way struct {
	ID                   string
	Title, About, Button Label
	Steps                []Label
	Warn                 *Label
	Page                 bool // it is a form on this host; else the browser goes to another
}

// MethodsBody is the body of Methods. Path is that of the login: "/login/ID".
type MethodsBody struct {
	Path, Form string
	For        *Label // what the person wants to use; nil where nobody knows its name
	Linking    bool
	Ways       []Way
}

// Field is a field of a form.
type Field struct {
	Name, Type, Autocomplete, Value string
	Max                             int
	Label                           Label
	Hint                            *Hint
}

// Hint explains the field For.
type Hint struct {
	For  string
	Text Label
}

// SecretBody is the body of Secret.
type SecretBody struct {
	Path, Form, ID string
	About, Button  Label
	Fields         []Field
}

// Post is a post to act in.
type Post struct {
	Org, Name, Section, Title string
	Role                      Label
}

// PostsBody is the body of Posts.
type PostsBody struct {
	Path, Form string
	Posts      []Post
}

// AnswerBody is the body of Answer.
type AnswerBody struct {
	Say, Button Label
	Action      string
	Fields      [][2]string
}

// MessageBody is the body of Message. Where there are Fields the way on is a form that is posted to Link.
type MessageBody struct {
	Say, Do  Label
	Steps    []Label
	Warn     *Label
	Link     string
	Button   Label
	Fields   [][2]string
	Incident string
}

// ConfirmBody is the body of Confirm.
type ConfirmBody struct {
	Say, Button         Label
	Action, Token, Back string
}

// Session is a session in one's own list. Times are UTC in microseconds.
type Session struct {
	ID, Org         string
	Agent           Label
	This            bool
	Since, Seen     int64
	Network, Method Label
}

// Service is a relying party that somebody may enter. Link begins a login there; empty where one begins at the service.
type Service struct {
	Name Label
	Link string
}

// ServicesBody is the body of Services. Post is the name of the organization in which the visitor acts.
type ServicesBody struct {
	Post string
	List []Service
}

// SessionsBody is the body of Sessions. Idle and Age are how long the visitor's session lasts.
type SessionsBody struct {
	Token     string
	Post      Post
	Others    []Post
	List      []Session
	More      bool // there are others than this one
	Services  bool // there is a page of services
	Idle, Age time.Duration
}

// Told is a service that was used in a session that has ended, and what it was told. Until is when its own session ends at the latest (UTC,
// microseconds; 0: unknown).
type Told struct {
	Name  Label
	State ToldState
	Until int64
}

// ToldState says what became of a session at a service.
type ToldState string

// The states.
const (
	ToldEnded   ToldState = "ended"   // it says so
	ToldPartly  ToldState = "partly"  // it says so, and that somebody behind it couldn't be told
	ToldTelling ToldState = "telling" // the hub tells it until it hears
	ToldFramed  ToldState = "framed"  // this page loads its own; what came of it nobody knows
	ToldUnsure  ToldState = "unsure"  // it may have been told, and didn't confirm
	ToldRefused ToldState = "refused"
	ToldWaiting ToldState = "waiting" // only this browser can tell it, and may yet
	ToldUntold  ToldState = "untold"  // nobody can tell it
)

// Over reports whether the session there is over, or will be by the hub's doing.
func (s Told) Over() bool {
	return s.State == ToldEnded || s.State == ToldPartly || s.State == ToldTelling
}

// LoggedOutBody is the body of LoggedOut.
type LoggedOutBody struct {
	Known    bool // what the services were told is known
	Services []Told
	Back     string // where the browser is wanted; empty: nowhere
	Resume   string // where services are told that weren't yet; empty: there is nothing left
}

// Open gives the services in which a session may go on.
func (b LoggedOutBody) Open() (open []Told) {
	for _, s := range b.Services {
		if !s.Over() {
			open = append(open, s)
		}
	}
	return open
}

// LeavingBody is the body of Leaving: Action is opened at once, or Fields are posted to it.
type LeavingBody struct {
	Service      Label
	Action, Skip string
	Fields       [][2]string
	Number, Of   int
}
