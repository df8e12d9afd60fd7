package main

import (
	"context"
	"slices"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// services gives the relying parties that somebody may enter by their session, in the post in which they act, and a link where a login may begin here.
func (e *entry) services(h *boot.Hub) func(context.Context, access.Actor, session.Session) ([]page.Service, error) {
	return func(ctx context.Context, a access.Actor, s session.Session) (list []page.Service, err error) {
		all, err := h.Entrances.All(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range all {
			if x.RelyingParty.Hub || !slices.Contains(x.RelyingParty.Networks, s.Network) {
				continue
			}
			d, err := h.Engine.MayEnter(a.Policy(), x.RelyingParty, policies.Entry{Network: s.Network, Assurance: s.Assurance, Sealed: s.Sealed()})
			if err != nil {
				return nil, err
			}
			if !d.Allow {
				continue
			}
			service := page.Service{Name: page.Label{JA: x.Name}}
			if x.Initiated {
				if service.Link, err = e.SAML.Link(s.Network, x.RelyingParty.ID, "", s.ID); err != nil {
					return nil, err
				}
			}
			list = append(list, service)
		}
		return list, nil
	}
}
