package jira

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/jira/adf"
)

// ownLabel begins the label that carries our key: JSM's request has no other place that is set with the request itself, in one step.
const ownLabel = "musubi-"

// The vendor's bounds.
const (
	maxSummary      = 255 // characters
	maxParticipants = 50  // of a request; ours, the vendor publishes none
)

var (
	ownKeyPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$`)
	itemPattern   = regexp.MustCompile(`^([1-9][0-9]{0,17}|[A-Za-z][A-Za-z0-9_]{1,30}-[1-9][0-9]{0,15})$`)
)

// siteFacts are what is asked of the site once: the desk's project and the numbers of the fields that only a site knows.
type siteFacts struct {
	project      string // key
	orgs         string // customfield_N: customer organizations of a request
	participants string
}

// factsCache keeps the facts. An error isn't kept.
type factsCache struct {
	mu   sync.Mutex
	have *siteFacts
}

// The vendor's names of the types of field.
const (
	orgsSchema         = "com.atlassian.servicedesk:sd-customer-organizations"
	participantsSchema = "com.atlassian.servicedesk:sd-request-participants"
)

// facts asks the site, the first time.
func (c *Connector) facts(ctx context.Context, op string) (siteFacts, error) {
	c.site.mu.Lock()
	have := c.site.have
	c.site.mu.Unlock()
	if have != nil {
		return *have, nil
	}
	ctx = call(ctx, op, ClassGet, again)
	var desk struct {
		ProjectKey string `json:"projectKey"`
	}
	if err := c.send(ctx, op, http.MethodGet, "rest/servicedeskapi/servicedesk/"+c.desk, nil, nil, &desk); err != nil {
		return siteFacts{}, err
	}
	var fields []struct {
		ID     string `json:"id"`
		Schema struct {
			Custom string `json:"custom"`
		} `json:"schema"`
	}
	if err := c.send(ctx, op, http.MethodGet, "rest/api/3/field", nil, nil, &fields); err != nil {
		return siteFacts{}, err
	}
	f := siteFacts{project: desk.ProjectKey}
	for _, field := range fields {
		switch field.Schema.Custom {
		case orgsSchema:
			f.orgs = field.ID
		case participantsSchema:
			f.participants = field.ID
		}
	}
	if !itemPattern.MatchString(f.project + "-1") {
		return siteFacts{}, c.out.Fail(op, connectors.KindProtocol, "the service desk has no project key that could be one")
	}
	c.site.mu.Lock()
	c.site.have = &f
	c.site.mu.Unlock()
	return f, nil
}

// issue is a work item as the platform shows one.
type issue struct {
	ID     string                     `json:"id"`
	Key    string                     `json:"key"`
	Fields map[string]json.RawMessage `json:"fields"`
}

// itemFields are the fields that an item is read with; those of the site are added.
var itemFields = []string{"summary", "description", "status", "labels", "reporter", "created", "updated"}

func (f siteFacts) fields() []string {
	list := slices.Clone(itemFields)
	for _, id := range []string{f.orgs, f.participants} {
		if id != "" {
			list = append(list, id)
		}
	}
	return list
}

// timeLayout is how the platform writes a moment.
const timeLayout = "2006-01-02T15:04:05.000-0700"

// item turns an issue into a work item.
func (c *Connector) item(op string, f siteFacts, i issue) (connectors.WorkItem, error) {
	var status struct {
		Name     string `json:"name"`
		Category struct {
			Key string `json:"key"`
		} `json:"statusCategory"`
	}
	var reporter person
	var labels []string
	var people []person
	var orgs []struct {
		ID string `json:"id"`
	}
	var summary, created, updated string
	for name, into := range map[string]any{
		"summary": &summary, "status": &status, "labels": &labels, "reporter": &reporter, "created": &created, "updated": &updated, f.participants: &people, f.orgs: &orgs,
	} {
		raw, ok := i.Fields[name]
		if !ok || name == "" {
			continue
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return connectors.WorkItem{}, c.out.Fail(op, connectors.KindProtocol, "the field "+name+" isn't what the contract says")
		}
	}
	if !itemPattern.MatchString(i.ID) || !itemPattern.MatchString(i.Key) || status.Name == "" {
		return connectors.WorkItem{}, c.out.Fail(op, connectors.KindProtocol, "the answer holds no work item with id, key and status")
	}
	w := connectors.WorkItem{
		ID: i.ID, Key: i.Key, Summary: summary, Status: status.Name, Category: category(status.Category.Key), Reporter: reporter.AccountID,
		URL: c.out.BaseURL() + "/browse/" + i.Key,
	}
	if raw := i.Fields["description"]; len(raw) > 0 && string(raw) != "null" {
		text, err := adf.ToText(raw)
		if err != nil {
			return connectors.WorkItem{}, c.out.Fail(op, connectors.KindProtocol, "the description can't be read: "+err.Error())
		}
		w.Description = text
	}
	for _, l := range labels {
		if key, ok := strings.CutPrefix(l, ownLabel); ok && ownKeyPattern.MatchString(key) {
			w.OwnKey = key
		}
	}
	for _, p := range people {
		w.Participants = append(w.Participants, p.AccountID)
	}
	for _, o := range orgs {
		w.Groups = append(w.Groups, o.ID)
	}
	w.Created, _ = time.Parse(timeLayout, created)
	w.Updated, _ = time.Parse(timeLayout, updated)
	return w, nil
}

func category(key string) connectors.StatusCategory {
	switch key {
	case "new":
		return connectors.StatusNew
	case "done":
		return connectors.StatusDone
	}
	return connectors.StatusDoing
}

func (c *Connector) itemID(op, id string) error {
	if !itemPattern.MatchString(id) {
		return c.out.Fail(op, connectors.KindInvalid, "this is no work item's id or key")
	}
	return nil
}

// ReadWorkItem reads an item by id or key. It doesn't lag.
func (c *Connector) ReadWorkItem(ctx context.Context, id string) (connectors.WorkItem, error) {
	const op = "read work item"
	if err := c.itemID(op, id); err != nil {
		return connectors.WorkItem{}, err
	}
	f, err := c.facts(ctx, op)
	if err != nil {
		return connectors.WorkItem{}, err
	}
	var i issue
	query := url.Values{"fields": {strings.Join(f.fields(), ",")}}
	if err := c.send(call(ctx, op, ClassGet, again), op, http.MethodGet, "rest/api/3/issue/"+id, query, nil, &i); err != nil {
		return connectors.WorkItem{}, err
	}
	if i.ID != id && !strings.EqualFold(i.Key, id) {
		return connectors.WorkItem{}, c.out.Fail(op, connectors.KindProtocol, "the answer is about another work item than was asked for")
	}
	return c.item(op, f, i)
}

// FindWorkItem looks an item up by our key, with the search, which lags: see connectors.WorkItemReader. Two items of one key are
// KindConflict.
func (c *Connector) FindWorkItem(ctx context.Context, ownKey string, attempted time.Time) (connectors.WorkItem, error) {
	const op = "find work item"
	if !ownKeyPattern.MatchString(ownKey) {
		return connectors.WorkItem{}, c.out.Fail(op, connectors.KindInvalid, `our key has 1 to 120 letters, digits, ".", "_" and "-"`)
	}
	began := c.out.Now()
	var found []connectors.WorkItem
	err := c.searchItems(ctx, op, connectors.WorkItemQuery{OwnKeys: []string{ownKey}}, func(page []connectors.WorkItem) error {
		found = append(found, page...)
		return nil
	})
	switch {
	case err != nil:
		return connectors.WorkItem{}, err
	case len(found) > 1:
		return connectors.WorkItem{}, c.out.Fail(op, connectors.KindConflict, fmt.Sprintf("%s and %s carry the same key of ours: resolve it at the vendor", found[0].Key, found[1].Key))
	case len(found) == 1:
		return found[0], nil
	}
	lag := c.description.Limits.SearchLag
	if wait := lag - began.Sub(attempted); !attempted.IsZero() && wait > 0 {
		f := c.out.Fail(op, connectors.KindAmbiguous, "it isn't found yet, and the search may lag: ask again later")
		f.RetryAfter = min(wait, lag)
		return connectors.WorkItem{}, f
	}
	return connectors.WorkItem{}, c.out.Fail(op, connectors.KindNotFound, "no work item carries this key of ours")
}

// CreateWorkItem raises a request of Jira Service Management, for a customer where draft.Reporter names one. Our key is a label of
// the request, so the request type's form must have the field Labels. An answer that is lost is KindAmbiguous; the next call looks
// the key up before it sends anything, and waits for the search to catch up: see connectors.WorkItemDraft.Attempted.
func (c *Connector) CreateWorkItem(ctx context.Context, draft connectors.WorkItemDraft) (connectors.WorkItem, error) {
	const op = "create work item"
	description, err := c.checkDraft(op, draft)
	if err != nil {
		return connectors.WorkItem{}, err
	}
	f, err := c.facts(ctx, op)
	if err != nil {
		return connectors.WorkItem{}, err
	}
	if found, err := c.FindWorkItem(ctx, draft.OwnKey, draft.Attempted); connectors.KindOf(err) != connectors.KindNotFound {
		return found, err
	}
	fields := map[string]any{"summary": draft.Summary, "description": description, "labels": []string{ownLabel + draft.OwnKey}}
	if len(draft.Groups) > 0 {
		if f.orgs == "" {
			return connectors.WorkItem{}, c.out.Fail(op, connectors.KindInvalid, "the site has no field for customer organizations")
		}
		numbers := []int{}
		for _, id := range draft.Groups {
			n, err := c.groupID(op, id)
			if err != nil {
				return connectors.WorkItem{}, err
			}
			numbers = append(numbers, n)
		}
		fields[f.orgs] = numbers
	}
	body := map[string]any{
		"serviceDeskId": c.desk, "requestTypeId": draft.Type, "requestFieldValues": fields, "isAdfRequest": true,
	}
	if draft.Reporter != "" {
		body["raiseOnBehalfOf"] = draft.Reporter
	}
	if len(draft.Participants) > 0 {
		body["requestParticipants"] = draft.Participants
	}
	var made struct {
		ID  string `json:"issueId"`
		Key string `json:"issueKey"`
	}
	if err := c.send(call(ctx, op, ClassPost, once), op, http.MethodPost, "rest/servicedeskapi/request", nil, body, &made); err != nil {
		return connectors.WorkItem{}, err
	}
	if !itemPattern.MatchString(made.ID) || !itemPattern.MatchString(made.Key) {
		return connectors.WorkItem{}, c.out.Fail(op, connectors.KindProtocol, "the answer holds no request")
	}
	item, err := c.ReadWorkItem(ctx, made.ID) // it doesn't lag, and says what was really made
	if err != nil {
		return connectors.WorkItem{
			ID: made.ID, Key: made.Key, OwnKey: draft.OwnKey, Summary: draft.Summary, Description: draft.Description, Reporter: draft.Reporter,
			Participants: draft.Participants, Groups: draft.Groups, Category: connectors.StatusNew, URL: c.out.BaseURL() + "/browse/" + made.Key,
		}, nil
	}
	if item.OwnKey != draft.OwnKey {
		return item, c.out.Fail(op, connectors.KindProtocol, "the request "+made.Key+" was made without our key: does its form keep the field Labels?")
	}
	return item, nil
}

// checkDraft refuses what the vendor would, before anything is sent, and gives the description as a document.
func (c *Connector) checkDraft(op string, d connectors.WorkItemDraft) (json.RawMessage, error) {
	bad := func(detail string) (json.RawMessage, error) {
		return nil, c.out.Fail(op, connectors.KindInvalid, detail)
	}
	switch {
	case !ownKeyPattern.MatchString(d.OwnKey):
		return bad(`our key has 1 to 120 letters, digits, ".", "_" and "-"`)
	case !numberPattern.MatchString(d.Type):
		return bad("the type is the number of a request type")
	case strings.TrimSpace(d.Summary) == "" || utf8.RuneCountInString(d.Summary) > maxSummary || strings.ContainsAny(d.Summary, "\r\n"):
		return bad("the summary is one line of 1 to 255 characters")
	case strings.TrimSpace(d.Description) == "":
		return bad("a request needs a description")
	case len(d.Participants) > maxParticipants:
		return bad("a request has at most 50 participants")
	}
	for _, id := range slices.Concat(d.Participants, []string{d.Reporter}) {
		if id == "" && d.Reporter == "" {
			continue
		}
		if err := c.accountID(op, id); err != nil {
			return nil, err
		}
	}
	doc, err := adf.FromText(d.Description)
	if err != nil {
		return bad("the description: " + err.Error())
	}
	return doc, nil
}

// ListParticipants gives the account ids of a request's participants.
func (c *Connector) ListParticipants(ctx context.Context, itemID string) ([]string, error) {
	const op = "list participants"
	if err := c.itemID(op, itemID); err != nil {
		return nil, err
	}
	read := listed[person](call(ctx, op, ClassGet, again), c, op, "rest/servicedeskapi/request/"+itemID+"/participant")
	var ids []string
	err := pages(c, op, read, func(p person) string { return p.AccountID }, func(values []person) error {
		for _, p := range values {
			ids = append(ids, p.AccountID)
		}
		return nil
	})
	return ids, err
}

// AddParticipants adds people to a request; those who take part already stay.
func (c *Connector) AddParticipants(ctx context.Context, itemID string, accountIDs []string) error {
	return c.changeParticipants(ctx, "add participants", http.MethodPost, ClassPost, itemID, accountIDs)
}

// RemoveParticipants removes exactly the people named.
func (c *Connector) RemoveParticipants(ctx context.Context, itemID string, accountIDs []string) error {
	return c.changeParticipants(ctx, "remove participants", http.MethodDelete, ClassDelete, itemID, accountIDs)
}

func (c *Connector) changeParticipants(ctx context.Context, op, method string, class connectors.Class, itemID string, ids []string) error {
	if err := c.itemID(op, itemID); err != nil {
		return err
	}
	if len(ids) > memberBatch {
		return c.out.Fail(op, connectors.KindInvalid, strconv.Itoa(len(ids))+" participants are more than the "+strconv.Itoa(memberBatch)+" that one call takes")
	}
	for _, id := range ids {
		if err := c.accountID(op, id); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	body := map[string][]string{"accountIds": ids}
	return c.send(call(ctx, op, class, again), op, method, "rest/servicedeskapi/request/"+itemID+"/participant", nil, body, nil)
}
