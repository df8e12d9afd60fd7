package slack

import (
	"strings"
	"time"
)

// eventNames lists the events that are sent.
var eventNames = []string{
	"app_mention", "channel_archive", "channel_created", "channel_rename", "channel_unarchive", "group_archive", "group_rename",
	"group_unarchive", "member_joined_channel", "member_left_channel", "message", "reaction_added", "subteam_created",
	"subteam_members_changed", "subteam_updated", "team_join", "user_change",
}

func (w *Workspace) emit(now time.Time, name string, event map[string]any) {
	event["type"] = name
	w.sender.emit(now, w.botID(), event)
}

// hears says whether the application is told of what happens in a channel: it must be in it.
func (w *Workspace) hears(c *channel) bool { return c.members.Has(w.botID()) }

func (w *Workspace) announceUser(base string, now time.Time, name string, u *user) {
	w.emit(now, name, map[string]any{"user": w.userObject(base, u, now), "cache_ts": now.Unix()})
}

func (w *Workspace) announceGroup(now time.Time, name string, g *group) {
	w.emit(now, name, map[string]any{"subteam": w.subteam(g, true, true)})
}

func (w *Workspace) announceMembers(now time.Time, g *group, m membersRecord) {
	w.emit(now, "subteam_members_changed", map[string]any{
		"subteam_id": g.ID, "team_id": w.opt.TeamID, "date_previous_update": g.Modified / 1e6, "date_update": now.Unix(),
		"added_users": append([]string{}, m.Add...), "added_users_count": len(m.Add),
		"removed_users": append([]string{}, m.Remove...), "removed_users_count": len(m.Remove),
	})
}

// announceChannel tells of a channel's life. Private ones have names of their own for it, and only members hear.
func (w *Workspace) announceChannel(now time.Time, what string, c *channel, actor string) {
	switch {
	case c.Kind == kindPublic:
		what = "channel_" + what
	case c.Kind == kindPrivate && what != "created" && w.hears(c):
		what = "group_" + what
	default:
		return
	}
	event := map[string]any{"channel": c.ID, "user": actor}
	if strings.HasSuffix(what, "_created") || strings.HasSuffix(what, "_rename") {
		event = map[string]any{"channel": map[string]any{"id": c.ID, "name": c.Name, "created": c.Created / 1e6, "creator": c.Creator, "is_channel": true}}
	}
	w.emit(now, what, event)
}

func (w *Workspace) announceJoin(now time.Time, name string, c *channel, id, inviter string) {
	if !w.hears(c) && id != w.botID() {
		return
	}
	event := map[string]any{"user": id, "channel": c.ID, "channel_type": c.ID[:1], "team": w.opt.TeamID}
	if inviter != "" && inviter != id {
		event["inviter"] = inviter
	}
	w.emit(now, name, event)
}

// announceMessage tells of a new message, and of a mention of the application.
func (w *Workspace) announceMessage(base string, now time.Time, c *channel, m *message) {
	if !w.hears(c) || m.OnlyTo != "" {
		return
	}
	doc := func() map[string]any {
		event := w.messageObject(base, c, m)
		delete(event, "reactions")
		event["channel"], event["channel_type"] = c.ID, channelType(c)
		return event
	}
	w.emit(now, "message", doc())
	if m.Subtype == "" && m.User != w.botID() && strings.Contains(m.Text, "<@"+w.botID()) {
		event := doc()
		delete(event, "channel_type")
		w.emit(now, "app_mention", event)
	}
}

// announceEdit tells of a changed or deleted message.
func (w *Workspace) announceEdit(base string, now time.Time, c *channel, before, after *message) {
	if !w.hears(c) || before.OnlyTo != "" {
		return
	}
	event := map[string]any{
		"channel": c.ID, "channel_type": channelType(c), "hidden": true, "ts": formatTS(now.UnixMicro()), "previous_message": w.messageObject(base, c, before),
	}
	if after == nil {
		event["subtype"], event["deleted_ts"] = "message_deleted", before.TS
	} else {
		event["subtype"], event["message"] = "message_changed", w.messageObject(base, c, after)
	}
	w.emit(now, "message", event)
}

func channelType(c *channel) string {
	switch c.Kind {
	case kindPublic:
		return "channel"
	case kindPrivate:
		return "group"
	}
	return c.Kind
}
