package directory

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// ExportTransfers hands over, by date, the planned transfers that the actor may know of as rows of a transfers file (people.read), which
// ImportTransfers takes as unchanged where it may write them. Of those under embargo these are the ones that name the actor. Left out, and
// counted, are transfers that are another organization's to record: of people who are elsewhere now, or will be then. A return that a
// secondment plans is its return_date, and no row. org narrows to one organization; empty is all.
func (s *Store) ExportTransfers(ctx context.Context, scope policies.Scope, org policies.OrgID, fn func(TransferRow) error) (left int, err error) {
	filter := TransferFilter{Org: org, States: []identity.TransferState{identity.TransferPlanned}, Limit: MaxPage}
	type when struct {
		person policies.PersonID
		at     int64
	}
	returns := map[when]bool{}
	for {
		list, err := s.Transfers(ctx, scope, filter)
		if err != nil {
			return left, err
		}
		staff, err := s.staffNumbers(ctx, scope, list)
		if err != nil {
			return left, err
		}
		for _, t := range list {
			if t.Kind == identity.TransferReturn && returns[when{t.Person, t.At}] {
				continue
			}
			if t.Kind == identity.TransferSecond && t.ReturnAt != 0 {
				returns[when{t.Person, t.ReturnAt}] = true
			}
			p, inside := staff[t.Person]
			if !inside || !scope.Covers(t.From) {
				left++
				continue
			}
			row := TransferRow{Org: p.Org, StaffNumber: p.StaffNumber, Transfer: t}
			if t.Kind == identity.TransferRole || t.Kind == identity.TransferLeave {
				row.Transfer.To = ""
			}
			if t.Successor != "" {
				row.Successor = staff[t.Successor].StaffNumber
			}
			for _, n := range t.Named {
				row.Named = append(row.Named, string(n))
			}
			if err := fn(row); err != nil {
				return left, err
			}
		}
		if len(list) < filter.Limit {
			return left, nil
		}
		filter.After = TransferCursor(list[len(list)-1])
	}
}

// staffNumbers finds the people of the scope whom transfers are about.
func (s *Store) staffNumbers(ctx context.Context, scope policies.Scope, list []identity.Transfer) (map[policies.PersonID]identity.Person, error) {
	var ids []policies.PersonID
	for _, t := range list {
		ids = append(ids, t.Person)
		if t.Successor != "" {
			ids = append(ids, t.Successor)
		}
	}
	found := map[policies.PersonID]identity.Person{}
	q := sqlText(personSelect)
	q.within(scope, "p.org")
	anyOf(q, "p.id", ids)
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		p, err := scanPerson(rows)
		found[p.ID] = p
		return err
	})
	return found, err
}
