package login

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// gathered is what a step was decided from, for carrying it out.
type gathered struct {
	party   policies.RelyingParty
	session *session.Session
	proof   Proof // of the known person: the request's, or the session's old one
	actors  []access.Actor
	entries map[policies.OrgID]policies.Decision
}

// step gathers the facts and decides.
func (d *Dispatcher) step(ctx context.Context, v Visit, r Request) (step, gathered, error) {
	f := facts{now: d.cfg.Now().UnixMicro()}
	var g gathered
	if r.State != StateOpen || f.now >= r.ExpiresAt {
		return decide(r, f), g, nil
	}
	var err error
	g.party, err = d.cfg.Parties.Party(ctx, r.RelyingParty)
	if errors.Is(err, identity.ErrNotFound) {
		return step{reason: ReasonParty}, g, nil
	}
	if err != nil {
		return step{}, g, fmt.Errorf("login: relying party %s: %w", r.RelyingParty, err)
	}
	f.offers = offersOf(d.cfg.Offers, r.Network, g.party.Hub)
	if r.Pending != nil {
		return decide(r, f), g, nil
	}
	actor, known, err := d.known(ctx, v, r, f, &g)
	if errors.Is(err, access.ErrPersonEnded) {
		return step{reason: ReasonPerson}, g, nil
	}
	if err != nil {
		return step{}, g, err
	}
	if known == nil {
		return decide(r, f), g, nil
	}
	f.known = known
	if g.actors, err = d.cfg.Posts.Choices(ctx, actor, f.now); err != nil {
		return step{}, g, err
	}
	entry := policies.Entry{Network: r.Network, Assurance: g.proof.Assurance, Sealed: g.proof.Method == identity.MethodBreakGlass}
	entrances, err := Entrances(d.cfg.Policy, g.actors, g.party, entry)
	if err != nil {
		return step{}, g, err
	}
	g.entries = map[policies.OrgID]policies.Decision{}
	for _, e := range entrances {
		g.entries[e.Actor.Org.ID] = e.Now
		known.posts = append(known.posts, e.post())
	}
	return decide(r, f), g, nil
}

// known tells who is known to be at the browser: by the request's proof, else by a session that fits.
func (d *Dispatcher) known(ctx context.Context, v Visit, r Request, f facts, g *gathered) (access.Actor, *known, error) {
	if r.Proof != nil {
		if r.Proof.Use != UseLogin {
			return access.Actor{}, nil, nil
		}
		a, err := d.cfg.People.Person(ctx, r.Proof.Person)
		if err != nil {
			return access.Actor{}, nil, err
		}
		g.proof = *r.Proof
		return a, &known{person: r.Proof.Person, assurance: r.Proof.Assurance}, nil
	}
	s, _, err := d.cfg.Sessions.Read(ctx, v.Session, r.Network, d.cfg.Now())
	switch {
	case errors.Is(err, identity.ErrRefused):
		return access.Actor{}, nil, nil
	case err != nil:
		return access.Actor{}, nil, err
	case !fits(r, s.AuthAt, f.now):
		return access.Actor{}, nil, nil
	}
	a, err := d.cfg.People.Person(ctx, s.Person)
	if err != nil {
		return access.Actor{}, nil, err
	}
	g.session = &s
	g.proof = Proof{Method: s.Method, Use: UseLogin, Person: s.Person, Credential: s.Credential, Assurance: s.Assurance, AMR: s.AMR, At: s.AuthAt}
	return a, &known{person: s.Person, assurance: s.Assurance, session: true, post: s.Org}, nil
}

// next decides and carries out. told is a refusal that the browser hears of beside what comes next.
func (d *Dispatcher) next(ctx context.Context, v Visit, r Request, told *Refusal) (Next, error) {
	s, g, err := d.step(ctx, v, r)
	if err != nil {
		return Next{}, err
	}
	n := Next{Request: r, Form: formToken(v.Browser, r.ID), Refusal: told}
	switch s.kind {
	case stepMethods:
		n.Methods, n.Linking = s.methods, s.linking
		return n, nil
	case stepPosts:
		for _, a := range g.actors {
			if slices.Contains(s.posts, a.Org.ID) {
				n.Posts = append(n.Posts, a)
			}
		}
		return n, nil
	case stepLink:
		return d.link(ctx, v, r)
	case stepFinish:
		return d.answer(ctx, v, r, s.post, g)
	}
	// A request that was answered, or that took too long, isn't answered to its relying party any more: what it knows may be out of date.
	if s.reason == ReasonAnswered || s.reason == ReasonExpired {
		refusal, err := d.record(ctx, v, r.ID, refused{reason: s.reason, final: true})
		return Next{Request: r, Refusal: refusal}, err
	}
	no := refused{reason: s.reason}
	if g.proof.Person != "" {
		no.person = g.proof.Person
		no.policies, no.hash = decisive(g)
	}
	return d.refuse(ctx, v, r, no)
}

// decisive gives the policies that refused the main post, for the audit row.
func decisive(g gathered) (ids []string, hash string) {
	if len(g.actors) == 0 {
		return nil, ""
	}
	d := g.entries[g.actors[0].Org.ID]
	if d.Allow {
		return nil, d.Hash
	}
	return d.Policies, d.Hash
}

// link ties the pending credential to the person who has proven themselves beside it, in one transaction with the request's new proof.
func (d *Dispatcher) link(ctx context.Context, v Visit, r Request) (Next, error) {
	pending, by := *r.Pending, *r.Proof
	linker, ok := d.cfg.Offers[pending.Method].Method.(Linker)
	if !ok {
		return Next{}, fmt.Errorf("login: method %s gave a credential without a person and links none", pending.Method)
	}
	if _, err := d.cfg.People.Person(ctx, by.Person); errors.Is(err, access.ErrPersonEnded) {
		return d.refuse(ctx, v, r, refused{reason: ReasonPerson, person: by.Person})
	} else if err != nil {
		return Next{}, err
	}
	pending.Person = by.Person
	r.Proof, r.Pending = &pending, nil
	err := d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := keepProofs(ctx, tx, r); err != nil { // first: two at the same time link once
			return err
		}
		if err := linker.Link(ctx, tx, by.Person, pending.Credential, d.cfg.Now().UnixMicro()); err != nil {
			return err
		}
		return d.recordProof(ctx, tx, v, r, pending)
	})
	switch {
	case errors.Is(err, identity.ErrExists), errors.Is(err, identity.ErrRefused):
		return d.refuse(ctx, v, r, refused{reason: ReasonLink, person: by.Person})
	case err != nil && !errors.Is(err, errNot):
		return Next{}, err
	}
	return d.again(ctx, v, r)
}
