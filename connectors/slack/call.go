package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	slackgo "github.com/slack-go/slack"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// placeholder stands in for the token in slack-go, which writes it into every form. It is taken out before a request is sent.
const placeholder = "held-by-outbound"

// Workspace is the part of the connector that the Web API and the Events API serve. It is safe for concurrent use.
type Workspace struct {
	out         *outbound.Client
	api         *slackgo.Client
	quota       connectors.Quota
	signing     outbound.Secret
	locks       connectors.Locker
	description connectors.Description

	identity chan struct{} // held by the one who asks who we are, and guards me
	me       account
}

var (
	_ connectors.Connector           = (*Workspace)(nil)
	_ connectors.Sender              = (*Workspace)(nil)
	_ connectors.SentFinder          = (*Workspace)(nil)
	_ connectors.MessageEditor       = (*Workspace)(nil)
	_ connectors.MessageLinker       = (*Workspace)(nil)
	_ connectors.ChannelReader       = (*Workspace)(nil)
	_ connectors.ChannelWriter       = (*Workspace)(nil)
	_ connectors.ChannelMemberWriter = (*Workspace)(nil)
	_ connectors.MentionGroupReader  = (*Workspace)(nil)
	_ connectors.MentionGroupWriter  = (*Workspace)(nil)
	_ connectors.EventReader         = (*Workspace)(nil)
	_ connectors.CredentialChecker   = (*Workspace)(nil)
)

// Describe gives the connector's fixed facts.
func (w *Workspace) Describe() connectors.Description {
	d := w.description
	d.Limits.Budgets = slices.Clone(d.Limits.Budgets)
	d.Absent = slices.Clone(d.Absent)
	return d
}

// once marks a call that must not be sent twice by itself; again one that may be.
const (
	once  = false
	again = true
)

// envelope is what every answer of the Web API has.
type envelope struct {
	OK       *bool           `json:"ok"`
	Error    string          `json:"error"`
	Needed   string          `json:"needed"`
	Provided string          `json:"provided"`
	Errors   json.RawMessage `json:"errors"`
	Metadata struct {
		Messages []string `json:"messages"`
	} `json:"response_metadata"`
}

// call describes the request that slack-go sends under the context it gives.
func (w *Workspace) call(ctx context.Context, op, method string, idempotent bool) context.Context {
	return w.callInto(ctx, op, method, idempotent, nil)
}

// callInto also keeps the answer's envelope in seen, which slack-go doesn't hand on.
func (w *Workspace) callInto(ctx context.Context, op, method string, idempotent bool, seen *envelope) context.Context {
	return outbound.WithCall(ctx, outbound.Call{
		Op: op, Class: methodClass(method), Idempotent: idempotent, ParseError: parseError,
		Verdict: func(body []byte) (connectors.Kind, string, string) {
			e, kind, detail := judge(body, idempotent)
			if seen != nil {
				*seen = e
			}
			return kind, e.Error, detail
		},
	})
}

// judge reads an answer of status 200. An answer without "ok" isn't Slack's, though slack-go would take it for success.
func judge(body []byte, idempotent bool) (envelope, connectors.Kind, string) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil || e.OK == nil {
		return envelope{}, connectors.KindProtocol, `the answer isn't Slack's: it has no "ok"`
	}
	switch {
	case *e.OK:
		return e, connectors.KindUnknown, ""
	case e.Error == "":
		return e, connectors.KindProtocol, "Slack refuses without a code"
	}
	return e, kindOf(e.Error, idempotent), e.detail()
}

// parseError reads the code of an answer with another status.
func parseError(_ int, body []byte) (code, detail string) {
	var e envelope
	if json.Unmarshal(body, &e) != nil {
		return "", ""
	}
	return e.Error, e.detail()
}

// failure finds the connectors.Error in what slack-go and net/http wrapped around it. Anything else is slack-go failing to read an
// accepted answer.
func (w *Workspace) failure(op string, err error) error {
	var e *connectors.Error
	if errors.As(err, &e) {
		return e
	}
	return w.out.Fail(op, connectors.KindProtocol, "the answer can't be read: "+err.Error())
}

// invalid refuses what the caller gave, before anything is sent.
func (w *Workspace) invalid(op, detail string) error {
	return w.out.Fail(op, connectors.KindInvalid, detail)
}

// doer is the http client that slack-go gets. It takes slack-go's token out of the form; outbound puts the real one into the header.
type doer struct{ client *http.Client }

// maxForm bounds a request's form, in octets.
const maxForm = 1 << 20

// Do sends req without slack-go's token.
func (d doer) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		body, err := io.ReadAll(io.LimitReader(req.Body, maxForm+1))
		_ = req.Body.Close()
		if err != nil || len(body) > maxForm {
			return nil, errors.New("the request's form is too large")
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, errors.New("the request's form can't be read")
		}
		form.Del("token")
		text := []byte(form.Encode())
		req.Body = io.NopCloser(bytes.NewReader(text))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
		req.ContentLength = int64(len(text))
	}
	req.Header.Del("Authorization")
	return d.client.Do(req) // #nosec G704 -- outbound refuses every address but the base URL's
}

// checkID refuses what can't be one of Slack's ids, which are ASCII letters and digits.
func (w *Workspace) checkID(op, what, id string) error {
	if id == "" || len(id) > 64 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return w.invalid(op, "this is no id of a "+what)
	}
	return nil
}

// pages reads a list with Slack's cursors. A cursor that comes back unchanged, or more pages than most, are errors, so that no
// answer keeps it busy.
func (w *Workspace) pages(op string, most int, read func(cursor string) (next string, err error)) error {
	cursor := ""
	for range most {
		next, err := read(cursor)
		switch {
		case err != nil:
			return err
		case next == "":
			return nil
		case next == cursor:
			return w.out.Fail(op, connectors.KindProtocol, "the same page came twice: Slack doesn't page")
		}
		cursor = next
	}
	return w.out.Fail(op, connectors.KindProtocol, "the list has more pages than Slack can have")
}
