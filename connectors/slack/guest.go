package slack

import (
	"context"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// schemaGuest is Slack's extension of users who reach only the channels that they are invited to.
const schemaGuest = "urn:ietf:params:scim:schemas:extension:slack:guest:2.0:User"

type guest struct {
	Type       string `json:"type"` // "multi": a guest of several channels, the only type that SCIM can make
	Expiration string `json:"expiration,omitempty"`
}

// CreateGuest makes a multi-channel guest until expires, to the second.
func (c *Connector) CreateGuest(ctx context.Context, want connectors.Account, expires time.Time) (connectors.Account, error) {
	return c.create(want, func(want connectors.Account) (connectors.Account, error) {
		return c.scim.CreateUserWith(ctx, want, schemaGuest, guest{Type: "multi", Expiration: expiration(expires)})
	})
}

// SetGuestExpiry moves the end of a guest's access, to the second. Only a guest is touched: writing the extension to a full member
// would make a guest of him.
func (c *Connector) SetGuestExpiry(ctx context.Context, accountID string, expires time.Time) error {
	const op = "set guest expiry"
	have, err := c.ReadGuest(ctx, accountID)
	if err != nil {
		return c.named(op, err)
	}
	if !have.Guest {
		return c.invalid(op, "this user is a full member, not a guest")
	}
	operation := scimclient.Operation{Op: "replace", Path: schemaGuest, Value: guest{Type: "multi", Expiration: expiration(expires)}}
	switch {
	case expires.IsZero() && have.Expires.IsZero():
		return nil
	case expires.IsZero():
		operation = scimclient.Operation{Op: "remove", Path: schemaGuest + ":expiration"}
	}
	return c.named(op, c.scim.PatchUser(ctx, accountID, operation))
}

// SetGuest writes the extension, or takes it away, without looking first: a read may be older than the last write.
func (c *Connector) SetGuest(ctx context.Context, accountID string, want connectors.Guest) error {
	operations := []scimclient.Operation{{Op: "remove", Path: schemaGuest}}
	if want.Guest {
		operations = append(operations, scimclient.Operation{Op: "replace", Path: schemaGuest, Value: guest{Type: "multi", Expiration: expiration(want.Expires)}})
	}
	return c.named("set guest", c.scim.PatchUser(ctx, accountID, operations...))
}

// ReadGuest tells whether the account is a guest.
func (c *Connector) ReadGuest(ctx context.Context, accountID string) (connectors.Guest, error) {
	const op = "read guest"
	var g guest
	found, err := c.scim.UserExtension(ctx, accountID, schemaGuest, &g)
	switch {
	case err != nil:
		return connectors.Guest{}, c.named(op, err)
	case !found || g.Type == "":
		return connectors.Guest{}, nil
	case g.Expiration == "":
		return connectors.Guest{Guest: true}, nil
	}
	at, err := time.Parse(time.RFC3339, g.Expiration)
	if err != nil {
		return connectors.Guest{}, c.out.Fail(op, connectors.KindProtocol, "the guest's expiration isn't a time")
	}
	return connectors.Guest{Guest: true, Expires: at.UTC()}, nil
}

func expiration(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}
