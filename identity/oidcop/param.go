package oidcop

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The bounds of what is sent.
const (
	maxBody   = 64 << 10
	maxParams = 50
	maxParam  = 16 << 10 // bytes of one value
	maxQuery  = 32 << 10
	maxShort  = 2048 // bytes of state, of an address
	maxNonce  = 512
)

// params are the parameters of a request, each once. What is empty counts as absent (RFC 6749, section 3.1).
type params map[string]string

// parseParams reads form-encoded parameters. A parameter that stands there twice is refused: two readers might take different ones.
func parseParams(encoded string) (params, *fault) {
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, invalidRequest("params_malformed", "the parameters aren't form-encoded")
	}
	if len(values) > maxParams {
		return nil, invalidRequest("params_many", fmt.Sprintf("at most %d parameters are taken", maxParams))
	}
	out := make(params, len(values))
	for name, v := range values {
		switch {
		case len(v) != 1:
			return nil, invalidRequest("params_repeated", "a parameter stands there more than once")
		case len(v[0]) > maxParam || len(name) > 100:
			return nil, invalidRequest("params_long", "a parameter is too long")
		case !utf8.ValidString(v[0]) || !utf8.ValidString(name) || strings.ContainsRune(v[0], 0):
			return nil, invalidRequest("params_malformed", "a parameter isn't UTF-8 text")
		}
		if v[0] != "" {
			out[name] = v[0]
		}
	}
	return out, nil
}

// query reads the parameters of a GET.
func (c *call) query() (params, *fault) {
	if len(c.r.URL.RawQuery) > maxQuery {
		return nil, invalidRequest("params_long", "the query is too long")
	}
	return parseParams(c.r.URL.RawQuery)
}

// form reads the parameters of a POST, which are in its body alone: what stands in an address ends up in logs.
func (c *call) form() (params, *fault) {
	if c.r.URL.RawQuery != "" {
		return nil, invalidRequest("params_in_query", "send the parameters in the body")
	}
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, invalidRequest("content_type", "send application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(c.r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &fault{http.StatusRequestEntityTooLarge, "invalid_request", "body_large", fmt.Sprintf("at most %d bytes are taken", maxBody), nil}
	}
	if err != nil {
		return nil, invalidRequest("body_unread", "the body couldn't be read")
	}
	return parseParams(string(body))
}

// sent reads the parameters of a GET or a POST, for the end points that browsers come to.
func (c *call) sent() (params, *fault) {
	if c.r.Method == http.MethodPost {
		return c.form()
	}
	return c.query()
}

// secret draws 256 random bits as text.
func (p *Provider) secret() (text string, err error) {
	var b [32]byte
	if _, err := io.ReadFull(p.opt.Random, b[:]); err != nil {
		return "", fmt.Errorf("oidcop: no randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// hashOf is how codes and tokens are kept: they hold 256 random bits, so there is nothing to guess.
func hashOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
