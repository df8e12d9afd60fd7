package directory

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// Who administers an organization at which time: the decision is pure, and every writer that could leave an organization alone asks it.

// ErrLastAdministrator says that a change would leave an organization without an administrator.
var ErrLastAdministrator = errors.New("it would leave the organization without an administrator: name a successor, or first appoint a caretaker")

// administratorRole is the role that administers an organization of this kind.
func administratorRole(kind policies.OrgKind) policies.Role {
	if kind == policies.KindAgency {
		return policies.RoleSystemAdministrator
	}
	return policies.RoleAdministrator
}

// administratorsNeeded is how many an organization must have. In the operating agency it is two: a plan is approved by a system
// administrator who didn't make it (policy maker-never-approves), so one alone could neither approve a plan nor make a second
// system administrator's work count.
func administratorsNeeded(kind policies.OrgKind) int {
	if kind == policies.KindAgency {
		return 2
	}
	return 1
}

// administration is who administers one organization, now and in time.
type administration struct {
	needed     int
	now        []policies.PersonID
	changes    []administratorChange
	caretakers []identity.Appointment // never counted for the agency, whose work they can't do
}

// administratorChange is somebody becoming an administrator or ceasing to be one.
type administratorChange struct {
	at     int64
	order  int64 // among those of one instant
	person policies.PersonID
	gain   bool
}

// count gives how many administer the organization at an instant.
func (a administration) count(at int64) int {
	sorted := slices.Clone(a.changes)
	slices.SortStableFunc(sorted, func(x, y administratorChange) int {
		return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.order, y.order))
	})
	set := map[policies.PersonID]bool{}
	for _, p := range a.now {
		set[p] = true
	}
	for _, c := range sorted {
		if c.at > at {
			break
		}
		if c.gain {
			set[c.person] = true
		} else {
			delete(set, c.person)
		}
	}
	for _, c := range a.caretakers {
		if c.From <= at && (c.Until == 0 || at < c.Until) {
			set[c.Person] = true
		}
	}
	return len(set)
}

// worsens tells whether what is planned after a change leaves the organization with too few administrators at an instant at which what
// was planned before did not, or with fewer still. It tells the first such instant.
func worsens(before, after administration) (at int64, worse bool) {
	instants := map[int64]bool{}
	for _, a := range []administration{before, after} {
		for _, c := range a.changes {
			instants[c.at] = true
		}
		for _, c := range a.caretakers {
			instants[c.From], instants[c.Until] = true, c.Until != 0
		}
	}
	for _, at := range slices.Sorted(maps.Keys(instants)) {
		if n := after.count(at); n < after.needed && n < before.count(at) {
			return at, true
		}
	}
	return 0, false
}

// administratorChanges are the changes in one organization that a transfer makes.
func administratorChanges(t recorded, org identity.Organization) []administratorChange {
	role := administratorRole(org.Kind)
	change := func(person policies.PersonID, gain bool) administratorChange {
		return administratorChange{at: t.At, order: t.number, person: person, gain: gain}
	}
	var list []administratorChange
	leaves := t.Kind == identity.TransferLeave || t.Crosses() && (t.Kind == identity.TransferMove || t.Kind == identity.TransferSecond || t.Kind == identity.TransferReturn)
	if t.From == org.ID {
		switch {
		case leaves:
			list = append(list, change(t.Person, false))
		case t.Role != "" && t.Kind != identity.TransferConcurrent && t.Kind != identity.TransferRelease:
			list = append(list, change(t.Person, t.Role == role))
		}
		if t.Successor != "" {
			list = append(list, change(t.Successor, true))
		}
	} else if t.To == org.ID && leaves && t.Role == role && t.AcceptedAt != 0 {
		list = append(list, change(t.Person, true))
	}
	return list
}

// administration reads who administers an organization, and what of the future the scope's actor may know. What is hidden from the
// actor must not change the answer they get; it is looked at again when it takes effect.
func (s *Store) administration(ctx context.Context, q querier, scope policies.Scope, org identity.Organization) (a administration, list []recorded, err error) {
	a = administration{needed: administratorsNeeded(org.Kind)}
	query := sqlText("SELECT p.id FROM " + personTable + " p WHERE p.ended_at = 0")
	query.and("p.org = ?", string(org.ID))
	query.and("p.role = ?", string(administratorRole(org.Kind)))
	query.and("p.role <> 'general'") // what the index is about
	err = each(ctx, q, query, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		a.now = append(a.now, policies.PersonID(id))
		return err
	})
	if err != nil {
		return a, nil, err
	}
	planned := sqlText(transferSelect)
	planned.and("t.state = ?", string(identity.TransferPlanned))
	planned.and("(t.from_org = ? OR t.to_org = ?)", string(org.ID), string(org.ID))
	planned.visible(scope, s.micros())
	if list, err = transfers(ctx, q, planned); err != nil {
		return a, nil, err
	}
	for _, t := range list {
		a.changes = append(a.changes, administratorChanges(t, org)...)
	}
	if org.Kind != policies.KindAgency {
		a.caretakers, err = appointments(ctx, q, org.ID, identity.AppointmentCaretaker)
	}
	return a, list, err
}

// keepAdministered refuses what would leave an organization without an administrator: the plans without `without`, and with those
// that come.
func (s *Store) keepAdministered(ctx context.Context, q querier, scope policies.Scope, id policies.OrgID, come []recorded, without identity.TransferID) error {
	org, err := organization(ctx, q, id)
	if err != nil {
		return err
	}
	before, list, err := s.administration(ctx, q, scope, org)
	if err != nil {
		return err
	}
	after := before
	after.changes = nil
	for _, t := range append(list, come...) {
		if t.ID != without {
			after.changes = append(after.changes, administratorChanges(t, org)...)
		}
	}
	if at, worse := worsens(before, after); worse {
		return fmt.Errorf("organization %s on %s: %w: %w", id, jst.Date(at), ErrLastAdministrator, identity.ErrRefused)
	}
	return nil
}
