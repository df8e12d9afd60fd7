package provision

import (
	"context"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// LoadWithin gives a stored plan as the scope (plan.read) may see it: the whole of it over all organizations, else its objects of the scope's
// own organizations alone, with totals that count these. AccountsCurrent and AccountsWanted are 0 then: they count the whole country. A plan
// that does nothing to them is ErrNotFound, as one that isn't there.
func (s *Store) LoadWithin(ctx context.Context, scope policies.Scope, hash string) (PlanRecord, Plan, error) {
	if !scope.For(policies.ActionPlanRead) || scope.Denied() {
		return PlanRecord{}, Plan{}, fmt.Errorf("read a plan: %w", identity.ErrRefused)
	}
	record, err := s.exactly(ctx, hash)
	if err != nil {
		return record, Plan{}, err
	}
	plan, err := s.load(ctx, hash)
	if err != nil || scope.All() {
		return record, plan, err
	}
	plan = plan.within(scope)
	if plan.Empty() {
		return PlanRecord{}, Plan{}, fmt.Errorf("plan %s: %w", hash, identity.ErrNotFound)
	}
	record.Objects = len(plan.Objects)
	return record, plan, nil
}

// Standing gives the record of the plan with exactly this hash, without its document: where it stands. Whether the scope (plan.read) may see
// anything of the plan is LoadWithin's to say; Objects is 0 for a scope that doesn't cover all organizations.
func (s *Store) Standing(ctx context.Context, scope policies.Scope, hash string) (PlanRecord, error) {
	if !scope.For(policies.ActionPlanRead) || scope.Denied() {
		return PlanRecord{}, fmt.Errorf("read a plan: %w", identity.ErrRefused)
	}
	record, err := s.exactly(ctx, hash)
	if !scope.All() {
		record.Objects = 0
	}
	return record, err
}

// Recent lists the hashes of the newest plans for LoadWithin, which says what of them the scope (plan.read) may see.
func (s *Store) Recent(ctx context.Context, scope policies.Scope, limit int) ([]string, error) {
	if !scope.For(policies.ActionPlanRead) || scope.Denied() {
		return nil, fmt.Errorf("list plans: %w", identity.ErrRefused)
	}
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT hash FROM provision_plan ORDER BY made_at DESC, hash LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list plans: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var hash string
		if err := rows.Scan(&hash); err != nil {
			return nil, fmt.Errorf("list plans: %w", err)
		}
		out = append(out, hash)
	}
	return out, rows.Err()
}

// exactly gives the record of the plan with this hash.
func (s *Store) exactly(ctx context.Context, hash string) (PlanRecord, error) {
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT `+recordColumns+` FROM provision_plan WHERE hash=$1`, hash)
	if err != nil {
		return PlanRecord{}, fmt.Errorf("plan: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return PlanRecord{}, fmt.Errorf("plan: %w", err)
		}
		return PlanRecord{}, fmt.Errorf("plan %s: %w", hash, identity.ErrNotFound)
	}
	r, err := scanRecord(rows)
	if err != nil {
		return r, fmt.Errorf("plan: %w", err)
	}
	return r, rows.Err()
}

// within keeps the objects of the scope's organizations, and counts them.
func (p Plan) within(scope policies.Scope) Plan {
	out := p
	out.Objects, out.Totals = []Object{}, nil
	by := map[policies.Product]*Total{}
	for _, t := range p.Totals {
		by[t.Product] = &Total{Product: t.Product}
	}
	for _, o := range p.Objects {
		if !scope.Covers(o.Org) {
			continue
		}
		out.Objects = append(out.Objects, o)
		if t := by[o.Product]; t != nil {
			t.count(o)
		}
	}
	for _, t := range p.Totals {
		out.Totals = append(out.Totals, *by[t.Product])
	}
	return out
}

// count adds one object's changes.
func (t *Total) count(o Object) {
	switch {
	case o.Kind == ObjectGroup:
		t.Groups++
	case o.Kind == ObjectMembers && o.Action == ActionRemove:
		t.MembersRemoved += len(o.Members)
	case o.Kind == ObjectMembers:
		t.MembersAdded += len(o.Members)
	case o.Action == ActionCreate:
		t.Created++
	case o.Action == ActionEnable:
		t.Enabled++
	case o.Action == ActionDisable:
		t.Disabled++
	default:
		t.Updated++
	}
}
