package login_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// Another browser, with or without a login of its own, sees and moves nothing of a request, and can't end it.
func TestAnotherBrowser(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		form := h.view(v).Form
		other := h.start(h.ask("survey", nil), session.Secret{})
		for name, browser := range map[string]session.Secret{"no cookie": {}, "another": other.Browser, "a made up one": logintest.Secret(t)} {
			x := v
			x.Browser = browser
			for step, n := range map[string]login.Next{
				"view":   h.view(x),
				"begin":  h.must(h.Begin(t.Context(), x, form, identity.MethodCard)),
				"choose": h.must(h.Choose(t.Context(), x, form, logintest.CityA)),
				"cancel": h.must(h.Cancel(t.Context(), x, form)),
				"return": h.must(h.Return(t.Context(), x, "code")),
				"submit": h.must(h.Submit(t.Context(), x, form, "ticket", brought(t, string(logintest.Local)))),
			} {
				h.refused(name+": "+step, n, login.ReasonBrowser)
				if n.Request.ID != "" || n.Form != "" || n.Answer != nil || n.Methods != nil {
					t.Errorf("%s: %s shows %+v", name, step, n)
				}
			}
		}
		if n := h.view(v); len(n.Methods) == 0 || len(h.card.begun) != 0 {
			t.Errorf("the request was moved: %+v", n)
		}
	})
}

func TestForgedForms(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		// A second request of the same browser: same cookie, another token.
		r2, browser, err := h.Start(t.Context(), h.ask("survey", nil), v.Browser)
		if err != nil || browser.Hash() != v.Browser.Hash() {
			t.Fatal(err)
		}
		second := v
		second.ID = r2.ID
		for name, form := range map[string]string{"none": "", "of another request": h.view(second).Form, "made up": strings.Repeat("A", 43), "the id": string(v.ID)} {
			h.refused("begin, "+name, h.must(h.Begin(t.Context(), v, form, identity.MethodCard)), login.ReasonCSRF)
			h.refused("choose, "+name, h.must(h.Choose(t.Context(), v, form, logintest.CityA)), login.ReasonCSRF)
			h.refused("cancel, "+name, h.must(h.Cancel(t.Context(), v, form)), login.ReasonCSRF)
			h.refused("submit, "+name, h.must(h.Submit(t.Context(), v, form, "t", brought(t, "x"))), login.ReasonCSRF)
		}
		if n := h.view(v); len(n.Methods) == 0 || len(h.card.begun) != 0 || len(h.issuer.refused) != 0 {
			t.Errorf("the request was moved: %+v", n)
		}
	})
}

// Login of one person in another's flow: who begins sends the address to somebody who has a card.
func TestOnePersonInAnothersFlow(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		attacker := h.start(h.ask("survey", nil), session.Secret{})
		ticket := h.begin(attacker, identity.MethodCard)
		// The victim's browser follows the ticket and presents the victim's card. The code goes back with the victim's browser.
		code := h.prove(ticket, string(logintest.LocalBoss))
		victim := attacker
		victim.Browser = session.Secret{}
		h.refused("in the victim's browser", h.must(h.Return(t.Context(), victim, code)), login.ReasonBrowser)
		// The attacker has the ticket, not the code.
		for _, guess := range []string{"", ticket, string(attacker.ID), strings.Repeat("A", 43)} {
			h.refused("the attacker's guess", h.must(h.Return(t.Context(), attacker, guess)), login.ReasonTicket)
		}
		h.refused("the ticket again", h.must(h.Submit(t.Context(), attacker, h.view(attacker).Form, ticket, brought(t, string(logintest.Local)))), login.ReasonTicket)
		if n := h.view(attacker); n.Answer != nil || len(h.issuer.finished) != 0 {
			t.Errorf("the attacker is in: %+v", n)
		}
		// The other way round: the attacker's own code in the victim's flow (login CSRF).
		theirs := h.start(h.ask("survey", nil), session.Secret{})
		own := h.start(h.ask("survey", nil), session.Secret{})
		mine := h.prove(h.begin(own, identity.MethodCard), string(logintest.Vendor))
		h.refused("another request's code", h.must(h.Return(t.Context(), theirs, mine)), login.ReasonTicket)
		if n := h.view(theirs); len(n.Methods) == 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestTicketsAndCodesAreUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		ticket := h.begin(v, identity.MethodCard)
		// Many at once: one is first.
		var mu sync.Mutex
		var codes []string
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				to, no, err := h.Prove(t.Context(), v, ticket, brought(t, string(logintest.Local)))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if no == nil {
					_, code, _ := strings.Cut(to, "code=")
					codes = append(codes, code)
				} else if no.Reason != login.ReasonTicket {
					t.Error(no)
				}
			})
		}
		wg.Wait()
		if len(codes) != 1 {
			t.Fatalf("%d codes from one ticket", len(codes))
		}
		var answers int
		for range 8 {
			wg.Go(func() {
				n, err := h.Return(t.Context(), v, codes[0])
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if n.Answer != nil {
					answers++
				}
			})
		}
		wg.Wait()
		if answers != 1 || len(h.issuer.finished) != 1 {
			t.Errorf("%d answers, %d finished", answers, len(h.issuer.finished))
		}
		var sessions int
		if err := h.DB.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM session WHERE ended_at = 0`).Scan(&sessions); err != nil || sessions != 1 {
			t.Errorf("%d sessions, %v", sessions, err)
		}
	})
}

func TestNetworkIsKept(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		form, ticket := h.view(v).Form, h.begin(v, identity.MethodCard)
		for _, n := range []policies.Network{policies.NetworkLGWAN, policies.NetworkGovernment, ""} {
			x := v
			x.Network = n
			h.refused("view", h.view(x), login.ReasonNetwork)
			h.refused("begin", h.must(h.Begin(t.Context(), x, form, identity.MethodCard)), login.ReasonNetwork)
			if to, no, err := h.Prove(t.Context(), x, ticket, brought(t, string(logintest.Local))); err != nil || no == nil || no.Reason != login.ReasonNetwork || to != "" {
				t.Errorf("prove from %q: %s, %v, %v", n, to, no, err)
			}
		}
		// The ticket wasn't used up by that.
		h.finished(h.must(h.Return(t.Context(), v, h.prove(ticket, string(logintest.Local)))))
		lgwan := h.start(h.ask("survey", func(a *login.Ask) { a.Network = policies.NetworkLGWAN }), session.Secret{})
		h.refused("a method that isn't offered there", h.must(h.Begin(t.Context(), lgwan, h.view(lgwan).Form, "app")), login.ReasonMethod)
	})
}

func TestTime(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		ticket := h.begin(v, identity.MethodCard)
		late := h.start(h.ask("survey", nil), session.Secret{})
		code := h.prove(h.begin(late, identity.MethodCard), string(logintest.Local))
		h.Pass(login.Lifetime)
		if _, no, err := h.Prove(t.Context(), v, ticket, brought(t, string(logintest.Local))); err != nil || no == nil || no.Reason != login.ReasonTicket {
			t.Errorf("a late ticket: %v, %v", no, err)
		}
		for name, n := range map[string]login.Next{"view": h.view(v), "a late code": h.must(h.Return(t.Context(), late, code))} {
			h.refused(name, n, login.ReasonExpired)
			if n.Answer != nil {
				t.Errorf("%s: a relying party is told of a request that it has forgotten", name)
			}
		}
		if len(h.issuer.finished) != 0 {
			t.Error("finished late")
		}
	})
}

func TestTriesAreBounded(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		for range login.MaxAttempts {
			h.begin(v, identity.MethodCard)
		}
		n := h.view(v)
		h.refused("one more", n, login.ReasonTries)
		if n.Answer == nil || len(h.card.begun) != login.MaxAttempts {
			t.Errorf("%+v", n)
		}
	})
}

// Ids that no database would take, and texts of any size, are refused as any unknown request is.
func TestHostileText(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		form := h.view(v).Form
		for _, text := range []string{"", "\x00", "\xff\xfe", "' OR 1=1 --", "a@example.test", strings.Repeat("A", 1<<20), string(v.ID) + "\n", string(v.ID) + "=", "日本"} {
			x := v
			x.ID = identity.LoginID(text)
			row := h.refused("id", h.view(x), login.ReasonUnknown)
			if row.Object != "" {
				t.Errorf("kept %q", row.Object)
			}
			h.refused("code", h.must(h.Return(t.Context(), v, text)), login.ReasonTicket)
			h.refused("ticket", h.must(h.Submit(t.Context(), v, form, text, brought(t, "x"))), login.ReasonTicket)
			h.refused("form", h.must(h.Begin(t.Context(), v, text, identity.MethodCard)), login.ReasonCSRF)
			h.refused("method", h.must(h.Begin(t.Context(), v, form, identity.MethodID(text))), login.ReasonMethod)
			if _, no, err := h.Prove(t.Context(), x, text, brought(t, "x")); err != nil || no == nil || no.Reason != login.ReasonTicket {
				t.Errorf("prove: %v, %v", no, err)
			}
		}
	})
}

// Whoever has begun nothing fills no disk: of a flood some refusals are recorded, each is refused, and the next row says how many weren't recorded.
func TestFloodOfStrangers(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const many = 60
		rows := func() int { return len(h.Audit(t, audit.Filter{Action: "login.refuse", Limit: 1000})) }
		before, numbered := rows(), 0
		for range many {
			n := h.view(login.Visit{ID: "AAAAAAAAAAAAAAAAAAAAAA", Network: policies.NetworkInternet})
			if n.Refusal == nil || n.Refusal.Reason != login.ReasonUnknown || n.Answer != nil {
				t.Fatalf("%+v", n)
			}
			if n.Refusal.Incident != "" {
				numbered++
			}
		}
		if got := rows() - before; got != numbered || got == 0 || got > 20 {
			t.Errorf("%d rows, %d with a number", got, numbered)
		}
		h.Pass(2 * time.Second)
		row := h.refused("after the flood", h.view(login.Visit{ID: "AAAAAAAAAAAAAAAAAAAAAA", Network: policies.NetworkInternet}), login.ReasonUnknown)
		if row.Detail["not_recorded_before"] != float64(many-numbered) {
			t.Errorf("%v", row.Detail)
		}
	})
}

// A method that claims more than it is registered for is an error, and opens nothing.
func TestMethodsDontOverclaim(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for name, claim := range map[string]login.Proof{
			"assurance": {Assurance: policies.AssuranceCard, AMR: []string{"hwk"}},
			"no level":  {AMR: []string{"hwk"}},
			"level 99":  {Assurance: 99, AMR: []string{"hwk"}},
			"no amr":    {Assurance: policies.AssuranceTwo},
			"use":       {Assurance: policies.AssuranceTwo, AMR: []string{"hwk"}, Use: login.UseLink},
			"no use":    {Assurance: policies.AssuranceTwo, AMR: []string{"hwk"}, Use: "x"},
		} {
			h.weak.proof = claim
			v := h.start(h.ask("survey", nil), session.Secret{})
			if _, no, err := h.Prove(t.Context(), v, h.begin(v, "app"), brought(t, string(logintest.Local))); err == nil || no != nil {
				t.Errorf("%s: passed", name)
			}
		}
		h.weak.proof = login.Proof{Assurance: policies.AssuranceTwo, AMR: []string{"hwk"}}
		v := h.start(h.ask("survey", nil), session.Secret{})
		if _, _, err := h.Prove(t.Context(), v, h.begin(v, "app"), brought(t, "unlinked x")); err == nil {
			t.Error("a method without links gave a credential without a person")
		}
		down := h.begin(v, "app")
		h.weak.err = errors.New("the status source is down")
		if _, no, err := h.Prove(t.Context(), v, down, brought(t, string(logintest.Local))); err == nil || no != nil {
			t.Error("no answer passed for a proof")
		}
	})
}

func TestRejectionsOnTheOtherHost(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		to, no, err := h.Prove(t.Context(), v, h.begin(v, identity.MethodCard), brought(t, ""))
		if err != nil || to != "" {
			t.Fatal(to, err)
		}
		row := h.refused("rejected", login.Next{Refusal: no}, login.ReasonRejected)
		if row.Object != string(v.ID) || row.Detail["method"] != "card" || row.Reason != "proof_rejected: nothing_brought" {
			t.Errorf("%+v", row)
		}
		h.finished(h.login(v, identity.MethodCard, string(logintest.Local)))
	})
}

func TestRequestsThatAreNone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for name, change := range map[string]func(*login.Ask){
			"no issuer":       func(a *login.Ask) { a.Issuer = "" },
			"unknown issuer":  func(a *login.Ask) { a.Issuer = "carrier pigeon" },
			"no party":        func(a *login.Ask) { a.RelyingParty = "" },
			"no network":      func(a *login.Ask) { a.Network = "" },
			"unknown network": func(a *login.Ask) { a.Network = "wifi" },
			"facts":           func(a *login.Ask) { a.Facts = json.RawMessage("{") },
			"too many facts":  func(a *login.Ask) { a.Facts = json.RawMessage(`"` + strings.Repeat("x", login.MaxFacts) + `"`) },
			"assurance":       func(a *login.Ask) { a.Required = 9 },
			"force, passive":  func(a *login.Ask) { a.Force, a.Passive = true, true },
			"max_age":         func(a *login.Ask) { a.HasMaxAge, a.MaxAge = true, -time.Second },
		} {
			if _, _, err := h.Start(t.Context(), h.ask("survey", change), session.Secret{}); err == nil {
				t.Errorf("%s: kept", name)
			}
		}
		n := h.must(h.View(t.Context(), h.start(h.ask("unknown", nil), session.Secret{})))
		if h.refused("an unknown relying party", n, login.ReasonParty); n.Answer != nil {
			t.Errorf("an unknown relying party is answered: %+v", n)
		}
	})
}

// The record of a request survives in the database alone, so that any node goes on with it; secrets don't stand in it.
func TestNothingSecretIsKept(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		ticket := h.begin(v, identity.MethodCard)
		code := h.prove(ticket, string(logintest.Local))
		n := h.must(h.Return(t.Context(), v, code))
		h.finished(n)
		var kept strings.Builder
		for _, query := range []string{
			`SELECT id || browser_sha256 || facts || proof || pending FROM login_request`, `SELECT ticket_sha256 || code_sha256 || proof FROM login_attempt`,
			`SELECT secret_sha256 || id FROM session`, `SELECT detail || object || reason FROM audit_row`,
		} {
			rows, err := h.DB.Reader().QueryContext(context.WithoutCancel(t.Context()), query)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					t.Fatal(err)
				}
				kept.WriteString(text)
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil { //nolint:sqlclosecheck // in a loop
				t.Fatal(err)
			}
		}
		for name, secret := range map[string]string{
			"ticket": ticket, "code": code, "browser": v.Browser.Cookie("x").Value, "session": n.Session.Cookie("x").Value,
		} {
			if len(secret) < 40 || strings.Contains(kept.String(), secret) {
				t.Errorf("the %s is kept", name)
			}
		}
		if rows := h.Audit(t, audit.Filter{}); len(rows) < 3 {
			t.Errorf("%d rows", len(rows))
		}
	})
}

// A ticket belongs to its request, and what it proves too, even in one browser.
func TestTicketOfAnotherRequest(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		first := h.start(h.ask("survey", nil), session.Secret{})
		r, _, err := h.Start(t.Context(), h.ask("survey", nil), first.Browser)
		if err != nil {
			t.Fatal(err)
		}
		second := first
		second.ID = r.ID
		n := h.must(h.Submit(t.Context(), second, h.view(second).Form, h.begin(first, identity.MethodCard), brought(t, string(logintest.Local))))
		h.refused("another request's ticket", n, login.ReasonTicket)
		// A code is used once even where the request goes on.
		code := h.prove(h.begin(first, "app"), string(logintest.Local))
		if n := h.must(h.Return(t.Context(), first, code)); n.Refusal != nil || len(n.Methods) == 0 {
			t.Errorf("%+v", n)
		}
		h.refused("the code again", h.must(h.Return(t.Context(), first, code)), login.ReasonTicket)
	})
}

// While the method judges, its ticket is used up already.
func TestTicketInUse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		ticket := h.begin(v, identity.MethodCard)
		asked := 0
		h.card.during = func() {
			if asked++; asked > 1 {
				return
			}
			if _, no, err := h.Prove(t.Context(), v, ticket, brought(t, string(logintest.Local))); err != nil || no == nil || no.Reason != login.ReasonTicket {
				t.Errorf("%v, %v", no, err)
			}
		}
		h.finished(h.must(h.Return(t.Context(), v, h.prove(ticket, string(logintest.Local)))))
		if asked != 1 {
			t.Errorf("the method was asked %d times", asked)
		}
	})
}

// A session that ends between the look at it and the answer answers nothing.
func TestSessionEndsInTheMiddle(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		first := h.login(h.start(h.ask("survey", nil), session.Secret{}), identity.MethodCard, string(logintest.Local))
		v := h.start(h.ask("hub", nil), first.Session)
		h.afterRead = func() {
			if err := h.World.Sessions.Logout(t.Context(), first.Session, h.Now()); err != nil {
				t.Error(err)
			}
		}
		if n := h.view(v); n.Answer != nil || len(n.Methods) == 0 || len(h.issuer.finished) != 1 {
			t.Errorf("%+v", n)
		}
	})
}

// A sealed account opens the hub's pages for a system administrator, and nothing else for nobody else.
func TestBreakGlass(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		h.refused("for a SaaS", h.must(h.Begin(t.Context(), v, h.view(v).Form, identity.MethodBreakGlass)), login.ReasonMethod)
		n := h.login(h.start(h.ask("hub", nil), session.Secret{}), identity.MethodBreakGlass, string(logintest.System))
		if l := h.finished(n); l.Assurance != policies.AssuranceSingle || l.AMR[0] != "pwd" {
			t.Errorf("%+v", l)
		}
		s, _, err := h.World.Sessions.Read(t.Context(), n.Session, policies.NetworkInternet, h.Now())
		if err != nil || !s.Sealed() {
			t.Errorf("%+v, %v", s, err)
		}
		if n := h.view(h.start(h.ask("survey", nil), n.Session)); n.Answer != nil || len(n.Methods) == 0 {
			t.Errorf("its session opens a SaaS: %+v", n)
		}
		if n := h.login(h.start(h.ask("hub", nil), session.Secret{}), identity.MethodBreakGlass, string(logintest.LocalBoss)); n.Answer != nil {
			t.Errorf("a city's administrator breaks the glass: %+v", n)
		}
	})
}
