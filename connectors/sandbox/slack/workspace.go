package slack

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack/scim"
)

// Name is the product's name and path prefix.
const Name = "slack"

// Options configure the workspace.
type Options struct {
	TeamID   string // default "T0MUSUBI01"
	TeamName string // default "Musubi Sandbox"
	Domain   string // default "musubi-sandbox"
	AppID    string // of the application that is installed, default "A0MUSUBI01"
	BotName  string // of the application's own user, default "musubi"

	Token        string    // the application's bot token, for the Web API; empty: every call is refused
	TokenExpires time.Time // zero: never
	Scopes       []string  // of Token; nil: all that the methods need

	AdminToken        string    // for SCIM (scope admin); empty: every call is refused
	AdminTokenExpires time.Time // zero: never
	OwnerEmail        string    // of the workspace's owner, an account that SCIM can't change; "": none is shown

	SigningSecret    string   // signs what is sent; empty: nothing is sent
	EventsURL        string   // where events go from the start, without being verified; "": nowhere until Subscribe
	InteractivityURL string   // where pressed buttons go
	Events           []string // names of the events that are subscribed to; nil: all

	ClientURL string // where members read, for permalinks, without the prefix; "": where the API is

	HideExternalID bool // SCIM answers have an empty externalId, as some workspaces' do

	UpdateTime time.Duration // how long a SCIM write holds the lock of its user or group; 0: 20 ms; negative: no time
	Parallel   int           // deliveries at once; 0: 1, in order
}

// Ground is what the sandbox gives its workspace.
type Ground struct {
	Seed     uint64
	Log      func(changes []site.Change) error // keeps what a request changed, durably, before it is answered
	Base     string                            // absolute address of the sandbox, for links in events; "": none
	Now      func() time.Time
	After    func(time.Duration) <-chan time.Time // how deliveries wait by Now; nil: time.After
	Outgoing http.RoundTripper                    // nil: nothing is sent
	Fault    func(kind string, m deliver.Message) bool
}

// Workspace is the stand-in's state. All methods may be called at once from many goroutines.
type Workspace struct {
	opt    Options
	ground Ground
	table  *site.Table
	sender *sender

	mu         sync.Mutex
	users      map[string]*site.Versions[user]
	order      []string          // ids of users, by serial
	byUserName map[string]string // also of deactivated users
	byEmail    map[string]string // lower case; also of deactivated users
	groups     map[string]*group
	groupOrder []string
	channels   map[string]*channel
	chanOrder  []string
	byChannel  map[string]string // channel name -> id, also of archived ones
	used       map[string]struct{}
	locked     map[string]struct{} // users and groups that a SCIM write is at
	triggers   map[string]trigger
	views      map[string]*view
	serial     int64
	lastTS     int64 // µs of the newest message
	search     site.PrefixIndex
	links      site.Links // who of the identity provider has which account
}

// user is one version of an account; it is never changed once stored.
type user struct {
	ID       string    `json:"id"`
	Serial   int64     `json:"serial"`
	Created  int64     `json:"created"` // µs UTC
	Modified int64     `json:"modified"`
	Bot      bool      `json:"bot,omitempty"`
	Owner    bool      `json:"owner,omitempty"`
	Attr     scim.User `json:"attr"`
}

type groupRecord struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Handle      string   `json:"handle,omitempty"`
	Description string   `json:"description,omitempty"`
	Channels    []string `json:"channels,omitempty"`
	Serial      int64    `json:"serial"`
	Created     int64    `json:"created"`
	Modified    int64    `json:"modified"`
	By          string   `json:"by"`        // who made it
	ChangedBy   string   `json:"changed"`   // who changed it last
	Disabled    int64    `json:"off"`       // µs; 0: enabled
	FromSCIM    bool     `json:"from_scim"` // made by the identity provider
}

type group struct {
	groupRecord
	members site.Members
}

// membersRecord changes who is in a group or channel.
type membersRecord struct {
	Of     string   `json:"of"`
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
	At     int64    `json:"at"`
}

type deleteRecord struct {
	ID string `json:"id"`
	TS string `json:"ts,omitempty"`
	At int64  `json:"at"`
}

// The kinds of journalled change.
const (
	changeUser          = "user"
	changeGroup         = "group"
	changeGroupDelete   = "group.delete"
	changeGroupMembers  = "group.members"
	changeChannel       = "channel"
	changeJoin          = "channel.members"
	changeMessage       = "message"
	changeMessageDelete = "message.delete"
	changeSubscription  = "subscription"
	changeLink          = "link"
)

// New makes an empty workspace.
func New(opt Options, ground Ground) (*Workspace, error) {
	opt.TeamID, opt.TeamName = cmp.Or(opt.TeamID, "T0MUSUBI01"), cmp.Or(opt.TeamName, "Musubi Sandbox")
	opt.Domain, opt.AppID = cmp.Or(opt.Domain, "musubi-sandbox"), cmp.Or(opt.AppID, "A0MUSUBI01")
	opt.BotName = cmp.Or(opt.BotName, "musubi")
	if opt.OwnerEmail != "" && !site.ValidEmail(opt.OwnerEmail) {
		return nil, fmt.Errorf("slack: OwnerEmail %q is not an address", opt.OwnerEmail)
	}
	for _, address := range []string{opt.EventsURL, opt.InteractivityURL} {
		if address == "" {
			continue
		}
		if err := deliver.CheckURL(address); err != nil {
			return nil, fmt.Errorf("slack: request URL %q: %w", address, err)
		}
		if ground.Outgoing == nil || opt.SigningSecret == "" {
			return nil, errors.New("slack: a request URL needs Outgoing and SigningSecret")
		}
	}
	if opt.Scopes == nil {
		opt.Scopes = allScopes()
	}
	if opt.UpdateTime == 0 {
		opt.UpdateTime = 20 * time.Millisecond
	}
	w := &Workspace{opt: opt, ground: ground}
	var err error
	if w.sender, err = newSender(opt, ground); err != nil {
		return nil, err
	}
	w.clear()
	w.table = site.NewTable(append(w.scimRoutes(), w.webRoutes()...))
	return w, nil
}

// Name gives the product's name.
func (w *Workspace) Name() string { return Name }

// Table gives the product's operations.
func (w *Workspace) Table() *site.Table { return w.table }

// Close ends the deliveries.
func (w *Workspace) Close() error { return w.sender.close() }

// Lock keeps all requests out, for a reset of several products at once.
func (w *Workspace) Lock() { w.mu.Lock() }

// Unlock lets requests in again.
func (w *Workspace) Unlock() { w.mu.Unlock() }

// ResetLocked empties the workspace; the subscription is again that of the options. The caller holds Lock.
func (w *Workspace) ResetLocked() {
	w.clear()
	w.sender.reset()
}

// generalName is the channel that everyone is in.
const generalName = "general"

// clear leaves what every workspace has: the application's user, the owner, #general. They depend on the options alone and aren't
// journalled.
func (w *Workspace) clear() {
	w.users, w.order = map[string]*site.Versions[user]{}, nil
	w.byUserName, w.byEmail = map[string]string{}, map[string]string{}
	w.groups, w.groupOrder = map[string]*group{}, nil
	w.channels, w.chanOrder, w.byChannel = map[string]*channel{}, nil, map[string]string{}
	w.used, w.locked = map[string]struct{}{}, map[string]struct{}{}
	w.triggers, w.views = map[string]trigger{}, map[string]*view{}
	w.serial, w.lastTS = 0, 0
	w.search.Reset()
	w.links = site.Links{}
	born := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	w.putChannel(channelRecord{ID: w.generalID(), Name: generalName, Kind: kindPublic, Creator: w.botID(), Serial: w.serial + 1, Created: born})
	w.putUser(&user{
		ID: w.botID(), Serial: w.serial + 1, Created: born, Modified: born, Bot: true,
		Attr: scim.User{UserName: w.opt.BotName, DisplayName: w.opt.BotName, Active: true},
	})
	if w.opt.OwnerEmail != "" {
		w.putUser(&user{ID: w.ownerID(), Serial: w.serial + 1, Created: born, Modified: born, Owner: true, Attr: scim.User{
			UserName: "owner", DisplayName: "ワークスペース所有者", Active: true,
			Name: scim.Name{FamilyName: "管理", GivenName: "者"}, Emails: []scim.Value{{Value: w.opt.OwnerEmail, Type: "work", Primary: true}},
		}})
	}
}

// identifier makes a vendor-like identifier from its parts.
func (w *Workspace) identifier(prefix string, parts ...string) string {
	hex := site.DeriveUUID(w.ground.Seed, append([]string{Name, prefix}, parts...)...)
	return prefix + strings.ToUpper(strings.ReplaceAll(hex, "-", ""))[:10]
}

func (w *Workspace) botID() string     { return w.identifier("U", "bot") }
func (w *Workspace) ownerID() string   { return w.identifier("U", "owner") }
func (w *Workspace) generalID() string { return w.identifier("C", generalName) }
func (w *Workspace) botRecord() string { return w.identifier("B", "bot") }

// fresh finds an identifier that was never given.
func (w *Workspace) fresh(prefix string, parts ...string) string {
	for n := 0; ; n++ {
		id := w.identifier(prefix, append(parts, strconv.Itoa(n))...)
		if _, taken := w.used[id]; !taken {
			return id
		}
	}
}

// save journals the changes and takes them into the state. The caller holds the lock.
func (w *Workspace) save(changes ...site.Change) error {
	if err := w.ground.Log(changes); err != nil {
		return err
	}
	for _, c := range changes {
		if err := w.apply(c); err != nil {
			return err
		}
	}
	return nil
}

// record is a change to save.
func record(kind string, data any) site.Change {
	c, err := site.NewChange(kind, data)
	if err != nil { // our own plain types always encode
		panic(err)
	}
	return c
}

// Apply replays one journalled change.
func (w *Workspace) Apply(c site.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.apply(c)
}

// decoded applies a change of type T.
func decoded[T any](raw json.RawMessage, apply func(T) error) error {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	return apply(v)
}

func (w *Workspace) apply(c site.Change) error {
	switch c.Kind {
	case changeUser:
		return decoded(c.Data, func(u user) error { w.putUser(&u); return nil })
	case changeGroup:
		return decoded(c.Data, func(r groupRecord) error { w.putGroup(r); return nil })
	case changeGroupDelete:
		return decoded(c.Data, w.dropGroup)
	case changeGroupMembers:
		return decoded(c.Data, func(r membersRecord) error {
			g := w.groups[r.Of]
			if g == nil {
				return fmt.Errorf("slack: members of unknown group %s", r.Of)
			}
			applyMembers(&g.members, r)
			g.Modified = r.At
			return nil
		})
	case changeChannel:
		return decoded(c.Data, func(r channelRecord) error { w.putChannel(r); return nil })
	case changeJoin:
		return decoded(c.Data, func(r membersRecord) error {
			ch := w.channels[r.Of]
			if ch == nil {
				return fmt.Errorf("slack: members of unknown channel %s", r.Of)
			}
			applyMembers(&ch.members, r)
			return nil
		})
	case changeMessage:
		return decoded(c.Data, w.putMessage)
	case changeMessageDelete:
		return decoded(c.Data, w.dropMessage)
	case changeLink:
		return decoded(c.Data, func(k site.Link) error { w.links.Put(k); return nil })
	case changeSubscription:
		return decoded(c.Data, func(s Subscription) error { w.sender.set(s); return nil })
	}
	return fmt.Errorf("slack: unknown change %q: the journal is of a newer version", c.Kind)
}

func applyMembers(m *site.Members, r membersRecord) {
	at := time.UnixMicro(r.At)
	m.Remove(at, r.Remove...)
	m.Add(at, r.Add...)
}

// putUser stores a new version of an account. A full member is in #general; an inactive account is nowhere.
func (w *Workspace) putUser(u *user) {
	at := time.UnixMicro(u.Modified)
	v := w.users[u.ID]
	old := v.Current()
	if old == nil {
		v = &site.Versions[user]{}
		w.users[u.ID] = v
		w.order = append(w.order, u.ID)
	} else {
		delete(w.byUserName, old.Attr.UserName)
		delete(w.byEmail, strings.ToLower(old.Attr.Email()))
	}
	v.Set(at, u)
	w.byUserName[u.Attr.UserName] = u.ID
	if mail := u.Attr.Email(); mail != "" {
		w.byEmail[strings.ToLower(mail)] = u.ID
	}
	w.used[u.ID] = struct{}{}
	w.serial = max(w.serial, u.Serial)
	if !u.Attr.Active {
		for _, g := range w.groups {
			g.members.Remove(at, u.ID)
		}
		for _, ch := range w.channels {
			if !ch.direct() {
				ch.members.Remove(at, u.ID)
			}
		}
	} else if (old == nil || !old.Attr.Active) && u.Attr.Guest == nil {
		w.channels[w.generalID()].members.Add(at, u.ID)
	}
	if old == nil || old.Attr.Email() != u.Attr.Email() || old.Attr.UserName != u.Attr.UserName || old.Attr.DisplayName != u.Attr.DisplayName {
		w.search.Add(u.Attr.Email(), u.ID)
		w.search.Add(u.Attr.UserName, u.ID)
		w.search.AddWords(u.Attr.DisplayName, u.ID)
	}
}

func (w *Workspace) putGroup(r groupRecord) {
	g := w.groups[r.ID]
	if g == nil {
		g = &group{}
		w.groups[r.ID] = g
		w.groupOrder = append(w.groupOrder, r.ID)
	}
	g.groupRecord = r
	w.used[r.ID] = struct{}{}
	w.serial = max(w.serial, r.Serial)
}

func (w *Workspace) dropGroup(r deleteRecord) error {
	if w.groups[r.ID] == nil {
		return fmt.Errorf("slack: delete of unknown group %s", r.ID)
	}
	delete(w.groups, r.ID)
	w.groupOrder = slices.DeleteFunc(w.groupOrder, func(id string) bool { return id == r.ID })
	return nil
}

// account gives a user's current version, nil for none.
func (w *Workspace) account(id string) *user { return w.users[id].Current() }

// alive gives a user who can be used now, nil for none.
func (w *Workspace) alive(id string, now time.Time) *user {
	if u := w.account(id); u != nil && u.Attr.ActiveAt(now) {
		return u
	}
	return nil
}

func window[T any](all []T, start, limit int) []T {
	start = min(max(start, 0), len(all))
	return all[start:min(start+max(limit, 0), len(all))]
}
