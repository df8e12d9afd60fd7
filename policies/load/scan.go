package load

import "unicode/utf8"

// token is a piece of Cedar text with its place. Comments and white space are no tokens.
type token struct {
	text               string
	start, end         int // byte offsets
	line, column       int // of the first character, from 1
	endLine, endColumn int // right after the last character
}

// scan cuts text into tokens, well enough to find where a policy ends and where a message points: identifiers, numbers,
// strings, and every other character by itself but for the operators of two. It accepts any text; the parser judges it.
func scan(src []byte) []token {
	s := scanner{src: src, line: 1, column: 1}
	var tokens []token
	for {
		s.skipBlank()
		if s.pos >= len(src) {
			return tokens
		}
		t := token{start: s.pos, line: s.line, column: s.column}
		switch c := src[s.pos]; {
		case c == '"':
			s.str()
		case word(c):
			for s.pos < len(src) && word(src[s.pos]) {
				s.next()
			}
		default:
			s.next()
			if s.pos < len(src) && pair(c, src[s.pos]) {
				s.next()
			}
		}
		t.end, t.endLine, t.endColumn = s.pos, s.line, s.column
		t.text = string(src[t.start:t.end])
		tokens = append(tokens, t)
	}
}

type scanner struct {
	src          []byte
	pos          int
	line, column int
}

func (s *scanner) next() {
	r, size := utf8.DecodeRune(s.src[s.pos:])
	s.pos += size
	s.column++
	if r == '\n' {
		s.line, s.column = s.line+1, 1
	}
}

func (s *scanner) has(prefix string) bool {
	return len(s.src)-s.pos >= len(prefix) && string(s.src[s.pos:s.pos+len(prefix)]) == prefix
}

// skipBlank passes white space and comments.
func (s *scanner) skipBlank() {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			s.next()
		case s.has("//"):
			for s.pos < len(s.src) && s.src[s.pos] != '\n' {
				s.next()
			}
		case s.has("/*"):
			s.next()
			s.next()
			for s.pos < len(s.src) && !s.has("*/") {
				s.next()
			}
			for i := 0; i < 2 && s.pos < len(s.src); i++ {
				s.next()
			}
		default:
			return
		}
	}
}

// str passes a string, or the rest of the line where it isn't closed.
func (s *scanner) str() {
	s.next()
	for s.pos < len(s.src) && s.src[s.pos] != '\n' {
		switch s.src[s.pos] {
		case '"':
			s.next()
			return
		case '\\':
			s.next()
			if s.pos < len(s.src) && s.src[s.pos] != '\n' {
				s.next()
			}
		default:
			s.next()
		}
	}
}

func word(c byte) bool {
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}

func pair(a, b byte) bool {
	switch string([]byte{a, b}) {
	case "::", "==", "!=", "<=", ">=", "&&", "||":
		return true
	}
	return false
}

// split cuts tokens into policies, each up to and with its semicolon.
func split(tokens []token) [][]token {
	var chunks [][]token
	start := 0
	for i, t := range tokens {
		if t.text == ";" {
			chunks = append(chunks, tokens[start:i+1])
			start = i + 1
		}
	}
	if start < len(tokens) {
		chunks = append(chunks, tokens[start:])
	}
	return chunks
}

// depth is how many brackets stand inside one another at most. Keyword "if" counts too: it is the other way to nest.
func depth(tokens []token) int {
	deepest, now := 0, 0
	for _, t := range tokens {
		switch t.text {
		case "(", "[", "{", "if":
			now++
		case ")", "]", "}", "else":
			now = max(now-1, 0)
		case ";":
			now = 0
		}
		deepest = max(deepest, now)
	}
	return deepest
}
