package visitor

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Accounts is the site's own record of who may come in. All methods may be called from many goroutines.
type Accounts interface {
	// Admit finds the account of somebody whom the provider has named, and remembers the subject for the next time. email is the address
	// that the provider vouches for, "" for none. Errors: site.ErrNoAccount, site.ErrInactive, site.ErrLinked.
	Admit(issuer, subject, email string) (account string, err error)
	// Active says whether an account may be used now.
	Active(account string) bool
}

// Pages are what a person sees that isn't behind the login.
type Pages interface {
	Refused(w http.ResponseWriter, r *http.Request, no Refusal)
	// LoggedOut ends a logout.
	LoggedOut(w http.ResponseWriter, r *http.Request, how Leaving)
}

// Leaving is how a logout ended.
type Leaving string

// The ends of a logout.
const (
	Everywhere Leaving = "everywhere" // the provider was told, and confirmed it
	HereAlone  Leaving = "here"       // the provider couldn't be told
	NotOffered Leaving = "alone"      // the product doesn't tell its provider
	Partly     Leaving = "partly"     // the provider was told, and says that not everybody was
)

// Place is the site around its login.
type Place struct {
	Name     string // of the product, and of the cookies
	Home     string // path that a login without a destination ends at
	Now      func() time.Time
	Accounts Accounts
	Pages    Pages
	Logger   *slog.Logger
}

// Visitors are the people who are logged in to a site. All methods may be called from many goroutines.
type Visitors struct {
	Place

	base     string
	login    string   // path that begins a login
	closed   []string // paths below which no login ends
	random   io.Reader
	mu       sync.Mutex
	sessions map[Digest]*Session
}

// New makes the visitors of a site at base (see Base). login is the path that begins a login; no login ends there or below one of closed.
func New(place Place, base, login string, closed []string, random io.Reader) (*Visitors, error) {
	if place.Now == nil || place.Accounts == nil || place.Pages == nil || place.Name == "" || !LocalPath(place.Home) || random == nil {
		return nil, errors.New("the place has no name, home, clock, accounts, pages or randomness")
	}
	if place.Logger == nil {
		place.Logger = slog.New(slog.DiscardHandler)
	}
	return &Visitors{Place: place, base: base, login: login, closed: append(closed, login), random: random, sessions: map[Digest]*Session{}}, nil
}

// Base reads an https address without a path, such as "https://jira.localhost:8444".
func Base(name, text string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%s %q must be an https address without a path, such as https://jira.localhost:8444", name, text)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// BaseURL is the site as a browser sees it, without a slash at the end.
func (v *Visitors) BaseURL() string { return v.base }

// LoginPath begins a login.
func (v *Visitors) LoginPath() string { return v.login }

// Host says whether a request's Host is the site's.
func (v *Visitors) Host(host string) bool {
	own := strings.TrimPrefix(v.base, "https://")
	host = strings.ToLower(host)
	return host == own || host == strings.TrimSuffix(own, ":443") || host == own+":443"
}

// Current gives the session of a request. An account that may not be used any more has none.
func (v *Visitors) Current(r *http.Request) (Session, bool) {
	cookie := v.Cookie(r, SessionCookie)
	if cookie == "" {
		return Session{}, false
	}
	x, ok := v.find(cookie, v.Now())
	if !ok {
		return Session{}, false
	}
	if !v.Accounts.Active(x.Account) {
		v.drop(cookie)
		return Session{}, false
	}
	return x, true
}

// Require gives the session of a request. Without one, a page that was asked for comes after the login; a form is refused.
func (v *Visitors) Require(w http.ResponseWriter, r *http.Request) (Session, bool) {
	x, ok := v.Current(r)
	switch {
	case ok:
		return x, true
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, v.login+"?"+url.Values{"return": {r.URL.RequestURI()}}.Encode(), http.StatusFound)
	default:
		v.Refuse(w, r, &Refusal{Status: http.StatusUnauthorized, Reason: Unauthenticated})
	}
	return Session{}, false
}

// CheckForm refuses a form that another site, or a page of an older session, has sent.
func (v *Visitors) CheckForm(w http.ResponseWriter, r *http.Request, x Session) bool {
	origin, fetched := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	if (origin == "" || origin == v.base) && (fetched == "" || fetched == "same-origin" || fetched == "none") &&
		x.Form != "" && subtle.ConstantTimeCompare([]byte(r.PostFormValue("form")), []byte(x.Form)) == 1 {
		return true
	}
	v.Refuse(w, r, Refuse(FormForeign))
	return false
}

// Open keeps a session under a new cookie: whatever cookie the browser had before opens nothing any more.
func (v *Visitors) Open(w http.ResponseWriter, r *http.Request, x *Session) error {
	cookie, err := v.Secret()
	if err != nil {
		return err
	}
	x.Form, x.Began = formToken(cookie), v.Now()
	x.seen = x.Began
	v.keep(cookie, v.Cookie(r, SessionCookie), x)
	v.SetCookie(w, SessionCookie, cookie)
	return nil
}

// Drop ends the session of a request's browser.
func (v *Visitors) Drop(w http.ResponseWriter, r *http.Request) {
	v.drop(v.Cookie(r, SessionCookie))
	v.SetCookie(w, SessionCookie, "")
}

// Refuse shows why not, and logs the reason: nothing that was sent, and nobody's name.
func (v *Visitors) Refuse(w http.ResponseWriter, r *http.Request, no *Refusal) {
	v.Log(r.Context(), "login refused", no)
	v.Pages.Refused(w, r, *no)
}

// Log logs a refusal.
func (v *Visitors) Log(ctx context.Context, what string, no *Refusal) {
	v.Logger.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, what, slog.String("site", v.Name), slog.String("reason", string(no.Reason)),
		slog.String("code", no.Code), slog.String("incident", no.Incident))
}

// Target is where a login ends: a page beside the site's first one that isn't about logging in.
func (v *Visitors) Target(asked string) string {
	first, _, _ := strings.Cut(v.Home[1:], "/")
	u, err := url.Parse(asked)
	if err != nil || !LocalPath(asked) || !strings.HasPrefix(asked, "/"+first+"/") || strings.Contains(u.Path, "/..") { // also where it is written %2e%2e
		return v.Home
	}
	for _, closed := range v.closed {
		if strings.HasPrefix(asked, closed) {
			return v.Home
		}
	}
	return asked
}

const maxTarget = 512

// LocalPath says whether a text is a path of this site and can't be read as an address of another one.
func LocalPath(s string) bool {
	if s == "" || s[0] != '/' || len(s) > maxTarget || strings.HasPrefix(s, "//") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}
