package rollover

import (
	"cmp"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// Kind is what is known of a provider and a key.
type Kind string

// The kinds. Only the last three say that a provider takes the key: having read of it is no proof of using it.
const (
	Fetched Kind = "fetched" // it read metadata with the key, at the address that is its own
	Told    Kind = "told"    // an administrator says that the key was entered there
	CameIn  Kind = "came_in" // a person came in by a login that the key signed, and says so
	Logout  Kind = "logout"  // it sent a logout message that it could send only after it took something that the key signed
)

// Evidence is a row of what is known. Times are UTC in microseconds.
type Evidence struct {
	Party   policies.RelyingPartyID
	Network policies.Network // empty: in all
	Key     string
	Kind    Kind
	FirstAt int64
	LastAt  int64
	Note    string // Fetched: the program; Told, CameIn: who says so
}

// Switch says that the next key is used towards a provider before it is promoted, or is held back because it failed there.
type Switch struct {
	Party policies.RelyingPartyID
	Key   string
	Held  bool
	At    int64 // UTC, microseconds
	Actor string
}

// Counterparty is a relying party, as far as the hub's keys are its affair.
type Counterparty struct {
	ID       policies.RelyingPartyID
	Name     string
	Owner    policies.OrgID // empty: not known
	Contact  sp.Contact
	Products []policies.Product
	Networks []policies.Network
	Intake   sp.Intake
	OpenID   bool // it reads the key set by itself, at each unknown key id
}

// Of gives the counterparty that a service provider is.
func Of(p sp.SP) Counterparty {
	c := Counterparty{ID: p.ID, Name: p.Name, Owner: p.Owner, Contact: p.Contact, Products: p.Products, Intake: p.Intake}
	for _, f := range p.Faces {
		c.Networks = append(c.Networks, f.Network)
	}
	return c
}

// State is how ready a provider is for the next key.
type State string

// The states. Late and Unknown count alike when a key is promoted.
const (
	Late    State = "late"    // the next key would not be taken, as far as is known
	Unknown State = "unknown" // nothing is known
	Ready   State = "ready"
)

// Reason says why a provider has its state.
type Reason string

// The reasons.
const (
	ReasonAccepted    Reason = "accepted"    // ready: it took something signed by the key
	ReasonTold        Reason = "told"        // ready: an administrator says that the key was entered
	ReasonSwitched    Reason = "switched"    // ready: the key signs towards it already
	ReasonFetched     Reason = "fetched"     // ready: it read the key, uses what it reads, and had the time to
	ReasonAutomatic   Reason = "automatic"   // ready: OpenID Connect; a key id that it doesn't know makes it read the key set
	ReasonHeld        Reason = "held"        // late: the key was tried, and taken back
	ReasonSettling    Reason = "settling"    // late: it read the key less than Settle ago
	ReasonStale       Reason = "stale"       // late: it read the key, but hasn't come back since its copy expired
	ReasonOlder       Reason = "older"       // late: what it read last was without the key
	ReasonByHand      Reason = "by_hand"     // late: a person enters keys there, and nobody has said so
	ReasonOneHeld     Reason = "one_held"    // late: it holds one certificate, so that it has to be changed on both sides at once
	ReasonNeverBefore Reason = "never_there" // unknown: it has never read metadata at its own address
)

const (
	// Settle is how long after its fetch a provider is given to use what it fetched: cacheDuration of our metadata.
	Settle = 6 * time.Hour
	// CopyLife is how long a copy of our metadata says that it is valid.
	CopyLife = 7 * 24 * time.Hour
)

// Seen is the newest thing of a kind that is known of a provider. The zero value is nothing.
type Seen struct {
	Key     string           // of a fetch: the newest key in it
	Kind    Kind             // how it is known
	Network policies.Network // empty: all
	At      int64            // UTC, microseconds; 0 for never
	Note    string
}

// Standing is how a counterparty stands towards the next key.
type Standing struct {
	Counterparty
	State    State
	Reason   Reason
	Network  policies.Network // the network that Reason is about; empty: all
	Signs    string           // the key by which it is answered now
	Fetched  Seen
	Accepted Seen
}

// Question is what readiness is decided from. Time is UTC in microseconds.
type Question struct {
	Purpose        keys.Purpose
	Active, Next   keys.Key
	Ahead          time.Duration // how long a key is published before it may sign
	Counterparties []Counterparty
	Evidence       []Evidence
	Switches       []Switch
	At             int64
}

// Report is who is ready for the next key of a purpose.
type Report struct {
	Purpose      keys.Purpose
	Active, Next keys.Key
	From         int64 // UTC, microseconds: the next key may sign from then on
	At           int64
	Standings    []Standing // late ones first, then unknown, then ready; by id
}

// Report decides.
func (q Question) Report() Report {
	r := Report{Purpose: q.Purpose, Active: q.Active, Next: q.Next, From: q.Next.CreatedAt + q.Ahead.Microseconds(), At: q.At}
	for _, c := range q.Counterparties {
		r.Standings = append(r.Standings, q.standing(c))
	}
	order := []State{Late, Unknown, Ready}
	slices.SortFunc(r.Standings, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State)), cmp.Compare(a.ID, b.ID))
	})
	return r
}

func (q Question) standing(c Counterparty) Standing {
	s := Standing{Counterparty: c, Signs: q.Active.ID}
	if c.OpenID {
		s.State, s.Reason = Ready, ReasonAutomatic
		return s
	}
	var own []Evidence
	for _, e := range q.Evidence {
		if e.Party == c.ID {
			own = append(own, e)
		}
	}
	s.Fetched, s.Accepted = q.newest(own, true), q.newest(own, false)
	var sw Switch
	for _, x := range q.Switches {
		if x.Party == c.ID && x.Key == q.Next.ID {
			sw = x
		}
	}
	if sw.Key != "" && !sw.Held {
		s.Signs, s.State, s.Reason = q.Next.ID, Ready, ReasonSwitched
		return s
	}
	s.State, s.Reason = Unknown, ReasonNeverBefore
	for i, n := range c.Networks {
		state, reason := q.in(c.Intake, n, own, sw)
		if i == 0 || worse(state, s.State) {
			s.State, s.Reason, s.Network = state, reason, n
		}
	}
	if s.State == Ready || len(c.Networks) < 2 {
		s.Network = ""
	}
	return s
}

func worse(a, b State) bool {
	order := []State{Late, Unknown, Ready}
	return slices.Index(order, a) < slices.Index(order, b)
}

// in decides for one network: the entity, and what a provider has configured of it, is another in each.
func (q Question) in(intake sp.Intake, n policies.Network, own []Evidence, sw Switch) (State, Reason) {
	var fetched Evidence
	var fetchedAny int64
	for _, e := range own {
		switch {
		case e.Network != n && e.Network != "":
		case e.Kind == Fetched:
			fetchedAny = max(fetchedAny, e.LastAt)
			if e.Key == q.Next.ID {
				fetched = e
			}
		case e.Key != q.Next.ID || sw.Held && e.LastAt <= sw.At: // what was known before it failed doesn't count
		case e.Kind == Told:
			return Ready, ReasonTold
		default:
			return Ready, ReasonAccepted
		}
	}
	switch {
	case sw.Held:
		return Late, ReasonHeld
	case intake == sp.IntakeCertificates:
		return Late, ReasonByHand
	case intake != sp.IntakeMetadata:
		return Late, ReasonOneHeld
	case fetchedAny == 0:
		return Unknown, ReasonNeverBefore
	case fetched.Key == "" || fetched.LastAt < fetchedAny:
		return Late, ReasonOlder
	case q.At-fetched.LastAt > CopyLife.Microseconds():
		return Late, ReasonStale
	case q.At-fetched.FirstAt < Settle.Microseconds():
		return Late, ReasonSettling
	}
	return Ready, ReasonFetched
}

// newest gives the last fetch, or else the last thing that was taken. Of a fetch with several keys the one that comes last in a key's life counts.
func (q Question) newest(own []Evidence, fetch bool) (s Seen) {
	for _, e := range own {
		if (e.Kind == Fetched) != fetch || e.Kind == Told {
			continue
		}
		if e.LastAt > s.At || e.LastAt == s.At && (e.Key == q.Next.ID || e.Key == q.Active.ID && s.Key != q.Next.ID) {
			s = Seen{Key: e.Key, Kind: e.Kind, Network: e.Network, At: e.LastAt, Note: e.Note}
		}
	}
	return s
}

// Waiting lists who isn't ready.
func (r Report) Waiting() []Standing {
	i := slices.IndexFunc(r.Standings, func(s Standing) bool { return s.State == Ready })
	if i < 0 {
		return r.Standings
	}
	return r.Standings[:i]
}

// Early reports whether the next key was published too recently to sign.
func (r Report) Early() bool { return r.At < r.From }

// Owned is what of an organization's isn't ready.
type Owned struct {
	Org       policies.OrgID // empty: whose they are isn't known
	Standings []Standing
}

// ByOwner groups by organization, those of nobody last.
func ByOwner(all []Standing) (out []Owned) {
	for _, s := range all {
		i := slices.IndexFunc(out, func(o Owned) bool { return o.Org == s.Owner })
		if i < 0 {
			i, out = len(out), append(out, Owned{Org: s.Owner})
		}
		out[i].Standings = append(out[i].Standings, s)
	}
	slices.SortStableFunc(out, func(a, b Owned) int {
		return cmp.Or(boolean(a.Org == "")-boolean(b.Org == ""), cmp.Compare(a.Org, b.Org))
	})
	return out
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
