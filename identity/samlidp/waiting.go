package samlidp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/session"
)

// A request by POST comes from another site, so browsers send none of our cookies with it (SameSite=Lax): nobody would be logged in, and a new
// login cookie would end the logins that other tabs have begun. It is checked where it comes in, once and for all; then it waits until the browser
// comes again by a GET, which brings the cookies.
//
// What waits belongs to the browser that brought it: the address names it, and a cookie that the POST set opens it, once, within two minutes. So an
// address that is passed on, or read in a log, begins nothing anywhere. Who wants somebody else to begin a login at a provider can make their
// browser send the request itself, or lead it to the provider's own page, as ever; what comes of it is that person's own login, told to the
// registered address in their own browser.

// waitingLife is how long a request waits: a redirect's time, and that of a slow network.
const waitingLife = 2 * time.Minute

// waitingCookie is the name of the cookie of what waits; each has a name of its own, because those of other tabs can't be seen at a POST.
func waitingCookie(id string) string { return "__Host-musubi-saml-" + id }

var waitingForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// wait keeps a checked request and sends the browser for it.
func (c *call) wait(ask login.Ask) {
	id, secret, err := c.keepWaiting(ask)
	if err != nil {
		c.page(ask.RelyingParty, actionSSO, broken(err))
		return
	}
	cookie := secret.Cookie(waitingCookie(id)) //nolint:gosec // G124: Secret.Cookie sets all three
	cookie.MaxAge = int(waitingLife / time.Second)
	http.SetCookie(c.w, cookie)
	http.Redirect(c.w, c.r, c.origin+pathContinue+"?id="+id, http.StatusSeeOther)
}

func (c *call) keepWaiting(ask login.Ask) (id string, secret session.Secret, err error) {
	if id, err = c.p.draw(8); err != nil {
		return "", secret, err
	}
	if secret, err = session.NewSecret(c.p.opt.Random); err != nil {
		return "", secret, err
	}
	text, err := json.Marshal(ask)
	if err != nil {
		return "", secret, fmt.Errorf("samlidp: a request that waits: %w", err)
	}
	err = c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO saml_waiting (hash, network, ask, expires_at) VALUES ($1, $2, $3, $4)`,
			secret.Hash(), string(c.network), string(text), c.at+waitingLife.Microseconds())
		return err
	})
	if err != nil {
		return "", secret, fmt.Errorf("samlidp: a request that waits: %w", err)
	}
	return id, secret, nil
}

// resume takes what waits for this browser, and hands it over to the dispatcher.
func (c *call) resume() {
	ask, f := c.takeWaiting()
	if f != nil {
		c.page("", actionSSO, f)
		return
	}
	c.p.opt.Start(c.w, c.r, ask)
}

func (c *call) takeWaiting() (ask login.Ask, f *fault) {
	id := c.r.URL.Query().Get("id")
	if !waitingForm.MatchString(id) {
		return ask, bad("params_malformed")
	}
	secret := session.FromRequest(c.r, waitingCookie(id))
	if secret.Zero() {
		return ask, bad("waiting_browser")
	}
	http.SetCookie(c.w, session.Forget(waitingCookie(id)))
	var text string
	err := c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		text = ""
		err := tx.QueryRowContext(ctx, `DELETE FROM saml_waiting WHERE hash = $1 AND network = $2 AND expires_at > $3 RETURNING ask`,
			secret.Hash(), string(c.network), c.at).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return ask, broken(fmt.Errorf("samlidp: a request that waits: %w", err))
	}
	if text == "" {
		return ask, bad("waiting_unknown")
	}
	if err := json.Unmarshal([]byte(text), &ask); err != nil {
		return ask, broken(fmt.Errorf("samlidp: a request that waits is damaged: %w", err))
	}
	return ask, nil
}
