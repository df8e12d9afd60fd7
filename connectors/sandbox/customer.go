package sandbox

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/work"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// customerSite is a product as its customers use it: on a host of its own, behind a login. Nothing else of the sandbox is there.
type customerSite struct {
	s       *Sandbox
	product product
	home    string
	vendor  string    // the product that it stands in for; "" for none
	brand   [2]string // Japanese, English
	tabs    []customerTab
	party   door
	name    func(account string) string
	page    func(v *visit, path string) // answers below the product's prefix; a page that isn't there is missing
}

// What the sites stand in for.
const (
	vendorJira  = "Jira Service Management"
	vendorSlack = "Slack"
)

type customerTab struct{ ID, Path, Word, WordEN string }

// door is how people come in: by OpenID Connect (relying.Party) or by SAML (samlsp.Party).
type door interface {
	Host(host string) bool
	BaseURL() string
	// FormOrigin is the origin, besides the site's own, that a page with a logout button must let forms lead to; "" for none.
	FormOrigin() string
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
}

// openSites makes the sites that have a login.
func (s *Sandbox) openSites(jiraLogin, slackLogin *LoginOptions) error {
	if jiraLogin != nil {
		x := &customerSite{
			s: s, product: s.service, home: "/jira/requests", vendor: vendorJira, brand: [2]string{"ヘルプセンター", "Help centre"}, name: s.service.PersonName, page: jiraPage,
			tabs: []customerTab{{"requests", "/jira/requests", "依頼", "Requests"}, {"orgs", "/jira/organizations", "所属する組織", "Organizations"}},
		}
		if err := x.open(*jiraLogin, s.service); err != nil {
			return err
		}
	}
	if slackLogin != nil {
		x := &customerSite{
			s: s, product: s.workspace, home: "/slack/channels", vendor: vendorSlack, brand: [2]string{"連絡用ワークスペース", "Workspace"}, page: slackPage,
			tabs: []customerTab{{"channels", "/slack/channels", "チャンネル", "Channels"}},
			name: func(account string) string {
				u, _ := s.workspace.Member(account)
				return cmp.Or(u.DisplayName, u.UserName, account)
			},
		}
		if err := x.open(*slackLogin, s.workspace); err != nil {
			return err
		}
	}
	return nil
}

func (x *customerSite) open(opt LoginOptions, accounts visitor.Accounts) error {
	var err error
	x.party, err = relying.New(opt, visitor.Place{
		Name: x.product.Name(), Home: x.home, Now: x.s.now, Accounts: accounts, Pages: x, Logger: x.s.logger,
	})
	if err == nil {
		x.s.sites = append(x.s.sites, x)
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
	if p, path, ok := x.s.apiOf(r); ok && p == x.product {
		x.s.serveAPI(w, r, p, path)
		return
	}
	h := w.Header()
	// A logout leads to the provider: browsers hold form-action against where a form's answer redirects to as well.
	h.Set("Content-Security-Policy", strings.Replace(contentSecurityPolicy, "form-action 'self'", "form-action 'self' "+x.party.FormOrigin(), 1))
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
	prefix := "/" + x.product.Name()
	path, below := strings.CutPrefix(r.URL.Path, prefix+"/")
	switch {
	case r.Method == http.MethodPost:
		v.form(path)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case r.URL.Path == "/" || r.URL.Path == prefix || below && path == "":
		http.Redirect(w, r, x.home, http.StatusSeeOther)
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
	page.Person, page.Form, page.ACR, page.Since, page.Session = x.name(session.Account), session.Form, session.ACR, session.Began, session
}

// write writes a page of the site.
func (x *customerSite) write(w http.ResponseWriter, status int, name string, page customerView) {
	page.Brand, page.Product, page.Home, page.Tabs = x.brand, x.vendor, x.home, x.tabs
	page.LoginPath, page.LogoutPath = x.party.LoginPath(), x.party.LogoutPath()
	x.s.pages.write(w, status, name, "customer", page)
}

// missing is the answer for what isn't there and for what the person may not see alike, as the vendors answer.
func (v *visit) missing() { v.show(http.StatusNotFound, "customer-problem", missingView) }

// back leads from a form to its page, with how it went.
func (v *visit) back(path, result string) {
	http.Redirect(v.w, v.r, path+"?"+url.Values{"result": {result}}.Encode(), http.StatusSeeOther)
}
