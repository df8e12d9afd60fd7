package wire_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

// shapes are the messages that are changed: each has what mutate knows how to change.
var shapes = map[string]string{
	"AuthnRequest": `<p:AuthnRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0" Destination="https://idp.example/sso"><a:Issuer xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">https://sp.example</a:Issuer>` +
		`<a:Subject xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion"><a:NameID>x &amp; y</a:NameID></a:Subject></p:AuthnRequest>`,
	"LogoutRequest": `<p:LogoutRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1" Version="2.0" Reason="urn:oasis:names:tc:SAML:2.0:logout:user"><a:Issuer>https://sp.example</a:Issuer>` +
		`<a:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">x &amp; y</a:NameID><p:SessionIndex>_s</p:SessionIndex></p:LogoutRequest>`,
	"LogoutResponse": `<LogoutResponse xmlns="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0" InResponseTo="_0"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">https://sp.example</Issuer>` +
		`<Status><StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></StatusCode><StatusMessage>x &amp; y</StatusMessage></Status></LogoutResponse>`,
	"Assertion": `<a:Assertion xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1" Version="2.0"><a:Issuer>https://sp.example</a:Issuer><a:Subject><a:NameID>x &amp; y</a:NameID></a:Subject>` +
		`<a:AttributeStatement><a:Attribute Name="mail"><a:AttributeValue>p@sp.example</a:AttributeValue></a:Attribute></a:AttributeStatement></a:Assertion>`,
}

// differential holds a check against xmlsec1: what is taken of changed documents is what was signed, and xmlsec1 takes the same documents.
type differential struct {
	program, key, dir string
	files             int
	mute              bool // it isn't asked about what is refused here
}

func newDifferential(t *testing.T, by signer) *differential {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(by.key.Public())
	must(t, err)
	return &differential{program: xmlsec(t), dir: t.TempDir(), key: write(t, "public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))}
}

func (d *differential) file(t *testing.T, doc string) string {
	t.Helper()
	d.files++
	path := filepath.Join(d.dir, fmt.Sprintf("%d.xml", d.files))
	must(t, os.WriteFile(path, []byte(doc), 0o600))
	return path
}

// takes reports whether xmlsec1 takes all of the files. It says OK of each that is good, and stops at the first that isn't.
func (d *differential) takes(t *testing.T, files ...string) bool {
	t.Helper()
	args := []string{"--verify", "--enabled-key-data", "rsa", "--pubkey-pem", d.key}
	for shape := range shapes {
		ns := wire.NSProtocol
		if shape == "Assertion" {
			ns = wire.NSAssertion
		}
		args = append(args, "--id-attr:ID", ns+":"+shape)
	}
	out, err := exec.CommandContext(t.Context(), d.program, append(args, files...)...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return err == nil && strings.Count(string(out), "OK\n") == len(files)
}

// outcome is what came of one shape's changed documents.
type outcome struct {
	taken, refused, both int      // both: refused here and, of those that xmlsec1 was asked about, there
	asked                int      // how many of those refused it was asked about
	wrong                []string // what is taken here and isn't what was signed, or isn't taken there
}

// maxAsked bounds the documents that xmlsec1 is asked about one by one.
const maxAsked = 25

// run changes a shape's signed document in so many ways and has check take or refuse each.
func (d *differential) run(t *testing.T, random *mathrand.Rand, plain string, tries int, check func(doc string) (*etree.Element, error)) (o outcome) {
	t.Helper()
	one, two := signers(t)
	doc := signed(t, plain, one)
	foreign := signed(t, strings.Replace(plain, "x &amp; y", "forged", 1), two)
	original, err := verify(doc, one.cert)
	must(t, err)
	b, err := wire.Bytes(original)
	must(t, err)
	want := string(b)
	var taken []string
	for range tries {
		changed := doc
		for changed == doc {
			for range 1 + random.IntN(3) {
				changed = mutate(random, changed, foreign)
			}
		}
		got, err := check(changed)
		if err != nil {
			if o.refused++; o.asked < maxAsked && !d.mute {
				if o.asked++; !d.takes(t, d.file(t, changed)) {
					o.both++
				}
			}
			continue
		}
		o.taken++
		b, err := wire.Bytes(got)
		must(t, err)
		if string(b) != want {
			o.wrong = append(o.wrong, fmt.Sprintf("this was read of what was signed:\n%s\n\nfrom\n%s", b, changed))
			continue
		}
		taken = append(taken, d.file(t, changed))
	}
	for batch := range slices.Chunk(taken, 200) {
		if d.takes(t, batch...) {
			continue
		}
		for _, file := range batch {
			if len(o.wrong) == 0 && !d.takes(t, file) { // one is enough
				changed, _ := os.ReadFile(file)
				o.wrong = append(o.wrong, fmt.Sprintf("xmlsec1 refuses what is taken here:\n%s", changed))
			}
		}
	}
	return o
}

// TestAgainstXMLSec changes signed messages of four shapes in 2,500 ways each, 10,000 in all. xmlsec1 has to take each one that is taken here, and what
// is read of it is what was signed. CVE-2020-15216 and CVE-2026-33487 (GHSA-479m-364c-43vc, both goxmldsig), CVE-2024-45409, CVE-2025-25291 and
// CVE-2025-25292 (ruby-saml) and CVE-2025-47949 (samlify) were such documents. How many each side takes is printed and bounded: changes that
// break everything, or nothing, would prove nothing.
func TestAgainstXMLSec(t *testing.T) {
	one, _ := signers(t)
	d := newDifferential(t, one)
	for shape, plain := range shapes {
		t.Run(shape, func(t *testing.T) {
			const tries = 2_500
			o := d.run(t, mathrand.New(mathrand.NewPCG(1, uint64(len(shape)))), plain, tries, func(doc string) (*etree.Element, error) {
				got, err := verify(doc, one.cert)
				if err != nil && wire.ReasonOf(err) == "" {
					t.Fatalf("an error without a reason: %v", err)
				}
				return got, err
			})
			for _, w := range o.wrong {
				t.Error(w)
			}
			t.Logf("of %d changed documents %d (%.1f %%) are taken, here and by xmlsec1; of %d that are refused here xmlsec1 refuses %d",
				tries, o.taken, 100*float64(o.taken)/tries, o.asked, o.both)
			if o.taken < tries/50 || o.refused < tries/2 || o.both < o.asked/2 {
				t.Error("these changes prove nothing: too few are taken, or too few refused")
			}
		})
	}
}

// TestDifferentialNotices plants faults in the check, each a mistake that was made elsewhere, and has the comparison find documents.
func TestDifferentialNotices(t *testing.T) {
	one, _ := signers(t)
	d := newDifferential(t, one)
	d.mute = true
	// loose is goxmldsig by itself over a reader that takes more.
	loose := func(doc string, keys ...*x509.Certificate) (root, signed *etree.Element, err error) {
		all := etree.NewDocument()
		if err := all.ReadFromString(doc); err != nil || all.Root() == nil {
			return nil, nil, errors.Join(errors.New("not read"), err)
		}
		check := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: keys})
		check.Clock = dsig.NewFakeClockAt(one.cert.NotBefore)
		signed, err = check.Validate(all.Root())
		return all.Root(), signed, err
	}
	bare := func(root *etree.Element) *etree.Element {
		for _, s := range wire.Children(root, wire.NSSignature, "Signature") {
			root.RemoveChild(s)
		}
		return root
	}
	for name, check := range map[string]func(doc string) (*etree.Element, error){
		"the key in the document counts": func(doc string) (*etree.Element, error) {
			keys := []*x509.Certificate{one.cert}
			if _, rest, ok := strings.Cut(doc, "<ds:X509Certificate>"); ok {
				text, _, _ := strings.Cut(rest, "<")
				if der, err := base64.StdEncoding.DecodeString(text); err == nil {
					if c, err := x509.ParseCertificate(der); err == nil {
						keys = append(keys, c)
					}
				}
			}
			return verify(doc, keys...)
		},
		"whatever holds a signature is read": func(doc string) (*etree.Element, error) {
			root, err := wire.Parse([]byte(doc), wire.MessageLimits)
			if err != nil || !strings.Contains(doc, "<ds:SignatureValue>") {
				return nil, errors.Join(errors.New("no signature"), err)
			}
			return bare(root), nil
		},
		"what is read is the document, not what was signed": func(doc string) (*etree.Element, error) {
			root, _, err := loose(doc, one.cert)
			if err != nil {
				return nil, err
			}
			return bare(root), nil
		},
	} {
		o := d.run(t, mathrand.New(mathrand.NewPCG(3, 4)), shapes["LogoutRequest"], 400, check)
		if len(o.wrong) == 0 {
			t.Errorf("%s: nothing of %d taken documents is noticed", name, o.taken)
		}
		t.Logf("%s: %d of %d taken documents are noticed", name, len(o.wrong), o.taken)
	}
	// A forged document among good ones is noticed by xmlsec1 itself.
	doc := signed(t, shapes["Assertion"], one)
	if d.takes(t, d.file(t, doc), d.file(t, strings.Replace(doc, "x &amp; y", "x &amp; z", 1))) {
		t.Error("xmlsec1 takes a forged document")
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
		return pick(insert(at("<"), foreign), "<p:Request xmlns:p=\""+wire.NSProtocol+"\" ID=\"_9\">"+doc+"</p:Request>", foreign[:strings.LastIndex(foreign, "</")]+doc+foreign[strings.LastIndex(foreign, "</"):], foreign)
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
