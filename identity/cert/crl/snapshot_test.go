package crl

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

func sampleSet(t testing.TB) (*Set, []one) {
	t.Helper()
	var entries []one
	for i := range 50 {
		entries = append(entries, one{integerOf(int64(i*i*4001 + 1))[2:], revokedAt, drawnReasons[i%9]})
	}
	entries = append(entries, one{integerOf(1 << 60)[2:], revokedAt, 1}, one{integerOf(9)[2:], thisUpdate.AddDate(0, 0, 1), 2})
	d := listOf(entries)
	d.exts = [][]byte{idp(fullName), ext(pkix.OIDFreshestCRL, false, points)}
	s, err := Load{Key: rsaSigner().pub, Policy: anySignature, Bits: 20}.Octets(d.make())
	if err != nil {
		t.Fatal(err)
	}
	return s, entries
}

func snapshotOf(t testing.TB, s *Set) ([]byte, [sha256.Size]byte) {
	t.Helper()
	var out bytes.Buffer
	digest, err := s.WriteSnapshot(&out)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), digest
}

// What a list says of itself is in the snapshot too.
func TestSnapshotKeepsTheList(t *testing.T) {
	s, entries := sampleSet(t)
	data, digest := snapshotOf(t, s)
	if digest != sha256.Sum256(data) {
		t.Fatal("the digest isn't that of what was written")
	}
	o, err := OpenSnapshot(data, digest)
	if err != nil {
		t.Fatal(err)
	}
	checkSet(t, o, entries)
	a, b := s.Info(), o.Info()
	if a.SHA256 != b.SHA256 || !a.Issuer.Equal(b.Issuer) || !a.ThisUpdate.Equal(b.ThisUpdate) || !a.NextUpdate.Equal(b.NextUpdate) ||
		!bytes.Equal(a.Number, b.Number) || !bytes.Equal(a.Authority.KeyID, b.Authority.KeyID) || !SameScope(a, b) || b.Scope == nil ||
		len(b.Freshest) != 1 || !a.Algorithm.Equal(b.Algorithm) {
		t.Errorf("%+v\n%+v", a, b)
	}
	if err := o.CheckSignature(rsaSigner().pub, anySignature); err != nil {
		t.Error(err)
	}
	if err := o.CheckSignature(ecSigner().pub, anySignature); err == nil {
		t.Error("another key's list")
	}
	if err := o.CheckSignature(rsaSigner().pub, &pkix.Policy{}); !errors.Is(err, pkix.ErrAlgorithm) {
		t.Errorf("under a policy that accepts nothing: %v", err)
	}
}

// A snapshot that isn't as it was written is refused: changed anywhere, cut, longer, of another digest, of another version.
func TestSnapshotIsWhole(t *testing.T) {
	s, _ := sampleSet(t)
	data, digest := snapshotOf(t, s)
	refused := func(what string, data []byte) {
		t.Helper()
		if _, err := OpenSnapshot(data, digest); CodeOf(err) != CodeSnapshot {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := 0; i < len(data); i += 1 + i/400 { // every octet of the header and of the meta, and some of the long rest
		data[i] ^= 4
		refused("changed", data)
		data[i] ^= 4
	}
	refused("nothing", nil)
	refused("a header", data[:headerSize])
	refused("cut", data[:len(data)-1])
	refused("longer", append(bytes.Clone(data), 0))
	if _, err := OpenSnapshot(data, [sha256.Size]byte{}); CodeOf(err) != CodeSnapshot {
		t.Errorf("another digest: %v", err)
	}
}

// Even with a digest that fits, octets that nobody wrote neither open as something else nor make a look-up leave them.
func TestSnapshotHeaders(t *testing.T) {
	s, _ := sampleSet(t)
	good, _ := snapshotOf(t, s)
	for at := 8; at < headerSize; at += 4 {
		for _, v := range []uint32{0, 1, 15, 16, 21, 31, 63, 64, 1 << 16, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
			data := bytes.Clone(good)
			if binary.LittleEndian.Uint32(data[at:]) == v {
				continue
			}
			binary.LittleEndian.PutUint32(data[at:], v)
			if _, err := OpenSnapshot(data, sha256.Sum256(data)); CodeOf(err) != CodeSnapshot {
				t.Errorf("header at %d is %d: %v", at, v, err)
			}
		}
	}
}

// The table of buckets must rise to the number of records.
func TestSnapshotBuckets(t *testing.T) {
	s, _ := sampleSet(t)
	good, _ := snapshotOf(t, s)
	starts := headerSize + aligned(len(s.meta())) + aligned(len(s.bitmap))
	if !bytes.Equal(good[starts:starts+len(s.starts)], s.starts) {
		t.Fatal("the table lies elsewhere")
	}
	for at := 0; at < len(s.starts); at += 4 {
		for _, v := range []uint32{uint32(len(s.records)), 1<<32 - 1} {
			data := bytes.Clone(good)
			binary.LittleEndian.PutUint32(data[starts+at:], v)
			if _, err := OpenSnapshot(data, sha256.Sum256(data)); CodeOf(err) != CodeSnapshot {
				t.Errorf("bucket %d begins at %d: %v", at/4, v, err)
			}
		}
	}
	fewer := bytes.Clone(good)
	binary.LittleEndian.PutUint32(fewer[starts+len(s.starts)-4:], uint32(len(s.records)/recordSize-1))
	if _, err := OpenSnapshot(fewer, sha256.Sum256(fewer)); CodeOf(err) != CodeSnapshot {
		t.Errorf("a record in no bucket: %v", err)
	}
}

type failingWriter int

func (f *failingWriter) Write(b []byte) (int, error) {
	*f -= failingWriter(len(b))
	if *f < 0 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

func TestSnapshotFailsWithItsFile(t *testing.T) {
	s, _ := sampleSet(t)
	for _, room := range []failingWriter{0, 70, 5000, 131000} {
		if _, err := s.WriteSnapshot(&room); CodeOf(err) != CodeWrite {
			t.Errorf("%v", err)
		}
	}
}
