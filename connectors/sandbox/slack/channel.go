package slack

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The kinds of conversation.
const (
	kindPublic  = "public"
	kindPrivate = "private"
	kindIM      = "im"
	kindMPIM    = "mpim"
)

type channelRecord struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	Creator  string   `json:"creator"`
	Serial   int64    `json:"serial"`
	Created  int64    `json:"created"` // µs UTC
	Archived bool     `json:"archived,omitempty"`
	Topic    noted    `json:"topic"`
	Purpose  noted    `json:"purpose"`
	Previous []string `json:"previous,omitempty"` // names
}

// noted is a topic or purpose.
type noted struct {
	Value   string `json:"value"`
	Creator string `json:"creator"`
	LastSet int64  `json:"last_set"` // seconds
}

type channel struct {
	channelRecord
	members  site.Members
	messages []*message // by ts
}

// message is what was said. It is never changed once stored.
type message struct {
	Channel     string          `json:"channel"`
	TS          string          `json:"ts"`
	Thread      string          `json:"thread,omitempty"` // ts of the thread's first message, of replies alone
	Broadcast   bool            `json:"broadcast,omitempty"`
	User        string          `json:"user"`
	Text        string          `json:"text"`
	Subtype     string          `json:"subtype,omitempty"`
	Blocks      json.RawMessage `json:"blocks,omitempty"`
	Attachments json.RawMessage `json:"attachments,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	Edited      string          `json:"edited,omitempty"` // ts
	Reactions   []reaction      `json:"reactions,omitempty"`
	OnlyTo      string          `json:"only_to,omitempty"` // an ephemeral message's reader
}

type reaction struct {
	Name  string   `json:"name"`
	Users []string `json:"users"`
	Count int      `json:"count"`
}

func (c *channel) direct() bool { return c.Kind == kindIM || c.Kind == kindMPIM }

func (w *Workspace) putChannel(r channelRecord) {
	c := w.channels[r.ID]
	if c == nil {
		c = &channel{}
		w.channels[r.ID] = c
		w.chanOrder = append(w.chanOrder, r.ID)
	} else if !c.direct() {
		delete(w.byChannel, c.Name)
	}
	c.channelRecord = r
	if !c.direct() {
		w.byChannel[r.Name] = r.ID
	}
	w.used[r.ID] = struct{}{}
	w.serial = max(w.serial, r.Serial)
}

// putMessage stores a message or its new version.
func (w *Workspace) putMessage(m message) error {
	c := w.channels[m.Channel]
	if c == nil {
		return fmt.Errorf("slack: message in unknown channel %s", m.Channel)
	}
	i, found := c.find(m.TS)
	if found {
		c.messages[i] = &m
	} else {
		c.messages = slices.Insert(c.messages, i, &m)
	}
	micro, ok := parseTS(m.TS)
	if !ok {
		return fmt.Errorf("slack: message with time stamp %q", m.TS)
	}
	w.lastTS = max(w.lastTS, micro)
	return nil
}

func (w *Workspace) dropMessage(r deleteRecord) error {
	c := w.channels[r.ID]
	if c == nil {
		return fmt.Errorf("slack: delete in unknown channel %s", r.ID)
	}
	i, found := c.find(r.TS)
	if !found {
		return fmt.Errorf("slack: delete of unknown message %s", r.TS)
	}
	c.messages = slices.Delete(c.messages, i, i+1)
	return nil
}

// find gives the place of a time stamp. All stamps have the same length, so that text sorts as numbers do.
func (c *channel) find(ts string) (int, bool) {
	return slices.BinarySearchFunc(c.messages, ts, func(m *message, ts string) int { return strings.Compare(m.TS, ts) })
}

// at gives the message with this time stamp, nil for none and for an ephemeral one.
func (c *channel) at(ts string) *message {
	i, found := c.find(ts)
	if !found || c.messages[i].OnlyTo != "" {
		return nil
	}
	return c.messages[i]
}

// replies gives a thread without its first message.
func (c *channel) replies(ts string) []*message {
	var list []*message
	i, _ := c.find(ts)
	for _, m := range c.messages[i:] {
		if m.Thread == ts && m.OnlyTo == "" {
			list = append(list, m)
		}
	}
	return list
}

// nextTS gives a time stamp that no message has yet.
func (w *Workspace) nextTS(now time.Time) string {
	return formatTS(max(now.UnixMicro(), w.lastTS+1))
}

func formatTS(micro int64) string { return fmt.Sprintf("%010d.%06d", micro/1e6, micro%1e6) }

// parseTS reads a message's time stamp.
func parseTS(ts string) (int64, bool) {
	if len(ts) != 17 || ts[10] != '.' {
		return 0, false
	}
	micro, err := strconv.ParseUint(ts[:10]+ts[11:], 10, 63)
	return int64(micro), err == nil
}

// between gives the other person of a direct conversation with the application.
func (w *Workspace) between(c *channel) string {
	for _, id := range c.members.IDs(time.Time{}) {
		if id != w.botID() {
			return id
		}
	}
	return w.botID()
}
