package work

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/rich"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

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
