package connectors

import (
	"context"
	"time"
)

// Account is a person's account in a SaaS. Fields that a product doesn't have stay empty.
type Account struct {
	ID           string // the vendor's id; empty before it was made
	Key          string // our idempotency key, carried by the vendor where it can (SCIM externalId); empty if it can't
	JoinID       string // the vendor's id of the same account in its other products, e.g. Atlassian's account id
	Email        string
	UserName     string
	DisplayName  string
	FamilyName   string
	GivenName    string
	Title        string
	Organization string
	Department   string
	Language     string // BCP 47
	TimeZone     string // IANA
	Active       bool
}

// Group is a set of accounts in a SaaS: a SCIM group, a JSM customer organization.
type Group struct {
	ID   string // the vendor's id
	Name string // unique within the product by our own naming
}

// Connector is what every connector is. What it can do is told by the capability interfaces that it also implements.
type Connector interface {
	// Describe gives the connector's fixed facts. It touches no network.
	Describe() Description
}

// AccountReader finds accounts.
type AccountReader interface {
	// FindAccount looks an account up by Key where the vendor carries it, else by user name or e-mail (of want).
	// It returns KindNotFound where there is none. The answer may be stale by up to Limits.Staleness.
	FindAccount(ctx context.Context, want Account) (Account, error)
	// ListAccounts calls page with each page of accounts, in the vendor's order.
	ListAccounts(ctx context.Context, page func([]Account) error) error
}

// AccountWriter makes and changes accounts.
type AccountWriter interface {
	// CreateAccount makes the account. KindConflict: one with this key exists. KindAmbiguous: look it up before trying again.
	CreateAccount(ctx context.Context, want Account) (Account, error)
	// UpdateAccount brings the account with want.ID to want. It is idempotent.
	UpdateAccount(ctx context.Context, want Account) (Account, error)
	// DisableAccount ends the account's access. It is idempotent; an account that is gone counts as disabled.
	DisableAccount(ctx context.Context, id string) error
}

// GroupReader finds groups and their members.
type GroupReader interface {
	// FindGroup looks a group up by its Name. KindNotFound where there is none. May be stale like FindAccount.
	FindGroup(ctx context.Context, name string) (Group, error)
	// ListGroups calls page with each page of groups.
	ListGroups(ctx context.Context, page func([]Group) error) error
	// ListMembers calls page with each page of account ids.
	ListMembers(ctx context.Context, groupID string, page func([]string) error) error
}

// GroupWriter makes groups and changes their members. Adding a member who is in, or removing one who isn't, succeeds.
type GroupWriter interface {
	CreateGroup(ctx context.Context, want Group) (Group, error)
	// AddMembers adds at most Limits.MemberBatch accounts.
	AddMembers(ctx context.Context, groupID string, accountIDs []string) error
	// RemoveMembers removes exactly the accounts named, at most Limits.MemberBatch.
	RemoveMembers(ctx context.Context, groupID string, accountIDs []string) error
}

// Reach says how a product can be reached from LGWAN.
type Reach string

// The ways from LGWAN to a product.
const (
	ReachDirect Reach = "direct"
	ReachRelay  Reach = "relay"
	ReachNo     Reach = "no"
)

// Description is a connector's fixed facts, shown in the catalog.
type Description struct {
	Name       string // registration name and sandbox prefix: "atlassian", "jira"
	Vendor     string
	Product    string
	DataRegion string // where the vendor keeps the data, as configured with it
	ISMAP      string // "registered", "not registered", "unknown"
	LGWAN      Reach
	Limits     Limits
	Absent     []Absence // what the product is known to have and this connector doesn't, with the reason
}

// Limits are the vendor's bounds that a caller must keep.
type Limits struct {
	MemberBatch int           // members per AddMembers or RemoveMembers call
	Staleness   time.Duration // how long a look-up may miss what was just written
	SearchLag   time.Duration // how long a search for work items may miss what was just written
	FileSize    int64         // octets of an attachment
	Budgets     []Budget      // quota classes that the connector reserves from
}

// Class names a quota bucket: "jira.post", "atlassian.scim".
type Class string

// Budget is the vendor's quota of one class: Rate tokens a second, at most Burst at once.
type Budget struct {
	Class Class
	Rate  float64
	Burst int
}

// Quota hands out the vendor's quota. Implemented by sync/quota on the shared database, so that all nodes keep one budget.
type Quota interface {
	// Reserve takes n tokens of class. It waits a short bounded time; past that it returns an *Error of KindThrottled whose
	// RetryAfter says when the tokens will be there. Urgent work (WithUrgent) may use the reserve kept for leavers.
	Reserve(ctx context.Context, class Class, n int) error
}

type urgentKey struct{}

// WithUrgent marks ctx as work for a leaver, which may use the part of the burst that is kept for leavers.
func WithUrgent(ctx context.Context) context.Context {
	return context.WithValue(ctx, urgentKey{}, true)
}

// Urgent reports whether ctx was marked by WithUrgent.
func Urgent(ctx context.Context) bool { v, _ := ctx.Value(urgentKey{}).(bool); return v }
