package samlidp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// TestLogoutByProvider goes the whole way: a provider asks, the session ends, the browser visits whom only it can tell, and who asked is answered.
func TestLogoutByProvider(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		for _, binding := range []string{sp.BindingRedirect, sp.BindingPOST} {
			id := identity.SessionID("by " + binding)
			h.loggedIn(id)
			asker := policies.RelyingPartyID("front")
			if binding == sp.BindingPOST {
				asker = "poster"
			}
			who := h.enter(asker)
			second := h.enter("second")
			h.enter("soap")
			b := h.newBrowser()
			doc := h.wants(asker, who, nil)
			request := attribute(doc, "ID")
			var s seen
			if binding == sp.BindingRedirect {
				s = b.open(slo + "?" + carry("SAMLRequest", doc, "relay/1", h.own))
			} else {
				s = b.posts(carryForm("SAMLRequest", signedDoc(t, doc, h.own), "relay/1"))
			}
			if !h.isGone(id) || s.onward != "second 1/1" || !strings.HasPrefix(s.to, "https://second.example/slo?SAMLRequest=") {
				t.Fatalf("%s: %+v\n%s", binding, s, h.log.String())
			}
			el, relay := h.carried(t, s.to, "SAMLRequest")
			if relay != "" || path(t, el, "NameID") != second.name || path(t, el, "SessionIndex") != second.index || path(t, el, "Issuer") != origin+"/saml/metadata" ||
				path(t, el, "@Destination") != "https://second.example/slo" || path(t, el, "NameID@SPNameQualifier") != entityOf("second") || path(t, el, "@NotOnOrAfter") == "" {
				t.Errorf("the request to the second: %s", s.to)
			}
			want := string(asker) + ":delivered asked,second:unconfirmed unanswered,soap:pending"
			if binding == sp.BindingPOST {
				want = "poster:delivered asked,second:unconfirmed unanswered,soap:pending"
			}
			if got := h.states(id); got != want {
				t.Errorf("under way: %s", got)
			}
			s = b.open(slo + "?" + carry("SAMLResponse", h.answers("second", path(t, el, "@ID"), nil), "", h.own))
			if binding == sp.BindingRedirect {
				if !strings.HasPrefix(s.to, "https://front.example/back?SAMLResponse=") {
					t.Fatalf("%+v\n%s", s, h.log.String())
				}
				el, relay = h.carried(t, s.to, "SAMLResponse")
			} else {
				if s.to != "https://poster.example/slo" {
					t.Fatalf("%+v\n%s", s, h.log.String())
				}
				el, relay = h.signedRoot(t, s.answer), s.rel
			}
			if relay != "relay/1" || codes(t, el) != "Success" || path(t, el, "@InResponseTo") != request || path(t, el, "@Destination") == "" {
				t.Errorf("%s: relay %q, %s", binding, relay, codes(t, el))
			}
			if got := h.states(id); got != strings.Replace(want, "second:unconfirmed unanswered", "second:delivered", 1) {
				t.Errorf("in the end: %s", got)
			}
			// Once more, with another request: nothing stands, and nobody is told again.
			s = b.open(slo + "?" + carry("SAMLRequest", h.wants(asker, who, nil), "", h.own))
			if s.onward != "" || !strings.HasPrefix(s.to, "https://"+string(asker)+".example/") {
				t.Errorf("again: %+v", s)
			}
		}
	})
}

// attribute reads an attribute of a document that the test wrote.
func attribute(doc, name string) string {
	_, rest, _ := strings.Cut(doc, " "+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// TestPartialLogout: whoever can't be told, of whatever protocol, is told of honestly.
func TestPartialLogout(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		ask := func(id identity.SessionID, who subject) string {
			s := h.newBrowser().open(slo + "?" + carry("SAMLRequest", h.wants("front", who, nil), "", h.own))
			el, _ := h.carried(t, s.to, "SAMLResponse")
			return codes(t, el)
		}
		h.loggedIn("mute")
		who := h.enter("front")
		h.enter("mute")
		if got := ask("mute", who); got != "Success PartialLogout" || h.states("mute") != "front:delivered asked,mute:untold no_endpoint" {
			t.Errorf("%s, %s", got, h.states("mute"))
		}
		h.loggedIn("openid")
		who = h.enter("front")
		h.ends.untold = map[identity.SessionID]bool{"openid": true}
		if got := ask("openid", who); got != "Success PartialLogout" {
			t.Error(got)
		}
		for name, c := range map[string]struct {
			codes []string
			want  string
			state string
		}{
			"it refuses":                   {[]string{"urn:oasis:names:tc:SAML:2.0:status:Responder", statusRefused}, "Success PartialLogout", "failed refused"},
			"it told only some":            {[]string{statusOK, statusSome}, "Success PartialLogout", "partial partial"},
			"it told only some, otherwise": {[]string{"urn:oasis:names:tc:SAML:2.0:status:Responder", statusSome}, "Success PartialLogout", "partial partial"},
			"it knows of no session":       {[]string{"urn:oasis:names:tc:SAML:2.0:status:Requester", statusNobody}, "Success", "delivered unknown_there"},
		} {
			id := identity.SessionID(name)
			h.loggedIn(id)
			who, b := h.enter("front"), h.newBrowser()
			h.enter("second")
			s := b.open(slo + "?" + carry("SAMLRequest", h.wants("front", who, nil), "", h.own))
			el, _ := h.carried(t, s.to, "SAMLRequest")
			s = b.posts(carryForm("SAMLResponse", signedDoc(t, h.answers("second", path(t, el, "@ID"), nil, c.codes...), h.own), ""))
			el, _ = h.carried(t, s.to, "SAMLResponse")
			if got := codes(t, el); got != c.want || h.states(id) != "front:delivered asked,second:"+c.state {
				t.Errorf("%s: %s, %s", name, got, h.states(id))
			}
		}
	})
}

// TestLogoutAtTheHub: a way that begins here, past a provider that never sends the browser back, to the last page.
func TestLogoutAtTheHub(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		h.loggedIn("s1")
		for _, id := range []policies.RelyingPartyID{"front", "poster", "second", "mute"} {
			h.enter(id)
		}
		must(t, h.end(t.Context(), "s1", session.WhyLogout))
		b := h.newBrowser()
		at := b.leaves(t, samlidp.Leaving{Session: "s1", Location: "https://app.example/bye"})
		if !strings.HasPrefix(at, "/saml/slo/next/") {
			t.Fatal(at)
		}
		if s := h.newBrowser().open(origin + at); s.known || s.to != "" || s.loggedOut != "" {
			t.Errorf("another browser goes the way: %+v", s)
		}
		s := b.open(origin + at)
		if s.onward != "front 1/3" {
			t.Fatalf("%+v", s)
		}
		// The front one keeps the browser: the last page offers to go on.
		s = b.open(origin + "/saml/slo/done/")
		if s.resume != at || !strings.Contains(s.loggedOut, "front unconfirmed unanswered; mute untold no_endpoint; poster untold no_browser; second untold no_browser") {
			t.Fatalf("%+v", s)
		}
		s = b.open(origin + s.resume)
		if s.onward != "poster 2/3" || s.skip != at || s.to != "https://poster.example/slo" {
			t.Fatalf("%+v", s)
		}
		el := h.signedRoot(t, s.request)
		s = b.posts(carryForm("SAMLResponse", signedDoc(t, h.answers("poster", path(t, el, "@ID"), nil), h.own), ""))
		if s.onward != "second 3/3" {
			t.Fatalf("%+v", s)
		}
		el, _ = h.carried(t, s.to, "SAMLRequest")
		s = b.open(slo + "?" + carry("SAMLResponse", h.answers("second", path(t, el, "@ID"), nil), "", h.own))
		if !s.known || s.resume != "" || s.loggedOut != "front unconfirmed unanswered; mute untold no_endpoint; poster delivered ; second delivered " {
			t.Fatalf("%+v", s)
		}
		if s = h.newBrowser().open(origin + at); s.known {
			t.Errorf("another browser sees it: %+v", s)
		}
		h.forward(16 * time.Minute)
		if s = b.open(origin + at); s.known {
			t.Errorf("after its time: %+v", s)
		}
		if _, err := h.provider.Sweep(t.Context(), 100); err != nil {
			t.Fatal(err)
		}

		// Nobody to visit, everything told: straight to where the browser is wanted; or to the page, where frames are to be loaded.
		h.loggedIn("s2")
		h.enter("soap")
		must(t, h.end(t.Context(), "s2", session.WhyLogout))
		at = b.leaves(t, samlidp.Leaving{Session: "s2", Location: "https://app.example/bye"})
		if s = b.open(origin + at); !strings.HasPrefix(at, "/saml/slo/done/") || s.to != "https://app.example/bye" {
			t.Errorf("%s %+v", at, s)
		}
		at = b.leaves(t, samlidp.Leaving{Session: "s2", Location: "https://app.example/bye", Frames: []string{"https://app.example/frame"}})
		if s = b.open(origin + at); s.loggedOut != "soap pending " {
			t.Errorf("%+v", s)
		}
	})
}

// TestLogoutBySOAP: a provider asks by itself; what takes a browser isn't told, and it hears so.
func TestLogoutBySOAP(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		ask := func(doc string) string {
			t.Helper()
			h.forward(time.Second)
			status, body := h.soap(envelope(signedDoc(t, doc, h.own)))
			if status != http.StatusOK {
				t.Fatalf("%d %s\n%s", status, body, h.log.String())
			}
			el := h.soapAnswer(t, body)
			if path(t, el, "@InResponseTo") != attribute(doc, "ID") || path(t, el, "Issuer") != origin+"/saml/metadata" {
				t.Errorf("%s", body)
			}
			return codes(t, el)
		}
		to := map[string]string{"Destination": sloSOAP}
		h.loggedIn("s1")
		who := h.enter("soap")
		if got := ask(h.wants("soap", who, to)); got != "Success" || !h.isGone("s1") || h.states("s1") != "soap:delivered asked" {
			t.Errorf("%s, %s", got, h.states("s1"))
		}
		h.loggedIn("s2")
		who = h.enter("soap")
		h.enter("front")
		if got := ask(h.wants("soap", who, map[string]string{"Destination": ""})); got != "Success PartialLogout" || !h.isGone("s2") || h.states("s2") != "front:untold no_browser,soap:delivered asked" {
			t.Errorf("%s, %s", got, h.states("s2"))
		}
		// Every session of that name at that provider, where none is named; nobody else's.
		for _, id := range []identity.SessionID{"s3", "s4"} {
			h.loggedIn(id)
			who = h.enter("soap")
		}
		h.login.Person = "p2"
		h.loggedIn("s5")
		other := h.enter("soap")
		who.index = ""
		if got := ask(h.wants("soap", who, to)); got != "Success" || !h.isGone("s3") || !h.isGone("s4") || h.isGone("s5") {
			t.Errorf("%s", got)
		}
		if got := ask(h.wants("soap", other, to)); got != "Success" || !h.isGone("s5") {
			t.Errorf("%s", got)
		}
		// Namespaces that are declared on the envelope alone, and a header that means nothing here.
		h.loggedIn("s6")
		doc := signedDoc(t, h.wants("soap", h.enter("soap"), to), h.own)
		ns := ` xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"`
		body := strings.Replace(strings.Replace(envelope(strings.Replace(doc, ns, "", 1)), "<soap:Envelope", "<soap:Envelope"+ns, 1), "<soap:Body>",
			`<soap:Header><x xmlns="urn:x" soap:mustUnderstand="0"/></soap:Header><soap:Body>`, 1)
		if status, answer := h.soap(body); status != http.StatusOK || !h.isGone("s6") {
			t.Errorf("%d %s\n%s", status, answer, body)
		}
	})
}

// TestDeliver: a provider's signed answer to this very request is a receipt, and nothing else is.
func TestDeliver(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		n := 0
		deliver := func(answer func(request, id string) (int, string, string)) (samlidp.Logout, error) {
			t.Helper()
			n++
			id := identity.SessionID("d" + strings.Repeat("x", n))
			h.loggedIn(id)
			who := h.enter("soap")
			must(t, h.end(t.Context(), id, session.WhyAdmin))
			h.ends.post = func(r *http.Request, body []byte) (int, string, []byte, error) {
				if r.URL.String() != "https://soap.example/soap" || r.Method != http.MethodPost || r.Header.Get("SOAPAction") == "" || len(r.Cookies()) > 0 {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				el := h.soapAnswer(t, string(body))
				if path(t, el, "NameID") != who.name || path(t, el, "SessionIndex") != who.index || path(t, el, "@Destination") != "https://soap.example/soap" {
					t.Errorf("%s", body)
				}
				status, kind, doc := answer(string(body), path(t, el, "@ID"))
				if status == 0 {
					return 0, "", nil, errors.New("unreachable")
				}
				return status, kind, []byte(doc), nil
			}
			queued := h.ends.queue[len(h.ends.queue)-1]
			err := h.provider.Deliver(t.Context(), queued)
			l, e := samlidp.Receipts{DB: h.db}.Logout(t.Context(), queued)
			must(t, e)
			return l, err
		}
		none := map[string]string{"Destination": ""}
		good := func(id string) string { return envelope(signedDoc(t, h.answers("soap", id, none), h.own)) }
		for name, c := range map[string]struct {
			state  samlidp.LogoutState
			why    string
			answer func(request, id string) (int, string, string)
		}{
			"a good answer": {samlidp.LogoutDelivered, "", func(_, id string) (int, string, string) { return 200, "text/xml", good(id) }},
			"partial": {samlidp.LogoutPartial, "partial", func(_, id string) (int, string, string) {
				return 200, "text/xml", envelope(signedDoc(t, h.answers("soap", id, none, statusOK, statusSome), h.own))
			}},
			"refused": {samlidp.LogoutFailed, "refused", func(_, id string) (int, string, string) {
				return 200, "text/xml", envelope(signedDoc(t, h.answers("soap", id, none, "urn:oasis:names:tc:SAML:2.0:status:Responder"), h.own))
			}},
			"unsigned": {samlidp.LogoutUnconfirmed, "answer_unsigned", func(_, id string) (int, string, string) {
				return 200, "text/xml", envelope(h.answers("soap", id, none))
			}},
			"unreachable": {samlidp.LogoutPending, "unreachable", func(string, string) (int, string, string) { return 0, "", "" }},
			"an error":    {samlidp.LogoutPending, "status", func(_, id string) (int, string, string) { return 503, "text/xml", good(id) }},
			"a redirect":  {samlidp.LogoutPending, "status", func(_, id string) (int, string, string) { return 302, "text/xml", good(id) }},
			"another's key": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) {
				return 200, "text/xml", envelope(signedDoc(t, h.answers("soap", id, none), h.two))
			}},
			"another's name": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) {
				return 200, "text/xml", envelope(signedDoc(t, h.answers("front", id, none), h.own))
			}},
			"to another": {samlidp.LogoutPending, "answer_invalid", func(string, string) (int, string, string) { return 200, "text/xml", good("_other") }},
			"for another": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) {
				return 200, "text/xml", envelope(signedDoc(t, h.answers("soap", id, map[string]string{"Destination": "https://evil.test/"}), h.own))
			}},
			"our request": {samlidp.LogoutPending, "answer_invalid", func(request, _ string) (int, string, string) { return 200, "text/xml", request }},
			"two bodies": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) {
				return 200, "text/xml", strings.Replace(good(id), "</soap:Envelope>", "<soap:Body/></soap:Envelope>", 1)
			}},
			"two answers": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) {
				return 200, "text/xml", strings.Replace(good(id), "<soap:Body>", "<soap:Body><x/>", 1)
			}},
			"no envelope": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) {
				return 200, "text/xml", signedDoc(t, h.answers("soap", id, none), h.own)
			}},
			"HTML": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) { return 200, "text/html", good(id) }},
			"no status": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) {
				return 200, "text/xml", envelope(signedDoc(t, h.answers("soap", id, none, ""), h.own))
			}},
			"too long": {samlidp.LogoutPending, "answer_invalid", func(_, id string) (int, string, string) {
				return 200, "text/xml", good(id) + strings.Repeat(" ", 1<<20)
			}},
			"a fault": {samlidp.LogoutPending, "answer_invalid", func(string, string) (int, string, string) {
				return 200, "text/xml", envelope("<soap:Fault><faultcode>soap:Server</faultcode></soap:Fault>")
			}},
		} {
			l, err := deliver(c.answer)
			if l.State != c.state || l.Why != c.why || errors.Is(err, access.ErrUndelivered) != (c.state == samlidp.LogoutPending) || l.Tries != 1 {
				t.Errorf("%s: %s %s after %d tries, %v", name, l.State, l.Why, l.Tries, err)
			}
			sent := h.ends.sent
			if err := h.provider.Deliver(t.Context(), l.ID); c.state != samlidp.LogoutPending && (err != nil || h.ends.sent != sent) {
				t.Errorf("%s: it is told again: %v", name, err)
			}
			must(t, h.provider.Abandon(t.Context(), l.ID))
			if l, err = (samlidp.Receipts{DB: h.db}).Logout(t.Context(), l.ID); err != nil || c.state == samlidp.LogoutPending && (l.State != samlidp.LogoutFailed || l.Why != "given_up") {
				t.Errorf("%s, given up: %s %s, %v", name, l.State, l.Why, err)
			}
		}
		if err := h.provider.Deliver(t.Context(), "nothing"); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
	})
}
