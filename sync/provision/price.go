package provision

import (
	"cmp"
	"slices"

	"github.com/musubi-hub/musubi/policies"
)

// Prices are what one seat costs in yen a month, without tax. A seat that isn't in it costs nothing.
type Prices map[policies.Product]map[policies.Seat]int

// DefaultPrices are assumptions in the order of magnitude of public price lists, not a quotation: a contract's own belong into the
// configuration. Slack bills a multi-channel guest as a member.
func DefaultPrices() Prices {
	return Prices{
		policies.ProductAtlassian: {policies.SeatLicensedMember: 2000},
		policies.ProductJira:      {policies.SeatPortalCustomer: 0},
		policies.ProductSlack:     {policies.SeatLicensedMember: 1800, policies.SeatGuest: 1800},
	}
}

// Of is the price of one seat.
func (p Prices) Of(product policies.Product, seat policies.Seat) int { return p[product][seat] }

// Change sums up what a plan does in one organization and product.
type Change struct {
	Org            policies.OrgID   `json:"org"`
	Product        policies.Product `json:"product"`
	Groups         int              `json:"groups_created"`
	Gained         int              `json:"accounts_gained"` // created or enabled again
	Lost           int              `json:"accounts_lost"`
	Updated        int              `json:"accounts_updated"`
	MembersAdded   int              `json:"members_added"`
	MembersRemoved int              `json:"members_removed"`
	Yen            int              `json:"yen_per_month_more"`
	Policies       []string         `json:"policies"` // that say so, in the order of the plan
}

// Changes sums a plan up by organization and product, in the order of the plan.
func (p Plan) Changes(prices Prices) []Change {
	at := map[team]int{}
	list := []Change{}
	for _, o := range p.Objects {
		t := team{o.Product, o.Org}
		i, ok := at[t]
		if !ok {
			i = len(list)
			at[t] = i
			list = append(list, Change{Org: o.Org, Product: o.Product, Policies: []string{}})
		}
		list[i].add(o, prices)
	}
	return list
}

func (c *Change) add(o Object, prices Prices) {
	switch {
	case o.Kind == ObjectGroup:
		c.Groups++
	case o.Kind == ObjectMembers && o.Action == ActionAdd:
		c.MembersAdded += len(o.Members)
	case o.Kind == ObjectMembers:
		c.MembersRemoved += len(o.Members)
	case o.Action == ActionDisable:
		c.Lost++
		c.Yen -= prices.Of(o.Product, seatBefore(o))
	case o.Action == ActionUpdate, o.Action == ActionReplace:
		c.Updated++
		c.Yen += prices.Of(o.Product, o.Seat) - prices.Of(o.Product, seatBefore(o))
	default:
		c.Gained++
		c.Yen += prices.Of(o.Product, o.Seat)
	}
	for _, id := range o.Policies {
		if !slices.Contains(c.Policies, id) {
			c.Policies = append(c.Policies, id)
		}
	}
}

// seatBefore is the seat that the account has now: only in Slack does it change.
func seatBefore(o Object) policies.Seat {
	switch {
	case o.Product != policies.ProductSlack || o.Before == nil:
		return o.Seat
	case o.Before.Guest:
		return policies.SeatGuest
	}
	return policies.SeatLicensedMember
}

// SeatTally counts the seats that an organization's people hold, or shall hold, in one product.
type SeatTally struct {
	Org     policies.OrgID   `json:"org"`
	Product policies.Product `json:"product"`
	Seat    policies.Seat    `json:"seat"`
	Count   int              `json:"count"`
	Yen     int              `json:"yen_per_month"`
}

// Tally counts the wanted seats by organization, product and seat, contacts too.
func (w Wanted) Tally(prices Prices) []SeatTally {
	type key struct {
		team
		seat policies.Seat
	}
	at := map[key]int{}
	list := []SeatTally{}
	for _, a := range w.Accounts {
		k := key{team{a.Product, a.Org}, a.Seat}
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k] = i
			list = append(list, SeatTally{Org: a.Org, Product: a.Product, Seat: a.Seat})
		}
		list[i].Count++
		list[i].Yen += prices.Of(a.Product, a.Seat)
	}
	for org, n := range w.Contacts {
		list = append(list, SeatTally{Org: org, Product: policies.ProductMail, Seat: policies.SeatContact, Count: n, Yen: n * prices.Of(policies.ProductMail, policies.SeatContact)})
	}
	order := policies.Reached()
	slices.SortFunc(list, func(a, b SeatTally) int {
		return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(slices.Index(order, a.Product), slices.Index(order, b.Product)), cmp.Compare(a.Seat, b.Seat))
	})
	return list
}
