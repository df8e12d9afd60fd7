package jira

import (
	"net/http"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The vendor's burst quotas, requests a second for each endpoint and method.
const (
	readRate     = 100 // GET and POST
	writeRate    = 50  // PUT and DELETE
	customerRate = 5   // GET servicedesk/{id}/customer
)

// routes lists the operations by the vendor's own operation names.
func (s *Service) routes() []site.Route {
	const desk = "/rest/servicedeskapi"
	var list []site.Route
	add := func(method, path, op string, h func(*site.Call)) *site.Route {
		rate := readRate
		if method == http.MethodPut || method == http.MethodDelete {
			rate = writeRate
		}
		list = append(list, site.Route{
			Method: method, Pattern: path, Op: op, Class: method + " " + path,
			Limit: site.Limit{Rate: float64(rate), Burst: rate}, Handle: h,
		})
		return &list[len(list)-1]
	}
	add(http.MethodGet, desk+"/info", "getInfo", s.getInfo).Anonymous = true
	add(http.MethodPost, desk+"/customer", "createCustomer", s.createCustomer)
	add(http.MethodPut, desk+"/customer/user/{accountId}/revoke-portal-only-access", "revokePortalOnlyAccessForUser", s.revokeCustomer)

	org := desk + "/organization/{organizationId}"
	add(http.MethodGet, desk+"/organization", "getOrganizations", s.listOrgs)
	add(http.MethodPost, desk+"/organization", "createOrganization", s.createOrg)
	add(http.MethodGet, org, "getOrganization", s.getOrg)
	add(http.MethodDelete, org, "deleteOrganization", s.deleteOrg)
	add(http.MethodGet, org+"/user", "getUsersInOrganization", s.listOrgUsers)
	add(http.MethodPost, org+"/user", "addUsersToOrganization", s.addOrgUsers)
	add(http.MethodDelete, org+"/user", "removeUsersFromOrganization", s.removeOrgUsers)
	add(http.MethodGet, org+"/property", "getPropertiesKeys", s.listProperties)
	add(http.MethodGet, org+"/property/{propertyKey}", "getProperty", s.getProperty)
	add(http.MethodPut, org+"/property/{propertyKey}", "setProperty", s.setProperty)
	add(http.MethodDelete, org+"/property/{propertyKey}", "deleteProperty", s.deleteProperty)

	sd := desk + "/servicedesk/{serviceDeskId}"
	add(http.MethodGet, desk+"/servicedesk", "getServiceDesks", s.listDesks)
	add(http.MethodGet, sd, "getServiceDeskById", s.inDesk(s.getDesk))
	add(http.MethodGet, sd+"/organization", "getServiceDeskOrganizations", s.inDesk(s.listDeskOrgs))
	add(http.MethodPost, sd+"/organization", "addOrganization", s.inDesk(s.addDeskOrg))
	add(http.MethodDelete, sd+"/organization", "removeOrganization", s.inDesk(s.removeDeskOrg))
	r := add(http.MethodGet, sd+"/customer", "getCustomers", experimental(s.inDesk(s.listDeskCustomers)))
	r.Limit = site.Limit{Rate: customerRate, Burst: customerRate}
	add(http.MethodPost, sd+"/customer", "addCustomers", s.inDesk(s.addDeskCustomers))
	add(http.MethodDelete, sd+"/customer", "removeCustomers", experimental(s.inDesk(s.removeDeskCustomers)))

	for _, v := range []string{"2", "3"} {
		add(http.MethodGet, "/rest/api/"+v+"/user", "getUser", s.getUser)
		add(http.MethodGet, "/rest/api/"+v+"/user/search", "findUsers", s.findUsers).Anonymous = true
		add(http.MethodGet, "/rest/api/"+v+"/myself", "getCurrentUser", s.getMyself)
		add(http.MethodGet, "/rest/api/"+v+"/search", "searchForIssuesUsingJql", removedSearch).Anonymous = true
		add(http.MethodPost, "/rest/api/"+v+"/search", "searchForIssuesUsingJqlPost", removedSearch).Anonymous = true
	}
	return list
}

// removedSearch answers for the search that the vendor has removed (CHANGE-2046).
func removedSearch(c *site.Call) {
	wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusGone, "",
		"The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. "+
			"A full migration guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046"))
}

// experimental requires the header that opts in.
func experimental(h func(*site.Call)) func(*site.Call) {
	return func(c *site.Call) {
		if !strings.EqualFold(c.R.Header.Get("X-ExperimentalApi"), "opt-in") {
			wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusPreconditionFailed, "sd.rest.experimental.api",
				"This API is experimental. To use it, set the header X-ExperimentalApi: opt-in."))
			return
		}
		h(c)
	}
}

// inDesk answers 404 for any service desk but the one there is. A project key or id names it too.
func (s *Service) inDesk(h func(*site.Call)) func(*site.Call) {
	return func(c *site.Call) {
		switch c.Vars["serviceDeskId"] {
		case s.opt.ServiceDeskID, s.opt.ProjectKey, "projectId:" + s.opt.ProjectID, "projectKey:" + s.opt.ProjectKey:
			h(c)
		default:
			wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusNotFound, "sd.agent.servicedesk.error.no.such.servicedesk", "The service desk does not exist."))
		}
	}
}
