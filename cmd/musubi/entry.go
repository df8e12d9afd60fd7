package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/gate"
	"github.com/musubi-hub/musubi/cmd/musubi/cardapi"
	"github.com/musubi-hub/musubi/cmd/musubi/signin"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/door"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/policies"
)

// entry is login as it is served: a gate for each network.
type entry struct {
	*boot.Federation
	site   *signin.Site
	gates  []*gate.Gate
	failed chan error
}

// entryOptions is what a demonstration has beside a hub; zero elsewhere.
type entryOptions struct {
	wrap      func(http.Handler) http.Handler   // around everything, for traces; may be nil
	listeners map[policies.Network]net.Listener // that are open already
	cardVia   func(location string) string      // a page that plays the card
	pages     demoPages                         // what the hub's own pages have
}

// openEntry opens login in every network that has one; nil where none has.
func openEntry(ctx context.Context, h *boot.Hub, o entryOptions) (_ *entry, err error) {
	table, err := h.Networks()
	if err != nil || table == nil {
		return nil, err
	}
	e := &entry{failed: make(chan error, len(h.Config.Gates))}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	pages, err := newPages(h, bySession(), accountsOf(h, accounts, func(org identity.Organization, path string) string {
		return table.URL(networkOf(h, org), network.RoleLogin, "/invitation/"+url.PathEscape(path))
	}), o.pages)
	if err != nil {
		return nil, err
	}
	// The site is an issuer of the dispatcher and the pages of the provider, and serves both: these come later.
	var provider, saml, api late
	e.site, err = signin.New(signin.Config{
		DB: h.DB, Table: table, People: h.Resolver, Posts: h.Posts, Policy: h.Engine, Now: h.Now, Random: rand.Reader, Logger: h.Log,
		Home: func(policies.Network) http.Handler { return pages.Handler() },
		Open: func(n policies.Network) map[string]http.Handler {
			return map[string]http.Handler{"/oidc/": provider.at(n), "/.well-known/": provider.at(n), "/saml/": saml.at(n)}
		},
		PartyName: func(ctx context.Context, id policies.RelyingPartyID) (page.Label, bool) { return partyName(ctx, h, id) },
		Leave: func(w http.ResponseWriter, r *http.Request, n policies.Network, l samlidp.Leaving) (string, bool, error) {
			return e.SAML.Leave(w, r, n, l) // made below, before the first request
		},
		Parties: h.Parties, Services: e.services(h), CardAPI: api.at(""), CardVia: o.cardVia, Notice: o.pages.notice,
	})
	if err != nil {
		return nil, err
	}
	e.Federation, err = h.Federate(ctx, table, boot.Faces{
		Pages: e.site.Pages(), SAMLPages: e.site.SAMLPages(), Browser: e.site.Browser(), Start: e.site.Start, Hub: e.site.Issuer(), ReturnTo: e.site.ReturnTo, CardPath: signin.CardPath,
	})
	if err != nil {
		return nil, err
	}
	openid, assertions := map[policies.Network]http.Handler{}, map[policies.Network]http.Handler{}
	for n := range h.Config.Gates {
		if openid[n], err = e.Provider.Handler(n); err != nil {
			return nil, err
		}
		if assertions[n], err = e.SAML.Handler(n); err != nil {
			return nil, err
		}
	}
	provider.set(openid)
	saml.set(assertions)
	if e.Card != nil {
		cards, err := cardapi.New(cardapi.Config{Tickets: e.Dispatcher, Method: e.Card, Schemes: e.Local.Schemes(), Visit: cardVisit, Log: h.Log})
		if err != nil {
			return nil, err
		}
		api.set(map[policies.Network]http.Handler{"": cards})
	}
	e.site.Bind(e.Dispatcher, h.Sessions)
	h.ServePages(table.URL(networkOf(h, identity.Organization{Kind: policies.KindAgency}), network.RoleLogin, ""))
	for n, g := range h.Config.Gates {
		if err := e.open(ctx, h, n, g, o); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *entry) open(ctx context.Context, h *boot.Hub, n policies.Network, g *config.Gate, o entryOptions) error {
	handler := e.site.Listener(string(n))
	if o.wrap != nil {
		handler = o.wrap(handler)
	}
	cfg := gate.Config{
		Address: g.Listen, Listener: o.listeners[n], LoginHost: g.LoginHost, CardHost: g.CardHost, Modern: h.Config.Card != nil && h.Config.Card.TLS13 == "yes",
		ProxyKeys: len(g.ProxyKeys) > 0, Handler: handler, Log: h.Log.With(slog.String("network", string(n))),
	}
	if g.CertificateFile != "" {
		cfg.Certificate = func() (tls.Certificate, error) { return boot.ServerCertificate(g) }
	}
	opened, err := gate.Open(ctx, cfg)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) {
			return boot.Outside(err)
		}
		return err
	}
	e.gates = append(e.gates, opened)
	go func() {
		select {
		case err := <-opened.Failed():
			e.failed <- err
		case <-ctx.Done():
		}
	}()
	return nil
}

// broken gives the error of a gate that stopped by itself; it never comes where there is no login.
func (e *entry) broken() <-chan error {
	if e == nil {
		return nil
	}
	return e.failed
}

func (e *entry) close() {
	if e == nil {
		return
	}
	for _, g := range e.gates {
		g.Close()
	}
	e.gates = nil
}

// cardVisit is who asks for a challenge on the card host. Sessions and login cookies aren't sent there.
func cardVisit(r *http.Request) (login.Visit, bool) {
	place, ok := door.Place(r.Context())
	if !ok || place.Role != network.RoleCard {
		return login.Visit{}, false
	}
	v := login.Visit{Network: place.Network, Agent: r.UserAgent()}
	if place.Client.IsValid() {
		v.Address = place.Client.String()
	}
	return v, true
}

// networkOf is the network in which people of an organization log in first: local governments from LGWAN, ministries from the government's
// network, everybody else from the internet, where these have a login.
func networkOf(h *boot.Hub, org identity.Organization) policies.Network {
	wanted := []policies.Network{policies.NetworkInternet, policies.NetworkLGWAN, policies.NetworkGovernment}
	switch org.Kind {
	case policies.KindPrefecture, policies.KindMunicipality, policies.KindWard, policies.KindUnion:
		wanted = []policies.Network{policies.NetworkLGWAN, policies.NetworkInternet, policies.NetworkGovernment}
	case policies.KindAgency, policies.KindMinistry:
		wanted = []policies.Network{policies.NetworkGovernment, policies.NetworkInternet, policies.NetworkLGWAN}
	}
	for _, n := range wanted {
		if h.Config.Gates[n] != nil {
			return n
		}
	}
	return policies.NetworkInternet
}

// partyName says what people call a relying party.
func partyName(ctx context.Context, h *boot.Hub, id policies.RelyingPartyID) (page.Label, bool) {
	x, err := h.Entrances.Find(ctx, id)
	if err != nil || x.Name == "" {
		return page.Label{}, false
	}
	return page.Label{JA: x.Name, EN: x.Name}, true
}

// late is a handler for each network that is set before the first request and after whoever routes to it.
type late struct {
	by atomic.Pointer[map[policies.Network]http.Handler]
}

func (l *late) set(by map[policies.Network]http.Handler) { l.by.Store(&by) }

func (l *late) at(n policies.Network) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if by := l.by.Load(); by != nil && (*by)[n] != nil {
			(*by)[n].ServeHTTP(w, r)
			return
		}
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
	})
}

// addresses are where people log in.
func (e *entry) addresses() (all []string) {
	for _, n := range policies.Networks() {
		if at := e.Networks.URL(n, network.RoleLogin, ""); at != "" {
			all = append(all, at)
		}
	}
	return all
}

// elsewhere answers on the loopback address, where there are no pages once there is a login.
func (e *entry) elsewhere(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusNotFound)
	_, _ = fmt.Fprintf(w, "画面はログインして開きます。 / The pages ask for login: %s\n", strings.Join(e.addresses(), ", "))
}
