package slack

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The vendor's limits of messages.
const (
	maxText        = 40_000
	maxBlocks      = 50
	maxAttachments = 100
	maxEmoji       = 23 // different ones on a message
	maxMetadata    = 8_000
)

// messageObject is a message as the Web API and the events show it.
func (w *Workspace) messageObject(base string, c *channel, m *message) map[string]any {
	out := map[string]any{"type": "message", "ts": m.TS, "user": m.User, "text": m.Text, "team": w.opt.TeamID}
	if m.Subtype != "" {
		out["subtype"] = m.Subtype
	}
	if m.User == w.botID() && m.Subtype == "" {
		icon := base + "/avatar.svg"
		out["bot_id"] = w.botRecord()
		out["bot_profile"] = map[string]any{
			"id": w.botRecord(), "app_id": w.opt.AppID, "name": w.opt.BotName, "deleted": false, "updated": w.account(w.botID()).Modified / 1e6,
			"team_id": w.opt.TeamID, "icons": map[string]any{"image_36": icon, "image_48": icon, "image_72": icon},
		}
	}
	if m.Blocks != nil {
		out["blocks"] = m.Blocks
	}
	if m.Attachments != nil {
		out["attachments"] = m.Attachments
	}
	if m.Edited != "" {
		out["edited"] = map[string]any{"user": m.User, "ts": m.Edited}
	}
	if len(m.Reactions) > 0 {
		out["reactions"] = m.Reactions
	}
	if m.Thread != "" {
		out["thread_ts"] = m.Thread
		if first := c.at(m.Thread); first != nil {
			out["parent_user_id"] = first.User
		}
		if m.Broadcast {
			out["subtype"] = "thread_broadcast"
		}
		return out
	}
	if replies := c.replies(m.TS); len(replies) > 0 {
		var users []string
		for _, r := range replies {
			if !slices.Contains(users, r.User) {
				users = append(users, r.User)
			}
		}
		out["thread_ts"], out["reply_count"], out["reply_users_count"] = m.TS, len(replies), len(users)
		out["reply_users"], out["latest_reply"], out["subscribed"] = window(users, 0, 5), replies[len(replies)-1].TS, c.members.Has(w.botID())
	}
	return out
}

// messageObjects shows a list; the metadata only where it was asked for.
func (w *Workspace) messageObjects(q *request, c *channel, list []*message) []any {
	out := make([]any, 0, len(list))
	for _, m := range list {
		object := w.messageObject(q.Base, c, m)
		if m.Metadata != nil && q.args.flag("include_all_metadata") {
			object["metadata"] = m.Metadata
		}
		out = append(out, object)
	}
	return out
}

// readMetadata reads what an application hangs on a message for itself: an event type and an object.
func readMetadata(q *request) (json.RawMessage, *failure) {
	text := strings.TrimSpace(q.args["metadata"])
	if text == "" {
		return nil, nil
	}
	var m struct {
		EventType    string                     `json:"event_type"`
		EventPayload map[string]json.RawMessage `json:"event_payload"`
	}
	switch {
	case json.Unmarshal([]byte(text), &m) != nil:
		return nil, fail("invalid_metadata_format")
	case m.EventType == "" || m.EventPayload == nil:
		return nil, fail("invalid_metadata_schema")
	case len(text) > maxMetadata:
		return nil, fail("metadata_too_large")
	}
	return json.RawMessage(text), nil
}

// content reads text, blocks and attachments.
func content(q *request) (m message, no *failure) {
	m.Text = q.args["text"]
	if utf8.RuneCountInString(m.Text) > maxText {
		return m, fail("msg_too_long")
	}
	for _, part := range []struct {
		name, bad, many string
		most            int
		into            *json.RawMessage
	}{
		{"blocks", "invalid_blocks", "invalid_blocks", maxBlocks, &m.Blocks},
		{"attachments", "invalid_attachments", "too_many_attachments", maxAttachments, &m.Attachments},
	} {
		text := strings.TrimSpace(q.args[part.name])
		if text == "" {
			continue
		}
		var list []map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &list) != nil {
			return m, fail(part.bad)
		}
		if len(list) > part.most {
			return m, fail(part.many)
		}
		if part.name == "blocks" && !all(list, validBlock) {
			return m, fail(part.bad)
		}
		if len(list) > 0 {
			*part.into = named(part.name, text, list)
		}
	}
	if m.Text == "" && m.Blocks == nil && m.Attachments == nil {
		return m, fail("no_text")
	}
	m.Metadata, no = readMetadata(q)
	return m, no
}

// named gives each block without a block_id one, as the vendor does.
func named(part, text string, list []map[string]json.RawMessage) json.RawMessage {
	missing := false
	for i, b := range list {
		if part == "blocks" && b["block_id"] == nil {
			b["block_id"], missing = json.RawMessage(`"b`+strconv.Itoa(i)+`"`), true
		}
	}
	if raw, err := json.Marshal(list); missing && err == nil {
		return raw
	}
	return json.RawMessage(text)
}

// validBlock requires a block's type, and the limit of a section's text.
func validBlock(b map[string]json.RawMessage) bool {
	var kind string
	var text struct{ Type, Text string }
	if json.Unmarshal(b["type"], &kind) != nil || kind == "" {
		return false
	}
	if kind == "section" && b["text"] != nil {
		return json.Unmarshal(b["text"], &text) == nil && text.Text != "" && utf8.RuneCountInString(text.Text) <= 3000
	}
	return true
}

// writable finds where a message goes: a channel's id or #name, or a user's id for the direct conversation.
func (w *Workspace) writable(q *request) (*channel, *failure) {
	to := strings.TrimPrefix(q.args["channel"], "#")
	if id, ok := w.byChannel[to]; ok {
		to = id
	}
	if u := w.account(to); u != nil {
		if u.Bot || !u.Attr.ActiveAt(q.Now) {
			return nil, fail("channel_not_found")
		}
		c, _, err := w.directWith(q.Now, []string{to})
		return c, failed(err)
	}
	c := w.channels[to]
	switch {
	case c == nil || c.Kind != kindPublic && !w.hears(c):
		return nil, fail("channel_not_found")
	case c.Archived:
		return nil, fail("is_archived")
	case !w.hears(c) && !w.has("chat:write.public"):
		return nil, fail("not_in_channel")
	}
	return c, nil
}

func (w *Workspace) postMessage(q *request) (map[string]any, *failure) {
	m, no := content(q)
	if no != nil {
		return nil, no
	}
	c, no := w.writable(q)
	if no != nil {
		return nil, no
	}
	if ok, after := q.Take("chat.postMessage "+c.ID, posting); !ok {
		return nil, &failure{code: "ratelimited", after: after}
	}
	m.Channel, m.TS, m.User = c.ID, w.nextTS(q.Now), w.botID()
	if thread := q.args["thread_ts"]; thread != "" {
		first := c.at(thread)
		if first == nil {
			return nil, fail("thread_not_found")
		}
		m.Thread, m.Broadcast = first.TS, q.args.flag("reply_broadcast")
		if first.Thread != "" { // a reply to a reply is one to the thread
			m.Thread = first.Thread
		}
	}
	if err := w.save(record(changeMessage, m)); err != nil {
		return nil, failed(err)
	}
	w.announceMessage(q.Base, q.Now, c, &m)
	return map[string]any{"channel": c.ID, "ts": m.TS, "message": w.messageObject(q.Base, c, &m)}, nil
}

// ownMessage finds a message that the application may change.
func (w *Workspace) ownMessage(q *request, foreign string) (*channel, *message, *failure) {
	c, no := w.visible(q)
	if no != nil {
		return nil, nil, no
	}
	m := c.at(q.args["ts"])
	switch {
	case m == nil:
		return nil, nil, fail("message_not_found")
	case m.User != w.botID() || m.Subtype != "":
		return nil, nil, fail(foreign)
	}
	return c, m, nil
}

func (w *Workspace) update(q *request) (map[string]any, *failure) {
	m, no := content(q)
	if no != nil {
		return nil, no
	}
	c, old, no := w.ownMessage(q, "cant_update_message")
	if no != nil {
		return nil, no
	}
	changed := *old
	changed.Text, changed.Attachments, changed.Edited = m.Text, m.Attachments, formatTS(q.Now.UnixMicro())
	if _, given := q.args["blocks"]; given {
		changed.Blocks = m.Blocks
	}
	if m.Metadata != nil { // left out, it stays
		changed.Metadata = m.Metadata
	}
	if err := w.save(record(changeMessage, changed)); err != nil {
		return nil, failed(err)
	}
	w.announceEdit(q.Base, q.Now, c, old, &changed)
	return map[string]any{"channel": c.ID, "ts": old.TS, "text": changed.Text, "message": w.messageObject(q.Base, c, &changed)}, nil
}

func (w *Workspace) deleteMessage(q *request) (map[string]any, *failure) {
	c, old, no := w.ownMessage(q, "cant_delete_message")
	if no != nil {
		return nil, no
	}
	var change any = deleteRecord{ID: c.ID, TS: old.TS, At: q.Now.UnixMicro()}
	kind := changeMessageDelete
	if len(c.replies(old.TS)) > 0 { // the thread stays under a stone
		kind, change = changeMessage, message{Channel: c.ID, TS: old.TS, User: old.User, Subtype: "tombstone", Text: "This message was deleted."}
	}
	if err := w.save(record(kind, change)); err != nil {
		return nil, failed(err)
	}
	w.announceEdit(q.Base, q.Now, c, old, nil)
	return map[string]any{"channel": c.ID, "ts": old.TS}, nil
}

func (w *Workspace) postEphemeral(q *request) (map[string]any, *failure) {
	m, no := content(q)
	if no != nil {
		return nil, no
	}
	c, no := w.visible(q)
	switch {
	case no != nil:
		return nil, no
	case c.Archived:
		return nil, fail("is_archived")
	case !c.members.Has(q.args["user"]) || w.alive(q.args["user"], q.Now) == nil:
		return nil, fail("user_not_in_channel")
	case !w.hears(c):
		return nil, fail("not_in_channel")
	}
	m.Channel, m.TS, m.User, m.OnlyTo = c.ID, w.nextTS(q.Now), w.botID(), q.args["user"]
	if err := w.save(record(changeMessage, m)); err != nil {
		return nil, failed(err)
	}
	return map[string]any{"message_ts": m.TS}, nil
}

func (w *Workspace) permalink(q *request) (map[string]any, *failure) {
	c, no := w.visible(q)
	if no != nil {
		return nil, no
	}
	m := c.at(q.args["message_ts"])
	if m == nil {
		return nil, fail("message_not_found")
	}
	link := cmp.Or(w.opt.ClientURL, q.Base) + "/" + Name + "/archives/" + c.ID + "/p" + strings.ReplaceAll(m.TS, ".", "")
	if m.Thread != "" {
		link += "?thread_ts=" + m.Thread + "&cid=" + c.ID
	}
	return map[string]any{"channel": c.ID, "permalink": link}, nil
}

func (w *Workspace) react(q *request) (map[string]any, *failure) {
	if q.args["channel"] == "" || q.args["timestamp"] == "" {
		return nil, fail("no_item_specified")
	}
	if _, ok := parseTS(q.args["timestamp"]); !ok {
		return nil, fail("bad_timestamp")
	}
	c, no := w.readable(q)
	if no != nil {
		return nil, no
	}
	m := c.at(q.args["timestamp"])
	if m == nil {
		return nil, fail("message_not_found")
	}
	return nil, w.addReaction(q.Now, c, m, w.botID(), q.args["name"])
}

// addReaction puts one user's emoji under a message.
func (w *Workspace) addReaction(now time.Time, c *channel, m *message, user, name string) *failure {
	name = strings.Trim(name, ":")
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && r != '+' && r != ':' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) {
		return fail("invalid_name")
	}
	changed := *m
	changed.Reactions = slices.Clone(m.Reactions)
	i := slices.IndexFunc(changed.Reactions, func(r reaction) bool { return r.Name == name })
	switch {
	case i < 0 && len(changed.Reactions) >= maxEmoji:
		return fail("too_many_emoji")
	case i < 0:
		changed.Reactions = append(changed.Reactions, reaction{name, []string{user}, 1})
	case slices.Contains(changed.Reactions[i].Users, user):
		return fail("already_reacted")
	default:
		r := changed.Reactions[i]
		changed.Reactions[i] = reaction{name, append(slices.Clone(r.Users), user), r.Count + 1}
	}
	if err := w.save(record(changeMessage, changed)); err != nil {
		return failed(err)
	}
	if w.hears(c) {
		w.emit(now, "reaction_added", map[string]any{
			"user": user, "reaction": name, "item_user": m.User, "item": map[string]any{"type": "message", "channel": c.ID, "ts": m.TS},
		})
	}
	return nil
}
