package cert_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// lenient is the generic profile with changes, and without revocation.
func lenient(t testing.TB, change func(*cert.Config)) *cert.Profile {
	t.Helper()
	c := profile(cert.Generic).Config()
	c.Revocation = cert.NoCheck
	if change != nil {
		change(&c)
	}
	return must(cert.NewProfile(c))
}

var chainKey = must(testpki.NewKey(testpki.Seeded("chains"), testpki.P256))

// made is a certificate by issuer's name for a subject; every key is the same one, so that any of them has signed any other.
func made(issuer, subject string, serial byte, ca bool, exts ...testpki.Extension) []byte {
	name := func(s string) []byte { return must(pkix.ParseDN("CN=" + s)).Raw }
	if ca {
		exts = append(exts, testpki.BasicConstraints(true, -1))
	}
	c := testpki.Certificate{
		Serial: []byte{serial}, Issuer: name(issuer), Subject: name(subject), NotBefore: present.AddDate(-1, 0, 0), NotAfter: present.AddDate(1, 0, 0),
		SPKI: testpki.SPKI(chainKey.Public()), Extensions: exts,
	}
	return c.Der(chainKey)
}

func TestSearchFindsThePathAmongOthers(t *testing.T) {
	root := made("root", "root", 1, true)
	anchors := must(cert.ParseAnchors([][]byte{root}))
	p := lenient(t, nil)
	in := cert.Input{Time: present, Leaf: made("b", "leaf", 2, false), Intermediates: [][]byte{
		made("b", "b", 3, false), made("nobody", "b", 4, true), made("a", "b", 5, true), made("b", "a", 6, true), made("root", "a", 7, true), {0x30, 0}, nil,
	}}
	expect(t, p.Verify(anchors, in), cert.OK)
	in.Intermediates = in.Intermediates[:4]
	expect(t, p.Verify(anchors, in), cert.NoPath)
	in.Intermediates = nil
	expect(t, p.Verify(anchors, in), cert.NoPath)
	expect(t, p.Verify(must(cert.ParseAnchors(nil)), in), cert.NoPath)
}

func TestLengthOfPaths(t *testing.T) {
	anchors := must(cert.ParseAnchors([][]byte{made("0", "0", 1, true)}))
	chain := func(n int) cert.Input {
		in := cert.Input{Time: present, Leaf: made(fmt.Sprint(n), "leaf", 2, false)}
		for i := range n {
			in.Intermediates = append(in.Intermediates, made(fmt.Sprint(i), fmt.Sprint(i+1), 3, true))
		}
		return in
	}
	p := lenient(t, func(c *cert.Config) { c.MaxIntermediates = 12 })
	expect(t, p.Verify(anchors, chain(0)), cert.OK)
	expect(t, p.Verify(anchors, chain(12)), cert.OK)
	// The keys are all one, so that a name of the path comes again only with a name of its own.
	expect(t, p.Verify(anchors, chain(13)), cert.PathTooLong)
	expect(t, p.Verify(anchors, chain(100)), cert.PathTooLong)
	expect(t, p.Verify(anchors, chain(1000)), cert.TooLarge)
}

// TestMeshIsBounded: authorities that all certify each other have more paths than anybody can walk. The search ends, and says so.
func TestMeshIsBounded(t *testing.T) {
	anchors := must(cert.ParseAnchors([][]byte{made("elsewhere", "elsewhere", 1, true)}))
	in := cert.Input{Time: present, Leaf: made("0", "leaf", 2, false)}
	for i := range 11 {
		for j := range 11 {
			if i != j {
				in.Intermediates = append(in.Intermediates, made(fmt.Sprint(i), fmt.Sprint(j), 3, true))
			}
		}
	}
	v := lenient(t, nil).Verify(anchors, in)
	expect(t, v, cert.WorkLimit)
}

func TestManyLists(t *testing.T) {
	b := theBench()
	in := evidence(b.card.Raw, lists(b.list(nil)))
	for len(in.Lists) < 257 {
		in.Lists = append(in.Lists, in.Lists[0])
	}
	expect(t, b.auth.Verify(b.anchors, in), cert.TooLarge)
}

// TestIssuersMustBeAuthorities has chains whose every signature is right.
func TestIssuersMustBeAuthorities(t *testing.T) {
	anchors := must(cert.ParseAnchors([][]byte{made("root", "root", 1, true)}))
	try := func(leaf []byte, intermediates ...[]byte) cert.Verdict {
		return lenient(t, nil).Verify(anchors, cert.Input{Time: present, Leaf: leaf, Intermediates: intermediates})
	}
	leaf := made("a", "leaf", 2, false)
	expect(t, try(leaf, made("root", "a", 3, true)), cert.OK)
	expect(t, try(leaf, made("root", "a", 3, false)), cert.IssuerNotCA)
	expect(t, try(leaf, made("root", "a", 3, false, testpki.BasicConstraints(false, -1))), cert.IssuerNotCA)
	expect(t, try(leaf, made("root", "a", 3, true, testpki.KeyUsage(testpki.Usage(0)))), cert.KeyUsageWrong)
	expect(t, try(leaf, made("root", "a", 3, true, testpki.Extension{OID: "\x2a\x03\x04", Critical: true, Value: []byte{5, 0}})), cert.CriticalExtension)
	expect(t, try(made("root", "leaf", 2, false, testpki.Extension{OID: "\x2a\x03\x04", Critical: true, Value: []byte{5, 0}})), cert.CriticalExtension)
}

// TestAnchorsOfTheirTime: an anchor counts within its own validity only; the real ones of generation 1 ended on 2025-10-19.
func TestAnchorsOfTheirTime(t *testing.T) {
	root := made("root", "root", 1, true)
	anchors := must(cert.ParseAnchors([][]byte{root}))
	leaf := made("root", "leaf", 2, false)
	p := lenient(t, nil)
	for at, want := range map[time.Time]cert.Code{
		present:                  cert.OK,
		present.AddDate(1, 0, 0): cert.OK,
		present.AddDate(1, 0, 0).Add(time.Millisecond): cert.OK, // times are whole seconds
		present.AddDate(1, 0, 0).Add(time.Second):      cert.AnchorUnusable,
		present.AddDate(-1, 0, 0):                      cert.OK,
		present.AddDate(-1, 0, 0).Add(-time.Second):    cert.AnchorUnusable,
	} {
		expect(t, p.Verify(anchors, cert.Input{Time: at, Leaf: leaf}), want)
	}
}

// TestDegradedMode: a list that is due for replacement is taken only where the profile says for how long, and the verdict says so.
func TestDegradedMode(t *testing.T) {
	b := theBench()
	raw := b.list(func(l *testpki.List) { l.ThisUpdate, l.NextUpdate = present.Add(-5*time.Hour), present.Add(-time.Hour) })
	in := evidence(b.card.Raw, lists(raw))
	v := b.auth.Verify(b.anchors, in)
	expect(t, v, cert.RevocationStale)
	c := b.auth.Config()
	c.DegradedOverdue = 2 * 3600
	degraded := must(cert.NewProfile(c))
	v = degraded.Verify(b.anchors, in)
	expect(t, v, cert.OK)
	if !v.Evidence.Degraded() || v.Evidence.Age() <= 0 {
		t.Error("the verdict doesn't say that it is degraded")
	}
	fresh := degraded.Verify(b.anchors, evidence(b.card.Raw, lists(raw, b.list(nil))))
	expect(t, fresh, cert.OK)
	if fresh.Evidence.Degraded() {
		t.Error("degraded, though a fresh list is there")
	}
	c.DegradedOverdue = 1800
	expect(t, must(cert.NewProfile(c)).Verify(b.anchors, in), cert.RevocationStale)
	// What is revoked in it stays revoked, degraded or not.
	raw = b.list(func(l *testpki.List) {
		l.ThisUpdate, l.NextUpdate = present.Add(-5*time.Hour), present.Add(-time.Hour)
		l.Entries = []testpki.Entry{b.card.Entry(present.Add(-3*time.Hour), testpki.KeyCompromise)}
	})
	expect(t, degraded.Verify(b.anchors, evidence(b.card.Raw, lists(raw))), cert.Revoked)
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(raw, b.list(nil)))), cert.Revoked)
}

func TestModesOfRevocation(t *testing.T) {
	b := theBench()
	verify := func(mode cert.Revocation, given [][]byte) cert.Verdict {
		in := evidence(b.card.Raw, given)
		in.Options.Revocation = mode
		return b.auth.Verify(b.anchors, in)
	}
	stale := b.list(func(l *testpki.List) { l.ThisUpdate, l.NextUpdate = present.Add(-5*time.Hour), present.Add(-time.Hour) })
	elsewhere := b.list(func(l *testpki.List) { l.Partition = b.ca.Partition(testpki.Municipalities[1]) })
	revoked := b.list(func(l *testpki.List) {
		l.Entries = []testpki.Entry{b.card.Entry(present.Add(-time.Hour), testpki.KeyCompromise)}
	})
	for _, c := range []struct {
		mode  cert.Revocation
		given [][]byte
		want  cert.Code
	}{
		{cert.Require, nil, cert.RevocationUnknown},
		{cert.Require, lists(stale), cert.RevocationStale},
		{cert.Require, lists(elsewhere), cert.RevocationUnknown},
		{cert.IfPresent, nil, cert.OK},
		{cert.IfPresent, lists(elsewhere), cert.OK},
		{cert.IfPresent, lists(stale), cert.RevocationStale},
		{cert.IfPresent, lists([]byte{0x30, 0}), cert.RevocationBad},
		{cert.IfPresent, lists(revoked), cert.Revoked},
		{cert.NoCheck, lists(revoked), cert.OK},
	} {
		v := verify(c.mode, c.given)
		if v.Code != c.want {
			t.Errorf("%s, %d lists: %s (%s), want %s", c.mode, len(c.given), v.Code, v.Evidence.Detail(), c.want)
		}
	}
}

// TestOptionsNarrow: what a caller asks for can only take away from what a profile accepts.
func TestOptionsNarrow(t *testing.T) {
	b := theBench()
	for _, c := range []struct {
		what string
		o    cert.Options
		want cert.Code
	}{
		{"nothing", cert.Options{}, cert.OK},
		{"the policy that it has", cert.Options{Policies: []pkix.OID{testpki.AuthPolicy}}, cert.OK},
		{"any policy", cert.Options{Policies: []pkix.OID{pkix.OIDAnyPolicy}}, cert.OK},
		{"a policy that the profile doesn't have", cert.Options{Policies: []pkix.OID{testpki.SignPolicy}}, cert.PolicyWrong},
		{"the key usage that it has", cert.Options{KeyUsage: pkix.DigitalSignature}, cert.OK},
		{"another key usage", cert.Options{KeyUsage: pkix.NonRepudiation}, cert.KeyUsageWrong},
		{"a host that it doesn't have", cert.Options{Host: "www.example.jp"}, cert.HostWrong},
	} {
		in := evidence(b.card.Raw, lists(b.list(nil)))
		in.Options = c.o
		if v := b.auth.Verify(b.anchors, in); v.Code != c.want {
			t.Errorf("%s: %s (%s), want %s", c.what, v.Code, v.Evidence.Detail(), c.want)
		}
	}
}

func TestProfilesAreChecked(t *testing.T) {
	for what, change := range map[string]func(*cert.Config){
		"no name":             func(c *cert.Config) { c.Name = "" },
		"no schemes":          func(c *cert.Config) { c.Schemes = nil },
		"an unknown scheme":   func(c *cert.Config) { c.ChallengeSchemes = []pkix.Scheme{"rsa-sha1"} },
		"RSA of 1024 bits":    func(c *cert.Config) { c.RSAMinBits = 1024 },
		"an exponent of 1":    func(c *cert.Config) { c.RSAMinExponent = 1 },
		"a path without end":  func(c *cert.Config) { c.MaxIntermediates = 1000 },
		"no revocation":       func(c *cert.Config) { c.Revocation = "" },
		"time backwards":      func(c *cert.Config) { c.MaxListAge = -1 },
		"a name that isn't":   func(c *cert.Config) { c.AnchorSubjects = []string{"JPKI"} },
		"a policy that isn't": func(c *cert.Config) { c.Policies = []string{"anything"} },
		"an unknown usage":    func(c *cert.Config) { c.Leaf.KeyUsage = []string{"login"} },
		"a fingerprint short": func(c *cert.Config) { c.AnchorKeys = []string{"abcd"} },
	} {
		c := profile(cert.JPKIAuth).Config()
		change(&c)
		if _, err := cert.NewProfile(c); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

// TestZeroValuesRefuse: nothing is valid by omission.
func TestZeroValuesRefuse(t *testing.T) {
	var v cert.Verdict
	if v.Valid {
		t.Error("the zero verdict is valid")
	}
	if _, err := cert.NewProfile(cert.Config{}); err == nil {
		t.Error("the zero profile is taken")
	}
	expect(t, profile(cert.Generic).Verify(must(cert.ParseAnchors(nil)), cert.Input{}), cert.Malformed)
}

func TestCodesHaveSentences(t *testing.T) {
	for code, s := range cert.Codes() {
		if s[0] == "" || s[1] == "" || code.Japanese() != s[0] || code.English() != s[1] {
			t.Errorf("%s: %q", code, s)
		}
	}
}

// FuzzVerify: no input makes a verdict valid but those that are; and none panics.
func FuzzVerify(f *testing.F) {
	b := theBench()
	list := b.list(nil)
	answer := b.answer(nil)
	f.Add(b.card.Raw, b.old.Raw, list, answer.DER)
	f.Add(b.other.Raw, b.card.Raw, b.list(func(l *testpki.List) { l.Indirect = true }), answer.DER[:40])
	f.Add(der.Wrap(der.Sequence), []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, leaf, intermediate, rawList, rawAnswer []byte) {
		in := evidence(leaf, lists(rawList), cert.Answer{DER: rawAnswer})
		in.Intermediates = [][]byte{intermediate}
		v := b.auth.Verify(b.anchors, in)
		if v.Valid && string(leaf) != string(b.card.Raw) && string(leaf) != string(b.other.Raw) {
			t.Fatalf("a certificate that nobody issued is valid: %x", leaf)
		}
		if _, err := v.Evidence.MarshalJSON(); err != nil {
			t.Fatal(err)
		}
	})
}
