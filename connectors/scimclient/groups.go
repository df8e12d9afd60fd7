package scimclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
)

// CreateGroup makes an empty group. It is sent once: after KindAmbiguous the caller looks the group up.
func (c *Client) CreateGroup(ctx context.Context, name string) (connectors.Group, error) {
	const op = "create group"
	if err := c.checkName(op, name); err != nil {
		return connectors.Group{}, err
	}
	var raw json.RawMessage
	body := group{Schemas: []string{schemaGroup}, DisplayName: name}
	if err := c.do(ctx, request{op: op, method: http.MethodPost, path: "Groups", body: body, into: &raw, once: true}); err != nil {
		return connectors.Group{}, err
	}
	g, err := c.readGroup(op, raw)
	return connectors.Group{ID: g.ID, Name: g.DisplayName}, err
}

// FindGroup looks a group up by its name, compared to the letter.
func (c *Client) FindGroup(ctx context.Context, name string) (connectors.Group, error) {
	const op = "find group"
	if err := c.checkName(op, name); err != nil {
		return connectors.Group{}, err
	}
	query := c.withoutMembers()
	if c.dialect.GroupFilter {
		query.Set("filter", eq("displayName", name))
	}
	var found []group
	err := c.list(ctx, op, "Groups", query, c.dialect.MaxGroupBody, func(page []json.RawMessage) error {
		for _, raw := range page {
			g, err := c.readGroup(op, raw)
			if err != nil {
				return err
			}
			switch {
			case g.DisplayName == name:
				found = append(found, g)
			case c.dialect.GroupFilter && !strings.EqualFold(g.DisplayName, name): // a filter may ignore case
				return c.out.Fail(op, connectors.KindProtocol, "the server returns groups that the filter on displayName doesn't match")
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return connectors.Group{}, err
	case len(found) == 0:
		return connectors.Group{}, c.out.Fail(op, connectors.KindNotFound, "no group has this name")
	case len(found) > 1:
		return connectors.Group{}, c.out.Fail(op, connectors.KindConflict, fmt.Sprintf("%d groups have this name: resolve it at the vendor", len(found)))
	}
	return connectors.Group{ID: found[0].ID, Name: found[0].DisplayName}, nil
}

// ListGroups gives every group, page by page, to page.
func (c *Client) ListGroups(ctx context.Context, page func([]connectors.Group) error) error {
	const op = "list groups"
	return c.list(ctx, op, "Groups", c.withoutMembers(), c.dialect.MaxGroupBody, func(raws []json.RawMessage) error {
		groups := make([]connectors.Group, 0, len(raws))
		for _, raw := range raws {
			g, err := c.readGroup(op, raw)
			if err != nil {
				return err
			}
			groups = append(groups, connectors.Group{ID: g.ID, Name: g.DisplayName})
		}
		return page(groups)
	})
}

// Members gives the ids of the members of the group with id. SCIM has no paging for them.
func (c *Client) Members(ctx context.Context, id string) ([]string, error) {
	const op = "list members"
	path, err := c.path(op, "Groups", id)
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	if err := c.do(ctx, request{op: op, method: http.MethodGet, path: path, into: &raw, maxBody: c.dialect.MaxGroupBody}); err != nil {
		return nil, err
	}
	g, err := c.readGroup(op, raw)
	if err != nil {
		return nil, err
	}
	return g.ids(), nil
}

// AddMembers puts users into the group. Those who are in already stay in.
func (c *Client) AddMembers(ctx context.Context, groupID string, ids []string) error {
	const op = "add members"
	return c.changeMembers(ctx, op, groupID, ids, connectors.KindConflict, "", func(ids []string) []Operation {
		value := make([]member, len(ids))
		for i, id := range ids {
			value[i] = member{Value: id}
		}
		return []Operation{{Op: "add", Path: "members", Value: value}}
	}, true)
}

// RemoveMembers takes exactly the users named out of the group, each by a path of its own: members[value eq "id"]. A remove
// of the bare path "members" with a list of values empties the whole group on a server that keeps to RFC 7644.
func (c *Client) RemoveMembers(ctx context.Context, groupID string, ids []string) error {
	const op = "remove members"
	return c.changeMembers(ctx, op, groupID, ids, connectors.KindInvalid, "noTarget", func(ids []string) []Operation {
		operations := make([]Operation, len(ids))
		for i, id := range ids {
			filter := eq("value", id)
			if c.dialect.BareMemberFilter {
				filter = "value eq " + id
			}
			operations[i] = Operation{Op: "remove", Path: "members[" + filter + "]"}
		}
		return operations
	}, false)
}

// changeMembers patches a group's members. Some servers refuse to add a member who is in, or to remove one who isn't, by
// an error of the given kind and code (any code if empty): then the group is read and only what is left to do is sent.
func (c *Client) changeMembers(ctx context.Context, op, groupID string, ids []string, kind connectors.Kind, code string,
	operations func(ids []string) []Operation, in bool,
) error {
	ids, err := c.checkMembers(op, ids)
	if err != nil || len(ids) == 0 {
		return err
	}
	err = c.patchMembers(ctx, op, groupID, ids, operations, in)
	if connectors.KindOf(err) != kind || code != "" && codeOf(err) != code {
		return err
	}
	present, readErr := c.Members(ctx, groupID)
	if readErr != nil {
		return readErr
	}
	left := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(present, id) == in })
	switch len(left) {
	case 0:
		return nil
	case len(ids):
		return err // nothing was there already: the refusal has another reason
	}
	return c.patchMembers(ctx, op, groupID, left, operations, in)
}

func (c *Client) patchMembers(ctx context.Context, op, groupID string, ids []string, operations func([]string) []Operation, in bool) error {
	path, err := c.path(op, "Groups", groupID)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	body := patch{[]string{schemaPatch}, operations(ids)}
	if err := c.do(ctx, request{op: op, method: http.MethodPatch, path: path, body: body, into: &raw, maxBody: c.dialect.MaxGroupBody}); err != nil {
		return err
	}
	var now []string
	switch {
	case len(raw) > 0:
		g, err := c.readGroup(op, raw)
		if err != nil {
			return err
		}
		now = g.ids()
	case c.dialect.ReadBackMembers:
		if now, err = c.Members(ctx, groupID); err != nil {
			return err
		}
	default:
		return nil // 204: the server shows nothing
	}
	present := map[string]bool{}
	for _, id := range now {
		present[id] = true
	}
	wrong := 0
	for _, id := range ids {
		if present[id] != in {
			wrong++
		}
	}
	if wrong > 0 {
		return c.out.Fail(op, connectors.KindAmbiguous, fmt.Sprintf("the server reports success, but shows %d of %d members unchanged", wrong, len(ids)))
	}
	return nil
}

// checkMembers gives ids without repeats.
func (c *Client) checkMembers(op string, ids []string) ([]string, error) {
	if len(ids) > c.dialect.MemberBatch {
		return nil, c.out.Fail(op, connectors.KindInvalid, fmt.Sprintf("%d members are more than the %d that one call takes", len(ids), c.dialect.MemberBatch))
	}
	seen := map[string]bool{}
	var unique []string
	for _, id := range ids {
		if _, err := c.path(op, "Users", id); err != nil {
			return nil, err
		}
		if c.dialect.BareMemberFilter && !alphanumeric(id) {
			return nil, c.out.Fail(op, connectors.KindInvalid, fmt.Sprintf("%q is no id of a user: only letters and digits are", shorten(id)))
		}
		if !seen[id] {
			seen[id] = true
			unique = append(unique, id)
		}
	}
	return unique, nil
}

func alphanumeric(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func (c *Client) checkName(op, name string) error {
	if name == "" || len(name) > 255*4 {
		return c.out.Fail(op, connectors.KindInvalid, "the group's name is empty or longer than 1020 octets")
	}
	return nil
}

func (c *Client) withoutMembers() url.Values {
	q := url.Values{}
	if c.dialect.ExcludeMembers {
		q.Set("excludedAttributes", "members")
	}
	return q
}

func (c *Client) readGroup(op string, raw json.RawMessage) (group, error) {
	var g group
	if err := json.Unmarshal(raw, &g); err != nil {
		return group{}, c.out.Fail(op, connectors.KindProtocol, "a group in the answer can't be read: "+err.Error())
	}
	if g.ID == "" || len(g.ID) > 512 || g.DisplayName == "" || !slices.ContainsFunc(g.Schemas, func(s string) bool { return strings.EqualFold(s, schemaGroup) }) {
		return group{}, c.out.Fail(op, connectors.KindProtocol, "the answer holds no SCIM group with an id and a name")
	}
	return g, nil
}

func (g group) ids() []string {
	ids := make([]string, 0, len(g.Members))
	for _, m := range g.Members {
		if m.Value != "" {
			ids = append(ids, m.Value)
		}
	}
	return ids
}

func codeOf(err error) string {
	if e, ok := err.(*connectors.Error); ok { //nolint:errorlint // made here, never wrapped
		return e.Code
	}
	return ""
}
