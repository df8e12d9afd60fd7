package login

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/session"
)

// formToken is what a form of the request carries: only a page of ours, shown to the browser that began, has it.
func formToken(browser session.Secret, id identity.LoginID) string {
	return browser.Derive("login form " + string(id))
}

func formOK(browser session.Secret, id identity.LoginID, form string) bool {
	want := formToken(browser, id)
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(form)) == 1
}

// wellFormed reports whether there may be a request of this id: not every database takes every text.
func wellFormed(id identity.LoginID) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(id))
	return err == nil && len(b) == idBytes && len(id) == base64.RawURLEncoding.EncodedLen(idBytes)
}

// own gives the visit's request where it is this browser's, in this network. A refusal tells nothing of the request, and leaves it as it is: who
// isn't its browser can't end it.
func (d *Dispatcher) own(ctx context.Context, v Visit) (Request, *Refusal, error) {
	var r Request
	err := identity.ErrNotFound
	if wellFormed(v.ID) {
		r, err = read(ctx, d.cfg.DB.Reader(), v.ID)
	}
	reason := Reason("")
	switch {
	case errors.Is(err, identity.ErrNotFound):
		reason = ReasonUnknown
	case err != nil:
		return Request{}, nil, err
	case v.Browser.Zero() || subtle.ConstantTimeCompare([]byte(r.browser), []byte(v.Browser.Hash())) != 1:
		reason = ReasonBrowser
	case r.Network != v.Network:
		reason = ReasonNetwork
	default:
		return r, nil, nil
	}
	refusal, err := d.turnAway(ctx, v, r.ID, reason)
	return Request{}, refusal, err
}

// turnAway refuses what isn't known to be the browser's own. The refusal has no incident number where too many of the kind came in this second.
func (d *Dispatcher) turnAway(ctx context.Context, v Visit, id identity.LoginID, reason Reason) (*Refusal, error) {
	missed, ok := d.strangers.Take(string(reason), d.cfg.Now().UnixMicro())
	if !ok {
		return &Refusal{Reason: reason}, nil
	}
	return d.record(ctx, v, id, refused{reason: reason, missed: missed})
}
