package directory

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// PeopleAt calls fn with everybody whom the scope (people.read) will see at a time (UTC, microseconds), ordered by id, as they will be then:
// with every planned transfer applied that the actor may know of today. It changes nothing and looks for no collisions of staff numbers
// or addresses, which are known only on the day. fn must not write to the directory. An error of fn ends it and is returned as it is.
func (s *Store) PeopleAt(ctx context.Context, scope policies.Scope, at int64, fn func(identity.Person) error) error {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return err
	}
	moved, err := s.foresee(ctx, scope, at)
	if err != nil {
		return err
	}
	var come []identity.Person // from outside the scope
	for _, st := range moved {
		if st.outside && scope.Covers(st.person.Org) {
			come = append(come, st.person)
		}
	}
	slices.SortFunc(come, func(a, b identity.Person) int { return strings.Compare(string(a.ID), string(b.ID)) })
	give := func(p identity.Person) error {
		for len(come) > 0 && come[0].ID < p.ID {
			if err := fn(come[0]); err != nil {
				return err
			}
			come = come[1:]
		}
		if st := moved[p.ID]; st != nil {
			p = st.person
		}
		if !scope.Covers(p.Org) {
			return nil
		}
		return fn(p)
	}
	q := sqlText(personSelect)
	q.within(scope, "p.org")
	q.page("p.id", 0)
	err = each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		p, err := scanPerson(rows)
		if err != nil {
			return err
		}
		return give(p)
	})
	for err == nil && len(come) > 0 {
		err = fn(come[0])
		come = come[1:]
	}
	return err
}

// PostsAt lists the posts that people of the scope (people.read) will hold beside their main one at a time (UTC, microseconds), by person and id,
// with every planned transfer applied that the actor may know of today, as PeopleAt. Of people outside the scope it lists those in it.
func (s *Store) PostsAt(ctx context.Context, scope policies.Scope, at int64) ([]identity.Post, error) {
	list, err := s.Posts(ctx, scope)
	if err != nil {
		return nil, err
	}
	moved, err := s.foresee(ctx, scope, at)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(o identity.Post) bool { return moved[o.Person] != nil })
	for _, st := range moved {
		for _, o := range st.posts {
			if scope.Covers(o.Org) || scope.Covers(st.person.Org) {
				list = append(list, o)
			}
		}
	}
	list = slices.DeleteFunc(list, func(o identity.Post) bool { return o.From > at || o.Until != 0 && o.Until <= at })
	slices.SortFunc(list, func(a, b identity.Post) int {
		return cmp.Or(strings.Compare(string(a.Person), string(b.Person)), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// PersonAt gives one person whom the scope (people.read) sees today and will see at a time (UTC, microseconds), as PeopleAt, with the posts that they
// will hold beside the main one then.
func (s *Store) PersonAt(ctx context.Context, scope policies.Scope, id policies.PersonID, at int64) (identity.Person, []identity.Post, error) {
	p, err := s.Person(ctx, scope, id)
	if err != nil {
		return identity.Person{}, nil, err
	}
	moved, err := s.foresee(ctx, scope, at, id)
	if err != nil {
		return identity.Person{}, nil, err
	}
	var posts []identity.Post
	if st := moved[id]; st != nil {
		p, posts = st.person, st.posts
	} else if posts, err = s.Posts(ctx, scope, id); err != nil {
		return identity.Person{}, nil, err
	}
	if !scope.Covers(p.Org) {
		return identity.Person{}, nil, notFound("person", string(id))
	}
	return p, slices.DeleteFunc(posts, func(o identity.Post) bool { return o.From > at || o.Until != 0 && o.Until <= at }), nil
}

// foreseen is a person as planned transfers will leave them.
type foreseen struct {
	standing
	outside bool // of the scope today
}

// foresee applies the planned transfers until a time; only those that concern these people, where some are named.
func (s *Store) foresee(ctx context.Context, scope policies.Scope, at int64, of ...policies.PersonID) (map[policies.PersonID]*foreseen, error) {
	orgs, err := allOrganizations(ctx, s.db.Reader())
	if err != nil {
		return nil, err
	}
	q := sqlText(transferSelect)
	q.and("t.state = 'planned'")
	q.and("t.at <= ?", at)
	for _, id := range of {
		q.and("(t.person = ? OR t.successor = ?)", storable(string(id)), storable(string(id)))
	}
	q.visible(scope, s.micros())
	q.page("t.at, t.number", 0)
	list, err := transfers(ctx, s.db.Reader(), q)
	if err != nil {
		return nil, err
	}
	found := map[policies.PersonID]*foreseen{}
	for part := range slices.Chunk(list, MaxPage) {
		standings, err := readStandings(ctx, s.db.Reader(), part)
		if err != nil {
			return nil, err
		}
		for id, st := range standings {
			if have := found[id]; have == nil {
				found[id] = &foreseen{*st, !scope.Covers(st.person.Org)}
			} else if have.posts == nil {
				have.posts = st.posts
			}
		}
	}
	for _, t := range list {
		st := found[t.Person]
		if st == nil {
			continue
		}
		e, reason := effectOf(t.Transfer, st.standing, nil, orgs[t.To])
		if reason != "" {
			continue
		}
		st.person = e.after
		for _, end := range e.end {
			st.posts = slices.DeleteFunc(st.posts, func(o identity.Post) bool { return o.ID == end.ID && o.Org == end.Org })
		}
		st.posts = append(st.posts, e.add...)
		if next := found[t.Successor]; t.Successor != "" && next != nil && next.person.Active() && next.person.Org == t.From {
			next.person.Role = administratorRole(orgs[t.From].Kind)
		}
	}
	return found, nil
}
