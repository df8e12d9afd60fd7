package oidcop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// The purposes of the keys that sign ID and logout tokens.
const (
	PurposeES256 keys.Purpose = "oidc-es256"
	PurposeRS256 keys.Purpose = "oidc-rs256"
)

// Specs say how these keys are kept: published a day ahead, and for two days after they retired.
func Specs() map[keys.Purpose]keys.Spec {
	return map[keys.Purpose]keys.Spec{
		PurposeES256: {Algorithm: keys.P256, Ahead: 24 * time.Hour, Overlap: 48 * time.Hour},
		PurposeRS256: {Algorithm: keys.RSA2048, Ahead: 24 * time.Hour, Overlap: 48 * time.Hour},
	}
}

// The life times. All that a grant gives ends with it at the latest, and with the session before that.
const (
	codeLife    = 60 * time.Second
	tokenLife   = 5 * time.Minute // of access and ID tokens
	pushedLife  = 60 * time.Second
	grantLife   = 12 * time.Hour
	confirmLife = 10 * time.Minute
	keepUsed    = time.Hour // how long a used code is known after its end, so that its reuse is noticed
)

// Holder is whom a token speaks of.
type Holder struct {
	Session      identity.SessionID
	Person       policies.PersonID
	Org          policies.OrgID
	RelyingParty policies.RelyingPartyID
	Network      policies.Network
}

// Standing tells whether what a login gave still counts: the session stands, the person is in service. It reads the database at each call;
// why is empty where everything stands, else a machine-readable reason.
type Standing interface {
	Standing(ctx context.Context, h Holder) (why string, err error)
}

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

// Problem is what a page tells a person whose request can't be answered at a relying party.
type Problem struct {
	Status   int
	Reason   string // machine-readable
	Incident string // id of the audit row; empty where too many of the kind came in this second
}

// Confirmation asks the person whether to log out. The form is posted to Action with Token in the field "token".
type Confirmation struct{ Action, Token string }

// LoggedOut ends a logout: the page loads Frames in hidden frames (OpenID Connect Front-Channel Logout 1.0) and leads to Location, which
// may be empty. Session is the one that ended; empty where there was none.
type LoggedOut struct {
	Session  identity.SessionID
	Frames   []string
	Location string
}

// Pages renders what people see.
type Pages interface {
	Problem(w http.ResponseWriter, r *http.Request, p Problem)
	Form(w http.ResponseWriter, r *http.Request, a login.Answer)
	Confirm(w http.ResponseWriter, r *http.Request, c Confirmation)
	LoggedOut(w http.ResponseWriter, r *http.Request, l LoggedOut)
}

// Options say what a provider works with. All are needed.
type Options struct {
	DB       *sqldb.DB
	Keys     *keys.Ring // with Specs
	Parties  *party.Registry
	Subjects *ppid.Store
	People   People
	Standing Standing
	Browser  Browser
	Pages    Pages
	// Start hands the browser with a checked request over to the dispatcher of logins.
	Start     func(w http.ResponseWriter, r *http.Request, ask login.Ask)
	Enqueue   access.LogoutEnqueuer
	Transport http.RoundTripper           // to relying parties, for back-channel logout
	Issuers   map[policies.Network]string // "https://HOST" or "https://HOST:PORT"
	Now       func() time.Time
	Random    io.Reader
	Logger    *slog.Logger
}

// Provider is the OpenID provider of all networks. It is safe for concurrent use.
type Provider struct {
	opt      Options
	throttle audit.Throttle
}

// The provider is an issuer of logins, and hears of the end of sessions.
var (
	_ login.Issuer = (*Provider)(nil)
	_ session.Hook = (*Provider)(nil)
)

// New checks the options.
func New(opt Options) (*Provider, error) {
	if opt.DB == nil || opt.Keys == nil || opt.Parties == nil || opt.Subjects == nil || opt.People == nil || opt.Standing == nil || opt.Browser == nil ||
		opt.Pages == nil || opt.Start == nil || opt.Enqueue == nil || opt.Transport == nil || opt.Now == nil || opt.Random == nil || opt.Logger == nil {
		return nil, errors.New("oidcop: an option is missing")
	}
	for _, p := range []keys.Purpose{PurposeES256, PurposeRS256} {
		if !slices.Contains(opt.Keys.Purposes(), p) {
			return nil, fmt.Errorf("oidcop: there are no keys for %s", p)
		}
	}
	seen := map[string]bool{}
	for n, issuer := range opt.Issuers {
		u, err := url.Parse(issuer)
		switch {
		case !slices.Contains(policies.Networks(), n):
			return nil, fmt.Errorf("oidcop: an issuer for the unknown network %q", n)
		case err != nil || u.Scheme != "https" || u.Host == "" || issuer != "https://"+u.Host:
			return nil, fmt.Errorf("oidcop: the issuer %q of %s: want https://HOST without a path", issuer, n)
		case seen[issuer]:
			return nil, fmt.Errorf("oidcop: two networks share the issuer %q", issuer)
		}
		seen[issuer] = true
	}
	if len(seen) == 0 {
		return nil, errors.New("oidcop: no network has an issuer")
	}
	return &Provider{opt: opt, throttle: audit.Throttle{PerSecond: rowsPerSecond}}, nil
}

// The paths of the end points.
const (
	pathDiscovery = "/.well-known/openid-configuration"
	pathMetadata  = "/.well-known/oauth-authorization-server" // RFC 8414
	pathKeys      = "/oidc/keys"
	pathAuthorize = "/oidc/authorize"
	pathPush      = "/oidc/par"
	pathToken     = "/oidc/token"
	pathUserinfo  = "/oidc/userinfo"
	pathInspect   = "/oidc/introspect"
	pathRevoke    = "/oidc/revoke"
	pathLogout    = "/oidc/logout"
	pathConfirm   = "/oidc/logout/confirm"
)

// Handler serves a network's end points. Which network a request comes from is decided by whoever calls this, never by the request.
func (p *Provider) Handler(n policies.Network) (http.Handler, error) {
	issuer, ok := p.opt.Issuers[n]
	if !ok {
		return nil, fmt.Errorf("oidcop: the network %q has no issuer", n)
	}
	mux := http.NewServeMux()
	for path, serve := range map[string]func(*call){
		"GET " + pathDiscovery: (*call).discovery, "GET " + pathMetadata: (*call).discovery, "GET " + pathKeys: (*call).keys,
		"GET " + pathAuthorize: (*call).authorize, "POST " + pathAuthorize: (*call).authorize,
		"POST " + pathPush: (*call).push, "POST " + pathToken: (*call).token,
		"GET " + pathUserinfo: (*call).userinfo, "POST " + pathUserinfo: (*call).userinfo,
		"POST " + pathInspect: (*call).introspect, "POST " + pathRevoke: (*call).revoke,
		"GET " + pathLogout: (*call).logout, "POST " + pathLogout: (*call).logout, "POST " + pathConfirm: (*call).confirm,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			c := &call{p: p, w: w, r: r, network: n, issuer: issuer, at: p.now()}
			if "https://"+r.Host != issuer {
				c.misdirected()
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Referrer-Policy", "no-referrer")
			serve(c)
		})
	}
	return mux, nil
}

func (p *Provider) now() int64 { return p.opt.Now().UnixMicro() }

func purposeOf(alg jose.SignatureAlgorithm) keys.Purpose {
	if alg == jose.RS256 {
		return PurposeRS256
	}
	return PurposeES256
}

// call is one request.
type call struct {
	p       *Provider
	w       http.ResponseWriter
	r       *http.Request
	network policies.Network
	issuer  string
	at      int64 // UTC, microseconds
	// spend keeps that the client assertion was used, or gives errReplayed; nil where there is none, or it was kept.
	spend func(context.Context, *sql.Tx) error
}

func (c *call) after(d time.Duration) int64 { return c.at + d.Microseconds() }
