package samlidp_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

const sloFile = "slo.go"

// logoutFaults are those of the checks of logout messages. sloattack_test.go tries more; what stands here is what has to notice.
var logoutFaults = []plantedFault{
	{"a logout's signature may be missing", []edit{{file: sloFile, old: "\t\treturn nil, bad(\"signature_missing\")\n", new: "\t\tif § {\n\t\t\treturn m.root, nil\n\t\t}\n\t\treturn nil, bad(\"signature_missing\")\n"}},
		[]string{"logout: unsigned", "logout, XSW 3: the original, signed, inside the forged one", "logout: an unsigned answer"}},
	{"a logout need not say whom it is for", []edit{{file: sloFile, old: "if wire.Attr(root, \"Destination\") == \"\" && here == c.slo() {", new: "if wire.Attr(root, \"Destination\") == \"\" && here == c.slo() && !§ {"}},
		[]string{"logout: no destination"}},
	{"a logout's own end isn't looked at", []edit{{file: sloFile, old: "if c.at >= t.Add(skew).UnixMicro() {", new: "if c.at >= t.Add(skew).UnixMicro() && !§ {"}}, []string{"logout: NotOnOrAfter, by nothing"}},
	{"a logout's part that isn't understood is passed over", []edit{{file: sloFile, old: "\t\t\treturn n, told(\"part_unsupported\", statusUnsupported)\n", new: "\t\t\tif § {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t\treturn n, told(\"part_unsupported\", statusUnsupported)\n"}},
		[]string{"logout of nobody: a part that isn't understood"}},
	{"a logout counts whoever's name it is", []edit{{file: sloFile, old: "WHERE party = $1 AND network", new: "WHERE (party = $1` + map[bool]string{true: ` OR 1 = 1`}[§] + `) AND network"}},
		[]string{"logout of nobody: another provider's name and index"}},
	{"a logout counts whatever its indexes", []edit{{file: sloFile, old: "len(wanted) > 0 && !wanted[g.index]", unless: "true"}, {file: sloFile, old: "len(wanted) > 0 && len(found) != len(wanted)", unless: "true"}},
		[]string{"logout of nobody: an index that isn't one", "logout of nobody: another person's index"}},
	{"a logout counts whatever its qualifiers", []edit{{file: sloFile, old: "got != \"\" && got != want", unless: "true"}}, []string{"logout of nobody: another provider's qualifier", "logout of nobody: another issuer's qualifier"}},
	{"an answer counts whoever's it is", []edit{{file: "conclude.go", old: " AND party = $2 AND network = $3 AND channel", new: " AND (party = $2` + map[bool]string{true: ` OR 1 = 1`}[§] + `) AND network = $3 AND channel"}},
		[]string{"logout: another provider's answer"}},
	{"an answer counts for ever", []edit{{file: "conclude.go", old: "c.at >= found[0].askedAt+leaveLife.Microseconds()", unless: "true"}}, []string{"logout: an answer that is late"}},
}

// logoutAttacks are of messages that a page refuses. Each has a session of its own.
func logoutAttacks(t testing.TB, h *house) map[string]func() string {
	h.sloParties()
	n := 0
	// fresh logs somebody in at both providers and gives what the first knows of it.
	fresh := func() (identity.SessionID, subject) {
		n++
		id := identity.SessionID(fmt.Sprintf("planted%d", n))
		h.loggedIn(id)
		who := h.enter("front")
		h.enter("second")
		return id, who
	}
	all := map[string]func() string{}
	page := func(name, reason string, send func(who subject) seen) {
		all["logout"+name] = func() string {
			id, who := fresh()
			said := h.outcome(attack{reason, func() result {
				s := send(who)
				return result{status: s.status, problem: s.problem, incident: s.incident, to: s.to}
			}})
			if said == "" && h.isGone(id) {
				said = "the session has ended"
			}
			return said
		}
	}
	redirect := func(doc string, by pair) seen {
		return h.newBrowser().open(slo + "?" + carry("SAMLRequest", doc, "", by))
	}
	at := func(d time.Duration) string { return h.now().Add(d).UTC().Format("2006-01-02T15:04:05.000000Z") }
	page(": unsigned", "signature_missing", func(who subject) seen { return redirect(h.wants("front", who, nil), pair{}) })
	page(": another provider's key", "signature_invalid", func(who subject) seen { return redirect(h.wants("front", who, nil), h.two) })
	page(": no destination", "destination_missing", func(who subject) seen {
		return redirect(h.wants("front", who, map[string]string{"Destination": ""}), h.own)
	})
	page(": the destination of logins", "destination", func(who subject) seen {
		return redirect(h.wants("front", who, map[string]string{"Destination": sso}), h.own)
	})
	page(": expired by a moment", "request_expired", func(who subject) seen {
		return redirect(h.wants("front", who, map[string]string{"IssueInstant": at(-8 * time.Minute)}), h.own)
	})
	page(": NotOnOrAfter, by nothing", "request_expired", func(who subject) seen {
		return redirect(h.wants("front", who, map[string]string{"NotOnOrAfter": at(-3 * time.Minute)}), h.own)
	})
	page(": a comment in the name", "xml_comment", func(who subject) seen {
		doc := signedDoc(t, h.wants("front", who, nil), h.own)
		return h.newBrowser().posts(carryForm("SAMLRequest", strings.Replace(doc, who.name, who.name[:3]+"<!-- -->"+who.name[3:], 1), ""))
	})
	for name, w := range wrappings(signedDoc(t, h.ask("app", nil), h.own), "_x", func(string, string) string { return "" }) {
		reason := w.reason
		if reason == "" {
			reason = "request_kind"
		}
		page(", "+name, reason, func(who subject) seen {
			original := signedDoc(t, h.wants("front", subject{"nobody", ""}, nil), h.own)
			made := wrappings(original, idOf(original), func(id, inside string) string {
				return strings.Replace(h.wants("front", who, map[string]string{"ID": id}), "</saml:Issuer>", "</saml:Issuer>"+inside, 1)
			})
			return h.newBrowser().posts(carryForm("SAMLRequest", made[name].doc, ""))
		})
	}
	logoutAnswers(t, h, all, fresh)

	// What is told to the provider and ends nothing.
	nobody := func(name string, doc func(who subject) (string, pair)) {
		all["logout of nobody: "+name] = func() string {
			h.forward(time.Second)
			id, who := fresh()
			text, by := doc(who)
			if s := redirect(text, by); h.isGone(id) {
				return fmt.Sprintf("the session has ended: %+v", s)
			}
			return ""
		}
	}
	own := func(who subject, attributes map[string]string, indexes ...string) (string, pair) {
		return h.wants("front", who, attributes, indexes...), h.own
	}
	nobody("another provider's name and index", func(who subject) (string, pair) { return h.wants("stranger", who, nil), h.two })
	nobody("an index that isn't one", func(who subject) (string, pair) { return own(who, nil, "_none") })
	nobody("another person's index", func(who subject) (string, pair) {
		person := h.login.Person
		session := h.login.Session
		h.login.Person = "p2"
		_, other := fresh()
		h.login.Person = person
		h.loggedIn(session)
		return own(who, nil, other.index)
	})
	nobody("another provider's qualifier", func(who subject) (string, pair) {
		return own(who, map[string]string{"SPNameQualifier": entityOf("second")})
	})
	nobody("another issuer's qualifier", func(who subject) (string, pair) {
		return own(who, map[string]string{"NameQualifier": originLGWAN + "/saml/metadata"})
	})
	nobody("a part that isn't understood", func(who subject) (string, pair) {
		doc, by := own(who, nil)
		return strings.Replace(doc, "</samlp:LogoutRequest>", `<x xmlns="urn:x"/></samlp:LogoutRequest>`, 1), by
	})
	return all
}

// logoutAnswers are attacks on the answers to our own requests: nothing is settled by them.
func logoutAnswers(t testing.TB, h *house, all map[string]func() string, fresh func() (identity.SessionID, subject)) {
	const asked = "front:delivered asked,second:unconfirmed unanswered"
	answer := func(name, reason string, made func(request string) (string, pair)) {
		all["logout: "+name] = func() string {
			id, who := fresh()
			b := h.newBrowser()
			s := b.open(slo + "?" + carry("SAMLRequest", h.wants("front", who, nil), "", h.own))
			var el *etree.Element
			if el, _ = h.carried(t, s.to, "SAMLRequest"); el == nil || !wire.Is(el, wire.NSProtocol, "LogoutRequest") {
				return fmt.Sprintf("the other provider isn't asked: %+v", s)
			}
			doc, by := made(path(t, el, "@ID"))
			said := h.outcome(attack{reason, func() result {
				s := b.open(slo + "?" + carry("SAMLResponse", doc, "", by))
				return result{status: s.status, problem: s.problem, incident: s.incident, to: s.to}
			}})
			if got := h.states(id); said == "" && got != asked {
				said = got
			}
			return said
		}
	}
	from := func(id policies.RelyingPartyID, by pair) func(string) (string, pair) {
		return func(request string) (string, pair) { return h.answers(id, request, nil), by }
	}
	answer("an unsigned answer", "signature_missing", from("second", pair{}))
	answer("another provider's answer", "answer_unasked", from("front", h.own))
	answer("an answer by another's key", "signature_invalid", from("second", h.two))
	answer("an answer to what wasn't asked", "answer_unasked", func(string) (string, pair) { return h.answers("second", "_unknown", nil), h.own })
	answer("an answer that is late", "answer_late", func(request string) (string, pair) {
		h.forward(15 * time.Minute)
		return h.answers("second", request, nil), h.own
	})
}
