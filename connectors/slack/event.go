package slack

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors"
)

// Bounds of what comes in. Slack's largest deliveries are some tens of kilobytes.
const (
	maxDelivery = 1 << 20
	maxSkew     = 300 * time.Second // between Slack's clock and ours; docs.slack.dev "Verifying requests from Slack"
	maxChoice   = 2000              // characters of a challenge, an id, a name
)

// ReadEvent verifies a delivery of the Events API or of a button press and parses it. Slack delivers an event up to four times with
// one event_id, which is the key; a press has its trigger_id.
func (w *Workspace) ReadEvent(now time.Time, d connectors.Delivery) (connectors.Received, error) {
	const op = "read event"
	reject := func(status int, kind connectors.Kind, detail string) (connectors.Received, error) {
		reply := connectors.Reply{Status: status, Header: http.Header{"X-Slack-No-Retry": {"1"}}}
		return connectors.Received{Reply: reply}, w.out.Fail(op, kind, detail)
	}
	if len(d.Body) > maxDelivery {
		return reject(http.StatusRequestEntityTooLarge, connectors.KindTooLarge, "the delivery is larger than 1 MiB")
	}
	if problem := w.verify(now, d); problem != "" {
		return reject(http.StatusUnauthorized, connectors.KindAuth, problem)
	}
	media, _, err := mime.ParseMediaType(d.Header.Get("Content-Type"))
	if err != nil {
		return reject(http.StatusUnsupportedMediaType, connectors.KindInvalid, "the delivery has no content type")
	}
	var r connectors.Received
	var problem string
	switch {
	case !utf8.Valid(d.Body):
		problem = "the delivery isn't UTF-8"
	case media == "application/json":
		r, problem = parseEvent(d.Body)
	case media == "application/x-www-form-urlencoded":
		r, problem = parseInteraction(d.Body)
	default:
		return reject(http.StatusUnsupportedMediaType, connectors.KindInvalid, "the delivery is neither JSON nor a form")
	}
	if problem != "" {
		return reject(http.StatusBadRequest, connectors.KindInvalid, problem)
	}
	r.Attempt, r.Reason = attempt(d.Header)
	return r, nil
}

// verify checks Slack's signature, "v0=" and the hexadecimal HMAC-SHA256 over "v0:", the time stamp, ":" and the body as received.
// slack-go's verifier reads the machine's clock, which a simulated hour doesn't move, so the few lines are our own; a test holds
// them against slack-go's and against Slack's published example.
func (w *Workspace) verify(now time.Time, d connectors.Delivery) (problem string) {
	stamps, signatures := d.Header.Values("X-Slack-Request-Timestamp"), d.Header.Values("X-Slack-Signature")
	if len(stamps) != 1 || len(signatures) != 1 {
		return "the delivery isn't signed: it has not exactly one time stamp and one signature"
	}
	stamp := stamps[0]
	if stamp == "" || len(stamp) > 12 || strings.Trim(stamp, "0123456789") != "" {
		return "the delivery's time stamp isn't a number of seconds"
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return "the delivery's time stamp isn't a number of seconds"
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > maxSkew || age < -maxSkew {
		return "the delivery's time stamp is more than 300 s from our clock: a repetition by somebody else, or a clock that is wrong"
	}
	hexed, ok := strings.CutPrefix(signatures[0], "v0=")
	given, err := hex.DecodeString(hexed)
	if !ok || err != nil {
		return "the delivery's signature isn't of version v0"
	}
	if !hmac.Equal(given, w.signing.HMACSHA256([]byte("v0:"+stamp+":"), d.Body)) {
		return "the delivery's signature doesn't match: is the signing secret right?"
	}
	return ""
}

// attempt reads which try this is. Retries must not be dropped unseen: the first may never have been stored.
func attempt(h http.Header) (n int, reason string) {
	n, err := strconv.Atoi(h.Get("X-Slack-Retry-Num"))
	if err != nil || n < 1 || n > 100 {
		return 1, ""
	}
	reason = h.Get("X-Slack-Retry-Reason")
	if len(reason) > 64 || strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz_") != "" {
		reason = "unknown_error"
	}
	return n + 1, reason
}

// outer is the wrapper of every event.
type outer struct {
	Type      string          `json:"type"`
	Challenge string          `json:"challenge"`
	TeamID    string          `json:"team_id"`
	EventID   string          `json:"event_id"`
	EventTime int64           `json:"event_time"`
	Limited   int64           `json:"minute_rate_limited"`
	Event     json.RawMessage `json:"event"`
}

// parseEvent reads a verified delivery of the Events API.
func parseEvent(body []byte) (connectors.Received, string) {
	var o outer
	if err := json.Unmarshal(body, &o); err != nil {
		return connectors.Received{}, "the delivery isn't an event of Slack's"
	}
	r := connectors.Received{Tenant: o.TeamID, Reply: connectors.Reply{Status: http.StatusOK}}
	switch o.Type {
	case "url_verification":
		if o.Challenge == "" || len(o.Challenge) > maxChoice || strings.ContainsFunc(o.Challenge, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return connectors.Received{}, "the challenge is missing or no token"
		}
		r.Reply.Header = http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}
		r.Reply.Body = []byte(o.Challenge)
		return r, ""
	case "app_rate_limited":
		if o.Limited <= 0 {
			return connectors.Received{}, "the notice of left out events has no time"
		}
		r.Key = "app_rate_limited " + o.TeamID + " " + strconv.FormatInt(o.Limited, 10)
		r.Events = []connectors.Event{connectors.DeliveriesLost{At: unix(o.Limited), Reason: o.Type}}
		return r, ""
	case "event_callback":
	default:
		return connectors.Received{}, "the delivery is of a type that Slack doesn't have"
	}
	if o.EventID == "" || len(o.EventID) > maxChoice || len(o.Event) == 0 {
		return connectors.Received{}, "the event has no event_id or no content"
	}
	event, problem := parseInner(o)
	if problem != "" {
		return connectors.Received{}, problem
	}
	r.Key, r.Events = o.EventID, []connectors.Event{event}
	return r, ""
}

// inner holds what the hub reads of any event. Slack gives user and channel as an id or as an object.
type inner struct {
	Type        string   `json:"type"`
	Subtype     string   `json:"subtype"`
	User        idOrMore `json:"user"`
	BotID       string   `json:"bot_id"`
	Channel     idOrMore `json:"channel"`
	ChannelType string   `json:"channel_type"`
	Text        string   `json:"text"`
	TS          string   `json:"ts"`
	ThreadTS    string   `json:"thread_ts"`
	EventTS     string   `json:"event_ts"`
	DeletedTS   string   `json:"deleted_ts"`
	Reaction    string   `json:"reaction"`
	Item        struct {
		Channel string `json:"channel"`
		TS      string `json:"ts"`
	} `json:"item"`
	Message *inner `json:"message"`
}

// idOrMore is an id, or an object with an id and more.
type idOrMore struct {
	ID      string
	Name    string
	Deleted bool
}

// UnmarshalJSON reads either form.
func (v *idOrMore) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &v.ID)
	}
	var object struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Deleted bool   `json:"deleted"`
	}
	if err := json.Unmarshal(b, &object); err != nil {
		return err
	}
	*v = idOrMore(object)
	return nil
}

// parseInner types the event.
func parseInner(o outer) (connectors.Event, string) {
	var e inner
	if err := json.Unmarshal(o.Event, &e); err != nil || e.Type == "" || len(e.Type) > maxChoice {
		return nil, "the event's content can't be read"
	}
	at, ok := parseTimestamp(e.EventTS)
	if !ok {
		at = unix(o.EventTime)
	}
	switch e.Type {
	case "message", "app_mention":
		return parseMessage(e, at)
	case "reaction_added", "reaction_removed":
		if e.Item.TS == "" { // on a file
			return connectors.OtherEvent{At: at, Type: e.Type}, ""
		}
		return connectors.Reaction{At: at, Channel: e.Item.Channel, ID: e.Item.TS, Account: e.User.ID, Name: e.Reaction, Removed: e.Type == "reaction_removed"}, ""
	case "member_joined_channel", "member_left_channel":
		return connectors.Membership{At: at, Channel: e.Channel.ID, Account: e.User.ID, Left: e.Type == "member_left_channel"}, ""
	case "team_join", "user_change":
		return connectors.AccountChanged{At: at, Account: e.User.ID, Joined: e.Type == "team_join", Active: !e.User.Deleted}, ""
	case "app_uninstalled", "tokens_revoked":
		return connectors.AccessEnded{At: at, Reason: e.Type}, ""
	}
	if change := channelChanges[e.Type]; change != "" {
		return connectors.ChannelChanged{At: at, Channel: e.Channel.ID, Name: e.Channel.Name, Change: change}, ""
	}
	return connectors.OtherEvent{At: at, Type: e.Type}, ""
}

var channelChanges = map[string]string{
	"channel_created": "created", "channel_rename": "renamed", "channel_archive": "archived", "channel_unarchive": "unarchived",
	"channel_deleted": "deleted", "group_rename": "renamed", "group_archive": "archived", "group_unarchive": "unarchived", "group_deleted": "deleted",
}

// spoken are the subtypes of messages that somebody wrote; the others report joins, topics and the like, which have events of their own.
var spoken = map[string]bool{"": true, "bot_message": true, "thread_broadcast": true, "file_share": true, "me_message": true}

func parseMessage(e inner, at time.Time) (connectors.Event, string) {
	switch {
	case e.Subtype == "message_changed" && e.Message != nil:
		m := *e.Message
		if _, ok := parseTimestamp(m.TS); !ok || e.Channel.ID == "" {
			return nil, "the changed message has no channel or no time stamp"
		}
		return connectors.MessageChanged{
			At: at, Channel: e.Channel.ID, ID: m.TS, Thread: threadOf(m), Account: m.User.ID, App: m.BotID != "",
			Text: plainText(m.Text), Original: m.Text,
		}, ""
	case e.Subtype == "message_deleted":
		if _, ok := parseTimestamp(e.DeletedTS); !ok || e.Channel.ID == "" {
			return nil, "the deleted message has no channel or no time stamp"
		}
		return connectors.MessageDeleted{At: at, Channel: e.Channel.ID, ID: e.DeletedTS}, ""
	case !spoken[e.Subtype]:
		return connectors.OtherEvent{At: at, Type: e.Type + "." + e.Subtype}, ""
	}
	if _, ok := parseTimestamp(e.TS); !ok || e.Channel.ID == "" {
		return nil, "the message has no channel or no time stamp"
	}
	return connectors.MessagePosted{
		At: at, Channel: e.Channel.ID, ID: e.TS, Thread: threadOf(e), Account: e.User.ID, App: e.BotID != "",
		Direct: e.ChannelType == "im" || e.ChannelType == "mpim", Mention: e.Type == "app_mention",
		Text: plainText(e.Text), Original: e.Text,
	}, ""
}

func threadOf(e inner) string {
	if e.ThreadTS != "" {
		return e.ThreadTS
	}
	return e.TS
}

func unix(seconds int64) time.Time {
	if seconds <= 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
