package relying

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

// Party is a site as a relying party. All methods may be called from many goroutines.
type Party struct {
	opt       Options
	place     Place
	endpoints Endpoints
	client    *http.Client
	discovery discovery
	keys      *keySet
	store     *store
}

// New makes a relying party. It asks the provider nothing yet: the provider may be started later.
func New(opt Options, place Place) (*Party, error) {
	if err := opt.check(); err != nil {
		return nil, fmt.Errorf("relying: %s: %w", place.Name, err)
	}
	if place.Now == nil || place.Accounts == nil || place.Pages == nil || place.Name == "" || !localPath(place.Home) {
		return nil, errors.New("relying: the place has no name, home, clock, accounts or pages")
	}
	if place.Logger == nil {
		place.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Party{opt: opt, place: place, client: client(opt.Transport), store: newStore()}
	p.keys = &keySet{party: p}
	var err error
	p.endpoints, err = EndpointsOf(place.Name, opt.BaseURL)
	return p, err
}

// Endpoints gives the addresses that the provider must know.
func (p *Party) Endpoints() Endpoints { return p.endpoints }

// BaseURL is the site as a browser sees it, without a slash at the end.
func (p *Party) BaseURL() string { return p.opt.BaseURL }

// Host says whether a request's Host is the site's.
func (p *Party) Host(host string) bool {
	own := strings.TrimPrefix(p.opt.BaseURL, "https://")
	host = strings.ToLower(host)
	return host == own || host == strings.TrimSuffix(own, ":443") || host == own+":443"
}

// Clear forgets all logins and sessions.
func (p *Party) Clear() { p.store.clear() }

// FormOrigin is the origin, besides the site's own, that a page with a logout button must let forms lead to.
func (p *Party) FormOrigin() string { return p.issuerOrigin() }

// Handle answers the paths of login and logout; false for any other.
func (p *Party) Handle(w http.ResponseWriter, r *http.Request) bool {
	path, below := strings.CutPrefix(r.URL.Path, "/"+p.place.Name)
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

// Current gives the session of a request. An account that may not be used any more has none.
func (p *Party) Current(r *http.Request) (Session, bool) {
	cookie := p.cookie(r, sessionCookie)
	if cookie == "" {
		return Session{}, false
	}
	x, ok := p.store.find(cookie, p.place.Now())
	if !ok {
		return Session{}, false
	}
	if !p.place.Accounts.Active(x.Account) {
		p.store.drop(cookie)
		return Session{}, false
	}
	return x, true
}

// Require gives the session of a request. Without one, a page that was asked for comes after the login; a form is refused.
func (p *Party) Require(w http.ResponseWriter, r *http.Request) (Session, bool) {
	x, ok := p.Current(r)
	switch {
	case ok:
		return x, true
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		to := "/" + p.place.Name + pathLogin + "?" + url.Values{"return": {r.URL.RequestURI()}}.Encode()
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, to, http.StatusFound)
	default:
		p.refused(w, r, &Refusal{Status: http.StatusUnauthorized, Reason: Unauthenticated})
	}
	return Session{}, false
}

// CheckForm refuses a form that another site, or a page of an older session, has sent.
func (p *Party) CheckForm(w http.ResponseWriter, r *http.Request, x Session) bool {
	origin, fetched := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	if (origin == "" || origin == p.opt.BaseURL) && (fetched == "" || fetched == "same-origin" || fetched == "none") &&
		x.Form != "" && subtle.ConstantTimeCompare([]byte(r.PostFormValue("form")), []byte(x.Form)) == 1 {
		return true
	}
	p.refused(w, r, refuse(FormForeign))
	return false
}

// refused shows why not, and logs the reason: nothing that was sent, and nobody's name.
func (p *Party) refused(w http.ResponseWriter, r *http.Request, no *Refusal) {
	p.log(r.Context(), "login refused", no)
	p.place.Pages.Refused(w, r, *no)
}

func (p *Party) log(ctx context.Context, what string, no *Refusal) {
	p.place.Logger.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, what, slog.String("site", p.place.Name), slog.String("reason", string(no.Reason)),
		slog.String("code", no.Code), slog.String("incident", no.Incident))
}

// The cookies: __Host- keeps each to this very host, and to https.
const (
	sessionCookie = "session"
	browserCookie = "browser"
	secretBytes   = 32
)

func (p *Party) cookieName(kind string) string { return "__Host-" + p.place.Name + "-" + kind }

// cookie gives a cookie's value, "" for none and for two.
func (p *Party) cookie(r *http.Request, kind string) string {
	found := r.CookiesNamed(p.cookieName(kind))
	if len(found) != 1 || len(found[0].Value) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return ""
	}
	return found[0].Value
}

func (p *Party) setCookie(w http.ResponseWriter, kind, value string) {
	c := &http.Cookie{Name: p.cookieName(kind), Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// secret draws 256 bits.
func (p *Party) secret() (string, error) {
	var b [secretBytes]byte
	if _, err := io.ReadFull(p.opt.Random, b[:]); err != nil {
		return "", fmt.Errorf("relying: no randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// formToken is made from the session's cookie, so that only its own pages can know it.
func formToken(cookie string) string {
	sum := sha256.Sum256([]byte("form\x00" + cookie))
	return hex.EncodeToString(sum[:])
}

const maxTarget = 512

// localPath says whether a text is a path of this site and can't be read as an address of another one.
func localPath(s string) bool {
	if s == "" || s[0] != '/' || len(s) > maxTarget || strings.HasPrefix(s, "//") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}
