package samlidp_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// TestCrewjam has crewjam/saml's service provider go through the profile: it reads our metadata, we read its own, and each checks the other.
func TestCrewjam(t *testing.T) {
	h := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)))
	saml.TimeNow, saml.Clock = h.now, dsig.NewFakeClockAt(start)
	var metadata saml.EntityDescriptor
	must(t, xml.Unmarshal([]byte(h.get(origin+"/saml/metadata").body), &metadata))
	address := func(text string) url.URL {
		u, err := url.Parse(text)
		must(t, err)
		return *u
	}
	peer := saml.ServiceProvider{
		EntityID: "https://crewjam.example/metadata", Key: h.own.key, Certificate: h.own.cert, MetadataURL: address("https://crewjam.example/metadata"),
		AcsURL: address("https://crewjam.example/acs"), SloURL: address("https://crewjam.example/slo"), IDPMetadata: &metadata,
		SignatureMethod: dsig.RSASHA256SignatureMethod, AuthnNameIDFormat: saml.PersistentNameIDFormat,
	}
	document, err := xml.Marshal(peer.Metadata())
	must(t, err)
	read, err := sp.ReadMetadata(document, start.UnixMicro(), nil)
	must(t, err)
	p := read.Draft(policies.NetworkInternet)
	p.ID, p.Name, p.Sector, p.Least, p.NameID = "crewjam", "crewjam", "crewjam.example", policies.AssuranceTwo, sp.NameIDPersistent
	if !p.Signed || !p.Encrypt {
		t.Fatalf("%+v", p)
	}
	must(t, h.registry.Add(t.Context(), operator, p, 1))

	for _, sign := range []sp.Sign{sp.SignBoth, sp.SignResponse, sp.SignAssertion} {
		for _, encrypt := range []bool{false, true} {
			if encrypt && sign == sp.SignAssertion {
				continue
			}
			p.Sign, p.Encrypt = sign, encrypt
			must(t, h.registry.Change(t.Context(), operator, p, 1))
			for _, binding := range []string{saml.HTTPRedirectBinding, saml.HTTPPostBinding} {
				request, err := peer.MakeAuthenticationRequest(sso, binding, saml.HTTPPostBinding)
				must(t, err)
				var r result
				if binding == saml.HTTPRedirectBinding {
					to, err := request.Redirect("state", &peer)
					must(t, err)
					r = h.redirect(to.RawQuery)
				} else {
					page := string(request.Post("state"))
					_, rest, _ := strings.Cut(page, `name="SAMLRequest" value="`)
					value, _, _ := strings.Cut(rest, `"`)
					r = h.post(url.Values{"SAMLRequest": {strings.ReplaceAll(value, "&#43;", "+")}, "RelayState": {"state"}}.Encode())
				}
				if r.relay != "state" {
					t.Fatalf("%s by %s: %+v\n%s", sign, binding, r, h.log.String())
				}
				got, err := peer.ParseXMLResponse([]byte(r.doc), []string{request.ID}, peer.AcsURL)
				if err != nil {
					var why *saml.InvalidResponseError
					_ = errors.As(err, &why)
					t.Errorf("%s, encrypted %v, by %s: %v (%+v)\n%s", sign, encrypt, binding, err, why, r.doc)
					continue
				}
				if got.Subject.NameID.Value == "" || got.AuthnStatements[0].AuthnContext.AuthnContextClassRef.Value != "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI" {
					t.Errorf("%+v", got)
				}
				h.taken(t, peer, r.doc, request.ID)
			}
		}
	}
}

// taken holds that what is told lets a provider refuse: an answer to another request, at another address, for another audience, from another
// provider, later by a second than it says, with a comment in its name or with a second assertion beside it.
func (h *house) taken(t *testing.T, peer saml.ServiceProvider, doc, request string) {
	t.Helper()
	refused := func(what string, by saml.ServiceProvider, doc, request string, at url.URL) {
		t.Helper()
		if _, err := by.ParseXMLResponse([]byte(doc), []string{request}, at); err == nil {
			t.Errorf("%s: crewjam/saml takes it", what)
		}
	}
	refused("InResponseTo", peer, doc, "another", peer.AcsURL)
	other := peer
	other.AcsURL.Path = "/other"
	refused("Destination and Recipient", other, doc, request, other.AcsURL)
	other = peer
	other.EntityID = "https://other.example/metadata"
	refused("audience", other, doc, request, peer.AcsURL)
	other = peer
	metadata := *peer.IDPMetadata
	metadata.EntityID = originLGWAN + "/saml/metadata"
	other.IDPMetadata = &metadata
	refused("issuer", other, doc, request, peer.AcsURL)
	late := h.micros.Load()
	h.forward(5*time.Minute + saml.MaxClockSkew + time.Second)
	refused("expired by a second", peer, doc, request, peer.AcsURL)
	h.micros.Store(late)
	if before, assertion, ok := strings.Cut(doc, "<saml:Assertion "); ok && strings.Contains(before, "<ds:Signature ") { // else it is up to the provider
		assertion, _, _ = strings.Cut(assertion, "</saml:Assertion>")
		second := "<saml:Assertion " + strings.Replace(assertion, ` ID="_`, ` ID="_x`, 1) + "</saml:Assertion>"
		refused("two assertions", peer, strings.Replace(doc, "</samlp:Response>", second+"</samlp:Response>", 1), request, peer.AcsURL)
	}
}

// TestXMLSec has xmlsec1 verify every shape that is emitted, and decrypt what it can and verify what was inside.
func TestXMLSec(t *testing.T) {
	program, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("xmlsec1 isn't installed: run deploy/ci/setup.sh")
		}
		t.Skip("xmlsec1 isn't installed: run deploy/ci/setup.sh")
	}
	h := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)))
	dir, n := t.TempDir(), 0
	file := func(data []byte) string {
		n++
		path := filepath.Join(dir, strings.Repeat("x", n))
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	certificate := file(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.certificates()[0].Raw}))
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		if err != nil {
			t.Errorf("xmlsec1 %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	verify := func(doc, element string) {
		t.Helper()
		run("--verify", "--enabled-key-data", "rsa", "--pubkey-cert-pem", certificate, "--id-attr:ID", wire.NSProtocol+":Response", "--id-attr:ID", wire.NSAssertion+":Assertion",
			"--id-attr:ID", wire.NSProtocol+":LogoutRequest", "--id-attr:ID", wire.NSProtocol+":LogoutResponse", "--id-attr:ID", wire.NSMetadata+":EntityDescriptor", "--node-xpath", "//*[local-name()='"+element+"']/*[local-name()='Signature']", file([]byte(doc)))
	}
	verify(h.get(origin+"/saml/metadata").body, "EntityDescriptor")
	for _, sign := range []sp.Sign{sp.SignBoth, sp.SignResponse, sp.SignAssertion} {
		id := policies.RelyingPartyID("signs-" + sign)
		h.register(id, func(p *sp.SP) { p.Sign = sign })
		doc := h.redirect(query(h.ask(id, nil), "", pair{})).doc
		if sign != sp.SignAssertion {
			verify(doc, "Response")
		}
		if sign != sp.SignResponse {
			verify(doc, "Assertion")
		}
	}
	h.refusal = login.ReasonPolicy
	verify(h.redirect(query(h.ask("other", nil), "", pair{})).doc, "Response")
	h.refusal = ""

	// Logout: our request to one provider by POST, our answers to others by POST and by SOAP.
	h.sloParties()
	h.loggedIn("leaves")
	front, poster := h.enter("front"), h.enter("poster")
	verify(h.newBrowser().open(slo+"?"+carry("SAMLRequest", h.wants("front", front, nil), "", h.own)).request, "LogoutRequest")
	verify(h.newBrowser().posts(carryForm("SAMLRequest", signedDoc(t, h.wants("poster", poster, nil), h.own), "")).answer, "LogoutResponse")
	h.loggedIn("leaves by SOAP")
	front = h.enter("front")
	if status, answer := h.soap(envelope(signedDoc(t, h.wants("front", front, map[string]string{"Destination": sloSOAP}), h.own))); status == http.StatusOK {
		verify(answer, "LogoutResponse")
	} else {
		t.Errorf("%d %s", status, answer)
	}

	der, err := x509.MarshalPKCS8PrivateKey(h.own.key)
	must(t, err)
	key := file(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for name, methods := range map[string][]string{"nothing": nil, "gcm": {wire.AES256GCM}, "gcm128": {wire.AES128GCM}} {
		id := policies.RelyingPartyID("sealed-" + name)
		h.register(id, func(p *sp.SP) {
			p.Encrypt, p.Encryption = true, []sp.Encryption{{Certificate: h.own.cert.Raw, Methods: methods}}
		})
		doc := h.redirect(query(h.ask(id, nil), "", pair{})).doc
		verify(doc, "Response")
		opened := run("--decrypt", "--privkey-pem", key, file([]byte(doc)))
		if !strings.Contains(opened, "p1@city.example") {
			t.Errorf("%s: %s", name, opened)
		}
		verify(opened, "Assertion")
	}
}

// card says who the test says it is.
type card struct{}

func (card) Begin(_ context.Context, a login.Attempt) (login.Instruction, error) {
	return login.Instruction{Location: "https://card.example/?ticket=" + a.Ticket}, nil
}

func (card) Finish(_ context.Context, a login.Attempt, r *http.Request) (login.Proof, error) {
	return login.Proof{
		Method: identity.MethodCard, Use: login.UseLogin, Person: policies.PersonID(r.Header.Get("X-Test-Is")), Credential: "card", Assurance: policies.AssuranceCard,
		AMR: []string{"pin", "sc"}, At: a.At,
	}, nil
}

// known is the registry as the policies see it.
type known struct {
	*sp.Registry
	db *sqldb.DB
}

func (k known) Party(ctx context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	p, err := k.SP(ctx, k.db.Reader(), id)
	return p.Policy(), err
}

// dispatched is a house whose logins go through the real dispatcher, its policies and its sessions, to a provider called "survey".
type dispatched struct {
	*house
	w          *logintest.World
	dispatcher *login.Dispatcher
}

// visitKey is where a request's context has the browser's visit, as it comes and as it goes on.
type visitKey struct{}

func newDispatched(t testing.TB, db *sqldb.DB) *dispatched {
	t.Helper()
	d := &dispatched{w: logintest.New(t, db, login.Migration())}
	d.house = newHouseWith(t, db, func(o *samlidp.Options) {
		o.Now = d.w.Now
		o.Start = func(rw http.ResponseWriter, r *http.Request, ask login.Ask) {
			visit, _ := r.Context().Value(visitKey{}).(*login.Visit)
			request, browser, err := d.dispatcher.Start(r.Context(), ask, visit.Browser)
			must(t, err)
			visit.ID, visit.Browser, visit.Network = request.ID, browser, ask.Network
			rw.WriteHeader(http.StatusNoContent)
		}
	})
	d.micros.Store(d.w.Now().Sub(start).Microseconds())
	d.register("survey", func(p *sp.SP) { p.Functions = []policies.Function{policies.FunctionQuestionnaire} })
	var err error
	d.dispatcher, err = login.New(login.Config{
		DB: db, Now: d.w.Now, Random: rand.Reader, People: d.w.Resolver, Posts: d.w.Posts, Policy: d.w.Engine,
		Sessions: session.New(db, d.w.Resolver, d.w.Posts, d.w.Engine), Parties: known{d.registry, db},
		Offers:  map[identity.MethodID]login.Offer{identity.MethodCard: {Method: card{}, Reach: policies.AssuranceCard, Networks: policies.Networks(), Use: login.UseLogin}},
		Issuers: map[identity.IssuerID]login.Issuer{identity.IssuerSAML: d.provider},
		ReturnTo: func(_ policies.Network, id identity.LoginID, code string) string {
			return origin + "/login/" + string(id) + "/return?code=" + code
		},
	})
	must(t, err)
	return d
}

// comesBy has a browser bring a redirect's query; the visit then has the request.
func (d *dispatched) comesBy(t testing.TB, q string, visit *login.Visit) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, sso+"?"+q, nil)
	w := httptest.NewRecorder()
	d.handler[policies.NetworkInternet].ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, visit)))
	if w.Code != http.StatusNoContent {
		t.Errorf("%d %v\n%s", w.Code, w.Header(), d.log.String())
	}
}

// walk goes from a provider's request to the last step, does what happens before it, and takes it.
func (d *dispatched) walk(t testing.TB, who policies.PersonID, meanwhile func()) (login.Next, login.Visit) {
	t.Helper()
	var visit login.Visit
	d.comesBy(t, query(d.ask("survey", nil), "relay", pair{}), &visit)
	n, err := d.dispatcher.View(t.Context(), visit)
	must(t, err)
	if n, err = d.dispatcher.Begin(t.Context(), visit, n.Form, identity.MethodCard); err != nil || n.Instruction == nil {
		t.Fatalf("%+v: %v", n, err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Test-Is", string(who))
	ticket := strings.TrimPrefix(n.Instruction.Location, "https://card.example/?ticket=")
	to, refusal, err := d.dispatcher.Prove(t.Context(), login.Visit{Network: policies.NetworkInternet}, ticket, r)
	if err != nil || refusal != nil {
		t.Fatal(refusal, err)
	}
	meanwhile()
	_, code, _ := strings.Cut(to, "?code=")
	n, err = d.dispatcher.Return(t.Context(), visit, code)
	must(t, err)
	return n, visit
}

// TestThroughTheDispatcher goes from a provider's request through the dispatcher, the policies and the sessions back to the provider, for somebody
// who may enter and for somebody who left.
func TestThroughTheDispatcher(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newDispatched(t, db)
		w := h.w
		enter := func(who policies.PersonID) string {
			t.Helper()
			n, _ := h.walk(t, who, func() {})
			if n.Answer == nil || n.Answer.Location != acs || n.Answer.Form[1] != [2]string{"RelayState", "relay"} {
				t.Fatalf("%+v", n)
			}
			rec := httptest.NewRecorder()
			pages{}.Form(rec, httptest.NewRequest(http.MethodPost, "/", nil), *n.Answer)
			return decode(t, rec.Header().Get("X-SAMLResponse"))
		}
		if doc := enter(logintest.Local); !strings.Contains(doc, "status:Success") || !strings.Contains(doc, "SmartcardPKI") {
			t.Errorf("%s", doc)
		}
		// Its metadata is swapped under way: nobody is answered, the person is told, and a row says so.
		kept, err := h.registry.SP(t.Context(), db.Reader(), "survey")
		must(t, err)
		for name, change := range swapped {
			n, visit := h.walk(t, logintest.Local, func() {
				if change == nil {
					must(t, h.registry.Remove(t.Context(), operator, "survey", "試験", 1))
					return
				}
				p := h.party("survey")
				p.Functions = kept.Functions
				change(&p)
				must(t, h.registry.Change(t.Context(), operator, p, 1))
			})
			if n.Answer != nil || n.Refusal == nil || n.Refusal.Reason != login.ReasonParty || !n.Session.Zero() {
				t.Errorf("%s: %+v", name, n)
				continue
			}
			if rows := w.Audit(t, audit.Filter{ID: n.Refusal.Incident}); len(rows) != 1 || rows[0].Outcome != audit.Refused || !strings.HasPrefix(rows[0].Reason, "party_changed") {
				t.Errorf("%s: %+v", name, rows)
			}
			if again, err := h.dispatcher.View(t.Context(), visit); err != nil || again.Answer != nil || again.Refusal == nil {
				t.Errorf("%s, looked at again: %+v: %v", name, again, err)
			}
			if change == nil {
				must(t, h.registry.Add(t.Context(), operator, kept, 1))
			} else {
				must(t, h.registry.Change(t.Context(), operator, kept, 1))
			}
		}
		w.End(logintest.LocalBoss)
		if doc := enter(logintest.LocalBoss); !strings.Contains(doc, "status:AuthnFailed") || !strings.Contains(doc, "incident ") || strings.Contains(doc, "Assertion>") {
			t.Errorf("somebody who left: %s", doc)
		}
	})
}
