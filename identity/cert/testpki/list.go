package testpki

import (
	"crypto"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Reasons of RFC 5280 section 5.3.1 that JPKI's practice statement names, and the one of delta lists.
const (
	Unspecified          = 0
	KeyCompromise        = 1
	CACompromise         = 2
	AffiliationChanged   = 3
	Superseded           = 4
	CessationOfOperation = 5
	CertificateHold      = 6
	RemoveFromCRL        = 8
)

// Entry is a revoked certificate of a [List].
type Entry struct {
	Serial []byte // content octets
	At     time.Time
	Reason int    // Unspecified writes no extension, as RFC 5280 wants
	Issuer []byte // DER of the certificate's issuer; in indirect lists, where it changes
	Extra  []Extension
}

// List is what a revocation list says. Der writes it out as it stands; nothing is checked.
type List struct {
	Issuer                 []byte
	ThisUpdate, NextUpdate time.Time // a zero NextUpdate is left out
	Entries                []Entry
	Number                 uint64 // 0: no number
	IssuerKey              []byte // SPKI for the authority key identifier; nil: none

	Partition []byte // DER of the distribution point's name in the issuing distribution point; nil: none
	Indirect  bool
	UserOnly  bool   // onlyContainsUserCerts
	Base      uint64 // not 0: a delta to the list of this number
	Freshest  []byte // DER of the name where deltas are; nil: none
	Extra     []Extension
}

// Der is the list signed by key.
func (l List) Der(key crypto.Signer) []byte { return Signed(l.TBS(signingOf(key).algorithm), key) }

// TBS is what is signed, naming the algorithm given.
func (l List) TBS(algorithm []byte) []byte {
	var next, revoked []byte
	if !l.NextUpdate.IsZero() {
		next = when(l.NextUpdate)
	}
	if len(l.Entries) > 0 {
		parts := make([][]byte, 0, len(l.Entries))
		for _, e := range l.Entries {
			parts = append(parts, e.der())
		}
		revoked = der.Wrap(der.Sequence, parts...)
	}
	var exts []Extension
	if l.IssuerKey != nil {
		exts = append(exts, AuthorityKeyID(l.IssuerKey))
	}
	if l.Number > 0 {
		exts = append(exts, Extension{pkix.OIDCRLNumber, false, integer(Serial(l.Number)...)})
	}
	if l.Base > 0 {
		exts = append(exts, Extension{pkix.OIDDeltaCRLIndicator, true, integer(Serial(l.Base)...)})
	}
	if l.Partition != nil || l.Indirect || l.UserOnly {
		exts = append(exts, IssuingDistributionPoint(l.Partition, l.UserOnly, l.Indirect))
	}
	if l.Freshest != nil {
		exts = append(exts, DistributionPoints(pkix.OIDFreshestCRL, Point{Name: l.Freshest}))
	}
	exts = append(exts, l.Extra...)
	var tail []byte
	if len(exts) > 0 {
		tail = der.Wrap(der.Constructed(0), extensions(exts))
	}
	return der.Wrap(der.Sequence, integer(1), algorithm, l.Issuer, when(l.ThisUpdate), next, revoked, tail)
}

func (e Entry) der() []byte {
	var exts []Extension
	if e.Reason != Unspecified {
		exts = append(exts, Extension{pkix.OIDReasonCode, false, der.Wrap(der.Enumerated, []byte{byte(e.Reason)})})
	}
	if e.Issuer != nil {
		exts = append(exts, Extension{pkix.OIDCertificateIssuer, true, der.Wrap(der.Sequence, directoryName(e.Issuer))})
	}
	exts = append(exts, e.Extra...)
	var tail []byte
	if len(exts) > 0 {
		tail = extensions(exts)
	}
	return der.Wrap(der.Sequence, integer(e.Serial...), when(e.At), tail)
}

// IssuingDistributionPoint is the critical extension of a partitioned or indirect list.
func IssuingDistributionPoint(name []byte, userOnly, indirect bool) Extension {
	var point, user, ind []byte
	if name != nil {
		point = distributionPointName(name)
	}
	if userOnly {
		user = der.Wrap(der.Context(1), []byte{0xff})
	}
	if indirect {
		ind = der.Wrap(der.Context(4), []byte{0xff})
	}
	return Extension{pkix.OIDIssuingDistPoint, true, der.Wrap(der.Sequence, point, user, ind)}
}
