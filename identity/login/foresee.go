package login

import (
	"maps"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
)

// Entrance is a post of somebody, with what the policies say of entering in it.
type Entrance struct {
	Actor access.Actor // in the post
	Now   policies.Decision
	Card  policies.Decision // the same, if the card proved the person
}

func (e Entrance) post() post {
	return post{org: e.Actor.Org.ID, allowed: e.Now.Allow, better: e.Card.Allow}
}

// Entrances asks the policies about each of somebody's posts. It is what the dispatcher itself asks.
func Entrances(policy Policy, posts []access.Actor, rp policies.RelyingParty, in policies.Entry) ([]Entrance, error) {
	all := make([]Entrance, 0, len(posts))
	for _, a := range posts {
		now, err := policy.MayEnter(a.Policy(), rp, in)
		if err != nil {
			return nil, err
		}
		card, err := policy.MayEnter(a.Policy(), rp, policies.Entry{Network: in.Network, Assurance: policies.AssuranceCard})
		if err != nil {
			return nil, err
		}
		all = append(all, Entrance{a, now, card})
	}
	return all, nil
}

// offersOf gives the methods of a network, by id.
func offersOf(all map[identity.MethodID]Offer, n policies.Network, hub bool) (offers []offered) {
	for _, id := range slices.Sorted(maps.Keys(all)) {
		o := all[id]
		if slices.Contains(o.Networks, n) && (id != identity.MethodBreakGlass || hub) { // nobody is shown a door that never opens
			_, links := o.Method.(Linker)
			offers = append(offers, offered{id, o.Reach, o.Use, links})
		}
	}
	return offers
}

// Foreseen is what the dispatcher would do. One of its fields is set.
type Foreseen struct {
	Reason  Reason              // it refuses
	Post    policies.OrgID      // it lets the person in, in this post
	Posts   []policies.OrgID    // it lets the person in, after they have chosen one of these
	Methods []identity.MethodID // it asks for a surer proof, by one of these
}

// Enters reports whether the person is let in.
func (f Foreseen) Enters() bool { return f.Post != "" || len(f.Posts) > 0 }

// Foresee tells what the dispatcher would do if the person of posts proved themselves by p for a request a that begins at p.At. It decides by the
// same function as the dispatcher, and keeps, counts and answers nothing. offers needs no code of methods.
func Foresee(a Ask, hub bool, offers map[identity.MethodID]Offer, p Proof, posts []Entrance) Foreseen {
	f := facts{now: p.At, offers: offersOf(offers, a.Network, hub)}
	f.known = &known{person: p.Person, assurance: p.Assurance}
	for _, e := range posts {
		f.known.posts = append(f.known.posts, e.post())
	}
	s := decide(Request{Ask: a, CreatedAt: p.At, ExpiresAt: p.At + Lifetime.Microseconds(), State: StateOpen, Proof: &p}, f)
	switch s.kind {
	case stepFinish:
		return Foreseen{Post: s.post}
	case stepPosts:
		return Foreseen{Posts: s.posts}
	case stepMethods:
		return Foreseen{Methods: s.methods}
	case stepRefuse, stepLink:
	}
	return Foreseen{Reason: s.reason}
}
