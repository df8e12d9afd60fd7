package samlidp

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

const statusPartial = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"

// started writes what each logout message has.
func started(name, id, issuer, destination string, at int64) *etree.Element {
	el := etree.NewElement("samlp:" + name)
	el.CreateAttr("xmlns:samlp", wire.NSProtocol)
	el.CreateAttr("ID", id)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", instant(at))
	if destination != "" {
		el.CreateAttr("Destination", destination)
	}
	issued := el.CreateElement("saml:Issuer")
	issued.CreateAttr("xmlns:saml", wire.NSAssertion)
	issued.SetText(issuer)
	return el
}

// logoutRequest asks a provider to end a session (SAML 2.0 Core, section 3.7.1), by the name and index that its assertion had.
func logoutRequest(id, issuer, destination string, rp sp.SP, l Logout, at int64) *etree.Element {
	el := started("LogoutRequest", id, issuer, destination, at)
	el.CreateAttr("NotOnOrAfter", instant(at+requestLife.Microseconds()))
	name := el.CreateElement("saml:NameID")
	name.CreateAttr("xmlns:saml", wire.NSAssertion)
	name.CreateAttr("Format", string(l.format))
	if l.format != sp.NameIDEmail {
		name.CreateAttr("NameQualifier", issuer)
		name.CreateAttr("SPNameQualifier", rp.EntityID)
	}
	name.SetText(l.name)
	el.CreateElement("samlp:SessionIndex").SetText(l.index)
	return el
}

// logoutResponse answers a provider's request. status is a second-level code; empty: everything ended. A partial logout is a success of which
// the second level says that it isn't whole (Core, section 3.7.3.2).
func logoutResponse(id, issuer, destination, request, status, incident string, at int64) *etree.Element {
	el := started("LogoutResponse", id, issuer, destination, at)
	el.CreateAttr("InResponseTo", request)
	s := el.CreateElement("samlp:Status")
	code := s.CreateElement("samlp:StatusCode")
	switch status {
	case "", statusPartial:
		code.CreateAttr("Value", statusSuccess)
	case statusPrincipal:
		code.CreateAttr("Value", statusRequester)
	default:
		code.CreateAttr("Value", topStatus(status))
	}
	if status != "" {
		code.CreateElement("samlp:StatusCode").CreateAttr("Value", status)
	}
	if incident != "" {
		s.CreateElement("samlp:StatusMessage").SetText("incident " + incident)
	}
	return el
}

// outcomeOf reads the status of a provider's LogoutResponse: what its answer makes of a logout.
func outcomeOf(root *etree.Element) (state LogoutState, why string, f *fault) {
	all := wire.Children(root, wire.NSProtocol, "Status")
	if len(all) != 1 {
		return "", "", bad("status_malformed")
	}
	codes := wire.Children(all[0], wire.NSProtocol, "StatusCode")
	if len(codes) != 1 || wire.Attr(codes[0], "Value") == "" {
		return "", "", bad("status_malformed")
	}
	inner := wire.Children(codes[0], wire.NSProtocol, "StatusCode")
	if len(inner) > 1 {
		return "", "", bad("status_malformed")
	}
	second := ""
	if len(inner) == 1 {
		second = wire.Attr(inner[0], "Value")
	}
	switch {
	case second == statusPartial: // below Success with some, below Responder with others: it has ended its own
		return LogoutPartial, "partial", nil
	case wire.Attr(codes[0], "Value") == statusSuccess:
		return LogoutDelivered, "", nil
	case second == statusPrincipal: // it holds no such session
		return LogoutDelivered, "unknown_there", nil
	}
	return LogoutFailed, "refused", nil
}

// whereTo chooses where a provider is told by the front channel: redirect before POST, which takes a press of a button.
func whereTo(face sp.Face) (sp.Endpoint, bool) {
	for _, binding := range []string{sp.BindingRedirect, sp.BindingPOST} {
		if e, ok := logoutAt(face, binding); ok {
			return e, true
		}
	}
	return sp.Endpoint{}, false
}

// whereBack chooses where a provider's request is answered: by the binding that it used, where it takes answers by that.
func whereBack(face sp.Face, used string) (sp.Endpoint, bool) {
	if e, ok := logoutAt(face, used); ok {
		return e, true
	}
	return whereTo(face)
}

func logoutAt(face sp.Face, binding string) (sp.Endpoint, bool) {
	i := slices.IndexFunc(face.Logout, func(e sp.Endpoint) bool { return e.Binding == binding })
	if i < 0 {
		return sp.Endpoint{}, false
	}
	return face.Logout[i], true
}

// carry signs a message and makes of it what takes the browser to a provider: an address, or a form. name is SAMLRequest or SAMLResponse.
func (p *Provider) carry(by signing, binding, location, name, relay string, el *etree.Element) (login.Answer, error) {
	if binding == sp.BindingRedirect {
		address, err := p.redirectTo(by, location, name, relay, el)
		return login.Answer{Location: address}, err
	}
	if err := wire.Sign(el, by.signer, by.certificate); err != nil {
		return login.Answer{}, err
	}
	doc, err := wire.Bytes(el)
	if err != nil {
		return login.Answer{}, fmt.Errorf("samlidp: %w", err)
	}
	a := login.Answer{Location: location, Form: [][2]string{{name, base64.StdEncoding.EncodeToString(doc)}}}
	if relay != "" {
		a.Form = append(a.Form, [2]string{"RelayState", relay})
	}
	return a, nil
}

// redirectTo writes a message as the redirect binding does (SAML 2.0 Bindings, section 3.4.4.1), signed over the octets of the query.
func (p *Provider) redirectTo(by signing, location, name, relay string, el *etree.Element) (string, error) {
	doc, err := wire.Bytes(el)
	if err != nil {
		return "", fmt.Errorf("samlidp: %w", err)
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return "", fmt.Errorf("samlidp: %w", err)
	}
	_, err = w.Write(doc)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", fmt.Errorf("samlidp: %w", err)
	}
	query := name + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes()))
	if relay != "" {
		query += "&RelayState=" + url.QueryEscape(relay)
	}
	query += "&SigAlg=" + url.QueryEscape(wire.RSASHA256)
	sum := sha256.Sum256([]byte(query))
	sig, err := by.signer.Sign(p.opt.Random, sum[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("samlidp: sign: %w", err)
	}
	query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
	sep := "?"
	if strings.Contains(location, "?") {
		sep = "&"
	}
	return location + sep + query, nil
}
