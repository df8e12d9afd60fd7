package samlidp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// held is a house with a session that nobody may end: the fuzzer has no key.
func held(f *testing.F) (*house, subject) {
	h := newHouse(f, sqldbtest.Open(f, sqldbtest.SQLiteURL(f)))
	h.sloParties()
	h.loggedIn("s1")
	return h, h.enter("front")
}

// harmless: it is refused with a reason, and the session stands.
func (h *house) harmless(t *testing.T, s seen) {
	t.Helper()
	if s.problem == "" || s.problem == "internal" || s.to != "" || h.isGone("s1") {
		t.Fatalf("%+v", s)
	}
}

// FuzzLogoutRedirect: no query without a registered provider's signature does anything.
func FuzzLogoutRedirect(f *testing.F) {
	h, who := held(f)
	for _, doc := range []string{h.wants("front", who, nil), h.wants("stranger", who, nil)} {
		f.Add(carry("SAMLRequest", doc, "r", pair{}))
		f.Add(carry("SAMLRequest", doc, "r", h.two)[:300])
		f.Add(carry("SAMLResponse", h.answers("front", "_x", nil), "", pair{}) + "&SigAlg=x&Signature=eA==")
	}
	f.Fuzz(func(t *testing.T, query string) {
		h.t = t
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, slo, nil)
		must(t, err)
		r.URL.RawQuery = query
		h.harmless(t, h.newBrowser().send(r))
	})
}

// FuzzLogoutPost is the same of documents; seeds are signed by a key that nobody registered for their sender.
func FuzzLogoutPost(f *testing.F) {
	h, who := held(f)
	for _, doc := range []string{h.wants("front", who, nil), h.answers("front", "_x", nil)} {
		f.Add(doc, true)
		f.Add(signedDoc(f, doc, h.two), false)
	}
	f.Fuzz(func(t *testing.T, doc string, answer bool) {
		h.t = t
		name := "SAMLRequest"
		if answer {
			name = "SAMLResponse"
		}
		h.harmless(t, h.newBrowser().posts(carryForm(name, doc, "")))
	})
}

// FuzzLogoutSOAP is the same of envelopes; each is answered in SOAP that can be read.
func FuzzLogoutSOAP(f *testing.F) {
	h, who := held(f)
	doc := h.wants("front", who, map[string]string{"Destination": sloSOAP})
	for _, s := range []string{
		envelope(doc), envelope(signedDoc(f, doc, h.two)), envelope(doc + doc), strings.Replace(envelope(doc), "<soap:Body>", "<soap:Header><x/></soap:Header><soap:Body>", 1), doc, "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		h.t = t
		status, answer := h.soap(body)
		el, err := wire.Parse([]byte(answer), wire.MessageLimits)
		if status != http.StatusInternalServerError || err != nil || wire.ReasonOf(second(wire.Body(el))) != "soap_fault" || strings.Contains(answer, "internal") || h.isGone("s1") {
			t.Fatalf("%d %s", status, answer)
		}
	})
}

func second[T any](_ T, err error) error { return err }
