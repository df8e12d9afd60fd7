package pkix

import (
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// Bounds on one certificate. A card's is below 4 kB; the largest that are known have a few hundred names and stay far below these.
const (
	MaxCertificate = 64 << 10 // octets
	maxExtensions  = 64
	maxSerial      = 20 // octets (RFC 5280, 4.1.2.2)
)

// Certificate is an X.509 certificate. Its slices point into the bytes it was parsed from.
type Certificate struct {
	Raw       []byte
	TBS       []byte // tbsCertificate, the octets that are signed
	Version   int    // 1 to 3
	Serial    []byte // content of the INTEGER, 1 to 20 octets, two's complement; see der.Big
	Algorithm Algorithm
	Issuer    Name
	Subject   Name
	NotBefore time.Time
	NotAfter  time.Time
	Key       PublicKey
	Signature []byte
	Extensions
}

// SelfIssued tells whether subject and issuer are the same name (RFC 5280, 3.2).
func (c *Certificate) SelfIssued() bool { return c.Subject.Equal(c.Issuer) }

// ParseCertificate reads one certificate; nothing may follow it. Errors are of package der, ErrMalformed or ErrKey.
func ParseCertificate(raw []byte) (*Certificate, error) {
	if len(raw) > MaxCertificate {
		return nil, malformed("certificate", "%d octets, at most %d are read", len(raw), MaxCertificate)
	}
	if err := der.Check(raw, maxDepth); err != nil {
		return nil, err
	}
	outer, err := der.Whole(raw, der.Sequence)
	if err != nil {
		return nil, err
	}
	c := &Certificate{Raw: raw}
	content, whole, err := outer.ReadWhole(der.Sequence)
	if err != nil {
		return nil, in("tbsCertificate", err)
	}
	c.TBS = whole
	if err := c.readTBS(der.NewReader(content)); err != nil {
		return nil, err
	}
	alg, err := readAlgorithm(&outer)
	if err != nil {
		return nil, in("signatureAlgorithm", err)
	}
	if !alg.Equal(c.Algorithm) {
		return nil, malformed("signatureAlgorithm", "the one inside and the one outside differ (RFC 5280, 4.1.1.2)")
	}
	if c.Signature, err = outer.Octets(); err != nil {
		return nil, in("signatureValue", err)
	}
	return c, outer.End()
}

func (c *Certificate) readTBS(r der.Reader) error {
	if err := c.readVersion(&r); err != nil {
		return in("version", err)
	}
	var err error
	if c.Serial, err = r.Integer(); err != nil {
		return in("serialNumber", err)
	}
	if len(c.Serial) > maxSerial {
		return malformed("serialNumber", "%d octets, at most %d (RFC 5280, 4.1.2.2)", len(c.Serial), maxSerial)
	}
	if c.Algorithm, err = readAlgorithm(&r); err != nil {
		return in("signature", err)
	}
	if c.Issuer, err = readName(&r); err != nil {
		return in("issuer", err)
	}
	if c.Issuer.IsEmpty() {
		return malformed("issuer", "empty (RFC 5280, 4.1.2.4)")
	}
	if err := c.readValidity(&r); err != nil {
		return in("validity", err)
	}
	if c.Subject, err = readName(&r); err != nil {
		return in("subject", err)
	}
	_, whole, err := r.ReadWhole(der.Sequence)
	if err != nil {
		return in("subjectPublicKeyInfo", err)
	}
	if err := c.Key.parse(whole); err != nil {
		return in("subjectPublicKeyInfo", err)
	}
	return c.readTail(r)
}

func (c *Certificate) readVersion(r *der.Reader) error {
	c.Version = 1
	content, present, err := r.Optional(der.Constructed(0))
	if !present || err != nil {
		return err
	}
	v := der.NewReader(content)
	n, err := v.Small(2)
	if err != nil {
		return err
	}
	if n == 0 {
		return der.ErrDefault
	}
	c.Version = n + 1
	return v.End()
}

func (c *Certificate) readValidity(r *der.Reader) error {
	v, err := r.Enter(der.Sequence)
	if err != nil {
		return err
	}
	if c.NotBefore, err = v.Time(); err != nil {
		return err
	}
	if c.NotAfter, err = v.Time(); err != nil {
		return err
	}
	return v.End()
}

// readTail reads issuerUniqueID, subjectUniqueID and extensions.
func (c *Certificate) readTail(r der.Reader) error {
	for _, tag := range []byte{1, 2} {
		content, present, err := r.Optional(der.Context(tag))
		if err == nil && present {
			if _, _, err = der.ParseBitString(content); err == nil && c.Version < 2 {
				err = malformed("unique identifier", "in a certificate of version 1")
			}
		}
		if err != nil {
			return in("unique identifier", err)
		}
	}
	content, present, err := r.Optional(der.Constructed(3))
	if err != nil {
		return in("extensions", err)
	}
	if !present {
		return r.End()
	}
	if c.Version != 3 {
		return malformed("extensions", "in a certificate of version %d", c.Version)
	}
	list := der.NewReader(content)
	if err := EachExtension(&list, maxExtensions, c.Extensions.read); err != nil {
		return fmt.Errorf("extensions: %w", err)
	}
	if err := list.End(); err != nil {
		return err
	}
	return r.End()
}

// Extension is one extension of a certificate, a list, an entry or an OCSP answer.
type Extension struct {
	ID       OID
	Critical bool
	Value    []byte // the content of extnValue
}

// ReadExtensions reads the SEQUENCE OF Extension that comes next: at least one, at most limit, none twice.
func ReadExtensions(r *der.Reader, limit int) ([]Extension, error) {
	var out []Extension
	err := EachExtension(r, limit, func(e Extension) error {
		out = append(out, e)
		return nil
	})
	return out, err
}

// ErrDuplicateExtension is one extension twice.
var ErrDuplicateExtension = fmt.Errorf("%w extensions: one stands twice (RFC 5280, 4.2)", ErrMalformed)

// EachExtension reads the SEQUENCE OF Extension that comes next, at least one, at most limit, none twice, and gives each to a function.
func EachExtension(r *der.Reader, limit int, each func(Extension) error) error {
	list, err := r.Enter(der.Sequence)
	if err != nil {
		return err
	}
	if list.Empty() {
		return malformed("extensions", "an empty list")
	}
	seen := make([]OID, 0, 16)
	for !list.Empty() {
		if len(seen) == limit {
			return malformed("extensions", "more than %d", limit)
		}
		e, err := readExtension(&list)
		if err != nil {
			return err
		}
		for _, id := range seen {
			if id == e.ID {
				return fmt.Errorf("%w: %s", ErrDuplicateExtension, e.ID)
			}
		}
		seen = append(seen, e.ID)
		if err := each(e); err != nil {
			return in("extension "+e.ID.String(), err)
		}
	}
	return nil
}

func readExtension(r *der.Reader) (Extension, error) {
	one, err := r.Enter(der.Sequence)
	if err != nil {
		return Extension{}, err
	}
	id, err := one.ObjectID()
	if err != nil {
		return Extension{}, err
	}
	e := Extension{ID: internExtension(id)}
	if e.Critical, err = one.DefaultFalse(der.Boolean); err != nil {
		return Extension{}, err
	}
	if e.Value, err = one.Read(der.OctetString); err != nil {
		return Extension{}, err
	}
	return e, one.End()
}

var knownExtensions = []OID{
	OIDKeyUsage, OIDBasicConstraints, OIDAuthorityKeyID, OIDSubjectKeyID, OIDPolicies, OIDDistPoints, OIDSubjectAltName, OIDIssuerAltName,
	OIDExtKeyUsage, OIDAuthorityInfo, OIDReasonCode, OIDCRLNumber,
}

func internExtension(id []byte) OID {
	for _, known := range knownExtensions {
		if string(id) == string(known) {
			return known
		}
	}
	return OID(id)
}
