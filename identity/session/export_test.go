package session

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity/access"
)

// EndThis ends a session as it was read, whatever has happened to it since.
func (s *Store) EndThis(ctx context.Context, tx *sql.Tx, x Session, at int64) error {
	return s.end(ctx, tx, access.Actor{}, x, WhyLogout, at)
}
