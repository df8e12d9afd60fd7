package identity

import (
	"errors"

	"github.com/musubi-hub/musubi/policies"
)

// Organization is a body of the workspace, keyed by its official number.
type Organization struct {
	ID        policies.OrgID
	Kind      policies.OrgKind
	Name      string // as registered, e.g. 札幌市; wards carry their city: 札幌市 中央区
	Kana      string
	Parent    policies.OrgID
	UpdatedAt int64 // UTC, microseconds
}

// Policy gives what policies may read of the organization.
func (o Organization) Policy() policies.Organization {
	return policies.Organization{ID: o.ID, Kind: o.Kind, Parent: o.Parent}
}

// Person is a member of staff.
type Person struct {
	ID          policies.PersonID
	Org         policies.OrgID
	StaffNumber string // unique within the organization
	FamilyName  string // kanji, as registered
	GivenName   string
	FamilyKana  string
	GivenKana   string
	Email       string // unique in the directory, compared without case
	Role        policies.Role
	EndedAt     int64 // UTC, microseconds; 0 while the person is in service
	UpdatedAt   int64 // UTC, microseconds
}

// Active reports whether the person is in service.
func (p Person) Active() bool { return p.EndedAt == 0 }

// DisplayName is the name as staff see it: family name first, an ideographic-free single space between.
func (p Person) DisplayName() string {
	if p.GivenName == "" {
		return p.FamilyName
	}
	return p.FamilyName + " " + p.GivenName
}

// Policy gives what policies may read of the person, who belongs to org.
func (p Person) Policy(org Organization) policies.Person {
	return policies.Person{ID: p.ID, Org: org.Policy(), Role: p.Role, Active: p.Active()}
}

// The sentinel errors of the identity packages. Compare with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrRefused  = errors.New("refused by policy")
	ErrExists   = errors.New("exists already")
	ErrNewer    = errors.New("the database was written by a newer version")
	ErrLocked   = errors.New("another hub serves this database")
)
