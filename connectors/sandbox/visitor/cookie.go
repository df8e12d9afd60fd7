package visitor

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
)

// The cookies: __Host- keeps each to this very host, and to https.
const (
	SessionCookie = "session"
	BrowserCookie = "browser" // ties a login under way to its browser
	// PostedCookie does the same where the answer is posted from another site: browsers send such a request without cookies that are
	// SameSite=Lax. It opens nothing.
	PostedCookie = "posted"
	secretBytes  = 32
)

func (v *Visitors) cookieName(kind string) string { return "__Host-" + v.Name + "-" + kind }

// Cookie gives a cookie's value, "" for none and for two.
func (v *Visitors) Cookie(r *http.Request, kind string) string {
	found := r.CookiesNamed(v.cookieName(kind))
	if len(found) != 1 || len(found[0].Value) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return ""
	}
	return found[0].Value
}

// SetCookie sets a cookie for as long as the browser runs, or with an empty value takes it away.
func (v *Visitors) SetCookie(w http.ResponseWriter, kind, value string) {
	c := &http.Cookie{Name: v.cookieName(kind), Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if kind == PostedCookie {
		c.SameSite = http.SameSiteNoneMode
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// Browser gives the value of a cookie that ties something under way to its browser, and sets one where there is none.
func (v *Visitors) Browser(w http.ResponseWriter, r *http.Request, kind string) (string, error) {
	if value := v.Cookie(r, kind); value != "" {
		return value, nil
	}
	value, err := v.Secret()
	if err == nil {
		v.SetCookie(w, kind, value)
	}
	return value, err
}

// Secret draws 256 bits.
func (v *Visitors) Secret() (string, error) {
	var b [secretBytes]byte
	if _, err := io.ReadFull(v.random, b[:]); err != nil {
		return "", fmt.Errorf("visitor: no randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// formToken is made from the session's cookie, so that only its own pages can know it.
func formToken(cookie string) string {
	sum := sha256.Sum256([]byte("form\x00" + cookie))
	return hex.EncodeToString(sum[:])
}
