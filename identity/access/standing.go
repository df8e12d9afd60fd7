package access

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// Standing tells whether the credential with this public id still stands for the person: nil, or one of the reasons for refusing
// a credential. It is for a session that was begun with the credential and must not outlive it; it authenticates nobody.
func Standing(ctx context.Context, db Querier, credential string, person policies.PersonID, now time.Time) error {
	var holder string
	var expiresAt, revokedAt int64
	err := db.QueryRowContext(ctx, `SELECT person_id, expires_at, revoked_at FROM access_credential WHERE id = $1`, credential).
		Scan(&holder, &expiresAt, &revokedAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrCredentialUnknown
	case err != nil:
		return fmt.Errorf("check the credential: %w", err)
	case holder != string(person):
		return ErrCredentialUnknown
	case revokedAt != 0:
		return fmt.Errorf("%w (%s)", ErrCredentialRevoked, jst(revokedAt))
	case now.UnixMicro() >= expiresAt:
		return fmt.Errorf("%w (%s)", ErrCredentialExpired, jst(expiresAt))
	}
	return nil
}
