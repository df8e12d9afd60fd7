package provision

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
)

// MaxPart is how many people a partial plan is about at most. Past that a whole plan costs hardly more.
const MaxPart = 5000

// Affected says whom the changes of the directory since some number are about.
type Affected struct {
	People []policies.PersonID // whose accounts may have to change, sorted
	Whole  bool                // more people than a partial plan takes, or nobody knows whom: make a whole plan. People is empty then
	Last   int64               // number of the newest change that this covers: where to go on
}

// Affected reads the feed after a number and tells whom its changes are about, for Part. A change that concerns no account (a contact, a
// contractor's service, an appointment) affects nobody.
func (p *Planner) Affected(ctx context.Context, after int64) (Affected, error) {
	found := map[policies.PersonID]bool{}
	for last := after; ; {
		page, err := p.dir.Changes(ctx, p.scope, last, directory.MaxPage)
		if err != nil {
			return Affected{}, fmt.Errorf("read changes: %w", err)
		}
		for _, c := range page {
			last = c.Number
			people, all, err := p.concerned(ctx, c)
			if err != nil {
				return Affected{}, err
			}
			for _, id := range people {
				found[id] = true
			}
			if all || len(found) > MaxPart {
				head, err := p.dir.LastChange(ctx, p.scope) // the whole plan reads the directory after this
				if err != nil {
					return Affected{}, fmt.Errorf("read changes: %w", err)
				}
				return Affected{Whole: true, Last: max(head, last)}, nil
			}
		}
		if len(page) < directory.MaxPage {
			return Affected{People: slices.Sorted(maps.Keys(found)), Last: max(last, after)}, nil
		}
	}
}

// concerned tells whom one change is about; all: so many that a whole plan is due.
func (p *Planner) concerned(ctx context.Context, c directory.Change) (people []policies.PersonID, all bool, err error) {
	switch c.Kind {
	case directory.PersonAdded, directory.PersonChanged, directory.PersonEnded, directory.PersonErased, directory.PersonMovedOut, directory.PersonMovedIn:
		return []policies.PersonID{policies.PersonID(c.Object)}, false, nil
	case directory.PostAdded, directory.PostEnded:
		record := c.After
		if len(record) == 0 {
			record = c.Before
		}
		var post struct {
			Person policies.PersonID `json:"person"`
		}
		if err := json.Unmarshal(record, &post); err != nil || post.Person == "" {
			return nil, true, nil // an erased row: nobody knows whose post it was
		}
		return []policies.PersonID{post.Person}, false, nil
	case directory.OrgChanged:
		return p.renamed(ctx, c)
	}
	return nil, false, nil
}

// renamed tells whom a change of an organization is about: everybody of it where its name changed, nobody where a contact did.
func (p *Planner) renamed(ctx context.Context, c directory.Change) (people []policies.PersonID, all bool, err error) {
	var before, after struct {
		Kind   policies.OrgKind `json:"kind"`
		Name   string           `json:"name"`
		Parent policies.OrgID   `json:"parent"`
	}
	if json.Unmarshal(c.Before, &before) != nil || json.Unmarshal(c.After, &after) != nil || before.Kind != after.Kind || before.Parent != after.Parent {
		return nil, true, nil
	}
	if before.Name == after.Name {
		return nil, false, nil
	}
	filter := directory.PeopleFilter{Org: policies.OrgID(c.Object), Limit: directory.MaxPage}
	for {
		page, err := p.dir.People(ctx, p.scope, filter)
		if err != nil {
			return nil, false, fmt.Errorf("read people of %s: %w", c.Object, err)
		}
		for _, q := range page {
			people = append(people, q.ID)
		}
		if len(page) < filter.Limit {
			return people, false, nil
		}
		if len(people) > MaxPart {
			return nil, true, nil
		}
		filter.After = page[len(page)-1].ID
	}
}

// Part implements Source: the plan of what the present state asks for, of these people alone, at most MaxPart. Every object of it is one that
// Current gives too, a members object with these people alone; the totals count these people alone. It costs what they cost, however many
// others there are.
func (p *Planner) Part(ctx context.Context, maker policies.PersonID, people []policies.PersonID) (Plan, error) {
	if len(people) > MaxPart {
		return Plan{}, fmt.Errorf("plan for %d people: at most %d at once; make a whole plan", len(people), MaxPart)
	}
	people = slices.Clone(people)
	slices.Sort(people)
	people = slices.Compact(people)
	w, err := p.wantedOf(ctx, people)
	if err != nil {
		return Plan{}, err
	}
	k, err := p.store.knownOf(ctx, people, w)
	if err != nil {
		return Plan{}, err
	}
	return p.plan(w, k, maker), nil
}

// wantedOf gives the accounts that directory and policy want now for the people named. Whoever the directory doesn't know gets none.
func (p *Planner) wantedOf(ctx context.Context, ids []policies.PersonID) (Wanted, error) {
	var people []identity.Person
	var posts []identity.Post
	for part := range slices.Chunk(ids, directory.MaxPage) {
		some, err := p.dir.These(ctx, p.scope, part...)
		if err != nil {
			return Wanted{}, fmt.Errorf("read people: %w", err)
		}
		held, err := p.dir.Posts(ctx, p.scope, part...)
		if err != nil {
			return Wanted{}, fmt.Errorf("read posts: %w", err)
		}
		people, posts = append(people, some...), append(posts, held...)
	}
	posts = p.held(posts)
	needed := map[policies.OrgID]bool{}
	for _, q := range people {
		needed[q.Org] = true
	}
	for _, o := range posts {
		needed[o.Org] = true
	}
	orgs := make([]identity.Organization, 0, len(needed))
	for _, id := range slices.Sorted(maps.Keys(needed)) {
		org, err := p.dir.Organization(ctx, p.scope, id)
		if errors.Is(err, identity.ErrNotFound) {
			continue // Want says which person needs it
		}
		if err != nil {
			return Wanted{}, fmt.Errorf("read organization %s: %w", id, err)
		}
		orgs = append(orgs, org)
	}
	return p.want(people, posts, orgs)
}

// held keeps the posts that are held now.
func (p *Planner) held(posts []identity.Post) []identity.Post {
	return heldAt(posts, p.store.now().UnixMicro())
}

func heldAt(posts []identity.Post, at int64) []identity.Post {
	return slices.DeleteFunc(posts, func(o identity.Post) bool { return o.From > at || o.Until != 0 && o.Until <= at })
}

// knownOf reads of the ledger what concerns the people named, and the groups that w wants them in.
func (s *Store) knownOf(ctx context.Context, people []policies.PersonID, w Wanted) (Known, error) {
	k := newKnown()
	orgs := map[policies.OrgID]bool{}
	for _, a := range w.Accounts {
		for _, org := range a.Orgs() {
			orgs[org] = true
		}
	}
	for part := range slices.Chunk(people, maxSeatPeople) {
		if err := s.knownPeople(ctx, part, &k); err != nil {
			return k, err
		}
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(orgs)), maxSeatPeople) {
		for _, product := range policies.Products() {
			in, args := placeholders(part, 2)
			groups, err := collect(ctx, s.db.Reader(), func(rows *sql.Rows) (GroupRow, error) { return scanGroup(rows) },
				`SELECT product, org_id, group_id, name, tried_at FROM provision_group WHERE group_id <> '' AND product=$1 AND org_id IN (`+in+`)`,
				append([]any{string(product)}, args...)...)
			if err != nil {
				return k, fmt.Errorf("read groups: %w", err)
			}
			for _, g := range groups {
				k.Groups[g.Product][g.Org] = g.Name
			}
		}
	}
	return k, nil
}

func (s *Store) knownPeople(ctx context.Context, people []policies.PersonID, k *Known) error {
	in, args := placeholders(people, 2)
	for _, product := range policies.Products() { // the tables' keys begin with the product
		of := append([]any{string(product)}, args...)
		rows, err := collect(ctx, s.db.Reader(), func(rows *sql.Rows) (AccountRow, error) { return scanAccount(rows) },
			`SELECT `+accountColumns+` FROM provision_account WHERE state <> 'creating' AND product=$1 AND person_id IN (`+in+`) ORDER BY person_id`, of...)
		if err != nil {
			return fmt.Errorf("read accounts: %w", err)
		}
		for _, a := range rows {
			k.account(a)
		}
		members, err := collect(ctx, s.db.Reader(), scanMember,
			`SELECT product, person_id, org_id, state FROM provision_member WHERE product=$1 AND person_id IN (`+in+`) ORDER BY person_id, org_id`, of...)
		if err != nil {
			return fmt.Errorf("read members: %w", err)
		}
		for _, m := range members {
			k.member(m)
		}
	}
	return nil
}

// People lists everybody whom the plan is about, sorted.
func (p Plan) People() []policies.PersonID {
	found := map[policies.PersonID]bool{}
	for _, o := range p.Objects {
		if o.Person != "" {
			found[o.Person] = true
		}
		for _, m := range o.Members {
			found[m] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
