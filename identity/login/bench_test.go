package login_test

import (
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// BenchmarkCardLogin is all of a login but the certificate's verdict and the issuer's signature: request, page, ticket, proof, code, policies,
// session, audit rows, each commit safe on disk.
func BenchmarkCardLogin(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		h := newHouse(b, db)
		for b.Loop() {
			n := h.login(h.start(h.ask("survey", nil), session.Secret{}), identity.MethodCard, string(logintest.Local))
			if n.Answer == nil {
				b.Fatalf("%+v", n)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
	})
}

// BenchmarkSingleSignOn answers a request by a session that there is.
func BenchmarkSingleSignOn(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		h := newHouse(b, db)
		first := h.login(h.start(h.ask("survey", nil), session.Secret{}), identity.MethodCard, string(logintest.Local))
		for b.Loop() {
			if n := h.view(h.start(h.ask("survey", nil), first.Session)); n.Answer == nil {
				b.Fatalf("%+v", n)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
	})
}

// BenchmarkSessionRead is what every request of a logged-in person costs: session, person, post and policy, read anew.
func BenchmarkSessionRead(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		h := newHouse(b, db)
		first := h.login(h.start(h.ask("survey", nil), session.Secret{}), identity.MethodCard, string(logintest.Local))
		for b.Loop() {
			if _, _, err := h.World.Sessions.Read(b.Context(), first.Session, policies.NetworkInternet, h.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
