package ocsp

import (
	"crypto"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// NonceRule says what a nonce in the answer must be (RFC 9654). The zero value is the strictest.
type NonceRule int

const (
	// NonceRequired wants the nonce of the request in the answer.
	NonceRequired NonceRule = iota
	// NonceOptional takes an answer without a nonce; one that has a nonce must have that of the request.
	NonceOptional
	// NonceAbsent is for requests without a nonce: an answer that has one was made for somebody else.
	NonceAbsent
	// NonceIgnored is for answers that were stored or relayed, where the request is not known. Freshness alone holds a replay off.
	NonceIgnored
)

// NoCheckRule says how the revocation of a delegated responder itself is settled (RFC 6960 section 4.2.2.2.1). The zero value is the strictest.
type NoCheckRule int

const (
	// NoCheckRequired wants id-pkix-ocsp-nocheck in the responder's certificate.
	NoCheckRequired NoCheckRule = iota
	// NoCheckOrStatus also takes a certificate without it; then [Answer.Unsettled] is set and the caller must look its status up.
	NoCheckOrStatus
	// NoCheckIgnored takes any.
	NoCheckIgnored
)

// Policy is what a profile says about OCSP. All of it is configuration; the zero value accepts nothing.
type Policy struct {
	Nonce   NonceRule
	NoCheck NoCheckRule

	Signatures pkix.Policy // of the answer and of the responder's certificate

	Delegated bool // answers signed by a responder that the CA delegated are taken
	ByIssuer  bool // answers signed by the CA's own key are taken

	Hashes []crypto.Hash // hash algorithms of the CertID: crypto.SHA1, crypto.SHA256. SHA-1 only names the issuer here and signs nothing

	Leeway            time.Duration // how far the responder's clock may be off
	MaxAge            time.Duration // how old thisUpdate may be; 0: nextUpdate alone decides
	RequireNextUpdate bool          // without it, an answer that lacks nextUpdate needs MaxAge

	MaxSize         int // octets of an answer
	MaxAnswers      int // SingleResponses in it
	MaxCertificates int // certificates in it
}

// DefaultPolicy is the policy for JPKI as far as its profile is known from public sources: both kinds of responder, both hashes,
// nonce optional, at most a day old. The OCSP profile itself is not public, so all of it is to be confirmed by the operator.
func DefaultPolicy() Policy {
	return Policy{
		Signatures: pkix.Policy{Schemes: slices.Clone(pkix.Schemes), RSAMinBits: 2048, RSAMaxBits: 4096, RSAMinExponent: 3},
		Nonce:      NonceOptional, NoCheck: NoCheckOrStatus, Delegated: true, ByIssuer: true,
		Hashes: []crypto.Hash{crypto.SHA1, crypto.SHA256},
		Leeway: time.Minute, MaxAge: 24 * time.Hour,
		MaxSize: 64 << 10, MaxAnswers: 16, MaxCertificates: 4,
	}
}

// Limits that hold whatever the policy says.
const (
	hardSize       = 1 << 20
	hardAnswers    = 1000
	hardCerts      = 16
	hardExtensions = 32
	maxDepth       = 32  // of the encoding
	maxSerial      = 20  // octets, RFC 5280 section 4.1.2.2
	maxNonce       = 128 // octets, RFC 9654 section 2.1
)

func bound(wanted, hard int) int {
	if wanted <= 0 || wanted > hard {
		return hard
	}
	return wanted
}
