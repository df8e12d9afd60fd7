package directory

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// ServiceFilter narrows a list of services. The zero filter is the first page of all, also of those that are over.
type ServiceFilter struct {
	Contractor policies.OrgID // empty: every contractor
	Org        policies.OrgID // empty: every organization that is served
	At         int64          // UTC, microseconds: only those in force then; 0: all
	After      int            // how many were on the pages before
	Limit      int            // 0: DefaultPage; at most MaxPage
}

// Services lists who serves whom (org.read), where the contractor or the organization lies inside the scope, ordered by
// contractor, organization and beginning.
func (s *Store) Services(ctx context.Context, scope policies.Scope, filter ServiceFilter) ([]identity.Service, error) {
	if err := permit(scope, policies.ActionOrgRead); err != nil {
		return nil, err
	}
	q := sqlText("SELECT contractor, org, valid_from, valid_until FROM service WHERE 1=1")
	org, args := scope.Where("org", 1)
	contractor, more := scope.Where("contractor", len(args)+1)
	q.text.WriteString(" AND (" + org + " OR " + contractor + ")")
	q.args = append(append(q.args, args...), more...)
	if filter.Contractor != "" {
		q.and("contractor = ?", storable(string(filter.Contractor)))
	}
	if filter.Org != "" {
		q.and("org = ?", storable(string(filter.Org)))
	}
	if filter.At != 0 {
		q.and("valid_from <= ?", filter.At)
		q.and("(valid_until = 0 OR valid_until > ?)", filter.At)
	}
	q.page("contractor, org, valid_from", pageSize(filter.Limit))
	if filter.After > 0 {
		q.args = append(q.args, filter.After)
		fmt.Fprintf(&q.text, " OFFSET $%d", len(q.args))
	}
	var list []identity.Service
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var v identity.Service
		var contractor, org string
		if err := rows.Scan(&contractor, &org, &v.From, &v.Until); err != nil {
			return fmt.Errorf("directory: read services: %w", err)
		}
		v.Contractor, v.Org = policies.OrgID(contractor), policies.OrgID(org)
		list = append(list, v)
		return nil
	})
	return list, err
}

// AddService records that a contractor serves an organization, from and to a date (service.write over the organization that is served:
// it chooses its contractors). Two periods of one pair never overlap: identity.ErrExists.
func (s *Store) AddService(ctx context.Context, scope policies.Scope, v identity.Service, by Author) error {
	if err := permitAuthor(scope, policies.ActionServiceWrite, by); err != nil {
		return err
	}
	if !scope.Covers(v.Org) {
		return fmt.Errorf("add service for organization %s: outside the scope: %w", v.Org, identity.ErrRefused)
	}
	if faults := checkService(v); faults != nil {
		return faults[0]
	}
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, 1)
		if err != nil {
			return err
		}
		if err := s.placeService(ctx, tx, v); err != nil {
			return fmt.Errorf("add service: %w", err)
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO service (contractor, org, valid_from, valid_until) VALUES ($1, $2, $3, $4)",
			string(v.Contractor), string(v.Org), v.From, v.Until)
		if err != nil {
			return fmt.Errorf("add service: %w", err)
		}
		return s.recordService(ctx, tx, base+1, ServiceAdded, nil, &v, by)
	})
}

func (s *Store) placeService(ctx context.Context, tx *sql.Tx, v identity.Service) error {
	contractor, err := organization(ctx, tx, v.Contractor)
	if err != nil {
		return fmt.Errorf("contractor: %w", err)
	}
	org, err := organization(ctx, tx, v.Org)
	if err != nil {
		return err
	}
	if faults := sides(contractor, org); faults != nil {
		return faults[0]
	}
	var n int
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM service WHERE contractor = $1 AND org = $2
		AND (valid_until = 0 OR valid_until > $3) AND (CAST($4 AS BIGINT) = 0 OR valid_from < CAST($4 AS BIGINT))`, string(v.Contractor), string(v.Org), v.From, v.Until).Scan(&n)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%s serves %s in that period already: %w", v.Contractor, v.Org, identity.ErrExists)
	}
	return nil
}

// sides says whether one organization can serve the other at all.
func sides(contractor, org identity.Organization) (faults []fault) {
	if contractor.Kind != policies.KindContractor {
		faults = append(faults, fault{
			Column: "contractor", Value: string(contractor.ID),
			Reason: review.Say("事業者ではありません", "this organization is not a contractor"),
			Remedy: review.Say("種別が contractor の組織のコードを書いてください", "write the code of an organization of the kind contractor"),
		})
	}
	if org.Kind == policies.KindContractor || org.Kind == policies.KindWard {
		faults = append(faults, fault{
			Column: "org", Value: string(org.ID),
			Reason: review.Say("この種別の組織は事業者の委託元になりません: "+org.Kind.Name().JA, "an organization of this kind is not served: "+org.Kind.Name().EN),
			Remedy: review.Say("行政区は市のコードで書いてください", "for a ward write the code of its city"),
		})
	}
	return faults
}

// EndService ends, at a moment, the service that is in force then or begins later (service.write over the organization that is served). A
// service that would end before it began is taken back. identity.ErrNotFound where there is none.
func (s *Store) EndService(ctx context.Context, scope policies.Scope, contractor, org policies.OrgID, at int64, by Author) error {
	if err := permitAuthor(scope, policies.ActionServiceWrite, by); err != nil {
		return err
	}
	if !scope.Covers(org) {
		return notFound("service for organization", string(org))
	}
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, 1)
		if err != nil {
			return err
		}
		v := identity.Service{Contractor: contractor, Org: org}
		err = tx.QueryRowContext(ctx, `SELECT valid_from, valid_until FROM service WHERE contractor = $1 AND org = $2
			AND (valid_until = 0 OR valid_until > $3) ORDER BY valid_from LIMIT 1`, storable(string(contractor)), storable(string(org)), at).Scan(&v.From, &v.Until)
		if isNoRows(err) {
			return notFound("service of "+string(contractor)+" for organization", string(org))
		}
		if err != nil {
			return fmt.Errorf("end service: %w", err)
		}
		before := v
		if v.From >= at {
			_, err = tx.ExecContext(ctx, "DELETE FROM service WHERE contractor = $1 AND org = $2 AND valid_from = $3", string(contractor), string(org), v.From)
			v.Until = v.From
		} else {
			v.Until = at
			_, err = tx.ExecContext(ctx, "UPDATE service SET valid_until = $1 WHERE contractor = $2 AND org = $3 AND valid_from = $4",
				at, string(contractor), string(org), v.From)
		}
		if err != nil {
			return fmt.Errorf("end service: %w", err)
		}
		return s.recordService(ctx, tx, base+1, ServiceEnded, &before, &v, by)
	})
}

// serviceRecord is a service as the feed keeps it.
type serviceRecord struct {
	Contractor policies.OrgID `json:"contractor"`
	Org        policies.OrgID `json:"org"`
	From       int64          `json:"from"`
	Until      int64          `json:"until,omitempty"`
}

// change is the feed row of a service.
func (v serviceRecord) change(number, at int64, kind ChangeKind, before *serviceRecord, by Author) Change {
	c := Change{Number: number, At: at, Author: by, Kind: kind, Org: v.Org, Object: string(v.Contractor), After: record(v)}
	if before != nil {
		c.Before = record(*before)
	}
	return c
}

func serviceOf(v identity.Service) serviceRecord {
	return serviceRecord{v.Contractor, v.Org, v.From, v.Until}
}

func (s *Store) recordService(ctx context.Context, tx *sql.Tx, number int64, kind ChangeKind, before, after *identity.Service, by Author) error {
	var was *serviceRecord
	if before != nil {
		r := serviceOf(*before)
		was = &r
	}
	if err := appendChange(ctx, tx, serviceOf(*after).change(number, s.micros(), kind, was, by)); err != nil {
		return err
	}
	return s.audit(ctx, tx, by, string(kind), after.Org, string(after.Contractor), map[string]any{"from": after.From, "until": after.Until})
}
