package mynumber

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/policies"
)

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Link is whose a card is or was. Times are UTC in microseconds.
type Link struct {
	Credential string
	At         int64
	Ended      int64 // 0 while it stands
}

// LatestLink gives the person's link that stands, or else the newest that ended; the zero Link where there never was one. It tells what is known
// of a person and proves nothing, so that it needs no key.
func LatestLink(ctx context.Context, q Querier, person policies.PersonID) (l Link, err error) {
	err = q.QueryRowContext(ctx, `SELECT credential, linked_at, ended_at FROM card_link WHERE person_id = $1
		ORDER BY CASE WHEN ended_at = 0 THEN 0 ELSE 1 END, ended_at DESC, id LIMIT 1`, string(person)).Scan(&l.Credential, &l.At, &l.Ended)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Link{}, fmt.Errorf("mynumber: card links: %w", err)
	}
	return l, nil
}
