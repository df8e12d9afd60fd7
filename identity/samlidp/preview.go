package samlidp

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// Dry is a login that doesn't happen, at a provider that is registered or might be.
type Dry struct {
	SP        sp.SP
	Network   policies.Network
	Issuer    string // entity id of the hub in that network
	Person    identity.Person
	Org       identity.Organization // of the post in which they act
	Release   []policies.Attribute
	Assurance policies.Assurance
	Key       SigningCertificate
	At        int64 // UTC, microseconds
}

// Told is an attribute with its value; it is empty for the persistent name, which a preview neither makes nor tells.
type Told struct {
	sp.Attribute
	Value string
}

// Preview is what a provider would be sent.
type Preview struct {
	Withheld   string // why it would be told of a refusal instead; empty where it wouldn't
	Consumer   string // where it is sent
	NameID     sp.NameID
	Name       string // the e-mail address; empty for names that are drawn
	Context    string // class of the authentication context
	Attributes []Told // those with a value

	Response, Assertion bool   // carry a signature
	Algorithm           string // of it
	Data, Wrap          string // algorithms of the encryption; empty for none

	Until        int64 // the assertion counts until then; UTC, microseconds, like the next one
	SessionUntil int64 // the provider is asked to end its session by then
	Bytes        int   // of the response, but for what depends on the request
	Document     []byte
}

// What stands in a preview for what is drawn at a real login, in the same length.
const (
	dryID   = "_dry-run-00000000000000000000000000000000"
	dryName = "dry-run-no-name-is-made-or-told-"
)

// The namespaces of a preview's document. They aren't SAML's, so that no program reads it as an answer.
const (
	nsDry          = "urn:musubi:dry-run"
	nsDryAssertion = nsDry + ":assertion"
	nsDryProtocol  = nsDry + ":protocol"
	nsDrySignature = nsDry + ":signature"
)

// Preview says what Finish would send about a login, by what Finish itself writes. It is pure, issues no name, and holds nothing that anybody
// could use: nothing signs it (where a signature would stand there is none), and the document is in namespaces of its own.
func (d Dry) Preview() (Preview, error) {
	face, ok := d.SP.Face(d.Network)
	consumer, has := face.Default()
	if !ok || !has {
		return Preview{}, fmt.Errorf("samlidp: %s isn't reached in the network %q: %w", d.SP.ID, d.Network, identity.ErrNotFound)
	}
	key, err := d.Key.key()
	if err != nil {
		return Preview{}, err
	}
	s := statement{
		issuer: d.Issuer, rp: d.SP, at: d.At, index: dryID, until: d.At + grantLife.Microseconds(),
		facts: facts{Request: dryID, Consumer: consumer.Location, NameID: d.SP.NameID},
		login: identity.Login{Person: d.Person.ID, Org: d.Org.ID, RelyingParty: d.SP.ID, Network: d.Network, Assurance: d.Assurance, AuthAt: d.At, Release: d.Release},
	}
	p := Preview{
		Consumer: consumer.Location, NameID: d.SP.NameID, Response: d.SP.Sign != sp.SignAssertion, Assertion: d.SP.Sign != sp.SignResponse,
		Algorithm: wire.RSASHA256, Until: d.At + assertionLife.Microseconds(), SessionUntil: s.until,
	}
	s.context, _ = tell(nil, d.Assurance)
	p.Context = s.context
	s.values = attributesOf(d.SP.Attributes, d.Release, d.Person, d.Org, dryName)
	for _, v := range s.values {
		told := Told{v.Attribute, v.text}
		if v.Field == sp.FieldSubject {
			told.Value = ""
		}
		p.Attributes = append(p.Attributes, told)
	}
	switch d.SP.NameID {
	case sp.NameIDPersistent:
		s.name = dryName
	case sp.NameIDTransient:
		s.name = dryID
	case sp.NameIDEmail:
		s.name = valueOf(sp.FieldEmail, d.Release, d.Person, d.Org)
		if p.Name = s.name; s.name == "" {
			p.Withheld = "name_id_withheld"
			return p, nil
		}
	}
	if d.SP.Encrypt {
		key, methods, err := d.SP.EncryptionKey()
		if err != nil {
			return p, err
		}
		to := wire.For(key, methods)
		p.Data, p.Wrap = to.Data, to.Wrap
	}
	whole, err := s.response(dryID, dryID, hollow{key}, d.Key.DER, zeros{})
	if err != nil {
		return p, err
	}
	doc, err := wire.Bytes(whole)
	if err != nil {
		return p, err
	}
	p.Bytes = len(doc)
	p.Document, err = s.document(hollow{key}, d.Key.DER)
	return p, err
}

// document writes the response for people, in the clear.
func (s statement) document(by crypto.Signer, certificate []byte) ([]byte, error) {
	s.rp.Encrypt = false
	el, err := s.response(dryID, dryID, by, certificate, zeros{})
	if err != nil {
		return nil, err
	}
	foreign(el)
	root := etree.NewElement("musubi:DryRun")
	root.CreateAttr("xmlns:musubi", nsDry)
	root.CreateComment(" 試算です。署名はなく、SAML の名前空間でもないので、どこでも使えません。 A dry run: it is signed by nobody, in no namespace of SAML, and good for nothing. ")
	root.AddChild(el)
	d := etree.NewDocument()
	d.SetRoot(root)
	d.Indent(2)
	return d.WriteToBytes()
}

// foreign takes an element and all below out of SAML's namespaces, and what stands where a signature would.
func foreign(el *etree.Element) {
	for i, a := range el.Attr {
		switch {
		case a.Space != "xmlns":
		case a.Value == wire.NSAssertion:
			el.Attr[i].Value = nsDryAssertion
		case a.Value == wire.NSProtocol:
			el.Attr[i].Value = nsDryProtocol
		case a.Value == wire.NSSignature:
			el.Attr[i].Value = nsDrySignature
		}
	}
	if el.Tag == "SignatureValue" {
		el.SetText("dry run: nobody signed this")
	}
	for _, c := range el.ChildElements() {
		foreign(c)
	}
}

// hollow has a key's form and no key: it signs everything by zeros, which are no signature of anything.
type hollow struct{ key *rsa.PublicKey }

// Public implements crypto.Signer.
func (h hollow) Public() crypto.PublicKey { return h.key }

// Sign implements crypto.Signer.
func (h hollow) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, h.key.Size()), nil
}

// zeros stand for randomness where only lengths count.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// SigningCertificate is a signing key with its certificate.
type SigningCertificate struct {
	KeyID string
	State keys.State
	DER   []byte
}

func (c SigningCertificate) key() (*rsa.PublicKey, error) {
	parsed, err := x509.ParseCertificate(c.DER)
	if err != nil {
		return nil, fmt.Errorf("samlidp: the signing key's certificate: %w", err)
	}
	key, ok := parsed.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("samlidp: the signing key isn't RSA")
	}
	return key, nil
}

// Certificates gives the certificates that metadata shows: of the active key, of the next one, of those that retired a short while ago. What
// has none yet is left out: Ensure makes it.
func Certificates(ctx context.Context, q querier, ring *keys.Ring) ([]SigningCertificate, error) {
	published, err := ring.Published(ctx, q, Purpose)
	if err != nil {
		return nil, err
	}
	var all []SigningCertificate
	for _, k := range published {
		der, err := certificateOf(ctx, q, k.ID)
		if errors.Is(err, errNoCertificate) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, SigningCertificate{k.ID, k.State, der})
	}
	order := []keys.State{keys.Active, keys.Next, keys.Retired}
	slices.SortStableFunc(all, func(a, b SigningCertificate) int {
		return cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State))
	})
	return all, nil
}

// Addresses are those of a network's end points.
type Addresses struct {
	EntityID string // which is the metadata's address too
	SSO      string // requests, by HTTP-Redirect and HTTP-POST
	SLO      string // logout, likewise
	SOAP     string // logout, from server to server
}

// AddressesAt gives the addresses under an origin, "https://HOST" or "https://HOST:PORT".
func AddressesAt(origin string) Addresses {
	return Addresses{EntityID: origin + pathMetadata, SSO: origin + pathSSO, SLO: origin + pathSLO, SOAP: origin + pathSOAP}
}
