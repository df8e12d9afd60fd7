package login_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

func TestCardOpensTheService(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		if n := h.view(v); !slices.Equal(n.Methods, []identity.MethodID{"app", identity.MethodCard}) || n.Form == "" {
			t.Fatalf("%+v", n)
		}
		n := h.login(v, identity.MethodCard, string(logintest.Local))
		l := h.finished(n)
		want := identity.Login{
			Session: l.Session, Person: logintest.Local, Org: logintest.CityA, RelyingParty: "survey", Network: policies.NetworkInternet,
			Assurance: policies.AssuranceCard, AMR: []string{"pin", "sc"}, AuthAt: h.Now().UnixMicro(),
			Release:    []policies.Attribute{policies.AttributeName, policies.AttributeEmail, policies.AttributeOrganization},
			PolicyHash: h.Engine.Hash(),
		}
		if diff := cmp.Diff(want, l); diff != "" || l.Session == "" {
			t.Error(diff)
		}
		if n.Answer.Location != `https://rp.example.test/?facts={"state":"s"}` || !json.Valid(n.Request.Facts) {
			t.Errorf("%+v", n.Answer)
		}
		s, a, err := h.World.Sessions.Read(t.Context(), n.Session, policies.NetworkInternet, h.Now())
		if err != nil || s.ID != l.Session || a.Person.ID != logintest.Local {
			t.Fatal(s, err)
		}
		rows := h.Audit(t, audit.Filter{Action: "login.finish"})
		if len(rows) != 1 || rows[0].Actor != string(logintest.Local) || rows[0].PolicyHash != l.PolicyHash || rows[0].Reason != "function-opens-its-party" ||
			rows[0].Personal["address"] != "192.0.2.7" {
			t.Errorf("%+v", rows)
		}
		// Single sign-on: the next service asks nothing, keeps the session, and is told when the person really proved themselves.
		h.Pass(10 * time.Minute)
		again := h.view(h.start(h.ask("hub", func(a *login.Ask) { a.Passive = true }), n.Session))
		if l2 := h.finished(again); l2.Session != l.Session || l2.AuthAt != l.AuthAt || !again.Session.Zero() {
			t.Errorf("%+v", l2)
		}
		if err := h.World.Sessions.Logout(t.Context(), n.Session, h.Now()); err != nil {
			t.Fatal(err)
		}
		ends := h.Ended.All()
		if len(ends) != 1 || len(ends[0].Parties) != 2 {
			t.Errorf("who hears of the logout: %+v", ends)
		}
		h.refused("after logout", h.view(h.start(h.ask("hub", func(a *login.Ask) { a.Passive = true }), n.Session)), login.ReasonLogin)
	})
}

func TestProofIsAskedForAgain(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		first := h.login(h.start(h.ask("survey", nil), session.Secret{}), identity.MethodCard, string(logintest.Local))
		sid := h.finished(first).Session
		h.Pass(5 * time.Minute)
		for name, change := range map[string]func(*login.Ask){
			"prompt=login":            func(a *login.Ask) { a.Force = true },
			"max_age":                 func(a *login.Ask) { a.HasMaxAge, a.MaxAge = true, 5*time.Minute-time.Second },
			"max_age=0":               func(a *login.Ask) { a.HasMaxAge = true },
			"somebody else is wanted": func(a *login.Ask) { a.Person = logintest.LocalBoss },
		} {
			if n := h.view(h.start(h.ask("survey", change), first.Session)); len(n.Methods) == 0 || n.Answer != nil {
				t.Errorf("%s: %+v", name, n)
			}
		}
		fresh := h.view(h.start(h.ask("survey", func(a *login.Ask) { a.HasMaxAge, a.MaxAge = true, 5*time.Minute }), first.Session))
		if h.finished(fresh).Session != sid {
			t.Error("a young session wasn't enough")
		}
		v := h.start(h.ask("survey", func(a *login.Ask) { a.Force = true }), first.Session)
		n := h.login(v, identity.MethodCard, string(logintest.Local))
		if l := h.finished(n); l.Session != sid || l.AuthAt != h.Now().UnixMicro() {
			t.Errorf("%+v", l)
		}
		if _, _, err := h.World.Sessions.Read(t.Context(), first.Session, policies.NetworkInternet, h.Now()); !errors.Is(err, session.ErrNone) {
			t.Errorf("the cookie from before stands: %v", err)
		}
		wrong := h.login(h.start(h.ask("survey", func(a *login.Ask) { a.Person = logintest.LocalBoss }), session.Secret{}), identity.MethodCard, string(logintest.Local))
		h.refused("the wrong person", wrong, login.ReasonOtherPerson)
		if wrong.Answer == nil || !wrong.Session.Zero() {
			t.Errorf("%+v", wrong)
		}
	})
}

// The policies let nobody in without the card: what proved less is asked to step up, and the session goes on with it.
func TestStepUp(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		n := h.login(v, "app", string(logintest.Local))
		if !slices.Equal(n.Methods, []identity.MethodID{identity.MethodCard}) || n.Answer != nil || len(h.issuer.finished) != 0 {
			t.Fatalf("%+v", n)
		}
		if l := h.finished(h.login(v, identity.MethodCard, string(logintest.Local))); l.Assurance != policies.AssuranceCard {
			t.Errorf("%+v", l)
		}
	})
}

func TestPolicyRefuses(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		n := h.login(h.start(h.ask("wiki", nil), session.Secret{}), identity.MethodCard, string(logintest.Vendor))
		row := h.refused("a contractor in the local governments' sharing", n, login.ReasonPolicy)
		if n.Answer == nil || !n.Refusal.Final || row.PolicyHash != h.Engine.Hash() || row.Detail["person"] != string(logintest.Vendor) ||
			row.Detail["relying_party"] != "wiki" || len(h.issuer.refused) != 1 {
			t.Errorf("%+v, %+v", n, row)
		}
		lgwan := func(a *login.Ask) { a.Network = policies.NetworkLGWAN }
		v := h.start(h.ask("survey", lgwan), session.Secret{})
		to, no, err := h.Prove(t.Context(), v, h.begin(v, identity.MethodCard), brought(t, string(logintest.Ministry)))
		if err != nil || no != nil {
			t.Fatal(no, err)
		}
		n = h.must(h.Return(t.Context(), v, to[len(to)-43:]))
		row = h.refused("a ministry from LGWAN", n, login.ReasonPolicy)
		if row.Reason != "policy_denied: entrance-takes-permitted-network" {
			t.Errorf("%q", row.Reason)
		}
	})
}

func TestChoiceOfThePost(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		n := h.login(v, identity.MethodCard, string(logintest.TwoPosts))
		if len(n.Posts) != 2 || n.Posts[0].Org.ID != logintest.CityA || n.Posts[1].Org.ID != logintest.CityB || n.Posts[1].Person.Role != policies.RoleAdministrator {
			t.Fatalf("%+v", n)
		}
		h.refused("a post of somebody else", h.must(h.Choose(t.Context(), v, n.Form, logintest.MinistryA)), login.ReasonPost)
		n = h.must(h.Choose(t.Context(), v, n.Form, logintest.CityB))
		l := h.finished(n)
		if l.Org != logintest.CityB {
			t.Errorf("%+v", l)
		}
		_, a, err := h.World.Sessions.Read(t.Context(), n.Session, policies.NetworkInternet, h.Now())
		if err != nil || a.Org.ID != logintest.CityB || a.Person.Role != policies.RoleAdministrator {
			t.Errorf("%+v, %v", a, err)
		}
		// The next service doesn't ask; one that wants the choice does, and changing the post is a session of its own, no fresher a proof.
		if l := h.finished(h.view(h.start(h.ask("hub", nil), n.Session))); l.Org != logintest.CityB {
			t.Errorf("%+v", l)
		}
		h.Pass(time.Minute)
		v = h.start(h.ask("hub", func(a *login.Ask) { a.Choose = true }), n.Session)
		changed := h.must(h.Choose(t.Context(), v, h.view(v).Form, logintest.CityA))
		l2 := h.finished(changed)
		s, _, err := h.World.Sessions.Read(t.Context(), changed.Session, policies.NetworkInternet, h.Now())
		if err != nil || l2.Session == l.Session || l2.AuthAt != l.AuthAt || s.CreatedAt != logintest.Start.UnixMicro() {
			t.Errorf("%+v, %+v, %v", l2, s, err)
		}
		// A post that ends between choice and login is none.
		v = h.start(h.ask("survey", func(a *login.Ask) { a.Force = true }), session.Secret{})
		form := h.login(v, identity.MethodCard, string(logintest.TwoPosts)).Form
		h.Release(logintest.TwoPosts)
		if l := h.finished(h.must(h.Choose(t.Context(), v, form, logintest.CityB))); l.Org != logintest.CityA {
			t.Errorf("%+v", l)
		}
	})
}

// First use: a card that is nobody's, and the person's password beside it.
func TestLink(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		n := h.login(v, identity.MethodCard, "unlinked 4711")
		if !n.Linking || !slices.Equal(n.Methods, []identity.MethodID{identity.MethodPassword}) {
			t.Fatalf("%+v", n)
		}
		ticket := h.begin(v, identity.MethodPassword)
		n = h.must(h.Submit(t.Context(), v, n.Form, ticket, brought(t, "")))
		row := h.refused("a wrong password", n, login.ReasonRejected)
		if n.Refusal.Code != "nothing_brought" || n.Refusal.Final || len(n.Methods) != 1 || row.Reason != "proof_rejected: nothing_brought" {
			t.Fatalf("%+v, %+v", n, row)
		}
		h.refused("a ticket twice", h.must(h.Submit(t.Context(), v, n.Form, ticket, brought(t, string(logintest.Local)))), login.ReasonTicket)
		n = h.must(h.Submit(t.Context(), v, n.Form, h.begin(v, identity.MethodPassword), brought(t, string(logintest.Local))))
		if l := h.finished(n); l.Person != logintest.Local || l.Assurance != policies.AssuranceCard || l.AMR[1] != "sc" || h.card.linked["4711"] != logintest.Local {
			t.Errorf("%+v, %v", l, h.card.linked)
		}
		// One card, one person.
		v = h.start(h.ask("survey", nil), session.Secret{})
		n = h.login(v, identity.MethodCard, "unlinked 4711")
		n = h.must(h.Submit(t.Context(), v, n.Form, h.begin(v, identity.MethodPassword), brought(t, string(logintest.LocalBoss))))
		h.refused("somebody else's card", n, login.ReasonLink)
		if h.card.linked["4711"] != logintest.Local || len(h.issuer.finished) != 1 {
			t.Errorf("%v", h.card.linked)
		}
		// A leaver links nothing.
		v = h.start(h.ask("survey", nil), session.Secret{})
		n = h.login(v, identity.MethodCard, "unlinked 4712")
		n = h.must(h.Submit(t.Context(), v, n.Form, h.begin(v, identity.MethodPassword), brought(t, string(logintest.Gone))))
		h.refused("a leaver", n, login.ReasonPerson)
		// A password that was never asked for does nothing.
		v = h.start(h.ask("survey", nil), session.Secret{})
		h.refused("the password first", h.must(h.Begin(t.Context(), v, h.view(v).Form, identity.MethodPassword)), login.ReasonMethod)
	})
}

func TestLeaverInTheMiddle(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		code := h.prove(h.begin(v, identity.MethodCard), string(logintest.Local))
		h.End(logintest.Local)
		n := h.must(h.Return(t.Context(), v, code))
		h.refused("a leaver", n, login.ReasonPerson)
		if len(h.issuer.finished) != 0 || !n.Session.Zero() {
			t.Errorf("%+v", n)
		}
	})
}

func TestCancel(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		v := h.start(h.ask("survey", nil), session.Secret{})
		n := h.must(h.Cancel(t.Context(), v, h.view(v).Form))
		h.refused("cancelled", n, login.ReasonCancelled)
		if n.Answer == nil || n.Answer.Location != "https://rp.example.test/?error=cancelled" {
			t.Errorf("%+v", n)
		}
		late := h.view(v)
		h.refused("afterwards", late, login.ReasonAnswered)
		if late.Answer != nil || len(h.issuer.refused) != 1 {
			t.Error("answered twice")
		}
	})
}

func TestNothingIsHalfDone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.issuer.err = errors.New("no key to sign with")
		v := h.start(h.ask("survey", nil), session.Secret{})
		code := h.prove(h.begin(v, identity.MethodCard), string(logintest.Local))
		if _, err := h.Return(t.Context(), v, code); err == nil {
			t.Fatal("answered without a key")
		}
		var sessions int
		if err := h.DB.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM session`).Scan(&sessions); err != nil || sessions != 0 {
			t.Errorf("%d sessions, %v", sessions, err)
		}
		if rows := h.Audit(t, audit.Filter{Action: "login.finish"}); len(rows) != 0 {
			t.Errorf("%+v", rows)
		}
		h.issuer.err = nil
		h.finished(h.view(v)) // the proof was kept: nobody has to find their card again
	})
}

// What is signed is signed after the commit: it goes out as it was made then, once; and where that fails the login stands and isn't answered.
func TestAnswerIsMadeLater(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		sessions := func() (n int) {
			if err := h.DB.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM session`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		made, committed := 0, 0
		h.issuer.later = func() (login.Answer, error) {
			made, committed = made+1, sessions() // another connection sees the session: nobody waits for the signature
			return login.Answer{Location: "https://rp.example.test/signed"}, nil
		}
		n := h.login(h.start(h.ask("survey", nil), session.Secret{}), identity.MethodCard, string(logintest.Local))
		if h.finished(n); n.Answer.Location != "https://rp.example.test/signed" || n.Answer.Later != nil || made != 1 || committed != 1 {
			t.Errorf("%+v, made %d times after %d commits", n.Answer, made, committed)
		}
		for what, later := range map[string]func() (login.Answer, error){
			"a key that fails":     func() (login.Answer, error) { return login.Answer{}, errors.New("no key to sign with") },
			"one that never comes": func() (login.Answer, error) { return login.Answer{Later: h.issuer.later}, nil },
		} {
			h.issuer.later = later
			before := sessions()
			v := h.start(h.ask("survey", nil), session.Secret{})
			code := h.prove(h.begin(v, identity.MethodCard), string(logintest.Local))
			if n, err := h.Return(t.Context(), v, code); err == nil || n.Answer != nil || !n.Session.Zero() {
				t.Errorf("%s: %+v, %v", what, n, err)
			}
			if n, err := h.View(t.Context(), v); err == nil && n.Answer != nil || sessions() != before+1 {
				t.Errorf("%s: it is answered after all, or %d sessions aren't %d", what, sessions(), before+1)
			}
		}
	})
}

func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for range 3 {
			h.begin(h.start(h.ask("survey", nil), session.Secret{}), identity.MethodCard)
		}
		h.Pass(24 * time.Hour)
		left := func() (requests, attempts int) {
			err := h.DB.Reader().QueryRowContext(t.Context(), `SELECT (SELECT COUNT(*) FROM login_request), (SELECT COUNT(*) FROM login_attempt)`).Scan(&requests, &attempts)
			if err != nil {
				t.Fatal(err)
			}
			return requests, attempts
		}
		if _, err := h.Sweep(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if r, a := left(); r != 3 || a != 3 {
			t.Errorf("%d requests and %d attempts stay before their day is over", r, a)
		}
		h.Pass(login.Lifetime)
		more, err := h.Sweep(t.Context(), 2)
		if r, a := left(); err != nil || !more || r != 1 || a != 1 {
			t.Errorf("%d requests, %d attempts, more %v, %v", r, a, more, err)
		}
	})
}
