package provision

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
	"github.com/musubi-hub/musubi/sync/jobs"
)

func benchPeople(n int) []identity.Person {
	people := make([]identity.Person, n)
	for i := range people {
		people[i] = testPerson(i, testOrgs()[1+i%2].ID)
		people[i].ID = policies.PersonID(fmt.Sprintf("p%08d", i))
	}
	return people
}

// BenchmarkPlan: wanted state by the shipped policies, diff, canonical JSON and hash for the national list's 53,640 people. The
// ratio is to hashing the same document alone.
func BenchmarkPlan(b *testing.B) {
	engine, err := load.Default()
	if err != nil {
		b.Fatal(err)
	}
	people := benchPeople(53640)
	size, hashing := 0, time.Duration(0)
	for b.Loop() {
		w, err := Want(people, nil, testOrgs(), engine)
		if err != nil {
			b.Fatal(err)
		}
		p := Make(w, Known{}, "maker", engine.Hash())
		doc := p.Encode()
		began := time.Now()
		sha256.Sum256(doc)
		hashing += time.Since(began)
		size = len(doc)
		if _, err := Steps("run", p.Objects, func(policies.Product) int { return 50 }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(people)*b.N)/b.Elapsed().Seconds(), "people/s")
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(b.Elapsed().Seconds()/hashing.Seconds(), "x-hashing")
}

// BenchmarkApply: operations per second through River, ledger, connector and the sandbox in process, without quotas that bind. The
// ratio is to the same number of bare calls of the connector, 64 at once.
func BenchmarkApply(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		const n = 2000
		for b.Loop() { // ns/op covers the preparation too; ops/s doesn't
			ops, bare := applyOnce(b, db, n)
			b.ReportMetric(ops, "ops/s")
			b.ReportMetric(ops/bare, "of-bare-calls")
		}
	})
}

func applyOnce(b *testing.B, db *sqldb.DB, n int) (opsPerSecond, bare float64) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := db.Migrate(ctx, audit.Migration(db.Engine()), Migration()); err != nil {
		b.Fatal(err)
	}
	if err := jobs.Migrate(ctx, db); err != nil {
		b.Fatal(err)
	}
	for _, table := range []string{"provision_plan", "provision_op", "provision_edge", "provision_person", "provision_account", "provision_group", "provision_member"} {
		if _, err := db.Writer().ExecContext(ctx, "DELETE FROM "+table); err != nil {
			b.Fatal(err)
		}
	}
	w := makeWorld(b, 1, 1000)
	people := benchPeople(n)
	bare = bareCalls(b, makeWorld(b, 2, 1000).open[policies.ProductJira], people)

	s, workers, src := NewStore(db, time.Now), jobs.NewWorkers(), &fixedSource{}
	src.set(Make(mustWant(b, people), Known{}, "maker", "h"))
	NewRunner(workers, s, src, w.open, slog.New(slog.DiscardHandler))
	client, err := jobs.New(jobs.Config{DB: db, Workers: workers, NodeID: "node-bench", Queues: Queues()})
	if err != nil {
		b.Fatal(err)
	}
	s.Bind(client)
	if err := client.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = client.Stop(context.Background()) }()
	maker := scopeOf(b, "maker", policies.ActionPlanMake, "")
	plan := src.plan
	plan.PolicyHash = maker.Hash()
	src.set(plan)
	rec, err := s.Save(ctx, maker, plan)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Approve(ctx, scopeOf(b, "approver", policies.ActionPlanApprove, "maker"), rec.Hash); err != nil {
		b.Fatal(err)
	}
	apply := scopeOf(b, "maker", policies.ActionPlanApply, "")
	token, err := s.Approved(ctx, apply, rec.Hash)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := s.Apply(ctx, apply, token); err != nil {
		b.Fatal(err)
	}
	for {
		p, err := s.Progress(ctx, apply, rec.Hash)
		if err != nil {
			b.Fatal(err)
		}
		if p.Plan.State == PlanDone {
			return float64(p.Total) / time.Since(began).Seconds(), bare
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// bareCalls makes the accounts without any engine: the limit that the engine is measured against.
func bareCalls(b *testing.B, conn connectors.Opened, people []identity.Person) float64 {
	b.Helper()
	began := time.Now()
	todo, done := make(chan identity.Person), make(chan error, len(people))
	for range 64 {
		go func() {
			for p := range todo {
				_, err := conn.AccountWriter.CreateAccount(context.Background(), connectors.Account{Key: string(p.ID), Email: p.Email, DisplayName: p.DisplayName(), Active: true})
				done <- err
			}
		}()
	}
	go func() {
		for _, p := range people {
			todo <- p
		}
		close(todo)
	}()
	for range people {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return float64(len(people)) / time.Since(began).Seconds()
}
