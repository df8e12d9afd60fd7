package pkix_test

import (
	"errors"
	"testing"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// TestExtensionsAreRefused: what is DER, and isn't what RFC 5280 means.
func TestExtensionsAreRefused(t *testing.T) {
	seq := func(parts ...[]byte) []byte { return der.Wrap(der.Sequence, parts...) }
	id := der.Wrap(der.OID, []byte{0x2a, 3})
	mail := der.Wrap(der.Context(1), []byte("a@example.jp"))
	for what, e := range map[string]testpki.Extension{
		"key usage without a bit":                  {OID: pkix.OIDKeyUsage, Value: der.Wrap(der.BitString, []byte{0})},
		"a path length of no authority":            {OID: pkix.OIDBasicConstraints, Value: seq(der.Wrap(der.Integer, []byte{0}))},
		"a negative path length":                   {OID: pkix.OIDBasicConstraints, Value: seq(der.Wrap(der.Boolean, []byte{0xff}), der.Wrap(der.Integer, []byte{0xff}))},
		"something after the path length":          {OID: pkix.OIDBasicConstraints, Value: seq(der.Wrap(der.Boolean, []byte{0xff}), der.Wrap(der.Integer, []byte{1}), []byte{5, 0})},
		"an issuer without a serial":               {OID: pkix.OIDAuthorityKeyID, Value: seq(der.Wrap(der.Constructed(1), mail))},
		"a serial without an issuer":               {OID: pkix.OIDAuthorityKeyID, Value: seq(der.Wrap(der.Context(2), []byte{1}))},
		"no policies":                              {OID: pkix.OIDPolicies, Value: seq()},
		"a policy twice":                           {OID: pkix.OIDPolicies, Value: seq(seq(id), seq(id))},
		"no mappings":                              {OID: pkix.OIDPolicyMappings, Value: seq()},
		"half a mapping":                           {OID: pkix.OIDPolicyMappings, Value: seq(seq(id))},
		"policy constraints that say nothing":      {OID: pkix.OIDPolicyConstraints, Value: seq()},
		"name constraints that say nothing":        {OID: pkix.OIDNameConstraints, Value: seq()},
		"a subtree with a minimum":                 {OID: pkix.OIDNameConstraints, Value: seq(der.Wrap(der.Constructed(0), seq(mail, der.Wrap(der.Context(0), []byte{1}))))},
		"a subtree with a maximum":                 {OID: pkix.OIDNameConstraints, Value: seq(der.Wrap(der.Constructed(0), seq(mail, der.Wrap(der.Context(1), []byte{1}))))},
		"no subtree in a list":                     {OID: pkix.OIDNameConstraints, Value: seq(der.Wrap(der.Constructed(0)))},
		"no purposes":                              {OID: pkix.OIDExtKeyUsage, Value: seq()},
		"no names":                                 {OID: pkix.OIDSubjectAltName, Value: seq()},
		"a name of a kind that doesn't exist":      {OID: pkix.OIDSubjectAltName, Value: seq(der.Wrap(der.Context(9), []byte("a")))},
		"a directory name that is primitive":       {OID: pkix.OIDSubjectAltName, Value: seq(der.Wrap(der.Context(4), []byte{0x30, 0}))},
		"a host that isn't ASCII":                  {OID: pkix.OIDSubjectAltName, Value: seq(der.Wrap(der.Context(2), []byte("例")))},
		"no distribution points":                   {OID: pkix.OIDDistPoints, Value: seq()},
		"a distribution point that says nothing":   {OID: pkix.OIDDistPoints, Value: seq(seq())},
		"a distribution point with only reasons":   {OID: pkix.OIDDistPoints, Value: seq(seq(der.Wrap(der.Context(1), []byte{7, 0x80})))},
		"nocheck with content":                     {OID: pkix.OIDOCSPNoCheck, Value: der.Wrap(der.Null, []byte{0})},
		"inhibitAnyPolicy below zero":              {OID: pkix.OIDInhibitAnyPolicy, Value: der.Wrap(der.Integer, []byte{0xff})},
		"a key identifier with something after it": {OID: pkix.OIDSubjectKeyID, Value: append(der.Wrap(der.OctetString, []byte{1}), 0)},
	} {
		raw := card(t, func(c *testpki.Certificate) { c.Extensions = []testpki.Extension{e} })
		if _, err := pkix.ParseCertificate(raw); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	for what, value := range map[string][]byte{
		"two kinds of only":    seq(der.Wrap(der.Context(1), []byte{0xff}), der.Wrap(der.Context(2), []byte{0xff})),
		"a default written":    seq(der.Wrap(der.Context(1), []byte{0})),
		"something at the end": seq(der.Wrap(der.Context(5), []byte{0xff}), []byte{5, 0}),
	} {
		if _, err := pkix.ParseIssuingDistributionPoint(value); err == nil {
			t.Errorf("the scope of a list: %s: taken", what)
		}
	}
}

// TestQualifiersThatAreUnknown: in a critical extension they must be understood (RFC 5280, 4.2.1.4).
func TestQualifiersThatAreUnknown(t *testing.T) {
	qualifier := func(id pkix.OID) []byte {
		one := der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(id)), der.Wrap(der.IA5String, []byte("x")))
		return der.Wrap(der.Sequence, der.Wrap(der.Sequence, der.Wrap(der.OID, []byte{0x2a, 3}), der.Wrap(der.Sequence, one)))
	}
	cps, err := pkix.ParseOID("1.3.6.1.5.5.7.2.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id       pkix.OID
		critical bool
		strange  int
	}{{cps, true, 0}, {cps, false, 0}, {"\x2a\x04", false, 0}, {"\x2a\x04", true, 1}} {
		raw := card(t, func(x *testpki.Certificate) {
			x.Extensions = []testpki.Extension{{OID: pkix.OIDPolicies, Critical: c.critical, Value: qualifier(c.id)}}
		})
		got, err := pkix.ParseCertificate(raw)
		if err != nil || len(got.Unprocessed) != c.strange {
			t.Errorf("%s, critical %t: %v, %v", c.id, c.critical, got, err)
		}
	}
}

// TestCertificatesAreRefused takes a certificate apart and puts it together otherwise.
func TestCertificatesAreRefused(t *testing.T) {
	raw := card(t, nil)
	outer, err := der.Whole(raw, der.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	var outside [3][]byte
	for i := range outside {
		if _, _, outside[i], err = outer.Next(); err != nil {
			t.Fatal(err)
		}
	}
	var inside [][]byte
	tbs, err := der.Whole(outside[0], der.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	for !tbs.Empty() {
		_, _, whole, err := tbs.Next()
		if err != nil {
			t.Fatal(err)
		}
		inside = append(inside, whole)
	}
	// inside is version, serial, algorithm, issuer, validity, subject, key, extensions
	joined := func(change func(parts [][]byte) [][]byte) []byte {
		parts := change(append([][]byte(nil), inside...))
		return der.Wrap(der.Sequence, der.Wrap(der.Sequence, parts...), outside[1], outside[2])
	}
	set := func(i int, b []byte) func([][]byte) [][]byte {
		return func(p [][]byte) [][]byte { p[i] = b; return p }
	}
	if _, err := pkix.ParseCertificate(joined(func(p [][]byte) [][]byte { return p })); err != nil {
		t.Fatal(err)
	}
	unique := der.Wrap(der.Context(1), []byte{0, 1})
	for what, b := range map[string][]byte{
		"version 1 written out":            joined(set(0, der.Wrap(der.Constructed(0), []byte{2, 1, 0}))),
		"version 4":                        joined(set(0, der.Wrap(der.Constructed(0), []byte{2, 1, 3}))),
		"extensions in version 2":          joined(set(0, der.Wrap(der.Constructed(0), []byte{2, 1, 1}))),
		"extensions in version 1":          joined(func(p [][]byte) [][]byte { return p[1:] }),
		"a unique identifier in version 1": joined(func(p [][]byte) [][]byte { return append(append([][]byte{}, p[1:7]...), unique) }),
		"another algorithm inside":         joined(set(2, der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(pkix.OIDECDSASHA384))))),
		"an empty issuer":                  joined(set(3, []byte{0x30, 0})),
		"an empty list of extensions":      joined(set(7, der.Wrap(der.Constructed(3), []byte{0x30, 0}))),
		"something after the extensions":   joined(func(p [][]byte) [][]byte { return append(p, []byte{5, 0}) }),
		"extensions twice":                 joined(func(p [][]byte) [][]byte { return append(p, p[7]) }),
		"no key":                           joined(func(p [][]byte) [][]byte { return append(p[:6], p[7]) }),
		"something after the signature":    der.Wrap(der.Sequence, outside[0], outside[1], outside[2], []byte{5, 0}),
		"no signature":                     der.Wrap(der.Sequence, outside[0], outside[1]),
	} {
		if _, err := pkix.ParseCertificate(b); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	// A unique identifier may stand in version 2, without extensions.
	old := joined(func(p [][]byte) [][]byte {
		return append(append([][]byte{der.Wrap(der.Constructed(0), []byte{2, 1, 1})}, p[1:7]...), unique)
	})
	if _, err := pkix.ParseCertificate(old); err != nil {
		t.Errorf("version 2 with a unique identifier: %v", err)
	}
}

func TestKeysAreRefused(t *testing.T) {
	rsa := func(params, n, e []byte) []byte {
		key := der.Wrap(der.Sequence, der.Wrap(der.Integer, n), der.Wrap(der.Integer, e))
		return der.Wrap(der.Sequence, der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(pkix.OIDRSA)), params), der.Wrap(der.BitString, []byte{0}, key))
	}
	null := []byte{der.Null, 0}
	n := append([]byte{0x00, 0x80}, make([]byte, 255)...)
	n[256] = 1
	good := []byte{1, 0, 1}
	if _, err := pkix.ParsePublicKey(rsa(null, n, good)); err != nil {
		t.Fatal(err)
	}
	even := append([]byte(nil), n...)
	even[256] = 2
	for what, spki := range map[string][]byte{
		"no parameters":            rsa(nil, n, good),
		"parameters that aren't":   rsa([]byte{0x30, 0}, n, good),
		"exponent 1":               rsa(null, n, []byte{1}),
		"exponent 0":               rsa(null, n, []byte{0}),
		"exponent 2":               rsa(null, n, []byte{2}),
		"exponent 65536":           rsa(null, n, []byte{1, 0, 0}),
		"a negative exponent":      rsa(null, n, []byte{0xff}),
		"an exponent of 33 bits":   rsa(null, n, []byte{1, 0, 0, 0, 1}),
		"an even modulus":          rsa(null, even, good),
		"a negative modulus":       rsa(null, n[1:], good),
		"a modulus of 65,536 bits": rsa(null, append([]byte{1}, make([]byte, 8192)...), good),
	} {
		if _, err := pkix.ParsePublicKey(spki); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	key, err := testpki.NewKey(testpki.Seeded("keys"), testpki.P256)
	if err != nil {
		t.Fatal(err)
	}
	spki := testpki.SPKI(key.Public())
	spki[len(spki)-1]++
	if _, err := pkix.ParsePublicKey(spki); !errors.Is(err, pkix.ErrKey) {
		t.Errorf("a point off the curve: %v", err)
	}
}

func TestParametersOfSignatures(t *testing.T) {
	key, err := testpki.NewKey(testpki.Seeded("keys"), testpki.P256)
	if err != nil {
		t.Fatal(err)
	}
	k, err := pkix.ParsePublicKey(testpki.SPKI(key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	policy := pkix.Policy{Schemes: pkix.Schemes, RSAMinBits: 2048, RSAMaxBits: 4096, RSAMinExponent: 65537}
	if _, err := policy.Scheme(k, pkix.Algorithm{ID: pkix.OIDECDSASHA256}); err != nil {
		t.Error(err)
	}
	for what, a := range map[string]pkix.Algorithm{
		"NULL where nothing belongs": {ID: pkix.OIDECDSASHA256, Params: []byte{der.Null, 0}},
		"RSA by an elliptic key":     {ID: pkix.OIDSHA256WithRSA, Params: []byte{der.Null, 0}},
		"an algorithm of nobody":     {ID: "\x2a\x03"},
	} {
		if _, err := policy.Scheme(k, a); !errors.Is(err, pkix.ErrAlgorithm) {
			t.Errorf("%s: %v", what, err)
		}
	}
	policy.Schemes = []pkix.Scheme{pkix.RSASHA256}
	if _, err := policy.Scheme(k, pkix.Algorithm{ID: pkix.OIDECDSASHA256}); !errors.Is(err, pkix.ErrAlgorithm) {
		t.Errorf("a scheme that the policy doesn't name: %v", err)
	}
	if policy.Key(k) == nil {
		t.Error("a key of no scheme of the policy")
	}
}
