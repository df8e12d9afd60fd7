package jira

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

func (s *Service) getUser(c *site.Call) {
	id := c.Query().Get("accountId")
	if id == "" {
		writeRefusal(c.W, c.R, refuse(http.StatusNotFound, "", "The 'accountId' query parameter needs to be provided"))
		return
	}
	s.mu.RLock()
	p, ok := s.find(c, id)
	s.mu.RUnlock()
	if !ok {
		writeRefusal(c.W, c.R, refuse(http.StatusNotFound, "", "Specified user does not exist or you do not have required permissions"))
		return
	}
	writeJSON(c.W, http.StatusOK, p.platform(c.Base))
}

func (s *Service) getMyself(c *site.Call) {
	p := person{Person: site.Person{
		AccountID: "712020:" + site.DeriveUUID(s.seed, Name, "administrator"), Email: s.opt.Email, DisplayName: "Musubi sandbox administrator",
		TimeZone: timeZone, Active: true,
	}}
	writeJSON(c.W, http.StatusOK, p.platform(c.Base))
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
		no = refuse(http.StatusBadRequest, "", "The 'property' parameter is not valid: no user properties are kept")
	case q.Get("query") != "" && q.Get("accountId") != "":
		no = refuse(http.StatusBadRequest, "", "The 'query' and 'accountId' parameters cannot be used together")
	case q.Get("query") == "" && q.Get("accountId") == "":
		no = refuse(http.StatusBadRequest, "", "The 'query', 'accountId' or 'property' parameter must be provided")
	}
	if no != nil {
		writeRefusal(c.W, c.R, no)
		return
	}
	found := []platformUser{}
	if c.R.Header.Get("Authorization") != "" {
		for _, p := range cut(s.searchPeople(c, q.Get("query"), q.Get("accountId")), w) {
			found = append(found, p.platform(c.Base))
		}
	}
	writeJSON(c.W, http.StatusOK, found)
}

func readSearch(c *site.Call) (window, *refusal) {
	w := window{0, searchPage}
	for _, v := range []struct {
		name string
		into *int
	}{{"startAt", &w.start}, {"maxResults", &w.limit}} {
		if text := c.Query().Get(v.name); text != "" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 0 {
				return w, refuse(http.StatusBadRequest, "", "The '"+v.name+"' parameter must be a non-negative integer")
			}
			*v.into = int(n)
		}
	}
	w.limit = min(w.limit, searchMax)
	return w, nil
}

// searchPeople looks among customers first, then among licensed people.
func (s *Service) searchPeople(c *site.Call, query, accountID string) []person {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if accountID != "" {
		if p, ok := s.find(c, accountID); ok && p.Active {
			return []person{p}
		}
		return nil
	}
	var people []person
	for _, id := range s.search.Search(query, searchMax, func(id string) bool {
		x := s.customers[id].At(c.AsOf)
		return x != nil && x.Active && x.beginsWith(query)
	}) {
		people = append(people, fromCustomer(s.customers[id].At(c.AsOf)))
	}
	for _, p := range s.licensed.ByPrefix(query, searchMax-len(people)) {
		people = append(people, person{p, false})
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
	for _, id := range cut(ids, window{max(start, 0), limit}) {
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
	for _, id := range cut(ids, window{max(start, 0), limit}) {
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
	for _, id := range cut(x.members.IDs(call.AsOf), window{max(start, 0), limit}) {
		if p, found := s.find(call, id); found {
			rows = append(rows, CustomerRow{AccountID: id, Email: p.Email, DisplayName: p.DisplayName, Active: p.Active})
		}
	}
	return s.orgRow(x), rows, true
}
