package directory

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Posts lists the posts that people hold or held beside their main one (people.read), by person, beginning and id: of people of the scope all,
// of others those in organizations of the scope. Nobody named in of means everybody; a page of People can be asked for at once.
func (s *Store) Posts(ctx context.Context, scope policies.Scope, of ...policies.PersonID) ([]identity.Post, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return nil, err
	}
	q := sqlText(postSelect)
	if len(of) > 0 {
		anyOf(q, "o.person", of[:min(len(of), MaxPage)])
	}
	if !scope.All() {
		at, args := scope.Where("o.org", len(q.args)+1)
		q.args = append(q.args, args...)
		home, args := scope.Where("p.org", len(q.args)+1)
		q.args = append(q.args, args...)
		q.text.WriteString(" AND (" + at + " OR EXISTS (SELECT 1 FROM " + personTable + " p WHERE p.id = o.person AND " + home + "))")
	}
	q.page("o.person, o.valid_from, o.id", 0)
	var list []identity.Post
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		p, err := scanPost(rows)
		if !scope.Covers(p.Org) {
			// What the other organization gave them is its own: it comes back with the person.
			p.StaffNumber, p.Phone, p.Extension, p.Fax, p.Email = "", "", "", "", ""
		}
		list = append(list, p)
		return err
	})
	return list, err
}

// Held implements access.PostSource. Like Actor it takes no Scope, because scopes are minted from what it gives.
func (s *Store) Held(ctx context.Context, person policies.PersonID, at int64) (posts []identity.Post, orgs []identity.Organization, err error) {
	q := sqlText(postSelect)
	q.and("o.person = ?", storable(string(person)))
	q.and("o.valid_from <= ?", at)
	q.and("(o.valid_until = 0 OR o.valid_until > ?)", at)
	q.page("o.valid_from, o.id", MaxPage)
	err = each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		p, err := scanPost(rows)
		if p.Kind == identity.PostConcurrent || p.Kind == identity.PostHandover {
			posts = append(posts, p)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	kept := posts[:0]
	for _, p := range posts {
		org, err := organization(ctx, s.db.Reader(), p.Org)
		if err != nil {
			return nil, nil, err
		}
		if org.Exists(at) {
			kept, orgs = append(kept, p), append(orgs, org)
		}
	}
	return kept, orgs, nil
}
