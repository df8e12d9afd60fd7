package slack

import (
	"encoding/base64"
	"slices"
	"strings"
)

// span reads latest, oldest and inclusive of a reading call.
func (q *request) span() (within func(ts string) bool, no *failure) {
	oldest, latest := q.args["oldest"], q.args["latest"]
	for name, bound := range map[string]*string{"oldest": &oldest, "latest": &latest} {
		text := *bound
		if text == "" || text == "0" {
			*bound = ""
			continue
		}
		if !strings.Contains(text, ".") {
			text += ".000000"
		}
		if _, ok := parseTS(text); !ok {
			return nil, fail("invalid_ts_" + name)
		}
		*bound = text
	}
	inclusive := q.args.flag("inclusive")
	return func(ts string) bool {
		if !q.AsOf.IsZero() && ts > formatTS(q.AsOf.UnixMicro()) {
			return false
		}
		return (oldest == "" || ts > oldest || inclusive && ts == oldest) && (latest == "" || ts < latest || inclusive && ts == latest)
	}, nil
}

// readable finds a conversation whose messages the application may read.
func (w *Workspace) readable(q *request) (*channel, *failure) {
	c, no := w.visible(q)
	if no == nil && !w.hears(c) {
		return nil, fail("not_in_channel")
	}
	return c, no
}

// history gives a channel's messages, newest first, without the replies of threads.
func (w *Workspace) history(q *request) (map[string]any, *failure) {
	limit, no := q.limit(100, maxPage-1)
	if no != nil {
		return nil, no
	}
	c, no := w.readable(q)
	if no != nil {
		return nil, no
	}
	within, no := q.span()
	if no != nil {
		return nil, no
	}
	var all []*message
	for _, m := range slices.Backward(c.messages) {
		if (m.Thread == "" || m.Broadcast) && m.OnlyTo == "" && within(m.TS) {
			all = append(all, m)
		}
	}
	part, next, no := messagePage(q, all, limit, func(m *message, from string) bool { return m.TS <= from })
	if no != nil {
		return nil, no
	}
	doc := map[string]any{
		"messages": w.messageObjects(q, c, part), "has_more": next != "", "pin_count": 0, "channel_actions_ts": nil, "channel_actions_count": 0,
	}
	if next != "" {
		doc["response_metadata"] = metadata(next)
	}
	return doc, nil
}

// messagePage cuts a page out of messages; its cursor is a time stamp, so that it also works when that message is gone.
func messagePage(q *request, all []*message, limit int, from func(m *message, ts string) bool) (part []*message, next string, no *failure) {
	start := 0
	if cursor := q.args["cursor"]; cursor != "" {
		raw, err := base64.StdEncoding.DecodeString(cursor)
		ts, ok := strings.CutPrefix(string(raw), "next_ts:")
		if _, valid := parseTS(ts); err != nil || !ok || !valid {
			return nil, "", fail("invalid_cursor")
		}
		if start = slices.IndexFunc(all, func(m *message) bool { return from(m, ts) }); start < 0 {
			start = len(all)
		}
	}
	part = window(all, start, limit)
	if start+len(part) < len(all) {
		next = base64.StdEncoding.EncodeToString([]byte("next_ts:" + all[start+len(part)].TS))
	}
	return part, next, nil
}

// replies gives a thread, its first message first.
func (w *Workspace) replies(q *request) (map[string]any, *failure) {
	limit, no := q.limit(maxPage, maxPage)
	if no != nil {
		return nil, no
	}
	c, no := w.readable(q)
	if no != nil {
		return nil, no
	}
	first := c.at(q.args["ts"])
	if first == nil {
		return nil, fail("thread_not_found")
	}
	within, no := q.span()
	if no != nil {
		return nil, no
	}
	all := []*message{first}
	for _, m := range c.replies(first.TS) {
		if within(m.TS) {
			all = append(all, m)
		}
	}
	part, next, no := messagePage(q, all, limit, func(m *message, ts string) bool { return m.TS >= ts })
	if no != nil {
		return nil, no
	}
	doc := map[string]any{"messages": w.messageObjects(q, c, part), "has_more": next != ""}
	if next != "" {
		doc["response_metadata"] = metadata(next)
	}
	return doc, nil
}
