package inbound

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
)

// aliases are names that Japanese mail programs write and the WHATWG's table doesn't have.
var aliases = map[string]encoding.Encoding{
	"iso-2022-jp-1": japanese.ISO2022JP, "iso-2022-jp-3": japanese.ISO2022JP, "iso-2022-jp-ms": japanese.ISO2022JP,
	"cp50220": japanese.ISO2022JP, "cp50221": japanese.ISO2022JP, "x-iso-2022-jp": japanese.ISO2022JP,
	"cp932": japanese.ShiftJIS, "ms932": japanese.ShiftJIS, "x-ms-cp932": japanese.ShiftJIS, "windows-932": japanese.ShiftJIS,
	"cp51932": japanese.EUCJP, "eucjp-ms": japanese.EUCJP, "eucjp": japanese.EUCJP,
}

// decodeText gives raw in UTF-8 by the charset that it claims to be in. Where it claims none, or one that it can't be, the three
// that Japanese mail comes in are tried. Octets that mean nothing become U+FFFD.
func decodeText(raw []byte, charset string) string {
	charset = strings.ToLower(strings.TrimSpace(charset))
	switch charset {
	case "utf-8", "utf8":
		if utf8.Valid(raw) {
			return string(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")))
		}
	case "", "us-ascii", "ascii", "unknown-8bit", "iso-8859-1", "latin1", "x-unknown": // what programs write that don't know better
	default:
		if e := encodingOf(charset); e != nil {
			if out, err := e.NewDecoder().Bytes(raw); err == nil {
				return string(out)
			}
		}
	}
	return guess(raw)
}

func encodingOf(charset string) encoding.Encoding {
	if e, ok := aliases[charset]; ok {
		return e
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil
	}
	return e
}

// guess decodes text of unknown charset.
func guess(raw []byte) string {
	switch {
	case bytes.Contains(raw, []byte("\x1b$")) || bytes.Contains(raw, []byte("\x1b(I")):
		if out, err := japanese.ISO2022JP.NewDecoder().Bytes(raw); err == nil && !bytes.ContainsRune(out, utf8.RuneError) {
			return string(out)
		}
	case utf8.Valid(raw):
		return string(raw)
	default:
		for _, e := range []encoding.Encoding{japanese.ShiftJIS, japanese.EUCJP} {
			if out, err := e.NewDecoder().Bytes(raw); err == nil && !bytes.ContainsRune(out, utf8.RuneError) {
				return string(out)
			}
		}
	}
	return strings.ToValidUTF8(string(raw), "\ufffd")
}

// words decodes encoded words (RFC 2047) of any charset that we know.
var words = mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxWord))
	if err != nil {
		return nil, err
	}
	if encodingOf(strings.ToLower(charset)) == nil {
		return nil, fmt.Errorf("unknown charset")
	}
	return strings.NewReader(decodeText(raw, charset)), nil
}}

// maxWord bounds one encoded word, in octets: programs write longer ones than RFC 2047's 75.
const maxWord = 64 << 10

// decodeHeader gives a header field's text. Words of one kind that follow each other are joined before they are decoded, because
// some programs divide a character between two.
func decodeHeader(value string) string {
	value = decodeRaw(value)
	if out, err := words.DecodeHeader(joinWords(value)); err == nil {
		return out
	}
	return value
}

// decodeRaw decodes what stands in a header without being encoded, against the rules.
func decodeRaw(value string) string {
	if strings.IndexFunc(value, func(r rune) bool { return r >= 0x7f || r == 0x1b }) < 0 {
		return value
	}
	return guess([]byte(value))
}

// joinWords makes one word of neighbours that have the same charset and are base64 without padding between them.
func joinWords(value string) string {
	parts := strings.Split(value, "?= =?")
	if len(parts) == 1 {
		return value
	}
	var b strings.Builder
	b.WriteString(parts[0])
	kind, data, _ := lastWord(parts[0])
	length, open := len(data), kind != "" && !strings.HasSuffix(data, "=")
	for _, next := range parts[1:] {
		nextKind, nextData, whole := wordKind(next)
		if open && whole && length%4 == 0 && strings.EqualFold(kind, nextKind) && strings.HasSuffix(strings.ToLower(kind), "?b") {
			b.WriteString(nextData)
			length += len(nextData)
			open = !strings.HasSuffix(nextData, "=")
			continue
		}
		b.WriteString("?= =?" + next)
		kind, data, _ = wordKind(next)
		if !whole {
			kind, data, _ = lastWord(next)
		}
		length, open = len(data), kind != "" && !strings.HasSuffix(data, "=")
	}
	return b.String()
}

// lastWord divides the encoded word that s ends in, without its end.
func lastWord(s string) (kind, data string, ok bool) {
	i := strings.LastIndex(s, "=?")
	if i < 0 {
		return "", "", false
	}
	return wordKind(s[i+2:])
}

// wordKind divides "charset?B?data" into "charset?B" and "data". Anything behind the data makes it no whole word.
func wordKind(s string) (kind, data string, ok bool) {
	charset, rest, _ := strings.Cut(s, "?")
	encoding, data, found := strings.Cut(rest, "?")
	if !found || strings.ContainsAny(data, "? ") {
		// The last word of a field still has its "?=" and what follows it.
		word, after, ended := strings.Cut(data, "?=")
		if !found || !ended || strings.ContainsAny(word, "? ") {
			return "", "", false
		}
		return charset + "?" + encoding, word + "?=" + after, true
	}
	return charset + "?" + encoding, data, true
}
