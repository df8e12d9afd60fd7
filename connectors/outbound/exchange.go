package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/musubi-hub/musubi/connectors"
)

// exchange sends req, with further attempts where its call allows them, within the client's time-out.
func (c *Client) exchange(req *http.Request, body []byte, call Call) (*Response, error) {
	if c.cfg.Trace == nil {
		return c.send(req, body, call)
	}
	ctx, end := c.cfg.Trace(req.Context(), c.cfg.Vendor, call)
	answer, err := c.send(req.WithContext(ctx), body, call)
	end(err)
	return answer, err
}

func (c *Client) send(req *http.Request, body []byte, call Call) (*Response, error) {
	parent := req.Context()
	if call.Op == "" || call.Class == "" {
		return nil, c.fail(call, connectors.KindInvalid, "the call names no operation or no quota class")
	}
	if err := parent.Err(); err != nil {
		return nil, c.canceled(call, err)
	}
	ctx, cancel := context.WithTimeout(parent, c.cfg.Timeout)
	defer cancel()
	e := &exchange{client: c, call: call, parent: parent}
	out := req.Clone(ctx)
	out.Header.Set("User-Agent", c.cfg.UserAgent)
	retriable := &retryablehttp.Request{Request: out}
	if len(body) > 0 {
		if err := retriable.SetBody(body); err != nil {
			return nil, c.fail(call, connectors.KindInvalid, "the request's body can't be read")
		}
	}
	retries := 0
	if call.Idempotent {
		retries = c.cfg.Retries
	}
	client := &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     e,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     retries,
		CheckRetry:   e.check,
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return e.wait },
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	resp, err := client.Do(retriable)
	if resp != nil {
		resp.Body.Close()
	}
	switch {
	case e.failure != nil:
		return nil, e.failure
	case e.answer != nil:
		return e.answer, nil
	case parent.Err() != nil:
		return nil, c.canceled(call, parent.Err())
	default: // net/http refused the request before it reached the transport
		f := c.fail(call, connectors.KindInvalid, "the request can't be sent as it is")
		f.Err = c.cause(err)
		return nil, f
	}
}

// exchange is one call in progress: the http.RoundTripper of its attempts, holding what the last attempt came to. The
// attempt's outcome is kept here rather than passed through net/http, which would wrap it into an error with the URL.
type exchange struct {
	client  *Client
	call    Call
	parent  context.Context
	attempt int
	answer  *Response
	failure *connectors.Error
	again   bool          // the failure came from the vendor or the network, not from our own quota
	wait    time.Duration // before the next attempt
}

// RoundTrip makes one attempt: reserves, authorizes, sends, reads the answer to its end and judges it.
func (e *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	c := e.client
	e.attempt++
	e.answer, e.failure, e.again = nil, nil, false
	if err := c.cfg.Quota.Reserve(req.Context(), e.call.Class, max(e.call.Cost, 1)); err != nil {
		e.failure = e.unreserved(err)
		return nil, e.failure
	}
	if err := e.parent.Err(); err != nil {
		e.failure = c.canceled(e.call, err)
		return nil, e.failure
	}
	start := c.cfg.Now()
	sent := &sending{}
	authorized := req.Clone(sent.trace(req.Context()))
	authorized.Header.Set("Authorization", c.cfg.Authorize.header.reveal())
	resp, err := c.cfg.Transport.RoundTrip(authorized)
	status := 0
	if err != nil {
		e.failure = e.unanswered(err, sent)
	} else {
		status = resp.StatusCode
		connectors.NoteRequest(req.Context(), requestID(resp.Header))
		e.answer, e.failure = e.read(resp)
	}
	e.again = e.failure != nil
	e.observe(req, status, c.cfg.Now().Sub(start))
	if e.failure != nil {
		return nil, e.failure
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: resp.Header, Body: http.NoBody, Request: req,
	}, nil
}

// requestID is how the vendor names a request in its answer: Atlassian's gateway, Jira, Slack, anybody else.
func requestID(h http.Header) string {
	for _, name := range []string{"Atl-Traceid", "X-Arequestid", "X-Slack-Req-Id", "X-Request-Id"} {
		if id := h.Get(name); id != "" {
			return id
		}
	}
	return ""
}

// check is go-retryablehttp's CheckRetry: only idempotent requests, only failures that may pass, only if the wait that the
// vendor asks for is short and fits into the call's time.
func (e *exchange) check(ctx context.Context, _ *http.Response, _ error) (bool, error) {
	if e.failure == nil || !e.again || !e.call.Idempotent || ctx.Err() != nil {
		return false, nil
	}
	if e.failure.Kind != connectors.KindUnavailable && e.failure.Kind != connectors.KindThrottled {
		return false, nil
	}
	e.wait = e.failure.RetryAfter
	if e.wait == 0 {
		jitter := 0.5
		if e.client.cfg.Jitter != nil {
			jitter = e.client.cfg.Jitter()
		}
		e.wait = time.Duration(float64(backoffBase<<(e.attempt-1)) * (0.7 + 0.6*jitter))
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= e.wait {
		return false, nil
	}
	return e.wait <= retryAfterWait, nil
}

// unreserved says what a failed reservation means: nothing was sent by this attempt.
func (e *exchange) unreserved(err error) *connectors.Error {
	if parent := e.parent.Err(); parent != nil {
		return e.client.canceled(e.call, parent)
	}
	kind, after := connectors.KindUnavailable, time.Duration(0)
	var ce *connectors.Error
	if errors.As(err, &ce) {
		kind, after = ce.Kind, ce.RetryAfter
	}
	f := e.client.fail(e.call, kind, "our own budget of "+string(e.call.Class)+" gives no token now")
	f.RetryAfter, f.Err = after, e.client.cause(err)
	return f
}

// unanswered says what a request without an answer means. It may have been carried out unless it surely never left.
func (e *exchange) unanswered(err error, sent *sending) *connectors.Error {
	var f *connectors.Error
	parent := e.parent.Err()
	switch {
	case sent.never(err) && parent != nil:
		return e.client.canceled(e.call, parent)
	case sent.never(err):
		f = e.client.fail(e.call, connectors.KindUnavailable, "no connection: "+err.Error())
	default:
		f = e.lost(err)
	}
	f.Err = e.client.cause(err)
	return f
}

// lost is an answer that didn't arrive, or not whole: harmless for an idempotent request, unknown for another.
func (e *exchange) lost(err error) *connectors.Error {
	kind := connectors.KindAmbiguous
	if e.call.Idempotent {
		kind = connectors.KindUnavailable
	}
	detail := "no answer: " + err.Error()
	switch {
	case e.parent.Err() != nil:
		detail = "the caller gave up while the answer was awaited"
	case isTimeout(err):
		detail = fmt.Sprintf("no answer within the time allowed (%v for the whole call)", e.client.cfg.Timeout)
	}
	f := e.client.fail(e.call, kind, detail)
	f.Err = e.client.cause(err)
	return f
}

// read reads an answer to its end, within the limit, and judges it.
func (e *exchange) read(resp *http.Response) (*Response, *connectors.Error) {
	defer resp.Body.Close()
	limit := e.call.MaxBody
	if limit <= 0 {
		limit = e.client.cfg.MaxBody
	}
	tooLarge := func() *connectors.Error {
		f := e.client.fail(e.call, connectors.KindTooLarge, fmt.Sprintf("the answer is larger than %d octets", limit))
		f.Status = resp.StatusCode
		return f
	}
	if resp.ContentLength > limit {
		return nil, tooLarge()
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if int64(len(body)) > limit {
		return nil, tooLarge()
	}
	if err != nil {
		f := e.lost(err)
		f.Status = resp.StatusCode
		return nil, f
	}
	answer := &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if f := e.judge(answer); f != nil {
		return nil, f
	}
	return answer, nil
}

func (e *exchange) observe(req *http.Request, status int, took time.Duration) {
	o := Observation{Vendor: e.client.cfg.Vendor, Op: e.call.Op, Class: e.call.Class, Attempt: e.attempt, Status: status, Duration: took}
	if e.client.cfg.Observe != nil {
		e.client.cfg.Observe(o)
	}
	outcome := "ok"
	if e.failure != nil {
		outcome = e.failure.Kind.String()
	}
	// The URL isn't logged: it holds names and e-mail addresses.
	e.client.cfg.Logger.LogAttrs(req.Context(), slog.LevelDebug, "outbound attempt",
		slog.String("vendor", o.Vendor), slog.String("op", o.Op), slog.String("class", string(o.Class)),
		slog.String("method", req.Method), slog.Int("attempt", o.Attempt), slog.Int("status", status),
		slog.String("outcome", outcome), slog.Duration("duration", took))
}

// canceled is the error of a caller that gave up before anything was sent.
func (c *Client) canceled(call Call, err error) *connectors.Error {
	f := c.fail(call, connectors.KindCanceled, "the caller gave up before the request was sent")
	f.Err = c.cause(err)
	return f
}

// cause keeps of err what errors.Is is asked about, and its text redacted.
func (c *Client) cause(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return errors.New(c.redact.detail(err.Error()))
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// sending follows an attempt through net/http's transport as far as that tells.
type sending struct{ wanted, connected atomic.Bool }

func (s *sending) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { s.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { s.connected.Store(true) },
	})
}

// never reports whether the request surely didn't leave this machine: no connection was there. A transport that tells nothing
// (an in-process one) is believed to have sent it, unless its error is a failure to dial.
func (s *sending) never(err error) bool {
	if s.wanted.Load() {
		return !s.connected.Load()
	}
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) || errors.Is(err, syscall.ECONNREFUSED)
}
