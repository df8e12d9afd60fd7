package login

import (
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// stepKind is what happens next.
type stepKind int

const (
	stepRefuse stepKind = iota // the zero step
	stepMethods
	stepLink
	stepPosts
	stepFinish
)

// step is the next step of a request.
type step struct {
	kind    stepKind
	reason  Reason              // stepRefuse
	methods []identity.MethodID // stepMethods: one of them is to be used
	linking bool                // stepMethods: to link the pending credential
	posts   []policies.OrgID    // stepPosts: one of them is to be chosen
	post    policies.OrgID      // stepFinish
}

// facts is what decide knows beside the record. It is gathered before, so that deciding is pure.
type facts struct {
	now    int64
	offers []offered // on the request's network, in order of their ids
	known  *known    // nil where nobody is
}

type offered struct {
	id    identity.MethodID
	reach policies.Assurance
	use   Use
	links bool // it gives credentials that have to be linked
}

// known is a person who has proven who they are: just now, or for the session.
type known struct {
	person    policies.PersonID
	assurance policies.Assurance
	session   bool
	post      policies.OrgID // of the session
	posts     []post         // held, the main one first
}

type post struct {
	org     policies.OrgID
	allowed bool // the policies let the person enter in this post
	better  bool // they would, if the card proved the person
}

// fits reports whether a session answers the request at all: it is the person's old proof.
func fits(r Request, authAt, now int64) bool {
	return !r.Force && (!r.HasMaxAge || now-authAt <= r.MaxAge.Microseconds())
}

// decide gives the next step of a request. It is the only place that does.
func decide(r Request, f facts) step {
	switch {
	case r.State != StateOpen:
		return step{reason: ReasonAnswered}
	case f.now >= r.ExpiresAt:
		return step{reason: ReasonExpired}
	case r.Pending != nil && r.Proof != nil:
		return step{kind: stepLink}
	case r.Pending != nil:
		return ask(r, f, func(o offered) bool { return o.use == UseLink }, true)
	case r.Proof != nil && r.Proof.Use != UseLogin: // what only links was proven, and there is nothing to link yet
		return ask(r, f, func(o offered) bool { return o.links }, true)
	case f.known == nil:
		return stepUp(r, f, r.Required)
	}
	k := f.known
	switch {
	case r.Person != "" && k.person != r.Person && k.session:
		return stepUp(r, f, r.Required)
	case r.Person != "" && k.person != r.Person:
		return step{reason: ReasonOtherPerson}
	case k.assurance < r.Required:
		return stepUp(r, f, r.Required)
	}
	return choose(r, f, *k)
}

// choose finds the post in which a known person acts.
func choose(r Request, f facts, k known) step {
	var allowed []policies.OrgID
	better := false
	for _, p := range k.posts {
		if p.allowed {
			allowed = append(allowed, p.org)
		}
		better = better || p.better
	}
	wanted := r.Post
	if wanted == "" && k.session && !r.Choose {
		wanted = k.post
	}
	for _, p := range k.posts {
		switch {
		case p.org != wanted:
		case p.allowed:
			return step{kind: stepFinish, post: wanted}
		case r.Post != "" && p.better && k.assurance < policies.AssuranceCard:
			return stepUp(r, f, policies.AssuranceCard)
		case r.Post != "":
			return step{reason: ReasonPolicy}
		}
	}
	switch {
	case r.Post != "":
		return step{reason: ReasonPost}
	case len(allowed) == 0 && better && k.assurance < policies.AssuranceCard:
		return stepUp(r, f, policies.AssuranceCard)
	case len(allowed) == 0:
		return step{reason: ReasonPolicy}
	case len(allowed) == 1 && !(k.session && len(k.posts) > 1): // who is logged in in another post is asked before that changes
		return step{kind: stepFinish, post: allowed[0]}
	case r.Passive:
		return step{reason: ReasonInteraction}
	}
	return step{kind: stepPosts, posts: allowed}
}

// stepUp asks for a proof that reaches least.
func stepUp(r Request, f facts, least policies.Assurance) step {
	if r.Passive {
		return step{reason: ReasonLogin}
	}
	s := ask(r, f, func(o offered) bool { return o.use == UseLogin && o.reach >= least }, false)
	if s.reason == ReasonMethod && len(f.offers) > 0 {
		s.reason = ReasonAssurance
	}
	return s
}

func ask(r Request, f facts, suits func(offered) bool, linking bool) step {
	s := step{kind: stepMethods, linking: linking}
	for _, o := range f.offers {
		if suits(o) {
			s.methods = append(s.methods, o.id)
		}
	}
	switch {
	case r.Passive:
		return step{reason: ReasonInteraction}
	case len(s.methods) == 0:
		return step{reason: ReasonMethod}
	case r.Attempts >= MaxAttempts:
		return step{reason: ReasonTries}
	}
	return s
}
