package signin

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

// told says what the services of sessions that ended were told, of both protocols: one line for each service, with the worst that can be said of it.
func (s *Site) told(ctx context.Context, sessions []identity.SessionID) ([]page.Told, error) {
	worst := map[policies.RelyingPartyID]page.Told{}
	note := func(id policies.RelyingPartyID, state page.ToldState, until int64) {
		x, known := worst[id]
		if !known || slices.Index(fromBest, state) > slices.Index(fromBest, x.State) {
			x.State = state
		}
		x.Until = max(x.Until, until)
		worst[id] = x
	}
	at := s.cfg.Now().UnixMicro()
	for _, id := range sessions {
		receipts, err := logout.Receipts{DB: s.cfg.DB}.List(ctx, logout.Filter{Session: id, Limit: logout.MaxReceipts})
		if err != nil {
			return nil, err
		}
		for _, l := range receipts {
			note(l.RelyingParty, stateOf(l), l.Until)
		}
		entered, err := oidcop.Receipts{DB: s.cfg.DB}.EnteredBy(ctx, id, at)
		if err != nil {
			return nil, err
		}
		for _, e := range entered {
			if e.Told {
				note(e.RelyingParty, page.ToldEnded, e.Until) // its logout says more
			} else {
				note(e.RelyingParty, s.untold(ctx, e.RelyingParty), e.Until)
			}
		}
	}
	out := make([]page.Told, 0, len(worst))
	for _, id := range slices.Sorted(maps.Keys(worst)) {
		x := worst[id]
		x.Name = s.service(ctx, id)
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b page.Told) int {
		return cmp.Compare(slices.Index(fromBest, b.State), slices.Index(fromBest, a.State))
	})
	return out, nil
}

// fromBest orders what can be said of a service.
var fromBest = []page.ToldState{
	page.ToldEnded, page.ToldPartly, page.ToldTelling, page.ToldFramed, page.ToldUnsure, page.ToldRefused, page.ToldUntold, page.ToldWaiting,
}

func stateOf(l logout.Receipt) page.ToldState {
	switch l.State {
	case logout.Delivered:
		return page.ToldEnded
	case logout.Partial:
		return page.ToldPartly
	case logout.Pending:
		return page.ToldTelling
	case logout.Unconfirmed:
		return page.ToldUnsure
	case logout.Failed:
		return page.ToldRefused
	case logout.Untold:
		if l.Channel == string(samlidp.ChannelFront) {
			return page.ToldWaiting
		}
	}
	return page.ToldUntold
}

// untold says of an OpenID relying party without a back channel whether the last page loads something of it.
func (s *Site) untold(ctx context.Context, id policies.RelyingPartyID) page.ToldState {
	p, err := s.cfg.Parties.Party(ctx, s.cfg.DB.Reader(), id)
	if err == nil && slices.ContainsFunc(p.Faces, func(f party.Face) bool { return f.Frontchannel != "" }) {
		return page.ToldFramed
	}
	return page.ToldUntold
}

// service is what people call a relying party; its id where nobody knows.
func (s *Site) service(ctx context.Context, id policies.RelyingPartyID) page.Label {
	if s.cfg.PartyName != nil {
		if name, ok := s.cfg.PartyName(ctx, id); ok && name.JA != "" {
			if name.EN == name.JA {
				name.EN = ""
			}
			return name
		}
	}
	return page.Label{JA: string(id)}
}
