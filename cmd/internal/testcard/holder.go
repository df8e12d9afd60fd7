package testcard

import (
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/policies"
)

// PIN of every test card, as four digits are for a card's authentication certificate.
const PIN = "1234"

// Condition is what is wrong with a card.
type Condition string

// The conditions.
const (
	Good      Condition = ""
	Revoked   Condition = "revoked"
	Expired   Condition = "expired"
	Signature Condition = "signature" // the certificate for signatures (署名用), which people choose by mistake
)

// Holder is whose card to make.
type Holder struct {
	ID        string         `json:"id"` // of the card, and the name of its files: lower-case letters, digits, hyphens
	Org       policies.OrgID `json:"org"`
	OrgName   string         `json:"org_name"`
	Staff     string         `json:"staff_number"`
	Name      string         `json:"name"`
	About     string         `json:"about"`
	AboutEN   string         `json:"about_en"`
	Condition Condition      `json:"condition,omitempty"`
	Unlinked  bool           `json:"unlinked,omitempty"` // nobody's yet: the first use links it
	Also      policies.OrgID `json:"also,omitempty"`     // where the holder has a second post 兼務
}

// cast is who has a test card, of the sample's organizations.
var cast = []Holder{
	{ID: "ministry", Org: "2000012020001", Staff: "S00002", About: "府省の一般ユーザ", AboutEN: "general user of a ministry"},
	{ID: "city-administrator", Org: "011002", Staff: "S00001", About: "市の管理ユーザ", AboutEN: "administrator of a city"},
	{ID: "city", Org: "011002", Staff: "S00003", About: "市の一般ユーザ", AboutEN: "general user of a city"},
	{ID: "two-posts", Org: "041009", Staff: "S00005", About: "二つの職を兼ねる人", AboutEN: "holds two posts", Also: "040002"},
	{ID: "contractor", Org: "8999900000001", Staff: "S00002", About: "受託事業者の一般ユーザ", AboutEN: "general user of a contractor"},
	{ID: "unlinked", Org: "141305", Staff: "S00002", About: "まだひも付いていないカード", AboutEN: "not linked to anybody yet", Unlinked: true},
	{ID: "revoked", Org: "041009", Staff: "S00006", About: "失効したカード", AboutEN: "revoked", Condition: Revoked},
	{ID: "expired", Org: "041009", Staff: "S00007", About: "有効期間の切れたカード", AboutEN: "expired", Condition: Expired},
	{ID: "signature", Org: "011002", Staff: "S00003", About: "署名用の証明書 (選び間違い)", AboutEN: "the certificate for signatures, chosen by mistake", Condition: Signature, Unlinked: true},
}

// Holders are the sample's people who get a card, for the organizations that there are. Names are those that sample.People makes.
func Holders(orgs []identity.Organization) []Holder {
	known := map[policies.OrgID]identity.Organization{}
	for _, o := range orgs {
		known[o.ID] = o
	}
	var out []Holder
	for _, h := range cast {
		o, ok := known[h.Org]
		if !ok {
			continue
		}
		if _, ok := known[h.Also]; !ok {
			h.Also = ""
		}
		for p := range sample.People([]identity.Organization{o}, sample.PeoplePerOrg, sample.Seed) {
			if p.StaffNumber == h.Staff {
				h.OrgName, h.Name = o.Name, p.DisplayName()
			}
		}
		out = append(out, h)
	}
	return out
}

func (h Holder) check() error {
	if len(h.ID) == 0 || len(h.ID) > 40 {
		return fmt.Errorf("testcard: holder %q: an id of 1 to 40 characters", h.ID)
	}
	for _, c := range h.ID {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("testcard: holder %q: an id of lower-case letters, digits and hyphens, since files are named by it", h.ID)
		}
	}
	switch h.Condition {
	case Good, Revoked, Expired, Signature:
		return nil
	}
	return fmt.Errorf("testcard: holder %s: condition %q", h.ID, h.Condition)
}
