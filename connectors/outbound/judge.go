package outbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors"
)

// judge turns a status and a body into an error, or nil for an accepted answer.
//
// A 5xx on a request that isn't idempotent is ambiguous: a gateway answers 502, 503 or 504 also where the server behind it
// had taken the request before the connection broke. The exception is a 503 with Retry-After: that is the server refusing
// work and saying when to come back, so nothing was done.
//
// A 404 or 409 that isn't JSON comes from something in front of the vendor and says nothing about the object: believing it
// would count a leaver as gone.
func (e *exchange) judge(a *Response) *connectors.Error {
	isJSON := jsonType(a.Header.Get("Content-Type"))
	if e.accepts(a.Status) {
		if len(a.Body) > 0 && !isJSON && !e.call.AllowAnyType {
			return e.status(a, connectors.KindProtocol, fmt.Sprintf("the answer is %s, not JSON: is there a login page or a proxy in between?", typeName(a)))
		}
		return e.verdict(a)
	}
	switch kind := e.kindOf(a.Status, a.Header); {
	case a.Status >= 300 && a.Status < 400:
		return e.status(a, connectors.KindProtocol, redirectDetail(a.Header.Get("Location")))
	case !isJSON && len(a.Body) > 0 && (kind == connectors.KindNotFound || kind == connectors.KindConflict || kind == connectors.KindInvalid):
		return e.status(a, connectors.KindProtocol, fmt.Sprintf("the answer is %s, not the vendor's JSON", typeName(a)))
	default:
		f := e.status(a, kind, "")
		if isJSON && e.call.ParseError != nil {
			code, detail := e.call.ParseError(a.Status, a.Body)
			f.Code, f.Detail = e.client.redact.detail(code), e.client.redact.detail(detail)
		}
		if kind == connectors.KindThrottled || kind == connectors.KindUnavailable {
			f.RetryAfter = retryAfter(a.Header, e.client.cfg.Now())
		}
		return f
	}
}

// verdict asks the call whether an accepted answer reports a failure.
func (e *exchange) verdict(a *Response) *connectors.Error {
	if e.call.Verdict == nil {
		return nil
	}
	kind, code, detail := e.call.Verdict(a.Body)
	if kind == connectors.KindUnknown {
		return nil
	}
	f := e.status(a, kind, detail)
	f.Code = e.client.redact.detail(code)
	if kind == connectors.KindThrottled || kind == connectors.KindUnavailable {
		f.RetryAfter = retryAfter(a.Header, e.client.cfg.Now())
	}
	return f
}

func (e *exchange) accepts(status int) bool {
	if e.call.Accept != nil {
		return e.call.Accept(status)
	}
	return status >= 200 && status < 300
}

func (e *exchange) status(a *Response, kind connectors.Kind, detail string) *connectors.Error {
	f := e.client.fail(e.call, kind, detail)
	f.Status = a.Status
	return f
}

// kindOf maps a status that isn't accepted.
func (e *exchange) kindOf(status int, h http.Header) connectors.Kind {
	unknown := connectors.KindAmbiguous
	if e.call.Idempotent {
		unknown = connectors.KindUnavailable
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return connectors.KindAuth
	case http.StatusNotFound:
		return connectors.KindNotFound
	case http.StatusConflict:
		return connectors.KindConflict
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return connectors.KindTooLarge
	case http.StatusTooManyRequests:
		return connectors.KindThrottled
	case http.StatusTooEarly:
		return connectors.KindUnavailable
	case http.StatusRequestTimeout:
		return unknown
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusProxyAuthRequired, http.StatusGone,
		http.StatusUnsupportedMediaType, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return connectors.KindProtocol // the vendor's interface isn't what we hold it to be; no object is at fault
	case http.StatusServiceUnavailable:
		if h.Get("Retry-After") != "" {
			return connectors.KindUnavailable
		}
		return unknown
	}
	switch {
	case status >= 500:
		return unknown
	case status >= 400:
		return connectors.KindInvalid
	default: // 1xx, 2xx that the call doesn't accept, 3xx
		return connectors.KindProtocol
	}
}

// retryAfter reads how long the vendor asks to wait: Retry-After in seconds or as an HTTP date, else X-RateLimit-Reset as an
// ISO 8601 time. At most an hour; 0 where it says nothing that can be read.
func retryAfter(h http.Header, now time.Time) time.Duration {
	wait := time.Duration(0)
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		wait = time.Duration(min(seconds, uint64(retryAfterCap/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		wait = retryAfterCap
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	} else if value == "" {
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
			if at, err := time.Parse(layout, h.Get("X-RateLimit-Reset")); err == nil {
				wait = at.Sub(now)
				break
			}
		}
	}
	return min(max(wait, 0), retryAfterCap)
}

func redirectDetail(location string) string {
	u, err := url.Parse(location)
	switch {
	case location == "" || err != nil:
		return "the vendor redirects, which its interface doesn't do"
	case u.Host == "":
		return "the vendor redirects to another path: is the base URL right?"
	}
	return "the vendor redirects to host " + u.Host + ", which is refused: the credential belongs to the base URL's host alone"
}

// jsonType reports whether a Content-Type is JSON or a +json type, in UTF-8.
func jsonType(value string) bool {
	media, params, err := mime.ParseMediaType(value)
	if err != nil {
		return false
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

func typeName(a *Response) string {
	media, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		return "of no known type"
	}
	return media
}

// Decode reads the answer's JSON into v: one value, valid UTF-8, nothing after it. An error is a *connectors.Error of
// KindProtocol.
func (c *Client) Decode(op string, a *Response, v any) error {
	if err := decode(a.Body, v); err != nil {
		f := c.Fail(op, connectors.KindProtocol, "the answer can't be read: "+err.Error())
		f.Status = a.Status
		return f
	}
	return nil
}

func decode(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return errors.New("it is empty")
	}
	if !utf8.Valid(body) {
		return errors.New("it isn't valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}
