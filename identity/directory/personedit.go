package directory

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// EditPerson changes one person in service (people.write; self.write for the actor's own telephone, extension, fax and absence): edit gets
// the person as they are, inside the transaction, and changes what it wants. What edit leaves as it was makes no change. The person as
// stored is returned.
//
// An organization is changed by a transfer, which has a date, and service is ended by EndPerson: both are refused here.
// ErrLastAdministrator if the new role leaves the organization alone; identity.ErrExists if the new staff number, or the new e-mail address, is somebody else's.
func (s *Store) EditPerson(
	ctx context.Context, scope policies.Scope, id policies.PersonID, by Author, edit func(*identity.Person) error,
) (identity.Person, error) {
	selfOnly := scope.For(policies.ActionSelfWrite) && !scope.For(policies.ActionPeopleWrite)
	if err := permitAuthor(scope, either(selfOnly, policies.ActionSelfWrite, policies.ActionPeopleWrite), by); err != nil {
		return identity.Person{}, err
	}
	if selfOnly && scope.Actor() != id {
		return identity.Person{}, notFound("person", string(id))
	}
	var after identity.Person
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := takeNumbers(ctx, tx, 0); err != nil {
			return err
		}
		if err := s.settle(ctx, tx, id); err != nil {
			return err
		}
		before, err := person(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		if !before.Active() {
			return fmt.Errorf("change person %s: %w", id, ErrEnded)
		}
		after = before
		if err := edit(&after); err != nil {
			return err
		}
		if after == before {
			return nil
		}
		others := after
		others.Phone, others.Extension, others.Fax = before.Phone, before.Extension, before.Fax
		others.AbsentFrom, others.AbsentUntil = before.AbsentFrom, before.AbsentUntil
		if selfOnly && others != before {
			return fmt.Errorf("with %s only one's own contact data changes: %w", policies.ActionSelfWrite, identity.ErrRefused)
		}
		if err := s.checkPersonEdit(ctx, tx, before, &after); err != nil {
			return fmt.Errorf("change person %s: %w", id, err)
		}
		if after.Role != before.Role {
			role := recorded{Transfer: identity.Transfer{Person: id, Kind: identity.TransferRole, From: before.Org, To: before.Org, Role: after.Role, At: s.micros()}}
			if err := s.keepAdministered(ctx, tx, scope, before.Org, []recorded{role}, ""); err != nil {
				return fmt.Errorf("change person %s: %w", id, err)
			}
		}
		base, err := takeNumbers(ctx, tx, 1)
		if err != nil {
			return err
		}
		after.UpdatedAt = s.micros()
		if err := storePerson(ctx, tx, &after, base+1); err != nil {
			return err
		}
		err = appendChange(ctx, tx, Change{
			Number: base + 1, At: after.UpdatedAt, Author: by, Kind: PersonChanged, Org: after.Org, Object: string(id),
			Before: personJSON(&before), After: personJSON(&after),
		})
		if err != nil {
			return err
		}
		if after.Role != before.Role {
			b, err := s.openBook(ctx, tx, by)
			if err != nil {
				return err
			}
			if err := s.closeVacancies(ctx, tx, b, []policies.OrgID{after.Org}); err != nil {
				return err
			}
			if err := b.close(ctx, tx, s.db); err != nil {
				return err
			}
		}
		return s.audit(ctx, tx, by, "person.change", after.Org, string(id), map[string]any{"fields": personDifference(before, after), "feed": base + 1})
	})
	return after, err
}

func (s *Store) checkPersonEdit(ctx context.Context, tx *sql.Tx, before identity.Person, after *identity.Person) error {
	if after.ID != before.ID || after.Org != before.Org || after.EndedAt != before.EndedAt {
		return fmt.Errorf("a person's organization changes by a transfer, and service ends by ending it: %w", identity.ErrRefused)
	}
	if faults := checkPerson(after); faults != nil {
		return faults[0]
	}
	org, err := organization(ctx, tx, after.Org)
	if err != nil {
		return err
	}
	if faults := rank(org.Kind, after); faults != nil {
		return faults[0]
	}
	return taken(ctx, tx, *after)
}

// taken says which key of a person who is there already is somebody else's, if any. It looks beyond the scope, as the keys hold for the
// whole directory, and tells no more than that.
func taken(ctx context.Context, tx *sql.Tx, p identity.Person) error {
	for _, key := range []struct {
		what, where string
		args        []any
	}{
		{"the staff number", "org = $2 AND staff_number = $3", []any{string(p.ID), string(p.Org), p.StaffNumber}},
		{"the e-mail address", "email_key = $2 AND ended_at = 0", []any{string(p.ID), emailKey(p.Email)}},
	} {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+personTable+" WHERE id <> $1 AND "+key.where, key.args...).Scan(&n); err != nil {
			return fmt.Errorf("directory: %w", err)
		}
		if n > 0 {
			return fmt.Errorf("%s is taken: %w", key.what, identity.ErrExists)
		}
	}
	return nil
}

// storePerson writes the person, who is settled and whose keys are free, over what is stored, with the number of the feed row that says so.
func storePerson(ctx context.Context, tx *sql.Tx, p *identity.Person, change int64) error {
	if p.Active() {
		if err := stepAside(ctx, tx, p); err != nil {
			return err
		}
	}
	columns := append(slices.Clone(personData), "email_key", "updated_at", "change")
	values := append(personValues(p), emailKey(p.Email), p.UpdatedAt, change)
	var set []string
	for i, column := range columns[1:] {
		set = append(set, fmt.Sprintf("%s = $%d", column, i+2))
	}
	if _, err := tx.ExecContext(ctx, "UPDATE person SET "+strings.Join(set, ", ")+" WHERE id = $1", values...); err != nil {
		return fmt.Errorf("directory: change person: %w", err)
	}
	return nil
}

// personDifference names the fields in which two states differ, for the audit log: names only, no values.
func personDifference(before, after identity.Person) []string {
	b, a := personValues(&before), personValues(&after)
	var names []string
	for i, column := range personData {
		if b[i] != a[i] {
			names = append(names, column)
		}
	}
	return names
}
