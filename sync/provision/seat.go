package provision

import (
	"context"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// maxSeatPeople bounds one question to SeatsOfPeople: a page of people.
const maxSeatPeople = 1000

// PersonSeat is what the ledger knows of one person's account in one product.
type PersonSeat struct {
	Product   policies.Product
	Seat      policies.Seat
	State     AccountState
	Leaving   bool // the person has left, and ending this account isn't done yet
	UpdatedAt time.Time
}

// SeatsOfPeople tells the accounts of the people named, at most 1,000, in the organizations of the scope (people.read), by product. Somebody
// outside the scope, or without an account, is left out.
func (s *Store) SeatsOfPeople(ctx context.Context, scope policies.Scope, people []policies.PersonID) (map[policies.PersonID][]PersonSeat, error) {
	if !scope.For(policies.ActionPeopleRead) {
		return nil, fmt.Errorf("seats of people: %w", identity.ErrRefused)
	}
	if len(people) > maxSeatPeople {
		return nil, fmt.Errorf("seats of people: asked for %d people; at most %d at once", len(people), maxSeatPeople)
	}
	out := map[policies.PersonID][]PersonSeat{}
	if len(people) == 0 {
		return out, nil
	}
	in, args := placeholders(people, 1)
	where, more := scope.Where("a.org_id", len(args)+1)
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT a.person_id, a.product, a.seat, a.state, a.updated_at,
		CASE WHEN EXISTS (SELECT 1 FROM provision_leaver l WHERE l.product=a.product AND l.person_id=a.person_id AND l.state <> 'done') THEN 1 ELSE 0 END
		FROM provision_account a WHERE a.person_id IN (`+in+`) AND `+where+` ORDER BY a.person_id, a.product`, append(args, more...)...)
	if err != nil {
		return nil, fmt.Errorf("seats of people: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var person policies.PersonID
		var seat PersonSeat
		var updated int64
		var leaving int
		if err := rows.Scan(&person, &seat.Product, &seat.Seat, &seat.State, &updated, &leaving); err != nil {
			return nil, fmt.Errorf("seats of people: %w", err)
		}
		seat.UpdatedAt, seat.Leaving = at(updated), leaving == 1
		out[person] = append(out[person], seat)
	}
	return out, rows.Err()
}
