package ocsp

import (
	"crypto"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// signer is who signed an answer, after all checks.
type signer struct {
	cert      *pkix.Certificate // nil: the issuer's own key
	unsettled bool
}

// responder finds who signed r and whether it may: the key of issuer, or a certificate in the answer that this key has issued for
// the purpose. A certificate's name alone proves nothing: generations of a CA share one name, so the key decides.
func (r *response) responder(issuer Issuer, now time.Time, p Policy) (signer, *Refusal) {
	var why *Refusal
	if r.named(issuer.Name, issuer.Key) {
		err := p.Signatures.Check(issuer.Key, r.algorithm, r.tbs, r.signature)
		switch {
		case err == nil && p.ByIssuer:
			return signer{}, nil
		case err == nil:
			return signer{}, refuse(CodeUnauthorized, "signed by the CA itself, which the policy doesn't take")
		}
		why = signatureRefusal("the answer", err)
	}
	for _, raw := range r.certs {
		c, err := pkix.ParseCertificate(raw)
		if err != nil {
			why = later(why, malformed("a certificate in the answer", err))
			continue
		}
		if !r.named(c.Subject, &c.Key) || c.Key.Equal(issuer.Key) {
			continue
		}
		if err := p.Signatures.Check(&c.Key, r.algorithm, r.tbs, r.signature); err != nil {
			why = later(why, signatureRefusal("the answer", err))
			continue
		}
		unsettled, refusal := delegated(c, issuer, r.producedAt, now, p)
		if refusal == nil {
			return signer{c, unsettled}, nil
		}
		why = later(why, refusal)
	}
	if why == nil {
		why = refuse(CodeUnauthorized, "the responder that the answer names is neither the CA nor a certificate in the answer")
	}
	return signer{}, why
}

func signatureRefusal(what string, err error) *Refusal {
	if errors.Is(err, pkix.ErrAlgorithm) {
		return refuse(CodeAlgorithm, "%s: %v", what, err)
	}
	return refuse(CodeSignature, "%s: %v", what, err)
}

// later keeps the refusal that came furthest: about one whose signature was right there is more to say than about one whose was wrong.
func later(a, b *Refusal) *Refusal {
	if a == nil || a.Code == CodeSignature || a.Code == CodeMalformed || a.Code == CodeAlgorithm {
		return b
	}
	return a
}

// named tells whether the answer's responderID is that of a subject and key.
func (r *response) named(subject pkix.Name, key *pkix.PublicKey) bool {
	if r.byName != nil {
		return r.byName.Equal(subject)
	}
	return subtle.ConstantTimeCompare(r.byKey, pkix.Digest(crypto.SHA1, key.Bits)) == 1
}

// delegated holds c, whose key signed the answer, to RFC 6960 section 4.2.2.2.
func delegated(c *pkix.Certificate, issuer Issuer, producedAt, now time.Time, p Policy) (unsettled bool, _ *Refusal) {
	if !p.Delegated {
		return false, refuse(CodeUnauthorized, "signed by a delegated responder, which the policy doesn't take")
	}
	if !c.Issuer.Equal(issuer.Name) {
		return false, refuse(CodeUnauthorized, "the responder's certificate was issued by another CA")
	}
	if err := p.Signatures.Check(issuer.Key, c.Algorithm, c.TBS, c.Signature); err != nil {
		if errors.Is(err, pkix.ErrSignature) {
			return false, refuse(CodeUnauthorized, "the responder's certificate was not issued by the key that issued the certificate in question")
		}
		return false, signatureRefusal("the responder's certificate", err)
	}
	leeway := max(0, p.Leeway)
	for _, t := range []time.Time{now, producedAt} {
		if t.Add(leeway).Before(c.NotBefore) || t.Add(-leeway).After(c.NotAfter) {
			return false, refuse(CodeResponderExpired, "the responder's certificate is valid from %s to %s, not at %s", stamp(c.NotBefore), stamp(c.NotAfter), stamp(t))
		}
	}
	switch {
	case len(c.Unprocessed) > 0:
		return false, refuse(CodeCritical, "the responder's certificate has a critical extension that is not understood: %v", c.Unprocessed[0])
	case !slices.Contains(c.ExtKeyUsage, pkix.OIDOCSPSigning): // anyExtendedKeyUsage doesn't delegate
		return false, refuse(CodeResponderUsage, "the certificate that signed the answer is no OCSP responder's: id-kp-OCSPSigning is missing")
	case c.HasKeyUsage && c.KeyUsage&pkix.DigitalSignature == 0:
		return false, refuse(CodeResponderUsage, "the responder's key is not for digital signatures")
	case c.CA:
		return false, refuse(CodeResponderUsage, "the responder's certificate is that of a CA")
	case c.NoCheck, p.NoCheck == NoCheckIgnored:
		return false, nil
	case p.NoCheck == NoCheckOrStatus:
		return true, nil
	}
	return false, refuse(CodeNoCheck, "the responder's certificate has no id-pkix-ocsp-nocheck")
}
