package jira

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

func noSuchOrg() *wire.Refusal {
	return wire.Refuse(http.StatusNotFound, "sd.customer.organisation.error.not.found", "The organization does not exist.")
}

// withOrg finds the organization of the path and answers with what use refuses. It holds the lock for writing where write is set.
func (s *Service) withOrg(c *site.Call, write bool, use func(*organization) *wire.Refusal) bool {
	id, err := strconv.ParseInt(c.Vars["organizationId"], 10, 64)
	if write {
		s.mu.Lock()
	} else {
		s.mu.RLock()
	}
	o := s.orgs[id]
	no := noSuchOrg()
	if err == nil && o != nil && (c.AsOf.IsZero() || !time.UnixMicro(o.Created).After(c.AsOf)) {
		no = use(o)
	}
	if write {
		s.mu.Unlock()
	} else {
		s.mu.RUnlock()
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
	}
	return no == nil
}

func (s *Service) listOrgs(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	s.mu.RLock()
	ids := s.orgOrder
	if account := c.Query().Get("accountId"); account != "" {
		if _, ok := s.find(c, account); !ok {
			s.mu.RUnlock()
			wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusNotFound, "sd.rest.user.not.found", "The user was not found."))
			return
		}
		ids = slices.Sorted(maps.Keys(s.memberOf[account]))
	}
	values, total := s.pageOrgs(c, w, ids)
	s.mu.RUnlock()
	wire.WritePage(c, w, total, values)
}

// pageOrgs renders one page of ids. The caller holds the lock.
func (s *Service) pageOrgs(c *site.Call, w wire.Window, ids []int64) (values []orgOut, total int) {
	if !c.AsOf.IsZero() {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool {
			return time.UnixMicro(s.orgs[id].Created).After(c.AsOf)
		})
	}
	for _, id := range wire.Cut(ids, w) {
		values = append(values, s.renderOrg(s.orgs[id], c.Base))
	}
	return values, len(ids)
}

func (s *Service) createOrg(c *site.Call) {
	var b struct {
		Name string `json:"name"`
	}
	no := wire.ReadBody(c, &b)
	name := strings.TrimSpace(b.Name)
	if no == nil && (name == "" || utf8.RuneCountInString(name) > wire.MaxName) {
		no = wire.Refuse(http.StatusBadRequest, "sd.customer.organisation.error.name", "The name must have 1 to 200 characters.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	s.mu.Lock()
	id, exists := s.byName[name]
	if !exists {
		id = s.nextOrg
		no = s.save(changeOrg, orgRecord{ID: id, Name: name, Created: c.Now.UnixMicro()})
	}
	var out orgOut
	if no == nil {
		out = s.renderOrg(s.orgs[id], c.Base)
	}
	s.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, http.StatusCreated, out) // the vendor answers 201 with the one that exists, too
}

func (s *Service) getOrg(c *site.Call) {
	var out orgOut
	if s.withOrg(c, false, func(o *organization) *wire.Refusal { out = s.renderOrg(o, c.Base); return nil }) {
		wire.WriteJSON(c.W, http.StatusOK, out)
	}
}

func (s *Service) deleteOrg(c *site.Call) {
	if s.withOrg(c, true, func(o *organization) *wire.Refusal {
		return s.save(changeOrgDelete, numberRecord{o.ID, c.Now.UnixMicro()})
	}) {
		c.W.WriteHeader(http.StatusNoContent)
	}
}

func (s *Service) listOrgUsers(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var values []wire.DeskUser
	var total int
	if s.withOrg(c, false, func(o *organization) *wire.Refusal {
		ids := o.members.IDs(c.AsOf)
		total = len(ids)
		for _, id := range wire.Cut(ids, w) {
			if p, ok := s.find(&site.Call{}, id); ok {
				values = append(values, p.Desk(c.Base))
			}
		}
		return nil
	}) {
		wire.WritePage(c, w, total, values)
	}
}

func (s *Service) addOrgUsers(c *site.Call) {
	ids, no := wire.ReadAccountIDs(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	if s.withOrg(c, true, func(o *organization) *wire.Refusal {
		if no := s.checkAccounts(ids); no != nil {
			return no
		}
		return s.saveMembers(c, changeMembers, o.ID, fresh(&o.members, ids), nil)
	}) {
		c.W.WriteHeader(http.StatusNoContent)
	}
}

// fresh gives the distinct ids that m doesn't have.
func fresh(m *site.Members, ids []string) []string {
	var out []string
	for _, id := range ids {
		if !m.Has(id) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// saveMembers stores a change of members. A fault may leave one new member out. The caller holds the lock.
func (s *Service) saveMembers(c *site.Call, kind string, org int64, add, remove []string) *wire.Refusal {
	if len(add) > 0 && c.Drop != nil {
		if i := c.Drop(len(add)); i >= 0 {
			add = slices.Delete(add, i, i+1)
		}
	}
	if len(add)+len(remove) == 0 {
		return nil
	}
	return s.save(kind, memberRecord{Org: org, Add: add, Remove: remove, At: c.Now.UnixMicro()})
}

func (s *Service) removeOrgUsers(c *site.Call) {
	ids, no := wire.ReadAccountIDs(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	if s.withOrg(c, true, func(o *organization) *wire.Refusal {
		if no := s.checkAccounts(ids); no != nil {
			return no
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return !o.members.Has(id) })
		return s.saveMembers(c, changeMembers, o.ID, nil, ids)
	}) {
		c.W.WriteHeader(http.StatusNoContent)
	}
}

// The bounds of entity properties, as the vendor documents them for its products.
const (
	maxPropertyKey   = 255
	maxPropertyValue = 32768
)

func noSuchProperty() *wire.Refusal {
	return wire.Refuse(http.StatusNotFound, "sd.rest.property.not.found", "The property does not exist.")
}

func (s *Service) listProperties(c *site.Call) {
	type key struct {
		Self string `json:"self"`
		Key  string `json:"key"`
	}
	keys := []key{}
	if s.withOrg(c, false, func(o *organization) *wire.Refusal {
		for _, k := range slices.Sorted(maps.Keys(o.Props)) {
			keys = append(keys, key{wire.Rest(c.Base, "/servicedeskapi/organization/"+strconv.FormatInt(o.ID, 10)+"/property/"+k), k})
		}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, map[string]any{"keys": keys})
	}
}

func (s *Service) getProperty(c *site.Call) {
	k := c.Vars["propertyKey"]
	var value json.RawMessage
	if s.withOrg(c, false, func(o *organization) *wire.Refusal {
		var ok bool
		if value, ok = o.Props[k]; !ok {
			return noSuchProperty()
		}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, map[string]any{"key": k, "value": value})
	}
}

func (s *Service) setProperty(c *site.Call) {
	var value json.RawMessage
	no := wire.ReadBody(c, &value)
	k := c.Vars["propertyKey"]
	switch {
	case no != nil:
	case len(k) > maxPropertyKey:
		no = wire.BadRequest("The property key is longer than 255 characters.")
	case len(value) > maxPropertyValue:
		no = wire.BadRequest("The property value is longer than 32768 characters.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	status := http.StatusOK
	if s.withOrg(c, true, func(o *organization) *wire.Refusal {
		r := o.orgRecord
		if r.Props = maps.Clone(r.Props); r.Props == nil {
			r.Props = map[string]json.RawMessage{}
		}
		if _, exists := r.Props[k]; !exists {
			status = http.StatusCreated
		}
		r.Props[k] = value
		return s.save(changeOrg, r)
	}) {
		c.W.WriteHeader(status)
	}
}

func (s *Service) deleteProperty(c *site.Call) {
	if s.withOrg(c, true, func(o *organization) *wire.Refusal {
		r := o.orgRecord
		if _, exists := r.Props[c.Vars["propertyKey"]]; !exists {
			return noSuchProperty()
		}
		r.Props = maps.Clone(r.Props)
		delete(r.Props, c.Vars["propertyKey"])
		return s.save(changeOrg, r)
	}) {
		c.W.WriteHeader(http.StatusNoContent)
	}
}
