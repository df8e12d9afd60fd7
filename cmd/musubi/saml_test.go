package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"html"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/gate"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

const wikiACS = "https://wiki.example/acs"

// wiki is a service provider by crewjam/saml, which signs its requests and wants encrypted assertions. It is reached in both networks and knows one
// identity provider at a time: that of the network from which its metadata was read.
type wiki struct {
	saml.ServiceProvider
	w *town
}

func newWiki(t *testing.T) *wiki {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	noError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wiki"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	noError(t, err)
	cert, err := x509.ParseCertificate(der)
	noError(t, err)
	address := func(text string) url.URL {
		u, err := url.Parse(text)
		noError(t, err)
		return *u
	}
	return &wiki{ServiceProvider: saml.ServiceProvider{
		EntityID: "https://wiki.example/metadata", Key: key, Certificate: cert, MetadataURL: address("https://wiki.example/metadata"), AcsURL: address(wikiACS),
		SloURL: address("https://wiki.example/slo"), SignatureMethod: dsig.RSASHA256SignatureMethod, AuthnNameIDFormat: saml.PersistentNameIDFormat,
	}}
}

// register makes the wiki a party of the hub by its own metadata.
func (k *wiki) register(t *testing.T, h *boot.Hub, actor access.Actor) error {
	t.Helper()
	document, err := xml.Marshal(k.Metadata())
	noError(t, err)
	read, err := sp.ReadMetadata(document, time.Now().UnixMicro(), nil)
	noError(t, err)
	p := read.Draft(policies.NetworkInternet)
	p.ID, p.Name, p.Sector, p.Least, p.NameID = "wiki", "文書", "wiki.example", policies.AssuranceCard, sp.NameIDPersistent
	p.Initiated = true
	p.Functions = []policies.Function{policies.FunctionInquiries}
	p.Attributes = []sp.Attribute{{Field: sp.FieldOrg, Name: "org"}}
	p.Faces = append(p.Faces, sp.Face{Network: policies.NetworkLGWAN, Consumers: p.Faces[0].Consumers})
	if !p.Signed || !p.Encrypt {
		t.Fatalf("%+v", p)
	}
	return h.SPs.Add(t.Context(), actor, p, time.Now().UnixMicro())
}

// knows reads a hub's metadata.
func (k *wiki) knows(b *browser, origin string) {
	t := k.w.t
	t.Helper()
	got, text := b.do(http.MethodGet, origin+"/saml/metadata", nil)
	var m saml.EntityDescriptor
	if err := xml.Unmarshal([]byte(text), &m); err != nil || m.EntityID != origin+"/saml/metadata" || got.Header.Get("Content-Type") != "application/samlmetadata+xml" {
		t.Fatalf("%v %q\n%s", err, m.EntityID, text)
	}
	k.IDPMetadata = &m
}

// ask has a browser bring a new request, as the wiki's own page would. It gives what comes, and the request's ID.
func (k *wiki) ask(b *browser, origin, binding string) (page, id string, resp *http.Response) {
	t := k.w.t
	t.Helper()
	request, err := k.MakeAuthenticationRequest(origin+"/saml/sso", binding, saml.HTTPPostBinding)
	noError(t, err)
	if binding == saml.HTTPRedirectBinding {
		to, err := request.Redirect("state", &k.ServiceProvider)
		noError(t, err)
		resp, page = b.do(http.MethodGet, to.String(), nil)
		return page, request.ID, resp
	}
	value := regexp.MustCompile(`name="SAMLRequest" value="([^"]*)"`).FindStringSubmatch(string(request.Post("state")))
	form := url.Values{"SAMLRequest": {strings.ReplaceAll(value[1], "&#43;", "+")}, "RelayState": {"state"}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+"/saml/sso", strings.NewReader(form.Encode()))
	noError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	first, err := b.w.way(b).RoundTrip(r) // from another site: without cookies, but those that come are kept
	noError(t, err)
	noError(t, first.Body.Close())
	b.client.Jar.SetCookies(r.URL, first.Cookies())
	if first.StatusCode != http.StatusSeeOther {
		t.Fatalf("the request by POST: %d", first.StatusCode)
	}
	resp, page = b.do(http.MethodGet, first.Header.Get("Location"), nil)
	return page, request.ID, resp
}

// takes has the wiki judge the answer that a page takes to it.
func (k *wiki) takes(page, id string) (*saml.Assertion, error) {
	t := k.w.t
	t.Helper()
	action, fields := visitor{t: t}.formOf(page, "/acs")
	doc, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
	noError(t, err)
	if action != wikiACS || fields.Get("RelayState") != "state" {
		t.Fatalf("answered at %s with %q", action, fields.Get("RelayState"))
	}
	got, err := k.ParseXMLResponse(doc, []string{id}, k.AcsURL)
	var why *saml.InvalidResponseError
	if errors.As(err, &why) {
		err = why.PrivateErr
	}
	return got, err
}

// must is takes of what has to be taken.
func (k *wiki) must(page, id string) *saml.Assertion {
	k.w.t.Helper()
	a, err := k.takes(page, id)
	noError(k.w.t, err)
	return a
}

// TestSAML is the whole hub with a service provider that somebody else wrote: both bindings, single sign-on, two networks of which neither counts in the
// other, the end of a session, a leaver, and a restart.
func TestSAML(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		w := &town{install: i, t: t}
		l, err := gate.Listen(t.Context(), "127.0.0.1:0")
		noError(t, err)
		w.lgwan = l.Addr().String()
		noError(t, l.Close())
		k := newWiki(t)
		k.w = w
		w.more = func(h *boot.Hub, actor access.Actor) error { return k.register(t, h, actor) }
		w.build(1)
		hub := i.start(t, "serve")
		hub.match(t, `(serving: https)`)
		lgwan := "https://login." + lgwanHosts

		// The card, by the redirect binding; then the session, by either, while a login in another tab is under way.
		b := w.browser()
		k.knows(b, w.issuer)
		page, id, _ := k.ask(b, w.issuer, saml.HTTPRedirectBinding)
		_, page = b.prove(w.issuer, page, "leaves")
		first := k.must(page, id)
		name, index := first.Subject.NameID.Value, first.AuthnStatements[0].SessionIndex
		if name == "" || index == "" || first.AuthnStatements[0].AuthnContext.AuthnContextClassRef.Value != "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI" ||
			len(first.AttributeStatements) != 1 || first.AttributeStatements[0].Attributes[0].Values[0].Value != string(sapporo) {
			t.Errorf("%+v", first)
		}
		_, tab := b.do(http.MethodGet, w.issuer+"/login?again=1&to=/sessions", nil)
		for _, binding := range []string{saml.HTTPPostBinding, saml.HTTPRedirectBinding} {
			page, id, _ := k.ask(b, w.issuer, binding)
			if a := k.must(page, id); a.Subject.NameID.Value != name || a.AuthnStatements[0].SessionIndex != index {
				t.Errorf("%s: %+v", binding, a)
			}
		}
		// An answer is for its request alone, and once (as far as the wiki is concerned).
		if _, err := k.takes(page, "_other"); err == nil {
			t.Error("the wiki takes an answer to another request: this peer checks nothing")
		}
		if back, text := b.prove(w.issuer, tab, "leaves"); back.Request.URL.Path != "/sessions" {
			t.Errorf("the other tab's login ended at %s\n%s", back.Request.URL, text)
		}

		// The hub's own page of services leads there too, in this session alone.
		_, services := b.do(http.MethodGet, w.issuer+"/services", nil)
		link := regexp.MustCompile(`href="(https://[^"]+/saml/start[^"]+)"`).FindStringSubmatch(services)
		if link == nil || !strings.Contains(services, "文書") || !strings.Contains(services, "desk") || strings.Contains(services, "結び Musubi</h3>") {
			t.Fatalf("the services:\n%s", services)
		}
		_, page = b.do(http.MethodGet, html.UnescapeString(link[1]), nil)
		k.AllowIDPInitiated = true
		_, fields := visitor{t: t}.formOf(page, "/acs")
		doc, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
		noError(t, err)
		if a, err := k.ParseXMLResponse(doc, nil, k.AcsURL); err != nil || a.Subject.NameID.Value != name || a.Subject.SubjectConfirmations[0].SubjectConfirmationData.InResponseTo != "" {
			t.Errorf("a login that began at the hub: %+v, %v", a, err)
		}
		k.AllowIDPInitiated = false
		stranger := w.browser()
		if resp, text := stranger.do(http.MethodGet, html.UnescapeString(link[1]), nil); resp.StatusCode != http.StatusBadRequest || !strings.Contains(text, "別のログイン状態") {
			t.Errorf("somebody else's link: %d\n%s", resp.StatusCode, text)
		}

		// LGWAN is another identity provider. Neither a session nor an answer of one counts in the other, and a request is for one of them.
		page, id, resp := k.ask(b, lgwan, saml.HTTPRedirectBinding)
		if !strings.Contains(page, "/begin") {
			t.Fatalf("a session of the internet did in LGWAN: %d\n%s", resp.StatusCode, page)
		}
		_, page = b.prove(lgwan, page, "leaves")
		if _, err := k.takes(page, id); err == nil || !strings.Contains(err.Error(), "ssuer") {
			t.Errorf("an answer from LGWAN is taken as one from the internet: %v", err)
		}
		k.knows(b, lgwan)
		if a := k.must(page, id); a.Issuer.Value != lgwan+"/saml/metadata" || a.Subject.NameID.Value != name {
			t.Errorf("%+v", a)
		}
		for n, binding := range []string{saml.HTTPRedirectBinding, saml.HTTPPostBinding} {
			request, err := k.MakeAuthenticationRequest(lgwan+"/saml/sso", binding, saml.HTTPPostBinding)
			noError(t, err)
			form := url.Values{"SAMLRequest": {regexp.MustCompile(`value="([^"]*)"`).FindStringSubmatch(strings.ReplaceAll(string(request.Post("")), "&#43;", "+"))[1]}}
			method, to := http.MethodPost, w.issuer+"/saml/sso"
			if n == 0 {
				at, err := request.Redirect("", &k.ServiceProvider)
				noError(t, err)
				method, to, form = http.MethodGet, w.issuer+"/saml/sso?"+at.RawQuery, nil
			}
			resp, page = b.do(method, to, form)
			number := incidentText.FindString(page)
			if resp.StatusCode != http.StatusBadRequest || number == "" {
				t.Errorf("a request for LGWAN at the internet's address: %d\n%s", resp.StatusCode, page)
			} else if found := i.must(t, "audit", "find", "--incident", number, "--as", i.planner()); !strings.Contains(found, "saml.sso") || !strings.Contains(found, "destination") {
				t.Errorf("%s:\n%s", number, found)
			}
		}
		k.knows(b, w.issuer)

		// The end of the session is the end of single sign-on; a restart isn't, and the keys stay.
		certificates := k.IDPMetadata.IDPSSODescriptors[0].KeyDescriptors
		hub.kill()
		hub = i.start(t, "serve")
		hub.match(t, `(serving: https)`)
		k.knows(b, w.issuer)
		if now := k.IDPMetadata.IDPSSODescriptors[0].KeyDescriptors; len(now) != 2 || len(now) != len(certificates) ||
			now[0].KeyInfo.X509Data.X509Certificates[0].Data != certificates[0].KeyInfo.X509Data.X509Certificates[0].Data {
			t.Errorf("a restart changed the certificates: %d", len(now))
		}
		page, id, _ = k.ask(b, w.issuer, saml.HTTPPostBinding)
		k.must(page, id)
		i.must(t, "sessions", "end", "--org", string(sapporo), "S00002", "--reason", "端末の紛失", "--as", i.planner())
		page, id, resp = k.ask(b, w.issuer, saml.HTTPPostBinding)
		if !strings.Contains(page, "/begin") {
			t.Fatalf("a session that has ended still does: %d\n%s", resp.StatusCode, page)
		}
		_, page = b.prove(w.issuer, page, "leaves")
		if again := k.must(page, id); again.Subject.NameID.Value != name || again.AuthnStatements[0].SessionIndex == index {
			t.Errorf("another session has the SessionIndex of the one before: %+v", again)
		}

		// A leaver: not by the session, not by the card. The wiki is told, in the protocol's words, and the person in theirs.
		i.must(t, "people", "end", "--org", string(sapporo), "S00002", "--why", "退職", "--as", i.planner())
		page, id, _ = k.ask(b, w.issuer, saml.HTTPPostBinding)
		resp, page = b.prove(w.issuer, page, "leaves")
		if _, err := k.takes(page, id); err == nil || !strings.Contains(err.Error(), "urn:oasis:names:tc:SAML:2.0:status:Responder") {
			t.Errorf("a leaver's answer: %v", err)
		}
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(page, "在職の登録が終わっている") || incidentText.FindString(page) == "" {
			t.Errorf("a leaver sees %d\n%s", resp.StatusCode, page)
		}
	})
}
