package slack

import (
	"slices"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// snapshotBatch is how many changes one journal line of a snapshot holds.
const snapshotBatch = 500

// SnapshotLocked gives changes that rebuild the workspace. The caller holds Lock.
func (w *Workspace) SnapshotLocked(emit func([]site.Change) error) error {
	var batch []site.Change
	put := func(kind string, data any) error {
		if batch = append(batch, record(kind, data)); len(batch) < snapshotBatch {
			return nil
		}
		full := batch
		batch = nil
		return emit(full)
	}
	for _, step := range []func(func(string, any) error) error{w.snapshotUsers, w.snapshotGroups, w.snapshotChannels} {
		if err := step(put); err != nil {
			return err
		}
	}
	for _, k := range w.links.All() {
		if err := put(changeLink, k); err != nil {
			return err
		}
	}
	if s, own := w.sender.subscription(); own {
		if err := put(changeSubscription, s); err != nil {
			return err
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return emit(batch)
}

// builtIn says whether an account is made by clear.
func (u *user) builtIn() bool { return u.Bot || u.Owner }

func (w *Workspace) snapshotUsers(put func(string, any) error) error {
	for _, id := range w.order {
		if u := w.account(id); !u.builtIn() {
			if err := put(changeUser, u); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Workspace) snapshotGroups(put func(string, any) error) error {
	for _, id := range w.groupOrder {
		g := w.groups[id]
		if err := put(changeGroup, g.groupRecord); err != nil {
			return err
		}
		for ids := range slices.Chunk(g.members.IDs(time.Time{}), snapshotBatch) {
			if err := put(changeGroupMembers, membersRecord{Of: id, Add: ids, At: g.Modified}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Workspace) snapshotChannels(put func(string, any) error) error {
	for _, id := range w.chanOrder {
		c := w.channels[id]
		if err := put(changeChannel, c.channelRecord); err != nil {
			return err
		}
		members := c.members.IDs(time.Time{})
		if id == w.generalID() { // putUser brought everyone in: say who left
			var gone []string
			for _, u := range w.order {
				if !c.members.Has(u) {
					gone = append(gone, u)
				}
			}
			// Removing and adding everyone also gives the order back.
			if err := put(changeJoin, membersRecord{Of: id, Remove: append(gone, members...), At: c.Created}); err != nil {
				return err
			}
		}
		for ids := range slices.Chunk(members, snapshotBatch) {
			if err := put(changeJoin, membersRecord{Of: id, Add: ids, At: c.Created}); err != nil {
				return err
			}
		}
		for _, m := range c.messages {
			if err := put(changeMessage, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// State gives the ground truth: accounts that SCIM knows, user groups, channels with what was said.
func (w *Workspace) State() site.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.ground.Now()
	s := site.State{App: Name, Accounts: []site.Account{}, Groups: []site.Group{}}
	in := map[string][]string{}
	for _, id := range w.groupOrder {
		g := w.groups[id]
		members := g.members.IDs(time.Time{})
		s.Groups = append(s.Groups, site.Group{ID: id, Name: g.Name, Members: members})
		for _, m := range members {
			in[m] = append(in[m], g.Name)
		}
	}
	for _, id := range w.order {
		if u := w.account(id); !u.Bot {
			s.Accounts = append(s.Accounts, site.Account{
				ID: id, AccountID: id, ExternalID: u.Attr.ExternalID, UserName: u.Attr.UserName, Email: u.Attr.Email(),
				DisplayName: u.Attr.DisplayName, Active: u.Attr.ActiveAt(now), Guest: u.Attr.Guest != nil, Owner: u.Owner, Groups: append([]string{}, in[id]...),
			})
		}
	}
	for _, id := range w.chanOrder {
		s.Channels = append(s.Channels, w.channels[id].state())
	}
	s.Finish()
	return s
}

func (c *channel) state() site.Channel {
	out := site.Channel{
		ID: c.ID, Name: c.Name, Private: c.Kind != kindPublic, Direct: c.direct(), Archived: c.Archived, Topic: c.Topic.Value,
		Purpose: c.Purpose.Value, Members: c.members.IDs(time.Time{}), Messages: []site.Message{},
	}
	slices.Sort(out.Members)
	for _, m := range c.messages {
		said := site.Message{
			TS: m.TS, ThreadTS: m.Thread, User: m.User, Text: m.Text, Subtype: m.Subtype, Edited: m.Edited != "", OnlyTo: m.OnlyTo,
			Blocks: m.Blocks, Metadata: m.Metadata,
		}
		for _, r := range m.Reactions {
			for _, u := range r.Users {
				said.Reacted = append(said.Reacted, r.Name+":"+u)
			}
		}
		out.Messages = append(out.Messages, said)
	}
	return out
}

// Counts gives the ground truth's numbers alone.
func (w *Workspace) Counts() site.Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.ground.Now()
	c := site.CountAccounts(func(yield func(site.Account) bool) {
		for _, id := range w.order {
			u := w.account(id)
			if u.Bot {
				continue
			}
			if !yield(site.Account{Email: u.Attr.Email(), ExternalID: u.Attr.ExternalID, Active: u.Attr.ActiveAt(now)}) {
				return
			}
		}
	})
	c.Groups = len(w.groups)
	for _, g := range w.groups {
		c.Memberships += g.members.Len()
	}
	return c
}
