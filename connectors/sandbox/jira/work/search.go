package work

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/jql"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/rich"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The bounds of search/jql, as the vendor documents them: 5,000 with ids and keys alone, 100 with fields.
const (
	standardResults = 50
	maxResults      = 5000
	maxFieldResults = 100
	maxReconcile    = 50
	maxSearchProps  = 5
)

func (t *Tracker) searchText(x *issue) []string {
	out := []string{x.Summary, rich.Text(x.Description)}
	for _, m := range x.comments {
		out = append(out, rich.Text(m.Body))
	}
	return out
}

// searchBody is POST search/jql; GET has the same as parameters.
type searchBody struct {
	JQL             string   `json:"jql"`
	NextPageToken   string   `json:"nextPageToken"`
	MaxResults      *int     `json:"maxResults"`
	Fields          []string `json:"fields"`
	FieldsByKeys    bool     `json:"fieldsByKeys"`
	Expand          string   `json:"expand"`
	Properties      []string `json:"properties"`
	ReconcileIssues []int64  `json:"reconcileIssues"`
}

func (t *Tracker) searchPost(c *site.Call) {
	var b searchBody
	if no := wire.ReadBody(c, &b); no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	t.search(c, b)
}

func (t *Tracker) searchGet(c *site.Call) {
	q := c.Query()
	b := searchBody{JQL: q.Get("jql"), NextPageToken: q.Get("nextPageToken"), Fields: split(q, "fields"), Expand: q.Get("expand"), Properties: split(q, "properties")}
	if no := readNumbers(q, &b); no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	t.search(c, b)
}

func readNumbers(q url.Values, b *searchBody) *wire.Refusal {
	if text := q.Get("maxResults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return wire.Refuse(http.StatusBadRequest, "", "The 'maxResults' parameter must be a number")
		}
		b.MaxResults = &n
	}
	for _, text := range split(q, "reconcileIssues") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return wire.Refuse(http.StatusBadRequest, "", "The 'reconcileIssues' parameter must hold issue ids")
		}
		b.ReconcileIssues = append(b.ReconcileIssues, n)
	}
	return nil
}

// pageToken is what nextPageToken holds: the query that it belongs to and the issue after which it goes on.
type pageToken struct {
	Query string `json:"q"`
	After string `json:"a"` // sort key
}

func queryMark(jql string) string {
	sum := sha256.Sum256([]byte(jql))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

func (b searchBody) check() (*jql.Query, pageToken, *wire.Refusal) {
	bad := func(message string) (*jql.Query, pageToken, *wire.Refusal) {
		return nil, pageToken{}, wire.Refuse(http.StatusBadRequest, "", message)
	}
	q, err := jql.Parse(b.JQL)
	var token pageToken
	switch {
	case err != nil:
		return bad(err.Error())
	case len(b.ReconcileIssues) > maxReconcile:
		return bad("The 'reconcileIssues' parameter must hold at most 50 issue ids")
	case len(b.Properties) > maxSearchProps:
		return bad("The 'properties' parameter must hold at most 5 properties")
	case b.MaxResults != nil && (*b.MaxResults < 1 || *b.MaxResults > maxResults):
		return bad("The 'maxResults' parameter must be between 1 and 5000")
	}
	if b.NextPageToken != "" {
		raw, err := base64.RawURLEncoding.DecodeString(b.NextPageToken)
		dec := json.NewDecoder(bytes.NewReader(raw))
		if err != nil || dec.Decode(&token) != nil || token.Query != queryMark(b.JQL) {
			return bad("The 'nextPageToken' parameter is not valid for this query")
		}
	}
	return q, token, nil
}

// search answers from an index that lags: it sees each issue as it was SearchLag ago, unless reconcileIssues names it.
func (t *Tracker) search(c *site.Call, b searchBody) {
	q, token, no := b.check()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	limit := standardResults
	if b.MaxResults != nil {
		limit = *b.MaxResults
	}
	onlyID := len(b.Fields) == 0 || len(b.Fields) == 1 && (b.Fields[0] == "id" || b.Fields[0] == "key")
	if !onlyID {
		limit = min(limit, maxFieldResults)
	}
	t.mu.RLock()
	found := t.found(c, q, b.ReconcileIssues)
	start := 0
	if token.After != "" {
		for start < len(found) && before(q, sortKey(q, found[start]), token.After) {
			start++
		}
	}
	page := found[min(start, len(found)):]
	out := doc{"isLast": len(page) <= limit}
	if len(page) > limit {
		page = page[:limit]
		raw, err := json.Marshal(pageToken{queryMark(b.JQL), sortKey(q, page[limit-1])})
		if err == nil {
			out["nextPageToken"] = base64.RawURLEncoding.EncodeToString(raw)
		}
	}
	issues := []doc{}
	for _, x := range page {
		issues = append(issues, t.searchHit(c, x, b, onlyID))
	}
	out["issues"] = issues
	t.mu.RUnlock()
	wire.WriteJSON(c.W, http.StatusOK, out)
}

// searchHit renders a found issue: its id alone unless fields are named.
func (t *Tracker) searchHit(c *site.Call, x *issue, b searchBody, onlyID bool) doc {
	if !onlyID {
		return t.renderIssue(c, x, b.Fields, b.Properties, strings.Contains(b.Expand, "changelog"))
	}
	m := doc{"id": strconv.FormatInt(x.ID, 10)}
	if len(b.Fields) == 1 && b.Fields[0] == "key" {
		m["key"], m["self"] = x.Key, t.issueURL(c, x)
	}
	if len(b.Properties) > 0 {
		m["properties"] = t.renderIssue(c, x, []string{"id"}, b.Properties, false)["properties"]
	}
	return m
}

// found gives the issues that match, in order. The caller holds the lock.
func (t *Tracker) found(c *site.Call, q *jql.Query, reconcile []int64) []*issue {
	asOf := c.Now.Add(-t.opt.SearchLag)
	if !c.AsOf.IsZero() && c.AsOf.Before(asOf) {
		asOf = c.AsOf
	}
	var list []*issue
	for _, id := range t.order {
		v := t.issues[id]
		x := v.At(asOf)
		if slices.Contains(reconcile, id) {
			x = v.Current()
		}
		if x == nil || !t.mayRead(c.As, x) {
			continue
		}
		shown := *x
		shown.comments = visible(c, x) // a search for their text would tell a customer of internal ones
		if q.Matches(subject{t, &shown}, t.host.Owner().AccountID, c.Now) {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b *issue) int {
		switch ka, kb := sortKey(q, a), sortKey(q, b); {
		case ka == kb:
			return 0
		case before(q, ka, kb):
			return -1
		}
		return 1
	})
	return list
}

// sortKey orders as text: the moment or nothing, then the id.
func sortKey(q *jql.Query, x *issue) string {
	at := int64(0)
	switch q.Order {
	case "created":
		at = x.Created
	case "updated":
		at = x.Updated
	}
	pad := func(n int64) string { s := strconv.FormatInt(n, 10); return strings.Repeat("0", 20-len(s)) + s }
	return pad(at) + pad(x.ID)
}

// before reports whether a comes at or before b in the query's order.
func before(q *jql.Query, a, b string) bool {
	if q.Desc {
		return a >= b
	}
	return a <= b
}

func (t *Tracker) count(c *site.Call) {
	var b struct {
		JQL string `json:"jql"`
	}
	no := wire.ReadBody(c, &b)
	var q *jql.Query
	if no == nil {
		var err error
		if q, err = jql.Parse(b.JQL); err != nil {
			no = wire.Refuse(http.StatusBadRequest, "", err.Error())
		}
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	t.mu.RLock()
	n := len(t.found(c, q, nil))
	t.mu.RUnlock()
	wire.WriteJSON(c.W, http.StatusOK, doc{"count": n})
}

// subject is an issue as a query sees it. The lock is held.
type subject struct {
	t *Tracker
	x *issue
}

// Values gives every form in which a field's value can be named.
func (s subject) Values(field string) []string { return s.t.valuesOf(field, s.x) }

// Created is when the issue was made.
func (s subject) Created() time.Time { return time.UnixMicro(s.x.Created) }

// Updated is when it was last changed.
func (s subject) Updated() time.Time { return time.UnixMicro(s.x.Updated) }

// valuesOf gives every form in which a field's value can be named.
func (t *Tracker) valuesOf(field string, x *issue) []string {
	s := statusOf(x.Status)
	switch field {
	case "project":
		return []string{t.opt.ProjectKey, t.opt.ProjectID, t.opt.ProjectName}
	case "key":
		return []string{x.Key, strconv.FormatInt(x.ID, 10)}
	case "status":
		return []string{s.Name, s.ID}
	case "statusCategory":
		return []string{s.category.Name, s.category.Key, strconv.Itoa(s.category.ID)}
	case "labels":
		return x.Labels
	case "reporter":
		return []string{x.Reporter}
	case "assignee":
		if x.Assignee == "" {
			return nil
		}
		return []string{x.Assignee}
	case "issuetype":
		return []string{x.Type, issueTypes[x.Type]}
	case "priority":
		for _, p := range priorities {
			if p.ID == x.Priority {
				return []string{p.ID, p.Name}
			}
		}
	case "resolution":
		if x.Resolved > 0 {
			return []string{"Done", "10000"}
		}
		return nil
	case "organizations":
		var out []string
		for _, id := range x.Orgs {
			if o, ok := t.host.Organization(id, ""); ok {
				out = append(out, o.Name, strconv.FormatInt(id, 10))
			}
		}
		return out
	case "summary":
		return []string{x.Summary}
	case "text":
		return t.searchText(x)
	}
	return nil
}
