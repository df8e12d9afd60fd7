package samlsp_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp/idptest"
)

// must finds an element by its path, or fails.
func must(t testing.TB, el *etree.Element, path string) *etree.Element {
	t.Helper()
	found := el.FindElement(path)
	if found == nil {
		t.Fatalf("no %s", path)
	}
	return found
}

func set(el *etree.Element, name, value string) {
	el.RemoveAttr(name)
	el.CreateAttr(name, value)
}

// TestForged: a response that isn't exactly the one that was asked for is refused by every product, and opens nothing.
func TestForged(t *testing.T) {
	other, otherCert, err := idptest.NewKey(began)
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) string { return idptest.Stamp(began.Add(d)) }
	confirm := "Subject/SubjectConfirmation/SubjectConfirmationData"
	for name, x := range map[string]struct {
		arrange func(t *testing.T, p *idptest.Provider)
		want    string
	}{
		"another key":           {func(_ *testing.T, p *idptest.Provider) { p.Key, p.Certificate = other, otherCert }, "saml_signature_invalid"},
		"another key, our name": {func(_ *testing.T, p *idptest.Provider) { p.Key = other }, "saml_signature_invalid"},
		"changed response":      {func(_ *testing.T, p *idptest.Provider) { p.After = func(r *etree.Element) { set(r, "Consent", "x") } }, "saml_signature_invalid"},
		"changed name": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) { must(t, r, ".//NameID").SetText("taro@city.example.lg.jp") }
		}, "saml_signature_invalid"},
		"SHA-1": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) {
				set(must(t, r, "Signature/SignedInfo/SignatureMethod"), "Algorithm", "http://www.w3.org/2000/09/xmldsig#rsa-sha1")
			}
		}, "saml_signature_algorithm"},
		"SHA-1 digest": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) {
				set(must(t, r, "Signature/SignedInfo/Reference/DigestMethod"), "Algorithm", "http://www.w3.org/2000/09/xmldsig#sha1")
			}
		}, "saml_signature_algorithm"},
		"HMAC": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) {
				set(must(t, r, "Signature/SignedInfo/SignatureMethod"), "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
			}
		}, "saml_signature_algorithm"},
		"reference elsewhere": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) { set(must(t, r, "Signature/SignedInfo/Reference"), "URI", "") }
		}, "saml_signature_form"},
		"another transform": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) {
				set(must(t, r, "Signature/SignedInfo/Reference/Transforms/Transform"), "Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
			}
		}, "saml_signature_form"},
		"two references": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) {
				i := must(t, r, "Signature/SignedInfo")
				i.AddChild(i.SelectElement("Reference").Copy())
			}
		}, "saml_signature_form"},
		"no signature value": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) { s := must(t, r, "Signature"); s.RemoveChild(s.SelectElement("SignatureValue")) }
		}, "saml_signature_form"},
		"two signatures": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) { r.InsertChildAt(1, must(t, r, "Signature").Copy()) }
		}, "saml_signature_form"},
		"signature elsewhere": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) {
				s := must(t, r, "Assertion/Signature")
				must(t, r, "Assertion/Subject").AddChild(s)
			}
		}, "saml_signature_form"},
		"two assertions": {func(t *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) {
				a := r.SelectElement("Assertion").Copy()
				set(a, "ID", idptest.ID())
				r.AddChild(a)
			}
		}, "saml_signature_form"},
		"an encrypted assertion": {func(_ *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) {
				r.RemoveChild(r.SelectElement("Assertion"))
				r.CreateElement("saml:EncryptedAssertion")
			}
		}, "saml_encrypted"},
		"same ID twice": {func(t *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) { set(r.SelectElement("Assertion"), "ID", r.SelectAttrValue("ID", "")) }
		}, "saml_malformed"},
		"another issuer": {func(t *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) { r.SelectElement("Issuer").SetText("https://evil.localhost") }
		}, "saml_issuer"},
		"another issuer inside": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { a.SelectElement("Issuer").SetText("https://evil.localhost") }
		}, "saml_issuer"},
		"no issuer inside": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { a.RemoveChild(a.SelectElement("Issuer")) }
		}, "saml_issuer"},
		"another destination": {func(_ *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) { set(r, "Destination", base+"/sso/other") }
		}, "saml_destination"},
		"no destination": {func(_ *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) { r.RemoveAttr("Destination") }
		}, "saml_destination"},
		"another version":  {func(_ *testing.T, p *idptest.Provider) { p.Outer = func(r *etree.Element) { set(r, "Version", "1.1") } }, "saml_version"},
		"another audience": {func(_ *testing.T, p *idptest.Provider) { p.Audience = "https://slack.com.evil.localhost" }, "saml_audience"},
		"a second audience": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) {
				a.SelectElement("Conditions").CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").SetText("https://other.localhost")
			}
		}, "saml_audience"},
		"no audience": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) {
				c := a.SelectElement("Conditions")
				c.RemoveChild(c.SelectElement("AudienceRestriction"))
			}
		}, "saml_audience"},
		"no conditions": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { a.RemoveChild(a.SelectElement("Conditions")) }
		}, "saml_audience"},
		"unknown condition": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { a.SelectElement("Conditions").CreateElement("saml:Condition") }
		}, "saml_condition"},
		"another recipient": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(must(t, a, confirm), "Recipient", base+"/") }
		}, "saml_recipient"},
		"no recipient": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { must(t, a, confirm).RemoveAttr("Recipient") }
		}, "saml_recipient"},
		"another request inside": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(must(t, a, confirm), "InResponseTo", "_other") }
		}, "saml_in_response_to"},
		"no request inside": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { must(t, a, confirm).RemoveAttr("InResponseTo") }
		}, "saml_in_response_to"},
		"another request": {func(_ *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) { set(r, "InResponseTo", "_other") }
		}, "state_unknown"},
		"holder of key": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) {
				set(must(t, a, "Subject/SubjectConfirmation"), "Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")
			}
		}, "saml_confirmation"},
		"confirmed too early": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(must(t, a, confirm), "NotBefore", at(0)) }
		}, "saml_confirmation"},
		"confirmation over": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(must(t, a, confirm), "NotOnOrAfter", at(-time.Second)) }
		}, "saml_expired"},
		"confirmation no end": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { must(t, a, confirm).RemoveAttr("NotOnOrAfter") }
		}, "saml_expired"},
		"expired to the second": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(a.SelectElement("Conditions"), "NotOnOrAfter", at(0)) }
		}, "saml_expired"},
		"no end": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { a.SelectElement("Conditions").RemoveAttr("NotOnOrAfter") }
		}, "saml_expired"},
		"not yet": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(a.SelectElement("Conditions"), "NotBefore", at(61*time.Second)) }
		}, "saml_early"},
		"of the future": {func(_ *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) { set(r, "IssueInstant", at(61*time.Second)) }
		}, "saml_early"},
		"of long ago": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(a, "IssueInstant", at(-601*time.Second)) }
		}, "saml_stale"},
		"local time": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(a, "IssueInstant", "2026-11-30T12:00:00+09:00") }
		}, "saml_malformed"},
		"no subject": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { a.RemoveChild(a.SelectElement("Subject")) }
		}, "saml_no_name_id"},
		"two names": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { s := a.SelectElement("Subject"); s.AddChild(s.SelectElement("NameID").Copy()) }
		}, "saml_no_name_id"},
		"another's qualifier": {func(t *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) {
				set(must(t, a, "Subject/NameID"), "SPNameQualifier", "https://other.localhost")
			}
		}, "saml_audience"},
		"nobody logged in": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { a.RemoveChild(a.SelectElement("AuthnStatement")) }
		}, "saml_no_authn"},
		"logged in tomorrow": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(a.SelectElement("AuthnStatement"), "AuthnInstant", at(24*time.Hour)) }
		}, "saml_early"},
		"session over": {func(_ *testing.T, p *idptest.Provider) {
			p.Inner = func(a *etree.Element) { set(a.SelectElement("AuthnStatement"), "SessionNotOnOrAfter", at(0)) }
		}, "saml_expired"},
		"status without": {func(_ *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) { r.RemoveChild(r.SelectElement("Status")) }
		}, "saml_malformed"},
		"a comment in the name": {func(t *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) { must(t, r, ".//NameID").InsertChildAt(0, etree.NewComment("x")) }
		}, "saml_malformed"},
		"an instruction": {func(_ *testing.T, p *idptest.Provider) {
			p.After = func(r *etree.Element) { r.CreateProcInst("x", "y") }
		}, "saml_malformed"},
		"text beside elements": {func(_ *testing.T, p *idptest.Provider) { p.Inner = func(a *etree.Element) { a.CreateText("x") } }, "saml_malformed"},
		"a success refused": {func(t *testing.T, p *idptest.Provider) {
			p.Outer = func(r *etree.Element) {
				set(must(t, r, "Status/StatusCode"), "Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
			}
		}, "provider_error"},
	} {
		t.Run(name, func(t *testing.T) {
			for kind := range products {
				h := newHouse(t, kind)
				x.arrange(t, h.provider)
				b := h.browser()
				if b.open("/shop/home"); b.reason() != x.want || b.account() != "" || b.in() {
					t.Errorf("%s: status %d, reason %q, account %q, in %v", kind, b.status, b.reason(), b.account(), b.in())
				}
			}
		})
	}
}

// TestWrapping: signature wrapping (XSW). What was signed is moved somewhere, what is evil stands where it was; nobody is let in as somebody else.
func TestWrapping(t *testing.T) {
	evil := func(t testing.TB, a *etree.Element) *etree.Element {
		e := a.Copy()
		if s := e.SelectElement("Signature"); s != nil {
			e.RemoveChild(s)
		}
		set(e, "ID", "_evil")
		must(t, e, "Subject/NameID").SetText("evil@city.example.lg.jp")
		return e
	}
	for name, change := range map[string]func(t testing.TB, r *etree.Element){
		"evil before": func(t testing.TB, r *etree.Element) {
			a := r.SelectElement("Assertion")
			r.InsertChildAt(a.Index(), evil(t, a))
		},
		"evil after": func(t testing.TB, r *etree.Element) { r.AddChild(evil(t, r.SelectElement("Assertion"))) },
		"good inside": func(t testing.TB, r *etree.Element) {
			a := r.SelectElement("Assertion")
			e := evil(t, a)
			r.RemoveChild(a)
			e.AddChild(a)
			r.AddChild(e)
		},
		"good in signature": func(t testing.TB, r *etree.Element) {
			a := r.SelectElement("Assertion")
			e, s := evil(t, a), a.SelectElement("Signature")
			r.RemoveChild(a)
			a.RemoveChild(s)
			s.CreateElement("ds:Object").AddChild(a)
			e.InsertChildAt(1, s)
			r.AddChild(e)
		},
		"good in extensions": func(t testing.TB, r *etree.Element) {
			a := r.SelectElement("Assertion")
			e := evil(t, a)
			r.RemoveChild(a)
			r.CreateElement("samlp:Extensions").AddChild(a)
			r.AddChild(e)
		},
		"same ID": func(t testing.TB, r *etree.Element) {
			a := r.SelectElement("Assertion")
			e := evil(t, a)
			set(e, "ID", a.SelectAttrValue("ID", ""))
			r.InsertChildAt(a.Index(), e)
		},
		"response inside a response": func(t testing.TB, r *etree.Element) {
			whole := r.Copy()
			set(r, "ID", "_evil-response")
			must(t, r, "Assertion/Subject/NameID").SetText("evil@city.example.lg.jp")
			r.CreateElement("samlp:Extensions").AddChild(whole)
		},
		"response in its signature": func(t testing.TB, r *etree.Element) {
			s := r.SelectElement("Signature")
			if s == nil {
				t.Skip("the response isn't signed")
			}
			whole := r.Copy()
			whole.RemoveChild(whole.SelectElement("Signature"))
			set(r, "ID", "_evil-response")
			must(t, r, "Assertion/Subject/NameID").SetText("evil@city.example.lg.jp")
			s.CreateElement("ds:Object").AddChild(whole)
		},
	} {
		for kind := range products {
			for _, both := range []bool{true, false} {
				t.Run(name+" at "+kind, func(t *testing.T) {
					h := newHouse(t, kind)
					if !both && kind != "slack" {
						h.provider.SignResponse = false
					}
					h.provider.After = func(r *etree.Element) { change(t, r) }
					b := h.browser()
					if b.open("/shop/home"); b.account() != "" || b.in() || b.reason() == "" || b.reason() == "no_account" {
						t.Errorf("status %d, reason %q, account %q", b.status, b.reason(), b.account())
					}
				})
			}
		}
	}
}

// TestStolen: an answer in another browser, again, late, for another product, without its RelayState.
func TestStolen(t *testing.T) {
	for kind := range products {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, kind)
			b := h.browser()
			b.stop = true
			b.open("/shop/home")
			answer := b.form
			if thief := h.browser().send(h.consumer, answer); thief.reason() != "other_browser" {
				t.Errorf("in a browser without a mark: %q", thief.reason())
			}
			victim := h.browser()
			victim.stop = true
			victim.open("/shop/home") // now it has a mark of its own
			if victim.send(h.consumer, answer); victim.reason() != "other_browser" || victim.in() {
				t.Errorf("in another browser: %q", victim.reason())
			}
			for _, relay := range []string{"", "x", answer.Get("RelayState") + "x"} {
				wrong := url.Values{"SAMLResponse": answer["SAMLResponse"], "RelayState": {relay}}
				if b.send(h.consumer, wrong); b.reason() != "saml_relay_state" || b.in() {
					t.Errorf("with RelayState %q: %q", relay, b.reason())
				}
			}
			b.stop = false
			if b.send(h.consumer, answer); b.account() != "a1" {
				t.Fatalf("the person's own browser: %q", b.reason())
			}
			if b.send(h.consumer, answer); b.reason() != "state_unknown" {
				t.Errorf("again: %q", b.reason())
			}
			b.stop = true
			b.open(h.shop.party.LoginPath())
			late := b.form
			h.clock.forward(5 * time.Minute)
			if b.send(h.consumer, late); b.reason() != "saml_expired" {
				t.Errorf("after its time: %q", b.reason())
			}
			h.clock.forward(11 * time.Minute)
			if b.send(h.consumer, late); b.reason() != "state_unknown" {
				t.Errorf("long after: %q", b.reason())
			}
		})
	}
}

// TestUnsolicitedTheft: an answer to somebody's request isn't taken as a login that began at the provider.
func TestUnsolicitedTheft(t *testing.T) {
	h := newHouse(t, "slack")
	s, _ := h.shop.party.Settings()
	s.ResponseSigned = false
	if err := h.shop.party.Configure(s); err != nil {
		t.Fatal(err)
	}
	h.provider.SignResponse = false
	b := h.browser()
	b.stop = true
	b.open("/shop/home")
	raw, err := base64.StdEncoding.DecodeString(b.form.Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		t.Fatal(err)
	}
	doc.Root().RemoveAttr("InResponseTo") // nobody has signed the response
	raw, _ = doc.WriteToBytes()
	thief := h.browser()
	if thief.send(h.consumer, url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(raw)}}); thief.reason() != "saml_in_response_to" {
		t.Errorf("reason %q", thief.reason())
	}
}

// TestRubbish: what can't be a response.
func TestRubbish(t *testing.T) {
	h := newHouse(t, "slack")
	encode := func(text string) url.Values {
		return url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(text))}}
	}
	response := func(inside string) string {
		return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1">` + inside + `</samlp:Response>`
	}
	for name, x := range map[string]struct {
		form url.Values
		want string
	}{
		"nothing":            {url.Values{}, "saml_malformed"},
		"twice":              {url.Values{"SAMLResponse": {"eA==", "eA=="}}, "saml_malformed"},
		"no base64":          {url.Values{"SAMLResponse": {"%%%"}}, "saml_malformed"},
		"no XML":             {encode("{}"), "saml_malformed"},
		"two roots":          {encode(response("") + response("")), "saml_malformed"},
		"a document type":    {encode(`<!DOCTYPE x [<!ENTITY a "b">]>` + response("")), "saml_malformed"},
		"an entity":          {encode(response("<x>&a;</x>")), "saml_malformed"},
		"a comment":          {encode("<!-- x -->" + response("")), "saml_malformed"},
		"an instruction":     {encode("<?x y?>" + response("")), "saml_malformed"},
		"no UTF-8":           {encode("\xff" + response("")), "saml_malformed"},
		"deep":               {encode(response(strings.Repeat("<x>", 30) + strings.Repeat("</x>", 30))), "saml_too_large"},
		"wide":               {encode(response(strings.Repeat("<x/>", 500))), "saml_too_large"},
		"large":              {encode(response("<x>" + strings.Repeat("x", 97<<10) + "</x>")), "saml_too_large"},
		"an attribute twice": {encode(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" ID="_2"/>`), "saml_malformed"},
		"another message":    {encode(`<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1"/>`), "saml_malformed"},
		"unsigned":           {encode(response("")), "saml_response_unsigned"},
	} {
		if b := h.browser().send(h.consumer, x.form); b.reason() != x.want {
			t.Errorf("%s: %q, want %q", name, b.reason(), x.want)
		}
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, h.consumer+"?SAMLResponse=x", http.NoBody)
	if b := h.browser().take(h.browser().c.Do(r)); b.status != http.StatusMethodNotAllowed {
		t.Errorf("by GET: %d", b.status)
	}
	h = newHouse(t, "staff")
	if b := h.browser().send(base+"/login/callback?connection=saml-other", encode(response(""))); b.reason() != "saml_recipient" {
		t.Errorf("another connection's address: %q", b.reason())
	}
}

// TestCertificates: one certificate by hand. A new key of the provider's locks everybody out until it is entered; an expired one too.
func TestCertificates(t *testing.T) {
	h := newHouse(t, "customers")
	key, cert, err := idptest.NewKey(began)
	if err != nil {
		t.Fatal(err)
	}
	h.provider.Key, h.provider.Certificate = key, cert
	if b := h.browser().open("/shop/home"); b.reason() != "saml_signature_invalid" {
		t.Errorf("before it is entered: %q", b.reason())
	}
	s, _ := h.shop.party.Settings()
	s.Certificate = h.provider.Base64()
	if err := h.shop.party.Configure(s); err != nil {
		t.Fatal(err)
	}
	h.browser().logIn()
	h.clock.forward(cert.NotAfter.Sub(began) + time.Second)
	if b := h.browser().open("/shop/home"); b.reason() != "saml_certificate_expired" {
		t.Errorf("after it has expired: %q", b.reason())
	}
	if err := h.shop.party.Configure(s); err == nil {
		t.Error("an expired certificate is taken")
	}
}

// TestNotConfigured: before an administrator has entered anything nobody logs in.
func TestNotConfigured(t *testing.T) {
	h := newHouse(t, "slack", func(o *samlsp.Options) { o.Settings = nil })
	if b := h.browser().open("/shop/home"); b.reason() != "saml_not_configured" || b.status != http.StatusServiceUnavailable {
		t.Errorf("%d %q", b.status, b.reason())
	}
	if b := h.browser().send(h.consumer, url.Values{"SAMLResponse": {"eA=="}}); b.reason() != "saml_not_configured" {
		t.Errorf("%q", b.reason())
	}
}
