package pkix

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

const commonName, emailName = OID("\x55\x04\x03"), OID("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01")

// oneName has one relative name for each value, of that string type.
func oneName(tag byte, values ...string) Name {
	var rdns [][]byte
	for _, v := range values {
		rdns = append(rdns, der.Wrap(der.Set, attribute(commonName, tag, v)))
	}
	n, err := ParseName(der.Wrap(der.Sequence, rdns...))
	if err != nil {
		panic(err)
	}
	return n
}

func attribute(id OID, tag byte, v string) []byte {
	return der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(id)), der.Wrap(tag, []byte(v)))
}

func TestNamesCompareAsRFC5280Says(t *testing.T) {
	utf8, printable, bmp, teletex := byte(der.UTF8String), byte(der.PrintableString), byte(der.BMPString), byte(der.TeletexString)
	for _, c := range []struct {
		what string
		a, b Name
		same bool
	}{
		{"itself", oneName(utf8, "a"), oneName(utf8, "a"), true},
		{"case", oneName(utf8, "Good CA"), oneName(utf8, "GOOD ca"), true},
		{"type of the string", oneName(utf8, "Good CA"), oneName(printable, "Good CA"), true},
		{"spaces around", oneName(utf8, "Good CA"), oneName(utf8, "  Good CA "), true},
		{"spaces between", oneName(utf8, "Good CA"), oneName(utf8, "Good   CA"), true},
		{"a space where none is", oneName(utf8, "Good CA"), oneName(utf8, "GoodCA"), false},
		{"only spaces and nothing", oneName(utf8, "   "), oneName(utf8, ""), true},
		{"another value", oneName(utf8, "a"), oneName(utf8, "b"), false},
		{"a beginning", oneName(utf8, "ab"), oneName(utf8, "a"), false},
		{"order", oneName(utf8, "a", "b"), oneName(utf8, "b", "a"), false},
		{"one more", oneName(utf8, "a"), oneName(utf8, "a", "b"), false},
		{"borders of relative names", oneName(utf8, "ab", "c"), oneName(utf8, "a", "bc"), false},
		{"full width and half width", oneName(utf8, "ＪＰＫＩ"), oneName(printable, "jpki"), true},
		{"half-width kana", oneName(utf8, "ﾃｽﾄ"), oneName(utf8, "テスト"), true},
		{"composed and decomposed", oneName(utf8, "\u304c"), oneName(utf8, "\u304b\u3099"), true},
		{"ideographic space", oneName(utf8, "東京　都"), oneName(utf8, "東京 都"), true},
		{"zero-width space is mapped to nothing", oneName(utf8, "to\u200bkyo"), oneName(utf8, "tokyo"), true},
		{"sharp s folds", oneName(utf8, "Straße"), oneName(utf8, "STRASSE"), true},
		{"BMPString", oneName(bmp, "\x30\x42"), oneName(utf8, "あ"), true},
		{"BMPString with half a surrogate", oneName(bmp, "\xd8\x00"), oneName(utf8, "�"), false},
		{"TeletexString of ASCII", oneName(teletex, "abc"), oneName(utf8, "ABC"), true},
		{"TeletexString above ASCII", oneName(teletex, "\xe9"), oneName(utf8, "é"), false},
		{"look-alikes of another script", oneName(utf8, "аbc"), oneName(utf8, "abc"), false},
	} {
		if c.a.Equal(c.b) != c.same || c.b.Equal(c.a) != c.same {
			t.Errorf("%s: equal is %t", c.what, !c.same)
		}
		if (c.a.Canonical() == c.b.Canonical()) != c.same {
			t.Errorf("%s: the canonical forms say %t", c.what, !c.same)
		}
	}
	if (Name{}).Equal(oneName(utf8)) || oneName(utf8).Equal(Name{}) {
		t.Error("no name equals the empty name")
	}
}

// TestEqualIsCanonical: the quick comparison says what the canonical form says.
func TestEqualIsCanonical(t *testing.T) {
	value := rapid.StringOfN(rapid.RuneFrom([]rune("aA bＡｂ é\t")), 0, 4, -1)
	tags := rapid.SampledFrom([]byte{der.UTF8String, der.PrintableString, der.TeletexString})
	draw := func(t *rapid.T, label string) Name {
		var rdns [][]byte
		for range rapid.IntRange(0, 2).Draw(t, label) {
			var attributes [][]byte
			for range rapid.IntRange(1, 2).Draw(t, label) {
				id := rapid.SampledFrom([]OID{commonName, emailName}).Draw(t, label)
				attributes = append(attributes, attribute(id, tags.Draw(t, label), value.Draw(t, label)))
			}
			if len(attributes) == 2 && string(attributes[0]) > string(attributes[1]) {
				attributes[0], attributes[1] = attributes[1], attributes[0]
			}
			rdns = append(rdns, der.Wrap(der.Set, attributes...))
		}
		n, err := ParseName(der.Wrap(der.Sequence, rdns...))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		if a.Equal(b) != (a.Canonical() == b.Canonical()) {
			t.Fatalf("%x and %x: equal is %t", a.Raw, b.Raw, a.Equal(b))
		}
		if !a.Equal(a) || a.Equal(b) != b.Equal(a) {
			t.Fatal("not reflexive or not symmetric")
		}
		if a.Within(b) && b.Within(a) && !a.Equal(b) {
			t.Fatal("each is below the other, and they differ")
		}
	})
}

func TestWithin(t *testing.T) {
	u := byte(der.UTF8String)
	for _, c := range []struct {
		n, o Name
		want bool
	}{
		{oneName(u, "jp", "jpki", "x"), oneName(u, "JP", "jpki"), true},
		{oneName(u, "jp", "jpki"), oneName(u, "jp", "jpki"), true},
		{oneName(u, "jp"), oneName(u, "jp", "jpki"), false},
		{oneName(u, "jp", "other"), oneName(u, "jp", "jpki"), false},
		{oneName(u, "jp"), oneName(u), true},
		{oneName(u, "x", "jp"), oneName(u, "jp"), false},
	} {
		if got := c.n.Within(c.o); got != c.want {
			t.Errorf("%s within %s: %t", c.n, c.o, got)
		}
	}
}

func TestNamesAreRefused(t *testing.T) {
	many := make([][]byte, maxRDNs+1)
	for i := range many {
		many[i] = der.Wrap(der.Set, attribute(commonName, der.UTF8String, "a"))
	}
	for what, raw := range map[string][]byte{
		"an empty relative name":     der.Wrap(der.Sequence, der.Wrap(der.Set)),
		"attributes out of order":    der.Wrap(der.Sequence, der.Wrap(der.Set, attribute(commonName, der.UTF8String, "b"), attribute(commonName, der.UTF8String, "a"))),
		"something after the value":  der.Wrap(der.Sequence, der.Wrap(der.Set, der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(commonName)), []byte{5, 0}, []byte{5, 0}))),
		"no value":                   der.Wrap(der.Sequence, der.Wrap(der.Set, der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(commonName))))),
		"a sequence of relatives":    der.Wrap(der.Sequence, der.Wrap(der.Sequence)),
		"too many relative names":    der.Wrap(der.Sequence, many...),
		"something after the name":   append(der.Wrap(der.Sequence), 0),
		"an attribute without an id": der.Wrap(der.Sequence, der.Wrap(der.Set, der.Wrap(der.Sequence, []byte{5, 0}))),
	} {
		if _, err := ParseName(raw); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestParseDN(t *testing.T) {
	n, err := ParseDN("C=JP, O=JPKI, OU=JPKI for user authentication")
	if err != nil || n.String() != "C=JP, O=JPKI, OU=JPKI for user authentication" {
		t.Errorf("%s, %v", n, err)
	}
	for _, s := range []string{"", "JP", "C=", "X=1", `C=J\P`, "C=JP+O=a"} {
		if _, err := ParseDN(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// TestStringHidesNothing: what could turn a line around or end it is made visible.
func TestStringHidesNothing(t *testing.T) {
	s := oneName(der.UTF8String, "a\nb\u202ec").String()
	if strings.ContainsAny(s, "\n\u202e") {
		t.Errorf("%q", s)
	}
}

func TestOIDs(t *testing.T) {
	for _, s := range []string{"0.0", "1.2.840.113549.1.1.11", "2.5.29.32.0", "2.999.1", "1.39.4611686018427387903", "2.48.0"} {
		o, err := ParseOID(s)
		if err != nil || o.String() != s {
			t.Errorf("%s: %s, %v", s, o, err)
		}
	}
	for _, s := range []string{"", "1", "3.1", "1.40", "1.2.", "1..2", "1.2.03", "1.2.-1", "1.2.+1", "a.b", "1.2.9223372036854775808", strings.Repeat("1.", 200) + "1"} {
		if o, err := ParseOID(s); err == nil {
			t.Errorf("%q is taken as %s", s, o)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add(oneName(der.UTF8String, "JP", "テスト").Raw, oneName(der.PrintableString, "jp", "x").Raw)
	f.Add(oneName(der.BMPString, "\x30\x42").Raw, oneName(der.TeletexString, "\xe9").Raw)
	f.Add(der.Wrap(der.Sequence), []byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, errA := ParseName(x)
		b, errB := ParseName(y)
		if errA != nil || errB != nil {
			return
		}
		if a.Equal(b) != (a.Canonical() == b.Canonical()) || a.Equal(b) != b.Equal(a) {
			t.Fatalf("%x and %x: equal is %t", x, y, a.Equal(b))
		}
		if !a.Within(a) || a.Within(b) && b.Within(a) && !a.Equal(b) {
			t.Fatalf("%x within %x", x, y)
		}
		_, _ = a.String(), a.Emails()
	})
}
