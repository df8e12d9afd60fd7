package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
)

// AddPerson registers one person (people.write) and returns the person as stored. An empty ID is given one. identity.ErrExists if the
// id or the staff number is taken, or the e-mail address by somebody in service.
func (s *Store) AddPerson(ctx context.Context, scope policies.Scope, p identity.Person, by Author) (identity.Person, error) {
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return identity.Person{}, err
	}
	if faults := checkPerson(&p); faults != nil {
		return identity.Person{}, fmt.Errorf("add person: %w", faults[0])
	}
	if !scope.Covers(p.Org) {
		return identity.Person{}, fmt.Errorf("add person to organization %s: outside the scope: %w", p.Org, identity.ErrRefused)
	}
	if p.ID == "" {
		p.ID = s.newID()
	}
	p.EndedAt, p.UpdatedAt = 0, s.micros()
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, 1)
		if err != nil {
			return err
		}
		org, err := organization(ctx, tx, p.Org)
		if err != nil {
			return err
		}
		if faults := rank(org.Kind, &p); faults != nil {
			return fmt.Errorf("add person: %w", faults[0])
		}
		if err := vacant(ctx, tx, p); err != nil {
			return err
		}
		columns := append(slices.Clone(personData), "email_key", "updated_at", "change")
		values := append(personValues(&p), emailKey(p.Email), p.UpdatedAt, base+1)
		_, err = tx.ExecContext(ctx, "INSERT INTO person ("+strings.Join(columns, ", ")+") VALUES ("+placeholders(1, len(values))+")", values...)
		if err != nil {
			return fmt.Errorf("add person: %w", err)
		}
		err = appendChange(ctx, tx, Change{
			Number: base + 1, At: p.UpdatedAt, Author: by, Kind: PersonAdded, Org: p.Org, Object: string(p.ID), After: personJSON(&p),
		})
		if err != nil {
			return err
		}
		if err := s.audit(ctx, tx, by, "person.add", p.Org, string(p.ID), map[string]any{"role": string(p.Role), "feed": base + 1}); err != nil || p.Role == policies.RoleGeneral {
			return err
		}
		b, err := s.openBook(ctx, tx, by)
		if err != nil {
			return err
		}
		if err := s.closeVacancies(ctx, tx, b, []policies.OrgID{p.Org}); err != nil {
			return err
		}
		return b.close(ctx, tx, s.db)
	})
	if err != nil {
		return identity.Person{}, err
	}
	return p, nil
}

// vacant says which of a new person's keys is taken, if any. It looks beyond the scope, as the keys hold for the whole
// directory, and tells no more than that.
func vacant(ctx context.Context, tx *sql.Tx, p identity.Person) error {
	for _, taken := range []struct {
		what, where string
		args        []any
	}{
		{"the id", "id = $1", []any{string(p.ID)}},
		{"the staff number", "org = $1 AND staff_number = $2", []any{string(p.Org), p.StaffNumber}},
		{"the e-mail address", "email_key = $1 AND ended_at = 0", []any{emailKey(p.Email)}},
	} {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+personTable+" WHERE "+taken.where, taken.args...).Scan(&n); err != nil {
			return fmt.Errorf("add person: %w", err)
		}
		if n > 0 {
			return fmt.Errorf("add person: %s is taken: %w", taken.what, identity.ErrExists)
		}
	}
	return stepAside(ctx, tx, &p)
}

// EndPerson ends a person's service now (people.write): the person, the feed row and the leaver's job are one transaction, so no
// account outlives it unnoticed. Their planned transfers, posts and appointments end with it, and an organization that loses its last
// administrator is flagged vacant: a leaver is never refused. Ending somebody twice changes nothing and returns ErrEnded.
func (s *Store) EndPerson(ctx context.Context, scope policies.Scope, id policies.PersonID, by Author) error {
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return err
	}
	if s.enqueuer == nil {
		return errors.New("directory: end person: this process has no job queue to hand the leaver to")
	}
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, 1)
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
		if !p.Active() {
			return fmt.Errorf("end person %s: %w", id, ErrEnded)
		}
		before := personJSON(&p)
		p.EndedAt = s.micros()
		p.UpdatedAt = p.EndedAt
		_, err = tx.ExecContext(ctx, "UPDATE person SET ended_at = $1, updated_at = $1, change = $2 WHERE id = $3", p.EndedAt, base+1, string(p.ID))
		if err != nil {
			return fmt.Errorf("end person: %w", err)
		}
		err = appendChange(ctx, tx, Change{
			Number: base + 1, At: p.EndedAt, Author: by, Kind: PersonEnded, Org: p.Org, Object: string(p.ID),
			Before: before, After: personJSON(&p),
		})
		if err != nil {
			return err
		}
		b, err := s.openBook(ctx, tx, by)
		if err != nil {
			return err
		}
		var watch []policies.OrgID
		if p.Role != policies.RoleGeneral {
			watch = append(watch, p.Org)
		}
		origin := access.Origin{Source: by.Source, Actor: by.Actor, At: p.EndedAt, Alone: by.Source != SourceInbound}
		if err := s.wind(ctx, tx, b, []identity.Person{p}, func(policies.PersonID) access.Origin { return origin }, func(org policies.OrgID, _ string, _ int64) { watch = append(watch, org) }); err != nil {
			return err
		}
		if err := s.watchAdministrators(ctx, tx, b, unique(watch), "end "+string(p.ID), p.EndedAt); err != nil {
			return err
		}
		if err := b.close(ctx, tx, s.db); err != nil {
			return err
		}
		return s.audit(ctx, tx, by, "person.end", p.Org, string(p.ID), map[string]any{"feed": base + 1})
	})
}
