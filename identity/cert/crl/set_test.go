package crl

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/big"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// one is an entry as a test draws it.
type one struct {
	serial []byte // content
	at     time.Time
	reason pkix.Reason
}

var drawnReasons = []pkix.Reason{0, 1, 2, 3, 4, 5, 6, 9, 10}

// drawEntries draws entries of every size that a serial may have, crowded where the bitmap's edges are, with distinct serials.
func drawEntries(t *rapid.T, most int) []one {
	serial := rapid.OneOf(
		rapid.Uint64Range(1, 300), rapid.Uint64Range(1<<16-50, 1<<16+50), rapid.Uint64Range(1, 1<<18), rapid.Uint64Range(1<<32-5, 1<<32+5),
		rapid.Uint64Min(1),
	)
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) one {
		v := new(big.Int).SetUint64(serial.Draw(t, "serial"))
		if long := rapid.IntRange(-40, 95).Draw(t, "shift"); long > 0 {
			v.Lsh(v, uint(long))
		}
		content := integerOfBig(v)[2:]
		at := rapid.Int64Range(-631152000, 2524608000+86400*365).Draw(t, "date")
		if rapid.IntRange(0, 9).Draw(t, "usual") > 0 {
			at = thisUpdate.Unix() - at%(86400*3650)
		}
		return one{content, time.Unix(at, 0).UTC(), rapid.SampledFrom(drawnReasons).Draw(t, "reason")}
	}), 0, most, func(o one) string { return string(o.serial) }).Draw(t, "entries")
}

func listOf(entries []one) draft {
	var d draft
	for i, o := range entries {
		var exts [][]byte
		if o.reason != 0 || i%7 == 0 {
			exts = append(exts, reason(o.reason))
		}
		if i%5 == 0 {
			exts = append(exts, ext(pkix.OIDInvalidityDate, false, octets("\x18\x0f20240102030405Z")))
		}
		d.entries = append(d.entries, entry(der.Wrap(der.Integer, o.serial), o.at, exts...))
	}
	return d
}

func checkSet(t interface{ Fatalf(string, ...any) }, s *Set, entries []one) {
	issuer := named("TEST CA")
	if s.Info().EntryCount != len(entries) {
		t.Fatalf("%d entries, want %d", s.Info().EntryCount, len(entries))
	}
	want := map[string]one{}
	for _, o := range entries {
		want[string(o.serial)] = o
		got, ok := s.Lookup(issuer, o.serial)
		if !ok || !got.At.Equal(o.at) || got.Reason != o.reason || !s.Contains(o.serial) {
			t.Fatalf("%x: %v %v, want %v %v", o.serial, ok, got, o.at, o.reason)
		}
		if _, ok := s.Lookup(named("TEST other"), o.serial); ok {
			t.Fatalf("%x is revoked for another issuer", o.serial)
		}
	}
	// Neighbours, and the same octets with more before or after them.
	for _, o := range entries {
		v := new(big.Int).SetBytes(o.serial)
		for _, near := range []*big.Int{
			new(big.Int).Add(v, big.NewInt(1)), new(big.Int).Sub(v, big.NewInt(1)), new(big.Int).Lsh(v, 8), new(big.Int).Rsh(v, 8),
			new(big.Int).Add(v, big.NewInt(1<<16)), new(big.Int).Add(v, big.NewInt(1<<32)),
		} {
			content := integerOfBig(near)[2:]
			if _, revoked := want[string(content)]; s.Contains(content) != revoked {
				t.Fatalf("%x: %v, want %v", content, !revoked, revoked)
			}
		}
	}
	seen := 0
	s.Each(func(serial []byte, r pkix.Revocation) bool {
		o, ok := want[string(serial)]
		if !ok || !o.at.Equal(r.At) || o.reason != r.Reason {
			t.Fatalf("Each gave %x %v", serial, r)
		}
		seen++
		return true
	})
	if seen != len(entries) {
		t.Fatalf("Each gave %d entries, want %d", seen, len(entries))
	}
}

// A set is exactly the list, whatever the order, the sizes of serials, the bitmap and the way that the octets arrive; Parse reads the same; a
// snapshot gives the same set.
func TestSetIsTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t, 200)
		list := listOf(entries).make()
		bits := rapid.SampledFrom([]int{0, 16, 17, 20}).Draw(t, "bits")
		l := Load{Key: rsaSigner().pub, Policy: anySignature, Bits: bits}
		size := rapid.IntRange(1, 700).Draw(t, "block")
		limits := Limits{}.filled()
		s, err := l.read(limits, func() *tape {
			return newTape(iotest.HalfReader(bytes.NewReader(list)), size, limits.Head, limits.Octets)
		})
		if err != nil {
			t.Fatal(err)
		}
		checkSet(t, s, entries)

		p, err := Parse(list, Rules{}, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if p.Info().SHA256 != s.Info().SHA256 || len(p.Entries()) != len(entries) {
			t.Fatal("Parse read another list")
		}
		for i, e := range p.Entries() {
			if !bytes.Equal(e.Serial, entries[i].serial) || !e.Date.Equal(entries[i].at) || e.Reason != entries[i].reason || e.Invalidity.IsZero() == (i%5 == 0) {
				t.Fatalf("entry %d: %+v, want %+v", i, e, entries[i])
			}
		}

		var snapshot bytes.Buffer
		digest, err := s.WriteSnapshot(&snapshot)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := OpenSnapshot(snapshot.Bytes(), digest)
		if err != nil {
			t.Fatal(err)
		}
		checkSet(t, opened, entries)
		var again bytes.Buffer
		if same, err := opened.WriteSnapshot(&again); err != nil || same != digest || !bytes.Equal(again.Bytes(), snapshot.Bytes()) {
			t.Fatal("a snapshot of a snapshot differs")
		}
	})
}

// Thousands of entries in no order fill buckets as a large list does.
func TestLargeListInNoOrder(t *testing.T) {
	for _, sorted := range []bool{true, false} {
		list := national(20_000, sorted)
		s, err := load().Octets(list)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Parse(list, Rules{}, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Entries() {
			r, ok := s.Lookup(e.Issuer, e.Serial)
			if !ok || !r.At.Equal(e.Date) || r.Reason != e.Reason {
				t.Fatalf("%x: %v %v, want %v", e.Serial, ok, r, e)
			}
		}
		previous := uint64(0)
		n := 0
		s.Each(func(serial []byte, _ pkix.Revocation) bool {
			v, _ := smallSerial(serial)
			if v <= previous {
				t.Fatalf("%d after %d", v, previous)
			}
			previous = v
			n++
			return true
		})
		if n != 20_000 {
			t.Fatalf("%d entries", n)
		}
	}
}

// Wherever the stream is cut into blocks, the list is read alike, and so is one that is wrong at its end.
func TestEveryBlockBoundary(t *testing.T) {
	var entries []one
	for i := range 40 {
		entries = append(entries, one{integerOf(int64(i*i*i*977 + 1))[2:], revokedAt.Add(time.Duration(i) * time.Hour), drawnReasons[i%9]})
	}
	list := listOf(entries).make()
	l := Load{Key: rsaSigner().pub, Policy: anySignature, Bits: 16}
	limits := Limits{Head: 4 << 10}.filled()
	for size := 1; size <= len(list)+1; size++ {
		if size > 150 && size%13 != 0 && size < len(list)-5 {
			continue
		}
		read := func(src io.Reader) (*Set, error) {
			return l.read(limits, func() *tape { return newTape(src, size, 4<<10, limits.Octets) })
		}
		s, err := read(bytes.NewReader(list))
		if err != nil {
			t.Fatalf("blocks of %d: %v", size, err)
		}
		checkSet(t, s, entries)
		if _, err := read(iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(list)))); err != nil {
			t.Fatalf("blocks of %d, one octet at a time: %v", size, err)
		}
		if _, err := read(bytes.NewReader(list[:len(list)-1])); CodeOf(err) != CodeTruncated {
			t.Fatalf("blocks of %d, cut: %v", size, err)
		}
		if _, err := read(bytes.NewReader(append(bytes.Clone(list), 0))); CodeOf(err) != CodeTrailing {
			t.Fatalf("blocks of %d, longer: %v", size, err)
		}
	}
	for cut := range len(list) {
		if _, err := l.Read(bytes.NewReader(list[:cut])); CodeOf(err) != CodeTruncated {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if _, err := l.Octets(list[:cut]); CodeOf(err) != CodeTruncated {
			t.Fatalf("cut at %d, in memory: %v", cut, err)
		}
		failing := io.MultiReader(bytes.NewReader(list[:cut]), iotest.ErrReader(io.ErrClosedPipe))
		if _, err := l.Read(failing); CodeOf(err) != CodeRead {
			t.Fatalf("failing at %d: %v", cut, err)
		}
	}
}

// A signed list with any one octet changed is refused, as is one signed by another key.
func TestEveryOctetCounts(t *testing.T) {
	d := draft{entries: [][]byte{
		entry(integerOf(5), revokedAt), entry(integerOf(1<<20), revokedAt, reason(4)), entry(integerOf(1<<60), revokedAt, reason(6)),
		entry(integerOf(77), revokedAt, reason(1)), entry(integerOf(78), revokedAt, reason(1)),
	}, exts: [][]byte{idp(fullName)}}
	list := d.make()
	l := Load{Key: rsaSigner().pub, Policy: anySignature, Bits: 16}
	for i := range list {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			list[i] ^= flip
			if _, err := l.Octets(list); CodeOf(err) == "" {
				t.Fatalf("octet %d ^ %02x: %v", i, flip, err)
			}
			p, err := Parse(list, Rules{}, Limits{})
			if err == nil {
				err = p.CheckSignature(rsaSigner().pub, anySignature)
			}
			if err == nil {
				t.Fatalf("octet %d ^ %02x: Parse and CheckSignature take it", i, flip)
			}
			list[i] ^= flip
		}
	}
	other := ecSigner()
	l.Key = other.pub
	if _, err := l.Octets(list); CodeOf(err) != CodeAlgorithm {
		t.Errorf("a key of another kind: %v", err)
	}
	forged := draft{by: &other, entries: d.entries}
	if _, err := l.Octets(forged.make()); err != nil {
		t.Error(err)
	}
	l.Policy = &pkix.Policy{}
	if _, err := l.Octets(forged.make()); CodeOf(err) != CodeAlgorithm {
		t.Errorf("a policy that accepts nothing: %v", err)
	}
}

// The source is read no further than the first thing that is wrong, and no goroutine is left behind with its octets.
func TestReadStopsEarly(t *testing.T) {
	list := national(20_000, true)
	bad := bytes.Clone(list)
	bad[bytes.Index(bad, octets("\x30\x23\x02\x04"))] = der.Set
	var read atomic.Int64
	src := readerFunc(func(b []byte) (int, error) {
		n := copy(b, bad[min(int(read.Load()), len(bad)):])
		read.Add(int64(n))
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	})
	if _, err := load().Read(src); err == nil {
		t.Fatal("a list that is wrong at its beginning was read")
	}
	if read.Load() > blockSize {
		t.Errorf("%d octets were read", read.Load())
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// agree checks that what fast takes, the thorough reader takes too, with the same meaning. It tells whether fast took it.
func agree(t interface{ Fatalf(string, ...any) }, e []byte) bool {
	size, serial, date, why := fast(e)
	if size == 0 {
		return false
	}
	r := der.NewReader(e)
	content, whole, err := r.ReadWhole(der.Sequence)
	if err != nil {
		t.Fatalf("%x is no DER: %v", e[:size], err)
	}
	slow, err := readEntry(content, Rules{}, true)
	if err != nil {
		t.Fatalf("%x is taken by fast alone: %v", e[:size], err)
	}
	if len(whole) != size || new(big.Int).SetBytes(slow.Serial).Cmp(new(big.Int).SetUint64(serial)) != 0 || slow.Date.Unix()-era != int64(date) ||
		byte(slow.Reason) != why || slow.Reason == pkix.RemoveFromCRL || !slow.Issuer.IsEmpty() {
		t.Fatalf("%x: fast reads %d %d %d %d, readEntry %+v", e[:size], size, serial, date, why, slow)
	}
	return true
}

// usual is an entry with octets after it, as fast needs them.
func usual(o one) []byte {
	var exts [][]byte
	if o.reason != 0 {
		exts = append(exts, reason(o.reason))
	}
	return append(entry(der.Wrap(der.Integer, o.serial), o.at, exts...), make([]byte, fastMost)...)
}

func TestFastIsThorough(t *testing.T) {
	// Every value of every octet, one at a time.
	for _, v := range []int64{1, 0x80, 0x1234, 0x8000, 0x80abcdef, 0x7fabcdef, 0x7f00000000} {
		for _, why := range []pkix.Reason{0, 1, 9} {
			e := usual(one{integerOf(v)[2:], revokedAt, why})
			if !agree(t, e) {
				t.Fatalf("the usual form isn't taken: %x", e)
			}
			for i := range len(e) - fastMost {
				was := e[i]
				for c := range 256 {
					e[i] = byte(c)
					agree(t, e)
				}
				e[i] = was
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		drawn := drawEntries(t, 1)
		if len(drawn) == 0 {
			return
		}
		e := usual(drawn[0])
		changes := rapid.IntRange(0, 3).Draw(t, "changes")
		for range changes {
			e[rapid.IntRange(0, 40).Draw(t, "at")] = rapid.OneOf(rapid.Byte(), rapid.ByteRange('0', ';')).Draw(t, "octet")
		}
		if n := len(drawn[0].serial); !agree(t, e) && changes == 0 && n <= 5 && e[4+n] == der.UTCTime {
			t.Fatalf("the usual form isn't taken: %x", e)
		}
	})
}

// Every second of the time that UTCTime can say has one reading; every day and every wrong digit is tried.
func TestSeconds(t *testing.T) {
	for day := time.Unix(era, 0).UTC(); day.Year() < 2050; day = day.AddDate(0, 0, 1) {
		at := day.Add(time.Duration(day.YearDay()*229%86400) * time.Second)
		text := []byte(at.Format("060102150405Z"))
		if got, ok := seconds((*[13]byte)(text)); !ok || int64(got)+era != at.Unix() {
			t.Fatalf("%s: %d %v", text, got, ok)
		}
	}
	text := []byte("260228235959Z")
	for i := range text {
		was := text[i]
		for c := range 256 {
			text[i] = byte(c)
			got, ok := seconds((*[13]byte)(text))
			want, err := der.ParseUTCTime(text)
			if ok != (err == nil) || ok && int64(got)+era != want.Unix() {
				t.Fatalf("%q: %d %v, want %v %v", text, got, ok, want, err)
			}
		}
		text[i] = was
	}
	for pair := range 100 {
		for field := range 6 {
			text := []byte("260228235959Z")
			text[2*field], text[2*field+1] = byte('0'+pair/10), byte('0'+pair%10)
			got, ok := seconds((*[13]byte)(text))
			want, err := der.ParseUTCTime(text)
			if ok != (err == nil) || ok && int64(got)+era != want.Unix() {
				t.Fatalf("%q: %d %v, want %v %v", text, got, ok, want, err)
			}
		}
	}
}

// A serial of the bitmap's very last bit, and the first one beyond it.
func TestEdgeOfTheBitmap(t *testing.T) {
	var entries []one
	for _, v := range []int64{1, 1<<16 - 1, 1 << 16, 1<<16 + 1, 1 << 31, 1<<32 - 1, 1 << 32} {
		entries = append(entries, one{integerOf(v)[2:], revokedAt, 1})
	}
	for _, bits := range []int{0, 16, 17, 30} {
		s, err := Load{Key: rsaSigner().pub, Policy: anySignature, Bits: bits}.Octets(listOf(entries).make())
		if err != nil {
			t.Fatal(err)
		}
		checkSet(t, s, entries)
	}
	for _, bits := range []int{-1, 1, 15, 31} {
		if _, err := (Load{Key: rsaSigner().pub, Policy: anySignature, Bits: bits}).Octets(nil); CodeOf(err) != CodeConfig {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	if _, ok := smallSerial(binary.BigEndian.AppendUint64(nil, 5)); ok {
		t.Error("eight octets are no small serial")
	}
}
