package cert

import (
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Revocation says how much must be known about revocation.
type Revocation string

// Ways to treat revocation.
const (
	Require   Revocation = "require"    // each certificate of the chain must be known not to be revoked
	IfPresent Revocation = "if-present" // what there is counts; nothing at all is no failure, and is recorded
	NoCheck   Revocation = "none"       // not looked at
)

// Config is what a profile is made of. Every value that J-LIS sets, or that isn't public, is here with its default in Profiles; New checks it.
// It is part of Evidence, so its JSON form is stable.
type Config struct {
	Name string `json:"name"`

	// Schemes are the signatures that are accepted, on certificates, lists and answers.
	Schemes        []pkix.Scheme `json:"schemes"`
	RSAMinBits     int           `json:"rsa_min_bits"`
	RSAMaxBits     int           `json:"rsa_max_bits"`
	RSAMinExponent int           `json:"rsa_min_exponent"`
	// ChallengeSchemes are the signatures accepted from the holder's key.
	ChallengeSchemes []pkix.Scheme `json:"challenge_schemes"`

	// AnchorSubjects are the names of the authorities that may be anchors ("C=JP, O=JPKI, ..."); none: any. It keeps two trees apart even where
	// their certificates lie in one folder.
	AnchorSubjects []string `json:"anchor_subjects,omitempty"`
	// AnchorKeys narrows anchors down to those whose certificate has one of these SHA-256 fingerprints (hex); none: any.
	AnchorKeys []string `json:"anchor_sha256,omitempty"`
	// MaxIntermediates is how many certificates may stand between anchor and leaf, self-issued ones included.
	MaxIntermediates int `json:"max_intermediates"`

	// Policies is the user-initial-policy-set (RFC 5280, 6.1.1 c), dotted; none: any policy.
	Policies              []string `json:"policies,omitempty"`
	RequireExplicitPolicy bool     `json:"require_explicit_policy,omitempty"`
	InhibitPolicyMapping  bool     `json:"inhibit_policy_mapping,omitempty"`
	InhibitAnyPolicy      bool     `json:"inhibit_any_policy,omitempty"`

	Leaf Leaf `json:"leaf"`

	Revocation Revocation `json:"revocation"`
	// Leeway is how far an authority's clock may be ahead or behind, for lists and answers. Validity of certificates has none.
	Leeway Seconds `json:"leeway_seconds"`
	// MaxListAge bounds thisUpdate of a list whatever its nextUpdate says; 0: nextUpdate alone decides.
	MaxListAge Seconds `json:"max_list_age_seconds,omitempty"`
	// DegradedOverdue is the degraded mode: how long after its nextUpdate (or beyond MaxListAge) a list may still be used when nothing fresh is
	// there. A verdict that rests on one says so (Evidence.Degraded). 0: never.
	DegradedOverdue Seconds `json:"degraded_overdue_seconds,omitempty"`
	// HoldFinal makes any revocation final: an entry in any authentic list or answer given, however old, revokes; a later list without the entry, or
	// removeFromCRL, doesn't bring the certificate back. JPKI never releases a certificate from certificateHold.
	HoldFinal bool `json:"hold_final,omitempty"`
	// ListIssuerVouches lets the list of a separate list issuer speak about that issuer's own certificate, as RFC 5280 does: whoever has its key can
	// hide that it was revoked.
	ListIssuerVouches bool `json:"list_issuer_vouches,omitempty"`
	// ListVersion1 also takes lists of version 1, which have no number.
	ListVersion1 bool `json:"list_version_1,omitempty"`
	// RequireNumber refuses lists without a CRL number.
	RequireNumber bool `json:"require_number,omitempty"`

	OCSP OCSP `json:"ocsp"`
}

// Leaf is what a holder's certificate must look like beyond RFC 5280.
type Leaf struct {
	NotCA            bool     `json:"not_ca,omitempty"`
	Version3         bool     `json:"version_3,omitempty"`
	PositiveSerial   bool     `json:"positive_serial,omitempty"`
	KeyUsage         []string `json:"key_usage,omitempty"` // exactly these bits, names as in RFC 5280; none: any
	KeyUsageCritical bool     `json:"key_usage_critical,omitempty"`
	PoliciesCritical bool     `json:"policies_critical,omitempty"`
	Purposes         []string `json:"extended_key_usage,omitempty"` // each must be there, dotted or by name; none: any
	MaxAge           Seconds  `json:"max_validity_seconds,omitempty"`
}

// OCSP is what a profile takes from a responder.
type OCSP struct {
	Delegated bool    `json:"delegated"` // a responder that the authority's key has delegated
	ByIssuer  bool    `json:"by_issuer"` // the authority's own key
	SHA1      bool    `json:"sha1_ids"`  // certificate identifiers with SHA-1, which only name the issuer here
	MaxAge    Seconds `json:"max_age_seconds,omitempty"`
	// NoCheckOnly wants id-pkix-ocsp-nocheck in a delegated responder's certificate; else its status is looked up in the lists given.
	NoCheckOnly bool `json:"nocheck_only,omitempty"`
	// RequireNonce wants the nonce of the request back.
	RequireNonce bool `json:"require_nonce,omitempty"`
}

// Seconds is a duration in whole seconds.
type Seconds int64

// Duration converts.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Names of the profiles that are built in.
const (
	Generic      = "generic"
	JPKIAuth     = "jpki-auth"
	JPKISign     = "jpki-sign"
	JPKIAuthTest = "jpki-auth-test"
	JPKISignTest = "jpki-sign-test"
)

// Object identifiers and names of JPKI, as far as they are public. The source of each is in docs/certificates.md.
const (
	authPolicy     = "1.2.392.200149.8.5.1.3.30"
	signPolicy     = "1.2.392.200149.8.5.1.1.20"
	signTestPolicy = "1.2.392.200149.8.5.1.0.20"
	authTestPolicy = "1.2.392.200149.8.5.1.0.30" // of testpki; that of J-LIS's test cards isn't public
	authSubject    = "C=JP, O=JPKI, OU=JPKI for user authentication, OU=Japan Agency for Local Authority Information Systems"
	signSubject    = "C=JP, O=JPKI, OU=JPKI for digital signature, OU=Japan Agency for Local Authority Information Systems"
	authTest       = "C=JP, O=JPKI-TEST, OU=JPKI for user authentication, OU=Japan Agency for Local Authority Information Systems"
	signTest       = "C=JP, O=JPKI-TEST, OU=JPKI for digital signature, OU=Japan Agency for Local Authority Information Systems"
)

// Profiles are the built-in profiles with their documented defaults. Change a copy and give it to New.
func Profiles() []Config {
	generic := Config{
		Name:             Generic,
		Schemes:          slices.Clone(pkix.Schemes),
		RSAMinBits:       2048,
		RSAMaxBits:       8192,
		RSAMinExponent:   3,
		ChallengeSchemes: slices.Clone(pkix.Schemes),
		MaxIntermediates: 12,
		Revocation:       Require,
		ListVersion1:     true,

		ListIssuerVouches: true,
		OCSP:              OCSP{Delegated: true, ByIssuer: true, SHA1: true, MaxAge: 7 * day},
	}
	card := Config{
		Schemes:               []pkix.Scheme{pkix.RSASHA256, pkix.P256SHA256, pkix.P384SHA384},
		RSAMinBits:            2048,
		RSAMaxBits:            4096,
		RSAMinExponent:        65537,
		ChallengeSchemes:      []pkix.Scheme{pkix.RSASHA256, pkix.P256SHA256, pkix.P384SHA384},
		RequireExplicitPolicy: true,
		InhibitPolicyMapping:  true,
		InhibitAnyPolicy:      true,
		Leaf:                  Leaf{NotCA: true, Version3: true, PositiveSerial: true, KeyUsageCritical: true},
		Revocation:            Require,
		Leeway:                60,
		MaxListAge:            2 * day,
		HoldFinal:             true,
		RequireNumber:         true,
		OCSP:                  OCSP{Delegated: true, ByIssuer: true, SHA1: true, MaxAge: day},
	}
	auth, sign := card, card
	auth.Name, auth.AnchorSubjects, auth.Policies = JPKIAuth, []string{authSubject}, []string{authPolicy}
	auth.Leaf.KeyUsage = []string{"digitalSignature"}
	sign.Name, sign.AnchorSubjects, sign.Policies = JPKISign, []string{signSubject}, []string{signPolicy}
	sign.Leaf.KeyUsage, sign.Leaf.PoliciesCritical = []string{"digitalSignature", "nonRepudiation"}, true
	authT, signT := auth, sign
	authT.Name, authT.AnchorSubjects, authT.Policies = JPKIAuthTest, []string{authTest}, []string{authTestPolicy, authPolicy}
	signT.Name, signT.AnchorSubjects, signT.Policies = JPKISignTest, []string{signTest}, []string{signTestPolicy}
	return []Config{generic, auth, sign, authT, signT}
}

const day Seconds = 86400

// Profile is a Config that was checked. It is immutable and safe for concurrent use.
type Profile struct {
	config    Config
	policy    pkix.Policy // of certificates, lists and answers
	challenge pkix.Policy
	subjects  []pkix.Name
	policies  []pkix.OID // nil: any
	usage     pkix.KeyUsage
	purposes  []pkix.OID
}

// Config is what the profile was made of.
func (p *Profile) Config() Config { return p.config }

// Signatures is what the profile accepts on certificates, lists and answers.
func (p *Profile) Signatures() pkix.Policy { return p.policy }

// NewProfile checks a Config: the error names the field.
func NewProfile(c Config) (*Profile, error) {
	bad := func(field, format string, args ...any) (*Profile, error) {
		return nil, fmt.Errorf("profile %q: %s: %s", c.Name, field, fmt.Sprintf(format, args...))
	}
	if c.Name == "" {
		return bad("name", "empty")
	}
	p := &Profile{config: c}
	for field, schemes := range map[string][]pkix.Scheme{"schemes": c.Schemes, "challenge_schemes": c.ChallengeSchemes} {
		if len(schemes) == 0 {
			return bad(field, "none: nothing could be verified")
		}
		for _, s := range schemes {
			if !slices.Contains(pkix.Schemes, s) {
				return bad(field, "unknown scheme %q; known are %v", s, pkix.Schemes)
			}
		}
	}
	if c.RSAMinBits < 2048 || c.RSAMaxBits > 8192 || c.RSAMinBits > c.RSAMaxBits {
		return bad("rsa_min_bits, rsa_max_bits", "%d to %d isn't within 2048 to 8192", c.RSAMinBits, c.RSAMaxBits)
	}
	if c.RSAMinExponent < 3 {
		return bad("rsa_min_exponent", "%d is below 3", c.RSAMinExponent)
	}
	if c.MaxIntermediates < 0 || c.MaxIntermediates > maxPath {
		return bad("max_intermediates", "%d isn't within 0 to %d", c.MaxIntermediates, maxPath)
	}
	if c.Revocation != Require && c.Revocation != IfPresent && c.Revocation != NoCheck {
		return bad("revocation", "%q is none of require, if-present, none", c.Revocation)
	}
	for field, s := range map[string]Seconds{
		"leeway_seconds": c.Leeway, "max_list_age_seconds": c.MaxListAge, "degraded_overdue_seconds": c.DegradedOverdue,
		"ocsp.max_age_seconds": c.OCSP.MaxAge, "leaf.max_validity_seconds": c.Leaf.MaxAge,
	} {
		if s < 0 || s > 36525*day {
			return bad(field, "%d isn't within 0 and a hundred years", s)
		}
	}
	for _, s := range c.AnchorSubjects {
		n, err := pkix.ParseDN(s)
		if err != nil {
			return bad("anchor_subjects", "%v", err)
		}
		p.subjects = append(p.subjects, n)
	}
	for _, s := range c.AnchorKeys {
		if len(s) != 64 {
			return bad("anchor_sha256", "%q is no SHA-256 in hexadecimal", s)
		}
	}
	var err error
	if p.policies, err = parseOIDs(c.Policies); err != nil {
		return bad("policies", "%v", err)
	}
	if p.usage, err = pkix.ParseKeyUsage(c.Leaf.KeyUsage); err != nil {
		return bad("leaf.key_usage", "%v", err)
	}
	if p.purposes, err = ParsePurposes(c.Leaf.Purposes); err != nil {
		return bad("leaf.extended_key_usage", "%v", err)
	}
	p.policy = pkix.Policy{Schemes: c.Schemes, RSAMinBits: c.RSAMinBits, RSAMaxBits: c.RSAMaxBits, RSAMinExponent: c.RSAMinExponent}
	p.challenge = p.policy
	p.challenge.Schemes = c.ChallengeSchemes
	return p, nil
}

func parseOIDs(dotted []string) ([]pkix.OID, error) {
	var out []pkix.OID
	for _, s := range dotted {
		o, err := pkix.ParseOID(s)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

var purposeNames = map[string]string{
	"anyExtendedKeyUsage": "2.5.29.37.0", "serverAuth": "1.3.6.1.5.5.7.3.1", "clientAuth": "1.3.6.1.5.5.7.3.2", "codeSigning": "1.3.6.1.5.5.7.3.3",
	"emailProtection": "1.3.6.1.5.5.7.3.4", "timeStamping": "1.3.6.1.5.5.7.3.8", "OCSPSigning": "1.3.6.1.5.5.7.3.9",
}

// ParsePurposes turns names of RFC 5280 4.2.1.12, or dotted object identifiers, into purposes.
func ParsePurposes(names []string) ([]pkix.OID, error) {
	var out []pkix.OID
	for _, n := range names {
		if dotted := purposeNames[n]; dotted != "" {
			n = dotted
		}
		o, err := pkix.ParseOID(n)
		if err != nil {
			return nil, fmt.Errorf("extended key usage: %w", err)
		}
		out = append(out, o)
	}
	return out, nil
}
