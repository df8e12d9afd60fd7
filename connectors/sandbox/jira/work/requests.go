package work

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/rich"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

func noSuchType() *wire.Refusal {
	return wire.Refuse(http.StatusNotFound, "sd.requesttype.not.found", "The request type does not exist.")
}

func (t *Tracker) listTypes(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	query := c.Query().Get("searchQuery")
	var list []doc
	for _, r := range requestTypes {
		if strings.Contains(r.Name, query) || strings.Contains(r.Description, query) {
			list = append(list, t.renderRequestType(c, r))
		}
	}
	wire.WritePage(c, w, len(list), wire.Cut(list, w))
}

func (t *Tracker) getType(c *site.Call) {
	if r, ok := requestTypeOf(c.Vars["requestTypeId"]); ok {
		wire.WriteJSON(c.W, http.StatusOK, t.renderRequestType(c, r))
		return
	}
	wire.WriteRefusal(c.W, c.R, noSuchType())
}

func (t *Tracker) getTypeFields(c *site.Call) {
	r, ok := requestTypeOf(c.Vars["requestTypeId"])
	if !ok {
		wire.WriteRefusal(c.W, c.R, noSuchType())
		return
	}
	list := []doc{}
	for _, f := range r.fields {
		values := []doc{}
		if f.ID == "priority" {
			for _, p := range priorities {
				values = append(values, doc{"value": p.ID, "label": p.Name, "children": []doc{}})
			}
		}
		list = append(list, doc{
			"fieldId": f.ID, "name": f.Name, "description": f.Description, "required": f.Required, "visible": true, "validValues": values,
			"defaultValues": []doc{}, "presetValues": []string{}, "jiraSchema": f.schema,
		})
	}
	agent := c.As == ""
	wire.WriteJSON(c.W, http.StatusOK, doc{"requestTypeFields": list, "canRaiseOnBehalfOf": agent, "canAddRequestParticipants": true})
}

// requestBody is the body of POST request.
type requestBody struct {
	ServiceDeskID       string                     `json:"serviceDeskId"`
	RequestTypeID       string                     `json:"requestTypeId"`
	RequestFieldValues  map[string]json.RawMessage `json:"requestFieldValues"`
	RequestParticipants []string                   `json:"requestParticipants"`
	RaiseOnBehalfOf     string                     `json:"raiseOnBehalfOf"`
	IsAdfRequest        bool                       `json:"isAdfRequest"`
}

func (t *Tracker) createRequest(c *site.Call) {
	var b requestBody
	no := wire.ReadBody(c, &b)
	r, ok := requestTypeOf(b.RequestTypeID)
	switch {
	case no != nil:
	case b.ServiceDeskID != t.opt.ServiceDeskID:
		no = wire.Refuse(http.StatusBadRequest, "sd.request.create.service.desk", "The service desk does not exist.")
	case !ok:
		no = wire.Refuse(http.StatusBadRequest, "sd.request.create.type", "The request type does not exist.")
	case c.As != "" && b.RaiseOnBehalfOf != "" && b.RaiseOnBehalfOf != c.As:
		no = wire.Refuse(http.StatusForbidden, "sd.request.create.behalf", "You do not have permission to raise requests on behalf of others.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	t.mu.Lock()
	x, no := t.newRequest(c, r, b)
	if no == nil {
		no = t.insert(c, x)
	}
	var out doc
	if no == nil {
		out = t.renderRequest(c, x, nil)
	}
	t.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, http.StatusCreated, out)
}

// newRequest makes the issue of a request. The caller holds the lock.
func (t *Tracker) newRequest(c *site.Call, r requestType, b requestBody) (*issue, *wire.Refusal) {
	x, no := t.newIssue(c)
	if no != nil {
		return nil, no
	}
	x.Type, x.RequestType = r.issueType, r.ID
	refuse := func(message string) (*issue, *wire.Refusal) {
		return nil, wire.Refuse(http.StatusBadRequest, "sd.validation", message)
	}
	if b.RaiseOnBehalfOf != "" {
		p, ok := t.person(b.RaiseOnBehalfOf)
		if !ok || !p.Active {
			return refuse("The customer " + wire.Clip(b.RaiseOnBehalfOf) + " does not exist or can't raise requests.")
		}
		x.Reporter = b.RaiseOnBehalfOf
	}
	for _, id := range b.RequestParticipants {
		if p, ok := t.person(id); !ok || !p.Active {
			return refuse("The participant " + wire.Clip(id) + " does not exist.")
		}
	}
	x.Participants = unique(slices.DeleteFunc(slices.Clone(b.RequestParticipants), func(id string) bool { return id == x.Reporter }))
	for _, f := range r.fields {
		if _, ok := b.RequestFieldValues[f.ID]; !ok && f.Required {
			return refuse("Your request could not be created. Please check the fields have been filled in correctly. " + f.ID + " is required.")
		}
	}
	for id, raw := range b.RequestFieldValues {
		if !slices.ContainsFunc(r.fields, func(f requestField) bool { return f.ID == id }) {
			return refuse("Field '" + wire.Clip(id) + "' cannot be set. It is not on the appropriate screen, or unknown.")
		}
		message := ""
		if id == "description" {
			v := "2"
			if b.IsAdfRequest {
				v = "3"
			}
			if message = setText(v, raw, &x.Description); message == "" && strings.TrimSpace(rich.Text(x.Description)) == "" {
				message = "is required."
			}
		} else {
			message = t.setField(c, x, id, raw, true)
		}
		if message != "" {
			return refuse("Your request could not be created. Please check the fields have been filled in correctly. " + id + ": " + message)
		}
	}
	return x, nil
}

func (t *Tracker) getRequest(c *site.Call) {
	var out doc
	if t.read(c, func(x *issue) *wire.Refusal { out = t.renderRequest(c, x, split(c.Query(), "expand")); return nil }) {
		wire.WriteJSON(c.W, http.StatusOK, out)
	}
}

// listRequests gives the caller's requests, the one that changed last first.
func (t *Tracker) listRequests(c *site.Call) {
	w, no := wire.ReadWindow(c)
	q := c.Query()
	keep, wrong := t.requestFilter(c)
	if no == nil {
		no = wrong
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	t.mu.RLock()
	var found []*issue
	for _, id := range t.order {
		if x := t.issues[id].At(c.AsOf); x != nil && x.RequestType != "" && keep(x) {
			found = append(found, x)
		}
	}
	slices.SortStableFunc(found, func(a, b *issue) int { return int(b.Updated-a.Updated) + 0 })
	var values []doc
	for _, x := range wire.Cut(found, w) {
		values = append(values, t.renderRequest(c, x, split(q, "expand")))
	}
	t.mu.RUnlock()
	wire.WritePage(c, w, len(found), values)
}

// requestFilter reads the parameters of listRequests.
func (t *Tracker) requestFilter(c *site.Call) (func(*issue) bool, *wire.Refusal) {
	q := c.Query()
	me := t.author(c)
	var owned, took, shared bool
	for _, o := range slices.Concat(split(q, "requestOwnership"), map[bool][]string{true: {"OWNED_REQUESTS", "PARTICIPATED_REQUESTS"}}[q.Get("requestOwnership") == ""]) {
		switch o {
		case "OWNED_REQUESTS":
			owned = true
		case "PARTICIPATED_REQUESTS":
			took = true
		case "ORGANIZATION", "ALL_ORGANIZATIONS":
			shared = true
		case "ALL_REQUESTS":
			owned, took, shared = true, true, true
		default:
			return nil, wire.BadRequest("requestOwnership is not valid.")
		}
	}
	status := q.Get("requestStatus")
	if !slices.Contains([]string{"", "ALL_REQUESTS", "OPEN_REQUESTS", "CLOSED_REQUESTS"}, status) {
		return nil, wire.BadRequest("requestStatus is not valid.")
	}
	if d := q.Get("serviceDeskId"); d != "" && d != t.opt.ServiceDeskID {
		return nil, wire.Refuse(http.StatusNotFound, "sd.agent.servicedesk.error.no.such.servicedesk", "The service desk does not exist.")
	}
	return func(x *issue) bool {
		done := statusOf(x.Status).category == categoryDone
		mine := owned && x.Reporter == me || took && slices.Contains(x.Participants, me) || shared && x.Reporter != me && t.mayShare(me, x)
		return mine && (status != "OPEN_REQUESTS" || !done) && (status != "CLOSED_REQUESTS" || done) &&
			(q.Get("requestTypeId") == "" || q.Get("requestTypeId") == x.RequestType) &&
			(q.Get("organizationId") == "" || slices.ContainsFunc(x.Orgs, func(id int64) bool { return strconv.FormatInt(id, 10) == q.Get("organizationId") })) &&
			(q.Get("searchTerm") == "" || strings.Contains(strings.ToLower(x.Summary), strings.ToLower(q.Get("searchTerm"))))
	}, nil
}

func (t *Tracker) mayShare(as string, x *issue) bool {
	return slices.ContainsFunc(t.host.OrganizationsOf(as), func(id int64) bool { return slices.Contains(x.Orgs, id) })
}

func (t *Tracker) listParticipants(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var ids []string
	var values []wire.DeskUser
	if t.read(c, func(x *issue) *wire.Refusal {
		ids = x.Participants
		values = t.deskUsers(c, wire.Cut(ids, w))
		return nil
	}) {
		wire.WritePage(c, w, len(ids), values)
	}
}

// changeParticipants adds or removes people; both are sets.
func (t *Tracker) changeParticipants(remove bool) func(*site.Call) {
	return func(c *site.Call) {
		ids, no := wire.ReadAccountIDs(c)
		if no != nil {
			wire.WriteRefusal(c.W, c.R, no)
			return
		}
		var all []string
		var values []wire.DeskUser
		if t.write(c, func(old *issue) *wire.Refusal {
			for _, id := range ids {
				if p, ok := t.person(id); !ok || !remove && !p.Active {
					return wire.Refuse(http.StatusBadRequest, "sd.request.participant.not.found", "The account "+wire.Clip(id)+" does not exist.")
				}
			}
			next := slices.Clone(old.Participants)
			if remove {
				next = slices.DeleteFunc(next, func(id string) bool { return slices.Contains(ids, id) })
			} else {
				next = unique(append(next, slices.DeleteFunc(ids, func(id string) bool { return id == old.Reporter })...))
			}
			all, values = next, t.deskUsers(c, wire.Cut(next, wire.Window{Limit: wire.MaxPage}))
			if slices.Equal(next, old.Participants) {
				return nil
			}
			x := t.touch(c, old)
			x.Participants = next
			x = t.withHistory(c, x, t.differences(old, x))
			if no := t.save(x); no != nil {
				return no
			}
			t.tellUpdate(c, x)
			return nil
		}) {
			wire.WritePage(c, wire.Window{Limit: wire.MaxPage}, len(all), values)
		}
	}
}

func (t *Tracker) getWatchers(c *site.Call) {
	var out doc
	if t.read(c, func(x *issue) *wire.Refusal {
		out = doc{
			"self": t.issueURL(c, x) + "/watchers", "isWatching": slices.Contains(x.Watchers, t.author(c)), "watchCount": len(x.Watchers),
			"watchers": t.users(c, x.Watchers),
		}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, out)
	}
}

func (t *Tracker) addWatcher(c *site.Call) {
	var id string
	if no := wire.ReadBody(c, &id); no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	t.watch(c, id, false)
}

func (t *Tracker) removeWatcher(c *site.Call) { t.watch(c, c.Query().Get("accountId"), true) }

func (t *Tracker) watch(c *site.Call, id string, remove bool) {
	if t.write(c, func(old *issue) *wire.Refusal {
		p, ok := t.person(id)
		if !ok || p.Customer {
			return wire.Refuse(http.StatusBadRequest, "", "The user "+wire.Clip(id)+" can't watch issues.")
		}
		x := t.touch(c, old)
		x.Watchers = slices.DeleteFunc(slices.Clone(old.Watchers), func(w string) bool { return w == id })
		if !remove {
			x.Watchers = append(x.Watchers, id)
		}
		return t.save(x)
	}) {
		c.W.WriteHeader(http.StatusNoContent)
	}
}

// listFields gives the fields of the site.
func (t *Tracker) listFields(c *site.Call) {
	list := []doc{}
	for _, f := range []struct {
		id, name string
		custom   bool
		schema   doc
	}{
		{"summary", "Summary", false, doc{"type": "string", "system": "summary"}},
		{"description", "Description", false, doc{"type": "string", "system": "description"}},
		{"status", "Status", false, doc{"type": "status", "system": "status"}},
		{"labels", "Labels", false, doc{"type": "array", "items": "string", "system": "labels"}},
		{"reporter", "Reporter", false, doc{"type": "user", "system": "reporter"}},
		{"assignee", "Assignee", false, doc{"type": "user", "system": "assignee"}},
		{"priority", "Priority", false, doc{"type": "priority", "system": "priority"}},
		{"created", "Created", false, doc{"type": "datetime", "system": "created"}},
		{"updated", "Updated", false, doc{"type": "datetime", "system": "updated"}},
		{fieldOrgs, "Organizations", true, orgsField.schema},
		{fieldParticipants, "Request participants", true, doc{"type": "array", "items": "user", "custom": "com.atlassian.servicedesk:sd-request-participants", "customId": 10033}},
		{fieldRequestType, "Request Type", true, doc{"type": "sd-customerrequesttype", "custom": "com.atlassian.servicedesk:vp-origin", "customId": 10010}},
	} {
		clauses := []string{f.id}
		if f.custom {
			clauses = []string{"cf[" + strings.TrimPrefix(f.id, "customfield_") + "]", f.name}
		}
		list = append(list, doc{
			"id": f.id, "key": f.id, "name": f.name, "custom": f.custom, "orderable": true, "navigable": true, "searchable": true, "clauseNames": clauses, "schema": f.schema,
		})
	}
	wire.WriteJSON(c.W, http.StatusOK, list)
}

func (t *Tracker) listStatuses(c *site.Call) {
	list := []doc{}
	for _, s := range statuses {
		list = append(list, renderStatus(c, s))
	}
	wire.WriteJSON(c.W, http.StatusOK, list)
}

func (t *Tracker) createTypes(c *site.Call) {
	if p := c.Vars["projectIdOrKey"]; p != t.opt.ProjectID && !strings.EqualFold(p, t.opt.ProjectKey) {
		wire.WriteRefusal(c.W, c.R, wire.Refuse(http.StatusNotFound, "", "No project could be found with key '"+wire.Clip(p)+"'."))
		return
	}
	list := []doc{}
	for _, id := range []string{"10001", "10002"} {
		list = append(list, renderType(c, id))
	}
	wire.WriteJSON(c.W, http.StatusOK, doc{"startAt": 0, "maxResults": 50, "total": len(list), "issueTypes": list})
}
