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
	Seat       policies.Seat
	Attributes Attributes
	Policies   []string
}

// Wanted is the state that every SaaS shall be in: sorted, so that equal inputs give equal bytes.
type Wanted struct {
	Accounts []WantedAccount             // by product, organization, person
	Names    map[policies.OrgID]string   // what an organization's group is called
	Left     map[policies.PersonID]int64 // people whose service ended, and when: losing their accounts needs no approval
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
func Want(people []identity.Person, orgs []identity.Organization, seats Seater) (Wanted, error) {
	byID := make(map[policies.OrgID]identity.Organization, len(orgs))
	w := Wanted{Names: make(map[policies.OrgID]string, len(orgs)), Left: map[policies.PersonID]int64{}}
	for _, org := range orgs {
		byID[org.ID] = org
		w.Names[org.ID] = GroupName(org)
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
			if d.Seat == policies.SeatNone {
				continue
			}
			w.Accounts = append(w.Accounts, WantedAccount{
				Product: d.Product, Person: p.ID, Org: p.Org, Seat: d.Seat,
				Attributes: attributes(p, org, d.Seat), Policies: d.Policies,
			})
		}
	}
	slices.SortFunc(w.Accounts, func(a, b WantedAccount) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Org, b.Org), cmp.Compare(a.Person, b.Person))
	})
	return w, nil
}

// attributes cuts a person to what the seat's product carries: a licensed member has a full SCIM profile, a portal-only customer
// an e-mail address and a name.
func attributes(p identity.Person, org identity.Organization, seat policies.Seat) Attributes {
	a := Attributes{Email: p.Email, DisplayName: p.DisplayName(), Active: true}
	if seat == policies.SeatLicensedMember {
		a.UserName = p.Email
		a.FamilyName, a.GivenName = p.FamilyName, p.GivenName
		a.Organization = org.Name
		a.Language, a.TimeZone = "ja-JP", "Asia/Tokyo"
	}
	return a
}

// GroupName is what an organization's group is called in a SaaS. The number keeps it unique: there are two 府中市.
func GroupName(org identity.Organization) string { return org.Name + " (" + string(org.ID) + ")" }
