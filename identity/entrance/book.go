package entrance

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Entrance is a relying party for people and policies.
type Entrance struct {
	Name         string
	Issuer       identity.IssuerID  // the protocol that it is answered in
	Least        policies.Assurance // what a login must reach
	Initiated    bool               // logins may begin at the hub
	RelyingParty policies.RelyingParty
}

// HubName is what people call the hub's own pages.
const HubName = "結び Musubi"

// Hub is the hub's own pages.
func Hub() Entrance {
	return Entrance{Name: HubName, Issuer: identity.IssuerHub, Least: policies.AssuranceCard, RelyingParty: party.Hub()}
}

// Book reads both registries. It is safe for concurrent use.
type Book struct {
	db      *sqldb.DB
	parties *party.Registry
	sps     *sp.Registry
}

// New makes it.
func New(db *sqldb.DB, parties *party.Registry, sps *sp.Registry) *Book {
	return &Book{db: db, parties: parties, sps: sps}
}

// Find gives the relying party of an id; the error wraps identity.ErrNotFound where there is none.
func (b *Book) Find(ctx context.Context, id policies.RelyingPartyID) (Entrance, error) {
	if id == party.HubID {
		return Hub(), nil
	}
	p, err := b.parties.Party(ctx, b.db.Reader(), id)
	if err == nil {
		return ofOpenID(p), nil
	}
	if !errors.Is(err, identity.ErrNotFound) {
		return Entrance{}, err
	}
	s, err := b.sps.SP(ctx, b.db.Reader(), id)
	if err != nil {
		return Entrance{}, err
	}
	return ofSAML(s), nil
}

// Party is Find for policies: login.Parties.
func (b *Book) Party(ctx context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error) {
	e, err := b.Find(ctx, id)
	return e.RelyingParty, err
}

// All gives every relying party, the hub's own pages first, the others by id.
func (b *Book) All(ctx context.Context) ([]Entrance, error) {
	parties, err := b.parties.List(ctx)
	if err != nil {
		return nil, err
	}
	sps, err := b.sps.List(ctx)
	if err != nil {
		return nil, err
	}
	all := []Entrance{Hub()}
	for _, p := range parties {
		all = append(all, ofOpenID(p))
	}
	for _, s := range sps {
		all = append(all, ofSAML(s))
	}
	slices.SortFunc(all[1:], func(a, b Entrance) int { return cmp.Compare(a.RelyingParty.ID, b.RelyingParty.ID) })
	return all, nil
}

func ofOpenID(p party.Party) Entrance {
	return Entrance{Name: p.Name, Issuer: identity.IssuerOIDC, Least: p.Least, RelyingParty: p.Policy()}
}

func ofSAML(s sp.SP) Entrance {
	return Entrance{Name: s.Name, Issuer: identity.IssuerSAML, Least: s.Least, Initiated: s.Initiated, RelyingParty: s.Policy()}
}
