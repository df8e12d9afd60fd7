package crl

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// A snapshot is a Set as octets that can be mapped and used as they lie, little endian:
//
//	0    8   magic, with the version of the layout
//	8    8   octets in all
//	16   4   bits of the bitmap
//	20   4   entries
//	24   40  octets of each part: meta, bitmap, starts, records, overflow
//	64       the parts one after another, each filled up with zeros to 64 octets
//
// Meta is DER: SEQUENCE { SHA-256 of the list OCTET STRING, key SubjectPublicKeyInfo, algorithm AlgorithmIdentifier, issuer Name, thisUpdate and
// nextUpdate as in the list, extensions as in the list, if any }.
//
// Nothing in a snapshot proves where it comes from. Its SHA-256 does, which WriteSnapshot returns, and which the caller keeps beside the list's
// record in its database. That is better than a keyed code inside: it needs no key in here, and it also refuses yesterday's snapshot, which was
// genuine once. Checking it reads all pages, which a restart wants anyway.
const (
	magic      = "musubiR\x01"
	headerSize = 64
	partCount  = 5
	partAlign  = 64
	maxMeta    = 256 << 10
)

func aligned(n int) int { return (n + partAlign - 1) &^ (partAlign - 1) }

func (s *Set) parts() [partCount][]byte {
	return [partCount][]byte{s.meta(), s.bitmap, s.starts, s.records, s.overflow}
}

// WriteSnapshot writes the set and returns the SHA-256 of what it wrote, for OpenSnapshot.
func (s *Set) WriteSnapshot(w io.Writer) (digest [sha256.Size]byte, err error) {
	parts := s.parts()
	head := make([]byte, headerSize)
	copy(head, magic)
	total := headerSize
	for i, p := range parts {
		binary.LittleEndian.PutUint64(head[24+8*i:], uint64(len(p)))
		total += aligned(len(p))
	}
	binary.LittleEndian.PutUint64(head[8:], uint64(total))
	binary.LittleEndian.PutUint32(head[16:], uint32(s.bits))
	binary.LittleEndian.PutUint32(head[20:], uint32(s.info.EntryCount))
	hash := sha256.New()
	out := io.MultiWriter(w, hash)
	if _, err := out.Write(head); err != nil {
		return digest, &Error{Code: CodeWrite, Offset: -1, Err: err}
	}
	var padding [partAlign]byte
	for _, p := range parts {
		for _, b := range [][]byte{p, padding[:aligned(len(p))-len(p)]} {
			if _, err := out.Write(b); err != nil {
				return digest, &Error{Code: CodeWrite, Offset: -1, Err: err}
			}
		}
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}

// OpenSnapshot makes a Set of the octets that WriteSnapshot wrote and of the digest that it returned. Anything else is refused (CodeSnapshot): then
// the list must be read again. The Set uses data as it is, which therefore must not change; if it is mapped it must stay mapped until the Set is
// unreachable (runtime.AddCleanup tells when).
func OpenSnapshot(data []byte, digest [sha256.Size]byte) (*Set, error) {
	if len(data) < headerSize || string(data[:8]) != magic {
		return nil, refuse(CodeSnapshot, "not a snapshot of this version")
	}
	if sha256.Sum256(data) != digest {
		return nil, refuse(CodeSnapshot, "its SHA-256 is not the one recorded when it was written")
	}
	s := &Set{bits: int(binary.LittleEndian.Uint32(data[16:]))}
	if binary.LittleEndian.Uint64(data[8:]) != uint64(len(data)) || s.bits != 0 && (s.bits < bucketBits || s.bits > MaxBits) {
		return nil, refuse(CodeSnapshot, "its header contradicts itself")
	}
	var parts [partCount][]byte
	rest := data[headerSize:]
	for i := range parts {
		n := binary.LittleEndian.Uint64(data[24+8*i:])
		if n > uint64(len(rest)) || aligned(int(n)) > len(rest) {
			return nil, refuse(CodeSnapshot, "a part is longer than the whole")
		}
		parts[i] = rest[:n:n]
		rest = rest[aligned(int(n)):]
	}
	s.bitmap, s.starts, s.records, s.overflow = parts[1], parts[2], parts[3], parts[4]
	if len(rest) != 0 || !s.shaped() {
		return nil, refuse(CodeSnapshot, "its parts don't fit each other")
	}
	if err := s.readMeta(parts[0]); err != nil {
		return nil, &Error{Code: CodeSnapshot, Offset: -1, Detail: "meta", Err: err}
	}
	s.info.EntryCount = len(s.records)/recordSize + len(s.overflow)/overflowSize
	if uint32(s.info.EntryCount) != binary.LittleEndian.Uint32(data[20:]) {
		return nil, refuse(CodeSnapshot, "its number of entries is wrong")
	}
	return s, nil
}

// shaped tells whether the parts have the sizes that the bitmap's asks for, so that no look-up leaves them.
func (s *Set) shaped() bool {
	if len(s.records)%recordSize != 0 || len(s.overflow)%overflowSize != 0 {
		return false
	}
	if s.bits == 0 {
		return len(s.bitmap) == 0 && len(s.starts) == 0 && len(s.records) == 0
	}
	if len(s.bitmap) != 1<<s.bits/8 || len(s.starts) != 4*(1<<(s.bits-bucketBits)+1) || s.start(0) != 0 {
		return false
	}
	last := len(s.starts)/4 - 1
	for i := range last {
		if s.start(i) > s.start(i+1) {
			return false
		}
	}
	return s.start(last) == len(s.records)/recordSize
}

func (s *Set) meta() []byte {
	return der.Wrap(der.Sequence, der.Wrap(der.OctetString, s.info.SHA256[:]), s.key, s.info.Algorithm.Raw, s.info.Issuer.Raw,
		writeTime(s.info.ThisUpdate), writeTime(s.info.NextUpdate), s.extensions)
}

func writeTime(t time.Time) []byte {
	if t.Year() < 2050 {
		return der.Wrap(der.UTCTime, []byte(t.UTC().Format("060102150405Z")))
	}
	return der.Wrap(der.GeneralizedTime, []byte(t.UTC().Format("20060102150405Z")))
}

func (s *Set) readMeta(meta []byte) error {
	if len(meta) > maxMeta {
		return refuse(CodeLimit, "longer than may be")
	}
	meta = bytes.Clone(meta) // what it says outlives a mapping: evidence keeps it
	r, err := der.Whole(meta, der.Sequence)
	if err != nil {
		return err
	}
	sum, err := r.Read(der.OctetString)
	if err != nil {
		return err
	}
	if len(sum) != len(s.info.SHA256) {
		return der.ErrLength
	}
	copy(s.info.SHA256[:], sum)
	if _, s.key, err = r.ReadWhole(der.Sequence); err != nil {
		return err
	}
	if _, err := pkix.ParsePublicKey(s.key); err != nil {
		return err
	}
	if s.info.Algorithm, err = pkix.ReadAlgorithm(&r); err != nil {
		return err
	}
	if s.info.Issuer, err = pkix.ReadName(&r); err != nil {
		return err
	}
	if s.info.ThisUpdate, err = readTime(&r); err != nil {
		return err
	}
	if s.info.NextUpdate, err = readTime(&r); err != nil {
		return err
	}
	if !r.Empty() {
		w := walker{info: s.info}
		if s.extensions, err = w.readExtensions(&r); err != nil {
			return err
		}
		s.info = w.info
	}
	return r.End()
}
