package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/ocsp"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

var now = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

// world is one hierarchy with what the tests need of it. P-256 keys, because it is about structure.
type world struct {
	pki                *testpki.PKI
	ca, old, sign      *testpki.CA
	card, other        *testpki.Card
	responder, rsa     *testpki.Signer
	oldResp, signResp  *testpki.Signer
	issuer             ocsp.Issuer
	nonce, otherNonce  []byte
	question           ocsp.Question
	noCheckless, expir *testpki.Signer
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func issuerOf(ca *testpki.CA) ocsp.Issuer {
	return ocsp.Issuer{Name: must(pkix.ParseName(ca.Name)), Key: must(pkix.ParsePublicKey(ca.SPKI))}
}

var theWorld = sync.OnceValue(func() *world {
	w := &world{}
	w.pki = must(testpki.New(testpki.Seeded("ocsp"), testpki.Options{Now: now, Kind: testpki.P256, Generations: 2}))
	w.old, w.ca, w.sign = w.pki.Auth[0], w.pki.Auth[1], w.pki.Sign[1]
	w.card = must(w.ca.Issue(testpki.Holder{Kind: testpki.P256}, now))
	w.other = must(w.ca.Issue(testpki.Holder{Kind: testpki.P256}, now))
	w.responder = must(w.ca.Responder(testpki.P256, now, nil))
	w.rsa = must(w.ca.Responder(testpki.RSA2048, now, nil))
	w.oldResp = must(w.old.Responder(testpki.P256, now, nil))
	w.signResp = must(w.sign.Responder(testpki.P256, now, nil))
	w.noCheckless = must(w.ca.Responder(testpki.P256, now, func(c *testpki.Certificate) { c.Extensions = without(c.Extensions, pkix.OIDOCSPNoCheck) }))
	w.expir = must(w.ca.Responder(testpki.P256, now, func(c *testpki.Certificate) { c.NotAfter = now.Add(-2 * time.Hour) }))
	w.issuer = issuerOf(w.ca)
	w.nonce, w.otherNonce = bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	w.question = ocsp.Question{Issuer: w.issuer, Serial: w.card.Certificate.Serial, Nonce: w.nonce}
	return w
})

func without(list []testpki.Extension, id pkix.OID) []testpki.Extension {
	var out []testpki.Extension
	for _, e := range list {
		if e.OID != id {
			out = append(out, e)
		}
	}
	return out
}

func strict() ocsp.Policy {
	p := ocsp.DefaultPolicy()
	p.Nonce, p.NoCheck, p.RequireNextUpdate = ocsp.NonceRequired, ocsp.NoCheckRequired, true
	return p
}

// good is the honest answer that each test changes in one thing.
func (w *world) good() testpki.Answer {
	a := w.responder.Answer(now, w.card.Single(testpki.StateGood, now))
	a.Nonce = w.nonce
	return a
}

func TestHonestAnswers(t *testing.T) {
	w := theWorld()
	revoked := w.card.Single(testpki.StateRevoked, now)
	revoked.RevokedAt, revoked.Reason = now.Add(-time.Hour), testpki.CertificateHold
	unreasoned := w.card.Single(testpki.StateRevoked, now)
	unreasoned.RevokedAt = now.Add(-time.Hour)
	sha256 := w.card.Single(testpki.StateGood, now)
	sha256.SHA256 = true
	edit := func(f func(*testpki.Answer)) []byte {
		a := w.good()
		f(&a)
		return a.Der(w.responder.Key)
	}
	byCA := w.ca.Answer(now, w.card.Single(testpki.StateGood, now))
	byCA.Nonce, byCA.Certs = w.nonce, nil
	byRSA := w.rsa.Answer(now, w.card.Single(testpki.StateGood, now))
	byRSA.Nonce = w.nonce
	cases := []struct {
		name      string
		raw       []byte
		status    ocsp.Status
		reason    pkix.Reason
		delegated bool
	}{
		{"good", edit(func(*testpki.Answer) {}), ocsp.Good, 0, true},
		{"named by name", edit(func(a *testpki.Answer) { a.ByName = w.responder.Name }), ocsp.Good, 0, true},
		{"SHA-256 CertID", edit(func(a *testpki.Answer) { a.Singles[0] = sha256 }), ocsp.Good, 0, true},
		{"by the CA itself", byCA.Der(w.ca.Key), ocsp.Good, 0, false},
		{"RSA responder", byRSA.Der(w.rsa.Key), ocsp.Good, 0, true},
		{"second of three", edit(func(a *testpki.Answer) {
			x := w.other.Single(testpki.StateRevoked, now)
			x.RevokedAt = now.Add(-time.Hour)
			a.Singles = []testpki.Single{x, a.Singles[0], w.other.Single(testpki.StateUnknown, now)}
		}), ocsp.Good, 0, true},
		{"on hold", edit(func(a *testpki.Answer) { a.Singles[0] = revoked }), ocsp.Revoked, pkix.CertificateHold, true},
		{"revoked without a reason", edit(func(a *testpki.Answer) { a.Singles[0] = unreasoned }), ocsp.Revoked, pkix.Unspecified, true},
		{"unknown", edit(func(a *testpki.Answer) { a.Singles[0] = w.card.Single(testpki.StateUnknown, now) }), ocsp.Unknown, 0, true},
		{"unknown extension, not critical", edit(func(a *testpki.Answer) {
			a.Extensions = []testpki.Extension{{OID: pkix.OIDInvalidityDate, Value: []byte{5, 0}}}
		}), ocsp.Good, 0, true},
		{"another certificate in front", edit(func(a *testpki.Answer) { a.Certs = [][]byte{w.ca.Raw, w.other.Raw, w.responder.Raw} }), ocsp.Good, 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := ocsp.Check(c.raw, w.question, now, strict())
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := xocsp.ParseResponseForCert(c.raw, must(x509.ParseCertificate(w.card.Raw)), must(x509.ParseCertificate(w.ca.Raw)))
			agrees := err == nil && theirs.Status == map[ocsp.Status]int{ocsp.Good: xocsp.Good, ocsp.Revoked: xocsp.Revoked, ocsp.Unknown: xocsp.Unknown}[c.status]
			if !agrees && c.name != "another certificate in front" { // that library looks at the first certificate alone
				t.Errorf("golang.org/x/crypto/ocsp says %v, %v", theirs, err)
			}
			if got.Status != c.status || got.Revocation.Reason != c.reason || (got.Responder != nil) != c.delegated || got.Unsettled || !got.Nonce ||
				got.Age != 5*time.Minute || got.ThisUpdate.IsZero() || got.SHA256 == [32]byte{} {
				t.Errorf("%+v", got)
			}
			if (c.status == ocsp.Revoked) != !got.Revocation.At.IsZero() {
				t.Errorf("revoked at %v", got.Revocation.At)
			}
		})
	}
}

// TestForgeries changes the honest answer in one thing each. What golang.org/x/crypto/ocsp says of them is in TestLibraryIsNotEnough.
func TestForgeries(t *testing.T) {
	w := theWorld()
	ca, err := x509.ParseCertificate(w.ca.Raw)
	if err != nil {
		t.Fatal(err)
	}
	badNoCheck := must(w.ca.Responder(testpki.P256, now, func(c *testpki.Certificate) {
		c.Extensions = append(without(c.Extensions, pkix.OIDOCSPNoCheck), testpki.Extension{OID: pkix.OIDOCSPNoCheck, Value: []byte{1, 1, 0xff}})
	}))
	responder := func(f func(*testpki.Certificate)) *testpki.Signer { return must(w.ca.Responder(testpki.P256, now, f)) }
	anyPurpose := responder(func(c *testpki.Certificate) {
		c.Extensions = append(without(c.Extensions, pkix.OIDExtKeyUsage), testpki.ExtKeyUsage(pkix.OIDAnyExtKeyUsage))
	})
	noSigning := responder(func(c *testpki.Certificate) {
		c.Extensions = append(without(c.Extensions, pkix.OIDKeyUsage), testpki.KeyUsage(testpki.NonRepudiation))
	})
	subCA := responder(func(c *testpki.Certificate) { c.Extensions = append(c.Extensions, testpki.BasicConstraints(true, -1)) })
	critical := responder(func(c *testpki.Certificate) {
		c.Extensions = append(c.Extensions, testpki.Extension{OID: pkix.OIDInvalidityDate, Critical: true, Value: []byte{5, 0}})
	})
	notYet := responder(func(c *testpki.Certificate) { c.NotBefore = now.Add(time.Hour) })

	by := func(s *testpki.Signer) func(*testpki.Answer) crypto.Signer {
		return func(a *testpki.Answer) crypto.Signer {
			a.BySPKI, a.Certs = s.SPKI, [][]byte{s.Raw}
			return s.Key
		}
	}
	edit := func(f func(*testpki.Answer)) func(*testpki.Answer) crypto.Signer {
		return func(a *testpki.Answer) crypto.Signer {
			f(a)
			return w.responder.Key
		}
	}
	cases := []struct {
		name   string
		change func(*testpki.Answer) crypto.Signer // gives the key that signs
		code   ocsp.Code
	}{
		{"signed by another card", by(&w.other.Signer), ocsp.CodeResponderUsage},
		{"signed by the card itself", by(&w.card.Signer), ocsp.CodeResponderUsage},
		{"responder expired", by(w.expir), ocsp.CodeResponderExpired},
		{"responder not yet valid", by(notYet), ocsp.CodeResponderExpired},
		{"produced before the responder's certificate", edit(func(a *testpki.Answer) {
			a.ProducedAt = now.AddDate(0, -1, 0)
			a.Singles[0].ThisUpdate, a.Singles[0].NextUpdate = a.ProducedAt, now.Add(time.Hour)
		}), ocsp.CodeResponderExpired},
		{"responder of the old generation, same DN", by(w.oldResp), ocsp.CodeUnauthorized},
		{"responder of the signature tree", by(w.signResp), ocsp.CodeUnauthorized},
		{"old generation of the CA, same DN", func(a *testpki.Answer) crypto.Signer {
			a.ByName, a.Certs = w.old.Name, [][]byte{w.old.Raw}
			return w.old.Key
		}, ocsp.CodeUnauthorized},
		{"EKU anyExtendedKeyUsage", by(anyPurpose), ocsp.CodeResponderUsage},
		{"responder without digitalSignature", by(noSigning), ocsp.CodeResponderUsage},
		{"responder is a CA", by(subCA), ocsp.CodeResponderUsage},
		{"responder with an unknown critical extension", by(critical), ocsp.CodeCritical},
		{"responder without nocheck", by(w.noCheckless), ocsp.CodeNoCheck},
		{"nocheck that is not NULL", by(badNoCheck), ocsp.CodeMalformed},
		{"no certificate of the responder", edit(func(a *testpki.Answer) { a.Certs = nil }), ocsp.CodeUnauthorized},
		{"responderID of another key", edit(func(a *testpki.Answer) { a.BySPKI = w.other.SPKI }), ocsp.CodeUnauthorized},
		{"responderID of the CA", edit(func(a *testpki.Answer) { a.BySPKI = w.ca.SPKI }), ocsp.CodeSignature},
		{"signature of another key", func(*testpki.Answer) crypto.Signer { return w.other.Key }, ocsp.CodeSignature},
		{"RSA signature under an EC responder", func(*testpki.Answer) crypto.Signer { return w.rsa.Key }, ocsp.CodeAlgorithm},
		{"nonce replayed", edit(func(a *testpki.Answer) { a.Nonce = w.otherNonce }), ocsp.CodeNonce},
		{"nonce missing", edit(func(a *testpki.Answer) { a.Nonce = nil }), ocsp.CodeNonce},
		{"nonce cut short", edit(func(a *testpki.Answer) { a.Nonce = w.nonce[:31] }), ocsp.CodeNonce},
		{"nonce empty", edit(func(a *testpki.Answer) { a.Nonce = []byte{} }), ocsp.CodeNonce},
		{"nonce twice", edit(func(a *testpki.Answer) {
			a.Extensions = []testpki.Extension{{OID: pkix.OIDOCSPNonce, Value: der.Wrap(der.OctetString, w.otherNonce)}}
		}), ocsp.CodeMalformed},
		{"nextUpdate has passed", edit(func(a *testpki.Answer) { a.Singles[0].NextUpdate = now.Add(-2 * time.Minute) }), ocsp.CodeStale},
		{"older than the policy takes", edit(func(a *testpki.Answer) { a.Singles[0].ThisUpdate = now.Add(-25 * time.Hour) }), ocsp.CodeStale},
		{"no nextUpdate", edit(func(a *testpki.Answer) { a.Singles[0].NextUpdate = time.Time{} }), ocsp.CodeNoNextUpdate},
		{"from the future", edit(func(a *testpki.Answer) { a.ProducedAt = now.Add(2 * time.Minute) }), ocsp.CodeNotYet},
		{"valid from the future", edit(func(a *testpki.Answer) { a.Singles[0].ThisUpdate = now.Add(2 * time.Minute) }), ocsp.CodeNotYet},
		{"produced before what it reports", edit(func(a *testpki.Answer) { a.ProducedAt = now.Add(-time.Hour) }), ocsp.CodeTimes},
		{"nextUpdate before thisUpdate", edit(func(a *testpki.Answer) { a.Singles[0].NextUpdate = now.Add(-time.Hour) }), ocsp.CodeTimes},
		{"about another serial", edit(func(a *testpki.Answer) { a.Singles[0].Serial = w.other.Certificate.Serial }), ocsp.CodeNotFound},
		{"about the same serial of the old generation", edit(func(a *testpki.Answer) { a.Singles[0].IssuerSPKI = w.old.SPKI }), ocsp.CodeNotFound},
		{"about the same serial of the signature tree", edit(func(a *testpki.Answer) { a.Singles[0].IssuerName = w.sign.Name }), ocsp.CodeNotFound},
		{"serial with a leading zero", edit(func(a *testpki.Answer) { a.Singles[0].Serial = append([]byte{0}, a.Singles[0].Serial...) }), ocsp.CodeMalformed},
		{"about nothing", edit(func(a *testpki.Answer) { a.Singles = nil }), ocsp.CodeNotFound},
		{"twice, good and revoked", edit(func(a *testpki.Answer) {
			s := w.card.Single(testpki.StateRevoked, now)
			s.RevokedAt = now
			a.Singles = append(a.Singles, s)
		}), ocsp.CodeAmbiguous},
		{"removeFromCRL", edit(func(a *testpki.Answer) {
			s := w.card.Single(testpki.StateRevoked, now)
			s.RevokedAt, s.Reason = now, testpki.RemoveFromCRL
			a.Singles[0] = s
		}), ocsp.CodeReason},
		{"reason 7", edit(func(a *testpki.Answer) {
			s := w.card.Single(testpki.StateRevoked, now)
			s.RevokedAt, s.Reason = now, 7
			a.Singles[0] = s
		}), ocsp.CodeReason},
		{"unknown critical extension", edit(func(a *testpki.Answer) {
			a.Extensions = []testpki.Extension{{OID: pkix.OIDInvalidityDate, Critical: true, Value: []byte{5, 0}}}
		}), ocsp.CodeCritical},
		{"unknown critical extension of the single answer", edit(func(a *testpki.Answer) {
			a.Singles[0].Extensions = []testpki.Extension{{OID: pkix.OIDInvalidityDate, Critical: true, Value: []byte{5, 0}}}
		}), ocsp.CodeCritical},
		{"too many answers", edit(func(a *testpki.Answer) {
			for range 16 {
				a.Singles = append(a.Singles, w.other.Single(testpki.StateGood, now))
			}
		}), ocsp.CodeTooLarge},
		{"too many certificates", edit(func(a *testpki.Answer) {
			a.Certs = [][]byte{w.other.Raw, w.other.Raw, w.other.Raw, w.other.Raw, w.responder.Raw}
		}), ocsp.CodeTooLarge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := w.good()
			key := c.change(&a)
			raw := a.Der(key)
			got, err := ocsp.Check(raw, w.question, now, strict())
			if ocsp.CodeOf(err) != c.code {
				t.Errorf("got %+v, %v; want %s", got, err, c.code)
			}
			if err != nil && got.Status != 0 {
				t.Errorf("a refusal with the status %v", got.Status)
			}
			_, theirs := xocsp.ParseResponseForCert(raw, nil, ca)
			t.Logf("golang.org/x/crypto/ocsp: %v", theirs)
		})
	}
}

// TestLibraryIsNotEnough holds why the checks here exist. Should the library learn one of them, this says so.
func TestLibraryIsNotEnough(t *testing.T) {
	w := theWorld()
	ca := must(x509.ParseCertificate(w.ca.Raw))
	expired := must(w.ca.Issue(testpki.Holder{Kind: testpki.P256, NotBefore: now.AddDate(-5, 0, 0), NotAfter: now.AddDate(-1, 0, 0)}, now))
	single := w.card.Single(testpki.StateGood, now)
	single.ThisUpdate, single.NextUpdate = now.AddDate(0, -1, 0), now.AddDate(0, 0, -1)
	a := expired.Answer(now, single)
	raw := a.Der(expired.Key)
	theirs, err := xocsp.ParseResponseForCert(raw, must(x509.ParseCertificate(w.card.Raw)), ca)
	if err != nil || theirs.Status != xocsp.Good {
		t.Logf("golang.org/x/crypto/ocsp now refuses an answer of an expired card: %v; docs and doc.go should say so", err)
	}
	p := strict()
	p.Nonce = ocsp.NonceIgnored
	if _, err := ocsp.Check(raw, w.question, now, p); ocsp.CodeOf(err) != ocsp.CodeResponderExpired {
		t.Errorf("%v", err)
	}
}

func TestEveryOctetCounts(t *testing.T) {
	w := theWorld()
	honest := w.good().Der(w.responder.Key)
	for i := range honest {
		for _, flip := range []byte{0x01, 0x80} {
			raw := bytes.Clone(honest)
			raw[i] ^= flip
			if got, err := ocsp.Check(raw, w.question, now, strict()); err == nil {
				t.Errorf("octet %d of %d changed by %#x: taken as %v", i, len(raw), flip, got.Status)
			}
		}
	}
	for i := range honest {
		if _, err := ocsp.Check(honest[:i], w.question, now, strict()); ocsp.CodeOf(err) != ocsp.CodeMalformed {
			t.Errorf("cut after %d octets: %v", i, err)
		}
	}
}

func TestEncodings(t *testing.T) {
	w := theWorld()
	honest := w.good().Der(w.responder.Key)
	indefinite := append(append([]byte{0x30, 0x80}, honest[4:]...), 0, 0)
	padded := append([]byte{0x30, 0x83, 0x00}, honest[2:]...) // 30 82 hh ll as 30 83 00 hh ll
	p := strict()
	p.MaxSize = len(honest) - 1
	cases := []struct {
		name   string
		raw    []byte
		policy ocsp.Policy
		code   ocsp.Code
	}{
		{"trailing octet", append(bytes.Clone(honest), 0), strict(), ocsp.CodeMalformed},
		{"twice", append(bytes.Clone(honest), honest...), strict(), ocsp.CodeMalformed},
		{"indefinite length: BER", indefinite, strict(), ocsp.CodeMalformed},
		{"length with a leading zero: BER", padded, strict(), ocsp.CodeMalformed},
		{"4 GB promised", append([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, honest[4:]...), strict(), ocsp.CodeMalformed},
		{"empty", nil, strict(), ocsp.CodeMalformed},
		{"larger than the policy", honest, p, ocsp.CodeTooLarge},
		{"larger than any policy", make([]byte, 1<<20+1), ocsp.DefaultPolicy(), ocsp.CodeTooLarge},
		{"tryLater", testpki.Failure(3), strict(), ocsp.CodeResponderError},
		{"unauthorized", testpki.Failure(6), strict(), ocsp.CodeResponderError},
		{"status 4 does not exist", testpki.Failure(4), strict(), ocsp.CodeMalformed},
		{"success without an answer", testpki.Failure(0), strict(), ocsp.CodeMalformed},
		{"error with an answer", append([]byte{honest[0], honest[1], honest[2], honest[3], 0x0a, 1, 3}, honest[7:]...), strict(), ocsp.CodeMalformed},
		{"success of an unknown type", bytes.Replace(honest, []byte(pkix.OIDOCSPBasic), []byte(pkix.OIDOCSPNonce), 1), strict(), ocsp.CodeUnsupported},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ocsp.Check(c.raw, w.question, now, c.policy); ocsp.CodeOf(err) != c.code {
				t.Errorf("%v; want %s", err, c.code)
			}
		})
	}
	var r *ocsp.Refusal
	_, err := ocsp.Check(testpki.Failure(3), w.question, now, strict())
	if !asRefusal(err, &r) || r.Status != ocsp.TryLater || !r.Status.Temporary() || ocsp.Unauthorized.Temporary() {
		t.Errorf("%+v", r)
	}
}

func TestPolicies(t *testing.T) {
	w := theWorld()
	with := func(f func(*ocsp.Policy)) ocsp.Policy { p := strict(); f(&p); return p }
	plain := w.good()
	noNonce := w.good()
	noNonce.Nonce = nil
	byCA := w.ca.Answer(now, w.card.Single(testpki.StateGood, now))
	byCA.Nonce = w.nonce
	noNext := w.good()
	noNext.Singles[0].NextUpdate = time.Time{}
	late := w.good()
	late.Singles[0].NextUpdate = now.Add(-50 * time.Second)
	badNonce := w.good()
	badNonce.Nonce, badNonce.Extensions = nil, []testpki.Extension{{OID: pkix.OIDOCSPNonce, Value: []byte{5, 0}}}
	unsettled := w.noCheckless.Answer(now, w.card.Single(testpki.StateGood, now))
	unsettled.Nonce = w.nonce
	question := func(nonce []byte) ocsp.Question { q := w.question; q.Nonce = nonce; return q }
	cases := []struct {
		name   string
		raw    []byte
		q      ocsp.Question
		policy ocsp.Policy
		code   ocsp.Code
	}{
		{"nonce optional and missing", noNonce.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.Nonce = ocsp.NonceOptional }), ""},
		{"nonce optional and wrong", plain.Der(w.responder.Key), question(w.otherNonce), with(func(p *ocsp.Policy) { p.Nonce = ocsp.NonceOptional }), ocsp.CodeNonce},
		{"nonce optional, not asked", plain.Der(w.responder.Key), question(nil), with(func(p *ocsp.Policy) { p.Nonce = ocsp.NonceOptional }), ocsp.CodeNonce},
		{"nonce optional and malformed", badNonce.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.Nonce = ocsp.NonceOptional }), ocsp.CodeNonce},
		{"nonce against the agreement, and right", plain.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.Nonce = ocsp.NonceAbsent }), ocsp.CodeNonce},
		{"nonce absent as agreed", noNonce.Der(w.responder.Key), question(nil), with(func(p *ocsp.Policy) { p.Nonce = ocsp.NonceAbsent }), ""},
		{"nonce against the agreement", plain.Der(w.responder.Key), question(nil), with(func(p *ocsp.Policy) { p.Nonce = ocsp.NonceAbsent }), ocsp.CodeNonce},
		{"nonce ignored", plain.Der(w.responder.Key), question(nil), with(func(p *ocsp.Policy) { p.Nonce = ocsp.NonceIgnored }), ""},
		{"nonce required and none sent", plain.Der(w.responder.Key), question(nil), strict(), ocsp.CodeQuestion},
		{"no delegation", plain.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.Delegated = false }), ocsp.CodeUnauthorized},
		{"delegation only", byCA.Der(w.ca.Key), w.question, with(func(p *ocsp.Policy) { p.ByIssuer = false }), ocsp.CodeUnauthorized},
		{"nobody may sign", plain.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.ByIssuer, p.Delegated = false, false }), ocsp.CodeQuestion},
		{"the zero policy takes nothing", plain.Der(w.responder.Key), w.question, ocsp.Policy{}, ocsp.CodeQuestion},
		{"no signature scheme", plain.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.Signatures.Schemes = nil }), ocsp.CodeAlgorithm},
		{"SHA-1 CertID not taken", plain.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.Hashes = []crypto.Hash{crypto.SHA256} }), ocsp.CodeNotFound},
		{"age alone", noNext.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.RequireNextUpdate = false }), ""},
		{"neither age nor nextUpdate", noNext.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.RequireNextUpdate, p.MaxAge = false, 0 }), ocsp.CodeNoNextUpdate},
		{"within the leeway", late.Der(w.responder.Key), w.question, strict(), ""},
		{"no leeway", late.Der(w.responder.Key), w.question, with(func(p *ocsp.Policy) { p.Leeway = 0 }), ocsp.CodeStale},
		{"nocheck ignored", unsettled.Der(w.noCheckless.Key), w.question, with(func(p *ocsp.Policy) { p.NoCheck = ocsp.NoCheckIgnored }), ""},
		{"a serial of 21 octets", plain.Der(w.responder.Key), ocsp.Question{Issuer: w.issuer, Serial: bytes.Repeat([]byte{1}, 21), Nonce: w.nonce}, strict(), ocsp.CodeQuestion},
		{"no issuer", plain.Der(w.responder.Key), ocsp.Question{Serial: []byte{1}, Nonce: w.nonce}, strict(), ocsp.CodeQuestion},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ocsp.Check(c.raw, c.q, now, c.policy); ocsp.CodeOf(err) != c.code || (c.code == "") != (got.Status == ocsp.Good) {
				t.Errorf("%v, %v; want %q", got.Status, err, c.code)
			}
		})
	}
	got, err := ocsp.Check(unsettled.Der(w.noCheckless.Key), w.question, now, with(func(p *ocsp.Policy) { p.NoCheck = ocsp.NoCheckOrStatus }))
	if err != nil || !got.Unsettled || !bytes.Equal(got.Responder.Raw, w.noCheckless.Raw) {
		t.Errorf("%+v, %v", got, err)
	}
}
