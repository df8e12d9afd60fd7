package slack

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack/scim"
)

type scimGroup struct {
	Schemas     []string    `json:"schemas"`
	ID          string      `json:"id"`
	Meta        meta        `json:"meta"`
	DisplayName string      `json:"displayName"`
	Members     []reference `json:"members"`
}

func (w *Workspace) renderGroup(c *site.Call, g *group) scimGroup {
	out := scimGroup{
		Schemas: []string{scim.SchemaGroup}, ID: g.ID, DisplayName: g.Name, Members: []reference{},
		Meta: meta{stamp(g.Created), c.Base + "/" + Name + "/scim/v2/Groups/" + g.ID},
	}
	for _, id := range g.members.IDs(c.AsOf) {
		if u := w.account(id); u != nil {
			out.Members = append(out.Members, reference{id, u.Attr.UserName})
		}
	}
	return out
}

// hidden says whether a stale read doesn't see yet what was made at micro.
func hidden(c *site.Call, micro int64) bool {
	return !c.AsOf.IsZero() && time.UnixMicro(micro).After(c.AsOf)
}

func (w *Workspace) listGroups(c *site.Call) (int, any, *scim.Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := slices.DeleteFunc(slices.Clone(w.groupOrder), func(id string) bool { return hidden(c, w.groups[id].Created) })
	return list(c, ids, func(id string) any { return w.renderGroup(c, w.groups[id]) })
}

func (w *Workspace) readGroup(c *site.Call) (int, any, *scim.Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[c.Vars["id"]]
	if g == nil || hidden(c, g.Created) {
		return 0, nil, scim.NoSuchGroup()
	}
	return http.StatusOK, w.renderGroup(c, g), nil
}

// groupNamed finds a group by its name, without case.
func (w *Workspace) groupNamed(name string) *group {
	for _, g := range w.groups {
		if strings.EqualFold(g.Name, name) {
			return g
		}
	}
	return nil
}

// isHuman says whether an id is an account's that can be in a group.
func (w *Workspace) isHuman(id string) bool {
	u := w.account(id)
	return u != nil && !u.Bot
}

func (w *Workspace) createGroup(c *site.Call) (int, any, *scim.Refusal) {
	b, no := decodeBody(c.R, scim.DecodeGroup)
	if no != nil {
		return 0, nil, no
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.groupNamed(b.DisplayName) != nil {
		return 0, nil, &scim.Refusal{Status: http.StatusConflict, Detail: "name_already_exists"}
	}
	if !all(b.Members, w.isHuman) {
		return 0, nil, scim.NoSuchUser()
	}
	now := c.Now.UnixMicro()
	r := groupRecord{
		ID: w.fresh("S", b.DisplayName, stamp(now)), Name: b.DisplayName, Serial: w.serial + 1, Created: now, Modified: now,
		By: w.botID(), ChangedBy: w.botID(), FromSCIM: true,
	}
	if err := w.saveGroup(c, r, nil, b.Members); err != nil {
		return 0, nil, unavailable(err)
	}
	g := w.groups[r.ID]
	w.announceGroup(c.Now, "subteam_created", g)
	out := w.renderGroup(&site.Call{Base: c.Base}, g)
	c.W.Header().Set("Location", out.Meta.Location)
	return http.StatusCreated, out, nil
}

func all[T any](list []T, ok func(T) bool) bool {
	return !slices.ContainsFunc(list, func(v T) bool { return !ok(v) })
}

// saveGroup stores a group with the members that it shall have. A fault may leave one new member out. An account that isn't active
// comes in no group.
func (w *Workspace) saveGroup(c *site.Call, r groupRecord, have, want []string) error {
	m := membersRecord{Of: r.ID, At: c.Now.UnixMicro()}
	keep := map[string]bool{}
	was := map[string]bool{}
	for _, id := range have {
		was[id] = true
	}
	for _, id := range want {
		if !keep[id] && !was[id] {
			m.Add = append(m.Add, id)
		}
		keep[id] = true
	}
	for _, id := range have {
		if !keep[id] {
			m.Remove = append(m.Remove, id)
		}
	}
	m.Add = slices.DeleteFunc(m.Add, func(id string) bool { return w.alive(id, c.Now) == nil })
	if len(m.Add) > 0 && c.Drop != nil {
		if i := c.Drop(len(m.Add)); i >= 0 {
			m.Add = slices.Delete(m.Add, i, i+1)
		}
	}
	changes := []site.Change{record(changeGroup, r)}
	if len(m.Add)+len(m.Remove) > 0 {
		changes = append(changes, record(changeGroupMembers, m))
	}
	if err := w.save(changes...); err != nil {
		return err
	}
	if len(m.Add)+len(m.Remove) > 0 && have != nil {
		w.announceMembers(c.Now, w.groups[r.ID], m)
	}
	return nil
}

func (w *Workspace) replaceGroup(c *site.Call) (int, any, *scim.Refusal) {
	b, no := decodeBody(c.R, scim.DecodeGroup)
	if no != nil {
		return 0, nil, no
	}
	return w.changeGroup(c, func(scim.Group) (scim.Group, *scim.Refusal) {
		if !all(b.Members, w.isHuman) {
			return b, scim.NoSuchUser()
		}
		return b, nil
	})
}

func (w *Workspace) patchGroup(c *site.Call) (int, any, *scim.Refusal) {
	ops, no := decodeBody(c.R, scim.DecodePatch)
	if no != nil {
		return 0, nil, no
	}
	_, _, no = w.changeGroup(c, func(old scim.Group) (scim.Group, *scim.Refusal) { return scim.PatchGroup(old, ops, w.isHuman) })
	return http.StatusNoContent, nil, no
}

// changeGroup brings a group to the name and members that edit wants.
func (w *Workspace) changeGroup(c *site.Call, edit func(scim.Group) (scim.Group, *scim.Refusal)) (int, any, *scim.Refusal) {
	return w.underLock(c, func(id string) (int, any, *scim.Refusal) {
		g := w.groups[id]
		if g == nil {
			return 0, nil, scim.NoSuchGroup()
		}
		have := g.members.IDs(time.Time{})
		want, no := edit(scim.Group{DisplayName: g.Name, Members: have})
		if no != nil {
			return 0, nil, no
		}
		if other := w.groupNamed(want.DisplayName); other != nil && other != g {
			return 0, nil, &scim.Refusal{Status: http.StatusConflict, Detail: "name_already_exists"}
		}
		r := g.groupRecord
		renamed := r.Name != want.DisplayName
		r.Name, r.Modified, r.ChangedBy = want.DisplayName, c.Now.UnixMicro(), w.botID()
		if err := w.saveGroup(c, r, have, want.Members); err != nil {
			return 0, nil, unavailable(err)
		}
		if renamed {
			w.announceGroup(c.Now, "subteam_updated", g)
		}
		return http.StatusOK, w.renderGroup(&site.Call{Base: c.Base}, g), nil
	})
}

func (w *Workspace) deleteGroup(c *site.Call) (int, any, *scim.Refusal) {
	return w.underLock(c, func(id string) (int, any, *scim.Refusal) {
		if w.groups[id] == nil {
			return 0, nil, scim.NoSuchGroup()
		}
		if err := w.save(record(changeGroupDelete, deleteRecord{ID: id, At: c.Now.UnixMicro()})); err != nil {
			return 0, nil, unavailable(err)
		}
		return http.StatusNoContent, nil, nil
	})
}
