package oidcop_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// BenchmarkCodeFlow is the code flow from the authorization request to the tokens, with the grant, the code, the tokens and two audit rows
// committed, by 32 callers at a time. It is compared with the bare signing of one digest by the same key in the same run, per second of
// processor time. The dispatcher of logins isn't in it.
func BenchmarkCodeFlow(b *testing.B) {
	for who, purpose := range map[string]keys.Purpose{"native": oidcop.PurposeES256, "other": oidcop.PurposeRS256} {
		name := map[string]string{"native": "ES256", "other": "RS256"}[who]
		b.Run(name, func(b *testing.B) {
			sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
				h := newHouse(b, db)
				h.group = true
				bare := signRate(b, h, purpose)
				b.ResetTimer()
				var failed atomic.Int64
				started := cpu(b)
				run(b.N, func(int) {
					a := h.get("/oidc/authorize", request(who))
					if a := h.post("/oidc/token", who, exchange(who, a.query("code"))); a.status != http.StatusOK {
						failed.Add(1)
					}
				})
				took := cpu(b) - started
				b.StopTimer()
				if n := failed.Load(); n > 0 {
					b.Fatalf("%d flows failed", n)
				}
				rate := float64(b.N) / took
				b.ReportMetric(rate, "flows/cpu-s")
				b.ReportMetric(bare, "signs/cpu-s")
				b.ReportMetric(rate/bare, "ratio")
			})
		})
	}
}

// cpu gives the seconds of processor time that this process has used: on a machine with other work, rates by the clock say little. What a
// PostgreSQL server uses isn't in it.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}

// run calls f n times, 32 at a time.
func run(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	wg.Wait()
}

// signRate measures bare signing on all cores.
func signRate(b *testing.B, h *house, p keys.Purpose) float64 {
	b.Helper()
	signer, err := h.ring.Signer(b.Context(), h.db.Reader(), p)
	must(b, err)
	digest := sha256.Sum256([]byte("bare"))
	const n = 2000
	started := cpu(b)
	run(n, func(int) {
		if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			panic(fmt.Sprint("bare signing: ", err))
		}
	})
	return n / (cpu(b) - started)
}
