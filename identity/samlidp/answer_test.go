package samlidp_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

const statuses = "urn:oasis:names:tc:SAML:2.0:status:"

// toldOf gives the status that a signed refusal tells.
func (h *house) toldOf(t *testing.T, r result) string {
	t.Helper()
	el, err := wire.Parse([]byte(r.doc), wire.MessageLimits)
	if err != nil {
		t.Fatalf("%+v: %v\n%s", r, err, h.log.String())
	}
	signed, err := wire.Verify(el, h.certificates()[:1])
	must(t, err)
	if signed.FindElement("./Assertion") != nil || r.to != acs || path(t, signed, "@Destination") != acs {
		t.Errorf("%+v", r)
	}
	first := strings.TrimPrefix(path(t, signed, "Status/StatusCode/@Value"), statuses)
	return first + " " + strings.TrimPrefix(path(t, signed, "Status/StatusCode/StatusCode/@Value"), statuses)
}

// TestRefusals: a refusal of the dispatcher is told in the protocol's words, signed, with the incident's number.
func TestRefusals(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		for reason, want := range map[login.Reason]string{
			login.ReasonLogin: "Responder NoPassive", login.ReasonInteraction: "Responder NoPassive", login.ReasonAssurance: "Responder NoAuthnContext",
			login.ReasonMethod: "Responder NoAuthnContext", login.ReasonPolicy: "Responder RequestDenied", login.ReasonPost: "Responder RequestDenied",
			login.ReasonOtherPerson: "Responder UnknownPrincipal", login.ReasonPerson: "Responder AuthnFailed", login.ReasonCancelled: "Responder AuthnFailed",
			login.ReasonExpired: "Responder AuthnFailed", login.ReasonTries: "Responder AuthnFailed", "something new": "Responder AuthnFailed",
		} {
			h.refusal = reason
			r := h.redirect(query(h.ask("other", map[string]string{"ID": "_" + strings.ReplaceAll(string(reason), " ", "")}), "relay", pair{}))
			if got := h.toldOf(t, r); got != want || r.relay != "relay" {
				t.Errorf("%s: %s, want %s", reason, got, want)
			}
			if !strings.Contains(r.doc, "incident 261201-7K2M-9QXD-4RTB") || !strings.Contains(r.doc, `InResponseTo="_`+strings.ReplaceAll(string(reason), " ", "")+`"`) {
				t.Errorf("%s: %s", reason, r.doc)
			}
		}
	})
}

// TestAsked: what a request asks of the login, and what is refused to its provider because it can't be had.
func TestAsked(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		class := func(comparison, uri string) string {
			return `<samlp:RequestedAuthnContext Comparison="` + comparison + `"><saml:AuthnContextClassRef>` + uri + `</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>`
		}
		password := "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
		send := func(id policies.RelyingPartyID, attributes map[string]string, more ...string) (result, login.Ask) {
			n := len(h.asks)
			r := h.redirect(query(h.ask(id, attributes, more...), "", pair{}))
			if len(h.asks) == n {
				return r, login.Ask{}
			}
			return r, h.asks[n]
		}
		for value, want := range map[string]bool{"true": true, "1": true, "false": false, "0": false} {
			if _, a := send("other", map[string]string{"ForceAuthn": value}); a.Force != want || a.Passive {
				t.Errorf("ForceAuthn=%s: %+v", value, a)
			}
			if _, a := send("other", map[string]string{"IsPassive": value}); a.Passive != want || a.Force {
				t.Errorf("IsPassive=%s: %+v", value, a)
			}
		}
		if r, a := send("other", nil, class("exact", "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI")); a.Required != policies.AssuranceCard || !strings.Contains(r.doc, ":SmartcardPKI</saml:AuthnContextClassRef>") {
			t.Errorf("a smart card: %+v", a)
		}
		if r, a := send("other", nil, class("exact", "urn:musubi:acr:aal2")); a.Required != policies.AssuranceTwo || !strings.Contains(r.doc, "urn:musubi:acr:aal2</saml:AuthnContextClassRef>") {
			t.Errorf("two factors: %+v", a)
		}
		if _, a := send("other", nil, class("minimum", password)); a.Required != policies.AssuranceTwo {
			t.Errorf("what a request asks lowers what is registered: %+v", a)
		}
		h.register("stubborn", func(p *sp.SP) { p.IgnoreContext = true })
		if r, a := send("stubborn", nil, class("exact", password)); a.Required != policies.AssuranceTwo || !strings.Contains(r.doc, ":SmartcardPKI</saml:AuthnContextClassRef>") {
			t.Errorf("a provider that asks for passwords and is forgiven: %+v", a)
		}
		policy := func(attributes string) string { return "<samlp:NameIDPolicy " + attributes + "/>" }
		for _, p := range []string{`AllowCreate="true"`, `Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"`, `Format="` + string(sp.NameIDPersistent) + `" SPNameQualifier="` + entityOf("other") + `"`} {
			if r, _ := send("other", nil, policy(p)); r.to != acs || !strings.Contains(r.doc, "status:Success") {
				t.Errorf("%s: %+v", p, r)
			}
		}
		subject := func(inside string) string { return "<saml:Subject>" + inside + "</saml:Subject>" }
		for name, c := range map[string]struct {
			reason, status string
			attributes     map[string]string
			more           string
		}{
			"forced and passive":          {"force_and_passive", "Responder NoPassive", map[string]string{"ForceAuthn": "true", "IsPassive": "1"}, ""},
			"ForceAuthn isn't a boolean":  {"force_authn", "Requester RequestUnsupported", map[string]string{"ForceAuthn": "yes"}, ""},
			"IsPassive isn't a boolean":   {"is_passive", "Requester RequestUnsupported", map[string]string{"IsPassive": "TRUE"}, ""},
			"a password":                  {"context_unreachable", "Responder NoAuthnContext", nil, class("exact", password)},
			"an unknown class":            {"context_unknown", "Responder NoAuthnContext", nil, class("exact", "urn:x")},
			"another format":              {"name_id_format", "Requester InvalidNameIDPolicy", nil, policy(`Format="` + string(sp.NameIDEmail) + `"`)},
			"another's name for somebody": {"name_qualifier", "Requester InvalidNameIDPolicy", nil, policy(`SPNameQualifier="` + entityOf("app") + `"`)},
			"conditions":                  {"part_unsupported", "Requester RequestUnsupported", nil, `<saml:Conditions NotOnOrAfter="2099-01-01T00:00:00Z"/>`},
			"an unknown part":             {"part_unsupported", "Requester RequestUnsupported", nil, `<x xmlns="urn:x"/>`},
			"a part twice":                {"request_malformed", "Requester RequestUnsupported", nil, policy("") + policy("")},
			"nobody":                      {"subject_unknown", "Responder UnknownPrincipal", nil, subject("<saml:NameID>nobody</saml:NameID>")},
			"somebody by another name":    {"subject_unsupported", "Requester RequestUnsupported", nil, subject(`<saml:NameID Format="` + string(sp.NameIDEmail) + `">p1@city.example</saml:NameID>`)},
			"somebody, and conditions":    {"subject_unsupported", "Requester RequestUnsupported", nil, subject(`<saml:NameID>x</saml:NameID><saml:SubjectConfirmation Method="x"/>`)},
		} {
			h.forward(time.Second)
			r, a := send("other", c.attributes, c.more)
			if got := h.toldOf(t, r); got != c.status || a.Issuer != "" {
				t.Errorf("%s: %s, want %s", name, got, c.status)
			}
			var n int
			must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM audit_row WHERE reason = $1 AND outcome = 'refused' AND object = 'other'`, c.reason).Scan(&n))
			if n == 0 {
				t.Errorf("%s: no row says %s", name, c.reason)
			}
		}
		// Somebody by the name that this provider knows, and by that which another knows.
		r, _ := send("other", nil)
		known := path(t, h.opened(t, r), "Assertion/Subject/NameID")
		if _, a := send("other", nil, subject("<saml:NameID>"+known+"</saml:NameID>")); a.Person != "p1" {
			t.Errorf("somebody: %+v", a)
		}
		h.register("third", func(p *sp.SP) { p.Sector = "third.example" })
		if r, _ := send("third", nil, subject("<saml:NameID>"+known+"</saml:NameID>")); h.toldOf(t, r) != "Responder UnknownPrincipal" {
			t.Error("another provider's name for somebody is known")
		}
	})
}

// TestChangedUnderWay: a provider that changes, or goes, between its request and the answer is answered nowhere else and by no other name.
func TestChangedUnderWay(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for name, change := range swapped {
			if said := h.swap(change); said != "" {
				t.Errorf("%s: %s", name, said)
			}
		}
	})
}

// TestNotForThisRequest: a login that isn't one for the request is answered nowhere.
func TestNotForThisRequest(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.redirect(query(h.ask("other", nil), "", pair{}))
		ask := h.asks[0]
		for name, change := range map[string]func(*identity.Login, *login.Request){
			"another network":     func(l *identity.Login, _ *login.Request) { l.Network = policies.NetworkLGWAN },
			"another party":       func(l *identity.Login, _ *login.Request) { l.RelyingParty = "app" },
			"no session":          func(l *identity.Login, _ *login.Request) { l.Session = "" },
			"nobody":              func(l *identity.Login, _ *login.Request) { l.Person = "" },
			"too weak":            func(l *identity.Login, _ *login.Request) { l.Assurance = policies.AssuranceSingle },
			"without methods":     func(l *identity.Login, _ *login.Request) { l.AMR = nil },
			"another issuer's":    func(_ *identity.Login, r *login.Request) { r.Issuer = identity.IssuerOIDC },
			"damaged facts":       func(_ *identity.Login, r *login.Request) { r.Facts = []byte("{") },
			"a network without":   func(l *identity.Login, r *login.Request) { l.Network, r.Network = "government", "government" },
			"facts of no address": func(_ *identity.Login, r *login.Request) { r.Facts = []byte("{}") },
		} {
			l, r := h.login, login.Request{Ask: ask}
			l.RelyingParty, l.Network = ask.RelyingParty, ask.Network
			change(&l, &r)
			must(t, h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				if a, err := h.provider.Finish(ctx, tx, r, l); err == nil {
					t.Errorf("%s: answered at %s", name, a.Location)
				}
				return nil
			}))
		}
	})
}

// TestEncrypted: the assertion can be read by its recipient alone, and holds the signature that it was given.
func TestEncrypted(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		r := h.redirect(query(h.ask("sealed", nil), "", pair{}))
		el, err := wire.Parse([]byte(r.doc), wire.MessageLimits)
		must(t, err)
		signed, err := wire.Verify(el, h.certificates()[:1])
		must(t, err)
		if signed.FindElement("./EncryptedAssertion") == nil || signed.FindElement(".//Assertion") != nil || strings.Contains(r.doc, "p1@city.example") {
			t.Errorf("%s", r.doc)
		}
	})
}

// TestMetadata: signed, the active key first, the next one ahead, a retired one for a while; a certificate stays what it is.
func TestMetadata(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		read := func(n policies.Network, from string) (*etree.Element, []*x509.Certificate) {
			t.Helper()
			w := httptest.NewRecorder()
			h.handler[n].ServeHTTP(w, httptest.NewRequest(http.MethodGet, from+"/saml/metadata", nil))
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/samlmetadata+xml" {
				t.Fatalf("%d %v\n%s", w.Code, w.Header(), h.log.String())
			}
			el, err := wire.Parse(w.Body.Bytes(), wire.MetadataLimits)
			must(t, err)
			all := h.certificates()
			signed, err := wire.Verify(el, all[:1])
			must(t, err)
			return signed, all
		}
		el, first := read(policies.NetworkInternet, origin)
		for at, want := range map[string]string{
			"@entityID": origin + "/saml/metadata", "@validUntil": "2026-09-28T14:13:20.000Z", "@cacheDuration": "PT6H",
			"IDPSSODescriptor/@protocolSupportEnumeration": wire.NSProtocol, "IDPSSODescriptor/SingleSignOnService/@Location": sso,
			"IDPSSODescriptor/KeyDescriptor/@use": "signing",
		} {
			if got := path(t, el, at); got != want {
				t.Errorf("%s is %q, want %q", at, got, want)
			}
		}
		if len(first) != 2 {
			t.Fatalf("%d certificates; want those of the active and the next key", len(first))
		}
		if err := first[0].CheckSignature(first[1].SignatureAlgorithm, first[1].RawTBSCertificate, first[1].Signature); err != nil {
			t.Errorf("the next certificate can't be checked by the active one: %v", err)
		}
		if err := first[0].CheckSignature(first[0].SignatureAlgorithm, first[0].RawTBSCertificate, first[0].Signature); err != nil {
			t.Errorf("the active certificate isn't its own: %v", err)
		}
		if el, _ := read(policies.NetworkLGWAN, originLGWAN); path(t, el, "@entityID") != originLGWAN+"/saml/metadata" || strings.Contains(path(t, el, "IDPSSODescriptor/SingleSignOnService/@Location"), origin) {
			t.Error("the other network's metadata")
		}
		h.forward(14 * 24 * time.Hour)
		_, err := h.ring.Rotate(t.Context(), samlidp.Purpose, keys.Turn{}, noRecord)
		must(t, err)
		// The first login after it is good for whoever has read the metadata before.
		r := h.redirect(query(h.ask("other", nil), "", pair{}))
		doc, err := wire.Parse([]byte(r.doc), wire.MessageLimits)
		must(t, err)
		if _, err := wire.Verify(wire.Children(doc, wire.NSAssertion, "Assertion")[0].Copy(), first); err != nil {
			t.Errorf("by the certificates from before: %v", err)
		}
		_, second := read(policies.NetworkInternet, origin)
		if len(second) != 3 || !second[0].Equal(first[1]) || !second[2].Equal(first[0]) {
			t.Errorf("after a rotation: %d certificates", len(second))
		}
		h.forward(48*time.Hour + time.Second)
		if _, third := read(policies.NetworkInternet, origin); len(third) != 2 || !third[1].Equal(second[1]) {
			t.Errorf("after the overlap: %d certificates", len(third))
		}
	})
}

// TestLinks: a login begins at the hub by a link of the hub's own, for one session and a while, and no other way.
func TestLinks(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.browser = &session.Session{ID: "s1", Network: policies.NetworkInternet}
		link := func() string {
			t.Helper()
			to, err := h.provider.Link(policies.NetworkInternet, "mail", "deep/link", "s1")
			must(t, err)
			return to
		}
		r := h.get(link())
		el := h.opened(t, r)
		if r.to != acs+"?tenant=2" || r.relay != "deep/link" || strings.Contains(r.doc, "InResponseTo") ||
			path(t, el, "Assertion/Subject/SubjectConfirmation/SubjectConfirmationData/@Recipient") != acs+"?tenant=2" {
			t.Errorf("%+v", r)
		}
		change := func(name, value string) string {
			u, err := url.Parse(link())
			must(t, err)
			q := u.Query()
			if q.Set(name, value); value == "" {
				q.Del(name)
			}
			u.RawQuery = q.Encode()
			return u.String()
		}
		for name, c := range map[string]struct{ reason, to string }{
			"no mark":          {"params_malformed", change("mark", "")},
			"another mark":     {"link_invalid", change("mark", "x")},
			"a party twice":    {"params_malformed", link() + "&party=other"},
			"nothing":          {"params_malformed", origin + "/saml/start"},
			"a response asked": {"request_missing", sso + "?party=mail"},
		} {
			h.refused(t, name, c.reason, func() result { return h.get(c.to) })
		}
		h.refused(t, "a party that isn't for this", "not_initiated", func() result {
			to, err := h.provider.Link(policies.NetworkInternet, "other", "", "s1")
			must(t, err)
			return h.get(to)
		})
		h.refused(t, "an unknown party", "party_unknown", func() result {
			to, err := h.provider.Link(policies.NetworkInternet, "nobody", "", "s1")
			must(t, err)
			return h.get(to)
		})
		kept := link()
		h.browser = &session.Session{ID: "s2", Network: policies.NetworkInternet}
		h.refused(t, "another session", "link_invalid", func() result { return h.get(kept) })
		h.browser = &session.Session{ID: "s1", Network: policies.NetworkLGWAN}
		h.refused(t, "a session of another network", "link_session", func() result { return h.get(kept) })
		h.browser = nil
		h.refused(t, "nobody", "link_session", func() result { return h.get(kept) })
		h.browser = &session.Session{ID: "s1", Network: policies.NetworkInternet}
		kept = link()
		h.forward(10*time.Minute - time.Microsecond)
		if r := h.get(kept); r.to == "" {
			t.Errorf("just before its end: %+v", r)
		}
		h.forward(time.Microsecond)
		h.refused(t, "expired", "link_expired", func() result { h.micros.Add(-1_000_000); return h.get(kept) })
		for name, no := range map[string]func() (string, error){
			"a long relay": func() (string, error) {
				return h.provider.Link(policies.NetworkInternet, "mail", strings.Repeat("x", 81), "s1")
			},
			"no session":      func() (string, error) { return h.provider.Link(policies.NetworkInternet, "mail", "", "") },
			"another network": func() (string, error) { return h.provider.Link("government", "mail", "", "s1") },
		} {
			if to, err := no(); err == nil {
				t.Errorf("%s: %s", name, to)
			}
		}
		h.hold(t, linkAttacks(t, h))
	})
}

// TestOptions: a provider that lacks something isn't made.
func TestOptions(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		if _, err := samlidp.New(options(h)); err != nil {
			t.Fatal(err)
		}
		other, err := keys.New(h.db, keys.Options{Specs: map[keys.Purpose]keys.Spec{"x": {Algorithm: keys.P256}}, Now: h.now, Random: rand.Reader})
		must(t, err)
		for name, change := range map[string]func(*samlidp.Options){
			"nothing":            func(o *samlidp.Options) { *o = samlidp.Options{} },
			"no sealing key":     func(o *samlidp.Options) { o.Sealing = nil },
			"other keys":         func(o *samlidp.Options) { o.Keys = other },
			"no network":         func(o *samlidp.Options) { o.Origins = nil },
			"an unknown network": func(o *samlidp.Options) { o.Origins = map[policies.Network]string{"x": origin} },
			"http": func(o *samlidp.Options) {
				o.Origins = map[policies.Network]string{policies.NetworkInternet: "http://x.example"}
			},
			"a path": func(o *samlidp.Options) {
				o.Origins = map[policies.Network]string{policies.NetworkInternet: origin + "/"}
			},
			"a shared origin": func(o *samlidp.Options) {
				o.Origins = map[policies.Network]string{policies.NetworkInternet: origin, policies.NetworkLGWAN: origin}
			},
		} {
			o := options(h)
			change(&o)
			if _, err := samlidp.New(o); err == nil {
				t.Errorf("%s: made", name)
			}
		}
		if _, err := h.provider.Handler("government"); err == nil {
			t.Error("a handler for a network without an origin")
		}
	})
}
