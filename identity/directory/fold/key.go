package fold

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Key folds a text. Folding a key again changes nothing. Spaces of every kind become one space, those around the text go.
func Key(s string) string {
	if key, ok := plain(s); ok {
		return key
	}
	s = norm.NFKC.String(strings.Map(dropped, strings.ToValidUTF8(s, "\ufffd")))
	var b strings.Builder
	b.Grow(len(s))
	last := rune(0)
	for _, r := range s {
		r = foldRune(unicode.ToLower(r), last)
		if r < 0 || r == ' ' && (last == ' ' || last == 0) {
			continue
		}
		b.WriteRune(r)
		last = r
	}
	// What a letter without its accent or case stands beside may compose anew.
	key := strings.TrimRight(b.String(), " ")
	if again := norm.NFKC.String(key); again != key {
		return Key(again)
	}
	return key
}

// plain is the way of ASCII, which has nothing but case and spaces.
func plain(s string) (string, bool) {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || s[i] < ' ' || s[i] == 0x7f || s[i] == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' ') {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// dropped leaves out what changes no reading: variation selectors (of kanji, IVS, too), invisible and control characters.
func dropped(r rune) rune {
	switch {
	case r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0100 && r <= 0xe01ef, unicode.Is(unicode.Variation_Selector, r), unicode.Is(unicode.Cf, r):
		return -1
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r):
		return -1
	}
	return r
}

// foldRune folds one character after another.
func foldRune(r, last rune) rune {
	switch {
	case r == 'ヶ' || r == 'ゖ': // 霞ヶ関, 霞ケ関
		return 'け'
	case r == 'ヵ' || r == 'ゕ':
		return 'か'
	case r >= 'ァ' && r <= 'ヴ', r == 'ヽ', r == 'ヾ':
		return r - ('ァ' - 'ぁ')
	case r < utf8.RuneSelf && r != '-' && r != '~':
		return r
	case dash(r):
		if kana(last) {
			return 'ー'
		}
		if r == '~' || r == '〜' {
			return '~'
		}
		return '-'
	case unicode.IsSpace(r):
		return ' '
	}
	if to, ok := variants[r]; ok {
		return to
	}
	if unicode.Is(unicode.Latin, r) {
		return base(r)
	}
	if unicode.Is(unicode.Mn, r) && unicode.Is(unicode.Latin, last) {
		return -1
	}
	if d := dropped(r); d < 0 {
		return d
	}
	return r
}

// dash reports the characters that people type for a hyphen or a long vowel mark; the half-width and full-width ones are folded before.
func dash(r rune) bool {
	switch r {
	case '-', '~', '〜', '‐', '‑', '‒', '–', '—', '―', '−', '─', '━', 'ー', '〰', '⁓', '﹣':
		return true
	}
	return false
}

func kana(r rune) bool { return r >= 'ぁ' && r <= 'ゖ' || r == 'ー' }

// base is a Latin letter without its accents.
func base(r rune) rune {
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], r)
	first, _ := utf8.DecodeRune(norm.NFD.Bytes(b[:n]))
	if first < utf8.RuneSelf {
		return unicode.ToLower(first)
	}
	switch r {
	case 'ø':
		return 'o'
	case 'ł':
		return 'l'
	case 'đ':
		return 'd'
	}
	return r
}
