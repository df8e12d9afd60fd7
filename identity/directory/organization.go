package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// OrgFilter narrows a list of organizations. The zero filter is the first page of all.
type OrgFilter struct {
	Kinds  []policies.OrgKind    // empty: all
	Query  string                // part of the name or kana, or the beginning of the number
	States []identity.Onboarding // empty: all
	Parent policies.OrgID        // empty: any; else those directly below it
	At     int64                 // UTC, microseconds: those that exist then; 0: all, also those that ceased
	After  policies.OrgID        // the last id of the page before
	Limit  int                   // 0: DefaultPage; at most MaxPage
}

// Organizations lists the organizations inside the scope (org.read), ordered by id.
func (s *Store) Organizations(ctx context.Context, scope policies.Scope, filter OrgFilter) ([]identity.Organization, error) {
	if err := permit(scope, policies.ActionOrgRead); err != nil {
		return nil, err
	}
	q := sqlText(orgSelect)
	q.within(scope, "id")
	if len(filter.Kinds) > 0 {
		values := make([]any, len(filter.Kinds))
		for i, k := range filter.Kinds {
			values[i] = string(k)
		}
		q.and("kind IN (?"+strings.Repeat(",?", len(values)-1)+")", values...)
	}
	if len(filter.States) > 0 {
		values := make([]any, len(filter.States))
		for i, state := range filter.States {
			values[i] = string(state)
		}
		q.and("state IN (?"+strings.Repeat(",?", len(values)-1)+")", values...)
	}
	if filter.Parent != "" {
		q.and("parent = ?", storable(string(filter.Parent)))
	}
	if filter.At != 0 {
		q.and("valid_from <= ?", filter.At)
		q.and("(valid_until = 0 OR valid_until > ?)", filter.At)
	}
	if filter.Query != "" {
		anywhere := pattern(filter.Query, true)
		q.and(`(lower(name) LIKE ? ESCAPE '\' OR lower(kana) LIKE ? ESCAPE '\' OR id LIKE ? ESCAPE '\')`,
			anywhere, anywhere, pattern(filter.Query, false))
	}
	if filter.After != "" {
		q.and("id > ?", string(filter.After))
	}
	q.page("id", pageSize(filter.Limit))
	var list []identity.Organization
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		o, err := scanOrganization(rows)
		list = append(list, o)
		return err
	})
	return list, err
}

// Organization reads one organization inside the scope (org.read). One outside it is identity.ErrNotFound, like one that doesn't exist.
func (s *Store) Organization(ctx context.Context, scope policies.Scope, id policies.OrgID) (identity.Organization, error) {
	if err := permit(scope, policies.ActionOrgRead); err != nil {
		return identity.Organization{}, err
	}
	if !scope.Covers(id) {
		return identity.Organization{}, notFound("organization", string(id))
	}
	return organization(ctx, s.db.Reader(), id)
}

func organization(ctx context.Context, q querier, id policies.OrgID) (identity.Organization, error) {
	query := sqlText(orgSelect)
	query.and("id = ?", storable(string(id)))
	o, err := scanOrganization(q.QueryRowContext(ctx, query.text.String(), query.args...))
	if errors.Is(err, sql.ErrNoRows) {
		return identity.Organization{}, notFound("organization", string(id))
	}
	return o, err
}

// AddOrganization registers one organization (org.write) and returns it as stored. identity.ErrExists if there is one with its number.
func (s *Store) AddOrganization(ctx context.Context, scope policies.Scope, o identity.Organization, by Author) (identity.Organization, error) {
	if err := permitAuthor(scope, policies.ActionOrgWrite, by); err != nil {
		return o, err
	}
	if faults := checkOrganization(&o); faults != nil {
		return o, faults[0]
	}
	if !scope.Covers(o.ID) {
		return o, fmt.Errorf("add organization %s: outside the scope: %w", o.ID, identity.ErrRefused)
	}
	if o.State == "" {
		o.State = identity.OnboardingListed
	}
	o.UpdatedAt = s.micros()
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, 1)
		if err != nil {
			return err
		}
		if _, err := organization(ctx, tx, o.ID); !errors.Is(err, identity.ErrNotFound) {
			if err == nil {
				err = fmt.Errorf("add organization %s: %w", o.ID, identity.ErrExists)
			}
			return err
		}
		if o.Parent != "" {
			parent, err := organization(ctx, tx, o.Parent)
			if err != nil {
				return fmt.Errorf("add organization %s: parent: %w", o.ID, err)
			}
			if f := family(o.Kind, parent.Kind, o.Parent); f != nil {
				return *f
			}
		}
		if err := s.publishOrganizations(ctx, tx, base, []orgChange{{after: o}}, by); err != nil {
			return err
		}
		return s.audit(ctx, tx, by, "org.add", o.ID, string(o.ID), map[string]any{"kind": string(o.Kind), "feed": base + 1})
	})
	return o, err
}

// family refuses a parent of the wrong kind.
func family(kind, parent policies.OrgKind, id policies.OrgID) *fault {
	want := map[policies.OrgKind]policies.OrgKind{
		policies.KindMunicipality: policies.KindPrefecture, policies.KindWard: policies.KindMunicipality,
	}[kind]
	if want == "" || parent == want {
		return nil
	}
	return &fault{
		Column: "parent", Value: string(id),
		Reason: review.Say("親組織の種別が違います: "+string(parent), "the parent is of the wrong kind: "+string(parent)),
		Remedy: review.Say("種別が "+string(want)+" の組織を親にしてください", "give it a parent of the kind "+string(want)),
	}
}
