package samlidp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

const (
	actionSLO  = "saml.slo"
	maxIndexes = 50 // sessions that one request names
)

// named is what a LogoutRequest names, once it is believed.
type named struct {
	id      string // of the request
	until   int64  // it has to be remembered
	value   string // of the NameID
	format  string // empty where it isn't said
	indexes []string
}

func (c *call) sloRedirected() {
	m, f := readQuery(c.r.URL.RawQuery, true)
	c.sloTake(m, f, sp.BindingRedirect)
}

func (c *call) sloPosted() {
	m, f := readForm(c.r, true)
	c.sloTake(m, f, sp.BindingPOST)
}

// sloTake takes a logout message of the front channel (SAML 2.0 Profiles, section 4.4): a provider's request, or its answer to ours.
func (c *call) sloTake(m message, f *fault, binding string) {
	if f != nil {
		c.page("", actionSLO, f)
		return
	}
	kind := "LogoutRequest"
	if m.answer {
		kind = "LogoutResponse"
	}
	p, face, root, f := c.proven(m, kind)
	if f != nil {
		c.page(p.ID, actionSLO, f)
		return
	}
	if m.answer {
		c.answered(p, root)
		return
	}
	n, f := c.names(root, p, c.slo())
	if f == nil || f.status != "" {
		if replay := c.once(p, n.id, n.until); replay != nil {
			f = replay
		}
	}
	if f != nil && f.status == "" {
		c.page(p.ID, actionSLO, f)
		return
	}
	facts := leaveFacts{Party: p.ID, Request: n.id, Relay: m.relay, Name: n.value, Format: n.format, Indexes: n.indexes}
	if back, ok := whereBack(face, binding); ok {
		facts.Answer, facts.Binding = back.Location, back.Binding
		if back.Response != "" {
			facts.Answer = back.Response
		}
	}
	if f != nil {
		c.answerLogout(facts, f.status, c.record(p.ID, actionSLO, f))
		return
	}
	// A form from elsewhere brings no cookies (SameSite=Lax): the browser comes by once more, with them.
	id, err := c.p.startLeave(c.w, c.r, c.network, leaveAsked, facts)
	if err != nil {
		c.page(p.ID, actionSLO, broken(err))
		return
	}
	http.Redirect(c.w, c.r, pathNext+id, http.StatusSeeOther)
}

// proven finds the sender of a logout message and checks its signature, which each of them has to have: who isn't known ends nobody's session. What
// it gives may be read.
func (c *call) proven(m message, kind string) (p sp.SP, face sp.Face, root *etree.Element, f *fault) {
	if !wire.Is(m.root, wire.NSProtocol, kind) {
		return p, face, nil, bad("request_kind")
	}
	name, f := issuerOf(m.root)
	if f != nil {
		return p, face, nil, f
	}
	p, err := c.p.opt.Parties.Entity(c.r.Context(), c.p.opt.DB.Reader(), name)
	if errors.Is(err, identity.ErrNotFound) {
		return p, face, nil, bad("party_unknown")
	}
	if err != nil {
		return p, face, nil, broken(err)
	}
	face, ok := p.Face(c.network)
	if !ok {
		return p, face, nil, bad("party_network")
	}
	root, f = verified(m, p, kind)
	return p, face, root, f
}

// verified checks a logout message's signature by the registered keys of p, its sender by its own word.
func verified(m message, p sp.SP, kind string) (*etree.Element, *fault) {
	inside := wire.Signed(m.root)
	if m.redirect && inside {
		return nil, bad("signature_shape") // Bindings, section 3.4.4.1: it is taken out before
	}
	if !inside && m.signature == nil {
		return nil, bad("signature_missing")
	}
	keys, err := p.SigningKeys()
	if err != nil {
		return nil, broken(err)
	}
	if m.redirect {
		if err := wire.VerifyOctets(m.octets, m.algorithm, m.signature, keys); err != nil {
			return nil, xmlFault(err)
		}
		return m.root, nil
	}
	root, err := wire.Verify(m.root, keys)
	if err != nil {
		return nil, xmlFault(err)
	}
	if name, f := issuerOf(root); f != nil || name != p.EntityID || !wire.Is(root, wire.NSProtocol, kind) {
		return nil, bad("signature_shape")
	}
	return root, nil
}

// names reads a LogoutRequest (SAML 2.0 Core, section 3.7.1). A fault with a status is told to the provider; the rest is known then.
func (c *call) names(root *etree.Element, p sp.SP, here string) (n named, f *fault) {
	if wire.Attr(root, "Destination") == "" && here == c.slo() {
		return n, bad("destination_missing") // Bindings, sections 3.4.5.2 and 3.5.5.2
	}
	if n.id, n.until, f = c.fresh(root, here); f != nil {
		return n, f
	}
	if text, ok := wire.Lookup(root, "NotOnOrAfter"); ok {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil || text[len(text)-1] != 'Z' {
			return n, bad("not_on_or_after")
		}
		if c.at >= t.Add(skew).UnixMicro() {
			return n, bad("request_expired")
		}
	}
	named := 0
	for _, el := range root.ChildElements() {
		switch {
		case wire.Is(el, wire.NSAssertion, "Issuer"), wire.Is(el, wire.NSProtocol, "Extensions"):
		case wire.Is(el, wire.NSAssertion, "NameID"):
			named++
			if f := c.nameID(el, p, &n); f != nil {
				return n, f
			}
		case wire.Is(el, wire.NSProtocol, "SessionIndex") && len(n.indexes) < maxIndexes:
			n.indexes = append(n.indexes, wire.Text(el))
		default: // what isn't understood could narrow what is asked
			return n, told("part_unsupported", statusUnsupported)
		}
	}
	if named != 1 {
		return n, told("name_id_missing", statusUnsupported)
	}
	return n, nil
}

// nameID reads the name that a request is about. Its qualifiers are those that the assertion had; one that isn't there counts as the same.
func (c *call) nameID(el *etree.Element, p sp.SP, n *named) *fault {
	n.value, n.format = wire.Text(el), wire.Attr(el, "Format")
	for key, want := range map[string]string{"NameQualifier": c.entityID(), "SPNameQualifier": p.EntityID, "SPProvidedID": ""} {
		if got := wire.Attr(el, key); got != "" && got != want {
			return told("name_qualifier", statusPrincipal)
		}
	}
	if n.value == "" {
		return told("name_id_missing", statusPrincipal)
	}
	return nil
}

// grantHeld is what a provider holds of a session.
type grantHeld struct {
	session identity.SessionID
	index   string
	format  string
	stands  bool // the session hasn't ended
}

// heldBy gives the sessions that a request is about: of this name, of these indexes or of all (Core, section 3.7.3.2), given to this provider in this
// network. An index that isn't among them fails the whole: it is another provider's, another person's, or none.
func (c *call) heldBy(ctx context.Context, q querier, f leaveFacts) (all []grantHeld, no *fault) {
	rows, err := q.QueryContext(ctx, `SELECT session, session_index, format, MIN(ended_at) FROM saml_grant WHERE party = $1 AND network = $2 AND name_id = $3
		GROUP BY session, session_index, format ORDER BY session`, string(f.Party), string(c.network), f.Name)
	if err != nil {
		return nil, broken(fmt.Errorf("samlidp: grants of a name: %w", err))
	}
	defer func() { _ = rows.Close() }()
	found := map[string]bool{}
	wanted := map[string]bool{}
	for _, i := range f.Indexes {
		wanted[i] = true
	}
	for rows.Next() {
		var g grantHeld
		var ended int64
		if err := rows.Scan(&g.session, &g.index, &g.format, &ended); err != nil {
			return nil, broken(fmt.Errorf("samlidp: grants of a name: %w", err))
		}
		if g.stands = ended == 0; f.Format != "" && f.Format != g.format || len(wanted) > 0 && !wanted[g.index] {
			continue
		}
		found[g.index] = true
		all = append(all, g)
	}
	if err := rows.Err(); err != nil {
		return nil, broken(fmt.Errorf("samlidp: grants of a name: %w", err))
	}
	if len(all) == 0 || len(wanted) > 0 && len(found) != len(wanted) {
		return nil, told("principal_unknown", statusPrincipal)
	}
	// What has ended before isn't asked about, unless there is nothing else: two logouts may cross.
	if standing := slices.DeleteFunc(slices.Clone(all), func(g grantHeld) bool { return !g.stands }); len(standing) > 0 {
		return standing, nil
	}
	return all, nil
}

// sloSOAP takes a LogoutRequest from a provider itself (SAML 2.0 Bindings, section 3.2). No browser is there: who is asked about is in the request alone.
func (c *call) sloSOAP() {
	p, face, n, f := c.readSOAP()
	if f == nil || f.status != "" {
		if replay := c.once(p, n.id, n.until); replay != nil {
			f = replay
		}
	}
	facts := leaveFacts{Party: p.ID, Request: n.id, Name: n.value, Format: n.format, Indexes: n.indexes}
	var held []grantHeld
	if f == nil {
		held, f = c.heldBy(c.r.Context(), c.p.opt.DB.Reader(), facts)
	}
	status, incident := "", ""
	switch {
	case f != nil && f.status == "":
		c.soapFault(p.ID, f)
		return
	case f != nil:
		status, incident = f.status, c.record(p.ID, actionSLO, f)
	default:
		c.p.acceptedIndexes(c.r.Context(), p.ID, c.network, facts.Indexes, c.at)
		partial, err := c.endFor(facts, held, nil)
		if err != nil {
			c.soapFault(p.ID, broken(err))
			return
		}
		if partial {
			status = statusPartial
		}
	}
	_ = face // a provider that is registered here may ask, wherever it is told itself
	el, err := c.signedAnswer(facts, "", status, incident)
	if err != nil {
		c.soapFault(p.ID, broken(err))
		return
	}
	c.soap(http.StatusOK, wire.Envelope(el))
}

func (c *call) readSOAP() (p sp.SP, face sp.Face, n named, f *fault) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "text/xml" || c.r.URL.RawQuery != "" {
		return p, face, n, bad("content_type")
	}
	body, err := io.ReadAll(c.r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return p, face, n, &fault{http: http.StatusRequestEntityTooLarge, reason: "xml_large"}
	}
	if err != nil {
		return p, face, n, bad("body_unread")
	}
	m, f := readEnvelope(body)
	if f != nil {
		return p, face, n, f
	}
	p, face, root, f := c.proven(m, "LogoutRequest")
	if f != nil {
		return p, face, n, f
	}
	n, f = c.names(root, p, c.sloSOAPAt())
	return p, face, n, f
}

// readEnvelope reads the message in a SOAP envelope.
func readEnvelope(doc []byte) (message, *fault) {
	root, err := wire.Parse(doc, wire.MessageLimits)
	if err == nil {
		root, err = wire.Body(root)
	}
	if err != nil {
		return message{}, xmlFault(err)
	}
	return message{root: root}, nil
}

func (c *call) soapFault(id policies.RelyingPartyID, f *fault) {
	incident := c.record(id, actionSLO, f)
	code, text := "Client", f.reason
	if f.err != nil {
		code, text = "Server", "internal"
	}
	if f.reason == "soap_must_understand" {
		code = "MustUnderstand"
	}
	if incident != "" {
		text += ", incident " + incident
	}
	c.soap(http.StatusInternalServerError, wire.SOAPFault(code, text)) // SOAP 1.1, section 6.2: a fault is always a 500
}

func (c *call) soap(status int, el *etree.Element) {
	doc, err := wire.Bytes(el)
	if err != nil {
		http.Error(c.w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	c.w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(doc)
}
