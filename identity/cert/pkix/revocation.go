package pkix

import (
	"fmt"
	"time"
)

// Reason is a CRLReason (RFC 5280, 5.3.1).
type Reason int

// Reasons for revocation; 7 is unused.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	CertificateHold      Reason = 6
	RemoveFromCRL        Reason = 8
	PrivilegeWithdrawn   Reason = 9
	AACompromise         Reason = 10
)

var reasonNames = map[Reason]string{
	Unspecified: "unspecified", KeyCompromise: "keyCompromise", CACompromise: "cACompromise", AffiliationChanged: "affiliationChanged",
	Superseded: "superseded", CessationOfOperation: "cessationOfOperation", CertificateHold: "certificateHold", RemoveFromCRL: "removeFromCRL",
	PrivilegeWithdrawn: "privilegeWithdrawn", AACompromise: "aACompromise",
}

// Known tells whether RFC 5280 has that reason.
func (r Reason) Known() bool { return reasonNames[r] != "" }

func (r Reason) String() string {
	if s := reasonNames[r]; s != "" {
		return s
	}
	return fmt.Sprintf("reason %d", int(r))
}

// Revocation is what a list or an answer says of one certificate.
type Revocation struct {
	At     time.Time
	Reason Reason
}

// ListInfo is what a CRL says of itself, its entries apart.
type ListInfo struct {
	SHA256      [32]byte // of the whole DER
	Issuer      Name
	ThisUpdate  time.Time
	NextUpdate  time.Time // zero if the list has none
	Number      []byte    // content of the CRL number's INTEGER, at most 20 octets, not negative; nil if there is none
	BaseNumber  []byte    // of a delta list: the base that it is about; nil for a complete list
	Authority   AuthorityKeyID
	Scope       *IssuingDistributionPoint // nil: everything that the issuer issued
	Freshest    []DistributionPoint
	Algorithm   Algorithm // of the signature; the one inside equals the one outside
	Unprocessed []OID     // critical extensions of the list or of an entry that aren't understood: the list must not be used
	EntryCount  int
}

// Indirect tells whether entries may be about other issuers' certificates.
func (l *ListInfo) Indirect() bool { return l.Scope != nil && l.Scope.Indirect }
