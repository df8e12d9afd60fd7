package mail

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors/outbound"
)

// MessageID gives the Message-ID of the message with our key, without angle brackets. It is the same each time, so that a copy
// that was sent twice is seen as one by mail programs and by our own inbox, and it is made under a secret, so that nobody who
// hasn't got the mail can write an answer that belongs to it.
func MessageID(secret outbound.Secret, key, domain string) string {
	h := hmac.New(sha256.New, []byte(secret.Reveal()))
	h.Write([]byte("musubi message-id 1\x00" + key))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:idOctets])) + "@" + domain
}

// idOctets gives 32 letters of base32.
const idOctets = 20

// ownID reports whether s is a Message-ID of the form that MessageID gives, for our domain.
func (c *Connector) ownID(s string) bool {
	left, domain, ok := strings.Cut(s, "@")
	return ok && domain == c.domain && len(left) == idOctets*8/5 && strings.Trim(left, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Octets of text that fit into one encoded word: base64 makes 52 or 60 of them, beside the 12 of "=?UTF-8?B??=". The first
// stands behind the header's name, and a line has at most 76 (RFC 2047 section 2).
const (
	firstWord = 39
	laterWord = 45
)

// encodeHeader writes text as the value of a header whose name is at most 12 octets long: as it is where it is short and plain,
// else in encoded words of RFC 2047, base64 as Japanese mail systems expect, folded one a line.
func encodeHeader(text string) string {
	if plainHeader(text) {
		return text
	}
	var b strings.Builder
	room := firstWord
	for text != "" {
		n := cut(text, room)
		if b.Len() > 0 {
			b.WriteString("\r\n ")
		}
		b.WriteString(encodedWord(text[:n]))
		text, room = text[n:], laterWord
	}
	return b.String()
}

// encodedWord is one word of RFC 2047. mime.WordEncoder isn't used because it leaves ASCII as it is, and divides where it likes.
func encodedWord(s string) string {
	return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}

// plainHeader says whether text needs no encoding: short printable ASCII without anything that reads as an encoded word, and
// without blanks that unfolding could lose.
func plainHeader(text string) bool {
	if len(text) > 60 || strings.Contains(text, "=?") || strings.Contains(text, "  ") || text != strings.TrimSpace(text) {
		return false
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// cut gives where to divide text so that the first part has at most limit octets and ends between two characters as a reader sees
// them: not before a combining mark, a variation selector or a half-width voicing mark, nor around a joiner.
func cut(text string, limit int) int {
	if len(text) <= limit {
		return len(text)
	}
	end, fallback := 0, 0
	var before rune
	for i, r := range text {
		if i > limit {
			break
		}
		fallback = i
		if !joins(r) && before != zeroWidthJoiner {
			end = i
		}
		before = r
	}
	switch {
	case end > 0:
		return end
	case fallback > 0: // one character of more than limit octets: no reader will miss what holds it together
		return fallback
	}
	_, size := utf8.DecodeRuneInString(text)
	return size
}

const zeroWidthJoiner = '\u200d'

// joins says whether r belongs to the character before it. Variation selectors are marks.
func joins(r rune) bool {
	return unicode.Is(unicode.M, r) || r == zeroWidthJoiner || r == '\uff9e' || r == '\uff9f' || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0xe0020 && r <= 0xe007f
}

// checkName refuses what must not stand in a header beside an address.
func checkName(s string) error {
	if len(s) > 200 {
		return errors.New("the name is longer than 200 octets")
	}
	if strings.Contains(s, "=?") {
		return errors.New("the name reads like an encoded word")
	}
	return checkHeader(s)
}

// checkHeader refuses characters that end a header or turn it around before the reader's eyes.
func checkHeader(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("it isn't UTF-8")
	}
	for _, r := range s {
		switch {
		case unicode.IsControl(r), r == 0x2028, r == 0x2029:
			return errors.New("it holds a control character or a line break")
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return errors.New("it holds a mark that turns the direction of writing")
		}
	}
	return nil
}
