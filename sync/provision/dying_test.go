package provision

import (
	"context"
	"math/rand/v2"

	"github.com/musubi-hub/musubi/connectors"
)

// lost is the answer that nobody heard.
var lost = &connectors.Error{Kind: connectors.KindAmbiguous, Vendor: "test", Op: "call", Detail: "the answer was lost"}

// dying loses every second answer: the work is done all the same.
type dying struct {
	connectors.GroupWriter
	rng *rand.Rand
}

func (d dying) AddMembers(ctx context.Context, group string, ids []string) error {
	if err := d.GroupWriter.AddMembers(ctx, group, ids); err != nil || d.rng.IntN(2) == 0 {
		return err
	}
	return lost
}

func (d dying) RemoveMembers(ctx context.Context, group string, ids []string) error {
	if err := d.GroupWriter.RemoveMembers(ctx, group, ids); err != nil || d.rng.IntN(2) == 0 {
		return err
	}
	return lost
}

type dyingAccounts struct {
	connectors.AccountWriter
	rng *rand.Rand
}

func (d dyingAccounts) CreateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	got, err := d.AccountWriter.CreateAccount(ctx, want)
	if err != nil || d.rng.IntN(2) == 0 {
		return got, err
	}
	return connectors.Account{}, lost
}

func (d dyingAccounts) DisableAccount(ctx context.Context, id string) error {
	if err := d.AccountWriter.DisableAccount(ctx, id); err != nil || d.rng.IntN(2) == 0 {
		return err
	}
	return lost
}
