package mynumber_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// BenchmarkCardLogin measures what the method does of a login: the verdict about a linked card, with a list that is loaded, and whose it is; not the
// dispatcher, not the session. "verdict" is after the handshake, "challenge" makes, signs (in the benchmark, as a card does elsewhere) and redeems a
// challenge, "handshake" is a whole TLS 1.2 connection whose client signs on the same machine, eight at a time or at a steady rate. Goal: 67 logins/s on two cores, p99 at most 150 ms.
func BenchmarkCardLogin(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		h := newHouse(b, db, nil)
		card := cards()[0]
		if err := h.link(logintest.Local, h.credential(card)); err != nil {
			b.Fatal(err)
		}
		var n atomic.Int64
		next := func() string { return fmt.Sprint("b", n.Add(1)) }
		b.Run("verdict", func(b *testing.B) {
			loop(b, func() error {
				_, err := h.method.Finish(b.Context(), h.attempt(next()), request(b, card.Raw))
				return err
			})
		})
		b.Run("challenge", func(b *testing.B) {
			loop(b, func() error {
				a := h.attempt(next())
				_, err := h.method.Finish(b.Context(), a, h.sign(a, card))
				return err
			})
		})
		at, pool := h.serve(b, false, nil)
		b.Run("handshake", func(b *testing.B) {
			loop(b, func() error {
				if status, text := h.visit(b, browser(pool, card, nil), at+"/?ticket="+next()); status != http.StatusOK {
					return fmt.Errorf("%d %s", status, text)
				}
				return nil
			})
		})
		b.Run("handshake at 67 a second", func(b *testing.B) {
			paced(b, 67, func() error {
				if status, text := h.visit(b, browser(pool, card, nil), at+"/?ticket="+next()); status != http.StatusOK {
					return fmt.Errorf("%d %s", status, text)
				}
				return nil
			})
		})
	})
}

// paced begins so many calls a second, whether those before have ended or not, and measures each from when it was due.
func paced(b *testing.B, rate int, fn func() error) {
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range b.N {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		wg.Go(func() {
			if err := fn(); err != nil {
				b.Error(err)
			}
			took[i] = time.Since(due)
		})
	}
	wg.Wait()
	report(b, took)
}

func loop(b *testing.B, fn func() error) {
	var mu sync.Mutex
	var took []time.Duration
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		var mine []time.Duration
		for pb.Next() {
			start := time.Now()
			if err := fn(); err != nil {
				b.Error(err)
				return
			}
			mine = append(mine, time.Since(start))
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, mine...)
	})
	report(b, took)
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkCredential measures what a new list costs for each of its entries, to find the linked cards among them.
func BenchmarkCredential(b *testing.B) {
	h := one(b, nil)
	card, name := cardOf(cards()[0]), h.links.Credentials()
	for b.Loop() {
		name(card)
	}
}
