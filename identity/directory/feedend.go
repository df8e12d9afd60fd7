package directory

import (
	"context"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/policies"
)

// LastChange is the number of the newest change inside the scope (org.read or people.read), 0 for none: where to follow Changes from, for
// who reads the directory itself after asking. It counts what the scope sees, and of transfers nothing, as one may be under embargo.
func (s *Store) LastChange(ctx context.Context, scope policies.Scope) (int64, error) {
	kinds, _, err := feedKinds(scope)
	if err != nil {
		return 0, err
	}
	q := sqlText("SELECT COALESCE(MAX(number), 0) FROM feed_now WHERE 1=1")
	q.within(scope, "org")
	q.and("kind IN (?"+strings.Repeat(",?", len(kinds)-1)+")", kinds...)
	var number int64
	if err := s.db.Reader().QueryRowContext(ctx, q.text.String(), q.args...).Scan(&number); err != nil {
		return 0, fmt.Errorf("directory: read feed: %w", err)
	}
	return number, nil
}
