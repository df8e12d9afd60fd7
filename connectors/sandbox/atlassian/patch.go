package atlassian

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// patchBody is the body of PATCH. Names are read without regard to case, so "operations" works too.
type patchBody struct {
	Schemas    []string         `json:"schemas"`
	Operations []patchOperation `json:"Operations"`
}

type patchOperation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

const maxOperations = 1000

// readPatch reads the body of PATCH and checks it on its own.
func readPatch(r *http.Request) ([]patchOperation, *refusal) {
	var body patchBody
	if no := readBody(r, &body); no != nil {
		return nil, no
	}
	if no := checkSchemas(body.Schemas, schemaPatch); no != nil {
		return nil, no
	}
	if len(body.Operations) == 0 || len(body.Operations) > maxOperations {
		return nil, refuse(http.StatusBadRequest, "invalidSyntax", "Operations must hold between 1 and 1000 operations")
	}
	for i := range body.Operations {
		op := &body.Operations[i]
		op.Op = strings.ToLower(op.Op)
		switch op.Op {
		case "add", "replace":
			if absent(op.Value) {
				return nil, invalid("Operation " + op.Op + " needs a value")
			}
		case "remove":
			if op.Path == "" {
				return nil, refuse(http.StatusBadRequest, "noTarget", "Operation remove needs a path")
			}
		default:
			return nil, refuse(http.StatusBadRequest, "invalidSyntax", "Unknown operation "+clip(op.Op))
		}
	}
	return body.Operations, nil
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// patchUser applies the operations to a copy of a. All or nothing.
func patchUser(a attrs, ops []patchOperation) (attrs, *refusal) {
	a = a.clone()
	for _, op := range ops {
		var no *refusal
		if op.Path == "" {
			no = a.patchObject(op.Op, op.Value)
		} else {
			no = a.patchPath(op.Op, op.Path, op.Value)
		}
		if no != nil {
			return attrs{}, no
		}
	}
	return a, a.check()
}

// patchObject applies an operation without a path: each member of its value is an attribute, by name, path or extension.
func (a *attrs) patchObject(op string, raw json.RawMessage) *refusal {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return invalid("Without a path the value must be an object")
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
		if no := a.patchPath(op, k, fields[k]); no != nil {
			return no
		}
	}
	return nil
}

// patchPath applies one operation with a path.
func (a *attrs) patchPath(op, path string, raw json.RawMessage) *refusal {
	p, err := parsePath(path)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalidPath", "Invalid path "+clip(path)+": "+err.Error())
	}
	if op == "remove" {
		raw = nil
	}
	switch {
	case p.extension:
		return a.patchEnterprise(p, raw)
	case p.attr == "emails":
		return patchMulti(&a.Emails, op, p, raw)
	case p.attr == "phonenumbers":
		return patchMulti(&a.PhoneNumbers, op, p, raw)
	case p.match != nil:
		return refuse(http.StatusBadRequest, "invalidPath", "Attribute "+p.attr+" has no values to choose from")
	case p.attr == "name":
		return a.patchName(p, raw)
	case p.sub != "":
		return refuse(http.StatusBadRequest, "invalidPath", "Attribute "+p.attr+" has no parts")
	case p.attr == "active":
		return setFlag(&a.Active, p.attr, raw)
	case slices.Contains([]string{"id", "externalid", "meta", "groups", "schemas"}, p.attr):
		return refuse(http.StatusBadRequest, "mutability", "Attribute "+p.attr+" is read-only")
	}
	if s := a.text(p.attr); s != nil {
		return setText(s, p.attr, raw)
	}
	return refuse(http.StatusBadRequest, "invalidPath", "Unknown attribute "+clip(p.attr))
}

func (a *attrs) patchName(p attrPath, raw json.RawMessage) *refusal {
	if p.sub == "" && raw == nil {
		a.Name = nil
		return nil
	}
	if a.Name == nil {
		a.Name = &name{}
	}
	if p.sub == "" { // parts that the value doesn't name stay (RFC 7644, 3.5.2.3)
		if err := json.Unmarshal(raw, a.Name); err != nil {
			return invalid("name must be an object of strings")
		}
		return nil
	}
	s := a.Name.text(p.sub)
	if s == nil {
		return refuse(http.StatusBadRequest, "invalidPath", "Unknown part name."+clip(p.sub))
	}
	return setText(s, "name."+p.sub, raw)
}

func (a *attrs) patchEnterprise(p attrPath, raw json.RawMessage) *refusal {
	if p.attr == "" && raw == nil {
		a.Enterprise = nil
		return nil
	}
	if a.Enterprise == nil {
		a.Enterprise = &enterprise{}
	}
	if p.attr == "" {
		if err := json.Unmarshal(raw, a.Enterprise); err != nil {
			return invalid("The extension must be an object of strings")
		}
		return nil
	}
	s := a.Enterprise.text(p.attr)
	if s == nil || p.sub != "" || p.match != nil {
		return refuse(http.StatusBadRequest, "invalidPath", "Unknown attribute of the extension: "+clip(p.attr))
	}
	return setText(s, p.attr, raw)
}

// setText stores a JSON string; no value clears.
func setText(into *string, attr string, raw json.RawMessage) *refusal {
	if absent(raw) {
		*into = ""
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid("Attribute " + attr + " must be a string")
	}
	return nil
}

// setFlag stores a JSON boolean. The string "False" that some clients send is refused.
func setFlag(into *bool, attr string, raw json.RawMessage) *refusal {
	if absent(raw) {
		return invalid("Attribute " + attr + " must be a boolean")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid("Attribute " + attr + " must be a boolean")
	}
	return nil
}

// patchMulti applies one operation to e-mails or phone numbers.
func patchMulti(list *[]multi, op string, p attrPath, raw json.RawMessage) *refusal {
	if p.match == nil && p.sub != "" {
		return refuse(http.StatusBadRequest, "invalidPath", "Choose a value of "+p.attr+" by a filter in brackets")
	}
	if p.match == nil {
		return patchWhole(list, op, p, raw)
	}
	hit := -1
	for i, m := range *list {
		ok, no := m.matches(p)
		if no != nil {
			return no
		}
		if ok {
			hit = i
			break
		}
	}
	switch {
	case op == "remove" && hit >= 0 && p.sub == "":
		*list = slices.Delete(*list, hit, hit+1)
		return nil
	case hit < 0:
		return refuse(http.StatusBadRequest, "noTarget", "No value of "+p.attr+" matches the path")
	}
	m := (*list)[hit]
	var no *refusal
	switch p.sub {
	case "":
		if err := json.Unmarshal(raw, &m); err != nil {
			no = invalid("A value of " + p.attr + " must be an object")
		}
	case "value":
		no = setText(&m.Value, p.attr+".value", raw)
	case "type":
		no = setText(&m.Type, p.attr+".type", raw)
	case "primary":
		no = setFlag(&m.Primary, p.attr+".primary", raw)
	default:
		no = refuse(http.StatusBadRequest, "invalidPath", "Unknown part "+p.attr+"."+clip(p.sub))
	}
	if no != nil {
		return no
	}
	if m.Primary {
		demote(*list)
	}
	(*list)[hit] = m
	return nil
}

// patchWhole applies one operation to the whole list.
func patchWhole(list *[]multi, op string, p attrPath, raw json.RawMessage) *refusal {
	if op == "remove" {
		*list = nil
		return nil
	}
	values, ok := decodeOneOrMany[multi](raw)
	if !ok {
		return invalid(p.attr + " must be a list of objects")
	}
	if op == "replace" {
		*list = values
		return nil
	}
	for _, v := range values {
		if v.Primary { // RFC 7644, 3.5.2: a new primary value makes the others not primary
			demote(*list)
		}
		same := func(m multi) bool { return strings.EqualFold(m.Value, v.Value) && strings.EqualFold(m.Type, v.Type) }
		if i := slices.IndexFunc(*list, same); i >= 0 {
			(*list)[i] = v
		} else {
			*list = append(*list, v)
		}
	}
	return nil
}

func demote(list []multi) {
	for i := range list {
		list[i].Primary = false
	}
}

// matches tests the filter of a path.
func (m multi) matches(p attrPath) (bool, *refusal) {
	e := p.match
	switch {
	case e.attr == "type" && e.flag == nil:
		return strings.EqualFold(m.Type, e.text), nil
	case e.attr == "value" && e.flag == nil:
		return strings.EqualFold(m.Value, e.text), nil
	case e.attr == "primary" && e.flag != nil:
		return m.Primary == *e.flag, nil
	}
	return false, refuse(http.StatusBadRequest, "invalidFilter", "Unsupported filter on "+p.attr)
}

// decodeOneOrMany reads a list of objects, or a single object as a list of one.
func decodeOneOrMany[T any](raw json.RawMessage) ([]T, bool) {
	var many []T
	if trimmed := bytes.TrimSpace(raw); len(trimmed) > 0 && trimmed[0] == '{' {
		var one T
		if json.Unmarshal(raw, &one) != nil {
			return nil, false
		}
		return []T{one}, true
	}
	if absent(raw) || json.Unmarshal(raw, &many) != nil {
		return nil, false
	}
	return many, true
}
