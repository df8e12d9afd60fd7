package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

const opSend = "send mail"

// SendMessage hands m to the relay, for all of its recipients or none. KindAmbiguous: the connection broke after the whole mail was
// on its way. Mail can't be looked for; a second one under the same Key has the same Message-ID.
func (c *Connector) SendMessage(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
	if ctx.Err() != nil {
		return connectors.Sent{}, c.fail(connectors.KindCanceled, "the caller gave up before anything was sent")
	}
	l, err := c.compose(m)
	if err != nil {
		return connectors.Sent{}, c.fail(connectors.KindInvalid, err.Error())
	}
	if len(l.raw) > c.cfg.MaxSize {
		return connectors.Sent{}, c.fail(connectors.KindTooLarge, fmt.Sprintf("the mail has %d octets, the limit is %d", len(l.raw), c.cfg.MaxSize))
	}
	call := outbound.Call{Op: opSend, Class: ClassSend, Cost: 1}
	end := func(error) {}
	if c.cfg.Trace != nil {
		ctx, end = c.cfg.Trace(ctx, Name, call)
	}
	at, failure := c.deliver(ctx, l)
	if failure != nil {
		end(failure)
		return connectors.Sent{}, failure
	}
	end(nil)
	return connectors.Sent{ID: l.id, Thread: l.root, At: at}, nil
}

// deliver reserves, hands l over, and reports what came of it.
func (c *Connector) deliver(parent context.Context, l letter) (time.Time, *connectors.Error) {
	ctx, cancel := context.WithTimeout(parent, c.cfg.Timeout)
	defer cancel()
	if err := c.cfg.Quota.Reserve(ctx, ClassSend, 1); err != nil {
		return time.Time{}, c.unreserved(parent, err)
	}
	start := c.cfg.Now()
	step, err := c.converse(ctx, l)
	at := c.cfg.Now()
	var failure *connectors.Error
	if err != nil {
		failure = c.judge(parent, ctx, step, err)
	}
	o := outbound.Observation{Vendor: Name, Op: opSend, Class: ClassSend, Attempt: 1, Status: 250, Duration: at.Sub(start)}
	outcome := "ok"
	if failure != nil {
		o.Status, outcome = 0, failure.Kind.String()
		if code, _, ok := answerOf(err); ok {
			o.Status = code
		}
	}
	if c.cfg.Observe != nil {
		c.cfg.Observe(o)
	}
	// Neither addresses nor the subject are logged.
	c.logger.LogAttrs(ctx, slog.LevelDebug, "mail attempt", slog.String("vendor", Name), slog.String("op", opSend),
		slog.String("step", step.String()), slog.Int("recipients", len(l.to)), slog.Int("octets", len(l.raw)),
		slog.Int("status", o.Status), slog.String("outcome", outcome), slog.Duration("duration", o.Duration))
	return at, failure
}

// step is how far a conversation with the relay came.
type step uint8

const (
	stepConnect step = iota // dial, greeting, TLS, AUTH
	stepSender              // MAIL FROM
	stepRecipient
	stepData // DATA and the text, before the line that ends it
	stepEnd  // the ending line was sent or may have been: the relay may have taken the mail
	stepDone
)

func (s step) String() string {
	return [...]string{"connect", "sender", "recipient", "data", "end of data", "done"}[s]
}

// tooLargeError says that the relay's own limit is below the mail's size.
type tooLargeError struct{ size, limit int }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("the mail has %d octets, the relay takes %d", e.size, e.limit)
}

// refusedRecipient is an answer to RCPT with the place of the recipient.
type refusedRecipient struct {
	number, of int
	err        error
}

func (e *refusedRecipient) Error() string {
	return fmt.Sprintf("recipient %d of %d: %v", e.number, e.of, e.err)
}

func (e *refusedRecipient) Unwrap() error { return e.err }

// converse hands l to the relay. One refused recipient ends it: a message goes to all of its recipients or to none, so that what
// was sent is never unknown in part.
func (c *Connector) converse(ctx context.Context, l letter) (at step, err error) {
	relay, err := c.open(ctx)
	if err != nil {
		return stepConnect, err
	}
	defer relay.hangUp()
	if ok, param := relay.Extension("SIZE"); ok { // RFC 1870
		if limit, err := strconv.Atoi(strings.TrimSpace(param)); err == nil && limit > 0 && len(l.raw) > limit {
			return stepSender, &tooLargeError{len(l.raw), limit}
		}
	}
	if ok, _ := relay.Extension("DSN"); ok { // RFC 3461: bounces carry the header alone, which holds our Message-ID
		relay.SetDSNMailReturnOption("HDRS")
		relay.SetDSNRcptNotifyOption("FAILURE,DELAY")
	}
	if err := relay.Mail("<" + c.cfg.ReturnPath + ">"); err != nil {
		return stepSender, err
	}
	for i, address := range l.to {
		if err := relay.Rcpt("<" + address + ">"); err != nil {
			return stepRecipient, &refusedRecipient{i + 1, len(l.to), err}
		}
	}
	w, err := relay.Data()
	if err != nil {
		return stepData, err
	}
	if _, err := w.Write(l.raw); err != nil {
		return stepData, err
	}
	if err := w.Close(); err != nil {
		return stepEnd, err
	}
	_ = relay.Quit() // the mail is the relay's; how the farewell goes changes nothing
	return stepDone, nil
}

// fail makes an error without an answer.
func (c *Connector) fail(kind connectors.Kind, detail string) *connectors.Error {
	return &connectors.Error{Kind: kind, Vendor: Name, Op: opSend, Detail: c.words(detail)}
}

func (c *Connector) unreserved(parent context.Context, err error) *connectors.Error {
	if parent.Err() != nil {
		return c.fail(connectors.KindCanceled, "the caller gave up before anything was sent")
	}
	f := c.fail(connectors.KindUnavailable, "our own budget of "+string(ClassSend)+" gives no token now")
	var ce *connectors.Error
	if errors.As(err, &ce) {
		f.Kind, f.RetryAfter = ce.Kind, ce.RetryAfter
	}
	return f
}

// answerOf gives the relay's answer in err.
func answerOf(err error) (code int, text string, ok bool) {
	var answer *textproto.Error
	if !errors.As(err, &answer) {
		return 0, "", false
	}
	return answer.Code, answer.Msg, true
}
