package wire

import (
	"bytes"
	"regexp"
)

// The decoder takes a little more than XML does. What stands here takes the raw octets of a tag or a text that the decoder has read, and takes
// less: names in ASCII, white space between attributes, no line break inside a value (which readers normalise differently), and
// character references to characters alone (XML 1.0, productions 10, 40, 41, 44, 66).

// declaration is the XML declaration (production 23), of what is taken.
var declaration = regexp.MustCompile(`^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"1\.0"|'1\.0')(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?i:"utf-8"|'utf-8'))?` +
	`(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]*\?>$`)

func blank(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' || b == '_' }

func skip(b []byte) []byte {
	for len(b) > 0 && blank(b[0]) {
		b = b[1:]
	}
	return b
}

// name takes a name of at most one colon off the front; ok is false where there is none.
func name(b []byte) (rest []byte, ok bool) {
	for part := 0; ; part++ {
		if len(b) == 0 || !letter(b[0]) {
			return nil, false
		}
		for len(b) > 0 && (letter(b[0]) || b[0] >= '0' && b[0] <= '9' || b[0] == '-' || b[0] == '.') {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != ':' {
			return b, true
		}
		if part == 1 {
			return nil, false
		}
		b = b[1:]
	}
}

// strictTag holds <name a="b" c='d'> and its like with a slash.
func strictTag(b []byte) bool {
	if len(b) == 0 || b[0] != '<' {
		return false
	}
	b, ok := name(b[1:])
	for ok {
		rest := skip(b)
		if bytes.Equal(rest, []byte(">")) || bytes.Equal(rest, []byte("/>")) {
			return true
		}
		if len(rest) == len(b) { // no white space before the attribute
			return false
		}
		if b, ok = name(rest); !ok {
			return false
		}
		b, ok = value(skip(b))
	}
	return false
}

// value takes ="..." off the front.
func value(b []byte) (rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '=' {
		return nil, false
	}
	b = skip(b[1:])
	if len(b) == 0 || b[0] != '"' && b[0] != '\'' {
		return nil, false
	}
	end := bytes.IndexByte(b[1:], b[0])
	if end < 0 || bytes.ContainsAny(b[1:end+1], "<\t\r\n") || !strictText(b[1:end+1]) {
		return nil, false
	}
	return b[end+2:], true
}

// strictEnd holds </name >.
func strictEnd(b []byte) bool {
	if !bytes.HasPrefix(b, []byte("</")) {
		return false
	}
	b, ok := name(b[2:])
	return ok && bytes.Equal(skip(b), []byte(">"))
}

// strictText holds that each & begins a reference to one of XML's five entities or to a character.
func strictText(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '&')
		if i < 0 {
			return true
		}
		b = b[i+1:]
		end := bytes.IndexByte(b, ';')
		if end < 0 || end > 10 || !reference(string(b[:end])) {
			return false
		}
		b = b[end+1:]
	}
}

func reference(s string) bool {
	switch s {
	case "amp", "lt", "gt", "quot", "apos":
		return true
	}
	if len(s) < 2 || s[0] != '#' {
		return false
	}
	base, digits := 10, s[1:]
	if digits[0] == 'x' {
		base, digits = 16, digits[1:]
	}
	n := 0
	for _, c := range []byte(digits) {
		d := 99
		switch {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			d = int(c|0x20-'a') + 10
		}
		if d >= base {
			return false
		}
		if n = n*base + d; n > 0x10ffff {
			return false
		}
	}
	return len(digits) > 0 && (n == '\t' || n == '\n' || n == '\r' || n >= 0x20 && n < 0xd800 || n >= 0xe000 && n <= 0xfffd || n >= 0x10000)
}
