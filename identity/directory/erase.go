package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// ErrInService says that somebody can't be erased because their service hasn't ended.
var ErrInService = errors.New("the person is in service: end the service first")

// erasedName stands where the name of an erased person stood.
const erasedName = "消去済み"

// ErasePerson takes away what the directory knows of a person whose service has ended, beyond their id, organization and dates (people.write):
// names, numbers and addresses, in the record, in posts and transfers, and in every row of the change feed. The rows themselves stay, with
// number, time, author, kind and organization, so that a cursor misses nothing and the history stays whole; the audit log, which holds ids
// alone, isn't touched and still verifies. Erasing is itself a row of both. Erasing twice changes nothing.
//
// ErrInService for somebody in service. Copies that were made before (exports, backups) are beyond it, and so is what the SaaS keep.
func (s *Store) ErasePerson(ctx context.Context, scope policies.Scope, id policies.PersonID, by Author) error {
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return err
	}
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, 0)
		if err != nil {
			return err
		}
		if err := s.settle(ctx, tx, id); err != nil {
			return err
		}
		p, err := person(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		if p.Active() {
			return fmt.Errorf("erase person %s: %w", id, ErrInService)
		}
		erased := identity.Person{
			ID: p.ID, Org: p.Org, StaffNumber: "erased-" + string(p.ID), FamilyName: erasedName, Role: p.Role, EndedAt: p.EndedAt, UpdatedAt: p.UpdatedAt,
		}
		if p == erased {
			return nil
		}
		if _, err := takeNumbers(ctx, tx, 1); err != nil {
			return err
		}
		erased.UpdatedAt = s.micros()
		if err := storePerson(ctx, tx, &erased, base+1); err != nil {
			return err
		}
		if err := eraseTraces(ctx, tx, id); err != nil {
			return fmt.Errorf("erase person %s: %w", id, err)
		}
		err = appendChange(ctx, tx, Change{
			Number: base + 1, At: erased.UpdatedAt, Author: by, Kind: PersonErased, Org: p.Org, Object: string(id), After: personJSON(&erased),
		})
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, by, "person.erase", p.Org, string(id), map[string]any{"feed": base + 1})
	})
}

// eraseTraces empties what else speaks of the person: transfers, posts, and the feed's rows about any of the three.
func eraseTraces(ctx context.Context, tx *sql.Tx, id policies.PersonID) error {
	for _, do := range []string{
		`UPDATE feed SET before_json = CASE before_json WHEN '' THEN '' ELSE '{"erased":true}' END, after_json = CASE after_json WHEN '' THEN '' ELSE '{"erased":true}' END
			WHERE object = $1 AND kind LIKE 'person.%'`,
		`UPDATE feed SET before_json = CASE before_json WHEN '' THEN '' ELSE '{"erased":true}' END, after_json = CASE after_json WHEN '' THEN '' ELSE '{"erased":true}' END
			WHERE kind LIKE 'transfer.%' AND object IN (SELECT id FROM transfer WHERE person = $1)`,
		`UPDATE feed SET before_json = CASE before_json WHEN '' THEN '' ELSE '{"erased":true}' END, after_json = CASE after_json WHEN '' THEN '' ELSE '{"erased":true}' END
			WHERE kind LIKE 'post.%' AND (object IN (SELECT id FROM post WHERE person = $1) OR before_json LIKE '%"' || $1 || '"%' OR after_json LIKE '%"' || $1 || '"%')`,
		`UPDATE transfer SET name = '', staff_number = '', section = '', title = '', duties = '', phone = '', extension = '', fax = '', email = '', staged_json = '' WHERE person = $1`,
		`UPDATE post SET section = '', title = '', duties = '', staff_number = '', phone = '', extension = '', fax = '', email = '' WHERE person = $1`,
	} {
		if _, err := tx.ExecContext(ctx, do, string(id)); err != nil {
			return err
		}
	}
	return nil
}
