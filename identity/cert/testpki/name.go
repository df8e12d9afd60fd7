package testpki

import (
	"bytes"
	"slices"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

func mustOID(dotted string) pkix.OID {
	o, err := pkix.ParseOID(dotted)
	if err != nil {
		panic(err)
	}
	return o
}

var attributes = map[string]pkix.OID{
	"C": mustOID("2.5.4.6"), "O": mustOID("2.5.4.10"), "OU": mustOID("2.5.4.11"), "CN": mustOID("2.5.4.3"), "L": mustOID("2.5.4.7"),
}

// Attribute is one relative name: C, O, OU, L or CN and its value. C is a PrintableString, all others are UTF8Strings, as in JPKI.
type Attribute struct{ Type, Value string }

// Name is the DER of a distinguished name.
func Name(attrs ...Attribute) []byte {
	parts := make([][]byte, 0, len(attrs))
	for _, a := range attrs {
		parts = append(parts, rdn(a))
	}
	return der.Wrap(der.Sequence, parts...)
}

// Below is the DER of name with more relative names at its end.
func Below(name []byte, attrs ...Attribute) []byte {
	r := der.NewReader(name)
	in, err := r.Enter(der.Sequence)
	if err != nil {
		panic("testpki: not a name")
	}
	parts := [][]byte{in.Rest()}
	for _, a := range attrs {
		parts = append(parts, rdn(a))
	}
	return der.Wrap(der.Sequence, parts...)
}

func rdn(a Attribute) []byte {
	kind, known := attributes[a.Type]
	if !known {
		panic("testpki: attribute " + a.Type)
	}
	text := byte(der.UTF8String)
	if a.Type == "C" {
		text = der.PrintableString
	}
	return der.Wrap(der.Set, der.Wrap(der.Sequence, oid(kind), der.Wrap(text, []byte(a.Value))))
}

// directoryName is name as a GeneralName.
func directoryName(name []byte) []byte { return der.Wrap(der.Constructed(4), name) }

// integer is the DER of an INTEGER with these content octets, whatever they are.
func integer(content ...byte) []byte { return der.Wrap(der.Integer, content) }

// Serial is the content octets of the INTEGER n.
func Serial(n uint64) []byte {
	out := []byte{byte(n)}
	for n >>= 8; n > 0; n >>= 8 {
		out = append(out, byte(n))
	}
	if out[len(out)-1]&0x80 != 0 {
		out = append(out, 0)
	}
	slices.Reverse(out)
	return bytes.Clone(out)
}
