package cert

import "github.com/musubi-hub/musubi/identity/cert/pkix"

// List is a certificate revocation list as a decision needs it. Package crl has two: one that holds every entry, and one for national sizes.
type List interface {
	// Info is what the list says of itself. It doesn't change.
	Info() *pkix.ListInfo
	// CheckSignature tells whether that key signed the list under a policy: pkix.ErrAlgorithm or pkix.ErrSignature if not. A list remembers the key
	// that it was verified with, so that asking again costs no arithmetic.
	CheckSignature(key *pkix.PublicKey, policy *pkix.Policy) error
	// Lookup finds the entry for a certificate by its issuer and the content of its serial number. In a list that isn't indirect every entry is about
	// the list's own issuer. In a delta list the reason may be RemoveFromCRL.
	Lookup(issuer pkix.Name, serial []byte) (pkix.Revocation, bool)
}
