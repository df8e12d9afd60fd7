package work

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/rich"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Tickets gives the ground truth, by number. The caller holds the lock.
func (t *Tracker) Tickets() []site.Ticket {
	list := []site.Ticket{}
	for _, id := range t.order {
		x := t.issues[id].Current()
		s := site.Ticket{
			ID: strconv.FormatInt(x.ID, 10), Key: x.Key, Type: x.RequestType, Summary: x.Summary, Description: rich.Text(x.Description),
			Status: statusOf(x.Status).Name, Done: statusOf(x.Status).category == categoryDone, Reporter: x.Reporter,
			Participants: slices.Concat([]string{}, x.Participants), Labels: slices.Concat([]string{}, x.Labels), Organizations: []string{},
			Comments: []site.TicketComment{}, Files: []site.TicketFile{},
		}
		for _, org := range x.Orgs {
			if o, ok := t.host.Organization(org, ""); ok {
				s.Organizations = append(s.Organizations, o.Name)
			}
		}
		for _, m := range x.comments {
			s.Comments = append(s.Comments, site.TicketComment{ID: strconv.FormatInt(m.ID, 10), Author: m.Author, Body: rich.Text(m.Body), Public: !m.Internal})
		}
		for _, f := range x.files {
			s.Files = append(s.Files, site.TicketFile{ID: strconv.FormatInt(f.ID, 10), Name: f.Name, Size: len(f.Content), Public: !f.Hidden})
		}
		list = append(list, s)
	}
	return list
}

// Count gives how many work items there are. The caller holds the lock.
func (t *Tracker) Count() int { return len(t.order) }

// Row is a work item in the list on the pages.
type Row struct {
	Key, Type, Summary, Status, Reporter string
	Updated                              time.Time
	Done                                 bool
	Comments                             int
}

// Line is a comment or file on the page of a work item.
type Line struct {
	Author, Text string
	At           time.Time
	Internal     bool
	Agent        bool // written by someone who is no customer
	Files        []string
}

// Goal is an SLA on the page of a work item.
type Goal struct {
	Name, State, StateEN string
	Due                  time.Time
	Remaining            string
	Breached             bool
}

// View is the page of a work item.
type View struct {
	Row
	Description          string
	Participants, Orgs   []string
	Labels, OtherFiles   []string
	Created              time.Time
	Thread               []Line
	Goals                []Goal
	Transitions, History []string
}

// Rows gives one page of the work items, newest change first, those whose key or summary holds query if it isn't empty.
func (t *Tracker) Rows(query string, start, limit int) (rows []Row, total int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var found []*issue
	for _, id := range t.order {
		x := t.issues[id].Current()
		if strings.Contains(strings.ToLower(x.Key+" "+x.Summary), strings.ToLower(query)) {
			found = append(found, x)
		}
	}
	slices.SortStableFunc(found, func(a, b *issue) int { return compare(b.Updated, a.Updated) })
	for _, x := range wire.Cut(found, wire.Window{Start: max(start, 0), Limit: limit}) {
		rows = append(rows, t.row(x))
	}
	return rows, len(found)
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (t *Tracker) name(id string) string {
	p, ok := t.person(id)
	if !ok {
		return id
	}
	return p.DisplayName
}

func (t *Tracker) row(x *issue) Row {
	s := statusOf(x.Status)
	r := Row{Key: x.Key, Type: issueTypes[x.Type], Summary: x.Summary, Status: s.Name, Reporter: t.name(x.Reporter), Updated: time.UnixMicro(x.Updated), Done: s.category == categoryDone, Comments: len(x.comments)}
	if rt, ok := requestTypeOf(x.RequestType); ok {
		r.Type = rt.Name
	}
	return r
}

// View gives the page of one work item as an agent sees it, or with customer as its reporter does.
func (t *Tracker) View(key string, customer bool, now time.Time) (View, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x := t.issues[t.byKey[strings.ToUpper(key)]].Current()
	if x == nil {
		return View{}, false
	}
	v := View{Row: t.row(x), Description: rich.Text(x.Description), Labels: x.Labels, Created: time.UnixMicro(x.Created)}
	for _, id := range x.Participants {
		v.Participants = append(v.Participants, t.name(id))
	}
	for _, id := range x.Orgs {
		if o, ok := t.host.Organization(id, ""); ok {
			v.Orgs = append(v.Orgs, o.Name)
		}
	}
	for _, m := range x.comments {
		if customer && m.Internal {
			continue
		}
		p, _ := t.person(m.Author)
		l := Line{Author: t.name(m.Author), Text: rich.Text(m.Body), At: time.UnixMicro(m.Created), Internal: m.Internal, Agent: !p.Customer}
		for _, f := range x.files {
			if f.Comment == m.ID {
				l.Files = append(l.Files, fileLabel(f))
			}
		}
		v.Thread = append(v.Thread, l)
	}
	for _, f := range x.files {
		if f.Comment == 0 && !(customer && f.Hidden) {
			v.OtherFiles = append(v.OtherFiles, fileLabel(f))
		}
	}
	if !customer {
		v.Goals = goals(x, now.UnixMicro())
	}
	for _, s := range offered(x.Status, customer) {
		v.Transitions = append(v.Transitions, s.Name)
	}
	return v, true
}

func fileLabel(f *file) string {
	return f.Name + " (" + strconv.Itoa((len(f.Content)+1023)/1024) + " KiB)"
}

func goals(x *issue, now int64) []Goal {
	var list []Goal
	for _, m := range []struct {
		metric
		cycles []cycle
	}{{metricResponse, x.Response}, {metricResolution, x.Resolution}} {
		if len(m.cycles) == 0 {
			continue
		}
		y := m.cycles[len(m.cycles)-1]
		left := m.Goal.Microseconds() - y.elapsed(now)
		g := Goal{Name: m.Name, State: "計測中", StateEN: "running", Due: time.UnixMicro(y.breach(m.Goal, now)), Breached: left < 0}
		g.Remaining, _ = span(left)["friendly"].(string)
		switch {
		case y.Stop > 0:
			g.State, g.StateEN = "完了", "done"
		case y.PausedAt > 0:
			g.State, g.StateEN = "一時停止", "paused"
		}
		list = append(list, g)
	}
	return list
}
