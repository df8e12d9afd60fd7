package boot

import (
	"context"
	"fmt"
	"sync"

	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/sync/logout"
	"github.com/musubi-hub/musubi/sync/upkeep"
)

// issuer delivers logouts by a provider of the hub, which is made after the engine of jobs that calls it: at gives it, nil before.
type issuer struct{ at func() logout.Issuer }

var errNoProvider = fmt.Errorf("%w: no network has a login: its section is gone from the configuration, or this node serves none", logout.ErrNoIssuer)

// openID and assertions are the issuers of the two protocols.
func (h *Hub) openID() issuer {
	return issuer{func() logout.Issuer {
		if p := h.provider.Load(); p != nil {
			return p
		}
		return nil
	}}
}

func (h *Hub) assertions() issuer {
	return issuer{func() logout.Issuer {
		if p := h.saml.Load(); p != nil {
			return p
		}
		return nil
	}}
}

// Deliver implements logout.Issuer.
func (i issuer) Deliver(ctx context.Context, id string) error {
	if p := i.at(); p != nil {
		return p.Deliver(ctx, id)
	}
	return errNoProvider
}

// Abandon implements logout.Issuer.
func (i issuer) Abandon(ctx context.Context, id string) error {
	if p := i.at(); p != nil {
		return p.Abandon(ctx, id)
	}
	return errNoProvider
}

// Keep clears away what login leaves behind and reads the lists of revoked cards, until the hub is closed.
func (h *Hub) Keep(ctx context.Context, f *Federation) error {
	sweeps := []upkeep.Sweep{
		upkeep.LoginRequests(f.Dispatcher), upkeep.Sessions(h.Sessions, h.Now), upkeep.Passwords(f.Passwords, h.Now), upkeep.OpenID(f.Provider),
		upkeep.SAML(f.SAML), upkeep.KeyWarnings(h.warnKeys), upkeep.Rehearsals(h.Rollover(samlidp.Purpose), h.Now),
		upkeep.Logouts(logout.Sweeps(logout.Sweep(f.Provider, oidcop.Receipts{DB: h.DB}, h.Now), logout.Sweep(f.SAML, samlidp.Receipts{DB: h.DB}, h.Now))),
		upkeep.Notices(h.Persons, h.Now),
	}
	if f.Challenges != nil {
		sweeps = append(sweeps, upkeep.Challenges(f.Challenges, h.Now))
	}
	keeper, err := upkeep.New(h.DB, h.node, h.Now, h.Log, sweeps...)
	if err != nil {
		return err
	}
	h.keeper.Store(keeper)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { keeper.Run(ctx) })
	running.Go(func() { h.WatchCards(ctx, f) })
	h.kept = func() { cancel(); running.Wait() }
	return nil
}

// Upkeep tells how the sweeps are doing on this node; nothing before Keep.
func (h *Hub) Upkeep() []upkeep.Status {
	if k := h.keeper.Load(); k != nil {
		return k.Status()
	}
	return nil
}
