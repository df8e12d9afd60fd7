package escalate

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// FileFault is one thing that is wrong with a file of ladders. What says what it is and what to do, Japanese / English.
type FileFault struct {
	Place
	Key  string // e.g. ladders.usual.rungs.team.otherwise
	What string
}

func (f FileFault) String() string { return f.Place.String() + ": " + f.Key + ": " + f.What }

// FileFaults is everything that is wrong with a file, in its order; at most 50.
type FileFaults []FileFault

const maxFaults = 50

// Error lists the faults, one a line, as file:line:column.
func (f FileFaults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// source reads a YAML tree and collects what is wrong. It takes mappings, lists and plain values; anchors, aliases, tags and merges are refused.
type source struct {
	file   string
	faults FileFaults
}

func (s *source) at(n ast.Node) Place {
	p := Place{File: s.file}
	switch m := n.(type) { // a mapping stands where its first key does, not where that one's colon is
	case *ast.MappingValueNode:
		return s.at(m.Key)
	case *ast.MappingNode:
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return s.at(m.Values[0])
		}
	}
	if n != nil {
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			p.Line, p.Column = tk.Position.Line, tk.Position.Column
		}
	}
	return p
}

func (s *source) fault(n ast.Node, key, what string, args ...any) {
	s.faultAt(s.at(n), key, what, args...)
}

func (s *source) faultAt(p Place, key, what string, args ...any) {
	if len(s.faults) < maxFaults {
		s.faults = append(s.faults, FileFault{p, key, fmt.Sprintf(what, args...)})
	}
}

func nothing(n ast.Node) bool {
	switch n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return true
	}
	return false
}

// mapping gives the values of a mapping by key. keys are those that it may have; those with a * before them it must have.
func (s *source) mapping(n ast.Node, key string, keys ...string) map[string]ast.Node {
	var entries []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	default:
		s.fault(n, key, "「名前: 値」の並びが必要 / here lines of the form name: value are wanted")
		return nil
	}
	found := make(map[string]ast.Node, len(entries))
	for _, e := range entries {
		name := e.Key.GetToken().Value
		_, plain := e.Key.(*ast.StringNode)
		known := false
		for _, k := range keys {
			known = known || strings.TrimPrefix(k, "*") == name
		}
		switch _, twice := found[name]; {
		case !plain || !known:
			s.fault(e.Key, key, "%.40q という項目はない（あるのは %s） / there is no %.40q here, but %s", name, names(keys), name, names(keys))
		case twice:
			s.fault(e.Key, key+"."+name, "2回ある / stands twice: keep one")
		case nothing(e.Value):
			s.fault(e.Key, key+"."+name, "値がない / has no value: write one, or leave the line out")
			found[name] = nil
		default:
			found[name] = e.Value
		}
	}
	for _, k := range keys {
		if name, must := strings.CutPrefix(k, "*"); must {
			if _, ok := found[name]; !ok {
				s.fault(n, key, "%s がない / lacks %s", name, name)
			}
		}
	}
	for name, value := range found {
		if value == nil {
			delete(found, name)
		}
	}
	return found
}

func names(keys []string) string { return strings.ReplaceAll(strings.Join(keys, ", "), "*", "") }

// list gives the items of a list of at most so many.
func (s *source) list(n ast.Node, key string, most int) []ast.Node {
	if n == nil {
		return nil
	}
	l, ok := n.(*ast.SequenceNode)
	switch {
	case !ok:
		s.fault(n, key, "リストが必要 / here a list is wanted: lines that begin with a dash, or [a, b]")
		return nil
	case len(l.Values) == 0:
		s.fault(n, key, "空のリスト / the list is empty: fill it, or leave it out")
	case len(l.Values) > most:
		s.fault(n, key, "多すぎる（上限 %d） / holds %d, at most %d", most, len(l.Values), most)
		return nil
	}
	return l.Values
}

// text gives a plain value as it is written.
func (s *source) text(n ast.Node, key string, most int) string {
	var text string
	switch n := n.(type) {
	case nil:
		return ""
	case *ast.StringNode:
		text = n.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		text = n.GetToken().Value
	default:
		s.fault(n, key, "1つの値が必要 / here one value is wanted")
		return ""
	}
	if text == "" || len(text) > most || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		s.fault(n, key, "値は1〜%dバイト、制御文字なし / a value has 1 to %d bytes and no control characters", most, most)
		return ""
	}
	return text
}

func (s *source) texts(n ast.Node, key string, most int) (all []string) {
	seen := map[string]bool{}
	for _, item := range s.list(n, key, most) {
		text := s.text(item, key, 200)
		if text == "" {
			continue
		}
		if seen[text] {
			s.fault(item, key, "%.60q が2回ある / %.60q stands twice", text, text)
			continue
		}
		seen[text] = true
		all = append(all, text)
	}
	return all
}

// name gives a name by which others refer to it.
func (s *source) name(n ast.Node, key string) string {
	text := s.text(n, key, 60)
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		s.fault(n, key, "名前は英小文字・数字・-・_ / a name has small letters, digits, - and _ only, not %.60q", text)
		return ""
	}
	return text
}

// word gives one of the words that are allowed.
func word[T ~string](s *source, n ast.Node, key string, allowed []T) T {
	text := s.text(n, key, 200)
	if text == "" {
		return ""
	}
	list := make([]string, len(allowed))
	for i, w := range allowed {
		if string(w) == text {
			return w
		}
		list[i] = string(w)
	}
	s.fault(n, key, "%.60q は使えない（%s のいずれか） / there is no %.60q: write one of %s", text, strings.Join(list, ", "), text, strings.Join(list, ", "))
	return ""
}

func words[T ~string](s *source, n ast.Node, key string, allowed []T) (all []T) {
	seen := map[T]bool{}
	for _, item := range s.list(n, key, 20) {
		w := word(s, item, key, allowed)
		if w != "" && seen[w] {
			s.fault(item, key, "%s が2回ある / %s stands twice", w, w)
		} else if w != "" {
			all = append(all, w)
		}
		seen[w] = true
	}
	return all
}
