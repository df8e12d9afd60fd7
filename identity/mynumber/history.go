package mynumber

import (
	"context"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Linked is a card that is or was a person's. Times are UTC in microseconds.
type Linked struct {
	Credential string // 64 hex digits, which tell nobody the card's serial number
	How        string // "first_use", "renewal_record", "renewal_proof"
	LinkedAt   int64
	EndedAt    int64  // 0: it is the person's
	EndedWhy   string // "released", "renewed"
}

// History gives a person's cards, the newest first, to who may see the person: scope is for people.read and covers the person's organization.
func (l *Links) History(ctx context.Context, scope policies.Scope, person identity.Person) (all []Linked, err error) {
	if !scope.For(policies.ActionPeopleRead) || !scope.Covers(person.Org) {
		return nil, fmt.Errorf("mynumber: cards of a person: %w: it takes %s on the organization", identity.ErrRefused, policies.ActionPeopleRead)
	}
	rows, err := l.db.Reader().QueryContext(ctx, `SELECT credential, how, linked_at, ended_at, ended_why FROM card_link WHERE person_id = $1
		ORDER BY linked_at DESC, id`, string(person.ID))
	if err != nil {
		return nil, fmt.Errorf("mynumber: card links: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var x Linked
		if err := rows.Scan(&x.Credential, &x.How, &x.LinkedAt, &x.EndedAt, &x.EndedWhy); err != nil {
			return nil, fmt.Errorf("mynumber: card links: %w", err)
		}
		all = append(all, x)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("mynumber: card links: %w", err)
	}
	return all, nil
}
