package crl

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"
)

// arrange makes the bitmap and puts the records in the order of serials. It works bucket by bucket, so that what it touches stays in the cache:
// setting bits as entries come would wait for memory at each of them, in a list that isn't ordered by serial.
func (s *Set) arrange(unsorted bool) error {
	if unsorted {
		s.distribute()
	}
	scratch := make([]uint64, 0, 4096)
	for i := range len(s.starts)/4 - 1 {
		from, to := s.start(i), s.start(i+1)
		if from == to {
			continue
		}
		part := s.bitmap[i<<bucketBits/8 : (i+1)<<bucketBits/8]
		records := s.records[recordSize*from : recordSize*to]
		for at := 0; at < len(records); at += recordSize {
			low := binary.LittleEndian.Uint64(records[at:]) >> serialShift & (1<<bucketBits - 1)
			cell, bit := &part[low>>3], byte(1)<<(low&7)
			if *cell&bit != 0 {
				return refuse(CodeDuplicate, "")
			}
			*cell |= bit
		}
		if unsorted {
			scratch = rank(part, records, scratch)
		}
	}
	// Serials that belong into the bitmap, with dates that don't fit a record.
	o := overflowRecords(s.overflow)
	for i := range o.Len() {
		v, small := smallSerial(integer(o.at(i)[:maxSerial]))
		if !small || v>>3 >= uint64(len(s.bitmap)) {
			break // the overflow is ordered
		}
		cell, bit := &s.bitmap[v>>3], byte(1)<<(v&7)
		if *cell&bit != 0 {
			return refuse(CodeDuplicate, "")
		}
		*cell |= bit
	}
	return nil
}

// start is which record is the first of a bucket.
func (s *Set) start(bucket int) int { return int(binary.LittleEndian.Uint32(s.starts[4*bucket:])) }

// distribute brings each record into its bucket, in place (an American flag sort): a second copy would be the largest thing in memory.
func (s *Set) distribute() {
	next := make([]uint32, len(s.starts)/4-1)
	for i := range next {
		next[i] = uint32(s.start(i))
	}
	for i := range next {
		end := uint32(s.start(i + 1))
		for next[i] < end {
			at := s.records[recordSize*int(next[i]):]
			r := binary.LittleEndian.Uint64(at)
			for to := r >> (serialShift + bucketBits); to != uint64(i); to = r >> (serialShift + bucketBits) {
				there := s.records[recordSize*int(next[to]):]
				next[to]++
				held := binary.LittleEndian.Uint64(there)
				binary.LittleEndian.PutUint64(there, r)
				r = held
			}
			binary.LittleEndian.PutUint64(at, r)
			next[i]++
		}
	}
}

// rank orders the records of one bucket by counting the bits before each. It returns its memory, to be used again.
func rank(part, records []byte, scratch []uint64) []uint64 {
	var before [1 << bucketBits / 64]uint32
	ones := uint32(0)
	for i := range before {
		before[i] = ones
		ones += uint32(bits.OnesCount64(binary.LittleEndian.Uint64(part[8*i:])))
	}
	n := len(records) / recordSize
	scratch = slices.Grow(scratch[:0], n)[:n]
	for i := range n {
		r := binary.LittleEndian.Uint64(records[recordSize*i:])
		low := r >> serialShift & (1<<bucketBits - 1)
		word := binary.LittleEndian.Uint64(part[low>>6<<3:])
		scratch[before[low>>6]+uint32(bits.OnesCount64(word&(1<<(low&63)-1)))] = r
	}
	for i, r := range scratch {
		binary.LittleEndian.PutUint64(records[recordSize*i:], r)
	}
	return scratch
}

// overflowRecords orders records of the overflow by serial.
type overflowRecords []byte

func (o overflowRecords) Len() int { return len(o) / overflowSize }

func (o overflowRecords) at(i int) []byte { return o[overflowSize*i : overflowSize*i+overflowSize] }

func (o overflowRecords) Less(i, j int) bool {
	return bytes.Compare(o.at(i)[:maxSerial], o.at(j)[:maxSerial]) < 0
}

func (o overflowRecords) Swap(i, j int) {
	var held [overflowSize]byte
	copy(held[:], o.at(i))
	copy(o.at(i), o.at(j))
	copy(o.at(j), held[:])
}

// sortOverflow orders the overflow and refuses a serial that is there twice.
func sortOverflow(overflow []byte) error {
	o := overflowRecords(overflow)
	sort.Sort(o)
	for i := 1; i < o.Len(); i++ {
		if bytes.Equal(o.at(i - 1)[:maxSerial], o.at(i)[:maxSerial]) {
			return refuse(CodeDuplicate, "")
		}
	}
	return nil
}
