package review

import (
	"fmt"
	"strings"
)

// Locale is the language in which staff are spoken to.
type Locale string

// The locales.
const (
	Both     Locale = "both" // Japanese first, then English
	Japanese Locale = "ja"
	English  Locale = "en"
)

// ParseLocale reads a locale as an administrator writes it, ja_JP.UTF-8 too.
func ParseLocale(s string) (Locale, error) {
	language, _, _ := strings.Cut(strings.ToLower(s), "_")
	switch language {
	case "ja", "japanese":
		return Japanese, nil
	case "en", "english":
		return English, nil
	case "both", "":
		return Both, nil
	}
	return "", fmt.Errorf("locale %q: write ja, en or both", Visible(s, MaxShown))
}

// Japanese and English report whether the locale wants the language.
func (l Locale) japanese() bool { return l != English }
func (l Locale) english() bool  { return l != Japanese }
