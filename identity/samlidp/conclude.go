package samlidp

import (
	"net/http"
	"slices"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

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
