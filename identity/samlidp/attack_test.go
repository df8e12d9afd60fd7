package samlidp_test

import (
	"crypto"
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
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

// attack is what somebody sends, and for which reason it has to be refused.
type attack struct {
	reason string
	do     func() result
}

// attacks are those of one of the tests below, by name. planted_test.go runs them all against a provider with a fault in it.
type attacks map[string]attack

// hold runs them: each is refused, by a page, with a row in the audit log and a line in the log, for its reason.
func (h *house) hold(t *testing.T, all attacks) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h.refused(t, name, all[name].reason, all[name].do)
	}
}

// TestRedirectRefused: nothing but a good signature over the very octets that were sent is taken, and nothing that two readers read differently.
func TestRedirectRefused(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.hold(t, redirectAttacks(t, h))
		doc := func() string { return h.ask("app", nil) }
		// What is signed is what was sent, whatever its order and its escapes.
		v, err := url.ParseQuery(query(doc(), "a/b c", h.own))
		must(t, err)
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

func redirectAttacks(t testing.TB, h *house) attacks {
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
	all := attacks{}
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
		"signed with SHA-1": {"signature_algorithm", func() string {
			octets := "SAMLRequest=" + url.QueryEscape(deflate(doc())) + "&SigAlg=" + url.QueryEscape("http://www.w3.org/2000/09/xmldsig#rsa-sha1")
			return octets + "&Signature=" + url.QueryEscape(signatureBy(crypto.SHA1, octets, h.own))
		}},
		"a comment in a NameID": {"xml_comment", func() string {
			return query(h.ask("app", nil, "<saml:Subject><saml:NameID>p1@city.example<!-- -->.evil.test</saml:NameID></saml:Subject>"), "", h.own)
		}},
		"the signature of another parameter (CVE-2025-27773)": {"params_repeated", func() string {
			good := query(doc(), "", h.own)
			return "SAMLRequest=" + url.QueryEscape(deflate(h.ask("app", map[string]string{"AssertionConsumerServiceURL": acs + "?tenant=2"}))) + "&" + good
		}},
		"... behind it":                      {"params_repeated", func() string { return query(doc(), "", h.own) + "&SAMLRequest=" + url.QueryEscape(deflate(doc())) }},
		"an array of it":                     {"request_missing", func() string { return "SAMLRequest[]=" + url.QueryEscape(deflate(doc())) }},
		"RelayState that closes the form":    {"signature_invalid", func() string { return with("a", "RelayState", `"><script>alert(1)</script>`) }},
		"RelayState with a parameter in it":  {"signature_invalid", func() string { return with("a", "RelayState", "a&SAMLRequest=x") }},
		"HMAC by the public key":             {"signature_algorithm", func() string { return with("", "SigAlg", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256") }},
		"no algorithm at all":                {"signature_algorithm", func() string { return with("", "SigAlg", "none") }},
		"a signature that isn't base64":      {"signature_shape", func() string { return with("", "Signature", "!") }},
		"an empty signature":                 {"signature_invalid", func() string { return strings.Split(query(doc(), "", h.own), "&Signature=")[0] + "&Signature=" }},
		"a signature inside, too":            {"signature_shape", func() string { return query(inner, "", h.two) }},
		"the request twice (CVE-2025-27773)": {"params_repeated", func() string { return query(doc(), "", h.own) + "&SAMLRequest=x" }},
		"RelayState twice":                   {"params_repeated", func() string { return query(doc(), "a", h.own) + "&RelayState=b" }},
		"Signature twice":                    {"params_repeated", func() string { return query(doc(), "", h.own) + "&Signature=b" }},
		"no request":                         {"request_missing", func() string { return "RelayState=x" }},
		"the request under an encoded name":  {"request_missing", func() string { return "SAML%52equest=" + url.QueryEscape(deflate(doc())) }},
		"a response beside it":               {"params_malformed", func() string { return query(doc(), "", h.own) + "&SAMLResponse=x" }},
		"a broken escape":                    {"params_malformed", func() string { return "SAMLRequest=%zz" }},
		"another encoding":                   {"encoding", func() string { return query(doc(), "", h.own) + "&SAMLEncoding=x" }},
		"not base64":                         {"base64", func() string { return "SAMLRequest=!" }},
		"not deflated": {"deflate", func() string {
			return "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(doc())))
		}},
		"something after the deflated text": {"deflate", func() string {
			return "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("\x03\x00x")))
		}},
		"a deflate bomb (CVE-2023-28119, CVE-2025-25293)": {"xml_large", func() string { return "SAMLRequest=" + url.QueryEscape(bomb) }},
		"a long query":                 {"params_long", func() string { return "SAMLRequest=" + strings.Repeat("A", 40_000) }},
		"RelayState of 81 bytes":       {"relay_state_long", func() string { return query(doc(), strings.Repeat("あ", 27), h.own) }},
		"RelayState with a line break": {"relay_state_malformed", func() string { return query(doc(), "a\r\nSet-Cookie: x", h.own) }},
		"RelayState that isn't UTF-8":  {"relay_state_malformed", func() string { return query(doc(), "\xff", h.own) }},
		"signed without destination":   {"destination_missing", func() string { return query(h.ask("app", map[string]string{"Destination": ""}), "", h.own) }},
	} {
		all["redirect: "+name] = attack{c.reason, func() result { return h.redirect(c.query()) }}
	}
	return all
}

// TestPostRefused is the same of the POST binding: signatures inside the document.
func TestPostRefused(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.hold(t, postAttacks(t, h))
		// Line breaks inside base64 are usual, and no attack.
		encoded := base64.StdEncoding.EncodeToString([]byte(signedDoc(t, h.ask("app", nil), h.own)))
		if r := h.post(url.Values{"SAMLRequest": {encoded[:76] + "\r\n" + encoded[76:]}}.Encode()); r.to != acs {
			t.Errorf("with line breaks: %+v", r)
		}
	})
}

func postAttacks(t testing.TB, h *house) attacks {
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
	all := attacks{}
	for name, c := range map[string]struct {
		reason string
		doc    func() string
	}{
		"unsigned where signed is required": {"signature_missing", func() string { return h.ask("app", nil) }},
		"another provider's key":            {"signature_invalid", func() string { return signedDoc(t, h.ask("app", nil), h.two) }},
		"another's name over its own key":   {"signature_invalid", swap(entityOf("app"), entityOf("other"))},
		"changed":                           {"signature_invalid", swap(acs, acs+"?tenant=2")},
		"SHA-1":                             {"signature_algorithm", swap(wire.RSASHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1")},
		"signed with SHA-1":                 {"signature_algorithm", func() string { return signedSHA1(t, h.ask("app", nil), h.own) }},
		"a canonical form of nothing (CVE-2025-66567, CVE-2025-66568)": {"signature_invalid", func() string { return signedVoid(t, h.ask("app", nil), h.own) }},
		"a comment in a NameID (CVE-2017-11427 and its kin)": {"xml_comment", func() string {
			doc := h.ask("app", nil, "<saml:Subject><saml:NameID>p1@city.example</saml:NameID></saml:Subject>")
			return strings.Replace(signedDoc(t, doc, h.own), "p1@city.example", "p1@city.example<!-- -->.evil.test", 1)
		}},
		"a comment in a NameID, unsigned": {"xml_comment", func() string {
			return h.ask("other", nil, "<saml:Subject><saml:NameID>p1@city.example<!-- -->.evil.test</saml:NameID></saml:Subject>")
		}},
		"two assertions, one signed (CVE-2022-41912, CVE-2021-28091)": {"request_kind", func() string {
			assertion := `<saml:Assertion xmlns:saml="` + wire.NSAssertion + `" ID="_a" Version="2.0"><saml:Issuer>` + entityOf("app") + `</saml:Issuer></saml:Assertion>`
			return `<samlp:Response xmlns:samlp="` + wire.NSProtocol + `" ID="_r">` + strings.Replace(assertion, "_a", "_b", 1) + signedDoc(t, assertion, h.own) + `</samlp:Response>`
		}},
		"an ID with markup":              {"request_id", func() string { return h.ask("other", map[string]string{"ID": `_a" Destination="https://evil.test`}) }},
		"a comment in the issuer":        {"xml_comment", swap("https://app.example/metadata", "https://app.example/<!-- -->metadata")},
		"a DTD (CVE-2025-25291)":         {"xml_doctype", func() string { return "<!DOCTYPE x>" + good() }},
		"an entity (XXE)":                {"xml_doctype", func() string { return `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + good() }},
		"an entity bomb":                 {"xml_doctype", func() string { return `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + good() }},
		"too large":                      {"xml_large", func() string { return strings.Repeat(" ", 70_000) + good() }},
		"too deep":                       {"xml_deep", func() string { return strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40) }},
		"not XML":                        {"xml_malformed", func() string { return "hello" }},
		"a response":                     {"request_kind", func() string { return `<samlp:Response xmlns:samlp="` + wire.NSProtocol + `"/>` }},
		"a request of another namespace": {"request_kind", func() string { return strings.Replace(h.ask("app", nil), wire.NSProtocol, "urn:x", 1) }},
		"no issuer":                      {"issuer", func() string { return `<samlp:AuthnRequest xmlns:samlp="` + wire.NSProtocol + `"/>` }},
		"two issuers":                    {"issuer", swap("<saml:Issuer", `<saml:Issuer xmlns:saml="`+wire.NSAssertion+`">https://other.example/metadata</saml:Issuer><saml:Issuer`)},
		"an issuer of another format":    {"issuer", swap("<saml:Issuer ", `<saml:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" `)},
		"nobody's name":                  {"party_unknown", func() string { return h.ask("nobody", nil) }},
	} {
		all["POST: "+name] = attack{c.reason, func() result { return h.post(form(c.doc(), "")) }}
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
		all["POST: "+name] = attack{reason, func() result { return h.serve(policies.NetworkInternet, r) }}
	}
	return all
}

// wrappings are XML signature wrapping, XSW 1 to 8 (Somorovsky and others, 2012), and its kin, with a message in the place of the assertion: the
// signed message goes somewhere else, and a forged one comes to where it is read. original holds its signature right behind its Issuer; forged makes
// a message of the same kind with this ID, with something put in behind its Issuer.
func wrappings(original, id string, forged func(id, inside string) string) map[string]struct{ reason, doc string } {
	sig := original[strings.Index(original, "<ds:Signature ") : strings.Index(original, "</ds:Signature>")+len("</ds:Signature>")]
	bare := strings.Replace(original, sig, "", 1)
	// Everything declared where it stands, so that each wrapping is well-formed and the signed octets stay what they are.
	object := func(s string) string {
		return strings.Replace(sig, "</ds:Signature>", "<ds:Object>"+s+"</ds:Object></ds:Signature>", 1)
	}
	extensions := func(s string) string { return "<samlp:Extensions>" + s + "</samlp:Extensions>" }
	return map[string]struct{ reason, doc string }{
		"XSW 1: the original inside the forged one's signature":   {"signature_shape", forged("_evil", object(bare))},
		"XSW 2: the signature beside the original":                {"signature_shape", forged("_evil", sig+extensions(bare))},
		"XSW 3: the original, signed, inside the forged one":      {"signature_missing", forged("_evil", extensions(original))},
		"XSW 4: the forged one around, nothing else":              {"signature_missing", forged("_evil", original)},
		"XSW 5: the signature in the forged one, original behind": {"xml_malformed", forged("_evil", sig) + bare},
		"XSW 6: the original in the signature's object":           {"signature_missing", forged("_evil", extensions(object(bare)))},
		"XSW 7: the forged one in extensions of the original":     {"signature_invalid", strings.Replace(original, "</ds:Signature>", "</ds:Signature>"+extensions(forged("_evil", "")), 1)},
		"XSW 8: the forged one in the original's signature":       {"signature_shape", strings.Replace(original, "</ds:Signature>", "<ds:Object>"+forged("_evil", "")+"</ds:Object></ds:Signature>", 1)},
		"XSW, the same ID, the original inside":                   {"xml_duplicate_id", forged(id, object(bare))},
		"XSW, the same ID, the original in extensions":            {"xml_duplicate_id", forged(id, sig+extensions(bare))},
		"XSW, two signatures, one good":                           {"signature_shape", forged("_evil", sig+sig)},
		"XSW, the good signature over a forged message":           {"signature_invalid", forged(id, sig)},
		"XSW, a forged sibling before":                            {"xml_malformed", forged("_evil", "") + original},
		"XSW, two messages in one, the first signed":              {"xml_malformed", original + forged("_evil", "")},
		"XSW, both in one that isn't signed":                      {"", "<samlp:Response xmlns:samlp=\"" + wire.NSProtocol + "\" ID=\"_r\">" + original + forged("_evil", "") + "</samlp:Response>"},
	}
}

// TestWrapping: CVE-2024-45409 (ruby-saml), CVE-2024-8698 (Keycloak), CVE-2021-28091 (lasso), CVE-2022-41912 (crewjam/saml: two assertions, one signed),
// CVE-2022-39299 (passport-saml: two roots), CVE-2025-47949 (samlify) and CVE-2025-54419 (node-saml: what is read isn't what was signed) were of this kind.
func TestWrapping(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.hold(t, wrappingAttacks(t, h))
		good := h.ask("app", nil)
		for _, w := range wrappings(signedDoc(t, good, h.own), idOf(good), func(id, inside string) string { return h.ask("app", map[string]string{"ID": id}) + inside }) {
			h.post(form(w.doc, ""))
		}
		if r := h.post(form(signedDoc(t, good, h.own), "")); r.to != acs { // none of them has used it up
			t.Errorf("the original: %+v", r)
		}
	})
}

// idOf gives the ID of a document's root.
func idOf(doc string) string {
	_, rest, _ := strings.Cut(doc, ` ID="`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

func wrappingAttacks(t testing.TB, h *house) attacks {
	all := attacks{}
	made := func() map[string]struct{ reason, doc string } {
		original := signedDoc(t, h.ask("app", nil), h.own)
		return wrappings(original, idOf(original), func(id, inside string) string {
			doc := h.ask("app", map[string]string{"ID": id, "AssertionConsumerServiceURL": acs + "?tenant=2"})
			return strings.Replace(doc, "</saml:Issuer>", "</saml:Issuer>"+inside, 1)
		})
	}
	for name, w := range made() {
		reason := w.reason
		if reason == "" {
			reason = "request_kind"
		}
		all[name] = attack{reason, func() result { return h.post(form(made()[name].doc, "")) }}
	}
	return all
}

// TestRequestRefused: what a request says, well signed or not.
func TestRequestRefused(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		h.hold(t, requestAttacks(h))
		at := func(d time.Duration) string { return h.now().Add(d).UTC().Format("2006-01-02T15:04:05.000000Z") }
		for name, d := range map[string]time.Duration{"as old as can be": -8*time.Minute + time.Microsecond, "as early as can be": 3 * time.Minute} {
			if r := h.redirect(query(h.ask("app", map[string]string{"IssueInstant": at(d)}), "", h.own)); r.to != acs {
				t.Errorf("%s: %+v", name, r)
			}
		}
	})
}

func requestAttacks(h *house) attacks {
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
	all := attacks{}
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
		"another index":              {"consumer_unregistered", func() map[string]string { return and(no, "AssertionConsumerServiceIndex", "3") }},
		"an index that isn't one":    {"consumer_unregistered", func() map[string]string { return and(no, "AssertionConsumerServiceIndex", "-1") }},
		"index and address":          {"consumer_ambiguous", func() map[string]string { return map[string]string{"AssertionConsumerServiceIndex": "0"} }},
		"the artifact binding": {"binding", func() map[string]string {
			return map[string]string{"ProtocolBinding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"}
		}},
		"the redirect binding": {"binding", func() map[string]string { return map[string]string{"ProtocolBinding": sp.BindingRedirect} }},
	} {
		all["unsigned: "+name] = attack{c.reason, func() result { return h.redirect(query(h.ask("other", c.attributes()), "", pair{})) }}
		all["signed: "+name] = attack{c.reason, func() result { return h.redirect(query(h.ask("app", c.attributes()), "", h.own)) }}
	}
	for name, address := range lookalikes {
		at := map[string]string{"AssertionConsumerServiceURL": address}
		all["unsigned, ACS: "+name] = attack{"consumer_unregistered", func() result { return h.redirect(query(h.ask("other", at), "", pair{})) }}
		all["signed, ACS: "+name] = attack{"consumer_unregistered", func() result { return h.post(form(signedDoc(h.t, h.ask("app", at), h.own), "")) }}
	}
	return all
}

// lookalikes are addresses that somebody could take for the registered https://sp.example/acs: by reading them, by parsing and joining them again, or by
// comparing less than all of them. CVE-2023-45683 (crewjam/saml) sent answers to javascript: addresses.
var lookalikes = map[string]string{
	"javascript":                          "javascript:alert(1)//https://sp.example/acs",
	"data":                                "data:text/html,https://sp.example/acs",
	"another address":                     "https://evil.test/acs",
	"without TLS":                         "http://sp.example/acs",
	"no scheme":                           "//sp.example/acs",
	"a path alone":                        "/acs",
	"a homoglyph":                         "https://sp.exаmple/acs", // a Cyrillic letter
	"a homoglyph in ASCII":                "https://sp.xn--exmple-4nf/acs",
	"full width":                          "https://sp．example/acs",
	"a dot after the host":                "https://sp.example./acs",
	"a longer host":                       "https://sp.example.evil.test/acs",
	"a host that ends like it":            "https://evilsp.example/acs",
	"a user before the host":              "https://sp.example@evil.test/acs",
	"a user with a password":              "https://sp.example:443@evil.test/acs",
	"a user at the right host":            "https://user@sp.example/acs",
	"a backslash":                         `https://evil.test\@sp.example/acs`,
	"the port of https":                   "https://sp.example:443/acs",
	"another port":                        "https://sp.example:8443/acs",
	"a port of nothing":                   "https://sp.example:/acs",
	"capitals in the scheme":              "HTTPS://sp.example/acs",
	"capitals in the host":                "https://SP.example/acs",
	"capitals in the path":                "https://sp.example/ACS",
	"a slash after it":                    "https://sp.example/acs/",
	"two slashes":                         "https://sp.example//acs",
	"a dot segment":                       "https://sp.example/./acs",
	"a dot segment upwards":               "https://sp.example/x/../acs",
	"a dot segment out of it":             "https://sp.example/acs/../evil",
	"percent-encoded":                     "https://sp.example/%61cs",
	"percent-encoded dots":                "https://sp.example/x/%2e%2e/acs",
	"a percent-encoded slash":             "https://sp.example%2facs",
	"a parameter of the path":             "https://sp.example/acs;x=1",
	"a longer path":                       "https://sp.example/acs.evil",
	"a query":                             "https://sp.example/acs?x=1",
	"an empty query":                      "https://sp.example/acs?",
	"another query":                       "https://sp.example/acs?tenant=3",
	"a query that goes on":                "https://sp.example/acs?tenant=2&next=https://evil.test/",
	"a fragment":                          "https://sp.example/acs#x",
	"an empty fragment":                   "https://sp.example/acs#",
	"white space after it":                "https://sp.example/acs ",
	"white space before it":               " https://sp.example/acs",
	"a line break inside":                 "https://sp.example/a\ncs",
	"a line break after it":               "https://sp.example/acs\r\n",
	"a tab before it":                     "\thttps://sp.example/acs",
	"a null behind an escape":             "https://sp.example/acs%00",
	"a zero-width space":                  "https://sp.example/acs\u200b",
	"a soft hyphen":                       "https://sp.exam\u00adple/acs",
	"the letters composed in another way": "https://sp.example/a\u0301cs",
	"the other network's, of nobody":      "https://sp.lgwan.example/acs",
}

// otherAttacks are of time and place: what was good once, or elsewhere.
func otherAttacks(t testing.TB, h *house) attacks {
	again := func(second func(doc string) result) func() result {
		return func() result {
			doc := h.ask("app", nil)
			if r := h.redirect(query(doc, "", h.own)); r.to != acs {
				t.Fatalf("the first of two isn't taken: %+v", r)
			}
			return second(doc)
		}
	}
	elsewhere := func(address string) func() result {
		return func() result { return h.get(address + "/saml/sso?" + query(h.ask("other", nil), "", pair{})) }
	}
	h.register("inside", func(p *sp.SP) { p.Faces = p.Faces[1:] })
	return attacks{
		"replay":                          {"request_replayed", again(func(doc string) result { return h.redirect(query(doc, "", h.own)) })},
		"replay with another relay":       {"request_replayed", again(func(doc string) result { return h.redirect(query(doc, "x", h.own)) })},
		"replay by the other binding":     {"request_replayed", again(func(doc string) result { return h.post(form(signedDoc(t, doc, h.own), "")) })},
		"another host":                    {"host", elsewhere("https://evil.test")},
		"the other network's host":        {"host", elsewhere(originLGWAN)},
		"a provider of the other network": {"party_network", func() result { return h.redirect(query(h.ask("inside", nil), "", pair{})) }},
	}
}

// linkAttacks are on the links that begin a login at the hub.
func linkAttacks(t testing.TB, h *house) attacks {
	as := func(s identity.SessionID, n policies.Network) {
		h.mu.Lock()
		h.browser = &session.Session{ID: s, Network: n}
		h.mu.Unlock()
	}
	open := func(change func(url.Values)) func() result {
		return func() result {
			as("s1", policies.NetworkInternet)
			to, err := h.provider.Link(policies.NetworkInternet, "mail", "deep/link", "s1")
			must(t, err)
			u, err := url.Parse(to)
			must(t, err)
			q := u.Query()
			change(q)
			u.RawQuery = q.Encode()
			return h.get(u.String())
		}
	}
	set := func(name, value string) func() result { return open(func(q url.Values) { q.Set(name, value) }) }
	return attacks{
		"link: another party":                {"link_invalid", set("party", "other")},
		"link: another relay":                {"link_invalid", set("relay", "https://evil.test/")},
		"link: another end":                  {"link_invalid", set("until", "9999999999999999")},
		"link: no mark":                      {"link_invalid", set("mark", "")},
		"link: another session":              {"link_invalid", open(func(url.Values) { as("s2", policies.NetworkInternet) })},
		"link: a session of another network": {"link_session", open(func(url.Values) { as("s1", policies.NetworkLGWAN) })},
		"link: expired":                      {"link_expired", open(func(url.Values) { h.forward(10 * time.Minute) })},
	}
}

// TestReplay: a request is taken once, also when it comes twice at once, by whichever binding, and for as long as it would be taken.
func TestReplay(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.hold(t, otherAttacks(t, h))
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
