package crl

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

func seeds(f *testing.F) {
	for _, r := range rules {
		f.Add(r.list.make())
	}
	f.Add(octets("\x30\x84\xff\xff\xff\xff\x30\x84\xff\xff\xff\xf0"))
	f.Add(draft{allExts: der.Wrap(der.Constructed(0), seq(bytes.Repeat(ext(badOID, false), 10_000)))}.make())
}

// fuzzLimits keep what one input may take small, so that a breach shows.
var fuzzLimits = Limits{Octets: 1 << 20, Entries: 1 << 12, SmallOnly: 1 << 20, Head: 4 << 10, Entry: 1 << 10}

// Whatever the octets are: no panic, and what is taken is DER that says the same when it is read again.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, list []byte) {
		l, err := Parse(list, Rules{AnySerial: true, Version1: true, Unnumbered: true}, fuzzLimits)
		if err != nil {
			if CodeOf(err) == "" {
				t.Fatalf("a refusal without a code: %v", err)
			}
			return
		}
		if err := der.Check(list, 32); err != nil {
			t.Fatalf("what was read isn't DER: %v", err)
		}
		for _, e := range l.Entries() {
			if r, ok := l.Lookup(e.Issuer, e.Serial); !ok || r.Reason != e.Reason {
				t.Fatalf("an entry isn't found: %+v", e)
			}
		}
	})
}

// The stream reads the same from blocks of any size and from memory, and agrees with Parse about what is a list. The signature isn't what is
// fuzzed: the tape's end is.
func FuzzStream(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, list []byte) {
		read := func(open func() *tape) (*builder, error) {
			b := &builder{limits: fuzzLimits.filled(), bits: 16}
			b.buckets = make([]uint32, 1)
			b.walker.limits, b.t = b.limits, open()
			defer b.t.close()
			b.started = func() error {
				b.t.sign(5, b.from, b.to) // SHA-256
				return nil
			}
			b.walker.entries = b.entries
			_, _, err := b.walk()
			return b, err
		}
		size := 1 + len(list)%997
		a, errA := read(func() *tape { return newTape(bytes.NewReader(list), size, 4<<10, 1<<20) })
		b, errB := read(func() *tape { return newTapeOf(list) })
		if CodeOf(errA) != CodeOf(errB) {
			t.Fatalf("from a stream %v, from memory %v", errA, errB)
		}
		l, err := Parse(list, Rules{}, fuzzLimits)
		if errA != nil {
			if CodeOf(errA) == "" {
				t.Fatalf("a refusal without a code: %v", errA)
			}
			if err == nil && l.info.BaseNumber == nil {
				t.Fatalf("Parse reads what the stream refuses: %v", errA)
			}
			return
		}
		if a.count != b.count || a.info.SHA256 != b.info.SHA256 || !bytes.Equal(a.records, b.records) || !bytes.Equal(a.overflow, b.overflow) {
			t.Fatal("a stream and memory are read differently")
		}
		set, errSet := a.finish(&pkix.PublicKey{})
		switch {
		case a.named:
		case (err == nil) != (errSet == nil):
			t.Fatalf("Parse: %v; the stream: %v", err, errSet)
		case err == nil:
			for _, e := range l.Entries() {
				if r, ok := set.Lookup(e.Issuer, e.Serial); !ok || r.Reason != e.Reason || !r.At.Equal(e.Date) {
					t.Fatalf("%+v: the set says %v", e, r)
				}
			}
		}
	})
}

// A snapshot of any octets, with the digest that fits them: no panic, and no look-up outside of it.
func FuzzSnapshot(f *testing.F) {
	for _, bits := range []int{0, 16} {
		s, err := Load{Key: rsaSigner().pub, Policy: anySignature, Bits: bits}.Octets(rules[4].list.make())
		if err != nil {
			f.Fatal(err)
		}
		data, _ := snapshotOf(f, s)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := OpenSnapshot(data, sha256.Sum256(data))
		if err != nil {
			if CodeOf(err) != CodeSnapshot {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, serial := range [][]byte{{1}, {0x7f, 0xff}, {0, 0xff, 0xff}, {1, 0, 0}, {0, 0xff, 0xff, 0xff, 0xff}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, nil, {0xff}} {
			s.Lookup(s.Info().Issuer, serial)
		}
		s.Each(func([]byte, pkix.Revocation) bool { return true })
	})
}
