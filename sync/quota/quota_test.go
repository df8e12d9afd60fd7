package quota_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/quota"
)

func open(tb testing.TB, url string) *sqldb.DB {
	tb.Helper()
	db := sqldbtest.Open(tb, url)
	if err := db.Migrate(context.Background(), quota.Migration()); err != nil {
		tb.Fatal(err)
	}
	return db
}

func node(tb testing.TB, db *sqldb.DB, opt quota.Options, budgets ...connectors.Budget) *quota.Quota {
	tb.Helper()
	q, err := quota.New(db, time.Now, budgets, opt)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

var (
	template     sync.Once
	templateFile []byte
)

// inBubble runs fn on fake time with a fresh SQLite database.
func inBubble(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	// The schema is made once: migrating for every case would be most of the time.
	template.Do(func() {
		path := filepath.Join(t.TempDir(), "template.db")
		db := open(t, "sqlite:"+path)
		err := db.Close()
		if err == nil {
			templateFile, err = os.ReadFile(path)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	path := filepath.Join(t.TempDir(), "quota.db")
	if err := os.WriteFile(path, templateFile, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		db := sqldbtest.Open(t, "sqlite:"+path)
		fn(t, db)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// meter records when tokens were granted.
type meter struct {
	mu    sync.Mutex
	began time.Time
	at    []time.Duration // one entry a token, in order of time
}

func newMeter() *meter { return &meter{began: time.Now()} }

func (m *meter) grant(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		m.at = append(m.at, time.Since(m.began))
	}
}

// check says where more was granted in some span of time than burst + rate * t, for every span at once: with x(i) = i - rate *
// t(i), the most in any span is the largest rise of x.
func (m *meter) check(b connectors.Budget) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	lowest := 0.0
	for i, at := range m.at {
		x := float64(i) - b.Rate*at.Seconds()
		if i == 0 {
			lowest = x
		}
		lowest = min(lowest, x)
		if over := x - lowest + 1 - float64(b.Burst); over > 0.001 {
			return fmt.Errorf("at %s there were %.3f tokens too many for %g a second, burst %d", at, over, b.Rate, b.Burst)
		}
	}
	return nil
}

// TestNodesKeepOneBudgetAndUseIt has many callers on two nodes take all they can get for a minute.
func TestNodesKeepOneBudgetAndUseIt(t *testing.T) {
	for _, b := range []connectors.Budget{
		{Class: "jira.post", Rate: 100, Burst: 100},
		{Class: "slack.scim", Rate: 3, Burst: 20},
		{Class: "surveymonkey.minute", Rate: 2, Burst: 2},
		{Class: "tiny.call", Rate: 1, Burst: 1},
		{Class: "atlassian.scim", Rate: 15.5, Burst: 40},
	} {
		t.Run(string(b.Class), func(t *testing.T) {
			inBubble(t, func(t *testing.T, db *sqldb.DB) {
				m := newMeter()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for range 2 {
					q := node(t, db, quota.Options{}, b)
					for range 16 {
						wg.Go(func() {
							for ctx.Err() == nil {
								err := q.Reserve(ctx, b.Class, 1)
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
						})
					}
				}
				wg.Wait()
				if err := m.check(b); err != nil {
					t.Error(err)
				}
				kept := float64(int(float64(b.Burst) * 0.05))
				if got, all := float64(len(m.at)), float64(b.Burst)-kept+b.Rate*60; got < 0.95*all {
					t.Errorf("%g tokens of %g used, want at least 95%%; at %s", got, all, m.at)
				}
			})
		})
	}
}

// TestNoSpanEverExceedsTheBudget tries any budgets, callers and nodes.
func TestNoSpanEverExceedsTheBudget(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func(t *testing.T, db *sqldb.DB) {
			b := connectors.Budget{
				Class: "any.call",
				Rate:  rapid.Float64Range(0.05, 200).Draw(rt, "rate"),
				Burst: rapid.IntRange(1, 200).Draw(rt, "burst"),
			}
			m := newMeter()
			most := max(1, b.Burst/2)
			var wg sync.WaitGroup
			for range rapid.IntRange(1, 3).Draw(rt, "nodes") {
				q := node(t, db, quota.Options{}, b)
				for range rapid.IntRange(1, 6).Draw(rt, "callers") {
					pauses := rapid.SliceOfN(rapid.IntRange(0, 400), 1, 12).Draw(rt, "pauses in ms")
					n := min(rapid.IntRange(1, 3).Draw(rt, "n"), most)
					ctx := t.Context()
					if rapid.Bool().Draw(rt, "urgent") {
						ctx = connectors.WithUrgent(ctx)
					}
					wg.Go(func() {
						for _, p := range pauses {
							time.Sleep(time.Duration(p) * time.Millisecond)
							began := time.Now()
							err := q.Reserve(ctx, b.Class, n)
							if took := time.Since(began); took > 2*time.Second {
								t.Errorf("a caller waited %s", took)
							}
							switch kind := connectors.KindOf(err); {
							case err == nil:
								m.grant(n)
							case kind != connectors.KindThrottled || connectors.RetryAfterOf(err) <= 0:
								t.Errorf("%v, retry after %s", err, connectors.RetryAfterOf(err))
							}
						}
					})
				}
			}
			wg.Wait()
			if err := m.check(b); err != nil {
				rt.Fatal(err)
			}
		})
	})
}

func TestQueueIsFirstInFirstOut(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sqldb.DB) {
		b := connectors.Budget{Class: "a.x", Rate: 10, Burst: 1}
		q := node(t, db, quota.Options{}, b)
		var (
			mu    sync.Mutex
			order []int
			wg    sync.WaitGroup
		)
		for i := range 10 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
		}
		wg.Wait()
		if got := fmt.Sprint(order); got != "[0 1 2 3 4 5 6 7 8 9]" {
			t.Errorf("served %s", got)
		}
	})
}

func TestLeaversHaveAPartOfTheirOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sqldb.DB) {
		b := connectors.Budget{Class: "day.calls", Rate: 0.001, Burst: 100}
		q := node(t, db, quota.Options{}, b)
		normal := 0
		for q.Reserve(t.Context(), b.Class, 1) == nil {
			normal++
		}
		urgent := 0
		for q.Reserve(connectors.WithUrgent(t.Context()), b.Class, 1) == nil {
			urgent++
		}
		if normal != 95 || urgent != 5 {
			t.Errorf("%d for everybody and %d for leavers, want 95 and 5", normal, urgent)
		}
	})
}

func TestALeaverOvertakesTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sqldb.DB) {
		b := connectors.Budget{Class: "a.x", Rate: 5, Burst: 40}
		q := node(t, db, quota.Options{}, b)
		for range 38 {
			if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { _ = q.Reserve(t.Context(), b.Class, 1) })
		}
		time.Sleep(time.Millisecond)
		began := time.Now()
		if err := q.Reserve(connectors.WithUrgent(t.Context()), b.Class, 1); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the leaver waited %s behind the others", took)
		}
		wg.Wait()
	})
}

func TestRefusedCallersComeBackOneByOne(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sqldb.DB) {
		b := connectors.Budget{Class: "slow.calls", Rate: 0.5, Burst: 1}
		q := node(t, db, quota.Options{}, b)
		if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		served := make(chan time.Duration)
		go func() { // just within the two seconds
			if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
				t.Error(err)
			}
			served <- time.Since(began)
		}()
		synctest.Wait()
		for i := range 400 {
			err := q.Reserve(t.Context(), b.Class, 1)
			if connectors.KindOf(err) != connectors.KindThrottled {
				t.Fatalf("call %d: %v", i, err)
			}
			// Slots two seconds apart, beginning after the one who waits; after ten minutes they begin anew.
			slots := int((10*time.Minute - 4*time.Second) / (2 * time.Second))
			want := 4*time.Second + time.Duration(i%(slots+1))*2*time.Second
			if got := connectors.RetryAfterOf(err); got != want {
				t.Fatalf("call %d is told to come back after %s, want %s", i, got, want)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("400 refusals took %s, want them at once", took)
		}
		if took := <-served; took != 2*time.Second {
			t.Errorf("the one who waited was served after %s, want 2s", took)
		}
	})
}

func TestThrottledStopsEveryNode(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sqldb.DB) {
		b := connectors.Budget{Class: "jira.post", Rate: 100, Burst: 100}
		one, two := node(t, db, quota.Options{}, b), node(t, db, quota.Options{}, b)
		for _, q := range []*quota.Quota{one, two} {
			if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
				t.Fatal(err)
			}
		}
		until := time.Now().Add(30 * time.Second)
		if err := one.Throttled(t.Context(), b.Class, until); err != nil {
			t.Fatal(err)
		}
		for i, q := range []*quota.Quota{one, two} {
			err := q.Reserve(connectors.WithUrgent(t.Context()), b.Class, 1)
			if after := connectors.RetryAfterOf(err); connectors.KindOf(err) != connectors.KindThrottled || after < 30*time.Second || after > 31*time.Second {
				t.Errorf("node %d in the vendor's pause: %v, retry after %s", i, err, after)
			}
		}
		usage, err := two.Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if u := usage[0]; !u.ThrottledUntil.Equal(until.Truncate(time.Microsecond)) || u.Tokens != 0 || u.Refused != 1 || u.Granted != 1 {
			t.Errorf("usage %+v", u)
		}
		time.Sleep(30*time.Second + 500*time.Millisecond)
		m := newMeter()
		for q := one; len(m.at) < 40; {
			if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
				t.Fatal(err)
			}
			m.grant(1)
		}
		if m.at[39] > 200*time.Millisecond {
			t.Errorf("40 tokens took %s half a second after the pause", m.at[39])
		}
		// A nonsense date holds nobody up for more than a day.
		if err := one.Throttled(t.Context(), b.Class, time.Now().AddDate(10, 0, 0)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24*time.Hour + time.Second)
		if err := two.Reserve(t.Context(), b.Class, 1); err != nil {
			t.Error(err)
		}
	})
}

func TestCancelledCallerLeavesTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sqldb.DB) {
		b := connectors.Budget{Class: "a.x", Rate: 2, Burst: 1}
		q := node(t, db, quota.Options{}, b)
		if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 { // the first of them leads
			wg.Go(func() {
				if err := q.Reserve(ctx, b.Class, 1); connectors.KindOf(err) != connectors.KindCanceled || !errors.Is(err, context.Canceled) {
					t.Errorf("a cancelled caller got %v", err)
				}
			})
			synctest.Wait()
		}
		time.Sleep(250 * time.Millisecond)
		cancel()
		wg.Wait()
		began := time.Now()
		if err := q.Reserve(t.Context(), b.Class, 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 251*time.Millisecond {
			t.Errorf("waited %s behind callers who are gone", took)
		}
		usage, err := q.Usage(t.Context())
		if err != nil || usage[0].Waiting != 0 {
			t.Errorf("usage %+v, %v", usage, err)
		}
	})
}

// TestFewWrites holds that a node under load goes to the database for leases, not for tokens.
func TestFewWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sqldb.DB) {
		b := connectors.Budget{Class: "jira.post", Rate: 100, Burst: 100}
		q := node(t, db, quota.Options{}, b)
		var granted atomic.Int64
		var wg sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		writes := func() (n int64) {
			if err := db.Writer().QueryRow("SELECT total_changes()").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := writes()
		for range 64 {
			wg.Go(func() {
				for ctx.Err() == nil {
					if q.Reserve(ctx, b.Class, 1) == nil {
						granted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if n := (writes() - before) / 2; n > granted.Load()/8 {
			t.Errorf("%d writes for %d tokens", n, granted.Load())
		}
	})
}
