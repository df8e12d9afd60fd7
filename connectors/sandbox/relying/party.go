package relying

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// Party is a site as a relying party. All methods may be called from many goroutines.
type Party struct {
	*visitor.Visitors

	opt       Options
	endpoints Endpoints
	client    *http.Client
	discovery discovery
	keys      *keySet
	store     *store
}

// New makes a relying party. It asks the provider nothing yet: the provider may be started later.
func New(opt Options, place visitor.Place) (*Party, error) {
	if err := opt.check(); err != nil {
		return nil, fmt.Errorf("relying: %s: %w", place.Name, err)
	}
	below := "/" + place.Name
	visitors, err := visitor.New(place, opt.BaseURL, below+pathLogin, []string{below + pathLogout}, opt.Random)
	if err != nil {
		return nil, fmt.Errorf("relying: %w", err)
	}
	p := &Party{Visitors: visitors, opt: opt, client: client(opt.Transport), store: newStore(visitors)}
	p.keys = &keySet{party: p}
	p.endpoints, err = EndpointsOf(place.Name, opt.BaseURL)
	return p, err
}

// Endpoints gives the addresses that the provider must know.
func (p *Party) Endpoints() Endpoints { return p.endpoints }

// Clear forgets all logins and sessions.
func (p *Party) Clear() { p.store.clear() }

// LogoutPath takes the form of a page's logout button.
func (p *Party) LogoutPath() string { return "/" + p.Name + pathLogout }

// Handle answers the paths of login and logout; false for any other.
func (p *Party) Handle(w http.ResponseWriter, r *http.Request) bool {
	path, below := strings.CutPrefix(r.URL.Path, "/"+p.Name)
	if !below {
		return false
	}
	method, handler := http.MethodGet, p.login
	switch path {
	case pathLogin:
	case pathCallback:
		handler = p.callback
	case pathLogout:
		method, handler = http.MethodPost, p.logout
	case pathDone:
		handler = p.done
	case pathBackchannel:
		method, handler = http.MethodPost, p.backchannel
	case pathFrontchannel:
		handler = p.frontchannel
	default:
		return false
	}
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != method {
		w.Header().Set("Allow", method)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return true
	}
	handler(w, r)
	return true
}
