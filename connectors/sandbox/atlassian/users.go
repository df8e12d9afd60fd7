package atlassian

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// maxPage is the most resources in one list answer.
const maxPage = 100

func (d *Directory) getUser(c *site.Call) {
	sel, no := readSelection(c)
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	id := c.Vars["userId"]
	d.mu.RLock()
	u := d.users[id].At(c.AsOf)
	if u == nil {
		d.mu.RUnlock()
		d.writeRefusal(c.W, c.R, notFound("USER", id))
		return
	}
	out := d.renderUser(u, c.Base)
	d.mu.RUnlock()
	writeJSON(c.W, http.StatusOK, scimType, sel.apply(out))
}

func (d *Directory) listUsers(c *site.Call) {
	sel, no := readSelection(c)
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	page, no := readPage(c)
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	var filter *equality
	if c.Query().Has("filter") {
		f, err := parseFilter(c.Query().Get("filter"), "userName", "externalId")
		if err != nil {
			d.writeRefusal(c.W, c.R, refuse(http.StatusBadRequest, "invalidFilter", "Invalid filter: "+err.Error()))
			return
		}
		filter = &f
	}
	d.mu.RLock()
	ids := d.findUsers(filter, c)
	var resources []any
	for _, id := range window(ids, page.start-1, page.count) {
		resources = append(resources, sel.apply(d.renderUser(d.users[id].At(c.AsOf), c.Base)))
	}
	d.mu.RUnlock()
	writeJSON(c.W, http.StatusOK, scimType, newList(len(ids), page, resources))
}

// findUsers gives the ids that a list shows. The caller holds the lock.
func (d *Directory) findUsers(f *equality, c *site.Call) []string {
	var ids []string
	switch {
	case f == nil:
		ids = d.order
	case f.attr == "username":
		if id, ok := d.byUserName[strings.ToLower(f.text)]; ok {
			ids = []string{id}
		}
	default:
		ids = d.byExternal[f.text]
	}
	if c.AsOf.IsZero() {
		return ids
	}
	var then []string
	for _, id := range ids {
		u := d.users[id].At(c.AsOf)
		if u != nil && (f == nil || f.attr != "username" || strings.EqualFold(u.Attr.UserName, f.text)) {
			then = append(then, id)
		}
	}
	return then
}

func (d *Directory) createUser(c *site.Call) {
	sel, no := readSelection(c)
	var a attrs
	if no == nil {
		a, no = readUser(c.R)
	}
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	d.mu.Lock()
	out, no := d.insertUser(c, a)
	d.mu.Unlock()
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	c.W.Header().Set("Location", out.Meta.Location)
	writeJSON(c.W, http.StatusCreated, scimType, sel.apply(out))
}

// insertUser makes a record, linked to the account of a deleted one with the same e-mail. The caller holds the lock.
func (d *Directory) insertUser(c *site.Call, a attrs) (*userOut, *refusal) {
	if no := d.checkUnique("", a); no != nil {
		return nil, no
	}
	if no := d.checkDomain(a.primaryEmail()); no != nil {
		return nil, no
	}
	u := user{Serial: d.serial + 1, Created: c.Now.UnixMicro(), Modified: c.Now.UnixMicro(), Attr: a}
	if old, ok := d.goneMail[strings.ToLower(a.primaryEmail())]; ok {
		g := d.gone[old]
		u.AccountID, u.Previous = g.AccountID, append(slices.Clone(g.Previous), g.ID)
	} else {
		u.AccountID = d.derive(func(n string) string {
			return "712020:" + site.DeriveUUID(d.seed, Name, "account", strings.ToLower(a.primaryEmail()), n)
		}, func(id string) bool { _, taken := d.byAccount[id]; return taken })
	}
	u.ID = d.derive(func(n string) string {
		return site.DeriveUUID(d.seed, Name, "user", strings.ToLower(a.UserName), n)
	}, func(id string) bool { _, taken := d.used[id]; return taken })
	if no := d.save(changeUser, u); no != nil {
		return nil, no
	}
	return d.renderUser(&u, c.Base), nil
}

// derive finds the first identifier that isn't taken.
func (d *Directory) derive(make func(n string) string, taken func(string) bool) string {
	for n := 0; ; n++ {
		if id := make(strconv.Itoa(n)); !taken(id) {
			return id
		}
	}
}

// checkUnique refuses a user name or primary e-mail that another account has.
func (d *Directory) checkUnique(self string, a attrs) *refusal {
	if id, ok := d.byUserName[strings.ToLower(a.UserName)]; ok && id != self {
		return conflict("USER", "userName", a.UserName)
	}
	email := strings.ToLower(a.primaryEmail())
	if id, ok := d.byEmail[email]; ok && id != self {
		return conflict("USER", "email", a.primaryEmail())
	}
	if _, ok := d.goneMail[email]; ok && self != "" { // a deactivated account keeps its e-mail
		return conflict("USER", "email", a.primaryEmail())
	}
	return nil
}

// checkDomain refuses an e-mail outside the verified domains.
func (d *Directory) checkDomain(email string) *refusal {
	_, domain, _ := strings.Cut(strings.ToLower(email), "@")
	if d.opt.AllowUnverified || slices.Contains(d.opt.VerifiedDomains, domain) {
		return nil
	}
	return invalid("The email address must be on a domain that the organization has verified: " + clip(domain))
}

func (d *Directory) save(kind string, data any) *refusal {
	change, err := site.NewChange(kind, data)
	if err == nil {
		err = d.commit([]site.Change{change})
	}
	return unavailable(err)
}

// unavailable answers a journal that can't be written: nothing was done.
func unavailable(err error) *refusal {
	if err == nil {
		return nil
	}
	return refuse(http.StatusServiceUnavailable, "", "The change could not be stored: "+err.Error())
}

func (d *Directory) replaceUser(c *site.Call) {
	a, no := readUser(c.R)
	d.changeUser(c, no, func(old attrs) (attrs, *refusal) {
		a.ExternalID = old.ExternalID // read-only after creation; PUT ignores it
		return a, nil
	})
}

func (d *Directory) modifyUser(c *site.Call) {
	ops, no := readPatch(c.R)
	d.changeUser(c, no, func(old attrs) (attrs, *refusal) { return patchUser(old, ops) })
}

// changeUser stores what edit makes of a record, unless the body was refused already.
func (d *Directory) changeUser(c *site.Call, no *refusal, edit func(attrs) (attrs, *refusal)) {
	var sel selection
	if no == nil {
		sel, no = readSelection(c)
	}
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	d.mu.Lock()
	out, no := d.changeUserLocked(c, edit)
	d.mu.Unlock()
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	writeJSON(c.W, http.StatusOK, scimType, sel.apply(out))
}

func (d *Directory) changeUserLocked(c *site.Call, edit func(attrs) (attrs, *refusal)) (*userOut, *refusal) {
	id := c.Vars["userId"]
	old := d.users[id].Current()
	if old == nil {
		return nil, notFound("USER", id)
	}
	a, no := edit(old.Attr)
	if no != nil {
		return nil, no
	}
	if no := d.checkUnique(id, a); no != nil {
		return nil, no
	}
	if !strings.EqualFold(a.primaryEmail(), old.email()) {
		if no := d.checkDomain(a.primaryEmail()); no != nil {
			return nil, no
		}
	}
	u := *old
	u.Attr, u.Modified = a, c.Now.UnixMicro()
	if no := d.save(changeUser, u); no != nil {
		return nil, no
	}
	return d.renderUser(&u, c.Base), nil
}

func (d *Directory) deleteUser(c *site.Call) {
	id := c.Vars["userId"]
	d.mu.Lock()
	no := notFound("USER", id)
	if d.users[id].Current() != nil {
		no = d.save(changeUserDelete, deleteRecord{id, c.Now.UnixMicro()})
	}
	d.mu.Unlock()
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	c.W.WriteHeader(http.StatusNoContent)
}
