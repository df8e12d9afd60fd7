package directory

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/policies"
)

// Counts are the sizes of the directory inside a scope.
type Counts struct {
	Organizations int // without wards
	Wards         int
	People        int // in service
	Ended         int // people whose service has ended
	PerKind       map[policies.OrgKind]int
}

// Counts counts inside the scope. A scope for org.read counts organizations, one for people.read people; a system scope both.
func (s *Store) Counts(ctx context.Context, scope policies.Scope) (Counts, error) {
	c := Counts{PerKind: map[policies.OrgKind]int{}}
	orgs, people := scope.For(policies.ActionOrgRead), scope.For(policies.ActionPeopleRead)
	if !orgs && !people {
		return c, permit(scope, policies.ActionOrgRead)
	}
	if orgs {
		q := sqlText("SELECT kind, COUNT(*) FROM org WHERE 1=1")
		q.within(scope, "id")
		q.text.WriteString(" GROUP BY kind")
		err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
			var kind string
			var n int
			if err := rows.Scan(&kind, &n); err != nil {
				return fmt.Errorf("directory: count organizations: %w", err)
			}
			k := policies.OrgKind(kind)
			c.PerKind[k] = n
			if k == policies.KindWard {
				c.Wards = n
			} else {
				c.Organizations += n
			}
			return nil
		})
		if err != nil {
			return c, err
		}
	}
	if people {
		q := sqlText("SELECT COUNT(CASE WHEN ended_at = 0 THEN 1 END), COUNT(CASE WHEN ended_at <> 0 THEN 1 END) FROM " + personTable + " WHERE 1=1")
		q.within(scope, "org")
		err := s.db.Reader().QueryRowContext(ctx, q.text.String(), q.args...).Scan(&c.People, &c.Ended)
		if err != nil {
			return c, fmt.Errorf("directory: count people: %w", err)
		}
	}
	return c, nil
}

// PeoplePerOrg counts the people in service of each organization inside the scope (people.read). Organizations without people are
// left out.
func (s *Store) PeoplePerOrg(ctx context.Context, scope policies.Scope) (map[policies.OrgID]int, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return nil, err
	}
	counts := map[policies.OrgID]int{}
	q := sqlText("SELECT org, COUNT(*) FROM " + personTable + " WHERE ended_at = 0")
	q.within(scope, "org")
	q.text.WriteString(" GROUP BY org")
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var org string
		var n int
		if err := rows.Scan(&org, &n); err != nil {
			return fmt.Errorf("directory: count people: %w", err)
		}
		counts[policies.OrgID(org)] = n
		return nil
	})
	return counts, err
}
