package signin

import (
	"net/http"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/session"
)

// Pages is what the OpenID provider shows to people.
func (s *Site) Pages() oidcop.Pages { return providerPages{s} }

// SAMLPages is what the SAML provider shows to people.
func (s *Site) SAMLPages() samlidp.Pages { return samlPages{providerPages{s}} }

// Browser is what they know of a request's browser.
func (s *Site) Browser() oidcop.Browser { return browser{s} }

type providerPages struct{ s *Site }

// Problem implements oidcop.Pages.
func (p providerPages) Problem(w http.ResponseWriter, r *http.Request, x oidcop.Problem) {
	p.s.message(w, r, x.Status, page.Party(x.Reason), "", page.Label{}, x.Incident)
}

type samlPages struct{ providerPages }

// Problem implements samlidp.Pages.
func (p samlPages) Problem(w http.ResponseWriter, r *http.Request, x samlidp.Problem) {
	p.providerPages.Problem(w, r, oidcop.Problem(x))
}

// Form implements oidcop.Pages and samlidp.Pages. What it takes to the relying party is an answer or a refusal: which, the page doesn't know.
func (p providerPages) Form(w http.ResponseWriter, r *http.Request, a login.Answer) {
	p.s.answerForm(w, r, a, page.Label{
		JA: "サービスへ戻ります。自動で移動しないときは、ボタンを押してください。", EN: "You go back to the service. If nothing happens, press the button.",
	})
}

// Confirm implements oidcop.Pages. Where the relying party wants the browser back afterwards only the provider knows, and it has checked it.
func (p providerPages) Confirm(w http.ResponseWriter, r *http.Request, c oidcop.Confirmation) {
	p.s.show(w, r, page.Sheet{
		Name: page.Confirm, Title: askTitle, FormTo: []string{"'self'", "https:"}, Origin: true,
		Body: page.ConfirmBody{
			Say: page.Label{
				JA: "サービスがログアウトを求めています。ログアウトすると、結びから入ったすべてのサービスに知らせます。",
				EN: "A service asks you to log out. All services that you entered through Musubi are told.",
			},
			Button: askButton, Action: c.Action, Token: c.Token,
		},
	})
}

// LoggedOut implements oidcop.Pages.
func (p providerPages) LoggedOut(w http.ResponseWriter, r *http.Request, l oidcop.LoggedOut) {
	p.s.leave(w, r, samlidp.Leaving{Session: l.Session, Frames: l.Frames, Location: l.Location})
}

type browser struct{ s *Site }

// Current implements oidcop.Browser.
func (b browser) Current(r *http.Request) (session.Session, bool, error) {
	p, ok, err := b.s.read(r)
	return p.session, ok, err
}

// End implements oidcop.Browser.
func (b browser) End(w http.ResponseWriter, r *http.Request, _ session.Session) error {
	if err := b.s.sessions.Logout(r.Context(), session.FromRequest(r, session.CookieName), b.s.cfg.Now()); err != nil {
		return err
	}
	http.SetCookie(w, session.Forget(session.CookieName))
	return nil
}
