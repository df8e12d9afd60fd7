package access

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// ActorSource loads a person for the sole purpose of deciding what that person may do. identity/directory implements it. It
// takes no Scope, because scopes are minted from what it gives; it returns identity.ErrNotFound for a person it doesn't know.
type ActorSource interface {
	Actor(ctx context.Context, id policies.PersonID) (identity.Person, identity.Organization, error)
	// Relations gives the organizations that org, the person's own, serves as a contractor today, and those that the person is
	// caretaker of today.
	Relations(ctx context.Context, p identity.Person, org identity.Organization) (Relations, error)
}

// Resolver answers who acts, and what that actor may do. It is safe for concurrent use.
type Resolver struct {
	db     *sqldb.DB
	source ActorSource
	engine *policies.Engine
	now    func() time.Time
}

// NewResolver makes a resolver.
func NewResolver(db *sqldb.DB, source ActorSource, engine *policies.Engine, now func() time.Time) *Resolver {
	return &Resolver{db: db, source: source, engine: engine, now: now}
}

// Authenticate gives the person whose credential token is. A credential that is known but no longer good leaves an audit row.
func (r *Resolver) Authenticate(ctx context.Context, token Token) (Actor, error) {
	now := r.now()
	id, err := Authenticate(ctx, r.db.Reader(), token, now)
	if err == nil {
		var a Actor
		if a, err = r.Person(ctx, id); err == nil {
			a.Credential = token.ID()
			return a, nil
		}
	}
	if id != "" && errors.Is(err, identity.ErrRefused) {
		a := Actor{Kind: KindPerson, Person: identity.Person{ID: id}, Credential: token.ID()}
		row := a.AuditRow(now.UnixMicro(), "credential.use", audit.Refused)
		row.Object, row.Reason = token.ID(), reasonOf(err)
		return Actor{}, errors.Join(err, r.record(ctx, row))
	}
	return Actor{}, err
}

func reasonOf(err error) string {
	for _, known := range []struct {
		err    error
		reason string
	}{
		{ErrCredentialExpired, "credential expired"},
		{ErrCredentialRevoked, "credential revoked"},
		{ErrPersonEnded, "service ended"},
		{ErrPostEnded, "post ended"},
	} {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}
	return "refused"
}

// Person gives the person with this id as an actor; ErrPersonEnded where the service has ended or the directory knows nobody
// of this id any more.
func (r *Resolver) Person(ctx context.Context, id policies.PersonID) (Actor, error) {
	p, org, err := r.source.Actor(ctx, id)
	switch {
	case errors.Is(err, identity.ErrNotFound):
		return Actor{}, fmt.Errorf("person %s: %w", id, ErrPersonEnded)
	case err != nil:
		return Actor{}, fmt.Errorf("load the acting person: %w", err)
	case p.ID != id || p.Org != org.ID:
		return Actor{}, fmt.Errorf("load the acting person: asked for %s, got %s of %s with organization %s", id, p.ID, p.Org, org.ID)
	case !p.Active():
		return Actor{}, fmt.Errorf("person %s: %w", id, ErrPersonEnded)
	}
	related, err := r.source.Relations(ctx, p, org)
	if err != nil {
		return Actor{}, fmt.Errorf("load the acting person: %w", err)
	}
	return Actor{Kind: KindPerson, Person: p, Org: org, Relations: &related}, nil
}

// Scope mints the actor's right to do action to those of orgs that the policies permit, or to all. The actor's own organization
// and those that the actor serves or takes care of are always asked about; where policies go by the kind of organization, as for
// policies.ActionContactRead, orgs must be all that matter. Where the right is nothing at all the refusal is recorded and the
// error wraps identity.ErrRefused. c.PlanMaker is required for policies.ActionPlanApprove. It must not be called inside a
// transaction: the record commits by itself.
func (r *Resolver) Scope(ctx context.Context, a Actor, action policies.Action, orgs []policies.Organization, c policies.Context) (policies.Scope, error) {
	if a.Kind == KindBreakGlass {
		return r.breakGlass(ctx, a, action, "")
	}
	a, err := r.fresh(ctx, a)
	if err != nil {
		return policies.Scope{}, r.refuse(ctx, a, action, "", nil, err)
	}
	s, err := r.engine.ScopeWith(a.Policy(), action, a.about(orgs), c)
	if err != nil {
		return policies.Scope{}, r.refuse(ctx, a, action, "", nil, err)
	}
	if s.Denied() {
		own := a.Org.Policy()
		// The decision on the whole workspace names the policies that forbid, if any do.
		d, err := r.engine.EvaluateWorkspace(a.Policy(), action, c)
		if d.Allow {
			d.Policies = nil
		}
		refusal := r.refuse(ctx, a, action, "", d.Policies, err)
		if err == nil && len(d.Policies) == 0 {
			refusal = r.withNearMiss(refusal, a, action, own, c)
		}
		return policies.Scope{}, refusal
	}
	return s, nil
}

// Ask is Scope for a page or a document that shows what its reader may see and leaves out the rest: where the policies permit
// nothing it gives the zero Scope, which stores refuse, and records nothing, because nobody attempted anything. What can't be
// answered, and a person whose service has ended, are errors and recorded as by Scope. So is all that break-glass does.
func (r *Resolver) Ask(ctx context.Context, a Actor, action policies.Action, orgs []policies.Organization, c policies.Context) (policies.Scope, error) {
	if a.Kind == KindBreakGlass {
		return r.breakGlass(ctx, a, action, "")
	}
	a, err := r.fresh(ctx, a)
	if err != nil {
		return policies.Scope{}, r.refuse(ctx, a, action, "", nil, err)
	}
	s, err := r.engine.ScopeWith(a.Policy(), action, a.about(orgs), c)
	if err != nil {
		return policies.Scope{}, r.refuse(ctx, a, action, "", nil, err)
	}
	if s.Denied() {
		return policies.Scope{}, nil
	}
	return s, nil
}

// Hint is what a page shows of what somebody may do: a link, a button, or a sentence in its place. It is a guess about the next request and opens
// nothing: no store takes a Hint, and no Scope can be made of one. What is done is asked by Scope when it is done, with a record of a refusal.
type Hint struct{ scope policies.Scope }

// Everywhere reports whether the action would be permitted on every organization.
func (h Hint) Everywhere() bool { return h.scope.All() }

// Covers reports whether the action would be permitted on org.
func (h Hint) Covers(org policies.OrgID) bool { return h.scope.Covers(org) }

// Hint tells what the policies would permit the actor, for a page to hide what would be refused. It records nothing, as Ask.
func (r *Resolver) Hint(ctx context.Context, a Actor, action policies.Action, orgs []policies.Organization, c policies.Context) (Hint, error) {
	s, err := r.Ask(ctx, a, action, orgs, c)
	return Hint{s}, err
}

// Decide tells whether the actor may do action to org. A refusal is recorded, and the error wraps identity.ErrRefused; the
// decision comes with it as evidence. It must not be called inside a transaction: the record commits by itself.
func (r *Resolver) Decide(ctx context.Context, a Actor, action policies.Action, org policies.Organization, c policies.Context) (policies.Decision, error) {
	if a.Kind == KindBreakGlass {
		s, err := r.breakGlass(ctx, a, action, org.ID)
		return policies.Decision{Allow: err == nil && s.Covers(org.ID), Hash: s.Hash()}, err
	}
	a, err := r.fresh(ctx, a)
	if err != nil {
		return policies.Decision{}, r.refuse(ctx, a, action, org.ID, nil, err)
	}
	d, err := r.engine.EvaluateWith(a.Policy(), action, org, c)
	if err != nil {
		return policies.Decision{}, r.refuse(ctx, a, action, org.ID, nil, err)
	}
	if !d.Allow {
		refusal := r.refuse(ctx, a, action, org.ID, d.Policies, nil)
		if len(d.Policies) == 0 {
			refusal = r.withNearMiss(refusal, a, action, org, c)
		}
		return d, refusal
	}
	return d, nil
}

// withNearMiss adds to a refusal that no policy decided what the closest one would have needed. It says nothing of the actor
// but what the policies read.
func (r *Resolver) withNearMiss(refusal error, a Actor, action policies.Action, org policies.Organization, c policies.Context) error {
	x, err := r.engine.Explain(a.Policy(), action, &org, c)
	if err != nil || x.Decision.Allow || len(x.Nearest) == 0 { // the refusal stands by itself
		return refusal
	}
	return fmt.Errorf("%w; %s", refusal, x.Closest().EN)
}

// ErrPostEnded says that a person doesn't hold the post any more in which they act.
var ErrPostEnded = fmt.Errorf("%w: the person doesn't hold this post any more", identity.ErrRefused)

// fresh loads the actor's person anew, and the post in which they act, so that who was ended or changed since is seen as they are. On error it
// gives the actor as it came, for the record.
func (r *Resolver) fresh(ctx context.Context, a Actor) (Actor, error) {
	if a.Kind != KindPerson {
		return a, fmt.Errorf("%w: an actor of kind %q isn't decided by the policies", identity.ErrRefused, a.Kind)
	}
	now, err := r.Person(ctx, a.Person.ID)
	if err != nil {
		return a, err
	}
	now.Credential, now.Session = a.Credential, a.Session
	if a.Post == "" || a.Post == now.Org.ID { // the post has become the main one
		return now, nil
	}
	source, ok := r.source.(PostSource)
	if !ok {
		return a, errors.New("load the acting person: nobody knows posts here")
	}
	now, err = NewPosts(source).ActIn(ctx, now, a.Post, r.now().UnixMicro())
	if errors.Is(err, identity.ErrNotFound) {
		return a, fmt.Errorf("person %s in %s: %w", a.Person.ID, a.Post, ErrPostEnded)
	}
	if err != nil {
		return a, err
	}
	return now, nil
}

// breakGlass mints a break-glass scope, or refuses it; either way it is recorded first.
func (r *Resolver) breakGlass(ctx context.Context, a Actor, action policies.Action, org policies.OrgID) (policies.Scope, error) {
	if a.OSUser == "" {
		return policies.Scope{}, fmt.Errorf("%w: break-glass without an operating system user", identity.ErrRefused)
	}
	s, refused := policies.BreakGlass(action)
	row := a.AuditRow(r.now().UnixMicro(), string(action), audit.Allowed)
	row.Org, row.Reason = org, "break-glass"
	if refused != nil {
		row.Outcome, row.Reason = audit.Refused, "never open to break-glass"
	}
	if err := r.record(ctx, row); err != nil {
		return policies.Scope{}, err
	}
	if refused != nil {
		return policies.Scope{}, fmt.Errorf("%w: %w", identity.ErrRefused, refused)
	}
	return s, nil
}

// refuse records a refusal and gives its error. cause, where there is one, is why no answer could be given.
func (r *Resolver) refuse(ctx context.Context, a Actor, action policies.Action, org policies.OrgID, ids []string, cause error) error {
	if a.ID() == "" {
		return fmt.Errorf("%w: nobody acts", identity.ErrRefused)
	}
	if ctx.Err() != nil { // nobody waits for the answer, and it isn't one about the actor
		return ctx.Err()
	}
	now := r.now()
	row := a.AuditRow(now.UnixMicro(), string(action), audit.Refused)
	row.ID, _ = audit.NewIncident(rand.Reader, now) // never fails: crypto/rand ends the process where the system has no randomness
	row.Org, row.PolicyHash = org, r.engine.Hash()
	switch {
	case errors.Is(cause, ErrPersonEnded), errors.Is(cause, ErrPostEnded):
		row.Reason = reasonOf(cause)
	case cause != nil:
		row.Reason = "no answer: the policies could not be asked"
	case len(ids) == 0:
		row.Reason = "no policy permits it"
	default:
		row.Reason = strings.Join(ids, ", ")
		row.Reason = row.Reason[:min(len(row.Reason), audit.MaxReason)] // ids are ASCII
	}
	recorded := r.record(ctx, row)
	told := func(err error) error {
		if recorded != nil {
			return errors.Join(err, recorded)
		}
		return &recordedError{err, row.ID}
	}
	if cause != nil {
		return told(fmt.Errorf("%s: %w", action, cause))
	}
	where := "the whole workspace or any organization asked for"
	if org != "" {
		where = "organization " + string(org)
	}
	why := "no policy permits it"
	if len(ids) > 0 {
		why = "forbidden by " + row.Reason
	}
	return told(fmt.Errorf("%w: %s on %s by %s: %s", identity.ErrRefused, action, where, a.ID(), why))
}

// recordedError is a refusal with the id of its audit row.
type recordedError struct {
	error
	incident string
}

// Unwrap gives the refusal.
func (e *recordedError) Unwrap() error { return e.error }

// Incident gives the number of the audit row that records err, for whoever was refused to name to an administrator; empty where there is none.
func Incident(err error) string {
	var recorded *recordedError
	if errors.As(err, &recorded) {
		return recorded.incident
	}
	return ""
}

// record appends a row in a commit of its own, which it may share with others.
func (r *Resolver) record(ctx context.Context, row audit.Row) error {
	err := r.db.Group(ctx, func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row) })
	if err != nil {
		return fmt.Errorf("record the attempt: %w", err)
	}
	return nil
}
