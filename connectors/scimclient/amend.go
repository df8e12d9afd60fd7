package scimclient

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/musubi-hub/musubi/connectors"
)

// AmendUser brings the user whom have describes, as just read, to want by a PATCH of what differs. What the hub doesn't own, a
// photograph or a second address, stays as the person left it, which PUT would clear. have may be older than the last write, so
// "active" is sent in any case, and what the answer shows to differ still is sent once more. User name and key are left alone. It is
// idempotent.
func (c *Client) AmendUser(ctx context.Context, have, want connectors.Account) (connectors.Account, error) {
	const op = "update user"
	if err := c.checkWanted(op, want); err != nil {
		return connectors.Account{}, err
	}
	if !c.dialect.UserPatch {
		return connectors.Account{}, c.out.Fail(op, connectors.KindInvalid, "this server has no PATCH for users")
	}
	operations := c.dialect.difference(have, want)
	if have.Active == want.Active {
		operations = append(operations, Operation{Op: "replace", Path: "active", Value: want.Active})
	}
	got, err := c.amend(ctx, op, have.ID, operations)
	if err != nil {
		return connectors.Account{}, err
	}
	if rest := c.dialect.difference(got, want); len(rest) > 0 {
		return c.amend(ctx, op, have.ID, rest)
	}
	return got, nil
}

// amend sends the operations and gives the user as the server shows it then.
func (c *Client) amend(ctx context.Context, op, id string, operations []Operation) (connectors.Account, error) {
	path, err := c.path(op, "Users", id)
	if err != nil {
		return connectors.Account{}, err
	}
	var raw json.RawMessage
	body := patch{[]string{schemaPatch}, operations}
	if err := c.do(ctx, request{op: op, method: http.MethodPatch, path: path, body: body, into: &raw}); err != nil {
		return connectors.Account{}, err
	}
	if len(raw) == 0 { // 204: the server shows nothing
		a, _, err := c.rawUser(ctx, op, id)
		return a, err
	}
	return c.readUser(op, raw)
}

// difference gives the operations that lead from have to want. An attribute that became empty is removed.
func (d Dialect) difference(have, want connectors.Account) []Operation {
	var operations []Operation
	set := func(path, from, to string) {
		switch {
		case from == to:
		case to == "":
			operations = append(operations, Operation{Op: "remove", Path: path})
		default:
			operations = append(operations, Operation{Op: "replace", Path: path, Value: to})
		}
	}
	set("displayName", have.DisplayName, want.DisplayName)
	if have.FamilyName != want.FamilyName || have.GivenName != want.GivenName {
		operations = append(operations, Operation{Op: "replace", Path: "name", Value: map[string]string{"familyName": want.FamilyName, "givenName": want.GivenName}})
	}
	set("title", have.Title, want.Title)
	set("preferredLanguage", have.Language, want.Language)
	set("timezone", have.TimeZone, want.TimeZone)
	set(schemaEnterprise+":organization", have.Organization, want.Organization)
	set(schemaEnterprise+":department", have.Department, want.Department)
	if want.Email != "" && have.Email != want.Email {
		operations = append(operations, Operation{Op: "replace", Path: "emails", Value: []email{{Value: want.Email, Type: "work", Primary: true}}})
	}
	if have.Active != want.Active {
		operations = append(operations, Operation{Op: "replace", Path: "active", Value: want.Active})
	}
	return operations
}
