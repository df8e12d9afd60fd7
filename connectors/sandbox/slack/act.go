package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
)

// What people can't do.
var (
	ErrNobody    = errors.New("slack: no active account has this id")
	ErrNoChannel = errors.New("slack: no channel has this id")
	ErrNotThere  = errors.New("slack: the person isn't in the channel, or it is archived")
	ErrNoMessage = errors.New("slack: no message has this time stamp")
	ErrNoButton  = errors.New("slack: the message has no such button")
	ErrRefused   = errors.New("slack: refused")
	ErrNotTold   = errors.New("slack: the application didn't acknowledge within 3 s")
)

// place finds a person in a channel. The caller holds the lock.
func (w *Workspace) place(channelID, userID string, now time.Time) (*channel, error) {
	u, c := w.alive(userID, now), w.channels[channelID]
	switch {
	case c == nil:
		return nil, ErrNoChannel
	case u == nil || u.Bot:
		return nil, ErrNobody
	case !c.members.Has(userID) || c.Archived:
		return nil, ErrNotThere
	}
	return c, nil
}

func (w *Workspace) clock() time.Time { return w.ground.Now().UTC().Truncate(time.Microsecond) }

// Say lets a person write into a channel that they are in, into a thread if thread isn't empty. The application hears of it.
func (w *Workspace) Say(channelID, userID, text, thread string) (ts string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock()
	c, err := w.place(channelID, userID, now)
	if err != nil {
		return "", err
	}
	if text = strings.TrimSpace(text); text == "" || len(text) > maxText {
		return "", fmt.Errorf("%w: the text must have 1 to %d bytes", ErrRefused, maxText)
	}
	m := message{Channel: c.ID, TS: w.nextTS(now), User: userID, Text: text}
	if thread != "" {
		first := c.at(thread)
		if first == nil {
			return "", ErrNoMessage
		}
		if m.Thread = first.TS; first.Thread != "" {
			m.Thread = first.Thread
		}
	}
	if err := w.save(record(changeMessage, m)); err != nil {
		return "", err
	}
	w.announceMessage(w.ground.Base, now, c, &m)
	return m.TS, nil
}

// SayDirect lets a person write to the application.
func (w *Workspace) SayDirect(userID, text string) (channelID, ts string, err error) {
	w.mu.Lock()
	now := w.clock()
	if u := w.alive(userID, now); u == nil || u.Bot {
		w.mu.Unlock()
		return "", "", ErrNobody
	}
	c, _, err := w.directWith(now, []string{userID})
	w.mu.Unlock()
	if err != nil {
		return "", "", err
	}
	ts, err = w.Say(c.ID, userID, text, "")
	return c.ID, ts, err
}

// React lets a person put an emoji under a message.
func (w *Workspace) React(channelID, userID, ts, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock()
	c, err := w.place(channelID, userID, now)
	if err != nil {
		return err
	}
	m := c.at(ts)
	if m == nil {
		return ErrNoMessage
	}
	if no := w.addReaction(now, c, m, userID, name); no != nil {
		return fmt.Errorf("%w: %s", ErrRefused, no.code)
	}
	return nil
}

// Join lets a person enter a public channel.
func (w *Workspace) Join(channelID, userID string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock()
	c := w.channels[channelID]
	switch u := w.alive(userID, now); {
	case c == nil:
		return ErrNoChannel
	case u == nil || u.Bot:
		return ErrNobody
	case c.Kind != kindPublic || c.Archived || u.Attr.Guest != nil:
		return fmt.Errorf("%w: only members may enter, and only an open public channel", ErrRefused)
	case c.members.Has(userID):
		return nil
	}
	return w.enter(w.ground.Base, now, c, "", userID)
}

// Leave lets a person leave a channel.
func (w *Workspace) Leave(channelID, userID string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock()
	c, err := w.place(channelID, userID, now)
	if err != nil {
		return err
	}
	if c.ID == w.generalID() {
		return fmt.Errorf("%w: nobody leaves #%s", ErrRefused, generalName)
	}
	return w.leave(now, c, userID)
}

// RestrictToOneChannel does what an administrator does by hand, and SCIM can't: a guest becomes one of a single channel.
func (w *Workspace) RestrictToOneChannel(userID string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock()
	u := w.alive(userID, now)
	if u == nil || u.Attr.Guest == nil {
		return ErrNobody
	}
	changed := *u
	g := *u.Attr.Guest
	g.Type = "single"
	changed.Attr.Guest, changed.Modified = &g, now.UnixMicro()
	if err := w.save(record(changeUser, changed)); err != nil {
		return err
	}
	w.announceUser(w.ground.Base, now, "user_change", &changed)
	return nil
}

// Button is a button of a message.
type Button struct {
	ActionID, BlockID, Text, Value, URL, Style string
}

type blockText struct {
	Text string `json:"text"`
}

// element is an interactive element of a block, as far as buttons go.
type element struct {
	Type     string          `json:"type"`
	ActionID string          `json:"action_id"`
	Text     json.RawMessage `json:"text"`
	Value    string          `json:"value"`
	URL      string          `json:"url"`
	Style    string          `json:"style"`
}

// buttons lists a message's buttons. An element without an action_id gets one from its place, as the vendor does.
func (m *message) buttons() []Button {
	var blocks []struct {
		BlockID   string    `json:"block_id"`
		Elements  []element `json:"elements"`
		Accessory *element  `json:"accessory"`
	}
	if json.Unmarshal(m.Blocks, &blocks) != nil {
		return nil
	}
	var list []Button
	for i, b := range blocks {
		elements := b.Elements
		if b.Accessory != nil {
			elements = append(elements, *b.Accessory)
		}
		for j, e := range elements {
			if e.Type != "button" {
				continue
			}
			var text blockText
			_ = json.Unmarshal(e.Text, &text)
			block, action := b.BlockID, e.ActionID
			if action == "" {
				action = "a" + strconv.Itoa(i) + "_" + strconv.Itoa(j)
			}
			list = append(list, Button{action, block, text.Text, e.Value, e.URL, e.Style})
		}
	}
	return list
}

// Press lets a person press a button of a message. The application gets a block_actions payload, and must answer 2xx within 3 s;
// the vendor doesn't try again.
func (w *Workspace) Press(ctx context.Context, channelID, userID, ts, actionID, blockID string) error {
	body, to, err := w.prepare(channelID, userID, ts, actionID, blockID)
	if err != nil {
		return err
	}
	if w.sender.queue == nil || to == "" {
		return ErrNoSender
	}
	_, err = w.sender.queue.Once(ctx, deliver.Message{
		Event: "block_actions", URL: to, ContentType: "application/x-www-form-urlencoded", Body: body, Header: w.sender.headers(body),
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotTold, err)
	}
	return nil
}

// prepare makes the payload of a pressed button.
func (w *Workspace) prepare(channelID, userID, ts, actionID, blockID string) (body []byte, to string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock()
	c, err := w.place(channelID, userID, now)
	if err != nil {
		return nil, "", err
	}
	i, found := c.find(ts)
	if !found || c.messages[i].OnlyTo != "" && c.messages[i].OnlyTo != userID {
		return nil, "", ErrNoMessage
	}
	m := c.messages[i]
	list := m.buttons()
	at := slices.IndexFunc(list, func(b Button) bool { return b.ActionID == actionID && (blockID == "" || b.BlockID == blockID) })
	if at < 0 {
		return nil, "", ErrNoButton
	}
	b := list[at]
	u := w.account(userID)
	action := map[string]any{
		"type": "button", "action_id": b.ActionID, "block_id": b.BlockID, "action_ts": formatTS(now.UnixMicro()),
		"text": map[string]any{"type": "plain_text", "text": b.Text, "emoji": true},
	}
	if b.Value != "" {
		action["value"] = b.Value
	}
	container := map[string]any{"type": "message", "message_ts": m.TS, "channel_id": c.ID, "is_ephemeral": m.OnlyTo != ""}
	if m.Thread != "" {
		container["thread_ts"] = m.Thread
	}
	payload, err := json.Marshal(map[string]any{
		"type": "block_actions", "token": w.sender.verificationToken(), "api_app_id": w.opt.AppID, "trigger_id": w.newTrigger(now, userID),
		"user":      map[string]any{"id": userID, "username": u.Attr.UserName, "name": u.Attr.UserName, "team_id": w.opt.TeamID},
		"team":      map[string]any{"id": w.opt.TeamID, "domain": w.opt.Domain},
		"channel":   map[string]any{"id": c.ID, "name": c.Name},
		"container": container, "message": w.messageObject(w.ground.Base, c, m), "actions": []any{action}, "is_enterprise_install": false, "enterprise": nil,
	})
	if err != nil {
		return nil, "", err
	}
	sub, _ := w.sender.subscription()
	return []byte(url.Values{"payload": {string(payload)}}.Encode()), sub.InteractivityURL, nil
}
