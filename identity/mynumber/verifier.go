package mynumber

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Verifier decides about certificates and challenges. An error means that there is no answer; a refusal is a Verdict.
type Verifier interface {
	// Certificate decides about a certificate whose key was just used, in a TLS handshake that the caller or its named proxy saw.
	Certificate(ctx context.Context, leaf []byte, chain [][]byte, at time.Time) (Verdict, error)
	// Challenge makes a challenge bound to b and keeps it until it expires.
	Challenge(ctx context.Context, b Binding, at time.Time) (cert.Challenge, error)
	// Redeem takes the challenge, at most once whatever comes of it, and decides about the response and its certificate.
	Redeem(ctx context.Context, b Binding, r Response, at time.Time) (Verdict, error)
	// Ready tells why logins would be refused for want of fresh lists; nil: they wouldn't.
	Ready(at time.Time) error
}

// Binding is what a challenge is good for. A response under another binding is refused, and takes nothing from its owner.
type Binding struct {
	Login        identity.LoginID
	Ticket       string // of the attempt; its SHA-256 is kept
	RelyingParty string // who asks the card: the origin of the card host
	Purpose      string
}

// Response is a signed challenge.
type Response struct {
	Nonce     []byte
	Leaf      []byte // DER
	Scheme    pkix.Scheme
	Signature []byte
}

// Verdict is the decision about a card. Valid is true only with cert.OK.
type Verdict struct {
	Valid    bool
	Code     cert.Code
	Detail   string         // English, without personal data
	Card     *Card          // where the chain is authentic: a valid card, or a revoked one; else nil
	Policies []string       // of the certificate, dotted; where Card is
	Degraded bool           // rests on a list that was due for replacement
	Age      time.Duration  // of the oldest list that it rests on
	Evidence json.Marshaler // holds the certificate: for the evidence store alone, never for a log; may be nil
}

// Card names a certificate among all: the issuer by its name and its key, since all generations share one name, and the serial number. It is
// personal data: Links hashes it.
type Card struct {
	Issuer    string // canonical distinguished name
	IssuerKey []byte // SubjectPublicKeyInfo
	Serial    []byte
}

// CodeOf turns a code of the core into this method's vocabulary: certificate_revoked, challenge_redeemed, revocation_stale.
func CodeOf(c cert.Code) string {
	s := strings.ReplaceAll(string(c), "-", "_")
	for _, own := range []string{"certificate_", "challenge_", "revocation_"} {
		if strings.HasPrefix(s, own) {
			return s
		}
	}
	return "certificate_" + s
}

// worthRetrying tells whether the same person may succeed in the same request: with another certificate, or a moment later.
func worthRetrying(c cert.Code) bool {
	switch c {
	case cert.Revoked, cert.OnHold, cert.Expired, cert.NotYetValid:
		return false
	}
	return true
}
