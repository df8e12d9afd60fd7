package oidcop_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// BenchmarkCodeFlow is the code flow from the authorization request to the tokens: session, grant, code and tokens with their three audit rows
// committed to disk, by 32 callers at a time. The session, its person and its policy are read anew before the tokens are given. It is compared
// with the bare signing of one digest by the same key in the same run, per second of processor time. The pages of the login aren't in it.
func BenchmarkCodeFlow(b *testing.B) {
	for who, purpose := range map[string]keys.Purpose{"native": oidcop.PurposeES256, "other": oidcop.PurposeRS256} {
		name := map[string]string{"native": "ES256", "other": "RS256"}[who]
		b.Run(name, func(b *testing.B) {
			sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
				h := newHouseWithSessions(b, db)
				h.flows(b, 64, func(int) string { return who })
				const turn = 64
				var flowing, signing float64
				var signed int
				for n := b.N; n > 0; n -= turn { // turn about, so that both meet the same load
					flowing += h.flows(b, min(n, turn), func(int) string { return who })
					signing += h.signs(b, purpose, turn)
					signed += turn
				}
				rate, signs := float64(b.N)/flowing, float64(signed)/signing
				b.ReportMetric(rate, "flows/cpu-s")
				b.ReportMetric(signs, "signs/cpu-s")
				b.ReportMetric(rate/signs, "ratio")
			})
		})
	}
}

// newHouseWithSessions is a house whose logins open real sessions of a real policy.
func newHouseWithSessions(b *testing.B, db *sqldb.DB) *house {
	b.Helper()
	w := logintest.New(b, db, login.Migration())
	sessions := &oidcop.Sessions{
		Store: w.Sessions, Policy: w.Engine, Now: w.Now,
		Parties: open{},
	}
	h := newHouseWith(b, db, func(o *oidcop.Options) { o.Now, o.Standing = w.Now, sessions })
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
		return w.Sessions.Told(ctx, tx, s.ID, session.Party{RelyingParty: l.RelyingParty, Issuer: identity.IssuerOIDC, At: at})
	}
	return h
}

// open is relying parties that carry a function of everybody's.
type open struct{}

func (open) Party(_ context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	return policies.RelyingParty{ID: id, Functions: []policies.Function{policies.FunctionQuestionnaire}, Networks: policies.Networks()}, nil
}

// flows goes n times through the code flow of a party and gives the seconds of processor time.
func (h *house) flows(b *testing.B, n int, who func(i int) string) float64 {
	b.Helper()
	var failed atomic.Pointer[answer]
	began := cpu(b)
	run(n, func(i int) {
		if a := h.flow(who(i)); a.status != http.StatusOK {
			failed.Store(&a)
		}
	})
	used := cpu(b) - began
	if a := failed.Load(); a != nil {
		b.Fatalf("a flow failed: %d %s", a.status, a.raw)
	}
	return used
}

// flow goes through the code flow of a party with a secret, or of "native".
func (h *house) flow(who string) answer {
	a := h.get("/oidc/authorize", request(who))
	form := exchange(who, a.query("code"))
	if who == "native" {
		return h.post("/oidc/token", who, form)
	}
	return h.as(who, "/oidc/token", form)
}

// BenchmarkParties is the code flow of 10 relying parties against 2,000, in two databases, one flow here and one there, by one caller.
func BenchmarkParties(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			sides := []struct {
				parties int
				house   *house
				times   []time.Duration
				used    float64 // seconds of processor time
			}{{parties: 10}, {parties: 2000}}
			for i := range sides {
				at := sqldbtest.SQLiteURL
				if engine == "postgres" {
					at = sqldbtest.Start
				}
				h := newHouseWithSessions(b, sqldbtest.Open(b, at(b)))
				other, err := h.registry.Party(b.Context(), h.db.Reader(), "other")
				must(b, err)
				for n := range sides[i].parties {
					name := fmt.Sprint("rp-", n)
					// The person has been at each of them before: what is compared is the number of parties, not a first login.
					must(b, h.db.WithTx(b.Context(), func(ctx context.Context, tx *sql.Tx) error {
						_, err := h.subjects.Issue(ctx, tx, h.login.Person, ppid.Sector(name+".example"), h.now().UnixMicro())
						return err
					}))
					h.register(party.Party{ID: policies.RelyingPartyID(name), Sector: name + ".example", Auth: party.AuthSecretBasic, Secrets: other.Secrets, Alg: jose.ES256})
				}
				sides[i].house = h
			}
			each := func(n int) {
				for i := range sides {
					s := &sides[(n+i)%2] // whoever goes first finds the caches cold
					began, used := time.Now(), cpu(b)
					if a := s.house.flow(fmt.Sprint("rp-", n*7%s.parties)); a.status != http.StatusOK {
						b.Fatalf("%d parties: %d %s", s.parties, a.status, a.raw)
					}
					s.times = append(s.times, time.Since(began))
					s.used += cpu(b) - used
				}
			}
			for n := range 300 {
				each(n)
			}
			for i := range sides {
				sides[i].times, sides[i].used = nil, 0
			}
			n := 0
			for b.Loop() {
				each(n)
				n++
			}
			var median, slow [2]float64
			for i, s := range sides {
				slices.Sort(s.times)
				median[i], slow[i] = milliseconds(percentile(s.times, 50)), milliseconds(percentile(s.times, 99))
				b.ReportMetric(median[i], fmt.Sprint(s.parties, "-p50-ms"))
				b.ReportMetric(slow[i], fmt.Sprint(s.parties, "-p99-ms"))
			}
			b.ReportMetric(sides[1].used/sides[0].used, "cpu-ratio")
			b.ReportMetric(median[1]/median[0], "p50-ratio")
			b.ReportMetric(slow[1]/slow[0], "p99-ratio")
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

// signs signs n times by the bare key, on all cores, and gives the seconds of processor time.
func (h *house) signs(b *testing.B, p keys.Purpose, n int) float64 {
	b.Helper()
	signer, err := h.ring.Signer(b.Context(), h.db.Reader(), p)
	must(b, err)
	digest := sha256.Sum256([]byte("bare"))
	began := cpu(b)
	run(n, func(int) {
		if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			panic(fmt.Sprint("bare signing: ", err))
		}
	})
	return cpu(b) - began
}
