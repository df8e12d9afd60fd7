package testpki

import (
	"crypto"
	"crypto/sha1" //nolint:gosec // G505: OCSP names issuers by SHA-1
	"crypto/sha256"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// State is what a [Single] says about its certificate.
type State int

// The three states of RFC 6960.
const (
	StateGood State = iota
	StateRevoked
	StateUnknown
)

// Single is an OCSP answer about one certificate.
type Single struct {
	IssuerName, IssuerSPKI []byte // DER; hashed into the CertID
	Serial                 []byte // content octets
	SHA256                 bool   // CertID with SHA-256; else SHA-1

	State                  State
	RevokedAt              time.Time
	Reason                 int       // Unspecified writes none
	ThisUpdate, NextUpdate time.Time // a zero NextUpdate is left out
	Extensions             []Extension
}

// Answer is an OCSP answer. Der writes it out as it stands; nothing is checked.
type Answer struct {
	ByName     []byte // DER of the responder's name; nil: named by the key of BySPKI
	BySPKI     []byte
	ProducedAt time.Time
	Singles    []Single
	Nonce      []byte // nil: none
	Extensions []Extension
	Certs      [][]byte // DER
}

// Der is the answer signed by key, as an OCSPResponse.
func (a Answer) Der(key crypto.Signer) []byte {
	responder := der.Wrap(der.Constructed(1), a.ByName)
	if a.ByName == nil {
		responder = der.Wrap(der.Constructed(2), der.Wrap(der.OctetString, KeyID(a.BySPKI)))
	}
	singles := make([][]byte, 0, len(a.Singles))
	for _, s := range a.Singles {
		singles = append(singles, s.der())
	}
	exts := a.Extensions
	if a.Nonce != nil {
		exts = append([]Extension{{pkix.OIDOCSPNonce, false, der.Wrap(der.OctetString, a.Nonce)}}, exts...)
	}
	tbs := der.Wrap(der.Sequence, responder, generalized(a.ProducedAt), der.Wrap(der.Sequence, singles...), optionalExtensions(1, exts))
	var certs []byte
	if len(a.Certs) > 0 {
		certs = der.Wrap(der.Constructed(0), der.Wrap(der.Sequence, a.Certs...))
	}
	return Success(der.Wrap(der.Sequence, tbs, signingOf(key).algorithm, bitString(sign(key, tbs)), certs))
}

// Success wraps a BasicOCSPResponse as a successful OCSPResponse.
func Success(basic []byte) []byte {
	return der.Wrap(der.Sequence, der.Wrap(der.Enumerated, []byte{0}),
		der.Wrap(der.Constructed(0), der.Wrap(der.Sequence, oid(pkix.OIDOCSPBasic), der.Wrap(der.OctetString, basic))))
}

// Failure is an OCSPResponse that reports an error, such as 3 for tryLater.
func Failure(status byte) []byte {
	return der.Wrap(der.Sequence, der.Wrap(der.Enumerated, []byte{status}))
}

func optionalExtensions(n byte, exts []Extension) []byte {
	if len(exts) == 0 {
		return nil
	}
	return der.Wrap(der.Constructed(n), extensions(exts))
}

func (s Single) der() []byte {
	alg, sum := pkix.OIDSHA1, func(b []byte) []byte { h := sha1.Sum(b); return h[:] } //nolint:gosec // G401: a name
	if s.SHA256 {
		alg, sum = pkix.OIDSHA256, func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
	}
	id := der.Wrap(der.Sequence, der.Wrap(der.Sequence, oid(alg), derNull),
		der.Wrap(der.OctetString, sum(s.IssuerName)), der.Wrap(der.OctetString, sum(keyBits(s.IssuerSPKI))), integer(s.Serial...))
	state := der.Wrap(der.Context(0))
	switch s.State {
	case StateRevoked:
		var reason []byte
		if s.Reason != Unspecified {
			reason = der.Wrap(der.Constructed(0), der.Wrap(der.Enumerated, []byte{byte(s.Reason)}))
		}
		state = der.Wrap(der.Constructed(1), generalized(s.RevokedAt), reason)
	case StateUnknown:
		state = der.Wrap(der.Context(2))
	}
	var next []byte
	if !s.NextUpdate.IsZero() {
		next = der.Wrap(der.Constructed(0), generalized(s.NextUpdate))
	}
	return der.Wrap(der.Sequence, id, state, generalized(s.ThisUpdate), next, optionalExtensions(1, s.Extensions))
}
