package mynumber_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/http"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// password stands in for the first step of a link: whoever posts a name is that person.
type password struct{}

func (password) Begin(context.Context, login.Attempt) (login.Instruction, error) {
	return login.Instruction{Page: "password"}, nil
}

func (password) Finish(_ context.Context, a login.Attempt, r *http.Request) (login.Proof, error) {
	return login.Proof{
		Method: identity.MethodPassword, Use: login.UseLink, Person: policies.PersonID(r.Header.Get("X-Test-Is")), Credential: "password",
		Assurance: policies.AssuranceSingle, AMR: []string{identity.AMRPassword}, At: a.At,
	}, nil
}

type issuer struct{ logins []identity.Login }

func (i *issuer) Finish(_ context.Context, _ *sql.Tx, _ login.Request, l identity.Login) (login.Answer, error) {
	i.logins = append(i.logins, l)
	return login.Answer{Location: "https://rp.example.test/"}, nil
}

func (i *issuer) Refuse(context.Context, *sql.Tx, login.Request, login.Refusal) (login.Answer, error) {
	return login.Answer{Location: "https://rp.example.test/"}, nil
}

type parties struct{}

func (parties) Party(_ context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	return policies.RelyingParty{ID: id, Functions: []policies.Function{policies.FunctionQuestionnaire}, Networks: []policies.Network{policies.NetworkInternet}}, nil
}

func dispatcher(h *house, to login.Issuer) *login.Dispatcher {
	here := []policies.Network{policies.NetworkInternet}
	return must(login.New(login.Config{
		DB: h.DB, Now: h.Now, Random: rand.Reader, People: h.Resolver, Posts: h.Posts, Policy: h.Engine, Sessions: h.Sessions, Parties: parties{},
		Offers: map[identity.MethodID]login.Offer{
			identity.MethodCard:     {Method: h.method, Reach: policies.AssuranceCard, Networks: here, Use: login.UseLogin},
			identity.MethodPassword: {Method: password{}, Reach: policies.AssuranceSingle, Networks: here, Use: login.UseLink},
		},
		Issuers: map[identity.IssuerID]login.Issuer{identity.IssuerOIDC: to},
		ReturnTo: func(_ policies.Network, _ identity.LoginID, code string) string {
			return "https://hub.example.test/return?code=" + code
		},
	}))
}

// TestWholeLogin leads the dispatcher, the method, sessions and the links through a card's life.
func TestWholeLogin(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		to := &issuer{}
		d := dispatcher(h, to)
		here := login.Visit{Network: policies.NetworkInternet, Address: "192.0.2.7", Agent: "Browser/1.0"}
		begin := func(v *login.Visit, force bool) string {
			r, browser, err := d.Start(t.Context(), login.Ask{Issuer: identity.IssuerOIDC, RelyingParty: "survey", Network: policies.NetworkInternet, Force: force}, session.Secret{})
			if err != nil {
				t.Fatal(err)
			}
			v.ID, v.Browser = r.ID, browser
			return begun(t, d, *v, identity.MethodCard)
		}
		prove := func(v login.Visit, ticket string, r *http.Request) (login.Next, *login.Refusal) {
			location, refusal, err := d.Prove(t.Context(), here, ticket, r)
			if err != nil {
				t.Fatal(err)
			}
			if refusal != nil {
				return login.Next{}, refusal
			}
			_, code, _ := strings.Cut(location, "code=")
			return must(d.Return(t.Context(), v, code)), nil
		}
		card := cards()[0]

		// First use: the card alone opens nothing; with the password both are bound.
		v := here
		ticket := begin(&v, false)
		n, refusal := prove(v, ticket, request(t, card.Raw))
		if refusal != nil || !n.Linking || len(to.logins) != 0 {
			t.Fatalf("an unlinked card: %+v, %v", n, refusal)
		}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://hub.example.test/", http.NoBody)
		r.Header.Set("X-Test-Is", string(logintest.Local))
		n = must(d.Submit(t.Context(), v, n.Form, begun(t, d, v, identity.MethodPassword), r))
		if n.Answer == nil || len(to.logins) != 1 || to.logins[0].Person != logintest.Local || to.logins[0].Assurance != policies.AssuranceCard {
			t.Fatalf("first use: %+v, %+v", n, to.logins)
		}
		if got := strings.Join(to.logins[0].AMR, " "); !strings.Contains(got, "hwk mfa pin") {
			t.Errorf("amr %s", got)
		}
		opened := n.Session

		// From now on the card alone does.
		v = here
		ticket = begin(&v, false)
		if n, refusal = prove(v, ticket, request(t, card.Raw)); refusal != nil || n.Answer == nil || len(to.logins) != 2 {
			t.Fatalf("the second login: %+v, %v", n, refusal)
		}
		// A ticket opens once; a forged header and a signed challenge that another site could have passed on open nothing.
		if _, refusal = prove(v, ticket, request(t, card.Raw)); refusal == nil || refusal.Reason != login.ReasonTicket {
			t.Errorf("a ticket twice: %v", refusal)
		}
		v = here
		ticket = begin(&v, true)
		_, refusal = prove(v, ticket, header(request(t, card.Raw), "Client-Cert", sf(card.Raw)))
		if refusal == nil || refusal.Code != "client_cert_forged" {
			t.Fatalf("forged: %v", refusal)
		}
		if rows := h.Audit(t, audit.Filter{ID: refusal.Incident}); len(rows) != 1 || rows[0].Outcome != audit.Refused || !strings.Contains(rows[0].Reason, "client_cert_forged") {
			t.Errorf("the incident: %+v", rows)
		}
		v = here
		ticket = begin(&v, true)
		n, refusal = prove(v, ticket, h.sign(login.Attempt{Login: v.ID, Network: v.Network, Ticket: ticket, At: h.Now().UnixMicro()}, card))
		if refusal != nil || n.Answer != nil || len(to.logins) != 2 {
			t.Errorf("a signed challenge is no card: %+v, %v", n, refusal)
		}

		// A new list takes the card and its sessions away.
		for _, x := range h.publish(card.Entry(h.Now(), testpki.KeyCompromise)).Taken {
			if _, err := h.releases.EndRevoked(t.Context(), x.List, h.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if h.stands(opened) {
			t.Error("the session of a revoked card stands")
		}
		v = here
		ticket = begin(&v, false)
		if _, refusal = prove(v, ticket, request(t, card.Raw)); refusal == nil || refusal.Code != "certificate_revoked" {
			t.Errorf("a revoked card: %v", refusal)
		}
	})
}

// A card that is released between its proof and the choice of a post opens nothing.
func TestReleasedDuringLogin(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		to := &issuer{}
		d := dispatcher(h, to)
		if err := h.link(logintest.TwoPosts, h.credential(cards()[0])); err != nil {
			t.Fatal(err)
		}
		start := func() (login.Visit, login.Next) {
			v := login.Visit{Network: policies.NetworkInternet}
			r, browser, err := d.Start(t.Context(), login.Ask{Issuer: identity.IssuerOIDC, RelyingParty: "survey", Network: v.Network}, session.Secret{})
			if err != nil {
				t.Fatal(err)
			}
			v.ID, v.Browser = r.ID, browser
			location, refusal, err := d.Prove(t.Context(), v, begun(t, d, v, identity.MethodCard), request(t, cards()[0].Raw))
			if err != nil || refusal != nil {
				t.Fatal(refusal, err)
			}
			_, code, _ := strings.Cut(location, "code=")
			n := must(d.Return(t.Context(), v, code))
			if len(n.Posts) != 2 {
				t.Fatalf("no choice of posts: %+v", n)
			}
			return v, n
		}
		v, n := start()
		if n = must(d.Choose(t.Context(), v, n.Form, logintest.CityA)); n.Answer == nil || len(to.logins) != 1 {
			t.Fatalf("before the release: %+v, %v", n, n.Refusal)
		}
		v, n = start()
		boss, scope := h.right(logintest.LocalBoss, policies.ActionPeopleWrite, logintest.CityA)
		if err := h.releases.Release(t.Context(), boss, scope, identity.Person{ID: logintest.TwoPosts, Org: logintest.CityA}, "紛失", h.Now()); err != nil {
			t.Fatal(err)
		}
		n = must(d.Choose(t.Context(), v, n.Form, logintest.CityA))
		if len(to.logins) != 1 || !n.Session.Zero() || n.Refusal == nil || n.Refusal.Code != "credential_released" || !n.Refusal.Final {
			t.Errorf("after the release: %+v, %v, %d logins", n, n.Refusal, len(to.logins))
		}
	})
}

// begun gives the ticket of a begun method.
func begun(t testing.TB, d *login.Dispatcher, v login.Visit, m identity.MethodID) string {
	t.Helper()
	n := must(d.View(t.Context(), v))
	n = must(d.Begin(t.Context(), v, n.Form, m))
	if n.Instruction == nil || n.Ticket == "" {
		t.Fatalf("nothing to do: %+v", n)
	}
	return n.Ticket
}
