package signin

import (
	"context"
	"net/http"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/session"
)

// next shows what the dispatcher said comes next.
func (s *Site) next(w http.ResponseWriter, r *http.Request, n login.Next, err error) {
	if err != nil {
		s.broken(w, r, err)
		return
	}
	if !n.Session.Zero() {
		http.SetCookie(w, n.Session.Cookie(session.CookieName))
	}
	switch {
	case n.Answer != nil && n.Refusal != nil && !told(n):
		s.refusedWithAnswer(w, r, n)
	case n.Answer != nil:
		s.answer(w, r, *n.Answer)
	case len(n.Methods) > 0:
		s.methods(w, r, n)
	case len(n.Posts) > 0:
		s.posts(w, r, n)
	case n.Refusal != nil:
		s.refused(w, r, n)
	default:
		http.Redirect(w, r, loginPath(n.Request.ID), http.StatusSeeOther)
	}
}

// told reports whether a refusal goes to the relying party without a page: it asked for silence, or the person said so.
func told(n login.Next) bool {
	return n.Request.Passive || n.Refusal.Reason == login.ReasonCancelled && n.Request.Issuer != identity.IssuerHub
}

// answer leads the browser to the relying party.
func (s *Site) answer(w http.ResponseWriter, r *http.Request, a login.Answer) {
	switch {
	case a.Form != nil:
		s.answerForm(w, r, a, page.Label{
			JA: "本人確認が終わりました。サービスへ戻ります。自動で移動しないときは、ボタンを押してください。",
			EN: "You are logged in and go back to the service. If nothing happens, press the button.",
		})
	case r.Method == http.MethodGet:
		http.Redirect(w, r, a.Location, http.StatusSeeOther)
	default: // see instruct
		s.show(w, r, page.Sheet{
			Name: page.Go, Title: page.Label{JA: "サービスへ移動します", EN: "Going on to the service"}, Onward: a.Location,
			Body: page.Label{JA: "自動で移動しないときは、「続ける」を押してください。", EN: "If nothing happens, press the button."},
		})
	}
}

// answerForm shows the form that takes an answer to a relying party: by itself, or without script by a press of its button.
func (s *Site) answerForm(w http.ResponseWriter, r *http.Request, a login.Answer, say page.Label) {
	s.show(w, r, page.Sheet{
		Name: page.Answer, Title: page.Label{JA: "サービスへ移動します", EN: "Going on to the service"}, FormTo: formTo(a),
		Body: page.AnswerBody{Say: say, Button: page.Label{JA: "サービスへ進む", EN: "Go on to the service"}, Action: a.Location, Fields: a.Form},
	})
}

// formTo is where the form of an answer may lead, and nothing else: Chromium holds the form's policy over every redirect that follows.
func formTo(a login.Answer) []string {
	to := []string{}
	for _, address := range append([]string{a.Location}, a.Beyond...) {
		if o := page.Source(address); o != "" {
			to = append(to, o)
		}
	}
	if len(to) == 0 {
		return []string{"'none'"}
	}
	return to
}

// refusedWithAnswer tells the person why before the relying party is told.
func (s *Site) refusedWithAnswer(w http.ResponseWriter, r *http.Request, n login.Next) {
	say := page.Reason(n.Refusal.Reason, n.Refusal.Code)
	body := page.MessageBody{
		Do: say.Do, Incident: n.Refusal.Incident, Link: n.Answer.Location, Fields: n.Answer.Form, Button: page.Label{JA: "サービスへ戻る", EN: "Back to the service"},
	}
	sheet := page.Sheet{Name: page.Message, Status: http.StatusForbidden, Title: say.What}
	if n.Answer.Form != nil {
		sheet.FormTo = formTo(*n.Answer)
	}
	if n.Request.Issuer == identity.IssuerHub {
		body.Button = page.Label{JA: "もう一度ログインする", EN: "Log in again"}
	}
	if n.Refusal.Reason == login.ReasonCancelled {
		sheet.Status = http.StatusOK
	}
	sheet.Body = body
	s.show(w, r, sheet)
}

// refused shows a refusal after which the request has nothing more to offer here.
func (s *Site) refused(w http.ResponseWriter, r *http.Request, n login.Next) {
	if n.Refusal.Reason == login.ReasonAnswered && n.Request.Issuer == identity.IssuerHub {
		// A second press of a button, or "back": who is logged in goes on.
		if path, err := returnPath(n.Request); err == nil {
			if _, in, err := s.read(r); err == nil && in {
				http.Redirect(w, r, path, http.StatusSeeOther)
				return
			}
		}
	}
	status := http.StatusForbidden
	switch n.Refusal.Reason {
	case login.ReasonUnknown:
		status = http.StatusNotFound
	case login.ReasonExpired, login.ReasonAnswered:
		status = http.StatusGone
	case login.ReasonTries:
		status = http.StatusTooManyRequests
	}
	link, button := "", page.Label{}
	if n.Request.Issuer == identity.IssuerHub {
		link, button = "/", buttonHome
	}
	s.message(w, r, status, page.Reason(n.Refusal.Reason, n.Refusal.Code), link, button, n.Refusal.Incident)
}

// alert is a refusal beside which the login goes on.
func alert(n login.Next) *page.Alert {
	if n.Refusal == nil {
		return nil
	}
	return &page.Alert{Sentence: page.Reason(n.Refusal.Reason, n.Refusal.Code), Incident: n.Refusal.Incident}
}

// status is that of a page that goes on.
func status(n login.Next) int {
	if n.Refusal != nil {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

func (s *Site) posts(w http.ResponseWriter, r *http.Request, n login.Next) {
	body := page.PostsBody{Path: loginPath(n.Request.ID), Form: n.Form}
	for _, a := range n.Posts {
		body.Posts = append(body.Posts, postOf(a))
	}
	s.show(w, r, page.Sheet{
		Name: page.Posts, Status: status(n), Title: page.Label{JA: "所属の選択", EN: "Choose your post"}, Body: body, Until: n.Request.ExpiresAt, Alert: alert(n),
	})
}

func postOf(a access.Actor) page.Post {
	role := a.Person.Role.Name()
	name := a.Org.Name
	if name == "" {
		name = string(a.Org.ID)
	}
	return page.Post{Org: string(a.Org.ID), Name: name, Section: a.Person.Section, Title: a.Person.Title, Role: page.Label(role)}
}

// wanted names what the person wants to use; nil where nobody knows.
func (s *Site) wanted(ctx context.Context, r login.Request) *page.Label {
	if r.RelyingParty == HubParty {
		return &page.Label{JA: "結び (ハブの画面)", EN: "Musubi, the hub's own pages"}
	}
	if s.cfg.PartyName == nil {
		return nil
	}
	name, ok := s.cfg.PartyName(ctx, r.RelyingParty)
	if !ok {
		return nil
	}
	return &name
}
