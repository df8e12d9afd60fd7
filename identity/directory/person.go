package directory

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// PeopleFilter narrows a list of people. The zero filter is the first page of everybody in service.
type PeopleFilter struct {
	Org          policies.OrgID    // empty: every organization of the scope
	Query        string            // part of the name or kana, or the beginning of the e-mail address or staff number
	IncludeEnded bool              // also people whose service has ended
	After        policies.PersonID // the last person of the page before
	Limit        int               // 0: DefaultPage; at most MaxPage
}

// People lists people inside the scope (people.read), ordered by organization and staff number.
func (s *Store) People(ctx context.Context, scope policies.Scope, filter PeopleFilter) ([]identity.Person, error) {
	var list []identity.Person
	q, err := filter.query(scope)
	if err != nil {
		return nil, err
	}
	q.page("p.org, p.staff_number", pageSize(filter.Limit))
	err = each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		p, err := scanPerson(rows)
		list = append(list, p)
		return err
	})
	return list, err
}

// ExportPeople calls fn with everybody of the filter inside the scope (people.read), whatever its Limit, in the order of People. It streams, as
// of one moment, from the reader pool; fn must not write to the directory. An error of fn ends it and is returned as it is.
func (s *Store) ExportPeople(ctx context.Context, scope policies.Scope, filter PeopleFilter, fn func(identity.Person) error) error {
	q, err := filter.query(scope)
	if err != nil {
		return err
	}
	q.page("p.org, p.staff_number", 0)
	return each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		p, err := scanPerson(rows)
		if err != nil {
			return err
		}
		return fn(p)
	})
}

// query selects the people of the filter inside the scope, without order.
func (filter PeopleFilter) query(scope policies.Scope) (*statement, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return nil, err
	}
	q := sqlText(personSelect)
	q.within(scope, "p.org")
	if filter.Org != "" {
		q.and("p.org = ?", storable(string(filter.Org)))
	}
	if !filter.IncludeEnded {
		q.and("p.ended_at = 0")
	}
	if filter.Query != "" {
		start := pattern(filter.Query, false)
		joined := pattern(strings.NewReplacer(" ", "", "\u3000", "").Replace(filter.Query), true)
		q.and(`(lower(p.family_name || p.given_name) LIKE ? ESCAPE '\' OR lower(p.family_kana || p.given_kana) LIKE ? ESCAPE '\'`+
			` OR p.email_key LIKE ? ESCAPE '\' OR lower(p.staff_number) LIKE ? ESCAPE '\')`, joined, joined, start, start)
	}
	if filter.After != "" {
		// Inside the scope too: where a page begins must not tell in which organization somebody else is.
		q.and("(p.org, p.staff_number) > (SELECT a.org, a.staff_number FROM "+personTable+" a WHERE a.id = ?", storable(string(filter.After)))
		q.within(scope, "a.org")
		q.text.WriteString(")")
	}
	return q, nil
}

// EachPerson calls fn with every person inside the scope (people.read), those whose service has ended too, ordered by id. It
// streams, as of one moment, from the reader pool; fn must not write to the directory. An error of fn ends it and is returned as it is.
func (s *Store) EachPerson(ctx context.Context, scope policies.Scope, fn func(identity.Person) error) error {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return err
	}
	q := sqlText(personSelect)
	q.within(scope, "p.org")
	q.page("p.id", 0)
	return each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		p, err := scanPerson(rows)
		if err != nil {
			return err
		}
		return fn(p)
	})
}

// Person reads one person inside the scope (people.read). Somebody outside it is identity.ErrNotFound, like somebody who doesn't exist.
func (s *Store) Person(ctx context.Context, scope policies.Scope, id policies.PersonID) (identity.Person, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return identity.Person{}, err
	}
	return person(ctx, s.db.Reader(), scope, id)
}

// FindPerson reads the person who has the staff number in the organization (people.read), in service or not.
func (s *Store) FindPerson(ctx context.Context, scope policies.Scope, org policies.OrgID, staffNumber string) (identity.Person, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return identity.Person{}, err
	}
	q := sqlText(personSelect)
	q.and("p.org = ?", storable(string(org)))
	q.and("p.staff_number = ?", storable(staffNumber))
	q.within(scope, "p.org")
	return onePerson(ctx, s.db.Reader(), q, string(org)+"/"+staffNumber)
}

// Actor reads a person and the person's organization without a scope. It is for authentication alone, which must know who acts
// before a scope can be minted for them; the answer goes to the policy engine, never to a page. Somebody whose service has ended
// is returned too, for policies to see it (Person.Active).
func (s *Store) Actor(ctx context.Context, id policies.PersonID) (identity.Person, identity.Organization, error) {
	q := sqlText(personSelect)
	q.and("p.id = ?", storable(string(id)))
	p, err := onePerson(ctx, s.db.Reader(), q, string(id))
	if err != nil {
		return identity.Person{}, identity.Organization{}, err
	}
	o, err := organization(ctx, s.db.Reader(), p.Org)
	if err != nil {
		return identity.Person{}, identity.Organization{}, err
	}
	return p, o, nil
}

// PersonNamed gives who in service has the e-mail address, in any case. Like Actor it takes no Scope: login asks before anybody is known, and tells
// nobody the answer.
func (s *Store) PersonNamed(ctx context.Context, email string) (policies.PersonID, error) {
	q := sqlText(personSelect)
	q.and("p.email_key = ?", storable(emailKey(strings.TrimSpace(email))))
	q.and("p.ended_at = ?", 0)
	p, err := onePerson(ctx, s.db.Reader(), q, "by address")
	if err != nil {
		return "", err
	}
	return p.ID, nil
}

func person(ctx context.Context, q querier, scope policies.Scope, id policies.PersonID) (identity.Person, error) {
	query := sqlText(personSelect)
	query.and("p.id = ?", storable(string(id)))
	query.within(scope, "p.org")
	return onePerson(ctx, q, query, string(id))
}

func onePerson(ctx context.Context, q querier, query *statement, what string) (identity.Person, error) {
	p, err := scanPerson(q.QueryRowContext(ctx, query.text.String(), query.args...))
	if errors.Is(err, sql.ErrNoRows) {
		return identity.Person{}, notFound("person", what)
	}
	return p, err
}

// storable makes a search value that PostgreSQL takes: what contains NUL or isn't UTF-8 can't be in the directory anyway and becomes a
// value that isn't there either.
func storable(s string) string {
	if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
		return "\ufffd"
	}
	return s
}
