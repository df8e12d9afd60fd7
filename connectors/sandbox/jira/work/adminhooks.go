package work

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/jql"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// adminHook is a webhook as /rest/webhooks/1.0 shows and takes it. The secret is taken and never shown.
type adminHook struct {
	Name    string            `json:"name"`
	URL     string            `json:"url"`
	Events  []string          `json:"events"`
	Filters map[string]string `json:"filters"`
	Exclude bool              `json:"excludeBody"`
	Enabled *bool             `json:"enabled"`
	Secret  *string           `json:"secret"`
}

const issueFilter = "issue-related-events-section"

func (t *Tracker) renderAdminHook(c *site.Call, h *hook) doc {
	id := strconv.FormatInt(h.ID, 10)
	return doc{
		"self": c.Base + "/" + wire.Name + "/rest/webhooks/1.0/webhook/" + id, "name": h.Name, "url": h.URL, "events": h.Events, "excludeBody": h.Exclude,
		"filters": doc{issueFilter: h.Filter}, "enabled": h.Enabled, "lastUpdatedDisplayName": t.host.Owner().DisplayName,
		"lastUpdated": h.Updated / 1000, "isSigned": h.Secret != "",
	}
}

func (t *Tracker) listAdminHooks(c *site.Call) {
	list := []doc{}
	t.mu.RLock()
	for _, h := range t.hooksOf(false) {
		list = append(list, t.renderAdminHook(c, h))
	}
	t.mu.RUnlock()
	wire.WriteJSON(c.W, http.StatusOK, list)
}

// saveAdminHook makes or, with an id in the path, changes an administrator's webhook.
func (t *Tracker) saveAdminHook(c *site.Call) {
	var b adminHook
	no := wire.ReadBody(c, &b)
	t.mu.Lock()
	h := &hook{ID: t.next.Hook, Enabled: true}
	status := http.StatusCreated
	if text := c.Vars["webhookId"]; text != "" && no == nil {
		status = http.StatusOK
		if h, no = t.adminHook(text); no == nil {
			clone := *h
			h = &clone
		}
	}
	if no == nil {
		no = b.into(h)
	}
	var out doc
	if no == nil {
		h.Updated = c.Now.UnixMicro()
		if len(t.hooks) >= maxHooks && status == http.StatusCreated {
			no = wire.Refuse(http.StatusBadRequest, "", "The limit of webhooks is reached.")
		} else if no = t.save(nil, h); no == nil {
			out = t.renderAdminHook(c, h)
		}
	}
	t.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, status, out)
}

func (b adminHook) into(h *hook) *wire.Refusal {
	bad := func(message string) *wire.Refusal { return wire.Refuse(http.StatusBadRequest, "", message) }
	known := []string{eventCreated, eventUpdated, "jira:issue_deleted", eventComment, "comment_updated", "comment_deleted"}
	switch {
	case strings.TrimSpace(b.Name) == "" || len(b.Name) > 255:
		return bad("The webhook needs a name.")
	case deliver.CheckURL(b.URL) != nil:
		return bad("The webhook's URL is not valid.")
	case len(b.Events) == 0 || slices.ContainsFunc(b.Events, func(e string) bool { return !slices.Contains(known, e) }):
		return bad("The events are not valid.")
	case b.Secret != nil && len(*b.Secret) > 1000:
		return bad("The secret is too long.")
	}
	if f := b.Filters[issueFilter]; f != "" {
		if _, err := jql.Parse(f); err != nil {
			return bad(err.Error())
		}
	}
	h.Name, h.URL, h.Events, h.Filter, h.Exclude = b.Name, b.URL, b.Events, b.Filters[issueFilter], b.Exclude
	if b.Enabled != nil {
		h.Enabled = *b.Enabled
	}
	if b.Secret != nil {
		h.Secret = *b.Secret
	}
	return nil
}

// adminHook finds an administrator's webhook. The caller holds the lock.
func (t *Tracker) adminHook(text string) (*hook, *wire.Refusal) {
	id, err := strconv.ParseInt(text, 10, 64)
	if h := t.hooks[id]; err == nil && h != nil && !h.App {
		return h, nil
	}
	return nil, wire.Refuse(http.StatusNotFound, "", "The webhook does not exist.")
}

func (t *Tracker) getAdminHook(c *site.Call) {
	t.mu.RLock()
	h, no := t.adminHook(c.Vars["webhookId"])
	var out doc
	if no == nil {
		out = t.renderAdminHook(c, h)
	}
	t.mu.RUnlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, http.StatusOK, out)
}

func (t *Tracker) deleteAdminHook(c *site.Call) {
	t.mu.Lock()
	h, no := t.adminHook(c.Vars["webhookId"])
	if no == nil {
		no = t.unhook(h.ID)
	}
	t.mu.Unlock()
	wire.Finish(c, no)
}
