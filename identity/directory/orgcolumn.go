package directory

import (
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// orgColumns are the columns of an organizations file, in the order of the template.
var orgColumns = []column[identity.Organization]{
	orgText("code", "団体コード", true, func(o *identity.Organization) *string { return (*string)(&o.ID) },
		"全国地方公共団体コード", "地方公共団体コード", "組織コード", "法人番号", "保険者番号", "コード", "org", "organization_code"),
	{
		name: "kind", ja: "種別", required: true, also: []string{"組織種別", "団体種別", "区分", "type"},
		set:  func(o *identity.Organization, s string) []fault { o.Kind = kindOf(s); return nil },
		cell: func(o *identity.Organization) string { return string(o.Kind) },
	},
	orgText("name", "名称", true, func(o *identity.Organization) *string { return &o.Name }, "団体名", "組織名", "機関名", "organization_name"),
	orgText("kana", "名称カナ", false, func(o *identity.Organization) *string { return &o.Kana },
		"カナ", "かな", "よみ", "よみがな", "フリガナ", "ふりがな", "団体名カナ", "組織名カナ", "name_kana"),
	orgText("parent", "上位団体コード", false, func(o *identity.Organization) *string { return (*string)(&o.Parent) },
		"親組織", "親", "上位組織", "上位組織コード", "親組織コード", "parent_code"),
	orgDay("from", "設置日", func(o *identity.Organization) *int64 { return &o.From }, "設置年月日", "valid_from"),
	orgDay("until", "廃止日", func(o *identity.Organization) *int64 { return &o.Until }, "廃止年月日", "valid_until"),
	orgText("successor", "承継団体コード", false, func(o *identity.Organization) *string { return (*string)(&o.Successor) },
		"後継組織", "後継団体コード", "承継団体", "後継"),
	orgText("state", "参加状態", false, func(o *identity.Organization) *string { return (*string)(&o.State) }, "状態", "利用状態", "onboarding"),
	orgText("duty_name", "平日連絡先", false, func(o *identity.Organization) *string { return &o.Duty.Name }, "平日日中の連絡先", "日中連絡先", "連絡先"),
	orgText("duty_phone", "平日電話番号", false, func(o *identity.Organization) *string { return &o.Duty.Phone }, "日中電話番号", "連絡先電話番号"),
	orgText("duty_email", "平日メールアドレス", false, func(o *identity.Organization) *string { return &o.Duty.Email }, "日中メールアドレス", "連絡先メールアドレス"),
	orgText("night_name", "夜間休日連絡先", false, func(o *identity.Organization) *string { return &o.Night.Name }, "夜間連絡先", "夜間・休日の連絡先", "緊急連絡先"),
	orgText("night_phone", "夜間休日電話番号", false, func(o *identity.Organization) *string { return &o.Night.Phone }, "夜間電話番号", "緊急電話番号"),
	orgText("night_email", "夜間休日メールアドレス", false, func(o *identity.Organization) *string { return &o.Night.Email }, "夜間メールアドレス", "緊急メールアドレス"),
}

func orgText(name, ja string, required bool, of func(*identity.Organization) *string, also ...string) column[identity.Organization] {
	return column[identity.Organization]{
		name: name, ja: ja, also: also, required: required,
		set:  func(o *identity.Organization, s string) []fault { *of(o) = s; return nil },
		cell: func(o *identity.Organization) string { return *of(o) },
	}
}

func orgDay(name, ja string, of func(*identity.Organization) *int64, also ...string) column[identity.Organization] {
	return column[identity.Organization]{
		name: name, ja: ja, also: also,
		set:  func(o *identity.Organization, s string) []fault { return dayCell(name, s, 0, of(o)) },
		cell: func(o *identity.Organization) string { return jst.Date(*of(o)) },
	}
}

// kindOf reads a kind by its English word or what it is called in Japanese. What it doesn't know stays as it is, for the check to refuse.
func kindOf(s string) policies.OrgKind {
	folded := foldHeader(s)
	for _, k := range policies.OrgKinds() {
		if folded == foldHeader(string(k)) || folded == foldHeader(k.Name().JA) {
			return k
		}
	}
	switch folded {
	case "府省庁", "省庁", "府省":
		return policies.KindMinistry
	case "市町村", "特別区", "市", "町", "村":
		return policies.KindMunicipality
	case "区", "政令区":
		return policies.KindWard
	case "保険者", "健康保険組合":
		return policies.KindInsurer
	case "後期高齢者医療広域連合":
		return policies.KindUnion
	}
	return policies.OrgKind(s)
}

// OrganizationHeader are the names of the columns of OrganizationCells, in Japanese or English.
func OrganizationHeader(locale review.Locale) []string { return headerNames(orgColumns, locale) }

// OrganizationCells writes an organization as a row of an organizations file: what ReadOrganizations reads back.
func OrganizationCells(o identity.Organization) []string {
	var cells []string
	for _, c := range orgColumns {
		cells = append(cells, c.cell(&o))
	}
	return cells
}
