package session_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

type house struct {
	*logintest.World
	t *testing.T
}

func each(t *testing.T, fn func(t *testing.T, h house)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, house{logintest.New(t, db), t}) })
}

func opening(p policies.PersonID, org policies.OrgID) session.Opening {
	return session.Opening{
		Person: p, Org: org, Network: policies.NetworkInternet, Assurance: policies.AssuranceCard, AMR: []string{"sc", "pin"},
		Method: identity.MethodCard, Credential: "card-of-" + string(p), Agent: "Browser/1.0 (someone@example.test)\x00日本",
	}
}

func (h house) open(o session.Opening) (session.Session, session.Secret) {
	h.t.Helper()
	o.Secret, o.Now, o.AuthAt = logintest.Secret(h.t), h.Now().UnixMicro(), h.Now().UnixMicro()
	var s session.Session
	err := h.DB.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		s, err = h.Sessions.Open(ctx, tx, o)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return s, o.Secret
}

func (h house) read(secret session.Secret) (session.Session, error) {
	s, _, err := h.Sessions.Read(h.t.Context(), secret, policies.NetworkInternet, h.Now())
	return s, err
}

func (h house) stands(what string, secret session.Secret) {
	h.t.Helper()
	if _, err := h.read(secret); err != nil {
		h.t.Errorf("%s: %v", what, err)
	}
}

func (h house) over(what string, secret session.Secret, want error) {
	h.t.Helper()
	if _, err := h.read(secret); !errors.Is(err, want) || !errors.Is(err, identity.ErrRefused) {
		h.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestSessionIsItsBrowsers(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		s, secret := h.open(opening(logintest.Local, logintest.CityA))
		got, a, err := h.Sessions.Read(t.Context(), secret, policies.NetworkInternet, h.Now())
		if err != nil || got.ID != s.ID || a.Person.ID != logintest.Local || a.Org.ID != logintest.CityA || got.Assurance != policies.AssuranceCard {
			t.Fatalf("%+v, %+v, %v", got, a, err)
		}
		if got.Agent != "Browser/1.0 (someoneexample.test)" {
			t.Errorf("agent kept as %q", got.Agent)
		}
		h.over("no cookie", session.Secret{}, session.ErrNone)
		h.over("another secret", logintest.Secret(t), session.ErrNone)
		if forged, ok := session.ParseSecret(string(s.ID)); ok || !forged.Zero() {
			t.Error("a session's id passes for a secret")
		}
		for _, n := range []policies.Network{policies.NetworkLGWAN, policies.NetworkGovernment, ""} {
			if _, _, err := h.Sessions.Read(t.Context(), secret, n, h.Now()); !errors.Is(err, session.ErrNetwork) {
				t.Errorf("from %q: %v", n, err)
			}
		}
		// The database alone opens nothing.
		var kept string
		if err := h.DB.Reader().QueryRowContext(t.Context(), `SELECT secret_sha256 FROM session`).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if kept == "" || strings.Contains(fmt.Sprintf("%v %+v %#v %+v", secret, secret, secret, s), secret.Cookie("x").Value) || kept == secret.Cookie("x").Value {
			t.Error("the secret shows")
		}
	})
}

// Fixation: what was known before a login, or before a step-up, is good for nothing after it.
func TestFixation(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		weak := opening(logintest.Local, logintest.CityA)
		weak.Assurance = policies.AssuranceTwo
		first, before := h.open(weak)
		if err := h.told(first, "jira"); err != nil {
			t.Fatal(err)
		}
		h.Pass(time.Minute)
		up := opening(logintest.Local, logintest.CityA)
		up.Before = before
		second, after := h.open(up)
		h.over("the secret from before the step-up", before, session.ErrNone)
		if got, err := h.read(after); err != nil || got.ID != first.ID || got.Assurance != policies.AssuranceCard || got.AuthAt != h.Now().UnixMicro() {
			t.Errorf("relying parties lose their sid, or the proof is old: %+v, %v", got, err)
		}
		if second.ID != first.ID || len(h.Ended.All()) != 0 {
			t.Errorf("a step-up ended the session")
		}
		// Another person in the same browser: the first one's session ends, and its relying parties hear of it.
		other := opening(logintest.LocalBoss, logintest.CityA)
		other.Before = after
		third, _ := h.open(other)
		h.over("the first person's", after, session.ErrEnded)
		ends := h.Ended.All()
		if third.ID == first.ID || len(ends) != 1 || ends[0].Session.EndedWhy != session.WhyReplaced || len(ends[0].Parties) != 1 {
			t.Errorf("%+v", ends)
		}
		// Another post is another session, too: what a relying party may know differs.
		_, one := h.open(opening(logintest.TwoPosts, logintest.CityA))
		there := opening(logintest.TwoPosts, logintest.CityB)
		there.Before = one
		h.open(there)
		h.over("the other post's", one, session.ErrEnded)
	})
}

func (h house) told(s session.Session, rp policies.RelyingPartyID) error {
	return h.DB.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return h.Sessions.Told(ctx, tx, s.ID, session.Party{RelyingParty: rp, Issuer: identity.IssuerOIDC, At: h.Now().UnixMicro()})
	})
}

func TestLimitsOfThePolicies(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		_, idle := h.open(opening(logintest.Local, logintest.CityA))
		_, busy := h.open(opening(logintest.Local, logintest.CityA))
		_, boss := h.open(opening(logintest.System, logintest.Agency))
		h.Pass(14 * time.Minute)
		h.stands("a system administrator after 14 minutes", boss)
		h.Pass(15 * time.Minute)
		h.over("a system administrator after 15 minutes", boss, session.ErrEnded)
		h.stands("busy", busy)
		h.Pass(30 * time.Minute)
		h.stands("59 minutes", idle)
		h.Pass(time.Hour - time.Microsecond)
		h.stands("a microsecond less than an hour", idle)
		h.Pass(time.Hour)
		h.over("an hour", idle, session.ErrEnded)
		_, busy = h.open(opening(logintest.Local, logintest.CityA))
		for range 19 {
			h.Pass(30 * time.Minute)
			h.stands("a busy day", busy)
		}
		h.Pass(30 * time.Minute)
		h.over("after ten hours", busy, session.ErrEnded)
	})
}

// A relying party's polling keeps nobody logged in.
func TestStandingIsNoRequest(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		s, secret := h.open(opening(logintest.Local, logintest.CityA))
		for range 3 {
			h.Pass(19 * time.Minute)
			if _, a, err := h.Sessions.Standing(t.Context(), s.ID, h.Now()); err != nil || a.Person.ID != logintest.Local {
				t.Fatal(err)
			}
		}
		h.Pass(3 * time.Minute)
		h.over("idle for an hour", secret, session.ErrEnded)
		if _, _, err := h.Sessions.Standing(t.Context(), s.ID, h.Now()); !errors.Is(err, session.ErrEnded) {
			t.Error(err)
		}
		if _, _, err := h.Sessions.Standing(t.Context(), "unknown", h.Now()); !errors.Is(err, session.ErrNone) {
			t.Error(err)
		}
	})
}

// The next request after the end of service is refused, whether or not anything has told the sessions.
func TestLeaverIsOutAtTheNextRequest(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		s, secret := h.open(opening(logintest.Local, logintest.CityA))
		h.stands("before", secret)
		h.End(logintest.Local)
		h.over("after", secret, session.ErrEnded)
		if _, _, err := h.Sessions.Standing(t.Context(), s.ID, h.Now()); !errors.Is(err, session.ErrEnded) {
			t.Errorf("tokens live on: %v", err)
		}
		_, two := h.open(opening(logintest.TwoPosts, logintest.CityB))
		h.stands("with the post", two)
		h.Release(logintest.TwoPosts)
		h.over("without the post", two, session.ErrEnded)
	})
}

type queue struct {
	access.Enqueuer
	err  error
	left []access.Leaver
}

func (q *queue) EnqueueLeaver(_ context.Context, _ *sql.Tx, l ...access.Leaver) error {
	q.left = append(q.left, l...)
	return q.err
}

func TestLeaversSessionsEndWithThePerson(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		s, secret := h.open(opening(logintest.Local, logintest.CityA))
		if err := h.told(s, "jira"); err != nil {
			t.Fatal(err)
		}
		_, other := h.open(opening(logintest.LocalBoss, logintest.CityA))
		q := &queue{err: errors.New("the engine is down")}
		l := session.Leavers{Enqueuer: q, Sessions: h.Sessions}
		leave := func() error {
			return h.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				return l.EnqueueLeaver(ctx, tx, access.Leaver{Person: logintest.Local, At: h.Now().UnixMicro()})
			})
		}
		if leave() == nil {
			t.Fatal("a lost leaver passed")
		}
		h.stands("an end that wasn't committed", secret)
		q.err = nil
		if err := leave(); err != nil || len(q.left) != 2 {
			t.Fatal(err, q.left)
		}
		h.over("the leaver", secret, session.ErrEnded)
		h.stands("somebody else", other)
		rows := h.Audit(t, audit.Filter{Action: "session.end"})
		if len(rows) != 1 || rows[0].Object != string(s.ID) || rows[0].Reason != "person_ended" || rows[0].Org != logintest.CityA || rows[0].ActorKind != audit.ActorSystem {
			t.Errorf("%+v", rows)
		}
		ends := h.Ended.All()
		if last := ends[len(ends)-1]; last.Session.ID != s.ID || len(last.Parties) != 1 || last.Parties[0].RelyingParty != "jira" {
			t.Errorf("%+v", last)
		}
	})
}

func TestOnesOwnList(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		own, mine := h.open(opening(logintest.Local, logintest.CityA))
		h.Pass(time.Minute)
		second, away := h.open(opening(logintest.Local, logintest.CityA))
		theirs, other := h.open(opening(logintest.LocalBoss, logintest.CityA))
		list, err := h.Sessions.List(t.Context(), own, h.Now())
		if err != nil || len(list) != 2 || list[0].ID != second.ID || list[1].ID != own.ID {
			t.Fatalf("%+v, %v", list, err)
		}
		if err := h.Sessions.EndOwn(t.Context(), own, theirs.ID, h.Now()); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("somebody else's session: %v", err)
		}
		if err := h.Sessions.EndOwn(t.Context(), own, second.ID, h.Now()); err != nil {
			t.Fatal(err)
		}
		if err := h.Sessions.EndOwn(t.Context(), own, second.ID, h.Now()); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
		h.over("the other browser", away, session.ErrEnded)
		h.stands("this browser", mine)
		h.stands("somebody else", other)
		if err := h.Sessions.Logout(t.Context(), mine, h.Now()); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.Sessions.Logout(t.Context(), mine, h.Now()), h.Sessions.Logout(t.Context(), session.Secret{}, h.Now())); err != nil {
			t.Errorf("logging out twice: %v", err)
		}
		h.over("logged out", mine, session.ErrEnded)
		if n := len(h.Ended.All()); n != 2 {
			t.Errorf("%d ends were told, want each once", n)
		}
	})
}

// An administrator sees the sessions of their own people, and who was told of them.
func TestListOf(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		first, _ := h.open(opening(logintest.Local, logintest.CityA))
		if err := h.told(first, "jira"); err != nil {
			t.Fatal(err)
		}
		h.Pass(time.Minute)
		second, _ := h.open(opening(logintest.Local, logintest.CityA))
		_, _ = h.open(opening(logintest.LocalBoss, logintest.CityA))
		boss, err := h.Resolver.Person(t.Context(), logintest.LocalBoss)
		if err != nil {
			t.Fatal(err)
		}
		scope := func(action policies.Action) policies.Scope {
			s, err := h.Resolver.Scope(t.Context(), boss, action, nil, policies.Context{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		local := identity.Person{ID: logintest.Local, Org: logintest.CityA}
		list, err := h.Sessions.ListOf(t.Context(), scope(policies.ActionPeopleRead), local, h.Now())
		if err != nil || len(list) != 2 || list[0].ID != second.ID || list[1].ID != first.ID || len(list[0].Parties) != 0 ||
			len(list[1].Parties) != 1 || list[1].Parties[0].RelyingParty != "jira" {
			t.Errorf("%+v, %v", list, err)
		}
		for name, try := range map[string]struct {
			scope policies.Scope
			org   policies.OrgID
		}{
			"another organization": {scope(policies.ActionPeopleRead), logintest.MinistryA}, "no scope": {policies.Scope{}, logintest.CityA},
			"to write alone": {scope(policies.ActionPeopleWrite), logintest.CityA},
		} {
			if _, err := h.Sessions.ListOf(t.Context(), try.scope, identity.Person{ID: logintest.Local, Org: try.org}, h.Now()); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A relying party ends only what it was told of.
func TestLogoutByParty(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		s, secret := h.open(opening(logintest.Local, logintest.CityA))
		if err := h.told(s, "jira"); err != nil {
			t.Fatal(err)
		}
		if err := h.Sessions.LogoutByParty(t.Context(), s.ID, "slack", h.Now()); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		h.stands("after another party's wish", secret)
		if err := h.Sessions.LogoutByParty(t.Context(), s.ID, "jira", h.Now()); err != nil {
			t.Fatal(err)
		}
		h.over("after its own party's wish", secret, session.ErrEnded)
	})
}

func TestEndByAdministratorTakesAScope(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		_, secret := h.open(opening(logintest.Local, logintest.CityA))
		boss, err := h.Resolver.Person(t.Context(), logintest.LocalBoss)
		if err != nil {
			t.Fatal(err)
		}
		scope := func(action policies.Action) policies.Scope {
			s, err := h.Resolver.Scope(t.Context(), boss, action, nil, policies.Context{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		end := func(a access.Actor, s policies.Scope, p identity.Person) error {
			return h.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				return h.Sessions.EndByAdministrator(ctx, tx, a, s, p, session.WhyAdmin, h.Now())
			})
		}
		target := identity.Person{ID: logintest.Local, Org: logintest.CityA}
		stranger, err := h.Resolver.Person(t.Context(), logintest.Vendor)
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"no scope":             end(boss, policies.Scope{}, target),
			"to read alone":        end(boss, scope(policies.ActionPeopleRead), target),
			"another organization": end(boss, scope(policies.ActionPeopleWrite), identity.Person{ID: logintest.Ministry, Org: logintest.MinistryA}),
			"somebody else's":      end(stranger, scope(policies.ActionPeopleWrite), target),
		} {
			if !errors.Is(err, identity.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		h.stands("after refusals", secret)
		if err := end(boss, scope(policies.ActionPeopleWrite), target); err != nil {
			t.Fatal(err)
		}
		h.over("after the administrator", secret, session.ErrEnded)
	})
}

func TestCredentialTakesItsSessions(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		_, card := h.open(opening(logintest.Local, logintest.CityA))
		password := opening(logintest.Local, logintest.CityA)
		password.Method = identity.MethodPassword // with a credential of the same id
		_, other := h.open(password)
		err := h.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return h.Sessions.EndCredential(ctx, tx, identity.MethodCard, "card-of-"+string(logintest.Local), session.WhyCard, h.Now().UnixMicro())
		})
		if err != nil {
			t.Fatal(err)
		}
		h.over("the card's", card, session.ErrEnded)
		h.stands("another method's", other)
	})
}

func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		for range 3 {
			h.open(opening(logintest.Local, logintest.CityA))
		}
		h.Pass(session.MaxAge)
		rounds := 0
		for more := true; more; rounds++ {
			var err error
			if more, err = h.Sessions.Sweep(t.Context(), h.Now(), time.Hour, 2); err != nil {
				t.Fatal(err)
			}
		}
		if ends := h.Ended.All(); rounds != 2 || len(ends) != 3 || ends[0].Session.EndedWhy != session.WhyTooOld {
			t.Errorf("%d rounds, %+v", rounds, ends)
		}
		h.Pass(time.Hour)
		if _, err := h.Sessions.Sweep(t.Context(), h.Now(), time.Hour, 100); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := h.DB.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM session`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows stay, %v", n, err)
		}
	})
}

func TestCookie(t *testing.T) {
	secret := logintest.Secret(t)
	c := secret.Cookie(session.CookieName)
	text := c.String()
	for _, want := range []string{"__Host-musubi=", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %s", text, want)
		}
	}
	if strings.Contains(text, "Domain") {
		t.Errorf("%q is told to other hosts", text)
	}
	request := func(headers ...string) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://hub.example.test/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			r.Header.Add("Cookie", h)
		}
		return r
	}
	own := session.CookieName + "=" + c.Value
	if session.FromRequest(request(own), session.CookieName).Hash() != secret.Hash() {
		t.Error("the cookie doesn't come back")
	}
	for name, r := range map[string]*http.Request{
		"none": request(), "two": request(own, session.CookieName+"="+logintest.Secret(t).Cookie("x").Value),
		"two equal": request(own, own), "short": request(own[:len(own)-1]), "long": request(own + "A"),
		"padded": request(session.CookieName + "=" + strings.Repeat("=", 43)), "other name": request("musubi=" + c.Value),
	} {
		if !session.FromRequest(r, session.CookieName).Zero() {
			t.Errorf("%s: taken", name)
		}
	}
	again := secret.Derive("a")
	if secret.Derive("a") == secret.Derive("b") || secret.Derive("a") != again || (session.Secret{}).Derive("a") != "" {
		t.Error("form tokens")
	}
}

// Two that end a session at the same time tell of it once.
func TestEndIsToldOnce(t *testing.T) {
	each(t, func(t *testing.T, h house) {
		s, _ := h.open(opening(logintest.Local, logintest.CityA))
		for range 2 {
			err := h.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				return h.Sessions.EndThis(ctx, tx, s, h.Now().UnixMicro())
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if ends, rows := h.Ended.All(), h.Audit(t, audit.Filter{Action: "session.end"}); len(ends) != 1 || len(rows) != 1 {
			t.Errorf("%d ends, %d rows", len(ends), len(rows))
		}
		if err := h.DB.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return h.Sessions.Use(ctx, tx, s.ID, h.Now().UnixMicro()) }); !errors.Is(err, session.ErrEnded) {
			t.Error(err)
		}
	})
}
