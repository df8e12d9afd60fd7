package samlidp

import (
	"net/url"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

// FuzzRedirect: what is taken of a query is what any other reader takes, within the bounds, and what is verified is what was sent.
func FuzzRedirect(f *testing.F) {
	request := "SAMLRequest=" + url.QueryEscape("80jNyclXKM8vyklR5AIA") // deflated, but no XML
	xml := "SAMLRequest=" + url.QueryEscape("s0nUtwMA")                 // <a/>
	for _, s := range []string{"", request, xml, xml + "&RelayState=x&SigAlg=y&Signature=eA%3D%3D", xml + "&Signature=eA==&SigAlg=y", xml + "&SAMLRequest=x", "SAML%52equest=x", xml + "&RelayState=%ff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		m, fault := readRedirect(query)
		if fault != nil {
			if m.root != nil || fault.reason == "" || fault.err != nil {
				t.Fatalf("%+v with %v", m, fault)
			}
			return
		}
		if m.root == nil || len(m.relay) > maxRelay {
			t.Fatalf("taken: %+v", m)
		}
		// Another reader: where it finds one value, it is ours.
		if values, err := url.ParseQuery(query); err == nil {
			if v := values["RelayState"]; len(v) == 1 && v[0] != m.relay {
				t.Fatalf("RelayState is %q, elsewhere %q", m.relay, v[0])
			}
		}
		if m.signature == nil && m.octets == nil {
			return
		}
		for _, part := range strings.Split(string(m.octets), "&") {
			if !strings.Contains("&"+query+"&", "&"+part+"&") {
				t.Fatalf("%q is verified and wasn't sent", part)
			}
		}
	})
}

// FuzzWish: whatever is asked for is refused with a reason, or can be told of every login that reaches what it demands.
func FuzzWish(f *testing.F) {
	f.Add("exact", classSmartcard+" "+classTransport)
	f.Add("minimum", "urn:x")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, comparison, classes string) {
		el, err := wire.Parse([]byte(`<p:R xmlns:p="`+wire.NSProtocol+`" xmlns:a="`+wire.NSAssertion+`"/>`), wire.MessageLimits)
		if err != nil {
			t.Fatal(err)
		}
		el.CreateAttr("Comparison", comparison)
		for _, c := range strings.Fields(classes) {
			el.CreateElement("a:AuthnContextClassRef").SetText(c)
		}
		w := wishOf(el)
		if w.reason != "" {
			if w.least != 0 || w.exact != nil {
				t.Fatalf("%+v", w)
			}
			return
		}
		if _, ok := tell(w.exact, w.least); !ok {
			t.Fatalf("%+v can't be told", w)
		}
	})
}
