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

	// What a seconded person gets back on returning; empty for other kinds.
	StaffNumber, Phone, Extension, Fax, Email string
}

// TransferID names a transfer. It says nothing of the person or the organizations.
type TransferID string

// TransferKind is what happens to a person on a date.
type TransferKind string

// The kinds of transfer.
const (
	TransferMove       TransferKind = "move"       // 異動: to another organization, or another section or title of the same
	TransferSecond     TransferKind = "second"     // 出向: to another organization, keeping the home post
	TransferReturn     TransferKind = "return"     // 復帰: back to the home post
	TransferConcurrent TransferKind = "concurrent" // 兼務: a post beside the main one
	TransferRelease    TransferKind = "release"    // 兼務解除: the end of such a post
	TransferRole       TransferKind = "role"       // 権限変更
	TransferLeave      TransferKind = "leave"      // 退職
)

// TransferKinds lists every kind, in the order in which they are shown.
func TransferKinds() []TransferKind {
	return []TransferKind{TransferMove, TransferSecond, TransferReturn, TransferConcurrent, TransferRelease, TransferRole, TransferLeave}
}

// TransferState is where a transfer stands.
type TransferState string

// The states. A transfer takes effect exactly once: planned -> done.
const (
	TransferPlanned   TransferState = "planned"
	TransferDone      TransferState = "done"
	TransferCancelled TransferState = "cancelled"
	TransferBlocked   TransferState = "blocked" // its date came and it could not take effect, for Transfer.Reason; nothing of it happened
)

// TransferStates lists every state.
func TransferStates() []TransferState {
	return []TransferState{TransferPlanned, TransferDone, TransferCancelled, TransferBlocked}
}

// TransferReason is why a transfer was blocked, or was cancelled by the hub.
type TransferReason string

// The reasons.
const (
	ReasonNotAccepted  TransferReason = "not_accepted"       // the receiving organization hasn't accepted it; accepting it still takes effect
	ReasonEnded        TransferReason = "person_ended"       // the person's service has ended
	ReasonElsewhere    TransferReason = "person_elsewhere"   // the person isn't in the organization that was recorded
	ReasonStaffNumber  TransferReason = "staff_number_taken" // somebody else has the staff number
	ReasonEmail        TransferReason = "email_taken"        // somebody else in service has the e-mail address
	ReasonOrganization TransferReason = "organization_gone"  // the receiving organization doesn't exist on that date
	ReasonRank         TransferReason = "role_not_allowed"   // the receiving organization can't have such a person
	ReasonOvertaken    TransferReason = "overtaken"          // a transfer of a later date took effect before this one was recorded
	ReasonNoPost       TransferReason = "no_post"            // there is no such post to return to or to be released from
)

// Transfer is a dated change of a person's post. Times are UTC in microseconds; a date in Japan begins at 00:00 JST.
type Transfer struct {
	ID     TransferID
	Person policies.PersonID
	Name   string // the person's display name when it was recorded
	Kind   TransferKind
	From   policies.OrgID // the person's organization before it, as recorded
	To     policies.OrgID // the organization after it; of the post for TransferConcurrent and TransferRelease

	// The person after it. Inside one organization, what is empty stays. In another organization the role becomes general and the rest
	// empty, but for the e-mail address, which stays.
	StaffNumber, Section, Title, Duties, Phone, Extension, Fax, Email string
	Role                                                              policies.Role

	At            int64               // when it takes effect
	ReturnAt      int64               // TransferSecond: when the person comes back; 0: not known
	HandoverUntil int64               // the former post is kept until then 引継ぎ; 0: it isn't
	Successor     policies.PersonID   // of the organization From: becomes administrator at At
	Embargo       bool                // 内示: until At only Named see it
	Named         []policies.PersonID // who see it under embargo, and who recorded it
	AcceptedBy    policies.PersonID   // for the receiving organization
	AcceptedAt    int64               // 0: not accepted yet
	RecordedBy    policies.PersonID
	RecordedAt    int64
	Why           string
	Source        string
	State         TransferState
	Reason        TransferReason
	Late          bool  // recorded after its date
	SettledAt     int64 // when it was done, cancelled or blocked; 0 while planned
}

// Crosses reports whether the transfer concerns two organizations.
func (t Transfer) Crosses() bool { return t.From != t.To }

// Embargoed reports whether only the named people may know of the transfer at a time (UTC, microseconds). What was cancelled before it
// was announced is never announced.
func (t Transfer) Embargoed(at int64) bool {
	return t.Embargo && (at < t.At || t.State == TransferCancelled)
}

// Vacancy says that an organization has too few administrators. Times are UTC in microseconds.
type Vacancy struct {
	Org   policies.OrgID
	Since int64
	Cause string // what took the last one away: "transfer ID", "end ID", "appointment ID"
}

// Notice is what the hub tells the system administrator.
type Notice struct {
	ID     string
	At     int64 // UTC, microseconds
	Kind   string
	Org    policies.OrgID
	Object string // id of what it is about
	Detail string // a word that makes it understandable: a reason, a cause
}

// The kinds of notice.
const (
	NoticeVacancy = "administrator.vacant" // an organization has too few administrators
	NoticeBlocked = "transfer.blocked"     // a transfer could not take effect
	NoticeBreaker = "breaker.tripped"      // a breaker has tripped and holds what would be taken away
	NoticePlan    = "plan.waits"           // a plan that the hub made waits for a person's approval

	NoticeBreakGlass = "break_glass.used" // somebody logged in by a sealed account

	NoticeMetadata      = "rp.metadata.waits" // what a provider's metadata would change waits for a person
	NoticeMetadataFails = "rp.metadata.fails" // a provider's metadata hasn't been read for days
	NoticeExpires       = "rp.expires"        // a provider's certificate or metadata ends soon
	NoticeKeyEnds       = "key.ends"          // a certificate of a signing key ends; the detail is in how many days at most, 0: it has
)

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
