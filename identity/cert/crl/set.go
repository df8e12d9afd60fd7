package crl

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"sort"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Set is a list of national size whose signature was verified: exactly the revoked serials of one issuer, without false positives. It never
// changes and may be read by any number of goroutines. Its octets are those of its snapshot, on the heap or mapped.
type Set struct {
	info     pkix.ListInfo
	key      []byte // SubjectPublicKeyInfo that verified the signature
	bits     int
	bitmap   []byte // a bit for each serial below 1<<bits
	starts   []byte // for each bucket, which record is its first; one more at the end
	records  []byte // in the order of serials
	overflow []byte // in the order of serials
	// extensions are the list's, with the tag [0] around them, for the snapshot; nil if it has none.
	extensions []byte
}

// Info is what the list says of itself.
func (s *Set) Info() *pkix.ListInfo { return &s.info }

// SignedBy is the SubjectPublicKeyInfo of the key that verified the list.
func (s *Set) SignedBy() []byte { return s.key }

// CheckSignature tells whether that key signed the list; see cert.List. The list itself is gone: its signature was verified by the key that is
// remembered, and any other key didn't make it.
func (s *Set) CheckSignature(key *pkix.PublicKey, policy *pkix.Policy) error {
	if _, err := policy.Scheme(key, s.info.Algorithm); err != nil {
		return err
	}
	if !bytes.Equal(key.Raw, s.key) {
		return pkix.ErrSignature
	}
	return nil
}

// Contains tells whether the certificate of that serial, the content of its INTEGER, is revoked.
func (s *Set) Contains(serial []byte) bool {
	v, small := smallSerial(serial)
	if small && v>>3 < uint64(len(s.bitmap)) {
		found := s.bitmap[v>>3]>>(v&7)&1 != 0
		runtime.KeepAlive(s) // the bitmap may be mapped, and unmapped by a cleanup of s
		return found
	}
	_, found := s.inOverflow(serial)
	runtime.KeepAlive(s)
	return found
}

// Lookup gives date and reason of a revoked certificate, and false for one that isn't revoked. issuer is that of the certificate: the set is about
// one issuer only.
func (s *Set) Lookup(issuer pkix.Name, serial []byte) (pkix.Revocation, bool) {
	if !s.Contains(serial) {
		return pkix.Revocation{}, false // nearly always; what follows is kept out of the way
	}
	return s.entry(issuer, serial)
}

func (s *Set) entry(issuer pkix.Name, serial []byte) (pkix.Revocation, bool) {
	if !issuer.Equal(s.info.Issuer) {
		return pkix.Revocation{}, false
	}
	defer runtime.KeepAlive(s)
	if v, small := smallSerial(serial); small && v>>3 < uint64(len(s.bitmap)) {
		if r, ok := s.record(v); ok {
			age := int64(r & (1<<ageBits - 1))
			return pkix.Revocation{
				At:     time.Unix(s.info.ThisUpdate.Unix()-age, 0).UTC(),
				Reason: pkix.Reason(r >> ageBits & (1<<reasonBits - 1)),
			}, true
		}
	}
	if at, ok := s.inOverflow(serial); ok {
		record := overflowRecords(s.overflow).at(at)
		return pkix.Revocation{
			At:     time.Unix(int64(binary.LittleEndian.Uint64(record[24:])), 0).UTC(),
			Reason: pkix.Reason(record[maxSerial]),
		}, true
	}
	// The bit alone says that it is revoked; that there is no record can't be, and changes nothing.
	return pkix.Revocation{At: s.info.ThisUpdate}, true
}

// record finds the record of a small serial.
func (s *Set) record(serial uint64) (uint64, bool) {
	bucket := int(serial >> bucketBits)
	from := int(binary.LittleEndian.Uint32(s.starts[4*bucket:]))
	to := min(int(binary.LittleEndian.Uint32(s.starts[4*bucket+4:])), len(s.records)/recordSize)
	if from >= to {
		return 0, false
	}
	n := sort.Search(to-from, func(i int) bool {
		return binary.LittleEndian.Uint64(s.records[recordSize*(from+i):])>>serialShift >= serial
	})
	if n == to-from {
		return 0, false
	}
	r := binary.LittleEndian.Uint64(s.records[recordSize*(from+n):])
	return r, r>>serialShift == serial
}

// inOverflow finds a serial outside of the bitmap.
func (s *Set) inOverflow(serial []byte) (int, bool) {
	if len(s.overflow) == 0 || len(serial) == 0 || len(serial) > maxSerial || serial[0] >= 0x80 {
		return 0, false
	}
	var want [maxSerial]byte
	copy(want[maxSerial-len(serial):], serial)
	o := overflowRecords(s.overflow)
	at := sort.Search(o.Len(), func(i int) bool { return bytes.Compare(o.at(i)[:maxSerial], want[:]) >= 0 })
	return at, at < o.Len() && bytes.Equal(o.at(at)[:maxSerial], want[:])
}

// Each calls visit for every revoked serial (the content of its INTEGER), small ones first, each part in order, until it returns false.
func (s *Set) Each(visit func(serial []byte, r pkix.Revocation) bool) {
	defer runtime.KeepAlive(s)
	for i := 0; i < len(s.records); i += recordSize {
		r := binary.LittleEndian.Uint64(s.records[i:])
		age := int64(r & (1<<ageBits - 1))
		v := pkix.Revocation{At: time.Unix(s.info.ThisUpdate.Unix()-age, 0).UTC(), Reason: pkix.Reason(r >> ageBits & (1<<reasonBits - 1))}
		if !visit(integer(binary.BigEndian.AppendUint64(nil, r>>serialShift)), v) {
			return
		}
	}
	o := overflowRecords(s.overflow)
	for i := range o.Len() {
		record := o.at(i)
		v := pkix.Revocation{At: time.Unix(int64(binary.LittleEndian.Uint64(record[24:])), 0).UTC(), Reason: pkix.Reason(record[maxSerial])}
		if !visit(integer(record[:maxSerial]), v) {
			return
		}
	}
}

// integer is the content of the INTEGER that has this value.
func integer(magnitude []byte) []byte {
	for len(magnitude) > 1 && magnitude[0] == 0 {
		magnitude = magnitude[1:]
	}
	if magnitude[0] >= 0x80 {
		return append([]byte{0}, magnitude...)
	}
	return bytes.Clone(magnitude)
}
