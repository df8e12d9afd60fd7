package samlidp_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// recorded reports whether a refusal left a row with its reason and a line in the log.
func (h *house) recorded(t testing.TB, what, reason, incident string) {
	t.Helper()
	var n int
	must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM audit_row WHERE id = $1 AND action = 'saml.slo' AND outcome = 'refused' AND reason = $2`,
		incident, reason).Scan(&n))
	h.mu.Lock()
	defer h.mu.Unlock()
	if n != 1 || !strings.Contains(h.log.String(), "reason="+reason) {
		t.Errorf("%s: %d audit rows of %s under %q, or nothing in the log", what, n, reason, incident)
	}
}

// sloRefused runs do and reports whether a page refuses it with this reason, recorded, with nothing ended and nothing sent on.
func (h *house) sloRefused(t testing.TB, what, reason string, do func() seen) {
	t.Helper()
	h.forward(time.Second)
	s := do()
	if s.problem != reason || s.status < 400 || s.to != "" || s.incident == "" || h.isGone("s1") {
		t.Errorf("%s: %+v, want %s\n%s", what, s, reason, h.log.String())
		return
	}
	h.recorded(t, what, reason, s.incident)
}

// soapRefused is sloRefused by SOAP: a fault.
func (h *house) soapRefused(t testing.TB, what, reason string, body func() string) {
	t.Helper()
	h.forward(time.Second)
	status, answer := h.soap(body())
	_, rest, _ := strings.Cut(answer, "<faultstring>"+reason+", incident ")
	incident, _, _ := strings.Cut(rest, "<")
	if status != http.StatusInternalServerError || incident == "" || h.isGone("s1") {
		t.Errorf("%s: %d %s, want %s", what, status, answer, reason)
		return
	}
	h.recorded(t, what, reason, incident)
}

// TestLogoutAttacks: what is wrong with a message itself, by each binding. Nothing ends.
func TestLogoutAttacks(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.sloParties()
		h.loggedIn("s1")
		who := h.enter("front")
		at := func(d time.Duration) string { return h.now().Add(d).UTC().Format("2006-01-02T15:04:05.000000Z") }
		doc := func(attributes map[string]string) string { return h.wants("front", who, attributes) }
		b := h.newBrowser()

		// What a request says, well signed.
		for name, c := range map[string]struct {
			reason     string
			attributes func() map[string]string
		}{
			"another version":           {"version", func() map[string]string { return map[string]string{"Version": "1.1"} }},
			"no ID":                     {"request_id", func() map[string]string { return map[string]string{"ID": ""} }},
			"another destination":       {"destination", func() map[string]string { return map[string]string{"Destination": "https://idp.example/slo"} }},
			"the other network's":       {"destination", func() map[string]string { return map[string]string{"Destination": originLGWAN + "/saml/slo"} }},
			"that of logins":            {"destination", func() map[string]string { return map[string]string{"Destination": sso} }},
			"no time":                   {"issue_instant", func() map[string]string { return map[string]string{"IssueInstant": ""} }},
			"another zone":              {"issue_instant", func() map[string]string { return map[string]string{"IssueInstant": "2026-09-21T23:13:20+09:00"} }},
			"expired by a second":       {"request_expired", func() map[string]string { return map[string]string{"IssueInstant": at(-8*time.Minute - time.Second)} }},
			"a second too early":        {"request_early", func() map[string]string { return map[string]string{"IssueInstant": at(3*time.Minute + time.Second)} }},
			"NotOnOrAfter, by a second": {"request_expired", func() map[string]string { return map[string]string{"NotOnOrAfter": at(-3*time.Minute - time.Second)} }},
			"NotOnOrAfter, by nothing":  {"request_expired", func() map[string]string { return map[string]string{"NotOnOrAfter": at(-3 * time.Minute)} }},
			"NotOnOrAfter, no time":     {"not_on_or_after", func() map[string]string { return map[string]string{"NotOnOrAfter": "never"} }},
		} {
			h.sloRefused(t, name, c.reason, func() seen { return b.open(slo + "?" + carry("SAMLRequest", doc(c.attributes()), "", h.own)) })
			if c.reason == "request_id" { // and so no signature inside
				continue
			}
			h.sloRefused(t, name+", posted", c.reason, func() seen {
				return b.posts(carryForm("SAMLRequest", signedDoc(t, doc(c.attributes()), h.own), ""))
			})
			if c.reason != "destination" {
				h.soapRefused(t, name+", by SOAP", c.reason, func() string {
					attributes := c.attributes()
					attributes["Destination"] = sloSOAP
					return envelope(signedDoc(t, doc(attributes), h.own))
				})
			}
		}
		h.sloRefused(t, "no destination", "destination_missing", func() seen {
			return b.open(slo + "?" + carry("SAMLRequest", doc(map[string]string{"Destination": ""}), "", h.own))
		})
		h.soapRefused(t, "the browser's destination", "destination", func() string { return envelope(signedDoc(t, doc(nil), h.own)) })

		// The redirect binding.
		signed := func(relay string) url.Values {
			v, err := url.ParseQuery(carry("SAMLRequest", doc(nil), relay, h.own))
			must(t, err)
			return v
		}
		with := func(relay, name, value string) string {
			v := signed(relay)
			if v.Set(name, value); value == "" {
				v.Del(name)
			}
			return v.Encode()
		}
		for name, c := range map[string]struct{ reason, query string }{
			"unsigned":                          {"signature_missing", carry("SAMLRequest", doc(nil), "", pair{})},
			"another provider's key":            {"signature_invalid", carry("SAMLRequest", doc(nil), "", h.two)},
			"SHA-1":                             {"signature_algorithm", with("", "SigAlg", "http://www.w3.org/2000/09/xmldsig#rsa-sha1")},
			"RelayState changed":                {"signature_invalid", with("a", "RelayState", "b")},
			"RelayState put in":                 {"signature_invalid", with("", "RelayState", "javascript:alert(1)")},
			"RelayState taken out":              {"signature_invalid", with("a", "RelayState", "")},
			"RelayState twice":                  {"params_repeated", carry("SAMLRequest", doc(nil), "a", h.own) + "&RelayState=b"},
			"RelayState of 81 bytes":            {"relay_state_long", carry("SAMLRequest", doc(nil), strings.Repeat("x", 81), h.own)},
			"RelayState with a line break":      {"relay_state_malformed", carry("SAMLRequest", doc(nil), "a\r\nSet-Cookie: x", h.own)},
			"a signature inside":                {"signature_shape", carry("SAMLRequest", signedDoc(t, doc(nil), h.own), "", h.own)},
			"a response beside it":              {"params_malformed", carry("SAMLRequest", doc(nil), "", h.own) + "&SAMLResponse=x"},
			"a response under a request's name": {"request_kind", carry("SAMLRequest", h.answers("front", "_x", nil), "", h.own)},
			"a request under a response's name": {"request_kind", carry("SAMLResponse", doc(nil), "", h.own)},
			"a login's request":                 {"request_kind", carry("SAMLRequest", h.ask("front", nil), "", h.own)},
			"a deflate bomb":                    {"xml_large", carry("SAMLRequest", strings.Repeat(" ", 1<<20)+doc(nil), "", h.own)},
			"nobody's":                          {"party_unknown", carry("SAMLRequest", h.wants("nobody", who, nil), "", h.own)},
			"no key is registered":              {"signature_invalid", carry("SAMLRequest", h.wants("mail", who, nil), "", h.own)},
		} {
			h.sloRefused(t, name, c.reason, func() seen { return b.open(slo + "?" + c.query) })
		}

		// Documents: enveloped signatures, by POST and by SOAP.
		soapDoc := func() string { return signedDoc(t, doc(map[string]string{"Destination": sloSOAP}), h.own) }
		for name, c := range map[string]struct {
			reason string
			change func(string) string
		}{
			"unsigned": {"signature_missing", func(d string) string { return strings.Replace(d, signatureOf(d), "", 1) }},
			"SHA-1": {"signature_algorithm", func(d string) string {
				return strings.Replace(d, wire.RSASHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1", 1)
			}},
			"changed":               {"signature_invalid", func(d string) string { return strings.Replace(d, who.index, "_another", 1) }},
			"another's name":        {"signature_invalid", func(d string) string { return strings.Replace(d, entityOf("front"), entityOf("stranger"), 1) }},
			"a comment in the name": {"xml_comment", func(d string) string { return strings.Replace(d, who.name, who.name[:3]+"<!-- -->"+who.name[3:], 1) }},
			"a DTD":                 {"xml_doctype", func(d string) string { return "<!DOCTYPE x>" + d }},
			"an entity (XXE)":       {"xml_doctype", func(d string) string { return `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + d }},
			"an entity bomb":        {"xml_doctype", func(d string) string { return `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + d }},
			"too large":             {"xml_large", func(d string) string { return strings.Repeat(" ", 70_000) + d }},
			"too deep":              {"xml_deep", func(string) string { return strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40) }},
			"no XML":                {"xml_malformed", func(string) string { return "<hello" }},
			"two issuers": {"issuer", func(d string) string {
				return strings.Replace(d, "<saml:Issuer", `<saml:Issuer xmlns:saml="`+wire.NSAssertion+`">x</saml:Issuer><saml:Issuer`, 1)
			}},
		} {
			h.sloRefused(t, name+", posted", c.reason, func() seen { return b.posts(carryForm("SAMLRequest", c.change(signedDoc(t, doc(nil), h.own)), "")) })
			h.soapRefused(t, name+", by SOAP", c.reason, func() string {
				if c.reason == "xml_doctype" {
					return c.change(envelope(soapDoc()))
				}
				return envelope(c.change(soapDoc()))
			})
		}
		h.sloRefused(t, "another provider's key, posted", "signature_invalid", func() seen { return b.posts(carryForm("SAMLRequest", signedDoc(t, doc(nil), h.two), "")) })

		// Envelopes.
		good := soapDoc()
		for name, c := range map[string]struct{ reason, body string }{
			"two bodies":                         {"soap_shape", strings.Replace(envelope(good), "</soap:Envelope>", "<soap:Body>"+soapDoc()+"</soap:Body></soap:Envelope>", 1)},
			"two bodies, the first empty":        {"soap_shape", strings.Replace(envelope(good), "<soap:Body>", "<soap:Body/><soap:Body>", 1)},
			"two messages":                       {"soap_shape", envelope(good + soapDoc())},
			"a forged message before":            {"soap_shape", envelope(doc(map[string]string{"Destination": sloSOAP}) + good)},
			"no message":                         {"soap_shape", envelope("")},
			"no envelope":                        {"soap_shape", good},
			"a header after the body":            {"soap_shape", strings.Replace(envelope(good), "</soap:Envelope>", "<soap:Header/></soap:Envelope>", 1)},
			"SOAP 1.2":                           {"soap_shape", strings.ReplaceAll(envelope(good), wire.NSSOAP, "http://www.w3.org/2003/05/soap-envelope")},
			"a header that has to be understood": {"soap_must_understand", strings.Replace(envelope(good), "<soap:Body>", `<soap:Header><x soap:mustUnderstand="1"/></soap:Header><soap:Body>`, 1)},
			"a fault":                            {"soap_fault", envelope("<soap:Fault/>")},
			"the message in the header":          {"soap_shape", strings.Replace(envelope(""), "<soap:Body>", "<soap:Header>"+good+"</soap:Header><soap:Body>", 1)},
			"an answer":                          {"request_kind", envelope(signedDoc(t, h.answers("front", "_x", map[string]string{"Destination": sloSOAP}), h.own))},
			"another provider's key":             {"signature_invalid", envelope(signedDoc(t, doc(map[string]string{"Destination": sloSOAP}), h.two))},
			"an entity in the envelope":          {"xml_doctype", `<!DOCTYPE x [<!ENTITY e "x">]>` + envelope(good)},
			"a body too large":                   {"xml_large", strings.Repeat(" ", 1<<20) + envelope(good)},
		} {
			h.soapRefused(t, name, c.reason, func() string { return c.body })
		}
		for name, kind := range map[string]string{"a form": "application/x-www-form-urlencoded", "no type": "", "SOAP 1.2": "application/soap+xml"} {
			r := httptest.NewRequest(http.MethodPost, sloSOAP, strings.NewReader(envelope(good)))
			r.Header.Set("Content-Type", kind)
			w := httptest.NewRecorder()
			if h.handler[policies.NetworkInternet].ServeHTTP(w, r); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "content_type") {
				t.Errorf("%s: %d %s", name, w.Code, w.Body.String())
			}
		}
		if status, body := h.soap(envelope(good)); status != http.StatusOK || !h.isGone("s1") { // none of them has used it up
			t.Errorf("the good one: %d %s", status, body)
		}
	})
}

func signatureOf(doc string) string {
	from, to := strings.Index(doc, "<ds:Signature "), strings.Index(doc, "</ds:Signature>")
	if from < 0 || to < 0 {
		return "\x00"
	}
	return doc[from : to+len("</ds:Signature>")]
}

// wrapped gives XSW 1 to 8 (Somorovsky and others, 2012) of a signed message and of a forged one that a caller makes with an ID and something behind
// its issuer.
func wrapped(original string, forged func(id, inside string) string) map[string]string {
	sig := signatureOf(original)
	bare := strings.Replace(original, sig, "", 1)
	object := func(s string) string {
		return strings.Replace(sig, "</ds:Signature>", "<ds:Object>"+s+"</ds:Object></ds:Signature>", 1)
	}
	extensions := func(s string) string { return "<samlp:Extensions>" + s + "</samlp:Extensions>" }
	good := attribute(original, "ID")
	return map[string]string{
		"XSW 1: the original inside the forged one's signature":   forged("_evil", object(bare)),
		"XSW 2: the signature beside the original":                forged("_evil", sig+extensions(bare)),
		"XSW 3: the original, signed, inside the forged one":      forged("_evil", extensions(original)),
		"XSW 4: the forged one around, nothing else":              forged("_evil", original),
		"XSW 5: the signature in the forged one, original behind": forged("_evil", sig) + bare,
		"XSW 6: the original in the signature's object":           forged("_evil", extensions(object(bare))),
		"XSW 7: the forged one in extensions of the original":     strings.Replace(original, "</ds:Signature>", "</ds:Signature>"+extensions(forged("_evil", "")), 1),
		"XSW 8: the forged one in the original's signature":       strings.Replace(original, "</ds:Signature>", "<ds:Object>"+forged("_evil", "")+"</ds:Object></ds:Signature>", 1),
		"the same ID, the original inside":                        forged(good, object(bare)),
		"the same ID, the original in extensions":                 forged(good, sig+extensions(bare)),
		"two signatures, one good":                                forged("_evil", sig+sig),
		"the good signature over a forged one":                    forged(good, sig),
		"a forged sibling before":                                 forged("_evil", "") + original,
	}
}

// TestLogoutWrapping: XSW on requests, by POST and by SOAP, and on answers. The forged request names another person's session at the same provider; the
// forged answer confirms what the provider refused.
func TestLogoutWrapping(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.sloParties()
		h.loggedIn("victim")
		victim := h.enter("front")
		h.login.Person = "p2"
		h.loggedIn("s1")
		who := h.enter("front")
		h.enter("second")
		for binding, to := range map[string]string{"POST": slo, "SOAP": sloSOAP} {
			original := signedDoc(t, h.wants("front", who, map[string]string{"Destination": to, "ID": "_good" + binding}), h.own)
			for name, doc := range wrapped(original, func(id, inside string) string {
				return strings.Replace(h.wants("front", victim, map[string]string{"Destination": to, "ID": id}), "</saml:Issuer>", "</saml:Issuer>"+inside, 1)
			}) {
				h.forward(100 * time.Millisecond)
				if binding == "POST" {
					s := h.newBrowser().posts(carryForm("SAMLRequest", doc, ""))
					if s.problem == "" || s.to != "" || s.incident == "" {
						t.Errorf("%s: %+v", name, s)
					}
				} else if status, body := h.soap(envelope(doc)); status == http.StatusOK || !strings.Contains(body, "incident") {
					t.Errorf("%s: %d %s", name, status, body)
				}
				if h.isGone("victim") || h.isGone("s1") {
					t.Fatalf("%s by %s has ended a session", name, binding)
				}
			}
		}
		b := h.newBrowser()
		s := b.posts(carryForm("SAMLRequest", signedDoc(t, h.wants("front", who, nil), h.own), ""))
		el, _ := h.carried(t, s.to, "SAMLRequest")
		request := path(t, el, "@ID")
		refusal := signedDoc(t, h.answers("second", request, nil, "urn:oasis:names:tc:SAML:2.0:status:Responder"), h.own)
		for name, doc := range wrapped(refusal, func(id, inside string) string {
			return strings.Replace(h.answers("second", request, map[string]string{"ID": id}), "</saml:Issuer>", "</saml:Issuer>"+inside, 1)
		}) {
			h.forward(100 * time.Millisecond)
			s := b.posts(carryForm("SAMLResponse", doc, ""))
			if s.problem == "" || s.to != "" || s.incident == "" || h.states("s1") != "front:delivered asked,second:unconfirmed unanswered" {
				t.Fatalf("%s: %+v, %s", name, s, h.states("s1"))
			}
		}
		b.posts(carryForm("SAMLResponse", refusal, ""))
		if h.states("s1") != "front:delivered asked,second:failed refused" {
			t.Errorf("the original: %s", h.states("s1"))
		}
	})
}

// TestLogoutOfAnother: nobody ends what isn't theirs: another person's session, another provider's, another network's, another browser's.
func TestLogoutOfAnother(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		h.loggedIn("s1")
		mine, theirs := h.enter("front"), h.enter("stranger")
		h.login.Person = "p2"
		h.loggedIn("s2")
		other := h.enter("front")
		h.mu.Lock()
		h.browser = nil
		h.mu.Unlock()
		lgwan := func(s subject) string {
			return strings.Replace(h.wants("front", s, map[string]string{"Destination": originLGWAN + "/saml/slo"}), origin+"/", originLGWAN+"/", -1)
		}
		for name, c := range map[string]struct {
			party     policies.RelyingPartyID
			by        pair
			s         subject
			attribute map[string]string
			indexes   []string
			reason    string
		}{
			"another provider's name and index":    {"front", h.own, theirs, nil, nil, "principal_unknown"},
			"another provider's index":             {"front", h.own, subject{mine.name, ""}, nil, []string{theirs.index}, "principal_unknown"},
			"one's own index and another's":        {"front", h.own, mine, nil, []string{mine.index, theirs.index}, "principal_unknown"},
			"another person's index":               {"front", h.own, mine, nil, []string{mine.index, other.index}, "principal_unknown"},
			"another person's name over one's own": {"front", h.own, subject{other.name, mine.index}, nil, nil, "principal_unknown"},
			"a stranger with one's own":            {"stranger", h.two, mine, nil, nil, "principal_unknown"},
			"nobody":                               {"front", h.own, subject{"nobody", ""}, nil, nil, "principal_unknown"},
			"an empty index":                       {"front", h.own, mine, nil, []string{""}, "principal_unknown"},
			"a name in capitals":                   {"front", h.own, subject{strings.ToUpper(mine.name), mine.index}, nil, nil, "principal_unknown"},
			"another format":                       {"front", h.own, mine, map[string]string{"Format": string(sp.NameIDTransient)}, nil, "principal_unknown"},
			"another provider's qualifier":         {"front", h.own, mine, map[string]string{"SPNameQualifier": entityOf("stranger")}, nil, "name_qualifier"},
			"another hub's qualifier":              {"front", h.own, mine, map[string]string{"NameQualifier": "https://idp.example/"}, nil, "name_qualifier"},
			"a name that it gave":                  {"front", h.own, mine, map[string]string{"SPProvidedID": "x"}, nil, "name_qualifier"},
		} {
			h.forward(time.Second)
			s := h.newBrowser().open(slo + "?" + carry("SAMLRequest", h.wants(c.party, c.s, c.attribute, c.indexes...), "r", c.by))
			el, relay := h.carried(t, s.to, "SAMLResponse")
			if codes(t, el) != "Requester UnknownPrincipal" || relay != "r" {
				t.Errorf("%s: %s %q", name, codes(t, el), relay)
			}
			h.recorded(t, name, c.reason, strings.TrimPrefix(path(t, el, "Status/StatusMessage"), "incident "))
			h.forward(time.Second)
			to := map[string]string{"Destination": sloSOAP}
			for k, v := range c.attribute {
				to[k] = v
			}
			_, body := h.soap(envelope(signedDoc(t, h.wants(c.party, c.s, to, c.indexes...), c.by)))
			el = h.soapAnswer(t, body)
			if codes(t, el) != "Requester UnknownPrincipal" {
				t.Errorf("%s, by SOAP: %s", name, codes(t, el))
			}
			h.recorded(t, name, c.reason, strings.TrimPrefix(path(t, el, "Status/StatusMessage"), "incident "))
			if h.isGone("s1") || h.isGone("s2") {
				t.Fatalf("%s has ended a session", name)
			}
		}
		for name, doc := range map[string]string{
			"an encrypted name": strings.Replace(h.wants("front", mine, nil), "<saml:NameID", "<saml:EncryptedID/><saml:NameID", 1),
			"two names":         strings.Replace(h.wants("front", mine, nil), "<saml:NameID", "<saml:NameID>x</saml:NameID><saml:NameID", 1),
			"no name":           h.wants("front", mine, nil)[:strings.Index(h.wants("front", mine, nil), "<saml:NameID")] + "</samlp:LogoutRequest>",
			"51 indexes":        h.wants("front", mine, nil, strings.Split(strings.Repeat("x,", 51)+"x", ",")...),
		} {
			s := h.newBrowser().open(slo + "?" + carry("SAMLRequest", doc, "", h.own))
			if el, _ := h.carried(t, s.to, "SAMLResponse"); codes(t, el) != "Requester RequestUnsupported" || h.isGone("s1") {
				t.Errorf("%s: %s", name, codes(t, el))
			}
		}
		// By the other network's door, well signed: what this network gave counts nothing there.
		r := httptest.NewRequest(http.MethodGet, originLGWAN+"/saml/slo?"+carry("SAMLRequest", lgwan(mine), "", h.own), nil)
		w := httptest.NewRecorder()
		h.handler[policies.NetworkLGWAN].ServeHTTP(w, r)
		next := httptest.NewRequest(http.MethodGet, originLGWAN+w.Header().Get("Location"), nil)
		for _, c := range w.Result().Cookies() {
			next.AddCookie(c)
		}
		w = httptest.NewRecorder()
		h.handler[policies.NetworkLGWAN].ServeHTTP(w, next)
		el, _ := h.carried(t, w.Header().Get("Location"), "SAMLResponse")
		if codes(t, el) != "Requester UnknownPrincipal" || h.isGone("s1") {
			t.Errorf("by the other network: %s", codes(t, el))
		}
		// In a browser with another session: a page, and no answer, at which some providers end what they hold.
		h.mu.Lock()
		h.browser = &session.Session{ID: "s2", Person: "p2", Network: policies.NetworkInternet}
		h.mu.Unlock()
		for name, s := range map[string]func() seen{
			"redirected": func() seen {
				return h.newBrowser().open(slo + "?" + carry("SAMLRequest", h.wants("front", mine, nil), "", h.own))
			},
			"posted": func() seen {
				return h.newBrowser().posts(carryForm("SAMLRequest", signedDoc(t, h.wants("front", mine, nil), h.own), ""))
			},
		} {
			h.sloRefused(t, "another browser's session, "+name, "session_of_another", s)
		}
		if h.isGone("s2") {
			t.Error("the browser's own session has ended")
		}
	})
}

// TestLogoutReplay: a request counts once, by whichever binding, also when it comes twice at once.
func TestLogoutReplay(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		h.loggedIn("first")
		doc := h.wants("front", h.enter("front"), nil)
		q := slo + "?" + carry("SAMLRequest", doc, "", h.own)
		var wg sync.WaitGroup
		got := make([]seen, 6)
		for i := range got {
			wg.Go(func() { got[i] = h.newBrowser().open(q) })
		}
		wg.Wait()
		taken := 0
		for _, s := range got {
			if s.to != "" {
				taken++
			} else if s.problem != "request_replayed" {
				t.Errorf("%+v", s)
			}
		}
		if taken != 1 || !h.isGone("first") {
			t.Errorf("%d of %d are taken", taken, len(got))
		}
		h.sloRefused(t, "by the other binding", "request_replayed", func() seen { return h.newBrowser().posts(carryForm("SAMLRequest", signedDoc(t, doc, h.own), "")) })
		unknown := h.wants("front", subject{"nobody", ""}, nil)
		h.newBrowser().open(slo + "?" + carry("SAMLRequest", unknown, "", h.own))
		h.sloRefused(t, "one that was refused", "request_replayed", func() seen { return h.newBrowser().open(slo + "?" + carry("SAMLRequest", unknown, "", h.own)) })
	})
}

// TestLogoutAnswers: an answer is a receipt once, to our open request to that very provider, and signed by it.
func TestLogoutAnswers(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.sloParties()
		ways := 0
		way := func() (b *browser, request string, id identity.SessionID) {
			ways++
			id = identity.SessionID("w" + strings.Repeat("x", ways))
			h.loggedIn(id)
			who := h.enter("front")
			h.enter("second")
			b = h.newBrowser()
			s := b.open(slo + "?" + carry("SAMLRequest", h.wants("front", who, nil), "", h.own))
			el, _ := h.carried(t, s.to, "SAMLRequest")
			return b, path(t, el, "@ID"), id
		}
		b, request, id := way()
		at := func(d time.Duration) string { return h.now().Add(d).UTC().Format("2006-01-02T15:04:05.000000Z") }
		for name, c := range map[string]struct {
			reason string
			by     pair
			doc    string
		}{
			"unsigned":               {"signature_missing", pair{}, h.answers("second", request, nil)},
			"another provider's":     {"answer_unasked", h.own, h.answers("front", request, nil)},
			"another provider's key": {"signature_invalid", h.two, h.answers("second", request, nil)},
			"to nothing":             {"answer_unasked", h.own, h.answers("second", "", nil)},
			"to what wasn't asked":   {"answer_unasked", h.own, h.answers("second", "_unknown", nil)},
			"another destination":    {"destination", h.own, h.answers("second", request, map[string]string{"Destination": sso})},
			"no destination":         {"destination_missing", h.own, h.answers("second", request, map[string]string{"Destination": ""})},
			"expired by a second":    {"request_expired", h.own, h.answers("second", request, map[string]string{"IssueInstant": at(-8*time.Minute - time.Second)})},
			"no status":              {"status_malformed", h.own, strings.Replace(h.answers("second", request, nil), "samlp:Status>", "samlp:State>", -1)},
			"two statuses":           {"status_malformed", h.own, strings.Replace(h.answers("second", request, nil), "<samlp:Status>", `<samlp:Status/><samlp:Status>`, 1)},
			"a login's response":     {"request_kind", h.own, strings.ReplaceAll(h.answers("second", request, nil), "LogoutResponse", "Response")},
		} {
			h.sloRefused(t, name, c.reason, func() seen { return b.open(slo + "?" + carry("SAMLResponse", c.doc, "", c.by)) })
			if got := h.states(id); got != "front:delivered asked,second:unconfirmed unanswered" {
				t.Fatalf("%s: %s", name, got)
			}
		}
		good := h.answers("second", request, nil)
		if s := b.open(slo + "?" + carry("SAMLResponse", good, "x", h.own)); !strings.HasPrefix(s.to, "https://front.example/back?") {
			t.Errorf("%+v", s)
		}
		h.sloRefused(t, "once more", "answer_unasked", func() seen { return b.open(slo + "?" + carry("SAMLResponse", good, "", h.own)) })
		h.sloRefused(t, "another to the same", "answer_unasked", func() seen {
			return b.open(slo + "?" + carry("SAMLResponse", h.answers("second", request, nil, "urn:oasis:names:tc:SAML:2.0:status:Responder"), "", h.own))
		})
		// In another browser it is a receipt, and leads nowhere.
		_, request, id = way()
		if s := h.newBrowser().open(slo + "?" + carry("SAMLResponse", h.answers("second", request, nil), "", h.own)); s.known || s.to != "" || h.states(id) != "front:delivered asked,second:delivered" {
			t.Errorf("%+v, %s", s, h.states(id))
		}
		b, request, _ = way()
		h.forward(15 * time.Minute)
		h.sloRefused(t, "too late", "answer_late", func() seen {
			return b.open(slo + "?" + carry("SAMLResponse", h.answers("second", request, nil), "", h.own))
		})
		// Whom the browser is sent to is looked at again: a provider that moved meanwhile isn't answered where it was.
		b, request, _ = way()
		p := h.party("front")
		p.Signing = [][]byte{h.own.cert.Raw}
		must(t, h.registry.Change(t.Context(), operator, p, 2))
		if s := b.open(slo + "?" + carry("SAMLResponse", h.answers("second", request, nil), "", h.own)); s.to != "" || s.status != http.StatusOK {
			t.Errorf("%+v", s)
		}
	})
}
