package connectors

import (
	"context"
	"io"
	"time"
)

// StatusCategory is where a work item stands, whatever its product calls the status.
type StatusCategory string

// The categories of status.
const (
	StatusNew   StatusCategory = "new"
	StatusDoing StatusCategory = "doing"
	StatusDone  StatusCategory = "done"
)

// WorkItem is a request, issue or ticket as the product shows it.
type WorkItem struct {
	ID           string // the vendor's id, for calls
	Key          string // the vendor's readable key, for people
	OwnKey       string // our idempotency key, where the item carries one
	Summary      string
	Description  string // text with light Markdown
	Status       string
	Category     StatusCategory
	Reporter     string // account id
	Participants []string
	Groups       []string // group ids: customer organizations
	Created      time.Time
	Updated      time.Time
	URL          string // for people; empty if the product gives none
}

// WorkItemDraft is a work item to be made.
type WorkItemDraft struct {
	OwnKey       string // required: names the item among ours for ever; letters, digits, ".", "_", "-", at most 120
	Type         string // the product's request type or issue type
	Summary      string
	Description  string   // text with light Markdown
	Reporter     string   // account id of whom it is made for; empty: the hub's own account
	Participants []string // account ids
	Groups       []string // group ids
	// Attempted is when a create with this OwnKey may last have been sent, by whichever node; zero: never, or FindWorkItem has since
	// said KindNotFound. The caller stores the time before each attempt, and gives the one stored before. Until Limits.SearchLag has
	// passed since, a search that finds nothing proves nothing.
	Attempted time.Time
}

// WorkItemQuery restricts a search. At least one field must be set.
type WorkItemQuery struct {
	Category     StatusCategory
	UpdatedSince time.Time // to the minute
	OwnKeys      []string  // at most 50
}

// WorkItemReader finds work items.
type WorkItemReader interface {
	// FindWorkItem looks an item up by our key. KindNotFound: there is none. KindAmbiguous with RetryAfter: it isn't found yet, and
	// since attempted (see WorkItemDraft.Attempted) too little time has passed to conclude that there is none.
	FindWorkItem(ctx context.Context, ownKey string, attempted time.Time) (WorkItem, error)
	// ReadWorkItem reads an item as it is now. It doesn't lag.
	ReadWorkItem(ctx context.Context, id string) (WorkItem, error)
	// SearchWorkItems calls page with each page of items. The search lags by Limits.SearchLag.
	SearchWorkItems(ctx context.Context, q WorkItemQuery, page func([]WorkItem) error) error
}

// WorkItemCreator makes work items, each once.
type WorkItemCreator interface {
	// CreateWorkItem makes the item unless one with its OwnKey is there, which it gives instead. KindAmbiguous: it may have been made;
	// look with FindWorkItem until it is found or KindNotFound, or call again with Attempted set, after RetryAfter or Limits.SearchLag.
	CreateWorkItem(ctx context.Context, draft WorkItemDraft) (WorkItem, error)
}

// Comment is a comment on a work item.
type Comment struct {
	ID       string
	OwnKey   string // our idempotency key; empty on comments that aren't ours
	Author   string // account id
	Body     string // text with light Markdown
	Internal bool   // hidden from customers
	Created  time.Time
}

// Commenter reads and writes comments.
type Commenter interface {
	// AddComment makes the comment (OwnKey, Body, Internal) unless one with its OwnKey is there, which it gives instead. It may be
	// repeated after any error. An internal comment is never made public by accident: where the product can't hide it, it is refused.
	AddComment(ctx context.Context, itemID string, want Comment) (Comment, error)
	// ListComments calls page with each page of comments, oldest first.
	ListComments(ctx context.Context, itemID string, page func([]Comment) error) error
}

// Transitioner moves work items through their workflow.
type Transitioner interface {
	// TransitionWorkItem brings the item to the status of this name, in one step. Being there already is success. KindInvalid: no
	// step leads there from where it is. KindUnavailable: somebody else is changing it; nothing was done.
	TransitionWorkItem(ctx context.Context, itemID, status string) error
}

// SLA is one agreed time of a work item, as the product measures it.
type SLA struct {
	ID        string
	Name      string
	Running   bool      // a measurement goes on
	Paused    bool      // its clock stands still; Due moves on
	Breached  bool      // of the running measurement, or of the last one that ended
	Started   time.Time // of that measurement
	Due       time.Time // when it is missed if nothing pauses from now on
	Remaining time.Duration
}

// SLAReader reads agreed times.
type SLAReader interface {
	ReadSLA(ctx context.Context, itemID string) ([]SLA, error)
}

// ParticipantWriter changes who takes part in a work item. Participants are a set: repeating is success.
type ParticipantWriter interface {
	ListParticipants(ctx context.Context, itemID string) ([]string, error)
	// AddParticipants adds at most Limits.MemberBatch accounts.
	AddParticipants(ctx context.Context, itemID string, accountIDs []string) error
	RemoveParticipants(ctx context.Context, itemID string, accountIDs []string) error
}

// Attachment is a file of a work item.
type Attachment struct {
	ID        string
	Name      string
	MediaType string
	Size      int64
	Author    string // account id
	Created   time.Time
}

// Attacher moves files to and from work items.
type Attacher interface {
	ListAttachments(ctx context.Context, itemID string) ([]Attachment, error)
	// AttachFile uploads content, at most Limits.FileSize octets, shown to customers unless internal. It isn't repeatable: after
	// KindAmbiguous look with ListAttachments.
	AttachFile(ctx context.Context, itemID, name string, content io.Reader, internal bool) (Attachment, error)
	// ReadAttachment gives a file's content, at most Limits.FileSize octets.
	ReadAttachment(ctx context.Context, attachmentID string) ([]byte, error)
}

// WorkItemChange is what a WorkItemEvent tells of.
type WorkItemChange string

// The changes that webhooks tell of.
const (
	WorkItemMade      WorkItemChange = "made"
	WorkItemUpdated   WorkItemChange = "updated"
	WorkItemCommented WorkItemChange = "commented"
)

// WorkItemEvent is a change of a work item. It may come twice, late, out of order, and lack the item: the item is to be read again
// before anything is concluded from it.
type WorkItemEvent struct {
	At       time.Time // when it happened, by the vendor's clock
	Change   WorkItemChange
	ItemID   string // empty where the vendor left it out
	ItemKey  string
	Sequence int64    // orders the changes of one item, where the vendor numbers them; else 0
	Account  string   // who did it
	Comment  *Comment // of WorkItemCommented
	Changes  []FieldChange
}

func (WorkItemEvent) event() {}

// FieldChange is one field of a change.
type FieldChange struct{ Field, From, To string }

// WebhookTarget is where a product is to send its events.
type WebhookTarget struct {
	Name string // names the registration among ours
	URL  string // https; the path holds no secret
}

// WebhookRegistrar registers the hub for events.
type WebhookRegistrar interface {
	// EnsureWebhook makes the registration, or brings the one of this name to target and sets its secret anew. It may be repeated,
	// and is to be repeated before expires, which is zero where registrations don't expire.
	EnsureWebhook(ctx context.Context, target WebhookTarget) (expires time.Time, err error)
	// DropWebhook removes the registration of this name; one that isn't there is success.
	DropWebhook(ctx context.Context, name string) error
}
