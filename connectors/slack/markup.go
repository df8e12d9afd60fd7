package slack

import "strings"

// plainText turns Slack's markup into what a person reads: <https://x|words> becomes "words (https://x)", <@U1|name> "@name",
// <#C1|name> "#name", <!here> "@here", and the three escapes become characters again. Bold, italics and the like stay as typed.
// What isn't closed stays as it is.
func plainText(s string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(s, '<')
		if open < 0 {
			break
		}
		length := strings.IndexAny(s[open+1:], "<>")
		if length < 0 {
			break
		}
		end := open + 1 + length
		if s[end] == '<' {
			b.WriteString(s[:end])
			s = s[end:]
			continue
		}
		b.WriteString(s[:open])
		b.WriteString(reference(s[open+1 : end]))
		s = s[end+1:]
	}
	b.WriteString(s)
	return unescape.Replace(b.String())
}

// unescape undoes Slack's escapes in one pass, so that "&amp;lt;" becomes "&lt;".
var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

func reference(s string) string {
	target, label, labelled := strings.Cut(s, "|")
	switch {
	case target == "":
		return "<" + s + ">"
	case strings.HasPrefix(target, "@"), strings.HasPrefix(target, "#"):
		if label != "" {
			return target[:1] + strings.TrimPrefix(label, target[:1])
		}
		return target
	case strings.HasPrefix(target, "!"):
		if label != "" {
			return "@" + strings.TrimPrefix(label, "@")
		}
		word, _, _ := strings.Cut(target[1:], "^")
		return "@" + word
	}
	address := strings.TrimPrefix(target, "mailto:")
	if labelled && label != "" && label != address {
		return label + " (" + address + ")"
	}
	return address
}
