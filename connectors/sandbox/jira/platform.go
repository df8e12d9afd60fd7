package jira

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

func (s *Service) getUser(c *site.Call) {
	id := c.Query().Get("accountId")
	if id == "" {
		wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusNotFound, "", "The 'accountId' query parameter needs to be provided"))
		return
	}
	s.mu.RLock()
	p, ok := s.find(c, id)
	s.mu.RUnlock()
	if !ok {
		wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusNotFound, "", "Specified user does not exist or you do not have required permissions"))
		return
	}
	wire.WriteJSON(c.W, http.StatusOK, p.Platform(c.Base))
}

func (s *Service) getMyself(c *site.Call) {
	wire.WriteJSON(c.W, http.StatusOK, s.owner().Platform(c.Base))
}

// The bounds of user/search: the page, and "up to the thousandth user".
const (
	searchPage = 50
	searchMax  = 1000
)

// findUsers gives active people whose e-mail, or a word of whose name, begins with the query. Without a credential it finds nobody.
func (s *Service) findUsers(c *site.Call) {
	q := c.Query()
	w, no := readSearch(c)
	switch {
	case no != nil:
	case q.Get("property") != "":
		no = wire.Refuse(http.StatusBadRequest, "", "The 'property' parameter is not valid: no user properties are kept")
	case q.Get("query") != "" && q.Get("accountId") != "":
		no = wire.Refuse(http.StatusBadRequest, "", "The 'query' and 'accountId' parameters cannot be used together")
	case q.Get("query") == "" && q.Get("accountId") == "":
		no = wire.Refuse(http.StatusBadRequest, "", "The 'query', 'accountId' or 'property' parameter must be provided")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	found := []wire.PlatformUser{}
	if c.R.Header.Get("Authorization") != "" {
		for _, p := range wire.Cut(s.searchPeople(c, q.Get("query"), q.Get("accountId")), w) {
			found = append(found, p.Platform(c.Base))
		}
	}
	wire.WriteJSON(c.W, http.StatusOK, found)
}

func readSearch(c *site.Call) (wire.Window, *wire.Refusal) {
	w := wire.Window{Limit: searchPage}
	for _, v := range []struct {
		name string
		into *int
	}{{"startAt", &w.Start}, {"maxResults", &w.Limit}} {
		if text := c.Query().Get(v.name); text != "" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 0 {
				return w, wire.Refuse(http.StatusBadRequest, "", "The '"+v.name+"' parameter must be a non-negative integer")
			}
			*v.into = int(n)
		}
	}
	w.Limit = min(w.Limit, searchMax)
	return w, nil
}

// searchPeople looks among customers first, then among licensed people.
func (s *Service) searchPeople(c *site.Call, query, accountID string) []wire.Person {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if accountID != "" {
		if p, ok := s.find(c, accountID); ok && p.Active {
			return []wire.Person{p}
		}
		return nil
	}
	var people []wire.Person
	for _, id := range s.search.Search(query, searchMax, func(id string) bool {
		x := s.customers[id].At(c.AsOf)
		return x != nil && x.Active && x.beginsWith(query)
	}) {
		people = append(people, fromCustomer(s.customers[id].At(c.AsOf)))
	}
	for _, p := range s.licensed.ByPrefix(query, searchMax-len(people)) {
		people = append(people, wire.Person{Person: p})
	}
	return people
}

func (x *customer) beginsWith(prefix string) bool {
	return strings.HasPrefix(strings.ToLower(x.Email), strings.ToLower(prefix)) || site.HasWordPrefix(x.DisplayName, prefix)
}

// CustomerRow is a customer on the pages.
type CustomerRow struct {
	AccountID, Email, DisplayName string
	Active                        bool
	Organizations                 []string
}

// OrgRow is a customer organization on the pages.
type OrgRow struct {
	ID            int64
	Name          string
	Members       int
	OnServiceDesk bool
}

// Customers gives one page of the customers, those that match query if it isn't empty, and how many there are.
func (s *Service) Customers(query string, start, limit int) (rows []CustomerRow, total int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := s.order
	if query != "" {
		ids = s.search.Search(query, len(s.order), func(id string) bool { return s.customers[id].Current().beginsWith(query) })
	}
	for _, id := range wire.Cut(ids, wire.Window{Start: max(start, 0), Limit: limit}) {
		rows = append(rows, s.customerRow(s.customers[id].Current()))
	}
	return rows, len(ids)
}

func (s *Service) customerRow(x *customer) CustomerRow {
	r := CustomerRow{AccountID: x.AccountID, Email: x.Email, DisplayName: x.DisplayName, Active: x.Active}
	for _, id := range slices.Sorted(maps.Keys(s.memberOf[x.AccountID])) {
		r.Organizations = append(r.Organizations, s.orgs[id].Name)
	}
	return r
}

// Organizations gives one page of the customer organizations, those whose name holds query if it isn't empty.
func (s *Service) Organizations(query string, start, limit int) (rows []OrgRow, total int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := s.orgOrder
	if query != "" {
		ids = nil
		for _, id := range s.orgOrder {
			if strings.Contains(strings.ToLower(s.orgs[id].Name), strings.ToLower(query)) {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range wire.Cut(ids, wire.Window{Start: max(start, 0), Limit: limit}) {
		rows = append(rows, s.orgRow(s.orgs[id]))
	}
	return rows, len(ids)
}

func (s *Service) orgRow(o *organization) OrgRow {
	return OrgRow{o.ID, o.Name, o.members.Len(), s.deskOrgs.Has(strconv.FormatInt(o.ID, 10))}
}

// Members gives one page of an organization's members.
func (s *Service) Members(orgID int64, start, limit int) (o OrgRow, rows []CustomerRow, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	x := s.orgs[orgID]
	if x == nil {
		return OrgRow{}, nil, false
	}
	call := &site.Call{}
	for _, id := range wire.Cut(x.members.IDs(call.AsOf), wire.Window{Start: max(start, 0), Limit: limit}) {
		if p, found := s.find(call, id); found {
			rows = append(rows, CustomerRow{AccountID: id, Email: p.Email, DisplayName: p.DisplayName, Active: p.Active})
		}
	}
	return s.orgRow(x), rows, true
}
