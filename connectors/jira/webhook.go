package jira

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors"
)

// The bounds of what comes in.
const (
	maxDelivery = 4 << 20 // an issue with all its fields
	maxName     = 255
	maxChanges  = 500
	maxAhead    = 5 * time.Minute // of the vendor's clock before ours
)

// hookEvents are the events that the hub asks for.
var hookEvents = []string{"jira:issue_created", "jira:issue_updated", "comment_created"}

const issueFilter = "issue-related-events-section"

// adminHook is a webhook of /rest/webhooks/1.0.
type adminHook struct {
	Self    string            `json:"self,omitempty"`
	Name    string            `json:"name"`
	URL     string            `json:"url"`
	Events  []string          `json:"events"`
	Filters map[string]string `json:"filters"`
	Exclude bool              `json:"excludeBody"`
	Enabled bool              `json:"enabled"`
	Secret  string            `json:"secret,omitempty"`
}

// id is the number at the end of a webhook's address.
func (h adminHook) id() string {
	u, err := url.Parse(h.Self)
	if err != nil {
		return ""
	}
	if _, id, ok := cutLast(u.Path, "/"); ok && numberPattern.MatchString(id) {
		return id
	}
	return ""
}

const hooksPath = "rest/webhooks/1.0/webhook"

// EnsureWebhook makes an administrator's webhook, or brings the one of this name to what is wanted. It is the only kind that the vendor
// signs; webhooks of apps (rest/api/3/webhook) carry no signature, expire after 30 days and need OAuth, so the hub takes none of them.
// An administrator's webhook doesn't expire.
func (c *Connector) EnsureWebhook(ctx context.Context, target connectors.WebhookTarget) (time.Time, error) {
	const op = "ensure webhook"
	u, err := url.Parse(target.URL)
	switch {
	case c.hookSecret.Empty():
		return time.Time{}, c.out.Fail(op, connectors.KindInvalid, "no webhook secret is configured, and unsigned events would not be believed")
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(target.URL) > 2000:
		return time.Time{}, c.out.Fail(op, connectors.KindInvalid, "the address must be https://host/path without user, query and fragment")
	case target.Name == "" || len(target.Name) > maxName:
		return time.Time{}, c.out.Fail(op, connectors.KindInvalid, "the registration needs a name of at most 255 octets")
	}
	f, err := c.facts(ctx, op)
	if err != nil {
		return time.Time{}, err
	}
	have, err := c.findHooks(ctx, op, target.Name)
	if err != nil {
		return time.Time{}, err
	}
	want := adminHook{
		Name: target.Name, URL: target.URL, Events: hookEvents, Filters: map[string]string{issueFilter: `project = "` + f.project + `"`}, Enabled: true,
		Secret: c.hookSecret.Disclose(),
	}
	if len(have) == 0 {
		return time.Time{}, c.send(call(ctx, op, ClassPost, once), op, http.MethodPost, hooksPath, nil, want, nil)
	}
	if err := c.send(call(ctx, op, ClassPut, again), op, http.MethodPut, hooksPath+"/"+have[0].id(), nil, want, nil); err != nil {
		return time.Time{}, err
	}
	return time.Time{}, c.dropHooks(ctx, op, have[1:]) // made twice when an answer was lost
}

// DropWebhook removes the registration.
func (c *Connector) DropWebhook(ctx context.Context, name string) error {
	const op = "drop webhook"
	have, err := c.findHooks(ctx, op, name)
	if err != nil {
		return err
	}
	return c.dropHooks(ctx, op, have)
}

func (c *Connector) dropHooks(ctx context.Context, op string, hooks []adminHook) error {
	for _, h := range hooks {
		err := c.send(call(ctx, op, ClassDelete, again), op, http.MethodDelete, hooksPath+"/"+h.id(), nil, nil, nil)
		if err != nil && connectors.KindOf(err) != connectors.KindNotFound {
			return err
		}
	}
	return nil
}

// findHooks gives the registrations of this name.
func (c *Connector) findHooks(ctx context.Context, op, name string) ([]adminHook, error) {
	var all []adminHook
	if err := c.send(call(ctx, op, ClassGet, again), op, http.MethodGet, hooksPath, nil, nil, &all); err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(all, func(h adminHook) bool { return h.Name != name })
	if slices.ContainsFunc(found, func(h adminHook) bool { return h.id() == "" }) {
		return nil, c.out.Fail(op, connectors.KindProtocol, "a webhook in the answer has no address of its own")
	}
	return found, nil
}

// ReadEvent verifies a webhook and reads it. The signature is "sha256=" and the hexadecimal HMAC over the body as it came, compared in
// constant time; other methods are refused. The key is the vendor's identifier, which all deliveries of one event share. It stands in
// a header, which isn't signed: whoever has seen one delivery can repeat it under another identifier. Therefore Signed names the body,
// and the time in the body bounds for how long that helps anybody.
func (c *Connector) ReadEvent(now time.Time, d connectors.Delivery) (connectors.Received, error) {
	const op = "read event"
	reject := func(status int, kind connectors.Kind, detail string) (connectors.Received, error) {
		return connectors.Received{Reply: connectors.Reply{Status: status}}, c.out.Fail(op, kind, detail)
	}
	if len(d.Body) > maxDelivery {
		return reject(http.StatusRequestEntityTooLarge, connectors.KindTooLarge, "the delivery is larger than 4 MiB")
	}
	if problem := c.verify(d); problem != "" {
		return reject(http.StatusUnauthorized, connectors.KindAuth, problem)
	}
	r := connectors.Received{Attempt: 1, Reply: connectors.Reply{Status: http.StatusOK}}
	ids := d.Header.Values("X-Atlassian-Webhook-Identifier")
	if len(ids) != 1 || ids[0] == "" || len(ids[0]) > maxName {
		return reject(http.StatusBadRequest, connectors.KindInvalid, "the delivery has no identifier")
	}
	r.Key = ids[0]
	if n, err := strconv.Atoi(d.Header.Get("X-Atlassian-Webhook-Retry")); err == nil && n > 0 && n < 1000 {
		r.Attempt, r.Reason = n+1, "retry"
	}
	event, problem := parseHook(d.Body)
	if problem != "" {
		return reject(http.StatusBadRequest, connectors.KindInvalid, problem)
	}
	if age := now.Sub(madeAt(event)); age > connectors.MaxDeliveryAge || age < -maxAhead {
		return reject(http.StatusUnauthorized, connectors.KindAuth,
			"the delivery was made more than a day ago, or in the future: a repetition by somebody else, or a clock that is wrong")
	}
	sum := sha256.Sum256(d.Body)
	r.Signed = hex.EncodeToString(sum[:])
	r.Events = []connectors.Event{event}
	return r, nil
}

// madeAt gives the time that a parsed delivery says of itself.
func madeAt(e connectors.Event) time.Time {
	switch e := e.(type) {
	case connectors.WorkItemEvent:
		return e.At
	case connectors.OtherEvent:
		return e.At
	}
	return time.Time{} // too old for anything
}

func (c *Connector) verify(d connectors.Delivery) (problem string) {
	if c.hookSecret.Empty() {
		return "no webhook secret is configured: nothing that comes can be believed"
	}
	signatures := d.Header.Values("X-Hub-Signature")
	if len(signatures) != 1 {
		return "the delivery isn't signed: it has not exactly one signature"
	}
	hexed, ok := strings.CutPrefix(signatures[0], "sha256=")
	given, err := hex.DecodeString(hexed)
	if !ok || err != nil || len(given) != sha256.Size {
		return "the delivery's signature isn't of the method sha256"
	}
	if !hmac.Equal(given, c.hookSecret.HMACSHA256(d.Body)) {
		return "the delivery's signature is wrong"
	}
	return ""
}

// hookBody is what the hub reads of a webhook. Everything may be missing.
type hookBody struct {
	Timestamp int64  `json:"timestamp"`
	Event     string `json:"webhookEvent"`
	User      struct {
		AccountID string `json:"accountId"`
		Misspelt  string `json:"accoundId"` // as the vendor's documentation shows it in places
	} `json:"user"`
	Issue struct {
		ID  json.RawMessage `json:"id"`
		Key string          `json:"key"`
	} `json:"issue"`
	Changelog struct {
		ID    json.RawMessage `json:"id"`
		Items []struct {
			Field string `json:"field"`
			From  string `json:"fromString"`
			To    string `json:"toString"`
		} `json:"items"`
	} `json:"changelog"`
	Comment *struct {
		ID     json.RawMessage `json:"id"`
		Self   string          `json:"self"`
		Body   json.RawMessage `json:"body"`
		Public *bool           `json:"jsdPublic"`
		Author struct {
			AccountID string `json:"accountId"`
		} `json:"author"`
		Created string `json:"created"`
	} `json:"comment"`
}

// parseHook reads a webhook's body, with patience for what is missing or new.
func parseHook(body []byte) (connectors.Event, string) {
	var b hookBody
	if !utf8.Valid(body) {
		return nil, "the delivery isn't UTF-8"
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, "the delivery isn't the JSON that the contract says"
	}
	if b.Event == "" || len(b.Event) > maxName || b.Timestamp <= 0 || b.Timestamp > 1<<48 {
		return nil, "the delivery names no event or no time"
	}
	e := connectors.WorkItemEvent{At: time.UnixMilli(b.Timestamp).UTC(), ItemID: number(b.Issue.ID), Account: b.User.AccountID}
	if e.Account == "" {
		e.Account = b.User.Misspelt
	}
	if itemPattern.MatchString(b.Issue.Key) {
		e.ItemKey = b.Issue.Key
	}
	switch b.Event {
	case "jira:issue_created":
		e.Change = connectors.WorkItemMade
	case "jira:issue_updated":
		e.Change = connectors.WorkItemUpdated
		e.Sequence, _ = strconv.ParseInt(number(b.Changelog.ID), 10, 64)
		for _, i := range b.Changelog.Items[:min(len(b.Changelog.Items), maxChanges)] {
			e.Changes = append(e.Changes, connectors.FieldChange{Field: i.Field, From: i.From, To: i.To})
		}
	case "comment_created":
		if b.Comment == nil || number(b.Comment.ID) == "" {
			return nil, "the delivery tells of a comment and holds none"
		}
		e.Change = connectors.WorkItemCommented
		e.Comment = &connectors.Comment{ID: number(b.Comment.ID), Author: b.Comment.Author.AccountID, Internal: b.Comment.Public == nil || !*b.Comment.Public}
		_ = json.Unmarshal(b.Comment.Body, &e.Comment.Body) // text here; a document is read again with the item
		e.Comment.Created, _ = time.Parse(timeLayout, b.Comment.Created)
		if e.Account == "" {
			e.Account = e.Comment.Author
		}
		if e.ItemID == "" {
			e.ItemID = issueOf(b.Comment.Self)
		}
	default:
		return connectors.OtherEvent{At: e.At, Type: b.Event}, ""
	}
	return e, ""
}

// number reads an id that is text here and a number there; "" where it is neither.
func number(raw json.RawMessage) string {
	if id := strings.Trim(string(raw), `"`); numberPattern.MatchString(id) {
		return id
	}
	return ""
}

// issueOf reads the issue's id from a comment's address: ".../issue/10001/comment/1".
func issueOf(self string) string {
	u, err := url.Parse(self)
	if err != nil {
		return ""
	}
	_, rest, ok := strings.Cut(u.Path, "/issue/")
	id, _, found := strings.Cut(rest, "/comment/")
	if !ok || !found || !numberPattern.MatchString(id) {
		return ""
	}
	return id
}
