package slack

import (
	"context"
	"errors"
	"slices"

	"github.com/musubi-hub/musubi/connectors"
)

// FindGroup looks a group up by its name. Slack has no filter: the list is read at most once in Config.Trust.
func (c *Connector) FindGroup(ctx context.Context, name string) (connectors.Group, error) {
	const op = "find group"
	if name == "" {
		return connectors.Group{}, c.invalid(op, "no name is given")
	}
	ids, err := c.groups.Lookup(ctx, name, func(found func(name, id string)) error {
		return c.scim.ListGroups(ctx, func(page []connectors.Group) error {
			for _, g := range page {
				found(g.Name, g.ID)
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return connectors.Group{}, c.named(op, c.waited(ctx, op, err))
	case len(ids) == 0:
		return connectors.Group{}, c.out.Fail(op, connectors.KindNotFound, "no group has this name")
	case len(ids) > 1:
		return connectors.Group{}, c.out.Fail(op, connectors.KindConflict, "several groups have this name: resolve it at Slack")
	}
	return connectors.Group{ID: ids[0], Name: name}, nil
}

// ListGroups gives every group.
func (c *Connector) ListGroups(ctx context.Context, page func([]connectors.Group) error) error {
	return c.scim.ListGroups(ctx, page)
}

// ListMembers gives the members' user ids, 1,000 at a time. Slack sends them in one answer.
func (c *Connector) ListMembers(ctx context.Context, groupID string, page func([]string) error) error {
	ids, err := c.scim.Members(ctx, groupID)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(ids, 1000) {
		if err := page(chunk); err != nil {
			return err
		}
	}
	return nil
}

// CreateGroup makes the group. KindConflict: one of this name exists. Slack's documents don't say that it refuses a second group of
// one name, so the connector looks first, one caller at a time for each name.
func (c *Connector) CreateGroup(ctx context.Context, want connectors.Group) (connectors.Group, error) {
	const op = "create group"
	release, err := c.locks.Lock(ctx, "slack group name "+want.Name)
	if err != nil {
		return connectors.Group{}, c.unlocked(op, err)
	}
	defer release()
	switch _, err := c.FindGroup(ctx, want.Name); connectors.KindOf(err) {
	case connectors.KindNotFound:
	case connectors.KindUnknown:
		if err != nil {
			return connectors.Group{}, err
		}
		return connectors.Group{}, c.out.Fail(op, connectors.KindConflict, "a group of this name exists")
	default:
		return connectors.Group{}, c.named(op, err)
	}
	g, err := c.scim.CreateGroup(ctx, want.Name)
	switch kind := connectors.KindOf(err); {
	case err == nil:
		c.groups.Add(g.Name, g.ID)
	case kind != connectors.KindThrottled && kind != connectors.KindCanceled:
		c.groups.Forget()
	}
	return g, err
}

// AddMembers adds users to the group.
func (c *Connector) AddMembers(ctx context.Context, groupID string, accountIDs []string) error {
	return c.scim.AddMembers(ctx, groupID, accountIDs)
}

// RemoveMembers removes exactly the users named.
func (c *Connector) RemoveMembers(ctx context.Context, groupID string, accountIDs []string) error {
	return c.scim.RemoveMembers(ctx, groupID, accountIDs)
}

// unlocked is the failure of a caller who didn't get a lock.
func (w *Workspace) unlocked(op string, err error) error {
	kind, detail := connectors.KindUnavailable, "the lock of this object can't be had now"
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		kind, detail = connectors.KindCanceled, "the caller gave up while another change of the same object was under way"
	}
	f := w.out.Fail(op, kind, detail)
	f.Err = err
	return f
}
