package sp

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"

	"github.com/musubi-hub/musubi/policies"
)

// The bindings (SAML 2.0 Bindings, section 3).
const (
	BindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	BindingPOST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	BindingSOAP     = "urn:oasis:names:tc:SAML:2.0:bindings:SOAP"
)

// NameID is how a person is named towards a provider: a format of SAML 2.0 Core, section 8.3.
type NameID string

// The formats.
const (
	NameIDPersistent NameID = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" // pairwise, by Sector
	NameIDTransient  NameID = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"  // another one at each login
	NameIDEmail      NameID = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
)

// NameIDs lists the formats that there are.
func NameIDs() []NameID { return []NameID{NameIDPersistent, NameIDTransient, NameIDEmail} }

// Sign says what carries a signature. A response without an assertion, a refusal, is signed itself always.
type Sign string

// What is signed.
const (
	SignBoth      Sign = "both"
	SignResponse  Sign = "response"
	SignAssertion Sign = "assertion"
)

// Field is a value about a person that an attribute can carry.
type Field string

// The fields.
const (
	FieldDisplayName  Field = "display_name"
	FieldFamilyName   Field = "family_name"
	FieldGivenName    Field = "given_name"
	FieldFamilyKana   Field = "family_kana"
	FieldGivenKana    Field = "given_kana"
	FieldFamilyRomaji Field = "family_romaji"
	FieldGivenRomaji  Field = "given_romaji"
	FieldEmail        Field = "email"
	FieldPhone        Field = "phone"
	FieldExtension    Field = "extension"
	FieldOrg          Field = "organization"
	FieldOrgName      Field = "organization_name"
	FieldOrgKind      Field = "organization_kind"
	FieldSection      Field = "section"
	FieldTitle        Field = "title"
	FieldRole         Field = "role"
	FieldSubject      Field = "subject" // the persistent name, by Sector, whatever the NameID is
)

// released says which attribute policy has to release for each field.
var released = map[Field]policies.Attribute{
	FieldDisplayName: policies.AttributeName, FieldFamilyName: policies.AttributeName, FieldGivenName: policies.AttributeName,
	FieldFamilyKana: policies.AttributeName, FieldGivenKana: policies.AttributeName,
	FieldFamilyRomaji: policies.AttributeName, FieldGivenRomaji: policies.AttributeName,
	FieldEmail: policies.AttributeEmail, FieldPhone: policies.AttributePhone, FieldExtension: policies.AttributePhone,
	FieldOrg: policies.AttributeOrganization, FieldOrgName: policies.AttributeOrganization, FieldOrgKind: policies.AttributeOrganization,
	FieldSection: policies.AttributeSection, FieldTitle: policies.AttributeSection, FieldRole: policies.AttributeRole,
}

// Released gives the attribute that policy has to release for the field: none for the persistent name, which says nothing of the person. ok is
// false for an unknown field.
func (f Field) Released() (a policies.Attribute, ok bool) {
	if f == FieldSubject {
		return "", true
	}
	a, ok = released[f]
	return a, ok
}

// Fields lists the fields.
func Fields() []Field {
	return append(slices.Sorted(maps.Keys(released)), FieldSubject)
}

// Attribute is one attribute of assertions (SAML 2.0 Core, section 2.7.3.1).
type Attribute struct {
	Field    Field  `json:"field"`
	Name     string `json:"name"`               // as the provider wants it
	Format   string `json:"format,omitempty"`   // NameFormat; empty for unspecified
	Friendly string `json:"friendly,omitempty"` // for people who read it
}

// Consumer is an assertion consumer service, always by HTTP-POST.
type Consumer struct {
	Location string `json:"location"`
	Index    int    `json:"index"`
	Default  bool   `json:"default,omitempty"`
}

// Endpoint is where a logout message goes.
type Endpoint struct {
	Binding  string `json:"binding"`
	Location string `json:"location"`
	Response string `json:"response,omitempty"` // where answers go, if elsewhere
}

// Face is where a provider is reached in one network.
type Face struct {
	Network   policies.Network `json:"network"`
	Consumers []Consumer       `json:"consumers"`
	Logout    []Endpoint       `json:"logout,omitempty"`
}

// Encryption is a key that assertions can be encrypted for.
type Encryption struct {
	Certificate []byte   `json:"certificate"`       // DER
	Methods     []string `json:"methods,omitempty"` // algorithms that its owner lists
}

// Contact is who is written to about a provider: about a key that changes, say.
type Contact struct {
	Name string `json:"name,omitempty"` // a section or a person
	Mail string `json:"mail,omitempty"` // one address
}

// Intake is how a provider takes the hub's keys: when a key changes, what it does by itself and what a person has to do there.
type Intake string

// The ways. A provider of which nothing is known is held for one with a single certificate: then nothing is taken for granted.
const (
	IntakeMetadata     Intake = "metadata"     // it reads our metadata again and again, and believes every key in it
	IntakeCertificates Intake = "certificates" // a person enters certificates; it holds two at a time
	IntakeCertificate  Intake = "certificate"  // a person enters the one certificate that it holds
)

// Intakes lists the ways that there are.
func Intakes() []Intake { return []Intake{IntakeMetadata, IntakeCertificates, IntakeCertificate} }

// SP is a service provider.
type SP struct {
	ID         policies.RelyingPartyID `json:"id"`
	Name       string                  `json:"name"`
	EntityID   string                  `json:"entity_id"`
	Faces      []Face                  `json:"faces"`             // one per network where the provider is reached
	Sector     string                  `json:"sector"`            // providers of one sector see the same persistent name
	Signing    [][]byte                `json:"signing,omitempty"` // certificates (DER) of keys that sign requests
	Encryption []Encryption            `json:"encryption,omitempty"`

	Signed        bool               `json:"signed,omitempty"`  // requests have to be signed
	Encrypt       bool               `json:"encrypt,omitempty"` // assertions are encrypted, for the first key
	Sign          Sign               `json:"sign"`
	NameID        NameID             `json:"name_id"`
	Initiated     bool               `json:"initiated,omitempty"`      // logins may begin at the hub, by a signed link
	Beyond        []string           `json:"beyond,omitempty"`         // origins to which its consumers lead the browser on: where they greet people, if that is another host
	IgnoreContext bool               `json:"ignore_context,omitempty"` // what it asks about the kind of login doesn't count: it asks for passwords and can't be told not to
	Least         policies.Assurance `json:"least"`                    // what a login must reach
	Attributes    []Attribute        `json:"attributes,omitempty"`

	Functions []policies.Function `json:"functions,omitempty"` // that it carries, for the policies
	Products  []policies.Product  `json:"products,omitempty"`  // it takes a seat in one of them to enter

	Owner   policies.OrgID `json:"owner,omitempty"` // the organization of the directory that answers for it; empty where it isn't known
	Contact Contact        `json:"contact,omitzero"`
	Vendor  string         `json:"vendor,omitempty"` // whose product it is: the name of the profile with the notes about it
	Intake  Intake         `json:"intake,omitempty"` // how it takes our keys; empty counts as one certificate
}

// Policy is what the policies know of the provider.
func (p SP) Policy() policies.RelyingParty {
	rp := policies.RelyingParty{ID: p.ID, Functions: slices.Clone(p.Functions), Products: slices.Clone(p.Products)}
	for _, f := range p.Faces {
		rp.Networks = append(rp.Networks, f.Network)
	}
	return rp
}

// TellsSubject reports whether the provider is told the persistent name as an attribute.
func (p SP) TellsSubject() bool {
	return slices.ContainsFunc(p.Attributes, func(a Attribute) bool { return a.Field == FieldSubject })
}

// Face gives the provider's face in a network.
func (p SP) Face(n policies.Network) (Face, bool) {
	i := slices.IndexFunc(p.Faces, func(f Face) bool { return f.Network == n })
	if i < 0 {
		return Face{}, false
	}
	return p.Faces[i], true
}

// At gives the consumer of a location, octet by octet.
func (f Face) At(location string) (Consumer, bool) {
	i := slices.IndexFunc(f.Consumers, func(c Consumer) bool { return c.Location == location })
	if i < 0 {
		return Consumer{}, false
	}
	return f.Consumers[i], true
}

// Indexed gives the consumer of an index.
func (f Face) Indexed(index int) (Consumer, bool) {
	i := slices.IndexFunc(f.Consumers, func(c Consumer) bool { return c.Index == index })
	if i < 0 {
		return Consumer{}, false
	}
	return f.Consumers[i], true
}

// Default gives the consumer that is used where none is named: the default one, else the first (SAML 2.0 Metadata, section 2.2.3).
func (f Face) Default() (Consumer, bool) {
	i := max(slices.IndexFunc(f.Consumers, func(c Consumer) bool { return c.Default }), 0)
	if i >= len(f.Consumers) {
		return Consumer{}, false
	}
	return f.Consumers[i], true
}

// SigningKeys gives the certificates of the keys that sign requests.
func (p SP) SigningKeys() ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, der := range p.Signing {
		c, err := certificate(der)
		if err != nil {
			return nil, fmt.Errorf("service provider %q: signing: %w", p.ID, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// EncryptionKey gives the key that assertions are encrypted for, and the algorithms that its owner lists.
func (p SP) EncryptionKey() (*rsa.PublicKey, []string, error) {
	if len(p.Encryption) == 0 {
		return nil, nil, fmt.Errorf("service provider %q: it has no key for encryption", p.ID)
	}
	c, err := certificate(p.Encryption[0].Certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("service provider %q: encryption: %w", p.ID, err)
	}
	key, _ := c.PublicKey.(*rsa.PublicKey)
	return key, p.Encryption[0].Methods, nil
}

// The bounds of keys, in bits.
const (
	minRSA = 2048
	maxRSA = 4096
)

// certificate reads a certificate with a key that is taken.
func certificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("a certificate can't be read: %w", err)
	}
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < minRSA || key.N.BitLen() > maxRSA {
		return nil, fmt.Errorf("a certificate's key isn't RSA of %d to %d bits", minRSA, maxRSA)
	}
	return c, nil
}
