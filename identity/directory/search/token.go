package search

import (
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/fold"
)

// space says where a token stands: a prefix is looked for among tokens of one space.
type space byte

// The spaces of people's tokens.
const (
	spaceName    space = 'n' // name and kana
	spaceRomaji  space = 'r' // name in Latin letters, from the kana or as registered
	spaceForeign space = 'f' // the same of people without kana, whom kana shall find too
	spaceMail    space = 'e'
	spacePhone   space = 'p' // digits of telephone and extension
	spacePost    space = 's' // section, title, duties
)

// What a word of the query matched: the lower, the nearer to the person.
const (
	rankName = iota
	rankPost
	rankOrg
)

// separators part the words of a section or a name, beside spaces.
const separators = " ・･、,，／/()[]{}「」『』【】〔〕|;:&+"

// eachToken calls fn with each token of a person. A token may come more than once.
func (f *folder) eachToken(c *Contact, fn func(space, string)) {
	// A token that another begins with would find the same people again: only the longer one is kept.
	text := func(in space, s string, alone bool) {
		if s == "" {
			return
		}
		if alone {
			fn(in, s)
		}
		first := true
		for word := range words(s) {
			if !first || !strings.HasPrefix(s, word) {
				fn(in, word)
			}
			first = false
		}
	}
	family, given := f.key(c.FamilyName), f.key(c.GivenName)
	familyKana, givenKana := f.key(c.FamilyKana), f.key(c.GivenKana)
	for _, s := range [][2]string{{family, given}, {familyKana, givenKana}} {
		both := s[0] != "" && s[1] != ""
		if both {
			fn(spaceName, s[0]+s[1])
		}
		text(spaceName, s[0], !both)
		text(spaceName, s[1], true)
	}
	latin := func(in space, family, given string) {
		both := family != "" && given != ""
		if both {
			text(in, family+given, true)
			text(in, given+family, true)
		}
		text(in, family, !both)
		text(in, given, !both)
	}
	familyLatin, givenLatin := f.romaji(c.FamilyRomaji), f.romaji(c.GivenRomaji)
	latin(spaceRomaji, f.romaji(c.FamilyKana), f.romaji(c.GivenKana))
	latin(spaceRomaji, familyLatin, givenLatin)
	if c.FamilyKana == "" {
		latin(spaceForeign, familyLatin, givenLatin)
		latin(spaceRomaji, f.romaji(c.FamilyName), f.romaji(c.GivenName))
	}
	if c.Email != "" {
		fn(spaceMail, fold.Key(c.Email))
	}
	for _, number := range []string{c.Phone, c.Extension} {
		if d := digits(fold.Key(number)); d != "" {
			fn(spacePhone, d)
		}
	}
	for _, field := range []string{c.Section, c.Title, c.Duties} {
		text(spacePost, f.key(field), true)
	}
}

// words parts a key. A key of one word gives none: it is a token already.
func words(key string) func(func(string) bool) {
	return func(yield func(string) bool) {
		if !strings.ContainsAny(key, separators) {
			return
		}
		for word := range strings.FieldsFuncSeq(key, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
			if !yield(word) {
				return
			}
		}
	}
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// folder folds, and remembers: the same names and sections come again and again.
type folder struct{ keys, latin map[string]string }

const maxRemembered = 200_000

func newFolder() *folder { return &folder{map[string]string{}, map[string]string{}} }

func (f *folder) key(s string) string { return remember(f.keys, s, fold.Key) }

func (f *folder) romaji(s string) string { return remember(f.latin, s, fold.Romaji) }

func remember(known map[string]string, s string, fn func(string) string) string {
	if s == "" {
		return ""
	}
	v, ok := known[s]
	if !ok {
		v = fn(s)
		if len(known) < maxRemembered {
			known[s] = v
		}
	}
	return v
}

// word is one word of a query: where which prefix is looked for.
type word struct {
	people []lookup
	org    string // prefix among the organization's words; empty for none
	latin  string // the same among those in Latin letters
}

type lookup struct {
	in     space
	prefix string
	rank   int
}

// parse takes a query apart, within limits: what is beyond them narrows nothing.
func parse(text string) []word {
	if r := []rune(text); len(r) > maxQuery {
		text = string(r[:maxQuery])
	}
	var list []word
	for part := range strings.FieldsFuncSeq(fold.Key(text), func(r rune) bool { return r == ' ' || r == 0 }) {
		if len(list) == maxWords {
			break
		}
		w := word{org: part, people: []lookup{{spaceName, part, rankName}, {spacePost, part, rankPost}}}
		latin := strings.Trim(part, "abcdefghijklmnopqrstuvwxyz'-.") == ""
		romaji := ""
		if latin || fold.HasKana(part) {
			romaji = fold.Romaji(part)
		}
		switch {
		case romaji == "":
		case latin:
			w.latin = romaji
			w.people = append(w.people, lookup{spaceRomaji, romaji, rankName})
		default:
			w.people = append(w.people, lookup{spaceForeign, romaji, rankName})
		}
		if part[0] < 0x80 {
			w.people = append(w.people, lookup{spaceMail, part, rankName})
		}
		if number := digits(part); len(number) > 1 && strings.Trim(part, "0123456789-()+.") == "" {
			w.people = append(w.people, lookup{spacePhone, number, rankName})
		}
		list = append(list, w)
	}
	return list
}
