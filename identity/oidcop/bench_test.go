package oidcop_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// BenchmarkCodeFlow is the code flow from the authorization request to the tokens, with the grant, the code, the tokens and two audit rows committed, by 32 callers at a
// time; the signing of one digest by the same key, in the same run and on as many cores, is what it is compared with.
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
				started := time.Now()
				run(b.N, func(int) {
					a := h.get("/oidc/authorize", request(who))
					if a := h.post("/oidc/token", who, exchange(who, a.query("code"))); a.status != http.StatusOK {
						failed.Add(1)
					}
				})
				took := time.Since(started)
				b.StopTimer()
				if n := failed.Load(); n > 0 {
					b.Fatalf("%d flows failed", n)
				}
				rate := float64(b.N) / took.Seconds()
				b.ReportMetric(rate, "flows/s")
				b.ReportMetric(bare, "bare-signs/s")
				b.ReportMetric(rate/bare, "ratio")
			})
		})
	}
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
	started := time.Now()
	run(n, func(int) {
		if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			panic(fmt.Sprint("bare signing: ", err))
		}
	})
	return n / time.Since(started).Seconds()
}
