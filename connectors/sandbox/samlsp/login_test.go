package samlsp_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp/idptest"
)

// TestLogin logs in at each product, and holds how each asks.
func TestLogin(t *testing.T) {
	type asks struct {
		entity, consumer, format, class string
		posted, signed                  bool
	}
	for kind, want := range map[string]asks{
		"staff":     {base + "/saml/c0ffee", base + "/login/callback?connection=saml-c0ffee", "", "", false, false},
		"customers": {base + "/saml/c0ffee", base + "/login/callback?connection=saml-c0ffee", "", "", false, false},
		"slack":     {"https://slack.com", base + "/sso/saml", idptest.Persistent, "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", true, false},
		"plain":     {base + "/saml/metadata", base + "/saml/acs", idptest.Persistent, "", false, true},
	} {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, kind)
			b := h.browser()
			b.open("/shop/deep/link?x=1")
			if b.account() != "a1" || b.header.Get("Path") != "/shop/deep/link?x=1" || b.header.Get("Context") != idptest.Card {
				t.Fatalf("status %d, reason %q, account %q, context %q at %q", b.status, b.reason(), b.account(), b.header.Get("Context"), b.header.Get("Path"))
			}
			el := h.provider.Asked[0]
			got := asks{
				el.SelectElement("Issuer").Text(), el.SelectAttrValue("AssertionConsumerServiceURL", ""), "", "", h.provider.Posted[0],
				strings.Contains(h.provider.Queries[0], "Signature="),
			}
			if x := el.SelectElement("NameIDPolicy"); x != nil {
				got.format = x.SelectAttrValue("Format", "")
			}
			if x := el.FindElement("RequestedAuthnContext/AuthnContextClassRef"); x != nil {
				got.class = x.Text()
			}
			if got != want || el.SelectAttrValue("Destination", "") != h.provider.SSO() || el.SelectAttr("ForceAuthn") != nil {
				t.Errorf("asks %+v, want %+v", got, want)
			}
			if !b.in() {
				t.Error("not logged in afterwards")
			}
		})
	}
}

// TestCookies: what comes back across sites is tied by a cookie that may, and the session's may not.
func TestCookies(t *testing.T) {
	h := newHouse(t, "slack")
	b := h.browser()
	b.stop = true
	c := *b.c
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/sso/saml/start", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Body.Close()
	first := a.Header.Get("Set-Cookie")
	if !strings.HasPrefix(first, "__Host-shop-posted=") || !strings.Contains(first, "SameSite=None") || !strings.Contains(first, "Secure") || !strings.Contains(first, "HttpOnly") {
		t.Errorf("cookie %q", first)
	}
	if policy := a.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action "+idp+";") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	b.open("/sso/saml/start")
	b.c.CheckRedirect = c.CheckRedirect
	b.send(b.url, b.form)
	if session := b.header.Get("Set-Cookie"); !strings.HasPrefix(session, "__Host-shop-session=") || !strings.Contains(session, "SameSite=Lax") || b.status != http.StatusSeeOther {
		t.Errorf("%d, cookie %q", b.status, session)
	}
}

// TestSignatures: which signatures each product insists on.
func TestSignatures(t *testing.T) {
	response := func(s *samlsp.Settings) { s.ResponseSigned, s.AssertionSigned = true, false }
	assertion := func(s *samlsp.Settings) { s.ResponseSigned, s.AssertionSigned = false, true }
	for name, x := range map[string]struct {
		kind                string
		set                 func(*samlsp.Settings)
		response, assertion bool
		want                string
	}{
		"atlassian takes the response's":       {"staff", nil, true, false, ""},
		"atlassian takes the assertion's":      {"staff", nil, false, true, ""},
		"atlassian takes both":                 {"customers", nil, true, true, ""},
		"atlassian takes none":                 {"customers", nil, false, false, "saml_response_unsigned"},
		"slack, both needed, no response's":    {"slack", nil, false, true, "saml_response_unsigned"},
		"slack, both needed, no assertion's":   {"slack", nil, true, false, "saml_assertion_unsigned"},
		"slack, response's needed":             {"slack", response, true, false, ""},
		"slack, response's needed, not there":  {"slack", response, false, true, "saml_response_unsigned"},
		"slack, assertion's needed":            {"slack", assertion, false, true, ""},
		"slack, assertion's needed, not there": {"slack", assertion, true, false, "saml_assertion_unsigned"},
		"plain, assertion's":                   {"plain", nil, false, true, ""},
		"plain, none":                          {"plain", nil, false, false, "saml_assertion_unsigned"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, x.kind)
			if x.set != nil {
				s, _ := h.shop.party.Settings()
				x.set(&s)
				if err := h.shop.party.Configure(s); err != nil {
					t.Fatal(err)
				}
			}
			h.provider.SignResponse, h.provider.SignAssertion = x.response, x.assertion
			if b := h.browser().open("/shop/home"); b.reason() != x.want || (x.want == "") != (b.account() == "a1") {
				t.Errorf("reason %q, account %q", b.reason(), b.account())
			}
		})
	}
}

// TestRefusals: what the provider says when it says no. Of an unsigned refusal nothing is shown.
func TestRefusals(t *testing.T) {
	h := newHouse(t, "customers")
	h.provider.Person = nil
	h.provider.Refusal, h.provider.Message = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied", "incident 261130-TEST-0001"
	b := h.browser().open("/shop/home")
	if b.reason() != "provider_error" || b.header.Get("Code") != "RequestDenied" || b.header.Get("Incident") != "261130-TEST-0001" {
		t.Errorf("%v", b.header)
	}
	h.provider.Refusal, h.provider.Message = "javascript:alert(1)//<b>", "call 03-0000-0000 incident ?"
	if b = h.browser().open("/shop/home"); b.header.Get("Code") != "unknown" || b.header.Get("Incident") != "" {
		t.Errorf("%v", b.header)
	}
	h.provider.SignResponse = false
	if b = h.browser().open("/shop/home"); b.reason() != "saml_response_unsigned" || b.header.Get("Code") != "" {
		t.Errorf("%v", b.header)
	}
}

// TestAccounts: who is let in.
func TestAccounts(t *testing.T) {
	set := func(h *house, name, value string) {
		for i, x := range h.provider.Person.Attributes {
			if x[0] == name {
				h.provider.Person.Attributes = slices.Clone(h.provider.Person.Attributes)
				h.provider.Person.Attributes[i][1] = value
			}
		}
	}
	without := func(name string) func(*house) {
		return func(h *house) {
			h.provider.Person.Attributes = slices.DeleteFunc(slices.Clone(h.provider.Person.Attributes), func(x [2]string) bool { return x[0] == name })
		}
	}
	for name, x := range map[string]struct {
		kind   string
		change func(*house)
		want   string
	}{
		"staff without a seat":         {"staff", func(h *house) { h.shop.email = "other@city.example.lg.jp" }, "no_account"},
		"staff deactivated":            {"staff", func(h *house) { h.shop.active = false }, "account_inactive"},
		"staff, name id no address":    {"staff", func(h *house) { h.provider.Person.NameID = "person-1" }, "saml_name_id_no_email"},
		"staff without an internal id": {"staff", without(inner), "saml_attribute_missing"},
		"staff without a first name":   {"staff", without(given), "saml_attribute_missing"},
		"customers, no address":        {"customers", func(h *house) { h.provider.Person.NameID = "花子 <" + email + ">" }, "saml_name_id_no_email"},
		"customer without a seat":      {"customers", func(h *house) { h.provider.Person.NameID = "taro@city.example.lg.jp" }, "no_account"},
		"slack without an address":     {"slack", without("User.Email"), "saml_attribute_missing"},
		"slack, somebody else's":       {"slack", func(h *house) { set(h, "User.Email", "taro@city.example.lg.jp") }, "no_account"},
		"slack, address twice": {"slack", func(h *house) {
			h.provider.Inner = func(a *etree.Element) {
				list := a.SelectElement("AttributeStatement")
				list.AddChild(list.SelectElement("Attribute").Copy())
			}
		}, "saml_attribute_twice"},
		"slack, two addresses": {"slack", func(h *house) {
			h.provider.Inner = func(a *etree.Element) {
				x := a.SelectElement("AttributeStatement").SelectElement("Attribute")
				x.AddChild(x.SelectElement("AttributeValue").Copy())
			}
		}, "saml_attribute_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, x.kind)
			p := *h.provider.Person
			h.provider.Person = &p
			x.change(h)
			if b := h.browser().open("/shop/home"); b.reason() != x.want || b.account() != "" {
				t.Errorf("reason %q, account %q", b.reason(), b.account())
			}
		})
	}
}

// TestNames: a name that changes is another person; an address that changes isn't followed by Atlassian.
func TestNames(t *testing.T) {
	h := newHouse(t, "slack")
	h.browser().logIn()
	p := *h.provider.Person
	h.provider.Person = &p
	p.NameID = "p-2" // as a transient one does
	if b := h.browser().open("/shop/home"); b.reason() != "account_linked" {
		t.Errorf("reason %q", b.reason())
	}
	h = newHouse(t, "staff")
	h.browser().logIn()
	q := *h.provider.Person
	h.provider.Person = &q
	q.NameID = "hanako.new@city.example.lg.jp"
	if b := h.browser().open("/shop/home"); b.reason() != "saml_email_changed" {
		t.Errorf("reason %q", b.reason())
	}
	h.shop.email = q.NameID // and the account was changed too
	h.browser().logIn()
}

// TestInitiated: logins that begin at the provider, where the product takes them.
func TestInitiated(t *testing.T) {
	for kind, want := range map[string]string{"staff": "", "slack": "", "customers": "saml_unsolicited", "plain": "saml_unsolicited"} {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, kind)
			b := h.browser()
			send := func(relay string) *browser {
				raw, err := h.provider.Respond("", h.consumer)
				if err != nil {
					t.Fatal(err)
				}
				to, form, _ := idptest.Form(idptest.Page(h.consumer, "SAMLResponse", raw, relay))
				return b.send(to, form)
			}
			if send(base + "/shop/deep"); b.reason() != want || want == "" && (b.account() != "a1" || b.header.Get("Path") != "/shop/deep") {
				t.Errorf("reason %q, account %q at %q", b.reason(), b.account(), b.header.Get("Path"))
			}
			if want != "" {
				return
			}
			for _, relay := range []string{"https://evil.localhost/", "//evil.localhost", "javascript:alert(1)", base + "/shop/logout", base + "@evil.localhost/"} {
				if send(relay); b.header.Get("Path") != "/shop/home" {
					t.Errorf("%q leads to %q", relay, b.header.Get("Path"))
				}
			}
			// The same answer again.
			raw, err := h.provider.Respond("", h.consumer)
			if err != nil {
				t.Fatal(err)
			}
			to, form, _ := idptest.Form(idptest.Page(h.consumer, "SAMLResponse", raw, ""))
			if b.send(to, form); b.account() != "a1" {
				t.Fatalf("reason %q", b.reason())
			}
			if b = h.browser().send(to, form); b.reason() != "saml_replayed" {
				t.Errorf("again: reason %q", b.reason())
			}
		})
	}
}

// TestSessions: when a session ends.
func TestSessions(t *testing.T) {
	for kind, obeys := range map[string]bool{"slack": false, "staff": false, "plain": true} {
		h := newHouse(t, kind)
		p := *h.provider.Person
		h.provider.Person = &p
		p.Ends = began.Add(20 * time.Minute)
		b := h.browser().logIn()
		h.clock.forward(20 * time.Minute)
		if b.in() == obeys {
			t.Errorf("%s: in %v after the provider's end", kind, !obeys)
		}
	}
	h := newHouse(t, "staff")
	b := h.browser().logIn()
	h.clock.forward(31 * time.Minute)
	if b.in() {
		t.Error("logged in after half an hour without use")
	}
	b.logIn()
	h.shop.active = false
	if b.in() {
		t.Error("logged in though the account is deactivated")
	}
}

// TestForce: only a product that can ask for a new proof does.
func TestForce(t *testing.T) {
	for kind, want := range map[string]string{"plain": "true", "slack": "", "staff": ""} {
		h := newHouse(t, kind)
		h.browser().open(h.shop.party.LoginPath() + "?prompt=login")
		if got := h.provider.Asked[0].SelectAttrValue("ForceAuthn", ""); got != want || h.shop.party.CanForce() != (want == "true") {
			t.Errorf("%s: ForceAuthn %q", kind, got)
		}
	}
}

// TestTwoTabs: two logins of one browser end where each began.
func TestTwoTabs(t *testing.T) {
	h := newHouse(t, "slack")
	b := h.browser()
	b.stop = true
	var answers []url.Values
	for _, path := range []string{"/shop/one", "/shop/two"} {
		b.open(path)
		answers = append(answers, b.form)
	}
	b.stop = false
	for i, want := range []string{"/shop/two", "/shop/one"} {
		if b.send(h.consumer, answers[1-i]); b.header.Get("Path") != want {
			t.Errorf("ends at %q, want %q (%s)", b.header.Get("Path"), want, b.reason())
		}
	}
}
