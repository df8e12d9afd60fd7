package pkix

import (
	"github.com/musubi-hub/musubi/identity/cert/der"
)

// Reasons is a set of ReasonFlags (RFC 5280, 4.2.1.13); bit n is flag n.
type Reasons uint16

// AllReasons is every flag that there is: bits 1 to 8. Bit 0 is unused.
const AllReasons Reasons = 0x1fe

// DistributionPoint says where, for which reasons and from which issuer a list comes (RFC 5280, 4.2.1.13).
type DistributionPoint struct {
	FullName     []GeneralName
	RelativeName []byte // one RelativeDistinguishedName, a whole SET, below the list's issuer; nil if there is none
	HasReasons   bool
	Reasons      Reasons // if HasReasons
	CRLIssuer    []GeneralName
}

// IssuingDistributionPoint is the scope of a list (RFC 5280, 5.2.5).
type IssuingDistributionPoint struct {
	FullName       []GeneralName
	RelativeName   []byte
	OnlyUser       bool
	OnlyCA         bool
	OnlyAttribute  bool
	Indirect       bool
	HasSomeReasons bool
	SomeReasons    Reasons
}

// maxDistPoints bounds one CRLDistributionPoints.
const maxDistPoints = 64

// ParseDistributionPoints reads CRLDistributionPoints, which crypto/x509 shows only as far as they are URIs.
func ParseDistributionPoints(value []byte) ([]DistributionPoint, error) {
	list, err := der.Whole(value, der.Sequence)
	if err != nil {
		return nil, err
	}
	var out []DistributionPoint
	for !list.Empty() {
		if len(out) == maxDistPoints {
			return nil, malformed("distribution points", "more than %d", maxDistPoints)
		}
		one, err := list.Enter(der.Sequence)
		if err != nil {
			return nil, err
		}
		p, err := readDistributionPoint(one)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, malformed("distribution points", "none")
	}
	return out, nil
}

func readDistributionPoint(r der.Reader) (DistributionPoint, error) {
	var p DistributionPoint
	var err error
	if p.FullName, p.RelativeName, err = readPointName(&r); err != nil {
		return p, err
	}
	if p.Reasons, p.HasReasons, err = readReasons(&r, 1); err != nil {
		return p, err
	}
	issuer, present, err := r.Optional(der.Constructed(2))
	if err != nil {
		return p, err
	}
	if present {
		if p.CRLIssuer, err = ReadGeneralNames(der.NewReader(issuer)); err != nil {
			return p, err
		}
	}
	if p.FullName == nil && p.RelativeName == nil && p.CRLIssuer == nil {
		return p, malformed("distribution point", "neither a name nor an issuer")
	}
	return p, r.End()
}

// readPointName reads distributionPoint [0], an explicit choice of fullName [0] and nameRelativeToCRLIssuer [1].
func readPointName(r *der.Reader) (full []GeneralName, relative []byte, err error) {
	content, present, err := r.Optional(der.Constructed(0))
	if !present || err != nil {
		return nil, nil, err
	}
	choice := der.NewReader(content)
	if choice.Peek(der.Constructed(1)) {
		content, err := choice.Read(der.Constructed(1))
		if err != nil {
			return nil, nil, err
		}
		if err := checkRDN(der.NewReader(content)); err != nil {
			return nil, nil, err
		}
		return nil, der.Wrap(der.Set, content), choice.End()
	}
	names, err := choice.Enter(der.Constructed(0))
	if err != nil {
		return nil, nil, err
	}
	if full, err = ReadGeneralNames(names); err != nil {
		return nil, nil, err
	}
	return full, nil, choice.End()
}

func readReasons(r *der.Reader, tag byte) (Reasons, bool, error) {
	content, present, err := r.Optional(der.Context(tag))
	if !present || err != nil {
		return 0, false, err
	}
	bits, err := der.ParseNamedBits(content)
	return Reasons(bits), true, err
}

// ParseIssuingDistributionPoint reads the extension of a list.
func ParseIssuingDistributionPoint(value []byte) (*IssuingDistributionPoint, error) {
	r, err := der.Whole(value, der.Sequence)
	if err != nil {
		return nil, err
	}
	p := new(IssuingDistributionPoint)
	if p.FullName, p.RelativeName, err = readPointName(&r); err != nil {
		return nil, err
	}
	if p.OnlyUser, err = r.DefaultFalse(der.Context(1)); err != nil {
		return nil, err
	}
	if p.OnlyCA, err = r.DefaultFalse(der.Context(2)); err != nil {
		return nil, err
	}
	if p.SomeReasons, p.HasSomeReasons, err = readReasons(&r, 3); err != nil {
		return nil, err
	}
	if p.Indirect, err = r.DefaultFalse(der.Context(4)); err != nil {
		return nil, err
	}
	if p.OnlyAttribute, err = r.DefaultFalse(der.Context(5)); err != nil {
		return nil, err
	}
	only := 0
	for _, set := range []bool{p.OnlyUser, p.OnlyCA, p.OnlyAttribute} {
		if set {
			only++
		}
	}
	if only > 1 {
		return nil, malformed("issuing distribution point", "more than one of onlyContainsUserCerts, CACerts and AttributeCerts")
	}
	return p, r.End()
}
