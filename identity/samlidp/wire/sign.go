package wire

import (
	"crypto"
	"fmt"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Sign puts an enveloped signature into el, at the place that the schema wants: after its Issuer, else first. el stands alone, has an ID, and
// is left in exclusive canonical form. certificate is the DER form of the key's certificate.
func Sign(el *etree.Element, by crypto.Signer, certificate []byte) error {
	c, err := dsig.NewSigningContext(by, [][]byte{certificate})
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	c.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := c.SetSignatureMethod(RSASHA256); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	sig, err := c.ConstructSignature(el, true)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	at := 0
	if issuer := Children(el, NSAssertion, "Issuer"); len(issuer) > 0 {
		at = issuer[0].Index() + 1
	}
	el.InsertChildAt(at, sig)
	return nil
}

// Bytes writes el as a document.
func Bytes(el *etree.Element) ([]byte, error) {
	d := etree.NewDocument()
	d.WriteSettings = etree.WriteSettings{CanonicalAttrVal: true, CanonicalEndTags: true, CanonicalText: true}
	d.SetRoot(el)
	return d.WriteToBytes()
}
