package access

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/policies"
)

// Leaver says that a person's service ended. It is enqueued in the transaction that ends the person, so that no SaaS keeps
// the account of somebody whom the directory has let go.
type Leaver struct {
	Person policies.PersonID
	At     int64 // UTC, microseconds: when the person was ended
}

// Enqueuer hands work to the durable job engine inside the caller's transaction. sync/jobs and sync/provision implement it; the
// identity packages know only this interface.
type Enqueuer interface {
	EnqueueLeaver(ctx context.Context, tx *sql.Tx, l Leaver) error
}
