package testpki_test

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

var now = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

func TestTheSameSeedMakesTheSameOctets(t *testing.T) {
	folderOf := func(seed string) []testpki.File {
		random := testpki.Seeded(seed)
		return must(testpki.NewFolder(random, must(testpki.New(random, testpki.Options{Now: now, Kind: testpki.P256})))).Files
	}
	a, b := folderOf("1"), folderOf("1")
	for i := range a {
		if a[i].Path != b[i].Path || !bytes.Equal(a[i].Data, b[i].Data) {
			t.Errorf("%s differs", a[i].Path)
		}
		if a[i].Secret != (strings.HasSuffix(a[i].Path, ".key.pem") || strings.HasSuffix(a[i].Path, ".p12")) {
			t.Errorf("%s: secret %v", a[i].Path, a[i].Secret)
		}
	}
}

func TestKeysFollowTheSeedAlone(t *testing.T) {
	for _, kind := range testpki.Kinds {
		key := func(seed string) []byte {
			return testpki.SPKI(must(testpki.NewKey(testpki.Seeded(seed), kind)).Public())
		}
		if a := key("1"); !bytes.Equal(a, key("1")) || bytes.Equal(a, key("2")) {
			t.Errorf("%s", kind)
		}
	}
}

// TestShape holds the hierarchy to what is known of the real one: the certificates of the CAs themselves are public.
func TestShape(t *testing.T) {
	pki := must(testpki.New(testpki.Seeded("shape"), testpki.Options{Now: now, Generations: 2}))
	for _, tree := range []testpki.Tree{testpki.AuthTree, testpki.SignTree} {
		cas := pki.CAs(tree)
		for i, ca := range cas {
			c := must(pkix.ParseCertificate(ca.Raw))
			ids := []pkix.OID{pkix.OIDKeyUsage, pkix.OIDSubjectAltName, pkix.OIDBasicConstraints, pkix.OIDDistPoints, pkix.OIDSubjectKeyID}
			if len(c.IDs) != len(ids) {
				t.Fatalf("%v", c.IDs)
			}
			for j := range ids {
				if c.IDs[j] != ids[j] {
					t.Errorf("extension %d is %v, want %v", j, c.IDs[j], ids[j])
				}
			}
			if !c.CA || c.HasPathLen || c.KeyUsage != pkix.KeyCertSign|pkix.CRLSign || !c.KeyUsageCritical || !c.SelfIssued() {
				t.Errorf("%+v", c.Extensions)
			}
			if !bytes.Contains(c.Subject.Raw, []byte("JPKI-TEST")) {
				t.Error("the name doesn't say that it is a test")
			}
			if !c.Subject.Equal(must(pkix.ParseName(cas[0].Name))) || i > 0 && bytes.Equal(ca.SPKI, cas[i-1].SPKI) {
				t.Error("generations must share the name and differ by key")
			}
			if now.Before(c.NotBefore) || now.After(c.NotAfter) {
				t.Errorf("generation %d is not valid now", ca.Generation)
			}
		}
		card := must(cas[1].Issue(testpki.Holder{}, now))
		c := must(pkix.ParseCertificate(card.Raw))
		if len(c.DistributionPoints) != 1 || !c.PoliciesCritical || c.CA || len(c.Serial) != 4 {
			t.Errorf("%+v", c.Extensions)
		}
		if !bytes.Contains(c.Subject.Raw, []byte("TEST")) {
			t.Error("the holder's name doesn't say that it is a test")
		}
		std := must(x509.ParseCertificate(card.Raw))
		if err := std.CheckSignatureFrom(must(x509.ParseCertificate(cas[1].Raw))); err != nil {
			t.Error(err)
		}
		if err := std.CheckSignatureFrom(must(x509.ParseCertificate(cas[0].Raw))); err == nil {
			t.Error("the old generation's key verifies the card")
		}
	}
	if bytes.Equal(pki.Auth[0].Name, pki.Sign[0].Name) {
		t.Error("the trees share a name")
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []testpki.Options{{}, {Now: now, Generations: 4}, {Now: now, Generations: -1}, {Now: now, Kind: "dsa"}} {
		if _, err := testpki.New(testpki.Seeded(""), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := testpki.New(strings.NewReader("too short"), testpki.Options{Now: now}); err == nil {
		t.Error("a hierarchy out of nine octets")
	}
}
