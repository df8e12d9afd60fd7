package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// secondPosts gives a second post 兼務 to those whose test card is for choosing one, once, for a person who is about to try it. Without a person the
// demonstration's people are those of its files and nothing else.
func (d *demo) secondPosts(ctx context.Context) error {
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPeopleWrite, policies.Context{})
	if err != nil {
		return err
	}
	now := d.env.now()
	for _, c := range d.login.set.Cards {
		if c.Also == "" {
			continue
		}
		p, err := d.hub.Directory.FindPerson(ctx, policies.System(policies.TaskBootstrap), c.Org, c.Staff)
		if errors.Is(err, identity.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		held, _, err := d.hub.Directory.Held(ctx, p.ID, now.UnixMicro())
		if err != nil {
			return err
		}
		if len(held) > 0 || !p.Active() {
			continue
		}
		year, month, day := now.In(jst.Zone).Date()
		_, err = d.hub.Directory.AddTransfer(ctx, scope, identity.Transfer{
			Person: p.ID, Kind: identity.TransferConcurrent, To: c.Also, At: time.Date(year, month, day, 0, 0, 0, 0, jst.Zone).UnixMicro(),
			StaffNumber: "K00001", Section: "デジタル推進課", Title: "主査", Role: policies.RoleGeneral,
		}, directory.Author{Actor: d.planner.ScopeActor(), Source: "demo", Why: "demonstration"})
		if err != nil {
			return fmt.Errorf("a second post for the test card %s: %w", c.ID, err)
		}
	}
	return nil
}
