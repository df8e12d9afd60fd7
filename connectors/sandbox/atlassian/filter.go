package atlassian

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The schemas that the directory knows.
const (
	schemaUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	schemaGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	schemaEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	schemaAtlassian  = "urn:scim:schemas:extension:atlassian-external:1.0"
	schemaPatch      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	schemaList       = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
)

// maxFilter bounds a filter or path.
const maxFilter = 4096

// equality is `attribute eq value`, the only comparison that the vendor takes.
type equality struct {
	attr string // lower case
	text string
	flag *bool // for true and false
}

// parseFilter reads the filter of a list: one eq on one of attrs, with a quoted value.
func parseFilter(s string, attrs ...string) (equality, error) {
	e, rest, err := scanEquality(s)
	if err != nil {
		return equality{}, err
	}
	if strings.TrimSpace(rest) != "" {
		return equality{}, fmt.Errorf("only a single eq is supported, got %q after it", clip(rest))
	}
	if e.flag != nil {
		return equality{}, errors.New("the value must be a quoted string")
	}
	for _, a := range attrs {
		if e.attr == strings.ToLower(a) {
			return e, nil
		}
	}
	return equality{}, fmt.Errorf("filtering is supported on %s only, got %q", strings.Join(attrs, " and "), clip(e.attr))
}

// scanEquality reads `attribute eq value` from the beginning of s and gives what follows.
func scanEquality(s string) (e equality, rest string, err error) {
	if len(s) > maxFilter {
		return equality{}, "", fmt.Errorf("longer than %d bytes", maxFilter)
	}
	attr, rest := scanName(strings.TrimLeft(s, " "))
	if attr == "" {
		return equality{}, "", errors.New("it must begin with an attribute name")
	}
	spaced := strings.TrimLeft(rest, " ")
	if len(spaced) == len(rest) || spaced == "" {
		return equality{}, "", fmt.Errorf("%s must be followed by eq and a value", clip(attr))
	}
	word, rest, ok := strings.Cut(spaced, " ")
	if !ok || !strings.EqualFold(word, "eq") {
		return equality{}, "", fmt.Errorf("only the operator eq is supported, got %q", clip(word))
	}
	rest = strings.TrimLeft(rest, " ")
	e.attr = strings.ToLower(attr)
	for _, b := range []bool{true, false} {
		if lit := fmt.Sprint(b); strings.HasPrefix(rest, lit) {
			e.flag = &b
			return e, rest[len(lit):], nil
		}
	}
	e.text, rest, err = scanString(rest)
	return e, rest, err
}

// scanString reads a JSON string from the beginning of s.
func scanString(s string) (text, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", errors.New("the value must be a quoted string")
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if err := json.Unmarshal([]byte(s[:i+1]), &text); err != nil {
				return "", "", errors.New("the value is not a valid string")
			}
			return text, s[i+1:], nil
		}
	}
	return "", "", errors.New("the value's closing quote is missing")
}

// scanName reads an attribute name from the beginning of s.
func scanName(s string) (name, rest string) {
	i := 0
	for i < len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '$'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '_' || c == '-')) {
			break
		}
		i++
	}
	return s[:i], s[i:]
}

// attrPath is the path of a PATCH operation.
type attrPath struct {
	extension bool      // the enterprise extension's attribute; attr "" is the whole extension
	attr      string    // lower case
	match     *equality // attr[match]
	sub       string    // lower case
}

// parsePath reads `attr`, `attr.sub`, `attr[sub eq "x"]`, `attr[sub eq "x"].sub`, each with or without its schema's URN before it.
func parsePath(s string) (attrPath, error) {
	if len(s) > maxFilter {
		return attrPath{}, fmt.Errorf("longer than %d bytes", maxFilter)
	}
	var p attrPath
	rest := s
	for _, urn := range []string{schemaEnterprise, schemaUser, schemaGroup} {
		if len(rest) >= len(urn) && strings.EqualFold(rest[:len(urn)], urn) {
			p.extension = urn == schemaEnterprise
			if rest = rest[len(urn):]; rest == "" && p.extension {
				return p, nil
			}
			if rest == "" || rest[0] != ':' && rest[0] != '.' {
				return attrPath{}, errors.New("a schema's URN must be followed by an attribute")
			}
			rest = rest[1:]
			break
		}
	}
	name, rest := scanName(rest)
	if name == "" {
		return attrPath{}, errors.New("it must name an attribute")
	}
	p.attr = strings.ToLower(name)
	if strings.HasPrefix(rest, "[") {
		e, after, err := scanEquality(rest[1:])
		if err != nil {
			return attrPath{}, err
		}
		after = strings.TrimLeft(after, " ")
		if !strings.HasPrefix(after, "]") {
			return attrPath{}, errors.New("the closing bracket is missing")
		}
		p.match, rest = &e, after[1:]
	}
	if strings.HasPrefix(rest, ".") {
		sub, after := scanName(rest[1:])
		if sub == "" {
			return attrPath{}, errors.New("the name after the dot is missing")
		}
		p.sub, rest = strings.ToLower(sub), after
	}
	if rest != "" {
		return attrPath{}, fmt.Errorf("unexpected %q", clip(rest))
	}
	return p, nil
}

// clip shortens what a caller sent, for a message.
func clip(s string) string {
	r := []rune(s)
	if len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
