package sandbox

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors/sandbox/atlassian"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/work"
	"github.com/musubi-hub/musubi/connectors/sandbox/mail"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack"
)

//go:embed page
var pageFiles embed.FS

// pageSize is how many rows a page shows, maxPageQuery how long a search may be.
const (
	pageSize     = 50
	maxPageQuery = 200
)

// pageSet serves the pages that people look at.
type pageSet struct {
	s         *Sandbox
	templates map[string]*template.Template
	style     []byte
}

// view is what every page gets.
type view struct {
	Title, TitleEN string
	Tab            string
	Query          string
	Searchable     bool
	Pager          pager
	Overview       []overview
	Users          []atlassian.UserRow
	Groups         []atlassian.GroupRow
	Group          atlassian.GroupRow
	Customers      []jira.CustomerRow
	Orgs           []jira.OrgRow
	Org            jira.OrgRow
	Tickets        []work.Row
	Ticket         work.View
	AsCustomer     bool
	Slack          slackView
	Mails          []mail.Row
	Mail           mail.Row
	SAML           []samlView
	SAMLDone       string // the site whose settings were taken
	SAMLWrong      string // why some weren't
	Scale          float64
}

// overview is one product on the first page.
type overview struct {
	Name, Vendor, What, WhatEN, Link, GroupLink, GroupWord, GroupWordEN string
	Counts                                                              Counts
	WorkLink, WorkWord                                                  string // what people do there; empty: nothing
}

// pager leads through a long list.
type pager struct {
	Path, Query        string
	Page, Pages, Total int
	From, To           int
}

// Prev and Next give the neighbours' addresses, empty at the ends.
func (p pager) Prev() string { return p.link(p.Page - 1) }

// Next gives the next page's address.
func (p pager) Next() string { return p.link(p.Page + 1) }

func (p pager) link(page int) string {
	if page < 1 || page > p.Pages {
		return ""
	}
	q := url.Values{"page": {strconv.Itoa(page)}}
	if p.Query != "" {
		q.Set("q", p.Query)
	}
	return p.Path + "?" + q.Encode()
}

// pageFuncs are what the templates call.
var pageFuncs = template.FuncMap{
	"jst":    jst,
	"moment": moment,
	"on": func(page customerView, message slack.MessageRow) map[string]any {
		return map[string]any{"Page": page, "Message": message}
	},
	"pair": func(channel slackView, message slack.MessageRow) map[string]any {
		return map[string]any{"Channel": channel, "Message": message}
	},
}

// moment shows a time of RFC 3339 as people here read it, anything else as it is.
func moment(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return at.In(jst()).Format("2006-01-02 15:04 JST")
}

func newPageSet(s *Sandbox) (*pageSet, error) {
	templates, err := pageTemplates()
	if err != nil {
		return nil, err
	}
	style, err := pageFiles.ReadFile("page/sandbox.css")
	return &pageSet{s: s, templates: templates, style: style}, err
}

// pageTemplates parses the pages once for all sandboxes of a process: tests make thousands.
var pageTemplates = sync.OnceValues(func() (map[string]*template.Template, error) {
	templates := map[string]*template.Template{}
	for _, name := range []string{
		"home", "users", "groups", "group", "customers", "orgs", "org", "tickets", "ticket",
		"slack-users", "slack-groups", "slack-channels", "slack-channel",
		"mails", "mail", "saml", "missing",
		"customer-requests", "customer-request", "customer-orgs", "customer-org", "customer-channels", "customer-channel", "customer-problem", "customer-out", "customer-me",
	} {
		files := []string{"page/layout.html", "page/" + name + ".html"}
		switch {
		case name == "slack-channel":
			files = append(files, "page/message.html")
		case strings.HasPrefix(name, "customer-"):
			files = append(files, "page/customer.html", "page/message.html")
		}
		t, err := template.New(name).Funcs(pageFuncs).ParseFS(pageFiles, files...)
		if err != nil {
			return nil, fmt.Errorf("sandbox: page %s: %w", name, err)
		}
		templates[name] = t
	}
	return templates, nil
})

const contentSecurityPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// avatar is the picture that the products' answers point to for everyone.
const avatar = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><rect width="48" height="48" fill="#0017C1"/><circle cx="24" cy="18" r="9" fill="#FFF"/><path d="M8 44a16 16 0 0 1 32 0z" fill="#FFF"/></svg>`

// ServeHTTP routes the pages.
func (p *pageSet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/slack/") {
		p.slackPost(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	path := r.URL.Path
	switch {
	case path == "/":
		p.home(w)
	case p.file(w, path):
	case path == "/"+Atlassian:
		http.Redirect(w, r, "/"+Atlassian+"/", http.StatusMovedPermanently)
	case path == "/"+Jira:
		http.Redirect(w, r, "/"+Jira+"/", http.StatusMovedPermanently)
	case path == "/"+Slack:
		http.Redirect(w, r, "/"+Slack+"/", http.StatusMovedPermanently)
	case strings.HasPrefix(path, "/slack/"):
		p.serveSlack(w, r, strings.TrimPrefix(path, "/slack/"))
	case path == "/"+Mail:
		http.Redirect(w, r, "/"+Mail+"/", http.StatusMovedPermanently)
	case path == "/mail/":
		p.mails(w, r)
	case strings.HasPrefix(path, "/mail/"):
		p.mail(w, strings.TrimPrefix(path, "/mail/"))
	case path == "/atlassian/":
		p.users(w, r)
	case path == "/atlassian/groups":
		p.groups(w, r)
	case strings.HasPrefix(path, "/atlassian/groups/"):
		p.group(w, r, strings.TrimPrefix(path, "/atlassian/groups/"))
	case path == "/jira/":
		p.customers(w, r)
	case path == "/jira/organizations":
		p.orgs(w, r)
	case path == "/jira/requests":
		p.tickets(w, r)
	case strings.HasPrefix(path, "/jira/requests/"):
		p.ticket(w, r, strings.TrimPrefix(path, "/jira/requests/"))
	case strings.HasPrefix(path, "/jira/organizations/"):
		p.org(w, r, strings.TrimPrefix(path, "/jira/organizations/"))
	default:
		p.missing(w)
	}
}

// file answers for what every page needs; false for any other path.
func (p *pageSet) file(w http.ResponseWriter, path string) bool {
	switch path {
	case "/sandbox.css":
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(p.style)
	case "/avatar.svg":
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = w.Write([]byte(avatar))
	default:
		return false
	}
	return true
}

func (p *pageSet) render(w http.ResponseWriter, status int, name string, v view) {
	p.write(w, status, name, "layout", v)
}

// write fills a page's layout and answers with it.
func (p *pageSet) write(w http.ResponseWriter, status int, name, layout string, v any) {
	var out bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&out, layout, v); err != nil {
		http.Error(w, "sandbox: page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

func (p *pageSet) missing(w http.ResponseWriter) {
	p.render(w, http.StatusNotFound, "missing", view{Title: "ページが見つかりません", TitleEN: "Page not found"})
}

// readList reads the search and page number of a list.
func readList(r *http.Request) (query string, page int) {
	query = strings.TrimSpace(r.URL.Query().Get("q"))
	for utf8.RuneCountInString(query) > maxPageQuery {
		query = string([]rune(query)[:maxPageQuery])
	}
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || page < 1 || page > 1_000_000 {
		page = 1
	}
	return query, page
}

func newPager(path, query string, page, rows, total int) pager {
	p := pager{Path: path, Query: query, Page: page, Pages: max(1, (total+pageSize-1)/pageSize), Total: total}
	if rows > 0 {
		p.From = (page-1)*pageSize + 1
		p.To = p.From + rows - 1
	}
	return p
}

func (p *pageSet) home(w http.ResponseWriter) {
	a, j, k := p.s.directory.Counts(), p.s.service.Counts(), p.s.workspace.Counts()
	p.render(w, http.StatusOK, "home", view{
		Title: "概要", TitleEN: "Overview", Tab: "home", Scale: p.s.quotas.scale,
		Overview: []overview{
			{"Atlassian", "SCIM", "府省職員の利用者とグループ", "Ministry staff: users and groups", "/atlassian/", "/atlassian/groups", "グループ", "Groups", a, "", ""},
			{"Jira Service Management", "REST", "自治体職員の顧客と顧客組織", "Municipal staff: portal customers and their organizations", "/jira/", "/jira/organizations", "顧客組織", "Organizations", j, "/jira/requests", "依頼"},
			{"Slack", "SCIM, Web API", "連絡用のワークスペース：利用者、ゲスト、チャンネル", "The workspace for urgent contact: users, guests, channels", "/slack/", "/slack/groups", "グループ", "User groups", k, "/slack/channels", "チャンネル"},
		},
	})
}

func (p *pageSet) users(w http.ResponseWriter, r *http.Request) {
	query, page := readList(r)
	rows, total := p.s.directory.Users(query, (page-1)*pageSize, pageSize)
	p.render(w, http.StatusOK, "users", view{
		Title: "Atlassian 利用者", TitleEN: "Atlassian users", Tab: "users", Query: query, Searchable: true, Users: rows,
		Pager: newPager("/atlassian/", query, page, len(rows), total),
	})
}

func (p *pageSet) groups(w http.ResponseWriter, r *http.Request) {
	_, page := readList(r)
	rows, total := p.s.directory.Groups((page-1)*pageSize, pageSize)
	p.render(w, http.StatusOK, "groups", view{
		Title: "Atlassian グループ", TitleEN: "Atlassian groups", Tab: "groups", Groups: rows,
		Pager: newPager("/atlassian/groups", "", page, len(rows), total),
	})
}

func (p *pageSet) group(w http.ResponseWriter, r *http.Request, id string) {
	_, page := readList(r)
	g, rows, ok := p.s.directory.Members(id, (page-1)*pageSize, pageSize)
	if !ok {
		p.missing(w)
		return
	}
	p.render(w, http.StatusOK, "group", view{
		Title: g.Name, TitleEN: "Atlassian group", Tab: "groups", Group: g, Users: rows,
		Pager: newPager("/atlassian/groups/"+url.PathEscape(id), "", page, len(rows), g.Members),
	})
}

func (p *pageSet) customers(w http.ResponseWriter, r *http.Request) {
	query, page := readList(r)
	rows, total := p.s.service.Customers(query, (page-1)*pageSize, pageSize)
	p.render(w, http.StatusOK, "customers", view{
		Title: "Jira ポータル顧客", TitleEN: "Jira portal customers", Tab: "customers", Query: query, Searchable: true, Customers: rows,
		Pager: newPager("/jira/", query, page, len(rows), total),
	})
}

func (p *pageSet) orgs(w http.ResponseWriter, r *http.Request) {
	query, page := readList(r)
	rows, total := p.s.service.Organizations(query, (page-1)*pageSize, pageSize)
	p.render(w, http.StatusOK, "orgs", view{
		Title: "Jira 顧客組織", TitleEN: "Jira customer organizations", Tab: "orgs", Query: query, Searchable: true, Orgs: rows,
		Pager: newPager("/jira/organizations", query, page, len(rows), total),
	})
}

func (p *pageSet) org(w http.ResponseWriter, r *http.Request, text string) {
	_, page := readList(r)
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		p.missing(w)
		return
	}
	o, rows, ok := p.s.service.Members(id, (page-1)*pageSize, pageSize)
	if !ok {
		p.missing(w)
		return
	}
	p.render(w, http.StatusOK, "org", view{
		Title: o.Name, TitleEN: "Customer organization", Tab: "orgs", Org: o, Customers: rows,
		Pager: newPager("/jira/organizations/"+text, "", page, len(rows), o.Members),
	})
}
