package mynumber

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Local is the certificate core in process: a profile, its anchors, lists from a folder and a table of challenges.
type Local struct {
	profile    *cert.Profile
	anchors    *cert.Anchors
	lists      *Lists
	challenges *Challenges
}

// NewLocal makes a verifier. It refuses a profile that doesn't look at revocation, or that lets others than the anchors issue cards: a card is known
// by the key of its anchor.
func NewLocal(p *cert.Profile, anchors *cert.Anchors, lists *Lists, challenges *Challenges) (*Local, error) {
	c := p.Config()
	switch {
	case c.MaxIntermediates != 0:
		return nil, fmt.Errorf("mynumber: profile %s: max_intermediates is %d; cards are issued by the anchors themselves, so it must be 0", c.Name, c.MaxIntermediates)
	case c.Revocation != cert.Require:
		return nil, fmt.Errorf("mynumber: profile %s: revocation is %q; a login needs %q", c.Name, c.Revocation, cert.Require)
	case len(anchors.Certificates()) == 0:
		return nil, errors.New("mynumber: no anchors: give the authority's certificates")
	case lists == nil || challenges == nil:
		return nil, errors.New("mynumber: a verifier without lists or challenges")
	}
	return &Local{p, anchors, lists, challenges}, nil
}

// Schemes are the signatures that the profile takes of a challenge.
func (l *Local) Schemes() []pkix.Scheme { return l.profile.Config().ChallengeSchemes }

// Certificate implements Verifier.
func (l *Local) Certificate(_ context.Context, leaf []byte, chain [][]byte, at time.Time) (Verdict, error) {
	return verdictOf(l.verify(leaf, chain, at)), nil
}

// Challenge implements Verifier.
func (l *Local) Challenge(ctx context.Context, b Binding, at time.Time) (cert.Challenge, error) {
	return l.challenges.Issue(ctx, b, at)
}

// Redeem implements Verifier.
func (l *Local) Redeem(ctx context.Context, b Binding, r Response, at time.Time) (Verdict, error) {
	record, err := l.challenges.Redeem(ctx, b, r.Nonce, at)
	switch {
	case errors.Is(err, errNoChallenge):
		return Verdict{Code: cert.ChallengeUnknown, Detail: "there is no such challenge for this login"}, nil
	case err != nil:
		return Verdict{}, err
	}
	return verdictOf(l.profile.Challenge(l.verify(r.Leaf, nil, at), cert.Presented{
		Record: record, Nonce: r.Nonce, RelyingParty: b.RelyingParty, Purpose: b.Purpose, Scheme: r.Scheme, Signature: r.Signature,
	})), nil
}

// Ready implements Verifier.
func (l *Local) Ready(at time.Time) error { return l.lists.Ready(at) }

func (l *Local) verify(leaf []byte, chain [][]byte, at time.Time) cert.Verdict {
	in := cert.Input{Time: at, Leaf: leaf, Intermediates: chain}
	if c, err := pkix.ParseCertificate(leaf); err == nil {
		in.Lists = l.lists.For(c)
	}
	return l.profile.Verify(l.anchors, in)
}

func verdictOf(v cert.Verdict) Verdict {
	out := Verdict{Valid: v.Valid, Code: v.Code, Detail: v.Evidence.Detail(), Degraded: v.Evidence.Degraded(), Age: v.Evidence.Age(), Evidence: v.Evidence}
	anchor := v.Evidence.Anchor()
	if anchor == nil || v.Leaf == nil {
		return out
	}
	switch v.Code {
	case cert.OK, cert.Revoked, cert.OnHold:
		out.Card = &Card{Issuer: v.Leaf.Issuer.Canonical(), IssuerKey: anchor.Key.Raw, Serial: v.Leaf.Serial}
		for _, p := range v.Leaf.Policies {
			out.Policies = append(out.Policies, p.String())
		}
	}
	return out
}
