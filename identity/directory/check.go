package directory

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/code"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// Limits of the values, in characters.
const (
	MaxCell        = 1000
	maxName        = 200
	maxStaffNumber = 64
	maxEmail       = 254
	maxEmailLocal  = 64
)

// fault is what a check finds: the advice without the place.
type fault = review.Finding

// cell checks what holds for every Value: UTF-8, length, no characters that hide. It returns at most one fault.
func cell(column, value string, limit int, required bool) []fault {
	switch {
	case value == "" && required:
		return []fault{empty(column)}
	case value == "":
		return nil
	case !utf8.ValidString(value):
		return []fault{notUTF8Cell(column, value)}
	case len(value) > limit && utf8.RuneCountInString(value) > limit:
		return []fault{tooLong(column, value, limit)}
	}
	for _, r := range value {
		switch {
		case r == utf8.RuneError:
			return []fault{lostCharacter(column, value)}
		case review.Invisible(r):
			return []fault{badCharacter(column, value, r)}
		}
	}
	return nil
}

// checkOrganization checks what can be known without the directory, and fills in a municipality's prefecture.
func checkOrganization(o *identity.Organization) []fault {
	var faults []fault
	known := slices.Contains(policies.OrgKinds(), o.Kind)
	if !known {
		faults = append(faults, kindFault(string(o.Kind))...)
	}
	faults = append(faults, checkOrgCode(o, known)...)
	faults = append(faults, cell("name", o.Name, maxName, true)...)
	faults = append(faults, cell("kana", o.Kana, maxName, false)...)
	faults = append(faults, checkDates(o)...)
	if len(faults) > 0 || !known {
		return faults
	}
	return checkParent(o)
}

func kindFault(value string) []fault {
	if faults := cell("kind", value, maxName, true); faults != nil {
		return faults
	}
	var words []string
	for _, k := range policies.OrgKinds() {
		words = append(words, string(k)+" ("+k.Name().JA+")")
	}
	return []fault{unknownWord("kind", value, words)}
}

func checkOrgCode(o *identity.Organization, known bool) []fault {
	value := string(o.ID)
	if faults := cell("code", value, maxName, true); faults != nil {
		return faults
	}
	parse := code.Parse
	if known {
		parse = func(s string) (policies.OrgID, error) { return code.ParseOf(o.Kind, s) }
	}
	id, err := parse(value)
	if err != nil {
		return []fault{badNumber("code", value, err)}
	}
	o.ID = id // an insurer's number may come in six digits
	if known && o.Kind.LocalGovernment() && code.IsPrefecture(o.ID) != (o.Kind == policies.KindPrefecture) {
		return []fault{{
			Column: "kind", Value: string(o.Kind),
			Reason: review.Say("コードと種別が合いません (3 桁目から 5 桁目が 000 のコードは都道府県だけです)", "code and kind don't fit: codes with 000 in the middle are those of prefectures, and only those"),
			Remedy: review.Say("コードか種別を直してください", "correct the code or the kind"),
		}}
	}
	return nil
}

func checkParent(o *identity.Organization) []fault {
	if faults := cell("parent", string(o.Parent), maxName, o.Kind == policies.KindWard); faults != nil {
		return faults
	}
	prefecture := code.PrefectureOf(o.ID)
	switch o.Kind {
	case policies.KindMunicipality:
		if o.Parent == "" {
			o.Parent = prefecture
		}
		if o.Parent != prefecture {
			return []fault{parentFault(o, "市区町村の親はその都道府県 "+string(prefecture)+" です", "the parent of a municipality is its prefecture, "+string(prefecture))}
		}
	case policies.KindWard:
		if _, err := code.ParseLocalGovernmentCode(string(o.Parent)); err != nil {
			return []fault{badNumber("parent", string(o.Parent), err)}
		}
		if code.PrefectureOf(o.Parent) != prefecture || code.IsPrefecture(o.Parent) {
			return []fault{parentFault(o, "行政区の親は同じ都道府県の指定都市です", "the parent of a ward is its city, in the same prefecture")}
		}
	default:
		if o.Parent != "" {
			return []fault{parentFault(o, "この種別の組織に親はありません", "an organization of this kind has no parent")}
		}
	}
	return nil
}

func parentFault(o *identity.Organization, ja, en string) fault {
	return fault{
		Column: "parent", Value: string(o.Parent), Reason: review.Say(ja, en),
		Remedy: review.Say("parent を直してください", "correct the parent"),
	}
}

// checkPerson checks what can be known without the directory.
func checkPerson(p *identity.Person) []fault {
	var faults []fault
	if f := cell("org", string(p.Org), maxName, true); f != nil {
		faults = append(faults, f...)
	} else if _, err := code.Parse(string(p.Org)); err != nil {
		faults = append(faults, badNumber("org", string(p.Org), err))
	}
	faults = append(faults, cell("staff_number", p.StaffNumber, maxStaffNumber, true)...)
	faults = append(faults, cell("family_name", p.FamilyName, maxName, true)...)
	faults = append(faults, cell("given_name", p.GivenName, maxName, false)...)
	faults = append(faults, cell("family_kana", p.FamilyKana, maxName, false)...)
	faults = append(faults, cell("given_kana", p.GivenKana, maxName, false)...)
	faults = append(faults, cell("family_romaji", p.FamilyRomaji, maxName, false)...)
	faults = append(faults, cell("given_romaji", p.GivenRomaji, maxName, false)...)
	faults = append(faults, cell("section", p.Section, maxName, false)...)
	faults = append(faults, cell("title", p.Title, maxName, false)...)
	faults = append(faults, cell("duties", p.Duties, MaxCell, false)...)
	faults = append(faults, checkPhone("phone", p.Phone)...)
	faults = append(faults, checkPhone("extension", p.Extension)...)
	faults = append(faults, checkPhone("fax", p.Fax)...)
	if p.Mailbox != "" {
		for _, f := range checkEmail(p.Mailbox) {
			f.Column = "mailbox"
			faults = append(faults, f)
		}
	}
	if p.AbsentFrom < 0 || p.AbsentUntil < 0 || p.AbsentUntil != 0 && (p.AbsentFrom == 0 || p.AbsentUntil <= p.AbsentFrom) {
		faults = append(faults, fault{
			Column: "absent_until",
			Reason: review.Say("不在の終わりが始まりより前か、始まりがありません", "the absence ends before it begins, or has no beginning"),
			Remedy: review.Say("日付を直してください", "correct the dates"),
		})
	}
	faults = append(faults, checkEmail(p.Email)...)
	if !slices.Contains(policies.Roles(), p.Role) {
		faults = append(faults, roleFault(string(p.Role))...)
	}
	return faults
}

func roleFault(value string) []fault {
	if faults := cell("role", value, maxName, true); faults != nil {
		return faults
	}
	var words []string
	for _, r := range policies.Roles() {
		words = append(words, string(r)+" ("+r.Name().JA+")")
	}
	return []fault{unknownWord("role", value, words)}
}

// checkEmail accepts what mail systems of the bodies really use: an ASCII dot-atom, and a domain of at least two labels. Quoted
// local parts, address literals and display names are refused.
func checkEmail(value string) []fault {
	if faults := cell("email", value, maxEmail, true); faults != nil {
		return faults
	}
	local, domain, found := strings.Cut(value, "@")
	switch {
	case !found:
		return []fault{badEmail(value, "@ がありません", "there is no @")}
	case strings.Contains(domain, "@"):
		return []fault{badEmail(value, "@ が二つ以上あります", "there is more than one @")}
	case len(local) > maxEmailLocal || !dotAtom(local):
		return []fault{badEmail(value, "@ の前に使えない文字があるか、長すぎます", "what stands before the @ has characters that are not allowed, or is too long")}
	case !domainName(domain):
		return []fault{badEmail(value, "@ の後がドメイン名ではありません", "what stands after the @ is not a domain name")}
	}
	return nil
}

func dotAtom(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if !alphanumeric(part[i]) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(part[i])) {
				return false
			}
		}
	}
	return true
}

func domainName(s string) bool {
	labels := 0
	for label := range strings.SplitSeq(s, ".") {
		labels++
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !alphanumeric(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return labels >= 2
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// emailKey is an address as it is compared: without case. Addresses are ASCII.
func emailKey(email string) string { return strings.ToLower(email) }

// rank says whether an organization of this kind may have such a person at all: wards have none, and system administrators, who may
// edit everything, sit in the operating agency alone, so that no town's file can make one.
func rank(kind policies.OrgKind, p *identity.Person) []fault {
	switch {
	case kind == policies.KindWard:
		return []fault{{
			Column: "org", Value: string(p.Org),
			Reason: review.Say("行政区に職員は登録できません", "a ward has no people of its own"),
			Remedy: review.Say("市のコードを書いてください", "write the code of its city"),
		}}
	case p.Role == policies.RoleSystemAdministrator && kind != policies.KindAgency:
		return []fault{{
			Column: "role", Value: string(p.Role),
			Reason: review.Say("システム管理者になれるのは運営機関の職員だけです", "only staff of the operating agency can be system administrators"),
			Remedy: review.Say("administrator か general にしてください", "write administrator or general"),
		}}
	}
	return nil
}
