package console

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// maxDigests bounds the remembered digests; past it they are all forgotten and made again as they are asked for.
const maxDigests = 256

// keptObjects is how large a plan may be to be kept decoded for the next page: about 25 MB.
const keptObjects = 50_000

// tally counts what a plan does to one organization, or to all.
type tally struct {
	Groups, Created, Updated, Enabled, Disabled, Leavers, Joins, Leaves int

	Yen int // a month, more (or less) than now
}

// Gained is how many accounts people get or get back.
func (t tally) Gained() int { return t.Created + t.Enabled }

// Lost is how many accounts people lose.
func (t tally) Lost() int { return t.Disabled }

// Changes counts them all: a membership is one change.
func (t tally) Changes() int {
	return t.Groups + t.Created + t.Updated + t.Enabled + t.Disabled + t.Joins + t.Leaves
}

func (t *tally) count(o provision.Object) {
	switch {
	case o.Kind == provision.ObjectGroup:
		t.Groups++
	case o.Kind == provision.ObjectMembers && o.Action == provision.ActionRemove:
		t.Leaves += len(o.Members)
	case o.Kind == provision.ObjectMembers:
		t.Joins += len(o.Members)
	case o.Action == provision.ActionCreate:
		t.Created++
	case o.Action == provision.ActionEnable:
		t.Enabled++
	case o.Action == provision.ActionDisable:
		t.Disabled++
		if o.Leaver {
			t.Leavers++
		}
	default:
		t.Updated++
	}
}

// orgTally is what a plan does to one organization.
type orgTally struct {
	Org policies.OrgID
	tally
}

// digest is what the pages tell of a plan without its objects.
type digest struct {
	Record provision.PlanRecord // as it was when the digest was made: its state is old
	Totals []provision.Total
	All    tally
	Orgs   []orgTally // who loses most first, then who changes most
}

// digestOf counts a plan. It is pure.
func digestOf(p provision.Plan, prices provision.Prices) digest {
	d := digest{Totals: p.Totals}
	by := map[policies.OrgID]*tally{}
	for _, o := range p.Objects {
		t := by[o.Org]
		if t == nil {
			t = &tally{}
			by[o.Org] = t
		}
		t.count(o)
		d.All.count(o)
	}
	for _, c := range p.Changes(prices) {
		d.All.Yen += c.Yen
		if t := by[c.Org]; t != nil {
			t.Yen += c.Yen
		}
	}
	for org, t := range by {
		d.Orgs = append(d.Orgs, orgTally{org, *t})
	}
	slices.SortFunc(d.Orgs, func(a, b orgTally) int {
		return cmp.Or(cmp.Compare(b.Lost(), a.Lost()), cmp.Compare(b.Changes(), a.Changes()), cmp.Compare(a.Org, b.Org))
	})
	return d
}

// decoded is the plan that was looked at last.
type decoded struct {
	key  string
	plan provision.Plan
}

// seenAs names a plan as one viewer sees it: those who see the same organizations see the same of it.
func seenAs(scope policies.Scope, hash string) string {
	if scope.All() {
		return hash
	}
	var b strings.Builder
	b.WriteString(hash)
	for _, org := range scope.Orgs() {
		b.WriteString(" " + string(org))
	}
	return b.String()
}

// planDigest gives the digest of a plan as the viewer may see it. The document is decoded once.
func (c *Console) planDigest(ctx context.Context, v viewer, hash string) (digest, error) {
	key := seenAs(v.plans, hash)
	if known, ok := c.knownDigest(key); ok {
		return known, nil
	}
	if _, err := c.planObjects(ctx, v, hash); err != nil {
		return digest{}, err
	}
	known, _ := c.knownDigest(key)
	return known, nil
}

// planObjects gives a plan as the viewer may see it. One document is decoded at a time: a national one is large.
func (c *Console) planObjects(ctx context.Context, v viewer, hash string) (provision.Plan, error) {
	key := seenAs(v.plans, hash)
	select {
	case c.loading <- struct{}{}:
		defer func() { <-c.loading }()
	case <-ctx.Done():
		return provision.Plan{}, ctx.Err()
	}
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if last.key == key {
		return last.plan, nil
	}
	record, plan, err := c.cfg.Provision.LoadWithin(ctx, v.plans, hash)
	if err != nil {
		return plan, err
	}
	d := digestOf(plan, c.prices())
	d.Record = record
	c.remember(key, d)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(plan.Objects) <= keptObjects {
		c.last = decoded{key, plan}
	}
	return plan, nil
}

// prices are those of the configuration, none without a planner: then nothing costs anything.
func (c *Console) prices() provision.Prices {
	if c.cfg.Planner == nil {
		return nil
	}
	return c.cfg.Planner.Prices()
}

func (c *Console) remember(key string, d digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.digests) >= maxDigests {
		clear(c.digests)
	}
	c.digests[key] = d
}

func (c *Console) knownDigest(key string) (digest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.digests[key]
	return known, ok
}
