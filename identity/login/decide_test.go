package login

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

var (
	card     = offered{identity.MethodCard, policies.AssuranceCard, UseLogin, true}
	password = offered{identity.MethodPassword, policies.AssuranceSingle, UseLink, false}
	sealed   = offered{identity.MethodBreakGlass, policies.AssuranceSingle, UseLogin, false}
	all      = []offered{sealed, card, password}
)

func open(change func(*Request)) Request {
	r := Request{ID: "r", State: StateOpen, ExpiresAt: 1000, Ask: Ask{Required: policies.AssuranceCard}}
	if change != nil {
		change(&r)
	}
	return r
}

func somebody(change func(*known)) *known {
	k := known{person: "p", assurance: policies.AssuranceCard, posts: []post{{"main", true, true}}}
	if change != nil {
		change(&k)
	}
	return &k
}

func said(s step) string {
	switch s.kind {
	case stepMethods:
		text := fmt.Sprintf("methods %v", s.methods)
		if s.linking {
			text += " to link"
		}
		return text
	case stepLink:
		return "link"
	case stepPosts:
		return fmt.Sprintf("posts %v", s.posts)
	case stepFinish:
		return "finish in " + string(s.post)
	}
	return "refuse " + string(s.reason)
}

func TestDecide(t *testing.T) {
	two := []post{{"main", true, true}, {"other", true, true}}
	linkProof := &Proof{Person: "p", Use: UseLink}
	cardProof := &Proof{Credential: "c", Use: UseLogin}
	for _, tc := range []struct {
		name string
		r    Request
		f    facts
		want string
	}{
		{"the zero request", Request{}, facts{}, "refuse request_answered"},
		{"finished", open(func(r *Request) { r.State = StateFinished }), facts{known: somebody(nil)}, "refuse request_answered"},
		{"refused", open(func(r *Request) { r.State = StateRefused }), facts{known: somebody(nil)}, "refuse request_answered"},
		{"a moment before its end", open(nil), facts{now: 999, offers: all}, "methods [card]"},
		{"its end", open(nil), facts{now: 1000, offers: all, known: somebody(nil)}, "refuse request_expired"},
		{"nobody", open(nil), facts{offers: all}, "methods [card]"},
		{"nobody, and less is enough", open(func(r *Request) { r.Required = policies.AssuranceNone }), facts{offers: all}, "methods [break_glass card]"},
		{"a password never logs in", open(func(r *Request) { r.Required = policies.AssuranceNone }), facts{offers: []offered{password}}, "refuse assurance_too_low"},
		{"nothing is offered here", open(nil), facts{}, "refuse method_not_offered"},
		{"nothing offered is enough", open(nil), facts{offers: []offered{sealed}}, "refuse assurance_too_low"},
		{"nobody, passive", open(func(r *Request) { r.Passive = true }), facts{offers: all}, "refuse login_required"},
		{"too many tries", open(func(r *Request) { r.Attempts = MaxAttempts }), facts{offers: all}, "refuse too_many_attempts"},
		{"known", open(nil), facts{offers: all, known: somebody(nil)}, "finish in main"},
		{"known, after many tries", open(func(r *Request) { r.Attempts = MaxAttempts }), facts{known: somebody(nil)}, "finish in main"},
		{"known, passive", open(func(r *Request) { r.Passive = true }), facts{known: somebody(nil)}, "finish in main"},
		{"a weak session", open(nil), facts{offers: all, known: somebody(func(k *known) { k.session, k.assurance = true, policies.AssuranceTwo })}, "methods [card]"},
		{"a weak session, passive", open(func(r *Request) { r.Passive = true }), facts{offers: all, known: somebody(func(k *known) { k.session, k.assurance = true, policies.AssuranceTwo })}, "refuse login_required"},
		{"the policies want the card", open(func(r *Request) { r.Required = policies.AssuranceNone }), facts{offers: all, known: somebody(func(k *known) {
			k.assurance, k.posts = policies.AssuranceTwo, []post{{"main", false, true}}
		})}, "methods [card]"},
		{"the policies never let in", open(nil), facts{offers: all, known: somebody(func(k *known) { k.posts = []post{{"main", false, false}} })}, "refuse policy_denied"},
		{"the card is there and isn't enough", open(nil), facts{offers: all, known: somebody(func(k *known) { k.posts = []post{{"main", false, true}} })}, "refuse policy_denied"},
		{"no post at all", open(nil), facts{offers: all, known: somebody(func(k *known) { k.posts = nil })}, "refuse policy_denied"},
		{"somebody else has just proven themselves", open(func(r *Request) { r.Person = "q" }), facts{offers: all, known: somebody(nil)}, "refuse other_person"},
		{"somebody else has a session", open(func(r *Request) { r.Person = "q" }), facts{offers: all, known: somebody(func(k *known) { k.session = true })}, "methods [card]"},
		{"somebody else has a session, passive", open(func(r *Request) { r.Person, r.Passive = "q", true }), facts{offers: all, known: somebody(func(k *known) { k.session = true })}, "refuse login_required"},
		{"the wanted person", open(func(r *Request) { r.Person = "p" }), facts{known: somebody(nil)}, "finish in main"},
		{"two posts", open(nil), facts{known: somebody(func(k *known) { k.posts = two })}, "posts [main other]"},
		{"two posts, passive", open(func(r *Request) { r.Passive = true }), facts{known: somebody(func(k *known) { k.posts = two })}, "refuse interaction_required"},
		{"two posts, one is let in", open(nil), facts{known: somebody(func(k *known) { k.posts = []post{{"main", false, false}, {"other", true, true}} })}, "finish in other"},
		{"two posts, chosen", open(func(r *Request) { r.Post = "other" }), facts{known: somebody(func(k *known) { k.posts = two })}, "finish in other"},
		{"two posts, chosen for the session", open(nil), facts{known: somebody(func(k *known) { k.session, k.post, k.posts = true, "other", two })}, "finish in other"},
		{"the post is to be asked for", open(func(r *Request) { r.Choose = true }), facts{known: somebody(func(k *known) { k.session, k.post, k.posts = true, "other", two })}, "posts [main other]"},
		{"the session's post isn't let in", open(nil), facts{known: somebody(func(k *known) {
			k.session, k.post, k.posts = true, "main", []post{{"main", false, false}, {"other", true, true}}
		})}, "posts [other]"},
		{"the chosen post isn't held", open(func(r *Request) { r.Post = "third" }), facts{known: somebody(func(k *known) { k.posts = two })}, "refuse post_unknown"},
		{"the chosen post isn't let in", open(func(r *Request) { r.Post = "main" }), facts{known: somebody(func(k *known) {
			k.posts = []post{{"main", false, false}, {"other", true, true}}
		})}, "refuse policy_denied"},
		{"a card that is nobody's", open(func(r *Request) { r.Pending = cardProof }), facts{offers: all}, "methods [password] to link"},
		{"a card that is nobody's, beside a session", open(func(r *Request) { r.Pending = cardProof }), facts{offers: all, known: somebody(nil)}, "methods [password] to link"},
		{"a card that is nobody's, and no password here", open(func(r *Request) { r.Pending = cardProof }), facts{offers: []offered{card}}, "refuse method_not_offered"},
		{"card and password", open(func(r *Request) { r.Pending, r.Proof = cardProof, linkProof }), facts{offers: all}, "link"},
		{"the password alone", open(func(r *Request) { r.Proof = linkProof }), facts{offers: all, known: somebody(nil)}, "methods [card] to link"},
	} {
		if got := said(decide(tc.r, tc.f)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestFits(t *testing.T) {
	r := open(func(r *Request) { r.HasMaxAge, r.MaxAge = true, time.Minute })
	at := int64(1e12)
	for name, tc := range map[string]struct {
		r    Request
		age  time.Duration
		want bool
	}{
		"no max_age": {open(nil), time.Hour, true}, "young enough": {r, time.Minute, true}, "too old": {r, time.Minute + time.Microsecond, false},
		"forced":                {open(func(r *Request) { r.Force = true }), 0, false},
		"max_age=0 is a prompt": {open(func(r *Request) { r.HasMaxAge = true }), time.Microsecond, false},
	} {
		if got := fits(tc.r, at, at+tc.age.Microseconds()); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Whatever the record and the facts are: nobody finishes without being known by a proof that logs in, at the assurance that is required, in a
// post that they hold and that the policies let in; nothing is shown to a passive request; no wrong person finishes.
func TestDecideHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.IntRange(0, int(policies.AssuranceCard))
		proof := rapid.SampledFrom([]*Proof{nil, {Person: "p", Use: UseLogin}, {Person: "p", Use: UseLink}, {Credential: "c", Use: UseLogin}})
		r := Request{
			State: rapid.SampledFrom([]State{StateOpen, StateFinished, StateRefused, ""}).Draw(t, "state"), ExpiresAt: 10,
			Attempts: rapid.IntRange(0, MaxAttempts).Draw(t, "attempts"), Pending: proof.Draw(t, "pending"), Proof: proof.Draw(t, "proof"),
			Post: rapid.SampledFrom([]policies.OrgID{"", "a", "b", "c"}).Draw(t, "post"),
			Ask: Ask{
				Required: policies.Assurance(level.Draw(t, "required")), Passive: rapid.Bool().Draw(t, "passive"), Choose: rapid.Bool().Draw(t, "choose"),
				Person: rapid.SampledFrom([]policies.PersonID{"", "p", "q"}).Draw(t, "hint"),
			},
		}
		f := facts{now: rapid.Int64Range(5, 14).Draw(t, "now")}
		for _, o := range all {
			if rapid.Bool().Draw(t, "offered") {
				f.offers = append(f.offers, o)
			}
		}
		if rapid.Bool().Draw(t, "known") {
			k := known{person: "p", assurance: policies.Assurance(level.Draw(t, "assurance")), session: rapid.Bool().Draw(t, "session"), post: "a"}
			for _, org := range []policies.OrgID{"a", "b"}[:rapid.IntRange(0, 2).Draw(t, "posts")] {
				k.posts = append(k.posts, post{org, rapid.Bool().Draw(t, "allowed"), rapid.Bool().Draw(t, "better")})
			}
			f.known = &k
		}
		s := decide(r, f)
		if s.kind != stepRefuse && (r.State != StateOpen || f.now >= r.ExpiresAt) {
			t.Fatalf("%s: a request that is over goes on", said(s))
		}
		if r.Passive && (s.kind == stepMethods || s.kind == stepPosts) {
			t.Fatalf("%s: a passive request shows something", said(s))
		}
		if s.kind == stepRefuse && (s.reason == "" || strings.Contains(string(s.reason), " ")) {
			t.Fatalf("refused without a reason")
		}
		for _, m := range s.methods {
			if m == identity.MethodPassword && !s.linking {
				t.Fatal("a password is offered to log in")
			}
		}
		if s.kind == stepLink && (r.Pending == nil || r.Proof == nil) {
			t.Fatal("linked without both proofs")
		}
		if s.kind != stepFinish {
			return
		}
		k := f.known
		if k == nil || r.Pending != nil || r.Proof != nil && r.Proof.Use != UseLogin || k.assurance < r.Required || r.Person != "" && r.Person != k.person ||
			!slices.ContainsFunc(k.posts, func(p post) bool { return p.org == s.post && p.allowed }) || r.Post != "" && r.Post != s.post {
			t.Fatalf("%s: %+v %+v", said(s), r, k)
		}
	})
}
