package cert

import (
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// points are the distribution points to work through for a certificate: those that it names and, last, the one that RFC 5280 6.3.3 assumes for
// lists that aren't named: any list of the certificate's issuer for everything it issued.
func points(c *pkix.Certificate) []pkix.DistributionPoint {
	assumed := pkix.DistributionPoint{FullName: []pkix.GeneralName{{Kind: pkix.DirectoryName, Name: c.Issuer}}}
	return append(slices.Clone(c.DistributionPoints), assumed)
}

// scopeOf tells for which reasons a list speaks about a certificate at a distribution point: none if it is about others (RFC 5280, 6.3.3 b, d).
func (b *budget) scopeOf(info *pkix.ListInfo, c *pkix.Certificate, dp *pkix.DistributionPoint) pkix.Reasons {
	if len(dp.CRLIssuer) > 0 {
		if !info.Indirect() || !slices.ContainsFunc(dp.CRLIssuer, b.isName(info.Issuer)) {
			return 0
		}
	} else if !b.same(info.Issuer, c.Issuer) {
		return 0
	}
	reasons := pkix.AllReasons
	if dp.HasReasons {
		reasons &= dp.Reasons
	}
	s := info.Scope
	if s == nil {
		return reasons
	}
	if s.OnlyUser && c.CA || s.OnlyCA && !c.CA || s.OnlyAttribute || !b.samePoint(info, s, c, dp) {
		return 0
	}
	if s.HasSomeReasons {
		reasons &= s.SomeReasons
	}
	return reasons
}

// samePoint tells whether the list's own distribution point, if it has a name, is the one that is asked for.
func (b *budget) samePoint(info *pkix.ListInfo, s *pkix.IssuingDistributionPoint, c *pkix.Certificate, dp *pkix.DistributionPoint) bool {
	mine := pointNames(s.FullName, s.RelativeName, info.Issuer)
	if len(mine) == 0 {
		return true
	}
	base := c.Issuer
	for _, g := range dp.CRLIssuer {
		if g.Kind == pkix.DirectoryName {
			base = g.Name
		}
	}
	theirs := pointNames(dp.FullName, dp.RelativeName, base)
	if len(theirs) == 0 {
		theirs = dp.CRLIssuer
	}
	for _, x := range mine {
		for _, y := range theirs {
			if b.sameGeneral(x, y) {
				return true
			}
			if b.spent {
				return false
			}
		}
	}
	return false
}

func pointNames(full []pkix.GeneralName, relative []byte, base pkix.Name) []pkix.GeneralName {
	if relative == nil {
		return full
	}
	n, err := base.With(relative)
	if err != nil {
		return []pkix.GeneralName{{}} // a name that nothing equals
	}
	return []pkix.GeneralName{{Kind: pkix.DirectoryName, Name: n}}
}

func (b *budget) isName(n pkix.Name) func(pkix.GeneralName) bool {
	return func(g pkix.GeneralName) bool { return g.Kind == pkix.DirectoryName && b.same(g.Name, n) }
}

// sameScope tells whether a delta list is for what a complete list is for (RFC 5280, 6.3.3 c 2).
func (b *budget) sameScope(base, delta *pkix.ListInfo) bool {
	if base.Scope == nil || delta.Scope == nil {
		return base.Scope == delta.Scope
	}
	x, y := *base.Scope, *delta.Scope
	return slices.EqualFunc(pointNames(x.FullName, x.RelativeName, base.Issuer), pointNames(y.FullName, y.RelativeName, delta.Issuer), b.sameGeneral) &&
		x.OnlyUser == y.OnlyUser && x.OnlyCA == y.OnlyCA && x.OnlyAttribute == y.OnlyAttribute && x.Indirect == y.Indirect &&
		x.HasSomeReasons == y.HasSomeReasons && x.SomeReasons == y.SomeReasons
}

// Overdue is how long a list has been due for replacement at a time (0: it is fresh), and whether it is of the future: for those who watch lists.
func (p *Profile) Overdue(info *pkix.ListInfo, at time.Time) (late time.Duration, future bool) {
	return p.overdue(info, at)
}

// overdue is how long a list has been due for replacement at a time, by its own nextUpdate and by the profile's limit of age; 0: it is fresh. A list
// of the future is never usable.
func (p *Profile) overdue(info *pkix.ListInfo, at time.Time) (late time.Duration, future bool) {
	leeway := p.config.Leeway.Duration()
	if info.ThisUpdate.After(at.Add(leeway)) {
		return 0, true
	}
	if !info.NextUpdate.IsZero() {
		late = max(late, at.Sub(info.NextUpdate)-leeway)
	}
	limit := p.config.MaxListAge.Duration()
	if limit > 0 {
		late = max(late, at.Sub(info.ThisUpdate)-limit-leeway)
	} else if info.NextUpdate.IsZero() {
		late = max(late, 1)
	}
	return late, false
}
