package password

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

// Until tells until when (UTC, microseconds) a person has a password of the kind; 0 where there is none. It says nothing of the password.
func Until(ctx context.Context, q Querier, person policies.PersonID, kind Kind) (at int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT expires_at FROM password_account WHERE person_id = $1 AND kind = $2`, string(person), string(kind)).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("password: read: %w", err)
	}
	return at, nil
}
