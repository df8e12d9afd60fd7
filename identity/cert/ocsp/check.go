package ocsp

import (
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Status is what an answer says about a certificate. The zero value says nothing and must be treated as a refusal.
type Status int

// The states of RFC 6960 section 2.2. Only Good is good; Unknown means that the responder doesn't know the certificate.
const (
	Good Status = iota + 1
	Revoked
	Unknown
)

func (s Status) String() string {
	switch s {
	case Good:
		return "good"
	case Revoked:
		return "revoked"
	case Unknown:
		return "unknown"
	}
	return "none"
}

// Question is what was asked.
type Question struct {
	Issuer Issuer
	Serial []byte // content octets of the certificate's serialNumber
	Nonce  []byte // of the request; nil: there was none
}

// Answer is an answer that passed every check of its policy. Times are UTC, to the second.
type Answer struct {
	Status     Status
	Revocation pkix.Revocation // with Revoked; a reason that the answer doesn't give is Unspecified. CertificateHold is final: JPKI never releases it

	ProducedAt, ThisUpdate time.Time
	NextUpdate             time.Time     // zero: none
	Age                    time.Duration // from thisUpdate to the time of the check; not below 0

	Nonce     bool              // the answer carries the request's nonce
	SHA256    [32]byte          // of the answer's octets, for the evidence
	Responder *pkix.Certificate // of the delegated responder; nil: the CA's own key signed
	// Unsettled is set if the responder was delegated, has no id-pkix-ocsp-nocheck and the policy takes that: whoever uses the
	// answer must first find that Responder is not revoked.
	Unsettled bool
}

// Extensions of a SingleResponse that may be critical, because they change nothing about what it says (RFC 6960 section 4.4).
var understood = []pkix.OID{mustOID("1.3.6.1.5.5.7.48.1.6"), mustOID("1.3.6.1.5.5.7.48.1.3")} // archive cutoff, CRL reference

func mustOID(dotted string) pkix.OID {
	o, err := pkix.ParseOID(dotted)
	if err != nil {
		panic(err)
	}
	return o
}

// Check judges the answer raw to the question q at the time now. The error is a *[Refusal], and then the Answer is the zero value.
// A revoked or unknown certificate is no error: look at Status.
func Check(raw []byte, q Question, now time.Time, p Policy) (Answer, error) {
	switch {
	case !q.Issuer.valid():
		return Answer{}, refuse(CodeQuestion, "the issuer's name or key is missing")
	case !checkSerial(q.Serial):
		return Answer{}, refuse(CodeQuestion, "the serial is not a positive INTEGER of at most %d octets", maxSerial)
	case p.Nonce == NonceRequired && len(q.Nonce) == 0:
		return Answer{}, refuse(CodeQuestion, "the policy wants a nonce and none was sent")
	case !p.Delegated && !p.ByIssuer:
		return Answer{}, refuse(CodeQuestion, "the policy takes no kind of responder")
	}
	r, err := parseResponse(raw, p)
	if err != nil {
		return Answer{}, err
	}
	if r.exts.critical(pkix.OIDOCSPNonce) {
		return Answer{}, refuse(CodeCritical, "the answer has a critical extension that is not understood")
	}
	who, refusal := r.responder(q.Issuer, now, p)
	if refusal != nil {
		return Answer{}, refusal
	}
	out := Answer{SHA256: sha256.Sum256(raw), ProducedAt: r.producedAt, Responder: who.cert, Unsettled: who.unsettled}
	if out.Nonce, err = r.checkNonce(q.Nonce, p.Nonce); err != nil {
		return Answer{}, err
	}
	s, err := r.find(q, p)
	if err != nil {
		return Answer{}, err
	}
	if err := s.checkTimes(r.producedAt, now, p); err != nil {
		return Answer{}, err
	}
	out.Status, out.ThisUpdate, out.NextUpdate = s.status, s.thisUpdate, s.nextUpdate
	out.Age = max(0, now.Sub(s.thisUpdate))
	if s.status == Revoked {
		if reason := s.revocation.Reason; !reason.Known() || reason == pkix.RemoveFromCRL {
			return Answer{}, refuse(CodeReason, "revocation with %v can't stand in an answer", reason)
		}
		out.Revocation = s.revocation
	}
	return out, nil
}

func (r *response) checkNonce(asked []byte, rule NonceRule) (bool, error) {
	got, err := r.exts.nonce()
	if rule == NonceIgnored {
		return err == nil && len(asked) > 0 && subtle.ConstantTimeCompare(got, asked) == 1, nil
	}
	switch {
	case err != nil:
		return false, err
	case got == nil && rule == NonceRequired:
		return false, refuse(CodeNonce, "the answer has no nonce")
	case got == nil:
		return false, nil
	case rule == NonceAbsent || len(asked) == 0:
		return false, refuse(CodeNonce, "the answer has a nonce, and none was sent")
	case subtle.ConstantTimeCompare(got, asked) != 1:
		return false, refuse(CodeNonce, "the nonce is that of another request")
	}
	return true, nil
}

// find is the one answer about the certificate asked for.
func (r *response) find(q Question, p Policy) (*single, error) {
	var found *single
	for i := range r.singles {
		s := &r.singles[i]
		if !s.id.matches(q, p.Hashes) {
			continue
		}
		if found != nil {
			return nil, refuse(CodeAmbiguous, "more than one answer about the certificate")
		}
		found = s
	}
	if found == nil {
		return nil, refuse(CodeNotFound, "none of the %d answers is about the certificate", len(r.singles))
	}
	if found.exts.critical(understood...) {
		return nil, refuse(CodeCritical, "the answer about the certificate has a critical extension that is not understood")
	}
	return found, nil
}

func (s *single) checkTimes(producedAt, now time.Time, p Policy) error {
	leeway := max(0, p.Leeway)
	latest := now.Add(leeway)
	switch {
	case producedAt.After(latest):
		return refuse(CodeNotYet, "produced at %s, which is still to come", stamp(producedAt))
	case s.thisUpdate.After(latest):
		return refuse(CodeNotYet, "valid from %s, which is still to come", stamp(s.thisUpdate))
	case s.thisUpdate.After(producedAt.Add(leeway)):
		return refuse(CodeTimes, "produced at %s, before the state of %s that it reports", stamp(producedAt), stamp(s.thisUpdate))
	case s.nextUpdate.IsZero() && p.RequireNextUpdate:
		return refuse(CodeNoNextUpdate, "no nextUpdate")
	case s.nextUpdate.IsZero() && p.MaxAge <= 0:
		return refuse(CodeNoNextUpdate, "no nextUpdate, and the policy has no limit of age")
	case !s.nextUpdate.IsZero() && s.nextUpdate.Before(s.thisUpdate):
		return refuse(CodeTimes, "nextUpdate %s is before thisUpdate %s", stamp(s.nextUpdate), stamp(s.thisUpdate))
	case !s.nextUpdate.IsZero() && s.nextUpdate.Add(leeway).Before(now):
		return refuse(CodeStale, "nextUpdate %s has passed", stamp(s.nextUpdate))
	case p.MaxAge > 0 && now.Sub(s.thisUpdate) > p.MaxAge+leeway:
		return refuse(CodeStale, "the state of %s is older than %v", stamp(s.thisUpdate), p.MaxAge)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
