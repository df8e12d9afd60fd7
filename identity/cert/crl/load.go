package crl

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// MaxBits bounds the bitmap of a Set: serials of up to 30 bits, 128 MiB.
const MaxBits = 30

// DefaultBits is the size of the bitmap for a CA whose serials are a counter: 268 million serials, 32 MiB.
const DefaultBits = 28

// Load is how a list of national size is read.
type Load struct {
	// Key and Policy say whose signature the list must bear. The issuer's name and the right to sign lists are for the caller to check.
	Key    *pkix.PublicKey
	Policy *pkix.Policy
	// Bits is the size of the bitmap: serials below 1<<Bits take one bit each and 8 octets when revoked, all others 32 octets when revoked. 0 is
	// right for the lists of small partitions.
	Bits   int
	Limits Limits
	Rules  Rules // AnySerial doesn't apply
}

// Read reads a list from a stream, in one pass: it hashes the whole file and what is signed, and keeps of entries serial, date and reason. What it
// keeps beside the Set doesn't grow with the list. The Set is returned only if the signature is right, so that there is nothing to use before.
func (l Load) Read(src io.Reader) (*Set, error) {
	limits := l.Limits.filled()
	return l.read(limits, func() *tape { return newTape(src, blockSize, max(limits.Head, limits.Entry), limits.Octets) })
}

// Octets is Read of a list that is in memory or mapped there.
func (l Load) Octets(list []byte) (*Set, error) {
	return l.read(l.Limits.filled(), func() *tape { return newTapeOf(list) })
}

func (l Load) read(limits Limits, open func() *tape) (*Set, error) {
	if l.Bits < 0 || l.Bits > MaxBits || l.Bits > 0 && l.Bits < bucketBits || l.Key == nil || l.Policy == nil {
		return nil, refuse(CodeConfig, "a key, a policy, and a bitmap of 0 or 16 to 30 bits are needed")
	}
	b := &builder{limits: limits, bits: l.Bits}
	if b.bits > 0 {
		b.buckets = make([]uint32, 1<<(b.bits-bucketBits))
	}
	w := &b.walker
	w.limits, w.rules, w.t = limits, l.Rules, open()
	w.rules.AnySerial = false
	defer w.t.close()
	var scheme pkix.Scheme
	w.started = func() (err error) {
		if scheme, err = l.Policy.Scheme(l.Key, w.info.Algorithm); err != nil {
			return &Error{Code: CodeAlgorithm, Offset: -1, Err: err}
		}
		w.t.sign(scheme.Hash(), w.from, w.to)
		return nil
	}
	w.entries = b.entries
	signature, digest, err := w.walk()
	if err != nil {
		return nil, err
	}
	if err := pkix.VerifyDigest(l.Key, scheme, digest, signature); err != nil {
		return nil, &Error{Code: CodeSignature, Offset: -1, Err: err}
	}
	switch {
	case w.info.Indirect(), w.info.BaseNumber != nil:
		return nil, refuse(CodeForm, "indirect lists and deltas are read by Parse")
	case b.named:
		return nil, refuse(CodeCertIssuer, "in a list that isn't indirect")
	}
	set, err := b.finish(l.Key)
	if err != nil {
		return nil, err
	}
	return set, nil
}

// Records beside the bitmap: serial in the upper 30 bits, then 4 of reason, then 30 of age, the seconds from revocation to thisUpdate (34 years).
// An entry that doesn't fit (revoked after thisUpdate, or longer ago) has its bit, and its record in the overflow.
const (
	recordSize  = 8
	ageBits     = 30
	reasonBits  = 4
	serialShift = ageBits + reasonBits
	// The overflow: 20 octets of serial, big endian; reason; 3 unused; date in Unix seconds.
	overflowSize = 32
	// Records are ordered by the serial's upper bits alone to be found: so many serials to a bucket.
	bucketBits = 16
)

// builder makes a Set of entries as they come.
type builder struct {
	walker
	limits   Limits
	bits     int
	records  []byte
	overflow []byte
	buckets  []uint32 // how many records each has
	count    int
	reserved bool
	named    bool // an entry names its issuer
	last     uint64
	unsorted bool
	thisUp   int64 // thisUpdate, in seconds since the era
}

// entries reads revokedCertificates: the usual form fast, everything else thoroughly.
func (b *builder) entries(end int64) error {
	b.thisUp = b.info.ThisUpdate.Unix() - era
	begin := b.t.offset()
	for b.t.offset() < end {
		if b.count >= estimateAfter && !b.reserved {
			b.reserve(begin, end)
		}
		b.run(end)
		if b.t.offset() >= end {
			return nil
		}
		at := b.t.offset()
		if err := b.one(end, b.addEntry); err != nil {
			return located(err, at)
		}
	}
	return nil
}

// estimateAfter is after how many entries the number of all is estimated by their length, so that memory is asked for once.
const estimateAfter = 4096

func (b *builder) reserve(begin, end int64) {
	b.reserved = true
	if b.bits == 0 {
		return // no entry has a record
	}
	each := max((b.t.offset()-begin)/int64(b.count), 1)
	n := min((end-begin)/each*102/100+estimateAfter, int64(b.limits.Entries))
	b.records = slices.Grow(b.records, recordSize*int(n)-len(b.records))
}

// run adds the entries of the usual form that lie before the tape, until one has another form or the window ends.
func (b *builder) run(end int64) {
	if !b.v2 {
		return // the usual form has extensions
	}
	t := b.t
	window := t.window
	if left := end - t.base; left < int64(len(window)) {
		window = window[:left]
	}
	pos := t.pos
	records, buckets := b.records, b.buckets
	limit := uint64(len(buckets)) << bucketBits
	last, unsorted, count := b.last, b.unsorted, b.count
	most := b.limits.Entries
	if !b.reserved {
		most = min(most, estimateAfter)
	}
	for pos+fastMost <= len(window) && count < most {
		size, serial, date, reason := fast(window[pos:])
		if size == 0 || serial >= limit {
			break
		}
		age := b.thisUp - int64(date)
		if uint64(age) >= 1<<ageBits {
			break
		}
		records = binary.LittleEndian.AppendUint64(records, serial<<serialShift|uint64(reason)<<ageBits|uint64(age))
		buckets[serial>>bucketBits]++
		unsorted = unsorted || serial < last
		last = serial
		pos += size
		count++
	}
	t.pos, b.records, b.last, b.unsorted, b.count = pos, records, last, unsorted, count
}

// addEntry adds one entry of any form.
func (b *builder) addEntry(e Entry) error {
	if b.count >= b.limits.Entries {
		return refuse(CodeLimit, "more entries than may be")
	}
	b.count++
	if !e.Issuer.IsEmpty() {
		b.named = true
	}
	if e.Reason == pkix.RemoveFromCRL {
		return refuse(CodeReason, "removeFromCRL outside of a delta")
	}
	serial, small := smallSerial(e.Serial)
	age := b.info.ThisUpdate.Unix() - e.Date.Unix()
	if small && serial < uint64(len(b.buckets))<<bucketBits && uint64(age) < 1<<ageBits {
		b.records = binary.LittleEndian.AppendUint64(b.records, serial<<serialShift|uint64(e.Reason)<<ageBits|uint64(age))
		b.buckets[serial>>bucketBits]++
		b.unsorted = b.unsorted || serial < b.last
		b.last = serial
		return nil
	}
	if len(b.overflow)/overflowSize >= b.limits.Overflow {
		return refuse(CodeLimit, "more entries outside of the bitmap than may be")
	}
	var record [overflowSize]byte
	copy(record[maxSerial-len(e.Serial):], e.Serial)
	record[maxSerial] = byte(e.Reason)
	binary.LittleEndian.PutUint64(record[24:], uint64(e.Date.Unix()))
	b.overflow = append(b.overflow, record[:]...)
	return nil
}

// smallSerial is the value of a positive serial that has at most 32 bits.
func smallSerial(content []byte) (uint64, bool) {
	if len(content) == 4 { // as nearly all are
		v := binary.BigEndian.Uint32(content)
		return uint64(v), v < 1<<31
	}
	if len(content) > 5 {
		return 0, false
	}
	var v uint64
	for _, c := range content {
		v = v<<8 | uint64(c)
	}
	return v, v < 1<<32 && len(content) > 0 && content[0] < 0x80
}

// located adds to a refusal the place of the entry that it is about.
func located(err error, at int64) error {
	var e *Error
	if errors.As(err, &e) && e.Offset < 0 {
		e.Offset = at
	}
	return err
}

// finish puts in order what was collected, makes the bitmap of it, and refuses a serial that came twice.
func (b *builder) finish(key *pkix.PublicKey) (*Set, error) {
	s := &Set{bits: b.bits, records: b.records, overflow: b.overflow, key: key.Raw, info: b.info, extensions: b.exts}
	s.info.EntryCount = b.count
	if err := sortOverflow(s.overflow); err != nil {
		return nil, err
	}
	if b.bits == 0 {
		return s, nil
	}
	s.bitmap = make([]byte, 1<<b.bits/8)
	s.starts = make([]byte, 4*len(b.buckets)+4)
	n := uint32(0)
	for i, size := range b.buckets {
		binary.LittleEndian.PutUint32(s.starts[4*i:], n)
		n += size
	}
	binary.LittleEndian.PutUint32(s.starts[4*len(b.buckets):], n)
	return s, s.arrange(b.unsorted)
}
