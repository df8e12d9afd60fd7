package directory_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// The import of a whole nation's people: 250,000 into an empty directory, then the same file again. Goals: 30 s on SQLite, 45 s on
// PostgreSQL. It reports the longest time between two beats of the progress as well: what a login may have to wait for.
func BenchmarkImport(b *testing.B) {
	for _, size := range []int{60_000, 250_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
				if b.N > 1 {
					b.Skip("one run says enough: -benchtime 1x")
				}
				benchmarkImport(b, db, size)
			})
		})
	}
}

func benchmarkImport(b *testing.B, db *sqldb.DB, size int) {
	if err := db.Migrate(b.Context(), directory.Migration(), audit.Migration(db.Engine())); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	store := directory.New(db, directory.Options{
		Now:   time.Now,
		NewID: func() policies.PersonID { return policies.PersonID(fmt.Sprintf("%026d", n.Add(1))) },
	})
	scope, by := policies.System(policies.TaskTest), directory.Author{Source: "benchmark"}
	orgs, _ := sample.Orgs()
	if _, _, err := store.Import(b.Context(), scope, orgs, by, directory.ImportOptions{}); err != nil {
		b.Fatal(err)
	}
	var list []identity.Organization
	for _, row := range orgs.Orgs {
		list = append(list, row.Organization)
	}
	rows, report := directory.PeopleRows("people", func(yield func(identity.Person) bool) {
		n := 0
		for p := range sample.People(list, size/len(list)+1, 1) {
			if n++; n > size || !yield(p) {
				return
			}
		}
	})
	if !report.OK() {
		b.Fatal(report.Faults())
	}
	for _, run := range []struct {
		name string
		want directory.Result
	}{
		{"first", directory.Result{Added: size, Published: true}},
		{"again", directory.Result{Unchanged: size, Published: true}},
	} {
		began := time.Now()
		last, longest := began, map[string]time.Duration{}
		r, _, err := store.Import(b.Context(), scope, rows, by, directory.ImportOptions{Progress: func(_, _ int64, stage string) {
			longest[stage], last = max(longest[stage], time.Since(last)), time.Now()
		}})
		if err != nil || r != run.want {
			b.Fatalf("%s: %+v, %v", run.name, r, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), run.name+"-s")
		for stage, d := range longest {
			b.ReportMetric(d.Seconds(), run.name+"-longest-"+stage+"-s")
		}
	}
}
