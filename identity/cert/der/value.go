package der

import (
	"bytes"
	"math/big"
	"time"
	"unicode/utf8"
)

// Bool reads a BOOLEAN (X.690, 11.1).
func (r *Reader) Bool() (bool, error) {
	b, err := r.Read(Boolean)
	if err != nil {
		return false, err
	}
	return ParseBool(b)
}

// DefaultFalse reads a BOOLEAN DEFAULT FALSE, which may be missing and, in DER, is never written out as FALSE (X.690, 11.5).
func (r *Reader) DefaultFalse(tag byte) (bool, error) {
	b, present, err := r.Optional(tag)
	if !present || err != nil {
		return false, err
	}
	v, err := ParseBool(b)
	if err == nil && !v {
		err = ErrDefault
	}
	return v, err
}

// ParseBool reads the content of a BOOLEAN.
func ParseBool(content []byte) (bool, error) {
	if len(content) != 1 || content[0] != 0 && content[0] != 0xff {
		return false, ErrBoolean
	}
	return content[0] != 0, nil
}

// Integer reads an INTEGER of any size and returns its content: two's complement, big endian, minimal.
func (r *Reader) Integer() ([]byte, error) {
	b, err := r.Read(Integer)
	if err != nil {
		return nil, err
	}
	return b, CheckInteger(b)
}

// CheckInteger refuses the content of an INTEGER or ENUMERATED that is empty or longer than it must be (X.690, 8.3.2).
func CheckInteger(content []byte) error {
	if len(content) == 0 {
		return ErrInteger
	}
	if len(content) > 1 && (content[0] == 0 && content[1] < 0x80 || content[0] == 0xff && content[1] >= 0x80) {
		return ErrInteger
	}
	return nil
}

// Small reads an INTEGER between 0 and limit.
func (r *Reader) Small(limit int) (int, error) {
	b, err := r.Read(Integer)
	if err != nil {
		return 0, err
	}
	return ParseSmall(b, limit)
}

// ParseSmall reads the content of an INTEGER or ENUMERATED between 0 and limit.
func ParseSmall(content []byte, limit int) (int, error) {
	if err := CheckInteger(content); err != nil {
		return 0, err
	}
	if content[0] >= 0x80 || len(content) > 5 {
		return 0, ErrInteger
	}
	var v uint64
	for _, c := range content {
		v = v<<8 | uint64(c)
	}
	if v > uint64(limit) {
		return 0, ErrInteger
	}
	return int(v), nil
}

// Big is the value of an INTEGER's content.
func Big(content []byte) *big.Int {
	v := new(big.Int).SetBytes(content)
	if len(content) > 0 && content[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(content))))
	}
	return v
}

// BitString reads a BIT STRING and returns its octets and the number of unused bits in the last one, which must be zero (X.690, 11.2.1).
func (r *Reader) BitString() (octets []byte, unused int, err error) {
	b, err := r.Read(BitString)
	if err != nil {
		return nil, 0, err
	}
	return ParseBitString(b)
}

// ParseBitString reads the content of a BIT STRING.
func ParseBitString(content []byte) (octets []byte, unused int, err error) {
	if len(content) == 0 || content[0] > 7 {
		return nil, 0, ErrBitString
	}
	octets, unused = content[1:], int(content[0])
	if unused > 0 && (len(octets) == 0 || octets[len(octets)-1]&(1<<unused-1) != 0) {
		return nil, 0, ErrBitString
	}
	return octets, unused, nil
}

// Octets reads a BIT STRING that holds whole octets, as signatures and keys do.
func (r *Reader) Octets() ([]byte, error) {
	b, unused, err := r.BitString()
	if err == nil && unused != 0 {
		err = ErrBitString
	}
	return b, err
}

// ParseNamedBits reads the content of a BIT STRING with named bits, of which at most 16 are kept; bit 0 is the least significant of the result.
// DER leaves out zero bits at the end (X.690, 11.2.2).
func ParseNamedBits(content []byte) (uint16, error) {
	octets, unused, err := ParseBitString(content)
	if err != nil {
		return 0, err
	}
	if len(octets) > 0 && octets[len(octets)-1]&(1<<unused) == 0 {
		return 0, ErrBitString
	}
	var v uint16
	for i := range min(8*len(octets), 16) {
		if octets[i/8]&(0x80>>(i%8)) != 0 {
			v |= 1 << i
		}
	}
	return v, nil
}

// ObjectID reads an OBJECT IDENTIFIER and returns its content.
func (r *Reader) ObjectID() ([]byte, error) {
	b, err := r.Read(OID)
	if err != nil {
		return nil, err
	}
	return b, CheckObjectID(b)
}

// CheckObjectID refuses the content of an OBJECT IDENTIFIER that is empty, cut off, or has a sub-identifier with leading zeros or of more than 63
// bits (X.690, 8.19.2).
func CheckObjectID(content []byte) error {
	if len(content) == 0 || content[len(content)-1] >= 0x80 {
		return ErrOID
	}
	start := 0
	for i, c := range content {
		if i == start && c == 0x80 || i-start >= 9 {
			return ErrOID
		}
		if c < 0x80 {
			start = i + 1
		}
	}
	return nil
}

// Time reads a Time: UTCTime or GeneralizedTime, both with seconds, in Zulu, without fractions. RFC 5280 4.1.2.5 obliges issuers to write UTCTime
// until 2049; readers take a GeneralizedTime of any year, since it means the same.
func (r *Reader) Time() (time.Time, error) {
	if r.Peek(GeneralizedTime) {
		return r.Generalized()
	}
	b, err := r.Read(UTCTime)
	if err != nil {
		return time.Time{}, err
	}
	return ParseUTCTime(b)
}

// Generalized reads a GeneralizedTime, the only form that OCSP has.
func (r *Reader) Generalized() (time.Time, error) {
	b, err := r.Read(GeneralizedTime)
	if err != nil {
		return time.Time{}, err
	}
	return ParseGeneralized(b)
}

// ParseUTCTime reads the content YYMMDDHHMMSSZ of a UTCTime: 1950 to 2049.
func ParseUTCTime(content []byte) (time.Time, error) {
	if len(content) != 13 {
		return time.Time{}, ErrTime
	}
	year := two(content)
	if year < 0 {
		return time.Time{}, ErrTime
	}
	if year >= 50 {
		return rest(1900+year, content[2:])
	}
	return rest(2000+year, content[2:])
}

// ParseGeneralized reads the content YYYYMMDDHHMMSSZ of a GeneralizedTime.
func ParseGeneralized(content []byte) (time.Time, error) {
	if len(content) != 15 {
		return time.Time{}, ErrTime
	}
	century, year := two(content), two(content[2:])
	if century < 0 || year < 0 {
		return time.Time{}, ErrTime
	}
	return rest(100*century+year, content[4:])
}

func rest(year int, b []byte) (time.Time, error) {
	month, day, hour, minute, second := two(b), two(b[2:]), two(b[4:]), two(b[6:]), two(b[8:])
	if b[10] != 'Z' || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return time.Time{}, ErrTime
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if t.Day() != day {
		return time.Time{}, ErrTime
	}
	return t, nil
}

func two(b []byte) int {
	if b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9' {
		return -1
	}
	return int(b[0]-'0')*10 + int(b[1]-'0')
}

// Check walks the one element that b is and refuses what isn't DER in any part of it, down to depth levels: lengths, primitive strings, integers,
// booleans, identifiers, the order of SET OF. The contents of OCTET STRINGs, BIT STRINGs and primitive context-specific tags are opaque.
func Check(b []byte, depth int) error {
	r := Reader{b}
	if err := r.check(depth); err != nil {
		return err
	}
	return r.End()
}

func (r *Reader) check(depth int) error {
	tag, content, _, err := r.Next()
	if err != nil {
		return err
	}
	if tag&0x20 == 0 {
		return checkPrimitive(tag, content)
	}
	if tag < 0x80 && tag != Sequence && tag != Set {
		return ErrTag // a constructed string: BER
	}
	if depth == 0 {
		return ErrDepth
	}
	inner := Reader{content}
	var before []byte
	for !inner.Empty() {
		start := inner.rest
		if err := inner.check(depth - 1); err != nil {
			return err
		}
		if tag == Set {
			this := start[:len(start)-len(inner.rest)]
			if before != nil && bytes.Compare(before, this) > 0 {
				return ErrOrder
			}
			before = this
		}
	}
	return nil
}

func checkPrimitive(tag byte, content []byte) error {
	switch tag {
	case Boolean:
		_, err := ParseBool(content)
		return err
	case Integer, Enumerated:
		return CheckInteger(content)
	case BitString:
		_, _, err := ParseBitString(content)
		return err
	case Null:
		if len(content) != 0 {
			return ErrLength
		}
	case OID:
		return CheckObjectID(content)
	case UTF8String:
		if !utf8.Valid(content) {
			return ErrString
		}
	case IA5String, VisibleString, NumericString, PrintableString:
		for _, c := range content {
			if c >= 0x80 {
				return ErrString
			}
		}
	case BMPString:
		if len(content)%2 != 0 {
			return ErrString
		}
	case UniversalString:
		if len(content)%4 != 0 {
			return ErrString
		}
	case Sequence &^ 0x20, Set &^ 0x20, 0:
		return ErrTag
	}
	return nil
}
