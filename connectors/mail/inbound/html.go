package inbound

import (
	"strings"

	"golang.org/x/net/html"
)

// htmlToText gives the words of an HTML text, at most limit octets, with a line for each block and "> " before what is quoted.
// Nothing is fetched and no address of a link is kept.
func htmlToText(source string, limit int) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(source))
	z.SetMaxBuf(64 << 10)
	hidden, depth := "", 0
	newline := true
	breakLine := func() {
		if !newline {
			b.WriteString("\n")
			newline = true
		}
	}
	for b.Len() < limit {
		switch z.Next() {
		case html.ErrorToken:
			return strings.TrimRight(b.String(), "\n ")
		case html.TextToken:
			if hidden != "" {
				continue
			}
			words := strings.Join(strings.FieldsFunc(string(z.Text()), func(r rune) bool { return r <= ' ' || r == 0xa0 }), " ")
			if words == "" {
				continue
			}
			if newline {
				b.WriteString(strings.Repeat("> ", min(depth, 5)))
			}
			b.WriteString(words)
			newline = false
		case html.StartTagToken, html.SelfClosingTagToken:
			raw, _ := z.TagName()
			switch name := string(raw); name {
			case "script", "style", "head", "title", "template", "noscript":
				if hidden == "" {
					hidden = name
				}
			case "blockquote":
				breakLine()
				depth++
			case "br":
				if newline {
					b.WriteString("\n")
				}
				breakLine()
			case "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre", "hr":
				breakLine()
			case "td", "th":
				if !newline {
					b.WriteString(" ")
				}
			}
		case html.EndTagToken:
			raw, _ := z.TagName()
			switch name := string(raw); {
			case name == hidden:
				hidden = ""
			case name == "blockquote":
				breakLine()
				depth = max(depth-1, 0)
			case name == "p" || name == "div" || name == "tr" || name == "li" || strings.HasPrefix(name, "h") && len(name) == 2:
				breakLine()
			}
		}
	}
	return clip(b.String(), limit)
}
