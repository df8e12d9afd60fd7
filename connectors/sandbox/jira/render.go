package jira

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// maxPage is the default and the most values in one page of /rest/servicedeskapi.
const maxPage = 50

const timeZone = "Asia/Tokyo"

type userLinks struct {
	Self       string            `json:"self"`
	JiraRest   string            `json:"jiraRest"`
	AvatarURLs map[string]string `json:"avatarUrls"`
}

// deskUser is a person as /rest/servicedeskapi shows one.
type deskUser struct {
	AccountID    string    `json:"accountId"`
	Name         string    `json:"name"`
	Key          string    `json:"key"`
	EmailAddress string    `json:"emailAddress"`
	DisplayName  string    `json:"displayName"`
	Active       bool      `json:"active"`
	TimeZone     string    `json:"timeZone"`
	Links        userLinks `json:"_links"`
}

// platformUser is a person as /rest/api shows one.
type platformUser struct {
	Self         string            `json:"self"`
	AccountID    string            `json:"accountId"`
	AccountType  string            `json:"accountType"`
	EmailAddress string            `json:"emailAddress,omitempty"`
	AvatarURLs   map[string]string `json:"avatarUrls"`
	DisplayName  string            `json:"displayName"`
	Active       bool              `json:"active"`
	TimeZone     string            `json:"timeZone"`
	Locale       string            `json:"locale"`
}

// person is a customer or a licensed account.
type person struct {
	site.Person
	customer bool
}

func fromCustomer(x *customer) person {
	return person{site.Person{AccountID: x.AccountID, Email: x.Email, DisplayName: x.DisplayName, TimeZone: timeZone, Active: x.Active}, true}
}

func rest(base, path string) string { return base + "/" + Name + "/rest" + path }

func avatars(base string) map[string]string {
	m := map[string]string{}
	for _, size := range []string{"16", "24", "32", "48"} {
		m[size+"x"+size] = base + "/avatar.svg?size=" + size
	}
	return m
}

func (p person) desk(base string) deskUser {
	self := rest(base, "/api/2/user?accountId="+url.QueryEscape(p.AccountID))
	return deskUser{
		AccountID: p.AccountID, Name: p.AccountID, Key: p.AccountID, EmailAddress: p.Email, DisplayName: p.DisplayName,
		Active: p.Active, TimeZone: zone(p.TimeZone), Links: userLinks{Self: self, JiraRest: self, AvatarURLs: avatars(base)},
	}
}

func (p person) platform(base string) platformUser {
	kind := "atlassian"
	if p.customer {
		kind = "customer"
	}
	return platformUser{
		Self: rest(base, "/api/3/user?accountId="+url.QueryEscape(p.AccountID)), AccountID: p.AccountID, AccountType: kind,
		EmailAddress: p.Email, AvatarURLs: avatars(base), DisplayName: p.DisplayName, Active: p.Active, TimeZone: zone(p.TimeZone),
		Locale: "ja_JP",
	}
}

func zone(tz string) string {
	if tz == "" {
		return timeZone
	}
	return tz
}

type selfLink struct {
	Self string `json:"self"`
}

type date struct {
	ISO8601     string `json:"iso8601"`
	Jira        string `json:"jira"`
	Friendly    string `json:"friendly"`
	EpochMillis int64  `json:"epochMillis"`
}

func newDate(micros int64) date {
	t := time.UnixMicro(micros).UTC()
	return date{
		t.Format("2006-01-02T15:04:05-0700"), t.Format("2006-01-02T15:04:05.000-0700"), t.Format("02/Jan/06 3:04 PM"), t.UnixMilli(),
	}
}

type orgOut struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	UUID        string   `json:"uuid"`
	ScimManaged bool     `json:"scimManaged"`
	Created     date     `json:"created"`
	Links       selfLink `json:"_links"`
}

func (s *Service) renderOrg(o *organization, base string) orgOut {
	id := strconv.FormatInt(o.ID, 10)
	return orgOut{
		ID: id, Name: o.Name, UUID: site.DeriveUUID(s.seed, Name, "org", id), Created: newDate(o.Created),
		Links: selfLink{rest(base, "/servicedeskapi/organization/"+id)},
	}
}

type pageLinks struct {
	Base    string `json:"base"`
	Context string `json:"context"`
	Self    string `json:"self"`
	Next    string `json:"next,omitempty"`
	Prev    string `json:"prev,omitempty"`
}

type pageOut struct {
	Expands    []string  `json:"_expands"`
	Size       int       `json:"size"`
	Start      int       `json:"start"`
	Limit      int       `json:"limit"`
	IsLastPage bool      `json:"isLastPage"`
	Links      pageLinks `json:"_links"`
	Values     any       `json:"values"`
}

// window is a list's page: start is 0-based.
type window struct{ start, limit int }

func readWindow(c *site.Call) (window, *refusal) {
	w := window{0, maxPage}
	for _, v := range []struct {
		name string
		into *int
	}{{"start", &w.start}, {"limit", &w.limit}} {
		if text := c.Query().Get(v.name); text != "" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 0 {
				return window{}, refuse(http.StatusBadRequest, "sd.rest.paging", v.name+" must be a non-negative integer.")
			}
			*v.into = int(n)
		}
	}
	if w.limit == 0 || w.limit > maxPage {
		w.limit = maxPage
	}
	return w, nil
}

// cut gives the part of all that the window shows.
func cut[T any](all []T, w window) []T {
	start := min(w.start, len(all))
	return all[start:min(start+w.limit, len(all))]
}

// writePage answers with one page of total values.
func writePage[T any](c *site.Call, w window, total int, values []T) {
	if values == nil {
		values = []T{}
	}
	path := strings.TrimPrefix(c.R.URL.Path, "/"+Name)
	address := func(start int) string {
		q := c.Query()
		q.Set("start", strconv.Itoa(start))
		q.Set("limit", strconv.Itoa(w.limit))
		return c.Base + "/" + Name + path + "?" + q.Encode()
	}
	out := pageOut{
		Expands: []string{}, Size: len(values), Start: w.start, Limit: w.limit, IsLastPage: w.start+len(values) >= total, Values: values,
		Links: pageLinks{Base: c.Base + "/" + Name, Self: address(w.start)},
	}
	if !out.IsLastPage {
		out.Links.Next = address(w.start + len(values))
	}
	if w.start > 0 {
		out.Links.Prev = address(max(0, w.start-w.limit))
	}
	writeJSON(c.W, http.StatusOK, out)
}
