package jira

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

type deskOut struct {
	ID             string        `json:"id"`
	ProjectID      string        `json:"projectId"`
	ProjectName    string        `json:"projectName"`
	ProjectKey     string        `json:"projectKey"`
	ProjectTypeKey string        `json:"projectTypeKey"`
	Links          wire.SelfLink `json:"_links"`
}

func (s *Service) renderDesk(base string) deskOut {
	return deskOut{
		s.opt.ServiceDeskID, s.opt.ProjectID, s.opt.ProjectName, s.opt.ProjectKey, "service_desk",
		wire.SelfLink{Self: wire.Rest(base, "/servicedeskapi/servicedesk/"+s.opt.ServiceDeskID)},
	}
}

func (s *Service) getInfo(c *site.Call) {
	const build = 1_788_220_800_000_000 // 2026-09-01, the documentation that this stand-in follows
	wire.WriteJSON(c.W, http.StatusOK, map[string]any{
		"version": "sandbox", "platformVersion": "1001.0.0-SANDBOX", "buildDate": wire.NewDate(build), "buildChangeSet": "sandbox",
		"isLicensedForUse": true, "_links": wire.SelfLink{Self: wire.Rest(c.Base, "/servicedeskapi/info")},
	})
}

func (s *Service) listDesks(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	all := []deskOut{s.renderDesk(c.Base)}
	wire.WritePage(c, w, len(all), wire.Cut(all, w))
}

func (s *Service) getDesk(c *site.Call) { wire.WriteJSON(c.W, http.StatusOK, s.renderDesk(c.Base)) }

func (s *Service) listDeskOrgs(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	account := c.Query().Get("accountId")
	s.mu.RLock()
	var ids []int64
	for _, text := range s.deskOrgs.IDs(c.AsOf) {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || s.orgs[id] == nil {
			continue
		}
		if account == "" || s.orgs[id].members.Has(account) {
			ids = append(ids, id)
		}
	}
	values, total := s.pageOrgs(c, w, ids)
	s.mu.RUnlock()
	wire.WritePage(c, w, total, values)
}

func readOrgID(c *site.Call) (int64, *wire.Refusal) {
	var b struct {
		OrganizationID *int64 `json:"organizationId"`
	}
	if no := wire.ReadBody(c, &b); no != nil {
		return 0, no
	}
	if b.OrganizationID == nil {
		return 0, wire.BadRequest("organizationId is required.")
	}
	return *b.OrganizationID, nil
}

func (s *Service) addDeskOrg(c *site.Call) {
	id, no := readOrgID(c)
	if no == nil {
		s.mu.Lock()
		if s.orgs[id] == nil {
			no = noSuchOrg()
		} else if text := strconv.FormatInt(id, 10); !s.deskOrgs.Has(text) {
			no = s.save(changeDeskOrgs, memberRecord{Add: []string{text}, At: c.Now.UnixMicro()})
		}
		s.mu.Unlock()
	}
	wire.Finish(c, no)
}

func (s *Service) removeDeskOrg(c *site.Call) {
	id, no := readOrgID(c)
	if no == nil {
		s.mu.Lock()
		if text := strconv.FormatInt(id, 10); s.deskOrgs.Has(text) {
			no = s.save(changeDeskOrgs, memberRecord{Remove: []string{text}, At: c.Now.UnixMicro()})
		}
		s.mu.Unlock()
	}
	wire.Finish(c, no)
}

// onDesk says whether a person is the service desk's customer: added to it, or in an organization that is. The caller holds the lock.
func (s *Service) onDesk(accountID string) bool {
	if s.deskUsers.Has(accountID) {
		return true
	}
	for org := range s.memberOf[accountID] {
		if s.deskOrgs.Has(strconv.FormatInt(org, 10)) {
			return true
		}
	}
	return false
}

// listDeskCustomers gives the customers that still have access. Without a query it walks all customers: the quota is 5 a second.
func (s *Service) listDeskCustomers(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	query := c.Query().Get("query")
	s.mu.RLock()
	keep := func(id string) bool {
		x := s.customers[id].At(c.AsOf)
		return x != nil && x.Active && s.onDesk(id)
	}
	var ids []string
	if query == "" {
		for _, id := range s.order {
			if keep(id) {
				ids = append(ids, id)
			}
		}
	} else {
		ids = s.search.Search(query, len(s.order), keep)
	}
	var values []wire.DeskUser
	for _, id := range wire.Cut(ids, w) {
		values = append(values, fromCustomer(s.customers[id].At(c.AsOf)).Desk(c.Base))
	}
	s.mu.RUnlock()
	wire.WritePage(c, w, len(ids), values)
}

// addDeskCustomers adds people to the service desk. A customer whose portal-only access was revoked gets it back (unverified).
func (s *Service) addDeskCustomers(c *site.Call) {
	ids, no := wire.ReadAccountIDs(c)
	if no == nil {
		s.mu.Lock()
		no = s.addDeskCustomersLocked(c, ids)
		s.mu.Unlock()
	}
	wire.Finish(c, no)
}

func (s *Service) addDeskCustomersLocked(c *site.Call, ids []string) *wire.Refusal {
	if no := s.checkAccounts(ids); no != nil {
		return no
	}
	var changes []site.Change
	for _, id := range ids {
		old := s.customers[id].Current()
		if old == nil || old.Active {
			continue
		}
		x := *old
		x.Active, x.Modified = true, c.Now.UnixMicro()
		change, err := site.NewChange(changeCustomer, &x)
		if err != nil {
			return wire.Unavailable(err)
		}
		changes = append(changes, change)
	}
	if add := fresh(&s.deskUsers, ids); len(add) > 0 {
		change, err := site.NewChange(changeDeskUsers, memberRecord{Add: add, At: c.Now.UnixMicro()})
		if err != nil {
			return wire.Unavailable(err)
		}
		changes = append(changes, change)
	}
	if len(changes) == 0 {
		return nil
	}
	return wire.Unavailable(s.commit(changes...))
}

func (s *Service) removeDeskCustomers(c *site.Call) {
	ids, no := wire.ReadAccountIDs(c)
	if no == nil {
		s.mu.Lock()
		if no = s.checkAccounts(ids); no == nil {
			ids = slices.DeleteFunc(ids, func(id string) bool { return !s.deskUsers.Has(id) })
			if len(ids) > 0 {
				no = s.save(changeDeskUsers, memberRecord{Remove: ids, At: c.Now.UnixMicro()})
			}
		}
		s.mu.Unlock()
	}
	wire.Finish(c, no)
}
