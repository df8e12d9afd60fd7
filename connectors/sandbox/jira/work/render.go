package work

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/rich"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

type doc = map[string]any

// version is the platform's version in a path: "2" shows rich text as plain text, "3" as a document.
func version(c *site.Call) string {
	if strings.Contains(c.R.URL.Path, "/rest/api/2/") {
		return "2"
	}
	return "3"
}

// stamp is a moment as the platform writes it.
func stamp(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000-0700")
}

func text(v string, body json.RawMessage) any {
	switch {
	case len(body) == 0:
		return nil
	case v == "2":
		return rich.Text(body)
	}
	return body
}

// user renders a person for the platform, nil where there is none.
func (t *Tracker) user(c *site.Call, id string) any {
	if p, ok := t.person(id); ok {
		return p.Platform(c.Base)
	}
	return nil
}

func (t *Tracker) person(id string) (wire.Person, bool) {
	if id == "" {
		return wire.Person{}, false
	}
	if o := t.host.Owner(); o.AccountID == id {
		return o, true
	}
	return t.host.Find(id, time.Time{})
}

func (t *Tracker) users(c *site.Call, ids []string) []any {
	list := []any{}
	for _, id := range ids {
		if u := t.user(c, id); u != nil {
			list = append(list, u)
		}
	}
	return list
}

func (t *Tracker) deskUsers(c *site.Call, ids []string) []wire.DeskUser {
	list := []wire.DeskUser{}
	for _, id := range ids {
		if p, ok := t.person(id); ok {
			list = append(list, p.Desk(c.Base))
		}
	}
	return list
}

func (t *Tracker) orgs(c *site.Call, ids []int64) []any {
	list := []any{}
	for _, id := range ids {
		if o, ok := t.host.Organization(id, c.Base); ok {
			list = append(list, o.Doc)
		}
	}
	return list
}

func renderCategory(c *site.Call, k category) doc {
	return doc{
		"self": wire.Rest(c.Base, "/api/3/statuscategory/"+strconv.Itoa(k.ID)), "id": k.ID, "key": k.Key, "name": k.Name, "colorName": k.Color,
	}
}

func renderStatus(c *site.Call, s status) doc {
	return doc{
		"self": wire.Rest(c.Base, "/api/3/status/"+s.ID), "id": s.ID, "name": s.Name, "description": "", "iconUrl": c.Base + "/avatar.svg",
		"statusCategory": renderCategory(c, s.category),
	}
}

func (t *Tracker) renderProject(c *site.Call) doc {
	return doc{
		"self": wire.Rest(c.Base, "/api/3/project/"+t.opt.ProjectID), "id": t.opt.ProjectID, "key": t.opt.ProjectKey, "name": t.opt.ProjectName,
		"projectTypeKey": "service_desk", "simplified": false, "avatarUrls": wire.Avatars(c.Base),
	}
}

func renderType(c *site.Call, id string) doc {
	return doc{
		"self": wire.Rest(c.Base, "/api/3/issuetype/"+id), "id": id, "name": issueTypes[id], "description": "", "iconUrl": c.Base + "/avatar.svg",
		"subtask": false, "hierarchyLevel": 0,
	}
}

func renderPriority(c *site.Call, id string) doc {
	name := ""
	for _, p := range priorities {
		if p.ID == id {
			name = p.Name
		}
	}
	return doc{"self": wire.Rest(c.Base, "/api/3/priority/"+id), "id": id, "name": name, "iconUrl": c.Base + "/avatar.svg"}
}

// fields renders all fields of an issue for a version of the platform.
func (t *Tracker) fields(c *site.Call, x *issue, v string) doc {
	m := doc{
		"summary": x.Summary, "description": text(v, x.Description), "labels": slices.Concat([]string{}, x.Labels), "status": renderStatus(c, statusOf(x.Status)),
		"issuetype": renderType(c, x.Type), "project": t.renderProject(c), "priority": renderPriority(c, x.Priority),
		"reporter": t.user(c, x.Reporter), "creator": t.user(c, x.Creator), "assignee": t.user(c, x.Assignee),
		"created": stamp(x.Created), "updated": stamp(x.Updated), "resolution": nil, "resolutiondate": nil,
		fieldOrgs: t.orgs(c, x.Orgs), fieldParticipants: t.users(c, x.Participants), fieldRequestType: nil,
		"watches": doc{
			"self": t.issueURL(c, x) + "/watchers", "watchCount": len(x.Watchers), "isWatching": slices.Contains(x.Watchers, t.author(c)),
		},
		"comment": t.commentPage(c, x, v, visible(c, x), 0, len(x.comments)), "attachment": t.attachments(c, x),
	}
	if x.Resolved > 0 {
		m["resolution"] = doc{"self": wire.Rest(c.Base, "/api/3/resolution/10000"), "id": "10000", "name": "Done", "description": "Work has been completed on this issue."}
		m["resolutiondate"] = stamp(x.Resolved)
	}
	if r, ok := requestTypeOf(x.RequestType); ok {
		m[fieldRequestType] = doc{
			"requestType":   doc{"id": r.ID, "name": r.Name, "description": r.Description, "serviceDeskId": t.opt.ServiceDeskID},
			"currentStatus": doc{"status": statusOf(x.Status).Name, "statusDate": wire.NewDate(x.StatusLog[len(x.StatusLog)-1].At)},
			"_links":        t.requestLinks(c, x),
		}
	}
	return m
}

func (t *Tracker) issueURL(c *site.Call, x *issue) string {
	return wire.Rest(c.Base, "/api/3/issue/"+strconv.FormatInt(x.ID, 10))
}

// The fields that "*navigable" leaves out.
var notNavigable = []string{"comment", "attachment"}

// chosen keeps the fields that the caller named. Names: ids, "*all", "*navigable", and "-id" to leave one out.
func chosen(all doc, names []string) doc {
	if len(names) == 0 {
		return all
	}
	out, drop := doc{}, []string{}
	for _, n := range names {
		switch {
		case n == "*all":
			maps.Copy(out, all)
		case n == "*navigable":
			for k, v := range all {
				if !slices.Contains(notNavigable, k) {
					out[k] = v
				}
			}
		case strings.HasPrefix(n, "-"):
			drop = append(drop, n[1:])
		default:
			if v, ok := all[n]; ok {
				out[n] = v
			}
		}
	}
	if len(out) == 0 && len(drop) == len(names) {
		maps.Copy(out, all)
	}
	for _, n := range drop {
		delete(out, n)
	}
	return out
}

// split reads a list parameter that is repeated or has commas.
func split(q url.Values, name string) []string {
	var out []string
	for _, v := range q[name] {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func (t *Tracker) renderIssue(c *site.Call, x *issue, names, properties []string, changelog bool) doc {
	m := doc{"id": strconv.FormatInt(x.ID, 10), "key": x.Key, "self": t.issueURL(c, x), "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations"}
	if f := chosen(t.fields(c, x, version(c)), names); len(f) > 0 {
		m["fields"] = f
	}
	if len(properties) > 0 {
		p := doc{}
		for _, k := range properties {
			for name, v := range x.Props {
				if k == "*all" || k == name {
					p[name] = v
				}
			}
		}
		m["properties"] = p
	}
	if changelog {
		list := []doc{}
		for _, h := range slices.Backward(x.History) {
			list = append(list, t.renderHistory(c, h))
		}
		m["changelog"] = doc{"startAt": 0, "maxResults": len(list), "total": len(list), "histories": list}
	}
	return m
}

func (t *Tracker) renderHistory(c *site.Call, h history) doc {
	items := []doc{}
	for _, i := range h.Items {
		d := doc{"field": i.Field, "fieldtype": i.FieldType, "fieldId": i.FieldID}
		for k, v := range map[string]*string{"from": i.From, "fromString": i.FromString, "to": i.To, "toString": i.ToString} {
			if v != nil {
				d[k] = *v
			}
		}
		items = append(items, d)
	}
	return doc{"id": strconv.FormatInt(h.ID, 10), "author": t.user(c, h.Author), "created": stamp(h.At), "items": items}
}

func (t *Tracker) requestLinks(c *site.Call, x *issue) doc {
	return doc{
		"self": wire.Rest(c.Base, "/servicedeskapi/request/"+strconv.FormatInt(x.ID, 10)), "jiraRest": wire.Rest(c.Base, "/api/2/issue/"+strconv.FormatInt(x.ID, 10)),
		"web": cmp.Or(t.opt.PortalURL, c.Base) + "/" + wire.Name + "/requests/" + x.Key, "agent": c.Base + "/" + wire.Name + "/requests/" + x.Key,
	}
}

// statusDoc is a status as /rest/servicedeskapi shows it.
func statusDoc(s statusAt) doc {
	st := statusOf(s.Status)
	return doc{"status": st.Name, "statusCategory": st.category.desk, "statusDate": wire.NewDate(s.At)}
}

// renderRequest is an issue as /rest/servicedeskapi shows it.
func (t *Tracker) renderRequest(c *site.Call, x *issue, expand []string) doc {
	var values []doc
	if r, ok := requestTypeOf(x.RequestType); ok {
		for _, f := range r.fields {
			d := doc{"fieldId": f.ID, "label": f.Name}
			switch f.ID {
			case "summary":
				d["value"] = x.Summary
			case "description":
				d["value"] = rich.Text(x.Description)
			case "priority":
				d["value"] = renderPriority(c, x.Priority)
			case "labels":
				d["value"] = slices.Concat([]string{}, x.Labels)
			case fieldOrgs:
				d["value"] = t.orgs(c, x.Orgs)
			}
			values = append(values, d)
		}
	}
	m := doc{
		"_expands": []string{"participant", "status", "sla", "requestType", "serviceDesk", "attachment", "action", "comment"},
		"issueId":  strconv.FormatInt(x.ID, 10), "issueKey": x.Key, "requestTypeId": x.RequestType, "serviceDeskId": t.opt.ServiceDeskID,
		"createdDate": wire.NewDate(x.Created), "requestFieldValues": values, "currentStatus": statusDoc(x.StatusLog[len(x.StatusLog)-1]),
		"_links": t.requestLinks(c, x), "summary": x.Summary,
	}
	if p, ok := t.person(x.Reporter); ok {
		m["reporter"] = p.Desk(c.Base)
	}
	if slices.Contains(expand, "participant") {
		m["participants"] = wire.NewPage(c, wire.Window{Limit: wire.MaxPage}, len(x.Participants), t.deskUsers(c, x.Participants))
	}
	if slices.Contains(expand, "requestType") {
		if r, ok := requestTypeOf(x.RequestType); ok {
			m["requestType"] = t.renderRequestType(c, r)
		}
	}
	if slices.Contains(expand, "sla") && c.As == "" {
		m["sla"] = wire.NewPage(c, wire.Window{Limit: wire.MaxPage}, 2, slas(c, x))
	}
	return m
}

func (t *Tracker) renderRequestType(c *site.Call, r requestType) doc {
	return doc{
		"_expands": []string{"field"}, "id": r.ID, "name": r.Name, "description": r.Description, "helpText": "", "issueTypeId": r.issueType,
		"serviceDeskId": t.opt.ServiceDeskID, "portalId": "1", "groupIds": []string{"1"}, "canCreateRequest": true, "restrictionStatus": "OPEN",
		"icon":   doc{"id": "10500", "_links": doc{"iconUrls": wire.Avatars(c.Base)}},
		"_links": wire.SelfLink{Self: wire.Rest(c.Base, "/servicedeskapi/servicedesk/"+t.opt.ServiceDeskID+"/requesttype/"+r.ID)},
	}
}
