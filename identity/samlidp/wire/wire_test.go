package wire_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

// signer is a key with its certificate.
type signer struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

var drawn struct {
	once sync.Once
	all  [2]signer
}

// signers gives two keys; the first one's certificate has expired long ago, which doesn't count.
func signers(t testing.TB) (one, two signer) {
	t.Helper()
	drawn.once.Do(func() {
		for i := range drawn.all {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			must(t, err)
			template := &x509.Certificate{
				SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: "test"},
				NotBefore: time.Unix(1_000_000_000, 0), NotAfter: time.Unix(1_000_000_000+int64(i)*4_000_000_000, 0),
			}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			must(t, err)
			cert, err := x509.ParseCertificate(der)
			must(t, err)
			drawn.all[i] = signer{key, cert}
		}
	})
	return drawn.all[0], drawn.all[1]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const plain = `<p:Request xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0"><a:Issuer xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">https://sp.example</a:Issuer><p:Part>x &amp; y</p:Part></p:Request>`

// signed signs a document and gives its octets.
func signed(t testing.TB, doc string, by signer) string {
	t.Helper()
	el, err := wire.Parse([]byte(doc), wire.MessageLimits)
	must(t, err)
	must(t, wire.Sign(el, by.key, by.cert.Raw))
	b, err := wire.Bytes(el)
	must(t, err)
	return string(b)
}

func verify(doc string, keys ...*x509.Certificate) (*etree.Element, error) {
	el, err := wire.Parse([]byte(doc), wire.MessageLimits)
	if err != nil {
		return nil, err
	}
	return wire.Verify(el, keys)
}

// TestParseRefuses is the list of what two readers could read in two ways, and of what costs too much.
func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)
	for name, c := range map[string]struct{ doc, want string }{
		"nothing":                  {"", "xml_malformed"},
		"white space":              {" \n", "xml_malformed"},
		"not XML":                  {"{}", "xml_malformed"},
		"an end too early":         {"<a><b></b>", "xml_malformed"},
		"two roots":                {"<a/><b/>", "xml_malformed"},
		"text after the root":      {"<a/>x", "xml_malformed"},
		"CDATA after the root":     {"<a/><![CDATA[ ]]>", "xml_malformed"},
		"a wrong end":              {"<a><b></a></b>", "xml_malformed"},
		"a DTD":                    {`<!DOCTYPE a><a/>`, "xml_doctype"},
		"an external entity (XXE)": {`<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, "xml_doctype"},
		"entity expansion":         {`<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><a>&y;</a>`, "xml_doctype"},
		"a parameter entity":       {`<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/"> %x;]><a/>`, "xml_doctype"},
		"an unknown entity":        {`<a>&nbsp;</a>`, "xml_malformed"},
		"a surrogate":              {`<a>&#xD800;</a>`, "xml_malformed"},
		"a null":                   {`<a>&#0;</a>`, "xml_malformed"},
		"a bare ampersand":         {`<a>x & y</a>`, "xml_malformed"},
		"a comment in a value, CVE-2017-11427 and its kin": {`<a>admin@city.example<!-- -->.evil.example</a>`, "xml_comment"},
		"a comment":                    {`<a><!-- --></a>`, "xml_comment"},
		"an instruction":               {`<a><?php echo 1 ?></a>`, "xml_instruction"},
		"a style sheet":                {`<?xml-stylesheet href="x"?><a/>`, "xml_instruction"},
		"a late declaration":           {"\n" + `<?xml version="1.0"?><a/>`, "xml_instruction"},
		"another version":              {`<?xml version="1.1"?><a/>`, "xml_malformed"},
		"another encoding":             {`<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, "xml_malformed"},
		"UTF-16":                       {"\xfe\xff\x00<\x00a\x00/\x00>", "xml_encoding"},
		"bad UTF-8":                    {"<a>\xc0\xaf</a>", "xml_encoding"},
		"too deep":                     {deep, "xml_deep"},
		"too many":                     {"<a>" + strings.Repeat("<b/>", 1000) + "</a>", "xml_many"},
		"too many attributes":          {"<a" + attributes(100) + "/>", "xml_many"},
		"too long":                     {"<a>" + strings.Repeat("x", 100_000) + "</a>", "xml_large"},
		"an undeclared prefix":         {`<p:a/>`, "xml_namespace"},
		"an undeclared attribute":      {`<a p:b="1"/>`, "xml_namespace"},
		"a prefix bound to nothing":    {`<p:a xmlns:p=""/>`, "xml_namespace"},
		"xml rebound":                  {`<a xmlns:xml="urn:x"/>`, "xml_namespace"},
		"xmlns bound":                  {`<a xmlns:xmlns="urn:x"/>`, "xml_namespace"},
		"the XML namespace as default": {`<a xmlns="http://www.w3.org/XML/1998/namespace"/>`, "xml_namespace"},
		"an attribute twice":           {`<a b="1" b="2"/>`, "xml_malformed"},
		"twice under two prefixes":     {`<a xmlns:p="urn:x" xmlns:q="urn:x" p:b="1" q:b="2"/>`, "xml_namespace"},
		"a default namespace twice":    {`<a xmlns="urn:x" xmlns="urn:y"/>`, "xml_malformed"},
		"an ID twice":                  {`<a ID="_1"><b ID="_1"/></a>`, "xml_duplicate_id"},
		"an ID twice, by Id":           {`<a ID="_1"><b Id="_1"/></a>`, "xml_duplicate_id"},
		"an ID twice, by xml:id":       {`<a ID="_1"><b xml:id="_1"/></a>`, "xml_duplicate_id"},
		"no space between attributes":  {`<a b="1"c="2"/>`, "xml_malformed"},
		"CVE-2020-29509":               {`<a ::b="x"/>`, "xml_malformed"},
		"CVE-2020-29510":               {`<!DOCTYPE x [<!-- a -- b -->]><a/>`, "xml_doctype"},
		"CVE-2020-29511":               {`<x::a/>`, "xml_malformed"},
		"two colons":                   {`<a:b:c xmlns:a="urn:x"/>`, "xml_malformed"},
		"a colon before":               {`<:a/>`, "xml_malformed"},
		"a name that isn't ASCII":      {`<é/>`, "xml_malformed"},
		"a line break in a value":      {"<a b=\"1\n2\"/>", "xml_malformed"},
		"< in a value":                 {`<a b="<"/>`, "xml_malformed"},
		"text beside elements":         {`<a>x<b/></a>`, "xml_mixed"},
		"]]> in text":                  {`<a>]]></a>`, "xml_malformed"},
	} {
		root, err := wire.Parse([]byte(c.doc), wire.MessageLimits)
		if got := wire.ReasonOf(err); got != c.want || root != nil {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + strings.Repeat("x", i) + `="1"`)
	}
	return b.String()
}

func TestParseTakes(t *testing.T) {
	for name, doc := range map[string]string{
		"a declaration":         `<?xml version="1.0" encoding="utf-8"?>` + "\n<a/>\n",
		"a byte order mark":     "\xef\xbb\xbf<a/>",
		"references":            `<a b="&#10;&lt;&#x41;">&amp;&#x10FFFF;</a>`,
		"one name, two meaning": `<a xmlns:p="urn:x" xmlns:q="urn:y" b="0" p:b="1" q:b="2"/>`,
		"a default taken back":  `<a xmlns="urn:x"><b xmlns=""/></a>`,
		"CDATA":                 `<a><![CDATA[x & y]]></a>`,
		"spaces":                "<a\n b = '1'\t></a >",
	} {
		if _, err := wire.Parse([]byte(doc), wire.MessageLimits); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	commented := `<!-- one --><a><!-- two --><b>x</b></a>`
	if _, err := wire.Parse([]byte(commented), wire.MetadataLimits); err != nil {
		t.Error(err)
	}
	if _, err := wire.Parse([]byte(`<a>x<!-- -->y</a>`), wire.MetadataLimits); wire.ReasonOf(err) != "xml_comment" {
		t.Errorf("a comment inside a value of metadata: %v", err)
	}
}

func TestSignAndVerify(t *testing.T) {
	one, two := signers(t)
	doc := signed(t, plain, one)
	got, err := verify(doc, two.cert, one.cert)
	must(t, err)
	if wire.Text(got.ChildElements()[0]) != "https://sp.example" || wire.Text(got.ChildElements()[1]) != "x & y" || len(got.ChildElements()) != 2 {
		t.Errorf("%v", got)
	}
	if i := strings.Index(doc, "<ds:Signature"); i < strings.Index(doc, "</a:Issuer>") || i > strings.Index(doc, "<p:Part") {
		t.Errorf("the signature doesn't follow the issuer:\n%s", doc)
	}
	if _, err := verify(doc, two.cert); wire.ReasonOf(err) != "signature_invalid" {
		t.Errorf("another's key: %v", err)
	}
	if _, err := verify(doc); wire.ReasonOf(err) != "signature_invalid" {
		t.Errorf("no key: %v", err)
	}
	// The key in the document is the sender's word: without it, and with another, it is the same.
	bare := doc[:strings.Index(doc, "<ds:KeyInfo>")] + doc[strings.Index(doc, "</ds:KeyInfo>")+len("</ds:KeyInfo>"):]
	if _, err := verify(bare, one.cert); err != nil {
		t.Errorf("without KeyInfo: %v", err)
	}
	// Line breaks inside base64 are usual.
	value := doc[strings.Index(doc, "<ds:SignatureValue>")+len("<ds:SignatureValue>") : strings.Index(doc, "</ds:SignatureValue>")]
	if _, err := verify(strings.Replace(doc, value, "\n    "+value[:60]+"\n    "+value[60:]+"\n", 1), one.cert); err != nil {
		t.Errorf("with line breaks: %v", err)
	}
}

// TestVerifyRefuses: forms of a signature that this package doesn't take, although many libraries do.
func TestVerifyRefuses(t *testing.T) {
	one, _ := signers(t)
	doc := signed(t, plain, one)
	sig := doc[strings.Index(doc, "<ds:Signature ") : strings.Index(doc, "</ds:Signature>")+len("</ds:Signature>")]
	swap := func(old, new string) string {
		if !strings.Contains(doc, old) {
			t.Fatalf("%q isn't in the document", old)
		}
		return strings.Replace(doc, old, new, 1)
	}
	reference := sig[strings.Index(sig, "<ds:Reference") : strings.Index(sig, "</ds:Reference>")+len("</ds:Reference>")]
	for name, c := range map[string]struct{ doc, want string }{
		"none":                        {swap(sig, ""), "signature_missing"},
		"two":                         {swap(sig, sig+sig), "signature_shape"},
		"one further down too":        {swap("<p:Part>x &amp; y</p:Part>", "<p:Part>"+sig+"</p:Part>"), "signature_shape"},
		"only further down":           {strings.Replace(swap(sig, ""), "<p:Part>x &amp; y</p:Part>", "<p:Part>"+sig+"</p:Part>", 1), "signature_missing"},
		"changed text":                {swap("x &amp; y", "x &amp; z"), "signature_invalid"},
		"a changed attribute":         {swap(`Version="2.0"`, `Version="2.1"`), "signature_invalid"},
		"another element":             {swap("<p:Part>", "<p:More></p:More><p:Part>"), "signature_invalid"},
		"RSA with SHA-1":              {swap(wire.RSASHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1"), "signature_algorithm"},
		"a digest with SHA-1":         {swap(`DigestMethod Algorithm="`+wire.DigestSHA256, `DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1`), "signature_algorithm"},
		"HMAC":                        {swap(wire.RSASHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"), "signature_algorithm"},
		"of everything":               {swap(`URI="#_1"`, `URI=""`), "signature_shape"},
		"without a URI":               {swap(` URI="#_1"`, ""), "signature_shape"},
		"of another ID":               {swap(`URI="#_1"`, `URI="#_2"`), "signature_shape"},
		"of somewhere else":           {swap(`URI="#_1"`, `URI="http://127.0.0.1/"`), "signature_shape"},
		"by XPointer":                 {swap(`URI="#_1"`, `URI="#xpointer(/)"`), "signature_shape"},
		"two references":              {swap(reference, reference+reference), "signature_shape"},
		"no reference":                {swap(reference, ""), "signature_shape"},
		"no transform":                {swap(`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>`, ""), "signature_shape"},
		"XSLT":                        {swap("http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116"), "signature_shape"},
		"XPath":                       {swap("http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xpath-19991116"), "signature_shape"},
		"inclusive canonical XML":     {strings.ReplaceAll(doc, "http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"), "signature_shape"},
		"canonical XML with comments": {strings.ReplaceAll(doc, "http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"), "signature_shape"},
		"an object":                   {swap("</ds:Signature>", "<ds:Object>x</ds:Object></ds:Signature>"), "signature_shape"},
		"a comment in the digest, CVE-2025-29775": {swap("<ds:DigestValue>", "<ds:DigestValue><!-- -->"), "xml_comment"},
		"SignedInfo twice, CVE-2025-29774":        {swap("<ds:SignatureValue>", "<ds:SignedInfo></ds:SignedInfo><ds:SignatureValue>"), "signature_shape"},
		"no value":                                {swap(sig[strings.Index(sig, "<ds:SignatureValue>"):strings.Index(sig, "<ds:KeyInfo>")], "<ds:SignatureValue></ds:SignatureValue>"), "signature_invalid"},
	} {
		if got, err := verify(c.doc, one.cert); wire.ReasonOf(err) != c.want || got != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestVerifyOctets(t *testing.T) {
	one, two := signers(t)
	octets := []byte("SAMLRequest=x&SigAlg=y")
	h := crypto.SHA256.New()
	h.Write(octets)
	sig, err := rsa.SignPKCS1v15(rand.Reader, one.key, crypto.SHA256, h.Sum(nil))
	must(t, err)
	keys := []*x509.Certificate{two.cert, one.cert}
	if err := wire.VerifyOctets(octets, wire.RSASHA256, sig, keys); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"other octets":     wire.VerifyOctets(append([]byte("x"), octets...), wire.RSASHA256, sig, keys),
		"another's key":    wire.VerifyOctets(octets, wire.RSASHA256, sig, keys[:1]),
		"no key":           wire.VerifyOctets(octets, wire.RSASHA256, sig, nil),
		"another hash":     wire.VerifyOctets(octets, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", sig, keys),
		"SHA-1":            wire.VerifyOctets(octets, "http://www.w3.org/2000/09/xmldsig#rsa-sha1", sig, keys),
		"no algorithm":     wire.VerifyOctets(octets, "", sig, keys),
		"no signature":     wire.VerifyOctets(octets, wire.RSASHA256, nil, keys),
		"a cut signature":  wire.VerifyOctets(octets, wire.RSASHA256, sig[:255], keys),
		"a long signature": wire.VerifyOctets(octets, wire.RSASHA256, append(sig, 0), keys),
	} {
		if wire.ReasonOf(err) == "" {
			t.Errorf("%s is taken: %v", name, err)
		}
	}
}

// FuzzParse: whatever is taken, another reader reads the same, and what is written of it is taken again and says the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte(`<?xml version="1.0"?><a xmlns:p="urn:x"><p:b c="&#10;1">x</p:b></a>`))
	f.Add([]byte(`<a b="1"><![CDATA[x]]></a>`))
	f.Add([]byte("<a>\r\n<b/>\r</a>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := wire.Parse(data, wire.MessageLimits)
		if err != nil {
			if root != nil || wire.ReasonOf(err) == "" {
				t.Fatalf("%v with %v", root, err)
			}
			return
		}
		var other struct {
			XMLName xml.Name
			Inner   string `xml:",innerxml"`
		}
		if err := xml.Unmarshal(data, &other); err != nil || other.XMLName.Local != root.Tag || other.XMLName.Space != root.NamespaceURI() {
			t.Fatalf("another reader reads %v: %v", other.XMLName, err)
		}
		first, err := wire.Bytes(root.Copy())
		must(t, err)
		limits := wire.MessageLimits
		limits.Bytes *= 8 // references are longer than what they stand for
		again, err := wire.Parse(first, limits)
		if err != nil {
			t.Fatalf("what was written isn't taken: %v\n%s", err, first)
		}
		second, err := wire.Bytes(again)
		must(t, err)
		if string(first) != string(second) {
			t.Fatalf("%s\nis written as\n%s", first, second)
		}
	})
}

// FuzzVerify: no change of a signed document is taken that changes what is read. What is fuzzed is the change, because each process of the
// fuzzer draws a key of its own: cut octets are left out at a place, and others put in there.
func FuzzVerify(f *testing.F) {
	one, _ := signers(f)
	doc := signed(f, plain, one)
	want := canonical(f, plain)
	f.Add(uint16(0), uint16(0), []byte{})
	f.Add(uint16(strings.Index(doc, " Version")), uint16(1), []byte("\n"))
	f.Add(uint16(strings.Index(doc, "x &amp;")), uint16(1), []byte("&#120;"))
	f.Add(uint16(0), uint16(0), []byte(`<p:Request xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol">`))
	f.Fuzz(func(t *testing.T, at, cut uint16, put []byte) {
		i := min(int(at), len(doc))
		changed := doc[:i] + string(put) + doc[min(i+int(cut), len(doc)):]
		got, err := verify(changed, one.cert)
		if err != nil {
			if wire.ReasonOf(err) == "" {
				t.Fatalf("an error without a reason: %v", err)
			}
			return
		}
		b, err := wire.Bytes(got)
		must(t, err)
		if string(b) != want {
			t.Fatalf("taken: %s", b)
		}
	})
}
