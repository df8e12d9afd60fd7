package slack

import (
	"slices"
	"time"
)

// open finds or makes the direct conversation with one or several users.
func (w *Workspace) open(q *request) (map[string]any, *failure) {
	if q.args["channel"] != "" {
		c, no := w.visible(q)
		if no != nil || !c.direct() {
			return nil, fail("channel_not_found")
		}
		return w.opened(q, c, true), nil
	}
	users := q.args.list("users")
	switch {
	case len(users) == 0:
		return nil, fail("users_list_not_supplied")
	case len(users) > maxGroupDM:
		return nil, fail("too_many_users")
	}
	for _, id := range users {
		u := w.account(id)
		switch {
		case u == nil:
			return nil, fail("user_not_found")
		case !u.Attr.ActiveAt(q.Now):
			return nil, fail("user_disabled")
		case u.Bot:
			return nil, fail("invalid_user_combination")
		}
	}
	slices.Sort(users)
	c, had, err := w.directWith(q.Now, users)
	if err != nil {
		return nil, failed(err)
	}
	return w.opened(q, c, had), nil
}

func (w *Workspace) opened(q *request, c *channel, had bool) map[string]any {
	doc := map[string]any{"channel": map[string]any{"id": c.ID}}
	if q.args.flag("return_im") {
		doc["channel"] = w.conversation(c, false)
	}
	if had {
		doc["already_open"], doc["no_op"] = true, true
	}
	return doc
}

// directWith finds or makes the direct conversation of the application with users, sorted.
func (w *Workspace) directWith(now time.Time, users []string) (c *channel, had bool, err error) {
	prefix, kind, name := "D", kindIM, ""
	if len(users) > 1 {
		prefix, kind, name = "G", kindMPIM, "mpdm"
		for _, id := range users {
			name += "-" + w.account(id).Attr.UserName
		}
		name += "--" + w.opt.BotName + "-1"
	}
	id := w.identifier(prefix, users...)
	if c := w.channels[id]; c != nil {
		return c, true, nil
	}
	r := channelRecord{ID: id, Name: name, Kind: kind, Creator: w.botID(), Serial: w.serial + 1, Created: now.UnixMicro()}
	err = w.save(record(changeChannel, r), record(changeJoin, membersRecord{Of: id, Add: append(slices.Clone(users), w.botID()), At: now.UnixMicro()}))
	return w.channels[id], false, err
}
