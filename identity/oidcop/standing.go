package oidcop

import (
	"context"
	"errors"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// Policy decides who may enter: policies/engine.
type Policy interface {
	MayEnter(p policies.Person, rp policies.RelyingParty, in policies.Entry) (policies.Decision, error)
}

// Sessions is Standing by the sessions and the policies: the session stands, its person is in service, still holds the post, and may still enter
// the relying party in it. Store is set once, before the first request: the store takes the provider as its hook, and the provider takes this.
type Sessions struct {
	Store   *session.Store
	Parties login.Parties
	Policy  Policy
	Now     func() time.Time
}

// Standing implements Standing.
func (s *Sessions) Standing(ctx context.Context, h Holder) (why string, err error) {
	found, actor, err := s.Store.Standing(ctx, h.Session, s.Now())
	switch {
	case errors.Is(err, identity.ErrRefused):
		return "session_ended", nil
	case err != nil:
		return "", err
	case found.Person != h.Person || found.Org != h.Org || found.Network != h.Network:
		return "session_changed", nil
	}
	rp, err := s.Parties.Party(ctx, h.RelyingParty)
	if errors.Is(err, identity.ErrNotFound) {
		return "party_removed", nil
	}
	if err != nil {
		return "", err
	}
	// What was decided at login is twelve hours old at worst, and posts and policies change meanwhile.
	d, err := s.Policy.MayEnter(actor.Policy(), rp, policies.Entry{Network: found.Network, Assurance: found.Assurance, Sealed: found.Sealed()})
	if err != nil {
		return "", err
	}
	if !d.Allow {
		return "policy", nil
	}
	return "", nil
}
