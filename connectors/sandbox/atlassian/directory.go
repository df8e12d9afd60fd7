package atlassian

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Name is the product's name and path prefix.
const Name = "atlassian"

// Options configure the directory.
type Options struct {
	DirectoryID     string    // default "11111111-1111-4111-8111-111111111111"
	Token           string    // bearer token; empty: every call is refused
	TokenExpires    time.Time // zero: never
	VerifiedDomains []string  // exact domains; a subdomain is verified on its own
	AllowUnverified bool      // accounts outside the verified domains are taken too (the vendor's tracker, ACCESS-648)
	Rate            float64   // requests a second; the vendor publishes none; default 50
	Burst           int       // default 100
}

// Log takes what a request changed, durably, before it is answered.
type Log func(changes []site.Change) error

// Directory is the stand-in's state. All methods may be called at once from many goroutines.
type Directory struct {
	opt   Options
	seed  uint64
	log   Log
	table *site.Table

	mu         sync.RWMutex
	users      map[string]*site.Versions[user]
	order      []string            // ids of users, by serial
	gone       map[string]*user    // deleted SCIM records by their last id; the accounts live on, deactivated
	goneMail   map[string]string   // lower-case e-mail -> key of gone
	byUserName map[string]string   // lower case -> id
	byEmail    map[string]string   // lower case -> id
	byExternal map[string][]string // externalId -> ids; the vendor leaves its uniqueness to the client
	byAccount  map[string]string   // account id -> id, also of gone
	used       map[string]struct{} // every id ever given, so that none comes back for another resource
	groups     map[string]*group
	groupOrder []string
	byName     map[string]string              // lower-case displayName -> group id
	memberOf   map[string]map[string]struct{} // user id -> group ids
	serial     int64
	search     site.PrefixIndex
}

// user is one version of a SCIM record; it is never changed once stored.
type user struct {
	ID        string   `json:"id"`
	AccountID string   `json:"account_id"`
	Serial    int64    `json:"serial"`
	Created   int64    `json:"created"` // µs UTC
	Modified  int64    `json:"modified"`
	Previous  []string `json:"previous,omitempty"` // ids of deleted records of the same account
	Attr      attrs    `json:"attr"`
}

func (u *user) email() string { return u.Attr.primaryEmail() }

type groupRecord struct {
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	ExternalID  string `json:"external_id,omitempty"`
	Serial      int64  `json:"serial"`
	Created     int64  `json:"created"`
	Modified    int64  `json:"modified"`
}

type group struct {
	groupRecord
	members site.Members
}

// memberRecord changes a group's members.
type memberRecord struct {
	Group  string   `json:"group"`
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
	At     int64    `json:"at"`
}

type deleteRecord struct {
	ID string `json:"id"`
	At int64  `json:"at"`
}

// The kinds of journalled change.
const (
	changeUser        = "user"
	changeUserGone    = "user.gone" // a deleted record, in a snapshot
	changeUserDelete  = "user.delete"
	changeGroup       = "group"
	changeGroupDelete = "group.delete"
	changeMembers     = "members"
)

// New makes an empty directory.
func New(opt Options, seed uint64, log Log) *Directory {
	opt.DirectoryID = cmp.Or(opt.DirectoryID, "11111111-1111-4111-8111-111111111111")
	if opt.Rate <= 0 {
		opt.Rate = 50
	}
	if opt.Burst <= 0 {
		opt.Burst = 100
	}
	opt.VerifiedDomains = slices.Clone(opt.VerifiedDomains)
	for i, d := range opt.VerifiedDomains {
		opt.VerifiedDomains[i] = strings.ToLower(strings.TrimSpace(d))
	}
	d := &Directory{opt: opt, seed: seed, log: log}
	d.clear()
	d.table = site.NewTable(d.routes())
	return d
}

// Name gives the product's name.
func (d *Directory) Name() string { return Name }

// Table gives the product's operations.
func (d *Directory) Table() *site.Table { return d.table }

func (d *Directory) clear() {
	d.users, d.order = map[string]*site.Versions[user]{}, nil
	d.gone, d.goneMail = map[string]*user{}, map[string]string{}
	d.byUserName, d.byEmail, d.byExternal = map[string]string{}, map[string]string{}, map[string][]string{}
	d.byAccount, d.used = map[string]string{}, map[string]struct{}{}
	d.groups, d.groupOrder, d.byName = map[string]*group{}, nil, map[string]string{}
	d.memberOf, d.serial = map[string]map[string]struct{}{}, 0
	d.search.Reset()
}

// Lock keeps all requests out, for a reset of several products at once.
func (d *Directory) Lock() { d.mu.Lock() }

// Unlock lets requests in again.
func (d *Directory) Unlock() { d.mu.Unlock() }

// ResetLocked empties the directory. The caller holds Lock.
func (d *Directory) ResetLocked() { d.clear() }

// commit journals the changes and takes them into the state. The caller holds the lock.
func (d *Directory) commit(changes []site.Change) error {
	if err := d.log(changes); err != nil {
		return err
	}
	for _, c := range changes {
		if err := d.apply(c); err != nil {
			return err
		}
	}
	return nil
}

// Apply replays one journalled change.
func (d *Directory) Apply(c site.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.apply(c)
}

func (d *Directory) apply(c site.Change) error {
	switch c.Kind {
	case changeUser, changeUserGone:
		var u user
		if err := json.Unmarshal(c.Data, &u); err != nil {
			return err
		}
		if c.Kind == changeUser {
			d.putUser(&u)
		} else {
			d.bury(&u)
		}
	case changeUserDelete:
		var r deleteRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		return d.dropUser(r)
	case changeGroup:
		var r groupRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		g := d.groups[r.ID]
		if g == nil {
			g = &group{}
			d.groups[r.ID] = g
			d.groupOrder = append(d.groupOrder, r.ID)
			d.byName[strings.ToLower(r.DisplayName)] = r.ID
		}
		g.groupRecord = r
		d.used[r.ID] = struct{}{}
		d.serial = max(d.serial, r.Serial)
	case changeGroupDelete:
		var r deleteRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		return d.dropGroup(r)
	case changeMembers:
		var r memberRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		return d.changeMembers(r)
	default:
		return fmt.Errorf("atlassian: unknown change %q: the journal is of a newer version", c.Kind)
	}
	return nil
}

// putUser stores a new version of a record.
func (d *Directory) putUser(u *user) {
	at := time.UnixMicro(u.Modified)
	v := d.users[u.ID]
	old := v.Current()
	if old != nil {
		delete(d.byUserName, strings.ToLower(old.Attr.UserName))
		delete(d.byEmail, strings.ToLower(old.email()))
		d.unindexExternal(old)
	} else {
		v = &site.Versions[user]{}
		d.users[u.ID] = v
		d.order = append(d.order, u.ID)
		for _, p := range u.Previous { // the deleted record whose account this one takes over
			if g, ok := d.gone[p]; ok {
				delete(d.goneMail, strings.ToLower(g.email()))
				delete(d.gone, p)
			}
		}
	}
	v.Set(at, u)
	d.byUserName[strings.ToLower(u.Attr.UserName)] = u.ID
	d.byEmail[strings.ToLower(u.email())] = u.ID
	if u.Attr.ExternalID != "" {
		d.byExternal[u.Attr.ExternalID] = append(d.byExternal[u.Attr.ExternalID], u.ID)
	}
	d.remember(u)
	if old == nil || old.email() != u.email() || old.Attr.UserName != u.Attr.UserName || old.Attr.DisplayName != u.Attr.DisplayName {
		d.search.Add(u.email(), u.ID)
		d.search.Add(u.Attr.UserName, u.ID)
		d.search.AddWords(u.Attr.DisplayName, u.ID)
	}
}

func (d *Directory) remember(u *user) {
	d.serial = max(d.serial, u.Serial)
	d.byAccount[u.AccountID] = u.ID
	d.used[u.ID] = struct{}{}
	for _, p := range u.Previous {
		d.used[p] = struct{}{}
	}
}

func (d *Directory) unindexExternal(u *user) {
	key := u.Attr.ExternalID
	if key == "" {
		return
	}
	ids := slices.DeleteFunc(slices.Clone(d.byExternal[key]), func(id string) bool { return id == u.ID })
	if len(ids) == 0 {
		delete(d.byExternal, key)
	} else {
		d.byExternal[key] = ids
	}
}

func (d *Directory) dropUser(r deleteRecord) error {
	u := d.users[r.ID].Current()
	if u == nil {
		return fmt.Errorf("atlassian: delete of unknown user %s", r.ID)
	}
	at := time.UnixMicro(r.At)
	for gid := range d.memberOf[r.ID] {
		d.groups[gid].members.Remove(at, r.ID)
		d.groups[gid].Modified = r.At
	}
	delete(d.memberOf, r.ID)
	delete(d.byUserName, strings.ToLower(u.Attr.UserName))
	delete(d.byEmail, strings.ToLower(u.email()))
	d.unindexExternal(u)
	delete(d.users, r.ID)
	i, ok := slices.BinarySearchFunc(d.order, u.Serial, func(id string, serial int64) int {
		if id == r.ID {
			return 0
		}
		return cmp.Compare(d.users[id].Current().Serial, serial)
	})
	if !ok {
		return errors.New("atlassian: the order of users is broken")
	}
	d.order = slices.Delete(d.order, i, i+1)
	buried := *u
	buried.Modified, buried.Attr.Active = r.At, false
	d.bury(&buried)
	return nil
}

// bury keeps the account of a deleted record: it exists on, deactivated, and is linked again by its e-mail.
func (d *Directory) bury(u *user) {
	d.gone[u.ID] = u
	d.goneMail[strings.ToLower(u.email())] = u.ID
	d.remember(u)
}

func (d *Directory) dropGroup(r deleteRecord) error {
	g := d.groups[r.ID]
	if g == nil {
		return fmt.Errorf("atlassian: delete of unknown group %s", r.ID)
	}
	for _, id := range g.members.IDs(time.Time{}) {
		delete(d.memberOf[id], r.ID)
	}
	delete(d.byName, strings.ToLower(g.DisplayName))
	delete(d.groups, r.ID)
	d.groupOrder = slices.DeleteFunc(d.groupOrder, func(id string) bool { return id == r.ID })
	return nil
}

func (d *Directory) changeMembers(r memberRecord) error {
	g := d.groups[r.Group]
	if g == nil {
		return fmt.Errorf("atlassian: members of unknown group %s", r.Group)
	}
	at := time.UnixMicro(r.At)
	for _, id := range g.members.Remove(at, r.Remove...) {
		delete(d.memberOf[id], r.Group)
	}
	for _, id := range g.members.Add(at, r.Add...) {
		if d.memberOf[id] == nil {
			d.memberOf[id] = map[string]struct{}{}
		}
		d.memberOf[id][r.Group] = struct{}{}
	}
	g.Modified = r.At
	return nil
}
