package invitation

import (
	"context"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// State is where an invitation stands.
type State string

// The states.
const (
	StateOpen    State = "open"
	StateUsed    State = "used"
	StateVoided  State = "voided" // by a newer one
	StateExpired State = "expired"
	StateSpoiled State = "spoiled" // too many wrong codes
)

// Record is what is known of an invitation. Times are UTC in microseconds.
type Record struct {
	ID        string
	Person    policies.PersonID
	Org       policies.OrgID
	CreatedAt int64
	ExpiresAt int64
	Tries     int // of codes
	UsedAt    int64
	VoidedAt  int64
}

// State tells where it stands at a time.
func (r Record) State(now time.Time) State {
	switch {
	case r.UsedAt != 0:
		return StateUsed
	case r.VoidedAt != 0:
		return StateVoided
	case r.ExpiresAt <= now.UnixMicro():
		return StateExpired
	case r.Tries >= MaxTries:
		return StateSpoiled
	}
	return StateOpen
}

// MaxList is the longest list.
const MaxList = 1000

// List gives invitations inside the scope (people.read), newest first, at most limit. org narrows them; empty for all.
func (s *Store) List(ctx context.Context, scope policies.Scope, org policies.OrgID, limit int) (all []Record, err error) {
	if !scope.For(policies.ActionPeopleRead) {
		return nil, fmt.Errorf("invitations: %w: it takes %s", identity.ErrRefused, policies.ActionPeopleRead)
	}
	if limit < 1 || limit > MaxList {
		return nil, fmt.Errorf("invitations: a list of %d: want 1 to %d", limit, MaxList)
	}
	within, args := scope.Where("org", 1)
	if org != "" {
		args = append(args, string(org))
		within += fmt.Sprintf(" AND org = $%d", len(args))
	}
	args = append(args, limit)
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT id, person_id, org, created_at, expires_at, tries, used_at, voided_at FROM invitation
		WHERE `+within+fmt.Sprintf(` ORDER BY created_at DESC, id LIMIT $%d`, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("invitations: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Record
		if err := rows.Scan(&r.ID, &r.Person, &r.Org, &r.CreatedAt, &r.ExpiresAt, &r.Tries, &r.UsedAt, &r.VoidedAt); err != nil {
			return nil, fmt.Errorf("invitations: %w", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("invitations: %w", err)
	}
	return all, nil
}
