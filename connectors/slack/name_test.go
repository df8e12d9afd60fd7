package slack

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestChannelName(t *testing.T) {
	for _, tt := range [][3]string{
		{"Incident 7", "", "incident-7"},
		{"  #障害対応（東京都）  2026/11 ", "", "障害対応-東京都-2026-11"},
		{"A_B--C..d", "", "a_b-c-d"},
		{"カタカナ が゙", "", "カタカナ-が゙"},
		{"x", "INC-7", "x-inc-7"},
		{"!!!", "INC-7", "inc-7"},
		{"!!!", "", ""},
		{strings.Repeat("長", 100), "", strings.Repeat("長", 80)},
		{strings.Repeat("長", 100), "k1", strings.Repeat("長", 77) + "-k1"},
	} {
		if got := channelName(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%q with %q: %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		name := channelName(rapid.String().Draw(r, "name"), rapid.StringMatching(`[a-z0-9-]{1,32}`).Draw(r, "key"))
		if utf8.RuneCountInString(name) > 80 || name != strings.ToLower(name) || strings.ContainsAny(name, " .#@<>&\x00") || strings.HasPrefix(name, "-") && len(name) > 33 {
			r.Fatalf("%q", name)
		}
	})
}

func TestNextLink(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"ない":                             "",
		"見て https://a.example/x?y=1#z を": "https://a.example/x?y=1#z",
		"「https://a.example/x」と":         "https://a.example/x",
		"(https://a.example/x).":         "https://a.example/x",
		"http http:// https:/// https://b.example": "https://b.example",
		"xhttp://c.example":                        "http://c.example",
	} {
		at, link := nextLink(in)
		if link != want || in[at:at+len(link)] != link {
			t.Errorf("%q: %q at %d, want %q", in, link, at, want)
		}
	}
	rapid.Check(t, func(r *rapid.T) { // cutting a text into words and links loses nothing
		s := rapid.StringMatching(`([a-z ]|https?://[a-z.]{0,4}|。){0,20}`).Draw(r, "text")
		rest, whole := s, ""
		for rest != "" {
			at, link := nextLink(rest)
			whole += rest[:at] + link
			rest = rest[at+len(link):]
		}
		if whole != s {
			r.Fatalf("%q became %q", s, whole)
		}
	})
}
