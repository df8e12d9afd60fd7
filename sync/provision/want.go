package provision

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Attributes is what the hub wants an account to say about its person, cut to what the product can carry.
type Attributes struct {
	Email        string `json:"email"`
	UserName     string `json:"user_name,omitempty"`
	DisplayName  string `json:"display_name"`
	FamilyName   string `json:"family_name,omitempty"`
	GivenName    string `json:"given_name,omitempty"`
	Organization string `json:"organization,omitempty"`
	Language     string `json:"language,omitempty"`
	TimeZone     string `json:"time_zone,omitempty"`
	Active       bool   `json:"active"`
	Guest        bool   `json:"guest,omitempty"` // reaches only what it is invited to
}

// Fingerprint is a short stable digest of the attributes: two attribute sets are equal if and only if it is.
func (a Attributes) Fingerprint() string {
	sum := sha256.Sum256(canonical(a))
	return hex.EncodeToString(sum[:12])
}

// WantedAccount is an account that policy says a person shall have.
type WantedAccount struct {
	Product    policies.Product
	Person     policies.PersonID
	Org        policies.OrgID
	Also       []policies.OrgID // where the person holds another post in the product's reach (兼務, 引継ぎ): sorted, without Org
	Seat       policies.Seat
	Attributes Attributes
	Policies   []string
}

// Orgs are the organizations whose groups the account belongs to.
func (w WantedAccount) Orgs() []policies.OrgID { return append([]policies.OrgID{w.Org}, w.Also...) }

// Wanted is the state that every SaaS shall be in: sorted, so that equal inputs give equal bytes.
type Wanted struct {
	Accounts []WantedAccount             // by product, organization, person
	Names    map[policies.OrgID]string   // what an organization's group is called
	Left     map[policies.PersonID]int64 // people whose service ended, and when: losing their accounts needs no approval
	Contacts map[policies.OrgID]int      // how many people are contacts without an account
	Prices   Prices                      // for the plan's totals; nil: everything is free
	people   int
}

// People is how many people were asked about.
func (w Wanted) People() int { return w.people }

// Seater decides seats. Implemented by policies/classes, which asks once for all people who are alike to the policies, and one
// by one by policies.Engine.
type Seater interface {
	Seats(p policies.Person) ([]policies.SeatDecision, error)
	Hash() string
}

// Want maps people to wanted accounts by policy. It is pure: the same people, organizations and policies give the same answer.
// A person of an unknown organization is an error, never a silent omission.
//
// posts are the posts that people hold now beside their main one. One makes its holder a member of its organization's group in each product in
// which the policies would give somebody with that role, of that organization, the same kind of seat, or a guest's where the person is a full
// member. It gives no second account.
// The post that a seconded person returns to (出向元) gives nothing meanwhile: nobody holds two organizations but by a concurrent post or a
// declared handover.
func Want(people []identity.Person, posts []identity.Post, orgs []identity.Organization, seats Seater) (Wanted, error) {
	byID := make(map[policies.OrgID]identity.Organization, len(orgs))
	w := Wanted{Names: make(map[policies.OrgID]string, len(orgs)), Left: map[policies.PersonID]int64{}, Contacts: map[policies.OrgID]int{}}
	for _, org := range orgs {
		byID[org.ID] = org
		w.Names[org.ID] = GroupName(org)
	}
	held := make(map[policies.PersonID][]identity.Post, len(posts))
	for _, post := range posts {
		held[post.Person] = append(held[post.Person], post)
	}
	for _, p := range people {
		w.people++
		if !p.Active() {
			w.Left[p.ID] = p.EndedAt
		}
		org, ok := byID[p.Org]
		if !ok {
			return Wanted{}, fmt.Errorf("person %s belongs to organization %s, which the directory doesn't know", p.ID, p.Org)
		}
		decisions, err := seats.Seats(p.Policy(org))
		if err != nil {
			return Wanted{}, fmt.Errorf("seats of person %s: %w", p.ID, err)
		}
		for _, d := range decisions {
			if d.Seat == policies.SeatContact {
				w.Contacts[p.Org]++
			}
			if !d.Seat.Account() {
				continue
			}
			also, err := alsoIn(p, d, held[p.ID], byID, seats)
			if err != nil {
				return Wanted{}, err
			}
			w.Accounts = append(w.Accounts, WantedAccount{
				Product: d.Product, Person: p.ID, Org: p.Org, Also: also, Seat: d.Seat,
				Attributes: attributes(p, org, d), Policies: d.Policies,
			})
		}
	}
	slices.SortFunc(w.Accounts, func(a, b WantedAccount) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Org, b.Org), cmp.Compare(a.Person, b.Person))
	})
	return w, nil
}

// alsoIn gives the organizations of the person's other posts that the seat reaches.
func alsoIn(p identity.Person, seat policies.SeatDecision, held []identity.Post, orgs map[policies.OrgID]identity.Organization, seats Seater) ([]policies.OrgID, error) {
	var also []policies.OrgID
	for _, post := range held {
		org, ok := orgs[post.Org]
		if !ok {
			return nil, fmt.Errorf("person %s holds a post in organization %s, which the directory doesn't know", p.ID, post.Org)
		}
		if post.Org == p.Org || post.Kind == identity.PostHome {
			continue
		}
		there := p
		there.Org, there.Role = post.Org, post.Role
		decisions, err := seats.Seats(there.Policy(org))
		if err != nil {
			return nil, fmt.Errorf("seats of person %s in organization %s: %w", p.ID, post.Org, err)
		}
		for _, d := range decisions {
			if d.Product == seat.Product && reaches(seat.Seat, d.Seat) {
				also = append(also, post.Org)
			}
		}
	}
	slices.Sort(also)
	return slices.Compact(also), nil
}

// reaches tells whether who holds a seat enters a group by a post that would give the seat there: a full member also where others are
// guests, a guest nowhere where others are full members.
func reaches(held, there policies.Seat) bool {
	return there == held || held == policies.SeatLicensedMember && there == policies.SeatGuest
}

// attributes cuts a person to what the seat's product carries: members and guests have a full SCIM profile, a portal-only customer
// an e-mail address and a name. Slack's user name is made by its connector.
func attributes(p identity.Person, org identity.Organization, d policies.SeatDecision) Attributes {
	a := Attributes{Email: p.Email, DisplayName: p.DisplayName(), Active: true, Guest: d.Seat == policies.SeatGuest}
	if d.Seat == policies.SeatPortalCustomer {
		return a
	}
	if d.Product == policies.ProductAtlassian {
		a.UserName = p.Email
	}
	if r := []rune(a.DisplayName); d.Product == policies.ProductSlack && len(r) > slackName {
		a.DisplayName = string(r[:slackName])
	}
	a.FamilyName, a.GivenName = p.FamilyName, p.GivenName
	a.Organization = org.Name
	a.Language, a.TimeZone = "ja-JP", "Asia/Tokyo"
	return a
}

// slackName is how many characters Slack takes of a display name.
const slackName = 80

// keep leaves the accounts of the products named alone.
func (w *Wanted) keep(products []policies.Product) {
	w.Accounts = slices.DeleteFunc(w.Accounts, func(a WantedAccount) bool { return !slices.Contains(products, a.Product) })
}

// GroupName is what an organization's group is called in a SaaS. The number keeps it unique: there are two 府中市.
func GroupName(org identity.Organization) string { return org.Name + " (" + string(org.ID) + ")" }
