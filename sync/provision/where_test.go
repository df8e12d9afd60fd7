package provision

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// A transfer recorded while a plan runs: the operations that are still to come grant nothing in the organization that was left.
func TestATransferWhileAPlanRuns(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := startFollowing(t, db, 0)
		ids := f.add(t, "131016", 0, 3)
		r := NewRunner(jobs.NewWorkers(), f.store, f.planner, nil, slog.New(slog.DiscardHandler))
		r.Recheck(f.dir)
		add := View{Op: Op{Product: policies.ProductJira, Kind: OpAdd, Org: "131016", Members: ids}}
		account := View{Op: Op{Product: policies.ProductJira, Kind: OpAccount, Org: "131016", Person: ids[0]}}
		for _, v := range []*View{&add, &account} {
			if err := r.where.moved(t.Context(), v); err != nil || len(v.Moved) != 0 {
				t.Fatalf("before the transfer: %v %v", v.Moved, err)
			}
		}
		for _, x := range []identity.Transfer{
			{Person: ids[0], Kind: identity.TransferMove, To: "131024", StaffNumber: "T1", At: f.at.UnixMicro() - 1},
			{Person: ids[1], Kind: identity.TransferMove, To: "131024", StaffNumber: "T2", At: f.at.UnixMicro() - 1, HandoverUntil: f.at.AddDate(0, 0, 7).UnixMicro()},
		} {
			got, err := f.dir.AddTransfer(t.Context(), everything, x, tester)
			if err != nil {
				t.Fatal(err)
			}
			_ = got
		}
		if _, err := f.dir.Activate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, v := range []*View{&add, &account} {
			if err := r.where.moved(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			if len(v.Moved) != 1 || !v.Moved[ids[0]] {
				t.Errorf("%s: moved %v; %s moved, %s hands over, %s stays", v.Op.Kind, v.Moved, ids[0], ids[1], ids[2])
			}
		}
		w := newWorld(t, 1)
		if e := Execute(t.Context(), f.at, w.open[policies.ProductJira], account); e.Outcome != OutcomeDropped {
			t.Errorf("an account is made where the person was: %+v", e)
		}
		add.Group = &GroupRow{GroupID: "1"}
		add.Accounts = map[policies.PersonID]AccountRow{}
		for _, id := range ids[:1] {
			add.Accounts[id] = AccountRow{State: StateActive, Org: "131016", AccountID: "x"}
		}
		if e := Execute(t.Context(), f.at, w.open[policies.ProductJira], add); slices.Contains(e.Added, ids[0]) {
			t.Errorf("somebody who moved is added: %+v", e)
		}
	})
}

// Who holds a post in another organization beside the main one gets into its group too, by the account that they have; once the post has ended they
// don't any more, and nobody gets in without one.
func TestASecondPostOpensItsGroup(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := startFollowing(t, db, 0)
		ids := f.add(t, "131016", 0, 2)
		r := NewRunner(jobs.NewWorkers(), f.store, f.planner, nil, slog.New(slog.DiscardHandler))
		r.Recheck(f.dir)
		added := func() []policies.PersonID {
			t.Helper()
			w := newWorld(t, 1)
			v := View{Op: Op{Product: policies.ProductJira, Kind: OpAdd, Org: "131024", Members: ids}, Accounts: map[policies.PersonID]AccountRow{}}
			group, err := w.open[policies.ProductJira].GroupWriter.CreateGroup(t.Context(), connectors.Group{Name: "131024"})
			if err != nil {
				t.Fatal(err)
			}
			v.Group = &GroupRow{GroupID: group.ID}
			for _, id := range ids {
				a, err := w.open[policies.ProductJira].AccountWriter.CreateAccount(t.Context(), connectors.Account{Email: string(id) + "@c131016.example.lg.jp", DisplayName: "見本", Active: true})
				if err != nil {
					t.Fatal(err)
				}
				v.Accounts[id] = AccountRow{Product: policies.ProductJira, State: StateActive, Org: "131016", AccountID: a.ID}
			}
			if err := r.where.moved(t.Context(), &v); err != nil {
				t.Fatal(err)
			}
			return Execute(t.Context(), f.at, w.open[policies.ProductJira], v).Added
		}
		if got := added(); len(got) != 0 {
			t.Errorf("without a post: %v", got)
		}
		post := identity.Transfer{Person: ids[0], Kind: identity.TransferConcurrent, To: "131024", StaffNumber: "K1", Role: policies.RoleGeneral, At: f.at.UnixMicro() - 1}
		if _, err := f.dir.AddTransfer(t.Context(), everything, post, tester); err != nil {
			t.Fatal(err)
		}
		if got := added(); !slices.Equal(got, ids[:1]) {
			t.Errorf("with a post: %v, want %s alone", got, ids[0])
		}
		post.Kind = identity.TransferRelease
		if _, err := f.dir.AddTransfer(t.Context(), everything, post, tester); err != nil {
			t.Fatal(err)
		}
		if got := added(); len(got) != 0 {
			t.Errorf("after the post: %v", got)
		}
	})
}

// A node that stalled takes back its own intent at the end, never that of the node that took its job over.
func TestAStalledNodeTakesNothingBack(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)
		s, _ := openStore(t, db, func() time.Time { return now })
		after := Attributes{Email: "a@t.example.lg.jp", Active: true}
		stageForTest(t, s, "run", []Step{
			{Op: Op{Seq: 0, Product: policies.ProductJira, Kind: OpAccount, Org: "131016", Person: "p1", After: &after}},
			{Op: Op{Seq: 1, Product: policies.ProductJira, Kind: OpGroup, Org: "131016", Name: "g"}},
		})
		for seq := range 2 {
			stalled, err := s.Begin(t.Context(), "run", seq)
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Minute)
			newer, err := s.Begin(t.Context(), "run", seq)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Finish(t.Context(), stalled.Op, Effect{Outcome: OutcomeRetry, Untried: true, Began: stalled.Began}); err != nil {
				t.Fatal(err)
			}
			tried := func() (at int64) {
				query := `SELECT tried_at FROM provision_account`
				if seq == 1 {
					query = `SELECT tried_at FROM provision_group`
				}
				if err := db.Reader().QueryRowContext(t.Context(), query).Scan(&at); err != nil {
					t.Fatal(err)
				}
				return at
			}
			if got := tried(); got != newer.Began {
				t.Errorf("operation %d: the newer attempt's intent is gone: %d, want %d", seq, got, newer.Began)
			}
			if err := s.Finish(t.Context(), newer.Op, Effect{Outcome: OutcomeRetry, Untried: true, Began: newer.Began}); err != nil {
				t.Fatal(err)
			}
			if got := tried(); got != 0 {
				t.Errorf("operation %d: its own intent stays: %d", seq, got)
			}
		}
	})
}
