package samlidp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Purpose is of the keys that sign assertions, responses and metadata.
const Purpose keys.Purpose = "saml-rs256"

// Specs say how these keys are kept: published two weeks ahead, because products fetch metadata daily at best and some by hand; a retired one
// is published for two days.
func Specs() map[keys.Purpose]keys.Spec {
	return map[keys.Purpose]keys.Spec{Purpose: {Algorithm: keys.RSA2048, Ahead: 14 * 24 * time.Hour, Overlap: 48 * time.Hour}}
}

// The life times.
const (
	skew          = 3 * time.Minute // of others' clocks
	requestLife   = 5 * time.Minute // of an AuthnRequest
	assertionLife = 5 * time.Minute // to bring it to the provider
	grantLife     = 12 * time.Hour  // a provider's session may last as long
	linkLife      = 10 * time.Minute
	metadataLife  = rollover.CopyLife
	metadataCache = "PT6H"          // as rollover.Settle
	metadataKept  = 5 * time.Minute // a signed document is served again for so long, while its keys stay
)

// The bounds of what is sent.
const (
	maxQuery   = 32 << 10
	maxBody    = 128 << 10
	maxEncoded = 96 << 10 // of a message in base64
	maxRelay   = 80       // bytes of RelayState (SAML 2.0 Bindings, section 3.4.3)
)

// People reads what the directory says of a person, and of the organization of the post in which they act.
type People interface {
	Person(ctx context.Context, person policies.PersonID, org policies.OrgID) (identity.Person, identity.Organization, error)
}

// Browser is the session of a request's browser.
type Browser interface {
	// Current gives the session; ok is false where nobody is logged in.
	Current(r *http.Request) (s session.Session, ok bool, err error)
	// End ends the session, with its hooks, and takes the browser's cookie.
	End(w http.ResponseWriter, r *http.Request, s session.Session) error
}

// Sessions ends sessions at a provider's wish, with their hooks: session.Store. The error wraps identity.ErrNotFound where one has ended, or the
// provider wasn't told of it.
type Sessions interface {
	LogoutByParty(ctx context.Context, id identity.SessionID, party policies.RelyingPartyID, now time.Time) error
}

// Others knows the relying parties of other protocols: whether one of those that were told of a session isn't told of its end.
type Others interface {
	Untold(ctx context.Context, id identity.SessionID) (bool, error)
}

// Problem is what a page tells a person whose request can't be answered at a service provider.
type Problem struct {
	Status   int
	Reason   string // machine-readable
	Incident string // id of the audit row; empty where too many of the kind came in this second
}

// Onward takes the browser to a provider that has to be told of a logout: by Answer's address at once, or by its form. The provider sends it back;
// where it doesn't, Skip leads on.
type Onward struct {
	Answer       login.Answer
	RelyingParty policies.RelyingPartyID
	Number, Of   int // which one it is, of how many
	Skip         string
}

// LoggedOut ends a logout.
type LoggedOut struct {
	Known    bool // this browser's way is known; else there is nothing to tell
	Sessions []identity.SessionID
	Logouts  []Logout // what providers were told, and what they said
	Frames   []string // the page loads them in hidden frames
	Location string   // where the browser is wanted in the end; may be empty
	Resume   string   // where the way goes on, if it isn't over; may be empty
}

// Pages renders what people see.
type Pages interface {
	Problem(w http.ResponseWriter, r *http.Request, p Problem)
	Form(w http.ResponseWriter, r *http.Request, a login.Answer)
	Onward(w http.ResponseWriter, r *http.Request, o Onward)
	LoggedOut(w http.ResponseWriter, r *http.Request, l LoggedOut)
}

// Options say what a provider works with. All are needed.
type Options struct {
	DB       *sqldb.DB
	Keys     *keys.Ring       // with Specs
	Sealing  *keys.SealingKey // of the links that begin a login
	Parties  *sp.Registry
	Subjects *ppid.Store
	People   People
	Browser  Browser
	Pages    Pages
	// Start hands the browser with a checked request over to the dispatcher of logins.
	Start     func(w http.ResponseWriter, r *http.Request, ask login.Ask)
	Sessions  Sessions
	Others    Others
	Enqueue   access.LogoutEnqueuer
	Transport http.RoundTripper           // to providers, for logout by SOAP
	Origins   map[policies.Network]string // "https://HOST" or "https://HOST:PORT"
	Now       func() time.Time
	Random    io.Reader
	Logger    *slog.Logger
}

// Provider is the identity provider of all networks. It is safe for concurrent use.
type Provider struct {
	opt      Options
	linkKey  []byte
	throttle audit.Throttle
	rollover *rollover.Store
	metadata documents
}

// The provider is an issuer of logins, and hears of the end of sessions.
var (
	_ login.Issuer = (*Provider)(nil)
	_ session.Hook = (*Provider)(nil)
)

// New checks the options.
func New(opt Options) (*Provider, error) {
	if opt.DB == nil || opt.Keys == nil || opt.Sealing == nil || opt.Parties == nil || opt.Subjects == nil || opt.People == nil || opt.Browser == nil ||
		opt.Pages == nil || opt.Start == nil || opt.Sessions == nil || opt.Others == nil || opt.Enqueue == nil || opt.Transport == nil || opt.Now == nil || opt.Random == nil || opt.Logger == nil {
		return nil, errors.New("samlidp: an option is missing")
	}
	if !slices.Contains(opt.Keys.Purposes(), Purpose) {
		return nil, fmt.Errorf("samlidp: there are no keys for %s", Purpose)
	}
	if len(opt.Origins) == 0 {
		return nil, errors.New("samlidp: no network has an origin")
	}
	taken := map[string]policies.Network{}
	for n, origin := range opt.Origins {
		if !slices.Contains(policies.Networks(), n) {
			return nil, fmt.Errorf("samlidp: an origin for the unknown network %q", n)
		}
		if u, err := url.Parse(origin); err != nil || u.Host == "" || origin != "https://"+u.Host {
			return nil, fmt.Errorf("samlidp: the origin %q of %s: want https://HOST without a path", origin, n)
		}
		if other, ok := taken[origin]; ok {
			return nil, fmt.Errorf("samlidp: %s and %s share the origin %q", n, other, origin)
		}
		taken[origin] = n
	}
	key, err := opt.Sealing.Derive("musubi saml link v1")
	if err != nil {
		return nil, fmt.Errorf("samlidp: %w", err)
	}
	p := &Provider{opt: opt, linkKey: key, throttle: audit.Throttle{PerSecond: rowsPerSecond}, rollover: rollover.New(opt.DB, opt.Keys, Purpose)}
	if p.metadata.key, err = opt.Sealing.Derive(useMetadata); err != nil {
		return nil, fmt.Errorf("samlidp: %w", err)
	}
	return p, nil
}

// The paths of the end points. The metadata's address is the entity id.
const (
	pathMetadata = "/saml/metadata"
	pathSSO      = "/saml/sso"
	pathContinue = "/saml/continue"
	pathStart    = "/saml/start"
	pathSLO      = "/saml/slo"
	pathSOAP     = "/saml/slo/soap"
	pathNext     = "/saml/slo/next/" // with the id of a browser's way
	pathDone     = "/saml/slo/done/" // likewise, or without
)

// PathLeft shows a browser the end of its newest logout.
const PathLeft = pathDone

// EntityID names the provider of a network; empty where the network has none.
func (p *Provider) EntityID(n policies.Network) string {
	if origin := p.opt.Origins[n]; origin != "" {
		return EntityIDOf(origin)
	}
	return ""
}

// EntityIDOf names the provider of an origin.
func EntityIDOf(origin string) string { return origin + pathMetadata }

// Handler serves a network's end points. Which network a request comes from is decided by whoever calls this, never by the request.
func (p *Provider) Handler(n policies.Network) (http.Handler, error) {
	origin, ok := p.opt.Origins[n]
	if !ok {
		return nil, fmt.Errorf("samlidp: the network %q has no origin", n)
	}
	mux := http.NewServeMux()
	serve := func(pattern string, fn func(*call)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			c := &call{p: p, w: w, r: r, network: n, origin: origin, at: p.opt.Now().UnixMicro()}
			for name, value := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
				w.Header().Set(name, value)
			}
			if "https://"+r.Host != origin {
				c.page("", "saml.request", &fault{http: http.StatusMisdirectedRequest, reason: "host"})
				return
			}
			if r.URL.Path != pathMetadata && !meant(w, r) {
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			fn(c)
		})
	}
	serve("GET "+pathMetadata, (*call).metadata)
	serve("GET "+pathMetadata+"/{party}/{mark}", (*call).metadataOf)
	serve("GET "+pathSSO, (*call).redirected)
	serve("POST "+pathSSO, (*call).posted)
	serve("GET "+pathContinue, (*call).resume)
	serve("GET "+pathStart, (*call).start)
	serve("GET "+pathSLO, (*call).sloRedirected)
	serve("POST "+pathSLO, (*call).sloPosted)
	serve("POST "+pathSOAP, (*call).sloSOAP)
	serve("GET "+pathNext+"{id}", (*call).next)
	serve("GET "+pathDone+"{$}", (*call).done)
	serve("GET "+pathDone+"{id}", (*call).done)
	return mux, nil
}

// meant reports whether somebody really asks, and answers whoever only looks ahead (HEAD, a browser's prefetch): a request counts once.
func meant(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Method == http.MethodHead:
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return false
	case strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch"):
		w.WriteHeader(http.StatusServiceUnavailable)
		return false
	}
	return true
}

// call is one request.
type call struct {
	p       *Provider
	w       http.ResponseWriter
	r       *http.Request
	network policies.Network
	origin  string
	at      int64 // UTC, microseconds
}

func (c *call) entityID() string { return c.origin + pathMetadata }

// sso is the address that requests are for.
func (c *call) sso() string { return c.origin + pathSSO }

// slo is the address that logout messages are for, sloSOAPAt the one for those by SOAP.
func (c *call) slo() string       { return c.origin + pathSLO }
func (c *call) sloSOAPAt() string { return c.origin + pathSOAP }
