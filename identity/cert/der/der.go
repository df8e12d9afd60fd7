package der

import (
	"errors"
	"fmt"
)

// Identifier octets that certificates, lists and OCSP answers are made of (X.690, 8.1.2).
const (
	Boolean         = 0x01
	Integer         = 0x02
	BitString       = 0x03
	OctetString     = 0x04
	Null            = 0x05
	OID             = 0x06
	Enumerated      = 0x0a
	UTF8String      = 0x0c
	NumericString   = 0x12
	PrintableString = 0x13
	TeletexString   = 0x14
	IA5String       = 0x16
	UTCTime         = 0x17
	GeneralizedTime = 0x18
	VisibleString   = 0x1a
	UniversalString = 0x1c
	BMPString       = 0x1e
	Sequence        = 0x30
	Set             = 0x31
)

// Context is the identifier octet of a primitive context-specific tag, [n] IMPLICIT of a primitive type.
func Context(n byte) byte { return 0x80 | n }

// Constructed is the identifier octet of a constructed context-specific tag, [n] EXPLICIT, or [n] IMPLICIT of a SEQUENCE.
func Constructed(n byte) byte { return 0xa0 | n }

// What can be wrong with an encoding. Every error of this package is one of them, told apart by errors.Is.
var (
	ErrTruncated = errors.New("the encoding ends too early")
	ErrLength    = errors.New("a length is indefinite or not in its shortest form: BER, not DER")
	ErrTag       = errors.New("another tag is expected here")
	ErrTrailing  = errors.New("bytes follow where the value must end")
	ErrBoolean   = errors.New("a BOOLEAN is neither 00 nor FF: BER, not DER")
	ErrInteger   = errors.New("an INTEGER is empty, not in its shortest form, or out of range")
	ErrBitString = errors.New("a BIT STRING's padding is not DER")
	ErrOID       = errors.New("an OBJECT IDENTIFIER is not in its shortest form")
	ErrTime      = errors.New("a time is not in one of the two forms that RFC 5280 4.1.2.5 allows")
	ErrDefault   = errors.New("a default value is written out: BER, not DER")
	ErrOrder     = errors.New("the elements of a SET OF are not in order: BER, not DER")
	ErrDepth     = errors.New("the encoding is nested too deeply")
	ErrString    = errors.New("a string holds what its type doesn't allow")
)

// Reader is a cursor over DER. The zero value is at the end.
type Reader struct{ rest []byte }

// NewReader reads b, which must not change meanwhile. The slices that a Reader returns point into b.
func NewReader(b []byte) Reader { return Reader{b} }

// Empty tells whether everything was read.
func (r *Reader) Empty() bool { return len(r.rest) == 0 }

// Rest is what wasn't read yet.
func (r *Reader) Rest() []byte { return r.rest }

// End is ErrTrailing unless everything was read.
func (r *Reader) End() error {
	if len(r.rest) != 0 {
		return ErrTrailing
	}
	return nil
}

// Peek tells whether the next element has that identifier octet.
func (r *Reader) Peek(tag byte) bool { return len(r.rest) > 0 && r.rest[0] == tag }

// Next reads one element of any tag: its identifier octet, its content, and the whole of it.
func (r *Reader) Next() (tag byte, content, whole []byte, err error) {
	tag, header, length, err := Header(r.rest)
	if err != nil {
		return 0, nil, nil, err
	}
	if length > uint64(len(r.rest)-header) {
		return 0, nil, nil, ErrTruncated
	}
	end := header + int(length)
	whole = r.rest[:end:end]
	r.rest = r.rest[end:]
	return tag, whole[header:], whole, nil
}

// Header reads the identifier and length octets at the beginning of b, which need not hold the content: how many octets they take, and how many
// octets the content has. It is what streaming readers use; the length is a claim of the input, to be checked against what there is.
func Header(b []byte) (tag byte, header int, length uint64, err error) {
	if len(b) < 2 {
		return 0, 0, 0, ErrTruncated
	}
	tag = b[0]
	if tag&0x1f == 0x1f {
		return 0, 0, 0, ErrTag
	}
	first := b[1]
	if first < 0x80 {
		return tag, 2, uint64(first), nil
	}
	n := int(first & 0x7f)
	if n == 0 || n > 8 {
		return 0, 0, 0, ErrLength
	}
	if len(b) < 2+n {
		return 0, 0, 0, ErrTruncated
	}
	for _, c := range b[2 : 2+n] {
		length = length<<8 | uint64(c)
	}
	if b[2] == 0 || length < 0x80 || length > 1<<62 {
		return 0, 0, 0, ErrLength
	}
	return tag, 2 + n, length, nil
}

// Read reads one element, which must have that identifier octet, and returns its content.
func (r *Reader) Read(tag byte) ([]byte, error) {
	content, _, err := r.ReadWhole(tag)
	return content, err
}

// ReadWhole is Read that also returns the whole element, identifier and length included.
func (r *Reader) ReadWhole(tag byte) (content, whole []byte, err error) {
	if len(r.rest) > 0 && r.rest[0] != tag {
		return nil, nil, wrongTag(tag, r.rest[0])
	}
	_, content, whole, err = r.Next()
	return content, whole, err
}

// Enter reads one element, which must have that identifier octet, and returns a Reader of its content.
func (r *Reader) Enter(tag byte) (Reader, error) {
	content, err := r.Read(tag)
	return Reader{content}, err
}

// Optional is Read of an element that may be missing.
func (r *Reader) Optional(tag byte) (content []byte, present bool, err error) {
	if !r.Peek(tag) {
		return nil, false, nil
	}
	content, err = r.Read(tag)
	return content, err == nil, err
}

func wrongTag(want, got byte) error {
	return fmt.Errorf("%w (tag %#02x, found %#02x)", ErrTag, want, got)
}

// Whole reads b as exactly one element with that identifier octet: nothing may follow it.
func Whole(b []byte, tag byte) (Reader, error) {
	r := Reader{b}
	inner, err := r.Enter(tag)
	if err != nil {
		return Reader{}, err
	}
	return inner, r.End()
}
