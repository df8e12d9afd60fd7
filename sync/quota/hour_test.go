package quota_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/quota"
)

// TestTwoNodesOnPostgreSQLForAnHour has two nodes, each with a database handle of its own, spend all they can get for an hour of
// simulated time: never more than the budget in any span, and at least 95 % of it. Some callers leave and some are urgent. Without
// MUSUBI_SOAK the hour of the faster budgets is cut short.
//
// The bubble's time stands still while PostgreSQL answers, so that what is measured is the buckets and not this machine.
func TestTwoNodesOnPostgreSQLForAnHour(t *testing.T) {
	for _, c := range []struct {
		budget connectors.Budget
		span   time.Duration
	}{
		{connectors.Budget{Class: "jira.post", Rate: 100, Burst: 100}, 15 * time.Second},
		{connectors.Budget{Class: "slack.scim", Rate: 3, Burst: 20}, time.Hour},
		{connectors.Budget{Class: "mail.send", Rate: 10, Burst: 20}, 2 * time.Minute},
	} {
		b, span := c.budget, c.span
		if os.Getenv("MUSUBI_SOAK") != "" {
			span = time.Hour
		}
		t.Run(string(b.Class), func(t *testing.T) {
			url := sqldbtest.Start(t)
			prepared := open(t, url)
			if err := prepared.Close(); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { spendFor(t, url, b, span) })
		})
	}
}

func spendFor(t *testing.T, url string, b connectors.Budget, span time.Duration) {
	m := newMeter()
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	var wg sync.WaitGroup
	var handles []*sqldb.DB
	for range 2 {
		db := sqldbtest.Open(t, url)
		handles = append(handles, db)
		q := node(t, db, quota.Options{}, b)
		for i := range 12 {
			caller := ctx
			if i == 0 {
				caller = connectors.WithUrgent(ctx)
			}
			wg.Go(func() { spend(t, caller, q, b.Class, m) })
		}
	}
	wg.Wait()
	for _, db := range handles {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := m.check(b); err != nil {
		t.Error(err)
	}
	got, all := float64(len(m.at)), float64(b.Burst)+b.Rate*span.Seconds()
	t.Logf("%g of %g tokens (%.2f %%) in %v", got, all, 100*got/all, span)
	if got < 0.95*all || got > all {
		t.Errorf("%g tokens of %g used, want 95 to 100 %%", got, all)
	}
}

// spend takes a token at a time until ctx ends, and comes back when it is told to.
func spend(t *testing.T, ctx context.Context, q *quota.Quota, class connectors.Class, m *meter) {
	for ctx.Err() == nil {
		err := q.Reserve(ctx, class, 1)
		if err == nil {
			m.grant(1)
			continue
		}
		if kind := connectors.KindOf(err); kind != connectors.KindThrottled && kind != connectors.KindCanceled {
			t.Error(err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(connectors.RetryAfterOf(err)):
		}
	}
}
