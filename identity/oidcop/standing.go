package oidcop

import (
	"context"
	"errors"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/session"
)

// Sessions is Standing by the sessions: the session stands, its person is in service and still holds the post. Store is set once, before the
// first request: the store takes the provider as its hook, and the provider takes this.
type Sessions struct {
	Store *session.Store
	Now   func() time.Time
}

// Standing implements Standing.
func (s *Sessions) Standing(ctx context.Context, h Holder) (why string, err error) {
	found, _, err := s.Store.Standing(ctx, h.Session, s.Now())
	switch {
	case errors.Is(err, identity.ErrRefused):
		return "session_ended", nil
	case err != nil:
		return "", err
	case found.Person != h.Person || found.Org != h.Org || found.Network != h.Network:
		return "session_changed", nil
	}
	return "", nil
}
