package samlidp_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// BenchmarkLogin is a request taken, checked and remembered, and its response signed, with session, grant and audit row committed, by 16 callers at a
// time. It is compared with the bare signatures that are in it, by the same key, turn about in the same run, per second of processor time. The
// dispatcher of logins, its pages and policies, aren't in it: BenchmarkSSO has them.
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
				h := houseWithSessions(b, db)
				id := policies.RelyingPartyID("bench")
				h.register(id, func(p *sp.SP) {
					p.Sign, p.Encrypt, p.Encryption = c.sign, c.encrypt, []sp.Encryption{{Certificate: h.own.cert.Raw}}
					p.Signed, p.Signing = c.signed, [][]byte{h.own.cert.Raw}
				})
				by := pair{}
				if c.signed {
					by = h.own
				}
				h.compare(b, c.signatures, func() string { return query(h.ask(id, nil), "relay", by) }, func(q string) error {
					if r := h.redirect(q); r.to != acs {
						return fmt.Errorf("%+v", r)
					}
					return nil
				})
			})
		})
	}
}

// houseWithSessions is a house whose dispatcher shares commits and opens real sessions.
func houseWithSessions(b *testing.B, db *sqldb.DB) *house {
	b.Helper()
	w := logintest.New(b, db, login.Migration())
	h := newHouseWith(b, db, func(o *samlidp.Options) { o.Now = w.Now })
	h.micros.Store(w.Now().Sub(start).Microseconds())
	h.group = true
	h.login.Person, h.login.Org = logintest.Local, logintest.CityA
	h.open = func(ctx context.Context, tx *sql.Tx, l *identity.Login) error {
		secret, err := session.NewSecret(rand.Reader)
		if err != nil {
			return err
		}
		at := w.Now().UnixMicro()
		s, err := w.Sessions.Open(ctx, tx, session.Opening{
			Person: l.Person, Org: l.Org, Network: l.Network, Assurance: l.Assurance, AMR: l.AMR, Method: identity.MethodCard, Credential: "card",
			AuthAt: l.AuthAt, Now: at, Agent: "Browser/1.0", Secret: secret,
		})
		if err != nil {
			return err
		}
		l.Session = s.ID
		return w.Sessions.Told(ctx, tx, s.ID, session.Party{RelyingParty: l.RelyingParty, Issuer: identity.IssuerSAML, At: at})
	}
	return h
}

// compare runs logins and bare signing turn about, so that both meet the same load, and reports rates per second of processor time, their ratio, and
// the logins by the clock.
func (h *house) compare(b *testing.B, signatures int, ask func() string, answer func(q string) error) {
	b.Helper()
	const turn = 64
	var answering, signing, clock float64
	var signed int
	for n := b.N; n > 0; n -= turn {
		queries := make([]string, min(n, turn))
		for i := range queries {
			queries[i] = ask()
		}
		var failed atomic.Pointer[error]
		began, at := cpu(b), time.Now()
		run(len(queries), func(i int) {
			if err := answer(queries[i-1]); err != nil {
				failed.Store(&err)
			}
		})
		answering += cpu(b) - began
		clock += time.Since(at).Seconds()
		if err := failed.Load(); err != nil {
			b.Fatalf("%v\n%s", *err, h.log.String())
		}
		signing += h.signs(b, turn)
		signed += turn
	}
	rate, bare := float64(b.N)/answering, float64(signed)/signing/float64(signatures)
	b.ReportMetric(rate, "responses/cpu-s")
	b.ReportMetric(bare, "bare/cpu-s")
	b.ReportMetric(rate/bare, "ratio")
	b.ReportMetric(float64(b.N)/clock, "responses/s")
}

// BenchmarkSSO is the whole of single sign-on: somebody who has a session comes with a request, the dispatcher reads session, person and policies, and
// the response goes out, with the login's end, grant and audit rows committed. The pages aren't in it.
func BenchmarkSSO(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		d := newDispatched(b, db)
		const browsers = 16
		free := make(chan login.Visit, browsers)
		for range browsers {
			n, visit := d.walk(b, logintest.Local, func() {})
			if n.Answer == nil || n.Session.Zero() {
				b.Fatalf("%+v", n)
			}
			visit.Session = n.Session
			free <- visit
		}
		d.compare(b, 2, func() string { return query(d.ask("survey", nil), "relay", pair{}) }, func(q string) error {
			visit := <-free
			defer func() { free <- visit }()
			asked := visit
			d.comesBy(b, q, &asked)
			n, err := d.dispatcher.View(b.Context(), asked)
			if err != nil || n.Answer == nil || n.Answer.Location != acs {
				return fmt.Errorf("%+v: %w", n, err)
			}
			return nil
		})
	})
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

// signs gives the processor time of n bare signatures, by the key that responses are signed by.
func (h *house) signs(b *testing.B, n int) float64 {
	b.Helper()
	signer, err := h.ring.Signer(b.Context(), h.db.Reader(), samlidp.Purpose)
	must(b, err)
	digest := sha256.Sum256([]byte("bare"))
	began := cpu(b)
	run(n, func(int) {
		if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			panic(err)
		}
	})
	return cpu(b) - began
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
				bare := 1000 / h.signs(b, 1000)
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
