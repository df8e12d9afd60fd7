package samlidp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// TestLogin is the web browser SSO profile by either binding, to what the assertion says.
func TestLogin(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for name, send := range map[string]func(doc string) result{
			"redirect": func(doc string) result { return h.redirect(query(doc, "st&a te", h.own)) },
			"post":     func(doc string) result { return h.post(form(signedDoc(t, doc, h.own), "st&a te")) },
		} {
			doc := h.ask("app", map[string]string{"ID": "_" + name})
			r := send(doc)
			if r.to != acs || r.relay != "st&a te" {
				t.Fatalf("%s: %+v\n%s", name, r, h.log.String())
			}
			el := h.opened(t, r)
			now, end := "2026-09-21T14:13:20.000Z", "2026-09-21T14:18:20.000Z"
			for at, want := range map[string]string{
				"@Destination": acs, "@InResponseTo": "_" + name, "@Version": "2.0", "@IssueInstant": now, "Issuer": origin + "/saml/metadata",
				"Status/StatusCode/@Value":                                                    "urn:oasis:names:tc:SAML:2.0:status:Success",
				"Assertion/Issuer":                                                            origin + "/saml/metadata",
				"Assertion/Subject/NameID/@Format":                                            string(sp.NameIDPersistent),
				"Assertion/Subject/NameID/@NameQualifier":                                     origin + "/saml/metadata",
				"Assertion/Subject/NameID/@SPNameQualifier":                                   "https://app.example/metadata",
				"Assertion/Subject/SubjectConfirmation/@Method":                               "urn:oasis:names:tc:SAML:2.0:cm:bearer",
				"Assertion/Subject/SubjectConfirmation/SubjectConfirmationData/@InResponseTo": "_" + name,
				"Assertion/Subject/SubjectConfirmation/SubjectConfirmationData/@NotOnOrAfter": end,
				"Assertion/Subject/SubjectConfirmation/SubjectConfirmationData/@Recipient":    acs,
				"Assertion/Subject/SubjectConfirmation/SubjectConfirmationData/@Address":      "",
				"Assertion/Conditions/@NotBefore":                                             "2026-09-21T14:12:20.000Z",
				"Assertion/Conditions/@NotOnOrAfter":                                          end,
				"Assertion/Conditions/AudienceRestriction/Audience":                           "https://app.example/metadata",
				"Assertion/AuthnStatement/@AuthnInstant":                                      "2026-09-21T14:12:20.000Z",
				"Assertion/AuthnStatement/@SessionNotOnOrAfter":                               "2026-09-22T02:13:20.000Z",
				"Assertion/AuthnStatement/AuthnContext/AuthnContextClassRef":                  "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI",
				"Assertion/AuthnStatement/SubjectLocality/@Address":                           "",
			} {
				if got := path(t, el, at); got != want {
					t.Errorf("%s: %s is %q, want %q", name, at, got, want)
				}
			}
			attributes := map[string]string{}
			for _, a := range el.FindElements("./Assertion/AttributeStatement/Attribute") {
				attributes[wire.Attr(a, "Name")] = path(t, a, "AttributeValue")
			}
			want := map[string]string{"urn:oid:0.9.2342.19200300.100.1.3": "p1@city.example", "displayName": "試験 <p1>", "org": "011002", "title": "主任"}
			if diff := cmp.Diff(want, attributes); diff != "" {
				t.Errorf("%s: (-want +got):\n%s", name, diff)
			}
			if strings.Count(r.doc, "<ds:Signature ") != 2 || strings.Contains(r.doc, "sha1") || strings.Contains(r.doc, "xsi:") {
				t.Errorf("%s: %s", name, r.doc)
			}
		}
		var ask login.Ask
		for i := range h.asks {
			if ask = h.asks[i]; ask.Issuer != "saml" || ask.RelyingParty != "app" || ask.Network != policies.NetworkInternet || ask.Required != policies.AssuranceTwo || ask.Force || ask.Passive {
				t.Errorf("asked: %+v", ask)
			}
		}
	})
}

// TestWhatIsSigned: response, assertion or both, as the provider is registered, each by xmlsec1's standards elsewhere.
func TestWhatIsSigned(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		for sign, want := range map[sp.Sign][2]bool{sp.SignBoth: {true, true}, sp.SignResponse: {true, false}, sp.SignAssertion: {false, true}} {
			id := policies.RelyingPartyID("signs-" + sign)
			h.register(id, func(p *sp.SP) { p.Sign = sign })
			el := h.opened(t, h.redirect(query(h.ask(id, nil), "", pair{})))
			if got := [2]bool{wire.Signed(el), wire.Signed(wire.Children(el, wire.NSAssertion, "Assertion")[0])}; got != want {
				t.Errorf("%s: %v", sign, got)
			}
		}
	})
}

// TestBeyond: the form of an answer, and of either kind of refusal, may lead on to where the provider is registered to, and to nowhere else.
func TestBeyond(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.register("leads", func(p *sp.SP) { p.Beyond = []string{"https://a.example", "https://b.example:8443"} })
		send := func(id policies.RelyingPartyID, attributes map[string]string) string {
			t.Helper()
			r := h.redirect(query(h.ask(id, attributes), "", pair{}))
			if r.to != acs {
				t.Errorf("%+v", r)
			}
			return r.beyond
		}
		both := map[string]string{"ForceAuthn": "true", "IsPassive": "true"}
		const want = "https://a.example https://b.example:8443"
		if got := [2]string{send("leads", nil), send("leads", both)}; got != [2]string{want, want} {
			t.Errorf("%q", got)
		}
		h.refusal = login.ReasonPolicy
		if got := [2]string{send("leads", nil), send("other", nil)}; got != [2]string{want, ""} {
			t.Errorf("%q", got)
		}
	})
}

// TestConsumers: a request is answered where its provider is registered.
func TestConsumers(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		for name, c := range map[string]struct {
			attributes map[string]string
			to         string
		}{
			"by address":          {nil, acs},
			"by the other one":    {map[string]string{"AssertionConsumerServiceURL": acs + "?tenant=2"}, acs + "?tenant=2"},
			"by index":            {map[string]string{"AssertionConsumerServiceURL": "", "ProtocolBinding": "", "AssertionConsumerServiceIndex": "0"}, acs},
			"the default":         {map[string]string{"AssertionConsumerServiceURL": "", "ProtocolBinding": ""}, acs + "?tenant=2"},
			"without a binding":   {map[string]string{"ProtocolBinding": ""}, acs},
			"without destination": {map[string]string{"Destination": ""}, acs},
		} {
			r := h.redirect(query(h.ask("other", c.attributes), "", pair{}))
			if r.to != c.to || path(t, h.opened(t, r), "@Destination") != c.to {
				t.Errorf("%s: %+v", name, r)
			}
		}
	})
}

// TestNames: a persistent name is pairwise and stays; a transient one never does; an address is given where policy releases it.
func TestNames(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		name := func(id policies.RelyingPartyID, person policies.PersonID) string {
			h.mu.Lock()
			h.login.Person = person
			h.mu.Unlock()
			q := query(h.ask(id, nil), "", pair{})
			if id == "app" {
				q = query(h.ask(id, nil), "", h.own)
			}
			return path(t, h.opened(t, h.redirect(q)), "Assertion/Subject/NameID")
		}
		one, again, elsewhere, somebody := name("app", "p1"), name("app", "p1"), name("other", "p1"), name("app", "p2")
		if one == "" || one != again || one == elsewhere || one == somebody || strings.Contains(one, "p1") {
			t.Errorf("persistent names: %q %q %q %q", one, again, elsewhere, somebody)
		}
		h.register("brief", func(p *sp.SP) { p.NameID = sp.NameIDTransient })
		if a, b := name("brief", "p1"), name("brief", "p1"); a == b || len(a) < 32 {
			t.Errorf("transient names: %q %q", a, b)
		}
		if got := name("mail", "p1"); got != "p1@city.example" {
			t.Errorf("an address: %q", got)
		}
		h.login.Release = []policies.Attribute{policies.AttributeName}
		r := h.redirect(query(h.ask("mail", nil), "", pair{}))
		el := h.opened(t, r)
		if path(t, el, "Status/StatusCode/StatusCode/@Value") != "urn:oasis:names:tc:SAML:2.0:status:RequestDenied" || el.FindElement("./Assertion") != nil || strings.Contains(r.doc, "p1@") {
			t.Errorf("an address that policy doesn't release:\n%s", r.doc)
		}
		var n int
		must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM audit_row WHERE reason = 'name_id_withheld' AND outcome = 'refused' AND actor = 'p1'`).Scan(&n))
		if n != 1 {
			t.Errorf("%d rows say so", n)
		}
	})
}

// TestRelease: what policy doesn't release isn't told, nor are section, title and role of another post than the main one.
func TestRelease(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		told := func() (names []string) {
			el := h.opened(t, h.redirect(query(h.ask("other", nil), "", pair{})))
			for _, a := range el.FindElements("./Assertion/AttributeStatement/Attribute") {
				names = append(names, path(t, a, "@Name"))
			}
			return names
		}
		h.login.Release = []policies.Attribute{policies.AttributeName, policies.AttributeSection}
		if diff := cmp.Diff([]string{"displayName", "title"}, told()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		h.login.Org = "131016"
		if diff := cmp.Diff([]string{"displayName"}, told()); diff != "" {
			t.Errorf("in another post (-want +got):\n%s", diff)
		}
		h.login.Release = nil
		if got := told(); got != nil {
			t.Errorf("with nothing released: %v", got)
		}
	})
}

// TestSessionIndex: one per session and provider.
func TestSessionIndex(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		index := func(id policies.RelyingPartyID, s string) string {
			h.login.Session = identity.SessionID("s" + s)
			return path(t, h.opened(t, h.redirect(query(h.ask(id, nil), "", pair{}))), "Assertion/AuthnStatement/@SessionIndex")
		}
		one, again, next, elsewhere := index("other", "1"), index("other", "1"), index("other", "2"), index("mail", "1")
		if one == "" || one != again || one == next || one == elsewhere || strings.Contains(one, "s1") {
			t.Errorf("%q %q %q %q", one, again, next, elsewhere)
		}
	})
}

// TestSweep deletes what has expired, and nothing before that.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.redirect(query(h.ask("other", nil), "", pair{}))
		sweep := func(want int64) {
			t.Helper()
			if n, err := h.provider.Sweep(t.Context(), 100); err != nil || n != want {
				t.Errorf("%d rows went, want %d: %v", n, want, err)
			}
		}
		h.forward(8*time.Minute - time.Microsecond)
		sweep(0)
		h.forward(time.Microsecond)
		sweep(1)
		h.forward(12*time.Hour - 8*time.Minute)
		sweep(1)
		sweep(0)
	})
}
