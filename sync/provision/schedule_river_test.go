package provision

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// sized is how many random lives a test walks through: few in a normal run, what the variable says in make scale and make soak.
func sized(t *testing.T, variable string, few int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number from 1", variable, text)
	}
	return n
}

// changing is a directory whose people change, as a source of plans.
type changing struct {
	store *Store
	hash  string
	mu    sync.Mutex
	list  []identity.Person
}

func (c *changing) people() []identity.Person {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

func (c *changing) Current(ctx context.Context, maker policies.PersonID) (Plan, error) {
	k, err := c.store.Known(ctx)
	if err != nil {
		return Plan{}, err
	}
	w, err := Want(c.people(), nil, testOrgs(), tableSeater{})
	if err != nil {
		return Plan{}, err
	}
	return Make(w, k, maker, c.hash), nil
}

func (c *changing) Part(ctx context.Context, maker policies.PersonID, _ []policies.PersonID) (Plan, error) {
	return c.Current(ctx, maker)
}

// life is one random life through River: plans, faults, restarts in the middle, a leaver, transfers, the next plans.
type life struct {
	t      *testing.T
	db     *sqldb.DB
	rng    *rand.Rand
	world  *world
	store  *Store
	source *changing
	client *jobs.Client
	cancel context.CancelFunc
}

func (l *life) start() {
	l.t.Helper()
	workers := jobs.NewWorkers()
	NewRunner(workers, l.store, l.source, l.world.open, slog.New(slog.DiscardHandler))
	var err error
	if l.client, err = jobs.New(jobs.Config{DB: l.db, Workers: workers, NodeID: "node-test", Queues: Queues(), Now: time.Now}); err != nil {
		l.t.Fatal(err)
	}
	l.store.Bind(l.client)
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	if err := l.client.Start(ctx); err != nil {
		l.t.Fatal(err)
	}
}

// stop ends the client as a restart does: what it was doing is cut off.
func (l *life) stop() {
	l.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = l.client.Stop(ctx)
}

// apply approves and applies the plan, with restarts and, at a random moment, the leaver.
func (l *life) apply(plan Plan, leave func()) {
	l.t.Helper()
	ctx := l.t.Context()
	maker := scopeOf(l.t, "maker", policies.ActionPlanMake, "")
	rec, err := l.store.Save(ctx, maker, plan)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.store.Approve(ctx, scopeOf(l.t, "approver", policies.ActionPlanApprove, "maker"), rec.Hash); err != nil {
		l.t.Fatal(err)
	}
	apply := scopeOf(l.t, "maker", policies.ActionPlanApply, "")
	token, err := l.store.Approved(ctx, apply, rec.Hash)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.store.Apply(ctx, apply, token); err != nil {
		l.t.Fatal(err)
	}
	leaveAt, restarts := l.rng.IntN(30), l.rng.IntN(3)
	for tick, began := 0, time.Now(); ; tick++ {
		time.Sleep(time.Duration(50+l.rng.IntN(400)) * time.Millisecond)
		if tick == leaveAt {
			leave()
		}
		if restarts > 0 && l.rng.IntN(10) == 0 {
			restarts--
			l.stop()
			l.start()
		}
		p, err := l.store.Progress(ctx, apply, rec.Hash)
		if err != nil {
			l.t.Fatal(err)
		}
		var leaving bool
		if err := l.db.Reader().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM provision_leaver WHERE state='pending')`).Scan(&leaving); err != nil {
			l.t.Fatal(err)
		}
		if p.Plan.State == PlanDone && !leaving && tick > leaveAt {
			return
		}
		if time.Since(began) > 12*time.Hour {
			l.t.Fatalf("not done in 12 hours: %+v", p)
		}
	}
}

func (l *life) run() string {
	l.t.Helper()
	ctx := l.t.Context()
	orgs := testOrgs()
	var people []identity.Person
	for i := range 3 + l.rng.IntN(7) {
		p := testPerson(i, orgs[l.rng.IntN(len(orgs))].ID)
		if p.Org == orgs[0].ID {
			p.Email = fmt.Sprintf("p%d@c2000012020001.example.lg.jp", i)
		}
		people = append(people, p)
	}
	l.source.list = people
	l.start()
	defer func() { l.stop() }()
	groups := map[team]bool{}
	for round := range 2 {
		weather(l.t, l.world, l.rng)
		for range 8 {
			plan, err := l.source.Current(ctx, "maker")
			if err != nil {
				l.t.Fatal(err)
			}
			if plan.Empty() {
				break
			}
			gone := l.rng.IntN(3 * len(people))
			l.apply(plan, func() {
				if gone >= len(people) || !l.source.people()[gone].Active() {
					return
				}
				l.source.mu.Lock()
				l.source.list[gone].EndedAt = time.Now().UnixMicro()
				l.source.mu.Unlock()
				if err := l.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
					return l.store.EnqueueLeaver(ctx, tx, access.Leaver{Person: people[gone].ID, At: time.Now().UnixMicro(), Role: policies.RoleGeneral})
				}); err != nil {
					l.t.Fatal(err)
				}
			})
			l.staged(groups)
			if still := l.world.present(l.t, l.source.people()); still != "" {
				return still
			}
			l.world.control(l.t, http.MethodDelete, "faults", nil, nil)
		}
		if got, want := l.world.truth(l.t), wantedTruth(mustWant(l.t, l.source.people()), groups); !slices.Equal(got, want) {
			return fmt.Sprintf("round %d:\n%s", round, cmp.Diff(want, got))
		}
		l.source.mu.Lock()
		for i := range l.source.list { // transfers between the towns
			if p := &l.source.list[i]; p.Active() && p.Org != orgs[0].ID && l.rng.IntN(2) == 0 {
				p.Org = orgs[1+l.rng.IntN(2)].ID
			}
		}
		l.source.mu.Unlock()
	}
	return ""
}

// staged adds the groups that some run was to make: they stay, also when the last of their people leaves. A group of the plan whose only
// people had left before the run began isn't among them.
func (l *life) staged(groups map[team]bool) {
	l.t.Helper()
	ops, err := collect(l.t.Context(), l.db.Reader(), func(rows *sql.Rows) (op Op, err error) {
		var payload string
		if err := rows.Scan(&payload); err != nil {
			return op, err
		}
		return op, decodeJSON(payload, &op)
	}, `SELECT payload FROM provision_op WHERE kind=$1`, string(OpGroup))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, op := range ops {
		groups[team{op.Product, op.Org}] = true
	}
}

// The same random lives as in memory, through River and the SQL ledger: 300 on SQLite and 50 on PostgreSQL in make scale.
func TestFaultSchedulesThroughRiver(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		db := sqldbtest.Open(t, url)
		openStore(t, db, time.Now)
		if err := jobs.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		engine := db.Engine()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		n := sized(t, "MUSUBI_RIVER_SCHEDULES_"+string(engine), map[sqldb.Engine]int{sqldb.SQLite: 8, sqldb.PostgreSQL: 2}[engine])
		for seed := range uint64(n) {
			synctest.Test(t, func(t *testing.T) {
				db := sqldbtest.Open(t, url)
				defer func() { _ = db.Close() }()
				for _, table := range []string{
					"provision_plan", "provision_op", "provision_edge", "provision_person", "provision_account", "provision_group", "provision_member", "provision_leaver",
					"river_job", "job_key",
				} {
					if _, err := db.Writer().ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
						t.Fatal(err)
					}
				}
				s := NewStore(db, time.Now)
				l := &life{
					t: t, db: db, rng: rand.New(rand.NewPCG(seed, 11)), world: newWorld(t, seed), store: s,
					source: &changing{store: s, hash: scopeOf(t, "maker", policies.ActionPlanMake, "").Hash()},
				}
				if diff := l.run(); diff != "" {
					t.Errorf("seed %d: the SaaS don't hold what the plan says (-want +got):\n%s", seed, diff)
				}
			})
			if t.Failed() {
				return
			}
		}
	})
}
