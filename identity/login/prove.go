package login

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Submit hands what the browser posted on the login host itself (a password) to the method of the ticket.
func (d *Dispatcher) Submit(ctx context.Context, v Visit, form, ticket string, req *http.Request) (Next, error) {
	return d.moved(ctx, v, form, func(r Request) (Next, error) {
		p, rejected, refusal, err := d.finish(ctx, v, ticket, &r, req)
		switch {
		case err != nil:
			return Next{}, err
		case refusal != nil:
			return d.next(ctx, v, r, refusal)
		case rejected != nil:
			return d.rejected(ctx, v, r, rejected)
		}
		return d.accept(ctx, v, r, p)
	})
}

// Prove hands what the browser, or the agent beside it, brought to the method's own host. The address that comes back leads to the login host
// with a code that nobody else knows: what was proven counts only for the browser that both began the request and proved. So a ticket that
// somebody sends to somebody else's browser opens nothing.
func (d *Dispatcher) Prove(ctx context.Context, v Visit, ticket string, req *http.Request) (location string, _ *Refusal, err error) {
	p, rejected, refusal, err := d.finish(ctx, v, ticket, nil, req)
	if err != nil || refusal != nil {
		return "", refusal, err
	}
	a, err := readAttempt(ctx, d.cfg.DB.Reader(), ticket)
	if err != nil {
		return "", nil, err
	}
	if rejected != nil {
		refusal, err := d.record(ctx, v, a.request, refused{reason: ReasonRejected, rejection: rejected, method: a.method})
		return "", refusal, err
	}
	code, err := d.draw(32)
	if err != nil {
		return "", nil, err
	}
	err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return keepReturn(ctx, tx, ticket, code, p) })
	if err != nil {
		return "", nil, err
	}
	return d.cfg.ReturnTo(v.Network, a.request, code), nil, nil
}

// Return takes what was proven on a method's own host. It is a GET: the code, which is used once, and the browser's cookie stand for the wish.
func (d *Dispatcher) Return(ctx context.Context, v Visit, code string) (Next, error) {
	r, refusal, err := d.own(ctx, v)
	if refusal != nil || err != nil {
		return Next{Refusal: refusal}, err
	}
	if s := decide(r, facts{now: d.cfg.Now().UnixMicro()}); s.reason == ReasonAnswered || s.reason == ReasonExpired {
		return d.next(ctx, v, r, nil)
	}
	var p Proof
	err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		p, err = takeReturn(ctx, tx, r.ID, code, d.cfg.Now().UnixMicro())
		return err
	})
	if errors.Is(err, errNot) {
		return d.retry(ctx, v, r, ReasonTicket, "", nil)
	}
	if err != nil {
		return Next{}, err
	}
	return d.accept(ctx, v, r, p)
}

// Attempt gives the attempt of a ticket that can still be used, for what a method needs before the proof is brought: a challenge to sign. It uses
// nothing up. m is whose ticket it has to be. Whoever holds a ticket learns what it says itself and nothing else: one that is unknown, used, expired,
// of another method or of another network, and one whose request is over, are refused alike.
func (d *Dispatcher) Attempt(ctx context.Context, v Visit, m identity.MethodID, ticket string) (Attempt, *Refusal, error) {
	a, r, reason, err := d.openTicket(ctx, v, ticket, nil)
	if err != nil {
		return Attempt{}, nil, err
	}
	if reason != "" || a.method != m {
		refusal, err := d.turnAway(ctx, v, "", ReasonTicket)
		return Attempt{}, refusal, err
	}
	return Attempt{Login: r.ID, Network: r.Network, Ticket: ticket, At: d.cfg.Now().UnixMicro(), Until: a.expiresAt, Address: v.Address}, nil, nil
}

// openTicket finds the attempt of a ticket and its request, or says why it can't be used. r is the request that it has to belong to; nil for any.
func (d *Dispatcher) openTicket(ctx context.Context, v Visit, ticket string, r *Request) (attempt, *Request, Reason, error) {
	a, err := readAttempt(ctx, d.cfg.DB.Reader(), ticket)
	if errors.Is(err, identity.ErrNotFound) {
		return a, r, ReasonTicket, nil
	}
	if err != nil {
		return a, r, "", err
	}
	if r == nil {
		found, err := read(ctx, d.cfg.DB.Reader(), a.request)
		if err != nil {
			return a, nil, "", err
		}
		r = &found
	}
	offer, offers := d.cfg.Offers[a.method]
	switch {
	case a.request != r.ID, a.used, d.cfg.Now().UnixMicro() >= a.expiresAt, r.State != StateOpen:
		return a, r, ReasonTicket, nil
	case r.Network != v.Network:
		return a, r, ReasonNetwork, nil
	case !offers, !contains(offer.Networks, v.Network):
		return a, r, ReasonMethod, nil
	}
	return a, r, "", nil
}

// finish uses the ticket up and asks its method. r is the request that the ticket has to belong to; nil where the host isn't the login host.
func (d *Dispatcher) finish(ctx context.Context, v Visit, ticket string, r *Request, req *http.Request) (p Proof, no *Rejection, refusal *Refusal, err error) {
	anybody := r == nil // on a host of the method's own
	bad := func(reason Reason) (Proof, *Rejection, *Refusal, error) {
		id := identity.LoginID("") // of what isn't known to be there nothing is kept
		if r != nil {
			id = r.ID
		}
		if anybody {
			refusal, err := d.turnAway(ctx, v, id, reason)
			return Proof{}, nil, refusal, err
		}
		refusal, err := d.record(ctx, v, id, refused{reason: reason})
		return Proof{}, nil, refusal, err
	}
	now := d.cfg.Now()
	a, r, reason, err := d.openTicket(ctx, v, ticket, r)
	if err != nil {
		return Proof{}, nil, nil, err
	}
	if reason != "" {
		return bad(reason)
	}
	offer := d.cfg.Offers[a.method]
	err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return useTicket(ctx, tx, ticket, now.UnixMicro()) })
	if errors.Is(err, errNot) { // two at the same time: one is first
		return bad(ReasonTicket)
	}
	if err != nil {
		return Proof{}, nil, nil, err
	}
	p, err = offer.Method.Finish(ctx, Attempt{Login: r.ID, Network: r.Network, Ticket: ticket, At: now.UnixMicro(), Until: a.expiresAt, Address: v.Address}, req)
	if errors.As(err, &no) {
		return Proof{}, no, nil, nil
	}
	if err != nil {
		return Proof{}, nil, nil, fmt.Errorf("login: finish %s: %w", a.method, err)
	}
	if err := p.check(); err != nil {
		return Proof{}, nil, nil, fmt.Errorf("login: method %s gave %w", a.method, err)
	}
	_, links := offer.Method.(Linker)
	if p.Method != a.method || p.Use != offer.Use || p.Assurance > offer.Reach || p.Person == "" && !links {
		return Proof{}, nil, nil, fmt.Errorf("login: method %s proves more than it is registered for", a.method)
	}
	return p, nil, nil, nil
}

func contains(all []policies.Network, n policies.Network) bool {
	for _, x := range all {
		if x == n {
			return true
		}
	}
	return false
}

// accept keeps a proof in the request and goes on.
func (d *Dispatcher) accept(ctx context.Context, v Visit, r Request, p Proof) (Next, error) {
	switch {
	case p.Person == "": // a good card that is nobody's yet
		r.Pending = &p
		if r.Proof != nil && r.Proof.Use != UseLink {
			r.Proof = nil
		}
	case p.Use == UseLink:
		r.Proof = &p
	default:
		r.Proof, r.Pending = &p, nil
	}
	err := d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := keepProofs(ctx, tx, r); err != nil {
			return err
		}
		return d.recordProof(ctx, tx, v, r, p)
	})
	if err != nil && !errors.Is(err, errNot) {
		return Next{}, err
	}
	return d.again(ctx, v, r)
}

// rejected tells of a proof that the method rejected: the request ends, or may be tried again.
func (d *Dispatcher) rejected(ctx context.Context, v Visit, r Request, no *Rejection) (Next, error) {
	refusal, err := d.record(ctx, v, r.ID, refused{reason: ReasonRejected, rejection: no})
	if err != nil {
		return Next{}, err
	}
	return d.next(ctx, v, r, refusal)
}
