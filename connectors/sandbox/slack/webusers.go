package slack

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

func (w *Workspace) authTest(*request) (map[string]any, *failure) {
	return map[string]any{
		"url": "https://" + w.opt.Domain + ".slack.com/", "team": w.opt.TeamName, "team_id": w.opt.TeamID, "user": w.opt.BotName,
		"user_id": w.botID(), "bot_id": w.botRecord(), "is_enterprise_install": false,
	}, nil
}

// userObject is a user as the Web API shows it.
func (w *Workspace) userObject(base string, u *user, now time.Time) map[string]any {
	a := u.Attr
	real := strings.TrimSpace(a.Name.FamilyName + " " + a.Name.GivenName)
	if real == "" {
		real = a.DisplayName
	}
	sum := sha256.Sum256([]byte(u.ID))
	profile := map[string]any{
		"title": a.Title, "phone": "", "skype": "", "real_name": real, "real_name_normalized": real, "display_name": a.DisplayName,
		"display_name_normalized": a.DisplayName, "fields": nil, "status_text": "", "status_emoji": "", "status_expiration": 0,
		"avatar_hash": hex.EncodeToString(sum[:6]), "first_name": a.Name.GivenName, "last_name": a.Name.FamilyName, "team": w.opt.TeamID,
	}
	for _, size := range []string{"24", "32", "48", "72", "192", "512"} {
		profile["image_"+size] = base + "/avatar.svg"
	}
	if len(a.PhoneNumbers) > 0 {
		profile["phone"] = a.PhoneNumbers[0].Value
	}
	if mail := a.Email(); mail != "" && w.has("users:read.email") {
		profile["email"] = mail
	}
	out := map[string]any{
		"id": u.ID, "team_id": w.opt.TeamID, "name": a.UserName, "deleted": !a.ActiveAt(now), "color": hex.EncodeToString(sum[6:9]),
		"real_name": real, "tz": "Asia/Tokyo", "tz_label": "Japan Standard Time", "tz_offset": 32400, "profile": profile,
		"is_admin": u.Owner, "is_owner": u.Owner, "is_primary_owner": u.Owner, "is_restricted": a.Guest != nil,
		"is_ultra_restricted": a.Guest != nil && a.Guest.Type == "single", "is_bot": u.Bot, "is_app_user": false, "updated": u.Modified / 1e6,
	}
	if u.Bot {
		profile["bot_id"], profile["api_app_id"], profile["always_active"] = w.botRecord(), w.opt.AppID, true
	}
	if a.Guest != nil && a.Guest.Expiration != "" {
		if end, err := time.Parse(time.RFC3339, a.Guest.Expiration); err == nil {
			profile["guest_expiration_ts"] = end.Unix()
		}
	}
	return out
}

func (w *Workspace) has(scope string) bool { return slices.Contains(w.opt.Scopes, scope) }

func (w *Workspace) usersInfo(q *request) (map[string]any, *failure) {
	u := w.users[q.args["user"]].At(q.AsOf)
	if u == nil {
		return nil, fail("user_not_found")
	}
	return map[string]any{"user": w.userObject(q.Base, u, q.Now)}, nil
}

// usersList shows deactivated users too, with deleted set.
func (w *Workspace) usersList(q *request) (map[string]any, *failure) {
	limit, no := q.limit(maxPage, maxPage)
	if no != nil {
		return nil, no
	}
	if q.args["limit"] == "" && len(w.order) > maxPage {
		return nil, fail("limit_required")
	}
	ids := slices.DeleteFunc(slices.Clone(w.order), func(id string) bool { return w.users[id].At(q.AsOf) == nil })
	part, next, no := page(q, "user", ids, func(id string) string { return id }, limit)
	if no != nil {
		return nil, no
	}
	members := make([]any, 0, len(part))
	for _, id := range part {
		members = append(members, w.userObject(q.Base, w.users[id].At(q.AsOf), q.Now))
	}
	return map[string]any{"members": members, "cache_ts": q.Now.Unix(), "response_metadata": metadata(next)}, nil
}

// usersLookup finds active users alone.
func (w *Workspace) usersLookup(q *request) (map[string]any, *failure) {
	u := w.users[w.byEmail[strings.ToLower(q.args["email"])]].At(q.AsOf)
	if u == nil || !u.Attr.ActiveAt(q.Now) {
		return nil, fail("users_not_found")
	}
	return map[string]any{"user": w.userObject(q.Base, u, q.Now)}, nil
}

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

// UserRow is an account on the pages.
type UserRow struct {
	ID, UserName, DisplayName, Email, Department, Title, Kind, KindEN, Until string
	Active                                                                   bool
	Groups                                                                   []string
}

// GroupRow is a user group on the pages.
type GroupRow struct {
	ID, Name, Handle string
	Members          int
	Disabled         bool
}

func (w *Workspace) userRow(id string, now time.Time) UserRow {
	u := w.account(id)
	a := u.Attr
	r := UserRow{
		ID: id, UserName: a.UserName, DisplayName: a.DisplayName, Email: a.Email(), Title: a.Title, Active: a.ActiveAt(now), Kind: "メンバー", KindEN: "Member",
	}
	if a.Enterprise != nil {
		r.Department = a.Enterprise.Department
	}
	switch {
	case u.Bot:
		r.Kind, r.KindEN = "アプリ", "App"
	case u.Owner:
		r.Kind, r.KindEN = "所有者", "Owner"
	case a.Guest != nil && a.Guest.Type == "single":
		r.Kind, r.KindEN, r.Until = "シングルチャンネルゲスト", "Single-channel guest", a.Guest.Expiration
	case a.Guest != nil:
		r.Kind, r.KindEN, r.Until = "マルチチャンネルゲスト", "Multi-channel guest", a.Guest.Expiration
	}
	for _, gid := range w.groupOrder {
		if g := w.groups[gid]; g.members.Has(id) {
			r.Groups = append(r.Groups, g.Name)
		}
	}
	return r
}

// pageSearchLimit bounds a search on the pages.
const pageSearchLimit = 5000

// Users gives one page of the accounts, those that match query if it isn't empty, guests alone if asked, and how many there are.
func (w *Workspace) Users(query string, guests bool, start, limit int) (rows []UserRow, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := w.order
	if query != "" {
		ids = w.search.Search(query, pageSearchLimit, func(id string) bool {
			u := w.account(id)
			q := strings.ToLower(query)
			return strings.HasPrefix(strings.ToLower(u.Attr.Email()), q) || strings.HasPrefix(u.Attr.UserName, q) || site.HasWordPrefix(u.Attr.DisplayName, query)
		})
	}
	if guests {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return w.account(id).Attr.Guest == nil })
	}
	now := w.ground.Now()
	for _, id := range window(ids, start, limit) {
		rows = append(rows, w.userRow(id, now))
	}
	return rows, len(ids)
}

// Groups gives one page of the user groups, and how many there are.
func (w *Workspace) Groups(start, limit int) (rows []GroupRow, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range window(w.groupOrder, start, limit) {
		rows = append(rows, w.groups[id].row())
	}
	return rows, len(w.groupOrder)
}

func (g *group) row() GroupRow {
	return GroupRow{g.ID, g.Name, g.Handle, g.members.Len(), g.Disabled != 0}
}

// GroupMembers gives one page of a user group's members.
func (w *Workspace) GroupMembers(id string, start, limit int) (row GroupRow, rows []UserRow, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[id]
	if g == nil {
		return GroupRow{}, nil, false
	}
	now := w.ground.Now()
	for _, u := range window(g.members.IDs(time.Time{}), start, limit) {
		rows = append(rows, w.userRow(u, now))
	}
	return g.row(), rows, true
}
