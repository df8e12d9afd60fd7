package samlidp

import (
	"slices"
	"testing"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

const (
	two  = "urn:musubi:acr:aal2"
	card = "urn:musubi:acr:aal3"
)

// TestWish: what a request asks about the kind of login (SAML 2.0 Core, section 3.3.2.2.1).
func TestWish(t *testing.T) {
	for name, c := range map[string]struct {
		comparison string // "-" for none
		classes    []string
		want       wish
	}{
		"exact is what is meant":          {"-", []string{classSmartcard}, wish{least: policies.AssuranceCard, exact: []string{classSmartcard}}},
		"exact":                           {"exact", []string{two}, wish{least: policies.AssuranceTwo, exact: []string{two}}},
		"the weaker one would do":         {"exact", []string{card, classMFA}, wish{least: policies.AssuranceTwo, exact: []string{card, classMFA}}},
		"a password or a card":            {"exact", []string{classTransport, classSmartcard}, wish{least: policies.AssuranceCard, exact: []string{classSmartcard}}},
		"a password, and nothing else":    {"exact", []string{classTransport, classPassword}, wish{reason: "context_unreachable"}},
		"anything":                        {"exact", []string{classUnspecified}, wish{exact: []string{classUnspecified}}},
		"nobody knows it":                 {"exact", []string{"urn:x"}, wish{reason: "context_unknown"}},
		"a password at least":             {"minimum", []string{classTransport}, wish{least: policies.AssuranceSingle}},
		"two factors at least":            {"minimum", []string{card, two}, wish{least: policies.AssuranceTwo}},
		"more than a password":            {"better", []string{classTransport}, wish{least: policies.AssuranceTwo}},
		"more than two factors":           {"better", []string{classTransport, two}, wish{least: policies.AssuranceCard}},
		"more than a card":                {"better", []string{classSmartcard}, wish{reason: "context_unreachable"}},
		"at most a card":                  {"maximum", []string{classSmartcard}, wish{}},
		"at most a password":              {"maximum", []string{classTransport}, wish{reason: "context_unreachable"}},
		"another comparison":              {"most", []string{two}, wish{reason: "context_malformed"}},
		"an empty comparison":             {"", []string{two}, wish{reason: "context_malformed"}},
		"no class":                        {"exact", nil, wish{reason: "context_malformed"}},
		"too many classes":                {"exact", slices.Repeat([]string{two}, 21), wish{reason: "context_unsupported"}},
		"a class of spaces isn't unknown": {"exact", []string{"  " + two + "\n"}, wish{least: policies.AssuranceTwo, exact: []string{two}}},
	} {
		doc := `<p:RequestedAuthnContext xmlns:p="` + wire.NSProtocol + `" xmlns:a="` + wire.NSAssertion + `"`
		if c.comparison != "-" {
			doc += ` Comparison="` + c.comparison + `"`
		}
		doc += ">"
		for _, u := range c.classes {
			doc += "<a:AuthnContextClassRef>" + u + "</a:AuthnContextClassRef>"
		}
		el, err := wire.Parse([]byte(doc+"</p:RequestedAuthnContext>"), wire.MessageLimits)
		if err != nil {
			t.Fatal(err)
		}
		if got := wishOf(el); got.least != c.want.least || got.reason != c.want.reason || !slices.Equal(got.exact, c.want.exact) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	el, err := wire.Parse([]byte(`<p:RequestedAuthnContext xmlns:p="`+wire.NSProtocol+`"><p:AuthnContextDeclRef>x</p:AuthnContextDeclRef></p:RequestedAuthnContext>`), wire.MessageLimits)
	if err != nil || wishOf(el).reason != "context_unsupported" {
		t.Errorf("a declaration: %v", err)
	}
}

// TestTell: what is told of a login is true, and of what was asked for.
func TestTell(t *testing.T) {
	for _, c := range []struct {
		exact   []string
		reached policies.Assurance
		want    string
	}{
		{nil, policies.AssuranceCard, classSmartcard},
		{nil, policies.AssuranceTwo, two},
		{nil, policies.AssuranceNone, classUnspecified},
		{[]string{two}, policies.AssuranceCard, two},
		{[]string{card, two}, policies.AssuranceTwo, two},
		{[]string{card}, policies.AssuranceTwo, ""},
		{[]string{classTransport}, policies.AssuranceCard, ""},
		{[]string{classUnspecified}, policies.AssuranceTwo, classUnspecified},
	} {
		if got, ok := tell(c.exact, c.reached); got != c.want || ok != (c.want != "") {
			t.Errorf("%v, %d: %q", c.exact, c.reached, got)
		}
	}
	// Whatever is asked for and reached is told, for every class and strength.
	for _, a := range policies.Assurances() {
		for _, u := range []string{classUnspecified, classMFA, classSmartcard, two, card, a.ACR()} {
			c, known := classOf(u)
			if _, ok := tell([]string{u}, a); ok != (known && a >= c.strength) {
				t.Errorf("%s of a login of %d: %v", u, a, ok)
			}
		}
	}
}
