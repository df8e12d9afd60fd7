package samlsp_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp/idptest"
)

const slo = base + "/saml/slo"

// TestLogoutHere: a logout that begins at the site. Products without single logout end their own session and say that nobody else was told.
func TestLogoutHere(t *testing.T) {
	for kind, want := range map[string]string{"staff": "out alone", "customers": "out alone", "slack": "out alone", "plain": "out everywhere"} {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, kind)
			b := h.browser().logIn()
			form := url.Values{"form": {b.header.Get("Form")}}
			if b.send(base+h.shop.party.LogoutPath(), url.Values{"form": {"x"}}); b.reason() != "form_foreign" || !b.in() {
				t.Fatalf("another site's form: %q", b.reason())
			}
			b.send(base+h.shop.party.LogoutPath(), form)
			if b.reason() != want || b.in() {
				t.Errorf("%q, in %v", b.reason(), b.in())
			}
			if kind != "plain" {
				if len(h.provider.Left) != 0 {
					t.Error("the provider was told, which the vendor doesn't")
				}
				return
			}
			ask := h.provider.Left[0]
			if ask.SelectElement("NameID").Text() != email || ask.SelectElement("SessionIndex").Text() != "_s1" || ask.SelectAttrValue("Destination", "") != idp+"/slo" {
				t.Errorf("%v", ask)
			}
		})
	}
	h := newHouse(t, "plain")
	b := h.browser().logIn()
	h.provider.Refusal = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
	if b.send(base+"/shop/logout", url.Values{"form": {b.header.Get("Form")}}); b.reason() != "out partly" {
		t.Errorf("partial: %q", b.reason())
	}
	s, _ := h.shop.party.Settings()
	s.LogoutURL = ""
	if err := h.shop.party.Configure(s); err != nil {
		t.Fatal(err)
	}
	b.logIn()
	if b.send(base+"/shop/logout", url.Values{"form": {b.header.Get("Form")}}); b.reason() != "out here" || b.in() {
		t.Errorf("without the provider's address: %q", b.reason())
	}
}

// TestLogoutThere: a logout that begins at the provider, by both bindings, also in a browser that isn't logged in (a frame has no cookies).
func TestLogoutThere(t *testing.T) {
	h := newHouse(t, "plain")
	ask := func() *etree.Element { return h.provider.Logout(slo, email, "_s1") }
	byPost := func(el *etree.Element) *browser {
		doc := etree.NewDocument()
		doc.SetRoot(el)
		raw, err := doc.WriteToBytes()
		if err != nil {
			t.Fatal(err)
		}
		return h.browser().send(slo, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(raw)}, "RelayState": {"r"}})
	}
	b, other := h.browser().logIn(), h.browser()
	p := *h.provider.Person
	h.provider.Person = &p
	p.Index = "_s2"
	other.logIn()
	if frame := h.browser().open(h.provider.Redirect(slo, "SAMLRequest", ask(), "r")); frame.body != "told" || b.in() || !other.in() {
		t.Fatalf("%d %q %q: in %v, the other session in %v", frame.status, frame.body, frame.reason(), b.in(), other.in())
	}
	answer := h.provider.Told[0]
	if answer.FindElement("Status/StatusCode").SelectAttrValue("Value", "") != "urn:oasis:names:tc:SAML:2.0:status:Success" || answer.SelectAttr("InResponseTo") == nil {
		t.Errorf("%v", answer)
	}
	p.Index = "_s1"
	b.logIn()
	el := ask()
	if err := idptest.Sign(el, h.provider.Key, h.provider.Certificate); err != nil {
		t.Fatal(err)
	}
	if frame := byPost(el); frame.body != "told" || b.in() || !other.in() {
		t.Errorf("by POST: %q %q", frame.body, frame.reason())
	}
	b.logIn()
	// Without a session index all sessions of the person.
	if h.browser().open(h.provider.Redirect(slo, "SAMLRequest", h.provider.Logout(slo, email, ""), "")); b.in() || other.in() {
		t.Error("a session is left")
	}
	b.logIn()
	if byPost(ask()).reason() != "saml_logout_unsigned" || !b.in() {
		t.Error("an unsigned request by POST counts")
	}
}

// TestLogoutForged: whatever isn't exactly the provider's word about this session ends nothing.
func TestLogoutForged(t *testing.T) {
	h := newHouse(t, "plain")
	b := h.browser().logIn()
	key, cert, err := idptest.NewKey(began)
	if err != nil {
		t.Fatal(err)
	}
	stranger := &idptest.Provider{Origin: idp, Key: key, Certificate: cert, Now: h.clock.now}
	send := func(change func(*etree.Element)) string {
		el := h.provider.Logout(slo, email, "_s1")
		change(el)
		return h.provider.Redirect(slo, "SAMLRequest", el, "r")
	}
	good := send(func(*etree.Element) {})
	cut := func(name string) string {
		var kept []string
		_, query, _ := strings.Cut(good, "?")
		for pair := range strings.SplitSeq(query, "&") {
			if !strings.HasPrefix(pair, name+"=") {
				kept = append(kept, pair)
			}
		}
		return slo + "?" + strings.Join(kept, "&")
	}
	for name, x := range map[string]struct{ address, want string }{
		"another key":         {stranger.Redirect(slo, "SAMLRequest", stranger.Logout(slo, email, "_s1"), ""), "saml_signature_invalid"},
		"no signature":        {cut("Signature"), "saml_logout_unsigned"},
		"no algorithm":        {cut("SigAlg"), "saml_logout_unsigned"},
		"no RelayState":       {cut("RelayState"), "saml_signature_invalid"},
		"no message":          {cut("SAMLRequest"), "saml_malformed"},
		"SHA-1":               {strings.Replace(good, url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"), url.QueryEscape("http://www.w3.org/2000/09/xmldsig#rsa-sha1"), 1), "saml_signature_algorithm"},
		"twice":               {good + "&SAMLRequest=x", "saml_malformed"},
		"as an answer too":    {good + "&SAMLResponse=x", "saml_malformed"},
		"another destination": {send(func(el *etree.Element) { set(el, "Destination", idp+"/slo") }), "saml_destination"},
		"no destination":      {send(func(el *etree.Element) { el.RemoveAttr("Destination") }), "saml_destination"},
		"another issuer":      {send(func(el *etree.Element) { el.SelectElement("Issuer").SetText("https://evil.localhost") }), "saml_issuer"},
		"old":                 {send(func(el *etree.Element) { set(el, "IssueInstant", idptest.Stamp(began.Add(-11*time.Minute))) }), "saml_stale"},
		"over":                {send(func(el *etree.Element) { set(el, "NotOnOrAfter", idptest.Stamp(began)) }), "saml_expired"},
		"no name":             {send(func(el *etree.Element) { el.RemoveChild(el.SelectElement("NameID")) }), "saml_no_name_id"},
		"another version":     {send(func(el *etree.Element) { set(el, "Version", "1.1") }), "saml_version"},
	} {
		if got := h.browser().open(x.address); got.reason() != x.want || got.status != http.StatusBadRequest || !b.in() {
			t.Errorf("%s: %d %q, want %q; still in %v", name, got.status, got.reason(), x.want, b.in())
		}
	}
	h.browser().open(h.provider.Redirect(slo, "SAMLRequest", h.provider.Logout(slo, "somebody", "_s1"), ""))
	h.browser().open(h.provider.Redirect(slo, "SAMLRequest", h.provider.Logout(slo, email, "_s2"), ""))
	if !b.in() {
		t.Error("another's logout ended this session")
	}
	h.browser().open(good)
	b.logIn()
	if again := h.browser().open(good); again.reason() != "saml_replayed" || !b.in() {
		t.Errorf("again: %q", again.reason())
	}
	// An answer that nothing here has asked for leads to a page, and ends nothing.
	answer := idptest.Message("LogoutResponse", h.provider.EntityID(), began)
	answer.CreateAttr("Destination", slo)
	answer.CreateAttr("InResponseTo", "_x")
	answer.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Success")
	if b.open(h.provider.Redirect(slo, "SAMLResponse", answer, "")); b.account() != "a1" || strings.HasPrefix(b.reason(), "out") {
		t.Errorf("%q", b.reason())
	}
	// The products without single logout have no such address.
	if x := newHouse(t, "slack"); x.shop.party.Handle(nil, httptestGet(slo)) {
		t.Error("Slack answers a logout")
	}
}

func httptestGet(address string) *http.Request {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
}
