package sample

import (
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// domains of the organizations that are known by a word rather than by their number.
var domains = map[policies.OrgID]string{
	"2000012020001": "somu.example.go.jp",
	"6000012070001": "mhlw.example.go.jp",
	"7000012060001": "mext.example.go.jp",
	"8000012010038": "digital.example.go.jp",
}

// Domain is the e-mail domain of an organization's sample people: under example.lg.jp for local governments and their unions, under
// example.go.jp for ministries, agencies and incorporated agencies, under example.or.jp for insurers, under example.co.jp for companies.
func Domain(o identity.Organization) string {
	if d, ok := domains[o.ID]; ok {
		return d
	}
	switch {
	case o.Kind.LocalGovernment():
		return "c" + string(o.ID) + ".example.lg.jp"
	case o.Kind == policies.KindUnion:
		return "n" + string(o.ID) + ".example.lg.jp"
	case o.Kind == policies.KindInsurer:
		return "n" + string(o.ID) + ".example.or.jp"
	case o.Kind == policies.KindContractor, o.Kind == policies.KindMiddleware:
		return "n" + string(o.ID) + ".example.co.jp"
	}
	return "n" + string(o.ID) + ".example.go.jp"
}

// People makes perOrg people without ids for each organization, in the order of orgs; wards have none. The first of each is an
// administrator, the others general users. Whom an organization gets depends on its number and the seed alone. Every character can be
// written in CP932; Variants adds what can't.
func People(orgs []identity.Organization, perOrg int, seed uint64) iter.Seq[identity.Person] {
	return func(yield func(identity.Person) bool) {
		for _, o := range orgs {
			if o.Kind == policies.KindWard {
				continue
			}
			h := fnv.New64a()
			_, _ = h.Write([]byte(o.ID)) // a hash never fails
			m := maker{
				org: o, domain: Domain(o), sections: sectionsOf(o.Kind),
				name: rand.New(rand.NewPCG(seed, h.Sum64())), rest: rand.New(rand.NewPCG(h.Sum64(), seed)),
			}
			m.exchange = fmt.Sprintf("00-%04d-", m.rest.IntN(9000)+1000)
			for n := 1; n <= perOrg; n++ {
				if !yield(m.person(n)) {
					return
				}
			}
		}
	}
}

// maker makes the people of one organization. Names have a source of chance of their own, so that they stay when people get
// something more to say.
type maker struct {
	org        identity.Organization
	domain     string
	sections   []section
	exchange   string // the part of the telephone numbers that all share: no area code begins with 00
	name, rest *rand.Rand
}

func (m *maker) person(n int) identity.Person {
	family, given := familyNames[m.name.IntN(len(familyNames))], givenNames[m.name.IntN(len(givenNames))]
	p := identity.Person{
		Org: m.org.ID, StaffNumber: numbered("S", n, 5),
		FamilyName: family.kanji, GivenName: given.kanji, FamilyKana: family.kana, GivenKana: given.kana,
		FamilyRomaji: capital(family.romaji), GivenRomaji: capital(given.romaji),
		Email: address(given.romaji, family.romaji, n, m.domain),
		Role:  policies.RoleGeneral,
		Phone: numbered(m.exchange, n%10000, 4), Extension: strconv.Itoa(1000 + n),
	}
	at, title := m.sections[m.rest.IntN(len(m.sections))], titles[m.rest.IntN(len(titles))]
	p.Section, p.Title, p.Duties = at.name, title, at.duties[m.rest.IntN(len(at.duties))]
	if n == 1 {
		p.Role, p.Section, p.Title, p.Duties = policies.RoleAdministrator, m.sections[0].name, "係長", m.sections[0].duties[0]
	}
	if n%4 == 0 { // names as people register them: as long as Windows writes them, the directory keeps them
		if other, ok := registered[family.kanji]; ok {
			p.FamilyName = other
		}
	}
	if away := m.rest.IntN(60); away < 2 && n > 1 {
		p.AbsentFrom = absences[away].from.UnixMicro()
		if until := absences[away].until; !until.IsZero() {
			p.AbsentUntil = until.UnixMicro()
		}
	}
	if m.rest.IntN(12) == 0 { // as an old system wrote it
		if half, ok := halfWidth[family.kanji]; ok {
			p.FamilyKana = half
		}
	}
	return p
}

// numbered appends a number of at least so many digits. It stands for fmt, which would take most of the time.
func numbered(prefix string, n, digits int) string {
	b := make([]byte, 0, 24)
	b = append(b, prefix...)
	for limit := 10; digits > 1; digits, limit = digits-1, limit*10 {
		if n < limit {
			b = append(b, "00000000"[:digits-1]...)
			break
		}
	}
	return string(strconv.AppendInt(b, int64(n), 10))
}

// capital writes a name in lower-case Latin letters as people sign.
func capital(s string) string { return string(s[0]-'a'+'A') + s[1:] }

// address has the number so that namesakes differ.
func address(given, family string, n int, domain string) string {
	return given + "." + family + "." + strconv.Itoa(n) + "@" + domain
}

// absences are without an end that is known, and with one.
var absences = [2]struct{ from, until time.Time }{
	{time.Date(2026, 1, 5, 0, 0, 0, 0, jst.Zone), time.Time{}},
	{time.Date(2026, 7, 1, 0, 0, 0, 0, jst.Zone), time.Date(2027, 7, 1, 0, 0, 0, 0, jst.Zone)},
}

// registered are family names as some people register them: 髙, 﨑 and U+FA19, of CP932 but not of JIS X 0208.
var registered = map[string]string{"高橋": "髙橋", "山崎": "山﨑", "神田": "\uFA19田"}

// halfWidth are readings as systems of the half-width age keep them.
var halfWidth = map[string]string{"佐藤": "ｻﾄｳ", "鈴木": "ｽｽﾞｷ", "後藤": "ｺﾞﾄｳ", "渡辺": "ﾜﾀﾅﾍﾞ", "阿部": "ｱﾍﾞ", "森": "ﾓﾘ", "中島": "ﾅｶｼﾞﾏ", "近藤": "ｺﾝﾄﾞｳ"}

// variants are family names that CP932 can't write: with a variation selector (葛 with U+E0100 is another shape of 葛), or beyond the first plane.
var variants = []name{
	{"葛\U000E0100城", "カツラギ", "katsuragi"},
	{"辻\U000E0101", "ツジ", "tsuji"},
	{"渡邉\U000E0101", "ワタナベ", "watanabe"},
	{"𠮷田", "ヨシダ", "yoshida"},
	{"𣘺本", "ハシモト", "hashimoto"},
}

// Variants gives every thirtieth of the people a family name that exists in Unicode alone. The e-mail addresses stay.
func Variants(people iter.Seq[identity.Person]) iter.Seq[identity.Person] {
	return func(yield func(identity.Person) bool) {
		n := 0
		for p := range people {
			if n++; n%30 == 0 {
				v := variants[n/30%len(variants)]
				p.FamilyName, p.FamilyKana, p.FamilyRomaji = v.kanji, v.kana, capital(v.romaji)
			}
			if !yield(p) {
				return
			}
		}
	}
}
