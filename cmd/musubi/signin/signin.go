package signin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/door"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// The addresses that others have to know.
const (
	CardPath = "/card" // on the card host: mynumber.Config.Path, and boot's
	CardAPI  = "/api/" // on the card host: below it Config.CardAPI is served
)

// Posts gives the posts in which somebody may act: access.Posts.
type Posts interface {
	Choices(ctx context.Context, a access.Actor, at int64) ([]access.Actor, error)
}

// Policy says how long a session lasts: policies.Engine.
type Policy interface {
	MayStay(p policies.Person, s policies.Stay) (policies.Decision, error)
}

// Config is what cmd gives. What stands below Logger may be left out.
type Config struct {
	DB     *sqldb.DB
	Table  *network.Table
	People session.People // access.Resolver: the person anew
	Posts  Posts
	Policy Policy
	Now    func() time.Time
	Random io.Reader // cryptographically strong
	Logger *slog.Logger

	// Home gives what a network's login host shows to who is logged in, below every path that isn't signin's own or in Open: the console. nil: one's
	// own sessions are all there is.
	Home func(policies.Network) http.Handler
	// Open gives what a network's login host serves to everybody, by patterns of http.ServeMux: the OpenID provider's and SAML's end points, the API.
	Open func(policies.Network) map[string]http.Handler
	// PartyName says what people call a relying party; ok is false where nobody knows. nil: nobody does.
	PartyName func(ctx context.Context, id policies.RelyingPartyID) (name page.Label, ok bool)
	// Leave takes a browser whose session has ended through the services that only it can tell: samlidp.Provider.Leave. nil: there are none.
	Leave func(w http.ResponseWriter, r *http.Request, n policies.Network, l samlidp.Leaving) (path string, onward bool, err error)
	// Parties are the OpenID relying parties: with them the last page of a logout says what each service was told. nil: it doesn't.
	Parties *party.Registry
	// Services gives what somebody may enter, for the page of services; nil: there is no such page.
	Services func(ctx context.Context, a access.Actor, s session.Session) ([]page.Service, error)
	// CardAPI is served on the card host below /api/: signed challenges for agents.
	CardAPI http.Handler
	// CardVia leads the browser to a page that plays the card, in place of location on the card host. In demonstrations alone: each page says so.
	CardVia func(location string) string
	Notice  string // shown on every page
}

// Site is the pages of all networks. It is safe for concurrent use after Bind.
type Site struct {
	cfg        Config
	pages      *page.Renderer
	door       *door.Door
	dispatcher *login.Dispatcher
	sessions   *session.Store
}

// New checks cfg. The dispatcher needs what is made of the site (Issuer, ReturnTo, and Start, Pages and Browser for the providers), so it comes later: Bind.
func New(cfg Config) (*Site, error) {
	if cfg.DB == nil || cfg.Table == nil || cfg.People == nil || cfg.Posts == nil || cfg.Policy == nil || cfg.Now == nil || cfg.Random == nil || cfg.Logger == nil {
		return nil, errors.New("signin: DB, Table, People, Posts, Policy, Now, Random and Logger are required")
	}
	pages, err := page.New(cfg.Notice, cfg.Now, cfg.Logger)
	if err != nil {
		return nil, err
	}
	d, err := door.New(door.Config{DB: cfg.DB, Table: cfg.Table, Pages: pages, Now: cfg.Now, Random: cfg.Random, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	return &Site{cfg: cfg, pages: pages, door: d}, nil
}

// Bind gives the site its dispatcher and the sessions, before the first request: until then every page is an error.
func (s *Site) Bind(d *login.Dispatcher, sessions *session.Store) {
	s.dispatcher, s.sessions = d, sessions
}

// ReturnTo is login.Config.ReturnTo.
func (s *Site) ReturnTo(n policies.Network, id identity.LoginID, code string) string {
	return s.cfg.Table.URL(n, network.RoleLogin, loginPath(id)+"/return?code="+url.QueryEscape(code))
}

// Listener gives the handler of a listening socket by its name in the network table: the front door, and behind it the login and card hosts.
func (s *Site) Listener(name string) http.Handler {
	type host struct {
		n    policies.Network
		role network.Role
	}
	hosts := map[host]http.Handler{}
	for _, n := range policies.Networks() {
		if s.cfg.Table.URL(n, network.RoleLogin, "") != "" {
			hosts[host{n, network.RoleLogin}] = s.LoginHandler(n)
		}
		if s.cfg.Table.URL(n, network.RoleCard, "") != "" {
			hosts[host{n, network.RoleCard}] = s.CardHandler(n)
		}
	}
	return s.door.Listener(name, func(n policies.Network, role network.Role) http.Handler { return hosts[host{n, role}] })
}

// here makes a handler serve one network's host alone, behind a door, once the site is bound.
func (s *Site) here(n policies.Network, role network.Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		place, ok := door.Place(r.Context())
		switch {
		case !ok || place.Network != n || place.Role != role:
			s.broken(w, r, fmt.Errorf("a request that came by no door, or by another than that of %s %s", n, role))
		case s.dispatcher == nil || s.sessions == nil:
			s.broken(w, r, errors.New("the site isn't bound to a dispatcher"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// visit is the browser at a request.
func visit(r *http.Request, id identity.LoginID) login.Visit {
	place, _ := door.Place(r.Context())
	v := login.Visit{
		ID: id, Browser: session.FromRequest(r, login.CookieName), Session: session.FromRequest(r, session.CookieName),
		Network: place.Network, Agent: r.UserAgent(),
	}
	if place.Client.IsValid() {
		v.Address = place.Client.String()
	}
	return v
}

func networkName(r *http.Request) page.Label {
	place, _ := door.Place(r.Context())
	if place.Network == "" {
		return page.Label{}
	}
	return page.Label(place.Network.Name())
}

// show fills in what every page has.
func (s *Site) show(w http.ResponseWriter, r *http.Request, sheet page.Sheet) {
	sheet.Network = networkName(r)
	if sheet.Status == 0 {
		sheet.Status = http.StatusOK
	}
	s.pages.Show(w, r, sheet)
}

// message shows a sentence with a way on; link may be empty.
func (s *Site) message(w http.ResponseWriter, r *http.Request, status int, say page.Sentence, link string, button page.Label, incident string) {
	s.show(w, r, page.Sheet{
		Name: page.Message, Status: status, Title: say.What, Body: page.MessageBody{Do: say.Do, Link: link, Button: button, Incident: incident},
	})
}

// broken shows that something failed inside. What, the log and the audit row say; the page has the number.
func (s *Site) broken(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil { // nobody waits any more
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	incident := s.door.Record(r.Context(), door.Incident{Action: "http.request", Reason: "internal", Err: err})
	w.Header().Set("Retry-After", "10")
	s.message(w, r, http.StatusInternalServerError, page.Broken(), "", page.Label{}, incident)
}

// refuse shows and records a refusal that the edge itself decided.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, status int, reason string, say page.Sentence, link string, button page.Label) {
	incident := s.door.Record(r.Context(), door.Incident{Action: "http.request", Reason: reason})
	s.message(w, r, status, say, link, button, incident)
}

var buttonHome = page.Label{JA: "最初の画面へ", EN: "To the first page"}
