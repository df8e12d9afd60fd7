package adf

import (
	"strconv"
	"strings"
)

// render gives normal blocks as text.
func render(blocks []block) string { return strings.Join(lines(blocks), "\n") }

// lines gives the lines of blocks, with an empty one between blocks.
func lines(blocks []block) []string {
	var out []string
	for i, b := range blocks {
		if i > 0 {
			out = append(out, "")
		}
		out = append(out, blockLines(b)...)
	}
	return out
}

func blockLines(b block) []string {
	switch b.kind {
	case heading:
		return []string{strings.Repeat("#", b.level) + " " + renderLine(b.line, false)}
	case bullets, numbers:
		var out []string
		for i, item := range b.items {
			marker := "- "
			if b.kind == numbers {
				marker = strconv.Itoa(b.level+i) + ". "
			}
			for n, l := range lines(item) {
				switch {
				case n == 0:
					l = marker + l
				case l != "":
					l = strings.Repeat(" ", len(marker)) + l
				}
				out = append(out, l)
			}
		}
		return out
	case quote:
		var out []string
		for _, l := range lines(b.blocks) {
			if l == "" {
				out = append(out, ">")
			} else {
				out = append(out, "> "+l)
			}
		}
		return out
	case code:
		fence := "```"
		for strings.Contains(b.text, fence) {
			fence += "`"
		}
		return append(append([]string{fence + b.language}, strings.Split(b.text, "\n")...), fence)
	case table:
		return tableLines(b)
	case rule:
		return []string{"---"}
	}
	var out []string
	for l := range strings.SplitSeq(renderLine(b.line, false), "\n") {
		out = append(out, protect(l))
	}
	return out
}

func tableLines(b block) []string {
	var out []string
	for i, row := range b.rows {
		var l strings.Builder
		for _, cell := range row {
			l.WriteString("| " + renderLine(cell, true) + " ")
		}
		out = append(out, l.String()+"|")
		if i == 0 && b.header {
			out = append(out, strings.Repeat("| --- ", len(row))+"|")
		}
	}
	return out
}

// protect escapes the beginning of a paragraph's line where it reads like the beginning of another block.
func protect(l string) string {
	if n := digits(l); n > 0 && strings.HasPrefix(l[n:], ".") {
		return l[:n] + `\` + l[n:]
	}
	if l != "" && strings.ContainsRune("#->|+`", rune(l[0])) && !strings.HasPrefix(l, "`") {
		return `\` + l
	}
	if strings.HasPrefix(l, "```") { // a code span that looks like a fence
		return zeroSpan + l
	}
	return l
}

// zeroSpan is nothing: an escaped nothing that keeps a line from beginning with what follows.
const zeroSpan = `\ `

func digits(l string) int {
	n := 0
	for n < len(l) && l[n] >= '0' && l[n] <= '9' {
		n++
	}
	return n
}

// renderLine gives a line of spans; a break is a line feed, or in a table's cell <br>.
func renderLine(line []span, cell bool) string {
	var b strings.Builder
	var now style
	change := func(to style) {
		if now.link != "" && now.link != to.link {
			b.WriteString("](" + escapeURL(now.link) + ")")
		}
		toggle := func(was, is bool, sign string) {
			if was != is {
				b.WriteString(sign)
			}
		}
		toggle(now.strong, to.strong, "**")
		toggle(now.em, to.em, "*")
		toggle(now.strike, to.strike, "~~")
		if to.link != "" && now.link != to.link {
			b.WriteString("[")
		}
		now = to
	}
	for _, s := range line {
		to := s.style
		to.code = false
		change(to)
		switch {
		case s.kind == lineBreak && cell:
			b.WriteString("<br>")
		case s.kind == lineBreak:
			b.WriteString("\n")
		case s.kind == mention:
			b.WriteString("@[" + escape(s.text) + "](" + s.id + ")")
		case s.style.code:
			b.WriteString(codeSpan(s.text, cell))
		default:
			b.WriteString(escape(s.text))
		}
	}
	change(style{})
	return b.String()
}

var escaper = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "~", `\~`, "[", `\[`, "]", `\]`, "@", `\@`, "|", `\|`, "<", `\<`)

func escape(text string) string { return escaper.Replace(text) }

func escapeURL(address string) string {
	return strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`, "|", `\|`).Replace(address)
}

// codeSpan fences code; in a table's cell its bars are escaped, and so are backslashes before them.
func codeSpan(text string, cell bool) string {
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") || strings.HasPrefix(text, " ") && strings.HasSuffix(text, " ") && strings.Trim(text, " ") != "" {
		text = " " + text + " "
	}
	if cell {
		text = strings.NewReplacer(`\`, `\\`, "|", `\|`).Replace(text)
	}
	return fence + text + fence
}
