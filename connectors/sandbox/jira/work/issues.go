package work

import (
	"encoding/json"
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
