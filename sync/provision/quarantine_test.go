package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// live is a sandbox with a store, its jobs and a runner.
type live struct {
	*Store
	world *world
	src   *fixedSource
}

func startLive(t *testing.T, db *sqldb.DB) *live {
	t.Helper()
	s, _ := openStore(t, db, time.Now)
	if err := jobs.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	l := &live{Store: s, world: newWorld(t, 1), src: &fixedSource{}}
	workers := jobs.NewWorkers()
	NewRunner(workers, s, l.src, l.world.open, slog.New(slog.DiscardHandler))
	client, err := jobs.New(jobs.Config{DB: db, Workers: workers, NodeID: "node-test", Queues: Queues()})
	if err != nil {
		t.Fatal(err)
	}
	s.Bind(client)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	if err := client.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Stop(context.Background()); cancel() })
	return l
}

// apply plans for the people, approves and applies, and gives the plan's progress at its end.
func (l *live) apply(t *testing.T, people []identity.Person) Progress {
	t.Helper()
	known, err := l.Known(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scope := scopeOf(t, "maker", policies.ActionPlanMake, "")
	plan := Make(mustWant(t, people), known, "maker", scope.Hash())
	l.src.set(plan)
	rec, err := l.Save(t.Context(), scope, plan)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Approve(t.Context(), scopeOf(t, "approver", policies.ActionPlanApprove, "maker"), rec.Hash); err != nil {
		t.Fatal(err)
	}
	apply := scopeOf(t, "maker", policies.ActionPlanApply, "")
	token, err := l.Approved(t.Context(), apply, rec.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Apply(t.Context(), apply, token); err != nil {
		t.Fatal(err)
	}
	var p Progress
	until(t, "the plan is done", func() bool {
		p, err = l.Progress(t.Context(), apply, rec.Hash)
		return err == nil && p.Plan.State == PlanDone
	})
	return p
}

// plant makes the ledger believe in an account that the product doesn't have, as after somebody deleted it there.
func (l *live) plant(t *testing.T, product policies.Product, p identity.Person, seat policies.Seat, id string) {
	t.Helper()
	a := attributes(p, identity.Organization{ID: p.Org, Name: map[policies.OrgID]string{"2000012020001": "総務省"}[p.Org]}, policies.SeatDecision{Product: product, Seat: seat})
	if _, err := l.db.Writer().ExecContext(t.Context(), `INSERT INTO provision_account (product, person_id, org_id, seat, account_id, state, attributes, updated_at) VALUES ($1,$2,$3,$4,$5,'active',$6,1)`,
		string(product), string(p.ID), string(p.Org), string(seat), id, encodeJSON(a)); err != nil {
		t.Fatal(err)
	}
}

// Two of twenty members don't exist at the vendor, in each product: the eighteen are in, and the two stand alone in quarantine.
func TestOneBadMemberNeverLosesAGroup(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := startLive(t, db)
		var people []identity.Person
		for i := range 40 {
			p := testPerson(i, "131016")
			if i >= 20 {
				p = testPerson(i, "2000012020001")
			}
			people = append(people, p)
		}
		bad := []int{3, 17, 25, 38}
		for _, i := range bad {
			if i < 20 {
				l.plant(t, policies.ProductJira, people[i], policies.SeatPortalCustomer, "qm:ghost-"+string(people[i].ID))
			} else {
				l.plant(t, policies.ProductAtlassian, people[i], policies.SeatLicensedMember, "99999999-9999-4999-8999-9999999999"+string(people[i].ID[3:]))
			}
		}
		p := l.apply(t, people)
		quarantined := 0
		for _, pp := range p.Products {
			quarantined += pp.Quarantined
		}
		if quarantined != len(bad) {
			t.Errorf("%d operations are quarantined: %+v", quarantined, p.Products)
		}
		want := mustWant(t, people)
		truth := slices.DeleteFunc(wantedTruth(want, map[team]bool{}), func(line string) bool {
			return slices.ContainsFunc(bad, func(i int) bool {
				product := policies.ProductJira
				if i >= 20 {
					product = policies.ProductAtlassian
				}
				return strings.HasPrefix(line, fmt.Sprintf("%s account %s ", product, people[i].Email))
			})
		})
		if diff := cmp.Diff(truth, l.world.truth(t)); diff != "" {
			t.Errorf("ground truth (-want +got):\n%s", diff)
		}
		read := scopeOf(t, "maker", policies.ActionPlanRead, "")
		list, err := l.Quarantine(t.Context(), read, QuarantineFilter{})
		if err != nil {
			t.Fatal(err)
		}
		var who []string
		for _, q := range list {
			who = append(who, string(q.Person))
			if q.Kind != OpAdd || q.Words == "" || q.Remedy == "" || !strings.Contains(q.Words, string(q.Product)) || q.State != QuarantineOpen {
				t.Errorf("quarantine says %+v", q)
			}
		}
		if one, err := l.Quarantine(t.Context(), read, QuarantineFilter{Person: "p0017"}); err != nil || len(one) != 1 || one[0].Person != "p0017" {
			t.Errorf("of one person: %+v, %v", one, err)
		}
		slices.Sort(who)
		if want := []string{"p0003", "p0017", "p0025", "p0038"}; !slices.Equal(who, want) {
			t.Errorf("in quarantine: %v, want %v", who, want)
		}
		groups := map[team]bool{}
		for _, a := range want.Accounts {
			groups[team{a.Product, a.Org}] = true
		}
		l.receipts(t, len(want.Accounts)-len(bad), len(groups))
		l.decide(t, list[0])
	})
}

// receipts holds that each outside effect has one row in the audit log.
func (l *live) receipts(t *testing.T, accounts, groups int) {
	t.Helper()
	find := func(action string) []audit.Row {
		rows, err := audit.Find(t.Context(), l.db.Reader(), scopeOf(t, "x", policies.ActionAuditRead, ""), audit.Filter{Action: action, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	seen := map[string]int{}
	for _, r := range find("account.created") {
		seen[fmt.Sprint(r.Detail["product"], " ", r.Object)]++
		if id, _ := r.Detail["request"].(string); len(id) != 32 {
			t.Errorf("a receipt without the vendor's request id: %+v", r.Detail)
		}
		if r.Detail["account"] == nil || r.Detail["product"] == nil || r.Org == "" {
			t.Errorf("a receipt without account or product: %+v", r)
		}
	}
	for p, n := range seen {
		if n != 1 {
			t.Errorf("%s has %d receipts", p, n)
		}
	}
	if len(seen) != accounts {
		t.Errorf("%d accounts have a receipt, want %d", len(seen), accounts)
	}
	added := map[string]int{}
	for _, r := range find("member.added") {
		list, _ := r.Detail["people"].([]any)
		for _, p := range list {
			added[fmt.Sprint(r.Detail["product"], " ", p)]++
		}
	}
	if len(added) != accounts {
		t.Errorf("%d members have a receipt, want %d", len(added), accounts)
	}
	if n := len(find("group.created")) + len(find("group.adopted")); n != groups {
		t.Errorf("%d receipts of groups", n)
	}
}

// decide holds who decides on quarantine, and what follows.
func (l *live) decide(t *testing.T, q Quarantined) {
	t.Helper()
	act := scopeOf(t, "maker", policies.ActionJobsWrite, "")
	if _, err := l.Decide(t.Context(), scopeOf(t, "maker", policies.ActionPlanRead, ""), q.ID, QuarantineRetry, ""); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("a reader decides: %v", err)
	}
	if _, err := l.Decide(t.Context(), act, q.ID, QuarantineIgnored, " "); !errors.Is(err, ErrDecision) {
		t.Errorf("ignored without a reason: %v", err)
	}
	if got, err := l.Decide(t.Context(), act, q.ID, QuarantineIgnored, "the vendor looks into it"); err != nil || got.State != QuarantineIgnored || got.DecidedBy != "maker" {
		t.Errorf("%+v %v", got, err)
	}
	plan := Plan{Totals: []Total{{Product: q.Product, MembersAdded: 2, AccountsWanted: 7}}, Objects: []Object{{Product: q.Product, Kind: ObjectMembers, Action: ActionAdd, Org: q.Org, Members: []policies.PersonID{"other", q.Person}}}}
	without, err := l.WithoutIgnored(t.Context(), plan)
	if err != nil || len(without.Objects) != 1 || !slices.Equal(without.Objects[0].Members, []policies.PersonID{"other"}) || without.Totals[0].MembersAdded != 1 || without.Totals[0].AccountsWanted != 7 {
		t.Errorf("a plan with what is ignored: %+v %v", without, err)
	}
	if got, err := l.Decide(t.Context(), act, q.ID, QuarantineRetry, ""); err != nil || got.State != QuarantineRetry {
		t.Errorf("%+v %v", got, err)
	}
	if without, err := l.WithoutIgnored(t.Context(), plan); err != nil || len(without.Objects[0].Members) != 2 {
		t.Errorf("what is retried is left out: %+v %v", without, err)
	}
	var n int
	if err := l.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM provision_again WHERE person_id=$1`, string(q.Person)).Scan(&n); err != nil || n != 1 {
		t.Errorf("a retried object isn't planned again: %d %v", n, err)
	}
}

// An object in quarantine is solved by being done, whoever planned it.
func TestQuarantineIsSolvedByBeingDone(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, _ := openStore(t, db, time.Now)
		after := attributes(testPerson(1, "131016"), identity.Organization{ID: "131016"}, policies.SeatDecision{Product: policies.ProductJira, Seat: policies.SeatPortalCustomer})
		op := Op{Run: "run", Product: policies.ProductJira, Kind: OpAccount, Org: "131016", Person: "p0001", Seat: policies.SeatPortalCustomer, After: &after}
		other := op
		other.Seq, other.Person = 1, "p0002"
		stageForTest(t, s, "run", []Step{{Op: op}, {Op: other}})
		for _, o := range []Op{op, other} {
			if err := s.Finish(t.Context(), o, quarantine(errors.New("jira: create customer: invalid: bad address"), "correct it")); err != nil {
				t.Fatal(err)
			}
		}
		stageForTest(t, s, "run2", []Step{{Op: op}})
		again := op
		again.Run = "run2"
		if err := s.Finish(t.Context(), again, Effect{Outcome: OutcomeDone, Receipt: Receipt{How: "created", AccountID: "x"}}); err != nil {
			t.Fatal(err)
		}
		list, err := s.Quarantine(t.Context(), scopeOf(t, "maker", policies.ActionPlanRead, ""), QuarantineFilter{})
		if err != nil || len(list) != 1 || list[0].Person != "p0002" || list[0].Words != "jira: create customer: invalid: bad address" {
			t.Errorf("%+v %v", list, err)
		}
		if _, err := s.Decide(t.Context(), scopeOf(t, "maker", policies.ActionJobsWrite, ""), quarantineID(policies.ProductJira, OpAccount, "131016", "p0001"), QuarantineRetry, ""); !errors.Is(err, ErrDecision) {
			t.Errorf("what is solved is retried: %v", err)
		}
	})
}
