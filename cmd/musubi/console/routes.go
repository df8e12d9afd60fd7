package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// pageTime is the longest time that a page may take: a plan of the whole country has to be decoded once.
const pageTime = 30 * time.Second

const contentSecurity = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// strictTransport: RFC 6797. No subdomain is spoken for: card host and login host are names of their own.
const strictTransport = "max-age=31536000"

// badRequest is a request that makes no sense; the sentence is shown.
type badRequest struct{ label }

// Error implements error.
func (b badRequest) Error() string { return b.EN }

// Handler gives the pages. It answers every path below /; requests for its own health are cmd's to answer.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, a := range c.assets {
		mux.Handle("GET "+path, a)
	}
	const orgs, people, plans = policies.ActionOrgRead, policies.ActionPeopleRead, policies.ActionPlanRead
	mux.Handle("GET /{$}", c.page(c.overview, orgs, people, plans))
	mux.Handle("GET /orgs", c.page(c.orgList, orgs, people, plans))
	mux.Handle("GET /orgs/{id}", c.page(c.orgPage, orgs, people, plans))
	mux.Handle("GET /plans/{hash}", c.page(c.planPage, plans, orgs, people))
	mux.Handle("GET /plans/{hash}/progress", c.page(c.progressPage, plans, orgs, people))
	mux.Handle("POST /plans/{hash}/approve", c.submit(c.approve, plans))
	mux.Handle("POST /plans/{hash}/apply", c.submit(c.apply, plans))
	mux.Handle("POST /plans/{hash}/stop", c.submit(c.stop, plans))
	mux.Handle("POST /plans", c.submit(c.makePlan, plans))
	mux.Handle("GET /quarantine", c.page(c.quarantinePage, plans, orgs, people))
	mux.Handle("GET /quarantine/{id}", c.page(c.quarantinedPage, plans, orgs, people))
	mux.Handle("POST /quarantine/{id}/retry", c.submit(c.decideQuarantine(provision.QuarantineRetry), plans))
	mux.Handle("POST /quarantine/{id}/ignore", c.submit(c.decideQuarantine(provision.QuarantineIgnored), plans))
	mux.Handle("GET /breakers", c.page(c.breakersPage, plans, orgs, people))
	mux.Handle("GET /breakers/{id}", c.page(c.breakerPage, plans, orgs, people))
	mux.Handle("POST /breakers/{id}/release", c.submit(c.release, plans, people))
	if c.cfg.Trials != nil {
		mux.Handle("GET /try", c.page(c.triesPage, plans, orgs, people))
		mux.Handle("GET /try/{kind}", c.page(c.tryPage, plans, orgs, people))
		mux.Handle("POST /try/{kind}", c.submit(c.try, plans))
		mux.Handle("POST /try/other", c.submit(c.other, plans))
		mux.Handle("GET /try/stories/{id}", c.page(c.storyPage, plans, orgs, people))
	}
	if c.cfg.Accounts != nil {
		mux.Handle("GET /people/{id}", c.page(c.personPage, people, orgs, plans))
		mux.Handle("GET /people/{id}/{act}", c.page(c.actPage, people, orgs, plans))
		mux.Handle("POST /people/{id}/{act}", c.submit(c.act, people, orgs, plans))
		mux.Handle("GET /records", c.page(c.recordsPage, orgs, people, plans))
		mux.Handle("GET /logouts", c.page(c.logoutsPage, orgs, people, plans))
	}
	if c.cfg.Login == nil {
		mux.HandleFunc("GET /open/{ticket}", c.showTicket)
		mux.HandleFunc("POST /open/{ticket}", c.useTicket)
		mux.HandleFunc("POST /logout", c.logout)
		mux.HandleFunc("GET /closed", c.closed)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			c.message(w, r, http.StatusMethodNotAllowed, messageMethod)
			return
		}
		c.message(w, r, http.StatusNotFound, messageNotFound)
	})
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.refused(w, r, messageCrossSite, c.incident(r, "a request from another site"))
	}))
	return c.guard(crossOrigin.Handler(mux))
}

// guard puts the safe headers on every answer. Without a Login it answers only to this machine's own names: a foreign name that resolves to
// loopback (DNS rebinding) gets nothing. With one, whoever listens has held the host name to the network (identity/network).
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurity)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Language", "ja")
		if c.cfg.Login != nil {
			h.Set("Strict-Transport-Security", strictTransport)
		}
		ctx, cancel := context.WithTimeout(r.Context(), pageTime)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if c.cfg.Login == nil && !loopback(r.Host) {
			c.message(w, r, http.StatusMisdirectedRequest, messageHost)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopback reports whether a Host header names this machine itself.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

// page makes a handler of a page that is for who may do the one action, and shows more to who may do the others.
func (c *Console) page(show func(context.Context, http.ResponseWriter, *http.Request, viewer) error, needs policies.Action, more ...policies.Action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := c.look(r.Context(), r, needs, more...)
		if err == nil {
			err = show(r.Context(), w, r, v)
		}
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

// fail shows what went wrong. The log says which page by its pattern: a path may be a secret.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	var bad badRequest
	var gone conflict
	var again proofNeeded
	switch {
	case errors.Is(err, errNoSession) && c.cfg.Login != nil:
		w.Header().Set("WWW-Authenticate", "MusubiLogin") // RFC 9110 wants a challenge; browsers know none for a login page
		c.message(w, r, http.StatusUnauthorized, messageLogin)
	case errors.Is(err, errSessionEnded):
		setCookie(w, "", -1)
		c.unauthorized(w, r, messageSessionEnded)
	case errors.Is(err, errNoSession):
		c.unauthorized(w, r, messageNoSession)
	case errors.Is(err, errForm):
		c.refused(w, r, messageForm, c.incident(r, "the form isn't of this session and page"))
	case errors.As(err, &again):
		c.render(w, r, http.StatusForbidden, c.pages.prove, frame{label: label{"もう一度、本人を確認してください", "Prove yourself again"}, Visitor: c.visitorAt(r), Body: again.proof})
	case errors.As(err, &gone):
		c.message(w, r, http.StatusConflict, gone.message)
	case errors.As(err, &bad):
		c.message(w, r, http.StatusBadRequest, message{label: label{"要求を読み取れません", "The request makes no sense"}, Say: bad.label})
	case errors.Is(err, identity.ErrNotFound):
		c.message(w, r, http.StatusNotFound, messageNotFound)
	case errors.Is(err, identity.ErrRefused):
		number := access.Incident(err)
		if number == "" {
			number = c.incident(r, "the page takes more than the policies permit")
		}
		c.refused(w, r, messageRefused, number)
	case r.Context().Err() != nil:
		c.cfg.Logger.WarnContext(r.Context(), "console: page took too long, or nobody waited for it", "page", r.Pattern, "error", err)
		w.Header().Set("Retry-After", "10")
		c.message(w, r, http.StatusServiceUnavailable, messageBusy)
	default:
		number := c.incident(r, "the page failed: the hub's log says why")
		c.cfg.Logger.ErrorContext(r.Context(), "console: page failed", "page", r.Pattern, "incident", number, "error", err)
		c.messageOf(w, r, http.StatusInternalServerError, messageFailed, number)
	}
}

func (c *Console) unauthorized(w http.ResponseWriter, r *http.Request, m message) {
	w.Header().Set("WWW-Authenticate", "MusubiTicket") // RFC 9110 wants a challenge; browsers know none for a one-time address
	c.message(w, r, http.StatusUnauthorized, m)
}

// showTicket shows the button that uses the ticket. Looking at the address alone, as link checkers and previews do, uses nothing.
func (c *Console) showTicket(w http.ResponseWriter, r *http.Request) {
	if err := ticketState(r.Context(), c.cfg.DB.Reader(), r.PathValue("ticket"), c.cfg.Now()); err != nil {
		c.failTicket(w, r, err)
		return
	}
	c.render(w, r, http.StatusOK, c.pages.open, frame{label: label{"管理画面を開く", "Open the console"}})
}

func (c *Console) useTicket(w http.ResponseWriter, r *http.Request) {
	cookie, err := redeem(r.Context(), c.cfg.DB, r.PathValue("ticket"), cookieOf(r), c.cfg.Now(), c.cfg.Random)
	if err != nil {
		c.failTicket(w, r, err)
		return
	}
	setCookie(w, cookie, int(sessionLife/time.Second))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (c *Console) failTicket(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errTicketUnknown):
		c.message(w, r, http.StatusNotFound, messageTicketUnknown)
	case errors.Is(err, errTicketUsed):
		c.message(w, r, http.StatusGone, messageTicketUsed)
	case errors.Is(err, errTicketExpired):
		c.message(w, r, http.StatusGone, messageTicketExpired)
	default:
		c.fail(w, r, err)
	}
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	if err := c.endSession(r.Context(), cookieOf(r)); err != nil {
		c.fail(w, r, err)
		return
	}
	setCookie(w, "", -1)
	http.Redirect(w, r, "/closed", http.StatusSeeOther)
}

func (c *Console) closed(w http.ResponseWriter, r *http.Request) {
	c.message(w, r, http.StatusOK, messageClosed)
}
