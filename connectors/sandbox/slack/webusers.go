package slack

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
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
