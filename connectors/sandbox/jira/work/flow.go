package work

import (
	"slices"
	"time"
)

// status is one state of the workflow.
type status struct {
	ID, Name string
	category category
}

type category struct {
	ID               int
	Key, Name, Color string
	desk             string // as /rest/servicedeskapi calls it
}

var (
	categoryNew   = category{2, "new", "To Do", "blue-gray", "NEW"}
	categoryDoing = category{4, "indeterminate", "In Progress", "yellow", "INDETERMINATE"}
	categoryDone  = category{3, "done", "Done", "green", "DONE"}
)

// The workflow of the vendor's service request template.
var statuses = []status{
	{"10001", "Waiting for support", categoryNew},
	{"10002", "Waiting for customer", categoryDoing},
	{"10003", "In progress", categoryDoing},
	{"5", "Resolved", categoryDone},
	{"6", "Closed", categoryDone},
}

const (
	statusSupport  = "10001"
	statusCustomer = "10002"
)

func statusOf(id string) status {
	i := slices.IndexFunc(statuses, func(s status) bool { return s.ID == id })
	return statuses[max(i, 0)]
}

// transition leads from some statuses to one.
type transition struct {
	ID, Name string
	from     []string
	to       string
	customer bool // offered on the portal
}

var transitions = []transition{
	{"11", "Respond to customer", []string{"10001", "10003"}, "10002", false},
	{"21", "Respond to support", []string{"10002"}, "10001", true},
	{"31", "In progress", []string{"10001", "10002"}, "10003", false},
	{"41", "Back to support", []string{"10003"}, "10001", false},
	{"51", "Resolve this issue", []string{"10001", "10002", "10003"}, "5", true},
	{"61", "Reopen", []string{"5"}, "10001", true},
	{"71", "Close", []string{"5"}, "6", false},
}

// offered gives the transitions that a person may make from a status.
func offered(statusID string, customer bool) []transition {
	var list []transition
	for _, t := range transitions {
		if slices.Contains(t.from, statusID) && (!customer || t.customer) {
			list = append(list, t)
		}
	}
	return list
}

// The project's custom fields, as a fresh site numbers them.
const (
	fieldOrgs         = "customfield_10002"
	fieldParticipants = "customfield_10033"
	fieldRequestType  = "customfield_10010"
)

// requestType is a form of the portal.
type requestType struct {
	ID, Name, Description string
	issueType             string
	fields                []requestField
}

type requestField struct {
	ID, Name, Description string
	Required              bool
	schema                map[string]any
}

var (
	summaryField     = requestField{"summary", "Summary", "", true, map[string]any{"type": "string", "system": "summary"}}
	descriptionField = requestField{"description", "Description", "", true, map[string]any{"type": "string", "system": "description"}}
	priorityField    = requestField{"priority", "Priority", "", false, map[string]any{"type": "priority", "system": "priority"}}
	labelsField      = requestField{"labels", "Labels", "", false, map[string]any{"type": "array", "items": "string", "system": "labels"}}
	orgsField        = requestField{
		fieldOrgs, "Organizations", "", false,
		map[string]any{"type": "array", "items": "sd-customerorganization", "custom": "com.atlassian.servicedesk:sd-customer-organizations", "customId": 10002},
	}
)

// requestTypes: the first carries labels, the second has only what a form must have.
var requestTypes = []requestType{
	{"1", "問い合わせ", "制度や手続に関する問い合わせ", "10001", []requestField{summaryField, descriptionField, priorityField, labelsField, orgsField}},
	{"2", "障害の報告", "システムの障害の報告", "10002", []requestField{summaryField, descriptionField, orgsField}},
}

func requestTypeOf(id string) (requestType, bool) {
	i := slices.IndexFunc(requestTypes, func(r requestType) bool { return r.ID == id })
	if i < 0 {
		return requestType{}, false
	}
	return requestTypes[i], true
}

// issueTypes by id.
var issueTypes = map[string]string{"10001": "Service Request", "10002": "Incident"}

// priorities by id, the vendor's own.
var priorities = []struct{ ID, Name string }{{"1", "Highest"}, {"2", "High"}, {"3", "Medium"}, {"4", "Low"}, {"5", "Lowest"}}

func priorityOf(idOrName string) (string, bool) {
	for _, p := range priorities {
		if p.ID == idOrName || p.Name == idOrName {
			return p.ID, true
		}
	}
	return "", false
}

// metric is one SLA. Its calendar is 24 hours, 7 days.
type metric struct {
	ID, Name string
	Goal     time.Duration
}

var (
	metricResponse   = metric{"1", "Time to first response", 8 * time.Hour}
	metricResolution = metric{"2", "Time to resolution", 40 * time.Hour}
)

// cycle is one measurement, UTC microseconds.
type cycle struct {
	Start    int64 `json:"start"`
	Stop     int64 `json:"stop,omitempty"`
	Paused   int64 `json:"paused,omitempty"`    // in pauses that have ended
	PausedAt int64 `json:"paused_at,omitempty"` // of the pause that goes on
}

// elapsed is the measured time at now.
func (y cycle) elapsed(now int64) int64 {
	if y.Stop > 0 {
		now = y.Stop
	}
	e := now - y.Start - y.Paused
	if y.PausedAt > 0 {
		e -= now - y.PausedAt
	}
	return max(e, 0)
}

// breach is when the goal is missed if nothing pauses from now on.
func (y cycle) breach(goal time.Duration, now int64) int64 {
	at := y.Start + goal.Microseconds() + y.Paused
	if y.PausedAt > 0 {
		at += now - y.PausedAt
	}
	return at
}

// running gives a copy of cycles and its last one, if that goes on.
func running(cycles []cycle) ([]cycle, *cycle) {
	cycles = slices.Clone(cycles)
	if n := len(cycles); n > 0 && cycles[n-1].Stop == 0 {
		return cycles, &cycles[n-1]
	}
	return cycles, nil
}

func (y *cycle) resume(now int64) {
	if y.PausedAt > 0 {
		y.Paused += now - y.PausedAt
		y.PausedAt = 0
	}
}

// enter moves x into a status: SLA, resolution and log.
func (x *issue) enter(to string, now int64) {
	wasDone, done := statusOf(x.Status).category == categoryDone, statusOf(to).category == categoryDone
	x.Status = to
	x.StatusLog = append(slices.Clone(x.StatusLog), statusAt{to, now})
	var y *cycle
	x.Resolution, y = running(x.Resolution)
	switch {
	case done && !wasDone:
		x.Resolved = now
		if y != nil {
			y.resume(now)
			y.Stop = now
		}
		x.respond(now)
	case !done && wasDone:
		x.Resolved = 0
		x.Resolution = append(x.Resolution, cycle{Start: now})
	}
	if x.Resolution, y = running(x.Resolution); y != nil {
		if to == statusCustomer && y.PausedAt == 0 {
			y.PausedAt = now
		} else if to != statusCustomer {
			y.resume(now)
		}
	}
}

// respond ends the time to first response.
func (x *issue) respond(now int64) {
	var y *cycle
	if x.Response, y = running(x.Response); y != nil {
		y.Stop = now
	}
}
