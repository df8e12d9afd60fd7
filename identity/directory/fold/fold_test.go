package fold

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestKey(t *testing.T) {
	for in, want := range map[string]string{
		"サトウ": "さとう", "ｻﾄｳ": "さとう", "さとう": "さとう", "ﾊﾞﾊﾞ": "ばば", "ガ": "が", "か\u3099": "が", "ヴァ": "ゔぁ",
		"髙橋": "高橋", "山﨑": "山崎", "渡邊": "渡辺", "渡邉": "渡辺", "齋藤": "斉藤", "齊藤": "斉藤", "斎藤": "斉藤", "澤": "沢", "濱": "浜", "濵": "浜", "廣": "広", "𠮷野": "吉野",
		"葛\U000e0100城": "葛城", "辻\ufe00": "辻", "\ufa19戸": "神戸", "神戸": "神戸", "霞ヶ関": "霞け関", "霞ケ関": "霞け関",
		"ＡＢＣ": "abc", "Ｓａｔｏ": "sato", "Satō": "sato", "SATÔ": "sato", "é": "e", "ﾎｰﾑ": "ほーむ", "ホ－ム": "ほーむ", "ホ―ム": "ほーむ", "ホ−ム": "ほーむ", "ホ~ム": "ほーむ", "ホ-ム": "ほーむ",
		"03－1234": "03-1234", "03−1234": "03-1234", "1〜2": "1~2", "佐藤\u3000花子": "佐藤 花子", "  a \t b ": "a b", "a\u200bb": "ab", "㈱": "(株)", "①": "1", "": "", "　": "",
		"キャ": "きゃ", "キヤ": "きや", "İ": "i", "大阪": "大阪", "大坂": "大坂",
	} {
		if got := Key(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// One person, however their name is written.
func TestRomaji(t *testing.T) {
	for want, spellings := range map[string][]string{
		"sato":       {"さとう", "サトウ", "ｻﾄｳ", "sato", "satou", "satoh", "Satō", "SATOO", "サトー"},
		"ono":        {"おおの", "オオノ", "ohno", "oono", "ono", "おの", "ōno"},
		"ohara":      {"おおはら", "おはら", "ohara", "oohara"},
		"ito":        {"いとう", "ito", "itou", "itoh"},
		"shinichi":   {"しんいち", "shin'ichi", "shinichi", "sin'iti"},
		"junichiro":  {"じゅんいちろう", "junichiro", "jun'ichirou", "zyun'itirou", "JUNICHIROH"},
		"honma":      {"ほんま", "honma", "homma"},
		"nanba":      {"なんば", "namba", "nanba"},
		"hattori":    {"はっとり", "hattori"},
		"bocchan":    {"ぼっちゃん", "botchan", "bocchan", "bottyan"},
		"fujitsu":    {"ふじつ", "hujitu", "fujitsu", "huzitu"},
		"tsuzuki":    {"つづき", "つずき", "tsuzuki", "tuduki", "tsudzuki"},
		"inoe":       {"いのうえ", "inoue", "inouye"},
		"nigata":     {"にいがた", "niigata", "nigata"},
		"kyoko":      {"きょうこ", "kyoko", "kyouko", "kyohko"},
		"yuki":       {"ゆうき", "ゆき", "yuuki", "yuki", "Yūki"},
		"konno":      {"こんの", "konno", "kon'no"},
		"kono":       {"こうの", "kono", "kouno", "kohno"},
		"biorareoe":  {"ヴィオラレオエ", "violaleoe"},
		"sato hana1": {"サトウ ハナ1", "satoh hana1"},
	} {
		for _, s := range spellings {
			if got := Romaji(s); got != want {
				t.Errorf("%s: %q, want %q", s, got, want)
			}
		}
	}
	for _, pair := range [][2]string{{"こうの", "こんの"}, {"さとう", "さた"}, {"はっとり", "はとり"}} {
		if Romaji(pair[0]) == Romaji(pair[1]) {
			t.Errorf("%v are one", pair)
		}
	}
}

// The table has no chains, and nothing stands in two groups.
func TestVariants(t *testing.T) {
	for from, to := range variants {
		if further, ok := variants[to]; ok {
			t.Errorf("%c, %c, %c", from, to, further)
		}
		if Key(string(from)) != string(to) {
			t.Errorf("%c: %s, want %c", from, Key(string(from)), to)
		}
	}
}

func anyText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "wild") {
			return rapid.String().Draw(t, "text")
		}
		return string(rapid.SliceOf(rapid.SampledFrom([]rune("ｻﾄｳﾞサトウさとうーｰ-－〜~髙邉齋ヶŌōÔaohcchtyuinmbp' 　\u3099\u0304\u0301\ufe00\U000e0100っッヴぁİẞǅ㈱①"))).Draw(t, "runes"))
	})
}

func TestIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyText().Draw(t, "s")
		if k := Key(s); Key(k) != k || !utf8.ValidString(k) || strings.Contains(k, "  ") {
			t.Fatalf("%q: %q, %q", s, k, Key(k))
		}
		if r := Romaji(s); Romaji(r) != r || Romaji(Key(s)) != r {
			t.Fatalf("%q: %q, %q", s, r, Romaji(r))
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{"", "ｻﾄｳ", "髙\U000e0100", "ō\u0304", "\xff", "İ", "ホ-ム"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if k := Key(s); Key(k) != k {
			t.Fatalf("%q: %q, %q", s, k, Key(k))
		}
		if r := Romaji(s); Romaji(r) != r {
			t.Fatalf("%q: %q, %q", s, r, Romaji(r))
		}
	})
}

func BenchmarkKey(b *testing.B) {
	for b.Loop() {
		_ = Key("髙橋") + Romaji("ﾀｶﾊｼ")
	}
}
