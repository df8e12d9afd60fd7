package directory

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// These reads the people named who are inside the scope (people.read), those whose service has ended too, ordered by id: at most MaxPage.
// Somebody outside it is left out, like somebody who doesn't exist.
func (s *Store) These(ctx context.Context, scope policies.Scope, people ...policies.PersonID) ([]identity.Person, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return nil, err
	}
	q := sqlText(personSelect)
	anyOf(q, "p.id", people[:min(len(people), MaxPage)])
	q.within(scope, "p.org")
	q.page("p.id", 0)
	var list []identity.Person
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		p, err := scanPerson(rows)
		list = append(list, p)
		return err
	})
	return list, err
}
