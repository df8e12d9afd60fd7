package cert

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Bounds on the search for a path. A chain of a thousand certificates, or a mesh of authorities that certify each other, ends here.
const (
	maxIntermediates = 128 // given
	maxPath          = 16  // between anchor and leaf
	maxSignatures    = 256 // verified in one verdict
	maxSteps         = 1024
)

// chain is a path from the certificate in question (index 0) up to the one that the anchor issued, and the anchor.
type chain struct {
	certs  []*pkix.Certificate
	anchor int // index into Anchors
}

// pair is a certificate and one that may have issued it.
type pair struct{ child, issuer *pkix.Certificate }

// search looks for a path that accept takes. It goes depth first, candidates whose key identifier fits before the others, so that the same
// input always gives the same path.
type search struct {
	run    *run
	only   int // the one anchor that may be used; -1: any
	accept func(chain) *fault
	found  *chain
	best   *fault // why there is none: the fault of the path that came furthest
	rank   int
}

// Ranks of faults: that of a complete path says more than that of a dead end.
const (
	rankNothing = iota
	rankNoPath
	rankSignature
	rankLength
	rankComplete
)

func (s *search) note(rank int, f *fault) {
	if rank > s.rank {
		s.rank, s.best = rank, f
	}
}

// path searches from a certificate. What comes back is either a chain or the fault.
func (s *search) path(leaf *pkix.Certificate) (*chain, *fault) {
	s.step(append(make([]*pkix.Certificate, 0, 4), leaf))
	if s.found != nil {
		return s.found, nil
	}
	if s.best == nil {
		return nil, &fault{NoPath, "no certificate of the issuer " + leaf.Issuer.String() + " was given"}
	}
	return nil, s.best
}

// step extends a path, whose last certificate is the topmost, and tells whether the search is over.
func (s *search) step(path []*pkix.Certificate) bool {
	if s.run.steps++; s.run.steps > maxSteps {
		s.note(rankComplete, &fault{WorkLimit, fmt.Sprintf("more than %d steps", maxSteps)})
		return true
	}
	return s.anchors(path) || s.intermediates(path)
}

func (s *search) anchors(path []*pkix.Certificate) bool {
	top := path[len(path)-1]
	for _, pass := range []bool{true, false} {
		for i, a := range s.run.anchors.certs {
			if s.only >= 0 && s.only != i || keyFits(top, a) != pass || !s.run.work.same(a.Subject, top.Issuer) {
				continue
			}
			if f := s.run.signed(top, a); f != nil {
				if f.code == BadSignature && !(pass && top.Authority.KeyID != nil) {
					f = &fault{AnchorKeyDiffers, "none of the anchors named " + a.Subject.String() + " has signed the certificate below it"}
				}
				s.note(rankSignature, f)
				continue
			}
			c := chain{path, i}
			if f := s.accept(c); f != nil {
				s.note(rankComplete, f)
				continue
			}
			s.found = &chain{append([]*pkix.Certificate(nil), path...), i}
			return true
		}
	}
	return false
}

func (s *search) intermediates(path []*pkix.Certificate) bool {
	top := path[len(path)-1]
	for _, pass := range []bool{true, false} {
		for _, c := range s.run.intermediates {
			if keyFits(top, c) != pass || !s.run.work.same(c.Subject, top.Issuer) || s.within(path, c) {
				continue
			}
			if len(path) > s.run.profile.config.MaxIntermediates {
				s.note(rankLength, &fault{PathTooLong, fmt.Sprintf("more than %d certificates between anchor and leaf", s.run.profile.config.MaxIntermediates)})
				return false
			}
			if f := s.run.signed(top, c); f != nil {
				s.note(rankSignature, f)
				continue
			}
			if s.step(append(path, c)) {
				return true
			}
		}
	}
	return false
}

// keyFits tells whether the issuer's key identifier is the one that the certificate names. It only orders candidates: the signature decides.
func keyFits(child, issuer *pkix.Certificate) bool {
	return child.Authority.KeyID == nil || issuer.SubjectKeyID == nil || bytes.Equal(child.Authority.KeyID, issuer.SubjectKeyID)
}

// within tells whether a certificate of that name and key is on the path already.
func (s *search) within(path []*pkix.Certificate, c *pkix.Certificate) bool {
	for _, p := range path {
		if p == c || p.Key.Equal(&c.Key) && s.run.work.same(p.Subject, c.Subject) {
			return true
		}
	}
	return false
}

// signed tells whether issuer's key signed child, and counts the work.
func (r *run) signed(child, issuer *pkix.Certificate) *fault {
	key := pair{child, issuer}
	if f, known := r.signatures[key]; known {
		return f
	}
	if r.verified++; r.verified > maxSignatures {
		return &fault{WorkLimit, fmt.Sprintf("more than %d signatures to verify", maxSignatures)}
	}
	var f *fault
	switch err := r.profile.policy.Check(&issuer.Key, child.Algorithm, child.TBS, child.Signature); {
	case err == nil:
	case errors.Is(err, pkix.ErrAlgorithm):
		f = &fault{AlgorithmRefused, err.Error()}
	default:
		f = &fault{BadSignature, "a certificate that " + issuer.Subject.String() + " would have issued isn't signed by its key"}
	}
	if r.signatures == nil {
		r.signatures = make(map[pair]*fault)
	}
	r.signatures[key] = f
	return f
}
