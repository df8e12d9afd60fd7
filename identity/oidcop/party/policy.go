package party

import (
	"context"

	"github.com/musubi-hub/musubi/policies"
)

// HubID names the hub's own pages among the relying parties. It is in no registry.
const HubID policies.RelyingPartyID = "musubi"

// Hub is the hub's own pages, as policies read them. They are there in every network that the hub serves.
func Hub() policies.RelyingParty {
	return policies.RelyingParty{ID: HubID, Networks: policies.Networks(), Hub: true}
}

// Policy gives what policies may read of the party.
func (p Party) Policy() policies.RelyingParty {
	rp := policies.RelyingParty{ID: p.ID, Functions: p.Functions, Products: p.Products}
	for _, f := range p.Faces {
		if len(f.Redirects) > 0 { // else nobody logs in there
			rp.Networks = append(rp.Networks, f.Network)
		}
	}
	return rp
}

// Entrances gives the relying parties as the dispatcher of logins wants them (login.Parties): those of the registry, and the hub's own pages.
type Entrances struct{ registry *Registry }

// NewEntrances makes it.
func NewEntrances(r *Registry) *Entrances { return &Entrances{r} }

// Party gives what policies may read of the party; the error wraps identity.ErrNotFound for an unknown one.
func (e *Entrances) Party(ctx context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	if id == HubID {
		return Hub(), nil
	}
	p, err := e.registry.Party(ctx, e.registry.db.Reader(), id)
	if err != nil {
		return policies.RelyingParty{}, err
	}
	return p.Policy(), nil
}

// All gives every relying party with its name for people, the hub's own pages first, the others by id.
func (e *Entrances) All(ctx context.Context) ([]Entrance, error) {
	list, err := e.registry.List(ctx)
	if err != nil {
		return nil, err
	}
	all := []Entrance{{Name: HubName, Least: policies.AssuranceCard, RelyingParty: Hub()}}
	for _, p := range list {
		all = append(all, Entrance{Name: p.Name, Least: p.Least, RelyingParty: p.Policy()})
	}
	return all, nil
}

// HubName is what people call the hub's own pages.
const HubName = "結び Musubi"

// Entrance is a relying party for people and policies.
type Entrance struct {
	Name         string
	Least        policies.Assurance // what a login must reach
	RelyingParty policies.RelyingParty
}
