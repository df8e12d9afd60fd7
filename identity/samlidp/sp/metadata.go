package sp

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// Metadata is what a provider's own metadata says (SAML 2.0 Metadata, sections 2.3.2 and 2.4.4), as far as it is taken. It is checked as far as
// the document goes; SP.Check judges what is made of it.
type Metadata struct {
	EntityID   string
	Consumers  []Consumer
	Logout     []Endpoint
	Signing    [][]byte // certificates, DER
	Encryption []Encryption
	NameIDs    []NameID
	Signed     bool          // its requests are signed
	Requested  []string      // names of attributes that it asks for
	ValidUntil int64         // UTC, microseconds; 0 for no end
	Cache      time.Duration // cacheDuration: it is to be fetched anew within; 0 where it doesn't say
	Verified   bool          // its signature was checked
	Notices    []string      // what was left out, and why; for the administrator
}

// maxRequested bounds the attributes that a provider asks for.
const maxRequested = 200

// ReadMetadata reads the metadata of one service provider at a time (UTC, microseconds). With signers it has to be signed by one of them, and
// nothing but what they signed is read; without, its signature isn't looked at. The error says what to change.
func ReadMetadata(data []byte, at int64, signers []*x509.Certificate) (Metadata, error) {
	root, err := wire.Parse(data, wire.MetadataLimits)
	if err != nil {
		return Metadata{}, fmt.Errorf("metadata: %w", err)
	}
	m := Metadata{Verified: len(signers) > 0}
	if m.Verified {
		if root, err = wire.Verify(root, signers); err != nil {
			return Metadata{}, fmt.Errorf("metadata: %w", err)
		}
	}
	if wire.Is(root, wire.NSMetadata, "EntitiesDescriptor") {
		return Metadata{}, errors.New("metadata: this is a list of many entities; give the EntityDescriptor of the one to be registered")
	}
	if !wire.Is(root, wire.NSMetadata, "EntityDescriptor") {
		return Metadata{}, errors.New("metadata: the outermost element isn't an EntityDescriptor of SAML 2.0 metadata")
	}
	if m.EntityID = wire.Attr(root, "entityID"); !entity(m.EntityID) {
		return Metadata{}, fmt.Errorf("metadata: entityID: want an absolute URI of at most %d bytes, without white space", maxEntity)
	}
	var role *etree.Element
	for _, r := range wire.Children(root, wire.NSMetadata, "SPSSODescriptor") {
		switch {
		case !slices.Contains(strings.Fields(wire.Attr(r, "protocolSupportEnumeration")), wire.NSProtocol):
			m.note("a role for another protocol than SAML 2.0 was left out")
		case role != nil:
			return Metadata{}, errors.New("metadata: there are two SPSSODescriptors for SAML 2.0; which one counts can't be known")
		default:
			role = r
		}
	}
	if role == nil {
		return Metadata{}, errors.New("metadata: there is no SPSSODescriptor for SAML 2.0: this isn't a service provider")
	}
	for _, el := range []*etree.Element{root, role} {
		if err := m.until(el, at); err != nil {
			return Metadata{}, err
		}
		m.cache(el)
	}
	return m, m.role(role)
}

func (m *Metadata) note(format string, args ...any) {
	m.Notices = append(m.Notices, fmt.Sprintf(format, args...))
}

// until holds validUntil.
func (m *Metadata) until(el *etree.Element, at int64) error {
	text, ok := wire.Lookup(el, "validUntil")
	if !ok {
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return errors.New("metadata: validUntil isn't a time in UTC, like 2027-01-31T00:00:00Z")
	}
	if t.UnixMicro() <= at {
		return fmt.Errorf("metadata: it was valid until %s; fetch it anew", t.UTC().Format(time.RFC3339))
	}
	if m.ValidUntil == 0 || t.UnixMicro() < m.ValidUntil {
		m.ValidUntil = t.UnixMicro()
	}
	return nil
}

// cache reads cacheDuration (SAML 2.0 Metadata, section 2.3.2). It is advice: what can't be read is left out.
func (m *Metadata) cache(el *etree.Element) {
	text, ok := wire.Lookup(el, "cacheDuration")
	if !ok {
		return
	}
	d, err := duration(text)
	if err != nil {
		m.note("cacheDuration was left out: it %v", err)
		return
	}
	if m.Cache == 0 || d < m.Cache {
		m.Cache = max(d, time.Second)
	}
}

func (m *Metadata) role(role *etree.Element) error {
	var err error
	if m.Signed, err = Boolean(wire.Attr(role, "AuthnRequestsSigned")); err != nil {
		return fmt.Errorf("metadata: AuthnRequestsSigned %w", err)
	}
	for _, k := range wire.Children(role, wire.NSMetadata, "KeyDescriptor") {
		m.key(k)
	}
	for _, c := range wire.Children(role, wire.NSMetadata, "AssertionConsumerService") {
		if err := m.consumer(c); err != nil {
			return err
		}
	}
	for _, e := range wire.Children(role, wire.NSMetadata, "SingleLogoutService") {
		m.logout(e)
	}
	for _, f := range wire.Children(role, wire.NSMetadata, "NameIDFormat") {
		if n := NameID(wire.Text(f)); slices.Contains(NameIDs(), n) && !slices.Contains(m.NameIDs, n) {
			m.NameIDs = append(m.NameIDs, n)
		}
	}
	for _, s := range wire.Children(role, wire.NSMetadata, "AttributeConsumingService") {
		for _, a := range wire.Children(s, wire.NSMetadata, "RequestedAttribute") {
			if name := wire.Attr(a, "Name"); len(m.Requested) < maxRequested && words(name, maxAddress) && !slices.Contains(m.Requested, name) {
				m.Requested = append(m.Requested, name)
			}
		}
	}
	if len(m.Consumers) == 0 {
		return errors.New("metadata: there is no AssertionConsumerService by HTTP-POST with an https address")
	}
	return nil
}

// key takes a KeyDescriptor: its first certificate.
func (m *Metadata) key(el *etree.Element) {
	use := wire.Attr(el, "use")
	var texts []string
	for _, info := range wire.Children(el, wire.NSSignature, "KeyInfo") {
		for _, d := range wire.Children(info, wire.NSSignature, "X509Data") {
			for _, c := range wire.Children(d, wire.NSSignature, "X509Certificate") {
				texts = append(texts, wire.Text(c))
			}
		}
	}
	if len(texts) == 0 {
		m.note("a key without a certificate was left out")
		return
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(texts[0]), ""))
	if err == nil {
		_, err = certificate(der)
	}
	if err != nil {
		m.note("a key was left out: want the certificate of an RSA key of %d to %d bits", minRSA, maxRSA)
		return
	}
	if use == "" || use == "signing" {
		m.Signing = append(m.Signing, der)
	}
	if use == "" || use == "encryption" {
		e := Encryption{Certificate: der}
		for _, method := range wire.Children(el, wire.NSMetadata, "EncryptionMethod") {
			if a := wire.Attr(method, "Algorithm"); len(e.Methods) < maxMethods && usable(method, a) {
				e.Methods = append(e.Methods, a)
			}
		}
		m.Encryption = append(m.Encryption, e)
	}
}

// usable reports whether we can use a listed algorithm as it is listed: rsa-oaep with SHA-256, which is what is sent, where digests are named.
func usable(method *etree.Element, algorithm string) bool {
	d := wire.Children(method, wire.NSSignature, "DigestMethod")
	named := func(want string) bool {
		return len(d) == 0 || slices.ContainsFunc(d, func(el *etree.Element) bool { return wire.Attr(el, "Algorithm") == want })
	}
	switch algorithm {
	case wire.OAEP:
		return named(wire.DigestSHA256)
	case wire.AES128GCM, wire.AES256GCM, wire.AES256CBC, wire.OAEPMGF1P:
		return true
	}
	return false
}

func (m *Metadata) consumer(el *etree.Element) error {
	binding, location := wire.Attr(el, "Binding"), wire.Attr(el, "Location")
	if binding != BindingPOST {
		m.note("an assertion consumer service was left out: its binding isn't HTTP-POST")
		return nil
	}
	if err := Address(location); err != nil {
		m.note("an assertion consumer service was left out: %v", err)
		return nil
	}
	index, err := strconv.ParseUint(wire.Attr(el, "index"), 10, 16)
	if err != nil {
		return fmt.Errorf("metadata: AssertionConsumerService %q: index: want 0 to %d", location, maxIndex)
	}
	first, err := Boolean(wire.Attr(el, "isDefault"))
	if err != nil {
		return fmt.Errorf("metadata: AssertionConsumerService %q: isDefault %w", location, err)
	}
	if len(m.Consumers) == maxConsumers {
		return fmt.Errorf("metadata: at most %d assertion consumer services", maxConsumers)
	}
	m.Consumers = append(m.Consumers, Consumer{Location: location, Index: int(index), Default: first})
	return nil
}

func (m *Metadata) logout(el *etree.Element) {
	e := Endpoint{Binding: wire.Attr(el, "Binding"), Location: wire.Attr(el, "Location"), Response: wire.Attr(el, "ResponseLocation")}
	switch {
	case e.Binding != BindingRedirect && e.Binding != BindingPOST && e.Binding != BindingSOAP:
		m.note("a logout service was left out: its binding isn't HTTP-Redirect, HTTP-POST or SOAP")
	case Address(e.Location) != nil || e.Response != "" && Address(e.Response) != nil:
		m.note("a logout service was left out: its address isn't https")
	case len(m.Logout) == maxLogout:
		m.note("more than %d logout services", maxLogout)
	default:
		m.Logout = append(m.Logout, e)
	}
}

// Boolean reads an xs:boolean; empty counts as false.
func Boolean(text string) (bool, error) {
	switch text {
	case "true", "1":
		return true, nil
	case "", "false", "0":
		return false, nil
	}
	return false, errors.New("isn't true or false")
}

// Draft makes a provider of the metadata, reached in one network. What metadata can't say, id, name, sector, functions and who may enter, is
// still to be filled in.
func (m Metadata) Draft(n policies.Network) SP {
	p := SP{
		EntityID: m.EntityID, Faces: []Face{{Network: n, Consumers: m.Consumers, Logout: m.Logout}}, Signing: m.Signing, Encryption: m.Encryption,
		Signed: m.Signed, Encrypt: len(m.Encryption) > 0, Sign: SignBoth, NameID: NameIDPersistent,
	}
	if len(m.NameIDs) > 0 {
		p.NameID = m.NameIDs[0]
	}
	return p
}
