package scimclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
)

// CreateUser makes a user. It is sent once: after KindAmbiguous the caller looks the user up.
func (c *Client) CreateUser(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	return c.createUser(ctx, want, c.dialect.encode(want, false))
}

// CreateUserWith makes a user who also has the extension of the given schema (RFC 7643, 3.3).
func (c *Client) CreateUserWith(ctx context.Context, want connectors.Account, schema string, extension any) (connectors.Account, error) {
	plain := c.dialect.encode(want, false)
	plain.Schemas = append(plain.Schemas, schema)
	encoded, err := json.Marshal(plain)
	var body map[string]any
	if err == nil {
		err = json.Unmarshal(encoded, &body)
	}
	if err != nil {
		return connectors.Account{}, c.out.Fail("create user", connectors.KindInvalid, "the user can't be encoded as JSON")
	}
	body[schema] = extension
	return c.createUser(ctx, want, body)
}

func (c *Client) createUser(ctx context.Context, want connectors.Account, body any) (connectors.Account, error) {
	const op = "create user"
	if err := c.checkWanted(op, want); err != nil {
		return connectors.Account{}, err
	}
	var raw json.RawMessage
	err := c.do(ctx, request{op: op, method: http.MethodPost, path: "Users", body: body, into: &raw, once: true})
	if err != nil {
		return connectors.Account{}, err
	}
	return c.readUser(op, raw)
}

// User reads the user with id.
func (c *Client) User(ctx context.Context, id string) (connectors.Account, error) {
	a, _, err := c.rawUser(ctx, "read user", id)
	return a, err
}

// UserExtension reads the user's extension of the given schema into v; found is false where the user has none.
func (c *Client) UserExtension(ctx context.Context, id, schema string, v any) (found bool, err error) {
	const op = "read user"
	_, raw, err := c.rawUser(ctx, op, id)
	if err != nil {
		return false, err
	}
	var top map[string]json.RawMessage
	_ = json.Unmarshal(raw, &top) // it was read as a user already
	extension := attribute(top, schema)
	if len(extension) == 0 || string(extension) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(extension, v); err != nil {
		return false, c.out.Fail(op, connectors.KindProtocol, "an extension of the user can't be read: "+err.Error())
	}
	return true, nil
}

func (c *Client) rawUser(ctx context.Context, op, id string) (connectors.Account, json.RawMessage, error) {
	path, err := c.path(op, "Users", id)
	if err != nil {
		return connectors.Account{}, nil, err
	}
	var raw json.RawMessage
	if err := c.do(ctx, request{op: op, method: http.MethodGet, path: path, into: &raw}); err != nil {
		return connectors.Account{}, nil, err
	}
	a, err := c.readUser(op, raw)
	return a, raw, err
}

// FindUser looks a user up by an attribute, "externalId" or "userName", with a filter where the server has it, else through
// the whole list. What a server returns is compared with what was asked for: externalId to the letter, userName without case.
func (c *Client) FindUser(ctx context.Context, attribute, value string) (connectors.Account, error) {
	const op = "find user"
	if value == "" || (attribute != "externalId" && attribute != "userName") {
		return connectors.Account{}, c.out.Fail(op, connectors.KindInvalid, "neither a key nor a user name is given")
	}
	query := url.Values{}
	filtered := c.dialect.filters(attribute)
	if filtered {
		query.Set("filter", eq(attribute, value))
	}
	var found []connectors.Account
	err := c.list(ctx, op, "Users", query, 0, func(page []json.RawMessage) error {
		for _, raw := range page {
			a, err := c.readUser(op, raw)
			if err != nil {
				return err
			}
			got := a.Key
			if attribute == "userName" {
				got = a.UserName
			}
			switch {
			case got == value, attribute == "userName" && strings.EqualFold(got, value):
				found = append(found, a)
			case filtered && !strings.EqualFold(got, value): // a filter may ignore case
				return c.out.Fail(op, connectors.KindProtocol, "the server returns users that the filter on "+attribute+" doesn't match")
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return connectors.Account{}, err
	case len(found) == 0:
		return connectors.Account{}, c.out.Fail(op, connectors.KindNotFound, "no user has this "+attribute)
	case len(found) > 1:
		return connectors.Account{}, c.out.Fail(op, connectors.KindConflict, fmt.Sprintf("%d users have this %s: resolve it at the vendor", len(found), attribute))
	}
	return found[0], nil
}

// ListUsers gives every user, page by page, to page.
func (c *Client) ListUsers(ctx context.Context, page func([]connectors.Account) error) error {
	const op = "list users"
	return c.list(ctx, op, "Users", nil, 0, func(raws []json.RawMessage) error {
		accounts := make([]connectors.Account, 0, len(raws))
		for _, raw := range raws {
			a, err := c.readUser(op, raw)
			if err != nil {
				return err
			}
			accounts = append(accounts, a)
		}
		return page(accounts)
	})
}

// ReplaceUser brings the user with want.ID to want by PUT: one idempotent request that states everything, so that an
// attribute that want doesn't have is cleared. KindInvalid with the code "mutability": the server made the update but kept
// another externalId, so the user is somebody else's.
func (c *Client) ReplaceUser(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	const op = "update user"
	if err := c.checkWanted(op, want); err != nil {
		return connectors.Account{}, err
	}
	path, err := c.path(op, "Users", want.ID)
	if err != nil {
		return connectors.Account{}, err
	}
	body := c.dialect.encode(want, true)
	body.ID = want.ID
	var raw json.RawMessage
	if err := c.do(ctx, request{op: op, method: http.MethodPut, path: path, body: body, into: &raw}); err != nil {
		return connectors.Account{}, err
	}
	got, err := c.readUser(op, raw)
	if err == nil && want.Key != "" && got.Key != want.Key {
		f := c.out.Fail(op, connectors.KindInvalid, "the server keeps another externalId for this user and doesn't let it be changed")
		f.Code = "mutability"
		return connectors.Account{}, f
	}
	return got, err
}

// Operation is one step of a PATCH (RFC 7644, 3.5.2).
type Operation struct {
	Op    string `json:"op"` // "add", "replace", "remove"
	Path  string `json:"path,omitempty"`
	Value any    `json:"value,omitempty"`
}

type patch struct {
	Schemas    []string    `json:"schemas"`
	Operations []Operation `json:"Operations"`
}

// PatchUser applies operations to the user with id. They must be idempotent: the request may be sent more than once.
func (c *Client) PatchUser(ctx context.Context, id string, operations ...Operation) error {
	const op = "patch user"
	path, err := c.path(op, "Users", id)
	if err != nil {
		return err
	}
	if !c.dialect.UserPatch {
		return c.out.Fail(op, connectors.KindInvalid, "this server has no PATCH for users")
	}
	return c.do(ctx, request{op: op, method: http.MethodPatch, path: path, body: patch{[]string{schemaPatch}, operations}})
}

// DeactivateUser ends the access of the user with id in the dialect's way. KindNotFound: there is no such user; the caller
// must make sure that it isn't the service as a whole that is missing (Discover) before taking it as gone.
func (c *Client) DeactivateUser(ctx context.Context, id string) error {
	const op = "deactivate user"
	var err error
	switch c.dialect.Deactivate {
	case DeactivateByDelete:
		var path string
		if path, err = c.path(op, "Users", id); err == nil {
			err = c.do(ctx, request{op: op, method: http.MethodDelete, path: path})
		}
	case DeactivateByPut:
		var a connectors.Account
		if a, err = c.User(ctx, id); err == nil && a.Active {
			a.Active = false
			_, err = c.ReplaceUser(ctx, a)
		}
	default:
		err = c.PatchUser(ctx, id, Operation{Op: "replace", Path: "active", Value: false})
	}
	var e *connectors.Error
	if errors.As(err, &e) {
		e.Op = op
	}
	return err
}

// checkWanted refuses what every server would refuse, before it costs quota.
func (c *Client) checkWanted(op string, want connectors.Account) error {
	if want.UserName == "" && want.Email == "" {
		return c.out.Fail(op, connectors.KindInvalid, "the account has neither a user name nor an e-mail address")
	}
	for _, f := range []struct{ name, value string }{
		{"key", want.Key},
		{"user name", want.UserName},
		{"e-mail address", want.Email},
		{"display name", want.DisplayName},
		{"family name", want.FamilyName},
		{"given name", want.GivenName},
		{"title", want.Title},
		{"organization", want.Organization},
		{"department", want.Department},
	} {
		if len(f.value) > 1024 {
			return c.out.Fail(op, connectors.KindInvalid, "the "+f.name+" is longer than 1024 octets")
		}
	}
	return nil
}

// readUser decodes one user and checks what the hub relies on.
func (c *Client) readUser(op string, raw json.RawMessage) (connectors.Account, error) {
	var u user
	if err := json.Unmarshal(raw, &u); err != nil {
		return connectors.Account{}, c.out.Fail(op, connectors.KindProtocol, "a user in the answer can't be read: "+err.Error())
	}
	if u.ID == "" || len(u.ID) > 512 || !slices.ContainsFunc(u.Schemas, func(s string) bool { return strings.EqualFold(s, schemaUser) }) {
		return connectors.Account{}, c.out.Fail(op, connectors.KindProtocol, "the answer holds no SCIM user with an id")
	}
	return c.dialect.decode(raw, u), nil
}
