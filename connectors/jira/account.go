package jira

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	gojira "github.com/andygrunwald/go-jira"

	"github.com/musubi-hub/musubi/connectors"
)

// person is a user as the platform and as JSM show one.
type person struct {
	AccountID   string `json:"accountId"`
	AccountType string `json:"accountType"` // platform only: "customer", "atlassian", "app"
	Email       string `json:"emailAddress"`
	DisplayName string `json:"displayName"`
	Active      *bool  `json:"active"`
}

const typeCustomer = "customer"

// account gives what the hub knows of a customer. The rest of connectors.Account stays empty: JSM doesn't have it, or (the
// time zone) doesn't let the hub set it.
func (p person) account() connectors.Account {
	return connectors.Account{
		ID: p.AccountID, Email: p.Email, DisplayName: p.DisplayName, Active: p.Active == nil || *p.Active,
	}
}

// FindAccount looks a customer up by e-mail address, compared without case. JSM carries no key of ours. The vendor's search
// shows active people alone, so a customer whose access was revoked is found only where want also has the ID. KindConflict:
// the address belongs to an Atlassian account, which no customer can be made for.
func (c *Connector) FindAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	const op = "find customer"
	address := want.Email
	if address == "" {
		address = want.UserName
	}
	if address == "" && want.ID != "" {
		return c.customer(ctx, op, want.ID, "")
	}
	if !mailAddress(address) {
		return connectors.Account{}, c.out.Fail(op, connectors.KindInvalid, "a customer is found by an e-mail address, and none is given")
	}
	found, err := c.search(ctx, op, address)
	if connectors.KindOf(err) == connectors.KindNotFound && want.ID != "" {
		return c.customer(ctx, op, want.ID, address)
	}
	return found, err
}

// customer reads a customer by id; with an address, only the one who has it.
func (c *Connector) customer(ctx context.Context, op, id, address string) (connectors.Account, error) {
	p, err := c.read(ctx, op, id)
	if err != nil {
		return connectors.Account{}, err
	}
	if p.AccountType != typeCustomer || address != "" && !strings.EqualFold(p.Email, address) {
		return connectors.Account{}, c.out.Fail(op, connectors.KindNotFound, "the account is no portal-only customer with this e-mail address")
	}
	return p.account(), nil
}

// search goes through the users whose e-mail address or name begins with address.
func (c *Connector) search(ctx context.Context, op, address string) (connectors.Account, error) {
	ctx = call(ctx, op, ClassGet, again)
	var found []person
	hidden := 0
	for start := 0; start < 1000; { // the vendor searches up to the thousandth user
		var page []person
		query := url.Values{"query": {address}, "startAt": {strconv.Itoa(start)}, "maxResults": {strconv.Itoa(pageLimit)}}
		if err := c.send(ctx, op, http.MethodGet, "rest/api/3/user/search", query, nil, &page); err != nil {
			return connectors.Account{}, err
		}
		for _, p := range page {
			switch {
			case p.AccountID == "":
				return connectors.Account{}, c.out.Fail(op, connectors.KindProtocol, "a user in the answer has no account id")
			case p.Email == "" && p.AccountType == typeCustomer:
				hidden++
			case strings.EqualFold(p.Email, address):
				found = append(found, p)
			}
		}
		if start += len(page); len(page) < pageLimit {
			break
		}
	}
	switch {
	case len(found) > 1:
		return connectors.Account{}, c.out.Fail(op, connectors.KindConflict, fmt.Sprintf("%d accounts have this e-mail address: resolve it at the vendor", len(found)))
	case len(found) == 1 && found[0].AccountType != typeCustomer:
		return connectors.Account{}, c.out.Fail(op, connectors.KindConflict, "the e-mail address belongs to an Atlassian account, not to a portal-only customer")
	case len(found) == 1:
		return found[0].account(), nil
	case hidden > 0:
		return connectors.Account{}, c.out.Fail(op, connectors.KindAuth,
			"customers were found, but the site hides their e-mail addresses from the hub's account: give it the right to see them")
	}
	return connectors.Account{}, c.out.Fail(op, connectors.KindNotFound, "no customer has this e-mail address")
}

// read reads one account by id.
func (c *Connector) read(ctx context.Context, op, id string) (person, error) {
	if err := c.accountID(op, id); err != nil {
		return person{}, err
	}
	var p person
	err := c.send(call(ctx, op, ClassGet, again), op, http.MethodGet, "rest/api/3/user", url.Values{"accountId": {id}}, nil, &p)
	if err == nil && p.AccountID != id {
		err = c.out.Fail(op, connectors.KindProtocol, "the answer is about another account than was asked for")
	}
	return p, err
}

// ListAccounts gives the customers of the service desk, 50 a page: those of its organizations and those added to it. The
// vendor marks this list as experimental and allows 5 requests a second; 50,000 customers take over three minutes.
func (c *Connector) ListAccounts(ctx context.Context, page func([]connectors.Account) error) error {
	const op = "list customers"
	ctx = call(ctx, op, ClassCustomers, again)
	read := func(start int) (paged[gojira.Customer], error) {
		list, _, err := c.client.ServiceDesk.ListCustomersWithContext(ctx, c.desk, &gojira.CustomerListOptions{Start: start, Limit: pageLimit})
		if err != nil {
			return paged[gojira.Customer]{}, c.failure(op, err)
		}
		return paged[gojira.Customer]{Start: list.Start, IsLastPage: list.IsLast, Values: list.Values}, nil
	}
	return pages(c, op, read, func(v gojira.Customer) string { return v.AccountID }, func(values []gojira.Customer) error {
		accounts := make([]connectors.Account, len(values))
		for i, v := range values {
			accounts[i] = person{AccountID: v.AccountID, Email: v.EmailAddress, DisplayName: v.DisplayName, Active: v.Active}.account()
		}
		return page(accounts)
	})
}

// CreateAccount makes a portal-only customer and asks the vendor to tell an existing address apart (409). JSM keeps the
// e-mail address and the display name, nothing else.
func (c *Connector) CreateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	const op = "create customer"
	switch {
	case !mailAddress(want.Email):
		return connectors.Account{}, c.out.Fail(op, connectors.KindInvalid, "a customer needs an e-mail address")
	case want.DisplayName == "" || len(want.DisplayName) > 1024:
		return connectors.Account{}, c.out.Fail(op, connectors.KindInvalid, "a customer needs a display name of at most 1024 octets")
	}
	body := map[string]string{"email": want.Email, "displayName": want.DisplayName}
	var p person
	err := c.send(call(ctx, op, ClassPost, once), op, http.MethodPost, "rest/servicedeskapi/customer",
		url.Values{"strictConflictStatusCode": {"true"}}, body, &p)
	switch {
	case err != nil:
		return connectors.Account{}, err
	case p.AccountID == "" || len(p.AccountID) > 128:
		return connectors.Account{}, c.out.Fail(op, connectors.KindProtocol, "the answer holds no account id")
	}
	if p.Email == "" {
		p.Email = want.Email // hidden by the site's privacy settings; it is what we sent
	}
	return p.account(), nil
}

// UpdateAccount compares the customer with want and carries out the one change that JSM's REST has calls for: access, both
// ways. A difference of name or address is KindInvalid with the code "unsupported", and says what differs.
func (c *Connector) UpdateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	const op = "update customer"
	p, err := c.read(ctx, op, want.ID)
	if err != nil {
		return connectors.Account{}, err
	}
	have := p.account()
	var differs []string
	if p.AccountType != typeCustomer {
		differs = append(differs, "the account is no portal-only customer")
	}
	if want.DisplayName != "" && want.DisplayName != have.DisplayName {
		differs = append(differs, "the display name")
	}
	if want.Email != "" && have.Email != "" && !strings.EqualFold(want.Email, have.Email) {
		differs = append(differs, "the e-mail address")
	}
	if len(differs) > 0 {
		return connectors.Account{}, c.unsupported(op, strings.Join(differs, ", "))
	}
	// What was just read may be as old as Limits.Staleness. Access is taken away whatever it says, and given back also where it
	// doesn't show yet that this process took it away.
	switch {
	case !want.Active:
		have.Active = false
		if err := c.DisableAccount(ctx, want.ID); err != nil {
			return connectors.Account{}, err
		}
	case !have.Active || c.revoked.lately(want.ID, c.out.Now(), c.description.Limits.Staleness):
		return c.restore(ctx, op, want.ID)
	}
	return have, nil
}

func (c *Connector) unsupported(op, what string) error {
	f := c.out.Fail(op, connectors.KindInvalid, "Jira Service Management has no call to change this; an administrator of the site must: "+what)
	f.Code = "unsupported"
	return f
}

// restore gives access back by adding the customer to the service desk. The vendor doesn't document that this undoes a
// revocation, so the account is read again and believed.
func (c *Connector) restore(ctx context.Context, op, id string) (connectors.Account, error) {
	resp, err := c.client.ServiceDesk.AddCustomersWithContext(call(ctx, op, ClassPost, again), c.desk, id)
	if err != nil {
		return connectors.Account{}, c.failure(op, err)
	}
	if err := resp.Body.Close(); err != nil {
		return connectors.Account{}, c.failure(op, err)
	}
	p, err := c.read(ctx, op, id)
	switch {
	case err != nil:
		return connectors.Account{}, err
	case p.Active != nil && !*p.Active:
		return connectors.Account{}, c.unsupported(op, "portal-only access was revoked and adding the customer to the service desk didn't give it back")
	}
	return p.account(), nil
}

// DisableAccount revokes portal-only access. The caller takes the customer out of the organizations first. A refusal counts as
// disabled where the account turns out to be inactive, or gone from a site that does answer for the service desk.
func (c *Connector) DisableAccount(ctx context.Context, id string) error {
	const op = "revoke portal-only access"
	if err := c.accountID(op, id); err != nil {
		return err
	}
	path := "rest/servicedeskapi/customer/user/" + url.PathEscape(id) + "/revoke-portal-only-access"
	err := c.send(call(ctx, op, ClassPut, again), op, http.MethodPut, path, nil, nil, nil)
	c.revoked.add(id, c.out.Now()) // also where it failed: it may have been carried out
	if kind := connectors.KindOf(err); kind != connectors.KindNotFound && kind != connectors.KindInvalid {
		return err
	}
	p, readErr := c.read(ctx, op, id)
	switch {
	case readErr == nil && p.Active != nil && !*p.Active:
		return nil
	case readErr == nil:
		return err
	case connectors.KindOf(readErr) != connectors.KindNotFound:
		return readErr
	}
	return c.deskAnswers(ctx, op)
}

// deskAnswers makes sure that the base URL leads to the right site: a wrong one answers 404 for every account.
func (c *Connector) deskAnswers(ctx context.Context, op string) error {
	err := c.send(call(ctx, op, ClassGet, again), op, http.MethodGet, "rest/servicedeskapi/servicedesk/"+c.desk, nil, nil, nil)
	if connectors.KindOf(err) == connectors.KindNotFound {
		return c.out.Fail(op, connectors.KindProtocol, "the service desk itself isn't found: are the base URL and its number right?")
	}
	return err
}
