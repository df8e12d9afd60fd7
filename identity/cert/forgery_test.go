package cert_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/crl"
	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

var present = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// bench is one hierarchy of JPKI's shape, with RSA as today, and what forgers need.
type bench struct {
	pki              *testpki.PKI
	ca, old, sign    *testpki.CA
	card, other      *testpki.Card
	key              crypto.Signer // a spare one, for certificates that tests make
	responder        *testpki.Signer
	auth, signature  *cert.Profile
	production       *cert.Profile
	anchors, oldOnly *cert.Anchors
	signAnchors      *cert.Anchors
}

var theBench = sync.OnceValue(func() *bench {
	b := &bench{pki: must(testpki.New(testpki.Seeded("forgery"), testpki.Options{Now: present}))}
	b.old, b.ca, b.sign = b.pki.Auth[0], b.pki.Auth[1], b.pki.Sign[1]
	b.key = must(testpki.NewKey(testpki.Seeded("spare"), testpki.RSA2048))
	b.card = must(b.ca.Issue(testpki.Holder{Key: b.key}, present))
	b.other = must(b.ca.Issue(testpki.Holder{Kind: testpki.P256}, present))
	b.responder = must(b.ca.Responder(testpki.P256, present, nil))
	b.auth, b.signature, b.production = profile(cert.JPKIAuthTest), profile(cert.JPKISignTest), profile(cert.JPKIAuth)
	b.anchors = must(cert.ParseAnchors([][]byte{b.old.Raw, b.ca.Raw}))
	b.oldOnly = must(cert.ParseAnchors([][]byte{b.old.Raw}))
	b.signAnchors = must(cert.ParseAnchors([][]byte{b.pki.Sign[0].Raw, b.sign.Raw}))
	return b
})

func profile(name string) *cert.Profile {
	for _, c := range cert.Profiles() {
		if c.Name == name {
			return must(cert.NewProfile(c))
		}
	}
	panic(name)
}

// issue is a card whose certificate f has changed.
func (b *bench) issue(f func(*testpki.Certificate)) *testpki.Card {
	return must(b.ca.Issue(testpki.Holder{Key: b.key, Change: f}, present))
}

// list is the current list of the first municipality.
func (b *bench) list(f func(*testpki.List)) []byte {
	l := b.ca.List(100, present)
	l.Partition = b.ca.Partition(testpki.Municipalities[0])
	if f != nil {
		f(&l)
	}
	return l.Der(b.ca.Key)
}

// readList reads as certd does: what can't be read is noted and never used.
func readList(in *cert.Input, raw []byte) { readListBy(in, raw, crl.Rules{}) }

func readListBy(in *cert.Input, raw []byte, rules crl.Rules) {
	l, err := crl.Parse(raw, rules, crl.Limits{})
	if err != nil {
		in.Unreadable = append(in.Unreadable, cert.Unreadable{SHA256: sha256.Sum256(raw), Why: err.Error()})
		return
	}
	in.Lists = append(in.Lists, l)
}

func evidence(leaf []byte, lists [][]byte, answers ...cert.Answer) cert.Input {
	in := cert.Input{Time: present, Leaf: leaf, Answers: answers}
	for _, raw := range lists {
		readList(&in, raw)
	}
	return in
}

func expect(t *testing.T, v cert.Verdict, codes ...cert.Code) {
	t.Helper()
	if v.Valid != (v.Code == cert.OK) || !slices.Contains(codes, v.Code) {
		t.Errorf("valid %v, %s: %s; want %v", v.Valid, v.Code, v.Evidence.Detail(), codes)
	}
}

func lists(raw ...[]byte) [][]byte { return raw }

func TestHonestCards(t *testing.T) {
	b := theBench()
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(b.list(nil)))), cert.OK)
	expect(t, b.auth.Verify(b.anchors, evidence(b.other.Raw, lists(b.list(nil)))), cert.OK)
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, nil, b.answer(nil))), cert.OK)
	revoked := b.list(func(l *testpki.List) {
		l.Entries = []testpki.Entry{b.card.Entry(present.Add(-time.Hour), testpki.KeyCompromise)}
	})
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(revoked))), cert.Revoked)
	signed := must(b.sign.Issue(testpki.Holder{Key: b.key}, present))
	l := b.sign.List(1, present)
	l.Partition = b.sign.Partition(testpki.Municipalities[0])
	expect(t, b.signature.Verify(b.signAnchors, evidence(signed.Raw, lists(l.Der(b.sign.Key)))), cert.OK)
}

// TestProductionRefusesTest: cards of testpki are nothing to a production profile, whatever anchors it was given.
func TestProductionRefusesTest(t *testing.T) {
	b := theBench()
	expect(t, b.production.Verify(b.anchors, evidence(b.card.Raw, lists(b.list(nil)))), cert.AnchorUnusable, cert.WrongTree)
	c := b.production.Config()
	c.AnchorSubjects = nil
	expect(t, must(cert.NewProfile(c)).Verify(b.anchors, evidence(b.card.Raw, lists(b.list(nil)))), cert.PolicyWrong)
}

// answer is an OCSP answer about the card with its nonce, changed by f, signed by the key that f gives.
func (b *bench) answer(f func(*testpki.Answer) *testpki.Signer) cert.Answer {
	nonce := bytes.Repeat([]byte{9}, 32)
	a := b.responder.Answer(present, b.card.Single(testpki.StateGood, present))
	a.Nonce = nonce
	signer := b.responder
	if f != nil {
		signer = f(&a)
	}
	return cert.Answer{DER: a.Der(signer.Key), Nonce: nonce}
}

func TestForgedAnswerSignedByAnotherCard(t *testing.T) {
	b := theBench()
	forged := b.answer(func(a *testpki.Answer) *testpki.Signer {
		a.BySPKI, a.Certs = b.other.SPKI, [][]byte{b.other.Raw}
		return &b.other.Signer
	})
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, nil, forged)), cert.RevocationBad)
}

func TestForgedAnswerOfAnExpiredResponder(t *testing.T) {
	b := theBench()
	expired := must(b.ca.Responder(testpki.P256, present, func(c *testpki.Certificate) { c.NotAfter = present.Add(-2 * time.Hour) }))
	forged := b.answer(func(a *testpki.Answer) *testpki.Signer {
		a.BySPKI, a.Certs = expired.SPKI, [][]byte{expired.Raw}
		return expired
	})
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, nil, forged)), cert.RevocationBad)
}

func TestForgedAnswerWithAStaleNextUpdate(t *testing.T) {
	b := theBench()
	stale := b.answer(func(a *testpki.Answer) *testpki.Signer {
		a.Singles[0].NextUpdate = present.Add(-2 * time.Minute)
		return b.responder
	})
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, nil, stale)), cert.RevocationStale)
}

func TestForgedAnswerWithAReplayedNonce(t *testing.T) {
	b := theBench()
	replayed := b.answer(nil)
	replayed.Nonce = bytes.Repeat([]byte{10}, 32)
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, nil, replayed)), cert.RevocationBad)
}

func TestForgedChainOfTheSignatureTree(t *testing.T) {
	b := theBench()
	signed := must(b.sign.Issue(testpki.Holder{Key: b.key}, present))
	both := must(cert.ParseAnchors([][]byte{b.ca.Raw, b.sign.Raw}))
	l := b.sign.List(1, present)
	l.Partition = b.sign.Partition(testpki.Municipalities[0])
	in := evidence(signed.Raw, lists(l.Der(b.sign.Key)))
	expect(t, b.auth.Verify(b.anchors, in), cert.NoPath)
	expect(t, b.auth.Verify(both, in), cert.WrongTree, cert.AnchorUnusable)
	// The signature tree certifies something that looks like an authentication card.
	posing := must(b.sign.Issue(testpki.Holder{Key: b.key, Change: func(c *testpki.Certificate) {
		c.Extensions = b.card.Certificate.Extensions
	}}, present))
	expect(t, b.auth.Verify(both, evidence(posing.Raw, lists(b.list(nil)))), cert.WrongTree, cert.AnchorUnusable)
}

func TestForgedSameNameWrongGeneration(t *testing.T) {
	b := theBench()
	expect(t, b.auth.Verify(b.oldOnly, evidence(b.card.Raw, lists(b.list(nil)))), cert.AnchorKeyDiffers)
	// The list of the other generation, whose partition has the same name, says nothing.
	l := b.old.List(100, present)
	l.Partition = b.old.Partition(testpki.Municipalities[0])
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(l.Der(b.old.Key)))), cert.RevocationUnknown, cert.RevocationBad)
	// A stranger's CA of the same name.
	stranger := must(testpki.New(testpki.Seeded("stranger"), testpki.Options{Now: present, Kind: testpki.P256, Generations: 1})).Auth[0]
	forged := must(stranger.Issue(testpki.Holder{Key: b.key}, present))
	expect(t, b.auth.Verify(b.anchors, evidence(forged.Raw, lists(b.list(nil)))), cert.AnchorKeyDiffers, cert.AlgorithmRefused)
}

func TestForgedHoldReleased(t *testing.T) {
	b := theBench()
	held := b.list(func(l *testpki.List) {
		l.Number, l.Entries = 99, []testpki.Entry{b.card.Entry(present.Add(-26*time.Hour), testpki.CertificateHold)}
		l.ThisUpdate = present.Add(-25 * time.Hour)
	})
	released := b.list(func(l *testpki.List) {
		l.Number, l.Base, l.Entries = 101, 99, []testpki.Entry{b.card.Entry(present, testpki.RemoveFromCRL)}
	})
	for name, given := range map[string][][]byte{
		"by a later list":              lists(held, b.list(nil)),
		"by a later list, other order": lists(b.list(nil), held),
		"by a delta":                   lists(held, released),
	} {
		if v := b.auth.Verify(b.anchors, evidence(b.card.Raw, given)); v.Code != cert.OnHold {
			t.Errorf("%s: %s: %s", name, v.Code, v.Evidence.Detail())
		}
	}
	// Nor by an answer.
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(held), b.answer(nil))), cert.OnHold)
}

func TestForgedSerialOf21Octets(t *testing.T) {
	b := theBench()
	card := b.issue(func(c *testpki.Certificate) { c.Serial = bytes.Repeat([]byte{1}, 21) })
	expect(t, b.auth.Verify(b.anchors, evidence(card.Raw, lists(b.list(nil)))), cert.Malformed)
	card = b.issue(func(c *testpki.Certificate) { c.Serial = bytes.Repeat([]byte{1}, 20) })
	expect(t, b.auth.Verify(b.anchors, evidence(card.Raw, lists(b.list(nil)))), cert.OK)
	for _, serial := range [][]byte{{0}, {0x81}} {
		card = b.issue(func(c *testpki.Certificate) { c.Serial = serial })
		expect(t, b.auth.Verify(b.anchors, evidence(card.Raw, lists(b.list(nil)))), cert.LeafWrong, cert.Malformed)
	}
}

func TestForgedListOfAnotherPartition(t *testing.T) {
	b := theBench()
	other := b.list(func(l *testpki.List) { l.Partition = b.ca.Partition(testpki.Municipalities[1]) })
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(other))), cert.RevocationUnknown)
	// A partition without its critical extension would pass for a complete list: only the CA can sign such a thing, so it is one.
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(b.list(func(l *testpki.List) { l.UserOnly = true })))), cert.OK)
}

func TestForgedIndirectListWithoutTheCertificateIssuer(t *testing.T) {
	b := theBench()
	issuer := must(b.ca.ListIssuer(testpki.P256, present, func(c *testpki.Certificate) {
		c.Extensions = append(c.Extensions, testpki.DistributionPoints(pkix.OIDDistPoints, testpki.Point{Name: b.ca.Partition(testpki.Municipalities[2])}))
	}))
	own := b.list(func(l *testpki.List) { l.Partition = b.ca.Partition(testpki.Municipalities[2]) })
	card := b.issue(func(c *testpki.Certificate) {
		for i := range c.Extensions {
			if c.Extensions[i].OID == pkix.OIDDistPoints {
				c.Extensions[i] = testpki.DistributionPoints(pkix.OIDDistPoints, testpki.Point{Name: issuer.Name, CRLIssuer: issuer.Name})
			}
		}
	})
	indirect := func(certIssuer []byte, flag bool) [][]byte {
		entry := card.Entry(present.Add(-time.Hour), testpki.KeyCompromise)
		entry.Issuer = certIssuer
		l := testpki.List{
			Issuer: issuer.Name, ThisUpdate: present.Add(-time.Hour), NextUpdate: present.Add(time.Hour), Number: 5, IssuerKey: issuer.SPKI,
			Partition: issuer.Name, Indirect: flag, Entries: []testpki.Entry{entry},
		}
		return lists(l.Der(issuer.Key), own) // own tells the status of the list's issuer itself
	}
	verify := func(given [][]byte) cert.Verdict {
		in := evidence(card.Raw, given)
		in.Intermediates = [][]byte{issuer.Raw}
		return b.auth.Verify(b.anchors, in)
	}
	expect(t, verify(indirect(b.ca.Name, true)), cert.Revoked)
	// Without the certificate issuer the entry is about a certificate of the list's own issuer, not about the card.
	expect(t, verify(indirect(nil, true)), cert.OK)
	expect(t, verify(indirect(b.sign.Name, true)), cert.OK)
	// A list that isn't indirect can't speak for another CA, and one that has the entry extension all the same is malformed.
	expect(t, verify(indirect(nil, false)), cert.RevocationUnknown)
	expect(t, verify(indirect(b.ca.Name, false)), cert.RevocationBad)
}

func TestForgedBERInsteadOfDER(t *testing.T) {
	b := theBench()
	raw := b.card.Raw // 30 82 hh ll ...
	for name, ber := range map[string][]byte{
		"indefinite length":       append(append([]byte{0x30, 0x80}, raw[4:]...), 0, 0),
		"length not the shortest": append([]byte{0x30, 0x83, 0}, raw[2:]...),
		"BOOLEAN 01": b.issue(func(c *testpki.Certificate) {
			c.Extensions = append(c.Extensions, testpki.Extension{OID: pkix.OIDBasicConstraints, Value: der.Wrap(der.Sequence, der.Wrap(der.Boolean, []byte{1}))})
		}).Raw,
		"default written out": b.issue(func(c *testpki.Certificate) {
			c.Extensions = append(c.Extensions, testpki.Extension{OID: pkix.OIDBasicConstraints, Value: der.Wrap(der.Sequence, der.Wrap(der.Boolean, []byte{0}))})
		}).Raw,
		"serial with a zero": b.issue(func(c *testpki.Certificate) { c.Serial = append([]byte{0}, c.Serial...) }).Raw,
	} {
		if v := b.auth.Verify(b.anchors, evidence(ber, lists(b.list(nil)))); v.Code != cert.Malformed {
			t.Errorf("%s: %s: %s", name, v.Code, v.Evidence.Detail())
		}
	}
	l := b.list(nil)
	in := evidence(b.card.Raw, lists(append(append([]byte{0x30, 0x80}, l[4:]...), 0, 0)))
	if len(in.Unreadable) != 1 {
		t.Error("a list in BER was read")
	}
	expect(t, b.auth.Verify(b.anchors, in), cert.RevocationUnknown, cert.RevocationBad)
}

func TestForgedTrailingBytes(t *testing.T) {
	b := theBench()
	expect(t, b.auth.Verify(b.anchors, evidence(append(bytes.Clone(b.card.Raw), 0), lists(b.list(nil)))), cert.Malformed)
	in := evidence(b.card.Raw, lists(append(b.list(nil), 0)))
	if len(in.Unreadable) != 1 {
		t.Error("a list with an octet behind it was read")
	}
	answer := b.answer(nil)
	answer.DER = append(answer.DER, 0)
	expect(t, b.auth.Verify(b.anchors, evidence(b.card.Raw, nil, answer)), cert.RevocationBad)
}

func TestForgedDuplicateExtensions(t *testing.T) {
	b := theBench()
	twice := b.issue(func(c *testpki.Certificate) {
		c.Extensions = append(c.Extensions, testpki.KeyUsage(testpki.DigitalSignature))
	})
	expect(t, b.auth.Verify(b.anchors, evidence(twice.Raw, lists(b.list(nil)))), cert.Malformed)
	in := evidence(b.card.Raw, lists(b.list(func(l *testpki.List) {
		l.Extra = []testpki.Extension{{OID: pkix.OIDCRLNumber, Value: []byte{2, 1, 1}}}
	})))
	if len(in.Unreadable) != 1 {
		t.Error("a list with two numbers was read")
	}
}

// emsa is an RSA signature over whatever the encoded message is said to end in: what a forger with the key, or a broken library, makes.
func emsa(key *rsa.PrivateKey, tail []byte) []byte {
	em := make([]byte, key.Size())
	em[1] = 1
	for i := 2; i < len(em)-len(tail)-1; i++ {
		em[i] = 0xff
	}
	copy(em[len(em)-len(tail):], tail)
	m := new(big.Int).Exp(new(big.Int).SetBytes(em), key.D, key.N)
	return m.FillBytes(make([]byte, key.Size()))
}

func TestForgedSignatureWithAShortDigestInfo(t *testing.T) {
	b := theBench()
	key, ok := b.key.(*rsa.PrivateKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	nonce := bytes.Repeat([]byte{3}, 32)
	record := cert.Challenge{Nonce: nonce, RelyingParty: "test", Purpose: "login", Issued: present.Add(-time.Second), Expires: present.Add(time.Minute)}
	message := must(record.Message())
	sum := sha256.Sum256(message)
	v := b.auth.Verify(b.anchors, evidence(b.card.Raw, lists(b.list(nil))))
	present := func(signature []byte) cert.Verdict {
		return b.auth.Challenge(v, cert.Presented{Record: record, Nonce: nonce, RelyingParty: "test", Purpose: "login", Scheme: pkix.RSASHA256, Signature: signature})
	}
	alg := der.Wrap(der.OID, []byte(pkix.OIDSHA256))
	info := func(parts ...[]byte) []byte { return der.Wrap(der.Sequence, parts...) }
	digest := der.Wrap(der.OctetString, sum[:])
	right := info(info(alg, der.Wrap(der.Null)), digest)
	expect(t, present(testpki.Challenge(b.key, message)), cert.OK)
	expect(t, present(emsa(key, right)), cert.OK)
	long := testpki.Challenge(b.key, message)
	for name, signature := range map[string][]byte{
		"no DigestInfo, the bare digest": emsa(key, sum[:]),
		"no NULL":                        emsa(key, info(info(alg), digest)),
		"digest cut short":               emsa(key, info(info(alg, der.Wrap(der.Null)), der.Wrap(der.OctetString, sum[:20]))),
		"something after it":             emsa(key, append(bytes.Clone(right), 0, 0, 0)),
		"something in the parameters":    emsa(key, info(info(alg, der.Wrap(der.OctetString, []byte{1, 2, 3})), digest)),
		"SHA-1's name":                   emsa(key, info(info(der.Wrap(der.OID, []byte(pkix.OIDSHA1)), der.Wrap(der.Null)), digest)),
		"a zero in front":                append([]byte{0}, long...),
		"cut":                            long[1:],
	} {
		if v := present(signature); v.Code != cert.ChallengeForged || v.Valid {
			t.Errorf("%s: %s", name, v.Code)
		}
	}
}

func TestForgedRSAExponentOf1(t *testing.T) {
	b := theBench()
	key, ok := b.key.(*rsa.PrivateKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	for e, codes := range map[int][]cert.Code{1: {cert.BadKey}, 2: {cert.BadKey}, 65536: {cert.BadKey}, 3: {cert.AlgorithmRefused}} {
		spki := rsaSPKI(key.N, e)
		card := b.issue(func(c *testpki.Certificate) { c.SPKI = spki })
		expect(t, b.auth.Verify(b.anchors, evidence(card.Raw, lists(b.list(nil)))), codes...)
	}
	even := rsaSPKI(new(big.Int).Sub(key.N, big.NewInt(1)), 65537)
	expect(t, b.auth.Verify(b.anchors, evidence(b.issue(func(c *testpki.Certificate) { c.SPKI = even }).Raw, lists(b.list(nil)))), cert.BadKey)
	short := rsaSPKI(new(big.Int).SetBit(new(big.Int).Rsh(key.N, 1024), 0, 1), 65537)
	expect(t, b.auth.Verify(b.anchors, evidence(b.issue(func(c *testpki.Certificate) { c.SPKI = short }).Raw, lists(b.list(nil)))), cert.AlgorithmRefused)
	// With an exponent of 1 everyone can sign: an anchor of that kind must not be one.
	if _, err := cert.ParseAnchors([][]byte{testpki.Certificate{
		Serial: []byte{1}, Issuer: b.ca.Name, Subject: b.ca.Name, NotBefore: b.ca.NotBefore, NotAfter: b.ca.NotAfter, SPKI: rsaSPKI(key.N, 1),
		Extensions: []testpki.Extension{testpki.KeyUsage(testpki.KeyCertSign), testpki.BasicConstraints(true, -1)},
	}.Der(b.key)}); err == nil {
		t.Error("an anchor with exponent 1 was taken")
	}
}

func rsaSPKI(n *big.Int, e int) []byte {
	number := func(i *big.Int) []byte {
		octets := i.Bytes()
		if octets[0]&0x80 != 0 {
			octets = append([]byte{0}, octets...)
		}
		return der.Wrap(der.Integer, octets)
	}
	key := der.Wrap(der.Sequence, number(n), number(big.NewInt(int64(e))))
	return der.Wrap(der.Sequence, der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(pkix.OIDRSA)), der.Wrap(der.Null)), der.Wrap(der.BitString, []byte{0}, key))
}

func TestForgedLeafThatIsACA(t *testing.T) {
	b := theBench()
	ca := b.issue(func(c *testpki.Certificate) { c.Extensions = append(c.Extensions, testpki.BasicConstraints(true, -1)) })
	expect(t, b.auth.Verify(b.anchors, evidence(ca.Raw, lists(b.list(nil)))), cert.LeafIsCA)
	signs := b.issue(func(c *testpki.Certificate) {
		for i := range c.Extensions {
			if c.Extensions[i].OID == pkix.OIDKeyUsage {
				c.Extensions[i] = testpki.KeyUsage(testpki.DigitalSignature, testpki.KeyCertSign)
			}
		}
	})
	expect(t, b.auth.Verify(b.anchors, evidence(signs.Raw, lists(b.list(nil)))), cert.LeafIsCA)
	expect(t, b.auth.Verify(b.anchors, evidence(b.ca.Raw, lists(b.list(nil)))), cert.LeafIsCA, cert.NoPath)
	// And a card that issues another card.
	grandchild := b.card.Certificate
	grandchild.Issuer, grandchild.Serial = b.card.Certificate.Subject, []byte{5}
	in := evidence(grandchild.Der(b.card.Key), lists(b.list(nil)))
	in.Intermediates = [][]byte{b.card.Raw}
	if v := b.auth.Verify(b.anchors, in); v.Valid {
		t.Error("a card issued a card")
	}
}
