package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// retryGreylisted is when a relay that greylists is asked again: five minutes is what most ask for (RFC 6647 section 4.5).
const retryGreylisted = 5 * time.Minute

// judge says what a failure means at the step where it came. parent is the caller's context, own the one with our time-out.
func (c *Connector) judge(parent, own context.Context, at step, err error) *connectors.Error {
	if code, text, ok := answerOf(err); ok {
		return c.answered(at, code, text, err)
	}
	switch {
	case at == stepEnd:
		detail := "the connection broke after the whole mail was sent, before the relay's answer"
		if parent.Err() != nil {
			detail = "the caller gave up while the relay's answer was awaited"
		}
		if own.Err() != nil {
			err = own.Err()
		}
		return c.cause(c.fail(connectors.KindAmbiguous, detail), err)
	case parent.Err() != nil:
		return c.cause(c.fail(connectors.KindCanceled, "the caller gave up before the mail was sent"), parent.Err())
	}
	var (
		large *tooLargeError
		dial  *dialError
	)
	switch {
	case errors.As(err, &large):
		return c.fail(connectors.KindTooLarge, large.Error())
	case errors.Is(err, errNoMechanism):
		return c.fail(connectors.KindAuth, "the relay can't be logged in to: "+err.Error())
	case errors.As(err, &dial):
		return c.cause(c.fail(connectors.KindUnavailable, "no connection to the relay: "+err.Error()), err)
	case insecure(err):
		return c.fail(connectors.KindProtocol, "the connection to the relay can't be protected: "+err.Error())
	}
	detail := fmt.Sprintf("the connection to the relay broke (%s): %v", at, err)
	if own.Err() != nil || timedOut(err) {
		err = context.DeadlineExceeded
		detail = fmt.Sprintf("the relay didn't answer within %v (%s)", c.cfg.Timeout, at)
	}
	return c.cause(c.fail(connectors.KindUnavailable, detail), err)
}

// insecure says whether err is about the relay's certificate or its lack of TLS, which no waiting will mend.
func insecure(err error) bool {
	var (
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		remote *net.OpError
		host   x509.HostnameError
		author x509.UnknownAuthorityError
	)
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &remote) && remote.Op == "remote error" || errors.As(err, &host) || errors.As(err, &author) ||
		errors.Is(err, errUnprotected)
}

func timedOut(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// enhanced is a status code of RFC 3463 at the begin of an answer's text.
var enhanced = regexp.MustCompile(`^([245])\.(\d{1,3})\.(\d{1,3})\b`)

// answered judges the relay's answer: RFC 5321 section 4.2, with the enhanced codes of RFC 3463 and RFC 4954 where they say more.
func (c *Connector) answered(at step, code int, text string, err error) *connectors.Error {
	status := ""
	if m := enhanced.FindString(text); m != "" {
		status = m
	}
	kind, after := kindOf(at, code, status)
	detail := text
	var recipient *refusedRecipient
	if errors.As(err, &recipient) {
		detail = fmt.Sprintf("recipient %d of %d: %s", recipient.number, recipient.of, text)
	}
	f := c.fail(kind, "the relay answers "+strconv.Itoa(code)+" "+detail)
	f.Code, f.RetryAfter = strings.TrimSpace(strconv.Itoa(code)+" "+status), after
	return f
}

// kindOf maps an answer.
func kindOf(at step, code int, status string) (connectors.Kind, time.Duration) {
	subject := status
	if len(subject) > 2 {
		subject = subject[2:] // without the class
	}
	switch code {
	case 454, 432: // AUTH can't be done now, a password must be changed (RFC 4954)
		if at == stepConnect && code == 432 {
			return connectors.KindAuth, 0
		}
		return connectors.KindUnavailable, 0
	case 530, 534, 535, 538:
		return connectors.KindAuth, 0
	case 500, 502, 503, 504, 555:
		return connectors.KindProtocol, 0 // the relay doesn't speak what we do; no mail is at fault
	case 523:
		return connectors.KindTooLarge, 0
	case 552:
		if subject == "2.2" { // the recipient's mailbox is full
			return connectors.KindInvalid, 0
		}
		return connectors.KindTooLarge, 0
	}
	switch {
	case subject == "3.4" && code >= 500 || subject == "2.3" && code >= 500:
		return connectors.KindTooLarge, 0
	case (subject == "7.8" || subject == "7.9") && code >= 500:
		return connectors.KindAuth, 0
	case code >= 500 && at == stepConnect:
		return connectors.KindProtocol, 0 // the greeting refuses us
	case code >= 500:
		return connectors.KindInvalid, 0
	case code == 421:
		return connectors.KindUnavailable, 0
	case code >= 400 && throttles(code, subject):
		return connectors.KindThrottled, retryGreylisted
	case code >= 400:
		return connectors.KindUnavailable, 0
	}
	return connectors.KindProtocol, 0 // an answer out of place
}

// throttles says whether a 4xx is greylisting or a limit rather than a defect: 450 and 451 with a policy code or none, 452, and
// the codes for too many recipients and for congestion.
func throttles(code int, subject string) bool {
	switch {
	case strings.HasPrefix(subject, "7."), subject == "5.3", subject == "4.5":
		return true
	case code == 452:
		return subject == "" || subject == "3.1" || subject == "5.3"
	case code == 450 || code == 451:
		return subject == "" || subject == "2.0"
	}
	return false
}

// addressPattern finds addresses in the relay's words: they are personal data.
var addressPattern = regexp.MustCompile(`[^\s<>"'(),:;]+@[^\s<>"'(),:;]+`)

// words makes the relay's words fit for an error: one line, no secret, no address.
func (c *Connector) words(s string) string {
	return c.redact(addressPattern.ReplaceAllString(s, "[address]"))
}

// cause keeps of err what errors.Is is asked about, and its text without secrets and addresses.
func (c *Connector) cause(f *connectors.Error, err error) *connectors.Error {
	switch {
	case errors.Is(err, context.Canceled):
		f.Err = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		f.Err = context.DeadlineExceeded
	case errors.Is(err, io.EOF):
		f.Err = io.EOF
	default:
		f.Err = errors.New(c.words(err.Error()))
	}
	return f
}
