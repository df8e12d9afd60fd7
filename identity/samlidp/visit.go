package samlidp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

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
