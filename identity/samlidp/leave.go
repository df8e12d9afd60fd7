package samlidp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
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
	cookie := secret.Cookie(LeaveCookie + id)
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

// next leads a browser on: to the next provider that only it can tell, or back to who asked, or to the last page.
func (c *call) next() {
	l, ok, err := c.leaving()
	switch {
	case err != nil:
		c.page("", actionSLO, broken(err))
		return
	case !ok: // another browser, or too late: there is nothing to be led to
		http.Redirect(c.w, c.r, pathDone, http.StatusSeeOther)
		return
	}
	if l.state == leaveAsked && !c.obey(&l) {
		return
	}
	if l.state == leaveLeaving {
		led, err := c.visit(l)
		if err != nil {
			c.page("", actionSLO, broken(err))
		}
		if err != nil || led {
			return
		}
		c.conclude(l)
		return
	}
	http.Redirect(c.w, c.r, pathDone+l.id, http.StatusSeeOther)
}

// obey ends the sessions that a provider asked about, if they are this browser's; else it answers.
func (c *call) obey(l *leave) (ok bool) {
	p, err := c.p.opt.Parties.SP(c.r.Context(), c.p.opt.DB.Reader(), l.facts.Party)
	if err != nil {
		c.page(l.facts.Party, actionSLO, broken(err))
		return false
	}
	held, f := c.heldBy(c.r.Context(), c.p.opt.DB.Reader(), l.facts)
	if f == nil {
		var own *session.Session
		if own, f = c.browserOf(held); f == nil {
			for _, g := range held {
				if !slices.Contains(l.facts.Sessions, g.session) {
					l.facts.Sessions = append(l.facts.Sessions, g.session)
				}
			}
			switch {
			case own != nil:
				l.facts.Own = own.ID
			case len(l.facts.Sessions) == 1: // the provider's session is in this browser, so ours was
				l.facts.Own = l.facts.Sessions[0]
			}
			c.p.acceptedIndexes(c.r.Context(), l.facts.Party, c.network, l.facts.Indexes, c.at)
			if _, err := c.endFor(l.facts, held, own); err != nil {
				f = broken(err)
			}
		}
	}
	switch {
	case f != nil && f.status == "":
		c.page(p.ID, actionSLO, f)
		return false
	case f != nil:
		incident := c.record(p.ID, actionSLO, f)
		if moved, err := c.p.move(c.r.Context(), l, leaveDone); err != nil || !moved {
			c.page(p.ID, actionSLO, broken(errors.Join(err, errors.New("a way moved under way"))))
			return false
		}
		c.answerLogout(l.facts, f.status, incident)
		return false
	}
	if _, err := c.p.move(c.r.Context(), l, leaveLeaving); err != nil {
		c.page(p.ID, actionSLO, broken(err))
		return false
	}
	return true
}

// browserOf gives this browser's session if it is among those that are to end; nil where it has none. A browser with another session is refused:
// somebody had it open a logout of somebody else. The provider isn't told, because some end what they hold themselves at any answer.
func (c *call) browserOf(held []grantHeld) (*session.Session, *fault) {
	s, ok, err := c.p.opt.Browser.Current(c.r)
	if err != nil {
		return nil, broken(err)
	}
	if !ok || s.Network != c.network {
		return nil, nil
	}
	stands := false
	for _, g := range held {
		if g.session == s.ID {
			return &s, nil
		}
		stands = stands || g.stands
	}
	if stands {
		return nil, &fault{http: http.StatusForbidden, reason: "session_of_another"}
	}
	return nil, nil
}

// endFor ends sessions at a provider's wish, with all that hears of it, and reports whether somebody can't be told without a browser. own is the
// browser's session; nil for none. It may be done twice.
func (c *call) endFor(f leaveFacts, held []grantHeld, own *session.Session) (partial bool, err error) {
	sessions := []identity.SessionID{}
	for _, g := range held {
		if !slices.Contains(sessions, g.session) {
			sessions = append(sessions, g.session)
		}
	}
	if err := c.p.noteAsker(c.r.Context(), f.Party, c.network, sessions, c.at); err != nil {
		return false, err
	}
	for _, id := range sessions {
		if own != nil && own.ID == id {
			err = c.p.opt.Browser.End(c.w, c.r, *own)
		} else {
			err = c.p.opt.Sessions.LogoutByParty(c.r.Context(), id, f.Party, c.p.opt.Now())
		}
		if err != nil && !errors.Is(err, identity.ErrNotFound) { // it has ended already
			return false, err
		}
	}
	return c.p.anyUntold(c.r.Context(), sessions)
}

// noteAsker keeps that a provider ends its own part of sessions by itself: it isn't told, and has its receipt.
func (p *Provider) noteAsker(ctx context.Context, party policies.RelyingPartyID, n policies.Network, sessions []identity.SessionID, at int64) error {
	err := p.opt.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, id := range sessions {
			rows, err := givenBy(ctx, tx, id, at)
			if err != nil {
				return err
			}
			for _, l := range rows {
				if l.RelyingParty != party || l.Network != n {
					continue
				}
				l.Channel, l.State, l.Why, l.CreatedAt, l.SettledAt = ChannelAsked, LogoutDelivered, "asked", at, at
				if l.ID, err = p.draw(16); err != nil {
					return err
				}
				if err := l.insert(ctx, tx); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, `UPDATE saml_grant SET asked_at = $4 WHERE session = $1 AND party = $2 AND network = $3 AND ended_at = 0`,
				string(id), string(party), string(n), at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("samlidp: note who asked for a logout: %w", err)
	}
	return nil
}

// anyUntold reports whether some relying party of the sessions isn't told of their end.
func (p *Provider) anyUntold(ctx context.Context, sessions []identity.SessionID) (bool, error) {
	for _, id := range sessions {
		var n int
		err := p.opt.DB.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM saml_logout WHERE session = $1 AND state NOT IN ('pending', 'delivered')`, string(id)).Scan(&n)
		if err != nil {
			return false, fmt.Errorf("samlidp: receipts of a session: %w", err)
		}
		if n > 0 {
			return true, nil
		}
		if untold, err := p.opt.Others.Untold(ctx, id); err != nil || untold {
			return untold, err
		}
	}
	return false, nil
}

// toVisit gives what only a browser can tell, of one session in this network.
func (p *Provider) toVisit(ctx context.Context, q querier, n policies.Network, id identity.SessionID) ([]Logout, error) {
	return logoutsOf(ctx, q, `session = $1 AND network = $2 AND channel = 'front' AND state = 'untold' ORDER BY party, id`, string(id), string(n))
}

// visit takes the browser to the next provider; led is false where there is none left.
func (c *call) visit(l leave) (led bool, err error) {
	ctx := c.r.Context()
	todo, err := c.p.toVisit(ctx, c.p.opt.DB.Reader(), c.network, l.facts.Own)
	if err != nil {
		return false, err
	}
	all, err := logoutsOf(ctx, c.p.opt.DB.Reader(), `session = $1 AND network = $2 AND channel = 'front'`, string(l.facts.Own), string(c.network))
	if err != nil {
		return false, err
	}
	for i, x := range todo {
		rp, err := c.p.opt.Parties.SP(ctx, c.p.opt.DB.Reader(), x.RelyingParty)
		if errors.Is(err, identity.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		face, _ := rp.Face(c.network)
		to, ok := whereTo(face)
		if !ok {
			continue
		}
		a, taken, err := c.request(l, x, rp, to)
		if err != nil {
			return false, err
		}
		if !taken { // another tab was first
			continue
		}
		c.p.opt.Pages.Onward(c.w, c.r, Onward{
			Answer: a, RelyingParty: rp.ID, Number: len(all) - len(todo) + i + 1, Of: len(all), Skip: pathNext + l.id,
		})
		return true, nil
	}
	return false, nil
}

// request makes the request to one provider, and keeps that it is the open one before it goes out.
func (c *call) request(l leave, x Logout, rp sp.SP, to sp.Endpoint) (a login.Answer, taken bool, err error) {
	id, err := c.p.documentID()
	if err != nil {
		return a, false, err
	}
	by, err := c.p.signingNow(c.r.Context(), rp.ID, c.network)
	if err != nil {
		return a, false, err
	}
	x.leave, x.Why, x.key = l.id, "unanswered", by.signer.Key().ID
	a, err = c.p.carry(by, to.Binding, to.Location, "SAMLRequest", "", logoutRequest(id, c.entityID(), to.Location, rp, x, c.at))
	if err != nil {
		return a, false, err
	}
	a.Beyond = append([]string{c.origin}, rp.Beyond...) // it sends the browser back here
	err = c.p.opt.DB.Group(c.r.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		taken, err = x.ask(ctx, tx, LogoutUnconfirmed, id, c.at)
		return err
	})
	return a, taken, err
}

// answered takes a provider's answer to a request that the browser brought it: once, to the open request of that very provider.
func (c *call) answered(p sp.SP, root *etree.Element) {
	to := wire.Attr(root, "InResponseTo")
	_, _, f := c.fresh(root, c.slo())
	if f == nil && wire.Attr(root, "Destination") == "" {
		f = bad("destination_missing")
	}
	var state LogoutState
	var why string
	if f == nil {
		state, why, f = outcomeOf(root)
	}
	var found []Logout
	if f == nil {
		var err error
		found, err = logoutsOf(c.r.Context(), c.p.opt.DB.Reader(), `request = $1 AND party = $2 AND network = $3 AND channel = 'front' AND state = 'unconfirmed'`,
			to, string(p.ID), string(c.network))
		switch {
		case err != nil:
			f = broken(err)
		case to == "" || len(found) != 1:
			f = bad("answer_unasked")
		case c.at >= found[0].askedAt+leaveLife.Microseconds():
			f = bad("answer_late")
		}
	}
	if f != nil {
		c.page(p.ID, actionSLO, f)
		return
	}
	ok, err := c.p.settle(c.r.Context(), found[0], state, 0, why)
	switch {
	case err != nil:
		c.page(p.ID, actionSLO, broken(err))
	case !ok:
		c.page(p.ID, actionSLO, bad("answer_unasked"))
	default: // by GET, so that the browser brings its cookie
		http.Redirect(c.w, c.r, pathNext+found[0].leave, http.StatusSeeOther)
	}
}

// conclude answers who asked, once, or shows the last page.
func (c *call) conclude(l leave) {
	partial, err := c.p.anyUntold(c.r.Context(), l.facts.Sessions)
	if err != nil {
		c.page(l.facts.Party, actionSLO, broken(err))
		return
	}
	first, err := c.p.move(c.r.Context(), &l, leaveDone)
	if err != nil {
		c.page(l.facts.Party, actionSLO, broken(err))
		return
	}
	if l.facts.Request == "" || l.facts.Answer == "" || !first {
		http.Redirect(c.w, c.r, pathDone+l.id, http.StatusSeeOther)
		return
	}
	status := ""
	if partial {
		status = statusPartial
	}
	c.answerLogout(l.facts, status, "")
}

// answerLogout takes the browser back to the provider that asked. Its address is looked at again: it may have moved.
func (c *call) answerLogout(f leaveFacts, status, incident string) {
	p, err := c.p.opt.Parties.SP(c.r.Context(), c.p.opt.DB.Reader(), f.Party)
	if err != nil {
		c.page(f.Party, actionSLO, broken(err))
		return
	}
	face, _ := p.Face(c.network)
	at := slices.IndexFunc(face.Logout, func(e sp.Endpoint) bool {
		return e.Binding == f.Binding && (e.Response == f.Answer || e.Response == "" && e.Location == f.Answer)
	})
	if f.Answer == "" || at < 0 {
		http.Redirect(c.w, c.r, pathDone, http.StatusSeeOther)
		return
	}
	id, err := c.p.documentID()
	var by signing
	if err == nil {
		by, err = c.p.signingNow(c.r.Context(), f.Party, c.network)
	}
	var a login.Answer
	if err == nil {
		el := logoutResponse(id, c.entityID(), f.Answer, f.Request, status, incident, c.at)
		a, err = c.p.carry(by, f.Binding, f.Answer, "SAMLResponse", f.Relay, el)
		a.Beyond = p.Beyond
	}
	switch {
	case err != nil:
		c.page(f.Party, actionSLO, broken(err))
	case a.Form != nil:
		c.p.opt.Pages.Form(c.w, c.r, a)
	default:
		http.Redirect(c.w, c.r, a.Location, http.StatusSeeOther)
	}
}

// signedAnswer is an answer that goes back at once.
func (c *call) signedAnswer(f leaveFacts, destination, status, incident string) (*etree.Element, error) {
	id, err := c.p.documentID()
	if err != nil {
		return nil, err
	}
	by, err := c.p.signingNow(c.r.Context(), f.Party, c.network)
	if err != nil {
		return nil, err
	}
	el := logoutResponse(id, c.entityID(), destination, f.Request, status, incident, c.at)
	return el, wire.Sign(el, by.signer, by.certificate)
}

// done shows what came of a logout, to the browser that went the way. Where the browser is wanted elsewhere and everything went well, it goes there.
func (c *call) done() {
	l, ok, err := c.leaving()
	if err != nil {
		c.page("", actionSLO, broken(err))
		return
	}
	out := LoggedOut{}
	if ok && l.state != leaveAsked {
		out = LoggedOut{Known: true, Sessions: l.facts.Sessions, Frames: l.facts.Frames, Location: l.facts.Location}
		for _, id := range l.facts.Sessions {
			all, err := logoutsOf(c.r.Context(), c.p.opt.DB.Reader(), `session = $1 ORDER BY party, id`, string(id))
			if err != nil {
				c.page("", actionSLO, broken(err))
				return
			}
			for _, x := range all {
				if x.Session == l.facts.Own && x.Channel == ChannelFront && x.State == LogoutUntold && x.Network == c.network {
					out.Resume = pathNext + l.id
				}
			}
			out.Logouts = append(out.Logouts, all...)
		}
		partial, err := c.p.anyUntold(c.r.Context(), l.facts.Sessions)
		if err != nil {
			c.page("", actionSLO, broken(err))
			return
		}
		if out.Location != "" && len(out.Frames) == 0 && !partial {
			http.Redirect(c.w, c.r, out.Location, http.StatusSeeOther)
			return
		}
	}
	c.p.opt.Pages.LoggedOut(c.w, c.r, out)
}
