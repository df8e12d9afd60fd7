package wire

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// MaxPage is the default and the most values in one page of /rest/servicedeskapi.
const MaxPage = 50

// TimeZone is everyone's.
const TimeZone = "Asia/Tokyo"

type userLinks struct {
	Self       string            `json:"self"`
	JiraRest   string            `json:"jiraRest"`
	AvatarURLs map[string]string `json:"avatarUrls"`
}

// DeskUser is a person as /rest/servicedeskapi shows one.
type DeskUser struct {
	AccountID    string    `json:"accountId"`
	Name         string    `json:"name"`
	Key          string    `json:"key"`
	EmailAddress string    `json:"emailAddress"`
	DisplayName  string    `json:"displayName"`
	Active       bool      `json:"active"`
	TimeZone     string    `json:"timeZone"`
	Links        userLinks `json:"_links"`
}

// PlatformUser is a person as /rest/api shows one.
type PlatformUser struct {
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

// Person is a customer or a licensed account.
type Person struct {
	site.Person
	Customer bool
}

// Rest gives the absolute address of a REST path.
func Rest(base, path string) string { return base + "/" + Name + "/rest" + path }

// Avatars gives everyone's picture.
func Avatars(base string) map[string]string {
	m := map[string]string{}
	for _, size := range []string{"16", "24", "32", "48"} {
		m[size+"x"+size] = base + "/avatar.svg?size=" + size
	}
	return m
}

// Desk renders a person for /rest/servicedeskapi.
func (p Person) Desk(base string) DeskUser {
	self := Rest(base, "/api/2/user?accountId="+url.QueryEscape(p.AccountID))
	return DeskUser{
		AccountID: p.AccountID, Name: p.AccountID, Key: p.AccountID, EmailAddress: p.Email, DisplayName: p.DisplayName,
		Active: p.Active, TimeZone: zone(p.TimeZone), Links: userLinks{Self: self, JiraRest: self, AvatarURLs: Avatars(base)},
	}
}

// Platform renders a person for /rest/api.
func (p Person) Platform(base string) PlatformUser {
	kind := "atlassian"
	if p.Customer {
		kind = "customer"
	}
	return PlatformUser{
		Self: Rest(base, "/api/3/user?accountId="+url.QueryEscape(p.AccountID)), AccountID: p.AccountID, AccountType: kind,
		EmailAddress: p.Email, AvatarURLs: Avatars(base), DisplayName: p.DisplayName, Active: p.Active, TimeZone: zone(p.TimeZone),
		Locale: "ja_JP",
	}
}

func zone(tz string) string {
	if tz == "" {
		return TimeZone
	}
	return tz
}

// SelfLink is an object's own address.
type SelfLink struct {
	Self string `json:"self"`
}

// Date is a moment as /rest/servicedeskapi writes it.
type Date struct {
	ISO8601     string `json:"iso8601"`
	Jira        string `json:"jira"`
	Friendly    string `json:"friendly"`
	EpochMillis int64  `json:"epochMillis"`
}

// NewDate renders a moment, UTC microseconds.
func NewDate(micros int64) Date {
	t := time.UnixMicro(micros).UTC()
	return Date{
		t.Format("2006-01-02T15:04:05-0700"), t.Format("2006-01-02T15:04:05.000-0700"), t.Format("02/Jan/06 3:04 PM"), t.UnixMilli(),
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

// Window is a list's page: start is 0-based.
type Window struct{ Start, Limit int }

// ReadWindow reads start and limit.
func ReadWindow(c *site.Call) (Window, *Refusal) {
	w := Window{Limit: MaxPage}
	for _, v := range []struct {
		name string
		into *int
	}{{"start", &w.Start}, {"limit", &w.Limit}} {
		if text := c.Query().Get(v.name); text != "" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 0 {
				return Window{}, Refuse(http.StatusBadRequest, "sd.rest.paging", v.name+" must be a non-negative integer.")
			}
			*v.into = int(n)
		}
	}
	if w.Limit == 0 || w.Limit > MaxPage {
		w.Limit = MaxPage
	}
	return w, nil
}

// Cut gives the part of all that the window shows.
func Cut[T any](all []T, w Window) []T {
	start := min(w.Start, len(all))
	return all[start:min(start+w.Limit, len(all))]
}

// WritePage answers with one page of total values.
func WritePage[T any](c *site.Call, w Window, total int, values []T) {
	WriteJSON(c.W, http.StatusOK, NewPage(c, w, total, values))
}

// NewPage is one page of total values, with links to the call's address.
func NewPage[T any](c *site.Call, w Window, total int, values []T) any {
	if values == nil {
		values = []T{}
	}
	path := strings.TrimPrefix(c.R.URL.Path, "/"+Name)
	address := func(start int) string {
		q := c.Query()
		q.Set("start", strconv.Itoa(start))
		q.Set("limit", strconv.Itoa(w.Limit))
		return c.Base + "/" + Name + path + "?" + q.Encode()
	}
	out := pageOut{
		Expands: []string{}, Size: len(values), Start: w.Start, Limit: w.Limit, IsLastPage: w.Start+len(values) >= total, Values: values,
		Links: pageLinks{Base: c.Base + "/" + Name, Self: address(w.Start)},
	}
	if !out.IsLastPage {
		out.Links.Next = address(w.Start + len(values))
	}
	if w.Start > 0 {
		out.Links.Prev = address(max(0, w.Start-w.Limit))
	}
	return out
}
