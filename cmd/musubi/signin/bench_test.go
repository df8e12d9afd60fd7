package signin_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// pageGoal is what a login page may take on the server at the 99th percentile.
const pageGoal = 50 * time.Millisecond

// BenchmarkLoginPage is the server's part of the two answers that bring the login page: the relying party's request that is checked and kept, with a
// redirect, and the page itself.
func BenchmarkLoginPage(b *testing.B) {
	for _, engine := range []sqldb.Engine{sqldb.SQLite, sqldb.PostgreSQL} {
		for _, callers := range []int{1, 8} {
			b.Run(string(engine)+"/callers="+string(rune('0'+callers)), func(b *testing.B) {
				h := newHouse(b, tables.Open(b, engine), nil)
				site := h.site.Listener("internet")
				serve := func(address string, cookies []*http.Cookie) (*httptest.ResponseRecorder, time.Duration) {
					r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, address, http.NoBody)
					r.RemoteAddr, r.TLS = "192.0.2.7:1", &tls.ConnectionState{ServerName: names[0]}
					for _, c := range cookies {
						r.AddCookie(c)
					}
					w := httptest.NewRecorder()
					begun := time.Now()
					site.ServeHTTP(w, r)
					return w, time.Since(begun)
				}
				authorize := must(url.Parse(h.authorize("app")))
				var mu sync.Mutex
				var starts, pages []time.Duration
				one := func() {
					w, took := serve(authorize.String(), nil)
					to := w.Result().Header.Get("Location")
					p, shown := serve(h.login+to, w.Result().Cookies())
					mu.Lock()
					defer mu.Unlock()
					starts, pages = append(starts, took), append(pages, shown)
					if p.Code != http.StatusOK || !strings.Contains(p.Body.String(), "カードで本人確認をする") {
						b.Errorf("%d %s at %s", p.Code, p.Body.String(), to)
					}
				}
				b.ResetTimer()
				var all sync.WaitGroup
				for i := range callers {
					all.Go(func() {
						for n := i; n < b.N; n += callers {
							one()
						}
					})
				}
				all.Wait()
				b.StopTimer()
				at := func(of []time.Duration, percent int) time.Duration {
					slices.Sort(of)
					return of[(len(of)-1)*percent/100]
				}
				ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
				b.ReportMetric(ms(at(starts, 50)), "start-p50-ms")
				b.ReportMetric(ms(at(starts, 99)), "start-p99-ms")
				b.ReportMetric(ms(at(pages, 50)), "page-p50-ms")
				b.ReportMetric(ms(at(pages, 99)), "page-p99-ms")
				b.ReportMetric(float64(at(pages, 99))/float64(pageGoal), "of-goal")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
