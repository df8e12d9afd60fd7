package oidcop_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// card says who the test says it is.
type card struct{}

func (card) Begin(_ context.Context, a login.Attempt) (login.Instruction, error) {
	return login.Instruction{Location: "https://card.example/?ticket=" + a.Ticket}, nil
}

func (card) Finish(_ context.Context, a login.Attempt, r *http.Request) (login.Proof, error) {
	return login.Proof{
		Method: identity.MethodCard, Use: login.UseLogin, Person: policies.PersonID(r.Header.Get("X-Test-Is")), Credential: "card", Assurance: policies.AssuranceCard,
		AMR: []string{"pin", "sc"}, At: a.At,
	}, nil
}

type rules map[policies.RelyingPartyID]policies.RelyingParty

func (p rules) Party(_ context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	rp, ok := p[id]
	if !ok {
		return rp, identity.ErrNotFound
	}
	return rp, nil
}

// TestThroughTheDispatcher goes from the relying party's request through the dispatcher, the policies and the sessions back to the relying
// party, and ends it in each way that there is.
func TestThroughTheDispatcher(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := logintest.New(t, db, login.Migration())
		parties := rules{"other": {ID: "other", Functions: []policies.Function{policies.FunctionQuestionnaire}, Networks: policies.Networks()}}
		sessions := &oidcop.Sessions{Parties: parties, Policy: w.Engine, Now: w.Now}
		var dispatcher *login.Dispatcher
		var visit login.Visit
		h := newHouseWith(t, db, func(o *oidcop.Options) {
			o.Now, o.Standing = w.Now, sessions
			o.Start = func(rw http.ResponseWriter, r *http.Request, ask login.Ask) {
				request, browser, err := dispatcher.Start(r.Context(), ask, session.Secret{})
				must(t, err)
				visit = login.Visit{ID: request.ID, Browser: browser, Network: ask.Network}
				rw.WriteHeader(http.StatusNoContent)
			}
		})
		sessions.Store = session.New(db, w.Resolver, w.Posts, w.Engine, h.provider)
		var err error
		dispatcher, err = login.New(login.Config{
			DB: db, Now: w.Now, Random: rand.Reader, People: w.Resolver, Posts: w.Posts, Policy: w.Engine, Sessions: sessions.Store,
			Parties: parties,
			Offers:  map[identity.MethodID]login.Offer{identity.MethodCard: {Method: card{}, Reach: policies.AssuranceCard, Networks: policies.Networks(), Use: login.UseLogin}},
			Issuers: map[identity.IssuerID]login.Issuer{identity.IssuerOIDC: h.provider},
			ReturnTo: func(_ policies.Network, id identity.LoginID, code string) string {
				return issuer + "/login/" + string(id) + "/return?code=" + code
			},
		})
		must(t, err)

		// enter logs a person in and gives what the relying party is told.
		enter := func(who policies.PersonID) url.Values {
			t.Helper()
			if a := h.get("/oidc/authorize", request("other")); a.status != http.StatusNoContent {
				t.Fatalf("%d %v %s", a.status, a.location, a.raw)
			}
			n, err := dispatcher.View(t.Context(), visit)
			must(t, err)
			if n, err = dispatcher.Begin(t.Context(), visit, n.Form, identity.MethodCard); err != nil || n.Instruction == nil {
				t.Fatalf("%+v: %v", n, err)
			}
			ticket := strings.TrimPrefix(n.Instruction.Location, "https://card.example/?ticket=")
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("X-Test-Is", string(who))
			to, refusal, err := dispatcher.Prove(t.Context(), login.Visit{Network: policies.NetworkInternet}, ticket, r)
			if err != nil || refusal != nil {
				t.Fatal(refusal, err)
			}
			_, code, _ := strings.Cut(to, "?code=")
			if n, err = dispatcher.Return(t.Context(), visit, code); err != nil || n.Answer == nil {
				t.Fatalf("%+v: %v", n, err)
			}
			u, err := url.Parse(n.Answer.Location)
			must(t, err)
			if !strings.HasPrefix(n.Answer.Location, callback+"?") || u.Query().Get("iss") != issuer || u.Query().Get("state") != "st&a te" {
				t.Fatalf("answered at %s", n.Answer.Location)
			}
			return u.Query()
		}
		tokens := func(who policies.PersonID) answer {
			t.Helper()
			a := h.post("/oidc/token", "other", exchange("other", enter(who).Get("code")))
			if a.status != http.StatusOK || !h.active("other", a.text("access_token")) {
				t.Fatalf("%d %s\n%s", a.status, a.raw, h.log.String())
			}
			return a
		}

		// A leaver: nothing tells the sessions or the provider, and the next use is refused.
		got := tokens(logintest.Local)
		w.End(logintest.Local)
		if h.active("other", got.text("access_token")) || h.userinfo(got.text("access_token")).status != http.StatusUnauthorized {
			t.Error("a leaver's token counts")
		}
		if n := h.refusals("session_ended"); n == 0 {
			t.Error("no row says why")
		}
		// And is refused at the next login, in the protocol's words.
		if q := enter(logintest.Local); q.Get("error") != "access_denied" || q.Get("code") != "" {
			t.Errorf("a leaver's login: %v", q)
		}

		// Somebody ends the person's sessions: the tokens end and the relying party is told, in the same transaction.
		got = tokens(logintest.LocalBoss)
		must(t, db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return sessions.Store.EndPerson(ctx, tx, logintest.LocalBoss, session.WhyAdmin, w.Now().UnixMicro())
		}))
		if h.active("other", got.text("access_token")) || len(h.queue) != 1 {
			t.Errorf("the tokens count, or %d deliveries aren't 1", len(h.queue))
		}
		must(t, h.provider.Deliver(t.Context(), h.queue[0]))

		// The policies say no meanwhile, or the relying party is gone: at the next use nothing counts, although the session stands.
		for why, change := range map[string]func(){
			"policy": func() {
				parties["other"] = policies.RelyingParty{ID: "other", Functions: []policies.Function{policies.FunctionQuestionnaire}}
			},
			"party_removed": func() { delete(parties, "other") },
		} {
			was := parties["other"]
			if got = tokens(logintest.Ministry); !h.tokensEnd(t, got, change) || h.userinfo(got.text("access_token")).status != http.StatusUnauthorized {
				t.Errorf("%s: a token counts", why)
			}
			if h.refusals(why) == 0 {
				t.Errorf("%s: no row says why", why)
			}
			parties["other"] = was
			if !h.active("other", got.text("access_token")) {
				t.Errorf("%s: the token doesn't count although it may again", why)
			}
		}

		// The longest session ends.
		ended := h.tokensEnd(t, tokens(logintest.Ministry), func() { w.Pass(session.MaxAge) })
		if !ended {
			t.Error("the tokens outlive the longest session")
		}
	})
}

// tokensEnd reports whether do ends an active refresh token.
func (h *house) tokensEnd(t *testing.T, got answer, do func()) bool {
	t.Helper()
	if !h.active("other", got.text("refresh_token")) {
		t.Fatal("it doesn't count to begin with")
	}
	do()
	return !h.active("other", got.text("refresh_token"))
}
