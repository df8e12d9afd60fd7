package atlassian

import (
	"context"
	"slices"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// Connector provisions one SCIM directory. It is safe for concurrent use.
type Connector struct {
	scim        *scimclient.Client
	out         *outbound.Client
	description connectors.Description
}

var (
	_ connectors.Connector     = (*Connector)(nil)
	_ connectors.AccountReader = (*Connector)(nil)
	_ connectors.AccountWriter = (*Connector)(nil)
	_ connectors.GroupReader   = (*Connector)(nil)
	_ connectors.GroupWriter   = (*Connector)(nil)
)

// Describe gives the connector's fixed facts.
func (c *Connector) Describe() connectors.Description {
	d := c.description
	d.Limits.Budgets = slices.Clone(d.Limits.Budgets)
	return d
}

// FindAccount looks an account up by want.Key (externalId). Only where want has no Key does it look by user name, or by the
// e-mail address, which is the user name by our own rule. It doesn't fall back from one to the other: an e-mail address may
// have passed to another person, whose account must not be mistaken for this one.
func (c *Connector) FindAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	switch {
	case want.Key != "":
		return c.scim.FindUser(ctx, "externalId", want.Key)
	case want.UserName != "":
		return c.scim.FindUser(ctx, "userName", want.UserName)
	default:
		return c.scim.FindUser(ctx, "userName", want.Email)
	}
}

// ListAccounts gives every user of the directory, 100 a page, disabled ones too.
func (c *Connector) ListAccounts(ctx context.Context, page func([]connectors.Account) error) error {
	return c.scim.ListUsers(ctx, page)
}

// CreateAccount makes the user. Where a managed Atlassian account with this e-mail address exists, Atlassian links it. The
// e-mail's domain must be verified by the organization, else KindInvalid.
func (c *Connector) CreateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	return c.scim.CreateUser(ctx, want)
}

// UpdateAccount states the whole user by PUT; see the package comment.
func (c *Connector) UpdateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	return c.scim.ReplaceUser(ctx, want)
}

// DisableAccount sets active=false. A user that answers 404 was deleted, which deactivated it; that counts as disabled once
// the directory itself has answered, because a wrong directory id answers 404 for everybody.
func (c *Connector) DisableAccount(ctx context.Context, id string) error {
	err := c.scim.DeactivateUser(ctx, id)
	if connectors.KindOf(err) != connectors.KindNotFound {
		return err
	}
	if _, err := c.scim.Discover(ctx); err != nil {
		if connectors.KindOf(err) == connectors.KindNotFound {
			return c.out.Fail("deactivate user", connectors.KindProtocol, "the SCIM directory itself isn't found: is the directory id right?")
		}
		return err
	}
	return nil
}
