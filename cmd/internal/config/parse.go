package config

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// value is a setting's value as written, with its place.
type value struct {
	text   string
	origin Origin
}

// reading collects what a file says and everything that is wrong with it.
type reading struct {
	file   string
	values map[string]value
	seen   map[string]Origin // sections and settings, wherever they stand
	faults Faults
}

// parse reads the text of file. It keeps to the YAML that a configuration needs: mappings of scalars, one level deep. Anchors,
// tags and lists are refused.
func parse(file string, text []byte) (map[string]value, map[string]Origin, Faults) {
	r := &reading{file: file, values: map[string]value{}, seen: map[string]Origin{}}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, nil, Faults{{Origin: Origin{File: file}, What: "the file holds NUL characters", Remedy: "save it as UTF-8 text"}}
	}
	tree, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, nil, Faults{r.syntax(err)}
	}
	first := true
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if !first {
			r.fault(doc.Body, "", "the file holds a second document", "remove the line --- and what follows")
			break
		}
		first = false
		r.mapping(doc.Body, "")
	}
	return r.values, r.seen, r.faults
}

func (r *reading) syntax(err error) Fault {
	f := Fault{Origin: Origin{File: r.file}, What: "the file isn't YAML", Remedy: "compare it with `musubi config example`"}
	var se *yaml.SyntaxError
	if errors.As(err, &se) {
		f.What = "this isn't YAML (" + strings.TrimSpace(se.Message) + ")"
		if se.Token != nil && se.Token.Position != nil {
			f.Line, f.Column = se.Token.Position.Line, se.Token.Position.Column
		}
	}
	return f
}

func (r *reading) at(n ast.Node) Origin {
	o := Origin{File: r.file}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		o.Line, o.Column = tk.Position.Line, tk.Position.Column
	}
	return o
}

func (r *reading) fault(n ast.Node, key, what, remedy string) {
	r.faults = append(r.faults, Fault{r.at(n), key, what, remedy})
}

// mapping reads the keys of the file (prefix is empty) or of a section (prefix ends in a dot).
func (r *reading) mapping(n ast.Node, prefix string) {
	var entries []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	case *ast.CommentGroupNode, *ast.NullNode: // an empty file
		return
	default:
		r.fault(n, strings.TrimSuffix(prefix, "."), "here stands no list of settings", "write lines of the form `name: value`")
		return
	}
	for _, e := range entries {
		r.entry(e, prefix)
	}
}

func (r *reading) entry(e *ast.MappingValueNode, prefix string) {
	var name string
	switch k := e.Key.(type) {
	case *ast.StringNode:
		name = k.Value
	case *ast.IntegerNode: // the number of a function
		name = k.GetToken().Value
	default:
		r.fault(e.Key, "", "this isn't a setting's name", "write `name: value`; anchors, merges and tags aren't used here")
		return
	}
	key := prefix + name
	if before, dup := r.seen[key]; dup {
		r.fault(e.Key, key, "is set twice, first at "+before.String(), "keep one of the two")
		return
	}
	if prefix == "" && isSection(key) && empty(e.Value) {
		r.fault(e.Key, key, "the section is empty", "fill it, or comment out its heading too")
		return
	}
	if prefix == "" && isSection(key) {
		r.seen[key] = r.at(e.Key)
		r.mapping(e.Value, key+".")
		return
	}
	if _, known := find(key); !known {
		what, remedy := unknown(key)
		r.fault(e.Key, shownKey(key), what, remedy)
		return
	}
	r.seen[key] = r.at(e.Key)
	text, ok := scalar(e.Value)
	switch {
	case !ok:
		r.fault(e.Value, key, "here one value is wanted", "write it on the line of its name; no list, section, anchor or text block")
	case text == "":
		r.fault(e.Key, key, "has no value", "write one, or comment out the line")
	default:
		r.values[key] = value{text, r.at(e.Key)}
	}
}

func empty(n ast.Node) bool {
	switch n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return true
	}
	return false
}

// scalar gives a value as it is written: 0010 stays 0010, and a date needs no quotes.
func scalar(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case nil:
		return "", true
	case *ast.NullNode:
		return "", true
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// unknown says that there is no such setting, and what may have been meant.
func unknown(key string) (what, remedy string) {
	section, name, ok := strings.Cut(key, ".")
	if !ok {
		section, name = "", key
	}
	if secretName(name) {
		file := "name that file as database_password_file"
		if isSection(section) && section != "log" {
			file = "name that file as " + section + ".token_file"
			if section == "trace" {
				file = "name that file as trace.header_file"
			}
		}
		return "a secret must not stand in the configuration", "write it to a file of its own (one line, chmod 600), " + file + ", and consider what stood here as known to others"
	}
	if near := nearest(key); near != "" {
		return "there is no such setting", "did you mean " + near + "?"
	}
	return "there is no such setting", "`musubi config example` shows all of them"
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"token", "secret", "password", "passwd", "passphrase", "api_key", "apikey", "api-key", "credential", "private_key", "authorization"},
		func(word string) bool {
			return name == word || strings.HasSuffix(name, "_"+word) || strings.HasSuffix(name, "-"+word)
		})
}

// shownKey is a key that isn't ours, bounded: a secret may have been pasted where a name belongs.
func shownKey(key string) string {
	if len(key) > 60 || strings.ContainsAny(key, " \t\r\n") || secretFile(key) != nil {
		return ""
	}
	return key
}

// nearest gives the setting or section that key is most likely meant to be; empty if none is close.
func nearest(key string) string {
	best, distance := "", 3
	consider := func(candidate string) {
		if d := edits(key, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	for _, s := range settings {
		consider(s.key)
	}
	for _, s := range sections {
		consider(s.key)
	}
	if best != "" {
		return best
	}
	for _, s := range settings { // the right name in the wrong section
		if _, name, ok := strings.Cut(s.key, "."); ok && (name == key || strings.HasSuffix(key, "."+name)) {
			return s.key
		}
	}
	return ""
}

// edits is the Levenshtein distance, cut off at short words: both are at most 60 bytes, or the distance is large.
func edits(a, b string) int {
	if len(a) > 60 || len(b) > 60 {
		return 60
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
