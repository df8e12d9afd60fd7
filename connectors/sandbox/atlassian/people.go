package atlassian

import (
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// ByAccountID finds the licensed account with this Atlassian account id, deactivated ones too.
func (d *Directory) ByAccountID(accountID string) (site.Person, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := d.byAccount[accountID]
	if !ok {
		return site.Person{}, false
	}
	return d.person(id)
}

// ByEmail finds the licensed account with this e-mail, deactivated ones too.
func (d *Directory) ByEmail(email string) (site.Person, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	email = strings.ToLower(email)
	if id, ok := d.byEmail[email]; ok {
		return d.person(id)
	}
	if id, ok := d.goneMail[email]; ok {
		return d.person(id)
	}
	return site.Person{}, false
}

// ByPrefix finds at most limit active accounts whose e-mail, or a word of whose name, begins with prefix.
func (d *Directory) ByPrefix(prefix string, limit int) []site.Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	ids := d.search.Search(prefix, limit, func(id string) bool {
		u := d.users[id].Current()
		return u != nil && u.Attr.Active && u.beginsWith(prefix)
	})
	people := make([]site.Person, 0, len(ids))
	for _, id := range ids {
		if p, ok := d.person(id); ok {
			people = append(people, p)
		}
	}
	return people
}

// person gives the account behind a record. The caller holds the lock.
func (d *Directory) person(id string) (site.Person, bool) {
	u := d.users[id].Current()
	if u == nil {
		if u = d.gone[id]; u == nil {
			return site.Person{}, false
		}
	}
	return site.Person{
		AccountID: u.AccountID, Email: u.email(), DisplayName: u.Attr.DisplayName, TimeZone: u.Attr.Timezone, Active: u.Attr.Active,
	}, true
}

// UserRow is a record on the pages.
type UserRow struct {
	ID, UserName, DisplayName, Email, Department, Title, ExternalID string
	Active                                                          bool
	Groups                                                          []string
}

// GroupRow is a group on the pages.
type GroupRow struct {
	ID, Name string
	Members  int
}

// Users gives one page of the records, those that match query if it isn't empty, and how many there are.
func (d *Directory) Users(query string, start, limit int) (rows []UserRow, total int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	ids := d.order
	if query != "" {
		ids = d.search.Search(query, pageSearchLimit, func(id string) bool {
			u := d.users[id].Current()
			return u != nil && (u.beginsWith(query) || hasPrefixFold(u.Attr.UserName, query))
		})
	}
	for _, id := range window(ids, start, limit) {
		rows = append(rows, d.userRow(id))
	}
	return rows, len(ids)
}

// Groups gives one page of the groups, in the order in which they were made, and how many there are.
func (d *Directory) Groups(start, limit int) (rows []GroupRow, total int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, id := range window(d.groupOrder, start, limit) {
		g := d.groups[id]
		rows = append(rows, GroupRow{g.ID, g.DisplayName, g.members.Len()})
	}
	return rows, len(d.groupOrder)
}

// Members gives one page of a group's members.
func (d *Directory) Members(groupID string, start, limit int) (g GroupRow, rows []UserRow, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	x := d.groups[groupID]
	if x == nil {
		return GroupRow{}, nil, false
	}
	for _, id := range window(x.members.IDs(time.Time{}), start, limit) {
		rows = append(rows, d.userRow(id))
	}
	return GroupRow{x.ID, x.DisplayName, x.members.Len()}, rows, true
}

// pageSearchLimit bounds a search on the pages.
const pageSearchLimit = 5000

func (d *Directory) userRow(id string) UserRow {
	u := d.users[id].Current()
	r := UserRow{
		ID: u.ID, UserName: u.Attr.UserName, DisplayName: u.Attr.DisplayName, Email: u.email(), Title: u.Attr.Title,
		Department: u.Attr.Department, ExternalID: u.Attr.ExternalID, Active: u.Attr.Active,
	}
	for _, g := range d.groupsOf(id) {
		r.Groups = append(r.Groups, g.DisplayName)
	}
	return r
}

func window[T any](all []T, start, limit int) []T {
	start = min(max(start, 0), len(all))
	return all[start:min(start+max(limit, 0), len(all))]
}

func (u *user) beginsWith(prefix string) bool {
	return hasPrefixFold(u.email(), prefix) || site.HasWordPrefix(u.Attr.DisplayName, prefix)
}

func hasPrefixFold(s, prefix string) bool {
	return strings.HasPrefix(strings.ToLower(s), strings.ToLower(prefix))
}
