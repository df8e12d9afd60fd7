package console

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// ProofLife is how old a proof of the person may be for what can't be taken back easily: approving a plan, releasing a breaker, taking away how
// somebody logs in. It counts where Login.Fresh is nil.
const ProofLife = 15 * time.Minute

// Login is how people come in who log in. cmd/musubi/signin gives it. What stands before the pages has refused, or sent to login, whoever has no
// session, and has held the host name to its network; the pages fail closed all the same.
type Login struct {
	// Who gives the request's session and the person in the post in which they act, read from the database for this request; ok is false where
	// there is none that stands.
	Who func(r *http.Request) (access.Actor, session.Session, bool)
	// Prove gives the address at which the person of r proves themselves anew and then comes back to the path back, one of the pages' own.
	Prove func(r *http.Request, back string) string
	// Logout gives the form that ends r's session.
	Logout func(r *http.Request) LogoutForm
	// Fresh reports whether the newest proof of r's session is fresh enough for a decision; nil: it is for ProofLife.
	Fresh func(r *http.Request) bool
	// Sessions is the path of the person's own sessions; empty: there is no such link. Posts gives that at which r's person chooses another post,
	// or nothing; nil: Sessions has that too.
	Sessions string
	// Services is the path of what the person may enter; empty: there is no such link.
	Services string
	Posts    func(r *http.Request) string
}

// LogoutForm is a form that ends a session: where it posts to, and its hidden fields.
type LogoutForm struct {
	Path   string
	Fields map[string]string
}

func (l *Login) complete() bool { return l.Who != nil && l.Prove != nil && l.Logout != nil }

// describe adds to a visitor what the login tells.
func (l *Login) describe(r *http.Request, s session.Session, v *visitor) {
	if l == nil {
		return
	}
	logout := l.Logout(r)
	v.Network, v.Logout = networkLabel(s.Network), &logout
	if l.Services != "" {
		v.Links = append(v.Links, crumb{label{"サービス", "Services"}, l.Services})
	}
	own := label{"自分のログイン", "Your sessions"}
	if l.Posts == nil { // one page has both
		own = label{"自分のログイン・所属の切替", "Your sessions and posts"}
	}
	if l.Sessions != "" {
		v.Links = append(v.Links, crumb{own, l.Sessions})
	}
	if l.Posts == nil {
		return
	}
	if path := l.Posts(r); path != "" {
		v.Links = append(v.Links, crumb{label{"職を切り替える", "Change post"}, path})
	}
}

// authenticate gives the person behind the request, and the session of who has logged in. Who isn't there gets errNoSession.
func (c *Console) authenticate(ctx context.Context, r *http.Request) (access.Actor, session.Session, error) {
	if c.cfg.Login == nil {
		actor, err := c.ticketed(ctx, r)
		return actor, session.Session{}, err
	}
	actor, visit, ok := c.cfg.Login.Who(r)
	switch {
	case !ok:
		return access.Actor{}, session.Session{}, errNoSession
	case actor.Kind != access.KindPerson || actor.ID() == "" || visit.ID == "" || visit.Person != actor.Person.ID || visit.Org != actor.Org.ID:
		return access.Actor{}, session.Session{}, fmt.Errorf("%w: session %q isn't of the person who acts", errNoSession, visit.ID)
	}
	actor.Session = visit.ID
	return actor, visit, nil
}

// proof says what it takes before a decision can be made.
type proof struct {
	Say  label
	Path string // at which the person proves themselves anew; empty: nothing helps
}

// proofNeeded is a decision that was refused for want of a fresh proof.
type proofNeeded struct{ proof }

// Error implements error.
func (p proofNeeded) Error() string { return p.Say.EN }

// proofFor tells what a decision at the page back takes first; nil: nothing. Whoever came by a ticket has proved themselves to the machine.
func (c *Console) proofFor(r *http.Request, v viewer, back string) *proof {
	switch {
	case c.cfg.Login == nil:
		return nil
	case v.visit.Sealed():
		return &proof{Say: label{
			"封印された非常用アカウントでは、承認や解除はできません。マイナンバーカードでログインしたシステム管理者が行います。",
			"A sealed break-glass account approves and releases nothing: a system administrator does who has logged in with the card.",
		}}
	}
	return c.freshProofFor(r, v, back)
}

// freshProofFor is proofFor of what a sealed break-glass account is there for.
func (c *Console) freshProofFor(r *http.Request, v viewer, back string) *proof {
	if c.cfg.Login == nil || c.fresh(r, v) {
		return nil
	}
	return &proof{label{
		"この操作には、直前 15 分以内の本人確認が要ります。確認の後、この画面に戻ります。",
		"This takes a proof of you that is no older than 15 minutes. You come back to this page afterwards.",
	}, c.cfg.Login.Prove(r, back)}
}

func (c *Console) fresh(r *http.Request, v viewer) bool {
	if c.cfg.Login.Fresh != nil {
		return c.cfg.Login.Fresh(r)
	}
	age := c.cfg.Now().Sub(time.UnixMicro(v.visit.AuthAt))
	return age < ProofLife
}

// proven holds a decision that comes in to what its page asked for.
func (c *Console) proven(r *http.Request, v viewer, back string) error {
	if p := c.proofFor(r, v, back); p != nil {
		return proofNeeded{*p}
	}
	return nil
}

// incidentWait is how long a page of refusal waits for its record.
const incidentWait = 2 * time.Second

// incident records that a request was refused, and gives the number by which the record is found. Only who is there leaves one: whoever isn't
// could fill the log. It is empty where there is none.
func (c *Console) incident(r *http.Request, reason string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), incidentWait)
	defer cancel()
	actor, _, err := c.authenticate(ctx, r)
	if err != nil {
		return ""
	}
	now := c.cfg.Now()
	row := actor.AuditRow(now.UnixMicro(), "console.page", audit.Refused)
	row.ID, _ = audit.NewIncident(rand.Reader, now) // never fails: crypto/rand ends the process where the system has no randomness
	row.Org, row.Object, row.Reason = actor.Org.ID, r.Pattern, reason
	err = c.cfg.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row) })
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			c.cfg.Logger.ErrorContext(ctx, "console: a refusal wasn't recorded", "page", r.Pattern, "error", err)
		}
		return ""
	}
	return row.ID
}

func networkLabel(n policies.Network) label {
	name := n.Name()
	return label{name.JA, name.EN}
}
