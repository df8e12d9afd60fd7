package slack

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/nameindex"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// Connector is a workspace whose members, guests and groups are provisioned by SCIM. It is safe for concurrent use.
type Connector struct {
	*Workspace
	scim    *scimclient.Client
	scimOut *outbound.Client
	users   *nameindex.Index
	groups  *nameindex.Index
}

var (
	_ connectors.AccountReader = (*Connector)(nil)
	_ connectors.AccountWriter = (*Connector)(nil)
	_ connectors.GroupReader   = (*Connector)(nil)
	_ connectors.GroupWriter   = (*Connector)(nil)
	_ connectors.GuestWriter   = (*Connector)(nil)
)

// userName derives the user name of a key: 21 characters, which is all that Slack allows, of its smallest alphabet. 100 bits of
// SHA-256 make two keys of one name as good as impossible, and a name tells nothing of the person.
func userName(key string) string {
	sum := sha256.Sum256([]byte("musubi slack user name\x00" + key))
	return "m" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:20])
}

// The index holds user names and e-mail addresses side by side.
func byName(name string) string  { return "n:" + name }
func byEmail(mail string) string { return "e:" + strings.ToLower(mail) }

// FindAccount looks for the account whose user name is derived from want.Key; only where there is no key, for the e-mail address.
// Slack has no filter: the list of all users is read at most once in Config.Trust, and every hit is read again before it is
// believed. KindConflict: an account that the hub didn't make has this e-mail address, so that none can be made.
func (c *Connector) FindAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	const op = "find user"
	if want.Key == "" {
		if want.Email == "" {
			return connectors.Account{}, c.invalid(op, "neither a key nor an e-mail address is given")
		}
		a, err := c.findUser(ctx, byEmail(want.Email), func(a connectors.Account) bool { return strings.EqualFold(a.Email, want.Email) })
		return a, c.named(op, err)
	}
	name := userName(want.Key)
	a, err := c.findUser(ctx, byName(name), func(a connectors.Account) bool { return strings.EqualFold(a.UserName, name) })
	switch {
	case err == nil && a.Key != "" && a.Key != want.Key:
		return connectors.Account{}, c.out.Fail(op, connectors.KindConflict, "the user with this name carries another key")
	case err == nil:
		a.Key = want.Key // Slack may keep externalId to itself
		return a, nil
	case connectors.KindOf(err) != connectors.KindNotFound || want.Email == "":
		return connectors.Account{}, c.named(op, err)
	}
	_, taken := c.findUser(ctx, byEmail(want.Email), func(a connectors.Account) bool { return strings.EqualFold(a.Email, want.Email) })
	switch {
	case taken == nil:
		return connectors.Account{}, c.out.Fail(op, connectors.KindConflict, "a user that the hub didn't make has this e-mail address: change it at Slack, or the address here")
	case connectors.KindOf(taken) != connectors.KindNotFound:
		return connectors.Account{}, c.named(op, taken)
	}
	return connectors.Account{}, c.named(op, err)
}

// findUser looks name up and reads who has it. A remembered id is tried first; it is dropped where the user has another name now.
func (c *Connector) findUser(ctx context.Context, name string, is func(connectors.Account) bool) (connectors.Account, error) {
	read := func(ids []string) (connectors.Account, error) {
		for _, id := range ids {
			a, err := c.scim.User(ctx, id)
			switch {
			case err == nil && is(a):
				return a, nil
			case err != nil && connectors.KindOf(err) != connectors.KindNotFound:
				return connectors.Account{}, err
			}
			c.users.Drop(name, id)
		}
		return connectors.Account{}, nil
	}
	if a, err := read(c.users.Hint(name)); err != nil || a.ID != "" {
		return a, err
	}
	ids, err := c.users.Lookup(ctx, name, func(found func(name, id string)) error {
		return c.scim.ListUsers(ctx, func(page []connectors.Account) error {
			for _, a := range page {
				found(byName(strings.ToLower(a.UserName)), a.ID)
				if a.Email != "" {
					found(byEmail(a.Email), a.ID)
				}
			}
			return nil
		})
	})
	if err != nil {
		return connectors.Account{}, c.waited(ctx, "find user", err)
	}
	a, err := read(ids)
	if err == nil && a.ID == "" {
		err = c.out.Fail("find user", connectors.KindNotFound, "there is no such user")
	}
	return a, err
}

// waited names the error of a caller who gave up while another caller's list was awaited.
func (c *Connector) waited(ctx context.Context, op string, err error) error {
	if connectors.KindOf(err) == connectors.KindUnknown && ctx.Err() != nil {
		return c.out.Fail(op, connectors.KindCanceled, "the caller gave up while the list was read")
	}
	return err
}

// named gives an error the operation that the caller asked for.
func (c *Connector) named(op string, err error) error {
	if e, ok := err.(*connectors.Error); ok { //nolint:errorlint // made by scimclient or outbound, never wrapped
		e.Op = op
	}
	return err
}

// ListAccounts gives every user, disabled ones and guests too, 1,000 a page.
func (c *Connector) ListAccounts(ctx context.Context, page func([]connectors.Account) error) error {
	return c.scim.ListUsers(ctx, page)
}

// CreateAccount makes a full member. The user name is derived from want.Key; want.UserName isn't used.
func (c *Connector) CreateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	return c.create(want, func(want connectors.Account) (connectors.Account, error) { return c.scim.CreateUser(ctx, want) })
}

func (c *Connector) create(want connectors.Account, send func(connectors.Account) (connectors.Account, error)) (connectors.Account, error) {
	const op = "create user"
	switch {
	case want.Key == "":
		return connectors.Account{}, c.invalid(op, "no key is given: the user name is derived from it")
	case want.Email == "":
		return connectors.Account{}, c.invalid(op, "no e-mail address is given: Slack needs one")
	}
	key := want.Key
	want.UserName = userName(key)
	a, err := send(want)
	switch kind := connectors.KindOf(err); {
	case err == nil:
		c.users.Add(byName(want.UserName), a.ID)
		c.users.Add(byEmail(want.Email), a.ID)
		a.Key = key
	case kind != connectors.KindThrottled && kind != connectors.KindCanceled: // it may be there, or somebody else made it
		c.users.Forget()
	}
	return a, err
}

// UpdateAccount reads the user, makes sure that it is want's, and patches what differs; see the package comment. The user name isn't
// changed. With Active it brings a disabled account back.
func (c *Connector) UpdateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	const op = "update user"
	have, err := c.scim.User(ctx, want.ID)
	if err != nil {
		return connectors.Account{}, c.named(op, err)
	}
	if want.Key != "" && (!strings.EqualFold(have.UserName, userName(want.Key)) || have.Key != "" && have.Key != want.Key) {
		f := c.out.Fail(op, connectors.KindInvalid, "this user is somebody else's: its user name isn't derived from this key")
		f.Code = "mutability"
		return connectors.Account{}, f
	}
	a, err := c.scim.AmendUser(ctx, have, want)
	if err != nil {
		return connectors.Account{}, err
	}
	if !strings.EqualFold(a.Email, have.Email) {
		c.users.Drop(byEmail(have.Email), a.ID)
		c.users.Add(byEmail(a.Email), a.ID)
	}
	a.Key = want.Key
	return a, nil
}

// DisableAccount sets active=false. A user that answers 404 isn't there, which counts as disabled once the service itself has
// answered.
func (c *Connector) DisableAccount(ctx context.Context, id string) error {
	const op = "deactivate user"
	err := c.scim.DeactivateUser(ctx, id)
	if connectors.KindOf(err) != connectors.KindNotFound {
		return err
	}
	if _, err := c.scim.Discover(ctx); err != nil {
		if connectors.KindOf(err) == connectors.KindNotFound {
			return c.out.Fail(op, connectors.KindProtocol, "Slack's SCIM service itself isn't found: is the base URL right?")
		}
		return c.named(op, err)
	}
	return nil
}
