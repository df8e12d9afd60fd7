package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// token is what a scanner found.
type token int

const (
	tokenStart token = iota + 1
	tokenEnd
	tokenText
)

// Limits of the scanner.
const (
	maxDepth = 64
	maxTag   = 64 << 10 // bytes of a tag with its attributes
	maxText  = 64 << 10 // bytes of a text that are kept; the rest is counted
)

var errXML = errors.New("broken XML")

// scanner reads the XML of a workbook's parts token by token in constant memory. It knows the XML that the format allows (ECMA-376 part 2:
// UTF-8, no document type, hence no entities but the five), gives local names without their prefixes, and refuses the rest. It exists because
// encoding/xml takes five times as long for a sheet, and keeps a text of any length.
type scanner struct {
	r          io.Reader
	buffer     []byte
	from, to   int // unread part of buffer
	err        error
	name       []byte // of the element that starts or ends
	attributes []attribute
	text       []byte
	long       bool // the text was longer than what is kept
	closed     bool // the element that started is empty: its end comes next
	stack      []byte
	depths     []int // where each open element's name starts in stack
	rooted     bool
}

type attribute struct{ name, value []byte }

func newScanner(r io.Reader) *scanner { return &scanner{r: r, buffer: make([]byte, 2*maxTag)} }

// attribute gives a value by its local name; the answer is good until the next token.
func (s *scanner) attribute(name string) string {
	for _, a := range s.attributes {
		if string(a.name) == name {
			return string(a.value)
		}
	}
	return ""
}

// fill reads more behind what is unread, and reports whether there is more.
func (s *scanner) fill() bool {
	if s.from > 0 {
		s.to = copy(s.buffer, s.buffer[s.from:s.to])
		s.from = 0
	}
	for s.err == nil && s.to < len(s.buffer) {
		n, err := s.r.Read(s.buffer[s.to:])
		s.to += n
		s.err = err
		if n > 0 {
			return true
		}
	}
	return false
}

func (s *scanner) unread() []byte { return s.buffer[s.from:s.to] }

// next gives the next token. At the end of the document it gives io.EOF; a document that isn't whole gives an error.
func (s *scanner) next() (token, error) {
	if s.closed {
		s.closed = false
		s.pop()
		return tokenEnd, nil
	}
	for {
		found, err := s.readText()
		if err != nil || found {
			return tokenText, err
		}
		if s.from == s.to { // only at the end
			switch {
			case !errors.Is(s.err, io.EOF):
				return 0, s.err
			case len(s.depths) > 0 || !s.rooted:
				return 0, fmt.Errorf("%w: it ends in the middle", errXML)
			}
			return 0, io.EOF
		}
		kind, skipped, err := s.readMarkup()
		if err != nil || !skipped {
			return kind, err
		}
	}
}

// readText reads up to the next tag; found says that there was text inside the root element.
func (s *scanner) readText() (found bool, err error) {
	s.text, s.long = s.text[:0], false
	for {
		at := bytes.IndexByte(s.unread(), '<')
		part := s.unread()
		if at >= 0 {
			part = part[:at]
		}
		s.keep(part)
		s.from += len(part)
		if at >= 0 || !s.fill() {
			break
		}
	}
	if len(s.text) == 0 {
		return false, nil
	}
	if len(s.depths) == 0 {
		if len(bytes.Trim(s.text, " \t\r\n\ufeff")) > 0 {
			return false, fmt.Errorf("%w: text outside of the document", errXML)
		}
		return false, nil
	}
	if s.long {
		s.text = s.text[:0] // cut anywhere, even in a reference
		return true, nil
	}
	s.text, err = unescape(s.text)
	return true, err
}

func (s *scanner) keep(part []byte) {
	if len(s.text)+len(part) > maxText {
		s.long = true
		part = part[:maxText-len(s.text)]
	}
	s.text = append(s.text, part...)
}

// readMarkup reads what a < begins. skipped says that it was a comment or an instruction.
func (s *scanner) readMarkup() (kind token, skipped bool, err error) {
	for s.to-s.from < len("<![CDATA[") && s.fill() {
	}
	switch {
	case bytes.HasPrefix(s.unread(), []byte("<!--")):
		return 0, true, s.skip("<!--", "-->")
	case bytes.HasPrefix(s.unread(), []byte("<![CDATA[")):
		kind, err = s.readCDATA()
		return kind, false, err
	case bytes.HasPrefix(s.unread(), []byte("<!")):
		return 0, false, fmt.Errorf("%w: a document type isn't allowed", errXML)
	}
	tag, err := s.readTag()
	switch {
	case err != nil:
		return 0, false, err
	case tag[0] == '?':
		return 0, true, instruction(tag, s.rooted)
	case tag[0] == '/':
		name := tag[1:]
		for len(name) > 0 && blankByte(name[len(name)-1]) {
			name = name[:len(name)-1]
		}
		if len(s.depths) == 0 || !bytes.Equal(name, s.stack[s.depths[len(s.depths)-1]:]) {
			return 0, false, fmt.Errorf("%w: an element ends that didn't begin", errXML)
		}
		s.pop()
		return tokenEnd, false, nil
	}
	return tokenStart, false, s.start(tag)
}

// readTag gives what stands between < and its >.
func (s *scanner) readTag() ([]byte, error) {
	quote := byte(0)
	for at := 1; ; at++ {
		for s.from+at >= s.to {
			if at > maxTag {
				return nil, fmt.Errorf("%w: a tag is longer than %d KiB", errXML, maxTag>>10)
			}
			if !s.fill() {
				if !errors.Is(s.err, io.EOF) {
					return nil, s.err
				}
				return nil, fmt.Errorf("%w: it ends in the middle", errXML)
			}
		}
		switch b := s.buffer[s.from+at]; {
		case quote != 0:
			if b == quote {
				quote = 0
			}
		case (b == '"' || b == '\'') && s.buffer[s.from+1] != '?':
			quote = b
		case b == '>':
			tag := s.buffer[s.from+1 : s.from+at]
			s.from += at + 1
			if len(tag) == 0 {
				return nil, fmt.Errorf("%w: a tag without a name", errXML)
			}
			return tag, nil
		}
	}
}

func instruction(tag []byte, rooted bool) error {
	if tag[len(tag)-1] != '?' {
		return fmt.Errorf("%w: an instruction without end", errXML)
	}
	if bytes.HasPrefix(tag, []byte("?xml ")) {
		_, value, found := bytes.Cut(tag, []byte("encoding="))
		if rooted || found && (len(value) < 7 || !bytes.EqualFold(value[1:6], []byte("utf-8"))) {
			return fmt.Errorf("%w: it is not UTF-8", errXML)
		}
	}
	return nil
}

// skip passes over what lies between two marks.
func (s *scanner) skip(open, end string) error {
	s.from += len(open)
	for {
		if at := bytes.Index(s.unread(), []byte(end)); at >= 0 {
			s.from += at + len(end)
			return nil
		}
		s.from = max(s.from, s.to-len(end)+1)
		if !s.fill() {
			return fmt.Errorf("%w: it ends in the middle", errXML)
		}
	}
}

func (s *scanner) readCDATA() (token, error) {
	s.from += len("<![CDATA[")
	s.text, s.long = s.text[:0], false
	for {
		at := bytes.Index(s.unread(), []byte("]]>"))
		if at >= 0 {
			s.keep(s.unread()[:at])
			s.from += at + len("]]>")
			break
		}
		keep := max(0, s.to-s.from-2)
		s.keep(s.unread()[:keep])
		s.from += keep
		if !s.fill() {
			return 0, fmt.Errorf("%w: it ends in the middle", errXML)
		}
	}
	if len(s.depths) == 0 {
		return 0, fmt.Errorf("%w: text outside of the document", errXML)
	}
	if s.long {
		s.text = s.text[:0]
		return tokenText, nil
	}
	var err error
	s.text, err = breaks(s.text)
	return tokenText, err
}

// start takes a start tag apart.
func (s *scanner) start(tag []byte) error {
	if len(s.depths) == 0 && s.rooted {
		return fmt.Errorf("%w: two documents in one", errXML)
	}
	if tag[len(tag)-1] == '/' {
		s.closed = true
		tag = tag[:len(tag)-1]
	}
	end := nameEnd(tag)
	name := tag[:end]
	if !nameOK(name) {
		return fmt.Errorf("%w: a tag without a name", errXML)
	}
	if len(s.depths) == maxDepth {
		return fmt.Errorf("%w: it is nested deeper than %d", errXML, maxDepth)
	}
	s.rooted = true
	s.depths = append(s.depths, len(s.stack))
	s.stack = append(s.stack, name...)
	s.name = local(name)
	s.attributes = s.attributes[:0]
	for rest := tag[end:]; ; {
		value, key := rest, rest
		for len(key) > 0 && blankByte(key[0]) {
			key = key[1:]
		}
		if len(key) == 0 {
			return nil
		}
		end := nameEnd(key)
		for value = key[end:]; len(value) > 0 && blankByte(value[0]); {
			value = value[1:]
		}
		if len(key) == len(rest) || !nameOK(key[:end]) || len(value) == 0 || value[0] != '=' {
			return fmt.Errorf("%w: an attribute", errXML)
		}
		for value = value[1:]; len(value) > 0 && blankByte(value[0]); {
			value = value[1:]
		}
		if key = key[:end]; len(value) < 2 || value[0] != '"' && value[0] != '\'' {
			return fmt.Errorf("%w: an attribute", errXML)
		}
		end = bytes.IndexByte(value[1:], value[0])
		if end < 0 {
			return fmt.Errorf("%w: an attribute", errXML)
		}
		rest = value[end+2:]
		if string(key) == "xmlns" || bytes.HasPrefix(key, []byte("xmlns:")) {
			continue
		}
		text, err := unescape(value[1 : end+1])
		if err != nil {
			return err
		}
		s.attributes = append(s.attributes, attribute{local(key), text})
	}
}

func (s *scanner) pop() {
	last := len(s.depths) - 1
	s.name = local(s.stack[s.depths[last]:])
	s.stack, s.depths = s.stack[:s.depths[last]], s.depths[:last]
}

// skipElement passes over the rest of the element that has just started.
func (s *scanner) skipElement() error {
	for depth := len(s.depths); len(s.depths) >= depth; {
		if _, err := s.next(); err != nil {
			return err
		}
	}
	return nil
}

func blankByte(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

// nameEnd is where a name ends: at the first byte that no name has.
func nameEnd(text []byte) int {
	for i, b := range text {
		if b <= '>' && (b <= ' ' || b == '<' || b == '>' || b == '&' || b == '"' || b == '\'' || b == '/' || b == '=') {
			return i
		}
	}
	return len(text)
}

// nameOK refuses half a prefix too: :a and a: are names in XML alone.
func nameOK(name []byte) bool {
	colon := bytes.IndexByte(name, ':')
	return len(name) > 0 && colon != 0 && colon != len(name)-1 && utf8.Valid(name)
}

func local(name []byte) []byte {
	return name[bytes.IndexByte(name, ':')+1:]
}

// unescape replaces references in place; nothing gets longer.
func unescape(text []byte) ([]byte, error) {
	text, err := breaks(text)
	if err != nil {
		return nil, err
	}
	at := bytes.IndexByte(text, '&')
	if at < 0 {
		return text, nil
	}
	out, rest := text[:at], text[at:]
	for len(rest) > 0 {
		if rest[0] != '&' {
			next := bytes.IndexByte(rest, '&')
			if next < 0 {
				next = len(rest)
			}
			out = append(out, rest[:next]...)
			rest = rest[next:]
			continue
		}
		end := bytes.IndexByte(rest[:min(len(rest), 16)], ';')
		if end < 0 {
			return nil, fmt.Errorf("%w: a reference without end", errXML)
		}
		c, ok := reference(string(rest[1:end]))
		if !ok {
			return nil, fmt.Errorf("%w: an unknown reference", errXML)
		}
		rest = rest[end+1:]
		out = utf8.AppendRune(out, c)
	}
	return out, nil
}

func reference(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	base := 10
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	name = name[1:]
	if name[0] == 'x' {
		name, base = name[1:], 16
	}
	n, err := strconv.ParseUint(name, base, 32)
	return rune(n), err == nil && n <= utf8.MaxRune && character(rune(n))
}

// character reports what XML allows in a text (XML 1.0, production 2).
func character(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xd7ff || c >= 0xe000 && c <= 0xfffd || c >= 0x10000
}

// breaks makes every line break one LF, in place, and refuses what isn't text (XML 1.0, sections 2.2 and 2.11).
func breaks(text []byte) ([]byte, error) {
	plain := true
	for _, b := range text {
		if b < ' ' || b >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return text, nil
	}
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && size == 1 || !character(c) {
			return nil, fmt.Errorf("%w: a byte that isn't text", errXML)
		}
		i += size
	}
	if bytes.IndexByte(text, '\r') < 0 {
		return text, nil
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(text, []byte("\r"), []byte("\n")), nil
}
