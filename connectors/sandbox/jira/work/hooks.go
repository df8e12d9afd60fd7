package work

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/jql"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The events that are sent.
const (
	eventCreated = "jira:issue_created"
	eventUpdated = "jira:issue_updated"
	eventComment = "comment_created"
)

// hookLifetime is how long a webhook of an app lives, as the vendor documents.
const hookLifetime = 30 * 24 * time.Hour

// maxHooks bounds the webhooks of an app on a site, as the vendor documents for OAuth apps: 5 a user, 100 an app; and admin webhooks.
const maxHooks = 100

// signatureHeader carries the HMAC of the body.
const signatureHeader = "X-Hub-Signature"

// hook is a webhook: of an administrator, who may give it a secret, or of an app, which lives for 30 days and has none.
type hook struct {
	ID      int64    `json:"id"`
	App     bool     `json:"app,omitempty"`
	Name    string   `json:"name,omitempty"`
	URL     string   `json:"url"`
	Secret  string   `json:"secret,omitempty"`
	Events  []string `json:"events"`
	Filter  string   `json:"filter,omitempty"`
	Enabled bool     `json:"enabled"`
	Exclude bool     `json:"exclude,omitempty"` // no body is sent
	Expires int64    `json:"expires,omitempty"`
	Updated int64    `json:"updated"`
}

// event is something that webhooks tell of.
type event struct {
	name, kind string
	issue      *issue
	comment    *comment
	changelog  *history
	serial     string // tells events of one issue apart
}

// tellUpdate tells of the newest change of an issue. The caller holds the lock.
func (t *Tracker) tellUpdate(c *site.Call, x *issue) {
	if len(x.History) == 0 {
		return
	}
	h := x.History[len(x.History)-1]
	t.tell(c, event{name: eventUpdated, kind: "issue_generic", issue: x, changelog: &h, serial: "update" + strconv.FormatInt(h.ID, 10)})
}

// tell queues an event for every webhook that wants it. The caller holds the lock.
func (t *Tracker) tell(c *site.Call, e event) {
	var body []byte
	for _, id := range slices.Sorted(maps.Keys(t.hooks)) {
		h := t.hooks[id]
		if !h.Enabled || !slices.Contains(h.Events, e.name) || h.Expires > 0 && h.Expires <= c.Now.UnixMicro() || !t.wants(h, e.issue, c.Now) {
			continue
		}
		if body == nil {
			body = t.payload(c, e)
		}
		t.host.Send(t.message(h, e, body))
	}
}

func (t *Tracker) wants(h *hook, x *issue, now time.Time) bool {
	if h.Filter == "" {
		return true
	}
	q, err := jql.Parse(h.Filter)
	return err == nil && q.Matches(subject{t, x}, t.host.Owner().AccountID, now)
}

// payload is an event's body: the issue as version 2 of the platform shows it. A fault leaves the issue out of a comment's event,
// as the vendor sometimes does.
func (t *Tracker) payload(c *site.Call, e event) []byte {
	user := t.user(c, t.author(c))
	agent := *c
	agent.As = "" // a webhook sees what its administrator sees
	c = &agent
	if m, ok := user.(wire.PlatformUser); ok {
		m.EmailAddress = "" // webhooks carry no address
		user = m
	}
	d := doc{"timestamp": c.Now.UnixMilli(), "webhookEvent": e.name}
	if e.name != eventComment {
		d["user"], d["issue_event_type_name"] = user, e.kind
	}
	if e.comment != nil {
		d["comment"] = t.renderComment(c, e.issue, e.comment, "2", false)
	}
	if e.changelog != nil {
		d["changelog"] = doc{"id": strconv.FormatInt(e.changelog.ID, 10), "items": e.changelog.Items}
	}
	if e.name != eventComment || !t.host.Lean(e.name) {
		f := t.fields(c, e.issue, "2")
		delete(f, "comment") // as on a large issue: whoever wants them reads them
		d["issue"] = doc{"id": strconv.FormatInt(e.issue.ID, 10), "key": e.issue.Key, "self": t.issueURL(c, e.issue), "fields": f}
	}
	raw, err := json.Marshal(d)
	if err != nil { // values of this package and stored JSON
		return []byte("{}")
	}
	return raw
}

func (t *Tracker) message(h *hook, e event, body []byte) deliver.Message {
	if h.Exclude {
		body = nil
	}
	id := site.DeriveUUID(t.seed, "webhook", strconv.FormatInt(h.ID, 10), strconv.FormatInt(e.issue.ID, 10), e.serial)
	secret := h.Secret
	m := deliver.Message{ID: id, Event: e.name, URL: address(h.URL, e.issue), ContentType: "application/json; charset=UTF-8", Body: body}
	if secret != "" {
		m.SignatureHeader = signatureHeader
	}
	m.Header = func(try deliver.Try) http.Header {
		header := http.Header{
			"X-Atlassian-Webhook-Identifier": {id}, "X-Atlassian-Webhook-Flow": {"Primary"}, "User-Agent": {"Atlassian Webhook HTTP Client"},
		}
		if try.Number > 0 {
			header.Set("X-Atlassian-Webhook-Retry", strconv.Itoa(try.Number))
		}
		if secret != "" {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write(body)
			header.Set(signatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
		}
		return header
	}
	return m
}

// address fills in the variables of an administrator's webhook.
func address(url string, x *issue) string {
	return strings.NewReplacer("${issue.id}", strconv.FormatInt(x.ID, 10), "${issue.key}", x.Key).Replace(url)
}

// DeliveryPolicy is how the vendor delivers: 20 s for an answer, up to five retries, 5 to 15 minutes apart, of refused connections,
// time-outs, 408, 409, 425, 429 and 5xx.
func DeliveryPolicy() deliver.Policy {
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	return deliver.Policy{
		Timeout: 20 * time.Second, Retries: []time.Duration{minutes(5), minutes(8), minutes(10), minutes(12), minutes(15)},
		Retry: func(f deliver.Failure, a deliver.Answer) bool {
			return f != deliver.FailureStatus || a.Status >= 500 || slices.Contains([]int{408, 409, 425, 429}, a.Status)
		},
	}
}

// onlyApps refuses whoever isn't an app.
func onlyApps(h func(*site.Call)) func(*site.Call) {
	return func(c *site.Call) {
		if c.As != AsApp {
			wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusForbidden, "", "Only Connect and OAuth 2.0 apps can use this operation."))
			return
		}
		c.As = ""
		h(c)
	}
}

// AsApp is who an app's token acts as.
const AsApp = "app"

func (t *Tracker) registerHooks(c *site.Call) {
	var b struct {
		URL      string `json:"url"`
		Webhooks []struct {
			Events []string `json:"events"`
			Filter string   `json:"jqlFilter"`
		} `json:"webhooks"`
	}
	no := wire.ReadBody(c, &b)
	if no == nil && (deliver.CheckURL(b.URL) != nil || len(b.Webhooks) == 0) {
		no = wire.Refuse(http.StatusBadRequest, "", "url and webhooks must be set.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	known := []string{eventCreated, eventUpdated, "jira:issue_deleted", eventComment, "comment_updated", "comment_deleted", "issue_property_set", "issue_property_deleted"}
	results := []doc{}
	t.mu.Lock()
	for _, w := range b.Webhooks {
		_, err := jql.Parse(w.Filter)
		switch {
		case err != nil:
			results = append(results, doc{"errors": []string{err.Error()}})
			continue
		case len(w.Events) == 0 || slices.ContainsFunc(w.Events, func(e string) bool { return !slices.Contains(known, e) }):
			results = append(results, doc{"errors": []string{"The events are not valid."}})
			continue
		case len(t.hooks) >= maxHooks:
			results = append(results, doc{"errors": []string{"The limit of webhooks is reached."}})
			continue
		}
		h := &hook{
			ID: t.next.Hook, App: true, URL: b.URL, Events: w.Events, Filter: w.Filter, Enabled: true,
			Expires: c.Now.Add(hookLifetime).UnixMicro(), Updated: c.Now.UnixMicro(),
		}
		if no = t.save(nil, h); no != nil {
			break
		}
		results = append(results, doc{"createdWebhookId": h.ID})
	}
	t.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, http.StatusOK, doc{"webhookRegistrationResult": results})
}

// hooksOf lists webhooks by number. The caller holds the lock.
func (t *Tracker) hooksOf(app bool) []*hook {
	var list []*hook
	for _, id := range slices.Sorted(maps.Keys(t.hooks)) {
		if t.hooks[id].App == app {
			list = append(list, t.hooks[id])
		}
	}
	return list
}

func (t *Tracker) listHooks(c *site.Call) {
	w, no := startAt(c, 100, 100)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	values := []doc{}
	t.mu.RLock()
	all := t.hooksOf(true)
	for _, h := range wire.Cut(all, w) {
		values = append(values, doc{"id": h.ID, "url": h.URL, "events": h.Events, "jqlFilter": h.Filter, "expirationDate": h.Expires / 1000})
	}
	t.mu.RUnlock()
	wire.WriteJSON(c.W, http.StatusOK, doc{
		"startAt": w.Start, "maxResults": w.Limit, "total": len(all), "isLast": w.Start+len(values) >= len(all), "values": values,
	})
}

func readHookIDs(c *site.Call) ([]int64, *wire.Refusal) {
	var b struct {
		IDs []int64 `json:"webhookIds"`
	}
	no := wire.ReadBody(c, &b)
	if no == nil && len(b.IDs) == 0 {
		no = wire.Refuse(http.StatusBadRequest, "", "webhookIds must name at least one webhook.")
	}
	return b.IDs, no
}

// refreshHooks gives an app's webhooks another 30 days; unknown ones are ignored, expired ones are gone.
func (t *Tracker) refreshHooks(c *site.Call) {
	ids, no := readHookIDs(c)
	expires := c.Now.Add(hookLifetime)
	if no == nil {
		t.mu.Lock()
		for _, id := range ids {
			h := t.hooks[id]
			if no != nil || h == nil || !h.App || h.Expires <= c.Now.UnixMicro() {
				continue
			}
			next := *h
			next.Expires = expires.UnixMicro()
			no = t.save(nil, &next)
		}
		t.mu.Unlock()
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, http.StatusOK, doc{"expirationDate": expires.UnixMilli()})
}

func (t *Tracker) deleteHooks(c *site.Call) {
	ids, no := readHookIDs(c)
	if no == nil {
		t.mu.Lock()
		for _, id := range ids {
			if h := t.hooks[id]; no == nil && h != nil && h.App {
				no = t.unhook(id)
			}
		}
		t.mu.Unlock()
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	c.W.WriteHeader(http.StatusAccepted)
}

func (t *Tracker) unhook(id int64) *wire.Refusal {
	change, err := site.NewChange(changeUnhook, &hook{ID: id})
	if err == nil {
		err = t.host.Commit(change)
	}
	return wire.Unavailable(err)
}
