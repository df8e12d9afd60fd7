package scimclient

import (
	"errors"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/connectors"
)

// Deactivation is how a server ends a user's access.
type Deactivation uint8

// The ways of ending access.
const (
	DeactivateByPatch  Deactivation = iota // PATCH replace active=false; the user stays visible
	DeactivateByPut                        // PUT of the whole user with active=false, where a server has no PATCH for users
	DeactivateByDelete                     // DELETE; the user answers 404 from then on
)

// Dialect says what one server really does. The zero value is refused: start from Generic.
type Dialect struct {
	Name        string
	PageMax     int      // resources a page; RFC 7644 lets a server return fewer
	GroupPage   int      // groups a page, where they come with all their members; 0 is PageMax
	UserFilters []string // attributes that Users can be filtered by with a single eq: "externalId", "userName"; none: lists are searched
	GroupFilter bool     // Groups can be filtered by displayName
	MemberBatch int      // members a PATCH
	UserPatch   bool     // Users can be patched
	Deactivate  Deactivation

	// ExternalIDMutable: an update may carry externalId. Some servers refuse or ignore a change of it.
	ExternalIDMutable bool
	// WorkAtTop: organization and department also stand at the user's top level, beside the enterprise extension.
	WorkAtTop bool
	// ExcludeMembers: a group can be read without its members (excludedAttributes=members).
	ExcludeMembers bool
	// JoinSchema and JoinAttribute name the extension attribute with the account's id in the vendor's other products.
	JoinSchema, JoinAttribute string
	// BareMemberFilter: one member is removed by members[value eq ID], the id without the quotes that RFC 7644 asks for. Only ids of
	// ASCII letters and digits can be written so.
	BareMemberFilter bool
	// ReadBackMembers: the server answers a change of members without showing the group, and may have left somebody out: the group is
	// read after each change.
	ReadBackMembers bool
	// OneUpdateAtATime: the server refuses a second update of a user or group while it works on one. Updates of one resource then
	// wait for each other, within this process.
	OneUpdateAtATime bool
	// Codes: the "detail" of an error is a machine code. Those listed have a kind of their own, whatever the status; nil: it is words.
	Codes map[string]connectors.Kind
	// MaxResources bounds how many resources a list may claim to have.
	MaxResources int
	// MaxGroupBody bounds a group's answer in octets: it holds every member.
	MaxGroupBody int64
}

// Generic is a server that keeps to the RFCs: filters, PATCH, deactivation by PATCH.
func Generic() Dialect {
	return Dialect{
		Name: "generic", PageMax: 100, UserFilters: []string{"externalId", "userName"}, GroupFilter: true,
		MemberBatch: 100, UserPatch: true, Deactivate: DeactivateByPatch, ExternalIDMutable: true, ExcludeMembers: true,
		MaxResources: 1_000_000, MaxGroupBody: 32 << 20,
	}
}

func (d Dialect) validate() error {
	switch {
	case d.Name == "":
		return errors.New("the dialect has no name")
	case d.PageMax < 1 || d.PageMax > 10_000:
		return fmt.Errorf("dialect %s: PageMax %d is outside 1 to 10000", d.Name, d.PageMax)
	case d.GroupPage < 0 || d.GroupPage > d.PageMax:
		return fmt.Errorf("dialect %s: GroupPage %d is outside 0 to PageMax", d.Name, d.GroupPage)
	case d.MemberBatch < 1 || d.MemberBatch > 15_000:
		return fmt.Errorf("dialect %s: MemberBatch %d is outside 1 to 15000", d.Name, d.MemberBatch)
	case d.MaxResources < 1 || d.MaxGroupBody < 1:
		return fmt.Errorf("dialect %s: MaxResources and MaxGroupBody must be positive", d.Name)
	case (d.JoinSchema == "") != (d.JoinAttribute == ""):
		return fmt.Errorf("dialect %s: JoinSchema and JoinAttribute belong together", d.Name)
	case d.Deactivate == DeactivateByPatch && !d.UserPatch:
		return fmt.Errorf("dialect %s: it deactivates by PATCH but has no PATCH for users", d.Name)
	}
	for _, f := range d.UserFilters {
		if f != "externalId" && f != "userName" {
			return fmt.Errorf("dialect %s: no filter by %q is known; use externalId or userName", d.Name, f)
		}
	}
	return nil
}

func (d Dialect) filters(attribute string) bool { return slices.Contains(d.UserFilters, attribute) }
