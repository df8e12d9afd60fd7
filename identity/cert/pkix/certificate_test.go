package pkix_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"go/build"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// pkitsFiles are the 405 certificates of NIST PKITS in Go's own test data.
func pkitsFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(build.Default.GOROOT, "src/crypto/x509/testdata/nist-pkits/certs/*.crt"))
	if err != nil || len(files) < 400 {
		t.Fatalf("%d certificates of PKITS: %v", len(files), err)
	}
	return files
}

// TestParserAgreesWithGo: what both take means the same to both; what only Go takes is on a list, and there is nothing that only we take.
func TestParserAgreesWithGo(t *testing.T) {
	stricter := map[string]string{
		"BadSignedCACert.crt":            "the signature's BIT STRING has padding bits that are set: an octet was changed there",
		"InvalidDSASignatureTest6EE.crt": "the same",
	}
	for _, file := range pkitsFiles(t) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		theirs, errTheirs := x509.ParseCertificate(raw)
		ours, err := pkix.ParseCertificate(raw)
		switch {
		case err != nil && errTheirs == nil:
			if stricter[name] == "" {
				t.Errorf("%s: %v; Go takes it", name, err)
			}
		case err == nil && errTheirs != nil:
			t.Logf("%s: only taken here; Go says %v", name, errTheirs)
		case err == nil:
			compareWithGo(t, name, ours, theirs)
		}
	}
}

func compareWithGo(t *testing.T, name string, ours *pkix.Certificate, theirs *x509.Certificate) {
	t.Helper()
	check := func(what string, same bool) {
		if !same {
			t.Errorf("%s: another %s than Go's", name, what)
		}
	}
	check("serial", der.Big(ours.Serial).Cmp(theirs.SerialNumber) == 0)
	check("tbsCertificate", bytes.Equal(ours.TBS, theirs.RawTBSCertificate))
	check("subject", bytes.Equal(ours.Subject.Raw, theirs.RawSubject))
	check("issuer", bytes.Equal(ours.Issuer.Raw, theirs.RawIssuer))
	check("validity", ours.NotBefore.Equal(theirs.NotBefore) && ours.NotAfter.Equal(theirs.NotAfter))
	check("key", bytes.Equal(ours.Key.Raw, theirs.RawSubjectPublicKeyInfo))
	check("signature", bytes.Equal(ours.Signature, theirs.Signature))
	check("version", ours.Version == theirs.Version)
	check("key usage", int(ours.KeyUsage) == int(theirs.KeyUsage))
	check("basic constraints", ours.HasBasic == theirs.BasicConstraintsValid && ours.CA == theirs.IsCA)
	check("path length", !ours.HasPathLen || ours.PathLen == theirs.MaxPathLen)
	check("subject key identifier", bytes.Equal(ours.SubjectKeyID, theirs.SubjectKeyId))
	check("authority key identifier", bytes.Equal(ours.Authority.KeyID, theirs.AuthorityKeyId))
	var policies []string
	for _, p := range theirs.PolicyIdentifiers {
		policies = append(policies, p.String())
	}
	var mine []string
	for _, p := range ours.Policies {
		mine = append(mine, p.String())
	}
	check("policies", slices.Equal(mine, policies))
	var uris []string
	for _, p := range ours.DistributionPoints {
		for _, g := range p.FullName {
			if g.Kind == pkix.URI {
				uris = append(uris, string(g.Value))
			}
		}
	}
	check("distribution points", slices.Equal(uris, theirs.CRLDistributionPoints))
	// x509 leaves name constraints on directory names unhandled where they are critical; here they are read.
	for _, id := range ours.Unprocessed {
		check("critical extensions", slices.ContainsFunc(theirs.UnhandledCriticalExtensions, func(o asn1.ObjectIdentifier) bool { return o.String() == id.String() }))
	}
}

// TestRealAuthorities reads the real CA certificates of JPKI, which J-LIS publishes.
func TestRealAuthorities(t *testing.T) {
	dir := "../../../../shared/data/jpki"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the CA certificates of JPKI aren't here: %v", err)
	}
	names := make(map[string]pkix.Name)
	for file, serial := range map[string]string{"auth_ca_2015": "1", "auth_ca_2023": "114393094", "sign_ca_2015": "1", "sign_ca_2023": "108816929"} {
		b, err := os.ReadFile(filepath.Join(dir, file+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		c, err := pkix.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if got := der.Big(c.Serial).String(); got != serial {
			t.Errorf("%s: serial %s, want %s", file, got, serial)
		}
		if !c.CA || c.HasPathLen || !c.KeyUsageCritical || c.KeyUsage != pkix.KeyCertSign|pkix.CRLSign || c.Key.RSA.E != 65537 || c.Key.RSA.N.BitLen() != 2048 {
			t.Errorf("%s isn't what is documented of it", file)
		}
		// What crypto/x509 shows nothing of.
		if len(c.DistributionPoints) != 1 || len(c.DistributionPoints[0].FullName) != 1 || !c.DistributionPoints[0].FullName[0].Name.Equal(c.Subject) {
			t.Errorf("%s: the distribution point isn't its own name: %v", file, c.DistributionPoints)
		}
		policy := pkix.Policy{Schemes: []pkix.Scheme{pkix.RSASHA256}, RSAMinBits: 2048, RSAMaxBits: 2048, RSAMinExponent: 65537}
		if err := policy.Check(&c.Key, c.Algorithm, c.TBS, c.Signature); err != nil || !c.SelfIssued() {
			t.Errorf("%s: self-signed: %v", file, err)
		}
		names[file] = c.Subject
	}
	if !names["auth_ca_2015"].Equal(names["auth_ca_2023"]) || names["auth_ca_2023"].Equal(names["sign_ca_2023"]) {
		t.Error("generations share one name, trees don't")
	}
}

// card is a certificate for tests, changed by f.
func card(t testing.TB, f func(*testpki.Certificate)) []byte {
	t.Helper()
	pki, err := testpki.New(testpki.Seeded("pkix"), testpki.Options{Now: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), Kind: testpki.P256, Generations: 1})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pki.Auth[0].Issue(testpki.Holder{Kind: testpki.P256, Change: f}, pki.Now)
	if err != nil {
		t.Fatal(err)
	}
	return c.Raw
}

// TestSizesAreBounded: claims of four gigabytes, a million extensions and a certificate of a megabyte end at once, and allocate next to nothing.
func TestSizesAreBounded(t *testing.T) {
	extension := der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(pkix.OIDAuthorityInfo)), der.Wrap(der.OctetString, []byte{5, 0}))
	huge := bytes.Repeat(extension, 1_000_000)
	tbs := der.Wrap(der.Sequence, der.Wrap(der.Constructed(3), der.Wrap(der.Sequence, huge)))
	inputs := map[string][]byte{
		"4 GB claimed":         {0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30},
		"4 GB claimed inside":  {0x30, 0x0a, 0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30, 0, 0, 0},
		"a million extensions": der.Wrap(der.Sequence, tbs),
		"just nested":          bytes.Repeat([]byte{0x30, 0x80}, 1000),
	}
	deep := []byte{5, 0}
	for range 10_000 {
		deep = der.Wrap(der.Sequence, deep)
	}
	inputs["nested ten thousand deep"] = deep
	for what, in := range inputs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := pkix.ParseCertificate(in)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: taken", what)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d octets allocated", what, n)
		}
	}
	more := card(t, func(c *testpki.Certificate) {
		for i := range 100 {
			c.Extensions = append(c.Extensions, testpki.Extension{OID: pkix.OID([]byte{0x2a, 3, byte(i)}), Value: []byte{5, 0}})
		}
	})
	if _, err := pkix.ParseCertificate(more); err == nil {
		t.Error("a hundred extensions are taken")
	}
}

func TestEveryOctetCounts(t *testing.T) {
	raw := card(t, nil)
	c, err := pkix.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		if _, err := pkix.ParseCertificate(raw[:n]); err == nil {
			t.Fatalf("cut off at %d and taken", n)
		}
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			changed := bytes.Clone(raw)
			changed[n] ^= flip
			d, err := pkix.ParseCertificate(changed)
			if err == nil && bytes.Equal(d.TBS, c.TBS) && bytes.Equal(d.Signature, c.Signature) && d.Algorithm.Equal(c.Algorithm) {
				t.Fatalf("octet %d changed and nothing of what is signed differs", n)
			}
		}
	}
}

func FuzzCertificate(f *testing.F) {
	for i, file := range pkitsFiles(f) {
		if raw, err := os.ReadFile(file); err == nil && i%8 == 0 {
			f.Add(raw)
		}
	}
	f.Add(card(f, nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := pkix.ParseCertificate(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Raw, raw) || !bytes.Contains(raw, c.TBS) || len(c.Serial) == 0 || len(c.Serial) > 20 {
			t.Fatal("the parts aren't of the whole")
		}
		_, _, _ = c.SelfIssued(), c.Subject.String(), c.Issuer.Canonical()
		theirs, err := x509.ParseCertificate(raw)
		if err == nil && (der.Big(c.Serial).Cmp(theirs.SerialNumber) != 0 || c.CA != theirs.IsCA || int(c.KeyUsage) != int(theirs.KeyUsage)) {
			t.Fatalf("Go reads %v, %t, %v", theirs.SerialNumber, theirs.IsCA, theirs.KeyUsage)
		}
	})
}

func FuzzDistributionPoints(f *testing.F) {
	c, err := pkix.ParseCertificate(card(f, nil))
	if err != nil {
		f.Fatal(err)
	}
	name := c.DistributionPoints[0].FullName[0].Name.Raw
	f.Add(testpki.DistributionPoints(pkix.OIDDistPoints, testpki.Point{Name: name, CRLIssuer: name}).Value)
	f.Add(testpki.IssuingDistributionPoint(name, true, true).Value)
	f.Add([]byte{0x30, 0x06, 0x30, 0x04, 0xa0, 0x02, 0xa1, 0x00})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if points, err := pkix.ParseDistributionPoints(b); err == nil {
			for _, p := range points {
				for _, g := range slices.Concat(p.FullName, p.CRLIssuer) {
					_ = g.String()
					_ = g.Equal(g)
				}
			}
		}
		_, _ = pkix.ParseIssuingDistributionPoint(b)
		_, _ = pkix.ParseAuthorityKeyID(b)
	})
}

func FuzzPublicKey(f *testing.F) {
	for _, kind := range []testpki.Kind{testpki.P256, testpki.P384} {
		key, err := testpki.NewKey(testpki.Seeded("fuzz"), kind)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(testpki.SPKI(key.Public()))
	}
	for _, file := range pkitsFiles(f)[:3] {
		if raw, err := os.ReadFile(file); err == nil {
			if c, err := pkix.ParseCertificate(raw); err == nil {
				f.Add(c.Key.Raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := pkix.ParsePublicKey(b)
		if err != nil || k.Kind == pkix.OtherKey {
			return
		}
		if _, err := x509.ParsePKIXPublicKey(b); err != nil {
			t.Fatalf("only taken here: %v", err)
		}
		if k.Kind == pkix.RSAKey && k.RSA.E < 3 {
			t.Fatal("an exponent below 3")
		}
		policy := pkix.Policy{Schemes: pkix.Schemes, RSAMinBits: 2048, RSAMaxBits: 8192, RSAMinExponent: 3}
		for _, s := range pkix.Schemes {
			if pkix.VerifyDigest(k, s, make([]byte, s.Hash().Size()), make([]byte, 64)) == nil {
				t.Fatal("zeros verify")
			}
		}
		_ = policy.Key(k)
	})
}
