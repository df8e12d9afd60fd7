package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

var errRedirects = errors.New("deliver: too many redirects")

func (q *Queue) checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) > q.opt.Policy.MaxRedirects {
		return errRedirects
	}
	return nil
}

// work sends what is due until nothing waits.
func (q *Queue) work() {
	for {
		e := q.next()
		if e == nil {
			return
		}
		q.attempt(e)
	}
}

// next gives the entry that is due next, waiting for its time; nil ends the worker.
func (q *Queue) next() *entry {
	for {
		q.mu.Lock()
		if q.closed || len(q.waiting) == 0 {
			q.workers--
			q.mu.Unlock()
			return nil
		}
		e := q.waiting[0]
		wait := e.due.Sub(q.opt.Now())
		if wait <= 0 {
			q.waiting = slices.Delete(q.waiting, 0, 1)
			q.held = slices.DeleteFunc(q.held, func(h *entry) bool { return h == e })
			q.inFlight++
			q.mu.Unlock()
			return e
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-q.opt.After(wait):
		case <-changed:
		case <-q.ctx.Done():
		}
	}
}

// attempt makes one try, tells of it, and queues the next one where the policy has one.
func (q *Queue) attempt(e *entry) {
	e.try.At = q.opt.Now()
	r := Record{ID: e.m.ID, Event: e.m.Event, Try: e.try.Number, At: e.try.At, Fault: e.fault}
	falsify := e.m.SignatureHeader != "" && q.opt.Fault != nil && q.opt.Fault(FaultBadSignature, e.m)
	if falsify {
		r.Fault = FaultBadSignature
	}
	answer, failure := q.post(q.ctx, e.m, e.try, falsify)
	r.Status, r.Failure = answer.Status, failure
	p := q.opt.Policy
	r.Retry = failure != "" && e.try.Number < len(p.Retries) && (p.Retry == nil || p.Retry(failure, answer))
	q.mu.Lock()
	r.Retry = r.Retry && !q.closed && e.epoch == q.epoch
	forgotten := q.closed || e.epoch != q.epoch
	q.mu.Unlock()
	if !forgotten {
		q.tell(r)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.Retry && !q.closed && e.epoch == q.epoch {
		next := *e
		next.try = Try{Number: e.try.Number + 1, Last: failure, LastStatus: answer.Status}
		next.due = q.opt.Now().Add(p.Retries[e.try.Number])
		q.push(&next)
	}
	q.inFlight--
	q.notify()
}

// Once makes a single try at m, past queue and faults, for instance to verify an address.
func (q *Queue) Once(ctx context.Context, m Message) (Answer, error) {
	if err := CheckURL(m.URL); err != nil {
		return Answer{}, err
	}
	answer, failure := q.post(ctx, m, Try{At: q.opt.Now()}, false)
	if failure != "" {
		return answer, fmt.Errorf("deliver: the receiver didn't accept the message: %s (status %d)", failure, answer.Status)
	}
	return answer, nil
}

// post sends one request and reads its answer.
func (q *Queue) post(ctx context.Context, m Message, try Try, falsify bool) (Answer, Failure) {
	ctx, cancel := context.WithTimeout(ctx, q.opt.Policy.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return Answer{}, FailureConnection
	}
	if m.Header != nil {
		for k, v := range m.Header(try) {
			req.Header[http.CanonicalHeaderKey(k)] = v
		}
	}
	if m.ContentType != "" {
		req.Header.Set("Content-Type", m.ContentType)
	}
	if falsify {
		req.Header.Set(m.SignatureHeader, falsified(req.Header.Get(m.SignatureHeader)))
	}
	resp, err := q.client.Do(req)
	if err != nil {
		return Answer{}, failureOf(ctx, err)
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxAnswer)); err != nil {
		return a, failureOf(ctx, err)
	}
	if a.Status < 200 || a.Status > 299 {
		return a, FailureStatus
	}
	return a, ""
}

// falsified changes the last character of a signature to another digit.
func falsified(signature string) string {
	if signature == "" {
		return "0"
	}
	last := byte('0')
	if signature[len(signature)-1] == last {
		last = '1'
	}
	return signature[:len(signature)-1] + string(last)
}

func failureOf(ctx context.Context, err error) Failure {
	var (
		record    tls.RecordHeaderError
		alert     tls.AlertError
		unproved  *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.Is(err, errRedirects):
		return FailureRedirects
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return FailureTimeout
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &unproved),
		errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return FailureTLS
	}
	return FailureConnection
}
