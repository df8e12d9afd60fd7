package sample

import (
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// domains of the organizations that are known by a word rather than by their number.
var domains = map[policies.OrgID]string{
	"2000012020001": "somu.example.go.jp",
	"6000012070001": "mhlw.example.go.jp",
	"7000012060001": "mext.example.go.jp",
	"8000012010038": "digital.example.go.jp",
}

// Domain is the e-mail domain of an organization's sample people: under example.lg.jp for local governments, under example.go.jp for
// ministries and agencies.
func Domain(o identity.Organization) string {
	if d, ok := domains[o.ID]; ok {
		return d
	}
	if o.Kind.LocalGovernment() {
		return fmt.Sprintf("c%s.example.lg.jp", o.ID)
	}
	return fmt.Sprintf("n%s.example.go.jp", o.ID)
}

// People makes perOrg people without ids for each organization, in the order of orgs; wards have none. The first of each is an
// administrator, the others general users. Whom an organization gets depends on its number and the seed alone.
func People(orgs []identity.Organization, perOrg int, seed uint64) iter.Seq[identity.Person] {
	return func(yield func(identity.Person) bool) {
		for _, o := range orgs {
			if o.Kind == policies.KindWard {
				continue
			}
			h := fnv.New64a()
			_, _ = h.Write([]byte(o.ID)) // a hash never fails
			draw := rand.New(rand.NewPCG(seed, h.Sum64()))
			for n := 1; n <= perOrg; n++ {
				if !yield(person(o, n, draw)) {
					return
				}
			}
		}
	}
}

func person(o identity.Organization, n int, draw *rand.Rand) identity.Person {
	family, given := familyNames[draw.IntN(len(familyNames))], givenNames[draw.IntN(len(givenNames))]
	p := identity.Person{
		Org: o.ID, StaffNumber: fmt.Sprintf("S%05d", n),
		FamilyName: family.kanji, GivenName: given.kanji, FamilyKana: family.kana, GivenKana: given.kana,
		Email: fmt.Sprintf("%s.%s.%d@%s", given.romaji, family.romaji, n, Domain(o)), // the number keeps namesakes apart
		Role:  policies.RoleGeneral,
	}
	if n == 1 {
		p.Role = policies.RoleAdministrator
	}
	return p
}

type name struct{ kanji, kana, romaji string }

var familyNames = []name{
	{"佐藤", "サトウ", "sato"},
	{"鈴木", "スズキ", "suzuki"},
	{"高橋", "タカハシ", "takahashi"},
	{"田中", "タナカ", "tanaka"},
	{"伊藤", "イトウ", "ito"},
	{"渡辺", "ワタナベ", "watanabe"},
	{"渡邊", "ワタナベ", "watanabe"},
	{"山本", "ヤマモト", "yamamoto"},
	{"中村", "ナカムラ", "nakamura"},
	{"小林", "コバヤシ", "kobayashi"},
	{"加藤", "カトウ", "kato"},
	{"吉田", "ヨシダ", "yoshida"},
	{"山田", "ヤマダ", "yamada"},
	{"佐々木", "ササキ", "sasaki"},
	{"山口", "ヤマグチ", "yamaguchi"},
	{"松本", "マツモト", "matsumoto"},
	{"井上", "イノウエ", "inoue"},
	{"木村", "キムラ", "kimura"},
	{"林", "ハヤシ", "hayashi"},
	{"斎藤", "サイトウ", "saito"},
	{"齋藤", "サイトウ", "saito"},
	{"清水", "シミズ", "shimizu"},
	{"山崎", "ヤマザキ", "yamazaki"},
	{"森", "モリ", "mori"},
	{"池田", "イケダ", "ikeda"},
	{"橋本", "ハシモト", "hashimoto"},
	{"阿部", "アベ", "abe"},
	{"石川", "イシカワ", "ishikawa"},
	{"山下", "ヤマシタ", "yamashita"},
	{"中島", "ナカジマ", "nakajima"},
	{"石井", "イシイ", "ishii"},
	{"小川", "オガワ", "ogawa"},
	{"前田", "マエダ", "maeda"},
	{"岡田", "オカダ", "okada"},
	{"長谷川", "ハセガワ", "hasegawa"},
	{"藤田", "フジタ", "fujita"},
	{"後藤", "ゴトウ", "goto"},
	{"近藤", "コンドウ", "kondo"},
	{"村上", "ムラカミ", "murakami"},
	{"遠藤", "エンドウ", "endo"},
	{"青木", "アオキ", "aoki"},
	{"坂本", "サカモト", "sakamoto"},
	{"福田", "フクダ", "fukuda"},
	{"太田", "オオタ", "ota"},
	{"西村", "ニシムラ", "nishimura"},
	{"藤井", "フジイ", "fujii"},
	{"金子", "カネコ", "kaneko"},
	{"三浦", "ミウラ", "miura"},
	{"比嘉", "ヒガ", "higa"},
	{"神田", "カンダ", "kanda"},
}

var givenNames = []name{
	{"花子", "ハナコ", "hanako"},
	{"太郎", "タロウ", "taro"},
	{"一郎", "イチロウ", "ichiro"},
	{"健太", "ケンタ", "kenta"},
	{"大輔", "ダイスケ", "daisuke"},
	{"翔太", "ショウタ", "shota"},
	{"直樹", "ナオキ", "naoki"},
	{"和也", "カズヤ", "kazuya"},
	{"拓也", "タクヤ", "takuya"},
	{"誠", "マコト", "makoto"},
	{"学", "マナブ", "manabu"},
	{"隆", "タカシ", "takashi"},
	{"浩", "ヒロシ", "hiroshi"},
	{"修", "オサム", "osamu"},
	{"剛", "ツヨシ", "tsuyoshi"},
	{"亮", "リョウ", "ryo"},
	{"悠斗", "ユウト", "yuto"},
	{"蓮", "レン", "ren"},
	{"陽菜", "ヒナ", "hina"},
	{"結衣", "ユイ", "yui"},
	{"美咲", "ミサキ", "misaki"},
	{"愛", "アイ", "ai"},
	{"恵", "メグミ", "megumi"},
	{"裕子", "ユウコ", "yuko"},
	{"陽子", "ヨウコ", "yoko"},
	{"久美子", "クミコ", "kumiko"},
	{"由美", "ユミ", "yumi"},
	{"智子", "トモコ", "tomoko"},
	{"真由美", "マユミ", "mayumi"},
	{"香織", "カオリ", "kaori"},
	{"千尋", "チヒロ", "chihiro"},
	{"さくら", "サクラ", "sakura"},
	{"あゆみ", "アユミ", "ayumi"},
	{"葵", "アオイ", "aoi"},
	{"優子", "ユウコ", "yuko"},
	{"麻衣", "マイ", "mai"},
	{"彩", "アヤ", "aya"},
	{"純一", "ジュンイチ", "junichi"},
	{"秀樹", "ヒデキ", "hideki"},
	{"幸子", "サチコ", "sachiko"},
}
