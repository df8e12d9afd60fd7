package sandbox

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/work"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// customerSite is a product as its customers use it: on a host of its own, behind a login. Nothing else of the sandbox is there.
type customerSite struct {
	s       *Sandbox
	id      string  // names it to administrators and in cookies
	product product // nil: it has no API
	home    string
	me      string    // the page that shows how one came in
	vendor  string    // the product that it stands in for; "" for none
	brand   [2]string // Japanese, English
	tabs    []customerTab
	party   door
	saml    *samlsp.Party // what party is, where that is SAML
	name    func(x visitor.Session) string
	page    func(v *visit, path string) // answers below the product's prefix; a page that isn't there is missing
}

// What the sites stand in for.
const (
	vendorJira      = "Jira Service Management"
	vendorAtlassian = "Jira (Atlassian Guard)"
	vendorSlack     = "Slack"
)

type customerTab struct{ ID, Path, Word, WordEN string }

// door is how people come in: by OpenID Connect (relying.Party) or by SAML (samlsp.Party).
type door interface {
	Host(host string) bool
	BaseURL() string
	LoginPath() string
	LogoutPath() string
	Handle(w http.ResponseWriter, r *http.Request) bool
	Current(r *http.Request) (visitor.Session, bool)
	Require(w http.ResponseWriter, r *http.Request) (visitor.Session, bool)
	CheckForm(w http.ResponseWriter, r *http.Request, x visitor.Session) bool
	Clear()
}

// visit is one request of somebody who is logged in.
type visit struct {
	*customerSite
	w       http.ResponseWriter
	r       *http.Request
	session visitor.Session
}

// customerView is what every page of a customer's site gets.
type customerView struct {
	Title, TitleEN string
	Brand          [2]string
	Product, Home  string
	Tabs           []customerTab
	Tab            string
	Person, Form   string // "": nobody is logged in
	ACR            string // how the person was identified, as the provider said
	Since          time.Time
	Query          string
	Searchable     bool
	Pager          pager
	Requests       []work.PortalRow
	Ticket         work.View
	Seen, Result   string
	Orgs           []jira.OrgRow
	Org            jira.OrgRow
	Customers      []jira.CustomerRow
	User           slack.UserRow
	Channels       []slack.ChannelRow
	Channel        slack.ChannelRow
	Messages       []slack.MessageRow
	Problem        problem
	Leaving        visitor.Leaving // how a logout ended
	LoginPath      string
	LogoutPath     string
	Session        visitor.Session
	NoForce        bool // a new proof can't be asked for
}

// openSites makes the sites that have a login.
func (s *Sandbox) openSites(opt Options) error {
	if opt.JiraLogin != nil && opt.JiraSAML != nil || opt.SlackLogin != nil && opt.SlackSAML != nil {
		return errors.New("a product's people log in by OpenID Connect or by SAML, not by both: give one")
	}
	portal := func(name string, vendor string, brand [2]string) *customerSite {
		return &customerSite{
			s: s, product: s.service, id: name, home: "/jira/requests", vendor: vendor, brand: brand, page: jiraPage,
			name: func(x visitor.Session) string { return s.service.PersonName(x.Account) },
			tabs: []customerTab{{"requests", "/jira/requests", "依頼", "Requests"}, {"orgs", "/jira/organizations", "所属する組織", "Organizations"}},
		}
	}
	chat := &customerSite{
		s: s, product: s.workspace, id: Slack, home: "/slack/channels", vendor: vendorSlack, brand: [2]string{"連絡用ワークスペース", "Workspace"}, page: slackPage,
		tabs: []customerTab{{"channels", "/slack/channels", "チャンネル", "Channels"}},
		name: func(x visitor.Session) string {
			u, _ := s.workspace.Member(x.Account)
			return cmp.Or(u.DisplayName, u.UserName, x.Account)
		},
	}
	help := portal(Jira, vendorJira, [2]string{"ヘルプセンター", "Help centre"})
	err := errors.Join(
		help.byOpenID(opt.JiraLogin, s.service), help.bySAML(opt.JiraSAML, samlsp.AtlassianCustomers(), portalCustomers{s.service}),
		portal(Staff, vendorAtlassian, [2]string{"職員用 Jira", "Jira for staff"}).bySAML(opt.StaffSAML, samlsp.AtlassianStaff(), managedAccounts{s.service}),
		chat.byOpenID(opt.SlackLogin, s.workspace), chat.bySAML(opt.SlackSAML, samlsp.Slack(), s.workspace),
	)
	for _, p := range opt.Plain {
		err = errors.Join(err, s.openPlain(p))
	}
	return err
}

func (x *customerSite) place(accounts visitor.Accounts) visitor.Place {
	return visitor.Place{Name: x.id, Home: x.home, Now: x.s.now, Accounts: accounts, Pages: x, Logger: x.s.logger}
}

// open adds the site, once it is known how people come in.
func (x *customerSite) open(party door) {
	first, _, _ := strings.Cut(x.home[1:], "/")
	x.me = "/" + first + "/me"
	x.tabs = append(x.tabs, customerTab{"me", x.me, "ログインの情報", "Your login"})
	x.party = party
	x.s.sites = append(x.s.sites, x)
}

// byOpenID lets people in by OpenID Connect; nil: not.
func (x *customerSite) byOpenID(opt *LoginOptions, accounts visitor.Accounts) error {
	if opt == nil {
		return nil
	}
	party, err := relying.New(*opt, x.place(accounts))
	if err == nil {
		x.open(party)
	}
	return err
}

// bySAML lets people in by SAML; nil: not.
func (x *customerSite) bySAML(opt *SAMLOptions, habits samlsp.Habits, accounts visitor.Accounts) (err error) {
	if opt == nil {
		return nil
	}
	x.saml, err = samlsp.New(samlsp.Options{
		Habits: habits, BaseURL: opt.BaseURL, Connection: site.DeriveUUID(x.s.faults.seed, "saml", x.id), Key: opt.Key, Certificate: opt.Certificate,
		Settings: opt.Settings, Random: opt.Random,
	}, x.place(accounts))
	if err == nil {
		x.open(x.saml)
	}
	return err
}

// siteOf gives the site that a host belongs to, nil for the sandbox's own.
func (s *Sandbox) siteOf(host string) *customerSite {
	for _, x := range s.sites {
		if x.party.Host(host) {
			return x
		}
	}
	return nil
}

// ServeHTTP answers the product's API, login and logout, and to whoever is logged in the pages.
func (x *customerSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p, path, ok := x.s.apiOf(r); ok && x.product != nil && p == x.product {
		x.s.serveAPI(w, r, p, path)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would make the browser say that a form comes from nowhere
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if x.s.pages.file(w, r.URL.Path) || x.party.Handle(w, r) {
		return
	}
	session, ok := x.party.Require(w, r)
	if !ok {
		return
	}
	v := &visit{x, w, r, session}
	first, _, _ := strings.Cut(x.home[1:], "/")
	prefix := "/" + first
	path, below := strings.CutPrefix(r.URL.Path, prefix+"/")
	switch {
	case r.Method == http.MethodPost:
		v.form(path)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case r.URL.Path == "/" || r.URL.Path == prefix || below && path == "":
		http.Redirect(w, r, x.home, http.StatusSeeOther)
	case r.URL.Path == x.me:
		v.show(http.StatusOK, "customer-me", customerView{Title: "ログインの情報", TitleEN: "Your login", Tab: "me"})
	case below:
		x.page(v, path)
	default:
		v.missing()
	}
}

// maxCustomerForm bounds a form, in octets: 32,767 characters of a comment are nine octets each at most.
const maxCustomerForm = 320 << 10

// form takes a form of one of the site's own pages.
func (v *visit) form(path string) {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxCustomerForm)
	if err := v.r.ParseForm(); err != nil {
		v.show(http.StatusRequestEntityTooLarge, "customer-problem", unreadableView)
		return
	}
	if v.party.CheckForm(v.w, v.r, v.session) {
		v.page(v, path)
	}
}

// show writes a page for whoever is logged in.
func (v *visit) show(status int, name string, page customerView) {
	v.greet(&page, v.session)
	v.write(v.w, status, name, page)
}

// greet puts who is logged in on a page.
func (x *customerSite) greet(page *customerView, session visitor.Session) {
	page.Person, page.Form, page.ACR, page.Since, page.Session = x.name(session), session.Form, session.ACR, session.Began, session
}

// write writes a page of the site.
func (x *customerSite) write(w http.ResponseWriter, status int, name string, page customerView) {
	page.Brand, page.Product, page.Home, page.Tabs = x.brand, x.vendor, x.home, x.tabs
	page.LoginPath, page.LogoutPath = x.party.LoginPath(), x.party.LogoutPath()
	page.NoForce = x.saml != nil && !x.saml.CanForce()
	x.s.pages.write(w, status, name, "customer", page)
}

// missing is the answer for what isn't there and for what the person may not see alike, as the vendors answer.
func (v *visit) missing() { v.show(http.StatusNotFound, "customer-problem", missingView) }

// back leads from a form to its page, with how it went.
func (v *visit) back(path, result string) {
	http.Redirect(v.w, v.r, path+"?"+url.Values{"result": {result}}.Encode(), http.StatusSeeOther)
}
