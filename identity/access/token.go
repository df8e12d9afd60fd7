package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	tokenPrefix = "musubi1"
	idBytes     = 8
	secretBytes = 32
)

// errToken says what a token looks like, and never what was given.
var errToken = errors.New("it isn't a credential of this hub: want one line, " + tokenPrefix + ".ID.SECRET, exactly as it was issued")

// Token is a local credential as its holder keeps it. It prints, logs and marshals without its secret; only Reveal shows it.
type Token struct {
	id string
	// secret gives the secret. It is a function because package fmt, which can't call our methods on a Token inside another
	// package's unexported field, follows pointers but prints a function as an address.
	secret func() [secretBytes]byte
}

func makeToken(id string, secret [secretBytes]byte) Token {
	return Token{id: id, secret: func() [secretBytes]byte { return secret }}
}

// ParseToken reads a token in the form that Reveal gives. Its error never holds what was read.
func ParseToken(text string) (Token, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != tokenPrefix {
		return Token{}, errToken
	}
	id, err := hex.DecodeString(parts[1])
	if err != nil || len(id) != idBytes || hex.EncodeToString(id) != parts[1] {
		return Token{}, errToken
	}
	// The length first: the decoder skips line breaks, and one token must have one text.
	if len(parts[2]) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return Token{}, errToken
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(secret) != secretBytes {
		return Token{}, errToken
	}
	return makeToken(parts[1], [secretBytes]byte(secret)), nil
}

// newToken draws a token from random, which must be cryptographically strong.
func newToken(random io.Reader) (Token, error) {
	var b [idBytes + secretBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Token{}, fmt.Errorf("access: no randomness for a credential: %w", err)
	}
	return makeToken(hex.EncodeToString(b[:idBytes]), [secretBytes]byte(b[idBytes:])), nil
}

// ID is the credential's public id.
func (t Token) ID() string { return t.id }

// Reveal gives the whole token, secret included: for the credential file alone.
func (t Token) Reveal() string {
	if t.secret == nil {
		return ""
	}
	secret := t.secret()
	return tokenPrefix + "." + t.id + "." + base64.RawURLEncoding.EncodeToString(secret[:])
}

func (t Token) hash() string {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return hex.EncodeToString(sum[:])
}

// String gives the token without its secret.
func (t Token) String() string { return tokenPrefix + "." + t.id + ".[redacted]" }

// Format implements fmt.Formatter, so that no verb shows the secret.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements encoding.TextMarshaler.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
