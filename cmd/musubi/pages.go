package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"sync"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/console"
	"github.com/musubi-hub/musubi/cmd/musubi/signin"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

// demoPages is what the pages have in a demonstration alone; zero elsewhere.
type demoPages struct {
	links  map[policies.Product]string
	notice string
	trials console.Trials
}

// newPages makes the hub's own pages. login is nil where no network has one: they then open by a one-time address.
func newPages(h *boot.Hub, login *console.Login, accounts *console.Accounts, demo demoPages) (*console.Console, error) {
	var shares quotaShares
	var looking sync.Mutex
	return console.New(console.Config{
		QuotaShare: func(ctx context.Context) string {
			looking.Lock()
			defer looking.Unlock()
			return shares.look(ctx, h, h.Now())
		},
		DB: h.DB, Directory: h.Directory, Provision: h.Provision, Resolver: h.Resolver, Planner: h.Planner, Connectors: h.Open,
		Breakers: h.Breakers, Another: h.AnotherAdministrator, Login: login, Accounts: accounts, Providers: h.Providers,
		ProductLinks: demo.links, Notice: demo.notice, Trials: demo.trials,
		TokenEnds: func(product policies.Product) (string, int, bool) {
			for _, p := range h.Products() {
				if p.Name == string(product) {
					return p.Token.Date, p.Token.Days, p.Token.Phase != boot.PhaseNone && p.Token.Phase != boot.PhaseLasting
				}
			}
			return "", 0, false
		},
		Now: h.Now, Random: rand.Reader, Logger: h.Log,
	})
}

// bySession is how people come to the pages who have logged in.
func bySession() *console.Login {
	return &console.Login{
		Who:   signin.Present,
		Prove: func(_ *http.Request, back string) string { return "/login?again=1&to=" + url.QueryEscape(back) },
		Logout: func(r *http.Request) console.LogoutForm {
			return console.LogoutForm{Path: "/logout", Fields: map[string]string{"token": signin.Token(r)}}
		},
		Sessions: "/sessions", Services: "/services",
	}
}

// accountsOf is what administrators do on the pages about how people log in.
func accountsOf(h *boot.Hub, a *boot.Accounts, invitations func(identity.Organization, string) string) *console.Accounts {
	return &console.Accounts{
		Releases: a.Releases, Passwords: a.Passwords, Sessions: h.Sessions, Invitations: a.Invitations, InvitationAddress: invitations,
		Logouts: func(ctx context.Context, states []logout.State, limit int) ([]logout.Receipt, error) {
			return logout.Receipts{DB: h.DB}.List(ctx, logout.Filter{States: states, Limit: limit})
		},
		Tell: h.TellPerson,
	}
}
