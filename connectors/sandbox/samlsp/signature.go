package samlsp

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of signatures
	_ "crypto/sha512"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	algorithmRSA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	algorithmEnv    = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	algorithmC14N   = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// What is taken. Nothing with SHA-1.
var (
	signatureHashes = map[string]crypto.Hash{
		algorithmRSA256: crypto.SHA256, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384": crypto.SHA384,
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512": crypto.SHA512,
	}
	digestNames = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha512",
	}
)

// signatures counts the signatures in a tree, wherever they are.
func signatures(el *etree.Element) int {
	n := 0
	if is(el, nsSignature, "Signature") {
		n++
	}
	for _, c := range el.ChildElements() {
		n += signatures(c)
	}
	return n
}

// signed gives what the key of cert has signed of el, read anew from the signed octets and without the signature; el itself must not be read
// afterwards. The signature stands right inside el and is of all of it.
func signed(el *etree.Element, cert *x509.Certificate, now time.Time) (*etree.Element, Reason) {
	if no := formOf(el); no != "" {
		return nil, no
	}
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return nil, CertificateOver
	}
	context, err := etreeutils.NSBuildParentContext(el)
	if err != nil {
		return nil, MessageMalformed
	}
	alone, err := etreeutils.NSDetatch(context, el)
	if err != nil {
		return nil, MessageMalformed
	}
	// The key is the one that was entered, whatever the message says about its own.
	signature := only(alone, nsSignature, "Signature")
	for _, info := range children(signature, nsSignature, "KeyInfo") {
		signature.RemoveChild(info)
	}
	if value := only(signature, nsSignature, "SignatureValue"); value != nil {
		value.SetText(strings.Join(strings.Fields(text(value)), ""))
	}
	check := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	check.Clock = dsig.NewFakeClockAt(now)
	got, err := check.Validate(alone)
	if err != nil {
		return nil, SignatureInvalid
	}
	if got.Tag != el.Tag || got.NamespaceURI() != el.NamespaceURI() || attrOf(got, "ID") != attrOf(el, "ID") || len(children(got, nsSignature, "Signature")) > 0 {
		return nil, SignatureForm
	}
	return got, ""
}

// formOf holds the form of the signature right inside el (SAML 2.0 Core, section 5.4), before anything is computed.
func formOf(el *etree.Element) Reason {
	signature := only(el, nsSignature, "Signature")
	info := only(signature, nsSignature, "SignedInfo")
	method := only(info, nsSignature, "SignatureMethod")
	reference := only(info, nsSignature, "Reference")
	digest := only(reference, nsSignature, "DigestMethod")
	if signature == nil || info == nil || method == nil || reference == nil || digest == nil || only(signature, nsSignature, "SignatureValue") == nil ||
		only(reference, nsSignature, "DigestValue") == nil || len(info.ChildElements()) != 3 {
		return SignatureForm
	}
	if signatureHashes[attrOf(method, "Algorithm")] == 0 || !slices.Contains(digestNames, attrOf(digest, "Algorithm")) {
		return SignatureAlgorithm
	}
	if id := attrOf(el, "ID"); id == "" || attrOf(reference, "URI") != "#"+id {
		return SignatureForm
	}
	if c := only(info, nsSignature, "CanonicalizationMethod"); c == nil || attrOf(c, "Algorithm") != algorithmC14N {
		return SignatureForm
	}
	transforms := only(reference, nsSignature, "Transforms")
	var names []string
	for _, t := range children(transforms, nsSignature, "Transform") {
		names = append(names, attrOf(t, "Algorithm"))
	}
	if transforms == nil || len(transforms.ChildElements()) != 2 || !slices.Equal(names, []string{algorithmEnv, algorithmC14N}) {
		return SignatureForm
	}
	return ""
}

// signedOctets checks the signature of the redirect binding (SAML 2.0 Bindings, section 3.4.4.1).
func signedOctets(octets, algorithm string, signature []byte, cert *x509.Certificate, now time.Time) Reason {
	hash := signatureHashes[algorithm]
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	switch {
	case hash == 0 || !ok:
		return SignatureAlgorithm
	case now.Before(cert.NotBefore) || now.After(cert.NotAfter):
		return CertificateOver
	}
	h := hash.New()
	h.Write([]byte(octets))
	if rsa.VerifyPKCS1v15(public, hash, h.Sum(nil), signature) != nil {
		return SignatureInvalid
	}
	return ""
}

// sign puts a signature into an element, after its issuer (SAML 2.0 Core, section 3.2.1).
func sign(el *etree.Element, key crypto.Signer, cert []byte) error {
	context, err := dsig.NewSigningContext(key, [][]byte{cert})
	if err != nil {
		return err
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := context.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		return err
	}
	signature, err := context.ConstructSignature(el, true)
	if err != nil {
		return err
	}
	el.InsertChildAt(1, signature)
	return nil
}
