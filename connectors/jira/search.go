package jira

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// The bounds of a search.
const (
	searchPage  = 100 // the vendor's most with fields
	searchPages = 1000
	maxOwnKeys  = 50
)

// SearchWorkItems goes through the project's items that match q, oldest first, with POST search/jql. go-jira's SearchV2JQL drops the
// token of the next page, and its Search is gone from the cloud.
func (c *Connector) SearchWorkItems(ctx context.Context, q connectors.WorkItemQuery, page func([]connectors.WorkItem) error) error {
	return c.searchItems(ctx, "search work items", q, page)
}

func (c *Connector) searchItems(ctx context.Context, op string, q connectors.WorkItemQuery, page func([]connectors.WorkItem) error) error {
	if q.Category == "" && q.UpdatedSince.IsZero() && len(q.OwnKeys) == 0 {
		return c.out.Fail(op, connectors.KindInvalid, "a search needs a restriction")
	}
	f, err := c.facts(ctx, op)
	if err != nil {
		return err
	}
	jql, err := c.jql(op, f.project, q)
	if err != nil {
		return err
	}
	ctx = call(ctx, op, ClassPost, again) // it is a POST that changes nothing
	token := ""
	seen := map[string]bool{}
	for range searchPages {
		body := map[string]any{"jql": jql, "fields": f.fields(), "maxResults": searchPage}
		if token != "" {
			body["nextPageToken"] = token
		}
		var answer struct {
			Issues []issue `json:"issues"`
			Next   string  `json:"nextPageToken"`
			IsLast *bool   `json:"isLast"`
		}
		if err := c.send(ctx, op, http.MethodPost, "rest/api/3/search/jql", nil, body, &answer); err != nil {
			return err
		}
		last := answer.Next == "" || answer.IsLast != nil && *answer.IsLast
		switch {
		case answer.Issues == nil || len(answer.Issues) > searchPage:
			return c.out.Fail(op, connectors.KindProtocol, "the answer isn't a page of a search")
		case !last && (len(answer.Issues) == 0 || answer.Next == token):
			return c.out.Fail(op, connectors.KindProtocol, "the search doesn't go on: an empty page, or the same token twice")
		}
		var items []connectors.WorkItem
		for _, i := range answer.Issues {
			if seen[i.ID] { // it moved while the search went on
				continue
			}
			seen[i.ID] = true
			item, err := c.item(op, f, i)
			if err != nil {
				return err
			}
			items = append(items, item)
		}
		if len(items) > 0 {
			if err := page(items); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		token = answer.Next
	}
	return c.out.Fail(op, connectors.KindProtocol, fmt.Sprintf("the search has more than %d pages", searchPages))
}

// jql writes the query. Every value is of a pattern that needs no escaping.
func (c *Connector) jql(op, project string, q connectors.WorkItemQuery) (string, error) {
	parts := []string{`project = "` + project + `"`}
	switch q.Category {
	case "":
	case connectors.StatusNew:
		parts = append(parts, `statusCategory = "new"`)
	case connectors.StatusDoing:
		parts = append(parts, `statusCategory = "indeterminate"`)
	case connectors.StatusDone:
		parts = append(parts, `statusCategory = "done"`)
	default:
		return "", c.out.Fail(op, connectors.KindInvalid, "there is no such category of status")
	}
	if !q.UpdatedSince.IsZero() {
		// Relative, because a date is read in the time zone of the hub's account; a minute more, because JQL knows whole minutes.
		minutes := int64(c.out.Now().Sub(q.UpdatedSince)/time.Minute) + 1
		parts = append(parts, fmt.Sprintf("updated >= -%dm", max(minutes, 1)))
	}
	if len(q.OwnKeys) > maxOwnKeys {
		return "", c.out.Fail(op, connectors.KindInvalid, "more than 50 keys in a search")
	}
	var labels []string
	for _, k := range q.OwnKeys {
		if !ownKeyPattern.MatchString(k) {
			return "", c.out.Fail(op, connectors.KindInvalid, `our key has 1 to 120 letters, digits, ".", "_" and "-"`)
		}
		labels = append(labels, `"`+ownLabel+k+`"`)
	}
	if len(labels) > 0 {
		slices.Sort(labels)
		parts = append(parts, "labels in ("+strings.Join(slices.Compact(labels), ", ")+")")
	}
	return strings.Join(parts, " AND ") + " ORDER BY created ASC", nil
}
