package slack

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/musubi-hub/musubi/connectors"
)

// metadataType names the hub's messages among those of other applications; metadataKey holds Message.Key.
const (
	metadataType = "musubi_message"
	metadataKey  = "key"
)

// maxRecipients is how many people Slack puts into one direct conversation with an application.
const maxRecipients = 8

// SendMessage posts m with chat.postMessage, once. Slack has no idempotency key for applications: the key goes along as metadata, by
// which FindSent finds the message. Sent.Thread differs from m.Thread where the thread's first message was deleted meanwhile:
// Slack then posts outside of the thread.
func (w *Workspace) SendMessage(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
	const op = "send message"
	options, err := w.compose(op, m)
	if err != nil {
		return connectors.Sent{}, err
	}
	channel, err := w.channelOf(ctx, op, m)
	if err != nil {
		return connectors.Sent{}, err
	}
	if m.Thread != "" {
		options = append(options, slackgo.MsgOptionTS(m.Thread))
	}
	if err := w.reservePost(ctx, op, channel); err != nil {
		return connectors.Sent{}, err
	}
	in, ts, posted, err := w.api.PostMessageWithResponseContext(w.call(ctx, op, "chat.postMessage", once), channel, options...)
	if err != nil {
		return connectors.Sent{}, w.failure(op, err)
	}
	return w.receipt(op, in, ts, posted.ThreadTimestamp)
}

// FindSent reads the conversation, or the thread, back to five minutes before since and looks for the key in the metadata of the
// hub's own messages.
func (w *Workspace) FindSent(ctx context.Context, m connectors.Message, since time.Time) (connectors.Sent, error) {
	const op = "find message"
	if err := m.Check(); err != nil {
		return connectors.Sent{}, w.invalid(op, err.Error())
	}
	if err := w.checkThread(op, m.Thread); err != nil {
		return connectors.Sent{}, err
	}
	me, err := w.whoami(ctx)
	if err != nil {
		return connectors.Sent{}, err
	}
	channel, err := w.channelOf(ctx, op, m)
	if err != nil {
		return connectors.Sent{}, err
	}
	const perPage, most = 200, 100 // what is posted in five minutes and a few tries is far below 20,000
	oldest := timestamp(since.Add(-5 * time.Minute))
	var found *slackgo.Message
	look := func(page []slackgo.Message) {
		for i := range page {
			if mine(page[i], me) && page[i].Metadata.EventType == metadataType && page[i].Metadata.EventPayload[metadataKey] == m.Key {
				found = &page[i]
			}
		}
	}
	err = w.pages(op, most, func(cursor string) (string, error) {
		var next string
		if m.Thread != "" {
			page, _, after, err := w.api.GetConversationRepliesContext(w.call(ctx, op, "conversations.replies", again), &slackgo.GetConversationRepliesParameters{
				ChannelID: channel, Timestamp: m.Thread, Oldest: oldest, Limit: perPage, Cursor: cursor, IncludeAllMetadata: true,
			})
			if err != nil {
				return "", w.failure(op, err)
			}
			look(page)
			next = after
		} else {
			page, err := w.api.GetConversationHistoryContext(w.call(ctx, op, "conversations.history", again), &slackgo.GetConversationHistoryParameters{
				ChannelID: channel, Oldest: oldest, Limit: perPage, Cursor: cursor, IncludeAllMetadata: true,
			})
			if err != nil {
				return "", w.failure(op, err)
			}
			look(page.Messages)
			next = page.ResponseMetaData.NextCursor
		}
		if found != nil {
			return "", nil
		}
		return next, nil
	})
	switch {
	case err != nil:
		return connectors.Sent{}, err
	case found == nil:
		return connectors.Sent{}, w.out.Fail(op, connectors.KindNotFound, "no message with this key was posted there since")
	}
	return w.receipt(op, channel, found.Timestamp, found.ThreadTimestamp)
}

// UpdateMessage replaces the message with chat.update. The key stays in its metadata.
func (w *Workspace) UpdateMessage(ctx context.Context, sent connectors.Sent, m connectors.Message) error {
	const op = "update message"
	if m.Channel == "" && len(m.To) == 0 {
		m.Channel = sent.Channel
	}
	options, err := w.compose(op, m)
	if err != nil {
		return err
	}
	if err := w.checkSent(op, sent); err != nil {
		return err
	}
	_, _, _, err = w.api.UpdateMessageContext(w.call(ctx, op, "chat.update", again), sent.Channel, sent.ID, options...)
	if err != nil {
		return w.failure(op, err)
	}
	return nil
}

// MessageLink gives the message's permalink.
func (w *Workspace) MessageLink(ctx context.Context, sent connectors.Sent) (string, error) {
	const op = "link message"
	if err := w.checkSent(op, sent); err != nil {
		return "", err
	}
	link, err := w.api.GetPermalinkContext(w.call(ctx, op, "chat.getPermalink", again), &slackgo.PermalinkParameters{Channel: sent.Channel, Ts: sent.ID})
	if err != nil {
		return "", w.failure(op, err)
	}
	if !strings.HasPrefix(link, "https://") && !strings.HasPrefix(link, "http://") {
		return "", w.out.Fail(op, connectors.KindProtocol, "Slack's permalink is no web address")
	}
	return link, nil
}

// channelOf gives the conversation that m goes to; one with people is opened, which gives the same conversation each time.
func (w *Workspace) channelOf(ctx context.Context, op string, m connectors.Message) (string, error) {
	if m.Channel != "" {
		return m.Channel, w.checkID(op, "conversation", m.Channel)
	}
	if len(m.To) > maxRecipients {
		return "", w.invalid(op, "Slack takes at most 8 people into a direct conversation")
	}
	ids := make([]string, len(m.To))
	for i, r := range m.To {
		if err := w.checkID(op, "user", r.Address); err != nil {
			return "", err
		}
		ids[i] = r.Address
	}
	c, _, _, err := w.api.OpenConversationContext(w.call(ctx, op, "conversations.open", again), &slackgo.OpenConversationParameters{Users: ids, ReturnIM: true})
	if err != nil {
		return "", w.failure(op, err)
	}
	if c == nil || c.ID == "" {
		return "", w.out.Fail(op, connectors.KindProtocol, "Slack opened a conversation without an id")
	}
	return c.ID, nil
}

func (w *Workspace) receipt(op, channel, ts, thread string) (connectors.Sent, error) {
	at, ok := parseTimestamp(ts)
	if !ok || channel == "" {
		return connectors.Sent{}, w.out.Fail(op, connectors.KindProtocol, "Slack's answer doesn't say which message it is")
	}
	if thread == "" {
		thread = ts
	}
	return connectors.Sent{ID: ts, Channel: channel, Thread: thread, At: at}, nil
}

func (w *Workspace) checkSent(op string, sent connectors.Sent) error {
	if _, ok := parseTimestamp(sent.ID); !ok {
		return w.invalid(op, "this is no time stamp of a message")
	}
	return w.checkID(op, "conversation", sent.Channel)
}

func (w *Workspace) checkThread(op, thread string) error {
	if _, ok := parseTimestamp(thread); thread != "" && !ok {
		return w.invalid(op, "this is no time stamp of a thread")
	}
	return nil
}

// parseTimestamp reads a message's ts: seconds and microseconds since 1970, which also is its id.
func parseTimestamp(ts string) (time.Time, bool) {
	seconds, micros, ok := strings.Cut(ts, ".")
	if !ok || len(seconds) == 0 || len(seconds) > 12 || len(micros) != 6 || strings.Trim(seconds+micros, "0123456789") != "" {
		return time.Time{}, false
	}
	s, _ := strconv.ParseInt(seconds, 10, 64) // digits alone, at most 12
	us, _ := strconv.ParseInt(micros, 10, 64)
	return time.Unix(s, us*1000).UTC(), true
}

// timestamp writes a time as Slack's bounds of history are written: ten digits and six.
func timestamp(t time.Time) string {
	us := max(t.UnixMicro(), 0)
	return fmt.Sprintf("%010d.%06d", us/1e6, us%1e6)
}

// mine reports whether the hub's application posted m.
func mine(m slackgo.Message, me account) bool {
	return me.user != "" && m.User == me.user || me.bot != "" && m.BotID == me.bot
}
