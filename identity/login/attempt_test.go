package login_test

import (
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// A ticket tells its own attempt while it can be used, and uses nothing up. Whatever else is asked has one answer.
func TestAttempt(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		here := login.Visit{Network: policies.NetworkInternet, Address: "192.0.2.9"}
		v := h.start(h.ask("survey", nil), session.Secret{})
		ticket := h.begin(v, identity.MethodCard)
		for range 2 {
			a, no, err := h.Attempt(t.Context(), here, identity.MethodCard, ticket)
			if err != nil || no != nil {
				t.Fatal(no, err)
			}
			want := login.Attempt{Login: v.ID, Network: v.Network, Ticket: ticket, At: h.Now().UnixMicro(), Until: h.Now().Add(login.Lifetime).UnixMicro(), Address: here.Address}
			if a != want {
				t.Errorf("%+v, want %+v", a, want)
			}
		}

		refused := func(what string, at login.Visit, m identity.MethodID, ticket string) {
			t.Helper()
			a, no, err := h.Attempt(t.Context(), at, m, ticket)
			if err != nil || a != (login.Attempt{}) {
				t.Errorf("%s: %+v, %v", what, a, err)
				return
			}
			row := h.refused(what, login.Next{Refusal: no}, login.ReasonTicket)
			if no.Code != "" || no.Final || row.Object != "" || row.Reason != string(login.ReasonTicket) {
				t.Errorf("%s: %+v and the row %+v tell more than that", what, no, row)
			}
		}
		lgwan := here
		lgwan.Network = policies.NetworkLGWAN
		refused("another network", lgwan, identity.MethodCard, ticket)
		refused("another method", here, identity.MethodPassword, ticket)
		for what, text := range map[string]string{"none": "", "made up": strings.Repeat("A", 43), "the request's id": string(v.ID), "no text": "\x00\xff"} {
			refused(what, here, identity.MethodCard, text)
		}

		cancelled := h.start(h.ask("survey", nil), session.Secret{})
		other := h.begin(cancelled, identity.MethodCard)
		h.must(h.Cancel(t.Context(), cancelled, h.view(cancelled).Form))
		refused("its request was cancelled", here, identity.MethodCard, other)

		// Nothing of all that has used it up.
		code := h.prove(ticket, string(logintest.Local))
		refused("used", here, identity.MethodCard, ticket)
		h.finished(h.must(h.Return(t.Context(), v, code)))
		refused("its request was answered", here, identity.MethodCard, ticket)

		late := h.begin(h.start(h.ask("survey", nil), session.Secret{}), identity.MethodCard)
		h.Pass(login.Lifetime)
		refused("expired", here, identity.MethodCard, late)
	})
}
