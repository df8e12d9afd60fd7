package samlidp_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

// course is one random order of ends, visits, answers, deliveries and retries of one session, with what the providers really signed.
type course struct {
	h         *house
	b         *browser
	id        identity.SessionID
	at        string                               // the browser's way
	open      map[policies.RelyingPartyID][]string // IDs of requests that the browser brought, oldest first
	answered  map[policies.RelyingPartyID]bool     // it has signed an answer to its newest request
	soapSays  string                               // what the one by SOAP does next
	delivered bool                                 // it has signed a good answer by SOAP
}

// TestLogoutProperties: in whatever order things happen, a provider is confirmed only after its own signed answer to our newest request, an older
// answer counts no more, and what is settled stays settled until a person takes it up again.
func TestLogoutProperties(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		h.sloParties()
		n := 0
		var current *course
		h.ends.post = func(_ *http.Request, body []byte) (int, string, []byte, error) {
			request := attribute(string(body), "ID")
			none := map[string]string{"Destination": ""}
			switch current.soapSays {
			case "good":
				current.delivered = true
				return 200, "text/xml", []byte(envelope(signedDoc(t, h.answers("soap", request, none), h.own))), nil
			case "forged":
				return 200, "text/xml", []byte(envelope(signedDoc(t, h.answers("soap", request, none), h.two))), nil
			case "stale":
				return 200, "text/xml", []byte(envelope(signedDoc(t, h.answers("soap", "_stale", none), h.own))), nil
			case "unsigned":
				return 200, "text/xml", []byte(envelope(h.answers("soap", request, none))), nil
			}
			return 0, "", nil, errors.New("away")
		}
		rapid.Check(t, func(rt *rapid.T) {
			n++
			r := &course{h: h, b: h.newBrowser(), id: identity.SessionID(fmt.Sprintf("r%d", n)), open: map[policies.RelyingPartyID][]string{}, answered: map[policies.RelyingPartyID]bool{}}
			current = r
			h.loggedIn(r.id)
			for _, p := range []policies.RelyingPartyID{"front", "poster", "second", "soap", "mute"} {
				if rapid.Bool().Draw(rt, string(p)) {
					h.enter(p)
				}
			}
			before := len(h.ends.queue)
			for range rapid.IntRange(1, 14).Draw(rt, "steps") {
				r.step(t, rt, h.ends.queue[before:])
				r.hold(t, rt)
			}
		})
	})
}

func (r *course) step(t *testing.T, rt *rapid.T, queue []string) {
	fronts := []policies.RelyingPartyID{"front", "second", "poster"}
	switch rapid.SampledFrom([]string{"end", "leave", "next", "answer", "answer", "deliver", "deliver", "abandon", "retry"}).Draw(rt, "step") {
	case "end":
		if err := r.h.end(t.Context(), r.id, session.WhyLogout); err != nil && !errors.Is(err, identity.ErrNotFound) {
			rt.Fatal(err)
		}
	case "leave":
		if !r.h.isGone(r.id) {
			return
		}
		r.at = r.b.leaves(t, samlidp.Leaving{Session: r.id})
	case "next":
		if r.at != "" {
			r.sees(t, r.b.open(origin+r.at))
		}
	case "answer":
		p := rapid.SampledFrom(fronts).Draw(rt, "who")
		if len(r.open[p]) == 0 {
			return
		}
		i := rapid.IntRange(0, len(r.open[p])-1).Draw(rt, "which")
		by := rapid.SampledFrom([]pair{r.h.own, r.h.own, r.h.two}).Draw(rt, "key")
		if i == len(r.open[p])-1 && by == r.h.own {
			r.answered[p] = true
		}
		r.sees(t, r.b.open(slo+"?"+carry("SAMLResponse", r.h.answers(p, r.open[p][i], nil), "", by)))
	case "deliver":
		r.soapSays = rapid.SampledFrom([]string{"good", "forged", "stale", "unsigned", "away"}).Draw(rt, "soap")
		for _, id := range queue {
			if err := r.h.provider.Deliver(t.Context(), id); err != nil && !errors.Is(err, access.ErrUndelivered) {
				rt.Fatal(err)
			}
		}
	case "abandon":
		for _, id := range queue {
			if err := r.h.provider.Abandon(t.Context(), id); err != nil {
				rt.Fatal(err)
			}
		}
	case "retry":
		for _, id := range queue {
			before, err := samlidp.Receipts{DB: r.h.db}.Logout(t.Context(), id)
			must(t, err)
			err = r.h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				_, err := samlidp.Receipts{DB: r.h.db}.Reopen(ctx, tx, boss, everything(), id, r.h.now().UnixMicro())
				return err
			})
			may := before.State == samlidp.LogoutFailed || before.State == samlidp.LogoutUnconfirmed
			if may != (err == nil) || !may && !errors.Is(err, samlidp.ErrNotFailed) {
				rt.Fatalf("%s: %v", before.State, err)
			}
		}
	}
}

// sees notes a request that the browser was given.
func (r *course) sees(t *testing.T, s seen) {
	if s.onward == "" {
		return
	}
	var p string
	_, _ = fmt.Sscan(s.onward, &p)
	doc := s.request
	if doc == "" {
		el, _ := r.h.carried(t, s.to, "SAMLRequest")
		r.open[policies.RelyingPartyID(p)] = append(r.open[policies.RelyingPartyID(p)], path(t, el, "@ID"))
	} else {
		r.open[policies.RelyingPartyID(p)] = append(r.open[policies.RelyingPartyID(p)], attribute(doc, "ID"))
	}
	r.answered[policies.RelyingPartyID(p)] = false
}

// hold checks what has to hold after each step.
func (r *course) hold(t *testing.T, rt *rapid.T) {
	all, err := samlidp.Receipts{DB: r.h.db}.List(t.Context(), samlidp.ReceiptFilter{Session: r.id, Limit: 100})
	must(t, err)
	if len(all) > 0 && !r.h.isGone(r.id) {
		rt.Fatal("a logout of a session that stands")
	}
	seen := map[policies.RelyingPartyID]bool{}
	for _, l := range all {
		if seen[l.RelyingParty] {
			rt.Fatalf("%s is told twice of one end", l.RelyingParty)
		}
		seen[l.RelyingParty] = true
		confirmed := l.State == samlidp.LogoutDelivered || l.State == samlidp.LogoutPartial
		switch l.Channel {
		case samlidp.ChannelFront:
			if confirmed != r.answered[l.RelyingParty] {
				rt.Fatalf("%s is %s; it has signed an answer: %v", l.RelyingParty, l.State, r.answered[l.RelyingParty])
			}
			if l.State == samlidp.LogoutUntold != (len(r.open[l.RelyingParty]) == 0) || l.Tries != len(r.open[l.RelyingParty]) {
				rt.Fatalf("%s is %s after %d tries and %d requests", l.RelyingParty, l.State, l.Tries, len(r.open[l.RelyingParty]))
			}
		case samlidp.ChannelSOAP:
			if confirmed != r.delivered {
				rt.Fatalf("%s is %s; it has signed an answer: %v", l.RelyingParty, l.State, r.delivered)
			}
		case samlidp.ChannelNone:
			if l.State != samlidp.LogoutUntold || l.Tries != 0 {
				rt.Fatalf("%s is %s after %d tries", l.RelyingParty, l.State, l.Tries)
			}
		case samlidp.ChannelAsked:
			rt.Fatal("nobody asked")
		}
	}
}

var boss = access.Actor{
	Kind: access.KindPerson, Person: identity.Person{ID: "boss", Org: "agency", Role: policies.RoleSystemAdministrator},
	Org: identity.Organization{ID: "agency", Kind: policies.KindAgency},
}

// everything is boss's right to jobs.
var everything = sync.OnceValue(func() policies.Scope {
	engine, err := load.Default()
	if err != nil {
		panic(err)
	}
	s, err := engine.Scope(boss.Policy(), policies.ActionJobsWrite, nil)
	if err != nil {
		panic(err)
	}
	return s
})

// TestReceipts: lists, pages, who may take up again what.
func TestReceipts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		r := samlidp.Receipts{DB: h.db}
		for _, id := range []identity.SessionID{"s1", "s2", "s3"} {
			h.forward(time.Second)
			h.loggedIn(id)
			h.enter("soap")
			h.enter("front")
			must(t, h.end(t.Context(), id, session.WhyPerson))
		}
		list := func(f samlidp.ReceiptFilter) (out []string) {
			t.Helper()
			if f.Limit == 0 {
				f.Limit = 100
			}
			all, err := r.List(t.Context(), f)
			must(t, err)
			for _, l := range all {
				out = append(out, string(l.Session)+" "+string(l.RelyingParty)+" "+string(l.State))
			}
			return out
		}
		pending := []samlidp.LogoutState{samlidp.LogoutPending}
		if got := list(samlidp.ReceiptFilter{States: pending}); !slices.Equal(got, []string{"s3 soap pending", "s2 soap pending", "s1 soap pending"}) {
			t.Errorf("%q", got)
		}
		if got := list(samlidp.ReceiptFilter{States: []samlidp.LogoutState{samlidp.LogoutFailed, samlidp.LogoutUntold}, RelyingParty: "front", Session: "s2"}); !slices.Equal(got, []string{"s2 front untold"}) {
			t.Errorf("%q", got)
		}
		first, err := r.List(t.Context(), samlidp.ReceiptFilter{States: pending, Limit: 2})
		must(t, err)
		last := first[1]
		if got := list(samlidp.ReceiptFilter{States: pending, BeforeAt: last.CreatedAt, Before: last.ID}); !slices.Equal(got, []string{"s1 soap pending"}) {
			t.Errorf("%q", got)
		}
		if _, err := r.List(t.Context(), samlidp.ReceiptFilter{Limit: 1001}); err == nil {
			t.Error("a page without bounds")
		}
		open, err := r.Open(t.Context())
		if err != nil || open[samlidp.LogoutPending] != 3 || open[samlidp.LogoutUntold] != 3 || open[samlidp.LogoutFailed] != 0 {
			t.Errorf("%v %v", open, err)
		}
		if p, err := r.Addressee(t.Context(), last.ID); err != nil || p != "soap" {
			t.Errorf("%s %v", p, err)
		}
		reopen := func(scope policies.Scope, id string) error {
			return h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				_, err := r.Reopen(ctx, tx, boss, scope, id, h.now().UnixMicro())
				return err
			})
		}
		for name, scope := range map[string]policies.Scope{"none": {}, "the hub's own": policies.System(policies.TaskTest)} {
			if err := reopen(scope, last.ID); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("by a scope that is %s: %v", name, err)
			}
		}
		if err := reopen(everything(), last.ID); !errors.Is(err, samlidp.ErrNotFailed) {
			t.Error(err)
		}
		if err := reopen(everything(), "nothing"); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		must(t, h.provider.Abandon(t.Context(), last.ID))
		h.forward(time.Hour)
		must(t, reopen(everything(), last.ID))
		// It waits since it was taken up again.
		ids, err := r.Overdue(t.Context(), h.now().Add(-time.Minute), 10)
		if err != nil || len(ids) != 2 || slices.Contains(ids, last.ID) {
			t.Errorf("overdue: %q, %v", ids, err)
		}
		if ids, err = r.Overdue(t.Context(), h.now().Add(time.Second), 10); err != nil || len(ids) != 3 {
			t.Errorf("overdue: %q, %v", ids, err)
		}
		fronts, err := r.List(t.Context(), samlidp.ReceiptFilter{RelyingParty: "front", Limit: 1})
		must(t, err)
		if err := reopen(everything(), fronts[0].ID); !errors.Is(err, samlidp.ErrNotFailed) {
			t.Errorf("without a browser: %v", err)
		}
	})
}

// TestEndingWithoutProvider: sessions end where nothing is served, too; a provider whose session is over by its own time isn't told, one that was
// removed can't be.
func TestEndingWithoutProvider(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		h.register("leaver", func(p *sp.SP) { p.Sector = "leaver.example" })
		h.loggedIn("s1")
		h.enter("soap")
		h.forward(time.Hour)
		h.enter("front")
		h.enter("leaver")
		must(t, h.registry.Remove(t.Context(), operator, "leaver", "試験", 1))
		h.forward(11*time.Hour + time.Minute)
		endings := samlidp.Endings{Parties: h.registry, Enqueue: h, Now: h.now, Random: rand.Reader}
		end := func() {
			must(t, h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				return endings.SessionEnded(ctx, tx, session.Session{ID: "s1", Network: policies.NetworkInternet, EndedWhy: session.WhyTooOld}, nil)
			}))
		}
		end()
		end()
		all, err := samlidp.Receipts{DB: h.db}.List(t.Context(), samlidp.ReceiptFilter{Session: "s1", Limit: 10})
		must(t, err)
		if got := h.states("s1"); got != "front:untold no_browser,leaver:untold party_removed" || len(all) != 2 || len(h.ends.queue) != 0 {
			t.Errorf("%s, %d rows", got, len(all))
		}
		if want := start.Add(13 * time.Hour).UnixMicro(); all[0].Until != want {
			t.Errorf("its session ends at %d, want %d", all[0].Until, want)
		}
	})
}
