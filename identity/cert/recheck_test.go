package cert_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/crl"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// shelf is an archive in memory.
type shelf map[cert.Hash][]byte

func (s shelf) find(h cert.Hash, _ *cert.Profile, _ *cert.Anchors) (cert.List, error) {
	raw, ok := s[h]
	if !ok {
		return nil, cert.ErrListMissing
	}
	l, err := crl.Parse(raw, crl.Rules{}, crl.Limits{})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func shelve(in cert.Input, raws ...[]byte) shelf {
	s := shelf{}
	for i, l := range in.Lists {
		s[l.Info().SHA256] = raws[i]
	}
	return s
}

// cases are verdicts of every kind with their archives.
func storedCases(t testing.TB) map[string]struct {
	verdict cert.Verdict
	lists   shelf
} {
	t.Helper()
	b := theBench()
	out := make(map[string]struct {
		verdict cert.Verdict
		lists   shelf
	})
	add := func(name string, v cert.Verdict, in cert.Input, raws ...[]byte) {
		out[name] = struct {
			verdict cert.Verdict
			lists   shelf
		}{v, shelve(in, raws...)}
	}
	list := b.list(nil)
	in := evidence(b.card.Raw, lists(list))
	v := b.auth.Verify(b.anchors, in)
	add("valid by a list", v, in, list)
	add("with a challenge", b.auth.Challenge(v, response(t, b.card, pkix.RSASHA256)), in, list)
	used := response(t, b.card, pkix.RSASHA256)
	used.Record.Redeemed = true
	add("with a challenge that was redeemed", b.auth.Challenge(v, used), in, list)
	held := b.list(func(l *testpki.List) {
		l.Entries = []testpki.Entry{b.card.Entry(present.Add(-time.Hour), int(pkix.CertificateHold))}
	})
	in = evidence(b.card.Raw, lists(held))
	add("on hold", b.auth.Verify(b.anchors, in), in, held)
	in = evidence(b.card.Raw, nil, b.answer(nil))
	add("valid by OCSP", b.auth.Verify(b.anchors, in), in)
	in = evidence(b.card.Raw, nil)
	add("nothing known", b.auth.Verify(b.anchors, in), in)
	in = evidence([]byte("no certificate"), lists(list))
	add("no certificate", b.auth.Verify(b.anchors, in), in, list)
	in = evidence(b.card.Raw, nil)
	in.Intermediates, in.Options = [][]byte{b.old.Raw, {0x30}}, cert.Options{Revocation: cert.NoCheck, KeyUsage: pkix.DigitalSignature, Host: "例"}
	add("with options", b.auth.Verify(b.anchors, in), in)
	return out
}

func TestRecheckGivesTheSame(t *testing.T) {
	for name, c := range storedCases(t) {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(c.verdict.Evidence)
			if err != nil {
				t.Fatal(err)
			}
			again, err := cert.Recheck(raw, c.lists.find)
			if err != nil || again.Code != c.verdict.Code || again.Valid != c.verdict.Valid {
				t.Errorf("%s, %v; stored was %s", again.Code, err, c.verdict.Code)
			}
		})
	}
}

// TestRecheckNoticesEveryOctet changes the stored evidence octet by octet.
func TestRecheckNoticesEveryOctet(t *testing.T) {
	for name, c := range storedCases(t) {
		raw, err := json.Marshal(c.verdict.Evidence)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			changed := bytes.Clone(raw)
			changed[i] ^= 1
			if _, err := cert.Recheck(changed, c.lists.find); err == nil {
				t.Fatalf("%s: octet %d (%q) changed, and the verdict stands", name, i, raw[max(0, i-20):min(len(raw), i+20)])
			}
		}
		for _, changed := range [][]byte{nil, []byte("null"), []byte("{}"), raw[:len(raw)-1], append(bytes.Clone(raw), ' '), append([]byte(" "), raw...), append(bytes.Clone(raw), raw...)} {
			if _, err := cert.Recheck(changed, c.lists.find); err == nil {
				t.Fatalf("%s: %d octets instead of %d, and the verdict stands", name, len(changed), len(raw))
			}
		}
	}
}

// TestRecheckOfAForgedSeal: who changes the evidence and seals it again is told by the verdict, as long as what was found isn't forged with it.
func TestRecheckOfAForgedSeal(t *testing.T) {
	c := storedCases(t)["on hold"]
	raw, err := json.Marshal(c.verdict.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(raw, []byte(`"valid":false,"code":"on-hold"`), []byte(`"valid":true,"code":"ok"`), 1)
	if bytes.Equal(forged, raw) {
		t.Fatal("nothing was forged")
	}
	forged, err = cert.Reseal(forged)
	if err != nil {
		t.Fatal(err)
	}
	v, err := cert.Recheck(forged, c.lists.find)
	if !errors.Is(err, cert.ErrVerdictDiffers) || v.Code != cert.OnHold {
		t.Errorf("%s, %v; want on-hold and %v", v.Code, err, cert.ErrVerdictDiffers)
	}
}

func TestRecheckNeedsItsLists(t *testing.T) {
	b := theBench()
	c := storedCases(t)["valid by a list"]
	raw, err := json.Marshal(c.verdict.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Recheck(raw, shelf{}.find); !errors.Is(err, cert.ErrListMissing) {
		t.Errorf("without the list: %v", err)
	}
	other := b.list(func(l *testpki.List) { l.Number++ })
	swapped := shelf{}
	for h := range c.lists {
		swapped[h] = other
	}
	if _, err := cert.Recheck(raw, swapped.find); !errors.Is(err, cert.ErrListMissing) {
		t.Errorf("with another list under its name: %v", err)
	}
	for h, der := range c.lists {
		broken := shelf{h: der[:len(der)-1]}
		if _, err := cert.Recheck(raw, broken.find); err == nil {
			t.Error("with a list that is cut off")
		}
	}
}

func TestRecheckOfALaterVersion(t *testing.T) {
	raw, err := json.Marshal(storedCases(t)["nothing known"].verdict.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	later, err := cert.Reseal(bytes.Replace(raw, []byte(`{"version":1,`), []byte(`{"version":2,`), 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Recheck(later, shelf{}.find); !errors.Is(err, cert.ErrEvidenceVersion) {
		t.Errorf("%v", err)
	}
}

// TestDetailsHoldNoSubject: what a verdict says in words names issuers, and never the holder.
func TestDetailsHoldNoSubject(t *testing.T) {
	b := theBench()
	subject := must(pkix.ParseCertificate(b.card.Raw)).Subject.String()
	secret := subject[strings.LastIndex(subject, "=")+1:]
	for name, c := range storedCases(t) {
		if strings.Contains(c.verdict.Evidence.Detail()+c.verdict.Reason(), secret) {
			t.Errorf("%s: %s", name, c.verdict.Evidence.Detail())
		}
	}
}

func FuzzRecheck(f *testing.F) {
	for _, c := range storedCases(f) {
		raw, err := json.Marshal(c.verdict.Evidence)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		forged, err := cert.Reseal(raw) // past the digest
		if err != nil {
			return
		}
		v, err := cert.Recheck(forged, shelf{}.find)
		if err == nil && v.Valid && v.Evidence.Age() == 0 && v.Evidence.Degraded() {
			t.Fatal("degraded by nothing")
		}
	})
}
