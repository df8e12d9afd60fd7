package jira

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	gojira "github.com/andygrunwald/go-jira"

	"github.com/musubi-hub/musubi/connectors"
)

type organization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// FindGroup looks a customer organization up by its name, to the letter. JSM can't be asked by name: the list is paged
// through (36 requests for 1,800 organizations) and its result trusted for Limits.Staleness; within that time a look-up costs
// nothing, and an answer that this process lost ends the trust at once.
func (c *Connector) FindGroup(ctx context.Context, name string) (connectors.Group, error) {
	const op = "find organization"
	if err := c.groupName(op, name); err != nil {
		return connectors.Group{}, err
	}
	ids, err := c.orgs.lookup(ctx, name, func(found func(organization)) error {
		return c.organizations(ctx, op, func(page []organization) error {
			for _, o := range page {
				found(o)
			}
			return nil
		})
	})
	switch {
	case err != nil && connectors.KindOf(err) == connectors.KindUnknown: // ctx ended while another caller listed
		return connectors.Group{}, c.out.Fail(op, connectors.KindCanceled, "the caller gave up before the request was sent")
	case err != nil:
		return connectors.Group{}, err
	case len(ids) == 0:
		return connectors.Group{}, c.out.Fail(op, connectors.KindNotFound, "no organization has this name")
	case len(ids) > 1:
		return connectors.Group{}, c.out.Fail(op, connectors.KindConflict, fmt.Sprintf("organizations %s have the same name: resolve it at the vendor", strings.Join(ids, ", ")))
	}
	return connectors.Group{ID: ids[0], Name: name}, nil
}

// ListGroups gives every customer organization of the site, 50 a page.
func (c *Connector) ListGroups(ctx context.Context, page func([]connectors.Group) error) error {
	return c.organizations(ctx, "list organizations", func(values []organization) error {
		groups := make([]connectors.Group, len(values))
		for i, o := range values {
			groups[i] = connectors.Group(o)
		}
		return page(groups)
	})
}

func (c *Connector) organizations(ctx context.Context, op string, each func([]organization) error) error {
	read := listed[organization](call(ctx, op, ClassGet, again), c, op, "rest/servicedeskapi/organization")
	return pages(c, op, read, func(o organization) string { return o.ID }, each)
}

// ListMembers gives the account ids of an organization's members, 50 a page.
func (c *Connector) ListMembers(ctx context.Context, groupID string, page func([]string) error) error {
	const op = "list members"
	if _, err := c.groupID(op, groupID); err != nil {
		return err
	}
	read := listed[person](call(ctx, op, ClassGet, again), c, op, "rest/servicedeskapi/organization/"+groupID+"/user")
	return pages(c, op, read, func(p person) string { return p.AccountID }, func(values []person) error {
		ids := make([]string, len(values))
		for i, p := range values {
			ids[i] = p.AccountID
		}
		return page(ids)
	})
}

// CreateGroup makes the customer organization unless one of this name is there, and associates it with the service desk. It
// may be repeated: a second call gives the same organization.
func (c *Connector) CreateGroup(ctx context.Context, want connectors.Group) (connectors.Group, error) {
	const op = "create organization"
	if err := c.groupName(op, want.Name); err != nil {
		return connectors.Group{}, err
	}
	release, err := c.orgs.claim(ctx, want.Name)
	if err != nil {
		return connectors.Group{}, c.out.Fail(op, connectors.KindCanceled, "the caller gave up before the request was sent")
	}
	defer release()
	made, err := c.FindGroup(ctx, want.Name)
	if connectors.KindOf(err) == connectors.KindNotFound {
		made, err = c.post(ctx, op, want.Name)
	}
	if err != nil {
		return connectors.Group{}, err
	}
	return made, c.associate(ctx, made.ID)
}

// post makes the organization at the vendor. Unless the vendor surely did nothing, what the index knows is void.
func (c *Connector) post(ctx context.Context, op, name string) (connectors.Group, error) {
	made, _, err := c.client.Organization.CreateOrganizationWithContext(call(ctx, op, ClassPost, once), name)
	if err != nil {
		err = c.failure(op, err)
		switch connectors.KindOf(err) {
		case connectors.KindCanceled, connectors.KindThrottled, connectors.KindAuth:
		default:
			c.orgs.forget()
		}
		return connectors.Group{}, err
	}
	if _, err := c.groupID(op, made.ID); err != nil || made.Name != name {
		c.orgs.forget()
		return connectors.Group{}, c.out.Fail(op, connectors.KindProtocol, "the answer isn't the organization that was to be made")
	}
	c.orgs.add(organization{ID: made.ID, Name: made.Name})
	return connectors.Group{ID: made.ID, Name: made.Name}, nil
}

// associate puts the organization on the service desk. The vendor documents that repeating it changes nothing.
func (c *Connector) associate(ctx context.Context, groupID string) error {
	const op = "associate organization"
	number, err := c.groupID(op, groupID)
	if err != nil {
		return err
	}
	resp, err := c.client.ServiceDesk.AddOrganizationWithContext(call(ctx, op, ClassPost, again), c.desk, number)
	if err != nil {
		return c.failure(op, err)
	}
	return resp.Body.Close()
}

// AddMembers adds customers to an organization. Membership is a set: those who are in stay in.
func (c *Connector) AddMembers(ctx context.Context, groupID string, accountIDs []string) error {
	const op = "add members"
	number, users, err := c.members(op, groupID, accountIDs)
	if err != nil || len(users.AccountIds) == 0 {
		return err
	}
	resp, err := c.client.Organization.AddUsersWithContext(call(ctx, op, ClassPost, again), number, users)
	if err != nil {
		return c.failure(op, err)
	}
	return resp.Body.Close()
}

// RemoveMembers removes exactly the customers named. go-jira's RemoveUsers sends no body, so the request is made here.
func (c *Connector) RemoveMembers(ctx context.Context, groupID string, accountIDs []string) error {
	const op = "remove members"
	_, users, err := c.members(op, groupID, accountIDs)
	if err != nil || len(users.AccountIds) == 0 {
		return err
	}
	return c.send(call(ctx, op, ClassDelete, again), op, http.MethodDelete, "rest/servicedeskapi/organization/"+groupID+"/user", nil, users, nil)
}

func (c *Connector) members(op, groupID string, ids []string) (int, gojira.OrganizationUsersDTO, error) {
	var users gojira.OrganizationUsersDTO
	number, err := c.groupID(op, groupID)
	if err != nil {
		return 0, users, err
	}
	if len(ids) > memberBatch {
		return 0, users, c.out.Fail(op, connectors.KindInvalid, fmt.Sprintf("%d members are more than the %d that one call takes", len(ids), memberBatch))
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if err := c.accountID(op, id); err != nil {
			return 0, users, err
		}
		if !seen[id] {
			seen[id] = true
			users.AccountIds = append(users.AccountIds, id)
		}
	}
	return number, users, nil
}

func (c *Connector) groupID(op, id string) (int, error) {
	number, err := strconv.Atoi(id)
	if err != nil || !numberPattern.MatchString(id) {
		return 0, c.out.Fail(op, connectors.KindInvalid, "an organization's id is a number")
	}
	return number, nil
}

// groupName keeps to the vendor's 1 to 200 characters. Blanks at the ends are refused because the vendor may trim them, and
// the organization would then never be found again.
func (c *Connector) groupName(op, name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 200 || strings.TrimSpace(name) != name {
		return c.out.Fail(op, connectors.KindInvalid, "an organization's name has 1 to 200 characters and no blanks at its ends")
	}
	return nil
}
