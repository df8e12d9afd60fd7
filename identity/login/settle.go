package login

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// answer finishes a decided login: the request's end, the session, the issuer's answer and the audit row commit together.
func (d *Dispatcher) answer(ctx context.Context, v Visit, r Request, org policies.OrgID, g gathered) (Next, error) {
	var actor access.Actor
	for _, a := range g.actors {
		if a.Org.ID == org {
			actor = a
		}
	}
	release, _, err := d.cfg.Policy.Release(actor.Policy(), g.party)
	if err != nil {
		return Next{}, err
	}
	issuer, ok := d.cfg.Issuers[r.Issuer]
	if !ok {
		return Next{}, fmt.Errorf("login: no issuer is called %q any more", r.Issuer)
	}
	now := d.cfg.Now().UnixMicro()
	goesOn := g.session != nil && g.session.Org == org
	secret := session.Secret{}
	if !goesOn {
		if secret, err = session.NewSecret(d.cfg.Random); err != nil {
			return Next{}, err
		}
	}
	var a Answer
	err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := settle(ctx, tx, r.ID, StateFinished); err != nil {
			return err
		}
		if err := d.holds(ctx, tx, g); err != nil {
			return err
		}
		id, err := d.open(ctx, tx, v, r, org, g, secret, now)
		if err != nil {
			return err
		}
		if err := d.cfg.Sessions.Told(ctx, tx, id, session.Party{RelyingParty: r.RelyingParty, Issuer: r.Issuer, At: now}); err != nil {
			return err
		}
		l := identity.Login{
			Session: id, Person: g.proof.Person, Org: org, RelyingParty: r.RelyingParty, Network: r.Network, Assurance: g.proof.Assurance,
			AMR: g.proof.AMR, AuthAt: g.proof.At, Release: release, PolicyHash: g.entries[org].Hash,
		}
		if a, err = issuer.Finish(ctx, tx, r, l); err != nil {
			return answering(r, err)
		}
		return d.recordFinish(ctx, tx, v, r, l, g.entries[org])
	})
	switch {
	case errors.Is(err, errNot): // answered meanwhile, by the same browser
		return d.again(ctx, v, r)
	case errors.Is(err, session.ErrEnded): // between the look at it and now
		v.Session = session.Secret{}
		return d.next(ctx, v, r, nil)
	case errors.Is(err, errParty):
		return d.unanswered(ctx, v, r, refused{method: g.proof.Method, person: g.proof.Person})
	case errors.Is(err, errReleased):
		return d.refuse(ctx, v, r, refused{
			reason: ReasonRejected, rejection: &Rejection{Code: "credential_released"}, method: g.proof.Method, person: g.proof.Person,
		})
	case err != nil:
		return Next{}, err
	}
	if a, err = a.Made(); err != nil {
		return Next{}, fmt.Errorf("login: the answer of %s: %w", r.Issuer, err)
	}
	r.State = StateFinished
	return Next{Request: r, Answer: &a, Session: secret}, nil
}

// holds makes sure that a new proof's credential is still the person's. That of a session was ended together with the session.
func (d *Dispatcher) holds(ctx context.Context, tx *sql.Tx, g gathered) error {
	h, ok := d.cfg.Offers[g.proof.Method].Method.(Holder)
	if !ok || g.session != nil {
		return nil
	}
	err := h.Holds(ctx, tx, g.proof.Person, g.proof.Credential)
	if errors.Is(err, identity.ErrNotFound) {
		return errReleased
	}
	return err
}

// open gives the session of the login: the one that there is, or a new one under a new secret.
func (d *Dispatcher) open(ctx context.Context, tx *sql.Tx, v Visit, r Request, org policies.OrgID, g gathered, secret session.Secret, now int64) (identity.SessionID, error) {
	since := int64(0)
	if g.session != nil {
		if err := d.cfg.Sessions.Use(ctx, tx, g.session.ID, now); err != nil {
			return "", err
		}
		if secret.Zero() {
			return g.session.ID, nil
		}
		since = g.session.CreatedAt // another post is no new proof: the limits go on
	}
	s, err := d.cfg.Sessions.Open(ctx, tx, session.Opening{
		Person: g.proof.Person, Org: org, Network: r.Network, Assurance: g.proof.Assurance, AMR: g.proof.AMR, Method: g.proof.Method,
		Credential: g.proof.Credential, AuthAt: g.proof.At, Now: now, Since: since, Agent: v.Agent, Secret: secret, Before: v.Session,
	})
	return s.ID, err
}

// refused is a refusal to be recorded.
type refused struct {
	reason    Reason
	rejection *Rejection
	method    identity.MethodID
	person    policies.PersonID
	policies  []string
	hash      string
	final     bool
	missed    int // refusals of the kind that weren't recorded before
}

// errParty says that a relying party can't be answered any more.
var errParty = errors.New("login: the relying party has changed")

// answering says what an issuer's error means: what it refuses, it refuses because of the relying party.
func answering(r Request, err error) error {
	if errors.Is(err, identity.ErrRefused) {
		return fmt.Errorf("%w: %w", errParty, err)
	}
	return fmt.Errorf("login: the answer of %s: %w", r.Issuer, err)
}

// unanswered ends a request whose relying party can't be answered any more, and records why. Only the person is told.
func (d *Dispatcher) unanswered(ctx context.Context, v Visit, r Request, no refused) (Next, error) {
	no.reason, no.rejection, no.final = ReasonParty, nil, true
	refusal, row, err := d.row(v, r.ID, no)
	if err != nil {
		return Next{}, err
	}
	row.Detail["relying_party"] = string(r.RelyingParty)
	err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := settle(ctx, tx, r.ID, StateRefused); err != nil {
			return err
		}
		return audit.Append(ctx, tx, row)
	})
	if errors.Is(err, errNot) {
		return d.again(ctx, v, r)
	}
	if err != nil {
		return Next{}, fmt.Errorf("login: refuse: %w", err)
	}
	r.State = StateRefused
	return Next{Request: r, Refusal: refusal}, nil
}

// refuse ends the request, tells its relying party by the issuer's answer, and records why.
func (d *Dispatcher) refuse(ctx context.Context, v Visit, r Request, no refused) (Next, error) {
	if no.reason == ReasonParty {
		return d.unanswered(ctx, v, r, no)
	}
	issuer, ok := d.cfg.Issuers[r.Issuer]
	if !ok {
		return Next{}, fmt.Errorf("login: no issuer is called %q any more", r.Issuer)
	}
	no.final = true
	refusal, row, err := d.row(v, r.ID, no)
	if err != nil {
		return Next{}, err
	}
	row.Detail["relying_party"] = string(r.RelyingParty)
	var a Answer
	err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := settle(ctx, tx, r.ID, StateRefused); err != nil {
			return err
		}
		if err := audit.Append(ctx, tx, row); err != nil {
			return err
		}
		if a, err = issuer.Refuse(ctx, tx, r, *refusal); err != nil {
			return answering(r, err)
		}
		return nil
	})
	switch {
	case errors.Is(err, errNot):
		return d.again(ctx, v, r)
	case errors.Is(err, errParty):
		return d.unanswered(ctx, v, r, no)
	}
	if err != nil {
		return Next{}, fmt.Errorf("login: refuse: %w", err)
	}
	if a, err = a.Made(); err != nil {
		return Next{}, fmt.Errorf("login: the answer of %s: %w", r.Issuer, err)
	}
	r.State = StateRefused
	return Next{Request: r, Answer: &a, Refusal: refusal}, nil
}

// retry records a refusal that leaves the request as it is.
func (d *Dispatcher) retry(ctx context.Context, v Visit, r Request, reason Reason, person policies.PersonID, no *Rejection) (Next, error) {
	refusal, err := d.record(ctx, v, r.ID, refused{reason: reason, person: person, rejection: no})
	if err != nil {
		return Next{}, err
	}
	return d.next(ctx, v, r, refusal)
}

// record appends the audit row of a refusal by itself.
func (d *Dispatcher) record(ctx context.Context, v Visit, id identity.LoginID, no refused) (*Refusal, error) {
	refusal, row, err := d.row(v, id, no)
	if err != nil {
		return nil, err
	}
	err = d.cfg.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row) })
	if err != nil {
		return nil, fmt.Errorf("login: record the refusal: %w", err)
	}
	return refusal, nil
}

func (d *Dispatcher) row(v Visit, id identity.LoginID, no refused) (*Refusal, audit.Row, error) {
	now := d.cfg.Now()
	incident, err := audit.NewIncident(d.cfg.Random, now)
	if err != nil {
		return nil, audit.Row{}, err
	}
	refusal := &Refusal{Reason: no.reason, Incident: incident, Final: no.final}
	row := access.System(policies.TaskLogin).AuditRow(now.UnixMicro(), "login.refuse", audit.Refused)
	row.ID, row.Object, row.Reason, row.PolicyHash = incident, string(id), string(no.reason), no.hash
	row.Detail, row.Personal = map[string]any{"network": string(v.Network)}, personal(v)
	if no.missed > 0 {
		row.Detail["not_recorded_before"] = no.missed
	}
	if x := no.rejection; x != nil {
		refusal.Code = x.Code
		row.Reason += ": " + x.Code
		if x.Person != "" {
			no.person = x.Person
		}
		if x.Detail != nil {
			row.Detail["proof"] = x.Detail
		}
	}
	if no.method != "" {
		row.Detail["method"] = string(no.method)
	}
	if no.person != "" { // whom it concerns, which isn't who is at the browser
		row.Detail["person"] = string(no.person)
	}
	if len(no.policies) > 0 {
		row.Reason += ": " + strings.Join(no.policies, ", ")
		row.Reason = row.Reason[:min(len(row.Reason), audit.MaxReason)] // ids are ASCII
	}
	return refusal, row, nil
}

// personal is what an audit row says of the browser.
func personal(v Visit) map[string]any {
	if v.Address == "" {
		return nil
	}
	return map[string]any{"address": v.Address}
}

func person(id policies.PersonID) access.Actor {
	return access.Actor{Kind: access.KindPerson, Person: identity.Person{ID: id}}
}

func (d *Dispatcher) recordProof(ctx context.Context, tx *sql.Tx, v Visit, r Request, p Proof) error {
	actor := person(p.Person)
	if p.Person == "" {
		actor = access.System(policies.TaskLogin)
	}
	row := actor.AuditRow(d.cfg.Now().UnixMicro(), "login.proof", audit.Allowed)
	row.Object, row.Personal = string(r.ID), personal(v)
	row.Detail = map[string]any{
		"method": string(p.Method), "use": string(p.Use), "assurance": p.Assurance.ACR(), "network": string(r.Network), "credential": p.Credential,
	}
	return audit.Append(ctx, tx, row)
}

func (d *Dispatcher) recordFinish(ctx context.Context, tx *sql.Tx, v Visit, r Request, l identity.Login, by policies.Decision) error {
	row := person(l.Person).AuditRow(d.cfg.Now().UnixMicro(), "login.finish", audit.Done)
	row.Org, row.Object, row.Reason, row.PolicyHash, row.Personal = l.Org, string(r.ID), strings.Join(by.Policies, ", "), by.Hash, personal(v)
	row.Detail = map[string]any{
		"relying_party": string(r.RelyingParty), "issuer": string(r.Issuer), "session": string(l.Session), "network": string(l.Network),
		"assurance": l.Assurance.ACR(), "release": l.Release,
	}
	return audit.Append(ctx, tx, row)
}
