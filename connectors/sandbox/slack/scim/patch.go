package scim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Operation is one operation of a PATCH.
type Operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

const maxOperations = 1000

// DecodePatch reads the body of PATCH.
func DecodePatch(raw []byte) ([]Operation, *Refusal) {
	var b struct {
		Schemas    []string    `json:"schemas"`
		Operations []Operation `json:"Operations"`
	}
	if no := decode(raw, &b); no != nil {
		return nil, no
	}
	if no := checkSchemas(b.Schemas, SchemaPatch); no != nil {
		return nil, no
	}
	if len(b.Operations) == 0 || len(b.Operations) > maxOperations {
		return nil, bad("missing_operations")
	}
	for i := range b.Operations {
		op := &b.Operations[i]
		op.Op = strings.ToLower(op.Op)
		switch op.Op {
		case "add", "replace":
			if absent(op.Value) {
				return nil, bad("missing_value")
			}
		case "remove":
			if op.Path == "" {
				return nil, bad("missing_path")
			}
			if !strings.EqualFold(op.Path, "members") {
				op.Value = nil
			}
		default:
			return nil, bad("invalid_operation")
		}
	}
	return b.Operations, nil
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// Path is where an operation works: attr, attr.sub, attr[key eq literal] or attr[key eq literal].sub, an extension's URN before it.
type Path struct {
	Schema  string // the extension's, "" for the core
	Attr    string // lower case; "" is the whole extension
	Key     string // of the filter, lower case
	Literal string // as written, without quotes
	Quoted  bool
	Sub     string // lower case
}

// maxPath bounds a path.
const maxPath = 1024

// ParsePath reads a path; nil says that it is none.
func ParsePath(s string) *Path {
	if len(s) > maxPath {
		return nil
	}
	p := &Path{}
	for _, urn := range []string{SchemaEnterprise, SchemaGuest, SchemaProfile, SchemaUser, SchemaGroup} {
		if len(s) < len(urn) || !strings.EqualFold(s[:len(urn)], urn) {
			continue
		}
		if urn != SchemaUser && urn != SchemaGroup {
			p.Schema = urn
		}
		if s = s[len(urn):]; s == "" {
			if p.Schema == "" {
				return nil
			}
			return p
		}
		if s[0] != ':' && s[0] != '.' { // documented both ways: "…:User:employeeNumber", "…:User.manager.managerId"
			return nil
		}
		s = s[1:]
		break
	}
	rest := p.name(&p.Attr, s)
	if p.Attr == "" {
		return nil
	}
	if strings.HasPrefix(rest, "[") {
		inside, after, ok := strings.Cut(rest[1:], "]")
		if !ok || !p.filter(inside) {
			return nil
		}
		rest = after
	}
	if strings.HasPrefix(rest, ".") {
		if rest = p.name(&p.Sub, rest[1:]); p.Sub == "" {
			return nil
		}
	}
	if rest != "" {
		return nil
	}
	return p
}

// name reads an attribute name and gives what follows.
func (*Path) name(into *string, s string) string {
	i := 0
	for i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9' || s[i] == '_' || s[i] == '$') {
		i++
	}
	*into = strings.ToLower(s[:i])
	return s[i:]
}

// filter reads `key eq literal`, with or without quotes.
func (p *Path) filter(s string) bool {
	part := strings.Fields(s)
	if len(part) < 3 || !strings.EqualFold(part[1], "eq") {
		return false
	}
	_, literal, _ := strings.Cut(strings.TrimSpace(s), part[0])
	_, literal, _ = strings.Cut(literal, part[1])
	literal = strings.TrimSpace(literal)
	if p.name(&p.Key, part[0]) != "" || p.Key == "" {
		return false
	}
	if strings.HasPrefix(literal, `"`) {
		p.Quoted = true
		return json.Unmarshal([]byte(literal), &p.Literal) == nil
	}
	p.Literal = literal
	return !strings.ContainsAny(literal, " \"")
}

// PatchUser applies the operations to a copy of u. All or nothing. externalId and profileUrl are left as they are, silently.
func PatchUser(u User, ops []Operation) (User, *Refusal) {
	u = u.clone()
	for _, op := range ops {
		if op.Path != "" {
			if no := u.patch(op.Op, op.Path, op.Value); no != nil {
				return User{}, no
			}
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(op.Value, &fields) != nil || fields == nil {
			return User{}, bad("invalid_value")
		}
		keys := make([]string, 0, len(fields))
		for k := range fields {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			if strings.EqualFold(k, "schemas") {
				continue
			}
			if no := u.patch(op.Op, k, fields[k]); no != nil {
				return User{}, no
			}
		}
	}
	return u, u.normalize()
}

// patch applies one operation with a path. A remove has no value.
func (u *User) patch(op, path string, raw json.RawMessage) *Refusal {
	p := ParsePath(path)
	if p == nil {
		return bad("invalid_path")
	}
	switch {
	case p.Schema != "":
		return u.patchExtension(p, raw)
	case p.Attr == "emails":
		return patchValues(&u.Emails, op, p, raw, "cannot_delete_primary_email")
	case p.Attr == "phonenumbers":
		return patchValues(&u.PhoneNumbers, op, p, raw, "")
	case p.Key != "":
		return bad("invalid_path")
	case p.Attr == "externalid" || p.Attr == "profileurl":
		return nil
	case p.Attr == "active":
		return setFlag(&u.Active, raw)
	case p.Attr == "password":
		return bad("cannot_set_password")
	case p.Attr == "name" && p.Sub == "":
		if absent(raw) {
			u.Name = Name{}
			return nil
		}
		return decodeInto(raw, &u.Name)
	}
	s := map[string]*string{
		"username": &u.UserName, "displayname": &u.DisplayName, "nickname": &u.NickName, "title": &u.Title, "timezone": &u.Timezone,
		"preferredlanguage": &u.PreferredLanguage, "locale": &u.Locale,
		"name.givenname": &u.Name.GivenName, "name.familyname": &u.Name.FamilyName, "name.honorificprefix": &u.Name.HonorificPrefix,
	}[strings.TrimSuffix(p.Attr+"."+p.Sub, ".")]
	if s == nil {
		return bad("invalid_path")
	}
	return setText(s, raw)
}

// patchExtension applies one operation to an extension.
func (u *User) patchExtension(p *Path, raw json.RawMessage) *Refusal {
	if p.Key != "" {
		return bad("invalid_path")
	}
	switch p.Schema {
	case SchemaGuest:
		if p.Attr == "" && absent(raw) {
			u.Guest = nil
			return nil
		}
		if u.Guest == nil {
			u.Guest = &Guest{}
		}
		return patchRecord(u.Guest, p, raw, map[string]*string{"type": &u.Guest.Type, "expiration": &u.Guest.Expiration})
	case SchemaProfile:
		if u.Profile == nil {
			u.Profile = &Profile{}
		}
		return patchRecord(u.Profile, p, raw, map[string]*string{"startdate": &u.Profile.StartDate})
	}
	if p.Attr == "" && absent(raw) {
		u.Enterprise = nil
		return nil
	}
	if u.Enterprise == nil {
		u.Enterprise = &Enterprise{}
	}
	e := u.Enterprise
	if p.Attr != "manager" {
		return patchRecord(e, p, raw, map[string]*string{
			"employeenumber": &e.EmployeeNumber, "costcenter": &e.CostCenter, "organization": &e.Organization,
			"division": &e.Division, "department": &e.Department,
		})
	}
	if absent(raw) {
		e.Manager = nil
		return nil
	}
	m := &Manager{}
	if p.Sub == "managerid" {
		if no := setText(&m.ManagerID, raw); no != nil {
			return no
		}
	} else if no := decodeInto(raw, m); no != nil {
		return no
	}
	if m.ManagerID == "" { // a plain string, as other clients send it, isn't taken
		return bad("missing_manager_id")
	}
	e.Manager = m
	return nil
}

// patchRecord applies one operation to a record as a whole, or to one of its texts.
func patchRecord(whole any, p *Path, raw json.RawMessage, texts map[string]*string) *Refusal {
	if p.Attr == "" {
		return decodeInto(raw, whole)
	}
	s := texts[p.Attr]
	if s == nil || p.Sub != "" {
		return bad("invalid_path")
	}
	return setText(s, raw)
}

func decodeInto(raw json.RawMessage, into any) *Refusal {
	if json.Unmarshal(raw, into) != nil {
		return bad("invalid_value")
	}
	return nil
}

func setText(into *string, raw json.RawMessage) *Refusal {
	if absent(raw) {
		*into = ""
		return nil
	}
	return decodeInto(raw, into)
}

// setFlag takes JSON booleans alone, not the text "False" that some clients send.
func setFlag(into *bool, raw json.RawMessage) *Refusal {
	if absent(raw) {
		return bad("invalid_value")
	}
	return decodeInto(raw, into)
}

// matches tests the filter of a path.
func (v Value) matches(p *Path) bool {
	switch p.Key {
	case "primary":
		return p.Literal == "true" && v.Primary || p.Literal == "false" && !v.Primary
	case "type":
		return strings.EqualFold(v.Type, p.Literal)
	case "value":
		return strings.EqualFold(v.Value, p.Literal)
	}
	return false
}

// patchValues applies one operation to e-mails or phone numbers; keepPrimary is the code that refuses to delete the primary one.
func patchValues(list *[]Value, op string, p *Path, raw json.RawMessage, keepPrimary string) *Refusal {
	if p.Key == "" {
		return patchAllValues(list, op, p, raw, keepPrimary)
	}
	i := slices.IndexFunc(*list, func(v Value) bool { return v.matches(p) })
	if i < 0 {
		return bad("no_target")
	}
	v := (*list)[i]
	if op == "remove" {
		if v.Primary && keepPrimary != "" {
			return bad(keepPrimary)
		}
		*list = slices.Delete(*list, i, i+1)
		return nil
	}
	var no *Refusal
	switch p.Sub {
	case "":
		no = decodeInto(raw, &v)
	case "value":
		no = setText(&v.Value, raw)
	case "type":
		no = setText(&v.Type, raw)
	case "primary":
		no = setFlag(&v.Primary, raw)
	default:
		no = bad("invalid_path")
	}
	if no != nil {
		return no
	}
	if v.Primary {
		demote(*list)
	}
	(*list)[i] = v
	return nil
}

func patchAllValues(list *[]Value, op string, p *Path, raw json.RawMessage, keepPrimary string) *Refusal {
	switch {
	case p.Sub != "":
		return bad("invalid_path")
	case op == "remove" && keepPrimary != "":
		return bad(keepPrimary)
	case op == "remove":
		*list = nil
		return nil
	}
	values, ok := oneOrMany[Value](raw)
	if !ok || len(values) > maxValues {
		return bad("invalid_value")
	}
	if op == "replace" {
		*list = values
		return nil
	}
	for _, v := range values {
		if v.Primary {
			demote(*list)
		}
		if i := slices.IndexFunc(*list, func(have Value) bool { return strings.EqualFold(have.Value, v.Value) }); i >= 0 {
			(*list)[i] = v
		} else {
			*list = append(*list, v)
		}
	}
	return nil
}

func demote(list []Value) {
	for i := range list {
		list[i].Primary = false
	}
}

// oneOrMany reads a list of objects, or a single object as a list of one.
func oneOrMany[T any](raw json.RawMessage) ([]T, bool) {
	if trimmed := bytes.TrimSpace(raw); len(trimmed) > 0 && trimmed[0] == '{' {
		var one T
		if json.Unmarshal(raw, &one) != nil {
			return nil, false
		}
		return []T{one}, true
	}
	var many []T
	if absent(raw) || json.Unmarshal(raw, &many) != nil {
		return nil, false
	}
	return many, true
}

// NoSuchUser and NoSuchGroup refuse an identifier that is nobody's.
func NoSuchUser() *Refusal { return refuse(http.StatusNotFound, "no_such_user") }

// NoSuchGroup refuses a group that isn't there.
func NoSuchGroup() *Refusal { return refuse(http.StatusNotFound, "no_such_group") }
