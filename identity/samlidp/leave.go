package samlidp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// LeaveCookie begins the name of the cookie of a browser on its way through the providers: the session is over, and somebody has to own the way. Each
// has a name of its own, because those of other tabs can't be seen at a POST from another site.
const LeaveCookie = "__Host-musubi-leave-"

const (
	leaveLife     = 15 * time.Minute
	leaveAsked    = "asked"   // a provider wants a logout; nothing has ended
	leaveLeaving  = "leaving" // the sessions have ended; providers are told
	leaveDone     = "done"    // who asked has its answer
	maxLeaveFacts = 64 << 10
	maxCookies    = 50 // that are looked at
)

// leaveFacts are what is kept of a browser's way.
type leaveFacts struct {
	// Of a provider's request; empty for a logout that began here.
	Party   policies.RelyingPartyID `json:"party,omitempty"`
	Request string                  `json:"request,omitempty"`
	Relay   string                  `json:"relay,omitempty"`
	Name    string                  `json:"name,omitempty"`
	Format  string                  `json:"format,omitempty"`
	Indexes []string                `json:"indexes,omitempty"`
	Answer  string                  `json:"answer,omitempty"` // where it is answered; empty: nowhere
	Binding string                  `json:"binding,omitempty"`

	Sessions []identity.SessionID `json:"sessions,omitempty"` // that ended
	Own      identity.SessionID   `json:"own,omitempty"`      // this browser's among them: its providers are visited
	Frames   []string             `json:"frames,omitempty"`
	Location string               `json:"location,omitempty"`
}

// leave is a browser's way.
type leave struct {
	id, state string
	facts     leaveFacts
}

// Leaving is a logout that began at the hub or at a relying party of another protocol.
type Leaving struct {
	Session  identity.SessionID // that has ended
	Frames   []string           // addresses for the last page to load in hidden frames
	Location string             // where the browser goes in the end, if everything went well; may be empty
}

// Leave begins a browser's way through the providers of a session that has just ended in it, and gives the path to go on at. onward says that the
// way leads to other sites: what answers a posted form has to show a page first, because browsers hold the form's policy over redirects.
func (p *Provider) Leave(w http.ResponseWriter, r *http.Request, n policies.Network, l Leaving) (path string, onward bool, err error) {
	if p.opt.Origins[n] == "" {
		return "", false, fmt.Errorf("samlidp: the network %q has no origin", n)
	}
	facts := leaveFacts{Sessions: []identity.SessionID{l.Session}, Own: l.Session, Frames: l.Frames, Location: l.Location}
	id, err := p.startLeave(w, r, n, leaveLeaving, facts)
	if err != nil {
		return "", false, err
	}
	next, err := p.toVisit(r.Context(), p.opt.DB.Reader(), n, l.Session)
	if err != nil {
		return "", false, err
	}
	if len(next) == 0 {
		return pathDone + id, false, nil
	}
	return pathNext + id, true, nil
}

// startLeave keeps a way and gives the browser its cookie.
func (p *Provider) startLeave(w http.ResponseWriter, r *http.Request, n policies.Network, state string, facts leaveFacts) (id string, err error) {
	secret, err := session.NewSecret(p.opt.Random)
	if err != nil {
		return "", err
	}
	kept, err := json.Marshal(facts)
	if err != nil || len(kept) > maxLeaveFacts {
		return "", errors.Join(err, fmt.Errorf("samlidp: a way of %d bytes", len(kept)))
	}
	if id, err = p.draw(8); err != nil {
		return "", err
	}
	at := p.opt.Now()
	err = p.opt.DB.Group(r.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO saml_leave (id, browser, network, state, facts, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			id, secret.Hash(), string(n), state, string(kept), at.UnixMicro(), at.Add(leaveLife).UnixMicro())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("samlidp: keep a browser's way: %w", err)
	}
	cookie := secret.Cookie(LeaveCookie + id) // #nosec G124 -- it is made Secure, HttpOnly and SameSite there
	cookie.MaxAge = int(leaveLife / time.Second)
	http.SetCookie(w, cookie)
	return id, nil
}

// leaving reads the way of the request's path, of this browser and network alone. Without an id it is the newest one.
func (c *call) leaving() (l leave, ok bool, err error) {
	if id := c.r.PathValue("id"); id != "" {
		l, _, ok, err = c.leave(id)
		return l, ok, err
	}
	var newest int64
	for i, cookie := range c.r.Cookies() {
		id, own := strings.CutPrefix(cookie.Name, LeaveCookie)
		if !own || i >= maxCookies {
			continue
		}
		x, at, found, err := c.leave(id)
		if err != nil {
			return l, false, err
		}
		if found && at >= newest {
			l, newest, ok = x, at, true
		}
	}
	return l, ok, nil
}

func (c *call) leave(id string) (l leave, at int64, ok bool, err error) {
	secret := session.FromRequest(c.r, LeaveCookie+id)
	if secret.Zero() || !waitingForm.MatchString(id) {
		return l, 0, false, nil
	}
	var facts string
	err = c.p.opt.DB.Reader().QueryRowContext(c.r.Context(), `SELECT state, facts, created_at FROM saml_leave
		WHERE id = $1 AND browser = $2 AND network = $3 AND expires_at > $4`, id, secret.Hash(), string(c.network), c.at).Scan(&l.state, &facts, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return l, 0, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(facts), &l.facts)
	}
	if err != nil {
		return l, 0, false, fmt.Errorf("samlidp: a browser's way: %w", err)
	}
	l.id = id
	return l, at, true, nil
}

// move writes where a way stands; ok is false where it isn't at from any more.
func (p *Provider) move(ctx context.Context, l *leave, to string) (ok bool, err error) {
	kept, err := json.Marshal(l.facts)
	if err != nil {
		return false, err
	}
	err = p.opt.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE saml_leave SET state = $3, facts = $4 WHERE id = $1 AND state = $2`, l.id, l.state, to, string(kept))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		ok = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("samlidp: a browser's way: %w", err)
	}
	l.state = to
	return ok, nil
}
