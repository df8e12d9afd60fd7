package atlassian

import (
	"slices"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// snapshotBatch is how many members or records one journal line of a snapshot holds.
const snapshotBatch = 1000

// SnapshotLocked gives changes that rebuild the directory. The caller holds Lock.
func (d *Directory) SnapshotLocked(emit func([]site.Change) error) error {
	var batch []site.Change
	put := func(kind string, data any) error {
		c, err := site.NewChange(kind, data)
		if err != nil {
			return err
		}
		if batch = append(batch, c); len(batch) < snapshotBatch {
			return nil
		}
		err = emit(batch)
		batch = nil
		return err
	}
	gone := make([]string, 0, len(d.gone))
	for id := range d.gone {
		gone = append(gone, id)
	}
	slices.Sort(gone)
	for _, id := range gone {
		if err := put(changeUserGone, d.gone[id]); err != nil {
			return err
		}
	}
	for _, id := range d.order {
		if err := put(changeUser, d.users[id].Current()); err != nil {
			return err
		}
	}
	for _, id := range d.groupOrder {
		g := d.groups[id]
		if err := put(changeGroup, g.groupRecord); err != nil {
			return err
		}
		for ids := range slices.Chunk(g.members.IDs(time.Time{}), snapshotBatch) {
			if err := put(changeMembers, memberRecord{Group: id, Add: ids, At: g.Modified}); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return emit(batch)
}

// State gives the ground truth, with the accounts whose SCIM record was deleted as inactive.
func (d *Directory) State() site.State {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := site.State{App: Name, Accounts: make([]site.Account, 0, len(d.users)+len(d.gone)), Groups: make([]site.Group, 0, len(d.groups))}
	add := func(u *user) {
		a := site.Account{
			ID: u.ID, AccountID: u.AccountID, ExternalID: u.Attr.ExternalID, UserName: u.Attr.UserName, Email: u.email(),
			DisplayName: u.Attr.DisplayName, Active: u.Attr.Active, Groups: []string{},
		}
		for gid := range d.memberOf[u.ID] {
			a.Groups = append(a.Groups, d.groups[gid].DisplayName)
		}
		s.Accounts = append(s.Accounts, a)
	}
	for _, id := range d.order {
		add(d.users[id].Current())
	}
	for _, u := range d.gone {
		add(u)
	}
	for _, g := range d.groups {
		s.Groups = append(s.Groups, site.Group{ID: g.ID, Name: g.DisplayName, Members: g.members.IDs(time.Time{})})
	}
	s.Finish()
	return s
}

// Counts gives the ground truth's numbers alone.
func (d *Directory) Counts() site.Counts {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c := site.CountAccounts(func(yield func(site.Account) bool) {
		for _, id := range d.order {
			u := d.users[id].Current()
			if !yield(site.Account{Email: u.email(), ExternalID: u.Attr.ExternalID, Active: u.Attr.Active}) {
				return
			}
		}
		for range d.gone {
			if !yield(site.Account{}) {
				return
			}
		}
	})
	c.Groups = len(d.groups)
	for _, g := range d.groups {
		c.Memberships += g.members.Len()
	}
	return c
}
