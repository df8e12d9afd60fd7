package atlassian

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// maxMembers is the vendor's hard limit of users in a group.
const maxMembers = 290_000

// groupBody is the body of POST and PUT.
type groupBody struct {
	Schemas     []string    `json:"schemas"`
	DisplayName string      `json:"displayName"`
	ExternalID  string      `json:"externalId"`
	Members     []memberRef `json:"members"`
}

type memberRef struct {
	Value string `json:"value"`
}

func readGroup(r *http.Request) (groupBody, *refusal) {
	var b groupBody
	if no := readBody(r, &b); no != nil {
		return b, no
	}
	if no := checkSchemas(b.Schemas, schemaGroup); no != nil {
		return b, no
	}
	if strings.TrimSpace(b.DisplayName) == "" {
		return b, invalid("displayName is required")
	}
	if len(b.DisplayName) > maxString || len(b.ExternalID) > maxString {
		return b, invalid("An attribute is longer than the service takes")
	}
	return b, nil
}

func refIDs(refs []memberRef) []string {
	ids := make([]string, 0, len(refs))
	for _, m := range refs {
		ids = append(ids, m.Value)
	}
	return ids
}

func (d *Directory) getGroup(c *site.Call) {
	d.mu.RLock()
	g := d.groups[c.Vars["id"]]
	if g == nil || hidden(g, c) {
		d.mu.RUnlock()
		d.writeRefusal(c.W, c.R, notFound("GROUP", c.Vars["id"]))
		return
	}
	out := d.renderGroup(g, c)
	d.mu.RUnlock()
	writeJSON(c.W, http.StatusOK, scimType, out)
}

// hidden says whether a stale read doesn't see the group yet.
func hidden(g *group, c *site.Call) bool {
	return !c.AsOf.IsZero() && time.UnixMicro(g.Created).After(c.AsOf)
}

func (d *Directory) listGroups(c *site.Call) {
	page, no := readPage(c)
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	d.mu.RLock()
	ids := d.groupOrder
	if c.Query().Has("filter") {
		f, err := parseFilter(c.Query().Get("filter"), "displayName")
		if err != nil {
			d.mu.RUnlock()
			d.writeRefusal(c.W, c.R, refuse(http.StatusBadRequest, "invalidFilter", "Invalid filter: "+err.Error()))
			return
		}
		ids = nil
		if id, ok := d.byName[strings.ToLower(f.text)]; ok {
			ids = []string{id}
		}
	}
	if !c.AsOf.IsZero() {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return hidden(d.groups[id], c) })
	}
	var resources []any
	for _, id := range window(ids, page.start-1, page.count) {
		resources = append(resources, d.renderGroup(d.groups[id], c))
	}
	d.mu.RUnlock()
	writeJSON(c.W, http.StatusOK, scimType, newList(len(ids), page, resources))
}

func (d *Directory) createGroup(c *site.Call) {
	b, no := readGroup(c.R)
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	d.mu.Lock()
	out, no := d.insertGroup(c, b)
	d.mu.Unlock()
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	c.W.Header().Set("Location", out.Meta.Location)
	writeJSON(c.W, http.StatusCreated, scimType, out)
}

// insertGroup makes a group. The caller holds the lock.
func (d *Directory) insertGroup(c *site.Call, b groupBody) (*groupOut, *refusal) {
	if _, taken := d.byName[strings.ToLower(b.DisplayName)]; taken {
		return nil, conflict("GROUP", "displayName", b.DisplayName)
	}
	ids := refIDs(b.Members)
	if missing, ok := d.missing(ids); ok {
		return nil, invalid("The member " + clip(missing) + " does not exist")
	}
	now := c.Now.UnixMicro()
	rec := groupRecord{DisplayName: b.DisplayName, ExternalID: b.ExternalID, Serial: d.serial + 1, Created: now, Modified: now}
	rec.ID = d.derive(func(n string) string {
		return site.DeriveUUID(d.seed, Name, "group", b.DisplayName, stamp(now), n)
	}, func(id string) bool { _, taken := d.used[id]; return taken })
	no := d.saveGroup(c, &rec, memberRecord{Group: rec.ID, Add: ids, At: now})
	if no != nil {
		return nil, no
	}
	return d.renderGroup(d.groups[rec.ID], &site.Call{Base: c.Base}), nil
}

// missing finds an id that is no user's.
func (d *Directory) missing(ids []string) (string, bool) {
	for _, id := range ids {
		if d.users[id].Current() == nil {
			return id, true
		}
	}
	return "", false
}

// saveGroup stores a group and a change of its members in one journal line. A fault may leave one new member out.
func (d *Directory) saveGroup(c *site.Call, rec *groupRecord, m memberRecord) *refusal {
	g := d.groups[m.Group]
	fresh := m.Add[:0:0]
	seen := map[string]bool{}
	for _, id := range m.Add {
		if !seen[id] && (g == nil || !g.members.Has(id)) {
			fresh = append(fresh, id)
		}
		seen[id] = true
	}
	m.Add = fresh
	if g != nil && g.members.Len()+len(m.Add)-len(m.Remove) > maxMembers || len(m.Add) > maxMembers {
		return invalid("A group takes at most 290000 users")
	}
	if len(m.Add) > 0 && c.Drop != nil {
		if i := c.Drop(len(m.Add)); i >= 0 {
			m.Add = slices.Delete(m.Add, i, i+1)
		}
	}
	var changes []site.Change
	if rec != nil {
		change, err := site.NewChange(changeGroup, rec)
		if err != nil {
			return unavailable(err)
		}
		changes = append(changes, change)
	}
	if len(m.Add)+len(m.Remove) > 0 {
		change, err := site.NewChange(changeMembers, m)
		if err != nil {
			return unavailable(err)
		}
		changes = append(changes, change)
	}
	if len(changes) == 0 {
		return nil
	}
	return unavailable(d.commit(changes))
}

func (d *Directory) replaceGroup(c *site.Call) {
	b, no := readGroup(c.R)
	d.changeGroup(c, no, true, func(g *group) ([]string, *refusal) {
		if b.DisplayName != g.DisplayName {
			return nil, refuse(http.StatusBadRequest, "mutability", "displayName is immutable: a group cannot be renamed")
		}
		ids := refIDs(b.Members)
		if missing, ok := d.missing(ids); ok {
			return nil, invalid("The member " + clip(missing) + " does not exist")
		}
		return ids, nil
	})
}

func (d *Directory) modifyGroup(c *site.Call) {
	ops, no := readPatch(c.R)
	d.changeGroup(c, no, false, func(g *group) ([]string, *refusal) { return d.patchGroup(g, ops) })
}

// changeGroup brings a group to the members that edit wants, unless the body was refused already.
func (d *Directory) changeGroup(c *site.Call, no *refusal, java bool, edit func(*group) ([]string, *refusal)) {
	var out *groupOut
	if no == nil {
		d.mu.Lock()
		out, no = d.changeGroupLocked(c, edit)
		d.mu.Unlock()
	}
	if no != nil {
		if java {
			no = no.asJava()
		}
		d.writeRefusal(c.W, c.R, no)
		return
	}
	writeJSON(c.W, http.StatusOK, scimType, out)
}

func (d *Directory) changeGroupLocked(c *site.Call, edit func(*group) ([]string, *refusal)) (*groupOut, *refusal) {
	g := d.groups[c.Vars["id"]]
	if g == nil {
		return nil, notFound("GROUP", c.Vars["id"])
	}
	want, no := edit(g)
	if no != nil {
		return nil, no
	}
	m := memberRecord{Group: g.ID, At: c.Now.UnixMicro()}
	keep := make(map[string]bool, len(want))
	for _, id := range want {
		if keep[id] = true; !g.members.Has(id) {
			m.Add = append(m.Add, id)
		}
	}
	for _, id := range g.members.IDs(time.Time{}) {
		if !keep[id] {
			m.Remove = append(m.Remove, id)
		}
	}
	if no := d.saveGroup(c, nil, m); no != nil {
		return nil, no
	}
	return d.renderGroup(g, &site.Call{Base: c.Base}), nil
}

// patchGroup gives the members that a group has after the operations. All or nothing.
func (d *Directory) patchGroup(g *group, ops []patchOperation) ([]string, *refusal) {
	ids := g.members.IDs(time.Time{})
	has := make(map[string]bool, len(ids))
	for _, id := range ids {
		has[id] = true
	}
	for _, op := range ops {
		if op.Path == "" {
			var obj map[string]json.RawMessage
			if json.Unmarshal(op.Value, &obj) != nil || obj == nil {
				return nil, invalid("Without a path the value must be an object")
			}
			for k, raw := range obj {
				if strings.EqualFold(k, "schemas") || strings.EqualFold(k, "id") { // clients repeat them; the vendor ignores id
					continue
				}
				if no := d.patchGroupPath(g, op.Op, k, raw, &ids, has); no != nil {
					return nil, no
				}
			}
			continue
		}
		if no := d.patchGroupPath(g, op.Op, op.Path, op.Value, &ids, has); no != nil {
			return nil, no
		}
	}
	return slices.DeleteFunc(ids, func(id string) bool { return !has[id] }), nil
}

// patchGroupPath applies one operation with a path to ids, of which only those in has count.
func (d *Directory) patchGroupPath(g *group, op, path string, raw json.RawMessage, ids *[]string, has map[string]bool) *refusal {
	p, err := parsePath(path)
	if err != nil {
		return refuse(http.StatusBadRequest, "invalidPath", "Invalid path "+clip(path)+": "+err.Error())
	}
	if p.extension || p.sub != "" && p.attr != "members" {
		return refuse(http.StatusBadRequest, "invalidPath", "Unknown path "+clip(path))
	}
	switch p.attr {
	case "displayname":
		var name string
		if op != "remove" && json.Unmarshal(raw, &name) == nil && name == g.DisplayName {
			return nil
		}
		return refuse(http.StatusBadRequest, "mutability", "displayName is immutable: a group cannot be renamed")
	case "externalid", "id", "meta":
		return refuse(http.StatusBadRequest, "mutability", "Attribute "+p.attr+" is read-only")
	case "members":
	default:
		return refuse(http.StatusBadRequest, "invalidPath", "Unknown attribute "+clip(p.attr))
	}
	if p.match != nil {
		if op != "remove" || p.match.attr != "value" || p.match.flag != nil || p.sub != "" {
			return refuse(http.StatusBadRequest, "invalidPath", `Members are chosen only by members[value eq "id"], to remove them`)
		}
		delete(has, p.match.text)
		return nil
	}
	if p.sub != "" {
		return refuse(http.StatusBadRequest, "invalidPath", "Unknown path "+clip(path))
	}
	if op == "remove" && absent(raw) {
		clear(has)
		return nil
	}
	refs, ok := decodeOneOrMany[memberRef](raw)
	if !ok {
		return invalid("members must be a list of objects with a value")
	}
	if op == "remove" { // only those named (an empty list names none)
		for _, m := range refs {
			delete(has, m.Value)
		}
		return nil
	}
	if missing, ok := d.missing(refIDs(refs)); ok {
		return notFound("USER", clip(missing))
	}
	if op == "replace" {
		clear(has)
	}
	known := make(map[string]bool, len(*ids))
	for _, id := range *ids {
		known[id] = true
	}
	for _, m := range refs {
		if has[m.Value] = true; !known[m.Value] {
			known[m.Value] = true
			*ids = append(*ids, m.Value)
		}
	}
	return nil
}

func (d *Directory) deleteGroup(c *site.Call) {
	id := c.Vars["id"]
	d.mu.Lock()
	no := notFound("GROUP", id)
	if d.groups[id] != nil {
		no = d.save(changeGroupDelete, deleteRecord{id, c.Now.UnixMicro()})
	}
	d.mu.Unlock()
	if no != nil {
		d.writeRefusal(c.W, c.R, no)
		return
	}
	c.W.WriteHeader(http.StatusNoContent)
}
