package session

import (
	"context"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Known is a session that stands, with the relying parties that were told of it.
type Known struct {
	Session
	Parties []Party
}

// ListOf gives the sessions of a person that stand, newest first, to who may see the person: scope is for people.read and covers the person's
// organization.
func (s *Store) ListOf(ctx context.Context, scope policies.Scope, person identity.Person, now time.Time) ([]Known, error) {
	if !scope.For(policies.ActionPeopleRead) || !scope.Covers(person.Org) {
		return nil, fmt.Errorf("session: list a person's sessions: %w: it takes %s on the organization", identity.ErrRefused, policies.ActionPeopleRead)
	}
	found, err := s.List(ctx, Session{Person: person.ID}, now)
	if err != nil {
		return nil, err
	}
	all := make([]Known, len(found))
	for i, x := range found {
		all[i].Session = x
		if all[i].Parties, err = partiesOf(ctx, s.db.Reader(), x.ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}
