package connectors

import (
	"fmt"
	"slices"
	"strings"
)

// Requirement is what an administrator asks of every product before the hub uses it. The zero value asks nothing.
type Requirement struct {
	ISMAP       bool     // it is on the ISMAP cloud service list
	DataRegions []string // the data is kept in one of these; empty: anywhere. Compared without case
	LGWAN       []Reach  // it is reached from LGWAN in one of these ways; empty: not asked
}

// Unmet says in what d falls short, each in plain words; nothing where it meets everything. What isn't known isn't met.
func (r Requirement) Unmet(d Description) []string {
	var out []string
	if r.ISMAP && d.ISMAP != "registered" {
		out = append(out, fmt.Sprintf("it must be on the ISMAP list and is %s", d.ISMAP))
	}
	same := func(region string) bool { return strings.EqualFold(region, d.DataRegion) }
	if len(r.DataRegions) > 0 && !slices.ContainsFunc(r.DataRegions, same) {
		out = append(out, fmt.Sprintf("its data must be kept in %s and is kept in %s", strings.Join(r.DataRegions, " or "), d.DataRegion))
	}
	if len(r.LGWAN) > 0 && !slices.Contains(r.LGWAN, d.LGWAN) {
		ways := make([]string, len(r.LGWAN))
		for i, w := range r.LGWAN {
			ways[i] = string(w)
		}
		out = append(out, fmt.Sprintf("it must be reached from LGWAN by %s and is reached by %s", strings.Join(ways, " or "), d.LGWAN))
	}
	return out
}

// RefusedError says that a product doesn't meet the requirement.
type RefusedError struct {
	Name  string
	Unmet []string
}

// Error names the product and everything in which it falls short.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s isn't used: %s; change what is required, or what is configured of the product where that is wrong", e.Name, strings.Join(e.Unmet, ", and "))
}
