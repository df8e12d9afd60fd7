package cert_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// BenchmarkDecision measures a whole decision about a card, from DER with the anchors parsed before: parse, path, profile, revocation in a list that
// is loaded, challenge, evidence; beside it, in the same loop, the two signatures that it can't do without (chain and challenge). Reported are the
// cost beyond them (goal: at most 13 us and 120 allocations) and the rate in percent of theirs (goal: 80 for RSA-2048, 90 for P-256, 98 for P-384).
func BenchmarkDecision(b *testing.B) {
	for _, kind := range []testpki.Kind{testpki.RSA2048, testpki.P256, testpki.P384} {
		b.Run(fmt.Sprint(kind), func(b *testing.B) { benchmarkDecision(b, kind) })
	}
}

func benchmarkDecision(b *testing.B, kind testpki.Kind) {
	pki := must(testpki.New(testpki.Seeded("bench"), testpki.Options{Now: present, Kind: kind}))
	ca := pki.Newest(testpki.AuthTree)
	card := must(ca.Issue(testpki.Holder{Kind: kind}, present))
	var anchors [][]byte
	for _, c := range pki.CAs(testpki.AuthTree) {
		anchors = append(anchors, c.Raw)
	}
	trusted := must(cert.ParseAnchors(anchors))
	l := ca.List(100, present)
	l.Partition = ca.Partition(testpki.Municipalities[0])
	in := evidence(card.Raw, lists(l.Der(ca.Key)))
	p := profile(cert.JPKIAuthTest)

	schemes := map[testpki.Kind]pkix.Scheme{testpki.RSA2048: pkix.RSASHA256, testpki.P256: pkix.P256SHA256, testpki.P384: pkix.P384SHA384}
	record := cert.Challenge{
		Nonce: []byte("a nonce of 32 octets, for a test"), RelyingParty: "rp", Purpose: "login",
		Issued: present.Add(-time.Minute), Expires: present.Add(time.Minute),
	}
	message := must(record.Message())
	presented := cert.Presented{
		Record: record, Nonce: record.Nonce, RelyingParty: "rp", Purpose: "login", Scheme: schemes[kind], Signature: testpki.Challenge(card.Key, message),
	}
	decide := func() {
		if v := p.Challenge(p.Verify(trusted, in), presented); !v.Valid {
			b.Fatal(v.Code, v.Evidence.Detail())
		}
	}
	policy := pkix.Policy{Schemes: pkix.Schemes, RSAMinBits: 2048, RSAMaxBits: 4096, RSAMinExponent: 65537}
	issuer, leaf := must(pkix.ParseCertificate(ca.Raw)), must(pkix.ParseCertificate(card.Raw))
	bare := func() {
		err := policy.Check(&issuer.Key, leaf.Algorithm, leaf.TBS, leaf.Signature)
		if err != nil || p.CheckSignature(&leaf.Key, schemes[kind], message, presented.Signature) != nil {
			b.Fatal("a bare signature doesn't verify")
		}
	}
	decide()
	bare()
	// Medians, since other work on the machine makes a mean say more about it than about this.
	var whole, least []time.Duration
	for b.Loop() {
		t0 := time.Now()
		bare()
		t1 := time.Now()
		decide()
		whole = append(whole, time.Since(t1))
		least = append(least, t1.Sub(t0))
	}
	beyond := testing.AllocsPerRun(200, decide) - testing.AllocsPerRun(200, bare)
	w, l1 := median(whole), median(least)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(l1, "bare-us")
	b.ReportMetric(w-l1, "beyond-us")
	b.ReportMetric(100*l1/w, "rate-%")
	b.ReportMetric(beyond, "allocs-beyond")
}

// median is in microseconds.
func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Nanoseconds()) / 1000
}
