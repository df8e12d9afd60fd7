package samlsp

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

const (
	ahead     = time.Minute      // how far the provider's clock may be ahead
	maxAge    = 10 * time.Minute // since a message was issued
	maxLife   = 24 * time.Hour   // of an assertion, which is remembered for so long
	maxNameID = 256
)

// wanted is what a response must fit.
type wanted struct {
	issuer, entity, consumer string
	request                  string // ID of the request; "" for a login that began at the provider
	cert                     *x509.Certificate
	response, assertion      bool // what has to be signed
	either                   bool // or one of both
	required                 []string
	now                      time.Time
}

// assertion is what an assertion says, all of it signed.
type assertion struct {
	id           string
	name, format string // NameID
	qualifiers   [2]string
	attributes   []visitor.Fact
	context      string
	index        string
	issued, ends time.Time // ends: SessionNotOnOrAfter, zero for none
	until        time.Time // it counts for so long
}

// one gives an attribute's only value, "" where there is none or more than one.
func (a assertion) one(name string) string {
	for _, f := range a.attributes {
		if f.Name == name && len(f.Values) == 1 {
			return f.Values[0]
		}
	}
	return ""
}

// address says whether a text is a bare e-mail address.
func address(text string) bool {
	parsed, err := mail.ParseAddress(text)
	return err == nil && parsed.Address == text && parsed.Name == ""
}

func refused(no Reason) *Refusal { return visitor.Refuse(no) }

// judge says what a response tells, or why it isn't taken. It is pure: that an assertion is new is checked where they are kept.
func judge(root *etree.Element, want wanted) (assertion, *Refusal) {
	if !is(root, nsProtocol, "Response") {
		return assertion{}, refused(MessageMalformed)
	}
	root, wrapped, no := authentic(root, want)
	if no != "" {
		return assertion{}, refused(no)
	}
	if no := envelope(root, want, wrapped); no != "" {
		return assertion{}, refused(no)
	}
	if no := status(root, wrapped); no != nil {
		return assertion{}, no
	}
	inner := only(root, nsAssertion, "Assertion")
	if signatures(inner) > 0 {
		var no Reason
		if inner, no = signed(inner, want.cert, want.now); no != "" {
			return assertion{}, refused(no)
		}
	}
	a, no := statement(inner, want)
	if no != "" {
		return a, refused(no)
	}
	for _, name := range want.required {
		if a.one(name) == "" {
			return a, &Refusal{Status: http.StatusForbidden, Reason: AttributeMissing, Code: name}
		}
	}
	return a, nil
}

// authentic holds that what has to be signed carries a signature, and that there is none anywhere else. It checks that of the response: wrapped
// says that there was one, so that all of root is the provider's word.
func authentic(root *etree.Element, want wanted) (*etree.Element, bool, Reason) {
	if len(children(root, nsAssertion, "EncryptedAssertion")) > 0 {
		return nil, false, MessageEncrypted
	}
	inner := children(root, nsAssertion, "Assertion")
	outer, all := len(children(root, nsSignature, "Signature")), signatures(root)
	within := 0
	for _, a := range inner {
		within += len(children(a, nsSignature, "Signature"))
	}
	success := len(inner) > 0
	switch {
	case len(inner) > 1 || outer > 1 || within > 1 || all != outer+within:
		return nil, false, SignatureForm
	case outer == 0 && (want.response || !success): // a refusal that nobody has signed is nobody's word
		return nil, false, ResponseUnsigned
	case within == 0 && success && want.assertion:
		return nil, false, AssertionUnsigned
	case outer == 0 && within == 0:
		return nil, false, ResponseUnsigned
	case outer == 0:
		return root, false, ""
	}
	got, no := signed(root, want.cert, want.now)
	return got, true, no
}

// envelope checks what the response says of itself.
func envelope(root *etree.Element, want wanted, wrapped bool) Reason {
	to, there := attr(root, "Destination")
	answers := attrOf(root, "InResponseTo")
	issuers := children(root, nsAssertion, "Issuer")
	switch {
	case attrOf(root, "Version") != "2.0":
		return MessageVersion
	case len(issuers) > 1 || len(issuers) == 1 && !names(issuers[0], want.issuer):
		return ResponseIssuer
	case there && to != want.consumer || !there && wrapped: // Bindings, section 3.5.5.2
		return Destination
	case answers != want.request:
		return InResponseTo
	}
	return timely(root, want.now)
}

// names says whether an Issuer is this entity.
func names(issuer *etree.Element, entity string) bool {
	format, there := attr(issuer, "Format")
	return text(issuer) == entity && (!there || format == formatEntity)
}

// timely checks when a message was issued.
func timely(el *etree.Element, now time.Time) Reason {
	at, ok := instant(attrOf(el, "IssueInstant"))
	switch {
	case !ok:
		return MessageMalformed
	case at.After(now.Add(ahead)):
		return Early
	case at.Before(now.Add(-maxAge)):
		return Stale
	}
	return ""
}

// instant reads a time as SAML writes it, in UTC (Core, section 1.3.3).
func instant(text string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil && strings.HasSuffix(text, "Z")
}

// status reads how the login ended; nil for well. Only a signed refusal has details.
func status(root *etree.Element, wrapped bool) *Refusal {
	said := only(root, nsProtocol, "Status")
	first := only(said, nsProtocol, "StatusCode")
	if first == nil {
		return refused(MessageMalformed)
	}
	if attrOf(first, "Value") == statusSuccess {
		if only(root, nsAssertion, "Assertion") == nil {
			return refused(MessageMalformed)
		}
		return nil
	}
	no := &Refusal{Status: http.StatusForbidden, Reason: visitor.ProviderError, Code: word(first)}
	if second := only(first, nsProtocol, "StatusCode"); second != nil {
		no.Code = word(second)
	}
	if wrapped {
		no.Incident = visitor.IncidentIn(text(only(said, nsProtocol, "StatusMessage")))
	}
	if no.Code == "Responder" {
		no.Status = http.StatusBadGateway
	}
	return no
}

// word gives the last part of a status code.
func word(code *etree.Element) string {
	value := attrOf(code, "Value")
	value = value[strings.LastIndex(value, ":")+1:]
	if value == "" || len(value) > 40 || strings.ContainsFunc(value, func(r rune) bool { return r|0x20 < 'a' || r|0x20 > 'z' }) {
		return "unknown"
	}
	return value
}

// statement reads an assertion that is signed, or stands in a signed response (SAML 2.0 Profiles, section 4.1.4.3).
func statement(el *etree.Element, want wanted) (a assertion, no Reason) {
	issuer := only(el, nsAssertion, "Issuer")
	switch {
	case attrOf(el, "Version") != "2.0":
		return a, MessageVersion
	case issuer == nil || !names(issuer, want.issuer):
		return a, ResponseIssuer
	}
	if a.id = attrOf(el, "ID"); a.id == "" || len(a.id) > maxNameID {
		return a, MessageMalformed
	}
	if no := timely(el, want.now); no != "" {
		return a, no
	}
	a.issued, _ = instant(attrOf(el, "IssueInstant"))
	for _, part := range []func(*etree.Element, wanted, *assertion) Reason{conditions, subject, authentication, attributes} {
		if no := part(el, want, &a); no != "" {
			return a, no
		}
	}
	return a, ""
}

// window checks NotBefore and NotOnOrAfter; need says that an end must be there.
func window(el *etree.Element, now time.Time, need bool) (until time.Time, no Reason) {
	if text, there := attr(el, "NotBefore"); there {
		at, ok := instant(text)
		switch {
		case !ok:
			return until, MessageMalformed
		case now.Add(ahead).Before(at):
			return until, Early
		}
	}
	text, there := attr(el, "NotOnOrAfter")
	if !there {
		if need {
			return until, Expired
		}
		return until, ""
	}
	until, ok := instant(text)
	switch {
	case !ok || until.After(now.Add(maxLife)):
		return until, MessageMalformed
	case !now.Before(until):
		return until, Expired
	}
	return until, ""
}

// conditions checks how long and for whom an assertion is (Core, section 2.5). A condition that isn't known isn't met.
func conditions(el *etree.Element, want wanted, a *assertion) Reason {
	c := only(el, nsAssertion, "Conditions")
	if c == nil {
		return Audience
	}
	var no Reason
	if a.until, no = window(c, want.now, true); no != "" {
		return no
	}
	audience := false
	for _, x := range c.ChildElements() {
		switch {
		case is(x, nsAssertion, "AudienceRestriction"):
			if !slices.ContainsFunc(children(x, nsAssertion, "Audience"), func(y *etree.Element) bool { return text(y) == want.entity }) {
				return Audience
			}
			audience = true
		case is(x, nsAssertion, "OneTimeUse"), is(x, nsAssertion, "ProxyRestriction"): // every assertion is used once here, and passed on to nobody
		default:
			return ConditionUnknown
		}
	}
	if !audience {
		return Audience
	}
	return ""
}

// subject reads whom an assertion is about, and checks that it was given to this site for this login (Profiles, section 4.1.4.2).
func subject(el *etree.Element, want wanted, a *assertion) Reason {
	s := only(el, nsAssertion, "Subject")
	name := only(s, nsAssertion, "NameID")
	if a.name = text(name); name == nil || a.name == "" || len(a.name) > maxNameID {
		return NoNameID
	}
	a.format, a.qualifiers = attrOf(name, "Format"), [2]string{attrOf(name, "NameQualifier"), attrOf(name, "SPNameQualifier")}
	if a.qualifiers[1] != "" && a.qualifiers[1] != want.entity {
		return Audience
	}
	no := Confirmation
	for _, c := range children(s, nsAssertion, "SubjectConfirmation") {
		if attrOf(c, "Method") != bearer {
			continue
		}
		if no = confirmed(only(c, nsAssertion, confirmation), want); no == "" {
			return ""
		}
	}
	return no
}

func confirmed(data *etree.Element, want wanted) Reason {
	if data == nil {
		return Confirmation
	}
	_, early := attr(data, "NotBefore")
	_, no := window(data, want.now, true)
	switch {
	case attrOf(data, "Recipient") != want.consumer:
		return Recipient
	case attrOf(data, "InResponseTo") != want.request:
		return InResponseTo
	case early: // it must not be there
		return Confirmation
	}
	return no
}

// authentication reads how and when the person logged in (Core, section 2.7.2).
func authentication(el *etree.Element, want wanted, a *assertion) Reason {
	said := children(el, nsAssertion, "AuthnStatement")
	if len(said) == 0 {
		return NoAuthentication
	}
	at, ok := instant(attrOf(said[0], "AuthnInstant"))
	class := only(only(said[0], nsAssertion, "AuthnContext"), nsAssertion, "AuthnContextClassRef")
	switch {
	case !ok || class == nil || len(said) > 1:
		return NoAuthentication
	case at.After(want.now.Add(ahead)):
		return Early
	}
	a.context, a.index = text(class), attrOf(said[0], "SessionIndex")
	if end, there := attr(said[0], "SessionNotOnOrAfter"); there {
		if a.ends, ok = instant(end); !ok {
			return MessageMalformed
		}
		if !want.now.Before(a.ends) {
			return Expired
		}
	}
	return ""
}

// attributes reads what else is said of the person.
func attributes(el *etree.Element, _ wanted, a *assertion) Reason {
	for _, s := range children(el, nsAssertion, "AttributeStatement") {
		if len(children(s, nsAssertion, "EncryptedAttribute")) > 0 {
			return MessageEncrypted
		}
		for _, x := range children(s, nsAssertion, "Attribute") {
			f := visitor.Fact{Name: attrOf(x, "Name")}
			if f.Name == "" || len(f.Name) > maxNameID {
				return MessageMalformed
			}
			if slices.ContainsFunc(a.attributes, func(y visitor.Fact) bool { return y.Name == f.Name }) {
				return AttributeTwice
			}
			for _, v := range children(x, nsAssertion, "AttributeValue") {
				if len(v.ChildElements()) > 0 || len(text(v)) > maxText {
					return MessageMalformed
				}
				f.Values = append(f.Values, text(v))
			}
			a.attributes = append(a.attributes, f)
		}
	}
	return ""
}

// facts is what a page shows of an assertion.
func (a assertion) facts() []visitor.Fact {
	list := []visitor.Fact{{Name: "NameID", Values: []string{a.name}}, {Name: "NameID Format", Values: []string{a.format}}}
	if a.qualifiers != [2]string{} {
		list = append(list, visitor.Fact{Name: "NameQualifier / SPNameQualifier", Values: []string{fmt.Sprintf("%s / %s", a.qualifiers[0], a.qualifiers[1])}})
	}
	list = append(list, visitor.Fact{Name: "AuthnContextClassRef", Values: []string{a.context}}, visitor.Fact{Name: "SessionIndex", Values: []string{a.index}})
	if !a.ends.IsZero() {
		list = append(list, visitor.Fact{Name: "SessionNotOnOrAfter", Values: []string{a.ends.UTC().Format(time.RFC3339)}})
	}
	return append(list, a.attributes...)
}
