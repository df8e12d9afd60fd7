package slack

import (
	"cmp"
	"encoding/json"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// ChannelRow is a conversation on the pages.
type ChannelRow struct {
	ID, Name, Topic, Purpose  string
	Private, Direct, Archived bool
	Members, Messages         int
}

// MessageRow is what somebody said, as the pages show it.
type MessageRow struct {
	TS, Anchor, Who, Text, When, OnlyTo string
	Application, System, Edited         bool
	Reactions                           []ReactionRow
	Buttons                             []Button
	Replies                             []MessageRow
}

// ReactionRow is an emoji with how many put it.
type ReactionRow struct {
	Name  string
	Count int
}

// PersonRow is somebody who can act in a channel.
type PersonRow struct{ ID, Name string }

// Channels gives one page of the conversations, and how many there are.
func (w *Workspace) Channels(start, limit int) (rows []ChannelRow, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range window(w.chanOrder, start, limit) {
		rows = append(rows, w.channelRow(w.channels[id]))
	}
	return rows, len(w.chanOrder)
}

func (w *Workspace) channelRow(c *channel) ChannelRow {
	name := "#" + c.Name
	if c.direct() {
		var names []string
		for _, id := range c.members.IDs(time.Time{}) {
			names = append(names, w.shownName(id))
		}
		name = strings.Join(names, "、")
	}
	return ChannelRow{
		ID: c.ID, Name: name, Topic: c.Topic.Value, Purpose: c.Purpose.Value, Private: c.Kind != kindPublic, Direct: c.direct(),
		Archived: c.Archived, Members: c.members.Len(), Messages: len(c.messages),
	}
}

func (w *Workspace) shownName(id string) string {
	u := w.account(id)
	if u == nil {
		return id
	}
	return cmp.Or(u.Attr.DisplayName, u.Attr.UserName)
}

// maxActors bounds the list of people who can act on a page.
const maxActors = 200

// Thread gives one page of a channel's messages, newest first, each with its thread; and people who can act in it.
func (w *Workspace) Thread(channelID string, start, limit int) (row ChannelRow, rows []MessageRow, people []PersonRow, total int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.channels[channelID]
	if c == nil {
		return ChannelRow{}, nil, nil, 0, false
	}
	now := w.ground.Now()
	rows, total = w.thread(c, start, limit, func(*message) bool { return true })
	for _, id := range c.members.IDs(time.Time{}) {
		if u := w.alive(id, now); u != nil && !u.Bot && len(people) < maxActors {
			people = append(people, PersonRow{id, w.shownName(id)})
		}
	}
	return w.channelRow(c), rows, people, total, true
}

// thread gives one page of the messages that show lets through, newest first, each with its replies. The caller holds the lock.
func (w *Workspace) thread(c *channel, start, limit int, show func(*message) bool) (rows []MessageRow, total int) {
	var top []*message
	for _, m := range slices.Backward(c.messages) {
		if m.Thread == "" && show(m) {
			top = append(top, m)
		}
	}
	for _, m := range window(top, start, limit) {
		r := w.messageRow(m)
		for _, reply := range c.replies(m.TS) {
			r.Replies = append(r.Replies, w.messageRow(reply))
		}
		rows = append(rows, r)
	}
	return rows, len(top)
}

var jst = time.FixedZone("JST", 9*60*60)

func (w *Workspace) messageRow(m *message) MessageRow {
	micro, _ := parseTS(m.TS)
	r := MessageRow{
		TS: m.TS, Anchor: "p" + strings.ReplaceAll(m.TS, ".", ""), Who: w.shownName(m.User), Text: w.readableText(m),
		When: time.UnixMicro(micro).In(jst).Format("2006-01-02 15:04:05"), Application: m.User == w.botID(), System: m.Subtype != "",
		Edited: m.Edited != "", Buttons: m.buttons(),
	}
	if m.OnlyTo != "" {
		r.OnlyTo = w.shownName(m.OnlyTo)
	}
	for _, x := range m.Reactions {
		r.Reactions = append(r.Reactions, ReactionRow{x.Name, x.Count})
	}
	return r
}

// mention is a reference to a user, channel or group in a message's text, with or without the name to show.
var mention = regexp.MustCompile(`<([@#!])([^>|]+)(?:\|([^>]*))?>`)

// readableText gives a message as its readers see it: the blocks' texts where there are some, names for references.
func (w *Workspace) readableText(m *message) string {
	text := m.Text
	var blocks []struct {
		Text *blockText `json:"text"`
	}
	if m.Blocks != nil && json.Unmarshal(m.Blocks, &blocks) == nil {
		var parts []string
		for _, b := range blocks {
			if b.Text != nil && b.Text.Text != "" {
				parts = append(parts, b.Text.Text)
			}
		}
		if len(parts) > 0 {
			text = strings.Join(parts, "\n")
		}
	}
	text = mention.ReplaceAllStringFunc(text, func(s string) string {
		part := mention.FindStringSubmatch(s)
		switch {
		case part[3] != "":
			return part[1] + strings.TrimLeft(part[3], "@#")
		case part[1] == "@":
			return "@" + w.shownName(part[2])
		case part[1] == "#" && w.channels[part[2]] != nil:
			return "#" + w.channels[part[2]].Name
		}
		id, _ := strings.CutPrefix(part[2], "subteam^")
		if g := w.groups[id]; g != nil {
			return "@" + cmp.Or(g.Handle, g.Name)
		}
		return "@" + part[2]
	})
	return html.UnescapeString(text) // the vendor wants &, < and > escaped in texts
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
