package signin

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

var (
	askTitle  = page.Label{JA: "ログアウトしますか", EN: "Log out?"}
	askButton = page.Label{JA: "ログアウトする", EN: "Log out"}
)

// owns reports whether a posted form came from a page of this session, and answers where it didn't.
func (s *Site) owns(w http.ResponseWriter, r *http.Request) bool {
	want := token(r)
	if want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(r.PostForm.Get("token"))) == 1 {
		return true
	}
	s.refuse(w, r, http.StatusForbidden, "csrf", page.Form(), "/sessions", page.Label{JA: "ログイン状態の画面へ", EN: "To your sessions"})
	return false
}

// list shows one's own sessions.
func (s *Site) list(w http.ResponseWriter, r *http.Request) {
	actor, own, _ := Present(r)
	now := s.cfg.Now()
	all, err := s.sessions.List(r.Context(), own, now)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	posts, err := s.held(r, actor, now)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	body := page.SessionsBody{Token: token(r), Post: postOf(actor), Services: s.cfg.Services != nil}
	names := map[policies.OrgID]string{}
	for _, p := range posts {
		post := postOf(p)
		names[p.Org.ID] = post.Name
		if p.Org.ID != own.Org {
			body.Others = append(body.Others, post)
		}
	}
	if body.Idle, body.Age, err = s.limits(actor, own); err != nil {
		s.broken(w, r, err)
		return
	}
	for _, x := range all {
		org := names[x.Org]
		if org == "" {
			org = string(x.Org)
		}
		body.List = append(body.List, page.Session{
			ID: string(x.ID), Org: org, Agent: agentName(x.Agent), This: x.ID == own.ID, Since: x.CreatedAt, Seen: x.SeenAt,
			Network: page.Label(x.Network.Name()), Method: methodName(x),
		})
		body.More = body.More || x.ID != own.ID
	}
	sort.SliceStable(body.List, func(i, j int) bool { return body.List[i].This && !body.List[j].This })
	s.show(w, r, page.Sheet{
		Name: page.Sessions, Title: page.Label{JA: "ログイン状態", EN: "Your sessions"}, Body: body,
		Visitor: &page.Visitor{Name: actor.Person.DisplayName(), Org: body.Post.Name, Token: body.Token},
	})
}

// held gives all posts of the person behind an actor who acts in one of them.
func (s *Site) held(r *http.Request, actor access.Actor, now time.Time) ([]access.Actor, error) {
	whole, err := s.cfg.People.Person(r.Context(), actor.Person.ID)
	if err != nil {
		return nil, err
	}
	return s.cfg.Posts.Choices(r.Context(), whole, now.UnixMicro())
}

// limits asks the policies how long a session like this one lasts: without a request, and at all.
func (s *Site) limits(actor access.Actor, own session.Session) (idle, age time.Duration, err error) {
	stays := func(stay policies.Stay) bool {
		stay.Network, stay.Sealed = own.Network, own.Sealed()
		d, e := s.cfg.Policy.MayStay(actor.Policy(), stay)
		err = errors.Join(err, e)
		return d.Allow
	}
	most := int(session.MaxAge / time.Minute)
	i := sort.Search(most, func(m int) bool { return !stays(policies.Stay{Idle: time.Duration(m) * time.Minute}) })
	a := sort.Search(most, func(m int) bool { return !stays(policies.Stay{Age: time.Duration(m) * time.Minute}) })
	return time.Duration(i) * time.Minute, time.Duration(a) * time.Minute, err
}

// end ends one of one's own sessions, or all others.
func (s *Site) end(w http.ResponseWriter, r *http.Request) {
	if !s.owns(w, r) {
		return
	}
	_, own, _ := Present(r)
	now, which := s.cfg.Now(), identity.SessionID(r.PostForm.Get("session"))
	ids := []identity.SessionID{which}
	if which == "others" {
		all, err := s.sessions.List(r.Context(), own, now)
		if err != nil {
			s.broken(w, r, err)
			return
		}
		ids = ids[:0]
		for _, x := range all {
			if x.ID != own.ID {
				ids = append(ids, x.ID)
			}
		}
	}
	for _, id := range ids {
		if err := s.sessions.EndOwn(r.Context(), own, id, now); err != nil && !errors.Is(err, identity.ErrNotFound) { // it has ended meanwhile
			s.broken(w, r, err)
			return
		}
	}
	http.Redirect(w, r, "/sessions", http.StatusSeeOther)
}

// changePost begins a login that asks for the post.
func (s *Site) changePost(w http.ResponseWriter, r *http.Request) {
	if !s.owns(w, r) {
		return
	}
	ask := hubAsk(r, "/sessions")
	ask.Choose = true
	s.Start(w, r, ask)
}

// askLogout asks before it logs out: a link must log nobody out.
func (s *Site) askLogout(w http.ResponseWriter, r *http.Request) {
	_, ok, err := s.read(r)
	switch {
	case err != nil:
		s.broken(w, r, err)
	case !ok:
		http.Redirect(w, r, "/logout/done", http.StatusSeeOther)
	default:
		s.show(w, r, page.Sheet{Name: page.Confirm, Title: askTitle, Body: page.ConfirmBody{
			Say: page.Label{
				JA: "結びからログアウトします。結びから入ったサービスにも知らせます。", EN: "You leave Musubi; the services that you entered through it are told.",
			},
			Button: askButton, Action: "/logout", Token: token(r), Back: "/",
		}})
	}
}

// logout ends the session; relying parties are told by the sessions' hooks. A form without a token is asked for its wish instead.
func (s *Site) logout(w http.ResponseWriter, r *http.Request) {
	if r.PostForm.Get("token") == "" {
		s.askLogout(w, r)
		return
	}
	if !s.owns(w, r) {
		return
	}
	was, in, err := s.read(r)
	if err == nil {
		err = s.sessions.Logout(r.Context(), session.FromRequest(r, session.CookieName), s.cfg.Now())
	}
	if err != nil {
		s.broken(w, r, err)
		return
	}
	http.SetCookie(w, session.Forget(session.CookieName))
	if in && s.cfg.Leave != nil {
		s.leave(w, r, samlidp.Leaving{Session: was.session.ID})
		return
	}
	http.Redirect(w, r, "/logout/done", http.StatusSeeOther)
}

// loggedOut is the end of a logout that nothing is known of. Whoever still has a way to go through services is led to it.
func (s *Site) loggedOut(w http.ResponseWriter, r *http.Request) {
	for _, c := range r.Cookies() {
		if s.cfg.Leave != nil && strings.HasPrefix(c.Name, samlidp.LeaveCookie) {
			http.Redirect(w, r, samlidp.PathLeft, http.StatusSeeOther)
			return
		}
	}
	s.left(w, r, samlidp.LoggedOut{})
}

func methodName(x session.Session) page.Label {
	switch x.Method {
	case identity.MethodCard:
		return page.Label{JA: "マイナンバーカード", EN: "My Number Card"}
	case identity.MethodBreakGlass:
		return page.Label{JA: "封印された非常用アカウント", EN: "break-glass account"}
	}
	return page.Label(x.Assurance.Name())
}

// agentName says in words what a browser calls itself, as far as that can be told: a help to recognize it, and no proof of anything.
func agentName(agent string) page.Label {
	first := func(of [][2]string) string {
		for _, x := range of {
			if strings.Contains(agent, x[0]) {
				return x[1]
			}
		}
		return ""
	}
	// Every browser names older ones beside itself: the order matters.
	browser := first([][2]string{{"Edg", "Edge"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}})
	system := first([][2]string{
		{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Macintosh", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	})
	switch {
	case browser != "" && system != "":
		return page.Label{JA: system + " の " + browser, EN: browser + " on " + system}
	case browser != "":
		return page.Label{JA: browser}
	case agent != "":
		return page.Label{JA: agent}
	}
	return page.Label{JA: "不明なブラウザ", EN: "unknown browser"}
}
