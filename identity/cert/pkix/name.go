package pkix

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"sort"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// Bounds on names: what a certificate of any known authority stays far below.
const (
	maxRDNs       = 64
	maxAttributes = 16 // in one RDN
)

// Name is a distinguished name: the DER of its RDNSequence. The zero value is no name; Empty is the empty sequence.
type Name struct{ Raw []byte }

// ParseName reads one RDNSequence and checks its form (RFC 5280, 4.1.2.4); nothing may follow it.
func ParseName(raw []byte) (Name, error) {
	r := der.NewReader(raw)
	n, err := readName(&r)
	if err == nil {
		err = r.End()
	}
	return n, err
}

// ReadName reads the RDNSequence that comes next.
func ReadName(r *der.Reader) (Name, error) { return readName(r) }

func readName(r *der.Reader) (Name, error) {
	content, whole, err := r.ReadWhole(der.Sequence)
	if err != nil {
		return Name{}, err
	}
	rdns := der.NewReader(content)
	for n := 0; !rdns.Empty(); n++ {
		if n == maxRDNs {
			return Name{}, malformed("name", "more than %d relative names", maxRDNs)
		}
		rdn, err := rdns.Enter(der.Set)
		if err != nil {
			return Name{}, err
		}
		if err := checkRDN(rdn); err != nil {
			return Name{}, err
		}
	}
	return Name{whole}, nil
}

func checkRDN(rdn der.Reader) error {
	if rdn.Empty() {
		return malformed("name", "an empty relative name")
	}
	var before []byte
	for n := 0; !rdn.Empty(); n++ {
		if n == maxAttributes {
			return malformed("name", "more than %d attributes in one relative name", maxAttributes)
		}
		content, whole, err := rdn.ReadWhole(der.Sequence)
		if err != nil {
			return err
		}
		if before != nil && bytes.Compare(before, whole) > 0 {
			return der.ErrOrder
		}
		before = whole
		a := der.NewReader(content)
		if _, err := a.ObjectID(); err != nil {
			return err
		}
		if _, _, _, err := a.Next(); err != nil {
			return err
		}
		if err := a.End(); err != nil {
			return err
		}
	}
	return nil
}

// IsEmpty tells whether the name has no relative names, or is the zero value.
func (n Name) IsEmpty() bool { return len(n.Raw) <= 2 }

// Equal compares as RFC 5280 7.1 says: attribute by attribute, strings after preparation (case, width and spaces don't count; the string type
// doesn't either), everything else octet by octet. Two names that can't be prepared are equal only if their octets are.
func (n Name) Equal(o Name) bool {
	if bytes.Equal(n.Raw, o.Raw) {
		return true
	}
	if n.Raw == nil || o.Raw == nil {
		return false
	}
	mine, err := der.Whole(n.Raw, der.Sequence)
	theirs, err2 := der.Whole(o.Raw, der.Sequence)
	if err != nil || err2 != nil {
		return false
	}
	for !mine.Empty() && !theirs.Empty() {
		a, rawA, errA := mine.ReadWhole(der.Set)
		b, rawB, errB := theirs.ReadWhole(der.Set)
		if errA != nil || errB != nil {
			return false
		}
		if !bytes.Equal(rawA, rawB) && !equalRDN(a, b) {
			return false
		}
	}
	return mine.Empty() && theirs.Empty()
}

// equalRDN compares the contents of two relative names; what it says is what comparing their canonical forms would say.
func equalRDN(a, b []byte) bool {
	ra, rb := der.NewReader(a), der.NewReader(b)
	if ra.Empty() || rb.Empty() {
		return len(a) == len(b)
	}
	idA, tagA, textA, errA := readAttribute(&ra)
	idB, tagB, textB, errB := readAttribute(&rb)
	if errA != nil || errB != nil {
		return false
	}
	if ra.Empty() && rb.Empty() {
		if !bytes.Equal(idA, idB) {
			return false
		}
		if same, ok := equalASCII(tagA, textA, tagB, textB); ok {
			return same
		}
	}
	return canonicalRDN(der.NewReader(a)) == canonicalRDN(der.NewReader(b))
}

func readAttribute(rdn *der.Reader) (id []byte, tag byte, value []byte, err error) {
	a, err := rdn.Enter(der.Sequence)
	if err != nil {
		return nil, 0, nil, err
	}
	if id, err = a.ObjectID(); err != nil {
		return nil, 0, nil, err
	}
	tag, value, _, err = a.Next()
	return id, tag, value, err
}

// equalASCII compares two strings whose characters are all printable ASCII, as most are: the quick way to what prepare says. ok is false if they
// aren't.
func equalASCII(tagA byte, a []byte, tagB byte, b []byte) (same, ok bool) {
	if !asciiType(tagA) || !asciiType(tagB) || !printable(a) || !printable(b) {
		return false, false
	}
	a, b = bytes.Trim(a, " "), bytes.Trim(b, " ")
	for len(a) > 0 && len(b) > 0 {
		ca, cb := lower(a[0]), lower(b[0])
		if ca != cb {
			return false, true
		}
		a, b = a[1:], b[1:]
		if ca == ' ' {
			a, b = bytes.TrimLeft(a, " "), bytes.TrimLeft(b, " ")
		}
	}
	return len(a) == len(b), true
}

func asciiType(tag byte) bool {
	switch tag {
	case der.UTF8String, der.PrintableString, der.IA5String, der.VisibleString, der.NumericString, der.TeletexString:
		return true
	}
	return false
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Canonical is a string that is the same for two names exactly if they are equal: a key for maps, not for people.
func (n Name) Canonical() string { return strings.Join(n.CanonicalRDNs(), "") }

// Within tells whether n is o or below it in the tree of names, as directoryName constraints mean it (RFC 5280, 4.2.1.10): o's relative names
// are the first ones of n.
func (n Name) Within(o Name) bool {
	mine, theirs := n.CanonicalRDNs(), o.CanonicalRDNs()
	if len(mine) < len(theirs) {
		return false
	}
	for i := range theirs {
		if mine[i] != theirs[i] {
			return false
		}
	}
	return true
}

// With is n with one more relative name, a whole SET, as nameRelativeToCRLIssuer means it (RFC 5280, 4.2.1.13).
func (n Name) With(rdn []byte) (Name, error) {
	r, err := der.Whole(n.Raw, der.Sequence)
	if err != nil {
		return Name{}, err
	}
	return ParseName(der.Wrap(der.Sequence, r.Rest(), rdn))
}

// CanonicalRDNs is Canonical relative name by relative name, for those who compare beginnings of names often.
func (n Name) CanonicalRDNs() []string {
	var out []string
	rdns, err := der.Whole(n.Raw, der.Sequence)
	if err != nil {
		return nil
	}
	for !rdns.Empty() {
		rdn, err := rdns.Enter(der.Set)
		if err != nil {
			return []string{"malformed", string(n.Raw)}
		}
		out = append(out, canonicalRDN(rdn))
	}
	return out
}

func canonicalRDN(rdn der.Reader) string {
	raw := rdn.Rest()
	var attributes []string
	for !rdn.Empty() {
		a, err := rdn.Enter(der.Sequence)
		if err != nil {
			return "malformed" + string(raw)
		}
		id, _ := a.ObjectID()
		tag, content, whole, err := a.Next()
		if err != nil {
			return "malformed" + string(raw)
		}
		key := counted(nil, id)
		if text, ok := decodeString(tag, content); ok {
			key = counted(append(key, 't'), []byte(prepare(text)))
		} else {
			key = counted(append(key, 'r'), whole)
		}
		attributes = append(attributes, string(key))
	}
	sort.Strings(attributes)
	joined := strings.Join(attributes, "")
	return string(counted(nil, []byte(joined)))
}

func counted(out, b []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(b)))
	return append(out, b...)
}

// decodeString turns the string types of a DirectoryString, and IA5String, into text. In a TeletexString only ASCII is text: nobody agrees what its octets
// above 127 mean.
func decodeString(tag byte, b []byte) (string, bool) {
	switch tag {
	case der.UTF8String:
		return string(b), utf8.Valid(b)
	case der.PrintableString, der.IA5String, der.VisibleString, der.NumericString, der.TeletexString:
		for _, c := range b {
			if c >= 0x80 {
				return "", false
			}
		}
		return string(b), true
	case der.BMPString:
		if len(b)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(b[2*i:])
		}
		text := string(utf16.Decode(units))
		return text, !strings.ContainsRune(text, utf8.RuneError)
	case der.UniversalString:
		if len(b)%4 != 0 {
			return "", false
		}
		var text []rune
		for i := 0; i < len(b); i += 4 {
			c := binary.BigEndian.Uint32(b[i:])
			if c > utf8.MaxRune || !utf8.ValidRune(rune(c)) {
				return "", false
			}
			text = append(text, rune(c))
		}
		return string(text), true
	}
	return "", false
}

// prepare is the string preparation of RFC 4518 as RFC 5280 7.1 uses it: map, fold the case, normalize (KC), drop insignificant spaces.
func prepare(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= 0x80 || s[i] < 0x20 || s[i] == 0x7f {
			ascii = false
			break
		}
	}
	if ascii {
		return spaces(strings.ToLower(s))
	}
	mapped := strings.Map(func(c rune) rune {
		switch {
		case c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r' || c == 0x85:
			return ' '
		case c < 0x20 || c >= 0x7f && c <= 0x9f:
			return -1
		case c == 0xad || c == 0x34f || c == 0x1806 || c >= 0x180b && c <= 0x180e || c >= 0xfe00 && c <= 0xfe0f || c == 0xfffc || c == 0xfeff:
			return -1
		case c >= 0x200b && c <= 0x200f || c >= 0x202a && c <= 0x202e || c >= 0x2060 && c <= 0x2063 || c >= 0x206a && c <= 0x206f:
			return -1
		case c == 0xa0 || c == 0x1680 || c >= 0x2000 && c <= 0x200a || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000:
			return ' '
		}
		return c
	}, s)
	return spaces(norm.NFKC.String(cases.Fold().String(norm.NFKC.String(mapped))))
}

func spaces(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == ' ' }), " ")
}

var attributeNames = map[OID]string{
	mustOID("2.5.4.3"): "CN", mustOID("2.5.4.6"): "C", mustOID("2.5.4.7"): "L", mustOID("2.5.4.8"): "ST", mustOID("2.5.4.10"): "O",
	mustOID("2.5.4.11"): "OU", mustOID("2.5.4.5"): "serialNumber", mustOID("0.9.2342.19200300.100.1.25"): "DC", oidEmailAddress: "emailAddress",
}

// String is for people: relative names in the order of the encoding, cut off after 300 octets. The subject of a card is personal data; name issuers and anchors only.
func (n Name) String() string {
	var parts []string
	rdns, err := der.Whole(n.Raw, der.Sequence)
	if err != nil {
		return "(no name)"
	}
	for !rdns.Empty() {
		rdn, err := rdns.Enter(der.Set)
		if err != nil {
			return "(no name)"
		}
		var one []string
		for !rdn.Empty() {
			a, _ := rdn.Enter(der.Sequence)
			id, _ := a.ObjectID()
			tag, content, _, err := a.Next()
			if err != nil {
				return "(no name)"
			}
			label := attributeNames[OID(id)]
			if label == "" {
				label = OID(id).String()
			}
			text, ok := decodeString(tag, content)
			if !ok {
				text = "#" + hex.EncodeToString(content)
			}
			one = append(one, label+"="+escape(text))
		}
		parts = append(parts, strings.Join(one, "+"))
	}
	return short(strings.Join(parts, ", "))
}

// short cuts a text to what a message can hold.
func short(s string) string {
	const most = 300 // octets
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func escape(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c == 0x7f || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return utf8.RuneError
		}
		return c
	}, s)
}

// Emails are the values of emailAddress attributes, which constraints on mailboxes are about too (RFC 5280, 4.2.1.10).
func (n Name) Emails() [][]byte {
	var out [][]byte
	rdns, err := der.Whole(n.Raw, der.Sequence)
	if err != nil {
		return nil
	}
	for !rdns.Empty() {
		rdn, err := rdns.Enter(der.Set)
		if err != nil {
			return out
		}
		for !rdn.Empty() {
			a, err := rdn.Enter(der.Sequence)
			if err != nil {
				return out
			}
			id, err := a.ObjectID()
			if err != nil || OID(id) != oidEmailAddress {
				continue
			}
			if _, content, _, err := a.Next(); err == nil {
				out = append(out, content)
			}
		}
	}
	return out
}
