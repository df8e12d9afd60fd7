package signin

import (
	"net/http"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/door"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/samlidp"
)

var loggedOutTitle = page.Label{JA: "ログアウトしました", EN: "You are logged out"}

// leave goes on after a session has ended in this browser: through the services that only it can tell, and to the page that says what came of it. What
// fails here changes nothing of the logout.
func (s *Site) leave(w http.ResponseWriter, r *http.Request, l samlidp.Leaving) {
	place, ok := door.Place(r.Context())
	if !ok || l.Session == "" || s.cfg.Leave == nil {
		s.left(w, r, samlidp.LoggedOut{Frames: l.Frames, Location: l.Location})
		return
	}
	path, onward, err := s.cfg.Leave(w, r, place.Network, l)
	switch {
	case err != nil:
		s.cfg.Logger.ErrorContext(r.Context(), "after a logout: services that only the browser can tell aren't told", "error", err)
		s.left(w, r, samlidp.LoggedOut{Known: true, Sessions: []identity.SessionID{l.Session}, Frames: l.Frames, Location: l.Location})
	case onward && r.Method != http.MethodGet: // browsers hold a form's policy over the redirects that follow
		s.show(w, r, page.Sheet{
			Name: page.Go, Title: page.Label{JA: "サービスからログアウトしています", EN: "Logging you out of the services"},
			Onward: s.cfg.Table.URL(place.Network, network.RoleLogin, path),
			Body:   page.Label{JA: "自動で移動しないときは、「続ける」を押してください。", EN: "If nothing happens, press the button."},
		})
	default:
		http.Redirect(w, r, path, http.StatusSeeOther)
	}
}

// left shows the end of a logout, or leads to where the browser is wanted.
func (s *Site) left(w http.ResponseWriter, r *http.Request, l samlidp.LoggedOut) {
	var frames []string
	for _, f := range l.Frames {
		if page.Web(f) {
			frames = append(frames, f)
		}
	}
	if !page.Web(l.Location) {
		l.Location = ""
	}
	body := page.LoggedOutBody{Known: l.Known, Back: l.Location, Resume: l.Resume}
	if l.Known && s.cfg.Parties != nil {
		services, err := s.told(r.Context(), l.Sessions)
		if err != nil {
			s.broken(w, r, err)
			return
		}
		body.Services = services
	}
	if l.Location != "" && len(frames) == 0 && len(body.Open()) == 0 {
		http.Redirect(w, r, l.Location, http.StatusSeeOther)
		return
	}
	s.show(w, r, page.Sheet{Name: page.LoggedOut, Title: loggedOutTitle, Body: body, Frames: frames})
}

// LoggedOut implements samlidp.Pages.
func (p samlPages) LoggedOut(w http.ResponseWriter, r *http.Request, l samlidp.LoggedOut) {
	p.s.left(w, r, l)
}

// Onward implements samlidp.Pages: the first service at once, the others by a page between them. Browsers follow a bounded number of redirects, and who
// waits sees how far it is.
func (p samlPages) Onward(w http.ResponseWriter, r *http.Request, o samlidp.Onward) {
	if o.Answer.Form == nil && o.Number <= 1 {
		http.Redirect(w, r, o.Answer.Location, http.StatusSeeOther)
		return
	}
	body := page.LeavingBody{
		Service: p.s.service(r.Context(), o.RelyingParty), Action: o.Answer.Location, Fields: o.Answer.Form, Skip: o.Skip, Number: o.Number, Of: o.Of,
	}
	sheet := page.Sheet{Name: page.Leaving, Title: page.Label{JA: "サービスからログアウトしています", EN: "Logging you out of the services"}, Body: body}
	if o.Answer.Form == nil {
		sheet.Onward = o.Answer.Location
	} else {
		sheet.FormTo = formTo(o.Answer)
	}
	p.s.show(w, r, sheet)
}
