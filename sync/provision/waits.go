package provision

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
)

// tellWaits tells the system administrators, in the transaction that stores a plan of a person, that it waits for another one's approval.
func (s *Store) tellWaits(ctx context.Context, tx *sql.Tx, p Plan, hash string) error {
	if s.guard == nil {
		return nil
	}
	now := s.now().UnixMicro()
	gained, lost := 0, 0
	for _, t := range p.Totals {
		gained, lost = gained+t.Created+t.Enabled, lost+t.Disabled
	}
	return s.guard.tell.EnqueueNotice(ctx, tx, identity.Notice{
		ID: fmt.Sprintf("plan %.16s %d", hash, now), At: now, Kind: identity.NoticePlan, Object: hash,
		Detail: fmt.Sprintf("変更 / changes %d, アカウント / accounts +%d -%d", len(p.Objects), gained, lost),
	})
}
