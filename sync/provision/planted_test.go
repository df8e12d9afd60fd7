package provision

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/policies"
)

// careless forgets that a call to add members was begun.
type careless struct{ *memLedger }

func (c careless) Begin(ctx context.Context, run string, seq int) (View, error) {
	v, err := c.memLedger.Begin(ctx, run, seq)
	v.Tried = false
	return v, err
}

// unchased doesn't notice that somebody left while a grant was on its way.
type unchased struct{ *memLedger }

func (u unchased) Finish(ctx context.Context, op Op, e Effect) error {
	u.mu.Lock()
	left := u.left
	u.left = map[policies.PersonID]bool{}
	u.mu.Unlock()
	err := u.memLedger.Finish(ctx, op, e)
	u.mu.Lock()
	for p := range u.left {
		left[p] = true
	}
	u.left = left
	u.mu.Unlock()
	return err
}

// hopeful takes a lost answer for success.
type hopeful struct{ connectors.GroupWriter }

func (h hopeful) AddMembers(ctx context.Context, group string, ids []string) error {
	err := h.GroupWriter.AddMembers(ctx, group, ids)
	if k := connectors.KindOf(err); k == connectors.KindUnavailable || k == connectors.KindAmbiguous {
		return nil
	}
	return err
}

// lazy says that it removed members and didn't.
type lazy struct{ connectors.GroupWriter }

func (lazy) RemoveMembers(context.Context, string, []string) error { return nil }

// deaf doesn't disable accounts.
type deaf struct{ connectors.AccountWriter }

func (deaf) DisableAccount(context.Context, string) error { return nil }

// The fault schedules are worth something only if they catch a bug in the engine. Each of these is one.
func TestFaultSchedulesCatchPlantedBugs(t *testing.T) {
	each := func(change func(*connectors.Opened)) func(map[policies.Product]connectors.Opened) {
		return func(open map[policies.Product]connectors.Opened) {
			for p, o := range open {
				change(&o)
				open[p] = o
			}
		}
	}
	plain := func(m *memLedger) Ledger { return m }
	for _, bug := range []struct {
		name  string
		wrap  func(*memLedger) Ledger
		twist func(map[policies.Product]connectors.Opened)
	}{
		{"a begun addition is forgotten: a leaver stays in a group", func(m *memLedger) Ledger { return careless{m} }, nil},
		{"a grant that lands after a leaving isn't noticed", func(m *memLedger) Ledger { return unchased{m} }, nil},
		{"a lost answer counts as success", plain, each(func(o *connectors.Opened) { o.GroupWriter = hopeful{o.GroupWriter} })},
		{"removals aren't done", plain, each(func(o *connectors.Opened) { o.GroupWriter = lazy{o.GroupWriter} })},
		{"accounts aren't disabled", plain, each(func(o *connectors.Opened) { o.AccountWriter = deaf{o.AccountWriter} })},
	} {
		t.Run(bug.name, func(t *testing.T) {
			for seed := range uint64(schedules) {
				diff := ""
				synctest.Test(t, func(t *testing.T) { diff = schedule(t, seed, bug.wrap, bug.twist) })
				if diff != "" {
					t.Logf("caught by seed %d", seed)
					return
				}
			}
			t.Error("no schedule caught it")
		})
	}
}
