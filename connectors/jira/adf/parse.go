package adf

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parse reads text. Everything is text to it that isn't plainly something else.
func parse(text string) []block {
	text = strings.ReplaceAll(strings.ReplaceAll(valid(text), "\r\n", "\n"), "\r", "\n")
	return parseLines(strings.Split(text, "\n"), 0)
}

func parseLines(in []string, depth int) []block {
	var out []block
	for i := 0; i < len(in); {
		l := in[i]
		var b block
		var n int
		switch {
		case strings.Trim(l, " \t") == "":
			i++
			continue
		case headingLevel(l) > 0:
			level := headingLevel(l)
			b, n = block{kind: heading, level: level, line: parseLine(l[level+1:], false)}, 1
		case isRule(l):
			b, n = block{kind: rule}, 1
		case fenceOf(l) != "":
			b, n = parseCode(in[i:])
		case depth < maxDepth && strings.HasPrefix(l, ">"):
			b, n = parseQuote(in[i:], depth)
		case depth < maxDepth && marker(l) > 0:
			b, n = parseList(in[i:], depth)
		case isRow(l):
			b, n = parseTable(in[i:])
		default:
			b, n = parseParagraph(in[i:], depth)
		}
		out = append(out, b)
		i += n
	}
	return out
}

func headingLevel(l string) int {
	n := 0
	for n < len(l) && l[n] == '#' {
		n++
	}
	if n > 0 && n <= 6 && strings.HasPrefix(l[n:], " ") {
		return n
	}
	return 0
}

func isRule(l string) bool {
	l = strings.TrimRight(l, " ")
	return len(l) >= 3 && strings.Trim(l, "-") == ""
}

// fenceOf gives the fence that begins code on a line.
func fenceOf(l string) string {
	n := 0
	for n < len(l) && l[n] == '`' {
		n++
	}
	if n < 3 || strings.Contains(l[n:], "`") {
		return ""
	}
	return l[:n]
}

func parseCode(in []string) (block, int) {
	fence := fenceOf(in[0])
	b := block{kind: code, language: strings.TrimSpace(in[0][len(fence):])}
	for i, l := range in[1:] {
		if strings.TrimRight(l, " ") == fence {
			b.text = strings.Join(in[1:1+i], "\n")
			return b, i + 2
		}
	}
	b.text = strings.Join(in[1:], "\n") // never closed: to the end
	return b, len(in)
}

func parseQuote(in []string, depth int) (block, int) {
	var inner []string
	n := 0
	for n < len(in) && strings.HasPrefix(in[n], ">") {
		inner = append(inner, strings.TrimPrefix(in[n][1:], " "))
		n++
	}
	return block{kind: quote, blocks: parseLines(inner, depth+1)}, n
}

// marker gives the width of a list item's marker, 0 where there is none.
func marker(l string) int {
	if strings.HasPrefix(l, "- ") || strings.HasPrefix(l, "* ") || strings.HasPrefix(l, "+ ") {
		return 2
	}
	if n := digits(l); n > 0 && n <= 9 && strings.HasPrefix(l[n:], ". ") {
		return n + 2
	}
	return 0
}

func parseList(in []string, depth int) (block, int) {
	numbered := in[0][0] >= '0' && in[0][0] <= '9'
	b := block{kind: bullets}
	if numbered {
		b.kind = numbers
		b.level, _ = strconv.Atoi(in[0][:digits(in[0])])
	}
	i := 0
	for i < len(in) {
		width := marker(in[i])
		if width == 0 || numbered != (in[i][0] >= '0' && in[i][0] <= '9') || isRule(in[i]) {
			break
		}
		item := []string{in[i][width:]}
		for i++; ; {
			n := belonging(in[i:])
			if n == 0 {
				break
			}
			for _, l := range in[i : i+n] {
				item = append(item, dedent(l, width))
			}
			i += n
		}
		b.items = append(b.items, parseLines(item, depth+1))
	}
	return b, i
}

// belonging counts the lines up to the next one that isn't blank, if that is indented and so belongs to the item; else 0.
func belonging(in []string) int {
	for n, l := range in {
		if strings.Trim(l, " \t") != "" {
			if strings.HasPrefix(l, "  ") {
				return n + 1
			}
			return 0
		}
	}
	return 0
}

// dedent takes at most width blanks off.
func dedent(l string, width int) string {
	n := 0
	for n < width && n < len(l) && l[n] == ' ' {
		n++
	}
	return l[n:]
}

func isRow(l string) bool {
	l = strings.TrimRight(l, " ")
	return len(l) >= 2 && l[0] == '|' && strings.HasSuffix(l, "|")
}

func parseTable(in []string) (block, int) {
	b := block{kind: table}
	n := 0
	for ; n < len(in) && isRow(in[n]); n++ {
		cells := splitRow(strings.TrimRight(in[n], " "))
		if n == 1 && !slices.ContainsFunc(cells, func(c string) bool { c = strings.TrimSpace(c); return len(c) < 3 || strings.Trim(c, "-:") != "" }) {
			b.header = true
			continue
		}
		var row [][]span
		for _, c := range cells {
			row = append(row, parseLine(c, true))
		}
		b.rows = append(b.rows, row)
	}
	return b, n
}

// splitRow cuts a row at its bars that aren't escaped.
func splitRow(l string) []string {
	var cells []string
	start := 1
	for i := 1; i < len(l); i++ {
		switch l[i] {
		case '\\':
			i++
		case '|':
			cells = append(cells, l[start:i])
			start = i + 1
		}
	}
	if start < len(l) { // the last bar was escaped
		cells = append(cells, l[start:])
	}
	return cells
}

func parseParagraph(in []string, depth int) (block, int) {
	n := 1
	for ; n < len(in); n++ {
		l := in[n]
		if strings.Trim(l, " \t") == "" || headingLevel(l) > 0 || isRule(l) || fenceOf(l) != "" || isRow(l) ||
			depth < maxDepth && (strings.HasPrefix(l, ">") || marker(l) > 0) {
			break
		}
	}
	var spans []span
	for i, l := range in[:n] {
		if i > 0 {
			spans = append(spans, span{kind: lineBreak})
		}
		spans = append(spans, parseLine(strings.Trim(l, " \t"), false)...)
	}
	return block{kind: paragraph, line: spans}, n
}

// token is a piece of a line before marks are matched.
type token struct {
	span
	sign          string // "**", "*", "~~", "[" or "](": what it would be
	address       string // of "]("
	opens, closes bool   // what stands beside it lets it open or close
	matched       bool
}

// parseLine reads the words of one line.
func parseLine(l string, cell bool) []span {
	tokens := scan(l, cell)
	for _, sign := range []string{"**", "*", "~~"} {
		match(tokens, sign)
	}
	matchLinks(tokens)
	var out []span
	var now style
	link := ""
	for _, t := range tokens {
		if t.sign != "" && !t.matched {
			t.span = span{text: t.text}
			t.sign = ""
		}
		switch t.sign {
		case "**":
			now.strong = !now.strong
		case "*":
			now.em = !now.em
		case "~~":
			now.strike = !now.strike
		case "[":
			link = t.address
		case "](":
			link = ""
		default:
			s := t.span
			if s.kind == words {
				code := s.style.code
				s.style = now
				s.style.code, s.style.link = code, link
			}
			out = append(out, s)
		}
	}
	return out
}

// match pairs the signs of one mark; what finds no partner is text.
func match(tokens []token, sign string) {
	open := -1
	for i := range tokens {
		if tokens[i].sign != sign {
			continue
		}
		switch {
		case open >= 0 && tokens[i].closes:
			tokens[open].matched, tokens[i].matched = true, true
			open = -1
		case open < 0 && tokens[i].opens:
			open = i
		}
	}
}

func matchLinks(tokens []token) {
	open := -1
	for i := range tokens {
		switch {
		case tokens[i].sign == "[":
			open = i
		case tokens[i].sign == "](" && open >= 0 && i > open+1 && cleanLink(tokens[i].address):
			tokens[open].matched, tokens[i].matched = true, true
			tokens[open].address = tokens[i].address
			open = -1
		}
	}
}

// scan cuts a line into tokens.
func scan(l string, cell bool) []token {
	var out []token
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			out = append(out, token{span: span{text: plain.String()}})
			plain.Reset()
		}
	}
	for i := 0; i < len(l); {
		rest := l[i:]
		switch {
		case rest[0] == '\\' && len(rest) > 1:
			if rest[1] < utf8.RuneSelf && (unicode.IsPunct(rune(rest[1])) || unicode.IsSymbol(rune(rest[1]))) {
				plain.WriteByte(rest[1])
				i += 2
			} else if rest[1] == ' ' && i == 0 { // zeroSpan
				i += 2
			} else {
				plain.WriteByte('\\')
				i++
			}
		case rest[0] == '`':
			if text, n := scanCode(rest, cell); n > 0 {
				flush()
				out = append(out, token{span: span{text: text, style: style{code: true}}})
				i += n
			} else {
				n := len(rest) - len(strings.TrimLeft(rest, "`"))
				plain.WriteString(rest[:n])
				i += n
			}
		case rest[0] == '*' || strings.HasPrefix(rest, "~~"):
			flush()
			var n int
			out, n = scanSigns(out, l, i)
			i += n
		case strings.HasPrefix(rest, "@["):
			if s, n := scanMention(rest); n > 0 {
				flush()
				out = append(out, token{span: s})
				i += n
			} else {
				plain.WriteByte('@')
				i++
			}
		case rest[0] == '[':
			flush()
			out = append(out, token{sign: "[", span: span{text: "["}})
			i++
		case strings.HasPrefix(rest, "]("):
			if address, n := scanAddress(rest[1:]); n > 0 {
				flush()
				out = append(out, token{sign: "](", address: address, span: span{text: rest[:n+1]}})
				i += n + 1
			} else {
				plain.WriteByte(']')
				i++
			}
		case cell && strings.HasPrefix(rest, "<br>"):
			flush()
			out = append(out, token{span: span{kind: lineBreak}})
			i += 4
		default:
			plain.WriteByte(rest[0])
			i++
		}
	}
	flush()
	return out
}

// scanSigns reads a run of stars and tildes. A sign opens where no blank follows the run, and closes where none precedes it.
func scanSigns(out []token, l string, i int) ([]token, int) {
	n := len(l[i:]) - len(strings.TrimLeft(l[i:], "*~"))
	before, _ := utf8.DecodeLastRuneInString(l[:i])
	after, _ := utf8.DecodeRuneInString(l[i+n:])
	closes := i > 0 && !unicode.IsSpace(before)
	opens := i+n < len(l) && !unicode.IsSpace(after)
	run := l[i : i+n]
	for run != "" {
		sign := run[:1]
		if strings.HasPrefix(run, "**") || strings.HasPrefix(run, "~~") {
			sign = run[:2]
		}
		t := token{span: span{text: sign}, opens: opens, closes: closes}
		if sign != "~" {
			t.sign = sign
		}
		out = append(out, t)
		run = run[len(sign):]
	}
	return out, n
}

// scanCode reads a code span and its length, 0 where it isn't closed.
func scanCode(l string, cell bool) (string, int) {
	n := len(l) - len(strings.TrimLeft(l, "`"))
	for i := n; i < len(l); {
		if l[i] != '`' {
			i++
			continue
		}
		m := len(l[i:]) - len(strings.TrimLeft(l[i:], "`"))
		if m != n {
			i += m
			continue
		}
		text := l[n:i]
		if cell {
			text = strings.NewReplacer(`\\`, `\`, `\|`, "|").Replace(text)
		}
		if strings.HasPrefix(text, " ") && strings.HasSuffix(text, " ") && strings.Trim(text, " ") != "" {
			text = text[1 : len(text)-1]
		}
		return text, i + m
	}
	return "", 0
}

// scanMention reads @[name](id).
func scanMention(l string) (span, int) {
	var name strings.Builder
	for i := 2; i < len(l); i++ {
		switch {
		case l[i] == '\\' && i+1 < len(l):
			i++
			name.WriteByte(l[i])
		case l[i] == ']':
			id, n := scanAddress(l[i+1:])
			if n == 0 || !cleanID(id) {
				return span{}, 0
			}
			return span{kind: mention, text: name.String(), id: id}, i + 1 + n
		case l[i] == '[':
			return span{}, 0
		default:
			name.WriteByte(l[i])
		}
	}
	return span{}, 0
}

// scanAddress reads (address) and its length, 0 where there is none.
func scanAddress(l string) (string, int) {
	if !strings.HasPrefix(l, "(") {
		return "", 0
	}
	var b strings.Builder
	for i := 1; i < min(len(l), 2*maxAddress); i++ {
		switch l[i] {
		case '\\':
			if i++; i < len(l) {
				b.WriteByte(l[i])
			}
		case ')':
			return b.String(), i + 1
		case ' ', '\t':
			return "", 0
		default:
			b.WriteByte(l[i])
		}
	}
	return "", 0
}
