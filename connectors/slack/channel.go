package slack

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	slackgo "github.com/slack-go/slack"

	"github.com/musubi-hub/musubi/connectors"
)

// Slack's bounds of channels.
const (
	maxChannelName = 80
	maxTopic       = 250
	maxInvitees    = 100 // a call, since 2024; 1,000 in older documents
	channelPage    = 1000
	maxListPages   = 200 // 200,000 channels or members
)

// channelName brings a name to Slack's rules: lower case, letters of any script, digits, '-' and '_', at most 80 characters, the
// suffix included. Everything else becomes one hyphen.
func channelName(name, suffix string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(strings.ToValidUTF8(name, "-")) {
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) {
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('-')
		}
		gap = false
		b.WriteRune(r)
	}
	room := maxChannelName
	if suffix != "" {
		suffix = "-" + strings.ToLower(suffix)
		room -= len(suffix)
	}
	runes := []rune(b.String())
	base := strings.TrimRight(string(runes[:min(len(runes), room)]), "-")
	if base == "" {
		return strings.TrimPrefix(suffix, "-")
	}
	return base + suffix
}

func (w *Workspace) checkWanted(op string, want connectors.WantedChannel) error {
	switch {
	case want.Key == "" || len(want.Key) > 32 || strings.Trim(want.Key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return w.invalid(op, "the channel's key must be 1 to 32 ASCII letters, digits or '-'")
	case channelName(want.Name, "") == "":
		return w.invalid(op, "the channel's name has no letter and no digit")
	}
	return w.checkTopic(op, want.Topic)
}

func (w *Workspace) checkTopic(op, topic string) error {
	if utf8.RuneCountInString(topic) > maxTopic || !utf8.ValidString(topic) {
		return w.invalid(op, "the topic is longer than 250 characters or isn't UTF-8")
	}
	return nil
}

// CreateChannel makes the channel under its name, or, where that is taken, under the name with the key behind it.
func (w *Workspace) CreateChannel(ctx context.Context, want connectors.WantedChannel) (connectors.Channel, error) {
	const op = "create channel"
	if err := w.checkWanted(op, want); err != nil {
		return connectors.Channel{}, err
	}
	made, err := w.createChannel(ctx, op, channelName(want.Name, ""), want.Private)
	if connectors.KindOf(err) == connectors.KindConflict {
		made, err = w.createChannel(ctx, op, channelName(want.Name, want.Key), want.Private)
	}
	if err != nil || want.Topic == "" {
		return made, err
	}
	if err := w.SetTopic(ctx, made.ID, want.Topic); err != nil {
		return made, err
	}
	made.Topic = want.Topic
	return made, nil
}

func (w *Workspace) createChannel(ctx context.Context, op, name string, private bool) (connectors.Channel, error) {
	c, err := w.api.CreateConversationContext(w.call(ctx, op, "conversations.create", once), slackgo.CreateConversationParams{ChannelName: name, IsPrivate: private})
	if err != nil {
		return connectors.Channel{}, w.failure(op, err)
	}
	if c == nil || c.ID == "" || c.Name == "" {
		return connectors.Channel{}, w.out.Fail(op, connectors.KindProtocol, "Slack's answer doesn't say which channel was made")
	}
	return seenChannel(*c), nil
}

func seenChannel(c slackgo.Channel) connectors.Channel {
	seen := connectors.Channel{ID: c.ID, Name: c.Name, Topic: c.Topic.Value, Private: c.IsPrivate, Archived: c.IsArchived}
	if made := c.Created.Time(); made.Unix() > 0 {
		seen.Made = made.UTC()
	}
	return seen
}

// FindChannel pages through the channels that aren't archived for one of the two names that CreateChannel would give, which the
// hub's own account made since the given time; five minutes are allowed for clocks that differ.
func (w *Workspace) FindChannel(ctx context.Context, want connectors.WantedChannel, since time.Time) (connectors.Channel, error) {
	const op = "find channel"
	if err := w.checkWanted(op, want); err != nil {
		return connectors.Channel{}, err
	}
	me, err := w.whoami(ctx)
	if err != nil {
		return connectors.Channel{}, err
	}
	kind := "public_channel"
	if want.Private {
		kind = "private_channel"
	}
	plain, keyed, earliest := channelName(want.Name, ""), channelName(want.Name, want.Key), since.Add(-5*time.Minute)
	var found connectors.Channel
	err = w.pages(op, maxListPages, func(cursor string) (string, error) {
		page, next, err := w.api.GetConversationsContext(w.call(ctx, op, "conversations.list", again), &slackgo.GetConversationsParameters{
			Cursor: cursor, ExcludeArchived: true, Limit: channelPage, Types: []string{kind},
		})
		if err != nil {
			return "", w.failure(op, err)
		}
		for _, c := range page {
			seen := seenChannel(c)
			if c.Creator != me.user || c.IsArchived || seen.Made.Before(earliest) || c.Name != plain && c.Name != keyed {
				continue
			}
			if found.ID == "" || c.Name == keyed { // the name with the key behind it is nobody else's
				found = seen
			}
		}
		return next, nil
	})
	if err == nil && found.ID == "" {
		err = w.out.Fail(op, connectors.KindNotFound, "the hub made no such channel since")
	}
	return found, err
}

// SetTopic replaces the topic, at most 250 characters.
func (w *Workspace) SetTopic(ctx context.Context, channelID, topic string) error {
	const op = "set topic"
	if err := w.checkID(op, "channel", channelID); err != nil {
		return err
	}
	if err := w.checkTopic(op, topic); err != nil {
		return err
	}
	if _, err := w.api.SetTopicOfConversationContext(w.call(ctx, op, "conversations.setTopic", again), channelID, topic); err != nil {
		return w.failure(op, err)
	}
	return nil
}

// ArchiveChannel archives the channel. Its name stays taken.
func (w *Workspace) ArchiveChannel(ctx context.Context, channelID string) error {
	const op = "archive channel"
	if err := w.checkID(op, "channel", channelID); err != nil {
		return err
	}
	err := w.api.ArchiveConversationContext(w.call(ctx, op, "conversations.archive", again), channelID)
	if err == nil {
		return nil
	}
	err = w.failure(op, err)
	if codeOf(err) == "already_archived" {
		return nil
	}
	return err
}

// ListChannelMembers gives the members' ids, 1,000 a page.
func (w *Workspace) ListChannelMembers(ctx context.Context, channelID string, page func([]string) error) error {
	const op = "list channel members"
	if err := w.checkID(op, "channel", channelID); err != nil {
		return err
	}
	return w.pages(op, maxListPages, func(cursor string) (string, error) {
		ids, next, err := w.api.GetUsersInConversationContext(w.call(ctx, op, "conversations.members", again), &slackgo.GetUsersInConversationParameters{
			ChannelID: channelID, Cursor: cursor, Limit: channelPage,
		})
		if err != nil {
			return "", w.failure(op, err)
		}
		return next, page(ids)
	})
}

// about codes speak of the invited person: the others can still be invited.
var aboutInvitee = map[string]bool{
	"user_not_found": true, "no_user": true, "cant_invite_self": true, "cant_invite": true, "already_in_channel": true,
	"user_is_restricted": true, "user_is_ultra_restricted": true, "user_is_bot": true, "ura_max_channels": true,
	"user_disabled": true, "user_team_not_in_channel": true, "external_user_not_allowed": true,
}

// InviteToChannel invites 100 at a time, with force, so that Slack takes the good ones. Where Slack refuses a batch as a whole
// without naming whom, the batch is halved until the bad ones stand alone.
func (w *Workspace) InviteToChannel(ctx context.Context, channelID string, accountIDs []string) ([]connectors.Refused, error) {
	const op = "invite to channel"
	if err := w.checkID(op, "channel", channelID); err != nil {
		return nil, err
	}
	ids, refused := w.sift(accountIDs)
	for start := 0; start < len(ids); start += maxInvitees {
		bad, err := w.invite(ctx, op, channelID, ids[start:min(start+maxInvitees, len(ids))])
		refused = append(refused, bad...)
		if err != nil {
			return refused, err
		}
	}
	return refused, nil
}

func (w *Workspace) invite(ctx context.Context, op, channelID string, ids []string) ([]connectors.Refused, error) {
	var seen envelope
	_, err := w.api.ForceInviteUsersToConversationContext(w.callInto(ctx, op, "conversations.invite", again, &seen), channelID, ids...)
	if err != nil {
		err = w.failure(op, err)
	}
	code := codeOf(err)
	refused, named := inviteErrors(seen.Errors)
	switch {
	case err == nil:
		return refused, nil
	case !aboutInvitee[code]:
		return nil, err
	case named == len(ids):
		return refused, nil // Slack named every one of them
	case len(ids) == 1:
		if code == "already_in_channel" {
			return nil, nil
		}
		return []connectors.Refused{{AccountID: ids[0], Reason: code}}, nil
	}
	left, err := w.invite(ctx, op, channelID, ids[:len(ids)/2])
	if err != nil {
		return left, err
	}
	right, err := w.invite(ctx, op, channelID, ids[len(ids)/2:])
	return append(left, right...), err
}

// inviteErrors reads whom Slack refused; one who is in already isn't refused. named counts both.
func inviteErrors(raw json.RawMessage) (refused []connectors.Refused, named int) {
	var list []struct {
		User  string `json:"user"`
		Error string `json:"error"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil, 0
	}
	for _, e := range list {
		if e.User == "" {
			continue
		}
		named++
		if e.Error != "already_in_channel" {
			refused = append(refused, connectors.Refused{AccountID: e.User, Reason: e.Error})
		}
	}
	return refused, named
}

// RemoveFromChannel removes one after the other: Slack takes one a call.
func (w *Workspace) RemoveFromChannel(ctx context.Context, channelID string, accountIDs []string) ([]connectors.Refused, error) {
	const op = "remove from channel"
	if err := w.checkID(op, "channel", channelID); err != nil {
		return nil, err
	}
	ids, refused := w.sift(accountIDs)
	for _, id := range ids {
		err := w.api.KickUserFromConversationContext(w.call(ctx, op, "conversations.kick", again), channelID, id)
		if err == nil {
			continue
		}
		err = w.failure(op, err)
		switch code := codeOf(err); code {
		case "not_in_channel":
		case "user_not_found", "no_user", "cant_kick_self", "cant_kick_from_general", "user_is_bot", "user_is_restricted":
			refused = append(refused, connectors.Refused{AccountID: id, Reason: code})
		default:
			return refused, err
		}
	}
	return refused, nil
}

// sift gives the ids without repeats, and those that can't be an id, which would spoil a whole batch.
func (w *Workspace) sift(ids []string) (good []string, refused []connectors.Refused) {
	seen := map[string]bool{}
	for _, id := range ids {
		switch {
		case seen[id]:
		case w.checkID("check id", "user", id) != nil:
			refused = append(refused, connectors.Refused{AccountID: id, Reason: "invalid_id"})
		default:
			good = append(good, id)
		}
		seen[id] = true
	}
	return good, refused
}

func codeOf(err error) string {
	if e, ok := err.(*connectors.Error); ok { //nolint:errorlint // made by outbound, unwrapped by failure
		return e.Code
	}
	return ""
}
