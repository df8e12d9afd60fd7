package wire

import (
	"github.com/beevik/etree"
)

// NSSOAP is the namespace of SOAP 1.1 envelopes.
const NSSOAP = "http://schemas.xmlsoap.org/soap/envelope/"

// Body gives the one message in the body of a SOAP 1.1 envelope, alone (SAML 2.0 Bindings, section 3.2.2.1). Headers are passed over; one that has to
// be understood is refused, as is anything beside header and body, a second body, a second message, a fault.
func Body(envelope *etree.Element) (*etree.Element, error) {
	bad := func(text string) (*etree.Element, error) { return nil, &Fault{"soap_shape", text, 0} }
	if !Is(envelope, NSSOAP, "Envelope") {
		return bad("the outermost element isn't a SOAP 1.1 Envelope")
	}
	parts := envelope.ChildElements()
	if len(parts) > 0 && Is(parts[0], NSSOAP, "Header") {
		for _, h := range parts[0].ChildElements() {
			for _, a := range h.Attr {
				if a.Key == "mustUnderstand" && a.NamespaceURI() == NSSOAP && a.Value != "0" {
					return nil, &Fault{"soap_must_understand", "no header is understood here", 0}
				}
			}
		}
		parts = parts[1:]
	}
	if len(parts) != 1 || !Is(parts[0], NSSOAP, "Body") {
		return bad("the envelope must have one Body, and nothing but a Header before it")
	}
	inside := parts[0].ChildElements()
	if len(inside) != 1 {
		return bad("the Body must have one message")
	}
	if Is(inside[0], NSSOAP, "Fault") {
		return nil, &Fault{"soap_fault", "the other side answered with a SOAP fault", 0}
	}
	return detach(inside[0]), nil
}

// detach copies el out of its document, with the namespaces that it has from outside. Exclusive canonical XML, the only one taken, writes those alone
// that are used: what was signed inside reads the same outside.
func detach(el *etree.Element) *etree.Element {
	alone := el.Copy()
	for up := el.Parent(); up != nil; up = up.Parent() {
		for _, a := range up.Attr {
			prefix, name := "", a.FullKey()
			switch {
			case a.Space == "xmlns":
				prefix = a.Key
			case a.Space == "" && a.Key == "xmlns":
			default:
				continue
			}
			if declared(alone, prefix) {
				continue
			}
			alone.CreateAttr(name, a.Value)
		}
	}
	return alone
}

func declared(el *etree.Element, prefix string) bool {
	for _, a := range el.Attr {
		if a.Space == "xmlns" && a.Key == prefix || prefix == "" && a.Space == "" && a.Key == "xmlns" {
			return true
		}
	}
	return false
}

// Envelope puts a message into a SOAP 1.1 envelope.
func Envelope(message *etree.Element) *etree.Element {
	el := etree.NewElement("soap:Envelope")
	el.CreateAttr("xmlns:soap", NSSOAP)
	el.CreateElement("soap:Body").AddChild(message)
	return el
}

// SOAPFault is the answer to what can't be read or believed (SOAP 1.1, section 4.4). The text holds nothing of the request.
func SOAPFault(code, text string) *etree.Element {
	f := etree.NewElement("soap:Fault")
	f.CreateElement("faultcode").SetText("soap:" + code)
	f.CreateElement("faultstring").SetText(text)
	return Envelope(f)
}
