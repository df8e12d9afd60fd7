package slack

import (
	"strings"
	"time"
)

// maxSubteam is how many users a group may have that isn't the identity provider's.
const maxSubteam = 5000

// subteam is a user group as the Web API shows it.
func (w *Workspace) subteam(g *group, withUsers, withCount bool) map[string]any {
	ids := g.members.IDs(time.Time{})
	out := map[string]any{
		"id": g.ID, "team_id": w.opt.TeamID, "is_usergroup": true, "is_subteam": true, "name": g.Name, "description": g.Description,
		"handle": g.Handle, "is_external": false, "date_create": g.Created / 1e6, "date_update": g.Modified / 1e6, "date_delete": g.Disabled / 1e6,
		"auto_type": nil, "auto_provision": false, "enterprise_subteam_id": "", "created_by": g.By, "updated_by": g.ChangedBy, "deleted_by": nil,
		"prefs": map[string]any{"channels": append([]string{}, g.Channels...), "groups": []string{}},
	}
	if g.Disabled != 0 {
		out["deleted_by"] = g.ChangedBy
	}
	if withUsers {
		out["users"] = ids
	}
	if withCount {
		out["user_count"] = len(ids)
	}
	return out
}

func (w *Workspace) groupList(q *request) (map[string]any, *failure) {
	list := []any{}
	for _, id := range w.groupOrder {
		g := w.groups[id]
		if hidden(q.Call, g.Created) || g.Disabled != 0 && !q.args.flag("include_disabled") {
			continue
		}
		list = append(list, w.subteam(g, q.args.flag("include_users"), q.args.flag("include_count")))
	}
	return map[string]any{"usergroups": list}, nil
}

// usergroup finds a group that may be changed.
func (w *Workspace) usergroup(q *request) (*group, *failure) {
	if g := w.groups[q.args["usergroup"]]; g != nil {
		return g, nil
	}
	return nil, fail("no_such_subteam")
}

// applyGroup takes name, handle, description and channels of the arguments, and checks them.
func (w *Workspace) applyGroup(q *request, r *groupRecord) *failure {
	if name, ok := q.args["name"]; ok {
		if r.Name = strings.TrimSpace(name); r.Name == "" || len(r.Name) > 255 {
			return invalidArguments("[ERROR] name must have 1 to 255 characters")
		}
		if other := w.groupNamed(r.Name); other != nil && other.ID != r.ID {
			return fail("name_already_exists")
		}
	}
	if handle, ok := q.args["handle"]; ok {
		r.Handle = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(handle)), "@")
		if len(r.Handle) > 80 || strings.ContainsAny(r.Handle, " ,:@#") {
			return fail("invalid_handle")
		}
	}
	if r.Handle != "" {
		_, user := w.byUserName[r.Handle]
		_, channel := w.byChannel[r.Handle]
		for _, g := range w.groups {
			if user || channel || g.ID != r.ID && g.Handle == r.Handle {
				return fail("handle_already_exists")
			}
		}
	}
	if text, ok := q.args["description"]; ok {
		if r.Description = text; len(text) > 1000 {
			return invalidArguments("[ERROR] description is too long")
		}
	}
	if _, ok := q.args["channels"]; ok {
		r.Channels = q.args.list("channels")
		if !all(r.Channels, func(id string) bool { c := w.channels[id]; return c != nil && !c.direct() }) {
			return fail("invalid_channel")
		}
	}
	r.Modified, r.ChangedBy = q.Now.UnixMicro(), w.botID()
	return nil
}

func (w *Workspace) groupCreate(q *request) (map[string]any, *failure) {
	now := q.Now.UnixMicro()
	r := groupRecord{ID: w.fresh("S", q.args["name"], stamp(now)), Serial: w.serial + 1, Created: now, By: w.botID()}
	if no := w.applyGroup(q, &r); no != nil {
		return nil, no
	}
	if err := w.save(record(changeGroup, r)); err != nil {
		return nil, failed(err)
	}
	g := w.groups[r.ID]
	w.announceGroup(q.Now, "subteam_created", g)
	return map[string]any{"usergroup": w.subteam(g, false, q.args.flag("include_count"))}, nil
}

// changeSubteam stores what edit makes of a group.
func (w *Workspace) changeSubteam(q *request, edit func(*groupRecord) *failure) (map[string]any, *failure) {
	g, no := w.usergroup(q)
	if no != nil {
		return nil, no
	}
	r := g.groupRecord
	if no := edit(&r); no != nil {
		return nil, no
	}
	r.Modified, r.ChangedBy = q.Now.UnixMicro(), w.botID()
	if err := w.save(record(changeGroup, r)); err != nil {
		return nil, failed(err)
	}
	w.announceGroup(q.Now, "subteam_updated", g)
	return map[string]any{"usergroup": w.subteam(g, false, q.args.flag("include_count"))}, nil
}

func (w *Workspace) groupUpdate(q *request) (map[string]any, *failure) {
	return w.changeSubteam(q, func(r *groupRecord) *failure { return w.applyGroup(q, r) })
}

func (w *Workspace) groupEnable(q *request) (map[string]any, *failure) {
	return w.changeSubteam(q, func(r *groupRecord) *failure { r.Disabled = 0; return nil })
}

func (w *Workspace) groupDisable(q *request) (map[string]any, *failure) {
	return w.changeSubteam(q, func(r *groupRecord) *failure { r.Disabled = q.Now.UnixMicro(); return nil })
}

func (w *Workspace) groupUsers(q *request) (map[string]any, *failure) {
	g, no := w.usergroup(q)
	if no != nil {
		return nil, no
	}
	if g.Disabled != 0 && !q.args.flag("include_disabled") {
		return nil, fail("no_such_subteam")
	}
	return map[string]any{"users": g.members.IDs(q.AsOf)}, nil
}

// groupReplaceUsers makes the list the group's: who isn't on it goes, and one bad identifier refuses all.
func (w *Workspace) groupReplaceUsers(q *request) (map[string]any, *failure) {
	g, no := w.usergroup(q)
	if no != nil {
		return nil, no
	}
	users := q.args.list("users")
	switch {
	case len(users) == 0:
		return nil, fail("no_users_provided")
	case len(users) > maxSubteam:
		return nil, fail("subteam_max_users_exceeded")
	case !all(users, func(id string) bool { u := w.alive(id, q.Now); return u != nil && !u.Bot }):
		return nil, fail("invalid_users")
	}
	r := g.groupRecord
	r.Modified, r.ChangedBy = q.Now.UnixMicro(), w.botID()
	if err := w.saveGroup(q.Call, r, g.members.IDs(time.Time{}), users); err != nil {
		return nil, failed(err)
	}
	return map[string]any{"usergroup": w.subteam(g, true, q.args.flag("include_count"))}, nil
}
