package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

// told says what the services of sessions that ended were told, of both protocols: one line for each service, with the worst that can be said of it.
func told(ctx context.Context, h *boot.Hub, sessions []identity.SessionID) ([]page.Service, error) {
	worst := map[policies.RelyingPartyID]page.Service{}
	note := func(id policies.RelyingPartyID, state page.ServiceState, until int64) {
		s, known := worst[id]
		if !known || slices.Index(fromBest, state) > slices.Index(fromBest, s.State) {
			s.State = state
		}
		s.Until = max(s.Until, until)
		worst[id] = s
	}
	at := h.Now().UnixMicro()
	for _, id := range sessions {
		receipts, err := logout.Receipts{DB: h.DB}.List(ctx, logout.Filter{Session: id, Limit: logout.MaxReceipts})
		if err != nil {
			return nil, err
		}
		for _, l := range receipts {
			note(l.RelyingParty, stateOf(l), l.Until)
		}
		entered, err := oidcop.Receipts{DB: h.DB}.EnteredBy(ctx, id, at)
		if err != nil {
			return nil, err
		}
		for _, e := range entered {
			if e.Told {
				note(e.RelyingParty, page.ServiceEnded, e.Until) // its logout says more
			} else {
				note(e.RelyingParty, untoldState(ctx, h, e.RelyingParty), e.Until)
			}
		}
	}
	var out []page.Service
	for _, id := range slices.Sorted(func(yield func(policies.RelyingPartyID) bool) {
		for id := range worst {
			if !yield(id) {
				return
			}
		}
	}) {
		s := worst[id]
		s.Name = page.Label{JA: string(id)}
		if name, ok := partyName(ctx, h, id); ok {
			s.Name = page.Label{JA: name.JA}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b page.Service) int {
		return cmp.Compare(slices.Index(fromBest, b.State), slices.Index(fromBest, a.State))
	})
	return out, nil
}

// fromBest orders what can be said of a service.
var fromBest = []page.ServiceState{
	page.ServiceEnded, page.ServicePartly, page.ServiceTelling, page.ServiceFramed, page.ServiceUnsure, page.ServiceRefused, page.ServiceUntold, page.ServiceWaiting,
}

func stateOf(l logout.Receipt) page.ServiceState {
	switch l.State {
	case logout.Delivered:
		return page.ServiceEnded
	case logout.Partial:
		return page.ServicePartly
	case logout.Pending:
		return page.ServiceTelling
	case logout.Unconfirmed:
		return page.ServiceUnsure
	case logout.Failed:
		return page.ServiceRefused
	case logout.Untold:
		if l.Channel == string(samlidp.ChannelFront) {
			return page.ServiceWaiting
		}
	}
	return page.ServiceUntold
}

// untoldState says of an OpenID relying party without a back channel whether the last page loads something of it.
func untoldState(ctx context.Context, h *boot.Hub, id policies.RelyingPartyID) page.ServiceState {
	p, err := h.Parties.Party(ctx, h.DB.Reader(), id)
	if err == nil && slices.ContainsFunc(p.Faces, func(f party.Face) bool { return f.Frontchannel != "" }) {
		return page.ServiceFramed
	}
	return page.ServiceUntold
}
