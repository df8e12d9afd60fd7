package notice

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// Queue is the queue of notices to people.
const Queue = "person_notice"

// Queues lists the queues of this package.
func Queues() map[string]jobs.Queue { return map[string]jobs.Queue{Queue: {MaxWorkers: 2}} }

// The waits of a notice.
const (
	waitForRelay = 7 * 24 * time.Hour // for somebody to configure a mail relay
	lookForRelay = time.Hour
	timeout      = 30 * time.Second
	maxAttempts  = 100 // a relay that is away for a day is waited for
)

// Args is the job that mails one notice.
type Args struct {
	ID string `json:"id"`
}

// Kind implements jobs.Args.
func (Args) Kind() string { return "person.notice.v1" }

// Key implements jobs.Args.
func (a Args) Key() string { return a.ID }

func options() jobs.KindOptions {
	return jobs.KindOptions{Queue: Queue, Priority: 2, MaxAttempts: maxAttempts, Timeout: timeout, Backoff: jobs.Exponential(10*time.Second, 15*time.Minute)}
}

// People gives a person in service with their organization, and access.ErrPersonEnded for others: access.Resolver.
type People interface {
	Person(ctx context.Context, id policies.PersonID) (access.Actor, error)
}

// Mail sends notices.
type Mail struct {
	Sender connectors.Sender // nil: no relay is configured
	People People
	// Invitation gives the addresses at which a person opens the path of an invitation, one for each network that has a login.
	Invitation func(path string) []Link
}

// Link is an address in a network.
type Link struct {
	Network policies.Network
	Address string
}

// Register registers the kind of job of this package and how it is worked.
func Register(w *jobs.Workers, s *Store, m Mail, now func() time.Time, log *slog.Logger) {
	p := &postman{s, m, now, log}
	jobs.Register(w, options(), p.work)
}

// Declare tells w the kind of job of this package, for a process that inserts but doesn't work it.
func Declare(w *jobs.Workers) { jobs.Declare[Args](w, options()) }

type postman struct {
	store *Store
	mail  Mail
	now   func() time.Time
	log   *slog.Logger
}

// work mails one notice, in one message, whose key is the notice's: the relay's side can tell a copy that went out twice, when the hub ended
// between sending and keeping.
func (p *postman) work(ctx context.Context, job jobs.Job[Args]) error {
	n, err := p.store.find(ctx, job.Args.ID)
	if errors.Is(err, identity.ErrNotFound) || err == nil && n.State != StateWaiting && !n.again() {
		return nil
	}
	if err != nil {
		return err
	}
	now := p.now()
	if n.ExpiresAt > 0 && now.UnixMicro() >= n.ExpiresAt {
		return p.unsent(ctx, n, WhyExpired)
	}
	if p.mail.Sender == nil {
		if now.Sub(time.UnixMicro(n.At)) >= waitForRelay {
			return p.unsent(ctx, n, WhyNoRelay)
		}
		return jobs.Snooze(lookForRelay)
	}
	message, why, err := p.message(ctx, n)
	if err != nil {
		return err
	}
	if why != "" {
		return p.unsent(ctx, n, why)
	}
	_, err = p.mail.Sender.SendMessage(ctx, message)
	switch {
	case err == nil:
		return p.store.settle(ctx, n.ID, StateSent, "", p.now().UnixMicro())
	case connectors.KindOf(err) == connectors.KindInvalid:
		return p.dead(ctx, n, WhyRefused, err)
	case job.Attempt >= job.MaxAttempts:
		return p.dead(ctx, n, WhyGivenUp, err)
	}
	return err
}

// message writes the mail; why says that there is none to send.
func (p *postman) message(ctx context.Context, n Notice) (m connectors.Message, why string, err error) {
	a, err := p.mail.People.Person(ctx, n.Person)
	if errors.Is(err, access.ErrPersonEnded) {
		return m, WhyEnded, nil
	}
	if err != nil {
		return m, "", err
	}
	if a.Person.Email == "" {
		return m, WhyNoAddress, nil
	}
	var links []Link
	if n.sealed != "" {
		if p.store.box == nil || p.mail.Invitation == nil {
			return m, "", errors.New("notice: this node can't open or address what the mail hands over")
		}
		path, err := p.store.box.open(n.sealed, n.ID)
		if err != nil {
			return m, WhyUnsealed, nil
		}
		if links = p.mail.Invitation(path); len(links) == 0 {
			return m, "", errors.New("notice: no network has a login, so an invitation has no address: configure one (docs/login.md)")
		}
	}
	return letter(n, a.Person, a.Org, links), "", nil
}

// unsent keeps that a notice never leaves; the job is done.
func (p *postman) unsent(ctx context.Context, n Notice, why string) error {
	p.log.WarnContext(ctx, "a notice to a person isn't sent", "notice", n.ID, "kind", string(n.Kind), "why", why)
	return p.store.settle(ctx, n.ID, StateUnsent, why, p.now().UnixMicro())
}

// dead is unsent, with the job as a dead letter.
func (p *postman) dead(ctx context.Context, n Notice, why string, cause error) error {
	if err := p.unsent(ctx, n, why); err != nil {
		return errors.Join(cause, err)
	}
	return jobs.Discard(cause)
}
