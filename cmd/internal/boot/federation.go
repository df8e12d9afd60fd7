package boot

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/metadata"
	"github.com/musubi-hub/musubi/sync/notice"
)

// Federation is login as it is served: the dispatcher with its methods and issuers, in the networks that are configured.
type Federation struct {
	*Accounts
	Networks   *network.Table
	Dispatcher *login.Dispatcher
	Provider   *oidcop.Provider
	SAML       *samlidp.Provider
	Card       *mynumber.Method // nil: no network has a card host
	Lists      *mynumber.Lists  // of revoked cards; nil with Card
	Challenges *mynumber.Challenges
	Local      *mynumber.Local
}

// Faces is what the pages give to a federation.
type Faces struct {
	Pages     oidcop.Pages
	SAMLPages samlidp.Pages
	Browser   oidcop.Browser
	Start     func(w http.ResponseWriter, r *http.Request, ask login.Ask)
	Hub       login.Issuer // of the hub's own pages
	ReturnTo  func(n policies.Network, id identity.LoginID, code string) string
	CardPath  string // on the card host: where a card is read
}

// Networks gives the table of the networks that have a login; nil where none has.
func (h *Hub) Networks() (*network.Table, error) {
	if len(h.Config.Gates) == 0 {
		return nil, nil
	}
	c := network.Config{Networks: map[policies.Network]network.Hosts{}, Listeners: map[string]network.Listener{}}
	for n, g := range h.Config.Gates {
		c.Networks[n] = network.Hosts{Login: g.LoginHost, Card: g.CardHost}
		l := network.Listener{Network: n}
		if len(g.Proxies) > 0 {
			from, err := config.ParseProxies(g.Proxies)
			if err != nil {
				return nil, Usage(fmt.Errorf("%s.proxies: %w", n, err))
			}
			l = network.Listener{Proxies: []network.Proxy{{From: from, Network: n}}}
		}
		c.Listeners[string(n)] = l
	}
	t, err := network.New(c)
	if err != nil {
		return nil, Usage(err)
	}
	return t, nil
}

// Federate makes login of everything that is configured. The hub must be one that works.
func (h *Hub) Federate(ctx context.Context, table *network.Table, faces Faces) (*Federation, error) {
	accounts, err := h.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	f := &Federation{Accounts: accounts, Networks: table}
	if h.Config.Card != nil {
		if err := h.openCard(f, faces.CardPath); err != nil {
			return nil, err
		}
	}
	if h.Config.Password.BreachedFile == "" {
		h.Log.WarnContext(ctx, "no list of breached passwords is configured (password.breached_file): new passwords are checked for length and guesses alone")
	}
	issuers := map[policies.Network]string{}
	for n, g := range h.Config.Gates {
		issuers[n] = "https://" + g.LoginHost
	}
	transport, err := h.backchannel()
	if err != nil {
		return nil, err
	}
	f.Provider, err = oidcop.New(oidcop.Options{
		DB: h.DB, Keys: h.Keys, Parties: h.Parties, Subjects: accounts.Subjects, People: h,
		Standing: &oidcop.Sessions{Store: h.Sessions, Parties: h.Entrances, Policy: h.Engine, Now: h.Now},
		Browser:  faces.Browser, Pages: faces.Pages, Start: faces.Start, Enqueue: h.Logouts, Transport: transport, Issuers: issuers,
		Now: h.Now, Random: rand.Reader, Logger: h.Log,
	})
	if err != nil {
		return nil, err
	}
	h.provider.Store(f.Provider)
	f.SAML, err = samlidp.New(samlidp.Options{
		DB: h.DB, Keys: h.Keys, Sealing: h.seal, Parties: h.SPs, Subjects: accounts.Subjects, People: h, Browser: faces.Browser, Pages: faces.SAMLPages,
		Start: faces.Start, Sessions: h.Sessions, Others: oidcop.Receipts{DB: h.DB}, Enqueue: h.Logouts.SAML(), Transport: transport,
		Origins: issuers, Now: h.Now, Random: rand.Reader, Logger: h.Log,
	})
	if err != nil {
		return nil, err
	}
	h.saml.Store(f.SAML)
	offers, err := h.offers(f)
	if err != nil {
		return nil, err
	}
	f.Dispatcher, err = login.New(login.Config{
		DB: h.DB, Now: h.Now, Random: rand.Reader, People: h.Resolver, Posts: h.Posts, Policy: h.Engine, Parties: h.Entrances, Sessions: h.Sessions,
		Offers: offers, Issuers: map[identity.IssuerID]login.Issuer{
			identity.IssuerOIDC: f.Provider, identity.IssuerSAML: f.SAML, identity.IssuerHub: faces.Hub,
		},
		ReturnTo: faces.ReturnTo,
	})
	return f, err
}

// Offers says which methods are offered in which networks, by the configuration alone: without their code.
func (h *Hub) Offers() map[identity.MethodID]login.Offer {
	var all, cards []policies.Network
	for n, g := range h.Config.Gates {
		all = append(all, n)
		if g.CardHost != "" && h.Config.Card != nil {
			cards = append(cards, n)
		}
	}
	offers := map[identity.MethodID]login.Offer{}
	if len(all) > 0 {
		offers[identity.MethodBreakGlass] = login.Offer{Reach: policies.AssuranceSingle, Networks: all, Use: login.UseLogin}
	}
	if len(cards) > 0 { // without a card there is nothing to link
		offers[identity.MethodCard] = login.Offer{Reach: policies.AssuranceCard, Networks: cards, Use: login.UseLogin}
		offers[identity.MethodPassword] = login.Offer{Reach: policies.AssuranceSingle, Networks: cards, Use: login.UseLink}
		offers[identity.MethodInvitation] = login.Offer{Reach: policies.AssuranceSingle, Networks: cards, Use: login.UseLink}
	}
	return offers
}

// offers registers the code of every method.
func (h *Hub) offers(f *Federation) (map[identity.MethodID]login.Offer, error) {
	offers := h.Offers()
	link, err := password.NewMethod(f.Passwords, password.KindLink, h.Dated)
	if err != nil {
		return nil, err
	}
	sealed, err := password.NewMethod(f.Passwords, password.KindSealed, h.Dated)
	if err != nil {
		return nil, err
	}
	of := func(id identity.MethodID, m login.Method) {
		o := offers[id]
		o.Method = m
		offers[id] = o
	}
	of(identity.MethodBreakGlass, sealed)
	if f.Card != nil {
		of(identity.MethodCard, notice.Card{Method: f.Card, Notices: h.Persons, People: h.Resolver})
		of(identity.MethodPassword, link)
		of(identity.MethodInvitation, invitation.NewMethod(f.Invitations))
	}
	return offers, nil
}

func (h *Hub) openCard(f *Federation, path string) error {
	c := h.Config.Card
	profile, anchors, err := readCard(c)
	if err != nil {
		return err
	}
	if f.Lists, err = mynumber.NewLists(profile, anchors); err != nil {
		return Usage(err)
	}
	f.Challenges = mynumber.NewChallenges(h.DB, rand.Reader)
	if f.Local, err = mynumber.NewLocal(profile, anchors, f.Lists, f.Challenges); err != nil {
		return Usage(err)
	}
	cfg := mynumber.Config{Verifier: f.Local, Links: f.Links, Hosts: map[policies.Network]string{}, Path: path, OriginBound: c.Origins == "yes"}
	for n, g := range h.Config.Gates {
		if g.CardHost == "" {
			continue
		}
		cfg.Hosts[n] = "https://" + g.CardHost
		if len(g.Proxies) > 0 {
			from, err := config.ParseProxies(g.Proxies)
			if err != nil {
				return Usage(err)
			}
			cfg.Proxies = append(cfg.Proxies, mynumber.Proxy{Name: string(n), Addresses: from, Keys: g.ProxyKeys})
		}
	}
	if len(cfg.Hosts) == 0 {
		return nil
	}
	f.Card, err = mynumber.New(cfg)
	return err
}

// readCard reads the rules and the anchors of cards.
func readCard(c *config.Card) (*cert.Profile, *cert.Anchors, error) {
	configs := cert.Profiles()
	if c.ProfileFile != "" {
		file, err := os.Open(c.ProfileFile)
		if err != nil {
			return nil, nil, Usage(fmt.Errorf("card.profile_file: %w", err))
		}
		more, err := cert.ReadProfiles(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, nil, Usage(fmt.Errorf("card.profile_file %s: %w", c.ProfileFile, err))
		}
		configs = append(configs, more...)
	}
	var profile *cert.Profile
	var names []string
	for _, x := range configs { // a file's profile of a built-in one's name stands for it
		names = append(names, x.Name)
		if x.Name != c.Profile {
			continue
		}
		var err error
		if profile, err = cert.NewProfile(x); err != nil {
			return nil, nil, Usage(fmt.Errorf("card.profile: %w", err))
		}
	}
	if profile == nil {
		return nil, nil, Usage(fmt.Errorf("card.profile: there is no profile %q; there are %s", c.Profile, strings.Join(names, ", ")))
	}
	text, err := config.ReadPublic(c.AnchorsFile)
	if err != nil {
		return nil, nil, Usage(fmt.Errorf("card.anchors_file: %w", err))
	}
	var ders [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, nil, Usage(fmt.Errorf("card.anchors_file %s: it holds %s; only certificates belong there", c.AnchorsFile, block.Type))
		}
		ders = append(ders, block.Bytes)
	}
	if len(ders) == 0 {
		return nil, nil, Usage(fmt.Errorf("card.anchors_file %s: no certificate in PEM form", c.AnchorsFile))
	}
	anchors, err := cert.ParseAnchors(ders)
	if err != nil {
		return nil, nil, Usage(fmt.Errorf("card.anchors_file %s: %w", c.AnchorsFile, err))
	}
	return profile, anchors, nil
}

// WatchCards reads the lists of revoked cards now, and again and again until ctx ends. Whoever's card is on a new list is logged out.
func (h *Hub) WatchCards(ctx context.Context, f *Federation) {
	if f.Lists == nil {
		return
	}
	tick := time.NewTicker(time.Duration(h.Config.Card.CRLEvery * float64(time.Second)))
	defer tick.Stop()
	f.Lists.Watch(ctx, os.DirFS(h.Config.Card.CRLFolder), tick.C, h.Now, func(r mynumber.Report, err error) {
		if err != nil {
			h.Log.ErrorContext(ctx, "the folder of lists of revoked cards", "error", err)
		}
		for _, x := range r.Refused {
			h.Log.WarnContext(ctx, "a list of revoked cards was refused", "file", x.File, "error", x.Why)
		}
		for _, x := range r.Taken {
			n, err := f.Releases.EndRevoked(ctx, x.List, h.Now())
			if err != nil {
				h.Log.ErrorContext(ctx, "ending the sessions of revoked cards", "file", x.File, "error", err)
			}
			h.Log.InfoContext(ctx, "a list of revoked cards is in use", "file", x.File, "overdue", x.Old, "linked_cards_on_it", n)
		}
	})
}

// backchannel is the way to relying parties.
func (h *Hub) backchannel() (http.RoundTripper, error) {
	if h.outward != nil {
		return h.outward, nil
	}
	settings, err := tlsOf(h.Config.Backchannel)
	if err != nil {
		return nil, Usage(err)
	}
	return outbound.NewTransport(outbound.Network{TLS: settings, Proxy: h.Config.Backchannel.Proxy, Env: http.ProxyFromEnvironment})
}

// Providers counts what there is to look at of SAML service providers.
func (h *Hub) Providers(ctx context.Context) (sp.Summary, error) {
	return h.Metadata.Summary(ctx, h.Now().UnixMicro())
}

// RefreshMetadata gives the way by which a provider's metadata is read anew at a person's word.
func (h *Hub) RefreshMetadata() (metadata.Refresher, error) {
	transport, err := h.backchannel()
	if err != nil {
		return metadata.Refresher{}, err
	}
	return metadata.Refresher{Sources: h.Metadata, Fetcher: metadata.Fetcher{Transport: transport}, Now: h.Now}, nil
}

// ServerCertificate reads the certificate of a network's hosts.
func ServerCertificate(g *config.Gate) (tls.Certificate, error) {
	chain, err := config.ReadPublic(g.CertificateFile)
	if err != nil {
		return tls.Certificate{}, Usage(err)
	}
	key, err := config.ReadKey(g.KeyFile)
	if err != nil {
		return tls.Certificate{}, Usage(err)
	}
	pair, err := tls.X509KeyPair(chain, []byte(key))
	if err != nil {
		return tls.Certificate{}, Usage(fmt.Errorf("%s and %s: %w", g.CertificateFile, g.KeyFile, err)) // the error names no key
	}
	return pair, nil
}
