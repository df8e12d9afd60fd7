package connectors

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what a failure means for the caller. It is decided once, where the answer is read.
type Kind uint8

// The kinds of failure.
const (
	KindUnknown     Kind = iota
	KindInvalid          // the vendor refuses this object; sending it again is useless (400, 422, unverified domain)
	KindAuth             // the credential is missing, wrong or expired, or lacks a permission (401, 403)
	KindNotFound         // the object doesn't exist (404)
	KindConflict         // an object with this key exists already (409)
	KindThrottled        // the quota is used up; nothing was done (429, or our own budget); see RetryAfter
	KindUnavailable      // nothing was done: refused, no route, 503 before work
	KindAmbiguous        // it may or may not have been done: time-out, reset, 5xx on a request that isn't idempotent
	KindProtocol         // the answer isn't what the contract says (HTML, wrong type, redirect to another host)
	KindTooLarge         // the answer or the request is larger than the limit
	KindCanceled         // the caller gave up before anything was sent
)

var kindNames = [...]string{
	"unknown", "invalid", "auth", "not found", "conflict", "throttled", "unavailable", "ambiguous", "protocol", "too large", "canceled",
}

// String gives the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Retriable reports whether the same request may succeed later without anybody changing anything.
func (k Kind) Retriable() bool {
	return k == KindThrottled || k == KindUnavailable || k == KindAmbiguous || k == KindCanceled
}

// Error is the only error type that connectors return. It never holds a secret: outbound redacts before it is made.
type Error struct {
	Kind       Kind
	Vendor     string        // connector name, e.g. "atlassian"
	Op         string        // what was tried, e.g. "create user"
	Status     int           // HTTP status; 0 where there was no answer
	Code       string        // the vendor's own machine code, where it has one
	Detail     string        // the vendor's own words, shortened and redacted
	RetryAfter time.Duration // for KindThrottled and KindUnavailable: when to try again; 0 if unknown
	Err        error         // cause, redacted
}

// Error gives one line: vendor, operation, kind, status, and the vendor's own words.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s", e.Vendor, e.Op, e.Kind)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	switch {
	case e.Detail != "":
		b.WriteString(": " + e.Detail)
	case e.Err != nil:
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf gives the Kind of err, KindUnknown where it is no *Error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindUnknown
}

// RetryAfterOf gives how long the vendor asks to wait, 0 where it doesn't say.
func RetryAfterOf(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
