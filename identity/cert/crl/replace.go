package crl

import (
	"bytes"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Replaces refuses a list that must not take the place of one in use: of another issuer, key or scope, with a number that isn't higher, issued
// before it, or past its own nextUpdate. The very same list may, and changes nothing. A nextUpdate before that of the list in use is no reason: an
// issuer may hurry.
func Replaces(old, list *pkix.ListInfo, now time.Time) error {
	if old.SHA256 == list.SHA256 {
		return nil
	}
	switch {
	case !SameIssuer(old, list):
		return refuse(CodeOtherIssuer, "not of the issuer and key of the list in use")
	case !SameScope(old, list) || (old.BaseNumber == nil) != (list.BaseNumber == nil):
		return refuse(CodeOtherScope, "not about the certificates that the list in use is about")
	case old.Number != nil && CompareNumbers(list.Number, old.Number) <= 0:
		return refuse(CodeLower, "a list with this number or a higher one is in use")
	case list.ThisUpdate.Before(old.ThisUpdate):
		return refuse(CodeOlder, "issued before the list in use")
	case !now.Before(list.NextUpdate):
		return refuse(CodeStale, "nextUpdate has passed")
	}
	return nil
}

// pointNames are the names of a list's distribution point: full ones, or the one that a relative name makes below an issuer.
func pointNames(full []pkix.GeneralName, relative []byte, below pkix.Name) []pkix.GeneralName {
	if relative == nil {
		return full
	}
	name, err := below.With(relative)
	if err != nil {
		return nil
	}
	return []pkix.GeneralName{{Kind: pkix.DirectoryName, Name: name}}
}

// SameScope tells whether two lists of one issuer are about the same certificates and reasons.
func SameScope(a, b *pkix.ListInfo) bool {
	s, t := a.Scope, b.Scope
	if s == nil || t == nil {
		return s == t
	}
	return s.OnlyUser == t.OnlyUser && s.OnlyCA == t.OnlyCA && s.OnlyAttribute == t.OnlyAttribute && s.Indirect == t.Indirect &&
		s.HasSomeReasons == t.HasSomeReasons && s.SomeReasons == t.SomeReasons &&
		sameNames(pointNames(s.FullName, s.RelativeName, a.Issuer), pointNames(t.FullName, t.RelativeName, b.Issuer))
}

func sameNames(a, b []pkix.GeneralName) bool {
	if len(a) != len(b) {
		return false
	}
	for _, n := range a {
		if !slices.ContainsFunc(b, n.Equal) {
			return false
		}
	}
	return true
}

// SameIssuer tells whether two lists are of one issuer and one key of it: generations of a CA may share a name.
func SameIssuer(a, b *pkix.ListInfo) bool {
	return a.Issuer.Equal(b.Issuer) && bytes.Equal(a.Authority.KeyID, b.Authority.KeyID) && bytes.Equal(a.Authority.Serial, b.Authority.Serial)
}
