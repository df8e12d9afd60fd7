package boot

import (
	"context"
	"fmt"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/provision"
)

// guard puts the configured breakers before everything that takes something away.
func (h *Hub) guard(o Options) error {
	cfg := breaker.Default()
	if o.Config.Breakers != (config.Breakers{}) { // a configuration that was never read from anywhere has none
		var err error
		if cfg, err = o.Config.Breakers.Limits(); err != nil {
			return Usage(err)
		}
	}
	b, err := breaker.New(h.DB, o.Now, cfg, provision.Baseline)
	if err != nil {
		return Usage(err)
	}
	h.Breakers = b
	h.Provision.Guard(b, h.Directory, h.Dated)
	return nil
}

// AnotherAdministrator reports whether a system administrator in service exists beside the acting person, who is one: all of them are of one
// organization, the operating agency. The scope is the person's own for people.read.
func (h *Hub) AnotherAdministrator(ctx context.Context, scope policies.Scope) (bool, error) {
	_, agency, err := h.Directory.Actor(ctx, scope.Actor())
	if err != nil {
		return false, fmt.Errorf("read the acting person: %w", err)
	}
	if agency.Kind != policies.KindAgency { // who acts in a concurrent post there: nobody is alone then
		return true, nil
	}
	filter := directory.PeopleFilter{Org: agency.ID, Limit: directory.MaxPage}
	for {
		page, err := h.Directory.People(ctx, scope, filter)
		if err != nil {
			return false, fmt.Errorf("read people: %w", err)
		}
		for _, p := range page {
			if p.ID != scope.Actor() && p.Active() && p.Role == policies.RoleSystemAdministrator {
				return true, nil
			}
		}
		if len(page) < filter.Limit {
			return false, nil
		}
		filter.After = page[len(page)-1].ID
	}
}
