package inbound

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// field is one header field, unfolded.
type field struct {
	name  string
	value []byte
}

// header is a mail's or a part's header.
type header []field

// get gives the first field of that name, raw.
func (h header) get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.name, name) {
			return string(f.value)
		}
	}
	return ""
}

// isMail says whether there is anything that a mail must have.
func (h header) isMail() bool {
	for _, name := range []string{"From", "Date", "Message-ID", "Received", "Subject", "Return-Path", "MIME-Version"} {
		if h.get(name) != "" {
			return true
		}
	}
	return false
}

// header reads the fields before the first empty line, skipping lines that are none, and gives what follows. Line ends may be of
// either kind: a Maildir has bare LF.
func (p *reader) header(raw []byte) (h header, body []byte) {
	read := 0
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		read += len(raw) - len(rest)
		raw = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return h, raw
		}
		if read > p.limits.Header || len(h) > p.limits.Fields {
			p.problem("a header is longer than %d octets or %d fields", p.limits.Header, p.limits.Fields)
			return h, afterHeader(raw)
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(h) > 0 {
				last := &h[len(h)-1]
				last.value = append(append(last.value, ' '), bytes.TrimLeft(line, " \t")...)
			}
			continue
		}
		before, value, ok := bytes.Cut(line, []byte(":"))
		name := strings.TrimRight(string(before), " \t")
		if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			continue
		}
		h = append(h, field{name, bytes.Clone(bytes.TrimSpace(value))})
	}
	return h, nil
}

// afterHeader skips to behind the next empty line.
func afterHeader(raw []byte) []byte {
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		raw = rest
		if len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
			return raw
		}
	}
	return nil
}

// maxProblems bounds what is told of one mail.
const maxProblems = 20

func (p *reader) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, known := range p.problems {
		if known == text {
			return
		}
	}
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, text)
	}
}

// oneLine makes s safe to show: one line of valid UTF-8 of at most limit octets, without control characters and marks that turn
// the direction of writing.
func oneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == 0x2028, r == 0x2029:
			return ' '
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return strings.TrimSpace(clip(s, limit))
}

// clip cuts s to at most limit octets, between two characters.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// tidy gives text with "\n" as line end, without control characters other than tabs, and without empty lines around it.
func tidy(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return strings.Trim(s, "\n")
}
