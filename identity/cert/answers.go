package cert

import (
	"crypto"

	"github.com/musubi-hub/musubi/identity/cert/ocsp"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// ocspPolicy is what a profile says, in the terms of package ocsp.
func (p *Profile) ocspPolicy(nonce bool) ocsp.Policy {
	c := &p.config.OCSP
	out := ocsp.DefaultPolicy()
	out.Signatures = p.policy
	out.Delegated, out.ByIssuer = c.Delegated, c.ByIssuer
	out.Leeway, out.MaxAge = p.config.Leeway.Duration(), c.MaxAge.Duration()
	out.Hashes = []crypto.Hash{crypto.SHA256}
	if c.SHA1 {
		out.Hashes = append(out.Hashes, crypto.SHA1)
	}
	switch {
	case c.RequireNonce:
		out.Nonce = ocsp.NonceRequired
	case nonce:
		out.Nonce = ocsp.NonceOptional
	default:
		out.Nonce = ocsp.NonceIgnored // stored or relayed: freshness holds replays off
	}
	out.NoCheck = ocsp.NoCheckOrStatus
	if c.NoCheckOnly {
		out.NoCheck = ocsp.NoCheckRequired
	}
	return out
}

// lookInAnswers takes what OCSP answers say about a certificate: "revoked" always counts, "good" if the lists haven't settled it.
func (r *run) lookInAnswers(s *status, c, issuer *pkix.Certificate, anchor, depth int) {
	question := ocsp.Question{Issuer: ocsp.Issuer{Name: c.Issuer, Key: &issuer.Key}, Serial: c.Serial}
	for i, raw := range r.answers {
		question.Nonce = raw.Nonce
		a, err := ocsp.Check(raw.DER, question, r.at, r.profile.ocspPolicy(raw.Nonce != nil))
		if err != nil {
			r.blameAnswer(s, i, err)
			continue
		}
		s.evidence = true
		if a.Unsettled {
			if st := r.responderStatus(a.Responder, issuer, anchor, depth); st.state != good {
				s.blame(&fault{RevocationBad, "the status of an OCSP responder's certificate isn't good: " + st.why.detail})
				continue
			}
		}
		switch {
		case a.Status == ocsp.Revoked:
			s.answer, s.lists, s.age = i, nil, a.Age
			s.revoke(a.Revocation)
			return
		case a.Status == ocsp.Unknown:
			s.blame(&fault{RevocationUnknown, "the OCSP responder doesn't know the certificate"})
		case s.state == "" && a.Status == ocsp.Good:
			s.state, s.why, s.answer, s.age = good, nil, i, a.Age
		}
	}
}

func (r *run) blameAnswer(s *status, i int, err error) {
	switch code := ocsp.CodeOf(err); code {
	case ocsp.CodeNotFound:
		return // about another certificate
	case ocsp.CodeStale, ocsp.CodeNotYet, ocsp.CodeNoNextUpdate:
		s.evidence = true
		s.blame(&fault{RevocationStale, err.Error()})
	default:
		// Whose answer it is can't be told of one that isn't readable or authentic; it never counts, and only strict callers mind.
		s.evidence = true
		s.blame(&fault{RevocationBad, err.Error()})
	}
}

// responderStatus looks a delegated responder up in the lists: an answer of its own would vouch for itself.
func (r *run) responderStatus(c, issuer *pkix.Certificate, anchor, depth int) status {
	s := status{answer: -1}
	if depth < maxSignerDepth {
		r.lookInLists(&s, c, issuer, anchor, depth+1, 0)
	}
	if s.state == "" {
		s.state = unknown
		s.why = &fault{RevocationUnknown, "no list covers the responder"}
	}
	return s
}
