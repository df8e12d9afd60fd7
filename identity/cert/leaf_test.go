package cert_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// extensionOf gives a card's extension, so that a test can change it.
func extensionOf(c *testpki.Certificate, id pkix.OID) *testpki.Extension {
	for i := range c.Extensions {
		if c.Extensions[i].OID == id {
			return &c.Extensions[i]
		}
	}
	panic(id.String())
}

// TestLeavesOfAProfile changes one thing of a card that is right, or of what its profile asks for.
func TestLeavesOfAProfile(t *testing.T) {
	b := theBench()
	lifetime := func(s cert.Seconds) func(*cert.Config) { return func(c *cert.Config) { c.Leaf.MaxAge = s } }
	purpose := func(names ...string) func(*cert.Config) { return func(c *cert.Config) { c.Leaf.Purposes = names } }
	for _, c := range []struct {
		what    string
		card    func(*testpki.Certificate)
		profile func(*cert.Config)
		want    cert.Code
	}{
		{"as it is", nil, nil, cert.OK},
		{"serial zero", func(c *testpki.Certificate) { c.Serial = []byte{0} }, nil, cert.LeafWrong},
		{"a negative serial", func(c *testpki.Certificate) { c.Serial = []byte{0x80} }, nil, cert.LeafWrong},
		{"serial zero, where it may be", func(c *testpki.Certificate) { c.Serial = []byte{0} }, func(c *cert.Config) { c.Leaf.PositiveSerial = false }, cert.OK},
		{"key usage that isn't critical", func(c *testpki.Certificate) { extensionOf(c, pkix.OIDKeyUsage).Critical = false }, nil, cert.LeafWrong},
		{"one more bit of key usage", func(c *testpki.Certificate) {
			*extensionOf(c, pkix.OIDKeyUsage) = testpki.KeyUsage(testpki.Usage(0), testpki.Usage(1))
		}, nil, cert.KeyUsageWrong},
		{"policies that must be critical", func(c *testpki.Certificate) { extensionOf(c, pkix.OIDPolicies).Critical = false }, func(c *cert.Config) { c.Leaf.PoliciesCritical = true }, cert.LeafWrong},
		{"policies that needn't be critical", func(c *testpki.Certificate) { extensionOf(c, pkix.OIDPolicies).Critical = false }, nil, cert.OK},
		{"another policy", func(c *testpki.Certificate) {
			*extensionOf(c, pkix.OIDPolicies) = testpki.Policies(true, "", testpki.SignPolicy)
		}, nil, cert.PolicyWrong},
		{"anyPolicy", func(c *testpki.Certificate) {
			*extensionOf(c, pkix.OIDPolicies) = testpki.Policies(true, "", pkix.OIDAnyPolicy)
		}, nil, cert.PolicyWrong},
		{"valid for too long", nil, lifetime(3600), cert.LeafWrong},
		{"valid for as long as it may be", nil, lifetime(20 * 366 * 86400), cert.OK},
		{"a purpose that it must have", nil, purpose("clientAuth"), cert.PurposeWrong},
		{"a purpose that it has", func(c *testpki.Certificate) {
			c.Extensions = append(c.Extensions, testpki.ExtKeyUsage(must(cert.ParsePurposes([]string{"clientAuth"}))...))
		}, purpose("clientAuth"), cert.OK},
		{"another purpose", func(c *testpki.Certificate) {
			c.Extensions = append(c.Extensions, testpki.ExtKeyUsage(must(cert.ParsePurposes([]string{"serverAuth"}))...))
		}, purpose("clientAuth"), cert.PurposeWrong},
		{"a key that the profile doesn't take", nil, func(c *cert.Config) { c.ChallengeSchemes = []pkix.Scheme{pkix.P384SHA384} }, cert.AlgorithmRefused},
		{"an authority's algorithm that the profile doesn't take", nil, func(c *cert.Config) { c.Schemes = []pkix.Scheme{pkix.P384SHA384} }, cert.AlgorithmRefused},
	} {
		t.Run(c.what, func(t *testing.T) {
			config := b.auth.Config()
			if c.profile != nil {
				c.profile(&config)
			}
			leaf := b.card
			if c.card != nil {
				leaf = b.issue(c.card)
			}
			in := evidence(leaf.Raw, nil)
			in.Options.Revocation = cert.NoCheck
			expect(t, must(cert.NewProfile(config)).Verify(b.anchors, in), c.want)
		})
	}
}

// TestPinnedAnchors: of two generations only the one that is named counts.
func TestPinnedAnchors(t *testing.T) {
	b := theBench()
	for _, c := range []struct {
		pin  []byte
		want cert.Code
	}{{b.ca.Raw, cert.OK}, {b.old.Raw, cert.AnchorUnusable}} {
		config := b.auth.Config()
		sum := sha256.Sum256(c.pin)
		config.AnchorKeys = []string{hex.EncodeToString(sum[:])}
		expect(t, must(cert.NewProfile(config)).Verify(b.anchors, evidence(b.card.Raw, lists(b.list(nil)))), c.want)
	}
}

// TestAnchorsMustBeAuthorities: who isn't one by its own word is no anchor.
func TestAnchorsMustBeAuthorities(t *testing.T) {
	leaf := made("root", "leaf", 2, false)
	for what, root := range map[string][]byte{
		"no authority":    made("root", "root", 1, false, testpki.BasicConstraints(false, -1)),
		"not for signing": made("root", "root", 1, true, testpki.KeyUsage(testpki.Usage(0))),
	} {
		v := lenient(t, nil).Verify(must(cert.ParseAnchors([][]byte{root})), cert.Input{Time: present, Leaf: leaf})
		if v.Code != cert.AnchorUnusable {
			t.Errorf("%s: %s", what, v.Code)
		}
	}
}

// TestLeafThatAsksForAPolicy: a leaf's own policyConstraints count (RFC 5280, 6.1.5 b).
func TestLeafThatAsksForAPolicy(t *testing.T) {
	anchors := must(cert.ParseAnchors([][]byte{made("root", "root", 1, true)}))
	asks := testpki.Extension{OID: pkix.OIDPolicyConstraints, Critical: true, Value: der.Wrap(der.Sequence, der.Wrap(der.Context(0), []byte{0}))}
	policy := testpki.Policies(false, "", testpki.AuthPolicy)
	expect(t, lenient(t, nil).Verify(anchors, cert.Input{Time: present, Leaf: made("root", "leaf", 2, false, asks)}), cert.PolicyWrong)
	expect(t, lenient(t, nil).Verify(anchors, cert.Input{Time: present, Leaf: made("root", "leaf", 2, false, asks, policy)}), cert.OK)
}

// TestDeltaOlderThanItsBase: a delta that the base has overtaken says nothing any more.
func TestDeltaOlderThanItsBase(t *testing.T) {
	b := theBench()
	base := b.list(func(l *testpki.List) { l.Number = 10 })
	delta := func(number, of uint64) []byte {
		return b.list(func(l *testpki.List) {
			l.Number, l.Base = number, of
			l.Entries = []testpki.Entry{b.card.Entry(present.Add(-time.Hour), testpki.KeyCompromise)}
		})
	}
	config := b.auth.Config()
	config.HoldFinal = false
	p := must(cert.NewProfile(config))
	for _, c := range []struct {
		number, of uint64
		want       cert.Code
	}{{11, 10, cert.Revoked}, {12, 9, cert.Revoked}, {11, 11, cert.OK}, {10, 9, cert.OK}, {9, 8, cert.OK}} {
		v := p.Verify(b.anchors, evidence(b.card.Raw, lists(base, delta(c.number, c.of))))
		if v.Code != c.want {
			t.Errorf("delta %d of %d on 10: %s (%s), want %s", c.number, c.of, v.Code, v.Evidence.Detail(), c.want)
		}
	}
}
