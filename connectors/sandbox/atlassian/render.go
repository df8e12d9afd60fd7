package atlassian

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// meta is a resource's metadata. The vendor's schema lists the resource types in capitals ("USER", "GROUP").
type meta struct {
	ResourceType string `json:"resourceType"`
	Location     string `json:"location"`
	LastModified string `json:"lastModified,omitempty"`
	Created      string `json:"created,omitempty"`
}

// reference points from a group to a member and back.
type reference struct {
	Type    string `json:"type"`
	Value   string `json:"value"`
	Display string `json:"display"`
	Ref     string `json:"$ref"`
}

type userOut struct {
	Schemas []string `json:"schemas"`
	ID      string   `json:"id"`
	attrs
	Meta      meta        `json:"meta"`
	Groups    []reference `json:"groups"`
	Atlassian struct {
		AccountID string `json:"atlassianAccountId"`
	} `json:"urn:scim:schemas:extension:atlassian-external:1.0"`
}

type groupOut struct {
	Schemas     []string    `json:"schemas"`
	ID          string      `json:"id"`
	ExternalID  string      `json:"externalId,omitempty"`
	DisplayName string      `json:"displayName"`
	Members     []reference `json:"members"`
	Meta        meta        `json:"meta"`
}

// address gives a resource's own address.
func (d *Directory) address(base, kind, id string) string {
	return base + "/" + Name + "/scim/directory/" + d.opt.DirectoryID + "/" + kind + "/" + id
}

func stamp(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}

// groupsOf lists the groups of a user, by name. The caller holds the lock.
func (d *Directory) groupsOf(userID string) []*group {
	groups := make([]*group, 0, len(d.memberOf[userID]))
	for gid := range d.memberOf[userID] {
		groups = append(groups, d.groups[gid])
	}
	slices.SortFunc(groups, func(a, b *group) int { return cmp.Compare(a.DisplayName, b.DisplayName) })
	return groups
}

// renderUser makes the answer. The caller holds the lock.
func (d *Directory) renderUser(u *user, base string) *userOut {
	out := &userOut{Schemas: []string{schemaUser}, ID: u.ID, attrs: u.Attr, Groups: []reference{}}
	if u.Attr.Enterprise != nil {
		out.Schemas = append(out.Schemas, schemaEnterprise)
	}
	out.Schemas = append(out.Schemas, schemaAtlassian)
	out.Meta = meta{"USER", d.address(base, "Users", u.ID), stamp(u.Modified), stamp(u.Created)}
	out.Atlassian.AccountID = u.AccountID
	for _, g := range d.groupsOf(u.ID) {
		out.Groups = append(out.Groups, reference{"Group", g.ID, g.DisplayName, d.address(base, "Groups", g.ID)})
	}
	return out
}

// renderGroup makes the answer, whole. The caller holds the lock.
func (d *Directory) renderGroup(g *group, c *site.Call) *groupOut {
	ids := g.members.IDs(c.AsOf)
	out := &groupOut{
		Schemas: []string{schemaGroup}, ID: g.ID, ExternalID: g.ExternalID, DisplayName: g.DisplayName,
		Members: make([]reference, 0, len(ids)),
		Meta:    meta{"GROUP", d.address(c.Base, "Groups", g.ID), stamp(g.Modified), stamp(g.Created)},
	}
	for _, id := range ids {
		if u := d.users[id].Current(); u != nil {
			out.Members = append(out.Members, reference{"User", id, u.Attr.UserName, d.address(c.Base, "Users", id)})
		}
	}
	return out
}

type listOut struct {
	Schemas      []string `json:"schemas"`
	TotalResults int      `json:"totalResults"`
	StartIndex   int      `json:"startIndex"`
	ItemsPerPage int      `json:"itemsPerPage"`
	Resources    []any    `json:"Resources"`
}

func newList(total int, p page, resources []any) listOut {
	if resources == nil {
		resources = []any{}
	}
	return listOut{[]string{schemaList}, total, p.start, len(resources), resources}
}

// page is a list's window: start is 1-based.
type page struct{ start, count int }

// readPage reads startIndex and count; both are bounded, not refused, where they are out of range (RFC 7644, 3.4.2.4).
func readPage(c *site.Call) (page, *refusal) {
	p := page{1, maxPage}
	for _, v := range []struct {
		name string
		into *int
	}{{"startIndex", &p.start}, {"count", &p.count}} {
		if s := c.Query().Get(v.name); s != "" {
			n, err := strconv.ParseInt(s, 10, 32)
			if err != nil {
				return page{}, invalid(v.name + " must be an integer")
			}
			*v.into = int(n)
		}
	}
	p.start = max(p.start, 1)
	p.count = min(max(p.count, 0), maxPage)
	return p, nil
}

// selection is attributes or excludedAttributes.
type selection struct {
	only, without []attrPath
}

func readSelection(c *site.Call) (selection, *refusal) {
	q := c.Query()
	if q.Get("attributes") != "" && q.Get("excludedAttributes") != "" {
		return selection{}, invalid("attributes and excludedAttributes are mutually exclusive")
	}
	var s selection
	for _, v := range []struct {
		name string
		into *[]attrPath
	}{{"attributes", &s.only}, {"excludedAttributes", &s.without}} {
		if q.Get(v.name) == "" {
			continue
		}
		for part := range strings.SplitSeq(q.Get(v.name), ",") {
			part = strings.TrimSpace(part)
			if strings.EqualFold(part, schemaAtlassian) {
				*v.into = append(*v.into, attrPath{attr: strings.ToLower(schemaAtlassian)})
				continue
			}
			p, err := parsePath(part)
			if err != nil || p.match != nil {
				return selection{}, refuse(http.StatusBadRequest, "invalidPath", "Invalid attribute "+clip(part)+" in "+v.name)
			}
			if p.extension { // an extension is one attribute, its own attributes are its parts
				p = attrPath{attr: strings.ToLower(schemaEnterprise), sub: p.attr}
			}
			*v.into = append(*v.into, p)
		}
	}
	return s, nil
}

// apply leaves out what the caller didn't ask for. schemas and id always stay.
func (s selection) apply(out *userOut) any {
	if len(s.only) == 0 && len(s.without) == 0 {
		return out
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return out
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return out
	}
	for k, v := range doc {
		key := strings.ToLower(k)
		if key == "schemas" || key == "id" {
			continue
		}
		if len(s.only) > 0 {
			if v = selectParts(s.only, key, v); v == nil {
				delete(doc, k)
			} else {
				doc[k] = v
			}
			continue
		}
		for _, p := range s.without {
			switch {
			case p.attr == key && p.sub == "":
				delete(doc, k)
			case p.attr == key:
				mapParts(v, func(part string) bool { return part != p.sub })
			}
		}
	}
	return doc
}

// selectParts gives what paths keep of an attribute, nil for nothing.
func selectParts(paths []attrPath, key string, v any) any {
	var subs []string
	for _, p := range paths {
		if p.attr == key && p.sub == "" {
			return v
		}
		if p.attr == key {
			subs = append(subs, p.sub)
		}
	}
	if subs == nil {
		return nil
	}
	mapParts(v, func(part string) bool { return slices.Contains(subs, part) })
	return v
}

// mapParts deletes the parts that keep refuses from an object or from each object of a list.
func mapParts(v any, keep func(lower string) bool) {
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			mapParts(e, keep)
		}
	case map[string]any:
		for k := range x {
			if !keep(strings.ToLower(k)) {
				delete(x, k)
			}
		}
	}
}
