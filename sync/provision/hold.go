package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// check asks right before an outward call whether a breaker that tripped meanwhile holds it now.
func (s *Store) check(ctx context.Context, q querier, v *View) error {
	if s.guard == nil || v.Op.Announced || v.Op.Kind != OpDisable && v.Op.Kind != OpRemove {
		return nil
	}
	var plan string
	if err := q.QueryRowContext(ctx, `SELECT hash FROM provision_plan WHERE run=$1`, v.Op.Run).Scan(&plan); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return s.ask(ctx, q, v, plan)
}

func (s *Store) ask(ctx context.Context, q querier, v *View, change string) error {
	held, err := s.guard.breaker.Open(ctx, q, change, v.items()...)
	for _, trip := range held {
		v.Held = max(v.Held, trip)
	}
	return err
}

// items is what the operation takes away.
func (v View) items() (items []breaker.Item) {
	org := v.Op.Org
	switch v.Op.Kind {
	case OpDisable, OpRelease:
		if org == "" {
			org = v.Accounts[v.Op.Person].Org
		}
		return []breaker.Item{{Product: v.Op.Product, Org: org, Person: v.Op.Person, Loss: breaker.LossAccounts}}
	case OpRemove:
		for _, m := range v.Op.Members {
			items = append(items, breaker.Item{Product: v.Op.Product, Org: org, Person: m, Loss: breaker.LossMemberships})
		}
	}
	return items
}

// withheld writes down what a breaker holds of an operation that had been let pass before.
func (s *Store) withheld(ctx context.Context, tx *sql.Tx, op Op, e Effect) error {
	v := View{Op: op, Accounts: map[policies.PersonID]AccountRow{}}
	if op.Kind == OpRelease {
		if _, err := tx.ExecContext(ctx, `UPDATE provision_leaver SET trip=$4 WHERE product=$1 AND person_id=$2 AND cause=$3`, string(op.Product), string(op.Person), op.Cause, e.Trip); err != nil {
			return err
		}
		var org policies.OrgID
		err := tx.QueryRowContext(ctx, `SELECT org_id FROM provision_account WHERE product=$1 AND person_id=$2`, string(op.Product), string(op.Person)).Scan(&org)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		v.Accounts[op.Person] = AccountRow{Org: org}
	}
	items, by := v.items(), map[breaker.Item]string{}
	for _, i := range items {
		by[i] = e.Trip
	}
	work := "plan"
	if op.Kind == OpRelease {
		work = "leaver"
	}
	return s.guard.breaker.Hold(ctx, tx, work, breaker.Cause{Kind: breaker.CausePlan, Ref: op.Run}, by, items...)
}

// leaving is one account that a leaver has.
type leaving struct {
	leaver  access.Leaver
	product policies.Product
	org     policies.OrgID
}

// admitLeavers asks the breakers about people whom one transaction ends, and gives what is held, by which trip.
func (s *Store) admitLeavers(ctx context.Context, tx *sql.Tx, work []leaving) (map[breaker.Item]string, error) {
	if s.guard == nil {
		return nil, nil
	}
	type change struct {
		origin access.Origin
	}
	asks := map[change][]breaker.Item{}
	var order []change
	for _, w := range work {
		if s.guard.breaker.Announced(w.leaver.Origin.RecordedAt, w.leaver.Origin.At) {
			continue
		}
		c := change{w.leaver.Origin}
		c.origin.RecordedAt = 0
		if len(asks[c]) == 0 {
			order = append(order, c)
		}
		asks[c] = append(asks[c], w.item())
	}
	held := map[breaker.Item]string{}
	for _, c := range order {
		items := asks[c]
		v, err := s.guard.breaker.Admit(ctx, tx, breaker.Ask{
			Ref: fmt.Sprintf("leavers %s %d", items[0].Person, c.origin.At), Work: "leaver", Items: items, Passes: c.origin.Alone, Cause: causeOf(c.origin),
		})
		if err != nil {
			return nil, err
		}
		if err := s.guard.announce(ctx, tx, v.Tripped); err != nil {
			return nil, err
		}
		for item, trip := range v.Held {
			held[item] = trip
		}
	}
	return held, nil
}

func (w leaving) item() breaker.Item {
	return breaker.Item{Product: w.product, Org: w.org, Person: w.leaver.Person, Loss: breaker.LossAccounts}
}

func causeOf(o access.Origin) breaker.Cause {
	return breaker.Cause{Kind: causeKind(o.Source, o.Alone), Ref: plain(o.Source), Actor: o.Actor, At: o.At}
}

// passes reports whether no breaker may hold this leaver.
func (s *Store) passes(l access.Leaver) bool {
	return s.guard == nil || l.Origin.Alone || s.guard.breaker.Announced(l.Origin.RecordedAt, l.Origin.At)
}

// ReleaseBreaker lets go what a trip holds: leavers at once, the rest by being planned again. The rules are those of breaker.Release.
func (s *Store) ReleaseBreaker(ctx context.Context, scope policies.Scope, id, reason string, another bool) (r breaker.Record, err error) {
	if s.guard == nil {
		return r, errors.New("this process has no breakers")
	}
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if r, err = s.guard.breaker.Release(ctx, tx, scope, id, reason, another); err != nil {
			return err
		}
		now := s.now().UnixMicro()
		_, err = tx.ExecContext(ctx, `INSERT INTO provision_again (person_id, at) SELECT DISTINCT person, CAST($2 AS BIGINT) FROM breaker_hold WHERE trip=$1 AND work='plan'
			ON CONFLICT (person_id) DO UPDATE SET at=excluded.at`, id, now)
		if err != nil {
			return fmt.Errorf("release breaker %s: %w", id, err)
		}
		ins, err := collect(ctx, tx, func(rows *sql.Rows) (jobs.Insert, error) {
			a := LeaverArgs{Again: id}
			err := rows.Scan(&a.Product, &a.Person, &a.Cause)
			return jobs.Insert{Args: a, Queue: UrgentQueue(a.Product)}, err
		}, `UPDATE provision_leaver SET state='pending', trip='', passes=1 WHERE trip=$1 AND state='held' RETURNING product, person_id, cause`, id)
		if err != nil {
			return fmt.Errorf("release breaker %s: %w", id, err)
		}
		for part := range slices.Chunk(ins, 500) {
			if _, err := s.jobs.InsertTx(ctx, tx, part...); err != nil {
				return fmt.Errorf("release breaker %s: %w", id, err)
			}
		}
		return nil
	})
	return r, err
}
