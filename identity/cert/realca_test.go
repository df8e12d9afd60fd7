package cert_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// TestRealCAsAnchor holds the certificates that J-LIS publishes to the production profiles: they are anchors within their validity, in their own
// tree only, and a forged card that names them fails at the signature and nowhere before. No card of a person is used, nor at hand.
func TestRealCAsAnchor(t *testing.T) {
	dir := "../../../shared/data/jpki"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the CA certificates of JPKI are not at hand: %v", err)
	}
	b := theBench()
	for _, c := range []struct {
		file, profile, other string
		from, until          time.Time
	}{
		{"auth_ca_2015.pem", cert.JPKIAuth, cert.JPKISign, time.Date(2015, 10, 21, 0, 0, 0, 0, time.UTC), time.Date(2025, 10, 18, 0, 0, 0, 0, time.UTC)},
		{"auth_ca_2023.pem", cert.JPKIAuth, cert.JPKISign, time.Date(2023, 7, 17, 0, 0, 0, 0, time.UTC), time.Date(2033, 7, 14, 0, 0, 0, 0, time.UTC)},
		{"sign_ca_2015.pem", cert.JPKISign, cert.JPKIAuth, time.Date(2015, 10, 21, 0, 0, 0, 0, time.UTC), time.Date(2025, 10, 18, 0, 0, 0, 0, time.UTC)},
		{"sign_ca_2023.pem", cert.JPKISign, cert.JPKIAuth, time.Date(2023, 7, 17, 0, 0, 0, 0, time.UTC), time.Date(2033, 7, 14, 0, 0, 0, 0, time.UTC)},
	} {
		block, _ := pem.Decode(must(os.ReadFile(filepath.Join(dir, c.file))))
		ca := must(pkix.ParseCertificate(block.Bytes))
		anchors := must(cert.ParseAnchors([][]byte{block.Bytes}))
		model, policy := b.card, "1.2.392.200149.8.5.1.3.30"
		if c.profile == cert.JPKISign {
			model, policy = must(b.sign.Issue(testpki.Holder{Key: b.key}, present)), "1.2.392.200149.8.5.1.1.20"
		}
		forged := model.Certificate
		forged.Issuer, forged.NotBefore, forged.NotAfter = ca.Subject.Raw, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
		set(&forged, testpki.AuthorityKeyID(ca.Key.Raw))
		set(&forged, testpki.Policies(true, "", must(pkix.ParseOID(policy))))
		raw := forged.Der(b.key)
		for at, code := range map[time.Time]cert.Code{
			c.from: cert.LeafIsCA, c.until: cert.LeafIsCA, c.from.AddDate(0, 0, -3): cert.AnchorUnusable, c.until.AddDate(0, 0, 3): cert.AnchorUnusable,
		} {
			// As the only certificate that its key is known to have signed, the CA's own comes as far as its being a CA.
			expect(t, profile(c.profile).Verify(anchors, cert.Input{Time: at, Leaf: block.Bytes}), code)
			expect(t, profile(c.profile).Verify(anchors, cert.Input{Time: at, Leaf: raw}), cert.BadSignature)
			expect(t, profile(c.other).Verify(anchors, cert.Input{Time: at, Leaf: block.Bytes}), cert.WrongTree, cert.AnchorUnusable)
		}
	}
}
