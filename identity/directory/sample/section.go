package sample

import "github.com/musubi-hub/musubi/policies"

// section is a section and what its people do. The first of each list is the one that administers the organization's users.
type section struct {
	name   string
	duties []string
}

var titles = []string{"課長", "課長補佐", "係長", "係長", "主査", "主査", "主任", "主任", "主事", "主事", "主事", "会計年度任用職員"}

var (
	townSections = []section{
		{"情報政策課", []string{"団体内利用者管理", "情報システム標準化", "情報セキュリティ", "番号制度"}},
		{"総務課", []string{"文書", "人事・給与", "選挙", "例規"}},
		{"市民課", []string{"住民基本台帳", "戸籍", "印鑑登録", "個人番号カード交付"}},
		{"税務課", []string{"個人住民税", "固定資産税", "軽自動車税", "収納管理"}},
		{"保険年金課", []string{"国民健康保険", "後期高齢者医療", "国民年金"}},
		{"福祉課", []string{"生活保護", "障害者福祉", "児童手当", "介護保険"}},
		{"子育て支援課", []string{"子ども・子育て支援", "児童扶養手当", "就学"}},
		{"健康推進課", []string{"健康管理", "予防接種", "母子保健"}},
		{"危機管理課", []string{"防災", "災害対策", "国民保護"}},
		{"会計課", []string{"出納", "財務会計"}},
	}
	prefectureSections = []section{
		{"デジタル推進課", []string{"団体内利用者管理", "市町村の標準化支援", "情報セキュリティ"}},
		{"市町村課", []string{"市町村行政", "市町村財政", "選挙"}},
		{"総務課", []string{"文書", "人事・給与"}},
		{"税務課", []string{"自動車税", "個人事業税"}},
		{"防災危機管理課", []string{"防災", "災害対策"}},
		{"国民健康保険課", []string{"国民健康保険", "後期高齢者医療"}},
		{"障害福祉課", []string{"障害者手帳", "特別児童扶養手当"}},
	}
	ministrySections = []section{
		{"大臣官房企画課", []string{"利用者管理", "情報システム", "調整"}},
		{"制度企画室", []string{"制度改正", "法令", "標準仕様書"}},
		{"地方連携推進室", []string{"自治体からの照会", "説明会", "調査"}},
		{"システム企画官室", []string{"情報連携", "データ要件・連携要件"}},
	}
	bodySections = []section{
		{"総務課", []string{"利用者管理", "文書", "人事・給与"}},
		{"業務課", []string{"資格管理", "給付", "保険料"}},
		{"情報企画課", []string{"情報システム", "情報セキュリティ"}},
	}
	companySections = []section{
		{"公共運用部", []string{"利用者管理", "運用管理", "障害対応"}},
		{"公共開発部", []string{"標準準拠システムの開発", "データ移行", "連携試験"}},
		{"サポートセンター", []string{"問合せ対応", "ヘルプデスク"}},
		{"品質保証部", []string{"検証", "情報セキュリティ"}},
	}
)

func sectionsOf(kind policies.OrgKind) []section {
	switch kind {
	case policies.KindMunicipality:
		return townSections
	case policies.KindPrefecture:
		return prefectureSections
	case policies.KindMinistry, policies.KindAgency:
		return ministrySections
	case policies.KindContractor, policies.KindMiddleware:
		return companySections
	}
	return bodySections
}
