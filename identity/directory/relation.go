package directory

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
)

// Relations tells which organizations the person's own serves as a contractor, and which ones the person is caretaker of, now: both
// sides exist, and the day lies in the service or appointment. Each list is ordered by id. org is the person's own. Like Actor, and
// for the same reason, it takes no scope: the answer goes to the policy engine, never to a page.
func (s *Store) Relations(ctx context.Context, p identity.Person, org identity.Organization) (r access.Relations, err error) {
	now := s.micros()
	if !org.Exists(now) {
		return r, nil
	}
	if org.Kind == policies.KindContractor {
		if r.Serves, err = s.related(ctx, "SELECT org FROM service WHERE contractor = ?", string(org.ID), now); err != nil {
			return access.Relations{}, fmt.Errorf("whom %s serves: %w", org.ID, err)
		}
	}
	r.Caretakes, err = s.related(ctx, "SELECT org FROM appointment WHERE kind = '"+string(identity.AppointmentCaretaker)+"' AND person = ?", string(p.ID), now)
	if err != nil {
		return access.Relations{}, fmt.Errorf("whom person %s takes care of: %w", p.ID, err)
	}
	return r, nil
}

// related gives the organizations that exist and that the query, which has one argument, names by a row that is in force.
func (s *Store) related(ctx context.Context, query, argument string, now int64) ([]identity.Organization, error) {
	q := sqlText(orgSelect)
	q.and("id IN ("+query+" AND valid_from <= ? AND (valid_until = 0 OR valid_until > ?))", storable(argument), now, now)
	q.and("valid_from <= ?", now)
	q.and("(valid_until = 0 OR valid_until > ?)", now)
	q.page("id", policies.MaxRelated+1)
	var list []identity.Organization
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		o, err := scanOrganization(rows)
		list = append(list, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(list) > policies.MaxRelated {
		return nil, fmt.Errorf("directory: more than %d organizations", policies.MaxRelated)
	}
	return list, nil
}
