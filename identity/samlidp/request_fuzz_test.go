package samlidp_test

import (
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// FuzzAuthnRequest: whatever is posted, it is answered at a registered address, in a signed document, or by a page; and a provider whose requests
// have to be signed gets no answer without its signature.
func FuzzAuthnRequest(f *testing.F) {
	h := newHouse(f, sqldbtest.Open(f, sqldbtest.SQLiteURL(f)))
	class := `<samlp:RequestedAuthnContext><saml:AuthnContextClassRef>urn:musubi:acr:aal2</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>`
	for _, doc := range []string{
		h.ask("other", nil), h.ask("app", nil), h.ask("mail", map[string]string{"IsPassive": "1"}, class), h.ask("sealed", nil, "<samlp:NameIDPolicy/>"),
		signedDoc(f, h.ask("app", nil), h.own), signedDoc(f, h.ask("other", map[string]string{"AssertionConsumerServiceURL": "javascript:x"}), h.two),
	} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		h.t = t
		r := h.post(form(doc, ""))
		if r.to == "" {
			if r.problem == "" || r.problem == "internal" || r.doc != "" {
				t.Fatalf("%+v", r)
			}
			return
		}
		if r.to != acs && r.to != acs+"?tenant=2" {
			t.Fatalf("answered at %s", r.to)
		}
		if strings.Contains(r.doc, ">"+entityOf("app")+"</saml:Audience>") && !strings.Contains(doc, "SignatureValue") {
			t.Fatalf("unsigned: %s", doc)
		}
		el, err := wire.Parse([]byte(r.doc), wire.MessageLimits)
		if err != nil || !wire.Signed(el) {
			t.Fatalf("%v: %s", err, r.doc)
		}
	})
}
