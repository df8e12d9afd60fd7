package why

import (
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/policies"
)

// Decide answers. An error means that the policies have no answer.
func Decide(policy login.Policy, f Facts) (Answer, error) {
	a := Answer{Party: f.Asked, Network: f.Network}
	if f.Party != nil {
		a.Name, a.Party = f.Party.Name, f.Party.ID
	}
	if err := decide(policy, f, &a); err != nil {
		return Answer{}, err
	}
	if a.Cause != "" {
		a.Enters, a.ACR, a.Choice = false, "", nil
		if len(a.Missing) == 0 {
			a.Missing = []Cause{a.Cause}
		}
	}
	if f.Now && (a.Enters || a.Cause == CausePersonEnded || a.Cause == CauseSeat) {
		for _, x := range f.Accounts { // what doesn't fit the answer
			if a.Enters == (x.State != AccountHeld) {
				a.Accounts = append(a.Accounts, x)
			}
		}
	}
	a.Sentence = policies.Text(sentence(f, a))
	return a, nil
}

func decide(policy login.Policy, f Facts, a *Answer) error {
	switch {
	case f.Party == nil:
		a.Cause = CausePartyUnknown
	case f.Person.ID == "" || len(f.Posts) == 0:
		a.Cause = CausePersonUnknown
	case !f.Person.Active():
		a.Cause = CausePersonEnded
	case !served(f):
		a.Cause = CauseNoLogin
	default:
		return enter(policy, f, a)
	}
	return nil
}

// served reports whether there is any login in the network.
func served(f Facts) bool {
	for _, o := range f.Offers {
		if slices.Contains(o.Networks, f.Network) {
			return true
		}
	}
	return false
}

// offered reports whether a method that logs in is offered in the network and reaches least. A sealed account is for emergencies: it doesn't count.
func offered(f Facts, n policies.Network, least policies.Assurance) bool {
	for id, o := range f.Offers {
		if id != identity.MethodBreakGlass && o.Use == login.UseLogin && o.Reach >= least && slices.Contains(o.Networks, n) {
			return true
		}
	}
	return false
}

func enter(policy login.Policy, f Facts, a *Answer) error {
	in := policies.Entry{Network: f.Network, Assurance: f.Assurance}
	posts, err := login.Entrances(policy, f.Posts, f.Party.RelyingParty, in)
	if err != nil {
		return err
	}
	seen := foresee(f, posts)
	a.Hash = posts[0].Now.Hash
	a.ACR, a.Org, a.Choice = f.Assurance.ACR(), seen.Post, seen.Posts
	if a.Enters = seen.Enters(); a.Enters {
		for _, p := range posts {
			if p.Actor.Org.ID == seen.Post || slices.Contains(seen.Posts, p.Actor.Org.ID) {
				a.Policies = p.Now.Policies
				break
			}
		}
		if s := f.Session; f.Now && s != nil && s.Assurance >= f.Party.Least {
			a.Session, a.ACR = true, s.Assurance.ACR()
			return nil // whoever is logged in needs no card
		}
		if a.Cause = cardCause(f); !offered(f, f.Network, f.Assurance) {
			a.Cause = CauseUnreachable // a proof that nobody takes there
		}
		return nil
	}
	a.ACR = ""
	// What the policies miss even of whoever proves themselves by the card comes before how they prove it.
	with := f
	with.Assurance = policies.AssuranceCard
	carded, err := login.Entrances(policy, f.Posts, f.Party.RelyingParty, policies.Entry{Network: f.Network, Assurance: policies.AssuranceCard})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(carded, func(e login.Entrance) bool { return e.Now.Allow }) {
		return missing(policy, with, carded, a)
	}
	a.Org = carded[slices.IndexFunc(carded, func(e login.Entrance) bool { return e.Now.Allow })].Actor.Org.ID
	switch {
	case len(seen.Methods) > 0:
		a.Cause = CauseAssurance
	case seen.Reason == login.ReasonAssurance || seen.Reason == login.ReasonMethod:
		a.Cause = CauseUnreachable
	default:
		a.Cause = CauseRefused
	}
	return nil
}

func foresee(f Facts, posts []login.Entrance) login.Foreseen {
	ask := login.Ask{Issuer: identity.IssuerOIDC, RelyingParty: f.Party.ID, Network: f.Network, Required: f.Party.Least}
	proof := login.Proof{Method: identity.MethodCard, Use: login.UseLogin, Person: f.Person.ID, Assurance: f.Assurance, AMR: []string{"pin"}, At: max(f.At, 1)}
	return login.Foresee(ask, f.Party.Hub, f.Offers, proof, posts)
}

// cardCause says what is wrong with the card of somebody who would enter by it.
func cardCause(f Facts) Cause {
	switch {
	case f.Assurance < policies.AssuranceIdentifier:
		return CauseAssurance
	case f.Assurance < policies.AssuranceCard:
		return "" // by something else than the card, which the facts don't speak of
	case f.Card.Linked && f.Card.Revoked != 0:
		return CauseRevoked
	case f.Card.Linked:
		return ""
	case f.Card.Ended != 0:
		return CauseReleased
	}
	return CauseNoCard
}

// repair is a thing that could be otherwise.
type repair struct{ function, seat, network bool }

// repairs are the sets of things, smallest first.
var repairs = []repair{
	{function: true},
	{seat: true},
	{network: true},
	{function: true, seat: true},
	{function: true, network: true},
	{seat: true, network: true},
	{function: true, seat: true, network: true},
}

// missing finds the smallest set of things with which the policies would let the person in, by asking them. carded are the answers for the card.
func missing(policy login.Policy, f Facts, carded []login.Entrance, a *Answer) error {
	for _, r := range repairs {
		for _, p := range carded {
			ok, err := mended(policy, f, p.Actor, r)
			if err != nil {
				return err
			}
			if ok {
				a.Org, a.Policies = p.Actor.Org.ID, p.Now.Policies
				return name(policy, f, p.Actor, r, a)
			}
		}
	}
	a.Cause, a.Org, a.Policies = CauseForbidden, carded[0].Actor.Org.ID, carded[0].Now.Policies
	return nil
}

// mended asks whether the person would be let in in a post, were the things of r right.
func mended(policy login.Policy, f Facts, post access.Actor, r repair) (bool, error) {
	rp, from := f.Party.RelyingParty, []policies.Network{f.Network}
	if r.function {
		rp.Functions = policies.Functions()
	}
	if r.seat {
		rp.Products = nil
	}
	if r.network {
		rp.Networks, from = policies.Networks(), policies.Networks()
	}
	allowed, err := networks(policy, post, rp, from)
	return len(allowed) > 0, err
}

// networks gives those of from from which the person would be let in by the card.
func networks(policy login.Policy, post access.Actor, rp policies.RelyingParty, from []policies.Network) (allowed []policies.Network, err error) {
	for _, n := range from {
		d, err := policy.MayEnter(post.Policy(), rp, policies.Entry{Network: n, Assurance: policies.AssuranceCard})
		if err != nil {
			return nil, err
		}
		if d.Allow {
			allowed = append(allowed, n)
		}
	}
	return allowed, nil
}

// name puts the things of r into the answer, with what would help.
func name(policy login.Policy, f Facts, post access.Actor, r repair, a *Answer) error {
	rp := f.Party.RelyingParty
	if r.function {
		c := CauseFunction
		if len(rp.Functions) == 0 && !rp.Hub {
			c = CauseNoFunctions
		}
		a.Missing = append(a.Missing, c)
		rp.Functions = policies.Functions()
	}
	if r.seat {
		a.Missing = append(a.Missing, CauseSeat)
	}
	if r.network {
		c := CauseNetwork
		if !slices.Contains(rp.Networks, f.Network) {
			c = CauseReach
		}
		a.Missing = append(a.Missing, c)
	}
	a.Cause = a.Missing[0]
	var err error
	switch a.Cause {
	case CauseSeat:
		err = roles(policy, f, post, rp, a)
	case CauseNetwork, CauseReach:
		a.From, err = networks(policy, post, rp, policies.Networks())
	}
	return err
}

// roles finds the roles in which the person would hold a seat.
func roles(policy login.Policy, f Facts, post access.Actor, rp policies.RelyingParty, a *Answer) error {
	from := []policies.Network{f.Network}
	if slices.Contains(a.Missing, CauseNetwork) || slices.Contains(a.Missing, CauseReach) {
		rp.Networks, from = policies.Networks(), policies.Networks()
	}
	for _, role := range policies.Roles() {
		if role == post.Person.Role || role == policies.RoleSystemAdministrator {
			continue
		}
		other := post
		other.Person.Role = role
		allowed, err := networks(policy, other, rp, from)
		if err != nil {
			return err
		}
		if len(allowed) > 0 {
			a.Roles = append(a.Roles, role)
		}
	}
	return nil
}
