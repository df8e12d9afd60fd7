package crl

import (
	"encoding/binary"
	"math/bits"
)

// An entry of a list of national size is nearly always the same 30 to 40 octets: a serial of up to five octets, a UTCTime, and at most a reason.
// This file reads that form without a loop. Whatever looks different in any octet is left to readEntry, so that there is one place that refuses.

// fastMost is how many octets fast looks at, at most.
const fastMost = 64

// What a UTCTime's header is, and the octets between date and reason: SEQUENCE { SEQUENCE { id-ce-cRLReasons, OCTET STRING { ENUMERATED.
const (
	timeHeader   = 0x170d
	reasonOctets = 14
	reasonFirst  = 0x300c300a0603551d // 30 0c 30 0a 06 03 55 1d
	reasonSecond = 0x0603551d1504030a // 06 03 55 1d 15 04 03 0a, beginning at the fifth octet
)

// fast reads the entry that begins e, if it has the usual form: how many octets it takes (0 if it hasn't), its serial, its date in seconds since
// 1950, and its reason. At least fastMost octets of e can be read.
func fast(b []byte) (size int, serial uint64, date uint32, reason byte) {
	e := (*[fastMost]byte)(b)
	n := int(e[3])
	if e[0] != 0x30 || e[2] != 0x02 || n-1 > 4 || n == 0 {
		return 0, 0, 0, 0
	}
	serial = binary.BigEndian.Uint64(e[4:]) >> (64 - 8*n)
	// DER: the first octet isn't negative, and it is zero only to keep the second from being so. A serial isn't zero.
	if e[4] >= 0x80 || serial == 0 || n > 1 && bits.Len64(serial) < 8*(n-1) {
		return 0, 0, 0, 0
	}
	rest := (*[32]byte)(e[4+n:])
	date, ok := seconds((*[13]byte)(rest[2:]))
	if !ok || binary.BigEndian.Uint16(rest[:]) != timeHeader {
		return 0, 0, 0, 0
	}
	switch size = 4 + n + 15; int(e[1]) + 2 - size {
	case 0:
		return size, serial, date, 0
	case reasonOctets:
		reason = rest[28]
		// 7 isn't a reason; 8 takes from a list, and has a meaning in a delta alone.
		if binary.BigEndian.Uint64(rest[15:]) != reasonFirst || binary.BigEndian.Uint64(rest[19:]) != reasonSecond || rest[27] != 1 ||
			reason > 10 || reason == 7 || reason == 8 {
			return 0, 0, 0, 0
		}
		return size + reasonOctets, serial, date, reason
	}
	return 0, 0, 0, 0
}

// era is the beginning of the century of UTCTime: 1950-01-01, in seconds of Unix time.
const era = -631152000

// monthDays holds, for each month from 1950 to 2049, days since the era << 8 and the month's length.
var monthDays = func() (table [100 * 16]uint32) {
	days := uint32(0)
	for i := range 100 {
		year := 1950 + i
		for m, length := range []uint32{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31} {
			if m == 1 && year%4 == 0 { // 2000 is a leap year
				length = 29
			}
			table[year%100*16+m+1] = days<<8 | length
			days += length
		}
	}
	return table
}()

// seconds reads YYMMDDHHMMSSZ: seconds since 1950.
func seconds(t *[13]byte) (uint32, bool) {
	// Two digits in two octets become a number in one, in all places at once.
	a := binary.LittleEndian.Uint64(t[:]) ^ 0x3030303030303030
	b := uint64(binary.LittleEndian.Uint32(t[8:])) ^ 0x30303030
	if (a|(a+0x0606060606060606)|b|(b+0x06060606))&0xf0f0f0f0f0f0f0f0 != 0 || t[12] != 'Z' {
		return 0, false
	}
	a = a*10 + a>>8
	b = b*10 + b>>8
	year, month, day, hour := a&0xff, a>>16&0xff, a>>32&0xff, a>>48&0xff
	minute, second := b&0xff, b>>16&0xff
	if month > 12 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	m := monthDays[year*16+month]
	if day-1 >= uint64(m&0xff) { // of month 0 the length is 0
		return 0, false
	}
	return (m>>8+uint32(day)-1)*86400 + uint32(hour)*3600 + uint32(minute)*60 + uint32(second), true
}
