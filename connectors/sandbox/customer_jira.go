package sandbox

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/work"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// jiraPage routes the portal below /jira/.
func jiraPage(v *visit, path string) {
	part := strings.Split(path, "/")
	switch {
	case v.r.Method == http.MethodPost && len(part) == 3 && part[0] == "requests" && part[2] == "comment":
		v.comment(part[1])
	case v.r.Method == http.MethodPost:
		v.missing()
	case path == "requests":
		v.requests()
	case len(part) == 2 && part[0] == "requests":
		v.request(part[1])
	case path == "organizations":
		v.organizations()
	case len(part) == 2 && part[0] == "organizations":
		v.organization(part[1])
	default:
		v.missing()
	}
}

func (v *visit) requests() {
	query, page := readList(v.r)
	rows, total := v.s.service.RequestsOf(v.session.Account, query, (page-1)*pageSize, pageSize)
	v.show(http.StatusOK, "customer-requests", customerView{
		Title: "依頼", TitleEN: "Your requests", Tab: "requests", Query: query, Searchable: true, Requests: rows,
		Pager: newPager("/jira/requests", query, page, len(rows), total),
	})
}

func (v *visit) request(key string) {
	x, seen, ok := v.s.service.Work().PortalView(v.session.Account, key, v.s.now())
	if !ok {
		v.missing()
		return
	}
	v.show(http.StatusOK, "customer-request", customerView{
		Title: x.Key + " " + x.Summary, TitleEN: "Request", Tab: "requests", Ticket: x, Seen: seen, Result: v.r.URL.Query().Get("result"),
	})
}

// comment answers on a request.
func (v *visit) comment(key string) {
	call := &site.Call{W: v.w, R: v.r, As: v.session.Account, Base: v.party.BaseURL(), Now: v.s.now().UTC(), Scale: v.s.quotas.scale}
	err := v.s.service.Work().PortalComment(call, key, v.r.PostFormValue("text"))
	result := "said"
	switch {
	case errors.Is(err, work.ErrNoRequest):
		v.missing()
		return
	case err != nil:
		result = "refused"
	}
	v.back("/jira/requests/"+url.PathEscape(strings.ToUpper(key)), result)
}

func (v *visit) organizations() {
	rows := v.s.service.OrganizationsOf(v.session.Account)
	v.show(http.StatusOK, "customer-orgs", customerView{Title: "所属する組織", TitleEN: "Your organizations", Tab: "orgs", Orgs: rows})
}

func (v *visit) organization(text string) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		v.missing()
		return
	}
	_, page := readList(v.r)
	o, rows, ok := v.s.service.MembersFor(v.session.Account, id, (page-1)*pageSize, pageSize)
	if !ok {
		v.missing()
		return
	}
	v.show(http.StatusOK, "customer-org", customerView{
		Title: o.Name, TitleEN: "Organization", Tab: "orgs", Org: o, Customers: rows,
		Pager: newPager("/jira/organizations/"+text, "", page, len(rows), o.Members),
	})
}
