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
	"net/url"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/registration"
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

// demoProvider is a stand-in as a service provider of the hub, registered by the profile of its product.
type demoProvider struct {
	site, name, profile string
	functions           []policies.Function // of those that no product's profile is about
}

func demoProviders() []demoProvider {
	return []demoProvider{
		{sandbox.Jira, "Jira Service Management (代役)", "atlassian-portal", nil},
		{sandbox.Staff, "職員用 Jira (代役)", "atlassian", nil},
		{sandbox.Slack, "Slack (代役)", "slack", nil},
		{demoWiki, "資料室 (見本のサイト)", "generic-saml", []policies.Function{policies.FunctionDocuments}},
	}
}

// registration is what an operator writes of a stand-in, whose page says what.
func (x demoProvider) registration(what sandbox.SAMLDescription) (sp.SP, error) {
	profile, err := registration.Find(x.profile)
	if err != nil {
		return sp.SP{}, err
	}
	consumer, err := url.Parse(what.Consumer)
	if err != nil {
		return sp.SP{}, err
	}
	r := profile.In([]policies.Network{policies.NetworkInternet})
	r.ID, r.Name = policies.RelyingPartyID(x.site), x.name
	r.Values = map[string]string{"entity": what.EntityID, "acs": what.Consumer, "site": consumer.Host, "host": consumer.Host}
	if len(x.functions) > 0 {
		r.Functions, r.Sector = x.functions, consumer.Hostname()
	}
	if what.Signed {
		yes := true
		r.Signed, r.Signing = &yes, []string{registration.PEM(what.Certificate)}
	}
	if r, err = r.Fill(); err != nil {
		return sp.SP{}, err
	}
	p, err := r.SP()
	if err == nil && what.Logout != "" {
		p.Faces[0].Logout = []sp.Endpoint{{Binding: sp.BindingRedirect, Location: what.Logout}}
	}
	return p, err
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
		p, err := x.registration(what)
		if err == nil {
			err = d.putSAML(ctx, p)
		}
		if err != nil {
			return fmt.Errorf("the stand-in %s: %w", x.site, err)
		}
		s := sandbox.SAMLSettings{Issuer: hub.EntityID, SSOURL: hub.at(hub.Role.SSO, what.Binding), Certificate: hub.Role.Keys[0].Certificate}
		if x.site == sandbox.Slack {
			s.ResponseSigned, s.AssertionSigned = true, true
		}
		if what.Logout != "" {
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
