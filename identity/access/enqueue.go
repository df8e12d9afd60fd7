package access

import (
	"context"
	"database/sql"
	"errors"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Leaver says that a person's service ended. It is enqueued in the transaction that ends the person, so that no SaaS keeps
// the account of somebody whom the directory has let go.
type Leaver struct {
	Person policies.PersonID
	At     int64         // UTC, microseconds: when the person was ended
	Role   policies.Role // that the person had: the more it may do, the sooner its accounts are ended
	Origin Origin
}

// Origin says which change ended a person. Whoever ends accounts tells a single leaver from a file that ends hundreds by it.
type Origin struct {
	Source     string            // as in the feed: "cli", "import people.csv", "scim", "transfer"
	Actor      policies.PersonID // who made the change; empty for the hub itself
	At         int64             // UTC, microseconds: when the change was made, the same for all whom it ended
	Alone      bool              // a person recorded this one leaver
	RecordedAt int64             // UTC, microseconds: when it was recorded as a transfer with a date; 0: it wasn't
}

// Activation says that something in the directory takes effect at an instant. It tells no more than that, so that the queue gives
// nothing away of what is under embargo.
type Activation struct {
	At int64 // UTC, microseconds
}

// Enqueuer hands work to the durable job engine inside the caller's transaction. sync/dated implements it, with sync/provision for
// leavers; the identity packages know only this interface.
type Enqueuer interface {
	// EnqueueLeaver hands over people whom one transaction ends.
	EnqueueLeaver(ctx context.Context, tx *sql.Tx, l ...Leaver) error
	// EnqueueActivation sees to it that Activate of the directory runs at a.At or soon after. Asking twice for an instant is asking once.
	EnqueueActivation(ctx context.Context, tx *sql.Tx, a Activation) error
	// EnqueueNotice tells the system administrator, once per n.ID.
	EnqueueNotice(ctx context.Context, tx *sql.Tx, n identity.Notice) error
}

// ErrUndelivered is wrapped by an issuer's error that says that a relying party didn't take a logout and that trying again may help.
var ErrUndelivered = errors.New("the logout wasn't delivered")

// LogoutEnqueuer hands the delivery of a logout to a relying party to the durable job engine, inside the transaction that ends the session.
type LogoutEnqueuer interface {
	// EnqueueLogout sees to it that the issuer delivers its logout with this id soon. Asking twice for an id is asking once.
	EnqueueLogout(ctx context.Context, tx *sql.Tx, id string) error
}
