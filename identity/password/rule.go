package password

import (
	"bytes"
	"crypto/sha1" // #nosec G505 -- the format of the published lists; it protects nothing
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The bounds of a password. The least is NIST SP 800-63B-4's for a password that stands alone (3.1.1.2).
const (
	MinLength = 15  // characters
	MaxBytes  = 512 // before normalisation
)

// The refusals of a new password.
var (
	ErrShort    = fmt.Errorf("パスワードは %d 文字以上にしてください。文でもかまいません。 / use at least %d characters; a sentence is fine", MinLength, MinLength)
	ErrLong     = fmt.Errorf("パスワードは %d バイト以内にしてください。 / use at most %d bytes", MaxBytes, MaxBytes)
	ErrText     = errors.New("パスワードに使えない文字があります。 / the password has a character that can't be used")
	ErrBreached = errors.New("このパスワードは、漏えいしたパスワードの一覧にあります。別のものにしてください。 / this password is in the list of breached ones; choose another")
	ErrGuess    = errors.New("このパスワードは、氏名やメールアドレスから推測できます。別のものにしてください。 / this password can be guessed from your name or address; choose another")
)

// normalise gives the form that is hashed, NFKC (SP 800-63B-4, 3.1.1.2): full-width and half-width letters are typed alike on Japanese keyboards.
func normalise(password string) (string, error) {
	switch {
	case len(password) > MaxBytes:
		return "", ErrLong
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return "", ErrText
	}
	return norm.NFKC.String(password), nil
}

// Breached tells whether a password is known from breaches.
type Breached interface {
	Contains(password string) (bool, error)
}

// check gives the normalised password where it may be taken. hints are words that an attacker who knows the person would try.
func check(password string, known Breached, hints []string) (string, error) {
	text, err := normalise(password)
	if err != nil {
		return "", err
	}
	if utf8.RuneCountInString(text) < MinLength {
		return "", ErrShort
	}
	rest := strings.ToLower(text)
	for _, h := range hints {
		if h = strings.ToLower(norm.NFKC.String(h)); utf8.RuneCountInString(h) >= 3 {
			rest = strings.ReplaceAll(rest, h, "")
		}
	}
	if utf8.RuneCountInString(rest) < 8 || len(distinct(rest)) < 5 {
		return "", ErrGuess
	}
	found, err := known.Contains(text)
	if err != nil {
		return "", fmt.Errorf("password: the list of breached passwords: %w", err)
	}
	if found {
		return "", ErrBreached
	}
	return text, nil
}

func distinct(text string) map[rune]bool {
	m := map[rune]bool{}
	for _, r := range text {
		m[r] = true
	}
	return m
}

// List is a file of breached passwords: lines of an upper-case hex SHA-1 and perhaps ":count", sorted, as the public collections come. It is
// searched where it lies, in some tens of reads.
type List struct {
	file io.ReaderAt
	size int64
}

const maxLine = 128

// NewList takes a list of size bytes. It looks at its first line, so that a wrong file is found at start.
func NewList(file io.ReaderAt, size int64) (*List, error) {
	l := &List{file, size}
	line, _, err := l.line(0)
	if err != nil {
		return nil, err
	}
	if _, err := hex.DecodeString(line); err != nil || len(line) != 2*sha1.Size {
		return nil, errors.New("password: the list of breached passwords doesn't begin with a SHA-1 in hex; want sorted lines of SHA-1, or SHA-1:count")
	}
	return l, nil
}

// Contains implements Breached.
func (l *List) Contains(password string) (bool, error) {
	sum := sha1.Sum([]byte(password)) // #nosec G401 -- the format of the published lists
	want := strings.ToUpper(hex.EncodeToString(sum[:]))
	low, high := int64(0), l.size // the line that is wanted begins in [low, high)
	for low < high {
		middle := low + (high-low)/2
		start := middle
		if middle > low { // from the middle of a line to the next one's beginning
			_, next, err := l.line(middle - 1)
			if err != nil {
				return false, err
			}
			start = next
		}
		if start >= high {
			high = middle
			continue
		}
		line, next, err := l.line(start)
		if err != nil {
			return false, err
		}
		switch strings.Compare(strings.ToUpper(line), want) {
		case 0:
			return true, nil
		case -1:
			low = next
		default:
			high = middle
		}
	}
	return false, nil
}

// line gives the text of the line at a place, up to a colon, and where the next one begins.
func (l *List) line(at int64) (text string, next int64, err error) {
	buf := make([]byte, min(maxLine, max(l.size-at, 0)))
	n, err := l.file.ReadAt(buf, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, fmt.Errorf("password: read the list of breached passwords: %w", err)
	}
	buf = buf[:n]
	end := bytes.IndexByte(buf, '\n')
	switch {
	case end >= 0:
		next = at + int64(end) + 1
	case at+int64(n) >= l.size:
		end, next = n, l.size
	default:
		return "", 0, fmt.Errorf("password: the list of breached passwords has a line longer than %d bytes", maxLine)
	}
	line, _, _ := strings.Cut(strings.TrimSuffix(string(buf[:end]), "\r"), ":")
	return line, next, nil
}
