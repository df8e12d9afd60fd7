package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// compare asks the sandbox what it really holds, and checks it against what directory and policy want, account by account and
// membership by membership.
func (d *demo) compare(ctx context.Context) error {
	wanted, err := d.hub.Planner.Wanted(ctx)
	if err != nil {
		return err
	}
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return err
	}
	seats, err := d.hub.Provision.Seats(ctx, scope)
	if err != nil {
		return err
	}
	applied := map[policies.Product]int{}
	for _, s := range seats {
		applied[s.Product] = s.Active
	}
	if err := d.count(ctx); err != nil {
		return err
	}
	var faults []error
	for _, p := range policies.Products() {
		state, err := d.box.State(string(p))
		if err != nil {
			return err
		}
		s := demoSaaS{Applied: applied[p], Duplicates: state.Counts.Duplicates}
		for _, a := range state.Accounts {
			if a.Active && !a.Owner {
				s.GroundTruth++
			}
		}
		for _, a := range wanted.Accounts {
			if a.Product == p {
				s.Wanted++
			}
		}
		d.out.SaaS[string(p)] = s
		if diff := differences(wanted, p, state); len(diff) > 0 || s.Duplicates > 0 || s.Applied != s.Wanted {
			faults = append(faults, fmt.Errorf("%s doesn't hold what was planned: %d differences, %d duplicates, %d of %d confirmed; first: %s",
				p, len(diff), s.Duplicates, s.Applied, s.Wanted, strings.Join(diff[:min(len(diff), 3)], "; ")))
		}
	}
	if len(faults) > 0 {
		return boot.Partial(errors.Join(faults...))
	}
	d.out.OK = true
	return nil
}

// differences lists every active account, name and membership that is wanted and not there, or there and not wanted.
func differences(wanted provision.Wanted, product policies.Product, state sandbox.State) []string {
	type holding struct {
		name   string
		groups []string
		guest  bool
	}
	want := map[string]holding{}
	for _, a := range wanted.Accounts {
		if a.Product == product {
			h := holding{name: a.Attributes.DisplayName, guest: a.Attributes.Guest}
			for _, org := range a.Orgs() {
				h.groups = append(h.groups, wanted.Names[org])
			}
			slices.Sort(h.groups)
			want[strings.ToLower(a.Attributes.Email)] = h
		}
	}
	var diff []string
	for _, a := range state.Accounts {
		key := strings.ToLower(a.Email)
		w, ok := want[key]
		in := slices.Sorted(slices.Values(a.Groups))
		switch {
		case a.Owner:
			continue
		case !a.Active && len(a.Groups) > 0:
			diff = append(diff, fmt.Sprintf("disabled account %s is still in %v", a.ID, a.Groups))
		case !a.Active:
		case !ok:
			diff = append(diff, fmt.Sprintf("account %s isn't wanted", a.ID))
		case !slices.Equal(in, w.groups):
			diff = append(diff, fmt.Sprintf("account %s is in %v, wanted in %v", a.ID, in, w.groups))
		case a.Guest != w.guest:
			diff = append(diff, fmt.Sprintf("account %s is a guest: %t, wanted: %t", a.ID, a.Guest, w.guest))
		case product != policies.ProductJira && a.DisplayName != w.name: // a portal customer's name stays as it was made
			diff = append(diff, fmt.Sprintf("account %s has another name", a.ID))
		}
		if a.Active {
			delete(want, key)
		}
	}
	if len(want) > 0 {
		diff = append(diff, fmt.Sprintf("%d wanted accounts are missing", len(want)))
	}
	return diff
}

// count counts organizations and people, without wards and without the operating agency.
func (d *demo) count(ctx context.Context) error {
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return err
	}
	per, err := d.hub.Directory.PeoplePerOrg(ctx, scope)
	if err != nil {
		return err
	}
	agency, _ := d.operator()
	d.out.People, d.out.Organizations = 0, 0
	for org, n := range per {
		if org != agency.ID {
			d.out.People += n
		}
	}
	read, err := d.hub.Scope(ctx, d.planner, policies.ActionOrgRead, policies.Context{})
	if err != nil {
		return err
	}
	counts, err := d.hub.Directory.Counts(ctx, read)
	if err != nil {
		return err
	}
	d.out.Organizations = counts.Organizations - counts.PerKind[policies.KindAgency]
	return nil
}

func marshalLine(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
