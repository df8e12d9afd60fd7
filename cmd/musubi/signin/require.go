package signin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/door"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

type presentKey struct{}

// present is who is logged in.
type present struct {
	actor   access.Actor
	session session.Session
}

// Present gives who is logged in, in the post in which they act, and the session. ok is false outside of Require: nobody is.
func Present(r *http.Request) (access.Actor, session.Session, bool) {
	p, ok := r.Context().Value(presentKey{}).(present)
	return p.actor, p.session, ok
}

// Require serves next to who is logged in, and to nobody else. Session, person, post and policy are read anew for each request. A page that
// somebody opens without a session begins a login that leads back to it; anything else is refused, and done neither now nor later.
func (s *Site) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := s.enter(w, r); ok {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), presentKey{}, p)))
		}
	})
}

// RequireFresh is a step-up: next is served where the newest proof reaches least and isn't older than maxAge (0: however old). It may stand within
// Require, or by itself.
func (s *Site) RequireFresh(least policies.Assurance, maxAge time.Duration, next http.Handler) http.Handler {
	f := freshness{least, maxAge}
	fresh := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, x, _ := Present(r)
		if f.met(x, s.cfg.Now()) {
			next.ServeHTTP(w, r)
			return
		}
		if !opens(r) {
			s.refuse(w, r, http.StatusForbidden, "step_up", page.Sentence{
				What: page.Label{JA: "もう一度、本人確認が必要です。", EN: "You have to prove who you are once more."},
				Do:   page.Label{JA: "この操作は実行していません。本人確認のあとで、もう一度操作してください。", EN: "This wasn't done. Prove who you are, then do it again."},
			}, "/login?again=1", page.Label{JA: "本人確認をする", EN: "Prove who I am"})
			return
		}
		ask := hubAsk(r, r.URL.RequestURI())
		ask.Required, ask.MaxAge, ask.HasMaxAge = least, maxAge, maxAge > 0
		s.Start(w, r, ask)
	})
	outside := s.Require(fresh)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, in := Present(r); in {
			fresh.ServeHTTP(w, r)
			return
		}
		outside.ServeHTTP(w, r)
	})
}

// read gives the session of the request's browser. ok is false where nobody is logged in.
func (s *Site) read(r *http.Request) (p present, ok bool, err error) {
	place, known := door.Place(r.Context())
	if !known || s.sessions == nil {
		return present{}, false, errors.New("a session is asked for behind no door, or before Bind")
	}
	x, a, err := s.sessions.Read(r.Context(), session.FromRequest(r, session.CookieName), place.Network, s.cfg.Now())
	if errors.Is(err, identity.ErrRefused) {
		return present{}, false, nil
	}
	return present{a, x}, err == nil, err
}

// enter reads the session, or answers.
func (s *Site) enter(w http.ResponseWriter, r *http.Request) (present, bool) {
	p, ok, err := s.read(r)
	switch {
	case err != nil:
		s.broken(w, r, err)
	case ok:
		return p, true
	case opens(r):
		s.Start(w, r, hubAsk(r, r.URL.RequestURI()))
	default:
		w.Header().Set("WWW-Authenticate", "MusubiSession") // RFC 9110 wants a challenge; browsers know none for a session
		incident := ""
		if r.Method != http.MethodGet && r.Method != http.MethodHead { // somebody's wish wasn't done
			incident = s.door.Record(r.Context(), door.Incident{Action: "http.request", Reason: "no_session"})
		}
		s.message(w, r, http.StatusUnauthorized, page.Sentence{
			What: page.Label{JA: "ログインしていません。", EN: "You aren't logged in."},
			Do: page.Label{
				JA: "ログイン状態が終わったため、この操作は実行していません。ログインしてから、もう一度操作してください。",
				EN: "Your session has ended, so this wasn't done. Log in and do it again.",
			},
		}, "/login?to="+url.QueryEscape(backTo(r)), page.Label{JA: "ログインする", EN: "Log in"}, incident)
	}
	return present{}, false
}

// backTo is a page near what couldn't be done.
func backTo(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.URL.RequestURI()
	}
	return "/"
}

// opens reports whether a person opens a page, so that a login may begin; a style sheet, a program or a form may not be led astray.
func opens(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "" {
		return dest == "document"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// token is what the forms of a session's own pages carry.
func token(r *http.Request) string {
	return session.FromRequest(r, session.CookieName).Derive("signin pages of the session")
}

// Token gives the form token that /logout and the pages below /sessions want in the field "token", for pages that carry such forms; empty
// where there is no session.
func Token(r *http.Request) string { return token(r) }
