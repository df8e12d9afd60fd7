package samlidp

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

const actionSSO = "saml.sso"

// facts are what is kept of a request until it is answered.
type facts struct {
	Request  string    `json:"id,omitempty"` // its ID; empty for a login that began here
	Consumer string    `json:"consumer"`     // where it is answered
	Relay    string    `json:"relay,omitempty"`
	NameID   sp.NameID `json:"name_id"`
	Exact    []string  `json:"exact,omitempty"` // classes of which one is to be told
}

func (c *call) redirected() {
	m, f := readRedirect(c.r.URL.RawQuery)
	c.take(m, f)
}

func (c *call) posted() {
	m, f := readPost(c.r)
	c.take(m, f)
}

// take checks a request, once and for all, and hands it over to the dispatcher.
func (c *call) take(m message, f *fault) {
	if f != nil {
		c.page("", actionSSO, f)
		return
	}
	p, face, f := c.sender(m)
	if f != nil {
		c.page(p.ID, actionSSO, f)
		return
	}
	root, f := c.authentic(m, p)
	if f != nil {
		c.page(p.ID, actionSSO, f)
		return
	}
	id, until, f := c.fresh(root, c.sso())
	if f != nil {
		c.page(p.ID, actionSSO, f)
		return
	}
	consumer, f := consumerOf(root, face)
	if f != nil {
		c.page(p.ID, actionSSO, f)
		return
	}
	if f := c.once(p, id, until); f != nil {
		c.page(p.ID, actionSSO, f)
		return
	}
	// From here on it is known where the provider may be answered.
	fs := facts{Request: id, Consumer: consumer.Location, Relay: m.relay, NameID: p.NameID}
	ask, f := c.ask(root, p, &fs)
	if f != nil {
		c.back(p, fs, f)
		return
	}
	if !m.redirect {
		c.wait(ask)
		return
	}
	c.p.opt.Start(c.w, c.r, ask)
}

// sender finds the provider that the request says it is of. Nothing of this is believed yet.
func (c *call) sender(m message) (sp.SP, sp.Face, *fault) {
	if !wire.Is(m.root, wire.NSProtocol, "AuthnRequest") {
		return sp.SP{}, sp.Face{}, bad("request_kind")
	}
	name, f := issuerOf(m.root)
	if f != nil {
		return sp.SP{}, sp.Face{}, f
	}
	p, err := c.p.opt.Parties.Entity(c.r.Context(), c.p.opt.DB.Reader(), name)
	if errors.Is(err, identity.ErrNotFound) {
		return p, sp.Face{}, bad("party_unknown")
	}
	if err != nil {
		return p, sp.Face{}, broken(err)
	}
	face, ok := p.Face(c.network)
	if !ok {
		return p, face, bad("party_network")
	}
	return p, face, nil
}

func issuerOf(root *etree.Element) (string, *fault) {
	all := wire.Children(root, wire.NSAssertion, "Issuer")
	if len(all) != 1 {
		return "", bad("issuer")
	}
	if format, ok := wire.Lookup(all[0], "Format"); ok && format != "urn:oasis:names:tc:SAML:2.0:nameid-format:entity" {
		return "", bad("issuer")
	}
	return wire.Text(all[0]), nil
}

// authentic checks the signature, if there is one or has to be, and gives what may be read from now on.
func (c *call) authentic(m message, p sp.SP) (*etree.Element, *fault) {
	inside := wire.Signed(m.root)
	if m.redirect && inside {
		return nil, bad("signature_shape") // Bindings, section 3.4.4.1: it is taken out before
	}
	signed := inside || m.signature != nil
	if !signed {
		if p.Signed {
			return nil, bad("signature_missing")
		}
		return m.root, nil
	}
	keys, err := p.SigningKeys()
	if err != nil {
		return nil, broken(err)
	}
	// Bindings, sections 3.4.5.2 and 3.5.5.2: what is signed says whom it is for.
	if wire.Attr(m.root, "Destination") == "" {
		return nil, bad("destination_missing")
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
	// What was signed is what was looked at.
	if name, f := issuerOf(root); f != nil || name != p.EntityID || !wire.Is(root, wire.NSProtocol, "AuthnRequest") {
		return nil, bad("signature_shape")
	}
	return root, nil
}

// fresh checks whom a message is for and how old it is, and gives its ID and until when it has to be remembered.
func (c *call) fresh(root *etree.Element, here string) (id string, until int64, f *fault) {
	if wire.Attr(root, "Version") != "2.0" {
		return "", 0, bad("version")
	}
	if id = wire.Attr(root, "ID"); !wire.ID(id) {
		return "", 0, bad("request_id")
	}
	if to, ok := wire.Lookup(root, "Destination"); ok && to != here {
		return "", 0, bad("destination")
	}
	text := wire.Attr(root, "IssueInstant")
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !strings.HasSuffix(text, "Z") { // Core, section 1.3.3: UTC
		return "", 0, bad("issue_instant")
	}
	until = t.Add(requestLife + skew).UnixMicro()
	switch {
	case c.at >= until:
		return "", 0, bad("request_expired")
	case c.at < t.Add(-skew).UnixMicro():
		return "", 0, bad("request_early")
	}
	return id, until, nil
}

// consumerOf finds where the request is answered: at an address or index that is registered, octet by octet, never elsewhere, signed or not.
func consumerOf(root *etree.Element, face sp.Face) (sp.Consumer, *fault) {
	location, byLocation := wire.Lookup(root, "AssertionConsumerServiceURL")
	index, byIndex := wire.Lookup(root, "AssertionConsumerServiceIndex")
	binding, bound := wire.Lookup(root, "ProtocolBinding")
	var consumer sp.Consumer
	var ok bool
	switch {
	case byIndex && (byLocation || bound): // Core, section 3.4.1: they exclude each other
		return consumer, bad("consumer_ambiguous")
	case bound && binding != sp.BindingPOST:
		return consumer, bad("binding")
	case byIndex:
		n, err := strconv.ParseUint(index, 10, 16)
		if err != nil {
			return consumer, bad("consumer_unregistered")
		}
		consumer, ok = face.Indexed(int(n))
	case byLocation:
		consumer, ok = face.At(location)
	default:
		consumer, ok = face.Default()
	}
	if !ok {
		return consumer, bad("consumer_unregistered")
	}
	return consumer, nil
}

// once remembers a request's ID, and refuses one that was taken before.
func (c *call) once(p sp.SP, id string, until int64) *fault {
	sum := sha256.Sum256([]byte(string(p.ID) + "\x00" + id))
	var n int64
	err := c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO saml_request (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, hex.EncodeToString(sum[:]), until)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	switch {
	case err != nil:
		return broken(fmt.Errorf("samlidp: remember a request: %w", err))
	case n == 0:
		return bad("request_replayed")
	}
	return nil
}

// ask reads the rest of a request and says what to ask of the login.
func (c *call) ask(root *etree.Element, p sp.SP, fs *facts) (login.Ask, *fault) {
	ask := login.Ask{Issuer: identity.IssuerSAML, RelyingParty: p.ID, Network: c.network, Required: p.Least}
	var err error
	if ask.Force, err = sp.Boolean(wire.Attr(root, "ForceAuthn")); err != nil {
		return ask, told("force_authn", statusUnsupported)
	}
	if ask.Passive, err = sp.Boolean(wire.Attr(root, "IsPassive")); err != nil {
		return ask, told("is_passive", statusUnsupported)
	}
	if ask.Force && ask.Passive { // nobody can prove anything unseen
		return ask, told("force_and_passive", statusNoPassive)
	}
	seen := map[string]bool{}
	for _, el := range root.ChildElements() {
		if seen[el.Tag] {
			return ask, told("request_malformed", statusUnsupported)
		}
		seen[el.Tag] = true
		if f := c.part(el, p, fs, &ask); f != nil {
			return ask, f
		}
	}
	if ask.Facts, err = json.Marshal(fs); err != nil {
		return ask, broken(err)
	}
	return ask, nil
}

// part reads one element of a request. What isn't understood is refused, not passed over: it could be a condition.
func (c *call) part(el *etree.Element, p sp.SP, fs *facts, ask *login.Ask) *fault {
	protocol := el.NamespaceURI() == wire.NSProtocol
	switch {
	case wire.Is(el, wire.NSAssertion, "Issuer"), protocol && el.Tag == "Extensions", protocol && el.Tag == "Scoping":
		// Scoping is about passing a request on to others, which isn't done.
	case protocol && el.Tag == "NameIDPolicy":
		return namePolicy(el, p, fs)
	case protocol && el.Tag == "RequestedAuthnContext":
		if p.IgnoreContext {
			return nil
		}
		w := wishOf(el)
		if w.reason != "" {
			return told(w.reason, statusNoContext)
		}
		ask.Required, fs.Exact = max(ask.Required, w.least), w.exact
	case wire.Is(el, wire.NSAssertion, "Subject"):
		person, f := c.wanted(el, p)
		ask.Person = person
		return f
	default:
		return told("part_unsupported", statusUnsupported)
	}
	return nil
}

// namePolicy holds NameIDPolicy (Core, section 3.4.1.1). Which format a provider gets is registered; it may only name that one.
func namePolicy(el *etree.Element, p sp.SP, fs *facts) *fault {
	format := wire.Attr(el, "Format")
	if format != "" && format != "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified" && format != string(p.NameID) {
		return told("name_id_format", statusNameID)
	}
	if q, ok := wire.Lookup(el, "SPNameQualifier"); ok && q != "" && q != p.EntityID {
		return told("name_qualifier", statusNameID)
	}
	fs.NameID = p.NameID
	return nil
}

// wanted says whom a request wants, by the persistent name that the provider knows the person by.
func (c *call) wanted(el *etree.Element, p sp.SP) (policies.PersonID, *fault) {
	parts := el.ChildElements()
	if len(parts) != 1 || !wire.Is(parts[0], wire.NSAssertion, "NameID") || p.NameID != sp.NameIDPersistent {
		return "", told("subject_unsupported", statusUnsupported)
	}
	if format, ok := wire.Lookup(parts[0], "Format"); ok && format != string(sp.NameIDPersistent) {
		return "", told("subject_unsupported", statusUnsupported)
	}
	person, err := c.p.opt.Subjects.Person(c.r.Context(), c.p.opt.DB.Reader(), ppid.Sector(p.Sector), wire.Text(parts[0]))
	if errors.Is(err, identity.ErrNotFound) {
		return "", told("subject_unknown", statusPrincipal)
	}
	if err != nil {
		return "", broken(err)
	}
	return person, nil
}

// back tells a refusal to the provider, through the browser.
func (c *call) back(p sp.SP, fs facts, f *fault) {
	if f.status == "" {
		c.page(p.ID, actionSSO, f)
		return
	}
	incident := c.record(p.ID, actionSSO, f)
	var a login.Answer
	by, err := c.p.signingNow(c.r.Context(), p.ID, c.network)
	if err == nil {
		a, err = c.p.refusal(by, c.entityID(), p, fs, f.status, incident, c.at)
	}
	if err != nil {
		c.p.opt.Pages.Problem(c.w, c.r, Problem{Status: http.StatusInternalServerError, Reason: "internal", Incident: c.record(p.ID, actionSSO, broken(err))})
		return
	}
	c.p.opt.Pages.Form(c.w, c.r, a)
}

// topStatus is the first-level code above a second-level one (Core, section 3.2.2.2): whose fault it was.
func topStatus(status string) string {
	if slices.Contains([]string{statusNameID, statusUnsupported}, status) {
		return statusRequester
	}
	return statusResponder
}
