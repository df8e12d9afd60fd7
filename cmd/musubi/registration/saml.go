package registration

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// Protocol is how a party logs people in.
type Protocol string

// The protocols.
const (
	OIDC Protocol = "oidc" // what a registration is that says nothing
	SAML Protocol = "saml"
)

// Speaks gives the registration's protocol.
func (r Registration) Speaks() Protocol {
	if r.Protocol == "" {
		return OIDC
	}
	return r.Protocol
}

// Provider is what a registration of a SAML service provider says beside what those of all protocols say.
type Provider struct {
	EntityID      string      `json:"entity_id,omitempty"`
	Vendor        string      `json:"vendor,omitempty"`  // the profile whose notes are about it
	NameID        string      `json:"name_id,omitempty"` // persistent, transient, email
	Sign          sp.Sign     `json:"sign,omitempty"`
	Signed        *bool       `json:"signed,omitempty"`
	Encrypt       *bool       `json:"encrypt,omitempty"`
	Initiated     *bool       `json:"initiated,omitempty"`
	IgnoreContext *bool       `json:"ignore_context,omitempty"`
	Beyond        []string    `json:"beyond,omitempty"` // origins to which it leads people on from where it is answered
	Attributes    []Attribute `json:"attributes,omitempty"`
	Owner         Number      `json:"owner,omitempty"`
	Contact       sp.Contact  `json:"contact,omitzero"`
	Intake        sp.Intake   `json:"intake,omitempty"` // metadata, certificates, certificate
}

// Keys are a service provider's keys. They stand last in a file, because they are long.
type Keys struct {
	Signing    []string     `json:"signing,omitempty"` // certificates, PEM
	Encryption []Encryption `json:"encryption,omitempty"`
}

// Attribute is an attribute of assertions.
type Attribute struct {
	Field    sp.Field `json:"field"`
	Name     string   `json:"name"`
	Format   string   `json:"format,omitempty"` // uri, basic, unspecified, or the whole name of another
	Friendly string   `json:"friendly,omitempty"`
}

// Encryption is a key that assertions can be encrypted for.
type Encryption struct {
	Certificate string   `json:"certificate"` // PEM
	Methods     []string `json:"methods,omitempty"`
}

// Endpoint is where a logout message goes.
type Endpoint struct {
	Binding  string `json:"binding"` // redirect, post, soap
	Location string `json:"location"`
	Response string `json:"response,omitempty"`
}

// Number is an organization's number. Most begin with a zero, and without quotation marks YAML would read another number out of it.
type Number string

// UnmarshalYAML takes the number as it is written, with quotation marks or without.
func (n *Number) UnmarshalYAML(text []byte) error {
	text = bytes.TrimSpace(text)
	if len(text) > 0 && (text[0] == '"' || text[0] == '\'') {
		var s string
		if err := yaml.Unmarshal(text, &s); err != nil {
			return err
		}
		text = []byte(s)
	}
	*n = Number(text)
	return nil
}

// The words for what SAML has long names for.
var (
	nameIDs  = map[string]sp.NameID{"persistent": sp.NameIDPersistent, "transient": sp.NameIDTransient, "email": sp.NameIDEmail}
	bindings = map[string]string{"redirect": sp.BindingRedirect, "post": sp.BindingPOST, "soap": sp.BindingSOAP}
	formats  = map[string]string{
		"uri": "urn:oasis:names:tc:SAML:2.0:attrname-format:uri", "basic": "urn:oasis:names:tc:SAML:2.0:attrname-format:basic",
		"unspecified": "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified",
	}
)

// NameIDWord is the word for a format of names; the format itself where there is none.
func NameIDWord(n sp.NameID) string { return word(nameIDs, n) }

// BindingWord is the word for a binding; the binding itself where there is none.
func BindingWord(b string) string { return word(bindings, b) }

func word[T ~string](words map[string]T, long T) string {
	for short, l := range words {
		if l == long {
			return short
		}
	}
	return string(long)
}

func long[T ~string](words map[string]T, short string) T {
	if l, ok := words[short]; ok {
		return l
	}
	return T(short)
}

// SP gives the registration as the registry of service providers keeps it. What is wrong with it is for sp.SP.Check to say.
func (r Registration) SP() (sp.SP, error) {
	level, err := r.level()
	if err != nil {
		return sp.SP{}, err
	}
	if err := r.foreign(SAML); err != nil {
		return sp.SP{}, err
	}
	if r.NameID != "" && !slices.Contains(sp.NameIDs(), long(nameIDs, r.NameID)) {
		return sp.SP{}, fmt.Errorf("name_id: %q is none of persistent, transient, email", r.NameID)
	}
	p := sp.SP{
		ID: r.ID, Name: r.Name, EntityID: r.EntityID, Vendor: r.Vendor, Sector: r.Sector, Signed: is(r.Signed), Encrypt: is(r.Encrypt), Sign: r.Sign,
		NameID: long(nameIDs, r.NameID), Initiated: is(r.Initiated), IgnoreContext: is(r.IgnoreContext), Least: level,
		Functions: r.Functions, Products: r.Products, Owner: policies.OrgID(r.Owner), Contact: r.Contact, Intake: r.Intake,
		Beyond: r.Beyond,
	}
	for _, a := range r.Attributes {
		p.Attributes = append(p.Attributes, sp.Attribute{Field: a.Field, Name: a.Name, Format: long(formats, a.Format), Friendly: a.Friendly})
	}
	for i, text := range r.Signing {
		der, err := Certificate(text)
		if err != nil {
			return sp.SP{}, fmt.Errorf("signing %d: %w", i+1, err)
		}
		p.Signing = append(p.Signing, der)
	}
	for i, e := range r.Encryption {
		der, err := Certificate(e.Certificate)
		if err != nil {
			return sp.SP{}, fmt.Errorf("encryption %d: %w", i+1, err)
		}
		p.Encryption = append(p.Encryption, sp.Encryption{Certificate: der, Methods: e.Methods})
	}
	for _, n := range r.ordered() {
		f := sp.Face{Network: n, Consumers: r.Networks[n].Consumers}
		for _, e := range r.Networks[n].Logout {
			f.Logout = append(f.Logout, sp.Endpoint{Binding: long(bindings, e.Binding), Location: e.Location, Response: e.Response})
		}
		p.Faces = append(p.Faces, f)
	}
	return p, nil
}

// OfSP gives a stored service provider as people write it.
func OfSP(p sp.SP) Registration {
	r := Registration{
		ID: p.ID, Protocol: SAML, Name: p.Name, Sector: p.Sector, Least: LevelName(p.Least), Functions: p.Functions, Products: p.Products,
		Networks: map[policies.Network]Face{},
		Provider: Provider{
			EntityID: p.EntityID, Vendor: p.Vendor, NameID: NameIDWord(p.NameID), Sign: p.Sign, Signed: yes(p.Signed), Encrypt: yes(p.Encrypt),
			Initiated: yes(p.Initiated), IgnoreContext: yes(p.IgnoreContext), Owner: Number(p.Owner), Contact: p.Contact,
			Intake: p.Intake, Beyond: p.Beyond,
		},
	}
	for _, a := range p.Attributes {
		r.Attributes = append(r.Attributes, Attribute{a.Field, a.Name, word(formats, a.Format), a.Friendly})
	}
	for _, der := range p.Signing {
		r.Signing = append(r.Signing, PEM(der))
	}
	for _, e := range p.Encryption {
		r.Encryption = append(r.Encryption, Encryption{PEM(e.Certificate), e.Methods})
	}
	for _, f := range p.Faces {
		face := Face{Consumers: f.Consumers}
		for _, e := range f.Logout {
			face.Logout = append(face.Logout, Endpoint{BindingWord(e.Binding), e.Location, e.Response})
		}
		r.Networks[f.Network] = face
	}
	return r
}

// WithMetadata puts what a provider's metadata says over the registration, in each of its networks. Of the formats of names that are listed the
// registration's own is kept; where it isn't among them it is the first.
func (r Registration) WithMetadata(m sp.Metadata) Registration {
	draft := OfSP(m.Draft(policies.NetworkInternet))
	more := Registration{Provider: Provider{EntityID: draft.EntityID, Signed: draft.Signed, Encrypt: draft.Encrypt}, Keys: draft.Keys}
	if len(m.NameIDs) > 0 && !slices.Contains(m.NameIDs, long(nameIDs, r.NameID)) {
		more.NameID = draft.NameID
	}
	more.Networks = map[policies.Network]Face{}
	for n := range r.Networks {
		more.Networks[n] = draft.Networks[policies.NetworkInternet]
	}
	return r.Over(more)
}

// PEM writes a certificate as text.
func PEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Certificate reads the one certificate of a text in PEM, and gives it as DER.
func Certificate(text string) ([]byte, error) {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, errors.New("there is no certificate in PEM: -----BEGIN CERTIFICATE-----")
	case block.Type == "PRIVATE KEY" || strings.HasSuffix(block.Type, " PRIVATE KEY"):
		return nil, errors.New("this is a private key, which belongs to nobody but its owner: have it replaced, and give the certificate")
	case block.Type != "CERTIFICATE":
		return nil, fmt.Errorf("this is a %s; want a CERTIFICATE", block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("there is more than one certificate in a text; write each by itself")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("the certificate can't be read: %w", err)
	}
	return block.Bytes, nil
}

// over puts what more says in p's place.
func (p *Provider) over(more Provider) {
	put(&p.EntityID, more.EntityID)
	put(&p.Vendor, more.Vendor)
	put(&p.NameID, more.NameID)
	put(&p.Sign, more.Sign)
	put(&p.Signed, more.Signed)
	put(&p.Encrypt, more.Encrypt)
	put(&p.Initiated, more.Initiated)
	put(&p.IgnoreContext, more.IgnoreContext)
	put(&p.Owner, more.Owner)
	put(&p.Contact.Name, more.Contact.Name)
	put(&p.Contact.Mail, more.Contact.Mail)
	put(&p.Intake, more.Intake)
	list(&p.Beyond, more.Beyond)
	list(&p.Attributes, more.Attributes)
}

// over puts what more says in k's place.
func (k *Keys) over(more Keys) {
	list(&k.Signing, more.Signing)
	list(&k.Encryption, more.Encryption)
}

// foreign refuses a registration of another protocol than the one it is read as, and what belongs to another.
func (r Registration) foreign(as Protocol) error {
	if r.Speaks() != as {
		return fmt.Errorf("protocol: %q isn't %s", r.Speaks(), as)
	}
	var found []string
	has := func(set bool, name string) {
		if set {
			found = append(found, name)
		}
	}
	saml := r.Speaks() == SAML
	for _, f := range r.Networks {
		if saml {
			has(f.Redirects != nil, "redirects")
			has(f.PostLogout != nil, "post_logout")
			has(f.Backchannel != "", "backchannel")
			has(f.Frontchannel != "", "frontchannel")
			has(f.Resources != nil, "resources")
			has(f.Serves != nil, "serves")
		} else {
			has(f.Consumers != nil, "consumers")
			has(f.Logout != nil, "logout")
		}
	}
	if saml {
		has(r.Auth != "", "auth")
		has(r.Alg != "", "alg")
		has(r.Scopes != nil, "scopes")
		has(r.JWKS != nil, "jwks")
		has(r.Native != nil, "native")
		has(r.PAR != nil, "par")
		has(r.Refresh != nil, "refresh")
		has(r.IDClaim != nil, "id_claim")
	} else {
		p := r.Provider
		has(p.EntityID != "", "entity_id")
		has(p.Vendor != "", "vendor")
		has(p.NameID != "", "name_id")
		has(p.Sign != "", "sign")
		has(p.Signed != nil, "signed")
		has(p.Encrypt != nil, "encrypt")
		has(p.Initiated != nil, "initiated")
		has(p.IgnoreContext != nil, "ignore_context")
		has(p.Attributes != nil, "attributes")
		has(p.Owner != "", "owner")
		has(p.Intake != "", "intake")
		has(p.Beyond != nil, "beyond")
		has(p.Contact != sp.Contact{}, "contact")
		has(r.Signing != nil, "signing")
		has(r.Encryption != nil, "encryption")
	}
	slices.Sort(found)
	if found = slices.Compact(found); len(found) > 0 {
		return fmt.Errorf("%s: no field of a registration of protocol %s", strings.Join(found, ", "), r.Speaks())
	}
	return nil
}
