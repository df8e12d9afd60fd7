package ocsp_test

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/ocsp"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// differentialAnswers is how many answers openssl and we judge; each costs a process of openssl.
const differentialAnswers = 400

// fault is one thing that is wrong, or special, with an answer. lax says why openssl takes it where we don't; empty: both must agree.
type fault struct {
	name  string
	lax   string
	apply func(s *scene, a *testpki.Answer, key *crypto.Signer)
}

// scene is a hierarchy as of now: openssl's ocsp knows no other time.
type scene struct {
	now         time.Time
	ca, old     *testpki.CA
	card, other *testpki.Card
	responder   *testpki.Signer
}

func newScene() *scene {
	s := &scene{now: time.Now().UTC().Truncate(time.Second)}
	pki := must(testpki.New(testpki.Seeded("openssl"), testpki.Options{Now: s.now, Kind: testpki.P256}))
	s.old, s.ca = pki.Auth[0], pki.Auth[1]
	s.card = must(s.ca.Issue(testpki.Holder{Kind: testpki.P256}, s.now))
	s.other = must(s.ca.Issue(testpki.Holder{Kind: testpki.P256}, s.now))
	s.responder = must(s.ca.Responder(testpki.P256, s.now, nil))
	return s
}

// by has another responder sign, whose certificate f has changed.
func by(f func(s *scene, c *testpki.Certificate)) func(*scene, *testpki.Answer, *crypto.Signer) {
	return func(s *scene, a *testpki.Answer, key *crypto.Signer) {
		r := must(s.ca.Responder(testpki.P256, s.now, func(c *testpki.Certificate) { f(s, c) }))
		a.BySPKI, a.Certs, *key = r.SPKI, [][]byte{r.Raw}, r.Key
	}
}

func replace(c *testpki.Certificate, e testpki.Extension) {
	c.Extensions = append(without(c.Extensions, e.OID), e)
}

func edit(f func(s *scene, a *testpki.Answer)) func(*scene, *testpki.Answer, *crypto.Signer) {
	return func(s *scene, a *testpki.Answer, _ *crypto.Signer) { f(s, a) }
}

var strange = testpki.Extension{OID: pkix.OIDInvalidityDate, Critical: true, Value: []byte{5, 0}}

var faults = []fault{
	{"none", "", edit(func(*scene, *testpki.Answer) {})},
	{"named by name", "", edit(func(s *scene, a *testpki.Answer) { a.ByName = s.responder.Name })},
	{"SHA-256", "", edit(func(_ *scene, a *testpki.Answer) { a.Singles[0].SHA256 = true })},
	{"revoked", "", edit(func(s *scene, a *testpki.Answer) {
		a.Singles[0].State, a.Singles[0].RevokedAt, a.Singles[0].Reason = testpki.StateRevoked, s.now, testpki.CertificateHold
	})},
	{"unknown", "", edit(func(_ *scene, a *testpki.Answer) { a.Singles[0].State = testpki.StateUnknown })},
	{"another one in front", "", edit(func(s *scene, a *testpki.Answer) {
		a.Singles = append([]testpki.Single{s.other.Single(testpki.StateRevoked, s.now)}, a.Singles...)
		a.Singles[0].RevokedAt = s.now
	})},
	{"by the CA", "", func(s *scene, a *testpki.Answer, key *crypto.Signer) {
		a.BySPKI, a.Certs, *key = s.ca.SPKI, nil, s.ca.Key
	}},
	{"by another card", "", func(s *scene, a *testpki.Answer, key *crypto.Signer) {
		a.BySPKI, a.Certs, *key = s.other.SPKI, [][]byte{s.other.Raw}, s.other.Key
	}},
	{"by the old generation", "", func(s *scene, a *testpki.Answer, key *crypto.Signer) {
		a.BySPKI, a.Certs, *key = s.old.SPKI, [][]byte{s.old.Raw}, s.old.Key
	}},
	{"by a responder of the old generation", "", func(s *scene, a *testpki.Answer, key *crypto.Signer) {
		r := must(s.old.Responder(testpki.P256, s.now, nil))
		a.BySPKI, a.Certs, *key = r.SPKI, [][]byte{r.Raw}, r.Key
	}},
	{"wrong key", "", func(s *scene, _ *testpki.Answer, key *crypto.Signer) { *key = s.other.Key }},
	{"expired responder", "", by(func(s *scene, c *testpki.Certificate) { c.NotAfter = s.now.Add(-time.Hour) })},
	{"responder not yet valid", "", by(func(s *scene, c *testpki.Certificate) { c.NotBefore = s.now.Add(time.Hour) })},
	{"responder since after the answer", "openssl looks at the responder's validity now, not when it signed", func(s *scene, a *testpki.Answer, key *crypto.Signer) {
		by(func(s *scene, c *testpki.Certificate) { c.NotBefore = s.now.Add(-time.Minute) })(s, a, key)
		a.ProducedAt = s.now.Add(-3 * time.Minute)
	}},
	{"no OCSPSigning", "", by(func(_ *scene, c *testpki.Certificate) { replace(c, testpki.ExtKeyUsage(pkix.OIDAnyExtKeyUsage)) })},
	{"no EKU", "", by(func(_ *scene, c *testpki.Certificate) { c.Extensions = without(c.Extensions, pkix.OIDExtKeyUsage) })},
	{"responder without digitalSignature", "openssl doesn't look at the responder's key usage", by(func(_ *scene, c *testpki.Certificate) { replace(c, testpki.KeyUsage(testpki.KeyCertSign)) })},
	{"responder with nonRepudiation only", "openssl doesn't look at the responder's key usage", by(func(_ *scene, c *testpki.Certificate) {
		replace(c, testpki.KeyUsage(testpki.NonRepudiation))
	})},
	{"responder without key usage", "", by(func(_ *scene, c *testpki.Certificate) { c.Extensions = without(c.Extensions, pkix.OIDKeyUsage) })},
	{"responder is a CA", "openssl lets a CA be a delegated responder", by(func(_ *scene, c *testpki.Certificate) { replace(c, testpki.BasicConstraints(true, -1)) })},
	{"responder with a strange critical extension", "", by(func(_ *scene, c *testpki.Certificate) { replace(c, strange) })},
	{"responder without nocheck", "openssl doesn't ask about the responder's own revocation", by(func(_ *scene, c *testpki.Certificate) {
		c.Extensions = without(c.Extensions, pkix.OIDOCSPNoCheck)
	})},
	{"no certificate", "", edit(func(_ *scene, a *testpki.Answer) { a.Certs = nil })},
	{"stale", "", edit(func(s *scene, a *testpki.Answer) { a.Singles[0].NextUpdate = s.now.Add(-3 * time.Minute) })},
	{"old", "", edit(func(s *scene, a *testpki.Answer) { a.Singles[0].ThisUpdate = s.now.Add(-25 * time.Hour) })},
	{"from the future", "", edit(func(s *scene, a *testpki.Answer) { a.Singles[0].ThisUpdate = s.now.Add(5 * time.Minute) })},
	{"produced in the future", "openssl doesn't look at producedAt", edit(func(s *scene, a *testpki.Answer) { a.ProducedAt = s.now.Add(time.Hour) })},
	{"produced before its state", "openssl doesn't look at producedAt", edit(func(s *scene, a *testpki.Answer) { a.ProducedAt = s.now.Add(-time.Hour) })},
	{"nextUpdate before thisUpdate", "", edit(func(_ *scene, a *testpki.Answer) {
		a.Singles[0].NextUpdate = a.Singles[0].ThisUpdate.Add(-time.Second)
	})},
	{"no nextUpdate", "", edit(func(_ *scene, a *testpki.Answer) { a.Singles[0].NextUpdate = time.Time{} })},
	{"other serial", "", edit(func(s *scene, a *testpki.Answer) { a.Singles[0].Serial = s.other.Certificate.Serial })},
	{"other generation", "", edit(func(s *scene, a *testpki.Answer) { a.Singles[0].IssuerSPKI = s.old.SPKI })},
	{"strange critical extension", "openssl's ocsp ignores extensions of an answer, critical ones too", edit(func(_ *scene, a *testpki.Answer) {
		a.Extensions = append(a.Extensions, strange)
	})},
	{"strange critical extension of the single answer", "openssl's ocsp ignores extensions of an answer, critical ones too", edit(func(_ *scene, a *testpki.Answer) {
		a.Singles[0].Extensions = append(a.Singles[0].Extensions, strange)
	})},
	{"an extension twice", "openssl's ocsp ignores extensions of an answer", edit(func(_ *scene, a *testpki.Answer) {
		e := strange
		e.Critical = false
		a.Extensions = append(a.Extensions, e, e)
	})},
	{"twice, the first good", "openssl takes the first that fits", edit(func(s *scene, a *testpki.Answer) {
		r := s.card.Single(testpki.StateRevoked, s.now)
		r.RevokedAt = s.now
		a.Singles = append(a.Singles, r)
	})},
	{"removeFromCRL", "openssl prints the reason and doesn't judge it", edit(func(s *scene, a *testpki.Answer) {
		a.Singles[0].State, a.Singles[0].RevokedAt, a.Singles[0].Reason = testpki.StateRevoked, s.now, testpki.RemoveFromCRL
	})},
}

func TestDifferentialOpenssl(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed (deploy/ci/setup.sh)")
		}
		t.Skip("openssl is not installed")
	}
	s := newScene()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	asPEM := func(raw []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}) }
	ca, card := write("ca.pem", asPEM(s.ca.Raw)), write("card.pem", asPEM(s.card.Raw))
	roots := write("roots.pem", append(asPEM(s.ca.Raw), asPEM(s.old.Raw)...))
	policy := ocsp.DefaultPolicy()
	policy.Nonce, policy.NoCheck = ocsp.NonceIgnored, ocsp.NoCheckRequired
	question := ocsp.Question{Issuer: issuerOf(s.ca), Serial: s.card.Certificate.Serial}
	r := rand.New(rand.NewPCG(1, 2))
	taken, lax := 0, map[string]int{}
	for i := range differentialAnswers {
		chosen := []fault{faults[i%len(faults)]}
		if i >= 2*len(faults) {
			chosen = append(chosen, faults[r.IntN(len(faults))])
		}
		a := s.responder.Answer(s.now, s.card.Single(testpki.StateGood, s.now))
		key := s.responder.Key
		var names []string
		for _, f := range chosen {
			f.apply(s, &a, &key)
			names = append(names, f.name)
		}
		raw := a.Der(key)
		got, err := ocsp.Check(raw, question, time.Now(), policy)
		ours := got.Status.String()
		if err != nil {
			ours = "none"
		}
		hash := "-sha1"
		for _, one := range a.Singles {
			if one.SHA256 && bytes.Equal(one.Serial, question.Serial) {
				hash = "-sha256"
			}
		}
		cmd := exec.CommandContext(t.Context(), "openssl", "ocsp", "-respin", write("answer", raw), "-issuer", ca, hash, "-cert", card, "-CAfile", roots, "-no_nonce",
			"-validity_period", fmt.Sprint(60), "-status_age", fmt.Sprint(24*3600))
		out, _ := cmd.CombinedOutput()
		theirs := "none"
		if bytes.Contains(out, []byte("Response verify OK")) && !bytes.Contains(out, []byte("WARNING")) {
			for _, status := range []string{"good", "revoked", "unknown"} {
				if bytes.Contains(out, []byte(card+": "+status)) {
					theirs = status
				}
			}
		}
		switch {
		case ours == theirs:
			if ours != "none" {
				taken++
			}
		case ours == "none" && (chosen[0].lax != "" || chosen[len(chosen)-1].lax != ""):
			for _, f := range chosen {
				lax[f.name]++
			}
		default:
			t.Errorf("%s: ours %s (%v), openssl %s\n%s", strings.Join(names, " and "), ours, err, theirs, out)
		}
	}
	t.Logf("%d answers, %d taken by both", differentialAnswers, taken)
	for _, f := range faults {
		if f.lax == "" {
			continue
		}
		t.Logf("%4d × %s: %s", lax[f.name], f.name, f.lax)
		if lax[f.name] == 0 {
			t.Errorf("openssl isn't lax about %q any more: %s", f.name, f.lax)
		}
	}
	if taken < differentialAnswers/20 {
		t.Errorf("%d answers taken: the test has lost its balance", taken)
	}
}
