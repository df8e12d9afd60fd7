package cert

import (
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Input is everything that a verdict about one certificate depends on, beside the profile and the anchors. Nothing in it is changed or kept
// beyond the Evidence, which points into it.
type Input struct {
	Time          time.Time // of the decision; fractions of a second are dropped
	Leaf          []byte    // DER
	Intermediates [][]byte  // DER, in any order; one that can't be read is as if it weren't there
	Lists         []List
	Unreadable    []Unreadable // lists that were given and couldn't be read
	Answers       []Answer
	Options       Options
}

// Unreadable is a list that can't be used, for the record.
type Unreadable struct {
	SHA256 Hash   `json:"sha256"`
	Why    string `json:"why"`
}

// Answer is an OCSP answer with the nonce of its request, nil if it isn't known.
type Answer struct {
	DER   []byte `json:"der"`
	Nonce []byte `json:"nonce,omitempty"`
}

// Options narrow a profile down for one decision; they never widen what it accepts, except that Revocation replaces the profile's when it is set.
type Options struct {
	Policies              []pkix.OID    `json:"policies,omitempty"` // user-initial-policy-set; none: the profile's
	RequireExplicitPolicy bool          `json:"require_explicit_policy,omitempty"`
	InhibitPolicyMapping  bool          `json:"inhibit_policy_mapping,omitempty"`
	InhibitAnyPolicy      bool          `json:"inhibit_any_policy,omitempty"`
	Revocation            Revocation    `json:"revocation,omitempty"`
	KeyUsage              pkix.KeyUsage `json:"key_usage,omitempty"` // each bit must be set, if the certificate has key usage
	Purposes              []pkix.OID    `json:"extended_key_usage,omitempty"`
	Host                  string        `json:"dns_name,omitempty"`
}

// Verdict is the decision. Valid is true only with the code OK.
type Verdict struct {
	Valid    bool
	Code     Code
	Leaf     *pkix.Certificate // nil if it couldn't be read
	Evidence *Evidence
}

// Reason is the sentence for people, in Japanese and English.
func (v *Verdict) Reason() string { return v.Code.Japanese() + " / " + v.Code.English() }

// run is one decision while it is made.
type run struct {
	profile       *Profile
	anchors       *Anchors
	at            time.Time
	options       *Options
	mode          Revocation
	inputs        inputs
	intermediates []*pkix.Certificate
	lists         []List
	unreadable    []Unreadable
	answers       []Answer

	work       budget
	signatures map[pair]*fault
	signers    map[*pkix.Certificate]*fault
	verified   int
	steps      int

	// Of the path that was found, or of the first complete one that was refused.
	chain    chain
	statuses []status
}

// Verify decides about one certificate. It is a pure function of its arguments; malformed input is a verdict, never a panic.
func (p *Profile) Verify(anchors *Anchors, in Input) Verdict {
	r := &run{
		profile: p, anchors: anchors, at: in.Time.UTC().Truncate(time.Second), options: &in.Options, mode: p.config.Revocation,
		lists: in.Lists, unreadable: in.Unreadable, answers: in.Answers,
	}
	if in.Options.Revocation != "" {
		r.mode = in.Options.Revocation
	}
	leaf, f := r.decide(&in)
	v := Verdict{Code: OK, Valid: f == nil, Leaf: leaf}
	if f != nil {
		v.Code = f.code
	}
	v.Evidence = r.evidence(&in, v, f)
	return v
}

// Bounds on what is given for one decision.
const (
	maxLists   = 256
	maxAnswers = 64
)

func (r *run) decide(in *Input) (*pkix.Certificate, *fault) {
	if len(in.Intermediates) > maxIntermediates || len(in.Lists) > maxLists || len(in.Answers) > maxAnswers {
		return nil, &fault{TooLarge, fmt.Sprintf("at most %d intermediates, %d lists and %d answers are read", maxIntermediates, maxLists, maxAnswers)}
	}
	leaf, err := pkix.ParseCertificate(in.Leaf)
	if err != nil {
		return nil, parseFault(err)
	}
	var total int
	var unread error
	for i, raw := range in.Intermediates {
		if total += len(raw); total > maxIntermediateOctets {
			return leaf, &fault{TooLarge, fmt.Sprintf("more than %d octets of intermediates", maxIntermediateOctets)}
		}
		c, err := pkix.ParseCertificate(raw)
		switch {
		case err == nil:
			r.intermediates = append(r.intermediates, c)
		case unread == nil:
			unread = fmt.Errorf("intermediate %d can't be read: %w", i+1, err)
		}
	}
	r.inputs = r.policyInputs()
	s := search{run: r, only: -1, accept: r.acceptPath}
	_, f := s.path(leaf)
	if r.work.spent {
		f = r.work.fault()
	}
	if f != nil && f.code == NoPath && unread != nil {
		f.detail += "; " + unread.Error()
	}
	return leaf, f
}

// maxIntermediateOctets bounds all intermediates together.
const maxIntermediateOctets = 1 << 20

// policyInputs joins what the profile and the caller ask for: of two sets of policies what is in both.
func (r *run) policyInputs() inputs {
	c, o := &r.profile.config, r.options
	in := inputs{
		policies: r.profile.policies, explicit: c.RequireExplicitPolicy || o.RequireExplicitPolicy,
		inhibitMapping: c.InhibitPolicyMapping || o.InhibitPolicyMapping, inhibitAny: c.InhibitAnyPolicy || o.InhibitAnyPolicy,
	}
	if len(o.Policies) == 0 || slices.Contains(o.Policies, pkix.OIDAnyPolicy) {
		return in
	}
	if in.policies == nil {
		in.policies = o.Policies
		return in
	}
	both := []pkix.OID{}
	for _, p := range in.policies {
		if slices.Contains(o.Policies, p) {
			both = append(both, p)
		}
	}
	in.policies = both
	return in
}

// acceptPath decides about a complete path: first what stands in it, then what its holder's certificate must be, then revocation, from the top.
func (r *run) acceptPath(c chain) *fault {
	var statuses []status
	f := r.judge(c, &statuses)
	if f == nil || r.chain.certs == nil {
		r.chain, r.statuses = chain{slices.Clone(c.certs), c.anchor}, statuses
	}
	return f
}

func (r *run) judge(c chain, statuses *[]status) *fault {
	anchor := r.anchors.certs[c.anchor]
	if f := r.profile.checkAnchor(anchor, r.anchors.hashes[c.anchor], r.at); f != nil {
		return f
	}
	if f := r.checkLeaf(c.certs[0]); f != nil {
		return f
	}
	if f := r.validate(c, r.inputs); f != nil {
		return f
	}
	if r.mode == NoCheck {
		return nil
	}
	*statuses = make([]status, len(c.certs))
	for i := range *statuses {
		(*statuses)[i].state, (*statuses)[i].answer = unchecked, -1
	}
	issuer := anchor
	for i := len(c.certs) - 1; i >= 0; i-- {
		st := r.statusOf(c.certs[i], issuer, c.anchor, 0)
		tolerated := st.state == unknown && r.tolerated(&st)
		if tolerated {
			st.state = unchecked
		}
		(*statuses)[i] = st
		if st.state != good && !tolerated {
			return st.why
		}
		issuer = c.certs[i]
	}
	return nil
}
