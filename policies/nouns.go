package policies

// OrgID is an organization's official number: the six-digit 全国地方公共団体コード with its check digit for a local government or
// a ward, the eight-digit 保険者番号 for an insurer (six-digit ones with 00 in front), the 13-digit 法人番号 for everybody else.
type OrgID string

// PersonID is the hub's own opaque id of a person. It never changes and is never given to another person.
type PersonID string

// OrgKind is the kind of an organization.
type OrgKind string

// The kinds of organization that the directory knows.
const (
	KindAgency       OrgKind = "agency"              // the agency that operates the workspace (デジタル庁)
	KindMinistry     OrgKind = "ministry"            // 関連府省庁
	KindIncorporated OrgKind = "incorporated_agency" // 独立行政法人
	KindPrefecture   OrgKind = "prefecture"          // 都道府県
	KindMunicipality OrgKind = "municipality"        // 市町村 and special wards 特別区
	KindWard         OrgKind = "ward"                // 行政区 of a designated city; has no people of its own
	KindUnion        OrgKind = "union"               // 広域連合
	KindInsurer      OrgKind = "insurer"             // 医療保険者
	KindContractor   OrgKind = "contractor"          // 事業者: runs systems of the organizations that it serves
	KindMiddleware   OrgKind = "middleware_operator" // 環境ミドル事業者: runs the exchange network
)

// OrgKinds lists every kind, in the order in which they are shown.
func OrgKinds() []OrgKind {
	return []OrgKind{
		KindAgency, KindMinistry, KindIncorporated, KindPrefecture, KindMunicipality, KindWard,
		KindUnion, KindInsurer, KindContractor, KindMiddleware,
	}
}

// LocalGovernment reports whether organizations of this kind carry a six-digit local government code.
func (k OrgKind) LocalGovernment() bool {
	return k == KindPrefecture || k == KindMunicipality || k == KindWard
}

// Role is what a person may do in the hub.
type Role string

// The roles of the workspace.
const (
	RoleSystemAdministrator Role = "system_administrator" // システム管理者
	RoleAdministrator       Role = "administrator"        // 管理ユーザ
	RoleGeneral             Role = "general"              // 一般ユーザ
)

// Roles lists every role, most privileged first.
func Roles() []Role { return []Role{RoleSystemAdministrator, RoleAdministrator, RoleGeneral} }

// Action is what an actor wants to do to an organization or its data. Its value is the id of the Cedar action entity.
type Action string

// The actions that the schema declares on organizations.
const (
	ActionOrgRead        Action = "org.read"        // see an organization
	ActionOrgWrite       Action = "org.write"       // register or change an organization, its dates and its state of joining
	ActionOrgContact     Action = "org.contact"     // change an organization's duty and night contacts
	ActionServiceWrite   Action = "service.write"   // say which contractors serve an organization, from and to a date
	ActionContactRead    Action = "contact.read"    // find an organization's people: name, section, title, duties, where to reach them
	ActionSelfWrite      Action = "self.write"      // change one's own contact data: a store changes nobody's but the actor's
	ActionPeopleRead     Action = "people.read"     // see an organization's people
	ActionPeopleWrite    Action = "people.write"    // register, change or end an organization's people
	ActionAuditRead      Action = "audit.read"      // see what was done and refused in an organization
	ActionPlanRead       Action = "plan.read"       // see what a plan would do to an organization's accounts
	ActionPlanMake       Action = "plan.make"       // make a plan
	ActionPlanApprove    Action = "plan.approve"    // approve a plan that another person made
	ActionPlanApply      Action = "plan.apply"      // start an approved plan
	ActionJobsRead       Action = "jobs.read"       // see what the hub has to do and what it couldn't: queues and dead letters
	ActionJobsWrite      Action = "jobs.write"      // retry or discard a job
	ActionBreakerRelease Action = "breaker.release" // let go what a tripped breaker holds
	ActionKeyRotate      Action = "key.rotate"      // make the next signing key sign: the keys are the whole workspace's
	ActionPartyRead      Action = "rp.read"         // see how relying parties are registered: the whole workspace's
	ActionPartyWrite     Action = "rp.write"        // register, change or remove a relying party, and its secrets
)

// Actions lists every action on organizations.
func Actions() []Action {
	return []Action{
		ActionOrgRead, ActionOrgWrite, ActionOrgContact, ActionServiceWrite, ActionContactRead, ActionSelfWrite,
		ActionPeopleRead, ActionPeopleWrite, ActionAuditRead,
		ActionPlanRead, ActionPlanMake, ActionPlanApprove, ActionPlanApply, ActionJobsRead, ActionJobsWrite, ActionBreakerRelease, ActionKeyRotate,
		ActionPartyRead, ActionPartyWrite,
	}
}

// Product is a SaaS as the seat policies name it. It is also the path prefix of its sandbox.
type Product string

// The products that have seats today.
const (
	ProductAtlassian Product = "atlassian" // Atlassian organization: licensed members, by SCIM
	ProductJira      Product = "jira"      // Jira Service Management: portal-only customers, by REST
	ProductSlack     Product = "slack"     // Slack organization: members and multi-channel guests, by SCIM
	ProductMail      Product = "mail"      // mail: contacts, who have no account
)

// Products lists every product with accounts, in the order in which they are shown.
func Products() []Product { return []Product{ProductAtlassian, ProductJira, ProductSlack} }

// Reached lists every product with seats: those with accounts, and mail, which reaches people without one.
func Reached() []Product { return append(Products(), ProductMail) }

// Seat is the kind of account that a person holds in a product.
type Seat string

// The seats. SeatNone is the default: nobody has an account unless a policy says so.
const (
	SeatNone           Seat = ""
	SeatLicensedMember Seat = "licensed_member" // pays for a licence
	SeatPortalCustomer Seat = "portal_customer" // free, reaches the customer portal only
	SeatGuest          Seat = "guest"           // an account that reaches only what it is invited to
	SeatContact        Seat = "contact"         // no account: an address that the hub writes to
)

// Seats lists the seats that can be permitted, in the order in which they are asked.
func Seats() []Seat { return []Seat{SeatLicensedMember, SeatPortalCustomer, SeatGuest, SeatContact} }

// Account reports whether the seat is an account in the product.
func (s Seat) Account() bool { return s != SeatNone && s != SeatContact }

// Organization is what policies may read of an organization.
type Organization struct {
	ID     OrgID
	Kind   OrgKind
	Parent OrgID // city of a ward, prefecture of a municipality; empty at the top
}

// MaxRelated bounds each of a person's two sets of organizations. It is more than there are organizations to serve.
const MaxRelated = 8192

// Person is what policies may read of a person at one moment. Org is the organization the person belongs to. The sets are sorted,
// without repetition, and at most MaxRelated long.
type Person struct {
	ID        PersonID
	Org       Organization
	Role      Role
	Active    bool
	Serves    []OrgID // organizations that Org serves as their contractor
	Caretakes []OrgID // organizations that the person administers as their caretaker
}

// Decision is the answer to one question, with the evidence for it.
type Decision struct {
	Allow    bool
	Policies []string // @id of each policy that determined it, sorted; empty for a default deny
	Hash     string   // SHA-256 of the policy set, hex
}

// SeatDecision is the seat that a person shall hold in a product.
type SeatDecision struct {
	Product  Product
	Seat     Seat
	Policies []string // @id of each policy that permits (or forbids) it, sorted
}

// Network is the network from which a person reaches the hub. It is decided from the listener, the TLS connection or a trusted proxy,
// never from what a client says. The zero value is none, and no policy permits it anything.
type Network string

// The networks.
const (
	NetworkInternet   Network = "internet"   // インターネット
	NetworkLGWAN      Network = "lgwan"      // LGWAN: the closed network of local governments
	NetworkGovernment Network = "government" // 政府共通ネットワーク
)

// Networks lists every network, in the order in which they are shown.
func Networks() []Network { return []Network{NetworkInternet, NetworkLGWAN, NetworkGovernment} }

// Assurance is how surely the hub knows who somebody is: the authenticator assurance level of NIST SP 800-63B, and below it the bare
// reading of a card's certificate, which proves the possession of nothing. The zero value is AssuranceNone. Higher is surer.
type Assurance int

// The levels.
const (
	AssuranceNone       Assurance = 0 // nobody is known
	AssuranceIdentifier Assurance = 1 // a card was read and no key was used: an identifier, no proof. Below AAL1
	AssuranceSingle     Assurance = 2 // AAL1: one factor, e.g. a password
	AssuranceTwo        Assurance = 3 // AAL2: two factors
	AssuranceCard       Assurance = 4 // AAL3: a hardware key that its owner's PIN or body unlocked, and no other site can ask for
)

// Assurances lists every level at which somebody is known, lowest first.
func Assurances() []Assurance {
	return []Assurance{AssuranceIdentifier, AssuranceSingle, AssuranceTwo, AssuranceCard}
}

// RelyingPartyID names a relying party of the hub: a SaaS, or the hub's own pages.
type RelyingPartyID string

// Attribute is something about a person that a relying party may be told.
type Attribute string

// The attributes.
const (
	AttributeName         Attribute = "name"         // family and given name, kana, romaji
	AttributeEmail        Attribute = "email"        // the work address
	AttributeOrganization Attribute = "organization" // of the post in which the person acts: number, name, kind
	AttributeSection      Attribute = "section"      // section and title
	AttributeRole         Attribute = "role"         // in the hub
	AttributePhone        Attribute = "phone"        // of the office: phone and extension
)

// Attributes lists every attribute, in the order in which they are shown.
func Attributes() []Attribute {
	return []Attribute{AttributeName, AttributeEmail, AttributeOrganization, AttributeSection, AttributeRole, AttributePhone}
}
