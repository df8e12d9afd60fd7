package pkix

import (
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// KeyUsage is a set of the bits of RFC 5280 4.2.1.3.
type KeyUsage uint16

// Bits of KeyUsage.
const (
	DigitalSignature KeyUsage = 1 << iota
	NonRepudiation
	KeyEncipherment
	DataEncipherment
	KeyAgreement
	KeyCertSign
	CRLSign
	EncipherOnly
	DecipherOnly
)

// AuthorityKeyID names the issuer's key (RFC 5280, 4.2.1.1).
type AuthorityKeyID struct {
	KeyID  []byte // nil if missing
	Issuer []GeneralName
	Serial []byte // content of the INTEGER; nil if missing
}

// PolicyMapping maps a policy of the issuer's domain to one of the subject's (RFC 5280, 4.2.1.5).
type PolicyMapping struct{ Issuer, Subject OID }

// NameConstraints holds the subtrees of RFC 5280 4.2.1.10. minimum is always 0 and maximum missing.
type NameConstraints struct{ Permitted, Excluded []GeneralName }

// Absent is the value of a number of certificates that isn't there: no path length, no policy constraint.
const Absent = -1

// Extensions are the extensions of a certificate, read. Where Has... is false the extension is missing and its value is the zero value.
type Extensions struct {
	IDs                []OID // all, in their order
	HasKeyUsage        bool
	KeyUsage           KeyUsage
	KeyUsageCritical   bool
	HasBasic           bool
	BasicCritical      bool
	CA                 bool
	HasPathLen         bool
	PathLen            int
	SubjectKeyID       []byte
	Authority          AuthorityKeyID
	SubjectAltNames    []GeneralName
	IssuerAltNames     []GeneralName
	HasPolicies        bool
	PoliciesCritical   bool
	Policies           []OID
	Mappings           []PolicyMapping
	HasPolicyLimits    bool
	RequireExplicit    int // Absent, or the number of certificates; only if HasPolicyLimits
	InhibitMapping     int
	HasInhibitAny      bool
	InhibitAny         int
	Names              *NameConstraints
	ExtKeyUsage        []OID
	DistributionPoints []DistributionPoint
	Freshest           []DistributionPoint
	NoCheck            bool  // id-pkix-ocsp-nocheck (RFC 6960, 4.2.2.2.1)
	Unprocessed        []OID // critical and not understood here: RFC 5280 4.2 says to refuse
}

// Bounds inside one extension.
const (
	maxPolicies = 256
	maxPurposes = 64
	maxDepthInt = 1 << 30 // of numbers of certificates: more than any chain has
)

func (x *Extensions) read(e Extension) error {
	x.IDs = append(x.IDs, e.ID)
	var err error
	switch e.ID {
	case OIDKeyUsage:
		x.HasKeyUsage, x.KeyUsageCritical = true, e.Critical
		err = x.readKeyUsage(e.Value)
	case OIDBasicConstraints:
		x.HasBasic, x.BasicCritical = true, e.Critical
		err = x.readBasic(e.Value)
	case OIDSubjectKeyID:
		x.SubjectKeyID, err = wholePrimitive(e.Value, der.OctetString)
	case OIDAuthorityKeyID:
		x.Authority, err = ParseAuthorityKeyID(e.Value)
	case OIDSubjectAltName:
		x.SubjectAltNames, err = parseGeneralNames(e.Value)
	case OIDIssuerAltName:
		x.IssuerAltNames, err = parseGeneralNames(e.Value)
	case OIDPolicies:
		x.HasPolicies, x.PoliciesCritical = true, e.Critical
		var strange bool
		if x.Policies, strange, err = parsePolicies(e.Value); strange && e.Critical {
			x.Unprocessed = append(x.Unprocessed, e.ID) // RFC 5280 4.2.1.4: interpret the qualifiers too, or refuse
		}
	case OIDPolicyMappings:
		x.Mappings, err = parseMappings(e.Value)
	case OIDPolicyConstraints:
		x.HasPolicyLimits = true
		err = x.readPolicyLimits(e.Value)
	case OIDInhibitAnyPolicy:
		x.HasInhibitAny = true
		r := der.NewReader(e.Value)
		if x.InhibitAny, err = r.Small(maxDepthInt); err == nil {
			err = r.End()
		}
	case OIDNameConstraints:
		x.Names, err = parseNameConstraints(e.Value)
	case OIDExtKeyUsage:
		x.ExtKeyUsage, err = parsePurposes(e.Value)
	case OIDDistPoints:
		x.DistributionPoints, err = ParseDistributionPoints(e.Value)
	case OIDFreshestCRL:
		x.Freshest, err = ParseDistributionPoints(e.Value)
	case OIDOCSPNoCheck:
		x.NoCheck = true
		var b []byte
		if b, err = wholePrimitive(e.Value, der.Null); err == nil && len(b) != 0 {
			err = der.ErrLength
		}
	default:
		// Others change nothing about the verdict; their value is opaque, and if they are critical that is for the caller to refuse.
		if e.Critical {
			x.Unprocessed = append(x.Unprocessed, e.ID)
		}
	}
	return err
}

func wholePrimitive(value []byte, tag byte) ([]byte, error) {
	r := der.NewReader(value)
	b, err := r.Read(tag)
	if err != nil {
		return nil, err
	}
	return b, r.End()
}

func (x *Extensions) readKeyUsage(value []byte) error {
	b, err := wholePrimitive(value, der.BitString)
	if err != nil {
		return err
	}
	bits, err := der.ParseNamedBits(b)
	x.KeyUsage = KeyUsage(bits)
	if err == nil && bits == 0 {
		err = malformed("keyUsage", "no bit is set (RFC 5280, 4.2.1.3)")
	}
	return err
}

func (x *Extensions) readBasic(value []byte) error {
	r, err := der.Whole(value, der.Sequence)
	if err != nil {
		return err
	}
	if x.CA, err = r.DefaultFalse(der.Boolean); err != nil {
		return err
	}
	if !r.Empty() {
		if x.PathLen, err = r.Small(maxDepthInt); err != nil {
			return err
		}
		x.HasPathLen = true
		if !x.CA {
			return malformed("basicConstraints", "a path length in a certificate that is no CA's (RFC 5280, 4.2.1.9)")
		}
	}
	return r.End()
}

// ParseAuthorityKeyID reads the extension of a certificate or a list.
func ParseAuthorityKeyID(value []byte) (AuthorityKeyID, error) {
	var a AuthorityKeyID
	r, err := der.Whole(value, der.Sequence)
	if err != nil {
		return a, err
	}
	if a.KeyID, _, err = r.Optional(der.Context(0)); err != nil {
		return a, err
	}
	names, present, err := r.Optional(der.Constructed(1))
	if err != nil {
		return a, err
	}
	if present {
		if a.Issuer, err = ReadGeneralNames(der.NewReader(names)); err != nil {
			return a, err
		}
	}
	serial, hasSerial, err := r.Optional(der.Context(2))
	if err != nil {
		return a, err
	}
	if hasSerial {
		if err := der.CheckInteger(serial); err != nil {
			return a, err
		}
		a.Serial = serial
	}
	if present != hasSerial {
		return a, malformed("authorityKeyIdentifier", "issuer and serial number go together (RFC 5280, 4.2.1.1)")
	}
	return a, r.End()
}

func parseGeneralNames(value []byte) ([]GeneralName, error) {
	r, err := der.Whole(value, der.Sequence)
	if err != nil {
		return nil, err
	}
	return ReadGeneralNames(r)
}

// parsePolicies reads certificatePolicies; strange tells that a qualifier is neither a CPS pointer nor a user notice.
func parsePolicies(value []byte) (out []OID, strange bool, err error) {
	list, err := der.Whole(value, der.Sequence)
	if err != nil {
		return nil, false, err
	}
	if list.Empty() {
		return nil, false, malformed("certificatePolicies", "none")
	}
	if err := der.Check(value, maxDepth); err != nil {
		return nil, false, err
	}
	for !list.Empty() {
		if len(out) == maxPolicies {
			return nil, false, malformed("certificatePolicies", "more than %d", maxPolicies)
		}
		one, err := list.Enter(der.Sequence)
		if err != nil {
			return nil, false, err
		}
		id, err := one.ObjectID()
		if err != nil {
			return nil, false, err
		}
		for _, o := range out {
			if string(o) == string(id) {
				return nil, false, malformed("certificatePolicies", "%s stands twice (RFC 5280, 4.2.1.4)", o)
			}
		}
		out = append(out, OID(id))
		if one.Empty() {
			continue
		}
		unknown, err := readQualifiers(&one)
		if err != nil {
			return nil, false, err
		}
		strange = strange || unknown
	}
	return out, strange, nil
}

// readQualifiers reads policyQualifiers. Those that are known are texts for people and decide nothing.
func readQualifiers(r *der.Reader) (strange bool, err error) {
	list, err := r.Enter(der.Sequence)
	if err != nil {
		return false, err
	}
	for !list.Empty() {
		one, err := list.Enter(der.Sequence)
		if err != nil {
			return false, err
		}
		id, err := one.ObjectID()
		if err != nil {
			return false, err
		}
		if OID(id) != oidCPS && OID(id) != oidUserNotice {
			strange = true
		}
		if _, _, _, err := one.Next(); err != nil {
			return false, err
		}
		if err := one.End(); err != nil {
			return false, err
		}
	}
	return strange, r.End()
}

func parseMappings(value []byte) ([]PolicyMapping, error) {
	list, err := der.Whole(value, der.Sequence)
	if err != nil {
		return nil, err
	}
	var out []PolicyMapping
	for !list.Empty() {
		if len(out) == maxPolicies {
			return nil, malformed("policyMappings", "more than %d", maxPolicies)
		}
		one, err := list.Enter(der.Sequence)
		if err != nil {
			return nil, err
		}
		from, err := one.ObjectID()
		if err != nil {
			return nil, err
		}
		to, err := one.ObjectID()
		if err != nil {
			return nil, err
		}
		if err := one.End(); err != nil {
			return nil, err
		}
		out = append(out, PolicyMapping{OID(from), OID(to)})
	}
	if len(out) == 0 {
		return nil, malformed("policyMappings", "none")
	}
	return out, nil
}

func (x *Extensions) readPolicyLimits(value []byte) error {
	r, err := der.Whole(value, der.Sequence)
	if err != nil {
		return err
	}
	if r.Empty() {
		return malformed("policyConstraints", "empty (RFC 5280, 4.2.1.11)")
	}
	for i, to := range []*int{&x.RequireExplicit, &x.InhibitMapping} {
		*to = Absent
		content, present, err := r.Optional(der.Context(byte(i)))
		if err != nil {
			return err
		}
		if present {
			if *to, err = der.ParseSmall(content, maxDepthInt); err != nil {
				return err
			}
		}
	}
	return r.End()
}

func parseNameConstraints(value []byte) (*NameConstraints, error) {
	r, err := der.Whole(value, der.Sequence)
	if err != nil {
		return nil, err
	}
	if r.Empty() {
		return nil, malformed("nameConstraints", "empty (RFC 5280, 4.2.1.10)")
	}
	c := new(NameConstraints)
	for i, to := range []*[]GeneralName{&c.Permitted, &c.Excluded} {
		content, present, err := r.Optional(der.Constructed(byte(i)))
		if err != nil {
			return nil, err
		}
		if present {
			if *to, err = readSubtrees(der.NewReader(content)); err != nil {
				return nil, err
			}
		}
	}
	return c, r.End()
}

func readSubtrees(list der.Reader) ([]GeneralName, error) {
	var out []GeneralName
	for !list.Empty() {
		if len(out) == maxGeneralNames {
			return nil, malformed("nameConstraints", "more than %d subtrees", maxGeneralNames)
		}
		one, err := list.Enter(der.Sequence)
		if err != nil {
			return nil, err
		}
		g, err := readGeneralName(&one)
		if err != nil {
			return nil, err
		}
		if !one.Empty() {
			return nil, malformed("nameConstraints", "minimum or maximum, which this profile of X.509 doesn't have (RFC 5280, 4.2.1.10)")
		}
		out = append(out, g)
	}
	if len(out) == 0 {
		return nil, malformed("nameConstraints", "a list of no subtrees")
	}
	return out, nil
}

func parsePurposes(value []byte) ([]OID, error) {
	list, err := der.Whole(value, der.Sequence)
	if err != nil {
		return nil, err
	}
	var out []OID
	for !list.Empty() {
		if len(out) == maxPurposes {
			return nil, malformed("extKeyUsage", "more than %d", maxPurposes)
		}
		id, err := list.ObjectID()
		if err != nil {
			return nil, err
		}
		out = append(out, OID(id))
	}
	if len(out) == 0 {
		return nil, malformed("extKeyUsage", "none")
	}
	return out, nil
}

var usageNames = []string{
	"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign", "encipherOnly",
	"decipherOnly",
}

// ParseKeyUsage turns names of RFC 5280 4.2.1.3 into bits; contentCommitment is nonRepudiation.
func ParseKeyUsage(names []string) (KeyUsage, error) {
	var out KeyUsage
	for _, n := range names {
		if n == "contentCommitment" {
			n = "nonRepudiation"
		}
		i := slices.Index(usageNames, n)
		if i < 0 {
			return 0, fmt.Errorf("unknown key usage %q; known are %v", n, usageNames)
		}
		out |= 1 << i
	}
	return out, nil
}

// String is the names of the bits that are set, joined by "+".
func (u KeyUsage) String() string {
	var names []string
	for i, n := range usageNames {
		if u&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, "+")
}

// MarshalText is String.
func (u KeyUsage) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (u *KeyUsage) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*u = 0
		return nil
	}
	v, err := ParseKeyUsage(strings.Split(string(b), "+"))
	*u = v
	return err
}
