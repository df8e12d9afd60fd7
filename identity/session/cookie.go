package session

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
)

// CookieName is the session cookie's. The prefix makes browsers hold it to this host, to HTTPS and to the whole path (RFC 6265bis, 4.1.3.2),
// so that no other host can plant one.
const CookieName = "__Host-musubi"

const secretBytes = 32

// Secret is what a session's cookie holds. It prints without what it holds; only Cookie shows it.
type Secret struct {
	text func() string // a function: package fmt prints it as an address
}

// NewSecret draws a secret from random, which must be cryptographically strong.
func NewSecret(random io.Reader) (Secret, error) {
	var b [secretBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Secret{}, fmt.Errorf("session: no randomness: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(b[:])
	return Secret{func() string { return text }}, nil
}

// ParseSecret reads a cookie's value; ok is false for what can't be one.
func ParseSecret(value string) (s Secret, ok bool) {
	if len(value) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return Secret{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(b) != secretBytes {
		return Secret{}, false
	}
	return Secret{func() string { return value }}, true
}

// Zero reports whether there is no secret.
func (s Secret) Zero() bool { return s.text == nil }

// Hash is what the database keeps: hex SHA-256; empty for no secret.
func (s Secret) Hash() string {
	if s.text == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(s.text()))
	return hex.EncodeToString(sum[:])
}

// Derive gives a value that only who knows the secret can make, for one purpose: form tokens.
func (s Secret) Derive(purpose string) string {
	if s.text == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(fmt.Sprintf("%d:%s%s", len(purpose), purpose, s.text())))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// String, GoString and the text form hide the secret.
func (s Secret) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return "[redacted]" }

// Cookie carries the secret under a name that starts with __Host-. It has no Max-Age: browsers forget it when they close.
//
// SameSite is Lax: a relying party's redirect to the hub is a navigation from elsewhere and has to find the session. Whatever changes
// something is a POST with a form token.
func (s Secret) Cookie(name string) *http.Cookie {
	value := ""
	if s.text != nil {
		value = s.text()
	}
	return &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// Forget makes the browser drop the cookie.
func Forget(name string) *http.Cookie {
	return &http.Cookie{Name: name, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1}
}

// FromRequest gives the secret under the name. Two cookies of one name are none: who sent which is unknown.
func FromRequest(r *http.Request, name string) Secret {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return Secret{}
	}
	s, _ := ParseSecret(cookies[0].Value)
	return s
}
