package cert

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// maxSignerDepth bounds the certificates of list issuers and responders whose own status must be known: each may have an issuer of its own.
const maxSignerDepth = 4

// state is what is known about the revocation of one certificate.
type state string

const (
	good      state = "good"
	revoked   state = "revoked"
	unknown   state = "unknown"
	unchecked state = "not-checked"
)

// status is the revocation of one certificate with what it rests on.
type status struct {
	state    state
	why      *fault // unless good
	entry    pkix.Revocation
	lists    []int // into Input.Lists, in the order of use
	answer   int   // into Input.Answers; -1: none
	age      time.Duration
	late     time.Duration // above 0: degraded, a list that was due for replacement
	reasons  pkix.Reasons  // covered by lists
	evidence bool          // something was there that is about the certificate
}

// statusOf decides about the revocation of a certificate, whose issuer's certificate is known to be good so far (RFC 5280, 6.3.3; RFC 6960).
func (r *run) statusOf(c, issuer *pkix.Certificate, anchor, depth int) status {
	s := status{answer: -1}
	r.lookInLists(&s, c, issuer, anchor, depth, 0)
	if s.state != revoked {
		r.lookInAnswers(&s, c, issuer, anchor, depth)
	}
	if s.state == "" && r.profile.config.DegradedOverdue > 0 {
		old := status{answer: -1}
		r.lookInLists(&old, c, issuer, anchor, depth, r.profile.config.DegradedOverdue.Duration())
		if old.state != "" {
			s = old
		}
	}
	if s.state == "" {
		s.state = unknown
		if s.why == nil {
			s.why = &fault{RevocationUnknown, "no list or answer given is about the certificate"}
			switch {
			case s.evidence:
				s.why.detail = "the lists given don't cover every reason for revocation"
			case len(r.unreadable) > 0:
				s.evidence = true // of whom can't be told
				s.why = &fault{RevocationBad, fmt.Sprintf("%d of the lists given can't be read, the first: %s", len(r.unreadable), r.unreadable[0].Why)}
			}
		}
	}
	return s
}

// blame keeps the fault that says most about why the status isn't known: a list that can't be trusted, before one that is too old.
func (s *status) blame(f *fault) {
	if s.why == nil || s.why.code == RevocationStale && f.code == RevocationBad {
		s.why = f
	}
}

func (s *status) revoke(entry pkix.Revocation) {
	s.state, s.entry = revoked, entry
	s.why = &fault{Revoked, "reason " + entry.Reason.String() + ", since " + stamp(entry.At)}
	if entry.Reason == pkix.CertificateHold {
		s.why.code = OnHold
	}
}

// lookInLists works through the distribution points until every reason is covered. Lists late by at most tolerance are taken.
func (r *run) lookInLists(s *status, c, issuer *pkix.Certificate, anchor, depth int, tolerance time.Duration) {
	for _, dp := range points(c) {
		for i, l := range r.lists {
			info := l.Info()
			if info.BaseNumber != nil {
				continue // a delta counts together with its base, below
			}
			reasons := r.work.scopeOf(info, c, &dp)
			if reasons == 0 || reasons&^s.reasons == 0 && !r.profile.config.HoldFinal {
				continue
			}
			s.evidence = true
			r.lookInList(s, i, c, issuer, anchor, depth, tolerance, reasons)
			if s.state == revoked {
				return
			}
		}
		if s.reasons == pkix.AllReasons && !r.profile.config.HoldFinal {
			break
		}
	}
	if s.reasons == pkix.AllReasons {
		s.state, s.why = good, nil
	}
}

func (r *run) lookInList(s *status, i int, c, issuer *pkix.Certificate, anchor, depth int, tolerance time.Duration, reasons pkix.Reasons) {
	l := r.lists[i]
	info := l.Info()
	if f := r.usable(info); f != nil {
		s.blame(f)
		return
	}
	late, future := r.profile.overdue(info, r.at)
	fresh := !future && late <= tolerance
	if !fresh {
		what := "due for replacement since " + stamp(r.at.Add(-late))
		if future {
			what = "of the future"
		}
		s.blame(&fault{RevocationStale, "a list of " + info.Issuer.String() + " is " + what})
		if future || !r.profile.config.HoldFinal {
			return
		}
	}
	signer, f := r.signer(l, c, issuer, anchor, depth)
	if f != nil {
		s.blame(f)
		return
	}
	entry, found, used := r.entry(l, signer, c, tolerance)
	if found && (entry.Reason != pkix.RemoveFromCRL || r.profile.config.HoldFinal) {
		if entry.Reason == pkix.RemoveFromCRL {
			entry.Reason = pkix.CertificateHold
		}
		s.lists, s.age, s.answer = append(s.lists[:0], append([]int{i}, used...)...), r.at.Sub(info.ThisUpdate), -1
		s.revoke(entry)
		return
	}
	if !fresh {
		return
	}
	if reasons&^s.reasons != 0 {
		s.lists = append(append(s.lists, i), used...)
		s.age, s.late = max(s.age, r.at.Sub(info.ThisUpdate)), max(s.late, late)
	}
	s.reasons |= reasons
}

// usable tells whether a list may be used at all.
func (r *run) usable(info *pkix.ListInfo) *fault {
	if len(info.Unprocessed) > 0 {
		return &fault{RevocationBad, fmt.Sprintf("a list of %s has a critical extension that isn't understood: %v", info.Issuer, info.Unprocessed)}
	}
	if info.Number == nil && r.profile.config.RequireNumber {
		return &fault{RevocationBad, "a list of " + info.Issuer.String() + " has no number"}
	}
	return nil
}

// entry looks a certificate up in a complete list and the newest delta that adds to it (RFC 5280, 6.3.3 c, i to k); used are the deltas.
func (r *run) entry(l List, signer *pkix.Certificate, c *pkix.Certificate, tolerance time.Duration) (e pkix.Revocation, found bool, used []int) {
	base := l.Info()
	best := -1
	for i, d := range r.lists {
		info := d.Info()
		if info.BaseNumber == nil || base.Number == nil || r.usable(info) != nil || !r.work.same(info.Issuer, base.Issuer) || !r.work.sameScope(base, info) {
			continue
		}
		if !bytes.Equal(info.Authority.KeyID, base.Authority.KeyID) || compare(base.Number, info.BaseNumber) < 0 ||
			compare(base.Number, info.Number) >= 0 {
			continue
		}
		if late, future := r.profile.overdue(info, r.at); future || late > tolerance {
			continue
		}
		if best >= 0 && compare(r.lists[best].Info().Number, info.Number) >= 0 {
			continue
		}
		if r.listSigned(d, signer) == nil {
			best = i
		}
	}
	if best >= 0 {
		used = append(used, best)
		if e, found = r.lists[best].Lookup(c.Issuer, c.Serial); found {
			if e.Reason == pkix.RemoveFromCRL && r.profile.config.HoldFinal {
				if old, was := l.Lookup(c.Issuer, c.Serial); was {
					e = old
				}
			}
			return e, true, used
		}
	}
	e, found = l.Lookup(c.Issuer, c.Serial)
	return e, found, used
}

// compare orders the contents of two INTEGERs that aren't negative.
func compare(a, b []byte) int {
	a, b = bytes.TrimLeft(a, "\x00"), bytes.TrimLeft(b, "\x00")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// listSigned tells whether a certificate's key signed a list.
func (r *run) listSigned(l List, signer *pkix.Certificate) *fault {
	if r.verified++; r.verified > maxSignatures {
		return &fault{WorkLimit, fmt.Sprintf("more than %d signatures to verify", maxSignatures)}
	}
	switch err := l.CheckSignature(&signer.Key, &r.profile.policy); {
	case err == nil:
		return nil
	case errors.Is(err, pkix.ErrAlgorithm):
		return &fault{RevocationBad, err.Error()}
	default:
		return &fault{RevocationBad, "a list of " + l.Info().Issuer.String() + " isn't signed by a key of that name"}
	}
}

// signer finds the certificate whose key signed a list, and that may sign lists under the same anchor (RFC 5280, 6.3.3 f, g). The issuer of the
// certificate in question is tried first; others of the list's name must have a path of their own.
func (r *run) signer(l List, c, issuer *pkix.Certificate, anchor, depth int) (*pkix.Certificate, *fault) {
	info := l.Info()
	var last *fault
	try := func(candidate *pkix.Certificate, trusted bool) bool {
		if !r.work.same(candidate.Subject, info.Issuer) {
			return false
		}
		f := r.listSigned(l, candidate)
		authentic := f == nil
		if f == nil && candidate.HasKeyUsage && candidate.KeyUsage&pkix.CRLSign == 0 {
			f = &fault{RevocationBad, "the key of " + info.Issuer.String() + " may not sign lists"}
		}
		if f == nil && !trusted {
			f = r.trustSigner(candidate, c, anchor, depth)
		}
		if f != nil && (last == nil || authentic) {
			last = f // of candidates, the one whose key fits says most
		}
		return f == nil
	}
	if try(issuer, true) {
		return issuer, nil
	}
	if top := r.anchors.certs[anchor]; top != issuer && try(top, true) {
		return top, nil
	}
	for _, x := range r.intermediates {
		if x != issuer && try(x, false) {
			return x, nil
		}
	}
	if last == nil {
		last = &fault{RevocationBad, "no certificate of the list's issuer " + info.Issuer.String() + " was given"}
	}
	return nil, last
}

// trustSigner validates the path of a list's issuer to the same anchor, and that nothing on it is revoked.
func (r *run) trustSigner(x, about *pkix.Certificate, anchor, depth int) *fault {
	if depth >= maxSignerDepth {
		return &fault{RevocationBad, "the issuers of lists are nested too deeply"}
	}
	if x == about && r.profile.config.ListIssuerVouches {
		return nil // its path is the one that is being decided about
	}
	if x == about {
		return &fault{RevocationBad, "a list issuer's certificate would vouch for itself"}
	}
	if f, known := r.signers[x]; known {
		return f
	}
	if r.signers == nil {
		r.signers = make(map[*pkix.Certificate]*fault)
	}
	r.signers[x] = &fault{RevocationBad, "two lists would vouch for each other's issuer"} // while it is being found out
	s := search{run: r, only: anchor, accept: func(c chain) *fault {
		if f := r.validate(c, inputs{}); f != nil {
			return f
		}
		if r.mode == NoCheck {
			return nil
		}
		for i := len(c.certs) - 1; i >= 0; i-- {
			above := r.anchors.certs[c.anchor]
			if i+1 < len(c.certs) {
				above = c.certs[i+1]
			}
			if st := r.statusOf(c.certs[i], above, anchor, depth+1); st.state == revoked || st.state == unknown && !r.tolerated(&st) {
				return st.why
			}
		}
		return nil
	}}
	_, f := s.path(x)
	if f != nil {
		f = &fault{RevocationBad, "the certificate of the list's issuer " + x.Subject.String() + ": " + string(f.code) + ": " + f.detail}
	}
	r.signers[x] = f
	return f
}

// tolerated tells whether a status that isn't known is no failure: nothing was there, and the caller takes that.
func (r *run) tolerated(s *status) bool { return r.mode == IfPresent && !s.evidence }
