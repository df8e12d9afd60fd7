package access

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Leaver says that a person's service ended. It is enqueued in the transaction that ends the person, so that no SaaS keeps
// the account of somebody whom the directory has let go.
type Leaver struct {
	Person policies.PersonID
	At     int64 // UTC, microseconds: when the person was ended
}

// Activation says that something in the directory takes effect at an instant. It tells no more than that, so that the queue gives
// nothing away of what is under embargo.
type Activation struct {
	At int64 // UTC, microseconds
}

// Enqueuer hands work to the durable job engine inside the caller's transaction. sync/dated implements it, with sync/provision for
// leavers; the identity packages know only this interface.
type Enqueuer interface {
	EnqueueLeaver(ctx context.Context, tx *sql.Tx, l Leaver) error
	// EnqueueActivation sees to it that Activate of the directory runs at a.At or soon after. Asking twice for an instant is asking once.
	EnqueueActivation(ctx context.Context, tx *sql.Tx, a Activation) error
	// EnqueueNotice tells the system administrator, once per n.ID.
	EnqueueNotice(ctx context.Context, tx *sql.Tx, n identity.Notice) error
}

// LogoutEnqueuer hands the delivery of a logout to a relying party to the durable job engine, inside the transaction that ends the session.
type LogoutEnqueuer interface {
	// EnqueueLogout sees to it that the issuer delivers its logout with this id soon. Asking twice for an id is asking once.
	EnqueueLogout(ctx context.Context, tx *sql.Tx, id string) error
}
