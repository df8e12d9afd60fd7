package code

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/policies"
)

// Lengths of the numbers, in digits.
const (
	LocalGovernmentDigits = 6
	CorporateDigits       = 13
	InsurerDigits         = 8
	prefectures           = 47
)

// ParseLocalGovernmentCode checks a 全国地方公共団体コード: six digits, the first two a prefecture (01 to 47), the last one the
// check digit. It is 11 minus the remainder by 11 of the first five digits weighted 6, 5, 4, 3, 2, of which the last digit
// counts (総務省, 全国地方公共団体コード仕様). A failure is an *Error.
func ParseLocalGovernmentCode(s string) (policies.OrgID, error) {
	if problem := digits(s, LocalGovernmentDigits); problem != "" {
		return "", &Error{Number: LocalGovernment, Value: s, Problem: problem}
	}
	if p := int(s[0]-'0')*10 + int(s[1]-'0'); p < 1 || p > prefectures {
		return "", &Error{Number: LocalGovernment, Value: s, Problem: WrongPrefecture}
	}
	if want := localGovernmentCheck(s[:5]); s[5] != want {
		return "", &Error{Number: LocalGovernment, Value: s, Problem: WrongCheckDigit, Want: want}
	}
	return policies.OrgID(s), nil
}

// ParseCorporateNumber checks a 法人番号: 13 digits of which the first is the check digit, 9 minus the remainder by 9 of the other
// twelve weighted 1 and 2 in turn from the right (法人番号の指定等に関する省令, 第2条). A failure is an *Error.
func ParseCorporateNumber(s string) (policies.OrgID, error) {
	if problem := digits(s, CorporateDigits); problem != "" {
		return "", &Error{Number: Corporate, Value: s, Problem: problem}
	}
	sum := 0
	for i := range 12 {
		weight := 1 + i%2
		sum += int(s[12-i]-'0') * weight
	}
	if want := byte('0' + 9 - sum%9); s[0] != want {
		return "", &Error{Number: Corporate, Value: s, Problem: WrongCheckDigit, Want: want}
	}
	return policies.OrgID(s), nil
}

// ParseInsurerNumber checks a 保険者番号: eight digits, or six (国民健康保険), which get 00 in front as they do where both sorts
// stand in one column, so that they are never taken for a local government's code. The last digit is the check digit: 10 minus
// the last digit of the sum of the digits of the others, doubled in turn from the right, a doubled one counting the sum of its own
// two digits (厚生労働省, 保険者番号等の設定要領). A failure is an *Error.
func ParseInsurerNumber(s string) (policies.OrgID, error) {
	eight := s
	if len(s) == InsurerDigits-2 {
		eight = "00" + s
	}
	if problem := digits(eight, InsurerDigits); problem != "" {
		return "", &Error{Number: Insurer, Value: s, Problem: problem}
	}
	sum := 0
	for i := range InsurerDigits - 1 {
		d := int(eight[InsurerDigits-2-i] - '0')
		if i%2 == 0 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	if want := byte('0' + (10-sum%10)%10); eight[InsurerDigits-1] != want {
		return "", &Error{Number: Insurer, Value: s, Problem: WrongCheckDigit, Want: want}
	}
	return policies.OrgID(eight), nil
}

// Parse checks a number of any sort, told apart by its length: six digits are a local government's code, eight an insurer's
// number, 13 a corporate number.
func Parse(s string) (policies.OrgID, error) {
	switch n := utf8.RuneCountInString(s); {
	case n > (InsurerDigits+CorporateDigits)/2:
		return ParseCorporateNumber(s)
	case n >= InsurerDigits:
		return ParseInsurerNumber(s)
	}
	return ParseLocalGovernmentCode(s)
}

// ParseOf checks the number that an organization of the kind is keyed by: a union has a local government code or a corporate
// number, as it comes.
func ParseOf(kind policies.OrgKind, s string) (policies.OrgID, error) {
	switch {
	case kind.LocalGovernment():
		return ParseLocalGovernmentCode(s)
	case kind == policies.KindInsurer:
		return ParseInsurerNumber(s)
	case kind == policies.KindUnion && utf8.RuneCountInString(s) <= InsurerDigits:
		return ParseLocalGovernmentCode(s)
	}
	return ParseCorporateNumber(s)
}

// Prefecture gives the code of the prefecture number n (1 to 47, the order of JIS X 0401).
func Prefecture(n int) (policies.OrgID, error) {
	if n < 1 || n > prefectures {
		return "", &Error{Number: LocalGovernment, Value: fmt.Sprint(n), Problem: WrongPrefecture}
	}
	five := fmt.Sprintf("%02d000", n)
	return policies.OrgID(five + string(localGovernmentCheck(five))), nil
}

// PrefectureOf gives the code of the prefecture that a local government lies in. id must have passed ParseLocalGovernmentCode;
// anything else gives "".
func PrefectureOf(id policies.OrgID) policies.OrgID {
	if _, err := ParseLocalGovernmentCode(string(id)); err != nil {
		return ""
	}
	five := string(id[:2]) + "000"
	return policies.OrgID(five + string(localGovernmentCheck(five)))
}

// IsPrefecture reports whether a checked local government code is that of a prefecture itself.
func IsPrefecture(id policies.OrgID) bool {
	return len(id) == LocalGovernmentDigits && id[2:5] == "000"
}

func localGovernmentCheck(five string) byte {
	sum := 0
	for i := range 5 {
		sum += int(five[i]-'0') * (6 - i)
	}
	return byte('0' + (11-sum%11)%10)
}

// digits gives what is wrong with s as want digits; empty where nothing is.
func digits(s string, want int) Problem {
	switch {
	case strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) >= 0:
		return NotDigits
	case len(s) != want:
		return WrongLength
	}
	return ""
}
