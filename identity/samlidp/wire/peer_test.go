package wire_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

// xmlsec gives the path of xmlsec1, another implementation of XML signatures and encryption.
func xmlsec(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("xmlsec1 isn't installed: run deploy/ci/setup.sh")
		}
		t.Skip("xmlsec1 isn't installed: run deploy/ci/setup.sh")
	}
	return path
}

// write puts a PEM block or a document into a file.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

const assertion = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a" Version="2.0"><saml:Issuer>https://idp.example</saml:Issuer><saml:Subject><saml:NameID>試験</saml:NameID></saml:Subject></saml:Assertion>`

// recipients are all that can be asked for.
func recipients(key *rsa.PublicKey) map[string]wire.Recipient {
	return map[string]wire.Recipient{
		"nothing listed":          wire.For(key, nil),
		"only what is refused":    wire.For(key, []string{"http://www.w3.org/2001/04/xmlenc#rsa-1_5", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"}),
		"GCM":                     wire.For(key, []string{wire.AES128GCM, wire.AES256GCM}),
		"GCM of 128 bits":         wire.For(key, []string{wire.AES128GCM}),
		"GCM, OAEP with SHA-256":  wire.For(key, []string{wire.AES256GCM, wire.OAEP}),
		"CBC, OAEP with SHA-256":  wire.For(key, []string{wire.OAEP}),
		"CBC and OAEP with SHA-1": wire.For(key, []string{wire.AES256CBC, wire.OAEPMGF1P}),
	}
}

func encrypted(t *testing.T, to wire.Recipient) (el *etree.Element, doc []byte) {
	t.Helper()
	plain, err := wire.Parse([]byte(assertion), wire.MessageLimits)
	must(t, err)
	el, err = wire.Encrypt(plain, to, rand.Reader)
	must(t, err)
	doc, err = wire.Bytes(el.Copy())
	must(t, err)
	return el, doc
}

// open undoes encryption as a recipient does, by XML Encryption 1.1 and nothing of the package.
func open(t *testing.T, doc []byte, key *rsa.PrivateKey) string {
	t.Helper()
	d := etree.NewDocument()
	must(t, d.ReadFromBytes(doc))
	value := func(path string) []byte {
		b, err := base64.StdEncoding.DecodeString(d.FindElement(path).Text())
		must(t, err)
		return b
	}
	h := sha1.New()
	if d.FindElement("//EncryptedKey/EncryptionMethod").SelectAttrValue("Algorithm", "") == wire.OAEP {
		h = sha256.New()
	}
	secret, err := rsa.DecryptOAEP(h, nil, key, value("//EncryptedKey/CipherData/CipherValue"), nil)
	must(t, err)
	block, err := aes.NewCipher(secret)
	must(t, err)
	sealed := value("//EncryptedData/CipherData/CipherValue")
	if d.FindElement("//EncryptedData/EncryptionMethod").SelectAttrValue("Algorithm", "") == wire.AES256CBC {
		out := make([]byte, len(sealed)-aes.BlockSize)
		cipher.NewCBCDecrypter(block, sealed[:aes.BlockSize]).CryptBlocks(out, sealed[aes.BlockSize:])
		return string(out[:len(out)-int(out[len(out)-1])])
	}
	gcm, err := cipher.NewGCM(block)
	must(t, err)
	out, err := gcm.Open(nil, sealed[:12], sealed[12:], nil)
	must(t, err)
	return string(out)
}

func TestEncrypt(t *testing.T) {
	one, _ := signers(t)
	for name, to := range recipients(&one.key.PublicKey) {
		_, doc := encrypted(t, to)
		if got := open(t, doc, one.key); got != assertion {
			t.Errorf("%s: %q", name, got)
		}
		if strings.Contains(string(doc), "rsa-1_5") || strings.Contains(string(doc), "試験") {
			t.Errorf("%s: %s", name, doc)
		}
		_, again := encrypted(t, to)
		if string(again) == string(doc) {
			t.Errorf("%s: twice the same", name)
		}
	}
	if got := wire.For(&one.key.PublicKey, nil); got.Data != wire.AES256CBC || got.Wrap != wire.OAEPMGF1P {
		t.Errorf("without a list: %+v", got)
	}
	if got := wire.For(&one.key.PublicKey, []string{wire.AES128GCM, wire.AES256GCM, wire.OAEP}); got.Data != wire.AES256GCM || got.Wrap != wire.OAEP {
		t.Errorf("with everything: %+v", got)
	}
	plain, err := wire.Parse([]byte(assertion), wire.MessageLimits)
	must(t, err)
	for _, to := range []wire.Recipient{
		{Key: &one.key.PublicKey, Data: wire.AES256CBC, Wrap: "http://www.w3.org/2001/04/xmlenc#rsa-1_5"},
		{Key: &one.key.PublicKey, Data: "http://www.w3.org/2001/04/xmlenc#tripledes-cbc", Wrap: wire.OAEP},
		{Key: &one.key.PublicKey},
	} {
		if _, err := wire.Encrypt(plain, to, rand.Reader); err == nil {
			t.Errorf("%+v is done", to)
		}
	}
	for n := range 3 { // each kind of randomness that there is too little of
		if _, err := wire.Encrypt(plain, wire.For(&one.key.PublicKey, []string{wire.AES256GCM}), strings.NewReader(strings.Repeat("x", n*20))); n < 2 && err == nil {
			t.Errorf("with %d bytes of randomness", n*20)
		}
	}
}

// TestDecryptedByXMLSec has xmlsec1 decrypt everything but OAEP with SHA-256, which Debian's 1.2 doesn't know; that is deploy/interop's.
func TestDecryptedByXMLSec(t *testing.T) {
	program := xmlsec(t)
	one, _ := signers(t)
	der, err := x509.MarshalPKCS8PrivateKey(one.key)
	must(t, err)
	keyFile := write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for name, to := range recipients(&one.key.PublicKey) {
		if to.Wrap == wire.OAEP {
			continue
		}
		_, doc := encrypted(t, to)
		out, err := exec.CommandContext(t.Context(), program, "--decrypt", "--privkey-pem", keyFile, write(t, "doc.xml", doc)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), strings.ReplaceAll(assertion, "試験", "&#x8A66;&#x9A13;")) {
			t.Errorf("%s: %v\n%s\n%s", name, err, out, doc)
		}
	}
}

// TestAgainstXMLSec changes a signed document in 10,000 ways. xmlsec1 has to take each one that is taken here, and what is read of it is what
// was signed. CVE-2020-15216 and GHSA-479m-364c-43vc (goxmldsig), CVE-2024-45409 (ruby-saml) and CVE-2025-47949 (samlify) were such documents.
func TestAgainstXMLSec(t *testing.T) {
	program := xmlsec(t)
	one, two := signers(t)
	doc := signed(t, plain, one)
	foreign := signed(t, strings.Replace(plain, "x &amp; y", "forged", 1), two)
	random := mathrand.New(mathrand.NewPCG(1, 2))
	const tries = 10_000
	dir, taken := t.TempDir(), map[string]string{}
	for range tries {
		changed := doc
		for range 1 + random.IntN(3) {
			changed = mutate(random, changed, foreign)
		}
		if changed == doc {
			continue
		}
		got, err := verify(changed, one.cert)
		if err != nil {
			if wire.ReasonOf(err) == "" {
				t.Fatalf("an error without a reason: %v", err)
			}
			continue
		}
		b, err := wire.Bytes(got)
		must(t, err)
		if want := canonical(t, plain); string(b) != want {
			t.Fatalf("this was read of what was signed:\n%s\n\nfrom\n%s", b, changed)
		}
		taken[changed] = filepath.Join(dir, fmt.Sprintf("%d.xml", len(taken)))
		must(t, os.WriteFile(taken[changed], []byte(changed), 0o600))
	}
	public, err := x509.MarshalPKIXPublicKey(one.key.Public())
	must(t, err)
	keyFile := write(t, "public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	check := func(files ...string) ([]byte, error) {
		return exec.CommandContext(t.Context(), program, append([]string{
			"--verify", "--enabled-key-data", "rsa", "--pubkey-pem", keyFile, "--id-attr:ID", wire.NSProtocol + ":Request",
		}, files...)...).CombinedOutput()
	}
	// xmlsec1 takes many files, says OK of each that is good, and fails if one isn't.
	for batch := range slices.Chunk(slices.Sorted(maps.Values(taken)), 200) {
		if out, err := check(batch...); err == nil && strings.Count(string(out), "OK\n") == len(batch) {
			continue
		}
		for _, file := range batch {
			if out, err := check(file); err != nil {
				changed, _ := os.ReadFile(file)
				t.Errorf("xmlsec1 refuses what is taken here: %v\n%s\n%s", err, out, changed)
			}
		}
	}
	// It would notice: a forged document among good ones.
	bad := write(t, "bad.xml", []byte(strings.Replace(doc, "x &amp; y", "x &amp; z", 1)))
	if out, err := check(write(t, "good.xml", []byte(doc)), bad); err == nil || strings.Count(string(out), "OK\n") != 1 {
		t.Errorf("xmlsec1 doesn't notice a forged document: %s", out)
	}
	t.Logf("%d of %d documents are taken, here and by xmlsec1", len(taken), tries)
	if len(taken) < 100 {
		t.Error("too few are taken for the comparison to mean anything")
	}
}

func canonical(t testing.TB, doc string) string {
	t.Helper()
	el, err := wire.Parse([]byte(doc), wire.MessageLimits)
	must(t, err)
	b, err := wire.Bytes(el)
	must(t, err)
	return string(b)
}

// mutate changes a document at random: octets, and the things that change XML without breaking it.
func mutate(r *mathrand.Rand, doc, foreign string) string {
	if doc == "" {
		return doc
	}
	at := func(what string) int { // a random place of what
		n := strings.Count(doc, what)
		if n == 0 {
			return -1
		}
		i := 0
		for k := r.IntN(n); ; k-- {
			j := strings.Index(doc[i:], what)
			if k == 0 {
				return i + j
			}
			i += j + len(what)
		}
	}
	insert := func(i int, text string) string {
		if i < 0 {
			return doc
		}
		return doc[:i] + text + doc[i:]
	}
	spaces := []string{" ", "\n", "\t", "\r\n", "\r", "  "}
	space := spaces[r.IntN(len(spaces))]
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	swaps := [][2]string{
		{`"`, `'`},
		{"></ds:Transform>", "/>"},
		{"&amp;", "&#38;"},
		{"&amp;", "&#x26;"},
		{"x &", "&#x78; &"},
		{"&amp; y", "<![CDATA[& y]]>"},
		{"_1", "_2"},
		{"sha256", "sha1"},
		{"exc-c14n#", "exc-c14n#WithComments"},
		{"#_1", ""},
		{"p:", "q:"},
		{"ds:", ""},
		{"xmlns:ds", "xmlns"},
		{"2.0", "2.1"},
		{" y", "\u00a0y"},
		{"sp.example", "sp.example<!-- -->"},
	}
	switch r.IntN(14) {
	case 0: // an octet
		b := []byte(doc)
		b[r.IntN(len(b))] = byte(r.IntN(256))
		return string(b)
	case 1: // a piece goes
		i := r.IntN(len(doc))
		return doc[:i] + doc[min(len(doc), i+1+r.IntN(40)):]
	case 2: // a piece comes twice
		i := r.IntN(len(doc))
		return insert(r.IntN(len(doc)), doc[i:min(len(doc), i+1+r.IntN(200))])
	case 3: // white space inside a tag
		return insert(at(pick(">", "/>", " ")), space)
	case 4: // white space anywhere
		return insert(r.IntN(len(doc)+1), space)
	case 5: // a namespace that nobody uses
		return insert(at(" "), ` xmlns:z="urn:z"`)
	case 6: // a comment or an instruction
		return insert(r.IntN(len(doc)+1), pick("<!-- -->", "<?x y?>", "<!DOCTYPE x>", "<![CDATA[]]>"))
	case 7, 8:
		s := swaps[r.IntN(len(swaps))]
		if r.IntN(2) == 0 {
			return strings.ReplaceAll(doc, s[0], s[1])
		}
		if i := at(s[0]); i >= 0 {
			return doc[:i] + s[1] + doc[i+len(s[0]):]
		}
		return doc
	case 9: // the signature moves
		from, to := strings.Index(doc, "<ds:Signature "), strings.LastIndex(doc, "</ds:Signature>")+len("</ds:Signature>")
		if from < 0 || to <= from {
			return doc
		}
		sig := doc[from:to]
		doc = doc[:from] + doc[to:]
		return insert(at(pick("<", ">")), sig)
	case 10: // another's element comes in, or wraps this one
		return pick(insert(at("<"), foreign), "<p:Request xmlns:p=\""+wire.NSProtocol+"\" ID=\"_9\">"+doc+"</p:Request>", strings.Replace(foreign, "<p:Part>", doc+"<p:Part>", 1))
	case 11: // a character as a reference
		i := r.IntN(len(doc))
		if doc[i] > ' ' && doc[i] < 0x7f && !strings.ContainsRune(`<>&"'=/:`, rune(doc[i])) {
			return doc[:i] + fmt.Sprintf("&#%d;", doc[i]) + doc[i+1:]
		}
		return doc
	case 12: // a declaration
		return `<?xml version="1.0" encoding="UTF-8"?>` + space + doc
	default: // the order of attributes
		return strings.Replace(doc, ` ID="_1" Version="2.0"`, ` Version="2.0" ID="_1"`, 1)
	}
}

// BenchmarkVerify is the check of a signed message, from its octets to what may be read.
func BenchmarkVerify(b *testing.B) {
	one, _ := signers(b)
	doc := signed(b, plain, one)
	for b.Loop() {
		if _, err := verify(doc, one.cert); err != nil {
			b.Fatal(err)
		}
	}
}
