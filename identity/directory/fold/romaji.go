package fold

import "strings"

// Romaji folds Japanese in Latin letters, or kana, which it writes in Latin letters first. Long vowels are short (ō, ou, oh, oo: o), Kunrei
// is Hepburn (si: shi), n is n before b, m and p, marks between syllables go. What is neither kana nor a letter stays.
func Romaji(s string) string {
	latin := transliterate(Key(s))
	for {
		folded := Key(foldLatin(latin))
		if folded == latin {
			return folded
		}
		latin = folded
	}
}

// HasKana reports whether there is kana in a key, so that Romaji says more than the key itself.
func HasKana(key string) bool { return strings.ContainsFunc(key, kana) }

// syllables are the kana in modified Hepburn; two characters go before one.
var syllables = pairs(`
あa いi うu えe おo かka きki くku けke こko がga ぎgi ぐgu げge ごgo さsa しshi すsu せse そso ざza じji ずzu ぜze ぞzo
たta ちchi つtsu てte とto だda ぢji づzu でde どdo なna にni ぬnu ねne のno はha ひhi ふfu へhe ほho ばba びbi ぶbu べbe ぼbo
ぱpa ぴpi ぷpu ぺpe ぽpo まma みmi むmu めme もmo やya ゆyu よyo らra りri るru れre ろro わwa ゐi ゑe をo んn ゔvu
ぁa ぃi ぅu ぇe ぉo ゃya ゅyu ょyo ゎwa
きゃkya きゅkyu きょkyo ぎゃgya ぎゅgyu ぎょgyo しゃsha しゅshu しょsho しぇshe じゃja じゅju じょjo じぇje ちゃcha ちゅchu ちょcho ちぇche
ぢゃja ぢゅju ぢょjo にゃnya にゅnyu にょnyo ひゃhya ひゅhyu ひょhyo びゃbya びゅbyu びょbyo ぴゃpya ぴゅpyu ぴょpyo みゃmya みゅmyu みょmyo
りゃrya りゅryu りょryo ふぁfa ふぃfi ふぇfe ふぉfo ゔぁva ゔぃvi ゔぇve ゔぉvo てぃti でぃdi とぅtu どぅdu うぃwi うぇwe うぉwo つぁtsa つぉtso
`)

func pairs(text string) map[string]string {
	table := map[string]string{}
	for word := range strings.FieldsSeq(text) {
		at := strings.IndexFunc(word, func(r rune) bool { return r < 0x80 })
		table[word[:at]] = word[at:]
	}
	return table
}

// transliterate writes the kana of a key in Latin letters.
func transliterate(key string) string {
	if !HasKana(key) {
		return key
	}
	var b strings.Builder
	double := false
	runes := []rune(key)
	for i := 0; i < len(runes); i++ {
		syllable, ok := "", false
		if i+1 < len(runes) {
			if syllable, ok = syllables[string(runes[i:i+2])]; ok {
				i++
			}
		}
		if !ok {
			syllable, ok = syllables[string(runes[i])]
		}
		switch {
		case ok:
			if double && !strings.ContainsAny(syllable[:1], "aiueon") {
				b.WriteByte(syllable[0])
			}
			b.WriteString(syllable)
		case runes[i] == 'っ':
			double = true
			continue
		case runes[i] != 'ー':
			b.WriteRune(runes[i])
		}
		double = false
	}
	return b.String()
}

// spellings make the other ways to write a syllable those of Hepburn; the longest that fits goes first.
var spellings = []struct{ from, to string }{
	{"tch", "cch"},
	{"shi", "shi"},
	{"chi", "chi"},
	{"tsu", "tsu"},
	{"sya", "sha"},
	{"syu", "shu"},
	{"syo", "sho"},
	{"tya", "cha"},
	{"tyu", "chu"},
	{"tyo", "cho"},
	{"cya", "cha"},
	{"cyu", "chu"},
	{"cyo", "cho"},
	{"zya", "ja"},
	{"zyu", "ju"},
	{"zyo", "jo"},
	{"jya", "ja"},
	{"jyu", "ju"},
	{"jyo", "jo"},
	{"dya", "ja"},
	{"dyu", "ju"},
	{"dyo", "jo"},
	{"dzu", "zu"},
	{"si", "shi"},
	{"ti", "chi"},
	{"tu", "tsu"},
	{"hu", "fu"},
	{"zi", "ji"},
	{"di", "ji"},
	{"du", "zu"},
	{"wo", "o"},
	{"ye", "e"},
	{"ch", "ch"},
	{"c", "k"},
	{"l", "r"},
	{"v", "b"},
	{"q", "k"},
	{"'", ""},
	{"-", ""},
	{"ou", "o"},
	{"oo", "o"},
	{"aa", "a"},
	{"ii", "i"},
	{"uu", "u"},
	{"ee", "e"},
}

func foldLatin(s string) string {
	var b strings.Builder
	b.Grow(len(s))
next:
	for i := 0; i < len(s); {
		switch rest := s[i:]; {
		case strings.HasPrefix(rest, "oh") && (len(rest) == 2 || !strings.ContainsRune("aiueoy", rune(rest[2]))):
			b.WriteByte('o')
			i += 2
			continue
		case rest[0] == 'm' && len(rest) > 1 && strings.ContainsRune("bmp", rune(rest[1])):
			b.WriteByte('n')
			i++
			continue
		case strings.HasPrefix(rest, "cch"): // っち
			b.WriteByte('c')
			i++
			continue
		}
		for _, p := range spellings {
			if strings.HasPrefix(s[i:], p.from) {
				b.WriteString(p.to)
				i += len(p.from)
				continue next
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}
