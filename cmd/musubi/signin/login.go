package signin

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

const maxForm = 8 << 10 // bytes of a posted form: a name, a password, tokens

func loginPath(id identity.LoginID) string { return "/login/" + string(id) }

// LoginHandler serves a network's login host: signin's own pages, Config.Open, and Config.Home to who is logged in.
func (s *Site) LoginHandler(n policies.Network) http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /login":              s.begin,
		"GET /login/{id}":         s.view,
		"POST /login/{id}/begin":  s.form(s.method),
		"GET /login/{id}/by/{m}":  s.secret,
		"POST /login/{id}/by/{m}": s.form(s.submit),
		"GET /login/{id}/return":  s.returned,
		"POST /login/{id}/choose": s.form(s.choose),
		"POST /login/{id}/cancel": s.form(s.cancel),
		"GET /invitation/{path}":  s.invited,
		"GET /logout":             s.askLogout,
		"POST /logout":            s.form(s.logout),
		"GET /logout/done":        s.loggedOut,
	} {
		mux.HandleFunc(pattern, meant(serve))
	}
	mux.Handle("GET /sessions", meant(s.Require(http.HandlerFunc(s.list)).ServeHTTP))
	mux.Handle("POST /sessions/end", meant(s.Require(s.form(s.end)).ServeHTTP))
	mux.Handle("POST /sessions/post", meant(s.Require(s.form(s.changePost)).ServeHTTP))
	if s.cfg.Services != nil {
		mux.Handle("GET /services", meant(s.Require(http.HandlerFunc(s.services)).ServeHTTP))
	}
	if s.cfg.Open != nil {
		for pattern, h := range s.cfg.Open(n) {
			mux.Handle(pattern, h)
		}
	}
	var home http.Handler
	if s.cfg.Home != nil {
		home = s.cfg.Home(n)
	}
	if home == nil {
		mux.Handle("GET /{$}", s.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/sessions", http.StatusSeeOther)
		})))
		home = http.HandlerFunc(s.notFound)
		mux.Handle("/", home)
	} else {
		mux.Handle("/", s.Require(home))
	}
	for _, own := range []string{"/login/", "/invitation/", "/logout/", "/sessions/"} {
		mux.HandleFunc(own, s.notFound)
	}
	return s.here(n, network.RoleLogin, mux)
}

// pageTime is the longest that a page of ours may take.
const pageTime = 30 * time.Second

// meant serves what somebody really asks for. Looking at a login may end it, so what only looks ahead (HEAD, a browser's prefetch) gets nothing.
func meant(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			w.Header().Set("Allow", http.MethodGet)
			w.WriteHeader(http.StatusMethodNotAllowed)
		case strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch"):
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			ctx, cancel := context.WithTimeout(r.Context(), pageTime)
			defer cancel()
			serve(w, r.WithContext(ctx))
		}
	}
}

func (s *Site) notFound(w http.ResponseWriter, r *http.Request) {
	s.message(w, r, http.StatusNotFound, page.Sentence{
		What: page.Label{JA: "このページはありません。", EN: "There is no such page."},
		Do:   page.Label{JA: "アドレスを確かめるか、最初の画面から操作してください。", EN: "Check the address, or begin at the first page."},
	}, "/", buttonHome, "")
}

// form bounds and reads a posted form before serve sees it: one value to a field, nothing from the address.
func (s *Site) form(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		status := http.StatusBadRequest
		if err == nil && kind == "application/x-www-form-urlencoded" && r.URL.RawQuery == "" {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			err = r.ParseForm()
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				status = http.StatusRequestEntityTooLarge
			}
		} else {
			err = errors.New("no form")
		}
		for _, values := range r.PostForm {
			if len(values) != 1 || strings.ContainsRune(values[0], 0) {
				err = errors.New("a field twice")
			}
		}
		if err != nil {
			s.refuse(w, r, status, "form_unreadable", page.Sentence{
				What: page.Label{JA: "送信された内容を読み取れません。", EN: "What was sent can't be read."}, Do: page.Form().Do,
			}, "/", buttonHome)
			return
		}
		serve(w, r)
	}
}

func idOf(r *http.Request) identity.LoginID { return identity.LoginID(r.PathValue("id")) }

// view shows where a login stands. It may end it, where a session answers it.
func (s *Site) view(w http.ResponseWriter, r *http.Request) {
	n, err := s.dispatcher.View(r.Context(), visit(r, idOf(r)))
	s.next(w, r, n, err)
}

// method begins a way to prove oneself on a host of its own.
func (s *Site) method(w http.ResponseWriter, r *http.Request) {
	m := identity.MethodID(r.PostForm.Get("method"))
	n, err := s.dispatcher.Begin(r.Context(), visit(r, idOf(r)), r.PostForm.Get("form"), m)
	if err == nil && n.Instruction != nil {
		s.instruct(w, r, n, m)
		return
	}
	s.next(w, r, n, err)
}

func (s *Site) instruct(w http.ResponseWriter, r *http.Request, n login.Next, m identity.MethodID) {
	to := n.Instruction.Location
	if to == "" { // a page: its form begins the attempt that it submits
		http.Redirect(w, r, loginPath(n.Request.ID), http.StatusSeeOther)
		return
	}
	title, say := page.Label{JA: "本人確認", EN: "Proving who you are"}, page.Label{JA: "本人確認のページへ移動します。", EN: "Going on to the page that asks who you are."}
	if m == identity.MethodCard {
		to += "&login=" + string(n.Request.ID) // for the way back of who has to try again; no secret
		title, say = page.Label{JA: "カードの読み取り", EN: "Reading the card"}, page.Label{JA: "カードを読み取るページへ移動します。", EN: "Going on to the page that reads the card."}
	}
	if m == identity.MethodCard && s.cfg.CardVia != nil {
		to = s.cfg.CardVia(to)
		say = page.Label{
			JA: "実演用の環境です。カードの代わりに、試験用カードを選ぶページへ移動します。", EN: "This is a demonstration: going on to a page that plays the card.",
		}
	}
	// A form's policy holds over every redirect that follows it, as far as the relying party: so the browser goes on from a page of its own.
	s.show(w, r, page.Sheet{Name: page.Go, Title: title, Body: say, Onward: to})
}

// secret shows the form of a method that is a page.
func (s *Site) secret(w http.ResponseWriter, r *http.Request) {
	n, err := s.dispatcher.View(r.Context(), visit(r, idOf(r)))
	if err == nil && n.Refusal == nil {
		if s.secretForm(w, r, n, identity.MethodID(r.PathValue("m"))) {
			return
		}
	}
	s.next(w, r, n, err)
}

// submit begins an attempt and hands the form in with it: so a page has no ticket that goes stale, and each press of the button is one try.
func (s *Site) submit(w http.ResponseWriter, r *http.Request) {
	m := identity.MethodID(r.PathValue("m"))
	v, form := visit(r, idOf(r)), r.PostForm.Get("form")
	if !isSecret(m) {
		s.notFound(w, r)
		return
	}
	if m == identity.MethodInvitation { // people paste the whole address
		path := strings.TrimSpace(r.PostForm.Get(invitation.FieldPath))
		r.PostForm.Set(invitation.FieldPath, path[strings.LastIndexByte(path, '/')+1:])
	}
	n, err := s.dispatcher.Begin(r.Context(), v, form, m)
	if err != nil || n.Instruction == nil {
		s.next(w, r, n, err)
		return
	}
	n, err = s.dispatcher.Submit(r.Context(), v, form, n.Ticket, r)
	if err == nil && n.Answer == nil && n.Refusal != nil && s.secretForm(w, r, n, m) {
		return
	}
	if err == nil && m == identity.MethodInvitation && n.Refusal == nil {
		http.SetCookie(w, session.Forget(invitationCookie))
	}
	s.next(w, r, n, err)
}

// returned takes the browser back from the card host. The code leaves the address bar with the redirect.
func (s *Site) returned(w http.ResponseWriter, r *http.Request) {
	n, err := s.dispatcher.Return(r.Context(), visit(r, idOf(r)), r.URL.Query().Get("code"))
	if err == nil && n.Refusal == nil && n.Answer == nil {
		http.Redirect(w, r, loginPath(n.Request.ID), http.StatusSeeOther)
		return
	}
	s.next(w, r, n, err)
}

func (s *Site) choose(w http.ResponseWriter, r *http.Request) {
	n, err := s.dispatcher.Choose(r.Context(), visit(r, idOf(r)), r.PostForm.Get("form"), policies.OrgID(r.PostForm.Get("org")))
	s.next(w, r, n, err)
}

func (s *Site) cancel(w http.ResponseWriter, r *http.Request) {
	n, err := s.dispatcher.Cancel(r.Context(), visit(r, idOf(r)), r.PostForm.Get("form"))
	s.next(w, r, n, err)
}

// invitationCookie keeps the path of an invitation while its person puts the card on the reader.
const invitationCookie = "__Host-musubi-invitation"

// InvitationPath is the path, on the login host, of the link that goes to an invited person.
func InvitationPath(path string) string { return "/invitation/" + path }

// invited opens the link of an invitation: it keeps the path in the browser, out of the address, and begins a login.
func (s *Site) invited(w http.ResponseWriter, r *http.Request) {
	path, ok := session.ParseSecret(r.PathValue("path")) // as long as a path, and of the same letters
	if !ok {
		s.refuse(w, r, http.StatusNotFound, invitation.CodeInvalid, page.Reason(login.ReasonRejected, invitation.CodeInvalid), "", page.Label{})
		return
	}
	http.SetCookie(w, path.Cookie(invitationCookie))
	ask := hubAsk(r, "/")
	ask.Force = true // it is about a card, whoever is logged in
	s.Start(w, r, ask)
}
