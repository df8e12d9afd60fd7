package sp_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// The goal for the metadata of 2,000 providers.
const (
	benchProviders = 2000
	benchTime      = 2 * time.Second
	benchMemory    = 200 << 20
)

// BenchmarkTwoThousand loads what is kept of 2,000 providers and their metadata, and reads, checks and compares a signed document of each.
func BenchmarkTwoThousand(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		must(b, db.Migrate(b.Context(), audit.Migration(db.Engine()), sp.Migration()))
		by, err := access.BreakGlass("operator")
		must(b, err)
		reg, sources := sp.NewRegistry(db), sp.NewSources(db, nil)
		source := sp.Source{Address: address, Signers: [][]byte{far(b, "signer")}}
		docs := map[policies.RelyingPartyID][]byte{}
		for i := range benchProviders {
			id := policies.RelyingPartyID(fmt.Sprint("sp-", i))
			x, p := registered(b), first(b)
			x.ID, x.EntityID = id, "urn:"+string(id)
			p.entity, p.consumers = x.EntityID, append(p.consumers, "https://sp.example/acs2") // each differs and waits
			docs[id] = p.signedBy(b, "signer")
			must(b, reg.Add(b.Context(), by, x, at))
			must(b, sources.Set(b.Context(), by, id, source, at))
			r, err := sp.Read(docs[id], address, at, source)
			must(b, err)
			_, err = sources.Take(b.Context(), hub, id, r, sp.Validators{}, at)
			must(b, err)
		}
		b.Run("kept", func(b *testing.B) {
			held, began := uint64(0), spent(b)
			for b.Loop() {
				all, err := sources.All(b.Context())
				must(b, err)
				if len(all) != benchProviders || all[0].Pending == nil {
					b.Fatal(len(all))
				}
				held = max(held, heap(all))
			}
			report(b, held, spent(b)-began)
		})
		b.Run("read_and_compared", func(b *testing.B) {
			held, began := uint64(0), spent(b)
			for b.Loop() {
				var all []sp.Result
				for id, doc := range docs {
					r, err := sp.Read(doc, address, at, source)
					must(b, err)
					out, err := sources.Dry(b.Context(), id, r)
					must(b, err)
					if out.Outcome != sp.OutcomePending {
						b.Fatal(out)
					}
					all = append(all, out)
				}
				held = max(held, heap(all))
			}
			report(b, held, spent(b)-began)
		})
	})
}

// heap gives the live heap while v is.
func heap(v any) uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	runtime.KeepAlive(v)
	return m.HeapAlloc
}

// spent is the processor time of this process: the machine may be busy with other work.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, held uint64, cpu time.Duration) {
	each := cpu.Seconds() / float64(b.N)
	b.ReportMetric(each*1000, "cpu-ms")
	b.ReportMetric(benchTime.Seconds()/each, "x/time-limit")
	b.ReportMetric(float64(held)/(1<<20), "MB-heap")
	b.ReportMetric(float64(benchMemory)/float64(held), "x/memory-limit")
}
