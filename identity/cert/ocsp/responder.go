package ocsp

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // G505: RFC 6960 names the responder's key by SHA-1
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"
)

var (
	oidNoCheck          = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	derNull             = []byte{5, 0}
)

// signer is who signed an answer, after all checks.
type signer struct {
	cert      []byte // nil: the issuer's own key
	unsettled bool
}

// responder finds who signed r and whether it may: the key of issuer, or a certificate in the answer that this key has issued for
// the purpose. A certificate's name alone proves nothing: generations of a CA share one name, so the key decides.
func (r *response) responder(issuer Issuer, bits []byte, now time.Time, p Policy) (signer, error) {
	alg, err := readAlgorithm(r.algorithm)
	if err != nil {
		return signer{}, err
	}
	var why *Refusal
	if r.named(issuer.Name, bits) {
		err := alg.verify(issuer.PublicKey, r.tbs, r.signature)
		switch {
		case err == nil && p.ByIssuer:
			return signer{}, nil
		case err == nil:
			return signer{}, refuse(CodeUnauthorized, "signed by the CA itself, which the policy doesn't take")
		}
		why = err
	}
	for _, raw := range r.certs {
		c, err := x509.ParseCertificate(raw)
		if err != nil { // its text may quote names
			why = later(why, refuse(CodeMalformed, "a certificate in the answer can't be read"))
			continue
		}
		keys, ok := keyBits(c.RawSubjectPublicKeyInfo)
		if !ok || !r.named(c.RawSubject, keys) || bytes.Equal(c.RawSubjectPublicKeyInfo, issuer.SPKI) {
			continue
		}
		if err := alg.verify(c.PublicKey, r.tbs, r.signature); err != nil {
			why = later(why, err)
			continue
		}
		unsettled, refusal := delegated(c, issuer, r.producedAt, now, p)
		if refusal == nil {
			return signer{raw, unsettled}, nil
		}
		why = later(why, refusal)
	}
	if why == nil {
		why = refuse(CodeUnauthorized, "the responder that the answer names is neither the CA nor a certificate in the answer")
	}
	return signer{}, why
}

// later keeps the refusal that came furthest: whose signature was right says more than whose was wrong.
func later(a, b *Refusal) *Refusal {
	if a == nil || a.Code == CodeSignature || a.Code == CodeMalformed || a.Code == CodeAlgorithm {
		return b
	}
	return a
}

// named tells whether the answer's responderID is that of a subject and key.
func (r *response) named(subject, bits []byte) bool {
	if r.byName != nil {
		return bytes.Equal(r.byName, subject)
	}
	sum := sha1.Sum(bits) //nolint:gosec // G401: a name, not a signature
	return subtle.ConstantTimeCompare(r.byKey, sum[:]) == 1
}

// delegated holds c, whose key signed the answer, to RFC 6960 section 4.2.2.2.
func delegated(c *x509.Certificate, issuer Issuer, producedAt, now time.Time, p Policy) (unsettled bool, _ *Refusal) {
	if !p.Delegated {
		return false, refuse(CodeUnauthorized, "signed by a delegated responder, which the policy doesn't take")
	}
	if !bytes.Equal(c.RawIssuer, issuer.Name) {
		return false, refuse(CodeUnauthorized, "the responder's certificate was issued by another CA")
	}
	hash, ok := certAlgorithms[c.SignatureAlgorithm]
	if !ok {
		return false, refuse(CodeAlgorithm, "the responder's certificate is signed with %v", c.SignatureAlgorithm)
	}
	if err := hash.verify(issuer.PublicKey, c.RawTBSCertificate, c.Signature); err != nil {
		if err.Code == CodeSignature {
			return false, refuse(CodeUnauthorized, "the responder's certificate was not issued by the key that issued the certificate in question")
		}
		return false, err
	}
	leeway := max(0, p.Leeway)
	for _, t := range []time.Time{now, producedAt} {
		if t.Add(leeway).Before(c.NotBefore) || t.Add(-leeway).After(c.NotAfter) {
			return false, refuse(CodeResponderExpired, "the responder's certificate is valid from %s to %s, not at %s", stamp(c.NotBefore), stamp(c.NotAfter), stamp(t))
		}
	}
	if len(c.UnhandledCriticalExtensions) > 0 {
		return false, refuse(CodeCritical, "the responder's certificate has a critical extension that is not understood: %v", c.UnhandledCriticalExtensions[0])
	}
	if !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) { // anyExtendedKeyUsage doesn't delegate
		return false, refuse(CodeResponderUsage, "the certificate that signed the answer is no OCSP responder's: id-kp-OCSPSigning is missing")
	}
	noCheck := false
	for _, e := range c.Extensions {
		switch {
		case e.Id.Equal(oidKeyUsage) && c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
			return false, refuse(CodeResponderUsage, "the responder's key is not for digital signatures")
		case e.Id.Equal(oidBasicConstraints) && c.IsCA:
			return false, refuse(CodeResponderUsage, "the responder's certificate is that of a CA")
		case e.Id.Equal(oidNoCheck):
			if !bytes.Equal(e.Value, derNull) {
				return false, refuse(CodeMalformed, "id-pkix-ocsp-nocheck is not NULL")
			}
			noCheck = true
		}
	}
	switch {
	case noCheck, p.NoCheck == NoCheckIgnored:
		return false, nil
	case p.NoCheck == NoCheckOrStatus:
		return true, nil
	}
	return false, refuse(CodeNoCheck, "the responder's certificate has no id-pkix-ocsp-nocheck")
}
