package samlsp

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

const statusPartial = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"

// logout ends the person's session here and then, where the product has single logout, at the provider (SAML 2.0 Profiles, section 4.4.3).
func (p *Party) logout(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxEncoded)
	x, ok := p.Current(r)
	if !ok {
		p.Pages.LoggedOut(w, r, visitor.HereAlone)
		return
	}
	if !p.CheckForm(w, r, x) {
		return
	}
	p.Drop(w, r)
	s, ok := p.settings()
	if p.opt.Habits.Logout == "" {
		p.Pages.LoggedOut(w, r, visitor.NotOffered)
		return
	}
	id, err := p.newID()
	browser, err2 := p.Browser(w, r, visitor.PostedCookie)
	if !ok || s.LogoutURL == "" || err != nil || err2 != nil {
		p.Pages.LoggedOut(w, r, visitor.HereAlone)
		return
	}
	el := p.message("LogoutRequest", id, s.LogoutURL, s.entity)
	name := el.CreateElement("saml:NameID")
	if x.Proof != "" {
		name.CreateAttr("Format", x.Proof)
	}
	name.SetText(x.Subject)
	if x.Index != "" {
		el.CreateElement("samlp:SessionIndex").SetText(x.Index)
	}
	relay, err := p.Secret()
	to := ""
	if err == nil {
		to, err = p.redirectTo(s.LogoutURL, "SAMLRequest", el, relay, p.signs(s))
	}
	if err != nil {
		p.Pages.LoggedOut(w, r, visitor.HereAlone)
		return
	}
	p.store.begin(id, pending{logout: true, browser: visitor.DigestOf(browser), relay: relay, begun: p.Now()})
	p.Leave(w, r, to)
}

// carried is a message of the provider about a logout.
type carried struct {
	root  *etree.Element
	relay string
}

// logoutMessage takes a LogoutRequest, or the answer to one, by either binding.
func (p *Party) logoutMessage(w http.ResponseWriter, r *http.Request) {
	s, ok := p.settings()
	if !ok {
		p.Refuse(w, r, &Refusal{Status: http.StatusServiceUnavailable, Reason: NotConfigured})
		return
	}
	m, no := p.receive(w, r, s)
	if no == "" {
		no = p.addressed(m.root, s)
	}
	switch {
	case no != "":
		p.Refuse(w, r, &Refusal{Status: http.StatusBadRequest, Reason: no})
	case is(m.root, nsProtocol, "LogoutRequest"):
		p.endByRequest(w, r, m, s)
	case is(m.root, nsProtocol, "LogoutResponse"):
		p.ended(w, r, m)
	default:
		p.Refuse(w, r, &Refusal{Status: http.StatusBadRequest, Reason: MessageMalformed})
	}
}

// receive reads a message that the provider has signed; nothing of one that it hasn't (Profiles, section 4.4.4).
func (p *Party) receive(w http.ResponseWriter, r *http.Request, s entered) (m carried, no Reason) {
	if r.Method == http.MethodGet {
		return p.receiveQuery(r.URL.RawQuery, s)
	}
	r.Body = http.MaxBytesReader(w, r.Body, 2*maxEncoded)
	if r.ParseForm() != nil {
		return m, MessageMalformed
	}
	ask, ok1 := one(r.PostForm, "SAMLRequest")
	answer, ok2 := one(r.PostForm, "SAMLResponse")
	relay, ok3 := one(r.PostForm, "RelayState")
	if !ok1 || !ok2 || !ok3 || (ask == "") == (answer == "") {
		return m, MessageMalformed
	}
	raw, no := decode(ask + answer)
	if no != "" {
		return m, no
	}
	root, no := read(raw)
	switch {
	case no != "":
		return m, no
	case signatures(root) == 0:
		return m, LogoutUnsigned
	case signatures(root) > 1:
		return m, SignatureForm
	}
	m.relay = relay
	m.root, no = signed(root, s.cert, p.Now())
	return m, no
}

// receiveQuery reads a message of the redirect binding. What is signed are the octets that were sent, in the order of the standard.
func (p *Party) receiveQuery(query string, s entered) (m carried, no Reason) {
	if len(query) > maxEncoded {
		return m, MessageTooLarge
	}
	parts := map[string]string{} // as they were sent
	for _, pair := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if _, twice := parts[name]; twice || name == "" {
			return m, MessageMalformed
		}
		parts[name] = value
	}
	kind := "SAMLRequest"
	if _, ok := parts[kind]; !ok {
		kind = "SAMLResponse"
	}
	sent, ok := parts[kind]
	_, both := parts["SAMLResponse"]
	if !ok || both && kind == "SAMLRequest" {
		return m, MessageMalformed
	}
	if parts["Signature"] == "" || parts["SigAlg"] == "" {
		return m, LogoutUnsigned
	}
	octets := kind + "=" + sent
	if relay, ok := parts["RelayState"]; ok {
		octets += "&RelayState=" + relay
	}
	octets += "&SigAlg=" + parts["SigAlg"]
	plain := map[string]string{}
	for _, name := range []string{kind, "RelayState", "SigAlg", "Signature"} {
		value, err := url.QueryUnescape(parts[name])
		if err != nil {
			return m, MessageMalformed
		}
		plain[name] = value
	}
	signature, err := base64.StdEncoding.DecodeString(plain["Signature"])
	if err != nil {
		return m, MessageMalformed
	}
	if no := signedOctets(octets, plain["SigAlg"], signature, s.cert, p.Now()); no != "" {
		return m, no
	}
	raw, no := decode(plain[kind])
	if no == "" {
		raw, no = inflate(raw)
	}
	if no == "" {
		m.root, no = read(raw)
	}
	if no == "" && signatures(m.root) > 0 {
		no = SignatureForm // Bindings, section 3.4.4.1: it is taken out before
	}
	m.relay = plain["RelayState"]
	return m, no
}

// addressed checks whom a signed message is of, for whom, and how old it is.
func (p *Party) addressed(root *etree.Element, s entered) Reason {
	issuer := only(root, nsAssertion, "Issuer")
	switch {
	case attrOf(root, "Version") != "2.0":
		return MessageVersion
	case issuer == nil || !names(issuer, s.Issuer):
		return ResponseIssuer
	case attrOf(root, "Destination") != p.opt.BaseURL+p.opt.Habits.Logout:
		return Destination
	}
	return timely(root, p.Now())
}

// endByRequest ends sessions at the provider's word (Profiles, section 4.4.3.3), and sends the browser back with the answer. The browser's own
// session doesn't count: the request names the session, and in a frame of the provider's there are no cookies.
func (p *Party) endByRequest(w http.ResponseWriter, r *http.Request, m carried, s entered) {
	now := p.Now()
	name := text(only(m.root, nsAssertion, "NameID"))
	id := attrOf(m.root, "ID")
	if until, there := attr(m.root, "NotOnOrAfter"); there {
		if at, ok := instant(until); !ok || !now.Before(at) {
			p.Refuse(w, r, &Refusal{Status: http.StatusBadRequest, Reason: Expired})
			return
		}
	}
	no := Reason("")
	if id == "" || name == "" {
		no = NoNameID
	} else {
		no = p.store.once(id, now.Add(maxAge+ahead), now)
	}
	if no != "" {
		p.Refuse(w, r, &Refusal{Status: http.StatusBadRequest, Reason: no})
		return
	}
	var indexes []string
	for _, x := range children(m.root, nsProtocol, "SessionIndex") {
		indexes = append(indexes, text(x))
	}
	n := p.End(func(x *visitor.Session) bool {
		if x.Subject != name {
			return false
		}
		for _, index := range indexes {
			if x.Index == index {
				return true
			}
		}
		return len(indexes) == 0
	})
	p.Logger.InfoContext(r.Context(), "sessions ended by the provider", slog.String("site", p.Name), slog.Int("sessions", n))
	answer, err := p.newID()
	if err != nil || s.LogoutURL == "" {
		p.Pages.LoggedOut(w, r, visitor.HereAlone)
		return
	}
	el := p.message("LogoutResponse", answer, s.LogoutURL, s.entity)
	el.CreateAttr("InResponseTo", id)
	el.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", statusSuccess)
	to, err := p.redirectTo(s.LogoutURL, "SAMLResponse", el, m.relay, p.signs(s))
	if err != nil {
		p.Pages.LoggedOut(w, r, visitor.HereAlone)
		return
	}
	// The provider may ask in a frame of its own page.
	h := w.Header()
	h.Del("X-Frame-Options")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+originOf(s.LogoutURL))
	http.Redirect(w, r, to, http.StatusFound)
}

// originOf gives the origin of an address that was checked.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "'none'"
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

// ended takes the provider's answer to a logout that began here.
func (p *Party) ended(w http.ResponseWriter, r *http.Request, m carried) {
	request := attrOf(m.root, "InResponseTo")
	begun, no := p.store.find(request, p.Cookie(r, visitor.PostedCookie), true, p.Now())
	if no == "" && begun.relay != m.relay {
		no = RelayState
	}
	if _, in := p.Current(r); no != "" || in {
		http.Redirect(w, r, p.Home, http.StatusSeeOther)
		return
	}
	p.store.drop(request)
	first := only(only(m.root, nsProtocol, "Status"), nsProtocol, "StatusCode")
	how := visitor.HereAlone
	if first != nil {
		second := only(first, nsProtocol, "StatusCode")
		switch {
		case second != nil && attrOf(second, "Value") == statusPartial:
			how = visitor.Partly
		case attrOf(first, "Value") == statusSuccess:
			how = visitor.Everywhere
		}
	}
	p.Pages.LoggedOut(w, r, how)
}

// metadata gives this site's metadata (SAML 2.0 Metadata, section 2.4.4).
func (p *Party) metadata(w http.ResponseWriter, _ *http.Request) {
	raw, err := p.Metadata()
	if err != nil {
		http.Error(w, "no metadata", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = w.Write(raw)
}

// Metadata gives this site's metadata; an error where the product publishes none.
func (p *Party) Metadata() ([]byte, error) {
	if p.opt.Habits.Metadata == "" {
		return nil, errors.New("samlsp: this product publishes no metadata")
	}
	return octets(p.describe())
}

func (p *Party) describe() *etree.Element {
	d := p.Describe()
	el := etree.NewElement("md:EntityDescriptor")
	el.CreateAttr("xmlns:md", nsMetadata)
	el.CreateAttr("entityID", d.EntityID)
	role := el.CreateElement("md:SPSSODescriptor")
	role.CreateAttr("protocolSupportEnumeration", nsProtocol)
	role.CreateAttr("AuthnRequestsSigned", map[bool]string{true: "true", false: "false"}[d.Signed])
	s, _ := p.settings()
	role.CreateAttr("WantAssertionsSigned", map[bool]string{true: "true", false: "false"}[s.AssertionSigned || s.Certificate == ""])
	if len(d.Certificate) > 0 {
		key := role.CreateElement("md:KeyDescriptor")
		key.CreateAttr("use", "signing")
		info := key.CreateElement("ds:KeyInfo")
		info.CreateAttr("xmlns:ds", nsSignature)
		info.CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(d.Certificate))
	}
	if d.Logout != "" {
		for _, b := range []string{bindingRedirect, bindingPOST} {
			x := role.CreateElement("md:SingleLogoutService")
			x.CreateAttr("Binding", b)
			x.CreateAttr("Location", d.Logout)
		}
	}
	if d.NameID != "" {
		role.CreateElement("md:NameIDFormat").SetText(d.NameID)
	}
	x := role.CreateElement("md:AssertionConsumerService")
	x.CreateAttr("Binding", bindingPOST)
	x.CreateAttr("Location", d.Consumer)
	x.CreateAttr("index", "0")
	x.CreateAttr("isDefault", "true")
	return el
}
