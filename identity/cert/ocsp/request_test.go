package ocsp_test

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/ocsp"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

func asRefusal(err error, to **ocsp.Refusal) bool { return errors.As(err, to) }

func TestRequest(t *testing.T) {
	w := theWorld()
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		for _, nonce := range [][]byte{nil, w.nonce, bytes.Repeat([]byte{1}, 128)} {
			raw, err := ocsp.NewRequest(w.issuer, w.question.Serial, h, nonce)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ocsp.ParseRequest(raw)
			if err != nil || len(got.Asked) != 1 || !got.Asked[0].About(w.issuer, w.question.Serial) || got.Asked[0].Hash != h || !bytes.Equal(got.Nonce, nonce) {
				t.Errorf("%+v, %v", got, err)
			}
			if got.Asked[0].About(issuerOf(w.old), w.question.Serial) {
				t.Error("about the old generation too")
			}
			theirs, err := xocsp.ParseRequest(raw)
			if err != nil || theirs.HashAlgorithm != h || !bytes.Equal(theirs.SerialNumber.Bytes(), w.question.Serial) {
				t.Errorf("golang.org/x/crypto/ocsp reads %+v, %v", theirs, err)
			}
			for i := range raw {
				_, _ = ocsp.ParseRequest(raw[:i])
				if _, err := ocsp.ParseRequest(raw[:i]); err == nil {
					t.Errorf("cut after %d octets and taken", i)
				}
			}
		}
	}
	for name, f := range map[string]func() ([]byte, error){
		"no issuer":    func() ([]byte, error) { return ocsp.NewRequest(ocsp.Issuer{}, []byte{1}, crypto.SHA1, nil) },
		"serial zero":  func() ([]byte, error) { return ocsp.NewRequest(w.issuer, []byte{0}, crypto.SHA1, nil) },
		"negative":     func() ([]byte, error) { return ocsp.NewRequest(w.issuer, []byte{0x80}, crypto.SHA1, nil) },
		"not shortest": func() ([]byte, error) { return ocsp.NewRequest(w.issuer, []byte{0, 1}, crypto.SHA1, nil) },
		"21 octets": func() ([]byte, error) {
			return ocsp.NewRequest(w.issuer, bytes.Repeat([]byte{1}, 21), crypto.SHA1, nil)
		},
		"MD5":         func() ([]byte, error) { return ocsp.NewRequest(w.issuer, []byte{1}, crypto.MD5, nil) },
		"empty nonce": func() ([]byte, error) { return ocsp.NewRequest(w.issuer, []byte{1}, crypto.SHA1, []byte{}) },
		"long nonce":  func() ([]byte, error) { return ocsp.NewRequest(w.issuer, []byte{1}, crypto.SHA1, make([]byte, 129)) },
	} {
		if _, err := f(); ocsp.CodeOf(err) != ocsp.CodeQuestion {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pyca's samples, as Debian's python3-cryptography-vectors has them: what becomes of each. A success is refused in the end, because the
// tests have no issuer for it: a code past ocsp-malformed says that all of it was read. The Army's answer is about 21 certificates.
var samples = map[string]ocsp.Code{
	"ocsp-army.deps.mil-resp.der":           ocsp.CodeTooLarge,
	"ocsp-army.inapplicable-req.der":        "",
	"ocsp-army.revoked-req.der":             "",
	"ocsp-army.valid-req.der":               "",
	"req-duplicate-ext.der":                 ocsp.CodeMalformed,
	"req-ext-nonce.der":                     "",
	"req-ext-unknown-oid.der":               "",
	"req-invalid-hash-alg.der":              "",
	"req-multi-sha1.der":                    "",
	"req-sha1.der":                          "",
	"resp-delegate-unknown-cert.der":        ocsp.CodeUnauthorized,
	"resp-invalid-signature-oid.der":        ocsp.CodeUnauthorized,
	"resp-responder-key-hash.der":           ocsp.CodeUnauthorized,
	"resp-response-type-unknown-oid.der":    ocsp.CodeUnsupported,
	"resp-revoked-no-next-update.der":       ocsp.CodeUnauthorized,
	"resp-revoked-reason.der":               ocsp.CodeUnauthorized,
	"resp-revoked.der":                      ocsp.CodeUnauthorized,
	"resp-sct-extension.der":                ocsp.CodeUnauthorized,
	"resp-sha256.der":                       ocsp.CodeUnauthorized,
	"resp-single-extension-reason.der":      ocsp.CodeUnauthorized,
	"resp-successful-no-response-bytes.der": ocsp.CodeMalformed,
	"resp-unauthorized.der":                 ocsp.CodeResponderError,
	"resp-unknown-extension.der":            ocsp.CodeSignature,
	"resp-unknown-hash-alg.der":             ocsp.CodeUnauthorized,
	"resp-unknown-response-status.der":      ocsp.CodeMalformed,
}

const vectors = "/usr/lib/python3/dist-packages/cryptography_vectors/x509/ocsp"

func TestSamplesOfPyca(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(vectors, "*.der"))
	if len(files) == 0 {
		t.Skipf("%s: not there; Debian's python3-cryptography-vectors has it", vectors)
	}
	w := theWorld()
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(f)
		var code ocsp.Code
		if strings.Contains(name, "req") {
			_, err = ocsp.ParseRequest(raw)
		} else {
			_, err = ocsp.Check(raw, w.question, now, strict())
		}
		code = ocsp.CodeOf(err)
		if want, known := samples[name]; !known || code != want {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
	}
}

func FuzzOCSPAnswer(f *testing.F) {
	w := theWorld()
	f.Add(w.good().Der(w.responder.Key))
	f.Add(testpki.Failure(3))
	revoked := w.card.Single(testpki.StateRevoked, now)
	revoked.RevokedAt, revoked.Reason = now, 1
	a := w.ca.Answer(now, revoked)
	a.ByName = w.ca.Name
	f.Add(a.Der(w.ca.Key))
	files, _ := filepath.Glob(filepath.Join(vectors, "resp*.der"))
	for _, name := range files {
		if raw, err := os.ReadFile(name); err == nil {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			return
		}
		got, err := ocsp.Check(raw, w.question, now, strict())
		// Certificates beside the signer's may be added, and an ECDSA signature has a twin; what is signed can't change.
		if err == nil && (got.Status != ocsp.Good || !got.ThisUpdate.Equal(now.Add(-5*time.Minute)) || !got.Nonce) {
			t.Errorf("a forged answer was taken: %+v", got)
		}
		if err != nil && ocsp.CodeOf(err) == "" {
			t.Errorf("an error without a code: %v", err)
		}
	})
}

func FuzzOCSPRequest(f *testing.F) {
	w := theWorld()
	raw, _ := ocsp.NewRequest(w.issuer, w.question.Serial, crypto.SHA1, w.nonce)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			return
		}
		if q, err := ocsp.ParseRequest(raw); err == nil && len(q.Asked) == 0 {
			t.Error("nothing asked and taken")
		}
	})
}

// TestBounds gives the largest inputs that are read at all, made to cost as much as they can, and counts what is allocated.
func TestBounds(t *testing.T) {
	w := theWorld()
	wide := ocsp.DefaultPolicy()
	wide.MaxSize, wide.MaxAnswers, wide.MaxCertificates = 1<<30, 1<<30, 1<<30 // held down by the package's own limits
	wrap := func(basic []byte) []byte { return testpki.Success(basic) }
	deep := []byte{5, 0}
	for len(deep) < 20<<10 {
		deep = der.Wrap(der.Sequence, deep)
	}
	many := w.good()
	for range 200 {
		many.Singles = append(many.Singles, many.Singles[:min(len(many.Singles), 50)]...)
	}
	exts := w.good()
	for i := range 20_000 {
		id := must(pkix.ParseOID(fmt.Sprintf("1.3.6.1.4.1.99999.%d", i)))
		exts.Extensions = append(exts.Extensions, testpki.Extension{OID: id, Value: []byte{5, 0}})
	}
	certs := w.good()
	for range 2000 {
		certs.Certs = append([][]byte{w.other.Raw}, certs.Certs...)
	}
	for name, c := range map[string]struct {
		raw  []byte
		code ocsp.Code
	}{
		"nested":       {wrap(deep), ocsp.CodeMalformed},
		"answers":      {many.Der(w.responder.Key), ocsp.CodeTooLarge},
		"extensions":   {exts.Der(w.responder.Key), ocsp.CodeMalformed},
		"certificates": {certs.Der(w.responder.Key), ocsp.CodeTooLarge},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ocsp.Check(c.raw, w.question, now, wide)
		runtime.ReadMemStats(&after)
		if ocsp.CodeOf(err) != c.code {
			t.Errorf("%s, %d octets: %v; want %s", name, len(c.raw), err, c.code)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s, %d octets: %d octets allocated", name, len(c.raw), used)
		}
	}
}

// TestCertIDs changes one octet of a request's CertID: 30 07 06 05 <SHA-1> 05 00, 04 14 <name>, 04 14 <key>, 02 <serial>.
func TestCertIDs(t *testing.T) {
	w := theWorld()
	raw := must(ocsp.NewRequest(w.issuer, w.question.Serial, crypto.SHA1, nil))
	hash := append([]byte{0x06, 0x05}, []byte(pkix.OIDSHA1)...)
	at := bytes.Index(raw, hash)
	params := at + len(hash)
	for name, c := range map[string]struct {
		offset int
		value  byte
		code   ocsp.Code // empty: read, and about nothing that we know
	}{
		"another algorithm":     {params - 1, 0x1b, ""},
		"parameters not NULL":   {params, 0x04, ""},
		"no identifier":         {at, 0x04, ocsp.CodeMalformed},
		"name not OCTET STRING": {params + 2, 0x0c, ocsp.CodeMalformed},
		"key not OCTET STRING":  {params + 24, 0x80, ocsp.CodeMalformed},
		"serial not INTEGER":    {params + 46, 0x04, ocsp.CodeMalformed},
		"no SEQUENCE":           {at - 4, 0x31, ocsp.CodeMalformed},
	} {
		changed := bytes.Clone(raw)
		changed[c.offset] = c.value
		got, err := ocsp.ParseRequest(changed)
		if ocsp.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (got.Asked[0].Hash != 0 || got.Asked[0].About(w.issuer, w.question.Serial)) {
			t.Errorf("%s: about the certificate", name)
		}
	}
	if (ocsp.CertID{Hash: crypto.SHA1}).About(ocsp.Issuer{}, nil) {
		t.Error("about nobody")
	}
}
