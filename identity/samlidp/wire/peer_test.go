package wire_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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

// BenchmarkVerify is the check of a signed message, from its octets to what may be read, in processor time. A bare signature by the same key stands
// beside it, turn about in the same run: on a busy machine the ratio is what counts.
func BenchmarkVerify(b *testing.B) {
	one, _ := signers(b)
	doc := signed(b, plain, one)
	digest := sha256.Sum256([]byte("bare"))
	var checking, signing float64
	const turn = 100
	for n := b.N; n > 0; n -= turn {
		began := cpu(b)
		for range min(n, turn) {
			if _, err := verify(doc, one.cert); err != nil {
				b.Fatal(err)
			}
		}
		checking += cpu(b) - began
		began = cpu(b)
		for range min(n, turn) / 4 {
			if _, err := one.key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
		signing += cpu(b) - began
	}
	each, bare := checking/float64(b.N), signing*4/float64(b.N)
	b.ReportMetric(each*1e6, "check-cpu-us")
	b.ReportMetric(bare*1e6, "signature-cpu-us")
	b.ReportMetric(each/bare, "ratio")
}

// cpu gives the seconds of processor time that this process has used.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}
