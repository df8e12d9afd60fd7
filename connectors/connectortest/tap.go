package connectortest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Fault takes a request's place on the wire. vendor is the stand-in.
type Fault func(vendor http.RoundTripper, r *http.Request) (*http.Response, error)

// Sent is a request that left the connector.
type Sent struct {
	Method, Host, Path, Authorization string
}

// Tap is the wire between a connector and its vendor: it records what is sent and puts faults in its way.
type Tap struct {
	vendor http.RoundTripper

	mu    sync.Mutex
	sent  []Sent
	creds map[string]bool // what followed the scheme in Authorization, of every request
	fault Fault
	match func(*http.Request) bool
	left  int
}

// NewTap makes a wire to vendor.
func NewTap(vendor http.RoundTripper) *Tap { return &Tap{vendor: vendor} }

// Write matches every request that may change something.
func Write(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// Any matches every request.
func Any(*http.Request) bool { return true }

// Put puts fault in the way of the next times requests that match; times < 0 is all of them. It replaces the last fault.
func (t *Tap) Put(fault Fault, times int, match func(*http.Request) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fault, t.left, t.match = fault, times, match
}

// Clear takes the fault away.
func (t *Tap) Clear() { t.Put(nil, 0, Any) }

// Take gives what was sent since the last Take.
func (t *Tap) Take() []Sent {
	t.mu.Lock()
	defer t.mu.Unlock()
	sent := t.sent
	t.sent = nil
	return sent
}

// credentials gives every credential that was sent, in the form in which it was.
func (t *Tap) credentials() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.creds))
}

// RoundTrip records r and sends it on, or into the fault.
func (t *Tap) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	t.sent = append(t.sent, Sent{Method: r.Method, Host: r.URL.Host, Path: r.URL.Path, Authorization: r.Header.Get("Authorization")})
	if _, cred, _ := strings.Cut(r.Header.Get("Authorization"), " "); cred != "" {
		if t.creds == nil {
			t.creds = map[string]bool{}
		}
		t.creds[cred] = true
	}
	fault := t.fault
	if fault == nil || t.left == 0 || !t.match(r) {
		fault = nil
	} else if t.left > 0 {
		t.left--
	}
	t.mu.Unlock()
	if fault == nil {
		return t.vendor.RoundTrip(r)
	}
	return fault(t.vendor, r)
}

// lostError is what net/http reports when an answer doesn't come in time.
type lostError struct{}

func (lostError) Error() string   { return "net/http: timeout awaiting response headers" }
func (lostError) Timeout() bool   { return true }
func (lostError) Temporary() bool { return true }

// LoseAnswer lets the vendor do the work and loses its answer.
func LoseAnswer(vendor http.RoundTripper, r *http.Request) (*http.Response, error) {
	resp, err := vendor.RoundTrip(r)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return nil, lostError{}
}

// Reset breaks the connection before the vendor sees the request, which the connector can't know.
func Reset(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
	closeBody(r)
	return nil, errors.New("read: connection reset by peer")
}

// Hang answers when the caller gives up.
func Hang(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
	closeBody(r)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// WrongToken lets the vendor see another credential, as if ours had expired.
func WrongToken(vendor http.RoundTripper, r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	r.Header.Set("Authorization", scheme+" ZXhwaXJlZDpleHBpcmVk")
	return vendor.RoundTrip(r)
}

// EchoToken answers 403 with everything that the request's header holds.
func EchoToken(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
	closeBody(r)
	text := "refused: " + r.Header.Get("Authorization") + " " + r.URL.String()
	body := `{"detail":` + quote(text) + `,"errorMessage":` + quote(text) + `,"errorMessages":[` + quote(text) + `]}`
	return respond(r, http.StatusForbidden, "application/json", strings.NewReader(body), nil), nil
}

// Answer gives a fixed answer; header holds pairs.
func Answer(status int, contentType, body string, header ...string) Fault {
	return func(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
		closeBody(r)
		return respond(r, status, contentType, strings.NewReader(body), header), nil
	}
}

// LoginPage is what a proxy or an expired session gives: HTML with status 200.
func LoginPage(vendor http.RoundTripper, r *http.Request) (*http.Response, error) {
	return Answer(http.StatusOK, "text/html; charset=utf-8", "<!doctype html><title>Log in</title>")(vendor, r)
}

// Huge answers with 50 MB of JSON, without announcing the length.
func Huge(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
	closeBody(r)
	body := io.MultiReader(strings.NewReader(`{"detail":"`), io.LimitReader(filler{}, 50<<20), strings.NewReader(`"}`))
	return respond(r, http.StatusOK, "application/json", body, nil), nil
}

// Elsewhere redirects to another host.
func Elsewhere(vendor http.RoundTripper, r *http.Request) (*http.Response, error) {
	return Answer(http.StatusTemporaryRedirect, "", "", "Location", "https://elsewhere.example/collect")(vendor, r)
}

type filler struct{}

var filling = bytes.Repeat([]byte("x"), 64<<10) // copied, not counted out: under the race detector each octet written costs

func (filler) Read(p []byte) (int, error) { return copy(p, filling), nil }

func respond(r *http.Request, status int, contentType string, body io.Reader, header []string) *http.Response {
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

func quote(s string) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for _, c := range s {
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	b.WriteByte('"')
	return b.String()
}
