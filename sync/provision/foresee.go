package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Foresee gives the plan for the directory as of a time, of the people whom the scope (people.read) covers now or will cover then, and as far
// as its actor may know: a transfer under embargo shows nowhere before its date but to those whom it names. org keeps the plan to what
// happens in one organization; empty: all of the scope. It is for reading: what is foreseen is neither stored nor approved, and the ledger
// is the present one.
//
// Of somebody who goes out of a scope that doesn't cover all, only that they leave its groups is told: what they get elsewhere is the other
// organization's to know.
func (p *Planner) Foresee(ctx context.Context, scope policies.Scope, at time.Time, org policies.OrgID) (Plan, error) {
	w, present, err := p.foreseen(ctx, scope, at)
	if err != nil {
		return Plan{}, err
	}
	k, err := p.store.Known(ctx)
	if err != nil {
		return Plan{}, err
	}
	if !scope.All() {
		now := map[policies.PersonID]bool{}
		if err := p.dir.EachPerson(ctx, scope, func(q identity.Person) error { now[q.ID] = true; return nil }); err != nil {
			return Plan{}, fmt.Errorf("read people: %w", err)
		}
		k.people(func(id policies.PersonID) bool { return now[id] || present[id] })
	}
	if org != "" {
		mine := map[policies.PersonID]bool{}
		for _, a := range w.Accounts {
			if slices.Contains(a.Orgs(), org) {
				mine[a.Person] = true
			}
		}
		k.holders(org, mine)
		w.Accounts = slices.DeleteFunc(w.Accounts, func(a WantedAccount) bool { return !mine[a.Person] })
		k.people(func(id policies.PersonID) bool { return mine[id] })
	}
	plan := p.plan(w, k, scope.Actor())
	plan.Objects = slices.DeleteFunc(plan.Objects, func(o Object) bool {
		gone := o.Kind == ObjectAccount && !present[o.Person] && !scope.All()
		return gone || !scope.Covers(o.Org) || org != "" && o.Org != org
	})
	if !scope.All() || org != "" {
		plan.recount()
	}
	return plan, nil
}

// recount makes the totals of changes those of the objects that are there.
func (p *Plan) recount() {
	for i, t := range p.Totals {
		n := Total{Product: t.Product, AccountsWanted: t.AccountsWanted, AccountsCurrent: t.AccountsCurrent, YenWanted: t.YenWanted, YenCurrent: t.YenCurrent}
		for _, c := range p.Changes(nil) {
			if c.Product == t.Product {
				n.Groups, n.Updated, n.Disabled = n.Groups+c.Groups, n.Updated+c.Updated, n.Disabled+c.Lost
				n.MembersAdded, n.MembersRemoved = n.MembersAdded+c.MembersAdded, n.MembersRemoved+c.MembersRemoved
			}
		}
		for _, o := range p.Objects {
			switch {
			case o.Product != t.Product || o.Kind != ObjectAccount:
			case o.Action == ActionCreate:
				n.Created++
			case o.Action == ActionEnable:
				n.Enabled++
			}
		}
		p.Totals[i] = n
	}
}

// WantedAt gives the accounts and contacts that directory and policy will want at a time, of the people of the scope (people.read), as far as
// its actor may know.
func (p *Planner) WantedAt(ctx context.Context, scope policies.Scope, at time.Time) (Wanted, error) {
	w, _, err := p.foreseen(ctx, scope, at)
	return w, err
}

func (p *Planner) foreseen(ctx context.Context, scope policies.Scope, at time.Time) (w Wanted, present map[policies.PersonID]bool, err error) {
	orgs, err := p.organizations(ctx)
	if err != nil {
		return Wanted{}, nil, err
	}
	var people []identity.Person
	present = map[policies.PersonID]bool{}
	if err := p.dir.PeopleAt(ctx, scope, at.UnixMicro(), func(q identity.Person) error {
		people = append(people, q)
		present[q.ID] = true
		return nil
	}); err != nil {
		return Wanted{}, nil, fmt.Errorf("read people: %w", err)
	}
	posts, err := p.dir.PostsAt(ctx, scope, at.UnixMicro())
	if err != nil {
		return Wanted{}, nil, fmt.Errorf("read posts: %w", err)
	}
	w, err = p.want(people, posts, orgs)
	return w, present, err
}

// people keeps what is known of some people alone.
func (k *Known) people(keep func(policies.PersonID) bool) {
	k.Accounts = slices.DeleteFunc(k.Accounts, func(a KnownAccount) bool { return !keep(a.Person) })
	for _, known := range []map[policies.Product]map[policies.PersonID][]policies.OrgID{k.Members, k.Maybe} {
		for _, of := range known {
			for id := range of {
				if !keep(id) {
					delete(of, id)
				}
			}
		}
	}
}

// holders adds those who have an account or a membership in the organization.
func (k *Known) holders(org policies.OrgID, into map[policies.PersonID]bool) {
	for _, a := range k.Accounts {
		if a.Org == org {
			into[a.Person] = true
		}
	}
	for _, known := range []map[policies.Product]map[policies.PersonID][]policies.OrgID{k.Members, k.Maybe} {
		for _, of := range known {
			for id, orgs := range of {
				if slices.Contains(orgs, org) {
					into[id] = true
				}
			}
		}
	}
}
