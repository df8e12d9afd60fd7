package slack

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The vendor's limits of conversations.
const (
	maxChannelName = 80
	maxInvitees    = 100
	maxTopic       = 250
	maxGroupDM     = 8
)

// conversation is a channel as the Web API shows it.
func (w *Workspace) conversation(c *channel, withMembers bool) map[string]any {
	bot := w.botID()
	if c.Kind == kindIM {
		other := w.between(c)
		u := w.account(other)
		return map[string]any{
			"id": c.ID, "created": c.Created / 1e6, "is_im": true, "is_org_shared": false, "user": other, "priority": 0, "is_archived": c.Archived,
			"is_user_deleted": u == nil || !u.Attr.Active, "is_open": true,
		}
	}
	public, mpim := c.Kind == kindPublic, c.Kind == kindMPIM
	out := map[string]any{
		"id": c.ID, "name": c.Name, "name_normalized": c.Name, "created": c.Created / 1e6, "creator": c.Creator, "is_archived": c.Archived,
		"is_channel": public, "is_group": !public && !mpim, "is_im": false, "is_mpim": mpim, "is_private": !public,
		"is_general": c.ID == w.generalID(), "is_shared": false, "is_org_shared": false, "is_ext_shared": false, "is_pending_ext_shared": false,
		"is_member": c.members.Has(bot), "topic": c.Topic, "purpose": c.Purpose, "previous_names": append([]string{}, c.Previous...),
		"unlinked": 0, "priority": 0, "pending_shared": []string{}, "shared_team_ids": []string{w.opt.TeamID},
	}
	if mpim {
		delete(out, "shared_team_ids")
	}
	if withMembers {
		out["num_members"] = c.members.Len()
	}
	return out
}

// visible finds a conversation that the application may know of: a private one only from inside.
func (w *Workspace) visible(q *request) (*channel, *failure) {
	c := w.channels[q.args["channel"]]
	if c == nil || hidden(q.Call, c.Created) || c.Kind != kindPublic && !w.hears(c) {
		return nil, fail("channel_not_found")
	}
	return c, nil
}

// inside finds a channel (no direct conversation) that the application is in.
func (w *Workspace) inside(q *request, evenArchived bool) (*channel, *failure) {
	c, no := w.visible(q)
	switch {
	case no != nil:
		return nil, no
	case c.direct():
		return nil, fail("method_not_supported_for_channel_type")
	case !w.hears(c):
		return nil, fail("not_in_channel")
	case c.Archived && !evenArchived:
		return nil, fail("is_archived")
	}
	return c, nil
}

// checkName holds the vendor's rules of channel names.
func (w *Workspace) checkName(name string) *failure {
	allowed := func(r rune) bool {
		return r == '-' || r == '_' || unicode.IsDigit(r) || unicode.IsMark(r) || unicode.IsLetter(r) && !unicode.IsUpper(r)
	}
	switch {
	case strings.TrimSpace(name) == "":
		return fail("invalid_name_required")
	case utf8.RuneCountInString(name) > maxChannelName:
		return fail("invalid_name_maxlength")
	case !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }):
		return fail("invalid_name_punctuation")
	case strings.ContainsFunc(name, func(r rune) bool { return !allowed(r) }):
		return fail("invalid_name_specials")
	case slices.Contains([]string{"channel", "everyone", "here", "me", "group", "archive"}, name):
		return fail("invalid_name")
	}
	if _, taken := w.byChannel[name]; taken {
		return fail("name_taken") // an archived channel keeps its name
	}
	if _, taken := w.byUserName[name]; taken {
		return fail("name_taken")
	}
	return nil
}

func (w *Workspace) create(q *request) (map[string]any, *failure) {
	name := q.args["name"]
	if no := w.checkName(name); no != nil {
		return nil, no
	}
	now := q.Now.UnixMicro()
	r := channelRecord{
		ID: w.fresh("C", name), Name: name, Kind: kindPublic, Creator: w.botID(), Serial: w.serial + 1, Created: now,
	}
	if q.args.flag("is_private") {
		r.Kind = kindPrivate
	}
	if err := w.save(record(changeChannel, r), record(changeJoin, membersRecord{Of: r.ID, Add: []string{w.botID()}, At: now})); err != nil {
		return nil, failed(err)
	}
	c := w.channels[r.ID]
	w.announceChannel(q.Now, "created", c, w.botID())
	w.announceJoin(q.Now, "member_joined_channel", c, w.botID(), "")
	return map[string]any{"channel": w.conversation(c, false)}, nil
}

func (w *Workspace) info(q *request) (map[string]any, *failure) {
	c, no := w.visible(q)
	if no != nil {
		return nil, no
	}
	return map[string]any{"channel": w.conversation(c, q.args.flag("include_num_members"))}, nil
}

func (w *Workspace) list(q *request) (map[string]any, *failure) {
	limit, no := q.limit(100, maxPage)
	if no != nil {
		return nil, no
	}
	types := q.args.list("types")
	if len(types) == 0 {
		types = []string{"public_channel"}
	}
	kinds := map[string]bool{}
	for _, t := range types {
		kind, ok := map[string]string{"public_channel": kindPublic, "private_channel": kindPrivate, "im": kindIM, "mpim": kindMPIM}[t]
		if !ok {
			return nil, fail("invalid_types")
		}
		kinds[kind] = true
	}
	ids := slices.DeleteFunc(slices.Clone(w.chanOrder), func(id string) bool {
		c := w.channels[id]
		return !kinds[c.Kind] || c.Archived && q.args.flag("exclude_archived") || c.Kind != kindPublic && !w.hears(c) || hidden(q.Call, c.Created)
	})
	part, next, no := page(q, "team", ids, func(id string) string { return id }, limit)
	if no != nil {
		return nil, no
	}
	channels := make([]any, 0, len(part))
	for _, id := range part {
		channels = append(channels, w.conversation(w.channels[id], true))
	}
	return map[string]any{"channels": channels, "response_metadata": metadata(next)}, nil
}

func (w *Workspace) members(q *request) (map[string]any, *failure) {
	limit, no := q.limit(100, maxPage)
	if no != nil {
		return nil, no
	}
	c, no := w.visible(q)
	if no != nil {
		return nil, no
	}
	part, next, no := page(q, "user", c.members.IDs(q.AsOf), func(id string) string { return id }, limit)
	if no != nil {
		return nil, no
	}
	return map[string]any{"members": append([]string{}, part...), "response_metadata": metadata(next)}, nil
}

// cantInvite says why a user can't come into a channel, "" if nothing is against it.
func (w *Workspace) cantInvite(c *channel, id string, now time.Time) string {
	u := w.account(id)
	switch {
	case u == nil:
		return "user_not_found"
	case id == w.botID():
		return "cant_invite_self"
	case c.members.Has(id):
		return "already_in_channel"
	case !u.Attr.ActiveAt(now):
		return "cant_invite"
	case u.Attr.Guest != nil && u.Attr.Guest.Type == "single" && w.inAChannel(id):
		return "ura_max_channels"
	}
	return ""
}

// inAChannel says whether a user is in a channel already: a single-channel guest may be in one.
func (w *Workspace) inAChannel(id string) bool {
	for _, c := range w.channels {
		if !c.direct() && !c.Archived && c.members.Has(id) {
			return true
		}
	}
	return false
}

// invite brings users in: all, or with force those that can come.
func (w *Workspace) invite(q *request) (map[string]any, *failure) {
	c, no := w.inside(q, false)
	if no != nil {
		return nil, no
	}
	users := q.args.list("users")
	switch {
	case len(users) == 0:
		return nil, fail("no_user")
	case len(users) > maxInvitees:
		return nil, fail("too_many_users")
	}
	var errs []any
	var come []string
	first := ""
	for _, id := range users {
		if code := w.cantInvite(c, id, q.Now); code != "" {
			if first == "" {
				first = code
			}
			errs = append(errs, map[string]any{"user": id, "ok": false, "error": code})
		} else {
			come = append(come, id)
		}
	}
	if first != "" && (!q.args.flag("force") || len(come) == 0) {
		no := fail(first)
		if len(users) > 1 {
			no.extra = map[string]any{"errors": errs}
		}
		return nil, no
	}
	if q.Drop != nil {
		if i := q.Drop(len(come)); i >= 0 {
			come = slices.Delete(come, i, i+1)
		}
	}
	if err := w.enter(q.Base, q.Now, c, w.botID(), come...); err != nil {
		return nil, failed(err)
	}
	doc := map[string]any{"channel": w.conversation(c, false)}
	if errs != nil {
		doc["errors"] = errs
	}
	return doc, nil
}

// enter brings users into a channel, each with the message that says so.
func (w *Workspace) enter(base string, now time.Time, c *channel, inviter string, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	changes := []site.Change{record(changeJoin, membersRecord{Of: c.ID, Add: ids, At: now.UnixMicro()})}
	var said []message
	for i, id := range ids {
		ts := formatTS(max(now.UnixMicro(), w.lastTS+1) + int64(i))
		m := message{Channel: c.ID, TS: ts, User: id, Subtype: "channel_join", Text: "<@" + id + "> has joined the channel"}
		said = append(said, m)
		changes = append(changes, record(changeMessage, m))
	}
	if err := w.save(changes...); err != nil {
		return err
	}
	for i, id := range ids {
		w.announceJoin(now, "member_joined_channel", c, id, inviter)
		w.announceMessage(base, now, c, &said[i])
	}
	return nil
}

func (w *Workspace) kick(q *request) (map[string]any, *failure) {
	c, no := w.inside(q, false)
	if no != nil {
		return nil, no
	}
	id := q.args["user"]
	switch {
	case w.account(id) == nil:
		return nil, fail("user_not_found")
	case id == w.botID():
		return nil, fail("cant_kick_self")
	case c.ID == w.generalID():
		return nil, fail("cant_kick_from_general")
	case !c.members.Has(id):
		return nil, fail("not_in_channel")
	}
	return nil, failed(w.leave(q.Now, c, id))
}

func (w *Workspace) leave(now time.Time, c *channel, id string) error {
	if err := w.save(record(changeJoin, membersRecord{Of: c.ID, Remove: []string{id}, At: now.UnixMicro()})); err != nil {
		return err
	}
	w.announceJoin(now, "member_left_channel", c, id, "")
	return nil
}

// changeChannel stores a channel and says in it what happened, where text isn't empty.
func (w *Workspace) changeChannel(q *request, r channelRecord, subtype, text string) *failure {
	changes := []site.Change{record(changeChannel, r)}
	var m message
	if text != "" {
		m = message{Channel: r.ID, TS: w.nextTS(q.Now), User: w.botID(), Subtype: subtype, Text: "<@" + w.botID() + "> " + text}
		changes = append(changes, record(changeMessage, m))
	}
	if err := w.save(changes...); err != nil {
		return failed(err)
	}
	if text != "" {
		w.announceMessage(q.Base, q.Now, w.channels[r.ID], &m)
	}
	return nil
}

func (w *Workspace) archive(q *request) (map[string]any, *failure) {
	c, no := w.inside(q, true)
	switch {
	case no != nil:
		return nil, no
	case c.Archived:
		return nil, fail("already_archived")
	case c.ID == w.generalID():
		return nil, fail("cant_archive_general")
	}
	r := c.channelRecord
	r.Archived = true
	if no := w.changeChannel(q, r, "channel_archive", "archived the channel"); no != nil {
		return nil, no
	}
	w.announceChannel(q.Now, "archive", c, w.botID())
	return nil, nil
}

func (w *Workspace) unarchive(q *request) (map[string]any, *failure) {
	c, no := w.inside(q, true)
	switch {
	case no != nil:
		return nil, no
	case !c.Archived:
		return nil, fail("not_archived")
	}
	r := c.channelRecord
	r.Archived = false
	if no := w.changeChannel(q, r, "channel_unarchive", "un-archived the channel"); no != nil {
		return nil, no
	}
	w.announceChannel(q.Now, "unarchive", c, w.botID())
	return nil, nil
}

// rename is for the one who made the channel.
func (w *Workspace) rename(q *request) (map[string]any, *failure) {
	c, no := w.inside(q, false)
	switch {
	case no != nil:
		return nil, no
	case c.Creator != w.botID() || c.ID == w.generalID():
		return nil, fail("not_authorized")
	}
	name := q.args["name"]
	if name != c.Name {
		if no := w.checkName(name); no != nil {
			return nil, no
		}
		r := c.channelRecord
		r.Name, r.Previous = name, append(slices.Clone(r.Previous), c.Name)
		if no := w.changeChannel(q, r, "channel_name", `has renamed the channel from "`+c.Name+`" to "`+name+`"`); no != nil {
			return nil, no
		}
		w.announceChannel(q.Now, "rename", c, w.botID())
	}
	return map[string]any{"channel": w.conversation(c, false)}, nil
}

func (w *Workspace) join(q *request) (map[string]any, *failure) {
	c, no := w.visible(q)
	switch {
	case no != nil:
		return nil, no
	case c.Kind != kindPublic:
		return nil, fail("method_not_supported_for_channel_type")
	case c.Archived:
		return nil, fail("is_archived")
	}
	doc := map[string]any{}
	if w.hears(c) {
		doc["warning"], doc["response_metadata"] = "already_in_channel", map[string]any{"warnings": []string{"already_in_channel"}}
	} else if err := w.enter(q.Base, q.Now, c, "", w.botID()); err != nil {
		return nil, failed(err)
	}
	doc["channel"] = w.conversation(c, false)
	return doc, nil
}

func (w *Workspace) setTopic(q *request) (map[string]any, *failure) {
	return w.note(q, "topic", func(r *channelRecord) *noted { return &r.Topic })
}

func (w *Workspace) setPurpose(q *request) (map[string]any, *failure) {
	return w.note(q, "purpose", func(r *channelRecord) *noted { return &r.Purpose })
}

func (w *Workspace) note(q *request, what string, of func(*channelRecord) *noted) (map[string]any, *failure) {
	c, no := w.inside(q, false)
	if no != nil {
		return nil, no
	}
	text := q.args[what]
	if utf8.RuneCountInString(text) > maxTopic {
		return nil, fail("too_long")
	}
	r := c.channelRecord
	*of(&r) = noted{text, w.botID(), q.Now.Unix()}
	if no := w.changeChannel(q, r, "channel_"+what, "set the channel "+what+": "+text); no != nil {
		return nil, no
	}
	return map[string]any{"channel": w.conversation(c, false)}, nil
}
