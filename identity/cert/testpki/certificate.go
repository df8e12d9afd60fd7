package testpki

import (
	"crypto"
	"crypto/sha1" //nolint:gosec // G505: RFC 5280 section 4.2.1.2 makes key identifiers with SHA-1
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Extension is one of a certificate, list or answer; Value is the DER inside the OCTET STRING.
type Extension struct {
	OID      pkix.OID
	Critical bool
	Value    []byte
}

// Certificate is what a certificate says. Der writes it out as it stands; nothing is checked.
type Certificate struct {
	Serial              []byte // content octets of the INTEGER
	Issuer, Subject     []byte // DER of the names
	NotBefore, NotAfter time.Time
	SPKI                []byte // DER
	Extensions          []Extension
}

// Der is the certificate signed by key.
func (c Certificate) Der(key crypto.Signer) []byte {
	alg := signingOf(key).algorithm
	parts := [][]byte{
		der.Wrap(der.Constructed(0), integer(2)), integer(c.Serial...), alg, c.Issuer,
		der.Wrap(der.Sequence, when(c.NotBefore), when(c.NotAfter)), c.Subject, c.SPKI,
	}
	if len(c.Extensions) > 0 {
		parts = append(parts, der.Wrap(der.Constructed(3), extensions(c.Extensions)))
	}
	return Signed(der.Wrap(der.Sequence, parts...), key)
}

// Signed is tbs with the algorithm and signature of key behind it: the form of certificates and lists.
func Signed(tbs []byte, key crypto.Signer) []byte {
	return der.Wrap(der.Sequence, tbs, signingOf(key).algorithm, bitString(sign(key, tbs)))
}

func bitString(b []byte) []byte { return der.Wrap(der.BitString, []byte{0}, b) }

func extensions(list []Extension) []byte {
	parts := make([][]byte, 0, len(list))
	for _, e := range list {
		var critical []byte
		if e.Critical {
			critical = der.Wrap(der.Boolean, []byte{0xff})
		}
		parts = append(parts, der.Wrap(der.Sequence, oid(e.OID), critical, der.Wrap(der.OctetString, e.Value)))
	}
	return der.Wrap(der.Sequence, parts...)
}

// when is a time as RFC 5280 section 4.1.2.5 writes it: UTCTime until 2049.
func when(t time.Time) []byte {
	t = t.UTC()
	if t.Year() >= 1950 && t.Year() < 2050 {
		return der.Wrap(der.UTCTime, []byte(t.Format("060102150405Z")))
	}
	return generalized(t)
}

func generalized(t time.Time) []byte {
	return der.Wrap(der.GeneralizedTime, []byte(t.UTC().Format("20060102150405Z")))
}

// Usage is a bit of the key usage extension, counted as RFC 5280 section 4.2.1.3 does.
type Usage int

// The bits that JPKI uses.
const (
	DigitalSignature Usage = 0
	NonRepudiation   Usage = 1
	KeyCertSign      Usage = 5
	CRLSign          Usage = 6
)

// KeyUsage is the critical extension with these bits.
func KeyUsage(bits ...Usage) Extension {
	var octet byte
	unused := byte(8)
	for _, b := range bits {
		octet |= 0x80 >> b
		unused = min(unused, byte(7-b))
	}
	value := []byte{unused, octet}
	if len(bits) == 0 {
		value = []byte{0}
	}
	return Extension{pkix.OIDKeyUsage, true, der.Wrap(der.BitString, value)}
}

// BasicConstraints is the critical extension; a pathLen below 0 is none.
func BasicConstraints(ca bool, pathLen int) Extension {
	var parts [][]byte
	if ca {
		parts = append(parts, der.Wrap(der.Boolean, []byte{0xff}))
	}
	if pathLen >= 0 {
		parts = append(parts, integer(Serial(uint64(pathLen))...))
	}
	return Extension{pkix.OIDBasicConstraints, true, der.Wrap(der.Sequence, parts...)}
}

// KeyID is the SHA-1 of the public key of spki.
func KeyID(spki []byte) []byte {
	sum := sha1.Sum(keyBits(spki)) //nolint:gosec // G401: an identifier, not a signature
	return sum[:]
}

// keyBits are the octets of the BIT STRING in spki.
func keyBits(spki []byte) []byte {
	r := der.NewReader(spki)
	seq, err := r.Enter(der.Sequence)
	if err == nil {
		if _, err = seq.Read(der.Sequence); err == nil {
			var b []byte
			if b, err = seq.Read(der.BitString); err == nil {
				return b[1:]
			}
		}
	}
	panic("testpki: not a SubjectPublicKeyInfo")
}

// SubjectKeyID names the key of spki.
func SubjectKeyID(spki []byte) Extension {
	return Extension{pkix.OIDSubjectKeyID, false, der.Wrap(der.OctetString, KeyID(spki))}
}

// AuthorityKeyID names the issuer's key.
func AuthorityKeyID(spki []byte) Extension {
	return Extension{pkix.OIDAuthorityKeyID, false, der.Wrap(der.Sequence, der.Wrap(der.Context(0), KeyID(spki)))}
}

// AlternativeDirectoryName is a subject or issuer alternative name (which) that is a distinguished name.
func AlternativeDirectoryName(which pkix.OID, name []byte) Extension {
	return Extension{which, false, der.Wrap(der.Sequence, directoryName(name))}
}

// Policies is the certificate policies extension; cps, if given, is the qualifier of the first.
func Policies(critical bool, cps string, policies ...pkix.OID) Extension {
	parts := make([][]byte, 0, len(policies))
	for i, p := range policies {
		var qualifier []byte
		if i == 0 && cps != "" {
			qualifier = der.Wrap(der.Sequence, der.Wrap(der.Sequence, oid(oidCPS), der.Wrap(der.IA5String, []byte(cps))))
		}
		parts = append(parts, der.Wrap(der.Sequence, oid(p), qualifier))
	}
	return Extension{pkix.OIDPolicies, critical, der.Wrap(der.Sequence, parts...)}
}

var (
	oidCPS        = mustOID("1.3.6.1.5.5.7.2.1")
	oidOCSPAccess = mustOID("1.3.6.1.5.5.7.48.1")
)

// ExtKeyUsage is the extended key usage extension.
func ExtKeyUsage(purposes ...pkix.OID) Extension {
	parts := make([][]byte, 0, len(purposes))
	for _, p := range purposes {
		parts = append(parts, oid(p))
	}
	return Extension{pkix.OIDExtKeyUsage, false, der.Wrap(der.Sequence, parts...)}
}

// NoCheck is id-pkix-ocsp-nocheck.
func NoCheck() Extension { return Extension{pkix.OIDOCSPNoCheck, false, derNull} }

// OCSPLocation is an authority information access to an OCSP responder.
func OCSPLocation(url string) Extension {
	return Extension{pkix.OIDAuthorityInfo, false, der.Wrap(der.Sequence, der.Wrap(der.Sequence, oid(oidOCSPAccess), der.Wrap(der.Context(6), []byte(url))))}
}

// Point is one distribution point: a directory name, and the list's issuer if it isn't the certificate's.
type Point struct{ Name, CRLIssuer []byte }

// DistributionPoints is the extension cRLDistributionPoints, or freshestCRL, with directory names as JPKI has them.
func DistributionPoints(which pkix.OID, points ...Point) Extension {
	parts := make([][]byte, 0, len(points))
	for _, p := range points {
		var name, issuer []byte
		if p.Name != nil {
			name = distributionPointName(p.Name)
		}
		if p.CRLIssuer != nil {
			issuer = der.Wrap(der.Constructed(2), directoryName(p.CRLIssuer))
		}
		parts = append(parts, der.Wrap(der.Sequence, name, issuer))
	}
	return Extension{which, false, der.Wrap(der.Sequence, parts...)}
}

// distributionPointName is [0] DistributionPointName with fullName [0].
func distributionPointName(name []byte) []byte {
	return der.Wrap(der.Constructed(0), der.Wrap(der.Constructed(0), directoryName(name)))
}
