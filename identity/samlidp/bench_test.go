package samlidp_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// BenchmarkLogin is a request taken, checked and remembered, and its response signed, with grant and audit row committed, by 16 callers at a
// time. It is compared with the bare signatures that are in it, by the same key in the same run, per second of processor time. The dispatcher of
// logins, and its session, aren't in it.
func BenchmarkLogin(b *testing.B) {
	for _, c := range []struct {
		name       string
		sign       sp.Sign
		encrypt    bool
		signed     bool
		signatures int
	}{
		{"both", sp.SignBoth, false, false, 2},
		{"one", sp.SignResponse, false, false, 1},
		{"both-encrypted", sp.SignBoth, true, false, 2},
		{"both-signed-request", sp.SignBoth, false, true, 2},
	} {
		b.Run(c.name, func(b *testing.B) {
			sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
				h := newHouse(b, db)
				h.group = true
				id := policies.RelyingPartyID("bench")
				h.register(id, func(p *sp.SP) {
					p.Sign, p.Encrypt, p.Encryption = c.sign, c.encrypt, []sp.Encryption{{Certificate: h.own.cert.Raw}}
					p.Signed, p.Signing = c.signed, [][]byte{h.own.cert.Raw}
				})
				by := pair{}
				if c.signed {
					by = h.own
				}
				queries := make([]string, b.N)
				for i := range queries {
					queries[i] = query(h.ask(id, nil), "relay", by)
				}
				bare := signRate(b, h) / float64(c.signatures)
				b.ResetTimer()
				var failed atomic.Int64
				began := cpu(b)
				run(b.N, func(i int) {
					if r := h.redirect(queries[i-1]); r.to != acs {
						failed.Add(1)
					}
				})
				took := cpu(b) - began
				b.StopTimer()
				if n := failed.Load(); n > 0 {
					b.Fatalf("%d logins failed\n%s", n, h.log.String())
				}
				rate := float64(b.N) / took
				b.ReportMetric(rate, "responses/cpu-s")
				b.ReportMetric(bare, "bare/cpu-s")
				b.ReportMetric(rate/bare, "ratio")
			})
		})
	}
}

// cpu gives the seconds of processor time that this process has used: on a machine with other work, rates by the clock say little.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}

// run calls f n times, from 1, by 16 callers.
func run(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	wg.Wait()
}

// signRate measures bare signing, with the crypto/rsa that the responses are signed by.
func signRate(b *testing.B, h *house) float64 {
	b.Helper()
	signer, err := h.ring.Signer(b.Context(), h.db.Reader(), samlidp.Purpose)
	must(b, err)
	digest := sha256.Sum256([]byte("bare"))
	const n = 1000
	began := cpu(b)
	run(n, func(int) {
		if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			panic(err)
		}
	})
	return n / (cpu(b) - began)
}

// BenchmarkMetadata is a fetch of metadata at a provider's own address, with its keys read anew and remembered as due, by 16 callers at a time: of a document
// that was signed a moment ago, and of one that has to be signed. It is compared with one bare signature in the same run, by processor time.
func BenchmarkMetadata(b *testing.B) {
	for _, c := range []struct {
		name  string
		apart time.Duration // between two fetches
	}{{"kept", 0}, {"signed", 5 * time.Minute}} {
		b.Run(c.name, func(b *testing.B) {
			sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
				h := newHouse(b, db)
				own, err := samlidp.MetadataAddress(made.seal, origin, policies.NetworkInternet, "app")
				must(b, err)
				h.get(own)
				bare := signRate(b, h)
				var failed atomic.Int64
				b.ResetTimer()
				began := cpu(b)
				run(b.N, func(int) {
					h.forward(c.apart)
					if r := h.get(own); r.status != http.StatusOK {
						failed.Add(1)
					}
				})
				took := cpu(b) - began
				b.StopTimer()
				if n := failed.Load(); n > 0 {
					b.Fatalf("%d fetches failed\n%s", n, h.log.String())
				}
				rate := float64(b.N) / took
				b.ReportMetric(rate, "fetches/cpu-s")
				b.ReportMetric(bare, "bare/cpu-s")
				b.ReportMetric(rate/bare, "ratio")
			})
		})
	}
}
