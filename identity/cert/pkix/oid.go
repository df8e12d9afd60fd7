package pkix

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// OID is an object identifier: the content octets of its DER encoding, so that comparing is comparing strings. String is the dotted form.
type OID string

// ParseOID reads the dotted form.
func ParseOID(dotted string) (OID, error) {
	bad := fmt.Errorf("%q is no object identifier in dotted form", dotted)
	parts := strings.Split(dotted, ".")
	if len(parts) < 2 || len(dotted) > 256 {
		return "", bad
	}
	numbers := make([]uint64, len(parts))
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 62)
		if err != nil || len(p) > 1 && p[0] == '0' || p[0] == '+' {
			return "", bad
		}
		numbers[i] = v
	}
	if numbers[0] > 2 || numbers[0] < 2 && numbers[1] > 39 {
		return "", bad
	}
	out := appendBase128(nil, numbers[0]*40+numbers[1])
	for _, v := range numbers[2:] {
		out = appendBase128(out, v)
	}
	return OID(out), nil
}

func appendBase128(out []byte, v uint64) []byte {
	n := 1
	for x := v >> 7; x > 0; x >>= 7 {
		n++
	}
	for i := n - 1; i >= 0; i-- {
		c := byte(v>>(7*i)) & 0x7f
		if i > 0 {
			c |= 0x80
		}
		out = append(out, c)
	}
	return out
}

// mustOID is for the constants of this package.
func mustOID(dotted string) OID {
	o, err := ParseOID(dotted)
	if err != nil {
		panic(err)
	}
	return o
}

// String is the dotted form.
func (o OID) String() string {
	if der.CheckObjectID([]byte(o)) != nil {
		return fmt.Sprintf("invalid (%x)", string(o))
	}
	var out strings.Builder
	var v uint64
	first := true
	for i := range len(o) {
		v = v<<7 | uint64(o[i]&0x7f)
		if o[i] >= 0x80 {
			continue
		}
		if first {
			top := min(v/40, 2)
			fmt.Fprintf(&out, "%d.%d", top, v-40*top)
			first = false
		} else {
			fmt.Fprintf(&out, ".%d", v)
		}
		v = 0
	}
	return out.String()
}

// MarshalText is the dotted form.
func (o OID) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the dotted form.
func (o *OID) UnmarshalText(b []byte) error {
	v, err := ParseOID(string(b))
	*o = v
	return err
}

// Object identifiers of RFC 5280, RFC 6960 and the algorithms that are known here.
var (
	OIDSubjectKeyID      = mustOID("2.5.29.14")
	OIDKeyUsage          = mustOID("2.5.29.15")
	OIDSubjectAltName    = mustOID("2.5.29.17")
	OIDIssuerAltName     = mustOID("2.5.29.18")
	OIDBasicConstraints  = mustOID("2.5.29.19")
	OIDCRLNumber         = mustOID("2.5.29.20")
	OIDReasonCode        = mustOID("2.5.29.21")
	OIDInvalidityDate    = mustOID("2.5.29.24")
	OIDDeltaCRLIndicator = mustOID("2.5.29.27")
	OIDIssuingDistPoint  = mustOID("2.5.29.28")
	OIDCertificateIssuer = mustOID("2.5.29.29")
	OIDNameConstraints   = mustOID("2.5.29.30")
	OIDDistPoints        = mustOID("2.5.29.31")
	OIDPolicies          = mustOID("2.5.29.32")
	OIDAnyPolicy         = mustOID("2.5.29.32.0")
	OIDPolicyMappings    = mustOID("2.5.29.33")
	OIDAuthorityKeyID    = mustOID("2.5.29.35")
	OIDPolicyConstraints = mustOID("2.5.29.36")
	OIDExtKeyUsage       = mustOID("2.5.29.37")
	OIDAnyExtKeyUsage    = mustOID("2.5.29.37.0")
	OIDFreshestCRL       = mustOID("2.5.29.46")
	OIDInhibitAnyPolicy  = mustOID("2.5.29.54")
	OIDAuthorityInfo     = mustOID("1.3.6.1.5.5.7.1.1")
	OIDSubjectInfo       = mustOID("1.3.6.1.5.5.7.1.11")
	OIDOCSPSigning       = mustOID("1.3.6.1.5.5.7.3.9")
	OIDOCSPNoCheck       = mustOID("1.3.6.1.5.5.7.48.1.5")
	OIDOCSPBasic         = mustOID("1.3.6.1.5.5.7.48.1.1")
	OIDOCSPNonce         = mustOID("1.3.6.1.5.5.7.48.1.2")

	OIDRSA           = mustOID("1.2.840.113549.1.1.1")
	OIDSHA256WithRSA = mustOID("1.2.840.113549.1.1.11")
	OIDSHA384WithRSA = mustOID("1.2.840.113549.1.1.12")
	OIDSHA512WithRSA = mustOID("1.2.840.113549.1.1.13")
	OIDECPublicKey   = mustOID("1.2.840.10045.2.1")
	OIDECDSASHA256   = mustOID("1.2.840.10045.4.3.2")
	OIDECDSASHA384   = mustOID("1.2.840.10045.4.3.3")
	OIDECDSASHA512   = mustOID("1.2.840.10045.4.3.4")
	OIDP256          = mustOID("1.2.840.10045.3.1.7")
	OIDP384          = mustOID("1.3.132.0.34")
	OIDSHA1          = mustOID("1.3.14.3.2.26")
	OIDSHA256        = mustOID("2.16.840.1.101.3.4.2.1")
	OIDSHA384        = mustOID("2.16.840.1.101.3.4.2.2")
	OIDSHA512        = mustOID("2.16.840.1.101.3.4.2.3")

	oidCPS          = mustOID("1.3.6.1.5.5.7.2.1")
	oidUserNotice   = mustOID("1.3.6.1.5.5.7.2.2")
	oidEmailAddress = mustOID("1.2.840.113549.1.9.1")
)
