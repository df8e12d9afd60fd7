package wire

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of signatures
	_ "crypto/sha512"
	"crypto/x509"
	"regexp"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// The algorithms that are written.
const (
	RSASHA256    = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	DigestSHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
	enveloped    = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	exclusive    = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// The algorithms that are taken: nothing with SHA-1, and no elliptic curves, whose encoding in XML the library doesn't know.
var (
	methods = map[string]crypto.Hash{
		RSASHA256: crypto.SHA256,
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384": crypto.SHA384,
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512": crypto.SHA512,
	}
	digests = map[string]bool{
		DigestSHA256: true, "http://www.w3.org/2001/04/xmldsig-more#sha384": true, "http://www.w3.org/2001/04/xmlenc#sha512": true,
	}
	idForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]{0,255}$`)
)

// ID reports whether text is an identifier that a document may have: an NCName in ASCII, at most 256 bytes.
func ID(text string) bool { return idForm.MatchString(text) }

// Signed reports whether root itself holds a signature.
func Signed(root *etree.Element) bool { return len(Children(root, NSSignature, "Signature")) > 0 }

// Verify checks the enveloped signature of root by any of the keys, and gives the root that was signed, read anew from the signed octets and
// without the signature. Nothing else may be read afterwards. There is one signature, right inside root, of all of root. What certificates say
// about their own validity doesn't count: who registered a key vouches for it (SAML 2.0 Metadata Interoperability Profile, section 2.5).
func Verify(root *etree.Element, keys []*x509.Certificate) (*etree.Element, error) {
	sig, err := shape(root)
	if err != nil {
		return nil, err
	}
	bare := root.Copy()
	inner := Children(bare, NSSignature, "Signature")[0]
	for _, k := range Children(inner, NSSignature, "KeyInfo") { // the sender's word about its key
		inner.RemoveChild(k)
	}
	value := Children(inner, NSSignature, "SignatureValue")[0]
	value.SetText(strings.Join(strings.Fields(value.Text()), ""))
	for _, k := range keys {
		if _, ok := k.PublicKey.(*rsa.PublicKey); !ok {
			continue
		}
		check := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{k}})
		check.Clock = dsig.NewFakeClockAt(k.NotBefore)
		signed, err := check.Validate(bare)
		if err != nil {
			continue
		}
		if signed.Tag != root.Tag || signed.NamespaceURI() != root.NamespaceURI() || Attr(signed, "ID") != strings.TrimPrefix(sig.uri, "#") || Signed(signed) {
			return nil, &Fault{"signature_shape", "the signature is of something else", 0}
		}
		return signed, nil
	}
	return nil, &Fault{"signature_invalid", "no registered key has made this signature", 0}
}

type signature struct{ uri string }

// shape holds that there is one signature of the one form that is taken, before anything is computed (SAML 2.0 Core, section 5.4).
func shape(root *etree.Element) (signature, error) {
	bad := func(text string) (signature, error) { return signature{}, &Fault{"signature_shape", text, 0} }
	own := Children(root, NSSignature, "Signature")
	if len(own) == 0 {
		return signature{}, &Fault{"signature_missing", "there is no signature", 0}
	}
	if len(own) != 1 || count(root, NSSignature, "Signature") != 1 {
		return bad("there is more than one signature, or one elsewhere")
	}
	parts := own[0].ChildElements()
	if len(parts) < 2 || len(parts) > 3 || !Is(parts[0], NSSignature, "SignedInfo") || !Is(parts[1], NSSignature, "SignatureValue") ||
		len(parts) == 3 && !Is(parts[2], NSSignature, "KeyInfo") {
		return bad("the signature has other parts than SignedInfo, SignatureValue and KeyInfo")
	}
	info := parts[0].ChildElements()
	if len(info) != 3 || !Is(info[0], NSSignature, "CanonicalizationMethod") || !Is(info[1], NSSignature, "SignatureMethod") || !Is(info[2], NSSignature, "Reference") {
		return bad("SignedInfo must have one canonicalization, one method and one reference")
	}
	if Attr(info[0], "Algorithm") != exclusive || len(info[0].ChildElements()) > 0 {
		return bad("SignedInfo must be in exclusive canonical XML without comments")
	}
	if _, ok := methods[Attr(info[1], "Algorithm")]; !ok || len(info[1].ChildElements()) > 0 {
		return signature{}, &Fault{"signature_algorithm", "sign with RSA and SHA-256, SHA-384 or SHA-512", 0}
	}
	id := Attr(root, "ID")
	uri, _ := Lookup(info[2], "URI")
	if !ID(id) || uri != "#"+id {
		return bad("the signature must be of the document's own ID")
	}
	return signature{uri}, reference1(info[2])
}

// reference1 holds the form of the one reference.
func reference1(ref *etree.Element) error {
	parts := ref.ChildElements()
	if len(parts) != 3 || !Is(parts[0], NSSignature, "Transforms") || !Is(parts[1], NSSignature, "DigestMethod") || !Is(parts[2], NSSignature, "DigestValue") {
		return &Fault{"signature_shape", "the reference must have transforms, a digest method and a digest", 0}
	}
	t := parts[0].ChildElements()
	if len(t) != 2 || !Is(t[0], NSSignature, "Transform") || !Is(t[1], NSSignature, "Transform") || Attr(t[0], "Algorithm") != enveloped ||
		Attr(t[1], "Algorithm") != exclusive || len(t[0].ChildElements()) > 0 || len(t[1].ChildElements()) > 1 {
		return &Fault{"signature_shape", "the transforms must be enveloped-signature and exclusive canonical XML without comments", 0}
	}
	if !digests[Attr(parts[1], "Algorithm")] {
		return &Fault{"signature_algorithm", "make digests with SHA-256, SHA-384 or SHA-512", 0}
	}
	return nil
}

func count(el *etree.Element, ns, local string) int {
	n := 0
	if Is(el, ns, local) {
		n = 1
	}
	for _, c := range el.ChildElements() {
		n += count(c, ns, local)
	}
	return n
}

// VerifyOctets checks a signature over octets, as the redirect binding makes it (SAML 2.0 Bindings, section 3.4.4.1).
func VerifyOctets(octets []byte, algorithm string, sig []byte, keys []*x509.Certificate) error {
	hash, ok := methods[algorithm]
	if !ok {
		return &Fault{"signature_algorithm", "sign with RSA and SHA-256, SHA-384 or SHA-512", 0}
	}
	h := hash.New()
	h.Write(octets)
	sum := h.Sum(nil)
	for _, k := range keys {
		if public, ok := k.PublicKey.(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(public, hash, sum, sig) == nil {
			return nil
		}
	}
	return &Fault{"signature_invalid", "no registered key has made this signature", 0}
}
