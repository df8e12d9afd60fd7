package login_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// method stands in for a method: the header X-Test-Is of what comes back says who is there.
type method struct {
	id    identity.MethodID
	proof login.Proof // what it proves beside the person
	page  bool
	err   error
	begun []login.Attempt

	during func() // while it judges
}

func (m *method) Begin(_ context.Context, a login.Attempt) (login.Instruction, error) {
	m.begun = append(m.begun, a)
	if m.page {
		return login.Instruction{Page: "password"}, m.err
	}
	return login.Instruction{Location: "https://card.example.test/?ticket=" + a.Ticket}, m.err
}

func (m *method) Finish(_ context.Context, a login.Attempt, r *http.Request) (login.Proof, error) {
	if m.err != nil {
		return login.Proof{}, m.err
	}
	if m.during != nil {
		m.during()
	}
	is := r.Header.Get("X-Test-Is")
	if is == "" {
		return login.Proof{}, &login.Rejection{Code: "nothing_brought", Retry: true, Detail: map[string]any{"tries": 1}}
	}
	p := m.proof
	p.Method, p.At = m.id, a.At
	if p.Use == "" {
		p.Use = login.UseLogin
	}
	if name, unlinked := strings.CutPrefix(is, "unlinked "); unlinked {
		p.Credential = name
	} else {
		p.Person, p.Credential = policies.PersonID(is), string(m.id)+"-of-"+is
	}
	return p, nil
}

// linker is a method whose credentials are linked: to one person each, once.
type linker struct {
	*method
	linked map[string]policies.PersonID
}

func (l *linker) Link(_ context.Context, _ *sql.Tx, person policies.PersonID, credential string, _ int64) error {
	for c, p := range l.linked {
		if c == credential || p == person {
			return fmt.Errorf("the card: %w", identity.ErrExists)
		}
	}
	l.linked[credential] = person
	return nil
}

// issuer keeps what it is told.
type issuer struct {
	finished []identity.Login
	refused  []login.Refusal
	err      error
	later    func() (login.Answer, error) // how an answer is made after the commit; nil: it is made already
}

func (i *issuer) Finish(_ context.Context, _ *sql.Tx, r login.Request, l identity.Login) (login.Answer, error) {
	if i.err != nil {
		return login.Answer{}, i.err
	}
	i.finished = append(i.finished, l)
	return login.Answer{Location: "https://rp.example.test/?facts=" + string(r.Facts), Later: i.later}, nil
}

func (i *issuer) Refuse(_ context.Context, _ *sql.Tx, _ login.Request, no login.Refusal) (login.Answer, error) {
	if i.err != nil {
		return login.Answer{}, i.err
	}
	i.refused = append(i.refused, no)
	return login.Answer{Location: "https://rp.example.test/?error=" + string(no.Reason)}, nil
}

type parties map[policies.RelyingPartyID]policies.RelyingParty

func (p parties) Party(_ context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	rp, ok := p[id]
	if !ok {
		return rp, identity.ErrNotFound
	}
	return rp, nil
}

type house struct {
	*logintest.World
	*login.Dispatcher
	t        testing.TB
	card     *linker
	password *method
	weak     *method
	sealed   *method

	afterRead func() // runs once, when a session was read and nothing of the step is written
	issuer    *issuer
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, newHouse(t, db)) })
}

func newHouse(t testing.TB, db *sqldb.DB) *house {
	t.Helper()
	h := &house{World: logintest.New(t, db, login.Migration()), t: t, issuer: &issuer{}}
	h.card = &linker{&method{id: identity.MethodCard, proof: login.Proof{Assurance: policies.AssuranceCard, AMR: []string{"pin", "sc"}}}, map[string]policies.PersonID{}}
	h.password = &method{id: identity.MethodPassword, page: true, proof: login.Proof{Use: login.UseLink, Assurance: policies.AssuranceSingle, AMR: []string{"pwd"}}}
	h.weak = &method{id: "app", proof: login.Proof{Assurance: policies.AssuranceTwo, AMR: []string{"hwk"}}}
	h.sealed = &method{id: identity.MethodBreakGlass, proof: login.Proof{Assurance: policies.AssuranceSingle, AMR: []string{"pwd"}}}
	both := []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN}
	var err error
	h.Dispatcher, err = login.New(login.Config{
		DB: db, Now: h.Now, Random: rand.Reader, People: h.Resolver, Posts: h, Policy: h.Engine, Sessions: h.World.Sessions,
		Parties: parties{
			"hub":    {ID: "hub", Hub: true, Networks: both},
			"survey": {ID: "survey", Functions: []policies.Function{policies.FunctionQuestionnaire}, Networks: both},
			"wiki":   {ID: "wiki", Functions: []policies.Function{policies.FunctionSharing}, Networks: both},
		},
		Offers: map[identity.MethodID]login.Offer{
			identity.MethodCard:       {Method: h.card, Reach: policies.AssuranceCard, Networks: both, Use: login.UseLogin},
			identity.MethodPassword:   {Method: h.password, Reach: policies.AssuranceSingle, Networks: both, Use: login.UseLink},
			identity.MethodBreakGlass: {Method: h.sealed, Reach: policies.AssuranceSingle, Networks: both[:1], Use: login.UseLogin},
			"app":                     {Method: h.weak, Reach: policies.AssuranceTwo, Networks: both[:1], Use: login.UseLogin},
		},
		Issuers: map[identity.IssuerID]login.Issuer{identity.IssuerOIDC: h.issuer},
		ReturnTo: func(n policies.Network, id identity.LoginID, code string) string {
			return "https://" + string(n) + ".example.test/login/" + string(id) + "/return?code=" + code
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Choices implements login.Posts.
func (h *house) Choices(ctx context.Context, a access.Actor, at int64) ([]access.Actor, error) {
	if fn := h.afterRead; fn != nil {
		h.afterRead = nil
		fn()
	}
	return h.World.Posts.Choices(ctx, a, at)
}

func (h *house) ask(rp policies.RelyingPartyID, change func(*login.Ask)) login.Ask {
	a := login.Ask{Issuer: identity.IssuerOIDC, RelyingParty: rp, Facts: json.RawMessage(`{"state":"s"}`), Network: policies.NetworkInternet}
	if change != nil {
		change(&a)
	}
	return a
}

// start begins a request in a browser that has the session.
func (h *house) start(a login.Ask, s session.Secret) login.Visit {
	h.t.Helper()
	r, browser, err := h.Start(h.t.Context(), a, session.Secret{})
	if err != nil {
		h.t.Fatal(err)
	}
	return login.Visit{ID: r.ID, Browser: browser, Session: s, Network: a.Network, Address: "192.0.2.7", Agent: "Browser/1.0"}
}

func (h *house) view(v login.Visit) login.Next {
	h.t.Helper()
	return h.must(h.View(h.t.Context(), v))
}

func (h *house) must(n login.Next, err error) login.Next {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// begin gives the ticket of a begun method.
func (h *house) begin(v login.Visit, m identity.MethodID) string {
	h.t.Helper()
	n := h.must(h.Begin(h.t.Context(), v, h.view(v).Form, m))
	if n.Instruction == nil || n.Ticket == "" {
		h.t.Fatalf("nothing to do: %+v", n)
	}
	return n.Ticket
}

func brought(t testing.TB, is string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://card.example.test/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if is != "" {
		r.Header.Set("X-Test-Is", is)
	}
	return r
}

// prove gives the code with which the proving browser comes back.
func (h *house) prove(ticket, is string) string {
	h.t.Helper()
	to, no, err := h.Prove(h.t.Context(), login.Visit{Network: policies.NetworkInternet}, ticket, brought(h.t, is))
	if err != nil || no != nil {
		h.t.Fatal(no, err)
	}
	_, code, ok := strings.Cut(to, "/return?code=")
	if !ok || !strings.HasPrefix(to, "https://internet.example.test/login/") {
		h.t.Fatalf("%s leaves the network", to)
	}
	return code
}

// login goes all the way with one method on a host of its own.
func (h *house) login(v login.Visit, m identity.MethodID, is string) login.Next {
	h.t.Helper()
	return h.must(h.Return(h.t.Context(), v, h.prove(h.begin(v, m), is)))
}

func (h *house) finished(n login.Next) identity.Login {
	h.t.Helper()
	if n.Answer == nil || n.Refusal != nil || n.Request.State != login.StateFinished || len(h.issuer.finished) == 0 {
		h.t.Fatalf("not finished: %+v, refusal %v", n, n.Refusal)
	}
	return h.issuer.finished[len(h.issuer.finished)-1]
}

// refused holds that a step was refused for the reason, and that its incident number finds the one row that says so.
func (h *house) refused(what string, n login.Next, want login.Reason) audit.Row {
	h.t.Helper()
	if n.Refusal == nil || n.Refusal.Reason != want || !errors.Is(n.Refusal, identity.ErrRefused) {
		h.t.Errorf("%s: refusal %v, want %s", what, n.Refusal, want)
		return audit.Row{}
	}
	rows := h.Audit(h.t, audit.Filter{ID: n.Refusal.Incident})
	if len(rows) != 1 || rows[0].Outcome != audit.Refused || !strings.HasPrefix(rows[0].Reason, string(want)) {
		h.t.Errorf("%s: incident %s finds %+v", what, n.Refusal.Incident, rows)
		return audit.Row{}
	}
	return rows[0]
}
