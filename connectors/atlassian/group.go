package atlassian

import (
	"context"
	"slices"

	"github.com/musubi-hub/musubi/connectors"
)

// FindGroup looks a group up by its name.
func (c *Connector) FindGroup(ctx context.Context, name string) (connectors.Group, error) {
	return c.scim.FindGroup(ctx, name)
}

// ListGroups gives every group of the directory.
func (c *Connector) ListGroups(ctx context.Context, page func([]connectors.Group) error) error {
	return c.scim.ListGroups(ctx, page)
}

// ListMembers gives the members' user ids, 1,000 at a time. Atlassian sends them in one answer of at most 32 MiB.
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

// CreateGroup makes the group. KindConflict: one of this name exists. A group can't be renamed over SCIM.
func (c *Connector) CreateGroup(ctx context.Context, want connectors.Group) (connectors.Group, error) {
	return c.scim.CreateGroup(ctx, want.Name)
}

// AddMembers adds users to the group, and checks in Atlassian's answer that they are in.
func (c *Connector) AddMembers(ctx context.Context, groupID string, accountIDs []string) error {
	return c.scim.AddMembers(ctx, groupID, accountIDs)
}

// RemoveMembers removes exactly the users named, and checks in Atlassian's answer that they are out.
func (c *Connector) RemoveMembers(ctx context.Context, groupID string, accountIDs []string) error {
	return c.scim.RemoveMembers(ctx, groupID, accountIDs)
}
