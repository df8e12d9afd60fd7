package code

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
)

func TestParseLocalGovernmentCode(t *testing.T) {
	for _, good := range []string{"010006", "011002", "131016", "472018", "221309", "470007", "130001"} {
		if id, err := ParseLocalGovernmentCode(good); err != nil || string(id) != good {
			t.Errorf("%s: %q, %v", good, id, err)
		}
	}
	for _, c := range []struct {
		in      string
		problem Problem
		want    byte
		text    string
	}{
		{"", WrongLength, 0, "has 6 digits"},
		{"11002", WrongLength, 0, "has 6 digits"},
		{"0110022", WrongLength, 0, "has 6 digits"},
		{"０１１００２", NotDigits, 0, "half-width"},
		{"01100 ", NotDigits, 0, "half-width"},
		{"011003", WrongCheckDigit, '2', "to have 2 there"},
		{"001001", WrongPrefecture, 0, "01 to 47"},
		{"480002", WrongPrefecture, 0, "01 to 47"},
	} {
		_, err := ParseLocalGovernmentCode(c.in)
		var e *Error
		if !errors.As(err, &e) || e.Problem != c.problem || e.Want != c.want || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%q: %v", c.in, err)
		}
	}
}

func TestDroppedZero(t *testing.T) {
	_, err := ParseLocalGovernmentCode("11002")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if _, remedy := e.English(); !strings.Contains(remedy, "leading 0") {
		t.Error(remedy)
	}
	if _, remedy := e.Japanese(); !strings.Contains(remedy, "先頭の 0") {
		t.Error(remedy)
	}
}

func TestParseCorporateNumber(t *testing.T) {
	for _, good := range []string{
		"2000012020001", // 総務省
		"6000012070001", // 厚生労働省
		"7000012060001", // 文部科学省
		"8000012010038", // デジタル庁
	} {
		if id, err := ParseCorporateNumber(good); err != nil || string(id) != good {
			t.Errorf("%s: %q, %v", good, id, err)
		}
	}
	for _, c := range []struct {
		in      string
		problem Problem
		want    byte
	}{
		{"3000012020001", WrongCheckDigit, '2'},
		{"200001202000", WrongLength, 0},
		{"20000120200011", WrongLength, 0},
		{"2-00012020001", NotDigits, 0},
	} {
		_, err := ParseCorporateNumber(c.in)
		var e *Error
		if !errors.As(err, &e) || e.Problem != c.problem || e.Want != c.want {
			t.Errorf("%q: %v", c.in, err)
		}
	}
}

func TestPrefecture(t *testing.T) {
	for n, want := range map[int]policies.OrgID{1: "010006", 13: "130001", 27: "270008", 47: "470007"} {
		if got, err := Prefecture(n); err != nil || got != want || !IsPrefecture(got) {
			t.Errorf("%d: %s, %v", n, got, err)
		}
	}
	for _, n := range []int{-1, 0, 48} {
		if _, err := Prefecture(n); err == nil {
			t.Errorf("%d is accepted", n)
		}
	}
	if got := PrefectureOf("011002"); got != "010006" || IsPrefecture("011002") {
		t.Error(got)
	}
	if got := PrefectureOf("2000012020001"); got != "" {
		t.Error(got)
	}
}

// Exactly one last digit fits any five, so a mistyped check digit is always found.
func TestOneCheckDigitFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		five := fmt.Sprintf("%02d%03d", rapid.IntRange(1, 47).Draw(t, "prefecture"), rapid.IntRange(0, 999).Draw(t, "rest"))
		fits := 0
		for d := range 10 {
			if _, err := ParseLocalGovernmentCode(fmt.Sprintf("%s%d", five, d)); err == nil {
				fits++
			}
		}
		if fits != 1 {
			t.Fatalf("%s: %d check digits fit", five, fits)
		}
	})
}

// A single mistyped digit of a corporate number is always found, except 0 for 9 and 9 for 0 under modulus 9.
func TestCorporateMistype(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		good := []byte("2000012020001")
		i := rapid.IntRange(0, 12).Draw(t, "place")
		d := byte('0' + rapid.IntRange(0, 9).Draw(t, "digit"))
		if good[i] == d || (int(good[i])-int(d))%9 == 0 {
			return
		}
		good[i] = d
		if _, err := ParseCorporateNumber(string(good)); err == nil {
			t.Fatalf("%s is accepted", good)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"011002", "2000012020001", "", "１", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		if err == nil {
			if string(id) != s {
				t.Fatal("a parsed number is not the one given")
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%T", err)
		}
		if reason, remedy := e.Japanese(); reason == "" || remedy == "" {
			t.Fatal("nothing said")
		}
	})
}

func TestParseInsurerNumber(t *testing.T) {
	for in, want := range map[string]policies.OrgID{
		"01130012": "01130012", // 全国健康保険協会 東京支部
		"01010016": "01010016", // 全国健康保険協会 北海道支部
		"010018":   "",         // a six-digit one with a wrong check digit
		"00138057": "00138057",
		"010017":   "00010017",
		"138057":   "00138057",
	} {
		id, err := ParseInsurerNumber(in)
		if id != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", in, id, err)
		}
	}
	var e *Error
	for in, problem := range map[string]Problem{"": WrongLength, "0113001": WrongLength, "01130013": WrongCheckDigit, "０1130012": NotDigits} {
		if _, err := ParseInsurerNumber(in); !errors.As(err, &e) || e.Problem != problem || e.Value != in || e.Number != Insurer {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// Any single wrong digit of an insurer's number is noticed.
func TestInsurerNumberNoticesASlip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := []byte("01130012")
		at := rapid.IntRange(0, 7).Draw(t, "at")
		digit := byte('0' + rapid.IntRange(0, 9).Draw(t, "digit"))
		same := number[at] == digit
		number[at] = digit
		if _, err := ParseInsurerNumber(string(number)); (err == nil) != same {
			t.Errorf("%s: %v", number, err)
		}
	})
}

func TestParseOf(t *testing.T) {
	for _, c := range []struct {
		kind policies.OrgKind
		in   string
		ok   bool
	}{
		{policies.KindInsurer, "01130012", true},
		{policies.KindInsurer, "011002", false},
		{policies.KindUnion, "011002", true},
		{policies.KindUnion, "2000012020001", true},
		{policies.KindContractor, "2000012020001", true},
		{policies.KindContractor, "01130012", false},
		{policies.KindMunicipality, "2000012020001", false},
	} {
		if _, err := ParseOf(c.kind, c.in); (err == nil) != c.ok {
			t.Errorf("%s %s: %v", c.kind, c.in, err)
		}
	}
}
