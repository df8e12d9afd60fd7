package code

import "fmt"

// Number is the sort of an official number.
type Number string

// The sorts of number.
const (
	LocalGovernment Number = "local government code"
	Corporate       Number = "corporate number"
	Insurer         Number = "insurer number"
)

// Problem is what is wrong with a number.
type Problem string

// The problems, in the order in which they are looked for.
const (
	NotDigits       Problem = "not digits"
	WrongLength     Problem = "wrong length"
	WrongPrefecture Problem = "wrong prefecture"
	WrongCheckDigit Problem = "wrong check digit"
)

// Error says why a number was refused.
type Error struct {
	Number  Number
	Value   string // as it was given, of any length: shorten it before showing it
	Problem Problem
	Want    byte // the expected check digit, '0' to '9', when Problem is WrongCheckDigit
}

// Error gives the reason in English, without the value.
func (e *Error) Error() string {
	reason, _ := e.English()
	return reason
}

// English gives the reason and the remedy in English.
func (e *Error) English() (reason, remedy string) {
	name, length := "a local government code (全国地方公共団体コード)", LocalGovernmentDigits
	switch e.Number {
	case Corporate:
		name, length = "a corporate number (法人番号)", CorporateDigits
	case Insurer:
		name, length = "an insurer number (保険者番号)", InsurerDigits
	}
	switch e.Problem {
	case NotDigits:
		return name + " consists of the half-width digits 0 to 9 only", fmt.Sprintf("write it with %d half-width digits", length)
	case WrongLength:
		if e.lostZero() {
			return fmt.Sprintf("%s has %d digits, this has %d", name, length, len(e.Value)),
				"a spreadsheet has probably dropped the leading 0: format the column as text and write the 0 again"
		}
		return fmt.Sprintf("%s has %d digits, this has %d", name, length, len(e.Value)), "write all digits, the check digit too"
	case WrongPrefecture:
		return "the first two digits of " + name + " name a prefecture, 01 to 47", "look the code up in the list of the Ministry of Internal Affairs"
	default:
		return fmt.Sprintf("the check digit is wrong: %s is expected to have %c there", name, e.Want), "look for a mistyped or swapped digit"
	}
}

// Japanese gives the reason and the remedy in Japanese.
func (e *Error) Japanese() (reason, remedy string) {
	name, length := "全国地方公共団体コード", LocalGovernmentDigits
	switch e.Number {
	case Corporate:
		name, length = "法人番号", CorporateDigits
	case Insurer:
		name, length = "保険者番号", InsurerDigits
	}
	switch e.Problem {
	case NotDigits:
		return name + "に使えるのは半角数字だけです", fmt.Sprintf("半角数字 %d 桁で書いてください", length)
	case WrongLength:
		if e.lostZero() {
			return fmt.Sprintf("%sは %d 桁ですが、%d 桁しかありません", name, length, len(e.Value)),
				"表計算ソフトが先頭の 0 を消した可能性があります。列を文字列にして 0 を補ってください"
		}
		return fmt.Sprintf("%sは %d 桁ですが、%d 桁あります", name, length, len(e.Value)), "検査数字を含む全桁を書いてください"
	case WrongPrefecture:
		return name + "の先頭 2 桁は都道府県 (01 から 47) です", "総務省の一覧でコードを確かめてください"
	default:
		return fmt.Sprintf("検査数字が違います (%sの検査数字は %c のはずです)", name, e.Want), "数字の打ち間違いや入れ替わりがないか確かめてください"
	}
}

// lostZero reports the commonest accident: 011002 opened and saved by a spreadsheet becomes 11002.
func (e *Error) lostZero() bool {
	if e.Number != LocalGovernment || len(e.Value) != LocalGovernmentDigits-1 {
		return false
	}
	_, err := ParseLocalGovernmentCode("0" + e.Value)
	return err == nil
}
