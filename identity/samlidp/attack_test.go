package samlidp_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// TestRedirectRefused: nothing but a good signature over the very octets that were sent is taken, and nothing that two readers read differently.
func TestRedirectRefused(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		doc := func() string { return h.ask("app", nil) }
		// signed gives the query of a fresh request, signed, and its parts.
		signed := func(relay string) url.Values {
			v, err := url.ParseQuery(query(doc(), relay, h.own))
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
		inner := signedDoc(t, h.ask("other", nil), h.two)
		bomb := deflate(strings.Repeat(" ", 1<<20) + doc())
		for name, c := range map[string]struct {
			reason string
			query  func() string
		}{
			"unsigned where signed is required":   {"signature_missing", func() string { return query(doc(), "", pair{}) }},
			"another provider's key":              {"signature_invalid", func() string { return query(doc(), "", h.two) }},
			"another request under the signature": {"signature_invalid", func() string { return with("", "SAMLRequest", deflate(doc())) }},
			"RelayState changed":                  {"signature_invalid", func() string { return with("a", "RelayState", "b") }},
			"RelayState put in":                   {"signature_invalid", func() string { return with("", "RelayState", "b") }},
			"RelayState put in, empty":            {"signature_invalid", func() string { return query(doc(), "", h.own) + "&RelayState=" }},
			"RelayState taken out":                {"signature_invalid", func() string { return with("a", "RelayState", "") }},
			"signature taken out":                 {"signature_shape", func() string { return with("", "Signature", "") }},
			"algorithm taken out":                 {"signature_shape", func() string { return with("", "SigAlg", "") }},
			"SHA-1":                               {"signature_algorithm", func() string { return with("", "SigAlg", "http://www.w3.org/2000/09/xmldsig#rsa-sha1") }},
			"HMAC by the public key":              {"signature_algorithm", func() string { return with("", "SigAlg", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256") }},
			"no algorithm at all":                 {"signature_algorithm", func() string { return with("", "SigAlg", "none") }},
			"a signature that isn't base64":       {"signature_shape", func() string { return with("", "Signature", "!") }},
			"an empty signature":                  {"signature_invalid", func() string { return strings.Split(query(doc(), "", h.own), "&Signature=")[0] + "&Signature=" }},
			"a signature inside, too":             {"signature_shape", func() string { return query(inner, "", h.two) }},
			"the request twice":                   {"params_repeated", func() string { return query(doc(), "", h.own) + "&SAMLRequest=x" }},
			"RelayState twice":                    {"params_repeated", func() string { return query(doc(), "a", h.own) + "&RelayState=b" }},
			"Signature twice":                     {"params_repeated", func() string { return query(doc(), "", h.own) + "&Signature=b" }},
			"no request":                          {"request_missing", func() string { return "RelayState=x" }},
			"the request under an encoded name":   {"request_missing", func() string { return "SAML%52equest=" + url.QueryEscape(deflate(doc())) }},
			"a response beside it":                {"params_malformed", func() string { return query(doc(), "", h.own) + "&SAMLResponse=x" }},
			"a broken escape":                     {"params_malformed", func() string { return "SAMLRequest=%zz" }},
			"another encoding":                    {"encoding", func() string { return query(doc(), "", h.own) + "&SAMLEncoding=x" }},
			"not base64":                          {"base64", func() string { return "SAMLRequest=!" }},
			"not deflated": {"deflate", func() string {
				return "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(doc())))
			}},
			"something after the deflated text": {"deflate", func() string {
				return "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("\x03\x00x")))
			}},
			"a deflate bomb (CVE-2023-28119)": {"xml_large", func() string { return "SAMLRequest=" + url.QueryEscape(bomb) }},
			"a long query":                    {"params_long", func() string { return "SAMLRequest=" + strings.Repeat("A", 40_000) }},
			"RelayState of 81 bytes":          {"relay_state_long", func() string { return query(doc(), strings.Repeat("あ", 27), h.own) }},
			"RelayState with a line break":    {"relay_state_malformed", func() string { return query(doc(), "a\r\nSet-Cookie: x", h.own) }},
			"RelayState that isn't UTF-8":     {"relay_state_malformed", func() string { return query(doc(), "\xff", h.own) }},
			"signed without destination":      {"destination_missing", func() string { return query(h.ask("app", map[string]string{"Destination": ""}), "", h.own) }},
		} {
			h.refused(t, name, c.reason, func() result { return h.redirect(c.query()) })
		}
		// What is signed is what was sent, whatever its order and its escapes.
		v := signed("a/b c")
		shuffled := "Signature=" + url.QueryEscape(v.Get("Signature")) + "&x=1&SigAlg=" + url.QueryEscape(v.Get("SigAlg")) + "&RelayState=" + url.QueryEscape("a/b c") +
			"&SAMLRequest=" + url.QueryEscape(v.Get("SAMLRequest"))
		if r := h.redirect(shuffled); r.to != acs || r.relay != "a/b c" {
			t.Errorf("another order: %+v", r)
		}
		octets := "SAMLRequest=" + strings.ReplaceAll(url.QueryEscape(deflate(doc())), "%2B", "%2b") + "&RelayState=a%2fb%20c&SigAlg=" + strings.ToLower(url.QueryEscape(wire.RSASHA256))
		if r := h.redirect(octets + "&Signature=" + url.QueryEscape(signature(octets, h.own))); r.to != acs || r.relay != "a/b c" {
			t.Errorf("other escapes: %+v", r)
		}
		if r := h.redirect(query(doc(), strings.Repeat("あ", 26)+"ab", h.own)); r.to != acs {
			t.Errorf("RelayState of 80 bytes: %+v", r)
		}
	})
}

// TestPostRefused is the same of the POST binding: signatures inside the document.
func TestPostRefused(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		good := func() string { return signedDoc(t, h.ask("app", nil), h.own) }
		swap := func(old, new string) func() string {
			return func() string {
				doc := good()
				if !strings.Contains(doc, old) {
					t.Fatalf("%q isn't in the document", old)
				}
				return strings.Replace(doc, old, new, 1)
			}
		}
		for name, c := range map[string]struct {
			reason string
			doc    func() string
		}{
			"unsigned where signed is required": {"signature_missing", func() string { return h.ask("app", nil) }},
			"another provider's key":            {"signature_invalid", func() string { return signedDoc(t, h.ask("app", nil), h.two) }},
			"another's name over its own key":   {"signature_invalid", swap(entityOf("app"), entityOf("other"))},
			"changed":                           {"signature_invalid", swap(acs, acs+"?tenant=2")},
			"SHA-1":                             {"signature_algorithm", swap(wire.RSASHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1")},
			"a comment in the issuer":           {"xml_comment", swap("https://app.example/metadata", "https://app.example/<!-- -->metadata")},
			"a DTD":                             {"xml_doctype", func() string { return "<!DOCTYPE x>" + good() }},
			"an entity (XXE)":                   {"xml_doctype", func() string { return `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + good() }},
			"an entity bomb":                    {"xml_doctype", func() string { return `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + good() }},
			"too large":                         {"xml_large", func() string { return strings.Repeat(" ", 70_000) + good() }},
			"too deep":                          {"xml_deep", func() string { return strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40) }},
			"not XML":                           {"xml_malformed", func() string { return "hello" }},
			"a response":                        {"request_kind", func() string { return `<samlp:Response xmlns:samlp="` + wire.NSProtocol + `"/>` }},
			"a request of another namespace":    {"request_kind", func() string { return strings.Replace(h.ask("app", nil), wire.NSProtocol, "urn:x", 1) }},
			"no issuer":                         {"issuer", func() string { return `<samlp:AuthnRequest xmlns:samlp="` + wire.NSProtocol + `"/>` }},
			"two issuers":                       {"issuer", swap("<saml:Issuer", `<saml:Issuer xmlns:saml="`+wire.NSAssertion+`">https://other.example/metadata</saml:Issuer><saml:Issuer`)},
			"an issuer of another format":       {"issuer", swap("<saml:Issuer ", `<saml:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" `)},
			"nobody's name":                     {"party_unknown", func() string { return h.ask("nobody", nil) }},
		} {
			h.refused(t, name, c.reason, func() result { return h.post(form(c.doc(), "")) })
		}
		for name, r := range map[string]*http.Request{
			"JSON":           httptest.NewRequest(http.MethodPost, sso, strings.NewReader(form(good(), ""))),
			"also a query":   httptest.NewRequest(http.MethodPost, sso+"?RelayState=x", strings.NewReader(form(good(), ""))),
			"a body's bound": httptest.NewRequest(http.MethodPost, sso, strings.NewReader("x="+strings.Repeat("x", 1<<20)+"&"+form(good(), ""))),
		} {
			reason := "content_type"
			if r.Header.Set("Content-Type", "application/x-www-form-urlencoded"); name == "JSON" {
				r.Header.Set("Content-Type", "application/json")
			}
			if name == "a body's bound" {
				reason = "params_long"
			}
			h.refused(t, name, reason, func() result { return h.serve(policies.NetworkInternet, r) })
		}
		// Line breaks inside base64 are usual, and no attack.
		encoded := base64.StdEncoding.EncodeToString([]byte(good()))
		if r := h.post(url.Values{"SAMLRequest": {encoded[:76] + "\r\n" + encoded[76:]}}.Encode()); r.to != acs {
			t.Errorf("with line breaks: %+v", r)
		}
	})
}

// TestWrapping is XML signature wrapping, XSW 1 to 8 (Somorovsky and others, 2012), with a request in the place of the assertion: the signed
// request goes somewhere else, and a forged one comes to where it is read. CVE-2024-45409 (ruby-saml) and CVE-2025-47949
// (samlify) were of this kind.
func TestWrapping(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		original := signedDoc(t, h.ask("app", map[string]string{"ID": "_good"}), h.own)
		sig := original[strings.Index(original, "<ds:Signature ") : strings.Index(original, "</ds:Signature>")+len("</ds:Signature>")]
		bare := strings.Replace(original, sig, "", 1)
		forged := func(id, inside string) string {
			doc := h.ask("app", map[string]string{"ID": id, "AssertionConsumerServiceURL": acs + "?tenant=2"})
			return strings.Replace(doc, "</saml:Issuer>", "</saml:Issuer>"+inside, 1)
		}
		// Everything declared where it stands, so that each wrapping is well-formed and the signed octets stay what they are.
		object := func(s string) string {
			return strings.Replace(sig, "</ds:Signature>", "<ds:Object>"+s+"</ds:Object></ds:Signature>", 1)
		}
		extensions := func(s string) string { return "<samlp:Extensions>" + s + "</samlp:Extensions>" }
		for name, doc := range map[string]string{
			"XSW 1: the original inside the forged one's signature":   forged("_evil", object(bare)),
			"XSW 2: the signature beside the original":                forged("_evil", sig+extensions(bare)),
			"XSW 3: the original, signed, inside the forged one":      forged("_evil", extensions(original)),
			"XSW 4: the forged one around, nothing else":              forged("_evil", original),
			"XSW 5: the signature in the forged one, original behind": forged("_evil", sig) + bare,
			"XSW 6: the original in the signature's object":           forged("_evil", extensions(object(bare))),
			"XSW 7: the forged one in extensions of the original":     strings.Replace(original, "</ds:Signature>", "</ds:Signature>"+extensions(forged("_evil", "")), 1),
			"XSW 8: the forged one in the original's signature":       strings.Replace(original, "</ds:Signature>", "<ds:Object>"+forged("_evil", "")+"</ds:Object></ds:Signature>", 1),
			"the same ID, the original inside":                        forged("_good", object(bare)),
			"the same ID, the original in extensions":                 forged("_good", sig+extensions(bare)),
			"two signatures, one good":                                forged("_evil", sig+sig),
			"the good signature over a forged request":                forged("_good", sig),
			"a forged sibling before":                                 forged("_evil", "") + original,
		} {
			h.forward(time.Second)
			if r := h.post(form(doc, "")); r.to != "" || r.problem == "" || r.incident == "" {
				t.Errorf("%s: %+v\n%s", name, r, doc)
			}
		}
		if r := h.post(form(original, "")); r.to != acs { // none of them has used it up
			t.Errorf("the original: %+v", r)
		}
	})
}

// TestRequestRefused: what a request says, well signed or not.
func TestRequestRefused(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		at := func(d time.Duration) string { return h.now().Add(d).UTC().Format("2006-01-02T15:04:05.000000Z") }
		no := map[string]string{"AssertionConsumerServiceURL": "", "ProtocolBinding": ""}
		and := func(m map[string]string, k, v string) map[string]string {
			out := map[string]string{k: v}
			for a, b := range m {
				if a != k {
					out[a] = b
				}
			}
			return out
		}
		for name, c := range map[string]struct {
			reason     string
			attributes func() map[string]string
		}{
			"another version":            {"version", func() map[string]string { return map[string]string{"Version": "1.1"} }},
			"no version":                 {"version", func() map[string]string { return map[string]string{"Version": ""} }},
			"no ID":                      {"request_id", func() map[string]string { return map[string]string{"ID": ""} }},
			"an ID that isn't one":       {"request_id", func() map[string]string { return map[string]string{"ID": "1 2"} }},
			"another destination":        {"destination", func() map[string]string { return map[string]string{"Destination": "https://idp.example/sso"} }},
			"the other network's":        {"destination", func() map[string]string { return map[string]string{"Destination": originLGWAN + "/saml/sso"} }},
			"a destination but for case": {"destination", func() map[string]string { return map[string]string{"Destination": strings.ToUpper(sso)} }},
			"a destination with a slash": {"destination", func() map[string]string { return map[string]string{"Destination": sso + "/"} }},
			"no time":                    {"issue_instant", func() map[string]string { return map[string]string{"IssueInstant": ""} }},
			"a time in another zone":     {"issue_instant", func() map[string]string { return map[string]string{"IssueInstant": "2026-09-21T23:13:20+09:00"} }},
			"a time that isn't one":      {"issue_instant", func() map[string]string { return map[string]string{"IssueInstant": "now Z"} }},
			"expired by a moment":        {"request_expired", func() map[string]string { return map[string]string{"IssueInstant": at(-8 * time.Minute)} }},
			"expired by a second":        {"request_expired", func() map[string]string { return map[string]string{"IssueInstant": at(-8*time.Minute - time.Second)} }},
			"a second too early":         {"request_early", func() map[string]string { return map[string]string{"IssueInstant": at(3*time.Minute + time.Second)} }},
			"another address": {"consumer_unregistered", func() map[string]string {
				return map[string]string{"AssertionConsumerServiceURL": "https://evil.test/acs"}
			}},
			"javascript (CVE-2023-45683)": {"consumer_unregistered", func() map[string]string {
				return map[string]string{"AssertionConsumerServiceURL": "javascript:alert(1)"}
			}},
			"a look-alike address": {"consumer_unregistered", func() map[string]string {
				return map[string]string{"AssertionConsumerServiceURL": "https://sp.exаmple/acs"}
			}},
			"one letter more": {"consumer_unregistered", func() map[string]string { return map[string]string{"AssertionConsumerServiceURL": acs + "/"} }},
			"another query":   {"consumer_unregistered", func() map[string]string { return map[string]string{"AssertionConsumerServiceURL": acs + "?tenant=3"} }},
			"an open redirect's tail": {"consumer_unregistered", func() map[string]string {
				return map[string]string{"AssertionConsumerServiceURL": acs + "?tenant=2&next=x"}
			}},
			"capitals": {"consumer_unregistered", func() map[string]string {
				return map[string]string{"AssertionConsumerServiceURL": "https://SP.example/acs"}
			}},
			"a white space":           {"consumer_unregistered", func() map[string]string { return map[string]string{"AssertionConsumerServiceURL": acs + " "} }},
			"another index":           {"consumer_unregistered", func() map[string]string { return and(no, "AssertionConsumerServiceIndex", "3") }},
			"an index that isn't one": {"consumer_unregistered", func() map[string]string { return and(no, "AssertionConsumerServiceIndex", "-1") }},
			"index and address":       {"consumer_ambiguous", func() map[string]string { return map[string]string{"AssertionConsumerServiceIndex": "0"} }},
			"the artifact binding": {"binding", func() map[string]string {
				return map[string]string{"ProtocolBinding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"}
			}},
			"the redirect binding": {"binding", func() map[string]string { return map[string]string{"ProtocolBinding": sp.BindingRedirect} }},
		} {
			h.refused(t, name, c.reason, func() result { return h.redirect(query(h.ask("other", c.attributes()), "", pair{})) })
			h.refused(t, name+", signed", c.reason, func() result { return h.redirect(query(h.ask("app", c.attributes()), "", h.own)) })
		}
		for name, d := range map[string]time.Duration{"as old as can be": -8*time.Minute + time.Microsecond, "as early as can be": 3 * time.Minute} {
			if r := h.redirect(query(h.ask("app", map[string]string{"IssueInstant": at(d)}), "", h.own)); r.to != acs {
				t.Errorf("%s: %+v", name, r)
			}
		}
	})
}

// TestReplay: a request is taken once, also when it comes twice at once, by whichever binding, and for as long as it would be taken.
func TestReplay(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		doc := h.ask("app", nil)
		q := query(doc, "", h.own)
		var wg sync.WaitGroup
		got := make([]result, 8)
		for i := range got {
			wg.Go(func() { got[i] = h.redirect(q) })
		}
		wg.Wait()
		taken := 0
		for _, r := range got {
			if r.to != "" {
				taken++
			} else if r.problem != "request_replayed" {
				t.Errorf("%+v", r)
			}
		}
		if taken != 1 {
			t.Errorf("%d of 8 are taken", taken)
		}
		h.refused(t, "by the other binding", "request_replayed", func() result { return h.post(form(signedDoc(t, doc, h.own), "")) })
		h.forward(7 * time.Minute)
		if _, err := h.provider.Sweep(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
		h.refused(t, "later", "request_replayed", func() result { return h.redirect(q) })
		h.forward(time.Minute)
		h.refused(t, "much later", "request_expired", func() result { return h.redirect(q) })
		// Another provider may draw the same ID.
		if r := h.redirect(query(h.ask("other", map[string]string{"ID": strings.Split(strings.Split(doc, `ID="`)[1], `"`)[0]}), "", pair{})); r.to != acs {
			t.Errorf("another provider: %+v", r)
		}
	})
}

// TestNetworks: nothing of one network is taken in another.
func TestNetworks(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.register("inside", func(p *sp.SP) { p.Faces = p.Faces[1:] })
		h.refused(t, "a provider of LGWAN on the internet", "party_network", func() result { return h.redirect(query(h.ask("inside", nil), "", pair{})) })
		h.refused(t, "another host", "host", func() result { return h.get("https://evil.test/saml/sso?" + query(h.ask("other", nil), "", pair{})) })
		h.refused(t, "the other network's host", "host", func() result { return h.get(originLGWAN + "/saml/sso?" + query(h.ask("other", nil), "", pair{})) })
		r := h.serve(policies.NetworkLGWAN, httptest.NewRequest(http.MethodGet, originLGWAN+"/saml/sso?"+
			query(h.ask("inside", map[string]string{"Destination": originLGWAN + "/saml/sso"}), "", pair{}), nil))
		if r.to != acs || !strings.Contains(r.doc, originLGWAN+"/saml/metadata</saml:Issuer>") || strings.Contains(r.doc, origin) {
			t.Errorf("%+v", r)
		}
	})
}

// TestRefusalsAreBounded: who sends rubbish fills no audit log, and the next row says how many weren't recorded.
func TestRefusalsAreBounded(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		count := func() (n int) {
			must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM audit_row WHERE reason = 'request_missing'`).Scan(&n))
			return n
		}
		for range 50 {
			h.redirect("x=y")
		}
		if n := count(); n != 20 {
			t.Errorf("%d rows in a second", n)
		}
		h.forward(time.Second)
		r := h.redirect("x=y")
		var detail string
		must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT detail FROM audit_row WHERE id = $1`, r.incident).Scan(&detail))
		if !strings.Contains(detail, `"not_recorded_before":30`) {
			t.Errorf("the next row says %s", detail)
		}
	})
}
