package main

import (
	"context"
	"errors"
	"slices"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/login/why"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// gathered is what is known of a question; the facts of an answer are made from it.
type gathered struct {
	h           *boot.Hub
	base        why.Facts // but for party, network, session and accounts
	parties     []*why.Party
	known       []policies.RelyingPartyID
	seats       map[policies.Product]provision.PersonSeat
	quarantined map[policies.Product]string
	kept        map[policies.Product]string
}

// gather reads everything, as far as the acting person may see it.
func (e *env) gather(ctx context.Context, h *boot.Hub, q whyQuestion) (*gathered, error) {
	scope, actor, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return nil, err
	}
	g := &gathered{h: h, base: why.Facts{At: q.at, Now: q.at == 0, Assurance: q.assurance, Offers: h.Offers(), Asked: q.party, Who: q.who}}
	if g.base.Now {
		g.base.At = h.Now().UnixMicro()
	}
	if err := g.readParties(ctx, q.party); err != nil {
		return nil, err
	}
	p, posts, err := g.person(ctx, scope, q)
	switch {
	case errors.Is(err, identity.ErrNotFound):
		return g, nil
	case err != nil:
		return nil, err
	}
	g.base.Person = p
	orgs, err := h.Scope(ctx, actor, policies.ActionOrgRead, policies.Context{})
	if err != nil {
		return nil, err
	}
	if g.base.Posts, err = postsOf(ctx, h, orgs, p, posts, g.base.At); err != nil {
		return nil, err
	}
	if err := g.card(ctx); err != nil {
		return nil, err
	}
	return g, g.accounts(ctx, scope, actor)
}

func (g *gathered) readParties(ctx context.Context, asked policies.RelyingPartyID) error {
	all, err := g.h.Entrances.All(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		g.known = append(g.known, p.RelyingParty.ID)
		if len(p.RelyingParty.Networks) == 0 && asked == "" {
			continue // a program: nobody logs in there
		}
		if asked == "" || asked == p.RelyingParty.ID {
			g.parties = append(g.parties, &why.Party{Name: p.Name, Least: p.Least, RelyingParty: p.RelyingParty})
		}
	}
	if len(g.parties) == 0 {
		g.parties = []*why.Party{nil}
		g.base.Near = config.Near(asked, g.known)
	}
	return nil
}

func (g *gathered) person(ctx context.Context, scope policies.Scope, q whyQuestion) (p identity.Person, posts []identity.Post, err error) {
	d := g.h.Directory
	if q.org != "" {
		p, err = d.FindPerson(ctx, scope, q.org, q.who)
	} else {
		p, err = d.Person(ctx, scope, policies.PersonID(q.who))
	}
	if err != nil || g.base.Now {
		return p, nil, err
	}
	return d.PersonAt(ctx, scope, p.ID, q.at)
}

// laterPosts is the directory with the posts that one person will hold. The relations of contractors and caretakers are those of today.
type laterPosts struct {
	*directory.Store
	posts []identity.Post
	orgs  policies.Scope
}

// Held implements access.PostSource.
func (f laterPosts) Held(ctx context.Context, _ policies.PersonID, at int64) (posts []identity.Post, orgs []identity.Organization, err error) {
	for _, p := range f.posts {
		if p.Kind != identity.PostConcurrent && p.Kind != identity.PostHandover {
			continue
		}
		org, err := f.Organization(ctx, f.orgs, p.Org)
		if err != nil {
			return nil, nil, err
		}
		if org.Exists(at) {
			posts, orgs = append(posts, p), append(orgs, org)
		}
	}
	return posts, orgs, nil
}

// postsOf gives the person in each of their posts. later is nil for this moment.
func postsOf(ctx context.Context, h *boot.Hub, orgs policies.Scope, p identity.Person, later []identity.Post, at int64) ([]access.Actor, error) {
	org, err := h.Directory.Organization(ctx, orgs, p.Org)
	if err != nil {
		return nil, err
	}
	related, err := h.Directory.Relations(ctx, p, org)
	if err != nil {
		return nil, err
	}
	a := access.Actor{Kind: access.KindPerson, Person: p, Org: org, Relations: &related}
	if !p.Active() {
		return []access.Actor{a}, nil
	}
	posts := h.Posts
	if later != nil {
		posts = access.NewPosts(laterPosts{h.Directory, later, orgs})
	}
	return posts.Choices(ctx, a, at)
}

// card reads what is known of the person's card and of a password to link one.
func (g *gathered) card(ctx context.Context) error {
	db, id := g.h.DB.Reader(), g.base.Person.ID
	link, err := mynumber.LatestLink(ctx, db, id)
	if err != nil {
		return err
	}
	g.base.Card = why.Card{Linked: link.Credential != "" && link.Ended == 0, Ended: link.Ended}
	if g.base.Card.Linked {
		// A link that stands while its sessions were ended for the card: the card is on a list of revoked ones.
		if g.base.Card.Revoked, err = session.EndedForCard(ctx, db, link.Credential); err != nil {
			return err
		}
	}
	g.base.LinkUntil, err = password.Until(ctx, db, id, password.KindLink)
	return err
}

// accounts reads how the person's accounts stand; what plans say is left out for whoever may not see plans.
func (g *gathered) accounts(ctx context.Context, people policies.Scope, actor access.Actor) error {
	if !g.base.Now {
		return nil
	}
	h, id := g.h, g.base.Person.ID
	seats, err := h.Provision.SeatsOfPeople(ctx, people, []policies.PersonID{id})
	if err != nil {
		return err
	}
	g.seats, g.quarantined = map[policies.Product]provision.PersonSeat{}, map[policies.Product]string{}
	for _, s := range seats[id] {
		g.seats[s.Product] = s
	}
	plans, err := h.Resolver.Ask(ctx, actor, policies.ActionPlanRead, nil, policies.Context{})
	if err != nil || plans.Denied() {
		return err
	}
	list, err := h.Provision.Quarantine(ctx, plans, provision.QuarantineFilter{Person: id, States: []provision.QuarantineState{
		provision.QuarantineOpen, provision.QuarantineRetry, provision.QuarantineIgnored,
	}})
	if err != nil {
		return err
	}
	for _, x := range list {
		if _, known := g.quarantined[x.Product]; !known || x.Kind == provision.OpAccount {
			g.quarantined[x.Product] = x.ID
		}
	}
	if plans.All() {
		g.kept, err = h.Breakers.Keeps(ctx, plans, id)
	}
	return err
}

// best answers for the network asked for; else for one from which the person gets in, or from which they come closest.
func (g *gathered) best(ctx context.Context, network policies.Network, p *why.Party) (why.Answer, error) {
	networks := policies.Networks()
	if network != "" {
		networks = []policies.Network{network}
	}
	var best *why.Answer
	for _, n := range networks {
		a, err := g.answer(ctx, n, p)
		if err != nil {
			return why.Answer{}, err
		}
		if a.Enters || p == nil {
			return a, nil
		}
		if best == nil || len(a.Missing) < len(best.Missing) || len(a.Missing) == len(best.Missing) && less(best.Cause, a.Cause) {
			best = &a
		}
	}
	return *best, nil
}

// less reports whether a is about the network alone, which b isn't: then b says more.
func less(a, b why.Cause) bool {
	about := []why.Cause{why.CauseNoLogin, why.CauseReach, why.CauseNetwork, why.CauseUnreachable}
	return slices.Contains(about, a) && !slices.Contains(about, b)
}

func (g *gathered) answer(ctx context.Context, n policies.Network, p *why.Party) (why.Answer, error) {
	f := g.base
	f.Network, f.Party = n, p
	if p != nil {
		f.Asked = p.ID
	}
	if f.Now && f.Person.ID != "" {
		stand, err := g.h.Sessions.OfPerson(ctx, f.Person.ID, n, g.h.Now())
		if err != nil {
			return why.Answer{}, err
		}
		for _, s := range stand {
			if !s.Sealed() {
				f.Session = &why.Session{Org: s.Org, Assurance: s.Assurance, AuthAt: s.AuthAt}
				break
			}
		}
	}
	if p != nil && len(f.Posts) > 0 {
		var err error
		if f.Accounts, err = g.wrong(f, p); err != nil {
			return why.Answer{}, err
		}
	}
	return why.Decide(g.h.Engine, f)
}

// wrong gives those of the person's accounts in the party's products that aren't as they should be.
func (g *gathered) wrong(f why.Facts, p *why.Party) (all []why.Account, err error) {
	if !f.Now {
		return nil, nil
	}
	want := map[policies.Product]bool{}
	for _, post := range f.Posts {
		seats, err := g.h.Engine.Seats(post.Policy())
		if err != nil {
			return nil, err
		}
		for _, s := range seats {
			want[s.Product] = want[s.Product] || s.Seat.Account()
		}
	}
	for _, product := range p.Products {
		if _, connected := g.h.Open[product]; !connected {
			continue // the hub makes no accounts there
		}
		seat, has := g.seats[product]
		switch {
		case g.kept[product] != "":
			all = append(all, why.Account{Product: product, State: why.AccountHeld, Ref: g.kept[product]})
		case !want[product] || has && seat.State == provision.StateActive:
		case g.quarantined[product] != "":
			all = append(all, why.Account{Product: product, State: why.AccountQuarantined, Ref: g.quarantined[product]})
		case has && seat.State == provision.StateDisabled:
			all = append(all, why.Account{Product: product, State: why.AccountDisabled})
		default:
			all = append(all, why.Account{Product: product, State: why.AccountMissing})
		}
	}
	return all, nil
}
