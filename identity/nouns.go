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
	From      int64          // since when it exists: UTC, microseconds; 0 for always
	Until     int64          // when it ceases or ceased (廃置分合); 0 for never
	Successor policies.OrgID // that takes over at Until; empty for none
	State     Onboarding
	Duty      Contact // 平日・日中の連絡先
	Night     Contact // 夜間・休日の連絡先
	UpdatedAt int64   // UTC, microseconds
}

// Exists reports whether the organization exists at a time (UTC, microseconds): not before From, not from Until on.
func (o Organization) Exists(at int64) bool { return o.From <= at && (o.Until == 0 || at < o.Until) }

// Contact is where an organization is reached. Empty fields are unknown.
type Contact struct {
	Name  string // of a section or a person
	Phone string
	Email string
}

// Onboarding is how far an organization has come in joining the workspace: 1,788 towns do not start on one day.
type Onboarding string

// The states, in their order.
const (
	OnboardingListed    Onboarding = "listed"    // known, nobody asked yet
	OnboardingInvited   Onboarding = "invited"   // its first administrator is invited
	OnboardingConfirmed Onboarding = "confirmed" // the first administrator has confirmed who they are
	OnboardingLinked    Onboarding = "linked"    // its identity provider or cards are linked
	OnboardingLive      Onboarding = "live"      // its people work in the SaaS
)

// Onboardings lists the states in their order.
func Onboardings() []Onboarding {
	return []Onboarding{OnboardingListed, OnboardingInvited, OnboardingConfirmed, OnboardingLinked, OnboardingLive}
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
	FamilyName  string // kanji, as registered: never normalised, variation selectors and compatibility characters stay
	GivenName   string
	FamilyKana  string
	GivenKana   string
	FamilyRomaji,
	GivenRomaji string // Latin letters, as the person writes them
	Email       string // unique in the directory, compared without case; the person's name in every SaaS
	Mailbox     string // where mail to Email really goes when Email is an alias of a shared mailbox; else empty
	Role        policies.Role
	Section     string // 部署
	Title       string // 役職
	Duties      string // 担当業務
	Phone       string
	Extension   string // 内線
	Fax         string
	AbsentFrom  int64 // UTC, microseconds; 0 for no absence
	AbsentUntil int64 // first moment back; 0 with AbsentFrom set: not known
	EndedAt     int64 // UTC, microseconds; 0 while the person is in service
	UpdatedAt   int64 // UTC, microseconds
}

// Absent reports whether the person is away at a time (UTC, microseconds).
func (p Person) Absent(at int64) bool {
	return p.AbsentFrom != 0 && p.AbsentFrom <= at && (p.AbsentUntil == 0 || at < p.AbsentUntil)
}

// PostKind says why somebody holds a post beside the one in Person.
type PostKind string

// The kinds of post.
const (
	PostConcurrent PostKind = "concurrent" // 兼務
	PostHome       PostKind = "home"       // 出向元: the post that a seconded person returns to
	PostHandover   PostKind = "handover"   // 引継ぎ: the former post, kept until a date
)

// Post is a post that a person holds beside the one in Person. Times are UTC in microseconds.
type Post struct {
	ID      string
	Person  policies.PersonID
	Kind    PostKind
	Org     policies.OrgID
	Section string
	Title   string
	Duties  string
	Role    policies.Role
	From    int64
	Until   int64 // 0: until further notice
}

// Service says that a contractor serves an organization. Times are UTC in microseconds.
type Service struct {
	Contractor policies.OrgID
	Org        policies.OrgID
	From       int64
	Until      int64 // 0: until further notice
}

// AppointmentKind is what a person of another organization may be appointed to.
type AppointmentKind string

// The kinds of appointment.
const (
	AppointmentCaretaker AppointmentKind = "caretaker" // 管理代行: administers an organization that has no administrator
	AppointmentApprover  AppointmentKind = "approver"  // 承認代行: the second approver of an organization that has nobody else
)

// Appointment makes a person stand in for an organization. Times are UTC in microseconds.
type Appointment struct {
	Org    policies.OrgID
	Kind   AppointmentKind
	Person policies.PersonID
	From   int64
	Until  int64 // 0: until further notice
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

// Policy gives what policies may read of the person, who belongs to org, but for whom org serves and whom the person takes care of:
// who acts has those from access.Actor, and nobody's seats depend on them.
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
