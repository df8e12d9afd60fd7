package provision

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/code"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
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

// nation fills a directory with people, spread over so many municipalities that each has the same number.
func nation(b *testing.B, h *hub, orgs, perOrg int) {
	b.Helper()
	ctx := b.Context()
	if _, err := h.dir.AddOrganization(ctx, everything, identity.Organization{ID: "130001", Kind: policies.KindPrefecture, Name: "東京都"}, tester); err != nil {
		b.Fatal(err)
	}
	list := make([]identity.Organization, orgs)
	for i := range list {
		id := municipality(b, 100+i)
		list[i] = identity.Organization{ID: id, Kind: policies.KindMunicipality, Name: fmt.Sprintf("第%d市", i), Parent: "130001"}
		if _, err := h.dir.AddOrganization(ctx, everything, list[i], tester); err != nil {
			b.Fatal(err)
		}
	}
	rows, _ := directory.PeopleRows("people", sample.People(list, perOrg, 1))
	if _, report, err := h.dir.Import(ctx, everything, rows, tester, directory.ImportOptions{}); err != nil || !report.OK() {
		b.Fatal(err, report.Faults())
	}
	if _, err := h.dir.Settle(ctx); err != nil {
		b.Fatal(err)
	}
}

// municipality is the code of 東京都's n-th one, with its check digit.
func municipality(b *testing.B, n int) policies.OrgID {
	b.Helper()
	for check := range 10 {
		if id, err := code.ParseLocalGovernmentCode(fmt.Sprintf("13%03d%d", n, check)); err == nil {
			return id
		}
	}
	b.Fatalf("no check digit fits 13%03d", n)
	return ""
}

// BenchmarkPlan: from empty, the whole way: directory, shipped policies, ledger, diff, canonical JSON and hash. The ratio is to hashing the
// same document alone. peak-MB is the most memory that the process ever had, the import that fills the directory included.
func BenchmarkPlan(b *testing.B) {
	for _, people := range []int{60_000, 250_000} {
		b.Run(fmt.Sprint(people), func(b *testing.B) {
			h := newHub(b, sqldbtest.Open(b, sqldbtest.SQLiteURL(b)), time.Now)
			nation(b, h, 250, people/250)
			runtime.GC()
			size, objects, hashing := 0, 0, time.Duration(0)
			for b.Loop() {
				p, err := h.planner.Current(b.Context(), "maker")
				if err != nil {
					b.Fatal(err)
				}
				doc := p.Encode()
				began := time.Now()
				sha256.Sum256(doc)
				hashing += time.Since(began)
				size, objects = len(doc), len(p.Objects)
			}
			b.ReportMetric(float64(people*b.N)/b.Elapsed().Seconds(), "people/s")
			b.ReportMetric(float64(objects), "objects")
			b.ReportMetric(float64(size)/1e6, "MB")
			b.ReportMetric(b.Elapsed().Seconds()/hashing.Seconds(), "x-hashing")
			b.ReportMetric(peakMB(b), "peak-MB")
		})
	}
}

// peakMB is the most resident memory that the process had.
func peakMB(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	return 0
}

// BenchmarkPlanAfterOneChange: one person's name changes in a directory of 60,000 whose SaaS are as planned; then the change is read from the
// feed and planned. The ratio is to the change itself, which the same run makes.
func BenchmarkPlanAfterOneChange(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		h := newHub(b, db, time.Now)
		nation(b, h, 250, 240)
		ctx := b.Context()
		first, err := h.planner.Current(ctx, "maker")
		if err != nil {
			b.Fatal(err)
		}
		h.believe(b, first)
		last, err := h.dir.LastChange(ctx, everything)
		if err != nil {
			b.Fatal(err)
		}
		people, err := h.dir.People(ctx, everything, directory.PeopleFilter{Limit: directory.MaxPage})
		if err != nil {
			b.Fatal(err)
		}
		var changing, planning, worst time.Duration
		n := 0
		for b.Loop() {
			who := people[n%len(people)]
			n++
			began := time.Now()
			if _, err := h.dir.EditPerson(ctx, everything, who.ID, tester, func(p *identity.Person) error { p.FamilyName = fmt.Sprintf("改名%d", n); return nil }); err != nil {
				b.Fatal(err)
			}
			changed := time.Now()
			affected, err := h.planner.Affected(ctx, last)
			if err != nil {
				b.Fatal(err)
			}
			plan, err := h.planner.Part(ctx, "maker", affected.People)
			if err != nil || len(affected.People) != 1 {
				b.Fatal(err, affected)
			}
			_ = plan.Hash()
			last = affected.Last
			changing += changed.Sub(began)
			planning += time.Since(changed)
			worst = max(worst, time.Since(changed))
		}
		b.ReportMetric(planning.Seconds()*1000/float64(n), "ms/plan")
		b.ReportMetric(worst.Seconds()*1000, "ms-worst")
		b.ReportMetric(planning.Seconds()/changing.Seconds(), "x-the-change")
	})
}

// believe writes a plan into the ledger in bulk, as if every SaaS had done it.
func (h *hub) believe(b *testing.B, p Plan) {
	b.Helper()
	rows := func(kind ObjectKind) iter.Seq[[]any] {
		return func(yield func([]any) bool) {
			for _, o := range p.Objects {
				switch {
				case o.Kind != kind:
				case kind == ObjectGroup:
					if !yield([]any{string(o.Product), string(o.Org), "g" + string(o.Org), o.Name, 1}) {
						return
					}
				case kind == ObjectAccount:
					if !yield([]any{string(o.Product), string(o.Person), string(o.Org), string(o.Seat), "a" + string(o.Person), "active", encodeJSON(*o.After), 1}) {
						return
					}
				default:
					for _, m := range o.Members {
						if !yield([]any{string(o.Product), string(m), string(o.Org), "in"}) {
							return
						}
					}
				}
			}
		}
	}
	err := h.store.db.WithTx(b.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := h.store.db.Bulk(ctx, tx, "provision_group", []string{"product", "org_id", "group_id", "name", "updated_at"}, "", rows(ObjectGroup))
		if err == nil {
			_, err = h.store.db.Bulk(ctx, tx, "provision_account", []string{"product", "person_id", "org_id", "seat", "account_id", "state", "attributes", "updated_at"}, "", rows(ObjectAccount))
		}
		if err == nil {
			_, err = h.store.db.Bulk(ctx, tx, "provision_member", []string{"product", "person_id", "org_id", "state"}, "", rows(ObjectMembers))
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
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
