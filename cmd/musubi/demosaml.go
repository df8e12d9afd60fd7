package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// The plain sites of the demonstration: a service provider that has single logout, which the products don't, and an OpenID relying party.
const (
	demoWiki = "wiki"
	demoFAQ  = "faq"
)

// signer draws a key for a stand-in's requests, with a certificate of its own: it is registered anew at each start.
func signer(now time.Time) (crypto.Signer, []byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(now.UnixMicro()), Subject: pkix.Name{CommonName: demoWikiHost}, NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	return key, der, err
}

// provider is what an administrator of a product copies out of the hub's metadata.
type provider struct {
	EntityID string `xml:"entityID,attr"`
	Role     struct {
		Keys []struct {
			Certificate string `xml:"KeyInfo>X509Data>X509Certificate"`
		} `xml:"KeyDescriptor"`
		SSO []address `xml:"SingleSignOnService"`
		SLO []address `xml:"SingleLogoutService"`
	} `xml:"IDPSSODescriptor"`
}

type address struct {
	Binding  string `xml:"Binding,attr"`
	Location string `xml:"Location,attr"`
}

// at gives the address of a binding, "" for none.
func (p provider) at(list []address, binding string) string {
	i := slices.IndexFunc(list, func(a address) bool { return a.Binding == binding })
	if i < 0 {
		return ""
	}
	return list[i].Location
}

// demoSAML is a stand-in as a service provider of the hub.
type demoSAML struct {
	site string // of the sandbox
	sp   sp.SP  // what the hub has to know beside what the stand-in says itself
	post bool   // its requests come by POST
}

// demoProviders are the service providers of the demonstration, as docs/saml.md describes the products.
func demoProviders() []demoSAML {
	attribute := func(field sp.Field, name string) sp.Attribute { return sp.Attribute{Field: field, Name: name} }
	return []demoSAML{
		{site: sandbox.Jira, sp: sp.SP{
			Name: "Jira Service Management (代役)", NameID: sp.NameIDEmail,
			Functions: []policies.Function{policies.FunctionInquiries}, Products: []policies.Product{policies.ProductJira},
		}},
		{site: sandbox.Slack, post: true, sp: sp.SP{
			Name: "Slack (代役)", NameID: sp.NameIDPersistent,
			Attributes: []sp.Attribute{attribute(sp.FieldEmail, "User.Email"), attribute(sp.FieldGivenName, "first_name"), attribute(sp.FieldFamilyName, "last_name")},
			Functions:  []policies.Function{policies.FunctionIncident}, Products: []policies.Product{policies.ProductSlack},
		}},
		{site: demoWiki, sp: sp.SP{
			Name: "資料室 (見本のサイト)", NameID: sp.NameIDPersistent, Signed: true,
			Attributes: []sp.Attribute{attribute(sp.FieldDisplayName, "displayName"), attribute(sp.FieldOrgName, "o"), attribute(sp.FieldEmail, "mail")},
			Functions:  []policies.Function{policies.FunctionDocuments},
		}},
	}
}

// registerSAML makes the stand-ins service providers of the hub, and types the hub in at each stand-in, as its administrator would.
func (d *demo) registerSAML(ctx context.Context, l *demoLogin) error {
	doc, err := l.entry.SAML.Metadata(ctx, policies.NetworkInternet)
	if err != nil {
		return err
	}
	var hub provider
	if err := xml.Unmarshal(doc, &hub); err != nil || len(hub.Role.Keys) == 0 {
		return fmt.Errorf("the hub's own metadata: %w", errors.Join(err, errors.New("it names no key")))
	}
	for _, x := range demoProviders() {
		what, err := d.box.SAML(x.site)
		if err != nil {
			return err
		}
		p := x.sp
		p.ID, p.EntityID, p.Sector, p.Sign, p.Least = policies.RelyingPartyID(x.site), what.EntityID, hostOf(what.Consumer), sp.SignBoth, policies.AssuranceCard
		if len(what.Certificate) > 0 {
			p.Signing = [][]byte{what.Certificate}
		}
		face := sp.Face{Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: what.Consumer, Default: true}}}
		if what.Logout != "" {
			face.Logout = []sp.Endpoint{{Binding: sp.BindingRedirect, Location: what.Logout}}
		}
		p.Faces = []sp.Face{face}
		if err := d.putSAML(ctx, p); err != nil {
			return err
		}
		s := sandbox.SAMLSettings{Issuer: hub.EntityID, SSOURL: hub.at(hub.Role.SSO, sp.BindingRedirect), Certificate: hub.Role.Keys[0].Certificate}
		switch {
		case x.post:
			s.SSOURL, s.ResponseSigned, s.AssertionSigned = hub.at(hub.Role.SSO, sp.BindingPOST), true, true
		case what.Logout != "":
			s.AssertionSigned, s.LogoutURL = true, hub.at(hub.Role.SLO, sp.BindingRedirect)
		}
		if err := d.box.ConfigureSAML(x.site, s); err != nil {
			return err
		}
	}
	return nil
}

// putSAML registers a service provider or changes it. A demonstration of an older version may have registered its id as an OpenID relying party.
func (d *demo) putSAML(ctx context.Context, p sp.SP) error {
	at := d.hub.Now().UnixMicro()
	err := d.hub.SPs.Change(ctx, d.planner, p, at)
	if !errors.Is(err, identity.ErrNotFound) {
		return err
	}
	if err := d.hub.Parties.Remove(ctx, d.planner, p.ID, "it speaks SAML now", at); err != nil && !errors.Is(err, identity.ErrNotFound) {
		return err
	}
	return d.hub.SPs.Add(ctx, d.planner, p, at)
}
