package samlidp_test

import (
	"encoding/base64"
	"encoding/xml"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// TestCrewjamLogout has crewjam/saml's service provider ask for a logout and check our answer, and answer ours. By POST alone: by redirect it puts its
// signature inside the document, which Bindings, section 3.4.4.1, forbids.
func TestCrewjamLogout(t *testing.T) {
	h := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)))
	h.sloParties()
	saml.TimeNow, saml.Clock = h.now, dsig.NewFakeClockAt(start)
	delay := saml.MaxIssueDelay // of answers it is counted from the machine's clock, whatever TimeNow says
	saml.MaxIssueDelay = 100 * 365 * 24 * time.Hour
	t.Cleanup(func() { saml.MaxIssueDelay = delay })
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
		SignatureMethod: dsig.RSASHA256SignatureMethod, AuthnNameIDFormat: saml.PersistentNameIDFormat, LogoutBindings: []string{saml.HTTPPostBinding},
	}
	for binding, want := range map[string]string{saml.HTTPRedirectBinding: slo, saml.HTTPPostBinding: slo, saml.SOAPBinding: sloSOAP} {
		if got := peer.GetSLOBindingLocation(binding); got != want {
			t.Errorf("%s is at %q", binding, got)
		}
	}
	document, err := xml.Marshal(peer.Metadata())
	must(t, err)
	read, err := sp.ReadMetadata(document, start.UnixMicro(), nil)
	must(t, err)
	p := read.Draft(policies.NetworkInternet)
	p.ID, p.Name, p.Sector, p.Least, p.NameID, p.Encrypt, p.Signed = "crewjam", "crewjam", "crewjam.example", policies.AssuranceTwo, sp.NameIDPersistent, false, false
	must(t, h.registry.Add(t.Context(), operator, p, 1))
	enter := func() string {
		r := h.redirect(query(strings.Replace(h.ask("crewjam", map[string]string{"AssertionConsumerServiceURL": "https://crewjam.example/acs"}), entityOf("crewjam"), p.EntityID, 1), "", pair{}))
		got, err := peer.ParseXMLResponse([]byte(r.doc), []string{attribute(r.doc, "InResponseTo")}, peer.AcsURL)
		must(t, err)
		return got.Subject.NameID.Value
	}
	field := func(page, name string) string {
		_, rest, _ := strings.Cut(page, `name="`+name+`" value="`)
		value, _, _ := strings.Cut(rest, `"`)
		return strings.ReplaceAll(value, "&#43;", "+")
	}
	b64 := func(doc string) string { return base64.StdEncoding.EncodeToString([]byte(doc)) }

	// It asks.
	h.loggedIn("s1")
	page, err := peer.MakePostLogoutRequest(enter(), "state")
	must(t, err)
	s := h.newBrowser().posts(url.Values{"SAMLRequest": {field(string(page), "SAMLRequest")}, "RelayState": {"state"}}.Encode())
	if !h.isGone("s1") || s.to != "https://crewjam.example/slo" || s.rel != "state" {
		t.Fatalf("%+v\n%s", s, h.log.String())
	}
	if err := peer.ValidateLogoutResponseForm(b64(s.answer)); err != nil {
		t.Errorf("%v\n%s", err, s.answer)
	}
	if err := peer.ValidateLogoutResponseForm(b64(strings.Replace(s.answer, "Success", "Responder", 1))); err == nil {
		t.Error("it takes a changed answer: this peer checks nothing")
	}

	// We ask, at the wish of another.
	h.loggedIn("s2")
	name := enter()
	b, who := h.newBrowser(), h.enter("front")
	s = b.open(slo + "?" + carry("SAMLRequest", h.wants("front", who, nil), "", h.own))
	if s.onward != "crewjam 1/1" {
		t.Fatalf("%+v", s)
	}
	var request saml.LogoutRequest
	must(t, xml.Unmarshal([]byte(s.request), &request))
	if request.NameID.Value != name || request.SessionIndex == nil || request.Issuer.Value != metadata.EntityID {
		t.Errorf("%+v", request)
	}
	page, err = peer.MakePostLogoutResponse(request.ID, "")
	must(t, err)
	s = b.posts(url.Values{"SAMLResponse": {field(string(page), "SAMLResponse")}}.Encode())
	if el, _ := h.carried(t, s.to, "SAMLResponse"); codes(t, el) != "Success" || h.states("s2") != "crewjam:delivered,front:delivered asked" {
		t.Errorf("%s, %s", codes(t, el), h.states("s2"))
	}
}
