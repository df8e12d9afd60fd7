package der

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckTakesOnlyDER(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"empty sequence":                     {"3000", nil},
		"long form of 128":                   {"0481" + "80" + hex.EncodeToString(make([]byte, 128)), nil},
		"nothing":                            {"", ErrTruncated},
		"identifier alone":                   {"30", ErrTruncated},
		"content missing":                    {"0402aa", ErrTruncated},
		"length octets missing":              {"308201", ErrTruncated},
		"trailing octet":                     {"300000", ErrTrailing},
		"indefinite length":                  {"30800000", ErrLength},
		"long form of a short length":        {"048101aa", ErrLength},
		"leading zero in a length":           {"04820081" + hex.EncodeToString(make([]byte, 129)), ErrLength},
		"four gigabytes are claimed":         {"0484ffffffff", ErrTruncated},
		"eight octets of length":             {"0488ffffffffffffffff", ErrLength},
		"127 octets of length":               {"04ff", ErrLength},
		"high tag number":                    {"1f8101aa", ErrTag},
		"constructed octet string":           {"24040402aaaa", ErrTag},
		"constructed bit string":             {"23040302" + "00aa", ErrTag},
		"primitive sequence":                 {"1000", ErrTag},
		"end of contents":                    {"0000", ErrTag},
		"boolean true":                       {"0101ff", nil},
		"boolean 01":                         {"010101", ErrBoolean},
		"boolean of two octets":              {"0102ffff", ErrBoolean},
		"integer zero":                       {"020100", nil},
		"integer empty":                      {"0200", ErrInteger},
		"integer with a zero to spare":       {"02020001", ErrInteger},
		"integer with an FF to spare":        {"0202ff80", ErrInteger},
		"integer 128":                        {"02020080", nil},
		"enumerated with a zero to spare":    {"0a020001", ErrInteger},
		"null":                               {"0500", nil},
		"null with content":                  {"050100", ErrLength},
		"bit string":                         {"030206c0", nil},
		"bit string with padding set":        {"030206c1", ErrBitString},
		"bit string without a count":         {"0300", ErrBitString},
		"bit string with eight unused bits":  {"03020800", ErrBitString},
		"empty bit string with unused bits":  {"030107", ErrBitString},
		"identifier":                         {"06032a0304", nil},
		"identifier with a padded component": {"06032a8003", ErrOID},
		"identifier cut off":                 {"06022a83", ErrOID},
		"identifier empty":                   {"0600", ErrOID},
		"UTF-8":                              {"0c03e38182", nil},
		"UTF-8 that isn't":                   {"0c02e381", ErrString},
		"IA5 with a high octet":              {"160180", ErrString},
		"BMP of one octet":                   {"1e0100", ErrString},
		"set in order":                       {"3106020101020102", nil},
		"set out of order":                   {"3106020102020101", ErrOrder},
		"context primitive is opaque":        {"8002ffff", nil},
		"inside of an octet string is too":   {"04023080", nil},
		"wrong deep inside":                  {"300730053003010101", ErrBoolean},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(unhex(t, c.in), 8)
			if c.want == nil && err != nil || !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestDepthIsBounded(t *testing.T) {
	b := []byte{Null, 0}
	for range 20 {
		b = Wrap(Sequence, b)
	}
	if err := Check(b, 20); err != nil {
		t.Error(err)
	}
	if err := Check(b, 19); !errors.Is(err, ErrDepth) {
		t.Errorf("%v, want %v", err, ErrDepth)
	}
}

func TestTimes(t *testing.T) {
	at := func(y int, m time.Month, d, h, min, s int) time.Time {
		return time.Date(y, m, d, h, min, s, 0, time.UTC)
	}
	for _, c := range []struct {
		tag  byte
		in   string
		want time.Time // zero: refused
	}{
		{UTCTime, "260401000000Z", at(2026, 4, 1, 0, 0, 0)},
		{UTCTime, "491231235959Z", at(2049, 12, 31, 23, 59, 59)},
		{UTCTime, "500101000000Z", at(1950, 1, 1, 0, 0, 0)},
		{UTCTime, "2604010000Z", time.Time{}},
		{UTCTime, "260401000000+0900", time.Time{}},
		{UTCTime, "260401000000z", time.Time{}},
		{UTCTime, "260229000000Z", time.Time{}},
		{UTCTime, "240229000000Z", at(2024, 2, 29, 0, 0, 0)},
		{UTCTime, "261301000000Z", time.Time{}},
		{UTCTime, "260400000000Z", time.Time{}},
		{UTCTime, "260401240000Z", time.Time{}},
		{UTCTime, "260401006000Z", time.Time{}},
		{UTCTime, "260401000060Z", time.Time{}},
		{UTCTime, "26 401000000Z", time.Time{}},
		{UTCTime, "2604010000-1Z", time.Time{}},
		{GeneralizedTime, "20500101000000Z", at(2050, 1, 1, 0, 0, 0)},
		{GeneralizedTime, "20260401000000Z", at(2026, 4, 1, 0, 0, 0)},
		{GeneralizedTime, "99991231235959Z", at(9999, 12, 31, 23, 59, 59)},
		{GeneralizedTime, "20500101000000.5Z", time.Time{}},
		{GeneralizedTime, "20500101000000", time.Time{}},
	} {
		r := NewReader(Wrap(c.tag, []byte(c.in)))
		got, err := r.Time()
		if (err == nil) == c.want.IsZero() || err == nil && !got.Equal(c.want) {
			t.Errorf("%s: %v, %v; want %v", c.in, got, err, c.want)
		}
	}
}

func TestNamedBits(t *testing.T) {
	for in, want := range map[string]uint16{"0780": 1, "0780ff": 0, "05a0": 5, "0106": 1<<5 | 1<<6, "070080": 1 << 8, "00": 0} {
		got, err := ParseNamedBits(unhex(t, in))
		if in == "0780ff" {
			if err == nil {
				t.Errorf("%s: padding that isn't zero is taken", in)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %b, %v; want %b", in, got, err, want)
		}
	}
	if _, err := ParseNamedBits(unhex(t, "0000")); err == nil {
		t.Error("zero bits at the end are taken")
	}
}

func TestSmall(t *testing.T) {
	for in, want := range map[string]int{"00": 0, "7f": 127, "0080": 128, "7fffffff": 1<<31 - 1, "ff": -1, "0100000000": -1, "00ffffffffff": -1} {
		got, err := ParseSmall(unhex(t, in), 1<<31-1)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
}

// TestWrapAndReadAgree: what Wrap writes, a Reader reads back, and Check takes.
func TestWrapAndReadAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "content")
		b := Wrap(OctetString, content)
		r := NewReader(Wrap(Sequence, b, b))
		inner, err := r.Enter(Sequence)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, whole, err := inner.ReadWhole(OctetString)
			if err != nil || !bytes.Equal(got, content) || !bytes.Equal(whole, b) {
				t.Fatalf("%x, %v", got, err)
			}
		}
		if err := inner.End(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBigIsTwosComplement(t *testing.T) {
	for in, want := range map[string]int64{"00": 0, "7f": 127, "0080": 128, "ff": -1, "80": -128, "ff7f": -129} {
		if got := Big(unhex(t, in)); got.Cmp(big.NewInt(want)) != 0 {
			t.Errorf("%s: %d, want %d", in, got, want)
		}
	}
}

// FuzzCheck: what is taken encodes back to the same octets, element by element, so that there is one reading of it.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"3000", "30060201010101ff", "3106020101020102", "0484ffffffff", "30800000", "06032a0304", "170d3236303430313030303030305a"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if Check(b, 16) != nil {
			return
		}
		if again := rewrite(t, b); !bytes.Equal(again, b) {
			t.Fatalf("%x is taken and encodes to %x", b, again)
		}
	})
}

func rewrite(t *testing.T, b []byte) []byte {
	r := NewReader(b)
	tag, content, _, err := r.Next()
	if err != nil || r.End() != nil {
		t.Fatal("taken by Check, and not read")
	}
	if tag&0x20 == 0 {
		return Wrap(tag, content)
	}
	inner := NewReader(content)
	var parts [][]byte
	for !inner.Empty() {
		_, _, whole, err := inner.Next()
		if err != nil {
			t.Fatal("taken by Check, and not read")
		}
		parts = append(parts, rewrite(t, whole))
	}
	return Wrap(tag, parts...)
}
