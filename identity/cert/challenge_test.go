package cert_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// response is a card's answer to a challenge of now.
func response(t testing.TB, card *testpki.Card, scheme pkix.Scheme) cert.Presented {
	t.Helper()
	record := cert.Challenge{
		Nonce: bytes.Repeat([]byte{7}, 32), RelyingParty: "https://rp.example.go.jp", Purpose: "login", Issued: present.Add(-time.Minute),
		Expires: present.Add(time.Minute),
	}
	message, err := record.Message()
	if err != nil {
		t.Fatal(err)
	}
	return cert.Presented{
		Record: record, Nonce: bytes.Clone(record.Nonce), RelyingParty: record.RelyingParty, Purpose: record.Purpose, Scheme: scheme,
		Signature: testpki.Challenge(card.Key, message),
	}
}

func TestChallenge(t *testing.T) {
	b := theBench()
	v := b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(b.list(nil))))
	expect(t, v, cert.OK)
	for _, c := range []struct {
		what   string
		change func(*cert.Presented)
		want   cert.Code
	}{
		{"as it came", func(*cert.Presented) {}, cert.OK},
		{"another nonce", func(p *cert.Presented) { p.Nonce[0]++ }, cert.ChallengeUnknown},
		{"no nonce", func(p *cert.Presented) { p.Nonce = nil }, cert.ChallengeUnknown},
		{"another relying party presents it", func(p *cert.Presented) { p.RelyingParty = "https://other.example.go.jp" }, cert.ChallengeParty},
		{"another purpose", func(p *cert.Presented) { p.Purpose = "sign" }, cert.ChallengePurpose},
		{"a record moved to another relying party", func(p *cert.Presented) {
			p.RelyingParty, p.Record.RelyingParty = "https://other.example.go.jp", "https://other.example.go.jp"
		}, cert.ChallengeForged},
		{"a record moved to another purpose", func(p *cert.Presented) { p.Purpose, p.Record.Purpose = "sign", "sign" }, cert.ChallengeForged},
		{"a record made to last", func(p *cert.Presented) { p.Record.Expires = p.Record.Expires.Add(time.Hour) }, cert.ChallengeForged},
		{"redeemed before", func(p *cert.Presented) { p.Record.Redeemed = true }, cert.ChallengeRedeemed},
		{"expired to the second", func(p *cert.Presented) { p.Record.Expires = present }, cert.ChallengeExpired},
		{"of the future", func(p *cert.Presented) { p.Record.Issued = present.Add(time.Second) }, cert.ChallengeEarly},
		{"a short nonce", func(p *cert.Presented) { p.Record.Nonce = p.Record.Nonce[:8] }, cert.ChallengeMalformed},
		{"no relying party", func(p *cert.Presented) { p.Record.RelyingParty = "" }, cert.ChallengeMalformed},
		{"it never expires", func(p *cert.Presented) { p.Record.Expires = present.AddDate(1, 0, 0) }, cert.ChallengeMalformed},
		{"it ends before it begins", func(p *cert.Presented) { p.Record.Expires = p.Record.Issued }, cert.ChallengeMalformed},
		{"an octet of the signature", func(p *cert.Presented) { p.Signature[9]++ }, cert.ChallengeForged},
		{"no signature", func(p *cert.Presented) { p.Signature = nil }, cert.ChallengeForged},
		{"a megabyte of signature", func(p *cert.Presented) { p.Signature = make([]byte, 1<<20) }, cert.ChallengeForged},
		{"a scheme that isn't accepted", func(p *cert.Presented) { p.Scheme = pkix.RSASHA512 }, cert.AlgorithmRefused},
		{"a scheme of another kind of key", func(p *cert.Presented) { p.Scheme = pkix.P256SHA256 }, cert.AlgorithmRefused},
		{"a scheme that doesn't exist", func(p *cert.Presented) { p.Scheme = "md5" }, cert.AlgorithmRefused},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := response(t, b.card, pkix.RSASHA256)
			c.change(&p)
			expect(t, b.auth.Challenge(v, p), c.want)
		})
	}
	// Another card's response is no response of this card.
	expect(t, b.auth.Challenge(v, response(t, b.other, pkix.P256SHA256)), cert.AlgorithmRefused)
	// An elliptic key's response counts as well.
	expect(t, b.auth.Challenge(b.auth.Verify(b.anchors, evidence(b.other.Raw, lists(b.list(nil)))), response(t, b.other, pkix.P256SHA256)), cert.OK)
	// Whose certificate isn't valid has no response that is.
	bad := b.auth.Verify(b.oldOnly, evidence(b.card.Raw, lists(b.list(nil))))
	expect(t, b.auth.Challenge(bad, response(t, b.card, pkix.RSASHA256)), cert.AnchorKeyDiffers)
	expect(t, b.auth.Challenge(cert.Verdict{}, response(t, b.card, pkix.RSASHA256)), "")
}

// TestChallengeFieldsDontRunTogether: no two challenges have one message.
func TestChallengeFieldsDontRunTogether(t *testing.T) {
	c := cert.Challenge{Nonce: make([]byte, 16), RelyingParty: "ab", Purpose: "c", Issued: present, Expires: present.Add(time.Minute)}
	d := c
	d.RelyingParty, d.Purpose = "a", "bc"
	x, errX := c.Message()
	y, errY := d.Message()
	if errX != nil || errY != nil || bytes.Equal(x, y) {
		t.Errorf("one message for two challenges, or %v, %v", errX, errY)
	}
}
