package work

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/rich"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The bounds of fields, as the vendor documents them.
const (
	maxSummary  = 255
	maxLabel    = 255
	maxComments = 5000
	maxFiles    = 2000
)

// property is an entity property in a body.
type property struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

func (t *Tracker) getIssue(c *site.Call) {
	q := c.Query()
	var out doc
	if t.read(c, func(x *issue) *wire.Refusal {
		out = t.renderIssue(c, x, split(q, "fields"), split(q, "properties"), slices.Contains(split(q, "expand"), "changelog"))
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, out)
	}
}

func (t *Tracker) createIssue(c *site.Call) {
	var b struct {
		Fields     map[string]json.RawMessage `json:"fields"`
		Properties []property                 `json:"properties"`
	}
	if no := wire.ReadBody(c, &b); no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	t.mu.Lock()
	x, no := t.newIssue(c)
	if no == nil {
		no = t.setFields(c, x, b.Fields, true)
	}
	if no == nil {
		no = setProperties(&x.Props, b.Properties)
	}
	if no == nil {
		no = t.insert(c, x)
	}
	t.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, http.StatusCreated, doc{"id": strconv.FormatInt(x.ID, 10), "key": x.Key, "self": t.issueURL(c, x)})
}

// newIssue begins an issue. The caller holds the lock.
func (t *Tracker) newIssue(c *site.Call) (*issue, *wire.Refusal) {
	now := c.Now.UnixMicro()
	n := t.next.Issue
	me := t.author(c)
	return &issue{
		ID: idBase + n, Key: t.opt.ProjectKey + "-" + strconv.FormatInt(n, 10), Status: statusSupport, Priority: "3", Reporter: me, Creator: me,
		Created: now, Updated: now, StatusLog: []statusAt{{statusSupport, now}}, Response: []cycle{{Start: now}}, Resolution: []cycle{{Start: now}},
	}, nil
}

// insert stores a new issue and tells of it. The caller holds the lock.
func (t *Tracker) insert(c *site.Call, x *issue) *wire.Refusal {
	if no := t.allow(c, x.ID); no != nil {
		return no
	}
	if no := t.save(x); no != nil {
		return no
	}
	t.tell(c, event{name: eventCreated, kind: "issue_created", issue: x, serial: "created"})
	return nil
}

func (t *Tracker) editIssue(c *site.Call) {
	var b struct {
		Fields     map[string]json.RawMessage              `json:"fields"`
		Update     map[string][]map[string]json.RawMessage `json:"update"`
		Properties []property                              `json:"properties"`
	}
	no := wire.ReadBody(c, &b)
	if no == nil && c.As != "" {
		no = wire.Refuse(http.StatusForbidden, "", "You do not have permission to edit issues in this project.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	if t.write(c, func(old *issue) *wire.Refusal {
		if t.busy[old.ID] {
			return conflicting()
		}
		x := t.touch(c, old)
		if no := t.setFields(c, x, b.Fields, false); no != nil {
			return no
		}
		if no := t.updateLabels(x, b.Update); no != nil {
			return no
		}
		x.Props = maps.Clone(x.Props)
		if no := setProperties(&x.Props, b.Properties); no != nil {
			return no
		}
		items := t.differences(old, x)
		x = t.withHistory(c, x, items)
		if no := t.save(x); no != nil {
			return no
		}
		if len(items) > 0 {
			t.tellUpdate(c, x)
		}
		return nil
	}) {
		c.W.WriteHeader(http.StatusNoContent)
	}
}

func conflicting() *wire.Refusal {
	return wire.Refuse(http.StatusConflict, "sd.conflict", "The issue could not be updated due to a conflicting update.")
}

// withHistory adds items to the changelog of a new version.
func (t *Tracker) withHistory(c *site.Call, x *issue, items []changeItem) *issue {
	if len(items) == 0 {
		return x
	}
	x.History = append(slices.Clone(x.History), history{ID: t.next.History, Author: t.author(c), At: x.Updated, Items: items})
	return x
}

// differences lists what differs for the changelog.
func (t *Tracker) differences(old, x *issue) []changeItem {
	var items []changeItem
	add := func(field, id, from, to string) {
		if from != to {
			items = append(items, item(field, id, "", from, "", to))
		}
	}
	add("summary", "summary", old.Summary, x.Summary)
	add("description", "description", rich.Text(old.Description), rich.Text(x.Description))
	add("labels", "labels", strings.Join(old.Labels, " "), strings.Join(x.Labels, " "))
	if old.Priority != x.Priority {
		items = append(items, item("priority", "priority", old.Priority, old.Priority, x.Priority, x.Priority))
	}
	name := func(id string) string { p, _ := t.person(id); return p.DisplayName }
	if old.Assignee != x.Assignee {
		items = append(items, item("assignee", "assignee", old.Assignee, name(old.Assignee), x.Assignee, name(x.Assignee)))
	}
	if old.Reporter != x.Reporter {
		items = append(items, item("reporter", "reporter", old.Reporter, name(old.Reporter), x.Reporter, name(x.Reporter)))
	}
	add("Organizations", fieldOrgs, joinIDs(old.Orgs), joinIDs(x.Orgs))
	add("Request participants", fieldParticipants, strings.Join(old.Participants, " "), strings.Join(x.Participants, " "))
	return items
}

func joinIDs(ids []int64) string {
	var s []string
	for _, id := range ids {
		s = append(s, strconv.FormatInt(id, 10))
	}
	return strings.Join(s, " ")
}

// updateLabels carries out update.labels, the one "update" that the stand-in knows.
func (t *Tracker) updateLabels(x *issue, update map[string][]map[string]json.RawMessage) *wire.Refusal {
	for field, ops := range update {
		if field != "labels" {
			return fieldError(field, "Field '"+wire.Clip(field)+"' cannot be updated here; set it in fields.")
		}
		for _, op := range ops {
			for verb, raw := range op {
				var label string
				if json.Unmarshal(raw, &label) != nil || !validLabel(label) || verb != "add" && verb != "remove" {
					return fieldError("labels", "The operation on labels is not valid.")
				}
				has := slices.Contains(x.Labels, label)
				switch {
				case verb == "add" && !has:
					x.Labels = append(slices.Clone(x.Labels), label)
				case verb == "remove" && has:
					x.Labels = slices.DeleteFunc(slices.Clone(x.Labels), func(l string) bool { return l == label })
				}
			}
		}
	}
	return nil
}

func validLabel(l string) bool {
	return l != "" && utf8.RuneCountInString(l) <= maxLabel && !strings.ContainsAny(l, " \t\r\n")
}

func fieldError(field, message string) *wire.Refusal {
	return &wire.Refusal{Status: http.StatusBadRequest, I18nKey: "sd.field", Fields: map[string]string{field: message}}
}

// ref is how a body names an object.
type ref struct {
	ID        json.RawMessage `json:"id"`
	Key       string          `json:"key"`
	Name      string          `json:"name"`
	Value     string          `json:"value"`
	AccountID string          `json:"accountId"`
}

func (r ref) id() string { return strings.Trim(string(r.ID), `"`) }

// setFields sets fields from a platform body. With create, what is required must be there. The caller holds the lock.
func (t *Tracker) setFields(c *site.Call, x *issue, fields map[string]json.RawMessage, create bool) *wire.Refusal {
	wrong := map[string]string{}
	for name, raw := range fields {
		if message := t.setField(c, x, name, raw, create); message != "" {
			wrong[name] = message
		}
	}
	if create {
		for name, message := range map[string]string{
			"project": "Specify a valid project ID or key", "issuetype": "Specify a valid issue type", "summary": "You must specify a summary of the issue.",
		} {
			if _, ok := fields[name]; !ok {
				wrong[name] = message
			}
		}
	}
	if len(wrong) > 0 {
		return &wire.Refusal{Status: http.StatusBadRequest, I18nKey: "sd.field", Fields: wrong}
	}
	return nil
}

// setField sets one field and says what is wrong with its value.
func (t *Tracker) setField(c *site.Call, x *issue, name string, raw json.RawMessage, create bool) string {
	var one ref
	isRef := json.Unmarshal(raw, &one) == nil && string(raw) != "null"
	switch name {
	case "project":
		if !create || !isRef || one.id() != t.opt.ProjectID && !strings.EqualFold(one.Key, t.opt.ProjectKey) {
			return "Specify a valid project ID or key"
		}
	case "issuetype":
		id := one.id()
		for k, n := range issueTypes {
			if strings.EqualFold(n, one.Name) {
				id = k
			}
		}
		if issueTypes[id] == "" || !isRef {
			return "Specify a valid issue type"
		}
		x.Type = id
	case "summary":
		return setSummary(x, raw)
	case "description":
		return setText(version(c), raw, &x.Description)
	case "labels":
		var labels []string
		if json.Unmarshal(raw, &labels) != nil || slices.ContainsFunc(labels, func(l string) bool { return !validLabel(l) }) {
			return "A label must have no spaces and at most 255 characters."
		}
		slices.Sort(labels)
		x.Labels = slices.Compact(labels)
	case "priority":
		id, ok := priorityOf(cmpOr(one.id(), one.Name))
		if !ok {
			return "The priority selected is invalid."
		}
		x.Priority = id
	case "reporter", "assignee":
		return t.setPerson(x, name, one)
	case fieldOrgs:
		return t.setOrgs(x, raw)
	case fieldParticipants:
		var people []ref
		if json.Unmarshal(raw, &people) != nil {
			return "data was not an array"
		}
		ids := []string{}
		for _, p := range people {
			if _, ok := t.person(p.AccountID); !ok {
				return "The user does not exist."
			}
			ids = append(ids, p.AccountID)
		}
		x.Participants = unique(ids)
	case fieldRequestType:
		id := strings.Trim(string(raw), `"`)
		if r, ok := requestTypeOf(id); !ok || r.issueType != x.Type && x.Type != "" {
			return "The request type is not valid."
		}
		x.RequestType = id
	default:
		return "Field '" + wire.Clip(name) + "' cannot be set. It is not on the appropriate screen, or unknown."
	}
	return ""
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func unique(ids []string) []string {
	var out []string
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func setSummary(x *issue, raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "Operation value must be a string"
	}
	switch s = strings.TrimSpace(s); {
	case s == "":
		return "You must specify a summary of the issue."
	case utf8.RuneCountInString(s) > maxSummary:
		return "Summary must be less than 255 characters."
	case strings.ContainsAny(s, "\r\n"):
		return "The summary is invalid because it contains newline characters."
	}
	x.Summary = s
	return ""
}

// setText reads a rich text of version 2 (a string) or 3 (a document); null empties it.
func setText(v string, raw json.RawMessage, into *json.RawMessage) string {
	if string(raw) == "null" {
		*into = nil
		return ""
	}
	if v == "2" {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return "Operation value must be a string"
		}
		raw = rich.FromText(s)
	} else if bytes.HasPrefix(bytes.TrimSpace(raw), []byte(`"`)) {
		return "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
	}
	if err := rich.Check(raw); errors.Is(err, rich.ErrTooLong) {
		return "CONTENT_LIMIT_EXCEEDED"
	} else if err != nil {
		return err.Error()
	}
	*into = slices.Clone(raw)
	return ""
}

func (t *Tracker) setPerson(x *issue, name string, one ref) string {
	id := cmpOr(one.AccountID, one.id())
	p, ok := t.person(id)
	switch {
	case name == "assignee" && id == "":
		x.Assignee = ""
	case !ok || !p.Active:
		return "The " + name + " specified is not a user."
	case name == "assignee" && p.Customer:
		return "User '" + id + "' cannot be assigned issues."
	case name == "assignee":
		x.Assignee = id
	default:
		x.Reporter = id
	}
	return ""
}

func (t *Tracker) setOrgs(x *issue, raw json.RawMessage) string {
	var ids []int64
	if json.Unmarshal(raw, &ids) != nil {
		return "Organizations are set by their numbers."
	}
	for _, id := range ids {
		if _, ok := t.host.Organization(id, ""); !ok || !t.host.OnDesk(id) {
			return "The organization " + strconv.FormatInt(id, 10) + " does not exist or is not in this service desk."
		}
	}
	slices.Sort(ids)
	x.Orgs = slices.Compact(ids)
	return ""
}

// setProperties puts entity properties into props.
func setProperties(props *map[string]json.RawMessage, list []property) *wire.Refusal {
	for _, p := range list {
		switch {
		case p.Key == "" || len(p.Key) > 255:
			return wire.Refuse(http.StatusBadRequest, "", "The property key must have 1 to 255 characters.")
		case len(p.Value) == 0 || len(p.Value) > 32768:
			return wire.Refuse(http.StatusBadRequest, "", "The property value must be JSON of at most 32768 characters.")
		}
		if *props == nil {
			*props = map[string]json.RawMessage{}
		}
		(*props)[p.Key] = p.Value
	}
	return nil
}

func (t *Tracker) listProperties(c *site.Call) {
	keys := []doc{}
	if t.read(c, func(x *issue) *wire.Refusal {
		for _, k := range slices.Sorted(maps.Keys(x.Props)) {
			keys = append(keys, doc{"self": t.issueURL(c, x) + "/properties/" + k, "key": k})
		}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, doc{"keys": keys})
	}
}

func (t *Tracker) getProperty(c *site.Call) {
	k := c.Vars["propertyKey"]
	var value json.RawMessage
	if t.read(c, func(x *issue) *wire.Refusal {
		var ok bool
		if value, ok = x.Props[k]; !ok {
			return wire.Refuse(http.StatusNotFound, "", "The property "+wire.Clip(k)+" does not exist.")
		}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, doc{"key": k, "value": value})
	}
}

func (t *Tracker) setProperty(c *site.Call) {
	var value json.RawMessage
	if no := wire.ReadBody(c, &value); no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	status := http.StatusOK
	if t.write(c, func(old *issue) *wire.Refusal {
		k := c.Vars["propertyKey"]
		x := t.touch(c, old)
		x.Props = maps.Clone(x.Props)
		if _, ok := x.Props[k]; !ok {
			status = http.StatusCreated
		}
		if no := setProperties(&x.Props, []property{{k, value}}); no != nil {
			return no
		}
		return t.save(x)
	}) {
		c.W.WriteHeader(status)
	}
}

func (t *Tracker) deleteProperty(c *site.Call) {
	if t.write(c, func(old *issue) *wire.Refusal {
		k := c.Vars["propertyKey"]
		if _, ok := old.Props[k]; !ok {
			return wire.Refuse(http.StatusNotFound, "", "The property "+wire.Clip(k)+" does not exist.")
		}
		x := t.touch(c, old)
		x.Props = maps.Clone(x.Props)
		delete(x.Props, k)
		return t.save(x)
	}) {
		c.W.WriteHeader(http.StatusNoContent)
	}
}
