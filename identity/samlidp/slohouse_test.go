package samlidp_test

import (
	"bytes"
	"compress/flate"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

const (
	slo     = origin + "/saml/slo"
	sloSOAP = origin + "/saml/slo/soap"

	statusOK      = "urn:oasis:names:tc:SAML:2.0:status:Success"
	statusSome    = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
	statusNobody  = "urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal"
	statusRefused = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
)

// ends is how a house's sessions end, and what goes to providers by SOAP.
type ends struct {
	gone   map[identity.SessionID]bool
	untold map[identity.SessionID]bool // somebody of another protocol isn't told
	queue  []string                    // logouts that a job delivers
	post   func(r *http.Request, body []byte) (status int, kind string, answer []byte, err error)
	sent   int
}

func (h *house) end(ctx context.Context, id identity.SessionID, why session.Why) error {
	h.mu.Lock()
	was := h.ends.gone[id]
	if h.ends.gone == nil {
		h.ends.gone = map[identity.SessionID]bool{}
	}
	h.ends.gone[id] = true
	h.mu.Unlock()
	if was {
		return fmt.Errorf("end: %w", identity.ErrNotFound)
	}
	return h.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return h.provider.SessionEnded(ctx, tx, session.Session{ID: id, Network: policies.NetworkInternet, EndedWhy: why}, nil)
	})
}

// End implements samlidp.Browser.
func (h *house) End(_ http.ResponseWriter, r *http.Request, s session.Session) error {
	h.mu.Lock()
	h.browser = nil
	h.mu.Unlock()
	return h.end(r.Context(), s.ID, session.WhyLogout)
}

// LogoutByParty implements samlidp.Sessions.
func (h *house) LogoutByParty(ctx context.Context, id identity.SessionID, _ policies.RelyingPartyID, _ time.Time) error {
	return h.end(ctx, id, session.WhyLogout)
}

// Untold implements samlidp.Others.
func (h *house) Untold(_ context.Context, id identity.SessionID) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ends.untold[id], nil
}

// EnqueueLogout implements access.LogoutEnqueuer.
func (h *house) EnqueueLogout(_ context.Context, _ *sql.Tx, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends.queue = append(h.ends.queue, id)
	return nil
}

// RoundTrip implements http.RoundTripper: providers' SOAP end points.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.ends.sent++
	post := h.ends.post
	h.mu.Unlock()
	if post == nil {
		return nil, fmt.Errorf("no such host: %s", r.URL.Host)
	}
	status, kind, answer, err := post(r, body)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(answer)), Request: r}, nil
}

func (h *house) isGone(id identity.SessionID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ends.gone[id]
}

// Onward writes what would be shown in headers.
func (pages) Onward(w http.ResponseWriter, r *http.Request, o samlidp.Onward) {
	w.Header().Set("X-Onward", fmt.Sprintf("%s %d/%d", o.RelyingParty, o.Number, o.Of))
	w.Header().Set("X-Skip", o.Skip)
	pages{}.Form(w, r, o.Answer)
}

// LoggedOut writes what would be shown in headers.
func (pages) LoggedOut(w http.ResponseWriter, _ *http.Request, l samlidp.LoggedOut) {
	var all []string
	for _, x := range l.Logouts {
		all = append(all, fmt.Sprintf("%s %s %s", x.RelyingParty, x.State, x.Why))
	}
	w.Header().Set("X-Logged-Out", strings.Join(all, "; "))
	w.Header().Set("X-Known", fmt.Sprint(l.Known))
	w.Header().Set("X-Resume", l.Resume)
	b, _ := json.Marshal(l)
	_, _ = w.Write(b)
}

// browser is one with cookies that goes from page to page.
type browser struct {
	h       *house
	cookies map[string]*http.Cookie
}

func (h *house) newBrowser() *browser { return &browser{h, map[string]*http.Cookie{}} }

// seen is what a browser ends up with.
type seen struct {
	status               int
	to                   string // another site, or where a form goes
	problem, incident    string
	onward, skip         string
	loggedOut, resume    string
	known                bool
	request, answer, rel string // messages of a form, relay
}

func (b *browser) open(target string) seen { return b.visit(http.MethodGet, target, "", true) }

// posts sends a form as another site does: without cookies.
func (b *browser) posts(form string) seen { return b.visit(http.MethodPost, slo, form, false) }

func (b *browser) visit(method, target, form string, own bool) seen {
	r := httptest.NewRequest(method, target, strings.NewReader(form))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if own {
		b.adorn(r)
	}
	return b.send(r)
}

func (b *browser) adorn(r *http.Request) {
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
}

// leaves begins a way at the hub and gives its path.
func (b *browser) leaves(t testing.TB, l samlidp.Leaving) string {
	t.Helper()
	w := httptest.NewRecorder()
	path, _, err := b.h.provider.Leave(w, httptest.NewRequest(http.MethodPost, origin+"/logout", nil), policies.NetworkInternet, l)
	must(t, err)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c
	}
	return path
}

// send follows a request to where it leads outside, or to a page.
func (b *browser) send(r *http.Request) seen {
	b.h.t.Helper()
	for range 10 {
		w := httptest.NewRecorder()
		b.h.handler[policies.NetworkInternet].ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				b.h.t.Errorf("a loose cookie: %+v", c)
			}
			b.cookies[c.Name] = c
		}
		at := w.Header().Get("Location")
		if w.Code != http.StatusSeeOther || !strings.HasPrefix(at, "/") {
			head := w.Header()
			text := func(name string) string { v, _ := url.QueryUnescape(head.Get(name)); return v }
			s := seen{
				status: w.Code, to: at + head.Get("X-To"), problem: head.Get("X-Problem"), incident: head.Get("X-Incident"), onward: head.Get("X-Onward"),
				skip: head.Get("X-Skip"), loggedOut: head.Get("X-Logged-Out"), resume: head.Get("X-Resume"), known: head.Get("X-Known") == "true", rel: text("X-Relaystate"),
			}
			unpack := func(v string) string { d, _ := base64.StdEncoding.DecodeString(v); return string(d) }
			s.request, s.answer = unpack(text("X-Samlrequest")), unpack(text("X-Samlresponse"))
			return s
		}
		r = httptest.NewRequest(http.MethodGet, origin+at, nil)
		b.adorn(r)
	}
	b.h.t.Fatal("round and round")
	return seen{}
}

// carried reads the message that an address carries, whose signature has to be the hub's.
func (h *house) carried(t testing.TB, address, name string) (el *etree.Element, relay string) {
	t.Helper()
	_, raw, ok := strings.Cut(address, name+"=")
	if !ok {
		t.Fatalf("no %s in %q", name, address)
	}
	raw = name + "=" + raw
	signed, sig, _ := strings.Cut(raw, "&Signature=")
	v, err := url.ParseQuery(raw)
	must(t, err)
	_ = sig
	octets, err := base64.StdEncoding.DecodeString(v.Get("Signature"))
	must(t, err)
	must(t, wire.VerifyOctets([]byte(signed), v.Get("SigAlg"), octets, h.certificates()[:1]))
	packed, err := base64.StdEncoding.DecodeString(v.Get(name))
	must(t, err)
	doc, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	must(t, err)
	el, err = wire.Parse(doc, wire.MessageLimits)
	must(t, err)
	return el, v.Get("RelayState")
}

// signedRoot checks a document's own signature by the hub's key.
func (h *house) signedRoot(t testing.TB, doc string) *etree.Element {
	t.Helper()
	el, err := wire.Parse([]byte(doc), wire.MessageLimits)
	must(t, err)
	el, err = wire.Verify(el, h.certificates()[:1])
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return el
}

// settle registers providers with every way to be told.
func (h *house) sloParties() {
	out := func(id policies.RelyingPartyID, by pair, ends ...sp.Endpoint) {
		h.register(id, func(p *sp.SP) {
			p.Sector, p.Signing = string(id)+".example", [][]byte{by.cert.Raw}
			for i := range p.Faces {
				p.Faces[i].Logout = ends
			}
		})
	}
	at := func(id, path string) string { return "https://" + id + ".example/" + path }
	out("front", h.own, sp.Endpoint{Binding: sp.BindingRedirect, Location: at("front", "slo?x=1"), Response: at("front", "back")})
	out("second", h.own, sp.Endpoint{Binding: sp.BindingRedirect, Location: at("second", "slo")})
	out("poster", h.own, sp.Endpoint{Binding: sp.BindingPOST, Location: at("poster", "slo")})
	out("soap", h.own, sp.Endpoint{Binding: sp.BindingRedirect, Location: at("soap", "slo")}, sp.Endpoint{Binding: sp.BindingSOAP, Location: at("soap", "soap")})
	out("mute", h.own)
	out("stranger", h.two, sp.Endpoint{Binding: sp.BindingRedirect, Location: at("stranger", "slo")})
}

// subject is how a provider knows a session.
type subject struct{ name, index string }

// enter logs the house's person in at a provider.
func (h *house) enter(id policies.RelyingPartyID) subject {
	h.t.Helper()
	by := pair{}
	if id == "app" {
		by = h.own
	}
	r := h.redirect(query(h.ask(id, nil), "", by))
	el, err := wire.Parse([]byte(r.doc), wire.MessageLimits)
	if err != nil {
		h.t.Fatalf("%v: %+v\n%s", err, r, h.log.String())
	}
	return subject{path(h.t, el, "Assertion/Subject/NameID"), path(h.t, el, "Assertion/AuthnStatement@SessionIndex")}
}

// wants makes a LogoutRequest; attributes are changed or taken out by an empty text. indexes nil: that of the subject.
func (h *house) wants(id policies.RelyingPartyID, s subject, attributes map[string]string, indexes ...string) string {
	all := map[string]string{
		"ID": fmt.Sprintf("_l%d", h.nextID.Add(1)), "Version": "2.0", "IssueInstant": h.now().UTC().Format("2006-01-02T15:04:05Z"), "Destination": slo,
		"Format": string(sp.NameIDPersistent), "NameQualifier": origin + "/saml/metadata", "SPNameQualifier": entityOf(id),
	}
	for k, v := range attributes {
		all[k] = v
	}
	el := etree.NewElement("samlp:LogoutRequest")
	el.CreateAttr("xmlns:samlp", wire.NSProtocol)
	el.CreateAttr("xmlns:saml", wire.NSAssertion)
	for _, k := range []string{"ID", "Version", "IssueInstant", "Destination", "NotOnOrAfter"} {
		if all[k] != "" {
			el.CreateAttr(k, all[k])
		}
	}
	el.CreateElement("saml:Issuer").SetText(entityOf(id))
	name := el.CreateElement("saml:NameID")
	for _, k := range []string{"Format", "NameQualifier", "SPNameQualifier", "SPProvidedID"} {
		if all[k] != "" {
			name.CreateAttr(k, all[k])
		}
	}
	name.SetText(s.name)
	if indexes == nil && s.index != "" {
		indexes = []string{s.index}
	}
	for _, i := range indexes {
		el.CreateElement("samlp:SessionIndex").SetText(i)
	}
	b, err := wire.Bytes(el)
	must(h.t, err)
	return string(b)
}

// answers makes a LogoutResponse.
func (h *house) answers(id policies.RelyingPartyID, to string, attributes map[string]string, codes ...string) string {
	all := map[string]string{
		"ID": fmt.Sprintf("_a%d", h.nextID.Add(1)), "Version": "2.0", "IssueInstant": h.now().UTC().Format("2006-01-02T15:04:05Z"), "Destination": slo, "InResponseTo": to,
	}
	for k, v := range attributes {
		all[k] = v
	}
	el := etree.NewElement("samlp:LogoutResponse")
	el.CreateAttr("xmlns:samlp", wire.NSProtocol)
	el.CreateAttr("xmlns:saml", wire.NSAssertion)
	for _, k := range []string{"ID", "Version", "IssueInstant", "Destination", "InResponseTo"} {
		if all[k] != "" {
			el.CreateAttr(k, all[k])
		}
	}
	el.CreateElement("saml:Issuer").SetText(entityOf(id))
	if len(codes) == 0 {
		codes = []string{statusOK}
	}
	at := el.CreateElement("samlp:Status")
	for _, c := range codes {
		at = at.CreateElement("samlp:StatusCode")
		at.CreateAttr("Value", c)
	}
	b, err := wire.Bytes(el)
	must(h.t, err)
	return string(b)
}

// carry makes a redirect's query of a message under a name.
func carry(name, doc, relay string, by pair) string {
	q := name + "=" + url.QueryEscape(deflate(doc))
	if relay != "" {
		q += "&RelayState=" + url.QueryEscape(relay)
	}
	if by.key == nil {
		return q
	}
	q += "&SigAlg=" + url.QueryEscape(wire.RSASHA256)
	return q + "&Signature=" + url.QueryEscape(signature(q, by))
}

func carryForm(name, doc, relay string) string {
	return url.Values{name: {base64.StdEncoding.EncodeToString([]byte(doc))}, "RelayState": {relay}}.Encode()
}

// envelope is SOAP around a message.
func envelope(doc string) string {
	return `<soap:Envelope xmlns:soap="` + wire.NSSOAP + `"><soap:Body>` + doc + `</soap:Body></soap:Envelope>`
}

// soap posts an envelope to the hub.
func (h *house) soap(body string) (status int, answer string) {
	r := httptest.NewRequest(http.MethodPost, sloSOAP, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/xml; charset=utf-8")
	w := httptest.NewRecorder()
	h.handler[policies.NetworkInternet].ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// soapAnswer gives the signed answer of an envelope.
func (h *house) soapAnswer(t testing.TB, body string) *etree.Element {
	t.Helper()
	el, err := wire.Parse([]byte(body), wire.MessageLimits)
	must(t, err)
	inside, err := wire.Body(el)
	must(t, err)
	el, err = wire.Verify(inside, h.certificates()[:1])
	must(t, err)
	return el
}

// states gives what became of a session's logouts: "party state why".
func (h *house) states(id identity.SessionID) string {
	h.t.Helper()
	all, err := samlidp.Receipts{DB: h.db}.List(h.t.Context(), samlidp.ReceiptFilter{Session: id, Limit: 100})
	must(h.t, err)
	by := map[string]string{}
	for _, l := range all {
		by[string(l.RelyingParty)] = strings.TrimSpace(string(l.State) + " " + l.Why)
	}
	b, err := json.Marshal(by)
	must(h.t, err)
	return strings.NewReplacer(`"`, "", "{", "", "}", "").Replace(string(b))
}

func (h *house) loggedIn(id identity.SessionID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.login.Session = id
	h.browser = &session.Session{ID: id, Person: h.login.Person, Network: policies.NetworkInternet}
}

// codes gives the status of a LogoutResponse, both levels.
func codes(t testing.TB, el *etree.Element) string {
	t.Helper()
	short := func(s string) string { return strings.TrimPrefix(s, "urn:oasis:names:tc:SAML:2.0:status:") }
	return strings.TrimSuffix(short(path(t, el, "Status/StatusCode@Value"))+" "+short(path(t, el, "Status/StatusCode/StatusCode@Value")), " ")
}
