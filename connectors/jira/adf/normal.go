package adf

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type place int

// Where blocks stand, which decides what may stand there.
const (
	inDocument place = iota
	inQuote
	inItem
)

// normal brings blocks into the one form that text can say: no empty ones, no neighbours that would melt into each other, nothing
// where the format doesn't let it be.
func normal(blocks []block, where place) []block { return normalAt(blocks, where, 0) }

func normalAt(blocks []block, where place, depth int) []block {
	var out []block
	for _, b := range blocks {
		for _, n := range normalBlock(b, where, depth) {
			out = join(out, n)
		}
	}
	return out
}

// join adds b, melting what text would melt.
func join(out []block, b block) []block {
	if len(out) == 0 {
		return append(out, b)
	}
	last := &out[len(out)-1]
	switch {
	case last.kind == b.kind && (b.kind == bullets || b.kind == numbers):
		last.items = append(slices.Clone(last.items), b.items...)
	case last.kind == quote && b.kind == quote:
		merged := slices.Clone(last.blocks)
		for _, inner := range b.blocks {
			merged = join(merged, inner)
		}
		last.blocks = merged
	default:
		return append(out, b)
	}
	return out
}

func normalBlock(b block, where place, depth int) []block {
	switch b.kind {
	case paragraph:
		if b.line = normalLine(b.line, true); len(b.line) == 0 {
			return nil
		}
	case heading:
		if b.line = normalLine(b.line, false); len(b.line) == 0 {
			return nil
		}
		if b.level = min(max(b.level, 1), 6); where != inDocument {
			return []block{{kind: paragraph, line: b.line}}
		}
	case bullets, numbers:
		return normalList(b, where, depth)
	case quote:
		inner := normalAt(b.blocks, inQuote, depth+1)
		if where != inDocument || len(inner) == 0 || depth >= maxDepth {
			return inner
		}
		return []block{{kind: quote, blocks: inner}}
	case code:
		if b.text = cleanCode(b.text); b.text == "" {
			return nil
		}
		return []block{{kind: code, text: b.text, language: cleanLanguage(b.language)}}
	case table:
		return normalTable(b, where)
	case rule:
		if where != inDocument {
			return nil
		}
	}
	return []block{b}
}

func normalList(b block, where place, depth int) []block {
	out := block{kind: b.kind}
	if b.kind == numbers {
		out.level = min(max(b.level, 0), 999_999_999)
	}
	var flat []block
	for _, item := range b.items {
		item = normalAt(item, inItem, depth+1)
		if len(item) == 0 {
			continue
		}
		if item[0].kind == bullets || item[0].kind == numbers { // an item begins with words
			flat = append(flat, item...)
			if len(out.items) == 0 {
				out.items = append(out.items, item[0].items...)
				item = item[1:]
				for _, more := range item {
					out.items[len(out.items)-1] = join(slices.Clone(out.items[len(out.items)-1]), more)
				}
				continue
			}
			last := slices.Clone(out.items[len(out.items)-1])
			for _, more := range item {
				last = join(last, more)
			}
			out.items[len(out.items)-1] = last
			continue
		}
		flat = append(flat, item...)
		out.items = append(out.items, item)
	}
	switch {
	case len(out.items) == 0:
		return nil
	case depth >= maxDepth:
		var lines []block
		for _, f := range flat {
			lines = join(lines, f)
		}
		return lines
	}
	_ = where
	return []block{out}
}

func normalTable(b block, where place) []block {
	columns := 0
	var rows [][][]span
	for _, row := range b.rows {
		var cells [][]span
		for _, cell := range row {
			if len(cells) < maxColumns {
				cells = append(cells, normalLine(cell, true))
			}
		}
		if len(cells) > 0 {
			columns = max(columns, len(cells))
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if where != inDocument {
		var out []block
		for _, row := range rows {
			var line []span
			for i, cell := range row {
				if i > 0 && len(cell) > 0 && len(line) > 0 {
					line = append(line, span{text: " / "})
				}
				line = append(line, cell...)
			}
			if line = normalLine(line, true); len(line) > 0 {
				out = append(out, block{kind: paragraph, line: line})
			}
		}
		return out
	}
	for i := range rows {
		for len(rows[i]) < columns {
			rows[i] = append(rows[i], nil)
		}
	}
	return []block{{kind: table, rows: rows, header: b.header}}
}

func cleanCode(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(valid(text), "\r\n", "\n"), "\r", "\n")
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return strings.Trim(text, "\n")
}

func cleanLanguage(name string) string {
	ok := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("+#.-", r)
	}
	if len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return !ok(r) }) {
		return ""
	}
	return name
}

// valid leaves out what can't be in a document: broken UTF-8 and control characters but tab and line feed.
func valid(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

// normalLine merges runs of one style, keeps blanks out of marks, and trims lines. Without breaks, a break becomes a blank.
func normalLine(line []span, breaks bool) []span {
	var out []span
	add := func(s span) {
		if n := len(out) - 1; n >= 0 && s.kind == words && out[n].kind == words && out[n].style == s.style {
			out[n].text += s.text
			return
		}
		out = append(out, s)
	}
	trimEnd := func() {
		for n := len(out) - 1; n >= 0 && out[n].kind == words; n = len(out) - 1 {
			if out[n].text = strings.TrimRight(out[n].text, " \t"); out[n].text != "" {
				return
			}
			out = out[:n]
		}
	}
	start := func() bool { return len(out) == 0 || out[len(out)-1].kind == lineBreak }
	for _, s := range flatten(line, breaks) {
		switch s.kind {
		case lineBreak:
			if trimEnd(); !start() {
				out = append(out, s)
			}
		case mention:
			add(s)
		default:
			if start() {
				s.text = strings.TrimLeft(s.text, " \t")
			}
			if s.text != "" {
				add(s)
			}
		}
	}
	trimEnd()
	for len(out) > 0 && out[len(out)-1].kind == lineBreak {
		out = out[:len(out)-1]
		trimEnd()
	}
	return out
}

// flatten cleans runs: breaks in words become breaks, blanks at the ends of a marked run lose its marks.
func flatten(line []span, breaks bool) []span {
	var out []span
	for _, s := range line {
		s.text = valid(s.text)
		switch {
		case s.kind == lineBreak && !breaks:
			out = append(out, span{text: " "})
			continue
		case s.kind == lineBreak:
			out = append(out, span{kind: lineBreak})
			continue
		case s.kind == mention:
			s.text = strings.Join(strings.Fields(s.text), " ")
			s.id = strings.TrimSpace(s.id)
			if s.style = (style{}); cleanID(s.id) {
				out = append(out, s)
			} else if s.text != "" {
				out = append(out, span{text: "@" + s.text})
			}
			continue
		}
		s.style = cleanStyle(s.style)
		for i, part := range strings.Split(strings.ReplaceAll(s.text, "\r", ""), "\n") {
			if i > 0 {
				out = append(out, flatten([]span{{kind: lineBreak}}, breaks)...)
			}
			out = append(out, unmarkBlanks(part, s.style)...)
		}
	}
	return out
}

func unmarkBlanks(text string, st style) []span {
	plain := style{link: st.link}
	body := strings.TrimFunc(text, unicode.IsSpace)
	if st == plain || body == "" {
		if text == "" {
			return nil
		}
		return []span{{text: text, style: plain}}
	}
	i := strings.Index(text, body)
	var out []span
	for _, s := range []span{{text: text[:i], style: plain}, {text: body, style: st}, {text: text[i+len(body):], style: plain}} {
		if s.text != "" {
			out = append(out, s)
		}
	}
	return out
}

func cleanID(id string) bool {
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`()[]\`, r) || r == utf8.RuneError
	})
}

func cleanStyle(st style) style {
	if st.code {
		st.strong, st.em, st.strike = false, false, false
	}
	if st.link != "" && !cleanLink(st.link) {
		st.link = ""
	}
	return st
}

// cleanLink takes addresses that a reader may follow.
func cleanLink(address string) bool {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxAddress || !utf8.ValidString(address) || strings.ContainsFunc(address, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}) {
		return false
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" || u.Scheme == "mailto" && u.Opaque != ""
}
