package directory

import (
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// fieldSet is a set of the fields of a person that a file can say, beside organization and staff number, which say who it is.
type fieldSet uint32

// The fields, in the order of personTexts.
const (
	fieldFamilyName fieldSet = 1 << iota
	fieldGivenName
	fieldFamilyKana
	fieldGivenKana
	fieldFamilyRomaji
	fieldGivenRomaji
	fieldEmail
	fieldMailbox
	fieldRole
	fieldSection
	fieldTitle
	fieldDuties
	fieldPhone
	fieldExtension
	fieldFax
	fieldAbsentFrom
	fieldAbsentUntil

	allFields  = fieldAbsentUntil<<1 - 1
	textFields = 15
)

// personTexts are the fields that are texts; then come the two times.
func personTexts(p *identity.Person) [textFields]*string {
	return [textFields]*string{
		&p.FamilyName, &p.GivenName, &p.FamilyKana, &p.GivenKana, &p.FamilyRomaji, &p.GivenRomaji, &p.Email, &p.Mailbox, (*string)(&p.Role),
		&p.Section, &p.Title, &p.Duties, &p.Phone, &p.Extension, &p.Fax,
	}
}

// overlay gives p the fields of the set as q has them.
func overlay(p, q *identity.Person, set fieldSet) {
	to, from := personTexts(p), personTexts(q)
	for i := range to {
		if set&(1<<i) != 0 {
			*to[i] = *from[i]
		}
	}
	if set&fieldAbsentFrom != 0 {
		p.AbsentFrom = q.AbsentFrom
	}
	if set&fieldAbsentUntil != 0 {
		p.AbsentUntil = q.AbsentUntil
	}
}

// personColumns are the columns of a people file, in the order of the template.
var personColumns = []column[identity.Person]{
	{
		name: "org", ja: "団体コード", required: true,
		also: []string{"全国地方公共団体コード", "地方公共団体コード", "組織コード", "組織", "法人番号", "保険者番号", "organization", "organization_code"},
		set:  func(p *identity.Person, s string) []fault { p.Org = policies.OrgID(s); return nil },
		cell: func(p *identity.Person) string { return string(p.Org) },
	},
	text("staff_number", "職員番号", 0, true, func(p *identity.Person) *string { return &p.StaffNumber },
		"職員コード", "職員ID", "社員番号", "staff_no", "employee_number", "employee_id"),
	text("family_name", "姓", fieldFamilyName, true, func(p *identity.Person) *string { return &p.FamilyName }, "氏", "名字", "苗字", "姓漢字", "last_name", "surname"),
	text("given_name", "名", fieldGivenName, false, func(p *identity.Person) *string { return &p.GivenName }, "名漢字", "first_name", "forename"),
	split("name", "氏名", fieldFamilyName|fieldGivenName, func(p *identity.Person) (a, b *string) { return &p.FamilyName, &p.GivenName },
		"名前", "職員氏名", "氏名漢字", "full_name", "display_name"),
	text("family_kana", "セイ", fieldFamilyKana, false, func(p *identity.Person) *string { return &p.FamilyKana },
		"姓カナ", "姓かな", "氏カナ", "姓フリガナ", "姓ふりがな", "last_name_kana"),
	text("given_kana", "メイ", fieldGivenKana, false, func(p *identity.Person) *string { return &p.GivenKana },
		"名カナ", "名かな", "名フリガナ", "名ふりがな", "first_name_kana"),
	split("kana", "氏名カナ", fieldFamilyKana|fieldGivenKana, func(p *identity.Person) (a, b *string) { return &p.FamilyKana, &p.GivenKana },
		"カナ氏名", "フリガナ", "ふりがな", "氏名フリガナ", "氏名ふりがな", "カナ", "name_kana", "full_name_kana"),
	text("family_romaji", "姓ローマ字", fieldFamilyRomaji, false, func(p *identity.Person) *string { return &p.FamilyRomaji }, "氏ローマ字", "姓英字"),
	text("given_romaji", "名ローマ字", fieldGivenRomaji, false, func(p *identity.Person) *string { return &p.GivenRomaji }, "名英字"),
	split("romaji", "ローマ字", fieldFamilyRomaji|fieldGivenRomaji, func(p *identity.Person) (a, b *string) { return &p.FamilyRomaji, &p.GivenRomaji },
		"氏名ローマ字", "ローマ字氏名", "英字氏名", "name_romaji"),
	text("email", "メールアドレス", fieldEmail, true, func(p *identity.Person) *string { return &p.Email },
		"メール", "Eメール", "電子メール", "電子メールアドレス", "e-mail", "mail", "email_address", "mail_address"),
	text("mailbox", "配送先メールアドレス", fieldMailbox, false, func(p *identity.Person) *string { return &p.Mailbox }, "配送先"),
	{
		name: "role", ja: "権限", required: true, fields: fieldRole,
		also: []string{"役割", "ロール", "権限区分", "利用者区分", "ユーザ区分", "ユーザー区分"},
		set:  func(p *identity.Person, s string) []fault { p.Role = roleOf(s); return nil },
		cell: func(p *identity.Person) string { return string(p.Role) },
	},
	text("section", "部署", fieldSection, false, func(p *identity.Person) *string { return &p.Section },
		"所属", "部署名", "所属名", "所属部署", "課", "課名", "部課", "部課名", "department", "division"),
	text("title", "役職", fieldTitle, false, func(p *identity.Person) *string { return &p.Title }, "役職名", "職名", "職位", "job_title", "position"),
	text("duties", "担当業務", fieldDuties, false, func(p *identity.Person) *string { return &p.Duties }, "担当", "業務", "担当事務", "業務分野", "business_area"),
	text("phone", "電話番号", fieldPhone, false, func(p *identity.Person) *string { return &p.Phone }, "電話", "TEL", "直通電話", "telephone", "phone_number"),
	text("extension", "内線", fieldExtension, false, func(p *identity.Person) *string { return &p.Extension }, "内線番号", "ext"),
	text("fax", "FAX", fieldFax, false, func(p *identity.Person) *string { return &p.Fax }, "FAX番号", "ファクス", "ファックス", "ファクシミリ", "fax_number"),
	{
		name: "absent_from", ja: "不在開始日", fields: fieldAbsentFrom, also: []string{"不在開始", "休職開始日", "不在自"},
		set:  func(p *identity.Person, s string) []fault { return dayCell("absent_from", s, 0, &p.AbsentFrom) },
		cell: func(p *identity.Person) string { return jst.Date(p.AbsentFrom) },
	},
	{ // the last day of the absence, which ends with it
		name: "absent_until", ja: "不在終了日", fields: fieldAbsentUntil, also: []string{"不在終了", "休職終了日", "不在至"},
		set: func(p *identity.Person, s string) []fault { return dayCell("absent_until", s, 1, &p.AbsentUntil) },
		cell: func(p *identity.Person) string {
			if p.AbsentUntil == 0 {
				return ""
			}
			return jst.Date(p.AbsentUntil - oneDay)
		},
	},
}

const oneDay = int64(24 * time.Hour / time.Microsecond)

// text is a column that says one field as it is.
func text(name, ja string, fields fieldSet, required bool, of func(*identity.Person) *string, also ...string) column[identity.Person] {
	return column[identity.Person]{
		name: name, ja: ja, also: also, required: required, fields: fields,
		set:  func(p *identity.Person, s string) []fault { *of(p) = s; return nil },
		cell: func(p *identity.Person) string { return *of(p) },
	}
}

// split is a column that says two fields with a space between: the family's part first. Nobody can tell where to cut a name
// without one.
func split(name, ja string, fields fieldSet, of func(*identity.Person) (a, b *string), also ...string) column[identity.Person] {
	return column[identity.Person]{
		name: name, ja: ja, also: also, fields: fields, only: true,
		set: func(p *identity.Person, s string) []fault {
			family, given := of(p)
			*family, *given = "", ""
			at := strings.IndexAny(s, " \u3000")
			switch {
			case s == "":
			case at < 0:
				*family = s // so that nothing else is found missing
				return []fault{{
					Column: name, Value: s,
					Reason: review.Say("姓と名の境が分かりません", "where the family name ends can't be told"),
					Remedy: review.Say("姓と名の間に空白を入れるか、姓と名を別の列にしてください", "put a space between family and given name, or give them columns of their own"),
				}}
			default:
				*family, *given = s[:at], strings.Trim(s[at:], " \u3000")
			}
			return nil
		},
	}
}

// dayCell reads a day in Japan and gives the instant at which it begins, or plus days later; empty is none.
func dayCell(column, s string, plus int, to *int64) []fault {
	*to = 0
	if s == "" {
		return nil
	}
	t, err := jst.ParseDate(s)
	if err != nil {
		return []fault{{
			Column: column, Value: s,
			Reason: review.Say("日付ではありません", "it is not a date"),
			Remedy: review.Say("2027-04-01、2027/4/1、令和9年4月1日、R9.4.1 のように書いてください", "write it like 2027-04-01, 2027/4/1, 令和9年4月1日 or R9.4.1"),
		}}
	}
	*to = t.AddDate(0, 0, plus).UTC().UnixMicro()
	return nil
}

// roleOf reads a role in Japanese or English. What it doesn't know stays as it is, for the check to refuse.
func roleOf(s string) policies.Role {
	switch s { // as most files write it
	case "管理ユーザ", string(policies.RoleAdministrator):
		return policies.RoleAdministrator
	case "一般ユーザ", string(policies.RoleGeneral):
		return policies.RoleGeneral
	}
	switch foldHeader(s) {
	case "管理ユーザ", "管理ユーザー", "管理者", "administrator":
		return policies.RoleAdministrator
	case "一般ユーザ", "一般ユーザー", "一般", "利用者", "general", "generaluser":
		return policies.RoleGeneral
	case "システム管理者", "systemadministrator":
		return policies.RoleSystemAdministrator
	}
	return policies.Role(s)
}

// PeopleHeader are the names of the columns of PersonCells, in Japanese or English.
func PeopleHeader(locale review.Locale) []string { return headerNames(personColumns, locale) }

// PersonCells writes a person as a row of a people file: what ReadPeople reads back.
func PersonCells(p identity.Person) []string {
	var cells []string
	for _, c := range personColumns {
		if !c.only {
			cells = append(cells, c.cell(&p))
		}
	}
	return cells
}
