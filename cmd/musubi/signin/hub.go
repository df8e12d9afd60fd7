package signin

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/door"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// HubParty is the relying party of the hub's own pages.
const HubParty policies.RelyingPartyID = "musubi"

// Hub is what policies read of HubParty, for login.Config.Parties.
func (s *Site) Hub() policies.RelyingParty {
	rp := policies.RelyingParty{ID: HubParty, Hub: true}
	for _, n := range policies.Networks() {
		if s.cfg.Table.URL(n, network.RoleLogin, "") != "" {
			rp.Networks = append(rp.Networks, n)
		}
	}
	return rp
}

// Issuer is the login.Issuer of the hub's own pages: the session itself is the answer, and the browser goes back to the page that asked for it.
func (s *Site) Issuer() login.Issuer { return hub{s.cfg.Table} }

type hub struct{ table *network.Table }

// hubFacts are the protocol facts of HubParty's requests.
type hubFacts struct {
	Return string `json:"return"` // path and query on the login host
}

// maxReturn bounds a path to return to; a longer one is forgotten.
const maxReturn = 2000

// Finish implements login.Issuer.
func (h hub) Finish(_ context.Context, _ *sql.Tx, r login.Request, _ identity.Login) (login.Answer, error) {
	return h.answer(r)
}

// Refuse implements login.Issuer. The page that shows the refusal offers the address to begin anew.
func (h hub) Refuse(_ context.Context, _ *sql.Tx, r login.Request, _ login.Refusal) (login.Answer, error) {
	return h.answer(r)
}

func (h hub) answer(r login.Request) (login.Answer, error) {
	path, err := returnPath(r)
	if err != nil {
		return login.Answer{}, err
	}
	to := h.table.URL(r.Network, network.RoleLogin, path)
	if err := h.table.Stays(r.Network, to); err != nil {
		return login.Answer{}, fmt.Errorf("signin: where the hub's page is: %w", err)
	}
	return login.Answer{Location: to}, nil
}

func returnPath(r login.Request) (string, error) {
	var f hubFacts
	if err := json.Unmarshal(r.Facts, &f); err != nil {
		return "", fmt.Errorf("signin: the facts of a request of the hub's own: %w", err)
	}
	return local(f.Return), nil
}

// local gives a path with its query on this host, or "/" for what is none: another host, a page that would begin, move or end a login.
func local(path string) string {
	u, err := url.Parse(path)
	if err != nil || len(path) > maxReturn || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || u.Host != "" || u.Scheme != "" ||
		u.Fragment != "" || strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == '\\' || c >= 0x7f }) {
		return "/"
	}
	for _, own := range []string{"/login", "/logout", "/oidc", "/saml", "/invitation"} {
		if u.Path == own || strings.HasPrefix(u.Path, own+"/") {
			return "/"
		}
	}
	return path
}

// Start hands a browser with a checked request over to the dispatcher: oidcop.Options.Start.
func (s *Site) Start(w http.ResponseWriter, r *http.Request, ask login.Ask) {
	if s.dispatcher == nil {
		s.broken(w, r, errors.New("the site isn't bound to a dispatcher"))
		return
	}
	place, ok := door.Place(r.Context())
	if !ok || place.Network != ask.Network {
		s.broken(w, r, fmt.Errorf("a login in the network %q by a door of %q", ask.Network, place.Network))
		return
	}
	req, browser, err := s.dispatcher.Start(r.Context(), ask, session.FromRequest(r, login.CookieName))
	if err != nil {
		s.broken(w, r, err)
		return
	}
	http.SetCookie(w, browser.Cookie(login.CookieName))
	http.Redirect(w, r, loginPath(req.ID), http.StatusSeeOther)
}

// hubAsk is a login to the hub's own pages that leads to a path.
func hubAsk(r *http.Request, to string) login.Ask {
	place, _ := door.Place(r.Context())
	facts, err := json.Marshal(hubFacts{Return: local(to)})
	if err != nil { // a string is always JSON
		facts = []byte(`{"return":"/"}`)
	}
	return login.Ask{Issuer: identity.IssuerHub, RelyingParty: HubParty, Facts: facts, Network: place.Network}
}

// begin serves GET /login: a login to the hub's own pages, which leads to the path in "to". With "again" a session doesn't do.
func (s *Site) begin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	ask := hubAsk(r, q.Get("to"))
	ask.Force = q.Get("again") != ""
	s.Start(w, r, ask)
}

// freshness is a step-up: the least that was proven, and how long ago at most.
type freshness struct {
	least  policies.Assurance
	maxAge time.Duration // 0: at any time
}

func (f freshness) met(x session.Session, now time.Time) bool {
	return x.Assurance >= f.least && (f.maxAge == 0 || now.UnixMicro()-x.AuthAt <= f.maxAge.Microseconds())
}
