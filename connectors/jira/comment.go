package jira

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/jira/adf"
)

// The properties of a comment: the vendor's, which hides it from customers, and ours, which holds our key.
const (
	publicProperty = "sd.public.comment"
	ownProperty    = "musubi.key"
)

const (
	commentPage  = 100
	maxCommented = 5000 // comments of an issue, the vendor's bound
)

// platformComment is a comment as the platform shows one.
type platformComment struct {
	ID         string          `json:"id"`
	Author     person          `json:"author"`
	Body       json.RawMessage `json:"body"`
	Created    string          `json:"created"`
	Public     *bool           `json:"jsdPublic"`
	Properties []struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	} `json:"properties"`
}

// comment turns p into a comment. Where the vendor doesn't say whether it is public, it is taken as internal.
func (c *Connector) comment(op string, p platformComment) (connectors.Comment, error) {
	if !numberPattern.MatchString(p.ID) {
		return connectors.Comment{}, c.out.Fail(op, connectors.KindProtocol, "a comment in the answer has no id")
	}
	body, err := adf.ToText(p.Body)
	if err != nil {
		return connectors.Comment{}, c.out.Fail(op, connectors.KindProtocol, "the comment "+p.ID+" can't be read: "+err.Error())
	}
	m := connectors.Comment{ID: p.ID, Author: p.Author.AccountID, Body: body, Internal: p.Public == nil || !*p.Public}
	m.Created, _ = time.Parse(timeLayout, p.Created)
	for _, property := range p.Properties {
		var value struct {
			Key string `json:"key"`
		}
		if property.Key == ownProperty && json.Unmarshal(property.Value, &value) == nil && ownKeyPattern.MatchString(value.Key) {
			m.OwnKey = value.Key
		}
	}
	return m, nil
}

// ListComments gives the comments, public and internal, oldest first.
func (c *Connector) ListComments(ctx context.Context, itemID string, page func([]connectors.Comment) error) error {
	const op = "list comments"
	if err := c.itemID(op, itemID); err != nil {
		return err
	}
	ctx = call(ctx, op, ClassGet, again)
	for start := 0; start <= maxCommented; {
		var answer struct {
			StartAt  int               `json:"startAt"`
			Total    int               `json:"total"`
			Comments []platformComment `json:"comments"`
		}
		query := url.Values{"startAt": {strconv.Itoa(start)}, "maxResults": {strconv.Itoa(commentPage)}, "expand": {"properties"}}
		if err := c.send(ctx, op, http.MethodGet, "rest/api/3/issue/"+itemID+"/comment", query, nil, &answer); err != nil {
			return err
		}
		if answer.Comments == nil || answer.StartAt != start || len(answer.Comments) > commentPage || len(answer.Comments) == 0 && start < answer.Total {
			return c.out.Fail(op, connectors.KindProtocol, "the answer isn't the page of comments that was asked for")
		}
		list := make([]connectors.Comment, len(answer.Comments))
		for i, p := range answer.Comments {
			var err error
			if list[i], err = c.comment(op, p); err != nil {
				return err
			}
		}
		if len(list) > 0 {
			if err := page(list); err != nil {
				return err
			}
		}
		if start += len(list); start >= answer.Total {
			return nil
		}
	}
	return c.out.Fail(op, connectors.KindProtocol, fmt.Sprintf("the item has more than %d comments", maxCommented))
}

// AddComment makes a comment on the platform, because its property can carry our key and hide it in the same step; JSM's own call can
// do neither. The comments are read first: they don't lag, so a repeated call finds what an earlier one made.
func (c *Connector) AddComment(ctx context.Context, itemID string, want connectors.Comment) (connectors.Comment, error) {
	const op = "add comment"
	if err := c.itemID(op, itemID); err != nil {
		return connectors.Comment{}, err
	}
	if !ownKeyPattern.MatchString(want.OwnKey) {
		return connectors.Comment{}, c.out.Fail(op, connectors.KindInvalid, `our key has 1 to 120 letters, digits, ".", "_" and "-"`)
	}
	if strings.TrimSpace(want.Body) == "" {
		return connectors.Comment{}, c.out.Fail(op, connectors.KindInvalid, "a comment needs a text")
	}
	doc, err := adf.FromText(want.Body)
	if err != nil {
		return connectors.Comment{}, c.out.Fail(op, connectors.KindInvalid, "the text: "+err.Error())
	}
	var found *connectors.Comment
	err = c.ListComments(ctx, itemID, func(page []connectors.Comment) error {
		for _, m := range page {
			if m.OwnKey == want.OwnKey {
				found = &m
			}
		}
		return nil
	})
	if err != nil {
		return connectors.Comment{}, err
	}
	if found == nil {
		m, err := c.postComment(ctx, op, itemID, doc, want)
		if err != nil {
			return connectors.Comment{}, err
		}
		found = &m
	}
	if found.Internal != want.Internal {
		return *found, c.out.Fail(op, connectors.KindProtocol, fmt.Sprintf("the comment %s is there, but internal is %v where %v was asked for: look at it at once", found.ID, found.Internal, want.Internal))
	}
	return *found, nil
}

func (c *Connector) postComment(ctx context.Context, op, itemID string, doc json.RawMessage, want connectors.Comment) (connectors.Comment, error) {
	body := map[string]any{"body": doc, "properties": []map[string]any{
		{"key": publicProperty, "value": map[string]bool{"internal": want.Internal}},
		{"key": ownProperty, "value": map[string]string{"key": want.OwnKey}},
	}}
	var made platformComment
	if err := c.send(call(ctx, op, ClassPost, once), op, http.MethodPost, "rest/api/3/issue/"+itemID+"/comment", nil, body, &made); err != nil {
		return connectors.Comment{}, err
	}
	m, err := c.comment(op, made)
	m.OwnKey = want.OwnKey
	return m, err
}

// TransitionWorkItem brings an item to a status by the step that leads there now. 409 means that another change is under way: the item
// is read again, and where it isn't there yet the caller is told to come back.
func (c *Connector) TransitionWorkItem(ctx context.Context, itemID, status string) error {
	const op = "transition work item"
	if err := c.itemID(op, itemID); err != nil {
		return err
	}
	if status == "" {
		return c.out.Fail(op, connectors.KindInvalid, "no status is named")
	}
	there, err := c.isIn(ctx, itemID, status)
	if err != nil || there {
		return err
	}
	steps, resp, err := c.client.Issue.GetTransitionsWithContext(call(ctx, op, ClassGet, again), itemID)
	if err != nil {
		return c.failure(op, err)
	}
	defer resp.Body.Close()
	id := ""
	for _, s := range steps {
		if s.To.Name == status {
			id = s.ID
		}
	}
	if id == "" {
		return c.out.Fail(op, connectors.KindInvalid, "no step leads from the item's status to "+strconv.Quote(status))
	}
	done, err := c.client.Issue.DoTransitionWithContext(call(ctx, op, ClassPost, once), itemID, id)
	if err == nil {
		return done.Body.Close()
	}
	err = c.failure(op, err)
	kind := connectors.KindOf(err)
	if kind != connectors.KindConflict && kind != connectors.KindInvalid && kind != connectors.KindAmbiguous {
		return err
	}
	// Somebody was quicker, or the answer was lost. What is true now decides.
	if there, readErr := c.isIn(ctx, itemID, status); readErr == nil && there {
		return nil
	}
	if kind == connectors.KindConflict {
		f := c.out.Fail(op, connectors.KindUnavailable, "another change of the item is under way; nothing was done")
		f.RetryAfter = time.Second
		return f
	}
	return err
}

func (c *Connector) isIn(ctx context.Context, itemID, status string) (bool, error) {
	item, err := c.ReadWorkItem(ctx, itemID)
	return item.Status == status, err
}
