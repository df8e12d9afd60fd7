package breaker

import (
	"math"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// Level is how far a breaker reaches.
type Level string

// The levels, widest first: what a wide breaker holds, no narrow one is asked about.
const (
	LevelNation       Level = "nation"       // everybody
	LevelChange       Level = "change"       // one upstream change: one import, one plan, one edit of the policies
	LevelProduct      Level = "product"      // one SaaS
	LevelOrganization Level = "organization" // one organization, in all products
)

// Levels lists them, widest first.
func Levels() []Level { return []Level{LevelNation, LevelChange, LevelProduct, LevelOrganization} }

// Loss is what somebody loses.
type Loss string

// The losses. Whoever loses the account isn't counted again for the memberships that go with it.
const (
	LossAccounts    Loss = "accounts"    // the account is disabled
	LossMemberships Loss = "memberships" // out of an organization's group, with the account kept
)

// Losses lists them.
func Losses() []Loss { return []Loss{LossAccounts, LossMemberships} }

// Limit says how much may be lost in one window.
type Limit struct {
	Level  Level
	Loss   Loss
	Window time.Duration // sliding; the longest one catches the slowest drip
	Least  int           // this many may always be lost
	Share  float64       // and this share of the baseline, 0 to 1
}

// Allowed is how many may be lost against a baseline: how many there were when the window began.
func (l Limit) Allowed(baseline int) int {
	return max(l.Least, int(math.Floor(l.Share*float64(baseline)+1e-9)))
}

// Since is the first moment that counts: the window's beginning, or the last release by a person where that is later. Times are UTC in
// microseconds; released is 0 for never.
func (l Limit) Since(now, released int64) int64 { return max(now-l.Window.Microseconds(), released) }

// Item is what one person, or N people of an organization, would lose in one product.
type Item struct {
	Product policies.Product
	Org     policies.OrgID
	Person  policies.PersonID
	Loss    Loss
}

// Subject names what a level's breaker watches of the item; change is the reference of the upstream change.
func (i Item) Subject(l Level, change string) string {
	switch l {
	case LevelProduct:
		return string(i.Product)
	case LevelOrganization:
		return string(i.Org)
	case LevelChange:
		return change
	}
	return ""
}

// Count is what one limit looks at: what was lost since the window began, what is asked for now, and the baseline.
type Count struct {
	Limit    Limit
	Subject  string
	Lost     int
	Asked    int
	Baseline int // how many there are now; Decide adds what was lost to find how many there were
}

// Trip is a limit that would be broken.
type Trip struct {
	Count
	Allowed int
}

// Decide gives the limits that would be broken if all that is asked for were lost. It is pure.
func Decide(counts []Count) (trips []Trip) {
	for _, c := range counts {
		if c.Asked == 0 {
			continue
		}
		if allowed := c.Limit.Allowed(c.Baseline + c.Lost); c.Lost+c.Asked > allowed {
			trips = append(trips, Trip{Count: c, Allowed: allowed})
		}
	}
	return trips
}
