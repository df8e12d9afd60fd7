package samlidp

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

// message is a request as it came in, before anything is believed.
type message struct {
	root   *etree.Element
	relay  string
	answer bool // it came as SAMLResponse

	// Of the redirect binding: what was signed is the text of the query, not of the document.
	redirect  bool
	octets    []byte
	algorithm string
	signature []byte
}

// field is a parameter as it was sent and as it reads.
type field struct{ raw, text string }

// fields takes SAML's own parameters apart. Each may stand there once; others aren't looked at. A name counts only as it is written: one that
// is percent-encoded is another name here and can't come twice. There is one message: a request, or where answers are taken a response; under the
// empty name stands which.
func fields(query string, answers bool) (map[string]field, *fault) {
	out := map[string]field{}
	for part := range strings.SplitSeq(query, "&") {
		name, raw, _ := strings.Cut(part, "=")
		switch name {
		case "SAMLRequest", "SAMLResponse", "SAMLEncoding", "RelayState", "SigAlg", "Signature":
		default:
			continue
		}
		if _, twice := out[name]; twice {
			return nil, bad("params_repeated")
		}
		text, err := url.QueryUnescape(raw)
		if err != nil || len(text) > maxEncoded {
			return nil, bad("params_malformed")
		}
		out[name] = field{raw, text}
	}
	_, asked := out["SAMLRequest"]
	_, answered := out["SAMLResponse"]
	name := "SAMLRequest"
	if answers && answered && !asked {
		name = "SAMLResponse"
	}
	if out[name].text == "" {
		return nil, bad("request_missing")
	}
	if asked && answered {
		return nil, bad("params_malformed")
	}
	out[""] = field{raw: name}
	return out, nil
}

// readRedirect reads a request of the redirect binding (SAML 2.0 Bindings, section 3.4.4).
func readRedirect(query string) (message, *fault) { return readQuery(query, false) }

// readQuery is readRedirect where answers may be taken, too.
func readQuery(query string, answers bool) (message, *fault) {
	if len(query) > maxQuery {
		return message{}, bad("params_long")
	}
	in, f := fields(query, answers)
	if f != nil {
		return message{}, f
	}
	if e, ok := in["SAMLEncoding"]; ok && e.text != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" {
		return message{}, bad("encoding")
	}
	name := in[""].raw
	m := message{redirect: true, relay: in["RelayState"].text, answer: name == "SAMLResponse"}
	if f := checkRelay(m.relay); f != nil {
		return message{}, f
	}
	_, signed := in["Signature"]
	if _, ok := in["SigAlg"]; ok != signed {
		return message{}, bad("signature_shape")
	}
	if signed {
		// What is signed is what was sent, in this order whatever the order in the query (section 3.4.4.1).
		octets := name + "=" + in[name].raw
		if r, ok := in["RelayState"]; ok {
			octets += "&RelayState=" + r.raw
		}
		m.octets, m.algorithm = []byte(octets+"&SigAlg="+in["SigAlg"].raw), in["SigAlg"].text
		var err error
		if m.signature, err = base64.StdEncoding.DecodeString(in["Signature"].text); err != nil {
			return message{}, bad("signature_shape")
		}
	}
	packed, err := base64.StdEncoding.DecodeString(in[name].text)
	if err != nil {
		return message{}, bad("base64")
	}
	doc, f := inflate(packed)
	if f != nil {
		return message{}, f
	}
	return m.parse(doc)
}

// inflate unpacks up to the size of a message: what unpacks to more (CVE-2023-28119) is refused there, whatever it would become.
func inflate(packed []byte) ([]byte, *fault) {
	in := bytes.NewReader(packed)
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(in), int64(wire.MessageLimits.Bytes)+1))
	switch {
	case len(out) > wire.MessageLimits.Bytes:
		return nil, bad("xml_large")
	case err != nil || in.Len() > 0:
		return nil, bad("deflate")
	}
	return out, nil
}

// readPost reads a request of the POST binding (section 3.5.4).
func readPost(r *http.Request) (message, *fault) { return readForm(r, false) }

// readForm is readPost where answers may be taken, too.
func readForm(r *http.Request, answers bool) (message, *fault) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
		return message{}, bad("content_type")
	}
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return message{}, &fault{http: http.StatusRequestEntityTooLarge, reason: "params_long"}
	}
	if err != nil {
		return message{}, bad("body_unread")
	}
	in, f := fields(string(body), answers)
	if f != nil {
		return message{}, f
	}
	name := in[""].raw
	m := message{relay: in["RelayState"].text, answer: name == "SAMLResponse"}
	if f := checkRelay(m.relay); f != nil {
		return message{}, f
	}
	doc, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(in[name].text), "")) // lines are usual here
	if err != nil {
		return message{}, bad("base64")
	}
	return m.parse(doc)
}

func (m message) parse(doc []byte) (message, *fault) {
	var err error
	if m.root, err = wire.Parse(doc, wire.MessageLimits); err != nil {
		return message{}, xmlFault(err)
	}
	return m, nil
}

// checkRelay bounds RelayState: it goes back as it came, and means nothing here.
func checkRelay(text string) *fault {
	if len(text) > maxRelay {
		return bad("relay_state_long")
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return bad("relay_state_malformed")
	}
	return nil
}
