package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// relyingParty is a party of one of the two registries: exactly one of both is set.
type relyingParty struct {
	oidc *party.Party
	saml *sp.SP
}

func (p relyingParty) protocol() registration.Protocol {
	if p.saml != nil {
		return registration.SAML
	}
	return registration.OIDC
}

func (p relyingParty) policy() policies.RelyingParty {
	if p.saml != nil {
		return p.saml.Policy()
	}
	return p.oidc.Policy()
}

func (p relyingParty) id() policies.RelyingPartyID { return p.policy().ID }

func (p relyingParty) name() string {
	if p.saml != nil {
		return p.saml.Name
	}
	return p.oidc.Name
}

func (p relyingParty) least() policies.Assurance {
	if p.saml != nil {
		return p.saml.Least
	}
	return p.oidc.Least
}

func (p relyingParty) sector() string {
	if p.saml != nil {
		return p.saml.Sector
	}
	return p.oidc.Sector
}

// auth says in a word how the party proves who it is.
func (p relyingParty) auth() string {
	switch {
	case p.saml == nil:
		return string(p.oidc.Auth)
	case p.saml.Signed:
		return "signature"
	}
	return "none"
}

func (p relyingParty) registration() registration.Registration {
	if p.saml != nil {
		return registration.OfSP(*p.saml)
	}
	return registration.Of(*p.oidc)
}

func (p relyingParty) review(s registration.Surroundings) []registration.Finding {
	if p.saml != nil {
		return registration.ReviewSP(*p.saml, s)
	}
	return registration.Review(*p.oidc, s)
}

func (p relyingParty) remove(ctx context.Context, h *boot.Hub, by access.Actor, why string) error {
	if p.saml != nil {
		return h.SPs.Remove(ctx, by, p.saml.ID, why, h.Now().UnixMicro())
	}
	return h.Parties.Remove(ctx, by, p.oidc.ID, why, h.Now().UnixMicro())
}

// find reads one relying party of either registry; the error wraps identity.ErrNotFound where there is none.
func find(ctx context.Context, h *boot.Hub, id policies.RelyingPartyID) (relyingParty, error) {
	p, err := h.Parties.Party(ctx, h.DB.Reader(), id)
	if err == nil {
		return relyingParty{oidc: &p}, nil
	}
	if !errors.Is(err, identity.ErrNotFound) {
		return relyingParty{}, err
	}
	s, err := h.SPs.SP(ctx, h.DB.Reader(), id)
	return relyingParty{saml: &s}, err
}

// partyOf reads one relying party. An id that there isn't comes with those that may have been meant.
func partyOf(ctx context.Context, h *boot.Hub, id string) (relyingParty, error) {
	if policies.RelyingPartyID(id) == party.HubID {
		return relyingParty{}, boot.Refused(fmt.Errorf("%s: the hub's own pages aren't registered; they are there wherever login is served (musubi config show)", id))
	}
	p, err := find(ctx, h, policies.RelyingPartyID(id))
	if !errors.Is(err, identity.ErrNotFound) {
		return p, err
	}
	all, lerr := h.Entrances.All(ctx)
	if lerr != nil {
		return p, lerr
	}
	var known []string
	for _, o := range all[1:] { // the first is the hub
		known = append(known, string(o.RelyingParty.ID))
	}
	if near := config.Near(id, known); len(near) > 0 {
		return p, fmt.Errorf("relying party %q: %w: did you mean %s?", oneLine(id, 80), identity.ErrNotFound, strings.Join(near, ", "))
	}
	return p, fmt.Errorf("relying party %q: %w: `musubi rp list` shows those that there are", oneLine(id, 80), identity.ErrNotFound)
}

// partiesOf gives the relying parties of both registries, by id.
func partiesOf(ctx context.Context, h *boot.Hub) ([]relyingParty, error) {
	oidc, err := h.Parties.List(ctx)
	if err != nil {
		return nil, err
	}
	saml, err := h.SPs.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []relyingParty
	for i := range oidc {
		all = append(all, relyingParty{oidc: &oidc[i]})
	}
	for i := range saml {
		all = append(all, relyingParty{saml: &saml[i]})
	}
	slices.SortFunc(all, func(a, b relyingParty) int { return cmp.Compare(a.id(), b.id()) })
	return all, nil
}

// rpView is a relying party in --json answers: as a file for rp add, with what a file can't hold.
type rpView struct {
	registration.Registration
	Reached []policies.Network `json:"reached"` // where people log in
	Secrets []secretView       `json:"secrets,omitempty"`
	Hub     *ownView           `json:"hub,omitempty"` // what a SAML party has to be told
}

type secretView struct {
	Until  string `json:"until,omitempty"` // JST; empty: until it is replaced
	Counts bool   `json:"counts"`
}

func (p relyingParty) view(at int64) rpView {
	v := rpView{Registration: p.registration(), Reached: p.policy().Networks}
	if v.Reached == nil {
		v.Reached = []policies.Network{}
	}
	if p.oidc == nil {
		return v
	}
	for _, s := range p.oidc.Secrets {
		x := secretView{Counts: s.Until == 0 || at < s.Until}
		if s.Until != 0 {
			x.Until = showTime(time.UnixMicro(s.Until))
		}
		v.Secrets = append(v.Secrets, x)
	}
	return v
}
