package outbound

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// Call describes a request to the quota, to the retry rule and to the reader of errors.
type Call struct {
	Op         string           // what is tried, e.g. "create user"
	Class      connectors.Class // quota class, reserved before every attempt
	Cost       int              // tokens an attempt; 0 is 1
	Idempotent bool             // sending it twice does no more than sending it once
	MaxBody    int64            // octets of this answer; 0 is the client's limit

	// Accept says which statuses are answers rather than errors; nil is 200 to 299.
	Accept func(status int) bool
	// ParseError reads the vendor's machine code and words from the JSON body of an error answer; nil reads nothing.
	ParseError func(status int, body []byte) (code, detail string)
	// Verdict reads an accepted JSON answer of a vendor that reports failures with status 200 and says of what kind the failure is;
	// KindUnknown: the answer is what was asked for. Nil: every accepted answer is. It may keep what it reads: it is called once for
	// each attempt's answer.
	Verdict func(body []byte) (kind connectors.Kind, code, detail string)
	// AllowAnyType accepts an answer that isn't JSON. For the few vendor calls that answer with text.
	AllowAnyType bool
}

// Request is one call. Path is joined to the client's base URL and must be escaped already; Body is encoded as JSON.
type Request struct {
	Call
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   any
}

// Response is an accepted answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads its answer. Every error is a *connectors.Error.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return nil, c.fail(r.Call, connectors.KindInvalid, "the request can't be encoded as JSON: "+err.Error())
		}
	}
	if len(body) > maxRequestBody {
		return nil, c.fail(r.Call, connectors.KindTooLarge, "the request is larger than 10 MiB: send fewer members at once")
	}
	u := *c.base
	path := c.base.EscapedPath() + "/" + strings.TrimLeft(r.Path, "/")
	var err error
	if u.Path, err = url.PathUnescape(path); err != nil {
		return nil, c.fail(r.Call, connectors.KindInvalid, "the path isn't escaped correctly")
	}
	u.RawPath = path
	u.RawQuery = r.Query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, c.fail(r.Call, connectors.KindInvalid, "the request isn't well formed")
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
	if r.Body == nil {
		req.Body, req.GetBody, req.ContentLength = nil, nil, 0
	} else if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	return c.exchange(req, body, r.Call)
}

type callKey struct{}

// WithCall attaches what HTTPClient needs to know of the request that is sent under ctx.
func WithCall(ctx context.Context, call Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// HTTPClient gives an *http.Client under the same rules as Do, for a library that insists on one. Each request's context must
// come from WithCall; a request without, or to another host, is refused unsent. An answer that isn't accepted comes back as
// an error: use errors.As to find the *connectors.Error in what the library wraps around it, and drop the rest, which may
// repeat the URL.
func (c *Client) HTTPClient() *http.Client {
	return &http.Client{
		Transport:     facade{c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// facade is a Client seen as an http.RoundTripper.
type facade struct{ client *Client }

// RoundTrip sends req by the rules of the client.
func (f facade) RoundTrip(req *http.Request) (*http.Response, error) {
	c := f.client
	if req.Body != nil {
		defer req.Body.Close()
	}
	call, ok := req.Context().Value(callKey{}).(Call)
	if !ok {
		return nil, c.fail(Call{Op: "send"}, connectors.KindInvalid, "the request's context doesn't come from outbound.WithCall")
	}
	if !c.owns(req.URL) {
		return nil, c.fail(call, connectors.KindProtocol, "the request is for another host or path than the vendor's base URL")
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(req.Body, maxRequestBody+1)); err != nil {
			return nil, c.fail(call, connectors.KindInvalid, "the request's body can't be read")
		}
		if len(body) > maxRequestBody {
			return nil, c.fail(call, connectors.KindTooLarge, "the request is larger than 10 MiB")
		}
	}
	clone := req.Clone(req.Context())
	clone.Header.Del("Cookie")
	if clone.Header.Get("Accept") == "" {
		clone.Header.Set("Accept", "application/json")
	}
	resp, err := c.exchange(clone, body, call)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(resp.Status), StatusCode: resp.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: resp.Header, Body: io.NopCloser(bytes.NewReader(resp.Body)), ContentLength: int64(len(resp.Body)), Request: req,
	}, nil
}

// owns reports whether u lies under the base URL.
func (c *Client) owns(u *url.URL) bool {
	return u.Scheme == c.base.Scheme && strings.EqualFold(u.Host, c.base.Host) && u.User == nil &&
		(u.Path == c.base.Path || strings.HasPrefix(u.Path, c.base.Path+"/"))
}

// fail makes an error that no answer caused.
func (c *Client) fail(call Call, kind connectors.Kind, detail string) *connectors.Error {
	return &connectors.Error{Kind: kind, Vendor: c.cfg.Vendor, Op: call.Op, Detail: c.redact.detail(detail)}
}

// Fail makes a *connectors.Error of this vendor for something that the caller found in an accepted answer, redacted.
func (c *Client) Fail(op string, kind connectors.Kind, detail string) *connectors.Error {
	return c.fail(Call{Op: op}, kind, detail)
}

// Vendor gives the connector's name.
func (c *Client) Vendor() string { return c.cfg.Vendor }

// Now gives the client's clock.
func (c *Client) Now() time.Time { return c.cfg.Now() }
